"""Sheets of staff: what each row would do, why a row is refused, and the logins that may stand in one."""

import io
import unicodedata
from dataclasses import replace
from datetime import date

import openpyxl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import Refused
from core.rules import people_sheet
from core.rules.logins import fold_login, problem_of, unseen_in
from core.rules.people_sheet import Change, Known, Row
from core.rules.roles import STAFF, Role

TODAY = date(2026, 1, 5)
SIPHO = Known("sipho", "Sipho Dlamini", ("billing",), "", "", "sipho@practice.example", ("01",), "site")


def row(line=2, **cells):
    return Row(line, {"login": "thandi", "name": "Thandi Nkosi", "roles": "reception"} | cells)


def plan(*rows, existing=(), **more):
    return people_sheet.plan(rows, {one.login: one for one in existing}, today=TODAY, **more)


def codes(**cells):
    (planned,) = plan(row(**cells))
    return [problem.code for problem in planned.problems]


def read(text, name="staff.csv"):
    return people_sheet.read_sheet(text.encode(), name=name)


# --- logins ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("typed", "folded"),
    [
        ("Sipho", "sipho"),
        (" SIPHO ", "sipho"),
        ("ｓｉｐｈｏ", "sipho"),
        ("\u00a0sipho\u3000", "sipho"),
        ("t.nkosi-dube_2", "t.nkosi-dube_2"),
        ("STRASSE", "strasse"),
        ("straße", "strasse"),
        ("a", "a"),
        ("9" * 64, "9" * 64),
    ],
)
def test_spellings_of_one_login_are_one_login(typed, folded):
    assert (folded, None) == (fold_login(typed), problem_of(typed))


@settings(deadline=None)
@given(st.text(max_size=30))
def test_folding_twice_changes_nothing_and_what_passes_is_plain_ascii(typed):
    folded = fold_login(typed)
    assert folded == fold_login(folded)
    if problem_of(typed) is None:
        assert folded.isascii() and folded.isprintable() and folded == folded.lower()


LOOK_ALIKES = {
    "аdmin": "Cyrillic", "аdmіn": "Cyrillic", "sіpho": "Cyrillic", "siphо": "Cyrillic", "ѕipho": "Cyrillic",
    "siрho": "Cyrillic", "αdmin": "Greek", "adμin": "Greek", "siphο": "Greek", "ⲥipho": "Coptic", "siphօ": "Armenian",
    "ꓢipho": "Lisu", "Ꮪipho": "Cherokee", "ﻫadmin": "Arabic", "админ": "Cyrillic",
}  # fmt: skip


@pytest.mark.parametrize(("typed", "script"), LOOK_ALIKES.items())
def test_a_letter_of_another_script_is_refused_by_its_name(typed, script):
    problem = problem_of(typed)
    assert "login-script" == problem.code
    assert script in problem.sentence


UNSEEN = {
    "\u200b": "ZERO WIDTH SPACE", "\u200c": "ZERO WIDTH NON-JOINER", "\u200d": "ZERO WIDTH JOINER", "\u2060": "WORD JOINER",
    "\ufeff": "ZERO WIDTH NO-BREAK SPACE", "\u00ad": "SOFT HYPHEN", "\u202e": "RIGHT-TO-LEFT OVERRIDE",
    "\u202a": "LEFT-TO-RIGHT EMBEDDING", "\u2066": "LEFT-TO-RIGHT ISOLATE", "\u200f": "RIGHT-TO-LEFT MARK",
    "\u061c": "ARABIC LETTER MARK", "\u034f": "COMBINING GRAPHEME JOINER", "\u3164": "HANGUL", "\ufe0f": "VARIATION SELECTOR-16",
    "\U000e0041": "TAG LATIN CAPITAL LETTER A", "\0": "control", "\x07": "control", "\x1b": "control", "\x7f": "control",
    "\u2028": "LINE SEPARATOR", "\ud800": "U+D800", "\ue000": "U+E000",
}  # fmt: skip


@pytest.mark.parametrize(("letter", "named"), UNSEEN.items())
def test_a_character_that_nobody_sees_is_refused_by_its_name_in_logins_and_in_names(letter, named):
    problem = problem_of(f"ad{letter}min")
    assert ("login-unseen", True) == (problem.code, named in problem.sentence)
    (planned,) = plan(row(name=f"Thandi{letter}Nkosi"))
    assert ["text-unseen"] == [p.code for p in planned.problems]
    assert named in planned.reasons[0]
    assert "" == unseen_in("".join(planned.reasons))


@pytest.mark.parametrize(
    "typed",
    ["", "  ", ".sipho", "sipho.", "-x", "_x", "si pho", "si\tpho", "a" * 65, "sipho@x", "a/b", "a\\b", "*", "(cn=*)",
     "sipho)(uid=*", "a,b", "=1+1", "+x", "josé", "jos\u0065\u0301", "ıpho", "İpho", "sip'ho", "٣", "x²½", "😀"],
)  # fmt: skip
def test_what_is_no_login_is_refused(typed):
    assert problem_of(typed) is not None
    assert typed == "" or problem_of(typed).sentence.endswith(".")


# --- columns ---------------------------------------------------------------------------------------------


def test_columns_are_found_by_their_names_in_any_case_order_and_common_wording():
    (found,) = read(
        "E-MAIL;pcns no;ROLES ;Full  Name;User name;hpcsa-number;SA ID\na@b.co.za;;admin;N;l;MP1;\n".replace(
            "pcns no", "PCNS number"
        )
    ).rows
    assert {
        "email": "a@b.co.za",
        "practice_number": "",
        "roles": "admin",
        "name": "N",
        "login": "l",
        "registration": "MP1",
        "id_number": "",
    } == found.cells


def test_columns_that_are_not_known_are_told_once_and_left_out():
    sheet = read("login,name,,roles,Shoe size,\na,b,,admin,9,\nc,d,secret,admin,8,\n")
    assert [
        "The column number 3, without a heading, is not known and is left out.",
        "The column 'Shoe size' is not known and is left out.",
    ] == [p.sentence for p in sheet.problems]
    assert {"login": "a", "name": "b", "roles": "admin"} == sheet.rows[0].cells


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("thandi,Thandi Nkosi,admin\n", "lacks: Login, Name, Roles"),
        ("login,name\na,b\n", "lacks: Roles"),
        ("login,name,roles,User name\na,b,admin,c\n", "Two columns say 'Login'"),
        ("login,name,roles\n", "a heading and no rows"),
        ("", "empty"),
    ],
)
def test_a_sheet_that_cannot_be_used_as_a_whole_is_refused(text, words):
    with pytest.raises(Refused, match=words):
        read(text)


@pytest.mark.parametrize("kind", ["csv", "xlsx"])
def test_the_template_is_read_and_its_example_is_never_taken_over(kind):
    sheet = people_sheet.read_sheet(people_sheet.template(kind), name=f"template.{kind}")
    assert ((), set(people_sheet.COLUMNS)) == (sheet.problems, set(sheet.rows[0].cells))
    assert [("refused", ("This is the template's example: delete the row.",))] == [
        (p.what, p.reasons) for p in plan(*sheet.rows)
    ]


def test_the_template_explains_every_column_on_its_second_sheet(tmp_path):
    (tmp_path / "t.xlsx").write_bytes(people_sheet.template("xlsx"))
    book = openpyxl.load_workbook(tmp_path / "t.xlsx")
    assert ["Staff", "Explanation"] == book.sheetnames
    assert [c.heading for c in people_sheet.COLUMNS.values()] == [
        line[0].value for line in book["Explanation"]
    ][1:]


# --- rows ------------------------------------------------------------------------------------------------


def test_rows_are_new_changed_unchanged_or_refused():
    same = row(2, login="SIPHO", name="Sipho Dlamini", roles="Billing", email="sipho@practice.example")
    new, unchanged, changed, refused = plan(
        row(3),
        same,
        replace(same, line=4, cells=dict(same.cells) | {"login": "zama", "roles": "billing; admin"}),
        row(5, login="x y"),
        existing=[SIPHO, replace(SIPHO, login="zama")],
    )
    assert ["new", "unchanged", "changed", "refused"] == [p.what for p in (new, unchanged, changed, refused)]
    assert Known("thandi", "Thandi Nkosi", ("reception",)) == new.wanted
    assert (Change("roles", "Roles", "billing", "admin, billing"),) == changed.changes
    assert [True, False, True, False] == [p.roles_wait for p in (new, unchanged, changed, refused)]
    assert (None, 5) == (refused.wanted, refused.line)


def test_a_column_that_is_absent_leaves_what_is_known_and_an_empty_cell_empties_it():
    cells = {"login": "sipho", "name": "Sipho Dlamini", "roles": "billing"}
    absent, empty = plan(Row(2, cells), existing=[SIPHO]) + plan(
        Row(2, cells | {"email": "", "scope": ""}), existing=[SIPHO]
    )
    assert "unchanged" == absent.what
    assert [("email", "sipho@practice.example", ""), ("scope", "site", "")] == [
        (c.field, c.before, c.after) for c in empty.changes
    ]


def test_every_reason_of_a_row_is_told_at_once():
    (planned,) = plan(
        row(
            login="аdmin",
            name="",
            roles="boss",
            practice_number="123",
            email="x",
            id_number="1",
            sites="Durban",
            scope="everything",
        )
    )
    assert [
        "login-script",
        "no-name",
        "PCNS",
        "email",
        "SA_ID",
        "role-unknown",
        "site-unknown",
        "scope-unknown",
    ] == [p.code for p in planned.problems]
    assert [] == [reason for reason in planned.reasons if not reason.endswith((".", "?"))]


def test_a_login_that_comes_twice_is_refused_the_second_time_by_the_line_of_the_first():
    first, second, third = plan(row(2, login="Sipho"), row(3, login="SIPHO"), row(7, login="ｓipho"))
    assert ["new", "refused", "refused"] == [first.what, second.what, third.what]
    assert ("Row 2 has the login 'sipho' already.",) == second.reasons == third.reasons


@pytest.mark.parametrize(
    "name",
    ["NA", "Null", "None", "Nan", "Ng'ang'a", "O’Brien", "'t Hooft", "Renée Müller-Łukasz", "van der Merwe", "Dr. J. de la Rey",
     "ǃXam ǂKhomani", "Ḓuvha Mulaudzi", "Šárka N̄tuli", "Нкоси Дламини", "李小龍", "Thandi Нкоси", "X Æ A-12"],
)  # fmt: skip
def test_names_of_people_are_taken_as_they_are(name):
    (planned,) = plan(row(name=name))
    assert ("new", ()) == (planned.what, planned.reasons)
    assert planned.wanted.name == unicodedata.normalize("NFC", name)


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("", "no-name"),
        ("  ", "no-name"),
        ("12345", "name-letters"),
        ("Thаndi", "name-script"),
        ("Siphο Dlamini", "name-script"),
        ("=HYPERLINK(1)", "text-formula"),
        ("@Thandi", "text-formula"),
        ("+Thandi", "text-formula"),
        ("－Thandi", "text-formula"),
        ("Thandi\nNkosi", "text-unseen"),
        ("x" * 121, "text-long"),
    ],
)
def test_what_is_no_name_is_refused(name, code):
    assert [code] == codes(name=name)


def test_the_same_name_typed_on_two_keyboards_is_the_same_name():
    known = Known("thandi", "Renée Müller", ("reception",))
    (planned,) = plan(row(name=" Rene\u0301e\u00a0 Mu\u0308ller "), existing=[known])
    assert "unchanged" == planned.what


@pytest.mark.parametrize(
    "typed", ["Admin;Radiologist", "radiologist, admin", "RADIOLOGIST ;; admin,admin", "admin\nradiologist"]
)
def test_roles_are_parted_by_semicolons_or_commas_in_any_order_and_case(typed):
    (planned,) = plan(row(roles=typed))
    assert ("admin", "radiologist") == planned.wanted.roles


@pytest.mark.parametrize("role", list(Role))
def test_only_roles_of_staff_can_be_given(role):
    assert ([] if role in STAFF else ["role-unknown"]) == codes(roles=str(role))


@pytest.mark.parametrize(
    ("roles", "words"),
    [
        ("patient", "at the gateway"),
        ("referrer", "at the gateway"),
        ("radiolgist", "Is it radiologist?"),
        ("system", "admin, manager"),
        ("", "at least one role"),
        ("аdmin", "There is no role"),
    ],
)
def test_a_role_that_cannot_be_given_is_refused_with_a_way_out(roles, words):
    (planned,) = plan(row(roles=roles))
    assert ("refused", True) == (planned.what, words in planned.reasons[0])


@pytest.mark.parametrize(
    ("typed", "code"),
    [
        ("7503305044089", None),
        ("750330 5044 08 9", None),
        ("", None),
        ("7503305044088", "SA_ID"),
        ("A1234567", "SA_ID"),
        ("9.2022E+12", "digits-lost"),
        ("7,50331E+12", "digits-lost"),
        ("101015800085", "zeros-lost"),
    ],
)
def test_id_numbers_are_checked_and_what_excel_did_to_them_is_said(typed, code):
    assert ([code] if code else []) == codes(id_number=typed)


def test_an_id_number_is_handed_on_in_full_and_never_shown_by_accident():
    (planned,) = plan(row(id_number="750330 5044 08 9"))
    assert "7503305044089" == planned.id_number
    assert "7503305044089" not in repr(planned)


def test_an_id_number_that_comes_twice_is_a_warning():
    _, second = plan(row(2, id_number="7503305044089"), row(3, login="t2", id_number="7503305044089"))
    assert ("new", ("Row 2 has the same ID number: is it one person?",)) == (second.what, second.reasons)


@pytest.mark.parametrize(
    ("cells", "code"),
    [
        ({"practice_number": "0380000123456"}, None),
        ({"practice_number": "038 0000 123456"}, None),
        ({"practice_number": "380000123456"}, "zeros-lost"),
        ({"practice_number": "0123456"}, "PCNS"),
        ({"email": "t.nkosi+x@practice.co.za"}, None),
        ({"email": "thandi@рractice.co.za"}, "email"),
        ({"email": "thandi@practice"}, "email"),
        ({"email": "a@b.co.za, c@d.co.za"}, "email"),
        ({"registration": "MP 0123456"}, None),
        ({"registration": "x" * 41}, "text-long"),
        ({"registration": "=1+1"}, "text-formula"),
        ({"sites": "01; k2"}, None),
        ({"sites": "Durban"}, "site-unknown"),
        ({"scope": "Assigned"}, None),
        ({"scope": "link"}, "scope-unknown"),
        ({"scope": "own"}, "scope-unknown"),
    ],
)
def test_the_other_columns_are_checked(cells, code):
    assert ([code] if code else []) == codes(**cells)


@pytest.mark.parametrize("role", ["patient", "referrer"])
def test_the_account_of_a_patient_or_referring_doctor_is_not_made_one_of_staff(role):
    (planned,) = plan(row(), existing=[Known("thandi", "Thandi Nkosi", (role,))])
    assert ("refused", ("The login is that of a patient or a referring doctor.",)) == (
        planned.what,
        planned.reasons,
    )


def test_a_site_that_the_practice_does_not_have_is_refused():
    known, unknown = plan(row(sites="01"), row(3, login="t2", sites="01;02"), sites={"01"})
    assert ["new", "refused"] == [known.what, unknown.what]


def test_a_row_with_a_formula_is_refused_by_its_line():
    book = openpyxl.Workbook()
    for line in (
        ("login", "name", "roles"),
        ("thandi", "Thandi", "admin"),
        ("sipho", '=CONCAT("Sipho")', "admin"),
    ):
        book.active.append(line)
    book.save(out := io.BytesIO())
    first, second = plan(*people_sheet.read_sheet(out.getvalue(), name="staff.xlsx").rows)
    assert [(2, "new"), (3, "refused")] == [(p.line, p.what) for p in (first, second)]
    assert "Cell B3 holds a formula: put its value there as text." == second.reasons[0]


# --- properties ------------------------------------------------------------------------------------------

KNOWN = st.builds(
    Known,
    st.from_regex(r"[a-z0-9]([a-z0-9._-]{0,10}[a-z0-9])?", fullmatch=True).filter(
        lambda login: login != "example.person"
    ),
    st.from_regex(r"[A-ZÉŠ][a-zëô'-]{1,8}( (van )?[A-Z][a-zéü]{1,8}){0,2}", fullmatch=True),
    st.sets(st.sampled_from(STAFF), min_size=1, max_size=3).map(lambda roles: tuple(sorted(roles))),
    st.from_regex(r"(MP[0-9]{7})?", fullmatch=True),
    st.from_regex(r"(038[0-9]{10})?", fullmatch=True),
    st.from_regex(r"([a-z0-9]{1,8}@[a-z]{1,8}\.co\.za)?", fullmatch=True),
    st.sets(st.sampled_from(["01", "02", "K9"])).map(lambda sites: tuple(sorted(sites))),
    st.sampled_from(["", "all", "site", "assigned", "none"]),
)
STAFFS = st.lists(KNOWN, min_size=1, max_size=8, unique_by=lambda one: one.login)


@settings(max_examples=30, deadline=None)
@given(STAFFS, st.sampled_from(["csv", "xlsx"]))
def test_staff_that_are_exported_and_read_again_are_unchanged(staff, kind):
    sheet = people_sheet.read_sheet(people_sheet.write_people(staff, kind=kind), name="staff")
    assert [("unchanged", ())] * len(staff) == [
        (p.what, p.reasons) for p in plan(*sheet.rows, existing=staff)
    ]


MESSY = st.fixed_dictionaries(
    {"login": st.sampled_from(["a", "A ", "b", "ｂ", "c", "аdmin", "", "c\u200b"]), "name": st.sampled_from(["Thandi", " Re\u0301ne\u00a0X ", "", "=1"]),
     "roles": st.sampled_from(["admin", "Admin; BILLING", "boss", "", "patient"])},
    optional={"email": st.sampled_from(["", "a@b.co.za", "x"]), "practice_number": st.sampled_from(["", "038 0000123456"]),
              "sites": st.sampled_from(["", "02,01", "k9"]), "scope": st.sampled_from(["", "SITE", "x"]), "registration": st.sampled_from(["", " MP  1 "])},
)  # fmt: skip


@settings(max_examples=40, deadline=None)
@given(st.lists(MESSY, max_size=8), st.lists(KNOWN, max_size=3))
def test_a_plan_that_was_taken_over_changes_nothing_the_second_time(cells, known):
    existing = {one.login: one for one in known}
    rows = [Row(line, one) for line, one in enumerate(cells, start=2)]
    first = people_sheet.plan(rows, existing, today=TODAY)
    existing |= {p.login: p.wanted for p in first if p.wanted}
    second = people_sheet.plan(rows, existing, today=TODAY)
    assert ["refused" if p.what == "refused" else "unchanged" for p in first] == [p.what for p in second]
    assert [p.reasons for p in first] == [p.reasons for p in second]
