"""A first key right after single sign-on with a second factor, for whoever has nothing else here; and nothing more by it."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest

from core import factors, groups, people
from core.ports import Ports
from core.ports.directory import LocalAccounts
from core.ports.oidc import OidcProvider
from core.rules.roles import Permission
from core.store.model import Person, SecurityKey
from doors import manners
from doors.manners import FORM_HEADER
from tests.fixtures import doors
from tests.fixtures.guests import SoftKey
from tests.fixtures.house import QUICK, Clock, open_test_house
from tests.fixtures.oidc import CLIENT, SECRET, Provider
from tests.services.test_console_oidc import OURS, Desk

NEW_KEY, TO_CONFIRM = "/account/keys/new", "/stepup?for=factors"
SLIP = "Ask your practice&#x27;s admin for a sign-in slip."


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, running_provider: Provider) -> Iterator[Desk]:
    test = open_test_house(
        tmp_path_factory.mktemp("first-key") / "home",
        clock=Clock(datetime.now(UTC)),
        ports=Ports(accounts=LocalAccounts(QUICK)),
    )
    port = OidcProvider(
        running_provider.issuer,
        client_id=CLIENT,
        client_secret=SECRET,
        now=test.house.clock,
        dice=secrets.token_bytes,
        second_factor=("mfa",),
        timeout_s=(2.0, 2.0),
    )
    test.house.ports = replace(test.house.ports, identity=port)
    with test.house.work(test.actors["system"]) as work, work.tend(Permission.PEOPLE_FOUND):
        lines = [(role, role) for role in ("radiologist", "admin")]
        groups.set_mapping(work, [{"group_id": g, "group_name": g, "role": role} for g, role in lines])
    with doors.served(doors.doors_of(test, single_sign_on="the clinic")) as url:
        yield Desk(url, test, running_provider)
    test.house.engine.dispose()


@pytest.fixture
def desk(served: Desk, provider: Provider, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """Somebody new at the provider, whose clock is ours."""
    monkeypatch.setattr(manners, "FLOOR_S", 0.001)
    provider.redirect_uris.add(served.back)
    login = f"dr.{secrets.token_hex(4)}"
    provider.person |= {
        "sub": str(uuid4()),
        "preferred_username": login,
        "amr": ["pwd", "mfa"],
        "groups": ["radiologist"],
    }
    in_step(served)
    return served


def in_step(desk: Desk) -> None:
    desk.provider.moved = desk.test.clock.at - datetime.now(UTC)


def signed_on(desk: Desk, *, ago: timedelta = timedelta()) -> httpx.Client:
    """A browser that comes from the provider, where its person signed in so long ago."""
    in_step(desk)
    desk.provider.claims = {"auth_time": -ago}
    browser = desk.browser()
    assert 200 == browser.get(desk.sent(browser)).status_code
    return browser


def row_of(desk: Desk) -> Any:
    login = desk.provider.person["preferred_username"]
    with desk.test.house.work(desk.test.actors["system"]) as work, work.look(Permission.SYSTEM_SEE):
        return people.by_login(work, login)


def make_key(desk: Desk, browser: httpx.Client, key: SoftKey) -> httpx.Response:
    """As our script does it; the last answer that came."""
    token = {FORM_HEADER: doors.form_token(browser.get("/activate").text)}
    asked = browser.post("/account/keys/options", json={}, headers=token)
    if asked.status_code != 200:
        return asked
    said = {"answer": key.makes(asked.json()), "name": "My key"}
    return browser.post("/account/keys", json=said, headers=token)


def leads_to(browser: httpx.Client, path: str) -> str:
    return browser.get(path).headers.get("location", path)


def test_who_has_nothing_here_adds_a_first_key_right_after_and_confirms_with_it_from_then_on(desk):
    browser, key = signed_on(desk), SoftKey(origin=desk.url)
    # It is a first key and nothing else: no app, and no codes on paper.
    for path in ("/account/app", "/account/recovery"):
        assert leads_to(browser, path).startswith(TO_CONFIRM)
    assert 200 == browser.get(NEW_KEY).status_code
    before = browser.cookies[OURS]
    made = make_key(desk, browser, key)
    assert (200, "/account/keys?done=added") == (made.status_code, made.json().get("go"))
    assert before != browser.cookies[OURS]
    # A second one wants the first.
    assert leads_to(browser, NEW_KEY).startswith(TO_CONFIRM)
    assert 401 == make_key(desk, browser, SoftKey(origin=desk.url)).status_code
    token = {FORM_HEADER: doors.form_token(browser.get(TO_CONFIRM).text)}
    said: dict[str, Any] = {"purpose": "factors", "next": NEW_KEY}
    said["answer"] = key.touched(browser.post("/stepup/key/options", json=said, headers=token).json())
    assert {"go": NEW_KEY} == browser.post("/stepup/key", json=said, headers=token).json()
    assert 200 == make_key(desk, browser, SoftKey(origin=desk.url)).status_code


def test_five_minutes_after_they_proved_themselves_there_the_page_leads_to_proving_it_anew(desk):
    browser = signed_on(desk, ago=timedelta(minutes=4))
    assert 200 == browser.get(NEW_KEY).status_code
    desk.test.clock.pass_(minutes=1, seconds=1)
    assert leads_to(browser, NEW_KEY).startswith(TO_CONFIRM)
    assert 401 == make_key(desk, browser, SoftKey(origin=desk.url)).status_code
    page = browser.get(TO_CONFIRM).text
    assert "Sign in at the clinic and add a key" in page and SLIP not in page
    # What the provider remembers of this morning is not enough: it is told to ask once more.
    begun = browser.get("/login/oidc?anew=yes&next=%2Faccount%2Fkeys%2Fnew")
    assert "prompt=login" in begun.headers["location"]
    in_step(desk)
    desk.provider.claims = {}
    back = httpx.get(begun.headers["location"], follow_redirects=False, trust_env=False).headers["location"]
    assert f"0;url={NEW_KEY}" == browser.get(back).headers["refresh"]
    assert 200 == make_key(desk, browser, SoftKey(origin=desk.url)).status_code


def test_a_session_that_the_provider_remembered_for_longer_leads_to_no_key(desk):
    browser = signed_on(desk, ago=timedelta(minutes=6))
    assert 401 == make_key(desk, browser, SoftKey(origin=desk.url)).status_code


@pytest.mark.parametrize("what", ["app", "copied key", "other session"])
def test_who_has_something_to_confirm_with_is_asked_for_that(desk, what):
    browser = signed_on(desk)
    person = row_of(desk)
    with desk.test.house.work(desk.test.actors["system"]) as work, work.tend(Permission.PEOPLE_FOUND):
        if what == "app":
            factors.new_totp(work, work.get(Person, person.id))
        if what == "copied key":
            now = work.now()
            work.db.add(
                SecurityKey(
                    id=work.new_id(),
                    origin=work.house.origin,
                    person_id=person.id,
                    credential_id=secrets.token_bytes(16),
                    public_key=b"x",
                    sign_count=1,
                    name="Blue",
                    transports=[],
                    made_at=now,
                    ended_at=now,
                    ended_why="copied",
                )
            )
    if what == "other session":  # of the same person, opened when the provider had known them for longer
        browser = signed_on(desk, ago=timedelta(minutes=6))
    assert leads_to(browser, NEW_KEY).startswith(TO_CONFIRM)
    assert 401 == make_key(desk, browser, SoftKey(origin=desk.url)).status_code


def test_an_admin_whose_rights_hang_on_a_key_needs_the_slip(desk, monkeypatch):
    monkeypatch.setitem(desk.test.house.rules, "admins_need_keys", True)
    desk.provider.person["groups"] = ["admin"]
    browser = signed_on(desk)
    assert leads_to(browser, NEW_KEY).startswith(TO_CONFIRM)
    page = browser.get(TO_CONFIRM).text
    assert SLIP in page and "/login/oidc" not in page
    assert 401 == make_key(desk, browser, SoftKey(origin=desk.url)).status_code
