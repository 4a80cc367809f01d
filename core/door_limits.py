"""What is counted at the doors: wrong answers of an account, of a login that nobody has, of an address, and of everybody.

Strangers who guess make an account rest everywhere but where its owner signed in lately: there it has tries of its own
(docs/decisions/085-directory.md). The sealed account never rests, since 80 random bits are not guessed and it must open
on the day of an attack; what counts an address, or everybody, counts for it, too. Everything here is for verbs inside
their own gate.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import select

from core import limits
from core.alerts import raise_alert
from core.limits import Limit
from core.people import fold, own_tries
from core.ports.directory import LONGEST_LOGIN, Entry, Lockout
from core.rules.addresses import counted_address
from core.store.model import Person, SignInSession
from core.store.work import Work

GATEWAY = "gateway"
_REST = timedelta(minutes=15)
# Longer than the half hour in which Active Directory forgets wrong tries: rounds of guessing here never add up there.
_DIRECTORY_REST = timedelta(minutes=31)
_ADDRESS = Limit(most=20, window=timedelta(minutes=10), rest=timedelta(minutes=10))
_EVERYBODY = Limit(most=200, window=timedelta(minutes=10), rest=timedelta(minutes=5))
_KNOWN_ADDRESS = timedelta(days=30)
# Where the directory forgets nothing and shows nothing: until a right password, an admin, or whoever keeps it.
_FOR_GOOD = timedelta(days=365)
# While the directory is away: wrong passwords of one account from one home of its owner, from all strangers together,
# and in all. They count until the directory itself says that a password is right; what is cached lasts three days.
_AWAY_TRIES, _AWAY_IN_ALL = 5, 20
_AWAY = Limit(_AWAY_TRIES, _FOR_GOOD, _FOR_GOOD)
COUNTED, IN_RESERVE = "counted", "in reserve"


@dataclass(frozen=True)
class TriesThere:
    """How many wrong passwords of one account the directory hears of from us, and how long the account rests then.

    reserve: what is kept for its owner's own addresses, all together, while strangers made it rest.
    """

    strangers: int
    reserve: int
    rest: timedelta


# An account -------------------------------------------------------------------------------------------------------


def account_rests(work: Work, person: Person) -> bool:
    """True while no password of this account is tried from this address."""
    if person.is_break_glass:
        return False
    everywhere = _rests_everywhere(work, person)
    if not _is_at_home(work, person):
        return everywhere
    return (everywhere or person.directory == "local") and limits.rests(work, _at_home(work, person))


def tries_there(work: Work, lockout: Lockout | None, *, is_seen: bool = True) -> TriesThere:
    """Always at least one less than locks an account there. is_seen: the directory shows what it has counted."""
    most: int = work.rule("sign_in_tries")
    rest = _DIRECTORY_REST
    if lockout is not None and lockout.most:
        most = min(most, lockout.most - 1)
        if lockout.window is not None:
            rest = max(rest, lockout.window + timedelta(minutes=1))
        elif not is_seen:
            rest = _FOR_GOOD
    reserve = 1 if most > 1 else 0
    return TriesThere(max(1, most - reserve), reserve, rest)


def kept_back(work: Work, person: Person | None, entry: Entry) -> int:
    """How many tries that the directory counts must be left for the owner's addresses by whoever asks from here."""
    return 0 if person is not None and _is_at_home(work, person) else _there(work, entry).reserve


def count_try(work: Work, person: Person, entry: Entry | None = None) -> str:
    """One more wrong password at the door, of this account and from this address; empty when that is one too many.

    entry: as the directory has it, for how many it takes.

    A local account counts strangers and its owner's addresses apart. Of the directory's, all that is passed on counts
    together, and its owner's addresses have a few tries more than strangers; each of them prolongs the rest, so that the
    directory, too, has forgotten every one when it ends.
    """
    if person.is_break_glass:
        return COUNTED
    at_home = _is_at_home(work, person)
    if person.directory == "local" and at_home:
        limits.count_wrong(work, _at_home(work, person), Limit(work.rule("sign_in_tries"), _REST, _REST))
    elif at_home and _rests_everywhere(work, person):
        there = _there(work, entry)
        if not there.reserve:
            return ""
        limits.count_wrong(work, _at_home(work, person), Limit(there.reserve, there.rest, there.rest))
        person.locked_until = work.now() + there.rest
        return IN_RESERVE
    else:
        count_wrong_password(work, person, entry)
    return COUNTED


def forgive(work: Work, person: Person, *, ends_rest: bool) -> None:
    """The password was right: what was counted is forgotten. ends_rest: the try itself had begun it, ahead of the answer."""
    if _is_at_home(work, person):
        limits.lift(work, _at_home(work, person))
    person.wrong_answers = 0
    if ends_rest:
        person.locked_until = None


def count_wrong_password(work: Work, person: Person, entry: Entry | None = None) -> None:
    """One more wrong password of this account; the last one of a few begins its rest."""
    if person.locked_until is not None and person.locked_until > work.now():
        return
    person.wrong_answers += 1
    tries, rest = work.rule("sign_in_tries"), _REST
    if person.directory == "directory":
        there = _there(work, entry)
        tries, rest = there.strangers, there.rest
    if person.wrong_answers >= tries:
        person.wrong_answers, person.locked_until = 0, work.now() + rest


def _there(work: Work, entry: Entry | None) -> TriesThere:
    if entry is None:
        return tries_there(work, None)
    return tries_there(work, entry.lockout, is_seen=entry.wrong_tries is not None)


def _rests_everywhere(work: Work, person: Person) -> bool:
    return person.locked_until is not None and person.locked_until > work.now()


def _is_at_home(work: Work, person: Person) -> bool:
    """True where this person signed in, both halves, during the last thirty days."""
    if not work.actor.address:
        return False
    query = select(SignInSession.id).where(
        SignInSession.person_id == person.id,
        SignInSession.from_address == work.actor.address[:64],
        SignInSession.stage == "open",
        SignInSession.begun_at > work.now() - _KNOWN_ADDRESS,
    )
    return work.db.scalars(query.limit(1)).first() is not None


def _at_home(work: Work, person: Person) -> str:
    """The key of what is counted there; the directory knows no addresses, so all of them are one for its people."""
    return f"{own_tries(person.id)}{work.actor.address[:50] if person.directory == 'local' else 'home'}"


# While the directory is away --------------------------------------------------------------------------------------


def away_rests(work: Work, person: Person) -> bool:
    """True while what is cached of this account opens nothing here: too many wrong tries from here, or in all."""
    return person.away_tries >= _AWAY_IN_ALL or limits.rests(work, _away_from_here(work, person))


def count_away(work: Work, person: Person) -> None:
    """One more wrong password while the directory is away, counted before it is looked at.

    Strangers count all together; each home of the owner has a count of its own, which strangers cannot use up.
    """
    person.away_tries += 1
    limits.count_wrong(work, _away_from_here(work, person), _AWAY)


def take_back_away(work: Work, person: Person) -> None:
    """The password was the cached one; the wrong ones before it stay counted, since only the directory can say more."""
    person.away_tries = max(0, person.away_tries - 1)
    limits.take_back(work, _away_from_here(work, person))


def forget_away(work: Work, person: Person) -> None:
    """The directory itself said that the password is right: every count of its absence begins anew."""
    if person.away_tries:
        person.away_tries = 0
        limits.lift(work, _away(person))


def _away(person: Person) -> str:
    return f"away:{person.id}:"


def _away_from_here(work: Work, person: Person) -> str:
    return _away(person) + (work.actor.address[:50] if _is_at_home(work, person) else "elsewhere")


# A login that nobody has here, and somebody of the directory who comes for the first time -------------------------


def login_rests(work: Work, login: str) -> bool:
    """True while nothing is taken for this login, which nobody has."""
    return limits.rests(work, _unknown(login))


def count_unknown(work: Work, login: str) -> None:
    """One more wrong answer for a login that nobody has."""
    limits.count_wrong(work, _unknown(login), Limit(work.rule("sign_in_tries"), _REST, _REST))


def entry_rests(work: Work, entry_id: str) -> bool:
    """True while no password of this newcomer is passed on to the directory."""
    return limits.rests(work, _entry(entry_id))


def count_entry(work: Work, entry: Entry) -> None:
    """One more password of this newcomer that is passed on to the directory."""
    there = _there(work, entry)
    limits.count_wrong(work, _entry(entry.id), Limit(there.strangers, there.rest, there.rest))


def forget_entry(work: Work, entry_id: str) -> None:
    """The newcomer came in: their own row counts from now on."""
    limits.forget(work, _entry(entry_id))


def _unknown(login: str) -> str:
    return "login:" + hashlib.sha256(fold(login[:LONGEST_LOGIN]).encode("utf-8", "replace")).hexdigest()[:32]


def _entry(entry_id: str) -> str:
    return f"entry:{entry_id}"


# An address, and everybody ----------------------------------------------------------------------------------------


def address_rests(work: Work) -> bool:
    """True while nothing is taken from this address."""
    return limits.rests(work, _address(work))


def everybody_rests(work: Work) -> bool:
    """True while only addresses that staff used before are heard."""
    return limits.rests(work, _everybody(work)) and not _is_known_address(work)


def count_wrong_at_door(work: Work) -> None:
    """One more wrong answer from this address, and in all; a rest that begins is an alert."""
    if limits.count_wrong(work, _address(work), _ADDRESS):
        raise_alert(
            work,
            "guessing",
            f"Many wrong sign-ins came from {work.actor.address or 'one address'}: it rests for ten minutes.",
        )
    if limits.count_wrong(work, _everybody(work), _EVERYBODY):
        raise_alert(
            work,
            "guessing",
            "Very many wrong sign-ins came from everywhere: for five minutes only addresses that "
            "staff used before are heard.",
        )


def _everybody(work: Work) -> str:
    """Guessing at one door shuts that door alone: a flood from the internet must not keep staff out."""
    return f"everybody:{GATEWAY}" if work.actor.channel == GATEWAY else "everybody"


def _address(work: Work) -> str:
    return f"address:{counted_address(work.actor.address[:64])}"


def _is_known_address(work: Work) -> bool:
    query = select(SignInSession.id).where(
        SignInSession.from_address == work.actor.address,
        SignInSession.stage == "open",
        SignInSession.begun_at > work.now() - _KNOWN_ADDRESS,
    )
    return work.db.scalars(query.limit(1)).first() is not None
