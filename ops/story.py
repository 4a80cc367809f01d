"""One study's way through the practice, told in the practice's own verbs: used by `sorg demo` and the demo practice."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from pydicom.dataset import Dataset
from pyotp.totp import TOTP

from core import billing, pacs, patients, reporting, sharing, workflow
from core.errors import Outside
from core.rules.dicom_identity import Identity
from core.rules.examinations import DATA, examinations
from core.rules.names import person_name
from core.store.work import Actor, House
from ops import demo_images, worker
from ops.demo_people import REFERRERS, Case


@dataclass
class Cast:
    """Who acts in the story: actors by login, and the secrets of those who need a second factor."""

    actors: dict[str, Actor]
    secrets: dict[str, str]


@dataclass
class Story:
    """A house, its people, and where scanners send: a DICOM port of this machine, or 0 for the image store's REST door."""

    house: House
    cast: Cast
    dicom_port: int
    aet: str = "SORG"
    referrers: list[UUID] = field(default_factory=list)

    def do(self, login: str, verb: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """One verb by one of the cast, committed."""
        with self.house.work(self.cast.actors[login]) as work:
            return verb(work, *args, **kwargs)

    def code(self, login: str, *, ahead: int = 0) -> str:
        """The code of now, or of a neighbouring step: each is accepted once."""
        return TOTP(self.cast.secrets[login]).at(self.house.clock(), counter_offset=ahead)

    def told_at(self, at: datetime) -> Story:
        """The same story with its clock at `at`."""
        house = replace(self.house, clock=StoryClock(at))
        return Story(house, self.cast, self.dicom_port, self.aet, self.referrers)

    def wait(self, *, minutes: float) -> None:
        """Let time pass in a story of the past; a story of now waits for nobody."""
        if isinstance(self.house.clock, StoryClock):
            self.house.clock.wait(minutes=minutes)

    # The stages ---------------------------------------------------------------------------------------------------

    def meet_referrers(self) -> None:
        """The doctors who send patients."""
        for name, number, phone, email in REFERRERS:
            self.referrers.append(
                self.do(
                    "reception",
                    patients.add_referrer,
                    name=name,
                    practice_number=number,
                    phone=phone,
                    email=email,
                )
            )

    def register(self, case: Case) -> UUID:
        """The patient's file and consents."""
        patient = self.do("reception", patients.register, case.patient)
        for purpose in patients.PURPOSES:
            self.do("reception", patients.record_consent, patient, purpose=purpose, given=True, how="signed")
        return patient

    def book(self, case: Case, patient: UUID, *, at: datetime, referrer: int = 0) -> UUID:
        """The order with its accession number."""
        chosen = examinations()[case.examination]
        booking = workflow.Booking(
            patient_id=patient,
            examination=chosen.key,
            description=chosen.name,
            modality=chosen.modality,
            booked_for_at=at,
            referrer_id=self.referrers[referrer % len(self.referrers)],
            clinical_history=case.history,
            urgency=case.urgency,
        )
        return self.do("reception", workflow.book, booking)

    def scan(self, case: Case, study: UUID, **changes: Any) -> int:
        """The scanner sends the images by C-STORE; how many."""
        card = self.do("radiographer", workflow.open_study, study)
        identity = Identity(
            patient_id=card.row.file_number,
            patient_name=person_name(case.patient.family_name, case.patient.given_names),
            birth_on=case.patient.born_on,
            sex=case.patient.sex,
            accession=card.row.accession,
            study_uid=card.study_uid,
        )
        images = demo_images.make(
            case.images,
            replace(identity, **changes),
            taken_at=self.house.clock(),
            description=card.row.description,
        )
        self._send(images)
        return len(images)

    def _send(self, images: list[Dataset]) -> None:
        if not self.dicom_port:
            for image in images:
                self.house.ports.orthanc.store(demo_images.as_file(image))
            return
        sent = demo_images.send(images, host="127.0.0.1", port=self.dicom_port, aet=self.aet)
        if lost := [one.reason for one in sent if not one.ok]:
            raise Outside(f"The image store refused {len(lost)} images: {lost[0]}")

    def settle(self) -> None:
        """What the worker does, until nothing is left to do."""
        worker.run_until_quiet(self.house)

    def draft(self, case: Case, study: UUID, *, radiologist: str = "radiologist") -> UUID:
        """The radiologist looks at the images and types."""
        self.do(radiologist, reporting.begin, study)
        self.do(radiologist, pacs.open_images, study)
        return self.do(radiologist, reporting.pass_on, study, text=case.draft, based_on=None)

    def transcribe(self, case: Case, study: UUID, *, transcriptionist: str = "transcriptionist") -> UUID:
        """A transcriptionist takes the draft, corrects it and passes it back."""
        desk = self.do(transcriptionist, reporting.take, study)
        based_on = desk.current.id if desk.current else None
        return self.do(transcriptionist, reporting.pass_back, study, text=case.corrected, based_on=based_on)

    def sign(self, study: UUID, *, radiologist: str = "radiologist", code: str | None = None) -> UUID:
        """The radiologist proof-reads the marked-up difference and signs with a fresh code."""
        reading = self.do(radiologist, reporting.proof_read, study)
        return self.do(
            radiologist,
            reporting.sign,
            study,
            text=reading.after.text,
            based_on=reading.after.id,
            code=code or self.code(radiologist),
        )

    def load_tables(self) -> None:
        """The starter codes and the demo's prices, both marked as what they are."""
        codes = (DATA / "icd10_starter.csv").read_bytes()
        self.do(
            "billing",
            billing.import_icd10,
            content=codes,
            name="Starter set (not the national table)",
            is_starter=True,
        )
        self.do("billing", billing.import_tariff, content=(DATA / "demo_tariff.csv").read_bytes())

    def code_claim(self, case: Case, study: UUID) -> int:
        """The clerk puts the diagnoses to the usual tariff code: the total in cents."""
        desk = self.do("billing", billing.open_claim, study)
        lines = tuple(replace(line, icd10=case.codes) for line in desk.coding.lines)
        self.do(
            "billing", billing.code, study, coding=replace(desk.coding, lines=lines), version=desk.version
        )
        return self.do("billing", billing.open_claim, study).total_cents

    def submit(self, study: UUID) -> str:
        """The claim's number; its message leaves as an errand."""
        return self.do("billing", billing.submit, study)

    def post_payments(self) -> int:
        """Every payment that waits is posted: how many."""
        waiting = self.do("billing", billing.remittances, open_only=True)[0]
        for payment in waiting:
            self.do("billing", billing.post, payment.id)
        return len(waiting)

    def share(self, study: UUID) -> Any:
        """Reception makes the patient's link."""
        return self.do("reception", sharing.mint, study, lasts=None)


class StoryClock:
    """A clock of the past: two seconds pass at each look, and more when the story says so."""

    def __init__(self, start: datetime) -> None:
        self.at = start

    def __call__(self) -> datetime:
        self.at += timedelta(seconds=2)
        return self.at

    def wait(self, *, minutes: float) -> None:
        """Time in which nothing happens."""
        self.at += timedelta(minutes=minutes)
