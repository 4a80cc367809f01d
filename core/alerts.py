"""What the admins must hear of: guessing at the door, a broken glass, a change that one person makes alone."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import select

from core.errors import Denied
from core.rules.roles import Permission
from core.store.model import Alert, Person
from core.store.work import Subject, Work


@dataclass(frozen=True)
class AlertCard:
    """One alert. about: the id of what it is about, when there is one."""

    id: UUID
    kind: str
    sentence: str
    about: str
    at: datetime
    seen_by: str
    seen_at: datetime | None


def raise_alert(work: Work, kind: str, sentence: str, *, about: UUID | str = "") -> None:
    """Leave word for the admins, in the transaction of what happened. For verbs inside their own gate.

    kind: guessing, glass, break-glass, key-added, key-copied, renamed, tampered, alone. A tampered row is told of once, until it was seen.
    """
    same = select(Alert.id).where(
        Alert.kind == kind,
        Alert.about == str(about),
        Alert.sentence == sentence[:300],
        Alert.seen_at.is_(None),
    )
    if kind == "tampered" and work.db.scalars(same.limit(1)).first() is not None:
        return
    work.db.add(
        Alert(
            id=work.new_id(),
            origin=work.house.origin,
            kind=kind,
            sentence=sentence[:300],
            about=str(about),
            at=work.now(),
            by=_who(work),
        )
    )


def alerts(work: Work, *, unseen: bool = True, size: int = 100) -> tuple[AlertCard, ...]:
    """What happened, newest first; unseen only unless asked for all."""
    with work.look(Permission.ALERT_SEE):
        query = select(Alert, Person.name).outerjoin(Person, Person.id == Alert.seen_by)
        if unseen:
            query = query.where(Alert.seen_at.is_(None))
        rows = work.db.execute(query.order_by(Alert.at.desc(), Alert.id.desc()).limit(size))
        return tuple(
            AlertCard(a.id, a.kind, a.sentence, a.about, a.at, name or "", a.seen_at) for a, name in rows
        )


def mark_seen(work: Work, alert_id: UUID) -> None:
    """Somebody has taken note; who, and when, stays on record. What one did oneself, somebody else takes note of."""
    with work.act(Permission.ALERT_SEE, Subject("alert", str(alert_id))):
        row = work.get(Alert, alert_id)
        if row.by == work.actor.person and not work.rule("single_admin"):
            raise Denied("This tells of what you did: somebody else takes note of it.")
        if row.seen_at is None:
            row.seen_by, row.seen_at = work.actor.person, work.now()


def take_note(work: Work, kind: str, *, about: UUID) -> None:
    """The alerts about this have been seen to: whoever judged it has seen them. For verbs inside their own gate."""
    told = select(Alert).where(Alert.kind == kind, Alert.about == str(about), Alert.seen_at.is_(None))
    for alert in work.db.scalars(told):
        alert.seen_by, alert.seen_at = work.actor.person, work.now()


def _who(work: Work) -> UUID | None:
    """The person behind this piece of work, if it is one."""
    with suppress(ValueError):
        return UUID(work.actor.id)
    return None
