"""The kinds of change: what each takes, what is wrong with it, how things stand, and doing it.

A new kind is a row of KINDS. core.changes asks, approves and applies them; core.change_cards says them in words.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import select

from core import access, factors, groups, people, standing
from core.errors import Refused
from core.rules import person_texts
from core.rules.person_texts import LENGTHS, tidy
from core.rules.problems import Problem
from core.rules.roles import Role
from core.store.model import ChangeRequest, GroupRole, Patient, PatientBlock, PatientGrant, Person
from core.store.work import Work


@dataclass(frozen=True)
class Kind:
    """One kind of change. `apply` returns what it did for the record, or None when an errand must do it outside.

    needs, may: the keys that a payload has, and may have. No other is taken, since none but these are shown.
    """

    label: str
    needs: tuple[str, ...]
    may: tuple[str, ...]
    problems: Callable[[Work, dict[str, Any]], tuple[Problem, ...]]
    before: Callable[[Work, dict[str, Any]], dict[str, Any]]
    apply: Callable[[Work, ChangeRequest], dict[str, Any] | None]


# Accounts ---------------------------------------------------------------------------------------------------------


def _person(work: Work, payload: dict[str, Any], *, lock: bool = False) -> Person:
    return work.get(Person, UUID(str(payload["person_id"])), lock=lock)


def _add_problems(work: Work, payload: dict[str, Any]) -> tuple[Problem, ...]:
    problems = people.account_problems(work, payload)
    directory, entry_id = work.ports.directory, payload.get("directory_id")
    if entry_id and work.db.scalars(select(Person.id).where(Person.directory_id == entry_id)).first():
        problems += (
            Problem(
                "directory-taken", "This account of the directory belongs to somebody here already.", "login"
            ),
        )
    if payload.get("in_directory") and (directory is None or not directory.writes):
        problems += (Problem("directory", "Accounts in the directory are made by whoever looks after it: SORG_DIRECTORY_WRITER "
                             "is not set.", "in_directory"),)  # fmt: skip
    return problems


def _add_apply(work: Work, row: ChangeRequest) -> dict[str, Any] | None:
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


def _details(work: Work, payload: dict[str, Any]) -> dict[str, Any]:
    person = _person(work, payload)
    return {k: getattr(person, k) for k in LENGTHS}


def _details_problems(work: Work, payload: dict[str, Any]) -> tuple[Problem, ...]:
    person = _person(work, payload)
    if all(payload[k] == getattr(person, k) for k in LENGTHS):
        return (Problem("same", "Nothing would change.", "name"),)
    return _correction_problems(person, payload)


def _correction_problems(person: Person, wanted: dict[str, Any]) -> tuple[Problem, ...]:
    """What is wrong with new texts of somebody. What stays as it is was taken once, by whatever rule there was then."""
    changed = {k: wanted[k] for k in LENGTHS if wanted[k] != getattr(person, k)}
    problems = person_texts.problems_of(changed)
    problems += [
        Problem("details-directory", f"{person.login}'s name and e-mail are {_KEPT[person.directory]}: change them there.", k)
        for k in ("name", "email")
        if k in changed and person.directory in _KEPT
    ]  # fmt: skip
    return tuple(problems)


_KEPT = {"directory": "kept in the practice's directory", "sso": "kept where the single sign-on has them"}


def _details_apply(work: Work, row: ChangeRequest) -> dict[str, Any]:
    _correct(work, _person(work, row.payload, lock=True), row.payload)
    return _details(work, row.payload)


def _correct(work: Work, person: Person, wanted: dict[str, Any]) -> None:
    people.rename(work, person, name=wanted["name"], registration=wanted["registration"])
    person.practice_number, person.email = wanted["practice_number"], wanted["email"]


def _login_now(work: Work, payload: dict[str, Any]) -> dict[str, Any]:
    return {"login": _person(work, payload).login}


def _login_problems(work: Work, payload: dict[str, Any]) -> tuple[Problem, ...]:
    """Of an account that is kept here: what somebody signs in as elsewhere is changed there, and followed here."""
    person = _person(work, payload)
    if person.directory in _LOGIN_KEPT:
        return (Problem("login-kept", _LOGIN_KEPT[person.directory].format(person.login), "login"),)
    if people.fold(payload["login"]) == person.login:
        return (Problem("same", "Nothing would change.", "login"),)
    return people.login_problems(work, payload["login"])


_LOGIN_KEPT = {
    "directory": "{} signs in as the practice's directory has it: change it there, and it holds here from the next sign-in.",
    "sso": "{} comes in by single sign-on: change the name there, and it holds here from the next sign-in.",
}


def _login_apply(work: Work, row: ChangeRequest) -> dict[str, Any]:
    person = _person(work, row.payload, lock=True)
    if problems := _login_problems(work, row.payload):  # Somebody may have come with this login meanwhile.
        raise Refused(problems[0].sentence, problems=problems)
    people.set_login(work, person, row.payload["login"])
    people.void_slips(work, person.id)  # What is printed on them opens nothing any more.
    ended = people.end_sessions_of(work, person, why="signs in under another name")
    return {"login": person.login, "sessions ended": ended}


def _standing(work: Work, payload: dict[str, Any]) -> dict[str, Any]:
    p = _person(work, payload)
    return {"roles": p.roles, "scope": p.scope, "sites": p.sites, "patient_id": p.patient_id and str(p.patient_id),
            "referrer_id": p.referrer_id and str(p.referrer_id)}  # fmt: skip


def _roles_problems(work: Work, payload: dict[str, Any]) -> tuple[Problem, ...]:
    person = _person(work, payload)
    problems = people.scope_problems(payload.get("scope", ""), tuple(payload.get("sites", ())))
    problems += people.role_problems(
        work, tuple(payload["roles"]), payload.get("patient_id"), payload.get("referrer_id")
    )
    if person.directory != "local" and sorted(payload["roles"]) != sorted(person.roles):
        problems += (Problem("roles-directory", "This person's roles come from their groups in the directory: change the groups.",
                             "roles"),)  # fmt: skip
    after = {"roles": sorted(payload["roles"]), "scope": payload.get("scope", ""), "sites": list(payload.get("sites", ())),
             "patient_id": payload.get("patient_id"), "referrer_id": payload.get("referrer_id")}  # fmt: skip
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


def _roles_apply(work: Work, row: ChangeRequest) -> dict[str, Any]:
    person, payload = _person(work, row.payload, lock=True), row.payload
    _set_standing(work, person, payload)
    person.patient_id, person.referrer_id = (
        _uuid(payload.get("patient_id")),
        _uuid(payload.get("referrer_id")),
    )
    if _sees_others(row.before, payload):
        people.end_sessions_of(work, person, why="wider reach")
    return _standing(work, payload)


def _set_standing(work: Work, person: Person, wanted: dict[str, Any]) -> None:
    """Roles and reach. Whoever gets more signs in anew: a window left open somewhere must not grow."""
    if Role.ADMIN not in wanted["roles"]:
        standing.keep_an_admin(work, person)
    _give_standing(work, person, wanted)


def _give_standing(
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


def _is_active(work: Work, payload: dict[str, Any]) -> dict[str, Any]:
    return {"standing": standing.standing_of(work, _person(work, payload))}


def _let_in_problems(work: Work, payload: dict[str, Any]) -> tuple[Problem, ...]:
    if standing.standing_of(work, _person(work, payload)) not in ("shut", "closed"):
        return (Problem("in", "This account is open already."),)
    return ()


def _let_in_apply(work: Work, row: ChangeRequest) -> dict[str, Any]:
    person = _person(work, row.payload, lock=True)
    person.is_active, person.closes_at = True, None
    person.wrong_answers = person.wrong_codes = 0
    person.locked_until = person.codes_rest_until = None
    return _is_active(work, row.payload)


def _factors_now(work: Work, payload: dict[str, Any]) -> dict[str, Any]:
    person = _person(work, payload)
    proofs = factors.factors_of(work, person)
    return {"app": proofs.code, "keys": len(proofs.keys), "recovery codes": proofs.recovery_codes}


def _factor_apply(work: Work, row: ChangeRequest) -> dict[str, Any]:
    person = _person(work, row.payload, lock=True)
    # Who has no factor waits for a slip, and a slip needs another admin.
    standing.keep_an_admin(work, person)
    factors.forget_all(work, person)
    people.void_slips(work, person.id)
    return {"sessions ended": people.end_sessions_of(work, person, why="second factor reset")} | _factors_now(
        work, row.payload
    )


def _password_problems(work: Work, payload: dict[str, Any]) -> tuple[Problem, ...]:
    person = _person(work, payload)
    if person.directory == "sso":
        return (Problem("sso", "This person's password is kept by the single sign-on."),)
    if person.directory == "directory" and (work.ports.directory is None or not work.ports.directory.writes):
        return (Problem("directory", "The directory keeps this password, and we may not change it there."),)
    return ()


def _password_now(work: Work, payload: dict[str, Any]) -> dict[str, Any]:
    person = _person(work, payload)
    return {"password": "set" if person.password_hash or person.directory != "local" else "none"}


def _password_apply(work: Work, row: ChangeRequest) -> dict[str, Any]:
    person = _person(work, row.payload, lock=True)
    standing.keep_an_admin(work, person)
    person.slip_sets_password = True
    if person.directory == "local":
        person.password_hash = ""
    person.wrong_answers, person.locked_until, person.away_until = 0, None, None
    people.void_slips(work, person.id)
    return {"sessions ended": people.end_sessions_of(work, person, why="password reset"), "password": "none"}


def _no_before(work: Work, payload: dict[str, Any]) -> dict[str, Any]:
    return {}


# The directory ----------------------------------------------------------------------------------------------------


def _mapping_now(work: Work, payload: dict[str, Any]) -> dict[str, Any]:
    rows = work.db.scalars(select(GroupRole).order_by(GroupRole.group_id, GroupRole.role))
    return {"lines": [{"group_id": g.group_id, "group_name": g.group_name, "role": g.role} for g in rows]}


def _mapping_apply(work: Work, row: ChangeRequest) -> dict[str, Any]:
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


def _in_directory_problems(work: Work, payload: dict[str, Any]) -> tuple[Problem, ...]:
    directory = work.ports.directory
    if _person(work, payload).directory != "directory":
        return (Problem("local", "This account is kept here, not in the directory."),)
    if directory is None or not directory.writes:
        return (Problem("directory", "We may not change the directory: SORG_DIRECTORY_WRITER is not set."),)
    return ()


def _enabled_apply(work: Work, row: ChangeRequest) -> None:
    if not row.payload["enabled"]:
        standing.keep_an_admin(work, _person(work, row.payload, lock=True))


def _groups_apply(work: Work, row: ChangeRequest) -> None:
    person = _person(work, row.payload, lock=True)
    after = (frozenset(person.groups) - frozenset(row.payload.get("remove", ()))) | frozenset(
        row.payload.get("add", ())
    )
    if Role.ADMIN not in groups.roles_for(work, after):
        standing.keep_an_admin(work, person)


def _account_problems(work: Work, payload: dict[str, Any]) -> tuple[Problem, ...]:
    if not isinstance(payload.get("enabled"), bool):
        return (Problem("enabled", "Say whether the account is to be open or shut.", "enabled"),)
    return _in_directory_problems(work, payload)


def _groups_problems(work: Work, payload: dict[str, Any]) -> tuple[Problem, ...]:
    add, remove = payload.get("add", []), payload.get("remove", [])
    if not isinstance(payload.get("names", {}), dict):
        return (Problem("shape", "This request cannot be read.", "names"),)
    if not (add or remove) or set(add) & set(remove):
        return (Problem("groups", "Choose the groups to join or to leave.", "groups"),)
    return _in_directory_problems(work, payload)


def _groups_now(work: Work, payload: dict[str, Any]) -> dict[str, Any]:
    return {"groups": _person(work, payload).groups}


# One patient --------------------------------------------------------------------------------------------


def _grant_apply(work: Work, row: ChangeRequest) -> dict[str, Any]:
    p = row.payload
    made = access.add_grant(work, person_id=UUID(p["person_id"]), patient_id=UUID(p["patient_id"]), why=row.why or p.get("why", ""),
                            until_at=datetime.fromisoformat(p["until_at"]), request_id=row.id)  # fmt: skip
    return {"grant": str(made)}


def _block_now(work: Work, payload: dict[str, Any]) -> dict[str, Any]:
    """What the person was let in with till now: a grant is stronger than a block, so that it ends with the block."""
    person_id, patient_id = _uuid(payload.get("person_id")), UUID(payload["patient_id"])
    standing = access.grants_of(work, person_id=person_id, patient_id=patient_id) if person_id else ()
    return {"grants": _said_grants(standing)}


def _said_grants(grants: tuple[PatientGrant, ...]) -> list[dict[str, str]]:
    return [{"id": str(g.id), "until": g.until_at.isoformat(), "why": g.why} for g in grants]


def _end_grants(work: Work, row: ChangeRequest) -> list[str]:
    for grant in row.before["grants"]:
        access.end(work, what="grant", row_id=UUID(grant["id"]))
    return [grant["id"] for grant in row.before["grants"]]


def _block_apply(work: Work, row: ChangeRequest) -> dict[str, Any]:
    p, ended = row.payload, _end_grants(work, row)
    until = datetime.fromisoformat(p["until_at"]) if p.get("until_at") else None
    made = access.add_block(work, patient_id=UUID(p["patient_id"]), person_id=_uuid(p.get("person_id")), kind=p["kind"],
                            why=row.why or p.get("why", ""), until_at=until, request_id=row.id)  # fmt: skip
    return {"block": str(made), "ended": ended}


def _own_record_problems(work: Work, payload: dict[str, Any]) -> tuple[Problem, ...]:
    """A member of staff's own record: a patient there is, and nobody opens their own to themselves."""
    person, wanted = _person(work, payload), payload["patient_id"]
    if set(person.roles) & set(people.OUTSIDE):
        return (Problem("not-staff", "A patient's or doctor's account is bound by its role.", "person_id"),)
    if wanted == (person.patient_id and str(person.patient_id)):
        return (Problem("same", "Nothing would change.", "patient_id"),)
    if person.patient_id and str(person.id) == work.actor.id:
        return (Problem("own-record", "Nobody opens their own record to themselves.", "person_id"),)
    if wanted and not file_number(work, UUID(wanted)):
        return (Problem("no-patient", "There is no such patient.", "patient_id"),)
    return ()


def _own_record_now(work: Work, payload: dict[str, Any]) -> dict[str, Any]:
    """Whose record is theirs now, and what they were let in with till now to the one that will be."""
    person, wanted = _person(work, payload), payload["patient_id"]
    standing_grants = access.grants_of(work, person_id=person.id, patient_id=UUID(wanted)) if wanted else ()
    return {
        "patient_id": person.patient_id and str(person.patient_id),
        "grants": _said_grants(standing_grants),
    }


def _own_record_apply(work: Work, row: ChangeRequest) -> dict[str, Any]:
    person = _person(work, row.payload, lock=True)
    # Who became a patient's account meanwhile would be let in to what this was to shut.
    if problems := _own_record_problems(work, row.payload):
        raise Refused(problems[0].sentence, problems=problems)
    if person.patient_id:
        people.end_sessions_of(work, person, why="wider reach")
    person.patient_id = _uuid(row.payload["patient_id"])
    return {"patient_id": row.payload["patient_id"], "ended": _end_grants(work, row)}


def _end_now(work: Work, payload: dict[str, Any]) -> dict[str, Any]:
    model = PatientGrant if payload["what"] == "grant" else PatientBlock
    row = work.get(model, UUID(payload["id"]), what=payload["what"])
    return {
        "ended": row.ended_at.isoformat() if row.ended_at else "",
        "person": name_and_login(work, row.person_id) or "everybody",
        "patient": file_number(work, row.patient_id),
        "why": row.why,
    }


def _end_apply(work: Work, row: ChangeRequest) -> dict[str, Any]:
    access.end(work, what=row.payload["what"], row_id=UUID(row.payload["id"]))
    return _end_now(work, row.payload)


# A sheet of staff -------------------------------------------------------------------------------------------------


def _import_problems(work: Work, payload: dict[str, Any]) -> tuple[Problem, ...]:
    """Every row is checked again here, since the sheet was planned a while ago, maybe in another browser."""
    problems: list[Problem] = []
    known, taken = _imported_people(work, payload), people.logins(work)
    for number, item in enumerate(payload["rows"], 1):
        if item.get("person_id"):
            said = _roles_or_texts_problems(work, known[str(item["person_id"])], item)
        else:
            said = people.account_problems(work, item, taken=taken)
        problems += [Problem(p.code, f"Line {item.get('line', number)}: {p.sentence}", p.field) for p in said]
    logins = [people.fold(item["login"]) for item in payload["rows"]]
    if len(set(logins)) != len(logins):
        problems.append(Problem("twice", "One login stands twice in the sheet."))
    if not payload["rows"]:
        problems.append(Problem("empty", "Nothing in the sheet would change anything."))
    return tuple(problems)


def _imported_people(work: Work, payload: dict[str, Any], *, lock: bool = False) -> dict[str, Person]:
    """Those whom a sheet changes, by id: in a few questions, since a sheet may have thousands. Raises Missing."""
    wanted = sorted({str(item["person_id"]) for item in payload["rows"] if item.get("person_id")})
    # Held as long as this piece of work lasts, or the session forgets them, and reads them anew for the next question.
    found: dict[str, Person] = work.db.info.setdefault("imported people", {})
    missing = [UUID(person_id) for person_id in wanted if lock or person_id not in found]
    for first in range(0, len(missing), 500):
        query = select(Person).where(Person.id.in_(missing[first : first + 500])).order_by(Person.id)
        if lock:
            query = query.with_for_update(key_share=True).execution_options(populate_existing=True)
        found |= {str(p.id): p for p in work.db.scalars(query)}
    for person_id in wanted:
        if person_id not in found:
            work.get(Person, person_id)
    return found


def _roles_or_texts_problems(work: Work, person: Person, item: dict[str, Any]) -> tuple[Problem, ...]:
    if people.fold(item["login"]) != person.login:
        return (
            Problem(
                "login", f"'{item['login']}' is not the login of the account that this row changes.", "login"
            ),
        )
    if person.is_break_glass:
        return (SEALED,)
    problems = people.scope_problems(item.get("scope", ""), tuple(item.get("sites", ())))
    problems += people.role_problems(work, tuple(item["roles"]), person.patient_id and str(person.patient_id),
                                     person.referrer_id and str(person.referrer_id))  # fmt: skip
    problems += _correction_problems(person, item)
    if person.directory != "local" and sorted(item["roles"]) != sorted(person.roles):
        problems += (
            Problem(
                "roles-directory", f"{person.login}'s roles come from their groups in the directory.", "roles"
            ),
        )
    return problems


def _import_now(work: Work, payload: dict[str, Any]) -> dict[str, Any]:
    known = _imported_people(work, payload)
    return {
        "rows": [_imported(known[item["person_id"]]) for item in payload["rows"] if item.get("person_id")]
    }


def _imported(p: Person) -> dict[str, Any]:
    return {"login": p.login, "roles": p.roles, "scope": p.scope, "sites": p.sites} | {
        k: getattr(p, k) for k in LENGTHS
    }


def _import_apply(work: Work, row: ChangeRequest) -> dict[str, Any]:
    """All of it in this one transaction, or nothing; what the database is asked, it is asked for all of them at once."""
    if problems := _import_problems(work, row.payload):
        raise Refused(problems[0].sentence, problems=problems)
    known = _imported_people(work, row.payload, lock=True)
    changed = [(known[item["person_id"]], item) for item in row.payload["rows"] if item.get("person_id")]
    standing.keep_an_admin(work, *(person for person, item in changed if Role.ADMIN not in item["roles"]))
    slips, sessions = people.with_slips(work), people.with_sessions(work)
    for person, item in changed:
        _give_standing(work, person, item, has_slip=person.id in slips, has_sessions=person.id in sessions)
        _correct(work, person, item)
    new = [item for item in row.payload["rows"] if not item.get("person_id")]
    for item in new:
        standing.tell_of_admin(work, people.new_person(work, item, at_once=False))
    return {"new": len(new), "changed": len(changed)}


# The table --------------------------------------------------------------------------------------------------------

_PERSON = ("person_id",)
ACCOUNT_FIELDS = ("registration", "practice_number", "email", "scope", "sites")

KINDS: dict[str, Kind] = {
    "add-person": Kind("New account", ("login", "name", "roles"), (*ACCOUNT_FIELDS, "patient_id", "referrer_id", "directory_id",
                       "in_directory", "groups"), _add_problems, _no_before, _add_apply),
    "set-roles": Kind("Roles and reach", ("person_id", "roles"), ("scope", "sites", "patient_id", "referrer_id"), _roles_problems,
                      _standing, _roles_apply),
    "person-details": Kind("Name and numbers", _PERSON, tuple(LENGTHS), _details_problems, _details, _details_apply),
    "new-login": Kind("What they sign in as", ("person_id", "login"), (), _login_problems, _login_now, _login_apply),
    "let-in": Kind("Let in again", _PERSON, (), _let_in_problems, _is_active, _let_in_apply),
    "reset-password": Kind("New password", _PERSON, (), _password_problems, _password_now, _password_apply),
    "reset-factor": Kind("New second factor", _PERSON, (), lambda work, payload: (), _factors_now, _factor_apply),
    "group-roles": Kind("Groups and roles", ("lines",), (), lambda work, payload: groups.mapping_problems(work, payload["lines"]),
                        _mapping_now, _mapping_apply),
    "directory-account": Kind("Account in the directory", _PERSON, ("enabled",), _account_problems, _is_active, _enabled_apply),
    "directory-groups": Kind("Groups in the directory", _PERSON, ("add", "remove", "names"), _groups_problems, _groups_now,
                             _groups_apply),
    "grant": Kind("Access to a patient", (), ("person_id", "patient_id", "why", "until_at"), access.grant_problems, _no_before,
                  _grant_apply),
    "block": Kind("Close a patient's record", (), ("person_id", "patient_id", "kind", "why", "until_at"), access.block_problems,
                  _block_now, _block_apply),
    "own-record": Kind("Own record as a patient", ("person_id", "patient_id"), (), _own_record_problems, _own_record_now,
                       _own_record_apply),
    "end-access": Kind("End an access or a block", ("what", "id"), ("person_id", "patient_id"), access.end_problems, _end_now,
                       _end_apply),
    "import": Kind("Import of people", ("rows",), (), _import_problems, _import_now, _import_apply),
}  # fmt: skip

# What each row of a list has: (the key, what it needs, what it may have).
_ROWS = {
    "group-roles": ("lines", ("group_id", "group_name", "role"), ()),
    "import": ("rows", ("login", "name", "roles"), (*ACCOUNT_FIELDS, "line", "person_id")),
}
_IDS = ("person_id", "patient_id", "referrer_id", "id")
SEALED = Problem(
    "sealed", "This is the sealed account for emergencies: seal it anew on the machine instead.", "person_id"
)
_NOT_OF_THE_SEALED = (
    "set-roles",
    "person-details",
    "new-login",
    "own-record",
    "let-in",
    "reset-password",
    "reset-factor",
    "directory-account",
    "directory-groups",
)


# For core.changes, inside its gate --------------------------------------------------------------------------------


def shape_problems(kind: str, payload: dict[str, Any]) -> tuple[Problem, ...]:
    """Refuses what no card would show: an unknown key would be approved unseen, a missing one be filled by a default."""
    kinds = KINDS[kind]
    items = [(payload, kinds.needs, kinds.may)]
    if kind in _ROWS and not (missing := set(kinds.needs) - set(payload)):
        key, needs, may = _ROWS[kind]
        rows = payload[key]
        if not isinstance(rows, list) or not all(isinstance(item, dict) for item in rows):
            return (Problem("shape", "This request cannot be read.", key),)
        items += [(item, needs, may) for item in rows]
    for said, needs, may in items:
        unknown, missing = set(said) - {*needs, *may}, set(needs) - set(said)
        if unknown:
            name = min(unknown)
            return (Problem("unknown-key", f"'{name}' has no place in this request.", name),)
        if missing:
            name = min(missing)
            return (Problem("missing-key", f"'{name}' is missing in this request.", name),)
        if odd := sorted(key for key, value in said.items() if not _reads(key, value)):
            return (Problem("shape", "This request cannot be read.", odd[0]),)
    return ()


def _reads(key: str, value: Any) -> bool:
    """True when a value is of the sort that its key has: an edited request is refused and never a surprise."""
    if key in _IDS:
        return not value or _uuid_or_none(value) is not None
    if key in ("login", "why", "scope", *LENGTHS):
        return isinstance(value, str)
    if key in ("roles", "sites", "groups", "add", "remove"):
        return isinstance(value, list) and all(isinstance(item, str) for item in value)
    return True


def filled(work: Work, kind: str, payload: dict[str, Any]) -> dict[str, Any]:
    """The payload with what was left out as it stands now: left out means left alone, and nothing is changed unseen."""
    if kind == "add-person":
        return _tidied(payload)
    if kind == "set-roles":
        return {**_standing(work, payload), **payload}
    if kind == "person-details":
        return {**_details(work, payload), **_tidied(payload)}
    if kind == "new-login":
        return {**payload, "login": people.fold(payload["login"])}
    if kind == "own-record":
        return {**payload, "patient_id": payload["patient_id"] or None}
    if kind == "import":
        known = _imported_people(work, payload)
        plain = {"scope": "", "sites": []} | dict.fromkeys(LENGTHS, "")
        rows = [{**(_imported(known[str(item["person_id"])]) if item.get("person_id") else plain), **_tidied(item)}
                for item in payload["rows"]]  # fmt: skip
        return {**payload, "rows": rows}
    return payload


def _tidied(said: dict[str, Any]) -> dict[str, Any]:
    """Texts in the one spelling that is shown, approved and kept."""
    return {k: tidy(k, v) if k in LENGTHS else v for k, v in said.items()}


def sealed_problems(work: Work, kind: str, payload: dict[str, Any]) -> tuple[Problem, ...]:
    """No request opens the sealed account, or makes it anybody's: it was used, so that it needs a new envelope."""
    is_sealed = kind in _NOT_OF_THE_SEALED and _person(work, payload).is_break_glass
    return (SEALED,) if is_sealed else ()


def whom(work: Work, kind: str, payload: dict[str, Any]) -> tuple[UUID | None, UUID | None]:
    """The person and the patient it is about. Of a right that ends, those whose right it is."""
    if kind == "end-access":
        right = access.right_of(work, what=payload["what"], row_id=UUID(payload["id"]))
        return right.person_id, right.patient_id
    if kind == "own-record":
        return UUID(payload["person_id"]), _uuid(payload["patient_id"]) or _person(work, payload).patient_id
    return _uuid(payload.get("person_id")), _uuid(payload.get("patient_id"))


def file_number(work: Work, patient_id: UUID) -> str:
    """The number alone, also of a record that is closed to whoever decides: else a closed one could never be opened."""
    number = select(Patient.file_number).where(Patient.id == patient_id)
    return work.db.scalars(number.execution_options(the_gates_own=True)).first() or ""


def name_and_login(work: Work, person_id: UUID | None) -> str:
    """A name may stand twice; a login does not."""
    person = work.db.get(Person, person_id) if person_id else None
    return f"{person.name} ({person.login})" if person else ""


def _uuid(value: Any) -> UUID | None:
    return UUID(str(value)) if value else None


def _uuid_or_none(value: Any) -> UUID | None:
    try:
        return UUID(str(value))
    except ValueError:
        return None
