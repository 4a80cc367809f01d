"""Price lists by scheme and day, and the pricing of lines with their modifiers.

Codes are the practice's: five digits for schemes, four for COIDA, never derived from one another. Amounts are loaded
as printed, VAT inclusive, and never computed from units.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from fractions import Fraction

from core.rules.icd10 import RefusedRow
from core.rules.money import half_up, parse_rands, rands
from core.rules.problems import Problem

COLUMNS = (
    "code",
    "description",
    "kind",
    "price",
    "factor",
    "valid_from",
    "valid_until",
    "scheme",
    "source",
    "demo",
)
KINDS = ("tariff", "modifier")
DEMO_SOURCE = "DEMO PRICE, not a tariff"

MODIFIER_FACTORS = {"00091": Fraction(0), "00092": Fraction(0), "00093": Fraction(-1, 3)}
"""The modifiers of practice type 038: inpatient and outpatient (information only), and hospital equipment.

Source: PHISC standardised claim form, modifier list for radiology. A price list may bring more of them.
"""


@dataclass(frozen=True)
class Tariff:
    """One price, or one modifier, of one scheme from one day on.

    cents: of one unit, VAT inclusive; None where the list names the code without a price. factor: what a modifier
    does to the value before it, -1/3 for one third off, 0 for information only. scheme: "" for every scheme
    without a price of its own. demo: the price is invented.
    """

    code: str
    description: str
    kind: str = "tariff"
    cents: int | None = None
    factor: Fraction | None = None
    valid_from: date = date.min
    valid_until: date | None = None
    scheme: str = ""
    source: str = ""
    demo: bool = False

    @property
    def key(self) -> tuple[str, str, date]:
        """What makes two rows the same price at different times of loading."""
        return self.scheme, self.code, self.valid_from

    def valid_on(self, day: date) -> bool:
        """True between the two days, both included."""
        return self.valid_from <= day <= (self.valid_until or day)


# --- loading a list --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Preview:
    """What loading a file would do; nothing has been done yet. changed: pairs of old and new."""

    new: tuple[Tariff, ...]
    changed: tuple[tuple[Tariff, Tariff], ...]
    unchanged: tuple[Tariff, ...]
    refused: tuple[RefusedRow, ...]

    @property
    def demo(self) -> bool:
        """True when any price of the file is invented."""
        return any(row.demo for row in (*self.new, *self.unchanged, *(after for _, after in self.changed)))


def preview(content: bytes, *, existing: Iterable[Tariff] = ()) -> Preview:
    """Read a price list (CSV with the columns of COLUMNS) and compare it with the prices already loaded.

    ValueError with one sentence when the file is no such list; a bad row never stops the good ones.
    """
    known = {row.key: row for row in existing}
    seen: dict[tuple[str, str, date], int] = {}
    new, changed, unchanged, refused = [], [], [], []
    for line, cells in _rows(content):
        try:
            row = _tariff(cells)
            if row.key in seen:
                raise ValueError(
                    f"Line {seen[row.key]} already has this code from the same day for the same scheme."
                )
        except ValueError as error:
            refused.append(RefusedRow(line, (cells.get("code") or "").strip(), str(error)))
            continue
        seen[row.key] = line
        before = known.get(row.key)
        if before is None:
            new.append(row)
        elif before == row:
            unchanged.append(row)
        else:
            changed.append((before, row))
    return Preview(tuple(new), tuple(changed), tuple(unchanged), tuple(refused))


def _rows(content: bytes) -> Iterable[tuple[int, dict[str, str]]]:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError("The price list is not a UTF-8 CSV file: save it as 'CSV UTF-8'.") from None
    first = text.partition("\n")[0]
    # Spreadsheets set to South African usage write semicolons, because the comma is the decimal sign.
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=";" if ";" in first else ",", strict=True)
    try:
        names = [name.strip().lower() for name in next(reader, [])]
        missing = [
            name for name in ("code", "description", "kind", "price", "valid_from") if name not in names
        ]
        if missing:
            raise ValueError("The price list's first line lacks the columns: " + ", ".join(missing) + ".")
        line = reader.line_num + 1
        for cells in reader:
            if any(cell.strip() for cell in cells):
                yield line, dict(zip(names, cells, strict=False))
            line = reader.line_num + 1
    except csv.Error as error:
        raise ValueError(f"The price list breaks off near line {reader.line_num}: {error}.") from None


def _tariff(cells: dict[str, str]) -> Tariff:
    cell = {name: (cells.get(name) or "").strip() for name in COLUMNS}
    if not re.fullmatch(r"[0-9A-Za-z]{4,10}", cell["code"]):
        raise ValueError(f"'{cell['code']}' is not a tariff code: 4 or 5 digits, leading zeros kept.")
    if not cell["description"]:
        raise ValueError("The description is missing.")
    if cell["kind"] not in KINDS:
        raise ValueError(f"Kind '{cell['kind']}' is neither tariff nor modifier.")
    modifier = cell["kind"] == "modifier"
    cents = parse_rands(cell["price"]) if cell["price"] else None
    if cents is not None and (cents < 0 or modifier):
        raise ValueError("A modifier has a factor, not a price." if modifier else "The price is negative.")
    if cell["factor"] and not modifier:
        raise ValueError("Only a modifier has a factor.")
    valid_from, valid_until = _day(cell["valid_from"]), _day(cell["valid_until"])
    if valid_from is None:
        raise ValueError("The day from which the price holds is missing.")
    if valid_until and valid_until < valid_from:
        raise ValueError("The price ends before it begins.")
    if cell["demo"] not in ("", "0", "1"):
        raise ValueError(f"Column demo holds '{cell['demo']}', neither 0 nor 1.")
    return Tariff(
        cell["code"],
        cell["description"],
        cell["kind"],
        cents,
        _factor(cell) if modifier else None,
        valid_from,
        valid_until,
        cell["scheme"],
        cell["source"],
        cell["demo"] == "1",
    )


def _factor(cell: dict[str, str]) -> Fraction:
    if not cell["factor"]:
        if cell["code"] not in MODIFIER_FACTORS:
            raise ValueError("The modifier's factor is missing: -1/3 for one third off, 0.5 for half more.")
        return MODIFIER_FACTORS[cell["code"]]
    try:
        factor = Fraction(cell["factor"].replace(",", "."))
    except (ValueError, ZeroDivisionError):
        raise ValueError(f"'{cell['factor']}' is not a factor such as -1/3 or 0.5.") from None
    if factor < -1:
        raise ValueError("A reduction takes away at most the whole value (-1).")
    return factor


def _day(text: str) -> date | None:
    if not text:
        return None
    try:
        if re.fullmatch(r"\d\d/\d\d/\d{4}", text):
            text = f"{text[6:]}-{text[3:5]}-{text[:2]}"
        return date.fromisoformat(text)
    except ValueError:
        raise ValueError(f"'{text}' is not a date (2026-01-31 or 31/01/2026).") from None


# --- which price holds -----------------------------------------------------------------------------------


def price_on(prices: Iterable[Tariff], code: str, *, scheme: str, service_on: date) -> Tariff | None:
    """The price in force for a code: the scheme's own before the general one, then the one that began last."""
    in_force = [p for p in prices if p.code == code and p.scheme in (scheme, "") and p.valid_on(service_on)]
    return max(in_force, key=lambda p: (p.scheme != "", p.valid_from), default=None)


# --- pricing ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Asked:
    """What was done: a code, how often, and which modifiers apply to it."""

    code: str
    quantity: Decimal = Decimal(1)
    modifiers: tuple[str, ...] = ()


@dataclass(frozen=True)
class PricedLine:
    """A line of a claim: a tariff, or one of its modifiers right behind it with an amount of its own.

    cents: None where no price is loaded. asked: which Asked it came from, counted from 0.
    """

    kind: str
    code: str
    description: str
    quantity: Decimal
    cents: int | None
    demo: bool
    asked: int
    source: str = ""


@dataclass(frozen=True)
class Priced:
    """All lines, and every problem met in pricing them."""

    lines: tuple[PricedLine, ...]
    problems: tuple[Problem, ...]

    @property
    def cents(self) -> int:
        """The sum of the lines that have a price."""
        return sum(line.cents or 0 for line in self.lines)


Find = Callable[[str], "Tariff | None"]


def price(asked: Sequence[Asked], *, find: Find, step_cents: int = 1) -> Priced:
    """Price what was done, line by line, each modifier on a line of its own behind its tariff.

    find: the price in force for a code (see price_on). step_cents: amounts are rounded half up to it, 1 for
    schemes, 10 for COIDA. Reductions come first, one on top of the other, then additions on the reduced value
    (PHISC claim form, order of modifiers).
    """
    lines: list[PricedLine] = []
    problems: list[Problem] = []
    for at, one in enumerate(asked):
        field = f"asked.{at}"
        row = find(one.code)
        problems += _tariff_problems(one, row, field)
        value = None
        if row is not None and row.kind == "tariff" and row.cents is not None and _countable(one.quantity):
            value = half_up(Fraction(row.cents) * Fraction(one.quantity), step_cents=step_cents)
        lines.append(
            PricedLine(
                "tariff",
                one.code,
                row.description if row else "",
                one.quantity,
                value,
                bool(row and row.demo),
                at,
                row.source if row else "",
            )
        )
        for modifier in _in_order(one.modifiers, find, problems, field):
            factor = _factor_of(modifier)
            cents = None if value is None else half_up(value * factor, step_cents=step_cents)
            value = None if value is None or cents is None else value + cents
            lines.append(
                PricedLine(
                    "modifier",
                    modifier.code,
                    modifier.description,
                    Decimal(1),
                    cents,
                    modifier.demo,
                    at,
                    modifier.source,
                )
            )
    return Priced(tuple(lines), tuple(problems))


def _factor_of(modifier: Tariff) -> Fraction:
    return modifier.factor if modifier.factor is not None else Fraction(0)


def rank(factor: Fraction) -> int:
    """Where a modifier stands behind its tariff: information, then reductions, then additions."""
    return 0 if factor == 0 else 1 if factor < 0 else 2


def _in_order(codes: Sequence[str], find: Find, problems: list[Problem], field: str) -> list[Tariff]:
    rows = []
    for at, code in enumerate(codes):
        row = find(code)
        if row is None and code in MODIFIER_FACTORS:
            row = Tariff(code, "", "modifier", factor=MODIFIER_FACTORS[code])
        if row is None or row.kind != "modifier":
            problems.append(
                Problem(
                    "MODIFIER_UNKNOWN",
                    f"Modifier {code} is not in the price list: load it or remove it.",
                    field,
                )
            )
        elif code in codes[:at]:
            problems.append(
                Problem(
                    "MODIFIER_TWICE",
                    f"Modifier {code} stands twice behind one examination: remove one.",
                    field,
                )
            )
        else:
            rows.append(row)
    return sorted(rows, key=lambda row: rank(_factor_of(row)))


def _tariff_problems(one: Asked, row: Tariff | None, field: str) -> Iterable[Problem]:
    if row is None:
        yield Problem(
            "PRICE_MISSING",
            f"No price is loaded for {one.code} on the day of service: load the scheme's price list.",
            field,
        )
    elif row.kind != "tariff":
        yield Problem(
            "TARIFF_KIND", f"{one.code} is a modifier: add it to the examination it applies to.", field
        )
    elif row.cents is None:
        yield Problem(
            "PRICE_MISSING",
            f"The price list names {one.code} without a price: load the scheme's price list.",
            field,
        )
    elif row.demo:
        yield Problem(
            "PRICE_DEMO",
            f"{one.code} at {rands(row.cents)} is a demo price, not a tariff: load the scheme's price list.",
            field,
            stop=False,
        )
    if not _countable(one.quantity):
        yield Problem(
            "QUANTITY", f"The quantity of {one.code} must be more than 0, with at most two decimals.", field
        )


def _countable(quantity: Decimal) -> bool:
    # The claim message carries hundredths, so more decimals would be lost on the way.
    return quantity.is_finite() and 0 < quantity < 1000 and quantity == round(quantity, 2)


def replaced(rows: Iterable[Tariff], loaded: Preview) -> tuple[Tariff, ...]:
    """The prices as they stand after loading: what was there, changed rows exchanged, new rows added."""
    after = {row.key: row for row in rows}
    for row in (*loaded.new, *(new for _, new in loaded.changed)):
        after[row.key] = row
    return tuple(after.values())
