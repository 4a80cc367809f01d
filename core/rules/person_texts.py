"""The texts of an account: name, registration, practice number, e-mail. Tidied and checked alike, from a form or a sheet."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from datetime import datetime
from unicodedata import decomposition

from core.rules import sheets, za
from core.rules.logins import mixed_scripts_in, unseen_in
from core.rules.problems import Problem

HEADINGS = {
    "name": "Name",
    "registration": "Registration (HPCSA)",
    "practice_number": "Practice number",
    "email": "E-mail",
}
LENGTHS = {"name": 120, "registration": 40, "practice_number": 13, "email": 120}


# Letters in another font or width: a whole word of mathematical ones looks exactly like somebody else's name.
_ONLY_FORMS = ("<font>", "<wide>", "<narrow>", "<circle>", "<square>")


def tidy(field: str, text: str) -> str:
    """The one spelling of what was typed: the same name typed on two keyboards is the same name (Unicode NFC).

    Only blanks that are seen are drawn together. A practice number is written with and without them.

    >>> tidy("name", " Thandi  Nkosi"), tidy("practice_number", "0380 000 123456")
    ('Thandi Nkosi', '0380000123456')
    """
    text = re.sub(r"[ \u00a0\u2000-\u200a\u202f\u3000]+", " ", unicodedata.normalize("NFC", text)).strip()
    return text.replace(" ", "") if field == "practice_number" else text


def problems_of(texts: Mapping[str, str]) -> list[Problem]:
    """Everything that is wrong with these tidied texts, by field; an empty one is only wrong for a name."""
    problems = []
    for field, text in texts.items():
        problems += seen_problems(field, text, heading=HEADINGS[field], longest=LENGTHS[field])
        problems += _CHECKS[field](text)
    return problems


def readable(name: str, *, other: str) -> str:
    """The name that a directory or provider says, tidied; `other` where it is none that people should read as a name.

    >>> readable(" Zoë  Fouché ", other="zoe"), readable("\u202eadmin", other="zoe"), readable("", other="zoe")
    ('Zoë Fouché', 'zoe', 'zoe')
    """
    name = tidy("name", name)[: LENGTHS["name"]]
    return other if problems_of({"name": name}) else name


def seen_problems(field: str, text: str, *, heading: str, longest: int) -> list[Problem]:
    """What is wrong with any text that others will read: what nobody sees, too much of it, a live formula."""
    problems = []
    if unseen := unseen_in(text):
        problems.append(
            Problem(
                "text-unseen",
                f"{heading} holds a character that nobody sees ({unseen}): type it afresh.",
                field,
            )
        )
    if len(text) > longest:
        problems.append(Problem("text-long", f"{heading} has more than {longest} characters.", field))
    if sheets.is_live(text):
        problems.append(
            Problem(
                "text-formula",
                f"{heading} begins like a formula: take away what stands before the text.",
                field,
            )
        )
    return problems


def quoted(text: str) -> str:
    """What was written, fit for a sentence: short, and nothing in it that turns the sentence around."""
    return "".join(c if not unseen_in(c) else "?" for c in text[:40])


def called_at(now: tuple[str, str], former: Iterable[Mapping[str, str]], at: datetime) -> tuple[str, str]:
    """Name and registration at a moment: what somebody signed keeps the name of then.

    former: {until, name, registration}, oldest first; and login, where it was that which changed.
    """
    for then in former:
        if at < datetime.fromisoformat(then["until"]):
            return then["name"], then["registration"]
    return now


def former_logins(former: Iterable[Mapping[str, str]]) -> tuple[str, ...]:
    """What somebody signed in as before, oldest first, of what they were called before (`called_at`)."""
    return tuple(then["login"] for then in former if "login" in then)


def _name_problems(name: str) -> list[Problem]:
    if not name:
        return [Problem("no-name", "Write the person's name.", "name")]
    if not any(c.isalpha() for c in name):
        return [Problem("name-letters", "A name has letters.", "name")]
    if letter := next((c for c in name if c.isalpha() and decomposition(c).startswith(_ONLY_FORMS)), ""):
        return [
            Problem("name-form", f"'{letter}' in the name only looks like a letter: type it afresh.", "name")
        ]
    if scripts := mixed_scripts_in(name):
        said = " and ".join(script.capitalize() for script in scripts)
        return [Problem("name-script", f"One word of the name mixes {said} letters: type it afresh.", "name")]
    return []


def _email_problems(email: str) -> list[Problem]:
    # ASCII only: the way in is sent here, and a look-alike domain would receive it.
    if not email or re.fullmatch(
        r"[A-Za-z0-9][A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]*@([A-Za-z0-9-]+\.)+[A-Za-z]{2,}", email
    ):
        return []
    return [
        Problem(
            "email", f"'{quoted(email)}' is not an e-mail address such as t.nkosi@practice.co.za.", "email"
        )
    ]


def _number_problems(number: str) -> list[Problem]:
    return list(za.check_pcns(number, whose="person", field="practice_number")) if number else []


_CHECKS = {
    "name": _name_problems,
    "registration": lambda _: [],
    "practice_number": _number_problems,
    "email": _email_problems,
}
