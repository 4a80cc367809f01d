"""Is the practice well? What its parts last did, and what is tidied up when nobody is waiting."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import select

from core.errors import Outside
from core.rules.roles import Permission
from core.store.model import Challenge, Heartbeat, SignInSession, StepUp, Throttle
from core.store.work import Work

_KEPT = timedelta(days=30)  # an ended session stays this long, for whoever asks where a person was signed in
_COUNTED = timedelta(days=7)


@dataclass(frozen=True)
class Beat:
    """When a part last went round, and what stopped it then ('' when nothing did)."""

    name: str
    at: datetime
    trouble: str


@dataclass(frozen=True)
class Ground:
    """What the practice stands on: the kind of its database, and the bytes free beside its documents."""

    database: str  # SQLAlchemy's name of the dialect: sqlite (which is SQLCipher here) or postgresql
    free_bytes: int


@dataclass(frozen=True)
class ImageStore:
    """How Orthanc does: missing, silent or answers; and its version, or why it did not answer."""

    state: str
    told: str = ""


def beat(work: Work, name: str, *, trouble: str = "") -> None:
    """This part is alive; or it went round and met trouble."""
    with work.tend(Permission.ERRANDS_RUN):
        row = work.db.get(Heartbeat, name)
        if row is None:
            work.db.add(Heartbeat(name=name, at=work.now(), trouble=trouble[:200]))
        else:
            row.at, row.trouble = work.now(), trouble[:200]


def beats(work: Work) -> tuple[Beat, ...]:
    """Every part's last sign of life."""
    with work.look(Permission.SYSTEM_SEE):
        rows = work.db.scalars(select(Heartbeat).order_by(Heartbeat.name))
        return tuple(Beat(r.name, r.at, r.trouble) for r in rows)


def ground(work: Work) -> Ground:
    """The kind of database, and how much room is left on the disk."""
    with work.look(Permission.SYSTEM_SEE):
        return Ground(work.db.get_bind().dialect.name, work.blobs.room())


def image_store(work: Work) -> ImageStore:
    """Whether the image store answers, asked outside any transaction."""
    with work.look(Permission.SYSTEM_SEE):
        orthanc = work.ports.orthanc
    if orthanc is None:
        return ImageStore("missing")
    try:
        return ImageStore("answers", orthanc.system().version)
    except Outside as error:
        return ImageStore("silent", error.sentence)


def sweep_sessions(work: Work, *, size: int = 500) -> int:
    """Take away sign-in sessions that ended long ago; how many."""
    with work.tend(Permission.ERRANDS_RUN):
        rows = list(
            work.db.scalars(
                select(SignInSession).where(SignInSession.ends_at < work.now() - _KEPT).limit(size)
            )
        )
        ids = [row.id for row in rows]
        for model in (StepUp, Challenge):
            for proof in work.db.scalars(select(model).where(model.session_id.in_(ids))):
                work.db.delete(proof)
        work.db.flush()
        for row in rows:
            work.db.delete(row)
        return len(rows)


def sweep_limits(work: Work, *, size: int = 500) -> int:
    """Take away counts of wrong tries that have not mattered for a week; how many. Guessed names would fill the disk."""
    with work.tend(Permission.ERRANDS_RUN):
        old = Throttle.since_at < work.now() - _COUNTED
        rows = list(work.db.scalars(select(Throttle).where(old).limit(size)))
        for row in rows:
            work.db.delete(row)
        return len(rows)
