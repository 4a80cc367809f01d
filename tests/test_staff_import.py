"""A sheet of staff: dry run, request, approval, slips. What was shown is what is taken over, whole or not at all."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy import event

from core import activation, changes, people, privacy, sessions, signin, staff_import
from core.errors import Denied, Refused, Stale
from core.rules.people_sheet import Known, template, write_people
from core.rules.roles import Role
from core.store import db
from core.store.model import Person
from core.store.work import Actor, system
from tests.fixtures.house import PASSWORD, TestHouse

HEAD = "Login;Name;Roles\n"
THREE = (
    HEAD
    + "thandi.nkosi;Sr Thandi Nkosi;radiographer\nna;NA van Wyk;reception\npieter;Pieter Müller;billing\n"
).encode()


def second_admin(test: TestHouse) -> TestHouse:
    """Another admin beside the fixture's one."""
    with test.house.work(system()) as work:
        welcome = people.add_person(
            work, login="second", name="Second Admin", roles=(Role.ADMIN,), password=PASSWORD
        )
    test.secrets["second"] = welcome.secret
    test.actors["second"] = Actor(str(welcome.person.id), welcome.person.name, frozenset({Role.ADMIN}))
    return test


@pytest.fixture
def two(house: TestHouse) -> TestHouse:
    return second_admin(house)


@pytest.fixture
def either_two(either_house: TestHouse) -> TestHouse:
    return second_admin(either_house)


def plan(test: TestHouse, data: bytes) -> staff_import.Plan:
    return test.do("admin", staff_import.plan, data=data, name="staff.csv")


def whats(test: TestHouse, data: bytes) -> dict[str, str]:
    return {row.login: row.what for row in plan(test, data).rows}


def ask(test: TestHouse, data: bytes, **how: str) -> UUID:
    return test.do("admin", staff_import.ask, data=data, name="staff.csv", **{"why": "New branch", **how})


def approve(test: TestHouse, request: UUID) -> str:
    card = test.do("second", changes.request, request)
    return test.do("second", changes.approve, request, digest=card.digest, code=test.code("second"))


def signed_in(test: TestHouse, login: str) -> str:
    half = test.do("nobody", signin.check_password, login=login, password=PASSWORD)
    return test.do("nobody", signin.check_code, token=half, code=test.code(login))


def logins(test: TestHouse) -> set[str]:
    return {card.login for card in test.do("admin", people.people, size=500)[0]}


def test_a_sheet_is_planned_asked_for_approved_and_planned_again_changes_nothing(either_two):
    before = logins(either_two)
    found = plan(either_two, THREE)
    assert ["new", "new", "new"] == [row.what for row in found.rows]
    request = ask(either_two, THREE, why="New branch", seen=found.digest)
    assert before == logins(either_two)
    assert "done" == approve(either_two, request)
    assert before | {"thandi.nkosi", "na", "pieter"} == logins(either_two)
    again = plan(either_two, THREE)
    assert (3, False) == (again.count("unchanged"), again.would_change)
    with pytest.raises(Refused, match="would change anything"):
        ask(either_two, THREE)


def test_refused_rows_are_left_out_and_the_good_ones_asked_for(two):
    data = (
        THREE
        + "аdmin;Cyrillic;admin\nmanager;Manager Person;manager\n;Nobody;billing\n=cmd;x;billing\n".encode()
    )
    found = plan(two, data)
    assert (3, 0, 1, 3) == tuple(found.count(w) for w in ("new", "changed", "unchanged", "refused"))
    card = two.do("second", changes.request, ask(two, data))
    assert ["thandi.nkosi", "na", "pieter"] == list(dict.fromkeys(line.of for line in card.lines))
    assert [("thandi.nkosi", True), ("na", True), ("pieter", True)] == [
        (p.login, p.is_new) for p in card.sheet
    ]


def test_a_changed_row_carries_the_whole_person_and_keeps_what_the_sheet_does_not_name(two):
    data = (HEAD + "billing;Billing Persoon;billing, manager\n").encode()
    assert {"billing": "changed"} == whats(two, data)
    request = ask(two, data)
    assert [("billing", "Billing Persoon", False, ("billing",), {"billing", "manager"})] == [
        (p.login, p.name, p.is_new, p.before, set(p.after))
        for p in two.do("second", changes.request, request).sheet
    ]
    approve(two, request)
    card = two.do("admin", people.people, search="Persoon")[0][0]
    assert (("billing", "manager"), "MP 0123456") == (card.roles, card.registration)


def test_the_dry_run_that_was_seen_must_still_hold(two):
    found = plan(two, THREE)
    approve(two, ask(two, (HEAD + "na;NA van Wyk;reception\n").encode()))
    with pytest.raises(Stale, match="Look at the new result"):
        ask(two, THREE, seen=found.digest)


def test_people_who_change_between_asking_and_approving_stop_the_whole_sheet(two):
    request = ask(two, THREE)
    approve(two, ask(two, (HEAD + "na;NA van Wyk;reception\n").encode()))
    with pytest.raises(Refused, match="login na already"):
        approve(two, request)
    assert "pieter" not in logins(two)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"is_break_glass": True}, "sealed account"),
        ({"roles": ["patient"]}, "patient or a referring doctor"),
        ({"directory": "directory", "directory_id": "guid-1"}, "groups in the directory"),
    ],
)
def test_a_sheet_changes_no_account_that_is_not_its_to_change(two, change, said):
    with two.does("admin") as work, work.act(people.Permission.PEOPLE_MANAGE):
        row = work.get(Person, two.actors["analyst"].person)
        for key, value in change.items():
            setattr(row, key, value)
    row = plan(two, (HEAD + "analyst;Analyst Person;analyst, billing\n").encode()).rows[0]
    assert "refused" == row.what
    assert said in row.reasons[-1]


def test_a_sheet_changes_of_somebody_of_the_directory_only_what_the_directory_does_not_hold(two):
    with two.does("admin") as work, work.act(people.Permission.PEOPLE_MANAGE):
        row = work.get(Person, two.actors["analyst"].person)
        row.directory, row.directory_id = "directory", "guid-1"
    renamed = (HEAD + "analyst;Analyst Persoon;analyst\n").encode()
    assert {"analyst": "refused"} == whats(two, renamed)
    who = two.do("admin", people.person, two.actors["analyst"].person)
    numbered = f"Login;Name;Roles;HPCSA number\nanalyst;{who.name};analyst;MP 0765432\n"
    approve(two, ask(two, numbered.encode()))
    assert "MP 0765432" == two.do("admin", people.person, who.id).registration


def test_the_last_admins_stay_admins_whatever_a_sheet_says(two):
    both = (
        HEAD + "admin;Admin Person;billing\nsecond;Second Admin;billing\nnew.admin;New Admin;admin\n"
    ).encode()
    assert {"admin": "refused", "second": "refused", "new.admin": "new"} == whats(two, both)
    one = (HEAD + "second;Second Admin;billing\n").encode()
    assert {"second": "changed"} == whats(two, one)
    # One whom the directory was not asked about for long may be none any more: approving this would be refused.
    with two.does("admin") as work, work.act(people.Permission.PEOPLE_MANAGE):
        row = work.get(Person, two.actors["admin"].person)
        row.directory, row.directory_id, row.checked_at = (
            "directory",
            "guid-2",
            work.now() - timedelta(days=31),
        )
    assert {"second": "refused"} == whats(two, one)


def test_nobody_approves_a_sheet_that_changes_themselves_while_another_admin_could(two):
    with two.house.work(system()) as work:
        people.add_person(work, login="third", name="Third Admin", roles=(Role.ADMIN,), password=PASSWORD)
    request = ask(two, (HEAD + "second;Second Admin;admin, radiologist\n").encode())
    with pytest.raises(Denied, match="concerns you"):
        approve(two, request)


def test_the_templates_example_is_never_taken_in(two):
    assert ["refused"] == [row.what for row in plan(two, template("csv")).rows]


@pytest.mark.parametrize("kind", ["csv", "xlsx"])
def test_who_works_here_as_a_sheet_changes_nothing_when_it_is_taken_in(two, kind):
    found = plan(two, two.do("admin", staff_import.staff_sheet, kind=kind))
    assert {"unchanged"} == {row.what for row in found.rows}
    assert "people-manage" == two.do("admin", privacy.entries)[0].act


def test_what_is_no_sheet_is_refused_in_a_sentence(two):
    for data in (b"", b"%PDF-1.7", b"PK\x03\x04broken", b"only;two\n1;2\n"):
        with pytest.raises(Refused):
            plan(two, data)


def test_slips_are_made_once_for_everybody_who_waits(two):
    request = ask(two, THREE)
    with pytest.raises(Refused, match="once the import is approved"):
        two.do("admin", staff_import.make_slips, request)
    approve(two, request)
    slips = two.do("admin", staff_import.make_slips, request)
    assert ["thandi.nkosi", "na", "pieter"] == [slip.login for slip in slips]
    assert staff_import.SlipsDue(3, 3) == two.do("admin", staff_import.slips_due, request)
    with pytest.raises(Refused, match="has a slip"):
        two.do("admin", staff_import.make_slips, request)
    assert "NA van Wyk" == two.do("nobody", activation.look_at, slip=slips[1].code).name
    anew = two.do("second", staff_import.make_slips, request, again=True)
    assert 3 == len(anew)
    with pytest.raises(Refused):
        two.do("nobody", activation.look_at, slip=slips[1].code)


def crowd(role: str) -> bytes:
    """As many rows as a sheet may have."""
    return write_people(
        [Known(f"p.{n:04d}", f"Person {n} É", (role,), email=f"p{n}@practice.example") for n in range(5_000)],
        kind="csv",
    )


def test_five_thousand_rows_are_taken_over_and_changed_at_once_and_then_nothing_is_left_to_do(two):
    request = ask(two, crowd("reception"))
    assert {"new"} == {
        line.after for line in two.do("second", changes.request, request).lines if line.what == "account"
    }
    assert () == two.do("second", changes.requests)[0].lines
    assert "done" == approve(two, request)
    assert staff_import.SlipsDue(5_000, 0) == two.do("admin", staff_import.slips_due, request)
    slips = two.do("admin", staff_import.make_slips, request)
    assert ("p.0000", "p.0199", 200) == (slips[0].login, slips[-1].login, len(slips))
    assert staff_import.SlipsDue(5_000, 200) == two.do("admin", staff_import.slips_due, request)
    assert (5_000, False) == ((again := plan(two, crowd("reception"))).count("unchanged"), again.would_change)

    assert "done" == approve(two, ask(two, crowd("billing")))
    assert {"waits": 5_000} == two.do("admin", people.counts, search="p.")
    card = two.do("admin", people.person, two.actors["admin"].person)
    assert ("active", True) == (card.standing, card.has_app)


def test_a_console_that_is_killed_while_a_sheet_is_taken_over_has_taken_over_nothing(two):
    request = ask(two, THREE)
    code, before = two.code("second"), logins(two)
    card = two.do("second", changes.request, request)
    child = os.fork()
    if child == 0:
        engine = db.open_sqlcipher(two.folder / "sorg.db", two.house.keys["database"])
        event.listen(engine, "commit", lambda connection: os.kill(os.getpid(), signal.SIGKILL))
        with replace(two.house, engine=engine).work(two.actors["second"]) as work:
            changes.approve(work, request, digest=card.digest, code=code)
        os._exit(0)
    assert signal.SIGKILL == os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) * -1
    assert (before, "waiting") == (logins(two), two.do("second", changes.request, request).state)
    assert two.do("admin", privacy.verify_chain).broken_at is None
    assert "done" == approve(two, request)


def test_a_sheet_ends_the_sessions_of_whom_it_gives_more_and_the_slips_of_new_admins(two):
    approve(two, ask(two, (HEAD + "pieter;Pieter Müller;billing\nna;NA van Wyk;billing\n").encode()))
    imported = two.do("admin", changes.requests, decided=True)[0].id
    codes = {slip.login: slip.code for slip in two.do("admin", staff_import.make_slips, imported)}
    tokens = {login: signed_in(two, login) for login in ("analyst", "billing")}
    more = (
        HEAD
        + "pieter;Pieter Müller;admin\nna;NA van Zyl;billing\nanalyst;Analyst Person;analyst, billing\nbilling;Billing;billing\n"
    )
    approve(two, ask(two, more.encode()))
    with two.does("nobody") as work:
        here = {t: sessions.actor_of(work, token=token, channel="console") for t, token in tokens.items()}
    assert {"analyst": False, "billing": True} == {login: bool(actor) for login, actor in here.items()}
    with pytest.raises(Refused):
        two.do("nobody", activation.look_at, slip=codes["pieter"])
    assert "NA van Zyl" == two.do("nobody", activation.look_at, slip=codes["na"]).name


def test_a_sheet_that_would_leave_no_admin_is_refused_whole_when_it_is_applied(two):
    rows = [
        {"person_id": str(two.actors[who].person), "login": who, "name": who, "roles": ["billing"]}
        for who in ("admin", "second")
    ]
    request = two.do("admin", changes.ask, kind="import", payload={"rows": rows}, why="New branch")
    with pytest.raises(Refused, match="last admin"):
        approve(two, request)
    assert ("admin",) == two.do("admin", people.person, two.actors["admin"].person).roles
