"""What everybody at this desk must know now, above every page: a broken glass, the directory away, what waits for them.

Asked anew every half minute a session, and after whatever this session did (`forget`): a page is drawn on every click.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from html import escape
from typing import Any, TypeVar
from urllib.parse import quote, urlsplit

import streamlit as st

from console import desk, widgets
from console.door import door
from console.signin.forms import why_no_keys_at
from core import access, alerts, changes, factors, groups, people, sessions
from core.access import Glass
from core.alerts import AlertCard
from core.people import PersonCard
from core.rules.roles import Permission as P
from core.rules.roles import Role
from core.sessions import SignIn
from core.store.work import Actor

Answer = TypeVar("Answer")
_FRESH, _DIRECTORY_FRESH = timedelta(seconds=30), timedelta(seconds=10)
_KEPT, _LATER = "banners", "key-later"
WHY_A_KEY = "Approving changes is then one touch, and nobody can talk you out of a code."
_MOST_ALERTS = 20


@dataclass(frozen=True)
class News:
    """What there is to say. directory: none, answers or away. sealed: how the break-glass account was opened here."""

    at: datetime
    asker: Actor
    directory: str
    glasses: tuple[Glass, ...] = ()
    sealed: SignIn | None = None
    alerts: tuple[AlertCard, ...] = ()
    requests: int = 0
    reviews: int = 0
    late: int = 0
    has_key: bool = False
    may_add_key: bool = False  # without touching one: after a recovery code, for a while
    lacks_key: bool = False


def draw(actor: Actor, *, at_home: bool = False) -> None:
    """Draw them; a question that fails is left out, since a banner must never stop the page below it.

    at_home: on the page where this person's day begins, the only one with what can wait.
    """
    news = _news(actor)
    for glass in news.glasses:
        if glass.until_at > widgets.now():
            _glass(glass)
    if news.sealed:
        _above(
            "warn",
            f"This is the sealed account, open until {widgets.when(news.sealed.ends_at)}",
            f"Reason given: {news.sealed.reason or 'none'}. The admins have been told. It cannot approve changes.",
        )
    if actor.bounds.keyless:
        _keyless(news)
    _directory(actor, news)
    _waiting(news)
    if at_home and news.lacks_key and not st.session_state.get(_LATER):
        _nudge()


def forget() -> None:
    """Ask anew at the next run: something was just done."""
    st.session_state.pop(_KEPT, None)


def lacks_key(me: PersonCard) -> bool:
    """Whether this is an admin without a key, at an address where keys work, and may do without."""
    bounds = desk.actor().bounds
    return (
        Role.ADMIN in me.roles
        and not (me.is_break_glass or me.keys or bounds.reduced or bounds.keyless)
        and not why_no_keys_at(desk.origin(), only_at=door().origins)
    )


# What there is --------------------------------------------------------------------------------------------------


def _news(actor: Actor) -> News:
    kept: News | None = st.session_state.get(_KEPT)
    # Whoever may do less than a moment ago is not told what they heard before.
    if kept is None or kept.asker != actor or widgets.now() - kept.at >= _FRESH:
        kept = st.session_state[_KEPT] = _asked(actor)
    return kept


def _asked(actor: Actor) -> News:
    reviews = _if_may(actor, P.GLASS_REVIEW, access.glass_to_review) or ()
    me = desk.glance(people.me)
    return News(
        widgets.now(),
        actor,
        _is_there(),
        glasses=desk.glance(access.my_glass) or (),
        sealed=_sealed(me),
        has_key=me is not None and me.keys > 0,
        may_add_key=actor.bounds.keyless and bool(desk.glance(factors.is_proved, purpose="factors")),
        lacks_key=me is not None and lacks_key(me),
        alerts=_if_may(actor, P.ALERT_SEE, alerts.alerts, size=_MOST_ALERTS) or (),
        requests=_if_may(actor, P.CHANGE_SEE, changes.waiting) or 0,
        reviews=sum(not g.is_mine for g in reviews),
        late=sum(g.is_late and not g.is_mine for g in reviews),
    )


def _if_may(actor: Actor, permission: P, question: Callable[..., Answer], **how: Any) -> Answer | None:
    return desk.glance(question, **how) if actor.may(permission) else None


def _sealed(me: PersonCard | None) -> SignIn | None:
    if me is None or not me.is_break_glass:
        return None
    return next(iter(desk.glance(sessions.my_sign_ins, size=1) or ()), None)


# A directory that hangs takes seconds to say nothing: one session asks for all of them.
_lock = threading.Lock()
_said: tuple[datetime, str] | None = None


def _is_there() -> str:
    global _said
    if _said is not None and widgets.now() - _said[0] < _DIRECTORY_FRESH:
        return _said[1]
    # Whoever comes while somebody asks goes on with the last word, and waits only where there is none yet.
    if not _lock.acquire(blocking=_said is None):
        return _said[1] if _said is not None else "none"
    try:
        if _said is None or widgets.now() - _said[0] >= _DIRECTORY_FRESH:
            _said = (widgets.now(), desk.glance(groups.directory_is_there) or "none")
        return _said[1]
    finally:
        _lock.release()


# Drawing --------------------------------------------------------------------------------------------------------


def _above(tone: str, head: str, more: str) -> None:
    st.html(
        f'<div class="sorg-above sorg-{tone}" role="status"><b>{widgets.SIGNS.get(tone, "▲")} {escape(head)}</b>'
        f"<span>{escape(more)}</span></div>"
    )


def _glass(glass: Glass) -> None:
    here = desk.about("patient") == glass.patient_id
    head = (
        "This record is open to you because you broke the glass"
        if here
        else (f"You broke the glass: {glass.name}, file {glass.file_number}")
    )
    more = (
        f"Open until {widgets.when(glass.until_at)}. Your reason: {glass.reason} · "
        "Everything you do with it is on record and is reviewed today."
    )
    _above("glass", head, more)
    with st.container(horizontal=True, vertical_alignment="center", key=f"sorg-glass-{glass.id}"):
        if not here and desk.has_page("patients"):
            st.page_link(
                desk.page("patients"),
                label="Open this patient",
                icon=":material/person:",
                query_params={"patient": str(glass.patient_id)},
            )
        if st.button(
            "Close it now",
            key=f"close-glass-{glass.id}",
            type="tertiary",
            icon=":material/lock:",
            help="You no longer need this record. It is reviewed all the same.",
        ):
            _close(glass, here=here)


def _close(glass: Glass, *, here: bool) -> None:
    forget()
    if not desk.do(access.close_glass, glass.id):
        return
    said = f"File {glass.file_number} is closed to you again."
    if here and desk.has_page("patients"):
        # The page below has nothing left to show.
        desk.say(said)
        desk.go("patients")
    desk.again(said)


def _keyless(news: News) -> None:
    """What is shut, and the one touch that opens it and leads back to this page."""
    here = urlsplit(str(st.context.url or "")).path or "/"
    touch = ("Touch my key", f"/stepup?for={factors.ADMIN}&next={quote(here, safe='')}")
    head, more, way = (
        "You are signed in without your key",
        "What admins do is closed until you touch it.",
        touch,
    )
    if not news.has_key:
        head, more = (
            "You have no key yet",
            "What admins do is closed until you add one: a security key, your phone or this computer.",
        )
        way = ("Add my first key", "/account/keys/new")
    elif news.may_add_key:
        more = "What admins do is closed until you touch it. Is it lost? You came in with a recovery code: add another key now."
        way = ("Add another key", "/account/keys/new")
    if why_none := why_no_keys_at(desk.origin(), only_at=door().origins):
        _above("warn", head, f"What admins do is closed, and opens at another address alone. {why_none}")
        return
    with st.container(horizontal=True, vertical_alignment="center", key="sorg-keyless"):
        _above("warn", head, more)
        widgets.way(*way, strong=True, width="content")
        if way != touch and news.has_key:
            widgets.way(*touch, width="content")


def shut(title: str) -> None:
    """A page of the admin's in a session that lacks the key: the banner above it leads to the key, and back here."""
    widgets.title(title)
    widgets.empty(
        "This page opens with your key", "It is part of what admins do. How to open it is said above."
    )
    st.page_link(desk.page("my_account"), label="My account", icon=":material/account_circle:")


def _directory(actor: Actor, news: News) -> None:
    if news.directory == "away":
        _above(
            "warn",
            "The directory does not answer",
            "Who has signed in before comes in with the password of the last time, for three days at most. Managing people, "
            "approving changes and importing tables wait until it is back."
            if not actor.bounds.reduced
            else "You came in with the password of the last time, so some things are shut to you: managing people, approving "
            "changes, importing tables, reviewing a broken glass. Patients and reports go on as usual.",
        )
    elif actor.bounds.reduced:
        _above(
            "info",
            "The directory is back",
            "You signed in while it was away, with fewer rights. Sign out and in again for all of them.",
        )


def _waiting(news: News) -> None:
    """What waits for this person, as one quiet row."""
    if not (news.alerts or news.requests or news.reviews):
        return
    row = st.container(horizontal=True, vertical_alignment="center", key="sorg-waiting")
    if news.alerts:
        many = f"{len(news.alerts)}+" if len(news.alerts) == _MOST_ALERTS else str(len(news.alerts))
        with row.popover(f"{many} {_s(len(news.alerts), 'alert')}", icon=":material/notifications_active:"):
            _alerts(news.alerts)
    if news.requests and desk.has_page("requests"):
        row.page_link(
            desk.page("requests"),
            label=f"{news.requests} {_s(news.requests, 'request')} to decide",
            icon=":material/rule_settings:",
        )
    if news.reviews and desk.has_page("glass_review"):
        late = f", {news.late} overdue" if news.late else ""
        row.page_link(
            desk.page("glass_review"),
            label=f"{news.reviews} broken {_s(news.reviews, 'glass', 'glasses')} to review{late}",
            icon=":material/emergency_home:",
        )


def _nudge() -> None:
    """Offered once a sign-in, on the first page alone."""
    with st.container(horizontal=True, vertical_alignment="center", key="sorg-nudge"):
        st.html(f'<b>Add a key.</b> <span class="sorg-soft">{escape(WHY_A_KEY)}</span>')
        with st.container(horizontal=True, vertical_alignment="center", width="content"):
            widgets.way("Add a key", "/account/keys/new", width="content")
            if st.button("Not now", key="key-not-now", type="tertiary"):
                st.session_state[_LATER] = True
                st.rerun()


def _alerts(found: tuple[AlertCard, ...]) -> None:
    for alert in found:
        left, right = st.columns([5, 1.4], vertical_alignment="center")
        left.html(
            f'<span>{escape(alert.sentence)}</span> <span class="sorg-soft">{widgets.when(alert.at)}</span>'
        )
        if right.button("Seen", key=f"seen-{alert.id}", width="stretch") and desk.do(
            alerts.mark_seen, alert.id
        ):
            forget()
            desk.again("Noted, with your name.")


def _s(count: int, one: str, many: str = "") -> str:
    return one if count == 1 else many or f"{one}s"
