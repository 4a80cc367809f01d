"""The whole chain as a user runs it: `sorg demo`, in a process of its own."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from pypdf import PdfReader

from core.rules import medclm

STAGES = (
    "register", "book", "arrive", "images", "draft", "transcribe", "sign", "attach", "code", "submit", "answer", "pay",
    "share", "open link", "shut link",
)  # fmt: skip


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict]:
    from tests.fixtures.manners import need

    for service in ("orthanc", "chromium"):
        need(service)
    folder = tmp_path_factory.mktemp("demo")
    sorg = Path(sys.executable).parent / "sorg"
    done = subprocess.run(
        [sorg, "demo", "--keep", folder / "kept", "--json", folder / "demo.json"],
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert (0, "") == (done.returncode, done.stderr), done.stdout[-900:] + done.stderr[-2000:]
    return folder / "kept", json.loads((folder / "demo.json").read_text())


def test_every_patient_goes_through_every_stage(demo):
    _, told = demo
    by_patient: dict[str, list[str]] = {}
    for stage in told["stages"]:
        assert "done" == stage["state"]
        by_patient.setdefault(stage["patient"], []).append(stage["name"])
    walked = [tuple(names) for names in by_patient.values() if "register" in names]
    assert [STAGES] * 4 == walked


def test_the_kept_artefacts_are_what_they_say(demo):
    kept, _ = demo
    assert 1 <= len(PdfReader(kept / "report.pdf").pages)
    message = (kept / "claim.edi").read_bytes()
    assert () == medclm.validate(message)
    assert b"\x89PNG" == (kept / "link.png").read_bytes()[:4]
    assert (kept / "link.txt").read_text().startswith("http://127.0.0.1:")
    assert len(json.loads((kept / "audit.json").read_text())) > 100
    assert (kept / "remittance.csv").read_bytes().startswith(b"remittance,")


def test_a_stage_that_fails_is_named_and_the_exit_code_says_so(tmp_path):
    """Orthanc's binary out of reach: the demo says so in a sentence, and leaves nothing running."""
    sorg = Path(sys.executable).parent / "sorg"
    code = (
        "import ops.orthanc_child as c; c.BINARIES = (); c.shutil.which = lambda name: None; "
        "from ops.demo import run; import sys; sys.exit(bool(run(json_file=None, keep=None, say=print)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, cwd=tmp_path
    )
    assert sorg.exists()
    assert 1 == done.returncode
    assert "Orthanc is not installed" in done.stdout
