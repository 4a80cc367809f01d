"""Links: minted, opened once with the second question, and shut by time, by staff, by wrong answers and by consent."""

import inspect
import threading
import time
from dataclasses import dataclass
from datetime import date, timedelta
from uuid import UUID

import pytest
from sqlalchemy import select

from core import patients, privacy, reporting, sharing, workflow
from core.errors import Denied, Missing, Refused, SorgError, Stale, WrongAnswer
from core.rules.roles import ROLES, Permission, Role
from core.sharing import LinkState
from core.store import db
from core.store.model import Arrival, Instance, Share, Study
from core.store.work import Actor, Subject, nobody
from tests.fixtures.house import TestHouse, book_thando

TEXT = "FINDINGS\nThe brain is normal.\n\nCONCLUSION\nNormal study."
BORN, WRONG = date(1980, 1, 1), date(1981, 1, 1)


@dataclass
class Shared:
    """A practice with one signed study of three images and a PDF, and a second study beside it."""

    test: TestHouse
    patient: UUID
    study: UUID

    def mint(self, **how) -> sharing.MintedLink:
        return self.test.do("reception", sharing.mint, self.study, **{"lasts": None, **how})

    def opened(self, link: sharing.MintedLink) -> sharing.Redeemed:
        return self.test.do("nobody", sharing.redeem, token_of(link), born_on=BORN)

    def state(self, link: sharing.MintedLink, held: str = "") -> LinkState:
        return self.test.do("nobody", sharing.look_at, token_of(link), held=held).state

    def actor(self, session: str) -> Actor | None:
        return self.test.do("nobody", sharing.actor_of, session)

    def ids(self, *orthanc_ids: str) -> list[UUID]:
        """Our own numbers of these images; one that is nowhere has one too."""
        with self.test.does("system") as work, work.look(Permission.IMAGES_RECEIVE):
            known = {i.orthanc_id: i.id for i in work.db.scalars(select(Instance))}
        return [known.get(one, UUID(int=9)) for one in orthanc_ids]

    def behind(self, session: str, orthanc_id: str) -> str | None:
        return self.test.do("nobody", sharing.image_behind, session, self.ids(orthanc_id)[0])

    def card(self, link: sharing.MintedLink) -> sharing.ShareCard:
        return next(c for c in self.test.do("reception", sharing.shares)[0] if c.id == link.share_id)


def token_of(link: sharing.MintedLink) -> str:
    return link.url.rsplit("/", 1)[1]


def receive(test: TestHouse, study: UUID, instance_ids: list[str]) -> None:
    """What core.pacs leaves when images arrive: an arrival, its instances, and the study moved on."""
    with test.does("system") as work, work.act(Permission.IMAGES_RECEIVE, Subject.study(study)):
        row, now = work.get(Study, study), work.now()
        arrival = Arrival(
            id=work.new_id(),
            orthanc_id=f"study-{study}",
            state="matched",
            study_id=study,
            reasons=[],
            first_seen_at=now,
            last_change_at=now,
        )
        work.db.add(arrival)
        work.db.flush()
        work.db.add_all(
            Instance(
                id=work.new_id(),
                origin="01",
                arrival_id=arrival.id,
                study_id=study,
                orthanc_id=one,
                sop_uid=f"1.2.{n}",
                sop_class="1.2",
                series_uid="1.2.3",
                series_number=1,
                number=n,
                modality="CT",
                series_description="Axial",
                rows=512,
                columns=512,
                is_image=not one.startswith("pdf"),
            )
            for n, one in enumerate(instance_ids)
        )
        row.image_count, row.image_digest = len(instance_ids), "d" * 64
        workflow.move(work, row, "receive")


def report(test: TestHouse, study: UUID) -> UUID:
    test.do("radiologist", reporting.begin, study)
    text = test.do("radiologist", reporting.skip_transcription, study, text=TEXT, based_on=None)
    return test.do(
        "radiologist", reporting.sign, study, text=TEXT, based_on=text, code=test.code("radiologist")
    )


def share_ready(test: TestHouse, **how) -> Shared:
    patient, study = book_thando(test, **how)
    test.do("reception", workflow.arrive, study)
    receive(test, study, ["image-a", "image-b", "image-c", "pdf-d"])
    report(test, study)
    return Shared(test, patient, study)


@pytest.fixture
def shared(house: TestHouse) -> Shared:
    return share_ready(house)


@pytest.fixture
def either_shared(either_house: TestHouse) -> Shared:
    return share_ready(either_house)


# Minting ----------------------------------------------------------------------------------------------------------


def test_a_link_opens_the_study_it_was_minted_for(either_shared):
    shared = either_shared
    link = shared.mint()
    opened = shared.opened(link)
    actor = shared.actor(opened.session)
    with shared.test.house.work(actor) as work:
        study = sharing.open_shared(work)
    images = study.images
    assert ("Nkosi-Müller^Thandô", "CT brain", ("CT",)) == (
        images.patient_name,
        images.description,
        images.modalities,
    )
    assert shared.ids("image-a", "image-b", "image-c") == [i.id for s in images.series for i in s.instances]
    assert (TEXT, "Radiologist Person") == (study.text, study.signed_by)
    assert {Role.PATIENT} == actor.roles


def test_neither_secret_is_in_the_database_or_the_audit_trail(shared):
    link = shared.mint()
    session = shared.opened(link).session
    with shared.test.does("reception") as work, work.look(Permission.SHARE_SEE):
        row = work.db.scalars(select(Share)).one()
        kept = " ".join(str(v) for v in vars(row).values())
    told = " ".join(str(e) for e in shared.test.do("admin", privacy.entries, size=1000))
    assert [] == [s for s in (token_of(link), session) if s in kept or s in told]
    assert 43 == len(token_of(link))
    assert token_of(link) not in repr(link)


def test_no_link_without_a_signed_report(house):
    _, study = book_thando(house)
    receive(house, study, ["image-a"])
    with pytest.raises(Refused, match="no signed report yet"):
        house.do("reception", sharing.mint, study, lasts=None)


def test_no_link_when_the_patient_said_no(shared):
    shared.test.clock.pass_(seconds=1)
    shared.test.do(
        "reception", patients.record_consent, shared.patient, purpose="share", given=False, how="verbal"
    )
    with pytest.raises(Refused, match="has not agreed to a link"):
        shared.mint()


def test_no_link_when_the_patient_was_never_asked(house):
    shared = share_ready(house, agrees_to=("examination", "claim"))
    with pytest.raises(Refused, match="has not agreed to a link"):
        shared.mint()


@pytest.mark.parametrize("lasts", [timedelta(minutes=59), timedelta(days=90, seconds=1), timedelta(0)])
def test_a_link_lasts_at_least_an_hour_and_at_most_ninety_days(shared, lasts):
    with pytest.raises(Refused, match="at least one hour"):
        shared.mint(lasts=lasts)


def test_a_radiographer_mints_no_links(shared):
    with pytest.raises(Denied):
        shared.test.do("radiographer", sharing.mint, shared.study, lasts=None)


# Opening ----------------------------------------------------------------------------------------------------------


def test_looking_at_a_link_a_hundred_times_burns_nothing(shared):
    link = shared.mint()
    entries = len(shared.test.do("admin", privacy.entries, size=1000))
    assert {LinkState.WAITING} == {shared.state(link) for _ in range(100)}
    assert entries == len(shared.test.do("admin", privacy.entries, size=1000))
    assert shared.opened(link)


def test_an_unknown_link_looks_like_an_expired_one(shared):
    link = shared.mint(lasts=timedelta(hours=1))
    shared.test.clock.pass_(hours=1)
    known = shared.test.do("nobody", sharing.look_at, token_of(link))
    unknown = shared.test.do("nobody", sharing.look_at, "A" * 43)
    assert (LinkState.EXPIRED, known.state, known.tries_left) == (
        unknown.state,
        LinkState.EXPIRED,
        unknown.tries_left,
    )
    said = []
    for token in (token_of(link), "A" * 43, "", "x" * 5000):
        with pytest.raises(Refused) as refused:
            shared.test.do("nobody", sharing.redeem, token, born_on=BORN)
        said.append(refused.value.sentence)
    assert 1 == len(set(said))


def test_a_link_opens_once_and_stays_open_in_that_browser(shared):
    link = shared.mint()
    first = shared.opened(link)
    with pytest.raises(Refused, match="used already on another device"):
        shared.opened(link)
    assert (LinkState.HERE, LinkState.USED, LinkState.USED) == (
        shared.state(link, first.session),
        shared.state(link),
        shared.state(link, "guessed"),
    )
    shared.test.clock.pass_(days=6)
    assert shared.actor(first.session)


def test_five_wrong_dates_close_the_link_for_good_and_staff_see_it(either_shared):
    shared = either_shared
    link, said = shared.mint(), []
    for _ in range(5):
        with pytest.raises(WrongAnswer) as wrong:
            shared.test.do("nobody", sharing.redeem, token_of(link), born_on=WRONG)
        said.append(wrong.value.sentence)
    assert ("You can try 4 more times." in said[0], "try once more" in said[3], "was closed" in said[4]) == (
        True,
    ) * 3
    with pytest.raises(Refused, match="was closed after too many"):
        shared.opened(link)
    card = shared.card(link)
    assert (LinkState.CLOSED, 5, 5) == (card.state, card.wrong_answers, card.tries)
    refused = [
        e for e in shared.test.do("admin", privacy.who_looked, shared.patient) if e.act == "share-open"
    ]
    assert 5 == len([e for e in refused if e.outcome == "refused"])


def test_a_report_that_was_changed_behind_our_back_is_not_handed_out(shared):
    link = shared.mint()
    with db.maintenance("test"), shared.test.house.engine.begin() as connection:
        connection.exec_driver_sql("drop trigger report_version_no_update")
        connection.exec_driver_sql("update report_version set text = 'Changed' where kind = 'signed'")
    with pytest.raises(Refused, match="must check this report first"):
        shared.opened(link)
    with pytest.raises(Refused, match="signature does not fit"):
        shared.mint()


def test_two_at_once_and_exactly_one_wins(either_shared):
    shared = either_shared
    link, won, lost = shared.mint(), [], []
    barrier = threading.Barrier(6)

    def open_it() -> None:
        barrier.wait()
        try:
            won.append(shared.opened(link))
        except (Refused, Stale) as refused:
            lost.append(refused.sentence)

    threads = [threading.Thread(target=open_it) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (1, 5) == (len(won), len(lost))
    assert shared.actor(won[0].session)


def test_wrong_answers_at_once_are_all_counted(either_shared):
    shared = either_shared
    link = shared.mint()
    barrier, refusals = threading.Barrier(8), []

    def guess() -> None:
        barrier.wait()
        try:
            shared.test.do("nobody", sharing.redeem, token_of(link), born_on=WRONG)
        except Refused as refused:
            refusals.append(refused)

    threads = [threading.Thread(target=guess) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (8, 5) == (len(refusals), len([r for r in refusals if isinstance(r, WrongAnswer)]))
    assert LinkState.CLOSED == shared.state(link)


# Shutting ---------------------------------------------------------------------------------------------------------


def test_a_revoked_link_opens_nothing_from_then_on(either_shared):
    shared = either_shared
    link = shared.mint()
    session = shared.opened(link).session
    assert "image-a" == shared.behind(session, "image-a")
    shared.test.do("reception", sharing.revoke, link.share_id)
    assert (None, None) == (
        shared.actor(session),
        shared.behind(session, "image-a"),
    )
    assert LinkState.REVOKED == shared.test.do("nobody", sharing.why_shut, session)
    card = shared.card(link)
    assert (LinkState.REVOKED, "Reception Person") == (card.state, card.revoked_by)


def test_an_expired_link_opens_nothing(shared):
    link = shared.mint(lasts=timedelta(hours=1))
    session = shared.opened(link).session
    shared.test.clock.pass_(minutes=59, seconds=59)
    assert shared.actor(session)
    shared.test.clock.pass_(seconds=1)
    assert None is shared.actor(session)
    assert LinkState.EXPIRED == shared.test.do("nobody", sharing.why_shut, session)


def test_taking_back_the_consent_shuts_the_link(shared):
    link = shared.mint()
    session = shared.opened(link).session
    shared.test.clock.pass_(seconds=1)
    shared.test.do(
        "reception", patients.record_consent, shared.patient, purpose="share", given=False, how="verbal"
    )
    assert None is shared.actor(session)
    assert LinkState.REVOKED == shared.test.do("nobody", sharing.why_shut, session)


def test_a_link_minted_before_the_consent_was_taken_back_does_not_open(shared):
    link = shared.mint()
    shared.test.clock.pass_(seconds=1)
    shared.test.do(
        "reception", patients.record_consent, shared.patient, purpose="share", given=False, how="verbal"
    )
    with pytest.raises(Refused, match="has withdrawn this link"):
        shared.opened(link)


def test_who_says_done_is_out(shared):
    link = shared.mint()
    session = shared.opened(link).session
    with shared.test.house.work(shared.actor(session)) as work:
        sharing.leave(work)
    assert (None, LinkState.LEFT) == (shared.actor(session), shared.state(link, session))
    assert (LinkState.LEFT, 0) == (shared.card(link).state, shared.card(link).looked)


# Reach ------------------------------------------------------------------------------------------------------------


def test_only_the_listed_images_pass(shared):
    session = shared.opened(shared.mint()).session
    _, other = book_thando(shared.test, family_name="Botha", membership_number="1")
    receive(shared.test, other, ["image-x"])
    asked = ["image-a", "image-c", "pdf-d", "image-x", "nowhere"]
    assert ["image-a", "image-c", "", "", ""] == [shared.behind(session, one) for one in asked]
    assert None is shared.behind("forged", "image-a")


def test_an_image_that_comes_after_the_minting_is_not_in_the_link(shared):
    session = shared.opened(shared.mint()).session
    with shared.test.does("system") as work, work.act(Permission.IMAGES_RECEIVE):
        arrival = work.db.scalars(select(Arrival)).one()
        work.db.add(
            Instance(
                id=work.new_id(),
                origin="01",
                arrival_id=arrival.id,
                study_id=shared.study,
                orthanc_id="late",
                sop_uid="1.9",
                sop_class="1.2",
                series_uid="1.2.3",
                is_image=True,
            )
        )
    assert "" == shared.behind(session, "late")


def test_an_image_moved_to_another_study_leaves_the_link(shared):
    session = shared.opened(shared.mint()).session
    with shared.test.does("system") as work, work.act(Permission.IMAGES_RECEIVE):
        work.db.scalars(select(Instance).where(Instance.orthanc_id == "image-a")).one().study_id = None
    assert "" == shared.behind(session, "image-a")
    with shared.test.house.work(shared.actor(session)) as work:
        left = [i.id for s in sharing.open_shared(work).images.series for i in s.instances]
    assert shared.ids("image-b", "image-c") == left


def test_a_link_holder_can_do_nothing_else_and_reaches_no_other_study(shared):
    """Every verb of every module, called as the link holder with another study's id."""
    actor = shared.actor(shared.opened(shared.mint()).session)
    patient, other = book_thando(shared.test, family_name="Botha", membership_number="1")
    own = {"open_shared", "shared_report_pdf", "leave", "new_study_uid"}  # the last one reads nothing
    let_in = []
    for module in (patients, privacy, reporting, sharing, workflow):
        for name, verb in inspect.getmembers(module, inspect.isfunction):
            parameters = list(inspect.signature(verb).parameters.values())
            is_verb = parameters and parameters[0].name == "work" and verb.__module__ == module.__name__
            if not is_verb or name.startswith("_") or name in own:
                continue
            given = {"study_id": other, "patient_id": patient, "share_id": UUID(int=5), "step": "arrive"}
            arguments = {p.name: given.get(p.name, "x") for p in parameters[1:] if p.default is p.empty}
            try:
                with shared.test.house.work(actor) as work:
                    verb(work, **arguments)
                let_in.append(name)
            except (SorgError, RuntimeError, AttributeError):
                continue
    assert [] == let_in


def test_even_with_every_permission_a_link_holder_sees_one_study_and_one_version(shared, monkeypatch):
    actor = shared.actor(shared.opened(shared.mint()).session)
    _, other = book_thando(shared.test, family_name="Botha", membership_number="1")
    receive(shared.test, other, ["image-x"])
    report(shared.test, other)
    monkeypatch.setitem(ROLES, Role.PATIENT, frozenset(Permission))
    with shared.test.house.work(actor) as work:
        assert [shared.study] == [row.id for row in workflow.board(work).rows]
    for question in (workflow.open_study, reporting.read_signed, sharing.mint):
        extra = {"lasts": None} if question is sharing.mint else {}
        with pytest.raises(Missing), shared.test.house.work(actor) as work:
            question(work, other, **extra)
    with shared.test.house.work(actor) as work:
        assert ["signed"] == [v.kind for v in reporting.open_desk(work, shared.study).versions]
    with shared.test.house.work(actor) as work:
        assert 0 == sharing.shares(work, study_id=other)[1]


# Staff ------------------------------------------------------------------------------------------------------------


def test_staff_see_how_often_a_link_was_looked_at_and_from_what(either_shared):
    shared = either_shared
    link = shared.mint(note="For Dr van der Merwe")
    agent = "Mozilla/5.0 (Linux; Android 14) AppleWebKit/537.36 Chrome/130 Mobile Safari/537.36"
    session = shared.test.do("nobody", sharing.redeem, token_of(link), born_on=BORN, agent=agent).session
    for _ in range(2):
        with shared.test.house.work(shared.actor(session)) as work:
            sharing.open_shared(work)
    card = shared.card(link)
    assert (LinkState.USED, 2, "Chrome on Android", 3) == (
        card.state,
        card.looked,
        card.opened_with,
        card.images,
    )
    assert ("Nkosi-Müller, Thandô", "For Dr van der Merwe", "Reception Person") == (
        card.patient,
        card.note,
        card.minted_by,
    )
    looked = [
        e for e in shared.test.do("admin", privacy.who_looked, shared.patient) if e.act == "shared-view"
    ]
    assert ["Patient by link"] * 2 == [e.who for e in looked]


def test_the_list_is_paged_and_newest_first(shared):
    minted = [shared.mint().share_id for _ in range(3)]
    page, total = shared.test.do("reception", sharing.shares, study_id=shared.study, size=2)
    assert (minted[:0:-1], 3) == ([c.id for c in page], total)
    rest, _ = shared.test.do("reception", sharing.shares, size=2, page=2)
    assert minted[:1] == [c.id for c in rest]


def test_a_link_with_an_hour_left_works_on_a_machine_on_johannesburg_time(shared, monkeypatch):
    """A peer's gateway judges such a link expired, because it reads local time as UTC."""
    monkeypatch.setenv("TZ", "Africa/Johannesburg")
    time.tzset()
    try:
        link = shared.mint(lasts=timedelta(hours=1))
        assert shared.actor(shared.opened(link).session)
        assert timedelta(hours=1) == link.expires_at - shared.test.clock.at
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize(
    ("agent", "said"),
    [
        (
            "Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) Version/17.0 Mobile Safari/604.1",
            "Safari on iPhone",
        ),
        (
            "Mozilla/5.0 (Linux; Android 14; SM-A155F) SamsungBrowser/25 Chrome/121 Mobile Safari/537.36",
            "Samsung Internet on Android",
        ),
        ("Mozilla/5.0 (Windows NT 10.0; Win64; x64) Chrome/130 Safari/537.36 Edg/130", "Edge on Windows"),
        ("", "Browser"),
        ("<script>" * 500, "Browser"),
    ],
)
def test_the_device_is_named_so_that_a_person_recognises_it(agent, said):
    assert said == sharing.browser_of(agent)


def test_a_link_holder_without_a_link_is_refused(house):
    lost = Actor("link:0", "Nobody's link", frozenset({Role.PATIENT}), "gateway")
    for verb in (sharing.open_shared, sharing.shared_report_pdf, sharing.leave):
        with pytest.raises(Denied), house.house.work(lost) as work:
            verb(work)
    with pytest.raises(Denied), house.house.work(nobody(channel="gateway")) as work:
        sharing.open_shared(work)
