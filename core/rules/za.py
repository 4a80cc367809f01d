"""South African numbers: identity number, practice number, membership and dependant code."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date

from stdnum import luhn
from stdnum.exceptions import ValidationError
from stdnum.za import idnr

from core.rules.problems import Problem

STATUSES = {"0": "citizen", "1": "permanent resident", "2": "refugee"}
"""The eleventh digit. 2 is printed on some documents for refugees."""


@dataclass(frozen=True)
class SaId:
    """What an identity number says about its holder: a prompt for the person at the desk, never the truth."""

    number: str
    birth_on: date
    sex: str
    status: str


def read_sa_id(typed: str, *, today: date) -> SaId | tuple[Problem, ...]:
    """An identity number taken apart, or what is wrong with it.

    Thirteen digits: date of birth, sequence (5000 and above for men), status, a digit without meaning, Luhn
    check digit. The century is not in it; the younger age is taken unless that lies in the future.

    >>> read_sa_id("750330 5044 08 9", today=date(2026, 1, 5))
    SaId(number='7503305044089', birth_on=datetime.date(1975, 3, 30), sex='M', status='citizen')
    """
    number = re.sub(r"[\s\-]", "", idnr.compact(typed))
    if not re.fullmatch(r"[0-9]{13}", number):
        return (
            Problem("SA_ID", "A South African ID number has 13 digits: check it against the document.", "id"),
        )
    problems = []
    birth_on = _birth_on(number, today)
    if birth_on is None:
        problems.append(Problem("SA_ID", "The ID number does not begin with a date of birth (YYMMDD).", "id"))
    try:
        luhn.validate(number)
    except ValidationError:
        problems.append(
            Problem("SA_ID", "The ID number's last digit does not fit: one digit is mistyped.", "id")
        )
    if number[10] not in STATUSES:
        problems.append(Problem("SA_ID", "The ID number's eleventh digit must be 0, 1 or 2.", "id"))
    if problems or birth_on is None:
        return tuple(problems)
    return SaId(number, birth_on, idnr.get_gender(number), STATUSES[number[10]])


def _birth_on(number: str, today: date) -> date | None:
    # stdnum would do this too, but asks the clock.
    for century in (today.year // 100, today.year // 100 - 1):
        try:
            born = date(century * 100 + int(number[:2]), int(number[2:4]), int(number[4:6]))
        except ValueError:
            continue
        if born <= today:
            return born
    return None


def check_sa_id(
    typed: str, *, today: date, birth_on: date | None = None, sex: str = ""
) -> tuple[Problem, ...]:
    """What is wrong with an identity number, alone and beside the recorded date of birth and sex (warnings)."""
    found = read_sa_id(typed, today=today)
    if not isinstance(found, SaId):
        return found
    problems = []
    # Only the century is guessed, so a patient of a hundred and two does not disagree with the number.
    if birth_on and f"{birth_on:%y%m%d}" != found.number[:6]:
        problems.append(
            Problem(
                "SA_ID_BIRTH",
                f"The ID number says born on {found.birth_on:%d/%m/%Y}, the record says {birth_on:%d/%m/%Y}: "
                "check both against the document.",
                "birth_on",
                stop=False,
            )
        )
    if sex in ("M", "F") and sex != found.sex:
        problems.append(
            Problem(
                "SA_ID_SEX",
                f"The ID number says {found.sex}, the record says {sex}: check both against the document.",
                "sex",
                stop=False,
            )
        )
    return tuple(problems)


def check_pcns(number: str, *, whose: str = "practice", field: str = "practice.pcns") -> tuple[Problem, ...]:
    """A practice code number: all 13 digits with their leading zeros; the last 7 are the registration number.

    Source: PHISC standardised claim form, practice fields. No public check digit is known.
    """
    if re.fullmatch(r"[0-9]{13}", number):
        return ()
    if not number:
        return (Problem("PCNS", f"The {whose}'s PCNS number is missing: add it.", field),)
    if re.fullmatch(r"[0-9]{7}", number):
        return (
            Problem(
                "PCNS",
                f"The {whose}'s PCNS number {number} has 7 digits: write all 13, leading zeros included.",
                field,
            ),
        )
    return (Problem("PCNS", f"The {whose}'s PCNS number must have 13 digits and nothing else.", field),)


def check_membership(number: str) -> tuple[Problem, ...]:
    """A scheme membership number: there is no common form, so only what no scheme accepts is refused."""
    if not number.strip():
        return (
            Problem("MEMBER_NUMBER", "The scheme membership number is missing: add it.", "member.number"),
        )
    if not re.fullmatch(r"[0-9A-Za-z/\-]{1,17}", number):
        return (
            Problem(
                "MEMBER_NUMBER",
                "The membership number may hold digits, letters, / and -, at most 17: check it against the card.",
                "member.number",
            ),
        )
    return ()


def check_dependant_code(code: str) -> tuple[Problem, ...]:
    """At most two characters as on the card; left blank if the scheme gives none, and never padded by us."""
    if not code:
        return (
            Problem(
                "DEPENDANT",
                "No dependant code: copy it from the membership card, or go on if the scheme gives none.",
                "patient.dependant_code",
                stop=False,
            ),
        )
    if re.fullmatch(r"[0-9A-Za-z]{1,2}", code):
        return ()
    if re.fullmatch(r"[0-9]{3}", code):
        # National examples carry three digits although the field is defined with two.
        return (
            Problem(
                "DEPENDANT",
                f"Dependant code {code} has three characters; most schemes print two: check it against the card.",
                "patient.dependant_code",
                stop=False,
            ),
        )
    return (
        Problem(
            "DEPENDANT",
            f"'{code}' is not a dependant code: copy the two characters from the membership card.",
            "patient.dependant_code",
        ),
    )
