"""My account: who I am here, what proves it, where I am signed in, and what I may see and open."""

from __future__ import annotations

import streamlit as st

from console import banners, desk, nav, widgets
from console.door import door
from core import activation, factors, people, sessions
from core.factors import Factors, KeyCard
from core.people import PersonCard
from core.rules.roles import SCOPES, Role, Scope
from core.store.work import Actor

_METHODS = {"code": "code of the app", "key": "key", "recovery": "recovery code", "sso": "single sign-on"}
_SPAN = {"Account": "account", "Signed in": "sessions", "What I can open": "pages"}


def render() -> None:
    me, actor = desk.ask(people.me), desk.actor()
    widgets.title("My account", "As your practice's admin has set it up.")
    chosen = st.segmented_control(
        "View", list(_SPAN), default="Account", key="account-view", label_visibility="collapsed"
    )
    if chosen == "Signed in":
        _sessions()
    elif chosen == "What I can open":
        _pages(actor)
    else:
        _account(me, actor)


# Who I am, and what proves it -----------------------------------------------------------------------------------


def _account(me: PersonCard, actor: Actor) -> None:
    left, right = st.columns([1, 1.3], gap="large")
    with left:
        widgets.heading("Who I am here")
        widgets.facts(
            {
                "Name": me.name,
                "Signs in as": me.login,
                "Roles": ", ".join(me.roles),
                "Sees": _sees(me, actor),
                "Registration": me.registration,
                "Practice number": me.practice_number,
                "E-mail": me.email,
                "Last sign-in": widgets.when(me.last_sign_in_at),
            }
        )
        st.caption("Something is wrong here? Your practice's admin can change it under People.")
    with right:
        widgets.heading("What proves that it is me")
        _factors(desk.ask(factors.mine), me)


_KEPT = {
    "local": "kept here",
    "directory": "kept in the practice's directory",
    "sso": "kept by the single sign-on",
}


def _sees(me: PersonCard, actor: Actor) -> str:
    """Whose patients, in words. What a grant, a block or a broken glass changes is not in it."""
    widest = min((SCOPES[Role(r)] for r in me.roles), key=list(Scope).index, default=Scope.NONE)
    scope = Scope(me.scope) if me.scope else widest
    sites = ", ".join(sorted(actor.bounds.sites or {door().house.origin}))
    return {
        Scope.ALL: "every patient of the practice",
        Scope.SITE: f"patients of site {sites}",
        Scope.ASSIGNED: "patients whose studies are mine, or that I worked on",
        Scope.NONE: "no patient by name",
    }.get(scope, "my own")


def _factors(mine: Factors, me: PersonCard) -> None:
    if banners.lacks_key(me):
        st.info(f"**Add a key.** {banners.WHY_A_KEY}", icon=":material/key:")
    if mine.rests_until and mine.rests_until > widgets.now():
        st.warning(
            f"Codes rest until {widgets.when(mine.rests_until)}, after too many wrong ones. A key still works.",
            icon=":material/timer:",
        )
    _password(me)
    app = ("in use", "good", "Use a new phone") if mine.code else ("not set up", "warn", "Set it up")
    _proof("Authenticator app", *app, href="/account/app")
    left = mine.recovery_codes
    tone = "good" if left > 3 else "warn" if left else "bad"
    _proof(
        "Recovery codes",
        f"{left} left" if left else "none",
        tone,
        "Make new ones",
        href="/account/recovery",
        more="for the day the phone is lost",
    )
    needed = desk.actor().bounds.keyless
    keys = (
        (str(len(mine.keys)), "good") if mine.keys else ("needed", "warn") if needed else ("none", "neutral")
    )
    _proof(
        "Keys",
        *keys,
        "Add a key",
        href="/account/keys",
        more="a fingerprint, a face or a key on the key ring: quicker than a code",
    )
    for key in mine.keys:
        _key(key)


def _password(me: PersonCard) -> None:
    """Where it can be changed here, the way to it; else who keeps it."""
    kept = desk.ask(activation.who_keeps_my_password)
    if kept:
        widgets.line("Password", _KEPT[me.directory], "neutral", kept)
    else:
        _proof(
            "Password",
            _KEPT[me.directory],
            "good",
            "Change it",
            href="/account/password",
            more="changing it signs you out everywhere else",
        )


def _proof(name: str, word: str, tone: str, way: str, *, href: str, more: str = "") -> None:
    left, right = st.columns([2.5, 1.2], vertical_alignment="center")
    with left:
        widgets.line(name, word, tone, more)
    with right:
        widgets.way(way, href)


def _key(key: KeyCard) -> None:
    left, right = st.columns([2.5, 1.2], vertical_alignment="center")
    used = f"last used {widgets.when(key.used_at)}" if key.used_at else "not used yet"
    with left:
        widgets.line(key.name, "in use", "good", f"added {widgets.when(key.made_at)}, {used}")
    with right:
        widgets.way("Take away", f"/account/keys/remove?key={key.id}")


# Where I am signed in -------------------------------------------------------------------------------------------


def _sessions() -> None:
    widgets.heading("Signed in now")
    found = desk.ask(sessions.my_sessions)
    for session in found:
        with st.container(border=True):
            left, right = st.columns([4, 1.3], vertical_alignment="center")
            with left:
                widgets.line(
                    session.from_address or "this machine",
                    "this window" if session.is_mine else "another one",
                    "good" if session.is_mine else "info",
                    f"since {widgets.when(session.begun_at)}, last used {widgets.when(session.seen_at)}",
                )
            if session.is_mine:
                continue
            ends = right.button("End it", key=f"end-{session.id}", width="stretch", icon=":material/logout:")
            if ends and desk.do(sessions.end_my_session, session.id):
                desk.again("Ended. That browser is signed out at its next step.")
    if len(found) < 2:
        st.caption("Nowhere else. Sign out of this window at the foot of the menu.")
    elif st.button("End all the others", key="end-others", icon=":material/logout:") and (
        done := desk.do(sessions.end_my_other_sessions)
    ):
        desk.again(
            "Ended. You are signed in here alone." if done.value else "There was no other one any more."
        )
    widgets.heading("The last sign-ins")
    widgets.table(
        [
            {
                "When": widgets.when(s.at),
                "From": s.from_address or "this machine",
                "With": _METHODS.get(s.method, s.method),
                "Note": "while the directory was away" if s.is_away else s.reason,
                "Ended": f"{widgets.when(s.ended_at)}, {s.ended_why}" if s.ended_at else "",
            }
            for s in desk.ask(sessions.my_sign_ins)
        ]
    )
    st.caption(
        "One of them was not you? End it, change your password, then tell your practice's admin at once."
    )
    if halves := desk.ask(sessions.my_half_sign_ins):
        widgets.heading("Right password, and then nothing")
        widgets.table(
            [
                {
                    "When": widgets.when(h.at),
                    "From": h.from_address or "this machine",
                    "At": "the patients' door" if h.channel == sessions.GATEWAY else "the console",
                }
                for h in halves
            ]
        )
        st.caption(
            "Somebody typed your password and no code or key came after it. Was that not you with your phone in another room? "
            "Then change your password now."
        )


# What I can open ------------------------------------------------------------------------------------------------


def _pages(actor: Actor) -> None:
    for group in nav.GROUPS:
        rows = [
            p
            for p in nav.pages_for(actor.roles, keyless=actor.bounds.keyless)
            if p.in_menu and p.group == group
        ]
        if rows:
            widgets.heading(group)
        for row in rows:
            st.page_link(desk.page(row.key), label=row.title, icon=f":material/{row.icon}:")
