"""Patients, what they consented to, and the doctors who refer them."""

from __future__ import annotations

from datetime import date, datetime
from uuid import UUID

from sqlalchemy import ForeignKey, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from core.store.model.base import Base, Owned


class Patient(Owned, Base):
    """A patient. `file_number` is the DICOM PatientID; every number is text, so that leading zeros stay."""

    __tablename__ = "patient"

    file_number: Mapped[str] = mapped_column(String(20), unique=True)
    family_name: Mapped[str] = mapped_column(String(64))
    given_names: Mapped[str] = mapped_column(String(64))
    title: Mapped[str] = mapped_column(String(16), default="")
    search_text: Mapped[str] = mapped_column(String(300), index=True)  # folded: no case, no diacritics
    identity_kind: Mapped[str] = mapped_column(String(10))  # sa-id, passport, none
    identity_number: Mapped[str | None] = mapped_column(String(30), index=True)
    born_on: Mapped[date] = mapped_column()
    sex: Mapped[str] = mapped_column(String(1))  # DICOM PatientSex: F, M, O
    phone: Mapped[str] = mapped_column(String(30), default="")
    email: Mapped[str] = mapped_column(String(120), default="")
    scheme_code: Mapped[str] = mapped_column(
        String(12), default=""
    )  # CMS registration number; empty = private
    scheme_option: Mapped[str] = mapped_column(String(60), default="")
    membership_number: Mapped[str] = mapped_column(String(30), default="")
    dependant_code: Mapped[str] = mapped_column(String(3), default="")
    member_surname: Mapped[str] = mapped_column(String(64), default="")
    member_initials: Mapped[str] = mapped_column(String(10), default="")
    registered_at: Mapped[datetime] = mapped_column()


class Consent(Owned, Base):
    """What a patient agreed to or refused, when, how, and who wrote it down. Newer rows overrule older ones."""

    __tablename__ = "consent"

    patient_id: Mapped[UUID] = mapped_column(ForeignKey("patient.id"), index=True)
    purpose: Mapped[str] = mapped_column(String(20))  # examination, claim, share
    given: Mapped[bool] = mapped_column()
    how: Mapped[str] = mapped_column(String(20))  # signed, verbal, guardian, emergency
    note: Mapped[str] = mapped_column(Text, default="")
    recorded_by: Mapped[UUID] = mapped_column()
    recorded_at: Mapped[datetime] = mapped_column()


class Referrer(Owned, Base):
    """A doctor who sends patients. `practice_number` is the personal PCNS number a claim needs."""

    __tablename__ = "referrer"

    name: Mapped[str] = mapped_column(String(120))
    practice_number: Mapped[str] = mapped_column(String(13), default="")
    phone: Mapped[str] = mapped_column(String(30), default="")
    email: Mapped[str] = mapped_column(String(120), default="")
    is_active: Mapped[bool] = mapped_column(default=True)
