"""One study: its images beside the report that is being written, or the signed report, and what comes next."""

from __future__ import annotations

from uuid import UUID

import streamlit as st

from console import desk, editor, steps, takeover, widgets
from console.signed import signed_report
from core import reporting, workflow
from core.rules.roles import Permission
from core.rules.steps import FINAL, LOOKS, Status
from core.workflow import StudyCard

_VIEWER_PX = 720


def render() -> None:
    study_id = desk.about("study")
    if study_id is None:
        widgets.title("Study")
        widgets.empty("No study is chosen", "Choose one on the board or the reading list.")
        return
    card = desk.ask(workflow.open_study, study_id)
    widgets.patient_banner(card.row)
    if desk.may(Permission.IMAGES_VIEW) and card.row.image_count > 0:
        left, right = st.columns([1.45, 1], gap="medium")
        with left:
            widgets.viewer(study_id, height=_VIEWER_PX)
        with right:
            _beside(card)
        with st.expander("Order and history"):
            left, right = st.columns(2, gap="large")
    else:
        left, right = st.columns([1.6, 1], gap="large")
        with left:
            _beside(card)
    with left:
        _order(card)
    with right:
        widgets.heading("So far")
        widgets.history(card.history)


def _beside(card: StudyCard) -> None:
    if card.row.status in FINAL:
        if desk.may(Permission.REPORT_READ):
            signed_report(card.row.id)
        else:
            st.success("The report is signed.", icon=":material/verified:")
        _next(card)
    elif card.row.status == Status.REPORTING and _is_mine(card):
        _write(card.row.id)
    else:
        widgets.heading(LOOKS[card.row.status].label)
        st.caption(LOOKS[card.row.status].help)
        if takeover.is_anothers(card):
            st.caption(f"{desk.plain(card.row.radiologist)} reports this study.")
        if card.lease_holder:
            st.caption(
                f"{desk.plain(card.lease_holder)} has the report until {widgets.when(card.lease_until)}."
            )
        _next(card)


def _write(study_id: UUID) -> None:
    """The radiologist's text. Saving keeps a version; passing on and skipping save as well."""
    book = desk.ask(reporting.open_desk, study_id)
    now = editor.typed(study_id, book.current, history=book.study.clinical_history, label="Report")
    row = st.container(
        horizontal=True
    )  # on a narrow screen the buttons take a second line, never half their words
    if row.button("Save", shortcut="Ctrl+S") and (
        done := desk.do(reporting.save, study_id, text=now.text, based_on=now.based_on)
    ):
        editor.kept(study_id, done.value)
        desk.again("Saved.")
    if row.button("Pass to transcription", type="primary"):
        _move(reporting.pass_on, study_id, now, "Passed to the transcriptionists.", "reading_list")
    if row.button("Proof-read it myself"):
        _move(reporting.skip_transcription, study_id, now, "Proof-read and sign.", "sign_off")
    kept = (
        f"Version {book.current.number}, saved {widgets.when(book.current.at)}."
        if book.current
        else "Not saved yet."
    )
    st.caption(
        f"{kept} A heading stands alone on its line in capitals; a report needs a CONCLUSION before it is signed."
    )


def _move(verb, study_id: UUID, now: editor.Typed, said: str, page: str) -> None:
    if desk.do(verb, study_id, text=now.text, based_on=now.based_on):
        editor.forget(study_id)
        desk.say(said)
        if page == "sign_off":
            desk.go(page, study=study_id)
        desk.go(page)


def _next(card: StudyCard) -> None:
    steps.buttons(card, place="study")
    takeover.offer(card)
    ways = []
    if desk.has_page("patients"):
        ways.append(("Patient", "person", lambda: desk.go("patients", patient=card.row.patient_id)))
    if card.row.status in FINAL and desk.may(Permission.SHARE_MINT):
        ways.append(("Patient link", "link", lambda: desk.go("shares", study=card.row.id)))
    if desk.has_page("board"):
        ways.append(("Board", "view_list", lambda: desk.go("board")))
    for place, (label, icon, go) in zip(st.columns(len(ways) or 1), ways, strict=False):
        if place.button(label, width="stretch", icon=f":material/{icon}:"):
            go()


def _order(card: StudyCard) -> None:
    widgets.heading("Order")
    widgets.facts(
        {
            "Examination": card.row.description,
            "Booked for": widgets.when(card.row.booked_for_at),
            "Urgency": workflow.URGENCIES.get(card.row.urgency, card.row.urgency),
            "Referrer": card.row.referrer,
            "Radiologist": card.row.radiologist,
            "Images": str(card.row.image_count or "none yet"),
            "History": card.clinical_history,
        }
    )


def _is_mine(card: StudyCard) -> bool:
    return desk.may(Permission.REPORT_WRITE) and str(card.radiologist_id) == desk.actor().id
