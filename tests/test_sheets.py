"""Sheets read as text within limits, and written so that no formula in them is alive."""

import csv
import io
import re
import struct
import zipfile
from datetime import date, datetime
from pathlib import Path

import openpyxl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import Refused
from core.rules import sheets

HOUSE = Path(__file__).parents[1]
CODE = [
    path for room in ("core", "console", "gateway", "ops") for path in sorted((HOUSE / room).rglob("*.py"))
]


def read(data, name="staff.csv"):
    return sheets.read_table(data, name=name)


def rows(data):
    return [row.cells for row in read(data).rows]


# --- CSV -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize(
    ("encoding", "said"),
    [("utf-8", "UTF-8"), ("utf-8-sig", "UTF-8"), ("utf-16", "UTF-16"), ("cp1252", "Windows-1252")],
)
def test_csv_is_read_in_every_encoding_and_with_every_separator_that_excel_writes(separator, encoding, said):
    text = f"login{separator}name\r\nr.muller{separator}Renée Müller\r\n"
    table = read(text.encode(encoding))
    assert (("login", "name"), [("r.muller", "Renée Müller")]) == (
        table.header,
        [r.cells for r in table.rows],
    )
    assert said == table.encoding


def test_excels_line_that_names_the_separator_is_obeyed_and_not_counted():
    table = read(b"sep=;\r\nlogin;name, title\r\na;b\r\n")
    assert (("login", "name, title"), 2, ("a", "b")) == (
        table.header,
        table.rows[0].line,
        table.rows[0].cells,
    )


@pytest.mark.parametrize("name", ["NA", "N/A", "null", "None", "nan", "TRUE", "0101015800085", "1E5", "007"])
def test_what_looks_like_a_value_of_a_machine_stays_the_text_that_it_is(name):
    assert [(name, "x")] == rows(f"name,login\n{name},x\n".encode())


def test_a_csv_whose_heading_begins_as_packages_do_is_a_csv():
    table = read(b"PK;Login\r\n1;thandi.nkosi\r\n")
    assert (("PK", "Login"), ("1", "thandi.nkosi")) == (table.header, table.rows[0].cells)


def test_rows_are_counted_as_excel_does_over_blank_lines_and_line_breaks_inside_a_cell():
    table = read(b'\r\nlogin,name\r\na,"two\r\nlines"\r\n\r\n , \r\nb,one\r\n')
    assert [(3, ("a", "two\r\nlines")), (6, ("b", "one"))] == [(row.line, row.cells) for row in table.rows]


def test_short_rows_are_filled_and_a_row_wider_than_the_heading_is_marked():
    short, wide, blank = read(b"a;b\n1\n1;2;3\n1;2;;\n").rows
    assert (("1", ""), ()) == (short.cells, short.problems)
    assert (("1", "2"), ["row-wide"]) == (wide.cells, [p.code for p in wide.problems])
    assert (("1", "2"), ()) == (blank.cells, blank.problems)


def test_a_cell_that_is_too_long_marks_its_row_by_column_and_line():
    fits, long = read(b"a,b\n1," + b"x" * 500 + b"\n1," + b"x" * 501 + b"\n").rows
    assert () == fits.problems
    assert "Cell B3 has more than 500 characters." == long.problems[0].sentence


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "empty"),
        (b" \r\n\r\n", "empty"),
        (b"\xef\xbb\xbf", "empty"),
        (b'""\r\n" "\r\n', "empty"),
        (b"a,b\n" + b"x" * 5_000_000, "at most 5 MB"),
        (b"a,b\n" + b"1,2\n" * 10_001, "more than 10,000 rows"),
        (b"a,b\n" + b"\n" * 100_001, "rows, blank ones included"),
        (b"a," * 40 + b"a\n", "at most 40 are read"),
        (b'a,b\n1,"never closed\n2,3\n', "breaks off in row 2"),
        (b'a,b\n1,2\n1,"closed" too early\n', "breaks off in row 3"),
        (b"a,b\n1," + b"x" * 200_000 + b"\n", "breaks off in row 2"),
        (b"a,b\n1,\x00\n", "neither an Excel workbook nor a CSV file"),
        (b"\xff\xfea", "neither an Excel workbook nor a CSV file"),
        (b"a,b\n\x81\x8d,1\n", "neither an Excel workbook nor a CSV file"),
        (b"%PDF-1.7", "PDF"),
        (b"<html><table><tr><td>login", "web page"),
        (b"<?xml version='1.0'?><Workbook/>", "web page or XML"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 600, r"old kind \(.xls\)"),
        (b"\x09\x08\x10\x00\x00\x06", r"old kind \(.xls\)"),
        (
            b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + "EncryptedPackage".encode("utf-16-le"),
            "locked with a password",
        ),
    ],
)
def test_a_file_that_cannot_be_read_as_a_whole_is_refused_with_a_sentence(data, words):
    with pytest.raises(Refused, match=words):
        read(data)


def test_ten_thousand_rows_of_forty_columns_are_not_too_many():
    line = ",".join(["1"] * 40).encode() + b"\n"
    assert 10_000 == len(read(line * 10_001 + b"\n" * 50).rows)


# --- XLSX ------------------------------------------------------------------------------------------------


def workbook(*lines, change=lambda book: None):
    book = openpyxl.Workbook()
    for line in lines:
        book.active.append(line)
    change(book)
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


MAIN = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
RELS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
TYPES = "application/vnd.openxmlformats-officedocument.spreadsheetml"
PARTS = {
    "[Content_Types].xml": '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
    '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
    f'<Override PartName="/xl/workbook.xml" ContentType="{TYPES}.sheet.main+xml"/>'
    f'<Override PartName="/xl/worksheets/sheet1.xml" ContentType="{TYPES}.worksheet+xml"/></Types>',
    "xl/workbook.xml": f'<workbook {MAIN} xmlns:r="{RELS}"><sheets><sheet name="S" sheetId="1" r:id="r1"/></sheets></workbook>',
    "xl/_rels/workbook.xml.rels": '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
    f'<Relationship Id="r1" Type="{RELS}/worksheet" Target="worksheets/sheet1.xml"/></Relationships>',
}
HEADING = '<row r="1"><c r="A1" t="inlineStr"><is><t>login</t></is></c><c r="B1" t="inlineStr"><is><t>name</t></is></c></row>'


def package(sheet="", *, prolog="", before="", more=(), method=zipfile.ZIP_DEFLATED, heading=HEADING):
    """A workbook from hand-written XML, as an attacker would make it."""
    xml = f"{prolog}<worksheet {MAIN}>{before}<sheetData>{heading}{sheet}</sheetData></worksheet>"
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as made:
        for name, content in (*PARTS.items(), ("xl/worksheets/sheet1.xml", xml), *more):
            made.writestr(name, content)
    return out.getvalue()


def test_a_workbook_written_by_hand_is_read():
    assert [("a", "b")] == rows(
        package('<row r="2"><c r="A2" t="str"><v>a</v></c><c r="B2" t="str"><v>b</v></c></row>')
    )


def test_numbers_days_and_truths_of_excel_become_the_text_that_its_reader_saw():
    def zeros(book):
        book.active["A3"].number_format = "0000000000000"
        book.active["B3"].number_format = "000000 0000 000"

    data = workbook(
        ("a", "b", "c", "d"),
        (9202204720083, 9202204720083.0, "0101015800085", 1.5),
        (101015800085, 101015800085, 7, None),
        (date(2026, 1, 31), datetime(2026, 1, 31, 7, 30), True, "NA"),
        change=zeros,
    )
    assert rows(data) == [
        ("9202204720083", "9202204720083", "0101015800085", "1.5"),
        ("0101015800085", "0101015800085", "7", ""),
        ("2026-01-31", "2026-01-31 07:30", "TRUE", "NA"),
    ]


def test_an_id_number_that_the_file_spells_with_an_exponent_keeps_its_digits():
    data = package('<row r="2"><c r="A2"><v>9.202204720083E12</v></c></row>')
    assert [("9202204720083", "")] == rows(data)


@pytest.mark.parametrize(
    "cell",
    [
        '<c r="B2"><f>1+1</f><v>2</v></c>',
        '<c r="B2" t="str"><f>CONCAT("admin")</f><v>admin</v></c>',
        '<c r="B2"><f t="shared" si="0"/><v>2</v></c>',
        '<c r="B2"><f t="array" ref="B2">1+1</f><v>2</v></c>',
        '<c r="B2"><f t="dataTable" ref="B2" r1="A1"/><v>2</v></c>',
        '<c r="B2"><f/><v>2</v></c>',
    ],
)
def test_a_formula_marks_its_row_and_what_excel_stored_beside_it_is_not_believed(cell):
    (row,) = read(package(f'<row r="2"><c r="A2" t="str"><v>a</v></c>{cell}</row>')).rows
    assert ("a", "") == row.cells
    assert ["Cell B2 holds a formula: put its value there as text."] == [p.sentence for p in row.problems]


def test_a_formula_in_the_heading_refuses_the_sheet():
    heading = '<row r="1"><c r="A1"><f>1+1</f></c></row>'
    with pytest.raises(Refused, match="heading, row 1, cannot be read. Cell A1 holds a formula"):
        read(package(heading=heading))


def test_an_error_of_excel_marks_its_row_and_the_same_letters_as_text_do_not():
    error, text = read(
        package(
            '<row r="2"><c r="A2" t="e"><v>#N/A</v></c></row><row r="3"><c r="A3" t="str"><v>#N/A</v></c></row>'
        )
    ).rows
    assert ["cell-error"] == [p.code for p in error.problems]
    assert (("#N/A", ""), ()) == (text.cells, text.problems)


def test_the_first_sheet_that_is_shown_is_read_and_named():
    def hide(book):
        book.active.sheet_state = "hidden"
        book.create_sheet("People").append(["login"])
        book["People"].append(["thandi"])

    table = read(workbook(("secret",), ("x",), change=hide))
    assert ("People", [("thandi",)]) == (table.title, [row.cells for row in table.rows])


def test_macros_are_not_looked_at():
    assert [("a", "")] == rows(
        package('<row r="2"><c r="A2" t="str"><v>a</v></c></row>', more=[("xl/vbaProject.bin", b"\0macro")])
    )


def test_rows_that_excel_left_out_are_counted():
    (row,) = read(package('<row r="9"><c r="A9" t="str"><v>a</v></c></row>')).rows
    assert 9 == row.line


def test_cells_and_rows_that_are_kept_only_for_their_colour_are_passed_over():
    data = package(
        '<row r="2"><c r="A2" t="str"><v>a</v></c><c r="CV2" s="0"/></row><row r="3"/><row r="1048576"><c r="A1048576" s="0"/></row>'
    )
    assert [("a", "")] == rows(data)


def test_a_size_that_the_sheet_only_claims_costs_nothing():
    data = package(
        '<row r="2"><c r="A2" t="str"><v>a</v></c></row>', before='<dimension ref="A1:XFD1048576"/>'
    )
    assert [("a", "")] == rows(data)


LOL = (
    '<!DOCTYPE lolz [<!ENTITY a "lol"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">'
    '<!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;">]>'
)
XXE = '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]>'
BIG = "<c/>" * 3_000_000


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (lambda: package(prolog=LOL), "XML definitions"),
        (lambda: package(prolog=XXE), "XML definitions"),
        (lambda: package(more=[("xl/sharedStrings.xml", LOL + "<sst/>")]), "XML definitions"),
        (lambda: package(more=[("any.bin", (LOL + "<sst/>").encode("utf-16-be"))]), "XML definitions"),
        (lambda: package(more=[("bomb.xml", b"\0" * 30_000_000)]), "unpacks to far more"),
        (lambda: package(more=[(f"b{at}.xml", b"ab" * 450_000) for at in range(40)]), "unpacks to far more"),
        (lambda: package(more=[(f"m{at}", b"") for at in range(300)]), "unpacks to far more"),
        (lambda: package(f'<row r="2">{BIG}</row>', method=zipfile.ZIP_STORED), "at most 5 MB"),
        (lambda: package(method=zipfile.ZIP_LZMA), "damaged"),
        (lambda: package(method=zipfile.ZIP_BZIP2), "damaged"),
        (lambda: package()[:-40], "damaged"),
        (lambda: package()[:300] + b"\xff" * 9 + package()[309:], "damaged"),
        (lambda: b"PK\x03\x04 and then nothing", "damaged"),
        (lambda: package("<row"), "damaged"),
        (lambda: package('<row r="2"><c r="A2" t="s"><v>7</v></c></row>'), "damaged"),
        (lambda: package('<row r="2"><c r="A2"><v>seven</v></c></row>'), "damaged"),
        (lambda: package('<row r="2"><c r="A2"><v>' + "9" * 9_000 + "</v></c></row>"), "damaged"),
        (lambda: package('<row r="99999999999"><c r="A99999999999"><v>1</v></c></row>'), "damaged"),
        (
            lambda: package("".join(f'<row r="{at}"/>' for at in range(2, 100_003))),
            "rows, blank ones included",
        ),
        (lambda: package('<row r="2"><c r="ZZZ2"><v>1</v></c></row>'), "at most 40"),
        (lambda: package('<row r="2"><c r="AO2"><v>1</v></c></row>'), "Row 2 has 41 columns"),
        (lambda: package(more=[("xl/workbook.bin", b"x")]), r"binary workbook \(.xlsb\)"),
        (lambda: sheets_of_other_kinds("mimetype"), "no Excel workbook"),
        (lambda: locked(package()), "locked with a password"),
        (lambda: understated(package(more=[("bomb.xml", b"\0" * 4_000_000)])), "damaged"),
    ],
)
def test_a_hostile_or_broken_workbook_is_refused_with_a_sentence_before_it_is_opened(data, words):
    with pytest.raises(Refused, match=words) as refused:
        read(data())
    assert refused.value.sentence.endswith((".", ")."))


def sheets_of_other_kinds(name):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as made:
        made.writestr(name, "application/vnd.oasis.opendocument.spreadsheet")
    return out.getvalue()


def locked(data):
    """Each part marked as encrypted, as ZIP programs do it."""
    at = data.find(b"PK\x01\x02")
    while at >= 0:
        data = data[: at + 8] + b"\x01\x00" + data[at + 10 :]
        at = data.find(b"PK\x01\x02", at + 4)
    return data


def understated(data):
    """The last part of the package says that it unpacks to a hundred bytes."""
    at = data.rfind(b"PK\x01\x02")
    return data[: at + 24] + struct.pack("<I", 100) + data[at + 28 :]


def test_many_cells_that_hold_nothing_are_refused_before_they_become_objects():
    # Noise beside it, so that neither the ratio nor the size gives it away.
    noise = bytes(at * at * 31 % 251 for at in range(200_000))
    data = package(f'<row r="2">{BIG}</row>', more=[("noise", noise)])
    with pytest.raises(Refused, match="unpacks to far more"):
        read(data)


def test_what_openpyxl_would_warn_about_is_not_printed_for_it_quotes_the_cell(recwarn):
    book = workbook(
        ("a",),
        (9202204720083,),
        change=lambda book: setattr(book.active["A2"], "number_format", "yyyy-mm-dd"),
    )
    (row,) = read(book).rows
    assert ["cell-error"] == [p.code for p in row.problems]
    assert [] == [str(w.message) for w in recwarn if "9202204720083" in str(w.message)]


# --- writing ---------------------------------------------------------------------------------------------

LIVE = [
    "=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", " =1", "\u00a0=1", "\u200b=1", "\ufeff=1", "＝1", "＋1", "－1",
    "＠x", "=cmd|' /C calc'!A0", '"=1"', "'=1", "''=1", "a;=1", "a,=1", 'a";=1;', "a\n=1", "a\t@x", "-", "=HYPERLINK(\"x\")",
]  # fmt: skip
_NO_FILE_HOLDS = "".join(map(chr, [*range(0x09), 0x0B, 0x0C, *range(0x0E, 0x20), 0xFFFE, 0xFFFF]))
TEXTS = st.one_of(
    st.sampled_from(LIVE),
    st.text("=+-@＝;,\t\r\n\"' aé0'_x005F_x000D_", max_size=12),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters=_NO_FILE_HOLDS), max_size=40),
)


def takes_for_formula(cell):
    """What a spreadsheet does with a cell, written without our code."""
    return re.match('[\\s"\x00-\x1f\u200b\ufeff]*[=+\\-@＝＋－＠]', cell) is not None


@settings(deadline=None)
@given(st.lists(TEXTS, min_size=1, max_size=4), st.sampled_from(",;\t"))
def test_what_is_written_as_csv_is_read_again_as_the_same_text(cells, delimiter):
    data = sheets.write_csv(["key", *map(str, range(len(cells)))], [["x", *cells]], delimiter=delimiter)
    assert [("x", *cells)] == rows(data)


@settings(deadline=None)
@given(st.lists(TEXTS, min_size=1, max_size=4), st.sampled_from(",;\t"))
def test_no_cell_of_a_csv_is_a_formula_whatever_separator_excel_is_set_to(cells, written):
    text = sheets.write_csv(cells, [cells, cells], delimiter=written).decode("utf-8-sig")
    for delimiter in ",;\t":
        for quoting in (csv.QUOTE_MINIMAL, csv.QUOTE_NONE):
            found = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, quoting=quoting)
            assert [] == [cell for line in found for cell in line if takes_for_formula(cell)]


@settings(max_examples=40, deadline=None)
@given(st.lists(TEXTS, min_size=1, max_size=6))
def test_what_is_written_as_a_workbook_is_read_again_as_the_same_text(cells):
    data = sheets.write_xlsx(["key", *map(str, range(len(cells)))], [["x", *cells]])
    assert [("x", *cells)] == rows(data)


def test_no_cell_of_a_workbook_is_a_formula_and_editing_it_in_excel_does_not_make_it_one():
    lines = [[text] for text in [*LIVE, "#N/A", "0101015800085"]]
    data = sheets.write_xlsx(["=1+1"], lines, notes=[["=2+2"]])
    xml = zipfile.ZipFile(io.BytesIO(data)).read("xl/worksheets/sheet1.xml")
    assert (b"<f" in xml, b"<v" in xml) == (False, False)
    book = openpyxl.load_workbook(io.BytesIO(data))
    cells = [cell for sheet in book for line in sheet for cell in line]
    assert {("s", "@")} == {(cell.data_type, cell.number_format) for cell in cells}
    texts = [cell for cell in cells if takes_for_formula(cell.value)]
    assert [] == [cell.value for cell in texts if not cell.quotePrefix]
    assert ["Sheet", "Explanation"] == book.sheetnames


@pytest.mark.parametrize("text", LIVE)
def test_every_known_way_of_beginning_a_formula_gets_its_apostrophe_and_loses_it_again(text):
    assert text.replace("'", "") == sheets.shield(text).replace("'", "")
    assert text != sheets.shield(text)
    assert text == sheets.unshield(sheets.shield(text))


@pytest.mark.parametrize(
    "text", ["Nkosi", "Zama-Dube", "O'Brien", "'t Hooft", "a@b.co.za", "1-2", "", "R 12,50"]
)
def test_what_is_no_formula_is_left_alone(text):
    assert (text, text) == (sheets.shield(text), sheets.unshield(text))


def test_numbers_of_ours_are_written_as_numbers():
    assert b"a;b\r\n-5;\r\n" == sheets.write_csv(["a", "b"], [[-5, None]]).removeprefix(b"\xef\xbb\xbf")
    assert [("-5", "")] == rows(sheets.write_xlsx(["a", "b"], [[-5, None]]))


def test_a_letter_that_no_file_holds_costs_itself_and_not_the_file():
    for write in (sheets.write_csv, sheets.write_xlsx):
        assert [("a\ufffdb\ufffd",)] == rows(write(["x"], [["a\0b\ud800"]]))


def test_nothing_else_in_the_house_writes_a_sheet():
    """Payments that wait for a person are kept as CSV inside the database and drawn as text; they are no file."""
    writes = re.compile(r"csv\.(writer|DictWriter)|\.to_csv\(|\.to_excel\(|Workbook\(")
    found = {str(path.relative_to(HOUSE)) for path in CODE if writes.search(path.read_text())}
    assert {"core/rules/sheets.py", "core/rules/remittance.py"} == found
    gives = re.compile(r"text/csv|spreadsheetml")
    ours = re.compile(r"sheets\.write_|staff_sheet|template\(|take_out")
    given = [p for p in CODE if gives.search(p.read_text()) and p.name != "sheets.py"]
    assert [] == [p.name for p in given if not ours.search(p.read_text())]
    uses = {str(path.relative_to(HOUSE)) for path in CODE if "write_remittances" in path.read_text()}
    assert {"core/rules/remittance.py", "core/remittances.py"} == uses
    assert "disableDataExport = true" in (HOUSE / "console/shell/.streamlit/config.toml").read_text()
