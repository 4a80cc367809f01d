"""A sheet of staff: what taking it over would change, asking for it, and slips for everybody new in it.

    found = staff_import.plan(work, data=data, name="staff.xlsx")
    request = staff_import.ask(work, data=data, name="staff.xlsx", why="New branch", seen=found.digest)

Nothing is taken over here: what is asked for is one request (core.changes), approved whole or not at all.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from sqlalchemy import select

from core import changes, people
from core.errors import Refused, Stale
from core.people import OUTSIDE, Slip
from core.rules.people_sheet import Known, PlannedRow, read_sheet, write_people
from core.rules.people_sheet import plan as planned
from core.rules.person_texts import former_logins
from core.rules.problems import Problem
from core.rules.roles import Permission, Role
from core.rules.za_time import local_day
from core.standing import admins_who_can, asked_for_by_me, standing_of
from core.store.model import Activation, ChangeRequest, Person
from core.store.work import Work

MOST_SLIPS = 200  # at a time: a stack that somebody can carry, and a file that is made while they wait


@dataclass(frozen=True)
class Plan:
    """What each row would do. problems: of the sheet as a whole. digest: what was shown, for `ask`."""

    rows: tuple[PlannedRow, ...]
    problems: tuple[Problem, ...]
    title: str
    encoding: str
    digest: str

    def count(self, what: str) -> int:
        """How many rows are new, changed, unchanged or refused."""
        return sum(row.what == what for row in self.rows)

    @property
    def would_change(self) -> bool:
        """True when there is anything to ask for."""
        return any(row.what in ("new", "changed") for row in self.rows)


@dataclass(frozen=True)
class SlipsDue:
    """Of an approved import: who has not signed in yet, and who of them holds a slip that still works."""

    waiting: int
    with_slip: int


@dataclass(frozen=True)
class _Account:
    """What a row of the sheet meets."""

    id: UUID
    known: Known
    directory: str
    is_outside: bool
    is_break_glass: bool
    is_admin: bool  # one who can sign in (core.standing.admins_who_can)
    former_logins: tuple[str, ...]


def plan(work: Work, *, data: bytes, name: str) -> Plan:
    """The dry run. Raises Refused when the sheet as a whole cannot be read."""
    with work.look(Permission.PEOPLE_MANAGE):
        accounts, today = _accounts(work), local_day(work.now())
    return _plan(accounts, data, name=name, today=today)


def ask(work: Work, *, data: bytes, name: str, why: str, seen: str = "") -> UUID:
    """Ask for everything in the sheet that is new or changed; refused rows are left out.

    seen: the digest of the dry run that was looked at. Raises Stale when the dry run would look different now.
    """
    with work.look(Permission.PEOPLE_MANAGE):
        accounts, today = _accounts(work), local_day(work.now())
    found = _plan(accounts, data, name=name, today=today)
    if seen and seen != found.digest:
        raise Stale("People changed since this sheet was checked. Look at the new result, then ask again.")
    rows = [_wanted(row, accounts) for row in found.rows if row.what in ("new", "changed")]
    if not rows:
        raise Refused("Nothing in this sheet would change anything.")
    return changes.ask(work, kind="import", payload={"rows": rows}, why=why)


def staff_sheet(work: Work, *, kind: str) -> bytes:
    """Everybody who works here as a sheet (csv or xlsx) that can be changed and taken in again."""
    with work.act(Permission.PEOPLE_MANAGE) as facts:
        known = [a.known for a in _accounts(work).values() if not (a.is_outside or a.is_break_glass)]
        facts |= {"step": "sheet", "kind": kind, "rows": len(known)}
    ordered = sorted(known, key=lambda k: (k.name.casefold(), k.login))
    return write_people(ordered, kind="xlsx" if kind == "xlsx" else "csv")


def slips_due(work: Work, request_id: UUID) -> SlipsDue:
    """How many people of this import wait for their first sign-in."""
    with work.look(Permission.PEOPLE_MANAGE):
        waiting = _waiting(work, request_id)
        return SlipsDue(len(waiting), sum(has_slip for _, has_slip in waiting))


def make_slips(work: Work, request_id: UUID, *, again: bool = False) -> tuple[Slip, ...]:
    """Slips for those of this import who have none, at most 200 at a time; shown once.

    An admin's, whom the actor asked for, is left for another admin. again: also for those who have one, which is void then.
    """
    with work.look(Permission.PEOPLE_MANAGE):
        due = [person for person, has_slip in _waiting(work, request_id) if again or not has_slip]
        mine = asked_for_by_me(work, *due)
        wanted = [p.id for p in due if p.id not in mine]
    if due and not wanted:
        raise Refused("You asked for these admins' accounts: another admin must make their slips.")
    if not wanted:
        raise Refused("Everybody of this import has a slip, or has signed in already.")
    return tuple(people.make_slip(work, person_id) for person_id in wanted[:MOST_SLIPS])


# Inside ---------------------------------------------------------------------------------------------------------


def _accounts(work: Work) -> dict[str, _Account]:
    admins = {p.id for p in admins_who_can(work, lock=False)}
    return {p.login: _account(p, is_admin=p.id in admins) for p in work.db.scalars(select(Person))}


def _account(p: Person, *, is_admin: bool) -> _Account:
    known = Known(
        p.login, p.name, tuple(p.roles), p.registration, p.practice_number, p.email, tuple(p.sites), p.scope
    )
    roles = set(p.roles)
    return _Account(
        p.id,
        known,
        p.directory,
        bool(roles & set(OUTSIDE)),
        p.is_break_glass,
        is_admin,
        former_logins(p.former_names),
    )


def _plan(accounts: Mapping[str, _Account], data: bytes, *, name: str, today: Any) -> Plan:
    sheet = read_sheet(data, name=name)
    rows = planned(sheet.rows, {login: a.known for login, a in accounts.items()}, today=today)
    before = {login: a.known for a in accounts.values() for login in a.former_logins}
    rows = tuple(
        _not_twice(_held_against(row, accounts.get(row.login)), before.get(row.login)) for row in rows
    )
    rows = _keep_an_admin(rows, accounts)
    said = "\n".join(f"{r.line}|{r.login}|{r.what}|{r.before}|{r.wanted}" for r in rows)
    return Plan(rows, sheet.problems, sheet.title, sheet.encoding, hashlib.sha256(said.encode()).hexdigest())


def _held_against(row: PlannedRow, account: _Account | None) -> PlannedRow:
    """What a sheet may not change, beyond what the sheet's own rules know."""
    if row.what != "changed" or account is None:
        return row
    if account.is_break_glass:
        return _refused(row, "This is the sealed account for emergencies: no sheet changes it.", "login")
    if account.is_outside:
        return _refused(
            row, "This is a patient's or a referring doctor's account: no sheet changes it.", "login"
        )
    if account.directory != "local" and any(change.field in ("name", "email") for change in row.changes):
        return _refused(
            row,
            f"Their name and e-mail come from the directory: change them there, and write '{account.known.name}' and "
            f"'{account.known.email}' here.",
            "name",
        )
    if account.directory != "local" and any(change.field == "roles" for change in row.changes):
        kept = "; ".join(sorted(account.known.roles))
        return _refused(
            row,
            f"Their roles come from their groups in the directory: change the groups, and write '{kept}' here.",
            "roles",
        )
    return row


def _not_twice(row: PlannedRow, had_it: Known | None) -> PlannedRow:
    """A list that still has the login of before would give one person a second account."""
    if row.what != "new" or had_it is None:
        return row
    return _refused(
        row,
        f"{had_it.name} signed in as '{row.login}' before, and signs in as '{had_it.login}' now: write that. Is it "
        "somebody else, who shall have this login? Add them under People.",
        "login",
    )


def _keep_an_admin(rows: tuple[PlannedRow, ...], accounts: Mapping[str, _Account]) -> tuple[PlannedRow, ...]:
    """The last admins stay admins: somebody new in the sheet cannot sign in yet, so that they do not count."""
    taken = {r.login for r in rows if r.what == "changed" and r.wanted and Role.ADMIN not in r.wanted.roles}
    admins = {login for login, account in accounts.items() if account.is_admin}
    if not admins or admins - taken:
        return rows
    return tuple(
        _refused(r, "This would leave the practice without an admin.", "roles")
        if r.login in admins & taken
        else r
        for r in rows
    )


def _refused(row: PlannedRow, sentence: str, field: str) -> PlannedRow:
    name = row.wanted.name if row.wanted else row.name
    return replace(
        row,
        what="refused",
        wanted=None,
        name=name,
        problems=(*row.problems, Problem("held", sentence, field)),
    )


def _wanted(row: PlannedRow, accounts: Mapping[str, _Account]) -> dict[str, Any]:
    """The row as the request keeps it; of somebody known with every field, so that all of it is approved."""
    wanted = row.wanted
    assert wanted is not None
    said = {
        "line": row.line,
        "login": wanted.login,
        "name": wanted.name,
        "roles": list(wanted.roles),
        "registration": wanted.registration,
        "practice_number": wanted.practice_number,
        "email": wanted.email,
        "scope": wanted.scope,
        "sites": list(wanted.sites),
    }
    account = accounts.get(wanted.login)
    return said | {"person_id": str(account.id)} if account else said


def _waiting(work: Work, request_id: UUID) -> list[tuple[Person, bool]]:
    """Who of an approved import has not signed in yet, in the sheet's order, and whether a slip of theirs still works."""
    row = work.get(ChangeRequest, request_id, what="request")
    if row.kind != "import" or row.state != "done":
        raise Refused("Slips are made once the import is approved.")
    made: dict[str, Person] = {}
    for person in work.db.scalars(select(Person).where(Person.id > row.id).order_by(Person.id)):
        # The first with this login since then (ids go by time): it may be another's by now, and theirs be corrected.
        first, *_ = (*former_logins(person.former_names), person.login)
        made.setdefault(first, person)
    new = [
        made[item["login"]]
        for item in row.payload["rows"]
        if not item.get("person_id")
        and item["login"] in made
        and standing_of(work, made[item["login"]]) == "waits"
    ]
    slips = set(
        work.db.scalars(
            select(Activation.person_id).where(Activation.used_at.is_(None), Activation.ends_at > work.now())
        )
    )
    return [(p, p.id in slips) for p in new if str(p.id) != work.actor.id]
