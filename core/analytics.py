"""Questions about the practice, asked in DuckDB of de-identified copies: how long, how many, what waits, who works when.

    the practice's database ──day by day──▶ sealed parts in SORG_HOME/analytics ──▶ Arrow ──▶ DuckDB in memory
                            └──────────── today's rows, straight from the database ──────▲

A day is sealed once it is over; today is read live, so an answer is never a day old. Parts are Parquet files that
pyarrow encrypts, each under a key of its own. DuckDB sees decrypted Arrow in memory and can reach nothing else: no
file, no network, no extension. All DuckDB SQL of the product is in this file. docs/decisions/070-analytics.md.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import duckdb
import pandas as pd
import pyarrow as pa
from sqlalchemy import and_, func, or_, select
from sqlalchemy.orm import InstrumentedAttribute, aliased

from core.errors import Refused
from core.rules.roles import Permission, Role, allowed
from core.rules.steps import STEPS, UNREAD, Status
from core.rules.za_time import day_bounds, local_day
from core.store import sealed
from core.store.model import AuditEntry, Claim, Patient, Person, Study, StudyEvent
from core.store.work import Subject, Work

SETTLES_AFTER = timedelta(hours=1)  # A transaction begun before midnight has long ended by then.
_LONGEST_DAYS = 3660
_LONG_AGO = date(1970, 1, 2)


# What comes out ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Period:
    """South African days, both included, and a modality or all of them."""

    from_on: date
    to_on: date
    modality: str = ""


@dataclass(frozen=True)
class Stage:
    """A part of a study's life: the statuses it is spent in, and the statuses that end it."""

    key: str
    label: str
    spent_in: tuple[Status, ...]
    ended_by: tuple[Status, ...]


S = Status
STAGES = (
    Stage("arrival", "Booked → here", (S.BOOKED,), (S.WAITING,)),
    Stage("scan", "Here → scanned", (S.WAITING,), (S.SCANNED,)),
    Stage("reading", "Scanned → report begun", (S.SCANNED,), (S.REPORTING,)),
    Stage("reporting", "Report begun → passed on", (S.REPORTING,), (S.TO_TRANSCRIBE, S.PROOFREADING)),
    Stage("transcription", "Passed on → transcribed", (S.TO_TRANSCRIBE, S.TRANSCRIBING), (S.PROOFREADING,)),
    Stage("signing", "Transcribed → signed", (S.PROOFREADING,), (S.SIGNED,)),
    Stage("coding", "Signed → claimed", (S.SIGNED,), (S.CLAIMED,)),
    Stage("scheme", "Claimed → paid", (S.CLAIMED,), (S.PAID,)),
    Stage("correction", "Rejected → claimed again", (S.REJECTED,), (S.CLAIMED,)),
)
REPORT = Stage("report", "Scanned → signed", UNREAD, (S.SIGNED,))
OPEN = tuple(s for s in Status if s not in (S.PAID, S.CANCELLED))


@dataclass(frozen=True)
class StageTime:
    """How long a stage took: hours at the median and at the ninetieth percentile, over `n` studies.

    group is "" for all of them, else a modality or the Monday of a South African week (ISO date).
    """

    stage: str
    label: str
    group: str
    n: int
    median_h: float
    p90_h: float


@dataclass(frozen=True)
class DayVolume:
    """One South African day and modality: how many were booked, scanned and signed on it."""

    day: date
    modality: str
    booked: int
    scanned: int
    signed: int


@dataclass(frozen=True)
class Standing:
    """How many studies stood in a status when a South African day ended (or now, for today)."""

    day: date
    status: Status
    n: int


@dataclass(frozen=True)
class ClaimsStanding:
    """Claims for services of the period that stand in one state now: how many, what was asked and what was paid."""

    state: str
    n: int
    total_cents: int
    paid_cents: int


@dataclass(frozen=True)
class Activity:
    """Acts on record by a role in one hour of the week. weekday: 0 is Monday; hour: 0 to 23, South African."""

    role: str
    weekday: int
    hour: int
    acts: int
    people: int


@dataclass(frozen=True)
class Unusual:
    """An hour in which somebody opened far more than they usually do; `usual` is their mean in an hour of work."""

    staff: str
    role: str
    hour_at: datetime
    acts: int
    patients: int
    usual: float


@dataclass(frozen=True)
class Insight:
    """Everything the insight page draws for one period."""

    period: Period
    modalities: tuple[str, ...]
    report: StageTime | None
    stages: tuple[StageTime, ...]
    report_by_week: tuple[StageTime, ...]
    report_by_modality: tuple[StageTime, ...]
    volumes: tuple[DayVolume, ...]
    backlog: tuple[Standing, ...]
    claims: tuple[ClaimsStanding, ...]


@dataclass(frozen=True)
class Exported:
    """How many rows went into new sealed parts."""

    moves: int
    audit: int


# Verbs ------------------------------------------------------------------------------------------------------------


def export(work: Work) -> Exported:
    """Seal the days that are over. Every row goes into exactly one part, also when the last export was killed."""
    with work.look(Permission.ANALYSE):
        pass  # The gate, once; the days are then read one by one, so that no reader stands in a writer's way.
    done = Exported(**{name: _seal(work, Permission.ANALYSE, name) for name in ("moves", "audit")})
    if done.moves or done.audit:
        with work.act(Permission.ANALYSE, Subject("analytics")) as facts:
            facts |= vars(done)
    return done


def insight(work: Work, period: Period) -> Insight:
    """The figures of the insight page. Nobody's name or number is in them."""
    with work.look(Permission.INSIGHT_SEE):
        _check(period)
        claims = _claims(work, period)
    with _gather(work, Permission.INSIGHT_SEE, "moves") as data:
        report = turnaround(data, period, stages=(REPORT,))
        return Insight(
            period,
            modalities(data),
            report=report[0] if report else None,
            stages=turnaround(data, period),
            report_by_week=turnaround(data, period, by="week", stages=(REPORT,)),
            report_by_modality=turnaround(data, period, by="modality", stages=(REPORT,)),
            volumes=volumes(data, period),
            backlog=backlog(data, period),
            claims=claims,
        )


def activity(work: Work, period: Period) -> tuple[Activity, ...]:
    """Who works when: acts on record by role and hour of the week."""
    with work.look(Permission.INSIGHT_SEE):
        _check(period)
    with _gather(work, Permission.INSIGHT_SEE, "audit") as data:
        return working_hours(data, period)


def open_for_analysis(work: Work) -> Dataset:
    """The de-identified data, for a notebook: views of VIEWS. On record."""
    with work.look(Permission.ANALYSE):
        pass
    data = _gather(work, Permission.ANALYSE, *SOURCES)
    with work.act(Permission.ANALYSE, Subject("analytics")) as facts:
        facts["views"] = sorted(VIEWS)
    return data


# Questions, for the verbs above and for notebooks -----------------------------------------------------------------


class Dataset:
    """An in-memory DuckDB over de-identified Arrow. Usable as a context; closing it forgets everything."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection

    def sql(self, question: str, **values: Any) -> pd.DataFrame:
        """Ask in DuckDB's SQL; `$name` in the question takes the value of that name."""
        return self._connection.execute(question, values or None).df()

    def rows(self, question: str, **values: Any) -> list[tuple[Any, ...]]:
        """The same, as tuples."""
        return self._connection.execute(question, values or None).fetchall()

    @staticmethod
    def table(rows: Sequence[dict[str, Any]]) -> pd.DataFrame:
        """Answers as a table: `data.table([vars(t) for t in turnaround(data, period)])`."""
        return pd.DataFrame(list(rows))

    def close(self) -> None:
        """Forget the data."""
        self._connection.close()

    def __enter__(self) -> Dataset:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def modalities(data: Dataset) -> tuple[str, ...]:
    """Every modality the practice ever booked."""
    return tuple(m for (m,) in data.rows("select distinct modality from moves order by 1"))


def turnaround(
    data: Dataset, period: Period, *, by: str = "", stages: Sequence[Stage] = STAGES
) -> tuple[StageTime, ...]:
    """How long each stage took, for studies that finished it in the period. by: "", "modality" or "week".

    A stage that was entered twice (a report sent back, a claim rejected) counts with all its time, so a study's
    stages add up to its life. A cancelled examination finishes nothing.
    """
    group = {"": "''", "modality": "modality", "week": "strftime(week, '%Y-%m-%d')"}[by]
    found: list[StageTime] = []
    for stage in stages:
        rows = data.rows(
            _STAGE_TIMES.format(group=group),
            spent_in=list(stage.spent_in),
            ended_by=list(stage.ended_by),
            **vars(period),
        )
        found += [StageTime(stage.key, stage.label, *row) for row in rows]
    return tuple(found)


_STAGE_TIMES = """
with finished as (
    select study from moves
    where before in $spent_in and after in $ended_by and day between $from_on and $to_on
      and ($modality = '' or modality = $modality)),
ended as (
    select study, any_value(modality) as modality, sum(hours) as hours,
           max(day) filter (where after in $ended_by) as day, max(week) filter (where after in $ended_by) as week
    from moves semi join finished using (study) where before in $spent_in group by study)
select {group} as "group", count(*), median(hours), quantile_cont(hours, 0.9)
from ended where day between $from_on and $to_on group by 1 order by 1"""


def volumes(data: Dataset, period: Period) -> tuple[DayVolume, ...]:
    """How much was booked, scanned and signed, by South African day and modality."""
    return tuple(
        DayVolume(*row)
        for row in data.rows(
            """select day, modality, count(*) filter (where step = 'book') as booked,
                  count(*) filter (where after = 'scanned') as scanned,
                  count(*) filter (where after = 'signed') as signed
           from moves where day between $from_on and $to_on and ($modality = '' or modality = $modality)
           group by all having booked + scanned + signed > 0 order by all""",
            **vars(period),
        )
    )


def backlog(data: Dataset, period: Period) -> tuple[Standing, ...]:
    """How many studies stood where at the end of each day: everything that came in less everything that went on."""
    rows = data.rows(
        """with flow as (
             select greatest(day, $from_on::date) as day, unnest([after, before]) as status, unnest([1, -1]) as n
             from moves where day <= $to_on and ($modality = '' or modality = $modality)),
           daily as (select day, status, sum(n) as n from flow where status in $open group by all),
           days as (select unnest(generate_series($from_on::date, $to_on::date, interval 1 day))::date as day),
           grid as (select day, status from days cross join (select unnest($open) as status))
           select day, status, sum(coalesce(n, 0)) over (partition by status order by day)::bigint
           from grid left join daily using (day, status) order by day, status""",
        open=list(OPEN),
        **vars(period),
    )
    return tuple(Standing(day, Status(status), n) for day, status, n in rows)


def working_hours(data: Dataset, period: Period) -> tuple[Activity, ...]:
    """Acts on record by role, weekday and hour of the South African day."""
    return tuple(
        Activity(*row)
        for row in data.rows(
            """select role, isodow(local_at) - 1, hour(local_at), count(*), count(distinct staff)
           from audit where day between $from_on and $to_on and staff <> '' group by all order by all""",
            from_on=period.from_on,
            to_on=period.to_on,
        )
    )


def unusual_hours(data: Dataset, period: Period, *, deviations: float = 4.0) -> tuple[Unusual, ...]:
    """Hours in which somebody touched patients far more often than in their other hours, most unusual first.

    "Far more" is more than the mean of that person's own hours by `deviations` standard deviations.
    """
    return tuple(
        Unusual(*row)
        for row in data.rows(
            """with hours as (
             select staff, date_trunc('hour', local_at) as hour_at, count(*) as acts
             from audit where patient <> '' and staff <> '' group by all),
           usual as (select staff, avg(acts) as mean, stddev_pop(acts) as spread from hours group by 1),
           far as (
             select h.*, mean from hours h join usual using (staff)
             where acts > mean + $deviations * spread and hour_at::date between $from_on and $to_on)
           select f.staff, any_value(role), f.hour_at, any_value(f.acts), count(distinct patient), any_value(mean)
           from audit a join far f on a.staff = f.staff and date_trunc('hour', a.local_at) = f.hour_at
           where patient <> '' group by f.staff, f.hour_at order by any_value(f.acts / mean) desc, 1, 3""",
            deviations=deviations,
            from_on=period.from_on,
            to_on=period.to_on,
        )
    )


def outside_hours(data: Dataset, period: Period, *, opens: int = 6, closes: int = 20) -> pd.DataFrame:
    """Patients touched at night or on Sunday, by staff pseudonym and role: staff, role, acts, patients, last_at."""
    return data.sql(
        """select staff, any_value(role) as role, count(*) as acts, count(distinct patient) as patients,
                  max(local_at) as last_at
           from audit
           where day between $from_on and $to_on and patient <> '' and staff <> ''
             and (hour(local_at) < $opens or hour(local_at) >= $closes or isodow(local_at) = 7)
           group by staff order by acts desc, staff""",
        from_on=period.from_on,
        to_on=period.to_on,
        opens=opens,
        closes=closes,
    )


def most_looked_at(data: Dataset, period: Period, *, top: int = 20) -> pd.DataFrame:
    """Patients whom unusually many members of staff touched: patient, staff, acts."""
    return data.sql(
        """select patient, count(distinct staff) as staff, count(*) as acts from audit
           where day between $from_on and $to_on and patient <> ''
           group by patient order by staff desc, acts desc, patient limit $top""",
        from_on=period.from_on,
        to_on=period.to_on,
        top=top,
    )


# What is copied, and what is left behind --------------------------------------------------------------------------

AGE_BANDS = ((5, "0–4"), (18, "5–17"), (35, "18–34"), (50, "35–49"), (65, "50–64"), (80, "65–79"))
_TIME = pa.timestamp(
    "us"
)  # UTC. DuckDB's own zones need an extension; South Africa is UTC+2, all year since 1944.


def age_band(born_on: date, on: date) -> str:
    """The band of an age in whole years; from 80 on there is one band, because so few people share an age."""
    years = on.year - born_on.year - ((on.month, on.day) < (born_on.month, born_on.day))
    return next((label for below, label in AGE_BANDS if years < below), "80+")


@dataclass(frozen=True)
class Source:
    """One of our tables as it is exported: its time column, the columns that leave, and how its rows are read."""

    at: InstrumentedAttribute[datetime] | None  # None: its rows change, so they are never sealed
    schema: pa.Schema
    read: Callable[[Work, datetime, datetime | None], Iterator[tuple[Any, ...]]]


def _read_moves(work: Work, start: datetime, end: datetime | None) -> Iterator[tuple[Any, ...]]:
    """Moves with the facts of their study. `since` is the move before it: a duration needs no other source."""
    earlier = aliased(StudyEvent)
    since = select(func.max(earlier.at)).where(
        earlier.study_id == StudyEvent.study_id,
        or_(earlier.at < StudyEvent.at, and_(earlier.at == StudyEvent.at, earlier.id < StudyEvent.id)),
    )
    query = (
        select(StudyEvent.at, since.scalar_subquery(), StudyEvent.study_id, StudyEvent.step, StudyEvent.before,
               StudyEvent.after, StudyEvent.by, Person.roles, Study.patient_id, Study.referrer_id, Study.modality,
               Study.examination, Study.urgency, Study.place_of_service, Patient.sex, Patient.born_on,
               Patient.scheme_code)
        .join(Study, Study.id == StudyEvent.study_id).join(Patient, Patient.id == Study.patient_id)
        .outerjoin(Person, Person.id == StudyEvent.by).order_by(StudyEvent.at, StudyEvent.id)
    )  # fmt: skip
    name = _Pseudonyms(work.keys["analytics"])
    for at, since_at, study, step, before, after, by, roles, patient, referrer, *facts in work.db.execute(
        _between(query, StudyEvent.at, start, end).execution_options(yield_per=10_000)
    ):
        *kept, born_on, scheme = facts
        yield (
            at.replace(tzinfo=None),
            since_at and since_at.replace(tzinfo=None),
            name("study", study),
            step,
            before,
            after,
            name("staff", by) if roles is not None else "",
            _role_for(step, roles),
            name("patient", patient),
            name("referrer", referrer) if referrer else "",
            *kept,
            age_band(born_on, local_day(at)),
            scheme,
        )


def _read_audit(work: Work, start: datetime, end: datetime | None) -> Iterator[tuple[Any, ...]]:
    """Audit entries without names, addresses and facts: who, in what role, did what to whom, as pseudonyms."""
    query = select(
        AuditEntry.at,
        AuditEntry.actor_id,
        AuditEntry.act,
        AuditEntry.outcome,
        AuditEntry.subject_kind,
        AuditEntry.subject_id,
        AuditEntry.patient_id,
        AuditEntry.body,
    ).order_by(AuditEntry.seq)
    name = _Pseudonyms(work.keys["analytics"])
    for at, actor, act, outcome, kind, subject, patient, body in work.db.execute(
        _between(query, AuditEntry.at, start, end).execution_options(yield_per=10_000)
    ):
        event = json.loads(body)
        roles = event["roles"]
        yield (
            at.replace(tzinfo=None),
            "" if actor in ("system", "nobody") else name("staff", actor),
            roles[0] if len(roles) == 1 else "+".join(roles),
            event["from"][0],
            act,
            outcome,
            kind,
            name(kind, subject) if subject else "",
            name("patient", patient) if patient else "",
        )


def _read_claims(work: Work, start: datetime, end: datetime | None) -> Iterator[tuple[Any, ...]]:
    """Claims as they stand. Unlike moves and entries they change, so they are read live and never sealed."""
    query = (
        select(
            Claim.service_on,
            Claim.study_id,
            Claim.patient_id,
            Study.modality,
            Claim.scheme,
            Claim.state,
            Claim.tracking,
            Claim.attempt,
            Claim.total_cents,
            Claim.paid_cents,
        )
        .join(Study, Study.id == Claim.study_id)
        .order_by(Claim.id)
    )
    name = _Pseudonyms(work.keys["analytics"])
    for on, study, patient, *kept in work.db.execute(query.execution_options(yield_per=10_000)):
        yield on, name("study", study), name("patient", patient), *kept


def _claims(work: Work, period: Period) -> tuple[ClaimsStanding, ...]:
    """Counts and cents by state, over services of the period."""
    query = (
        select(Claim.state, func.count(), func.sum(Claim.total_cents), func.sum(Claim.paid_cents))
        .join(Study, Study.id == Claim.study_id)
        .where(Claim.service_on >= period.from_on, Claim.service_on <= period.to_on)
        .group_by(Claim.state)
        .order_by(Claim.state)
    )
    if period.modality:
        query = query.where(Study.modality == period.modality)
    return tuple(ClaimsStanding(s, n, int(total), int(paid)) for s, n, total, paid in work.db.execute(query))


def _between(query, column, start: datetime, end: datetime | None):
    query = query.where(column >= start)
    return query if end is None else query.where(column < end)


def _role_for(step: str, roles: list[str] | None) -> str:
    """In which of a person's roles the step was taken."""
    if roles is None:
        return Role.SYSTEM
    may = STEPS[step].may if step in STEPS else Permission.ORDER_BOOK
    return next((r for r in sorted(roles) if allowed(frozenset({Role(r)}), may)), "+".join(sorted(roles)))


class _Pseudonyms:
    """Keyed pseudonyms: the same id always gets the same one, and without the key nobody can tell whose it is.

    HMAC-SHA256 cut to 64 bits: among a million patients two share one with a chance of 1 in 37 million.
    """

    def __init__(self, key: bytes) -> None:
        self._key = hmac.digest(key, b"pseudonyms", "sha256")
        self._known: dict[tuple[str, str], str] = {}

    def __call__(self, kind: str, row_id: UUID | str) -> str:
        wanted = (kind, str(row_id))
        if wanted not in self._known:
            said = "|".join(wanted).encode()
            self._known[wanted] = hmac.digest(self._key, said, "sha256")[:8].hex()
        return self._known[wanted]


def _schema(times: str, words: str) -> pa.Schema:
    return pa.schema([(n, _TIME) for n in times.split()] + [(n, pa.string()) for n in words.split()])


SOURCES = {
    "moves": Source(StudyEvent.at, _schema(
        "at_utc since_utc",
        "study step before after staff role patient referrer modality examination urgency place_of_service sex age "
        "scheme"), _read_moves),
    "audit": Source(AuditEntry.at, _schema(
        "at_utc", "staff role channel act outcome subject_kind subject patient"), _read_audit),
    "claims": Source(None, pa.schema([("service_on", pa.date32())] + [
        (n, pa.string()) for n in ("study", "patient", "modality", "scheme", "state", "tracking")] + [
        (n, pa.int64()) for n in ("attempt", "total_cents", "paid_cents")]), _read_claims),
}  # fmt: skip

VIEWS = {
    # local_at, day and week are South African; week is the Monday that begins it.
    "moves": """select *, at_utc + interval 2 hour as local_at, (at_utc + interval 2 hour)::date as day,
                       date_trunc('week', at_utc + interval 2 hour)::date as week,
                       date_diff('microsecond', since_utc, at_utc) / 3.6e9 as hours
                from moves_copied""",
    "studies": """select study, arg_max(after, (at_utc, coalesce(since_utc, at_utc - interval 1 day))) as status, min(local_at) as booked_at,
                         max(local_at) as moved_at, any_value(patient) as patient, any_value(referrer) as referrer,
                         any_value(modality) as modality, any_value(examination) as examination,
                         any_value(urgency) as urgency, any_value(sex) as sex, any_value(age) as age,
                         any_value(scheme) as scheme
                  from moves group by study""",
    "stages": """select study, before as status, since_utc + interval 2 hour as began_at, local_at as ended_at, hours,
                        step as ended_by, role, staff, modality, urgency, day, week
                 from moves where before <> ''""",
    "claims": "select * from claims_copied",
    "audit": "select *, at_utc + interval 2 hour as local_at, (at_utc + interval 2 hour)::date as day from audit_copied",
}


# Sealing ---- -----------------------------------------------------------------------------------------------------


def _folder_of(work: Work) -> Path:
    """Where the sealed parts are."""
    return work.blobs.folder.parent / "analytics"


def _seal(work: Work, permission: Permission, name: str) -> int:
    """Write the finished days that no part holds yet. Returns how many rows."""
    folder, key, done = _folder_of(work), work.keys["analytics"], 0
    settled = local_day(work.now() - SETTLES_AFTER)
    with sealed.alone(folder):
        day = _next_day(work, permission, name)
        while day is not None and day < settled:
            first, batches, rows = day, [], 0
            while day < settled and day.month == first.month and rows < sealed.ROWS_A_PART:
                batches.append(_read(work, permission, name, *day_bounds(day)))
                rows += len(batches[-1])
                day += timedelta(days=1)
            sealed.write(folder, name, first, day - timedelta(days=1), pa.concat_tables(batches), key)
            done += rows
            day = _next_day(work, permission, name)
        sealed.merge(folder, name, key, before=settled.replace(day=1))
    return done


def _next_day(work: Work, permission: Permission, name: str) -> date | None:
    """The first day with rows that no part holds."""
    parts = sealed.parts_of(_folder_of(work), name)
    column: Any = SOURCES[name].at
    assert column is not None, f"{name} is not sealed"
    query = select(func.min(column))
    if parts:
        query = query.where(column >= day_bounds(parts[-1].to_on)[1])
    with work.look(permission):
        first = work.db.scalar(query)
    return local_day(first) if first else None


def _read(work: Work, permission: Permission, name: str, start: datetime, end: datetime | None) -> pa.Table:
    source = SOURCES[name]
    with work.look(permission):
        rows = list(source.read(work, start, end))
    columns = zip(*rows, strict=True) if rows else ([] for _ in source.schema)
    arrays = [pa.array(c, type=f.type) for c, f in zip(columns, source.schema, strict=True)]
    return pa.table(arrays, schema=source.schema)


# The analysts' database -------------------------------------------------------------------------------------------


def open_analytics(tables: dict[str, pa.Table]) -> Dataset:
    """An in-memory DuckDB with the views over these tables, which can reach nothing outside them."""
    connection = duckdb.connect(
        config={
            "memory_limit": "3GB",
            "temp_directory": "",
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "python_enable_replacements": False,
        }
    )
    for name, table in tables.items():
        connection.register(f"{name}_copied", table)
    needs = {"studies": "moves", "stages": "moves"}
    for view, question in VIEWS.items():
        if needs.get(view, view) in tables:
            connection.execute(f"create view {view} as {question}")
    connection.execute("set enable_external_access = false")
    connection.execute("set lock_configuration = true")
    return Dataset(connection)


def _gather(work: Work, permission: Permission, *names: str) -> Dataset:
    """Seal what is over, then open parts and today's rows together."""
    tables = {}
    for name in names:
        if SOURCES[name].at is None:
            tables[name] = _read(work, permission, name, *day_bounds(_LONG_AGO))
            continue
        _seal(work, permission, name)
        parts = sealed.parts_of(_folder_of(work), name)
        start = day_bounds(parts[-1].to_on)[1] if parts else day_bounds(_LONG_AGO)[0]
        live = _read(work, permission, name, start, None)
        tables[name] = pa.concat_tables(
            [*(sealed.open_part(p.path, work.keys["analytics"]) for p in parts), live]
        )
    return open_analytics(tables)


def _check(period: Period) -> None:
    if period.from_on > period.to_on:
        raise Refused("The period ends before it begins: choose the first day, then the last.")
    if (period.to_on - period.from_on).days > _LONGEST_DAYS:
        raise Refused("Choose a period of at most ten years.")
