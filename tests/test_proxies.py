"""A proxy in front: whose word about the browser's address counts, and what is said when there is none."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from console.headers import SecurityHeaders, headers_for
from core.errors import Unfit
from ops import opening, supervisor
from ops.orthanc_child import free_port
from ops.settings import Settings, proxies, read, unencrypted

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "docs" / "https.md", *sorted((ROOT / "deploy" / "proxy").iterdir())]
PROXY, STRANGER = "127.0.0.2", "127.0.0.1"
NAME = "images.practice.example"
EACH_S = 6


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """`python -m gateway` as it runs behind a proxy on another machine: the port it listens on."""
    home, port = tmp_path_factory.mktemp("proxied") / "home", free_port()
    chosen = Settings(home=home)
    opening.found(chosen)
    opening.open_house(chosen, upgrade=True).engine.dispose()
    env = os.environ | {
        "SORG_HOME": str(home),
        "SORG_GATEWAY_PORT": str(port),
        "SORG_HTTPS": "true",
        "SORG_GATEWAY_URL": f"https://{NAME}",
        "SORG_PROXIES": PROXY,
    }
    process = subprocess.Popen([sys.executable, "-m", "gateway"], env=env, cwd=home.parent)
    try:
        for _ in range(300):
            assert process.poll() is None, "The gateway ended at once."
            try:
                ask(port, "/health", host=f"127.0.0.1:{port}")
                break
            except httpx.ConnectError:
                time.sleep(0.1)
        yield port
    finally:
        process.kill()
        process.wait()


def ask(
    port: int, path: str, *, host: str = NAME, by: str = STRANGER, told: str = "", **how
) -> httpx.Response:
    """One request from an address of this machine, with or without a word about where it came from."""
    said = {"host": host} | ({"x-forwarded-for": told, "x-forwarded-proto": "https"} if told else {})
    with httpx.Client(transport=httpx.HTTPTransport(local_address=by), timeout=120) as client:
        return client.request("POST" if how else "GET", f"http://127.0.0.1:{port}{path}", headers=said, **how)


def is_refused(port: int, *, by: str, told: str) -> bool:
    return 429 == ask(port, "/s/nothing", by=by, told=told, data={"day": "1"}).status_code


def ten_are_taken(port: int, *, by: str, told: Iterator[str]) -> bool:
    """Until one is refused. The gateway's clock is the machine's: each six seconds give a try back."""
    begun_s, taken = time.monotonic(), 0
    while taken < 100 and not is_refused(port, by=by, told=next(told)):
        taken += 1
    return 10 <= taken <= 10 + (time.monotonic() - begun_s) // EACH_S


def test_the_gateway_counts_tries_by_the_last_hop_that_a_known_proxy_names(gateway: int) -> None:
    assert ten_are_taken(gateway, by=PROXY, told=(f"10.9.0.{n}, 192.0.2.1" for n in range(101)))
    assert not is_refused(gateway, by=PROXY, told="192.0.2.2")


def test_the_gateway_believes_nobody_else(gateway: int) -> None:
    assert ten_are_taken(gateway, by=STRANGER, told=(f"192.0.2.{n}" for n in range(100, 201)))


def test_behind_a_proxy_the_gateway_answers_to_its_name_and_to_the_supervisor_on_its_own_port(
    gateway: int,
) -> None:
    found = [
        ask(gateway, "/health", host=h) for h in (NAME, f"127.0.0.1:{gateway}", "console.practice.example")
    ]
    assert [200, 200, 421] == [answer.status_code for answer in found]
    assert {"max-age=31536000"} == {answer.headers["strict-transport-security"] for answer in found}


def test_the_supervisor_asks_a_part_that_listens_everywhere_at_this_machines_own_address() -> None:
    found = supervisor.parts(Settings(console_host="0.0.0.0", gateway_host="::1"))
    assert ["", "http://127.0.0.1:8501/health", "http://[::1]:8600/health"] == [p.health_url for p in found]


def test_only_this_machine_is_a_known_proxy_unless_the_settings_say_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert ["127.0.0.1"] == proxies(read())
    monkeypatch.setenv("SORG_PROXIES", "10.1.0.5, fd00::/8 ,")
    assert ["10.1.0.5", "fd00::/8"] == proxies(read())


@pytest.mark.parametrize("said", ["*", "proxy.practice.local", "10.1.0.300", "10.1.0.5/24"])
def test_a_proxy_is_an_address_and_never_everybody(monkeypatch: pytest.MonkeyPatch, said: str) -> None:
    monkeypatch.setenv("SORG_PROXIES", f"127.0.0.1, {said}")
    with pytest.raises(Unfit, match=f"SORG_PROXIES: “{re.escape(said)}” is neither an address"):
        read()


def test_each_door_that_others_reach_without_https_is_named() -> None:
    def doors(**how) -> list[str]:
        return [sentence.split(" listens on ")[0] for sentence in unencrypted(Settings(**how))]

    assert [] == doors() == doors(console_host="::1", gateway_host="localhost")
    assert [] == doors(console_host="0.0.0.0", gateway_host="0.0.0.0", https=True)
    assert ["The console"] == doors(console_host="10.1.0.2")
    assert ["The console", "The patients' gateway"] == doors(console_host="0.0.0.0", gateway_host="pacs")


def test_the_console_keeps_browsers_with_https_and_its_own_websocket() -> None:
    assert "strict-transport-security" in SecurityHeaders(None, https=True).always  # type: ignore[arg-type]
    assert {} == SecurityHeaders(None).always  # type: ignore[arg-type]
    assert "connect-src 'self';" in headers_for("/board")["content-security-policy"]


def test_every_setting_and_port_that_the_proxy_pages_name_is_ours() -> None:
    text = "\n".join(page.read_text() for page in PAGES)
    ours = {f"SORG_{name.upper()}" for name in Settings.model_fields} | {"SORG_SETTINGS"}
    assert set() == set(re.findall(r"SORG_[A-Z_]+", text)) - ours
    assert {"SORG_HTTPS", "SORG_CONSOLE_NAMES", "SORG_GATEWAY_URL", "SORG_PROXIES"} <= set(
        re.findall(r"SORG_[A-Z_]+", text)
    )
    for name in ("Caddyfile", "nginx.conf"):
        ports = re.findall(r"127\.0\.0\.1:(\d+)", (ROOT / "deploy" / "proxy" / name).read_text())
        assert [Settings().console_port, Settings().gateway_port] == [int(port) for port in ports]
