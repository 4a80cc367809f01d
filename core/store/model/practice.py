"""The practice itself, and the numbers it hands out."""

from __future__ import annotations

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from core.store.model.base import Base, Owned


class Practice(Owned, Base):
    """One row: who we are on letters, claims and links."""

    __tablename__ = "practice"

    name: Mapped[str] = mapped_column(String(120))
    address: Mapped[str] = mapped_column(String(300), default="")
    phone: Mapped[str] = mapped_column(String(40), default="")
    email: Mapped[str] = mapped_column(String(120), default="")
    pcns: Mapped[str] = mapped_column(String(13), default="")
    vat_number: Mapped[str] = mapped_column(String(20), default="")
    is_demo: Mapped[bool] = mapped_column(default=False)


class Counter(Base):
    """The last number given out under a name: accession, file, claim, batch. Taken inside the writer's lock."""

    __tablename__ = "counter"

    name: Mapped[str] = mapped_column(String(40), primary_key=True)
    value: Mapped[int] = mapped_column()
