"""The audit chain: one entry an act, each MAC over its number, the MAC before it and everything in its row.

HMAC-SHA256 with a key that is not in the database. A chain finds an edit, a gap, a swap and an addition; a cut-off
tail shows only against a checkpoint: how long the chain was and how it ended, signed, and kept off the machine.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import insert, select, text
from sqlalchemy.orm import Session

from core.errors import Refused
from core.store.model.record import AuditEntry

FIRST = b"\0" * 32
_LOCK = 0x534F5247  # "SORG": PostgreSQL's advisory lock around the tail of the chain
_BETWEEN = "\x1f"  # between the columns under a MAC: JSON escapes it, and no other column holds what is not printable
_COLUMNS = ("actor_id", "act", "outcome", "subject_kind", "subject_id", "patient_id", "body")
_BATCH = 5_000
# The tail of the chain is nobody's row and everybody's entries follow it, so these go past the ORM's row filter.
_LAST = select(AuditEntry.seq, AuditEntry.mac).order_by(AuditEntry.seq.desc()).limit(1)
_ADD = insert(AuditEntry)


@dataclass(frozen=True)
class Verdict:
    """entries: how many were read; broken_at: number of the first bad link, or None; tail: last MAC in hex."""

    entries: int
    broken_at: int | None
    why: str
    tail: str


@dataclass(frozen=True)
class Checkpoint:
    """How long the chain was at a moment, and how it ended; `signature` is Ed25519 over the other three, in hex."""

    entries: int
    tail: str
    at: str
    signature: str

    @property
    def signed(self) -> bytes:
        """The bytes under the signature."""
        return f"sorg-audit-checkpoint-1\n{self.entries}\n{self.tail}\n{self.at}\n".encode()


def append(db: Session, key: bytes, event: dict[str, Any], *, at: datetime) -> int:
    """Add an entry inside the caller's write transaction; the writer's lock keeps the tail still until it commits."""
    connection = db.connection()
    if connection.dialect.name == "postgresql":
        connection.execute(text("select pg_advisory_xact_lock(:n)"), {"n": _LOCK})
    seq, prev = _tail(db)
    columns = _columns(event)
    under_mac = _BETWEEN.join((f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}", *columns.values()))
    mac = hmac.digest(key, _link(seq + 1, prev, under_mac), "sha256")
    connection.execute(_ADD, {"seq": seq + 1, "at": at, "mac": mac} | columns)
    return seq + 1


def verify(db: Session, key: bytes, *, checkpoint: Checkpoint | None = None) -> Verdict:
    """Walk the chain from its first link; name the first entry that was changed, moved, added, taken out or cut off.

    Without a checkpoint a cut-off tail cannot be seen. Check the checkpoint's own signature with `require_ours` first.
    """
    read, prev = 0, FIRST
    keyed = hmac.new(key, digestmod="sha256")
    for seq, under_mac, mac in _rows(db):
        if seq != read + 1:
            return Verdict(read, read + 1, f"entry {read + 1} is missing", prev.hex())
        link = keyed.copy()
        link.update(_link(seq, prev, under_mac))
        if link.digest() != mac:
            return Verdict(read, seq, f"entry {seq} was changed, or does not belong there", prev.hex())
        read, prev = seq, mac
        if checkpoint and seq == checkpoint.entries and mac.hex() != checkpoint.tail:
            return Verdict(read, seq, f"entry {seq} is not the one of the checkpoint", prev.hex())
    if checkpoint and read < checkpoint.entries:
        why = f"the chain ends at entry {read}; at the checkpoint of {checkpoint.at} it had {checkpoint.entries}"
        return Verdict(read, read + 1, why, prev.hex())
    return Verdict(read, None, "", prev.hex())


# Checkpoints ----------------------------------------------------------------------------------------------------


def checkpoint(db: Session, signing_key: bytes, *, at: datetime) -> Checkpoint:
    """The chain's length and end, signed; to be kept where whoever owns this machine cannot change it."""
    entries, tail = _tail(db)
    bare = Checkpoint(entries, tail.hex(), at.astimezone(UTC).isoformat(timespec="seconds"), "")
    signature = Ed25519PrivateKey.from_private_bytes(signing_key).sign(bare.signed).hex()
    return Checkpoint(bare.entries, bare.tail, bare.at, signature)


def write_checkpoint(checkpoint: Checkpoint) -> str:
    """One line of JSON."""
    return json.dumps(vars(checkpoint))


def read_checkpoint(line: str, signing_key: bytes) -> Checkpoint:
    """The checkpoint of a line. Raises Refused when it is not one that this practice signed."""
    try:
        found = Checkpoint(**json.loads(line))
        public = Ed25519PrivateKey.from_private_bytes(signing_key).public_key()
        public.verify(bytes.fromhex(found.signature), found.signed)
    except (ValueError, TypeError, InvalidSignature):
        raise Refused("This is not a checkpoint that this practice signed.") from None
    return found


# Inside ---------------------------------------------------------------------------------------------------------


def _columns(event: dict[str, Any]) -> dict[str, str]:
    """The columns that are searched by, then the rest of the event in one spelling."""
    searched = ("actor", "act", "outcome", "subject", "patient")
    rest = {name: value for name, value in event.items() if name not in searched}
    body = json.dumps(rest, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    values = (event["actor"], event["act"], event["outcome"], *event["subject"], event["patient"])
    return dict(zip(_COLUMNS, (*map(_plain, values), body), strict=True))


def _plain(value: str) -> str:
    return value if value.isprintable() else "".join(c if c.isprintable() else "?" for c in value)


def _link(seq: int, prev: bytes, under_mac: str) -> bytes:
    return seq.to_bytes(8, "big") + prev + under_mac.encode()


def _tail(db: Session) -> tuple[int, bytes]:
    last = db.connection().execute(_LAST).first()
    return (last.seq, last.mac) if last else (0, FIRST)


def _rows(db: Session) -> Iterator[tuple[int, str, bytes]]:
    """(seq, what is under the MAC, mac) in order, straight from the driver: a chain has millions of links."""
    driver = db.connection().connection
    if db.get_bind().dialect.name == "sqlite":
        at, cursor = "at", driver.cursor()
    else:
        # A named cursor stays at the server, which would otherwise send the whole chain at once.
        at, cursor = "to_char(at at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS.US')", driver.cursor("chain")
    joined = ", ".join((at, *_COLUMNS))
    cursor.execute(f"select seq, concat_ws('{_BETWEEN}', {joined}), mac from audit_entry order by seq")
    # Reading and decrypting the next rows goes on in another thread while these are checked.
    with ThreadPoolExecutor(max_workers=1) as ahead:
        coming = ahead.submit(cursor.fetchmany, _BATCH)
        while rows := coming.result():
            coming = ahead.submit(cursor.fetchmany, _BATCH)
            yield from rows
