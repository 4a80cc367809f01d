"""The benchmark's structure: every row has its bar on the page, the page has no other, and cheap rows run. No time is held."""

import json
import re
from pathlib import Path

import pytest

from core.errors import Unfit
from ops.bench import table
from ops.bench.rows import AT_LEAST, AT_MOST, Bar, Measured, figure, p95

PAGE = (Path(__file__).parents[1] / "docs" / "bench.md").read_text()
MARKED = re.compile(r"^\| `([^`]+)` \|.*\| ([^|]+) \|$", re.M)


def test_the_page_and_the_code_name_the_same_rows_and_bars():
    promised = PAGE.partition("## Rows")[2].partition("\n## ")[0]
    assert {bar.key: bar.words for bar in table.BARS} == dict(MARKED.findall(promised))


def test_every_row_has_its_last_figures_on_the_page():
    figures = PAGE.partition("## Last figures")[2]
    assert {bar.key for bar in table.BARS} == set(re.findall(r"^\| `([^`]+)` \|", figures, re.M))


def test_every_group_is_on_the_page():
    assert [] == [group.name for group in table.GROUPS if f"`{group.name}`" not in PAGE]


def test_no_two_rows_share_a_name():
    keys = [bar.key for bar in table.BARS]
    assert len(keys) == len(set(keys))


@pytest.mark.parametrize(
    ("bar", "row", "verdict"),
    [
        (Bar("a", "", "/s", "", AT_LEAST, 300), Measured("a", 300, None, 1), "met"),
        (Bar("a", "", "/s", "", AT_LEAST, 300), Measured("a", 299, None, 1), "short"),
        (Bar("a", "", "ms", "", AT_MOST, 2), Measured("a", 2.1, None, 1), "short"),
        (Bar("a", "", "ms", "x", AT_MOST, 0.8, of_ratio=True), Measured("a", 80, 100, 1), "met"),
        (Bar("a", "", "ms", "x", AT_MOST, 0.8, of_ratio=True), Measured("a", 81, 100, 1), "short"),
        (Bar("a", "", "ms", "x", AT_MOST, 0.8, of_ratio=True), Measured("a", 81, None, 1), "not measured"),
        (Bar("a", "", "s", "", AT_MOST, 1), Measured("a", 0.1, None, 1, is_full=False), "–"),
        (Bar("a", "", "s"), Measured("a", 0.1, None, 1), "–"),
    ],
)
def test_a_verdict_is_met_only_within_the_bar(bar, row, verdict):
    assert verdict == bar.verdict(row)


def test_figures_are_said_with_three_digits_that_count():
    assert ["–", "0.0801", "9.73", "69 699"] == [figure(x) for x in (None, 0.0801, 9.7314, 69699.2)]
    assert 95 == p95([float(n) for n in range(100, 0, -1)])


def test_cheap_rows_run_and_are_kept_as_json(tmp_path):
    lines: list[str] = []
    table.run(only="claim", json_file=tmp_path / "bench.json", say=lines.append)
    kept = json.loads((tmp_path / "bench.json").read_text())
    assert ["claim"] == [row["key"] for row in kept["rows"]]
    assert kept["rows"][0]["verdict"] in ("met", "short")
    assert any(line.startswith("claim ") for line in lines)


def test_a_row_that_cannot_be_measured_says_why_and_the_others_go_on(monkeypatch, tmp_path):
    def away():
        raise Unfit("The reference is not on this machine.")
        yield

    groups = {group.name: group for group in table.GROUPS}
    broken = table.Group("ingest", groups["ingest"].bars, away)
    monkeypatch.setattr(table, "GROUPS", (broken, groups["claims"]))
    lines: list[str] = []
    with pytest.raises(Unfit, match="DICOM ingest"):
        table.run(json_file=tmp_path / "bench.json", say=lines.append)
    kept = {row["key"]: row["verdict"] for row in json.loads((tmp_path / "bench.json").read_text())["rows"]}
    assert "not measured" == kept["DICOM ingest 39 KB"]
    assert "not measured" != kept["claim"]
    assert any("The reference is not on this machine." in line for line in lines)


def test_a_word_that_no_row_holds_is_answered_with_the_groups():
    with pytest.raises(Unfit, match="ingest, arrival"):
        table.run(only="no such row")
