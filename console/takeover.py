"""Take over a report whose own radiologist cannot go on with it."""

from __future__ import annotations

from uuid import UUID

import streamlit as st

from console import desk, editor
from core import reporting
from core.rules.roles import Permission
from core.rules.steps import Status
from core.workflow import StudyCard

OPEN = (Status.REPORTING, Status.TO_TRANSCRIBE, Status.TRANSCRIBING, Status.PROOFREADING)


def is_anothers(card: StudyCard) -> bool:
    """True when this person reports, and the report in hand is another radiologist's."""
    return (
        desk.may(Permission.REPORT_WRITE)
        and card.row.status in OPEN
        and card.radiologist_id is not None
        and str(card.radiologist_id) != desk.actor().id
    )


def offer(card: StudyCard) -> None:
    """The way to take it over, with the reason that stays on record; nothing when it is one's own."""
    if not is_anothers(card):
        return
    study_id: UUID = card.row.id
    with st.popover("Take this report over…", width="stretch", icon=":material/swap_horiz:"):
        st.write(
            f"{desk.plain(card.row.radiologist)} began this report. From now on it is yours to finish and to sign. The texts "
            "so far stay, with the name of whoever wrote them."
        )
        reason = st.text_input(
            "Why?",
            key=f"takeover-{study_id}",
            max_chars=300,
            placeholder="For example: on leave until Monday",
        )
        if st.button("Take it over", key=f"takeover-do-{study_id}", type="primary") and desk.do(
            reporting.take_over, study_id, reason=reason
        ):
            editor.close(study_id)
            desk.again("The report is yours now.")
