"""The doors in Chromium with a virtual security key: from the slip to being signed in, and what a false key gets."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pyotp
import pytest
from playwright.sync_api import Browser, BrowserContext, CDPSession, Page
from sqlalchemy import select

from core import factors, people
from core.rules.roles import Permission, Role
from core.store.model import Alert, SecurityKey
from tests.fixtures.browser import HERE, PHONE, eventually, expect, launched
from tests.fixtures.doors import COOKIE, doors_of, served, signed_in
from tests.fixtures.house import PASSWORD, TestHouse, open_test_house

NEW_PASSWORD = "winter morning rooibos"
KEY = {"protocol": "ctap2", "transport": "internal", "hasResidentKey": True, "hasUserVerification": True,
       "isUserVerified": True, "automaticPresenceSimulation": True}  # fmt: skip
# Sends to a door what a script of ours would send, with the form's token of the page that is open.
POST = """async ([path, body]) => {
  const token = document.querySelector("input[name=token]").value;
  const answer = await fetch(path, {method: "POST", headers: {"content-type": "application/json", "x-sorg-form": token},
                                    body: JSON.stringify(body)});
  return [answer.status, await answer.json()];
}"""


@dataclass
class Desk:
    """A browser with a key in it, before the doors of a practice."""

    url: str
    test: TestHouse
    context: BrowserContext
    page: Page
    cdp: CDPSession
    key: str
    sent: list[tuple[str, dict[str, Any]]]

    def sign_in_by_verbs(self, role: str) -> None:
        cookie = {"name": COOKIE, "value": signed_in(self.test, role), "url": self.url, "httpOnly": True}
        self.context.add_cookies([cookie])  # type: ignore[list-item]

    def give_password(self, login: str, password: str = PASSWORD) -> None:
        self.page.goto(f"{self.url}/login")
        self.page.get_by_label("Name").fill(login)
        self.page.get_by_label("Password").fill(password)
        self.page.get_by_role("button", name="Continue").click()
        expect(self.page.get_by_role("heading", name="One more step")).to_be_visible()

    def add_key(self, role: str, name: str = "Blue key") -> None:
        """As its owner does it: from my account, confirmed by a code, made by the browser."""
        self.sign_in_by_verbs(role)
        self.page.goto(f"{self.url}/account/keys")
        self.page.get_by_role("link", name="Add a key").click()
        self.page.get_by_label("Six-digit code").fill(self.test.code(role))
        self.page.get_by_role("button", name="Confirm", exact=True).click()
        self.page.get_by_label("What do you call it?").fill(name)
        self.page.get_by_role("button", name="Set up this key").click()
        expect(self.page.get_by_text("Your key is set up.")).to_be_visible()
        expect(self.page.get_by_text(name)).to_be_visible()
        self.context.clear_cookies()

    def open_keys(self, role: str) -> list[SecurityKey]:
        person = UUID(self.test.actors[role].id)
        with self.test.does(role) as work, work.look(Permission.ACCOUNT_SELF):
            query = select(SecurityKey).where(SecurityKey.person_id == person, SecurityKey.ended_at.is_(None))
            found = list(work.db.scalars(query))
            for key in found:
                work.db.expunge(key)
            return found


@pytest.fixture(scope="module")
def doors(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, TestHouse]]:
    test = open_test_house(tmp_path_factory.mktemp("signin") / "home")
    with served(doors_of(test)) as url:
        yield url, test
    test.house.engine.dispose()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """One browser for this module: nothing here needs an event loop of its own."""
    with launched() as browser:
        yield browser


@pytest.fixture
def desk(chromium: Browser, doors: tuple[str, TestHouse]) -> Iterator[Desk]:
    url, test = doors
    test.clock.pass_(minutes=30)
    context = chromium.new_context(**HERE)
    page = context.new_page()
    cdp = context.new_cdp_session(page)
    cdp.send("WebAuthn.enable")
    key = cdp.send("WebAuthn.addVirtualAuthenticator", {"options": KEY})["authenticatorId"]
    sent: list[tuple[str, dict[str, Any]]] = []
    page.on(
        "request",
        lambda r: sent.append((r.url, r.post_data_json)) if "/key" in r.url and r.method == "POST" else None,
    )
    yield Desk(url, test, context, page, cdp, key, sent)
    context.close()


def test_from_the_slip_to_being_signed_in_on_a_phone(chromium: Browser, doors: tuple[str, TestHouse]) -> None:
    url, test = doors
    with test.house.work(test.actors["system"]) as work, work.tend(Permission.PEOPLE_FOUND):
        account = {"login": "lerato.botha", "name": "Lerato Botha", "roles": [Role.RECEPTION.value]}
        person = people.new_person(work, account).id
    slip = test.do("admin", people.make_slip, person).code
    context = chromium.new_context(**HERE, **PHONE)
    page, complaints = context.new_page(), []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on(
        "console",
        lambda said: (
            complaints.append(said.text) if said.type == "error" and "401" not in said.text else None
        ),
    )

    page.goto(url)
    page.get_by_role("link", name="Use your sign-in slip").click()
    page.get_by_label("Code of your slip").fill(slip.lower().replace("-", " "))
    page.get_by_role("button", name="Continue").click()
    page.get_by_label("Your new password").fill(NEW_PASSWORD)
    page.get_by_label("The same once more").fill(NEW_PASSWORD)
    page.get_by_role("button", name="Continue").click()
    picture = page.get_by_role("img", name="QR code for the authenticator app")
    eventually(lambda: picture.evaluate("image => image.naturalWidth") > 100, what="no QR code was drawn")
    page.get_by_text("No camera? Type the secret in").click()
    expect(page.locator(".secret")).to_be_visible()
    app = pyotp.TOTP(page.locator(".secret").inner_text().replace(" ", ""))
    page.get_by_label("Code in the app now").fill("000000")
    page.get_by_role("button", name="Finish").click()
    expect(page.get_by_role("alert")).to_contain_text("not the code of this app")
    page.get_by_label("Code in the app now").fill(app.at(test.clock.at))
    page.get_by_role("button", name="Finish").click()
    expect(page.locator(".codes code")).to_have_count(10)
    codes = page.locator(".codes code").all_inner_texts()
    assert 10 == len(set(codes))
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.get_by_role("link", name="Sign in").click()
    page.get_by_label("Name").fill("Lerato.Botha")
    page.get_by_label("Password").fill(NEW_PASSWORD)
    page.get_by_role("button", name="Continue").click()
    test.clock.pass_(seconds=31)
    page.get_by_label("Six-digit code").fill(app.at(test.clock.at))
    assert [] == complaints
    page.get_by_role("button", name="Sign in").click()
    expect(page.locator("body")).to_have_text("Lerato Botha")
    context.close()


def test_a_key_signs_in_once_and_its_answer_opens_nothing_again(desk: Desk) -> None:
    desk.add_key("radiologist")
    desk.give_password("radiologist")
    desk.page.get_by_role("button", name="Use your key").click()
    expect(desk.page.locator("body")).to_have_text("Radiologist Person")
    assert 1 == len([c for c in desk.context.cookies() if c["name"] == COOKIE and c["httpOnly"]])
    answer = next(body for url, body in reversed(desk.sent) if url.endswith("/login/key"))

    desk.context.clear_cookies()
    desk.give_password("radiologist")
    status, _ = desk.page.evaluate(POST, ["/login/key", answer])
    assert 401 == status  # no question was asked
    assert 200 == desk.page.evaluate(POST, ["/login/key/options", {}])[0]
    status, told = desk.page.evaluate(POST, ["/login/key", answer])
    assert (401, factors.WRONG_KEY) == (status, told["sentence"])  # the answer to another question


def test_a_key_confirms_one_purpose_and_the_page_comes_back(desk: Desk) -> None:
    desk.add_key("manager")
    desk.sign_in_by_verbs("manager")
    before = next(c["value"] for c in desk.context.cookies() if c["name"] == COOKIE)
    desk.page.goto(f"{desk.url}/stepup?for=change:one:digest&next=/my_account")
    expect(desk.page.get_by_role("heading", name="Approving a change")).to_be_visible()
    desk.page.get_by_role("button", name="Confirm with your key").click()
    expect(desk.page.locator("body")).to_have_text("Manager Person")
    assert f"{desk.url}/my_account" == desk.page.url
    after = next(c["value"] for c in desk.context.cookies() if c["name"] == COOKIE)
    assert before != after


def test_a_copied_key_is_shut_and_an_alert_is_raised(desk: Desk) -> None:
    desk.add_key("billing")
    copy = desk.cdp.send("WebAuthn.getCredentials", {"authenticatorId": desk.key})["credentials"][0]
    for _ in range(2):
        desk.context.clear_cookies()
        desk.give_password("billing")
        desk.page.get_by_role("button", name="Use your key").click()
        expect(desk.page.locator("body")).to_have_text("Billing Person")
    desk.cdp.send(
        "WebAuthn.removeCredential", {"authenticatorId": desk.key, "credentialId": copy["credentialId"]}
    )
    desk.cdp.send("WebAuthn.addCredential", {"authenticatorId": desk.key, "credential": copy})
    desk.context.clear_cookies()
    desk.give_password("billing")
    desk.page.get_by_role("button", name="Use your key").click()
    expect(desk.page.get_by_role("alert")).to_contain_text("may have been copied and is shut now")
    assert [] == desk.open_keys("billing")
    with desk.test.does("admin") as work, work.look(Permission.PEOPLE_SEE):
        assert "key-copied" in {a.kind for a in work.db.scalars(select(Alert))}
    desk.page.reload()
    expect(desk.page.get_by_role("button", name="Use your key")).to_have_count(0)


def test_a_key_that_asks_for_no_finger_or_pin_is_refused(desk: Desk) -> None:
    desk.add_key("analyst")
    desk.give_password("analyst")
    desk.cdp.send("WebAuthn.setUserVerified", {"authenticatorId": desk.key, "isUserVerified": False})
    # The question says "required"; a false page asks for less, and the key's own answer says so.
    options = desk.page.evaluate(POST, ["/login/key/options", {}])[1]
    answer = desk.page.evaluate(ASSERT, [options, "discouraged"])
    status, told = desk.page.evaluate(POST, ["/login/key", {"answer": answer}])
    assert (401, factors.WRONG_KEY) == (status, told["sentence"])


def test_an_answer_given_at_another_origin_is_refused(desk: Desk) -> None:
    """A page at another port of the same name gets a true answer of the key, for its own origin."""
    desk.add_key("transcriptionist")
    desk.give_password("transcriptionist")
    options = desk.page.evaluate(POST, ["/login/key/options", {}])[1]
    with served(doors_of(desk.test)) as elsewhere:
        other = desk.context.new_page()
        cdp = desk.context.new_cdp_session(other)
        cdp.send("WebAuthn.enable")
        key = cdp.send("WebAuthn.addVirtualAuthenticator", {"options": KEY})["authenticatorId"]
        for credential in desk.cdp.send("WebAuthn.getCredentials", {"authenticatorId": desk.key})[
            "credentials"
        ]:
            cdp.send("WebAuthn.addCredential", {"authenticatorId": key, "credential": credential})
        other.goto(f"{elsewhere}/activate")
        answer = other.evaluate(ASSERT, [options, "required"])
    status, told = desk.page.evaluate(POST, ["/login/key", {"answer": answer}])
    assert (401, factors.WRONG_KEY) == (status, told["sentence"])


def test_an_ip_address_says_why_there_is_no_key_to_use(desk: Desk) -> None:
    desk.add_key("reception")
    desk.url = desk.url.replace("localhost", "127.0.0.1")
    desk.give_password("reception")
    expect(desk.page.get_by_role("status")).to_contain_text(
        "Keys need the console's host name, for example http://localhost"
    )
    expect(desk.page.get_by_role("button", name="Use your key")).to_have_count(0)
    desk.page.get_by_label("Six-digit code").fill(desk.test.code("reception"))
    desk.page.get_by_role("button", name="Sign in").click()
    expect(desk.page.locator("body")).to_have_text("Reception Person")


def test_a_key_that_is_taken_away_opens_nothing(desk: Desk) -> None:
    desk.add_key("radiographer", "Old key")
    desk.sign_in_by_verbs("radiographer")
    desk.page.goto(f"{desk.url}/account/keys")
    desk.page.get_by_role("link", name="Take away Old key").click()
    desk.page.get_by_role("button", name="Confirm with your key").click()
    desk.page.get_by_role("button", name="Take it away").click()
    expect(desk.page.get_by_text("No key yet.")).to_be_visible()
    assert [] == desk.open_keys("radiographer")


# Lets the key answer a question as a page may that is none of ours.
ASSERT = """async ([options, verification]) => {
  const bytes = (t) => Uint8Array.from(atob(t.replaceAll("-", "+").replaceAll("_", "/")), (c) => c.charCodeAt(0));
  const text = (b) => btoa(String.fromCharCode(...new Uint8Array(b))).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
  const key = await navigator.credentials.get({publicKey: {...options, challenge: bytes(options.challenge),
    userVerification: verification, allowCredentials: options.allowCredentials.map((k) => ({...k, id: bytes(k.id)}))}});
  const r = key.response;
  return {id: key.id, rawId: text(key.rawId), type: key.type, clientExtensionResults: {}, response: {
    clientDataJSON: text(r.clientDataJSON), authenticatorData: text(r.authenticatorData), signature: text(r.signature)}};
}"""
