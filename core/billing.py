"""From a signed report to the last cent: coding, pricing, claims, answers, remittances, postings.

A claim hangs on one signed report version. Money is postings that sum to zero; a mistake is reversed, never changed.
Statuses of claims and lines are the payer's own words (core.rules.claim_states); `state` says where the claim is here.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from typing import Any
from uuid import UUID

from sqlalchemy import func, or_, select

from core import practice, reporting, workflow
from core.errors import Refused, Stale
from core.rules import claim_checks, icd10, medclm, tariff
from core.rules.claim import Claim as Draft
from core.rules.claim import ClaimLine as DraftLine
from core.rules.claim import ClaimPatient, Member, Provider, Scheme
from core.rules.claim_states import ANSWERED, Clock, clocks
from core.rules.examinations import examinations, schemes
from core.rules.medclm import SwitchProfile
from core.rules.names import fold
from core.rules.problems import Problem, stops
from core.rules.remittance import Reason, Response, parse_remittances
from core.rules.remittance import Remittance as Paid
from core.rules.roles import Permission
from core.rules.steps import Status
from core.rules.tariff import Asked, Tariff
from core.rules.za_time import local_day
from core.store.model import (
    Claim,
    ClaimEvent,
    ClaimLine,
    CodeTable,
    Document,
    Icd10Row,
    Patient,
    Person,
    Posting,
    Referrer,
    Remittance,
    RemittanceLine,
    ReportVersion,
    Study,
    StudyEvent,
    SwitchPosition,
    TariffRow,
)  # fmt: skip
from core.store.work import House, Subject, Work, system

STATES = {
    "coding": "Being coded",
    "queued": "On its way",
    "sent": "With the scheme",
    "answered": "Answered",
    "rejected": "Rejected",
    "settled": "Settled",
}
ACCOUNTS = {
    "scheme": "Schemes owe us",
    "patient": "Patients owe us",
    "income": "Income",
    "bank": "Bank",
    "suspense": "Money nobody claimed yet",
}
PROFILE = SwitchProfile()


@dataclass(frozen=True)
class CodedLine:
    """What the clerk chose for one examination: a tariff code, how often, its modifiers, and its diagnoses."""

    code: str
    quantity: Decimal = Decimal(1)
    modifiers: tuple[str, ...] = ()
    icd10: tuple[str, ...] = ()


@dataclass(frozen=True)
class Coding:
    """The clerk's whole choice for a claim. referring_icd10: what the referrer wrote, if anything."""

    lines: tuple[CodedLine, ...]
    referring_icd10: tuple[str, ...] = ()
    authorisation: str = ""
    place_of_service: str = "11"
    notes: str = ""


@dataclass(frozen=True)
class LineCard:
    """A line as priced, and what the payer said about it."""

    number: int
    kind: str
    code: str
    description: str
    quantity: Decimal
    cents: int | None
    icd10: tuple[str, ...]
    is_demo: bool
    status: str
    approved_cents: int | None
    paid_cents: int
    reasons: tuple[Reason, ...]


@dataclass(frozen=True)
class Entry:
    """One posting for the screen."""

    at: datetime
    account: str
    cents: int
    memo: str


@dataclass(frozen=True)
class Happening:
    """One line of a claim's history."""

    at: datetime
    what: str
    facts: dict[str, Any]


@dataclass(frozen=True)
class ClaimDesk:
    """A claim's page: the study, the signed text, what was chosen, what it costs, and everything wrong with it."""

    study: workflow.StudyCard
    report_text: str
    version: int  # of the claim row: goes back with a change, so that no other change is lost
    number: str
    state: str
    tracking: str
    scheme: str
    scheme_name: str
    membership_number: str
    coding: Coding
    lines: tuple[LineCard, ...]
    total_cents: int
    paid_cents: int
    owed_by_scheme_cents: int
    owed_by_patient_cents: int
    problems: tuple[Problem, ...]
    clocks: tuple[Clock, ...]
    tables: Tables
    entries: tuple[Entry, ...]
    history: tuple[Happening, ...]
    is_editable: bool


@dataclass(frozen=True)
class Tables:
    """Which tables are loaded, said plainly wherever they are used."""

    icd10_name: str
    icd10_rows: int
    icd10_is_starter: bool
    prices: int
    prices_are_demo: bool


@dataclass(frozen=True)
class QueueRow:
    """One signed study on the billing queue, or one claim on a list."""

    study: workflow.BoardRow
    scheme: str
    number: str
    state: str
    tracking: str
    total_cents: int
    paid_cents: int
    service_on: date | None
    stale_on: date | None


@dataclass(frozen=True)
class CodeFound:
    """One code found in the loaded table."""

    code: str
    description: str
    clinical: bool
    primary: bool


@dataclass(frozen=True)
class RemittanceCard:
    """One payment: its lines, and whether they are posted."""

    id: UUID
    number: str
    payer: str
    paid_on: date
    total_cents: int
    received_at: datetime
    posted_at: datetime | None
    lines: tuple[RemittanceLineCard, ...]


@dataclass(frozen=True)
class RemittanceLineCard:
    """One line of a payment. claim_study: whose claim it is; None while it is in suspense."""

    claim_number: str
    claim_study: UUID | None
    line_number: int
    status: str
    submitted_cents: int
    rate_difference_cents: int
    levy_cents: int
    co_payment_cents: int
    paid_cents: int
    reasons: tuple[Reason, ...]


# Lists ----------------------------------------------------------------------------------------------------------


def queue(work: Work, *, search: str = "", page: int = 1, size: int = 50) -> tuple[tuple[QueueRow, ...], int]:
    """Signed reports that wait for a claim, and claims that came back rejected; oldest first."""
    with work.look(Permission.BILLING_SEE):
        filters = workflow.Filters(search=search, statuses=(Status.SIGNED, Status.REJECTED))
        found = workflow.list_studies(work, filters, page=page, size=size)
        return tuple(_queue_row(work, row) for row in found.rows), found.total


def claims(work: Work, *, states: tuple[str, ...] = (), search: str = "", page: int = 1,
           size: int = 50) -> tuple[tuple[QueueRow, ...], int, dict[str, int]]:  # fmt: skip
    """Claims that were sent, newest first; how many match, and how many stand in each state."""
    with work.look(Permission.BILLING_SEE):
        query = (
            select(Claim).join(Patient, Patient.id == Claim.patient_id).where(Claim.submitted_at.is_not(None))
        )
        for word in fold(search).split():
            query = query.where(or_(Patient.search_text.contains(word, autoescape=True),
                                    Claim.number.icontains(word, autoescape=True)))  # fmt: skip
        counted = (
            select(Claim.state, func.count()).where(Claim.submitted_at.is_not(None)).group_by(Claim.state)
        )
        counts = {state: n for state, n in work.db.execute(counted)}
        if states:
            query = query.where(Claim.state.in_(states))
        total = work.db.scalar(select(func.count()).select_from(query.subquery())) or 0
        query = query.order_by(Claim.submitted_at.desc(), Claim.id).limit(size).offset((page - 1) * size)
        found = list(work.db.scalars(query))
        boards = {row.id: row for row in workflow.rows_of(work, [claim.study_id for claim in found])}
        return tuple(_queue_row(work, boards[claim.study_id], claim) for claim in found), total, counts


def unread_answers(work: Work, *, size: int = 50) -> tuple[Happening, ...]:
    """Answers that nobody could understand, kept raw for a person."""
    with work.look(Permission.BILLING_SEE):
        rows = work.db.scalars(
            select(ClaimEvent).where(ClaimEvent.what == "unread").order_by(ClaimEvent.at.desc()).limit(size)
        )
        return tuple(Happening(e.at, e.what, e.facts) for e in rows)


def open_claim(work: Work, study_id: UUID) -> ClaimDesk:
    """The claim of a signed study with everything wrong with it at once. Recorded once per sitting."""
    with work.reading(Permission.BILLING_SEE, Subject.study(study_id)):
        return _desk(work, work.get(Study, study_id))


def find_codes(work: Work, *, search: str, size: int = 30) -> tuple[CodeFound, ...]:
    """Diagnosis codes of the loaded table: by code, then by words of the description."""
    with work.look(Permission.BILLING_SEE):
        table = _active_table(work)
        if table is None or not search.strip():
            return ()
        typed = icd10.tidy(search)
        query = select(Icd10Row).where(Icd10Row.table_id == table.id)
        starts = work.db.scalars(
            query.where(Icd10Row.code.startswith(typed, autoescape=True)).order_by(Icd10Row.code).limit(size)
        )
        found = list(starts)
        for word in fold(search).split():
            query = query.where(Icd10Row.search_text.contains(word, autoescape=True))
        order = (Icd10Row.clinical.desc(), func.length(Icd10Row.description), Icd10Row.code)
        found += [row for row in work.db.scalars(query.order_by(*order).limit(size)) if row not in found]
        return tuple(CodeFound(r.code, r.description, r.clinical, r.primary) for r in found[:size])


def find_tariffs(
    work: Work, *, search: str = "", scheme: str = "", on: date | None = None, size: int = 50
) -> tuple[Tariff, ...]:
    """Tariff codes and modifiers in force on a day, with this scheme's price where it has one."""
    with work.look(Permission.BILLING_SEE):
        on = on or local_day(work.now())
        query = select(TariffRow).where(or_(TariffRow.scheme == scheme, TariffRow.scheme == ""))
        for word in search.split():
            query = query.where(or_(TariffRow.code.startswith(word, autoescape=True),
                                    TariffRow.description.icontains(word, autoescape=True)))  # fmt: skip
        rows = [_tariff(r) for r in work.db.scalars(query.order_by(TariffRow.code).limit(size * 4))]
        best = {
            code: tariff.price_on(rows, code, scheme=scheme, service_on=on)
            for code in dict.fromkeys(r.code for r in rows)
        }
        return tuple(row for row in best.values() if row is not None)[:size]


# Coding and submitting ------------------------------------------------------------------------------------------


def code(work: Work, study_id: UUID, *, coding: Coding, version: int) -> tuple[Problem, ...]:
    """Keep the clerk's choice, priced; returns everything still wrong with it. `version` is the one that was read."""
    with work.act(Permission.BILLING_CODE, Subject.study(study_id)) as facts:
        study = work.get(Study, study_id)
        before = _claim_row(work, study_id)
        if (before.version if before else 0) != version:
            raise Stale("Somebody else coded this claim meanwhile. Look again, then repeat your change.")
        claim = _claim_of(work, study)
        _require_editable(claim)
        if len(coding.lines) > 50:
            raise Refused("A claim holds at most 50 examinations; make a second claim for the rest.")
        claim.coding = _coding_as_json(_tidied(coding))
        _price(work, claim)
        problems = _problems(work, study, claim)
        facts |= {"claim": claim.number, "lines": len(coding.lines), "cents": claim.total_cents,
                  "problems": [p.code for p in problems if p.stop]}  # fmt: skip
        return problems


def submit(work: Work, study_id: UUID) -> str:
    """Check everything, write the MEDCLM message and leave it as an errand. Refused with every problem at once."""
    with work.act(Permission.CLAIM_SUBMIT, Subject.study(study_id)) as facts:
        study = work.get(Study, study_id)
        claim = _claim_of(work, study)
        _require_editable(claim)
        if claim.state == "rejected":
            claim.correction = "RSV"
        claim.report_version_id = study.signed_version_id
        _price(work, claim)
        problems = _problems(work, study, claim)
        if stops(problems):
            raise Refused("The claim cannot be sent yet. Please mend what is listed.", problems=problems)
        claim.attempt += 1
        claim.batch_number = batch = work.number("claim batch")
        draft = _draft(work, study, claim)
        message = medclm.write(draft, PROFILE, batch_no=batch, prepared_at=work.now(),
                               control_ref=f"{batch:014d}")  # fmt: skip
        claim.message_id = _keep_document(work, message, kind="claim", owner=claim.id)
        claim.state, claim.tracking, claim.submitted_at, claim.answered_at = "queued", "", work.now(), None
        for line in _lines(work, claim):
            line.status, line.reasons, line.approved_cents = "", [], None
        _post(
            work,
            claim,
            {"scheme": claim.total_cents, "income": -claim.total_cents},
            memo=f"Claim {claim.number}",
        )
        workflow.move(work, study, "claim")
        key = f"transmit_claim:{claim.number}:{claim.attempt}"
        work.errand("transmit_claim", key=key, claim=str(claim.id), attempt=claim.attempt)
        _happened(
            work,
            claim,
            "submitted",
            {"cents": claim.total_cents, "batch": batch, "attempt": claim.attempt},
        )
        facts |= {"claim": claim.number, "cents": claim.total_cents, "attempt": claim.attempt}
        return claim.number


def message_of(work: Work, study_id: UUID) -> bytes:
    """The MEDCLM message as it was sent. Raises Missing before the claim was submitted."""
    with work.reading(Permission.BILLING_SEE, Subject.study(study_id)):
        claim = _claim_row(work, study_id)
        if claim is None or claim.message_id is None:
            raise Refused("This claim has not been submitted yet.")
        return work.blobs.get(claim.message_id, kind="claim", owner=claim.id)


# The switch, from the worker ------------------------------------------------------------------------------------


def transmit_claim(house: House, payload: dict[str, Any]) -> None:
    """Errand: hand the message to the switch. The same attempt may be handed over again; the switch knows its key."""
    with house.work(system()) as work:
        with work.look(Permission.CLAIM_TRANSMIT):
            claim = work.get(Claim, UUID(payload["claim"]))
            key, message_id, attempt = f"{claim.number}:{claim.attempt}", claim.message_id, claim.attempt
            is_over = claim.state != "queued" or attempt != payload["attempt"] or message_id is None
            owner = claim.id
    if is_over or message_id is None:
        return
    receipt = house.ports.switch.submit(house.blobs.get(message_id, kind="claim", owner=owner), key=key)
    with house.work(system()) as work:
        with work.act(Permission.CLAIM_TRANSMIT, Subject("claim", str(owner))) as facts:
            claim = work.get(Claim, owner)
            facts |= {"claim": claim.number, "reference": receipt.reference, "patient": claim.patient_id}
            if claim.state == "queued" and claim.attempt == attempt:
                claim.state, claim.tracking, claim.received_at = "sent", receipt.tracking, work.now()
                _happened(
                    work, claim, "received", {"reference": receipt.reference, "duplicate": receipt.duplicate}
                )


def fetch_answers(house: House) -> int:
    """Ask the switch for answers and keep them, each once, in the transaction that moves the position. How many."""
    since = _position(house, "answers")
    answers = house.ports.switch.poll(since)
    if not answers:
        return 0
    with house.work(system()) as work:
        with work.act(Permission.CLAIM_TRANSMIT, Subject("switch", "answers")) as facts:
            taken = [answer.id for answer in answers if _take_answer(work, answer)]
            _move_position(work, "answers", answers[-1].cursor)
            facts |= {"answers": len(taken), "since": since}
    return len(taken)


def fetch_remittances(house: House) -> int:
    """Ask the switch for payments and keep them for a person to post. How many were new."""
    since = _position(house, "remittances")
    payments = house.ports.switch.remittances(since)
    if not payments:
        return 0
    with house.work(system()) as work:
        with work.act(Permission.CLAIM_TRANSMIT, Subject("switch", "remittances")) as facts:
            taken = [payment.id for payment in payments if _take_payment(work, payment)]
            _move_position(work, "remittances", payments[-1].cursor)
            facts |= {"remittances": len(taken), "since": since}
    return len(taken)


HANDLERS = {"transmit_claim": transmit_claim}


# Remittances ----------------------------------------------------------------------------------------------------


def remittances(
    work: Work, *, open_only: bool = False, page: int = 1, size: int = 50
) -> tuple[tuple[RemittanceCard, ...], int]:
    """Payments, newest first, without their lines."""
    with work.look(Permission.BILLING_SEE):
        query = select(Remittance)
        if open_only:
            query = query.where(Remittance.posted_at.is_(None))
        total = work.db.scalar(select(func.count()).select_from(query.subquery())) or 0
        rows = work.db.scalars(
            query.order_by(Remittance.paid_on.desc(), Remittance.id.desc())
            .limit(size)
            .offset((page - 1) * size)
        )
        return tuple(_remittance_card(work, r, with_lines=False) for r in rows), total


def open_remittance(work: Work, remittance_id: UUID) -> RemittanceCard:
    """One payment with its lines."""
    with work.reading(Permission.BILLING_SEE, Subject("remittance", str(remittance_id))):
        return _remittance_card(work, work.get(Remittance, remittance_id), with_lines=True)


def import_remittances(work: Work, *, content: bytes) -> tuple[int, tuple[tuple[int, str], ...]]:
    """Payments from a file (data/README.md): how many were new, and each refused row with its line and reason."""
    with work.act(Permission.REMITTANCE_POST, Subject("remittance")) as facts:
        try:
            read = parse_remittances(content)
        except ValueError as error:
            raise Refused(str(error)) from None
        taken = [p.id for p in read.remittances if _take_payment(work, p)]
        facts |= {"taken": len(taken), "refused": len(read.refused)}
        return len(taken), tuple((r.line, r.reason) for r in read.refused)


def post(work: Work, remittance_id: UUID) -> None:
    """Post a payment to the cent: bank and debtors move, shortfalls become the patient's, settled claims close."""
    with work.act(Permission.REMITTANCE_POST, Subject("remittance", str(remittance_id))) as facts:
        payment = work.get(Remittance, remittance_id)
        if payment.posted_at is not None:
            raise Refused("This payment is posted already.")
        lines = list(
            work.db.scalars(
                select(RemittanceLine)
                .where(RemittanceLine.remittance_id == payment.id)
                .order_by(RemittanceLine.id)
            )
        )
        if sum(line.paid_cents for line in lines) != payment.total_cents:
            raise Refused(
                "The lines do not make up the payment's total: ask the payer for a correct remittance."
            )
        payment.posted_at = work.now()
        touched: dict[UUID, Claim] = {}
        for line in lines:
            if claim := _post_line(work, payment, line):
                touched[claim.id] = claim
        for claim in touched.values():
            _close_if_settled(work, claim)
        facts |= {
            "number": payment.number,
            "cents": payment.total_cents,
            "claims": [c.number for c in touched.values()],
        }


def balances(work: Work) -> dict[str, int]:
    """Cents on each account; they sum to zero."""
    with work.look(Permission.BILLING_SEE):
        sums = select(Posting.account, func.sum(Posting.cents)).group_by(Posting.account)
        found = {account: cents for account, cents in work.db.execute(sums)}
        return {account: int(found.get(account, 0)) for account in ACCOUNTS}


# Tables ---------------------------------------------------------------------------------------------------------


def tables(work: Work) -> Tables:
    """Which ICD-10 table and which prices are loaded."""
    with work.look(Permission.TABLES_SEE):
        return _tables(work)


def import_icd10(work: Work, *, content: bytes, name: str, is_starter: bool = False) -> icd10.Table:
    """Load a table and use it from now on; earlier editions stay for claims of their time. Refused rows are returned."""
    with work.act(Permission.TABLES_IMPORT, Subject("code-table")) as facts:
        try:
            table = icd10.parse_official(content)
        except ValueError as error:
            raise Refused(str(error)) from None
        if not table.codes:
            raise Refused("The file holds no code that can be used. Nothing was changed.")
        for old in work.db.scalars(select(CodeTable).where(CodeTable.is_active)):
            old.is_active = False
        row = CodeTable(id=work.new_id(), name=name.strip()[:120] or "ICD-10", sha256=hashlib.sha256(content).hexdigest(),
                        is_starter=is_starter, is_active=True, rows=len(table.codes), loaded_at=work.now())  # fmt: skip
        work.db.add(row)
        work.db.flush()
        work.db.add_all([_icd10_row(row.id, c) for c in table.codes])
        facts |= {"name": row.name, "rows": row.rows, "refused": len(table.refused), "starter": is_starter}
        return table


def preview_tariff(work: Work, *, content: bytes) -> tariff.Preview:
    """What loading a price list would change, row by row. Nothing is changed."""
    with work.look(Permission.TABLES_IMPORT):
        return _preview(work, content)


def import_tariff(work: Work, *, content: bytes) -> tariff.Preview:
    """Load a price list: new and changed rows are taken, refused rows are returned with their line and reason."""
    with work.act(Permission.TABLES_IMPORT, Subject("tariff")) as facts:
        found = _preview(work, content)
        for row in found.new:
            work.db.add(_tariff_row(work, row))
        for _, row in found.changed:
            old = work.db.scalars(select(TariffRow).where(TariffRow.scheme == row.scheme, TariffRow.code == row.code,
                                                          TariffRow.valid_from == row.valid_from)).one()  # fmt: skip
            for key, value in _tariff_values(row).items():
                setattr(old, key, value)
        facts |= {"new": len(found.new), "changed": len(found.changed), "refused": len(found.refused)}
        return found


# Inside: claims -------------------------------------------------------------------------------------------------


def _claim_row(work: Work, study_id: UUID) -> Claim | None:
    return work.db.scalars(select(Claim).where(Claim.study_id == study_id)).one_or_none()


def _claim_of(work: Work, study: Study) -> Claim:
    """The study's claim row, made at the first coding."""
    if study.signed_version_id is None:
        raise Refused("A claim needs a signed report.")
    if claim := _claim_row(work, study.id):
        return claim
    patient = work.get(Patient, study.patient_id)
    claim = Claim(
        id=work.new_id(), study_id=study.id, patient_id=study.patient_id, report_version_id=study.signed_version_id,
        number=f"{work.house.origin}C{work.number('claim'):08d}", scheme=patient.scheme_code, state="coding",
        coding=_coding_as_json(_usual(study)), service_on=_service_on(work, study),
    )  # fmt: skip
    work.db.add(claim)
    work.db.flush()
    return claim


def _usual(study: Study) -> Coding:
    """Where coding begins: the examination's usual tariff code, no diagnosis."""
    usual = examinations().get(study.examination)
    lines = (CodedLine(usual.tariff_code),) if usual and usual.tariff_code else ()
    return Coding(lines, place_of_service=study.place_of_service)


def _service_on(work: Work, study: Study) -> date:
    scanned = work.db.scalars(
        select(StudyEvent.at).where(StudyEvent.study_id == study.id, StudyEvent.step == "receive")
    ).first()
    return local_day(scanned or study.booked_for_at)


def _require_editable(claim: Claim) -> None:
    if claim.state not in ("coding", "rejected"):
        raise Refused(f"This claim is '{STATES[claim.state]}' and cannot be changed now.")


def _lines(work: Work, claim: Claim) -> list[ClaimLine]:
    return list(
        work.db.scalars(select(ClaimLine).where(ClaimLine.claim_id == claim.id).order_by(ClaimLine.number))
    )


def _price(work: Work, claim: Claim) -> None:
    """Price what was chosen. Line numbers and tracers of a claim that was sent before are kept where the line is."""
    coding = _coding(claim.coding)
    priced = _priced(work, claim, coding)
    existing = _lines(work, claim)
    for number, line in enumerate(priced.lines, start=1):
        row = existing[number - 1] if number <= len(existing) else ClaimLine(
            id=work.new_id(), claim_id=claim.id, number=number, tracer=f"{claim.number}-{number:03d}", status="",
            paid_cents=0, reasons=[])  # fmt: skip
        row.kind, row.code, row.description = line.kind, line.code, line.description[:300]
        row.quantity, row.cents, row.is_demo = str(line.quantity), line.cents, line.demo
        row.icd10 = list(coding.lines[line.asked].icd10) if line.kind == "tariff" else []
        work.db.add(row)
    for row in existing[len(priced.lines) :]:
        work.db.delete(row)
    claim.total_cents = priced.cents
    patient = work.db.get(Patient, claim.patient_id)
    claim.scheme = patient.scheme_code if patient else ""
    work.db.flush()


def _priced(work: Work, claim: Claim, coding: Coding) -> tariff.Priced:
    asked = [Asked(line.code, line.quantity, line.modifiers) for line in coding.lines]
    return tariff.price(asked, find=_finder(work, claim.scheme, claim.service_on))


def _finder(work: Work, scheme: str, on: date) -> Callable[[str], Tariff | None]:
    def find(wanted: str) -> Tariff | None:
        rows = work.db.scalars(select(TariffRow).where(TariffRow.code == wanted))
        return tariff.price_on([_tariff(r) for r in rows], wanted, scheme=scheme, service_on=on)

    return find


def _draft(work: Work, study: Study, claim: Claim) -> Draft:
    """The claim as the rules and the message writer know it."""
    us, patient = practice.card(work), work.get(Patient, study.patient_id)
    payer, coding = schemes().get(claim.scheme), _coding(claim.coding)
    version = work.db.get(ReportVersion, study.signed_version_id) if study.signed_version_id else None
    doctor = work.db.get(Person, version.author_id) if version else None
    sender = work.db.get(Referrer, study.referrer_id) if study.referrer_id else None
    return Draft(
        number=claim.number, account_no=patient.file_number, practice=Provider(us.pcns, us.name),
        scheme=Scheme(payer.name, payer.routing_no, payer.cms_no, patient.scheme_option) if payer else Scheme(),
        member=Member(patient.membership_number, patient.member_surname, patient.member_initials),
        patient=ClaimPatient(
            patient.family_name, patient.given_names, "".join(w[0] for w in patient.given_names.split()), patient.born_on,
            patient.sex if patient.sex in ("F", "M") else "U",
            patient.identity_number or "" if patient.identity_kind == "sa-id" else "", patient.dependant_code,
        ),
        treating=Provider(doctor.practice_number, doctor.name, doctor.registration) if doctor else Provider(),
        service_on=claim.service_on,
        lines=tuple(
            DraftLine(line.number, line.kind, line.code, line.description, Decimal(line.quantity), line.cents,
                      tuple(line.icd10), line.tracer, demo=line.is_demo)
            for line in _lines(work, claim)
        ),
        referrer=Provider(sender.practice_number, sender.name) if sender else Provider(),
        referring_icd10=coding.referring_icd10, accession=study.accession, authorisation=coding.authorisation,
        place_of_service=coding.place_of_service, in_hospital=coding.place_of_service == "21",
        correction=claim.correction, original_number=claim.number if claim.correction else "",
        funder="scheme" if claim.scheme else "private", report_version_id=str(claim.report_version_id or ""),
        total_cents=claim.total_cents, notes=coding.notes,
    )  # fmt: skip


def _problems(work: Work, study: Study, claim: Claim) -> tuple[Problem, ...]:
    """Everything wrong with the claim: in its prices, its codes, its people and its message."""
    draft = _draft(work, study, claim)
    table = _active_table(work)
    others = select(Claim.service_on, ClaimLine.code).join(ClaimLine, ClaimLine.claim_id == Claim.id).where(
        Claim.patient_id == claim.patient_id, Claim.id != claim.id, Claim.submitted_at.is_not(None), ClaimLine.kind == "tariff")  # fmt: skip
    found = [
        *_priced(work, claim, _coding(claim.coding)).problems,
        *claim_checks.check(
            draft, lookup=_lookup(work, table), today=local_day(work.now()), starter=bool(table and table.is_starter),
            profile=PROFILE, earlier=[tuple(row) for row in work.db.execute(others)],  # type: ignore[misc]
        ),
    ]  # fmt: skip
    version = work.db.get(ReportVersion, study.signed_version_id)
    if version and version.image_digest != study.image_digest:
        sentence = "Images were added after the report was signed: ask the radiologist before billing."
        found.append(Problem("IMAGES_CHANGED", sentence, "report", stop=False))
    return tuple(dict.fromkeys(found))


def _lookup(work: Work, table: CodeTable | None) -> Callable[[str], icd10.Code | None]:
    def lookup(wanted: str) -> icd10.Code | None:
        if table is None:
            return None
        row = work.db.scalars(
            select(Icd10Row).where(Icd10Row.table_id == table.id, Icd10Row.code == wanted)
        ).one_or_none()
        return row and icd10.Code(row.code, row.description, row.chapter, row.clinical, row.primary, row.asterisk, row.dagger,
                                  row.sequelae, row.ages, row.sex, valid_from=row.valid_from, valid_until=row.valid_until)  # fmt: skip

    return lookup


def _desk(work: Work, study: Study) -> ClaimDesk:
    signed = reporting.signed_report(work, study)
    claim = _claim_row(work, study.id)
    is_new = claim is None
    if claim is None:
        # Nothing is written by looking: the row that the first coding will make, as it would stand.
        patient = work.get(Patient, study.patient_id)
        claim = Claim(id=study.id, study_id=study.id, patient_id=study.patient_id, number="", scheme=patient.scheme_code,
                      state="coding", tracking="", coding=_coding_as_json(_usual(study)), service_on=_service_on(work, study),
                      total_cents=0, paid_cents=0, version=0, correction="")  # fmt: skip
    patient = work.get(Patient, study.patient_id)
    rows = [] if is_new else _lines(work, claim)
    payer = schemes().get(claim.scheme)
    balance = {} if is_new else _balance(work, claim)
    received = local_day(claim.received_at) if claim.received_at else None
    return ClaimDesk(
        study=signed.study, report_text=signed.version.text, version=claim.version, number=claim.number, state=claim.state,
        tracking=claim.tracking, scheme=claim.scheme, scheme_name=payer.name if payer else ("Private patient" if not claim.scheme else claim.scheme),
        membership_number=patient.membership_number, coding=_coding(claim.coding), lines=tuple(_line_card(r) for r in rows),
        total_cents=claim.total_cents, paid_cents=claim.paid_cents, owed_by_scheme_cents=balance.get("scheme", 0),
        owed_by_patient_cents=balance.get("patient", 0), problems=() if is_new else _problems(work, study, claim),
        clocks=clocks(service_on=claim.service_on, received_on=received), tables=_tables(work),
        entries=() if is_new else _entries(work, claim), history=() if is_new else _history(work, claim),
        is_editable=claim.state in ("coding", "rejected"),
    )  # fmt: skip


def _line_card(r: ClaimLine) -> LineCard:
    return LineCard(r.number, r.kind, r.code, r.description, Decimal(r.quantity), r.cents, tuple(r.icd10), r.is_demo, r.status,
                    r.approved_cents, r.paid_cents, _reasons(r.reasons))  # fmt: skip


def _reasons(rows: Iterable[dict[str, str]]) -> tuple[Reason, ...]:
    return tuple(Reason(**row) for row in rows)


def _queue_row(work: Work, row: workflow.BoardRow, claim: Claim | None = None) -> QueueRow:
    claim = claim or _claim_row(work, row.id)
    if claim is None:
        patient = work.db.get(Patient, row.patient_id)
        return QueueRow(row, patient.scheme_code if patient else "", "", "", "", 0, 0, None, None)
    stale = clocks(service_on=claim.service_on)[0].ends_on
    return QueueRow(row, claim.scheme, claim.number, claim.state, claim.tracking, claim.total_cents, claim.paid_cents,
                    claim.service_on, stale)  # fmt: skip


def _happened(
    work: Work, claim: Claim | None, what: str, facts: dict[str, Any], *, source_key: str | None = None
) -> None:
    work.db.add(ClaimEvent(id=work.new_id(), origin=work.house.origin, claim_id=claim.id if claim else None, at=work.now(),
                           what=what, source_key=source_key, facts=facts))  # fmt: skip
    work.db.flush()


def _history(work: Work, claim: Claim) -> tuple[Happening, ...]:
    rows = work.db.scalars(
        select(ClaimEvent).where(ClaimEvent.claim_id == claim.id).order_by(ClaimEvent.at, ClaimEvent.id)
    )
    return tuple(Happening(e.at, e.what, e.facts) for e in rows)


def _keep_document(work: Work, data: bytes, *, kind: str, owner: UUID) -> UUID:
    document = Document(id=work.new_id(), origin=work.house.origin, kind=kind, owner_id=owner, size=len(data),
                        sha256=hashlib.sha256(data).hexdigest(), at=work.now())  # fmt: skip
    work.blobs.put(document.id, data, kind=kind, owner=owner)
    work.db.add(document)
    return document.id


# Inside: answers and payments -------------------------------------------------------------------------------------


def _take_answer(work: Work, answer: Response) -> bool:
    """Apply one answer unless it was applied before. What cannot be understood is kept raw."""
    if work.db.scalars(select(ClaimEvent.id).where(ClaimEvent.source_key == answer.id)).first():
        return False
    claim = work.db.scalars(select(Claim).where(Claim.number == answer.claim_number)).one_or_none()
    facts = {"tracking": answer.tracking, "reasons": [asdict(r) for r in answer.reasons]}
    if claim is None or not answer.tracking:
        facts |= {"claim": answer.claim_number, "raw": base64.b64encode(answer.raw).decode()}
        _happened(work, claim, "unread", facts, source_key=answer.id)
        return True
    lines = {line.tracer: line for line in _lines(work, claim)}
    for said in answer.lines:
        if line := lines.get(said.tracer):
            line.status, line.approved_cents = said.status, said.money.approved_cents
            line.reasons = [asdict(r) for r in said.reasons]
    facts["lines"] = [
        {"line": s.number, "status": s.status, "cents": s.money.approved_cents} for s in answer.lines
    ]
    _happened(work, claim, "answer", facts, source_key=answer.id)
    claim.tracking = answer.tracking
    if claim.state in ("queued", "sent", "answered"):
        _follow_answer(work, claim, list(lines.values()))
    return True


def _follow_answer(work: Work, claim: Claim, lines: list[ClaimLine]) -> None:
    """All lines refused, or the claim failed on its way: back to the clerk. All lines answered: wait for the money."""
    refused = all(line.status in ("Rejected", "Invalid") for line in lines) or claim.tracking == "Failed"
    if refused:
        claim.state, claim.answered_at = "rejected", work.now()
        _post(
            work,
            claim,
            {"scheme": -claim.total_cents, "income": claim.total_cents},
            memo=f"Claim {claim.number} refused",
        )
        workflow.move(work, work.get(Study, claim.study_id), "refuse")
    elif all(line.status in ANSWERED for line in lines):
        claim.state, claim.answered_at = "answered", work.now()


def _take_payment(work: Work, paid: Paid) -> bool:
    known = select(Remittance.id).where(Remittance.payer == paid.payer, Remittance.number == paid.id)
    if work.db.scalars(known).first():
        return False
    row = Remittance(id=work.new_id(), number=paid.id, payer=paid.payer, paid_on=paid.paid_on, total_cents=paid.total_cents,
                     received_at=work.now())  # fmt: skip
    work.db.add(row)
    work.db.flush()
    for line in paid.lines:
        claim = work.db.scalars(select(Claim.id).where(Claim.number == line.claim_number)).first()
        work.db.add(RemittanceLine(
            id=work.new_id(), remittance_id=row.id, claim_id=claim, claim_number=line.claim_number[:35],
            line_number=line.number, tracer=line.tracer[:35], status=line.status, submitted_cents=line.money.submitted_cents,
            calculated_cents=line.money.calculated_cents, levy_cents=line.money.levy_cents,
            co_payment_cents=line.money.co_payment_cents, paid_cents=line.paid_cents, reasons=[asdict(r) for r in line.reasons],
        ))  # fmt: skip
    work.db.flush()
    return True


def _post_line(work: Work, payment: Remittance, line: RemittanceLine) -> Claim | None:
    """Money in is the bank's and off the scheme's account; what the scheme will not pay becomes the patient's."""
    memo = f"{payment.payer} {payment.number}"
    claim = work.db.get(Claim, line.claim_id) if line.claim_id else None
    if claim is None:
        _post(
            work,
            None,
            {"bank": line.paid_cents, "suspense": -line.paid_cents},
            memo=f"{memo}: claim {line.claim_number} unknown",
        )
        return None
    shortfall = line.submitted_cents - line.paid_cents
    _post(
        work,
        claim,
        {"bank": line.paid_cents, "scheme": -line.paid_cents - shortfall, "patient": shortfall},
        memo=memo,
    )
    claim.paid_cents += line.paid_cents
    by_tracer = select(ClaimLine).where(ClaimLine.claim_id == claim.id, ClaimLine.tracer == line.tracer)
    if row := work.db.scalars(by_tracer).one_or_none():
        row.paid_cents += line.paid_cents
        row.status, row.reasons = line.status, line.reasons
    return claim


def _close_if_settled(work: Work, claim: Claim) -> None:
    work.db.flush()
    owed = _balance(work, claim).get("scheme", 0)
    study = work.get(Study, claim.study_id)
    _happened(work, claim, "paid", {"paid_cents": claim.paid_cents, "owed_cents": owed})
    if owed == 0 and study.status == Status.CLAIMED:
        claim.state = "settled"
        workflow.move(work, study, "settle")
    elif owed != 0 and claim.state == "settled":
        claim.state = "answered"  # The scheme took money back: the claim is open again until it is settled.


def _post(work: Work, claim: Claim | None, sides: dict[str, int], *, memo: str) -> None:
    """One entry: its sides sum to zero, or nothing is posted and the mistake is ours."""
    if sum(sides.values()) != 0:
        raise AssertionError("Postings of an entry must sum to zero.")
    entry, at = work.new_id(), work.now()
    for account, cents in sides.items():
        if cents:
            work.db.add(Posting(
                id=work.new_id(), origin=work.house.origin, entry_id=entry, at=at, account=account, cents=cents, memo=memo,
                claim_id=claim.id if claim else None, patient_id=claim.patient_id if claim else None,
            ))  # fmt: skip
    work.db.flush()


def _balance(work: Work, claim: Claim) -> dict[str, int]:
    query = (
        select(Posting.account, func.sum(Posting.cents))
        .where(Posting.claim_id == claim.id)
        .group_by(Posting.account)
    )
    return {account: int(cents) for account, cents in work.db.execute(query)}


def _entries(work: Work, claim: Claim) -> tuple[Entry, ...]:
    rows = work.db.scalars(
        select(Posting).where(Posting.claim_id == claim.id).order_by(Posting.at, Posting.id)
    )
    return tuple(Entry(p.at, p.account, p.cents, p.memo) for p in rows)


def _remittance_card(work: Work, r: Remittance, *, with_lines: bool) -> RemittanceCard:
    lines: tuple[RemittanceLineCard, ...] = ()
    if with_lines:
        query = (
            select(RemittanceLine, Claim.study_id).outerjoin(Claim, Claim.id == RemittanceLine.claim_id)
            .where(RemittanceLine.remittance_id == r.id).order_by(RemittanceLine.id)
        )  # fmt: skip
        lines = tuple(
            RemittanceLineCard(
                x.claim_number, study, x.line_number, x.status, x.submitted_cents, x.submitted_cents - x.calculated_cents,
                x.levy_cents, x.co_payment_cents, x.paid_cents, _reasons(x.reasons),
            )
            for x, study in work.db.execute(query)
        )  # fmt: skip
    return RemittanceCard(
        r.id, r.number, r.payer, r.paid_on, r.total_cents, r.received_at, r.posted_at, lines
    )


def _position(house: House, name: str) -> str:
    with house.work(system()) as work, work.look(Permission.CLAIM_TRANSMIT):
        row = work.db.get(SwitchPosition, name)
        return row.cursor if row else ""


def _move_position(work: Work, name: str, cursor: str) -> None:
    row = work.db.get(SwitchPosition, name)
    if row is None:
        work.db.add(SwitchPosition(name=name, cursor=cursor))
    else:
        row.cursor = cursor


# Inside: coding and tables ----------------------------------------------------------------------------------------


def _tidied(coding: Coding) -> Coding:
    lines = tuple(
        replace(line, code=line.code.strip(), modifiers=tuple(m.strip() for m in line.modifiers if m.strip()),
                icd10=tuple(icd10.tidy(c) for c in line.icd10 if c.strip()))
        for line in coding.lines
    )  # fmt: skip
    return replace(coding, lines=lines, referring_icd10=tuple(icd10.tidy(c) for c in coding.referring_icd10 if c.strip()),
                   authorisation=coding.authorisation.strip(), notes=coding.notes.strip()[:300])  # fmt: skip


def _coding_as_json(coding: Coding) -> dict[str, Any]:
    record = asdict(coding)
    for line in record["lines"]:
        line["quantity"] = str(line["quantity"])
    return record


def _coding(record: dict[str, Any]) -> Coding:
    lines = tuple(
        CodedLine(line["code"], _decimal(line["quantity"]), tuple(line["modifiers"]), tuple(line["icd10"]))
        for line in record["lines"]
    )
    return Coding(
        lines,
        tuple(record["referring_icd10"]),
        record["authorisation"],
        record["place_of_service"],
        record["notes"],
    )


def _decimal(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:
        return Decimal(0)


def _active_table(work: Work) -> CodeTable | None:
    return work.db.scalars(select(CodeTable).where(CodeTable.is_active)).first()


def _tables(work: Work) -> Tables:
    table = _active_table(work)
    prices = work.db.scalar(select(func.count()).select_from(TariffRow)) or 0
    demo = work.db.scalar(select(func.count()).select_from(TariffRow).where(TariffRow.is_demo)) or 0
    if table is None:
        return Tables("no ICD-10 table", 0, False, prices, bool(demo))
    return Tables(table.name, table.rows, table.is_starter, prices, bool(demo))


def _icd10_row(table_id: UUID, c: icd10.Code) -> Icd10Row:
    return Icd10Row(
        table_id=table_id, code=c.code, description=c.description[:300], search_text=fold(f"{c.code} {c.description}")[:320],
        chapter=c.chapter, clinical=c.clinical, primary=c.primary, asterisk=c.asterisk, dagger=c.dagger, sequelae=c.sequelae,
        ages=c.ages, sex=c.sex, valid_from=c.valid_from, valid_until=c.valid_until,
    )  # fmt: skip


def _preview(work: Work, content: bytes) -> tariff.Preview:
    try:
        return tariff.preview(content, existing=[_tariff(r) for r in work.db.scalars(select(TariffRow))])
    except ValueError as error:
        raise Refused(str(error)) from None


def _tariff(r: TariffRow) -> Tariff:
    return Tariff(r.code, r.description, r.kind, r.cents, Fraction(r.factor) if r.factor else None, r.valid_from, r.valid_until,
                  r.scheme, r.source, r.is_demo)  # fmt: skip


def _tariff_values(row: Tariff) -> dict[str, Any]:
    return {"description": row.description[:300], "kind": row.kind, "cents": row.cents,
            "factor": str(row.factor) if row.factor is not None else None, "valid_until": row.valid_until,
            "source": row.source[:200], "is_demo": row.demo}  # fmt: skip


def _tariff_row(work: Work, row: Tariff) -> TariffRow:
    return TariffRow(
        id=work.new_id(), code=row.code, scheme=row.scheme, valid_from=row.valid_from, **_tariff_values(row)
    )
