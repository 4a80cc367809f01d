"""A claim in the practice's hands: what an answer makes of it, what the patient may be charged, what the past says."""

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from core.errors import Turned
from core.ports.switch import Receipt, hand_over
from core.rules import claim_desk
from core.rules.claim_desk import LineCard, Outcome, Past
from core.rules.coding import CodedLine, Coding
from core.rules.examinations import examinations, schemes
from core.rules.remittance import LineAnswer, Money, Reason

TODAY = date(2026, 11, 24)
NOTICE = datetime(2026, 9, 25, 10, tzinfo=UTC)  # its sixty days end on 24/11/2026
UNKNOWN = Reason("Rejection", "Other", "X", "Unknown member")


def line(status: str, cents: int | None = 100_00, *reasons: Reason, kind: str = "tariff") -> LineCard:
    return LineCard(1, kind, "30110", "Chest", Decimal(1), cents, (), False, status, None, 0, reasons)


@pytest.mark.parametrize(
    ("tracking", "reasons", "lines", "becomes"),
    [
        ("Failed", (), [line("")], Outcome("rejected", "The claim failed at the switch: send it again.")),
        ("Failed", (UNKNOWN,), [line("")], Outcome("rejected", "Unknown member")),
        (
            "Fully Processed",
            (),
            [line("Rejected", 1, UNKNOWN), line("Invalid")],
            Outcome("rejected", "Unknown member"),
        ),
        (
            "Fully Processed",
            (),
            [line("Rejected")],
            Outcome("rejected", "The scheme refused every line and gave no reason."),
        ),
        ("Fully Processed", (), [line("Approved"), line("Paid")], Outcome("answered", "")),
        (
            "Fully Processed",
            (),
            [line("Approved"), line("Rejected", 1, UNKNOWN)],
            Outcome("answered", "In part: Unknown member"),
        ),
        ("Partly Processed", (), [line("Approved"), line("Pended")], Outcome("", "")),
        ("Partly Processed", (), [line("Rejected"), line("Pended")], Outcome("", "")),
    ],
)
def test_what_an_answer_makes_of_a_claim(tracking, reasons, lines, becomes):
    assert becomes == claim_desk.outcome(tracking, reasons, lines)


def test_the_patient_may_be_charged_what_is_owed_and_no_longer_promised():
    lines = [line("Rejected", 300), line("Approved", 500), line("Paid", 700), line("Pended", None)]
    assert 300 == claim_desk.chargeable(lines, owed_cents=800)
    assert 0 == claim_desk.chargeable(lines, owed_cents=400)


@pytest.mark.parametrize(
    ("statuses", "granted"),
    [
        ((), False),
        (("Rejected", "Invalid"), False),
        (("Pended", ""), False),
        (("Rejected", "Approved"), True),
        (("Adjusted",), True),
        (("Paid",), True),
    ],
)
def test_something_was_approved_only_where_the_payer_grants_it(statuses, granted):
    assert granted == claim_desk.was_approved(statuses)


def test_prices_are_the_same_as_long_as_no_line_costs_or_is_something_else():
    kept = [line("Approved", 100), line("", 50, kind="modifier")]
    assert claim_desk.shape(kept) == claim_desk.shape([line("", 100), line("Paid", 50, kind="modifier")])
    assert claim_desk.shape(kept) != claim_desk.shape([line("", 100), line("", 51, kind="modifier")])
    assert 150 == claim_desk.total([*kept, line("", None)])


def test_coding_begins_with_the_usual_code_of_the_examination():
    key, examination = next((k, e) for k, e in examinations().items() if e.tariff_code)
    assert Coding((CodedLine(examination.tariff_code),), place_of_service="21") == claim_desk.usual(
        key, place="21"
    )
    assert Coding(()) == claim_desk.usual("no such examination", place="11")


def test_the_payer_is_named_as_people_name_it():
    key, scheme = next(iter(schemes().items()))
    assert (scheme.name, "Private patient", "gone-scheme") == tuple(
        claim_desk.payer_name(one) for one in (key, "", "gone-scheme")
    )


def test_the_diagnoses_of_a_choice_are_those_of_its_lines_and_then_the_referrers():
    chosen = Coding(
        (CodedLine("1", icd10=("S52.5", "W19")), CodedLine("2", icd10=("Z09",))), referring_icd10=("R07",)
    )
    assert ["S52.5", "W19", "Z09", "R07"] == claim_desk.diagnoses(chosen)


@pytest.mark.parametrize(
    ("state", "received_at", "answered_at", "clocks"),
    [
        ("settled", NOTICE, NOTICE, []),
        ("coding", None, None, ["claim goes stale"]),
        ("sent", NOTICE, None, ["claim goes stale", "payment due", "scheme's notice due"]),
        ("rejected", NOTICE, NOTICE, ["claim goes stale", "resubmission closes"]),
    ],
)
def test_which_clocks_run(state, received_at, answered_at, clocks):
    running = claim_desk.running(state, service_on=TODAY, received_at=received_at, answered_at=answered_at)
    assert clocks == [clock.label for clock in running]


def test_all_that_the_past_says_is_said_at_once():
    everything = Past(True, True, True, True, NOTICE)
    assert ["IMAGES_CHANGED", "CONSENT", "PRICES_CHANGED", "UNCHANGED", "RESUBMIT_LATE"] == [
        p.code for p in claim_desk.of_the_past(everything, today=date(2026, 11, 25))
    ]
    assert ["CONSENT", "PRICES_CHANGED", "UNCHANGED"] == [
        p.code for p in claim_desk.of_the_past(everything, today=date(2026, 11, 25)) if p.stop
    ]
    assert [] == list(claim_desk.of_the_past(Past(sent_back_at=NOTICE), today=TODAY))


def test_a_history_keeps_what_was_said_of_each_line():
    answer = LineAnswer(2, "C1-002", "Rejected", Money(0, 0, (), 0), (UNKNOWN,))
    assert [{"line": 2, "status": "Rejected", "cents": 0, "why": "Unknown member"}] == claim_desk.told(
        [answer]
    )


class Refusing:
    """A switch that takes one message and turns down every other."""

    def submit(self, message: bytes, *, key: str) -> Receipt:
        if message != b"good":
            raise Turned("The message breaks its grammar.")
        return Receipt(reference=key)


def test_a_switch_that_turns_a_message_down_says_why_and_nothing_else_is_swallowed():
    assert Receipt("C1:1") == hand_over(Refusing(), b"good", key="C1:1")  # type: ignore[arg-type]
    assert "The message breaks its grammar." == hand_over(Refusing(), b"bad", key="C1:1")  # type: ignore[arg-type]
