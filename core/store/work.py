"""The gate and the pen: every verb checks, opens the database, narrows rows and leaves its entry here.

    with practice.work(actor) as work:          # the edge: commits when the verb returns, rolls back when it raises
        workflow.arrive(work, study_id)

    with work.act(Permission.ORDER_ARRIVE, Subject.study(study_id)) as facts:      # inside the verb
        ...

act      a change: write transaction (BEGIN IMMEDIATE), one audit entry in it
reading  opening something of a patient's: an entry the first time in this sitting, then read-only
look     a question that needs no entry: read-only
tend     bookkeeping nobody did (leases, cursors, a session's last use): writes without an entry
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cache
from types import TracebackType
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import Engine, String, event, inspect, select
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.orm import ORMExecuteState, Session
from sqlalchemy.orm.exc import StaleDataError

from core.errors import Denied, Missing, Refused, SorgError, Stale, Unfit, WrongAnswer
from core.rules.access import (
    OPEN_COUNTRY,
    OUTSIDERS,
    Bounds,
    Fence,
    Fences,
    Reach,
    decide,
    fences_at,
    scope_of,
)
from core.rules.roles import BY_ACCOUNT, NOT_WHILE_AWAY, UNNAMED, Permission, Role, Scope, allowed
from core.store import audit, reach
from core.store.blobs import Blobs
from core.store.db import pen
from core.store.keys import Keyring
from core.store.model import (
    AuditEntry,
    Base,
    Counter,
    Errand,
    GlassBreak,
    PatientBlock,
    PatientGrant,
    Share,
    Study,
)

Row = TypeVar("Row", bound=Base)
NOT_YOURS = "Your role does not allow this. Ask your practice's admin if it should."
ONLY_ACCOUNTS = "This is for people with an account. A link opens one study and nothing else."
AWAY = (
    "This is not possible while the directory is away, because nobody can say whether you still may. "
    "Sign in again once it answers."
)

KEY_FIRST = (
    "What admins do needs your key, and you are signed in without it. Touch it, or add your first one: both are under "
    "My account."
)


@dataclass(frozen=True)
class Actor:
    """Who is asking. `channel` and `address` say from where; `reach` narrows a link holder to one study.

    `bounds` are what is set for this one person, beside what their roles say (core.rules.access).
    """

    id: str
    name: str
    roles: frozenset[Role]
    channel: str = "console"
    address: str = ""
    session: UUID | None = None
    reach: Reach | None = None
    bounds: Bounds = Bounds()

    @property
    def person(self) -> UUID:
        """The staff member's id; anyone else is refused."""
        try:
            return UUID(self.id)
        except ValueError:
            raise Denied("Only a member of staff can do this.") from None

    def may(self, permission: Permission) -> bool:
        """What their roles carry in this session: for drawing, never instead of the gate."""
        return allowed(self.roles, permission, keyless=self.bounds.keyless)

    def lacks_key_for(self, permission: Permission) -> bool:
        """True for what their roles would carry, had a key opened this session."""
        return not self.may(permission) and allowed(self.roles, permission)


def nobody(*, channel: str, address: str = "") -> Actor:
    """A request before anyone has signed in."""
    return Actor("nobody", "Nobody", frozenset({Role.NOBODY}), channel, address)


def system(channel: str = "worker") -> Actor:
    """The worker: images in, errands out."""
    return Actor("system", "Sorg", frozenset({Role.SYSTEM}), channel)


@dataclass(frozen=True)
class Subject:
    """What an act is about: a kind and an id, as the audit trail will say it."""

    kind: str
    id: str = ""

    @classmethod
    def patient(cls, patient_id: UUID) -> Subject:
        return cls("patient", str(patient_id))

    @classmethod
    def study(cls, study_id: UUID) -> Subject:
        return cls("study", str(study_id))


class Openings:
    """What one sitting has opened already, so that a refreshed page is not a new entry. Lives with the session."""

    def __init__(self, *, lasts: timedelta = timedelta(minutes=30)) -> None:
        self._lasts = lasts
        self._until: dict[tuple[str, ...], datetime] = {}

    def fresh(self, key: tuple[str, ...], *, now: datetime) -> bool:
        """True when this was opened a short while ago."""
        return self._until.get(key, now) > now

    def note(self, keys: set[tuple[str, ...]], *, now: datetime) -> None:
        """Remember openings whose entries are committed."""
        self._until = {k: t for k, t in self._until.items() if t > now} | {k: now + self._lasts for k in keys}


@dataclass
class House:
    """An opened practice: database, keys, clock and the outside world. Made by an edge, shared by its threads."""

    engine: Engine
    keys: Keyring
    blobs: Blobs
    clock: Callable[[], datetime]
    new_id: Callable[[], UUID]
    dice: Callable[[int], bytes]
    ports: Any = None  # core.ports.Ports: orthanc, switch, directory
    origin: str = "01"
    rules: dict[str, Any] = field(default_factory=dict)  # settings that verbs obey, by name

    def work(self, actor: Actor, *, openings: Openings | None = None) -> Work:
        """One piece of work by one actor: one session, one transaction at the end."""
        return Work(self, actor, openings=openings)


class Work:
    """One actor's piece of work. Nothing is kept unless the edge's `with` block ends without an error."""

    def __init__(self, house: House, actor: Actor, *, openings: Openings | None = None) -> None:
        self.house, self.actor = house, actor
        self.ports, self.blobs, self.keys = house.ports, house.blobs, house.keys
        self._openings = openings if openings is not None else Openings()
        self._opened: set[tuple[str, ...]] = set()
        self._session: Session | None = None
        self._writing = False
        self._depth = 0
        self._refused: tuple[Permission, Subject] | None = None
        self._because = ""
        self._doors: list[Permission | None] = []  # the innermost one says whose rows are seen
        self._fences: tuple[Fence, ...] | None = None
        self._spent: list[Callable[[], None]] = []

    # What verbs need of the world -------------------------------------------------------------------------------

    def now(self) -> datetime:
        """The time, aware, in UTC."""
        return self.house.clock()

    def new_id(self) -> UUID:
        """A new UUIDv7."""
        return self.house.new_id()

    def dice(self, size: int) -> bytes:
        """`size` random bytes from the operating system."""
        return self.house.dice(size)

    def rule(self, name: str) -> Any:
        """A setting that verbs obey, by name (docs/settings.md)."""
        return self.house.rules[name]

    @property
    def may(self) -> frozenset[Permission]:
        """Everything this actor may do: for drawing buttons, never instead of the gate."""
        return frozenset(p for p in Permission if self.actor.may(p))

    # The four doors ---------------------------------------------------------------------------------------------

    @contextmanager
    def act(self, permission: Permission, subject: Subject | None = None) -> Iterator[dict[str, Any]]:
        """Check, open for writing, and leave an entry with the facts in the same transaction.

        Put `facts["patient"]` when the subject is neither a patient nor a study, so that the patient's page finds it.
        """
        subject = subject or Subject("practice")
        self._require(permission, subject)
        facts: dict[str, Any] = {}
        with self._holding(permission, writing=True):
            self._admit(subject)
            try:
                yield facts
            except WrongAnswer as wrong:
                # A wrong answer is on record too; the edge commits it together with the count of tries.
                if wrong.why:
                    facts.setdefault("why", wrong.why)
                self._note(permission, subject, facts, outcome="refused")
                raise
            self._note(permission, subject, facts)

    @contextmanager
    def reading(self, permission: Permission, subject: Subject) -> Iterator[dict[str, Any]]:
        """Open something of a patient's: recorded the first time in this sitting, read-only after that."""
        key = (str(permission), subject.kind, subject.id, self.actor.id)
        self._require(permission, subject)
        if key in self._opened or self._openings.fresh(key, now=self.now()):
            with self._holding(permission, writing=False):
                self._admit(subject)
                yield {}
            return
        with self.act(permission, subject) as facts:
            yield facts
        self._opened.add(key)

    @contextmanager
    def look(self, permission: Permission) -> Iterator[None]:
        """Ask a question that leaves no entry; nothing can be written."""
        self._require(permission, Subject("practice"))
        if Role.NOBODY in self.actor.roles and self._depth == 0:
            # Nor does its answer: strangers open pages as often as they like, and the record is kept for good.
            self._refused = None
        with self._holding(permission, writing=False):
            yield

    @contextmanager
    def tend(self, permission: Permission) -> Iterator[None]:
        """Write what is nobody's act: a lease, a cursor, when a session was last used."""
        self._require(permission, Subject("practice"))
        with self._holding(permission, writing=True):
            yield

    # Rows -------------------------------------------------------------------------------------------------------

    @property
    def db(self) -> Session:
        """The session; only inside one of the four doors."""
        if self._session is None or self._depth == 0:
            raise RuntimeError("The database was asked for outside Work.act, look, reading or tend.")
        return self._session

    def get(
        self,
        model: type[Row],
        row_id: UUID | str,
        *,
        what: str = "",
        lock: bool = False,
        of: UUID | None = None,
    ) -> Row:
        """The row, or Missing: which is also what a row outside this actor's reach looks like.

        lock: on PostgreSQL nobody else changes it until this act is over; SQLite has one writer in any case.
        of: of this person only; anybody else's looks like none.
        """
        query = select(model).where(model.id == row_id)  # type: ignore[attr-defined]
        if of is not None:
            query = query.where(model.person_id == of)  # type: ignore[attr-defined]
        if lock:
            query = query.with_for_update(key_share=True).execution_options(populate_existing=True)
        row = self.db.scalars(query).one_or_none()
        if row is None:
            raise self._missing(
                what or model.__tablename__.replace("_", " "), reach.CONCERNS.get(model) != reach.PRACTICE
            )
        return row

    def _missing(self, what: str, of_a_patient: bool = True) -> Missing:
        """One sentence for what is not there and for what is somebody else's."""
        sentence = f"This {what} does not exist, or is not yours to see."
        if of_a_patient and self.actor.may(Permission.GLASS_BREAK):
            sentence += " If care depends on it, you can break the glass."
        return Missing(sentence)

    def number(self, name: str) -> int:
        """The next number of a counter; gaps appear only where a transaction was rolled back after others."""
        counter = self.db.get(Counter, name, with_for_update=True)
        if counter is None:
            # Two first numbers at once, on PostgreSQL: the second waits here, then counts on from the first.
            with suppress(IntegrityError), self.db.begin_nested():
                self.db.add(Counter(name=name, value=0))
            counter = self.db.get_one(Counter, name, with_for_update=True)
        counter.value += 1
        self.db.flush()
        return counter.value

    def errand(self, kind: str, *, key: str, due_at: datetime | None = None, **payload: Any) -> None:
        """Leave an errand in this transaction. The same key is left only once, so that a verb may say it again."""
        if self.db.scalars(select(Errand.id).where(Errand.key == key)).first() is None:
            self.db.add(
                Errand(
                    id=self.new_id(),
                    kind=kind,
                    key=key,
                    payload=payload,
                    state="waiting",
                    tries=0,
                    trouble="",
                    due_at=due_at or self.now(),
                    made_at=self.now(),
                )
            )

    def spend(self, use_up: Callable[[], None]) -> None:
        """What stays used up when the verb that needed it is refused: a code is good once, whatever came of it.

        Else one code would ask the same question of any number of ids. use_up runs then, in a transaction of its own.
        """
        self._spent.append(use_up)

    # How the edge uses it ---------------------------------------------------------------------------------------

    def __enter__(self) -> Work:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None or isinstance(error, WrongAnswer):
                self._commit()
            else:
                self._close()
                self._opened.clear()  # Their entries are gone with the rest.
        finally:
            self._close()
        if isinstance(error, SorgError) and not isinstance(error, WrongAnswer) and self._spent:
            self._keep_spent()
        if isinstance(error, Denied | Missing) and self._refused:
            self._note_refusal(error)
        if isinstance(error, StaleDataError):
            raise Stale("Somebody else changed this a moment ago. Look at it again, then repeat.") from error

    def _commit(self) -> None:
        if self._session is None or not self._writing:
            return
        try:
            with pen("commit"):
                self._session.commit()
        except StaleDataError as error:
            raise Stale("Somebody else changed this a moment ago. Look at it again, then repeat.") from error
        except DBAPIError as error:
            raise unfit(error) from error
        self._openings.note(self._opened, now=self.now())

    def _close(self) -> None:
        if self._session is not None:
            with pen("close"):
                self._session.close()
            self._session, self._writing, self._fences = None, False, None

    def _keep_spent(self) -> None:
        with self._holding(None, writing=True):
            for use_up in self._spent:
                use_up()
        self._commit()
        self._close()

    def _require(self, permission: Permission, subject: Subject) -> None:
        if self._depth == 0:
            self._refused = (permission, subject)
        if not self.actor.may(permission):
            raise Denied(KEY_FIRST if self.actor.lacks_key_for(permission) else NOT_YOURS)
        if self.actor.reach is not None and permission in BY_ACCOUNT:
            raise Denied(ONLY_ACCOUNTS)
        if self.actor.bounds.reduced and permission in NOT_WHILE_AWAY:
            raise Denied(AWAY)

    def _admit(self, subject: Subject) -> None:
        """Before the verb begins: may this actor see the patient or study that it is about?"""
        view = self._view()
        if subject.kind not in ("patient", "study") or view.is_whole:
            return
        try:
            facts = reach.facts_of(self.db, subject.kind, UUID(subject.id), person=self._staff)
        except ValueError:
            facts = None
        if facts is None:
            raise self._missing(subject.kind)
        bounds = replace(self.actor.bounds, sites=view.sites)
        decision = decide(view.scope, bounds, view.fences, facts, reach=self.actor.reach)
        if not decision.allowed:
            self._because = decision.why
            raise self._missing(subject.kind)

    @property
    def _staff(self) -> UUID | None:
        """The id of a member of staff; None for outsiders, for the worker and before anybody has signed in."""
        return None if self.actor.roles & _NO_STAFF else self._account

    @property
    def _account(self) -> UUID | None:
        try:
            return UUID(self.actor.id)
        except ValueError:
            return None

    def _view(self) -> reach.View:
        """What the innermost door shows of the database, now."""
        permission = self._doors[-1]
        if permission is None:
            return _NOTHING
        bounds, by_link = self.actor.bounds, self.actor.reach is not None
        scope = scope_of(self.actor.roles, permission, bounds, by_link=by_link)
        if self.actor.roles & OUTSIDERS:
            return reach.View(
                scope,
                person=self._account,
                patient_id=bounds.patient_id,
                referrer_id=bounds.referrer_id,
                reach=self.actor.reach,
                session=self.actor.session if permission in BY_ACCOUNT else None,
            )
        fences = OPEN_COUNTRY if permission in UNNAMED else self.fences()
        sites = (bounds.sites or frozenset({self.house.origin})) if scope is Scope.SITE else frozenset()
        return reach.View(scope, sites, self._staff if scope is Scope.ASSIGNED else None, fences=fences)

    def fences(self) -> Fences:
        """Blocks, grants and broken glass, read once a transaction and held against the clock at each question."""
        if self._staff is None:
            return OPEN_COUNTRY
        if self._fences is None:
            self._fences = reach.fences_of(self.db, self._staff, now=self.now())
        own = self.actor.bounds.patient_id
        return fences_at(self._fences, self.now(), own=own) if self._fences or own else OPEN_COUNTRY

    @contextmanager
    def _holding(self, permission: Permission | None, *, writing: bool) -> Iterator[None]:
        self._open(writing=writing)
        self._depth += 1
        self._doors.append(permission)
        try:
            with pen(self.actor.id):
                yield
                if self._writing and self._session is not None:
                    self._session.flush()
        except StaleDataError as error:
            raise Stale("Somebody else changed this a moment ago. Look at it again, then repeat.") from error
        except DBAPIError as error:
            raise unfit(error) from error
        finally:
            self._doors.pop()
            self._depth -= 1
            if self._depth == 0 and not self._writing:
                # A question leaves no transaction open, so that an outside call never waits inside one.
                self._close()

    def _open(self, *, writing: bool) -> None:
        if self._session is not None and writing and not self._writing:
            raise RuntimeError("A change was begun inside a question; begin the verb with act.")
        if self._session is None:
            engine = self.house.engine.execution_options(write=True) if writing else self.house.engine
            self._session = Session(engine, expire_on_commit=False, autoflush=writing)
            self._session.info["work"] = self
            self._writing = writing

    def _note(
        self, permission: Permission, subject: Subject, facts: dict[str, Any], outcome: str = "done"
    ) -> None:
        db = self.db
        db.flush()
        now = self.now()
        patient = facts.pop("patient", None) or self._patient_of(subject)
        event = {
            "at": now.isoformat(),
            "actor": self.actor.id,
            "name": self.actor.name,
            "roles": sorted(self.actor.roles),
            "from": [self.actor.channel, self.actor.address],
            "session": str(self.actor.session or ""),
            "act": str(permission),
            "outcome": outcome,
            "subject": [subject.kind, subject.id],
            "patient": str(patient or ""),
            "facts": {k: str(v) if isinstance(v, UUID) else v for k, v in facts.items()},
        }
        audit.append(db, self.keys["audit"], event, at=now)

    def _patient_of(self, subject: Subject) -> UUID | str | None:
        if subject.kind == "patient":
            return subject.id
        if subject.kind == "study" and subject.id:
            # A refused try is on the patient's record too, so the row is found whoever tried.
            whose = select(Study.patient_id).where(Study.id == UUID(subject.id))
            return self.db.scalars(whose.execution_options(the_gates_own=True)).first()
        return None

    def _note_refusal(self, error: SorgError) -> None:
        permission, subject = self._refused or (Permission.SIGN_IN, Subject("practice"))
        because = self._because or (
            error.sentence if isinstance(error, Denied) and error.sentence != NOT_YOURS else ""
        )
        facts = {"why": type(error).__name__} | ({"because": because} if because else {})
        with self._holding(None, writing=True):
            self._note(permission, subject, facts, outcome="refused")
        self._commit()
        self._close()


_NO_STAFF = OUTSIDERS | {Role.SYSTEM, Role.NOBODY}
_NOTHING = reach.View(Scope.NONE)


@event.listens_for(Session, "do_orm_execute")
def _narrow(state: ORMExecuteState) -> None:
    """Every select, update and delete through the ORM sees only this actor's rows."""
    work = state.session.info.get("work")
    if work is None or state.is_column_load or state.is_relationship_load:
        return
    if state.execution_options.get("the_gates_own"):
        return  # Sums, links in a chain and "is it there?": what is nobody's row, each with its reason beside it.
    if options := reach.criteria(work._view()):
        state.statement = state.statement.options(*options)


@event.listens_for(Session, "before_flush")
def _stamp(session: Session, context: Any, instances: Any) -> None:
    """New rows carry their origin; a question writes nothing; a link holder adds nothing but the entry of its visit."""
    work = session.info.get("work")
    if work is None:
        return
    if not work._writing and (session.new or session.dirty or session.deleted):
        raise RuntimeError("A question tried to write.")
    if work.actor.roles & OUTSIDERS:
        _guard_against_outsiders(work, session)
    if any(isinstance(row, _FENCE_ROWS) for row in (*session.new, *session.dirty)):
        work._fences = None  # What is opened or shut here counts from the next door on.
    for row in session.new:
        if hasattr(row, "origin") and row.origin is None:
            row.origin = work.house.origin
    for row in (*session.new, *session.dirty):
        _make_fit(row, by_hand=Role.SYSTEM not in work.actor.roles)


_FENCE_ROWS = (PatientBlock, PatientGrant, GlassBreak)


def _guard_against_outsiders(work: Work, session: Session) -> None:
    """A link or an account adds the entry of its visit. A link changes itself; an account, where it looks after itself, its own."""
    view = work._view() if work._doors else _NOTHING
    added = [row for row in session.new if not isinstance(row, AuditEntry)]
    if session.deleted or not all(reach.is_tended(row, view, changed=None) for row in added):
        raise RuntimeError("A link tried to add a row, or an account did.")
    for row in session.dirty:
        if not session.is_modified(row) or (isinstance(row, Share) and work.actor.reach is not None):
            continue
        if not reach.is_tended(row, view, changed=_changed(row)):
            raise RuntimeError("A link tried to change a row, or an account did.")


def _changed(row: Base) -> frozenset[str]:
    return frozenset(a.key for a in inspect(row).attrs if a.history.has_changes())


_NO_TEXT = re.compile("[\\0\ud800-\udfff]")


def _make_fit(row: Base, *, by_hand: bool) -> None:
    """SQLite keeps any text and PostgreSQL refuses some with words of its own; here both say the same sentence.

    What a machine sent is kept without the signs that no database takes: nobody is there to type it again.
    """
    for name, longest in _texts(type(row)):
        if not isinstance(value := getattr(row, name), str):
            continue
        if longest and len(value) > longest:
            raise Refused(f"The {name.replace('_', ' ')} is longer than {longest} characters.")
        if _NO_TEXT.search(value):
            if by_hand:
                raise Refused(
                    f"The {name.replace('_', ' ')} holds a character that cannot be kept: type it again."
                )
            setattr(row, name, _NO_TEXT.sub("", value))


@cache
def _texts(model: type[Base]) -> tuple[tuple[str, int | None], ...]:
    columns = ((c.key, c.columns[0].type) for c in inspect(model).column_attrs)
    return tuple((key, kind.length) for key, kind in columns if isinstance(kind, String))


def unfit(error: DBAPIError) -> SorgError:
    """The database's refusal in a sentence: busy, full or broken. A broken rule of our own stays a surprise."""
    said = str(error.orig).lower()
    if "locked" in said or "busy" in said or "deadlock" in said:
        return Stale("The practice is busy for a moment. Try again.")
    if "full" in said or "no space" in said or "i/o" in said:
        return Unfit(
            "The disk is full or failing: nothing was changed. Tell whoever looks after this machine."
        )
    if "connection" in said or "closed" in said:
        return Unfit("The database does not answer. Nothing was changed.")
    raise error
