"""The whole practice as one command: Orthanc, worker, console and gateway as children, watched, and stopped together.

A part that falls is started again with growing pauses. When we are killed the kernel takes the children with us;
nothing of a practice runs on unseen.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import requests

from core import health
from core.errors import SorgError, Unfit
from core.store.work import House, system
from ops import opening
from ops.orthanc_child import OrthancChild
from ops.settings import Settings, modalities, unencrypted

BACKOFF_FIRST_S, BACKOFF_MOST_S, HEALTHY_AFTER_S = 0.5, 30.0, 30.0
READY_WITHIN_S, STOPS_WITHIN_S = 60.0, 10.0
PR_SET_PDEATHSIG = 1

_LIBC = ctypes.CDLL(None, use_errno=True)
# PR_SET_PDEATHSIG fires when the thread that forked ends; this one lives as long as the interpreter.
_LAUNCHER = ThreadPoolExecutor(max_workers=1, thread_name_prefix="launcher")


@dataclass(frozen=True)
class Part:
    """One process of the practice. health_url: answers 200 when it is ready; '' for the worker, which leaves a heartbeat."""

    name: str
    command: tuple[str, ...]
    health_url: str = ""


def parts(settings: Settings) -> tuple[Part, ...]:
    """Worker, console and gateway, each a Python of its own."""
    python = (sys.executable, "-m")
    return (
        Part("worker", (*python, "ops.worker")),
        Part("console", (*python, "console"), _health_of(settings.console_host, settings.console_port)),
        Part("gateway", (*python, "gateway"), _health_of(settings.gateway_host, settings.gateway_port)),
    )


def _health_of(host: str, port: int) -> str:
    """Where we ask it. Every address is no address to ask, and no name of ours: then it is this machine's own."""
    asked = "127.0.0.1" if host in ("0.0.0.0", "::") else f"[{host}]" if ":" in host else host
    return f"http://{asked}:{port}/health"


@dataclass
class Child:
    """One running part, and how long to wait before it is started again."""

    part: Part
    log: Path
    process: subprocess.Popen | None = None
    pause_s: float = BACKOFF_FIRST_S
    next_try_s: float = 0.0
    started_at_s: float = field(default=0.0)

    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def start(self) -> None:
        self.process = _LAUNCHER.submit(self._spawn).result()
        self.started_at_s = time.monotonic()

    def _spawn(self) -> subprocess.Popen:
        parent = os.getpid()

        def with_us() -> None:
            _LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != parent:  # We were gone before the line above.
                os._exit(1)

        log = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            return subprocess.Popen(
                self.part.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=with_us,
                start_new_session=True,  # Ctrl-C is for us; we then stop everything in our own order.
            )
        finally:
            os.close(log)

    def watch(self) -> bool:
        """Start it again when it fell; True when that was just done."""
        now_s = time.monotonic()
        if self.alive():
            if now_s - self.started_at_s > HEALTHY_AFTER_S:
                self.pause_s = BACKOFF_FIRST_S
            return False
        if now_s < self.next_try_s:
            return False
        self.next_try_s, self.pause_s = now_s + self.pause_s, min(self.pause_s * 2, BACKOFF_MOST_S)
        self.start()
        return True

    def last_words(self) -> str:
        lines = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        return lines[-1][:300] if lines else "it wrote nothing to its log."


class Supervisor:
    """Starts the parts in `settings` and keeps them running until `stopping` is set."""

    def __init__(
        self, settings: Settings, *, runs: Sequence[Part] | None = None, say: Callable[[str], object] = print
    ) -> None:
        self.settings, self.say = settings, say
        self.stopping = threading.Event()
        folder = settings.home / "logs"
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.children = [Child(p, folder / f"{p.name}.log") for p in (runs or parts(settings))]
        self.orthanc = None if settings.orthanc_url else orthanc_child(settings)

    def start(self, house: House) -> None:
        """Everything up and answering, or Unfit with the part's own last words."""
        begun_at = house.clock()
        for child in self.children:
            _require_free(child.part)
        if self.orthanc is not None:
            self.orthanc.start()
        for child in self.children:
            child.start()
        deadline_s = time.monotonic() + READY_WITHIN_S
        waiting = list(self.children)
        while waiting and not self.stopping.is_set():
            waiting = [c for c in waiting if not self._ready(c, house, begun_at)]
            if fallen := next((c for c in waiting if not c.alive()), None):
                raise Unfit(f"The {fallen.part.name} did not start: {fallen.last_words()}")
            if waiting and time.monotonic() > deadline_s:
                raise Unfit(f"The {waiting[0].part.name} did not answer: {waiting[0].last_words()}")
            if waiting:
                self.stopping.wait(0.05)

    def _ready(self, child: Child, house: House, begun_at) -> bool:
        if not child.part.health_url:
            with house.work(system("supervisor")) as work:
                return any(b.name == child.part.name and b.at >= begun_at for b in health.beats(work))
        try:
            with requests.Session() as http:
                http.trust_env = False
                return http.get(child.part.health_url, timeout=2).status_code == 200
        except requests.RequestException:
            return False

    def watch(self) -> None:
        """Keep everything running until `stopping` is set."""
        while not self.stopping.wait(0.5):
            for child in self.children:
                if child.watch():
                    self.say(f"The {child.part.name} had stopped and was started again.")
            if self.orthanc is not None:
                try:
                    if self.orthanc.watch_once() == "restarted":
                        self.say("Orthanc had stopped and was started again.")
                except SorgError as error:
                    self.say(error.sentence)

    def stop(self) -> None:
        """All parts at once, politely, then without asking; Orthanc last, since the others still speak to it."""
        for child in self.children:
            if child.alive() and child.process:
                child.process.terminate()
        deadline_s = time.monotonic() + STOPS_WITHIN_S
        for child in self.children:
            if child.process:
                try:
                    child.process.wait(timeout=max(deadline_s - time.monotonic(), 0.1))
                except subprocess.TimeoutExpired:
                    child.process.kill()
                    child.process.wait()
        if self.orthanc is not None:
            self.orthanc.stop()


def _require_free(part: Part) -> None:
    """Another program's answer on our port would look like our own: refuse to start beside it."""
    if not part.health_url:
        return
    address = urlsplit(part.health_url)
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address.hostname, address.port))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                return  # The part itself says what is wrong with its address.
            raise Unfit(
                f"Port {address.port} is taken by another program: stop it, or set SORG_{part.name.upper()}_PORT."
            ) from None


def orthanc_child(settings: Settings) -> OrthancChild:
    """Our own Orthanc as the settings describe it."""
    return OrthancChild(
        settings.home / "orthanc",
        http_port=settings.orthanc_http_port,
        dicom_port=settings.orthanc_dicom_port,
        user=settings.orthanc_user,
        password=opening.orthanc_password(settings),
        aet=settings.orthanc_aet,
        dicom_address=settings.dicom_address,
        modalities=modalities(settings),
    )


@contextmanager
def one_practice(home: Path) -> Iterator[None]:
    """Hold the lock of this SORG_HOME; Unfit when its practice runs already."""
    with os.fdopen(os.open(home / "practice.lock", os.O_RDWR | os.O_CREAT, 0o600), "r+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Unfit(f"The practice in {home} is open already.") from None
        yield


def run_practice(
    settings: Settings,
    *,
    when_ready: Callable[[], object] = lambda: None,
    say: Callable[[str], object] = print,
    runs: Sequence[Part] | None = None,
) -> None:
    """Open the practice in SORG_HOME and keep it open until Ctrl-C or SIGTERM. Unfit says why it cannot open."""
    with ExitStack() as stack:
        stack.enter_context(one_practice(settings.home))
        house = opening.open_house(settings)
        stack.callback(house.engine.dispose)
        supervisor = Supervisor(settings, runs=runs, say=say)
        before = {
            s: signal.signal(s, lambda *_: supervisor.stopping.set()) for s in (signal.SIGTERM, signal.SIGINT)
        }
        stack.callback(lambda: [signal.signal(s, was) for s, was in before.items()])
        stack.callback(supervisor.stop)
        for sentence in unencrypted(settings):
            print(sentence, file=sys.stderr)
        supervisor.start(house)
        if not supervisor.stopping.is_set():
            when_ready()
        supervisor.watch()
