"""The audit trail in a person's words: every act has some, and facts are said without ids and code."""

import csv
import io

import pytest

from core import access, patients, privacy
from core.privacy import Questions
from core.rules.acts import ACTS, FINER, say_act, say_facts
from core.rules.roles import Permission
from tests.fixtures.house import TestHouse, book_thando

ID = "01a20df5-7c1e-7d4f-8f0e-3b6f9a1c2d3e"


def test_every_act_has_its_own_words_in_the_past_tense() -> None:
    assert set(Permission) == set(ACTS)
    assert len(ACTS) == len(set(ACTS.values()))
    assert not [
        words for words in (*ACTS.values(), *FINER.values()) if not words[:1].islower() or "-see" in words
    ]


@pytest.mark.parametrize(
    ("act", "kind", "facts", "words"),
    [
        ("sign-in", "login", {"stage": "password"}, "typed their password"),
        ("people-manage", "request", {"kind": "grant"}, "asked for a change of people or rights"),
        ("people-manage", "request", {"state": "withdrawn"}, "withdrew a request"),
        ("report-write", "study", {"version": 3, "step": "pass_on"}, "passed a report to transcription"),
        ("shared-view", "report", {}, "read a report by a link"),
        ("of-an-older-release", "study", {}, "of an older release"),
    ],
)
def test_one_permission_of_several_acts_is_said_as_the_act_it_was(act, kind, facts, words) -> None:
    assert words == say_act(act, kind=kind, facts=facts)


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"request": ID, "note": "", "verdict": "fine"}, "verdict: fine"),
        (
            {
                "before": {"roles": ["patient"], "scope": ""},
                "after": {"roles": ["patient", "admin"], "scope": ""},
            },
            "roles: patient → patient and admin",
        ),
        (
            {"before": {}, "after": {"patient_id": ID, "kind": "vip", "why": "Well known"}},
            "patient: P-000017, kind: vip, why: Well known",
        ),
        ({"before": ["billing"], "after": ["admin"]}, "roles: billing → admin"),
        ({"before": {"app": True}, "after": {"app": False}}, "app for codes: yes → no"),
        (
            {"until": "2026-11-24T10:00:00+00:00", "cents": 12345},
            "until: 24/11/2026 12:00, amount: R\xa0123.45",
        ),
        ({"lines": [{"code": "a"}, {"code": "b"}], "digest": "ab" * 32}, "lines: 2"),
        ({"why": "Missing"}, "why: not there, or not theirs to see"),
        ({}, ""),
    ],
)
def test_facts_are_said_without_ids_empty_values_and_code(facts, said) -> None:
    assert said == say_facts(
        "change-approve", facts=facts, names={ID: "P-000017"} if "before" in facts else {}
    )


def test_a_look_up_by_number_names_the_file_that_was_found(house: TestHouse) -> None:
    patient, _ = book_thando(house)
    number = house.do("reception", patients.open_patient, patient).file_number
    assert patient == house.do("admin", access.look_up, number=number)
    (entry, *_) = house.do("manager", privacy.entries, Questions(act="access-see"))
    assert ("looked up who may see a patient", f"patient {number}") == (entry.done, entry.about)


def test_the_file_says_what_was_done_and_keeps_the_machines_words_behind_it(house: TestHouse) -> None:
    patient, _ = book_thando(house)
    made = house.do("manager", privacy.take_out, patient_id=patient, code=house.code("manager"))
    rows = list(csv.DictReader(io.StringIO(made.decode("utf-8-sig")), delimiter=";"))
    assert ["Act", "Kind", "Id", "Facts as recorded"] == list(rows[0])[-4:]
    assert {("registered a patient", "patient-write"), ("booked an examination", "order-book")} <= {
        (row["What was done"], row["Act"]) for row in rows
    }
    assert not [row for row in rows if "{" in row["Details"] or str(patient) in row["Details"]]
