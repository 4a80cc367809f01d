"""How often something may be tried: counted exactly, forgotten by time, and never prolonged by others."""

from datetime import timedelta

import pytest

from core import limits
from core.limits import Limit
from core.rules.roles import Permission
from core.store.model import Throttle
from tests.fixtures.guests import at_once

THREE = Limit(most=3, window=timedelta(minutes=10), rest=timedelta(minutes=5))


def wrong(test, key: str) -> bool:
    with test.does("nobody") as work, work.tend(Permission.SIGN_IN):
        return limits.count_wrong(work, key, THREE)


def rests(test, key: str) -> bool:
    with test.does("nobody") as work, work.look(Permission.SIGN_IN):
        return limits.rests(work, key)


def test_the_third_wrong_try_begins_a_rest_and_time_ends_it(either_shared):
    assert [False, False, True] == [wrong(either_shared, "key:a") for _ in range(3)]
    either_shared.clock.pass_(minutes=4)
    # Tries meanwhile begin no second rest and do not prolong this one.
    assert (True, False) == (rests(either_shared, "key:a"), wrong(either_shared, "key:a"))
    either_shared.clock.pass_(minutes=1)
    assert not rests(either_shared, "key:a")
    assert [False, False, True] == [wrong(either_shared, "key:a") for _ in range(3)]


def test_tries_are_forgotten_after_their_window(shared_house):
    for _ in range(2):
        wrong(shared_house, "key:b")
    shared_house.clock.pass_(minutes=10)
    assert [False, False, True] == [wrong(shared_house, "key:b") for _ in range(3)]


def test_one_key_is_not_another(shared_house):
    for _ in range(3):
        wrong(shared_house, "key:c")
    assert (True, False) == (rests(shared_house, "key:c"), rests(shared_house, "key:d"))


@pytest.mark.parametrize("before", [0, 3])
def test_a_right_answer_forgets_tries_but_ends_no_rest(shared_house, before):
    key = f"key:e{before}"
    for _ in range(before or 2):
        wrong(shared_house, key)
    with shared_house.does("nobody") as work, work.tend(Permission.SIGN_IN):
        limits.forget(work, key)
    with shared_house.does("nobody") as work, work.look(Permission.SIGN_IN):
        assert bool(before) == (work.db.get(Throttle, key) is not None)


def test_first_tries_at_once_are_all_counted(either_shared):
    either_shared.clock.pass_(minutes=1)
    assert [bool] * 8 == at_once(lambda n: wrong(either_shared, "key:f"), times=8)
    assert rests(either_shared, "key:f")
