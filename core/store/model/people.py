"""Staff accounts, their second factor, and their sessions."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import ForeignKey, LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column

from core.store.model.base import Base, Owned


class Person(Owned, Base):
    """A member of staff. `login` is stored case-folded; `totp_box` is the sealed TOTP secret."""

    __tablename__ = "person"

    login: Mapped[str] = mapped_column(String(64), unique=True)
    name: Mapped[str] = mapped_column(String(120))
    roles: Mapped[list[str]] = mapped_column()
    registration: Mapped[str] = mapped_column(String(40), default="")  # HPCSA number, as the person writes it
    practice_number: Mapped[str] = mapped_column(String(13), default="")
    email: Mapped[str] = mapped_column(String(120), default="")
    directory: Mapped[str] = mapped_column(String(20), default="local")
    directory_id: Mapped[str | None] = mapped_column(String(64), default=None)
    password_hash: Mapped[str] = mapped_column(String(200), default="")
    totp_box: Mapped[bytes | None] = mapped_column(LargeBinary, default=None)
    totp_step: Mapped[int] = mapped_column(default=0)  # the last time step used: each code works once
    wrong_answers: Mapped[int] = mapped_column(default=0)
    locked_until: Mapped[datetime | None] = mapped_column(default=None)
    is_active: Mapped[bool] = mapped_column(default=True)
    last_sign_in_at: Mapped[datetime | None] = mapped_column(default=None)


class SignInSession(Base):
    """A browser's session; only the hash of its token is kept. `stage` is password until the code is right."""

    __tablename__ = "sign_in_session"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    token_hash: Mapped[str] = mapped_column(String(64), unique=True)
    person_id: Mapped[UUID] = mapped_column(ForeignKey("person.id"), index=True)
    stage: Mapped[str] = mapped_column(String(10))
    from_address: Mapped[str] = mapped_column(String(64), default="")
    begun_at: Mapped[datetime] = mapped_column()
    seen_at: Mapped[datetime] = mapped_column()
    ends_at: Mapped[datetime] = mapped_column()
    ended_at: Mapped[datetime | None] = mapped_column(default=None)
