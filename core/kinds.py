"""What a kind of change is, and what the kinds share. They are in account_kinds, access_kinds and sheet_kind."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from core.rules.person_texts import LENGTHS, tidy
from core.rules.problems import Problem
from core.store.model import ChangeRequest, Person
from core.store.work import Work

Payload = dict[str, Any]
ACCOUNT_FIELDS = ("registration", "practice_number", "email", "scope", "sites")
SEALED = Problem(
    "sealed", "This is the sealed account for emergencies: seal it anew on the machine instead.", "person_id"
)


def as_said(work: Work, payload: Payload) -> Payload:
    """Nothing is left out that could be filled."""
    return payload


@dataclass(frozen=True)
class Kind:
    """One kind of change. `apply` returns what it did for the record, or None when an errand must do it outside.

    needs, may: the keys that a payload has, and may have. No other is taken, since none but these are shown.
    fill: the payload with what was left out as it stands now: left out means left alone, and nothing is changed unseen.
    """

    label: str
    needs: tuple[str, ...]
    may: tuple[str, ...]
    problems: Callable[[Work, Payload], tuple[Problem, ...]]
    before: Callable[[Work, Payload], Payload]
    apply: Callable[[Work, ChangeRequest], Payload | None]
    fill: Callable[[Work, Payload], Payload] = as_said


def person_of(work: Work, payload: Payload, *, lock: bool = False) -> Person:
    """Whom a request is about. Raises Missing."""
    return work.get(Person, UUID(str(payload["person_id"])), lock=lock)


def no_before(work: Work, payload: Payload) -> Payload:
    """Nothing stood before."""
    return {}


def tidied(said: Payload) -> Payload:
    """Texts in the one spelling that is shown, approved and kept."""
    return {k: tidy(k, v) if k in LENGTHS else v for k, v in said.items()}


def uuid_of(value: Any) -> UUID | None:
    """An id, or None for an empty one."""
    return UUID(str(value)) if value else None
