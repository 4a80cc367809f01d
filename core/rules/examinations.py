"""What can be booked: data/examinations.csv, read once. A practice edits that file to match its rooms."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from pathlib import Path

FILE = Path(__file__).resolve().parents[2] / "data" / "examinations.csv"


@dataclass(frozen=True)
class Examination:
    """key: what an order keeps; modality: DICOM code; laterality: L, R or empty; tariff_code: the usual one, or empty."""

    key: str
    name: str
    modality: str
    body_part: str
    laterality: str
    tariff_code: str
    minutes: int


@cache
def examinations() -> dict[str, Examination]:
    """By key, in the file's order."""
    with FILE.open(encoding="utf-8", newline="") as file:
        return {
            row["key"]: Examination(**{**row, "minutes": int(row["minutes"])}) for row in csv.DictReader(file)
        }  # type: ignore[arg-type]
