"""Codes and prices, claims and their answers, remittances, and money as postings that always sum to zero."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, ForeignKey, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from core.store.model.base import Base, Owned


class CodeTable(Owned, Base):
    """One edition of the ICD-10 table. is_starter: our own hundred codes, not the national table."""

    __tablename__ = "code_table"

    name: Mapped[str] = mapped_column(String(120))
    sha256: Mapped[str] = mapped_column(String(64))
    is_starter: Mapped[bool] = mapped_column()
    is_active: Mapped[bool] = mapped_column()
    rows: Mapped[int] = mapped_column()
    loaded_at: Mapped[datetime] = mapped_column()


class Icd10Row(Base):
    """One code of one edition."""

    __tablename__ = "icd10_row"

    table_id: Mapped[UUID] = mapped_column(ForeignKey("code_table.id"), primary_key=True)
    code: Mapped[str] = mapped_column(String(10), primary_key=True)
    description: Mapped[str] = mapped_column(String(300))
    search_text: Mapped[str] = mapped_column(String(320))
    chapter: Mapped[str] = mapped_column(String(6))
    clinical: Mapped[bool] = mapped_column()
    primary: Mapped[bool] = mapped_column()
    asterisk: Mapped[bool] = mapped_column()
    dagger: Mapped[bool] = mapped_column()
    sequelae: Mapped[bool] = mapped_column()
    ages: Mapped[str] = mapped_column(String(12))
    sex: Mapped[str] = mapped_column(String(1))
    valid_from: Mapped[date | None] = mapped_column()
    valid_until: Mapped[date | None] = mapped_column()


class TariffRow(Owned, Base):
    """One price or modifier of one scheme from one day on. factor: a modifier's, as a fraction in text."""

    __tablename__ = "tariff_row"
    __table_args__ = (Index("ix_tariff_row_key", "scheme", "code", "valid_from", unique=True),)

    code: Mapped[str] = mapped_column(String(10), index=True)
    description: Mapped[str] = mapped_column(String(300))
    kind: Mapped[str] = mapped_column(String(10))
    cents: Mapped[int | None] = mapped_column(BigInteger)
    factor: Mapped[str | None] = mapped_column(String(20))
    valid_from: Mapped[date] = mapped_column()
    valid_until: Mapped[date | None] = mapped_column()
    scheme: Mapped[str] = mapped_column(String(40))
    source: Mapped[str] = mapped_column(String(200))
    is_demo: Mapped[bool] = mapped_column()


class Claim(Owned, Base):
    """One claim for one study's signed report. `state` is ours; `tracking` and line statuses are the payer's (PHISC)."""

    __tablename__ = "claim"

    study_id: Mapped[UUID] = mapped_column(ForeignKey("study.id"), unique=True)
    patient_id: Mapped[UUID] = mapped_column(ForeignKey("patient.id"), index=True)
    report_version_id: Mapped[UUID | None] = mapped_column(ForeignKey("report_version.id"))
    number: Mapped[str] = mapped_column(String(20), unique=True)
    scheme: Mapped[str] = mapped_column(String(40))
    state: Mapped[str] = mapped_column(
        String(12), index=True
    )  # coding, queued, sent, answered, rejected, settled
    tracking: Mapped[str] = mapped_column(String(20), default="")
    correction: Mapped[str] = mapped_column(String(3), default="")
    attempt: Mapped[int] = mapped_column(default=0)
    coding: Mapped[dict[str, Any]] = (
        mapped_column()
    )  # what the clerk chose: asked, icd10, referring, authorisation
    service_on: Mapped[date] = mapped_column(index=True)
    total_cents: Mapped[int] = mapped_column(BigInteger, default=0)
    paid_cents: Mapped[int] = mapped_column(BigInteger, default=0)
    batch_number: Mapped[int | None] = mapped_column(default=None)
    message_id: Mapped[UUID | None] = mapped_column(default=None)  # sealed MEDCLM message
    why: Mapped[str] = mapped_column(String(300), default="")  # why it came back, in the payer's words
    submitted_at: Mapped[datetime | None] = mapped_column(default=None, index=True)
    received_at: Mapped[datetime | None] = mapped_column(default=None)
    answered_at: Mapped[datetime | None] = mapped_column(default=None)


class ClaimLine(Owned, Base):
    """One line as it was last priced, and what the payer said about it. quantity: a decimal in text."""

    __tablename__ = "claim_line"
    __table_args__ = (Index("ix_claim_line_claim_number", "claim_id", "number", unique=True),)

    claim_id: Mapped[UUID] = mapped_column(ForeignKey("claim.id"))
    number: Mapped[int] = mapped_column()
    kind: Mapped[str] = mapped_column(String(10))
    code: Mapped[str] = mapped_column(String(10))
    description: Mapped[str] = mapped_column(String(300))
    quantity: Mapped[str] = mapped_column(String(12))
    cents: Mapped[int | None] = mapped_column(BigInteger)
    icd10: Mapped[list[str]] = mapped_column()
    tracer: Mapped[str] = mapped_column(String(35))
    is_demo: Mapped[bool] = mapped_column()
    status: Mapped[str] = mapped_column(String(12), default="")
    approved_cents: Mapped[int | None] = mapped_column(BigInteger, default=None)
    paid_cents: Mapped[int] = mapped_column(BigInteger, default=0)
    reasons: Mapped[list[Any]] = mapped_column()


class ClaimEvent(Base):
    """What happened to a claim, in order; an answer that could not be read is kept raw here. Append-only."""

    __tablename__ = "claim_event"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    origin: Mapped[str] = mapped_column(String(16))
    claim_id: Mapped[UUID | None] = mapped_column(ForeignKey("claim.id"), index=True)
    at: Mapped[datetime] = mapped_column()
    what: Mapped[str] = mapped_column(String(20))
    source_key: Mapped[str | None] = mapped_column(
        String(120), unique=True
    )  # an answer delivered twice counts once
    facts: Mapped[dict[str, Any]] = mapped_column()


class Remittance(Owned, Base):
    """One payment of a payer. It waits until a person posts it."""

    __tablename__ = "remittance"
    __table_args__ = (Index("ix_remittance_payer_number", "payer", "number", unique=True),)

    number: Mapped[str] = mapped_column(String(60))
    payer: Mapped[str] = mapped_column(String(120))
    paid_on: Mapped[date] = mapped_column()
    total_cents: Mapped[int] = mapped_column(BigInteger)
    received_at: Mapped[datetime] = mapped_column()
    posted_at: Mapped[datetime | None] = mapped_column(default=None)


class RemittanceLine(Owned, Base):
    """One line of a payment. claim_id stays empty while nobody knows whose money it is (suspense)."""

    __tablename__ = "remittance_line"

    remittance_id: Mapped[UUID] = mapped_column(ForeignKey("remittance.id"), index=True)
    claim_id: Mapped[UUID | None] = mapped_column(ForeignKey("claim.id"), index=True)
    claim_number: Mapped[str] = mapped_column(String(35))
    line_number: Mapped[int] = mapped_column()
    tracer: Mapped[str] = mapped_column(String(35))
    status: Mapped[str] = mapped_column(String(12))
    submitted_cents: Mapped[int] = mapped_column(BigInteger)
    calculated_cents: Mapped[int] = mapped_column(BigInteger)
    levy_cents: Mapped[int] = mapped_column(BigInteger)
    co_payment_cents: Mapped[int] = mapped_column(BigInteger)
    paid_cents: Mapped[int] = mapped_column(BigInteger)
    reasons: Mapped[list[Any]] = mapped_column()


class Posting(Base):
    """One side of one entry; the postings of an entry sum to zero. Append-only: a mistake is reversed, not changed."""

    __tablename__ = "posting"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    origin: Mapped[str] = mapped_column(String(16))
    entry_id: Mapped[UUID] = mapped_column(index=True)
    at: Mapped[datetime] = mapped_column()
    account: Mapped[str] = mapped_column(String(24), index=True)
    claim_id: Mapped[UUID | None] = mapped_column(ForeignKey("claim.id"), index=True)
    patient_id: Mapped[UUID | None] = mapped_column(ForeignKey("patient.id"), index=True)
    cents: Mapped[int] = mapped_column(BigInteger)
    memo: Mapped[str] = mapped_column(Text)


class SwitchPosition(Base):
    """How far we have read somebody's feed; moved in the transaction that kept what was read."""

    __tablename__ = "switch_position"

    name: Mapped[str] = mapped_column(String(40), primary_key=True)
    cursor: Mapped[str] = mapped_column(String(200))
