"""What a row of the benchmark is: the bar as we set it, the figures as they came, and the verdict on them."""

from __future__ import annotations

import math
import os
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

AT_LEAST, AT_MOST = "≥", "≤"


@dataclass(frozen=True)
class Bar:
    """A row we promise to measure. `side` and `limit` say what is good enough, "" that no bar was set.

    of_ratio: the limit is on ours divided by the reference, else on ours alone.
    """

    key: str
    what: str
    unit: str
    reference: str = ""
    side: str = ""
    limit: float = 0
    of_ratio: bool = False

    @property
    def words(self) -> str:
        """The bar as people say it."""
        return f"{self.side} {self.limit:g} {'×' if self.of_ratio else self.unit}" if self.side else "–"

    def verdict(self, row: Measured) -> str:
        """met or short; a dash where no bar was set, or where the row was too small for it."""
        if not self.side or not row.is_full:
            return "–"
        value = row.ratio if self.of_ratio else row.ours
        if value is None:
            return "not measured"
        is_met = value >= self.limit if self.side == AT_LEAST else value <= self.limit
        return "met" if is_met else "short"


@dataclass(frozen=True)
class Measured:
    """The figures of one row. n: how many times ours was measured; is_full: the size that the bar speaks of."""

    key: str
    ours: float
    reference: float | None
    n: int
    note: str = ""
    is_full: bool = True

    @property
    def ratio(self) -> float | None:
        """Ours divided by the reference."""
        return self.ours / self.reference if self.reference else None


def is_full_run() -> bool:
    """SORG_BENCH=full asks for the sizes that a quick run leaves out."""
    return os.environ.get("SORG_BENCH") == "full"


def median(times: Iterable[float]) -> float:
    """The value in the middle."""
    return statistics.median(times)


def p95(times: Sequence[float]) -> float:
    """The smallest value that at least 95 in 100 do not exceed."""
    return sorted(times)[math.ceil(0.95 * len(times)) - 1]


def figure(value: float | None) -> str:
    """Three digits that count, thousands apart; a dash for nothing."""
    if value is None:
        return "–"
    if value >= 100:
        return f"{value:,.0f}".replace(",", " ")
    return f"{value:.3g}"
