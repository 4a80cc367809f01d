"""Analytics on a history made by hand: every expected number below was worked out on paper."""

import os
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from uuid import UUID

import duckdb
import pyarrow as pa
import pytest

from core import analytics, patients, workflow
from core.analytics import REPORT, STAGES, Activity, ClaimsStanding, DayVolume, Exported, Period, Standing
from core.errors import Denied, Refused, Unfit
from core.rules.roles import Permission
from core.rules.steps import STEPS, Status
from core.store import sealed
from core.store.model import Claim, Study, StudyEvent
from core.store.work import Subject
from tests.fixtures.house import TestHouse, book_thando

MONDAY = datetime(2026, 11, 2, 6, 0, tzinfo=UTC)  # 2 November 2026, 08:00 in Johannesburg
NOVEMBER = Period(date(2026, 11, 1), date(2026, 11, 30))
BY = {
    "receive": "system",
    "refuse": "system",
    "begin": "radiologist",
    "pass_on": "radiologist",
    "skip": "radiologist",
    "return": "radiologist",
    "sign": "radiologist",
    "take": "transcriptionist",
    "pass_back": "transcriptionist",
    "claim": "billing",
    "settle": "billing",
}


def live(
    test: TestHouse, *moves: tuple[str, float], begins: datetime = MONDAY, modality: str = "CT", **who: object
) -> UUID:
    """Book a study at `begins`; then each step happens so many hours after the one before it."""
    test.clock.at = begins
    _, study_id = book_thando(test, modality=modality, **who)
    with test.does("reception") as work, work.act(Permission.ORDER_BOOK, Subject.study(study_id)):
        study = work.get(Study, study_id)
        for step, hours in moves:
            test.clock.pass_(hours=hours)
            actor = test.actors[BY.get(step, "reception")]
            by = UUID(int=0) if actor.id == "system" else actor.person
            work.db.add(
                StudyEvent(
                    id=work.new_id(),
                    study_id=study_id,
                    step=step,
                    before=study.status,
                    after=STEPS[step].after,
                    at=test.clock.at,
                    by=by,
                )
            )
            study.status, study.status_at = STEPS[step].after, test.clock.at
    return study_id


def three_studies(test: TestHouse) -> None:
    """Two CTs and an ultrasound, with one report sent back, one claim refused, and one patient who never came."""
    live(
        test,
        ("arrive", 24),
        ("receive", 1),
        ("begin", 2),
        ("pass_on", 0.5),
        ("take", 1),
        ("pass_back", 0.5),
        ("return", 0.25),
        ("take", 1),
        ("pass_back", 0.25),
        ("sign", 0.5),
        ("claim", 24),
        ("refuse", 48),
        ("claim", 12),
        ("settle", 96),
    )
    live(
        test,
        ("arrive", 48),
        ("receive", 2),
        ("begin", 4),
        ("pass_on", 1),
        ("take", 2),
        ("pass_back", 1),
        ("sign", 1.5),
        family_name="Botha",
    )
    live(test, ("receive", 3), ("begin", 6), ("skip", 1.5), ("sign", 1), family_name="Naidoo", modality="US")
    live(test, ("cancel", 5), family_name="Dlamini", modality="US")
    test.clock.at = datetime(2026, 11, 24, 6, 30, tzinfo=UTC)


def ask(test: TestHouse, question, *args, **kwargs):
    with test.does("analyst") as work, analytics.open_for_analysis(work) as data:
        return question(data, *args, **kwargs)


def times(found) -> dict[str, tuple[int, float, float]]:
    return {f.stage: (f.n, round(f.median_h, 3), round(f.p90_h, 3)) for f in found}


def test_each_stage_takes_what_was_worked_out_by_hand(either_house):
    three_studies(either_house)
    found = times(ask(either_house, analytics.turnaround, NOVEMBER, stages=(*STAGES, REPORT)))
    assert {
        "arrival": (2, 36.0, 45.6),  # 24, 48; the ultrasound's arrival was never recorded
        "scan": (2, 1.5, 1.9),  # 1, 2
        "reading": (3, 4.0, 5.6),  # 2, 4, 6
        "reporting": (3, 1.0, 1.4),  # 0.5, 1, 1.5
        "transcription": (2, 2.875, 2.975),  # 1.5 + 1.25 (sent back once), 3
        "signing": (3, 1.0, 1.4),  # 0.25 + 0.5, 1.5, 1
        "coding": (1, 24.0, 24.0),
        "scheme": (1, 144.0, 144.0),  # 48 until refused, 96 until paid
        "correction": (1, 12.0, 12.0),
        "report": (3, 8.5, 9.3),  # 6, 9.5, 8.5: the sums of their stages
    } == found


def test_turnaround_by_modality_and_by_south_african_week(either_house):
    three_studies(either_house)
    # Sunday 8 November 23:30 UTC is Monday 9 November 01:30 in Johannesburg: the next week.
    live(
        either_house,
        ("receive", 1),
        ("begin", 1),
        ("skip", 1),
        ("sign", 1),
        family_name="Zulu",
        modality="MR",
        begins=datetime(2026, 11, 8, 19, 30, tzinfo=UTC),
    )
    either_house.clock.at = datetime(2026, 11, 24, 6, 30, tzinfo=UTC)
    by_modality = ask(either_house, analytics.turnaround, NOVEMBER, by="modality", stages=(REPORT,))
    assert [("CT", 2, 7.75), ("MR", 1, 3.0), ("US", 1, 8.5)] == [
        (t.group, t.n, t.median_h) for t in by_modality
    ]
    by_week = ask(either_house, analytics.turnaround, NOVEMBER, by="week", stages=(REPORT,))
    assert [("2026-11-02", 3), ("2026-11-09", 1)] == [(t.group, t.n) for t in by_week]
    only_ct = ask(either_house, analytics.turnaround, Period(NOVEMBER.from_on, NOVEMBER.to_on, "CT"))
    assert (2, 3.0) == next((t.n, t.median_h) for t in only_ct if t.stage == "reading")


def test_a_study_counts_on_the_south_african_day_it_was_signed(house):
    # Signed at 21:59 UTC: 23:59 in Johannesburg; and two minutes later, on the next day.
    begins = datetime(2026, 11, 8, 17, 59, tzinfo=UTC)
    moves = (("receive", 1), ("begin", 1), ("skip", 1), ("sign", 1))
    live(house, *moves, begins=begins)
    live(house, *moves, begins=begins + timedelta(minutes=2), family_name="Botha")
    eighth, ninth = date(2026, 11, 8), date(2026, 11, 9)
    assert [(eighth, 2, 1), (ninth, 0, 1)] == [
        (v.day, v.scanned, v.signed) for v in ask(house, analytics.volumes, NOVEMBER)
    ]
    assert 1 == ask(house, analytics.turnaround, Period(eighth, eighth), stages=(REPORT,))[0].n


def test_volumes_by_day_and_modality(either_house):
    three_studies(either_house)
    assert (
        DayVolume(date(2026, 11, 2), "CT", 2, 0, 0),
        DayVolume(date(2026, 11, 2), "US", 2, 1, 1),
        DayVolume(date(2026, 11, 3), "CT", 0, 1, 1),
        DayVolume(date(2026, 11, 4), "CT", 0, 1, 1),
    ) == ask(either_house, analytics.volumes, NOVEMBER)


def test_the_backlog_is_what_came_in_less_what_went_on(either_house):
    three_studies(either_house)
    found = ask(either_house, analytics.backlog, Period(date(2026, 11, 3), date(2026, 11, 4)))
    assert {
        (date(2026, 11, 3), Status.BOOKED): 1,
        (date(2026, 11, 3), Status.SIGNED): 2,
        (date(2026, 11, 4), Status.CLAIMED): 1,
        (date(2026, 11, 4), Status.SIGNED): 2,
    } == {(s.day, s.status): s.n for s in found if s.n}
    assert Standing(date(2026, 11, 3), Status.WAITING, 0) in found
    assert not any(s.status in (Status.PAID, Status.CANCELLED) for s in found)


def test_claims_are_counted_in_cents_by_state(either_house):
    study = live(either_house)
    with either_house.does("billing") as work, work.act(Permission.BILLING_CODE, Subject.study(study)):
        work.db.add(
            Claim(
                id=work.new_id(),
                study_id=study,
                patient_id=work.get(Study, study).patient_id,
                report_version_id=None,
                number="C1",
                scheme="demo",
                state="sent",
                coding={},
                service_on=date(2026, 11, 2),
                total_cents=123_456,
                paid_cents=1,
            )
        )
    figures = either_house.do("manager", analytics.insight, NOVEMBER)
    assert (ClaimsStanding("sent", 1, 123_456, 1),) == figures.claims
    elsewhere = Period(NOVEMBER.from_on, NOVEMBER.to_on, "US")
    assert () == either_house.do("manager", analytics.insight, elsewhere).claims
    total = ask(either_house, lambda data: data.rows("select sum(total_cents)::bigint from claims"))
    assert [(123_456,)] == total


def test_who_works_when_is_told_by_role_in_south_african_hours(house):
    house.clock.at = datetime(2026, 11, 1, 22, 30, tzinfo=UTC)  # Monday 2 November, 00:30 in Johannesburg
    book_thando(house)
    found = house.do("manager", analytics.activity, Period(date(2026, 11, 2), date(2026, 11, 2)))
    # Registering, three consents, a referring doctor, a booking.
    assert (Activity("reception", 0, 0, 6, 1),) == found


def test_an_hour_of_far_too_many_patients_stands_out(house):
    patient, _ = book_thando(house)
    for hour in range(40):
        house.clock.at = MONDAY + timedelta(hours=hour)
        house.do("radiologist", patients.open_patient, patient)
    for minute in range(30):
        house.clock.at = datetime(2026, 11, 10, 1, minute, tzinfo=UTC)
        house.do("radiologist", patients.open_patient, patient)
    house.clock.at = datetime(2026, 11, 24, 6, 30, tzinfo=UTC)
    [found] = ask(house, analytics.unusual_hours, NOVEMBER)
    assert (datetime(2026, 11, 10, 3), 30, 1) == (found.hour_at, found.acts, found.patients)
    assert "radiologist" == found.role
    outside = ask(house, analytics.outside_hours, NOVEMBER)
    assert 30 + 14 == outside.acts.sum()  # fourteen of the forty hours lay between 20:00 and 06:00
    looked = ask(house, analytics.most_looked_at, NOVEMBER)
    assert [2] == looked.staff.tolist()  # reception booked, the radiologist looked


# Nobody can be recognised -----------------------------------------------------------------------------------------

SECRET = {
    "family_name": "Ndlovu-Geheim", "given_names": "Sipho", "identity_kind": "passport",
    "identity_number": "P7654321X", "phone": "082 555 7777", "email": "sipho@example.org",
    "membership_number": "88776655", "member_surname": "Ndlovu-Geheim", "member_initials": "S",
}  # fmt: skip


def planted(test: TestHouse) -> list[str]:
    """What must not come out, from the tables themselves."""
    patient, study = book_thando(test, **SECRET)
    test.do("radiologist", patients.open_patient, patient)
    card = test.do("reception", workflow.open_study, study)
    staff = [word for actor in test.actors.values() for word in (actor.id, actor.name)]
    return [
        *(str(v) for k, v in SECRET.items() if k not in ("identity_kind", "member_initials")),
        "1980-01-01",
        "van der Merwe",
        "0140000123457",
        card.row.file_number,
        card.row.accession,
        card.study_uid,
        str(patient),
        patient.hex,
        str(study),
        study.hex,
        *[s for s in staff if s not in ("system", "nobody", "Sorg")],
    ]


def test_no_name_and_no_number_is_in_the_copies_or_in_their_files(either_house):
    words = planted(either_house)
    either_house.clock.pass_(days=2)
    either_house.do("analyst", analytics.export)
    folder = either_house.folder / "analytics"
    at_rest = b"".join(p.read_bytes() for p in folder.iterdir())
    key = either_house.house.keys["analytics"]
    opened = [sealed.open_part(p, key) for p in folder.glob("*.parquet")]
    assert len(opened) >= 2 and all(len(t) for t in opened)
    said = "\n".join(str(value) for table in opened for row in table.to_pylist() for value in row.values())
    with either_house.does("analyst") as work, analytics.open_for_analysis(work) as data:
        said += "\n".join(data.sql(f"from {view}").to_csv() for view in analytics.VIEWS)
    assert [] == [w for w in words if w in said]
    assert [] == [w for w in words if w.encode() in at_rest]
    assert b"reception" not in at_rest  # nor a word that is in every row
    assert "reception" in said and "35–49" in said


def test_every_column_that_leaves_is_on_this_list():
    assert {
        "moves": "at_utc since_utc study step before after staff role patient referrer modality examination urgency "
        "place_of_service sex age scheme",
        "audit": "at_utc staff role channel act outcome subject_kind subject patient",
        "claims": "service_on study patient modality scheme state tracking attempt total_cents paid_cents",
    } == {name: " ".join(s.schema.names) for name, s in analytics.SOURCES.items()}


def test_a_pseudonym_is_the_same_everywhere_and_differs_between_practices(house, tmp_path):
    book_thando(house)
    sql = "select distinct m.patient from moves m join audit a on a.patient = m.patient"
    [(first,)] = ask(house, lambda data: data.rows(sql))
    assert (16, True) == (len(first), all(c in "0123456789abcdef" for c in first))
    name = analytics._Pseudonyms(b"k" * 32)
    assert name("patient", "1") == analytics._Pseudonyms(b"k" * 32)("patient", "1")
    assert name("patient", "1") != analytics._Pseudonyms(b"l" * 32)("patient", "1")
    assert name("patient", "1") != name("staff", "1")


@pytest.mark.parametrize(
    ("born_on", "band"),
    [
        (date(2026, 11, 1), "0–4"),
        (date(2021, 11, 25), "0–4"),
        (date(2021, 11, 24), "5–17"),
        (date(1980, 1, 1), "35–49"),
        (date(1946, 11, 24), "80+"),
        (date(1920, 1, 1), "80+"),
    ],
)
def test_ages_come_in_bands(born_on, band):
    assert band == analytics.age_band(born_on, date(2026, 11, 24))


# Sealed parts -----------------------------------------------------------------------------------------------------


def rows_of(test: TestHouse, name: str) -> int:
    return ask(test, lambda data: data.rows(f"select count(*) from {name}_copied"))[0][0]


def test_every_move_is_exported_once_and_today_is_read_live(either_house):
    three_studies(either_house)
    assert Exported(14 + 1 + 8 + 5 + 2, 28) == either_house.do("analyst", analytics.export)
    names = sorted(p.name for p in (either_house.folder / "analytics").glob("moves*"))
    assert ["moves-20261102-20261123.parquet"] == names  # days on which nothing moved are sealed as well
    assert Exported(0, 0) == either_house.do("analyst", analytics.export)
    book_thando(either_house, family_name="Today")
    assert 31 == rows_of(either_house, "moves")
    assert names == sorted(p.name for p in (either_house.folder / "analytics").glob("moves*"))
    either_house.clock.pass_(days=1)
    assert 1 == either_house.do("analyst", analytics.export).moves
    assert 31 == rows_of(either_house, "moves")


def test_an_export_killed_after_the_file_repeats_nothing(house, monkeypatch):
    three_studies(house)

    def die(*_args, **_kwargs):
        raise KeyboardInterrupt

    with monkeypatch.context() as killing:
        killing.setattr(sealed, "merge", die)  # The part has its name; nothing after it has happened.
        with pytest.raises(KeyboardInterrupt):
            house.do("analyst", analytics.export)
    assert 0 == house.do("analyst", analytics.export).moves
    assert 30 == rows_of(house, "moves")


def test_an_export_killed_before_the_file_has_its_name_begins_again(house, monkeypatch):
    three_studies(house)

    def die(*_args, **_kwargs):
        raise KeyboardInterrupt

    with monkeypatch.context() as killing:
        killing.setattr(os, "replace", die)
        with pytest.raises(KeyboardInterrupt):
            house.do("analyst", analytics.export)
    assert 30 == house.do("analyst", analytics.export).moves
    assert 30 == rows_of(house, "moves")


def october(test: TestHouse) -> None:
    """Five days of October, each exported on the next, as a practice does it."""
    for day in range(1, 6):
        live(test, ("arrive", 1), begins=datetime(2026, 10, day, 6, tzinfo=UTC), family_name=f"Day{day}")
        test.clock.pass_(days=1)
        test.do("analyst", analytics.export)


def test_a_finished_months_parts_become_one(house):
    october(house)
    folder = house.folder / "analytics"
    assert 5 == len(list(folder.glob("moves*")))
    house.clock.at = MONDAY
    house.do("analyst", analytics.export)
    assert ["moves-20261001-20261005.parquet"] == sorted(p.name for p in folder.glob("moves*"))
    assert 10 == rows_of(house, "moves")


def test_a_merge_killed_before_it_tidied_up_counts_nothing_twice(house, monkeypatch):
    october(house)
    house.clock.at = MONDAY
    with monkeypatch.context() as killing:
        killing.setattr(
            Path, "unlink", lambda self, missing_ok=False: (_ for _ in ()).throw(KeyboardInterrupt)
        )
        with pytest.raises(KeyboardInterrupt):
            house.do("analyst", analytics.export)
    assert 6 == len(list((house.folder / "analytics").glob("moves*")))
    assert 10 == rows_of(house, "moves")
    assert 1 == len(list((house.folder / "analytics").glob("moves*")))


def test_a_wrong_key_is_refused_and_so_is_a_renamed_part(house):
    three_studies(house)
    house.do("analyst", analytics.export)
    [part] = (house.folder / "analytics").glob("moves*")
    with pytest.raises(Unfit, match="cannot be opened"):
        sealed.open_part(part, b"k" * 32)
    renamed = part.rename(part.with_name("moves-20261001-20261031.parquet"))
    with pytest.raises(Unfit, match="cannot be opened"):
        sealed.open_part(renamed, house.house.keys["analytics"])
    with pytest.raises(Unfit), house.does("manager") as work:
        analytics.insight(work, NOVEMBER)


def test_the_parts_are_for_nobody_elses_eyes(house):
    three_studies(house)
    house.do("analyst", analytics.export)
    folder = house.folder / "analytics"
    assert {0o600} == {p.stat().st_mode & 0o777 for p in folder.iterdir()}
    assert 0o700 == folder.stat().st_mode & 0o777


# The analysts' database reaches nothing ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "question",
    [
        "from read_csv('/etc/passwd')",
        "copy (select 1) to '{}/out.csv'",
        "attach '{}/other.db'",
        "set enable_external_access = true",
        "install httpfs",
        "load httpfs",
    ],
)
def test_a_question_reaches_no_file_no_network_and_no_setting(tmp_path, question):
    with analytics.open_analytics({"moves": analytics.SOURCES["moves"].schema.empty_table()}) as data:
        with pytest.raises(duckdb.Error):
            data.sql(question.format(tmp_path))
    assert [] == list(tmp_path.iterdir())


def test_a_question_does_not_see_the_variables_of_the_program(house):
    hidden = pa.table({"name": ["Ndlovu-Geheim"]})
    with analytics.open_analytics({}) as data, pytest.raises(duckdb.Error):
        data.sql("from hidden")
    assert 1 == len(hidden)


def test_an_empty_practice_has_empty_figures(either_house):
    figures = either_house.do("manager", analytics.insight, NOVEMBER)
    assert (None, (), (), ()) == (figures.report, figures.stages, figures.volumes, figures.claims)
    assert {0} == {s.n for s in figures.backlog}


def test_opening_the_data_is_on_record_and_drawing_figures_is_not(house):
    before = ask(house, lambda data: data.rows("select count(*) from audit where act = 'analyse'"))
    house.do("manager", analytics.insight, NOVEMBER)
    after = ask(house, lambda data: data.rows("select count(*) from audit where act = 'analyse'"))
    assert [(0,), (1,)] == before + after


def test_a_period_that_ends_before_it_begins_is_refused(house):
    with pytest.raises(Refused, match="ends before it begins"):
        house.do("manager", analytics.insight, Period(date(2026, 2, 1), date(2026, 1, 1)))


def test_others_are_denied(house):
    with pytest.raises(Denied):
        house.do("billing", analytics.open_for_analysis)
