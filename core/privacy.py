"""What is on record: who looked at a patient, who did what, and whether the chain is whole (POPIA s19, s23)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Select, select

from core import factors
from core.access import BLOCKS
from core.change_kinds import KINDS
from core.rules.acts import is_id, say_act, say_facts, say_subject
from core.rules.roles import Permission, Role
from core.rules.sheets import write_csv
from core.rules.za_time import day_bounds, say_time
from core.store import audit
from core.store.audit import Verdict
from core.store.model import AuditEntry, Patient, Person, Study
from core.store.work import Subject, Work

# What a fresh proof for taking the trail out is bound to.
TAKE_OUT, MOST_TAKEN = "export:audit", 10_000
# A patient reads the first ones; the machine's own words, for filters and auditors, stand behind them.
_TAKEN = ("Number", "When", "Who", "Roles", "What was done", "Outcome", "About", "Details", "From", "At (UTC)", "Act",
          "Kind", "Id", "Facts as recorded")  # fmt: skip
# SQLite takes about 32 000 values in one question, and a whole file of entries may name more rows than that.
_NAMED_AT_ONCE = 10_000


@dataclass(frozen=True)
class EntryCard:
    """One audit entry."""

    seq: int
    at: datetime
    who: str
    roles: tuple[str, ...]
    channel: str
    address: str
    act: str
    outcome: str
    subject_kind: str
    subject_id: str
    patient_id: str
    facts: dict[str, object]
    names: dict[str, str]  # what people call the rows behind the ids in here: accession, file number, name

    @property
    def done(self) -> str:
        """What was done, in words."""
        return say_act(self.act, kind=self.subject_kind, facts=self.facts)

    @property
    def details(self) -> str:
        """The facts in words, without those that the other columns say."""
        known = frozenset({self.subject_id, self._of} - {""})
        return say_facts(self.act, kind=self.subject_kind, facts=self.facts, names=self.names, known=known)

    @property
    def about(self) -> str:
        """What it was about: by its own name, or else by whose it is. What began with a number names the file found."""
        kind = "patient" if self.subject_kind == "practice" and self.patient_id else self.subject_kind
        return say_subject(kind, self._of)

    @property
    def by(self) -> str:
        """Who did it; before anybody has signed in nobody can say."""
        return "Not signed in yet" if self.roles == (Role.NOBODY,) else self.who

    @property
    def _of(self) -> str:
        if not is_id(self.subject_id) and self.subject_id:
            return self.subject_id
        named = (self.subject_id, str(self.facts.get("person", "")), self.patient_id)
        if self.subject_kind in ("patient", "practice"):
            named = (self.subject_id, self.patient_id)
        tail = f"…{self.subject_id[-8:]}" if self.subject_id else ""
        return next((self.names[i] for i in named if i in self.names), tail)


@dataclass(frozen=True)
class Questions:
    """What the audit list is narrowed to."""

    act: str = ""
    who: str = ""  # actor id
    outcome: str = ""
    from_on: date | None = None
    to_on: date | None = None


def who_looked(
    work: Work,
    patient_id: UUID,
    *,
    by: UUID | None = None,
    from_at: datetime | None = None,
    to_at: datetime | None = None,
    before: int | None = None,
    size: int = 100,
) -> tuple[EntryCard, ...]:
    """Every act about one patient, newest first, or only one person's in a while; `before`: the last number shown."""
    with work.reading(Permission.AUDIT_READ, Subject.patient(patient_id)):
        query = select(AuditEntry).where(AuditEntry.patient_id == str(patient_id))
        if by:
            query = query.where(AuditEntry.actor_id == str(by))
        if from_at:
            query = query.where(AuditEntry.at >= from_at)
        if to_at:
            query = query.where(AuditEntry.at <= to_at)
        return _cards(work, query, before, size)


def entries(
    work: Work, questions: Questions = Questions(), *, before: int | None = None, size: int = 100
) -> tuple[EntryCard, ...]:
    """The audit list, newest first, by cursor: it grows for years and is never counted."""
    with work.look(Permission.AUDIT_READ):
        return _cards(work, _asked(questions), before, size)


def _asked(questions: Questions) -> Select[AuditEntry]:
    query = select(AuditEntry)
    if questions.act:
        query = query.where(AuditEntry.act == questions.act)
    if questions.who:
        query = query.where(AuditEntry.actor_id == questions.who)
    if questions.outcome:
        query = query.where(AuditEntry.outcome == questions.outcome)
    if questions.from_on:
        query = query.where(AuditEntry.at >= day_bounds(questions.from_on)[0])
    if questions.to_on:
        query = query.where(AuditEntry.at < day_bounds(questions.to_on)[1])
    return query


def take_out(
    work: Work, questions: Questions = Questions(), *, patient_id: UUID | None = None, code: str = ""
) -> bytes:
    """The audit list as a CSV file, or all that is on record about one patient (POPIA s23 gives them that).

    Names leave, so it needs a fresh proof for TAKE_OUT. The newest MOST_TAKEN entries. Raises WrongAnswer without it.
    """
    with work.act(
        Permission.AUDIT_READ, Subject.patient(patient_id) if patient_id else Subject("list", "audit")
    ) as facts:
        facts["proof"] = factors.require(work, TAKE_OUT, code=code)
        query = _asked(questions)
        if patient_id:
            query = query.where(AuditEntry.patient_id == str(patient_id))
        cards = _cards(work, query, None, MOST_TAKEN)
        facts["rows"] = len(cards)
        return write_csv(_TAKEN, [_taken(card) for card in cards])


def _taken(card: EntryCard) -> tuple[str, ...]:
    return (
        str(card.seq),
        say_time(card.at),
        card.by,
        " ".join(card.roles),
        card.done,
        card.outcome,
        card.about,
        card.details,
        f"{card.channel} {card.address}".strip(),
        card.at.isoformat(timespec="seconds"),
        card.act,
        card.subject_kind,
        card.subject_id,
        json.dumps(card.facts, ensure_ascii=False),
    )


def verify_chain(work: Work, *, checkpoint: str = "") -> Verdict:
    """Walk the whole chain; name the first broken link. Only against a checkpoint can a cut-off tail be seen."""
    with work.look(Permission.SYSTEM_SEE):
        known = audit.read_checkpoint(checkpoint, work.keys["signing"]) if checkpoint else None
        return audit.verify(work.db, work.keys["audit"], checkpoint=known)


def checkpoint(work: Work) -> str:
    """One signed line that says how long the chain is and how it ends; keep it off this machine."""
    with work.look(Permission.SYSTEM_SEE):
        return audit.write_checkpoint(audit.checkpoint(work.db, work.keys["signing"], at=work.now()))


def _cards(work: Work, query, before: int | None, size: int) -> tuple[EntryCard, ...]:
    if before is not None:
        query = query.where(AuditEntry.seq < before)
    found = [
        (e, json.loads(e.body)) for e in work.db.scalars(query.order_by(AuditEntry.seq.desc()).limit(size))
    ]
    names = _names(work, {i for e, event in found for i in _ids(e, event)})
    return tuple(_card(e, event, {i: names[i] for i in _ids(e, event) if i in names}) for e, event in found)


def _ids(entry: AuditEntry, event: dict[str, Any]) -> set[str]:
    return {entry.subject_id, entry.patient_id, *_texts(event["facts"])}


def _texts(value: object) -> Iterator[str]:
    """Whatever may be an id, also in what was before and after; the thousands of rows of a sheet are not said."""
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        if isinstance(item, str):
            yield item
        elif isinstance(value, dict):
            yield from _texts(item)


def _names(work: Work, texts: set[str]) -> dict[str, str]:
    """Ids as people know them; one question a kind for a whole page of entries."""
    known: list[UUID] = []
    for text in texts:
        with suppress(ValueError):
            known.append(UUID(text))
    called = ((Study, Study.accession), (Patient, Patient.file_number), (Person, Person.name))
    parts = [known[at : at + _NAMED_AT_ONCE] for at in range(0, len(known), _NAMED_AT_ONCE)]
    return {
        str(row_id): str(name)
        for table, column in called
        for part in parts
        for row_id, name in work.db.execute(select(table.id, column).where(table.id.in_(part)))
    }


def _card(entry: AuditEntry, event: dict[str, Any], names: dict[str, str]) -> EntryCard:
    channel, address = event["from"]
    kind = str(event["facts"].get("kind", ""))
    if entry.subject_kind == "request" and kind in KINDS:
        # What a request is about, and why a record is closed, as their pages say it.
        names |= {kind: KINDS[kind].label.lower()} | {k: words.lower() for k, words in BLOCKS.items()}
    return EntryCard(
        entry.seq,
        entry.at,
        event["name"],
        tuple(event["roles"]),
        channel,
        address,
        entry.act,
        entry.outcome,
        entry.subject_kind,
        entry.subject_id,
        entry.patient_id,
        event["facts"],
        names,
    )
