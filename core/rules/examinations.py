"""The lists that ship in data/ and that a practice edits to match its rooms and payers, read once."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from core.rules.catalogue import Examination, SchemeRow, parse_examinations, parse_schemes

DATA = Path(__file__).resolve().parents[2] / "data"


@cache
def examinations() -> dict[str, Examination]:
    """What can be booked, by key, in the file's order (data/examinations.csv)."""
    return {row.key: row for row in parse_examinations((DATA / "examinations.csv").read_bytes()).rows}


@cache
def schemes() -> dict[str, SchemeRow]:
    """Whom claims can go to, by key, in the file's order (data/schemes.csv)."""
    return {row.key: row for row in parse_schemes((DATA / "schemes.csv").read_bytes()).rows}
