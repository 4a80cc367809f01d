"""The keyring opens with its own key only, is never replaced, and says in a sentence what is wrong with it."""

import json
import os
import secrets
from pathlib import Path

import pytest

from core.errors import Unfit
from core.store import db, keys

PHRASE = "seven grey geese over Gqeberha"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "keys"


def create(folder: Path, **how: str) -> keys.Keyring:
    return keys.create(folder, dice=secrets.token_bytes, **how)


def test_what_was_created_opens_again_and_every_key_is_its_own(folder):
    made = create(folder)
    assert made.keys == keys.open_keyring(folder).keys
    assert len(keys.NAMES) == len(set(made.keys.values()))
    assert {32} == {len(key) for key in made.keys.values()}


def test_keys_are_readable_by_their_owner_only(folder):
    create(folder)
    assert 0o700 == folder.stat().st_mode & 0o777
    assert {0o600} == {path.stat().st_mode & 0o777 for path in folder.iterdir()}
    assert {"keyring.json", "wrapping.key"} == {path.name for path in folder.iterdir()}


def test_a_keyring_never_prints_its_keys(folder):
    made = create(folder)
    assert not any(key.hex() in f"{made!r} {made}" or repr(key) in repr(made) for key in made.keys.values())


def test_no_key_lies_open_in_the_keyring_file(folder):
    made, written = create(folder), (folder / "keyring.json").read_bytes()
    assert not any(key in written or key.hex().encode() in written for key in made.keys.values())


def test_a_keyring_is_never_replaced(folder):
    made = create(folder)
    with pytest.raises(Unfit, match="never replaced"):
        create(folder)
    assert made.keys == keys.open_keyring(folder).keys


def test_a_key_file_without_its_keyring_is_not_written_over(folder):
    create(folder)
    (folder / "keyring.json").unlink()
    before = (folder / "wrapping.key").read_bytes()
    with pytest.raises(Unfit, match="put the keyring back"):
        create(folder)
    assert before == (folder / "wrapping.key").read_bytes()


def test_a_key_file_that_others_can_read_is_refused(folder):
    create(folder)
    os.chmod(folder / "wrapping.key", 0o640)
    with pytest.raises(Unfit, match="chmod 600"):
        keys.open_keyring(folder)


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("ab" * 32, "does not open"),
        ("ab" * 31, "32 bytes"),
        ("not a key", "does not hold a key"),
        ("", "32 bytes"),
    ],
)
def test_a_wrong_key_file_is_refused(folder, written, said):
    create(folder)
    (folder / "wrapping.key").write_text(written)
    with pytest.raises(Unfit, match=said):
        keys.open_keyring(folder)


def test_a_missing_key_file_and_a_missing_keyring_are_told_apart(folder):
    create(folder)
    (folder / "wrapping.key").unlink()
    with pytest.raises(Unfit, match="wrapping key .* is missing"):
        keys.open_keyring(folder)
    with pytest.raises(Unfit, match="has not been set up here"):
        keys.open_keyring(folder / "elsewhere")


def _without_a_key(ring: dict) -> dict:
    return ring | {"keys": {k: v for k, v in ring["keys"].items() if k != "audit"}}


def _two_keys_swapped(ring: dict) -> dict:
    return ring | {"keys": ring["keys"] | {"audit": ring["keys"]["blobs"], "blobs": ring["keys"]["audit"]}}


def _a_letter_changed(ring: dict) -> dict:
    box = ring["keys"]["database"]
    return ring | {"keys": ring["keys"] | {"database": ("B" if box[0] == "A" else "A") + box[1:]}}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_without_a_key, "damaged"),
        (_two_keys_swapped, "does not open"),
        (_a_letter_changed, "does not open"),
        (lambda ring: ring | {"keys": 7}, "damaged"),
        (lambda ring: ring | {"salt": "zz"}, "damaged"),
        (lambda ring: ring | {"wrapped_by": "nothing"}, "damaged"),
        (lambda ring: ring | {"wrapped_by": "passphrase"}, "set SORG_PASSPHRASE_FILE"),
        (lambda ring: [], "damaged"),
    ],
)
def test_a_changed_keyring_is_refused(folder, change, said):
    create(folder)
    path = folder / "keyring.json"
    path.write_text(json.dumps(change(json.loads(path.read_text()))))
    with pytest.raises(Unfit, match=said):
        keys.open_keyring(folder)


def test_half_a_keyring_is_called_damaged(folder):
    create(folder)
    path = folder / "keyring.json"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(Unfit, match="damaged"):
        keys.open_keyring(folder)


def test_a_passphrase_wraps_the_keys_and_leaves_no_key_file(folder):
    made = create(folder, passphrase=PHRASE)
    assert ["keyring.json"] == [path.name for path in folder.iterdir()]
    assert made.keys == keys.open_keyring(folder, passphrase=PHRASE).keys


@pytest.mark.parametrize(
    ("given", "said"),
    [("another one entirely", "does not open"), ("", "does not open"), (None, "SORG_PASSPHRASE_FILE")],
)
def test_a_wrong_or_missing_passphrase_is_refused(folder, given, said):
    create(folder, passphrase=PHRASE)
    with pytest.raises(Unfit, match=said):
        keys.open_keyring(folder, passphrase=given)


def test_a_short_passphrase_makes_no_keyring(folder):
    with pytest.raises(Unfit, match="at least 12"):
        create(folder, passphrase="short")
    assert not folder.exists()


def test_a_wrong_database_key_is_refused_before_anything_is_written(tmp_path):
    path = tmp_path / "sorg.db"
    right = secrets.token_bytes(32)
    with db.maintenance("test"), db.open_sqlcipher(path, right).begin() as connection:
        connection.exec_driver_sql("create table t (x)")
    before = path.read_bytes()
    with pytest.raises(Unfit, match="does not open"), db.maintenance("test"):
        db.open_sqlcipher(path, secrets.token_bytes(32)).connect()
    assert before == path.read_bytes()
