"""Patients: registered with every problem told at once, found however their name is typed, and never twice."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime

import pytest

from core import health, patients, people, privacy, workflow
from core.errors import Missing, Refused, Stale
from core.patients import Particulars
from tests.fixtures.house import THANDO, TestHouse, book_thando

# Valid by its check digit, and nobody's: born 01/01/1980, female.
SA_ID = "8001010009082"


def register(test: TestHouse, **changes: object):
    return test.do("reception", patients.register, replace(THANDO, **changes))


def problems(test: TestHouse, **changes: object) -> list[str]:
    with pytest.raises(Refused) as refused:
        register(test, **changes)
    return [p.code for p in refused.value.problems]


def found(test: TestHouse, search: str) -> list[str]:
    return [p.particulars.family_name for p in test.do("reception", patients.find, search=search)[0]]


def test_a_patient_is_kept_as_typed_with_a_file_number_of_this_site(either_house):
    card = either_house.do("reception", patients.open_patient, register(either_house))
    assert ("010000001", THANDO) == (card.file_number, card.particulars)
    assert "Thandô Nkosi-Müller" == card.name


def test_file_numbers_have_no_gap_where_somebody_was_refused(either_house):
    register(either_house)
    assert ["no-family-name"] == problems(either_house, family_name=" ")
    second = register(either_house, family_name="Botha")
    assert "010000002" == either_house.do("reception", patients.open_patient, second).file_number


def test_a_south_african_id_is_kept_without_its_blanks(house):
    card = house.do(
        "reception",
        patients.open_patient,
        register(house, identity_kind="sa-id", identity_number="800101 0009 082"),
    )
    assert SA_ID == card.particulars.identity_number


@pytest.mark.parametrize(
    ("number", "code"),
    [
        ("8001010009083", "identity-invalid"),
        ("80010100090", "identity-invalid"),
        ("8013010009087", "identity-invalid"),
        ("ABCDEFGHIJKLM", "identity-invalid"),
        ("", "identity-empty"),
        (None, "identity-empty"),
        ("  ", "identity-empty"),
    ],
)
def test_a_wrong_south_african_id_is_refused(house, number, code):
    assert [code] == problems(house, identity_kind="sa-id", identity_number=number)


def test_an_id_of_another_day_is_refused(house):
    assert ["identity-birth"] == problems(
        house, identity_kind="sa-id", identity_number=SA_ID, born_on=date(1980, 1, 2)
    )


def test_an_id_that_suggests_the_other_sex_is_a_prompt_and_no_bar(house):
    assert register(house, identity_kind="sa-id", identity_number=SA_ID, sex="M")
    warned = patients.check(replace(THANDO, identity_kind="sa-id", identity_number=SA_ID, sex="M"))
    assert [("identity-sex", False)] == [(p.code, p.stop) for p in warned]


def test_a_passport_is_kept_in_capitals_and_none_keeps_no_number(house):
    passport = register(house, identity_kind="passport", identity_number=" a1234567 ")
    nothing = register(house, identity_kind="none", identity_number="stray")
    numbers = [
        house.do("reception", patients.open_patient, p).particulars.identity_number
        for p in (passport, nothing)
    ]
    assert ["A1234567", None] == numbers


def test_one_number_has_one_file(either_house):
    register(either_house, identity_kind="sa-id", identity_number=SA_ID)
    with pytest.raises(Refused) as refused:
        register(either_house, identity_kind="sa-id", identity_number="800101 0009 082")
    assert [("already-registered", "This number belongs to file 010000001 already.")] == [
        (p.code, p.sentence) for p in refused.value.problems
    ]


def test_one_number_registered_twice_at_the_same_moment_has_one_file(either_house):
    gate = threading.Barrier(4)

    def run(_: int) -> str:
        gate.wait()
        try:
            register(either_house, identity_kind="sa-id", identity_number=SA_ID)
            return "registered"
        except Refused as refused:
            return refused.problems[0].code

    with ThreadPoolExecutor(4) as threads:
        assert ["already-registered"] * 3 + ["registered"] == sorted(threads.map(run, range(4)))


def test_every_problem_is_told_at_once(house):
    codes = problems(
        house,
        family_name="",
        given_names=" ",
        sex="X",
        email="nobody",
        scheme_code="1125",
        membership_number="",
        identity_kind="sa-id",
        identity_number="1",
        phone="0" * 31,
        born_on=date(2027, 1, 1),
    )
    assert [
        "too-long",
        "no-family-name",
        "no-given-names",
        "no-sex",
        "no-membership",
        "email",
        "identity-invalid",
        "born-tomorrow",
    ] == codes


@pytest.mark.parametrize(
    "bad", ["Nko\x00si", "Nko\nsi", "Nko\x7fsi", "Nkosi\u202e", "Nko\u2028si", "Nko\u200bsi"]
)
def test_characters_that_cannot_be_printed_are_refused_by_field(either_house, bad):
    with pytest.raises(Refused) as refused:
        register(either_house, family_name=bad)
    assert [("control-characters", "family_name")] == [(p.code, p.field) for p in refused.value.problems]


def test_a_name_longer_than_dicom_has_room_for_is_refused(house):
    assert ["name-too-long"] == problems(house, family_name="N" * 40, given_names="T" * 40)


def test_a_child_born_after_midnight_here_is_not_born_tomorrow(house):
    house.clock.at = datetime(2026, 11, 24, 22, 30, tzinfo=UTC)  # 00:30 on the 25th in South Africa
    assert register(house, born_on=date(2026, 11, 25))
    assert ["born-tomorrow"] == problems(house, born_on=date(2026, 11, 26))


def test_nobody_is_a_hundred_and_forty(house):
    assert ["born-long-ago"] == problems(house, born_on=date(1886, 1, 1))


def test_a_name_typed_in_parts_is_kept_in_one_spelling(house):
    card = house.do(
        "reception",
        patients.open_patient,
        register(house, family_name="  Nkosi-Mu\u0308ller ", given_names="Thando\u0302 \u00a0  Zanele"),
    )
    assert ("Nkosi-Müller", "Thandô Zanele") == (card.particulars.family_name, card.particulars.given_names)


@pytest.mark.parametrize(
    ("family", "search"),
    [
        ("Nkosi-Müller", "muller"),
        ("Nkosi-Müller", "NKOSI"),
        ("Nkosi-Müller", "thando nkosi"),
        ("Nkosi-Müller", "Müller Thandô"),
        ("Nkosi-Müller", "Mu\u0308ller"),
        ("van der Merwe", "van der merwe"),
        ("van der Merwe", "merwe van"),
        ("O’Brien", "o'brien"),
        ("O'Brien", "obrien"),
        ("N'wamba", "nwamba"),
        ("Ḓuvha", "duvha"),
        ("Sørensen", "sorensen"),
        ("Großmann", "grossmann"),
        ("Botha", "0825550101"),
        ("Botha", "082 555"),
        ("Botha", "0100000"),
    ],
)
def test_a_patient_is_found_however_the_name_is_typed(either_house, family, search):
    register(either_house, family_name=family)
    assert [family] == found(either_house, search)


@pytest.mark.parametrize("search", ["%", "_", "Mul_er", "\\", "'; drop table patient; --", "bothaa"])
def test_signs_of_the_query_language_find_nothing(either_house, search):
    register(either_house)
    assert [] == found(either_house, search)


def test_the_list_comes_in_pages_and_a_page_before_the_first_is_the_first(either_house):
    for name in ("Adams", "Botha", "Cele"):
        register(either_house, family_name=name)
    cards, total = either_house.do("reception", patients.find, page=2, size=2)
    assert (["Cele"], 3) == ([c.particulars.family_name for c in cards], total)
    cards, _ = either_house.do("reception", patients.find, page=0, size=1)
    assert ["Adams"] == [c.particulars.family_name for c in cards]


def test_a_correction_is_found_by_its_new_words_and_the_entry_names_what_changed(either_house):
    from core import privacy

    patient = register(either_house)
    card = either_house.do("reception", patients.open_patient, patient)
    changed = replace(card.particulars, family_name="Dlamini", phone="031 555 0000")
    either_house.do("reception", patients.correct, patient, changed, version=card.version)
    assert ([], ["Dlamini"]) == (found(either_house, "muller"), found(either_house, "dlamini 0315550000"))
    entry = next(e for e in either_house.do("admin", privacy.entries) if "changed" in e.facts)
    assert ["family_name", "phone"] == entry.facts["changed"]


def test_a_correction_of_what_was_corrected_meanwhile_is_refused(either_house):
    patient = register(either_house)
    card = either_house.do("reception", patients.open_patient, patient)
    either_house.do("reception", patients.correct, patient, replace(THANDO, phone="1"), version=card.version)
    with pytest.raises(Stale):
        either_house.do(
            "reception", patients.correct, patient, replace(THANDO, phone="2"), version=card.version
        )


def test_a_correction_may_keep_the_number_it_has(either_house):
    patient = register(either_house, identity_kind="sa-id", identity_number=SA_ID)
    card = either_house.do("reception", patients.open_patient, patient)
    either_house.do(
        "reception", patients.correct, patient, replace(card.particulars, phone="1"), version=card.version
    )


def test_consent_is_a_history_and_the_newest_answer_counts(either_house):
    patient = register(either_house)
    for given in (True, False):
        either_house.do(
            "reception", patients.record_consent, patient, purpose="share", given=given, how="verbal"
        )
        either_house.clock.pass_(minutes=1)
    card = either_house.do("reception", patients.open_patient, patient)
    assert (False, None) == (card.consented("share"), card.consented("claim"))
    assert [False, True] == [c.given for c in card.consents]


def test_a_withdrawal_counts_also_after_the_clock_was_put_back(either_house):
    patient = register(either_house)
    for given in (True, False):
        either_house.do(
            "reception", patients.record_consent, patient, purpose="share", given=given, how="verbal"
        )
        either_house.clock.pass_(hours=-2)
    card = either_house.do("reception", patients.open_patient, patient)
    assert card.consented("share") is False


@pytest.mark.parametrize(
    "pasted", ["a " * 20_000, "a" * 100_000, "\0", "\ud800", "'; drop table patient; --"]
)
def test_a_search_for_whatever_was_pasted_is_answered(either_house, pasted):
    register(either_house)
    for role, verb in (
        ("reception", patients.find),
        ("reception", patients.referrers),
        ("admin", people.people),
    ):
        either_house.do(role, verb, search=pasted)
    either_house.do("reception", workflow.board, workflow.Filters(search=pasted))
    assert ["Nkosi-Müller"] == found(either_house, "thando")


@pytest.mark.parametrize(
    ("purpose", "how", "note"), [("x", "signed", ""), ("claim", "x", ""), ("claim", "signed", "x" * 1001)]
)
def test_a_consent_for_nothing_known_is_refused(house, purpose, how, note):
    patient = register(house)
    with pytest.raises(Refused):
        house.do(
            "reception", patients.record_consent, patient, purpose=purpose, given=True, how=how, note=note
        )


def test_consent_of_nobody_is_missing(house):
    with pytest.raises(Missing):
        house.do(
            "reception",
            patients.record_consent,
            house.house.new_id(),
            purpose="claim",
            given=True,
            how="signed",
        )


@pytest.mark.parametrize("number", ["12345", "0123457", "²²²²²²²", "12345678", "abcdefg"])
def test_a_referrer_needs_a_name_and_a_practice_number_of_digits(house, number):
    with pytest.raises(Refused) as refused:
        house.do("reception", patients.add_referrer, name=" ", practice_number=number, email="x")
    assert ["no-name", "practice-number", "email"] == [p.code for p in refused.value.problems]


def test_a_referrer_is_found_by_name_or_number(either_house):
    either_house.do(
        "reception", patients.add_referrer, name="Dr Amahle van der Merwe", practice_number="0140000123457"
    )
    for search in ("MERWE", "01400", ""):
        assert 1 == len(either_house.do("reception", patients.referrers, search=search))


def test_particulars_hold_nothing_a_patient_row_does_not():
    assert {f for f in Particulars.__dataclass_fields__} <= set(patients.Patient.__table__.columns.keys())


def test_a_character_that_no_database_takes_is_refused_in_a_sentence_wherever_it_is_typed(either_house):
    patient, _ = book_thando(either_house)
    with pytest.raises(Refused, match="note holds a character"):
        either_house.do(
            "reception",
            patients.record_consent,
            patient,
            purpose="claim",
            given=True,
            how="signed",
            note="by\0post",
        )
    with pytest.raises(Refused, match="holds a character"):
        either_house.do(
            "reception",
            patients.record_consent,
            patient,
            purpose="claim",
            given=True,
            how="signed",
            note="by\ud800post",
        )
    assert {""} == {c.note for c in either_house.do("reception", patients.open_patient, patient).consents}


def test_what_a_machine_wrote_is_kept_without_what_no_database_takes(either_house):
    either_house.do("system", health.beat, "worker", trouble="4 images\0 in")
    assert ["4 images in"] == [b.trouble for b in either_house.do("admin", health.beats)]


def test_a_page_number_beyond_every_list_shows_an_empty_page(either_house):
    book_thando(either_house)
    assert ((), 1) == either_house.do("reception", patients.find, page=10**30)
    assert () == either_house.do("reception", workflow.board, page=10**30).rows
    assert () == either_house.do("admin", people.people, page=10**30)[0]
    assert 1 == len(either_house.do("reception", patients.find, page=-(10**30))[0])


def test_a_referring_doctor_is_corrected_and_claims_read_the_new_number(either_house):
    doctor = either_house.do("reception", patients.add_referrer, name="Dr Amahle Nkosi")
    (card,) = either_house.do("reception", patients.referrers)
    right = {
        "name": " Dr Amahle Nkosi ",
        "practice_number": "0140000123457",
        "phone": "011 555 0100",
        "email": "",
    }
    with pytest.raises(Refused) as refused:
        either_house.do(
            "reception",
            patients.correct_referrer,
            doctor,
            **right | {"practice_number": "0123457"},
            version=card.version,
        )
    assert ["practice_number"] == [p.field for p in refused.value.problems]
    either_house.do("reception", patients.correct_referrer, doctor, **right, version=card.version)
    (mended,) = either_house.do("reception", patients.referrers)
    assert ("Dr Amahle Nkosi", "0140000123457", "011 555 0100") == (
        mended.name,
        mended.practice_number,
        mended.phone,
    )
    with pytest.raises(Stale):
        either_house.do("reception", patients.correct_referrer, doctor, **right, version=card.version)
    entry = either_house.do("admin", privacy.entries)[0]
    assert ("referrer", str(doctor)) == (entry.subject_kind, entry.subject_id)
