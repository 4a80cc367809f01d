"""The figures of docs/bench.md, written from what `sorg bench --json FILE` kept: `python -m ops.bench.page FILE ...`.

Rows that the files do not hold keep the figures they had.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

from ops.bench.rows import figure
from ops.bench.table import BARS

PAGE = Path(__file__).parents[2] / "docs" / "bench.md"
HEAD = "| row | ours | reference | ratio | bar | verdict | n | notes | measured |\n|---|---|---|---|---|---|---|---|---|\n"
BEGINS = "## Last figures\n"


def write(page: Path, files: list[Path]) -> None:
    """Put the files' rows into the page's last section."""
    text = page.read_text()
    before, _, old = text.partition(BEGINS)
    lines = dict(re.findall(r"^(?=\| `([^`]+)` \|)(.*)$", old, re.M))
    for file in files:
        kept = json.loads(file.read_text())
        lines |= {row["key"]: _line(row, kept) for row in kept["rows"]}
    rows = "\n".join(lines[bar.key] for bar in BARS if bar.key in lines)
    page.write_text(f"{before}{BEGINS}\n{HEAD}{rows}\n")


def _line(row: dict[str, Any], kept: dict[str, Any]) -> str:
    ratio = f"{row['ratio']:.2f} ×" if row.get("ratio") else "–"
    ours = f"{figure(row['ours'])} {row['unit']}" if "ours" in row else "–"
    load = kept["machine"].partition("load ")[2].partition(",")[0]
    cells = (
        f"`{row['key']}`",
        ours,
        figure(row.get("reference")),
        ratio,
        row.get("bar", "–"),
        row["verdict"],
        str(row.get("n", 0)),
        row.get("note", ""),
        f"{kept['measured_at'][:10]}, load {load}",
    )
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    write(PAGE, [Path(name) for name in sys.argv[1:]])
