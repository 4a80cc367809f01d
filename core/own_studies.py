"""What an account at the gateway shows: a patient's own studies, a referring doctor's own referrals, once they are signed.

Links (core.sharing) carry the same roles and are refused here, because a link opens one study and nothing beside it.
Whose rows are seen is decided in core.rules.access (scopes own and referrer), and again by the database's row filter.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

from sqlalchemy import ColumnElement, Row, func, select

from core.errors import Denied, Missing, Refused
from core.pacs import ImageSet, image_set_of, sealed_report
from core.reporting import is_intact
from core.rules.image_set import day_of
from core.rules.names import search_words
from core.rules.pages import rows_before
from core.rules.person_texts import called_at
from core.rules.report_text import sections
from core.rules.roles import Permission, Role
from core.rules.steps import FINAL
from core.rules.za_time import local_day
from core.store.model import Instance, Patient, Person, ReportVersion, Study
from core.store.work import Subject, Work

PAGE_SIZE = 100
_BY_ACCOUNT_ONLY = "This opens with an account only."
_GONE = "This examination is not here. Its report may not be signed yet."


@dataclass(frozen=True)
class OwnStudy:
    """One signed study in the list. taken_on: from the images, or the appointment where they name no day."""

    id: UUID
    description: str
    modality: str
    taken_on: date
    images: int
    signed_by: str
    signed_at: datetime
    patient: str
    file_number: str


@dataclass(frozen=True)
class OwnStudies:
    """One page of them, newest first. total: how many fit the search; all: how many there are without it."""

    rows: tuple[OwnStudy, ...]
    total: int
    all: int
    page: int
    pages: int


@dataclass(frozen=True)
class OpenedStudy:
    """Everything an account sees of one study: its images, and the text that was signed."""

    images: ImageSet
    signed_at: datetime
    signed_by: str
    text: str
    sections: tuple[tuple[str, str], ...]
    is_referrer: bool


def my_studies(work: Work, *, search: str = "", page: int = 1) -> OwnStudies:
    """The signed studies of whoever is signed in, a hundred at a time. search: words of a patient's name or file number.

    Recorded once per sitting. Raises Denied for a link.
    """
    with work.reading(Permission.OWN_STUDIES, Subject("studies")) as facts:
        _require_account(work)
        facts["patient"] = work.actor.bounds.patient_id
        mine = (
            select(Study, ReportVersion.at, ReportVersion.author_id, Patient)
            .join(ReportVersion, ReportVersion.id == Study.signed_version_id)
            .join(Patient, Patient.id == Study.patient_id)
            .where(Study.status.in_(FINAL))
        )
        found = mine
        for word in search_words(search):
            found = found.where(_named(word))
        everything = _count(work, mine)
        total = _count(work, found) if found is not mine else everything
        pages = max(1, -(-total // PAGE_SIZE))
        page = min(max(page, 1), pages)
        rows = work.db.execute(
            found.order_by(Study.booked_for_at.desc(), Study.id.desc())
            .limit(PAGE_SIZE)
            .offset(rows_before(page, PAGE_SIZE))
        ).all()
        return OwnStudies(_listed(work, rows), total, everything, page, pages)


def open_own_study(work: Work, study_id: UUID) -> OpenedStudy:
    """Images and signed report of one study; recorded once per sitting.

    Raises Missing for a study that is not theirs or not signed, and Refused when the signature does not fit any more.
    """
    with work.reading(Permission.OWN_STUDIES, Subject.study(study_id)) as facts:
        study, version = _signed(work, study_id)
        facts["patient"] = study.patient_id
        signers = _signers(work, [(version.author_id, version.at)])
        return OpenedStudy(
            image_set_of(work, study),
            version.at,
            signers[version.author_id, version.at],
            version.text,
            sections(version.text),
            Role.REFERRER in work.actor.roles,
        )


def own_report_pdf(work: Work, study_id: UUID) -> bytes | None:
    """The signed report as the PDF that is in the PACS; None until its errand has made it. Raises as open_own_study."""
    with work.reading(Permission.OWN_STUDIES, Subject.study(study_id)) as facts:
        study, version = _signed(work, study_id)
        facts["patient"] = study.patient_id
        with suppress(Missing):
            return sealed_report(work, version.id)
        return None


def own_image(work: Work, study_id: UUID, instance_id: UUID) -> str:
    """Orthanc's id of one image of a study that is theirs. Missing when that study shows no such image.

    Give the Work the sitting's Openings: the study is on record already then, and nothing is written for an image.
    """
    with work.reading(Permission.OWN_STUDIES, Subject.study(study_id)):
        _require_account(work)
        found = work.db.scalars(
            select(Instance.orthanc_id)
            .join(Study, Study.id == Instance.study_id)
            .where(
                Study.id == study_id,
                Study.status.in_(FINAL),
                Instance.id == instance_id,
                Instance.is_image,
                Instance.gone_at.is_(None),
                Instance.turned_away.is_(False),
            )
        ).one_or_none()
        if found is None:
            raise Missing("That image is not part of this examination.")
        return found


# Inside ---------------------------------------------------------------------------------------------------------


def _named(word: str) -> ColumnElement[bool]:
    """Digits are of the file number alone: what is searched in holds ID numbers and telephones, too, and whoever searches
    them digit by digit would read what no page here shows."""
    if any(c.isdigit() for c in word):
        return Patient.file_number.contains(word, autoescape=True)
    return Patient.search_text.contains(word, autoescape=True)


def _require_account(work: Work) -> None:
    if work.actor.reach is not None:
        raise Denied(_BY_ACCOUNT_ONLY)


def _signed(work: Work, study_id: UUID) -> tuple[Study, ReportVersion]:
    _require_account(work)
    study = work.get(Study, study_id)
    if study.signed_version_id is None or study.status not in FINAL:
        raise Missing(_GONE)
    version = work.get(ReportVersion, study.signed_version_id, what="report")
    if not is_intact(work, study, version):
        raise Refused("The practice must check this report first. Please call them.")
    return study, version


def _count(work: Work, found) -> int:
    return work.db.scalar(select(func.count()).select_from(found.with_only_columns(Study.id).subquery())) or 0


def _listed(work: Work, rows: Sequence[Row]) -> tuple[OwnStudy, ...]:
    images = _images_of(work, [study.id for study, *_ in rows])
    signers = _signers(work, [(author, signed_at) for _, signed_at, author, _ in rows])
    return tuple(
        OwnStudy(
            study.id,
            study.description,
            study.modality,
            day_of(images.get(study.id, ("", 0))[0]) or local_day(study.booked_for_at),
            images.get(study.id, ("", 0))[1],
            signers[author, signed_at],
            signed_at,
            f"{patient.family_name}, {patient.given_names}",
            patient.file_number,
        )
        for study, signed_at, author, patient in rows
    )


def _images_of(work: Work, study_ids: list[UUID]) -> dict[UUID, tuple[str, int]]:
    """Of each study: the day that its images name, where any of them does, and how many there are."""
    rows = work.db.execute(
        select(Instance.study_id, func.min(func.nullif(Instance.study_date, "")), func.count())
        .where(
            Instance.study_id.in_(study_ids),
            Instance.is_image,
            Instance.gone_at.is_(None),
            Instance.turned_away.is_(False),
        )
        .group_by(Instance.study_id)
    )
    return {study_id: (day or "", count) for study_id, day, count in rows if study_id}


def _signers(work: Work, signed: list[tuple[UUID, datetime]]) -> dict[tuple[UUID, datetime], str]:
    """Who signed, by their names of that moment."""
    # An account sees no member of staff; who signed stands under the report itself.
    query = select(Person.id, Person.name, Person.registration, Person.former_names)
    query = query.where(Person.id.in_({person_id for person_id, _ in signed}))
    found = {p.id: p for p in work.db.execute(query.execution_options(the_gates_own=True))}
    return {
        (i, at): called_at((p.name, p.registration), p.former_names, at)[0] if (p := found.get(i)) else ""
        for i, at in signed
    }
