"""Sign off: what the transcriptionist changed, the final text, and the signature with a fresh code."""

from __future__ import annotations

from uuid import UUID

import streamlit as st

from console import desk, editor, stepup, takeover, widgets
from console.signed import signed_report
from core import reporting, workflow
from core.reporting import VersionCard
from core.rules.roles import Permission
from core.rules.steps import FINAL, Status
from core.workflow import Filters, StudyCard

_CODE, _BY_KEY = "sign-code", "sign-by-key"
_WHOSE = ("Mine", "Other radiologists'")


def render() -> None:
    study_id = desk.about("study")
    if study_id is None:
        _list()
        return
    card = desk.ask(workflow.open_study, study_id)
    widgets.patient_banner(card.row)
    if card.row.status in FINAL:
        _signed(study_id)
    elif card.row.status == Status.PROOFREADING and takeover.is_anothers(card):
        _anothers(card)
    elif card.row.status == Status.PROOFREADING:
        _sign(study_id)
    else:
        widgets.empty(
            "This report is not ready to be signed",
            f"The study is at '{widgets.said_status(card.row.status)}'.",
        )
        if st.button("Open the study"):
            desk.go("study", study=study_id)


def _list() -> None:
    widgets.title("Sign off", "Corrected reports that wait for their radiologist.")
    me = desk.actor().person
    span = st.segmented_control(
        "Whose", _WHOSE, default="Mine", required=True, key="sign-off-whose", label_visibility="collapsed"
    )
    mine = (span or "Mine") == "Mine"
    filters = Filters(
        statuses=(Status.PROOFREADING,),
        radiologist_id=me if mine else None,
        not_radiologist_id=None if mine else me,
    )
    at = widgets.page_number("sign-off", narrowed=span)
    board = desk.ask(workflow.reading_list, filters, page=at, size=widgets.PER_PAGE)
    if not board.rows:
        _nothing(mine=mine)
        return
    chosen = widgets.pick(
        "sign-off",
        [
            {
                "Radiologist": r.radiologist,
                "Waits": widgets.waits(r.waits_since_at),
                "Patient": r.patient,
                "Born": r.born_on,
                "Examination": r.description,
                "Mod.": r.modality,
                "Accession": r.accession,
            }
            for r in board.rows
        ],
        [r.id for r in board.rows],
        columns={"Born": st.column_config.DateColumn(format="DD/MM/YYYY")},
    )
    widgets.pager("sign-off", board.total, what="reports")
    st.caption(
        "Choose a row to proof-read."
        if mine
        else "Choose a row to read it. Only its own radiologist signs a report; you can take one over, with a reason."
    )
    if chosen:
        widgets.unpick("sign-off")
        desk.go("sign_off", study=chosen)


def _nothing(*, mine: bool) -> None:
    if mine:
        widgets.empty(
            "Nothing to sign",
            "A report appears here when a transcriptionist passes it back.",
            "To write one, open the reading list.",
        )
    else:
        widgets.empty(
            "No colleague's report waits",
            "Reports of other radiologists that wait for a signature appear here.",
        )


def _anothers(card: StudyCard) -> None:
    """A colleague's report, to read; and the way to take it over."""
    proof = desk.ask(reporting.proof_read, card.row.id)
    left, right = st.columns([1.7, 1], gap="large")
    with left:
        widgets.heading("The text as it waits")
        st.caption(f"{desk.plain(proof.after.author)}, {widgets.when(proof.after.at)}")
        widgets.report(proof.after.text)
    with right:
        widgets.heading("A colleague's report")
        st.write(f"{desk.plain(card.row.radiologist)} wrote it and signs it.")
        takeover.offer(card)
        if st.button("Back to sign off", icon=":material/arrow_back:", type="tertiary"):
            desk.go("sign_off")


def _sign(study_id: UUID) -> None:
    proof = desk.ask(reporting.proof_read, study_id)
    left, right = st.columns(2, gap="large")
    with left:
        changed = sum(m.kind != "same" for m in proof.marks)
        widgets.heading("What was changed")
        before = f"Your text of {widgets.when(proof.before.at)}" if proof.before else "Your text"
        st.caption(
            f"{before}, beside {desk.plain(proof.after.author)}'s of {widgets.when(proof.after.at)}: "
            + (
                f"{changed} changes; added words are underlined, removed ones struck through."
                if changed
                else "nothing was changed."
            )
        )
        widgets.marks(proof.marks)
        if desk.may(Permission.IMAGES_VIEW) and st.toggle("Show the images", key=f"images-{study_id}"):
            widgets.viewer(study_id, height=520)
    with right:
        widgets.heading("Final text")
        purpose = reporting.purpose_of(study_id, proof.after.id)
        by_key = st.session_state.get(f"{_BY_KEY}-{study_id}")
        if by_key or (by_key is None and stepup.is_proved(purpose)):
            _by_key(study_id, proof.after, purpose)
        else:
            _by_code(study_id, proof.after)
        st.caption(
            "Your signature covers this text, the patient, the accession number and the images as they are now. "
            "A signed report is not changed again."
        )


def _by_code(study_id: UUID, current: VersionCard) -> None:
    now = editor.typed(study_id, current, label="Final text", height=420)
    with st.form("sign", border=True):
        code = stepup.code_field(_CODE)
        signs = st.form_submit_button("Sign", type="primary", icon=":material/draw:", width="stretch")
    if signs:
        _sign_it(study_id, now.text, now.based_on, code)
    # Not a button of the form: one of those is not pressed by the click that leaves the text.
    if (
        stepup.has_key()
        and st.button("Sign with my key", icon=":material/key:", width="stretch")
        and _keep(study_id, current, now)
    ):
        st.session_state[f"{_BY_KEY}-{study_id}"] = True
        st.rerun()
    a, b = st.columns(2)
    if a.button("Save for later", width="stretch", icon=":material/save:", shortcut="Ctrl+S") and (
        done := desk.do(reporting.save, study_id, text=now.text, based_on=now.based_on)
    ):
        editor.kept(study_id, done.value)
        desk.again("Saved. It is not signed yet.")
    if b.button("Send back to transcription", width="stretch") and desk.do(
        reporting.send_back, study_id, text=now.text, based_on=now.based_on
    ):
        editor.forget(study_id)
        desk.say("Back with the transcriptionists, with your remarks in the text.")
        desk.go("sign_off")


def _by_key(study_id: UUID, current: VersionCard, purpose: str) -> None:
    """The kept text, to be signed as it stands: nothing is typed here, so that nothing is lost when the page is left."""
    widgets.report(current.text)
    with st.container(border=True):
        if stepup.is_proved(purpose):
            st.caption("Confirmed with your key. It holds for five minutes and for this text only.")
            if st.button("Sign", type="primary", icon=":material/draw:"):
                _sign_it(study_id, current.text, current.id, "")
        else:
            stepup.key_link(purpose, next=f"/sign_off?study={study_id}")
        if st.button("Change the text, or use a code", type="tertiary", icon=":material/edit:"):
            st.session_state[f"{_BY_KEY}-{study_id}"] = False
            editor.forget(study_id)
            st.rerun()


def _keep(study_id: UUID, current: VersionCard, now: editor.Typed) -> bool:
    """The text as a version, before the page is left for the key; a text that is one already needs none."""
    if (now.text, now.based_on) == (current.text, current.id):
        return True
    done = desk.do(reporting.save, study_id, text=now.text, based_on=now.based_on)
    if done:
        editor.kept(study_id, done.value)
    return bool(done)


def _sign_it(study_id: UUID, text: str, based_on: UUID | None, code: str) -> None:
    if desk.do(reporting.sign, study_id, text=text, based_on=based_on, code=code):
        editor.forget(study_id)
        for kept in (_CODE, f"{_BY_KEY}-{study_id}"):
            st.session_state.pop(kept, None)
        desk.again("Signed.")


def _signed(study_id: UUID) -> None:
    left, right = st.columns([1.7, 1], gap="large")
    with left:
        signed_report(study_id)
    with right:
        widgets.heading("What happens next")
        st.markdown(
            "1. The report goes into the PACS as a PDF, beside the images.\n2. Billing sees it in their queue.\n"
            "3. Reception can send the patient a link."
        )
        if st.button("Next report to sign", type="primary", width="stretch"):
            desk.go("sign_off")
        if desk.has_page("reading_list") and st.button("Reading list", width="stretch"):
            desk.go("reading_list")
        if desk.may(Permission.SHARE_MINT) and st.button(
            "Link for the patient", width="stretch", icon=":material/link:"
        ):
            desk.go("shares", study=study_id)
