"""The images of one study as a viewer lists them: in series, in order, with the words that stand beside them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from uuid import UUID

from core.rules.dicom_identity import InstanceHeader


@dataclass(frozen=True)
class ImageRow:
    """One image of a manifest. `id` is ours: Orthanc's numbers stay inside."""

    id: UUID
    number: int | None
    frames: int
    rows: int
    columns: int
    syntax: str


@dataclass(frozen=True)
class SeriesRow:
    """One series with its images in order."""

    id: str
    number: int | None
    description: str
    modality: str
    instances: tuple[ImageRow, ...]


@dataclass(frozen=True)
class ImageSet:
    """Everything of one study that has pixels, and the words a viewer writes beside them."""

    study_id: UUID
    accession: str
    description: str
    taken_on: date
    modalities: tuple[str, ...]
    patient_name: str  # DICOM's form, from the registry
    born_on: date
    file_number: str
    practice_name: str
    practice_phone: str
    series: tuple[SeriesRow, ...]
    digest: str

    @property
    def count(self) -> int:
        """How many images all series hold."""
        return sum(len(s.instances) for s in self.series)


@dataclass(frozen=True)
class ImageSource:
    """Where an edge fetches one image from: Orthanc's id, which never leaves the server."""

    orthanc_id: str
    sop_uid: str
    syntax: str


def in_series(images: Iterable[tuple[UUID, InstanceHeader]]) -> tuple[SeriesRow, ...]:
    """Images, given in their order with our numbers, as series; a series stands where its first image does."""
    series: dict[str, list[tuple[UUID, InstanceHeader]]] = {}
    for ours, header in images:
        series.setdefault(header.series_uid, []).append((ours, header))
    found = []
    for uid, members in series.items():
        first = members[0][1]
        rows = tuple(
            ImageRow(ours, h.instance_number, h.frames, h.rows or 0, h.columns or 0, h.transfer_syntax)
            for ours, h in members
        )
        found.append(SeriesRow(uid, first.series_number, first.series_description, first.modality, rows))
    return tuple(found)


def modalities(headers: Iterable[InstanceHeader]) -> tuple[str, ...]:
    """The kinds of machine these images come from, each once."""
    return tuple(sorted({h.modality for h in headers if h.modality}))


def taken_on(headers: Iterable[InstanceHeader]) -> date | None:
    """The earliest study date that is one; None when no image says when it was taken."""
    days = (day_of(text) for text in sorted(h.study_date for h in headers))
    return next((day for day in days if day is not None), None)


def day_of(text: str) -> date | None:
    """A DICOM date (DA, PS3.5 §6.2), None when it is none.

    >>> day_of("20261124"), day_of("20261324"), day_of("")
    (datetime.date(2026, 11, 24), None, None)
    """
    try:
        return datetime.strptime(text, "%Y%m%d").replace(tzinfo=UTC).date()
    except ValueError:
        return None
