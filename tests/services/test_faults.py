"""Killed, cut off, filled up, locked out: nothing is lost and nothing happens twice."""

from __future__ import annotations

import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import psycopg
import pytest
from sqlalchemy import func, select

from core import errands, health, pacs, privacy, reporting, workflow
from core.errors import Away, SorgError, Unfit
from core.rules.dicom_identity import ENCAPSULATED_PDF
from core.rules.report_dicom import report_uid
from core.rules.roles import Permission
from core.rules.steps import Status
from core.store.model import Document, StudyEvent
from ops import demo_images, opening, worker
from ops.orthanc_child import OrthancChild
from ops.settings import Settings, read
from tests.fixtures.house import Clock, TestHouse, open_test_house
from tests.fixtures.scanner import Radiology, beside

TEXT = "FINDINGS\nThere is no fracture.\n\nCONCLUSION\nNormal study."
PASSWORD = "a password made for this test"


@dataclass
class LateClock:
    """The real clock, a little behind, so that every signature can have a code of its own without running ahead."""

    behind: timedelta = field(default_factory=lambda: timedelta(minutes=20))

    def __call__(self) -> datetime:
        return datetime.now(UTC) - self.behind

    @property
    def at(self) -> datetime:
        return self()

    def pass_(self, **span: float) -> None:
        self.behind -= timedelta(**span)


def wait_for(what: Callable[[], object], *, within_s: float = 90, why: str = "waited in vain") -> None:
    deadline_s = time.monotonic() + within_s
    while not what():
        assert time.monotonic() < deadline_s, why
        time.sleep(0.05)


def sign(test: TestHouse, study: UUID) -> UUID:
    test.do("radiologist", reporting.begin, study)
    draft = test.do("radiologist", reporting.skip_transcription, study, text=TEXT, based_on=None)
    read_ = test.do("radiologist", reporting.save, study, text=TEXT, based_on=draft)
    return test.do(
        "radiologist", reporting.sign, study, text=TEXT, based_on=read_, code=test.code("radiologist")
    )


def steps_of(test: TestHouse, study: UUID) -> list[str]:
    with test.does("system") as work, work.look(Permission.IMAGES_RECEIVE):
        query = select(StudyEvent.step).where(StudyEvent.study_id == study).order_by(StudyEvent.id)
        return list(work.db.scalars(query))


def check_nothing_lost_or_doubled(there: Radiology, versions: dict[UUID, UUID], images: int) -> None:
    """Each study scanned once with all its images, each report attached once, every entry on record in order."""
    for study, version in versions.items():
        card = there.card(study)
        assert (Status.SIGNED, images, 1) == (
            card.row.status,
            card.row.image_count,
            steps_of(there.test, study).count("receive"),
        )
        headers = there.orthanc.instances_of(card.orthanc_id)
        assert [report_uid(version)] == [h.sop_uid for h in headers if h.sop_class == ENCAPSULATED_PDF]
        assert report_uid(version) == card.attached_instance
        assert there.do("radiologist", pacs.report_pdf, study).startswith(b"%PDF")
        assert there.do("radiologist", reporting.read_signed, study).images_unchanged
        moves = ["book", "arrive", "receive", "begin", "skip", "sign"]
        assert moves == steps_of(there.test, study)
    with there.test.does("system") as work, work.look(Permission.REPORT_ATTACH):
        sealed = work.db.scalar(select(func.count()).select_from(Document).where(Document.kind == "report"))
    assert len(versions) == sealed
    assert [] == there.held()
    assert None is there.do("admin", privacy.verify_chain).broken_at


# Killed ---------------------------------------------------------------------------------------------------------


class WorkerProcess:
    """`python -m ops.worker` as it runs in a practice."""

    def __init__(self, home: Path, **settings: str) -> None:
        self.home, self.settings = home, settings

    def start(self) -> subprocess.Popen:
        with (self.home / "worker.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "ops.worker"],
                stdout=log,
                stderr=log,
                env={**os.environ, "SORG_HOME": str(self.home), **self.settings},
            )


def sending(child: OrthancChild, batches: list[list], *, pause_s: float) -> threading.Thread:
    """A scanner that goes on until each image was taken; what it is not sure of, it sends again."""

    def send() -> None:
        for instances in batches:
            while True:
                try:
                    sent = demo_images.send(
                        instances, host="127.0.0.1", port=child.dicom_port, aet="SORG", timeout_s=5
                    )
                    if all(s.ok for s in sent):
                        break
                except Away:
                    pass
                time.sleep(0.2)
            time.sleep(pause_s)

    thread = threading.Thread(target=send, daemon=True)
    thread.start()
    return thread


def test_a_worker_killed_ten_times_and_an_orthanc_killed_twice_lose_nothing_and_double_nothing(tmp_path):
    home, studies, dice = tmp_path / "home", 5, random.Random(20261124)
    test = open_test_house(home, clock=LateClock(), quiet_seconds=1)  # type: ignore[arg-type]
    (home / "password").write_text(PASSWORD)
    with OrthancChild(tmp_path / "orthanc", password=PASSWORD) as child:
        there = beside(test, child)
        orders = [there.booked(family_name=f"Person{i}", membership_number=str(i)) for i in range(studies)]
        batches = [there.images(s, slices=2, salt=part) for part in ("a", "b") for s in orders]
        scanner = sending(child, batches, pause_s=0.8)
        process = WorkerProcess(
            home,
            SORG_ORTHANC_URL=child.url,
            SORG_ORTHANC_PASSWORD_FILE=str(home / "password"),
            SORG_QUIET_SECONDS="1",
            SORG_POLL_SECONDS="0.05",
        )
        versions: dict[UUID, UUID] = {}

        def report_what_is_in() -> None:
            for order in orders:
                card = there.card(order)
                if order not in versions and card.row.status == Status.SCANNED and card.row.image_count == 4:
                    versions[order] = sign(test, order)

        for kill in range(10):
            running = process.start()
            alive_again(test, running)
            time.sleep(dice.uniform(0, 0.8))
            if kill in (3, 7):
                child.kill()
            running.kill()
            running.wait()
            if kill in (3, 7):
                child.start()
            report_what_is_in()
        scanner.join(timeout=120)
        assert not scanner.is_alive()
        last = process.start()
        try:
            wait_for(
                lambda: report_what_is_in() or len(versions) == studies, why="not every study was scanned"
            )
            wait_for(lambda: () == test.do("admin", errands.open_errands), why="a report was not attached")
            wait_for(lambda: test.do("system", pacs.tally)[1] == 0, why="an arrival was not judged")
            alive_again(test, last)
            last.terminate()
            assert 0 == last.wait(timeout=20)
        finally:
            last.kill()
            last.wait()
        check_nothing_lost_or_doubled(there, versions, images=4)
        assert 0 == pacs.reconcile(test.house)
    test.house.engine.dispose()


def alive_again(test: TestHouse, running: subprocess.Popen) -> None:
    """Wait for a sign of life that is newer than this call."""
    since = datetime.now(UTC)
    wait_for(lambda: beaten(test) > since or running.poll() is not None)
    assert running.poll() is None, (test.folder / "worker.log").read_text()


def beaten(test: TestHouse) -> datetime:
    beats = [b.at for b in test.do("admin", health.beats) if b.name == "worker"]
    return beats[0] if beats else datetime(2000, 1, 1, tzinfo=UTC)


def test_a_database_that_drops_every_connection_again_and_again_loses_nothing(
    tmp_path, postgres, clean_orthanc
):
    test = open_test_house(tmp_path / "home", url=postgres, quiet_seconds=0)
    there = beside(test, clean_orthanc)
    there.follow()
    orders = [there.booked(family_name=f"Person{i}", membership_number=str(i)) for i in range(4)]
    for order in orders:
        there.scan(order, slices=2)
    stop, drops = threading.Event(), []

    def drop() -> None:
        dice = random.Random(7)
        url = postgres.replace("+psycopg", "")
        with psycopg.connect(url.rsplit("/", 1)[0] + "/postgres", autocommit=True) as own:
            while not stop.wait(dice.uniform(0.005, 0.08)):
                hit = own.execute(
                    "select pg_terminate_backend(pid) from pg_stat_activity where datname = %s",
                    [url.rsplit("/", 1)[1]],
                )
                drops.append(hit.rowcount)

    def turns(number: int) -> None:
        going = worker.Worker(test.house, poll_s=0.0)
        dropper = threading.Thread(target=drop)
        stop.clear()
        dropper.start()
        try:
            for _ in range(number):
                going.turn()
                test.clock.pass_(seconds=1)
                time.sleep(0.01)
        finally:
            stop.set()
            dropper.join()

    def rest() -> None:
        # A lease that nobody gave back runs out by itself.
        test.clock.pass_(minutes=6)
        worker.run_until_quiet(test.house)

    turns(25)
    rest()
    versions = {order: sign(test, order) for order in orders}
    turns(25)
    for _ in range(3):
        rest()
    assert sum(drops) > 5
    check_nothing_lost_or_doubled(there, versions, images=2)
    test.house.engine.dispose()


def test_the_worker_stops_at_once_even_when_orthanc_hangs(tmp_path):
    home = tmp_path / "home"
    test = open_test_house(home)
    (home / "password").write_text(PASSWORD)
    with OrthancChild(tmp_path / "orthanc", password=PASSWORD) as child:
        process = WorkerProcess(
            home, SORG_ORTHANC_URL=child.url, SORG_ORTHANC_PASSWORD_FILE=str(home / "password")
        )
        running = process.start()
        try:
            wait_for(lambda: beaten(test) > datetime(2001, 1, 1, tzinfo=UTC))
            second = process.start()
            assert 1 == second.wait(timeout=60)
            assert "running already" in (home / "worker.log").read_text()
            os.kill(child.pid, signal.SIGSTOP)
            time.sleep(1.5)
            running.terminate()
            assert 0 == running.wait(timeout=20)
        finally:
            running.kill()
            running.wait()
            os.kill(child.pid, signal.SIGCONT)
    test.house.engine.dispose()


# Cut off --------------------------------------------------------------------------------------------------------


def test_while_orthanc_is_down_the_list_of_images_is_there_and_an_image_says_so_kindly(tmp_path):
    test = open_test_house(tmp_path / "home")
    with OrthancChild(tmp_path / "orthanc", password=PASSWORD) as child:
        there = beside(test, child)
        study = there.booked()
        there.scan(study)
        there.settle()
    images = there.do("radiologist", pacs.open_images, study)
    source = there.do("radiologist", pacs.image_source, study, images.series[0].instances[0].id)
    with pytest.raises(Away, match="does not answer. It will be tried again"):
        there.orthanc.instance_file(source.orthanc_id)
    test.house.engine.dispose()


def test_an_orthanc_made_anew_from_the_same_scanner_is_understood(tmp_path):
    test = open_test_house(tmp_path / "home")
    with OrthancChild(tmp_path / "first", password=PASSWORD) as child:
        there = beside(test, child)
        study = there.booked()
        instances = there.scan(study)
        there.settle()
    with OrthancChild(tmp_path / "second", password=PASSWORD) as child:
        there = beside(test, child)
        there.settle()
        assert 1 == pacs.reconcile(test.house)
        there.settle()
        assert ["gone"] == [a.state for a in there.held()]
        there.put(instances)
        there.settle()
        assert ([], 3) == (there.held(), there.card(study).row.image_count)
        assert 1 == steps_of(test, study).count("receive")
    test.house.engine.dispose()


# Filled up ------------------------------------------------------------------------------------------------------


@contextmanager
def no_file_larger_than(size: int) -> Iterator[None]:
    """The kernel itself refuses to write further, as it does on a full disk; Python ignores SIGXFSZ and sees the error."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_disk_that_refuses_a_sealed_file_changes_nothing_and_says_so(radiology):
    house, actor = radiology.test.house, radiology.test.actors["radiographer"]
    entries = len(radiology.do("admin", privacy.entries, size=1000))
    with no_file_larger_than(4_000_000), pytest.raises(Unfit, match="refused to store a file"):
        pacs.store_file(house, actor, b"no DICOM at all" * 600_000, name="huge")
    assert ([], entries) == (radiology.held(), len(radiology.do("admin", privacy.entries, size=1000)))
    assert [] == [p for p in house.blobs.folder.rglob("*") if p.is_file()]
    pacs.store_file(house, actor, b"no DICOM at all" * 600_000, name="huge")
    assert 1 == len(radiology.held())


def test_a_disk_that_refuses_the_database_changes_nothing_and_says_so(radiology):
    study = radiology.booked(arrived=False)
    before = radiology.card(study).row
    database = radiology.test.folder / "sorg.db"
    with no_file_larger_than(1024), pytest.raises(SorgError, match="disk is full or failing"):
        radiology.do("reception", workflow.arrive, study)
    assert before == radiology.card(study).row
    radiology.do("reception", workflow.arrive, study)
    assert Status.WAITING == radiology.card(study).row.status
    assert database.exists() and None is radiology.do("admin", privacy.verify_chain).broken_at


# Locked out -----------------------------------------------------------------------------------------------------


def settings_of(home: Path) -> Settings:
    return read(home=home, orthanc_url="http://127.0.0.1:9")


def state_of(home: Path) -> dict[str, bytes]:
    return {str(p.relative_to(home)): p.read_bytes() for p in sorted(home.rglob("*")) if p.is_file()}


@pytest.mark.parametrize("wrong", ["the database's key", "the wrapping key", "no keys at all"])
def test_with_a_wrong_key_nothing_opens_and_nothing_is_written(tmp_path, wrong):
    mine, other = tmp_path / "mine", tmp_path / "other"
    for home in (
        mine,
        other,
    ):  # a clock of its own: no copy of the one practice, whose keys would be the same
        open_test_house(home, clock=Clock()).house.engine.dispose()
    if wrong == "the database's key":
        shutil.rmtree(mine / "keys")
        shutil.copytree(other / "keys", mine / "keys")
    elif wrong == "the wrapping key":
        shutil.copy(other / "keys" / "wrapping.key", mine / "keys" / "wrapping.key")
    else:
        shutil.rmtree(mine / "keys")
    before = state_of(mine)
    with pytest.raises(Unfit):
        opening.open_house(settings_of(mine))
    told = subprocess.run(
        [sys.executable, "-m", "ops.worker"],
        capture_output=True,
        text=True,
        env={**os.environ, "SORG_HOME": str(mine), "SORG_ORTHANC_URL": "http://127.0.0.1:9"},
    )
    assert (1, True) == (told.returncode, told.stderr.strip().splitlines()[-1].endswith("."))
    assert "Traceback" not in told.stderr
    assert before == state_of(mine)
