"""A notebook's way in: the practice of SORG_HOME, opened as an analyst; on a fresh clone an invented one.

    from ops.notebook import practice
    data = practice()
    data.sql("select modality, count(*) from studies group by modality")

Whoever can run this can read the practice's key file and needs no second door; the opening is on record all the same.
"""

from __future__ import annotations

import getpass
import secrets
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from heapq import heappop, heappush
from pathlib import Path
from random import Random
from typing import Any
from uuid import UUID

from argon2 import PasswordHasher
from pyotp.totp import TOTP

from core import analytics, patients, people, reporting, workflow
from core.analytics import Dataset
from core.ports import Ports
from core.ports.directory import LocalAccounts
from core.rules.roles import Role
from core.rules.steps import STEPS
from core.rules.za_time import SAST
from core.store.model import Study
from core.store.work import Actor, House, Subject, system
from ops import opening, settings


def practice(say: Callable[[str], None] = print, *, days: int = 42) -> Dataset:
    """De-identified data of the practice in SORG_HOME, or of an invented one where there is none."""
    chosen = settings.read()
    if (chosen.home / "keys" / "keyring.json").exists():
        house = opening.open_house(chosen)
        say("De-identified data of the practice, as of now.")
        return _open(house)
    say("There is no practice here yet: one is invented first.")
    with tempfile.TemporaryDirectory() as home:
        # The parts are in memory once the data is open, so the folder may go.
        return _open(invent(Path(home) / "home", days=days))


def _open(house: House) -> Dataset:
    analyst = Actor("notebook", f"Notebook of {getpass.getuser()}", frozenset({Role.ANALYST}), "notebook")
    with house.work(analyst) as work:
        data = analytics.open_for_analysis(work)
    house.engine.dispose()
    return data


# An invented practice -----------------------------------------------------------------------------------------

CREW = {
    "reception": 1, "radiographer": 1, "radiologist": 2, "transcriptionist": 3, "billing": 1,
}  # fmt: skip
MIX = {"DX": ("chest-xray", 5), "US": ("knee-left-us", 3), "CT": ("brain-ct", 2), "MR": ("brain-mr", 1)}
# Step after step: who takes it, and about how many working hours after the step before.
WAY = (
    ("arrive", "reception", 20.0), ("receive", "system", 0.6), ("begin", "radiologist", 2.5),
    ("pass_on", "radiologist", 0.3), ("take", "transcriptionist", 1.5), ("pass_back", "transcriptionist", 0.4),
    ("sign", "radiologist", 1.2), ("claim", "billing", 7.0), ("answer", "billing", 60.0),
)  # fmt: skip
SLOWER = {"DX": 0.7, "US": 0.6, "CT": 1.2, "MR": 1.8}
TEXT = "FINDINGS\nInvented for the demonstration.\n\nCONCLUSION\nNothing is wrong with this invented patient."


@dataclass
class _Clock:
    at: datetime

    def __call__(self) -> datetime:
        return self.at


def invent(
    home: Path, *, days: int = 42, per_day: int = 3, ends: datetime | None = None, seed: int = 7
) -> House:
    """A practice in `home` with some weeks of history, lived through the same verbs that people use."""
    ends, dice = ends or datetime.now(UTC), Random(seed)
    clock = _Clock(ends - timedelta(days=days))
    chosen = settings.read(home=home, database_url="", passphrase_file=None)
    opening.found(chosen)
    # Nobody signs in with these passwords, so they need not be slow to guess.
    ports = Ports(accounts=LocalAccounts(PasswordHasher(time_cost=1, memory_cost=1024, parallelism=1)))
    house = replace(opening.open_house(chosen, ports=ports, upgrade=True), clock=clock)
    history = _History(house, clock, dice)
    history.hire()
    waiting: list[tuple[datetime, int, str]] = []
    for day in range(days):
        on = (ends - timedelta(days=days - day)).astimezone(SAST).date()
        for _ in range(dice.randint(per_day - 1, per_day + 1) if on.weekday() < 5 else 0):
            at = datetime.combine(on, time(7, 30), tzinfo=SAST) + timedelta(minutes=dice.randint(0, 480))
            heappush(waiting, (at.astimezone(UTC), len(waiting) + 1000 * day, "book"))
    while waiting and waiting[0][0] < ends:
        # Chronological across studies: a code signs once, and the audit trail only ever grows.
        at, number, step = heappop(waiting)
        clock.at = max(at, clock.at)
        following = history.take(number, step)
        if following:
            heappush(waiting, (_in_hours(clock.at, following[1]), number, following[0]))
    clock.at = max(ends, clock.at)
    return house


def _in_hours(at: datetime, hours: float) -> datetime:
    """So many working hours later: the practice is open from 07:00 to 18:00 on weekdays."""
    local, left = at.astimezone(SAST), timedelta(hours=hours)
    while True:
        closes = datetime.combine(local.date(), time(18), tzinfo=SAST)
        opens = datetime.combine(local.date(), time(7), tzinfo=SAST)
        local = max(local, opens)
        if local.weekday() < 5 and local + left < closes:
            return (local + left).astimezone(UTC)
        if local.weekday() < 5:
            left -= max(closes - local, timedelta())
        local = opens + timedelta(days=1)


class _History:
    """The invented practice's people, and how far each study has come."""

    def __init__(self, house: House, clock: _Clock, dice: Random) -> None:
        self.house, self.clock, self.dice = house, clock, dice
        self.crew: dict[str, list[tuple[Actor, str]]] = {"system": [(system(), "")]}
        self.known: list[UUID] = []
        self.studies: dict[int, tuple[UUID, str, dict[str, tuple[Actor, str]]]] = {}

    def hire(self) -> None:
        for role, count in CREW.items():
            for number in range(1, count + 1):
                login = f"{role}{number}"
                with self.house.work(system()) as work:
                    hired = people.add_person(
                        work,
                        login=login,
                        name=f"Invented {role} {number}",
                        roles=(role,),
                        password=secrets.token_urlsafe(),
                        registration="MP 0000000",
                    )
                actor = Actor(str(hired.person.id), hired.person.name, frozenset({Role(role)}))
                self.crew.setdefault(role, []).append((actor, hired.secret))

    def take(self, number: int, step: str) -> tuple[str, float] | None:
        """Take a step of one study; the step that follows it, and after how many working hours."""
        if step == "book":
            self._book(number)
        else:
            step = self._move(number, step)
        names = [name for name, _, _ in WAY]
        if step in ("cancel", "settle"):
            return None
        at = {"book": 0, "refuse": names.index("claim")}.get(
            step, names.index(step) + 1 if step in names else 0
        )
        name, _, hours = WAY[at]
        hours *= SLOWER[self.studies[number][1]] if name in ("receive", "begin", "pass_on", "sign") else 1
        return name, hours * self.dice.lognormvariate(-0.2, 0.7)

    def _book(self, number: int) -> None:
        modality = self.dice.choices(list(MIX), [weight for _, weight in MIX.values()])[0]
        cast = {role: self.dice.choice(members) for role, members in self.crew.items()}
        if not self.known or self.dice.random() < 0.8:
            born_on = date(1935, 1, 1) + timedelta(days=self.dice.randint(0, 85 * 365))
            self.known.append(
                self._do(
                    cast["reception"],
                    patients.register,
                    patients.Particulars(
                        family_name="Invented",
                        given_names=f"Patient {'ABCDEFGHIJ'[len(self.known) % 10]}",
                        born_on=born_on,
                        sex=self.dice.choice("FM"),
                        scheme_code=self.dice.choice(("", "1125", "1598")),
                        membership_number=f"{number:08d}",
                    ),
                )
            )
            self._do(
                cast["reception"],
                patients.record_consent,
                self.known[-1],
                purpose="examination",
                given=True,
                how="signed",
            )
        patient, examination = self.dice.choice(self.known[-5:]), MIX[modality][0]
        booking = workflow.Booking(
            patient,
            examination,
            examination,
            modality,
            self.clock.at + timedelta(days=1),
            urgency="urgent" if self.dice.random() < 0.1 else "routine",
        )
        self.studies[number] = (self._do(cast["reception"], workflow.book, booking), modality, cast)

    def _move(self, number: int, step: str) -> str:
        study, _, cast = self.studies[number]
        if step == "arrive" and self.dice.random() < 0.05:
            step = "cancel"
        if step == "answer":
            step = "refuse" if self.dice.random() < 0.12 else "settle"
        desk = {
            "begin": "radiologist",
            "pass_on": "radiologist",
            "sign": "radiologist",
            "refuse": "system",
            "receive": "system",
            "take": "transcriptionist",
            "pass_back": "transcriptionist",
            "claim": "billing",
            "settle": "billing",
        }.get(step, "reception")
        who = cast[desk]
        if step == "receive":
            self._receive(study)
        elif step == "begin":
            self._do(who, reporting.begin, study)
        elif step == "pass_on":
            self._do(who, reporting.pass_on, study, text=TEXT, based_on=None)
        elif step == "take":
            self._do(who, reporting.take, study)
        elif step == "pass_back":
            draft = self._do(who, reporting.open_draft, study).current
            self._do(who, reporting.take, study)  # the lease may have run out meanwhile
            self._do(who, reporting.pass_back, study, text=TEXT, based_on=draft.id)
        elif step == "sign":
            text = self._do(who, reporting.open_desk, study).current
            self.clock.at += timedelta(seconds=31)  # a code is accepted once
            code = TOTP(who[1]).at(self.clock.at)
            self._do(who, reporting.sign, study, text=text.text, based_on=text.id, code=code)
        elif step in ("claim", "refuse", "settle"):
            self._settle(who[0], study, step)
        else:
            self._do(who, workflow.take, study, step=step)
        return step

    def _receive(self, study_id: UUID) -> None:
        """What the worker does when images came, without a PACS to bring any."""
        with self.house.work(system()) as work, work.act(STEPS["receive"].may, Subject.study(study_id)):
            study = work.get(Study, study_id)
            study.image_count, study.image_digest = 1, "0" * 64
            workflow.move(work, study, "receive")

    def _settle(self, actor: Actor, study_id: UUID, step: str) -> None:
        """What billing and the scheme do, without tables of codes and prices to claim by."""
        with self.house.work(actor) as work, work.act(STEPS[step].may, Subject.study(study_id)):
            workflow.move(work, work.get(Study, study_id), step)

    def _do(self, who: tuple[Actor, str], verb: Callable[..., Any], *args: Any, **how: Any) -> Any:
        with self.house.work(who[0]) as work:
            return verb(work, *args, **how)
