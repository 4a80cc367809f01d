"""The words of the South African claim standard for where a claim stands, and the clocks that run on it.

Vocabulary: PHISC standardised claim form, tables 16 to 19. Clocks: Medical Schemes Act s59 and regulation 6.
"""

from __future__ import annotations

import calendar
from dataclasses import dataclass
from datetime import date, timedelta

TRACKING = ("Received", "Switched", "Partly Processed", "Fully Processed", "Failed")
ITEM = ("Received", "Valid", "Invalid", "Rejected", "Adjusted", "Pended", "Referred", "Approved", "Paid")
REASON_TYPES = ("Rejection", "Warning", "Information", "Unknown")
REASON_SOURCES = ("PHISC", "Other")
DEDUCTIONS = {"01": "levy", "02": "co-payment"}

TRACKING_AFTER: dict[str, frozenset[str]] = {
    "": frozenset({"Received", "Switched", "Partly Processed", "Fully Processed", "Failed"}),
    "Received": frozenset({"Switched", "Partly Processed", "Fully Processed", "Failed"}),
    "Switched": frozenset({"Partly Processed", "Fully Processed", "Failed"}),
    "Partly Processed": frozenset({"Partly Processed", "Fully Processed"}),
    "Fully Processed": frozenset(),
    "Failed": frozenset({"Received", "Switched"}),
}
"""What a claim's tracking status may become; a failed claim goes again."""

ITEM_AFTER: dict[str, frozenset[str]] = {
    "": frozenset(ITEM),
    "Received": frozenset(ITEM) - {"Received"},
    "Valid": frozenset({"Rejected", "Adjusted", "Pended", "Referred", "Approved", "Paid"}),
    "Invalid": frozenset(),
    "Rejected": frozenset(),
    "Pended": frozenset({"Rejected", "Adjusted", "Referred", "Approved", "Paid"}),
    "Referred": frozenset({"Rejected", "Adjusted", "Pended", "Approved", "Paid"}),
    "Adjusted": frozenset({"Rejected", "Approved", "Paid"}),
    "Approved": frozenset({"Rejected", "Adjusted", "Paid"}),
    "Paid": frozenset({"Paid"}),
}
"""What an item's status may become. Paid comes only with a remittance, and again when money is taken back.

The standard lists the words but no order. An answer that comes late or twice must not undo a later one, so this
order is ours; an answer that does not fit it is kept and shown, never applied.
"""

ANSWERED = frozenset({"Invalid", "Rejected", "Adjusted", "Approved", "Paid"})
"""Item statuses that tell the practice what it will get."""


def may_follow(before: str, after: str, *, table: dict[str, frozenset[str]] = ITEM_AFTER) -> bool:
    """True when `after` may come next, or says again what is known. Unknown words never fit."""
    return after in table and (before == after or after in table.get(before, frozenset()))


def tracking_of(items: tuple[str, ...]) -> str:
    """The tracking status that a claim's item statuses add up to."""
    done = sum(status in ANSWERED for status in items)
    if items and done == len(items):
        return "Fully Processed"
    return "Partly Processed" if done else "Received"


@dataclass(frozen=True)
class Clock:
    """The last day of something: `ends_on` is still in time."""

    label: str
    ends_on: date

    def late_on(self, today: date) -> bool:
        """True from the day after the last day."""
        return today > self.ends_on


def stale_on(service_on: date, *, months: int = 4) -> Clock:
    """Regulation 6: a claim is in time until the end of the fourth month after the month of service.

    >>> stale_on(date(2025, 10, 31)).ends_on, stale_on(date(2026, 1, 5), months=6).ends_on
    (datetime.date(2026, 2, 28), datetime.date(2026, 7, 31))
    """
    year, month = divmod(service_on.year * 12 + service_on.month - 1 + months, 12)
    return Clock("claim goes stale", date(year, month + 1, calendar.monthrange(year, month + 1)[1]))


def payment_due_on(received_on: date) -> Clock:
    """Section 59(2): the scheme pays within 30 days of receiving the claim."""
    return Clock("payment due", received_on + timedelta(days=30))


def notice_due_on(received_on: date) -> Clock:
    """Regulation 6: what is wrong with a claim must reach member and practice within 30 days, with reasons."""
    return Clock("scheme's notice due", received_on + timedelta(days=30))


def resubmit_by(notified_on: date) -> Clock:
    """Regulation 6: 60 days to correct and resubmit, counted from the scheme's notice."""
    return Clock("resubmission closes", notified_on + timedelta(days=60))


def clocks(
    *,
    service_on: date,
    received_on: date | None = None,
    notified_on: date | None = None,
    returned_on: date | None = None,
    stale_months: int = 4,
) -> tuple[Clock, ...]:
    """Every clock that runs on a claim. received_on: by the scheme; returned_on: sent back for correction.

    An account that was returned for correction starts its months anew from the month of its return.
    """
    running = [stale_on(max(service_on, returned_on or service_on), months=stale_months)]
    if received_on:
        running += [payment_due_on(received_on), notice_due_on(received_on)]
    if notified_on:
        running.append(resubmit_by(notified_on))
    return tuple(running)
