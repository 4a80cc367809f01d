"""The first image on the patient's link beside Orthanc's own web viewer: same images, same run, a new browser each time."""

from __future__ import annotations

import base64
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from core.errors import Unfit
from ops.bench.rows import AT_MOST, Bar, Measured, median
from ops.bench.throwaway import VISIT, SharedSet, Throwaway, memory_mb, open_throwaway
from ops.demo import CHROMIUM, PHONE
from ops.orthanc_child import find_plugin

DESK = {"viewport": {"width": 1440, "height": 900}}
WEB_VIEWER = "libOrthancWebViewer.so"
SLICES, SIDE = 120, 512
BARS = (
    Bar("first image, desk", "cold browser opens the link's viewer, until a CT of 120 × 512² is on the canvas", "ms",
        "Orthanc's web viewer", AT_MOST, 0.8, of_ratio=True),
    Bar("first image, phone", "the same in a phone's window", "ms", "Orthanc's web viewer", AT_MOST, 0.8, of_ratio=True),
)  # fmt: skip
# Looks at every canvas each 10 ms, shrunk so that looking costs little, until one is not black any more.
WATCH = """(() => {
  const small = document.createElement('canvas'); small.width = small.height = 32;
  const pen = small.getContext('2d', { willReadFrequently: true });
  const look = () => {
    for (const seen of document.querySelectorAll('canvas')) {
      if (!seen.width || !seen.height) continue;
      pen.clearRect(0, 0, 32, 32); pen.drawImage(seen, 0, 0, 32, 32);
      const dots = pen.getImageData(0, 0, 32, 32).data; let bright = 0;
      for (let i = 0; i < dots.length; i += 4) if (dots[i] > 40 || dots[i + 1] > 40 || dots[i + 2] > 40) bright++;
      if (bright > 20) { window.benchPaintedMs = performance.now(); return; }
    }
    setTimeout(look, 10);
  };
  look();
})()"""


@dataclass(frozen=True)
class Visit:
    """A page to open: where, and what lets the browser in."""

    url: str
    headers: dict[str, str]
    cookies: list[dict[str, Any]]


def measure() -> Iterator[Measured]:
    """Ours and theirs in turn, so that both meet the same weather. One visit of each goes before and is not counted."""
    from playwright.sync_api import sync_playwright

    if find_plugin(WEB_VIEWER) is None:
        raise Unfit("Orthanc's web viewer is not on this machine: apt-get install orthanc-webviewer")
    with open_throwaway(plugins=[WEB_VIEWER]) as there:
        with there.process("gateway", health_url=f"{there.gateway_url}/health") as gateway:
            visits = _visits(there, there.signed(0, slices=SLICES, size=SIDE))
            with sync_playwright() as playwright:
                for key, device, n in (("first image, desk", DESK, 5), ("first image, phone", PHONE, 3)):
                    times: tuple[list[float], list[float]] = ([], [])
                    for run in range(n + 1):
                        for at, visit in enumerate(visits):
                            painted_ms = _painted_ms(playwright, visit, device)
                            if run:
                                times[at].append(painted_ms)
                    yield Measured(
                        key,
                        median(times[0]),
                        median(times[1]),
                        n,
                        f"from {min(times[0]):.0f} to {max(times[0]):.0f} ms; gateway {memory_mb(gateway):.0f} MB",
                    )


def _visits(there: Throwaway, shared: SharedSet) -> tuple[Visit, Visit]:
    cookie = {"name": VISIT, "value": shared.session, "url": f"{there.gateway_url}/share"}
    said = base64.b64encode(":".join(there.pacs.auth).encode()).decode()
    theirs = f"{there.pacs.url}/web-viewer/app/viewer.html?series={shared.orthanc_series}"
    return (
        Visit(f"{there.gateway_url}/view/", {}, [cookie]),
        Visit(theirs, {"Authorization": f"Basic {said}"}, []),
    )


def _painted_ms(playwright: Any, visit: Visit, device: dict[str, Any], *, keep: str = "") -> float:
    """Milliseconds from the navigation until a canvas is not black, in a browser profile that never was used."""
    with tempfile.TemporaryDirectory(prefix="sorg-bench-") as profile:
        context = playwright.chromium.launch_persistent_context(
            profile, executable_path="/usr/bin/chromium", headless=True, args=list(CHROMIUM), **device
        )
        try:
            context.add_init_script(WATCH)
            context.add_cookies(visit.cookies)
            context.set_extra_http_headers(visit.headers)
            page = context.pages[0]
            page.goto(visit.url, wait_until="commit")
            deadline_s = time.monotonic() + 60
            while (found := page.evaluate("window.benchPaintedMs ?? null")) is None:
                if time.monotonic() > deadline_s:
                    raise Unfit(f"No picture within a minute at {visit.url.split('?')[0]}.")
                page.wait_for_timeout(50)
            if keep:
                page.screenshot(path=keep)
            return float(found)
        finally:
            context.close()
