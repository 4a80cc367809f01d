"""What comes back for a claim: answers line by line, and remittances with their money to the cent.

The money follows the PHISC claim form (2.3.10): submitted, calculated by the scheme, deductions typed as levy (01)
or co-payment (02), and what is due to the practice. A shortfall is always split into rate difference, levy and
co-payment. No public electronic remittance format was found, so the CSV below is our own; docs in data/README.md.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date

from core.rules import claim_states
from core.rules.money import LARGEST_CENTS, parse_rands, plain

LEVY, CO_PAYMENT = "01", "02"
LONGEST_NUMBER, LONGEST_PAYER, LONGEST_KEY = 60, 120, 35
HIGHEST_LINE = 9_999


@dataclass(frozen=True)
class Reason:
    """Why. type: one of claim_states.REASON_TYPES; source: PHISC or Other."""

    type: str
    source: str
    code: str
    text: str


@dataclass(frozen=True)
class Deduction:
    """What the member pays out of the calculated amount. kind: "01" levy, "02" co-payment."""

    kind: str
    cents: int

    @property
    def label(self) -> str:
        """The word for it."""
        return claim_states.DEDUCTIONS.get(self.kind, "deduction")


@dataclass(frozen=True)
class Money:
    """One line's money in cents, VAT inclusive. All of it is negative where money is taken back (s59(3)).

    submitted: what was claimed; calculated: at the scheme's rate; rejected: what the scheme refuses altogether, which
    is no rate difference.
    """

    submitted_cents: int
    calculated_cents: int
    deductions: tuple[Deduction, ...] = ()
    rejected_cents: int = 0

    @property
    def approved_cents(self) -> int:
        """What the scheme owes the practice for the line."""
        return self.calculated_cents - sum(deduction.cents for deduction in self.deductions)

    @property
    def rate_difference_cents(self) -> int:
        """What the practice charged above the scheme's rate."""
        return self.submitted_cents - self.rejected_cents - self.calculated_cents

    def deducted(self, kind: str) -> int:
        """The levy ("01") or the co-payment ("02")."""
        return sum(deduction.cents for deduction in self.deductions if deduction.kind == kind)

    @property
    def levy_cents(self) -> int:
        """Deduction 01."""
        return self.deducted(LEVY)

    @property
    def co_payment_cents(self) -> int:
        """Deduction 02."""
        return self.deducted(CO_PAYMENT)

    @property
    def shortfall(self) -> dict[str, int]:
        """What the scheme does not pay, by cause; with what it approves it makes up what was submitted."""
        return {
            "rate difference": self.rate_difference_cents,
            "levy": self.levy_cents,
            "co-payment": self.co_payment_cents,
            "rejected": self.rejected_cents,
        }

    def reversed(self) -> Money:
        """The same line taken back."""
        taken = tuple(Deduction(one.kind, -one.cents) for one in self.deductions)
        return Money(-self.submitted_cents, -self.calculated_cents, taken, -self.rejected_cents)


@dataclass(frozen=True)
class LineAnswer:
    """What the payer says about one line. number and tracer are ours, echoed."""

    number: int
    tracer: str
    status: str
    money: Money
    reasons: tuple[Reason, ...] = ()


@dataclass(frozen=True)
class Response:
    """One answer about one claim. id: unique, so that an answer delivered twice is posted once.

    practice_no with claim_number is the claim; tracking: one of claim_states.TRACKING, "" when the answer could
    not be understood, and then `raw` holds it for a person. cursor: hand it to poll() to go on after this one.
    """

    id: str
    cursor: str
    practice_no: str
    claim_number: str
    tracking: str
    lines: tuple[LineAnswer, ...] = ()
    reasons: tuple[Reason, ...] = ()
    raw: bytes = b""


@dataclass(frozen=True)
class RemittanceLine:
    """One line of a payment; negative when the scheme takes money back."""

    claim_number: str
    number: int
    tracer: str
    status: str
    money: Money
    reasons: tuple[Reason, ...] = ()

    @property
    def paid_cents(self) -> int:
        """What this line adds to the payment."""
        return self.money.approved_cents

    @property
    def claw_back(self) -> bool:
        """True when the scheme deducts what it paid earlier (Medical Schemes Act s59(3))."""
        return self.paid_cents < 0


@dataclass(frozen=True)
class Remittance:
    """One payment to the practice. id: the payer's number, unique with the payer. total_cents: as the payer states it.

    line: where it begins in its file, the heading included; 0 when it came from a switch.
    """

    id: str
    cursor: str
    payer: str
    practice_no: str
    paid_on: date
    total_cents: int
    lines: tuple[RemittanceLine, ...]
    line: int = field(default=0, compare=False)

    @property
    def difference_cents(self) -> int:
        """Zero when the lines make up the stated total, as they must."""
        return self.total_cents - sum(line.paid_cents for line in self.lines)


def why_not_kept(paid: Remittance) -> str:
    """What of a payment does not fit where it would be kept, "" when all does.

    Nothing is cut to fit: two numbers that begin alike would be taken for one payment, and its money would be lost.
    """
    keys = [("payer", paid.payer, LONGEST_PAYER), ("remittance's number", paid.id, LONGEST_NUMBER)]
    for one in paid.lines:
        keys += [("claim's number", one.claim_number, LONGEST_KEY), ("tracer", one.tracer, LONGEST_KEY)]
    for what, text, longest in keys:
        if len(text) > longest:
            return f"The {what} has {len(text)} characters, and at most {longest} can be kept: ask the payer."
        if any(c < " " for c in text):
            return f"The {what} holds a character that cannot be printed: ask the payer."
    for one in paid.lines:
        if not 0 <= one.number <= HIGHEST_LINE:
            return f"A claim has no line with that number: at most {HIGHEST_LINE} can be kept."
        if any("\0" in text for r in one.reasons for text in (r.type, r.source, r.code, r.text)):
            return "A reason holds a character that cannot be printed: ask the payer."
    money = [
        x
        for one in paid.lines
        for x in (
            one.money.submitted_cents,
            one.money.calculated_cents,
            one.money.levy_cents,
            one.money.co_payment_cents,
            one.paid_cents,
        )
    ]
    if any(abs(cents) > LARGEST_CENTS for cents in (paid.total_cents, *money)):
        return "An amount is more money than any payer has."
    return ""


# --- our CSV -------------------------------------------------------------------------------------------

ANSWER_COLUMNS = (
    "practice_no", "claim_number", "tracking", "line", "tracer", "status", "submitted", "calculated", "levy",
    "co_payment", "reason_type", "reason_source", "reason_code", "reason_text",
)  # fmt: skip
REMITTANCE_COLUMNS = (
    "remittance", "payer", "practice_no", "paid_on", "total", "claim_number", "line", "tracer", "status", "submitted",
    "calculated", "levy", "co_payment", "paid", "reason_type", "reason_source", "reason_code", "reason_text",
)  # fmt: skip


@dataclass(frozen=True)
class RefusedRow:
    """A row, or with its remittance a whole one, that was not taken. line counts from 1, the heading included."""

    line: int
    reason: str


@dataclass(frozen=True)
class RemittancesRead:
    """The remittances that add up, and why the others were refused."""

    remittances: tuple[Remittance, ...]
    refused: tuple[RefusedRow, ...] = ()


@dataclass
class _Open:
    line: int
    head: tuple[str, str, str, date, int]
    lines: list[RemittanceLine] = field(default_factory=list)


def parse_remittances(content: bytes, *, cursor: str = "") -> RemittancesRead:
    """Read a remittance CSV. ValueError with one sentence when the file is none.

    Money is posted from this, so a remittance with one bad row, or whose lines do not make up its total, is refused
    as a whole; the others of the file are taken.
    """
    opened: dict[tuple[str, str], _Open] = {}
    refused: list[RefusedRow] = []
    broken: set[tuple[str, str]] = set()
    for line, cell in _rows(content, REMITTANCE_COLUMNS):
        number = cell["payer"], cell["remittance"]
        try:
            if not cell["remittance"]:
                raise ValueError("The remittance's number is missing.")
            head = (*number, cell["practice_no"], _day(cell["paid_on"]), parse_rands(cell["total"]))
            one = opened.setdefault(number, _Open(line, head))
            if one.head != head:
                raise ValueError(
                    "Payer, practice, day and total must be the same on every row of a remittance."
                )
            found = _remittance_line(cell)
            if reason := why_not_kept(Remittance(number[1], cursor, number[0], *head[2:], (found,))):
                raise ValueError(reason)
            one.lines.append(found)
        except ValueError as error:
            refused.append(RefusedRow(line, str(error)))
            broken.add(number)
    good = []
    for key, one in opened.items():
        payer, number, practice_no, paid_on, total_cents = one.head
        found = Remittance(
            number, cursor, payer, practice_no, paid_on, total_cents, tuple(one.lines), one.line
        )
        if key in broken:
            refused.append(
                RefusedRow(one.line, f"Remittance {number} is not taken, because a row of it is refused.")
            )
        elif found.difference_cents:
            made = plain(total_cents - found.difference_cents)
            refused.append(
                RefusedRow(
                    one.line, f"Remittance {number} states {plain(total_cents)}, but its lines make {made}."
                )
            )
        else:
            good.append(found)
    return RemittancesRead(tuple(good), tuple(refused))


def _rows(content: bytes, columns: Sequence[str]) -> Iterable[tuple[int, dict[str, str]]]:
    try:
        reader = csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""), strict=True)
    except UnicodeDecodeError:
        raise ValueError("This is not a UTF-8 CSV file.") from None
    try:
        names = [name.strip() for name in next(reader, [])]
        missing = [column for column in columns if column not in names]
        if missing:
            raise ValueError("The first line lacks the columns: " + ", ".join(missing) + ".")
        line = reader.line_num + 1
        for cells in reader:
            if any(cells):
                row = dict(zip(names, cells, strict=False))
                yield line, {column: row.get(column, "").strip() for column in columns}
            line = reader.line_num + 1
    except csv.Error as error:
        raise ValueError(f"The file breaks off near line {reader.line_num}: {error}.") from None


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ValueError(f"'{text}' is not a day such as 2026-01-31.") from None


def _money(cell: dict[str, str]) -> Money:
    deductions = tuple(
        Deduction(kind, parse_rands(cell[column]))
        for kind, column in ((LEVY, "levy"), (CO_PAYMENT, "co_payment"))
        if cell[column] and parse_rands(cell[column])
    )
    submitted, calculated = parse_rands(cell["submitted"]), parse_rands(cell["calculated"])
    refused = cell["status"] in ("Rejected", "Invalid")
    return Money(submitted, calculated, deductions, submitted - calculated if refused else 0)


def _reasons(cell: dict[str, str]) -> tuple[Reason, ...]:
    if not cell["reason_type"] and not cell["reason_text"]:
        return ()
    # A type or source that the standard does not have is kept as unknown, never dropped.
    kind = cell["reason_type"] if cell["reason_type"] in claim_states.REASON_TYPES else "Unknown"
    source = "PHISC" if cell["reason_source"] == "PHISC" else "Other"
    return (Reason(kind, source, cell["reason_code"], cell["reason_text"]),)


def _line_key(cell: dict[str, str]) -> tuple[int, str]:
    if not cell["line"].isascii() or not cell["line"].isdigit():
        raise ValueError(f"'{cell['line']}' is not a line number.")
    if cell["status"] not in claim_states.ITEM:
        raise ValueError(f"'{cell['status']}' is not a status: " + ", ".join(claim_states.ITEM) + ".")
    if not cell["claim_number"]:
        raise ValueError("The claim's number is missing.")
    # Longer than any number that is kept; Python would not even read five thousand digits.
    return int(cell["line"][:30]), cell["tracer"]


def _remittance_line(cell: dict[str, str]) -> RemittanceLine:
    number, tracer = _line_key(cell)
    line = RemittanceLine(cell["claim_number"], number, tracer, cell["status"], _money(cell), _reasons(cell))
    if parse_rands(cell["paid"]) != line.paid_cents:
        raise ValueError(
            f"The row pays {cell['paid']}, but calculated less levy and co-payment is {plain(line.paid_cents)}."
        )
    return line


def parse_answers(content: bytes, *, id: str, cursor: str = "") -> tuple[Response, ...]:
    """Read a response CSV, one row a line of a claim. ValueError when it cannot be understood as a whole.

    An answer that is half understood would be half applied, so one bad row turns the file away; the caller keeps
    it raw and shows it.
    """
    claims: dict[tuple[str, str], list[dict[str, str]]] = {}
    for line, cell in _rows(content, ANSWER_COLUMNS):
        if cell["tracking"] not in claim_states.TRACKING:
            raise ValueError(f"Line {line}: '{cell['tracking']}' is not a tracking status.")
        if not cell["practice_no"] or not cell["claim_number"]:
            raise ValueError(f"Line {line}: the practice's or the claim's number is missing.")
        claims.setdefault((cell["practice_no"], cell["claim_number"]), []).append(cell)
    if not claims:
        raise ValueError("The file holds no answer.")
    return tuple(
        Response(
            f"{id}#{at}",
            cursor,
            practice_no,
            claim_number,
            rows[-1]["tracking"],
            tuple(
                LineAnswer(*_line_key(row), row["status"], _money(row), _reasons(row))
                for row in rows
                if row["line"]
            ),
            tuple(reason for row in rows if not row["line"] for reason in _reasons(row)),
        )
        for at, ((practice_no, claim_number), rows) in enumerate(claims.items(), start=1)
    )


def write_remittances(remittances: Iterable[Remittance]) -> bytes:
    """Remittances as our CSV; only the first reason of a line has room in it."""
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(REMITTANCE_COLUMNS)
    for one in remittances:
        for line in one.lines:
            reason = line.reasons[0] if line.reasons else Reason("", "", "", "")
            money = line.money
            amounts = (
                money.submitted_cents,
                money.calculated_cents,
                money.levy_cents,
                money.co_payment_cents,
            )
            writer.writerow(
                [
                    one.id,
                    one.payer,
                    one.practice_no,
                    one.paid_on.isoformat(),
                    plain(one.total_cents),
                    line.claim_number,
                    line.number,
                    line.tracer,
                    line.status,
                    *map(plain, amounts),
                    plain(line.paid_cents),
                    reason.type,
                    reason.source,
                    reason.code,
                    reason.text,
                ]
            )
    return out.getvalue().encode()
