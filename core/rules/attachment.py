"""A signed report on its way into the PACS: what is needed to draw it, and the object it becomes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from core.rules.dicom_identity import InstanceHeader
from core.rules.report_dicom import ReportObject, encapsulate
from core.rules.report_paper import ReportPaper, render


@dataclass(frozen=True)
class Attachment:
    """What attaching needs: the page, the study and an image of it in Orthanc, and what makes the object unique."""

    study_id: UUID
    version_id: UUID
    version_number: int
    signed_at: datetime
    signed_by: str  # DICOM's form
    institution: str
    paper: ReportPaper
    study_orthanc_id: str
    image_orthanc_id: str
    is_done: bool


def draw(what: Attachment, source: InstanceHeader) -> ReportObject:
    """The page as a DICOM object of the study that the image `source` belongs to."""
    return encapsulate(
        render(what.paper),
        source,
        version_id=what.version_id,
        version_number=what.version_number,
        signed_at=what.signed_at,
        signed_by=what.signed_by,
        institution=what.institution,
    )
