"""What comes in and whose it is: the states of an arrival, what is kept of its headers, and which order it may be for.

The comparison itself is in core.rules.dicom_identity; this is what is asked of it, and what a person is shown.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any
from uuid import UUID

from core.rules.dicom_identity import (
    Identity,
    InstanceHeader,
    disagreements,
    image_set_digest,
    same_person_name,
    shared_study_uids,
)
from core.rules.image_set import day_of
from core.rules.problems import Problem, each
from core.rules.steps import Status

# What an arrival may be, and how a person reads it.
STATES = {
    "seen": "Arriving",
    "matched": "Matched to its order",
    "quarantined": "Held back",
    "released": "Released by hand",
    "rejected": "Turned away",
    "unreadable": "Not readable",
    "gone": "No longer in the PACS",
}
HELD = ("quarantined", "unreadable", "gone")
MOST_CANDIDATES = 20
IMAGES_GONE = (Problem("images_gone", "These images are no longer in the PACS."),)

# Our columns of an image, the header's own name for each, and the most of it that is kept (None: all of it).
COLUMNS: dict[str, tuple[str, int | None]] = {
    "orthanc_id": ("orthanc_id", None),
    "sop_uid": ("sop_uid", None),
    "sop_class": ("sop_class", None),
    "series_uid": ("series_uid", None),
    "series_number": ("series_number", None),
    "series_description": ("series_description", 200),
    "modality": ("modality", 16),
    "number": ("instance_number", None),
    "frames": ("frames", None),
    "rows": ("rows", None),
    "columns": ("columns", None),
    "syntax": ("transfer_syntax", None),
    "patient_number": ("patient_id", 64),
    "patient_name": ("patient_name", 200),
    "birth_date": ("birth_date", 32),
    "sex": ("sex", 16),
    "accession": ("accession", 64),
    "study_uid": ("study_uid", None),
    "study_date": ("study_date", 32),
}


@dataclass(frozen=True)
class ArrivalCard:
    """One arrival as the quarantine page shows it: what the images say, and why they are held."""

    id: UUID
    state: str
    reasons: tuple[Problem, ...]
    patient_number: str
    patient_name: str
    birth_date: str
    sex: str
    accession: str
    study_uid: str
    study_date: str
    description: str
    modality: str
    instance_count: int
    image_count: int
    first_seen_at: datetime
    last_change_at: datetime
    being_checked: bool
    study_id: UUID | None
    resolved_by: str
    resolved_at: datetime | None
    resolution: str


@dataclass(frozen=True)
class Quarantine:
    """A page of what is held back, newest first, and how many there are."""

    rows: tuple[ArrivalCard, ...]
    total: int


@dataclass(frozen=True)
class SeenIdentity:
    """One way in which images of an arrival name patient and order, and how many do."""

    patient_number: str
    patient_name: str
    birth_date: str
    sex: str
    accession: str
    study_uid: str
    count: int


@dataclass(frozen=True)
class Candidate:
    """An order these images may belong to, why it is proposed, and everything in which it disagrees with them."""

    study_id: UUID
    patient_id: UUID
    accession: str
    description: str
    status: Status
    booked_for_at: datetime
    file_number: str
    patient_name: str
    born_on: date
    sex: str
    why: tuple[str, ...]
    problems: tuple[Problem, ...]


@dataclass(frozen=True)
class ArrivalView:
    """Side by side: what the images say, and the orders they may be for."""

    card: ArrivalCard
    says: tuple[SeenIdentity, ...]
    candidates: tuple[Candidate, ...]


@dataclass(frozen=True)
class Due:
    """An arrival to be judged, and up to which change it was looked at."""

    id: UUID
    orthanc_id: str
    last_change_at: datetime


@dataclass(frozen=True)
class Taken:
    """What became of a file that was handed in. held: the arrival that keeps it, when Orthanc would not."""

    stored: bool
    already: bool
    held: UUID | None
    sentence: str


# What is kept of a header ---------------------------------------------------------------------------------------


def as_columns(header: InstanceHeader) -> dict[str, Any]:
    """What we keep of an image's header, by our columns."""
    return {
        column: getattr(header, field)[:most] if most else getattr(header, field)
        for column, (field, most) in COLUMNS.items()
    }


def as_header(row: object) -> InstanceHeader:
    """The header again, from anything that has our columns."""
    return InstanceHeader(**{field: getattr(row, column) for column, (field, _) in COLUMNS.items()})


def summary(headers: Sequence[InstanceHeader]) -> dict[str, Any]:
    """What an arrival's own row says of all its instances, by column; its first image speaks for patient and order."""
    counts = {"instance_count": len(headers), "image_count": sum(h.is_image for h in headers)}
    if not headers:
        return counts | {"digest": ""}
    first = next((h for h in headers if h.is_image), headers[0])
    kept = as_columns(first)
    return counts | {
        "digest": image_set_digest(headers),
        "description": first.study_description[:200],
        "modality": "/".join(sorted({h.modality for h in headers if h.is_image}))[:40],
        **{
            name: kept[name]
            for name in (
                "study_uid",
                "accession",
                "patient_number",
                "patient_name",
                "birth_date",
                "sex",
                "study_date",
            )
        },
    }


def says(row: Any) -> tuple[str, ...]:
    """How an image names patient and order, from anything that has our columns: equal ones were judged together."""
    return (row.patient_number, row.patient_name, row.birth_date, row.sex, row.accession, row.study_uid)


def ways(rows: Iterable[Any]) -> tuple[SeenIdentity, ...]:
    """Every way in which these images name patient and order, the commonest first."""
    return tuple(SeenIdentity(*way, count=count) for way, count in Counter(map(says, rows)).most_common())


# Orders ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Order:
    """An order as images are held against it. orthanc_id: of the images that it has already."""

    identity: Identity
    status: Status
    orthanc_id: str | None

    @property
    def accession(self) -> str:
        """The number it is known by."""
        return self.identity.accession


def accessions_of(headers: Iterable[InstanceHeader]) -> list[str]:
    """The accession numbers that these images carry, each once."""
    return sorted({h.accession.strip() for h in headers if h.accession.strip()})


def no_order(headers: Sequence[InstanceHeader]) -> tuple[Problem, ...]:
    """What is wrong with images that name no order of ours, beside that."""
    accessions, first = accessions_of(headers), headers[0]
    said = "The images carry no accession number"
    if accessions:
        said = f"No order has the accession number “{', '.join(accessions)}”"
    sentence = f"{said}, and no order has their Study UID."
    itself = Identity(first.patient_id, first.patient_name, None, first.sex, first.accession, first.study_uid)
    mixed = tuple(p for p in disagreements(itself, headers) if p.code == "names_mixed")
    return (Problem("no_order", sentence, "AccessionNumber"), *mixed)


def two_orders(accession: str, other: str) -> tuple[Problem, ...]:
    """The accession number is one order's, the Study UID another's."""
    sentence = (
        f"The images carry the accession number of order {accession}, but the Study UID of order {other}."
    )
    return (Problem("two_orders", sentence, "StudyInstanceUID"),)


def shared_with(headers: Sequence[InstanceHeader], numbers: Iterable[str]) -> tuple[Problem, ...]:
    """Study UIDs of these images under which Orthanc has other patients too; `numbers` are those patients'."""
    others = [replace(headers[0], patient_id=number) for number in numbers]
    return shared_study_uids([*headers, *others])


def closed_to(order: Order, orthanc_id: str | None) -> tuple[Problem, ...]:
    """Why an order cannot take the images of this Orthanc study, whatever they say."""
    problems = []
    if order.status == Status.CANCELLED:
        problems.append(
            Problem("order_cancelled", f"Order {order.accession} was cancelled.", "AccessionNumber")
        )
    if order.orthanc_id not in (None, orthanc_id):
        sentence = f"Order {order.accession} has images of another study in the PACS already."
        problems.append(Problem("order_has_images", sentence, "AccessionNumber"))
    return tuple(problems)


@dataclass(frozen=True)
class Said:
    """All that images say of patient and order, to find the orders they may be for."""

    accessions: frozenset[str]
    uids: frozenset[str]
    numbers: frozenset[str]
    births: frozenset[date]
    names: frozenset[str]


def said(headers: Sequence[InstanceHeader]) -> Said:
    """Each thing that is said, once; what is empty or no date is left out."""
    return Said(
        accessions=frozenset(h.accession for h in headers if h.accession),
        uids=frozenset(h.study_uid for h in headers),
        numbers=frozenset(h.patient_id for h in headers if h.patient_id),
        births=frozenset(day for h in headers if (day := day_of(h.birth_date)) is not None),
        names=frozenset(h.patient_name for h in headers if h.patient_name),
    )


def why_proposed(order: Identity, found: Said, *, has_earlier_images: bool) -> tuple[str, ...]:
    """In what an order agrees with images; () when it is not to be proposed at all."""
    born_the_same_day = order.birth_on in found.births
    reasons = {
        "accession number": order.accession in found.accessions,
        "Study UID": order.study_uid in found.uids,
        "patient number": order.patient_id in found.numbers,
        "name and date of birth": born_the_same_day
        and any(same_person_name(order.patient_name, name)[0] for name in found.names),
        "earlier images": has_earlier_images,
    }
    return tuple(reason for reason, holds in reasons.items() if holds)


def against(order: Order, headers: Sequence[InstanceHeader], orthanc_id: str | None) -> tuple[Problem, ...]:
    """Everything that speaks against giving these images to this order, each once."""
    return each((*disagreements(order.identity, headers), *closed_to(order, orthanc_id)))


def why_not_released(state: str, order: Status, *, is_anothers: bool) -> str:
    """Why a person may not give an arrival to an order, "" when they may; is_anothers: part of it is another's."""
    if state != "quarantined":
        return f"Only images that are held back can be released; these are '{STATES[state]}'."
    if is_anothers:
        return "Earlier images of this study belong to another order already."
    if order == Status.CANCELLED:
        return "This order was cancelled. Book the examination again, then release the images to it."
    return ""


def closest(candidates: Iterable[Candidate]) -> tuple[Candidate, ...]:
    """The likeliest orders first: least that forbids it, then most that speaks for it."""
    ranked = sorted(candidates, key=lambda c: (sum(p.stop for p in c.problems), -len(c.why)))
    return tuple(ranked[:MOST_CANDIDATES])
