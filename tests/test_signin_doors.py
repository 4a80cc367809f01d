"""The plain pages at the console's door: what each takes, refuses, shows once, and never says."""

from __future__ import annotations

import json
import re
import secrets
import statistics
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from html import escape
from itertools import count
from random import Random
from urllib.parse import quote
from uuid import UUID

import httpx
import pyotp
import pytest
from starlette.routing import Route

from console.door import Door
from console.gate import OPEN
from console.signin import activation as activation_desk
from console.signin import page
from console.signin import routes as signin_routes
from console.signin.forms import LARGEST_FORM
from console.signin.stepup import PURPOSES, what_for
from core import factors, people, privacy, sessions, signin
from core.errors import Away
from core.rules.roles import STAFF, Permission, Role
from core.store.model import Person
from doors import manners
from doors.manners import FLOOR_S, rest_of_step
from doors.slip import ANOTHERS
from tests.fixtures.doors import (
    CODE,
    COOKIE,
    FORM,
    SLIP,
    browser_of,
    doors_of,
    first_half,
    form_token,
    send,
    served,
    signed_in,
)
from tests.fixtures.house import PASSWORD, TestHouse, open_test_house

NEW_PASSWORD = "winter morning rooibos"
FORM_TYPE = "application/x-www-form-urlencoded"


@dataclass
class Desk:
    """The doors over a practice, served."""

    url: str
    test: TestHouse

    def stranger(self, **how: str) -> httpx.Client:
        return browser_of(self.url, **how)

    def of(self, role: str, **how: str) -> httpx.Client:
        """A browser in which somebody is signed in."""
        browser = browser_of(self.url, **how)
        browser.cookies.set(COOKIE, signed_in(self.test, role), domain="localhost.local", path="/")
        return browser

    def half_way(self, role: str) -> httpx.Client:
        """A browser in which the password was right."""
        browser = browser_of(self.url)
        browser.cookies.set(CODE, first_half(self.test, role), domain="localhost.local", path="/login")
        return browser

    def code(self, role: str) -> str:
        return self.test.code(role)

    def is_alive(self, token: str) -> bool:
        return self.test.do("nobody", sessions.actor_of, token=token, channel="console") is not None

    def newcomer(
        self, login: str, *, role: Role = Role.RECEPTION, directory: str = "local", **changes: object
    ) -> Person:
        """An account that waits for its slip."""
        with self.test.house.work(self.test.actors["system"]) as work, work.tend(Permission.PEOPLE_FOUND):
            account = {"login": login, "name": "Lerato Botha", "roles": [role.value]}
            row = people.new_person(work, account, directory=directory, directory_id=f"id-of-{login}")
            for name, value in changes.items():
                setattr(row, name, value)
            work.db.flush()
            work.db.expunge(row)
            return row

    def slip_for(self, person: Person) -> str:
        return self.test.do("admin", people.make_slip, person.id).code


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    test = open_test_house(tmp_path_factory.mktemp("doors") / "home")
    with served(doors_of(test)) as url:
        yield Desk(url, test)
    test.house.engine.dispose()


@pytest.fixture
def slow_desk(running: Desk) -> Desk:
    """Half an hour later than the test before: whoever had to rest has rested."""
    running.test.clock.pass_(minutes=30)
    return running


@pytest.fixture
def desk(slow_desk: Desk, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """The same with refusals in short steps, for tests that ask nothing of time."""
    monkeypatch.setattr(manners, "FLOOR_S", 0.01)
    return slow_desk


# What a session that is over says ---------------------------------------------------------------------------------


def test_whoever_was_signed_out_reads_above_the_form_why(desk: Desk) -> None:
    for why, said in (
        ("new roles", "this session was ended. What you may do here has changed."),
        ("ended by an admin", "this session was ended. An admin ended it."),
        ("", "after 15 minutes without use a session ends."),
    ):
        with desk.of("billing") as browser:
            if why:
                with (
                    desk.test.house.work(desk.test.actors["system"]) as work,
                    work.tend(Permission.PEOPLE_FOUND),
                ):
                    person = work.get(Person, UUID(desk.test.actors["billing"].id))
                    factors.end_sessions_of(work, person, why=why)
            else:
                desk.test.clock.pass_(minutes=16)
            assert f"You are signed out: {said}" in browser.get("/login").text
    with browser_of(desk.url) as stranger:
        assert "signed out" not in stranger.get("/login").text
        stranger.cookies.set(COOKIE, "guessed" * 6, domain="localhost.local", path="/")
        assert "You are signed out: this session was ended.</p>" in stranger.get("/login").text


# The second question --------------------------------------------------------------------------------------------


def test_a_code_is_asked_for_and_opens_the_session(desk: Desk) -> None:
    with desk.half_way("billing") as browser:
        shown = browser.get("/login/code?next=/sign_off").text
        assert (
            "Six-digit code" in shown
            and "key" not in shown.replace("sorg-key", "").lower().split("</header>")[1]
        )
        answer = send(
            browser,
            "/login/code",
            at="/login/code?next=/sign_off",
            code=desk.code("billing"),
            next="/sign_off",
        )
        assert (303, "/sign_off") == (answer.status_code, answer.headers["location"])
        assert "Billing Person" == browser.get("/").text


def test_a_recovery_code_opens_once(desk: Desk) -> None:
    session = signed_in(desk.test, "reception")
    actor = desk.test.do("nobody", sessions.actor_of, token=session, channel="console")
    with desk.test.house.work(actor) as work:
        codes = factors.renew_recovery_codes(work, code=desk.code("reception"))
    typed = codes[3].lower().replace("-", " ")
    for expected in (303, 401):
        with desk.half_way("reception") as browser:
            assert "Use a recovery code" in browser.get("/login/code").text
            answer = send(
                browser, "/login/code", at="/login/code?use=recovery", recovery=typed, use="recovery"
            )
            assert expected == answer.status_code


def test_without_a_second_factor_the_page_sends_to_the_slip(desk: Desk) -> None:
    hashed = desk.test.house.ports.accounts.new_verifier(PASSWORD)
    desk.newcomer("no.factor", password_hash=hashed)
    with desk.half_way("no.factor") as browser:
        shown = browser.get("/login/code").text
    assert (
        page.NO_FACTOR in shown.replace("&#x27;", "'")
        and 'href="/activate"' in shown
        and "<form" not in shown
    )


def test_the_sealed_account_opens_with_a_reason_only(desk: Desk) -> None:
    hashed = desk.test.house.ports.accounts.new_verifier(PASSWORD)
    sealed = desk.newcomer("sealed", role=Role.ADMIN, password_hash=hashed, is_break_glass=True)
    with desk.test.house.work(desk.test.actors["system"]) as work, work.tend(Permission.PEOPLE_FOUND):
        desk.test.secrets["sealed"], _ = factors.new_totp(work, work.get(Person, sealed.id))
    with desk.half_way("sealed") as browser:
        assert "Why is the sealed account used?" in browser.get("/login/code").text
        short = send(browser, "/login/code", code=desk.code("sealed"), reason="short")
        assert 401 == short.status_code and ">short</textarea>" in short.text
        answer = send(
            browser, "/login/code", code=desk.code("sealed"), reason="Nobody else can reach the console."
        )
    assert 303 == answer.status_code


def test_a_first_half_that_is_over_leads_to_the_beginning(desk: Desk) -> None:
    with desk.half_way("billing") as browser:
        desk.test.clock.pass_(minutes=6)
        answer = browser.get("/login/code")
        assert (
            401 == answer.status_code and signin.TOO_LONG in answer.text and 'name="password"' in answer.text
        )


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/stepup?for=factors",
        "/account/keys",
        "/account/app",
        "/account/recovery",
        "/images/surprise",
        "/my_account",
        "/_stcore/stream",
        "/media/x.jpg",
    ],
)
def test_half_a_sign_in_opens_nothing(desk: Desk, path: str) -> None:
    with desk.half_way("admin") as browser:
        browser.cookies.set(COOKIE, browser.cookies[CODE], domain="localhost.local", path="/")
        answer = browser.get(path, headers={"accept": "*/*"})
    assert 401 == answer.status_code


def test_a_planted_session_cookie_is_never_taken_over(desk: Desk) -> None:
    """Fixation: the browser comes with a token that somebody else knows."""
    planted = secrets.token_urlsafe(32)
    with desk.half_way("billing") as browser:
        browser.cookies.set(COOKIE, planted, domain="localhost.local", path="/")
        answer = send(browser, "/login/code", code=desk.code("billing"))
        assert 303 == answer.status_code
        assert planted not in str(answer.headers.get_list("set-cookie")) and not desk.is_alive(planted)


def test_signing_in_again_in_one_browser_ends_the_session_of_before(desk: Desk) -> None:
    before, another = signed_in(desk.test, "billing"), signed_in(desk.test, "billing")
    with desk.half_way("billing") as browser:
        browser.cookies.set(COOKIE, before, domain="localhost.local", path="/")
        assert 401 == send(browser, "/login/code", code="000000").status_code
        assert desk.is_alive(before)
        assert 303 == send(browser, "/login/code", code=desk.code("billing")).status_code
        assert desk.is_alive(browser.cookies[COOKIE])
    assert (False, True) == (desk.is_alive(before), desk.is_alive(another))


def test_a_planted_first_half_of_somebody_else_takes_no_code_of_mine(desk: Desk) -> None:
    with desk.half_way("analyst") as browser:
        assert 401 == send(browser, "/login/code", code=desk.code("billing")).status_code


# What nobody can tell from a refusal ---------------------------------------------------------------------------


def test_a_refusal_takes_whole_steps_of_time() -> None:
    for passed_s, expected in ((0.0, FLOOR_S), (0.1, 0.3), (0.399, 0.001), (0.41, 0.39), (2.05, 0.35)):
        assert pytest.approx(expected) == rest_of_step(passed_s)


def gap(*kinds: list[float]) -> float:
    """By how much the medians differ."""
    middle = [statistics.median(times) for times in kinds]
    return max(middle) - min(middle)


MOST_APART_S, MOST_TIMES = 0.010, 3


def calm(measure: Callable[[], dict[str, list[float]]]) -> dict[str, list[float]]:
    """What was measured, again where the medians were too far apart: noise passes, and a door that tells does so each time."""
    for _ in range(MOST_TIMES):
        took = measure()
        if gap(*took.values()) < MOST_APART_S:
            break
    return took


def test_a_door_that_tells_by_twelve_milliseconds_is_not_waited_away() -> None:
    dice = Random(1)

    def leaky() -> dict[str, list[float]]:
        kinds = {"known": 0.012, "unknown": 0, "shut": 0}
        return {k: [0.4 + more + dice.expovariate(2000) for _ in range(104)] for k, more in kinds.items()}

    assert gap(*calm(leaky).values()) > MOST_APART_S


def test_known_unknown_and_shut_out_names_cannot_be_told_apart_by_time_or_answer(slow_desk: Desk) -> None:
    """Row 7 of the list of attacks: the medians of 104 tries each differ by less than 10 ms."""
    desk = slow_desk
    known = [role.value for role in STAFF if role.value in desk.test.secrets]
    for n, login in enumerate(shut := [f"shut.out{n}" for n in range(len(known))]):
        desk.newcomer(
            login, password_hash=desk.test.house.ports.accounts.new_verifier(PASSWORD), is_active=False
        )
        assert n < len(known)
    kinds = {"known": known, "unknown": [f"nobody{n}" for n in range(len(known))], "shut": shut}
    took: dict[str, list[float]] = {}
    told: dict[str, set[tuple]] = {kind: set() for kind in kinds}

    def knock(kind: str, login: str, browser: httpx.Client, token: str) -> None:
        fields = {"token": token, "next": "/", "login": login, "password": "not the password"}
        begun_s = time.perf_counter()
        answer = browser.post("/login", data=fields)
        took[kind].append(time.perf_counter() - begun_s)
        text = answer.text.replace(f'value="{login}"', 'value=""').replace(token, "")
        headers = {
            k: v for k, v in answer.headers.items() if k not in ("date", "set-cookie", "content-length")
        }
        told[kind].add((answer.status_code, text, json.dumps(headers)))
        assert len(answer.content) == int(answer.headers["content-length"])

    knocks = [(kind, logins[n]) for n in range(len(known)) for kind, logins in kinds.items()]
    browsers = [desk.stranger() for _ in knocks]
    tokens = [form_token(browser.get("/login").text) for browser in browsers]
    turns, rounds = 104 // len(known), count()

    def measure() -> dict[str, list[float]]:
        took.update({kind: [] for kind in kinds})
        first = turns * next(rounds)
        with ThreadPoolExecutor(len(knocks)) as pool:
            for turn in range(turns):
                desk.test.clock.pass_(minutes=30)
                for n, browser in enumerate(browsers):
                    browser.headers["x-forwarded-for"] = f"10.{first + turn}.{n}.1"
                # Each turn begins with another kind, so that whoever is served first is not always of one.
                order = knocks[turn % 3 :] + knocks[: turn % 3]
                list(
                    pool.map(
                        lambda args: knock(*args),
                        [(*o, b, t) for o, b, t in zip(order, browsers, tokens, strict=True)],
                    )
                )
        return dict(took)

    took = calm(measure)
    assert [104] * 3 == [len(times) for times in took.values()]
    assert min(min(times) for times in took.values()) >= FLOOR_S
    assert gap(*took.values()) < MOST_APART_S, {k: statistics.median(t) for k, t in took.items()}
    assert 1 == len(set().union(*told.values())), told


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("/login", {"login": "billing", "password": "wrong"}),
        ("/login/code", {"code": "000000"}),
        ("/activate", {"slip": "AAAAA-BBBBB"}),
    ],
)
def test_every_refusal_at_the_door_takes_the_same_least_time(
    slow_desk: Desk, path: str, fields: dict
) -> None:
    with slow_desk.half_way("billing") as browser:
        token = form_token(browser.get(path).text)
        begun_s = time.perf_counter()
        assert 401 == browser.post(path, data={"token": token, **fields}).status_code
        assert time.perf_counter() - begun_s >= FLOOR_S


def test_ten_thousand_guessed_tokens_open_nothing(desk: Desk) -> None:
    with desk.test.house.work(desk.test.actors["nobody"]) as work, work.look(Permission.SIGN_IN):
        found = [
            sessions.actor_of(work, token=secrets.token_urlsafe(32), channel="console") for _ in range(10_000)
        ]
    assert not any(found)


# Every form, every script's answer -----------------------------------------------------------------------------


def posts() -> list[str]:
    """Every path at the door that takes a POST, as it is routed."""
    found = [
        r for r in signin_routes.routes(Door(None)) if isinstance(r, Route) and "POST" in (r.methods or ())
    ]  # type: ignore[arg-type]
    return sorted({r.path for r in found})


def test_the_doors_that_take_something_are_these() -> None:
    assert [
        "/account/app",
        "/account/keys",
        "/account/keys/options",
        "/account/keys/remove",
        "/account/password",
        "/account/recovery",
        "/account/sessions/end",
        "/activate",
        "/activate/app",
        "/activate/password",
        "/login",
        "/login/code",
        "/login/key",
        "/login/key/options",
        "/logout",
        "/stepup",
        "/stepup/key",
        "/stepup/key/options",
    ] == posts()


def test_nothing_of_another_site_or_name_is_taken(desk: Desk) -> None:
    elsewhere = [
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "http://[::1"}, 403),
        ({"origin": f"{desk.url}.evil.example"}, 403),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-site"}, 403),
        ({"host": "evil.example"}, 421),
        ({"host": "localhost.evil.example"}, 421),
        ({"host": "evil.example", "origin": "http://evil.example"}, 421),
    ]
    with desk.of("billing") as browser:
        token = form_token(browser.get("/stepup?for=factors").text)
        for n, path in enumerate(posts()):
            # All of them at one door; at each of the others another site, a page without an origin, and another name.
            for headers, expected in elsewhere if n == 0 else (elsewhere[0], elsewhere[1], elsewhere[6]):
                answer = browser.post(path, data={"token": token}, headers=headers)
                assert expected == answer.status_code, (path, headers)
        assert "Billing Person" == browser.get("/").text


def test_nothing_without_its_form_token_is_taken(desk: Desk) -> None:
    with desk.of("billing") as browser:
        browser.get("/stepup?for=factors")

        def knock(path: str) -> tuple[str, int, int]:
            form = browser.post(path, data={"token": "A" * 43, "key": "x"})
            script = browser.post(path, json={}, headers={"x-sorg-form": "A" * 43})
            return path, form.status_code, script.status_code

        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(knock, posts()))
        assert "Billing Person" == browser.get("/").text
    # A form where a script's answer is asked for lacks the header, and the other way round; nothing else leads on than
    # a page that asks for a key of one's own, or for the password before the app.
    for path, form, script in answers:
        assert form in (303, 401, 403) and script in (400, 403), (path, form, script)


def test_the_token_of_another_browsers_form_is_not_taken(desk: Desk) -> None:
    with desk.stranger() as mine, desk.stranger() as other:
        token = form_token(other.get("/login").text)
        mine.get("/login")
        assert (
            403
            == mine.post(
                "/login", data={"token": token, "login": "billing", "password": PASSWORD}
            ).status_code
        )


@pytest.mark.parametrize(
    "path",
    ["/activate", "/activate/password", "/activate/app", "/login/code", "/login/key", "/login/key/options"],
)
def test_more_than_sixty_four_kilobytes_are_not_read(desk: Desk, path: str) -> None:
    with desk.stranger() as browser:
        token = form_token(browser.get("/activate").text)
        kind = "application/json" if "key" in path else FORM_TYPE
        answer = browser.post(
            path, content=b"x" * (LARGEST_FORM + 1), headers={"content-type": kind, "x-sorg-form": token}
        )
    assert 413 == answer.status_code


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"[]",
        b"1",
        b"{",
        b"\xff",
        b"[" * 50_000,
        b'{"answer": 1e999}',
        b'{"answer": {"id": ["x"]}}',
        b'{"answer": {"id": "x", "response": []}}',
        b'{"answer": {"id": "\\ud800"}}',
    ],
)
def test_what_is_no_answer_of_a_key_is_refused_calmly(desk: Desk, said: bytes) -> None:
    with desk.half_way("billing") as browser:
        token = form_token(browser.get("/login/code").text)
        for path in ("/login/key", "/login/key/options"):
            answer = browser.post(
                path, content=said, headers={"content-type": "application/json", "x-sorg-form": token}
            )
            assert answer.status_code in (400, 401) and answer.json()["sentence"]


def test_a_surprise_is_answered_with_a_number_and_every_header(desk: Desk) -> None:
    with desk.of("billing") as browser:
        answer = browser.get("/images/surprise")
    assert 500 == answer.status_code and re.search(r"number [0-9A-F]{6}\.", answer.text)
    assert "Thandô" not in answer.text
    assert ("DENY", "nosniff") == (
        answer.headers["x-frame-options"],
        answer.headers["x-content-type-options"],
    )
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]


def test_only_the_pages_of_keys_run_a_script_and_only_ours(desk: Desk) -> None:
    for path in (
        "/login",
        "/login/code",
        "/activate",
        "/stepup?for=factors",
        "/account/keys",
        "/account/keys/new",
        "/account/app",
    ):
        with desk.of("billing") as browser:
            answer = browser.get(path)
        policy, runs = (
            answer.headers["content-security-policy"],
            path.partition("?")[0] in ("/login/code", "/stepup", "/account/keys/new"),
        )
        assert runs == ("script-src 'self';" in policy), path
        assert (
            policy.startswith("default-src 'none'")
            and "unsafe" not in policy
            and "form-action 'self'" in policy
        )
        assert "no-store" == answer.headers["cache-control"] and "<script>" not in answer.text, path


def test_the_open_paths_are_these() -> None:
    assert {
        "/login",
        "/login/code",
        "/login/key",
        "/login/key/options",
        "/login/keys.js",
        "/login/style.css",
        "/login/oidc",
        "/login/oidc/back",
        "/activate",
        "/activate/password",
        "/activate/app",
        "/health",
        "/favicon.png",
    } == OPEN


def test_under_https_every_cookie_is_secure_and_the_sessions_is_bound_to_the_host(desk: Desk) -> None:
    with served(doors_of(desk.test, https=True)) as url, browser_of(url) as browser:
        token = form_token((first := browser.get("/login")).text)
        kept = {"cookie": f"{FORM}={token}"}
        fields = {"token": token, "login": "billing", "password": PASSWORD}
        second = browser.post("/login", data=fields, headers=kept)
        half = re.search(f"{CODE}=([^;]+)", second.headers["set-cookie"])[1]
        code = {"token": token, "code": desk.code("billing")}
        third = browser.post("/login/code", data=code, headers={"cookie": f"{FORM}={token}; {CODE}={half}"})
        assert (303, 303) == (second.status_code, third.status_code)
        cookies = [c for answer in (first, second, third) for c in answer.headers.get_list("set-cookie")]
        assert all("Secure" in c and "HttpOnly" in c and "SameSite=strict" in c for c in cookies)
        assert any(
            c.startswith(f"__Host-{COOKIE}=") and "Path=/;" in c and "Domain" not in c for c in cookies
        )


# Confirming -----------------------------------------------------------------------------------------------------


def test_a_code_confirms_one_purpose_and_the_token_is_made_anew(desk: Desk) -> None:
    with desk.of("radiologist") as browser:
        before = browser.cookies[COOKIE]
        purpose, back = "sign:study:version", "/sign_off?study=1&for=x"
        where = f"/stepup?for={quote(purpose)}&next={quote(back, safe='')}"
        assert "Signing a report" in browser.get(where).text
        answer = send(browser, "/stepup", at=where, code=desk.code("radiologist"), purpose=purpose, next=back)
        assert (303, back) == (answer.status_code, answer.headers["location"])
        after = browser.cookies[COOKIE]
        assert before != after and (False, True) == (desk.is_alive(before), desk.is_alive(after))
        actor = desk.test.do("nobody", sessions.actor_of, token=after, channel="console")
        with desk.test.house.work(actor) as work:
            assert (True, False) == tuple(
                factors.is_proved(work, purpose=p) for p in (purpose, "sign:study:other")
            )
        with desk.stranger() as thief:
            thief.cookies.set(COOKIE, before, domain="localhost.local", path="/")
            assert 303 == thief.get("/").status_code
    entry = desk.test.do("admin", privacy.entries, size=1)[0]
    assert ("sign-in", "rotated") == (entry.act, entry.facts["stage"])


def test_a_wrong_code_confirms_nothing(desk: Desk) -> None:
    with desk.of("radiologist") as browser:
        before = browser.cookies[COOKIE]
        answer = send(browser, "/stepup", at="/stepup?for=factors", code="000000", purpose="factors")
        assert 401 == answer.status_code and factors.WRONG_CODE in answer.text
        assert before == browser.cookies[COOKIE] and desk.is_alive(before)


@pytest.mark.parametrize(
    "purpose",
    ["", "evil", "factors:x", "sign:", "sign", "new-key", "sign-in", "sign:" + "x" * 200, "sign:\x00"],
)
def test_what_is_no_purpose_is_not_confirmed(desk: Desk, purpose: str) -> None:
    assert "" == what_for(purpose)
    with desk.of("radiologist") as browser:
        assert 400 == browser.get("/stepup", params={"for": purpose}).status_code


def test_every_purpose_that_a_verb_asks_for_has_words() -> None:
    assert {"sign:", "change:", "glass:", "export:", "factors", "admin"} == set(PURPOSES)
    assert PURPOSES["change:"] == what_for("change:0190:abc")


@pytest.mark.parametrize(
    "wish", ["//evil.example", "https://evil.example", "/\\evil.example", "/login", "/activate"]
)
def test_confirming_leads_to_no_other_place(desk: Desk, wish: str) -> None:
    with desk.of("radiologist") as browser:
        answer = send(
            browser,
            "/stepup",
            at="/stepup?for=factors",
            code=desk.code("radiologist"),
            purpose="factors",
            next=wish,
        )
        assert (303, "/") == (answer.status_code, answer.headers["location"])


# The slip -------------------------------------------------------------------------------------------------------


def secret_of(shown: str) -> str:
    found = re.search(r'class="secret">([A-Z2-7 ]+)<', shown)
    assert found, shown
    return found[1].replace(" ", "")


def code_of(desk: Desk, secret: str) -> str:
    desk.test.clock.pass_(seconds=31)
    return pyotp.TOTP(secret).at(desk.test.clock.at)


def test_a_slip_leads_to_a_password_an_app_and_ten_codes(desk: Desk) -> None:
    slip = desk.slip_for(desk.newcomer("by.slip"))
    with desk.stranger() as browser:
        answer = send(browser, "/activate", slip=slip.lower().replace("-", "  "))
        assert (303, "/activate/password") == (answer.status_code, answer.headers["location"])
        assert all(
            word in answer.headers["set-cookie"]
            for word in ("HttpOnly", "SameSite=strict", "Path=/activate", "Max-Age=900")
        )
        shown = browser.get("/activate/password").text
        assert 'autocomplete="new-password"' in shown and "Lerato Botha" in shown
        for password, again, said in (
            (NEW_PASSWORD, "another one", "not the same"),
            ("short", "short", "12 to 256"),
            ("by.slip.by.slip", "by.slip.by.slip", "not a name"),
        ):
            answer = send(browser, "/activate/password", password=password, again=again)
            assert 400 == answer.status_code and said in answer.text, answer.text
        answer = send(browser, "/activate/password", password=NEW_PASSWORD, again=NEW_PASSWORD)
        secret = secret_of(answer.text)
        assert (
            'src="data:image/svg+xml' in answer.text
            and "img-src 'self' data:" in answer.headers["content-security-policy"]
        )
        box = re.search(r'name="box" value="([0-9a-f]+)"', answer.text)[1]
        fields = {"token": form_token(answer.text), "box": box}
        wrong = browser.post("/activate/app", data={**fields, "code": "000000"})
        assert 401 == wrong.status_code and secret == secret_of(wrong.text)
        done = browser.post("/activate/app", data={**fields, "code": code_of(desk, secret)})
        assert 200 == done.status_code and 10 == done.text.count("<code>") and 'href="/login"' in done.text
        assert SLIP not in browser.cookies
    with desk.stranger() as browser:
        used = send(browser, "/activate", slip=slip)
        assert 401 == used.status_code and "used already" in used.text
        assert 303 == send(browser, "/login", login="by.slip", password=NEW_PASSWORD).status_code
        assert 303 == send(browser, "/login/code", code=code_of(desk, secret)).status_code


def test_a_new_password_alone_needs_the_app_that_is_there(desk: Desk) -> None:
    person = desk.newcomer("forgot.it", password_hash="x", slip_sets_password=True)
    with desk.test.house.work(desk.test.actors["system"]) as work, work.tend(Permission.PEOPLE_FOUND):
        secret, _ = factors.new_totp(work, work.get(Person, person.id))
    with desk.stranger() as browser:
        send(browser, "/activate", slip=desk.slip_for(person))
        answer = send(browser, "/activate/password", password=NEW_PASSWORD, again=NEW_PASSWORD)
        assert (303, "/activate/app") == (answer.status_code, answer.headers["location"])
        assert 401 == send(browser, "/activate/app", code="000000").status_code
        done = send(browser, "/activate/app", code=code_of(desk, secret))
        assert "Your new password is set" in done.text and "<code>" not in done.text


def test_a_new_app_alone_needs_the_password_that_is_there(desk: Desk) -> None:
    hashed = desk.test.house.ports.accounts.new_verifier(PASSWORD)
    with desk.stranger() as browser:
        send(browser, "/activate", slip=desk.slip_for(desk.newcomer("new.phone", password_hash=hashed)))
        assert 'name="again"' not in browser.get("/activate/password").text
        assert 401 == send(browser, "/activate/password", password="not the password").status_code
        assert "data:image/svg+xml" in send(browser, "/activate/password", password=PASSWORD).text


def test_a_slip_is_taken_from_no_address_and_put_into_none(desk: Desk) -> None:
    slip = desk.slip_for(desk.newcomer("no.address"))
    with desk.stranger() as browser:
        assert slip not in browser.get(f"/activate?slip={slip}").text
        answer = send(browser, "/activate", slip=slip)
        assert slip not in answer.headers["location"]


@pytest.mark.parametrize("slip", ["", "AAAAA", "A" * 70_000, "\x00", "Ω" * 30])
def test_what_is_no_slip_gets_one_sentence(desk: Desk, slip: str) -> None:
    with desk.stranger() as browser:
        token = form_token(browser.get("/activate").text)
        answer = browser.post("/activate", data={"token": token, "slip": slip})
    assert answer.status_code in (401, 413)


def test_a_slip_that_is_too_old_or_forgotten_begins_anew(desk: Desk) -> None:
    slip = desk.slip_for(desk.newcomer("too.old"))
    with desk.stranger() as browser:
        send(browser, "/activate", slip=slip)
        desk.test.clock.pass_(days=30)
        assert "too old" in browser.get("/activate/password").text
        forgotten = browser.get("/activate/password")
        assert 401 == forgotten.status_code and "fifteen minutes" in forgotten.text


def test_of_two_with_slips_in_one_browser_neither_chooses_the_others_password(desk: Desk) -> None:
    mine, theirs = desk.newcomer("first.window"), desk.newcomer("second.window")
    with desk.stranger() as browser:
        send(browser, "/activate", slip=desk.slip_for(mine))
        window = browser.get("/activate/password").text
        send(browser, "/activate", slip=desk.slip_for(theirs))
        typed = {"login": "first.window", "password": NEW_PASSWORD, "again": NEW_PASSWORD}
        answer = browser.post("/activate/password", data={"token": form_token(window), **typed})
        assert (409, True, True) == (
            answer.status_code,
            escape(ANOTHERS) in answer.text,
            "You will sign in as second.window" in answer.text,
        )
    with desk.test.does("system") as work, work.look(Permission.SYSTEM_SEE):
        assert ["", ""] == [work.get(Person, person.id).password_hash for person in (mine, theirs)]


def test_a_box_of_another_slip_shows_no_secret(desk: Desk) -> None:
    shown = {}
    for login in ("box.one", "box.two"):
        with desk.stranger() as browser:
            send(browser, "/activate", slip=desk.slip_for(desk.newcomer(login)))
            shown[login] = send(browser, "/activate/password", password=NEW_PASSWORD, again=NEW_PASSWORD).text
            box = re.search(r'name="box" value="([0-9a-f]+)"', shown["box.one"])[1]
            answer = browser.post(
                "/activate/app", data={"token": form_token(shown[login]), "box": box, "code": "000000"}
            )
            assert {"box.one": 401, "box.two": 303}[login] == answer.status_code


class Silent:
    """A directory that does not answer."""

    kind, writes = "ad", True

    def answers(self) -> bool:
        return False

    def __getattr__(self, name: str):
        def asked(*what: object, **how: object):
            raise Away("The directory does not answer.")

        return asked


def test_while_the_directory_is_away_the_slip_stays_good_and_the_sign_in_says_so(desk: Desk) -> None:
    slip = desk.slip_for(desk.newcomer("away", directory="directory"))
    house = desk.test.house
    before, house.ports = house.ports, replace(house.ports, directory=Silent())
    try:
        with desk.stranger() as browser:
            send(browser, "/activate", slip=slip)
            answer = send(browser, "/activate/password", password=PASSWORD)
            assert 503 == answer.status_code and activation_desk.DIRECTORY_AWAY in answer.text.replace(
                "&#x27;", "'"
            )
            assert 200 == browser.get("/activate/password").status_code
            assert page.AWAY in browser.get("/login").text.replace("&#x27;", "'")
    finally:
        house.ports = before


# One's own factors ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path", ["/account/app", "/account/recovery", "/account/keys/new", "/account/password"]
)
def test_a_change_of_factors_is_confirmed_first_and_comes_back(desk: Desk, path: str) -> None:
    with desk.of("manager") as browser:
        answer = browser.get(path)
        assert f"/stepup?for=factors&next={quote(path, safe='')}" == answer.headers["location"]
        answer = send(
            browser,
            "/stepup",
            at=answer.headers["location"],
            code=desk.code("manager"),
            purpose="factors",
            next=path,
        )
        assert (303, path) == (answer.status_code, answer.headers["location"])
        assert 200 == browser.get(path).status_code


def test_a_confirmation_makes_ten_new_codes_once(desk: Desk) -> None:
    with desk.of("manager") as browser:
        send(browser, "/stepup", at="/stepup?for=factors", code=desk.code("manager"), purpose="factors")
        form = {"token": form_token(browser.get("/account/recovery").text)}
        assert 10 == browser.post("/account/recovery", data=form).text.count("<code>")
        again = browser.post("/account/recovery", data=form)
        assert (303, "/stepup?for=factors&next=%2Faccount%2Frecovery") == (
            again.status_code,
            again.headers["location"],
        )


def test_a_new_app_takes_over_with_its_first_right_code(desk: Desk) -> None:
    with desk.of("analyst") as browser:
        send(browser, "/stepup", at="/stepup?for=factors", code=desk.code("analyst"), purpose="factors")
        shown = send(browser, "/account/app")
        secret, box = secret_of(shown.text), re.search(r'name="box" value="([0-9a-f]+)"', shown.text)[1]
        fields = {"token": form_token(shown.text), "box": box}
        wrong = browser.post("/account/app", data={**fields, "code": desk.code("analyst")})
        assert 401 == wrong.status_code and secret == secret_of(wrong.text)
        assert "in use" in browser.post("/account/app", data={**fields, "code": code_of(desk, secret)}).text
        desk.test.secrets["analyst"] = secret
    assert desk.is_alive(signed_in(desk.test, "analyst"))


def test_an_ip_address_says_why_there_are_no_keys(desk: Desk) -> None:
    port = desk.url.rsplit(":", 1)[1]
    with browser_of(desk.url.replace("localhost", "127.0.0.1")) as browser:
        browser.cookies.set(COOKIE, signed_in(desk.test, "billing"), domain="127.0.0.1", path="/")
        shown = browser.get("/account/keys").text
        assert f"http://localhost:{port}" in shown and "Add a key" not in shown
        token = form_token(browser.get("/stepup?for=factors").text)
        answer = browser.post(
            "/stepup/key/options", json={"purpose": "factors"}, headers={"x-sorg-form": token}
        )
        assert 400 == answer.status_code and "host name" in answer.json()["sentence"]


def test_a_key_is_not_made_without_a_fresh_proof_and_the_script_is_told_where_to_go(desk: Desk) -> None:
    with desk.of("billing") as browser:
        header = {"x-sorg-form": form_token(browser.get("/stepup?for=factors").text)}
        answer = browser.post("/account/keys/options", json={}, headers=header)
        assert (401, "/stepup?for=factors&next=%2Faccount%2Fkeys%2Fnew") == (
            answer.status_code,
            answer.json()["go"],
        )
        assert (
            401 == browser.post("/account/keys", json={"answer": {}, "name": "x"}, headers=header).status_code
        )


@pytest.mark.parametrize("key", ["", "x", "01a20d2a-fd7a-7410-8fed-dd515956e9ff", "../../board"])
def test_a_key_that_is_not_mine_is_not_taken_away(desk: Desk, key: str) -> None:
    with desk.of("billing") as browser:
        for answer in (
            browser.get("/account/keys/remove", params={"key": key}),
            browser.post("/account/keys/remove", data={"key": key}),
        ):
            assert (303, "/account/keys") == (answer.status_code, answer.headers["location"])


def test_a_new_password_is_typed_twice_beside_the_old_one_and_signs_out_everywhere_else(desk: Desk) -> None:
    with desk.of("transcriptionist") as browser, desk.of("transcriptionist") as elsewhere:
        send(
            browser,
            "/stepup",
            at="/stepup?for=factors",
            code=desk.code("transcriptionist"),
            purpose="factors",
        )
        shown = browser.get("/account/password").text
        assert 'autocomplete="current-password"' in shown and 2 == shown.count('autocomplete="new-password"')
        for fields, status, said in (
            ({"password": PASSWORD, "new": NEW_PASSWORD, "again": "another one"}, 400, "not the same"),
            ({"password": PASSWORD, "new": "short", "again": "short"}, 400, "12 to 256"),
            (
                {"password": "wrong horse", "new": NEW_PASSWORD, "again": NEW_PASSWORD},
                401,
                "not your password",
            ),
        ):
            answer = send(browser, "/account/password", **fields)
            assert status == answer.status_code and said in answer.text, answer.text
            assert NEW_PASSWORD not in answer.text and PASSWORD not in answer.text
        done = send(browser, "/account/password", password=PASSWORD, new=NEW_PASSWORD, again=NEW_PASSWORD)
        assert 200 == done.status_code and "One other window was signed out" in done.text
        assert "Transcriptionist Person" == browser.get("/").text
        assert "/login" == elsewhere.get("/").headers["location"]
        again = browser.post(
            "/account/password",
            data={"token": form_token(shown), "password": NEW_PASSWORD, "new": PASSWORD, "again": PASSWORD},
        )
        assert "/stepup?for=factors&next=%2Faccount%2Fpassword" == again.headers["location"]


def test_somebody_of_single_sign_on_reads_who_keeps_their_password(desk: Desk) -> None:
    with desk.of("reception") as browser:
        person = desk.test.actors["reception"].person
        with desk.test.house.work(desk.test.actors["system"]) as work, work.tend(Permission.PEOPLE_FOUND):
            work.get(Person, person).directory = "sso"
        try:
            shown = browser.get("/account/password").text
        finally:
            with desk.test.house.work(desk.test.actors["system"]) as work, work.tend(Permission.PEOPLE_FOUND):
                work.get(Person, person).directory = "local"
        assert "single sign-on keeps your password" in shown and "<form" not in shown


def test_after_a_change_of_keys_the_other_windows_may_be_signed_out(desk: Desk) -> None:
    with desk.of("billing") as browser, desk.of("billing") as elsewhere:
        assert "Sign out everywhere else" not in browser.get("/account/keys").text
        answer = send(browser, "/account/sessions/end", at="/account/keys?done=removed")
        assert (303, "/account/keys?done=ended") == (answer.status_code, answer.headers["location"])
        shown = browser.get("/account/keys?done=ended").text
        assert "is signed out" in shown and "Sign out everywhere else" not in shown
        assert "/login" == elsewhere.get("/").headers["location"]


def test_a_new_admin_is_offered_a_key_where_keys_work_and_nobody_else_is(desk: Desk) -> None:
    for login, role, offered in (("new.admin", Role.ADMIN, True), ("new.clerk", Role.BILLING, False)):
        with desk.stranger() as browser:
            send(browser, "/activate", slip=desk.slip_for(desk.newcomer(login, role=role)))
            shown = send(browser, "/activate/password", password=NEW_PASSWORD, again=NEW_PASSWORD).text
            fields = {
                "token": form_token(shown),
                "box": re.search(r'name="box" value="([0-9a-f]+)"', shown)[1],
            }
            done = browser.post("/activate/app", data={**fields, "code": code_of(desk, secret_of(shown))})
        assert offered == ('href="/login?next=%2Faccount%2Fkeys%2Fnew"' in done.text), login
