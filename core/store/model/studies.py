"""The study: booked as an order, filled by images, reported, billed. One row from the first call to the last cent."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import ForeignKey, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from core.store.model.base import Base, Owned


class Study(Owned, Base):
    """An ordered examination and everything that became of it. `status` moves only along core.rules.steps."""

    __tablename__ = "study"
    __table_args__ = (Index("ix_study_status_booked", "status", "booked_for_at"),)

    patient_id: Mapped[UUID] = mapped_column(ForeignKey("patient.id"), index=True)
    referrer_id: Mapped[UUID | None] = mapped_column(ForeignKey("referrer.id"), index=True)
    accession: Mapped[str] = mapped_column(String(16), unique=True)  # DICOM SH: 16 characters
    study_uid: Mapped[str] = mapped_column(String(64), unique=True)
    examination: Mapped[str] = mapped_column(String(40))  # key in data/examinations.csv
    description: Mapped[str] = mapped_column(String(64))
    modality: Mapped[str] = mapped_column(String(4))
    clinical_history: Mapped[str] = mapped_column(Text, default="")
    urgency: Mapped[str] = mapped_column(String(8), default="routine")  # stat, urgent, routine
    place_of_service: Mapped[str] = mapped_column(String(2), default="11")
    booked_for_at: Mapped[datetime] = mapped_column(index=True)
    status: Mapped[str] = mapped_column(String(16))
    status_at: Mapped[datetime] = mapped_column()
    orthanc_id: Mapped[str | None] = mapped_column(String(44), index=True, default=None)
    image_count: Mapped[int] = mapped_column(default=0)
    image_digest: Mapped[str] = mapped_column(String(64), default="")
    radiologist_id: Mapped[UUID | None] = mapped_column(ForeignKey("person.id"), default=None)
    lease_by: Mapped[UUID | None] = mapped_column(default=None)
    lease_until: Mapped[datetime | None] = mapped_column(default=None)
    current_version_id: Mapped[UUID | None] = mapped_column(default=None)
    signed_version_id: Mapped[UUID | None] = mapped_column(default=None)
    attached_instance: Mapped[str] = mapped_column(
        String(64), default=""
    )  # SOPInstanceUID of the PDF in the PACS


class StudyEvent(Base):
    """One move of one study. Append-only; turnaround is derived from these rows and nothing else."""

    __tablename__ = "study_event"
    __table_args__ = (
        Index("ix_study_event_study_at", "study_id", "at"),
        # Who sees what is theirs only, sees what they moved along: asked of every row of a list.
        Index("ix_study_event_by_study", "by", "study_id"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    origin: Mapped[str] = mapped_column(String(16))
    study_id: Mapped[UUID] = mapped_column(ForeignKey("study.id"))
    step: Mapped[str] = mapped_column(String(20))
    before: Mapped[str] = mapped_column(String(16))
    after: Mapped[str] = mapped_column(String(16))
    at: Mapped[datetime] = mapped_column(index=True)
    by: Mapped[UUID] = mapped_column()


class ReportVersion(Base):
    """One text of a report: never changed, never deleted. `digest` chains to `previous_id`; see core.reporting."""

    __tablename__ = "report_version"
    __table_args__ = (Index("ix_report_version_study_number", "study_id", "number", unique=True),)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    origin: Mapped[str] = mapped_column(String(16))
    study_id: Mapped[UUID] = mapped_column(ForeignKey("study.id"))
    number: Mapped[int] = mapped_column()
    kind: Mapped[str] = mapped_column(String(12))  # draft, transcribed, proofread, signed
    text: Mapped[str] = mapped_column(Text)
    author_id: Mapped[UUID] = mapped_column(ForeignKey("person.id"))
    at: Mapped[datetime] = mapped_column()
    previous_id: Mapped[UUID | None] = mapped_column(default=None)
    digest: Mapped[str] = mapped_column(String(64))
    image_digest: Mapped[str] = mapped_column(String(64), default="")
    signature: Mapped[str] = mapped_column(String(128), default="")  # Ed25519 over the canonical bytes, hex
