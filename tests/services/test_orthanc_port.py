"""The Orthanc port against a real Orthanc: arrivals, bad input, faults, and the report beside its images."""

import io
import socket
import time
from dataclasses import replace
from datetime import UTC, date, datetime
from itertools import count
from uuid import UUID, uuid4

import pynetdicom
import pytest
from pydicom import dcmread
from pydicom.uid import generate_uid

from core.errors import Away, Missing, Turned
from core.ports.orthanc import Orthanc, OrthancRest
from core.rules.dicom_identity import Identity, disagreements, image_set_digest, shared_study_uids
from core.rules.report_dicom import encapsulate, pdf_inside
from ops.demo_images import RECIPES, as_file, make, send
from ops.orthanc_child import OrthancChild, free_port

pytestmark = pytest.mark.needs("orthanc")
WHEN = datetime(2026, 11, 24, 6, 15, tzinfo=UTC)
NUMBERS = count(1)


@pytest.fixture(scope="module")
def child(tmp_path_factory):
    with OrthancChild(
        tmp_path_factory.mktemp("orthanc"), password="a password made for this test"
    ) as running:
        yield running


@pytest.fixture(scope="module")
def orthanc(child) -> Orthanc:
    port = OrthancRest(child.url, child.auth, timeout_s=(2, 20))
    yield port
    port.close()


@pytest.fixture
def who():
    number = next(NUMBERS)
    return Identity(
        f"P-{number:06}",
        "Nkosi-Müller^Thandô",
        date(1980, 2, 29),
        "F",
        f"A26-{number:06}",
        str(generate_uid()),
    )


def slices(who, amount=3, recipe="ct", **more):
    return make(recipe, who, taken_at=WHEN, referrer="Mokoena^Sipho^^Dr", slices=amount, **more)


def send_to(child, instances):
    return send(instances, host="127.0.0.1", port=child.dicom_port, aet=child.aet)


def only_study(orthanc, who):
    (found,) = orthanc.find_studies(accession=who.accession)
    return found


# What arrives.


@pytest.mark.parametrize("recipe", RECIPES)
def test_each_demo_examination_arrives_by_c_store_as_it_was_sent(child, orthanc, who, recipe):
    instances = make(recipe, who, taken_at=WHEN, referrer="Mokoena^Sipho^^Dr")
    sent = send_to(child, instances)
    assert [(s.ok, s.status) for s in sent] == [(True, 0)] * len(instances)
    study = only_study(orthanc, who)
    headers = orthanc.instances_of(study.orthanc_id, with_syntax=True)
    assert [h.sop_uid for h in headers] == [i.SOPInstanceUID for i in instances]
    assert disagreements(who, headers) == ()
    for header, instance in zip(headers, instances, strict=True):
        assert header.is_image
        assert (header.rows, header.columns) == (instance.Rows, instance.Columns)
        assert header.frames == int(instance.get("NumberOfFrames", 1))
        assert header.transfer_syntax == instance.file_meta.TransferSyntaxUID
        assert header.modality == instance.Modality
    kept = dcmread(io.BytesIO(orthanc.instance_file(headers[0].orthanc_id)))
    assert kept.PixelData == instances[0].PixelData


def test_the_change_feed_tells_every_arrival_once_and_in_order(child, orthanc, who):
    cursor = orthanc.newest_change()
    send_to(child, slices(who, 3))
    seen, done = [], False
    while not done:
        page = orthanc.changes(cursor, limit=2)
        assert len(page.changes) <= 2
        seen += page.changes
        cursor, done = page.last, page.done
    kinds = [c.kind for c in seen if c.kind.startswith("New")]
    assert kinds.count("NewInstance") == 3
    assert kinds.count("NewStudy") == 1
    assert [c.seq for c in seen] == sorted({c.seq for c in seen})
    instance = next(c for c in seen if c.kind == "NewInstance")
    assert orthanc.study_of_instance(instance.orthanc_id) == only_study(orthanc, who).orthanc_id
    assert instance.at.tzinfo is UTC
    assert orthanc.changes(cursor).changes == ()


def test_the_change_feed_of_an_empty_orthanc_starts_at_zero(tmp_path):
    with OrthancChild(tmp_path, password="p" * 20) as fresh:
        port = OrthancRest(fresh.url, fresh.auth)
        assert port.newest_change() == 0
        assert (port.changes(0).last, port.changes(0).done, port.changes(0).changes) == (0, True, ())
        assert port.statistics().instances == 0


def test_the_same_file_three_times_is_one_instance(child, orthanc, who):
    (instance,) = slices(who, 1)
    file = as_file(instance)
    stored = [orthanc.store(file) for _ in range(3)]
    assert [s.already for s in stored] == [False, True, True]
    assert len({s.orthanc_id for s in stored}) == 1
    assert [s.ok for s in send_to(child, [instance] * 3)] == [True] * 3
    assert len(orthanc.instances_of(stored[0].study_id)) == 1


def test_a_study_is_told_with_its_names_in_every_alphabet(orthanc, who):
    names = {"ISO_IR 192": "Nkosi-Müller^Thandô", "ISO_IR 100": "Möller^Zoë", "ISO_IR 144": "Иванова^Анна"}
    for charset, name in names.items():
        person = replace(who, patient_name=name, study_uid=str(generate_uid()))
        stored = orthanc.store(as_file(slices(person, 1, charset=charset)[0]))
        assert orthanc.study(stored.study_id).patient_name == name
        assert orthanc.instances_of(stored.study_id)[0].patient_name == name


@pytest.mark.parametrize(
    ("declared", "written"), [("ISO_IR 100", "utf-8"), ("ISO_IR 192", "latin-1"), ("ISO_IR 192", "utf-8")]
)
def test_a_name_that_differs_only_by_encoding_is_recognised(orthanc, who, declared, written):
    # A scanner that declares one character set and writes another: the name's bytes are put in by hand.
    ascii_name = "Nkosi-Mxyller^Thandxy"
    file = as_file(slices(replace(who, patient_name=ascii_name), 1, charset=declared)[0])
    raw = "Nkosi-Müller^Thandô".encode(written).ljust(len(ascii_name))
    file = file.replace(ascii_name.encode(), raw[: len(ascii_name)])
    stored = orthanc.store(file)
    problems = disagreements(who, orthanc.instances_of(stored.study_id))
    assert not any(p.stop for p in problems)
    assert {p.code for p in problems} <= {"name_written_otherwise"}


def test_a_second_name_that_joins_a_study_silently_is_found(orthanc, who):
    one, two = slices(who, 2)
    two.PatientName = "Dlamini^Jan"
    orthanc.store(as_file(one))
    study = orthanc.store(as_file(two)).study_id
    assert orthanc.study(study).patient_name == who.patient_name
    found = {p.code for p in disagreements(who, orthanc.instances_of(study)) if p.stop}
    assert found == {"name_differs", "names_mixed"}


def test_two_patients_under_one_study_uid_are_two_studies_and_are_found(orthanc, who):
    one, two = slices(who, 2)
    two.PatientID = who.patient_id + "-X"
    for instance in (one, two):
        orthanc.store(as_file(instance))
    studies = orthanc.find_studies(uid=who.study_uid)
    assert len(studies) == 2
    headers = [h for s in studies for h in orthanc.instances_of(s.orthanc_id)]
    assert [p.code for p in shared_study_uids(headers)] == ["study_uid_shared"]


# What is asked.


def test_a_search_is_exact_and_wildcards_in_it_are_only_characters(orthanc, who):
    orthanc.store(as_file(slices(who, 1)[0]))
    assert only_study(orthanc, who).study_uid == who.study_uid
    for asked in ("*", who.accession[:-1] + "?", f"x\\{who.accession}", who.accession.lower()):
        assert orthanc.find_studies(accession=asked) == ()
    assert orthanc.find_studies() == ()
    assert orthanc.find_studies(uid="9.9.9") == ()
    assert len(orthanc.find_studies(patient_id=who.patient_id)) == 1


def test_the_studies_of_many_instances_are_asked_for_at_once(orthanc, who):
    other = replace(who, study_uid=str(generate_uid()))
    stored = [orthanc.store(as_file(i)) for i in (*slices(who, 2), *slices(other, 1))]
    asked = [s.orthanc_id for s in stored]
    studies = {s.study_id for s in stored}
    found = orthanc.studies_of_instances(asked)
    assert (set(found), len(found)) == (studies, 2)
    assert orthanc.studies_of_instances([]) == ()
    assert orthanc.instance_count(stored[0].study_id) == 2
    paged, page = [], orthanc.study_ids(limit=2)
    while page:
        paged += page
        page = orthanc.study_ids(after=len(paged), limit=2)
    assert studies <= set(paged)
    assert len(paged) == len(set(paged)) == orthanc.statistics().studies
    orthanc.delete_instance(asked[2])
    assert orthanc.studies_of_instances(asked) == (stored[0].study_id,)


def test_a_file_can_be_read_in_pieces(orthanc, who):
    file = as_file(slices(who, 1, size=512)[0])
    stored = orthanc.store(file)
    with orthanc.instance_stream(stored.orthanc_id) as pieces:
        found = list(pieces)
    assert b"".join(found) == file == orthanc.instance_file(stored.orthanc_id)
    assert len(found) > 1


def test_what_is_not_there_is_missing(orthanc):
    nothing = "00000000-00000000-00000000-00000000-00000000"
    for question in (orthanc.study, orthanc.instances_of, orthanc.instance_file, orthanc.study_of_instance):
        with pytest.raises(Missing):
            question(nothing)
    assert orthanc.lookup("1.2.3.4") is None
    orthanc.delete_instance(nothing)


@pytest.mark.parametrize("forged", ["../system", "a/../../system", "x?expand", "x%2fy", "", ".."])
def test_an_id_never_becomes_another_address(orthanc, forged):
    with pytest.raises(Missing):
        orthanc.instance_file(forged)


def test_a_marker_on_a_study_is_kept(orthanc, who):
    study = orthanc.store(as_file(slices(who, 1)[0])).study_id
    assert orthanc.study_metadata(study) is None
    orthanc.set_study_metadata(study, "signed – geteken")
    assert orthanc.study_metadata(study) == "signed – geteken"


def test_an_instance_can_be_removed(orthanc, who):
    one, two = (orthanc.store(as_file(i)) for i in slices(who, 2))
    orthanc.delete_instance(one.orthanc_id)
    assert [h.orthanc_id for h in orthanc.instances_of(two.study_id)] == [two.orthanc_id]


def test_the_system_tells_its_version_and_dicom_address(child, orthanc):
    facts = orthanc.system()
    assert facts.version[:2] == "1."
    assert (facts.aet, facts.dicom_port) == (child.aet, child.dicom_port)


# Bad input.


def test_a_truncated_file_is_turned_away_by_rest(orthanc, who):
    file = as_file(slices(who, 1)[0])
    for cut in (file[:3000], file[:-2000], b"not DICOM at all", b""):
        with pytest.raises(Turned, match="cannot read this file as DICOM"):
            orthanc.store(cut)
    assert orthanc.find_studies(accession=who.accession) == ()


def test_a_file_without_identifiers_is_turned_away_by_rest(orthanc, who):
    (instance,) = slices(who, 1)
    del instance.StudyInstanceUID
    del instance.SeriesInstanceUID
    with pytest.raises(Turned, match="lacks the numbers"):
        orthanc.store(as_file(instance))


def test_a_truncated_file_is_refused_by_c_store(child, orthanc, who, tmp_path, monkeypatch):
    (instance,) = slices(who, 1)
    cut = tmp_path / "cut.dcm"
    cut.write_bytes(as_file(instance)[:-2000])
    monkeypatch.setattr(
        pynetdicom._config, "STORE_SEND_CHUNKED_DATASET", True
    )  # Sends the file as it lies there.
    ae = pynetdicom.AE()
    ae.dimse_timeout = 3  # Orthanc gives such a sender no answer at all.
    ae.add_requested_context(instance.SOPClassUID, instance.file_meta.TransferSyntaxUID)
    association = ae.associate("127.0.0.1", child.dicom_port, ae_title=child.aet)
    try:
        status = association.send_c_store(cut)
    finally:
        if association.is_established:
            association.release()
    assert status.get("Status") != 0
    assert orthanc.find_studies(accession=who.accession) == ()
    monkeypatch.undo()
    assert [s.ok for s in send_to(child, [instance])] == [True], "the next sender is served as ever"


def test_one_bad_instance_does_not_hide_what_became_of_the_others(child, orthanc, who):
    good, bad, last = slices(who, 3)
    del bad.StudyInstanceUID
    told = send_to(child, [good, bad, last])
    assert [s.ok for s in told] == [True, False, True]
    assert told[1].sop_uid == bad.SOPInstanceUID
    assert len(orthanc.instances_of(only_study(orthanc, who).orthanc_id)) == 2


def test_a_wrong_password_is_said(child):
    with pytest.raises(Turned, match="user and password"):
        OrthancRest(child.url, ("sorg", "wrong")).system()


def test_the_log_names_no_patient(child, orthanc):
    who = Identity("P-SECRET-77", "Geheim^Persoon", date(1980, 2, 29), "F", "ACC-SECRET", str(generate_uid()))
    instances = slices(who, 2)
    send_to(child, instances)
    orthanc.store(as_file(instances[0]))
    with pytest.raises(Turned):
        orthanc.store(as_file(instances[1])[:-2000])
    del instances[1].StudyInstanceUID
    send_to(child, instances)
    log = child.log_path.read_text(errors="replace")
    for secret in ("Geheim", "Persoon", "P-SECRET-77", "ACC-SECRET", who.study_uid):
        assert secret not in log


# Faults.


def test_nobody_there_is_away():
    with pytest.raises(Away):
        OrthancRest(f"http://127.0.0.1:{free_port()}", timeout_s=(1, 1)).system()


def test_a_store_that_never_answers_is_away():
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen()
        port = OrthancRest(f"http://127.0.0.1:{deaf.getsockname()[1]}", timeout_s=(1, 0.3), retries=0)
        with pytest.raises(Away):
            port.system()


def test_a_killed_orthanc_is_away_and_has_everything_when_it_is_back(tmp_path):
    who = Identity("P-1", "Nkosi^Thandô", date(1980, 2, 29), "F", "A26-1", str(generate_uid()))
    child = OrthancChild(tmp_path, password="p" * 20).start()
    try:
        port = OrthancRest(child.url, child.auth, timeout_s=(5, 60))
        send_to(child, slices(who, 5))
        study = only_study(port, who)
        cursor = port.newest_change()
        child.kill()
        for question in (
            lambda: port.study(study.orthanc_id),
            lambda: port.store(as_file(slices(who, 1)[0])),
            lambda: port.find_studies(uid=who.study_uid),
        ):
            with pytest.raises(Away):
                question()
        with pytest.raises(Away):
            send(slices(who, 1), host="127.0.0.1", port=child.dicom_port, aet=child.aet, timeout_s=2)
        assert child.watch_once() == "restarted"
        assert len(port.instances_of(study.orthanc_id)) == 5
        arrivals = [c for c in port.changes(0).changes if c.kind == "NewInstance"]
        assert len(arrivals) == 5
        assert all(c.seq <= cursor for c in arrivals)
        child.stop()
        child.start()
        assert len(port.instances_of(study.orthanc_id)) == 5
    finally:
        child.stop()


# The report beside its images.

PDF = b"%PDF-1.7\n" + b"x" * 4001 + b"\n%%EOF\n"


def report_for(source, version_id: UUID, pdf=PDF):
    return encapsulate(
        pdf,
        source,
        version_id=version_id,
        version_number=1,
        signed_at=WHEN,
        signed_by="Naidoo^Priya^^Dr",
        institution="Umoya Radiology",
    )


def test_the_report_joins_its_study_once_however_often_the_errand_runs(child, orthanc, who):
    send_to(child, slices(who, 3))
    study = only_study(orthanc, who)
    headers = orthanc.instances_of(study.orthanc_id)
    before = image_set_digest(headers)
    version = uuid4()
    report = report_for(headers[0], version)
    told = [
        orthanc.stow(again.dicom, study_uid=again.study_uid, sop_uid=again.sop_uid)
        for again in (report, report_for(headers[0], version), report)
    ]
    assert [t.already for t in told] == [False, True, True]
    assert {(t.orthanc_id, t.study_id) for t in told} == {(told[0].orthanc_id, study.orthanc_id)}
    after = orthanc.instances_of(study.orthanc_id)
    assert len(after) == 4
    assert [h.modality for h in after if not h.is_image] == ["DOC"]
    assert image_set_digest(after) == before
    assert disagreements(who, after) == ()
    assert orthanc.lookup(report.sop_uid) == told[0].orthanc_id


@pytest.mark.parametrize("length", [4000, 4001])
def test_the_pdf_comes_out_as_it_went_in_by_both_ways(child, orthanc, who, length):
    pdf = b"%PDF-1.7\n".ljust(length - 1, b"x") + b"\n"
    stored = orthanc.store(as_file(slices(who, 1)[0]))
    report = report_for(orthanc.instances_of(stored.study_id)[0], uuid4(), pdf)
    kept = orthanc.stow(report.dicom, study_uid=report.study_uid, sop_uid=report.sop_uid)
    assert pdf_inside(orthanc.instance_file(kept.orthanc_id)) == pdf
    by_route = orthanc._ask("GET", f"/instances/{kept.orthanc_id}/pdf").content
    assert by_route.rstrip(b"\0") == pdf


def test_a_report_is_not_stored_into_another_study(orthanc, who):
    stored = orthanc.store(as_file(slices(who, 1)[0]))
    report = report_for(orthanc.instances_of(stored.study_id)[0], uuid4())
    with pytest.raises(Turned):
        orthanc.stow(report.dicom, study_uid="1.2.3", sop_uid=report.sop_uid)
    with pytest.raises(Turned):
        orthanc.stow(report.dicom[:900], study_uid=report.study_uid, sop_uid=report.sop_uid)
    assert orthanc.lookup(report.sop_uid) is None


def test_a_report_errand_with_orthanc_down_waits_and_then_succeeds(tmp_path):
    who = Identity("P-1", "Nkosi^Thandô", date(1980, 2, 29), "F", "A26-1", str(generate_uid()))
    with OrthancChild(tmp_path, password="p" * 20) as child:
        port = OrthancRest(child.url, child.auth, timeout_s=(5, 60))
        stored = port.store(as_file(slices(who, 1)[0]))
        report = report_for(port.instances_of(stored.study_id)[0], uuid4())
        child.kill()
        with pytest.raises(Away):
            port.stow(report.dicom, study_uid=report.study_uid, sop_uid=report.sop_uid)
        deadline = time.monotonic() + 90
        while child.watch_once() != "up":
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert (
            port.stow(report.dicom, study_uid=report.study_uid, sop_uid=report.sop_uid).study_id
            == stored.study_id
        )
