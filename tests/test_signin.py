"""Signing in takes two halves, no answer tells a stranger which half was wrong, and guessing comes to rest."""

from contextlib import suppress
from datetime import timedelta

import pytest
from argon2 import PasswordHasher
from sqlalchemy import select

from core import alerts, patients, people, privacy, sessions, signin
from core.errors import Denied, Refused, WrongAnswer
from core.rules.roles import Permission, Role
from core.store.model import Person, SignInSession
from core.store.work import system
from tests.fixtures.guests import WRONG, Guest, at_once, hire, newest
from tests.fixtures.house import PASSWORD


def told(guest: Guest, said: str = WRONG, **how: str) -> str:
    """The sentence that a refused password gets."""
    with pytest.raises(WrongAnswer) as wrong:
        guest.says(said, **how)
    return wrong.value.sentence


# The two halves ---------------------------------------------------------------------------------------------------


def test_password_and_code_open_a_session_of_that_person(either_shared):
    guest = hire(either_shared, "radiologist")
    actor = guest.behind(guest.enters())
    assert (str(guest.id), {Role.RADIOLOGIST}) == (actor.id, set(actor.roles))
    assert either_shared.clock.at == guest.card().last_sign_in_at


def test_a_login_is_found_whatever_its_case_width_and_blanks(shared_house):
    guest = hire(shared_house, login="thandi.dube")
    for spelling in ("  Thandi.DUBE ", "ｔｈａｎｄｉ.dube"):
        assert guest.types(guest.says(login=spelling), guest.code())


def test_a_first_half_is_no_session_and_a_session_is_no_first_half(shared_house):
    guest = hire(shared_house)
    first = guest.says()
    session = guest.types(first, guest.code())
    assert None is guest.behind(first)
    for token in (first, session, "", "x" * 100_000, "\ud800"):
        with pytest.raises(Denied):
            guest.types(token, guest.code())
        with pytest.raises(Denied):
            guest.asks(signin.second_half, token=token)


def test_a_first_half_lasts_five_minutes(shared_house):
    guest = hire(shared_house)
    token = guest.says()
    shared_house.clock.pass_(minutes=5)
    with pytest.raises(Denied, match="took too long"):
        guest.types(token, guest.code())


def test_the_token_is_new_at_every_rise_and_only_its_hash_is_kept(shared_house):
    guest = hire(shared_house)
    first = guest.says()
    second = guest.types(first, guest.code())
    third = guest.asks(sessions.rotate, token=second)
    assert 3 == len({first, second, third})
    assert (None, None) == (guest.behind(first), guest.behind(second))
    assert str(guest.id) == guest.behind(third).id
    with shared_house.does("nobody") as work, work.look(Permission.SIGN_IN):
        assert not {first, second, third} & set(work.db.scalars(select(SignInSession.token_hash)))


def test_one_first_half_opens_one_session_even_when_used_twice_at_once(either_shared):
    guest = hire(either_shared)
    either_shared.clock.pass_(minutes=2)
    token = guest.says()
    assert 1 == at_once(lambda n: guest.types(token, guest.code(n))).count(str)


# Doors ------------------------------------------------------------------------------------------------------------


def test_patients_and_doctors_come_in_at_the_gateway_and_staff_at_the_console(shared_house):
    doctor = shared_house.do(
        "reception", patients.add_referrer, name="Dr Naledi Mokoena", practice_number="0140000123457"
    )
    guest, staff = hire(shared_house, "referrer", referrer_id=doctor), hire(shared_house)
    assert signin.WRONG == told(guest, PASSWORD)
    assert ("wrong door", "refused") == (
        newest(shared_house)[0].facts["why"],
        newest(shared_house)[0].outcome,
    )
    assert signin.WRONG == told(staff, PASSWORD, channel="gateway")
    token = guest.enters(channel="gateway")
    assert {Role.REFERRER} == set(guest.behind(token, channel="gateway").roles)
    assert None is guest.behind(token)
    assert None is staff.behind(staff.enters(), channel="gateway")


def test_the_second_half_is_answered_at_the_door_of_the_first(shared_house):
    staff = hire(shared_house)
    with pytest.raises(Denied):
        staff.types(staff.says(), staff.code(), channel="gateway")


# One sentence, one cost ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("login", "said"),
    [
        ("", WRONG),
        ("nobody-here", PASSWORD),
        ("shut-out", PASSWORD),
        ("closed", PASSWORD),
        ("", ""),
        ("", "x" * 20_000_000),
        ("radi\x00ologist", PASSWORD),
        ("x" * 100_000, "x"),
        ("", "\ud800"),
        ("\ud800", "x"),
        ("' or 1=1 --", "x"),
        ("*)(uid=*", "x"),
    ],
)
def test_every_wrong_pair_gets_one_sentence(either_shared, login, said):
    guest = hire(either_shared)
    if login in ("shut-out", "closed"):
        out = hire(either_shared)
        login = out.login
        with either_shared.house.work(system()) as work, work.tend(Permission.PEOPLE_FOUND):
            person = work.get(Person, out.id)
            person.is_active, person.closes_at = login != "shut-out", either_shared.clock.at
    assert signin.WRONG == told(guest, said, login=login)


def test_the_record_keeps_the_true_reason(shared_house):
    guest = hire(shared_house)
    told(guest)
    told(guest, login="nobody-here-either")
    shared_house.do("admin", people.suspend, guest.id, why="Left the practice")
    told(guest, PASSWORD)
    said = [e.facts.get("why") for e in newest(shared_house, 4)]
    assert ["shut out", "Left the practice", "wrong", "wrong"] == said


def test_known_unknown_and_shut_accounts_cost_the_same_work(shared_house, monkeypatch):
    guest, out = hire(shared_house), hire(shared_house)
    shared_house.do("admin", people.suspend, out.id, why="Left the practice")
    asked = []
    accounts = shared_house.house.ports.accounts
    real = accounts._hasher
    counting = {
        "verify": lambda self, verifier, said: (asked.append(len(said)), real.verify(verifier, said))[1],
        "check_needs_rehash": lambda self, verifier: False,
    }
    monkeypatch.setattr(accounts, "_hasher", type("Counting", (), counting)())
    for login in (guest.login, "nobody-here-again", out.login, "also not"):
        told(guest, login=login)
    assert [len(WRONG)] * 4 == asked


def test_what_was_typed_for_an_unknown_login_does_not_go_on_record(shared_house):
    told(hire(shared_house), login="my secret password in the wrong field")
    entry = newest(shared_house)[0]
    assert ("sign-in", "refused", "unknown") == (entry.act, entry.outcome, entry.subject_id)


def test_a_password_kept_with_old_parameters_is_kept_anew_at_a_right_one_only(shared_house):
    guest = hire(shared_house)
    old = PasswordHasher(time_cost=1, memory_cost=512, parallelism=1).hash(PASSWORD)
    with shared_house.house.work(system()) as work, work.tend(Permission.PEOPLE_FOUND):
        work.get(Person, guest.id).password_hash = old
    kept = []
    for said in (WRONG, PASSWORD, PASSWORD):
        with suppress(WrongAnswer):
            guest.says(said)
        with shared_house.does("system") as work, work.look(Permission.SYSTEM_SEE):
            kept.append(work.get(Person, guest.id).password_hash)
    assert (old, True) == (kept[0], "m=1024" in kept[1])
    assert kept[1] == kept[2]


# Accounts whose time is over, and the sealed one ----------------------------------------------------------------------


def test_an_account_closes_at_its_hour_with_its_sessions(shared_house):
    guest = hire(shared_house)
    token, half = guest.enters(), guest.says()
    with shared_house.house.work(system()) as work, work.tend(Permission.PEOPLE_FOUND):
        work.get(Person, guest.id).closes_at = shared_house.clock.at + timedelta(minutes=2)
    assert guest.behind(token)
    shared_house.clock.pass_(minutes=2)
    assert None is guest.behind(token)
    with pytest.raises(Denied):
        guest.types(half, guest.code())
    told(guest, PASSWORD)
    assert "closed" == newest(shared_house)[0].facts["why"]


def test_shutting_somebody_out_ends_their_sessions_and_stops_the_second_half(either_shared):
    guest = hire(either_shared)
    token, half = guest.enters(), guest.says()
    either_shared.do("admin", people.suspend, guest.id, why="A stolen phone")
    assert None is guest.behind(token)
    with pytest.raises(Denied):
        guest.types(half, guest.code())
    assert signin.WRONG == told(guest, PASSWORD)


def test_the_sealed_account_needs_a_reason_lasts_an_hour_and_is_loud(either_shared):
    login = f"glass-{either_shared.house.engine.dialect.name}"
    with either_shared.house.work(system()) as work:
        sealed = people.seal_break_glass(work, login=login, password=PASSWORD)
    guest = Guest(either_shared, login, sealed.person.id, sealed.secret, "10.7.7.7")
    assert guest.asks(signin.second_half, token=(token := guest.says())).needs_reason
    with pytest.raises(Refused, match="Write why"):
        guest.types(token, guest.code())
    opened = guest.types(token, guest.code(), reason="Both admins are on a flight")
    actor = guest.behind(opened)
    assert {Role.ADMIN} == set(actor.roles)
    loud = either_shared.do("admin", alerts.alerts)[0]
    assert ("break-glass", True) == (loud.kind, "Both admins are on a flight" in loud.sentence)
    assert "Both admins are on a flight" == newest(either_shared)[0].facts["reason"]
    for _ in range(5):
        either_shared.clock.pass_(minutes=11)
        guest.asks(sessions.keep_awake, token=opened)
        assert guest.behind(opened)
    either_shared.clock.pass_(minutes=6)
    assert None is guest.behind(opened)
    # It is open once: the same envelope opens nothing an hour later.
    told(guest, PASSWORD)
    assert "closed" == newest(either_shared)[0].facts["why"]


# On record ---------------------------------------------------------------------------------------------------------


def test_sign_ins_are_chained_and_the_chain_is_whole(shared_house):
    hire(shared_house).enters()
    assert None is shared_house.do("admin", privacy.verify_chain).broken_at


def test_five_wrong_codes_after_a_right_password_are_told_to_the_admins(shared_house):
    guest = hire(shared_house)
    half = guest.says()
    for _ in range(5):
        with pytest.raises(WrongAnswer):
            guest.types(half, "000000")
    assert str(guest.id) in [a.about for a in shared_house.do("admin", alerts.alerts) if a.kind == "guessing"]
