"""From a signed report to the last cent: coding, pricing, claims and the scheme's answers.

A claim hangs on one signed report version. Money is postings that sum to zero; a mistake is reversed, never changed.
Statuses of claims and lines are the payer's own words (core.rules.claim_states); `state` says where the claim is here.
A claim with what belongs to it is in core.claim_case; the tables that claims are coded with are in core.code_tables,
payments in core.remittances, postings in core.ledger.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import exists, func, literal, or_, select
from sqlalchemy.orm import aliased

from core import code_tables, ledger, reporting, workflow
from core.claim_case import (
    Case,
    cards_of,
    case_of,
    draft_of,
    keep,
    lines_of,
    price_now,
    reprice,
    row_of,
    service_days,
)
from core.code_tables import (
    CodeFound,
    Tables,
    find_codes,
    find_tariffs,
    import_icd10,
    import_tariff,
    preview_icd10,
    preview_tariff,
    tables,
)
from core.errors import Missing, Refused, Stale
from core.ledger import ACCOUNTS, Entry, Happening, balances
from core.ports.switch import Receipt, hand_over
from core.remittances import (
    RemittanceCard,
    RemittanceLineCard,
    assign,
    claim_by_number,
    close_if_settled,
    fetch_remittances,
    import_remittances,
    is_ours,
    move_position,
    open_remittance,
    position,
    post,
    preview_remittances,
    remittances,
    surpluses,
    suspense,
)
from core.rules import claim_checks, claim_desk, coding, medclm, tariff
from core.rules.claim import Claim as Draft
from core.rules.claim_desk import (
    EDITABLE,
    HEARING,
    LONGEST_WHY,
    PAYERS,
    RECALLABLE,
    STATES,
    LineCard,
    Past,
    Priced,
    payer_name,
)
from core.rules.claim_states import TRACKING_AFTER, Clock, clocks, may_follow
from core.rules.coding import MOST_LINES, REFUSED, CodedLine, Coding, as_json, fingerprint, tidied, to_patient
from core.rules.medclm import SwitchProfile
from core.rules.names import search_words
from core.rules.pages import rows_before
from core.rules.problems import Problem, stops
from core.rules.remittance import LineAnswer, Response
from core.rules.roles import Permission
from core.rules.steps import Status
from core.rules.za_time import local_day
from core.store.model import (
    Claim,
    ClaimEvent,
    ClaimLine,
    Consent,
    Document,
    Patient,
    Referrer,
    ReportVersion,
    Study,
)
from core.store.work import House, Subject, Work, system

# What callers reach by this module's name although it lives beside it.
__all__ = [
    "ACCOUNTS", "HANDLERS", "PROFILE", "STATES", "ClaimDesk", "CodeFound", "CodedLine", "Coding", "Entry", "Happening",
    "LineCard", "PAYERS", "Priced", "QueueRow", "RemittanceCard", "RemittanceLineCard", "Tables", "assign", "balances",
    "charge_patient", "claims", "code", "fetch_answers", "fetch_remittances", "find_codes", "find_tariffs",
    "import_icd10", "import_remittances", "import_tariff", "mark_read", "message_of", "open_claim", "open_remittance",
    "post", "preview_icd10", "preview_remittances", "preview_tariff", "price", "queue", "recall", "remittances", "submit",
    "surpluses", "suspense", "tables", "transmit_claim", "unread_answers",
]  # fmt: skip

PROFILE = SwitchProfile()


@dataclass(frozen=True)
class ClaimDesk:
    """A claim's page: the study, the signed text, what was chosen, what it costs, and everything wrong with it.

    version: of the claim row; it goes back with a change, so that no other change is lost. chargeable_cents: what the
    scheme refused of an answered claim and the patient may be charged. surplus_cents: what it paid beyond what it owed.
    """

    study: workflow.StudyCard
    report_text: str
    version: int
    number: str
    state: str
    tracking: str
    why: str
    correction: str
    scheme: str
    scheme_name: str
    membership_number: str
    referrer_number: str
    service_on: date
    coding: Coding
    lines: tuple[LineCard, ...]
    total_cents: int
    paid_cents: int
    owed_by_scheme_cents: int
    owed_by_patient_cents: int
    chargeable_cents: int
    surplus_cents: int
    problems: tuple[Problem, ...]
    clocks: tuple[Clock, ...]
    tables: Tables
    words: dict[str, str]
    entries: tuple[Entry, ...]
    history: tuple[Happening, ...]
    attempt: int
    is_editable: bool
    may_recall: bool


@dataclass(frozen=True)
class QueueRow:
    """One signed study on the billing queue, or one claim on a list. why: the payer's words when it came back.

    is_demo: an invented price is in the total.
    """

    study: workflow.BoardRow
    scheme: str
    scheme_name: str
    number: str
    state: str
    tracking: str
    why: str
    total_cents: int
    is_demo: bool
    paid_cents: int
    service_on: date
    stale_on: date
    submitted_at: datetime | None


# Lists ----------------------------------------------------------------------------------------------------------


def queue(
    work: Work,
    *,
    search: str = "",
    payer: str = "",
    rejected_only: bool = False,
    page: int = 1,
    size: int = 50,
) -> tuple[tuple[QueueRow, ...], int]:
    """Signed reports that wait for a claim, and claims that came back; oldest first. How many in all."""
    with work.look(Permission.BILLING_SEE):
        waiting = (Status.REJECTED,) if rejected_only else (Status.SIGNED, Status.REJECTED)
        query = (
            select(Study.id).join(Patient, Patient.id == Study.patient_id).where(Study.status.in_(waiting))
        )
        for word in search_words(search):
            query = query.where(
                or_(
                    Patient.search_text.contains(word, autoescape=True),
                    Study.accession.istartswith(word, autoescape=True),
                )
            )
        if payer:
            query = query.where(
                Patient.scheme_code == "" if payer == "private" else Patient.scheme_code != ""
            )
        total = work.db.scalar(select(func.count()).select_from(query.subquery())) or 0
        query = query.order_by(Study.booked_for_at, Study.id).limit(size).offset(rows_before(page, size))
        return _queue_rows(work, list(work.db.scalars(query))), total


def claims(
    work: Work, *, states: tuple[str, ...] = (), search: str = "", page: int = 1, size: int = 50
) -> tuple[tuple[QueueRow, ...], int, dict[str, int]]:
    """Claims that were sent, newest first; how many match, and how many of the same search stand in each state."""
    with work.look(Permission.BILLING_SEE):
        found = select(Claim.id, Claim.state).join(Patient, Patient.id == Claim.patient_id)
        found = found.where(Claim.submitted_at.is_not(None))
        for word in search_words(search):
            found = found.where(
                or_(
                    Patient.search_text.contains(word, autoescape=True),
                    Claim.number.icontains(word, autoescape=True),
                )
            )
        counted = found.with_only_columns(Claim.state, func.count(), maintain_column_froms=True).group_by(
            Claim.state
        )
        counts = {state: n for state, n in work.db.execute(counted)}
        total = sum(n for state, n in counts.items() if not states or state in states)
        listed = found.with_only_columns(Claim.study_id, maintain_column_froms=True)
        if states:
            listed = listed.where(Claim.state.in_(states))
        listed = (
            listed.order_by(Claim.submitted_at.desc(), Claim.id.desc())
            .limit(size)
            .offset(rows_before(page, size))
        )
        return _queue_rows(work, list(work.db.scalars(listed))), total, counts


def unread_answers(work: Work, *, size: int = 50) -> tuple[Happening, ...]:
    """Answers that nobody could understand and nobody has dealt with, kept raw for a person. Newest first."""
    with work.look(Permission.BILLING_SEE):
        read = aliased(ClaimEvent)
        is_read = exists().where(read.source_key == literal("read:") + ClaimEvent.source_key)
        rows = work.db.scalars(
            select(ClaimEvent)
            .where(ClaimEvent.what == "unread", ~is_read)
            .order_by(ClaimEvent.at.desc(), ClaimEvent.id)
            .limit(size)
        )
        return tuple(Happening(e.id, e.at, e.what, e.facts) for e in rows)


def mark_read(work: Work, event_id: UUID, *, note: str) -> None:
    """A person has dealt with an answer that the program could not understand; what they did is on record."""
    with work.act(Permission.CLAIM_SUBMIT, Subject("claim-event", str(event_id))) as facts:
        event = work.get(ClaimEvent, event_id, what="answer")
        if event.what != "unread":
            raise Refused("This answer was understood; there is nothing to mark.")
        if not note.strip():
            raise Refused("Say in a few words what you did about it.")
        key = f"read:{event.source_key}"
        if work.db.scalars(select(ClaimEvent.id).where(ClaimEvent.source_key == key)).first():
            raise Refused("Somebody has dealt with this answer already.")
        claim = work.db.get(Claim, event.claim_id) if event.claim_id else None
        ledger.happened(
            work, claim, "read", {"note": note.strip()[:300], "by": work.actor.name}, source_key=key
        )
        facts |= {"note": note.strip()[:300]}


def open_claim(work: Work, study_id: UUID) -> ClaimDesk:
    """The claim of a signed study with everything wrong with it at once. Recorded once per sitting."""
    with work.reading(Permission.BILLING_SEE, Subject.study(study_id)):
        return _desk(work, work.get(Study, study_id))


def price(work: Work, study_id: UUID, *, chosen: Coding) -> Priced:
    """What a choice would cost and what would be wrong with it; nothing is kept."""
    with work.look(Permission.BILLING_SEE):
        case = case_of(work, work.get(Study, study_id), chosen=coding.tidied(chosen))
        words = code_tables.words_for(work, claim_desk.diagnoses(chosen))
        return Priced(cards_of(case.lines), case.claim.total_cents, _problems(work, case), words)


def message_of(work: Work, study_id: UUID) -> bytes:
    """The MEDCLM message as it was last sent; an opening of its own. Raises Missing before the claim was submitted."""
    with work.reading(Permission.BILLING_SEE, Subject("claim-message", str(study_id))) as facts:
        claim = row_of(work, study_id)
        if claim is None or claim.message_id is None:
            raise Missing("This claim has not been submitted yet.")
        facts |= {"claim": claim.number, "patient": claim.patient_id}
        return work.blobs.get(claim.message_id, kind="claim", owner=claim.id)


# Coding and submitting ------------------------------------------------------------------------------------------


def code(work: Work, study_id: UUID, *, coding: Coding, version: int) -> tuple[Problem, ...]:
    """Keep the clerk's choice, priced; returns everything still wrong with it. `version` is the one that was read."""
    with work.act(Permission.BILLING_CODE, Subject.study(study_id)) as facts:
        # The study's row is held, so that two first codings of one study cannot pass each other on PostgreSQL.
        case = case_of(work, work.get(Study, study_id, lock=True))
        _require_unchanged(case, version)
        _require_editable(case.claim)
        if len(coding.lines) > MOST_LINES:
            raise Refused(
                f"A claim holds at most {MOST_LINES} examinations; make a second claim for the rest."
            )
        keep(work, case)
        case.claim.coding = as_json(tidied(coding))
        reprice(work, case)
        problems = _problems(work, case)
        facts |= {
            "claim": case.claim.number,
            "lines": len(coding.lines),
            "cents": case.claim.total_cents,
            "problems": [p.code for p in problems if p.stop],
        }
        return problems


def submit(work: Work, study_id: UUID, *, version: int | None = None) -> str:
    """Check everything, write the MEDCLM message and leave it as an errand. Refused with every problem at once.

    version: of the claim that the clerk saw; when somebody has coded it anew since, nothing is sent.
    """
    with work.act(Permission.CLAIM_SUBMIT, Subject.study(study_id)) as facts:
        case = case_of(work, work.get(Study, study_id, lock=True))
        if version is not None:
            _require_unchanged(case, version)
        _require_editable(case.claim)
        problems = _problems(work, case)
        if stops(problems):
            raise Refused("The claim cannot be sent yet. Please mend what is listed.", problems=problems)
        claim = case.claim
        claim.report_version_id = case.study.signed_version_id
        claim.attempt += 1
        claim.batch_number = batch = work.number("claim batch")
        draft = draft_of(work, case)
        message = medclm.write(
            draft, PROFILE, batch_no=batch, prepared_at=work.now(), control_ref=f"{batch:014d}"
        )
        claim.message_id = _keep_document(work, message, kind="claim", owner=claim.id)
        claim.state, claim.tracking, claim.why = "queued", "", ""
        claim.submitted_at, claim.received_at, claim.answered_at = work.now(), None, None
        for line in case.lines:
            line.status, line.reasons, line.approved_cents = "", [], None
        _claim_in_all(work, claim, claim.total_cents, memo=f"Claim {claim.number}")
        workflow.move(work, case.study, "claim")
        work.errand(
            "transmit_claim",
            key=f"transmit_claim:{claim.number}:{claim.attempt}",
            claim=str(claim.id),
            attempt=claim.attempt,
        )
        told = {
            "cents": claim.total_cents,
            "batch": batch,
            "attempt": claim.attempt,
            "correction": claim.correction,
        }
        ledger.happened(work, claim, "submitted", told | {"print": fingerprint(draft)})
        facts |= {"claim": claim.number, **told}
        return claim.number


def recall(work: Work, study_id: UUID, *, why: str) -> None:
    """Take a sent or answered claim back to correct it: after a telephone call, an answer nobody understood, a partial no.

    Paid and approved lines stand; sent again, such a claim goes as an amendment (ADJ), which the scheme sets off itself.
    """
    with work.act(Permission.CLAIM_SUBMIT, Subject.study(study_id)) as facts:
        case = case_of(work, work.get(Study, study_id, lock=True))
        if not _may_recall(case):
            raise Refused(f"This claim is '{STATES[case.claim.state]}' and cannot be taken back now.")
        if not why.strip():
            raise Refused("Say in a few words why the claim comes back.")
        _send_back(work, case.claim, why.strip(), lines=case.lines)
        ledger.happened(work, case.claim, "recalled", {"why": case.claim.why, "by": work.actor.name})
        facts |= {"claim": case.claim.number, "why": case.claim.why}


def charge_patient(work: Work, study_id: UUID) -> int:
    """What the scheme refused of an answered claim becomes the patient's; the claim closes when nothing else is owed."""
    with work.act(Permission.REMITTANCE_POST, Subject.study(study_id)) as facts:
        case = case_of(work, work.get(Study, study_id, lock=True))
        cents = _chargeable(work, case)
        if cents <= 0:
            raise Refused("The scheme has refused nothing of this claim that the patient could be charged.")
        memo = f"Claim {case.claim.number}: refused by the scheme"
        ledger.enter(work, case.claim, to_patient(cents), memo=memo)
        ledger.happened(work, case.claim, "charged", {"cents": cents})
        close_if_settled(work, case.claim)
        facts |= {"claim": case.claim.number, "cents": cents}
        return cents


# The switch, from the worker ------------------------------------------------------------------------------------


def transmit_claim(house: House, payload: dict[str, Any]) -> None:
    """Errand: hand the message to the switch. The same attempt may be handed over again; the switch knows its key."""
    with house.work(system()) as work:
        with work.look(Permission.CLAIM_TRANSMIT):
            claim = work.get(Claim, UUID(payload["claim"]))
            is_over = claim.state != "queued" or claim.attempt != payload["attempt"]
    if is_over or claim.message_id is None:
        return
    message = house.blobs.get(claim.message_id, kind="claim", owner=claim.id)
    heard = hand_over(house.ports.switch, message, key=f"{claim.number}:{claim.attempt}")
    with house.work(system()) as work:
        with work.act(Permission.CLAIM_TRANSMIT, Subject("claim", str(claim.id))) as facts:
            claim = work.get(Claim, claim.id, lock=True)
            reference = heard.reference if isinstance(heard, Receipt) else ""
            facts |= {"claim": claim.number, "reference": reference, "patient": claim.patient_id}
            if claim.attempt != payload["attempt"] or claim.state not in HEARING:
                return
            if isinstance(heard, str):
                claim.tracking = "Failed"
                ledger.happened(work, claim, "turned", {"why": heard})
                _send_back(work, claim, heard)
            elif claim.received_at is None:
                claim.received_at = work.now()
                if claim.state == "queued":  # An answer may have been quicker than the receipt.
                    claim.state, claim.tracking = "sent", heard.tracking
                told = {"reference": heard.reference, "duplicate": heard.duplicate}
                ledger.happened(work, claim, "received", told)


def fetch_answers(house: House) -> int:
    """Ask the switch for answers and keep them, each once, in the transaction that moves the position. How many."""
    since = position(house, "answers")
    answers = house.ports.switch.poll(since)
    if not answers:
        return 0
    with house.work(system()) as work:
        with work.act(Permission.CLAIM_TRANSMIT, Subject("switch", "answers")) as facts:
            taken = [answer.id for answer in answers if _take_answer(work, answer)]
            move_position(work, "answers", answers[-1].cursor)
            facts |= {"answers": len(taken), "since": since}
    return len(taken)


HANDLERS = {"transmit_claim": transmit_claim}


# Inside: what is asked of a claim --------------------------------------------------------------------------------------


def _require_unchanged(case: Case, version: int) -> None:
    if (case.claim.version if case.is_kept else 0) != version:
        raise Stale("Somebody else coded this claim meanwhile. Look again, then repeat your change.")


def _require_editable(claim: Claim) -> None:
    if claim.state not in EDITABLE:
        raise Refused(f"This claim is '{STATES[claim.state]}' and cannot be changed now.")


def _may_recall(case: Case) -> bool:
    return case.is_kept and case.claim.state in RECALLABLE


def _chargeable(work: Work, case: Case) -> int:
    if not case.is_kept or case.claim.state != "answered":
        return 0
    owed = ledger.balance_of(work, case.claim)["scheme"]
    return claim_desk.chargeable(cards_of(case.lines), owed_cents=owed)


def _problems(work: Work, case: Case) -> tuple[Problem, ...]:
    """Everything wrong with the claim: in its prices, its codes, its people, its message and its history."""
    draft, table, priced = draft_of(work, case), code_tables.active_table(work), price_now(work, case)
    checked = claim_checks.check(
        draft,
        lookup=code_tables.code_finder(work, table),
        today=local_day(work.now()),
        starter=bool(table and table.is_starter),
        profile=PROFILE,
        earlier=_earlier(work, case),
    )
    of_prices = coding.on_lines(priced.problems, [line.kind for line in priced.lines])
    if draft.funder != "scheme":
        of_prices = ()  # The one sentence that matters is who pays.
    today = local_day(work.now())
    of_the_past = claim_desk.of_the_past(_past(work, case, draft, priced), today=today)
    return coding.each_once(of_prices, (*checked, *of_the_past))


def _earlier(work: Work, case: Case) -> list[tuple[date, str]]:
    """What was claimed for this patient on other claims that the scheme did not send back."""
    query = (
        select(Claim.service_on, ClaimLine.code)
        .join(ClaimLine, ClaimLine.claim_id == Claim.id)
        .where(
            Claim.patient_id == case.study.patient_id,
            Claim.study_id != case.study.id,
            Claim.submitted_at.is_not(None),
            Claim.state != "rejected",
            ClaimLine.kind == "tariff",
        )
    )
    return [(on, wanted) for on, wanted in work.db.execute(query)]


def _past(work: Work, case: Case, draft: Draft, priced: tariff.Priced) -> Past:
    version, claim = work.db.get(ReportVersion, case.study.signed_version_id), case.claim
    is_back = claim.state == "rejected" and claim.answered_at is not None
    was_refused = is_back and any(line.status in REFUSED for line in case.lines)
    is_priced_now = claim_desk.shape(priced.lines) == claim_desk.shape(cards_of(case.lines))
    return Past(
        has_newer_images=bool(version and version.image_digest != case.study.image_digest),
        is_consent_withheld=draft.funder == "scheme" and _is_consent_withheld(work, case.study.patient_id),
        is_priced_otherwise=case.is_kept and not is_priced_now,
        is_refused_and_unchanged=was_refused and fingerprint(draft) == _last_print(work, claim),
        sent_back_at=claim.answered_at if is_back else None,
    )


def _is_consent_withheld(work: Work, patient_id: UUID) -> bool:
    newest = select(Consent.given).where(Consent.patient_id == patient_id, Consent.purpose == "claim")
    given = work.db.scalars(newest.order_by(Consent.recorded_at.desc(), Consent.id.desc()).limit(1)).first()
    return given is False


def _last_print(work: Work, claim: Claim) -> str:
    sent = select(ClaimEvent.facts).where(ClaimEvent.claim_id == claim.id, ClaimEvent.what == "submitted")
    facts = work.db.scalars(sent.order_by(ClaimEvent.at.desc(), ClaimEvent.id.desc()).limit(1)).first()
    return facts.get("print", "") if facts else ""


# Inside: what pages see -------------------------------------------------------------------------------------------


def _desk(work: Work, study: Study) -> ClaimDesk:
    signed = reporting.signed_report(work, study)
    case = case_of(work, study)
    claim, patient = case.claim, case.patient
    balance = ledger.balance_of(work, claim) if case.is_kept else dict.fromkeys(ACCOUNTS, 0)
    chosen = coding.from_json(claim.coding)
    sender = work.db.get(Referrer, study.referrer_id) if study.referrer_id else None
    return ClaimDesk(
        study=signed.study, report_text=signed.version.text, version=claim.version, number=claim.number, state=claim.state,
        tracking=claim.tracking, why=claim.why, correction=claim.correction, scheme=patient.scheme_code, scheme_name=payer_name(patient.scheme_code),
        membership_number=patient.membership_number, referrer_number=sender.practice_number if sender else "",
        service_on=claim.service_on, coding=chosen, lines=cards_of(case.lines),
        total_cents=claim.total_cents, paid_cents=claim.paid_cents, owed_by_scheme_cents=balance["scheme"],
        owed_by_patient_cents=balance["patient"], chargeable_cents=_chargeable(work, case),
        surplus_cents=-balance["surplus"],
        problems=_problems(work, case) if claim.state in EDITABLE else (), clocks=_clocks(claim),
        tables=code_tables.loaded(work), words=code_tables.words_for(work, claim_desk.diagnoses(chosen)),
        entries=ledger.entries_of(work, claim), history=ledger.history_of(work, claim), attempt=claim.attempt,
        is_editable=claim.state in EDITABLE, may_recall=_may_recall(case),
    )  # fmt: skip


def _clocks(claim: Claim) -> tuple[Clock, ...]:
    return claim_desk.running(
        claim.state, service_on=claim.service_on, received_at=claim.received_at, answered_at=claim.answered_at
    )


def _queue_rows(work: Work, study_ids: Sequence[UUID]) -> tuple[QueueRow, ...]:
    """These studies with their claims, in the order given; a fixed number of questions however many rows."""
    boards = {row.id: row for row in workflow.rows_of(work, study_ids)}
    studies = {s.id: s for s in work.db.scalars(select(Study).where(Study.id.in_(study_ids)))}
    payers = select(Study.id, Patient.scheme_code).join(Patient, Patient.id == Study.patient_id)
    payer = dict(work.db.execute(payers.where(Study.id.in_(study_ids))).all())
    claim = {c.study_id: c for c in work.db.scalars(select(Claim).where(Claim.study_id.in_(study_ids)))}
    days = service_days(work, [s for s in studies.values() if s.id not in claim])
    invented = select(ClaimLine.claim_id).where(
        ClaimLine.claim_id.in_([c.id for c in claim.values()]), ClaimLine.is_demo
    )
    demo = set(work.db.scalars(invented.distinct()))
    return tuple(_queue_row(boards[i], claim.get(i), payer[i], days, demo) for i in study_ids)


def _queue_row(
    row: workflow.BoardRow, claim: Claim | None, scheme: str, days: dict[UUID, date], demo: set[UUID]
) -> QueueRow:
    on = claim.service_on if claim else days[row.id]
    stale = clocks(service_on=on)[0].ends_on
    if claim is None:
        return QueueRow(row, scheme, payer_name(scheme), "", "", "", "", 0, False, 0, on, stale, None)
    return QueueRow(
        row,
        claim.scheme,
        payer_name(claim.scheme),
        claim.number,
        claim.state,
        claim.tracking,
        claim.why,
        claim.total_cents,
        claim.id in demo,
        claim.paid_cents,
        on,
        stale,
        claim.submitted_at,
    )


def _keep_document(work: Work, data: bytes, *, kind: str, owner: UUID) -> UUID:
    document = Document(
        id=work.new_id(),
        origin=work.house.origin,
        kind=kind,
        owner_id=owner,
        size=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
        at=work.now(),
    )
    work.blobs.put(document.id, data, kind=kind, owner=owner)
    work.db.add(document)
    return document.id


# Inside: answers --------------------------------------------------------------------------------------------------


def _claim_in_all(work: Work, claim: Claim, cents: int, *, memo: str) -> None:
    """Bring what this claim says we earned to `cents`: all of it at first, the difference at an amendment, 0 when refused."""
    standing = -ledger.balance_of(work, claim)["income"]
    ledger.enter(work, claim, coding.owing(cents - standing), memo=memo)
    ledger.level(work, claim)


def _send_back(work: Work, claim: Claim, why: str, *, lines: Sequence[ClaimLine] = ()) -> None:
    """Back to the clerk, to be corrected. What a scheme has had before goes again as what it then is.

    Where part of it was approved, the whole stands until the amendment, which the scheme sets off itself.
    """
    claim.state, claim.answered_at, claim.why = "rejected", work.now(), why[:LONGEST_WHY]
    approved = claim_desk.was_approved(line.status for line in lines)
    if claim.tracking != "Failed":
        claim.correction = "ADJ" if approved else "RSV"
    if not approved:
        _claim_in_all(work, claim, 0, memo=f"Claim {claim.number} came back")
    workflow.move(work, work.get(Study, claim.study_id), "refuse")


def _take_answer(work: Work, answer: Response) -> bool:
    """Apply one answer unless it was applied before. What cannot be understood, or comes too late, is kept and shown."""
    if work.db.scalars(select(ClaimEvent.id).where(ClaimEvent.source_key == answer.id)).first():
        return False
    claim = claim_by_number(work, answer.claim_number) if is_ours(work, answer.practice_no) else None
    facts: dict[str, Any] = {"tracking": answer.tracking, "reasons": [asdict(r) for r in answer.reasons]}
    if claim is None or not answer.tracking:
        facts |= {"claim": answer.claim_number, "raw": base64.b64encode(answer.raw).decode()}
        ledger.happened(work, claim, "unread", facts, source_key=answer.id)
        return True
    if claim.state not in HEARING or not may_follow(claim.tracking, answer.tracking, table=TRACKING_AFTER):
        ledger.happened(
            work, claim, "late", facts | {"lines": claim_desk.told(answer.lines)}, source_key=answer.id
        )
        return True
    lines = lines_of(work, claim)
    unmatched = [said for said in answer.lines if not _apply(said, lines)]
    facts |= {"lines": claim_desk.told(answer.lines), "unmatched": claim_desk.told(unmatched)}
    ledger.happened(work, claim, "answer", facts, source_key=answer.id)
    claim.tracking = answer.tracking
    _follow_answer(work, claim, lines, answer)
    return True


def _apply(said: LineAnswer, lines: Sequence[ClaimLine]) -> bool:
    """False when the answer fits no line, or would undo a later one (core.rules.claim_states.ITEM_AFTER)."""
    for line in lines:
        is_it = line.tracer == said.tracer if said.tracer else line.number == said.number
        if is_it and may_follow(line.status, said.status):
            line.status, line.approved_cents = said.status, said.money.approved_cents
            line.reasons = [asdict(r) for r in said.reasons]
            return True
    return False


def _follow_answer(work: Work, claim: Claim, lines: Sequence[ClaimLine], answer: Response) -> None:
    follows = claim_desk.outcome(claim.tracking, answer.reasons, cards_of(lines))
    if follows.state == "rejected":
        _send_back(work, claim, follows.why)
    elif follows.state == "answered":
        claim.state, claim.answered_at, claim.why = "answered", work.now(), follows.why
        close_if_settled(work, claim)  # Its money may have been here before its answer.
