"""The report, from the first word to the signature, on both databases."""

from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy import text

from core import factors, patients, people, privacy, reporting, workflow
from core.errors import Denied, Missing, Refused, Stale, WrongAnswer
from core.rules.report_text import LONGEST
from core.rules.steps import Status
from core.store import db
from core.store.append_only import APPEND_ONLY
from core.store.model import ReportVersion, Study
from core.store.work import Subject
from tests.fixtures.house import TestHouse, book_thando
from tests.test_takeout import signed_in

DRAFT = "FINDINGS\nThere is no fracture of the left wrist.\n\nCONCLUSION\nNormal."
CORRECTED = "FINDINGS\nThere is no fracture of the right wrist.\n\nCONCLUSION\nNormal study."


def scan(test: TestHouse, study: UUID, *, images: int = 3) -> None:
    """What core.pacs does when images arrive, without a PACS."""
    with test.does("system") as work:
        with work.act(reporting.STEPS["receive"].may, Subject.study(study)):
            row = work.get(Study, study)
            row.image_count, row.image_digest = images, "d" * 64
            workflow.move(work, row, "receive")


@pytest.fixture
def scanned(either_house: TestHouse) -> tuple[TestHouse, UUID]:
    _, study = book_thando(either_house)
    either_house.do("reception", workflow.arrive, study)
    scan(either_house, study)
    return either_house, study


def report_until_proofreading(test: TestHouse, study: UUID) -> UUID:
    test.do("radiologist", reporting.begin, study)
    test.do("radiologist", reporting.pass_on, study, text=DRAFT, based_on=None)
    desk = test.do("transcriptionist", reporting.take, study)
    return test.do("transcriptionist", reporting.pass_back, study, text=CORRECTED, based_on=desk.current.id)


def sign(test: TestHouse, study: UUID) -> UUID:
    back = report_until_proofreading(test, study)
    return test.do(
        "radiologist", reporting.sign, study, text=CORRECTED, based_on=back, code=test.code("radiologist")
    )


def test_a_report_goes_from_draft_to_signature_and_is_intact(scanned):
    test, study = scanned
    sign(test, study)
    signed = test.do("radiologist", reporting.read_signed, study)
    assert ("signed", True, True) == (signed.version.kind, signed.is_intact, signed.images_unchanged)
    assert CORRECTED == signed.version.text
    assert Status.SIGNED == signed.study.row.status
    kinds = [v.kind for v in test.do("radiologist", reporting.open_desk, study).versions]
    assert ["draft", "transcribed", "proofread", "signed"] == kinds


def test_the_marks_show_what_the_transcriptionist_changed(scanned):
    test, study = scanned
    report_until_proofreading(test, study)
    marks = test.do("radiologist", reporting.proof_read, study).marks
    assert ["left"] == [m.text for m in marks if m.kind == "removed"][:1]
    assert "right" in [m.text for m in marks if m.kind == "added"]


def test_a_wrong_code_signs_nothing_and_is_counted(scanned):
    test, study = scanned
    back = report_until_proofreading(test, study)
    with pytest.raises(WrongAnswer):
        test.do("radiologist", reporting.sign, study, text=CORRECTED, based_on=back, code="000000")
    assert Status.PROOFREADING == test.do("radiologist", workflow.open_study, study).row.status
    last = test.do("admin", privacy.entries)[0:3]
    assert ("report-sign", "refused") in [(e.act, e.outcome) for e in last]


def test_a_code_signs_only_once(scanned):
    test, study = scanned
    _, other = book_thando(test, family_name="Botha", membership_number="1")
    scan(test, other)
    back, code = report_until_proofreading(test, study), test.code("radiologist")
    test.do("radiologist", reporting.sign, study, text=CORRECTED, based_on=back, code=code)
    second = report_until_proofreading(test, other)
    with pytest.raises(WrongAnswer):
        test.do("radiologist", reporting.sign, other, text=CORRECTED, based_on=second, code=code)


def test_a_proof_for_one_report_signs_no_other_and_no_newer_version_of_it(house):
    (_, study), (_, other) = (
        book_thando(house),
        book_thando(house, family_name="Botha", membership_number="1"),
    )
    for one in (study, other):
        house.do("reception", workflow.arrive, one)
        scan(house, one)
    back, second = (report_until_proofreading(house, one) for one in (study, other))
    house.actors["radiologist"] = signed_in(house, "radiologist")
    house.do(
        "radiologist",
        factors.prove_by_code,
        purpose=reporting.purpose_of(study, back),
        code=house.code("radiologist"),
    )
    with pytest.raises(WrongAnswer, match="Confirm that it is you"):
        house.do("radiologist", reporting.sign, other, text=CORRECTED, based_on=second)
    newer = house.do("radiologist", reporting.save, study, text=f"{CORRECTED}\nMore.", based_on=back)
    with pytest.raises(WrongAnswer, match="Confirm that it is you"):
        house.do("radiologist", reporting.sign, study, text=CORRECTED, based_on=newer)
    house.do(
        "radiologist",
        factors.prove_by_code,
        purpose=reporting.purpose_of(study, newer),
        code=house.code("radiologist"),
    )
    house.do("radiologist", reporting.sign, study, text=CORRECTED, based_on=newer)
    assert house.do("radiologist", reporting.read_signed, study).is_intact


def test_only_the_reporting_radiologist_signs(scanned):
    test, study = scanned
    back = report_until_proofreading(test, study)
    with pytest.raises(Denied):
        test.do("transcriptionist", reporting.sign, study, text="x", based_on=back, code="1")
    with pytest.raises(Denied):
        test.do("admin", reporting.sign, study, text="x", based_on=back, code="1")


def test_a_report_without_a_conclusion_is_not_signed(scanned):
    test, study = scanned
    back = report_until_proofreading(test, study)
    with pytest.raises(Refused) as refused:
        test.do(
            "radiologist",
            reporting.sign,
            study,
            text="FINDINGS\nx",
            based_on=back,
            code=test.code("radiologist"),
        )
    assert ["conclusion_present"] == [p.code for p in refused.value.problems]


def test_a_text_that_is_behind_is_never_saved_over_a_newer_one(scanned):
    test, study = scanned
    test.do("radiologist", reporting.begin, study)
    first = test.do("radiologist", reporting.save, study, text="one", based_on=None)
    test.do("radiologist", reporting.save, study, text="two", based_on=first)
    with pytest.raises(Stale):
        test.do("radiologist", reporting.save, study, text="three", based_on=first)


def test_a_text_of_20_megabytes_is_refused_and_nothing_changes(scanned):
    test, study = scanned
    test.do("radiologist", reporting.begin, study)
    with pytest.raises(Refused, match="200 000"):
        test.do("radiologist", reporting.save, study, text="x" * 20_000_000, based_on=None)
    assert 200_000 == LONGEST
    assert None is test.do("radiologist", reporting.open_desk, study).current


@pytest.mark.parametrize("line", ["- a\n", "a\n\n", "ABC\nd\n", '"'])
def test_a_report_that_cannot_be_printed_is_not_signed(scanned, line):
    test, study = scanned
    back = report_until_proofreading(test, study)
    long = "CONCLUSION\n" + line * ((LONGEST - 100) // len(line))
    with pytest.raises(Refused, match="too long to print"):
        test.do("radiologist", reporting.sign, study, text=long, based_on=back, code=test.code("radiologist"))
    assert Status.PROOFREADING == test.do("radiologist", workflow.open_study, study).row.status


def test_a_lease_keeps_others_out_until_it_runs_out(scanned):
    test, study = scanned
    with test.does("system") as work:
        welcome = people.add_person(
            work,
            login="second",
            name="Second Transcriptionist",
            roles=("transcriptionist",),
            password="correct horse battery",
        )
    test.actors["second"] = type(test.actors["transcriptionist"])(
        str(welcome.person.id), "Second Transcriptionist", frozenset({"transcriptionist"})
    )
    test.do("radiologist", reporting.begin, study)
    test.do("radiologist", reporting.pass_on, study, text=DRAFT, based_on=None)
    desk = test.do("transcriptionist", reporting.take, study)
    with pytest.raises(Refused, match="Transcriptionist Person"):
        test.do("second", reporting.take, study)
    test.clock.pass_(minutes=16)
    test.do("second", reporting.take, study)
    with pytest.raises(Refused, match="Somebody else"):
        test.do("transcriptionist", reporting.keep, study, text="mine", based_on=desk.current.id)


def test_a_changed_text_shows_as_not_intact_and_the_database_refuses_the_change(scanned):
    test, study = scanned
    sign(test, study)
    engine = test.house.engine.execution_options(write=True)
    with (
        pytest.raises(Exception, match="append-only"),
        db.maintenance("attack"),
        engine.begin() as connection,
    ):
        connection.execute(text("update report_version set text = 'Normal.'"))
    with db.maintenance("attack"), engine.begin() as connection:
        drop = (
            "drop trigger report_version_no_update"
            if engine.dialect.name == "sqlite"
            else ("drop trigger report_version_append_only on report_version")
        )
        connection.execute(text(drop))
        connection.execute(text("update report_version set text = 'Fracture.' where kind = 'signed'"))
    assert not test.do("radiologist", reporting.read_signed, study).is_intact


def test_later_images_leave_the_signature_intact_but_show_a_changed_image_set(scanned):
    test, study = scanned
    sign(test, study)
    with test.does("system") as work:
        with work.act(reporting.STEPS["receive"].may, Subject.study(study)):
            work.get(Study, study).image_digest = "e" * 64
    signed = test.do("radiologist", reporting.read_signed, study)
    assert (True, False) == (signed.is_intact, signed.images_unchanged)


def test_nobody_arrives_without_a_recorded_consent(either_house):
    patient = either_house.do(
        "reception",
        patients.register,
        patients.Particulars("Dlamini", "Sipho", either_house.clock.at.date() - timedelta(days=9000), "M"),
    )
    booking = workflow.Booking(patient, "xr-chest", "X-ray chest", "CR", either_house.clock.at)
    study = either_house.do("reception", workflow.book, booking)
    with pytest.raises(Refused, match="consent"):
        either_house.do("reception", workflow.arrive, study)


def test_a_study_that_does_not_exist_and_one_that_is_not_yours_look_the_same(either_house):
    with pytest.raises(Missing) as missing:
        either_house.do("radiologist", workflow.open_study, either_house.house.new_id())
    assert "does not exist, or is not yours" in missing.value.sentence


def test_opening_twice_in_one_sitting_leaves_one_entry(either_house):
    from core.store.work import Openings

    _, study = book_thando(either_house)
    sitting = Openings()
    for _ in range(3):
        with either_house.house.work(either_house.actors["radiologist"], openings=sitting) as work:
            workflow.open_study(work, study)
    opened = [e for e in either_house.do("admin", privacy.entries) if e.act == "study-read"]
    assert 1 == len(opened)


def test_the_chain_verifies_and_the_patients_page_lists_every_act(scanned):
    test, study = scanned
    sign(test, study)
    assert None is test.do("system", privacy.verify_chain).broken_at
    patient = test.do("radiologist", workflow.open_study, study).row.patient_id
    acts = {e.act for e in test.do("admin", privacy.who_looked, patient)}
    assert {
        "order-book",
        "order-arrive",
        "images-receive",
        "report-write",
        "transcribe",
        "report-sign",
    } <= acts


def test_signing_leaves_one_errand_to_attach_the_report(scanned):
    from core import errands

    test, study = scanned
    signed = sign(test, study)
    assert [("attach_report", str(signed))] == [
        (e.kind, e.payload["version"]) for e in test.do("admin", errands.open_errands)
    ]


def test_versions_are_never_deleted(scanned):
    test, study = scanned
    sign(test, study)
    with pytest.raises(Exception, match="append-only"):
        with test.does("radiologist") as work, work.act(reporting.STEPS["sign"].may):
            work.db.delete(work.db.query(ReportVersion).first())
            work.db.flush()


@pytest.mark.parametrize("table", APPEND_ONLY)
def test_what_is_only_added_to_cannot_be_replaced_either(house, table):
    _, study = book_thando(house)
    house.do("reception", workflow.arrive, study)
    scan(house, study)
    sign(house, study)
    claimed = (
        "insert into claim_event (id, origin, at, what, facts) values ('1', '01', '2026-01-01', 'x', '{}')"
    )
    posted = (
        "insert into posting (id, origin, entry_id, at, account, cents, memo) "
        "values ('1', '01', '1', '2026-01-01', 'bank', 0, '')"
    )
    with db.maintenance("test"), house.house.engine.execution_options(write=True).connect() as connection:
        for statement in (claimed, posted):
            connection.exec_driver_sql(statement)
        with pytest.raises(Exception, match="append-only"):
            connection.exec_driver_sql(f"insert or replace into {table} select * from {table}")


def test_another_radiologist_takes_a_report_over_with_a_reason_and_signs_it_as_their_own(scanned):
    test, study = scanned
    back = report_until_proofreading(test, study)
    with test.does("system") as work:
        welcome = people.add_person(
            work, login="locum", name="Dr Locum", roles=("radiologist",), password="correct horse battery"
        )
    test.actors["locum"] = type(test.actors["radiologist"])(
        str(welcome.person.id), "Dr Locum", frozenset({"radiologist"})
    )
    test.secrets["locum"] = welcome.secret
    with pytest.raises(Refused, match="Radiologist Person"):
        test.do("locum", reporting.save, study, text="mine", based_on=back)
    with pytest.raises(Refused, match="why"):
        test.do("locum", reporting.take_over, study, reason=" ")
    test.do("locum", reporting.take_over, study, reason="Dr Person is on leave.")
    test.do("locum", reporting.sign, study, text=CORRECTED, based_on=back, code=test.code("locum"))
    assert "Dr Locum" == test.do("radiologist", reporting.read_signed, study).signer
