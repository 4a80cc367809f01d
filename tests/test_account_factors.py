"""Accounts of patients and referring doctors look after their own factors, and nothing else: walks and attacks."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from uuid import UUID, uuid4

import pyotp
import pytest
from sqlalchemy import select

from core import activation, factors, patients, sessions, signin
from core.errors import Denied, Missing, WrongAnswer
from core.rules.access import Reach
from core.rules.roles import BY_ACCOUNT, Permission, Role
from core.store.model import (
    Alert,
    Challenge,
    Person,
    RecoveryCode,
    SecurityKey,
    SignInSession,
    StepUp,
    Throttle,
)
from core.store.reach import TENDED
from core.store.work import ONLY_ACCOUNTS, Actor, Subject
from tests.fixtures.guests import WRONG, Guest, SoftKey, hire
from tests.fixtures.house import PASSWORD, THANDO, TestHouse

AT_HOME, AT_WORK = "https://images.example", "https://staff.example"
WORDS = "purple oxen sing at dawn"


@dataclass
class Visitor(Guest):
    """Somebody with an account at the gateway."""

    @property
    def actor(self) -> Actor:
        if self._actor is None:
            self._actor = self.behind(self.enters(channel="gateway"), channel="gateway")
        assert self._actor is not None
        return self._actor

    def half(self) -> str:
        return self.says(channel="gateway")

    def key(self, *, origin: str = AT_HOME) -> tuple[SoftKey, factors.KeyCard]:
        soft = SoftKey(origin=origin)
        options = self.does(factors.begin_key, origin=origin, code=self.proof())
        return soft, self.does(factors.finish_key, answer=soft.makes(options), name="My phone", origin=origin)

    def touch(self, soft: SoftKey, *, origin: str = AT_HOME, **how: str) -> None:
        """Confirm with the key, at this origin."""
        question = self.does(factors.ask_key, purpose="factors", origin=origin)
        self.does(
            factors.prove_by_key, purpose="factors", answer=soft.touched(question, **how), origin=origin
        )


def visitor(test: TestHouse, role: Role = Role.PATIENT) -> Visitor:
    """Somebody new with an account, bound to a file or to a doctor of their own."""
    if role is Role.PATIENT:
        named = {"family_name": f"Visitor{uuid4().hex[:8]}", "membership_number": uuid4().hex[:8]}
        whose = patients.Particulars(**{**vars(THANDO), **named})
        bound = {"patient_id": test.do("reception", patients.register, whose)}
    else:
        bound = {"referrer_id": test.do("reception", patients.add_referrer, name=f"Dr {uuid4().hex[:8]}")}
    made = hire(test, role, **bound)
    return Visitor(made.test, made.login, made.id, made.secret, made.address)


@pytest.fixture
def me(shared_house) -> Visitor:
    return visitor(shared_house)


# What is theirs -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", [Role.PATIENT, Role.REFERRER])
def test_an_account_looks_after_its_own_factors_password_and_sessions(either_shared, role):
    me = visitor(either_shared, role)
    soft, card = me.key()
    assert (True, ["My phone"]) == ((mine := me.does(factors.mine)).code, [k.name for k in mine.keys])
    half = me.half()
    question = me.asks(signin.ask_key, channel="gateway", token=half, origin=AT_HOME)
    answer = soft.touched(question)
    by_key = me.asks(signin.check_key, channel="gateway", token=half, answer=answer, origin=AT_HOME)
    assert me.behind(by_key, channel="gateway") is not None
    assert 10 == len(me.does(factors.renew_recovery_codes, code=me.proof()))
    assert {"gateway"} == {s.channel for s in me.does(sessions.my_sessions)}
    assert 1 == me.does(activation.change_password, old=PASSWORD, new=WORDS, code=me.proof())
    assert me.behind(by_key, channel="gateway") is None
    fresh = me.does(factors.begin_totp, code=me.proof())
    me.test.clock.pass_(seconds=31)
    me.does(factors.finish_totp, code=pyotp.TOTP(fresh.secret).at(me.test.clock.at))
    me.touch(soft)
    assert me.does(factors.is_proved, purpose="factors")
    me.does(factors.remove_key, card.id)
    assert (False, ()) == (me.does(factors.is_proved, purpose="factors"), me.does(factors.mine).keys)


def test_who_came_by_a_recovery_code_sets_up_the_new_phone_for_fifteen_minutes(me):
    paper = me.does(factors.renew_recovery_codes, code=me.proof())
    token = me.asks(signin.check_recovery, channel="gateway", token=me.half(), code=paper[0])
    me._actor = me.behind(token, channel="gateway")
    fresh = me.does(factors.begin_totp)
    me.does(factors.finish_totp, code=pyotp.TOTP(fresh.secret).at(me.test.clock.at))
    for _ in range(2):
        me.test.clock.pass_(minutes=8)
        me.asks(sessions.keep_awake, channel="gateway", token=token)
    with pytest.raises(WrongAnswer, match="Confirm that it is you"):
        me.does(factors.begin_totp)


def test_five_wrong_codes_make_codes_rest_and_the_admins_hear_of_it(me):
    for _ in range(5):
        with pytest.raises(WrongAnswer):
            me.does(factors.prove_by_code, purpose="factors", code="000000")
    with pytest.raises(WrongAnswer, match="Too many"):
        me.does(factors.prove_by_code, purpose="factors", code=me.code(0))
    with me.test.does("admin") as work, work.look(Permission.ALERT_SEE):
        assert 1 == len(list(work.db.scalars(select(Alert).where(Alert.about == str(me.id)))))


def test_a_copied_key_is_shut_and_the_admins_hear_of_it(me):
    soft, _ = me.key()
    me.touch(soft)
    soft.count = 0
    with pytest.raises(WrongAnswer, match="copied"):
        me.touch(soft)
    assert () == me.does(factors.mine).keys
    with me.test.does("admin") as work, work.look(Permission.ALERT_SEE):
        told = work.db.scalars(select(Alert.kind).where(Alert.about == str(me.id)))
        assert ["key-copied"] == list(told)


def test_wrong_old_passwords_make_the_account_rest_and_count_at_its_address(me):
    proof, me._actor = me.proof(), replace(me.actor, address=me.address)
    for _ in range(4):
        with pytest.raises(WrongAnswer, match="not your password of now"):
            me.does(activation.change_password, old=WRONG, new=WORDS, code=proof)
    with pytest.raises(WrongAnswer, match="Too many"):
        me.does(activation.change_password, old=PASSWORD, new=WORDS, code=proof)
    with me.test.does("system") as work, work.look(Permission.SYSTEM_SEE):
        assert 4 == work.db.get_one(Throttle, f"address:{me.address}").count


# What is somebody else's ------------------------------------------------------------------------------------------


def test_nobody_elses_key_or_session_is_reached_by_its_id(me, shared_house):
    _, foreign = visitor(shared_house).key()
    staff = hire(shared_house, "billing")
    with pytest.raises(Missing):
        me.does(factors.remove_key, foreign.id, code=me.proof())
    for session in (staff.actor.session, visitor(shared_house).actor.session):
        with pytest.raises(Missing):
            me.does(sessions.end_my_session, session)


def test_a_key_of_one_account_is_not_set_up_for_another_one(me, shared_house):
    soft, _ = visitor(shared_house).key()
    options = me.does(factors.begin_key, origin=AT_HOME, code=me.proof())
    with pytest.raises(WrongAnswer, match="known already"):
        me.does(factors.finish_key, answer=soft.makes(options), name="Theirs", origin=AT_HOME)
    assert () == me.does(factors.mine).keys


def test_the_key_of_somebody_else_confirms_nothing_for_me(me, shared_house):
    foreign, _ = visitor(shared_house).key()
    me.key()
    with pytest.raises(WrongAnswer, match="not accepted"):
        me.touch(foreign)


@pytest.mark.parametrize("how", [{"origin": AT_WORK}, {"origin": AT_HOME, "rp_id": "staff.example"}])
def test_a_key_of_one_door_answers_at_no_other(me, how):
    soft, _ = me.key()
    with pytest.raises(WrongAnswer, match="not accepted"):
        me.touch(soft, **how)
    assert not me.does(factors.is_proved, purpose="factors")


def test_a_challenge_and_a_proof_count_in_the_session_that_asked_for_them(me):
    soft, card = me.key()
    question = me.does(factors.ask_key, purpose="factors", origin=AT_HOME)
    answer = soft.touched(question)
    here, me._actor = me.actor, None
    with pytest.raises(WrongAnswer, match="too long"):
        me.does(factors.prove_by_key, purpose="factors", answer=answer, origin=AT_HOME)
    there, me._actor = me.actor, here
    me.does(factors.prove_by_key, purpose="factors", answer=answer, origin=AT_HOME)
    with pytest.raises(WrongAnswer):
        me.does(factors.prove_by_key, purpose="factors", answer=answer, origin=AT_HOME)
    me._actor = there
    with pytest.raises(WrongAnswer, match="Confirm that it is you"):
        me.does(factors.remove_key, card.id)


# A link is nobody's account --------------------------------------------------------------------------------------

TENDING = {
    factors.mine: {}, factors.begin_totp: {}, factors.finish_totp: {"code": "000000"}, factors.renew_recovery_codes: {},
    factors.begin_key: {"origin": AT_HOME}, factors.finish_key: {"answer": {}, "name": "x", "origin": AT_HOME},
    factors.remove_key: {"key_id": UUID(int=7)}, factors.prove_by_code: {"purpose": "factors", "code": "000000"},
    factors.ask_key: {"purpose": "factors", "origin": AT_HOME}, factors.is_proved: {"purpose": "factors"},
    factors.prove_by_key: {"purpose": "factors", "answer": {}, "origin": AT_HOME},
    sessions.my_sessions: {}, sessions.my_sign_ins: {}, sessions.my_half_sign_ins: {}, sessions.end_my_other_sessions: {},
    sessions.end_my_session: {"session_id": UUID(int=7)}, activation.who_keeps_my_password: {},
    activation.change_password: {"old": PASSWORD, "new": WORDS},
}  # fmt: skip


@pytest.mark.parametrize("verb", TENDING, ids=lambda verb: verb.__name__)
def test_a_link_is_refused_even_with_the_id_and_session_of_an_account(me, verb):
    reach = Reach(uuid4(), uuid4(), me.actor.bounds.patient_id or uuid4(), uuid4())
    link = replace(me.actor, reach=reach)
    with pytest.raises(Denied, match=ONLY_ACCOUNTS), me.test.house.work(link) as work:
        verb(work, **TENDING[verb])


def test_what_is_for_accounts_alone_is_one_permission():
    assert {Permission.ACCOUNT_SELF} == BY_ACCOUNT


# What the row filter and the pen keep shut --------------------------------------------------------------------------


def test_an_account_sees_and_writes_its_factors_only_where_it_looks_after_itself(me):
    me.key()
    me.does(factors.renew_recovery_codes, code=me.proof())
    me.does(factors.prove_by_code, purpose="factors", code=me.code())
    for door, seen in ((Permission.ACCOUNT_SELF, True), (Permission.OWN_STUDIES, False)):
        with me.test.house.work(me.actor) as work, work.look(door):
            for table in (SecurityKey, RecoveryCode, StepUp, Challenge):
                assert seen is (work.db.scalars(select(table)).first() is not None), table
    with pytest.raises(RuntimeError, match="tried to change"):
        with me.test.house.work(me.actor) as work, work.act(Permission.OWN_STUDIES):
            work.get(Person, me.id).totp_step = 0


def test_without_a_session_there_is_nothing_to_look_after(me):
    me.key()
    with me.test.house.work(replace(me.actor, session=None)) as work:
        assert () == factors.mine(work).keys


@pytest.mark.parametrize("column", ["name", "login", "roles", "patient_id", "referrer_id", "scope", "sites", "is_active",
                                    "closes_at", "slip_sets_password", "directory", "is_break_glass", "email"])  # fmt: skip
def test_nothing_of_the_account_itself_is_its_owners_to_write(me, column):
    values = {
        "roles": ["admin"],
        "sites": ["02"],
        "is_active": False,
        "is_break_glass": True,
        "slip_sets_password": True,
        "patient_id": uuid4(),
        "referrer_id": uuid4(),
        "closes_at": me.test.clock.at,
    }
    with pytest.raises(RuntimeError, match="tried to change"):
        with me.test.house.work(me.actor) as work, work.act(Permission.ACCOUNT_SELF, Subject("person")):
            setattr(work.get(Person, me.id), column, values.get(column, "other"))


@pytest.mark.parametrize(
    "column", ["stage", "ends_at", "seen_at", "person_id", "channel", "is_away", "method"]
)
def test_a_session_is_ended_and_not_rewritten_by_its_owner(me, column):
    values = {
        "ends_at": me.test.clock.at + timedelta(days=9),
        "seen_at": me.test.clock.at,
        "person_id": uuid4(),
    }
    me.test.clock.pass_(seconds=5)
    with pytest.raises(RuntimeError, match="tried to change"):
        with me.test.house.work(me.actor) as work, work.act(Permission.ACCOUNT_SELF, Subject("person")):
            row = work.get(SignInSession, me.actor.session or uuid4())
            setattr(row, column, values.get(column, True if column == "is_away" else "x"))


def test_no_row_is_added_for_somebody_else_nor_any_of_another_table(me, shared_house):
    other, now = visitor(shared_house), me.test.clock.at
    theirs = other.actor.session
    rows = [
        lambda: RecoveryCode(id=uuid4(), origin="01", person_id=other.id, code_hash=uuid4().hex, made_at=now),
        lambda: SecurityKey(id=uuid4(), origin="01", person_id=other.id, credential_id=b"x", public_key=b"x", sign_count=0,
                            name="x", transports=[], made_at=now),
        lambda: StepUp(id=uuid4(), session_id=theirs, purpose="factors", method="code", proved_at=now),
        lambda: Challenge(id=uuid4(), session_id=theirs, purpose="sign-in", challenge=b"x", ends_at=now),
        lambda: Alert(id=uuid4(), origin="01", kind="guessing", sentence="x", about=str(other.id), at=now),
        lambda: SignInSession(id=uuid4(), token_hash="x", person_id=me.id, stage="open", from_address="", begun_at=now,
                              seen_at=now, ends_at=now + timedelta(days=9)),
    ]  # fmt: skip
    for row in rows:
        with pytest.raises(RuntimeError, match="tried to add"):
            with me.test.house.work(me.actor) as work, work.act(Permission.ACCOUNT_SELF, Subject("person")):
                work.db.add(row())
    assert {Person, SignInSession, SecurityKey, RecoveryCode, Challenge, StepUp} == set(TENDED)


def test_a_first_half_is_nobody_who_could_change_a_factor(me):
    half = me.half()
    assert me.behind(half, channel="gateway") is None
    with pytest.raises(Denied):
        me.asks(sessions.rotate, channel="gateway", token=half)
