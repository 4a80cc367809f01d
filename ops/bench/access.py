"""What it costs that everybody sees their own patients only: the decision, the gate around it, and the filter on lists."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from uuid import UUID

from sqlalchemy import insert
from sqlalchemy.orm import Session
from uuid6 import uuid7

from core import workflow
from core.errors import Unfit
from core.rules.access import Bounds, Facts, Fences, decide
from core.rules.roles import Permission, Scope
from core.store.db import maintenance
from core.store.model import Patient, PatientBlock, PatientGrant, Study, StudyEvent
from core.store.work import Actor, Openings, Subject
from ops.bench.rows import AT_MOST, Bar, Measured, is_full_run, median
from ops.bench.throwaway import Throwaway, open_throwaway

STUDIES, PER_PATIENT, MINE = 50_000, 5, 400
ELSEWHERE = "99"  # another site; every tenth patient is theirs
FENCES = 20
DECISIONS, ACTS = 20_000, 150
BARS = (
    Bar("access decision", "core.rules.access.decide, with 20 blocks and 20 grants, every scope in turn", "µs"),
    Bar("gate, act on a study", "work.act around nothing, by somebody who sees their site with 20 blocks and 20 grants", "µs",
        "the same by somebody who sees every patient"),
    Bar("gate, study looked at again", "work.reading of what this sitting has opened before, by the same", "µs",
        "the same by somebody who sees every patient"),
    Bar("board, every patient", "workflow.board over 50 000 studies: counted, sorted, the first fifty", "ms",
        "the same query without the gate", AT_MOST, 2, of_ratio=True),
    Bar("board, own site", "the same by somebody who sees their site: nine tenths of the studies", "ms",
        "the same query without the gate", AT_MOST, 2, of_ratio=True),
    Bar("board, own site and fences", "the same with 20 blocks and 20 grants", "ms", "the same query without the gate", AT_MOST, 2, of_ratio=True),
    Bar("board, assigned only", "the same by somebody who sees the 400 studies that are theirs", "ms",
        "the same query without the gate", AT_MOST, 2, of_ratio=True),
)  # fmt: skip


def measure() -> Iterator[Measured]:
    """Everything in turns, so that a moment in which the machine is busy is shared."""
    yield Measured("access decision", _decision_us(), None, DECISIONS)
    with open_throwaway(orthanc=False) as there:
        world = fill(there, STUDIES)
        yield from _gate(there, world)
        yield from _lists(there, world)


def _decision_us() -> float:
    patients = [UUID(int=number) for number in range(1, 200)]
    fences = Fences(blocked=frozenset(patients[:FENCES]), opened=frozenset(patients[FENCES : 2 * FENCES]))
    doctor = UUID(int=1)
    asked = [
        (
            scope,
            Bounds(sites=frozenset({"01"}), patient_id=patient, referrer_id=doctor),
            Facts(
                patient,
                patient,
                frozenset({"01" if number % 10 else ELSEWHERE}),
                number % 7 == 0,
                frozenset({doctor}),
                True,
            ),
        )
        for number, patient in enumerate(patients)
        for scope in Scope
    ]
    times = []
    for at in range(DECISIONS):
        scope, bounds, facts = asked[at % len(asked)]
        begun_ns = time.perf_counter_ns()
        decide(scope, bounds, fences, facts)
        times.append((time.perf_counter_ns() - begun_ns) / 1000)
    return median(times)


def _gate(there: Throwaway, world: World) -> Iterator[Measured]:
    study = Subject.study(world.studies[-1])
    actors = {"narrow": world.actors["fenced"], "whole": world.actors["all"]}
    openings = {name: Openings() for name in actors}

    def act(name: str) -> None:
        with there.house.work(actors[name]) as work, work.act(Permission.STUDY_READ, study):
            pass

    def again(name: str) -> None:
        with (
            there.house.work(actors[name], openings=openings[name]) as work,
            work.reading(Permission.STUDY_READ, study),
        ):
            pass

    for key, deed in (("gate, act on a study", act), ("gate, study looked at again", again)):
        times = _in_turns({name: lambda deed=deed, name=name: deed(name) for name in actors}, rounds=ACTS)
        yield Measured(key, median(times["narrow"]) * 1000, median(times["whole"]) * 1000, ACTS)


def _lists(there: Throwaway, world: World) -> Iterator[Measured]:
    names = {
        "all": "board, every patient",
        "site": "board, own site",
        "fenced": "board, own site and fences",
        "assigned": "board, assigned only",
    }
    found: dict[str, int] = {}

    def ask(name: str) -> None:
        with there.house.work(world.actors[name]) as work:
            found[name] = workflow.board(work).total

    def bare() -> None:
        with maintenance("bench"), Session(there.house.engine) as session:
            plain: Any = SimpleNamespace(db=session)
            found["bare"] = workflow.list_studies(plain, workflow.Filters(), page=1, size=50).total

    ways = {name: lambda name=name: ask(name) for name in names} | {"bare": bare}
    n = 20 if is_full_run() else 6
    times = _in_turns(ways, rounds=n)
    if found != world.seen:
        raise Unfit(f"The lists hold {found} studies, and should hold {world.seen}.")
    for name, key in names.items():
        yield Measured(key, median(times[name]), median(times["bare"]), n, f"{found[name]} studies")


def _in_turns(ways: dict[str, Callable[[], None]], *, rounds: int) -> dict[str, list[float]]:
    """Milliseconds of each; the first of all puts the statements together and is not counted."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds + 1):
        for name, deed in ways.items():
            begun_s = time.perf_counter()
            deed()
            times[name].append((time.perf_counter() - begun_s) * 1000)
    return {name: each[1:] for name, each in times.items()}


@dataclass(frozen=True)
class World:
    """Who looks (all, site, fenced, assigned), the studies, and how many of them each must see."""

    actors: dict[str, Actor]
    studies: list[UUID]
    seen: dict[str, int]


def fill(there: Throwaway, count: int) -> World:
    """So many studies of invented patients, some of another site, some of one radiologist, some shut or opened to another."""
    plain, fenced = (there.story.cast.actors[login] for login in ("radiologist", "radiologist2"))
    dice, now, own = random.Random(7), datetime.now(UTC), there.house.origin
    patients, studies, events = [], [], []
    for number in range(count // PER_PATIENT):
        origin = ELSEWHERE if number % 10 == 0 else own
        patient = _patient(number, origin, now)
        patients.append(patient)
        for _ in range(PER_PATIENT):
            study = _study(
                len(studies), patient["id"], origin, now - timedelta(minutes=dice.randrange(500_000))
            )
            studies.append(study)
            events.append(_event(study, fenced.person))
    mine = dice.sample(studies, min(MINE, count // 4))
    for study in mine:
        study["radiologist_id"] = plain.person
    shut = [p["id"] for p in patients if p["origin"] == own][:FENCES]
    opened = [p["id"] for p in patients if p["origin"] == ELSEWHERE][:FENCES]
    with maintenance("bench"), Session(there.house.engine.execution_options(write=True)) as session:
        for model, rows in ((Patient, patients), (Study, studies), (StudyEvent, events)):
            session.execute(insert(model), rows)
        common = {
            "person_id": fenced.person,
            "why": "Measured",
            "from_at": now - timedelta(days=1),
            "origin": own,
        }
        session.add_all(
            PatientBlock(id=uuid7(), patient_id=p, kind="family", until_at=None, **common) for p in shut
        )
        session.add_all(
            PatientGrant(id=uuid7(), patient_id=p, until_at=now + timedelta(days=9), **common) for p in opened
        )
        session.commit()
    actors = {
        "all": replace(plain, bounds=Bounds(Scope.ALL)),
        "site": replace(plain, bounds=Bounds(Scope.SITE)),
        "assigned": replace(plain, bounds=Bounds(Scope.ASSIGNED)),
        "fenced": replace(fenced, bounds=Bounds(Scope.SITE)),
    }
    at_site = sum(study["origin"] == own for study in studies)
    seen = {
        "all": count,
        "bare": count,
        "site": at_site,
        "assigned": len(mine),
        "fenced": at_site + PER_PATIENT * (len(opened) - len(shut)),
    }
    return World(actors, [study["id"] for study in studies if study["origin"] == own], seen)


def _patient(number: int, origin: str, now: datetime) -> dict[str, Any]:
    return {
        "id": uuid7(),
        "origin": origin,
        "version": 1,
        "file_number": f"B{number:07}",
        "family_name": f"Invented{number}",
        "given_names": "Person",
        "search_text": f"invented{number} person",
        "identity_kind": "none",
        "identity_number": None,
        "born_on": date(1980, 1, 1),
        "sex": "O",
        "registered_at": now,
    }


def _study(number: int, patient_id: UUID, origin: str, at: datetime) -> dict[str, Any]:
    states = ("booked", "waiting", "scanned", "signed", "paid")
    return {
        "id": uuid7(),
        "origin": origin,
        "version": 1,
        "patient_id": patient_id,
        "accession": f"B{number:08}",
        "study_uid": f"2.25.{number + 1}",
        "examination": "chest",
        "description": "Chest X-ray",
        "modality": "DX",
        "urgency": "urgent" if number % 50 == 0 else "routine",
        "booked_for_at": at,
        "status": states[number % len(states)],
        "status_at": at,
        "radiologist_id": None,
    }


def _event(study: dict[str, Any], by: UUID) -> dict[str, Any]:
    return {
        "id": uuid7(),
        "origin": study["origin"],
        "study_id": study["id"],
        "step": "arrive",
        "before": "booked",
        "after": "waiting",
        "at": study["status_at"],
        "by": by,
    }
