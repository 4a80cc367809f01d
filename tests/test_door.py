"""Who stands behind a session: how often the directory is asked, that a silent one keeps nobody waiting, and its return.

Both doors stand on doors.presence; each is asked here as its own people ask it.
"""

from collections.abc import Callable
from dataclasses import replace
from uuid import UUID

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session
from starlette.testclient import TestClient

from console.door import Door
from core import patients
from core.errors import Away
from core.ports.directory import Entry
from core.rules.roles import Role
from core.store.db import maintenance
from core.store.model import Person, SignInSession
from gateway.app import create
from gateway.images import OrthancImages
from gateway.manners import SESSION
from tests.fixtures.doors import signed_in
from tests.fixtures.guests import hire
from tests.fixtures.house import THANDO, TestHouse

Lets = Callable[[str], bool]


class Silent:
    """A directory that answers nothing until it is back; it counts how often it was asked. Nobody has an account there."""

    kind, writes = "ad", False

    def __init__(self) -> None:
        self.asked, self.is_back = 0, False

    def look_up(self, entry_id: str) -> Entry | None:
        self.asked += 1
        if self.is_back:
            return None
        raise Away("Nobody answers.")


def at_the_console(house: TestHouse) -> tuple[Lets, list[str]]:
    """Whether it lets somebody in, and the sessions of two people there."""
    door = Door(house.house)
    return lambda token: door.who(token) is not None, [
        signed_in(house, role) for role in ("reception", "radiographer")
    ]


def at_the_gateway(house: TestHouse) -> tuple[Lets, list[str]]:
    patient = house.do("reception", patients.register, THANDO)
    tokens = [hire(house, Role.PATIENT, patient_id=patient).enters(channel="gateway") for _ in range(2)]
    app = create(house.house, OrthancImages("http://127.0.0.1:9", ("", "")))

    def lets(token: str) -> bool:
        browser = TestClient(
            app, base_url=house.house.rules["gateway_url"], cookies={SESSION: token}, follow_redirects=False
        )
        return 200 == browser.get("/account/studies").status_code

    return lets, tokens


@pytest.fixture(params=[at_the_console, at_the_gateway])
def door(request: pytest.FixtureRequest, house: TestHouse) -> tuple[Lets, list[str], Silent]:
    """A door, two who came while the directory was away, and the directory."""
    lets, tokens = request.param(house)
    with maintenance("test"), Session(house.house.engine.execution_options(write=True)) as db:
        began = db.scalars(select(SignInSession).where(SignInSession.stage == "open")).all()
        for number, session in enumerate(began, 1):
            person = db.get_one(Person, session.person_id)
            person.directory, person.directory_id = "directory", str(UUID(int=number))
            person.checked_at, session.is_away = None, True
        db.commit()
    silent = Silent()
    house.house.ports = replace(house.house.ports, directory=silent)
    return lets, tokens, silent


def test_a_session_of_a_silent_directory_asks_it_every_ten_seconds_and_not_at_each_question(
    door: tuple[Lets, list[str], Silent], house: TestHouse
):
    lets, (token, _), silent = door
    assert [True] * 12 == [lets(token) for _ in range(12)]
    assert 1 == silent.asked
    house.clock.pass_(seconds=10)
    assert lets(token)
    assert 2 == silent.asked


def test_once_the_directory_is_heard_again_everybody_is_asked_about_at_their_next_step(
    door: tuple[Lets, list[str], Silent], house: TestHouse
):
    lets, (first, other), silent = door
    assert lets(first)
    house.clock.pass_(seconds=9)
    assert lets(other)
    silent.is_back = True
    house.clock.pass_(seconds=1)
    assert not lets(first)
    # This one was asked about a second ago; who has no account there any more does not stay for nine seconds more.
    assert not lets(other)
