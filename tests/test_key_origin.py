"""Where a key's answer counts: at the address that the practice has named, port and all (WebAuthn level 2, §7.2 step 9).

Another program may serve the same name at another port. It can ask a browser for a true answer of the key, and pass it on
to us with its own port in the Host header; so no header says where we are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from starlette.testclient import TestClient

from console.door import hosts_of
from core import factors, patients
from core.rules.roles import Role
from doors import manners
from doors.manners import FORM_HEADER
from gateway.app import create
from gateway.images import OrthancImages
from ops.settings import console_origins, gateway_origins, read
from tests.fixtures.doors import CODE, FORM, doors_of
from tests.fixtures.guests import Guest, SoftKey, hire
from tests.fixtures.house import THANDO, TestHouse

TOKEN = "A" * 43  # of the double submit: the same in cookie and header
OWN_HOST = "door.practice.example"
OWN = f"https://{OWN_HOST}"


@dataclass
class AtDoor:
    """Somebody with a key, whose password was right, at one door of a practice that says where it is."""

    browser: TestClient
    guest: Guest
    key: SoftKey
    is_console: bool

    @property
    def key_at(self) -> str:
        return "/login/key" if self.is_console else "/account/code/key"

    @property
    def confirm_at(self) -> str:
        return "/stepup/key" if self.is_console else "/account/me/confirm/key"

    @property
    def keys_at(self) -> str:
        return "/account/keys" if self.is_console else "/account/me/keys"

    def sign_in(self) -> None:
        name, path, channel = (
            ("__Host-sorg-staff", "/", "console")
            if self.is_console
            else ("__Secure-sorg_account", "/account", "gateway")
        )
        # As the door sets it, so that the token that is made anew takes its place.
        self.browser.cookies.set(name, self.guest.enters(channel=channel), domain=OWN_HOST, path=path)

    def confirm(self) -> None:
        """A fresh proof, given at the right address."""
        asked = self.send(f"{self.confirm_at}/options", {"purpose": "factors"}, host=OWN_HOST)
        self.key.origin = OWN
        said = {"purpose": "factors", "answer": self.key.touched(asked.json())}
        assert 200 == self.send(self.confirm_at, said, host=OWN_HOST).status_code

    def send(self, path: str, said: dict[str, Any], *, host: str) -> Any:
        return self.browser.post(path, json=said, headers={FORM_HEADER: TOKEN, "host": host})

    def touches(self, *, host: str = OWN_HOST, origin: str = OWN) -> Any:
        """The answer to a key that was touched on a page of `origin`, sent on with this Host."""
        asked = self.send(f"{self.key_at}/options", {}, host=host)
        if asked.status_code != 200:
            return asked
        self.key.origin = origin
        return self.send(self.key_at, {"answer": self.key.touched(asked.json())}, host=host)


def at_door(
    name: str, test: TestHouse, monkeypatch: pytest.MonkeyPatch, origins: tuple[str, ...] = (OWN,)
) -> AtDoor:
    monkeypatch.setattr(manners, "FLOOR_S", 0.0001)
    if name == "console":
        guest = hire(test, Role.BILLING)
        hosts = hosts_of("127.0.0.1", "localhost", more=("door.practice.example:443",))
        app, half, form = doors_of(test, https=True, hosts=hosts, origins=origins), CODE, FORM
    else:
        patient = test.do("reception", patients.register, THANDO)
        guest = hire(test, Role.PATIENT, patient_id=patient)
        monkeypatch.setitem(test.house.rules, "gateway_url", OWN)
        app = create(test.house, OrthancImages("http://127.0.0.1:9", ("", "")), https=True, origins=origins)
        half, form = "__Secure-sorg_account_half", "__Secure-sorg_account_form"
    key = SoftKey(origin=OWN)
    guest._actor = guest.behind(guest.enters(channel=name), channel=name)
    options = guest.does(factors.begin_key, origin=OWN, code=guest.code())
    guest.does(factors.finish_key, answer=key.makes(options), name="A key", origin=OWN)
    browser = TestClient(app, base_url=OWN)
    browser.cookies.set(half, guest.says(channel=name))
    browser.cookies.set(form, TOKEN)
    return AtDoor(browser, guest, key, name == "console")


@pytest.fixture(params=["console", "gateway"])
def door(request: pytest.FixtureRequest, shared_house: TestHouse, monkeypatch: pytest.MonkeyPatch) -> AtDoor:
    return at_door(request.param, shared_house, monkeypatch)


ELSEWHERE = (
    "https://door.practice.example:9443", "https://door.practice.example:80", "http://door.practice.example",
    "https://other.practice.example", "https://practice.example", "https://door.practice.example.evil.example", "null",
)  # fmt: skip


def test_an_answer_given_at_another_port_or_a_sibling_opens_nothing_though_the_host_header_is_ours(door):
    for origin in ELSEWHERE:
        refused = door.touches(origin=origin)
        assert (401, True) == (refused.status_code, "not accepted" in refused.json()["sentence"]), origin
    assert 200 == door.touches().status_code


def test_an_answer_given_at_another_port_opens_nothing_though_the_host_header_names_that_port(door):
    for port in (9443, 80, 8501):
        elsewhere = f"door.practice.example:{port}"
        refused = door.touches(host=elsewhere, origin=f"https://{elsewhere}")
        assert refused.status_code in (401, 421), port
    assert 200 == door.touches().status_code


def test_neither_confirming_nor_making_a_key_believes_another_port(door):
    door.sign_in()
    for host in (OWN_HOST, "door.practice.example:9443"):
        for path, answer in ((door.confirm_at, SoftKey.touched), (door.keys_at, SoftKey.makes)):
            door.confirm()
            asked = door.send(f"{path}/options", {"purpose": "factors"}, host=OWN_HOST)
            door.key.origin = "https://door.practice.example:9443"
            said = {"purpose": "factors", "answer": answer(door.key, asked.json())}
            assert door.send(path, said, host=host).status_code in (401, 421), (path, host)


def test_at_an_address_that_the_practice_has_not_named_keys_say_where_they_work(door):
    answer = door.touches(host="127.0.0.1")
    assert (400, True) == (answer.status_code, f": {OWN}" in answer.json()["sentence"])


def test_where_the_practice_has_named_no_address_the_browsers_own_counts(shared_house, monkeypatch):
    door = at_door("console", shared_house, monkeypatch, origins=())
    host = "door.practice.example:9443"
    assert 200 == door.touches(host=host, origin=f"https://{host}").status_code


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, ()),
        ({"console_names": "console.practice.example"}, ()),
        ({"https": True, "console_names": "10.1.0.5:8443, [::1], [::1]:8443"}, ()),
        (
            {"https": True, "console_names": " Console.practice.example , 10.1.0.5"},
            ("https://console.practice.example",),
        ),
        (
            {"https": True, "console_names": "a.example:443,b.example:8443"},
            ("https://a.example", "https://b.example:8443"),
        ),
    ],
)
def test_the_console_is_where_its_names_and_ports_say(settings, expected):
    assert expected == console_origins(read(**settings))


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("", ()),
        ("http://10.1.0.5:8600", ()),
        ("https://Images.practice.example:443/", ("https://images.practice.example",)),
        ("https://images.practice.example:8443", ("https://images.practice.example:8443",)),
    ],
)
def test_the_gateway_is_where_its_address_says(url, expected):
    assert expected == gateway_origins(read(gateway_url=url))


def test_a_name_with_a_port_is_a_name_that_browsers_may_use():
    assert ("127.0.0.1", "a.example", "b.example", "::1") == hosts_of(
        "127.0.0.1", "0.0.0.0", "::", more=("A.example:8443", " b.example", "[::1]:8443", "")
    )
