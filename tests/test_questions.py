"""Lists ask the database a few questions, however long they are: each is drawn on a click, or every half minute."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from core import access, changes, patients, people
from core.rules.roles import Permission
from core.store.model import ChangeRequest, GlassBreak, PatientGrant, Person
from core.store.work import Subject, Work
from tests.fixtures.guests import hire
from tests.fixtures.house import THANDO, TestHouse, open_test_house
from tests.fixtures.postgres import Cluster
from tests.fixtures.questions import questions

FEW, MANY = 1, 50


@pytest.fixture(scope="module", params=["sqlcipher", "postgresql"])
def practice(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[TestHouse, list[UUID]]]:
    """A practice with two admins and fifty patients, nothing of whom waits yet."""
    url = None
    if request.param == "postgresql":
        cluster: Cluster = request.getfixturevalue("postgres_cluster")
        cluster.run("CREATE DATABASE questions TEMPLATE template0")
        url = cluster.url("questions")
    test = open_test_house(tmp_path_factory.mktemp("questions") / "home", url=url)
    yield test, patients_of(test)
    test.house.engine.dispose()


def patients_of(test: TestHouse) -> list[UUID]:
    with test.does("reception") as work:
        return [patients.register(work, replace(THANDO, family_name=f"Family {n}")) for n in range(MANY)]


def asked_for(verb: Callable[..., Any], test: TestHouse, role: str, **how: Any) -> tuple[int, Any]:
    """How many questions it asks, and what is answered."""
    with questions(test) as asked:
        answer = test.do(role, verb, **how)
    return len(asked), answer


def gather(test: TestHouse, number: int, row: Callable[[Work, int], Any]) -> None:
    with test.does("admin") as work, work.act(Permission.PEOPLE_MANAGE):
        work.db.add_all([row(work, n) for n in range(number)])


def empty(test: TestHouse, *models: type) -> None:
    with test.does("admin") as work, work.act(Permission.PEOPLE_MANAGE):
        for model in models:
            for row in work.db.query(model):
                work.db.delete(row)


def test_what_waits_and_the_lists_of_requests_ask_as_much_for_fifty_as_for_one(practice) -> None:
    test, files = practice
    asker, colleagues = hire(test, "admin"), newcomers(test, "reception")
    told: dict[str, list[int]] = {"waiting": [], "open": [], "decided": []}
    for many in (FEW, MANY):
        empty(test, ChangeRequest)
        with test.house.work(asker.actor) as work:
            for person, patient in zip(colleagues[:many], files, strict=False):
                about = {"person_id": str(person)}
                whose = about | {
                    "patient_id": str(patient),
                    "why": "Second opinion",
                    "until_at": in_days(test, 3),
                }
                changes.ask(work, kind="grant", payload=whose, why="Second opinion")
                changes.ask(work, kind="set-roles", payload=about | {"roles": ["billing"]}, why="Other work")
        count, number = asked_for(changes.waiting, test, "admin")
        assert 2 * many == number
        told["waiting"].append(count)
        for view in ("open", "decided"):
            count, cards = asked_for(
                changes.requests, test, "admin", decided=view == "decided", size=2 * MANY
            )
            assert (2 * many, 2 * many) == (len(cards), len({card.about for card in cards}))
            told[view].append(count)
            decide(test)
    assert [] == [(view, counts) for view, counts in told.items() if counts[0] != counts[1]]
    # The requests, whoever asked for them, the admins; and the fences of whoever looks.
    assert [4, 4] == told["waiting"]
    empty(test, ChangeRequest)


def in_days(test: TestHouse, days: int) -> str:
    return (test.clock.at + timedelta(days=days)).isoformat()


def newcomers(test: TestHouse, role: str) -> list[UUID]:
    with test.does("admin") as work, work.act(Permission.PEOPLE_MANAGE):
        logins = [f"{role}{work.new_id().hex[-10:]}{n}" for n in range(MANY)]
        accounts = [{"login": login, "name": f"Person {login}", "roles": [role]} for login in logins]
        return [people.new_person(work, account, at_once=False).id for account in accounts]


def decide(test: TestHouse) -> None:
    with test.does("admin") as work, work.act(Permission.PEOPLE_MANAGE):
        for row in work.db.query(ChangeRequest):
            row.state, row.decided_by, row.decided_at = "refused", work.actor.person, work.now()


def test_the_broken_glasses_count_the_trail_once_and_each_its_own(practice) -> None:
    test, files = practice
    breaker, other = test.actors["radiologist"], test.actors["radiographer"]
    told = []
    for many in (FEW, MANY):
        empty(test, GlassBreak)
        test.clock.pass_(minutes=1)
        gather(
            test,
            many,
            lambda work, n: GlassBreak(
                id=work.new_id(),
                person_id=breaker.person,
                patient_id=files[n],
                reason="An emergency in the ward",
                at=work.now(),
                until_at=work.now() + timedelta(hours=4),
                verdict="",
                note="",
            ),
        )
        test.clock.pass_(minutes=1)
        for n in range(0, many, 10):
            for who in (breaker, other):
                with (
                    test.house.work(who) as work,
                    work.act(Permission.PATIENT_READ, Subject.patient(files[n])),
                ):
                    pass
        count, glasses = asked_for(access.glass_to_review, test, "manager")
        assert {p: int(n % 10 == 0) for n, p in enumerate(files[:many])} == {
            g.patient_id: g.acts for g in glasses
        }
        told.append(count)
    assert [2, 2] == told  # The glasses, and the trail.
    empty(test, GlassBreak)


def test_the_rights_of_one_person_or_patient_ask_as_much_for_fifty_as_for_one(practice) -> None:
    test, files = practice
    colleague, others = hire(test, "reception"), newcomers(test, "manager")
    told = []
    for many in (FEW, MANY):
        empty(test, PatientGrant)
        gather(
            test,
            many,
            lambda work, n: PatientGrant(
                id=work.new_id(),
                person_id=colleague.id,
                patient_id=files[n],
                why="Second opinion",
                from_at=work.now(),
                until_at=work.now() + timedelta(days=3),
                ended_at=work.now(),
                ended_by=others[n],
            ),
        )
        gather(
            test,
            many,
            lambda work, n: PatientGrant(
                id=work.new_id(),
                person_id=others[n],
                patient_id=files[0],
                why="Second opinion",
                from_at=work.now(),
                until_at=work.now() + timedelta(days=3),
                ended_at=work.now(),
                ended_by=others[n],
            ),
        )
        with test.does("admin") as work, work.act(Permission.PEOPLE_MANAGE):
            for person in others[:many]:
                work.get(Person, person).patient_id = files[0]
        of_person = asked_for(access.access_of_person, test, "admin", person_id=colleague.id)
        of_patient = asked_for(access.access_of, test, "manager", patient_id=files[0])
        assert many == len({right.ended_by for right in of_person[1]})
        assert [many, many + 1] == [
            len([r for r in of_patient[1].rights if r.what == what]) for what in ("own", "grant")
        ]
        told.append((of_person[0], of_patient[0]))
    assert told[0] == told[1]
    empty(test, PatientGrant)
