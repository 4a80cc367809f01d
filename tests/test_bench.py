"""The benchmark's structure: every row has its bar on the page, the page has no other, and cheap rows run. No time is held."""

import json
import re
from pathlib import Path

import pytest

from core.errors import Unfit
from core.ports.directory import Verdict
from ops.bench import access, signin, table
from ops.bench.directory import Clocked, Stock
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


def test_rows_of_access_are_measured_only_where_everybody_sees_exactly_what_is_theirs(monkeypatch):
    monkeypatch.setattr(access, "STUDIES", 500)
    monkeypatch.setattr(access, "ACTS", 2)
    rows = {row.key: row.note for row in access.measure()}
    assert {bar.key for bar in access.BARS} == set(rows)
    # 100 patients of five studies: ten of them elsewhere, twenty shut, and those ten opened.
    assert ["500 studies", "450 studies", "400 studies", "125 studies"] == [
        note for key, note in rows.items() if key.startswith("board")
    ]


def test_the_reference_of_signing_in_finds_the_same_person_in_the_same_groups(samba, samba_directory):
    ours, stock = Clocked(samba_directory), Stock(samba)
    one, other = ours.find("dr.naidoo"), stock.find("dr.naidoo")
    assert (one.id, one.login, one.name, one.dn) == (other.id, other.login, other.name, other.dn)
    assert (
        other.groups and other.groups <= one.groups
    )  # ours knows the primary group and the built-in ones, too
    said = [
        stock.password_is_right(other, password).verdict
        for password in (samba.password, "Heeltemal-anders-7")
    ]
    assert [Verdict.RIGHT, Verdict.WRONG] == said
    assert 0 < ours.spent_ms()
    assert 0 == ours.spent_ms()


def test_the_key_of_the_benchmark_is_one_that_the_console_takes():
    key = signin.Key()
    answer = key.touch("Y2hhbGxlbmdl")
    key.verify(answer, "Y2hhbGxlbmdl")
    key.verify_signature(answer)
