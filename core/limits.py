"""How often something may be tried: counted in the practice's own tables, so that a restart forgives nothing.

A key is an address, an unknown login, a directory's account, a person at an address of theirs, or everybody. Tries
during a rest are not counted, so that nobody can prolong somebody else's rest.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from core.store.model import Throttle
from core.store.work import Work


@dataclass(frozen=True)
class Limit:
    """`most` wrong tries within `window`, then a rest of `rest`."""

    most: int
    window: timedelta
    rest: timedelta


def rests(work: Work, key: str) -> bool:
    """True while nothing is taken under this key. For verbs inside their own gate."""
    row = work.db.get(Throttle, key)
    return row is not None and row.rests_until is not None and row.rests_until > work.now()


def count_wrong(work: Work, key: str, limit: Limit) -> bool:
    """One more wrong try under this key; True when this one began a rest. For verbs inside their own gate."""
    now = work.now()
    row = work.db.get(Throttle, key, with_for_update=True)
    if row is None:
        # Two first wrong tries at once, on PostgreSQL: the second waits here, then counts on from the first.
        with suppress(IntegrityError), work.db.begin_nested():
            work.db.add(Throttle(key=key, count=0, since_at=now))
        row = work.db.get_one(Throttle, key, with_for_update=True)
    if row.rests_until is not None and row.rests_until > now:
        return False
    if row.since_at + limit.window <= now or row.rests_until is not None:
        row.count, row.since_at, row.rests_until = 0, now, None
    row.count += 1
    if row.count < limit.most:
        return False
    row.rests_until = now + limit.rest
    return True


def take_back(work: Work, key: str) -> None:
    """A try that was counted ahead of its answer was no wrong one. For verbs inside their own gate."""
    row = work.db.get(Throttle, key, with_for_update=True)
    if row is not None and row.count > 0:
        row.count, row.rests_until = row.count - 1, None


def forget(work: Work, key: str) -> None:
    """A right answer: the count under this key begins anew. For verbs inside their own gate."""
    row = work.db.get(Throttle, key, with_for_update=True)
    if row is not None and (row.rests_until is None or row.rests_until <= work.now()):
        work.db.delete(row)


def lift(work: Work, keys_beginning: str) -> None:
    """Nothing is counted any more under keys that begin so, and none of them rests. For verbs inside their own gate."""
    for row in work.db.scalars(
        select(Throttle).where(Throttle.key.startswith(keys_beginning, autoescape=True))
    ):
        work.db.delete(row)


def rests_until(work: Work, keys_beginning: str) -> dict[str, datetime]:
    """Which keys that begin so rest now, and until when. For verbs inside their own gate."""
    query = select(Throttle).where(
        Throttle.key.startswith(keys_beginning, autoescape=True), Throttle.rests_until > work.now()
    )
    return {row.key: row.rests_until for row in work.db.scalars(query) if row.rests_until is not None}
