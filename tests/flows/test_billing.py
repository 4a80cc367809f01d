"""From a signed report to a settled claim, with the simulated switch reading our real message, on both databases."""

import base64
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from threading import Barrier
from uuid import UUID

import pytest

from core import billing, errands, patients, privacy, workflow
from core.billing import CodedLine, Coding
from core.errors import Refused, Stale, Turned
from core.rules import medclm
from core.rules.examinations import DATA
from core.rules.remittance import LineAnswer, Money, RemittanceLine, Response
from core.rules.remittance import Remittance as Paid
from core.rules.steps import Status
from core.rules.za_time import local_day
from tests.fixtures.billing import PCNS, WRIST, ready_to_bill, run_errands, settle, signed_study, submit
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
        status(billed_house, study),
        desk.state,
        desk.total_cents,
        desk.paid_cents,
        desk.owed_by_scheme_cents,
        desk.owed_by_patient_cents,
    )
    balances = billed_house.do("billing", billing.balances)
    assert {
        "scheme": 0,
        "patient": 0,
        "income": -54050,
        "bank": 54050,
        "suspense": 0,
        "surplus": 0,
    } == balances


def test_a_short_payment_leaves_the_rest_with_the_patient(billed_house):
    study = signed_study(billed_house, membership="570616010")
    submit(billed_house, study)
    settle(billed_house)
    desk = billed_house.do("billing", billing.open_claim, study)
    assert (Status.PAID, 43240, 10810, 0) == (
        status(billed_house, study),
        desk.paid_cents,
        desk.owed_by_patient_cents,
        desk.owed_by_scheme_cents,
    )
    assert 0 == sum(billed_house.do("billing", billing.balances).values())


def test_a_rejected_claim_comes_back_with_its_reason_is_mended_and_is_paid(billed_house):
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
    opened = billed_house.do("admin", privacy.entries)[0]
    patient = at_the_desk(billed_house, study).study.row.patient_id
    assert ("claim-message", str(patient)) == (opened.subject_kind, opened.patient_id)


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


# Answers that are not simple ------------------------------------------------------------------------------------


def hear(test: TestHouse) -> None:
    run_errands(test)
    billing.fetch_answers(test.house)


def accounts(test: TestHouse) -> dict[str, int]:
    return {name: cents for name, cents in test.do("billing", billing.balances).items() if cents}


def at_the_desk(test: TestHouse, study: UUID) -> billing.ClaimDesk:
    return test.do("billing", billing.open_claim, study)


@pytest.mark.parametrize("ending", ["00", "10", "20", "30", "40", "50", "70", "80", "90", "01"])
def test_whatever_the_payer_says_the_postings_sum_to_zero(billed_house, ending):
    study = signed_study(billed_house, membership=f"8001010{ending}")
    submit(billed_house, study)
    for _ in range(3):
        settle(billed_house)
        billed_house.clock.pass_(minutes=5)
    desk = at_the_desk(billed_house, study)
    assert 0 == sum(billed_house.do("billing", billing.balances).values())
    assert desk.total_cents in (
        desk.paid_cents + desk.owed_by_scheme_cents + desk.owed_by_patient_cents,
        desk.total_cents * (desk.state == "rejected"),
    )


def test_a_pended_claim_waits_and_is_approved_later(billed_house):
    study = signed_study(billed_house, membership="800101040")
    submit(billed_house, study)
    hear(billed_house)
    desk = at_the_desk(billed_house, study)
    assert ("sent", ["Pended"], False) == (desk.state, [line.status for line in desk.lines], desk.is_editable)
    billing.fetch_answers(billed_house.house)
    desk = at_the_desk(billed_house, study)
    assert ("answered", ["Approved"]) == (desk.state, [line.status for line in desk.lines])


def test_a_claim_that_failed_at_the_switch_goes_again_as_a_new_claim(billed_house):
    study = signed_study(billed_house, membership="800101080")
    submit(billed_house, study)
    hear(billed_house)
    desk = at_the_desk(billed_house, study)
    assert ("rejected", "Failed", {}) == (desk.state, desk.tracking, accounts(billed_house))
    billed_house.do("billing", billing.submit, study)
    claim = (
        medclm.parse(billed_house.do("billing", billing.message_of, study), billing.PROFILE).messages[0].claim
    )
    assert "" == claim.correction
    settle(billed_house)
    assert Status.PAID == status(billed_house, study)


def test_a_message_that_the_switch_turns_down_comes_back_to_the_clerk(billed_house):
    class Refusing:
        def submit(self, message: bytes, *, key: str) -> None:
            raise Turned("The switch refuses the message: no contract.")

    study = signed_study(billed_house)
    submit(billed_house, study)
    ports = billed_house.house.ports
    billed_house.house.ports = replace(ports, switch=Refusing())
    run_errands(billed_house)
    billed_house.house.ports = ports
    desk = at_the_desk(billed_house, study)
    assert ("rejected", "The switch refuses the message: no contract.", {}) == (
        desk.state,
        desk.why,
        accounts(billed_house),
    )
    billed_house.do("billing", billing.submit, study)
    settle(billed_house)
    assert Status.PAID == status(billed_house, study)


def test_what_was_refused_and_not_changed_is_not_sent_again_without_a_word(billed_house):
    study = signed_study(billed_house, membership="800101000")
    submit(billed_house, study)
    hear(billed_house)
    with pytest.raises(Refused) as refused:
        billed_house.do("billing", billing.submit, study)
    assert ["UNCHANGED"] == [p.code for p in refused.value.problems if p.stop]
    desk = at_the_desk(billed_house, study)
    noted = replace(desk.coding, notes="Member registered on 20/11/2026.")
    billed_house.do("billing", billing.code, study, coding=noted, version=desk.version)
    billed_house.do("billing", billing.submit, study)
    assert "RSV" == at_the_desk(billed_house, study).correction


def partly_refused(test: TestHouse) -> UUID:
    prices = b"code,description,kind,price,valid_from\n99999,Unknown to schemes,tariff,300.00,2020-01-01\n"
    test.do("billing", billing.import_tariff, content=prices)
    study = signed_study(test)
    submit(test, study, Coding((*WRIST.lines, CodedLine("99999", icd10=("S52.50", "W19.99")))))
    settle(test)
    return study


def test_a_line_refused_beside_a_paid_one_is_charged_to_the_patient_when_a_person_says_so(billed_house):
    study = partly_refused(billed_house)
    desk = at_the_desk(billed_house, study)
    assert ("answered", 54050, 30000, 0, 30000) == (
        desk.state,
        desk.paid_cents,
        desk.owed_by_scheme_cents,
        desk.owed_by_patient_cents,
        desk.chargeable_cents,
    )
    assert 30000 == billed_house.do("billing", billing.charge_patient, study)
    desk = at_the_desk(billed_house, study)
    assert ("settled", 0, 30000) == (desk.state, desk.owed_by_scheme_cents, desk.owed_by_patient_cents)
    with pytest.raises(Refused):
        billed_house.do("billing", billing.charge_patient, study)


def test_a_line_refused_beside_a_paid_one_is_mended_by_an_amendment_to_the_cent(billed_house):
    study = partly_refused(billed_house)
    billed_house.do("billing", billing.recall, study, why="Wrong tariff code on line 2")
    desk = at_the_desk(billed_house, study)
    assert ("ADJ", Status.REJECTED, True) == (desk.correction, status(billed_house, study), desk.is_editable)
    mended = Coding((*WRIST.lines, CodedLine("30110", icd10=("S52.50", "W19.99"))))
    billed_house.do("billing", billing.code, study, coding=mended, version=desk.version)
    billed_house.do("billing", billing.submit, study)
    settle(billed_house)
    desk = at_the_desk(billed_house, study)
    total = 54050 + 48230
    assert (Status.PAID, "settled", total, total, 0) == (
        status(billed_house, study),
        desk.state,
        desk.total_cents,
        desk.paid_cents,
        desk.owed_by_scheme_cents,
    )
    assert {"income": -total, "bank": total} == accounts(billed_house)


def test_money_taken_back_opens_the_claim_again(billed_house):
    study = signed_study(billed_house, membership="800101050")
    submit(billed_house, study)
    settle(billed_house)
    assert Status.PAID == status(billed_house, study)
    settle(billed_house)
    desk = at_the_desk(billed_house, study)
    assert (Status.CLAIMED, "answered", 0, 54050, 54050) == (
        status(billed_house, study),
        desk.state,
        desk.paid_cents,
        desk.owed_by_scheme_cents,
        desk.chargeable_cents,
    )
    billed_house.do("billing", billing.charge_patient, study)
    assert {"patient": 54050, "income": -54050} == accounts(billed_house)


def test_an_answer_nobody_can_read_is_kept_until_somebody_has_dealt_with_it(billed_house):
    study = signed_study(billed_house, membership="800101090")
    number = submit(billed_house, study)
    hear(billed_house)
    (unread,) = billed_house.do("billing", billing.unread_answers)
    assert f"?? {number} ??" == base64.b64decode(unread.facts["raw"]).decode()
    with pytest.raises(Refused):
        billed_house.do("billing", billing.mark_read, unread.id, note=" ")
    billed_house.do("billing", billing.mark_read, unread.id, note="Called the payer; sent again.")
    assert () == billed_house.do("billing", billing.unread_answers)
    with pytest.raises(Refused, match="already"):
        billed_house.do("billing", billing.mark_read, unread.id, note="Me too.")
    billed_house.do("billing", billing.recall, study, why="No readable answer")
    assert (Status.REJECTED, {}) == (status(billed_house, study), accounts(billed_house))
    assert "RSV" == at_the_desk(billed_house, study).correction


def answer(
    number: str, tracking: str, line_status: str, *, id: str, tracer: str, practice: str = PCNS["practice"]
) -> Response:
    line = LineAnswer(1, tracer, line_status, Money(54050, 54050))
    return Response(id, id, practice, number, tracking, (line,))


class Says:
    """A switch that has these answers."""

    def __init__(self, *answers: Response) -> None:
        self.answers = answers

    def poll(self, since: str) -> tuple[Response, ...]:
        return self.answers


def listen(test: TestHouse, *answers: Response) -> None:
    ports = test.house.ports
    test.house.ports = replace(ports, switch=Says(*answers))
    billing.fetch_answers(test.house)
    test.house.ports = ports


def test_a_late_answer_never_undoes_a_later_one(billed_house):
    study = signed_study(billed_house)
    number = submit(billed_house, study)
    settle(billed_house)
    tracer = f"{number}-001"
    listen(billed_house, answer(number, "Fully Processed", "Rejected", id="late-1", tracer=tracer))
    desk = at_the_desk(billed_house, study)
    assert ("settled", ["Paid"], "late") == (
        desk.state,
        [x.status for x in desk.lines],
        desk.history[-1].what,
    )


def test_an_answer_for_another_practice_or_an_unknown_line_touches_nothing(billed_house):
    study = signed_study(billed_house)
    number = submit(billed_house, study)
    run_errands(billed_house)
    listen(
        billed_house,
        answer(
            number, "Fully Processed", "Rejected", id="a", tracer=f"{number}-001", practice="0380000999999"
        ),
        answer(number, "Partly Processed", "Rejected", id="b", tracer="somebody-elses"),
    )
    desk = at_the_desk(billed_house, study)
    assert ("sent", [""]) == (desk.state, [line.status for line in desk.lines])
    assert 1 == len(billed_house.do("billing", billing.unread_answers))
    assert "Rejected" == desk.history[-1].facts["unmatched"][0]["status"]


# What stops a claim -----------------------------------------------------------------------------------------------


def stopped_by(test: TestHouse, study: UUID, chosen: Coding = WRIST) -> set[str]:
    return {p.code for p in test.do("billing", billing.price, study, chosen=chosen).problems if p.stop}


def test_a_private_patient_and_an_injury_on_duty_are_not_claimed_from_a_scheme(billed_house):
    private = signed_study(billed_house, scheme_code="", family_name="Botha")
    assert {"PRIVATE"} == stopped_by(billed_house, private)
    insured = signed_study(billed_house)
    assert (set(), {"COIDA"}) == (
        stopped_by(billed_house, insured),
        stopped_by(billed_house, insured, replace(WRIST, funder="coida")),
    )
    assert [private] == [r.study.id for r in billed_house.do("billing", billing.queue, payer="private")[0]]


def test_a_patient_who_said_no_is_not_claimed_for(billed_house):
    study = signed_study(billed_house)
    patient = at_the_desk(billed_house, study).study.row.patient_id
    billed_house.do("reception", patients.record_consent, patient, purpose="claim", given=False, how="verbal")
    assert {"CONSENT"} == stopped_by(billed_house, study)


def test_pricing_a_draft_keeps_nothing(billed_house):
    study = signed_study(billed_house)
    priced = billed_house.do("billing", billing.price, study, chosen=WRIST)
    desk = at_the_desk(billed_house, study)
    assert (54050, 0, "") == (priced.total_cents, desk.version, desk.number)


def test_prices_that_changed_since_the_coding_are_shown_before_anything_is_sent(billed_house):
    study = signed_study(billed_house)
    desk = at_the_desk(billed_house, study)
    billed_house.do("billing", billing.code, study, coding=WRIST, version=desk.version)
    dearer = b"code,description,kind,price,valid_from\n65130,Left wrist X-ray,tariff,600.00,2020-01-01\n"
    billed_house.do("billing", billing.import_tariff, content=dearer)
    with pytest.raises(Refused) as refused:
        billed_house.do("billing", billing.submit, study)
    assert ["PRICES_CHANGED"] == [p.code for p in refused.value.problems if p.stop]
    desk = at_the_desk(billed_house, study)
    billed_house.do("billing", billing.code, study, coding=WRIST, version=desk.version)
    billed_house.do("billing", billing.submit, study)
    assert 60000 == at_the_desk(billed_house, study).total_cents


def test_what_somebody_else_coded_is_not_sent_unseen(billed_house):
    study = signed_study(billed_house)
    seen = at_the_desk(billed_house, study)
    billed_house.do("billing", billing.code, study, coding=WRIST, version=seen.version)
    with pytest.raises(Stale):
        billed_house.do("billing", billing.submit, study, version=seen.version)


def test_sixty_days_after_the_refusal_the_clerk_is_told(billed_house):
    study = signed_study(billed_house, membership="800101000")
    submit(billed_house, study)
    hear(billed_house)
    clock = {c.label: c.ends_on for c in at_the_desk(billed_house, study).clocks}
    assert local_day(billed_house.clock.at) + timedelta(days=60) == clock["resubmission closes"]
    billed_house.clock.pass_(days=61)
    found = billed_house.do("billing", billing.price, study, chosen=WRIST).problems
    assert "RESUBMIT_LATE" in [p.code for p in found if not p.stop]


# Payments -------------------------------------------------------------------------------------------------------

HEAD = (
    "remittance,payer,practice_no,paid_on,total,claim_number,line,tracer,status,submitted,calculated,levy,co_payment,paid,"
    "reason_type,reason_source,reason_code,reason_text\r\n"
)


def row(number: str, *, claim: str, total: str = "540.50", paid: str = "540.50", tracer: str = "") -> str:
    return f"{number},Payer,{PCNS['practice']},2026-11-20,{total},{claim},1,{tracer},Paid,540.50,{paid},,,{paid},,,,\r\n"


def test_money_for_an_unknown_claim_lies_in_suspense_until_its_claim_is_found(billed_house):
    study = signed_study(billed_house)
    number = submit(billed_house, study)
    run_errands(billed_house)
    billed_house.do(
        "billing", billing.import_remittances, content=(HEAD + row("RA-1", claim="INV-77")).encode()
    )
    payment = billed_house.do("billing", billing.remittances)[0][0]
    billed_house.do("billing", billing.post, payment.id)
    assert {"scheme": 54050, "income": -54050, "bank": 54050, "suspense": -54050} == accounts(billed_house)
    (lost,), total = billed_house.do("billing", billing.suspense)
    assert (1, "INV-77") == (total, lost.line.claim_number)
    with pytest.raises(Refused, match="no submitted claim"):
        billed_house.do("billing", billing.assign, lost.line.id, claim_number="INV-78")
    assert number == billed_house.do("billing", billing.assign, lost.line.id, claim_number=f" {number} ")
    assert {"income": -54050, "bank": 54050} == accounts(billed_house)
    assert Status.PAID == status(billed_house, study)
    with pytest.raises(Refused, match="not in suspense"):
        billed_house.do("billing", billing.assign, lost.line.id, claim_number=number)


def test_a_payments_file_says_first_what_it_would_do(billed_house):
    good, uneven = row("RA-1", claim="X"), row("RA-2", claim="Y", total="999.00")
    content = (HEAD + good + uneven + "RA-3,Payer,x\r\n").encode()
    found = billed_house.do("billing", billing.preview_remittances, content=content)
    assert ((("Payer", "RA-1", 54050, 1),), ()) == (found.new, found.known)
    assert {3, 4} == {line for line, _ in found.refused}
    assert 0 == billed_house.do("billing", billing.remittances)[1]
    assert 1 == billed_house.do("billing", billing.import_remittances, content=content)[0]
    again = billed_house.do("billing", billing.preview_remittances, content=content)
    assert ((), 1) == (again.new, len(again.known))


def test_a_payment_whose_lines_do_not_make_its_total_is_never_posted(billed_house):
    line = RemittanceLine("X", 1, "t", "Paid", Money(54050, 54050))
    uneven = Paid("RA-9", "1", "Payer", PCNS["practice"], date(2026, 11, 20), 99900, (line,))

    class Pays:
        def remittances(self, since: str) -> tuple[Paid, ...]:
            return (uneven,)

    billed_house.house.ports = replace(billed_house.house.ports, switch=Pays())
    billing.fetch_remittances(billed_house.house)
    payment = billed_house.do("billing", billing.remittances)[0][0]
    assert "" != billed_house.do("billing", billing.open_remittance, payment.id).problem
    with pytest.raises(Refused, match="total"):
        billed_house.do("billing", billing.post, payment.id)
    assert {} == accounts(billed_house)


def pay(test: TestHouse, *payments: Paid) -> int:
    """These payments come from the switch."""

    class Pays:
        def remittances(self, since: str) -> tuple[Paid, ...]:
            return payments

    ports = test.house.ports
    test.house.ports = replace(ports, switch=Pays())
    taken = billing.fetch_remittances(test.house)
    test.house.ports = ports
    return taken


def payment(
    number: str, *lines: RemittanceLine, practice: str = PCNS["practice"], payer: str = "Payer"
) -> Paid:
    return Paid(
        number, number[:20], payer, practice, date(2026, 11, 20), sum(x.paid_cents for x in lines), lines
    )


def paid_line(
    claim: str, cents: int = 54050, *, submitted: int | None = None, number: int = 1
) -> RemittanceLine:
    money = Money(cents if submitted is None else submitted, cents)
    return RemittanceLine(claim, number, f"{claim}-{number:03d}"[:35], "Paid", money)


def test_another_practices_payment_in_a_file_is_refused_with_its_reason(billed_house):
    ours, theirs = row("RA-1", claim="X"), row("RA-2", claim="X").replace(PCNS["practice"], "0380000999999")
    content = (HEAD + ours + theirs).encode()
    preview = billed_house.do("billing", billing.preview_remittances, content=content)
    assert ["RA-1"] == [number for _, number, _, _ in preview.new]
    taken, ((line, reason),) = billed_house.do("billing", billing.import_remittances, content=content)
    assert (1, 3) == (taken, line)
    assert "0380000999999" in reason
    assert ["RA-1"] == [p.number for p in billed_house.do("billing", billing.remittances)[0]]


def test_a_payment_names_us_with_the_last_seven_digits_of_our_number_or_not_at_all(billed_house):
    numbers = (PCNS["practice"], PCNS["practice"][-7:], "", PCNS["practice"][-6:], PCNS["radiologist"])
    taken = [pay(billed_house, payment(f"RA-{n}", paid_line("X"), practice=p)) for n, p in enumerate(numbers)]
    assert [1, 1, 1, 0, 0] == taken


def test_another_practices_payment_from_the_switch_is_kept_for_a_person_and_never_posted(billed_house):
    foreign = payment("RA-1", paid_line("X"), practice="0380000999999")
    assert 0 == pay(billed_house, foreign)
    assert 0 == pay(billed_house, foreign)
    assert 0 == billed_house.do("billing", billing.remittances)[1]
    (kept,) = billed_house.do("billing", billing.unread_answers)
    assert "0380000999999" in kept.facts["reasons"][0]["text"]
    assert b"RA-1,Payer,0380000999999" in base64.b64decode(kept.facts["raw"])
    billed_house.do("billing", billing.mark_read, kept.id, note="Told the bank.")
    assert () == billed_house.do("billing", billing.unread_answers)


def test_two_payments_whose_numbers_begin_alike_are_never_taken_for_one(billed_house):
    alike = "N" * 60
    content = (
        HEAD + row(alike, claim="X") + row(alike + "A", claim="X") + row(alike + "B", claim="X")
    ).encode()
    taken, refused = billed_house.do("billing", billing.import_remittances, content=content)
    assert 1 == taken
    assert {3, 4} == {line for line, _ in refused}
    assert 2 == sum("61 characters" in reason for _, reason in refused)


@pytest.mark.parametrize(
    "bad",
    [
        payment("N" * 61, paid_line("X")),
        payment("RA-1", paid_line("X"), payer="P" * 121),
        payment("RA-1", paid_line("C" * 36)),
        payment("RA-1", replace(paid_line("X"), tracer="T" * 36)),
        payment("RA-1", paid_line("X", number=10**30)),
        payment("RA-1", paid_line("X", 10**30)),
        payment("RA-1\0", paid_line("X")),
    ],
)
def test_a_payment_that_no_table_can_hold_is_kept_for_a_person_and_holds_up_no_other(billed_house, bad):
    assert 1 == pay(billed_house, bad, payment("RA-2", paid_line("X")))
    assert ["RA-2"] == [p.number for p in billed_house.do("billing", billing.remittances)[0]]
    assert 1 == len(billed_house.do("billing", billing.unread_answers))


@pytest.mark.parametrize(
    "bad",
    [
        row("RA-1", claim="X").replace(",1,", f",{10**30},"),
        row("RA-1", claim="X").replace(",1,", f",{'9' * 5000},"),
        row("RA-1", claim="X", total=f"{10**30}.00", paid=f"{10**30}.00"),
        row("RA-1", claim="C" * 36),
        row("RA-1", claim="X", tracer="T" * 36),
        row("RA\x00-1", claim="X"),
    ],
)
def test_a_row_that_no_table_can_hold_is_refused_with_its_line_and_the_others_are_taken(billed_house, bad):
    content = (HEAD + bad + row("RA-2", claim="X")).encode()
    taken, refused = billed_house.do("billing", billing.import_remittances, content=content)
    assert (1, {2}) == (taken, {line for line, _ in refused})


def paid_by_hand(test: TestHouse, *payments: Paid) -> None:
    """These payments come and a clerk posts each."""
    pay(test, *payments)
    for waiting in reversed(test.do("billing", billing.remittances, open_only=True)[0]):
        test.do("billing", billing.post, waiting.id)


def test_what_a_scheme_pays_too_much_is_shown_and_the_study_stays_paid(billed_house):
    study = signed_study(billed_house)
    number = submit(billed_house, study)
    run_errands(billed_house)
    paid_by_hand(billed_house, payment("RA-1", paid_line(number)))
    assert Status.PAID == status(billed_house, study)
    paid_by_hand(billed_house, payment("RA-2", paid_line(number)))
    desk = at_the_desk(billed_house, study)
    assert (Status.PAID, "settled", 0, 54050, 0) == (
        status(billed_house, study),
        desk.state,
        desk.owed_by_scheme_cents,
        desk.surplus_cents,
        desk.owed_by_patient_cents,
    )
    assert {"income": -54050, "bank": 108100, "surplus": -54050} == accounts(billed_house)
    assert [(study, number, 54050)] == [
        (s.study_id, s.claim_number, s.cents) for s in billed_house.do("billing", billing.surpluses)
    ]
    paid_by_hand(billed_house, payment("RA-3", paid_line(number, -54050)))
    assert (Status.PAID, {"income": -54050, "bank": 54050}) == (
        status(billed_house, study),
        accounts(billed_house),
    )
    assert () == billed_house.do("billing", billing.surpluses)
    paid_by_hand(billed_house, payment("RA-4", paid_line(number, -54050)))
    assert (Status.CLAIMED, {"income": -54050, "scheme": 54050}) == (
        status(billed_house, study),
        accounts(billed_house),
    )


def test_a_short_payment_that_comes_twice_is_not_charged_to_the_patient_twice(billed_house):
    study = signed_study(billed_house)
    number = submit(billed_house, study)
    run_errands(billed_house)
    short = paid_line(number, 43240, submitted=54050)
    paid_by_hand(billed_house, payment("RA-1", short), payment("RA-2", short))
    assert {"income": -54050, "bank": 86480, "patient": 10810, "surplus": -43240} == accounts(billed_house)


def test_more_than_was_claimed_is_a_surplus_from_the_first_cent(billed_house):
    study = signed_study(billed_house)
    number = submit(billed_house, study)
    run_errands(billed_house)
    paid_by_hand(billed_house, payment("RA-1", paid_line(number, 54051)))
    assert (Status.PAID, 1) == (status(billed_house, study), at_the_desk(billed_house, study).surplus_cents)


def test_money_for_a_claim_that_was_never_sent_lies_in_suspense(billed_house):
    study = signed_study(billed_house)
    desk = at_the_desk(billed_house, study)
    billed_house.do("billing", billing.code, study, coding=WRIST, version=desk.version)
    number = at_the_desk(billed_house, study).number
    paid_by_hand(billed_house, payment("RA-1", paid_line(number)))
    assert {"bank": 54050, "suspense": -54050} == accounts(billed_house)
    assert (Status.SIGNED, 0) == (status(billed_house, study), at_the_desk(billed_house, study).paid_cents)
    ((lost,), _) = billed_house.do("billing", billing.suspense)
    billed_house.do("billing", billing.submit, study)
    billed_house.do("billing", billing.assign, lost.line.id, claim_number=number)
    assert {"income": -54050, "bank": 54050} == accounts(billed_house)


# Lists and tables -------------------------------------------------------------------------------------------------


def test_the_queue_says_what_is_urgent_and_why_a_claim_came_back(billed_house):
    fresh = signed_study(billed_house, family_name="Botha")
    refused = signed_study(billed_house, membership="800101000", family_name="Naidoo")
    submit(billed_house, refused)
    hear(billed_house)
    rows, total = billed_house.do("billing", billing.queue)
    assert ({fresh, refused}, 2) == ({r.study.id for r in rows}, total)
    only = billed_house.do("billing", billing.queue, rejected_only=True)[0]
    assert [("Unknown membership number", 54050)] == [(r.why, r.total_cents) for r in only]
    assert [date(2027, 3, 31)] == [r.stale_on for r in only]
    assert [fresh] == [r.study.id for r in billed_house.do("billing", billing.queue, search="both")[0]]


def test_claims_are_counted_under_the_same_search_and_paged(billed_house):
    for name, membership in (("Botha", "800101001"), ("Naidoo", "800101000"), ("Smit", "800101002")):
        submit(billed_house, signed_study(billed_house, family_name=name, membership=membership))
    settle(billed_house)
    rows, total, counts = billed_house.do("billing", billing.claims)
    assert (3, {"settled": 2, "rejected": 1}) == (total, counts)
    assert ["Smit, Thandô"] == [
        r.study.patient for r in billed_house.do("billing", billing.claims, size=1)[0]
    ]
    assert ["Botha, Thandô"] == [
        r.study.patient for r in billed_house.do("billing", billing.claims, size=1, page=3)[0]
    ]
    assert {"rejected": 1} == billed_house.do("billing", billing.claims, search="naidoo")[2]
    number = rows[0].number
    assert [number] == [
        r.number for r in billed_house.do("billing", billing.claims, search=number.lower())[0]
    ]


def test_a_pasted_page_in_a_search_keeps_nobody_waiting(billed_house):
    page = "wrist\0 % _ " * 50_000
    for verb in (billing.queue, billing.claims, billing.find_codes, billing.find_tariffs):
        billed_house.do("billing", verb, search=page)
    assert "R51" in [c.code for c in billed_house.do("billing", billing.find_codes, search="headache\0")]
    words = ["headache " * 20_000, "x" * 200]
    assert [True, False] == [bool(billed_house.do("billing", billing.find_codes, search=w)) for w in words]


def test_a_page_beyond_every_list_is_empty(billed_house):
    for verb in (billing.queue, billing.claims, billing.remittances, billing.suspense):
        for page in (10**30, -(10**30)):
            assert () == billed_house.do("billing", verb, page=page)[0]


def test_the_same_table_is_not_loaded_twice_and_a_part_of_it_is_no_national_table(billed_house):
    starter = (DATA / "icd10_starter.csv").read_bytes()
    with pytest.raises(Refused, match="loaded already"):
        billed_house.do("billing", billing.import_icd10, content=starter, name="Again")
    part = b"\n".join(starter.splitlines()[:20])
    billed_house.do("admin", billing.import_icd10, content=part, name="Master Industry Table")
    assert billed_house.do("billing", billing.tables).icd10_is_starter


def test_two_clerks_who_code_one_study_at_the_same_moment_make_one_claim(billed_house):
    study = signed_study(billed_house)
    together = Barrier(2)

    def try_to_code(_: int) -> str:
        together.wait()
        try:
            billed_house.do("billing", billing.code, study, coding=WRIST, version=0)
        except Refused as error:
            return type(error).__name__
        return "kept"

    with ThreadPoolExecutor(2) as clerks:
        assert ["Stale", "kept"] == sorted(clerks.map(try_to_code, range(2)))
    assert "01C00000001" == at_the_desk(billed_house, study).number


def test_two_clerks_who_post_one_payment_at_the_same_moment_post_it_once(billed_house):
    study = signed_study(billed_house)
    submit(billed_house, study)
    run_errands(billed_house)
    billing.fetch_answers(billed_house.house)
    billing.fetch_remittances(billed_house.house)
    payment = billed_house.do("billing", billing.remittances)[0][0]
    together = Barrier(2)

    def try_to_post(_: int) -> str:
        together.wait()
        try:
            billed_house.do("billing", billing.post, payment.id)
        except Refused as error:
            return error.sentence
        return "kept"

    with ThreadPoolExecutor(2) as clerks:
        assert ["This payment is posted already.", "kept"] == sorted(clerks.map(try_to_post, range(2)))
    assert {"income": -54050, "bank": 54050} == accounts(billed_house)
