"""Names and identities: folding for search, DICOM person names, South African ID numbers as text."""

from __future__ import annotations

import unicodedata
from datetime import date

from stdnum.za import idnr

from core.rules.problems import Problem
from core.rules.za import SaId, read_sa_id

# Letters that no decomposition takes apart, and marks that one person types and the next leaves out (O'Brien, N'wamba).
_PLAIN = str.maketrans(
    {"ø": "o", "đ": "d", "ł": "l", "ı": "i", "æ": "ae", "œ": "oe"} | dict.fromkeys("'’‘ʼ`´", "")
)


def fold(text: str) -> str:
    """Lower case, no diacritics, no apostrophes, single spaces: what search compares.

    >>> fold("Thandô  NKOSI-Müller"), fold("N’wamba"), fold("Ḓuvha Sørensen")
    ('thando nkosi-muller', 'nwamba', 'duvha sorensen')
    """
    folded = unicodedata.normalize("NFKD", text).casefold().translate(_PLAIN)
    spread = unicodedata.normalize("NFKD", folded)
    return " ".join("".join(c for c in spread if not unicodedata.combining(c)).split())


MOST_SEARCHED = 120  # characters; what is searched has at most 300, and each word is a scan of its own


def searchable(typed: str) -> str:
    """What was typed into a search, without what no database takes. A pasted page is cut."""
    return "".join(c for c in typed[:MOST_SEARCHED] if c.isprintable() or c.isspace())


def search_words(typed: str) -> list[str]:
    """The folded words of a search, each once: no one person's search may keep the others waiting.

    >>> search_words("  Nkosi THANDÔ"), search_words("a " * 50_000)
    (['nkosi', 'thando'], ['a'])
    """
    return list(dict.fromkeys(fold(searchable(typed)).split()))


_SEPARATORS = str.maketrans("^=\\", "   ")


def person_name(family: str, given: str, title: str = "") -> str:
    """DICOM PN (PS3.5 §6.2): family^given^^title; what separates names or values there becomes a space in the parts."""
    parts = [
        unicodedata.normalize("NFC", p).translate(_SEPARATORS).strip() for p in (family, given, "", title)
    ]
    return "^".join(parts).rstrip("^")


_SPOKEN_TITLES = ("dr", "prof", "mr", "ms", "mrs")


def spoken_name(name: str) -> str:
    """A name as it is signed, in DICOM's form: the family name begins at its first small word, or is the last word.

    >>> spoken_name("Dr Amahle van der Merwe"), spoken_name("Priya Naidoo"), spoken_name("Solo")
    ('van der Merwe^Amahle^^Dr', 'Naidoo^Priya', 'Solo')
    """
    words = name.split()
    title = ""
    if len(words) > 1 and words[0].rstrip(".").lower() in _SPOKEN_TITLES:
        title = words.pop(0)
    family = next((i for i, word in enumerate(words) if word[:1].islower() and i), max(len(words) - 1, 0))
    return person_name(" ".join(words[family:]), " ".join(words[:family]), title)


def check_identity(kind: str, number: str | None, *, born_on: date, sex: str) -> tuple[Problem, ...]:
    """Every problem with an identity number. An SA ID's date of birth must agree; its sex digit is only a prompt."""
    if kind == "none":
        return ()
    if not number or not number.strip():
        return (Problem("identity-empty", "Write the number, or choose 'none'.", "identity_number"),)
    if kind == "passport":
        return ()
    read = read_sa_id(number, today=born_on)
    if not isinstance(read, SaId):
        return tuple(Problem("identity-invalid", p.sentence, "identity_number") for p in read)
    problems = []
    if read.number[:6] != born_on.strftime("%y%m%d"):
        problems.append(
            Problem("identity-birth", "The date of birth does not agree with the ID number.", "born_on")
        )
    if read.sex != sex and sex in ("M", "F"):
        problems.append(
            Problem(
                "identity-sex",
                "The ID number suggests the other sex: check, then keep what is right.",
                "sex",
                stop=False,
            )
        )
    return tuple(problems)


def compact_identity(kind: str, number: str | None) -> str | None:
    """The number as it is stored: digits only for an SA ID, upper case for a passport, None for none."""
    if kind == "none" or not number:
        return None
    return idnr.compact(number) if kind == "sa-id" else number.strip().upper()
