"""A request as it is shown: what it changes, in words, and the digest that proves that this was shown."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import select

from core import people
from core.change_kinds import KINDS
from core.kinds import ACCOUNT_FIELDS
from core.rules.za_time import say_day, say_until
from core.store.model import ChangeRequest, GroupRole, Patient, Person, Referrer
from core.store.work import Work

DECIDED_AND_DUE = ("delayed", "carrying")
TAMPERED = "This request was changed in the database after it was asked for. Refuse it, and tell whoever looks after the system."


@dataclass(frozen=True)
class Line:
    """One thing that changes, in words: what, how it is, how it will be. of: of a sheet, whose row it is."""

    what: str
    before: str
    after: str
    of: str = ""


@dataclass(frozen=True)
class SheetPerson:
    """Of a sheet, somebody who is new or whose roles change: who it is, and what they may do now and then."""

    login: str
    name: str
    is_new: bool
    before: tuple[str, ...]
    after: tuple[str, ...]


@dataclass(frozen=True)
class RequestCard:
    """A request as its page needs it. why_not: why this person cannot approve it; empty when they can.

    purpose: what a fresh proof for approving it is bound to (core.factors). sheet: of an import, in the sheet's order.
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
    sheet: tuple[SheetPerson, ...] = ()


@dataclass(frozen=True)
class Names:
    """What people call whatever requests are about, read in a few questions for all of them: see `names_in`."""

    reader: str
    people: dict[UUID, str]
    files: dict[UUID, str]
    doctors: dict[UUID, str]
    groups: dict[str, str]
    by_hand: bool  # groups are written as single sign-on sends them, and not found in a directory


def names_in(work: Work, rows: Sequence[ChangeRequest]) -> Names:
    """The names that the cards of these requests need."""
    people_named = {i for row in rows for i in (row.person_id, row.asked_by, row.decided_by) if i}
    told = [said for row in rows for said in (row.payload, row.before)]
    patients = {row.patient_id for row in rows if row.patient_id} | _ids("patient_id", told)
    doctors = _ids("referrer_id", told)
    people_rows = work.db.scalars(select(Person).where(Person.id.in_(people_named))) if people_named else ()
    doctor_rows = work.db.scalars(select(Referrer).where(Referrer.id.in_(doctors))) if doctors else ()
    has_groups = any(row.kind in _OF_GROUPS for row in rows)
    return Names(
        work.actor.id,
        {p.id: f"{p.name} ({p.login})" for p in people_rows},
        _files(work, patients),
        {d.id: d.name for d in doctor_rows},
        {g.group_id: g.group_name for g in work.db.scalars(select(GroupRole))} if has_groups else {},
        work.ports.directory is None,
    )


_OF_GROUPS = ("add-person", "directory-groups")


def _ids(key: str, told: Iterable[dict[str, Any]]) -> set[UUID]:
    return {UUID(str(said[key])) for said in told if said.get(key)}


def _files(work: Work, patient_ids: set[UUID]) -> dict[UUID, str]:
    """Number, name and birth date, so that a mistyped number is seen; of a record closed to whoever decides, the number."""
    if not patient_ids:
        return {}
    numbers = select(Patient.id, Patient.file_number).where(Patient.id.in_(patient_ids))
    seen = {p.id: p for p in work.db.scalars(select(Patient).where(Patient.id.in_(patient_ids)))}
    # The number alone, also of a record that is closed to whoever decides: else a closed one could never be opened.
    return {
        i: f"{number}: {seen[i].family_name}, {seen[i].given_names}, born {say_day(seen[i].born_on)}"
        if i in seen
        else number
        for i, number in work.db.execute(numbers.execution_options(the_gates_own=True))
    }


def card_of(named: Names, row: ChangeRequest, *, why_not: str, in_list: bool = False) -> RequestCard:
    """The request as its page needs it. in_list: the thousands of lines of a sheet are left out."""
    lines = () if in_list and row.kind == "import" else _lines(named, row)
    return RequestCard(
        row.id, row.kind, KINDS[row.kind].label if row.kind in KINDS else row.kind, _about(named, row), row.person_id,
        row.patient_id, lines, row.why, named.people.get(row.asked_by, ""), row.asked_at, row.ends_at, row.state, row.due_at,
        _who(named, row.decided_by), row.decided_at, row.remark, row.digest, purpose_of(row), why_not,
        str(row.asked_by) == named.reader, () if in_list or row.kind != "import" else _sheet(row),
    )  # fmt: skip


def purpose_of(row: ChangeRequest) -> str:
    """What a proof for approving this request is bound to: this request, as it was shown."""
    return f"change:{row.id}:{row.digest[:16]}"


def digest_of(work: Work, row: ChangeRequest) -> str:
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
    if row.state in DECIDED_AND_DUE:
        # That it was approved, by whom, and when it is due: what waits for the worker is applied without another look.
        due_at = row.due_at.isoformat() if row.due_at else ""
        decided_at = row.decided_at.isoformat() if row.decided_at else ""
        said["decided"] = [row.state, str(row.decided_by), decided_at, due_at]
    text = json.dumps(said, sort_keys=True, ensure_ascii=False).encode()
    return hmac.new(work.keys["audit"], b"change-request:" + text, hashlib.sha256).hexdigest()


def is_untouched(work: Work, row: ChangeRequest) -> bool:
    return hmac.compare_digest(digest_of(work, row), row.digest)


def settle(work: Work, row: ChangeRequest, state: str) -> None:
    """It is decided another way, or over: its digest is that of the new state, so that nobody writes the old one back."""
    untouched = is_untouched(work, row)
    row.state = state
    if untouched:  # What was changed in the database stays known as such.
        row.digest = digest_of(work, row)


# In words ---------------------------------------------------------------------------------------------------------


def _who(named: Names, person_id: UUID | None) -> str:
    """A name may stand twice; a login does not."""
    return named.people.get(person_id, "") if person_id else ""


def _about(named: Names, row: ChangeRequest) -> str:
    person = _who(named, row.person_id) or str(row.payload.get("name", ""))
    # Whoever is bound to a record keeps it through a change of roles: that they are a patient is no business of this request.
    is_new = row.patient_id is not None and row.before.get("patient_id") != str(row.patient_id)
    file = named.files.get(row.patient_id, "") if row.patient_id and is_new else ""
    return " · ".join(t for t in (person, file or str(row.before.get("patient", ""))) if t)


_HIDDEN = {"person_id", "line", "rows", "lines", "id", "names"}
_WORDS = {"patient_id": "patient", "referrer_id": "doctor", "until_at": "until", "practice_number": "practice number",
          "in_directory": "made in the directory", "directory_id": "from the directory", "what": "what ends",
          "enabled": "account in the directory", "add": "into the groups", "remove": "out of the groups"}  # fmt: skip


def _lines(named: Names, row: ChangeRequest) -> tuple[Line, ...]:
    if row.kind == "group-roles":
        return _mapping_lines(row, by_hand=named.by_hand)
    if row.kind == "import":
        return _import_lines(named, row)
    if row.kind == "end-access":
        words = ("what", "patient", "person", "why")
        said = {"what": row.payload["what"], **row.before}
        return tuple(Line(_WORDS.get(w, w), _said(named, w, said.get(w)), "") for w in words)
    asked = {group_id: f"{name} ({group_id})" for group_id, name in row.payload.get("names", {}).items()}
    groups = {
        **asked,
        **named.groups,
    }  # Beyond the mapping, as the directory called them when this was asked for.
    called = _WORDS | ({"patient_id": "own record"} if row.kind == "own-record" else {})
    lines = [
        Line(
            called.get(key, key),
            _said(named, key, row.before.get(key), groups),
            _said(named, key, value, groups),
        )
        for key, value in row.payload.items()
        if key not in _HIDDEN
        and (row.before.get(key) or value or value is False)
        and row.before.get(key) != value
    ]
    if row.kind in ("grant", "block", "own-record"):
        lines.insert(0, Line("whom", "", _who(named, row.person_id) or "everybody"))
    if row.kind in ("block", "own-record"):
        lines += [
            Line(
                "access that ends with it",
                f"until {_said(named, 'until_at', grant['until'])}: {grant['why']}",
                "",
            )
            for grant in row.before.get("grants", ())
        ]
    if row.kind in ("reset-password", "reset-factor", "let-in"):
        lines += [
            Line(key, _said(named, key, value), _said(named, key, row.after.get(key, "")) or "reset")
            for key, value in row.before.items()
        ]
    return tuple(lines)


def _import_lines(named: Names, row: ChangeRequest) -> tuple[Line, ...]:
    """Everything that each row changes, a line a field: what is applied and not shown would be approved unseen."""
    known = {before["login"]: before for before in row.before["rows"]}
    lines: list[Line] = []
    for item in row.payload["rows"]:
        login = people.fold(item["login"])
        before = known.get(login, {}) if item.get("person_id") else {}
        if not item.get("person_id"):
            lines.append(Line("account", "", "new", login))
        for field in ("name", "roles", *ACCOUNT_FIELDS):
            was, will = (_said(named, field, x.get(field)) for x in (before, item))
            if was != will:
                lines.append(Line(_WORDS.get(field, field), was, will, login))
    return tuple(lines)


def _sheet(row: ChangeRequest) -> tuple[SheetPerson, ...]:
    """Who gets an account or other roles: what an approver asks first, and among thousands of lines does not find."""
    known = {before["login"]: before for before in row.before["rows"]}
    found = []
    for item in row.payload["rows"]:
        login, is_new = people.fold(item["login"]), not item.get("person_id")
        before = () if is_new else tuple(known.get(login, {}).get("roles", ()))
        after = tuple(item["roles"])
        if is_new or set(before) != set(after):
            found.append(SheetPerson(login, item["name"], is_new, before, after))
    return tuple(found)


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


def _said(named: Names, key: str, value: Any, groups: dict[str, str] | None = None) -> str:
    if key == "enabled":
        return {True: "enabled", False: "disabled"}.get(value, "")
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join((groups or {}).get(str(v), str(v)) for v in value)
    if key == "patient_id" and value:
        return named.files.get(UUID(str(value)), "")
    if key == "referrer_id" and value:
        return named.doctors.get(UUID(str(value)), "")
    if key == "until_at" and value:
        return say_until(datetime.fromisoformat(value))
    if key == "directory_id" and value:
        return f"yes ({value})"  # The id decides whose account it is; the login and name above are only said.
    return "" if value is None else str(value)
