"""What a dishonest admin tries with requests: to have approved what is not shown, or to approve for themselves."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from core import (
    access,
    alerts,
    change_cards,
    change_kinds,
    changes,
    directory_changes,
    groups,
    patients,
    people,
    staff_import,
)
from core.errors import Denied, Missing, Refused
from core.rules.roles import Permission
from core.rules.za_time import say_time
from core.store.model import ChangeRequest, Person
from core.store.work import system
from tests.fixtures.guests import Guest, hire
from tests.fixtures.house import PASSWORD, TestHouse, book_thando, open_test_house
from tests.test_changes import approve, ask, new_account, roles_of, state, tamper

WHY = "Agreed with the manager"


@pytest.fixture
def trio(shared_house) -> tuple[Guest, Guest, Guest]:
    """Two admins, and somebody whom changes are about; the practice has a third admin."""
    return hire(shared_house, "admin"), hire(shared_house, "admin"), hire(shared_house, "billing")


def lines(guest: Guest, request: UUID) -> list[tuple[str, str, str]]:
    return [(x.what, x.before, x.after) for x in guest.does(changes.request, request).lines]


def about_patient(guest: Guest, what: str, /, **payload: Any) -> UUID:
    return guest.does(changes.ask, kind=what, why=WHY, payload={"why": WHY, **payload})


def problems_of(guest: Guest, kind: str, **payload: Any) -> list[str]:
    with pytest.raises(Refused) as refused:
        ask(guest, kind, **payload)
    return [p.code for p in refused.value.problems]


def in_days(test: TestHouse, days: int) -> str:
    return (test.clock.at + timedelta(days=days)).isoformat()


# What is shown is what is applied -------------------------------------------------------------------------------------


def test_a_group_of_the_same_name_and_another_id_is_shown_by_its_id(trio):
    a, b, _ = trio
    old = {"group_id": "S-1-5-21-1-2-3-512", "group_name": "PACS-Admins", "role": "admin"}
    new = old | {"group_id": "S-1-1-0"}
    approve(b, ask(a, "group-roles", lines=[old]))
    swap = ask(a, "group-roles", lines=[new])
    assert [
        ("PACS-Admins (S-1-1-0)", "", "admin"),
        ("PACS-Admins (S-1-5-21-1-2-3-512)", "admin", ""),
    ] == lines(b, swap)
    a.does(changes.withdraw, swap)
    both = ask(a, "group-roles", lines=[old, new])
    assert [("PACS-Admins (S-1-1-0)", "", "admin")] == lines(b, both)
    a.does(changes.withdraw, both)
    renamed = ask(a, "group-roles", lines=[old | {"group_name": "Readers"}])
    assert [("name of S-1-5-21-1-2-3-512", "PACS-Admins", "Readers")] == lines(b, renamed)
    approve(b, renamed)
    approve(b, ask(a, "group-roles", lines=[]))
    assert () == a.does(groups.mapping)


def test_a_sheet_shows_every_field_that_it_changes(trio):
    a, b, _ = trio
    doctor = hire(a.test, "radiologist", "billing")
    name = doctor.card().name
    row = new_account(
        doctor.login,
        person_id=str(doctor.id),
        name=name,
        roles=["radiologist"],
        scope="all",
        sites=["01", "ZZ"],
        email="elsewhere@example.com",
        practice_number="0140000123457",
        registration="MP9",
    )
    login = f"fresh.{doctor.login}"
    fresh = new_account(login, name="Fresh", roles=["billing"], scope="none", email="f@example.com")
    request = ask(a, "import", rows=[row, fresh])
    assert [
        ("roles", "billing, radiologist", "radiologist"),
        ("registration", "", "MP9"),
        ("practice number", "", "0140000123457"),
        ("email", "", "elsewhere@example.com"),
        ("scope", "", "all"),
        ("sites", "", "01, ZZ"),
        ("account", "", "new"),
        ("name", "", "Fresh"),
        ("roles", "", "billing"),
        ("email", "", "f@example.com"),
        ("scope", "", "none"),
    ] == lines(b, request)
    assert [doctor.login] * 6 + [login] * 5 == [x.of for x in b.does(changes.request, request).lines]


def test_a_row_of_a_sheet_changes_the_account_whose_login_it_shows(trio):
    a, _, guest = trio
    other, (patient, _) = hire(a.test, "billing"), book_thando(a.test)
    assert ["login"] == problems_of(
        a, "import", rows=[new_account(other.login, person_id=str(guest.id), roles=["admin"])]
    )
    for hidden in (
        {"patient_id": str(patient)},
        {"referrer_id": None},
        {"directory_id": "x"},
        {"is_break_glass": True},
    ):
        row = new_account("hidden.one", roles=["patient"], **hidden)
        assert ["unknown-key"] == problems_of(a, "import", rows=[row])


def test_an_unknown_key_is_refused_in_every_kind(trio):
    a, _, guest = trio
    assert ["unknown-key"] == problems_of(a, "add-person", **new_account("evil.one", person_id=str(guest.id)))
    for kind, kinds in change_kinds.KINDS.items():
        payload = dict.fromkeys(kinds.needs, str(guest.id)) | {"note": "unseen"}
        payload |= {k: [] for k in ("lines", "rows", "roles") if k in payload}
        assert ["unknown-key"] == problems_of(a, kind, **payload), kind
    assert ["missing-key"] == problems_of(a, "let-in")
    assert ["shape"] == problems_of(a, "import", rows=["x"])
    line = {"group_id": "S-1", "group_name": "A", "role": "billing", "note": "x"}
    assert ["unknown-key"] == problems_of(a, "group-roles", lines=[line])


def test_what_a_request_leaves_out_stays_as_it_is(trio):
    a, b, guest = trio
    who = str(guest.id)
    approve(b, ask(a, "set-roles", person_id=who, roles=["billing"], scope="none", sites=["02"]))
    request = ask(a, "set-roles", person_id=who, roles=["billing", "reception"])
    assert [("roles", "billing", "billing, reception")] == lines(b, request)
    approve(b, request)
    assert ("none", ("02",)) == (guest.card().scope, guest.card().sites)
    approve(
        b,
        ask(
            a,
            "import",
            rows=[{"login": guest.login, "name": "New Name", "roles": ["billing"], "person_id": who}],
        ),
    )
    assert ("New Name", "none", ("02",)) == (guest.card().name, guest.card().scope, guest.card().sites)


def test_a_digest_counted_anew_by_somebody_in_the_database_is_not_ours(trio):
    a, b, guest = trio
    request = ask(a, "set-roles", person_id=str(guest.id), roles=["reception"])
    for column, wrong in (
        ("why", "Another reason"),
        ("person_id", a.id),
        ("asked_by", b.id),
        ("digest", "0" * 64),
    ):
        with a.test.house.work(system()) as work, work.look(Permission.CHANGE_APPLY):
            right = getattr(work.get(ChangeRequest, request), column)
        tamper(a.test, ChangeRequest, request, **{column: wrong})
        with pytest.raises(Denied):
            approve(b, request)
        tamper(a.test, ChangeRequest, request, **{column: right})
    assert "done" == approve(b, request)


def test_nothing_is_carried_out_whose_approval_was_only_written_into_the_database(trio):
    """The worker would else do in the directory, by the delegated account, what one admin asked for."""
    a, b, guest = trio
    request = ask(a, "set-roles", person_id=str(guest.id), roles=["reception"])
    tamper(a.test, ChangeRequest, request, state="carrying", decided_by=b.id, decided_at=a.test.clock.at)
    task = a.test.do("system", directory_changes.to_carry_out, request)
    assert change_cards.TAMPERED == task["trouble"]


@pytest.mark.parametrize("approved", [False, True])
def test_a_request_that_was_withdrawn_is_not_brought_back_as_one_that_waits_for_its_delay(tmp_path, approved):
    test = open_test_house(tmp_path / "home", single_admin=True, single_admin_hours=24)
    guest = hire(test, "billing")
    said = {"person_id": str(guest.id), "roles": ["admin"]}
    request = test.do("admin", changes.ask, kind="set-roles", payload=said, why=WHY)
    if approved:
        digest, code = test.do("admin", changes.request, request).digest, test.code("admin")
        assert "delayed" == test.do("admin", changes.approve, request, digest=digest, code=code)
    with test.does("admin") as work, work.look(Permission.CHANGE_SEE):
        row = work.get(ChangeRequest, request)
        then = {
            "decided_by": row.decided_by,
            "decided_at": row.decided_at or test.clock.at,
            "due_at": row.due_at or test.clock.at,
        }
    test.do("admin", changes.withdraw, request)
    tamper(test, ChangeRequest, request, state="delayed", **then)
    test.clock.pass_(days=2)
    changes.apply_all_due(test.house)
    card = test.do("admin", changes.request, request)
    assert (("billing",), "failed", change_cards.TAMPERED) == (guest.card().roles, card.state, card.remark)
    test.house.engine.dispose()


# Nobody for themselves ------------------------------------------------------------------------------------------------


def test_nobody_approves_what_lets_themselves_in_to_a_record(house):
    a = Guest(house, "admin", UUID(house.actors["admin"].id), house.secrets["admin"], "10.2.0.1")
    b = hire(house, "admin")  # Two admins and no third.
    patient, _ = book_thando(house)
    grant = about_patient(
        a, "grant", person_id=str(b.id), patient_id=str(patient), until_at=in_days(house, 3)
    )
    with pytest.raises(Denied, match="lets you in"):
        approve(b, grant)
    block = about_patient(b, "block", person_id=str(a.id), patient_id=str(patient), kind="own", until_at="")
    assert ("whom", "", f"{a.card().name} ({a.login})") == lines(b, block)[0]
    assert "done" == approve(a, block)
    (right,) = [r for r in b.does(access.access_of, patient).rights if r.what == "block"]
    end = ask(b, "end-access", what="block", id=str(right.id))
    card = a.does(changes.request, end)
    assert (a.id, patient) == (card.person_id, card.patient_id)
    with pytest.raises(Denied, match="lets you in"):
        approve(a, end)
    with pytest.raises(Missing):
        a.does(patients.open_patient, patient)
    assert ["no-person"] == problems_of(b, "end-access", what="block", id=str(right.id), person_id=str(b.id))


def test_a_later_block_ends_the_persons_own_access_and_says_so(trio):
    a, b, _ = trio
    guest, (patient, _) = hire(a.test, "reception"), book_thando(a.test)
    who = {"person_id": str(guest.id), "patient_id": str(patient)}
    until = in_days(a.test, 30)
    approve(b, about_patient(a, "grant", **who, until_at=until))
    block = about_patient(a, "block", **who, kind="family", until_at="")
    assert (
        "access that ends with it",
        f"until {say_time(datetime.fromisoformat(until))}: {WHY}",
        "",
    ) == lines(b, block)[-1]
    approve(b, block)
    a.test.clock.pass_(seconds=1)
    with pytest.raises(Missing):
        guest.does(patients.open_patient, patient)
    assert [False] == [r.stands for r in b.does(access.access_of, patient).rights if r.what == "grant"]


def test_the_sealed_account_is_sealed_anew_and_never_let_in_or_changed(trio):
    a, _, _ = trio
    with a.test.house.work(system()) as work:
        sealed = people.seal_break_glass(work, login=f"sealed-{a.login}", password=PASSWORD).person
    who = {"person_id": str(sealed.id)}
    tamper(a.test, Person, sealed.id, closes_at=a.test.clock.at)
    assert ["sealed"] == problems_of(a, "let-in", **who)
    assert ["sealed"] == problems_of(a, "reset-password", **who)
    assert ["sealed"] == problems_of(a, "set-roles", **who, roles=["admin", "billing"])
    assert ["sealed"] == problems_of(a, "import", rows=[new_account(sealed.login, **who, roles=["admin"])])


def test_what_one_admin_decided_alone_expires_once_there_is_another(tmp_path):
    test = open_test_house(tmp_path / "home", single_admin=True, single_admin_hours=24)
    a = Guest(test, "admin", UUID(test.actors["admin"].id), test.secrets["admin"], "10.2.0.1")
    guest = hire(test, "billing")
    request = ask(a, "set-roles", person_id=str(guest.id), roles=["reception"])
    assert "delayed" == approve(a, request)
    hire(test, "admin")
    test.clock.pass_(hours=24)
    changes.apply_all_due(test.house)
    assert ("expired", ("billing",)) == (state(a, request), roles_of(guest))
    assert "another admin" in a.does(changes.request, request).remark
    test.house.engine.dispose()


def test_who_asked_for_an_admin_does_not_make_that_admins_slip(trio):
    a, b, _ = trio
    login = f"second.{a.login}"
    request = ask(a, "add-person", **new_account(login, roles=["admin"]))
    approve(b, request)
    person = b.does(changes.request, request).person_id
    with pytest.raises(Refused, match="You asked for this admin"):
        a.does(people.make_slip, person)
    assert login == b.does(people.make_slip, person).login
    told = [x.sentence for x in b.does(alerts.alerts, size=1000) if x.about == str(person)]
    assert [f"There is a new admin: Nomsa Khumalo ({login})."] == told
    sheet = ask(
        a, "import", rows=[new_account(f"third.{a.login}", roles=["admin"]), new_account(f"fourth.{a.login}")]
    )
    approve(b, sheet)
    assert [f"fourth.{a.login}"] == [slip.login for slip in a.does(staff_import.make_slips, sheet)]
    with pytest.raises(Refused, match="another admin"):
        a.does(staff_import.make_slips, sheet)
    assert [f"third.{a.login}"] == [slip.login for slip in b.does(staff_import.make_slips, sheet)]


def test_who_asked_for_both_resets_of_an_admin_does_not_make_the_slip_that_then_opens_the_account_alone(
    shared_house,
):
    a, b, c = (hire(shared_house, "admin") for _ in range(3))
    for kind in ("reset-factor", "reset-password"):
        approve(b, ask(a, kind, person_id=str(c.id)))
    with pytest.raises(Refused, match="another admin must make its slip"):
        a.does(people.make_slip, c.id)
    assert b.does(people.make_slip, c.id).sets_password
    # With one half only, the other one is proved beside the slip.
    approve(b, ask(a, "reset-factor", person_id=str((d := hire(shared_house, "admin")).id)))
    assert not a.does(people.make_slip, d.id).sets_password


def test_one_identity_of_single_sign_on_does_not_approve_under_its_second_account(trio):
    """Before a provider passes on the directory's ids somebody has an account of its own, and both may be admins'."""
    a, b, guest = trio
    assert a.actor and b.actor  # signed in, before their accounts belong elsewhere
    tamper(a.test, Person, a.id, directory="sso", directory_id=(key := f"hash-of-{a.login}"))
    tamper(a.test, Person, b.id, directory="directory", directory_id=f"guid-{b.login}", sso_id=key)
    request = ask(a, "set-roles", person_id=str(guest.id), roles=["billing", "manager"])
    with pytest.raises(Denied, match="under your other account"):
        approve(b, request)
    assert "done" == approve(hire(a.test, "admin"), request)


# More reach, a new sign-in --------------------------------------------------------------------------------------------


def test_wider_reach_ends_the_persons_sessions_and_narrower_does_not(trio):
    a, b, guest = trio
    who = str(guest.id)

    def stays(**reach: Any) -> bool:
        token = guest.enters()
        approve(b, ask(a, "set-roles", person_id=who, roles=["billing"], **reach))
        return guest.behind(token) is not None

    assert [True, False, False, True, True] == [
        stays(scope="none", sites=["01"]),
        stays(scope="site"),
        stays(sites=["01", "02"]),
        stays(sites=["02"]),
        stays(scope="assigned"),
    ]
    token = guest.enters()
    approve(
        b, ask(a, "import", rows=[new_account(guest.login, person_id=who, roles=["billing"], scope="all")])
    )
    assert guest.behind(token) is None


def test_a_patients_account_bound_to_another_patient_signs_in_anew(trio):
    a, b, _ = trio
    (first, _), (second, _) = book_thando(a.test), book_thando(a.test, family_name="Other")
    patient = hire(a.test, "patient", patient_id=first)
    token = patient.enters(channel="gateway")
    assert patient.behind(token, channel="gateway") is not None
    request = ask(a, "set-roles", person_id=str(patient.id), roles=["patient"], patient_id=str(second))
    assert ["patient"] == [x[0] for x in lines(b, request)]
    approve(b, request)
    assert patient.behind(token, channel="gateway") is None
