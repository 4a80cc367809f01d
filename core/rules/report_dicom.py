"""A signed report as a DICOM object that joins the study it speaks of.

Encapsulated PDF (PS3.3 §A.45.1): every PACS, viewer and archive a referrer may use can show it.
"""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING
from uuid import UUID, uuid5

from core.rules.dicom_identity import ENCAPSULATED_PDF, InstanceHeader

# pydicom takes 10 MB, and the console, which needs the plain parts of this file, makes no DICOM object: so it is
# imported where one is made or read.
if TYPE_CHECKING:
    from pydicom.dataset import Dataset

MANUFACTURER = "Ubuntu Patient Sorg"
REPORT_SERIES = 900  # Above what scanners number, so that viewers list the report last.
SAST = timezone(timedelta(hours=2), "SAST")  # South Africa keeps no summer time.


@dataclass(frozen=True)
class ReportObject:
    """The DICOM file, and the numbers under which it will be found again."""

    sop_uid: str
    series_uid: str
    study_uid: str
    dicom: bytes


def report_uid(version_id: UUID) -> str:
    """The SOPInstanceUID of a report version: the version's own number in DICOM's UUID form (PS3.5 §B.2).

    An errand that runs twice so makes the same instance twice, and Orthanc keeps one.
    """
    return f"2.25.{version_id.int}"


def encapsulate(
    pdf: bytes,
    source: InstanceHeader,
    *,
    version_id: UUID,
    version_number: int,
    signed_at: datetime,
    signed_by: str,
    institution: str,
    title: str = "Radiology report",
) -> ReportObject:
    """Wrap the PDF for the study of `source`, an image of it as Orthanc tells it.

    Patient and study are copied from that image, not from our registry: the object must land in that study.
    signed_by is a name in DICOM's form (Naidoo^Priya). The same input gives the same bytes.
    """
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import UID, ExplicitVRLittleEndian

    pdf = with_final_newline(pdf)
    local = signed_at.astimezone(SAST)
    d = Dataset()
    d.SpecificCharacterSet = "ISO_IR 192"
    d.TimezoneOffsetFromUTC = "+0200"
    d.SOPClassUID = ENCAPSULATED_PDF
    d.SOPInstanceUID = report_uid(version_id)
    d.InstanceCreationDate, d.InstanceCreationTime = local.strftime("%Y%m%d"), local.strftime("%H%M%S")

    d.PatientName = source.patient_name
    d.PatientID = source.patient_id
    d.PatientBirthDate = _if_matches(r"\d{8}", source.birth_date)
    d.PatientSex = _if_matches(r"[MFO]", source.sex)

    d.StudyInstanceUID = source.study_uid
    d.StudyDate = _if_matches(r"\d{8}", source.study_date)
    d.StudyTime = _if_matches(r"\d{2}(\d{2}(\d{2}(\.\d{1,6})?)?)?", source.study_time)
    d.StudyID = source.study_id[:16]
    d.StudyDescription = source.study_description[:64]
    d.AccessionNumber = source.accession[:16]
    d.ReferringPhysicianName = source.referring_physician
    d.NameOfPhysiciansReadingStudy = signed_by

    d.Modality = "DOC"
    d.SeriesInstanceUID = f"2.25.{uuid5(version_id, 'series').int}"
    d.SeriesNumber = REPORT_SERIES
    d.SeriesDescription = title[:64]
    d.InstanceNumber = version_number
    d.Manufacturer = MANUFACTURER
    d.InstitutionName = institution[:64]
    d.ConversionType = "WSD"

    d.ContentDate, d.ContentTime = d.InstanceCreationDate, d.InstanceCreationTime
    d.AcquisitionDateTime = local.strftime("%Y%m%d%H%M%S")
    d.BurnedInAnnotation = "YES"  # The pages name the patient.
    d.RecognizableVisualFeatures = "NO"
    d.VerificationFlag = "VERIFIED"
    d.DocumentTitle = title
    d.ConceptNameCodeSequence = [_code("18748-4", "LN", "Diagnostic imaging study")]
    d.SourceInstanceSequence = [_reference(source)]
    d.MIMETypeOfEncapsulatedDocument = "application/pdf"
    d.EncapsulatedDocumentLength = len(pdf)
    d.EncapsulatedDocument = pdf + b"\0" * (len(pdf) % 2)

    d.file_meta = FileMetaDataset()
    d.file_meta.MediaStorageSOPClassUID = UID(d.SOPClassUID)
    d.file_meta.MediaStorageSOPInstanceUID = UID(d.SOPInstanceUID)
    d.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    file = io.BytesIO()
    d.save_as(file, enforce_file_format=True)
    return ReportObject(d.SOPInstanceUID, d.SeriesInstanceUID, d.StudyInstanceUID, file.getvalue())


def pdf_inside(dicom: bytes) -> bytes:
    """The PDF of an Encapsulated PDF object, without the byte that pads it to an even length."""
    from pydicom import dcmread

    d = dcmread(io.BytesIO(dicom))
    return d.EncapsulatedDocument[: d.get("EncapsulatedDocumentLength") or None]


def with_final_newline(pdf: bytes) -> bytes:
    """Orthanc's /pdf route cuts the last byte of an even-length PDF that does not end in a newline."""
    return pdf if pdf.endswith(b"\n") else pdf + b"\n"


def _if_matches(pattern: str, value: str) -> str:
    # A scanner's malformed value would make our object malformed too; empty is allowed for these (Type 2).
    return value if re.fullmatch(pattern, value) else ""


def _code(value: str, scheme: str, meaning: str) -> Dataset:
    from pydicom.dataset import Dataset

    d = Dataset()
    d.CodeValue, d.CodingSchemeDesignator, d.CodeMeaning = value, scheme, meaning
    return d


def _reference(source: InstanceHeader) -> Dataset:
    from pydicom.dataset import Dataset

    d = Dataset()
    d.ReferencedSOPClassUID, d.ReferencedSOPInstanceUID = source.sop_class, source.sop_uid
    return d
