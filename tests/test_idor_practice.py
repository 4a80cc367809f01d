"""Ids of somebody else's rows in the practice: people, sessions, keys, broken glass, requests, alerts, errands, payments.

tests/test_idor.py asks the same of everything that belongs to a patient. What becomes of each id stands in one table,
written by hand, and every role that the matrix lets in is tried.
"""

import re
from dataclasses import dataclass, replace
from datetime import timedelta
from uuid import UUID, uuid4

import pyotp
import pytest
from sqlalchemy.orm import Session

from core.change_cards import digest_of
from core.rules.access import Bounds
from core.rules.roles import STAFF, Role
from core.store.db import maintenance
from core.store.model import (
    Alert,
    ChangeRequest,
    Errand,
    GlassBreak,
    Referrer,
    Remittance,
    RemittanceLine,
    SecurityKey,
    SignInSession,
)
from core.store.work import Actor, system
from tests.fixtures.guests import hire
from tests.fixtures.house import TestHouse, open_test_house
from tests.fixtures.rows import Rows, rows_of_a_patient
from tests.test_gate import reached, verbs
from tests.test_idor import OF_THE_PRACTICE, arguments_for, ids_of
from tests.test_matrix import COLUMNS, MAY

NONE, DOES, EMPTY = "as none", "does", "empty"

# verb: its id, and what becomes of somebody else's, of one's own, and of one that is nobody's. NONE: a row that does not
# exist. DOES: the verb goes on with it, however that ends. EMPTY: a list of nothing. A sentence: that refusal, which is
# told only to those who see these rows on a list anyway.
BY_HAND = {
    "access.access_of_person": ("person_id", DOES, DOES, NONE),
    "access.close_glass": ("glass_id", NONE, DOES, NONE),
    "access.review_glass": ("glass_id", DOES, "You broke this glass: somebody else must review it.", NONE),
    "alerts.mark_seen": ("alert_id", DOES, "This tells of what you did: somebody else takes note of it.", NONE),
    "changes.apply_due": ("request_id", DOES, DOES, NONE),
    "changes.approve": ("request_id", DOES, "Another admin must approve what you asked for.", NONE),
    "changes.refuse": ("request_id", DOES, DOES, NONE),
    "changes.request": ("request_id", DOES, DOES, NONE),
    "changes.requests": ("person_id", DOES, DOES, EMPTY),
    "changes.withdraw": ("request_id", "Only who asked can take it back; you can refuse it.", DOES, NONE),
    "directory_changes.begin_making": ("request_id", DOES, DOES, NONE),
    "directory_changes.carried_out": ("request_id", DOES, DOES, NONE),
    "directory_changes.to_carry_out": ("request_id", DOES, DOES, NONE),
    "errands.done": ("errand_id", DOES, DOES, NONE),
    "errands.failed": ("errand_id", DOES, DOES, NONE),
    "errands.try_again": ("errand_id", DOES, DOES, NONE),
    "factors.remove_key": ("key_id", NONE, DOES, NONE),
    "patients.correct_referrer": ("referrer_id", DOES, DOES, NONE),
    "people.make_slip": ("person_id", DOES, DOES, NONE),
    "people.person": ("person_id", DOES, DOES, NONE),
    "people.suspend": ("person_id", DOES, "You cannot shut out yourself; another admin can.", NONE),
    "people.wake": ("person_id", DOES, "Another admin must do this for you; or wait until the account opens again by itself.",
                    NONE),
    "remittances.assign": ("line_id", DOES, DOES, NONE),
    "remittances.open_remittance": ("remittance_id", DOES, DOES, NONE),
    "remittances.post": ("remittance_id", DOES, DOES, NONE),
    "sessions.end_my_session": ("session_id", NONE, DOES, NONE),
    "sessions.end_session": ("session_id", DOES, DOES, NONE),
    "sessions.sessions": ("person_id", DOES, DOES, EMPTY),
    "sessions.sign_ins": ("person_id", DOES, DOES, EMPTY),
    "staff_import.make_slips": ("request_id", DOES, DOES, NONE),
    "staff_import.slips_due": ("request_id", DOES, DOES, NONE),
}  # fmt: skip
# They open no row: where to go on counting, whose looks to show, whom a finished account of the practice's own machine
# belongs to.
OTHERWISE = {"pacs.counted", "privacy.who_looked", "people.add_person"}
IDS = {"person_id", "session_id", "key_id", "glass_id", "request_id", "alert_id", "errand_id", "referrer_id",
       "remittance_id", "line_id"}  # fmt: skip


@dataclass(frozen=True)
class Theirs:
    """One person with everything in the practice that an id can name."""

    person_id: UUID
    session_id: UUID
    key_id: UUID
    glass_id: UUID
    request_id: UUID
    alert_id: UUID
    errand_id: UUID
    remittance_id: UUID
    line_id: UUID
    referrer_id: UUID


@dataclass(frozen=True)
class Caller:
    """Somebody of one column of the matrix, with rows of their own and an app for codes."""

    actor: Actor
    own: Theirs
    secret: str = ""


@pytest.fixture(scope="module")
def practice(tmp_path_factory):
    test = open_test_house(tmp_path_factory.mktemp("idor") / "home")
    patient = rows_of_a_patient(test)
    stranger = hire(test, "admin")
    theirs = rows_of(test, stranger.id, patient)
    callers = {
        column: caller(test, test.actors[role], test.secrets[role], patient)
        for column, role in zip(COLUMNS, STAFF, strict=False)
    }
    for column, role in (("pat", "patient"), ("ref", "referrer")):
        guest = hire(test, role, **{f"{role}_id": getattr(patient, f"{role}_id")})
        actor = Actor(
            str(guest.id),
            "An account",
            frozenset({Role(role)}),
            "gateway",
            bounds=Bounds(patient_id=patient.patient_id, referrer_id=patient.referrer_id),
        )
        callers[column] = caller(test, actor, guest.secret, patient)
    callers["sys"] = Caller(system(), theirs)
    yield test, theirs, callers
    test.house.engine.dispose()


def caller(test: TestHouse, actor: Actor, secret: str, patient: Rows) -> Caller:
    own = rows_of(test, actor.person, patient)

    return Caller(replace(actor, session=own.session_id), own, secret)


def rows_of(test: TestHouse, person: UUID, patient: Rows) -> Theirs:
    now, mark = test.clock.at, uuid4().hex
    later = now + timedelta(hours=4)
    ids = Theirs(person, *(uuid4() for _ in range(9)))
    request = ChangeRequest(
        id=ids.request_id,
        origin="01",
        kind="grant",
        person_id=person,
        patient_id=patient.patient_id,
        before={},
        why="x",
        payload={
            "person_id": str(person),
            "patient_id": str(patient.patient_id),
            "why": "x",
            "until_at": later.isoformat(),
        },
        asked_by=person,
        asked_at=now,
        ends_at=later,
        state="waiting",
    )
    request.digest = digest_of(test.house, request)
    rows = [
        SignInSession(id=ids.session_id, token_hash=mark, person_id=person, stage="open", begun_at=now, seen_at=now, ends_at=later),
        SecurityKey(id=ids.key_id, origin="01", person_id=person, credential_id=mark.encode(), public_key=b"x", name="Key",
                    made_at=now),
        GlassBreak(id=ids.glass_id, origin="01", person_id=person, patient_id=patient.patient_id, reason="x", at=now,
                   until_at=later),
        request,
        Alert(id=ids.alert_id, origin="01", kind="alone", sentence="x", at=now, by=person),
        Errand(id=ids.errand_id, origin="01", kind="x", key=mark, payload={}, state="stuck", due_at=now, made_at=now),
        Referrer(id=ids.referrer_id, origin="01", name="Dr Lerato Moloi"),
        Remittance(id=ids.remittance_id, origin="01", number=mark, payer="A scheme", paid_on=now.date(), total_cents=0,
                   received_at=now),
        RemittanceLine(id=ids.line_id, origin="01", remittance_id=ids.remittance_id, claim_number="x", line_number=1, tracer="",
                       status="paid", submitted_cents=0, calculated_cents=0, levy_cents=0, co_payment_cents=0, paid_cents=0,
                       reasons=[]),
    ]  # fmt: skip
    with maintenance("test"), Session(test.house.engine.execution_options(write=True)) as db:
        for row in rows:
            db.add(row)
            db.flush()
        db.commit()
    return ids


def answer(practice, who: Caller, name: str, of: str, one: UUID) -> str:
    """What the verb says to this id; nothing of it is kept."""
    test, *_ = practice
    verb = verbs()[name]
    arguments = arguments_for(verb, {of: one}, one)
    if name in NEEDS_A_CODE:
        arguments["code"] = pyotp.TOTP(who.secret).at(test.clock.at)
    return reached(test, who.actor, verb, arguments)


NEEDS_A_CODE = {"factors.remove_key"}


def test_every_verb_that_takes_an_id_of_the_practice_is_in_the_table():
    taken = {name: ids_of(verb) & IDS for name, verb in verbs().items()}
    assert {name: of for name, (of, *_) in BY_HAND.items()} == {
        name: ids.pop() for name, ids in taken.items() if ids and name not in OTHERWISE
    }
    assert set() == IDS - OF_THE_PRACTICE


def test_somebody_elses_id_gets_what_the_table_says(practice):
    _, theirs, callers = practice
    sentences = {said for _, *row in BY_HAND.values() for said in row} - {NONE, DOES, EMPTY}
    wrong, asked = [], 0
    for name, (of, *by_hand) in BY_HAND.items():
        for column in (c for c, cell in MAY[name].items() if cell != "-"):
            who = callers[column]
            ids = {
                "theirs": getattr(theirs, of),
                "own": getattr(who.own, of),
                "none": uuid4(),
                "nil": UUID(int=0),
                "of another kind": theirs.key_id if of == "referrer_id" else theirs.referrer_id,
            }
            found = {what: answer(practice, who, name, of, one) for what, one in ids.items()}
            meant = dict(zip(found, (*by_hand, by_hand[-1], by_hand[-1]), strict=True))
            for what, said in found.items():
                asked += 1
                if not fits(meant[what], said, found["none"], sentences):
                    wrong.append((name, column, what, said))
    assert not wrong, "\n".join(map(str, wrong))
    assert 250 < asked


def fits(meant: str, said: str, none: str, sentences: set[str]) -> bool:
    if meant == NONE:
        return (
            said == none
            and re.fullmatch(r"This [a-z ]+ does not exist, or is not yours to see\.", said) is not None
        )
    if meant == EMPTY:
        return said == none == "()"
    if meant == DOES:
        return said != none and said not in sentences
    return said == meant
