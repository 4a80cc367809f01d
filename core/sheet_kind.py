"""The change that a sheet of staff asks for: every row of it, or none."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import select

from core import people, standing
from core.account_kinds import correct, correction_problems, give_standing
from core.errors import Refused
from core.kinds import SEALED, Kind, Payload, tidied
from core.rules.person_texts import LENGTHS
from core.rules.problems import Problem
from core.rules.roles import Role
from core.store.model import ChangeRequest, Person
from core.store.work import Work


def _import_problems(work: Work, payload: Payload) -> tuple[Problem, ...]:
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


def _imported_people(work: Work, payload: Payload, *, lock: bool = False) -> dict[str, Person]:
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


def _roles_or_texts_problems(work: Work, person: Person, item: Payload) -> tuple[Problem, ...]:
    if people.fold(item["login"]) != person.login:
        return (
            Problem(
                "login", f"'{item['login']}' is not the login of the account that this row changes.", "login"
            ),
        )
    if person.is_break_glass:
        return (SEALED,)
    problems = people.scope_problems(item.get("scope", ""), tuple(item.get("sites", ())))
    problems += people.role_problems(
        work,
        tuple(item["roles"]),
        person.patient_id and str(person.patient_id),
        person.referrer_id and str(person.referrer_id),
    )
    problems += correction_problems(person, item)
    if person.directory != "local" and sorted(item["roles"]) != sorted(person.roles):
        problems += (
            Problem(
                "roles-directory", f"{person.login}'s roles come from their groups in the directory.", "roles"
            ),
        )
    return problems


def _import_now(work: Work, payload: Payload) -> Payload:
    known = _imported_people(work, payload)
    return {
        "rows": [_imported(known[item["person_id"]]) for item in payload["rows"] if item.get("person_id")]
    }


def _imported(p: Person) -> Payload:
    return {"login": p.login, "roles": p.roles, "scope": p.scope, "sites": p.sites} | {
        k: getattr(p, k) for k in LENGTHS
    }


def _import_apply(work: Work, row: ChangeRequest) -> Payload:
    """All of it in this one transaction, or nothing; what the database is asked, it is asked for all of them at once."""
    if problems := _import_problems(work, row.payload):
        raise Refused(problems[0].sentence, problems=problems)
    known = _imported_people(work, row.payload, lock=True)
    changed = [(known[item["person_id"]], item) for item in row.payload["rows"] if item.get("person_id")]
    standing.keep_an_admin(work, *(person for person, item in changed if Role.ADMIN not in item["roles"]))
    slips, sessions = people.with_slips(work), people.with_sessions(work)
    for person, item in changed:
        give_standing(work, person, item, has_slip=person.id in slips, has_sessions=person.id in sessions)
        correct(work, person, item)
    new = [item for item in row.payload["rows"] if not item.get("person_id")]
    for item in new:
        standing.tell_of_admin(work, people.new_person(work, item, at_once=False))
    return {"new": len(new), "changed": len(changed)}


def _import_fill(work: Work, payload: Payload) -> Payload:
    known = _imported_people(work, payload)
    plain = {"scope": "", "sites": []} | dict.fromkeys(LENGTHS, "")
    rows = [
        {**(_imported(known[str(item["person_id"])]) if item.get("person_id") else plain), **tidied(item)}
        for item in payload["rows"]
    ]
    return {**payload, "rows": rows}


SHEET = {
    "import": Kind(
        "Import of people", ("rows",), (), _import_problems, _import_now, _import_apply, _import_fill
    )
}
