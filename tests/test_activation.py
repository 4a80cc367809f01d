"""A slip opens an account once, for whoever was given it; found after a reset it opens nothing."""

import pyotp
import pytest

from core import activation, alerts, changes, factors, people, signin
from core.errors import Denied, Refused, WrongAnswer
from core.rules.roles import Permission
from core.store.model import Person
from core.store.work import nobody, system
from tests.fixtures.guests import WRONG, Guest, at_once, hire, newest
from tests.fixtures.house import PASSWORD, TestHouse

NEW = "kierewiet thohoyanḓou"


@pytest.fixture
def admins(shared_house) -> tuple[Guest, Guest]:
    return hire(shared_house, "admin"), hire(shared_house, "admin")


def newcomer(test: TestHouse) -> Guest:
    """An account that waits for its first sign-in."""
    guest = hire(test)
    with test.house.work(system()) as work, work.tend(Permission.PEOPLE_FOUND):
        row = work.get(Person, guest.id)
        row.password_hash, row.totp_box = "", None
    return guest


def slip_for(guest: Guest) -> str:
    return guest.test.do("admin", people.make_slip, guest.id).code


def reset(admins: tuple[Guest, Guest], guest: Guest, kind: str) -> None:
    asker, approver = admins
    request = asker.does(changes.ask, kind=kind, payload={"person_id": str(guest.id)}, why="Lost the phone")
    digest = asker.does(changes.request, request).digest
    assert "done" == approver.does(changes.approve, request, digest=digest, code=approver.proof())


def look(guest: Guest, slip: str) -> activation.SlipView:
    return guest.asks(activation.look_at, slip=slip)


def begin(guest: Guest, slip: str, password: str = NEW) -> factors.NewTotp | activation.Chosen:
    return guest.asks(activation.begin, slip=slip, password=password)


def finish(guest: Guest, slip: str, secret: str) -> tuple[str, ...]:
    guest.secret = secret
    return guest.asks(activation.finish, slip=slip, code=guest.code())


def test_a_slip_sets_password_and_app_and_is_used_up(shared_house):
    guest = newcomer(shared_house)
    slip = slip_for(guest)
    assert ("set", False) == (look(guest, slip).asks, look(guest, slip).has_factor)
    typed = slip.lower().replace("-", "  ")
    fresh = begin(guest, typed)
    codes = finish(guest, typed, fresh.secret)
    assert 10 == len(set(codes))
    for verb in (look, begin):
        with pytest.raises(WrongAnswer, match="used already"):
            verb(guest, slip)
    shared_house.clock.pass_(seconds=31)
    assert guest.types(guest.says(NEW), guest.code())
    assert "active" == guest.card().standing


def test_a_slip_may_be_begun_again_until_it_is_finished_and_the_last_secret_counts(shared_house):
    guest = newcomer(shared_house)
    slip = slip_for(guest)
    first, second = begin(guest, slip), begin(guest, slip)
    with pytest.raises(WrongAnswer, match="not the code of this app"):
        finish(guest, slip, first.secret)
    assert finish(guest, slip, second.secret)


def test_a_slip_ends_after_its_days_and_a_new_one_voids_it(shared_house):
    guest = newcomer(shared_house)
    old, new = slip_for(guest), slip_for(guest)
    with pytest.raises(WrongAnswer):
        look(guest, old)
    shared_house.clock.pass_(days=6)
    assert look(guest, new)
    shared_house.clock.pass_(days=1)
    with pytest.raises(WrongAnswer):
        begin(guest, new)


def test_a_slip_needs_its_password_first(shared_house):
    guest = newcomer(shared_house)
    with pytest.raises(Refused, match="Begin with the password"):
        finish(guest, slip_for(guest), guest.secret)


def test_a_weak_password_is_refused_with_its_reason_and_the_slip_stays(shared_house):
    guest = newcomer(shared_house)
    slip = slip_for(guest)
    for weak, code in (
        ("short", "password-length"),
        ("passwordpassword", "password-common"),
        ("Invented-2026", "password-name"),
        ("invented.INVENTED", "password-name"),
        ("good words but \ud800", "password-signs"),
    ):
        with pytest.raises(Refused) as refused:
            begin(guest, slip, weak)
        assert [code] == [p.code for p in refused.value.problems]
    assert begin(guest, slip)


def test_a_working_account_gets_no_slip_and_nobody_makes_their_own(shared_house, admins):
    guest = hire(shared_house)
    with pytest.raises(Refused, match="works already"):
        slip_for(guest)
    with shared_house.house.work(system()) as work, work.tend(Permission.PEOPLE_FOUND):
        work.get(Person, admins[0].id).slip_sets_password = True
    with pytest.raises(Refused, match="Another admin"):
        admins[0].does(people.make_slip, admins[0].id)
    shared_house.do("admin", people.suspend, guest.id, why="On leave")
    with pytest.raises(Refused, match="shut out"):
        slip_for(guest)


def test_shutting_out_voids_the_slips(shared_house):
    guest = newcomer(shared_house)
    slip = slip_for(guest)
    shared_house.do("admin", people.suspend, guest.id, why="Never came")
    with pytest.raises(WrongAnswer):
        begin(guest, slip)


def test_after_a_new_factor_was_approved_neither_password_nor_slip_opens_anything_alone(shared_house, admins):
    guest = hire(shared_house, "radiologist")
    old = guest.secret
    codes = guest.does(factors.renew_recovery_codes, code=guest.proof())
    token = guest.enters()
    reset(admins, guest, "reset-factor")
    # Every session is over, and the password alone is the first half of nothing.
    assert None is guest.behind(token)
    half = guest.says()
    with pytest.raises(Refused, match="no codes yet"):
        guest.types(half, guest.code())
    with pytest.raises(WrongAnswer):
        guest.asks(signin.check_recovery, token=half, code=codes[0])
    slip = slip_for(guest)
    assert "prove" == look(guest, slip).asks
    # Whoever finds the slip does not know the password, and cannot choose one.
    with pytest.raises(WrongAnswer, match="not your password"):
        begin(guest, slip, NEW)
    with pytest.raises(Refused, match="Begin with the password"):
        finish(guest, slip, old)
    fresh = begin(guest, slip, PASSWORD)
    assert 10 == len(finish(guest, slip, fresh.secret))
    assert guest.enters()


def test_after_a_new_password_was_approved_the_slip_needs_the_factor(shared_house, admins):
    guest = hire(shared_house)
    token = guest.enters()
    reset(admins, guest, "reset-password")
    assert None is guest.behind(token)
    with pytest.raises(WrongAnswer):
        guest.says()
    slip = slip_for(guest)
    assert ("set", True) == (look(guest, slip).asks, look(guest, slip).has_factor)
    box = begin(guest, slip).box
    # Whoever copied the slip cannot put a password of theirs in the place of the owner's.
    thiefs = begin(guest, slip, "what a thief would choose").box
    with pytest.raises(WrongAnswer):
        guest.asks(activation.finish, slip=slip, code="000000", box=thiefs)
    with shared_house.does("system") as work, work.look(Permission.PEOPLE_FOUND):
        assert "" == work.get(Person, guest.id).password_hash
    for no_box in ("", "AAAA", thiefs[:-4]):
        with pytest.raises(Refused, match="Begin with the password"):
            guest.asks(activation.finish, slip=slip, code=guest.code(), box=no_box)
    assert () == guest.asks(activation.finish, slip=slip, code=guest.code(), box=box)
    shared_house.clock.pass_(seconds=31)
    assert guest.types(guest.says(NEW), guest.code())
    with pytest.raises(WrongAnswer):
        guest.says(PASSWORD)
    with pytest.raises(Refused, match="works already"):
        slip_for(guest)


def test_proving_a_password_on_a_slip_is_limited_as_the_door_is(shared_house, admins):
    guest = hire(shared_house)
    reset(admins, guest, "reset-factor")
    slip = slip_for(guest)
    for _ in range(4):
        with pytest.raises(WrongAnswer):
            begin(guest, slip, WRONG)
    with pytest.raises(WrongAnswer):
        begin(guest, slip, PASSWORD)
    with pytest.raises(WrongAnswer):
        guest.says(PASSWORD)
    shared_house.clock.pass_(minutes=15)
    assert begin(guest, slip, PASSWORD)


def test_guessing_at_the_door_does_not_keep_a_newcomer_from_choosing_a_password(shared_house):
    guest = newcomer(shared_house)
    slip = slip_for(guest)
    for _ in range(4):
        with pytest.raises(WrongAnswer):
            guest.says(WRONG)
    assert begin(guest, slip)


def test_guessed_slips_rest_the_address_and_alert(either_shared):
    guest = newcomer(either_shared)
    slip, before = slip_for(guest), len(either_shared.do("admin", alerts.alerts, size=1000))

    def guess(number: int) -> None:
        with either_shared.house.work(nobody(channel="test", address=f"{guest.address}-x")) as work:
            activation.look_at(work, slip=f"AAAAA-BBBBB-{number}" if number else slip)

    for number in range(1, 21):
        with pytest.raises(WrongAnswer):
            guess(number)
    assert ("slip", "no such slip") == (
        newest(either_shared)[0].subject_kind,
        newest(either_shared)[0].facts["why"],
    )
    with pytest.raises(Denied, match="Wait ten minutes"):
        guess(0)
    assert before + 1 == len(either_shared.do("admin", alerts.alerts, size=1000))
    assert look(guest, slip)


def test_of_two_who_finish_one_slip_at_once_one_does(either_shared):
    guest = newcomer(either_shared)
    slip = slip_for(guest)
    fresh = begin(guest, slip)
    code = pyotp.TOTP(fresh.secret).at(either_shared.clock.at)
    brought = at_once(lambda n: guest.asks(activation.finish, slip=slip, code=code))
    assert 1 == brought.count(tuple)
    assert 10 == guest.card().recovery_codes


def test_somebody_of_single_sign_on_sets_up_a_factor_without_a_password_of_ours(shared_house):
    guest = newcomer(shared_house)
    with shared_house.house.work(system()) as work, work.tend(Permission.PEOPLE_FOUND):
        row = work.get(Person, guest.id)
        row.directory, row.directory_id = "sso", f"{guest.id}"
    slip = slip_for(guest)
    assert "nothing" == look(guest, slip).asks
    fresh = begin(guest, slip, "")
    assert 10 == len(finish(guest, slip, fresh.secret))
    # The slip made no password: without the provider's sign-in nothing opens.
    for said in ("", NEW):
        with pytest.raises(WrongAnswer):
            guest.says(said)
