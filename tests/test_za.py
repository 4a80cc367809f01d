"""South African numbers, and the statuses and clocks of a claim."""

from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stdnum import luhn

from core.rules import claim_states, za
from core.rules.za_time import day_bounds, say_until

TODAY = date(2026, 1, 5)


def sa_id(birth_on, sequence, status):
    digits = f"{birth_on:%y%m%d}{sequence:04d}{status}8"
    return digits + luhn.calc_check_digit(digits)


@given(
    st.dates(date(1927, 1, 1), date(2025, 12, 31)),
    st.integers(0, 9999),
    st.sampled_from("012"),
    st.sampled_from(" -"),
)
def test_an_identity_number_says_what_was_put_into_it(birth_on, sequence, status, gap):
    number = sa_id(birth_on, sequence, status)
    assert za.read_sa_id(f"{number[:6]}{gap}{number[6:]}", today=TODAY) == za.SaId(
        number, birth_on, "M" if sequence >= 5000 else "F", za.STATUSES[status]
    )


@given(
    st.dates(date(1927, 1, 1), date(2025, 12, 31)),
    st.integers(0, 9999),
    st.integers(0, 12),
    st.integers(1, 9),
)
def test_one_mistyped_digit_is_always_noticed(birth_on, sequence, at, by):
    number = sa_id(birth_on, sequence, "0")
    wrong = number[:at] + str((int(number[at]) + by) % 10) + number[at + 1 :]
    assert za.check_sa_id(wrong, today=TODAY) != ()


@pytest.mark.parametrize("typed", ["", "12345", "750330504408X", "75033050440891"])
def test_what_is_no_number_of_thirteen_digits_is_refused(typed):
    assert [p.code for p in za.check_sa_id(typed, today=TODAY)] == ["SA_ID"]


def test_an_impossible_date_and_a_wrong_check_digit_are_told_together():
    assert len(za.check_sa_id("7513305044081", today=TODAY)) == 2


def test_a_day_still_to_come_belongs_to_the_last_century():
    assert za.read_sa_id(sa_id(date(1926, 1, 6), 1, "0"), today=TODAY).birth_on == date(1926, 1, 6)


def test_disagreement_with_the_record_is_a_prompt_and_not_a_stop():
    number = sa_id(date(1975, 3, 30), 5044, "0")
    found = za.check_sa_id(number, today=TODAY, birth_on=date(1975, 3, 31), sex="F")
    assert [(p.code, p.stop) for p in found] == [("SA_ID_BIRTH", False), ("SA_ID_SEX", False)]
    assert za.check_sa_id(number, today=TODAY, birth_on=date(1975, 3, 30), sex="M") == ()
    assert za.check_sa_id(number, today=TODAY, birth_on=date(1975, 3, 30), sex="U") == ()


@pytest.mark.parametrize(
    ("number", "fits"), [("0000000123456", True), ("0123456", False), ("", False), ("12 34", False)]
)
def test_a_practice_number_has_all_thirteen_digits(number, fits):
    assert (za.check_pcns(number) == ()) == fits


@pytest.mark.parametrize(
    ("number", "fits"),
    [("000123456", True), ("AB-12/3", True), ("", False), ("  ", False), ("1" * 18, False), ("1'2", False)],
)
def test_a_membership_number_has_no_common_form_but_some_limits(number, fits):
    assert (za.check_membership(number) == ()) == fits


@pytest.mark.parametrize(
    ("code", "found"), [("00", []), ("1", []), ("", [False]), ("002", [False]), ("main", [True])]
)
def test_a_dependant_code_is_copied_and_never_padded(code, found):
    assert [p.stop for p in za.check_dependant_code(code)] == found


# --- where a claim stands ------------------------------------------------------------------------------


def test_the_words_are_those_of_the_claim_standard():
    assert claim_states.TRACKING == ("Received", "Switched", "Partly Processed", "Fully Processed", "Failed")
    assert claim_states.ITEM == (
        "Received",
        "Valid",
        "Invalid",
        "Rejected",
        "Adjusted",
        "Pended",
        "Referred",
        "Approved",
        "Paid",
    )
    assert claim_states.REASON_TYPES == ("Rejection", "Warning", "Information", "Unknown")


@pytest.mark.parametrize(
    ("table", "words"),
    [(claim_states.TRACKING_AFTER, claim_states.TRACKING), (claim_states.ITEM_AFTER, claim_states.ITEM)],
)
def test_no_walk_leaves_the_table(table, words):
    assert set(table) == {"", *words}
    assert set().union(*table.values()) <= set(words)


def test_a_late_answer_does_not_undo_a_later_one():
    assert claim_states.may_follow("Received", "Approved")
    assert claim_states.may_follow("Approved", "Paid")
    assert claim_states.may_follow("Paid", "Paid")
    assert not claim_states.may_follow("Paid", "Received")
    assert not claim_states.may_follow("Rejected", "Approved")
    assert not claim_states.may_follow("Received", "Sorted")
    assert claim_states.may_follow("Failed", "Received", table=claim_states.TRACKING_AFTER)


def test_a_claim_is_processed_as_far_as_its_items_are():
    assert claim_states.tracking_of(()) == "Received"
    assert claim_states.tracking_of(("Received", "Pended")) == "Received"
    assert claim_states.tracking_of(("Approved", "Pended")) == "Partly Processed"
    assert claim_states.tracking_of(("Approved", "Rejected")) == "Fully Processed"


@pytest.mark.parametrize(
    ("service_on", "last_day"),
    [
        (date(2026, 1, 1), date(2026, 5, 31)),
        (date(2026, 1, 31), date(2026, 5, 31)),
        (date(2025, 10, 15), date(2026, 2, 28)),
        (date(2023, 10, 15), date(2024, 2, 29)),
        (date(2025, 8, 31), date(2025, 12, 31)),
    ],
)
def test_a_claim_is_in_time_until_the_end_of_the_fourth_month(service_on, last_day):
    clock = claim_states.stale_on(service_on)
    assert clock.ends_on == last_day
    assert not clock.late_on(last_day)
    assert clock.late_on(date.fromordinal(last_day.toordinal() + 1))


def test_every_clock_of_a_claim_is_told():
    running = claim_states.clocks(
        service_on=date(2026, 1, 5), received_on=date(2026, 1, 6), notified_on=date(2026, 2, 1)
    )
    assert [(clock.label, clock.ends_on) for clock in running] == [
        ("claim goes stale", date(2026, 5, 31)),
        ("payment due", date(2026, 2, 5)),
        ("scheme's notice due", date(2026, 2, 5)),
        ("resubmission closes", date(2026, 4, 2)),
    ]
    returned = claim_states.clocks(service_on=date(2026, 1, 5), returned_on=date(2026, 3, 2))
    assert returned[0].ends_on == date(2026, 7, 31)


def test_what_holds_until_the_end_of_a_day_says_that_day_and_not_midnight_of_the_next():
    assert "the end of 01/12/2026" == say_until(day_bounds(date(2026, 12, 1))[1])
    assert "01/12/2026 14:05" == say_until(datetime(2026, 12, 1, 12, 5, tzinfo=UTC))
