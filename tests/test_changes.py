"""Changes of people and rights: asked for by one admin, approved as shown by another, applied, on record."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select

from core import alerts, changes, factors, groups, people
from core.errors import Denied, Refused, SorgError, Stale, WrongAnswer
from core.rules.roles import Permission, Role
from core.store.model import ChangeRequest, Person
from core.store.work import Actor, Work, system
from tests.fixtures.guests import Guest, SoftKey, at_once, hire, newest
from tests.fixtures.house import PASSWORD, TestHouse, book_thando, open_test_house


def ask(guest: Guest, kind: str, why: str = "Locum until June", **payload: Any) -> UUID:
    return guest.does(changes.ask, kind=kind, payload=payload, why=why)


def approve(guest: Guest, request: UUID, **how: str) -> str:
    said = {"digest": guest.does(changes.request, request).digest, "code": guest.proof()} | how
    return guest.does(changes.approve, request, **said)


def state(guest: Guest, request: UUID) -> str:
    return guest.does(changes.request, request).state


def roles_of(guest: Guest) -> tuple[str, ...]:
    return guest.card().roles


def tamper(test: TestHouse, model: type, row_id: UUID, **columns: Any) -> None:
    """Somebody writes into the database itself."""
    with test.house.work(system()) as work, work.tend(Permission.CHANGE_APPLY):
        row = work.get(model, row_id)
        for name, value in columns.items():
            setattr(row, name, value)


def new_account(login: str, **more: Any) -> dict[str, Any]:
    return {
        "login": login,
        "name": "Nomsa Khumalo",
        "roles": ["reception"],
        "registration": "",
        "practice_number": "",
        "email": "",
        "scope": "",
        "sites": [],
    } | more


@pytest.fixture
def trio(shared_house) -> tuple[Guest, Guest, Guest]:
    """Two admins, and somebody whom changes are about; the practice has a third admin."""
    return hire(shared_house, "admin"), hire(shared_house, "admin"), hire(shared_house, "billing")


# Every kind, from asking to the record ------------------------------------------------------------------------------


def test_roles_are_asked_for_approved_applied_and_on_record(either_shared):
    a, b, guest = hire(either_shared, "admin"), hire(either_shared, "admin"), hire(either_shared, "billing")
    request = ask(
        a, "set-roles", person_id=str(guest.id), roles=["reception", "billing"], scope="site", sites=["01"]
    )
    asked = newest(either_shared)[0]
    assert (("billing",), "") == (roles_of(guest), b.does(changes.request, request).why_not)
    assert "done" == approve(b, request)
    done = newest(either_shared)[0]
    assert ("change-approve", "done", str(b.id)) == (done.act, done.outcome, str(b.actor.id))
    assert (["billing"], ["billing", "reception"]) == (
        done.facts["before"]["roles"],
        done.facts["after"]["roles"],
    )
    assert (["billing"], ["reception", "billing"]) == (
        asked.facts["before"]["roles"],
        asked.facts["after"]["roles"],
    )
    assert ("site", ("01",), ("billing", "reception")) == (
        guest.card().scope,
        guest.card().sites,
        roles_of(guest),
    )
    assert 1 == len(
        [r for r in b.does(changes.requests, decided=True, person_id=guest.id) if r.state == "done"]
    )


def test_of_two_changes_of_one_person_approved_at_once_the_second_finds_things_changed(either_shared):
    a, guest = hire(either_shared, "admin"), hire(either_shared, "billing")
    approvers = [hire(either_shared, "admin") for _ in range(2)]
    asked = [ask(a, "set-roles", person_id=str(guest.id), roles=[r]) for r in ("manager", "reception")]
    digests = [who.does(changes.request, one).digest for who, one in zip(approvers, asked, strict=True)]
    either_shared.clock.pass_(seconds=31)
    said = [{"digest": d, "code": who.code(0)} for d, who in zip(digests, approvers, strict=True)]
    became = at_once(lambda n: approvers[n].does(changes.approve, asked[n], **said[n]))
    assert sorted([str, Stale], key=str) == sorted(became, key=str)


def test_every_kind_without_a_directory_is_asked_for_approved_applied_and_on_record(either_shared):
    a, b, guest = hire(either_shared, "admin"), hire(either_shared, "admin"), hire(either_shared, "reception")
    patient, _ = book_thando(either_shared)
    until = (either_shared.clock.at + timedelta(days=3)).isoformat()
    who, login = str(guest.id), f"nomsa{guest.login}"
    mapping = [{"group_id": "S-1-5-21-7", "group_name": "Readers", "role": "radiologist"}]
    either_shared.do("admin", people.suspend, guest.id, why="On leave")
    walk = [
        ("let-in", {"person_id": who}),
        ("add-person", new_account(login)),
        ("reset-password", {"person_id": who}),
        ("reset-factor", {"person_id": who}),
        ("group-roles", {"lines": mapping}),
        ("grant", {"person_id": who, "patient_id": str(patient), "why": "Second opinion", "until_at": until}),
        ("block", {"person_id": who, "patient_id": str(patient), "kind": "family", "why": "Her sister", "until_at": ""}),
        ("person-details", {"person_id": who, "name": "Nomsa Dube", "registration": "MP 0765432"}),
        ("own-record", {"person_id": who, "patient_id": str(patient)}),
        ("new-login", {"person_id": who, "login": f"{login}.new"}),
        ("import", {"rows": [new_account(f"{login}2", line=2), new_account(f"{login}.new", person_id=who, roles=["billing"])]}),
    ]  # fmt: skip
    for kind, payload in walk:
        request = a.does(changes.ask, kind=kind, payload=payload, why="Agreed this morning")
        assert "done" == approve(b, request), kind
        entry = newest(either_shared)[0]
        assert ("change-approve", kind, "done") == (entry.act, entry.facts["kind"], entry.facts["state"])
        assert {"before", "after"} <= set(entry.facts)
        if kind == "block":
            block = b.does(changes.request, request)
            ended = ask(a, "end-access", what="block", id=_made(either_shared, request, "block"))
            assert ("done", "done") == (block.state, approve(b, ended))
    with either_shared.does("system") as work, work.look(Permission.SYSTEM_SEE):
        added = people.by_login(work, login)
        assert ("Nomsa Khumalo", ["reception"], "") == (added.name, added.roles, added.password_hash)
    assert (("billing",), "Nomsa Khumalo") == (roles_of(guest), guest.card().name)
    assert ["radiologist"] == [line.role for line in a.does(groups.mapping)]
    approve(b, ask(a, "group-roles", lines=[]))


def _made(test: TestHouse, request: UUID, what: str) -> str:
    with test.does("system") as work, work.look(Permission.SYSTEM_SEE):
        return work.get(ChangeRequest, request).after[what]


@pytest.mark.parametrize("kind", ["directory-account", "directory-groups"])
def test_the_directorys_kinds_are_refused_for_an_account_of_ours(trio, kind):
    a, _, guest = trio
    said = {"enabled": False} if kind == "directory-account" else {"add": ["S-1"], "remove": []}
    with pytest.raises(Refused) as refused:
        ask(a, kind, person_id=str(guest.id), **said)
    assert ["local"] == [p.code for p in refused.value.problems]


def test_all_problems_of_a_request_are_told_at_once(trio):
    a, _, guest = trio
    with pytest.raises(Refused) as refused:
        ask(
            a,
            "add-person",
            why="x" * 301,
            **new_account("a b", name=" ", roles=["boss"], email="a\nb", sites=["x"]),
        )
    assert ["login-letters", "role-unknown", "no-name", "text-unseen", "email", "sites", "why"] == [
        p.code for p in refused.value.problems
    ]
    with pytest.raises(Refused) as refused:
        ask(a, "import", why="", rows=["x"])
    assert ["shape", "why"] == [p.code for p in refused.value.problems]
    with pytest.raises(Refused) as refused:
        ask(a, "set-roles", person_id=str(guest.id), roles=["patient", "billing"])
    assert ["role-mixed"] == [p.code for p in refused.value.problems]
    with pytest.raises(Refused, match="mend"):
        ask(a, "set-roles", person_id=str(guest.id), roles=["billing"])
    with pytest.raises(Refused, match="no such change"):
        ask(a, "make-me-king")


# Who may approve ---------------------------------------------------------------------------------------------------


def test_who_asked_whom_it_concerns_and_who_is_no_admin_cannot_approve(trio):
    a, b, guest = trio
    own = ask(a, "set-roles", person_id=str(guest.id), roles=["reception"])
    with pytest.raises(Denied, match="Another admin must approve what you asked for"):
        approve(a, own)
    assert "Another admin must approve what you asked for." == newest(a.test)[0].facts["because"]
    concerns_b = ask(a, "set-roles", person_id=str(b.id), roles=["admin", "radiologist"])
    with pytest.raises(Denied, match="concerns you"):
        approve(b, concerns_b)
    sheet = ask(a, "import", rows=[new_account(b.login, person_id=str(b.id), roles=["admin", "billing"])])
    with pytest.raises(Denied, match="concerns you"):
        approve(b, sheet)
    for outsider in (guest, hire(a.test, "manager")):
        with pytest.raises(Denied, match="Your role"):
            outsider.does(changes.approve, own, digest="x", code="123456")
    assert ["waiting"] * 3 == [state(a, r) for r in (own, concerns_b, sheet)]
    for request in (own, concerns_b, sheet):
        a.does(changes.withdraw, request)


def test_the_sealed_account_approves_nothing(trio):
    a, _, guest = trio
    with a.test.house.work(system()) as work:
        sealed = people.seal_break_glass(work, login=f"sealed-{a.login}", password=PASSWORD)
    glass = Guest(a.test, sealed.person.login, sealed.person.id, sealed.secret, "10.8.8.8")
    glass._actor = glass.behind(glass.enters(reason="Nobody else can be reached"))
    request = ask(a, "set-roles", person_id=str(guest.id), roles=["reception"])
    assert "The sealed account approves nothing." == glass.does(changes.request, request).why_not
    with pytest.raises(Denied, match="sealed account"):
        approve(glass, request)
    own = ask(glass, "set-roles", person_id=str(guest.id), roles=["radiologist"])
    with pytest.raises(Denied, match="sealed account"):
        approve(glass, own)


def test_approval_needs_a_fresh_proof_for_this_request(trio):
    a, b, guest = trio
    first = ask(a, "set-roles", person_id=str(guest.id), roles=["reception"])
    second = ask(a, "reset-factor", person_id=str(guest.id))
    b.does(factors.prove_by_code, purpose=b.does(changes.request, first).purpose, code=b.proof())
    with pytest.raises(WrongAnswer, match="Confirm that it is you"):
        approve(b, second, code="")
    with pytest.raises(WrongAnswer):
        approve(b, second, code="000000")
    assert ("refused", "wrong code") == (newest(b.test)[0].outcome, newest(b.test)[0].facts["why"])
    assert ("waiting", "done") == (state(b, second), approve(b, first, code=""))
    with pytest.raises(WrongAnswer):
        approve(b, second, code="")


def test_nobody_raises_their_own_rights_by_rewriting_their_own_request(trio):
    a, b, guest = trio
    request = ask(a, "set-roles", person_id=str(guest.id), roles=["reception"])
    digest = b.does(changes.request, request).digest
    payload = {"person_id": str(a.id), "roles": ["admin", "radiologist", "billing"]}
    tamper(a.test, ChangeRequest, request, payload=payload, person_id=a.id)
    with pytest.raises(Denied, match="changed in the database"):
        approve(b, request, digest=digest)
    assert ("refused", ("admin",)) == (newest(b.test)[0].outcome, roles_of(a))
    b.does(changes.refuse, request, remark="Not what was asked for")
    assert "refused" == state(a, request)


@pytest.mark.parametrize("digest", ["", "x", "é", "\ud800", "0" * 64])
def test_another_digest_than_the_one_shown_is_refused(trio, digest):
    a, b, guest = trio
    request = ask(a, "reset-factor", person_id=str(guest.id))
    with pytest.raises(Stale, match="not what was shown"):
        approve(b, request, digest=digest)


def test_an_approval_sent_twice_applies_once(either_shared):
    a, b, guest = hire(either_shared, "admin"), hire(either_shared, "admin"), hire(either_shared, "billing")
    request = ask(a, "set-roles", person_id=str(guest.id), roles=["reception"])
    digest = b.does(changes.request, request).digest
    for admin in (b, c := hire(either_shared, "admin")):
        admin.does(
            factors.prove_by_code, purpose=admin.does(changes.request, request).purpose, code=admin.proof()
        )
    brought = at_once(lambda n: (b, c)[n].does(changes.approve, request, digest=digest))
    assert [Stale, str] == sorted(brought, key=str)
    with pytest.raises(Stale, match="decided already"):
        approve(b, request)


def test_who_was_shut_out_after_asking_gets_nothing_approved(trio):
    a, b, guest = trio
    request = ask(a, "set-roles", person_id=str(guest.id), roles=["reception"])
    b.does(people.suspend, a.id, why="Phone stolen")
    with pytest.raises(Denied, match="no admin any more"):
        approve(b, request)
    b.does(changes.refuse, request)
    assert ("billing",) == roles_of(guest)


def test_what_changed_meanwhile_is_not_applied_but_can_be_refused(trio):
    a, b, guest = trio
    first = ask(a, "set-roles", person_id=str(guest.id), roles=["reception"])
    second = ask(b, "set-roles", person_id=str(guest.id), roles=["radiographer"])
    assert "done" == approve(b, first)
    with pytest.raises(Stale, match="changed since"):
        approve(a, second)
    a.does(changes.refuse, second, remark="  Overtaken \n by events ")
    assert "Overtaken by events" == b.does(changes.request, second).remark
    assert ("reception",) == roles_of(guest)


def test_the_same_change_waits_once_and_who_asked_may_take_it_back(trio):
    a, b, guest = trio
    request = ask(a, "reset-factor", person_id=str(guest.id))
    with pytest.raises(Refused, match="waiting for approval already"):
        ask(b, "reset-factor", person_id=str(guest.id))
    with pytest.raises(Denied, match="Only who asked"):
        b.does(changes.withdraw, request)
    a.does(changes.withdraw, request)
    with pytest.raises(Stale):
        approve(b, request)
    assert approve(a, ask(b, "reset-factor", person_id=str(guest.id)))


def test_a_request_nobody_decided_expires(trio):
    a, b, guest = trio
    request = ask(a, "reset-factor", person_id=str(guest.id))
    a.test.clock.pass_(days=14)
    with pytest.raises(Refused, match="too old"):
        approve(b, request)
    changes.apply_all_due(a.test.house)
    assert ("expired", a.test.clock.at) == (state(a, request), a.does(changes.request, request).decided_at)


def test_an_import_with_one_bad_row_changes_nothing(either_shared):
    a, b, guest = hire(either_shared, "admin"), hire(either_shared, "admin"), hire(either_shared, "billing")
    rows = [
        new_account(guest.login, person_id=str(guest.id), roles=["reception"]),
        new_account(f"new-{guest.login}"),
    ]
    with pytest.raises(Refused) as refused:
        ask(a, "import", rows=[*rows, new_account("Ａ b"), new_account(f"new-{guest.login}", roles=["boss"])])
    assert ["login-letters", "role-unknown", "twice"] == [p.code for p in refused.value.problems]
    request = ask(a, "import", rows=rows)
    taken = hire(either_shared, login=f"new-{guest.login}")
    with pytest.raises(Refused, match="already"):
        approve(b, request)
    assert (("billing",), ("billing",)) == (roles_of(guest), roles_of(taken))


def test_where_admins_need_keys_a_code_approves_nothing_and_a_key_does(trio, monkeypatch):
    a, b, guest = trio
    request = ask(a, "set-roles", person_id=str(guest.id), roles=["reception"])
    card = b.does(changes.request, request)
    b.does(factors.prove_by_code, purpose=card.purpose, code=b.proof())
    # From here on, for these two as well, who signed in before (tests/test_admins_need_keys.py has the rest).
    monkeypatch.setitem(a.test.house.rules, "admins_need_keys", True)
    origin, key = "https://sorg.example", SoftKey()
    for code in (b.proof(), ""):
        with pytest.raises(WrongAnswer, match="approved with a key"):
            approve(b, request, code=code)
    with pytest.raises(WrongAnswer, match="approved with a key"):
        b.does(factors.prove_by_code, purpose=card.purpose, code=b.proof())
    assert ("no key", "waiting") == (newest(b.test)[0].facts["why"], state(b, request))
    made = b.does(factors.begin_key, origin=origin, code=b.proof())
    b.does(factors.finish_key, answer=key.makes(made), name="Blue key", origin=origin)
    asked = b.does(factors.ask_key, purpose=card.purpose, origin=origin)
    b.does(factors.prove_by_key, purpose=card.purpose, answer=key.touched(asked), origin=origin)
    assert "done" == approve(b, request, code="")
    assert ("reception",) == roles_of(guest)


# The last admin ------------------------------------------------------------------------------------------------------


def pair_of(test: TestHouse) -> tuple[Guest, Guest]:
    """The practice's two only admins."""
    first = Guest(test, "admin", UUID(test.actors["admin"].id), test.secrets["admin"], "10.2.0.1")
    return first, hire(test, "admin")


def test_the_last_admin_who_can_sign_in_stays_whichever_way_it_is_tried(house):
    a, b = pair_of(house)
    waits = hire(house, "admin")
    tamper(house, Person, waits.id, totp_box=None)
    tamper(house, Person, b.id, password_hash="")  # An approved reset: b waits for a slip.
    me = str(a.id)
    walk = [
        ("set-roles", {"person_id": me, "roles": ["manager"]}),
        ("reset-factor", {"person_id": me}),
        ("reset-password", {"person_id": me}),
        ("import", {"rows": [new_account("admin", person_id=me, roles=["manager"])]}),
        (
            "import",
            {
                "rows": [
                    new_account("fresh", roles=["admin"]),
                    new_account("admin", person_id=me, roles=["billing"]),
                ]
            },
        ),
    ]
    b._actor = Actor(str(b.id), "b", frozenset({Role.ADMIN}), session=a.actor.session)
    for kind, payload in walk:
        request = ask(a, kind, **payload)
        with pytest.raises(Refused, match="last admin who can sign in"):
            approve(b, request)
        assert "waiting" == state(a, request)
    with pytest.raises(Refused, match="last admin"):
        b.does(people.suspend, a.id, why="Trying it")
    assert (("admin",), "active") == (roles_of(a), a.card().standing)


def test_two_admins_who_demote_each_other_at_once_leave_one(either_house):
    a, b = pair_of(either_house)
    requests = (
        ask(a, "set-roles", person_id=str(b.id), roles=["manager"]),
        ask(b, "set-roles", person_id=str(a.id), roles=["manager"]),
    )
    digests = [a.does(changes.request, r).digest for r in requests]
    for admin, request in ((b, requests[0]), (a, requests[1])):
        admin.does(
            factors.prove_by_code, purpose=a.does(changes.request, request).purpose, code=admin.proof()
        )
    at_once(lambda n: (b, a)[n].does(changes.approve, requests[n], digest=digests[n]))
    with either_house.does("system") as work, work.look(Permission.SYSTEM_SEE):
        left = [p.login for p in (work.get(Person, a.id), work.get(Person, b.id)) if "admin" in p.roles]
    assert 1 == len(left)
    at_once(lambda n: (b, a)[n].does(people.suspend, (a, b)[n].id, why="At once"))
    with either_house.does("system") as work, work.look(Permission.SYSTEM_SEE):
        assert 1 == len(people_who_administer(work))


def people_who_administer(work: Work) -> list[str]:
    return [p.login for p in work.db.scalars(select(Person)) if p.is_active and "admin" in p.roles]


# One admin alone -----------------------------------------------------------------------------------------------------


@pytest.fixture
def alone(tmp_path) -> TestHouse:
    test = open_test_house(tmp_path / "home", single_admin=True, single_admin_hours=24)
    yield test
    test.house.engine.dispose()


def test_one_admin_alone_waits_a_day_in_everybodys_sight_and_may_stop_it(alone):
    a = Guest(alone, "admin", UUID(alone.actors["admin"].id), alone.secrets["admin"], "10.2.0.1")
    guest = hire(alone, "billing")
    request = ask(a, "set-roles", person_id=str(guest.id), roles=["reception"])
    assert "delayed" == approve(a, request)
    assert ["alone"] == [x.kind for x in alone.do("manager", alerts.alerts)]
    alone.clock.pass_(hours=23)
    changes.apply_all_due(alone.house)
    assert (("billing",), "delayed") == (roles_of(guest), state(a, request))
    alone.clock.pass_(hours=1)
    changes.apply_all_due(alone.house)
    assert (("reception",), "done") == (roles_of(guest), state(a, request))
    assert ("change-apply", "system") == (newest(alone)[0].act, newest(alone)[0].roles[0])

    stopped = ask(a, "set-roles", person_id=str(guest.id), roles=["radiologist"])
    approve(a, stopped)
    a.does(changes.withdraw, stopped)
    edited = ask(a, "set-roles", person_id=str(guest.id), roles=["transcriptionist"])
    approve(a, edited)
    tamper(alone, ChangeRequest, edited, payload={"person_id": str(a.id), "roles": ["admin", "radiologist"]})
    # What must not be done does not stand in the way of what comes after it.
    last = ask(a, "set-roles", person_id=str(a.id), roles=["manager"])
    approve(a, last)
    after = ask(a, "add-person", **new_account("nomsa"))
    approve(a, after)
    alone.clock.pass_(hours=24)
    changes.apply_all_due(alone.house)
    assert ["withdrawn", "failed", "failed", "done"] == [state(a, r) for r in (stopped, edited, last, after)]
    assert (("reception",), ("admin",)) == (roles_of(guest), roles_of(a))
    assert "last admin" in a.does(changes.request, last).remark
    assert 0 == changes.apply_all_due(alone.house)

    # As soon as there is another admin, nobody changes anything alone.
    b = hire(alone, "admin")
    own = ask(a, "reset-factor", person_id=str(guest.id))
    with pytest.raises(Denied, match="Another admin"):
        approve(a, own)
    assert "done" == approve(b, own)


def test_what_changed_during_the_delay_is_not_applied(alone):
    a = Guest(alone, "admin", UUID(alone.actors["admin"].id), alone.secrets["admin"], "10.2.0.1")
    guest = hire(alone, "billing")
    request = ask(a, "set-roles", person_id=str(guest.id), roles=["reception"])
    approve(a, request)
    tamper(alone, Person, guest.id, roles=["analyst"])
    alone.clock.pass_(hours=24)
    changes.apply_all_due(alone.house)
    assert ("expired", ("analyst",)) == (state(a, request), roles_of(guest))


def test_a_surprise_in_one_delayed_request_keeps_none_behind_it_waiting(alone, monkeypatch):
    a = Guest(alone, "admin", UUID(alone.actors["admin"].id), alone.secrets["admin"], "10.2.0.1")
    guest = hire(alone, "billing")
    shut = hire(alone, "billing")
    a.does(people.suspend, shut.id, why="On leave")
    first = ask(a, "let-in", person_id=str(shut.id))
    behind = ask(a, "set-roles", person_id=str(guest.id), roles=["reception"])
    approve(a, first)
    approve(a, behind)
    alone.clock.pass_(hours=24)

    def surprised(work, payload):
        raise RuntimeError("nobody thought of this")

    monkeypatch.setitem(changes.KINDS, "let-in", replace(changes.KINDS["let-in"], before=surprised))
    with pytest.raises(RuntimeError, match="nobody thought"):
        changes.apply_all_due(alone.house)
    assert ("delayed", "done") == (state(a, first), state(a, behind))


def test_without_the_setting_one_admin_changes_nothing_alone(house):
    a = Guest(house, "admin", UUID(house.actors["admin"].id), house.secrets["admin"], "10.2.0.1")
    request = ask(a, "set-roles", person_id=str(hire(house).id), roles=["reception"])
    with pytest.raises(SorgError, match="Another admin"):
        approve(a, request)


def test_only_what_somebody_can_decide_is_counted_as_theirs_to_decide(trio):
    a, b, guest = trio
    theirs, ours, manages = (
        b.does(changes.waiting),
        a.does(changes.waiting),
        a.test.do("manager", changes.waiting),
    )
    request = ask(a, "set-roles", person_id=str(guest.id), roles=["reception", "billing"])
    assert (theirs + 1, ours, manages, 0) == (
        b.does(changes.waiting),
        a.does(changes.waiting),
        a.test.do("manager", changes.waiting),
        manages,
    )
    b.does(changes.refuse, request, remark="No")
    concerns_b = ask(a, "reset-factor", person_id=str(b.id))
    assert (theirs, a.test.do("admin", changes.waiting) > 0) == (b.does(changes.waiting), True)
    a.does(changes.withdraw, concerns_b)


def test_the_list_shows_what_waits_and_what_was_decided_and_to_whom(trio):
    a, b, guest = trio
    request = ask(a, "set-roles", person_id=str(guest.id), roles=["reception"])
    card = next(c for c in b.does(changes.requests) if c.id == request)
    assert [("roles", "billing", "reception")] == [(x.what, x.before, x.after) for x in card.lines]
    assert (False, True) == (card.is_mine, a.does(changes.request, request).is_mine)
    manager = a.test.do("manager", changes.request, request)
    assert "Only an admin approves." == manager.why_not
    b.does(changes.refuse, request, remark="No")
    assert request in [c.id for c in a.does(changes.requests, decided=True, size=1000)]


def test_nobody_becomes_the_only_admin_by_shutting_out_the_other(alone):
    a = Guest(alone, "admin", UUID(alone.actors["admin"].id), alone.secrets["admin"], "10.2.0.1")
    b = hire(alone, "admin")
    alone.do("admin", people.suspend, b.id, why="On my own")
    request = ask(a, "set-roles", person_id=str(a.id), roles=["admin", "radiologist"])
    with pytest.raises(Denied, match="shut out less than 30 days ago"):
        approve(a, request)
    alone.clock.pass_(days=31)
    later = ask(a, "set-roles", person_id=str(a.id), roles=["admin", "radiologist"])
    assert "delayed" == approve(a, later)


def test_what_an_admin_did_alone_another_takes_note_of(either_shared):
    a, b, c = (hire(either_shared, "admin") for _ in range(3))
    a.does(people.suspend, c.id, why="Left the practice")
    told = next(x for x in a.does(alerts.alerts) if x.about == str(c.id))
    with pytest.raises(Denied, match="somebody else takes note"):
        a.does(alerts.mark_seen, told.id)
    b.does(alerts.mark_seen, told.id)
    assert told.id not in [x.id for x in b.does(alerts.alerts)]
