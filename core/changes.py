"""Changes of people, roles and rights: asked for by one admin, approved by another, applied, on record.

    request = changes.ask(work, kind="set-roles", payload={...}, why="Locum until June")
    changes.approve(work, request, digest=card.digest, code="123456")

What is approved is what was shown: the digest covers the change and how things stood, and both must still hold. A
practice with one admin may say so in its settings; then a change waits a day in everybody's sight before it is applied.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import func, select

from core import access, factors, groups, people
from core.alerts import raise_alert
from core.errors import Denied, Refused, Stale, Turned, Unfit, WrongAnswer
from core.rules.problems import Problem
from core.rules.roles import Permission, Role
from core.rules.za_time import say_day, say_time
from core.store.model import ChangeRequest, GroupRole, Patient, PatientBlock, PatientGrant, Person, Referrer
from core.store.work import House, Subject, Work, system

LASTS = timedelta(days=14)
ALONE_AFTER = timedelta(days=30)
LONGEST_WHY = 300
ERRAND = "change_directory"
DECIDED = "This request is decided already."
TAMPERED = "This request was changed in the database after it was asked for. Refuse it, and tell whoever looks after the system."
OPEN_STATES = ("waiting", "delayed", "carrying")


@dataclass(frozen=True)
class Line:
    """One thing that changes, in words: what, how it is, how it will be. of: of a sheet, whose row it is."""

    what: str
    before: str
    after: str
    of: str = ""


@dataclass(frozen=True)
class RequestCard:
    """A request as its page needs it. why_not: why this person cannot approve it; empty when they can.

    purpose: what a fresh proof for approving it is bound to (core.factors).
    """

    id: UUID
    kind: str
    label: str
    about: str
    person_id: UUID | None
    patient_id: UUID | None
    lines: tuple[Line, ...]
    why: str
    asked_by: str
    asked_at: datetime
    ends_at: datetime
    state: str
    due_at: datetime | None
    decided_by: str
    decided_at: datetime | None
    remark: str
    digest: str
    purpose: str
    why_not: str
    is_mine: bool


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


def ask(work: Work, *, kind: str, payload: dict[str, Any], why: str = "") -> UUID:
    """Ask for a change. Raises Refused with every problem at once."""
    with work.act(Permission.PEOPLE_MANAGE, Subject("request")) as facts:
        if kind not in KINDS:
            raise Refused("There is no such change.")
        payload = json.loads(json.dumps(payload, default=str))  # As the database will give it back.
        why = " ".join(why.split())
        if problems := _shape_problems(kind, payload):
            raise Refused("Please mend what is marked.", problems=problems)
        payload = _filled(work, kind, payload)
        problems = KINDS[kind].problems(work, payload) + _sealed_problems(work, kind, payload)
        if len(why) > LONGEST_WHY or not why.isprintable():
            problems += (Problem("why", f"Say why in at most {LONGEST_WHY} characters.", "why"),)
        if problems:
            raise Refused("Please mend what is marked.", problems=problems)
        before, now = KINDS[kind].before(work, payload), work.now()
        person_id, patient_id = _whom(work, kind, payload)
        row = ChangeRequest(
            id=work.new_id(), kind=kind, person_id=person_id, patient_id=patient_id, payload=payload, before=before,
            after={}, digest="", why=why, asked_by=work.actor.person, asked_at=now,
            ends_at=now + LASTS, state="waiting", remark="",
        )  # fmt: skip
        row.digest = _digest(work, row)
        if _same_waits(work, row):
            raise Refused("The same change is waiting for approval already.")
        work.db.add(row)
        work.db.flush()
        facts |= {
            "request": row.id,
            "kind": kind,
            "person": row.person_id,
            "before": before,
            "after": _told(payload),
        }
        if row.patient_id:
            facts["patient"] = row.patient_id
        return row.id


def approve(work: Work, request_id: UUID, *, digest: str, code: str = "") -> str:
    """Approve what was shown, with a fresh proof, and apply it: done, delayed (one-person practices) or carrying.

    Raises Denied for one's own request, Stale when it or the things it changes are no longer as they were shown.
    """
    with work.act(Permission.CHANGE_APPROVE, Subject("request", str(request_id))) as facts:
        row = work.get(ChangeRequest, request_id, what="request", lock=True)
        facts |= {"kind": row.kind, "person": row.person_id}
        if not _is_untouched(work, row):
            raise Denied(TAMPERED)
        _require_open(work, row)
        if reason := _why_not(work, row):
            raise Denied(reason)
        if not hmac.compare_digest(digest.encode("utf-8", "replace"), row.digest.encode()):
            raise Stale("This request is not what was shown. Look at it again.")
        facts["by"] = factors.require(work, purpose_of(row), code=code)
        if work.rule("admins_need_keys") and facts["by"] != "key":
            raise WrongAnswer("In this practice changes are approved with a key: use yours.", why="no key")
        row.decided_by, row.decided_at = work.actor.person, work.now()
        if row.asked_by == work.actor.person:
            due_at = work.now() + work.rule("single_admin_delay")
            row.state, row.due_at = "delayed", due_at
            raise_alert(work, "alone", f"{work.actor.name} changes something alone: {KINDS[row.kind].label.lower()}. It is "
                        "applied when its delay is over, unless it is withdrawn.", about=row.id)  # fmt: skip
            facts["due"] = due_at.isoformat()
            return row.state
        _apply(work, row, facts)
        return row.state


def refuse(work: Work, request_id: UUID, *, remark: str = "") -> None:
    """Say no; the one who asked reads why."""
    with work.act(Permission.CHANGE_APPROVE, Subject("request", str(request_id))) as facts:
        row = work.get(ChangeRequest, request_id, what="request", lock=True)
        if row.state != "waiting":
            raise Stale(DECIDED)
        facts |= {"kind": row.kind, "person": row.person_id, "state": "refused"}
        row.state, row.decided_by, row.decided_at = "refused", work.actor.person, work.now()
        row.remark = " ".join(remark.split())[:LONGEST_WHY]


def withdraw(work: Work, request_id: UUID) -> None:
    """Take back one's own request, or stop a delayed one that anybody asked for."""
    with work.act(Permission.PEOPLE_MANAGE, Subject("request", str(request_id))) as facts:
        row = work.get(ChangeRequest, request_id, what="request", lock=True)
        if row.state not in ("waiting", "delayed"):
            raise Refused("This request is decided already.")
        if row.state == "waiting" and row.asked_by != work.actor.person:
            raise Denied("Only who asked can take it back; you can refuse it.")
        facts |= {"kind": row.kind, "person": row.person_id, "state": "withdrawn"}
        row.state, row.decided_by, row.decided_at = "withdrawn", work.actor.person, work.now()


def requests(
    work: Work, *, decided: bool = False, person_id: UUID | None = None, size: int = 100
) -> tuple[RequestCard, ...]:
    """What waits, oldest first; or what was decided, newest first."""
    with work.look(Permission.CHANGE_SEE):
        query = select(ChangeRequest)
        if person_id:
            query = query.where(ChangeRequest.person_id == person_id)
        if decided:
            query = query.where(ChangeRequest.state.not_in(OPEN_STATES)).order_by(
                ChangeRequest.decided_at.desc()
            )
        else:
            query = query.where(ChangeRequest.state.in_(OPEN_STATES)).order_by(ChangeRequest.asked_at)
        return tuple(_card(work, row) for row in work.db.scalars(query.limit(size)))


def request(work: Work, request_id: UUID) -> RequestCard:
    """One request. Raises Missing."""
    with work.look(Permission.CHANGE_SEE):
        return _card(work, work.get(ChangeRequest, request_id, what="request"))


def waiting(work: Work) -> int:
    """How many requests wait for somebody: for the menu."""
    with work.look(Permission.CHANGE_SEE):
        query = (
            select(func.count())
            .select_from(ChangeRequest)
            .where(ChangeRequest.state.in_(("waiting", "delayed")))
        )
        return work.db.scalar(query) or 0


# The worker -----------------------------------------------------------------------------------------------------


def due(work: Work) -> tuple[UUID, ...]:
    """Requests whose delay is over, and those that nobody decided in time."""
    with work.look(Permission.CHANGE_APPLY):
        now = work.now()
        late = select(ChangeRequest.id).where(ChangeRequest.state == "delayed", ChangeRequest.due_at <= now)
        old = select(ChangeRequest.id).where(ChangeRequest.state == "waiting", ChangeRequest.ends_at <= now)
        return (*work.db.scalars(late.limit(50)), *work.db.scalars(old.limit(50)))


def apply_due(work: Work, request_id: UUID) -> None:
    """Apply a delayed change, or let an old request expire."""
    with work.act(Permission.CHANGE_APPLY, Subject("request", str(request_id))) as facts:
        row = work.get(ChangeRequest, request_id, what="request", lock=True)
        facts |= {"kind": row.kind, "person": row.person_id}
        if row.state == "waiting" and row.ends_at <= work.now():
            row.state = facts["state"] = "expired"
            row.decided_at = work.now()
        elif row.state == "delayed" and row.due_at is not None and row.due_at <= work.now():
            if not _is_untouched(work, row):
                row.state, row.remark = "failed", TAMPERED
            elif not _stands_alone(work, row):
                row.state = "expired"
                row.remark = "Meanwhile there is another admin, who must approve it: ask for it anew."
            elif KINDS[row.kind].before(work, row.payload) != row.before or not _may_still_ask(work, row):
                row.state, row.remark = "expired", "Things had changed when its delay was over."
            else:
                _apply_or_fail(work, row, facts)
            facts["state"] = row.state


def apply_all_due(house: House) -> int:
    """What the worker does again and again: each due request in a transaction of its own; how many."""
    with house.work(system()) as work:
        found = due(work)
    for request_id in found:
        with house.work(system()) as work:
            apply_due(work, request_id)
    return len(found)


def to_carry_out(work: Work, request_id: UUID) -> dict[str, Any] | None:
    """What must be done in the directory for an approved request; None when it is done."""
    with work.look(Permission.CHANGE_APPLY):
        row = work.get(ChangeRequest, request_id, what="request")
        if row.state != "carrying":
            return None
        person = work.db.get(Person, row.person_id) if row.person_id else None
        problems = people.account_problems(work, row.payload) if row.kind == "add-person" else ()
        if not _is_untouched(work, row):
            problems = (Problem("tampered", TAMPERED),)
        return {**row.payload, "kind": row.kind, "entry": person.directory_id if person else None, "request": request_id,
                "begun": bool(row.after.get("begun")), "trouble": problems[0].sentence if problems else ""}  # fmt: skip


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
        row.state, row.remark = ("failed", trouble[:LONGEST_WHY]) if trouble else ("done", row.remark)
        facts |= {"kind": row.kind, "state": row.state} | ({"why": row.remark} if trouble else {})
        if trouble:
            row.after = {}
        elif entry_id:
            person = people.new_person(work, row.payload, directory="directory", directory_id=entry_id)
            person.slip_sets_password = True
            row.person_id, row.after = person.id, {"person": str(person.id)}
            _tell_of_admin(work, person)
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
        unknown = f"{secrets.token_urlsafe(32)}-aA1"
        found = directory.create(
            login=task["login"], name=task["name"], email=task.get("email", ""), password=unknown,
            groups=groups_there,
        )  # fmt: skip
    for group_id in groups_there:
        directory.add_to_group(found.id, group_id)
    return found.id


HANDLERS = {ERRAND: carry_out}


# The kinds ------------------------------------------------------------------------------------------------------


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
    _tell_of_admin(work, person)
    return {"person": str(person.id), "roles": person.roles}


def _tell_of_admin(work: Work, person: Person) -> None:
    """Whoever may approve changes is worth an alert on the day they come to be: all admins know one another."""
    if Role.ADMIN in person.roles:
        raise_alert(
            work, "alone", f"An admin's account was made: {person.name} ({person.login}).", about=person.id
        )


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
        people.keep_an_admin(work, person)
    elif Role.ADMIN not in person.roles:
        people.void_slips(
            work, person.id
        )  # One that was given out for less must not open an admin's account.
    before = {"scope": person.scope, "sites": person.sites}
    people.set_roles(work, person, wanted["roles"])
    person.scope, person.sites = wanted.get("scope", ""), list(wanted.get("sites", ()))
    if _reaches_further(before, {"scope": person.scope, "sites": person.sites}):
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
    return {"standing": people.standing_of(work, _person(work, payload))}


def _let_in_problems(work: Work, payload: dict[str, Any]) -> tuple[Problem, ...]:
    if people.standing_of(work, _person(work, payload)) not in ("shut", "closed"):
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
    people.keep_an_admin(work, person)
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
    people.keep_an_admin(work, person)
    person.slip_sets_password = True
    if person.directory == "local":
        person.password_hash = ""
    person.wrong_answers, person.locked_until, person.away_until = 0, None, None
    people.void_slips(work, person.id)
    return {"sessions ended": people.end_sessions_of(work, person, why="password reset"), "password": "none"}


def _mapping_now(work: Work, payload: dict[str, Any]) -> dict[str, Any]:
    rows = work.db.scalars(select(GroupRole).order_by(GroupRole.group_id, GroupRole.role))
    return {"lines": [{"group_id": g.group_id, "group_name": g.group_name, "role": g.role} for g in rows]}


def _mapping_apply(work: Work, row: ChangeRequest) -> dict[str, Any]:
    admins = people.admins_who_can(work)
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
        people.keep_an_admin(work, _person(work, row.payload, lock=True))


def _groups_apply(work: Work, row: ChangeRequest) -> None:
    person = _person(work, row.payload, lock=True)
    after = (frozenset(person.groups) - frozenset(row.payload.get("remove", ()))) | frozenset(
        row.payload.get("add", ())
    )
    if Role.ADMIN not in groups.roles_for(work, after):
        people.keep_an_admin(work, person)


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


def _no_before(work: Work, payload: dict[str, Any]) -> dict[str, Any]:
    return {}


def _grant_apply(work: Work, row: ChangeRequest) -> dict[str, Any]:
    p = row.payload
    made = access.add_grant(work, person_id=UUID(p["person_id"]), patient_id=UUID(p["patient_id"]), why=row.why or p.get("why", ""),
                            until_at=datetime.fromisoformat(p["until_at"]), request_id=row.id)  # fmt: skip
    return {"grant": str(made)}


def _block_now(work: Work, payload: dict[str, Any]) -> dict[str, Any]:
    """What the person was let in with till now: a grant is stronger than a block, so that it ends with the block."""
    person_id, patient_id = _uuid(payload.get("person_id")), UUID(payload["patient_id"])
    standing = access.grants_of(work, person_id=person_id, patient_id=patient_id) if person_id else ()
    return {"grants": [{"id": str(g.id), "until": g.until_at.isoformat(), "why": g.why} for g in standing]}


def _block_apply(work: Work, row: ChangeRequest) -> dict[str, Any]:
    p = row.payload
    for grant in row.before.get("grants", ()):
        access.end(work, what="grant", row_id=UUID(grant["id"]))
    until = datetime.fromisoformat(p["until_at"]) if p.get("until_at") else None
    made = access.add_block(work, patient_id=UUID(p["patient_id"]), person_id=_uuid(p.get("person_id")), kind=p["kind"],
                            why=row.why or p.get("why", ""), until_at=until, request_id=row.id)  # fmt: skip
    return {"block": str(made), "ended": [grant["id"] for grant in row.before.get("grants", ())]}


def _end_now(work: Work, payload: dict[str, Any]) -> dict[str, Any]:
    model = PatientGrant if payload["what"] == "grant" else PatientBlock
    row = work.get(model, UUID(payload["id"]), what=payload["what"])
    return {
        "ended": row.ended_at.isoformat() if row.ended_at else "",
        "person": _name_and_login(work, row.person_id) or "everybody",
        "patient": _file_number(work, row.patient_id),
        "why": row.why,
    }


def _end_apply(work: Work, row: ChangeRequest) -> dict[str, Any]:
    access.end(work, what=row.payload["what"], row_id=UUID(row.payload["id"]))
    return _end_now(work, row.payload)


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
    wanted = sorted({UUID(str(item["person_id"])) for item in payload["rows"] if item.get("person_id")})
    found: dict[str, Person] = {}
    for first in range(0, len(wanted), 500):
        query = select(Person).where(Person.id.in_(wanted[first : first + 500])).order_by(Person.id)
        if lock:
            query = query.with_for_update(key_share=True).execution_options(populate_existing=True)
        found |= {str(p.id): p for p in work.db.scalars(query)}
    for person_id in wanted:
        if str(person_id) not in found:
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
    problems += people.text_problems({k: item[k] for k in _IMPORTED_TEXTS})
    if person.directory != "local" and sorted(item["roles"]) != sorted(person.roles):
        problems += (
            Problem(
                "roles-directory", f"{person.login}'s roles come from their groups in the directory.", "roles"
            ),
        )
    return problems


_IMPORTED_TEXTS = ("name", "registration", "practice_number", "email")


def _import_now(work: Work, payload: dict[str, Any]) -> dict[str, Any]:
    known = _imported_people(work, payload)
    return {
        "rows": [_imported(known[item["person_id"]]) for item in payload["rows"] if item.get("person_id")]
    }


def _imported(p: Person) -> dict[str, Any]:
    return {"login": p.login, "roles": p.roles, "scope": p.scope, "sites": p.sites} | {
        k: getattr(p, k) for k in _IMPORTED_TEXTS
    }


def _import_apply(work: Work, row: ChangeRequest) -> dict[str, Any]:
    """All of it in this one transaction, or nothing."""
    if problems := _import_problems(work, row.payload):
        raise Refused(problems[0].sentence, problems=problems)
    new = changed = 0
    known = _imported_people(work, row.payload, lock=True)
    for item in row.payload["rows"]:
        if item.get("person_id"):
            person = known[item["person_id"]]
            _set_standing(work, person, item)
            for field in _IMPORTED_TEXTS:
                setattr(person, field, item[field])
            changed += 1
        else:
            _tell_of_admin(work, people.new_person(work, item, at_once=False))
            new += 1
    return {"new": new, "changed": changed}


_PERSON = ("person_id",)
_ACCOUNT = ("registration", "practice_number", "email", "scope", "sites")

KINDS: dict[str, Kind] = {
    "add-person": Kind("New account", ("login", "name", "roles"), (*_ACCOUNT, "patient_id", "referrer_id", "directory_id",
                       "in_directory", "groups"), _add_problems, _no_before, _add_apply),
    "set-roles": Kind("Roles and reach", ("person_id", "roles"), ("scope", "sites", "patient_id", "referrer_id"), _roles_problems,
                      _standing, _roles_apply),
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
    "end-access": Kind("End an access or a block", ("what", "id"), ("person_id", "patient_id"), access.end_problems, _end_now,
                       _end_apply),
    "import": Kind("Import of people", ("rows",), (), _import_problems, _import_now, _import_apply),
}  # fmt: skip

# What each row of a list has: (the key, what it needs, what it may have).
_ROWS = {
    "group-roles": ("lines", ("group_id", "group_name", "role"), ()),
    "import": ("rows", ("login", "name", "roles"), (*_ACCOUNT, "line", "person_id")),
}
SEALED = Problem(
    "sealed", "This is the sealed account for emergencies: seal it anew on the machine instead.", "person_id"
)
_NOT_OF_THE_SEALED = (
    "set-roles",
    "let-in",
    "reset-password",
    "reset-factor",
    "directory-account",
    "directory-groups",
)


# Inside ---------------------------------------------------------------------------------------------------------


def _shape_problems(kind: str, payload: dict[str, Any]) -> tuple[Problem, ...]:
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
    return ()


def _filled(work: Work, kind: str, payload: dict[str, Any]) -> dict[str, Any]:
    """The payload with what was left out as it stands now: left out means left alone, and nothing is changed unseen."""
    if kind == "set-roles":
        return {**_standing(work, payload), **payload}
    if kind == "import":
        known = _imported_people(work, payload)
        plain = {"scope": "", "sites": []} | dict.fromkeys(_IMPORTED_TEXTS, "")
        rows = [{**(_imported(known[str(item["person_id"])]) if item.get("person_id") else plain), **item}
                for item in payload["rows"]]  # fmt: skip
        return {**payload, "rows": rows}
    return payload


def _sealed_problems(work: Work, kind: str, payload: dict[str, Any]) -> tuple[Problem, ...]:
    """No request opens the sealed account, or makes it anybody's: it was used, so that it needs a new envelope."""
    is_sealed = kind in _NOT_OF_THE_SEALED and _person(work, payload).is_break_glass
    return (SEALED,) if is_sealed else ()


def _whom(work: Work, kind: str, payload: dict[str, Any]) -> tuple[UUID | None, UUID | None]:
    """The person and the patient it is about. Of a right that ends, those whose right it is."""
    if kind == "end-access":
        right = access.right_of(work, what=payload["what"], row_id=UUID(payload["id"]))
        return right.person_id, right.patient_id
    return _uuid(payload.get("person_id")), _uuid(payload.get("patient_id"))


def _stands_alone(work: Work, row: ChangeRequest) -> bool:
    """True while the one who asked is the only admin who can sign in, in a practice that may be of one."""
    return work.rule("single_admin") and not _admins(work) - {row.asked_by}


def purpose_of(row: ChangeRequest) -> str:
    """What a proof for approving this request is bound to: this request, as it was shown."""
    return f"change:{row.id}:{row.digest[:16]}"


def _apply(work: Work, row: ChangeRequest, facts: dict[str, Any]) -> None:
    """Do it. The record says how things were and how they are."""
    after = KINDS[row.kind].apply(work, row)
    row.state, row.after = ("carrying", {}) if after is None else ("done", after)
    if after is None:
        work.errand(ERRAND, key=f"{ERRAND}:{row.id}", request=str(row.id))
    work.db.flush()
    facts |= {
        "state": row.state,
        "person": row.person_id,
        "before": row.before,
        "after": row.after or _told(row.payload),
    }
    if row.patient_id:
        facts["patient"] = row.patient_id


def _apply_or_fail(work: Work, row: ChangeRequest, facts: dict[str, Any]) -> None:
    """Nobody is there to read a refusal: it is kept on the request, and those behind it go on."""
    try:
        with work.db.begin_nested():
            _apply(work, row, facts)
    except Refused as refused:
        work.db.refresh(row)
        row.state, row.remark = "failed", refused.sentence[:LONGEST_WHY]
        facts["why"] = refused.sentence


def _is_untouched(work: Work, row: ChangeRequest) -> bool:
    return hmac.compare_digest(_digest(work, row), row.digest)


def _require_open(work: Work, row: ChangeRequest) -> None:
    if row.state != "waiting":
        raise Stale(DECIDED)
    if row.ends_at <= work.now():
        raise Refused("This request is too old. Ask for it anew.")
    if KINDS[row.kind].before(work, row.payload) != row.before:
        raise Stale("Things changed since this was asked for. Refuse it, and ask anew.")


def _admins(work: Work) -> set[UUID]:
    """Who could approve: the admins who can sign in."""
    return {p.id for p in people.admins_who_can(work, lock=False)}


def _lately_shut(work: Work) -> bool:
    """True while an admin was shut out a short while ago: nobody becomes the only admin by shutting out the other."""
    since = work.now() - ALONE_AFTER
    shut = work.db.scalars(select(Person).where(Person.is_active.is_(False), Person.shut_at > since))
    return any(Role.ADMIN in p.roles for p in shut)


def _may_still_ask(work: Work, row: ChangeRequest) -> bool:
    asker = work.db.get(Person, row.asked_by)
    return asker is not None and asker.is_active and Role.ADMIN in asker.roles


def _why_not(work: Work, row: ChangeRequest) -> str:
    """Why this admin cannot approve this request; empty when they can."""
    me = work.actor.id
    if row.state != "waiting":
        return DECIDED
    approver = work.db.get(Person, UUID(me))
    if approver is None or approver.is_break_glass:
        return "The sealed account approves nothing."
    if not _may_still_ask(work, row):
        return "Who asked for this is no admin any more: refuse it."
    others = _admins(work) - {row.asked_by}
    if str(row.asked_by) == me:
        if work.rule("single_admin") and not others:
            return (
                f"An admin was shut out less than {ALONE_AFTER.days} days ago." if _lately_shut(work) else ""
            )
        return "Another admin must approve what you asked for."
    if me == str(row.person_id) and _lets_in(row):
        return "Another admin must approve what lets you in to a record."
    if me in _concerned(row) and others - {UUID(me)}:
        return "Another admin must approve what concerns you."
    return ""


def _lets_in(row: ChangeRequest) -> bool:
    """True for what opens one patient to one person: not even in a practice of two admins is it theirs to approve."""
    return row.kind == "grant" or (row.kind == "end-access" and row.payload["what"] == "block")


def _concerned(row: ChangeRequest) -> set[str]:
    """Whose accounts a request changes: of a sheet, everybody in it who is here already."""
    in_sheet = {item.get("person_id") for item in row.payload["rows"]} if row.kind == "import" else set()
    return {str(row.person_id), *(str(i) for i in in_sheet if i)}


def _same_waits(work: Work, row: ChangeRequest) -> bool:
    query = select(ChangeRequest).where(ChangeRequest.state.in_(OPEN_STATES), ChangeRequest.kind == row.kind)
    return any(
        other.payload == row.payload and (other.state != "waiting" or other.ends_at > work.now())
        for other in work.db.scalars(query)
    )


def _digest(work: Work, row: ChangeRequest) -> str:
    """Over all that is shown and applied. Keyed, since whoever can write into the database could count a plain one anew."""
    said = {
        "id": str(row.id),
        "kind": row.kind,
        "payload": row.payload,
        "before": row.before,
        "why": row.why,
        "person": str(row.person_id),
        "patient": str(row.patient_id),
        "by": str(row.asked_by),
        "at": row.asked_at.isoformat(),
    }
    text = json.dumps(said, sort_keys=True, ensure_ascii=False).encode()
    return hmac.new(work.keys["audit"], b"change-request:" + text, hashlib.sha256).hexdigest()


def _told(payload: dict[str, Any]) -> dict[str, Any]:
    """A payload for the record; of a whole sheet only how long it is."""
    return {k: len(v) if k == "rows" else v for k, v in payload.items()}


def _uuid(value: Any) -> UUID | None:
    return UUID(str(value)) if value else None


def _card(work: Work, row: ChangeRequest) -> RequestCard:
    why_not = _why_not(work, row) if Permission.CHANGE_APPROVE in work.may else "Only an admin approves."
    return RequestCard(
        row.id, row.kind, KINDS[row.kind].label if row.kind in KINDS else row.kind, _about(work, row), row.person_id,
        row.patient_id, _lines(work, row), row.why, _name(work, row.asked_by), row.asked_at, row.ends_at, row.state, row.due_at,
        _name(work, row.decided_by), row.decided_at, row.remark, row.digest, purpose_of(row), why_not,
        str(row.asked_by) == work.actor.id,
    )  # fmt: skip


def _about(work: Work, row: ChangeRequest) -> str:
    person = _name(work, row.person_id) or str(row.payload.get("name", ""))
    number = _whose_file(work, row.patient_id) if row.patient_id else str(row.before.get("patient", ""))
    return " · ".join(t for t in (person, number) if t)


def _whose_file(work: Work, patient_id: UUID) -> str:
    """Number, name and birth date, so that a mistyped number is seen; of a record closed to whoever decides, the number."""
    number = _file_number(work, patient_id)
    patient = work.db.scalars(select(Patient).where(Patient.id == patient_id)).one_or_none()
    if patient is None:
        return number
    return f"{number}: {patient.family_name}, {patient.given_names}, born {say_day(patient.born_on)}"


def _file_number(work: Work, patient_id: UUID) -> str:
    """The number alone, also of a record that is closed to whoever decides: else a closed one could never be opened."""
    number = select(Patient.file_number).where(Patient.id == patient_id)
    return work.db.scalars(number.execution_options(the_gates_own=True)).first() or ""


def _name(work: Work, person_id: UUID | None) -> str:
    person = work.db.get(Person, person_id) if person_id else None
    return person.name if person else ""


def _name_and_login(work: Work, person_id: UUID | None) -> str:
    """A name may stand twice; a login does not."""
    person = work.db.get(Person, person_id) if person_id else None
    return f"{person.name} ({person.login})" if person else ""


_HIDDEN = {"person_id", "line", "rows", "lines", "id", "names"}
_WORDS = {"patient_id": "patient", "referrer_id": "doctor", "until_at": "until", "practice_number": "practice number",
          "in_directory": "made in the directory", "directory_id": "from the directory", "what": "what ends",
          "enabled": "account in the directory", "add": "into the groups", "remove": "out of the groups"}  # fmt: skip


def _lines(work: Work, row: ChangeRequest) -> tuple[Line, ...]:
    if row.kind == "group-roles":
        return _mapping_lines(row, by_hand=work.ports.directory is None)
    if row.kind == "import":
        return _import_lines(work, row)
    if row.kind == "end-access":
        words = ("what", "patient", "person", "why")
        said = {"what": row.payload["what"], **row.before}
        return tuple(Line(_WORDS.get(w, w), _said(work, w, said.get(w)), "") for w in words)
    names = _group_names(work, row)
    lines = [
        Line(
            _WORDS.get(key, key), _said(work, key, row.before.get(key), names), _said(work, key, value, names)
        )
        for key, value in row.payload.items()
        if key not in _HIDDEN
        and (row.before.get(key) or value or value is False)
        and row.before.get(key) != value
    ]
    if row.kind in ("grant", "block"):
        lines.insert(0, Line("whom", "", _name_and_login(work, row.person_id) or "everybody"))
    if row.kind == "block":
        lines += [
            Line(
                "access that ends with it",
                f"until {_said(work, 'until_at', grant['until'])}: {grant['why']}",
                "",
            )
            for grant in row.before.get("grants", ())
        ]
    if row.kind in ("reset-password", "reset-factor", "let-in"):
        lines += [
            Line(key, _said(work, key, value), _said(work, key, row.after.get(key, "")) or "reset")
            for key, value in row.before.items()
        ]
    return tuple(lines)


def _import_lines(work: Work, row: ChangeRequest) -> tuple[Line, ...]:
    """Everything that each row changes, a line a field: what is applied and not shown would be approved unseen."""
    known = {before["login"]: before for before in row.before["rows"]}
    lines: list[Line] = []
    for item in row.payload["rows"]:
        login = people.fold(item["login"])
        before = known.get(login, {}) if item.get("person_id") else {}
        if not item.get("person_id"):
            lines.append(Line("account", "", "new", login))
        for field in ("name", "roles", *_ACCOUNT):
            was, will = (_said(work, field, x.get(field)) for x in (before, item))
            if was != will:
                lines.append(Line(_WORDS.get(field, field), was, will, login))
    return tuple(lines)


def _mapping_lines(row: ChangeRequest, *, by_hand: bool) -> tuple[Line, ...]:
    """What counts is the id; its name is only what somebody called it. So the id stands there wherever a name misleads."""
    before, after = row.before.get("lines", []), row.payload["lines"]
    ids: dict[str, set[str]] = {}
    for line in (*before, *after):
        ids.setdefault(line["group_name"].casefold().strip(), set()).add(line["group_id"])

    def called(line: dict[str, str]) -> str:
        is_plain = not by_hand and len(ids[line["group_name"].casefold().strip()]) == 1
        return line["group_name"] if is_plain else f"{line['group_name']} ({line['group_id']})"

    def of(lines: list[dict[str, str]]) -> dict[tuple[str, str], dict[str, str]]:
        return {(line["group_id"], line["role"]): line for line in lines}

    was, will = of(before), of(after)
    gone = [Line(called(line), line["role"], "") for key, line in was.items() if key not in will]
    new = [Line(called(line), "", line["role"]) for key, line in will.items() if key not in was]
    renamed = {
        (key[0], was[key]["group_name"], line["group_name"])
        for key, line in will.items()
        if key in was and was[key]["group_name"] != line["group_name"]
    }
    by_name = sorted((*gone, *new), key=lambda line: (line.what, line.before, line.after))
    return (*by_name, *(Line(f"name of {group_id}", old, said) for group_id, old, said in sorted(renamed)))


def _group_names(work: Work, row: ChangeRequest) -> dict[str, str]:
    """What groups are called: as the mapping has them, and beyond it as the directory said when this was asked for."""
    mapped = {g.group_id: g.group_name for g in work.db.scalars(select(GroupRole))}
    asked = {group_id: f"{name} ({group_id})" for group_id, name in row.payload.get("names", {}).items()}
    return {**asked, **mapped}


def _said(work: Work, key: str, value: Any, names: dict[str, str] | None = None) -> str:
    if key == "enabled":
        return {True: "enabled", False: "disabled"}.get(value, "")
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join((names or {}).get(str(v), str(v)) for v in value)
    if key == "patient_id" and value:
        return _whose_file(work, UUID(str(value)))
    if key == "referrer_id" and value:
        doctor = work.db.get(Referrer, UUID(str(value)))
        return doctor.name if doctor else ""
    if key == "until_at" and value:
        return say_time(datetime.fromisoformat(value))
    if key == "directory_id" and value:
        return f"yes ({value})"  # The id decides whose account it is; the login and name above are only said.
    return "" if value is None else str(value)
