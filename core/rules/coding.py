"""What a billing clerk chooses for a claim, as it is kept, and what a claim's money does to the accounts."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from decimal import Decimal, InvalidOperation
from typing import Any

from core.rules import icd10
from core.rules.claim import Claim
from core.rules.problems import Problem
from core.rules.remittance import Reason

MOST_LINES = 50
LONGEST_NOTE = 300

REFUSED = frozenset({"Rejected", "Invalid"})
"""Line statuses by which the payer says that it pays nothing at all (core.rules.claim_states.ITEM)."""


@dataclass(frozen=True)
class CodedLine:
    """What the clerk chose for one examination: a tariff code, how often, its modifiers, and its diagnoses."""

    code: str
    quantity: Decimal = Decimal(1)
    modifiers: tuple[str, ...] = ()
    icd10: tuple[str, ...] = ()


@dataclass(frozen=True)
class Coding:
    """The clerk's whole choice for a claim. referring_icd10: what the referrer wrote, if anything.

    funder: one of core.rules.claim.FUNDERS where it is not the patient's scheme, "" where it is.
    """

    lines: tuple[CodedLine, ...]
    referring_icd10: tuple[str, ...] = ()
    authorisation: str = ""
    place_of_service: str = "11"
    notes: str = ""
    funder: str = ""


def tidied(coding: Coding) -> Coding:
    """The same choice without blanks and signs that cannot matter, and without control characters."""
    lines = tuple(
        CodedLine(_plain(line.code), line.quantity, _each(line.modifiers), _codes(line.icd10))
        for line in coding.lines
    )
    return Coding(
        lines,
        _codes(coding.referring_icd10),
        _plain(coding.authorisation),
        _plain(coding.place_of_service),
        _plain(coding.notes)[:LONGEST_NOTE].strip(),
        coding.funder,
    )


def _plain(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in text).strip()


def _each(texts: Iterable[str]) -> tuple[str, ...]:
    return tuple(tidy for text in texts if (tidy := _plain(text)))


def _codes(texts: Iterable[str]) -> tuple[str, ...]:
    return tuple(code for text in _each(texts) if (code := icd10.tidy(text)))


def as_json(coding: Coding) -> dict[str, Any]:
    """The choice as it is stored; quantities are decimals in text."""
    record = asdict(coding)
    for line in record["lines"]:
        line["quantity"] = str(line["quantity"])
    return record


def from_json(record: dict[str, Any]) -> Coding:
    """The choice as it was stored."""
    lines = tuple(
        CodedLine(line["code"], decimal(line["quantity"]), tuple(line["modifiers"]), tuple(line["icd10"]))
        for line in record["lines"]
    )
    return Coding(
        lines,
        tuple(record["referring_icd10"]),
        record["authorisation"],
        record["place_of_service"],
        record["notes"],
        record.get("funder", ""),
    )


def decimal(text: str) -> Decimal:
    """A quantity; what is none counts as 0, which the checks refuse in words."""
    try:
        return Decimal(text)
    except InvalidOperation:
        return Decimal(0)


def reasons(rows: Iterable[dict[str, str]]) -> tuple[Reason, ...]:
    """Reasons as they were stored."""
    return tuple(Reason(**row) for row in rows)


def said(found: Iterable[Reason]) -> str:
    """Reasons as one text, each once.

    >>> said([Reason("Rejection", "Other", "X", "Unknown member"), Reason("Rejection", "Other", "X", "Unknown member")])
    'Unknown member'
    """
    return "; ".join(dict.fromkeys(one.text or one.code for one in found if one.text or one.code))


def fingerprint(draft: Claim) -> str:
    """A digest of what a claim says, whatever kind of correction it is: equal when nothing was changed."""
    return hashlib.sha256(repr(replace(draft, correction="", original_number="")).encode()).hexdigest()


def on_lines(priced: Iterable[Problem], kinds: Sequence[str]) -> tuple[Problem, ...]:
    """Problems of pricing, told for examination N (`asked.N`), with the field of the claim line it became.

    >>> on_lines([Problem("PRICE_MISSING", "No price.", "asked.1")], ["tariff", "modifier", "tariff"])[0].field
    'lines.2'
    """
    tariffs = [at for at, kind in enumerate(kinds) if kind == "tariff"]
    found = []
    for problem in priced:
        head, _, number = problem.field.partition(".")
        is_line = head == "asked" and number.isdigit() and int(number) < len(tariffs)
        found.append(replace(problem, field=f"lines.{tariffs[int(number)]}") if is_line else problem)
    return tuple(found)


def each_once(first: Iterable[Problem], second: Iterable[Problem]) -> tuple[Problem, ...]:
    """Both lists without what the second says again about the same field; the first one's sentence stays."""
    first = tuple(first)
    told = {(problem.code, problem.field) for problem in first}
    return tuple(dict.fromkeys([*first, *(p for p in second if (p.code, p.field) not in told)]))


# --- what money does to the accounts -------------------------------------------------------------------------


def owing(cents: int) -> dict[str, int]:
    """More is claimed (or less, when negative): the scheme owes it, and it is income."""
    return {"scheme": cents, "income": -cents}


def payment(
    *, submitted_cents: int, paid_cents: int, refused_cents: int = 0, owed_cents: int | None = None
) -> dict[str, int]:
    """One paid line: money is the bank's and off the scheme's account; what the member must bear becomes the patient's.

    What the scheme refuses altogether stays with the scheme until a person decides: correct it, or charge the patient.
    Negative amounts, money taken back, undo all of it. owed_cents: what the scheme owes of the claim, where it is known: no
    more than that ever becomes the patient's, also when a payment comes twice.

    >>> payment(submitted_cents=540, paid_cents=432, owed_cents=540)
    {'bank': 432, 'scheme': -540, 'patient': 108}
    >>> payment(submitted_cents=540, paid_cents=432, owed_cents=0)
    {'bank': 432, 'scheme': -432, 'patient': 0}
    """
    shortfall = submitted_cents - refused_cents - paid_cents
    if shortfall > 0 and owed_cents is not None:
        shortfall = min(shortfall, max(owed_cents - paid_cents, 0))
    return {"bank": paid_cents, "scheme": -paid_cents - shortfall, "patient": shortfall}


def unclaimed(paid_cents: int) -> dict[str, int]:
    """Money for a claim that nobody knows."""
    return {"bank": paid_cents, "suspense": -paid_cents}


def found_owner(sides: dict[str, int]) -> dict[str, int]:
    """A payment that lay in suspense and is now some claim's: its sides, with suspense in the bank's place."""
    return {("suspense" if account == "bank" else account): cents for account, cents in sides.items()}


def to_patient(cents: int) -> dict[str, int]:
    """What the scheme will not pay becomes the patient's."""
    return {"scheme": -cents, "patient": cents}
