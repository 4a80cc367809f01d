"""A practice to measure and throw away: its own folder, free ports, real processes, everything stopped at the end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from uuid import UUID

import httpx
import psutil
import requests
from pydicom.dataset import Dataset

from core import workflow
from core.errors import Unfit
from core.rules.dicom_identity import Identity
from core.rules.names import person_name
from core.store.work import House
from ops import demo_images, demo_people, demo_practice, opening
from ops.demo_people import Case
from ops.orthanc_child import OrthancChild, free_port
from ops.settings import Settings, read
from ops.story import Story

VISIT = "sorg_visit"  # The gateway's cookie for the link that is open.


@dataclass
class Throwaway:
    """The practice as it runs."""

    settings: Settings
    house: House
    story: Story
    orthanc: OrthancChild | None

    @property
    def pacs(self) -> OrthancChild:
        """Its Orthanc."""
        if self.orthanc is None:
            raise RuntimeError("This practice was opened without an Orthanc.")
        return self.orthanc

    @property
    def gateway_url(self) -> str:
        """Where links lead."""
        return f"http://{self.settings.gateway_host}:{self.settings.gateway_port}"

    @property
    def console_url(self) -> str:
        """Where staff sign in."""
        return f"http://{self.settings.console_host}:{self.settings.console_port}"

    @contextmanager
    def process(self, name: str, *command: str, health_url: str = "") -> Iterator[psutil.Process]:
        """A Python of its own on this practice, `-m name` unless told otherwise; ready once health_url answers."""
        given = {
            k: v
            for k, v in self.settings.model_dump().items()
            if k in self.settings.model_fields_set and v is not None
        }
        clean = {k: v for k, v in os.environ.items() if not k.startswith("SORG_")}
        log = self.settings.home / f"{name}.bench.log"
        with log.open("w") as file:
            process = subprocess.Popen(
                [sys.executable, *(command or ("-m", name))],
                stdout=file,
                stderr=file,
                stdin=subprocess.DEVNULL,
                env=clean | {f"SORG_{k.upper()}": str(v) for k, v in given.items()},
            )
        try:
            _wait_for(health_url, process, log)
            yield psutil.Process(process.pid)
        finally:
            process.terminate()
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    @property
    def passwords(self) -> dict[str, str]:
        """The demo staff's passwords by login."""
        notes = json.loads((self.settings.home / demo_practice.NOTEBOOK).read_text())
        return {note["login"]: note["password"] for note in notes}

    # What is in it ------------------------------------------------------------------------------------------------

    def booked(self, case: Case, number: int = 0) -> UUID:
        """A patient who is here for an examination."""
        patient = self.story.register(case)
        study = self.story.book(case, patient, at=self.house.clock(), referrer=number)
        self.story.do("reception", workflow.arrive, study)
        return study

    def images(self, case: Case, study: UUID, *, slices: int, size: int | None = None) -> list[Dataset]:
        """CT slices of this order: 128² and 39 KB each, or `size`²."""
        card = self.story.do("radiographer", workflow.open_study, study)
        identity = Identity(
            patient_id=card.row.file_number,
            patient_name=person_name(case.patient.family_name, case.patient.given_names),
            birth_on=case.patient.born_on,
            sex=case.patient.sex,
            accession=card.row.accession,
            study_uid=card.study_uid,
        )
        return demo_images.make("ct", identity, taken_at=self.house.clock(), slices=slices, size=size)

    def send(self, images: Sequence[Dataset]) -> None:
        """The scanner sends them by C-STORE over one association."""
        sent = demo_images.send(images, host="127.0.0.1", port=self.pacs.dicom_port, aet=self.pacs.aet)
        if lost := [s.reason for s in sent if not s.ok]:
            raise Unfit(f"Orthanc refused {len(lost)} images: {lost[0]}")

    def signed(self, number: int, *, slices: int, size: int | None = None) -> SharedSet:
        """A study of so many slices, reported, signed by the radiologist `number` (0 or 1) and shared; opened once."""
        case, radiologist = a_patient(number), ("radiologist", "radiologist2")[number]
        study = self.booked(case, number)
        self.send(self.images(case, study, slices=slices, size=size))
        self.story.settle()
        self.story.draft(case, study, radiologist=radiologist)
        self.story.transcribe(case, study)
        self.story.sign(study, radiologist=radiologist)
        self.story.settle()
        return self._opened(case, study)

    def _opened(self, case: Case, study: UUID) -> SharedSet:
        link, born = self.story.share(study), case.patient.born_on
        with httpx.Client(timeout=30, trust_env=False) as browser:
            page = browser.get(link.url)
            form = page.text.partition('name="form" value="')[2].partition('"')[0]
            said = {"form": form, "day": born.day, "month": born.month, "year": born.year}
            browser.post(link.url, data=said, headers={"Origin": "null"})
            session = browser.cookies[VISIT]
            listed = browser.get(f"{self.gateway_url}/share/manifest").raise_for_status().json()
        ids = tuple(i["id"] for s in listed["series"] for i in s["instances"])
        uid = self.story.do("radiographer", workflow.open_study, study).study_uid
        found = self._ask_orthanc(
            "/tools/find", json={"Level": "Series", "Query": {"StudyInstanceUID": uid, "Modality": "CT"}}
        )
        series = found[0]
        inside = self._ask_orthanc(f"/series/{series}")["Instances"]
        if not len(inside) == len(ids) > 0:
            raise Unfit(f"The link lists {len(ids)} images, Orthanc {len(inside)}.")
        return SharedSet(session, ids, series, tuple(inside))

    def _ask_orthanc(self, path: str, **how):
        method = "POST" if how else "GET"
        answer = requests.request(method, self.pacs.url + path, auth=self.pacs.auth, timeout=30, **how)
        answer.raise_for_status()
        return answer.json()


@dataclass(frozen=True)
class SharedSet:
    """A shared study from both sides: the link's cookie and image ids, and Orthanc's series and instances."""

    session: str
    ids: tuple[str, ...]
    orthanc_series: str
    orthanc_ids: tuple[str, ...]


@contextmanager
def open_throwaway(
    *, orthanc: bool = True, plugins: Sequence[str] = (), **changes: object
) -> Iterator[Throwaway]:
    """An empty practice with the demo's staff and price list; `changes` are settings."""
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sorg-bench-")))
        given = dict(
            home=home,
            orthanc_url="",
            database_url="",
            gateway_url="",
            switch="simulator",
            https=False,
            orthanc_http_port=free_port(),
            orthanc_dicom_port=free_port(),
            gateway_port=free_port(),
            console_port=free_port(),
            gateway_host="127.0.0.1",
            console_host="127.0.0.1",
            quiet_seconds=0,
        )
        settings = read(**{**given, **changes})
        opening.found(settings)
        house = opening.open_house(settings, upgrade=True)
        stack.callback(house.engine.dispose)
        cast = demo_practice.found(house, home)
        child = None
        if orthanc:
            child = stack.enter_context(
                OrthancChild(
                    home / "orthanc",
                    http_port=settings.orthanc_http_port,
                    dicom_port=settings.orthanc_dicom_port,
                    user=settings.orthanc_user,
                    password=opening.orthanc_password(settings),
                    aet=settings.orthanc_aet,
                    extra_plugins=plugins,
                )
            )
        story = Story(house, cast, settings.orthanc_dicom_port, settings.orthanc_aet)
        story.meet_referrers()
        story.load_tables()
        yield Throwaway(settings, house, story, child)


def a_patient(number: int) -> Case:
    """The demo's Fourie and as many namesakes as a benchmark needs; their own membership numbers, nobody's ID."""
    case = next(c for c in demo_people.CASES if c.images == "ct" and c.draft)
    if number == 0:
        return case
    who = replace(
        case.patient, given_names=f"Hendrik {_letters(number)}", membership_number=f"49032{number:04d}"
    )
    return replace(case, patient=who)


def memory_mb(process: psutil.Process | int | None) -> float:
    """What the process holds in memory now, in MB."""
    if process is None:
        return 0.0
    one = psutil.Process(process) if isinstance(process, int) else process
    return one.memory_info().rss / 1e6


def _letters(number: int) -> str:
    """Names have no digits: 1 is B, 26 is BA."""
    word = ""
    while number:
        number, rest = divmod(number, 26)
        word = chr(ord("a") + rest) + word
    return word.capitalize()


def _wait_for(url: str, process: subprocess.Popen, log: Path, *, within_s: float = 60) -> None:
    deadline_s = time.monotonic() + within_s
    while url and time.monotonic() < deadline_s:
        if process.poll() is not None:
            break
        try:
            if requests.get(url, timeout=2).ok:
                return
        except requests.RequestException:
            time.sleep(0.05)  # It is still opening.
    if url or process.poll() is not None:
        said = log.read_text(errors="replace").strip().splitlines()
        raise Unfit(f"{log.name} did not answer: {said[-1][:200] if said else 'it wrote nothing'}")
