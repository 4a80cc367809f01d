"""Sessions: whose a token is, whether the directory still says yes, and how a session ends.

A token is kept as a hash (core.tokens); signing in begins a session (core.signin), a new token follows each rise in rights.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from sqlalchemy import select

from core.door_limits import GATEWAY
from core.errors import Denied, Outside
from core.factors import end_sessions_of, is_keyless
from core.groups import is_password_newer, roles_for, take_over
from core.people import OUTSIDE
from core.ports.directory import AccountState, Entry
from core.rules.access import Bounds
from core.rules.roles import Permission, Role, Scope
from core.store.model import Person, SecurityKey, SignInSession
from core.store.work import Actor, Subject, Work
from core.tokens import hash_token, new_token

_CLOCKS_DIFFER = timedelta(minutes=5)
# A door asks at most every half minute (doors.presence), so that five minutes are never passed.
_CHECK_EVERY = timedelta(minutes=4, seconds=30)


class Over(StrEnum):
    """Why a session is over, as far as whoever holds its token is told. UNSAID: nothing is known of it, or nothing more."""

    UNSAID = "unsaid"
    IDLE = "idle"
    TIME = "time"
    SELF = "self"
    PRACTICE = "practice"
    PASSWORD = "password"
    FACTOR = "factor"
    RIGHTS = "rights"
    LOGIN = "login"


# What end_sessions_of and the verbs here write down; what is not among them stays unsaid.
_OVER = {
    "signed out": Over.SELF,
    "ended by its owner": Over.SELF,
    "ended by an admin": Over.PRACTICE,
    "suspended": Over.PRACTICE,
    "password set anew": Over.PASSWORD,
    "password reset": Over.PASSWORD,
    "new app": Over.FACTOR,
    "second factor reset": Over.FACTOR,
    "new roles": Over.RIGHTS,
    "wider reach": Over.RIGHTS,
    "signs in under another name": Over.LOGIN,
}


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


def actor_of(work: Work, *, token: str, channel: str, address: str = "") -> Actor | None:
    """The actor behind a session token, or None when it is unknown, ended, idle too long, or the person is out."""
    with work.look(Permission.SIGN_IN):
        session = session_of(work, token)
        if session is None or session.stage != "open" or (session.channel == GATEWAY) != (channel == GATEWAY):
            return None
        person = work.db.get(Person, session.person_id)
        if person is None or not may_stay(work, person):
            return None
        roles = frozenset(Role(r) for r in person.roles)
        if bool(roles & set(OUTSIDE)) != (channel == GATEWAY):
            return None  # What somebody is may change while they are signed in; a session stays at its door.
        bounds = Bounds(
            Scope(person.scope) if person.scope else None,
            frozenset(person.sites),
            person.patient_id,
            person.referrer_id,
            session.is_away,
            is_keyless(work, session, person),
        )
        return Actor(str(person.id), person.name, roles, channel, address, session.id, bounds=bounds)


def why_over(work: Work, *, token: str) -> Over:
    """Why this session is over, for its own door to say; of a token that nobody knows here, nothing is said."""
    with work.look(Permission.SIGN_IN):
        query = select(SignInSession).where(SignInSession.token_hash == hash_token(token))
        found = work.db.scalars(query).one_or_none()
        at_gateway = work.actor.channel == GATEWAY
        if found is None or found.stage != "open" or (found.channel == GATEWAY) != at_gateway:
            return Over.UNSAID
        idle_at = found.seen_at + work.rule("session_idle")
        # What came first counts: a session that had long gone to rest is ended again with all others of its person.
        if found.ended_at and found.ended_at < min(idle_at, found.ends_at):
            return _OVER.get(found.ended_why, Over.UNSAID)
        if min(idle_at, found.ends_at) > work.now():
            return Over.UNSAID  # It is not over itself: the person is out, or what they are has changed.
        return Over.IDLE if idle_at < found.ends_at else Over.TIME


def recheck(work: Work, *, token: str) -> bool | None:
    """Ask the directory again about the person behind a session, when five minutes have passed since it last said yes.

    Out there is out here: disabled, expired or without a group that gives a role ends every session, and so does a
    password set since. A session of a time when the directory was away is asked about until it answers.
    True: it answered. False: it was asked and said nothing. None: there was nothing to ask.
    """
    with work.look(Permission.SIGN_IN):
        session = session_of(work, token)
        person = work.db.get(Person, session.person_id) if session else None
        if session is None or person is None or not _is_due(work, session, person):
            return None
        person_id, entry_id, directory = person.id, person.directory_id or "", work.ports.directory
    try:
        entry = directory.look_up(entry_id)
    except Outside:
        # Away, or it refuses our own account: nobody can say anything of this person now.
        return False
    with work.look(Permission.SIGN_IN):
        news = _news(work, work.get(Person, person_id), entry)
    if not news:
        with work.tend(Permission.SIGN_IN):
            work.get(Person, person_id, lock=True).checked_at = work.now()
        return True
    with work.act(Permission.SIGN_IN, Subject("person", str(person_id))) as facts:
        person = work.get(Person, person_id, lock=True)
        facts |= {"stage": "directory", "person": person.id, "why": news}
        if news == "roles":
            facts |= {"before": person.roles, "after": list(roles_for(work, entry.groups))}
            take_over(work, person, entry)
        else:
            facts["sessions"] = end_sessions_of(work, person, why=news)
            person.away_until = None
            if news == "no group gives a role" and entry is not None:
                # Who was an admin there is none here any more, and does not count as one.
                take_over(work, person, entry)
        person.checked_at = work.now()
    return True


def keep_awake(work: Work, *, token: str) -> None:
    """Note that the session is in use. Called at most once a minute, since it takes the writer's lock."""
    with work.tend(Permission.SIGN_IN):
        if session := session_of(work, token):
            session.seen_at = work.now()


def rotate(work: Work, *, token: str) -> str:
    """A new token for the same session at a rise in rights; the old one is dead at once (ASVS 5.0, 7.2.4). Raises Denied."""
    with work.act(Permission.SIGN_IN, Subject("session")) as facts:
        session = session_of(work, token, lock=True)
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
        known = session_of(work, token)
    if known is None:
        return
    with work.act(Permission.SIGN_IN, Subject("session", str(known.id))) as facts:
        facts |= {"stage": "out", "person": known.person_id}
        if session := session_of(work, token):
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
        session = work.get(SignInSession, session_id, what="session", of=work.actor.person)
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
        query = (
            select(SignInSession)
            .where(
                SignInSession.person_id == work.actor.person,
                SignInSession.stage == "password",
                SignInSession.ended_why != "exchanged",
                SignInSession.ends_at <= work.now(),
            )
            .order_by(SignInSession.begun_at.desc())
            .limit(size)
        )
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


def new_session(
    work: Work,
    person: Person,
    *,
    stage: str,
    lasts: timedelta,
    method: str = "",
    reason: str = "",
    is_away: bool = False,
    key: SecurityKey | None = None,
) -> str:
    """Begin one; its token is told this once. stage: "password" after the first half, "open" after the second."""
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
            key_id=key.id if key else None,
        )
    )
    return token


def session_of(work: Work, token: str, *, lock: bool = False) -> SignInSession | None:
    """The session of this token; None for one that is unknown, ended, over, or was idle for too long."""
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


def may_stay(work: Work, person: Person) -> bool:
    """True while this account opens anything: it is not shut, its time is not over, and it has a role."""
    return (
        person.is_active
        and bool(person.roles)
        and (person.closes_at is None or person.closes_at > work.now())
    )


# Inside -----------------------------------------------------------------------------------------------------------


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
    if is_password_newer(entry, person):
        return "password set anew"
    roles = roles_for(work, entry.groups)
    if not roles:
        return "no group gives a role"
    return "roles" if sorted(roles) != sorted(person.roles) else ""


def _open_sessions(work: Work, person_id: UUID | None) -> tuple[SessionCard, ...]:
    query = (
        select(SignInSession, Person.name)
        .join(Person, Person.id == SignInSession.person_id)
        .where(
            SignInSession.ended_at.is_(None),
            SignInSession.stage == "open",
            SignInSession.ends_at > work.now(),
            SignInSession.seen_at > work.now() - work.rule("session_idle"),
        )
    )
    if person_id:
        query = query.where(SignInSession.person_id == person_id)
    rows = work.db.execute(query.order_by(SignInSession.begun_at.desc()).limit(200))
    return tuple(
        SessionCard(
            s.id,
            s.person_id,
            name,
            s.from_address,
            s.channel,
            s.method,
            s.is_away,
            s.begun_at,
            s.seen_at,
            s.ends_at,
            s.id == work.actor.session,
        )
        for s, name in rows
    )
