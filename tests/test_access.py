"""Who may see which patient: one decision, in the gate and in the row filter; grants, blocks and breaking the glass."""

from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
from itertools import product
from random import Random
from types import SimpleNamespace
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy import select
from sqlalchemy.orm import Session

from core import access, billing, own_studies, pacs, patients, privacy, workflow
from core.alerts import alerts
from core.errors import Denied, Missing, Refused, WrongAnswer
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
from core.rules.acts import say_act
from core.rules.roles import BY_ACCOUNT, ROLES, SCOPES, STAFF, UNNAMED, Permission, Role, Scope
from core.store.db import maintenance
from core.store.model import (
    Arrival,
    AuditEntry,
    Base,
    Claim,
    Consent,
    GlassBreak,
    Instance,
    Patient,
    PatientBlock,
    PatientGrant,
    Person,
    Referrer,
    ReportVersion,
    Study,
    StudyEvent,
)
from core.store.reach import CONCERNS, OF_ACCOUNTS, PRACTICE, TO_ACCOUNTS, TO_LINKS, View, criteria
from core.store.work import AWAY, Actor, Openings, Subject
from tests.fixtures.house import THANDO, TestHouse, book_thando, open_test_house

P = Permission
EMERGENCY = "Unconscious, brought in by ambulance."


# The table, by hand ---------------------------------------------------------------------------------------------


def test_each_role_has_the_scope_that_the_decision_page_names():
    assert {
        "admin": "all",
        "manager": "all",
        "reception": "site",
        "radiographer": "site",
        "radiologist": "site",
        "transcriptionist": "site",
        "billing": "site",
        "analyst": "none",
        "patient": "own",
        "referrer": "referrer",
        "system": "all",
        "nobody": "none",
    } == {str(role): str(scope) for role, scope in SCOPES.items()}


def test_whole_tables_are_for_counting_overseeing_and_whoever_has_not_signed_in_yet():
    assert {
        "sign-in",
        "share-open",
        "insight-see",
        "analyse",
        "audit-read",
        "glass-break",
        "glass-review",
        "access-see",
    } == {str(p) for p in UNNAMED}


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
        "PatientGrant",
        "PatientBlock",
        "GlassBreak",
        "ChangeRequest",  # who has which access
        "RemittanceLine",  # a payer's paper must add up
        "Person",  # whose account it is
    } == pointing


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


STAFF_SETS = [frozenset({r}) for r in STAFF] + [
    frozenset({Role.RADIOLOGIST, Role.MANAGER}),
    frozenset({Role.ANALYST, Role.BILLING}),
]
OTHER_SETS = [frozenset({r}) for r in Role if r not in STAFF] + [frozenset({Role.ADMIN, Role.PATIENT})]


def wishes(seed: int) -> SimpleNamespace:
    """What a random practice looks like, in small numbers: indices stand for rows."""
    dice = Random(seed)
    few = partial(dice.randrange, 3)

    def maybe() -> int | None:
        return few() if dice.random() < 0.4 else None

    def study() -> dict:
        return {
            "patient": few(),
            "site": dice.choice(SITES),
            "referrer": maybe(),
            "radiologist": maybe(),
            "lease": maybe(),
            "moved": maybe(),
            "versions": few(),
            "signed": dice.random() < 0.6,
            "claim": dice.random() < 0.5,
        }

    def fence() -> tuple:
        kind = dice.choice(["own", "vip", "everybody", "grant", "glass"])
        return (
            kind,
            few(),
            dice.choice([-2, -1, -1, 0, 1]),
            dice.choice([-1, 0, 1, 2, 2, None]),
            dice.random() < 0.3,
        )

    def viewer() -> dict:
        return {
            "who": few(),
            "roles": dice.choice(STAFF_SETS if dice.random() < 0.7 else OTHER_SETS),
            "permission": few() * 17 + few(),
            "scope": dice.choice([None, None, None, *OVERRIDES, Scope.ASSIGNED, Scope.OWN, Scope.LINK]),
            "sites": frozenset(dice.sample(SITES, dice.choice([0, 1, 1, 2]))),
            "patient": maybe(),
            "referrer": maybe(),
            "link": few() if dice.random() < 0.4 else None,
            "fences": [fence() for _ in range(dice.choice([0, 1, 2, 3, 4]))],
        }

    return SimpleNamespace(
        patients=[dice.choice(SITES) for _ in range(3)],
        studies=[study() for _ in range(4)],
        loose=[dice.choice(SITES) for _ in range(2)],
        viewers=[viewer() for _ in range(8)],
    )


def build(test: TestHouse, wish) -> World:
    """Write the world past the gate; every row has a new id, because some tables never let one go."""
    now, people = test.clock.at, staff(test)
    world = World()
    for site in wish.patients:
        number = uuid4().hex[:12]
        world.patients.append(
            Patient(
                id=uuid4(),
                origin=site,
                file_number=number,
                family_name="Nkosi",
                given_names="T",
                search_text=number,
                identity_kind="none",
                born_on=THANDO.born_on,
                sex="F",
                registered_at=now,
            )
        )
    world.referrers = [Referrer(id=uuid4(), origin="01", name="Dr", is_active=True) for _ in range(3)]
    for w in wish.studies:
        study = Study(
            id=uuid4(),
            origin=w["site"],
            patient_id=world.patients[w["patient"]].id,
            accession=uuid4().hex[:16],
            referrer_id=None if w["referrer"] is None else world.referrers[w["referrer"]].id,
            study_uid=uuid4().hex,
            examination="ct",
            description="CT",
            modality="CT",
            booked_for_at=now,
            status="booked",
            status_at=now,
            radiologist_id=None if w["radiologist"] is None else people[w["radiologist"]],
            lease_by=None if w["lease"] is None else people[w["lease"]],
        )
        world.studies.append(study)
        if w["moved"] is not None:
            world.events.append(
                StudyEvent(
                    id=uuid4(),
                    origin="01",
                    study_id=study.id,
                    step="book",
                    before="",
                    after="booked",
                    at=now,
                    by=people[w["moved"]],
                )
            )
        versions = [
            ReportVersion(
                id=uuid4(),
                origin="01",
                study_id=study.id,
                number=n,
                kind="draft",
                text="x",
                author_id=people[0],
                at=now,
                digest="",
                image_digest="",
                signature="",
            )
            for n in range(w["versions"])
        ]
        world.versions += versions
        if versions and w["signed"]:
            study.signed_version_id = versions[-1].id
        world.instances.append(instance(world, study.origin, study.id, now))
        if w["claim"]:
            world.claims.append(
                Claim(
                    id=uuid4(),
                    origin="01",
                    study_id=study.id,
                    patient_id=study.patient_id,
                    number=uuid4().hex[:20],
                    scheme="1125",
                    state="coding",
                    coding={},
                    service_on=now.date(),
                )
            )
    world.instances += [
        instance(world, site, None, now, named=world.patients[n].file_number)
        for n, site in enumerate(wish.loose)
    ]
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


def instance(world: World, site: str, study_id: UUID | None, now, *, named: str = "") -> Instance:
    arrival = Arrival(
        id=uuid4(),
        origin=site,
        state="seen",
        study_id=study_id,
        reasons=[],
        first_seen_at=now,
        last_change_at=now,
    )
    row = Instance(
        id=uuid4(),
        origin=site,
        arrival_id=arrival.id,
        study_id=study_id,
        orthanc_id=uuid4().hex,
        sop_uid=uuid4().hex,
        sop_class="x",
        series_uid="x",
        is_image=True,
        patient_number=named,
    )
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
                rows.append(
                    PatientGrant(
                        person_id=whom,
                        why="x",
                        from_at=from_at,
                        until_at=until_at,
                        ended_at=now if ended else None,
                        **common,
                    )
                )
        else:
            means = "own" if kind == "own" else "block"
            rows.append(
                PatientBlock(
                    person_id=None if kind == "everybody" else whom,
                    kind="own" if kind == "own" else "vip",
                    why="x",
                    from_at=from_at,
                    until_at=until_at,
                    ended_at=now if ended else None,
                    **common,
                )
            )
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
        studies[0].patient_id if isinstance(row, Study) else row.id,
        row.id if isinstance(row, Study) else None,
        frozenset({s.origin for s in studies} | registered),
        any(s.id in mine for s in studies),
        frozenset(s.referrer_id for s in signed if s.referrer_id),
        bool(signed),
    )


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
    shy = {p.file_number for p in world.patients if p.id in fences.hidden}
    return {
        Patient: {p.id for p in world.patients if sees(p)},
        Study: set(studies),
        ReportVersion: versions,
        Instance: {
            i.id
            for i in world.instances
            if (i.study_id in studies if i.study_id else i.origin in loose and i.patient_number not in shy)
        },
        Claim: {c.id for c in world.claims if c.study_id in studies and not outside},
    }


def viewer_of(world: World, viewer, people) -> tuple[Actor, Permission]:
    def pick(rows, index):
        return None if index is None else rows[index].id

    roles = viewer["roles"]
    may = sorted(set().union(*(ROLES[r] for r in roles)))
    bounds = Bounds(
        scope=viewer["scope"],
        sites=viewer["sites"],
        patient_id=pick(world.patients, viewer["patient"]),
        referrer_id=pick(world.referrers, viewer["referrer"]),
    )
    reach = None
    if viewer["link"] is not None and roles <= OUTSIDERS:
        study = world.studies[viewer["link"] % len(world.studies)]
        version = next((v.id for v in world.versions if v.study_id == study.id), uuid4())
        reach = Reach(uuid4(), study.id, study.patient_id, version)
    ids = {frozenset({Role.SYSTEM}): "system", frozenset({Role.NOBODY}): "nobody"}
    actor = Actor(
        "link:1" if reach else ids.get(roles, str(people[viewer["who"]])),
        "Somebody",
        roles,
        "test",
        reach=reach,
        bounds=bounds,
    )
    may = [p for p in may if not (reach and p in BY_ACCOUNT)]
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
            bounds = Bounds(
                scope,
                actor.bounds.sites or frozenset({"01"}),
                actor.bounds.patient_id,
                actor.bounds.referrer_id,
            )
            wanted = expected(world, actor, scope, bounds, fences)
            rows = {
                Patient: world.patients,
                Study: world.studies,
                ReportVersion: world.versions,
                Instance: world.instances,
                Claim: world.claims,
            }
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


class Enough(Exception):
    """That was all we wanted to know."""


def lets_in(test: TestHouse, actor: Actor, permission: Permission, subject: Subject) -> bool:
    try:
        with test.house.work(actor) as work, work.reading(permission, subject):
            raise Enough  # the entry of this visit is not kept
    except Enough:
        return True
    except Missing:
        return False


# A practice is a seed: there is nothing to make smaller about it.
_seeds = partial(
    settings,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    derandomize=True,
    phases=[Phase.generate],
)


@_seeds(max_examples=40)
@given(seed=st.integers(0, 2**32))
def test_the_gate_and_the_rows_say_what_the_decision_says(worlds, seed):
    compare(worlds, wishes(seed))


@_seeds(max_examples=8)
@given(seed=st.integers(0, 2**32))
def test_on_postgresql_they_agree_as_well(worlds_on_postgresql, seed):
    compare(worlds_on_postgresql, wishes(seed))


@pytest.fixture(scope="module")
def worlds_on_postgresql(tmp_path_factory, postgres_cluster):
    postgres_cluster.run("create database worlds")
    test = open_test_house(tmp_path_factory.mktemp("worlds"), url=postgres_cluster.url("worlds"))
    yield test
    test.house.engine.dispose()


# Blocks and grants ----------------------------------------------------------------------------------------------


def person_of(test: TestHouse, role: str) -> UUID:
    return UUID(test.actors[role].id)


def block(test: TestHouse, patient: UUID, role: str | None, *, kind: str = "vip", **wanted) -> UUID:
    whom = person_of(test, role) if role else None
    with test.does("system") as work, work.act(P.CHANGE_APPLY):
        return access.add_block(
            work,
            patient_id=patient,
            person_id=whom,
            kind=kind,
            why="A well-known person.",
            request_id=None,
            **{"until_at": None} | wanted,
        )


def grant(test: TestHouse, patient: UUID, role: str, **lasts: float) -> UUID:
    until = test.clock.at + timedelta(**lasts or {"days": 1})
    with test.does("system") as work, work.act(P.CHANGE_APPLY):
        return access.add_grant(
            work,
            person_id=person_of(test, role),
            patient_id=patient,
            why="Second opinion asked for.",
            until_at=until,
            request_id=None,
        )


def can_open(test: TestHouse, role: str, patient: UUID) -> bool:
    try:
        test.do(role, patients.open_patient, patient)
    except Missing:
        return False
    return True


def test_a_blocked_patient_is_on_no_list_and_cannot_be_opened(either_house):
    patient, study = book_thando(either_house)
    other, _ = book_thando(either_house, family_name="Botha")
    block(either_house, patient, "radiologist")
    assert [other] == [row.patient_id for row in either_house.do("radiologist", workflow.board).rows]
    assert [other] == [card.id for card in either_house.do("radiologist", patients.find)[0]]
    for verb, row in (
        (patients.open_patient, patient),
        (workflow.open_study, study),
        (workflow.studies_of, patient),
    ):
        with pytest.raises(Missing):
            either_house.do("radiologist", verb, row)
    assert 2 == either_house.do("reception", workflow.board).total  # nobody else is kept out


def test_what_is_somebody_elses_looks_like_what_is_not_there_and_the_record_knows_why(house):
    patient, study = book_thando(house)
    block(house, patient, "radiologist")
    said = []
    for row in (study, UUID(int=5)):
        with pytest.raises(Missing) as refused:
            house.do("radiologist", workflow.open_study, row)
        said.append(refused.value.sentence)
    assert [
        "This study does not exist, or is not yours to see. If care depends on it, you can break the glass."
    ] * 2 == said
    tries = [e for e in house.do("admin", privacy.entries) if e.outcome == "refused"]
    assert ["", "blocked"] == [e.facts.get("because", "") for e in tries]
    assert ["", str(patient)] == [e.patient_id for e in tries]


def test_who_may_not_break_the_glass_is_not_told_of_it(house):
    patient, _ = book_thando(house)
    block(house, patient, "billing")
    with pytest.raises(Missing, match="not yours to see[.]$"):
        house.do("billing", patients.open_patient, patient)


def test_a_vip_is_out_of_everybodys_reach_but_of_those_who_were_let_in_while_that_lasts(house):
    patient, _ = book_thando(house)
    block(house, patient, None)
    grant(house, patient, "radiologist", hours=2)
    assert ["radiologist"] == [
        r for r in ("admin", "manager", "reception", "radiologist") if can_open(house, r, patient)
    ]
    house.clock.pass_(hours=2)
    assert not can_open(house, "radiologist", patient)


def test_a_block_with_an_end_ends_by_itself(house):
    patient, _ = book_thando(house)
    block(house, patient, "reception", until_at=house.clock.at + timedelta(days=1))
    assert not can_open(house, "reception", patient)
    house.clock.pass_(days=1)
    assert can_open(house, "reception", patient)


def test_a_block_or_grant_that_was_ended_counts_no_more(house):
    patient, _ = book_thando(house)
    held, let_in = block(house, patient, "reception"), grant(house, patient, "reception")
    assert can_open(house, "reception", patient)
    for what, right, opens in (("grant", let_in, False), ("block", held, True)):
        with house.does("system") as work, work.act(P.CHANGE_APPLY):
            access.end(work, what=what, row_id=right)
        assert opens == can_open(house, "reception", patient)
    rights = house.do("admin", access.access_of, patient).rights
    assert {("grant", "", "Reception Person", False), ("block", "vip", "Reception Person", False)} == {
        (r.what, r.kind, r.person, r.stands) for r in rights
    }


def test_ones_own_record_is_opened_by_no_grant_and_no_glass(house):
    patient, _ = book_thando(house)
    block(house, patient, "reception", kind="own")
    grant(house, patient, "reception")
    assert not can_open(house, "reception", patient)
    number = house.do("admin", access.access_of, patient).file_number
    with pytest.raises(Denied, match="your own record"):
        house.do(
            "reception", access.break_glass, number=number, reason=EMERGENCY, code=house.code("reception")
        )
    assert not can_open(house, "reception", patient)


def test_the_account_of_a_patient_who_works_here_shuts_their_own_record_to_them(house):
    patient, _ = book_thando(house)
    me = house.actors["admin"]
    mine = Actor(me.id, me.name, me.roles, bounds=Bounds(patient_id=patient))
    with house.house.work(mine) as work, pytest.raises(Missing):
        patients.open_patient(work, patient)


def test_the_trail_is_hidden_from_no_overseer(house):
    patient, _ = book_thando(house)
    can_open(house, "radiologist", patient)
    block(house, patient, None)
    looked = house.do("manager", privacy.who_looked, patient)
    assert {"patient-read", "patient-write"} <= {entry.act for entry in looked}


def test_one_id_number_has_one_file_and_whose_it_is_stays_untold_where_it_is_out_of_reach(house):
    number = {"identity_kind": "sa-id", "identity_number": "8001015009087", "sex": "M"}
    patient, _ = book_thando(house, **number)
    block(house, patient, "reception")
    with pytest.raises(Refused) as refused:
        house.do("reception", patients.register, patients.Particulars(**{**vars(THANDO), **number}))
    assert ["This number belongs to a file already that is not yours to see."] == [
        p.sentence for p in refused.value.problems
    ]


def test_images_that_name_a_blocked_patient_are_hidden_before_they_are_matched(house):
    patient, _ = book_thando(house)
    block(house, patient, "radiologist")
    with house.does("admin") as work, work.look(P.PATIENT_READ):
        number = work.get(Patient, patient).file_number
    with maintenance("test"), Session(house.house.engine.execution_options(write=True)) as db:
        for named in (number, "another"):
            db.add(
                Arrival(
                    id=uuid4(),
                    origin="01",
                    state="quarantined",
                    reasons=[],
                    patient_number=named,
                    first_seen_at=house.clock.at,
                    last_change_at=house.clock.at,
                )
            )
        db.commit()
    assert ["another"] == [row.patient_number for row in house.do("radiologist", pacs.quarantine).rows]
    assert 2 == house.do("radiographer", pacs.quarantine).total


def test_images_that_name_a_blocked_patients_order_are_hidden_whatever_number_they_carry(house):
    patient, study = book_thando(house)
    block(house, patient, "radiologist")
    order = house.do("admin", workflow.open_study, study)
    named = {
        "by accession": {"accession": order.row.accession},
        "by UID": {"study_uid": order.study_uid},
        "no": {},
    }
    with maintenance("test"), Session(house.house.engine.execution_options(write=True)) as db:
        for name, columns in named.items():
            db.add(
                Arrival(
                    id=uuid4(),
                    origin="01",
                    state="quarantined",
                    reasons=[],
                    patient_number="another",
                    patient_name=name,
                    first_seen_at=house.clock.at,
                    last_change_at=house.clock.at,
                    **columns,
                )
            )
        db.commit()
    assert ["no"] == [row.patient_name for row in house.do("radiologist", pacs.quarantine).rows]
    assert 3 == house.do("radiographer", pacs.quarantine).total


def test_a_doctor_who_searches_finds_names_and_file_numbers_and_nothing_else(house):
    patient, study = book_thando(
        house, identity_kind="passport", identity_number="ZA9001235", phone="021 555 0100"
    )
    with maintenance("test"), Session(house.house.engine.execution_options(write=True)) as db:
        doctor = db.get_one(Study, study).referrer_id
        if doctor is None:
            doctor = uuid4()
            db.add(Referrer(id=doctor, origin="01", name="Dr Moloi"))
            db.flush()
        signed = ReportVersion(
            id=uuid4(),
            origin="01",
            study_id=study,
            number=1,
            kind="signed",
            text="x",
            at=house.clock.at,
            author_id=UUID(house.actors["radiologist"].id),
            digest="",
        )
        db.add(signed)
        db.flush()
        row = db.get_one(Study, study)
        row.referrer_id, row.signed_version_id, row.status = doctor, signed.id, "signed"
        number = db.get_one(Patient, patient).file_number
        db.commit()
    account = Actor(
        str(uuid4()), "Dr Moloi", frozenset({Role.REFERRER}), "gateway", bounds=Bounds(referrer_id=doctor)
    )

    def found(search: str) -> int:
        with house.house.work(account) as work:
            return own_studies.my_studies(work, search=search).total

    assert [1, 1, 1, 1] == [found(t) for t in ("thando", "NKOSI", number, f"nkosi {number[-3:]}")]
    assert [0, 0, 0] == [found(t) for t in ("za9001235", "9001235", "5550100")]


def test_the_practices_money_is_whole_whoever_asks(house):
    patient, _ = book_thando(house)
    before = house.do("manager", billing.balances)
    block(house, patient, "billing")
    assert before == house.do("billing", billing.balances)


# What a request asks for ----------------------------------------------------------------------------------------


def problems(test: TestHouse, check, payload: dict, *, role: str = "admin") -> list[str]:
    with test.does(role) as work, work.look(P.CHANGE_SEE):
        return [p.code for p in check(work, payload)]


def test_everything_wrong_with_a_request_is_said_at_once(house):
    patient, _ = book_thando(house)
    block(house, patient, "reception", kind="own")
    day = (house.clock.at + timedelta(days=1)).isoformat()
    good = {
        "person_id": str(person_of(house, "radiologist")),
        "patient_id": str(patient),
        "why": "A second opinion.",
        "until_at": day,
    }
    assert [] == problems(house, access.grant_problems, good)
    assert ["no-person", "no-patient", "why", "until"] == problems(house, access.grant_problems, {})
    assert ["until"] == problems(
        house, access.grant_problems, good | {"until_at": house.clock.at.isoformat()}
    )
    assert ["until"] == problems(
        house, access.grant_problems, good | {"until_at": "2126-01-01T00:00:00+00:00"}
    )
    assert ["own-record"] == problems(
        house, access.grant_problems, good | {"person_id": str(person_of(house, "reception"))}
    )
    family = {
        "kind": "family",
        "patient_id": str(patient),
        "why": "Her sister works here.",
        "person_id": good["person_id"],
    }
    assert [] == problems(house, access.block_problems, family)
    assert ["no-person"] == problems(house, access.block_problems, family | {"person_id": ""})
    assert [] == problems(house, access.block_problems, family | {"person_id": "", "kind": "vip"})
    assert ["no-patient", "why", "kind", "no-person"] == problems(house, access.block_problems, {})
    assert ["no-right"] == problems(house, access.end_problems, {"what": "grant", "id": str(patient)})


def test_nobody_opens_their_own_record_to_themselves(house):
    patient, _ = book_thando(house)
    held = block(house, patient, "admin", kind="own")
    assert ["own-record"] == problems(house, access.end_problems, {"what": "block", "id": str(held)})
    assert [] == problems(house, access.end_problems, {"what": "block", "id": str(held)}, role="manager")


def test_a_patient_whom_everybody_is_kept_out_of_can_be_opened_to_somebody(house):
    patient, _ = book_thando(house)
    block(house, patient, None)
    wish = {
        "person_id": str(person_of(house, "radiologist")),
        "patient_id": str(patient),
        "why": "Asked to report her scan.",
        "until_at": (house.clock.at + timedelta(days=1)).isoformat(),
    }
    assert [] == problems(house, access.grant_problems, wish)
    number = house.do("admin", access.access_of, patient).file_number
    assert patient == house.do("admin", access.look_up, number=number)


# Breaking the glass ---------------------------------------------------------------------------------------------


def shut(test: TestHouse) -> tuple[UUID, UUID, str]:
    """A patient out of the radiologist's reach: patient, study, file number."""
    patient, study = book_thando(test, identity_kind="sa-id", identity_number="8001015009087", sex="M")
    block(test, patient, "radiologist")
    return patient, study, test.do("admin", access.access_of, patient).file_number


def test_breaking_the_glass_opens_one_patient_for_four_hours_loudly(either_house):
    test = either_house
    patient, study, number = shut(test)
    glass = test.do(
        "radiologist",
        access.break_glass,
        number=f" {number} ",
        reason=EMERGENCY,
        code=test.code("radiologist"),
    )
    assert (patient, None, test.clock.at + timedelta(hours=4)) == (
        glass.patient_id,
        glass.study_id,
        glass.until_at,
    )
    assert can_open(test, "radiologist", patient)
    assert study == test.do("radiologist", workflow.open_study, study).row.id
    assert [glass] == list(test.do("radiologist", access.my_glass))
    assert ["Radiologist Person broke the glass on file " + number + ": review it today."] == [
        a.sentence for a in test.do("admin", alerts)
    ]
    newest = next(e for e in test.do("admin", privacy.entries) if e.act == "glass-break")
    assert (EMERGENCY, str(patient)) == (newest.facts["reason"], newest.patient_id)
    test.clock.pass_(hours=4)
    assert not can_open(test, "radiologist", patient)
    assert () == test.do("radiologist", access.my_glass)


def test_the_glass_breaks_at_an_exact_number_only(house):
    patient, study, number = shut(house)
    with house.does("admin") as work, work.look(P.STUDY_READ):
        accession = work.get(Study, study).accession
    for typed, found in ((accession, study), ("800101 5009 087", None)):
        glass = house.do(
            "radiologist", access.break_glass, number=typed, reason=EMERGENCY, code=house.code("radiologist")
        )
        assert (patient, found) == (glass.patient_id, glass.study_id)
        house.do("radiologist", access.close_glass, glass.id)
    for typed in ("", "%", number[:-1], number + "0", "Nkosi-Müller", "\0", "x" * 400):
        with pytest.raises(Missing, match="digit by digit"):
            house.do(
                "radiologist",
                access.break_glass,
                number=typed,
                reason=EMERGENCY,
                code=house.code("radiologist"),
            )


def test_the_glass_needs_a_reason_and_a_fresh_code(house):
    patient, _, number = shut(house)
    with pytest.raises(Refused, match="Say why"):
        house.do(
            "radiologist", access.break_glass, number=number, reason="because", code=house.code("radiologist")
        )
    with pytest.raises(WrongAnswer):
        house.do("radiologist", access.break_glass, number=number, reason=EMERGENCY)
    code = house.code("radiologist")
    glass = house.do("radiologist", access.break_glass, number=number, reason=EMERGENCY, code=code)
    house.do("radiologist", access.close_glass, glass.id)
    with pytest.raises(WrongAnswer):
        house.do("radiologist", access.break_glass, number=number, reason=EMERGENCY, code=code)
    assert 1 == len(house.do("admin", access.glass_to_review))


def test_a_broken_glass_is_reviewed_once_by_somebody_else_and_is_late_on_the_next_day(house):
    patient, _, number = shut(house)
    glass = house.do(
        "radiologist", access.break_glass, number=number, reason=EMERGENCY, code=house.code("radiologist")
    )
    can_open(house, "radiologist", patient)
    (waiting,) = house.do("manager", access.glass_to_review)
    assert (glass.id, EMERGENCY, 2, False, False) == (
        waiting.id,
        waiting.reason,
        waiting.acts,
        waiting.is_late,
        waiting.is_mine,
    )
    house.clock.pass_(days=1)
    assert house.do("manager", access.glass_to_review)[0].is_late
    house.do("manager", access.review_glass, glass.id, verdict="fine")
    assert () == house.do("manager", access.glass_to_review)
    with pytest.raises(Refused, match="reviewed this already"):
        house.do("admin", access.review_glass, glass.id, verdict="fine")


def refused_as_open(test: TestHouse, actor: Actor, number: str) -> bool:
    """Whether breaking the glass is refused because nothing is closed; what is broken is closed again."""
    with test.house.work(actor) as work:
        there = access.open_already(work, number=number) is not None
    said = {"number": number, "reason": EMERGENCY, "code": test.code("radiologist")}
    if not there:
        with test.house.work(actor) as work:
            glass = access.break_glass(work, **said)
            access.close_glass(work, glass.id)
        return False
    with pytest.raises(Refused, match="open to you already"), test.house.work(actor) as work:
        access.break_glass(work, **said)
    # The code was not used up for it: it still comes as far as to a number of nobody's.
    with pytest.raises(Missing, match="digit by digit"), test.house.work(actor) as work:
        access.break_glass(work, **(said | {"number": "no such file"}))
    return True


def test_no_glass_is_broken_on_a_record_that_is_open_already_and_no_code_is_used_up(house):
    patient, study = book_thando(house)
    number = house.do("admin", access.access_of, patient).file_number
    with house.does("admin") as work, work.look(P.STUDY_READ):
        accession = work.get(Study, study).accession
    me = house.actors["radiologist"]
    everywhere = replace(me, bounds=Bounds(scope=Scope.ALL))
    elsewhere = replace(me, bounds=Bounds(scope=Scope.SITE, sites=frozenset({"02"})))
    nowhere = replace(me, bounds=Bounds(scope=Scope.ASSIGNED))
    # A second role that sees everybody opens nothing of what the first one does.
    both = replace(elsewhere, roles=me.roles | {Role.MANAGER}, bounds=Bounds(sites=frozenset({"02"})))
    assert [True, True, False, False, False] == [
        refused_as_open(house, actor, number) for actor in (me, everywhere, elsewhere, nowhere, both)
    ]
    assert [True, False] == [refused_as_open(house, actor, accession) for actor in (me, nowhere)]
    waiting = len(house.do("manager", access.glass_to_review))
    assert (4, 4) == (waiting, len(house.do("admin", alerts)))


def test_a_grant_and_a_glass_that_runs_open_a_record_and_a_block_or_a_closed_glass_does_not(house):
    patient, _ = book_thando(house)
    number = house.do("admin", access.access_of, patient).file_number
    me = house.actors["radiologist"]
    block(house, patient, "radiologist")
    assert not refused_as_open(house, me, number)
    with house.house.work(me) as work:
        access.break_glass(work, number=number, reason=EMERGENCY, code=house.code("radiologist"))
    assert refused_as_open(house, me, number)
    house.clock.pass_(hours=4)
    assert not refused_as_open(house, me, number)
    grant(house, patient, "radiologist")
    assert refused_as_open(house, me, number)


def test_where_one_study_of_a_patient_stays_shut_there_is_a_glass_to_break(house):
    patient, mine = book_thando(house)
    number = house.do("admin", access.access_of, patient).file_number
    narrow = replace(house.actors["radiologist"], bounds=Bounds(scope=Scope.ASSIGNED))
    with maintenance("test"), Session(house.house.engine.execution_options(write=True)) as db:
        db.get_one(Study, mine).radiologist_id = narrow.person
        db.commit()
    assert refused_as_open(house, narrow, number)
    booking = workflow.Booking(
        patient_id=patient,
        examination="ct-brain",
        description="CT brain",
        modality="CT",
        booked_for_at=house.clock.at,
        clinical_history="Again.",
    )
    house.do("reception", workflow.book, booking)
    assert not refused_as_open(house, narrow, number)


def test_ones_own_glass_is_closed_early_shut_at_once_on_record_and_reviewed_all_the_same(either_house):
    test = either_house
    patient, study, number = shut(test)
    glass = test.do(
        "radiologist", access.break_glass, number=number, reason=EMERGENCY, code=test.code("radiologist")
    )
    test.clock.pass_(minutes=10)
    openings = Openings()
    me = test.actors["radiologist"]
    with test.house.work(me, openings=openings) as work:
        assert study == workflow.open_study(work, study).row.id
    with test.house.work(me, openings=openings) as work:
        access.close_glass(work, glass.id)
        with pytest.raises(Missing):
            workflow.open_study(work, study)
    with test.house.work(me, openings=openings) as work, pytest.raises(Missing):
        workflow.open_study(work, study)  # Opened a moment ago in the same sitting.
    assert () == test.do("radiologist", access.my_glass)
    newest = next(
        e for e in test.do("admin", privacy.entries) if e.subject_kind == "glass" and e.act == "staff-self"
    )
    assert (str(glass.id), str(patient), "done") == (newest.subject_id, newest.patient_id, newest.outcome)
    assert "closed the glass that they broke" == say_act(newest.act, kind="glass", facts=newest.facts)
    (waiting,) = test.do("manager", access.glass_to_review)
    assert (glass.id, test.clock.at) == (waiting.id, waiting.until_at)
    with pytest.raises(Refused, match="closed again already"):
        test.do("radiologist", access.close_glass, glass.id)


def test_nobody_closes_a_glass_that_somebody_else_broke(house):
    patient, _, number = shut(house)
    glass = house.do(
        "radiologist", access.break_glass, number=number, reason=EMERGENCY, code=house.code("radiologist")
    )
    said = []
    for role, one in (("admin", glass.id), ("reception", glass.id), ("reception", UUID(int=7))):
        with pytest.raises(Missing) as refused:
            house.do(role, access.close_glass, one)
        said.append(refused.value.sentence)
    assert {"This broken glass does not exist, or is not yours to see."} == set(said)
    assert can_open(house, "radiologist", patient)


def test_nobody_reviews_the_glass_that_they_broke(house):
    _, _, number = shut(house)
    glass = house.do(
        "radiologist", access.break_glass, number=number, reason=EMERGENCY, code=house.code("radiologist")
    )
    me = house.actors["radiologist"]
    both = Actor(me.id, me.name, me.roles | {Role.MANAGER})
    with house.house.work(both) as work, pytest.raises(Denied, match="somebody else"):
        access.review_glass(work, glass.id, verdict="fine")


def test_misuse_needs_a_note_and_shuts_the_glass_at_once(house):
    patient, _, number = shut(house)
    glass = house.do(
        "radiologist", access.break_glass, number=number, reason=EMERGENCY, code=house.code("radiologist")
    )
    with pytest.raises(Refused, match="what was wrong"):
        house.do("admin", access.review_glass, glass.id, verdict="misuse")
    house.do(
        "admin", access.review_glass, glass.id, verdict="misuse", note="The patient was not here that day."
    )
    assert not can_open(house, "radiologist", patient)
    # The first alert was seen by the review; what the review said is new.
    assert ["Admin Person judged a broken glass to be misuse."] == [
        a.sentence for a in house.do("admin", alerts)
    ]
    assert 2 == len(house.do("admin", alerts, unseen=False))


# The gate -------------------------------------------------------------------------------------------------------


def test_a_session_from_while_the_directory_was_away_may_not_manage(house):
    me = house.actors["admin"]
    away = Actor(me.id, me.name, me.roles, bounds=Bounds(reduced=True))
    refused = []
    for permission in sorted(p for p in P if p in ROLES[Role.ADMIN]):
        try:
            with house.house.work(away) as work, work.look(permission):
                pass
        except Denied as error:
            assert AWAY == error.sentence
            refused.append(str(permission))
    assert {"people-manage", "tables-import", "system-manage", "glass-review"} <= set(refused)
    assert not {"patient-read", "board-see", "account-self"} & set(refused)


def test_the_innermost_door_says_whose_rows_are_seen_and_the_outer_one_again_after_it(house):
    patient, _ = book_thando(house)
    me = house.actors["manager"]
    narrow = Actor(me.id, me.name, me.roles, bounds=Bounds(scope=Scope.NONE))
    count = select(Patient.id)
    with house.house.work(narrow) as work, work.look(P.PATIENT_FIND):
        seen = [len(work.db.scalars(count).all())]
        with work.look(P.INSIGHT_SEE):
            seen.append(len(work.db.scalars(count).all()))
        seen.append(len(work.db.scalars(count).all()))
    assert [0, 1, 0] == seen


def test_a_grant_counts_from_the_next_door_of_the_same_work(house):
    patient, _ = book_thando(house)
    block(house, patient, "admin")
    with house.does("admin") as work:
        with work.act(P.PEOPLE_MANAGE):
            access.add_grant(
                work,
                person_id=person_of(house, "admin"),
                patient_id=patient,
                why="A test of the gate.",
                until_at=house.clock.at + timedelta(hours=1),
                request_id=None,
            )
        assert patient == patients.open_patient(work, patient).id


@pytest.mark.parametrize("role", [Role.PATIENT, Role.REFERRER])
def test_an_account_of_an_outsider_adds_and_changes_nothing(house, role):
    patient, _ = book_thando(house)
    person = person_of(house, "reception")
    account = Actor(
        str(person), "An account", frozenset({role}), "gateway", bounds=Bounds(patient_id=patient)
    )
    with pytest.raises(RuntimeError, match="tried to add"):
        with house.house.work(account) as work, work.act(P.SHARED_VIEW):
            work.db.add(
                Consent(
                    id=uuid4(),
                    patient_id=patient,
                    purpose="share",
                    given=True,
                    how="signed",
                    recorded_by=person,
                    recorded_at=house.clock.at,
                )
            )
    with pytest.raises(RuntimeError, match="tried to change"):
        with house.house.work(account) as work, work.act(P.SHARED_VIEW):
            work.get(Person, person).name = "Somebody else"


def test_an_account_sees_no_table_that_was_not_opened_to_it(house):
    book_thando(house)
    account = Actor(str(person_of(house, "reception")), "An account", frozenset({Role.PATIENT}), "gateway")
    with house.house.work(account) as work, work.look(P.SHARED_VIEW):
        seen = {
            mapper.class_.__name__
            for mapper in Base.registry.mappers
            if work.db.execute(select(mapper.class_).limit(1)).first() is not None
        }
    assert {"Person"} == seen  # its own row


def test_a_staff_member_with_scope_none_sees_the_practices_own_tables_only(house):
    book_thando(house)
    me = house.actors["manager"]
    narrow = Actor(me.id, me.name, me.roles, bounds=Bounds(scope=Scope.NONE))
    with house.house.work(narrow) as work, work.look(P.PATIENT_FIND):
        seen = {
            mapper.class_
            for mapper in Base.registry.mappers
            if work.db.execute(select(mapper.class_).limit(1)).first() is not None
        }
    assert {Person, AuditEntry, Referrer} <= seen
    assert all(CONCERNS[model] == PRACTICE for model in seen)


def test_every_member_of_staff_has_a_scope_and_outsiders_none_of_theirs():
    assert set(STAFF) | set(OUTSIDERS) | {Role.SYSTEM, Role.NOBODY} == set(SCOPES)
    assert [] == [r for r, p in product(OUTSIDERS, P) if scope_of(frozenset({r}), p) in OVERRIDES]
