"""`sorg up` as a newcomer meets it, on each database: it prints where to sign in, and what it prints works."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from ops.orthanc_child import free_port

SORG = Path(sys.executable).parent / "sorg"


@pytest.fixture(params=["sqlcipher", "postgresql"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, str]:
    ports = {
        f"SORG_{n}_PORT": str(free_port()) for n in ("ORTHANC_HTTP", "ORTHANC_DICOM", "CONSOLE", "GATEWAY")
    }
    database = {}
    if request.param == "postgresql":
        url = request.getfixturevalue("postgres").replace("postgresql+psycopg://", "postgresql://")
        database = {"SORG_DATABASE_URL": url}
    return {**os.environ, "SORG_HOME": str(tmp_path / "home"), **ports, **database}


@contextmanager
def up(settings: dict[str, str]) -> Iterator[str]:
    """The practice while it runs; what it printed until it was open."""
    running = subprocess.Popen(
        [SORG, "up"], env=settings, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    told = []
    try:
        for line in running.stdout:
            told.append(line)
            if "Ctrl-C stops everything" in line:
                break
        yield "".join(told)
    finally:
        running.send_signal(signal.SIGINT)
        assert 0 == running.wait(timeout=60)
        running.stdout.close()


def credentials(told: str, role: str) -> tuple[str, str, str]:
    """(login, password, code) as they are printed for a role."""
    line = next(line for line in told.splitlines() if re.match(rf"\s+{role}\s", line))
    _, login, password, *code = line.split()
    return login, password, "".join(code)


def sign_in(address: str, login: str, password: str, code: str, *, at: str = "/login") -> httpx.Client:
    """The two forms, filled in as they were printed."""
    browser = httpx.Client(
        base_url=address, follow_redirects=True, headers={"accept": "text/html"}, timeout=120
    )
    for path, values in ((at, {"login": login, "password": password}), (f"{at}/code", {"code": code})):
        page = browser.get(path).text
        name, value = re.search(r'type="hidden" name="(\w+)" value="([^"]+)"', page).groups()
        browser.post(path, data={name: value, **values}).raise_for_status()
    return browser


def printed_again(settings: dict[str, str], told: str, begun_s: float) -> str:
    """What was printed; where its codes are growing old, what `sorg codes` prints now."""
    if time.monotonic() - begun_s < 15:
        return told
    again = subprocess.run([SORG, "codes"], env=settings, capture_output=True, text=True, check=True)
    return again.stdout


@pytest.mark.needs("orthanc")
def test_what_is_printed_lets_every_role_in_and_a_second_start_finds_everything_again(settings):
    with up(settings) as told:
        begun_s = time.monotonic()
        address = re.search(r"The practice is open: (\S+)", told)[1]
        roles = (
            "admin",
            "manager",
            "reception",
            "radiographer",
            "radiologist",
            "transcriptionist",
            "billing",
            "analyst",
        )
        for role in roles:
            browser = sign_in(address, *credentials(printed_again(settings, told, begun_s), role))
            assert "sorg-staff" in browser.cookies, role
            assert 200 == browser.get("/").status_code
            browser.close()
        address = re.search(r"sign in at (\S+)/account", told)[1]
        for role in ("patient", "referrer"):
            browser = sign_in(
                address, *credentials(printed_again(settings, told, begun_s), role), at="/account"
            )
            assert "Images and report" in browser.get("/account/studies").text, role
            browser.close()
    begun = time.monotonic()
    with up(settings) as told:
        assert credentials(told, "admin")[0] == "admin"
        waited = time.monotonic() - begun
    print(f"second start: {waited:.1f} s")
    verified = subprocess.run(
        [SORG, "audit", "verify"], env=settings, capture_output=True, text=True, timeout=60
    )
    assert verified.stdout.startswith("Whole: "), verified.stderr
