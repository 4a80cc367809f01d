"""A run of the tests tells the truth about itself: here small runs of their own, in a process apart."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture
def run(tmp_path):
    """Run one test module under our manners: (exit code, what was printed)."""

    def run(code: str, **settings: str) -> tuple[int, str]:
        (tmp_path / "test_inner.py").write_text(code)
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-p", "tests.fixtures.manners", "-p", "no:cacheprovider", "-q"]
            + ["--rootdir", str(tmp_path), "-c", os.devnull, str(tmp_path)],
            cwd=ROOT,
            # Plugins of no concern here only make it slower.
            env=os.environ | settings | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
            capture_output=True,
            text=True,
            timeout=120,
        )
        return done.returncode, done.stdout + done.stderr

    return run


@pytest.mark.parametrize(
    "code",
    [
        "import pytest\ndef test_x(): pytest.skip('not today')",
        "import pytest\n@pytest.mark.skip\ndef test_x(): pass",
        "import pytest\npytest.importorskip('no_such_library')\ndef test_x(): pass",
    ],
)
def test_a_skip_that_nobody_asked_for_is_a_failure(run, code):
    status, printed = run(code)
    assert status in (1, 2)
    assert "Skipped where nobody asked for it" in printed


def test_a_test_without_the_official_tables_says_that_it_was_not_run(run):
    code = "def test_tables(reference_data): pass\ndef test_other(): pass"
    status, printed = run(code, SORG_REFERENCE_DATA="")
    assert 0 == status
    assert "not run: 1, because SORG_REFERENCE_DATA is not set" in printed
    assert "test_inner.py::test_tables" in printed


MISSING = """
import pytest
from tests.fixtures.manners import PROGRAMS
PROGRAMS["dicom3tools"] = ("/nowhere/dciodvfy",)
@pytest.mark.needs("dicom3tools")
def test_x(): pass
"""


def test_a_missing_service_fails_the_tests_that_need_it_and_says_what_to_do(run):
    status, printed = run(MISSING)
    assert 1 == status
    assert "dicom3tools is not on this machine: `make test` installs it" in printed


def test_a_service_named_in_sorg_skip_is_done_without_aloud(run):
    status, printed = run(MISSING + "def test_y(): pass", SORG_SKIP="chromium, dicom3tools")
    assert 0 == status
    assert "not run: 1, because dicom3tools is named in SORG_SKIP" in printed


def test_a_process_left_running_fails_the_run_and_is_ended(run):
    code = (
        "import subprocess\nfrom tests.fixtures import manners\nmanners.LEAVES_WITHIN_S = 2\n"
        "def test_x(): print(subprocess.Popen(['sh', '-c', 'sleep 4321 & echo $!']).wait())"
    )
    status, printed = run(code)
    assert 1 == status
    assert "left running by the tests" in printed
    assert "sleep 4321" in printed


def test_settings_of_the_outside_do_not_reach_the_tests(run):
    code = "import os\ndef test_x(): assert 'SORG_HOME' not in os.environ"
    assert 0 == run(code, SORG_HOME="/srv/a-live-practice")[0]
