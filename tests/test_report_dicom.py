"""The report as a DICOM object: conformant, repeatable, and whole."""

import io
import subprocess
from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import dcmread

from core.rules.dicom_identity import InstanceHeader
from core.rules.report_dicom import encapsulate, pdf_inside, report_uid

VERSION = UUID("019ab4c2-7d1e-7c3a-9f00-1234567890ab")
SOURCE = InstanceHeader(
    orthanc_id="a",
    sop_uid="1.2.3.4.5",
    sop_class="1.2.840.10008.5.1.4.1.1.2",
    study_uid="1.2.3",
    series_uid="1.2.3.4",
    patient_id="P-000123",
    patient_name="Nkosi-Müller^Thandô",
    birth_date="19800229",
    sex="F",
    accession="A26-000417",
    study_date="20261124",
    study_time="081500",
    referring_physician="Mokoena^Sipho^^Dr",
    rows=512,
)


def make(pdf=b"%PDF-1.7 small", **changed):
    source = InstanceHeader(**{**SOURCE.__dict__, **changed})
    return encapsulate(
        pdf,
        source,
        version_id=VERSION,
        version_number=3,
        signed_at=datetime(2026, 11, 24, 22, 5, tzinfo=UTC),
        signed_by="Naidoo^Priya^^Dr",
        institution="Umoya Radiology",
    )


def verdict(dicom, tmp_path):
    file = tmp_path / "report.dcm"
    file.write_bytes(dicom)
    checked = subprocess.run(["dciodvfy", str(file)], capture_output=True, text=True)
    return checked.returncode, [line for line in checked.stderr.splitlines() if line.startswith("Error")]


@pytest.mark.needs("dicom3tools")
def test_the_object_conforms_to_the_standard(tmp_path):
    assert verdict(make().dicom, tmp_path) == (0, [])


@pytest.mark.needs("dicom3tools")
@pytest.mark.parametrize(
    "malformed",
    [
        {"birth_date": "29.02.1980", "sex": "W", "study_date": "2026-11-24", "study_time": "8:15"},
        {
            "birth_date": "",
            "sex": "",
            "study_date": "",
            "study_time": "",
            "accession": "",
            "referring_physician": "",
        },
        {"study_description": "x" * 100, "study_id": "y" * 40},
    ],
)
def test_a_scanner_that_wrote_nonsense_does_not_make_our_object_nonsense(tmp_path, malformed):
    assert verdict(make(**malformed).dicom, tmp_path) == (0, [])


@pytest.mark.needs("dicom3tools")
def test_the_validator_does_find_a_fault(tmp_path):
    d = dcmread(io.BytesIO(make().dicom))
    del d.MIMETypeOfEncapsulatedDocument
    file = io.BytesIO()
    d.save_as(file)
    assert verdict(file.getvalue(), tmp_path)[0] == 1


def test_patient_and_study_are_those_of_the_image():
    d = dcmread(io.BytesIO(make().dicom))
    assert (d.PatientID, str(d.PatientName), d.StudyInstanceUID, d.AccessionNumber) == (
        "P-000123",
        "Nkosi-Müller^Thandô",
        "1.2.3",
        "A26-000417",
    )
    assert d.SourceInstanceSequence[0].ReferencedSOPInstanceUID == "1.2.3.4.5"


def test_times_are_johannesburg_times_and_say_so():
    d = dcmread(io.BytesIO(make().dicom))
    assert (d.ContentDate, d.ContentTime, d.TimezoneOffsetFromUTC) == ("20261125", "000500", "+0200")


def test_the_same_version_is_the_same_object():
    assert make() == make()
    assert make().sop_uid == report_uid(VERSION)
    assert len(make().sop_uid) <= 64
    assert make().series_uid != make().sop_uid


@given(st.binary(min_size=1, max_size=300))
def test_the_pdf_comes_out_as_it_went_in_up_to_its_final_newline(pdf):
    expected = pdf if pdf.endswith(b"\n") else pdf + b"\n"
    assert pdf_inside(make(pdf).dicom) == expected
