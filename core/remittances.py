"""Payments of the schemes: heard from the switch or read from a file, posted to the cent by a person.

A payment waits until somebody posts it. A line for a claim that nobody knows goes to suspense, and from there to its
claim once it is found.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import asdict, dataclass
from datetime import date, datetime
from uuid import UUID

from sqlalchemy import func, select

from core import ledger, practice, workflow
from core.errors import Refused
from core.rules import coding
from core.rules.pages import rows_before
from core.rules.problems import Problem
from core.rules.remittance import (
    Reason,
    RefusedRow,
    RemittancesRead,
    parse_remittances,
    why_not_kept,
    write_remittances,
)
from core.rules.remittance import Remittance as Paid
from core.rules.roles import Permission
from core.rules.steps import Status
from core.store.model import (
    Claim,
    ClaimEvent,
    ClaimLine,
    Posting,
    Remittance,
    RemittanceLine,
    Study,
    SwitchPosition,
)
from core.store.work import House, Subject, Work, system


@dataclass(frozen=True)
class RemittanceLineCard:
    """One line of a payment. claim_study: whose claim it is; None while it is in suspense."""

    id: UUID
    claim_number: str
    claim_study: UUID | None
    line_number: int
    status: str
    submitted_cents: int
    rate_difference_cents: int
    levy_cents: int
    co_payment_cents: int
    rejected_cents: int
    paid_cents: int
    reasons: tuple[Reason, ...]


@dataclass(frozen=True)
class RemittanceCard:
    """One payment: its lines, and whether they are posted. problem: why it cannot be, "" when it can."""

    id: UUID
    number: str
    payer: str
    paid_on: date
    total_cents: int
    received_at: datetime
    posted_at: datetime | None
    lines: tuple[RemittanceLineCard, ...]
    problem: str = ""


@dataclass(frozen=True)
class Suspended:
    """A posted line whose claim nobody knows, and the payment it came with."""

    line: RemittanceLineCard
    remittance_id: UUID
    number: str
    payer: str
    paid_on: date


@dataclass(frozen=True)
class PaymentsFile:
    """What importing a file would do. new, known: (payer, number, cents, lines); refused: (line of the file, reason)."""

    new: tuple[tuple[str, str, int, int], ...]
    known: tuple[tuple[str, str, int, int], ...]
    refused: tuple[tuple[int, str], ...]


@dataclass(frozen=True)
class Surplus:
    """What a scheme has paid on one claim beyond what it owed."""

    study_id: UUID
    claim_number: str
    cents: int


# Questions ------------------------------------------------------------------------------------------------------


def remittances(
    work: Work, *, open_only: bool = False, page: int = 1, size: int = 50
) -> tuple[tuple[RemittanceCard, ...], int]:
    """Payments, newest first, without their lines; how many in all."""
    with work.look(Permission.BILLING_SEE):
        query = select(Remittance)
        if open_only:
            query = query.where(Remittance.posted_at.is_(None))
        total = work.db.scalar(select(func.count()).select_from(query.subquery())) or 0
        order = (Remittance.paid_on.desc(), Remittance.id.desc())
        rows = work.db.scalars(query.order_by(*order).limit(size).offset(rows_before(page, size)))
        return tuple(_card(r, ()) for r in rows), total


def open_remittance(work: Work, remittance_id: UUID) -> RemittanceCard:
    """One payment with its lines. Recorded once per sitting."""
    with work.reading(Permission.BILLING_SEE, Subject("remittance", str(remittance_id))):
        row = work.get(Remittance, remittance_id)
        query = (
            select(RemittanceLine, Claim.study_id)
            .outerjoin(Claim, Claim.id == RemittanceLine.claim_id)
            .where(RemittanceLine.remittance_id == row.id)
            .order_by(RemittanceLine.id)
        )
        return _card(row, tuple(_line_card(line, study) for line, study in work.db.execute(query)))


def suspense(work: Work, *, page: int = 1, size: int = 50) -> tuple[tuple[Suspended, ...], int]:
    """Posted lines whose claim nobody knows yet, oldest first; how many in all."""
    with work.look(Permission.BILLING_SEE):
        query = (
            select(RemittanceLine, Remittance)
            .join(Remittance, Remittance.id == RemittanceLine.remittance_id)
            .where(RemittanceLine.claim_id.is_(None), Remittance.posted_at.is_not(None))
        )
        total = work.db.scalar(
            select(func.count()).select_from(query.with_only_columns(RemittanceLine.id).subquery())
        )
        order = (Remittance.paid_on, RemittanceLine.id)
        rows = work.db.execute(query.order_by(*order).limit(size).offset(rows_before(page, size)))
        return tuple(
            Suspended(_line_card(line, None), r.id, r.number, r.payer, r.paid_on) for line, r in rows
        ), total or 0


def surpluses(work: Work, *, size: int = 100) -> tuple[Surplus, ...]:
    """Claims on which a scheme has paid more than it owed, the largest first."""
    with work.look(Permission.BILLING_SEE):
        cents = -func.sum(Posting.cents)
        query = (
            select(Claim.study_id, Claim.number, cents)
            .join(Posting, Posting.claim_id == Claim.id)
            .where(Posting.account == "surplus")
            .group_by(Claim.study_id, Claim.number)
            .having(cents != 0)
        )
        rows = work.db.execute(query.order_by(cents.desc(), Claim.number).limit(size))
        return tuple(Surplus(study, number, int(much)) for study, number, much in rows)


def preview_remittances(work: Work, *, content: bytes) -> PaymentsFile:
    """What importing a file (data/README.md) would do, with every refused row. Nothing is changed."""
    with work.look(Permission.REMITTANCE_POST):
        read = _read(work, content)
        new: list[tuple[str, str, int, int]] = []
        known: list[tuple[str, str, int, int]] = []
        for paid in read.remittances:
            (known if _known(work, paid) else new).append(
                (paid.payer, paid.id, paid.total_cents, len(paid.lines))
            )
        return PaymentsFile(tuple(new), tuple(known), tuple((r.line, r.reason) for r in read.refused))


# Verbs ----------------------------------------------------------------------------------------------------------


def fetch_remittances(house: House) -> int:
    """Ask the switch for payments and keep them for a person to post. How many were new."""
    since = position(house, "remittances")
    payments = house.ports.switch.remittances(since)
    if not payments:
        return 0
    with house.work(system()) as work:
        with work.act(Permission.CLAIM_TRANSMIT, Subject("switch", "remittances")) as facts:
            taken = [payment.id for payment in payments if _hear(work, payment)]
            move_position(work, "remittances", payments[-1].cursor)
            facts |= {"remittances": len(taken), "since": since}
    return len(taken)


def import_remittances(work: Work, *, content: bytes) -> tuple[int, tuple[tuple[int, str], ...]]:
    """Payments from a file: how many were new, and each refused row with its line and reason."""
    with work.act(Permission.REMITTANCE_POST, Subject("remittance")) as facts:
        read = _read(work, content)
        taken = [p.id for p in read.remittances if _take(work, p)]
        facts |= {"taken": len(taken), "refused": len(read.refused)}
        return len(taken), tuple((r.line, r.reason) for r in read.refused)


def post(work: Work, remittance_id: UUID) -> None:
    """Post a payment to the cent: bank and debtors move, shortfalls become the patient's, settled claims close."""
    with work.act(Permission.REMITTANCE_POST, Subject("remittance", str(remittance_id))) as facts:
        payment = work.get(Remittance, remittance_id, lock=True)
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
            raise Refused(UNEVEN)
        payment.posted_at = work.now()
        touched: dict[UUID, Claim] = {}
        # In the order of their ids, so that two clerks who post at once never wait for each other in a ring.
        # Of one claim, what is taken back comes first: what is paid in its place is then owed again.
        for line in sorted(lines, key=lambda line: (str(line.claim_id), line.paid_cents >= 0)):
            if claim := _post_line(work, payment, line):
                touched[claim.id] = claim
        for claim in touched.values():
            _note_paid(work, claim)
        facts |= {
            "number": payment.number,
            "cents": payment.total_cents,
            "claims": [c.number for c in touched.values()],
        }


def assign(work: Work, line_id: UUID, *, claim_number: str) -> str:
    """A line in suspense belongs to this claim after all: its money moves there. Returns the claim's number."""
    with work.act(Permission.REMITTANCE_POST, Subject("remittance-line", str(line_id))) as facts:
        line = work.get(RemittanceLine, line_id, what="line", lock=True)
        payment = work.get(Remittance, line.remittance_id)
        if line.claim_id is not None or payment.posted_at is None:
            raise Refused("This line is not in suspense.")
        claim = claim_by_number(work, claim_number.strip())
        if claim is None or claim.submitted_at is None:
            sentence = f"There is no submitted claim with the number '{claim_number.strip()}': check it."
            raise Refused(sentence, problems=(Problem("CLAIM", sentence, "claim_number"),))
        line.claim_id = claim.id
        memo = f"{payment.payer} {payment.number}: found for claim {claim.number}"
        ledger.enter(work, claim, coding.found_owner(_sides(work, claim, line)), memo=memo)
        _note_line(work, claim, line)
        _note_paid(work, claim)
        facts |= {"claim": claim.number, "cents": line.paid_cents, "patient": claim.patient_id}
        return claim.number


# For sibling verbs inside their own gate ------------------------------------------------------------------------


def close_if_settled(work: Work, claim: Claim) -> int:
    """Close a claim of which the scheme owes nothing more, or open it again; what the scheme still owes."""
    work.db.flush()
    owed = ledger.level(work, claim)
    study = work.get(Study, claim.study_id)
    if owed == 0 and study.status == Status.CLAIMED:
        claim.state = "settled"
        workflow.move(work, study, "settle")
    elif owed != 0 and claim.state == "settled":
        claim.state = "answered"  # The scheme took money back: the claim is open again until it is settled.
        if study.status == Status.PAID:
            workflow.move(work, study, "take_back")
    return owed


def claim_by_number(work: Work, number: str) -> Claim | None:
    """The claim of that number, held against other changes until this act is over."""
    found = work.db.scalars(select(Claim.id).where(Claim.number == number)).one_or_none()
    return work.get(Claim, found, lock=True) if found else None


def is_ours(work: Work, practice_no: str) -> bool:
    """Whether a switch or a file means this practice. It may carry the last seven digits of the number only, or none."""
    ours = practice.card(work).pcns
    return practice_no in ("", ours, ours[-7:])


def position(house: House, name: str) -> str:
    """How far somebody's feed was read."""
    with house.work(system()) as work, work.look(Permission.CLAIM_TRANSMIT):
        row = work.db.get(SwitchPosition, name)
        return row.cursor if row else ""


def move_position(work: Work, name: str, cursor: str) -> None:
    """Remember how far a feed was read, in the transaction that kept what was read."""
    row = work.db.get(SwitchPosition, name)
    if row is None:
        work.db.add(SwitchPosition(name=name, cursor=cursor))
    else:
        row.cursor = cursor


# Inside ---------------------------------------------------------------------------------------------------------

UNEVEN = "The lines do not make up the payment's total: ask the payer for a correct remittance."


def _read(work: Work, content: bytes) -> RemittancesRead:
    """The file's payments to this practice; another practice's are refused, each with the line where it begins."""
    try:
        read = parse_remittances(content)
    except ValueError as error:
        raise Refused(str(error)) from None
    foreign = [
        RefusedRow(paid.line, reason) for paid in read.remittances if (reason := _not_ours(work, paid))
    ]
    ours = tuple(paid for paid in read.remittances if is_ours(work, paid.practice_no))
    return RemittancesRead(ours, (*read.refused, *foreign))


def _not_ours(work: Work, paid: Paid) -> str:
    if is_ours(work, paid.practice_no):
        return ""
    return (
        f"Remittance {paid.id} pays practice {paid.practice_no}, which is not this practice: nothing of it is posted "
        "here. Ask the payer whose money it is."
    )


def _hear(work: Work, paid: Paid) -> bool:
    """Keep one payment of the switch; one that is not ours, or does not fit, waits with its reason for a person."""
    if not (why := why_not_kept(paid) or _not_ours(work, paid)):
        return _take(work, paid)
    key = "payment:" + hashlib.sha256(f"{paid.payer}\n{paid.id}".encode(errors="replace")).hexdigest()
    if not work.db.scalars(select(ClaimEvent.id).where(ClaimEvent.source_key == key)).first():
        reasons = [asdict(Reason("Information", "Other", "PAYMENT", why))]
        raw = base64.b64encode(write_remittances([paid])).decode()
        ledger.happened(
            work,
            None,
            "unread",
            {"claim": f"payment {paid.id[:60]}", "reasons": reasons, "raw": raw},
            source_key=key,
        )
    return False


def _known(work: Work, paid: Paid) -> bool:
    wanted = (Remittance.payer == paid.payer, Remittance.number == paid.id)
    return work.db.scalars(select(Remittance.id).where(*wanted)).first() is not None


def _take(work: Work, paid: Paid) -> bool:
    """Keep one payment unless it is kept already."""
    if _known(work, paid):
        return False
    row = Remittance(
        id=work.new_id(),
        number=paid.id,
        payer=paid.payer,
        paid_on=paid.paid_on,
        total_cents=paid.total_cents,
        received_at=work.now(),
    )
    work.db.add(row)
    work.db.flush()
    numbers = {line.claim_number for line in paid.lines}
    # Money for a claim that was never sent is nobody's yet.
    sent = select(Claim.number, Claim.id).where(Claim.number.in_(numbers), Claim.submitted_at.is_not(None))
    # Whose money it is does not depend on whose patients the clerk sees who reads the file.
    claims = dict(work.db.execute(sent.execution_options(the_gates_own=True)).all())
    for line in paid.lines:
        work.db.add(
            RemittanceLine(
                id=work.new_id(),
                remittance_id=row.id,
                claim_id=claims.get(line.claim_number),
                claim_number=line.claim_number,
                line_number=line.number,
                tracer=line.tracer,
                status=line.status,
                submitted_cents=line.money.submitted_cents,
                calculated_cents=line.money.calculated_cents,
                levy_cents=line.money.levy_cents,
                co_payment_cents=line.money.co_payment_cents,
                paid_cents=line.paid_cents,
                reasons=[asdict(r) for r in line.reasons],
            )
        )
    work.db.flush()
    return True


def _rejected_cents(line: RemittanceLine) -> int:
    return line.submitted_cents - line.calculated_cents if line.status in coding.REFUSED else 0


def _sides(work: Work, claim: Claim, line: RemittanceLine) -> dict[str, int]:
    return coding.payment(
        submitted_cents=line.submitted_cents,
        paid_cents=line.paid_cents,
        owed_cents=ledger.balance_of(work, claim)["scheme"],
        refused_cents=_rejected_cents(line),
    )


def _post_line(work: Work, payment: Remittance, line: RemittanceLine) -> Claim | None:
    memo = f"{payment.payer} {payment.number}"
    if line.claim_id is None:
        sentence = f"{memo}: claim {line.claim_number} unknown"
        ledger.enter(work, None, coding.unclaimed(line.paid_cents), memo=sentence)
        return None
    claim = work.get(Claim, line.claim_id, lock=True)
    ledger.enter(work, claim, _sides(work, claim, line), memo=memo)
    _note_line(work, claim, line)
    return claim


def _note_line(work: Work, claim: Claim, line: RemittanceLine) -> None:
    claim.paid_cents += line.paid_cents
    mine = select(ClaimLine).where(ClaimLine.claim_id == claim.id)
    by_key = ClaimLine.tracer == line.tracer if line.tracer else ClaimLine.number == line.line_number
    if row := work.db.scalars(mine.where(by_key)).one_or_none():
        row.paid_cents += line.paid_cents
        row.status, row.reasons = line.status, line.reasons


def _note_paid(work: Work, claim: Claim) -> None:
    owed = close_if_settled(work, claim)
    ledger.happened(work, claim, "paid", {"paid_cents": claim.paid_cents, "owed_cents": owed})


def _line_card(x: RemittanceLine, study: UUID | None) -> RemittanceLineCard:
    rejected = _rejected_cents(x)
    return RemittanceLineCard(
        x.id,
        x.claim_number,
        study,
        x.line_number,
        x.status,
        x.submitted_cents,
        x.submitted_cents - x.calculated_cents - rejected,
        x.levy_cents,
        x.co_payment_cents,
        rejected,
        x.paid_cents,
        coding.reasons(x.reasons),
    )


def _card(r: Remittance, lines: tuple[RemittanceLineCard, ...]) -> RemittanceCard:
    uneven = bool(lines) and sum(line.paid_cents for line in lines) != r.total_cents
    return RemittanceCard(
        r.id,
        r.number,
        r.payer,
        r.paid_on,
        r.total_cents,
        r.received_at,
        r.posted_at,
        lines,
        UNEVEN if uneven else "",
    )
