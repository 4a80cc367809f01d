"""Who stands behind a session: how often the directory is asked, and that a silent one keeps nobody waiting."""

from dataclasses import replace
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from console.door import Door
from core.errors import Away
from core.store.db import maintenance
from core.store.model import Person, SignInSession
from tests.fixtures.doors import signed_in
from tests.fixtures.house import TestHouse


class Silent:
    """A directory that answers nothing; it counts how often it was asked."""

    kind, writes = "ad", False

    def __init__(self) -> None:
        self.asked = 0

    def look_up(self, entry_id: str) -> None:
        self.asked += 1
        raise Away("Nobody answers.")


def test_a_session_of_a_silent_directory_asks_it_every_ten_seconds_and_not_at_each_question(house: TestHouse):
    token = signed_in(house, "reception")
    with maintenance("test"), Session(house.house.engine.execution_options(write=True)) as db:
        person = db.scalars(select(Person).where(Person.login == "reception")).one()
        person.directory, person.directory_id, person.checked_at = "directory", str(UUID(int=1)), None
        for session in db.scalars(select(SignInSession).where(SignInSession.person_id == person.id)):
            session.is_away = True
        db.commit()
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
