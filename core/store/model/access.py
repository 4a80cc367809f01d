"""Who may see a patient beside the rule, who may not, and who broke the glass: rights with a reason and an end."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import ForeignKey, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from core.store.model.base import Base, Owned


class PatientGrant(Owned, Base):
    """One person may see one patient beside their scope, for a reason, until a day. Made by an approved request."""

    __tablename__ = "patient_grant"
    __table_args__ = (Index("ix_patient_grant_person_until", "person_id", "until_at"),)

    person_id: Mapped[UUID] = mapped_column(ForeignKey("person.id"))
    patient_id: Mapped[UUID] = mapped_column(ForeignKey("patient.id"), index=True)
    why: Mapped[str] = mapped_column(String(300))
    from_at: Mapped[datetime] = mapped_column()
    until_at: Mapped[datetime] = mapped_column()
    request_id: Mapped[UUID | None] = mapped_column(default=None)
    ended_at: Mapped[datetime | None] = mapped_column(default=None)
    ended_by: Mapped[UUID | None] = mapped_column(default=None)


class PatientBlock(Owned, Base):
    """One person, or everybody where `person_id` is empty, may not see one patient. Made by an approved request.

    kind: own (the person's own record: nothing opens it), vip, family.
    """

    __tablename__ = "patient_block"
    __table_args__ = (Index("ix_patient_block_person_until", "person_id", "until_at"),)

    patient_id: Mapped[UUID] = mapped_column(ForeignKey("patient.id"), index=True)
    person_id: Mapped[UUID | None] = mapped_column(ForeignKey("person.id"), default=None)
    kind: Mapped[str] = mapped_column(String(10))
    why: Mapped[str] = mapped_column(String(300))
    from_at: Mapped[datetime] = mapped_column()
    until_at: Mapped[datetime | None] = mapped_column(default=None)
    request_id: Mapped[UUID | None] = mapped_column(default=None)
    ended_at: Mapped[datetime | None] = mapped_column(default=None)
    ended_by: Mapped[UUID | None] = mapped_column(default=None)


class GlassBreak(Owned, Base):
    """Somebody opened a patient in an emergency, and why. It is reviewed the same day by somebody else.

    verdict: '' until it was reviewed, then fine or misuse.
    """

    __tablename__ = "glass_break"
    __table_args__ = (Index("ix_glass_break_person_until", "person_id", "until_at"),)

    person_id: Mapped[UUID] = mapped_column(ForeignKey("person.id"))
    patient_id: Mapped[UUID] = mapped_column(ForeignKey("patient.id"), index=True)
    reason: Mapped[str] = mapped_column(Text)
    at: Mapped[datetime] = mapped_column()
    until_at: Mapped[datetime] = mapped_column()
    session_id: Mapped[UUID | None] = mapped_column(default=None)
    reviewed_by: Mapped[UUID | None] = mapped_column(default=None)
    reviewed_at: Mapped[datetime | None] = mapped_column(index=True, default=None)
    verdict: Mapped[str] = mapped_column(String(8), default="")
    note: Mapped[str] = mapped_column(Text, default="")
