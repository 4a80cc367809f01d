"""What an approved request still needs in the directory: an account made there, opened or shut, its groups changed.

The errand that an approval leaves (core.changes) is done here, outside every transaction, by the delegated account.
"""

from __future__ import annotations

import base64
from typing import Any
from uuid import UUID

from core import people, standing
from core.change_cards import TAMPERED, is_untouched, settle
from core.errors import Refused, Turned, Unfit
from core.rules.problems import Problem
from core.rules.reasons import LONGEST_WHY
from core.rules.roles import Permission
from core.store.model import ChangeRequest, Person
from core.store.work import House, Subject, Work, system

ERRAND = "change_directory"


def to_carry_out(work: Work, request_id: UUID) -> dict[str, Any] | None:
    """What must be done in the directory for an approved request; None when it is done."""
    with work.look(Permission.CHANGE_APPLY):
        row = work.get(ChangeRequest, request_id, what="request")
        if row.state != "carrying":
            return None
        person = work.db.get(Person, row.person_id) if row.person_id else None
        problems = people.account_problems(work, row.payload) if row.kind == "add-person" else ()
        if not is_untouched(work, row):
            problems = (Problem("tampered", TAMPERED),)
        return {
            **row.payload,
            "kind": row.kind,
            "entry": person.directory_id if person else None,
            "request": request_id,
            "begun": bool(row.after.get("begun")),
            "trouble": problems[0].sentence if problems else "",
        }


def begin_making(work: Work, request_id: UUID) -> None:
    """Write down that the directory is about to be asked for a new account: one that is there later is ours."""
    with work.tend(Permission.CHANGE_APPLY):
        row = work.get(ChangeRequest, request_id, what="request", lock=True)
        row.after = {**row.after, "begun": True}


def carried_out(work: Work, request_id: UUID, *, entry_id: str = "", trouble: str = "") -> None:
    """The directory did it, or said no for good."""
    with work.act(Permission.CHANGE_APPLY, Subject("request", str(request_id))) as facts:
        row = work.get(ChangeRequest, request_id, what="request", lock=True)
        if row.state != "carrying":
            return
        settle(work, row, "failed" if trouble else "done")
        row.remark = trouble[:LONGEST_WHY] if trouble else row.remark
        facts |= {"kind": row.kind, "state": row.state} | ({"why": row.remark} if trouble else {})
        if trouble:
            row.after = {}
        elif entry_id:
            person = people.new_person(work, row.payload, directory="directory", directory_id=entry_id)
            person.slip_sets_password = True
            row.person_id, row.after = person.id, {"person": str(person.id)}
            standing.tell_of_admin(work, person)
        facts["person"] = row.person_id
        if row.person_id and (person := work.db.get(Person, row.person_id)):
            person.checked_at = None


def carry_out(house: House, payload: dict[str, Any]) -> None:
    """The errand: gather, do it in the directory by the delegated account, write down what came of it."""
    request_id = UUID(payload["request"])
    with house.work(system()) as work:
        task = to_carry_out(work, request_id)
    if task is None:
        return
    directory = house.ports.directory
    if directory is None or not directory.writes:
        raise Unfit("Changes in the directory need SORG_DIRECTORY_WRITER.")
    entry_id = ""
    try:
        if task["trouble"]:
            raise Refused(task["trouble"])
        if task["kind"] == "add-person":
            entry_id = _create(house, directory, task)
        elif task["kind"] == "directory-account":
            directory.set_enabled(task["entry"], enabled=task["enabled"])
        else:
            for group_id in task.get("add", ()):
                directory.add_to_group(task["entry"], group_id)
            for group_id in task.get("remove", ()):
                directory.remove_from_group(task["entry"], group_id)
    except (Turned, Refused) as error:
        with house.work(system()) as work:
            carried_out(work, request_id, trouble=error.sentence)
        return
    with house.work(system()) as work:
        carried_out(work, request_id, entry_id=entry_id)


def _create(house: House, directory: Any, task: dict[str, Any]) -> str:
    """The account there, with a password that nobody knows: its owner sets one with the slip.

    One that was there before is never taken for a new one: whoever has it would lose their password to a slip.
    """
    found = directory.find(task["login"])
    if found is not None and not (task["begun"] and found.name == task["name"]):
        raise Turned(
            f"The directory has an account {task['login']} already. Add that person from the directory's own list."
        )
    groups_there = tuple(task.get("groups", ()))
    if any(directory.group(group_id) is None for group_id in groups_there):
        raise Turned("One of the groups is not in the directory any more. Choose the groups again.")
    if found is None:
        with house.work(system()) as work:
            begin_making(work, task["request"])
        unknown = f"{base64.urlsafe_b64encode(house.dice(32)).decode()}-aA1"
        found = directory.create(
            login=task["login"],
            name=task["name"],
            email=task.get("email", ""),
            password=unknown,
            groups=groups_there,
        )
    for group_id in groups_there:
        directory.add_to_group(found.id, group_id)
    return found.id


HANDLERS = {ERRAND: carry_out}
