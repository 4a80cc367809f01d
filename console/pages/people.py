"""People: who works here, what they may do, and where they are signed in."""

from __future__ import annotations

from uuid import UUID

import streamlit as st

from console import desk, widgets
from core import people, signin
from core.people import PersonCard, Welcome
from core.rules.roles import ROLES, STAFF, Permission, Role

_ABOUT = {
    Role.ADMIN: "people, links, audit and the system", Role.MANAGER: "everything at a glance, and the audit trail",
    Role.RECEPTION: "patients, bookings and links", Role.RADIOGRAPHER: "patients, images and quarantine",
    Role.RADIOLOGIST: "images, reports and signatures", Role.TRANSCRIPTIONIST: "drafts in transcription",
    Role.BILLING: "codes, claims and remittances", Role.ANALYST: "figures without names",
}  # fmt: skip


def render() -> None:
    if st.query_params.get("new") and desk.may(Permission.PEOPLE_MANAGE):
        _add()
    elif person_id := desk.about("person"):
        _one(person_id)
    else:
        _list()


def _list() -> None:
    widgets.title("People", "Who works here and what they may do.")
    left, right = st.columns([4, 1])
    search = left.text_input("Search", key="people-search", placeholder="Name", icon=":material/search:",
                             label_visibility="collapsed")  # fmt: skip
    if desk.may(Permission.PEOPLE_MANAGE) and right.button("Add a person", type="primary", width="stretch",
                                                           icon=":material/person_add:"):  # fmt: skip
        desk.go("people", new="1")
    at = widgets.page_number("people", narrowed=search)
    cards, total = desk.ask(people.people, search=search, page=at, size=widgets.PER_PAGE)
    if not cards:
        widgets.empty("Nobody of that name", "Clear the search to see everyone.")
        return
    chosen = widgets.pick(
        "people",
        [
            {"Name": c.name, "Signs in as": c.login, "Roles": list(c.roles),
             "State": "✓ active" if c.is_active else "✕ shut out", "Second factor": "yes" if c.has_second_factor else "no",
             "Last sign-in": widgets.when(c.last_sign_in_at)}
            for c in cards
        ],
        [c.id for c in cards], columns={"Roles": st.column_config.ListColumn()},
    )  # fmt: skip
    widgets.pager("people", total, what="people")
    if chosen:
        widgets.unpick("people")
        desk.go("people", person=chosen)
    _sessions(None)


def _add() -> None:
    widgets.title("Add a person", "A local account with a password and a second factor.")
    if st.button("Back to people", icon=":material/arrow_back:", type="tertiary"):
        st.session_state.pop("welcome", None)
        desk.go("people")
    welcome: Welcome | None = st.session_state.get("welcome")
    if welcome is not None:
        _welcome(welcome)
        return
    with st.form("person", border=True):
        a, b = st.columns(2)
        name = a.text_input("Name", max_chars=120, placeholder="Dr Sipho Dlamini")
        login = b.text_input("Signs in as", max_chars=64, placeholder="sipho.dlamini")
        roles = st.multiselect(
            "Roles", list(STAFF), format_func=lambda r: f"{r}: {_ABOUT[r]}", placeholder="At least one"
        )
        password = st.text_input("First password", type="password", max_chars=256, help="At least 12 characters.",
                                 autocomplete="new-password")  # fmt: skip
        a, b, c = st.columns(3)
        registration = a.text_input("HPCSA registration", max_chars=40, help="For those who sign reports.")
        number = b.text_input("Practice number", max_chars=13)
        email = c.text_input("E-mail", max_chars=120)
        if st.form_submit_button("Add", type="primary"):
            done = desk.do(people.add_person, login=login, name=name, roles=tuple(roles), password=password,
                           registration=registration, practice_number=number, email=email)  # fmt: skip
            if done:
                st.session_state["welcome"] = done.value
                desk.again(f"{name} can sign in now.")


def _welcome(welcome: Welcome) -> None:
    st.success(f"{desk.plain(welcome.person.name)} can sign in as **{desk.plain(welcome.person.login)}** with the password you "
               "chose.", icon=":material/check_circle:")  # fmt: skip
    left, right = st.columns([1, 2], gap="large")
    with left:
        widgets.qr(welcome.otpauth)
    with right:
        widgets.heading("The second factor, shown once")
        st.write(
            "Let them scan this with an authenticator app now, or type the code below into it. It is not shown again."
        )
        widgets.code(" ".join(welcome.secret[i : i + 4] for i in range(0, len(welcome.secret), 4)))
        if st.button("They have it: hide it", type="primary"):
            st.session_state.pop("welcome", None)
            desk.go("people", person=welcome.person.id)


def _one(person_id: UUID) -> None:
    card = desk.ask_if(people.person, person_id)
    if card is None:
        widgets.title("People")
        widgets.empty("This person is not there")
        if st.button("Back to people", icon=":material/arrow_back:", type="tertiary"):
            desk.go("people")
        return
    widgets.title(card.name, f"Signs in as {card.login}.")
    if st.button("Back to people", icon=":material/arrow_back:", type="tertiary"):
        desk.go("people")
    widgets.show_chip("Active" if card.is_active else "Shut out", "good" if card.is_active else "bad")
    left, right = st.columns(2, gap="large")
    with left:
        widgets.facts({
            "Roles": ", ".join(card.roles), "Registration": card.registration, "Practice number": card.practice_number,
            "E-mail": card.email, "Second factor": "set up" if card.has_second_factor else "not set up",
            "Last sign-in": widgets.when(card.last_sign_in_at),
        })  # fmt: skip
        with st.expander("What these roles may do"):
            words = sorted({str(p) for r in card.roles for p in ROLES[Role(r)]})
            st.caption(", ".join(words))
    if desk.may(Permission.PEOPLE_MANAGE):
        with right:
            _manage(card)
    _sessions(person_id)


def _manage(card: PersonCard) -> None:
    with st.form(f"roles-{card.id}-{card.roles}", border=True):
        roles = st.multiselect("Roles", list(STAFF), default=[Role(r) for r in card.roles],
                               format_func=lambda r: f"{r}: {_ABOUT[r]}")  # fmt: skip
        if st.form_submit_button("Change the roles") and desk.do(
            people.set_roles, card.id, roles=tuple(roles)
        ):
            desk.again("Changed. It holds from their next step on.")
    if card.is_active:
        with st.popover("Shut out", width="stretch", icon=":material/block:"):
            st.write("Open sessions end at once. Everything they did stays on record.")
            if st.button("Shut them out", type="primary") and desk.do(
                people.set_active, card.id, active=False
            ):
                desk.again("Shut out.")
    elif st.button("Let them in again", width="stretch") and desk.do(people.set_active, card.id, active=True):
        desk.again("They can sign in again.")


def _sessions(person_id: UUID | None) -> None:
    found = desk.ask(signin.sessions, person_id=person_id)
    widgets.heading("Signed in now")
    if not found:
        widgets.empty("Nobody is signed in" if person_id is None else "Not signed in anywhere")
        return
    chosen = widgets.pick(
        f"sessions-{person_id}",
        [
            {"Name": s.name, "From": s.from_address, "Since": widgets.when(s.begun_at), "Last used": widgets.when(s.seen_at),
             "Ends": widgets.when(s.ends_at)}
            for s in found
        ],
        [s.id for s in found],
    )  # fmt: skip
    if not desk.may(Permission.PEOPLE_MANAGE):
        return
    if (
        st.button(
            "End this session",
            disabled=chosen is None,
            icon=":material/logout:",
            help="Choose a row first. That browser is signed out at its next step.",
        )
        and chosen
        and desk.do(signin.end_session, chosen)
    ):
        widgets.unpick(f"sessions-{person_id}")
        desk.again("Ended.")
