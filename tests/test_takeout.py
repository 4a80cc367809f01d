"""Rows that name patients leave as a file only after a fresh proof, on record; closed records can be opened again."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from uuid import UUID

import pytest
from openpyxl import load_workbook

from core import access, changes, factors, patients, privacy, sessions, signin, workflow
from core.change_cards import RequestCard
from core.errors import Denied, Refused, WrongAnswer
from core.rules.access import Bounds
from core.store.work import Actor, nobody
from core.workflow import Filters
from tests.fixtures.house import PASSWORD, TestHouse, book_thando
from tests.test_staff_import import second_admin


def test_the_board_leaves_with_a_fresh_code_and_its_rows_are_counted(house: TestHouse) -> None:
    book_thando(house, family_name='=HYPERLINK("http://evil")')
    book_thando(house, family_name="Botha")
    with pytest.raises(WrongAnswer):
        house.do("reception", workflow.take_out)
    made = house.do("reception", workflow.take_out, Filters(search="Botha"), code=house.code("reception"))
    rows = list(load_workbook(io.BytesIO(made)).active.values)
    assert ["Botha, Thandô"] == [row[3] for row in rows[1:]]
    whole = load_workbook(
        io.BytesIO(house.do("reception", workflow.take_out, code=house.code("reception")))
    ).active
    assert {"s"} == {cell.data_type for line in whole.iter_rows() for cell in line if cell.value}
    taken = [e for e in house.do("admin", privacy.entries) if e.subject_id == "board"]
    assert [("done", 2), ("done", 1), ("refused", None)] == [(e.outcome, e.facts.get("rows")) for e in taken]


def signed_in(house: TestHouse, role: str) -> Actor:
    """Somebody at the console, with a session that a proof can be bound to."""
    with house.house.work(nobody(channel="console", address="10.0.0.7")) as work:
        first = signin.check_password(work, login=role, password=PASSWORD)
    with house.house.work(nobody(channel="console", address="10.0.0.7")) as work:
        token = signin.check_code(work, token=first, code=house.code(role))
    with house.house.work(nobody(channel="console")) as work:
        actor = sessions.actor_of(work, token=token, channel="console")
    assert actor is not None
    return actor


def test_a_proof_for_one_list_takes_no_other_out_and_only_once(house: TestHouse) -> None:
    book_thando(house)
    actor = house.actors["manager"] = signed_in(house, "manager")
    house.do("manager", factors.prove_by_code, purpose=workflow.TAKE_OUT, code=house.code("manager"))
    with pytest.raises(WrongAnswer, match="Confirm that it is you"):
        house.do("manager", privacy.take_out)
    house.do("manager", workflow.take_out)
    with pytest.raises(WrongAnswer, match="Confirm that it is you"):
        house.do("manager", workflow.take_out)
    (mine,) = house.do("manager", sessions.my_sign_ins)
    assert ("10.0.0.7", "code", None) == (mine.from_address, mine.method, mine.ended_at)
    assert () == house.do("admin", sessions.my_sign_ins) and actor.session is not None


def test_all_that_is_on_record_about_a_patient_leaves_as_a_file(house: TestHouse) -> None:
    patient, _ = book_thando(house)
    made = house.do("manager", privacy.take_out, patient_id=patient, code=house.code("manager"))
    lines = list(csv.reader(io.StringIO(made.decode("utf-8-sig")), delimiter=";"))
    assert {"Reception Person"} == {line[2] for line in lines[1:]}
    with pytest.raises(Denied):
        house.do("reception", privacy.take_out, code=house.code("reception"))


def test_a_closed_record_is_named_to_whoever_decides_and_opens_again(house: TestHouse) -> None:
    second_admin(house)
    patient, _ = book_thando(house)
    number = house.do("reception", patients.open_patient, patient).file_number
    other, _ = book_thando(house, family_name="Botha")

    def decide() -> RequestCard:
        (card,) = house.do("second", changes.requests)
        house.do("second", changes.approve, card.id, digest=card.digest, code=house.code("second"))
        return card

    why = "A member of parliament"
    house.do(
        "admin",
        changes.ask,
        kind="block",
        why=why,
        payload={"patient_id": str(patient), "person_id": "", "kind": "vip", "why": why, "until_at": ""},
    )
    decide()
    (block,) = house.do("admin", access.access_of, patient).rights
    end = {"what": "block", "id": str(block.id)}
    with pytest.raises(Refused, match="mend") as refused:
        house.do(
            "admin",
            changes.ask,
            kind="end-access",
            why="No longer needed",
            payload={**end, "patient_id": str(other)},
        )
    assert ["This grant or block is about somebody else."] == [p.sentence for p in refused.value.problems]
    house.do(
        "admin",
        changes.ask,
        kind="end-access",
        why="No longer needed",
        payload={**end, "patient_id": str(patient)},
    )
    card = decide()
    said = {line.what: line.before for line in card.lines}
    assert (number, number, "everybody", why) == (card.about, said["patient"], said["person"], said["why"])
    house.clock.pass_(seconds=1)
    assert number == house.do("reception", patients.open_patient, patient).file_number


def test_the_proof_for_breaking_a_glass_does_not_spell_an_id_number() -> None:
    mine, other = UUID(int=1), UUID(int=2)
    purpose = access.glass_purpose(" 8001015009087 ", mine)
    assert purpose == access.glass_purpose("8001015009087", mine)
    assert "8001015009087" not in purpose and purpose.startswith("glass:")
    # Whoever finds it in an address and tries every number there is still lacks the session.
    assert purpose != access.glass_purpose("8001015009087", other)


def test_a_proof_for_one_closed_record_opens_no_other(house: TestHouse) -> None:
    one, other = (
        house.do("reception", patients.open_patient, book_thando(house, family_name=name)[0]).file_number
        for name in ("Nkosi", "Botha")
    )
    # Of another site, so that both are closed to them.
    actor = replace(signed_in(house, "reception"), bounds=Bounds(sites=frozenset({"02"})))
    house.actors["reception"] = actor
    purpose = access.glass_purpose(one, actor.session)
    house.do("reception", factors.prove_by_code, purpose=purpose, code=house.code("reception"))
    with pytest.raises(WrongAnswer, match="Confirm that it is you"):
        house.do("reception", access.break_glass, number=other, reason="Unconscious in resus, no time")
    assert (
        one
        == house.do(
            "reception", access.break_glass, number=one, reason="Unconscious in resus, no time"
        ).file_number
    )
