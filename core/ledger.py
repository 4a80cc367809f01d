"""What is on record about a claim: what happened to it, and its money as postings that sum to zero."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import func, select

from core.rules.roles import Permission
from core.store.model import Claim, ClaimEvent, Posting
from core.store.work import Work

ACCOUNTS = {
    "scheme": "Schemes owe us",
    "patient": "Patients owe us",
    "income": "Income",
    "bank": "Bank",
    "suspense": "Money nobody claimed yet",
    "surplus": "Schemes paid too much",
}


@dataclass(frozen=True)
class Entry:
    """One posting for the screen."""

    at: datetime
    account: str
    cents: int
    memo: str


@dataclass(frozen=True)
class Happening:
    """One line of a claim's history."""

    id: UUID
    at: datetime
    what: str
    facts: dict[str, Any]


def balances(work: Work) -> dict[str, int]:
    """Cents on each account; they sum to zero."""
    with work.look(Permission.BILLING_SEE):
        sums = select(Posting.account, func.sum(Posting.cents)).group_by(Posting.account)
        # The practice's money as a whole, no patient in it: whoever asks, the same sums.
        found = {
            account: cents for account, cents in work.db.execute(sums.execution_options(the_gates_own=True))
        }
        return {account: int(found.get(account, 0)) for account in ACCOUNTS}


# For sibling verbs inside their own gate ------------------------------------------------------------------------


def enter(work: Work, claim: Claim | None, sides: dict[str, int], *, memo: str) -> None:
    """One entry: its sides sum to zero, or nothing is posted and the mistake is ours."""
    if sum(sides.values()) != 0:
        raise AssertionError("Postings of an entry must sum to zero.")
    entry, at = work.new_id(), work.now()
    for account, cents in sides.items():
        if cents:
            work.db.add(
                Posting(
                    id=work.new_id(),
                    origin=work.house.origin,
                    entry_id=entry,
                    at=at,
                    account=account,
                    cents=cents,
                    memo=memo,
                    claim_id=claim.id if claim else None,
                    patient_id=claim.patient_id if claim else None,
                )
            )
    work.db.flush()


def balance_of(work: Work, claim: Claim) -> dict[str, int]:
    """Cents on each account from this claim alone."""
    query = (
        select(Posting.account, func.sum(Posting.cents))
        .where(Posting.claim_id == claim.id)
        .group_by(Posting.account)
    )
    return dict.fromkeys(ACCOUNTS, 0) | {account: int(cents) for account, cents in work.db.execute(query)}


def level(work: Work, claim: Claim) -> int:
    """Keep what a scheme paid too much on an account of its own, never as a debt below zero; what it still owes."""
    balance = balance_of(work, claim)
    standing = balance["scheme"] + balance["surplus"]
    moved = max(standing, 0) - balance["scheme"]
    enter(
        work,
        claim,
        {"scheme": moved, "surplus": -moved},
        memo=f"Claim {claim.number}: paid beyond what was owed",
    )
    return max(standing, 0)


def entries_of(work: Work, claim: Claim) -> tuple[Entry, ...]:
    """A claim's postings, oldest first."""
    rows = work.db.scalars(
        select(Posting).where(Posting.claim_id == claim.id).order_by(Posting.at, Posting.id)
    )
    return tuple(Entry(p.at, p.account, p.cents, p.memo) for p in rows)


def happened(
    work: Work, claim: Claim | None, what: str, facts: dict[str, Any], *, source_key: str | None = None
) -> None:
    """One more line of a claim's history. source_key: the sender's own key, so that what is heard twice counts once."""
    work.db.add(
        ClaimEvent(
            id=work.new_id(),
            origin=work.house.origin,
            claim_id=claim.id if claim else None,
            at=work.now(),
            what=what,
            source_key=source_key,
            facts=facts,
        )
    )
    work.db.flush()


def history_of(work: Work, claim: Claim) -> tuple[Happening, ...]:
    """What happened to a claim, oldest first."""
    rows = work.db.scalars(
        select(ClaimEvent).where(ClaimEvent.claim_id == claim.id).order_by(ClaimEvent.at, ClaimEvent.id)
    )
    return tuple(Happening(e.id, e.at, e.what, e.facts) for e in rows)
