"""Errands: what must happen outside, done at least once, with growing pauses, and seen by a person when stuck."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import func, or_, select

from core.rules.roles import Permission
from core.store.model import Errand
from core.store.work import Subject, Work

STUCK_AFTER = 8  # tries: about two hours of pauses; after that it is shown as stuck and tried once an hour
_LEASE = timedelta(minutes=5)


@dataclass(frozen=True)
class ErrandCard:
    """One errand, for the runner and for the page."""

    id: UUID
    kind: str
    key: str
    payload: dict[str, Any]
    state: str
    tries: int
    due_at: datetime
    made_at: datetime
    done_at: datetime | None
    trouble: str


def take_due(work: Work) -> ErrandCard | None:
    """Lease the errand that is longest due, or None. A runner that dies loses the lease and the errand goes on."""
    with work.tend(Permission.ERRANDS_RUN):
        now = work.now()
        errand = work.db.scalars(
            select(Errand)
            .where(
                Errand.state != "done",
                Errand.due_at <= now,
                or_(Errand.lease_until.is_(None), Errand.lease_until <= now),
            )
            .order_by(Errand.due_at, Errand.id)
            .limit(1)
            .with_for_update(skip_locked=True)
        ).first()
        if errand is None:
            return None
        errand.lease_until, errand.tries = now + _LEASE, errand.tries + 1
        return _card(errand)


def done(work: Work, errand_id: UUID) -> None:
    """The effect is there. Called in its own transaction after the effect; saying it twice changes nothing."""
    with work.tend(Permission.ERRANDS_RUN):
        errand = work.get(Errand, errand_id)
        if errand.state != "done":
            errand.state, errand.done_at, errand.lease_until, errand.trouble = "done", work.now(), None, ""


def failed(work: Work, errand_id: UUID, *, trouble: str, hopeless: bool = False) -> None:
    """It did not work: try again later (5 s, 20 s, 80 s … an hour), or show it as stuck when trying again is hopeless."""
    with work.tend(Permission.ERRANDS_RUN):
        errand = work.get(Errand, errand_id)
        pause = timedelta(seconds=min(5 * 4 ** max(errand.tries - 1, 0), 3600))
        errand.state = "stuck" if hopeless or errand.tries >= STUCK_AFTER else "waiting"
        errand.trouble, errand.due_at, errand.lease_until = trouble[:500], work.now() + pause, None
        if hopeless:
            errand.due_at = work.now() + timedelta(days=3650)


def regain(work: Work) -> int:
    """Free every lease: for the one worker of a practice, whose start means that the one before it fell."""
    with work.tend(Permission.ERRANDS_RUN):
        held = list(
            work.db.scalars(select(Errand).where(Errand.state != "done", Errand.lease_until.is_not(None)))
        )
        for errand in held:
            errand.lease_until = None
        return len(held)


def open_errands(work: Work, *, size: int = 100) -> tuple[ErrandCard, ...]:
    """What is waiting or stuck, stuck first."""
    with work.look(Permission.SYSTEM_SEE):
        rows = work.db.scalars(
            select(Errand).where(Errand.state != "done").order_by(Errand.state, Errand.due_at).limit(size)
        )
        return tuple(_card(e) for e in rows)


def counts(work: Work) -> dict[str, int]:
    """How many errands are waiting, stuck and done."""
    with work.look(Permission.SYSTEM_SEE):
        return {
            state: n
            for state, n in work.db.execute(select(Errand.state, func.count()).group_by(Errand.state))
        }


def try_again(work: Work, errand_id: UUID) -> None:
    """A person says: now."""
    with work.act(Permission.SYSTEM_MANAGE, Subject("errand", str(errand_id))) as facts:
        errand = work.get(Errand, errand_id)
        if errand.state != "done":
            errand.state, errand.due_at, errand.lease_until, errand.tries = "waiting", work.now(), None, 0
        facts["kind"] = errand.kind


def _card(e: Errand) -> ErrandCard:
    return ErrandCard(
        e.id, e.kind, e.key, e.payload, e.state, e.tries, e.due_at, e.made_at, e.done_at, e.trouble
    )
