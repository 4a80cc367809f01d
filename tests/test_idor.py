"""Ids of other people's patients: every verb that takes one is called with a real one that is out of reach.

The verbs are found by their signatures, so that a new one cannot be forgotten: an id of a new kind fails until it is
said here what it is of.
"""

import inspect
import re
import typing
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, is_dataclass, replace
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from core import changes, remittances
from core.errors import Denied, Missing, SorgError
from core.rules.access import Bounds
from core.rules.roles import STAFF, Role, Scope
from core.store.db import maintenance
from core.store.model import (
    Base,
    PatientBlock,
    PatientGrant,
    Remittance,
    RemittanceLine,
)
from core.store.work import Actor
from tests.fixtures.house import TestHouse, open_test_house
from tests.fixtures.rows import Rows, rows_of_a_patient
from tests.test_gate import dummy, verbs
from tests.test_matrix import CLOSED

OF_A_PATIENT = {"patient_id", "study_id", "arrival_id", "instance_id", "share_id", "event_id", "booking"}
OF_THE_PRACTICE = {
    "person_id", "session_id", "key_id", "glass_id", "request_id", "alert_id", "errand_id", "referrer_id",
    "remittance_id", "line_id", "about", "but", "by", "after",
}  # fmt: skip
JUST_COMPARED = {"version_id", "based_on", "filters"}  # with what the row says; they fetch nothing
# Verbs that oversee access itself, or make what a request of another admin asked for: a block hides nothing from them.
OVERSIGHT = {"access.access_of", "privacy.who_looked", "privacy.take_out", "people.add_person"}


@pytest.fixture(scope="module")
def practice(tmp_path_factory):
    test = open_test_house(tmp_path_factory.mktemp("idor"))
    yield test, rows_of_a_patient(test), rows_of_a_patient(test)
    test.house.engine.dispose()


def ids_of(verb: Callable) -> set[str]:
    """The verb's parameters that are ids, or hold one."""
    hints = typing.get_type_hints(verb)
    return {
        name
        for name in list(inspect.signature(verb).parameters)[1:]
        if "UUID" in str(hints[name])
        or (is_dataclass(hints[name]) and "UUID" in str(typing.get_type_hints(hints[name])))
    }


def arguments_for(verb: Callable, ids: dict[str, UUID], booked: UUID) -> dict[str, object]:
    """Dummies for everything but the ids."""
    hints = typing.get_type_hints(verb)
    arguments = {
        p.name: dummy(hints.get(p.name), p.name)
        for p in list(inspect.signature(verb).parameters.values())[1:]
        if p.default is p.empty or p.name in ids
    } | {name: value for name, value in ids.items() if name != "booking"}
    if "booking" in ids:
        arguments["booking"] = replace(arguments["booking"], patient_id=booked, referrer_id=None)
    return arguments


def answered(test: TestHouse, actor: Actor, verb: Callable, arguments: dict[str, object]) -> str:
    """'denied' to the role, the sentence of what is not there, or what else became of it."""
    try:
        with test.house.work(actor) as work:
            return f"{verb(work, **arguments)!r}"[:200]
    except Missing as error:
        return error.sentence
    except Denied as error:
        return "denied" if error.sentence in CLOSED else f"Denied: {error.sentence}"
    except SorgError as error:
        return f"{type(error).__name__}: {error.sentence}"
    except (AttributeError, TypeError, ValueError, KeyError) as error:
        return f"{type(error).__name__}: {error}"


def dump(test: TestHouse) -> dict[str, list]:
    """Every row of every table but the audit trail."""
    with maintenance("test"), test.house.engine.connect() as connection:
        tables = [t for t in Base.metadata.sorted_tables if t.name != "audit_entry"]
        return {t.name: sorted(map(repr, connection.execute(select(t)))) for t in tables}


def walk() -> list[str]:
    return sorted(
        name for name, verb in verbs().items() if ids_of(verb) & OF_A_PATIENT and name not in OVERSIGHT
    )


def test_every_id_that_a_verb_takes_is_known_here():
    taken = {name for verb in verbs().values() for name in ids_of(verb)}
    assert set() == taken - OF_A_PATIENT - OF_THE_PRACTICE - JUST_COMPARED
    assert 30 < len(walk())


def actors(test: TestHouse, way: str) -> list[Actor]:
    """Each member of staff, kept from the foreign patient in this way."""
    bounds = {
        "no scope": Bounds(scope=Scope.NONE),
        "nothing assigned": Bounds(scope=Scope.ASSIGNED),
        "another site": Bounds(scope=Scope.SITE, sites=frozenset({"09"})),
        "blocked": Bounds(scope=Scope.ALL),
    }[way]
    return [replace(test.actors[role], bounds=bounds) for role in STAFF]


def accounts(own: Rows) -> list[Actor]:
    """At the gateway: the one patient's account, and one of a doctor who referred neither."""
    patient = Actor(
        str(uuid4()),
        "A patient",
        frozenset({Role.PATIENT}),
        "gateway",
        bounds=Bounds(patient_id=own.patient_id),
    )
    doctor = Actor(
        str(uuid4()), "A doctor", frozenset({Role.REFERRER}), "gateway", bounds=Bounds(referrer_id=uuid4())
    )
    return [patient, doctor]


def fence(test: TestHouse, own: Rows, foreign: Rows, *, blocked: bool) -> None:
    """Everybody was let in to the one patient; everybody is kept out of the other."""
    now = test.clock.at
    with maintenance("test"), Session(test.house.engine.execution_options(write=True)) as db:
        for model in (PatientGrant, PatientBlock):
            for row in db.scalars(select(model)):
                db.delete(row)
        for role in STAFF:
            db.add(
                PatientGrant(
                    id=uuid4(),
                    origin="01",
                    person_id=UUID(test.actors[role].id),
                    patient_id=own.patient_id,
                    why="x",
                    from_at=now,
                    until_at=now + timedelta(days=1),
                )
            )
        if blocked:
            db.add(
                PatientBlock(
                    id=uuid4(), origin="01", patient_id=foreign.patient_id, kind="vip", why="x", from_at=now
                )
            )
        db.commit()


@dataclass
class Said:
    """What each of them is told of an id that is nobody's; and which verbs are not theirs, whatever the id."""

    none: dict[tuple[str, str, str], str] = field(default_factory=dict)
    denied: set[tuple[str, str]] = field(default_factory=set)


@pytest.fixture(scope="module")
def said(practice) -> Said:
    test, own, foreign = practice
    fence(test, own, foreign, blocked=False)
    found = Said()
    for name, verb, out, actor in every_try(test, own, "no scope"):
        ids = {**within(own, verb), out: uuid4()}
        told = answered(test, actor, verb, arguments_for(verb, ids, ids[out]))
        found.none[name, out, actor.name] = told
        if told == "denied":
            found.denied.add((name, actor.name))
    return found


def every_try(test: TestHouse, own: Rows, way: str) -> Iterator[tuple[str, Callable, str, Actor]]:
    """Each verb, each of its ids, and everybody."""
    for name in walk():
        verb = verbs()[name]
        for out in sorted(ids_of(verb) & OF_A_PATIENT):
            for actor in (*actors(test, way), *accounts(own)):
                yield name, verb, out, actor


def within(own: Rows, verb: Callable) -> dict[str, UUID]:
    """The verb's ids, all of the one patient whom everybody was let in to: no id vouches for another."""
    return {name: getattr(own, name, own.patient_id) for name in ids_of(verb) & OF_A_PATIENT}


def test_an_id_that_is_nobodys_gets_the_one_sentence(said):
    told = {(verb, sentence) for (verb, *_), sentence in said.none.items() if sentence != "denied"}
    assert set(IN_OTHER_WORDS.items()) == {(v, s) for v, s in told if not NOT_THERE.fullmatch(s)}


@pytest.mark.parametrize("way", ["no scope", "nothing assigned", "another site", "blocked"])
def test_an_id_out_of_reach_is_as_good_as_none(practice, said, way):
    test, own, foreign = practice
    fence(test, own, foreign, blocked=way == "blocked")
    before, wrong = dump(test), []
    for name, verb, out, actor in every_try(test, own, way):
        if (name, actor.name) in said.denied:
            continue
        ids = {**within(own, verb), out: getattr(foreign, out, foreign.patient_id)}
        told = answered(test, actor, verb, arguments_for(verb, ids, ids[out]))
        if told != said.none[name, out, actor.name]:
            wrong.append((name, out, *actor.roles, told))
    assert [] == wrong
    assert before == dump(test)


@pytest.mark.parametrize("kind", ["nil", "patient_id", "study_id", "instance_id", "version_id"])
def test_an_id_of_another_kind_is_as_good_as_none(practice, said, kind):
    """Of the very patient whom they may see: an id opens only what it is the id of."""
    test, own, foreign = practice
    fence(test, own, foreign, blocked=False)
    wrong, strange = [], UUID(int=0) if kind == "nil" else getattr(own, kind)
    for name, verb, out, actor in every_try(test, own, "no scope"):
        if (name, actor.name) in said.denied or out == kind or (out, kind) == ("booking", "patient_id"):
            continue
        ids = {**within(own, verb), out: strange}
        told = answered(test, actor, verb, arguments_for(verb, ids, strange))
        if told != said.none[name, out, actor.name]:
            wrong.append((name, out, *actor.roles, told))
    assert [] == wrong


NOT_THERE = re.compile(
    r"This [a-z ]+ does not exist, or is not yours to see\.( If care depends on it, you can break the glass\.)?"
)
# What is not there, where that sentence would not fit.
IN_OTHER_WORDS = {
    "billing.message_of": "This claim has not been submitted yet.",
    "own_studies.own_image": "That image is not part of this examination.",
    "pacs.image_source": "That image is not part of this study.",
    "pacs.unreadable_file": "There is no such file, or it is not yours to see.",
    "sharing.shares": "((), 0)",  # a list
}


# Ids and numbers that a verb takes as text, or inside something else --------------------------------------------


ACCOUNTS, OVERSEEN = ("add-person", "set-roles"), ("grant", "block", "own-record")


@pytest.mark.parametrize("way", ["no scope", "another site", "blocked"])
def test_a_request_binds_no_account_to_a_patient_out_of_reach(practice, way):
    """An account opens the record, so who asks must see it; who may see whom is overseen whatever the scope."""
    test, own, foreign = practice
    fence(test, own, foreign, blocked=way == "blocked")
    admin = actors(test, way)[0]
    said = {
        (kind, what): asked(test, admin, kind, patient_id)
        for kind in (*ACCOUNTS, *OVERSEEN)
        for what, patient_id in {
            "theirs": foreign.patient_id,
            "none": uuid4(),
            "study": own.study_id,
            "junk": "x",
        }.items()
    }
    none = {kind: "There is no such patient." for kind in (*ACCOUNTS, "own-record")} | {
        kind: "Choose the patient." for kind in ("grant", "block")
    }
    assert {(kind, what): none[kind] for kind in none for what in ("none", "study")} | {
        (kind, "junk"): "This request cannot be read." for kind in none
    } | {(kind, "theirs"): none[kind] if kind in ACCOUNTS else "asked for" for kind in none} == said


def asked(test: TestHouse, admin: Actor, kind: str, patient_id: object) -> str:
    """What asking for it is answered with; nothing of it is kept."""
    person = str(test.actors["radiologist"].person)
    until = (test.clock.at + timedelta(days=2)).isoformat()
    payload = {
        "add-person": {"login": "pat.x", "name": "Pat X", "roles": ["patient"]},
        "set-roles": {"person_id": person, "roles": ["patient"]},
        "grant": {"person_id": person, "why": "Second opinion", "until_at": until},
        "block": {"kind": "vip", "why": "Known to everybody"},
        "own-record": {"person_id": person},
    }[kind]
    try:
        with test.house.work(admin) as work:
            changes.ask(work, kind=kind, payload={**payload, "patient_id": str(patient_id)}, why="Needed")
            raise Enough
    except Enough:
        return "asked for"
    except SorgError as error:
        return " ".join(p.sentence for p in error.problems)


@pytest.mark.parametrize("way", ["no scope", "another site", "blocked"])
def test_money_in_suspense_finds_no_claim_out_of_reach(practice, way):
    test, own, foreign = practice
    fence(test, own, foreign, blocked=way == "blocked")
    line = line_in_suspense(test)
    clerk = next(a for a in actors(test, way) if Role.BILLING in a.roles)

    def said(number: str) -> str:
        with pytest.raises(SorgError) as error, test.house.work(clerk) as work:
            remittances.assign(work, line, claim_number=number)
        return error.value.sentence.replace(number, "…")

    assert (
        "There is no submitted claim with the number '…': check it." == said(number_of(foreign)) == said("17")
    )


def number_of(rows: Rows) -> str:
    """The number of their claim (tests/fixtures/rows.py)."""
    return rows.patient_id.hex[:12]


def line_in_suspense(test: TestHouse) -> UUID:
    now, payment, line = test.clock.at, uuid4(), uuid4()
    rows = (
        Remittance(id=payment, origin="01", number=payment.hex, payer="A scheme", paid_on=now.date(), total_cents=100,
                   received_at=now, posted_at=now),
        RemittanceLine(id=line, origin="01", remittance_id=payment, claim_number="x", line_number=1, tracer="", status="paid",
                       submitted_cents=100, calculated_cents=100, levy_cents=0, co_payment_cents=0, paid_cents=100, reasons=[]),
    )  # fmt: skip
    with maintenance("test"), Session(test.house.engine.execution_options(write=True)) as db:
        for row in rows:
            db.add(row)
            db.flush()
        db.commit()
    return line


class Enough(Exception):
    """The work is thrown away."""


def test_the_same_ids_are_found_within_reach(practice, said):
    """So that the walk above is refused for the reach, and for nothing else."""
    test, own, foreign = practice
    fence(test, own, foreign, blocked=False)
    lost = []
    for name in walk():
        verb = verbs()[name]
        ids = {n: getattr(own, n, own.patient_id) for n in ids_of(verb) & OF_A_PATIENT}
        for actor in (*actors(test, "no scope"), accounts(own)[0]):
            if (name, actor.name) in said.denied:
                continue
            with pytest.raises(Enough), test.house.work(actor) as work:
                try:
                    verb(work, **arguments_for(verb, ids, own.patient_id))
                except (SorgError, AttributeError, TypeError, ValueError, KeyError) as error:
                    if "not yours to see" in str(error):
                        lost.append((name, *actor.roles, str(error)))
                raise Enough
    assert [] == lost
