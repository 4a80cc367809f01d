"""What Groups and roles says of the directory's limits on wrong passwords, and what pages say of who must do something."""

from __future__ import annotations

from datetime import timedelta

import pytest

from console import accounts
from console.pages import groups as page
from core.groups import LimitThere
from core.ports.directory import Lockout

HALF_HOUR, REST = timedelta(minutes=30), timedelta(minutes=31)


@pytest.mark.parametrize(
    ("name", "lockout", "setting", "says", "asks_for"),
    [
        ("", Lockout(10, HALF_HOUR), 4, "The directory locks an account after **10 wrong passwords** in 30 minutes.", ""),
        ("", Lockout(0, None), 4, "The directory locks nobody.", ""),
        ("", None, 4, "Sorg's reading account does not see after how many", "Ask whoever looks after the directory whether it locks"),
        ("Night", None, 4, "For **Night** Sorg's reading account does not see", "SORG_SIGN_IN_TRIES (4) set below its limit"),
        ("", Lockout(3, HALF_HOUR), 4, "after **3 wrong passwords**", "SORG_SIGN_IN_TRIES is 4, which is not below"),
        ("", Lockout(1, HALF_HOUR), 4, "after **1 wrong password** in", "Whoever mistypes once is locked"),
        ("", Lockout(9, None), 4, "since the last right one", "never forgets a wrong password by itself"),
    ],
)  # fmt: skip
def test_each_limit_is_said_and_one_that_needs_somebody_says_what_to_do(
    name, lockout, setting, says, asks_for
) -> None:
    limit = LimitThere(name, lockout, 4, REST, setting)
    assert says in page._limit(limit)
    assert page._limit(limit).endswith("Sorg stops at **4** and waits 31 minutes.")
    trouble = page._trouble(limit)
    assert asks_for in trouble and bool(asks_for) == bool(trouble)


def test_where_no_group_gives_a_role_yet_the_way_on_is_one_that_is_open_now() -> None:
    offered = {there: "Search a group" in sentence for there, sentence in page._TO_BEGIN.items()}
    assert {"answers": True, "away": False, "none": False} == offered


@pytest.mark.parametrize(
    ("lonely", "by_oneself", "says"),
    [
        (False, False, "asked for by one admin and approved by another."),
        (False, True, "asked for by one admin and approved by another."),
        (
            True,
            True,
            "asked for and approved by the only admin, and applied after a delay in which it can be stopped.",
        ),
        (
            True,
            False,
            "asked for by one admin and approved by another; until there is a second one, it waits.",
        ),
    ],
)
def test_the_requests_say_who_approves_in_this_practice(lonely: bool, by_oneself: bool, says: str) -> None:
    assert accounts.approving(lonely=lonely, by_oneself=by_oneself).endswith(says)
