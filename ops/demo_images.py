"""Real DICOM for the demo and the tests: pydicom's bundled samples with fresh, invented identities.

Nothing is downloaded: only samples inside pydicom's own package are used. Of a sample only what describes the
picture is kept; names, dates, places and private elements of its origin are left behind.
"""

from __future__ import annotations

import io
import socket
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid5

import numpy as np
import pydicom
from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID
from pynetdicom import AE, evt
from pynetdicom.association import Association
from pynetdicom.presentation import build_context

from core.errors import Away
from core.rules.dicom_identity import Identity
from core.rules.report_dicom import SAST

SAMPLES = Path(pydicom.__file__).parent / "data" / "test_files"
UIDS = UUID("6f0e6a52-7d0b-4f0e-9a38-3f1d8c5b2a11")  # The namespace of our demo's UIDs.

KEPT_GROUPS = {0x0018, 0x0028, 0x7FE0}
KEPT_TAGS = (
    "SOPClassUID",
    "ImageType",
    "Modality",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "Laterality",
)
LEFT_BEHIND = ("DeviceSerialNumber", "DateOfLastCalibration", "TimeOfLastCalibration", "ProtocolName")


@dataclass(frozen=True)
class Recipe:
    """One examination that can be made.

    change: slices differ a little, so that scrolling shows movement. blank_rows: so many at the top are blackened,
    because the picture itself names a place.
    """

    sample: str
    description: str
    series: str
    slices: int
    spacing_mm: float = 0.0
    window: tuple[int, int] | None = None
    change: bool = False
    blank_rows: int = 0


RECIPES = {
    "ct": Recipe("CT_small.dcm", "CT thoracic spine", "Axial 5 mm", 24, 5.0, (40, 400), change=True),
    "ct_head_j2k": Recipe("693_J2KI.dcm", "CT brain", "Axial 5 mm, bone", 6, 5.0, (400, 2000)),
    "mr": Recipe("MR_small.dcm", "MR angiogram", "3D TOF", 12, 0.8, change=True),
    "mr_abdomen": Recipe("examples_overlay.dcm", "MR upper abdomen", "T1 arterial", 12, 4.0, change=True),
    "us_cine": Recipe("examples_ybr_color.dcm", "Echocardiogram", "Apical cine", 1),
    "us_colour": Recipe(
        "examples_rgb_color.dcm", "Ultrasound, lymph node", "Power Doppler", 1, blank_rows=51
    ),
}


def make(
    recipe: str,
    identity: Identity,
    *,
    taken_at: datetime,
    referrer: str = "",
    description: str = "",
    slices: int | None = None,
    size: int | None = None,
    charset: str = "ISO_IR 192",
    salt: str = "",
) -> list[Dataset]:
    """The instances of one examination of this person.

    UIDs derive from the study UID, the recipe and `salt`: the same call makes the same instances. referrer is a
    name in DICOM's form. size: side of each slice in pixels, for uncompressed recipes (benchmarks use 512).
    """
    how = RECIPES[recipe]
    count = slices or how.slices
    return [
        _instance(
            how,
            identity,
            taken_at=taken_at + timedelta(seconds=number),
            referrer=referrer,
            description=description or how.description,
            number=number,
            size=size,
            charset=charset,
            uid=lambda what: _uid(identity.study_uid, recipe, salt, what),
        )
        for number in range(1, count + 1)
    ]


def as_file(instance: Dataset) -> bytes:
    """The instance as a DICOM file."""
    file = io.BytesIO()
    instance.save_as(file, enforce_file_format=True)
    return file.getvalue()


def _uid(*parts: str) -> str:
    return f"2.25.{uuid5(UIDS, '/'.join(parts)).int}"


def _instance(
    how: Recipe,
    identity: Identity,
    *,
    taken_at: datetime,
    referrer: str,
    description: str,
    number: int,
    size: int | None,
    charset: str,
    uid: Callable[[str], str],
) -> Dataset:
    sample = dcmread(SAMPLES / how.sample)
    d = Dataset()
    for element in sample:
        if element.tag.group in KEPT_GROUPS or element.keyword in KEPT_TAGS:
            d.add(element)
    for keyword in LEFT_BEHIND:
        d.pop(keyword, None)

    local = taken_at.astimezone(SAST)
    day, clock = local.strftime("%Y%m%d"), local.strftime("%H%M%S")
    d.SpecificCharacterSet = charset
    d.SOPInstanceUID = uid(f"instance/{number}")
    d.StudyInstanceUID = identity.study_uid
    d.SeriesInstanceUID = uid("series")
    d.FrameOfReferenceUID = uid("frame of reference")
    d.PositionReferenceIndicator = ""
    d.StudyDate = d.SeriesDate = d.ContentDate = d.AcquisitionDate = day
    d.StudyTime = d.SeriesTime = d.ContentTime = d.AcquisitionTime = clock
    d.AccessionNumber = identity.accession
    d.StudyID = identity.accession[:16]
    d.StudyDescription, d.SeriesDescription = description, how.series
    d.ReferringPhysicianName = referrer
    d.Manufacturer, d.InstitutionName = "Demonstration scanner", "Demonstration practice"
    d.SeriesNumber, d.InstanceNumber, d.AcquisitionNumber = 1, number, 1
    # Required of some classes, though they may be empty (Type 2C).
    d.PatientOrientation = d.get("PatientOrientation", "")
    if "BodyPartExamined" not in d:
        d.Laterality = d.get("Laterality", "")
    d.PatientID, d.PatientName = identity.patient_id, identity.patient_name
    d.PatientBirthDate = identity.birth_on.strftime("%Y%m%d") if identity.birth_on else ""
    d.PatientSex = identity.sex
    if how.window:
        d.WindowCenter, d.WindowWidth = how.window
    if how.spacing_mm and "ImagePositionPatient" in d:
        x, y, z = d.ImagePositionPatient
        d.ImagePositionPatient = [x, y, round(z + (number - 1) * how.spacing_mm, 4)]
        d.SliceLocation = d.ImagePositionPatient[2]

    d.file_meta = FileMetaDataset()
    d.file_meta.MediaStorageSOPClassUID = d.SOPClassUID
    d.file_meta.MediaStorageSOPInstanceUID = UID(d.SOPInstanceUID)
    d.file_meta.TransferSyntaxUID = sample.file_meta.TransferSyntaxUID
    if how.blank_rows:
        picture = sample.pixel_array.copy()
        picture[: how.blank_rows] = 0
        d.PixelData = picture.tobytes()
    if how.change and not UID(d.file_meta.TransferSyntaxUID).is_compressed:
        _vary(d, sample.pixel_array, number=number, size=size)
    return d


def _vary(d: Dataset, pixels: np.ndarray, *, number: int, size: int | None) -> None:
    """Come a little nearer with each slice, and enlarge when asked; noise keeps large slices from compressing away."""
    rows, columns = pixels.shape
    factor = max(1, (size or rows) // rows)
    near = 1 + 0.012 * (number - 1)
    down = (((np.arange(rows) - rows / 2) / near) + rows / 2).astype(int).clip(0, rows - 1)
    across = (((np.arange(columns) - columns / 2) / near) + columns / 2).astype(int).clip(0, columns - 1)
    picture = pixels[np.ix_(down, across)]
    if factor > 1:
        noise = np.random.default_rng(number).normal(0, 12, (rows * factor, columns * factor))
        limits = np.iinfo(pixels.dtype)
        enlarged = np.kron(picture, np.ones((factor, factor), dtype=pixels.dtype)) + noise
        picture = enlarged.clip(limits.min, limits.max).astype(pixels.dtype)
        d.PixelSpacing = [round(float(s) / factor, 6) for s in d.PixelSpacing]
    d.Rows, d.Columns = picture.shape
    d.PixelData = picture.tobytes()
    # Values of the original picture, which the changed one need not keep.
    for keyword in ("SmallestImagePixelValue", "LargestImagePixelValue"):
        d.pop(keyword, None)


# Sending, as a scanner does.


@dataclass(frozen=True)
class Sent:
    """What became of one instance; status is DIMSE's (0x0000 stored, 0xA900 and 0xCxxx not), None for no answer."""

    sop_uid: str
    ok: bool
    status: int | None
    reason: str = ""


def send(
    instances: Sequence[Dataset],
    *,
    host: str,
    port: int,
    aet: str,
    calling_aet: str = "DEMOSCAN",
    timeout_s: float = 30,
) -> list[Sent]:
    """C-STORE the instances over one association (PS3.4 §B); Away when nobody takes the call.

    Each transfer syntax gets a presentation context of its own, so that the receiver cannot accept a class
    and then choose a syntax in which the picture is not.
    """
    ae = AE(ae_title=calling_aet)
    ae.connection_timeout = ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = timeout_s
    pairs = sorted({(i.SOPClassUID, i.file_meta.TransferSyntaxUID) for i in instances})
    association = ae.associate(
        host,
        port,
        contexts=[build_context(sop_class, syntax) for sop_class, syntax in pairs],
        ae_title=aet,
        evt_handlers=[(evt.EVT_CONN_OPEN, _no_delay)],
    )
    if not association.is_established:
        raise Away("The image store does not take images over DICOM just now.")
    reactor = association._reactor_checkpoint = _Checkpoint()
    try:
        return [_store(association, reactor, instance) for instance in instances]
    finally:
        if association.is_established:
            reactor.close()
            association.release()


def _no_delay(event: evt.Event) -> None:
    # Nagle's algorithm and delayed ACKs would cost 90 ms an image.
    connection = event.assoc.dul.socket
    if connection and connection.socket:
        connection.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


class _Checkpoint(threading.Event):
    """Where pynetdicom's reactor thread waits while we talk: here we can see that it really does.

    pynetdicom 3.0 asks only whether the reactor is about to wait. One time in some thousand it is just leaving,
    takes the answer meant for us ("Received unexpected C-STORE service message"), and we wait for it in vain.
    """

    def __init__(self) -> None:
        super().__init__()
        self.set()
        self._turn = threading.Lock()
        self._parked = threading.Event()

    def wait(self, timeout: float | None = None) -> bool:
        while True:
            self._parked.set()
            super().wait(timeout)
            with self._turn:
                if self.is_set() or timeout is not None:
                    self._parked.clear()
                    return self.is_set()

    def close(self) -> None:
        with self._turn:
            self.clear()
        self._parked.wait(timeout=1)


def _store(association: Association, reactor: _Checkpoint, instance: Dataset) -> Sent:
    if not association.is_established:
        return Sent(instance.SOPInstanceUID, False, None, "The connection was lost.")
    reactor.close()
    try:
        answer = association.send_c_store(instance)
    except ValueError as refused:
        # The receiver accepts no such class in this syntax, or the instance could not be encoded.
        return Sent(instance.SOPInstanceUID, False, None, str(refused))
    except RuntimeError:
        return Sent(instance.SOPInstanceUID, False, None, "The connection was lost.")
    finally:
        reactor.set()
    if "Status" not in answer:
        return Sent(instance.SOPInstanceUID, False, None, "No answer.")
    ok = answer.Status == 0 or answer.Status >> 12 == 0xB  # Bxxx is stored with a warning.
    return Sent(instance.SOPInstanceUID, ok, answer.Status, str(answer.get("ErrorComment", "")))
