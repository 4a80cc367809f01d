"""The kinds of change in one table, and what of a request is the same for all of them.

A new kind is a row of the table of its subject: account_kinds, access_kinds or sheet_kind. core.changes asks, approves and
applies them; core.change_cards says them in words.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from core import access
from core.access_kinds import ACCESS
from core.account_kinds import ACCOUNTS
from core.kinds import ACCOUNT_FIELDS, SEALED, Kind, Payload, person_of, uuid_of
from core.rules.person_texts import LENGTHS
from core.rules.problems import Problem
from core.sheet_kind import SHEET
from core.store.work import Work

KINDS: dict[str, Kind] = ACCOUNTS | ACCESS | SHEET

# What each row of a list has: (the key, what it needs, what it may have).
_ROWS = {
    "group-roles": ("lines", ("group_id", "group_name", "role"), ()),
    "import": ("rows", ("login", "name", "roles"), (*ACCOUNT_FIELDS, "line", "person_id")),
}
_IDS = ("person_id", "patient_id", "referrer_id", "id")
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


def shape_problems(kind: str, payload: Payload) -> tuple[Problem, ...]:
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


def filled(work: Work, kind: str, payload: Payload) -> Payload:
    """The payload with what was left out as it stands now."""
    return KINDS[kind].fill(work, payload)


def sealed_problems(work: Work, kind: str, payload: Payload) -> tuple[Problem, ...]:
    """No request opens the sealed account, or makes it anybody's: it was used, so that it needs a new envelope."""
    is_sealed = kind in _NOT_OF_THE_SEALED and person_of(work, payload).is_break_glass
    return (SEALED,) if is_sealed else ()


def whom(work: Work, kind: str, payload: Payload) -> tuple[UUID | None, UUID | None]:
    """The person and the patient it is about. Of a right that ends, those whose right it is."""
    if kind == "end-access":
        right = access.right_of(work, what=payload["what"], row_id=UUID(payload["id"]))
        return right.person_id, right.patient_id
    if kind == "own-record":
        return UUID(payload["person_id"]), uuid_of(payload["patient_id"]) or person_of(
            work, payload
        ).patient_id
    return uuid_of(payload.get("person_id")), uuid_of(payload.get("patient_id"))


def _uuid_or_none(value: Any) -> UUID | None:
    try:
        return UUID(str(value))
    except ValueError:
        return None
