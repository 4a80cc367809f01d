"""Booking, lists and the mover: what a click may do, and two people at one study."""

from dataclasses import replace
from uuid import UUID

import pytest

from core import reporting, workflow
from core.errors import Refused, Stale
from core.rules.roles import Permission
from core.rules.steps import STEPS, Status
from core.store.model import ReportVersion, Study
from core.store.work import Actor, Reach
from core.workflow import Filters
from tests.fixtures.guests import at_once
from tests.fixtures.house import TestHouse, book_thando
from tests.flows.test_reporting import CORRECTED, DRAFT, report_until_proofreading, scan, sign


@pytest.fixture
def scanned(either_house: TestHouse) -> tuple[TestHouse, UUID]:
    _, study = book_thando(either_house)
    scan(either_house, study)
    return either_house, study


@pytest.mark.parametrize("step", sorted(set(STEPS) - {"arrive", "cancel"}) + ["no-such-step"])
def test_no_other_step_is_taken_by_a_click(house, step):
    _, study = book_thando(house)
    with pytest.raises(Refused, match="more than a click"):
        house.do("radiologist", workflow.take, study, step=step)


def test_signing_cannot_be_had_without_the_code(scanned):
    test, study = scanned
    back = report_until_proofreading(test, study)
    test.do("radiologist", reporting.save, study, text=CORRECTED, based_on=back)
    with pytest.raises(Refused):
        test.do("radiologist", workflow.take, study, step="sign")
    assert Status.PROOFREADING == test.do("radiologist", workflow.open_study, study).row.status


def test_a_booking_with_every_mistake_is_told_them_all_at_once(house):
    patient, _ = book_thando(house)
    booking = workflow.Booking(
        patient,
        "",
        "x" * 65,
        "TOOLONG",
        house.clock.at,
        urgency="soon",
        place_of_service="x",
        clinical_history="x" * 10_001,
    )
    with pytest.raises(Refused) as refused:
        house.do("reception", workflow.book, booking)
    assert ["no-examination", "no-urgency", "no-place", "history-long"] == [
        p.code for p in refused.value.problems
    ]


def test_a_study_uid_is_a_uuid_under_2_25_and_never_the_same(house):
    with house.does("reception") as work, work.look(Permission.BOARD_SEE):
        uids = {workflow.new_study_uid(work) for _ in range(200)}
    assert 200 == len(uids)
    for uid in uids:
        root, number = uid.rsplit(".", 1)
        assert ("2.25", 4) == (root, UUID(int=int(number)).version)
        assert len(uid) <= 64


def test_lists_stay_inside_their_statuses_whatever_is_asked(either_house):
    book_thando(either_house)
    asked = Filters(statuses=(Status.BOOKED,))
    assert (1, 0, 0) == (
        either_house.do("reception", workflow.board, asked).total,
        either_house.do("radiologist", workflow.reading_list, asked).total,
        either_house.do("transcriptionist", reporting.queue, asked).total,
    )
    assert 0 == either_house.do("transcriptionist", reporting.queue, Filters()).total


def test_the_board_counts_under_the_same_filters_and_finds_by_name_and_accession(either_house):
    _, study = book_thando(either_house)
    book_thando(either_house, family_name="Botha", membership_number="2")
    scan(either_house, study)
    board = either_house.do(
        "reception", workflow.board, Filters(search="muller", statuses=(Status.SCANNED,)), page=0
    )
    assert ([study], 1, {Status.SCANNED: 1}) == ([r.id for r in board.rows], board.total, board.counts)
    by_number = either_house.do("reception", workflow.board, Filters(search=board.rows[0].accession))
    assert [study] == [r.id for r in by_number.rows]


def test_an_accession_is_found_whatever_the_case_of_its_letters(either_house):
    either_house.house.origin = "K1"
    _, study = book_thando(either_house)
    assert [study] == [
        r.id for r in either_house.do("reception", workflow.board, Filters(search="k100")).rows
    ]


def test_texts_saved_while_proof_reading_do_not_hide_what_the_transcriptionist_changed(scanned):
    test, study = scanned
    last = report_until_proofreading(test, study)
    for text in (CORRECTED + "\nOne.", CORRECTED + "\nTwo."):
        last = test.do("radiologist", reporting.save, study, text=text, based_on=last)
    shown = test.do("radiologist", reporting.proof_read, study)
    assert ("draft", DRAFT, "proofread") == (shown.before.kind, shown.before.text, shown.after.kind)
    assert {"left"} <= {m.text for m in shown.marks if m.kind == "removed"}


def test_of_two_texts_saved_at_once_one_is_kept_and_the_other_is_told(scanned):
    test, study = scanned
    test.do("radiologist", reporting.begin, study)
    outcomes = at_once(
        lambda n: test.do("radiologist", reporting.save, study, text=f"Text {n}.", based_on=None)
    )
    assert (1, 2) == (outcomes.count(Stale), len(set(outcomes)))
    assert 1 == len(test.do("radiologist", reporting.open_desk, study).versions)


def test_of_two_who_begin_one_report_one_has_it(scanned):
    test, study = scanned
    outcomes = at_once(lambda _: test.do("radiologist", reporting.begin, study))
    assert 1 == outcomes.count(type(None))
    moves = [m.step for m in test.do("radiologist", workflow.open_study, study).history]
    assert ["book", "receive", "begin"] == moves


def test_a_link_holder_can_check_the_signature_of_a_text_whose_forerunners_are_hidden(scanned):
    test, study = scanned
    signed = sign(test, study)
    patient = test.do("radiologist", workflow.open_study, study).row.patient_id
    reach = Reach(test.house.new_id(), study, patient, signed)
    holder = replace(Actor("link", "A link", frozenset({"patient"}), "gateway"), reach=reach)
    with test.house.work(holder) as work, work.look(Permission.SHARED_VIEW):
        version = work.get(ReportVersion, signed)
        assert reporting.is_intact(work, work.get(Study, study), version)
        assert 1 == len(reporting._versions(work, study))
