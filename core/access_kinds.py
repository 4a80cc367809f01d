"""Changes of who may see one patient: access by name, a closed record, a colleague's own record, and the end of each."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import select

from core import access, people
from core.errors import Refused
from core.kinds import Kind, Payload, no_before, person_of, uuid_of
from core.rules.problems import Problem
from core.store.model import ChangeRequest, Patient, PatientBlock, PatientGrant, Person
from core.store.work import Work


def _grant_apply(work: Work, row: ChangeRequest) -> Payload:
    p = row.payload
    made = access.add_grant(
        work,
        person_id=UUID(p["person_id"]),
        patient_id=UUID(p["patient_id"]),
        why=row.why or p.get("why", ""),
        until_at=datetime.fromisoformat(p["until_at"]),
        request_id=row.id,
    )
    return {"grant": str(made)}


def _block_now(work: Work, payload: Payload) -> Payload:
    """What the person was let in with till now: a grant is stronger than a block, so that it ends with the block."""
    person_id, patient_id = uuid_of(payload.get("person_id")), UUID(payload["patient_id"])
    standing = access.grants_of(work, person_id=person_id, patient_id=patient_id) if person_id else ()
    return {"grants": _said_grants(standing)}


def _said_grants(grants: tuple[PatientGrant, ...]) -> list[dict[str, str]]:
    return [{"id": str(g.id), "until": g.until_at.isoformat(), "why": g.why} for g in grants]


def _end_grants(work: Work, row: ChangeRequest) -> list[str]:
    for grant in row.before["grants"]:
        access.end(work, what="grant", row_id=UUID(grant["id"]))
    return [grant["id"] for grant in row.before["grants"]]


def _block_apply(work: Work, row: ChangeRequest) -> Payload:
    p, ended = row.payload, _end_grants(work, row)
    until = datetime.fromisoformat(p["until_at"]) if p.get("until_at") else None
    made = access.add_block(
        work,
        patient_id=UUID(p["patient_id"]),
        person_id=uuid_of(p.get("person_id")),
        kind=p["kind"],
        why=row.why or p.get("why", ""),
        until_at=until,
        request_id=row.id,
    )
    return {"block": str(made), "ended": ended}


def _own_record_problems(work: Work, payload: Payload) -> tuple[Problem, ...]:
    """A member of staff's own record: a patient there is, and nobody opens their own to themselves."""
    person, wanted = person_of(work, payload), payload["patient_id"]
    if set(person.roles) & set(people.OUTSIDE):
        return (Problem("not-staff", "A patient's or doctor's account is bound by its role.", "person_id"),)
    if wanted == (person.patient_id and str(person.patient_id)):
        return (Problem("same", "Nothing would change.", "patient_id"),)
    if person.patient_id and str(person.id) == work.actor.id:
        return (Problem("own-record", "Nobody opens their own record to themselves.", "person_id"),)
    if wanted and not _file_number(work, UUID(wanted)):
        return (Problem("no-patient", "There is no such patient.", "patient_id"),)
    return ()


def _own_record_now(work: Work, payload: Payload) -> Payload:
    """Whose record is theirs now, and what they were let in with till now to the one that will be."""
    person, wanted = person_of(work, payload), payload["patient_id"]
    standing_grants = access.grants_of(work, person_id=person.id, patient_id=UUID(wanted)) if wanted else ()
    return {
        "patient_id": person.patient_id and str(person.patient_id),
        "grants": _said_grants(standing_grants),
    }


def _own_record_apply(work: Work, row: ChangeRequest) -> Payload:
    person = person_of(work, row.payload, lock=True)
    # Who became a patient's account meanwhile would be let in to what this was to shut.
    if problems := _own_record_problems(work, row.payload):
        raise Refused(problems[0].sentence, problems=problems)
    if person.patient_id:
        people.end_sessions_of(work, person, why="wider reach")
    person.patient_id = uuid_of(row.payload["patient_id"])
    return {"patient_id": row.payload["patient_id"], "ended": _end_grants(work, row)}


def _end_now(work: Work, payload: Payload) -> Payload:
    model = PatientGrant if payload["what"] == "grant" else PatientBlock
    row = work.get(model, UUID(payload["id"]), what=payload["what"])
    return {
        "ended": row.ended_at.isoformat() if row.ended_at else "",
        "person": _name_and_login(work, row.person_id) or "everybody",
        "patient": _file_number(work, row.patient_id),
        "why": row.why,
    }


def _end_apply(work: Work, row: ChangeRequest) -> Payload:
    access.end(work, what=row.payload["what"], row_id=UUID(row.payload["id"]))
    return _end_now(work, row.payload)


def _own_record_fill(work: Work, payload: Payload) -> Payload:
    return {**payload, "patient_id": payload["patient_id"] or None}


def _file_number(work: Work, patient_id: UUID) -> str:
    """The number alone, also of a record that is closed to whoever decides: else a closed one could never be opened."""
    number = select(Patient.file_number).where(Patient.id == patient_id)
    return work.db.scalars(number.execution_options(the_gates_own=True)).first() or ""


def _name_and_login(work: Work, person_id: UUID | None) -> str:
    """A name may stand twice; a login does not."""
    person = work.db.get(Person, person_id) if person_id else None
    return f"{person.name} ({person.login})" if person else ""


ACCESS: dict[str, Kind] = {
    "grant": Kind("Access to a patient", (), ("person_id", "patient_id", "why", "until_at"), access.grant_problems, no_before,
                  _grant_apply),
    "block": Kind("Close a patient's record", (), ("person_id", "patient_id", "kind", "why", "until_at"), access.block_problems,
                  _block_now, _block_apply),
    "own-record": Kind("Own record as a patient", ("person_id", "patient_id"), (), _own_record_problems, _own_record_now,
                       _own_record_apply, _own_record_fill),
    "end-access": Kind("End an access or a block", ("what", "id"), ("person_id", "patient_id"), access.end_problems, _end_now,
                       _end_apply),
}  # fmt: skip
