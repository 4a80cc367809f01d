"""A session ends when it should, at the hand of whoever may end it, and no guessed token is one."""

import pytest
from sqlalchemy import func, select

from core import factors, patients, sessions
from core.errors import Missing
from core.rules.roles import Permission
from core.sessions import Over
from core.store.model import Person, SignInSession
from core.store.work import nobody, system
from tests.fixtures.guests import hire, newest


def test_a_session_ends_when_idle_stays_in_use_and_ends_in_any_case(shared_house):
    guest = hire(shared_house)
    token = guest.enters()
    for _ in range(51):
        shared_house.clock.pass_(minutes=14)
        guest.asks(sessions.keep_awake, token=token)
        assert guest.behind(token)
    shared_house.clock.pass_(minutes=14)
    assert None is guest.behind(token)
    idle = guest.enters()
    shared_house.clock.pass_(minutes=15)
    assert None is guest.behind(idle)


def test_signing_out_ends_it_and_an_unknown_token_leaves_no_entry(shared_house):
    guest = hire(shared_house)
    token = guest.enters()
    guest.asks(sessions.sign_out, token=token)
    assert None is guest.behind(token)
    before = newest(shared_house)[0].seq
    guest.asks(sessions.sign_out, token="nobody's")
    assert before == newest(shared_house)[0].seq


def test_sessions_are_ended_by_their_owner_and_by_an_admin_and_by_nobody_else(shared_house):
    guest, other = hire(shared_house), hire(shared_house)
    mine, theirs = guest.does(sessions.my_sessions), other.does(sessions.my_sessions)
    with pytest.raises(Missing, match="not yours to see"):
        guest.does(sessions.end_my_session, theirs[0].id)
    assert [True] == [s.is_mine for s in mine]
    shared_house.do("admin", sessions.end_session, theirs[0].id)
    guest.does(sessions.end_my_session, mine[0].id)
    for person in (guest, other):
        assert () == shared_house.do("admin", sessions.sessions, person_id=person.id)


def _end(house, guest, token, why):
    """As the gate ends somebody's sessions."""
    with house.work(system()) as work, work.tend(Permission.PEOPLE_FOUND):
        factors.end_sessions_of(work, work.get(Person, guest.id), why=why)
    return guest.asks(sessions.why_over, token=token)


def test_a_session_says_why_it_is_over_to_whoever_holds_its_token_at_its_own_door(shared_house):
    house, guest = shared_house, hire(shared_house)
    assert Over.UNSAID == guest.asks(sessions.why_over, token="nobody's")
    assert Over.UNSAID == guest.asks(sessions.why_over, token=guest.enters())  # it is not over
    for why, said in (
        ("ended by an admin", Over.PRACTICE),
        ("new roles", Over.RIGHTS),
        ("wider reach", Over.RIGHTS),
        ("signs in under another name", Over.LOGIN),
        ("new app", Over.FACTOR),
        ("password set anew", Over.PASSWORD),
        ("ended by its owner", Over.SELF),
        ("linked to the directory", Over.UNSAID),
    ):
        assert said == _end(house.house, guest, guest.enters(), why), why
    token = guest.enters()
    assert Over.PRACTICE == _end(house.house, guest, token, "suspended")
    with house.house.work(nobody(channel=sessions.GATEWAY)) as work:
        assert Over.UNSAID == sessions.why_over(work, token=token)
    idle = guest.enters()
    house.clock.pass_(minutes=16)
    assert Over.IDLE == guest.asks(sessions.why_over, token=idle)
    assert Over.IDLE == _end(house.house, guest, idle, "new roles")  # it had gone to rest before


def test_who_becomes_somebody_outside_is_out_of_the_console_at_once(shared_house):
    doctor = shared_house.do(
        "reception", patients.add_referrer, name="Dr Palesa Zulu", practice_number="0140000123457"
    )
    staff = hire(shared_house)
    token = staff.enters()
    with shared_house.house.work(system()) as work, work.tend(Permission.PEOPLE_FOUND):
        person = work.get(Person, staff.id)
        person.roles, person.referrer_id = ["referrer"], doctor
    assert None is staff.behind(token)


def test_thousands_of_guessed_tokens_open_nothing_and_leave_nothing(shared_house):
    guest = hire(shared_house)
    guest.enters()
    with shared_house.does("nobody") as work:
        with work.look(Permission.SIGN_IN):
            entries = work.db.scalar(select(func.count()).select_from(SignInSession))
            found = {sessions.session_of(work, f"{number:x}" * 11) for number in range(2_000)}
            assert {None} == found
            assert entries == work.db.scalar(select(func.count()).select_from(SignInSession))


def test_a_clock_that_is_put_back_prolongs_no_session(shared_house):
    guest = hire(shared_house)
    token = guest.enters()
    at = shared_house.clock.at
    shared_house.clock.pass_(minutes=-4)
    assert guest.behind(token)
    shared_house.clock.pass_(minutes=-30)
    assert None is guest.behind(token)
    shared_house.clock.at = at
    assert guest.behind(token)
