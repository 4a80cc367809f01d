"""The two short lists that a practice edits itself: its examinations and the schemes it bills."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

MODALITIES = frozenset({"CR", "DX", "CT", "MR", "US", "MG", "RF", "XA", "NM", "BMD"})

Row = TypeVar("Row")


@dataclass(frozen=True)
class Examination:
    """Something that can be booked. tariff_code: what it is billed as by default, "" for none.

    body_part, laterality: DICOM's words (PS3.16 annex L; L, R or ""). minutes: the slot it is booked into.
    """

    key: str
    name: str
    modality: str
    body_part: str
    laterality: str
    tariff_code: str
    minutes: int


@dataclass(frozen=True)
class SchemeRow:
    """A medical scheme. cms_no: registration number; routing_no: the switch's number, from the switch's table."""

    key: str
    name: str
    cms_no: str
    routing_no: str
    source: str
    demo: bool


@dataclass(frozen=True)
class Listed(Generic[Row]):
    """The good rows, and for every refused one its line (heading included) and the reason."""

    rows: tuple[Row, ...]
    refused: tuple[tuple[int, str], ...]


def parse_examinations(content: bytes) -> Listed[Examination]:
    """Read data/examinations.csv or a practice's own. ValueError when the file is no such list."""
    columns = ("key", "name", "modality", "body_part", "laterality", "tariff_code", "minutes")
    return _parse(content, columns, _examination)


def parse_schemes(content: bytes) -> Listed[SchemeRow]:
    """Read data/schemes.csv or a practice's own. ValueError when the file is no such list."""
    return _parse(content, ("key", "name", "cms_no", "routing_no", "source", "demo"), _scheme)


def _parse(content: bytes, columns: tuple[str, ...], build: Callable[[dict[str, str]], Row]) -> Listed[Row]:
    try:
        reader = csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline=""))
    except UnicodeDecodeError:
        raise ValueError("The list is not a UTF-8 CSV file: save it as 'CSV UTF-8'.") from None
    missing = [column for column in columns if column not in (reader.fieldnames or ())]
    if missing:
        raise ValueError("The list's first line lacks the columns: " + ", ".join(missing) + ".")
    rows: dict[str, Row] = {}
    refused = []
    for cells in reader:
        cell = {column: (cells.get(column) or "").strip() for column in columns}
        try:
            for wrong, why in _faults(cell, rows):
                if wrong:
                    raise ValueError(why)
            rows[cell["key"]] = build(cell)
        except ValueError as error:
            refused.append((reader.line_num, str(error)))
    return Listed(tuple(rows.values()), tuple(refused))


def _faults(cell: dict[str, str], rows: dict[str, Row]) -> Iterable[tuple[bool, str]]:
    yield not re.fullmatch(r"[a-z0-9\-]+", cell["key"]), f"Key '{cell['key']}' may hold a-z, 0-9 and - only."
    yield cell["key"] in rows, f"Key '{cell['key']}' stands in the list twice."
    yield not cell["name"], "The name is missing."


def _examination(cell: dict[str, str]) -> Examination:
    if cell["modality"] not in MODALITIES:
        raise ValueError(f"'{cell['modality']}' is not a modality: " + ", ".join(sorted(MODALITIES)) + ".")
    if cell["laterality"] not in ("", "L", "R"):
        raise ValueError(f"Laterality '{cell['laterality']}' is neither L, R nor blank.")
    if not cell["minutes"].isdecimal() or not 1 <= int(cell["minutes"]) <= 480:
        raise ValueError(f"'{cell['minutes']}' is not a number of minutes between 1 and 480.")
    return Examination(
        cell["key"],
        cell["name"],
        cell["modality"],
        cell["body_part"],
        cell["laterality"],
        cell["tariff_code"],
        int(cell["minutes"]),
    )


def _scheme(cell: dict[str, str]) -> SchemeRow:
    for column in ("cms_no", "routing_no"):
        if cell[column] and not cell[column].isdecimal():
            raise ValueError(f"{column} '{cell[column]}' is not a number.")
    return SchemeRow(
        cell["key"], cell["name"], cell["cms_no"], cell["routing_no"], cell["source"], cell["demo"] == "1"
    )
