"""Signing in: a password, then a second factor, then a session. Each half has its own token, kept as a hash.

Every refusal of the first half says one sentence, costs one argon2 or one question to the directory, and keeps its true
reason for the record. A wrong password never opens anything, whether the directory answers or not.

Strangers who guess make an account rest everywhere but where its owner signed in lately: there it has tries of its own
(docs/decisions/085-directory.md). The sealed account never rests, since 80 random bits are not guessed and it must open
on the day of an attack; what counts an address, or everybody, counts for it, too.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import select

from core import factors, limits
from core.alerts import raise_alert
from core.errors import Away, Denied, Outside, Refused, WrongAnswer
from core.factors import end_sessions_of
from core.groups import roles_for
from core.limits import Limit
from core.people import OUTSIDE, by_login, fold, new_person, own_tries, set_roles
from core.ports.directory import LONGEST_LOGIN, LONGEST_PASSWORD, AccountState, Answer, Entry, Verdict
from core.ports.oidc import PUBLIC as UNPROVEN
from core.ports.oidc import Claims
from core.rules.access import Bounds
from core.rules.logins import problem_of
from core.rules.roles import Permission, Role, Scope
from core.store.model import Person, SignInSession
from core.store.work import Actor, Subject, Work
from core.tokens import Unsealable, hash_token, new_token, seal, unseal

WRONG = (
    "That did not match. Check the name and the password, and try again. "
    "After a few wrong tries an account rests for up to half an hour."
)
TOO_LONG = "Sign in again: that took too long."
_PASSWORD_STAGE = timedelta(minutes=5)
_REST = timedelta(minutes=15)
# Longer than the half hour in which Active Directory forgets wrong tries: rounds of guessing here never add up there.
_DIRECTORY_REST = timedelta(minutes=31)
_ADDRESS = Limit(most=20, window=timedelta(minutes=10), rest=timedelta(minutes=10))
_EVERYBODY = Limit(most=200, window=timedelta(minutes=10), rest=timedelta(minutes=5))
_KNOWN_ADDRESS = timedelta(days=30)
# What an account of the directory has left for its owner's own addresses, all together, while strangers made it rest.
_DIRECTORY_RESERVE = 1
_COUNTED, _IN_RESERVE = "counted", "in reserve"
_AWAY_TRIES = 5
_CLOCKS_DIFFER = timedelta(minutes=5)
# The door asks at most every half minute (console.door), so that five minutes are never passed.
_CHECK_EVERY = timedelta(minutes=4, seconds=30)
_BREAK_GLASS = timedelta(hours=1)
GATEWAY = "gateway"


@dataclass(frozen=True)
class SecondHalf:
    """What can answer the second question. needs_reason: this is the break-glass account."""

    login: str
    code: bool
    key: bool
    recovery: bool
    needs_reason: bool


@dataclass(frozen=True)
class SessionCard:
    """A browser signed in: whose, from where, how, since when. is_mine: the one that asks."""

    id: UUID
    person_id: UUID
    name: str
    from_address: str
    channel: str
    method: str
    is_away: bool
    begun_at: datetime
    seen_at: datetime
    ends_at: datetime
    is_mine: bool


@dataclass(frozen=True)
class SignIn:
    """One time that somebody signed in, and how that session ended. reason: why the sealed account was used."""

    at: datetime
    from_address: str
    method: str
    is_away: bool
    reason: str
    ends_at: datetime
    ended_at: datetime | None
    ended_why: str


@dataclass(frozen=True)
class HalfSignIn:
    """One time that the password was right, and the second question was not answered in time."""

    at: datetime
    from_address: str
    channel: str


@dataclass(frozen=True)
class _Seen:
    """What is known of a login before its password is looked at."""

    person_id: UUID | None = None
    login: str = ""
    directory: str = ""
    verifier: str = field(default="", repr=False)
    away_verifier: str = field(default="", repr=False)
    rests: str = ""


@dataclass(frozen=True)
class _Word:
    """What was said of the password. outcome: right, wrong, refused, rests, away, away-right, away-wrong."""

    outcome: str
    reason: str = ""
    entry: Entry | None = None
    verifier: str = field(default="", repr=False)
    is_counted: bool = False  # as a wrong one, before the directory was asked
    in_reserve: bool = False  # at home, while strangers made the account rest


# The first half -------------------------------------------------------------------------------------------------


def check_password(work: Work, *, login: str, password: str) -> str:
    """First half of signing in: a token for the second half, valid five minutes. Raises WrongAnswer.

    The password is checked between two transactions: it takes long on purpose, or asks a server elsewhere.
    """
    with work.look(Permission.SIGN_IN):
        seen = _look_for(work, login)
    word = _ask(work, login, password, seen)
    # What was typed for an unknown login may be a password in the wrong field: it does not go on record.
    with work.act(Permission.SIGN_IN, Subject("login", seen.login or "unknown")) as facts:
        facts |= {"stage": "password", "door": work.actor.channel}
        person = _person_behind(work, seen, word)
        # Asked once more: of many guesses sent at the same moment, all were begun before the first was counted.
        why = _why_not(work, seen, word, person) or ("address-rests" if address_rests(work) else "")
        if person is not None:
            facts["person"] = person.id
        if why:
            facts |= {"why": why} | ({"directory": word.reason} if word.reason else {})
            _count(work, login, word, person)
            raise WrongAnswer(WRONG)
        if person is None:
            person = _newcomer(work, word.entry)
        _remember(work, person, word, login)
        facts |= {"person": person.id, "roles": person.roles}
        if word.outcome == "away-right":
            facts["away"] = True
        return _new_session(
            work, person, stage="password", lasts=_PASSWORD_STAGE, is_away=word.outcome == "away-right"
        )


def check_identity(work: Work, claims: Claims) -> tuple[str, bool]:
    """Single sign-on in place of the password: a token, and whether it is the session already.

    It is when the provider vouches for a second factor; otherwise it stands for the first half. Raises WrongAnswer.
    """
    with work.act(Permission.SIGN_IN, Subject("login", "single sign-on")) as facts:
        facts |= {"stage": "sso", "door": work.actor.channel, "issuer": claims.issuer}
        key = hashlib.sha256(f"{claims.issuer}|{claims.subject}".encode()).hexdigest()
        person = work.db.scalars(
            select(Person).where(Person.directory == "sso", Person.directory_id == key).with_for_update()
        ).one_or_none()
        entry = Entry(key, claims.login, claims.name, claims.email, groups=frozenset(claims.groups))
        why = _why_not(work, _Seen(), _Word("right", entry=entry), person)
        if why:
            facts["why"] = why
            raise WrongAnswer("Your account there opens nothing here. Ask your practice's admin.")
        person = person or _newcomer(work, entry, directory="sso")
        _remember(work, person, _Word("right", entry=entry), "")
        facts |= {"person": person.id, "roles": person.roles}
        if claims.has_second_factor:
            return _open(work, person, method="sso", facts=facts), True
        return _new_session(work, person, stage="password", lasts=_PASSWORD_STAGE), False


def note_unproven(work: Work, *, reason: str, detail: str = "") -> None:
    """Single sign-on proved nobody: on record with its reason (core.ports.oidc.Reason). Always raises WrongAnswer.

    It is not counted as a guess: whoever presses Cancel at the provider comes by here, too.
    """
    with work.act(Permission.SIGN_IN, Subject("login", "single sign-on")) as facts:
        facts |= {"stage": "sso", "door": work.actor.channel, "why": reason} | (
            {"detail": detail} if detail else {}
        )
        raise WrongAnswer(UNPROVEN)


# The second half ------------------------------------------------------------------------------------------------


def second_half(work: Work, *, token: str) -> SecondHalf:
    """What this first half can be completed with. Raises Denied when it is over."""
    with work.look(Permission.SIGN_IN):
        session = _first_half(work, token)
        person = work.get(Person, session.person_id)
        proofs = factors.factors_of(work, person)
        return SecondHalf(
            person.login, proofs.code, bool(proofs.keys), proofs.recovery_codes > 0, person.is_break_glass
        )


def check_code(work: Work, *, token: str, code: str, reason: str = "") -> str:
    """Second half by a code of the app: the session's token, a new one. Raises WrongAnswer, or Denied when too late."""
    with work.act(Permission.SIGN_IN, Subject("login")) as facts:
        session, person = _second(work, token, facts, reason)
        factors.check_code(work, person, code)
        return _exchange(work, session, person, method="code", facts=facts, reason=reason)


def check_recovery(work: Work, *, token: str, code: str, reason: str = "") -> str:
    """Second half by one of the recovery codes, which is used up. Raises WrongAnswer or Denied."""
    with work.act(Permission.SIGN_IN, Subject("login")) as facts:
        session, person = _second(work, token, facts, reason)
        facts["left"] = factors.check_recovery(work, person, code)
        return _exchange(work, session, person, method="recovery", facts=facts, reason=reason)


def ask_key(work: Work, *, token: str, origin: str) -> dict[str, Any]:
    """Options for touching a key in place of a code, as JSON for the browser. Raises Denied or Refused."""
    with work.tend(Permission.SIGN_IN):
        session = _first_half(work, token)
        return factors.key_options(
            work, session.id, work.get(Person, session.person_id), purpose="sign-in", origin=origin
        )


def check_key(work: Work, *, token: str, answer: dict[str, Any], origin: str, reason: str = "") -> str:
    """Second half by a passkey or security key. Raises WrongAnswer or Denied."""
    with work.act(Permission.SIGN_IN, Subject("login")) as facts:
        session, person = _second(work, token, facts, reason)
        factors.check_key(work, session.id, person, purpose="sign-in", answer=answer, origin=origin)
        return _exchange(work, session, person, method="key", facts=facts, reason=reason)


# Sessions -------------------------------------------------------------------------------------------------------


def actor_of(work: Work, *, token: str, channel: str, address: str = "") -> Actor | None:
    """The actor behind a session token, or None when it is unknown, ended, idle too long, or the person is out."""
    with work.look(Permission.SIGN_IN):
        session = _session(work, token)
        if session is None or session.stage != "open" or (session.channel == GATEWAY) != (channel == GATEWAY):
            return None
        person = work.db.get(Person, session.person_id)
        if person is None or not _may_stay(work, person):
            return None
        roles = frozenset(Role(r) for r in person.roles)
        if bool(roles & set(OUTSIDE)) != (channel == GATEWAY):
            return None  # What somebody is may change while they are signed in; a session stays at its door.
        bounds = Bounds(Scope(person.scope) if person.scope else None, frozenset(person.sites), person.patient_id,
                        person.referrer_id, session.is_away)  # fmt: skip
        return Actor(str(person.id), person.name, roles, channel, address, session.id, bounds=bounds)


def recheck(work: Work, *, token: str) -> None:
    """Ask the directory again about the person behind a session, when five minutes have passed since it last said yes.

    Out there is out here: disabled, expired or without a group that gives a role ends every session, and so does a
    password set since. A session of a time when the directory was away is asked about until it answers.
    """
    with work.look(Permission.SIGN_IN):
        session = _session(work, token)
        person = work.db.get(Person, session.person_id) if session else None
        if session is None or person is None or not _is_due(work, session, person):
            return
        person_id, entry_id, directory = person.id, person.directory_id or "", work.ports.directory
    try:
        entry = directory.look_up(entry_id)
    except Outside:
        # Away, or it refuses our own account: nobody can say anything of this person now.
        return
    with work.look(Permission.SIGN_IN):
        news = _news(work, work.get(Person, person_id), entry)
    if not news:
        with work.tend(Permission.SIGN_IN):
            work.get(Person, person_id, lock=True).checked_at = work.now()
        return
    with work.act(Permission.SIGN_IN, Subject("person", str(person_id))) as facts:
        person = work.get(Person, person_id, lock=True)
        facts |= {"stage": "directory", "person": person.id, "why": news}
        if news == "roles":
            facts |= {"before": person.roles, "after": list(roles_for(work, entry.groups))}
            _take_over(work, person, entry)
        else:
            facts["sessions"] = end_sessions_of(work, person, why=news)
            person.away_until = None
            if news == "no group gives a role" and entry is not None:
                # Who was an admin there is none here any more, and does not count as one.
                _take_over(work, person, entry)
        person.checked_at = work.now()


def keep_awake(work: Work, *, token: str) -> None:
    """Note that the session is in use. Called at most once a minute, since it takes the writer's lock."""
    with work.tend(Permission.SIGN_IN):
        if session := _session(work, token):
            session.seen_at = work.now()


def rotate(work: Work, *, token: str) -> str:
    """A new token for the same session at a rise in rights; the old one is dead at once (ASVS 5.0, 7.2.4). Raises Denied."""
    with work.act(Permission.SIGN_IN, Subject("session")) as facts:
        session = _session(work, token, lock=True)
        gateway = work.actor.channel == GATEWAY
        if session is None or session.stage != "open" or (session.channel == GATEWAY) != gateway:
            raise Denied("Sign in first.")
        facts |= {"stage": "rotated", "person": session.person_id, "session": session.id}
        fresh = new_token(work)
        session.token_hash, session.seen_at = hash_token(fresh), work.now()
        return fresh


def sign_out(work: Work, *, token: str) -> None:
    """End this session; an unknown token is no error, and leaves no entry."""
    with work.look(Permission.SIGN_IN):
        known = _session(work, token)
    if known is None:
        return
    with work.act(Permission.SIGN_IN, Subject("session", str(known.id))) as facts:
        facts |= {"stage": "out", "person": known.person_id}
        if session := _session(work, token):
            session.ended_at, session.ended_why = work.now(), "signed out"


def end_session(work: Work, session_id: UUID) -> None:
    """An admin ends somebody's session: it is over at that browser's next step."""
    with work.act(Permission.PEOPLE_MANAGE, Subject("session", str(session_id))) as facts:
        session = work.get(SignInSession, session_id, what="session")
        if session.ended_at is None:
            session.ended_at, session.ended_why = work.now(), "ended by an admin"
        facts["person"] = session.person_id


def end_my_session(work: Work, session_id: UUID) -> None:
    """End another session of one's own: the browser that was left open elsewhere."""
    with work.act(Permission.ACCOUNT_SELF, Subject("session", str(session_id))) as facts:
        session = work.get(SignInSession, session_id, what="session")
        if session.person_id != work.actor.person:
            raise Denied("Only one's own sessions.")
        if session.ended_at is None:
            session.ended_at, session.ended_why = work.now(), "ended by its owner"
        facts["person"] = session.person_id


def end_my_other_sessions(work: Work) -> int:
    """End every session of one's own but the one that asks (ASVS 5.0, 7.4.3); how many there were."""
    with work.act(Permission.ACCOUNT_SELF, Subject("person", work.actor.id)) as facts:
        if work.actor.session is None:
            raise Denied("Sign in first.")
        me = work.get(Person, work.actor.person, lock=True)
        facts["sessions"] = end_sessions_of(work, me, why="ended by its owner", but=work.actor.session)
        return facts["sessions"]


def sessions(work: Work, *, person_id: UUID | None = None) -> tuple[SessionCard, ...]:
    """Open sessions, newest first: everyone's, or one person's."""
    with work.look(Permission.PEOPLE_SEE):
        return _open_sessions(work, person_id)


def my_sessions(work: Work) -> tuple[SessionCard, ...]:
    """One's own open sessions, newest first."""
    with work.look(Permission.ACCOUNT_SELF):
        return _open_sessions(work, work.actor.person)


def my_sign_ins(work: Work, *, size: int = 10) -> tuple[SignIn, ...]:
    """When and from where this account was signed in, newest first: its owner sees what was not them."""
    with work.look(Permission.ACCOUNT_SELF):
        return _sign_ins(work, work.actor.person, size)


def my_half_sign_ins(work: Work, *, size: int = 5) -> tuple[HalfSignIn, ...]:
    """When and from where this account's password was right and no second factor followed, newest first.

    Its owner alone can tell a password that somebody else knows from a phone that was not at hand.
    """
    with work.look(Permission.ACCOUNT_SELF):
        query = select(SignInSession).where(
            SignInSession.person_id == work.actor.person, SignInSession.stage == "password",
            SignInSession.ended_why != "exchanged", SignInSession.ends_at <= work.now(),
        ).order_by(SignInSession.begun_at.desc()).limit(size)  # fmt: skip
        return tuple(HalfSignIn(s.begun_at, s.from_address, s.channel) for s in work.db.scalars(query))


def sign_ins(work: Work, person_id: UUID, *, size: int = 10) -> tuple[SignIn, ...]:
    """When and from where somebody signed in, newest first."""
    with work.look(Permission.PEOPLE_SEE):
        return _sign_ins(work, person_id, size)


def _sign_ins(work: Work, person_id: UUID, size: int) -> tuple[SignIn, ...]:
    query = select(SignInSession).where(SignInSession.person_id == person_id, SignInSession.stage == "open")
    return tuple(
        SignIn(s.begun_at, s.from_address, s.method, s.is_away, s.reason, s.ends_at, s.ended_at, s.ended_why)
        for s in work.db.scalars(query.order_by(SignInSession.begun_at.desc()).limit(size))
    )


# For sibling verbs inside their own gate --------------------------------------------------------------------------


def password_of(work: Work, person_id: UUID, password: str) -> bool:
    """Whether this is the person's password now; asks argon2 or the directory, outside any transaction. Raises Away.

    A try in the directory is counted here, and forgiven when it was right; the caller counts those of local accounts.
    """
    with work.look(Permission.SIGN_IN):
        person = work.get(Person, person_id)
        local, entry_id, verifier = (
            person.directory == "local",
            person.directory_id or "",
            person.password_hash,
        )
    if local or work.ports.directory is None:
        return work.ports.accounts.password_is_right("", password, verifier=verifier)
    entry = work.ports.directory.look_up(entry_id)
    if entry is None or not password or len(password) > LONGEST_PASSWORD:
        return False
    counted = _count_ahead(work, entry)
    if not counted:
        return False
    if work.ports.directory.password_is_right(entry, password).verdict is not Verdict.RIGHT:
        return False
    with work.house.work(work.actor) as after, after.tend(Permission.SIGN_IN):
        _forgive(after, after.get(Person, person_id, lock=True), ends_rest=counted == _COUNTED)
    return True


def count_wrong_password(work: Work, person: Person) -> None:
    """One more wrong password of this account; the last one of a few begins its rest."""
    if person.locked_until is not None and person.locked_until > work.now():
        return
    person.wrong_answers += 1
    if person.wrong_answers >= _tries(work, of_directory=person.directory == "directory"):
        rest = _DIRECTORY_REST if person.directory == "directory" else _REST
        person.wrong_answers, person.locked_until = 0, work.now() + rest


def _tries(work: Work, *, of_directory: bool) -> int:
    """Wrong passwords before an account rests; of the directory's, those for its owner's addresses are kept back."""
    tries: int = work.rule("sign_in_tries")
    return max(1, tries - _DIRECTORY_RESERVE) if of_directory else tries


def address_rests(work: Work) -> bool:
    """True while nothing is taken from this address."""
    return limits.rests(work, _address(work))


def count_wrong_at_door(work: Work) -> None:
    """One more wrong answer from this address, and in all; a rest that begins is an alert."""
    if limits.count_wrong(work, _address(work), _ADDRESS):
        raise_alert(
            work,
            "guessing",
            f"Many wrong sign-ins came from {work.actor.address or 'one address'}: it rests for ten minutes.",
        )
    if limits.count_wrong(work, _everybody(work), _EVERYBODY):
        raise_alert(work, "guessing", "Very many wrong sign-ins came from everywhere: for five minutes only addresses that "
                    "staff used before are heard.")  # fmt: skip


# Inside: the password -------------------------------------------------------------------------------------------


def _look_for(work: Work, login: str) -> _Seen:
    person = _by_any_spelling(work, login)
    # The patients' door lies on the internet: nobody there may use up the tries of a member of staff. What somebody of
    # the directory is, the directory says; while it is away nothing opens for them here.
    strays = person is not None and work.actor.channel == GATEWAY and not _is_right_door(work, person.roles)
    rests = ""
    if address_rests(work):
        rests = "address-rests"
    elif limits.rests(work, _everybody(work)) and not _is_known_address(work):
        rests = "everybody-rests"
    elif strays and person is not None and person.directory != "directory":
        rests = "wrong door"
    elif person is None and limits.rests(work, _unknown(login)):
        rests = "login-rests"
    elif person is not None and _rests(work, person):
        rests = "account-rests"
    if person is None:
        return _Seen(rests=rests)
    cached = (
        person.away_until is not None
        and person.away_until > work.now()
        and person.away_tries < _AWAY_TRIES
        and not strays
    )
    return _Seen(person.id, person.login, person.directory, person.password_hash,
                 _away_verifier(work, person) if cached and person.is_active else "", rests)  # fmt: skip


def _by_any_spelling(work: Work, login: str) -> Person | None:
    """The account of this login; people of the directory are known by DOMAIN\\name and name@domain, too."""
    if len(login) > LONGEST_LOGIN:
        return None
    found = by_login(work, login)
    if found is not None or work.ports.directory is None:
        return found
    bare = by_login(work, login.rpartition("\\")[2].partition("@")[0])
    return bare if bare is not None and bare.directory != "local" else None


def _ask(work: Work, login: str, password: str, seen: _Seen) -> _Word:
    """The word on a password, outside any transaction. What is refused at once costs the same as a wrong one."""
    accounts, directory = work.ports.accounts, work.ports.directory
    if seen.rests:
        accounts.password_is_right("", password, verifier="")
        return _Word("rests", seen.rests)
    if seen.directory in ("local", "sso") or directory is None:
        right = accounts.password_is_right(
            login, password, verifier=seen.verifier if seen.directory == "local" else ""
        )
        fresh = accounts.new_verifier(password) if right and accounts.is_outdated(seen.verifier) else ""
        return _Word("right" if right else "wrong", verifier=fresh)
    if (
        not login.strip()
        or len(login) > LONGEST_LOGIN
        or not password.strip()
        or len(password) > LONGEST_PASSWORD
    ):
        accounts.password_is_right("", "x", verifier="")
        return _Word("wrong", "blank or too long")
    try:
        return _ask_directory(work, login, password)
    except Away:
        right = accounts.password_is_right(login, password, verifier=seen.away_verifier)
        if not seen.away_verifier:
            return _Word("away")
        return _Word("away-right" if right else "away-wrong")
    except Outside as error:
        # It answers, and refuses Sorg's own account: that says nothing of anybody, and the cache is for silence alone.
        accounts.password_is_right("", password, verifier="")
        return _Word("away", error.sentence)


def _ask_directory(work: Work, login: str, password: str) -> _Word:
    accounts, directory = work.ports.accounts, work.ports.directory
    entry = directory.find(login)
    if entry is None:
        accounts.password_is_right("", password, verifier="")
        return _Word("wrong", "not in the directory")
    with work.look(Permission.SIGN_IN):
        known = _by_entry(work, entry)
        if known is not None and _rests(work, known):
            return _Word("rests", "account-rests", entry)
        if known is None and limits.rests(work, f"entry:{entry.id}"):
            return _Word("rests", "account-rests", entry)
        at_wrong_door = not _is_right_door(work, roles_for(work, entry.groups))
    if at_wrong_door and work.actor.channel == GATEWAY:
        accounts.password_is_right("", password, verifier="")
        return _Word("rests", "wrong door", entry)
    counted = _count_ahead(work, entry)
    if not counted:
        return _Word("rests", "account-rests", entry)
    try:
        answer: Answer = directory.password_is_right(entry, password)
    except Away:
        if entry.state is AccountState.OK:
            raise
        # It said no a moment ago; what it said before that opens nothing.
        return _Word("refused", entry.state, entry, is_counted=True)
    if answer.verdict is Verdict.RIGHT:
        return _Word("right", answer.reason, entry, accounts.new_verifier(password), is_counted=True,
                     in_reserve=counted == _IN_RESERVE)  # fmt: skip
    outcome = "refused" if answer.verdict is Verdict.REFUSED else "wrong"
    return _Word(outcome, answer.reason or answer.state, entry, is_counted=True)


def _count_ahead(work: Work, entry: Entry) -> str:
    """Count the try as a wrong one before the directory hears of it, on record at once; empty when that was one too many.

    Of many guesses sent at the same moment all but a few stay here, so that none can use us to lock somebody out of
    Windows. A right answer takes the count away again.
    """
    with work.house.work(work.actor) as ahead, ahead.tend(Permission.SIGN_IN):
        known = _by_entry(ahead, entry, lock=True)
        if known is None:
            if limits.rests(ahead, f"entry:{entry.id}"):
                return ""
            limits.count_wrong(
                ahead,
                f"entry:{entry.id}",
                Limit(_tries(ahead, of_directory=True), _DIRECTORY_REST, _DIRECTORY_REST),
            )
            return _COUNTED
        if _rests(ahead, known):
            return ""
        return _count_try(ahead, known)


def _by_entry(work: Work, entry: Entry, *, lock: bool = False) -> Person | None:
    query = select(Person).where(Person.directory == "directory", Person.directory_id == entry.id)
    return work.db.scalars(query.with_for_update(key_share=True) if lock else query).one_or_none()


def _person_behind(work: Work, seen: _Seen, word: _Word) -> Person | None:
    """The account, locked. By the directory's own id where it gave one: two names of one person are one person."""
    if word.entry is not None:
        return _by_entry(work, word.entry, lock=True)
    return work.get(Person, seen.person_id, lock=True) if seen.person_id else None


def _why_not(work: Work, seen: _Seen, word: _Word, person: Person | None) -> str:
    """The true reason for keeping somebody out, for the record alone; empty when they may go on."""
    if word.outcome not in ("right", "away-right"):
        return word.reason if word.outcome == "rests" and word.reason else word.outcome
    if person is None and word.entry is None:
        return "unknown"
    # A provider has limits of its own: who guesses passwords here must not keep out somebody who has none here.
    if person is not None and person.directory != "sso" and not word.is_counted and _rests(work, person):
        return "account-rests"
    if person is not None and not person.is_active:
        return "shut out"
    if person is not None and person.closes_at is not None and person.closes_at <= work.now():
        return "closed"
    if person is not None and person.directory == "directory" and person.slip_sets_password:
        return "new password waits for its slip"
    if (
        person is not None
        and word.outcome == "right"
        and word.entry is None
        and person.password_hash != seen.verifier
    ):
        return "password changed meanwhile"
    roles = tuple(person.roles) if person is not None and word.entry is None else ()
    if word.entry is not None:
        if word.entry.state is not AccountState.OK:
            return str(word.entry.state)
        roles = roles_for(work, word.entry.groups)
        if not roles:
            return "no group gives a role"
        if person is None and (
            problem_of(word.entry.login) is not None or by_login(work, word.entry.login) is not None
        ):
            return "login taken by another account"
    if set(roles) & set(OUTSIDE) and (person is None or not (person.patient_id or person.referrer_id)):
        return "not bound to a patient or doctor"
    return "" if _is_right_door(work, roles) else "wrong door"


def _is_right_door(work: Work, roles: Iterable[str]) -> bool:
    """Patients and referring doctors sign in at the gateway, everybody else at the console."""
    return bool(set(roles) & set(OUTSIDE)) == (work.actor.channel == GATEWAY)


def _everybody(work: Work) -> str:
    """Guessing at one door shuts that door alone: a flood from the internet must not keep staff out."""
    return f"everybody:{GATEWAY}" if work.actor.channel == GATEWAY else "everybody"


def _count(work: Work, login: str, word: _Word, person: Person | None) -> None:
    # While the directory is away nothing is answered, so nothing is guessed; and a practice full of staff who try must
    # not close the door to the one account that still opens.
    if word.outcome in ("rests", "away"):
        return
    count_wrong_at_door(work)
    if word.outcome == "away-wrong" and person is not None:
        person.away_tries += 1
    if word.is_counted or word.outcome not in ("wrong", "away-wrong"):
        return
    tries = Limit(work.rule("sign_in_tries"), _REST, _REST)
    if person is not None:
        _count_try(work, person)
    else:
        limits.count_wrong(work, _unknown(login), tries)


def _unknown(login: str) -> str:
    return "login:" + hashlib.sha256(fold(login[:LONGEST_LOGIN]).encode("utf-8", "replace")).hexdigest()[:32]


def _rests(work: Work, person: Person) -> bool:
    """True while no password of this account is tried from this address."""
    if person.is_break_glass:
        return False
    everywhere = _rests_everywhere(work, person)
    if not _is_at_home(work, person):
        return everywhere
    return (everywhere or person.directory == "local") and limits.rests(work, _at_home(work, person))


def _count_try(work: Work, person: Person) -> str:
    """One more wrong password at the door, of this account and from this address.

    A local account counts strangers and its owner's addresses apart. Of the directory's, all that is passed on counts
    together, and its owner's addresses have a few tries more than strangers; each of them prolongs the rest, so that the
    directory, too, has forgotten every one when it ends.
    """
    if person.is_break_glass:
        return _COUNTED
    at_home = _is_at_home(work, person)
    if person.directory == "local" and at_home:
        limits.count_wrong(work, _at_home(work, person), Limit(work.rule("sign_in_tries"), _REST, _REST))
    elif at_home and _rests_everywhere(work, person):
        limits.count_wrong(
            work, _at_home(work, person), Limit(_DIRECTORY_RESERVE, _DIRECTORY_REST, _DIRECTORY_REST)
        )
        person.locked_until = work.now() + _DIRECTORY_REST
        return _IN_RESERVE
    else:
        count_wrong_password(work, person)
    return _COUNTED


def _forgive(work: Work, person: Person, *, ends_rest: bool) -> None:
    """The password was right: what was counted is forgotten. ends_rest: the try itself had begun it, ahead of the answer."""
    if _is_at_home(work, person):
        limits.lift(work, _at_home(work, person))
    person.wrong_answers = 0
    if ends_rest:
        person.locked_until = None


def _rests_everywhere(work: Work, person: Person) -> bool:
    return person.locked_until is not None and person.locked_until > work.now()


def _is_at_home(work: Work, person: Person) -> bool:
    """True where this person signed in, both halves, during the last thirty days."""
    if not work.actor.address:
        return False
    query = select(SignInSession.id).where(
        SignInSession.person_id == person.id, SignInSession.from_address == work.actor.address[:64],
        SignInSession.stage == "open", SignInSession.begun_at > work.now() - _KNOWN_ADDRESS,
    )  # fmt: skip
    return work.db.scalars(query.limit(1)).first() is not None


def _at_home(work: Work, person: Person) -> str:
    """The key of what is counted there; the directory knows no addresses, so all of them are one for its people."""
    return f"{own_tries(person.id)}{work.actor.address[:50] if person.directory == 'local' else 'home'}"


def _address(work: Work) -> str:
    return f"address:{work.actor.address[:64]}"


def _is_known_address(work: Work) -> bool:
    query = select(SignInSession.id).where(
        SignInSession.from_address == work.actor.address, SignInSession.stage == "open",
        SignInSession.begun_at > work.now() - _KNOWN_ADDRESS,
    )  # fmt: skip
    return work.db.scalars(query.limit(1)).first() is not None


def _newcomer(work: Work, entry: Entry | None, *, directory: str = "directory") -> Person:
    """Somebody of the directory comes for the first time: their groups say what they are."""
    if entry is None:
        raise WrongAnswer(WRONG)
    account = {"login": entry.login, "name": (entry.name or entry.login)[:120], "roles": list(roles_for(work, entry.groups)),
               "email": entry.email[:120]}  # fmt: skip
    return new_person(work, account, directory=directory, directory_id=entry.id)


def _remember(work: Work, person: Person, word: _Word, login: str) -> None:
    # What opened while the directory was away, the directory never heard: its own count goes on, and so does ours.
    if word.outcome == "right":
        person.away_tries = 0
        _forgive(work, person, ends_rest=word.is_counted and not word.in_reserve)
    if word.verifier and word.entry is None:
        person.password_hash = word.verifier
    if word.entry is None:
        return
    _take_over(work, person, word.entry)
    if word.verifier:
        person.away_until = work.now() + work.rule("away_lasts")
        box = seal(work, word.verifier, bound_to=_away_of(person))
        person.away_hash = base64.b64encode(box).decode()
    limits.forget(work, f"entry:{word.entry.id}")


def _away_verifier(work: Work, person: Person) -> str:
    """The verifier for when the directory is away; empty when it was made for another row, or for another day."""
    try:
        return unseal(work, base64.b64decode(person.away_hash, validate=True), bound_to=_away_of(person))
    except (Unsealable, ValueError):
        return ""


def _away_of(person: Person) -> str:
    until_s = int(person.away_until.timestamp()) if person.away_until else 0
    return f"away|{person.id}|{until_s}"


def _take_over(work: Work, person: Person, entry: Entry) -> None:
    """What the directory says of a person holds here: name, e-mail, groups, and the roles that those give."""
    person.name, person.email = (entry.name or person.name)[:120], entry.email[:120]
    login = fold(entry.login)
    # Under the new login they come in while the directory is away, and the old one is free for somebody else.
    if (
        person.directory == "directory"
        and login != person.login
        and problem_of(login) is None
        and by_login(work, login) is None
    ):
        person.login = login
    person.groups = sorted(entry.groups)
    set_roles(work, person, roles_for(work, entry.groups))
    person.password_set_at, person.checked_at = entry.password_set_at, work.now()


# Inside: sessions -----------------------------------------------------------------------------------------------


def _may_stay(work: Work, person: Person) -> bool:
    return (
        person.is_active
        and bool(person.roles)
        and (person.closes_at is None or person.closes_at > work.now())
    )


def _is_due(work: Work, session: SignInSession, person: Person) -> bool:
    if person.directory != "directory" or work.ports.directory is None or session.stage != "open":
        return False
    if person.checked_at is None or (session.is_away and person.checked_at < session.begun_at):
        return True
    return person.checked_at + _CHECK_EVERY <= work.now()


def _news(work: Work, person: Person, entry: Entry | None) -> str:
    """What changed in the directory: gone, an account state, password set, no role, roles; empty for nothing."""
    if entry is None:
        return "gone from the directory"
    if entry.state is not AccountState.OK:
        return str(entry.state)
    if entry.password_set_at and person.password_set_at and entry.password_set_at > person.password_set_at:
        return "password set anew"
    roles = roles_for(work, entry.groups)
    if not roles:
        return "no group gives a role"
    return "roles" if sorted(roles) != sorted(person.roles) else ""


def _session(work: Work, token: str, *, lock: bool = False) -> SignInSession | None:
    query = select(SignInSession).where(SignInSession.token_hash == hash_token(token))
    found = work.db.scalars(query.with_for_update() if lock else query).one_or_none()
    now = work.now()
    if (
        found is None
        or found.ended_at
        or found.ends_at <= now
        or found.seen_at + work.rule("session_idle") <= now
        or found.seen_at > now + _CLOCKS_DIFFER  # the clock was put back: nobody can say how long it idled
    ):
        return None
    return found


def _first_half(work: Work, token: str, *, lock: bool = False) -> SignInSession:
    session = _session(work, token, lock=lock)
    gateway = work.actor.channel == GATEWAY
    if session is None or session.stage != "password" or (session.channel == GATEWAY) != gateway:
        raise Denied(TOO_LONG)
    return session


def _second(work: Work, token: str, facts: dict[str, Any], reason: str) -> tuple[SignInSession, Person]:
    session = _first_half(work, token, lock=True)
    person = work.get(Person, session.person_id, lock=True)
    facts |= {"stage": "second", "person": person.id}
    if not _may_stay(work, person):
        raise Denied(TOO_LONG)
    if person.is_break_glass and len(reason.strip()) < 10:
        raise Refused("Write why the sealed account is used: it stays on record.")
    return session, person


def _exchange(work: Work, session: SignInSession, person: Person, *, method: str, facts: dict[str, Any],
              reason: str) -> str:  # fmt: skip
    session.ended_at, session.ended_why = work.now(), "exchanged"
    return _open(work, person, method=method, facts=facts, reason=reason, is_away=session.is_away)


def _open(work: Work, person: Person, *, method: str, facts: dict[str, Any], reason: str = "",
          is_away: bool = False) -> str:  # fmt: skip
    """The session itself: a token that was never seen before."""
    facts["method"] = method
    person.last_sign_in_at = work.now()
    lasts: timedelta = work.rule("session_lasts")
    if person.is_break_glass:
        lasts, reason = _BREAK_GLASS, reason.strip()[:300]
        # It opens once: an hour later it is shut, until it is sealed anew.
        person.closes_at = person.closes_at or work.now() + _BREAK_GLASS
        facts["reason"] = reason
        raise_alert(
            work, "break-glass", f"The sealed account {person.login} was used: {reason}", about=person.id
        )
    return _new_session(work, person, stage="open", lasts=lasts, method=method, reason=reason if person.is_break_glass else "",
                        is_away=is_away)  # fmt: skip


def _new_session(work: Work, person: Person, *, stage: str, lasts: timedelta, method: str = "", reason: str = "",
                 is_away: bool = False) -> str:  # fmt: skip
    token, now = new_token(work), work.now()
    work.db.add(
        SignInSession(
            id=work.new_id(),
            token_hash=hash_token(token),
            person_id=person.id,
            stage=stage,
            from_address=work.actor.address[:64],
            begun_at=now,
            seen_at=now,
            ends_at=now + lasts,
            channel=GATEWAY if work.actor.channel == GATEWAY else "console",
            method=method,
            is_away=is_away,
            reason=reason,
            ended_why="",
        )  # fmt: skip
    )
    return token


def _open_sessions(work: Work, person_id: UUID | None) -> tuple[SessionCard, ...]:
    query = select(SignInSession, Person.name).join(Person, Person.id == SignInSession.person_id).where(
        SignInSession.ended_at.is_(None), SignInSession.stage == "open", SignInSession.ends_at > work.now(),
        SignInSession.seen_at > work.now() - work.rule("session_idle"))  # fmt: skip
    if person_id:
        query = query.where(SignInSession.person_id == person_id)
    rows = work.db.execute(query.order_by(SignInSession.begun_at.desc()).limit(200))
    return tuple(
        SessionCard(s.id, s.person_id, name, s.from_address, s.channel, s.method, s.is_away, s.begun_at, s.seen_at, s.ends_at,
                    s.id == work.actor.session)
        for s, name in rows
    )  # fmt: skip
