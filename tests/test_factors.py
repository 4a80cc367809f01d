"""Second factors: each code once, each proof for one thing, each key its owner's; and what is lost opens nothing."""

from typing import Any

import cbor2
import pyotp
import pytest
import webauthn
from sqlalchemy import inspect, select

from core import access, alerts, changes, factors, privacy, sessions, signin, workflow
from core.errors import Missing, Refused, WrongAnswer
from core.rules.roles import Permission
from core.store.model import Challenge, Person, SignInSession, StepUp
from core.store.work import system
from tests.fixtures.guests import PRESENT, Guest, SoftKey, at_once, hire, newest

ORIGIN = "https://sorg.example"


@pytest.fixture
def guest(shared_house) -> Guest:
    return hire(shared_house, "radiologist")


def wrong_codes(guest: Guest) -> int:
    with guest.test.does("system") as work, work.look(Permission.SYSTEM_SEE):
        return work.get(Person, guest.id).wrong_codes


def why(guest: Guest) -> object:
    return newest(guest.test)[0].facts.get("why")


# Codes of the app -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("steps", "opens"), [(-2, False), (-1, True), (0, True), (1, True), (2, False)])
def test_a_code_of_one_step_either_side_is_taken_and_no_other(guest, steps, opens):
    token = guest.says()
    if opens:
        assert guest.types(token, guest.code(steps))
    else:
        with pytest.raises(WrongAnswer):
            guest.types(token, guest.code(steps))


def test_a_code_works_once_none_before_it_works_after_and_a_replay_is_no_guess(guest):
    now = guest.code(0)
    assert guest.types(guest.says(), f" {now[:3]} {now[3:]} ")
    token = guest.says()
    for steps in (-1, 0):
        with pytest.raises(WrongAnswer, match="used already"):
            guest.types(token, guest.code(steps))
    assert ("used code", 0) == (why(guest), wrong_codes(guest))


def test_a_code_is_used_up_also_by_what_is_refused_after_it(either_shared):
    """Else one code would try any number of numbers, and open somebody else's sign-in after it."""
    guest = hire(either_shared, "reception")
    said = {"number": "no such file", "reason": "Unconscious in resus", "code": guest.proof()}
    with pytest.raises(Missing, match="digit by digit"):
        guest.does(access.break_glass, **said)
    with pytest.raises(WrongAnswer, match="used already"):
        guest.does(access.break_glass, **said)
    with pytest.raises(WrongAnswer, match="used already"):
        guest.types(guest.says(), said["code"])
    assert ("used code", 0) == (why(guest), wrong_codes(guest))
    assert guest.enters()


@pytest.mark.parametrize(
    "script", [0x0660, 0x06F0, 0xFF10, 0x0966], ids=["arabic", "persian", "fullwidth", "devanagari"]
)
def test_digits_of_another_script_are_no_code(guest, script):
    with pytest.raises(WrongAnswer):
        guest.types(guest.says(), "".join(chr(script + int(d)) for d in guest.code(0)))
    assert 1 == wrong_codes(guest)


@pytest.mark.parametrize("said", ["", "000000x", "9" * 100_000, "\x00", "\ud800", "-00001", "1e5"])
def test_what_is_no_code_is_a_wrong_one(guest, said):
    with pytest.raises(WrongAnswer):
        guest.types(guest.says(), said)


def test_a_code_of_somebody_else_is_a_wrong_one(guest):
    with pytest.raises(WrongAnswer):
        guest.types(guest.says(), hire(guest.test).code(0))
    assert ("wrong code", 1) == (why(guest), wrong_codes(guest))


def test_a_sealed_secret_moved_to_another_row_opens_nothing_calmly_and_loudly(either_shared):
    thief, victim = hire(either_shared), hire(either_shared)
    with either_shared.house.work(system()) as work, work.tend(Permission.PEOPLE_FOUND):
        work.get(Person, victim.id).totp_box = work.get(Person, thief.id).totp_box
    token = victim.says()
    for _ in range(2):
        with pytest.raises(WrongAnswer, match="Ask your practice's admin"):
            victim.types(token, thief.code(0))
    assert "sealed secret does not open" == why(victim)
    heard = [a for a in either_shared.do("admin", alerts.alerts) if a.about == str(victim.id)]
    assert ["tampered"] == [a.kind for a in heard]
    assert thief.enters()


def test_of_sixteen_who_use_one_code_at_once_exactly_one_comes_in(either_shared):
    guest = hire(either_shared)
    tokens, said = [guest.says() for _ in range(16)], guest.code(0)
    brought = at_once(lambda n: guest.types(tokens[n], said), times=16)
    assert (1, 15) == (brought.count(str), brought.count(WrongAnswer))


def test_wrong_codes_sent_at_once_are_counted_exactly_and_the_fifth_begins_the_rest(either_shared):
    guest = hire(either_shared)
    token = guest.says()
    assert [WrongAnswer] * 4 == at_once(lambda n: guest.types(token, f"00000{n}x"), times=4)
    assert 4 == wrong_codes(guest)
    with pytest.raises(WrongAnswer):
        guest.types(token, "wrong")
    with pytest.raises(WrongAnswer, match="Too many wrong codes"):
        guest.types(token, guest.code())
    assert "codes rest" == why(guest)
    # The password is still heard, and the rest is over by itself.
    assert guest.says()
    either_shared.clock.pass_(minutes=15)
    assert guest.enters()


def test_another_app_needs_a_proof_and_its_own_first_code(guest):
    before = pyotp.TOTP(guest.secret)
    with pytest.raises(WrongAnswer, match="Confirm that it is you"):
        guest.does(factors.begin_totp)
    fresh = guest.does(factors.begin_totp, code=guest.proof())
    with pytest.raises(WrongAnswer):
        guest.does(factors.finish_totp, code="000000")
    # Until the new app has answered, the old one is the one in use.
    assert guest.enters()
    guest.secret = fresh.secret
    guest.does(factors.finish_totp, code=guest.proof())
    with pytest.raises(Refused, match="Begin again"):
        guest.does(factors.finish_totp, code=guest.proof())
    assert guest.enters()
    with pytest.raises(WrongAnswer):
        guest.types(guest.says(), before.at(guest.test.clock.at))


# Recovery codes ----------------------------------------------------------------------------------------------------


def test_ten_recovery_codes_open_once_each_in_any_spelling_and_new_ones_void_the_old(guest):
    old = guest.does(factors.renew_recovery_codes, code=guest.proof())
    assert (10, 10) == (len(set(old)), guest.does(factors.mine).recovery_codes)

    def recover(code: str) -> str:
        return guest.asks(signin.check_recovery, token=guest.says(), code=code)

    assert recover(old[0])
    with pytest.raises(WrongAnswer, match="used already"):
        recover(old[0])
    assert "used recovery code" == why(guest)
    assert recover(old[1].lower().replace("-", " "))
    assert 8 == guest.does(factors.mine).recovery_codes
    new = guest.does(factors.renew_recovery_codes, code=guest.proof())
    with pytest.raises(WrongAnswer):
        recover(old[2])
    with pytest.raises(WrongAnswer):
        hire(guest.test).asks(signin.check_recovery, token=hire(guest.test).says(), code=new[0])
    assert recover(new[0])


def test_guessed_recovery_codes_count_as_wrong_codes(guest):
    token = guest.says()
    for _ in range(5):
        with pytest.raises(WrongAnswer):
            guest.asks(signin.check_recovery, token=token, code="AAAAA-BBBBB")
    with pytest.raises(WrongAnswer, match="Too many"):
        guest.types(token, guest.code())


def test_one_recovery_code_used_by_two_at_once_opens_once(either_shared):
    guest = hire(either_shared)
    code = guest.does(factors.renew_recovery_codes, code=guest.proof())[0]
    tokens = [guest.says(), guest.says()]
    brought = at_once(lambda n: guest.asks(signin.check_recovery, token=tokens[n], code=code))
    assert [WrongAnswer, str] == sorted(brought, key=str)


# Fresh proofs -------------------------------------------------------------------------------------------------------


def require(guest: Guest, purpose: str, code: str = "") -> str:
    """What a verb that needs a proof does inside its own gate."""
    with guest.test.house.work(guest.actor) as work, work.act(Permission.ACCOUNT_SELF):
        return factors.require(work, purpose, code=code)


def test_a_proof_is_good_once_for_its_purpose_and_its_session_and_five_minutes(guest):
    guest.does(factors.prove_by_code, purpose="sign:1", code=guest.proof())
    other = guest.behind(guest.enters())
    assert (True, False) == tuple(guest.does(factors.is_proved, purpose=p) for p in ("sign:1", "sign:2"))
    with guest.test.house.work(other) as work:
        assert not factors.is_proved(work, purpose="sign:1")
    with pytest.raises(WrongAnswer):
        require(guest, "sign:2")
    assert "code" == require(guest, "sign:1")
    with pytest.raises(WrongAnswer):
        require(guest, "sign:1")
    guest.does(factors.prove_by_code, purpose="sign:1", code=guest.proof())
    guest.test.clock.pass_(minutes=5)
    with pytest.raises(WrongAnswer):
        require(guest, "sign:1")


def test_a_code_typed_into_the_verb_itself_is_a_proof_for_it_alone(guest):
    said = guest.proof()
    assert "code" == require(guest, "sign:1", said)
    with pytest.raises(WrongAnswer):
        require(guest, "sign:2", said)
    assert not guest.does(factors.is_proved, purpose="sign:1")


def test_a_proof_used_by_two_at_once_serves_one(either_shared):
    guest = hire(either_shared)
    guest.does(factors.prove_by_code, purpose="sign:1", code=guest.proof())
    assert [WrongAnswer, str] == sorted(at_once(lambda n: require(guest, "sign:1")), key=str)


# Keys (WebAuthn level 2) -------------------------------------------------------------------------------------------


def register(guest: Guest, key: SoftKey, **how: Any) -> factors.KeyCard:
    options = guest.does(factors.begin_key, origin=ORIGIN, code=guest.proof())
    return guest.does(factors.finish_key, answer=key.makes(options, **how), name="Blue key", origin=ORIGIN)


def touch(guest: Guest, key: SoftKey, **how: Any) -> str:
    token = guest.says()
    options = guest.asks(signin.ask_key, token=token, origin=ORIGIN)
    return guest.asks(signin.check_key, token=token, answer=key.touched(options, **how), origin=ORIGIN)


def test_a_key_whose_point_lies_on_no_curve_is_not_kept(guest):
    key = SoftKey()
    options = guest.does(factors.begin_key, origin=ORIGIN, code=guest.proof())
    answer = key.makes(options)
    made = cbor2.loads(webauthn.base64url_to_bytes(answer["response"]["attestationObject"]))
    right = made["authData"]
    nowhere = cbor2.dumps({1: 2, 3: -7, -1: 1, -2: b"\x01" * 32, -3: b"\x02" * 32})
    made["authData"] = right[: -len(nowhere)] + nowhere
    answer["response"]["attestationObject"] = webauthn.helpers.bytes_to_base64url(cbor2.dumps(made))
    with pytest.raises(WrongAnswer, match="not accepted"):
        guest.does(factors.finish_key, answer=answer, name="Bent key", origin=ORIGIN)
    assert () == guest.does(factors.mine).keys


@pytest.fixture
def keyed(guest) -> tuple[Guest, SoftKey]:
    key = SoftKey()
    register(guest, key)
    return guest, key


def test_a_key_is_registered_and_opens_a_session_by_itself(either_shared):
    guest, key = hire(either_shared), SoftKey()
    card = register(guest, key)
    assert ("Blue key", None) == (card.name, card.used_at)
    actor = guest.behind(touch(guest, key))
    assert str(guest.id) == actor.id
    assert ["key", either_shared.clock.at] == [
        either_shared.do("admin", sessions.sessions, person_id=guest.id)[0].method,
        guest.does(factors.mine).keys[0].used_at,
    ]


def test_a_key_counts_while_codes_rest(keyed):
    guest, key = keyed
    token = guest.says()
    for _ in range(5):
        with pytest.raises(WrongAnswer):
            guest.types(token, "000000")
    assert touch(guest, key)


def test_an_answer_sent_twice_finds_its_challenge_used(keyed):
    guest, key = keyed
    token = guest.says()
    answer = key.touched(guest.asks(signin.ask_key, token=token, origin=ORIGIN))
    assert guest.asks(signin.check_key, token=token, answer=answer, origin=ORIGIN)
    again = guest.says()
    with pytest.raises(WrongAnswer):
        guest.asks(signin.check_key, token=again, answer=answer, origin=ORIGIN)
    assert "no open challenge" == why(guest)
    guest.asks(signin.ask_key, token=again, origin=ORIGIN)
    with pytest.raises(WrongAnswer):
        guest.asks(signin.check_key, token=again, answer=answer, origin=ORIGIN)
    assert "key: InvalidAuthenticationResponse" == why(guest)


@pytest.mark.parametrize(
    "spoilt",
    [
        {"challenge": "AAAA"},
        {"rp_id": "evil.example"},
        {"origin": "https://evil.example"},
        {"origin": "https://sorg.example:444"},
        {"origin": "http://sorg.example"},
        {"flags": PRESENT},
        {"flags": 0},
    ],
    ids=str,
)
def test_another_challenge_origin_or_name_and_an_unverified_touch_are_refused(guest, spoilt):
    key = SoftKey()
    call = {k: v for k, v in spoilt.items() if k in ("challenge", "rp_id")}
    body = {k: v for k, v in spoilt.items() if k not in call}
    for name, value in body.items():
        setattr(key, name, value)
    with pytest.raises(WrongAnswer):
        register(guest, key, **call)
    sound = SoftKey()
    register(guest, sound)
    for name, value in body.items():
        setattr(sound, name, value)
    with pytest.raises(WrongAnswer):
        touch(guest, sound, **call)


def test_a_count_that_goes_back_shuts_the_key_and_alerts(keyed):
    guest, key = keyed
    key.count = 7
    assert touch(guest, key)
    key.count = 6  # A copy made before that sign-in.
    with pytest.raises(WrongAnswer, match="may have been copied"):
        touch(guest, key)
    assert ((), "key counter went back") == (guest.does(factors.mine).keys, why(guest))
    assert ["key-copied"] == [
        a.kind for a in guest.test.do("admin", alerts.alerts) if a.about == str(guest.id)
    ]
    with pytest.raises(Refused, match="no key yet"):
        guest.asks(signin.ask_key, token=guest.says(), origin=ORIGIN)


def test_a_key_without_a_counter_works_again_and_again(keyed):
    guest, key = keyed
    for _ in range(2):
        key.count = -1
        assert touch(guest, key)


def test_somebody_elses_key_and_a_removed_one_open_nothing(keyed):
    guest, key = keyed
    other, theirs = hire(guest.test), SoftKey()
    register(other, theirs)
    with pytest.raises(WrongAnswer):
        touch(guest, theirs)
    assert "not a key of this account" == why(guest)
    second = SoftKey()
    card = register(guest, second)
    with pytest.raises(Missing, match="not yours to see"):
        guest.does(factors.remove_key, other.does(factors.mine).keys[0].id, code=guest.proof())
    guest.does(factors.remove_key, card.id, code=guest.proof())
    with pytest.raises(WrongAnswer):
        touch(guest, second)
    assert touch(guest, key)


def test_a_forged_signature_and_a_key_under_anothers_id_are_refused(keyed):
    guest, key = keyed
    forger = SoftKey(id=key.id, count=50)
    with pytest.raises(WrongAnswer):
        touch(guest, forger)
    with pytest.raises(WrongAnswer, match="known already"):
        register(hire(guest.test), SoftKey(id=key.id))
    assert touch(guest, key)


@pytest.mark.parametrize(
    "answer",
    [{}, {"id": 7}, {"id": "ä"}, [], "text", None, {"id": "AAAA", "response": None},
     {"id": "AAAA", "rawId": "AAAA", "type": "public-key", "response": {"clientDataJSON": "é", "attestationObject": "oA",
      "authenticatorData": "AA", "signature": "AA"}}],
)  # fmt: skip
def test_what_is_no_answer_of_a_key_is_a_wrong_one(keyed, answer):
    guest, key = keyed
    token = guest.says()
    guest.asks(signin.ask_key, token=token, origin=ORIGIN)
    known = (
        answer | {"id": key.touched({"rpId": "x", "challenge": "x"})["id"]}
        if isinstance(answer, dict)
        else answer
    )
    for said in (answer, known):
        guest.asks(signin.ask_key, token=token, origin=ORIGIN)
        with pytest.raises(WrongAnswer):
            guest.asks(signin.check_key, token=token, answer=said, origin=ORIGIN)
    guest.does(factors.begin_key, origin=ORIGIN, code=guest.proof())
    with pytest.raises(WrongAnswer):
        guest.does(factors.finish_key, answer=answer, name="x", origin=ORIGIN)


def test_a_challenge_is_for_one_purpose_one_session_and_five_minutes(keyed):
    guest, key = keyed
    sign = guest.does(factors.ask_key, purpose="sign:1", origin=ORIGIN)
    with pytest.raises(WrongAnswer):
        guest.does(factors.prove_by_key, purpose="sign:2", answer=key.touched(sign), origin=ORIGIN)
    with pytest.raises(WrongAnswer):
        guest.does(
            factors.finish_key,
            answer=key.makes({"rp": {"id": "sorg.example"}} | sign),
            name="x",
            origin=ORIGIN,
        )
    guest.does(factors.prove_by_key, purpose="sign:1", answer=key.touched(sign), origin=ORIGIN)
    assert "key" == require(guest, "sign:1")
    late = guest.does(factors.ask_key, purpose="sign:1", origin=ORIGIN)
    guest.test.clock.pass_(minutes=5)
    with pytest.raises(WrongAnswer, match="took too long"):
        guest.does(factors.prove_by_key, purpose="sign:1", answer=key.touched(late), origin=ORIGIN)


def test_keys_are_ten_at_most_and_named_in_printable_signs(guest):
    first = guest.does(factors.begin_key, origin=ORIGIN, code=guest.proof())
    card = guest.does(
        factors.finish_key, answer=SoftKey().makes(first), name=" \u202eevil\x00" + "x" * 99, origin=ORIGIN
    )
    assert ("evil" + "x" * 56) == card.name
    for _ in range(9):
        register(guest, SoftKey())
    with pytest.raises(Refused, match="At most 10"):
        guest.does(factors.begin_key, origin=ORIGIN, code=guest.proof())


def test_who_came_in_by_a_recovery_code_sets_up_the_new_phone_and_nothing_else(shared_house):
    guest = hire(shared_house)
    with shared_house.house.work(guest.behind(guest.enters())) as work:
        codes = factors.renew_recovery_codes(work, code=guest.code())
    half = guest.says()
    token = guest.asks(signin.check_recovery, token=half, code=codes[0])
    actor = guest.behind(token)
    with shared_house.house.work(actor) as work:
        assert factors.is_proved(work, purpose="factors")
        assert not factors.is_proved(work, purpose="change:1")
    with shared_house.house.work(actor) as work:
        fresh = factors.begin_totp(work)
    guest.secret = fresh.secret
    with shared_house.house.work(actor) as work:
        factors.finish_totp(work, code=guest.code())
    shared_house.clock.pass_(minutes=14, seconds=40)
    with pytest.raises(WrongAnswer), shared_house.house.work(actor) as work:
        factors.begin_totp(work)


# A code typed inside a page (docs/decisions/086-doors.md) ----------------------------------------------------------


def rights(guest: Guest, token: str) -> tuple:
    """Everything that a session has, and that waits in it to be used."""
    actor = guest.behind(token)
    with guest.test.does("system") as work, work.look(Permission.SYSTEM_SEE):
        session = work.get(SignInSession, actor.session)
        row = {c.key: getattr(session, c.key) for c in inspect(SignInSession).columns}
        waits = [
            (model.__name__, found.purpose)
            for model in (StepUp, Challenge)
            for found in work.db.scalars(
                select(model).where(model.session_id == session.id, model.used_at.is_(None))
            )
        ]
    return actor.roles, actor.bounds, row, waits


def test_a_code_typed_where_it_is_asked_for_leaves_its_session_with_no_right_more(shared_house):
    """So the token may stay (ASVS 5.0, 7.2.4). What lasts after its code, a broken glass, goes on under a new one."""
    admin, other = hire(shared_house, "admin"), hire(shared_house, "admin")
    token = admin.enters()
    admin._actor = admin.behind(token)
    ask = {"kind": "set-roles", "payload": {"person_id": str(hire(shared_house).id), "roles": ["reception"]}}
    card = other.does(changes.request, other.does(changes.ask, **ask, why="a new task"))
    before = rights(admin, token)
    takes = [
        (changes.approve, (card.id,), {"digest": card.digest}),
        (privacy.take_out, (), {}),
        (workflow.take_out, (), {}),
    ]
    for verb, what, how in takes:
        admin.does(verb, *what, **how, code=admin.proof())
        assert before == rights(admin, token)
        with pytest.raises((Refused, WrongAnswer)):
            admin.does(verb, *what, **how)
