"""The audit trail: who did what, who looked at a patient, and whether the chain is whole."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import streamlit as st

from console import desk, takeout, widgets
from core import access, people, privacy
from core.privacy import EntryCard, Questions
from core.rules.acts import ACTS, say_act
from core.rules.roles import Permission

_OUTCOMES = {"": "Every outcome", "done": "Done", "refused": "Refused"}
_NO_STAFF = {"": "Everyone", "system": "Sorg itself", "nobody": "Not signed in yet"}
SIZE = 100
_LONGEST = 500
# Together as wide as a laptop's screen of 1366 px leaves beside the menu.
_WIDTHS = {
    "No.": 48,
    "When": 124,
    "Who": 124,
    "What was done": 262,
    "About": 146,
    "Details": 200,
    "From": 127,
}


def render() -> None:
    if patient_id := desk.about("patient"):
        _who_looked(patient_id)
    else:
        _all()


def _all() -> None:
    widgets.title("Audit trail", "Every act, newest first. Nothing here can be changed.")
    if desk.has_page("patient_access") and st.button(
        "One patient",
        icon=":material/policy:",
        type="tertiary",
        help="Look the patient up, then: Who looked at this patient",
    ):
        desk.go("patient_access")
    a, b, c, d = st.columns([2, 2, 1.4, 2])
    act = a.selectbox(
        "Act",
        ["", *sorted(ACTS, key=say_act)],
        format_func=lambda p: say_act(p) if p else "Every act",
        key="audit-act",
        label_visibility="collapsed",
    )
    staff = {str(p.id): p.name for p in desk.ask(people.people, size=500)[0]}
    who = b.selectbox(
        "Who",
        [*_NO_STAFF, *staff],
        format_func=lambda i: _NO_STAFF.get(i) or staff[i],
        key="audit-who",
        label_visibility="collapsed",
    )
    outcome = c.selectbox(
        "Outcome",
        list(_OUTCOMES),
        format_func=_OUTCOMES.__getitem__,
        key="audit-outcome",
        label_visibility="collapsed",
    )
    nothing: Any = ()
    days = d.date_input(
        "Days",
        nothing,
        format="DD/MM/YYYY",
        key="audit-days",
        label_visibility="collapsed",
        max_value=widgets.today(),
        help="Empty: all days",
    )
    span = tuple(days) if isinstance(days, tuple | list) else (days,)
    asked = Questions(act, who, outcome, span[0] if span else None, span[-1] if span else None)
    _entries("audit", asked, lambda before: desk.ask(privacy.entries, asked, before=before, size=SIZE))
    takeout.offer(
        "Take these entries out",
        privacy.take_out,
        asked,
        purpose=privacy.TAKE_OUT,
        file_name="audit.csv",
        next="/audit",
        most=privacy.MOST_TAKEN,
    )
    if desk.may(Permission.SYSTEM_SEE):
        _chain()


def _who_looked(patient_id: UUID) -> None:
    # A record that is closed to whoever oversees it must not be closed to the overseeing.
    card = desk.ask(access.access_of, patient_id)
    widgets.title(
        "Who looked at this patient", f"{card.name}, file {card.file_number}. Every act, newest first."
    )
    if st.button("Back to the patient", icon=":material/arrow_back:", type="tertiary"):
        desk.go("patients", patient=patient_id)
    _entries(
        f"looked-{patient_id}",
        patient_id,
        lambda before: desk.ask(privacy.who_looked, patient_id, before=before, size=SIZE),
    )
    takeout.offer(
        "Take these entries out",
        privacy.take_out,
        patient_id=patient_id,
        purpose=privacy.TAKE_OUT,
        file_name=f"audit-{card.file_number}.csv",
        next=f"/audit?patient={patient_id}",
        most=privacy.MOST_TAKEN,
    )


def _entries(name: str, narrowed: Any, ask: Any) -> None:
    """One page by cursor: the trail grows for years, so that it is never counted and never skipped through."""
    at_trail = f"trail-{name}"
    trail: list[int] = st.session_state.setdefault(at_trail, [])
    if st.session_state.get(f"{at_trail}-for") != narrowed:
        st.session_state[f"{at_trail}-for"] = narrowed
        trail.clear()
    entries: tuple[EntryCard, ...] = ask(trail[-1] if trail else None)
    if not entries and not trail:
        widgets.empty("Nothing on record fits", "Widen the filters to see more.")
        return
    columns = {name: st.column_config.Column(width=width) for name, width in _WIDTHS.items()}
    widgets.table([_row(e) for e in entries], columns=columns, height=560)
    a, b, _ = st.columns([1, 1, 4])
    if a.button("Newer", disabled=not trail, width="stretch", key=f"newer-{name}"):
        trail.pop()
        st.rerun()
    if b.button("Older", disabled=len(entries) < SIZE, width="stretch", key=f"older-{name}"):
        trail.append(entries[-1].seq)
        st.rerun()


def _row(e: EntryCard) -> dict[str, object]:
    return {
        "No.": e.seq,
        "When": widgets.when(e.at),
        "Who": e.by,
        "What was done": e.done if e.outcome == "done" else f"✕ {e.outcome}: {e.done}",
        "About": e.about,
        "Details": _cut(e.details),
        "From": f"{e.channel} {e.address}".strip(),
    }


def _cut(text: str) -> str:
    """A long note is all in the file that is taken out, and on its own page."""
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]} … (cut)"


def _chain() -> None:
    widgets.heading("Is the chain whole?")
    st.caption(
        "Each entry is sealed with the one before it. A changed, missing or swapped entry breaks the chain there."
    )
    if st.button("Verify the chain", icon=":material/verified_user:"):
        with st.spinner("Walking the chain …"):
            verdict = desk.ask(privacy.verify_chain)
        if verdict.broken_at is None:
            st.success(f"Whole: {verdict.entries} entries.", icon=":material/check_circle:")
            widgets.facts({"Tail": verdict.tail})
        else:
            st.error(
                f"Broken at entry {verdict.broken_at}: {verdict.why}. Tell the information officer before anything else "
                "is done.",
                icon=":material/gpp_bad:",
            )
