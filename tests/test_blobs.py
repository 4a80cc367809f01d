"""Sealed files: each opens for the row that owns it, unchanged, or not at all."""

import os
import secrets
import shutil
import subprocess
import sys
from pathlib import Path
from uuid import UUID

import pytest

from core.errors import Missing, Unfit
from core.store.blobs import Blobs

ONE, TWO, OWNER, OTHER = (UUID(int=n) for n in (1, 2, 11, 12))
DATA = "Verslag oor Thandô Nkosi-Müller".encode()


@pytest.fixture
def blobs(tmp_path: Path) -> Blobs:
    return Blobs(tmp_path / "blobs", secrets.token_bytes(32), dice=secrets.token_bytes)


def path_of(blobs: Blobs, blob_id: UUID) -> Path:
    return next(p for p in blobs.folder.rglob("*.sealed") if str(blob_id) in p.name)


@pytest.mark.parametrize("data", [DATA, b"", b"\0" * 3_000_000])
def test_what_goes_in_comes_out(blobs, data):
    blobs.put(ONE, data, kind="report", owner=OWNER)
    assert data == blobs.get(ONE, kind="report", owner=OWNER)


def test_a_file_shows_nothing_of_what_it_holds_and_is_its_owners_only(blobs):
    blobs.put(ONE, DATA, kind="report", owner=OWNER)
    path = path_of(blobs, ONE)
    assert DATA not in path.read_bytes()
    assert (0o600, 0o700) == (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777)


@pytest.mark.parametrize(("kind", "owner"), [("report", OTHER), ("audio", OWNER)])
def test_a_blob_does_not_open_for_another_row_or_as_another_kind(blobs, kind, owner):
    blobs.put(ONE, DATA, kind="report", owner=OWNER)
    with pytest.raises(Unfit, match="cannot be trusted"):
        blobs.get(ONE, kind=kind, owner=owner)


def test_a_file_put_in_the_place_of_another_does_not_open(blobs):
    for blob in (ONE, TWO):
        blobs.put(blob, DATA, kind="report", owner=OWNER)
    shutil.copy(path_of(blobs, ONE), path_of(blobs, TWO))
    with pytest.raises(Unfit, match="cannot be trusted"):
        blobs.get(TWO, kind="report", owner=OWNER)


@pytest.mark.parametrize("place", [0, 12, -1])
def test_one_flipped_bit_is_found(blobs, place):
    blobs.put(ONE, DATA, kind="report", owner=OWNER)
    sealed = bytearray(path_of(blobs, ONE).read_bytes())
    sealed[place] ^= 1
    path_of(blobs, ONE).write_bytes(sealed)
    with pytest.raises(Unfit, match="cannot be trusted"):
        blobs.get(ONE, kind="report", owner=OWNER)


@pytest.mark.parametrize("length", [0, 5, 12, 20])
def test_a_file_cut_short_is_found(blobs, length):
    blobs.put(ONE, DATA, kind="report", owner=OWNER)
    os.truncate(path_of(blobs, ONE), length)
    with pytest.raises(Unfit, match="cannot be trusted"):
        blobs.get(ONE, kind="report", owner=OWNER)


def test_a_blob_that_was_never_put_is_missing(blobs):
    with pytest.raises(Missing):
        blobs.get(ONE, kind="report", owner=OWNER)


def test_a_folder_that_cannot_be_made_is_told_in_a_sentence(blobs):
    blobs.folder.parent.joinpath("blobs").write_text("a file stands in the way")
    with pytest.raises(Unfit, match="The disk refused to store a file"):
        blobs.put(ONE, DATA, kind="report", owner=OWNER)


FULL_DISK = """
import resource, secrets, signal, sys
from pathlib import Path
from uuid import UUID
from core.errors import Unfit
from core.store.blobs import Blobs
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
blobs = Blobs(Path(sys.argv[1]), bytes(32), dice=secrets.token_bytes)
blobs.put(UUID(int=1), b"small", kind="report", owner=UUID(int=9))
try:
    blobs.put(UUID(int=1), bytes(300_000), kind="report", owner=UUID(int=9))
except Unfit as error:
    print(error.sentence)
print(blobs.get(UUID(int=1), kind="report", owner=UUID(int=9)))
"""


def test_a_disk_that_is_full_keeps_what_was_there_and_leaves_no_half_file(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(tmp_path / "blobs")],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ["The disk refused to store a file (File too large). Nothing was changed.", "b'small'"] == (
        done.stdout.splitlines()
    ), done.stderr
    assert [] == [p for p in (tmp_path / "blobs").rglob("*") if p.suffix == ".part"]
