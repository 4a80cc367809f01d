"""Who may see a patient: who is let in beside the rule, who is kept out, and asking for either."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any
from uuid import UUID

import streamlit as st

from console import accounts, banners, desk, widgets
from core import access, changes, people
from core.access import BLOCKS, LONGEST_GRANT, PatientAccess, Right
from core.change_cards import RequestCard
from core.people import OUTSIDE, PersonCard
from core.rules.reasons import LONGEST_WHY, SHORTEST_REASON
from core.rules.roles import Permission
from core.rules.za_time import day_bounds

_EVERYBODY, _TURN = "Everybody", "access-turn"
_MOST = 50
_AT_LEAST = f"At least {SHORTEST_REASON} characters"
_WHAT = {
    "grant": "Let in",
    "block": "Kept out",
    "glass": "Broke the glass",
    "own": "Kept out: their own record",
}
_FORMS = {"grant": "Give access", "block": "Close the record"}


def render() -> None:
    patient_id = desk.about("patient")
    if patient_id is None:
        _look_up()
        return
    card = desk.ask(access.access_of, patient_id)
    widgets.title(
        card.name,
        f"File {card.file_number}. Who may see this patient beside the usual rule, and who may not.",
    )
    row = st.container(horizontal=True)
    if row.button("Another patient", icon=":material/arrow_back:", type="tertiary"):
        desk.go("patient_access")
    if desk.has_page("audit") and row.button(
        "Who looked at this patient", icon=":material/policy:", type="tertiary"
    ):
        desk.go("audit", patient=patient_id)
    _waiting(patient_id)
    _rights(card)
    if desk.may(Permission.PEOPLE_MANAGE):
        _ask(card)


def _look_up() -> None:
    widgets.title(
        "Who may see a patient", "Let a colleague in to one patient's record, or close it to somebody."
    )
    with st.form("access-look-up", border=True):
        left, right = st.columns([4, 1], vertical_alignment="bottom")
        number = left.text_input(
            "Number of the patient or the study",
            max_chars=64,
            key="access-number",
            placeholder="File number, accession number or SA ID number, digit by digit",
        )
        sent = right.form_submit_button("Look up", type="primary", width="stretch", icon=":material/search:")
    if sent and number.strip() and (done := desk.do(access.look_up, number=number)):
        desk.go("patient_access", patient=done.value)
    st.caption(
        "Only a whole number finds anybody, and each look-up is on record. What each role sees without all this is "
        "under My account and in the people's cards."
    )


# What stands ----------------------------------------------------------------------------------------------------


def _waiting(patient_id: UUID) -> None:
    """What was asked for and is not decided yet."""
    found: list[RequestCard] = [r for r in desk.ask(changes.requests) if r.patient_id == patient_id]
    for request in found:
        why = f": {desk.plain(request.why)}" if request.why else ""
        st.info(
            f"**{desk.plain(request.label)}** waits for another admin. Asked by {desk.plain(request.asked_by)}{why}",
            icon=":material/hourglass_top:",
        )
    if found and desk.has_page("requests"):
        st.page_link(desk.page("requests"), label="Requests to decide", icon=":material/rule_settings:")


def _rights(card: PatientAccess) -> None:
    if not card.rights:
        widgets.empty(
            "Only the usual rule",
            "Nobody is let in beside their role and site, nobody is kept out, and nobody broke the glass.",
        )
        return
    if any(r.stands and r.what == "block" and r.person_id is None for r in card.rights):
        st.warning(
            "This record is closed to everybody who has no access of their own.", icon=":material/lock:"
        )
    chosen = widgets.pick(
        f"rights-{card.patient_id}",
        [_row(r) for r in card.rights],
        [r.id for r in card.rights],
        columns={"Why": st.column_config.TextColumn(width="large")},
    )
    right = next((r for r in card.rights if r.id == chosen), None)
    if not desk.may(Permission.PEOPLE_MANAGE):
        return
    if right is not None and right.what == "own" and right.person_id:
        st.caption("That a record is somebody's own is asked for, and ended, on their page.")
        if desk.has_page("people") and st.button(
            "Open the person", icon=":material/person:", type="tertiary"
        ):
            desk.go("people", person=right.person_id)
        return
    if right is None or not right.stands or right.what == "glass":
        st.caption(
            "Choose a row that stands to ask that it ends. A broken glass ends by itself, and by its review."
        )
        return
    _ask_end(right)


def _row(r: Right) -> dict[str, object]:
    state = "✓ stands" if r.stands else "○ over"
    what = _WHAT[r.what] + (f": {BLOCKS[r.kind].lower()}" if r.kind in BLOCKS else "")
    ended = f"{widgets.when(r.ended_at)}, {r.ended_by}" if r.ended_at else ""
    return {
        "State": state,
        "What": what,
        "Who": r.person or _EVERYBODY,
        "Why": r.why,
        "From": widgets.when(r.from_at),
        "Until": widgets.until(r.until_at),
        "Ended": ended,
    }


def _ask_end(right: Right) -> None:
    said = f"{_WHAT[right.what]}: {right.person or _EVERYBODY.lower()}"
    with st.form(f"end-{right.id}", border=True):
        st.write(f"Ask that this ends: **{desk.plain(said)}**")
        why = st.text_input(
            "Why *", max_chars=LONGEST_WHY, placeholder=f"{_AT_LEAST}, for example: the locum has left"
        )
        if st.form_submit_button("Ask for the end", icon=":material/send:") and accounts.has_why(why):
            _send(
                "end-access",
                {"what": right.what, "id": str(right.id), "patient_id": str(right.patient_id)},
                why,
            )


# Asking ---------------------------------------------------------------------------------------------------------


def _ask(card: PatientAccess) -> None:
    widgets.heading("Ask for a change")
    kind = (
        st.segmented_control(
            "What",
            list(_FORMS),
            format_func=_FORMS.__getitem__,
            default="grant",
            key="access-kind",
            label_visibility="collapsed",
        )
        or "grant"
    )
    if kind == "grant":
        _ask_grant(card)
    else:
        _ask_block(card)
    st.caption("Nothing changes until it is approved, with a fresh code or key.")


def _ask_grant(card: PatientAccess) -> None:
    staff = _staff()
    with st.form(f"grant-{card.patient_id}-{_turn()}", border=True):
        a, b = st.columns([3, 1.4])
        who = a.selectbox(
            "Whom to let in",
            list(staff),
            format_func=lambda i: _said(staff[i]),
            index=None,
            placeholder="Choose a member of staff",
        )
        until = _day(b, widgets.today() + timedelta(days=7), longest=LONGEST_GRANT)
        why = st.text_input(
            "Why *",
            max_chars=LONGEST_WHY,
            placeholder=f"{_AT_LEAST}, for example: second opinion for Dr Naidoo",
        )
        if st.form_submit_button("Ask for access", type="primary", icon=":material/send:"):
            _send(
                "grant",
                {
                    "person_id": str(who or ""),
                    "patient_id": str(card.patient_id),
                    "why": why,
                    "until_at": _end_of(until),
                },
                why,
            )


def _ask_block(card: PatientAccess) -> None:
    # Also who has not signed in yet: a record is closed before the new colleague's first day.
    staff = _staff("active", "waits")
    with st.form(f"block-{card.patient_id}-{_turn()}", border=True):
        a, b, c = st.columns([2, 2, 1.4])
        kind = a.selectbox("Why it is closed", list(BLOCKS), format_func=BLOCKS.__getitem__, index=1)
        who = b.selectbox(
            "To whom",
            ["", *staff],
            format_func=lambda i: _said(staff[i]) if i else _EVERYBODY,
            help="Whoever is let in by name, or breaks the glass, still comes in; nobody opens their own "
            "record.",
        )
        until = _day(c, None, help="Empty: until somebody ends it")
        why = st.text_input(
            "In words *",
            max_chars=LONGEST_WHY,
            placeholder=f"{_AT_LEAST}, for example: the mother of our receptionist",
        )
        if st.form_submit_button("Ask to close it", type="primary", icon=":material/send:"):
            _send(
                "block",
                {
                    "patient_id": str(card.patient_id),
                    "person_id": str(who),
                    "kind": kind,
                    "why": why,
                    "until_at": _end_of(until),
                },
                why,
            )


def _staff(*standings: str) -> dict[UUID, PersonCard]:
    """Members of staff to choose from; in a large practice they are searched for first."""
    found, total = _people("", standings)
    if total > _MOST:
        search = st.text_input(
            "Find the person",
            key="access-person",
            placeholder="A few letters of the name or login",
            icon=":material/search:",
        )
        if search.strip():
            found, _ = _people(search, standings)
    return {p.id: p for p in found if not set(OUTSIDE) & set(p.roles)}


def _people(search: str, standings: tuple[str, ...]) -> tuple[list[PersonCard], int]:
    answers = [
        desk.ask(people.people, search=search, standing=s, size=_MOST) for s in standings or ("active",)
    ]
    return [card for cards, _ in answers for card in cards], sum(total for _, total in answers)


def _said(person: PersonCard) -> str:
    return f"{person.name} ({person.login}, {', '.join(person.roles)})"


def _day(
    place: Any, start: date | None, *, longest: timedelta = timedelta(days=3660), help: str = ""
) -> date | None:
    chosen = place.date_input(
        "Until the end of",
        start,
        min_value=widgets.today(),
        max_value=widgets.today() + longest - timedelta(days=1),
        format="DD/MM/YYYY",
        help=help or None,
    )
    return chosen if isinstance(chosen, date) else None


def _end_of(on: date | None) -> str:
    return day_bounds(on)[1].isoformat() if on else ""


def _turn() -> int:
    return st.session_state.get(_TURN, 0)


def _send(kind: str, payload: dict[str, Any], why: str) -> None:
    if desk.do(changes.ask, kind=kind, payload=payload, why=why):
        banners.forget()
        # Forms of a new name are empty again; a refused one keeps what was typed.
        st.session_state[_TURN] = _turn() + 1
        desk.again(accounts.asked())
