"""Tables at rest as sealed Parquet parts: each holds whole days, its name says which, and a key of its own opens it.

A part is never changed, so it needs no cursor beside it: the newest name is the cursor, and a killed export has
either left a whole part or nothing. Parquet modular encryption (AES-GCM) by pyarrow; DuckDB 2.0 cannot write it.
"""

from __future__ import annotations

import fcntl
import hmac
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from itertools import groupby
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pyarrow.parquet.encryption as pe

from core.errors import Unfit

ROWS_A_PART = 200_000
ROWS_A_GROUP = (
    20_000  # DuckDB 2.0 misreads an encrypted chunk of more than one page, and somebody may use it.
)


@dataclass(frozen=True, order=True)
class Part:
    """A sealed file. Its name says which South African days it holds, and is thereby the export's cursor."""

    from_on: date
    to_on: date
    path: Path

    def holds(self, other: Part) -> bool:
        """True when the other's days are all in here: it was left over when a merge was killed."""
        return self != other and self.from_on <= other.from_on and other.to_on <= self.to_on


def parts_of(folder: Path, name: str) -> list[Part]:
    """The parts that count, oldest first."""
    found = []
    for path in folder.glob(f"{name}-*.parquet"):
        _, first, last = path.stem.split("-")
        found.append(Part(date.fromisoformat(first), date.fromisoformat(last), path))
    return sorted(p for p in found if not any(other.holds(p) for other in found))


def write(folder: Path, name: str, first: date, last: date, table: pa.Table, key: bytes) -> None:
    """Seal a table; the file has its name only once it is whole and on the disk."""
    path = folder / f"{name}-{first:%Y%m%d}-{last:%Y%m%d}.parquet"
    unfinished = path.with_suffix(".part")
    sealing = pe.create_encryption_properties(footer_key=_key_of(path, key))
    try:
        with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            pq.write_table(
                table, file, compression="zstd", row_group_size=ROWS_A_GROUP, encryption_properties=sealing
            )
            file.flush()
            os.fsync(file.fileno())
        os.replace(unfinished, path)
    except OSError as error:
        unfinished.unlink(missing_ok=True)
        raise Unfit(f"The disk refused to store figures ({error.strerror}). Nothing was changed.") from error


def open_part(path: Path, key: bytes, columns: list[str] | None = None) -> pa.Table:
    """Decrypt one part. Raises Unfit when the key is not its key, or the file was changed or renamed."""
    with _opened(path):
        return pq.ParquetFile(path, decryption_properties=_opening(path, key)).read(columns=columns)


def merge(folder: Path, name: str, key: bytes, *, before: date) -> None:
    """Make one part of a finished month's small ones, so that ten years are a hundred files and not thousands."""
    parts = parts_of(folder, name)
    for path in set(folder.glob(f"{name}-*.parquet")) - {p.path for p in parts}:
        path.unlink()  # Its days are in a merged part; the last merge was killed before it tidied up.
    finished = [p for p in parts if p.to_on < before]
    for _, month in groupby(finished, key=lambda p: (p.from_on.year, p.from_on.month)):
        run: list[Part] = []
        rows = 0
        for part in [*month, None]:
            more = _rows_in(part.path, key) if part else 0
            if part is None or rows + more > ROWS_A_PART:
                _make_one(folder, name, key, run)
                run, rows = [], 0
            if part:
                run, rows = [*run, part], rows + more


def _make_one(folder: Path, name: str, key: bytes, parts: list[Part]) -> None:
    if len(parts) < 2:
        return
    whole = pa.concat_tables([open_part(p.path, key) for p in parts])
    write(folder, name, parts[0].from_on, parts[-1].to_on, whole, key)
    for part in parts:
        part.path.unlink()


def _rows_in(path: Path, key: bytes) -> int:
    with _opened(path):
        return pq.read_metadata(path, decryption_properties=_opening(path, key)).num_rows


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """One process exports at a time; the next one finds its parts and writes only what is new."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with open(os.open(folder / "lock", os.O_WRONLY | os.O_CREAT, 0o600), "wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def _opened(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, pa.ArrowInvalid) as error:
        raise Unfit(
            f"{path.name} cannot be opened: the key is not the one that sealed it, or the file was "
            "changed. Delete the analytics folder to have it made anew."
        ) from error


def _opening(path: Path, key: bytes) -> Any:
    return pe.create_decryption_properties(footer_key=_key_of(path, key))


def _key_of(path: Path, key: bytes) -> bytes:
    """A key for each file, so that none seals much and a renamed part does not open."""
    return hmac.digest(key, b"part|" + path.stem.encode(), "sha256")
