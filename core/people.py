"""Accounts: who they are, what they may do, and how one comes to be. Nothing here signs anybody in (core.signin)."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import or_, select

from core import factors, limits
from core.alerts import raise_alert
from core.errors import Refused
from core.factors import end_sessions_of
from core.rules import passwords, person_texts
from core.rules.logins import fold_login, problem_of
from core.rules.names import searchable
from core.rules.pages import rows_before
from core.rules.person_texts import tidy
from core.rules.problems import Problem
from core.rules.reasons import LONGEST_WHY, SHORTEST_WHY
from core.rules.roles import STAFF, Permission, Role
from core.standing import asked_for_by_me, keep_an_admin, standing_of, tell_of_admin
from core.store.model import Activation, Patient, Person, Referrer, SignInSession
from core.store.work import Subject, Work
from core.tokens import hash_token, new_code

OUTSIDE = (Role.PATIENT, Role.REFERRER)  # accounts that sign in at the gateway, and nowhere else
SCOPES_OF_STAFF = ("", "all", "site", "assigned", "none")


@dataclass(frozen=True)
class PersonCard:
    """One account as pages see it. Secrets stay home.

    standing: active, waits (for its first sign-in), shut (out), closed (its time is over).
    """

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
    standing: str
    directory: str
    scope: str
    sites: tuple[str, ...]
    patient_id: UUID | None
    referrer_id: UUID | None
    is_break_glass: bool
    rests_until: datetime | None
    keys: int
    recovery_codes: int
    slip_until: datetime | None
    has_app: bool = False
    own_file: str = ""  # the file number behind patient_id
    needs_slip: bool = False  # whether one may be made: it waits, or its password was reset


@dataclass(frozen=True, repr=False)
class Welcome:
    """A new account's TOTP secret (base32) and its otpauth address, shown once."""

    person: PersonCard
    secret: str
    otpauth: str


@dataclass(frozen=True, repr=False)
class Slip:
    """A one-time code with which a person sets their own password and second factor; shown once, never readable again."""

    person_id: UUID
    name: str
    login: str
    code: str
    ends_at: datetime
    sets_password: bool


# Questions ------------------------------------------------------------------------------------------------------


def people(
    work: Work, *, search: str = "", role: str = "", standing: str = "", page: int = 1, size: int = 50
) -> tuple[tuple[PersonCard, ...], int]:
    """One page of accounts, by name, and how many there are in all.

    standing: active, waits, shut, closed; empty for everybody.
    """
    with work.look(Permission.PEOPLE_SEE):
        wanted = [
            p.id for p in _outlines(work, search, role) if not standing or standing_of(work, p) == standing
        ]
        first = rows_before(page, size)
        here = wanted[first : first + size]
        rows = {p.id: p for p in work.db.scalars(select(Person).where(Person.id.in_(here)))}
        return _cards_of(work, [rows[person_id] for person_id in here]), len(wanted)


def counts(work: Work, *, search: str = "", role: str = "") -> dict[str, int]:
    """How many accounts there are of each standing, among those that fit."""
    with work.look(Permission.PEOPLE_SEE):
        return dict(Counter(standing_of(work, p) for p in _outlines(work, search, role)))


def _outlines(work: Work, search: str, role: str) -> list[Any]:
    """What a list is narrowed by, of everybody, by name: a few columns, since a practice may know thousands."""
    query = select(
        Person.id,
        Person.roles,
        Person.is_active,
        Person.closes_at,
        Person.totp_box,
        Person.directory,
        Person.password_hash,
        Person.slip_sets_password,
    )
    if search := searchable(search):
        query = query.where(
            or_(
                Person.name.icontains(search, autoescape=True),
                Person.login.icontains(search, autoescape=True),
            )
        )
    return [p for p in work.db.execute(query.order_by(Person.name, Person.id)) if not role or role in p.roles]


def person(work: Work, person_id: UUID) -> PersonCard:
    """One account. Raises Missing."""
    with work.look(Permission.PEOPLE_SEE):
        return card_of(work, work.get(Person, person_id))


def me(work: Work) -> PersonCard:
    """The signed-in person's own card."""
    with work.look(Permission.STAFF_SELF):
        return card_of(work, work.get(Person, work.actor.person))


# Acts that need no second admin -----------------------------------------------------------------------------------


def add_person(
    work: Work,
    *,
    login: str,
    name: str,
    roles: tuple[str, ...],
    password: str,
    registration: str = "",
    practice_number: str = "",
    email: str = "",
    patient_id: UUID | None = None,
    referrer_id: UUID | None = None,
) -> Welcome:
    """A finished local account, for setting up a practice from its own machine. Raises Refused with every problem.

    In the console an account begins as a request (core.changes), and its owner chooses the password.
    """
    with work.act(Permission.PEOPLE_FOUND, Subject("login", fold(login)[:64])) as facts:
        account = {
            "login": login,
            "name": name,
            "roles": list(roles),
            "registration": registration,
            "practice_number": practice_number,
            "email": email,
            "patient_id": patient_id and str(patient_id),
            "referrer_id": referrer_id and str(referrer_id),
        }
        problems = account_problems(work, account) + passwords.problems_of(password, words=(login, name))
        if problems:
            raise Refused("Please mend what is marked.", problems=problems)
        row = new_person(work, account)
        row.password_hash = work.ports.accounts.new_verifier(password)
        secret, otpauth = factors.new_totp(work, row)
        facts |= {"person": row.id, "roles": sorted(roles)}
        return Welcome(card_of(work, row), secret, otpauth)


def found_admin(work: Work, *, login: str, name: str) -> Slip:
    """An admin's account made on the practice's own machine, where nobody else could approve it, and its slip.

    For the first admin, and for the day on which no admin can sign in any more. Every admin hears of it.
    """
    with work.act(Permission.PEOPLE_FOUND, Subject("login", fold(login)[:64])) as facts:
        account = {"login": login, "name": name, "roles": [Role.ADMIN]}
        if (there := by_login(work, login)) is not None:
            raise Refused(_way_past(there))
        if problems := account_problems(work, account):
            raise Refused(problems[0].sentence, problems=problems)
        row = new_person(work, account)
        facts |= {"person": row.id, "roles": row.roles, "step": "found"}
        raise_alert(work, "alone", f"The admin {row.name} was made on the practice's machine.", about=row.id)
        return _new_slip(work, row, sets_password=True, by=row.id)


def _way_past(there: Person) -> str:
    """On the machine nobody's account is given to somebody else, so whoever lost theirs gets a further one."""
    taken = f"There is somebody with the login {there.login} already."
    if there.is_break_glass:
        return f"{taken} It is the sealed account: `sorg people break-glass {there.login}` seals it anew."
    return (
        f'{taken} Make a further account under another login: `sorg people admin OTHER-LOGIN "NAME"`. Sign in with its '
        f"slip; if nobody uses {there.login} any more, shut it out under People (docs/roles/admin.md, When you are the only "
        "admin)."
    )


def seal_break_glass(work: Work, *, login: str, password: str) -> Welcome:
    """The account for the day when nothing else opens: an admin's, sealed in an envelope, good for one hour once opened.

    Sealing it again gives it a new password and a new secret.
    """
    with work.act(Permission.PEOPLE_FOUND, Subject("login", fold(login)[:64])) as facts:
        if problems := passwords.problems_of(password, words=(login,)):
            raise Refused(problems[0].sentence, problems=problems)
        row = by_login(work, login)
        if row is None:
            account = {"login": login, "name": "Sealed account", "roles": [Role.ADMIN]}
            if problems := account_problems(work, account):
                raise Refused(problems[0].sentence, problems=problems)
            row = new_person(work, account)
            row.is_break_glass = True
        if not row.is_break_glass:
            raise Refused("This login belongs to somebody. Choose another one for the sealed account.")
        end_sessions_of(work, row, why="sealed anew")
        factors.forget_all(work, row)
        row.password_hash, row.closes_at, row.is_active = (
            work.ports.accounts.new_verifier(password),
            None,
            True,
        )
        row.wrong_answers, row.locked_until = 0, None
        secret, otpauth = factors.new_totp(work, row)
        facts |= {"person": row.id, "step": "sealed"}
        raise_alert(work, "break-glass", f"The sealed account {row.login} was sealed anew.", about=row.id)
        return Welcome(card_of(work, row), secret, otpauth)


def suspend(work: Work, person_id: UUID, *, why: str) -> None:
    """Keep somebody out from now on; their sessions end at once. Letting them in again is a request (core.changes).

    This cannot wait for a second admin: a stolen account must be shut while it is being used.
    """
    with work.act(Permission.PEOPLE_MANAGE, Subject("person", str(person_id))) as facts:
        person = work.get(Person, person_id, lock=True)
        if str(person.id) == work.actor.id:
            raise Refused("You cannot shut out yourself; another admin can.")
        if len(why.strip()) < SHORTEST_WHY:
            raise Refused(f"Write why, in at least {SHORTEST_WHY} characters: it stays on record.")
        keep_an_admin(work, person)
        person.is_active, person.shut_at = False, work.now()
        facts |= {
            "active": False,
            "why": why.strip()[:LONGEST_WHY],
            "sessions": end_sessions_of(work, person, why="suspended"),
        }
        void_slips(work, person.id)
        if Role.ADMIN in person.roles:
            raise_alert(
                work, "alone", f"{work.actor.name} shut out the admin {person.name}.", about=person.id
            )


def wake(work: Work, person_id: UUID) -> None:
    """End the rest after wrong passwords or codes: the person is known to be there."""
    with work.act(Permission.PEOPLE_MANAGE, Subject("person", str(person_id))) as facts:
        person = work.get(Person, person_id, lock=True)
        facts["step"] = "wake"
        if str(person.id) == work.actor.id:
            # Whoever sits at an admin's open session could else guess that admin's codes without an end.
            raise Refused(
                "Another admin must do this for you; or wait until the account opens again by itself."
            )
        person.wrong_answers = person.wrong_codes = 0
        person.locked_until = person.codes_rest_until = None
        limits.lift(work, own_tries(person.id))


def make_slip(work: Work, person_id: UUID) -> Slip:
    """A one-time slip for somebody whose account waits for its password or second factor. An older slip is void.

    Raises Refused for an account that has both: to start again, a reset must be asked for and approved.
    """
    with work.act(Permission.PEOPLE_MANAGE, Subject("person", str(person_id))) as facts:
        person = work.get(Person, person_id, lock=True)
        needs_password = person.directory == "local" and not person.password_hash
        if not person.is_active:
            raise Refused("This account is shut out. Ask for it to be let in again first.")
        if not (needs_password or person.totp_box is None or person.slip_sets_password):
            raise Refused(
                "This account works already. Ask for a reset first, and let another admin approve it."
            )
        if str(person.id) == work.actor.id:
            raise Refused("Another admin must make this slip for you.")
        if asked_for_by_me(work, person):
            raise Refused(
                "You asked for this admin's account, or its reset: another admin must make its slip."
            )
        facts["step"] = "slip"
        sets_password = needs_password or person.slip_sets_password
        return _new_slip(work, person, sets_password=sets_password, by=work.actor.person)


# For sibling verbs inside their own gate --------------------------------------------------------------------------


def fold(login: str) -> str:
    """A login as it is kept: compatibility forms and case do not count."""
    return fold_login(login)


def by_login(work: Work, login: str) -> Person | None:
    """The account with this login, in any case."""
    folded = fold(login)
    if not folded.isprintable():  # PostgreSQL refuses a NUL even in a question.
        return None
    return work.db.scalars(select(Person).where(Person.login == folded)).one_or_none()


def logins(work: Work) -> frozenset[str]:
    """Every login there is: for those who check a whole sheet of accounts."""
    return frozenset(work.db.scalars(select(Person.login)))


def account_problems(
    work: Work, account: dict[str, Any], *, taken: frozenset[str] | None = None
) -> tuple[Problem, ...]:
    """Everything that keeps this from being a new account, at once. taken: the logins there are, when known already."""
    roles = tuple(account["roles"])
    problems = [*login_problems(work, account["login"], taken=taken)]
    problems += role_problems(work, roles, account.get("patient_id"), account.get("referrer_id"))
    problems += person_texts.problems_of({k: tidy(k, account.get(k, "")) for k in person_texts.LENGTHS})
    problems += scope_problems(account.get("scope", ""), tuple(account.get("sites", ())))
    return tuple(problems)


def login_problems(work: Work, login: str, *, taken: frozenset[str] | None = None) -> tuple[Problem, ...]:
    """What keeps this from being somebody's login: its letters, or that another has it, in any case."""
    if (said := problem_of(login)) is not None:
        return (said,)
    if fold(login) in taken if taken is not None else by_login(work, login):
        return (Problem("login-taken", f"There is somebody with the login {fold(login)} already.", "login"),)
    return ()


def role_problems(
    work: Work, roles: tuple[str, ...], patient_id: str | None = None, referrer_id: str | None = None
) -> tuple[Problem, ...]:
    """Several roles of staff, or exactly one of the two outside; those are bound to one patient or doctor."""
    if not roles:
        return (Problem("no-role", "Choose at least one role.", "roles"),)
    unknown = [r for r in roles if r not in (*STAFF, *OUTSIDE)]
    if unknown:
        return tuple(Problem("role-unknown", f"There is no role '{r}'.", "roles") for r in unknown)
    outside = [r for r in roles if r in OUTSIDE]
    if outside and len(roles) > 1:
        return (
            Problem("role-mixed", f"The role '{outside[0]}' goes with no other: it is not staff.", "roles"),
        )
    for role, model, row_id, what in (
        (Role.PATIENT, Patient, patient_id, "patient"),
        (Role.REFERRER, Referrer, referrer_id, "referring doctor"),
    ):
        if role in roles and row_id is None:
            return (Problem(f"no-{role}", f"Choose the {what} whom this account belongs to.", "roles"),)
        if row_id is not None and not _is_there(work, model, _id(row_id), bound_to=role in roles):
            return (Problem(f"no-{role}", f"There is no such {what}.", "roles"),)
    return ()


def _is_there(work: Work, model: type[Patient | Referrer], row_id: UUID | None, *, bound_to: bool) -> bool:
    # Of staff it is their own record, which may be closed to the admin who changes something else of them.
    query = select(model.id).where(model.id == row_id)
    return work.db.scalars(query.execution_options(the_gates_own=not bound_to)).first() is not None


def scope_problems(scope: str, sites: tuple[str, ...]) -> tuple[Problem, ...]:
    """How far somebody sees: one of the words, and sites by their two signs."""
    problems = []
    if scope not in SCOPES_OF_STAFF:
        problems.append(Problem("scope", f"There is no scope '{scope}'.", "scope"))
    if any(not re.fullmatch(r"[0-9A-Z]{2}", site) for site in sites) or len(sites) > 50:
        problems.append(Problem("sites", "A site is two letters or digits, as in SORG_ORIGIN.", "sites"))
    return tuple(problems)


def new_person(
    work: Work,
    account: dict[str, Any],
    *,
    directory: str = "local",
    directory_id: str | None = None,
    at_once: bool = True,
) -> Person:
    """A new row for a checked account; without password and factor it waits for its slip.

    at_once False: the caller adds many, and writes them down together.
    """
    row = Person(
        id=work.new_id(),
        login=fold(account["login"]),
        roles=sorted(account["roles"]),
        former_names=[],
        **{k: tidy(k, account.get(k, "")) for k in person_texts.LENGTHS},
        password_hash="",
        totp_step=0,
        wrong_answers=0,
        is_active=True,
        directory=directory,
        directory_id=directory_id,
        wrong_codes=0,
        scope=account.get("scope", ""),
        sites=list(account.get("sites", ())),
        is_break_glass=False,
        away_hash="",
        away_tries=0,
        groups=[],
        patient_id=_id(account.get("patient_id")),
        referrer_id=_id(account.get("referrer_id")),
        slip_sets_password=False,
    )
    work.db.add(row)
    if at_once:
        work.db.flush()
    return row


def rename(work: Work, person: Person, *, name: str, registration: str) -> None:
    """What somebody is called from now on. What they signed keeps the name and registration of then (`called_at`)."""
    if (name, registration) == (person.name, person.registration):
        return
    then = {"until": work.now().isoformat(), "name": person.name, "registration": person.registration}
    person.former_names = [*person.former_names, then]
    person.name, person.registration = name, registration


def set_login(work: Work, person: Person, login: str) -> None:
    """What somebody signs in as from now on. The one before is free for others; that it was theirs stays known."""
    then = {"until": work.now().isoformat(), "name": person.name, "registration": person.registration}
    person.former_names = [*person.former_names, {**then, "login": person.login}]
    person.login = login


def set_roles(work: Work, person: Person, roles: Iterable[str], *, has_sessions: bool = True) -> None:
    """Give somebody these roles. Fewer hold from their next step; with a new one they sign in anew (ASVS 5.0, 7.2.4).

    has_sessions: False when there is known to be none (`with_sessions`).
    """
    before, person.roles = set(person.roles), sorted(roles)
    if has_sessions and set(person.roles) - before:
        end_sessions_of(work, person, why="new roles")
    if Role.ADMIN not in before:
        tell_of_admin(work, person)


def own_tries(person_id: UUID) -> str:
    """How the keys begin under which a person's tries at addresses of their own are counted (core.limits)."""
    return f"person:{person_id}@"


def with_sessions(work: Work) -> frozenset[UUID]:
    """Everybody with a session or half a sign-in that is not over: for those who change many at once."""
    return frozenset(
        work.db.scalars(select(SignInSession.person_id).where(SignInSession.ended_at.is_(None)).distinct())
    )


def with_slips(work: Work) -> frozenset[UUID]:
    """Everybody with a slip that nobody has used: for those who change many at once."""
    return frozenset(
        work.db.scalars(select(Activation.person_id).where(Activation.used_at.is_(None)).distinct())
    )


def void_slips(work: Work, person_id: UUID) -> None:
    """Slips that were given out open nothing any more."""
    for slip in work.db.scalars(
        select(Activation).where(Activation.person_id == person_id, Activation.used_at.is_(None))
    ):
        slip.used_at = work.now()


def card_of(work: Work, p: Person) -> PersonCard:
    """The account as pages see it."""
    return _cards_of(work, [p])[0]


def _cards_of(work: Work, rows: list[Person]) -> tuple[PersonCard, ...]:
    """The accounts as pages see them, in a few questions for all of them."""
    proofs = factors.counts_of(work, [p.id for p in rows])
    waiting = select(Activation.person_id, Activation.ends_at).where(
        Activation.person_id.in_([p.id for p in rows]),
        Activation.used_at.is_(None),
        Activation.ends_at > work.now(),
    )
    slips = {person_id: ends_at for person_id, ends_at in work.db.execute(waiting)}
    resting = limits.rests_until(work, "person:")
    numbers = _file_numbers(work, [p.patient_id for p in rows if p.patient_id])
    return tuple(
        _card(
            work,
            p,
            *proofs.get(p.id, (0, 0)),
            slips.get(p.id),
            [t for key, t in resting.items() if key.startswith(own_tries(p.id))],
            numbers.get(p.patient_id, "") if p.patient_id else "",
        )
        for p in rows
    )


def _file_numbers(work: Work, patient_ids: list[UUID]) -> dict[UUID, str]:
    if not patient_ids:
        return {}
    # The number alone, also of a file that is closed to whoever looks: else nobody could see a wrong one.
    files = select(Patient.id, Patient.file_number).where(Patient.id.in_(patient_ids))
    return {i: number for i, number in work.db.execute(files.execution_options(the_gates_own=True))}


def _card(
    work: Work,
    p: Person,
    keys: int,
    recovery_codes: int,
    slip: datetime | None,
    at_home: list[datetime],
    own_file: str,
) -> PersonCard:
    resting = [t for t in (p.locked_until, p.codes_rest_until, *at_home) if t is not None and t > work.now()]
    return PersonCard(
        p.id, p.login, p.name, tuple(p.roles), p.registration, p.practice_number, p.email, p.is_active,
        p.totp_box is not None or keys > 0, p.last_sign_in_at, standing_of(work, p), p.directory, p.scope,
        tuple(p.sites), p.patient_id, p.referrer_id, p.is_break_glass, max(resting, default=None), keys,
        recovery_codes, slip, p.totp_box is not None, own_file,
        p.is_active and (p.slip_sets_password or standing_of(work, p) == "waits"),
    )  # fmt: skip


def _new_slip(work: Work, person: Person, *, sets_password: bool, by: UUID) -> Slip:
    void_slips(work, person.id)
    code, now = new_code(work), work.now()
    row = Activation(
        id=work.new_id(),
        origin=work.house.origin,
        person_id=person.id,
        code_hash=hash_token(code),
        sets_password=sets_password,
        made_by=by,
        made_at=now,
        ends_at=now + work.rule("slip_lasts"),
    )
    work.db.add(row)
    return Slip(person.id, person.name, person.login, code, row.ends_at, sets_password)


def _id(text: str | None) -> UUID | None:
    return UUID(str(text)) if text else None
