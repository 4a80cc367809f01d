"""What the clerk chose, as it is kept; and what money does to the accounts."""

import doctest
import json
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from core.rules import coding
from core.rules.coding import CodedLine, Coding
from core.rules.problems import Problem

TEXT = st.text(max_size=12)
LINES = st.builds(
    CodedLine,
    TEXT,
    st.decimals(0, 999, places=2),
    st.lists(TEXT, max_size=3).map(tuple),
    st.lists(TEXT, max_size=4).map(tuple),
)
CODINGS = st.builds(
    Coding, st.lists(LINES, max_size=4).map(tuple), st.lists(TEXT, max_size=3).map(tuple), TEXT, TEXT, TEXT,
    st.sampled_from(["", "private", "coida"]),
)  # fmt: skip
CENTS = st.integers(-(10**12), 10**12)


def test_the_examples_in_the_docstrings_hold():
    assert 0 == doctest.testmod(coding).failed


@given(CODINGS)
def test_what_was_chosen_comes_back_from_storage(chosen):
    assert chosen == coding.from_json(json.loads(json.dumps(coding.as_json(chosen))))


@given(CODINGS)
def test_tidying_twice_is_tidying_once(chosen):
    once = coding.tidied(chosen)
    assert once == coding.tidied(once)


@given(CENTS, CENTS, CENTS)
def test_every_entry_sums_to_zero(submitted, paid, refused):
    sides = coding.payment(submitted_cents=submitted, paid_cents=paid, refused_cents=refused)
    for entry in (
        sides,
        coding.found_owner(sides),
        coding.owing(paid),
        coding.unclaimed(paid),
        coding.to_patient(paid),
    ):
        assert 0 == sum(entry.values())


@given(CENTS, CENTS)
def test_money_taken_back_undoes_its_payment(submitted, paid):
    there = coding.payment(submitted_cents=submitted, paid_cents=paid)
    back = coding.payment(submitted_cents=-submitted, paid_cents=-paid)
    assert dict.fromkeys(there, 0) == {account: there[account] + back[account] for account in there}


def test_a_quantity_that_is_none_counts_as_zero_which_the_checks_refuse():
    assert [Decimal(0), Decimal("1.5")] == [coding.decimal("a lot"), coding.decimal("1.5")]


def test_the_same_problem_of_the_same_field_is_told_once_in_the_first_words():
    first = Problem("PRICE_MISSING", "No price is loaded for 65130.", "lines.0")
    second = Problem("PRICE_MISSING", "Line 1: there is no price.", "lines.0")
    other = Problem("PRICE_MISSING", "Line 2: there is no price.", "lines.1")
    assert (first, other) == coding.each_once([first], [second, other])
