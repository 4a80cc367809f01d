"""Guessing comes to rest, and keeps nobody out where they signed in lately."""

from dataclasses import replace

import pytest

from core import alerts, factors, people, signin
from core.errors import Refused, WrongAnswer
from core.rules.roles import Permission
from core.store.model import Throttle
from core.store.work import system
from tests.fixtures.guests import WRONG, Guest, at_once, hire, newest
from tests.fixtures.house import PASSWORD
from tests.test_signin import told


def test_four_wrong_passwords_rest_the_account_and_time_alone_wakes_it(either_shared):
    guest = hire(either_shared)
    said = {told(guest) for _ in range(4)}
    # The right password gets the same sentence while the account rests, and tries meanwhile prolong nothing.
    for minutes in (0, 5, 9):
        either_shared.clock.pass_(minutes=minutes)
        said |= {told(guest, PASSWORD), told(guest)}
    assert {signin.WRONG} == said
    assert ["account-rests", "account-rests"] == [e.facts["why"] for e in newest(either_shared, 2)]
    either_shared.clock.pass_(minutes=1)
    assert guest.says()


def test_strangers_who_guess_keep_nobody_out_where_they_signed_in_lately(either_shared):
    guest = hire(either_shared)
    guest.enters()
    home, elsewhere = guest.address, "203.0.113.9"
    guest.address = elsewhere
    said = {told(guest) for _ in range(4)} | {told(guest, PASSWORD)}
    assert ({signin.WRONG}, "account-rests") == (said, newest(either_shared)[0].facts["why"])
    guest.address = home
    assert guest.says()
    # That somebody came in at home ends no rest elsewhere, and at home tries come to an end, too.
    guest.address = elsewhere
    told(guest, PASSWORD)
    guest.address = home
    said = {told(guest) for _ in range(4)} | {told(guest, PASSWORD)}
    assert ({signin.WRONG}, "account-rests") == (said, newest(either_shared)[0].facts["why"])
    either_shared.clock.pass_(minutes=15)
    assert guest.says()


def test_wrong_tries_at_home_rest_home_alone_are_seen_by_an_admin_and_end_when_they_wake_the_account(
    shared_house,
):
    guest = hire(shared_house)
    guest.enters()
    home = guest.address
    for _ in range(4):
        told(guest)
    assert shared_house.clock.at < guest.card().rests_until
    told(guest, PASSWORD)
    guest.address = "203.0.113.10"
    assert guest.says()
    guest.address = home
    shared_house.do("admin", people.wake, guest.id)
    assert None is guest.card().rests_until
    assert guest.says()


def test_an_address_where_somebody_signed_in_a_month_ago_or_half_way_is_a_strangers(shared_house):
    late, half = hire(shared_house), hire(shared_house)
    late.enters()
    shared_house.clock.pass_(days=30)
    half.says()
    for guest in (late, half):
        home, guest.address = guest.address, "203.0.113.11"
        for _ in range(4):
            told(guest)
        guest.address = home
        told(guest, PASSWORD)
        assert "account-rests" == newest(shared_house)[0].facts["why"]


def test_guesses_sent_at_once_from_home_are_all_counted(either_shared):
    guest = hire(either_shared)
    guest.enters()
    assert [WrongAnswer] * 8 == at_once(lambda n: guest.says(f"{WRONG} {n}"), times=8)
    told(guest, PASSWORD)
    assert "account-rests" == newest(either_shared)[0].facts["why"]
    either_shared.clock.pass_(minutes=15)
    assert guest.says()


def test_all_spellings_share_one_count(shared_house):
    guest = hire(shared_house, login="sipho.m")
    for spelling in ("sipho.m", "SIPHO.M", " Sipho.m", "ｓｉｐｈｏ.m"):
        told(guest, login=spelling)
    told(guest, PASSWORD)
    assert guest.card().rests_until > shared_house.clock.at


def test_wrong_passwords_sent_at_once_are_all_counted(either_shared):
    guest = hire(either_shared)
    assert [WrongAnswer] * 4 == at_once(lambda n: guest.says(WRONG), times=4)
    told(guest, PASSWORD)
    assert guest.card().rests_until is not None


def test_a_right_password_begins_the_count_anew_and_an_admin_wakes_an_account_but_never_their_own(
    shared_house,
):
    guest, admin = hire(shared_house), hire(shared_house, "admin")
    for _ in range(3):
        told(guest)
    assert guest.says()
    for _ in range(4):
        told(guest)
    with pytest.raises(Refused, match="Another admin"):
        admin.does(people.wake, admin.id)
    admin.does(people.wake, guest.id)
    assert guest.says()


def test_unknown_logins_are_counted_as_known_ones_are(either_shared):
    guest = hire(either_shared)
    for _ in range(4):
        told(guest, login="nobody-of-that-name")
    told(guest, login="nobody-of-that-name")
    assert "login-rests" == newest(either_shared)[0].facts["why"]


def test_two_first_guesses_from_one_address_at_once_are_two(either_shared):
    guest = hire(either_shared)
    assert [WrongAnswer] * 3 == at_once(lambda n: guest.says(WRONG, login=f"no-such-{n}"), times=3)
    with either_shared.does("nobody") as work, work.look(Permission.SIGN_IN):
        assert 3 == work.db.get(Throttle, f"address:{guest.address}").count


def test_wrong_passwords_at_the_door_do_not_keep_a_person_from_confirming_with_a_code(shared_house):
    guest = hire(shared_house, "radiologist")
    _ = guest.actor
    for _ in range(5):
        told(guest)
    guest.does(factors.prove_by_code, purpose="sign", code=guest.proof())
    assert guest.does(factors.is_proved, purpose="sign")


def test_one_password_tried_on_thirty_people_rests_the_address_and_alerts_once(either_shared):
    guest = hire(either_shared)
    before = len(either_shared.do("admin", alerts.alerts, size=1000))
    # Ten work here; of the other twenty somebody only read the names.
    works_here = [hire(either_shared) for _ in range(10)]
    for login in [*(one.login for one in works_here), *(f"member-of-staff-{number}" for number in range(20))]:
        told(guest, "Winter2026!Winter", login=login)
    assert "address-rests" == newest(either_shared)[0].facts["why"]
    told(guest, PASSWORD)
    assert not any(one.card().rests_until for one in works_here)
    fresh = either_shared.do("admin", alerts.alerts, size=1000)
    assert (before + 1, "guessing") == (len(fresh), fresh[0].kind)
    assert guest.address in fresh[0].sentence
    either_shared.do("admin", alerts.mark_seen, fresh[0].id)
    assert before == len(either_shared.do("admin", alerts.alerts, size=1000))
    # Everybody else comes in meanwhile; the address is heard again ten minutes later.
    assert hire(either_shared).says()
    either_shared.clock.pass_(minutes=10)
    assert guest.says()


def test_the_addresses_of_one_household_are_one_address_in_ipv6(shared_house):
    guest = hire(shared_house)
    for number in range(20):
        told(replace(guest, address=f"2001:db8:7:7::{number:x}"), login=f"nobody-at-all-{number}")
    told(replace(guest, address="2001:db8:7:7:ffff::1"), PASSWORD)
    assert "address-rests" == newest(shared_house)[0].facts["why"]
    assert replace(guest, address="2001:db8:7:8::1").says()


def test_two_hundred_wrong_in_all_and_only_addresses_of_before_are_heard(shared_house):
    known, stranger = hire(shared_house), hire(shared_house)
    known.enters()
    told(stranger, login="guess-1")
    with shared_house.house.work(system()) as work, work.tend(Permission.PEOPLE_FOUND):
        work.db.get_one(Throttle, "everybody").count = 198  # As after 198 guesses from as many addresses.
    assert known.behind(known.enters())
    for number in (2, 3):
        told(stranger, login=f"guess-{number}")
    told(stranger, PASSWORD)
    assert "everybody-rests" == newest(shared_house)[0].facts["why"]
    assert known.says()
    shared_house.clock.pass_(minutes=5)
    assert stranger.says()


def test_guessing_never_rests_the_sealed_account_and_rests_the_address_all_the_same(either_shared):
    login = f"shut-glass-{either_shared.house.engine.dialect.name}"
    with either_shared.house.work(system()) as work:
        sealed = people.seal_break_glass(work, login=login, password=PASSWORD)
    guest = Guest(either_shared, login, sealed.person.id, sealed.secret, "203.0.113.12")
    assert {signin.WRONG} == {told(guest) for _ in range(20)}
    told(guest, PASSWORD)
    assert "address-rests" == newest(either_shared)[0].facts["why"]
    guest.address = "10.7.7.8"
    assert guest.says()
