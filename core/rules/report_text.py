"""The text of a report: its sections, its limits, and the marked-up difference between two versions."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from rapidfuzz.distance import Levenshtein

LONGEST = 200_000  # characters; a long report has 10 000
CONCLUSIONS = ("CONCLUSION", "IMPRESSION", "COMMENT", "OPINION")
_LINE_END = re.compile("\r\n|[\r\v\f\x1c-\x1e\x85\u2028\u2029]")
_HEADING = re.compile(r"^\s*([A-Z][A-Z /&-]{2,40}):?\s*$")


@dataclass(frozen=True)
class Mark:
    """A run of words: kept, added or removed."""

    kind: str  # same, added, removed
    text: str


def tidy(text: str) -> str:
    """NFC, one kind of line end, no control characters, no blank tail."""
    # Word processors part lines by other signs as well; dropped, "12" and "5 mm" in two lines would be 125 mm in one.
    text = unicodedata.normalize("NFC", _LINE_END.sub("\n", text))
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
    """The words that were kept, removed and added, in reading order. Quick for the longest texts that are kept."""
    old, new = _words(before), _words(after)
    marks: list[Mark] = []
    removed = added = ""
    for op, *span in Levenshtein.opcodes(old, new):
        a, b, c, d = (int(at) for at in span)
        # A lone space between changed words is part of the change, or every word would be marked by itself.
        if op != "equal" or (removed and added and "".join(old[a:b]).isspace() and old[a:b] != ["\n"]):
            removed, added = removed + "".join(old[a:b]), added + "".join(new[c:d])
            continue
        marks += (Mark("removed", removed), Mark("added", added), Mark("same", "".join(old[a:b])))
        removed = added = ""
    marks += (Mark("removed", removed), Mark("added", added))
    return tuple(mark for mark in marks if mark.text)


def _words(text: str) -> list[str]:
    return re.findall(r"\n|[^\S\n]+|\S+", text)
