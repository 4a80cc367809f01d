"""Streamlit's entry script: session -> actor -> exactly the pages this actor may open.

Keep no `pages/` folder beside this file: Streamlit would run its files for anyone who knows their address.
"""

import importlib
from functools import partial

import streamlit as st

from console import banners, desk, nav, widgets


def main() -> None:
    st.set_page_config(page_title="Sorg", page_icon=widgets.MARK, layout="wide", initial_sidebar_state="auto")
    widgets.style()
    actor = desk.arrive()
    if actor is None:
        st.navigation(
            [st.Page(desk.signed_out, title="Signed out", url_path="signed_out")], position="hidden"
        ).run()
        return
    keyless = actor.bounds.keyless
    mine, begins = nav.pages_for(actor.roles, keyless=keyless), nav.home_for(actor.roles, keyless=keyless)
    pages = {row.key: _page(row) for row in mine}
    desk.know_pages(pages)
    # Known by their addresses alone, so that a bookmark says what it needs and not that there is nothing.
    shut = [_shut(row) for row in nav.PAGES if actor.lacks_key_for(row.needs)]
    home = st.Page(lambda: desk.go(begins), title="Sorg", url_path="home", default=True, visibility="hidden")
    menu = {group: [pages[row.key] for row in mine if row.group == group] for group in nav.GROUPS}
    chosen = st.navigation(
        {"": [home, *shut], **{g: p for g, p in menu.items() if p}}, position="sidebar", expanded=True
    )
    widgets.who_is_here(actor)
    widgets.keep_awake()
    desk.speak()
    at_home = chosen.url_path == begins
    desk.guarded(banners.draw)(actor, at_home=at_home)
    chosen.run()


def _page(row: nav.PageRow):
    def draw() -> None:
        importlib.import_module(row.module).render()  # Only now: what is in the menu is not always opened.

    return st.Page(
        desk.guarded(draw),
        title=row.title,
        icon=f":material/{row.icon}:",
        url_path=row.key,
        visibility="visible" if row.in_menu else "hidden",
    )


def _shut(row: nav.PageRow):
    draw = desk.guarded(partial(banners.shut, row.title))
    return st.Page(draw, title=row.title, url_path=row.key, visibility="hidden")


main()
