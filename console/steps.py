"""What can be done with one study, as buttons: read from the table of steps, never decided here."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

import streamlit as st

from console import desk, widgets
from core import reporting, workflow
from core.rules.roles import Permission
from core.rules.steps import LOOKS
from core.workflow import StudyCard

# Steps that need a page of their own: a text, a second factor, a claim. The others are one press.
PAGE_OF = {
    "pass_on": "study", "skip": "study", "return": "sign_off", "sign": "sign_off", "take": "transcription",
    "put_back": "transcription", "pass_back": "transcription", "claim": "claim",
}  # fmt: skip
_BY_HAND = frozenset({"arrive", "cancel", "begin"})
_WORDS = {
    "sign": "Proof-read and sign", "return": "", "skip": "", "pass_on": "Go on with the report", "put_back": "",
    "pass_back": "Go on correcting", "take": "Take for transcription", "claim": "Code and claim",
}  # fmt: skip


def panel(study_id: UUID, *, on_close: Callable[[], None]) -> None:
    """The chosen study: what it is, what comes next, and the way to its pages."""
    card = desk.ask_if(workflow.open_study, study_id)
    if card is None:
        on_close()
        widgets.empty("This study is not there any more")
        return
    row = card.row
    with st.container(border=True):
        widgets.heading(row.patient)
        st.html(widgets.status_chip(row.status))
        st.caption(LOOKS[row.status].help)
        widgets.facts(
            {
                "Born": f"{widgets.day(row.born_on)} ({widgets.age(row.born_on)}), {widgets.SEXES.get(row.sex, row.sex)}",
                "File": row.file_number,
                "Accession": row.accession,
                "Study": row.description,
                "Booked for": widgets.when(row.booked_for_at),
                "Referrer": row.referrer,
                "Radiologist": row.radiologist,
                "Held by": card.lease_holder,
                "Images": str(row.image_count or ""),
                "History": card.clinical_history[:300],
            }
        )
        buttons(card, place="panel")
        left, right = st.columns(2)
        if desk.has_page("study") and left.button("Open study", key="panel-study", width="stretch"):
            desk.go("study", study=study_id)
        if desk.has_page("patients") and right.button("Patient", key="panel-patient", width="stretch"):
            desk.go("patients", patient=row.patient_id)
        if st.button("Close", key="panel-close", type="tertiary"):
            on_close()
            st.rerun()


def buttons(card: StudyCard, *, place: str) -> None:
    """One button for each step this person may take now."""
    for name in card.offers:
        if name in PAGE_OF:
            _page_button(name, card, place)
        elif name == "cancel":
            _cancel_button(card, place)
        elif name in _BY_HAND and st.button(
            card.offers[name].label, key=f"{place}-{name}", type="primary", width="stretch"
        ):
            _take(name, card)


def _take(name: str, card: StudyCard) -> None:
    if name == "begin":
        if desk.do(reporting.begin, card.row.id):
            desk.go("study", study=card.row.id)
    elif desk.do(workflow.take, card.row.id, step=name):
        desk.again(f"{card.row.patient}: {LOOKS[card.offers[name].after].label}.")


def _page_button(name: str, card: StudyCard, place: str) -> None:
    page, words = PAGE_OF[name], _WORDS[name]
    own = card.radiologist_id is None or str(card.radiologist_id) == desk.actor().id
    if not words or not desk.has_page(page) or (card.offers[name].may in _OWN and not own):
        return
    if st.button(words, key=f"{place}-{name}", type="primary", width="stretch"):
        desk.go(page, study=card.row.id)


def _cancel_button(card: StudyCard, place: str) -> None:
    with st.popover("Cancel the examination", width="stretch"):
        st.write("The booking is called off. It stays on record and cannot be brought back.")
        if st.button("Yes, cancel it", key=f"{place}-cancel"):
            _take("cancel", card)


_OWN = frozenset({Permission.REPORT_WRITE, Permission.REPORT_SIGN})
