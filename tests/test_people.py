"""Signing in takes two halves, each code works once, and no answer tells a stranger which half was wrong."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from uuid import UUID

import pyotp
import pytest

from core import people, privacy, signin
from core.errors import Denied, Refused, SorgError, WrongAnswer
from core.rules.roles import Role
from core.store.work import Actor
from tests.fixtures.house import PASSWORD, TestHouse


def password(test: TestHouse, login: str = "radiologist", said: str = PASSWORD) -> str:
    return test.do("nobody", signin.check_password, login=login, password=said)


def code(test: TestHouse, token: str, said: str) -> str:
    return test.do("nobody", signin.check_code, token=token, code=said)


def sign_in(test: TestHouse, login: str = "radiologist") -> str:
    return code(test, password(test, login), test.code(login))


def who(test: TestHouse, token: str) -> Actor | None:
    return test.do("nobody", signin.actor_of, token=token, channel="test")


def at_step(test: TestHouse, role: str, steps: int) -> str:
    return pyotp.TOTP(test.secrets[role]).at(test.clock.at + timedelta(seconds=30 * steps))


def test_password_and_code_open_a_session_of_that_person(either_house):
    actor = who(either_house, sign_in(either_house))
    assert ("Radiologist Person", {Role.RADIOLOGIST}) == (actor.name, set(actor.roles))
    assert either_house.clock.at == either_house.do("radiologist", people.me).last_sign_in_at


def test_a_login_is_found_whatever_its_case_and_blanks(house):
    assert code(house, password(house, "  RadioLogist "), house.code("radiologist"))


def test_the_token_of_the_first_half_is_no_session(house):
    assert None is who(house, password(house))


def test_the_token_of_the_first_half_ends_with_the_second(house):
    first = password(house)
    code(house, first, house.code("radiologist"))
    with pytest.raises(Denied):
        code(house, first, house.code("radiologist"))


def test_the_token_of_a_session_is_no_first_half(house):
    with pytest.raises(Denied):
        code(house, sign_in(house), house.code("radiologist"))


def test_the_first_half_lasts_five_minutes(house):
    token = password(house)
    house.clock.pass_(minutes=5)
    with pytest.raises(Denied, match="took too long"):
        code(house, token, house.code("radiologist"))


@pytest.mark.parametrize("steps", [-1, 0, 1])
def test_a_code_of_one_step_either_side_is_taken(house, steps):
    house.clock.pass_(minutes=5)
    assert code(house, password(house), at_step(house, "radiologist", steps))


@pytest.mark.parametrize("steps", [-2, 2])
def test_a_code_of_two_steps_away_is_not(house, steps):
    house.clock.pass_(minutes=5)
    with pytest.raises(WrongAnswer):
        code(house, password(house), at_step(house, "radiologist", steps))


def test_a_code_works_once_and_none_before_it_works_after(house):
    house.clock.pass_(minutes=5)
    now = at_step(house, "radiologist", 0)
    assert code(house, password(house), f" {now[:3]} {now[3:]} ")
    for steps in (-1, 0):
        with pytest.raises(WrongAnswer, match="used already"):
            code(house, password(house), at_step(house, "radiologist", steps))


@pytest.mark.parametrize("said", ["", "000000x", "１２３４５６", "9" * 100_000, "\x00"])
def test_what_is_no_code_is_a_wrong_one(house, said):
    with pytest.raises(WrongAnswer):
        code(house, password(house), said)


@pytest.mark.parametrize(
    ("login", "said"),
    [
        ("radiologist", "wrong horse battery"), ("nobody-here", PASSWORD), ("shut-out", PASSWORD), ("", ""),
        ("radiologist", ""), ("radiologist", "x" * 20_000_000), ("radi\x00ologist", PASSWORD), ("x" * 100_000, "x"),
    ],
)  # fmt: skip
def test_every_wrong_pair_gets_one_sentence(either_house, login, said):
    add(either_house, "shut-out")
    either_house.do("admin", people.set_active, person_of(either_house, "shut-out"), active=False)
    with pytest.raises(WrongAnswer) as wrong:
        password(either_house, login, said)
    assert signin.WRONG == wrong.value.sentence


def test_known_and_unknown_logins_cost_the_same_work(house, monkeypatch):
    asked = []
    directory = house.house.ports.accounts
    right = directory._hasher.verify
    monkeypatch.setattr(directory, "_hasher", type("Counting", (), {
        "verify": lambda self, verifier, said: (asked.append(len(said)), right(verifier, said))[1]})())  # fmt: skip
    for login in ("radiologist", "nobody-here", "also not"):
        with pytest.raises(WrongAnswer):
            password(house, login, "wrong horse battery")
    assert [19, 19, 19] == asked


def test_what_was_typed_for_an_unknown_login_does_not_go_on_record(house):
    with pytest.raises(WrongAnswer):
        password(house, "my secret password in the wrong field")
    newest = house.do("admin", privacy.entries, size=1)[0]
    assert ("sign-in", "refused", "unknown") == (newest.act, newest.outcome, newest.subject_id)


def test_eight_wrong_passwords_rest_the_account_and_time_wakes_it(either_house):
    for _ in range(8):
        with pytest.raises(WrongAnswer):
            password(either_house, said="wrong horse battery")
    with pytest.raises(WrongAnswer) as rests:
        password(either_house)
    # The right password is not confirmed while the account rests.
    assert signin.WRONG == rests.value.sentence
    either_house.clock.pass_(minutes=15)
    assert sign_in(either_house)


def test_wrong_answers_during_the_rest_do_not_prolong_it(house):
    for _ in range(30):
        with pytest.raises(WrongAnswer):
            password(house, said="wrong horse battery")
    house.clock.pass_(minutes=15)
    assert password(house)


def test_eight_wrong_codes_rest_the_account_too(house):
    token = password(house)
    for _ in range(8):
        with pytest.raises(WrongAnswer, match="not right"):
            code(house, token, "000000")
    with pytest.raises(WrongAnswer, match="Too many wrong tries"):
        code(house, token, house.code("radiologist"))


def test_a_right_password_alone_does_not_forget_wrong_codes(house):
    for _ in range(8):
        with pytest.raises(WrongAnswer):
            code(house, password(house), "000000")
    with pytest.raises(WrongAnswer):
        password(house)


def test_an_admin_wakes_a_resting_account(house):
    for _ in range(8):
        with pytest.raises(WrongAnswer):
            password(house, said="wrong horse battery")
    house.do("admin", people.set_active, person_of(house, "radiologist"), active=True)
    assert password(house)


def test_of_two_who_use_one_code_at_once_exactly_one_signs_in(either_house):
    tokens = [password(either_house) for _ in range(2)]
    said = either_house.code("radiologist")
    assert [WrongAnswer, str] == sorted(at_once(lambda n: code(either_house, tokens[n], said)), key=str)


def test_one_first_half_opens_one_session_even_when_used_twice_at_once(either_house):
    either_house.clock.pass_(minutes=5)
    token = password(either_house)
    outcomes = at_once(lambda n: code(either_house, token, at_step(either_house, "radiologist", n)))
    assert 1 == outcomes.count(str)


def test_wrong_passwords_at_once_are_all_counted(either_house):
    at_once(lambda n: password(either_house, said="wrong horse battery"), times=8)
    with pytest.raises(WrongAnswer):
        password(either_house)


def test_a_session_ends_after_idling_and_stays_open_in_use(house):
    token = sign_in(house)
    house.clock.pass_(minutes=29)
    house.do("nobody", signin.keep_awake, token=token)
    house.clock.pass_(minutes=29)
    assert who(house, token)
    house.clock.pass_(minutes=1)
    assert None is who(house, token)


def test_a_session_ends_after_twelve_hours_however_busy(house):
    token = sign_in(house)
    for _ in range(12 * 3 - 1):
        house.clock.pass_(minutes=20)
        house.do("nobody", signin.keep_awake, token=token)
    assert who(house, token)
    house.clock.pass_(minutes=20)
    assert None is who(house, token)


def test_signing_out_ends_the_session_and_an_unknown_token_leaves_no_entry(house):
    token = sign_in(house)
    house.do("nobody", signin.sign_out, token=token)
    assert None is who(house, token)
    before = house.do("admin", privacy.entries, size=1)[0].seq
    house.do("nobody", signin.sign_out, token="nobody's")
    assert before == house.do("admin", privacy.entries, size=1)[0].seq


def test_an_admin_ends_a_session_and_it_is_over_at_once(house):
    token = sign_in(house)
    session = house.do("admin", signin.sessions, person_id=person_of(house, "radiologist"))[0]
    house.do("admin", signin.end_session, session.id)
    assert (None, ()) == (who(house, token), house.do("admin", signin.sessions))


def test_shutting_somebody_out_ends_their_sessions_and_letting_them_in_does_not_bring_them_back(either_house):
    token, person = sign_in(either_house), person_of(either_house, "radiologist")
    either_house.do("admin", people.set_active, person, active=False)
    assert None is who(either_house, token)
    with pytest.raises(WrongAnswer):
        password(either_house)
    either_house.do("admin", people.set_active, person, active=True)
    assert None is who(either_house, token)
    assert sign_in(either_house)


def test_shutting_out_between_the_halves_stops_the_second(house):
    token = password(house)
    house.do("admin", people.set_active, person_of(house, "radiologist"), active=False)
    with pytest.raises(Denied):
        code(house, token, house.code("radiologist"))


def test_new_roles_count_from_the_next_click(house):
    token = sign_in(house)
    house.do("admin", people.set_roles, person_of(house, "radiologist"), roles=("billing",))
    assert {Role.BILLING} == set(who(house, token).roles)


def test_the_last_admin_stays_and_nobody_shuts_out_themselves(either_house):
    admin = person_of(either_house, "admin")
    with pytest.raises(Refused, match="last admin"):
        either_house.do("admin", people.set_roles, admin, roles=("manager",))
    with pytest.raises(Refused, match="cannot shut out yourself"):
        either_house.do("admin", people.set_active, admin, active=False)
    either_house.do("admin", people.set_roles, person_of(either_house, "manager"), roles=("manager", "admin"))
    either_house.do("admin", people.set_roles, admin, roles=("manager",))


def test_two_admins_who_demote_each_other_at_once_leave_one(either_house):
    pair = [person_of(either_house, "admin"), person_of(either_house, "manager")]
    either_house.do("admin", people.set_roles, pair[1], roles=("admin",))
    at_once(lambda n: either_house.do("admin", people.set_roles, pair[n], roles=("manager",)))
    staff, _ = either_house.do("admin", people.people)
    assert 1 == len([p for p in staff if "admin" in p.roles])


def test_an_account_with_every_mistake_is_told_them_all_at_once(house):
    with pytest.raises(Refused) as refused:
        house.do("admin", people.add_person, login="a b", name=" ", roles=("boss",), password="short",
                 registration="x" * 41, email="a\nb")  # fmt: skip
    assert ["login-letters", "role-unknown", "password-length", "no-name", "text", "text"] == [
        p.code for p in refused.value.problems
    ]
    assert "There is no role 'boss'." in [p.sentence for p in refused.value.problems]


@pytest.mark.parametrize("said", ["x" * 11, "x" * 257])
def test_a_password_that_could_not_be_used_is_refused_when_it_is_set(house, said):
    with pytest.raises(Refused) as refused:
        add(house, "someone", password=said)
    assert ["password-length"] == [p.code for p in refused.value.problems]


@pytest.mark.parametrize("said", ["x" * 12, "x" * 256, "Kierewiet-Ñandú-Thohoyanḓou"])
def test_the_shortest_and_the_longest_password_open_the_account(house, said):
    add(house, "someone", password=said)
    assert password(house, "someone", said)


def test_a_login_is_taken_whatever_its_case(either_house):
    with pytest.raises(Refused) as refused:
        add(either_house, "RADIOLOGIST")
    assert ["login-taken"] == [p.code for p in refused.value.problems]


def test_people_are_found_by_name_and_by_login_and_a_page_before_the_first_is_the_first(either_house):
    found, total = either_house.do("admin", people.people, search="RADIOL", page=0)
    assert (["Radiologist Person"], 1) == ([p.name for p in found], total)


def add(test: TestHouse, login: str, **changes: object) -> people.Welcome:
    account = {"name": "Some One", "roles": ("billing",), "password": PASSWORD} | changes
    return test.do("admin", people.add_person, login=login, **account)


def person_of(test: TestHouse, login: str) -> UUID:
    return next(p.id for p in test.do("admin", people.people, search=login)[0] if p.login == login)


def at_once(deed, times: int = 2) -> list[type]:
    """Do it in threads that start together; what each brought: str, or the refusal's class."""
    gate = threading.Barrier(times)

    def run(number: int) -> type:
        gate.wait()
        try:
            return type(deed(number))
        except SorgError as refused:
            return type(refused)

    with ThreadPoolExecutor(times) as threads:
        return list(threads.map(run, range(times)))
