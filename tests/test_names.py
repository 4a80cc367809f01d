"""Names: folded for search, and written as DICOM person names."""

import doctest
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as some

from core.rules import names


def test_the_examples_in_the_module_hold():
    assert 0 == doctest.testmod(names).failed


@given(some.text())
def test_folding_twice_is_folding_once_and_never_leaves_double_blanks(text):
    once = names.fold(text)
    assert once == names.fold(once)
    assert "  " not in once and once == once.strip()


@pytest.mark.parametrize(
    ("parts", "written"),
    [
        (("Nkosi-Müller", "Thandô Zanele", "Dr"), "Nkosi-Müller^Thandô Zanele^^Dr"),
        (("van der Merwe", "Piet"), "van der Merwe^Piet"),
        (("Mu\u0308ller", ""), "Müller"),
        (("A^B", "C=D", "E\\F"), "A B^C D^^E F"),
    ],
)
def test_a_person_name_has_the_parts_of_dicom_and_nothing_that_would_split_it(parts, written):
    assert written == names.person_name(*parts)


def test_the_signers_name_is_written_as_dicom_wants_it():
    spoken = ("Dr Amahle van der Merwe", "Priya Naidoo", "Dr. N. Dlamini", "Radiologist Person", "Solo", "")
    assert [
        "van der Merwe^Amahle^^Dr",
        "Naidoo^Priya",
        "Dlamini^N.^^Dr.",
        "Person^Radiologist",
        "Solo",
        "",
    ] == [names.spoken_name(name) for name in spoken]


# Made by the rule of the number itself: six of birth, four of sex, citizenship, 8, Luhn's digit.
@pytest.mark.parametrize(
    ("number", "born", "sex", "codes"),
    [
        ("8001015009087", date(1980, 1, 1), "M", []),
        ("8001015009087", date(1980, 1, 1), "F", ["identity-sex"]),
        ("8001015009087", date(1980, 1, 1), "O", []),
        ("8001015009087", date(1981, 1, 1), "F", ["identity-birth", "identity-sex"]),
        ("8001015009086", date(1980, 1, 1), "M", ["identity-invalid"]),
        ("8001015009287", date(1980, 1, 1), "M", ["identity-invalid"]),
    ],
)
def test_an_id_number_is_checked_against_birth_and_sex(number, born, sex, codes):
    assert codes == [p.code for p in names.check_identity("sa-id", number, born_on=born, sex=sex)]
