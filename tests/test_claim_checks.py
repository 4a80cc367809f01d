"""What must be right before a claim leaves."""

from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from core.rules import claim_checks, icd10, medclm
from core.rules.claim import Claim, ClaimLine, ClaimPatient, Item, Member, Provider, Scheme
from core.rules.medclm import SwitchProfile

STARTER = Path(__file__).parents[1] / "data" / "icd10_starter.csv"
TABLE = {code.code: code for code in icd10.parse_official(STARTER.read_bytes()).codes}
TODAY = date(2026, 1, 20)

WRIST = ClaimLine(
    1, "tariff", "65130", "Left wrist X-ray", Decimal(1), 54050, ("S52.50", "W19.99"), "c0ffee01"
)
THIRD_OFF = ClaimLine(2, "modifier", "00093", "Hospital equipment", Decimal(1), -18017, (), "c0ffee02")

GOOD = Claim(
    number="INV-1",
    account_no="ACC1",
    practice=Provider("0000000123456", "Ubuntu Radiology"),
    scheme=Scheme("Ubuntu Demo Medical Scheme", "99999"),
    member=Member("100200300", "Mokoena", "TJ"),
    patient=ClaimPatient("Mokoena", "Lerato", "L", date(1980, 1, 1), "F", "", "01"),
    treating=Provider("0000000123457", "Dr P Pillay"),
    referrer=Provider("0000000222333", "Dr A Botha"),
    service_on=date(2026, 1, 5),
    accession="A26-000001",
    lines=(WRIST, THIRD_OFF),
    report_version_id="signed",
    total_cents=36033,
)


def check(claim=GOOD, **more):
    return claim_checks.check(claim, **({"lookup": TABLE.get, "today": TODAY} | more))


def found(claim=GOOD, **more):
    return [(p.code, p.field, p.stop) for p in check(claim, **more)]


def with_line(**changes):
    line = replace(WRIST, **changes)
    return replace(GOOD, lines=(line, THIRD_OFF), total_cents=None)


def test_a_good_claim_has_no_problems_and_can_be_written():
    assert check(profile=SwitchProfile()) == ()
    assert medclm.write(
        GOOD, SwitchProfile(), batch_no=1, prepared_at=datetime(2026, 1, 20, tzinfo=UTC), control_ref="R1"
    )


PATIENT, MEMBER = GOOD.patient, GOOD.member

ROWS = [
    # what is wrong, the problem it makes, whether it stops the claim
    (replace(GOOD, report_version_id=""), "REPORT", True),
    (replace(GOOD, accession=""), "ACCESSION", False),
    (replace(GOOD, scheme=Scheme()), "SCHEME", True),
    (replace(GOOD, scheme=Scheme("GEMS")), "ROUTING", True),
    (replace(GOOD, member=replace(MEMBER, number="")), "MEMBER_NUMBER", True),
    (replace(GOOD, member=replace(MEMBER, number="12 34")), "MEMBER_NUMBER", True),
    (replace(GOOD, member=replace(MEMBER, surname=" ")), "MEMBER", True),
    (replace(GOOD, member=replace(MEMBER, initials="")), "MEMBER", True),
    (replace(GOOD, member=replace(MEMBER, initials="T.J.")), "MEMBER", True),
    (replace(GOOD, patient=replace(PATIENT, surname="")), "PATIENT", True),
    (replace(GOOD, patient=replace(PATIENT, first_name="")), "PATIENT", True),
    (replace(GOOD, patient=replace(PATIENT, dependant_code="")), "DEPENDANT", False),
    (replace(GOOD, patient=replace(PATIENT, dependant_code="main")), "DEPENDANT", True),
    (replace(GOOD, patient=replace(PATIENT, birth_on=None)), "BIRTH", True),
    (replace(GOOD, patient=replace(PATIENT, birth_on=date(2026, 1, 6))), "BIRTH", True),
    (replace(GOOD, patient=replace(PATIENT, sex="U")), "SEX", False),
    (replace(GOOD, patient=replace(PATIENT, id_number="8001010000000")), "SA_ID", False),
    (replace(GOOD, practice=Provider("0123456", "Ubuntu")), "PCNS", True),
    (replace(GOOD, practice=Provider("", "Ubuntu")), "PCNS", True),
    (replace(GOOD, practice=Provider("0000000123456")), "PRACTICE_NAME", True),
    (replace(GOOD, treating=Provider()), "PCNS", True),
    (replace(GOOD, referrer=Provider()), "REFERRER", False),
    (replace(GOOD, referrer=Provider(name="Dr Botha")), "PCNS", False),
    (replace(GOOD, referrer=Provider("12")), "PCNS", True),
    (replace(GOOD, referrer=Provider("0000000123456")), "REFERRER", True),
    (replace(GOOD, number=""), "CLAIM_NUMBER", True),
    (replace(GOOD, account_no=""), "ACCOUNT", True),
    (replace(GOOD, correction="XYZ"), "CORRECTION", True),
    (replace(GOOD, correction="ADJ"), "ORIGINAL", True),
    (replace(GOOD, original_number="INV-0"), "ORIGINAL", True),
    (replace(GOOD, service_on=date(2026, 1, 21)), "FUTURE", True),
    (replace(GOOD, service_on=date(2025, 8, 31)), "STALE", True),
    (replace(GOOD, service_on=date(2025, 8, 31), correction="ADJ", original_number="INV-0"), "STALE", False),
    (replace(GOOD, service_on=date(2025, 9, 30)), "STALE_SOON", False),
    (replace(GOOD, place_of_service="77"), "PLACE", True),
    (replace(GOOD, place_of_service="21"), "AUTHORISATION", False),
    (
        replace(GOOD, lines=(WRIST, replace(THIRD_OFF, code="00091", cents=0)), total_cents=None),
        "PLACE",
        False,
    ),
    (replace(GOOD, lines=()), "LINES", True),
    (replace(GOOD, lines=(replace(WRIST, tracer=""),), total_cents=None), "TRACER", True),
    (replace(GOOD, lines=(WRIST, replace(THIRD_OFF, tracer=WRIST.tracer))), "TRACER", True),
    (replace(GOOD, lines=(WRIST, replace(THIRD_OFF, number=3))), "LINE_NUMBER", True),
    (with_line(kind="fee"), "LINE_KIND", True),
    (with_line(code="65 130"), "TARIFF", True),
    (with_line(code="3445"), "TARIFF", True),
    (with_line(quantity=Decimal(0)), "QUANTITY", True),
    (with_line(quantity=Decimal("NaN")), "QUANTITY", True),
    (with_line(cents=None), "PRICE_MISSING", True),
    (with_line(cents=-5), "PRICE", True),
    (with_line(demo=True), "PRICE_DEMO", False),
    (with_line(items=(Item("702345001", "Contrast", Decimal(1), 54049, ("R51",)),)), "ITEMS", True),
    (with_line(items=(Item("70234-5", "Contrast", Decimal(1), 54050, ("R51",)),)), "NAPPI", True),
    (with_line(items=(Item("702345001", "Contrast", Decimal(1), 54050),)), "CR0031", True),
    (with_line(icd10=()), "CR0031", True),
    (with_line(icd10=("S52.50",)), "GSN0006", True),
    (with_line(icd10=("N40",)), "CR0019", True),
    (replace(GOOD, lines=(WRIST, replace(THIRD_OFF, icd10=("R51",)))), "CR0035", True),
    (replace(GOOD, referring_icd10=("R9",)), "CR0002", True),
    (replace(GOOD, lines=(replace(THIRD_OFF, number=1), replace(WRIST, number=2))), "MODIFIER_FIRST", True),
    (
        replace(GOOD, lines=(WRIST, replace(THIRD_OFF, cents=-54051)), total_cents=None),
        "MODIFIER_AMOUNT",
        True,
    ),
    (
        replace(GOOD, lines=(WRIST, replace(WRIST, number=2, tracer="x")), total_cents=None),
        "DUPLICATE_LINE",
        False,
    ),
    (replace(GOOD, total_cents=36034), "TOTAL", True),
    (replace(GOOD, lines=(replace(WRIST, cents=0),), total_cents=None), "TOTAL", True),
]


@pytest.mark.parametrize(("claim", "code", "stop"), ROWS)
def test_each_check_finds_its_fault_and_says_what_to_do(claim, code, stop):
    problems = [p for p in check(claim) if p.code == code]
    assert [p.stop for p in problems][:1] == [stop]
    for problem in problems:
        assert problem.sentence.endswith((".", "?"))
        assert problem.field


def test_a_reduction_after_an_addition_must_move_up():
    addition = ClaimLine(2, "modifier", "0M001", "After hours", Decimal(1), 27025, (), "x")
    claim = replace(GOOD, lines=(WRIST, addition, replace(THIRD_OFF, number=3)), total_cents=None)
    assert found(claim) == [("MODIFIER_ORDER", "lines.2", True)]
    right = replace(GOOD, lines=(WRIST, THIRD_OFF, replace(addition, number=3)), total_cents=None)
    assert found(right) == []


def test_inpatient_and_outpatient_exclude_each_other():
    both = tuple(
        replace(THIRD_OFF, number=n, code=c, cents=0, tracer=c) for n, c in ((2, "00091"), (3, "00092"))
    )
    assert ("PLACE", "lines", True) in found(replace(GOOD, lines=(WRIST, *both), total_cents=None))


def test_what_was_already_claimed_that_day_is_a_warning_unless_this_corrects_it():
    earlier = {(GOOD.service_on, "65130")}
    assert found(earlier=earlier) == [("DUPLICATE_CLAIM", "lines.0", False)]
    assert found(replace(GOOD, correction="ADJ", original_number="INV-1"), earlier=earlier) == []


def test_the_starter_table_is_named_wherever_it_is_used():
    assert found(starter=True) == [("ICD10_STARTER", "icd10", False)]


def test_a_scheme_may_grant_more_than_four_months():
    old = replace(GOOD, service_on=date(2025, 8, 31), scheme=replace(GOOD.scheme, stale_months=6))
    assert found(old) == []


def test_what_the_switch_cannot_hold_is_told_once():
    claim = replace(
        GOOD, patient=replace(PATIENT, surname="M\u00fcller"), lines=(replace(WRIST, cents=None), THIRD_OFF)
    )
    claim = replace(claim, total_cents=None)
    problems = found(claim, profile=SwitchProfile())
    assert ("RESPELT", "patient.surname", False) in problems
    assert [code for code, _, _ in problems].count("PRICE_MISSING") == 1
    half = with_line(quantity=Decimal("2.5"))
    assert found(half, profile=SwitchProfile(quantity_scale=1)) == [("QUANTITY", "lines.0", True)]
    assert found(half, profile=SwitchProfile()) == []


@pytest.mark.parametrize(
    ("funder", "code"), [("coida", "COIDA"), ("private", "PRIVATE"), ("barter", "FUNDER")]
)
def test_who_is_no_medical_scheme_gets_no_claim_and_an_explanation(funder, code):
    assert found(replace(GOOD, funder=funder, lines=())) == [(code, "funder", True)]


def test_every_problem_of_a_claim_is_told_at_once_each_with_its_line():
    claim = replace(
        GOOD,
        member=Member(),
        referrer=Provider(),
        report_version_id="",
        lines=(
            replace(WRIST, icd10=()),
            replace(THIRD_OFF, icd10=("R51",)),
            replace(WRIST, number=3, cents=None),
        ),
    )
    problems = check(claim, starter=True)
    assert {p.code for p in problems} >= {
        "MEMBER_NUMBER",
        "MEMBER",
        "REFERRER",
        "REPORT",
        "CR0031",
        "CR0035",
        "PRICE_MISSING",
        "TRACER",
        "ICD10_STARTER",
        "DUPLICATE_LINE",
    }
    sentences = [p.sentence for p in problems]
    assert "Line 1: add a diagnosis: choose at least one ICD-10 code." in sentences
    assert "Line 2: a modifier line carries no diagnosis: remove its ICD-10 codes." in sentences


def test_an_empty_claim_is_full_of_problems_and_breaks_nothing():
    empty = Claim("", "", Provider(), Scheme(), Member(), ClaimPatient(), Provider(), date(2026, 1, 5), ())
    assert len(check(empty, profile=SwitchProfile())) >= 12
