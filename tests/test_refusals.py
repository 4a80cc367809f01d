"""Whatever says no in the middle of a plain page, at either door: its reader reads a sentence, and there is a way on.

Each verb of each page is made to refuse in turn, in each way that the tree of errors knows; then each form is sent after
its session has ended.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from html import unescape
from typing import Any

import pytest
from starlette.routing import Route
from starlette.testclient import TestClient

from console.signin import account as console_account
from console.signin import activation as console_slip
from console.signin.forms import Counter
from core import factors, patients, people, sessions
from core.errors import Away, Denied, Missing, Refused, SorgError, Stale, Turned, Unfit, WrongAnswer
from core.rules.roles import Permission, Role
from core.store.work import Subject
from doors import manners
from doors.manners import FORM_HEADER, Manners
from gateway import account_page, me_page
from gateway.app import create
from gateway.headers import UNREACHABLE
from gateway.images import OrthancImages
from gateway.manners import HALF, SESSION, AccountManners
from tests.fixtures.doors import CODE, COOKIE, doors_of
from tests.fixtures.guests import Guest, hire
from tests.fixtures.house import PASSWORD, THANDO, TestHouse, open_test_house

SAID = "This is what stood in the way."
ERRORS: tuple[SorgError, ...] = tuple(
    kind(SAID) for kind in (Refused, Denied, Missing, Stale, WrongAnswer, Away, Turned, Unfit)
)
# What a door says in its own words in place of the verb's.
OWN_WORDS = (
    UNREACHABLE, console_slip.DIRECTORY_AWAY, account_page.DIRECTORY_AWAY, console_account._AWAY, me_page.AWAY,
    console_account._GONE, me_page.GONE,
    "We cannot open this just now",
)  # fmt: skip
# What is filled in, by the end of the address; all of it reads like an answer, and none is right.
FIELDS: dict[str, dict[str, str]] = {
    "/activate/password": {"password": "winter morning rooibos", "again": "winter morning rooibos"},
    "/password": {
        "password": "not this one",
        "new": "winter morning rooibos",
        "again": "winter morning rooibos",
    },
    "/activate": {"slip": "AAAAA"},
    "/end": {"session": "01a20d2a-fd7a-7410-8fed-dd515956e9ff"},
    "": {
        "login": "nobody.here",
        "password": PASSWORD,
        "code": "000000",
        "purpose": "factors",
        "next": "/account/me",
    },
}
_NUMBERS = itertools.count()
SCRIPTS = ("/options", "/key", "/keys")  # what our script sends as JSON


@dataclass
class Place:
    """One door, a browser of somebody who is signed in and holds half a sign-in and a slip, and its plain pages."""

    name: str
    test: TestHouse
    manners: type[Manners]
    browser: TestClient
    guest: Guest
    own: str  # below this address one is signed in
    session: str
    form: str
    routes: list[tuple[str, str]] = field(default_factory=list)
    slip: str = ""

    def end(self) -> None:
        token = self.browser.cookies[self.session]
        self.guest.asks(sessions.sign_out, channel=self.name, token=token)

    def token(self) -> str:
        return re.findall(rf'name="{self.form}" value="([^"]+)"', self.browser.get(self.begin).text)[0]

    @property
    def begin(self) -> str:
        return "/activate" if self.name == "console" else "/account/activate"

    def send(self, method: str, path: str, token: str) -> Any:
        if method == "GET":
            return self.browser.get(path, params={"for": "factors"})
        origin = {} if self.name == "console" else {"Origin": "null"}
        if path.endswith(SCRIPTS):
            said = {"purpose": "factors", "answer": {}, "next": "/account/me"}
            return self.browser.post(path, json=said, headers={FORM_HEADER: token, **origin})
        filled_in = next(fields for end, fields in FIELDS.items() if path.endswith(end))
        return self.browser.post(path, data={self.form: token, **filled_in}, headers=origin)

    def take_slip(self) -> None:
        """The browser holds the slip: one that was refused is forgotten."""
        origin = {} if self.name == "console" else {"Origin": "null"}
        taken = self.browser.post(
            self.begin, data={self.form: self.token(), "slip": self.slip}, headers=origin
        )
        assert 303 == taken.status_code, taken.text

    def prove(self) -> None:
        """A fresh confirmation waits, as if the confirming page had just been left."""
        with self.test.house.work(
            self.guest.behind(self.browser.cookies[self.session], channel=self.name)
        ) as work:
            with work.act(Permission.ACCOUNT_SELF, Subject("step-up")):
                factors._prove(work, "factors", "code")


def routes_of(app: Any) -> list[tuple[str, str]]:
    """Every plain page and form of signing in, slips, confirming and one's own account."""
    roots = ("/login", "/activate", "/stepup", "/account", "/logout")
    files = (".css", ".js", "/studies", "/oidc", "/oidc/back", "/", "/signed-out")
    found = []
    for route in app.routes:
        is_plain = isinstance(route, Route) and route.path.startswith(roots) and "{" not in route.path
        if is_plain and not route.path.endswith(files):
            found += [(m, route.path) for m in sorted(route.methods or ()) if m != "HEAD"]
    # Signing out comes last.
    return sorted(found, key=lambda one: one[1].endswith("out"))


@pytest.fixture(scope="module")
def practice(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestHouse]:
    test = open_test_house(tmp_path_factory.mktemp("refusals") / "home")
    yield test
    test.house.engine.dispose()


@pytest.fixture(params=["console", "gateway"])
def place(request: pytest.FixtureRequest, practice: TestHouse, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.setattr(manners, "FLOOR_S", 0.0001)
    practice.clock.pass_(minutes=31)
    if request.param == "console":
        guest, app, url = hire(practice, Role.BILLING), doors_of(practice), "http://localhost"
        names = (Counter, COOKIE, CODE, "token")
    else:
        patient = practice.do("reception", patients.register, THANDO)
        guest = hire(practice, Role.PATIENT, patient_id=patient)
        # Nobody waits in this test: an hour passes between two steps.
        hours = itertools.count(step=3600)
        app = create(
            practice.house, OrthancImages("http://127.0.0.1:9", ("", "")), clock=lambda: float(next(hours))
        )
        # Keys work at a name.
        url = practice.house.rules["gateway_url"].replace("127.0.0.1", "localhost")
        names = (AccountManners, SESSION, HALF, "form")
    kind, session, half, form = names
    browser = TestClient(
        app,
        base_url=url,
        follow_redirects=False,
        headers={"accept": "text/html"},
        raise_server_exceptions=False,
    )
    browser.cookies.set(session, guest.enters(channel=request.param))
    browser.cookies.set(half, guest.says(channel=request.param))
    place = Place(request.param, practice, kind, browser, guest, "/account", session, form, routes_of(app))
    place.slip = practice.do("admin", people.make_slip, newcomer(practice, request.param)).code
    return place


def newcomer(test: TestHouse, door: str) -> Any:
    """Somebody who waits for a slip."""
    login = f"waits{next(_NUMBERS)}"
    role = {"console": Role.BILLING, "gateway": Role.PATIENT}[door]
    bound = {}
    if door == "gateway":
        bound = {"patient_id": str(test.do("reception", patients.register, THANDO))}
    with test.house.work(test.actors["system"]) as work, work.tend(Permission.PEOPLE_FOUND):
        account = {"login": login, "name": "Lerato Botha", "roles": [role.value], **bound}
        return people.new_person(work, account).id


@dataclass
class Fault:
    """The verb that says no: the `at`-th that a request asks, counted from one; none while it is nothing."""

    error: SorgError | None = None
    at: int = 0
    asked: int = 0

    @property
    def is_met(self) -> bool:
        return self.asked >= self.at

    def set(self, error: SorgError | None, at: int = 0) -> None:
        self.error, self.at, self.asked = error, at, 0

    def around(self, ask: Callable[..., Any]) -> Callable[..., Any]:
        async def asked(*given: Any, **how: Any) -> Any:
            self.asked += 1
            if self.error is not None and self.asked == self.at:
                raise self.error
            return await ask(*given, **how)

        return asked


@pytest.fixture
def fault(place: Place, monkeypatch: pytest.MonkeyPatch) -> Fault:
    fault = Fault()
    for name in ("person", "stranger"):
        monkeypatch.setattr(place.manners, name, fault.around(getattr(place.manners, name)))
    return fault


def test_whichever_verb_of_a_page_says_no_its_reader_reads_why_and_there_is_a_way_on(place, fault):
    turns = itertools.cycle(ERRORS)
    token, met = place.token(), set()
    for method, path in place.routes:
        fault.set(None)
        place.prove()
        if "/activate/" in path:
            place.take_slip()
        for at in range(1, 6):
            for error in itertools.islice(turns, 3):
                fault.set(error, at)
                answer = place.send(method, path, token)
                if not fault.is_met:
                    break
                met.add(path)
                where = (method, path, at, type(error).__name__, answer.status_code, answer.text[-600:])
                assert answer.status_code in (303, 400, 401, 403, 404, 409, 503), where
                if answer.status_code == 303:
                    continue
                if "json" in answer.headers["content-type"]:
                    assert answer.json()["sentence"] in (SAID, UNREACHABLE), where
                    continue
                assert any(words in unescape(answer.text) for words in (SAID, *OWN_WORDS)), where
                assert "<a " in answer.text or "<form" in answer.text, where
            if not fault.is_met:
                break
    # Each of them was refused something.
    assert {path for _, path in place.routes} == met


def test_a_form_that_is_sent_after_its_session_ended_says_so_and_signing_in_leads_to_a_page(place):
    token = place.token()
    place.end()
    for method, path in place.routes:
        if method != "POST" or not (path.startswith(place.own) or path.startswith(("/stepup", "/logout"))):
            continue
        if place.name == "gateway" and not path.startswith("/account/me"):
            continue
        answer = place.send(method, path, token)
        if "json" in answer.headers.get("content-type", ""):
            said = answer.json()
            assert (401, True, True) == (
                answer.status_code,
                "signed out" in said["sentence"],
                bool(said["go"]),
            ), path
        elif place.name == "gateway":
            page = (
                answer.text
                if answer.status_code == 401
                else place.browser.get(answer.headers["location"]).text
            )
            assert "signed out" in page or "Sign in" in page, (path, answer.status_code)
        else:
            assert (303, "/login?next=") == (answer.status_code, answer.headers["location"][:12]), path
            assert "You are signed out" in place.browser.get(answer.headers["location"]).text, path
    if place.name == "console":
        place.browser.cookies.set(place.session, place.guest.enters(channel="console"))
        for method, path in place.routes:
            if method == "POST" and path.startswith("/account/") and not path.endswith(SCRIPTS):
                assert place.browser.get(path).status_code in (200, 303), path
