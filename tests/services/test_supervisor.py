"""The whole practice as one command: every part answers, a fallen one is started again, and all of them stop together."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
import requests

from ops.orthanc_child import free_port

PRACTICE = """
from ops import opening, settings, supervisor
chosen = settings.read()
opening.found(chosen)
opening.open_house(chosen, upgrade=True).engine.dispose()
supervisor.run_practice(chosen, when_ready=lambda: print("ready", flush=True), say=lambda t: print(t, flush=True))
"""


class Practice:
    """One run of the practice in a home of its own."""

    def __init__(self, home: Path, **settings: str) -> None:
        self.home = home
        self.ports = {name: free_port() for name in ("ORTHANC_HTTP", "ORTHANC_DICOM", "CONSOLE", "GATEWAY")}
        ports = {f"SORG_{name}_PORT": str(port) for name, port in self.ports.items()}
        self.environment = {**os.environ, "SORG_HOME": str(home), **ports, **settings}

    def start(self) -> subprocess.Popen:
        return subprocess.Popen(
            [sys.executable, "-c", PRACTICE],
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    @contextmanager
    def open(self) -> Iterator[subprocess.Popen]:
        running = self.start()
        try:
            assert "ready\n" == running.stdout.readline()
            yield running
        finally:
            running.kill()
            running.wait()
            running.stdout.close()

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.ports[name]}"


def children(running: subprocess.Popen) -> dict[str, psutil.Process]:
    found = {}
    for child in psutil.Process(running.pid).children(recursive=True):
        try:
            line = " ".join(child.cmdline())
        except psutil.NoSuchProcess:  # Gone meanwhile.
            continue
        found[next((n for n in ("ops.worker", "console", "gateway", "Orthanc") if n in line), line)] = child
    return found


def wait_for(what, within_s: float = 60) -> None:
    deadline_s = time.monotonic() + within_s
    while not what():
        assert time.monotonic() < deadline_s, "waited in vain"
        time.sleep(0.1)


@pytest.fixture
def practice(tmp_path: Path) -> Practice:
    return Practice(tmp_path / "home")


@pytest.mark.needs("orthanc")
def test_everything_answers_a_fallen_part_comes_back_and_one_signal_stops_all(practice):
    with practice.open() as running:
        assert 200 == requests.get(practice.url("CONSOLE") + "/health", timeout=60).status_code
        assert 200 == requests.get(practice.url("GATEWAY") + "/health", timeout=60).status_code
        assert 401 == requests.get(practice.url("ORTHANC_HTTP") + "/system", timeout=60).status_code
        first = children(running)
        assert {"ops.worker", "console", "gateway", "Orthanc"} == set(first)
        first["ops.worker"].kill()
        first["Orthanc"].kill()
        told = {running.stdout.readline() for _ in range(2)}
        assert {
            "The worker had stopped and was started again.\n",
            "Orthanc had stopped and was started again.\n",
        } == told
        wait_for(lambda: {"ops.worker", "console", "gateway", "Orthanc"} == set(children(running)))
        now = children(running)
        assert now["console"].pid == first["console"].pid
        second = practice.start()
        assert (1, True) == (second.wait(timeout=60), "open already" in second.stdout.read())
        second.stdout.close()
        running.send_signal(signal.SIGINT)
        assert 0 == running.wait(timeout=60)
        _, left = psutil.wait_procs(list(now.values()), timeout=30)
        assert [] == left


@pytest.mark.needs("orthanc")
def test_a_practice_that_is_killed_leaves_nothing_running(practice):
    with practice.open() as running:
        parts = list(children(running).values())
        assert 4 == len(parts)
        running.kill()
        running.wait()
        _, left = psutil.wait_procs(parts, timeout=20)
        assert [] == left


def test_a_part_that_cannot_start_is_named_with_its_own_words(tmp_path):
    practice = Practice(
        tmp_path / "home", SORG_ORTHANC_URL="http://127.0.0.1:9", SORG_CONSOLE_HOST="192.0.2.1"
    )
    running = practice.start()
    told = running.stdout.read()
    running.stdout.close()
    assert (1, True) == (running.wait(timeout=60), "The console did not start" in told)


def test_a_port_that_another_program_holds_is_named_with_the_way_out(tmp_path):
    practice = Practice(tmp_path / "home", SORG_ORTHANC_URL="http://127.0.0.1:9")
    with socket.socket() as other:
        other.bind(("127.0.0.1", practice.ports["CONSOLE"]))
        other.listen()
        running = practice.start()
        told = running.stdout.read()
        running.stdout.close()
        assert 1 == running.wait(timeout=60)
    assert f"Port {practice.ports['CONSOLE']} is taken by another program" in told
    assert "SORG_CONSOLE_PORT" in told
