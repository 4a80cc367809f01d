"""Staff: who they are, how they sign in, and the second factor they sign reports with."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pyotp.totp import TOTP
from sqlalchemy import func, or_, select

from core.errors import Denied, Refused, WrongAnswer
from core.ports.directory import LONGEST_PASSWORD
from core.rules.names import searchable
from core.rules.pages import rows_before
from core.rules.problems import Problem
from core.rules.roles import STAFF, Permission, Role
from core.store.model import Person, SignInSession
from core.store.work import Actor, Subject, Work

WRONG = (
    "That did not match. Check the name, the password and the code, and try again. "
    "After eight wrong tries an account rests for fifteen minutes."
)
LOCKED = "Too many wrong tries. Wait fifteen minutes, or ask your practice's admin."
SHORTEST_PASSWORD = 12
_TRIES, _LOCK = 8, timedelta(minutes=15)
_PASSWORD_STAGE = timedelta(minutes=5)
_LENGTHS = {"name": 120, "registration": 40, "practice_number": 13, "email": 120}


@dataclass(frozen=True)
class PersonCard:
    """One member of staff as pages see them. Secrets stay home."""

    id: UUID
    login: str
    name: str
    roles: tuple[str, ...]
    registration: str
    practice_number: str
    email: str
    is_active: bool
    has_second_factor: bool
    last_sign_in_at: datetime | None


@dataclass(frozen=True)
class SessionCard:
    """A browser signed in: whose, from where, since when."""

    id: UUID
    person_id: UUID
    name: str
    from_address: str
    begun_at: datetime
    seen_at: datetime
    ends_at: datetime
    is_open: bool


@dataclass(frozen=True, repr=False)
class Welcome:
    """A new account's TOTP secret (base32) and its otpauth address, shown once."""

    person: PersonCard
    secret: str
    otpauth: str


# Signing in -----------------------------------------------------------------------------------------------------


def check_password(work: Work, *, login: str, password: str) -> str:
    """First half of signing in: a token for the second half, valid five minutes. Raises WrongAnswer.

    The password is checked between two transactions: it takes long on purpose, or asks a server elsewhere. Unknown,
    shut out, locked and wrong all cost the same time and get the same sentence, so that nobody learns which it was.
    """
    with work.look(Permission.SIGN_IN):
        found = _by_login(work, login)
        verifier = found.password_hash if found and found.is_active else ""
    right = work.ports.accounts.password_is_right(_fold(login), password, verifier=verifier)
    # What was typed for an unknown login may be a password in the wrong field: it does not go on record.
    with work.act(Permission.SIGN_IN, Subject("login", found.login if found else "unknown")) as facts:
        facts["stage"] = "password"
        person = work.get(Person, found.id, lock=True) if found else None
        if person is None or not person.is_active or _is_locked(work, person):
            raise WrongAnswer(WRONG)
        facts["person"] = person.id
        if not right or person.password_hash != verifier:
            _count_wrong(work, person)
            raise WrongAnswer(WRONG)
        return _new_session(work, person, stage="password", lasts=_PASSWORD_STAGE)


def check_code(work: Work, *, token: str, code: str) -> str:
    """Second half: the session's token, rotated. Raises WrongAnswer, or Denied when the first half is gone."""
    with work.act(Permission.SIGN_IN, Subject("login")) as facts:
        session = _session(work, token, lock=True)
        if session is None or session.stage != "password":
            raise Denied("Sign in again: that took too long.")
        person = work.get(Person, session.person_id, lock=True)
        facts |= {"stage": "code", "person": person.id}
        _check_code(work, person, code)
        session.ended_at = work.now()
        person.last_sign_in_at = work.now()
        return _new_session(work, person, stage="open", lasts=work.rule("session_lasts"))


def actor_of(work: Work, *, token: str, channel: str, address: str = "") -> Actor | None:
    """The actor behind a session token, or None when it is unknown, ended, idle too long, or the person is out."""
    with work.look(Permission.SIGN_IN):
        session = _session(work, token)
        if session is None or session.stage != "open":
            return None
        person = work.db.get(Person, session.person_id)
        if person is None or not person.is_active:
            return None
        roles = frozenset(Role(r) for r in person.roles)
        return Actor(str(person.id), person.name, roles, channel, address, session.id)


def keep_awake(work: Work, *, token: str) -> None:
    """Note that the session is in use. Called at most once a minute, since it takes the writer's lock."""
    with work.tend(Permission.SIGN_IN):
        if session := _session(work, token):
            session.seen_at = work.now()


def sign_out(work: Work, *, token: str) -> None:
    """End this session; an unknown token is no error, and leaves no entry."""
    with work.look(Permission.SIGN_IN):
        known = _session(work, token)
    if known is None:
        return
    with work.act(Permission.SIGN_IN, Subject("session", str(known.id))) as facts:
        facts |= {"stage": "out", "person": known.person_id}
        if session := _session(work, token):
            session.ended_at = work.now()


def end_session(work: Work, session_id: UUID) -> None:
    """An admin ends somebody's session: it is over at that browser's next rerun."""
    with work.act(Permission.PEOPLE_MANAGE, Subject("session", str(session_id))) as facts:
        session = work.get(SignInSession, session_id, what="session")
        session.ended_at = session.ended_at or work.now()
        facts["person"] = session.person_id


def confirm(work: Work, person_id: UUID, code: str) -> None:
    """A fresh second factor inside a verb that needs one (signing a report). Raises WrongAnswer."""
    _check_code(work, work.get(Person, person_id, lock=True), code)


# Accounts -------------------------------------------------------------------------------------------------------


def add_person(work: Work, *, login: str, name: str, roles: tuple[str, ...], password: str, registration: str = "",
               practice_number: str = "", email: str = "") -> Welcome:  # fmt: skip
    """A local account with a new second factor. Raises Refused with every problem at once."""
    with work.act(Permission.PEOPLE_MANAGE, Subject("login", _fold(login)[:64])) as facts:
        problems = _account_problems(work, login=login, name=name, roles=roles, password=password, email=email,
                                     registration=registration, practice_number=practice_number)  # fmt: skip
        if problems:
            raise Refused("Please mend what is marked.", problems=problems)
        secret = base64.b32encode(work.dice(20)).decode()
        person = Person(
            id=work.new_id(), login=_fold(login), name=name.strip(), roles=sorted(roles), registration=registration,
            practice_number=practice_number, email=email, password_hash=work.ports.accounts.new_verifier(password),
            totp_step=0, wrong_answers=0, is_active=True, directory="local",
        )  # fmt: skip
        person.totp_box = _seal(work, person.id, secret)
        work.db.add(person)
        facts |= {"person": person.id, "roles": sorted(roles)}
        otpauth = TOTP(secret).provisioning_uri(name=person.login, issuer_name="Sorg")
        return Welcome(_card(person), secret, otpauth)


def set_roles(work: Work, person_id: UUID, *, roles: tuple[str, ...]) -> None:
    """Replace somebody's roles, which count from their next click; the last active admin stays one."""
    with work.act(Permission.PEOPLE_MANAGE, Subject("person", str(person_id))) as facts:
        person = work.get(Person, person_id)
        if not roles or set(roles) - set(STAFF):
            raise Refused("Choose at least one role of the list.")
        if Role.ADMIN not in roles:
            _keep_an_admin(work, person)
        facts |= {"before": person.roles, "after": sorted(roles)}
        person.roles = sorted(roles)


def set_active(work: Work, person_id: UUID, *, active: bool) -> None:
    """Let somebody in (an account that rests after wrong tries, too) or keep them out; open sessions end at once."""
    with work.act(Permission.PEOPLE_MANAGE, Subject("person", str(person_id))) as facts:
        person = work.get(Person, person_id)
        if not active:
            if str(person.id) == work.actor.id:
                raise Refused("You cannot shut out yourself; another admin can.")
            _keep_an_admin(work, person)
            for session in work.db.scalars(_open_sessions(person.id)):
                session.ended_at = work.now()
        facts["active"] = active
        person.is_active, person.wrong_answers, person.locked_until = active, 0, None


def people(
    work: Work, *, search: str = "", page: int = 1, size: int = 50
) -> tuple[tuple[PersonCard, ...], int]:
    """One page of staff, by name, and how many there are in all."""
    with work.look(Permission.PEOPLE_SEE):
        query = select(Person)
        if search := searchable(search):
            query = query.where(or_(Person.name.icontains(search, autoescape=True),
                                    Person.login.icontains(search, autoescape=True)))  # fmt: skip
        total = work.db.scalar(select(func.count()).select_from(query.subquery())) or 0
        rows = work.db.scalars(
            query.order_by(Person.name, Person.id).limit(size).offset(rows_before(page, size))
        )
        return tuple(_card(p) for p in rows), total


def person(work: Work, person_id: UUID) -> PersonCard:
    """One member of staff. Raises Missing."""
    with work.look(Permission.PEOPLE_SEE):
        return _card(work.get(Person, person_id))


def sessions(work: Work, *, person_id: UUID | None = None) -> tuple[SessionCard, ...]:
    """Open sessions, newest first: everyone's, or one person's."""
    with work.look(Permission.PEOPLE_SEE):
        query = select(SignInSession, Person.name).join(Person, Person.id == SignInSession.person_id).where(
            SignInSession.ended_at.is_(None), SignInSession.stage == "open", SignInSession.ends_at > work.now())  # fmt: skip
        if person_id:
            query = query.where(SignInSession.person_id == person_id)
        rows = work.db.execute(query.order_by(SignInSession.begun_at.desc()).limit(200))
        return tuple(
            SessionCard(s.id, s.person_id, name, s.from_address, s.begun_at, s.seen_at, s.ends_at, True)
            for s, name in rows
        )


def me(work: Work) -> PersonCard:
    """The signed-in person's own card."""
    with work.look(Permission.ACCOUNT_SELF):
        return _card(work.get(Person, work.actor.person))


# Inside ---------------------------------------------------------------------------------------------------------


def hash_token(token: str) -> str:
    """What is kept of a token: SHA-256, in hex. Tokens are 256 random bits, so a plain hash is enough."""
    return hashlib.sha256(token.encode()).hexdigest()


def new_token(work: Work) -> str:
    """256 random bits, URL-safe."""
    return base64.urlsafe_b64encode(work.dice(32)).rstrip(b"=").decode()


def _fold(login: str) -> str:
    return login.strip().casefold()


def _by_login(work: Work, login: str) -> Person | None:
    folded = _fold(login)
    if not folded.isprintable():  # PostgreSQL refuses a NUL even in a question.
        return None
    return work.db.scalars(select(Person).where(Person.login == folded)).one_or_none()


def _account_problems(work: Work, *, login: str, roles: tuple[str, ...], password: str,
                      **texts: str) -> tuple[Problem, ...]:  # fmt: skip
    folded, problems = _fold(login), []
    if not re.fullmatch(r"[a-z0-9]([a-z0-9._-]{0,62}[a-z0-9])?", folded):
        problems.append(Problem("login-letters", "A login has letters a to z, digits, dots, hyphens and underscores, "
                                "and at most 64 of them.", "login"))  # fmt: skip
    elif _by_login(work, login):
        problems.append(
            Problem("login-taken", f"There is somebody with the login {folded} already.", "login")
        )
    if not roles:
        problems.append(Problem("no-role", "Choose at least one role.", "roles"))
    problems += [
        Problem("role-unknown", f"There is no role '{role}'.", "roles") for role in roles if role not in STAFF
    ]
    if not SHORTEST_PASSWORD <= len(password) <= LONGEST_PASSWORD:
        problems.append(Problem("password-length", f"A password has {SHORTEST_PASSWORD} to {LONGEST_PASSWORD} "
                                "characters.", "password"))  # fmt: skip
    if not texts["name"].strip():
        problems.append(Problem("no-name", "Write the person's name.", "name"))
    for field, text in texts.items():
        if len(text) > _LENGTHS[field] or not text.isprintable():
            problems.append(
                Problem("text", f"At most {_LENGTHS[field]} characters, all of them printable.", field)
            )
    return tuple(problems)


def _session(work: Work, token: str, *, lock: bool = False) -> SignInSession | None:
    query = select(SignInSession).where(SignInSession.token_hash == hash_token(token))
    found = work.db.scalars(query.with_for_update() if lock else query).one_or_none()
    now = work.now()
    if (
        found is None
        or found.ended_at
        or found.ends_at <= now
        or found.seen_at + work.rule("session_idle") <= now
    ):
        return None
    return found


def _new_session(work: Work, person: Person, *, stage: str, lasts: timedelta) -> str:
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
        )  # fmt: skip
    )
    return token


def _open_sessions(person_id: UUID):
    return select(SignInSession).where(SignInSession.person_id == person_id, SignInSession.ended_at.is_(None))


def _is_locked(work: Work, person: Person) -> bool:
    return person.locked_until is not None and person.locked_until > work.now()


def _count_wrong(work: Work, person: Person) -> None:
    person.wrong_answers += 1
    if person.wrong_answers >= _TRIES:
        person.wrong_answers, person.locked_until = 0, work.now() + _LOCK


def _check_code(work: Work, person: Person, code: str) -> None:
    """TOTP (RFC 6238): one step either side, and each step once (pyotp alone would take a replay).

    `person` is locked, so that of two requests with one code the second sees the step as used.
    """
    if not person.is_active:
        raise Denied("This account is closed.")
    if _is_locked(work, person):
        raise WrongAnswer(LOCKED)
    if person.totp_box is None:
        raise Refused("This account has no second factor yet: ask your practice's admin.")
    totp = TOTP(_unseal(work, person.id, person.totp_box))
    step = int(work.now().timestamp()) // totp.interval
    code = "".join(code.split())
    for candidate in (step - 1, step, step + 1):
        if candidate > person.totp_step and hmac.compare_digest(
            totp.generate_otp(candidate).encode(), code.encode()
        ):
            person.totp_step, person.wrong_answers = candidate, 0
            return
    _count_wrong(work, person)
    raise WrongAnswer("That code is not right, or was used already. Wait for the next one and try again.")


def _seal(work: Work, person_id: UUID, secret: str) -> bytes:
    nonce = work.dice(12)
    return nonce + AESGCM(work.keys["secrets"]).encrypt(nonce, secret.encode(), f"totp|{person_id}".encode())


def _unseal(work: Work, person_id: UUID, box: bytes) -> str:
    return AESGCM(work.keys["secrets"]).decrypt(box[:12], box[12:], f"totp|{person_id}".encode()).decode()


def _keep_an_admin(work: Work, person: Person) -> None:
    # All are locked, in one order: two admins who demote each other at the same moment must not both succeed.
    active = work.db.scalars(select(Person).where(Person.is_active).order_by(Person.id)
                             .with_for_update(key_share=True).execution_options(populate_existing=True)).all()  # fmt: skip
    admins = {p.id for p in active if Role.ADMIN in p.roles}
    if person.id in admins and len(admins) == 1:
        raise Refused("This is the last admin. Make somebody else one first.")


def _card(p: Person) -> PersonCard:
    return PersonCard(p.id, p.login, p.name, tuple(p.roles), p.registration, p.practice_number, p.email, p.is_active,
                      p.totp_box is not None, p.last_sign_in_at)  # fmt: skip
