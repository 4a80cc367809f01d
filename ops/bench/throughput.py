"""Images through the gateway beside the same images straight from Orthanc, asked by wrk (a client in C)."""

from __future__ import annotations

import base64
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from core.errors import Unfit
from ops.bench.rows import AT_LEAST, Bar, Measured, is_full_run, median
from ops.bench.throwaway import VISIT, SharedSet, Throwaway, memory_mb, open_throwaway

SIZES = {"39 KB": (60, None), "530 KB": (60, 512)}
CLIENTS = (1, 16)
_HELD = "gateway 530 KB, 16 clients"  # the one that the bar is about


def _key(size: str, clients: int) -> str:
    return f"gateway {size}, {clients} client{'s' * (clients > 1)}"


BARS = tuple(
    Bar(key, "images of a link, no two in a row the same", "/s", "the same images from Orthanc itself",
        AT_LEAST if key == _HELD else "", 0.8 if key == _HELD else 0, of_ratio=True)
    for key in (_key(size, clients) for size in SIZES for clients in CLIENTS)
)  # fmt: skip
# wrk asks for the addresses of a file one after the other, and says at the end what came of it.
SCRIPT = """
local asked, at = {}, 0
init = function(args)
  for path in io.lines(args[1]) do asked[#asked + 1] = wrk.format("GET", path) end
end
request = function() at = at % #asked + 1; return asked[at] end
done = function(summary, latency, requests)
  local e = summary.errors
  io.write(string.format("BENCH %d %d %f %f %d\\n", summary.requests, summary.duration, latency:percentile(50) / 1000,
    latency:percentile(95) / 1000, e.status + e.connect + e.read + e.write + e.timeout))
end
"""


@dataclass(frozen=True)
class Load:
    """What wrk found: requests a second, and how long one took."""

    per_s: float
    p50_ms: float
    p95_ms: float
    requests: int


def measure() -> Iterator[Measured]:
    """Both in turns of a few seconds. wrk takes a part of the same processors, the smaller the fewer requests there are."""
    if shutil.which("wrk") is None:
        raise Unfit("wrk is not on this machine: apt-get install wrk")
    rounds, seconds = (6, 8) if is_full_run() else (2, 3)
    with open_throwaway() as there:
        with there.process("gateway", health_url=f"{there.gateway_url}/health") as gateway:
            script = there.settings.home / "bench.lua"
            script.write_text(SCRIPT)
            for number, (size, (slices, side)) in enumerate(SIZES.items()):
                shared = there.signed(number, slices=slices, size=side)
                for clients in CLIENTS:
                    ours, direct = [], []
                    for _ in range(rounds):
                        direct.append(_direct(there, shared, script, clients, seconds))
                        ours.append(_through(there, shared, script, clients, seconds))
                    yield Measured(
                        _key(size, clients),
                        median(x.per_s for x in ours),
                        median(x.per_s for x in direct),
                        sum(x.requests for x in ours),
                        f"p50/p95 {_times(ours)} ms, Orthanc {_times(direct)} ms; gateway {memory_mb(gateway):.0f} MB",
                    )


def _times(loads: list[Load]) -> str:
    return f"{median(x.p50_ms for x in loads):.1f}/{median(x.p95_ms for x in loads):.1f}"


def _through(there: Throwaway, shared: SharedSet, script: Path, clients: int, seconds: int) -> Load:
    paths = [f"/share/instances/{i}/file" for i in shared.ids]
    return _wrk(there.gateway_url, paths, f"Cookie: {VISIT}={shared.session}", script, clients, seconds)


def _direct(there: Throwaway, shared: SharedSet, script: Path, clients: int, seconds: int) -> Load:
    paths = [f"/instances/{i}/file" for i in shared.orthanc_ids]
    said = base64.b64encode(":".join(there.pacs.auth).encode()).decode()
    return _wrk(there.pacs.url, paths, f"Authorization: Basic {said}", script, clients, seconds)


def _wrk(url: str, paths: list[str], header: str, script: Path, clients: int, seconds: int) -> Load:
    asked = script.with_suffix(".paths")
    asked.write_text("\n".join(paths) + "\n")
    done = subprocess.run(
        ["wrk", "-t1", f"-c{clients}", f"-d{seconds}s", "--timeout", "20s", "-H", header, "-s", script, url, "--", asked],
        capture_output=True, text=True, timeout=seconds + 60,
    )  # fmt: skip
    line = next((x for x in done.stdout.splitlines() if x.startswith("BENCH ")), "")
    if not line:
        raise Unfit(f"wrk said nothing of use: {done.stderr.strip()[:200]}")
    requests, micros, p50_ms, p95_ms, errors = line.split()[1:]
    if int(errors) or not int(requests):
        raise Unfit(f"{errors} of {requests} requests failed at {url}.")
    return Load(int(requests) / int(micros) * 1e6, float(p50_ms), float(p95_ms), int(requests))
