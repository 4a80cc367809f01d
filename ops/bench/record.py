"""What the record costs: an act through the gate and an entry of the chain beside a bare insert, and checking the chain."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

from sqlalchemy.orm import Session

from core.rules.roles import Permission
from core.store import audit, db
from core.store.db import maintenance
from core.store.work import Subject, system
from ops.bench.rows import AT_LEAST, Bar, Measured, is_full_run, median
from ops.bench.throwaway import Throwaway, open_throwaway

ROUNDS, EACH = 8, 150
BARS = (
    Bar("audit append, through the gate", "an act with nothing in it: check, transaction, entry, commit", "/s",
        "bare SQLCipher insert, one commit each, synchronous=FULL", AT_LEAST, 0.5, of_ratio=True),
    Bar("audit append, alone", "core.store.audit.append, one commit each", "/s", "the same bare insert"),
    Bar("audit chain verify", "walking the whole chain", "rows/s", "", AT_LEAST, 300_000),
)  # fmt: skip


def measure() -> Iterator[Measured]:
    """Appends in rounds, ours and theirs in turn; then the chain is made long in one transaction and walked."""
    with open_throwaway(orthanc=False) as there:
        bare = _bare(there)
        ways = {"gate": lambda: _act(there), "alone": lambda: _append(there), "bare": bare}
        rates: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(ROUNDS):
            for name, once in ways.items():
                rates[name].append(_rate(once, EACH))
        gate, alone, reference = (median(rates[name]) for name in ("gate", "alone", "bare"))
        n = ROUNDS * EACH
        note = f"{1e6 / gate:.0f} µs an act, bare {1e6 / reference:.0f} µs"
        yield Measured("audit append, through the gate", gate, reference, n, note)
        yield Measured("audit append, alone", alone, reference, n, f"{1e6 / alone:.0f} µs an entry")
        rows, write_s = _lengthen(there, 1_000_000 if is_full_run() else 200_000)
        times = [_verify_s(there, rows) for _ in range(3)]
        yield Measured(
            "audit chain verify",
            rows / median(times),
            None,
            rows,
            f"median of 3; written at {rows / write_s:,.0f} rows/s in one transaction".replace(",", " "),
        )


def _rate(once: Callable[[], object], count: int) -> float:
    begun_s = time.perf_counter()
    for _ in range(count):
        once()
    return count / (time.perf_counter() - begun_s)


def _act(there: Throwaway) -> None:
    with (
        there.house.work(system("bench")) as work,
        work.act(Permission.IMAGES_RECEIVE, Subject("bench", "1")),
    ):
        pass


def _append(there: Throwaway) -> None:
    with maintenance("bench"), Session(there.house.engine.execution_options(write=True)) as session:
        at = datetime.now(UTC)
        audit.append(session, there.house.keys["audit"], _event(at), at=at)
        session.commit()


def _event(at: datetime) -> dict:
    """What Work notes of an act, as long as a real one."""
    return {
        "at": at.isoformat(),
        "actor": "system",
        "name": "Sorg",
        "roles": ["system"],
        "from": ["bench", ""],
        "session": "",
        "act": "images-receive",
        "outcome": "done",
        "subject": ["bench", "1"],
        "patient": "",
        "facts": {},
    }


def _bare(there: Throwaway) -> Callable[[], object]:
    """An insert of the same columns, without indexes, by the driver alone, into an encrypted file of its own."""
    engine = db.open_sqlcipher(there.settings.home / "bare.db", secrets.token_bytes(32))
    with maintenance("bench"):
        driver = engine.raw_connection().cursor()
    driver.execute(
        "create table entry(seq integer primary key, at, actor, act, outcome, kind, subject, patient, body, mac)"
    )
    body, mac = "x" * 170, secrets.token_bytes(32)

    def once() -> None:
        driver.execute("begin immediate")
        driver.execute(
            "insert into entry(at, actor, act, outcome, kind, subject, patient, body, mac) values (?,?,?,?,?,?,?,?,?)",
            (str(datetime.now(UTC)), "system", "images-receive", "done", "bench", "1", "", body, mac),
        )
        driver.execute("commit")

    return once


def _lengthen(there: Throwaway, wanted: int) -> tuple[int, float]:
    """So many entries more in one transaction; how many the chain has, and the seconds it took."""
    begun_s, seq = time.perf_counter(), 0
    with maintenance("bench"), Session(there.house.engine.execution_options(write=True)) as session:
        at = datetime.now(UTC)
        event, key = _event(at), there.house.keys["audit"]
        for _ in range(wanted):
            seq = audit.append(session, key, event, at=at)
        session.commit()
    return seq, time.perf_counter() - begun_s


def _verify_s(there: Throwaway, rows: int) -> float:
    begun_s = time.perf_counter()
    with maintenance("bench"), Session(there.house.engine) as session:
        verdict = audit.verify(session, there.house.keys["audit"])
    took_s = time.perf_counter() - begun_s
    if (verdict.entries, verdict.broken_at) != (rows, None):
        raise RuntimeError(f"The chain of {rows} entries does not verify: {verdict}")
    return took_s
