"""`python -m ops.worker`: follows Orthanc's log, judges what arrived, runs errands, tidies up.

It may be killed at any moment. Whatever it does is written down in the transaction that decides it, so the next
worker goes on where this one fell.
"""

from __future__ import annotations

import fcntl
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from core import billing, changes, directory_changes, errands, health, pacs, privacy
from core.errors import Missing, Outside, Refused, SorgError, Stale, Unfit
from core.store.work import House, system
from ops import opening, settings
from ops.settings import Settings

log = logging.getLogger("sorg.worker")

STOPS_WITHIN_S = 1.5
MOST_PAUSE_S = 15.0
BEAT_S = 5.0
AUDIT_BEAT, VERIFY_AFTER = "audit", timedelta(hours=24)

Handler = Callable[[House, dict[str, Any]], None]
# Every kind of errand, and who does it. A handler may be run twice for one errand.
HANDLERS: dict[str, Handler] = {**pacs.HANDLERS, **billing.HANDLERS, **directory_changes.HANDLERS}


@dataclass(frozen=True)
class Round:
    """One thing the worker does again and again. every_s 0: at each turn. `do` says whether more is waiting."""

    name: str
    every_s: float
    do: Callable[[House, Callable[[], bool]], bool]


def run_errands(house: House, going: Callable[[], bool] = lambda: True) -> bool:
    """Do what is due, one after the other, until nothing is."""
    while going():
        with house.work(system()) as work:
            errand = errands.take_due(work)
        if errand is None:
            return False
        trouble, hopeless = _attempt(house, errand)
        with house.work(system()) as work:
            if trouble:
                errands.failed(work, errand.id, trouble=trouble, hopeless=hopeless)
            else:
                errands.done(work, errand.id)
    return True


def _attempt(house: House, errand: errands.ErrandCard) -> tuple[str, bool]:
    """('' or what went wrong, whether trying again is useless)."""
    handler = HANDLERS.get(errand.kind)
    if handler is None:
        return f"This program knows no errand called '{errand.kind}'.", True
    try:
        handler(house, errand.payload)
    except (Outside, Missing, Stale, Unfit) as error:
        return error.sentence, False
    except Refused as error:
        return error.sentence, True
    except Exception as error:
        log.warning("errand %s: %s", errand.kind, type(error).__name__)
        return f"A fault in the program ({type(error).__name__}). It will be tried again.", False
    return "", False


def _follow(house: House, going: Callable[[], bool]) -> bool:
    while going() and pacs.follow(house):
        pass
    return False


def _settle(house: House, going: Callable[[], bool]) -> bool:
    return pacs.settle(house) > 0


def _hear(house: House, going: Callable[[], bool]) -> bool:
    return billing.fetch_answers(house) + billing.fetch_remittances(house) > 0


def _change(house: House, going: Callable[[], bool]) -> bool:
    return changes.apply_all_due(house) > 0


def _reconcile(house: House, going: Callable[[], bool]) -> bool:
    return pacs.reconcile(house, going=going) > 0


def _sweep(house: House, going: Callable[[], bool]) -> bool:
    house.blobs.sweep(before=house.clock() - timedelta(hours=1))
    with house.work(system()) as work:
        more = health.sweep_sessions(work) > 0
    with house.work(system()) as work:
        return health.sweep_limits(work) > 0 or more


def _verify(house: House, going: Callable[[], bool]) -> bool:
    """Walk the audit chain once a day, and leave word of it where System health looks."""
    with house.work(system()) as work:
        last = next((b.at for b in health.beats(work) if b.name == AUDIT_BEAT), None)
    if last is None or last < house.clock() - VERIFY_AFTER:
        with house.work(system()) as work:
            verdict = privacy.verify_chain(work)
        if verdict.broken_at is not None:
            log.error("audit chain: %s", verdict.why)
        with house.work(system()) as work:
            health.beat(work, AUDIT_BEAT, trouble=verdict.why)
    return False


ROUNDS = [
    Round("images", 0, _follow),
    Round("arrivals", 0, _settle),
    Round("errands", 0, run_errands),
    Round("switch", 5, _hear),
    Round("changes", 30, _change),
    Round("reconcile", 300, _reconcile),
    Round("sweep", 3600, _sweep),
    Round("audit", 3600, _verify),
]


class Worker:
    """The rounds in turn. A round that fails pauses alone, a little longer each time; the others go on."""

    def __init__(self, house: House, *, poll_s: float = 1.0) -> None:
        self.house, self.poll_s = house, poll_s
        self.stopping = threading.Event()
        self._next_s = {r.name: 0.0 for r in ROUNDS}
        self._pause_s = {r.name: poll_s for r in ROUNDS}
        self._trouble = {r.name: "" for r in ROUNDS}
        self._beat_s = 0.0

    def going(self) -> bool:
        return not self.stopping.is_set()

    def run(self) -> None:
        """Until `stopping` is set."""
        while self.going():
            more = self.turn()
            self.stopping.wait(0 if more else self.poll_s)

    def turn(self) -> bool:
        """Every round that is due, once. True when one of them has more to do."""
        more = False
        if time.monotonic() >= self._beat_s:
            self._beat()
        for round_ in ROUNDS:
            if self.going() and time.monotonic() >= self._next_s[round_.name]:
                more |= self._go(round_)
        return more

    def _go(self, round_: Round) -> bool:
        name = round_.name
        try:
            more = round_.do(self.house, self.going)
        except Exception as error:
            # Only the kind of error: its text may hold what patients are called.
            kind = type(error).__name__
            if self._trouble[name] != kind:
                log.warning("%s: %s", name, kind)
            self._trouble[name] = kind
            self._next_s[name] = time.monotonic() + self._pause_s[name]
            self._pause_s[name] = min(self._pause_s[name] * 2, MOST_PAUSE_S)
            return False
        if self._trouble[name]:
            log.warning("%s: well again", name)
        self._trouble[name], self._pause_s[name] = "", self.poll_s
        self._next_s[name] = time.monotonic() + (0 if more else round_.every_s)
        return more

    def _beat(self) -> None:
        self._beat_s = time.monotonic() + BEAT_S
        told = "; ".join(f"{name}: {kind}" for name, kind in self._trouble.items() if kind)
        try:
            with self.house.work(system()) as work:
                health.beat(work, "worker", trouble=told)
        except Exception as error:
            log.warning("heartbeat: %s", type(error).__name__)


def run_until_quiet(house: House, *, within_s: float = 120) -> None:
    """The same rounds in this process until the log is read, every arrival judged and no errand due: demo and tests."""
    deadline_s = time.monotonic() + within_s
    while time.monotonic() < deadline_s:
        while pacs.follow(house):
            pass
        judged = pacs.settle(house)
        run_errands(house)
        heard = _hear(house, lambda: True)
        with house.work(system()) as work:
            _, waiting = pacs.tally(work)
        if not judged and not waiting and not heard:
            return
        if not judged and not heard:
            time.sleep(0.05)
    raise Unfit(f"The worker's rounds did not come to rest within {within_s:.0f} s.")


@contextmanager
def only_one(home: Path) -> Iterator[None]:
    """Hold the practice's worker lock; Unfit when another worker of this SORG_HOME runs."""
    with os.fdopen(os.open(home / "worker.lock", os.O_RDWR | os.O_CREAT, 0o600), "r+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Unfit("A worker of this practice is running already.") from None
        yield


def serve(chosen: Settings) -> None:
    """Open the practice and work until SIGTERM or Ctrl-C."""
    house = opening.open_house(chosen)
    worker = Worker(house, poll_s=chosen.poll_seconds)

    def stop(*_: object) -> None:
        worker.stopping.set()
        # A call that hangs must not hold up the stop: whatever is half done is done again by the next worker.
        hurry = threading.Timer(STOPS_WITHIN_S, os._exit, [0])
        hurry.daemon = True
        hurry.start()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    with only_one(chosen.home):
        if not chosen.database_url:
            # This lock and this file belong together: what is still leased was leased by a worker that fell.
            with house.work(system()) as work:
                errands.regain(work)
        worker.run()
    house.engine.dispose()


def main() -> int:
    """0 after a clean stop, 1 with a sentence when the practice cannot be opened."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(name)s %(message)s")
    try:
        serve(settings.read())
    except SorgError as error:
        print(error.sentence, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
