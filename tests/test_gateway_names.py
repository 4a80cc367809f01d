"""Whether the patients' door tells who has an account: known and unknown names, and those of staff."""

from __future__ import annotations

import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import count

import httpx

from core import patients
from core.rules.roles import Role
from doors.manners import FLOOR_S
from gateway.images import OrthancImages
from tests.fixtures.door import serve
from tests.fixtures.guests import hire
from tests.fixtures.house import THANDO, TestHouse
from tests.fixtures.ward import form_of
from tests.test_signin_doors import MOST_APART_S, calm, gap

AT_ONCE, TURNS = 9, 12  # of each kind; together at least a hundred tries of each


@dataclass
class Gate:
    """The gateway over a practice; `ticks` moves the clock of its limits."""

    test: TestHouse
    url: str = ""
    ticks: list[float] = field(default_factory=lambda: [0.0])


def test_known_and_unknown_names_and_those_of_staff_cannot_be_told_apart_by_time_or_answer(
    shared_house: TestHouse, monkeypatch
) -> None:
    """Row 7 of the list of attacks at the door on the internet: medians of 108 tries differ by less than 10 ms."""
    monkeypatch.setitem(shared_house.house.rules, "gateway_url", "")
    gate = Gate(shared_house)
    server, thread = serve(gate, OrthancImages("http://127.0.0.1:9", ("", "")))
    patient = shared_house.do("reception", patients.register, THANDO)
    kinds = {
        "known": [hire(shared_house, Role.PATIENT, patient_id=patient).login for _ in range(AT_ONCE)],
        "unknown": [f"nobody.there{n}" for n in range(AT_ONCE)],
        "staff": [hire(shared_house, Role.BILLING).login for _ in range(AT_ONCE)],
    }
    took: dict[str, list[float]] = {}
    told: set[tuple[int, str]] = set()

    def knock(kind: str, login: str, browser: httpx.Client, form: str) -> None:
        said = {"form": form, "login": login, "password": "not the password"}
        begun_s = time.perf_counter()
        answer = browser.post("/account", data=said, headers={"Origin": "null"})
        took[kind].append(time.perf_counter() - begun_s)
        told.add((answer.status_code, answer.text.replace(f'value="{login}"', 'value=""').replace(form, "")))

    knocks = [(kind, logins[n]) for n in range(AT_ONCE) for kind, logins in kinds.items()]
    try:
        browsers = [
            httpx.Client(base_url=gate.url, timeout=30, trust_env=False, verify=False) for _ in knocks
        ]
        forms = [form_of(browser.get("/account")) for browser in browsers]
        rounds = count()

        def measure() -> dict[str, list[float]]:
            took.update({kind: [] for kind in kinds})
            first = TURNS * next(rounds)
            with ThreadPoolExecutor(len(knocks)) as pool:
                for turn in range(TURNS):
                    gate.ticks[0] += 3600
                    shared_house.clock.pass_(minutes=31)
                    for n, browser in enumerate(browsers):
                        browser.headers["x-forwarded-for"] = f"10.{70 + first + turn}.{n}.1"
                    # Each turn begins with another kind, so that whoever is served first is not always of one.
                    order = knocks[turn % len(kinds) :] + knocks[: turn % len(kinds)]
                    list(pool.map(knock, *zip(*order, strict=True), browsers, forms))
            return dict(took)

        took = calm(measure)
    finally:
        server.should_exit = True
        thread.join(10)
    assert {AT_ONCE * TURNS} == {len(times) for times in took.values()}
    assert min(min(times) for times in took.values()) >= FLOOR_S
    assert gap(*took.values()) < MOST_APART_S, {k: statistics.median(t) for k, t in took.items()}
    assert [401] == [status for status, _ in told], told
