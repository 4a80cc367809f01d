"""Signing in: a password, then a second factor, then a session. Each half has its own token, kept as a hash.

Every refusal of the first half says one sentence, costs one argon2 or one question to the directory, and keeps its true
reason for the record. A wrong password never opens anything, whether the directory answers or not.

What is counted where is in core.door_limits, what becomes of a session in core.sessions.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import select

from core import factors
from core.alerts import raise_alert
from core.door_limits import (
    COUNTED,
    GATEWAY,
    IN_RESERVE,
    account_rests,
    address_rests,
    away_rests,
    count_away,
    count_entry,
    count_try,
    count_unknown,
    count_wrong_at_door,
    entry_rests,
    everybody_rests,
    forget_away,
    forget_entry,
    forgive,
    kept_back,
    login_rests,
    take_back_away,
)
from core.errors import Away, Denied, Outside, Refused, WrongAnswer
from core.factors import end_sessions_of
from core.groups import is_password_newer, roles_for, take_over
from core.people import OUTSIDE, by_login, new_person
from core.ports.directory import LONGEST_LOGIN, LONGEST_PASSWORD, AccountState, Answer, Entry, Verdict
from core.ports.oidc import PUBLIC as UNPROVEN
from core.ports.oidc import Claims
from core.rules.logins import problem_of
from core.rules.person_texts import readable
from core.rules.roles import Permission
from core.sessions import may_stay, new_session, session_of
from core.standing import tell_of_admin
from core.store.model import Person, SecurityKey, SignInSession
from core.store.work import Subject, Work
from core.tokens import Unsealable, seal, unseal

WRONG = (
    "That did not match. Check the name and the password, and try again. "
    "After a few wrong tries an account rests, as a rule for up to half an hour."
)
LINK_AWAY = "Single sign-on needs the practice's directory, which does not answer just now. Sign in with your name and password."
TOO_LONG = "Sign in again: that took too long."
_PASSWORD_STAGE = timedelta(minutes=5)
_BREAK_GLASS = timedelta(hours=1)


@dataclass(frozen=True)
class SecondHalf:
    """What can answer the second question. needs_reason: this is the break-glass account."""

    login: str
    code: bool
    key: bool
    recovery: bool
    needs_reason: bool


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
    """What was said of the password. outcome: right, wrong, refused, rests, away, away-right, away-wrong; or linked.

    linked: no password was looked at; single sign-on vouches for a person of the directory.
    """

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
        return new_session(
            work, person, stage="password", lasts=_PASSWORD_STAGE, is_away=word.outcome == "away-right"
        )


def check_identity(work: Work, claims: Claims) -> tuple[str, bool]:
    """Single sign-on in place of the password: a token, and whether it is the session already.

    It is when the provider vouches for a second factor; otherwise it stands for the first half. Who comes with their own
    id in the directory is that person of the directory. Raises WrongAnswer, or Away while the directory cannot say more.
    """
    with work.look(Permission.SIGN_IN):
        directory = work.ports.directory if claims.directory_id else None
    try:
        linked = directory.known_as(claims.directory_id) if directory is not None else None
    except Outside:
        raise Away(LINK_AWAY) from None
    with work.act(Permission.SIGN_IN, Subject("login", "single sign-on")) as facts:
        facts |= {"stage": "sso", "door": work.actor.channel, "issuer": claims.issuer}
        key = hashlib.sha256(f"{claims.issuer}|{claims.subject}".encode()).hexdigest()
        person = earlier = work.db.scalars(
            select(Person).where(Person.directory == "sso", Person.directory_id == key).with_for_update()
        ).one_or_none()
        entry = Entry(key, claims.login, claims.name, claims.email, groups=frozenset(claims.groups))
        word, kept_in, why = _Word("right", entry=entry), "sso", ""
        if directory is not None:
            why = _why_not_linked(work, key, linked, made_earlier=earlier)
            word, kept_in = _Word("linked", entry=linked), "directory"
            person = _by_entry(work, linked, lock=True) if linked is not None else None
        why = why or _why_not(work, _Seen(), word, person)
        if why:
            facts |= {"why": why} | ({"person": person.id} if person is not None else {})
            raise WrongAnswer("Your account there opens nothing here. Ask your practice's admin.")
        person = person or _newcomer(work, word.entry, directory=kept_in)
        _remember(work, person, word, "")
        if word.outcome == "linked":
            person.sso_id, facts["linked"] = key, True
            if earlier is not None:
                end_sessions_of(work, earlier, why="linked to the directory")
        facts |= {"person": person.id, "roles": person.roles}
        if claims.has_second_factor:
            token = _open(work, person, method="sso", facts=facts)
            if (session := session_of(work, token)) is not None:
                factors.vouch(work, session, at=claims.auth_at)
            return token, True
        return new_session(work, person, stage="password", lasts=_PASSWORD_STAGE), False


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
        key = factors.check_key(work, session.id, person, purpose="sign-in", answer=answer, origin=origin)
        return _exchange(work, session, person, method="key", facts=facts, reason=reason, key=key)


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
    with work.look(Permission.SIGN_IN):
        spare = kept_back(work, work.get(Person, person_id), entry)
    if work.ports.directory.password_is_right(entry, password, spare=spare).verdict is not Verdict.RIGHT:
        return False
    with work.house.work(work.actor) as after, after.tend(Permission.SIGN_IN):
        person = after.get(Person, person_id, lock=True)
        forget_away(after, person)
        forgive(after, person, ends_rest=counted == COUNTED)
    return True


# Inside: the password -------------------------------------------------------------------------------------------


def _look_for(work: Work, login: str) -> _Seen:
    person = _by_any_spelling(work, login)
    # The patients' door lies on the internet: nobody there may use up the tries of a member of staff. What somebody of
    # the directory is, the directory says; while it is away nothing opens for them here.
    strays = person is not None and work.actor.channel == GATEWAY and not _is_right_door(work, person.roles)
    rests = ""
    if address_rests(work):
        rests = "address-rests"
    elif everybody_rests(work):
        rests = "everybody-rests"
    elif strays and person is not None and person.directory != "directory":
        rests = "wrong door"
    elif person is None and login_rests(work, login):
        rests = "login-rests"
    elif person is not None and account_rests(work, person):
        rests = "account-rests"
    if person is None:
        return _Seen(rests=rests)
    cached = (
        person.away_until is not None
        and person.away_until > work.now()
        and not away_rests(work, person)
        and not strays
    )
    return _Seen(
        person.id,
        person.login,
        person.directory,
        person.password_hash,
        _away_verifier(work, person) if cached and person.is_active else "",
        rests,
    )


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
        verifier = seen.away_verifier if _count_away_ahead(work, seen) else ""
        right = accounts.password_is_right(login, password, verifier=verifier)
        if not verifier:
            return _Word("away")
        return _Word("away-right" if right else "away-wrong", is_counted=True)
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
        if known is not None and account_rests(work, known):
            return _Word("rests", "account-rests", entry)
        if known is None and entry_rests(work, entry.id):
            return _Word("rests", "account-rests", entry)
        spare = kept_back(work, known, entry)
        at_wrong_door = not _is_right_door(work, roles_for(work, entry.groups))
    if at_wrong_door and work.actor.channel == GATEWAY:
        accounts.password_is_right("", password, verifier="")
        return _Word("rests", "wrong door", entry)
    counted = _count_ahead(work, entry)
    if not counted:
        return _Word("rests", "account-rests", entry)
    try:
        answer: Answer = directory.password_is_right(entry, password, spare=spare)
    except Away:
        if entry.state is AccountState.OK:
            raise
        # It said no a moment ago; what it said before that opens nothing.
        return _Word("refused", entry.state, entry, is_counted=True)
    if answer.verdict is Verdict.RIGHT:
        return _Word(
            "right",
            answer.reason,
            entry,
            accounts.new_verifier(password),
            is_counted=True,
            in_reserve=counted == IN_RESERVE,
        )
    if answer.verdict is Verdict.HELD:
        return _Word("rests", answer.reason, entry, is_counted=True)
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
            if entry_rests(ahead, entry.id):
                return ""
            count_entry(ahead, entry)
            return COUNTED
        if account_rests(ahead, known):
            return ""
        return count_try(ahead, known, entry)


def _count_away_ahead(work: Work, seen: _Seen) -> bool:
    """The same while the directory is away: of many guesses at one moment all but the few that are left stay unread."""
    if seen.person_id is None or not seen.away_verifier:
        return False
    with work.house.work(work.actor) as ahead, ahead.tend(Permission.SIGN_IN):
        person = ahead.get(Person, seen.person_id, lock=True)
        if away_rests(ahead, person):
            return False
        count_away(ahead, person)
        return True


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
    if word.outcome not in ("right", "away-right", "linked"):
        return word.reason if word.outcome == "rests" and word.reason else word.outcome
    if person is None and word.entry is None:
        return "unknown"
    # A provider has limits of its own: who guesses passwords here must not keep out somebody who has none here.
    if (
        person is not None
        and person.directory != "sso"
        and word.outcome != "linked"
        and not word.is_counted
        and account_rests(work, person)
    ):
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


def _why_not_linked(work: Work, key: str, entry: Entry | None, *, made_earlier: Person | None) -> str:
    """Why this identity of the provider is not the person whose id it brings; empty when it may be.

    The first identity that comes with an id keeps it: the id is no secret, and at some providers people write it themselves.
    """
    if entry is None:
        return "directory id unknown"
    if made_earlier is not None and not made_earlier.is_active:
        return "shut out"  # What an admin decided of this identity holds under the other account, too.
    theirs = work.db.scalars(select(Person).where(Person.sso_id == key)).one_or_none()
    if theirs is not None and theirs.directory_id != entry.id:
        return "linked to another person"
    person = _by_entry(work, entry, lock=True)
    if person is not None and person.sso_id not in (None, key):
        raise_alert(
            work,
            "guessing",
            f"A second identity at single sign-on came with the directory's id of {person.name}. It was "
            "refused. If it is theirs, ask for a new second factor: that takes the first one away.",
            about=person.id,
        )
        return "directory id of somebody else"
    return ""


def _is_right_door(work: Work, roles: Iterable[str]) -> bool:
    """Patients and referring doctors sign in at the gateway, everybody else at the console."""
    return bool(set(roles) & set(OUTSIDE)) == (work.actor.channel == GATEWAY)


def _count(work: Work, login: str, word: _Word, person: Person | None) -> None:
    # While the directory is away nothing is answered, so nothing is guessed; and a practice full of staff who try must
    # not close the door to the one account that still opens.
    if word.outcome in ("rests", "away"):
        return
    count_wrong_at_door(work)
    if word.is_counted or word.outcome not in ("wrong", "away-wrong"):
        return
    if person is not None:
        count_try(work, person)
    else:
        count_unknown(work, login)


def _newcomer(work: Work, entry: Entry | None, *, directory: str = "directory") -> Person:
    """Somebody of the directory comes for the first time: their groups say what they are."""
    if entry is None:
        raise WrongAnswer(WRONG)
    account = {
        "login": entry.login,
        "name": readable(entry.name, other=entry.login[:120]),
        "roles": list(roles_for(work, entry.groups)),
        "email": entry.email[:120],
    }
    person = new_person(work, account, directory=directory, directory_id=entry.id)
    tell_of_admin(work, person)
    return person


def _remember(work: Work, person: Person, word: _Word, login: str) -> None:
    # What opened while the directory was away, the directory never heard: its own count goes on, and so does ours.
    if word.outcome == "away-right":
        take_back_away(work, person)
    if word.outcome == "right":
        forget_away(work, person)
        forgive(work, person, ends_rest=word.is_counted and not word.in_reserve)
    if word.verifier and word.entry is None:
        person.password_hash = word.verifier
    if word.entry is None:
        return
    if is_password_newer(word.entry, person):
        # Whoever knew the one before may sit in a window somewhere.
        end_sessions_of(work, person, why="password set anew")
    take_over(work, person, word.entry)
    if word.verifier:
        person.away_until = work.now() + work.rule("away_lasts")
        box = seal(work, word.verifier, bound_to=_away_of(person))
        person.away_hash = base64.b64encode(box).decode()
    if word.outcome == "right":
        forget_entry(work, word.entry.id)


def _away_verifier(work: Work, person: Person) -> str:
    """The verifier for when the directory is away; empty when it was made for another row, or for another day."""
    try:
        return unseal(work, base64.b64decode(person.away_hash, validate=True), bound_to=_away_of(person))
    except (Unsealable, ValueError):
        return ""


def _away_of(person: Person) -> str:
    until_s = int(person.away_until.timestamp()) if person.away_until else 0
    return f"away|{person.id}|{until_s}"


# Inside: the second half ----------------------------------------------------------------------------------------


def _first_half(work: Work, token: str, *, lock: bool = False) -> SignInSession:
    session = session_of(work, token, lock=lock)
    gateway = work.actor.channel == GATEWAY
    if session is None or session.stage != "password" or (session.channel == GATEWAY) != gateway:
        raise Denied(TOO_LONG)
    return session


def _second(work: Work, token: str, facts: dict[str, Any], reason: str) -> tuple[SignInSession, Person]:
    session = _first_half(work, token, lock=True)
    person = work.get(Person, session.person_id, lock=True)
    facts |= {"stage": "second", "person": person.id}
    if not may_stay(work, person):
        raise Denied(TOO_LONG)
    if person.is_break_glass and len(reason.strip()) < 10:
        raise Refused("Write why the sealed account is used: it stays on record.")
    return session, person


def _exchange(
    work: Work,
    session: SignInSession,
    person: Person,
    *,
    method: str,
    facts: dict[str, Any],
    reason: str,
    key: SecurityKey | None = None,
) -> str:
    session.ended_at, session.ended_why = work.now(), "exchanged"
    return _open(work, person, method=method, facts=facts, reason=reason, is_away=session.is_away, key=key)


def _open(
    work: Work,
    person: Person,
    *,
    method: str,
    facts: dict[str, Any],
    reason: str = "",
    is_away: bool = False,
    key: SecurityKey | None = None,
) -> str:
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
    return new_session(
        work,
        person,
        stage="open",
        lasts=lasts,
        method=method,
        reason=reason if person.is_break_glass else "",
        is_away=is_away,
        key=key,
    )
