"""Orthanc, where the images live: what we ask of it, and how it is asked over REST.

There is one body. Orthanc comes with every installation as a child process (ops/orthanc_child.py) and starts
in a fifth of a second, so demo and tests use the real one; a second body would be a PACS of our own.

Every answer is a frozen record, every failure one of three: Away (no answer: try again), Turned (it answered
no), Missing (no such study or instance there).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from core.errors import Away, Missing, Turned
from core.rules.dicom_identity import InstanceHeader
from core.rules.report_dicom import ReportObject, pdf_inside

FIRST_OWN_METADATA = 1024  # Orthanc keeps lower numbers for itself.
CHUNK_BYTES = 256 * 1024


@dataclass(frozen=True)
class Change:
    """One line of the change feed: kind is Orthanc's word (NewInstance, NewStudy, StableStudy, Deleted ...)."""

    seq: int
    kind: str
    level: str
    orthanc_id: str
    at: datetime | None


@dataclass(frozen=True)
class ChangePage:
    """last: the cursor to save together with what the changes caused; done: nothing newer just now."""

    last: int
    done: bool
    changes: tuple[Change, ...]


@dataclass(frozen=True)
class StudyFound:
    """A study as Orthanc indexes it. Demographics here are those of the first instance only: compare per instance."""

    orthanc_id: str
    study_uid: str
    accession: str
    patient_id: str
    patient_name: str
    birth_date: str
    sex: str
    study_date: str
    description: str
    referring_physician: str
    series: tuple[str, ...]
    is_stable: bool
    updated_at: datetime | None


@dataclass(frozen=True)
class Stored:
    """already: the SOPInstanceUID was there before and the new bytes were dropped, even if they differ."""

    orthanc_id: str
    study_id: str
    already: bool


@dataclass(frozen=True)
class OrthancFacts:
    """What `/system` tells: versions to adapt to, and where DICOM is spoken."""

    version: str
    api_version: int
    aet: str
    dicom_port: int


@dataclass(frozen=True)
class OrthancCounts:
    """How much is stored."""

    patients: int
    studies: int
    series: int
    instances: int
    bytes: int


class Orthanc(Protocol):
    """What the practice asks of its image store."""

    def system(self) -> OrthancFacts: ...
    def statistics(self) -> OrthancCounts: ...
    def changes(self, since: int, *, limit: int = 100) -> ChangePage: ...
    def newest_change(self) -> int: ...
    def study(self, study_id: str) -> StudyFound: ...
    def study_of_instance(self, instance_id: str) -> str: ...
    def studies_of_instances(self, instance_ids: Sequence[str]) -> tuple[str, ...]: ...
    def study_ids(self, *, after: int = 0, limit: int = 500) -> tuple[str, ...]: ...
    def instance_count(self, study_id: str) -> int: ...
    def find_studies(
        self, *, accession: str = "", uid: str = "", patient_id: str = ""
    ) -> tuple[StudyFound, ...]: ...
    def instances_of(self, study_id: str, *, with_syntax: bool = False) -> tuple[InstanceHeader, ...]: ...
    def instance_file(self, instance_id: str) -> bytes: ...
    def instance_stream(self, instance_id: str) -> Any: ...
    def lookup(self, sop_uid: str) -> str | None: ...
    def store(self, dicom: bytes) -> Stored: ...
    def stow(self, dicom: bytes, *, study_uid: str, sop_uid: str) -> Stored: ...
    def delete_instance(self, instance_id: str) -> None: ...
    def set_study_metadata(self, study_id: str, value: str, *, number: int = FIRST_OWN_METADATA) -> None: ...
    def study_metadata(self, study_id: str, *, number: int = FIRST_OWN_METADATA) -> str | None: ...


@dataclass(frozen=True)
class Sight:
    """What Orthanc said of one arrival: its instances, and (Orthanc id, PatientID) of others under its Study UID.

    as_of: the last change that we knew of when it was asked.
    """

    headers: tuple[InstanceHeader, ...]
    twins: tuple[tuple[str, str], ...]
    as_of: datetime


def sight_of(orthanc: Orthanc, study_id: str, *, as_of: datetime) -> Sight:
    """Look at a study and at whatever else bears its Study UID; one that is gone has no headers."""
    try:
        headers = orthanc.instances_of(study_id, with_syntax=True)
    except Missing:
        return Sight((), (), as_of)
    found = [s for uid in sorted({h.study_uid for h in headers}) for s in orthanc.find_studies(uid=uid)]
    twins = {(s.orthanc_id, s.patient_id) for s in found if s.orthanc_id != study_id}
    return Sight(headers, tuple(sorted(twins)), as_of)


def count_of(orthanc: Orthanc, study_id: str) -> int:
    """How many instances a study holds; 0 when it is gone."""
    try:
        return orthanc.instance_count(study_id)
    except Missing:
        return 0


def keep_report(orthanc: Orthanc, made: ReportObject, *, into: str) -> bytes:
    """Put a report into the study `into` and read it back: its PDF as the PACS has it, which is the record.

    Turned when it landed elsewhere or changed on the way. An earlier try may have stored the page with the letterhead
    of that minute: then that page is the answer.
    """
    stored = orthanc.stow(made.dicom, study_uid=made.study_uid, sop_uid=made.sop_uid)
    pdf = pdf_inside(orthanc.instance_file(stored.orthanc_id))
    if stored.study_id != into or (not stored.already and pdf != pdf_inside(made.dicom)):
        raise Turned("Orthanc did not keep the report as it was sent. It was not marked as attached.")
    return pdf


class OrthancRest:
    """Orthanc 1.10 to 1.12 over its REST interface, with the DICOMweb plugin for `stow`.

    timeout_s: (to connect, between two bytes). Only questions are repeated; what changes something is not.
    """

    def __init__(
        self,
        url: str,
        auth: tuple[str, str] | None = None,
        *,
        timeout_s: tuple[float, float] = (3.0, 30.0),
        retries: int = 2,
    ) -> None:
        self.url = url.rstrip("/")
        self.timeout_s = timeout_s
        self._http = requests.Session()
        # Credentials and proxies of whoever starts us have no business here.
        self._http.trust_env = False
        self._http.auth = auth
        self._http.headers["Accept-Encoding"] = "identity"
        retry = Retry(
            total=retries,
            allowed_methods=frozenset({"GET"}),
            status_forcelist=(502, 503, 504),
            backoff_factor=0.1,
            raise_on_status=False,
        )
        adapter = HTTPAdapter(max_retries=retry, pool_maxsize=32)
        self._http.mount("http://", adapter)
        self._http.mount("https://", adapter)

    def close(self) -> None:
        self._http.close()

    # What it is and what happened in it.

    def system(self) -> OrthancFacts:
        told = self._json("GET", "/system")
        return OrthancFacts(told["Version"], told.get("ApiVersion", 0), told["DicomAet"], told["DicomPort"])

    def statistics(self) -> OrthancCounts:
        told = self._json("GET", "/statistics")
        return OrthancCounts(
            patients=told["CountPatients"],
            studies=told["CountStudies"],
            series=told["CountSeries"],
            instances=told["CountInstances"],
            bytes=int(told["TotalDiskSize"]),
        )

    def changes(self, since: int, *, limit: int = 100) -> ChangePage:
        """The feed after `since`. StableStudy may never come for a study if Orthanc was stopped meanwhile."""
        page = self._json("GET", "/changes", params={"since": since, "limit": limit})
        changes = tuple(
            Change(c["Seq"], c["ChangeType"], c["ResourceType"], c["ID"], _moment(c.get("Date", "")))
            for c in page["Changes"]
        )
        return ChangePage(page["Last"], page["Done"], changes)

    def newest_change(self) -> int:
        """Where the feed ends just now; 0 for an empty store."""
        return self._json("GET", "/changes?last")["Last"]

    # Studies and their instances.

    def study(self, study_id: str) -> StudyFound:
        return _study(self._json("GET", f"/studies/{_safe(study_id)}"))

    def study_of_instance(self, instance_id: str) -> str:
        """The Orthanc id of the study an instance belongs to."""
        return self._json("GET", f"/instances/{_safe(instance_id)}/study")["ID"]

    def studies_of_instances(self, instance_ids: Sequence[str]) -> tuple[str, ...]:
        """The Orthanc ids of the studies they belong to, each once, in one question; instances that are gone are left out."""
        if not instance_ids:
            return ()
        question = {"Resources": list(instance_ids), "Level": "Study", "Metadata": False}
        return tuple(s["ID"] for s in self._json("POST", "/tools/bulk-content", json=question))

    def study_ids(self, *, after: int = 0, limit: int = 500) -> tuple[str, ...]:
        """A page of the Orthanc ids of all studies, for comparing with what we know."""
        return tuple(self._json("GET", "/studies", params={"since": after, "limit": limit}))

    def instance_count(self, study_id: str) -> int:
        """How many instances a study holds; Missing when it is gone."""
        return self._json("GET", f"/studies/{_safe(study_id)}/statistics")["CountInstances"]

    def find_studies(
        self, *, accession: str = "", uid: str = "", patient_id: str = ""
    ) -> tuple[StudyFound, ...]:
        """Studies with exactly these values. Two for one uid means two patients under one StudyInstanceUID."""
        wanted = {"AccessionNumber": accession, "StudyInstanceUID": uid, "PatientID": patient_id}
        asked = {tag: value for tag, value in wanted.items() if value}
        if not asked:
            return ()
        found = self._json("POST", "/tools/find", json={"Level": "Study", "Query": asked, "Expand": True})
        studies = sorted((_study(s) for s in found), key=lambda s: s.orthanc_id)
        # Orthanc reads * ? and \ in a value as wildcards; what was asked for is exact.
        return tuple(
            s
            for s in studies
            if (not accession or s.accession == accession)
            and (not uid or s.study_uid == uid)
            and (not patient_id or s.patient_id == patient_id)
        )

    def instances_of(self, study_id: str, *, with_syntax: bool = False) -> tuple[InstanceHeader, ...]:
        """What each instance says about itself, in the order of series and instance number."""
        tags = self._json("GET", f"/studies/{_safe(study_id)}/instances-tags?short")
        syntaxes = self._transfer_syntaxes(list(tags)) if with_syntax and tags else {}
        headers = (_header(i, t, syntaxes.get(i, "")) for i, t in tags.items())
        return tuple(
            sorted(
                headers, key=lambda h: (h.series_number or 0, h.series_uid, h.instance_number or 0, h.sop_uid)
            )
        )

    def _transfer_syntaxes(self, instance_ids: Sequence[str]) -> dict[str, str]:
        question = {"Resources": list(instance_ids), "Level": "Instance", "Metadata": True}
        told = self._json("POST", "/tools/bulk-content", json=question)
        return {i["ID"]: i.get("Metadata", {}).get("TransferSyntax", "") for i in told}

    def instance_file(self, instance_id: str) -> bytes:
        """The DICOM file as it was received."""
        return self._ask("GET", f"/instances/{_safe(instance_id)}/file").content

    @contextmanager
    def instance_stream(self, instance_id: str) -> Iterator[Iterator[bytes]]:
        """The same in pieces, for objects too large to hold: `with orthanc.instance_stream(id) as pieces:`."""
        answer = self._ask("GET", f"/instances/{_safe(instance_id)}/file", stream=True)

        def pieces() -> Iterator[bytes]:
            try:
                yield from answer.iter_content(CHUNK_BYTES)
            except requests.RequestException as e:
                raise Away("Orthanc stopped in the middle of an image.") from e

        try:
            yield pieces()
        finally:
            answer.close()

    def lookup(self, sop_uid: str) -> str | None:
        """The Orthanc id of an instance by its SOPInstanceUID, None when it is not there."""
        found = self._json("POST", "/tools/lookup", data=sop_uid.encode())
        return next((f["ID"] for f in found if f["Type"] == "Instance"), None)

    # What changes something.

    def store(self, dicom: bytes) -> Stored:
        """Store one DICOM file; Turned when it is not one."""
        # A file without identifiers is answered 404 "Inexistent tag": bad data too, whatever the number says.
        answer = self._ask(
            "POST",
            "/instances",
            data=dicom,
            headers={"Content-Type": "application/dicom"},
            refusals={
                400: "Orthanc cannot read this file as DICOM; it may have been cut short.",
                404: "This DICOM file lacks the numbers that identify patient, study, series or image.",
            },
        )
        told = answer.json()
        return Stored(told["ID"], told["ParentStudy"], told["Status"] == "AlreadyStored")

    def stow(self, dicom: bytes, *, study_uid: str, sop_uid: str) -> Stored:
        """Store one instance into the study it names by STOW-RS (PS3.18 §10.5); a repeat is the same instance."""
        before = self.lookup(sop_uid)
        boundary = b"sorg-" + sop_uid.encode()
        body = b"--%b\r\nContent-Type: application/dicom\r\n\r\n%b\r\n--%b--\r\n" % (
            boundary,
            dicom,
            boundary,
        )
        self._ask(
            "POST",
            f"/dicom-web/studies/{_safe(study_uid)}",
            data=body,
            headers={
                "Content-Type": f'multipart/related; type="application/dicom"; boundary={boundary.decode()}',
                "Accept": "application/dicom+json",
            },
            refusals={
                400: "Orthanc cannot read this file as DICOM; it may have been cut short.",
                404: "Orthanc runs without its DICOMweb plugin: apt-get install orthanc-dicomweb",
                409: "Orthanc refused the file: it belongs to another study.",
            },
        )
        stored = self.lookup(sop_uid)
        if stored is None:
            raise Turned("Orthanc accepted the file but does not have it.")
        return Stored(stored, self.study_of_instance(stored), before is not None)

    def delete_instance(self, instance_id: str) -> None:
        """Remove one instance; one that is gone already is fine."""
        try:
            self._ask("DELETE", f"/instances/{_safe(instance_id)}")
        except Missing:
            return

    def set_study_metadata(self, study_id: str, value: str, *, number: int = FIRST_OWN_METADATA) -> None:
        """Pin a marker of ours to a study (a workflow flag; nothing clinical lives only here)."""
        self._ask("PUT", f"/studies/{_safe(study_id)}/metadata/{number:d}", data=value.encode())

    def study_metadata(self, study_id: str, *, number: int = FIRST_OWN_METADATA) -> str | None:
        """The marker, None when the study has none."""
        try:
            return self._ask("GET", f"/studies/{_safe(study_id)}/metadata/{number:d}").content.decode()
        except Missing:
            return None

    # How.

    def _json(self, method: str, path: str, **how: Any) -> Any:
        # Orthanc's JSON is UTF-8 whatever character set the instance was written in.
        return json.loads(self._ask(method, path, **how).content)

    def _ask(
        self, method: str, path: str, *, refusals: dict[int, str] | None = None, **how: Any
    ) -> requests.Response:
        try:
            answer = self._http.request(method, self.url + path, timeout=self.timeout_s, **how)
        except requests.RequestException as e:
            # The cause stays in the chain for us; its text may hold addresses and is not for the person.
            raise Away("The image store (Orthanc) does not answer. It will be tried again.") from e
        status = answer.status_code
        if status < 400:
            return answer
        answer.close()
        if refusals and status in refusals:
            raise Turned(refusals[status])
        if status in (401, 403):
            raise Turned("Orthanc does not accept our user and password. Check the practice's settings.")
        if status == 404:
            raise Missing("The images are not, or no longer, in Orthanc.")
        if status >= 500:
            raise Away(
                f"The image store (Orthanc) has a fault of its own ({status}). It will be tried again."
            )
        raise Turned(f"Orthanc refused the request ({status}).")


def _safe(identifier: str) -> str:
    """Ids come from rows and links: nothing but an id may become part of a path."""
    if (
        not identifier
        or not all(c.isascii() and (c.isalnum() or c in "-.") for c in identifier)
        or ".." in identifier
    ):
        raise Missing("The images are not, or no longer, in Orthanc.")
    return identifier


def _moment(text: str) -> datetime | None:
    """Orthanc writes its clock in UTC, as 20261124T065916."""
    try:
        return datetime.strptime(text, "%Y%m%dT%H%M%S").replace(tzinfo=UTC)
    except ValueError:
        return None


def _study(told: dict[str, Any]) -> StudyFound:
    study, patient = told["MainDicomTags"], told["PatientMainDicomTags"]
    return StudyFound(
        orthanc_id=told["ID"],
        study_uid=study.get("StudyInstanceUID", ""),
        accession=study.get("AccessionNumber", ""),
        patient_id=patient.get("PatientID", ""),
        patient_name=patient.get("PatientName", ""),
        birth_date=patient.get("PatientBirthDate", ""),
        sex=patient.get("PatientSex", ""),
        study_date=study.get("StudyDate", ""),
        description=study.get("StudyDescription", ""),
        referring_physician=study.get("ReferringPhysicianName", ""),
        series=tuple(told["Series"]),
        is_stable=told["IsStable"],
        updated_at=_moment(told.get("LastUpdate", "")),
    )


TEXTS = {
    "sop_uid": "0008,0018",
    "sop_class": "0008,0016",
    "study_uid": "0020,000d",
    "series_uid": "0020,000e",
    "patient_id": "0010,0020",
    "patient_name": "0010,0010",
    "birth_date": "0010,0030",
    "sex": "0010,0040",
    "accession": "0008,0050",
    "study_date": "0008,0020",
    "study_time": "0008,0030",
    "study_id": "0020,0010",
    "study_description": "0008,1030",
    "referring_physician": "0008,0090",
    "series_description": "0008,103e",
    "modality": "0008,0060",
    "charset": "0008,0005",
}
NUMBERS = {
    "series_number": "0020,0011",
    "instance_number": "0020,0013",
    "rows": "0028,0010",
    "columns": "0028,0011",
}


def _header(orthanc_id: str, tags: dict[str, Any], transfer_syntax: str) -> InstanceHeader:
    texts: dict[str, Any] = {field: _text(tags.get(tag)) for field, tag in TEXTS.items()}
    numbers: dict[str, Any] = {field: _number(tags.get(tag)) for field, tag in NUMBERS.items()}
    return InstanceHeader(
        orthanc_id=orthanc_id,
        transfer_syntax=transfer_syntax,
        frames=max(1, _number(tags.get("0028,0008")) or 1),
        **texts,
        **numbers,
    )


def _text(value: object) -> str:
    return value.strip(" \0") if isinstance(value, str) else ""


def _number(value: object) -> int | None:
    text = _text(value).split("\\")[0]
    try:
        return int(float(text)) if text else None
    except (ValueError, OverflowError):  # A scanner wrote something else where the standard wants a number.
        return None
