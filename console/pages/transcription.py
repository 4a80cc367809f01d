"""Transcription: drafts that wait, and the one that is being corrected."""

from __future__ import annotations

from uuid import UUID

import streamlit as st

from console import desk, editor, widgets
from core import reporting
from core.reporting import Desk
from core.rules.roles import Permission
from core.rules.steps import Status
from core.workflow import URGENCIES


def render() -> None:
    study_id = desk.about("study")
    if study_id is None or not desk.may(Permission.TRANSCRIBE):
        widgets.title("Transcription", "Drafts that wait for a careful eye. Urgent first.")
        _queue()
        return
    _correct(study_id)


@desk.live(3)
def _queue() -> None:
    at = widgets.page_number("transcription", narrowed="")
    board = desk.ask(reporting.queue, page=at, size=widgets.PER_PAGE)
    waiting, taken = board.counts.get(Status.TO_TRANSCRIBE, 0), board.counts.get(Status.TRANSCRIBING, 0)
    st.caption(f"{waiting} waiting, {taken} being corrected.")
    if not board.rows:
        widgets.empty("Nothing to transcribe", "A draft appears here as soon as a radiologist passes it on.")
        return
    chosen = widgets.pick(
        "transcription",
        [
            {
                "Status": [widgets.said_status(r.status)],
                "Urgency": "" if r.urgency == "routine" else f"▲ {URGENCIES[r.urgency]}",
                "Waits": widgets.waits(r.waits_since_at),
                "Patient": r.patient,
                "Examination": r.description,
                "Mod.": r.modality,
                "Radiologist": r.radiologist,
                "Accession": r.accession,
            }
            for r in board.rows
        ],
        [r.id for r in board.rows],
        columns={"Status": widgets.status_column()},
    )
    widgets.pager("transcription", board.total, what="drafts")
    if chosen and desk.may(Permission.TRANSCRIBE):
        widgets.unpick("transcription")
        desk.go("transcription", study=chosen)
    st.caption("Choose a row to read the draft and take it.")


def _correct(study_id: UUID) -> None:
    book = desk.ask_if(reporting.open_draft, study_id)
    if book is None:
        widgets.title("Transcription")
        widgets.empty("This draft is not there any more")
        _back()
        return
    widgets.patient_banner(book.study.row)
    mine = str(book.study.lease_by or "") == desk.actor().id
    left, right = st.columns([2.2, 1], gap="large")
    with right:
        _context(book)
    with left:
        if book.study.row.status == Status.TRANSCRIBING and (mine or _ran_out(study_id, book)):
            _edit(study_id, book)
        else:
            _offer(study_id, book)


def _edit(study_id: UUID, book: Desk) -> None:
    now = editor.typed(study_id, book.current, label="Report", height=520)
    a, b, c = st.columns([1.2, 1.8, 1])
    if a.button("Save", width="stretch", shortcut="Ctrl+S") and (
        done := desk.do(reporting.keep, study_id, text=now.text, based_on=now.based_on)
    ):
        editor.kept(study_id, done.value)
        desk.again("Saved. The draft stays yours.")
    if b.button("Pass to the radiologist", type="primary", width="stretch") and desk.do(
        reporting.pass_back, study_id, text=now.text, based_on=now.based_on
    ):
        editor.forget(study_id)
        desk.say("Passed to the radiologist for proof-reading.")
        desk.go("transcription")
    if c.button(
        "Put back", width="stretch", help="Give the draft back to the queue. What you saved stays."
    ) and desk.do(reporting.put_back, study_id):
        editor.forget(study_id)
        desk.say("Back in the queue.")
        desk.go("transcription")
    if book.study.lease_until:
        st.caption(f"Yours until {widgets.when(book.study.lease_until)}; saving makes it longer.")
    else:
        st.caption("Your hold on this draft has run out, and nobody else has taken it yet. Save to keep it.")


def _ran_out(study_id: UUID, book: Desk) -> bool:
    """True while a text is open here whose hold has run out and which nobody else has taken: it may still be saved."""
    return editor.unsaved(study_id) is not None and book.study.lease_by is None


def _offer(study_id: UUID, book: Desk) -> None:
    if book.study.lease_holder:
        st.info(
            f"{desk.plain(book.study.lease_holder)} has this draft until {widgets.when(book.study.lease_until)}.",
            icon=":material/lock:",
        )
    elif st.button("Take this draft", type="primary", icon=":material/edit:") and desk.do(
        reporting.take, study_id
    ):
        editor.close(study_id)
        desk.again("It is yours now.")
    if book.current:
        widgets.text_block(book.current.text)
    if left_over := editor.left_over(study_id):
        with st.expander("What you typed and did not save", expanded=True):
            widgets.text_block(left_over)


def _context(book: Desk) -> None:
    row = book.study.row
    _back()
    widgets.heading("Clinical context")
    widgets.facts(
        {
            "Examination": row.description,
            "Radiologist": row.radiologist,
            "Referrer": row.referrer,
            "History": book.study.clinical_history,
        }
    )
    widgets.heading("Texts so far")
    for version in reversed(book.versions):
        with st.expander(
            f"{version.number} · {version.kind} · {version.author} · {widgets.when(version.at)}"
        ):
            widgets.text_block(version.text)


def _back() -> None:
    if st.button("Back to the queue", icon=":material/arrow_back:", type="tertiary"):
        desk.go("transcription")
