"""Staff of a real Active Directory sign in: who they are, what keeps them out, and what ends it again."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pyotp
import pytest

from console.door import Door
from core import activation, changes, groups, patients, people, signin, workflow
from core.errors import Denied, Refused, WrongAnswer
from core.ports.directory import Lockout
from core.ports.directory_ldap import LdapDirectory
from core.ports.ldap_wire import Credentials
from core.store.work import Actor
from ops.bench.directory_server import (
    BASE_DN,
    BLIND,
    OPENLDAP_LOCKS_AFTER,
    PEOPLE,
    PEOPLE_DN,
    STATES,
    WITH_PASSWORD,
)
from tests.fixtures.house import PASSWORD, THANDO
from tests.fixtures.practice_with_directory import (
    MAPPING,
    Practice,
    between_tests,
    close_practice,
    open_practice,
)

OTHER = "Heeltemal-anders-7"


@pytest.fixture(scope="module")
def practice_of_the_module(samba_for_the_run, tmp_path_factory):
    practice = open_practice(tmp_path_factory.mktemp("signin") / "home", samba_for_the_run)
    yield practice
    close_practice(practice)


@pytest.fixture
def practice(practice_of_the_module, samba) -> Practice:
    return between_tests(practice_of_the_module)


def bad_passwords(practice: Practice, login: str) -> int:
    """What Active Directory itself has counted, on both controllers together."""
    counted = 0
    for process in practice.trial.processes:
        alone = LdapDirectory(practice.trial.config(servers=(process.server,)))
        row = alone._wire.asking(
            lambda session: session.only(PEOPLE_DN, f"(sAMAccountName={login})", ("badPwdCount",))
        )
        counted += row.number("badPwdCount")
        alone.close()
    return counted


# Who somebody is.


def test_at_the_first_sign_in_the_directory_says_who_somebody_is_and_their_groups_what(practice):
    practice.password("dr.naidoo")
    row, entry = practice.row("dr.naidoo"), practice.directory.find("dr.naidoo")
    assert ("directory", entry.id, PEOPLE["dr.naidoo"], ["radiologist"], "dr.naidoo@clinic.test") == (
        row.directory,
        row.directory_id,
        row.name,
        row.roles,
        row.email,
    )
    assert "" == row.password_hash
    assert {
        "stage": "password",
        "door": "console",
        "person": str(row.id),
        "roles": ["radiologist"],
    } == practice.facts()


def test_roles_of_several_groups_add_up_and_without_one_nobody_comes_in(practice):
    both = practice.somebody("PACS-Reception", "PACS-Billing")
    practice.password(both)
    assert ["billing", "reception"] == practice.row(both).roles
    assert "no group gives a role" == practice.refused(practice.somebody())


def test_a_group_with_a_new_name_gives_the_same_roles(practice):
    login = practice.somebody("PACS-Managers")
    practice.trial.rename_group("PACS-Managers", "PACS-Bosses")
    try:
        practice.password(login)
    finally:
        practice.trial.rename_group("PACS-Bosses", "PACS-Managers")
    assert ["manager"] == practice.row(login).roles


def test_every_spelling_is_one_person_with_one_count_and_none_locks_the_account_in_windows(practice):
    login = practice.somebody("PACS-Reception", person=True)
    spellings = (
        login,
        login.upper(),
        f"{login}@clinic.test",
        f"CLINIC\\{login}",
        f"clinic.test\\{login.upper()}",
    )
    for spelling in spellings[:3]:
        assert "wrong: data 52e" == practice.refused(spelling, OTHER)
    assert ["account-rests"] * 5 == [practice.refused(spelling) for spelling in spellings]
    assert "ok" == practice.directory.find(login).state
    assert 3 == bad_passwords(practice, login)
    practice.test.clock.pass_(minutes=31)
    assert 1 == len(
        {practice.nobody(signin.second_half, token=practice.password(s)).login for s in spellings}
    )


def test_strangers_who_guess_keep_nobody_out_at_home_and_nobody_is_locked_out_of_windows(
    practice, monkeypatch
):
    monkeypatch.setitem(practice.test.house.rules, "sign_in_tries", 3)
    login = practice.somebody("PACS-Reception", person=True)
    practice.sign_in(login)
    home, elsewhere = practice.address, "203.0.113.7"
    practice.address = elsewhere
    wrong = "wrong: data 52e"
    assert [wrong, wrong, "account-rests"] == [practice.refused(login, OTHER) for _ in range(3)]
    practice.address = home
    practice.sign_in(login)  # Active Directory begins its count anew.
    practice.address = elsewhere
    assert ("account-rests", 0) == (practice.refused(login), bad_passwords(practice, login))
    practice.test.clock.pass_(minutes=31)
    assert [wrong, wrong] == [practice.refused(login, OTHER) for _ in range(2)]
    practice.test.clock.pass_(minutes=29)
    practice.address = home

    def guess(number: int) -> None:
        with pytest.raises(WrongAnswer):
            practice.password(login, f"{OTHER}{number}")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(guess, range(8)))
    assert ("account-rests", 3) == (practice.refused(login), bad_passwords(practice, login))
    # The rest goes on for half an hour from the last try that was passed on, whoever made it.
    for practice.address in (elsewhere, home):
        practice.test.clock.pass_(minutes=15)
        assert "account-rests" == practice.refused(login)
    practice.test.clock.pass_(minutes=1)
    assert "ok" == practice.directory.find(login).state
    practice.sign_in(login)


def test_somebody_who_never_came_in_has_one_count_over_every_spelling_too(practice):
    login = practice.somebody("PACS-Reception")
    for spelling in (login, f"CLINIC\\{login}", login.upper(), f"{login}@clinic.test"):
        practice.refused(spelling, OTHER)
    assert "account-rests" == practice.refused(login)
    practice.test.clock.pass_(minutes=31)
    practice.password(login)


@pytest.mark.parametrize("known", [True, False], ids=["known", "never seen"])
def test_guesses_sent_all_at_once_do_not_lock_the_account_in_windows_either(practice, known):
    login = practice.somebody("PACS-Reception", person=known)

    def guess(number: int) -> None:
        with pytest.raises(WrongAnswer):
            practice.password(login, f"{OTHER}{number}")

    with ThreadPoolExecutor(12) as pool:
        list(pool.map(guess, range(12)))
    assert 3 == bad_passwords(practice, login)
    assert "ok" == practice.directory.find(login).state


def test_a_person_with_a_new_login_stays_the_same_and_frees_the_old_one(practice):
    old = practice.somebody("PACS-Billing", person=True)
    new = f"x.{old[2:]}"
    practice.trial.modify(practice.trial.dn_of(old), "replace: sAMAccountName", f"sAMAccountName: {new}")
    before = practice.row(old)
    said = {"person_id": str(before.id), "login": f"y.{old[2:]}"}
    with pytest.raises(Refused) as refused:
        practice.test.do("admin", changes.ask, kind="new-login", payload=said, why="She married")
    assert [
        f"{old} signs in as the practice's directory has it: change it there, and it holds here from the next sign-in."
    ] == [p.sentence for p in refused.value.problems]
    practice.secrets[new] = practice.secrets[old]
    practice.sign_in(new)
    assert before.id == practice.row(new).id
    assert practice.row(old) is None
    assert [old] == [then["login"] for then in practice.row(new).former_names]
    practice.away()
    assert "away" == practice.refused(old)
    practice.sign_in(new)


def test_a_local_account_is_not_taken_over_by_somebody_of_the_directory_with_its_login(practice):
    login = practice.somebody("PACS-Reception")
    card = practice.test.do(
        "system",
        people.add_person,
        login=login,
        name="Local Person",
        roles=("billing",),
        password="correct horse battery",
    ).person
    assert "wrong" == practice.refused(login)
    assert "login taken by another account" == practice.refused(f"{login}@clinic.test")
    assert ("local", card.id, ["billing"]) == tuple(
        getattr(practice.row(login), name) for name in ("directory", "id", "roles")
    )
    practice.password(login, "correct horse battery")


def test_an_account_of_a_patient_opens_nothing_until_it_is_bound_to_one(practice):
    assert "not bound to a patient or doctor" == practice.refused("p0000")
    assert "not bound to a patient or doctor" == practice.refused("p0000", channel="gateway")
    login = practice.somebody("PACS-Patients")
    patient = practice.test.do("reception", patients.register, THANDO)
    entry = practice.directory.find(login)
    practice.approved(
        "add-person",
        {
            "login": login,
            "name": "Thandô",
            "roles": ["patient"],
            "patient_id": str(patient),
            "directory_id": entry.id,
        },
    )
    assert "wrong door" == practice.refused(login)
    practice.password(login, channel="gateway")
    assert patient == practice.row(login).patient_id


def test_staff_are_refused_at_the_gateway_without_a_word_to_the_directory(practice):
    login = practice.somebody("PACS-Reception", person=True)
    for _ in range(6):
        assert "wrong door" == practice.refused(login, OTHER, channel="gateway")
    assert 0 == bad_passwords(practice, login)
    practice.password(login)


# Nobody is locked out there through us, whatever the directory's own limit is.


def guess_in_rounds(practice: Practice, login: str, *, home: str, minutes: int) -> list[str]:
    """Wrong passwords by strangers and from the owner's address, each until nothing is passed on; round after round."""
    heard = []
    for _ in range(4):
        for practice.address in ("203.0.113.9", home):
            said = [practice.refused(login, f"{OTHER}{number}") for number in range(3)]
            heard += [one for one in said if one.startswith("wrong")]
        practice.test.clock.pass_(minutes=minutes)
    return heard


@pytest.mark.parametrize("most", [2, 3, 5])
def test_rounds_of_guesses_never_lock_an_account_whose_own_limit_is_lower_than_our_setting(practice, most):
    login, limit = practice.somebody("PACS-Reception", person=True), f"Few-{most}"
    practice.sign_in(login)
    home = practice.address
    practice.trial.add_limit(limit, login, most=most, minutes=60)
    practice.trial.show_limit(limit)
    try:
        # Minutes pass here alone: what Active Directory forgets meanwhile, it still remembers in this test.
        heard = guess_in_rounds(practice, login, home=home, minutes=62)
        assert (most - 1, "ok") == (len(heard), practice.directory.find(login).state)
        assert most - 1 == bad_passwords(practice, login)
    finally:
        practice.trial.drop_limit(limit, login)


def test_an_account_rests_for_longer_than_its_directory_remembers(practice):
    login = practice.somebody("PACS-Reception", person=True)
    practice.trial.add_limit("Long", login, most=4, minutes=90)
    practice.trial.show_limit("Long")
    try:
        assert ["wrong: data 52e"] * 2 == [practice.refused(login, OTHER) for _ in range(2)]
        assert timedelta(minutes=91) == practice.row(login).locked_until - practice.test.clock.at
    finally:
        practice.trial.drop_limit("Long", login)


def test_what_somebody_typed_wrong_at_windows_counts_here_and_one_try_stays_theirs_at_home(practice):
    login = practice.somebody("PACS-Reception", person=True)
    practice.sign_in(login)
    home, entry = practice.address, practice.directory.find(login)
    for _ in range(practice.trial.locks_after - 2):
        practice.directory._wire.bind(entry.dn, OTHER)
    practice.address = "203.0.113.10"
    held = "held back: one more wrong password would lock the account there"
    assert [held, held] == [practice.refused(login, word) for word in (OTHER, practice.trial.password)]
    practice.address = home
    practice.sign_in(login)
    assert (0, "ok") == (bad_passwords(practice, login), practice.directory.find(login).state)


def test_an_admin_is_told_each_limit_of_the_directory_and_where_sorg_stops(practice, monkeypatch):
    login = practice.somebody()
    half, ours = timedelta(minutes=30), timedelta(minutes=31)
    for tries, expected in ((4, 4), (20, 9), (1, 1)):
        monkeypatch.setitem(practice.test.house.rules, "sign_in_tries", tries)
        usual = practice.test.do("admin", groups.limits_there)[0]
        assert groups.LimitThere("", Lockout(10, half), expected, ours, tries) == usual
    practice.trial.add_limit("Directors", login, most=3, minutes=60)
    practice.trial.show_limit("Directors")
    try:
        monkeypatch.setitem(practice.test.house.rules, "sign_in_tries", 4)
        told = practice.test.do("manager", groups.limits_there)
        hour = timedelta(minutes=60)
        assert groups.LimitThere("Directors", Lockout(3, hour), 2, timedelta(minutes=61), 4) in told
    finally:
        practice.trial.drop_limit("Directors", login)


# What keeps them out.


def test_every_state_of_an_account_keeps_it_out_with_one_sentence_and_the_true_reason_on_record(practice):
    expected = {
        "disabled": ("refused: data 533", "wrong: data 52e"),
        "expired": ("refused: data 701", "wrong: data 52e"),
        "locked": ("refused: data 775", "refused: data 775"),
        "must-change": ("refused: data 773", "wrong: data 52e"),
        "password-expired": ("refused: data 532", "wrong: data 52e"),
        "outside-hours": ("refused: data 530", "wrong: data 52e"),
    }
    found = {
        state: (practice.refused(login), practice.refused(login, OTHER)) for login, state in STATES.items()
    }
    assert expected == found


def test_without_a_second_factor_the_password_opens_nothing_and_the_slip_asks_for_it_again(practice):
    login = practice.somebody("PACS-Transcription")
    first = practice.password(login)
    half = practice.nobody(signin.second_half, token=first)
    assert (login, False, False, False) == (half.login, half.code, half.key, half.recovery)
    with pytest.raises(Refused, match="ask your practice's admin for a sign-in slip"):
        practice.nobody(signin.check_code, token=first, code="123456")
    assert practice.who(first) is None
    slip = practice.test.do("admin", people.make_slip, practice.row(login).id)
    view = practice.nobody(activation.look_at, slip=slip.code)
    assert ("prove", False) == (view.asks, view.has_factor)
    with pytest.raises(WrongAnswer, match="not your password"):
        practice.nobody(activation.begin, slip=slip.code, password=OTHER)
    practice.secrets[login] = practice.nobody(
        activation.begin, slip=slip.code, password=practice.trial.password
    ).secret
    assert 10 == len(practice.nobody(activation.finish, slip=slip.code, code=practice.code(login)))
    assert {"transcriptionist"} == practice.who(practice.sign_in(login)).roles


def test_guesses_at_a_slip_rest_the_account_before_windows_locks_it(practice):
    login = practice.somebody("PACS-Reception")
    practice.password(login)
    slip = practice.test.do("admin", people.make_slip, practice.row(login).id)
    for _ in range(8):
        with pytest.raises(WrongAnswer):
            practice.nobody(activation.begin, slip=slip.code, password=OTHER)
    assert 3 == bad_passwords(practice, login)


# While the directory is away.


def test_while_no_controller_answers_the_last_password_opens_a_session_with_fewer_rights(practice):
    login = practice.somebody("PACS-Admins", "PACS-Reception", person=True)
    stranger, unfinished = practice.somebody("PACS-Reception"), practice.somebody("PACS-Reception")
    practice.password(unfinished)
    practice.stop()
    assert "away-wrong" == practice.refused(login, OTHER)
    # Nobody is let in of whom nothing is known, and without a second factor nobody is.
    assert "away" == practice.refused(stranger)
    half = practice.nobody(signin.second_half, token=practice.password(unfinished))
    assert not (half.code or half.key or half.recovery)
    first = practice.password(login)
    with pytest.raises(WrongAnswer):
        practice.nobody(signin.check_code, token=first, code="000000")
    actor = practice.who(practice.nobody(signin.check_code, token=first, code=practice.code(login)))
    assert actor.bounds.reduced
    with practice.test.house.work(actor) as work:
        workflow.board(work)
    with pytest.raises(Denied, match="while the directory is away"), practice.test.house.work(actor) as work:
        people.make_slip(work, practice.row(login).id)
    with pytest.raises(Denied, match="while the directory is away"), practice.test.house.work(actor) as work:
        groups.search(work, "pacs")


def test_the_cache_is_over_after_three_days_and_after_five_wrong_tries(practice):
    late, guessed = (practice.somebody("PACS-Reception", person=True) for _ in range(2))
    set_up_at = practice.row(late).away_until - timedelta(hours=72)
    practice.password(guessed)
    practice.away()
    practice.test.clock.at = set_up_at + timedelta(hours=71, minutes=59)
    practice.password(late)
    practice.test.clock.pass_(minutes=1)
    assert "away" == practice.refused(late)
    practice.back()
    practice.password(guessed)
    practice.away()
    assert ["away-wrong"] * 3 == [practice.refused(guessed, OTHER) for _ in range(3)]
    practice.test.clock.pass_(minutes=32)
    practice.password(guessed)
    assert ["away-wrong"] * 2 == [practice.refused(guessed, OTHER) for _ in range(2)]
    assert "away" == practice.refused(guessed)
    practice.back()
    practice.password(guessed)
    practice.away()
    practice.password(guessed)


def test_strangers_who_guess_while_the_directory_is_away_close_nobody_s_way_in_at_home(practice):
    login = practice.somebody("PACS-Reception", person=True)
    practice.sign_in(login)
    home = practice.address
    practice.away()
    said = []
    for number in range(8):
        practice.address = f"203.0.113.{20 + number}"
        said.append(practice.refused(login, OTHER))
    assert ["away-wrong"] * 5 + ["away"] * 3 == said
    assert "away" == practice.refused(login)
    practice.address = home
    practice.sign_in(login)
    assert ["away-wrong"] * 5 + ["away"] == [practice.refused(login, OTHER) for _ in range(6)]
    practice.test.clock.pass_(minutes=60 * 24)
    assert "away" == practice.refused(login)
    practice.back()
    practice.sign_in(login)
    assert 0 == practice.row(login).away_tries


def test_of_all_who_guess_while_the_directory_is_away_twenty_are_heard_wherever_they_sit(practice):
    login = practice.somebody("PACS-Reception", person=True)
    homes = [f"10.77.0.{number}" for number in range(5)]
    for practice.address in homes:
        practice.sign_in(login)
    practice.away()
    said = []
    for practice.address in homes:
        said += [practice.refused(login, OTHER) for _ in range(6)]
    assert [20, 10] == [said.count("away-wrong"), said.count("away")]


def test_guesses_sent_all_at_once_while_the_directory_is_away_are_five(practice):
    login = practice.somebody("PACS-Reception", person=True)
    practice.away()

    def guess(number: int) -> None:
        with pytest.raises(WrongAnswer):
            practice.password(login, f"{OTHER}{number}")

    with ThreadPoolExecutor(12) as pool:
        list(pool.map(guess, range(12)))
    assert 5 == practice.row(login).away_tries


@pytest.mark.parametrize("which", ["the first is gone", "the first hangs", "both hang"])
def test_a_controller_that_hangs_or_is_gone_lets_the_right_password_in_and_no_other(practice, which):
    login = practice.somebody("PACS-Reception", person=True)
    first, second = practice.trial.processes
    if which == "the first is gone":
        first.stop()
    else:
        first.hang()
        if which == "both hang":
            second.hang()
    reason = practice.refused(login, OTHER)
    token = practice.sign_in(login)
    away = which == "both hang"
    assert ("away-wrong" if away else "wrong: data 52e") == reason
    assert away == practice.who(token).bounds.reduced


def test_a_controller_that_says_no_is_believed_whatever_the_cache_says(practice):
    login = practice.somebody("PACS-Reception", person=True)
    practice.trial.set_password(login, OTHER)
    assert "wrong: data 52e" == practice.refused(login)
    practice.sign_in(login, OTHER)
    practice.trial.disable(login)
    assert "refused: data 533" == practice.refused(login, OTHER)


def test_a_controller_that_said_disabled_and_then_fell_silent_is_believed(practice):
    login = practice.somebody("PACS-Reception", person=True)
    practice.trial.disable(login)
    find = practice.directory.find

    def find_and_fall(login: str):
        found = find(login)
        practice.stop()
        return found

    practice.directory.find = find_and_fall
    try:
        assert "refused: disabled" == practice.refused(login)
    finally:
        del practice.directory.find


def test_a_verifier_from_another_row_or_for_longer_opens_nothing(practice):
    thief, victim = (practice.somebody("PACS-Reception") for _ in range(2))
    practice.trial.set_password(thief, OTHER)
    practice.set_up(thief, OTHER)
    practice.set_up(victim)
    stolen = practice.row(thief)
    assert "argon2" not in stolen.away_hash
    practice.change_row(victim, away_hash=stolen.away_hash, away_until=stolen.away_until)
    practice.away()
    assert "away" == practice.refused(victim, OTHER)
    practice.password(thief, OTHER)
    practice.change_row(thief, away_until=stolen.away_until + timedelta(days=300))
    assert "away" == practice.refused(thief, OTHER)


# What ends it again.


@pytest.mark.parametrize(
    "what", ["disabled", "expired", "locked", "must-change", "password", "moved out", "deleted"]
)
def test_what_changes_in_the_directory_ends_every_session_within_five_minutes(practice, what):
    login = practice.somebody("PACS-Reception", person=True)
    tokens = [practice.sign_in(login) for _ in range(2)]
    assert [{"reception"}] * 2 == [practice.who(token).roles for token in tokens]
    match what:
        case "password":
            practice.trial.set_password(login, OTHER)
        case "moved out":
            practice.trial.remove_from_group("PACS-Reception", login)
        case "deleted":
            practice.directory._wire.changing(lambda session: session.delete(practice.trial.dn_of(login)))
        case state:
            practice.trial.set_state(login, state)
    practice.test.clock.pass_(minutes=5)
    assert practice.who(tokens[0]) is None
    reasons = {
        "password": "password set anew",
        "moved out": "no group gives a role",
        "deleted": "gone from the directory",
    }
    assert reasons.get(what, what) == practice.facts()["why"]
    assert practice.who(tokens[1]) is None
    assert ([] if what == "moved out" else ["reception"]) == practice.row(login).roles
    assert practice.row(login).away_until is None


def test_who_signs_in_with_a_password_set_anew_ends_the_windows_of_the_one_before(practice):
    login = practice.somebody("PACS-Reception", person=True)
    before = practice.sign_in(login)
    practice.trial.set_password(login, OTHER)
    assert practice.who(practice.sign_in(login, OTHER)) is not None
    assert practice.who(before) is None


def test_the_console_asks_within_five_minutes_whenever_the_steps_are_taken(practice):
    login = practice.somebody("PACS-Reception", person=True)
    token, door = practice.sign_in(login), Door(practice.test.house)
    practice.trial.disable(login)
    seconds = 0
    while door.who(token, address=practice.address) is not None:
        practice.test.clock.pass_(seconds=29)
        seconds += 29
    assert seconds <= 300


def test_out_of_one_group_the_roles_of_the_others_stay_and_a_new_one_counts_from_the_next_sign_in(practice):
    login = practice.somebody("PACS-Reception", "PACS-Admins", person=True)
    token = practice.sign_in(login)
    practice.trial.remove_from_group("PACS-Admins", login)
    practice.test.clock.pass_(minutes=5)
    assert {"reception"} == practice.who(token).roles
    facts = practice.facts()
    assert ("roles", ["admin", "reception"], ["reception"]) == (facts["why"], facts["before"], facts["after"])
    practice.trial.add_to_group("PACS-Billing", login)
    practice.test.clock.pass_(minutes=5)
    # With fewer roles a session goes on; with a new one they sign in anew.
    assert practice.who(token) is None
    assert {"reception", "billing"} == practice.who(practice.sign_in(login)).roles


def test_when_the_directory_is_back_a_session_of_before_stays_reduced_and_is_asked_about_at_once(practice):
    stays, leaves = (practice.somebody("PACS-Reception", person=True) for _ in range(2))
    practice.trial.disable(leaves)
    practice.away()
    tokens = [practice.sign_in(login) for login in (stays, leaves)]
    assert [True, True] == [practice.who(token).bounds.reduced for token in tokens]
    practice.back()
    assert practice.who(tokens[1]) is None
    assert practice.who(tokens[0]).bounds.reduced
    assert not practice.who(practice.sign_in(stays)).bounds.reduced


def test_staff_who_try_while_the_directory_is_away_do_not_close_the_door_to_a_local_account(practice):
    practice.away()
    assert ["away"] * 25 == [practice.refused(f"dr.nobody{number}") for number in range(25)]
    practice.password("admin", PASSWORD)


def test_sessions_go_on_while_the_directory_refuses_our_own_account(practice):
    login = practice.somebody("PACS-Reception", person=True)
    token = practice.sign_in(login)
    practice.test.clock.pass_(minutes=5)
    practice.trial.disable("sorg.reader")
    practice.wire_clock.forward_s += 120
    try:
        assert practice.who(token) is not None
        # It is no silence, so the cache opens nothing; and a stranger at the door reads nothing of our settings.
        assert practice.refused(login).startswith("away: The directory refuses Sorg's own account.")
    finally:
        practice.trial.enable("sorg.reader")


def test_another_mapping_narrows_a_session_at_the_next_step_and_ends_it_where_it_gives_more(practice):
    login = practice.somebody("PACS-Managers", "PACS-Reception", person=True)
    token = practice.sign_in(login)
    practice.map_groups({group: role for group, role in MAPPING.items() if group != "PACS-Managers"})
    try:
        assert {"reception"} == practice.who(token).roles
    finally:
        practice.map_groups(MAPPING)
    practice.test.clock.pass_(minutes=5)
    assert practice.who(token) is None
    assert {"manager", "reception"} == practice.who(practice.sign_in(login)).roles


# What an admin is told beforehand.


def test_what_somebody_would_get_is_what_they_get(practice):
    new, known, out, shut = (practice.somebody("PACS-Reception") for _ in range(4))
    practice.set_up(known)
    practice.set_up(shut)
    practice.test.do("admin", people.suspend, practice.row(shut).id, why="left the practice")
    taken = practice.somebody("PACS-Billing")
    practice.test.do(
        "system",
        people.add_person,
        login=taken,
        name="Local Person",
        roles=("billing",),
        password="correct horse battery",
    )
    practice.trial.disable(out)
    said = {}
    for login in (
        new,
        known,
        out,
        shut,
        taken,
        practice.somebody(),
        "p0000",
        "nobody.there",
        "",
        f"CLINIC\\{known}",
    ):
        told = practice.test.do("admin", groups.what_would, login)
        said[login] = (told.roles, told.comes_in, told.sentence)
    nobody_else = ((), False, "The directory has nobody of this name, or more than one.")
    slip = "Comes in once they have set up a second factor with a sign-in slip."
    comes = (("reception",), True, "Comes in, with a second factor.")
    assert {
        new: (("reception",), False, slip),
        known: comes,
        f"CLINIC\\{known}": comes,
        out: (("reception",), False, "Stays out: the directory says 'disabled'."),
        shut: (("reception",), False, "Stays out: shut out here by an admin."),
        taken: (("billing",), False, f"Stays out: somebody else has the login {taken} here."),
        "p0000": (
            ("patient",),
            False,
            "Stays out: bind the account to a patient first, with a request for a new account.",
        ),
        "nobody.there": nobody_else,
        "": nobody_else,
    } == {
        login: value
        for login, value in said.items()
        if value[2] != "Stays out: none of their groups gives a role."
    }
    assert 1 == sum(
        value == ((), False, "Stays out: none of their groups gives a role.") for value in said.values()
    )
    naidoo = practice.test.do("admin", groups.what_would, "dr.naidoo")
    assert (("PACS-Radiologists", "radiologist"),) == naidoo.by_group


# Many at once.


@pytest.mark.parametrize("database", ["sqlcipher", "postgresql"])
def test_fifty_people_sign_in_at_once_and_all_come_in(practice, database, request, tmp_path):
    url = request.getfixturevalue("postgres") if database == "postgresql" else None
    crowd = open_practice(
        tmp_path / "home", practice.trial, url=url, mapping={"Everybody": "reception", **MAPPING}
    )
    logins = [f"p{number:04}" for number in range(1, WITH_PASSWORD)] + list(PEOPLE)[:6]
    try:
        for login in logins:
            crowd.set_up(login)
        # Each code opens once, so somebody's other browsers take a recovery code.
        tasks = [(login, turn) for turn in range(3) for login in logins][:50]

        def sign_in(task: tuple[str, int]) -> Actor | None:
            login, turn = task
            first = crowd.password(login)
            if turn:
                code = crowd.recovery[login][turn]
                return crowd.who(crowd.nobody(signin.check_recovery, token=first, code=code))
            code = pyotp.TOTP(crowd.secrets[login]).at(crowd.test.clock.at)
            return crowd.who(crowd.nobody(signin.check_code, token=first, code=code))

        crowd.test.clock.pass_(minutes=2)
        with ThreadPoolExecutor(50) as pool:
            found = list(pool.map(sign_in, tasks))
        assert None not in found
    finally:
        close_practice(crowd)


# The same with OpenLDAP, whose words differ.


@pytest.fixture(scope="module")
def openldap_practice_of_the_module(openldap_for_the_run, tmp_path_factory):
    practice = open_practice(tmp_path_factory.mktemp("openldap") / "home", openldap_for_the_run)
    yield practice
    openldap_for_the_run.mend()
    close_practice(practice)


@pytest.fixture
def openldap_practice(openldap_practice_of_the_module) -> Practice:
    return between_tests(openldap_practice_of_the_module)


def test_openldap_says_who_somebody_is_and_what_through_groups_in_groups(openldap_practice):
    practice = openldap_practice
    practice.set_up("dr.naidoo")
    row, entry = practice.row("dr.naidoo"), practice.directory.find("dr.naidoo")
    assert (entry.id, ["radiologist"]) == (row.directory_id, row.roles)
    first = practice.password("clinic\\DR.NAIDOO")
    token = practice.nobody(signin.check_code, token=first, code=practice.code("dr.naidoo"))
    assert {"radiologist"} == practice.who(token).roles
    assert "no group gives a role" == practice.refused(practice.somebody())


def test_openldap_keeps_out_every_state_with_one_sentence(openldap_practice):
    practice = openldap_practice
    found = {s: practice.refused(login) for login, s in STATES.items() if s != "outside-hours"}
    assert {
        "disabled": "refused: 49, disabled",
        "expired": "refused: 49, expired",
        "locked": "refused: 49, locked",
        "must-change": "refused: bound, but must-change",
        "password-expired": "refused: 49, policy error 0",
    } == found


def test_openldap_forgets_nothing_and_no_round_of_guesses_locks_anybody_there(openldap_practice):
    practice = openldap_practice
    login = practice.somebody("PACS-Reception", person=True)
    practice.sign_in(login)
    home = practice.address
    practice.address = "203.0.113.11"
    for spelling in (login, f"{login}@clinic.test", f"clinic\\{login}"):
        assert "wrong: 49" == practice.refused(spelling, OTHER)
    assert "account-rests" == practice.refused(login)
    practice.test.clock.pass_(minutes=31)
    # The fourth that OpenLDAP would hear of is kept for the owner, whom it lets forget the others.
    assert "held back: one more wrong password would lock the account there" == practice.refused(login, OTHER)
    practice.address = home
    practice.sign_in(login)
    assert not practice.directory.find(login).wrong_tries
    practice.test.clock.pass_(minutes=32)
    assert OPENLDAP_LOCKS_AFTER - 1 == len(guess_in_rounds(practice, login, home=home, minutes=32))
    assert "ok" == practice.directory.find(login).state


def test_where_openldap_hides_what_it_counts_the_sum_of_all_rounds_stays_below_its_limit(openldap_practice):
    practice = openldap_practice
    login = practice.somebody("PACS-Reception", person=True)
    practice.sign_in(login)
    home, seeing = practice.address, practice.test.house.ports
    blind = LdapDirectory(
        practice.trial.config(reader=Credentials(practice.trial.dn_of(BLIND), practice.trial.password))
    )
    practice.test.house.ports = replace(seeing, directory=blind)
    try:
        heard = guess_in_rounds(practice, login, home=home, minutes=60 * 24)
        assert OPENLDAP_LOCKS_AFTER - 1 == len(heard)
        assert "account-rests" == practice.refused(login)
        there = practice.directory.find(login)
        assert (OPENLDAP_LOCKS_AFTER - 1, "ok") == (there.wrong_tries, there.state)
        # It opens when an admin says so, who knows that it is them.
        practice.test.do("admin", people.wake, practice.row(login).id)
        practice.sign_in(login)
    finally:
        practice.test.house.ports = seeing
        blind.close()


@pytest.mark.parametrize("what", ["disabled", "password", "moved out"])
def test_what_changes_in_openldap_ends_every_session_within_five_minutes(openldap_practice, what):
    practice = openldap_practice
    login = practice.somebody("PACS-Reception", person=True)
    token = practice.sign_in(login)
    match what:
        case "password":
            # OpenLDAP dates a password to the second.
            later = practice.row(login).password_set_at + timedelta(seconds=2)
            practice.trial.set_password(login, OTHER)
            practice.trial.modify(
                practice.trial.dn_of(login),
                "replace: pwdChangedTime",
                f"pwdChangedTime: {later:%Y%m%d%H%M%S}Z",
            )
        case "moved out":
            practice.trial.remove_from_group("PACS-Reception", login)
        case state:
            practice.trial.set_state(login, state)
    assert practice.who(token) is not None
    practice.test.clock.pass_(minutes=5)
    assert practice.who(token) is None


def test_who_is_renamed_in_openldap_stays_the_same_and_signs_in_under_the_new_name(openldap_practice):
    practice = openldap_practice
    old = practice.somebody("PACS-Reception", person=True)
    new, before = f"x.{old[2:]}", practice.row(old)
    trial = practice.trial
    trial.remove_from_group("PACS-Reception", old)
    trial.rename_user(old, new)
    trial.add_to_group("PACS-Reception", new)
    assert "wrong: not in the directory" == practice.refused(old)
    practice.secrets[new] = practice.secrets[old]
    practice.sign_in(new)
    after = practice.row(new)
    assert (before.id, before.directory_id, ["reception"]) == (after.id, after.directory_id, after.roles)
    assert practice.row(old) is None


def test_while_openldap_is_away_the_last_password_opens_a_session_with_fewer_rights(openldap_practice):
    practice = openldap_practice
    stays, leaves = (practice.somebody("PACS-Reception", person=True) for _ in range(2))
    practice.trial.disable(leaves)
    practice.away()
    assert "away-wrong" == practice.refused(stays, OTHER)
    tokens = [practice.sign_in(login) for login in (stays, leaves)]
    assert [True, True] == [practice.who(token).bounds.reduced for token in tokens]
    practice.back()
    assert [True, False] == [practice.who(token) is not None for token in tokens]


def test_more_groups_than_a_server_tells_at_once_are_all_offered(openldap_practice):
    practice = openldap_practice
    many = f"OU=Many,{BASE_DN}"
    member = practice.trial.dn_of("dr.naidoo")
    ou = [f"dn: {many}", "changetype: add", "objectClass: organizationalUnit"]
    names = [f"Ward {number:04}" for number in range(1_000)]
    practice.trial._write(
        [
            ou,
            *(
                [f"dn: cn={name},{many}", "changetype: add", "objectClass: groupOfNames", f"member: {member}"]
                for name in names
            ),
        ]
    )
    directory, ports = LdapDirectory(practice.trial.config(groups_dn=many)), practice.test.house.ports
    practice.test.house.ports = replace(ports, directory=directory)
    try:
        found = practice.test.do("admin", groups.search, "ward", most=2_000)
        some = practice.test.do("admin", groups.search, "ward 07")
    finally:
        practice.test.house.ports = ports
        directory.close()
    assert names == [group.name for group in found]
    assert 50 == len(some)
