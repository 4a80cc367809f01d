"""The way to the medical schemes: a Protocol with two bodies.

The interfaces of the South African switches are confidential to their vendors and none is invented here. What can
be said without them: a switch's client on the desk takes message files from one folder and leaves answers in another.
`FolderSwitch` is that; `core.ports.switch_simulator` is the other body, for demo and tests.
"""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from core.errors import Away, Turned, Unfit
from core.rules import medclm
from core.rules.medclm import SwitchProfile
from core.rules.remittance import Reason, Remittance, Response, parse_answers, parse_remittances

LARGEST_FILE_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True)
class Receipt:
    """The switch has the message. reference: its own; duplicate: it had this submission before and did nothing."""

    reference: str
    tracking: str = "Received"
    duplicate: bool = False


class Switch(Protocol):
    """Takes claims, answers about them, and brings remittances. Everything may come more than once."""

    def submit(self, message: bytes, *, key: str) -> Receipt:
        """Hand over one interchange. key: names this submission; the same key again changes nothing.

        Away when the switch does not answer, and an errand tries again; Turned when it refuses the message.
        """
        ...

    def poll(self, since: str) -> tuple[Response, ...]:
        """Answers after the one with the cursor `since` ("" for all), oldest first; Response.id tells repeats."""
        ...

    def remittances(self, since: str) -> tuple[Remittance, ...]:
        """Payments after the one with the cursor `since` ("" for all), oldest first; payer and id tell repeats."""
        ...


def hand_over(switch: Switch, message: bytes, *, key: str) -> Receipt | str:
    """The switch's receipt, or the sentence with which it turned the message down.

    It will say no to the same message each time: that is the clerk's to mend, not the errand's to repeat.
    """
    try:
        return switch.submit(message, key=key)
    except Turned as error:
        return error.sentence


class FolderSwitch:
    """Two folders that a switch's own client watches: messages leave by the outbox, files come in by the inbox.

    Messages hold names and diagnoses and cannot be encrypted here, because the client must read them. So both
    folders lie outside SORG_HOME, exist because somebody configured them, and are the client's to empty.

    outbox: <key>.edi, put there whole by renaming. inbox: *.answer.csv and *.remittance.csv in our CSV
    (data/README.md); the client must likewise rename files into place. Any other file is passed on raw, for a person.
    """

    def __init__(
        self, outbox: Path, inbox: Path, *, home: Path, profile: SwitchProfile | None = None
    ) -> None:
        for folder in (outbox, inbox):
            if folder.resolve().is_relative_to(home.resolve()):
                raise Unfit("The switch's folders must lie outside SORG_HOME, where everything is encrypted.")
        self.outbox, self.inbox, self.profile = outbox, inbox, profile or SwitchProfile()

    def submit(self, message: bytes, *, key: str) -> Receipt:
        """Put the message into the outbox, once for each key, even after the client took it away."""
        faults = medclm.validate(message, self.profile)
        if faults:
            raise Turned("The message breaks its grammar and was not sent.", problems=faults)
        name = _file_name(key)
        digest = hashlib.sha256(message).hexdigest()
        target, mark = self.outbox / f"{name}.edi", self.outbox / ".sent" / name
        try:
            before = self._digest_before(target, mark)
            if before not in ("", digest):
                raise Turned("Another message was sent under the same key.")
            if not before:
                mark.parent.mkdir(mode=0o700, exist_ok=True)
                _put(target, message)
            _put(mark, digest.encode())
        except OSError as error:
            raise Away(f"The switch's outbox cannot be written: {error.strerror}.") from error
        return Receipt(reference=f"{name}.edi", duplicate=bool(before))

    def _digest_before(self, target: Path, mark: Path) -> str:
        if mark.exists():
            return mark.read_text().strip()
        return hashlib.sha256(target.read_bytes()).hexdigest() if target.exists() else ""

    def poll(self, since: str) -> tuple[Response, ...]:
        """Answers that arrived after `since`, and raw whatever could not be read, remittance files included."""
        found: list[Response] = []
        for cursor, path in self._arrived(since):
            content = _content(path)
            name = hashlib.sha256(path.name.encode() + content).hexdigest()[:32]
            if path.name.endswith(".remittance.csv"):
                found += _unread(content, id=name, cursor=cursor, file=path.name)
                continue
            try:
                if not path.name.endswith(".answer.csv"):
                    raise ValueError("The file is of no kind that we read.")
                found += parse_answers(content, id=name, cursor=cursor)
            except ValueError as error:
                found.append(_raw(content, id=name, cursor=cursor, why=f"{path.name}: {error}"))
        return tuple(found)

    def remittances(self, since: str) -> tuple[Remittance, ...]:
        """Remittances that arrived after `since` and add up; the others are told by poll()."""
        found: list[Remittance] = []
        for cursor, path in self._arrived(since):
            if path.name.endswith(".remittance.csv"):
                try:
                    found += parse_remittances(_content(path), cursor=cursor).remittances
                except ValueError:
                    # poll() passes the file on raw, with the reason.
                    continue
        return tuple(found)

    def _arrived(self, since: str) -> list[tuple[str, Path]]:
        # The time of the last change of the directory entry, because a file that is moved in keeps its older mtime.
        try:
            files = [
                (f"{path.stat().st_ctime_ns:020d} {path.name}", path)
                for path in self.inbox.iterdir()
                if path.is_file() and not path.name.startswith(".") and path.suffix not in (".part", ".tmp")
            ]
        except OSError as error:
            raise Away(f"The switch's inbox cannot be read: {error.strerror}.") from error
        return sorted((cursor, path) for cursor, path in files if cursor > since)


def _file_name(key: str) -> str:
    # A key may hold anything; the digest keeps two keys apart that look alike once cleaned.
    clean = re.sub(r"[^0-9A-Za-z\-]", "_", key)[:60]
    return f"{clean}-{hashlib.sha256(key.encode()).hexdigest()[:12]}"


def _put(target: Path, content: bytes) -> None:
    part = target.with_name(f".{target.name}.part")
    with open(part, "wb", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    part.replace(target)


def _content(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(LARGEST_FILE_BYTES)


def _raw(content: bytes, *, id: str, cursor: str, why: str) -> Response:
    reasons = (Reason("Unknown", "Other", "", why),)
    return Response(id, cursor, practice_no="", claim_number="", tracking="", reasons=reasons, raw=content)


def _unread(content: bytes, *, id: str, cursor: str, file: str) -> list[Response]:
    try:
        refused = parse_remittances(content).refused
    except ValueError as error:
        return [_raw(content, id=id, cursor=cursor, why=f"{file}: {error}")]
    if not refused:
        return []
    why = " ".join(f"Line {row.line}: {row.reason}" for row in refused)
    return [_raw(content, id=id, cursor=cursor, why=f"{file}: {why}")]
