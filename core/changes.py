"""Changes of people, roles and rights: asked for by one admin, approved by another, applied, on record.

    request = changes.ask(work, kind="set-roles", payload={...}, why="Locum until June")
    changes.approve(work, request, digest=card.digest, code="123456")

What is approved is what was shown: the digest covers the change and how things stood, and both must still hold. A
practice with one admin may say so in its settings; then a change waits a day in everybody's sight before it is applied.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import select

from core import factors, standing
from core.alerts import raise_alert
from core.change_cards import (
    TAMPERED,
    RequestCard,
    card_of,
    digest_of,
    is_untouched,
    names_in,
    purpose_of,
    settle,
)
from core.change_kinds import KINDS, filled, sealed_problems, shape_problems, whom
from core.directory_changes import ERRAND
from core.errors import Denied, Refused, Stale
from core.rules.problems import Problem
from core.rules.reasons import LONGEST_WHY, SHORTEST_WHY
from core.rules.roles import Permission, Role
from core.store.model import ChangeRequest, Person
from core.store.work import House, Subject, Work, system

LASTS = timedelta(days=14)
ALONE_AFTER = timedelta(days=30)
TO_MEND = "Please mend this first:"  # What follows is listed below the form; none of its fields is marked.
DECIDED = "This request is decided already."
ASKER_OUT = "Who asked for this is no admin any more: refuse it."
_MOST_COUNTED = 100
OPEN_STATES = ("waiting", "delayed", "carrying")


def ask(work: Work, *, kind: str, payload: dict[str, Any], why: str) -> UUID:
    """Ask for a change. Raises Refused with every problem at once."""
    with work.act(Permission.PEOPLE_MANAGE, Subject("request")) as facts:
        if kind not in KINDS:
            raise Refused("There is no such change.")
        payload = json.loads(json.dumps(payload, default=str))  # As the database will give it back.
        why = " ".join(why.split())
        without_why: tuple[Problem, ...] = ()
        if not SHORTEST_WHY <= len(why) <= LONGEST_WHY or not why.isprintable():
            without_why = (Problem("why", f"Say why, in {SHORTEST_WHY} to {LONGEST_WHY} characters.", "why"),)
        if problems := shape_problems(kind, payload):
            raise Refused(TO_MEND, problems=problems + without_why)
        payload = filled(work, kind, payload)
        problems = KINDS[kind].problems(work, payload) + sealed_problems(work, kind, payload)
        # Access to a patient asks for a longer one, and says so.
        problems += () if any(p.field == "why" for p in problems) else without_why
        if problems:
            raise Refused(TO_MEND, problems=problems)
        before, now = KINDS[kind].before(work, payload), work.now()
        person_id, patient_id = whom(work, kind, payload)
        row = ChangeRequest(
            id=work.new_id(),
            kind=kind,
            person_id=person_id,
            patient_id=patient_id,
            payload=payload,
            before=before,
            after={},
            digest="",
            why=why,
            asked_by=work.actor.person,
            asked_at=now,
            ends_at=now + LASTS,
            state="waiting",
            remark="",
        )
        row.digest = digest_of(work, row)
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
        _one_at_a_time(work)
        row = work.get(ChangeRequest, request_id, what="request", lock=True)
        facts |= {"kind": row.kind, "person": row.person_id}
        if not is_untouched(work, row):
            raise Denied(TAMPERED)
        _require_open(work, row)
        if reason := _why_not(work, row, _admins_around(work, [row])):
            raise Denied(reason)
        if not hmac.compare_digest(digest.encode("utf-8", "replace"), row.digest.encode()):
            raise Stale("This request is not what was shown. Look at it again.")
        facts["by"] = factors.require(work, purpose_of(row), code=code)
        row.decided_by, row.decided_at = work.actor.person, work.now()
        if row.asked_by == work.actor.person:
            due_at = work.now() + work.rule("single_admin_delay")
            row.state, row.due_at = "delayed", due_at
            row.digest = digest_of(work, row)  # It was found untouched above.
            raise_alert(
                work,
                "alone",
                f"{work.actor.name} changes something alone: {KINDS[row.kind].label.lower()}. It is "
                "applied when its delay is over, unless it is withdrawn.",
                about=row.id,
            )
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
        settle(work, row, "withdrawn")
        row.decided_by, row.decided_at = work.actor.person, work.now()


def requests(
    work: Work, *, decided: bool = False, person_id: UUID | None = None, size: int = 100
) -> tuple[RequestCard, ...]:
    """What waits, oldest first; or what was decided, newest first. The lines of a sheet are in `request` alone."""
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
        rows = list(work.db.scalars(query.limit(size)))
        return _cards(work, rows, in_list=True)


def request(work: Work, request_id: UUID) -> RequestCard:
    """One request. Raises Missing."""
    with work.look(Permission.CHANGE_SEE):
        return _cards(work, [work.get(ChangeRequest, request_id, what="request")])[0]


def waiting(work: Work) -> int:
    """How many requests this person can decide now, for the line above every page; not what only others can."""
    with work.look(Permission.CHANGE_SEE):
        if Permission.CHANGE_APPROVE not in work.may:
            return 0
        query = select(ChangeRequest).where(
            ChangeRequest.state == "waiting", ChangeRequest.ends_at > work.now()
        )
        if not work.rule("single_admin"):
            # One's own are for others to decide: a sheet's thousands of rows are not read to find that out.
            query = query.where(ChangeRequest.asked_by != work.actor.person)
        rows = list(work.db.scalars(query.order_by(ChangeRequest.asked_at).limit(_MOST_COUNTED)))
        admins = _admins_around(work, rows)
        return sum(_why_not(work, row, admins) in ("", ASKER_OUT) for row in rows)


# The worker -------------------------------------------------------------------------------------------------------


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
        _one_at_a_time(work)
        row = work.get(ChangeRequest, request_id, what="request", lock=True)
        facts |= {"kind": row.kind, "person": row.person_id}
        if row.state == "waiting" and row.ends_at <= work.now():
            row.state = facts["state"] = "expired"
            row.decided_at = work.now()
        elif row.state == "delayed" and row.due_at is not None and row.due_at <= work.now():
            if not is_untouched(work, row):
                row.state, row.remark = "failed", TAMPERED
            elif not _stands_alone(work, row):
                settle(work, row, "expired")
                row.remark = "Meanwhile there is another admin, who must approve it: ask for it anew."
            elif KINDS[row.kind].before(work, row.payload) != row.before or not _may_still_ask(
                work.db.get(Person, row.asked_by)
            ):
                settle(work, row, "expired")
                row.remark = "Things had changed when its delay was over."
            else:
                _apply_or_fail(work, row, facts)
            facts["state"] = row.state


def apply_all_due(house: House) -> int:
    """What the worker does again and again: each due request in a transaction of its own; how many."""
    with house.work(system()) as work:
        found = due(work)
    trouble: Exception | None = None
    for request_id in found:
        try:
            with house.work(system()) as work:
                apply_due(work, request_id)
        except Exception as error:
            # One that cannot be applied must not keep those behind it waiting, round after round.
            trouble = error
    if trouble is not None:
        raise trouble
    return len(found)


# Inside -----------------------------------------------------------------------------------------------------------


def _one_at_a_time(work: Work) -> None:
    """Of two approvals at the same moment the second looks at what the first has made of things; SQLite has one writer anyway."""
    work.number("approvals")


def _stands_alone(work: Work, row: ChangeRequest) -> bool:
    """True while the one who asked is the only admin who can sign in, in a practice that may be of one."""
    return work.rule("single_admin") and not _admins(work) - {row.asked_by}


def _apply(work: Work, row: ChangeRequest, facts: dict[str, Any]) -> None:
    """Do it. The record says how things were and how they are."""
    after = KINDS[row.kind].apply(work, row)
    row.state, row.after = ("carrying", {}) if after is None else ("done", after)
    row.digest = digest_of(work, row)
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
        settle(work, row, "failed")
        row.remark = refused.sentence[:LONGEST_WHY]
        facts["why"] = refused.sentence


def _require_open(work: Work, row: ChangeRequest) -> None:
    if row.state != "waiting":
        raise Stale(DECIDED)
    if row.ends_at <= work.now():
        raise Refused("This request is too old. Ask for it anew.")
    if KINDS[row.kind].before(work, row.payload) != row.before:
        raise Stale("Things changed since this was asked for. Refuse it, and ask anew.")


def _admins(work: Work) -> set[UUID]:
    """Who could approve: the admins who can sign in."""
    return {p.id for p in standing.admins_who_can(work, lock=False)}


def _lately_shut(work: Work) -> bool:
    """True while an admin was shut out a short while ago: nobody becomes the only admin by shutting out the other."""
    since = work.now() - ALONE_AFTER
    shut = work.db.scalars(select(Person).where(Person.is_active.is_(False), Person.shut_at > since))
    return any(Role.ADMIN in p.roles for p in shut)


def _may_still_ask(asker: Person | None) -> bool:
    return asker is not None and asker.is_active and Role.ADMIN in asker.roles


@dataclass(frozen=True)
class _Admins:
    """Who decides and who asked: read once for however many requests. people: the actor, and the askers."""

    people: dict[UUID, Person]
    can: frozenset[UUID]  # sign in now, and so approve
    lately_shut: bool


def _admins_around(work: Work, rows: Sequence[ChangeRequest]) -> _Admins:
    if not rows:
        return _Admins({}, frozenset(), False)
    wanted = {work.actor.person, *(row.asked_by for row in rows)}
    found = {p.id: p for p in work.db.scalars(select(Person).where(Person.id.in_(wanted)))}
    # Only a practice that may be of one admin asks whether it became one by shutting out the other.
    return _Admins(found, frozenset(_admins(work)), work.rule("single_admin") and _lately_shut(work))


def _why_not(work: Work, row: ChangeRequest, admins: _Admins) -> str:
    """Why this admin cannot approve this request; empty when they can."""
    me = work.actor.id
    if row.state != "waiting":
        return DECIDED
    approver, asker = admins.people.get(work.actor.person), admins.people.get(row.asked_by)
    if approver is None or approver.is_break_glass:
        return "The sealed account approves nothing."
    if not _may_still_ask(asker):
        return ASKER_OUT
    others = admins.can - {row.asked_by}
    if str(row.asked_by) == me:
        if work.rule("single_admin") and not others:
            return (
                f"An admin was shut out less than {ALONE_AFTER.days} days ago." if admins.lately_shut else ""
            )
        return "Another admin must approve what you asked for."
    if _is_one_identity(approver, asker):
        return "You asked for this under your other account: another admin must approve it."
    if me == str(row.person_id) and _lets_in(row):
        return "Another admin must approve what lets you in to a record."
    if me in _concerned(row) and others - {UUID(me)}:
        return "Another admin must approve what concerns you."
    return ""


def _is_one_identity(one: Person, other: Person | None) -> bool:
    """True when one identity of single sign-on came in as both: before and after its account was linked."""
    if other is None or one.id == other.id:
        return False
    theirs = [{p.sso_id, p.directory_id if p.directory == "sso" else None} - {None} for p in (one, other)]
    return bool(theirs[0] & theirs[1])


def _cards(work: Work, rows: Sequence[ChangeRequest], *, in_list: bool = False) -> tuple[RequestCard, ...]:
    """The requests as pages need them, in a few questions for all of them."""
    named = names_in(work, rows)
    if Permission.CHANGE_APPROVE not in work.may:
        return tuple(card_of(named, row, why_not="Only an admin approves.", in_list=in_list) for row in rows)
    admins = _admins_around(work, rows)
    return tuple(card_of(named, row, why_not=_why_not(work, row, admins), in_list=in_list) for row in rows)


def _lets_in(row: ChangeRequest) -> bool:
    """True for what opens one patient to one person: not even in a practice of two admins is it theirs to approve."""
    if row.kind == "own-record":
        return bool(row.before["patient_id"])
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


def _told(payload: dict[str, Any]) -> dict[str, Any]:
    """A payload for the record; of a whole sheet only how long it is."""
    return {k: len(v) if k == "rows" else v for k, v in payload.items()}
