"""What a password of ours must be: long, not everybody's first guess, not a name on the door."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.rules.passwords import COMMON, LONGEST, SHORTEST, problems_of

WORDS = ("thandi.nkosi", "Thandi Nkosi-Müller", "Vulindlela Radiology")


def codes(password: str, words: tuple[str, ...] = WORDS) -> list[str]:
    return [p.code for p in problems_of(password, words=words)]


@pytest.mark.parametrize(
    "good",
    [
        "correct horse battery",
        "Kierewiet-Ñandú",
        "thohoyanḓou sunrise",
        "12 groen bottels",
        "nkosi sikelel iAfrika",
        "длинный пароль",
        "a1b2c3d4e5f6",
        "x" * 200 + "abcdefg",
        "🦏🦓🦒🐘🦁 aan die drink",
    ],
)
def test_a_long_password_of_any_script_is_taken(good):
    assert [] == codes(good)


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        ("", "password-length"),
        ("x" * 11, "password-length"),
        ("abc def ghi" + "x" * 246, "password-length"),
        ("passwordpassword", "password-common"),
        ("PASSWORD1234", "password-common"),
        ("ｐａｓｓｗｏｒｄ１２３４", "password-common"),
        ("aaaaaaaaaaaa", "password-common"),
        ("abababababab", "password-common"),
        ("123456789012", "password-common"),
        ("210987654321", "password-common"),
        ("abcdefghijkl", "password-common"),
        ("qwertyuiopas", "password-common"),
        ("Thandi2026!!", "password-name"),
        ("nkosi-nkosi-nkosi", "password-name"),
        ("thandi.nkosi", "password-name"),
        ("Müller 2026 !", "password-name"),
        ("Radiology2026", "password-name"),
        ("VULINDLELA-RADIOLOGY", "password-name"),
        ("good words \x00 here", "password-signs"),
        ("good words \x7f here", "password-signs"),
        ("good words \ud800 here", "password-signs"),
    ],
)
def test_a_short_a_common_and_an_own_name_are_refused_with_the_reason(bad, code):
    assert [code] == codes(bad)


def test_a_name_without_letters_forbids_no_number():
    assert [] == codes("7395-1846-2957", ("0823456", "1234"))


def test_the_shortest_and_the_longest_are_taken():
    assert ([], []) == (codes("abz9kw7" * 2)[:SHORTEST], codes("lang " * (LONGEST // 5) + "x"))


def test_every_common_password_is_refused_in_any_case():
    assert {"password-common"} == {code for word in COMMON for code in codes(word.upper())}


@given(st.text(max_size=300), st.lists(st.text(max_size=20), max_size=3))
def test_no_text_breaks_the_rule(password, words):
    assert len(problems_of(password, words=tuple(words))) <= 1
