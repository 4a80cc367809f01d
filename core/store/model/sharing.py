"""Links: what each one opens, until when, and the one browser it was opened in."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import ForeignKey, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from core.store.model.base import Base, Owned


class Share(Owned, Base):
    """One link to one study in one signed version. Only hashes of its two secrets are kept.

    token_hash: of the secret in the address. session_hash: of the secret in the browser that answered rightly.
    """

    __tablename__ = "share"

    token_hash: Mapped[str] = mapped_column(String(64), unique=True)
    study_id: Mapped[UUID] = mapped_column(ForeignKey("study.id"), index=True)
    patient_id: Mapped[UUID] = mapped_column(ForeignKey("patient.id"), index=True)
    version_id: Mapped[UUID] = mapped_column(ForeignKey("report_version.id"))
    signed_by: Mapped[str] = mapped_column(String(120))  # A link holder sees no staff rows, only this name.
    note: Mapped[str] = mapped_column(Text, default="")
    minted_by: Mapped[UUID] = mapped_column(ForeignKey("person.id"))
    minted_at: Mapped[datetime] = mapped_column(index=True)
    expires_at: Mapped[datetime] = mapped_column()
    session_hash: Mapped[str | None] = mapped_column(String(64), unique=True, default=None)
    opened_at: Mapped[datetime | None] = mapped_column(default=None)
    opened_with: Mapped[str] = mapped_column(String(60), default="")  # "Chrome on Android"
    left_at: Mapped[datetime | None] = mapped_column(default=None)  # the patient said "I am done"
    wrong_answers: Mapped[int] = mapped_column(default=0)
    closed_at: Mapped[datetime | None] = mapped_column(default=None)  # too many wrong answers
    revoked_at: Mapped[datetime | None] = mapped_column(default=None)
    revoked_by: Mapped[UUID | None] = mapped_column(ForeignKey("person.id"), default=None)


class ShareInstance(Base):
    """One image that a link opens, as listed when it was minted: an image that comes later is not in it."""

    __tablename__ = "share_instance"

    share_id: Mapped[UUID] = mapped_column(ForeignKey("share.id"), primary_key=True)
    instance_id: Mapped[UUID] = mapped_column(ForeignKey("instance.id"), primary_key=True)
    origin: Mapped[str] = mapped_column(String(16))
