"""`sorg demo`: the whole chain in a throwaway practice, headless, on real images against a real Orthanc.

Every stage is a verb of the practice, and its proof is read back from where a person would look. The patient's link
is opened in a real browser on a phone-sized screen, and the painted pixels are looked at.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any
from uuid import UUID

import requests
from pypdf import PdfReader

from core import billing, pacs, privacy, reporting, sessions, sharing, signin, workflow
from core.rules import medclm
from core.rules.remittance import REMITTANCE_COLUMNS
from core.rules.steps import Status
from core.store.work import House, nobody, system
from ops import demo_people, demo_practice, opening
from ops.orthanc_child import OrthancChild, free_port
from ops.settings import Settings, read
from ops.story import Cast, Story

CHROMIUM = ("--no-sandbox", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update",
            "--disable-sync", "--disable-gpu")  # fmt: skip
PHONE = {
    "viewport": {"width": 390, "height": 844},
    "device_scale_factor": 2,
    "is_mobile": True,
    "has_touch": True,
}
BRIGHTEST = """() => Math.max(...[...document.querySelectorAll('canvas')].map((seen) => {
  const copy = document.createElement('canvas'); copy.width = seen.width; copy.height = seen.height;
  const pen = copy.getContext('2d'); if (!seen.width || !pen) return 0;
  pen.drawImage(seen, 0, 0);
  const dots = pen.getImageData(0, 0, copy.width, copy.height).data; let most = 0;
  for (let i = 0; i < dots.length; i += 4) most = Math.max(most, dots[i], dots[i + 1], dots[i + 2]);
  return most; }))"""


@dataclass(frozen=True)
class Stage:
    """One line of the demo. state: done or failed; ms: how long it took; artefacts: names of what it left."""

    name: str
    state: str
    ms: int
    patient: str
    artefacts: dict[str, Any] = field(default_factory=dict)


class StageFailed(Exception):
    """A stage did not show what it should; the message says what."""


@dataclass
class Run:
    """The demo as it goes: what was done, and where artefacts are kept."""

    say: Callable[[str], Any]
    keep: Path | None
    stages: list[Stage] = field(default_factory=list)

    @contextmanager
    def stage(self, name: str, patient: str = "") -> Iterator[dict[str, Any]]:
        """One stage: a line on the screen, and the stage's name if it fails."""
        begun, artefacts = time.monotonic(), {}
        try:
            yield artefacts
        except Exception as error:
            self._line(name, "failed", begun, patient, {"why": f"{type(error).__name__}: {error}"})
            raise
        self._line(name, "done", begun, patient, artefacts)

    def save(self, name: str, data: bytes) -> str:
        """Keep an artefact when --keep was said; its name in any case."""
        if self.keep:
            self.keep.mkdir(parents=True, exist_ok=True)
            (self.keep / name).write_bytes(data)
        return name

    def _line(self, name: str, state: str, begun: float, patient: str, artefacts: dict[str, Any]) -> None:
        ms = round((time.monotonic() - begun) * 1000)
        self.stages.append(Stage(name, state, ms, patient, artefacts))
        told = ", ".join(f"{key} {value}" for key, value in artefacts.items())
        self.say(f"  {'ok ' if state == 'done' else 'NO '} {name:<14} {patient:<34} {ms:>6} ms  {told}")


def run(*, json_file: Path | None, keep: Path | None, say: Callable[[str], Any]) -> str:
    """The whole chain for each case; '' when every stage was done, else the name of the one that failed."""
    told = Run(say, keep)
    failed = ""
    try:
        _chain(told)
    except Exception as error:
        failed = next((s.name for s in told.stages if s.state == "failed"), "set-up")
        say(f"{failed}: {error}")
    if json_file:
        json_file.write_text(json.dumps({"stages": [asdict(s) for s in told.stages]}, indent=1, default=str))
    return failed


def _chain(told: Run) -> None:
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sorg-demo-")))
        settings = read(
            home=home,
            orthanc_url="",
            database_url="",
            passphrase_file=None,
            orthanc_password_file=None,
            orthanc_http_port=free_port(),
            orthanc_dicom_port=free_port(),
            gateway_port=free_port(),
            gateway_host="127.0.0.1",
            gateway_url="",
            quiet_seconds=0,
            switch="simulator",
            https=False,
        )
        with told.stage("found") as left:
            opening.found(settings)
            house = opening.open_house(settings, upgrade=True)
            stack.callback(house.engine.dispose)
            cast = demo_practice.found(house, home)
            child = stack.enter_context(
                OrthancChild(
                    home / "orthanc",
                    http_port=settings.orthanc_http_port,
                    dicom_port=settings.orthanc_dicom_port,
                    user=settings.orthanc_user,
                    password=opening.orthanc_password(settings),
                    aet=settings.orthanc_aet,
                )
            )
            stack.enter_context(_gateway(settings))
            left["orthanc"] = house.ports.orthanc.system().version
        story = Story(house, cast, child.dicom_port, settings.orthanc_aet)
        story.meet_referrers()
        story.load_tables()
        _sign_in(told, house, home, cast)
        for number, case in enumerate(demo_people.CASES[:4]):
            _one_study(told, story, case, number)
        with told.stage("audit") as left:
            with house.work(system("demo")) as work:
                verdict = privacy.verify_chain(work)
            _show(verdict.broken_at is None, f"the audit chain is broken: {verdict.why}")
            export = json.dumps(
                [asdict(e) for e in story.do("admin", privacy.entries, size=100_000)], default=str, indent=1
            )
            left |= {"entries": verdict.entries, "export": told.save("audit.json", export.encode())}
        with told.stage("at rest") as left:
            left["files"] = _nothing_readable(home, [c.patient.family_name for c in demo_people.CASES[:4]])


def _sign_in(told: Run, house: House, home: Path, cast: Cast) -> None:
    """The two halves of signing in, as the console's form does them."""
    notes = json.loads((home / demo_practice.NOTEBOOK).read_text())
    story = Story(house, cast, 0)
    door = nobody(channel="demo")
    for note in (n for n in notes if n["role"] in ("radiologist", "billing")):
        with told.stage("sign in", note["name"]):
            with house.work(door) as work:
                half = signin.check_password(work, login=note["login"], password=note["password"])
            with house.work(door) as work:
                token = signin.check_code(work, token=half, code=story.code(note["login"], ahead=-1))
            with house.work(door) as work:
                actor = sessions.actor_of(work, token=token, channel="demo")
            _show(actor is not None and note["role"] in actor.roles, "the session does not open the house")


def _one_study(told: Run, story: Story, case: demo_people.Case, number: int) -> None:
    patient_name = f"{case.patient.given_names} {case.patient.family_name}"
    radiologist = ("radiologist", "radiologist2")[number % 2]

    def stage(name: str):
        return told.stage(name, patient_name)

    with stage("register"):
        patient = story.register(case)
    with stage("book") as left:
        study = story.book(case, patient, at=story.house.clock(), referrer=number)
        left["accession"] = _card(story, study).row.accession
    with stage("arrive"):
        story.do("reception", workflow.arrive, study)
        _show_status(story, study, Status.WAITING)
    with stage("images") as left:
        left["images"] = story.scan(case, study)
        story.settle()
        _show_status(story, study, Status.SCANNED)
        _show(_card(story, study).row.image_count == left["images"], "not every image is on the board")
    with stage("draft") as left:
        story.draft(case, study, radiologist=radiologist)
        left["series"] = len(story.do(radiologist, pacs.open_images, study).series)
    with stage("transcribe"):
        story.transcribe(case, study)
        _show_status(story, study, Status.PROOFREADING)
    with stage("sign") as left:
        marks = story.do(radiologist, reporting.proof_read, study).marks
        story.sign(study, radiologist=radiologist, code=story.code(radiologist, ahead=number // 2))
        signed = story.do(radiologist, reporting.read_signed, study)
        _show(signed.is_intact, "the signature does not fit the report")
        left |= {"changes": sum(m.kind != "same" for m in marks), "digest": signed.version.digest[:12]}
    with stage("attach") as left:
        story.settle()
        pdf = story.do(radiologist, pacs.report_pdf, study)
        _show(bool(_card(story, study).attached_instance), "the report is not in the PACS")
        words = "".join("".join(page.extract_text() for page in PdfReader(BytesIO(pdf)).pages).split())
        _show("".join(case.patient.family_name.split()) in words, "the PDF lacks the name")
        left["report"] = told.save(_named("report.pdf", number), pdf)
    _bill(told, story, case, study, number, stage)
    _share(told, story, case, study, number, stage)


def _bill(
    told: Run, story: Story, case: demo_people.Case, study: UUID, number: int, stage: Callable[[str], Any]
) -> None:
    with stage("code") as left:
        left["total"] = f"R{story.code_claim(case, study) / 100:.2f}"
    with stage("submit") as left:
        left["claim"] = story.submit(study)
        message = story.do("billing", billing.message_of, study)
        _show(not medclm.validate(message, billing.PROFILE), "the claim message breaks its grammar")
        left["message"] = told.save(_named("claim.edi", number), message)
    with stage("answer") as left:
        story.settle()
        left["tracking"] = story.do("billing", billing.open_claim, study).tracking
    with stage("pay") as left:
        _show(story.post_payments() >= 1, "no payment came")
        desk = story.do("billing", billing.open_claim, study)
        _show_status(story, study, Status.PAID)
        _show(desk.owed_by_scheme_cents == 0, "the scheme still owes")
        _show(desk.paid_cents + desk.owed_by_patient_cents == desk.total_cents, "cents went astray")
        _show(sum(story.do("billing", billing.balances).values()) == 0, "the postings do not sum to zero")
        left |= {
            "paid": f"R{desk.paid_cents / 100:.2f}",
            "patient owes": f"R{desk.owed_by_patient_cents / 100:.2f}",
        }
        left["remittance"] = told.save(_named("remittance.csv", number), _remittance_of(story, study))


def _share(
    told: Run, story: Story, case: demo_people.Case, study: UUID, number: int, stage: Callable[[str], Any]
) -> None:
    with stage("share") as left:
        link = story.share(study)
        left["link"] = told.save(_named("link.txt", number), link.url.encode())
    with stage("open link") as left:
        _show(requests.head(link.url, timeout=60).status_code == 200, "the landing page does not answer")
        picture, brightest, first_ms = _open_in_browser(link.url, case)
        _show(brightest > 40, "no picture was painted")
        left |= {
            "brightest": brightest,
            "first image": f"{first_ms} ms",
            "screenshot": told.save(_named("link.png", number), picture),
        }
    with stage("shut link"):
        again = requests.get(link.url, timeout=60)
        _show("Open my images" not in again.text, "a used link opens for a second device")
        share = story.do("reception", sharing.shares, study_id=study)[0][0]
        story.do("reception", sharing.revoke, share.id)


def _open_in_browser(url: str, case: demo_people.Case) -> tuple[bytes, int, str]:
    """Open the link as the patient would on a phone; the screenshot, the brightest dot, and when it was painted."""
    from playwright.sync_api import sync_playwright

    born = case.patient.born_on
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=list(CHROMIUM))
        try:
            page = browser.new_context(**PHONE, locale="en-ZA", timezone_id="Africa/Johannesburg").new_page()  # type: ignore[arg-type]
            page.goto(url)
            for name, value in (("day", born.day), ("month", born.month), ("year", born.year)):
                page.fill(f"[name={name}]", str(value))
            page.click("form button")
            page.wait_for_selector("body[data-state=ready]", timeout=60_000)
            deadline = time.monotonic() + 20
            while (brightest := int(page.evaluate(BRIGHTEST))) <= 40 and time.monotonic() < deadline:
                page.wait_for_timeout(100)
            return page.screenshot(), brightest, page.get_attribute("body", "data-first-image-ms") or "?"
        finally:
            browser.close()


@contextmanager
def _gateway(settings: Settings) -> Iterator[None]:
    """The patients' gateway as a process of its own, on this machine only."""
    named = {
        f"SORG_{k.upper()}": str(getattr(settings, k))
        for k in (
            "home",
            "gateway_port",
            "gateway_host",
            "orthanc_http_port",
            "orthanc_user",
            "quiet_seconds",
        )
    }
    clean = {k: v for k, v in os.environ.items() if not k.startswith("SORG_")}
    process = subprocess.Popen([sys.executable, "-m", "gateway"], env=clean | named)
    try:
        _wait_for(f"http://{settings.gateway_host}:{settings.gateway_port}/health", process)
        yield
    finally:
        process.terminate()
        process.wait(timeout=60)


def _wait_for(url: str, process: subprocess.Popen, *, within_s: float = 90) -> None:
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        try:
            if requests.get(url, timeout=2).ok:
                return
        except (requests.ConnectionError, requests.Timeout):
            time.sleep(0.1)  # It is still opening.
        if process.poll() is not None:
            break
    raise StageFailed(f"{url} does not answer.")


def _card(story: Story, study: UUID) -> workflow.StudyCard:
    return story.do("reception", workflow.open_study, study)


def _show_status(story: Story, study: UUID, status: Status) -> None:
    found = _card(story, study).row.status
    _show(found == status, f"the study is '{found}', not '{status}'")


def _show(is_so: bool, otherwise: str) -> None:
    if not is_so:
        raise StageFailed(otherwise)


def _remittance_of(story: Story, study: UUID) -> bytes:
    """The payment's lines about this study's claim, as CSV."""
    number = story.do("billing", billing.open_claim, study).number
    rows = [
        ",".join(REMITTANCE_COLUMNS[:1] + ("claim_number", "line", "status", "submitted_cents", "paid_cents"))
    ]
    for card in story.do("billing", billing.remittances)[0]:
        for line in story.do("billing", billing.open_remittance, card.id).lines:
            if line.claim_number == number:
                rows.append(
                    f"{card.number},{number},{line.line_number},{line.status},{line.submitted_cents},{line.paid_cents}"
                )
    return "\r\n".join(rows).encode() + b"\r\n"


def _nothing_readable(home: Path, names: list[str]) -> int:
    """Every file of the home, Orthanc's own storage aside, is searched for the patients' names."""
    files = [p for p in home.rglob("*") if p.is_file() and "orthanc" not in p.relative_to(home).parts[:1]]
    words = [n.encode(code) for n in names for code in ("utf-8", "utf-16-le", "latin-1")]
    found = [p.name for p in files if any(w in (data := p.read_bytes()) or w.upper() in data for w in words)]
    _show(not found, f"a patient's name can be read in {', '.join(found)}")
    return len(files)


def _named(name: str, number: int) -> str:
    """report.pdf for the first study, report-2.pdf for the second."""
    stem, ending = name.split(".")
    return name if number == 0 else f"{stem}-{number + 1}.{ending}"
