"""The audit chain finds what was changed, moved, added, taken out and, against a checkpoint, cut off."""

import json
from pathlib import Path

import pytest
from sqlalchemy import text

from core import patients, privacy
from core.errors import Refused
from core.rules.roles import Permission
from core.store import db
from core.store.append_only import triggers
from core.store.work import Subject
from tests.fixtures.house import TestHouse, book_thando

COLUMNS = "seq, at, actor_id, act, outcome, subject_kind, subject_id, patient_id, body, mac"


@pytest.fixture
def chain(either_house: TestHouse) -> TestHouse:
    """A practice with some twenty entries."""
    book_thando(either_house)
    book_thando(either_house, family_name="Botha", given_names="Piet")
    return either_house


def attack(test: TestHouse, *statements: str) -> None:
    """What somebody does who has the database and its key, but not the chain's key: triggers off, then SQL."""
    engine = test.house.engine.execution_options(write=True)
    with db.maintenance("attack"), engine.begin() as connection:
        off = (
            ["drop trigger audit_entry_no_update", "drop trigger audit_entry_no_delete"]
            if engine.dialect.name == "sqlite"
            else ["drop trigger audit_entry_append_only on audit_entry"]
        )
        on = triggers("audit_entry", engine.dialect.name)
        for statement in (*off, *statements, *on):
            connection.execute(text(statement))


def verdict(test: TestHouse, **known: str):
    return test.do("system", privacy.verify_chain, **known)


def test_an_untouched_chain_is_whole(chain):
    found = verdict(chain)
    assert (None, "") == (found.broken_at, found.why)
    newest = chain.do("admin", privacy.entries, size=1)[0]
    assert newest.seq == found.entries


@pytest.mark.parametrize(
    "change",
    [
        "body = replace(body, 'Reception', 'Somebody')",
        "actor_id = 'system'",
        "act = 'board-see'",
        "outcome = 'refused'",
        "subject_kind = 'study'",
        "subject_id = ''",
        "patient_id = ''",
        "mac = (select mac from audit_entry where seq = 11)",
    ],
)
def test_an_edit_of_any_column_is_found_at_its_entry(chain, change):
    attack(chain, f"update audit_entry set {change} where seq = 12")
    assert 12 == verdict(chain).broken_at


def test_an_entry_moved_in_time_is_found(chain):
    later = "datetime(at, '+1 hour') || '.000000'" if _is_sqlite(chain) else "at + interval '1 hour'"
    attack(chain, f"update audit_entry set at = {later} where seq = 12")
    assert 12 == verdict(chain).broken_at


def test_an_entry_taken_out_of_the_middle_is_named(chain):
    attack(chain, "delete from audit_entry where seq = 12")
    found = verdict(chain)
    assert (12, "entry 12 is missing") == (found.broken_at, found.why)


def test_an_entry_taken_out_and_the_rest_moved_up_is_found(chain):
    last = verdict(chain).entries
    up = [f"update audit_entry set seq = {n - 1} where seq = {n}" for n in range(13, last + 1)]
    attack(chain, "delete from audit_entry where seq = 12", *up)
    assert 12 == verdict(chain).broken_at


def test_two_entries_changing_places_are_found(chain):
    moves = ("seq = -1 where seq = 12", "seq = 12 where seq = 13", "seq = 13 where seq = -1")
    attack(chain, *(f"update audit_entry set {move}" for move in moves))
    assert 12 == verdict(chain).broken_at


def test_an_entry_added_at_the_end_without_the_key_is_found(chain):
    last = verdict(chain).entries
    copied = COLUMNS.removeprefix("seq, ")
    attack(
        chain,
        f"insert into audit_entry ({COLUMNS}) select {last + 1}, {copied} from audit_entry where seq = {last}",
    )
    assert last + 1 == verdict(chain).broken_at


def test_a_first_entry_taken_out_is_found(chain):
    attack(chain, "delete from audit_entry where seq = 1")
    assert 1 == verdict(chain).broken_at


def test_a_tail_cut_off_is_seen_only_against_a_checkpoint(chain):
    line = chain.do("system", privacy.checkpoint)
    last = verdict(chain).entries
    attack(chain, f"delete from audit_entry where seq > {last - 3}")
    assert None is verdict(chain).broken_at
    found = verdict(chain, checkpoint=line)
    assert (last - 2, True) == (found.broken_at, f"it had {last}" in found.why)


def test_a_chain_that_grew_since_the_checkpoint_is_whole(chain):
    line = chain.do("system", privacy.checkpoint)
    chain.do("reception", patients.find, search="Botha")
    assert None is verdict(chain, checkpoint=line).broken_at


def test_a_tail_cut_off_and_grown_again_is_found_at_the_checkpoint(chain):
    line = chain.do("system", privacy.checkpoint)
    last = verdict(chain).entries
    attack(chain, f"delete from audit_entry where seq > {last - 2}")
    for _ in range(4):
        chain.do("reception", patients.find, search="Botha")
    assert None is verdict(chain).broken_at
    assert last == verdict(chain, checkpoint=line).broken_at


@pytest.mark.parametrize(
    "change", [{"entries": 1}, {"tail": "00" * 32}, {"signature": "00" * 64}, {"extra": 1}]
)
def test_a_checkpoint_that_we_did_not_sign_is_refused(house, change):
    line = json.dumps(json.loads(house.do("system", privacy.checkpoint)) | change)
    with pytest.raises(Refused, match="not a checkpoint that this practice signed"):
        verdict(house, checkpoint=line)


@pytest.mark.parametrize("line", ["{", "[]", "7", '{"entries": 1}', "null"])
def test_a_line_that_is_no_checkpoint_is_refused(house, line):
    with pytest.raises(Refused, match="not a checkpoint"):
        verdict(house, checkpoint=line)


@pytest.mark.parametrize(
    "statement", ["update audit_entry set act = 'x' where seq = 3", "delete from audit_entry"]
)
def test_the_database_itself_refuses_to_change_an_entry(chain, statement):
    engine = chain.house.engine.execution_options(write=True)
    with pytest.raises(Exception, match="append-only"):
        with db.maintenance("attack"), engine.begin() as connection:
            connection.execute(text(statement))
    assert None is verdict(chain).broken_at


def test_words_from_outside_cannot_shift_what_is_under_the_mac(chain):
    with (
        chain.does("reception") as work,
        work.act(Permission.PATIENT_WRITE, Subject("x\x1fy", "a\x00b\n")) as facts,
    ):
        facts["note"] = "a\x1fb\x00c"
    newest = chain.do("admin", privacy.entries, size=1)[0]
    assert ("x?y", "a?b?", "a\x1fb\x00c") == (newest.subject_kind, newest.subject_id, newest.facts["note"])
    assert None is verdict(chain).broken_at


def test_a_key_of_another_practice_finds_the_first_entry_broken(house, tmp_path: Path):
    house.house.keys.keys["audit"] = b"k" * 32
    assert 1 == verdict(house).broken_at


def _is_sqlite(test: TestHouse) -> bool:
    return test.house.engine.dialect.name == "sqlite"
