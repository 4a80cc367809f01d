"""The life of a study: booked, waiting, scanned, reported, signed, claimed, paid. The table is core.rules.steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, case, func, select

from core import factors
from core.errors import Refused
from core.rules.names import search_words
from core.rules.pages import rows_before
from core.rules.problems import Problem
from core.rules.report_text import conclusion_of, tidy
from core.rules.roles import Permission
from core.rules.sheets import write_xlsx
from core.rules.steps import FINAL, LOOKS, STEPS, UNREAD, Status, Step, offers
from core.rules.za_time import day_bounds, say_day, say_time
from core.store.model import Consent, Patient, Person, Referrer, ReportVersion, Study, StudyEvent
from core.store.work import Subject, Work

_LONGEST_HISTORY = 10_000
BARE = ("arrive", "cancel")  # steps that carry no text, image, signature or money
URGENCIES = {"stat": "Now (stat)", "urgent": "Today (urgent)", "routine": "Routine"}


# What a fresh proof for taking the list out is bound to.
TAKE_OUT, MOST_TAKEN = "export:board", 2_000
_TAKEN = ("Status", "Urgency", "Booked for", "Patient", "Born", "File", "Accession", "Examination", "Modality",
          "Referrer", "Radiologist")  # fmt: skip


@dataclass(frozen=True)
class Booking:
    """What reception books. examination, description and modality come from the examinations list."""

    patient_id: UUID
    examination: str
    description: str
    modality: str
    booked_for_at: datetime
    referrer_id: UUID | None = None
    clinical_history: str = ""
    urgency: str = "routine"
    place_of_service: str = "11"


@dataclass(frozen=True)
class BoardRow:
    """One study on a list. `waits_since_at` is when it came into its present status."""

    id: UUID
    patient_id: UUID
    patient: str
    file_number: str
    born_on: date
    sex: str
    accession: str
    description: str
    modality: str
    urgency: str
    booked_for_at: datetime
    status: Status
    waits_since_at: datetime
    referrer: str
    radiologist: str
    image_count: int


@dataclass(frozen=True)
class Board:
    """A page of studies, how many match in all, and how many stand in each status under the same filters."""

    rows: tuple[BoardRow, ...]
    total: int
    counts: dict[Status, int]


@dataclass(frozen=True)
class Filters:
    """What a list is narrowed to. Days are South African days; empty means all."""

    search: str = ""
    statuses: tuple[Status, ...] = ()
    modality: str = ""
    urgency: str = ""
    from_on: date | None = None
    to_on: date | None = None
    radiologist_id: UUID | None = None  # this radiologist's own
    not_radiologist_id: UUID | None = None  # every other radiologist's


@dataclass(frozen=True)
class Move:
    """One line of a study's history."""

    step: str
    before: str
    after: str
    at: datetime
    by: str


@dataclass(frozen=True)
class StudyCard:
    """A study with what its page needs: the row, its history, and the steps this person may take now."""

    row: BoardRow
    clinical_history: str
    place_of_service: str
    study_uid: str
    orthanc_id: str | None
    image_digest: str
    radiologist_id: UUID | None
    lease_by: UUID | None
    lease_holder: str
    lease_until: datetime | None
    current_version_id: UUID | None
    signed_version_id: UUID | None
    attached_instance: str
    history: tuple[Move, ...]
    offers: dict[str, Step]


# Verbs ----------------------------------------------------------------------------------------------------------


def book(work: Work, booking: Booking) -> UUID:
    """Book an examination: an order with its accession number and Study Instance UID."""
    with work.act(Permission.ORDER_BOOK, Subject.patient(booking.patient_id)) as facts:
        work.get(Patient, booking.patient_id)
        if booking.referrer_id:
            work.get(Referrer, booking.referrer_id)
        if problems := _booking_problems(booking):
            raise Refused("Please mend what is marked.", problems=problems)
        now = work.now()
        study = Study(
            id=work.new_id(),
            patient_id=booking.patient_id,
            referrer_id=booking.referrer_id,
            accession=f"{work.house.origin}{work.number('accession'):08d}",
            study_uid=new_study_uid(work),
            examination=booking.examination,
            description=booking.description,
            modality=booking.modality,
            clinical_history=tidy(booking.clinical_history),
            urgency=booking.urgency,
            place_of_service=booking.place_of_service,
            booked_for_at=booking.booked_for_at,
            status=Status.BOOKED,
            status_at=now,
            image_count=0,
            image_digest="",
            attached_instance="",
        )
        work.db.add(study)
        work.db.flush()
        _remember(work, study, "book", "", Status.BOOKED)
        facts |= {"study": study.id, "accession": study.accession}
        return study.id


def arrive(work: Work, study_id: UUID) -> None:
    """The patient is here."""
    take(work, study_id, step="arrive")


def cancel(work: Work, study_id: UUID) -> None:
    """The examination is called off."""
    take(work, study_id, step="cancel")


def take(work: Work, study_id: UUID, *, step: str) -> None:
    """Move one study along a step of BARE. Every other step has a verb of its own, since more must happen with it."""
    if step not in BARE:
        raise Refused("This step needs more than a click: open the study.")
    with work.act(STEPS[step].may, Subject.study(study_id)) as facts:
        study = work.get(Study, study_id, lock=True)
        move(work, study, step)
        facts |= {"step": step, "status": study.status}


def board(work: Work, filters: Filters = Filters(), *, page: int = 1, size: int = 50) -> Board:
    """The live list: who is where. Urgent first, then by appointment; paged in SQL."""
    with work.look(Permission.BOARD_SEE):
        return list_studies(work, filters, page=page, size=size)


def reading_list(work: Work, filters: Filters = Filters(), *, page: int = 1, size: int = 50) -> Board:
    """Studies from the scan to the signature; `filters.statuses` can only narrow that."""
    with work.look(Permission.READING_LIST_SEE):
        return list_studies(work, within(filters, UNREAD), page=page, size=size)


def take_out(work: Work, filters: Filters = Filters(), *, code: str = "") -> bytes:
    """The live list as a workbook, for when the power goes: names leave, so it needs a fresh proof for TAKE_OUT.

    At most MOST_TAKEN rows, in the list's order. Raises WrongAnswer without the proof.
    """
    with work.act(Permission.BOARD_SEE, Subject("list", "board")) as facts:
        facts["proof"] = factors.require(work, TAKE_OUT, code=code)
        rows = list_studies(work, filters, page=1, size=MOST_TAKEN).rows
        facts["rows"] = len(rows)
        return write_xlsx(_TAKEN, [_taken(row) for row in rows], title="Board")


def _taken(row: BoardRow) -> tuple[str, ...]:
    return (
        LOOKS[row.status].label,
        URGENCIES.get(row.urgency, row.urgency),
        say_time(row.booked_for_at),
        row.patient,
        say_day(row.born_on),
        row.file_number,
        row.accession,
        row.description,
        row.modality,
        row.referrer,
        row.radiologist,
    )


def open_study(work: Work, study_id: UUID) -> StudyCard:
    """A study's card; recorded once per sitting."""
    with work.reading(Permission.STUDY_READ, Subject.study(study_id)):
        return card_of(work, work.get(Study, study_id))


def studies_of(work: Work, patient_id: UUID) -> tuple[BoardRow, ...]:
    """A patient's studies, newest first."""
    with work.reading(Permission.PATIENT_READ, Subject.patient(patient_id)):
        rows = work.db.execute(
            _rows().where(Study.patient_id == patient_id).order_by(Study.booked_for_at.desc()).limit(200)
        )
        return tuple(_board_row(r) for r in rows)


# The mover, for sibling verbs inside their own gate ---------------------------------------------------------------

Need = Callable[[Work, Study], str | None]


def move(work: Work, study: Study, step: str) -> None:
    """Check every need, change the status, remember the move, and leave the errands the step starts."""
    row = STEPS[step]
    if Status(study.status) not in row.before:
        raise Refused(
            f"'{row.label}' is not possible now: the study is at '{LOOKS[Status(study.status)].label}'."
        )
    problems = tuple(
        Problem(name, sentence) for name in row.needs if (sentence := NEEDS[name](work, study)) is not None
    )
    if problems:
        raise Refused(problems[0].sentence, problems=problems)
    before, study.status, study.status_at = study.status, row.after, work.now()
    _remember(work, study, step, before, row.after)
    for kind in row.starts:
        work.errand(
            kind,
            key=f"{kind}:{study.id}:{study.signed_version_id}",
            study=str(study.id),
            version=str(study.signed_version_id),
        )
    work.db.flush()


def _consent_recorded(work: Work, study: Study) -> str | None:
    newest = work.db.scalars(
        select(Consent.given)
        .where(Consent.patient_id == study.patient_id, Consent.purpose == "examination")
        .order_by(Consent.recorded_at.desc(), Consent.id.desc())
        .limit(1)
    ).first()
    return (
        None if newest else "Record the patient's consent to the examination first (on the patient's page)."
    )


def _images_present(work: Work, study: Study) -> str | None:
    return None if study.image_count else "There are no images yet: wait until the scan is in."


def _current(work: Work, study: Study) -> ReportVersion | None:
    return work.db.get(ReportVersion, study.current_version_id) if study.current_version_id else None


def _text_present(work: Work, study: Study) -> str | None:
    version = _current(work, study)
    return None if version and version.text.strip() else "Write the report first: it is empty."


def _conclusion_present(work: Work, study: Study) -> str | None:
    version = _current(work, study)
    if version and conclusion_of(version.text):
        return None
    return "The report has no conclusion: add a line 'CONCLUSION' with at least one sentence under it."


def _lease_held(work: Work, study: Study) -> str | None:
    if str(study.lease_by) == work.actor.id:
        return None
    return "Somebody else has this report now. Your text was not saved over theirs."


def _own_report(work: Work, study: Study) -> str | None:
    return (
        None
        if str(study.radiologist_id) == work.actor.id
        else "Only the radiologist who reported can sign this."
    )


def _proof_read(work: Work, study: Study) -> str | None:
    version = _current(work, study)
    if version and version.kind == "proofread" and str(version.author_id) == work.actor.id:
        return None
    return "Proof-read the marked-up text before signing it."


NEEDS: dict[str, Need] = {
    "consent_recorded": _consent_recorded,
    "images_present": _images_present,
    "text_present": _text_present,
    "conclusion_present": _conclusion_present,
    "lease_held": _lease_held,
    "own_report": _own_report,
    "proof_read": _proof_read,
}


def hold(work: Work, study: Study) -> None:
    """Take or renew the lease on a report; a running lease of somebody else is refused."""
    if study.lease_until and study.lease_until > work.now() and str(study.lease_by) != work.actor.id:
        raise Refused(f"{name_of(work, study.lease_by)} has this report until it is put back.")
    study.lease_by, study.lease_until = work.actor.person, work.now() + work.rule("lease_lasts")


def let_go(study: Study) -> None:
    """End the lease."""
    study.lease_by = study.lease_until = None


def within(filters: Filters, statuses: tuple[Status, ...]) -> Filters:
    """The same filters, kept inside these statuses: what a list is for is not the caller's to widen."""
    asked = tuple(s for s in filters.statuses if s in statuses)
    return replace(filters, statuses=asked or statuses)


def list_studies(work: Work, filters: Filters, *, page: int, size: int) -> Board:
    """The list behind every board, for verbs inside their own gate."""
    query = _filtered(_rows(), filters)
    counted = _filtered(_joined(select(Study.status, func.count())), replace(filters, statuses=()))
    found: Any = work.db.execute(counted.group_by(Study.status))
    counts = {Status(status): int(n) for status, n in found}
    total = sum(n for s, n in counts.items() if not filters.statuses or s in filters.statuses)
    order = (_DONE_LAST, _URGENT_FIRST, Study.booked_for_at, Study.id)
    rows = work.db.execute(query.order_by(*order).limit(size).offset(rows_before(page, size)))
    return Board(tuple(_board_row(r) for r in rows), total, counts)


def rows_of(work: Work, study_ids: Sequence[UUID]) -> tuple[BoardRow, ...]:
    """These studies as board rows, for verbs inside their own gate."""
    return tuple(_board_row(r) for r in work.db.execute(_rows().where(Study.id.in_(study_ids))))


def card_of(work: Work, study: Study) -> StudyCard:
    """The card, for verbs inside their own gate."""
    row = work.db.execute(_rows().where(Study.id == study.id)).one()
    events = work.db.execute(
        select(StudyEvent, Person.name)
        .outerjoin(Person, Person.id == StudyEvent.by)
        .where(StudyEvent.study_id == study.id)
        .order_by(StudyEvent.at, StudyEvent.id)
    )
    moves = tuple(Move(e.step, e.before, e.after, e.at, name or "Sorg") for e, name in events)
    held = bool(study.lease_until and study.lease_until > work.now())
    return StudyCard(
        _board_row(row),
        study.clinical_history,
        study.place_of_service,
        study.study_uid,
        study.orthanc_id,
        study.image_digest,
        study.radiologist_id,
        study.lease_by if held else None,
        name_of(work, study.lease_by) if held else "",
        study.lease_until if held else None,
        study.current_version_id,
        study.signed_version_id,
        study.attached_instance,
        moves,
        offers(Status(study.status), work.may),
    )


def name_of(work: Work, person_id: UUID | None) -> str:
    """A staff member's name for the screen."""
    person = work.db.get(Person, person_id) if person_id else None
    return person.name if person else ""


def new_study_uid(work: Work) -> str:
    """A Study Instance UID: 2.25 and a random UUID as one number (DICOM PS3.5 §B.2)."""
    return f"2.25.{UUID(bytes=work.dice(16), version=4).int}"


def _booking_problems(b: Booking) -> tuple[Problem, ...]:
    problems = []
    if (
        not (b.examination and b.description and b.modality)
        or len(b.description) > 64
        or len(b.modality) > 4
        or len(b.examination) > 40
    ):
        problems.append(Problem("no-examination", "Choose the examination.", "examination"))
    if b.urgency not in URGENCIES:
        problems.append(Problem("no-urgency", "Choose how urgent it is.", "urgency"))
    if not (b.place_of_service.isascii() and b.place_of_service.isdigit() and len(b.place_of_service) == 2):
        problems.append(Problem("no-place", "The place of service has two digits.", "place_of_service"))
    if len(b.clinical_history) > _LONGEST_HISTORY:
        problems.append(
            Problem(
                "history-long", "The clinical history is longer than 10 000 characters.", "clinical_history"
            )
        )
    return tuple(problems)


_DONE_LAST = case((Study.status.in_((*FINAL, Status.CANCELLED)), 1), else_=0)
_URGENT_FIRST = case({"stat": 0, "urgent": 1}, value=Study.urgency, else_=2)


def _rows():
    """Only what a list shows: whole rows of both tables took twice the time, and every open board asks every few seconds."""
    return _joined(
        select(
            Study.id,
            Study.patient_id,
            Patient.family_name,
            Patient.given_names,
            Patient.file_number,
            Patient.born_on,
            Patient.sex,
            Study.accession,
            Study.description,
            Study.modality,
            Study.urgency,
            Study.booked_for_at,
            Study.status,
            Study.status_at,
            Referrer.name.label("referrer"),
            Person.name.label("radiologist"),
            Study.image_count,
        )
    )


def _joined(query):
    return (
        query.select_from(Study)
        .join(Patient, Patient.id == Study.patient_id)
        .outerjoin(Referrer, Referrer.id == Study.referrer_id)
        .outerjoin(Person, Person.id == Study.radiologist_id)
    )


def _filtered(query, filters: Filters):
    for word in search_words(filters.search):
        query = query.where(
            Patient.search_text.contains(word, autoescape=True)
            | Study.accession.istartswith(word, autoescape=True)
        )
    if filters.statuses:
        query = query.where(Study.status.in_(filters.statuses))
    if filters.modality:
        query = query.where(Study.modality == filters.modality)
    if filters.urgency:
        query = query.where(Study.urgency == filters.urgency)
    if filters.radiologist_id:
        query = query.where(Study.radiologist_id == filters.radiologist_id)
    if filters.not_radiologist_id:
        query = query.where(Study.radiologist_id != filters.not_radiologist_id)
    if filters.from_on:
        query = query.where(Study.booked_for_at >= day_bounds(filters.from_on)[0])
    if filters.to_on:
        query = query.where(Study.booked_for_at < day_bounds(filters.to_on)[1])
    return query


def _board_row(row: Row) -> BoardRow:
    return BoardRow(
        row.id,
        row.patient_id,
        f"{row.family_name}, {row.given_names}",
        row.file_number,
        row.born_on,
        row.sex,
        row.accession,
        row.description,
        row.modality,
        row.urgency,
        row.booked_for_at,
        Status(row.status),
        row.status_at,
        row.referrer or "",
        row.radiologist or "",
        row.image_count,
    )


def _remember(work: Work, study: Study, step: str, before: str, after: str) -> None:
    by = UUID(int=0) if work.actor.id == "system" else work.actor.person
    work.db.add(
        StudyEvent(
            id=work.new_id(),
            origin=work.house.origin,
            study_id=study.id,
            step=step,
            before=before,
            after=after,
            at=work.now(),
            by=by,
        )
    )
