"""From a signed report to a settled claim, with the simulated switch reading our real message, on both databases."""

from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from uuid import UUID

import pytest

from core import billing, errands, workflow
from core.billing import CodedLine, Coding
from core.errors import Refused, Stale
from core.rules import medclm
from core.rules.steps import Status
from tests.fixtures.billing import WRIST, ready_to_bill, run_errands, settle, signed_study, submit
from tests.fixtures.house import TestHouse


@pytest.fixture
def billed_house(either_house: TestHouse) -> TestHouse:
    return ready_to_bill(either_house)


def status(test: TestHouse, study: UUID) -> Status:
    return test.do("billing", workflow.open_study, study).row.status


def test_a_signed_report_becomes_a_paid_claim_to_the_cent(billed_house):
    study = signed_study(billed_house)
    assert [study] == [row.study.id for row in billed_house.do("billing", billing.queue)[0]]
    submit(billed_house, study)
    assert (Status.CLAIMED, 0) == (status(billed_house, study), billed_house.do("billing", billing.queue)[1])
    settle(billed_house)
    desk = billed_house.do("billing", billing.open_claim, study)
    assert (Status.PAID, "settled", 54050, 54050, 0, 0) == (
        status(billed_house, study), desk.state, desk.total_cents, desk.paid_cents, desk.owed_by_scheme_cents,
        desk.owed_by_patient_cents,
    )  # fmt: skip
    balances = billed_house.do("billing", billing.balances)
    assert {"scheme": 0, "patient": 0, "income": -54050, "bank": 54050, "suspense": 0} == balances


def test_a_short_payment_leaves_the_rest_with_the_patient(billed_house):
    study = signed_study(billed_house, membership="570616010")
    submit(billed_house, study)
    settle(billed_house)
    desk = billed_house.do("billing", billing.open_claim, study)
    assert (Status.PAID, 43240, 10810, 0) == (
        status(billed_house, study), desk.paid_cents, desk.owed_by_patient_cents, desk.owed_by_scheme_cents)  # fmt: skip
    assert 0 == sum(billed_house.do("billing", billing.balances).values())


def test_a_rejected_claim_comes_back_with_its_reason_is_mended_and_is_paid(billed_house):
    from core import patients

    study = signed_study(billed_house, membership="800101000")
    submit(billed_house, study)
    settle(billed_house)
    desk = billed_house.do("billing", billing.open_claim, study)
    assert (Status.REJECTED, "rejected", True) == (status(billed_house, study), desk.state, desk.is_editable)
    assert ["SIM-MEMBER"] == [r.code for r in desk.lines[0].reasons]
    assert 0 == desk.owed_by_scheme_cents
    card = billed_house.do("reception", patients.open_patient, desk.study.row.patient_id)
    mended = replace(card.particulars, membership_number="800101001")
    billed_house.do("reception", patients.correct, card.id, mended, version=card.version)
    billed_house.do("billing", billing.submit, study)
    settle(billed_house)
    desk = billed_house.do("billing", billing.open_claim, study)
    assert (Status.PAID, 54050) == (status(billed_house, study), desk.paid_cents)
    assert 0 == sum(billed_house.do("billing", billing.balances).values())


def test_a_claim_without_a_diagnosis_and_with_two_problems_names_both_at_once(billed_house):
    study = signed_study(billed_house)
    coding = Coding((CodedLine("65130"), CodedLine("88888", icd10=("W19.99",))))
    desk = billed_house.do("billing", billing.open_claim, study)
    billed_house.do("billing", billing.code, study, coding=coding, version=desk.version)
    with pytest.raises(Refused) as refused:
        billed_house.do("billing", billing.submit, study)
    fields = {p.field for p in refused.value.problems if p.stop}
    assert len({f.split(".")[1] for f in fields if "." in f}) >= 2
    assert Status.SIGNED == status(billed_house, study)
    assert 0 == sum(abs(c) for c in billed_house.do("billing", billing.balances).values())


def test_the_message_is_kept_sealed_and_reads_back(billed_house):
    study = signed_study(billed_house)
    number = submit(billed_house, study)
    message = billed_house.do("billing", billing.message_of, study)
    assert () == medclm.validate(message, billing.PROFILE)
    claim = medclm.parse(message, billing.PROFILE).messages[0].claim
    assert (number, 54050) == (claim.number, claim.cents)


def test_transmitting_twice_and_hearing_twice_changes_nothing_the_second_time(billed_house):
    study = signed_study(billed_house)
    submit(billed_house, study)
    card = billed_house.do("system", errands.take_due)
    while card.kind != "transmit_claim":
        card = billed_house.do("system", errands.take_due)
    billing.transmit_claim(billed_house.house, card.payload)
    billing.transmit_claim(billed_house.house, card.payload)
    assert 1 <= billing.fetch_answers(billed_house.house)
    assert 0 == billing.fetch_answers(billed_house.house)
    assert 1 == billing.fetch_remittances(billed_house.house)
    assert 0 == billing.fetch_remittances(billed_house.house)
    payment = billed_house.do("billing", billing.remittances)[0][0]
    billed_house.do("billing", billing.post, payment.id)
    with pytest.raises(Refused, match="posted already"):
        billed_house.do("billing", billing.post, payment.id)


def test_two_clerks_never_overwrite_each_other(billed_house):
    study = signed_study(billed_house)
    desk = billed_house.do("billing", billing.open_claim, study)
    billed_house.do("billing", billing.code, study, coding=WRIST, version=desk.version)
    with pytest.raises(Stale):
        billed_house.do("billing", billing.code, study, coding=Coding(()), version=desk.version)


def test_starter_codes_and_demo_prices_say_so(billed_house):
    tables = billed_house.do("billing", billing.tables)
    assert (True, True) == (tables.icd10_is_starter, tables.prices_are_demo)
    study = signed_study(billed_house)
    desk = billed_house.do("billing", billing.open_claim, study)
    problems = billed_house.do("billing", billing.code, study, coding=WRIST, version=desk.version)
    assert {False} == {p.stop for p in problems}
    assert any("demo" in p.sentence.lower() for p in problems)


def test_diagnoses_are_found_by_code_and_by_word(billed_house):
    assert "S52.50" in [c.code for c in billed_house.do("billing", billing.find_codes, search="s52")]
    assert "R51" in [c.code for c in billed_house.do("billing", billing.find_codes, search="headache")]


def test_the_official_table_loads_and_replaces_the_starter(house, reference_data: Path):
    content = (reference_data / "sa_icd10_mit_2021.csv.gz").read_bytes()
    house.do("billing", billing.import_icd10, content=content, name="MIT March 2021")
    tables = house.do("billing", billing.tables)
    assert (41008, False) == (tables.icd10_rows, tables.icd10_is_starter)
    assert Decimal(1) == CodedLine("x").quantity
