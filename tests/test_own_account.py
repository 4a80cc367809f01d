"""What somebody does with their own account while signed in: another password, and an end to every other session."""

import pytest

from core import activation, factors, people, sessions
from core.errors import Refused, WrongAnswer
from core.rules.roles import Permission
from core.store.model import Person
from core.store.work import system
from tests.fixtures.guests import WRONG, Guest, hire, newest
from tests.fixtures.house import PASSWORD

NEW = "kierewiet thohoyanḓou"


@pytest.fixture
def guest(shared_house) -> Guest:
    guest = hire(shared_house)
    _ = guest.actor
    return guest


def change(guest: Guest, *, old: str = PASSWORD, new: str = NEW, code: str | None = None) -> int:
    return guest.does(
        activation.change_password, old=old, new=new, code=guest.proof() if code is None else code
    )


def test_a_new_password_counts_at_once_and_ends_every_other_session(guest):
    elsewhere, half = guest.enters(), guest.says()
    assert 1 == change(guest)
    assert [guest.actor.session] == [s.id for s in guest.does(sessions.my_sessions)]
    assert guest.behind(elsewhere) is None
    with pytest.raises(Refused):
        guest.types(half, guest.code())
    with pytest.raises(WrongAnswer):
        guest.says()
    assert guest.types(guest.says(NEW), guest.code())
    entries = [e for e in newest(guest.test, 20) if e.who == guest.actor.name and "step" in e.facts]
    assert ["password-changed", "password-proved"] == [e.facts["step"] for e in entries]
    assert PASSWORD not in str(entries) and NEW not in str(entries)


def test_a_proof_given_before_serves_and_a_mistyped_password_does_not_use_it_up(guest):
    with pytest.raises(WrongAnswer, match="Confirm that it is you"):
        change(guest, code="")
    guest.does(factors.prove_by_code, purpose="factors", code=guest.proof())
    with pytest.raises(WrongAnswer, match="not your password"):
        change(guest, old=WRONG, code="")
    assert 0 == change(guest, code="")
    with pytest.raises(WrongAnswer, match="Confirm that it is you"):
        change(guest, old=NEW, new=PASSWORD, code="")


@pytest.mark.parametrize(
    ("new", "reason"),
    [
        ("short", "12 to 256"),
        ("password1234", "Everybody tries"),
        (PASSWORD, "the password you have"),
        ("x" * 257, "12 to 256"),
    ],
)
def test_a_password_that_is_none_is_refused_with_its_reason(guest, new, reason):
    with pytest.raises(Refused, match=reason):
        change(guest, new=new)
    assert guest.says()


def test_without_the_second_factor_nothing_changes_and_the_wrong_code_is_counted(guest):
    for _ in range(5):
        with pytest.raises(WrongAnswer):
            change(guest, code="000000")
    with pytest.raises(WrongAnswer, match="Too many wrong codes"):
        change(guest)
    assert guest.says()


def test_whoever_sits_at_an_open_window_guesses_the_password_no_more_often_than_at_the_door(guest):
    for _ in range(4):
        with pytest.raises(WrongAnswer, match="not your password"):
            change(guest, old=WRONG)
    with pytest.raises(WrongAnswer, match="rests"):
        change(guest)
    assert ("account-rests", "refused") == ((entry := newest(guest.test)[0]).facts["why"], entry.outcome)
    # The door counts the same tries; where its owner signed in lately, the account has some of its own.
    guest.address = "10.99.9.9"
    with pytest.raises(WrongAnswer):
        guest.says()
    guest.test.clock.pass_(minutes=14)
    fresh = guest.proof()
    guest.test.clock.pass_(minutes=1)
    assert fresh and guest.says()


def test_who_keeps_the_password_elsewhere_is_told_where(shared_house):
    for directory, said in (("sso", "single sign-on keeps"), ("directory", "directory keeps")):
        guest = hire(shared_house)
        _ = guest.actor
        with shared_house.house.work(system()) as work, work.tend(Permission.PEOPLE_FOUND):
            work.get(Person, guest.id).directory = directory
        with pytest.raises(Refused, match=said):
            change(guest)
        assert said in guest.does(activation.who_keeps_my_password)
    welcome = shared_house.do("system", people.seal_break_glass, login=f"sealed{guest.login}", password=NEW)
    sealed = Guest(shared_house, welcome.person.login, welcome.person.id, welcome.secret, guest.address)
    sealed._actor = sealed.behind(
        sealed.types(sealed.says(NEW), sealed.code(), reason="Nobody else can come in")
    )
    with pytest.raises(Refused, match="envelope"):
        change(sealed, old=NEW, new=PASSWORD)


def test_every_other_session_ends_and_the_one_that_asks_stays(guest):
    others = [guest.enters() for _ in range(2)]
    stranger = hire(guest.test)
    theirs = stranger.enters()
    assert 2 == guest.does(sessions.end_my_other_sessions)
    assert [None, None] == [guest.behind(token) for token in others]
    assert stranger.behind(theirs) and guest.does(sessions.my_sessions)[0].is_mine
    assert 0 == guest.does(sessions.end_my_other_sessions)


def test_a_new_app_ends_the_sessions_of_the_old_one(guest):
    elsewhere = guest.enters()
    fresh = guest.does(factors.begin_totp, code=guest.proof())
    guest.secret = fresh.secret
    assert 1 == guest.does(factors.finish_totp, code=guest.proof())
    assert guest.behind(elsewhere) is None
    assert 1 == len(guest.does(sessions.my_sessions))


def test_a_right_password_without_a_second_factor_is_told_to_its_owner(guest):
    guest.enters()
    guest.says()
    assert () == guest.does(sessions.my_half_sign_ins)  # It may still be answered.
    guest.test.clock.pass_(minutes=6)
    half = guest.does(sessions.my_half_sign_ins)
    assert [(guest.address, "console")] == [(h.from_address, h.channel) for h in half]
