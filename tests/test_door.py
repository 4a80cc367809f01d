"""Who stands behind a session: how often the directory is asked, that a silent one keeps nobody waiting, and its return."""

from dataclasses import replace
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from console.door import Door
from core.errors import Away
from core.ports.directory import Entry
from core.store.db import maintenance
from core.store.model import Person, SignInSession
from tests.fixtures.doors import signed_in
from tests.fixtures.house import TestHouse


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


def from_the_directory(house: TestHouse, *roles: str) -> list[str]:
    """A session of each of them that began while the directory was away: its tokens."""
    tokens = [signed_in(house, role) for role in roles]
    with maintenance("test"), Session(house.house.engine.execution_options(write=True)) as db:
        for number, person in enumerate(db.scalars(select(Person).where(Person.login.in_(roles))), 1):
            person.directory, person.directory_id, person.checked_at = (
                "directory",
                str(UUID(int=number)),
                None,
            )
            for session in db.scalars(select(SignInSession).where(SignInSession.person_id == person.id)):
                session.is_away = True
        db.commit()
    return tokens


def test_a_session_of_a_silent_directory_asks_it_every_ten_seconds_and_not_at_each_question(house: TestHouse):
    (token,) = from_the_directory(house, "reception")
    silent = Silent()
    house.house.ports = replace(house.house.ports, directory=silent)
    door = Door(house.house)
    for _ in range(12):
        found = door.who(token)
        assert found is not None and found.bounds.reduced
    assert 1 == silent.asked
    house.clock.pass_(seconds=10)
    door.who(token)
    assert 2 == silent.asked


def test_once_the_directory_is_heard_again_everybody_is_asked_about_at_their_next_step(house: TestHouse):
    first, other = from_the_directory(house, "reception", "radiographer")
    silent = Silent()
    house.house.ports = replace(house.house.ports, directory=silent)
    door = Door(house.house)
    assert door.who(first) is not None
    house.clock.pass_(seconds=9)
    assert door.who(other) is not None
    silent.is_back = True
    house.clock.pass_(seconds=1)
    assert door.who(first) is None
    # This one was asked about a second ago; who has no account there any more does not stay for nine seconds more.
    assert door.who(other) is None
