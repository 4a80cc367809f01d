"""How fast images come in by DICOM: our Orthanc beside one with the package's default settings."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from uuid import uuid4

import requests

from core.errors import Unfit
from core.rules.dicom_identity import Identity
from ops import demo_images
from ops.bench.rows import AT_LEAST, Bar, Measured, median
from ops.bench.throwaway import memory_mb
from ops.orthanc_child import OrthancChild, build_guard, find_binary, free_port

STORESCU = "/usr/bin/storescu"
OURS_N, DEFAULT_N, RUNS = 500, 60, 3
BARS = (
    Bar("DICOM ingest 39 KB", "C-STORE over one association, 128² CT slices", "/s",
        "Orthanc and storescu with default settings", AT_LEAST, 300),
)  # fmt: skip


def measure() -> Iterator[Measured]:
    """Ours: OrthancChild and a sender with TCP_NODELAY=1. Reference: neither sets anything."""
    with tempfile.TemporaryDirectory(prefix="sorg-bench-") as folder:
        home = Path(folder)
        ours, default, memory = [], [], 0.0
        with (
            OrthancChild(home / "ours", password="bench-only", aet="BENCH") as child,
            default_orthanc(home / "default") as port,
        ):
            for run in range(RUNS):
                files = _write(home / f"big{run}", OURS_N, salt=f"ours-{run}")
                ours.append(OURS_N / _send(files, child.dicom_port, {"TCP_NODELAY": "1"}))
                if run == 0:
                    files = _write(home / "small", DEFAULT_N, salt="default")
                    default.append(DEFAULT_N / _send(files, port, {}))
            memory = memory_mb(child.pid)
    yield Measured(
        "DICOM ingest 39 KB",
        median(ours),
        median(default),
        RUNS * OURS_N,
        f"reference: {DEFAULT_N} images; our Orthanc {memory:.0f} MB",
    )


@contextmanager
def default_orthanc(home: Path) -> Iterator[int]:
    """Orthanc with every option at its default, on this machine only and on free ports; its DICOM port."""
    home.mkdir(mode=0o700)
    http_port, dicom_port = free_port(), free_port()
    settings = {
        "HttpPort": http_port,
        "DicomPort": dicom_port,
        "StorageDirectory": str(home / "storage"),
        "IndexDirectory": str(home / "index"),
    }
    (home / "orthanc.json").write_text(json.dumps(settings))
    guard = {"LD_PRELOAD": str(build_guard(home)), "SORG_PARENT_PID": str(os.getpid())}
    with (home / "orthanc.log").open("w") as log:
        process = subprocess.Popen(
            [find_binary(), home / "orthanc.json"],
            cwd=home,
            stdout=log,
            stderr=log,
            env={"PATH": os.environ.get("PATH", ""), **guard},
        )
    try:
        deadline_s = time.monotonic() + 30
        while True:
            try:
                requests.get(f"http://127.0.0.1:{http_port}/system", timeout=2).raise_for_status()
                break
            except requests.ConnectionError:
                if time.monotonic() > deadline_s or process.poll() is not None:
                    raise Unfit("The Orthanc with default settings did not start.") from None
                time.sleep(0.05)
        yield dicom_port
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _write(folder: Path, count: int, *, salt: str) -> Path:
    """CT slices of an invented patient as files."""
    folder.mkdir()
    who = Identity("BENCH1", "Bench^Image", date(1980, 1, 1), "O", "BENCH1", f"2.25.{uuid4().int}")
    images = demo_images.make("ct", who, taken_at=datetime.now(UTC), slices=count, salt=salt)
    for at, image in enumerate(images):
        (folder / f"{at:04d}.dcm").write_bytes(demo_images.as_file(image))
    return folder


def _send(folder: Path, port: int, environment: dict[str, str]) -> float:
    """Seconds that storescu took for all of them, its start included."""
    if not os.access(STORESCU, os.X_OK):
        raise Unfit("storescu is not on this machine: apt-get install dcmtk")
    clean = {k: v for k, v in os.environ.items() if k != "TCP_NODELAY"}
    begun_s = time.perf_counter()
    done = subprocess.run(
        [STORESCU, "-aec", "BENCH", "+sd", "127.0.0.1", str(port), folder],
        capture_output=True,
        text=True,
        env=clean | environment,
        timeout=300,
    )
    if done.returncode:
        raise Unfit(f"storescu failed: {done.stderr.strip()[:200]}")
    return time.perf_counter() - begun_s
