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
_ARGON2 = {"time_cost": 3, "memory_cost": 65536, "parallelism": 2}


@dataclass(frozen=True, repr=False)
class Keyring:
    """Thirty-two bytes under each name of NAMES. Never printed."""

    keys: dict[str, bytes]

    def __getitem__(self, name: str) -> bytes:
        return self.keys[name]


def create(folder: Path, *, dice: Callable[[int], bytes], passphrase: str | None = None) -> Keyring:
    """Make a keyring in `folder`; `dice(n)` gives n random bytes. Refuses to replace one that is there."""
    path = folder / "keyring.json"
    if path.exists():
        raise Unfit(f"There is a keyring at {path} already; it is never replaced.")
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    salt = dice(16)
    if passphrase is None:
        kek = dice(32)
        _write(folder / "wrapping.key", kek.hex().encode())
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
    except FileNotFoundError:
        raise Unfit(f"No keyring at {path}: the practice has not been set up here.") from None
    if record["wrapped_by"] == "passphrase":
        if passphrase is None:
            raise Unfit("This practice's keys are locked with a passphrase: set SORG_PASSPHRASE_FILE.")
        kek = _derive(passphrase, bytes.fromhex(record["salt"]))
    else:
        kek = _read_key_file(folder / "wrapping.key")
    try:
        return Keyring({name: _unwrap(kek, name, box) for name, box in record["keys"].items()})
    except InvalidTag:
        raise Unfit("The key does not open this practice's keyring. Nothing was read or written.") from None


def _derive(passphrase: str, salt: bytes) -> bytes:
    return hash_secret_raw(passphrase.encode(), salt, hash_len=32, type=Type.ID, **_ARGON2)


def _wrap(kek: bytes, name: str, key: bytes, *, nonce: bytes) -> str:
    return base64.b64encode(nonce + AESGCM(kek).encrypt(nonce, key, name.encode())).decode()


def _unwrap(kek: bytes, name: str, box: str) -> bytes:
    raw = base64.b64decode(box)
    return AESGCM(kek).decrypt(raw[:12], raw[12:], name.encode())


def _read_key_file(path: Path) -> bytes:
    try:
        if path.stat().st_mode & 0o077:
            raise Unfit(f"{path} can be read by others: run chmod 600 on it.")
        key = bytes.fromhex(path.read_text().strip())
    except FileNotFoundError:
        raise Unfit(f"The wrapping key {path} is missing: put back your copy of it.") from None
    except ValueError:
        raise Unfit(f"{path} does not hold a key.") from None
    if len(key) != 32:
        raise Unfit(f"{path} does not hold a key of 32 bytes.")
    return key


def _write(path: Path, data: bytes) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
