"""Groups of the directory and the roles they give: by the group's own id, so that a new name changes nothing."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from sqlalchemy import select

from core.alerts import raise_alert
from core.door_limits import tries_there
from core.errors import Refused
from core.people import by_login, fold, rename, set_login, set_roles
from core.ports.directory import AccountState, Entry, Group, Lockout
from core.rules.logins import problem_of
from core.rules.person_texts import readable
from core.rules.problems import Problem
from core.rules.roles import STAFF, Permission, Role
from core.store.model import GroupRole, Person
from core.store.work import Work

_ROLES = (*STAFF, Role.REFERRER, Role.PATIENT)


@dataclass(frozen=True)
class GroupRoleCard:
    """One line of the mapping."""

    id: UUID
    group_id: str
    group_name: str
    role: str


@dataclass(frozen=True)
class LimitThere:
    """When the directory locks an account by itself, and how many wrong passwords it hears of from us before we stop.

    name: of the people whom it is for, "" for everybody else. lockout None: our reading account may not see it.
    """

    name: str
    lockout: Lockout | None
    passed_on: int
    rest: timedelta
    setting: int


@dataclass(frozen=True)
class Expected:
    """What somebody of the directory would get here, and why. `entry` None: the directory has nobody of that name."""

    entry: Entry | None
    roles: tuple[str, ...]
    by_group: tuple[tuple[str, str], ...]  # (group name, role)
    comes_in: bool
    sentence: str


def mapping(work: Work) -> tuple[GroupRoleCard, ...]:
    """Which group gives which role."""
    with work.look(Permission.CHANGE_SEE):
        rows = work.db.scalars(select(GroupRole).order_by(GroupRole.role, GroupRole.group_name))
        return tuple(GroupRoleCard(g.id, g.group_id, g.group_name, g.role) for g in rows)


def search(work: Work, text: str, *, most: int = 50) -> tuple[Group, ...]:
    """Groups of the directory whose name holds the text. Raises Away, or Refused in a practice without a directory."""
    with work.look(Permission.PEOPLE_MANAGE):
        directory = _directory(work)
    return directory.search_groups(text, most=most)


def look_closer(work: Work, group_id: str) -> Group | None:
    """One group with the number of its members, which a search does not count. Raises Away or Refused."""
    with work.look(Permission.PEOPLE_MANAGE):
        directory = _directory(work)
    return directory.group(group_id)


def search_people(work: Work, text: str, *, most: int = 20) -> tuple[Entry, ...]:
    """People of the directory whose name or login holds the text. Raises Away or Refused."""
    with work.look(Permission.PEOPLE_MANAGE):
        directory = _directory(work)
    return directory.search_people(text, most=most)


def directory_is_there(work: Work) -> str:
    """none, answers or away: for the pages' banners."""
    with work.look(Permission.STAFF_SELF):
        directory = work.ports.directory
    if directory is None:
        return "none"
    return "answers" if directory.answers() else "away"


def limits_there(work: Work) -> tuple[LimitThere, ...]:
    """The directory's own limits on wrong passwords, and what we keep to. Raises Away or Refused."""
    with work.look(Permission.CHANGE_SEE):
        directory, setting = _directory(work), work.rule("sign_in_tries")
    found = directory.lockouts()
    with work.look(Permission.CHANGE_SEE):
        ours = [(name, lockout, tries_there(work, lockout)) for name, lockout in found]
    return tuple(
        LimitThere(name, lockout, tries.strangers + tries.reserve, tries.rest, setting)
        for name, lockout, tries in ours
    )


def what_would(work: Work, login: str) -> Expected:
    """The test button: what this person of the directory would get, were they to sign in now."""
    with work.look(Permission.PEOPLE_MANAGE):
        directory = _directory(work)
    entry = directory.find(login) if login.strip() else None
    with work.look(Permission.PEOPLE_MANAGE):
        if entry is None:
            return Expected(None, (), (), False, "The directory has nobody of this name, or more than one.")
        lines = [g for g in work.db.scalars(select(GroupRole)) if g.group_id in entry.groups]
        roles = roles_for(work, entry.groups)
        known = work.db.scalars(
            select(Person).where(Person.directory == "directory", Person.directory_id == entry.id)
        ).first()
        reason = _why_not(work, entry, roles, known)
        return Expected(
            entry,
            roles,
            tuple(sorted((g.group_name, g.role) for g in lines)),
            not reason,
            reason or "Comes in, with a second factor.",
        )


# For sibling verbs inside their own gate --------------------------------------------------------------------------


def roles_for(work: Work, group_ids: frozenset[str]) -> tuple[str, ...]:
    """The roles that these groups give. Staff roles add up; one of outside counts only alone."""
    found = {g.role for g in work.db.scalars(select(GroupRole)) if g.group_id in group_ids}
    staff = sorted(r for r in found if r in STAFF)
    return tuple(staff) if staff else tuple(sorted(found))[:1]


def mapping_problems(work: Work, lines: list[dict[str, str]]) -> tuple[Problem, ...]:
    """What is wrong with a new mapping; each line has group_id, group_name and role."""
    problems, seen = [], set()
    for line in lines:
        if line["role"] not in _ROLES:
            problems.append(Problem("role-unknown", f"There is no role '{line['role']}'.", "roles"))
        if (
            not line["group_id"].strip()
            or not line["group_id"].isprintable()
            or len(line["group_id"]) > 80
            or len(line["group_name"]) > 200
        ):
            problems.append(Problem("group", "Choose the group from the directory's own list.", "group"))
        if (key := (line["group_id"], line["role"])) in seen:
            problems.append(
                Problem("twice", f"'{line['group_name']}' gives the role '{line['role']}' twice.", "group")
            )
        seen.add(key)
    return tuple(problems)


def set_mapping(work: Work, lines: list[dict[str, str]]) -> None:
    """Replace the whole mapping; whoever is signed in gets it at the directory's next check."""
    wanted = {(line["group_id"], line["role"]): line["group_name"] for line in lines}
    for row in work.db.scalars(select(GroupRole)):
        name = wanted.pop((row.group_id, row.role), None)
        if name is None:
            work.db.delete(row)
        else:
            row.group_name = name
    work.db.add_all(
        GroupRole(id=work.new_id(), group_id=g, group_name=n, role=r) for (g, r), n in wanted.items()
    )
    for person in work.db.scalars(select(Person).where(Person.directory_id.is_not(None))):
        person.checked_at = None


def is_password_newer(entry: Entry, person: Person) -> bool:
    """True when the directory's password was set after the one that it last said yes to."""
    return bool(
        entry.password_set_at and person.password_set_at and entry.password_set_at > person.password_set_at
    )


def take_over(work: Work, person: Person, entry: Entry) -> None:
    """What the directory says of a person holds here: name, e-mail, groups, and the roles that those give."""
    _take_name(work, person, readable(entry.name, other=person.name))
    person.email = entry.email[:120]
    login = fold(entry.login)
    # Under the new login they come in while the directory is away, and the old one is free for somebody else.
    if login != person.login and problem_of(login) is None and by_login(work, login) is None:
        if person.directory == "sso":
            raise_alert(
                work,
                "renamed",
                f"{person.name} ({person.login}) signs in as {login} at single sign-on now, and so here. "
                "Is it the same person?",
                about=person.id,
            )
        set_login(work, person, login)
    person.groups = sorted(entry.groups)
    set_roles(work, person, roles_for(work, entry.groups))
    person.password_set_at, person.checked_at = entry.password_set_at, work.now()


def _take_name(work: Work, person: Person, name: str) -> None:
    """At a provider of single sign-on people may write their own name, so that the admins are told of a new one."""
    if person.directory == "sso" and name != person.name:
        raise_alert(
            work,
            "renamed",
            f"{person.name} ({person.login}) is called {name} at single sign-on now, and so here. "
            "Is it the same person?",
            about=person.id,
        )
    rename(work, person, name=name, registration=person.registration)


def _directory(work: Work):
    if work.ports.directory is None:
        raise Refused(
            "This practice has no directory: its accounts are kept here. See SORG_DIRECTORY in the settings."
        )
    return work.ports.directory


def _why_not(work: Work, entry: Entry, roles: tuple[str, ...], known: Person | None) -> str:
    if known is not None and not known.is_active:
        return "Stays out: shut out here by an admin."
    if entry.state is not AccountState.OK:
        return f"Stays out: the directory says '{entry.state}'."
    if not roles:
        return "Stays out: none of their groups gives a role."
    for role, bound_to, what in (
        (Role.PATIENT, known and known.patient_id, "a patient"),
        (Role.REFERRER, known and known.referrer_id, "a referring doctor"),
    ):
        if role in roles and bound_to is None:
            return f"Stays out: bind the account to {what} first, with a request for a new account."
    if known is None and problem_of(entry.login) is not None:
        return f"Stays out: '{entry.login}' cannot be a login here."
    if known is None and by_login(work, entry.login) is not None:
        return f"Stays out: somebody else has the login {entry.login} here."
    if known is None or known.totp_box is None:
        return "Comes in once they have set up a second factor with a sign-in slip."
    return ""
