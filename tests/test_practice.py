"""Who the practice is, written down by `sorg practice`: with options, or asked for line by line."""

import pytest
from typer.testing import CliRunner

from core import practice, privacy
from core.errors import Refused
from core.practice import PracticeCard
from core.store.work import system
from ops.cli import app
from tests.fixtures.house import TestHouse

OURS = {
    "name": "Thaba Radiology",
    "pcns": "0380000123456",
    "phone": "051 555 0100",
    "address": "12 Kerk Street, Bloemfontein 9301",
    "email": "desk@thaba.example",
}


def sorg_practice(house: TestHouse, *, typed: str = "", **options: str):
    """The command, in the practice of the test."""
    arguments = [word for name, value in options.items() for word in (f"--{name.replace('_', '-')}", value)]
    return CliRunner().invoke(
        app, ["practice", *arguments], input=typed, env={"SORG_HOME": str(house.folder)}
    )


def card(house: TestHouse) -> PracticeCard:
    return house.do("reception", practice.particulars)


def test_the_practice_is_written_down_and_on_record(house):
    done = sorg_practice(house, **OURS, vat_number="4123456789")
    assert (0, "Thaba Radiology: written down.\n") == (done.exit_code, done.stdout)
    assert PracticeCard(**OURS, vat_number="4123456789", is_demo=False) == card(house)
    newest = house.do("admin", privacy.entries)[0]
    assert ("system-manage", "Sorg", "command line") == (newest.act, newest.who, newest.channel)


def test_a_second_time_corrects_and_leaves_one_practice(house):
    sorg_practice(house, **OURS)
    sorg_practice(house, **{**OURS, "phone": "051 555 0199"})
    assert PracticeCard(**{**OURS, "phone": "051 555 0199"}, vat_number="", is_demo=False) == card(house)
    assert ["phone"] == house.do("admin", privacy.entries)[0].facts["changed"]


def test_what_no_option_says_is_asked_for(house):
    asked = ("Name", "Practice number (13 digits)", "Telephone", "Address", "E-mail")
    done = sorg_practice(house, typed="".join(f"{line}\n" for line in OURS.values()))
    assert 0 == done.exit_code
    assert list(asked) == [question for question in asked if f"{question}: " in done.stdout]
    assert PracticeCard(**OURS, vat_number="", is_demo=False) == card(house)


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"name": "   "}, "Write the practice's name."),
        ({"pcns": "380000123456"}, "The practice number has 13 digits, leading zeros included."),
        ({"pcns": "٠٣٨٠٠٠٠١٢٣٤٥٦"}, "The practice number has 13 digits, leading zeros included."),
    ],
    ids=["no name", "a short number", "digits of another script"],
)
def test_what_is_no_practice_is_refused_in_a_sentence_and_nothing_is_written(house, wrong, sentence):
    done = sorg_practice(house, **{**OURS, **wrong})
    assert (1, "", f"{sentence}\n") == (done.exit_code, done.stdout, done.stderr)
    assert "Unnamed practice" == card(house).name
    with pytest.raises(Refused), house.house.work(system()) as work:
        practice.describe(work, **{**OURS, **wrong})


def test_a_folder_without_a_practice_is_told_and_left_as_it_is(house, tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    done = CliRunner().invoke(
        app,
        ["practice", *(w for n, v in OURS.items() for w in (f"--{n}", v))],
        env={"SORG_HOME": str(empty)},
    )
    assert 1 == done.exit_code
    assert "the practice has not been set up here" in done.stderr
    assert [] == list(empty.iterdir())
