"""A claim with its study, its patient and its priced lines, as the verbs of billing take it up.

Everything here is called inside a sibling verb's own gate.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import TypeVar
from uuid import UUID

from sqlalchemy import func, inspect, select

from core import code_tables, practice
from core.errors import Refused
from core.rules import claim_desk, coding, tariff
from core.rules.claim import Claim as Draft
from core.rules.claim import ClaimLine as DraftLine
from core.rules.claim import ClaimPatient, Member, Provider, Scheme
from core.rules.claim_desk import LineCard
from core.rules.coding import Coding
from core.rules.examinations import schemes
from core.rules.tariff import Asked
from core.rules.za_time import local_day
from core.store.model import Claim, ClaimLine, Patient, Person, Referrer, ReportVersion, Study, StudyEvent
from core.store.work import Work

Kept = TypeVar("Kept", Claim, ClaimLine)


@dataclass
class Case:
    """A study with its claim and lines. is_kept: the claim has its row; one that is only looked at has none."""

    study: Study
    patient: Patient
    claim: Claim
    lines: list[ClaimLine]
    is_kept: bool


def row_of(work: Work, study_id: UUID) -> Claim | None:
    """A study's claim, None before anything was coded."""
    return work.db.scalars(select(Claim).where(Claim.study_id == study_id)).one_or_none()


def case_of(work: Work, study: Study, *, chosen: Coding | None = None) -> Case:
    """The claim as it stands, or as it would stand with another choice; nothing is written by looking."""
    if study.signed_version_id is None:
        raise Refused("A claim needs a signed report.")
    patient = work.get(Patient, study.patient_id)
    claim = row_of(work, study.id)
    if claim is not None and chosen is None:
        return Case(study, patient, claim, lines_of(work, claim), True)
    draft = _copy_of(claim) if claim else _first_draft(work, study)
    draft.coding = coding.as_json(chosen or claim_desk.usual(study.examination, place=study.place_of_service))
    draft.scheme = patient.scheme_code
    case = Case(study, patient, draft, [], False)
    case.lines = _priced_lines(work, case, [_copy_of(line) for line in lines_of(work, draft)])
    draft.total_cents = claim_desk.total(cards_of(case.lines))
    return case


def lines_of(work: Work, claim: Claim) -> list[ClaimLine]:
    """A claim's lines by their number."""
    query = select(ClaimLine).where(ClaimLine.claim_id == claim.id).order_by(ClaimLine.number)
    return list(work.db.scalars(query))


def _first_draft(work: Work, study: Study) -> Claim:
    return Claim(
        id=study.id,
        study_id=study.id,
        patient_id=study.patient_id,
        report_version_id=study.signed_version_id,
        number="",
        state="coding",
        tracking="",
        correction="",
        why="",
        attempt=0,
        service_on=service_days(work, [study])[study.id],
        total_cents=0,
        paid_cents=0,
        version=0,
    )


def _copy_of(row: Kept) -> Kept:
    """The same values in a row that the database does not know."""
    return type(row)(**{column.key: getattr(row, column.key) for column in inspect(type(row)).column_attrs})


def keep(work: Work, case: Case) -> None:
    """Give a first draft its number and its row."""
    if not case.is_kept:
        case.claim.id, case.claim.number = work.new_id(), f"{work.house.origin}C{work.number('claim'):08d}"
        case.lines, case.is_kept = [], True
        work.db.add(case.claim)
        work.db.flush()


def service_days(work: Work, studies: Sequence[Study]) -> dict[UUID, date]:
    """When each study was scanned; when it was booked for where no scan is on record."""
    scans = select(StudyEvent.study_id, func.min(StudyEvent.at)).where(
        StudyEvent.study_id.in_([s.id for s in studies]), StudyEvent.step == "receive"
    )
    scanned = dict(work.db.execute(scans.group_by(StudyEvent.study_id)).all())
    return {s.id: local_day(scanned.get(s.id) or s.booked_for_at) for s in studies}


def price_now(work: Work, case: Case) -> tariff.Priced:
    """What was chosen at the patient's scheme's prices of the day of service."""
    asked = [
        Asked(line.code, line.quantity, line.modifiers) for line in coding.from_json(case.claim.coding).lines
    ]
    return tariff.price(
        asked, find=code_tables.price_finder(work, case.patient.scheme_code, case.claim.service_on)
    )


def _priced_lines(work: Work, case: Case, existing: Sequence[ClaimLine]) -> list[ClaimLine]:
    """The lines as priced now. Numbers and keys of lines that were sent before stay where the line is."""
    chosen, rows = coding.from_json(case.claim.coding), []
    for number, line in enumerate(price_now(work, case).lines, start=1):
        row = (
            existing[number - 1]
            if number <= len(existing)
            else ClaimLine(
                id=work.new_id(),
                claim_id=case.claim.id,
                number=number,
                tracer=f"{case.claim.number}-{number:03d}",
                status="",
                kind=line.kind,
                code=line.code,
                approved_cents=None,
                paid_cents=0,
                reasons=[],
            )
        )
        if (row.kind, row.code) != (line.kind, line.code):
            # What the payer said was about another code.
            row.status, row.reasons, row.approved_cents = "", [], None
        row.kind, row.code, row.description = line.kind, line.code, line.description[:300]
        row.quantity, row.cents, row.is_demo = str(line.quantity), line.cents, line.demo
        row.icd10 = list(chosen.lines[line.asked].icd10) if line.kind == "tariff" else []
        rows.append(row)
    return rows


def reprice(work: Work, case: Case) -> None:
    """Keep what was chosen as lines at today's prices; lines that are not chosen any more go."""
    rows = _priced_lines(work, case, case.lines)
    for row in case.lines[len(rows) :]:
        work.db.delete(row)
    work.db.add_all(rows)
    case.lines, case.claim.scheme = rows, case.patient.scheme_code
    case.claim.total_cents = claim_desk.total(cards_of(rows))
    work.db.flush()


def draft_of(work: Work, case: Case) -> Draft:
    """The claim as the rules and the message writer know it."""
    us, study, patient, claim = practice.card(work), case.study, case.patient, case.claim
    payer, chosen = schemes().get(patient.scheme_code), coding.from_json(claim.coding)
    version = work.db.get(ReportVersion, study.signed_version_id) if study.signed_version_id else None
    doctor = work.db.get(Person, version.author_id) if version else None
    sender = work.db.get(Referrer, study.referrer_id) if study.referrer_id else None
    number = claim.number or "NEW"
    return Draft(
        number=number,
        account_no=patient.file_number,
        practice=Provider(us.pcns, us.name),
        scheme=Scheme(payer.name, payer.routing_no, payer.cms_no, patient.scheme_option)
        if payer
        else Scheme(),
        member=Member(patient.membership_number, patient.member_surname, patient.member_initials),
        patient=ClaimPatient(
            patient.family_name,
            patient.given_names,
            "".join(w[0] for w in patient.given_names.split()),
            patient.born_on,
            patient.sex if patient.sex in ("F", "M") else "U",
            patient.identity_number or "" if patient.identity_kind == "sa-id" else "",
            patient.dependant_code,
        ),
        treating=Provider(doctor.practice_number, doctor.name, doctor.registration) if doctor else Provider(),
        service_on=claim.service_on,
        lines=tuple(_draft_line(line) for line in case.lines),
        referrer=Provider(sender.practice_number, sender.name) if sender else Provider(),
        referring_icd10=chosen.referring_icd10,
        accession=study.accession,
        authorisation=chosen.authorisation,
        place_of_service=chosen.place_of_service,
        in_hospital=chosen.place_of_service == "21",
        correction=claim.correction,
        original_number=number if claim.correction else "",
        funder=chosen.funder or ("scheme" if patient.scheme_code else "private"),
        report_version_id=str(study.signed_version_id or ""),
        total_cents=claim.total_cents,
        notes=chosen.notes,
    )


def _draft_line(r: ClaimLine) -> DraftLine:
    return DraftLine(
        r.number,
        r.kind,
        r.code,
        r.description,
        Decimal(r.quantity),
        r.cents,
        tuple(r.icd10),
        r.tracer,
        demo=r.is_demo,
    )


def cards_of(rows: Iterable[ClaimLine]) -> tuple[LineCard, ...]:
    """Lines as pages see them and rules read them."""
    return tuple(
        LineCard(
            r.number,
            r.kind,
            r.code,
            r.description,
            Decimal(r.quantity),
            r.cents,
            tuple(r.icd10),
            r.is_demo,
            r.status,
            r.approved_cents,
            r.paid_cents,
            coding.reasons(r.reasons),
        )
        for r in rows
    )
