"""What arrives in a real Orthanc: matched, held back with every reason, resolved by a person, and never lost."""

import io
from datetime import date
from uuid import UUID

import pytest
import requests
from pydicom import dcmread
from sqlalchemy import func, select

from core import pacs, patients, privacy, workflow
from core.errors import Away, Denied, Missing, Refused
from core.ports import Ports
from core.ports.orthanc import OrthancRest
from core.rules.dicom_identity import Identity
from core.rules.roles import Permission
from core.rules.steps import Status
from core.store.model import Arrival, FeedCursor, Instance, StudyEvent
from core.store.work import Openings
from ops import demo_images, worker
from ops.orthanc_child import free_port
from tests.fixtures.scanner import Radiology

NOBODY = UUID(int=99)


def codes(card: pacs.ArrivalCard) -> set[str]:
    return {p.code for p in card.reasons}


def stops(card: pacs.ArrivalCard) -> set[str]:
    return {p.code for p in card.reasons if p.stop}


def events(there: Radiology, study: UUID, step: str = "receive") -> int:
    with there.test.does("system") as work, work.look(Permission.IMAGES_RECEIVE):
        return work.db.scalar(
            select(func.count()).where(StudyEvent.study_id == study, StudyEvent.step == step)
        )


def count(there: Radiology, model: type, *where: object) -> int:
    with there.test.does("system") as work, work.look(Permission.IMAGES_RECEIVE):
        return work.db.scalar(select(func.count()).select_from(model).where(*where))


# Matched --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("arrived", [True, False])
def test_images_of_an_order_make_the_study_scanned(either_radiology, arrived):
    there = either_radiology
    study = there.booked(arrived=arrived)
    there.scan(study, slices=3)
    there.settle()
    card = there.card(study)
    assert (Status.SCANNED, 3, 1) == (card.row.status, card.row.image_count, events(there, study))
    assert card.orthanc_id == there.orthanc.find_studies(uid=card.study_uid)[0].orthanc_id
    assert ["matched"] == [a.state for a in there.held("matched")]


def test_images_are_not_judged_while_more_are_coming(radiology):
    study = radiology.booked()
    radiology.scan(study, slices=2)
    radiology.follow()
    radiology.test.clock.pass_(seconds=6)
    radiology.scan(study, slices=2, salt="more")
    radiology.follow()
    radiology.test.clock.pass_(seconds=6)
    assert 0 == pacs.settle(radiology.test.house)
    radiology.test.clock.pass_(seconds=6)
    assert 1 == pacs.settle(radiology.test.house)
    assert 4 == radiology.card(study).row.image_count


def test_reading_the_same_log_again_changes_nothing(either_radiology):
    there = either_radiology
    study = there.booked()
    there.scan(study)
    there.settle()
    before = there.card(study)
    with there.test.does("system") as work, work.tend(Permission.IMAGES_RECEIVE):
        work.db.get(FeedCursor, pacs.FEED).position = 0
    there.settle()
    assert before.row == there.card(study).row
    assert (1, 3, 1) == (count(there, Arrival), count(there, Instance), events(there, study))


def test_two_workers_on_one_page_write_it_once(either_radiology):
    there = either_radiology
    since = there.do("system", pacs.feed_position)
    assert there.do("system", pacs.receive, since=since, upto=since + 5, touched=("a" * 44,))
    assert not there.do("system", pacs.receive, since=since, upto=since + 5, touched=("b" * 44,))
    assert 1 == count(there, Arrival)


def test_the_same_file_three_times_is_one_image(radiology):
    study = radiology.booked()
    instances = radiology.images(study, slices=1)
    for _ in range(3):
        radiology.put(instances)
    radiology.settle()
    for _ in range(3):
        radiology.put(instances)
    radiology.settle()
    assert (1, 1, 1) == (
        radiology.card(study).row.image_count,
        count(radiology, Instance),
        events(radiology, study),
    )


def test_images_sent_as_a_scanner_does_arrive(radiology):
    study = radiology.booked()
    sent = demo_images.send(
        radiology.images(study), host="127.0.0.1", port=radiology.child.dicom_port, aet="SORG"
    )
    assert all(s.ok for s in sent)
    radiology.settle()
    assert Status.SCANNED == radiology.card(study).row.status


def test_a_name_that_differs_only_by_its_encoding_is_the_same_name(radiology):
    study = radiology.booked()
    radiology.scan(study, slices=1, charset="ISO_IR 100")
    radiology.scan(study, slices=1, salt="caps", patient_name="NKOSI-MUELLER^THANDO")
    radiology.scan(study, slices=1, salt="garbled", patient_name="Nkosi-MÃ¼ller^ThandÃ´")
    radiology.settle()
    assert (Status.SCANNED, 3) == (radiology.card(study).row.status, radiology.card(study).row.image_count)
    assert {"name_written_otherwise"} == codes(radiology.held("matched")[0])


def test_images_without_accession_but_with_the_orders_study_uid_are_matched(radiology):
    study = radiology.booked()
    radiology.scan(study, accession="")
    radiology.settle()
    assert Status.SCANNED == radiology.card(study).row.status


def test_several_studies_arriving_together_each_find_their_order(radiology):
    studies = [radiology.booked(family_name=f"Person{i}", membership_number=str(i)) for i in range(4)]
    sent = [radiology.images(s, slices=2) for s in studies]
    for pair in zip(*sent, strict=True):
        radiology.put(list(pair))
    radiology.settle()
    assert [(Status.SCANNED, 2)] * 4 == [
        (c.row.status, c.row.image_count) for c in map(radiology.card, studies)
    ]


# Held back ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"patient_name": "Botha^Piet"}, "name_differs"),
        ({"patient_id": "X1"}, "patient_id_differs"),
        ({"birth_on": date(1999, 1, 1)}, "birth_date_differs"),
        ({"sex": "M"}, "sex_differs"),
        ({"accession": "0199999999", "study_uid": "1.2.3"}, "no_order"),
        ({"accession": "", "study_uid": "1.2.3"}, "no_order"),
    ],
)
def test_what_disagrees_is_held_back_with_its_reason(radiology, changes, reason):
    study = radiology.booked()
    radiology.scan(study, **changes)
    radiology.settle()
    (held,) = radiology.held()
    assert ("quarantined", {reason}) == (held.state, stops(held))
    assert (Status.WAITING, 0) == (radiology.card(study).row.status, radiology.card(study).row.image_count)
    with pytest.raises(Missing):
        radiology.do("radiologist", pacs.open_images, study)


def test_every_reason_is_told_at_once(radiology):
    study = radiology.booked()
    radiology.scan(study, patient_name="Botha^Piet", birth_on=date(1999, 1, 1), sex="M", patient_id="X1")
    radiology.settle()
    (held,) = radiology.held()
    assert {"name_differs", "birth_date_differs", "sex_differs", "patient_id_differs"} == stops(held)


def test_one_strange_image_among_good_ones_holds_the_whole_study(radiology):
    study = radiology.booked()
    radiology.scan(study, slices=3)
    radiology.scan(study, slices=1, salt="strange", patient_name="Botha^Piet")
    radiology.settle()
    (held,) = radiology.held()
    assert {"name_differs", "names_mixed"} == stops(held)
    says = radiology.do("radiographer", pacs.open_arrival, held.id).says
    assert [3, 1] == [s.count for s in says]


def test_images_for_a_cancelled_order_are_held_back(radiology):
    study = radiology.booked()
    radiology.do("reception", workflow.cancel, study)
    radiology.scan(study)
    radiology.settle()
    assert {"order_cancelled"} == stops(radiology.held()[0])
    assert Status.CANCELLED == radiology.card(study).row.status


def test_a_second_orthanc_study_for_one_order_is_held_back(radiology):
    study = radiology.booked()
    radiology.scan(study)
    radiology.settle()
    radiology.scan(study, study_uid="1.2.826.7", salt="second")
    radiology.settle()
    assert {"order_has_images"} == stops(radiology.held()[0])
    assert 3 == radiology.card(study).row.image_count


def test_the_accession_of_one_order_with_the_study_uid_of_another_is_held_back(radiology):
    first, second = radiology.booked(), radiology.booked(family_name="Botha", membership_number="2")
    radiology.scan(first, study_uid=radiology.card(second).study_uid)
    radiology.settle()
    assert "two_orders" in stops(radiology.held()[0])


def test_two_patients_with_one_study_uid_are_both_held_back(radiology):
    study = radiology.booked()
    radiology.scan(study)
    radiology.scan(study, salt="other", patient_id="OTHER", patient_name="Botha^Piet")
    radiology.settle()
    assert [True, True] == ["study_uid_shared" in stops(a) for a in radiology.held()]
    assert Status.WAITING == radiology.card(study).row.status


def test_a_second_patient_under_the_uid_of_a_scanned_study_is_held_and_the_first_is_told(radiology):
    study = radiology.booked()
    radiology.scan(study)
    radiology.settle()
    radiology.scan(study, salt="other", patient_id="OTHER", patient_name="Botha^Piet")
    radiology.settle()
    radiology.settle()
    assert ["OTHER"] == [a.patient_number for a in radiology.held()]
    (first,) = radiology.held("matched")
    assert ("study_uid_shared" in codes(first), set()) == (True, stops(first))
    assert (Status.SCANNED, 3) == (radiology.card(study).row.status, radiology.card(study).row.image_count)


def test_turning_the_other_patient_away_lets_the_right_one_through(radiology):
    study = radiology.booked()
    radiology.scan(study)
    radiology.scan(study, salt="other", patient_id="OTHER", patient_name="Botha^Piet")
    radiology.settle()
    by_number = {a.patient_number: a for a in radiology.held()}
    radiology.do("radiographer", pacs.reject, by_number["OTHER"].id, "Sent under the wrong order.")
    (right,) = radiology.held()
    radiology.do("radiographer", pacs.recheck, right.id)
    radiology.settle()
    assert (Status.SCANNED, 3) == (radiology.card(study).row.status, radiology.card(study).row.image_count)


# Late images ----------------------------------------------------------------------------------------------------


def test_late_images_join_a_scanned_study_and_change_its_digest(radiology):
    study = radiology.booked()
    radiology.scan(study)
    radiology.settle()
    before = radiology.card(study)
    radiology.scan(study, slices=2, salt="late")
    radiology.settle()
    after = radiology.card(study)
    assert (5, Status.SCANNED, 1) == (after.row.image_count, after.row.status, events(radiology, study))
    assert before.image_digest != after.image_digest


def test_a_late_image_of_somebody_else_is_held_and_what_was_there_stays(radiology):
    study = radiology.booked()
    radiology.scan(study)
    radiology.settle()
    before = radiology.card(study)
    radiology.scan(study, slices=1, salt="late", patient_name="Botha^Piet")
    radiology.settle()
    (held,) = radiology.held()
    assert (study, {"name_differs"}) == (held.study_id, stops(held))
    assert before.row == radiology.card(study).row
    assert 3 == radiology.do("radiologist", pacs.open_images, study).count
    radiology.do("radiographer", pacs.reject, held.id, "Another patient's localiser.")
    radiology.scan(study, slices=1, salt="later")
    radiology.settle()
    assert ([], 4) == (radiology.held(), radiology.do("radiologist", pacs.open_images, study).count)


def test_deleted_images_are_found_missing_and_no_longer_shown(radiology):
    study = radiology.booked()
    radiology.scan(study)
    radiology.settle()
    gone = radiology.orthanc.instances_of(radiology.card(study).orthanc_id)[0]
    radiology.orthanc.delete_instance(gone.orthanc_id)
    assert 1 == pacs.reconcile(radiology.test.house)
    radiology.settle()
    assert (
        2
        == radiology.do("radiologist", pacs.open_images, study).count
        == radiology.card(study).row.image_count
    )
    assert 0 == pacs.reconcile(radiology.test.house)


def test_a_study_that_vanished_is_shown_as_gone_and_comes_back_when_sent_again(radiology):
    study = radiology.booked()
    instances = radiology.scan(study)
    radiology.settle()
    empty(radiology)
    assert 1 == pacs.reconcile(radiology.test.house)
    radiology.settle()
    assert (["gone"], 0) == ([a.state for a in radiology.held()], radiology.card(study).row.image_count)
    radiology.put(instances)
    radiology.settle()
    assert ([], 3) == (radiology.held(), radiology.card(study).row.image_count)
    assert 1 == events(radiology, study)


def empty(there: Radiology) -> None:
    with requests.Session() as session:
        session.auth = there.child.auth
        for patient in session.get(f"{there.child.url}/patients", timeout=30).json():
            session.delete(f"{there.child.url}/patients/{patient}", timeout=30).raise_for_status()


def test_a_log_that_was_emptied_hides_nothing_from_the_comparison(radiology):
    study = radiology.booked()
    radiology.scan(study)
    with requests.Session() as session:
        session.auth = radiology.child.auth
        session.delete(f"{radiology.child.url}/changes", timeout=30).raise_for_status()
    radiology.settle()
    assert Status.WAITING == radiology.card(study).row.status
    assert 1 == pacs.reconcile(radiology.test.house)
    radiology.settle()
    assert Status.SCANNED == radiology.card(study).row.status


def test_a_log_that_ends_before_our_place_is_read_from_its_beginning(radiology):
    study = radiology.booked()
    radiology.scan(study)
    with radiology.test.does("system") as work, work.tend(Permission.IMAGES_RECEIVE):
        work.db.get(FeedCursor, pacs.FEED).position = 10**9
    radiology.settle()
    assert Status.SCANNED == radiology.card(study).row.status
    assert radiology.orthanc.newest_change() == radiology.do("system", pacs.feed_position)


# A person decides -----------------------------------------------------------------------------------------------


def test_released_images_are_the_orders_and_disagreement_and_reason_stay_on_record(either_radiology):
    there = either_radiology
    study = there.booked()
    there.scan(study, patient_name="Nkosi^Thandi")
    there.settle()
    (held,) = there.held()
    view = there.do("radiographer", pacs.open_arrival, held.id)
    assert [(study, True)] == [(c.study_id, "accession number" in c.why) for c in view.candidates]
    assert {"name_differs"} == {p.code for p in view.candidates[0].problems if p.stop}
    reason = "She married last month; I asked her and saw her ID."
    there.do("radiographer", pacs.release, held.id, study, reason)
    (released,) = there.held("released")
    assert (reason, {"name_differs"}, "Radiographer Person") == (
        released.resolution,
        stops(released),
        released.resolved_by,
    )
    assert (Status.SCANNED, 3) == (there.card(study).row.status, there.card(study).row.image_count)
    entry = next(e for e in there.do("admin", privacy.entries) if e.act == "quarantine-resolve")
    assert (reason, ["name_differs"]) == (entry.facts["reason"], entry.facts["reasons"])
    there.scan(study, slices=1, salt="late", patient_name="Nkosi^Thandi")
    there.settle()
    assert ([], 4) == (there.held(), there.card(study).row.image_count)


def test_images_without_an_order_are_released_to_the_order_the_person_names(radiology):
    study = radiology.booked()
    radiology.scan(study, accession="", study_uid="1.2.826.9")
    radiology.settle()
    (held,) = radiology.held()
    view = radiology.do("radiographer", pacs.open_arrival, held.id)
    assert ("patient number", "name and date of birth") == view.candidates[0].why
    radiology.do("radiographer", pacs.release, held.id, study, "The only CT this morning.")
    assert (Status.SCANNED, 3) == (radiology.card(study).row.status, radiology.card(study).row.image_count)


def test_a_release_needs_a_reason_a_held_arrival_and_a_living_order(radiology):
    study, other = radiology.booked(), radiology.booked(family_name="Botha", membership_number="2")
    radiology.do("reception", workflow.cancel, other)
    radiology.scan(study, patient_name="Botha^Piet")
    radiology.settle()
    (held,) = radiology.held()
    for target, reason, sentence in ((study, " ", "Write why"), (other, "It is hers.", "was cancelled")):
        with pytest.raises(Refused, match=sentence):
            radiology.do("radiographer", pacs.release, held.id, target, reason)
    with pytest.raises(Denied):
        radiology.do("reception", pacs.release, held.id, study, "It is hers.")
    radiology.do("radiographer", pacs.release, held.id, study, "It is hers.")
    with pytest.raises(Refused, match="Only images that are held back"):
        radiology.do("radiographer", pacs.release, held.id, study, "It is hers.")


def test_rejected_images_stay_in_orthanc_and_are_never_shown(radiology):
    study = radiology.booked()
    radiology.scan(study, patient_name="Botha^Piet")
    radiology.settle()
    (held,) = radiology.held()
    radiology.do("radiographer", pacs.reject, held.id, "Wrong patient on the table.")
    radiology.scan(study, slices=1, salt="late")
    radiology.settle()
    assert ([], ["rejected"]) == (radiology.held(), [a.state for a in radiology.held("rejected")])
    assert (Status.WAITING, 4) == (radiology.card(study).row.status, radiology.orthanc.statistics().instances)
    with pytest.raises(Missing):
        radiology.do("radiologist", pacs.open_images, study)


def test_after_the_patient_is_corrected_a_recheck_lets_the_images_through(radiology):
    study = radiology.booked()
    radiology.scan(study, birth_on=date(1981, 1, 1))
    radiology.settle()
    (held,) = radiology.held()
    patient = radiology.do("reception", patients.open_patient, radiology.card(study).row.patient_id)
    right = patients.Particulars(**{**vars(patient.particulars), "born_on": date(1981, 1, 1)})
    radiology.do("reception", patients.correct, patient.id, right, version=patient.version)
    radiology.do("radiographer", pacs.recheck, held.id)
    assert radiology.held()[0].being_checked
    radiology.settle()
    assert ([], Status.SCANNED) == (radiology.held(), radiology.card(study).row.status)


# Files that are no images ---------------------------------------------------------------------------------------


def without_identifiers(data: bytes) -> bytes:
    instance = dcmread(io.BytesIO(data))
    for name in ("PatientID", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
        delattr(instance, name)
    file = io.BytesIO()
    instance.save_as(file)
    return file.getvalue()


@pytest.mark.parametrize("broken", ["truncated", "no identifiers", "no DICOM"])
def test_a_file_that_orthanc_refuses_is_kept_with_its_reason(radiology, broken):
    whole = demo_images.as_file(radiology.images(radiology.booked(), slices=1)[0])
    data = {"truncated": whole[:400], "no identifiers": without_identifiers(whole), "no DICOM": b"hello"}[
        broken
    ]
    actor = radiology.test.actors["radiographer"]
    taken = [pacs.store_file(radiology.test.house, actor, data, name="IM0001") for _ in range(3)]
    (held,) = radiology.held()
    assert ("unreadable", "IM0001", {held.id}) == (held.state, held.description, {t.held for t in taken})
    assert taken[0].sentence == held.reasons[0].sentence
    assert data == radiology.do("radiographer", pacs.unreadable_file, held.id)
    with pytest.raises(Refused, match="never an image"):
        radiology.do("radiographer", pacs.recheck, held.id)
    radiology.do("radiographer", pacs.reject, held.id, "Asked the clinic to send it again.")
    assert [] == radiology.held()


def test_a_good_file_is_taken_in_and_a_stranger_may_not_send(radiology):
    study = radiology.booked()
    data = demo_images.as_file(radiology.images(study, slices=1)[0])
    with pytest.raises(Denied):
        pacs.store_file(radiology.test.house, radiology.test.actors["billing"], data)
    assert pacs.store_file(radiology.test.house, radiology.test.actors["radiographer"], data).stored
    assert pacs.store_file(radiology.test.house, radiology.test.actors["radiographer"], data).already
    radiology.settle()
    assert Status.SCANNED == radiology.card(study).row.status


def test_a_store_that_refuses_us_is_not_taken_for_a_broken_file(radiology):
    data = demo_images.as_file(radiology.images(radiology.booked(), slices=1)[0])
    radiology.test.house.ports = Ports(orthanc=OrthancRest(radiology.child.url, ("sorg", "wrong")))
    with pytest.raises(Exception, match="user and password"):
        pacs.store_file(radiology.test.house, radiology.test.actors["radiographer"], data)
    assert [] == radiology.held()


# Looking --------------------------------------------------------------------------------------------------------


def test_a_manifest_comes_from_our_table_and_names_only_what_may_be_shown(either_radiology):
    there = either_radiology
    study, other = there.booked(), there.booked(family_name="Botha", membership_number="2")
    there.scan(study, slices=3)
    there.scan(study, recipe="us_cine", slices=1)
    there.scan(other, slices=1)
    there.settle()
    there.test.house.ports = Ports(orthanc=OrthancRest(f"http://127.0.0.1:{free_port()}"))
    images = there.do("radiologist", pacs.open_images, study)
    assert [(3, [1, 2, 3]), (1, [1])] == sorted(
        ((len(s.instances), [i.number for i in s.instances]) for s in images.series), reverse=True
    )
    assert {1, 30} == {i.frames for s in images.series for i in s.instances}
    assert ("Nkosi-Müller^Thandô", there.card(study).image_digest) == (images.patient_name, images.digest)
    mine = images.series[0].instances[0].id
    assert there.do("radiologist", pacs.image_source, study, mine).orthanc_id
    for wrong in ((other, mine), (study, NOBODY)):
        with pytest.raises(Missing):
            there.do("radiologist", pacs.image_source, *wrong)


def test_opening_images_is_on_record_once_a_sitting(radiology):
    study = radiology.booked()
    radiology.scan(study)
    radiology.settle()
    sitting = Openings()
    for _ in range(3):
        with radiology.test.house.work(radiology.test.actors["radiologist"], openings=sitting) as work:
            images = pacs.open_images(work, study)
        with radiology.test.house.work(radiology.test.actors["radiologist"], openings=sitting) as work:
            pacs.image_source(work, study, images.series[0].instances[0].id)
    looked = [e for e in radiology.do("admin", privacy.entries) if e.act == "images-view"]
    assert [str(radiology.card(study).row.patient_id)] == [e.patient_id for e in looked]


def test_orthanc_down_says_so_loses_no_place_and_goes_on(radiology):
    study = radiology.booked()
    radiology.scan(study)
    ports, place = radiology.test.house.ports, radiology.do("system", pacs.feed_position)
    radiology.test.house.ports = Ports(orthanc=OrthancRest(f"http://127.0.0.1:{free_port()}", retries=0))
    with pytest.raises(Away, match="does not answer"):
        pacs.follow(radiology.test.house)
    going = worker.Worker(radiology.test.house)
    assert not going.turn()
    assert place == radiology.do("system", pacs.feed_position)
    radiology.test.house.ports = ports
    radiology.settle()
    assert Status.SCANNED == radiology.card(study).row.status


def test_identity_of_an_order_is_what_the_tests_scanner_writes(radiology):
    study = radiology.booked()
    assert Identity(
        radiology.card(study).row.file_number,
        "Nkosi-Müller^Thandô",
        date(1980, 1, 1),
        "F",
        radiology.card(study).row.accession,
        radiology.card(study).study_uid,
    ) == radiology.identity(study)
