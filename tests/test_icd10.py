"""The national ICD-10 table and the rules of a claim's codes, walked row by row."""

import gzip
import io
from datetime import date, datetime
from pathlib import Path

import openpyxl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.rules import icd10

STARTER_FILE = Path(__file__).parents[1] / "data" / "icd10_starter.csv"
STARTER = icd10.parse_official(STARTER_FILE.read_bytes())
BY_CODE = {code.code: code for code in STARTER.codes}
DAY = date(2026, 1, 5)


def problems(*codes, lookup=BY_CODE.get, **more):
    return icd10.check_codes(codes, lookup=lookup, **({"service_on": DAY} | more))


def ids(*codes, **more):
    return [problem.code for problem in problems(*codes, **more)]


@pytest.fixture(scope="module")
def national(reference_data):
    """The official table, which the project may not ship."""
    return icd10.parse_official((reference_data / "sa_icd10_mit_2021.csv.gz").read_bytes())


# --- the starter set -----------------------------------------------------------------------------------


def test_every_row_of_the_starter_set_is_taken():
    assert STARTER.refused == ()
    assert 100 <= len(STARTER.codes) <= 150


def test_the_starter_set_agrees_with_the_national_table(national):
    table = {code.code: code for code in national.codes}
    facts = ("chapter", "clinical", "primary", "asterisk", "dagger", "sequelae", "ages", "sex")
    facts += ("valid_from", "valid_until")
    for code in STARTER.codes:
        official = table[code.code]
        assert [getattr(official, fact) for fact in facts] == [getattr(code, fact) for fact in facts], (
            code.code
        )


def test_the_starter_set_holds_what_the_radiology_guidance_names():
    for code in ("Z01.6", "Z03.9", "Z12.3", "Z76.9", "R51", "W19.99", "X59.99", "M54.56", "T08.X0", "U98.0"):
        assert BY_CODE[code].clinical, code


# --- the national table --------------------------------------------------------------------------------


def test_the_national_table_has_the_counts_that_were_published(national):
    codes = national.codes
    assert national.refused == ()
    assert len(codes) == 41_008
    assert sum(c.clinical for c in codes) == 35_481
    assert sum(c.primary for c in codes) == 11_857
    assert [sum(getattr(c, flag) for c in codes) for flag in ("asterisk", "dagger", "sequelae")] == [
        816,
        104,
        108,
    ]
    assert [sum(c.sex == sex for c in codes) for sex in "FM"] == [945, 135]
    assert [sum(c.ages == ages for c in codes) for ages in (">19", "<=19", "<=1")] == [117, 11, 3]
    assert sum(c.clinical and not c.valid_on(DAY) for c in codes) == 136


def test_no_external_cause_is_primary_and_every_usable_code_is_well_shaped(national):
    assert not any(c.primary for c in national.codes if icd10.is_external_cause(c.code))
    assert [c.code for c in national.codes if icd10.shape_problem(c.code)] == []


def test_every_primary_code_that_is_no_injury_may_stand_alone_on_a_line(national):
    table = {code.code: code for code in national.codes}
    for code in national.codes:
        if code.primary and code.valid_on(DAY) and not icd10.is_injury(code.code) and code.code[:3] != "U98":
            assert ids(code.code, lookup=table.get) == [], code.code


def test_every_injury_may_stand_before_an_unspecified_cause(national):
    table = {code.code: code for code in national.codes}
    for code in national.codes:
        if code.primary and code.valid_on(DAY) and icd10.is_injury(code.code):
            assert ids(code.code, "X59.99", lookup=table.get) == [], code.code


# --- reading files -------------------------------------------------------------------------------------

OFFICIAL = [
    "Number",
    "Chapter_No",
    "Chapter_Desc",
    "Group_Code",
    "Group_Desc",
    "ICD10_3_Code",
    "ICD10_3_Code_Desc",
    "ICD10_Code",
    "WHO_Full_Desc",
    "Valid_ICD10_ClinicalUse",
    "Valid_ICD10_Primary",
    "Valid_ICD10_Asterisk",
    "Valid_ICD10_Dagger",
    "Valid_ICD10_Sequelae",
    "Age_Range",
    "Gender",
    "Status",
    "WHO_Start_date",
    "WHO_End_date",
    "WHO_Revision_History",
    "SA_Start_Date",
    "SA_End_Date",
    "SA_Revision_History",
    "Comment",
]


def workbook(*rows):
    book = openpyxl.Workbook()
    layout = book.active
    layout.title = "MIT File Lay-out"
    for name in OFFICIAL:
        layout.append([name, "what the column means"])
    table = book.create_sheet("SA ICD-10 MIT")
    table.append(OFFICIAL)
    for row in rows:
        table.append([row.get(name) for name in OFFICIAL])
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


def official_row(code, description="Something", flags="YYNNN", **more):
    row = {"Number": 1, "Chapter_No": "CHAPTER X", "ICD10_Code": code, "WHO_Full_Desc": description}
    return row | dict(zip(OFFICIAL[9:14], flags, strict=True)) | more


def test_the_official_workbook_is_read_with_its_lower_case_flag_its_datetimes_and_its_glued_age_range():
    table = icd10.parse_official(
        workbook(
            official_row("J18.9", flags="YYNnN"),
            official_row(
                "J20.9",
                Age_Range="≤19 years",
                Gender="F",
                Status="D",
                SA_Start_Date=datetime(2007, 9, 1),
                SA_End_Date=datetime(2013, 5, 31),
            ),
            official_row("M8500/3", flags="YNNNN", Chapter_No="Morphology"),
        )
    )
    assert table.refused == ()
    assert table.codes == (
        icd10.Code("J18.9", "Something", "X", True, True),
        icd10.Code(
            "J20.9",
            "Something",
            "X",
            True,
            True,
            ages="<=19",
            sex="F",
            status="D",
            valid_from=date(2007, 9, 1),
            valid_until=date(2013, 5, 31),
        ),
        icd10.Code("M8500/3", "Something", "M", True, False),
    )


def test_bad_rows_are_named_by_line_and_reason_and_the_good_ones_stay():
    table = icd10.parse_official(
        workbook(
            official_row("J18.9"),
            official_row("J18.9"),
            official_row("189"),
            official_row("J18.0", description=""),
            official_row("J18.1", flags="YQNNN"),
            official_row("J18.2", Age_Range="teenagers"),
            official_row("J18.8", SA_End_Date="some day"),
            official_row("J20.0", flags="NYNNN"),
            official_row("J20.1", Gender="X"),
            official_row("J20.2"),
        )
    )
    assert [code.code for code in table.codes] == ["J18.9", "J20.2"]
    assert [(row.line, row.code) for row in table.refused] == [
        (3, "J18.9"),
        (4, "189"),
        (5, "J18.0"),
        (6, "J18.1"),
        (7, "J18.2"),
        (8, "J18.8"),
        (9, "J20.0"),
        (10, "J20.1"),
    ]
    assert all(row.reason.endswith(".") for row in table.refused)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "first line must name the columns"),
        (b"hello,world\r\n1,2\r\n", "first line must name the columns"),
        (b"\xff\xfe\x00\x01", "neither an Excel workbook nor"),
        (b"\x1f\x8b\x08\x00broken", "gzip file is damaged"),
        (b"PK\x03\x04broken", "workbook is damaged"),
        (gzip.compress(STARTER_FILE.read_bytes())[:-20], "gzip file is damaged"),
        (
            STARTER_FILE.read_bytes().replace(b"R51,Headache", b'R51,"Headache'),
            "breaks off",
        ),
    ],
)
def test_a_file_that_is_no_table_is_refused_in_one_sentence(content, words):
    with pytest.raises(ValueError, match=words):
        icd10.parse_official(content)


def test_a_gzip_bomb_is_refused_before_it_fills_the_memory(monkeypatch):
    monkeypatch.setattr(icd10, "LARGEST_UNPACKED_BYTES", 1000)
    with pytest.raises(ValueError, match="unpacks to more"):
        icd10.parse_official(gzip.compress(b"0" * 100_000))


# --- the shape of a code -------------------------------------------------------------------------------


@pytest.mark.parametrize("code", ["R51", "J18.9", "S52.50", "M45.X9", "T08.X0", "V98.X9", "M8500/3", "U07.1"])
def test_a_well_shaped_code_passes(code):
    assert icd10.shape_problem(code) is None


@pytest.mark.parametrize(
    ("typed", "why", "meant"),
    [
        ("", "empty", ""),
        ("R51.", "no dot", "R51"),
        ("S5250", "dot", "S52.50"),
        ("M45X9", "dot", "M45.X9"),
        ("S52 50", "space", "S52.50"),
        ("S52-50", "hyphen", "S52.50"),
        ("R1O.4", "letter O", "R10.4"),
        ("R5L", "digit 1", "R51"),
        ("RI0.4", "digit 1", "R10.4"),
        ("051", "begin with a letter", "O51"),
        ("R51.X9", "X belongs only", ""),
        ("S52.501", "not an ICD-10 code", ""),
        ("headache", "not an ICD-10 code", ""),
    ],
)
def test_an_ill_shaped_code_says_why_and_offers_what_was_meant(typed, why, meant):
    problem = icd10.shape_problem(icd10.tidy(typed))
    assert why in problem.sentence
    assert problem.sentence.endswith(f"Did you mean {meant}?" if meant else ".")


def test_lower_case_and_printed_signs_are_forgiven():
    assert [icd10.tidy(typed) for typed in (" r51", "m45.x9", "E10.2+", "N08.3*", "A18.0†")] == [
        "R51",
        "M45.X9",
        "E10.2",
        "N08.3",
        "A18.0",
    ]


@given(st.text(max_size=9))
def test_nothing_that_can_be_typed_breaks_the_checks(typed):
    problems(icd10.tidy(typed), typed)
    guess = icd10.suggestion(typed)
    assert guess == "" or icd10.shape_problem(guess) is None


# --- the rules, one row each ---------------------------------------------------------------------------

ELEVEN = ("R51", "R05", "R42", "R55", "R31", "R91", "J90", "I10", "N23", "N63", "G35")

RULES = [
    # rule, codes, problems expected, and whether they stop the claim
    (1, ("R99.9",), ["CR0001"], True),
    (1, ("S52.5", "W19.99"), ["CR0011"], True),
    (2, ("R5I",), ["CR0002"], True),
    (3, (), ["CR0031"], True),
    (3, ELEVEN, ["CR0031"], True),
    (3, ELEVEN[:10], [], False),
    (4, ("B95.3", "J18.9"), ["GSN0002"], True),
    (4, ("J18.9", "B95.3"), [], False),
    (5, ("S52.50",), ["GSN0006"], True),
    (5, ("S52.50", "W19.99"), [], False),
    (5, ("R51", "W19.99", "S52.50"), ["GSN0006"], True),
    (5, ("S52.50", "S93.4", "R51", "X59.99"), [], False),
    (6, ("W19.99",), ["GSN0006"], True),
    (6, ("W19.99", "S52.50"), ["GSN0006", "GSN0006"], True),
    (6, ("R51", "Y42.0"), ["ECC_ALONE"], False),
    (7, ("N08.3", "E10.2"), ["GSN0016"], True),
    (7, ("E10.2", "N08.3"), [], False),
    (7, ("E11.9", "N08.3"), [], False),  # the dagger code is not flagged as one
    (7, ("M51.1", "G55.1", "N08.3"), [], False),
    (7, ("N08.3", "G55.1"), ["GSN0016", "GSN0016"], True),
    (8, ("B90.9",), ["GSN0015"], True),
    (8, ("J44.9", "B90.9"), [], False),
    (8, ("M25.53", "T92.1"), ["GSN0015"], True),
    (8, ("M25.53", "T92.1", "Y86"), [], False),
    (8, ("T92.1", "Y86"), ["GSN0015"], True),
    (8, ("M25.53", "Y86"), ["GSN0015"], True),
    (10, ("C50.9", "M8500/3"), ["MORPHOLOGY"], False),
    (10, ("M8500/3",), ["GSN0002", "MORPHOLOGY"], True),
    (11, ("U98.0",), ["CR0023"], False),
    (15, ("R51", "R51"), ["TWICE"], False),
]


@pytest.mark.parametrize(("rule", "codes", "expected", "stops"), RULES)
def test_each_rule_of_the_sheet(rule, codes, expected, stops):
    found = problems(*codes)
    assert [p.code for p in found] == expected
    assert any(p.stop for p in found) == stops


def test_rule_1_a_code_counts_only_between_its_days():
    row = icd10.Code(
        "R51", "x", "XVIII", True, True, valid_from=date(2014, 7, 1), valid_until=date(2026, 1, 5)
    )
    for day, expected in [
        (date(2014, 6, 30), ["CR0026"]),
        (date(2014, 7, 1), []),
        (date(2026, 1, 5), []),
        (date(2026, 1, 6), ["CR0026"]),
    ]:
        assert ids("R51", lookup={"R51": row}.get, service_on=day) == expected


def test_rule_3_a_modifier_line_carries_no_codes_except_on_0017():
    assert ids("R51", line_kind="modifier", tariff="00093") == ["CR0035"]
    assert ids("R51", line_kind="modifier", tariff="0017") == []
    assert ids(line_kind="modifier", tariff="00093") == []


def test_rule_3_the_referrer_need_not_give_a_code_but_an_item_line_must():
    assert ids(line_kind="referral") == []
    assert ids(line_kind="item") == ["CR0031"]


def test_rule_9_codes_of_one_sex_only_fit_that_sex_when_it_is_known():
    assert ids("N40", patient_sex="F") == ["CR0019"]
    assert ids("O20.0", patient_sex="M") == ["CR0019"]
    assert ids("N40", patient_sex="M") == []
    assert ids("N40", patient_sex="U") == []


@pytest.mark.parametrize(
    ("ages", "years_that_fit"),
    [(">19", [20, 45]), ("<=19", [0, 1, 19]), ("<=1", [0, 1]), ("", [0, 1, 19, 20, 45])],
)
def test_rule_9_ages_are_completed_years_on_the_day_of_service(ages, years_that_fit):
    row = icd10.Code("R51", "x", "XVIII", True, True, ages=ages)
    for years in (0, 1, 19, 20, 45):
        born = date(DAY.year - years, DAY.month, DAY.day)
        expected = [] if years in years_that_fit else ["CR0020"]
        assert ids("R51", lookup={"R51": row}.get, patient_birth_on=born) == expected


def test_every_problem_is_told_at_once():
    assert set(ids("N08.3", "S52.50", "O20.0", "R5I", "R99.9", "U98.0", patient_sex="M")) == {
        "GSN0016",
        "GSN0006",
        "CR0019",
        "CR0002",
        "CR0001",
        "CR0023",
    }


def test_an_unknown_code_is_put_down_to_the_starter_set_while_only_that_is_loaded():
    (problem,) = problems("K57.9", starter=True)
    assert "starter set" in problem.sentence
    assert problem.stop


def test_each_problem_points_at_its_code():
    assert [p.field for p in problems("R51", "R99.9", "S52.50")] == ["icd10.1", "icd10.2"]


# --- searching -----------------------------------------------------------------------------------------


def test_search_finds_by_the_beginning_of_a_code_with_or_without_its_dot():
    assert [c.code for c in icd10.search(STARTER.codes, "s52.5")] == ["S52.5", "S52.50", "S52.51"]
    assert [c.code for c in icd10.search(STARTER.codes, "s5250")] == ["S52.50"]


def test_search_finds_by_words_in_any_order_and_puts_usable_codes_first():
    assert [c.code for c in icd10.search(STARTER.codes, "radius frac")] == ["S52.51", "S52.50", "S52.5"]


def test_search_of_nothing_finds_nothing():
    assert icd10.search(STARTER.codes, "  ") == ()
    assert icd10.search(STARTER.codes, ".") == ()


def test_a_search_result_shows_its_dagger_or_asterisk():
    assert (BY_CODE["N08.3"].mark, BY_CODE["E10.2"].mark, BY_CODE["R51"].mark) == ("*", "†", "")
