"""My account: who I am here, and what I may do."""

from __future__ import annotations

import streamlit as st

from console import desk, nav, widgets
from core import people


def render() -> None:
    me = desk.ask(people.me)
    widgets.title("My account", "As your practice's admin has set it up.")
    left, right = st.columns(2, gap="large")
    with left:
        widgets.facts({
            "Name": me.name, "Signs in as": me.login, "Roles": ", ".join(me.roles), "Registration": me.registration,
            "Practice number": me.practice_number, "E-mail": me.email,
            "Second factor": "set up" if me.has_second_factor else "not set up: ask your practice's admin",
            "Last sign-in": widgets.when(me.last_sign_in_at),
        })  # fmt: skip
    with right:
        widgets.heading("What you can open")
        for page in nav.pages_for(desk.actor().roles):
            if page.in_menu:
                st.page_link(desk.page(page.key), label=page.title, icon=f":material/{page.icon}:")
    st.caption(
        "Something is wrong here? Your practice's admin can change it under People. Sign out at the foot of the menu."
    )
