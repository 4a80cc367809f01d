"""The signed report into the PACS: one instance, one sealed PDF, whatever happens on the way; and later images."""

import subprocess
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import func, select

from core import errands, pacs, patients, privacy, reporting
from core.errors import Away, Denied, Missing, Refused, Unfit
from core.ports import Ports
from core.ports.orthanc import OrthancRest
from core.rules.dicom_identity import ENCAPSULATED_PDF
from core.rules.report_dicom import pdf_inside, report_uid
from core.rules.roles import Permission
from core.rules.steps import Status
from core.store.blobs import Blobs
from core.store.model import Document, ReportVersion
from ops import worker
from ops.orthanc_child import free_port
from tests.fixtures.house import TestHouse
from tests.fixtures.scanner import Radiology

TEXT = "FINDINGS\nThere is no fracture.\n\nCONCLUSION\nNormal study."


def report_on(test: TestHouse, study: UUID) -> UUID:
    """Reported, proof-read and signed by the radiologist alone."""
    test.do("radiologist", reporting.begin, study)
    draft = test.do("radiologist", reporting.skip_transcription, study, text=TEXT, based_on=None)
    read = test.do("radiologist", reporting.save, study, text=TEXT, based_on=draft)
    return test.do(
        "radiologist", reporting.sign, study, text=TEXT, based_on=read, code=test.code("radiologist")
    )


@pytest.fixture
def signed(either_radiology: Radiology) -> tuple[Radiology, UUID, UUID]:
    there = either_radiology
    study = there.booked()
    there.scan(study)
    there.settle()
    return there, study, report_on(there.test, study)


def reports_in_orthanc(there: Radiology, study: UUID) -> list[str]:
    headers = there.orthanc.instances_of(there.card(study).orthanc_id)
    return [h.sop_uid for h in headers if h.sop_class == ENCAPSULATED_PDF]


def documents(there: Radiology) -> int:
    with there.test.does("system") as work, work.look(Permission.REPORT_ATTACH):
        return work.db.scalar(select(func.count()).select_from(Document).where(Document.kind == "report"))


def open_errand(there: Radiology) -> errands.ErrandCard:
    (errand,) = there.do("admin", errands.open_errands)
    return errand


@pytest.mark.needs("poppler-utils", "dicom3tools")
def test_the_signed_report_is_attached_once_read_back_and_sealed(signed, tmp_path):
    there, study, version = signed
    drawn = there.do("radiologist", pacs.report_pdf, study)
    there.errands()
    assert [report_uid(version)] == reports_in_orthanc(there, study)
    assert report_uid(version) == there.card(study).attached_instance
    file = there.orthanc.instance_file(there.orthanc.lookup(report_uid(version)))
    assert drawn == pdf_inside(file) == there.do("billing", pacs.report_pdf, study)
    assert () == there.do("admin", errands.open_errands)
    (tmp_path / "report.pdf").write_bytes(drawn)
    text = subprocess.run(["pdftotext", tmp_path / "report.pdf", "-"], capture_output=True, text=True).stdout
    assert {True} == {word in text for word in ("Nkosi-Müller", "Normal study.", "Dr Amahle van der Merwe")}
    (tmp_path / "report.dcm").write_bytes(file)
    told = subprocess.run(["dciodvfy", tmp_path / "report.dcm"], capture_output=True, text=True)
    assert [] == [line for line in (told.stderr + told.stdout).splitlines() if line.startswith("Error")]
    act = [e for e in there.do("admin", privacy.entries) if e.act == "report-attach"]
    assert [str(there.card(study).row.patient_id)] == [e.patient_id for e in act]


def test_doing_the_errand_again_adds_nothing(signed):
    there, study, version = signed
    payload = open_errand(there).payload
    for _ in range(3):
        pacs.attach_report(there.test.house, payload)
    there.errands()
    assert ([report_uid(version)], 1) == (reports_in_orthanc(there, study), documents(there))


def test_a_fall_between_the_pacs_and_our_record_is_made_good(signed):
    there, study, version = signed
    payload = open_errand(there).payload
    house = there.test.house
    # A sealed folder that takes nothing: the report is in the PACS, and our side of it fails.
    blobs, house.blobs = house.blobs, Blobs(Path("/proc/nowhere"), bytes(32), dice=bytes)
    with pytest.raises(Unfit):
        pacs.attach_report(house, payload)
    assert ([report_uid(version)], 0, "") == (
        reports_in_orthanc(there, study),
        documents(there),
        there.card(study).attached_instance,
    )
    house.blobs = blobs
    # Meanwhile reception corrected the telephone number and the name: what is in the PACS stays the record.
    patient = there.do("reception", patients.open_patient, there.card(study).row.patient_id)
    changed = replace(patient.particulars, given_names="Thandi")
    there.do("reception", patients.correct, patient.id, changed, version=patient.version)
    there.errands()
    file = there.orthanc.instance_file(there.orthanc.lookup(report_uid(version)))
    assert ([report_uid(version)], 1) == (reports_in_orthanc(there, study), documents(there))
    assert pdf_inside(file) == there.do("radiologist", pacs.report_pdf, study)


def test_our_own_report_coming_back_through_the_log_reopens_nothing(signed):
    there, study, _ = signed
    there.errands()
    before = there.card(study)
    there.settle()
    after = there.card(study)
    assert (before.row, before.image_digest, before.history) == (after.row, after.image_digest, after.history)
    assert ([], ["matched"]) == (there.held(), [a.state for a in there.held("matched")])
    assert there.do("radiologist", reporting.read_signed, study).images_unchanged
    assert 3 == there.do("radiologist", pacs.open_images, study).count
    assert 0 == pacs.reconcile(there.test.house)


def test_a_late_image_after_signing_is_shown_and_the_report_says_that_images_changed(signed):
    there, study, version = signed
    there.errands()
    there.settle()
    there.scan(study, slices=1, salt="late")
    there.settle()
    report = there.do("radiologist", reporting.read_signed, study)
    assert (True, False) == (report.is_intact, report.images_unchanged)
    assert (Status.SIGNED, 4) == (there.card(study).row.status, there.card(study).row.image_count)
    assert [report_uid(version)] == reports_in_orthanc(there, study)
    judged = [e for e in there.do("admin", privacy.entries) if e.facts.get("after_signature")]
    assert [str(there.card(study).row.patient_id)] == [e.patient_id for e in judged]


def test_an_errand_waits_while_orthanc_is_away_and_is_done_when_it_is_back(signed):
    there, study, version = signed
    ports = there.test.house.ports
    there.test.house.ports = Ports(orthanc=OrthancRest(f"http://127.0.0.1:{free_port()}", retries=0))
    there.errands()
    errand = open_errand(there)
    assert ("waiting", 1) == (errand.state, errand.tries)
    assert "does not answer" in errand.trouble
    assert there.do("radiologist", pacs.report_pdf, study).startswith(b"%PDF")
    with pytest.raises(Away):
        pacs.attach_report(there.test.house, errand.payload)
    there.test.house.ports = ports
    there.errands()
    assert "waiting" == open_errand(there).state  # Its pause is not over.
    there.test.clock.pass_(seconds=6)
    there.errands()
    assert ((), [report_uid(version)]) == (
        there.do("admin", errands.open_errands),
        reports_in_orthanc(there, study),
    )


def test_a_report_whose_images_are_gone_waits_and_says_why(signed):
    there, study, _ = signed
    for header in there.orthanc.instances_of(there.card(study).orthanc_id):
        there.orthanc.delete_instance(header.orthanc_id)
    there.errands()
    assert "no longer" in open_errand(there).trouble


def test_an_unknown_kind_of_errand_is_shown_as_stuck(either_radiology):
    there = either_radiology
    with there.test.does("system") as work, work.act(Permission.ERRANDS_RUN):
        work.errand("fly_to_the_moon", key="moon:1")
    there.errands()
    errand = open_errand(there)
    assert ("stuck", "This program knows no errand called 'fly_to_the_moon'.") == (
        errand.state,
        errand.trouble,
    )


def test_a_report_whose_signature_does_not_hold_is_not_attached(signed, monkeypatch):
    there, study, version = signed
    with there.test.does("system") as work, work.act(Permission.REPORT_ATTACH):
        # Nobody can write this through the tables; a stolen database could hold it.
        study_row = work.get(pacs.Study, study)
        forged = ReportVersion(
            id=work.new_id(),
            study_id=study,
            number=99,
            kind="signed",
            text="CONCLUSION\nForged.",
            author_id=study_row.radiologist_id,
            at=work.now(),
            previous_id=version,
            digest="0" * 64,
            signature="",
        )
        work.db.add(forged)
        work.db.flush()
        study_row.signed_version_id = forged.id
    with pytest.raises(Refused, match="valid signature"):
        pacs.attach_report(there.test.house, {"study": str(study), "version": str(forged.id)})
    assert [] == reports_in_orthanc(there, study)


def test_a_report_is_read_only_by_those_who_may_and_only_when_it_is_signed(either_radiology):
    there = either_radiology
    study = there.booked()
    with pytest.raises(Missing):
        there.do("radiologist", pacs.report_pdf, study)
    with pytest.raises(Denied):
        there.do("reception", pacs.report_pdf, study)


def test_the_workers_rounds_bring_a_study_from_scan_to_attached_report(either_radiology):
    there = either_radiology
    there.test.house.rules["quiet"] *= 0
    study = there.booked()
    there.scan(study)
    worker.run_until_quiet(there.test.house)
    version = report_on(there.test, study)
    worker.run_until_quiet(there.test.house)
    assert [report_uid(version)] == reports_in_orthanc(there, study)
    going = worker.Worker(there.test.house)
    going.turn()
    assert not going.turn()
