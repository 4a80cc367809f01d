"""Documentation that cannot fall behind: what is generated is up to date, and what is written names what is there."""

import re
import subprocess
from pathlib import Path

import pytest

from ops import docs

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("name", docs.PAGES)
def test_a_generated_page_says_what_the_code_says(name):
    assert docs.PAGES[name]() == (ROOT / "docs" / name).read_text(), "Run `make docs` and commit."


def test_the_rooms_name_every_folder_and_every_module_of_core_and_of_the_doors():
    text = (ROOT / "docs" / "rooms.md").read_text()
    files = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split("\n")
    folders = {f"{f.split('/')[0]}/" for f in files if "/" in f and not f.startswith(".")}
    modules = {f.removeprefix("core/") for f in files if re.fullmatch(r"core/[a-z][a-z0-9_]*\.py", f)}
    doors = {f for f in files if re.fullmatch(r"(console|doors|gateway)/[a-z][a-z0-9_]*\.py", f)}
    assert set() == {name for name in folders | modules | doors if f"`{name}" not in text}


def test_the_rooms_name_nothing_that_is_not_there():
    text = (ROOT / "docs" / "rooms.md").read_text()
    modules = re.findall(r"^\| `([a-z_]+\.py)` \|", text, re.MULTILINE)
    paths = re.findall(r"`((?:core|console|doors|gateway|ops|viewer|docs|deploy|data|tests)/[\w./]*)`", text)
    assert [] == [m for m in (*(f"core/{m}" for m in modules), *paths) if not (ROOT / m).exists()]


@pytest.mark.parametrize(
    "page", sorted((ROOT / "docs").rglob("*.md")), ids=lambda page: str(page.relative_to(ROOT))
)
def test_links_between_pages_lead_somewhere(page):
    links = re.findall(r"\]\((?!https?:|#|mailto:)([^)#\s]+)", page.read_text())
    assert [] == [link for link in links if not (page.parent / link).exists()]


def test_decisions_have_numbers_of_their_own():
    numbers = [p.name.split("-")[0] for p in (ROOT / "docs" / "decisions").glob("[0-9]*.md")]
    assert sorted(set(numbers)) == sorted(numbers)


SECURITY = ROOT / "docs" / "security-tests.md"


def test_every_test_that_the_page_of_attacks_names_is_there():
    named = re.findall(r"`([\w/]+\.py)::(\w+)`", SECURITY.read_text())
    assert len(named) > 100
    there = {file: (ROOT / "tests" / file).read_text() for file in {file for file, _ in named}}
    assert [] == [(file, test) for file, test in named if not re.search(rf"def {test}\(", there[file])]


def test_every_row_of_the_page_of_attacks_is_held_by_a_test_and_its_figures_are_measured():
    text = SECURITY.read_text()
    rows = [line for line in text.split("\n") if line.startswith("| ") and not line.endswith(" by |")]
    assert [] == [row for row in rows if ".py::test_" not in row]
    promises = [int(n) for n in re.findall(r"^\| (\d+) \|", text, re.MULTILINE)]
    assert [*range(1, 21)] == promises
    measured = re.findall(r"^\| `([^`]+)` \|", (ROOT / "docs" / "bench.md").read_text(), re.MULTILINE)
    assert set() == set(re.findall(r"`([^`]+)` in \[the figures\]", text)) - set(measured)
