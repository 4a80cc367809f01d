"""Images as they come in: where we are in Orthanc's log, what arrived, and every instance of it."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import JSON, ForeignKey, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from core.store.model.base import Base, Owned


class FeedCursor(Base):
    """How far a feed was read. Moved only in the transaction that writes down what the read lines caused."""

    __tablename__ = "feed_cursor"

    name: Mapped[str] = mapped_column(String(40), primary_key=True)
    position: Mapped[int] = mapped_column()
    moved_at: Mapped[datetime] = mapped_column()


class Heartbeat(Base):
    """When a part of the worker last went round, and the name of what stopped it, if something did."""

    __tablename__ = "heartbeat"

    name: Mapped[str] = mapped_column(String(40), primary_key=True)
    at: Mapped[datetime] = mapped_column()
    trouble: Mapped[str] = mapped_column(String(200), default="")


class Arrival(Owned, Base):
    """One Orthanc study, or one file that Orthanc would not take, and what we made of it.

    `settles_at` is when it may be judged unless more images come; empty once it was. Demographics are as the
    images say, never as the registry does. `reasons` are core.rules.problems.Problem rows, kept after a release.
    """

    __tablename__ = "arrival"
    __table_args__ = (Index("ix_arrival_state_changed", "state", "last_change_at"),)

    orthanc_id: Mapped[str | None] = mapped_column(String(44), unique=True)
    state: Mapped[str] = mapped_column(String(12))  # core.rules.arrivals.STATES
    study_id: Mapped[UUID | None] = mapped_column(ForeignKey("study.id"), index=True)
    study_uid: Mapped[str] = mapped_column(String(64), index=True, default="")
    accession: Mapped[str] = mapped_column(String(64), index=True, default="")
    patient_number: Mapped[str] = mapped_column(String(64), default="")
    patient_name: Mapped[str] = mapped_column(String(200), default="")
    birth_date: Mapped[str] = mapped_column(String(32), default="")
    sex: Mapped[str] = mapped_column(String(16), default="")
    study_date: Mapped[str] = mapped_column(String(32), default="")
    description: Mapped[str] = mapped_column(String(200), default="")
    modality: Mapped[str] = mapped_column(String(40), default="")
    instance_count: Mapped[int] = mapped_column(default=0)
    image_count: Mapped[int] = mapped_column(default=0)
    digest: Mapped[str] = mapped_column(String(64), default="")
    reasons: Mapped[list[Any]] = mapped_column(JSON())
    first_seen_at: Mapped[datetime] = mapped_column()
    last_change_at: Mapped[datetime] = mapped_column()
    settles_at: Mapped[datetime | None] = mapped_column(index=True, default=None)
    resolved_by: Mapped[UUID | None] = mapped_column(default=None)
    resolved_at: Mapped[datetime | None] = mapped_column(default=None)
    resolution: Mapped[str] = mapped_column(Text, default="")


class Instance(Base):
    """One stored instance. Only rows with a study_id are ever shown: this table is the list of what may be fetched.

    What the header says of patient and order is kept as it was written there, image by image.
    """

    __tablename__ = "instance"
    __table_args__ = (Index("ix_instance_study_series", "study_id", "series_uid"),)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    origin: Mapped[str] = mapped_column(String(16))
    arrival_id: Mapped[UUID] = mapped_column(ForeignKey("arrival.id"), index=True)
    study_id: Mapped[UUID | None] = mapped_column(ForeignKey("study.id"))
    orthanc_id: Mapped[str] = mapped_column(String(44), unique=True)
    sop_uid: Mapped[str] = mapped_column(String(64), index=True)
    sop_class: Mapped[str] = mapped_column(String(64))
    series_uid: Mapped[str] = mapped_column(String(64))
    series_number: Mapped[int | None] = mapped_column()
    series_description: Mapped[str] = mapped_column(String(200), default="")
    modality: Mapped[str] = mapped_column(String(16), default="")
    number: Mapped[int | None] = mapped_column()
    frames: Mapped[int] = mapped_column(default=1)
    rows: Mapped[int | None] = mapped_column()
    columns: Mapped[int | None] = mapped_column()
    syntax: Mapped[str] = mapped_column(String(64), default="")
    is_image: Mapped[bool] = mapped_column()
    patient_number: Mapped[str] = mapped_column(String(64), default="")
    patient_name: Mapped[str] = mapped_column(String(200), default="")
    birth_date: Mapped[str] = mapped_column(String(32), default="")
    sex: Mapped[str] = mapped_column(String(16), default="")
    accession: Mapped[str] = mapped_column(String(64), default="")
    study_uid: Mapped[str] = mapped_column(String(64), default="")
    study_date: Mapped[str] = mapped_column(String(32), default="")
    turned_away: Mapped[bool] = mapped_column(default=False)
    gone_at: Mapped[datetime | None] = mapped_column(default=None)
