"""Who may see one patient beside the rule, who may not, and breaking the glass in an emergency.

Grants and blocks are made and ended by approved requests (core.changes), with the helpers at the end. Breaking the
glass needs no request: it needs a fresh proof, a reason, and is reviewed by somebody else the same day.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import String, column, func, null, or_, select, values
from sqlalchemy.orm import aliased

from core import factors
from core.alerts import raise_alert, take_note
from core.errors import Denied, Missing, Refused
from core.rules.access import OUTSIDERS, scope_of
from core.rules.names import compact_identity
from core.rules.problems import Problem
from core.rules.reasons import LONGEST_REASON, LONGEST_WHY, SHORTEST_REASON
from core.rules.roles import NOT_WHILE_AWAY, UNNAMED, Permission, Scope
from core.rules.za_time import local_day
from core.store.model import (
    AuditEntry,
    ChangeRequest,
    GlassBreak,
    Patient,
    PatientBlock,
    PatientGrant,
    Person,
    Study,
)
from core.store.work import Subject, Work

BLOCKS = {
    "own": "Their own record",
    "vip": "Protected: a person of public interest",
    "family": "Family or close to them",
}
VERDICTS = {"fine": "It was needed", "misuse": "It was misuse"}
LONGEST_GRANT = timedelta(days=366)
NOT_THERE = (
    "There is no patient with this file number, accession number or ID number: check it, digit by digit."
)
OPEN_ALREADY = "This record is open to you already: there is no glass to break."
OWN_RECORD = "This is your own record, and nothing opens it to you here. Ask the practice for a copy, as any patient may."


@dataclass(frozen=True)
class Glass:
    """A glass that its breaker has open now: for the banner, and to go on to the patient or the study that was meant."""

    id: UUID
    patient_id: UUID
    study_id: UUID | None
    file_number: str
    name: str
    reason: str
    until_at: datetime


@dataclass(frozen=True)
class GlassToReview:
    """A broken glass that nobody has judged yet. acts: what its breaker did with the patient while it was open."""

    id: UUID
    person_id: UUID
    person: str
    patient_id: UUID
    file_number: str
    reason: str
    at: datetime
    until_at: datetime
    acts: int
    due_on: date
    is_late: bool
    is_mine: bool


@dataclass(frozen=True)
class Right:
    """One grant, block, broken glass or own record. what: grant, block, glass, own; kind: of a block; person "": everybody.

    from_at: None of an own record that was theirs from the account's first day.
    """

    what: str
    id: UUID
    kind: str
    person_id: UUID | None
    person: str
    patient_id: UUID
    file_number: str
    why: str
    from_at: datetime | None
    until_at: datetime | None
    ended_at: datetime | None
    ended_by: str
    stands: bool


@dataclass(frozen=True)
class PatientAccess:
    """Who was let in to a patient beside the rule, and who was kept out; newest first."""

    patient_id: UUID
    file_number: str
    name: str
    rights: tuple[Right, ...]


# Breaking the glass ---------------------------------------------------------------------------------------------


def break_glass(work: Work, *, number: str, reason: str, code: str = "") -> Glass:
    """Open one patient who is out of reach, for a few hours, in an emergency.

    number: exactly a file number, an accession number or an SA ID number. Needs a fresh proof for `glass_purpose`, or a
    code. Raises WrongAnswer without one, Missing when there is no such patient, Denied for one's own record, Refused for
    a record that is open already.
    """
    with work.act(Permission.GLASS_BREAK, Subject("glass")) as facts:
        number, reason = number.strip(), reason.strip()
        if not SHORTEST_REASON <= len(reason) <= LONGEST_REASON:
            raise Refused(
                f"Say why in at least {SHORTEST_REASON} characters and at most {LONGEST_REASON}: it is reviewed today."
            )
        # Whoever is let in already tells nobody anything by breaking the glass, and keeps their code.
        if _open_already(work, number):
            raise Refused(OPEN_ALREADY)
        # The proof comes before closed records, so that a desk left open cannot be used to try numbers.
        facts["proof"] = factors.require(work, glass_purpose(number, work.actor.session), code=code)
        patient, study_id = _by_number(work, number)
        if patient.id in work.fences().never:
            raise Denied(OWN_RECORD)
        glass = GlassBreak(
            id=work.new_id(),
            person_id=work.actor.person,
            patient_id=patient.id,
            reason=reason,
            at=work.now(),
            until_at=work.now() + work.rule("glass_lasts"),
            session_id=work.actor.session,
            verdict="",
            note="",
        )
        work.db.add(glass)
        sentence = f"{work.actor.name} broke the glass on file {patient.file_number}: review it today."
        raise_alert(work, "glass", sentence, about=glass.id)
        facts |= {
            "patient": patient.id,
            "glass": glass.id,
            "reason": reason,
            "until": glass.until_at.isoformat(),
        }
        return _glass(glass, patient, study_id)


def open_already(work: Work, *, number: str) -> tuple[UUID, UUID | None] | None:
    """The patient and the study of this number when there is nothing of them that a broken glass would open, else None.

    It answers for what this person finds without it; a closed record and a number of nobody's look the same.
    """
    with work.look(Permission.GLASS_BREAK):
        found = _open_already(work, number.strip())
        return (found[0].id, found[1]) if found else None


def close_glass(work: Work, glass_id: UUID) -> None:
    """Shut, at once, what one broke open oneself and no longer needs. Its review stays due. Raises Missing, Refused."""
    with work.act(Permission.STAFF_SELF, Subject("glass", str(glass_id))) as facts:
        glass = work.get(GlassBreak, glass_id, what="broken glass", lock=True, of=work.actor.person)
        facts["patient"] = glass.patient_id
        if glass.until_at <= work.now():
            raise Refused("This is closed again already.")
        facts |= {"before": {"until": glass.until_at.isoformat()}, "after": {"until": work.now().isoformat()}}
        glass.until_at = work.now()


def glass_purpose(number: str, session: UUID | None) -> str:
    """What a fresh proof for breaking this glass is bound to.

    It stands in addresses, so nobody may read an ID number from it: of a plain hash all ID numbers are soon tried, and of
    this one only with the session's own number, which stands in no address.
    """
    key = session.bytes if session else b""
    return f"glass:{hmac.new(key, number.strip().encode(), hashlib.sha256).hexdigest()[:16]}"


def my_glass(work: Work) -> tuple[Glass, ...]:
    """What this person has broken open and is still open, for the banner; the one that closes first comes first."""
    with work.look(Permission.STAFF_SELF):
        rows = work.db.execute(
            select(GlassBreak, Patient)
            .join(Patient, Patient.id == GlassBreak.patient_id)
            .where(GlassBreak.person_id == work.actor.person, GlassBreak.until_at > work.now())
            .order_by(GlassBreak.until_at, GlassBreak.id)
        )
        return tuple(_glass(glass, patient, None) for glass, patient in rows)


def glass_to_review(work: Work, *, size: int = 100) -> tuple[GlassToReview, ...]:
    """Every broken glass that waits for its review, oldest first. Each is due on the day it was broken."""
    with work.look(Permission.GLASS_REVIEW):
        rows = work.db.execute(
            select(GlassBreak, Person.name, Patient.file_number)
            .join(Person, Person.id == GlassBreak.person_id)
            .join(Patient, Patient.id == GlassBreak.patient_id)
            .where(GlassBreak.reviewed_at.is_(None))
            .order_by(GlassBreak.at, GlassBreak.id)
            .limit(size)
        ).all()
        acts = _acts_while_open(work, [glass for glass, _, _ in rows])
        return tuple(
            _to_review(work, glass, name, number, acts.get(glass.id, 0)) for glass, name, number in rows
        )


def review_glass(work: Work, glass_id: UUID, *, verdict: str, note: str = "") -> None:
    """Somebody else's judgement on a broken glass. Misuse shuts it at once, needs a note, and is told to the admins."""
    with work.act(Permission.GLASS_REVIEW, Subject("glass", str(glass_id))) as facts:
        glass, note = work.get(GlassBreak, glass_id, what="broken glass", lock=True), note.strip()
        facts["patient"] = glass.patient_id
        if glass.person_id == work.actor.person:
            raise Denied("You broke this glass: somebody else must review it.")
        if glass.reviewed_at is not None:
            raise Refused("Somebody has reviewed this already.")
        if verdict not in VERDICTS:
            raise Refused("Choose what it was.")
        if len(note) > LONGEST_REASON or (verdict == "misuse" and len(note) < SHORTEST_REASON):
            raise Refused(f"Say in {SHORTEST_REASON} to {LONGEST_REASON} characters what was wrong about it.")
        glass.verdict, glass.note = verdict, note
        glass.reviewed_by, glass.reviewed_at = work.actor.person, work.now()
        take_note(work, "glass", about=glass.id)
        if verdict == "misuse":
            glass.until_at = min(glass.until_at, work.now())
            raise_alert(
                work, "glass", f"{work.actor.name} judged a broken glass to be misuse.", about=glass.id
            )
        facts |= {"verdict": verdict, "note": note, "person": glass.person_id}


# Looking at rights ----------------------------------------------------------------------------------------------


def look_up(work: Work, *, number: str) -> UUID:
    """The patient of a file number, accession number or SA ID number, whoever may see them. Raises Missing."""
    with work.act(Permission.ACCESS_SEE, Subject("patient")) as facts:
        patient, _ = _by_number(work, number.strip())
        facts["patient"] = patient.id
        return patient.id


def access_of(work: Work, patient_id: UUID) -> PatientAccess:
    """Who was let in to this patient beside the rule, and who was kept out. Recorded once per sitting."""
    with work.reading(Permission.ACCESS_SEE, Subject.patient(patient_id)):
        patient = work.get(Patient, patient_id)
        name = f"{patient.family_name}, {patient.given_names}"
        return PatientAccess(patient.id, patient.file_number, name, _rights(work, patient_id=patient_id))


def access_of_person(work: Work, person_id: UUID) -> tuple[Right, ...]:
    """Every grant, block and broken glass of one person, newest first; patients by their file numbers."""
    with work.look(Permission.ACCESS_SEE):
        work.get(Person, person_id)
        return _rights(work, person_id=person_id)


# For core.changes, inside its gate: what is asked for, what is wrong with it, and doing it ----------------------------


def grant_problems(work: Work, payload: Mapping[str, Any]) -> tuple[Problem, ...]:
    """What is wrong with a grant that is asked for: {person_id, patient_id, why, until_at}."""
    person = _staff_member(work, payload.get("person_id"))
    patient_id, until_at = _uuid(payload.get("patient_id")), _time(payload.get("until_at"))
    problems = [*_person_problems(person), *_patient_problems(work, patient_id), *_why_problems(payload)]
    if until_at is None or not work.now() < until_at <= work.now() + LONGEST_GRANT:
        problems.append(Problem("until", "Choose until when, at most a year from now.", "until_at"))
    if person and patient_id and _is_own_record(work, person, patient_id):
        problems.append(
            Problem("own-record", "This is the person's own record: nothing opens it to them.", "patient_id")
        )
    return tuple(problems)


def add_grant(
    work: Work, *, person_id: UUID, patient_id: UUID, why: str, until_at: datetime, request_id: UUID | None
) -> UUID:
    """Let one person see one patient until then, from now on."""
    row = PatientGrant(
        id=work.new_id(),
        person_id=person_id,
        patient_id=patient_id,
        why=why.strip(),
        from_at=work.now(),
        until_at=until_at,
        request_id=request_id,
    )
    work.db.add(row)
    work.db.flush()
    return row.id


def block_problems(work: Work, payload: Mapping[str, Any]) -> tuple[Problem, ...]:
    """What is wrong with a block that is asked for: {patient_id, person_id or "", kind, why, until_at or ""}."""
    kind, whom, until = payload.get("kind"), payload.get("person_id"), payload.get("until_at")
    problems = [*_patient_problems(work, _uuid(payload.get("patient_id"))), *_why_problems(payload)]
    if kind not in BLOCKS:
        problems.append(Problem("kind", "Choose what kind of block it is.", "kind"))
    if whom:
        problems += _person_problems(_staff_member(work, whom))
    elif kind != "vip":
        problems.append(Problem("no-person", "Choose whom it keeps out.", "person_id"))
    if until and ((until_at := _time(until)) is None or until_at <= work.now()):
        problems.append(
            Problem("until", "Choose a day that is still to come, or leave it empty.", "until_at")
        )
    return tuple(problems)


def add_block(
    work: Work,
    *,
    patient_id: UUID,
    person_id: UUID | None,
    kind: str,
    why: str,
    until_at: datetime | None,
    request_id: UUID | None,
) -> UUID:
    """Keep one person, or everybody, out of one patient, from now on."""
    row = PatientBlock(
        id=work.new_id(),
        patient_id=patient_id,
        person_id=person_id,
        kind=kind,
        why=why.strip(),
        from_at=work.now(),
        until_at=until_at,
        request_id=request_id,
    )
    work.db.add(row)
    work.db.flush()
    return row.id


def end_problems(work: Work, payload: Mapping[str, Any]) -> tuple[Problem, ...]:
    """What is wrong with ending a grant or block: {what: grant or block, id}."""
    row = _right(work, payload.get("what"), _uuid(payload.get("id")))
    if row is None:
        return (Problem("no-right", "There is no such grant or block.", "id"),)
    if payload.get("patient_id") not in (None, "", str(row.patient_id)):
        return (Problem("no-patient", "This grant or block is about somebody else.", "patient_id"),)
    if payload.get("person_id") not in (None, "", str(row.person_id)):
        return (Problem("no-person", "This grant or block is somebody else's.", "person_id"),)
    if row.ended_at is not None:
        return (Problem("ended", "This has ended already.", "id"),)
    if isinstance(row, PatientBlock) and row.kind == "own" and str(row.person_id) == work.actor.id:
        return (Problem("own-record", "Nobody opens their own record to themselves.", "id"),)
    return ()


def right_of(work: Work, *, what: str, row_id: UUID) -> PatientGrant | PatientBlock:
    """The row of a grant or a block: whose it is, and on which patient. Raises Missing."""
    row = _right(work, what, row_id)
    if row is None:
        raise Missing("There is no such grant or block.")
    return row


def grants_of(work: Work, *, person_id: UUID, patient_id: UUID) -> tuple[PatientGrant, ...]:
    """The person's own grants on that patient which stand now, oldest first."""
    query = select(PatientGrant).where(
        PatientGrant.person_id == person_id,
        PatientGrant.patient_id == patient_id,
        PatientGrant.ended_at.is_(None),
        PatientGrant.until_at > work.now(),
    )
    return tuple(work.db.scalars(query.order_by(PatientGrant.id)))


def end(work: Work, *, what: str, row_id: UUID) -> None:
    """End a grant or a block, now. Raises Missing."""
    row = right_of(work, what=what, row_id=row_id)
    if row.ended_at is None:
        row.ended_at, row.ended_by = work.now(), _uuid(work.actor.id)
        work.db.flush()


# Inside ---------------------------------------------------------------------------------------------------------


def _by_number(work: Work, number: str) -> tuple[Patient, UUID | None]:
    """The patient, and the study when its accession number was given. Only a whole number finds anybody."""
    if number and len(number) <= 64 and number.isprintable():
        identity = compact_identity("sa-id", number)
        patients = select(Patient).where(
            or_(
                Patient.file_number == number,
                (Patient.identity_kind == "sa-id") & (Patient.identity_number == identity),
            )
        )
        if patient := work.db.scalars(patients.limit(1)).first():
            return patient, None
        if study := work.db.scalars(select(Study).where(Study.accession == number)).first():
            return work.get(Patient, study.patient_id), study.id
    raise Missing(NOT_THERE)


def _open_already(work: Work, number: str) -> tuple[Patient, UUID | None] | None:
    """The same, when this person sees the patient and every study of theirs with whatever their roles carry.

    Where one of several roles, or one of several studies, stays shut, there is still something to break open.
    """
    order, actor = list(Scope), work.actor
    named = sorted(work.may - UNNAMED - NOT_WHILE_AWAY)
    narrowest = max(named, key=lambda p: order.index(scope_of(actor.roles, p, actor.bounds)))
    try:
        with work.look(narrowest):
            patient, study_id = _by_number(work, number)
            seen = set(work.db.scalars(select(Study.id).where(Study.patient_id == patient.id)))
    except Missing:
        return None
    is_whole = seen == set(work.db.scalars(select(Study.id).where(Study.patient_id == patient.id)))
    return (patient, study_id) if is_whole else None


def _glass(glass: GlassBreak, patient: Patient, study_id: UUID | None) -> Glass:
    name = f"{patient.family_name}, {patient.given_names}"
    return Glass(glass.id, patient.id, study_id, patient.file_number, name, glass.reason, glass.until_at)


def _acts_while_open(work: Work, glasses: Sequence[GlassBreak]) -> dict[UUID, int]:
    """How much each breaker did with the patient meanwhile: the trail is counted once for all of them."""
    if not glasses:
        return {}
    # The trail keeps ids as text, which neither database compares with the ids of other tables.
    opened = (
        values(
            column("glass", String),
            column("actor", String),
            column("patient", String),
            column("since", AuditEntry.at.type),
            column("until", AuditEntry.at.type),
            name="opened",
        )
        .data([(str(g.id), str(g.person_id), str(g.patient_id), g.at, g.until_at) for g in glasses])
        .cte("opened")
    )
    counted = (
        select(opened.c.glass, func.count())
        .join(
            AuditEntry,
            (AuditEntry.patient_id == opened.c.patient)
            & (AuditEntry.actor_id == opened.c.actor)
            & AuditEntry.at.between(opened.c.since, opened.c.until),
        )
        .group_by(opened.c.glass)
    )
    return {UUID(glass): many for glass, many in work.db.execute(counted)}


def _to_review(work: Work, glass: GlassBreak, person: str, file_number: str, acts: int) -> GlassToReview:
    due_on = local_day(glass.at)
    return GlassToReview(
        glass.id,
        glass.person_id,
        person,
        glass.patient_id,
        file_number,
        glass.reason,
        glass.at,
        glass.until_at,
        acts,
        due_on,
        local_day(work.now()) > due_on,
        str(glass.person_id) == work.actor.id,
    )


_Ender = aliased(Person)


def _rights(
    work: Work, *, patient_id: UUID | None = None, person_id: UUID | None = None
) -> tuple[Right, ...]:
    found = []
    for what, model in (("grant", PatientGrant), ("block", PatientBlock), ("glass", GlassBreak)):
        ended_by = getattr(model, "ended_by", null())  # A broken glass keeps its end in until_at.
        query = (
            select(model, Person.name, Patient.file_number, _Ender.name)
            .outerjoin(Person, Person.id == model.person_id)
            .join(Patient, Patient.id == model.patient_id)
            .outerjoin(_Ender, _Ender.id == ended_by)
        )
        if patient_id:
            query = query.where(model.patient_id == patient_id)
        if person_id:
            query = query.where(model.person_id == person_id)
        rows = work.db.execute(query.order_by(model.id.desc()).limit(500))
        found += [
            _right_card(work, what, row, person or "", number, ender or "")
            for row, person, number, ender in rows
        ]
    found += _own_records(work, patient_id=patient_id, person_id=person_id)
    return tuple(sorted(found, key=lambda right: right.from_at or work.now(), reverse=True))


def _own_records(work: Work, *, patient_id: UUID | None, person_id: UUID | None) -> list[Right]:
    """Whose own record it is, of those who work here: it is shut to them while they are bound to it."""
    query = select(Person, Patient.id, Patient.file_number).join(Patient, Patient.id == Person.patient_id)
    query = (
        query.where(Person.patient_id == patient_id) if patient_id else query.where(Person.id == person_id)
    )
    rows = [row for row in work.db.execute(query) if not OUTSIDERS & set(row[0].roles)]
    asked = select(ChangeRequest).where(
        ChangeRequest.kind == "own-record",
        ChangeRequest.state == "done",
        ChangeRequest.person_id.in_([person.id for person, _, _ in rows]),
    )
    # The newest of each person comes last, and stands.
    made = {r.person_id: r for r in work.db.scalars(asked.order_by(ChangeRequest.decided_at))} if rows else {}
    return [
        Right(
            "own",
            person.id,
            "",
            person.id,
            person.name,
            own,
            number,
            made[person.id].why if person.id in made else "",
            made[person.id].decided_at if person.id in made else None,
            None,
            None,
            "",
            stands=True,
        )
        for person, own, number in rows
    ]


def _right_card(work: Work, what: str, row: Any, person: str, file_number: str, ended_by: str) -> Right:
    is_glass = isinstance(row, GlassBreak)
    since, ended_at = (row.at, None) if is_glass else (row.from_at, row.ended_at)
    stands = ended_at is None and since <= work.now() and (row.until_at is None or work.now() < row.until_at)
    return Right(
        what,
        row.id,
        getattr(row, "kind", ""),
        row.person_id,
        person,
        row.patient_id,
        file_number,
        row.reason if is_glass else row.why,
        since,
        row.until_at,
        ended_at,
        ended_by,
        stands,
    )


def _right(work: Work, what: object, row_id: UUID | None) -> PatientGrant | PatientBlock | None:
    if row_id is None:
        return None
    if what == "grant":
        return work.db.get(PatientGrant, row_id, with_for_update=True)
    return work.db.get(PatientBlock, row_id, with_for_update=True) if what == "block" else None


def _staff_member(work: Work, person_id: object) -> Person | None:
    wanted = _uuid(person_id)
    person = work.db.get(Person, wanted) if wanted else None
    return person if person and person.is_active and not OUTSIDERS & set(person.roles) else None


def _person_problems(person: Person | None) -> tuple[Problem, ...]:
    return (
        ()
        if person
        else (Problem("no-person", "Choose a member of staff whose account works.", "person_id"),)
    )


def _patient_problems(work: Work, patient_id: UUID | None) -> tuple[Problem, ...]:
    # A patient whom everybody is kept out of must still be there for whoever asks to let somebody in.
    known = select(Patient.id).where(Patient.id == patient_id).execution_options(the_gates_own=True)
    if patient_id and work.db.scalars(known).first():
        return ()
    return (Problem("no-patient", "Choose the patient.", "patient_id"),)


def _why_problems(payload: Mapping[str, Any]) -> tuple[Problem, ...]:
    why = payload.get("why")
    if isinstance(why, str) and SHORTEST_REASON <= len(why.strip()) <= LONGEST_WHY:
        return ()
    return (Problem("why", f"Say why, in {SHORTEST_REASON} to {LONGEST_WHY} characters.", "why"),)


def _is_own_record(work: Work, person: Person, patient_id: UUID) -> bool:
    own = select(PatientBlock.id).where(
        PatientBlock.person_id == person.id,
        PatientBlock.patient_id == patient_id,
        PatientBlock.kind == "own",
        PatientBlock.ended_at.is_(None),
    )
    return person.patient_id == patient_id or work.db.scalars(own).first() is not None


def _uuid(value: object) -> UUID | None:
    try:
        return UUID(str(value))
    except ValueError:
        return None


def _time(value: object) -> datetime | None:
    try:
        at = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    except ValueError:
        return None
    return at if at.tzinfo else None
