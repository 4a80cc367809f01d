"""Questions of the audit trail in core.analytics beside the same questions in SQL inside the encrypted database."""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from core import analytics
from core.analytics import Period
from core.rules.za_time import local_day
from core.store.db import maintenance
from ops.bench.rows import AT_MOST, Bar, Measured, is_full_run, median
from ops.bench.throwaway import Throwaway, memory_mb, open_throwaway

DAYS, STAFF, PATIENTS = 365, 60, 20_000
BARS = tuple(
    Bar(f"audit question: {name}", what, "s", "SQL in SQLCipher", AT_MOST, 1)
    for name, what in (
        ("working hours", "acts by role, weekday and hour"),
        ("unusual hours", "hours more than four deviations above somebody's mean"),
        ("most looked at", "the twenty patients whom most members of staff touched"),
    )
)
LOCAL = "datetime(at, '+2 hours')"
IN_SQL = {
    "working hours": f"""select json_extract(body, '$.roles[0]'), strftime('%w', {LOCAL}), strftime('%H', {LOCAL}),
        count(*), count(distinct actor_id) from audit_entry where actor_id not in ('system', 'nobody') group by 1, 2, 3""",
    "unusual hours": f"""with hours as (select actor_id, strftime('%Y-%m-%d %H', {LOCAL}) as hour, count(*) as n
        from audit_entry where patient_id <> '' and actor_id not in ('system', 'nobody') group by 1, 2),
        usual as (select actor_id, avg(n) as mean, avg(1.0 * n * n) - avg(n) * avg(n) as variance from hours group by 1)
        select hours.actor_id, hour, n from hours join usual using (actor_id)
        where n > mean and (n - mean) * (n - mean) > 16 * variance""",
    "most looked at": """select patient_id, count(distinct actor_id) as staff, count(*) as acts from audit_entry
        where patient_id <> '' group by 1 order by staff desc, acts desc limit 20""",
}


def measure() -> Iterator[Measured]:
    """A year of a practice; its answers are compared with those of SQL before a time counts."""
    rows = 10_000_000 if is_full_run() else 1_000_000
    with open_throwaway(orthanc=False) as there:
        today = local_day(there.house.clock())
        _fill(there, rows)
        begun_s = time.perf_counter()
        there.story.do("analyst", analytics.export)
        sealed_s = time.perf_counter() - begun_s
        period = Period(today - timedelta(days=DAYS + 5), today)
        begun_s = time.perf_counter()
        with there.story.do("analyst", analytics.open_for_analysis) as data:
            opened_s = time.perf_counter() - begun_s
            ours: dict[str, Callable[[], Any]] = {
                "working hours": lambda: analytics.working_hours(data, period),
                "unusual hours": lambda: analytics.unusual_hours(data, period),
                "most looked at": lambda: analytics.most_looked_at(data, period),
            }
            size = f"{rows / 1e6:g} M rows"
            once = f"; sealing took {sealed_s:.0f} s once, opening {opened_s:.1f} s; {memory_mb(os.getpid()):.0f} MB in all"
            for name, ask in ours.items():
                times, answer = _timed(ask, 3)
                theirs, said = _timed(lambda name=name: _in_sql(there, IN_SQL[name]), 1)
                if len(answer) != len(said):
                    raise RuntimeError(f"{name}: {len(answer)} rows from analytics, {len(said)} from SQL.")
                yield Measured(
                    f"audit question: {name}",
                    median(times),
                    theirs[0],
                    3,
                    f"{size}; {len(answer)} rows of answer{once}",
                    rows >= 10_000_000,
                )
                once = ""


def _timed(ask: Callable[[], Any], count: int) -> tuple[list[float], Any]:
    times, answer = [], None
    for _ in range(count):
        begun_s = time.perf_counter()
        answer = ask()
        times.append(time.perf_counter() - begun_s)
    return times, answer


def _in_sql(there: Throwaway, question: str) -> list[tuple[Any, ...]]:
    with maintenance("bench"), there.house.engine.connect() as connection:
        return [tuple(row) for row in connection.exec_driver_sql(question)]


def _fill(there: Throwaway, rows: int) -> None:
    """Entries of a year that ended yesterday: office hours mostly, some patients far more looked at than others.

    They are no chain (their MACs are empty): this row measures questions, and the chain has a row of its own.
    """
    dice = random.Random(7)
    staff = [f"00000000-0000-7000-8000-{n:012d}" for n in range(STAFF)]
    roles = ("radiologist", "radiographer", "reception", "transcriptionist", "billing", "manager")
    bodies = [
        json.dumps(
            {
                "at": "",
                "facts": {},
                "from": ["console", "127.0.0.1"],
                "name": f"Member {n}",
                "roles": [roles[n % len(roles)]],
                "session": "",
            }
        )
        for n in range(STAFF)
    ]
    begins_at = (there.house.clock() - timedelta(days=DAYS + 1)).replace(
        hour=0, minute=0, second=0, tzinfo=UTC
    )
    add = """insert into audit_entry(seq, at, actor_id, act, outcome, subject_kind, subject_id, patient_id, body, mac)
             values (?, ?, ?, ?, 'done', 'study', ?, ?, ?, x'00')"""
    with (
        maintenance("bench"),
        there.house.engine.execution_options(write=True).connect() as connection,
        connection.begin(),
    ):
        first = connection.exec_driver_sql("select coalesce(max(seq), 0) + 1 from audit_entry").scalar_one()
        driver = connection.connection.cursor()

        def entries() -> Iterator[tuple[Any, ...]]:
            for n in range(rows):
                who = int(STAFF * dice.random() ** 1.5)
                patient = f"00000000-0000-7000-9000-{int(PATIENTS * dice.random() ** 3):012d}"
                hour = dice.choice(_HOURS)
                at = begins_at + timedelta(days=n * DAYS // rows, hours=hour, seconds=dice.random() * 3600)
                yield first + n, _said(at), staff[who], _ACTS[n % len(_ACTS)], patient, patient, bodies[who]

        driver.executemany(add, entries())  # type: ignore[arg-type]


_HOURS = (5, 6, 6, 7, 7, 7, 8, 8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13, 13, 14, 14, 15, 16, 20)
_ACTS = ("patient-read", "study-read", "report-write", "images-open")


def _said(at: datetime) -> str:
    """A time as our database keeps it."""
    return f"{at:%Y-%m-%d %H:%M:%S.%f}"
