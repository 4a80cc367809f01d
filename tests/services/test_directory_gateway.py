"""Patients whose account a real directory keeps, at the gateway in a browser: in with a second factor, and a password of their own."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial

import httpx
import pytest
from starlette.testclient import TestClient

from console.door import Door
from core import patients, people
from core.ports.directory import Verdict
from core.ports.directory_ldap import LdapDirectory
from core.ports.ldap_wire import POOR_PASSWORD
from doors import manners
from gateway import me_page
from gateway.app import create
from gateway.images import OrthancImages
from ops.bench.directory_server import SambaDomain
from tests.fixtures.house import THANDO
from tests.fixtures.practice_with_directory import Practice, between_tests, close_practice, open_practice
from tests.fixtures.ward import form_of

ME = "/account/me"
NEW = "Nuwe-Wagwoord-2026"


@dataclass
class Gate:
    """The gateway of a practice at a directory, and whoever stands before it."""

    practice: Practice
    app: object

    def browser(self) -> TestClient:
        url = self.practice.test.house.rules["gateway_url"]
        return TestClient(self.app, base_url=url, follow_redirects=False)  # type: ignore[arg-type]

    def send(self, browser: TestClient, path: str, *, at: str = "", **said: str) -> httpx.Response:
        """Open the page, fill in its form and send it."""
        data = {"form": form_of(browser.get(at or path)), **said}
        return browser.post(path, data=data, headers={"Origin": "null"})

    def patient(self) -> str:
        """Somebody whom the directory calls a patient, bound to their file by two admins, with a slip used in the browser."""
        practice = self.practice
        login = practice.somebody("PACS-Patients")
        entry = practice.directory.find(login)
        bound = str(practice.test.do("reception", patients.register, THANDO))
        account = {
            "login": login,
            "name": entry.name,
            "email": entry.email,
            "roles": ["patient"],
            "patient_id": bound,
        }
        practice.approved("add-person", {**account, "directory_id": entry.id})
        slip = practice.test.do("admin", people.make_slip, practice.row(login).id).code
        browser, at = self.browser(), "/account/activate"
        assert 303 == self.send(browser, at, slip=slip).status_code
        assert 401 == self.send(browser, f"{at}/password", password="Heeltemal-anders-7").status_code
        shown = self.send(browser, f"{at}/password", password=practice.trial.password)
        practice.secrets[login] = "".join(re.search(r'class="secret">([A-Z2-7 ]+)<', shown.text)[1].split())
        box = re.search(r'name="box" value="([0-9a-f]+)"', shown.text)[1]
        said = {"form": form_of(shown), "box": box, "code": practice.code(login)}
        done = browser.post(f"{at}/app", data=said, headers={"Origin": "null"})
        assert (200, 10) == (done.status_code, done.text.count("<code>")), done.text
        return login

    def half_way(self, login: str, password: str = "") -> tuple[TestClient, int]:
        browser = self.browser()
        said = {"login": login, "password": password or self.practice.trial.password}
        return browser, self.send(browser, "/account", **said).status_code

    def signed_in(self, login: str, password: str = "") -> TestClient:
        browser, answer = self.half_way(login, password)
        assert 303 == answer
        assert 401 == self.send(browser, "/account/code", code="000000").status_code
        entered = self.send(browser, "/account/code", code=self.practice.code(login))
        assert (303, "/account/studies") == (entered.status_code, entered.headers["location"])
        return browser

    def confirm(self, browser: TestClient, login: str) -> None:
        at = f"{ME}/confirm"
        said = {"purpose": "factors", "next": f"{ME}/password", "code": self.practice.code(login)}
        assert 303 == self.send(browser, at, at=f"{at}?for=factors&next={ME}/password", **said).status_code

    def is_password(self, login: str, password: str) -> bool:
        """What the directory itself says."""
        directory = self.practice.test.house.ports.directory
        return directory.password_is_right(directory.find(login), password).verdict is Verdict.RIGHT


@pytest.fixture(scope="module", params=["samba", "openldap"])
def practice_of_the_module(request, tmp_path_factory) -> Iterator[Practice]:
    trial = request.getfixturevalue(f"{request.param}_for_the_run")
    practice = open_practice(tmp_path_factory.mktemp("gateway") / "home", trial)
    yield practice
    practice.trial.mend()
    close_practice(practice)


@pytest.fixture
def gate(practice_of_the_module, monkeypatch) -> Gate:
    monkeypatch.setattr(manners, "FLOOR_S", 0.001)
    practice = between_tests(practice_of_the_module)
    # Nobody waits in these tests: an hour passes between two steps.
    hours = itertools.count(step=3600)
    app = create(
        practice.test.house, OrthancImages("http://127.0.0.1:9", ("", "")), clock=lambda: float(next(hours))
    )
    return Gate(practice, app)


@contextmanager
def reading_only(practice: Practice) -> Iterator[None]:
    """Sorg has no account that writes there meanwhile."""
    ports, reading = practice.test.house.ports, LdapDirectory(practice.trial.config(writer=None))
    practice.test.house.ports = replace(ports, directory=reading)
    try:
        yield
    finally:
        practice.test.house.ports = ports
        reading.close()


def test_a_patient_of_the_directory_signs_in_with_a_second_factor_and_changes_their_own_password_there(gate):
    login, old = gate.patient(), gate.practice.trial.password
    elsewhere, browser = gate.signed_in(login), gate.signed_in(login)
    assert [200, 200] == [b.get("/account/studies").status_code for b in (elsewhere, browser)]
    change = partial(gate.send, browser, f"{ME}/password", new=NEW, again=NEW)
    # Without a fresh confirmation the form is not even shown, and what is sent is not taken.
    assert 303 == browser.get(f"{ME}/password").status_code
    gate.confirm(browser, login)
    wrong = change(password="Heeltemal-anders-7")
    assert (401, True) == (wrong.status_code, "not your password" in wrong.text)
    assert gate.is_password(login, old)
    done = change(password=old)
    assert (200, True) == (done.status_code, "Your new password is set" in done.text)
    assert [False, True] == [gate.is_password(login, password) for password in (old, NEW)]
    # The other window is out at once; this one stays, also when the directory is asked about it again.
    gate.practice.test.clock.pass_(minutes=5)
    assert [401, 200] == [b.get("/account/studies").status_code for b in (elsewhere, browser)]
    assert 401 == gate.half_way(login, old)[1]
    assert 200 == gate.signed_in(login, NEW).get(ME).status_code


def test_what_the_directory_refuses_or_cannot_answer_is_told_in_the_middle_of_the_form(gate):
    practice, login = gate.practice, gate.patient()
    old, browser = practice.trial.password, gate.signed_in(login)
    change = partial(gate.send, browser, f"{ME}/password", password=old)
    if isinstance(practice.trial, SambaDomain):  # OpenLDAP has no opinion of its own on what is a good one.
        gate.confirm(browser, login)
        poor = change(new="correct horse battery", again="correct horse battery")
        assert (400, True) == (poor.status_code, POOR_PASSWORD in poor.text)
        assert f"{ME}/confirm" in poor.text
    gate.confirm(browser, login)
    form = form_of(browser.get(f"{ME}/password"))
    practice.away()
    said = {"form": form, "password": old, "new": NEW, "again": NEW}
    silent = browser.post(f"{ME}/password", data=said, headers={"Origin": "null"})
    assert (503, True) == (silent.status_code, me_page.AWAY in silent.text)
    practice.back()
    assert gate.is_password(login, old)
    # The confirmation was not used up: the same form goes through now.
    said["form"] = form_of(silent)
    assert 200 == browser.post(f"{ME}/password", data=said, headers={"Origin": "null"}).status_code
    assert gate.is_password(login, NEW)


def test_where_sorg_may_not_write_the_page_says_who_keeps_the_password(gate):
    login = gate.patient()
    browser = gate.signed_in(login)
    gate.confirm(browser, login)
    form = form_of(browser.get(f"{ME}/password"))
    with reading_only(gate.practice):
        page = browser.get(f"{ME}/password")
        assert (200, True) == (page.status_code, "keeps your password" in page.text)
        said = {"form": form, "password": gate.practice.trial.password, "new": NEW, "again": NEW}
        sent = browser.post(f"{ME}/password", data=said, headers={"Origin": "null"})
        assert (400, True) == (sent.status_code, "keeps your password" in sent.text)
    assert gate.is_password(login, gate.practice.trial.password)


def test_whoever_was_disabled_during_a_silence_is_out_at_their_next_step_at_both_doors(gate):
    practice, console = gate.practice, Door(gate.practice.test.house)
    patients_, staff = (
        [gate.patient() for _ in range(2)],
        [practice.somebody("PACS-Reception", person=True) for _ in "ab"],
    )
    at_gateway = [gate.signed_in(login) for login in patients_]
    at_console = [practice.sign_in(login) for login in staff]

    def are_in(number: int) -> tuple[bool, bool]:
        """The first or second of each door takes a step."""
        gateway = 200 == at_gateway[number].get("/account/studies").status_code
        return gateway, console.who(at_console[number], address=practice.address) is not None

    practice.test.clock.pass_(minutes=5)
    practice.away()
    assert (True, True) == are_in(0)
    practice.test.clock.pass_(seconds=29)
    assert (True, True) == are_in(1)
    for login in (patients_[1], staff[1]):
        practice.trial.disable(login)
    practice.test.clock.pass_(seconds=1)
    practice.back()
    # The first hears the first word after the silence, so the second, asked about a second ago, does not stay for 29 more.
    assert (True, True) == are_in(0)
    assert (False, False) == are_in(1)
