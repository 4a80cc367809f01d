"""The practice's own particulars: what stands on letters, claims and links."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import select

from core.errors import Refused
from core.rules.roles import Permission
from core.store.model import Practice
from core.store.work import Subject, Work


@dataclass(frozen=True)
class PracticeCard:
    """Who we are. pcns: the billing practice number, 13 digits with its leading zeros."""

    name: str
    address: str
    phone: str
    email: str
    pcns: str
    vat_number: str
    is_demo: bool


def describe(
    work: Work,
    *,
    name: str,
    address: str,
    phone: str,
    email: str,
    pcns: str,
    vat_number: str = "",
    is_demo: bool = False,
) -> UUID:
    """Write the particulars down, or correct them."""
    with work.act(Permission.SYSTEM_MANAGE, Subject("practice")) as facts:
        if not name.strip():
            raise Refused("Write the practice's name.")
        if not (pcns.isascii() and pcns.isdigit() and len(pcns) == 13):
            raise Refused("The practice number has 13 digits, leading zeros included.")
        row = work.db.scalars(select(Practice)).first()
        if row is None:
            row = Practice(id=work.new_id(), name="", is_demo=is_demo)
            work.db.add(row)
        values = {
            "name": name.strip(),
            "address": address,
            "phone": phone,
            "email": email,
            "pcns": pcns,
            "vat_number": vat_number,
        }
        facts["changed"] = sorted(k for k, v in values.items() if getattr(row, k) != v)
        for key, value in values.items():
            setattr(row, key, value)
        work.db.flush()
        return row.id


def particulars(work: Work) -> PracticeCard:
    """Who we are."""
    with work.look(Permission.STAFF_SELF):
        return card(work)


def card(work: Work) -> PracticeCard:
    """For sibling verbs inside their own gate; a practice that has not written its name down yet says so."""
    row = work.db.scalars(select(Practice).execution_options(the_gates_own=True)).first()
    if row is None:
        return PracticeCard("Unnamed practice", "", "", "", "", "", False)
    return PracticeCard(row.name, row.address, row.phone, row.email, row.pcns, row.vat_number, row.is_demo)
