"""What two admins change in a real directory: carried out there once, whole or not at all, and on record."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from uuid import UUID

import pytest
from starlette.testclient import TestClient

from core import (
    activation,
    alerts,
    changes,
    directory_changes,
    errands,
    groups,
    own_studies,
    patients,
    people,
    sessions,
)
from core.errors import Refused, WrongAnswer
from core.ports.directory import Verdict
from core.ports.directory_ldap import LdapDirectory
from core.ports.ldap_wire import POOR_PASSWORD, Credentials
from core.store.work import nobody
from gateway.app import create
from gateway.images import OrthancImages
from gateway.manners import SESSION
from ops.bench.directory_server import PEOPLE_DN, READER, WRITER, SambaDomain
from ops.worker import run_errands
from tests.fixtures.house import THANDO
from tests.fixtures.practice_with_directory import (
    MAPPING,
    Practice,
    between_tests,
    close_practice,
    open_practice,
)

NEW = "Nuwe-Wagwoord-2026"


@pytest.fixture(scope="module", params=["samba", "openldap"])
def practice_of_the_module(request, tmp_path_factory) -> Iterator[Practice]:
    trial = request.getfixturevalue(f"{request.param}_for_the_run")
    practice = open_practice(tmp_path_factory.mktemp("changes") / "home", trial)
    yield practice
    practice.trial.mend()
    close_practice(practice)


@pytest.fixture
def practice(practice_of_the_module) -> Practice:
    return between_tests(practice_of_the_module)


def carried(practice: Practice, request: UUID) -> tuple[str, str]:
    """The worker's turn: how the request stands, and what was said of it."""
    run_errands(practice.test.house)
    card = practice.test.do("admin", changes.request, request)
    return card.state, card.remark


def new_account(practice: Practice, login: str, *groups: str, **more: object) -> dict[str, object]:
    ids = practice.group_ids()
    return {
        "login": login,
        "name": "Lindiwe Mahlangu-Müller",
        "email": f"{login}@clinic.test",
        "roles": ["reception"],
        "groups": [ids[name] for name in groups],
        "in_directory": True,
        **more,
    }


@contextmanager
def writing_as(practice: Practice, login: str) -> Iterator[None]:
    """Another account writes for Sorg meanwhile."""
    ports = practice.test.house.ports
    writer = Credentials(practice.trial.dn_of(login), practice.trial.password)
    other = LdapDirectory(practice.trial.config(writer=writer))
    practice.test.house.ports = replace(ports, directory=other)
    try:
        yield
    finally:
        practice.test.house.ports = ports
        other.close()


def test_a_new_person_is_made_in_the_directory_and_sets_the_password_there_with_the_slip(practice):
    login = practice.free_login()
    request = practice.approved("add-person", new_account(practice, login, "PACS-Reception", "PACS-Billing"))
    assert "carrying" == practice.test.do("admin", changes.request, request).state
    assert practice.row(login) is None
    assert ("done", "") == carried(practice, request)
    entry, row = practice.directory.find(login), practice.row(login)
    assert ("ok", "Lindiwe Mahlangu-Müller", f"{login}@clinic.test") == (entry.state, entry.name, entry.email)
    ids = practice.group_ids()
    assert {ids["PACS-Reception"], ids["PACS-Billing"]} <= entry.groups
    assert ("directory", entry.id, "") == (row.directory, row.directory_id, row.password_hash)
    slip = practice.test.do("admin", people.make_slip, row.id)
    assert "set" == practice.nobody(activation.look_at, slip=slip.code).asks
    fresh = practice.nobody(activation.begin, slip=slip.code, password=NEW)
    assert Verdict.RIGHT is practice.directory.password_is_right(practice.directory.find(login), NEW).verdict
    practice.secrets[login] = fresh.secret
    practice.nobody(activation.finish, slip=slip.code, code=practice.code(login))
    assert {"reception", "billing"} == practice.who(practice.sign_in(login, NEW)).roles


def test_an_account_that_is_there_already_is_never_taken_for_a_new_one(practice):
    login = practice.somebody(name="Lindiwe Mahlangu-Müller")
    request = practice.approved("add-person", new_account(practice, login, "PACS-Reception"))
    state, said = carried(practice, request)
    assert ("failed", True) == (state, said.startswith(f"The directory has an account {login} already."))
    assert practice.row(login) is None
    assert frozenset() == practice.directory.find(login).groups & set(practice.group_ids().values())
    assert 0 == len(practice.test.do("admin", errands.open_errands))


@pytest.mark.parametrize("account", ["new", "groups", "disable"])
def test_an_account_without_the_right_changes_nothing_and_the_request_says_so(practice, account):
    login = practice.free_login() if account == "new" else practice.somebody("PACS-Reception", person=True)
    ids = practice.group_ids()
    about = {"person_id": str(practice.row(login).id)} if account != "new" else {}
    match account:
        case "new":
            request = practice.approved("add-person", new_account(practice, login, "PACS-Reception"))
        case "groups":
            request = practice.approved(
                "directory-groups", {**about, "add": [ids["PACS-Billing"]], "remove": []}
            )
        case "disable":
            request = practice.approved("directory-account", {**about, "enabled": False})
    with writing_as(practice, READER):
        state, said = carried(practice, request)
    assert "failed" == state
    assert said.startswith("The directory does not let Sorg's account make this change.")
    found = practice.directory.find(login)
    assert (account == "new") == (found is None)
    assert found is None or ("ok", False) == (found.state, ids["PACS-Billing"] in found.groups)


def test_without_the_right_to_the_groups_no_account_is_left_behind(practice):
    if not isinstance(practice.trial, SambaDomain):
        return  # Its rights stand in the server's own configuration, which a test does not change.
    practice.trial.add_user("w.people")
    practice.trial.pen.grant(PEOPLE_DN, "w.people")
    login = practice.free_login()
    request = practice.approved("add-person", new_account(practice, login, "PACS-Reception"))
    with writing_as(practice, "w.people"):
        assert "failed" == carried(practice, request)[0]
    assert practice.directory.find(login) is None
    assert practice.row(login) is None
    # Asked for once more with the right account, it goes through.
    assert (
        "done"
        == carried(practice, practice.approved("add-person", new_account(practice, login, "PACS-Reception")))[
            0
        ]
    )


def test_a_group_that_is_gone_or_a_login_that_is_taken_meanwhile_makes_no_account(practice):
    login, taken = practice.free_login(), practice.free_login()
    gone = {**new_account(practice, login), "groups": ["S-1-5-21-1-2-3-99999"]}
    assert "failed" == carried(practice, practice.approved("add-person", gone))[0]
    request = practice.approved("add-person", new_account(practice, taken))
    practice.test.do(
        "system",
        people.add_person,
        login=taken,
        name="Local Person",
        roles=("billing",),
        password="correct horse battery",
    )
    assert ("failed", f"There is somebody with the login {taken} already.") == carried(practice, request)
    assert [None, None] == [practice.directory.find(name) for name in (login, taken)]


def test_while_the_directory_is_away_the_errand_waits_and_is_done_when_it_is_back(practice):
    login = practice.free_login()
    request = practice.approved("add-person", new_account(practice, login, "PACS-Reception"))
    practice.away()
    assert ("carrying", "") == carried(practice, request)
    [waits] = practice.test.do("admin", errands.open_errands)
    assert ("waiting", True) == (waits.state, waits.trouble.startswith("The directory does not answer"))
    practice.back()
    practice.test.clock.pass_(hours=1)
    assert ("done", "") == carried(practice, request)
    assert practice.row(login).directory_id == practice.directory.find(login).id


def test_a_worker_that_falls_after_the_directory_has_done_it_does_not_do_it_twice(practice, monkeypatch):
    login = practice.free_login()
    request = practice.approved("add-person", new_account(practice, login, "PACS-Reception"))
    write_down = directory_changes.carried_out

    def fall(*args: object, **named: object) -> None:
        raise SystemExit

    monkeypatch.setattr(directory_changes, "carried_out", fall)
    with pytest.raises(SystemExit):
        directory_changes.carry_out(practice.test.house, {"request": str(request)})
    monkeypatch.setattr(directory_changes, "carried_out", write_down)
    made = practice.directory.find(login)
    for _ in range(2):
        directory_changes.carry_out(practice.test.house, {"request": str(request)})
    assert ("done", made.id) == (
        practice.test.do("admin", changes.request, request).state,
        practice.row(login).directory_id,
    )


def test_disabled_in_the_directory_by_two_admins_somebody_is_out_at_the_next_step(practice):
    login = practice.somebody("PACS-Reception", person=True)
    token, about = practice.sign_in(login), {"person_id": str(practice.row(login).id)}
    request = practice.approved("directory-account", {**about, "enabled": False})
    assert ("done", "") == carried(practice, request)
    assert "disabled" == practice.directory.find(login).state
    assert practice.who(token) is None
    practice.refused(login)
    request = practice.approved("directory-account", {**about, "enabled": True})
    assert ("done", "") == carried(practice, request)
    assert practice.who(practice.sign_in(login)) is not None


def test_out_of_one_group_and_into_another_the_roles_follow(practice):
    login, ids = practice.somebody("PACS-Reception", "PACS-Billing", person=True), practice.group_ids()
    token, about = practice.sign_in(login), {"person_id": str(practice.row(login).id)}
    request = practice.approved("directory-groups", {**about, "remove": [ids["PACS-Reception"]]})
    assert ("done", "") == carried(practice, request)
    assert {"billing"} == practice.who(token).roles
    swap = {**about, "add": [ids["PACS-Managers"]], "remove": [ids["PACS-Reception"]]}
    assert ("done", "") == carried(practice, practice.approved("directory-groups", swap))
    assert practice.who(token) is None  # A new role is used in a session of its own.
    assert {"billing", "manager"} == practice.who(practice.sign_in(login)).roles
    gone = practice.approved("directory-groups", {**about, "add": ["S-1-5-21-1-2-3-99999"], "remove": []})
    state, said = carried(practice, gone)
    assert ("failed", "The directory has no such account or group any more.") == (state, said[:52])


def test_a_change_without_a_content_is_not_even_asked_for(practice):
    login, ids = practice.somebody("PACS-Reception", person=True), practice.group_ids()
    about, billing = {"person_id": str(practice.row(login).id)}, ids["PACS-Billing"]
    for kind, more in (
        ("directory-account", {}),
        ("directory-account", {"enabled": "yes"}),
        ("directory-groups", {}),
        ("directory-groups", {"add": [billing], "remove": [billing]}),
    ):
        with pytest.raises(Refused):
            practice.test.do("admin", changes.ask, kind=kind, payload={**about, **more}, why="For a test")


def test_a_new_password_by_slip_is_set_in_the_directory_and_the_old_one_opens_nothing_meanwhile(practice):
    login = practice.somebody("PACS-Reception", person=True)
    token = practice.sign_in(login)
    assert (
        "reset-password"
        == practice.test.do(
            "admin",
            changes.request,
            practice.approved("reset-password", {"person_id": str(practice.row(login).id)}),
        ).kind
    )
    assert practice.who(token) is None
    assert "new password waits for its slip" == practice.refused(login)
    slip = practice.test.do("admin", people.make_slip, practice.row(login).id)
    if isinstance(practice.trial, SambaDomain):
        poor = practice.nobody(activation.begin, slip=slip.code, password="correct horse battery").box
        with pytest.raises(Refused) as told:
            practice.nobody(activation.finish, slip=slip.code, code=practice.code(login), box=poor)
        assert POOR_PASSWORD == told.value.sentence
    box = practice.nobody(activation.begin, slip=slip.code, password=NEW).box
    # Until the factor is proved, the directory's password is the old one: a found slip changed nothing there.
    directory = practice.test.house.ports.directory
    assert "right" == directory.password_is_right(directory.find(login), practice.trial.password).verdict
    practice.nobody(activation.finish, slip=slip.code, code=practice.code(login), box=box)
    practice.refused(login)
    assert {"reception"} == practice.who(practice.sign_in(login, NEW)).roles


def test_without_an_account_that_writes_nothing_is_asked_for(practice):
    login, ports = practice.somebody("PACS-Reception", person=True), practice.test.house.ports
    about = {"person_id": str(practice.row(login).id)}
    reading = LdapDirectory(practice.trial.config(writer=None))
    practice.test.house.ports = replace(ports, directory=reading)
    try:
        for kind, payload in (
            ("add-person", new_account(practice, "x.y", "PACS-Billing")),
            ("reset-password", about),
            ("directory-account", {**about, "enabled": False}),
        ):
            with pytest.raises(Refused):
                practice.test.do("admin", changes.ask, kind=kind, payload=payload, why="For a test")
    finally:
        practice.test.house.ports = ports
        reading.close()
    assert practice.directory.find(WRITER) is not None


def test_ones_own_new_password_is_set_in_the_directory_and_ends_every_other_session(practice):
    login = practice.somebody("PACS-Reception", person=True)
    elsewhere, token = practice.sign_in(login), practice.sign_in(login)
    me, old = practice.who(token), practice.trial.password

    def change(**said: str) -> int:
        with practice.test.house.work(me) as work:
            return activation.change_password(
                work, **{"old": old, "new": NEW, "code": practice.code(login)} | said
            )

    with pytest.raises(WrongAnswer, match="not your password"):
        change(old="Heeltemal-anders-7")
    if isinstance(practice.trial, SambaDomain):
        with pytest.raises(Refused, match="does not accept this password"):
            change(new="correct horse battery")
    with pytest.raises(WrongAnswer):
        change(code="000000")
    practice.password(login)  # So far nothing has changed there.
    assert 1 == change()
    practice.refused(login)
    practice.test.clock.pass_(minutes=5)
    assert practice.who(elsewhere) is None
    assert {"reception"} == practice.who(token).roles  # Asked again, the directory's news is our own change.
    assert practice.who(practice.sign_in(login, NEW))


def test_without_an_account_that_writes_ones_password_is_changed_there(practice):
    login, ports = practice.somebody("PACS-Reception", person=True), practice.test.house.ports
    me = practice.who(practice.sign_in(login))
    reading = LdapDirectory(practice.trial.config(writer=None))
    practice.test.house.ports = replace(ports, directory=reading)
    try:
        with practice.test.house.work(me) as work, pytest.raises(Refused, match="change it there"):
            activation.change_password(work, old=practice.trial.password, new=NEW, code=practice.code(login))
    finally:
        practice.test.house.ports = ports
        reading.close()
    practice.password(login)


@pytest.mark.parametrize("role", ["patient", "referrer"])
def test_a_patient_or_doctor_of_the_directory_is_bound_to_whom_they_are_and_signs_in_at_their_door(
    practice, role
):
    login = practice.somebody(*(["PACS-Patients"] if role == "patient" else []))
    if role == "referrer":
        practice.trial.add_group("PACS-Doctors", login)
        practice.map_groups(MAPPING | {"PACS-Doctors": "referrer"})
    entry = practice.directory.find(login)
    expected = practice.test.do("admin", groups.what_would, login)
    assert ((role,), False) == (expected.roles, expected.comes_in)
    assert "with a request for a new account" in expected.sentence
    bound = (
        {"patient_id": str(practice.test.do("reception", patients.register, THANDO))}
        if role == "patient"
        else {
            "referrer_id": str(
                practice.test.do(
                    "reception",
                    patients.add_referrer,
                    name="Dr Palesa Molefe",
                    practice_number="0140000123457",
                )
            )
        }
    )
    account = {
        "login": login,
        "name": entry.name,
        "email": entry.email,
        "roles": [role],
        "directory_id": entry.id,
    }
    with pytest.raises(Refused) as told:
        practice.test.do("admin", changes.ask, kind="add-person", payload=account, why="For a test")
    assert [f"no-{role}"] == [p.code for p in told.value.problems]
    practice.approved("add-person", account | bound)
    slip = practice.test.do("admin", people.make_slip, practice.row(login).id)
    at_their_door = partial(practice.nobody, channel="gateway")
    fresh = at_their_door(activation.begin, slip=slip.code, password=practice.trial.password)
    practice.secrets[login] = fresh.secret
    at_their_door(activation.finish, slip=slip.code, code=practice.code(login))
    token = practice.sign_in(login, channel="gateway")
    with practice.test.house.work(nobody(channel="gateway")) as work:
        me = sessions.actor_of(work, token=token, channel="gateway")
    assert ({role}, *bound.values()) == (set(me.roles), str(me.bounds.patient_id or me.bounds.referrer_id))
    assert practice.who(token) is None
    assert "wrong door" == practice.refused(login)
    with practice.test.house.work(me) as work:
        assert () == own_studies.my_studies(work).rows
    # Out there is out at their door, too, within five minutes.
    gateway = create(practice.test.house, OrthancImages("http://127.0.0.1:9", ("", "")))
    browser = TestClient(gateway, base_url=practice.test.house.rules["gateway_url"], cookies={SESSION: token})
    assert 200 == browser.get("/account/studies").status_code
    practice.trial.disable(login)
    practice.test.clock.pass_(minutes=5)
    assert 401 == browser.get("/account/studies").status_code
    assert "disabled" == practice.facts()["why"]


def test_whom_the_directory_makes_an_admin_is_told_of_at_the_first_sign_in_and_once(practice):
    login = practice.somebody("PACS-Admins", "PACS-Radiologists")
    for _ in range(2):
        practice.password(login)
    told = [
        x
        for x in practice.test.do("admin", alerts.alerts, size=1000)
        if x.about == str(practice.row(login).id)
    ]
    assert [f"There is a new admin: Somebody {login} ({login})."] == [x.sentence for x in told]
    # What the directory does not hold is corrected here, and stays when it is asked again.
    about = {"person_id": str(practice.row(login).id)}
    practice.approved("person-details", about | {"registration": "MP 0765432"})
    practice.password(login)
    assert ("MP 0765432", f"Somebody {login}") == (practice.row(login).registration, practice.row(login).name)
    assert [("", f"Somebody {login}")] == [
        (n["registration"], n["name"]) for n in practice.row(login).former_names
    ]
