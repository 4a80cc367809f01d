"""The text of a report: its sections, its limits, and the marked-up difference between two versions."""

from __future__ import annotations

import difflib
import re
import unicodedata
from dataclasses import dataclass

LONGEST = 200_000  # characters; a long report has 10 000
_COMPARE_BY_WORD = 60_000  # characters; the comparison is quadratic, so longer texts are compared by line
CONCLUSIONS = ("CONCLUSION", "IMPRESSION", "COMMENT", "OPINION")
_HEADING = re.compile(r"^\s*([A-Z][A-Z /&-]{2,40}):?\s*$")


@dataclass(frozen=True)
class Mark:
    """A run of words: kept, added or removed."""

    kind: str  # same, added, removed
    text: str


def tidy(text: str) -> str:
    """NFC, one kind of line end, no control characters, no blank tail."""
    text = unicodedata.normalize("NFC", text.replace("\r\n", "\n").replace("\r", "\n"))
    text = "".join(c for c in text if c in "\n\t" or unicodedata.category(c)[0] != "C" or c in "\u200d\u200c")
    return "\n".join(line.rstrip() for line in text.split("\n")).strip()


def sections(text: str) -> tuple[tuple[str, str], ...]:
    """(heading, body) in order; text before the first heading has the heading ''."""
    found: list[tuple[str, list[str]]] = [("", [])]
    for line in text.split("\n"):
        if match := _HEADING.match(line):
            found.append((match[1].strip(), []))
        else:
            found[-1][1].append(line)
    return tuple((h, "\n".join(b).strip()) for h, b in found if h or "".join(b).strip())


def conclusion_of(text: str) -> str:
    """What stands under the last conclusion heading, or ''."""
    return next((body for heading, body in reversed(sections(text)) if heading in CONCLUSIONS), "")


def differences(before: str, after: str) -> tuple[Mark, ...]:
    """The words that were kept, removed and added, in reading order."""
    cut = _words if len(before) + len(after) < _COMPARE_BY_WORD else _lines
    old, new = cut(before), cut(after)
    marks: list[Mark] = []
    for op, a, b, c, d in difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if op == "equal":
            marks.append(Mark("same", "".join(old[a:b])))
            continue
        if b > a:
            marks.append(Mark("removed", "".join(old[a:b])))
        if d > c:
            marks.append(Mark("added", "".join(new[c:d])))
    return tuple(marks)


def _lines(text: str) -> list[str]:
    return text.splitlines(keepends=True)


def _words(text: str) -> list[str]:
    return re.findall(r"\n|[^\S\n]+|[^\s]+", text)
