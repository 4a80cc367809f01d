"""The practice that `make up` starts when there is none: invented people, real images, every page with something on it."""

from __future__ import annotations

import json
import os
import secrets
from contextlib import ExitStack
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from uuid import UUID

from pyotp.totp import TOTP

from core import patients, people, practice, workflow
from core.rules.roles import Role
from core.rules.za_time import SAST
from core.store.work import Actor, House, system
from ops import demo_people, opening
from ops.settings import Settings, rules
from ops.story import Cast, Story
from ops.supervisor import orthanc_child

NOTEBOOK = "demo-signin.json"


def found(house: House, home: Path) -> Cast:
    """The practice's particulars and one account a role; passwords and secrets go to a file of mode 0600 in home."""
    founder = system("command line")
    with house.work(founder) as work:
        practice.describe(work, **demo_people.PRACTICE, is_demo=True)
    cast, notes = Cast({}, {}), []
    for member in demo_people.STAFF:
        password = new_password()
        with house.work(founder) as work:
            welcome = people.add_person(
                work,
                login=member.login,
                name=member.name,
                roles=(member.role,),
                password=password,
                registration=member.registration,
                practice_number=member.practice_number,
            )
        cast.actors[member.login] = Actor(
            str(welcome.person.id), member.name, frozenset({member.role}), "demo"
        )
        cast.secrets[member.login] = welcome.secret
        notes.append(
            {
                "id": str(welcome.person.id),
                "login": member.login,
                "name": member.name,
                "role": member.role,
                "password": password,
                "secret": welcome.secret,
            }
        )
    _write(home, notes)
    return cast


def open_accounts(house: House, home: Path, *, patient_id: UUID, referrer_id: UUID) -> None:
    """One account of a patient and one of a referring doctor, who sign in at the gateway; noted beside the staff."""
    who = demo_people.CASES[0].patient
    notes = json.loads((home / NOTEBOOK).read_text())
    for login, name, role, patient, referrer in (
        (demo_people.PATIENT_LOGIN, f"{who.given_names} {who.family_name}", Role.PATIENT, patient_id, None),
        (demo_people.REFERRER_LOGIN, demo_people.REFERRERS[0][0], Role.REFERRER, None, referrer_id),
    ):
        password = new_password()
        with house.work(system("command line")) as work:
            made = people.add_person(
                work,
                login=login,
                name=name,
                roles=(role,),
                password=password,
                patient_id=patient,
                referrer_id=referrer,
            )
        notes.append(
            {
                "id": str(made.person.id),
                "login": login,
                "name": name,
                "role": role,
                "password": password,
                "secret": made.secret,
            }
        )
    _write(home, notes)


def _write(home: Path, notes: list[dict[str, str]]) -> None:
    with os.fdopen(os.open(home / NOTEBOOK, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        json.dump(notes, file, indent=1)


def new_password() -> str:
    """Eighty random bits that a person can type: four groups of four, without letters that look alike."""
    return "-".join(
        "".join(secrets.choice("abcdefghjkmnpqrstuvwxyz23456789") for _ in range(4)) for _ in range(4)
    )


def welcome(settings: Settings) -> str:
    """Where to sign in, as whom, with which password and current code. Empty for a practice that is not the demo's."""
    path = settings.home / NOTEBOOK
    console = f"http://{settings.console_host}:{settings.console_port}"
    gateway = rules(settings)["gateway_url"]
    lines = [
        "",
        f"  The practice is open: {console}",
        f"  Patients' links: {gateway}",
    ]
    if not settings.orthanc_url:
        where = f"{settings.dicom_address}:{settings.orthanc_dicom_port}"
        lines.append(f"  Scanners send to: {where}, AE title {settings.orthanc_aet}")
    lines.append("")
    if not path.exists():
        return "\n".join(lines)
    lines.append(f"  {'role':<17}{'sign in as':<19}{'password':<34}{'code now':<9}")
    notes = json.loads(path.read_text())
    lines += [_line(note) for note in notes if note["role"] not in people.OUTSIDE]
    if outside := [_line(note) for note in notes if note["role"] in people.OUTSIDE]:
        lines += ["", f"  Patients and referring doctors sign in at {gateway.rstrip('/')}/account", *outside]
    lines += [
        "",
        "  Codes change every 30 seconds: `.venv/bin/sorg codes` prints them again.",
        "  Demo people, demo prices. Ctrl-C stops everything.",
        "",
    ]
    return "\n".join(lines)


def _line(note: dict[str, str]) -> str:
    code = TOTP(note["secret"]).now()
    return f"  {note['role']:<17}{note['login']:<19}{note['password']:<34}{code[:3]} {code[3:]}"


def fill(settings: Settings, cast: Cast) -> None:
    """Two weeks of invented history through the same verbs, with real images in the practice's own image store."""
    with ExitStack() as stack:
        child = None if settings.orthanc_url else stack.enter_context(orthanc_child(settings))
        house = opening.open_house(settings)
        stack.callback(house.engine.dispose)
        told = tell(Story(house, cast, child.dicom_port if child else 0, settings.orthanc_aet))
        named = demo_people.CASES[0].patient
        found, _ = told.do("reception", patients.find, search=f"{named.family_name} {named.given_names}")
        open_accounts(house, settings.home, patient_id=found[0].id, referrer_id=told.referrers[0])


GOALS = (
    "paid", "paid", "claimed", "signed", "proofreading", "transcribing", "scanned", "quarantined", "waiting", "booked",
)  # fmt: skip
STAGES = ("booked", "waiting", "scanned", "transcribing", "proofreading", "signed", "claimed", "paid")
TRANSCRIPTIONISTS = ("transcriptionist", "transcriptionist2", "transcriptionist3")


def tell(story: Story) -> Story:
    """Studies at every stage: most of two weeks ago paid, one rejected, today's waiting, one in quarantine.

    Returns the story as it was begun: it knows the referring doctors.
    """
    now = story.house.clock()
    today = datetime.combine(now.astimezone(SAST).date(), time(7, 30), tzinfo=SAST).astimezone(UTC)
    begun = story.told_at(today - timedelta(days=15))
    begun.meet_referrers()
    begun.load_tables()
    for number, case in enumerate(demo_people.EARLIER):
        begun_at = today - timedelta(days=14 - number) + timedelta(minutes=37 * number % 240)
        carry(begun.told_at(begun_at), case, "paid", number)
    for number, (case, goal) in enumerate(zip(demo_people.CASES, GOALS, strict=True)):
        begun_at = today - timedelta(days=max(4 - number, 0)) + timedelta(minutes=25 * number)
        # Whatever the hour of the first start: what happened today has happened, and the rest of it fits before now.
        carry(
            begun.told_at(min(begun_at, now - timedelta(hours=6) + timedelta(minutes=number))),
            case,
            goal,
            number,
        )
    return begun


def carry(story: Story, case: demo_people.Case, goal: str, number: int) -> None:
    """One study as far as its goal, with the pauses of a working day."""
    wanted = STAGES.index("scanned" if goal == "quarantined" else goal)
    pace = 1 + number % 4  # Some days are slower than others.
    radiologist = ("radiologist", "radiologist2")[number % 2]
    patient = story.register(case)
    study = story.book(case, patient, at=story.house.clock() + timedelta(minutes=5 * pace), referrer=number)
    if wanted >= 1:
        story.wait(minutes=4 * pace)
        story.do("reception", workflow.arrive, study)
    if wanted >= 2:
        story.wait(minutes=9 + 4 * pace)
        mistyped = {"birth_on": case.patient.born_on.replace(year=1999)} if goal == "quarantined" else {}
        story.scan(case, study, **mistyped)
        story.settle()
    if wanted >= 3:
        story.wait(minutes=11 * pace)
        story.draft(case, study, radiologist=radiologist)
    if wanted >= 4:
        story.wait(minutes=13 + 6 * pace)
        story.transcribe(case, study, transcriptionist=TRANSCRIPTIONISTS[number % 3])
    if wanted >= 5:
        story.wait(minutes=8 * pace)
        story.sign(study, radiologist=radiologist)
        story.settle()
        story.share(study)
    if wanted >= 6:
        story.wait(minutes=35 * pace)
        story.code_claim(case, study)
        story.submit(study)
        story.settle()
    if wanted >= 7:
        story.wait(minutes=60 * pace)
        story.post_payments()
