"""Who may see which patient: one pure decision. core.store.reach says the same to the database, row by row.

In this order: what outsiders see is fixed; somebody's own record stays shut to them; an active grant or a broken glass
opens; an active block shuts; otherwise the scope in force says.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from core.rules.roles import SCOPES, UNNAMED, Permission, Role, Scope, granted

OUTSIDERS = frozenset({Role.PATIENT, Role.REFERRER})
# What a person's own setting may say; the other scopes belong to outsiders.
OVERRIDES = (Scope.ALL, Scope.SITE, Scope.ASSIGNED, Scope.NONE)


@dataclass(frozen=True)
class Reach:
    """What one link opens: one study of one patient in one signed version, and nothing beside it."""

    share_id: UUID
    study_id: UUID
    patient_id: UUID
    version_id: UUID
    referrer_id: UUID | None = None


@dataclass(frozen=True)
class Bounds:
    """What is set for one person. scope None: what their roles say. sites empty: the house's own.

    patient_id: whose account this is; of staff, their own record, which is shut to them. reduced: signed in while the
    directory was away. keyless: needs a key for what their role may do, and this session was not opened by one.
    """

    scope: Scope | None = None
    sites: frozenset[str] = frozenset()
    patient_id: UUID | None = None
    referrer_id: UUID | None = None
    reduced: bool = False
    keyless: bool = False


@dataclass(frozen=True)
class Fence:
    """One block, grant or broken glass as it stands. kind: own, block, open."""

    kind: str
    patient_id: UUID
    from_at: datetime
    until_at: datetime | None


@dataclass(frozen=True)
class Fences:
    """The patients that are shut to one person, never to be opened, or opened to them, at one moment."""

    never: frozenset[UUID] = frozenset()
    blocked: frozenset[UUID] = frozenset()
    opened: frozenset[UUID] = frozenset()

    @property
    def hidden(self) -> frozenset[UUID]:
        """What a scope, however wide, does not show."""
        return self.never | (self.blocked - self.opened)

    @property
    def shown(self) -> frozenset[UUID]:
        """What is seen however narrow the scope."""
        return self.opened - self.never


OPEN_COUNTRY = Fences()


@dataclass(frozen=True)
class Facts:
    """What the decision asks of a patient or a study.

    sites: of a patient, where registered or examined; of a study, its own. is_mine: assigned to this person.
    referrers: who referred; of a patient, the signed studies only. is_signed: of a study, or of any of a patient's.
    """

    patient_id: UUID
    study_id: UUID | None = None
    sites: frozenset[str] = frozenset()
    is_mine: bool = False
    referrers: frozenset[UUID] = frozenset()
    is_signed: bool = False


@dataclass(frozen=True)
class Decision:
    """Whether, and why: the reason goes on record and is never shown to whoever asked."""

    allowed: bool
    why: str  # in-scope, opened; outside-scope, blocked, own-record


def fences_at(fences: tuple[Fence, ...], now: datetime, *, own: UUID | None = None) -> Fences:
    """The fences that stand now. own: the person's own patient record."""
    stand = [f for f in fences if f.from_at <= now and (f.until_at is None or now < f.until_at)]
    by = {kind: frozenset(f.patient_id for f in stand if f.kind == kind) for kind in ("own", "block", "open")}
    return Fences(by["own"] | ({own} if own else frozenset()), by["block"], by["open"])


def scope_of(
    roles: frozenset[Role], permission: Permission, bounds: Bounds = Bounds(), *, by_link: bool = False
) -> Scope:
    """The scope in force: what the roles that carry the permission give, at the widest, or what is set for the person."""
    if roles & OUTSIDERS:
        # Whoever is an outsider too is an outsider first.
        return Scope.LINK if by_link else Scope.OWN if Role.PATIENT in roles else Scope.REFERRER
    if permission in UNNAMED:
        return Scope.ALL
    given = {SCOPES[role] for role in roles if permission in granted(role, keyless=bounds.keyless)}
    widest = next((scope for scope in Scope if scope in given), Scope.NONE)
    if bounds.scope is None or not given or roles & {Role.SYSTEM, Role.NOBODY}:
        return widest
    return bounds.scope if bounds.scope in OVERRIDES else Scope.NONE


def decide(
    scope: Scope, bounds: Bounds, fences: Fences, facts: Facts, *, reach: Reach | None = None
) -> Decision:
    """May this person see this patient or study?"""
    if facts.patient_id in fences.never:
        return Decision(False, "own-record")
    if facts.patient_id in fences.opened:
        return Decision(True, "opened")
    if facts.patient_id in fences.blocked:
        return Decision(False, "blocked")
    seen = _SEES[scope](bounds, facts, reach)
    return Decision(seen, "in-scope" if seen else "outside-scope")


def _own(bounds: Bounds, facts: Facts, _: Reach | None) -> bool:
    # A patient sees their own file from the first day, and a study once its report is signed.
    return facts.patient_id == bounds.patient_id and (facts.study_id is None or facts.is_signed)


def _referred(bounds: Bounds, facts: Facts, _: Reach | None) -> bool:
    return facts.is_signed and bounds.referrer_id is not None and bounds.referrer_id in facts.referrers


def _linked(_: Bounds, facts: Facts, reach: Reach | None) -> bool:
    if reach is None:
        return False
    return (
        facts.patient_id == reach.patient_id if facts.study_id is None else facts.study_id == reach.study_id
    )


_SEES: dict[Scope, Callable[[Bounds, Facts, Reach | None], bool]] = {
    Scope.ALL: lambda bounds, facts, reach: True,
    Scope.SITE: lambda bounds, facts, reach: bool(facts.sites & bounds.sites),
    Scope.ASSIGNED: lambda bounds, facts, reach: facts.is_mine,
    Scope.REFERRER: _referred,
    Scope.OWN: _own,
    Scope.LINK: _linked,
    Scope.NONE: lambda bounds, facts, reach: False,
}
