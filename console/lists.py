"""The two short lists that a practice edits itself, read from data/ once: examinations and schemes."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from core.rules.catalogue import Examination, SchemeRow, parse_examinations, parse_schemes

_DATA = Path(__file__).resolve().parents[1] / "data"


@cache
def examinations() -> dict[str, Examination]:
    """What can be booked, by key, in the list's order."""
    return {e.key: e for e in parse_examinations((_DATA / "examinations.csv").read_bytes()).rows}


@cache
def schemes() -> dict[str, SchemeRow]:
    """The medical schemes, by key."""
    return {s.key: s for s in parse_schemes((_DATA / "schemes.csv").read_bytes()).rows}


def scheme_name(key: str) -> str:
    """A scheme as people say it; a private patient has none."""
    if not key:
        return "Private (no scheme)"
    row = schemes().get(key)
    return f"{row.name} (demo)" if row and row.demo else row.name if row else key
