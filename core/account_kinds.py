"""Changes of accounts: new ones, what they may do, what they are called, what proves who they are, and the directory."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select

from core import factors, groups, people, standing
from core.errors import Refused
from core.kinds import ACCOUNT_FIELDS, Kind, Payload, no_before, person_of, tidied, uuid_of
from core.rules import person_texts
from core.rules.person_texts import LENGTHS
from core.rules.problems import Problem
from core.rules.roles import Role
from core.store.model import ChangeRequest, GroupRole, Person
from core.store.work import Work

# Accounts ---------------------------------------------------------------------------------------------------------


def _add_problems(work: Work, payload: Payload) -> tuple[Problem, ...]:
    problems = people.account_problems(work, payload)
    directory, entry_id = work.ports.directory, payload.get("directory_id")
    if entry_id and work.db.scalars(select(Person.id).where(Person.directory_id == entry_id)).first():
        problems += (
            Problem(
                "directory-taken", "This account of the directory belongs to somebody here already.", "login"
            ),
        )
    if payload.get("in_directory") and (directory is None or not directory.writes):
        problems += (
            Problem(
                "directory",
                "Accounts in the directory are made by whoever looks after it: SORG_DIRECTORY_WRITER "
                "is not set.",
                "in_directory",
            ),
        )
    return problems


def _add_apply(work: Work, row: ChangeRequest) -> Payload | None:
    if problems := _add_problems(work, row.payload):
        raise Refused(problems[0].sentence, problems=problems)
    if row.payload.get("in_directory"):
        return None
    entry_id = row.payload.get("directory_id")
    person = people.new_person(
        work, row.payload, directory="directory" if entry_id else "local", directory_id=entry_id
    )
    row.person_id = person.id
    standing.tell_of_admin(work, person)
    return {"person": str(person.id), "roles": person.roles}


def _details(work: Work, payload: Payload) -> Payload:
    person = person_of(work, payload)
    return {k: getattr(person, k) for k in LENGTHS}


def _details_problems(work: Work, payload: Payload) -> tuple[Problem, ...]:
    person = person_of(work, payload)
    if all(payload[k] == getattr(person, k) for k in LENGTHS):
        return (Problem("same", "Nothing would change.", "name"),)
    return correction_problems(person, payload)


def correction_problems(person: Person, wanted: dict[str, Any]) -> tuple[Problem, ...]:
    """What is wrong with new texts of somebody. What stays as it is was taken once, by whatever rule there was then."""
    changed = {k: wanted[k] for k in LENGTHS if wanted[k] != getattr(person, k)}
    problems = person_texts.problems_of(changed)
    problems += [
        Problem(
            "details-directory",
            f"{person.login}'s name and e-mail are {_KEPT[person.directory]}: change them there.",
            k,
        )
        for k in ("name", "email")
        if k in changed and person.directory in _KEPT
    ]
    return tuple(problems)


_KEPT = {"directory": "kept in the practice's directory", "sso": "kept where the single sign-on has them"}


def _details_apply(work: Work, row: ChangeRequest) -> Payload:
    correct(work, person_of(work, row.payload, lock=True), row.payload)
    return _details(work, row.payload)


def correct(work: Work, person: Person, wanted: Payload) -> None:
    """Give somebody these texts."""
    people.rename(work, person, name=wanted["name"], registration=wanted["registration"])
    person.practice_number, person.email = wanted["practice_number"], wanted["email"]


def _login_now(work: Work, payload: Payload) -> Payload:
    return {"login": person_of(work, payload).login}


def _login_problems(work: Work, payload: Payload) -> tuple[Problem, ...]:
    """Of an account that is kept here: what somebody signs in as elsewhere is changed there, and followed here."""
    person = person_of(work, payload)
    if person.directory in _LOGIN_KEPT:
        return (Problem("login-kept", _LOGIN_KEPT[person.directory].format(person.login), "login"),)
    if people.fold(payload["login"]) == person.login:
        return (Problem("same", "Nothing would change.", "login"),)
    return people.login_problems(work, payload["login"])


_LOGIN_KEPT = {
    "directory": "{} signs in as the practice's directory has it: change it there, and it holds here from the next sign-in.",
    "sso": "{} comes in by single sign-on: change the name there, and it holds here from the next sign-in.",
}


def _login_apply(work: Work, row: ChangeRequest) -> Payload:
    person = person_of(work, row.payload, lock=True)
    if problems := _login_problems(work, row.payload):  # Somebody may have come with this login meanwhile.
        raise Refused(problems[0].sentence, problems=problems)
    people.set_login(work, person, row.payload["login"])
    people.void_slips(work, person.id)  # What is printed on them opens nothing any more.
    ended = people.end_sessions_of(work, person, why="signs in under another name")
    return {"login": person.login, "sessions ended": ended}


def _standing(work: Work, payload: Payload) -> Payload:
    p = person_of(work, payload)
    return {
        "roles": p.roles,
        "scope": p.scope,
        "sites": p.sites,
        "patient_id": p.patient_id and str(p.patient_id),
        "referrer_id": p.referrer_id and str(p.referrer_id),
    }


def _roles_problems(work: Work, payload: Payload) -> tuple[Problem, ...]:
    person = person_of(work, payload)
    problems = people.scope_problems(payload.get("scope", ""), tuple(payload.get("sites", ())))
    problems += people.role_problems(
        work, tuple(payload["roles"]), payload.get("patient_id"), payload.get("referrer_id")
    )
    if person.directory != "local" and sorted(payload["roles"]) != sorted(person.roles):
        problems += (
            Problem(
                "roles-directory",
                "This person's roles come from their groups in the directory: change the groups.",
                "roles",
            ),
        )
    after = {
        "roles": sorted(payload["roles"]),
        "scope": payload.get("scope", ""),
        "sites": list(payload.get("sites", ())),
        "patient_id": payload.get("patient_id"),
        "referrer_id": payload.get("referrer_id"),
    }
    if (
        not set(payload["roles"]) & set(people.OUTSIDE)
        and payload.get("patient_id") != _standing(work, payload)["patient_id"]
    ):
        problems += (
            Problem(
                "own-record", "Whose record is a member of staff's own is a request of its own.", "patient_id"
            ),
        )
    if not problems and after == {**_standing(work, payload), "roles": sorted(person.roles)}:
        problems += (Problem("same", "Nothing would change.", "roles"),)
    return problems


def _roles_apply(work: Work, row: ChangeRequest) -> Payload:
    person, payload = person_of(work, row.payload, lock=True), row.payload
    _set_standing(work, person, payload)
    person.patient_id, person.referrer_id = (
        uuid_of(payload.get("patient_id")),
        uuid_of(payload.get("referrer_id")),
    )
    if _sees_others(row.before, payload):
        people.end_sessions_of(work, person, why="wider reach")
    return _standing(work, payload)


def _set_standing(work: Work, person: Person, wanted: dict[str, Any]) -> None:
    """Roles and reach. Whoever gets more signs in anew: a window left open somewhere must not grow."""
    if Role.ADMIN not in wanted["roles"]:
        standing.keep_an_admin(work, person)
    give_standing(work, person, wanted)


def give_standing(
    work: Work, person: Person, wanted: dict[str, Any], *, has_slip: bool = True, has_sessions: bool = True
) -> None:
    """An admin is known to remain. has_slip, has_sessions: False when there is none, asked for a whole sheet at once."""
    if has_slip and Role.ADMIN in wanted["roles"] and Role.ADMIN not in person.roles:
        people.void_slips(work, person.id)  # One given out for less must not open an admin's account.
    before = {"scope": person.scope, "sites": person.sites}
    people.set_roles(work, person, wanted["roles"], has_sessions=has_sessions)
    person.scope, person.sites = wanted.get("scope", ""), list(wanted.get("sites", ()))
    if has_sessions and _reaches_further(before, {"scope": person.scope, "sites": person.sites}):
        people.end_sessions_of(work, person, why="wider reach")


def _reaches_further(before: dict[str, Any], after: dict[str, Any]) -> bool:
    """True when it may be more. What "as the roles say" and "the house's own" mean depends, so that they count as more."""
    widths = ("none", "assigned", "site", "all")
    if before["scope"] != after["scope"]:
        known = {before["scope"], after["scope"]} <= set(widths)
        if not known or widths.index(before["scope"]) < widths.index(after["scope"]):
            return after["scope"] != "none"
    return bool(set(after["sites"]) - set(before["sites"])) or bool(before["sites"]) > bool(after["sites"])


def _sees_others(before: dict[str, Any], after: dict[str, Any]) -> bool:
    """True when an account of a patient or a doctor would belong to another one."""
    return any(after.get(k) and after.get(k) != before.get(k) for k in ("patient_id", "referrer_id"))


def _is_active(work: Work, payload: Payload) -> Payload:
    return {"standing": standing.standing_of(work, person_of(work, payload))}


def _let_in_problems(work: Work, payload: Payload) -> tuple[Problem, ...]:
    if standing.standing_of(work, person_of(work, payload)) not in ("shut", "closed"):
        return (Problem("in", "This account is open already."),)
    return ()


def _let_in_apply(work: Work, row: ChangeRequest) -> Payload:
    person = person_of(work, row.payload, lock=True)
    person.is_active, person.closes_at = True, None
    person.wrong_answers = person.wrong_codes = 0
    person.locked_until = person.codes_rest_until = None
    return _is_active(work, row.payload)


def _factors_now(work: Work, payload: Payload) -> Payload:
    person = person_of(work, payload)
    proofs = factors.factors_of(work, person)
    return {"app": proofs.code, "keys": len(proofs.keys), "recovery codes": proofs.recovery_codes}


def _factor_apply(work: Work, row: ChangeRequest) -> Payload:
    person = person_of(work, row.payload, lock=True)
    # Who has no factor waits for a slip, and a slip needs another admin.
    standing.keep_an_admin(work, person)
    factors.forget_all(work, person)
    people.void_slips(work, person.id)
    return {"sessions ended": people.end_sessions_of(work, person, why="second factor reset")} | _factors_now(
        work, row.payload
    )


def _password_problems(work: Work, payload: Payload) -> tuple[Problem, ...]:
    person = person_of(work, payload)
    if person.directory == "sso":
        return (Problem("sso", "This person's password is kept by the single sign-on."),)
    if person.directory == "directory" and (work.ports.directory is None or not work.ports.directory.writes):
        return (Problem("directory", "The directory keeps this password, and we may not change it there."),)
    return ()


def _password_now(work: Work, payload: Payload) -> Payload:
    person = person_of(work, payload)
    return {"password": "set" if person.password_hash or person.directory != "local" else "none"}


def _password_apply(work: Work, row: ChangeRequest) -> Payload:
    person = person_of(work, row.payload, lock=True)
    standing.keep_an_admin(work, person)
    person.slip_sets_password = True
    if person.directory == "local":
        person.password_hash = ""
    person.wrong_answers, person.locked_until, person.away_until = 0, None, None
    people.void_slips(work, person.id)
    return {"sessions ended": people.end_sessions_of(work, person, why="password reset"), "password": "none"}


# The directory ----------------------------------------------------------------------------------------------------


def _mapping_now(work: Work, payload: Payload) -> Payload:
    rows = work.db.scalars(select(GroupRole).order_by(GroupRole.group_id, GroupRole.role))
    return {"lines": [{"group_id": g.group_id, "group_name": g.group_name, "role": g.role} for g in rows]}


def _mapping_apply(work: Work, row: ChangeRequest) -> Payload:
    admins = standing.admins_who_can(work)
    groups.set_mapping(work, row.payload["lines"])
    work.db.flush()
    if admins and not any(
        p.directory == "local" or Role.ADMIN in groups.roles_for(work, frozenset(p.groups)) for p in admins
    ):
        raise Refused(
            "No admin who can sign in would be left. Keep a group of theirs, or make a local admin first."
        )
    return _mapping_now(work, row.payload)


def _in_directory_problems(work: Work, payload: Payload) -> tuple[Problem, ...]:
    directory = work.ports.directory
    if person_of(work, payload).directory != "directory":
        return (Problem("local", "This account is kept here, not in the directory."),)
    if directory is None or not directory.writes:
        return (Problem("directory", "We may not change the directory: SORG_DIRECTORY_WRITER is not set."),)
    return ()


def _enabled_apply(work: Work, row: ChangeRequest) -> None:
    if not row.payload["enabled"]:
        standing.keep_an_admin(work, person_of(work, row.payload, lock=True))


def _groups_apply(work: Work, row: ChangeRequest) -> None:
    person = person_of(work, row.payload, lock=True)
    after = (frozenset(person.groups) - frozenset(row.payload.get("remove", ()))) | frozenset(
        row.payload.get("add", ())
    )
    if Role.ADMIN not in groups.roles_for(work, after):
        standing.keep_an_admin(work, person)


def _account_problems(work: Work, payload: Payload) -> tuple[Problem, ...]:
    if not isinstance(payload.get("enabled"), bool):
        return (Problem("enabled", "Say whether the account is to be open or shut.", "enabled"),)
    return _in_directory_problems(work, payload)


def _groups_problems(work: Work, payload: Payload) -> tuple[Problem, ...]:
    add, remove = payload.get("add", []), payload.get("remove", [])
    if not isinstance(payload.get("names", {}), dict):
        return (Problem("shape", "This request cannot be read.", "names"),)
    if not (add or remove) or set(add) & set(remove):
        return (Problem("groups", "Choose the groups to join or to leave.", "groups"),)
    return _in_directory_problems(work, payload)


def _groups_now(work: Work, payload: Payload) -> Payload:
    return {"groups": person_of(work, payload).groups}


# What is left out of a request: left alone ---------------------------------------------------------------------------


def _add_fill(work: Work, payload: Payload) -> Payload:
    return tidied(payload)


def _roles_fill(work: Work, payload: Payload) -> Payload:
    return {**_standing(work, payload), **payload}


def _details_fill(work: Work, payload: Payload) -> Payload:
    return {**_details(work, payload), **tidied(payload)}


def _login_fill(work: Work, payload: Payload) -> Payload:
    return {**payload, "login": people.fold(payload["login"])}


# The table --------------------------------------------------------------------------------------------------------

_PERSON = ("person_id",)

ACCOUNTS: dict[str, Kind] = {
    "add-person": Kind("New account", ("login", "name", "roles"), (*ACCOUNT_FIELDS, "patient_id", "referrer_id", "directory_id",
                       "in_directory", "groups"), _add_problems, no_before, _add_apply, _add_fill),
    "set-roles": Kind("Roles and reach", ("person_id", "roles"), ("scope", "sites", "patient_id", "referrer_id"), _roles_problems,
                      _standing, _roles_apply, _roles_fill),
    "person-details": Kind("Name and numbers", _PERSON, tuple(LENGTHS), _details_problems, _details, _details_apply,
                           _details_fill),
    "new-login": Kind("What they sign in as", ("person_id", "login"), (), _login_problems, _login_now, _login_apply,
                      _login_fill),
    "let-in": Kind("Let in again", _PERSON, (), _let_in_problems, _is_active, _let_in_apply),
    "reset-password": Kind("New password", _PERSON, (), _password_problems, _password_now, _password_apply),
    "reset-factor": Kind("New second factor", _PERSON, (), lambda work, payload: (), _factors_now, _factor_apply),
    "group-roles": Kind("Groups and roles", ("lines",), (), lambda work, payload: groups.mapping_problems(work, payload["lines"]),
                        _mapping_now, _mapping_apply),
    "directory-account": Kind("Account in the directory", _PERSON, ("enabled",), _account_problems, _is_active, _enabled_apply),
    "directory-groups": Kind("Groups in the directory", _PERSON, ("add", "remove", "names"), _groups_problems, _groups_now,
                             _groups_apply),
}  # fmt: skip
