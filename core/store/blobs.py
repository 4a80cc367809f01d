"""Large things at rest (report PDFs, audio, messages): AES-GCM files, each bound to the row that owns it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from core.errors import Missing, Unfit


class Blobs:
    """A folder of sealed files. A blob moved to another row, or changed by a bit, does not open."""

    def __init__(self, folder: Path, key: bytes, *, dice: Callable[[int], bytes]) -> None:
        self.folder = folder
        self._box = AESGCM(key)
        self._dice = dice

    def put(self, blob_id: UUID, data: bytes, *, kind: str, owner: UUID) -> None:
        """Seal `data` on disk before the row that names it is committed. Raises Unfit when the disk says no."""
        nonce = self._dice(12)
        sealed = nonce + self._box.encrypt(nonce, data, _binding(blob_id, kind, owner))
        path = self._path(blob_id)
        unfinished = path.with_suffix(".part")
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
                file.write(sealed)
                file.flush()
                os.fsync(file.fileno())
            os.replace(unfinished, path)
            _keep_names(path.parent)
        except OSError as error:
            with suppress(OSError):
                unfinished.unlink(missing_ok=True)
            raise Unfit(
                f"The disk refused to store a file ({error.strerror}). Nothing was changed."
            ) from error

    def get(self, blob_id: UUID, *, kind: str, owner: UUID) -> bytes:
        """The bytes that were put. Raises Missing, or Unfit when the file is not the one that was stored."""
        try:
            sealed = self._path(blob_id).read_bytes()
            return self._box.decrypt(sealed[:12], sealed[12:], _binding(blob_id, kind, owner))
        except FileNotFoundError:
            raise Missing("This document is not in the store.") from None
        except OSError as error:
            raise Unfit(f"The disk does not give back a stored document ({error.strerror}).") from error
        except (InvalidTag, ValueError):
            raise Unfit("A stored document was changed on disk and cannot be trusted.") from None

    def sweep(self, *, before: datetime) -> int:
        """Remove what a `put` interrupted before then left unfinished; how many files. Sealed files are never touched."""
        unfinished = [p for p in self.folder.glob("*/*.part") if p.stat().st_mtime < before.timestamp()]
        for path in unfinished:
            path.unlink(missing_ok=True)
        return len(unfinished)

    def room(self) -> int:
        """Bytes that are free on the disk the documents live on; the practice's database lives beside them."""
        here = next(p for p in (self.folder, *self.folder.parents) if p.exists())
        return shutil.disk_usage(here).free

    def _path(self, blob_id: UUID) -> Path:
        return self.folder / blob_id.hex[-2:] / f"{blob_id}.sealed"


def _keep_names(folder: Path) -> None:
    # A renamed file survives a power cut only when its folder was written as well.
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _binding(blob_id: UUID, kind: str, owner: UUID) -> bytes:
    return f"{kind}|{owner}|{blob_id}".encode()
