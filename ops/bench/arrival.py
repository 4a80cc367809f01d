"""How long after its last image a study stands on the board as scanned, with the worker as it runs in a practice."""

from __future__ import annotations

import time
from collections.abc import Iterator

from pydicom.dataset import Dataset

from core import workflow
from core.errors import Unfit
from core.rules.steps import Status
from ops.bench.rows import AT_MOST, Bar, Measured, is_full_run, median, p95
from ops.bench.throwaway import Throwaway, a_patient, memory_mb, open_throwaway

QUIET_S, SLICES = 1, 3
BARS = (
    Bar("last image to board, p95", "last C-STORE answered until the board says scanned, quiet time taken off", "ms",
        "", AT_MOST, 2000),
)  # fmt: skip


class Timed(list[Dataset]):
    """Images that note when the sender is done with the last of them: that is when it was answered."""

    answered_s = 0.0

    def __iter__(self) -> Iterator[Dataset]:
        yield from super().__iter__()
        self.answered_s = time.perf_counter()


def measure() -> Iterator[Measured]:
    """One study after the other, at moments that the worker's clock does not know."""
    n = 60 if is_full_run() else 20
    with (
        open_throwaway(quiet_seconds=QUIET_S) as there,
        there.process("worker", "-m", "ops.worker") as worker,
    ):
        times = [_one(there, number) for number in range(n + 1)][
            1:
        ]  # The first also waits for the worker to start.
        memory = memory_mb(worker)
    yield Measured(
        "last image to board, p95",
        p95(times),
        None,
        n,
        f"p50 {median(times):.0f} ms; quiet time {QUIET_S} s, asked once a second; worker {memory:.0f} MB",
    )


def _one(there: Throwaway, number: int) -> float:
    case = a_patient(number)
    study = there.booked(case)
    accession = there.story.do("manager", workflow.open_study, study).row.accession
    images = Timed(there.images(case, study, slices=SLICES))
    time.sleep(number * 0.37 % 1)
    there.send(images)
    deadline_s = time.perf_counter() + 60
    while _status(there, accession) != Status.SCANNED:
        if time.perf_counter() > deadline_s:
            raise Unfit("A study did not come onto the board within a minute.")
        time.sleep(0.01)
    return (time.perf_counter() - images.answered_s - QUIET_S) * 1000


def _status(there: Throwaway, accession: str) -> Status:
    return there.story.do("manager", workflow.board, workflow.Filters(search=accession)).rows[0].status
