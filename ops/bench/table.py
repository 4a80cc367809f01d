"""The table of docs/bench.md: which rows there are, who measures them, and how they are printed.

sorg bench                     every row, a few minutes
sorg bench --only audit        rows and groups whose name holds the word
SORG_BENCH=full sorg bench     the sizes that some bars speak of, about half an hour
"""

from __future__ import annotations

import json
import os
import platform
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from core.errors import SorgError, Unfit
from ops.bench import (
    access,
    arrival,
    claims,
    desk,
    directory,
    ingest,
    link,
    questions,
    record,
    signin,
    throughput,
)
from ops.bench.rows import Bar, Measured, figure, is_full_run


@dataclass(frozen=True)
class Group:
    """Rows that are measured together, in one throwaway practice."""

    name: str
    bars: tuple[Bar, ...]
    measure: Callable[[], Iterator[Measured]]

    def named(self, word: str) -> tuple[Bar, ...]:
        """The rows that a word asks for: all of them when it is in the group's name."""
        return self.bars if word in self.name else tuple(bar for bar in self.bars if word in bar.key.lower())


GROUPS = (
    Group("ingest", ingest.BARS, ingest.measure),
    Group("arrival", arrival.BARS, arrival.measure),
    Group("link", link.BARS, link.measure),
    Group("gateway", throughput.BARS, throughput.measure),
    Group("console", desk.BARS, desk.measure),
    Group("crowd", desk.CROWD_BARS, desk.measure_crowd),
    Group("audit", record.BARS, record.measure),
    Group("questions", questions.BARS, questions.measure),
    Group("claims", claims.BARS, claims.measure),
    Group("sign-in", signin.BARS, signin.measure),
    Group("directory", directory.BARS, directory.measure),
    Group("away", directory.AWAY_BARS, directory.measure_away),
    Group("memory", directory.MEMORY_BARS, directory.measure_memory),
    Group("access", access.BARS, access.measure),
)
BARS = tuple(bar for group in GROUPS for bar in group.bars)
COLUMNS = ("row", "unit", "ours", "reference", "ratio", "bar", "verdict", "n", "notes")
_WIDTHS = (31, 7, 9, 10, 7, 16, 8, 8, 0)


def run(*, only: str = "", json_file: Path | None = None, say: Callable[[str], Any] = print) -> None:
    """Measure, print a line a row as it comes, and keep all as JSON. Raises Unfit at the end when a row could not be had."""
    word = only.strip().lower()
    chosen = [(group, wanted) for group in GROUPS if (wanted := group.named(word))]
    if not chosen:
        raise Unfit(f"No row's name holds '{only}'. Groups: {', '.join(g.name for g in GROUPS)}.")
    # Ended from outside, it must leave no process and no folder: SystemExit goes through every `with` on its way.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    say(weather())
    say(_line(COLUMNS))
    rows: list[dict[str, Any]] = []
    missing: list[str] = []
    for group, wanted in chosen:
        begun_s = time.monotonic()
        bars = {bar.key: bar for bar in wanted}
        try:
            for measured in group.measure():
                if bar := bars.pop(measured.key, None):
                    say(_line(_cells(bar, measured)))
                    rows.append(
                        asdict(measured)
                        | {
                            "group": group.name,
                            "unit": bar.unit,
                            "against": bar.reference,
                            "ratio": measured.ratio,
                            "bar": bar.words,
                            "verdict": bar.verdict(measured),
                        }
                    )
        except Exception as error:
            why = error.sentence if isinstance(error, SorgError) else f"{type(error).__name__}: {error}"
            for bar in bars.values():
                say(_line((bar.key, bar.unit, "–", "–", "–", bar.words, "NOT MEASURED", "0", why)))
                rows.append({"key": bar.key, "group": group.name, "verdict": "not measured", "note": why})
            missing += bars
        say(f"  {group.name}: {time.monotonic() - begun_s:.0f} s")
    if json_file:
        kept = {
            "measured_at": datetime.now(UTC).isoformat(),
            "machine": weather(),
            "is_full": is_full_run(),
            "rows": rows,
        }
        json_file.write_text(json.dumps(kept, indent=1, ensure_ascii=False))
    short = [row["key"] for row in rows if row["verdict"] == "short"]
    say(
        f"Short of its bar: {'; '.join(short)}." if short else "No row that was measured is short of its bar."
    )
    if missing:
        raise Unfit(f"Not measured: {'; '.join(missing)}.")


def weather() -> str:
    """The machine as it is now: absolute figures mean nothing without it."""
    load = os.getloadavg()[0]
    return f"{os.cpu_count()} cores, load {load:.1f}, Python {platform.python_version()}, {datetime.now(UTC):%Y-%m-%d %H:%M} UTC"


def _cells(bar: Bar, row: Measured) -> tuple[str, ...]:
    ratio = f"{row.ratio:.2f} ×" if row.ratio else "–"
    return (
        bar.key,
        bar.unit,
        figure(row.ours),
        figure(row.reference),
        ratio,
        bar.words,
        bar.verdict(row),
        str(row.n),
        row.note,
    )


def _line(cells: tuple[str, ...]) -> str:
    return "  ".join(f"{cell:<{width}}" for cell, width in zip(cells, _WIDTHS, strict=True)).rstrip()
