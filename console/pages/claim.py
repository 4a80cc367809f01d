"""One claim: the signed report beside its coding, and after sending what the scheme said and paid."""

from __future__ import annotations

from uuid import UUID

import streamlit as st

from console import bills, coding_form, desk, widgets
from core import billing
from core.billing import STATES, ClaimDesk, Priced
from core.rules.problems import Problem, stops
from core.rules.roles import Permission

_PATIENTS = ("member", "scheme", "patient", "consent", "account_no")


def render() -> None:
    bills.style()
    study_id = desk.about("study")
    if study_id is None:
        widgets.title("Claim")
        widgets.empty("No claim is chosen", "Choose one from the billing queue or from the list of claims.")
        if st.button("Open the billing queue"):
            desk.go("billing_queue")
        return
    book = desk.ask_if(billing.open_claim, study_id)
    if book is None:
        widgets.title("Claim")
        widgets.empty("There is no signed report to bill", "A claim begins when the radiologist has signed.")
        if st.button("Open the billing queue"):
            desk.go("billing_queue")
        return
    widgets.patient_banner(book.study.row)
    left, right = st.columns([1, 1.35], gap="large")
    with left:
        _report(study_id, book)
    with right:
        if book.is_editable and desk.may(Permission.BILLING_CODE):
            _code(study_id, book)
        else:
            _sent(study_id, book)


# The report and the patient -------------------------------------------------------------------------------------


def _report(study_id: UUID, book: ClaimDesk) -> None:
    row = book.study.row
    widgets.facts(
        {
            "Payer": book.scheme_name,
            "Member": book.membership_number,
            "Scanned": widgets.day(book.service_on),
            "Signed by": row.radiologist,
            "Referrer": f"{row.referrer} {book.referrer_number}".strip(),
            "History": book.study.clinical_history[:300],
        }
    )
    widgets.report(book.report_text)
    a, b = st.columns(2)
    if desk.has_page("patients") and a.button("Patient's record", icon=":material/person:", width="stretch"):
        desk.go("patients", patient=row.patient_id)
    if b.button("Back to the queue", icon=":material/arrow_back:", width="stretch"):
        desk.go("billing_queue")


# Coding ---------------------------------------------------------------------------------------------------------


def _code(study_id: UUID, book: ClaimDesk) -> None:
    now = coding_form.draft(study_id, book)
    if coding_form.version(study_id) != book.version:
        bills.note(
            "▲ Somebody else coded this claim meanwhile",
            "What you see is your own draft. Take theirs to go on.",
            "warn",
        )
        if st.button("Take what is kept"):
            coding_form.forget(study_id)
            st.rerun()
    priced: Priced = desk.ask(billing.price, study_id, chosen=now)
    _head(book)
    problems = _all_problems(book, priced, is_draft=now != book.coding)
    top = st.container()
    coding_form.form(study_id, book, Priced(priced.lines, priced.total_cents, problems, priced.words))
    with top:
        with st.container(border=True):
            a, b, c = st.columns([1, 1, 1.45], vertical_alignment="center")
            with a:
                bills.total(priced.total_cents, is_demo=any(line.is_demo for line in priced.lines))
            if b.button("Save", width="stretch", shortcut="Ctrl+S", help="Keep the coding; nothing is sent"):
                _save(study_id)
            is_ready = not stops(problems)
            if c.button(
                "Submit claim",
                type="primary",
                width="stretch",
                disabled=not is_ready,
                shortcut="Ctrl+Enter",
                icon=":material/send:",
                help="" if is_ready else "Mend what is listed first",
            ):
                _submit(study_id, book)
        bills.to_mend(problems, lambda field: coding_form.place_of(field, priced))
        if any(p.stop and p.field.split(".")[0] in _PATIENTS for p in problems):
            st.caption(
                "Particulars of patient and member are corrected on the patient's record, by reception."
            )
    with st.expander("Lines as they will be sent"):
        bills.lines(priced.lines, total_cents=priced.total_cents)
    bills.tables_line(book.tables)
    if book.history:
        _tabs(study_id, book)


def _all_problems(book: ClaimDesk, priced: Priced, *, is_draft: bool) -> tuple[Problem, ...]:
    """Of the draft; and, while nothing was changed, what only the kept claim can show."""
    if is_draft:
        return priced.problems
    kept = [p for p in book.problems if p.code in ("PRICES_CHANGED", "UNCHANGED")]
    return tuple(dict.fromkeys([*priced.problems, *kept]))


def _head(book: ClaimDesk) -> None:
    if book.state == "rejected":
        kind = {"ADJ": "an amendment of the whole claim", "RSV": "a resubmission"}.get(
            book.correction, "a first submission"
        )
        bills.note(
            f"✕ Claim {book.number} came back",
            f"{book.why or 'No reason was given.'} — Sent again, it goes as {kind}.",
            "stop",
        )
    bills.due(book.clocks)


def _save(study_id: UUID) -> bool:
    now = st.session_state[f"coding-{study_id}"]
    done = desk.do(billing.code, study_id, coding=now, version=coding_form.version(study_id))
    if done:
        coding_form.forget(study_id)
        desk.again("The coding is kept. Nothing was sent.")
    return bool(done)


def _submit(study_id: UUID, book: ClaimDesk) -> None:
    now = st.session_state[f"coding-{study_id}"]
    version = coding_form.version(study_id)
    if now != book.coding or not book.number or any(p.code == "PRICES_CHANGED" for p in book.problems):
        if not desk.do(billing.code, study_id, coding=now, version=version):
            return
        coding_form.forget(study_id)
        version = desk.ask(billing.open_claim, study_id).version
    if done := desk.do(billing.submit, study_id, version=version):
        coding_form.forget(study_id)
        desk.again(f"Claim {done.value} is on its way.")


# Sent -----------------------------------------------------------------------------------------------------------


def _sent(study_id: UUID, book: ClaimDesk) -> None:
    if book.state in ("queued", "sent"):
        _live(study_id)
    else:
        _standing(study_id, book)
    _tabs(study_id, book)


@desk.live(3)
def _live(study_id: UUID) -> None:
    """While an answer is awaited the claim is looked at again and again; the whole page follows when it has come."""
    book = desk.ask(billing.open_claim, study_id)
    if book.state not in ("queued", "sent"):
        st.rerun(scope="app")
    _standing(study_id, book)


def _standing(study_id: UUID, book: ClaimDesk) -> None:
    if book.number:
        with st.container(border=True):
            bills.standing(f"Claim {book.number}", STATES[book.state], bills.TONES[book.state], book.tracking)
            bills.sums(
                {
                    "Claimed": widgets.money(book.total_cents),
                    "Paid": widgets.money(book.paid_cents),
                    "Scheme owes": widgets.money(book.owed_by_scheme_cents),
                    "Patient owes": widgets.money(book.owed_by_patient_cents),
                    **(
                        {"Scheme paid too much": widgets.money(book.surplus_cents)}
                        if book.surplus_cents
                        else {}
                    ),
                },
                is_demo=any(line.is_demo for line in book.lines),
            )
        if book.why:
            bills.note("What the payer said", book.why, "stop" if book.state == "rejected" else "warn")
        bills.clocks(book.clocks)
    elif not desk.may(Permission.BILLING_CODE):
        widgets.empty("Not coded yet", "A billing clerk codes this study. It waits in the billing queue.")
    bills.lines(book.lines, total_cents=book.total_cents, answered=bool(book.attempt))
    if desk.may(Permission.CLAIM_SUBMIT):
        _ways_on(study_id, book)
    bills.tables_line(book.tables)


def _ways_on(study_id: UUID, book: ClaimDesk) -> None:
    a, b, c = st.columns(3)
    if a.button(
        "Next study to bill",
        type="primary",
        width="stretch",
        icon=":material/arrow_forward:",
        shortcut="Ctrl+ArrowRight",
    ):
        _next(study_id)
    if book.may_recall:
        with b.popover("Take the claim back", width="stretch"):
            st.write(
                "To correct it and send it again: after an answer that nobody could read, a partial refusal, a call from "
                "the scheme, or money that was taken back."
            )
            why = st.text_input("Why?", max_chars=300, key=f"recall-{study_id}")
            if st.button("Take it back", key=f"recall-do-{study_id}") and desk.do(
                billing.recall, study_id, why=why
            ):
                desk.again("The claim is back at your desk.")
    if book.chargeable_cents:
        with c.popover("Charge the patient", width="stretch"):
            st.write(
                desk.plain(
                    f"The scheme refuses {widgets.money(book.chargeable_cents)} of this claim. The patient owes it "
                    "from then on."
                )
            )
            if st.button("Charge the patient", key=f"charge-{study_id}") and (
                done := desk.do(billing.charge_patient, study_id)
            ):
                desk.again(f"{widgets.money(done.value)} is the patient's now.")


def _next(study_id: UUID) -> None:
    rows, _ = desk.ask(billing.queue, payer="scheme", size=2)
    following = next((row.study.id for row in rows if row.study.id != study_id), None)
    if following is None:
        desk.say("The queue is empty: every signed report is billed.")
        desk.go("billing_queue")
    desk.go("claim", study=following)


def _tabs(study_id: UUID, book: ClaimDesk) -> None:
    way, money, message = st.tabs(["What happened", "Money", "Message"])
    with way:
        if book.history:
            bills.way(book.history)
        else:
            st.caption("Nothing has happened to this claim yet.")
    with money:
        bills.postings(book.entries)
    with message:
        _message(study_id, book)


def _message(study_id: UUID, book: ClaimDesk) -> None:
    if not book.attempt:
        st.caption("The message to the scheme is written when the claim is submitted.")
        return
    st.caption(
        "The MEDCLM message as it was last sent. It holds the patient's name and diagnoses: opening it is recorded."
    )
    if not st.toggle("Show the message", key=f"message-{study_id}"):
        return
    content = desk.ask(billing.message_of, study_id)
    text = content.decode("utf-8", "replace")
    st.code(text.replace("'", "'\n"), language=None, wrap_lines=True, height=320)
    st.download_button(
        "Save as a file",
        content,
        file_name=f"{book.number}-{book.attempt}.edi",
        mime="application/octet-stream",
        icon=":material/download:",
        on_click="ignore",
    )
