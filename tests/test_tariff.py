"""Price lists, and the pricing of lines with modifiers."""

import csv
from datetime import date
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.rules import catalogue, money, tariff
from core.rules.tariff import Asked, Tariff

DATA = Path(__file__).parents[1] / "data"
DEMO = tariff.preview((DATA / "demo_tariff.csv").read_bytes())
DAY = date(2026, 1, 5)


def find(*rows):
    return lambda code: tariff.price_on(rows, code, scheme="", service_on=DAY)


def modifier(code, factor):
    return Tariff(code, code, "modifier", factor=Fraction(factor))


EXAM = Tariff("65130", "Left wrist X-ray", cents=54050)
THIRD_OFF = modifier("00093", "-1/3")


# --- money -----------------------------------------------------------------------------------------------


@given(st.integers(-(10**12), 10**12))
def test_an_amount_that_is_written_can_be_read_again(cents):
    assert money.parse_rands(money.rands(cents)) == cents
    assert money.parse_rands(money.plain(cents)) == cents


@pytest.mark.parametrize("text", ["", "R", "twelve", "1.2.3", "--5", "1e3", "NaN", "12,3456"])
def test_what_is_no_amount_is_refused(text):
    with pytest.raises(ValueError, match="not a rand amount"):
        money.parse_rands(text)


@pytest.mark.parametrize(
    ("exact", "step", "cents"),
    [
        ("0.5", 1, 1),
        ("-0.5", 1, -1),
        ("0.49", 1, 0),
        ("12345", 10, 12350),
        ("12344", 10, 12340),
        ("-12345", 10, -12350),
    ],
)
def test_halves_are_rounded_away_from_zero(exact, step, cents):
    assert money.half_up(Decimal(exact), step_cents=step) == cents


# --- pricing ---------------------------------------------------------------------------------------------


def test_a_line_costs_its_price_times_its_quantity():
    priced = tariff.price([Asked("65130", Decimal("2.5"))], find=find(EXAM))
    assert [(line.kind, line.code, line.cents) for line in priced.lines] == [("tariff", "65130", 135125)]
    assert priced.problems == ()


def test_hospital_equipment_takes_one_third_off_on_a_line_of_its_own():
    priced = tariff.price([Asked("65130", modifiers=("00093",))], find=find(EXAM, THIRD_OFF))
    assert [(line.kind, line.code, line.cents) for line in priced.lines] == [
        ("tariff", "65130", 54050),
        ("modifier", "00093", -18017),
    ]
    assert priced.cents == 36033


def test_the_three_modifiers_of_radiology_need_no_price_list():
    priced = tariff.price([Asked("65130", modifiers=("00091", "00092", "00093"))], find=find(EXAM))
    assert [(line.code, line.cents) for line in priced.lines] == [
        ("65130", 54050),
        ("00091", 0),
        ("00092", 0),
        ("00093", -18017),
    ]


def test_reductions_come_before_additions_however_they_were_asked_for():
    rows = (EXAM, THIRD_OFF, modifier("AFTER", "1/2"), modifier("HALF1", "-1/2"))
    priced = tariff.price([Asked("65130", modifiers=("AFTER", "00093", "00091", "HALF1"))], find=find(*rows))
    assert [(line.code, line.cents) for line in priced.lines[1:]] == [
        ("00091", 0),
        ("00093", -18017),
        ("HALF1", -18017),
        ("AFTER", 9008),
    ]


def test_coida_amounts_are_rounded_to_ten_cents():
    priced = tariff.price([Asked("65130", modifiers=("00093",))], find=find(EXAM, THIRD_OFF), step_cents=10)
    assert [line.cents for line in priced.lines] == [54050, -18020]


@given(
    st.integers(0, 10**7), st.integers(1, 9999), st.lists(st.fractions(-1, 1, max_denominator=12), max_size=5)
)
def test_lines_sum_to_the_claim_and_reductions_never_go_below_nothing(cents, hundredths, factors):
    rows = [Tariff("65130", "x", cents=cents)] + [
        modifier(f"M{at:04}", factor) for at, factor in enumerate(factors)
    ]
    asked = Asked("65130", Decimal(hundredths) / 100, tuple(row.code for row in rows[1:]))
    priced = tariff.price([asked], find=find(*rows))
    assert priced.problems == ()
    assert priced.cents == sum(line.cents for line in priced.lines)
    assert priced.cents >= 0
    assert [line.asked for line in priced.lines] == [0] * (1 + len(factors))


def test_every_problem_is_told_at_once():
    unpriced = Tariff("65135", "Right wrist X-ray")
    priced = tariff.price(
        [
            Asked("11111"),
            Asked("65135"),
            Asked("00093"),
            Asked("65130", Decimal("0"), ("00093", "00093", "77777", "65135")),
            Asked("65130", Decimal("NaN")),
            Asked("65130", Decimal("0.333")),
        ],
        find=find(EXAM, unpriced, THIRD_OFF),
    )
    assert [(p.code, p.field) for p in priced.problems] == [
        ("PRICE_MISSING", "asked.0"),
        ("PRICE_MISSING", "asked.1"),
        ("TARIFF_KIND", "asked.2"),
        ("QUANTITY", "asked.3"),
        ("MODIFIER_TWICE", "asked.3"),
        ("MODIFIER_UNKNOWN", "asked.3"),
        ("MODIFIER_UNKNOWN", "asked.3"),
        ("QUANTITY", "asked.4"),
        ("QUANTITY", "asked.5"),
    ]
    assert [line.cents for line in priced.lines if line.kind == "tariff"] == [None] * 6


# --- which price holds -----------------------------------------------------------------------------------


def test_the_schemes_own_price_goes_before_the_general_one_and_the_newest_before_older_ones():
    old = Tariff("65130", "x", cents=1, valid_from=date(2025, 1, 1), valid_until=date(2025, 12, 31))
    new = Tariff("65130", "x", cents=2, valid_from=date(2026, 1, 1))
    own = Tariff("65130", "x", cents=3, valid_from=date(2025, 6, 1), scheme="gems")
    rows = (old, new, own)

    def cents(scheme, day):
        found = tariff.price_on(rows, "65130", scheme=scheme, service_on=day)
        return found and found.cents

    assert cents("", date(2024, 12, 31)) is None
    assert cents("", date(2025, 12, 31)) == 1
    assert cents("", date(2026, 1, 1)) == 2
    assert cents("gems", date(2026, 1, 1)) == 3
    assert cents("gems", date(2025, 5, 31)) == 1
    assert cents("discovery", date(2026, 1, 1)) == 2


# --- loading a list --------------------------------------------------------------------------------------

HEAD = ",".join(tariff.COLUMNS) + "\n"


def test_loading_shows_what_is_new_changed_unchanged_and_refused_before_anything_is_done():
    known = tariff.preview(
        (
            HEAD + "65130,Wrist,tariff,540.50,,2026-01-01,,,a,0\n65135,Wrist,tariff,1,,2026-01-01,,,a,0\n"
        ).encode()
    )
    again = tariff.preview(
        (
            HEAD
            + "65130,Wrist,tariff,540.50,,2026-01-01,,,a,0\n"
            + "65135,Wrist,tariff,2.00,,2026-01-01,,,a,0\n"
            + '30110,"Chest, two views",tariff,"1 234,56",,01/02/2026,,gems,a,\n'
            + "30110,Chest,tariff,1,,2026-02-01,,gems,a,\n"
            + ",Chest,tariff,1,,2026-02-01,,,a,\n"
            + "30110,,tariff,1,,2026-02-01,,,a,\n"
            + "30110,Chest,fee,1,,2026-02-01,,,a,\n"
            + "30110,Chest,tariff,much,,2026-02-01,,,a,\n"
            + "30110,Chest,tariff,-1,,2026-02-01,,,a,\n"
            + "30110,Chest,tariff,1,,,,,a,\n"
            + "30110,Chest,tariff,1,,2026-02-01,2026-01-01,,a,\n"
            + "00099,Mod,modifier,,,2026-02-01,,,a,\n"
            + "00099,Mod,modifier,,-2,2026-02-01,,,a,\n"
            + "00099,Mod,modifier,5,0.5,2026-02-01,,,a,\n"
            + "30110,Chest,tariff,1,0.5,2026-02-01,,,a,\n"
            + "30110,Chest,tariff,1,,2026-02-30,,,a,\n"
        ).encode(),
        existing=known.new,
    )
    assert [row.code for row in again.unchanged] == ["65130"]
    assert [(before.cents, after.cents) for before, after in again.changed] == [(100, 200)]
    assert [(row.code, row.cents, row.valid_from, row.scheme) for row in again.new] == [
        ("30110", 123456, date(2026, 2, 1), "gems")
    ]
    assert [row.line for row in again.refused] == list(range(5, 18))
    assert len({row.reason for row in again.refused}) == 13
    after = tariff.replaced(known.new, again)
    assert sorted((row.code, row.cents) for row in after) == [
        ("30110", 123456),
        ("65130", 54050),
        ("65135", 200),
    ]


def test_a_list_saved_with_semicolons_is_read_too():
    text = (
        (HEAD + "65130,Wrist,tariff,540.50,,2026-01-01,,,a,0\n").replace(",", ";").replace("540.50", "540,50")
    )
    assert [row.cents for row in tariff.preview(text.encode()).new] == [54050]


@pytest.mark.parametrize(
    "content", [b"", b"\xff\xfe", b"a,b\n1,2\n", HEAD.encode() + b'65130,"Wrist,tariff,1,,2026-01-01']
)
def test_a_file_that_is_no_price_list_is_refused_in_one_sentence(content):
    with pytest.raises(ValueError, match="price list"):
        tariff.preview(content)


# --- what ships ------------------------------------------------------------------------------------------


def test_every_shipped_price_says_that_it_is_a_demo():
    assert DEMO.refused == ()
    assert len(DEMO.new) >= 12
    assert {(row.demo, row.source) for row in DEMO.new} == {(True, tariff.DEMO_SOURCE)}
    assert DEMO.demo


def test_pricing_with_the_demo_list_warns_on_every_line():
    def demo(code):
        return tariff.price_on(DEMO.new, code, scheme="", service_on=DAY)

    priced = tariff.price([Asked("30110"), Asked("65130", modifiers=("00093",))], find=demo)
    assert [(p.code, p.stop) for p in priced.problems] == [("PRICE_DEMO", False)] * 2
    assert all(line.demo for line in priced.lines)


def test_every_examination_that_can_be_booked_has_a_demo_price():
    examinations = catalogue.parse_examinations((DATA / "examinations.csv").read_bytes())
    assert examinations.refused == ()
    assert 15 <= len(examinations.rows) <= 20
    assert {e.tariff_code for e in examinations.rows} <= {row.code for row in DEMO.new}


def test_the_shipped_schemes_hold_only_confirmed_numbers_and_one_demo_scheme():
    schemes = catalogue.parse_schemes((DATA / "schemes.csv").read_bytes())
    assert schemes.refused == ()
    assert [(s.key, s.cms_no, s.demo) for s in schemes.rows] == [
        ("discovery", "1125", False),
        ("gems", "1598", False),
        ("ubuntu-demo", "", True),
    ]


def test_a_practices_own_lists_are_checked_row_by_row():
    head = "key,name,modality,body_part,laterality,tariff_code,minutes\n"
    listed = catalogue.parse_examinations(
        (
            head
            + "a,A,CT,HEAD,,,20\na,B,CT,HEAD,,,20\nb,B,PET,HEAD,,,20\nc,C,CT,HEAD,B,,20\nd,D,CT,HEAD,,,0\n,,,,,,\n"
        ).encode()
    )
    assert [row.key for row in listed.rows] == ["a"]
    assert [line for line, _ in listed.refused] == [3, 4, 5, 6, 7]


def test_every_shipped_code_stands_in_the_sourced_list_and_was_not_made_up(reference_data):
    with (reference_data / "nrpl_codes.csv").open(newline="") as file:
        graded = {row["code"] for row in csv.DictReader(file) if row["evidence"][:1] in "AB"}
    assert {row.code for row in DEMO.new} - graded == set()
