"""The practice's keys: random keys, each wrapped by one key that stays outside the database.

The wrapping key is a file (0600) or comes from a passphrase (Argon2id). Without it nothing opens, and the
refusal comes before anything is written.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from argon2.low_level import Type, hash_secret_raw
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from core.errors import Unfit

NAMES = ("database", "audit", "blobs", "secrets", "signing", "analytics")
SHORTEST_PASSPHRASE = 12
_ARGON2 = {"time_cost": 3, "memory_cost": 65536, "parallelism": 2}


@dataclass(frozen=True, repr=False)
class Keyring:
    """Thirty-two bytes under each name of NAMES. Never printed."""

    keys: dict[str, bytes]

    def __getitem__(self, name: str) -> bytes:
        return self.keys[name]


def create(folder: Path, *, dice: Callable[[int], bytes], passphrase: str | None = None) -> Keyring:
    """Make a keyring in `folder`; `dice(n)` gives n random bytes. Refuses to replace one that is there."""
    path, key_file = folder / "keyring.json", folder / "wrapping.key"
    if path.exists():
        raise Unfit(f"There is a keyring at {path} already; it is never replaced.")
    if key_file.exists():
        raise Unfit(
            f"There is a key at {key_file} but no keyring beside it: put the keyring back, or move the key away."
        )
    if passphrase is not None and len(passphrase) < SHORTEST_PASSPHRASE:
        raise Unfit(f"A passphrase needs at least {SHORTEST_PASSPHRASE} characters.")
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    salt = dice(16)
    if passphrase is None:
        kek = dice(32)
        _write(key_file, kek.hex().encode())
    else:
        kek = _derive(passphrase, salt)
    keys = {name: dice(32) for name in NAMES}
    wrapped = {name: _wrap(kek, name, key, nonce=dice(12)) for name, key in keys.items()}
    record = {"version": 1, "wrapped_by": "file" if passphrase is None else "passphrase", "salt": salt.hex()}
    _write(path, json.dumps(record | {"keys": wrapped}, indent=1).encode())
    return Keyring(keys)


def open_keyring(folder: Path, *, passphrase: str | None = None) -> Keyring:
    """Unwrap the keyring of `folder`. Raises Unfit when the wrapping key is missing or is not the right one."""
    path = folder / "keyring.json"
    try:
        record = json.loads(path.read_text())
        wrapped = {name: base64.b64decode(record["keys"][name]) for name in NAMES}
        salt = bytes.fromhex(record["salt"])
        by_passphrase = {"file": False, "passphrase": True}[record["wrapped_by"]]
    except FileNotFoundError:
        raise Unfit(f"No keyring at {path}: the practice has not been set up here.") from None
    except (ValueError, KeyError, TypeError):
        raise Unfit(f"The keyring {path} is damaged: put back your copy of it.") from None
    if not by_passphrase:
        kek = _read_key_file(folder / "wrapping.key")
    elif passphrase is None:
        raise Unfit("This practice's keys are locked with a passphrase: set SORG_PASSPHRASE_FILE.")
    else:
        kek = _derive(passphrase, salt)
    try:
        return Keyring({name: _unwrap(kek, name, box) for name, box in wrapped.items()})
    except (InvalidTag, ValueError):
        raise Unfit("The key does not open this practice's keyring. Nothing was read or written.") from None


def _derive(passphrase: str, salt: bytes) -> bytes:
    return hash_secret_raw(passphrase.encode(), salt, hash_len=32, type=Type.ID, **_ARGON2)


def _wrap(kek: bytes, name: str, key: bytes, *, nonce: bytes) -> str:
    return base64.b64encode(nonce + AESGCM(kek).encrypt(nonce, key, name.encode())).decode()


def _unwrap(kek: bytes, name: str, box: bytes) -> bytes:
    return AESGCM(kek).decrypt(box[:12], box[12:], name.encode())


def _read_key_file(path: Path) -> bytes:
    try:
        if path.stat().st_mode & 0o077:
            raise Unfit(f"{path} can be read by others: run chmod 600 on it.")
        key = bytes.fromhex(path.read_text().strip())
    except FileNotFoundError:
        raise Unfit(f"The wrapping key {path} is missing: put back your copy of it.") from None
    except OSError as error:
        raise Unfit(f"{path} cannot be read: {error.strerror}.") from None
    except ValueError:
        raise Unfit(f"{path} does not hold a key.") from None
    if len(key) != 32:
        raise Unfit(f"{path} does not hold a key of 32 bytes.")
    return key


def _write(path: Path, data: bytes) -> None:
    # Whole or not at all: half a keyring would stand in the way of every later attempt.
    unfinished = path.with_suffix(".part")
    try:
        with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.link(unfinished, path)  # Unlike a rename, refuses to replace a file that is there.
    except OSError as error:
        raise Unfit(f"{path} cannot be written: {error.strerror}.") from error
    finally:
        unfinished.unlink(missing_ok=True)
