"""A claim in the practice's own hands: where it stands, its lines with what the payer said, and what follows from that.

The payer's words are in core.rules.claim_states, what the clerk chooses in core.rules.coding.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Protocol

from core.rules.claim_states import ANSWERED, Clock, clocks, resubmit_by
from core.rules.coding import REFUSED, CodedLine, Coding, said
from core.rules.examinations import examinations, schemes
from core.rules.problems import Problem
from core.rules.remittance import LineAnswer, Reason
from core.rules.za_time import local_day, say_day

STATES = {
    "coding": "Being coded",
    "queued": "On its way",
    "sent": "With the scheme",
    "answered": "Answered",
    "rejected": "Back for correction",
    "settled": "Settled",
}
EDITABLE = ("coding", "rejected")
HEARING = ("queued", "sent", "answered")  # states in which an answer changes something
RECALLABLE = ("sent", "answered")
PAYERS = {"": "Every payer", "scheme": "Medical schemes", "private": "Private patients"}
LONGEST_WHY = 300


@dataclass(frozen=True)
class LineCard:
    """A line as priced, and what the payer said about it."""

    number: int
    kind: str
    code: str
    description: str
    quantity: Decimal
    cents: int | None
    icd10: tuple[str, ...]
    is_demo: bool
    status: str
    approved_cents: int | None
    paid_cents: int
    reasons: tuple[Reason, ...]


@dataclass(frozen=True)
class Priced:
    """A choice that is not kept yet: its lines, its total, everything wrong with it. words: of its diagnosis codes."""

    lines: tuple[LineCard, ...]
    total_cents: int
    problems: tuple[Problem, ...]
    words: dict[str, str]


class HasPrice(Protocol):
    """A line that was priced, now or earlier."""

    @property
    def kind(self) -> str: ...
    @property
    def code(self) -> str: ...
    @property
    def cents(self) -> int | None: ...


def shape(lines: Iterable[HasPrice]) -> list[tuple[str, str, int | None]]:
    """What a patient or scheme would see of a price: equal where pricing again changes nothing."""
    return [(line.kind, line.code, line.cents) for line in lines]


def total(lines: Iterable[HasPrice]) -> int:
    """The sum of the lines that have a price, in cents."""
    return sum(line.cents or 0 for line in lines)


def usual(examination: str, *, place: str) -> Coding:
    """Where coding begins: the examination's usual tariff code, no diagnosis."""
    found = examinations().get(examination)
    lines = (CodedLine(found.tariff_code),) if found and found.tariff_code else ()
    return Coding(lines, place_of_service=place)


def diagnoses(chosen: Coding) -> list[str]:
    """Every diagnosis code of a choice, the referrer's last."""
    return [code for line in chosen.lines for code in line.icd10] + list(chosen.referring_icd10)


def payer_name(scheme: str) -> str:
    """Who pays, in words."""
    payer = schemes().get(scheme)
    return payer.name if payer else scheme or "Private patient"


def running(
    state: str, *, service_on: date, received_at: datetime | None, answered_at: datetime | None
) -> tuple[Clock, ...]:
    """What runs now: a settled claim has no clock left, and one that came back waits for us, not for the scheme."""
    if state == "settled":
        return ()
    if state == "rejected" and answered_at:
        return clocks(service_on=service_on, notified_on=local_day(answered_at))
    return clocks(service_on=service_on, received_on=local_day(received_at) if received_at else None)


# What the payer said --------------------------------------------------------------------------------------------


def was_approved(statuses: Iterable[str]) -> bool:
    """True when the payer has granted something of these lines."""
    return any(status in ANSWERED - REFUSED for status in statuses)


def chargeable(lines: Iterable[LineCard], *, owed_cents: int) -> int:
    """What the scheme still owes of an answered claim less what it has promised to pay."""
    promised = total(line for line in lines if line.status not in REFUSED and line.status != "Paid")
    return max(owed_cents - promised, 0)


def told(answers: Iterable[LineAnswer]) -> list[dict[str, Any]]:
    """What an answer says of lines, as a claim's history keeps it."""
    return [
        {"line": a.number, "status": a.status, "cents": a.money.approved_cents, "why": said(a.reasons)}
        for a in answers
    ]


@dataclass(frozen=True)
class Outcome:
    """What an answer makes of a claim: "rejected" and back to the clerk, "answered", or "" while lines are open."""

    state: str
    why: str


def outcome(tracking: str, reasons: Sequence[Reason], lines: Sequence[LineCard]) -> Outcome:
    """All lines refused, or failed on the way: back to the clerk. All lines answered: wait for the money."""
    if tracking == "Failed":
        return Outcome("rejected", said(reasons) or "The claim failed at the switch: send it again.")
    refused = [line for line in lines if line.status in REFUSED]
    of_lines = [reason for line in refused for reason in line.reasons]
    if lines and len(refused) == len(lines):
        why = said([*reasons, *of_lines]) or "The scheme refused every line and gave no reason."
        return Outcome("rejected", why)
    if all(line.status in ANSWERED for line in lines):
        return Outcome("answered", f"In part: {said(of_lines)}"[:LONGEST_WHY] if refused else "")
    return Outcome("", "")


# What a claim alone cannot show ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Past:
    """What was there before a claim goes out, beside the claim itself. sent_back_at: by the scheme, to be corrected."""

    has_newer_images: bool = False
    is_consent_withheld: bool = False
    is_priced_otherwise: bool = False
    is_refused_and_unchanged: bool = False
    sent_back_at: datetime | None = None


def of_the_past(past: Past, *, today: date) -> Iterator[Problem]:
    """Newer images, withheld consent, changed prices, a refusal that is not answered, a term that is over."""
    if past.has_newer_images:
        sentence = "Images were added after the report was signed: ask the radiologist before billing."
        yield Problem("IMAGES_CHANGED", sentence, "report", stop=False)
    if past.is_consent_withheld:
        yield Problem(
            "CONSENT",
            "The patient did not agree that the scheme gets the diagnosis: speak to them, then record "
            "their answer on the patient's page.",
            "consent",
        )
    if past.is_priced_otherwise:
        sentence = "Prices or the patient's scheme have changed since the claim was coded: save it again to price it anew."
        yield Problem("PRICES_CHANGED", sentence, "lines")
    if past.is_refused_and_unchanged:
        yield Problem(
            "UNCHANGED",
            "Nothing was changed since the scheme refused this claim: correct it, or say in the "
            "notes why the scheme should look at it again.",
            "notes",
        )
    if past.sent_back_at is None:
        return
    clock = resubmit_by(local_day(past.sent_back_at))
    if clock.late_on(today):
        sentence = f"The 60 days to resubmit ended on {say_day(clock.ends_on)}: the scheme need not pay this any more."
        yield Problem("RESUBMIT_LATE", sentence, "service_on", stop=False)
