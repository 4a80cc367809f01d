"""Who may see which patient: one decision, in the gate and in the row filter; grants, blocks and breaking the glass."""

from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from types import SimpleNamespace
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select
from sqlalchemy.orm import Session

from core.errors import Missing
from core.rules.access import (
    OPEN_COUNTRY,
    OUTSIDERS,
    OVERRIDES,
    Bounds,
    Decision,
    Facts,
    Fence,
    Fences,
    Reach,
    decide,
    fences_at,
    scope_of,
)
from core.rules.roles import ROLES, SCOPES, UNNAMED, Permission, Role, Scope
from core.store.db import maintenance
from core.store.model import (
    Arrival,
    Base,
    Claim,
    GlassBreak,
    Instance,
    Patient,
    PatientBlock,
    PatientGrant,
    Referrer,
    ReportVersion,
    Study,
    StudyEvent,
)
from core.store.reach import CONCERNS, OF_ACCOUNTS, PRACTICE, TO_ACCOUNTS, TO_LINKS, View, criteria
from core.store.work import Actor, Subject
from tests.fixtures.house import THANDO, TestHouse, open_test_house

P = Permission
EMERGENCY = "Unconscious, brought in by ambulance."


# The table, by hand ---------------------------------------------------------------------------------------------


def test_each_role_has_the_scope_that_the_decision_page_names():
    assert {
        "admin": "all", "manager": "all", "reception": "site", "radiographer": "site", "radiologist": "site",
        "transcriptionist": "site", "billing": "site", "analyst": "none", "patient": "own", "referrer": "referrer",
        "system": "all", "nobody": "none",
    } == {str(role): str(scope) for role, scope in SCOPES.items()}  # fmt: skip


def test_whole_tables_are_for_counting_overseeing_and_whoever_has_not_signed_in_yet():
    assert {
        "sign-in", "share-open", "insight-see", "analyse", "audit-read", "glass-break", "glass-review", "access-see",
    } == {str(p) for p in UNNAMED}  # fmt: skip


def test_the_widest_scope_of_the_roles_that_carry_the_permission_is_in_force():
    both = frozenset({Role.MANAGER, Role.TRANSCRIPTIONIST})
    assert Scope.ALL == scope_of(both, P.REPORT_READ)
    assert Scope.SITE == scope_of(both, P.TRANSCRIBE)  # the manager's reach is no help in transcribing


@pytest.mark.parametrize("override", Scope)
def test_a_persons_own_scope_replaces_the_roles_and_only_staff_have_one(override):
    bounds = Bounds(scope=override)
    staff = override if override in OVERRIDES else Scope.NONE
    assert staff == scope_of(frozenset({Role.RADIOLOGIST}), P.STUDY_READ, bounds)
    assert Scope.NONE == scope_of(
        frozenset({Role.TRANSCRIPTIONIST}), P.STUDY_READ, bounds
    )  # not theirs to do
    assert Scope.OWN == scope_of(frozenset({Role.PATIENT}), P.SHARED_VIEW, bounds)
    assert Scope.LINK == scope_of(frozenset({Role.PATIENT}), P.SHARED_VIEW, bounds, by_link=True)
    assert Scope.REFERRER == scope_of(frozenset({Role.REFERRER}), P.SHARED_VIEW, bounds)
    assert Scope.ALL == scope_of(frozenset({Role.SYSTEM}), P.IMAGES_RECEIVE, bounds)
    assert Scope.ALL == scope_of(
        frozenset({Role.ANALYST}), P.ANALYSE, bounds
    )  # on pseudonyms, whole or wrong


def test_who_is_an_outsider_too_is_an_outsider_first():
    roles = frozenset({Role.ADMIN, Role.PATIENT})
    assert Scope.OWN == scope_of(roles, P.AUDIT_READ)


X = UUID(int=1)


@pytest.mark.parametrize(
    ("fences", "in_scope", "said"),
    [
        (Fences(), True, Decision(True, "in-scope")),
        (Fences(), False, Decision(False, "outside-scope")),
        (Fences(blocked=frozenset({X})), True, Decision(False, "blocked")),
        (Fences(opened=frozenset({X})), False, Decision(True, "opened")),
        (Fences(blocked=frozenset({X}), opened=frozenset({X})), False, Decision(True, "opened")),
        (Fences(never=frozenset({X}), opened=frozenset({X})), True, Decision(False, "own-record")),
        (Fences(frozenset({X}), frozenset({X}), frozenset({X})), True, Decision(False, "own-record")),
    ],
)
def test_own_record_then_opened_then_blocked_then_scope(fences, in_scope, said):
    facts = Facts(X, sites=frozenset({"01"} if in_scope else {"02"}))
    assert said == decide(Scope.SITE, Bounds(sites=frozenset({"01"})), fences, facts)


def test_every_table_says_whose_rows_it_holds():
    tables = {mapper.class_ for mapper in Base.registry.mappers}
    assert tables == set(CONCERNS)
    named = [
        (m, o.column) for t in (CONCERNS, TO_ACCOUNTS) for m, owners in t.items() for o in owners if o.column
    ]
    named += [(m, column) for t in (TO_LINKS, OF_ACCOUNTS) for m, (column, _) in t.items()]
    assert [] == [f"{m.__name__}.{column}" for m, column in named if column not in m.__table__.c]


def test_a_table_that_points_to_a_patient_is_not_the_practices_own_without_a_reason():
    """A new table with a patient's, study's or claim's number must be narrowed, or be on this list with its why."""
    pointing = {
        m.__name__
        for m, owners in CONCERNS.items()
        if owners == PRACTICE
        and {"patient_id", "study_id", "claim_id", "instance_id", "version_id", "arrival_id"}
        & set(m.__table__.c.keys())
    }
    assert {
        "AuditEntry",  # the trail
        "PatientGrant", "PatientBlock", "GlassBreak", "ChangeRequest",  # who has which access
        "RemittanceLine",  # a payer's paper must add up
        "Person",  # whose account it is
    } == pointing  # fmt: skip


def test_nothing_is_narrowed_where_everything_is_seen():
    assert () == criteria(View(Scope.ALL))


# The decision and the rows agree --------------------------------------------------------------------------------

SITES = ("01", "02", "03")


@pytest.fixture(scope="module")
def worlds(tmp_path_factory):
    test = open_test_house(tmp_path_factory.mktemp("worlds"))
    yield test
    test.house.engine.dispose()


@dataclass
class World:
    """Some patients, studies and what hangs on them, as they were written to the database."""

    patients: list[Patient] = field(default_factory=list)
    studies: list[Study] = field(default_factory=list)
    versions: list[ReportVersion] = field(default_factory=list)
    instances: list[Instance] = field(default_factory=list)
    claims: list[Claim] = field(default_factory=list)
    events: list[StudyEvent] = field(default_factory=list)
    referrers: list[Referrer] = field(default_factory=list)


@st.composite
def wishes(draw):
    """What a random world looks like, in small numbers: indices stand for rows."""
    few, some = st.integers(0, 2), st.integers(0, 3)
    maybe = st.none() | few
    return SimpleNamespace(
        patients=draw(st.lists(st.sampled_from(SITES), min_size=3, max_size=3)),
        studies=draw(st.lists(st.fixed_dictionaries({
            "patient": few, "site": st.sampled_from(SITES), "referrer": maybe, "radiologist": maybe, "lease": maybe,
            "moved": maybe, "versions": some, "signed": st.booleans(), "claim": st.booleans(),
        }), min_size=2, max_size=5)),
        loose=draw(st.lists(st.sampled_from(SITES), max_size=2)),
        viewers=draw(st.lists(st.fixed_dictionaries({
            "who": few, "roles": st.sampled_from(ROLE_SETS), "scope": st.none() | st.sampled_from(list(Scope)),
            "sites": st.frozensets(st.sampled_from(SITES)), "patient": maybe, "referrer": maybe, "permission": st.integers(0, 50),
            "link": st.none() | st.integers(0, 4), "fences": st.lists(st.tuples(
                st.sampled_from(["own", "vip", "everybody", "grant", "glass"]), few, hours, hours | st.none(), st.booleans(),
            ), max_size=4),
        }), min_size=4, max_size=6)),
    )  # fmt: skip


hours = st.sampled_from([-2, -1, 0, 1, 2])
ROLE_SETS = [frozenset({r}) for r in Role] + [
    frozenset({Role.RADIOLOGIST, Role.MANAGER}), frozenset({Role.ANALYST, Role.BILLING}), frozenset({Role.ADMIN, Role.PATIENT}),
]  # fmt: skip


def build(test: TestHouse, wish) -> World:
    """Write the world past the gate; every row has a new id, because some tables never let one go."""
    now, people = test.clock.at, staff(test)
    world = World()
    for site in wish.patients:
        number = uuid4().hex[:12]
        world.patients.append(Patient(
            id=uuid4(), origin=site, file_number=number, family_name="Nkosi", given_names="T", search_text=number,
            identity_kind="none", born_on=THANDO.born_on, sex="F", registered_at=now))  # fmt: skip
    world.referrers = [Referrer(id=uuid4(), origin="01", name="Dr", is_active=True) for _ in range(3)]
    for w in wish.studies:
        study = Study(
            id=uuid4(), origin=w["site"], patient_id=world.patients[w["patient"]].id, accession=uuid4().hex[:16],
            referrer_id=None if w["referrer"] is None else world.referrers[w["referrer"]].id, study_uid=uuid4().hex,
            examination="ct", description="CT", modality="CT", booked_for_at=now, status="booked", status_at=now,
            radiologist_id=None if w["radiologist"] is None else people[w["radiologist"]],
            lease_by=None if w["lease"] is None else people[w["lease"]],
        )  # fmt: skip
        world.studies.append(study)
        if w["moved"] is not None:
            world.events.append(StudyEvent(id=uuid4(), origin="01", study_id=study.id, step="book", before="", after="booked",
                                           at=now, by=people[w["moved"]]))  # fmt: skip
        versions = [
            ReportVersion(id=uuid4(), origin="01", study_id=study.id, number=n, kind="draft", text="x", author_id=people[0],
                          at=now, digest="", image_digest="", signature="") for n in range(w["versions"])
        ]  # fmt: skip
        world.versions += versions
        if versions and w["signed"]:
            study.signed_version_id = versions[-1].id
        world.instances.append(instance(world, study.origin, study.id, now))
        if w["claim"]:
            world.claims.append(Claim(id=uuid4(), origin="01", study_id=study.id, patient_id=study.patient_id,
                                      number=uuid4().hex[:20], scheme="1125", state="coding", coding={}, service_on=now.date()))  # fmt: skip
    world.instances += [instance(world, site, None, now) for site in wish.loose]
    with (
        maintenance("test"),
        Session(test.house.engine.execution_options(write=True), expire_on_commit=False) as db,
    ):
        for rows in (
            world.referrers,
            world.patients,
            world.studies,
            world.events,
            world.versions,
            world.claims,
        ):
            db.add_all(rows)
            db.flush()
        db.add_all(i.arrival for i in world.instances)
        db.flush()
        db.add_all(world.instances)
        db.commit()
    return world


def instance(world: World, site: str, study_id: UUID | None, now) -> Instance:
    arrival = Arrival(id=uuid4(), origin=site, state="seen", study_id=study_id, reasons=[], first_seen_at=now, last_change_at=now)  # fmt: skip
    row = Instance(id=uuid4(), origin=site, arrival_id=arrival.id, study_id=study_id, orthanc_id=uuid4().hex, sop_uid=uuid4().hex,
                   sop_class="x", series_uid="x", is_image=True)  # fmt: skip
    row.arrival = arrival
    return row


def staff(test: TestHouse) -> list[UUID]:
    return [UUID(test.actors[role].id) for role in ("radiologist", "reception", "billing")]


@contextmanager
def fenced(test: TestHouse, world: World, viewer, people):
    """Write the viewer's blocks, grants and broken glass, and take them away again; yields what they mean."""
    now, rows, meaning = test.clock.at, [], []
    for kind, patient, since, until, ended in viewer["fences"]:
        whom, patient_id = people[viewer["who"]], world.patients[patient].id
        from_at = now + timedelta(hours=since)
        until_at = None if until is None else now + timedelta(hours=until)
        common = {"id": uuid4(), "origin": "01", "patient_id": patient_id}
        if kind in ("grant", "glass"):
            until_at, means = until_at or now + timedelta(hours=2), "open"
            if kind == "glass":
                ended = False
                rows.append(GlassBreak(person_id=whom, reason="x", at=from_at, until_at=until_at, **common))
            else:
                rows.append(PatientGrant(person_id=whom, why="x", from_at=from_at, until_at=until_at,
                                         ended_at=now if ended else None, **common))  # fmt: skip
        else:
            means = "own" if kind == "own" else "block"
            rows.append(PatientBlock(person_id=None if kind == "everybody" else whom, kind="own" if kind == "own" else "vip",
                                     why="x", from_at=from_at, until_at=until_at, ended_at=now if ended else None, **common))  # fmt: skip
        if not ended:
            meaning.append(Fence(means, patient_id, from_at, until_at))
    engine = test.house.engine.execution_options(write=True)
    with maintenance("test"), Session(engine, expire_on_commit=False) as db:
        db.add_all(rows)
        db.commit()
    try:
        yield tuple(meaning)
    finally:
        with maintenance("test"), Session(engine) as db:
            for row in rows:
                db.delete(db.merge(row))
            db.commit()


def as_facts(world: World, row: Patient | Study, person: UUID | None) -> Facts:
    """What the world says of a patient or study, worked out again without the database."""
    studies = [row] if isinstance(row, Study) else [s for s in world.studies if s.patient_id == row.id]
    mine = {e.study_id for e in world.events if e.by == person} | {
        s.id for s in studies if person is not None and person in (s.radiologist_id, s.lease_by)
    }
    signed = [s for s in studies if s.signed_version_id]
    registered = {row.origin} if isinstance(row, Patient) else set()
    return Facts(
        studies[0].patient_id if isinstance(row, Study) else row.id, row.id if isinstance(row, Study) else None,
        frozenset({s.origin for s in studies} | registered), any(s.id in mine for s in studies),
        frozenset(s.referrer_id for s in signed if s.referrer_id), bool(signed),
    )  # fmt: skip


def expected(
    world: World, actor: Actor, scope: Scope, bounds: Bounds, fences: Fences
) -> dict[type, set[UUID]]:
    """The rows that the decision lets this actor see."""
    person = UUID(actor.id) if not actor.roles & {Role.SYSTEM, Role.NOBODY} and actor.reach is None else None

    def sees(row: Patient | Study) -> bool:
        return decide(scope, bounds, fences, as_facts(world, row, person), reach=actor.reach).allowed

    studies = {s.id: s for s in world.studies if sees(s)}
    outside = bool(actor.roles & OUTSIDERS)
    if actor.reach:
        versions = {v.id for v in world.versions if v.id == actor.reach.version_id}
    else:
        signed = {s.signed_version_id for s in studies.values()}
        versions = {v.id for v in world.versions if v.study_id in studies and (not outside or v.id in signed)}
    loose = {Scope.ALL: set(SITES), Scope.SITE: bounds.sites}.get(scope, set())
    return {
        Patient: {p.id for p in world.patients if sees(p)},
        Study: set(studies),
        ReportVersion: versions,
        Instance: {
            i.id for i in world.instances if (i.study_id in studies if i.study_id else i.origin in loose)
        },
        Claim: {c.id for c in world.claims if c.study_id in studies and not outside},
    }


def viewer_of(world: World, viewer, people) -> tuple[Actor, Permission]:
    def pick(rows, index):
        return None if index is None else rows[index].id

    roles = viewer["roles"]
    may = sorted(set().union(*(ROLES[r] for r in roles)))
    bounds = Bounds(scope=viewer["scope"], sites=viewer["sites"], patient_id=pick(world.patients, viewer["patient"]),
                    referrer_id=pick(world.referrers, viewer["referrer"]))  # fmt: skip
    reach = None
    if viewer["link"] is not None and roles <= OUTSIDERS:
        study = world.studies[viewer["link"] % len(world.studies)]
        version = next((v.id for v in world.versions if v.study_id == study.id), uuid4())
        reach = Reach(uuid4(), study.id, study.patient_id, version)
    ids = {frozenset({Role.SYSTEM}): "system", frozenset({Role.NOBODY}): "nobody"}
    actor = Actor("link:1" if reach else ids.get(roles, str(people[viewer["who"]])), "Somebody", roles, "test", reach=reach, bounds=bounds)  # fmt: skip
    return actor, may[viewer["permission"] % len(may)]


def compare(test: TestHouse, wish) -> None:
    world, people = build(test, wish), staff(test)
    for viewer in wish.viewers:
        actor, permission = viewer_of(world, viewer, people)
        with fenced(test, world, viewer, people) as meant:
            scope = scope_of(actor.roles, permission, actor.bounds, by_link=actor.reach is not None)
            outside = actor.roles & (OUTSIDERS | {Role.SYSTEM, Role.NOBODY})
            own = None if outside else actor.bounds.patient_id
            whole = outside or permission in UNNAMED
            fences = OPEN_COUNTRY if whole else fences_at(meant, test.clock.at, own=own)
            bounds = Bounds(scope, actor.bounds.sites or frozenset({"01"}), actor.bounds.patient_id, actor.bounds.referrer_id)  # fmt: skip
            wanted = expected(world, actor, scope, bounds, fences)
            rows = {Patient: world.patients, Study: world.studies, ReportVersion: world.versions, Instance: world.instances,
                    Claim: world.claims}  # fmt: skip
            with test.house.work(actor) as work, work.look(permission):
                seen = {
                    m: set(work.db.scalars(select(m.id).where(m.id.in_([r.id for r in of]))))
                    for m, of in rows.items()
                }
            assert wanted == seen, (actor, permission, scope, fences)
            for kind, row in (("patient", world.patients[0]), ("study", world.studies[0])):
                assert (row.id in wanted[type(row)]) == lets_in(
                    test, actor, permission, Subject(kind, str(row.id))
                )


def lets_in(test: TestHouse, actor: Actor, permission: Permission, subject: Subject) -> bool:
    try:
        with test.house.work(actor) as work, work.reading(permission, subject):
            return True
    except Missing:
        return False


@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(wish=wishes())
def test_the_gate_and_the_rows_say_what_the_decision_says(worlds, wish):
    compare(worlds, wish)
