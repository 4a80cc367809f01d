"""Which rows somebody sees: the decision of core.rules.access, said to the database.

Each table is in CONCERNS once: the practice's own, or with the row it belongs to, up to a study or a patient. A table
that is missing there shows nobody anything. The conditions are plain Core, so that they are not narrowed themselves.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    CompoundSelect,
    Select,
    Uuid,
    and_,
    bindparam,
    exists,
    false,
    literal,
    not_,
    or_,
    select,
    true,
    union_all,
)
from sqlalchemy.orm import Session, with_loader_criteria
from sqlalchemy.sql.base import ExecutableOption

from core.rules.access import OPEN_COUNTRY, Facts, Fence, Fences, Reach
from core.rules.roles import Scope
from core.store.model import (
    Activation,
    Alert,
    Arrival,
    AuditEntry,
    Base,
    Challenge,
    ChangeRequest,
    Claim,
    ClaimEvent,
    ClaimLine,
    CodeTable,
    Consent,
    Counter,
    Document,
    Errand,
    FeedCursor,
    GlassBreak,
    GroupRole,
    Heartbeat,
    Icd10Row,
    Instance,
    Patient,
    PatientBlock,
    PatientGrant,
    Person,
    Posting,
    Practice,
    RecoveryCode,
    Referrer,
    Remittance,
    RemittanceLine,
    ReportVersion,
    SecurityKey,
    Share,
    ShareInstance,
    SignInSession,
    StepUp,
    Study,
    StudyEvent,
    SwitchPosition,
    TariffRow,
    Throttle,
)
from core.store.model.base import UtcTime


class Owner(NamedTuple):
    """The row that a row belongs to: its table, our column, and the owner's column that is equal to it."""

    model: type[Base]
    column: str
    its: str = "id"


PRACTICE: tuple[Owner, ...] = ()
ITSELF = (Owner(Base, ""),)
_BY_STUDY, _BY_CLAIM = (Owner(Study, "study_id"),), (Owner(Claim, "claim_id"),)

# A row with several owners is seen with any of them; a row whose owner is not known yet, with ALL and at its own site.
CONCERNS: dict[type[Base], tuple[Owner, ...]] = {
    Patient: ITSELF,
    Study: ITSELF,
    Consent: (Owner(Patient, "patient_id"),),
    StudyEvent: _BY_STUDY,
    ReportVersion: _BY_STUDY,
    Arrival: _BY_STUDY,
    Instance: _BY_STUDY,
    Share: _BY_STUDY,
    ShareInstance: (Owner(Share, "share_id"),),
    Claim: _BY_STUDY,
    ClaimLine: _BY_CLAIM,
    ClaimEvent: _BY_CLAIM,
    Posting: _BY_CLAIM,
    # A sealed file belongs to a report, a claim's message or a file that the PACS would not take.
    Document: (Owner(ReportVersion, "owner_id"), Owner(Claim, "owner_id"), Owner(Arrival, "owner_id")),
    # The payer's paper: claim numbers and cents, which must add up to be posted. Their claims are narrowed.
    Remittance: PRACTICE,
    RemittanceLine: PRACTICE,
    # The trail: a block must never hide from its overseers who did what.
    AuditEntry: PRACTICE,
    # Who has which access, for the same reason; shown to its overseers and to the person only.
    PatientGrant: PRACTICE,
    PatientBlock: PRACTICE,
    GlassBreak: PRACTICE,
    ChangeRequest: PRACTICE,
    Alert: PRACTICE,
    # Ids only, for the worker; a key must be found again by whoever leaves the errand a second time.
    Errand: PRACTICE,
    Practice: PRACTICE,
    Counter: PRACTICE,
    Referrer: PRACTICE,
    CodeTable: PRACTICE,
    Icd10Row: PRACTICE,
    TariffRow: PRACTICE,
    SwitchPosition: PRACTICE,
    FeedCursor: PRACTICE,
    Heartbeat: PRACTICE,
    Person: PRACTICE,
    SignInSession: PRACTICE,
    SecurityKey: PRACTICE,
    RecoveryCode: PRACTICE,
    Activation: PRACTICE,
    Challenge: PRACTICE,
    StepUp: PRACTICE,
    Throttle: PRACTICE,
    GroupRole: PRACTICE,
}

# What an account of a patient or a referring doctor sees, and nothing beside it: of a report, only the signed version.
TO_ACCOUNTS: dict[type[Base], tuple[Owner, ...]] = {
    Patient: ITSELF,
    Study: ITSELF,
    Instance: _BY_STUDY,
    ReportVersion: (Owner(Study, "id", "signed_version_id"),),
    Document: (Owner(Study, "owner_id", "signed_version_id"),),
}
# Beside these, the rows that are the account's own: (column, attribute of View).
OF_ACCOUNTS: dict[type[Base], tuple[str, str]] = {
    Person: ("id", "person"),
    SignInSession: ("person_id", "person"),
    Referrer: ("id", "referrer_id"),
}


class Tended(NamedTuple):
    """Which rows of a table are an account's own, and what it may change in them. is_new: it may add such rows."""

    column: str
    its: str
    changes: frozenset[str]
    is_new: bool = False


_USED = frozenset({"used_at"})
# What an account reads and writes where it looks after itself (Permission.ACCOUNT_SELF), and nowhere else: its own
# password and second factors, the proofs of this one session, and the end of its sessions.
TENDED: dict[type[Base], Tended] = {
    Person: Tended(
        "id", "person",
        frozenset({"password_hash", "password_set_at", "away_until", "wrong_answers", "locked_until", "totp_box",
                   "totp_pending", "totp_step", "wrong_codes", "codes_rest_until"}),
    ),
    SignInSession: Tended("person_id", "person", frozenset({"ended_at", "ended_why", "key_id"})),
    SecurityKey: Tended("person_id", "person", frozenset({"sign_count", "used_at", "ended_at", "ended_why"}), is_new=True),
    RecoveryCode: Tended("person_id", "person", _USED, is_new=True),
    Challenge: Tended("session_id", "session", _USED, is_new=True),
    StepUp: Tended("session_id", "session", _USED, is_new=True),
}  # fmt: skip
# What a link opens: (column, attribute of Reach). No row of any other table.
TO_LINKS: dict[type[Base], tuple[str, str]] = {
    Share: ("id", "share_id"),
    ShareInstance: ("share_id", "share_id"),
    Patient: ("id", "patient_id"),
    Consent: ("patient_id", "patient_id"),
    Study: ("id", "study_id"),
    StudyEvent: ("study_id", "study_id"),
    Instance: ("study_id", "study_id"),
    ReportVersion: ("id", "version_id"),
    Document: ("owner_id", "version_id"),
    Referrer: ("id", "referrer_id"),
}


@dataclass(frozen=True)
class View:
    """Everything that the rows depend on. Two people with equal views see the same rows."""

    scope: Scope
    sites: frozenset[str] = frozenset()
    person: UUID | None = None
    patient_id: UUID | None = None
    referrer_id: UUID | None = None
    reach: Reach | None = None
    fences: Fences = OPEN_COUNTRY
    session: UUID | None = None  # of an account that looks after itself

    @property
    def is_whole(self) -> bool:
        """True when nothing is narrowed."""
        return self.scope is Scope.ALL and not self.fences.hidden


def is_tended(row: Base, view: View, *, changed: frozenset[str] | None) -> bool:
    """May the account of this view write this row? changed: the columns that differ; None: it is new."""
    if view.session is None:
        return False
    if isinstance(row, Alert):
        return changed is None and row.about == str(view.person)
    tended = TENDED.get(type(row))
    if tended is None or getattr(row, tended.column) != getattr(view, tended.its):
        return False
    return tended.is_new if changed is None else changed <= tended.changes


# Rows -----------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=512)
def criteria(view: View) -> tuple[ExecutableOption, ...]:
    """The row filter as options of a statement: none at all when nothing is narrowed."""
    if view.is_whole:
        return ()
    narrowed = {mapper.class_: condition(mapper.class_, view) for mapper in Base.registry.mappers}
    return tuple(
        with_loader_criteria(model, condition, include_aliases=True)
        for model, condition in narrowed.items()
        if condition is not None
    )


def condition(model: type[Base], view: View) -> ColumnElement[bool] | None:
    """The condition on this table's rows; None: all of them."""
    if view.scope is Scope.LINK:
        return _equal(model, TO_LINKS.get(model), view.reach)
    if view.scope in (Scope.OWN, Scope.REFERRER):
        if model in TO_ACCOUNTS:
            return _seen(model, model, TO_ACCOUNTS, view)
        if view.session is not None and model in TENDED:
            return _equal(model, TENDED[model][:2], view)
        return _equal(model, OF_ACCOUNTS.get(model), view)
    if view.is_whole or CONCERNS.get(model) == PRACTICE:
        return None
    return _seen(model, model, CONCERNS, view) if model in CONCERNS else false()


def _equal(model: type[Base], pair: tuple[str, str] | None, held: Reach | View | None) -> ColumnElement[bool]:
    value = getattr(held, pair[1]) if pair and held else None
    return getattr(model, pair[0]) == value if pair and value is not None else false()


def _seen(
    model: type[Base], row: Any, owners: dict[type[Base], tuple[Owner, ...]], view: View
) -> ColumnElement[bool]:
    """The condition on `row`, the table's class or the columns of an alias of it."""
    if model is Patient:
        return _fenced(row.id, _patient_in_scope(row, view), view)
    if model is Study:
        return _fenced(row.patient_id, _study_in_scope(row, view), view)
    if view.scope is Scope.ALL and "patient_id" in model.__table__.c:
        # Whose it is stands in the row itself, so that a long list asks for no owner of each row.
        unhidden = row.patient_id.not_in(view.fences.hidden)
        return or_(row.patient_id.is_(None), unhidden) if _may_be_empty(model, "patient_id") else unhidden
    return or_(*(_seen_with(model, row, owner, owners, view) for owner in owners[model]))


def _may_be_empty(model: type[Base], column: str) -> bool:
    return bool(model.__table__.c[column].nullable)


def _seen_with(
    model: type[Base], row: Any, owner: Owner, owners: dict[type[Base], tuple[Owner, ...]], view: View
) -> ColumnElement[bool]:
    column, its = getattr(row, owner.column), _alias(owner.model)
    with_owner = _any(its, getattr(its.c, owner.its) == column, _seen(owner.model, its.c, owners, view))
    if not _may_be_empty(model, owner.column):
        return with_owner
    return or_(with_owner, and_(column.is_(None), _ownerless(row, view)))


def _ownerless(row: Any, view: View) -> ColumnElement[bool]:
    """Rows that belong to no study yet. Images whose header names a hidden patient, or an order of theirs, are hidden already."""
    if view.scope not in (Scope.ALL, Scope.SITE):
        return false()
    here = row.origin.in_(view.sites) if view.scope is Scope.SITE else true()
    if not view.fences.hidden or not hasattr(row, "patient_number"):
        return here
    named, ordered = _alias(Patient), _alias(Study)
    by_number = _any(named, named.c.file_number == row.patient_number, named.c.id.in_(view.fences.hidden))
    # Held back because the number is another one or none, they still name the order, and the patient by name.
    by_order = _any(
        ordered,
        or_(ordered.c.accession == row.accession, ordered.c.study_uid == row.study_uid),
        ordered.c.patient_id.in_(view.fences.hidden),
    )
    return and_(here, not_(or_(by_number, by_order)))


def _fenced(patient_id: Any, in_scope: ColumnElement[bool], view: View) -> ColumnElement[bool]:
    fences = view.fences
    if fences.shown:
        in_scope = or_(in_scope, patient_id.in_(fences.shown))
    return and_(in_scope, patient_id.not_in(fences.hidden)) if fences.hidden else in_scope


def _patient_in_scope(patient: Any, view: View) -> ColumnElement[bool]:
    if view.scope is Scope.OWN:
        return patient.id == view.patient_id if view.patient_id else false()
    if view.scope in (Scope.ALL, Scope.NONE):
        return _study_in_scope(patient, view)
    study = _alias(Study)
    studied = _any(study, study.c.patient_id == patient.id, _study_in_scope(study.c, view))
    return or_(patient.origin.in_(view.sites), studied) if view.scope is Scope.SITE else studied


def _study_in_scope(study: Any, view: View) -> ColumnElement[bool]:
    if view.scope is Scope.ALL:
        return true()
    if view.scope is Scope.SITE:
        return study.origin.in_(view.sites)
    if view.scope is Scope.ASSIGNED and view.person:
        return _assigned(study, view.person)
    if view.scope is Scope.REFERRER and view.referrer_id:
        return and_(study.referrer_id == view.referrer_id, study.signed_version_id.is_not(None))
    if view.scope is Scope.OWN and view.patient_id:
        return and_(study.patient_id == view.patient_id, study.signed_version_id.is_not(None))
    return false()


def _assigned(study: Any, person: Any) -> ColumnElement[bool]:
    moved = _alias(StudyEvent)
    return or_(
        study.radiologist_id == person,
        study.lease_by == person,
        _any(moved, moved.c.study_id == study.id, moved.c.by == person),
    )


def _alias(model: type[Base]) -> Any:
    # An alias of its own, so that a statement over the same table does not capture it.
    return model.__table__.alias()


def _any(table: Any, *conditions: ColumnElement[bool]) -> ColumnElement[bool]:
    return exists(select(literal(1)).select_from(table).where(*conditions).correlate_except(table))


# What the gate asks before a verb begins ------------------------------------------------------------------------


def _facts_query(kind: str) -> Select[*tuple[Any, ...]]:
    study, patient = _alias(Study), _alias(Patient)
    both = (
        patient.outerjoin(study, study.c.patient_id == patient.c.id)
        if kind == "patient"
        else study.join(patient, patient.c.id == study.c.patient_id)
    )
    return (
        select(
            patient.c.id,
            patient.c.origin,
            study.c.id,
            study.c.origin,
            study.c.referrer_id,
            study.c.signed_version_id,
            _assigned(study.c, bindparam("person", type_=Uuid)),
        )
        .select_from(both)
        .where((patient if kind == "patient" else study).c.id == bindparam("row", type_=Uuid))
    )


def _fences_query() -> CompoundSelect[*tuple[Any, ...]]:
    block, grant, glass = _alias(PatientBlock), _alias(PatientGrant), _alias(GlassBreak)
    person, now = bindparam("person", type_=Uuid), bindparam("now", type_=UtcTime)
    blocks = select(
        block.c.kind, block.c.person_id, block.c.patient_id, block.c.from_at, block.c.until_at
    ).where(
        or_(block.c.person_id == person, block.c.person_id.is_(None)),
        block.c.ended_at.is_(None),
        or_(block.c.until_at.is_(None), block.c.until_at > now),
    )
    grants = select(
        literal("open"), grant.c.person_id, grant.c.patient_id, grant.c.from_at, grant.c.until_at
    ).where(grant.c.person_id == person, grant.c.ended_at.is_(None), grant.c.until_at > now)
    broken = select(
        literal("open"), glass.c.person_id, glass.c.patient_id, glass.c.at, glass.c.until_at
    ).where(glass.c.person_id == person, glass.c.until_at > now)
    return union_all(blocks, grants, broken)


# Asked before nearly every verb, so they are put together once.
_FACTS = {kind: _facts_query(kind) for kind in ("patient", "study")}
_FENCES = _fences_query()
_NOBODY = UUID(int=0)


def facts_of(db: Session, kind: str, row_id: UUID, *, person: UUID | None) -> Facts | None:
    """The facts of a patient or a study, whoever asks; None when there is no such row."""
    asked = {"row": row_id, "person": person or _NOBODY}
    rows: list[Any] = list(db.connection().execute(_FACTS[kind], asked))
    if not rows:
        return None
    patient_id, registered, study_id, *_ = rows[0]
    signed = [referrer for *_, referrer, version, _ in rows if version is not None]
    sites = {origin for _, _, _, origin, *_ in rows if origin is not None}
    return Facts(
        patient_id,
        None if kind == "patient" else study_id,
        frozenset(sites | {registered} if kind == "patient" else sites),
        person is not None and any(row[-1] for row in rows),
        frozenset(r for r in signed if r is not None),
        bool(signed),
    )


def fences_of(db: Session, person: UUID, *, now: datetime) -> tuple[Fence, ...]:
    """Everything that shuts or opens a patient to this person, now or later. Empty for nearly everybody."""
    rows = db.connection().execute(_FENCES, {"person": person, "now": now})
    return tuple(
        Fence(_fence_kind(kind, whom), patient, since, until) for kind, whom, patient, since, until in rows
    )


def _fence_kind(kind: str, whom: UUID | None) -> str:
    if kind == "own" and whom is not None:
        return "own"
    return "open" if kind == "open" else "block"
