"""The audit chain: one entry an act, each MAC over its number, the MAC before it and its body.

HMAC-SHA256 with a key that is not in the database. A chain finds an edit, a gap and a swap; a cut-off tail shows
only against a checkpoint taken off the machine.
"""

from __future__ import annotations

import hmac
import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from core.store.model.record import AuditEntry

FIRST = b"\0" * 32
_LOCK = 0x534F5247  # "SORG": PostgreSQL's advisory lock around the tail of the chain


@dataclass(frozen=True)
class Verdict:
    """entries: how many were read; broken_at: number of the first bad link, or None; tail: last MAC in hex."""

    entries: int
    broken_at: int | None
    why: str
    tail: str


def canonical(event: dict[str, Any]) -> str:
    """One spelling for one event."""
    return json.dumps(event, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def mac_of(key: bytes, seq: int, prev: bytes, body: str) -> bytes:
    """HMAC-SHA256 over number, previous MAC and body."""
    return hmac.digest(key, seq.to_bytes(8, "big") + prev + body.encode(), "sha256")


def append(db: Session, key: bytes, event: dict[str, Any], *, at: datetime) -> int:
    """Add an entry inside the caller's write transaction; the writer's lock keeps the tail still until it commits."""
    if db.get_bind().dialect.name == "postgresql":
        db.execute(text("select pg_advisory_xact_lock(:n)"), {"n": _LOCK})
    tail = select(AuditEntry.seq, AuditEntry.mac).order_by(AuditEntry.seq.desc()).limit(1)
    last = db.execute(tail.execution_options(the_gates_own=True)).first()
    seq, prev = (last.seq + 1, last.mac) if last else (1, FIRST)
    body = canonical(event)
    db.add(
        AuditEntry(seq=seq, at=at, body=body, prev=prev, mac=mac_of(key, seq, prev, body), **copies(event))
    )
    db.flush()
    return seq


def copies(event: dict[str, Any]) -> dict[str, str]:
    """The columns that repeat part of the body, to search by."""
    return {
        "actor_id": event["actor"],
        "act": event["act"],
        "outcome": event["outcome"],
        "subject_kind": event["subject"][0],
        "subject_id": event["subject"][1],
        "patient_id": event.get("patient", ""),
    }


def verify(db: Session, key: bytes, *, batch: int = 20_000) -> Verdict:
    """Walk the chain from its first link; name the first entry that was changed, moved, added or taken out."""
    expected, prev = 1, FIRST
    columns = (
        AuditEntry.seq, AuditEntry.at, AuditEntry.body, AuditEntry.prev, AuditEntry.mac, AuditEntry.actor_id,
        AuditEntry.act, AuditEntry.outcome, AuditEntry.subject_kind, AuditEntry.subject_id, AuditEntry.patient_id,
    )  # fmt: skip
    rows = db.execute(select(*columns).order_by(AuditEntry.seq).execution_options(yield_per=batch))
    for seq, at, body, link, mac, *copied in rows:
        why = _fault(key, expected, prev, seq=seq, at=at, body=body, link=link, mac=mac, copied=copied)
        if why:
            return Verdict(expected - 1, expected, why, prev.hex())
        expected, prev = expected + 1, mac
    return Verdict(expected - 1, None, "", prev.hex())


def _fault(key: bytes, expected: int, prev: bytes, *, seq: int, at: datetime, body: str, link: bytes, mac: bytes,
           copied: list[str]) -> str:  # fmt: skip
    if seq != expected:
        return f"entry {expected} is missing"
    if link != prev:
        return f"entry {seq} does not follow the entry before it"
    if not hmac.compare_digest(mac, mac_of(key, seq, prev, body)):
        return f"entry {seq} was changed"
    event = json.loads(body)
    if list(copies(event).values()) != copied or event["at"] != at.isoformat():
        return f"the searchable copy of entry {seq} was changed"
    return ""
