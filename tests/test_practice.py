"""Who the practice is, written down by `sorg practice`, with options or asked for line by line; and its admins' accounts."""

import pytest
from typer.testing import CliRunner

from core import people, practice, privacy
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


@pytest.mark.parametrize("left_out", [("email",), ("phone", "email")], ids=["one", "two"])
def test_where_nobody_can_be_asked_the_missing_options_are_named(house, left_out):
    done = sorg_practice(house, **{key: value for key, value in OURS.items() if key not in left_out})
    missing = ", ".join(f"--{key}" for key in left_out)
    assert (1, f"Nobody can be asked here, so say what is missing: {missing}.\n") == (
        done.exit_code,
        done.stderr,
    )
    assert "Unnamed practice" == card(house).name


def sorg_people_admin(house: TestHouse, *arguments: str):
    return CliRunner().invoke(app, ["people", "admin", *arguments], env={"SORG_HOME": str(house.folder)})


def test_an_admins_login_that_is_taken_is_refused_with_the_command_that_helps(house):
    taken = sorg_people_admin(house, "Admin", "Thandi Nkosi")
    assert (1, "") == (taken.exit_code, taken.stdout)
    assert 1 == taken.stderr.count("There is somebody with the login admin already.")
    assert '`sorg people admin OTHER-LOGIN "NAME"`' in taken.stderr
    made = sorg_people_admin(house, "thandi.second", "Thandi Nkosi")
    assert 0 == made.exit_code and "Thandi Nkosi signs in as thandi.second." in made.stdout


def test_the_sealed_accounts_login_leads_to_sealing_it_anew(house):
    with house.house.work(system("command line")) as work:
        people.seal_break_glass(work, login="breakglass", password="jacaranda-umbrella-lantern")
    assert (
        "`sorg people break-glass breakglass` seals it anew."
        in sorg_people_admin(house, "breakglass", "A B").stderr
    )


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
