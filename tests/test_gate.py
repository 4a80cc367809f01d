"""The gate: what is a verb, and every way around it. Who may call which verb is tests/test_matrix.py."""

import inspect
import pkgutil
import re
import types
import typing
from dataclasses import fields, is_dataclass
from datetime import UTC, date, datetime
from functools import cache
from importlib import import_module
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

import core
from core import activation, patients, privacy, signin, workflow
from core.errors import Denied, SorgError, WrongAnswer
from core.rules.roles import ROLES, Permission, Role
from core.store.db import SqlOutsideTheGate
from core.store.model import Patient
from core.store.work import Actor, Reach, Subject
from tests.fixtures.house import TestHouse, book_thando

# Helpers that sibling verbs call inside their own gate; they take `work` but open no door.
INNER = {
    "people.fold", "people.by_login", "people.logins", "people.account_problems", "people.role_problems", "people.new_person",
    "people.rename", "people.set_login", "people.login_problems", "people.set_roles", "people.void_slips", "people.with_sessions", "people.with_slips",
    "standing.standing_of", "standing.admins_who_can", "standing.keep_an_admin", "standing.asked_for_by_me", "standing.tell_of_admin",
    "people.card_of", "signin.password_of", "sessions.new_session", "sessions.session_of", "sessions.may_stay",
    "door_limits.account_rests", "door_limits.count_try", "door_limits.forgive", "door_limits.count_wrong_password",
    "door_limits.login_rests", "door_limits.count_unknown", "door_limits.entry_rests", "door_limits.count_entry",
    "door_limits.tries_there", "door_limits.kept_back", "door_limits.away_rests", "door_limits.count_away",
    "door_limits.take_back_away", "door_limits.forget_away", "limits.take_back",
    "door_limits.forget_entry", "door_limits.address_rests", "door_limits.everybody_rests", "door_limits.count_wrong_at_door",
    "groups.take_over", "factors.require", "factors.needs_key", "factors.is_keyless", "factors.factors_of", "factors.counts_of", "factors.check_code",
    "factors.check_recovery", "factors.key_options", "factors.check_key", "factors.new_totp", "factors.pending_totp", "factors.vouch",
    "factors.adopt_totp", "factors.new_recovery_codes", "factors.forget_all", "factors.end_sessions_of", "groups.roles_for",
    "groups.mapping_problems", "groups.set_mapping", "alerts.raise_alert", "alerts.take_note", "limits.rests", "limits.count_wrong",
    "limits.forget", "limits.lift", "limits.rests_until", "tokens.new_code", "tokens.seal", "tokens.unseal", "tokens.new_token",
    "workflow.move", "workflow.hold", "workflow.rows_of", "workflow.list_studies", "workflow.card_of", "workflow.name_of",
    "workflow.new_study_uid",
    "pacs.image_set_of", "pacs.image_source_of", "pacs.sealed_report", "practice.card", "reporting.signed_report", "reporting.is_intact", "reporting.digest_of",
    "ledger.enter", "ledger.balance_of", "ledger.level", "ledger.entries_of", "ledger.happened", "ledger.history_of",
    "code_tables.active_table", "code_tables.loaded", "code_tables.price_finder", "code_tables.code_finder",
    "code_tables.words_for", "claim_case.row_of", "claim_case.case_of", "claim_case.lines_of", "claim_case.keep",
    "claim_case.service_days", "claim_case.price_now", "claim_case.reprice", "claim_case.draft_of", "remittances.close_if_settled", "remittances.claim_by_number", "remittances.move_position",
    "remittances.is_ours",
    "change_kinds.filled", "change_kinds.sealed_problems", "change_kinds.whom", "kinds.as_said", "kinds.person_of", "kinds.no_before",
    "account_kinds.correct", "account_kinds.give_standing",
    "change_cards.names_in", "change_cards.digest_of", "change_cards.is_untouched", "change_cards.settle",
    "access.grant_problems", "access.add_grant", "access.block_problems", "access.add_block", "access.end_problems",
    "access.end", "access.right_of", "access.grants_of",
}  # fmt: skip

# Who may call what, and whose rows they see there, is one table: tests/test_matrix.py.


@cache
def verbs() -> dict[str, typing.Callable]:
    """Every public function of core/*.py whose first parameter is `work`."""
    found = {}
    for module in pkgutil.iter_modules(core.__path__):
        if module.ispkg:
            continue
        loaded = import_module(f"core.{module.name}")
        for name, function in inspect.getmembers(loaded, inspect.isfunction):
            first = next(iter(inspect.signature(function).parameters), "")
            if function.__module__ == loaded.__name__ and first == "work" and not name.startswith("_"):
                found[f"{module.name}.{name}"] = function
    return {k: v for k, v in found.items() if k not in INNER}


def dummy(annotation: object, name: str) -> object:
    """An argument of the right kind, naming nothing that exists."""
    if isinstance(annotation, types.UnionType) or typing.get_origin(annotation) is typing.Union:
        return dummy(typing.get_args(annotation)[0], name)
    simple = {
        UUID: UUID(int=7),
        str: "arrive" if name == "step" else "x",
        int: 1,
        bool: True,
        bytes: b"x",
        date: date(2026, 1, 1),
        datetime: datetime(2026, 1, 1, tzinfo=UTC),
        tuple: (),
        dict: {},
    }
    origin = typing.get_origin(annotation) or annotation
    if is_dataclass(origin):
        hints = typing.get_type_hints(origin)
        return origin(**{f.name: dummy(hints[f.name], f.name) for f in fields(origin)})
    return simple.get(origin)


def reached(test: TestHouse, actor: Actor, verb: typing.Callable, arguments: dict[str, object]) -> str:
    """What became of calling the verb: the sentence it was refused with, or what came of it instead.

    Nothing is kept of it: the work is thrown away.
    """
    try:
        with test.house.work(actor) as work:
            try:
                said = f"{verb(work, **arguments)!r}"[:200]
            except SorgError as error:
                said = error.sentence
            except (AttributeError, TypeError, ValueError, KeyError, RuntimeError) as error:
                said = f"{type(error).__name__}: {error}"
            raise _Enough
    except _Enough:
        return said


class _Enough(Exception):
    """The work is thrown away."""


def test_every_permission_is_held_by_somebody_and_every_role_holds_something():
    held = set().union(*ROLES.values())
    assert set(Permission) == held
    assert set(Role) == set(ROLES)


def test_sql_outside_the_gate_raises(house):
    with pytest.raises(SqlOutsideTheGate), Session(house.house.engine) as session:
        session.scalars(select(Patient)).all()


def test_the_session_outside_a_door_raises(house):
    with house.does("reception") as work, pytest.raises(RuntimeError):
        _ = work.db


def test_a_question_cannot_write(either_house):
    patient, _ = book_thando(either_house)
    with (
        pytest.raises(RuntimeError),
        either_house.does("reception") as work,
        work.look(Permission.PATIENT_FIND),
    ):
        work.get(Patient, patient).family_name = "Changed"
        work.db.flush()
    assert (
        "Nkosi-Müller" == either_house.do("reception", patients.open_patient, patient).particulars.family_name
    )


def test_a_refused_act_leaves_no_change_but_an_entry(either_house):
    patient, study = book_thando(either_house)
    with pytest.raises(Denied):
        either_house.do("analyst", workflow.arrive, study)
    newest = either_house.do("admin", privacy.entries)[0]
    assert ("order-arrive", "refused", str(study)) == (newest.act, newest.outcome, newest.subject_id)
    assert str(patient) == newest.patient_id


def test_a_page_that_a_stranger_opens_fills_no_record(either_house):
    """Else anybody's browser would write into it for good, as often as it likes, and keep others from writing."""
    before = either_house.do("admin", privacy.entries)
    for _ in range(3):
        with pytest.raises(Denied):
            either_house.do("nobody", signin.second_half, token="nobody's")
    for _ in range(30):
        with pytest.raises((WrongAnswer, Denied)):
            either_house.do("nobody", activation.look_at, slip="nobody's")
    after = either_house.do("admin", privacy.entries, size=1000)
    # Guesses are counted until their address rests, and on record that often.
    assert 20 == len(after) - len(before) == sum(e.subject_kind == "slip" for e in after)


def test_an_error_after_the_change_leaves_neither_change_nor_entry(either_house):
    patient, _ = book_thando(either_house)
    before = len(either_house.do("admin", privacy.entries, size=1000))
    with pytest.raises(ZeroDivisionError), either_house.does("reception") as work:
        with work.act(Permission.PATIENT_WRITE, Subject.patient(patient)):
            work.get(Patient, patient).family_name = "Changed"
            _ = 1 / 0
    assert (
        "Nkosi-Müller" == either_house.do("reception", patients.open_patient, patient).particulars.family_name
    )
    assert before + 1 == len(either_house.do("admin", privacy.entries, size=1000))  # the opening above


@pytest.mark.parametrize("role", [Role.PATIENT, Role.REFERRER])
def test_a_link_sees_its_own_study_and_no_other(either_house, role, monkeypatch):
    patient, study = book_thando(either_house)
    book_thando(either_house, family_name="Botha", given_names="Piet")
    reach = Reach(UUID(int=1), study, patient, UUID(int=2))
    # Even if a link holder's role were given the board by mistake, the rows stay narrow.
    monkeypatch.setitem(ROLES, role, frozenset({Permission.BOARD_SEE, Permission.PATIENT_FIND}))
    link = Actor("link:1", "A link", frozenset({role}), "gateway", reach=reach)
    with either_house.house.work(link) as work:
        assert [study] == [row.id for row in workflow.board(work).rows]
    with either_house.house.work(link) as work:
        assert 1 == patients.find(work, search="")[1]
    nowhere = Actor("link:2", "A link", frozenset({role}), "gateway")
    with either_house.house.work(nowhere) as work:
        assert 0 == workflow.board(work).total


def test_two_people_saving_the_same_row_at_once_never_lose_one(house):
    patient, _ = book_thando(house)
    card = house.do("reception", patients.open_patient, patient)
    house.do("reception", patients.correct, patient, card.particulars, version=card.version)
    changed = patients.Particulars(**{**vars(card.particulars), "phone": "082 555 0199"})
    house.do("reception", patients.correct, patient, changed, version=card.version)
    with pytest.raises(SorgError, match="Somebody else"):
        house.do("reception", patients.correct, patient, card.particulars, version=card.version)


def test_verbs_hold_no_sql_that_escapes_the_row_filter():
    """text(), __table__, connection() and bulk helpers are invisible to the filter: none in core/*.py."""
    escapes = re.compile(
        r"\btext\(|__table__|\.connection\(|bulk_|\.execute\(\s*(insert|update|delete)\b|\.query\("
    )
    found = [
        f"{path.name}:{number}"
        for path in Path(core.__path__[0]).glob("*.py")
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if escapes.search(line)
    ]
    assert [] == found


def test_the_study_status_moves_only_through_the_mover(house):
    writers = [
        path.name
        for path in Path(core.__path__[0]).glob("*.py")
        if re.search(r"\.status(, \w+\.status_at)? = (?!=)", path.read_text()) and path.name != "workflow.py"
    ]
    assert [] == writers


def test_a_link_adds_no_row_to_the_practice(either_house):
    patient, study = book_thando(either_house)
    reach = Reach(UUID(int=1), study, patient, UUID(int=2))
    link = Actor("link:1", "A link", frozenset({Role.PATIENT}), "gateway", reach=reach)
    with pytest.raises(RuntimeError, match="A link tried to add"):
        with either_house.house.work(link) as work, work.act(Permission.SHARED_VIEW):
            work.errand("attach_report", key="x")
            work.db.flush()


def test_an_error_of_the_database_does_not_tell_what_patients_are_called(either_house):
    book_thando(either_house)
    with (
        pytest.raises(DBAPIError) as error,
        either_house.does("system") as work,
        work.tend(Permission.IMAGES_RECEIVE),
    ):
        work.db.execute(
            text("insert into patient (id, family_name) values (:id, :name)"), {"id": "x", "name": "Nkosi"}
        )
    assert "Nkosi" not in str(error.value)
