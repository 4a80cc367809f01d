"""Every notebook runs from top to bottom on a practice made here, and nothing of a person is in what it shows."""

import os
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from ops.notebook import invent, practice
from tests.fixtures.house import THANDO

NOTEBOOKS = Path(__file__).resolve().parent.parent / "notebooks"
EVERY = sorted(NOTEBOOKS.glob("*.ipynb"))
# Names of the invented practice and kinds of number that must not show.
PLANTED = ("Invented", "Patient A", THANDO.family_name, "0100000001", "010000001", "MP 0000000")


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Two weeks of an invented practice on disk."""
    folder = tmp_path_factory.mktemp("notebooks") / "home"
    invent(folder, days=14, per_day=2).engine.dispose()
    return folder


def test_there_are_notebooks():
    assert ["access.ipynb", "turnaround.ipynb"] == [p.name for p in EVERY]


@pytest.mark.parametrize("path", EVERY, ids=lambda p: p.stem)
def test_a_notebook_is_kept_without_outputs(path):
    cells = [c for c in nbformat.read(path, as_version=4).cells if c.cell_type == "code"]
    assert [] == [c.outputs for c in cells if c.outputs] + [c for c in cells if c.execution_count]


@pytest.mark.parametrize("path", EVERY, ids=lambda p: p.stem)
def test_a_notebook_runs_and_shows_nobody(path, home, monkeypatch):
    monkeypatch.setenv("SORG_HOME", str(home))
    book = nbformat.read(path, as_version=4)
    NotebookClient(
        book, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(NOTEBOOKS)}}
    ).execute()
    shown = "\n".join(str(c.outputs) for c in book.cells if c.cell_type == "code")
    assert "De-identified data of the practice" in shown
    assert shown.count("text/html") + shown.count("application/vnd.plotly") >= 5
    assert [] == [word for word in PLANTED if word in shown]


def test_on_a_fresh_clone_an_invented_practice_is_made(tmp_path, monkeypatch):
    monkeypatch.setenv("SORG_HOME", str(tmp_path / "nothing"))
    said: list[str] = []
    with practice(said.append, days=3) as data:
        assert data.rows("select count(*) > 0 from studies") == [(True,)]
    assert ["There is no practice here yet: one is invented first."] == said
    assert [] == os.listdir(tmp_path)
