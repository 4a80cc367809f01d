"""Names and numbers corrected, a staff member's own record bound: asked for by one admin, approved by another."""

from __future__ import annotations

from uuid import UUID

import pytest

from core import (
    access,
    activation,
    alerts,
    changes,
    own_studies,
    patients,
    people,
    reporting,
    sessions,
    signin,
    staff_import,
)
from core.errors import Denied, Missing, Refused, Stale, WrongAnswer
from core.rules.access import Bounds
from core.rules.reasons import LONGEST_WHY, SHORTEST_WHY
from core.rules.roles import Permission, Role
from core.sessions import Over
from core.store.model import ChangeRequest, Person
from core.store.work import Actor
from tests.fixtures.billing import signed_study
from tests.fixtures.guests import WRONG, Guest, hire, newest
from tests.fixtures.house import TestHouse, book_thando
from tests.test_access import block, can_open
from tests.test_changes import approve, ask, new_account, tamper
from tests.test_changes_attacks import about_patient, in_days, lines, problems_of

PCNS = "0140000654321"


@pytest.fixture
def trio(shared_house: TestHouse) -> tuple[Guest, Guest, Guest]:
    """Two admins, and somebody whom changes are about; the practice has a third admin."""
    return hire(shared_house, "admin"), hire(shared_house, "admin"), hire(shared_house, "radiologist")


def about(guest: Guest) -> dict[str, str]:
    return {"person_id": str(guest.id)}


# Names and numbers ----------------------------------------------------------------------------------------------------


def test_a_name_and_the_numbers_are_corrected_and_what_was_left_out_stays(either_shared):
    a, b = hire(either_shared, "admin"), hire(either_shared, "admin")
    guest = hire(either_shared, "radiologist", registration="MP 0000001", email="before@practice.example")
    name = guest.card().name
    request = ask(
        a,
        "person-details",
        **about(guest),
        name=" Dr  Thando\u0302 Ma\u0142ecka ",
        practice_number="0140 000 654321",
    )
    assert [("name", name, "Dr Thandô Małecka"), ("practice number", "", PCNS)] == lines(b, request)
    assert "done" == approve(b, request)
    done = newest(either_shared)[0].facts
    assert (name, "Dr Thandô Małecka") == (done["before"]["name"], done["after"]["name"])
    card = guest.card()
    assert ("Dr Thandô Małecka", "MP 0000001", PCNS, "before@practice.example") == (
        card.name,
        card.registration,
        card.practice_number,
        card.email,
    )
    assert "Dr Thandô Małecka" == guest.behind(guest.enters(channel="console"), channel="console").name


@pytest.mark.parametrize(
    ("field", "text", "code"),
    [("name", "Th\u0430ndi Nkosi", "name-script"), ("name", "Than\u200bdi", "text-unseen"), ("name", "Thandi\u202eisokN", "text-unseen"),
     ("name", "Thandi\nNkosi", "text-unseen"), ("name", "x" * 121, "text-long"), ("name", "  ", "no-name"), ("name", "123", "name-letters"),
     ("name", "\U0001d5a9\U0001d5c2\U0001d5c5\U0001d5c5", "name-form"), ("name", "\uff2a\uff49\uff4c\uff4c", "name-form"), ("name", "=HYPERLINK(1)", "text-formula"), ("registration", "MP\x00", "text-unseen"), ("registration", "9" * 41, "text-long"),
     ("practice_number", "123", "PCNS"), ("email", "t@pr\u0430ctice.example", "email"), ("name", ["Thandi"], "shape"),
     ("email", None, "shape"), ("person_id", "x", "shape"), ("directory", "local", "unknown-key"), ("login", "other", "unknown-key"),
     ("is_break_glass", True, "unknown-key")],
)  # fmt: skip
def test_what_nobody_sees_or_only_looks_right_is_in_no_name(trio, field, text, code):
    a, _, guest = trio
    assert code in problems_of(a, "person-details", **(about(guest) | {field: text}))


def test_a_correction_that_changes_nothing_is_none(trio):
    a, _, guest = trio
    assert ["same"] == problems_of(a, "person-details", **about(guest), name=f" {guest.card().name}")


def test_a_new_account_keeps_its_texts_as_they_are_shown(trio):
    a, b, guest = trio
    login = f"tidy.{guest.login}"
    request = ask(a, "add-person", **new_account(login, name="  Thandi   Nkosi "))
    assert ("name", "", "Thandi Nkosi") in lines(b, request)
    approve(b, request)
    (card,), _ = b.does(people.people, search=login)
    assert "Thandi Nkosi" == card.name


def test_an_old_name_that_would_not_be_taken_today_keeps_no_number_from_being_corrected(trio):
    a, b, guest = trio
    tamper(a.test, Person, guest.id, name="=Thandi")
    approve(b, ask(a, "person-details", **about(guest), registration="MP 0765432"))
    assert ("=Thandi", "MP 0765432") == (guest.card().name, guest.card().registration)


@pytest.mark.parametrize(
    ("kept", "words"), [("directory", "practice's directory"), ("sso", "single sign-on")]
)
def test_what_the_directory_owns_is_changed_there_and_what_it_does_not_hold_here(trio, kept, words):
    a, b, guest = trio
    tamper(a.test, Person, guest.id, directory=kept, directory_id=f"id-{guest.login}")
    for field, text in (("name", "Somebody Else"), ("email", "else@practice.example")):
        with pytest.raises(Refused) as refused:
            ask(a, "person-details", **about(guest), **{field: text})
        (problem,) = refused.value.problems
        assert (field, True) == (problem.field, words in problem.sentence)
    approve(b, ask(a, "person-details", **about(guest), registration="MP 0765432", practice_number=PCNS))
    assert ("MP 0765432", PCNS) == (guest.card().registration, guest.card().practice_number)


def test_an_edited_or_outdated_correction_is_not_applied(trio):
    a, b, guest = trio
    request = ask(a, "person-details", **about(guest), name="Agreed Name")
    with a.test.does("system") as work, work.look(Permission.SYSTEM_SEE):
        payload = dict(work.get(ChangeRequest, request).payload)
    tamper(a.test, ChangeRequest, request, payload=payload | {"name": "Another Name"})
    with pytest.raises(Denied, match="was changed in the database"):
        approve(b, request)
    tamper(a.test, ChangeRequest, request, payload=payload)
    tamper(a.test, Person, guest.id, registration="MP 0765432")
    with pytest.raises(Stale, match="Things changed"):
        approve(b, request)
    assert "Agreed Name" != guest.card().name


def test_nobody_corrects_themselves_alone_nor_the_sealed_account(trio):
    a, b, guest = trio
    mine = ask(a, "person-details", **about(a), name="Chief Admin")
    with pytest.raises(Denied, match="Another admin"):
        approve(a, mine)
    tamper(a.test, Person, guest.id, is_break_glass=True)
    assert "sealed" in problems_of(a, "person-details", **about(guest), name="Not Sealed")
    assert "sealed" in problems_of(a, "own-record", **about(guest), patient_id="")
    tamper(a.test, Person, guest.id, is_break_glass=False)


def test_what_was_signed_keeps_the_name_and_number_of_then(house):
    second = hire(house, "admin")
    who = house.actors["radiologist"].person
    before = house.do("admin", people.person, who)
    study = signed_study(house)
    for name in ("Dr Newly Married", "Dr Married Again"):
        house.clock.pass_(days=1)
        request = house.do(
            "admin",
            changes.ask,
            kind="person-details",
            why="Married",
            payload={"person_id": str(who), "name": name, "registration": "MP 9999999"},
        )
        approve(second, request)
    signed = house.do("radiologist", reporting.read_signed, study)
    assert (before.name, before.registration, True) == (signed.signer, signed.registration, signed.is_intact)
    patient = signed.study.row.patient_id
    account = hire(house, "patient", patient_id=patient)
    mine = Actor(
        str(account.id), "Thandô", frozenset({Role.PATIENT}), "gateway", bounds=Bounds(patient_id=patient)
    )
    with house.house.work(mine) as work:
        assert [before.name] == [row.signed_by for row in own_studies.my_studies(work).rows]
    house.clock.pass_(days=1)
    later = house.do("radiologist", reporting.read_signed, signed_study(house, membership="800101002"))
    assert ("Dr Married Again", "MP 9999999") == (later.signer, later.registration)


# What they sign in as ---------------------------------------------------------------------------------------------------


def test_a_login_is_corrected_and_what_hung_on_the_old_one_ends_or_follows(either_shared):
    a, b = hire(either_shared, "admin"), hire(either_shared, "admin")
    guest = hire(either_shared, "reception")
    old, new = guest.login, f"{guest.login}.botha"
    token, half = guest.enters(channel="console"), guest.says(channel="console")
    with pytest.raises(WrongAnswer):
        guest.says(WRONG)  # Counted under the login that nobody has yet, and under the account.
    with pytest.raises(WrongAnswer):
        guest.says(login=new)
    request = ask(a, "new-login", "She married", **about(guest), login=f" {new.upper()} ")
    assert [("login", old, new)] == lines(b, request)
    assert "done" == approve(b, request)
    entry = newest(either_shared)[0]
    assert (old, new, 1) == (
        entry.facts["before"]["login"],
        entry.facts["after"]["login"],
        entry.facts["after"]["sessions ended"],
    )
    assert f"signs in as: {old} → {new}" in entry.details
    assert (None, Over.LOGIN) == (
        guest.behind(token, channel="console"),
        guest.asks(sessions.why_over, channel="console", token=token),
    )
    with pytest.raises(Denied):
        guest.asks(signin.check_code, channel="console", token=half, code=guest.code())
    with pytest.raises(WrongAnswer):
        guest.says(login=old)
    assert "person" not in newest(either_shared)[0].facts
    guest.login = new
    assert new == guest.asks(signin.second_half, token=guest.says()).login
    assert guest.id == guest.behind(guest.enters(channel="console"), channel="console").person
    # The old one is free, and who has it now is somebody else.
    other = hire(either_shared, "billing", login=old)
    assert (other.id, guest.id) == tuple(guest_of(a, login) for login in (old, new))
    assert ["same"] == problems_of(a, "new-login", **about(guest), login=new)


def guest_of(admin: Guest, login: str) -> UUID:
    (card,) = (c for c in admin.does(people.people, search=login)[0] if c.login == login)
    return card.id


@pytest.mark.parametrize(
    ("login", "code"),
    [
        ("{taken}", "login-taken"),
        ("{TAKEN}", "login-taken"),
        (" {taken} ", "login-taken"),
        ("\uff47{taken1}", "login-taken"),
        ("gu\u0435st", "login-script"),
        ("gu\u200best", "login-unseen"),
        ("gu\u00ebst", "login-letters"),
        ("a b", "login-letters"),
        ("", "login-letters"),
        ("x" * 65, "login-letters"),
        (["x"], "shape"),
        (None, "shape"),
    ],
)
def test_a_login_that_is_taken_or_only_looks_like_one_is_nobodys_new_one(trio, login, code):
    a, b, guest = trio
    if isinstance(login, str):
        login = login.format(taken=b.login, TAKEN=b.login.upper(), taken1=b.login[1:])
    assert [code] == problems_of(a, "new-login", **about(guest), login=login)


@pytest.mark.parametrize(
    ("kept", "words"), [("directory", "practice's directory has it"), ("sso", "single sign-on")]
)
def test_a_login_that_is_kept_elsewhere_is_changed_there(trio, kept, words):
    a, _, guest = trio
    tamper(a.test, Person, guest.id, directory=kept, directory_id=f"id-{guest.login}")
    with pytest.raises(Refused) as refused:
        ask(a, "new-login", **about(guest), login=f"{guest.login}.new")
    (problem,) = refused.value.problems
    assert ("login-kept", True, True) == (
        problem.code,
        words in problem.sentence,
        "from the next sign-in" in problem.sentence,
    )


def test_a_login_that_was_taken_while_its_correction_waited_is_not_given_twice(trio):
    a, b, guest = trio
    wanted = f"{guest.login}.wanted"
    first = ask(a, "new-login", **about(guest), login=wanted)
    hire(a.test, login=wanted)
    with pytest.raises(Refused, match="already"):
        approve(b, first)
    mine = ask(a, "new-login", **about(a), login=f"{a.login}.mine")
    with pytest.raises(Denied, match="Another admin"):
        approve(a, mine)
    tamper(a.test, Person, guest.id, is_break_glass=True)
    assert ["sealed"] == problems_of(a, "new-login", **about(guest), login=f"{guest.login}.open")
    tamper(a.test, Person, guest.id, is_break_glass=False)


def test_a_slip_ends_with_the_login_that_is_printed_on_it_and_the_sheet_still_knows_whose_it_is(trio):
    a, b, _ = trio
    login = f"sheet.{a.login}"
    sheet = ask(a, "import", rows=[new_account(login, roles=["admin"], line=2)])
    approve(b, sheet)
    slip = b.does(people.make_slip, guest_of(a, login))
    approve(b, ask(a, "new-login", "A typing slip", person_id=str(slip.person_id), login=f"{login}.mended"))
    with pytest.raises(WrongAnswer):
        a.asks(activation.look_at, slip=slip.code)
    # Whoever asked for this admin makes no slip for them under another name either.
    with pytest.raises(Refused, match="another admin must make its slip"):
        a.does(people.make_slip, slip.person_id)
    other = hire(a.test, login=login)
    tamper(a.test, Person, other.id, totp_box=None)
    assert staff_import.SlipsDue(waiting=1, with_slip=0) == b.does(staff_import.slips_due, sheet)
    (slip,) = b.does(staff_import.make_slips, sheet)
    assert f"{login}.mended" == slip.login == a.asks(activation.look_at, slip=slip.code).login


def test_a_sheet_with_the_login_of_before_gives_nobody_a_second_account(trio):
    a, b, guest = trio
    old, new = guest.login, f"{guest.login}.now"
    approve(b, ask(a, "new-login", **about(guest), login=new))
    data = (
        f"Login;Name;Roles\n{old};{guest.card().name};radiologist\n{new};Another Name;radiologist\n".encode()
    )
    rows = a.does(staff_import.plan, data=data, name="staff.csv").rows
    assert ["refused", "changed"] == [row.what for row in rows]
    assert f"signs in as '{new}' now" in rows[0].problems[-1].sentence


# A staff member's own record ------------------------------------------------------------------------------------------


def test_a_staff_members_own_record_is_shut_to_them_at_once_and_open_once_it_is_no_longer_theirs(house):
    a, b, guest = hire(house, "admin"), hire(house, "admin"), hire(house, "reception")
    patient, _ = book_thando(house)
    other, _ = book_thando(house, family_name="Botha")
    number = house.do("reception", patients.open_patient, patient).file_number
    token = guest.enters(channel="console")

    def sees() -> tuple[bool, bool]:
        """The gate, and the rows of a list, in a session that was open all the while."""
        actor = guest.behind(token, channel="console")
        assert actor is not None
        with house.house.work(actor) as work:
            listed = [c.id for c in patients.find(work, search="Nkosi")[0]]
        with house.house.work(actor) as work:
            try:
                return patients.open_patient(work, patient).id in listed, patient in listed
            except Missing:
                return False, patient in listed

    assert (True, True) == sees()
    until = in_days(house, 3)
    whose = {"person_id": str(guest.id), "patient_id": str(patient)}
    approve(b, about_patient(a, "grant", **whose, until_at=until))
    request = ask(a, "own-record", **whose)
    shown = b.does(changes.request, request)
    assert number in shown.about and guest.card().name in shown.about
    assert ["whom", "own record", "access that ends with it"] == [line.what for line in shown.lines]
    assert f"{number}: Nkosi-Müller, Thandô, born" in shown.lines[1].after
    approve(b, request)
    entry = newest(house)[0]
    assert (str(patient), None, str(patient)) == (
        entry.patient_id,
        entry.facts["before"]["patient_id"],
        entry.facts["after"]["patient_id"],
    )
    assert (False, False) == sees()
    for found in (a.does(access.access_of, patient).rights, a.does(access.access_of_person, guest.id)):
        assert ("own", guest.id, number, True) == next(
            (r.what, r.person_id, r.file_number, r.stands) for r in found
        )
    with (
        pytest.raises(Denied, match="your own record"),
        house.house.work(guest.behind(token, channel="console")) as work,
    ):
        access.break_glass(work, number=number, reason="An emergency in the ward", code=guest.code())
    assert ["why", "own-record"] == problems_of(a, "grant", **whose, until_at=until)
    assert ["same"] == problems_of(a, "own-record", **whose)
    roles = ask(
        a, "set-roles", person_id=str(guest.id), roles=["reception", "billing"], patient_id=str(patient)
    )
    assert (
        number not in b.does(changes.request, roles).about
    )  # A change of roles says nothing of whose patient they are.
    # A wrong digit is mended by binding the right one, or none.
    approve(b, ask(a, "own-record", person_id=str(guest.id), patient_id=str(other)))
    assert guest.behind(token, channel="console") is None
    approve(b, ask(a, "own-record", person_id=str(guest.id), patient_id=""))
    token = guest.enters(channel="console")
    assert (True, True) == sees()


def test_nobody_opens_their_own_record_to_themselves_by_any_request(house):
    a, guest = hire(house, "admin"), hire(house, "admin")
    patient, _ = book_thando(house)
    approve(a, ask(guest, "own-record", **about(guest), patient_id=str(patient)))
    for kind, more in (
        ("own-record", {"patient_id": ""}),
        ("set-roles", {"roles": ["admin"], "patient_id": None}),
    ):
        assert ["own-record"] == problems_of(guest, kind, **about(guest), **more)
    assert ["own-record"] == problems_of(a, "set-roles", **about(guest), roles=["admin"], patient_id=None)
    # Their roles can still be changed, also by themselves, who see nothing of the record.
    ask(guest, "set-roles", **about(guest), roles=["admin", "reception"])
    house.do("admin", people.suspend, a.id, why="On leave")
    request = house.do(
        "admin", changes.ask, kind="own-record", payload=about(guest) | {"patient_id": ""}, why="Wrong file"
    )
    with pytest.raises(Denied, match="lets you in"):
        approve(guest, request)


def test_binding_staff_to_a_record_opens_no_door_to_patients(house):
    a, b, guest = hire(house, "admin"), hire(house, "admin"), hire(house, "reception")
    patient, _ = book_thando(house)
    approve(b, ask(a, "own-record", **about(guest), patient_id=str(patient)))
    with pytest.raises(WrongAnswer):
        guest.says(channel="gateway")
    outsider = hire(house, "patient", patient_id=patient)
    assert ["not-staff"] == problems_of(a, "own-record", **about(outsider), patient_id="")
    nobody = str(house.house.new_id())
    assert ["no-patient"] == problems_of(a, "own-record", **about(b), patient_id=nobody)
    assert ["no-patient"] == problems_of(a, "add-person", **new_account("bound.one", patient_id=nobody))


def test_what_was_to_shut_a_record_to_staff_never_opens_it_to_an_account_of_a_patient(house):
    """Asked for of a colleague, who is a patient's account by the time that somebody approves it."""
    a, b, guest = hire(house, "admin"), hire(house, "admin"), hire(house, "reception")
    (own, _), (other, _) = book_thando(house), book_thando(house, family_name="Dlamini")
    approve(b, ask(a, "own-record", **about(guest), patient_id=str(own)))
    waits = ask(a, "own-record", **about(guest), patient_id=str(other))
    approve(b, ask(a, "set-roles", **about(guest), roles=["patient"]))
    with pytest.raises(Refused, match="bound by its role"):
        approve(b, waits)
    assert own == guest.card().patient_id


def test_who_asks_and_whom_it_is_about_are_told_by_name_and_login(trio):
    """Two people may have one name; a login is one person's."""
    a, b, guest = trio
    tamper(a.test, Person, a.id, name=b.card().name)
    card = b.does(changes.request, ask(a, "reset-factor", **about(guest)))
    assert (f"{b.card().name} ({a.login})", f"{guest.card().name} ({guest.login})") == (
        card.asked_by,
        card.about,
    )


def test_a_record_that_is_closed_to_who_decides_is_told_by_its_number_alone(house):
    a, b, guest = hire(house, "admin"), hire(house, "admin"), hire(house, "reception")
    patient, _ = book_thando(house)
    number = house.do("reception", patients.open_patient, patient).file_number
    request = ask(a, "own-record", **about(guest), patient_id=str(patient))
    closing = about_patient(a, "block", person_id="", patient_id=str(patient), kind="vip", until_at="")
    listed = {card.id: card.about for card in b.does(changes.requests)}
    assert f"{number}: Nkosi-Müller, Thandô, born 01/01/1980" == listed[closing]
    with pytest.raises(Refused, match="mend this first") as refused:
        payload = {"person_id": "", "patient_id": str(patient), "kind": "none", "why": "", "until_at": ""}
        a.does(changes.ask, kind="block", payload=payload, why="")
    assert ["why", "kind", "person_id"] == [p.field for p in refused.value.problems]
    block(house, patient, None)
    assert number == b.does(changes.request, closing).about
    assert number == b.does(changes.request, request).lines[1].after
    approve(b, request)
    assert not can_open(house, "reception", patient)


# New admins, and reasons ----------------------------------------------------------------------------------------------


def test_whoever_becomes_an_admin_by_whatever_way_is_told_of(trio):
    a, b, guest = trio

    def told(person: UUID) -> list[str]:
        return [x.sentence for x in b.does(alerts.alerts, size=1000) if x.about == str(person)]

    approve(b, ask(a, "set-roles", **about(guest), roles=["admin", "radiologist"]))
    said = f"There is a new admin: {guest.card().name} ({guest.login})."
    assert [said] == told(guest.id)
    approve(b, ask(a, "set-roles", **about(guest), roles=["admin"]))
    assert [said] == told(guest.id)
    other = hire(a.test, "billing")
    row = new_account(other.login, name=other.card().name, roles=["admin"], **about(other))
    approve(b, ask(a, "import", rows=[row]))
    assert [f"There is a new admin: {other.card().name} ({other.login})."] == told(other.id)


@pytest.mark.parametrize(
    "why", ["", "   x   ", "x" * (SHORTEST_WHY - 1), "x" * (LONGEST_WHY + 1), "Because\u202e!"]
)
def test_every_change_says_why_in_words_that_can_be_read_later(trio, why):
    a, _, guest = trio
    with pytest.raises(Refused) as refused:
        ask(a, "reset-factor", why=why, **about(guest))
    assert ["why"] == [p.code for p in refused.value.problems]
    with pytest.raises(Refused, match="Write why"):
        a.does(people.suspend, guest.id, why=why[: SHORTEST_WHY - 1])
