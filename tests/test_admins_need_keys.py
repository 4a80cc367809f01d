"""Where admins need keys: what a session without one is shut out of, and every way that a code alone could lead to one."""

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import httpx
import pyotp
import pytest

from core import activation, alerts, changes, factors, people, sessions, signin
from core.errors import Denied, Refused, WrongAnswer
from core.rules.access import scope_of
from core.rules.roles import ROLES, STAFF, WITHOUT_KEY, Permission, Role, Scope, granted
from core.store.model import SignInSession
from core.store.work import KEY_FIRST, NOT_YOURS, Actor, system
from ops.settings import needs_keys, read
from tests.fixtures.doors import COOKIE, browser_of, doors_of, form_token, send, served
from tests.fixtures.guests import Guest, SoftKey, hire, newest
from tests.fixtures.house import PASSWORD
from tests.test_gate import dummy, reached, verbs
from tests.test_matrix import MAY

ORIGIN = "https://sorg.example"
ID = "00000000-0000-0000-0000-000000000001"


@dataclass
class Seat:
    """One browser of one person: who sits there is looked up at each step, as a rerun does."""

    guest: Guest
    token: str
    key: SoftKey = field(default_factory=SoftKey)

    @property
    def actor(self) -> Actor:
        actor = self.guest.behind(self.token)
        assert actor is not None
        return actor

    def does(self, verb, *args, **kwargs):
        with self.guest.test.house.work(self.actor) as work:
            return verb(work, *args, **kwargs)

    def proves(self, purpose: str = "factors", key: SoftKey | None = None) -> None:
        asked = self.does(factors.ask_key, purpose=purpose, origin=ORIGIN)
        self.does(
            factors.prove_by_key, purpose=purpose, answer=(key or self.key).touched(asked), origin=ORIGIN
        )

    def makes(self, key: SoftKey, code: str = ""):
        options = self.does(factors.begin_key, origin=ORIGIN, code=code)
        return self.does(factors.finish_key, answer=key.makes(options), name="A key", origin=ORIGIN)

    @property
    def is_admin(self) -> bool:
        return self.actor.may(Permission.PEOPLE_MANAGE)


@contextmanager
def at_the_door(seat: Seat) -> Iterator[httpx.Client]:
    """The same browser before the console's plain pages, which it reaches at the name where keys work."""
    with served(doors_of(seat.guest.test)) as url, browser_of(url) as browser:
        browser.cookies.set(COOKIE, seat.token, domain="localhost.local", path="/")
        yield browser


def sits(guest: Guest) -> Seat:
    return Seat(guest, guest.enters())


def comes_by_recovery(guest: Guest, code: str, key: SoftKey) -> Seat:
    return Seat(guest, guest.asks(signin.check_recovery, token=guest.says(), code=code), key)


def heard(guest: Guest) -> list[str]:
    """What the admins heard of this person's keys, newest first."""
    found = guest.test.do("admin", alerts.alerts)
    return [a.sentence for a in found if a.kind == "key-added" and a.about == str(guest.id)]


@pytest.fixture
def strict(shared_house, monkeypatch):
    monkeypatch.setitem(shared_house.house.rules, "admins_need_keys", True)
    return shared_house


@pytest.fixture
def admin(strict) -> Guest:
    return hire(strict, "admin")


@pytest.fixture
def keyed(admin) -> Seat:
    """An admin with a key and recovery codes, in a session that the key opened."""
    seat = sits(admin)
    seat.makes(seat.key, code=admin.code())
    return seat


@pytest.fixture
def by_code(keyed) -> Seat:
    """The same admin's other session: password and code, as somebody has them who talked them out of the admin."""
    return Seat(keyed.guest, keyed.guest.enters(), keyed.key)


# Which practices --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "needed"),
    [
        ({}, False),
        ({"https": True}, False),  # by an address of numbers alone, browsers refuse keys
        ({"https": True, "console_names": "10.1.0.5, [::1]"}, False),
        ({"https": True, "console_names": " 10.1.0.5 , console.practice.example"}, True),
        ({"console_names": "console.practice.example"}, False),
        ({"https": True, "console_names": "console.practice.example", "admins_need_keys": "no"}, False),
        ({"admins_need_keys": "yes"}, True),
        ({"admins_need_keys": "true"}, True),  # as it was said before
        ({"admins_need_keys": "False", "https": True, "console_names": "console.practice.example"}, False),
    ],
)
def test_auto_means_where_keys_work_for_everybody(settings, needed):
    assert needed == needs_keys(read(**settings))


# What is shut -----------------------------------------------------------------------------------------------------


def test_of_an_admins_role_a_session_without_the_key_keeps_their_own_account_and_nothing_else():
    assert {Role.ADMIN: {Permission.ACCOUNT_SELF, Permission.STAFF_SELF}} == WITHOUT_KEY
    for role in Role:
        assert granted(role) == ROLES[role]
        assert role is Role.ADMIN or granted(role, keyless=True) == ROLES[role]


# What an admin may call without the key, out of everything there is: what is their own.
LEFT = {
    "sessions.end_my_session", "sessions.my_sessions", "sessions.my_sign_ins", "sessions.end_my_other_sessions",
    "sessions.my_half_sign_ins", "activation.change_password", "activation.who_keeps_my_password", "factors.mine",
    "factors.begin_totp", "factors.finish_totp", "factors.renew_recovery_codes", "factors.begin_key", "factors.finish_key",
    "factors.remove_key", "factors.prove_by_code", "factors.ask_key", "factors.prove_by_key", "factors.is_proved",
    "factors.why_no_code", "people.me", "groups.directory_is_there", "practice.particulars", "access.my_glass",
    "access.close_glass",
}  # fmt: skip


def test_of_every_verb_there_is_an_admin_without_the_key_reaches_those_of_their_own_account_alone(strict):
    """What only the key opens says so; what no admin may do says what it says to everybody."""
    actor = sits(hire(strict, "admin")).actor
    said = {}
    for name, verb in ((name, verbs()[name]) for name in MAY):
        hints = inspect.get_annotations(verb, eval_str=True)
        needed = [p for p in list(inspect.signature(verb).parameters.values())[1:] if p.default is p.empty]
        said[name] = reached(strict, actor, verb, {p.name: dummy(hints.get(p.name), p.name) for p in needed})
    others = {verb for verb, row in MAY.items() if row["adm"] == "-"}
    assert {verb for verb, sentence in said.items() if sentence == NOT_YOURS} == others
    assert LEFT == set(said) - others - {verb for verb, sentence in said.items() if sentence == KEY_FIRST}
    assert "Touch it" in KEY_FIRST and "My account" in KEY_FIRST


def test_what_is_shut_without_the_key_is_on_record_as_refused(by_code):
    with pytest.raises(Denied, match="needs your key"):
        by_code.does(changes.ask, kind="set-roles", payload={}, why="a try")
    entry = newest(by_code.guest.test)[0]
    assert ("people-manage", "refused", KEY_FIRST) == (entry.act, entry.outcome, entry.facts["because"])


def test_another_role_of_the_same_person_goes_on_with_its_own_reach(strict):
    seat = sits(hire(strict, "admin", "reception"))
    may = {p for p in Permission if seat.actor.may(p)}
    assert ROLES[Role.RECEPTION] == may
    # As an admin they would see every patient; without the key they see those of reception.
    assert Scope.SITE == scope_of(seat.actor.roles, Permission.PATIENT_FIND, seat.actor.bounds)
    seat.makes(seat.key, code=seat.guest.code())
    assert Scope.ALL == scope_of(seat.actor.roles, Permission.PATIENT_FIND, seat.actor.bounds)


def test_nobody_but_admins_needs_a_key_and_nobody_does_where_the_rule_is_off(strict, monkeypatch):
    for role in set(STAFF) - {Role.ADMIN}:
        assert not sits(hire(strict, role)).actor.bounds.keyless, role
    monkeypatch.setitem(strict.house.rules, "admins_need_keys", False)
    assert sits(hire(strict, "admin")).is_admin


def test_the_sealed_account_opens_with_what_lies_in_its_envelope(strict):
    with strict.house.work(system()) as work:
        sealed = people.seal_break_glass(work, login="envelope", password=PASSWORD)
    guest = Guest(strict, "envelope", sealed.person.id, sealed.secret, "10.9.9.9")
    seat = Seat(guest, guest.enters(reason="the domain is down and the admin is ill"))
    assert seat.is_admin
    seat.does(people.suspend, hire(strict, "admin").id, why="stolen account")


# How it opens -----------------------------------------------------------------------------------------------------


def test_a_key_at_the_door_opens_it_and_so_does_a_touch_later_on(keyed, by_code):
    guest = keyed.guest
    token = guest.says()
    asked = guest.asks(signin.ask_key, token=token, origin=ORIGIN)
    answer = keyed.key.touched(asked)
    assert Seat(guest, guest.asks(signin.check_key, token=token, answer=answer, origin=ORIGIN)).is_admin
    assert not by_code.is_admin
    by_code.proves(factors.ADMIN)
    assert by_code.is_admin
    # It opened the session and confirmed nothing that a verb would take.
    assert not by_code.does(factors.is_proved, purpose=factors.ADMIN)
    assert by_code.does(people.people)


def test_a_code_is_no_touch(by_code):
    with pytest.raises(WrongAnswer, match="does not open what admins do"):
        by_code.does(factors.prove_by_code, purpose=factors.ADMIN, code=by_code.guest.code())
    for purpose in ("factors", "export:board", "sign:1", "glass:1"):
        try:
            by_code.does(factors.prove_by_code, purpose=purpose, code=by_code.guest.code())
        except WrongAnswer:
            assert "factors" == purpose
    assert not by_code.is_admin


def test_another_persons_key_opens_nothing(keyed, by_code):
    other = sits(hire(keyed.guest.test, "admin"))
    other.makes(other.key, code=other.guest.code())
    with pytest.raises(WrongAnswer):
        by_code.proves(factors.ADMIN, key=other.key)
    assert not by_code.is_admin


# The first key ----------------------------------------------------------------------------------------------------


def test_the_first_key_is_added_with_a_code_opens_at_once_and_every_admin_hears_of_it(admin):
    seat, elsewhere = sits(admin), sits(admin)
    assert (False, "") == (seat.is_admin, seat.does(factors.why_no_code, purpose="factors"))
    seat.makes(seat.key, code=admin.code())
    assert (True, False) == (seat.is_admin, elsewhere.is_admin)
    assert [
        f"{admin.card().name} added their first key, with a code. It opens what admins do: was it them?"
    ] == heard(admin)


def test_nobody_hears_of_keys_that_open_nothing_new(strict):
    reception = sits(hire(strict, "reception"))
    reception.makes(reception.key, code=reception.guest.code())
    assert [] == heard(reception.guest)


def test_of_two_who_begin_the_first_key_with_a_code_only_one_ends_it(admin):
    """A thief with a code begins before the owner, waits, and would have a second key without touching the first."""
    thief, owner = sits(admin), sits(admin)
    begun = thief.does(factors.begin_key, origin=ORIGIN, code=admin.code())
    owner.makes(owner.key, code=admin.code())
    with pytest.raises(WrongAnswer, match="too long"):
        thief.does(factors.finish_key, answer=SoftKey().makes(begun), name="Mine", origin=ORIGIN)
    assert (False, 1) == (thief.is_admin, len(owner.does(factors.mine).keys))


# With a code alone no further key ---------------------------------------------------------------------------------

WITH_A_CODE = [
    (factors.begin_key, {"origin": ORIGIN}),
    (factors.renew_recovery_codes, {}),  # one of which would be enough
    (factors.begin_totp, {}),
    (factors.remove_key, {"key_id": ID}),  # the next one would be a first one again
]


@pytest.mark.parametrize(("verb", "said"), WITH_A_CODE, ids=[v.__name__ for v, _ in WITH_A_CODE])
def test_whoever_has_a_key_changes_what_proves_them_with_that_key_and_not_with_a_code(
    keyed, by_code, verb, said
):
    for code in (by_code.guest.code(), ""):
        with pytest.raises(
            WrongAnswer, match="recovery code, or let another admin ask for a new second factor"
        ):
            by_code.does(verb, **said, code=code)
    with pytest.raises(WrongAnswer, match="changed with your key"):
        by_code.does(factors.prove_by_code, purpose="factors", code=by_code.guest.code())
    assert ("no key", 1) == (newest(keyed.guest.test)[0].facts["why"], len(keyed.does(factors.mine).keys))


def test_nor_does_the_password_change_with_a_code(by_code):
    with pytest.raises(WrongAnswer, match="changed with your key"):
        by_code.does(
            activation.change_password, old=PASSWORD, new="another correct horse", code=by_code.guest.code()
        )


def test_a_code_that_confirmed_before_there_was_a_key_counts_no_more(admin):
    thief, owner = sits(admin), sits(admin)
    thief.does(factors.prove_by_code, purpose="factors", code=admin.code())
    assert thief.does(factors.is_proved, purpose="factors")
    owner.makes(owner.key, code=admin.code())
    assert not thief.does(factors.is_proved, purpose="factors")
    with pytest.raises(WrongAnswer, match="changed with your key"):
        thief.does(factors.begin_key, origin=ORIGIN)


def test_an_app_that_was_begun_with_a_code_before_there_was_a_key_is_never_in_use(admin):
    """A thief with a code begins a new app, waits for the owner's first key, and would have the app without touching it."""
    thief, owner = sits(admin), sits(admin)
    begun = thief.does(factors.begin_totp, code=admin.code())
    owner.makes(owner.key, code=admin.code())
    with pytest.raises(Refused, match="Begin again"):
        thief.does(factors.finish_totp, code=pyotp.TOTP(begun.secret).at(admin.test.clock.at))
    assert admin.enters()


@pytest.mark.parametrize("purpose", ["new-key", "first-key", "sign-in"])
def test_no_challenge_for_confirming_makes_a_key(keyed, by_code, purpose):
    with pytest.raises(Refused, match="nothing to confirm"):
        by_code.does(factors.ask_key, purpose=purpose, origin=ORIGIN)
    assert (False, 1) == (by_code.is_admin, len(keyed.does(factors.mine).keys))


def test_with_the_key_there_is_a_second_one_and_it_is_no_alarm(keyed):
    keyed.proves()
    keyed.makes(SoftKey())
    assert (2, 1) == (len(keyed.does(factors.mine).keys), len(heard(keyed.guest)))


def test_a_recovery_code_adds_a_key_within_its_quarter_hour_and_every_admin_hears_of_it(keyed):
    keyed.proves()
    codes = keyed.does(factors.renew_recovery_codes)
    found, late = (comes_by_recovery(keyed.guest, code, SoftKey()) for code in codes[:2])
    assert not found.is_admin
    found.makes(found.key)
    assert found.is_admin
    assert "after signing in with a recovery code" in heard(keyed.guest)[0]
    keyed.guest.test.clock.pass_(minutes=14, seconds=59)
    late = comes_by_recovery(keyed.guest, codes[2], SoftKey())
    keyed.guest.test.clock.pass_(minutes=14, seconds=59)
    assert late.does(factors.is_proved, purpose="factors")
    late.does(factors.mine)
    with keyed.guest.test.does("nobody") as work:
        sessions.keep_awake(work, token=late.token)
    keyed.guest.test.clock.pass_(seconds=1)
    with pytest.raises(WrongAnswer, match="changed with your key"):
        late.does(factors.begin_key, origin=ORIGIN)


# Keys that end ----------------------------------------------------------------------------------------------------


def test_the_last_key_stays_and_one_of_two_goes(keyed):
    (only,) = keyed.does(factors.mine).keys
    keyed.proves()
    with pytest.raises(Refused, match="only key"):
        keyed.does(factors.remove_key, only.id)
    # What was confirmed is not used up by a refusal.
    second = SoftKey()
    keyed.makes(second)
    assert keyed.is_admin
    keyed.proves(key=second)
    keyed.does(factors.remove_key, only.id)
    assert keyed.is_admin


def test_a_session_is_shut_at_its_next_step_once_the_key_that_opened_it_is_gone(keyed, by_code):
    (first,) = keyed.does(factors.mine).keys
    by_code.proves(factors.ADMIN)
    second = SoftKey()
    by_code.proves()
    by_code.makes(second)
    by_code.proves(key=second)
    assert keyed.is_admin
    by_code.does(factors.remove_key, first.id)
    assert (False, True) == (keyed.is_admin, by_code.is_admin)
    keyed.proves(factors.ADMIN, key=second)
    assert keyed.is_admin


def test_a_copied_key_shuts_what_it_opened_and_a_code_adds_no_other_in_its_place(keyed, by_code):
    copy = SoftKey(private=keyed.key.private, id=keyed.key.id)
    keyed.proves(factors.ADMIN)
    with pytest.raises(WrongAnswer, match="copied"):
        by_code.proves(factors.ADMIN, key=copy)
    assert (False, ()) == (keyed.is_admin, keyed.does(factors.mine).keys)
    for seat in (keyed, by_code):
        with pytest.raises(WrongAnswer, match="changed with your key"):
            seat.makes(SoftKey(), code=seat.guest.code())


def test_after_a_reset_that_another_admin_approved_the_first_key_is_a_first_one_again(keyed):
    guest, test = keyed.guest, keyed.guest.test
    asks, approves = (sits(hire(test, "admin")) for _ in range(2))
    for seat in (asks, approves):
        seat.makes(seat.key, code=seat.guest.code())
    request = asks.does(
        changes.ask, kind="reset-factor", payload={"person_id": str(guest.id)}, why="key ring lost"
    )
    card = approves.does(changes.request, request)
    approves.proves(card.purpose)
    assert "done" == approves.does(changes.approve, request, digest=card.digest)
    slip = asks.does(people.make_slip, guest.id).code
    fresh = guest.asks(activation.begin, channel="console", slip=slip, password=PASSWORD)
    guest.secret = fresh.secret
    guest.asks(activation.finish, channel="console", slip=slip, code=guest.code())
    again = sits(guest)
    assert not again.is_admin
    again.makes(again.key, code=guest.code())
    assert (True, 2) == (again.is_admin, len(heard(guest)))


def test_a_token_made_anew_keeps_what_the_key_opened(keyed):
    before = keyed.token
    keyed.token = keyed.guest.asks(sessions.rotate, token=before)
    assert keyed.is_admin
    assert keyed.guest.behind(before) is None


def test_a_row_written_past_us_with_somebody_elses_key_opens_nothing(keyed):
    victim = sits(hire(keyed.guest.test, "admin"))
    (key,) = keyed.does(factors.mine).keys
    with keyed.guest.test.house.work(system()) as work, work.tend(Permission.PEOPLE_FOUND):
        work.get(SignInSession, victim.actor.session).key_id = key.id
    assert not victim.is_admin


# At the door ------------------------------------------------------------------------------------------------------


def test_each_rise_by_a_key_is_under_a_new_token(admin):
    seat = Seat(admin, admin.enters(channel="console"))
    with at_the_door(seat) as browser:
        key = SoftKey(origin=str(browser.base_url).rstrip("/"))
        browser.get("/account/keys")
        told = {"x-sorg-form": browser.cookies["sorg-form"]}
        where = "/stepup?for=factors&next=/account/keys/new"
        send(browser, "/stepup", at=where, purpose="factors", next="/account/keys/new", code=admin.code())
        options = browser.post("/account/keys/options", json={}, headers=told).json()
        before = browser.cookies[COOKIE]
        answer = browser.post(
            "/account/keys", json={"answer": key.makes(options), "name": "A key"}, headers=told
        )
        assert {"go": "/account/keys?done=added"} == answer.json()
        seat.token = browser.cookies[COOKIE]
        assert (None, True) == (admin.behind(before), seat.is_admin)
        # The only key stays: the page says why, and the session goes on.
        (card,) = seat.does(factors.mine).keys
        asked = browser.post("/stepup/key/options", json={"purpose": "factors"}, headers=told).json()
        said = {"purpose": "factors", "next": "/account/keys", "answer": key.touched(asked)}
        assert 200 == browser.post("/stepup/key", json=said, headers=told).status_code
        kept = send(
            browser, "/account/keys/remove", at=f"/account/keys/remove?key={card.id}", key=str(card.id)
        )
        assert (400, True) == (kept.status_code, "This is your only key" in kept.text)
        page = browser.get("/account/keys/new")
        assert 200 == page.status_code  # The touch was not used up by what was refused.


def test_the_page_for_touching_offers_no_code_and_takes_none(by_code):
    with at_the_door(Seat(by_code.guest, by_code.guest.enters(channel="console"))) as browser:
        where = "/stepup?for=admin&next=/people"
        page = browser.get(where).text
        assert "Confirm with your key" in page and 'name="code"' not in page
        fields = {
            "purpose": "admin",
            "next": "/people",
            "code": by_code.guest.code(),
            "token": form_token(page),
        }
        answer = browser.post("/stepup", data=fields)
        assert (401, True) == (answer.status_code, "does not open what admins do" in answer.text)
        newcomer = hire(by_code.guest.test, "admin")
        browser.cookies.set(COOKIE, newcomer.enters(channel="console"), domain="localhost.local", path="/")
        assert 'href="/account/keys/new"' in browser.get(where).text
