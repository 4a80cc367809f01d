"""Sheets from and for Excel: CSV and XLSX read as text within limits, and written so that nothing in them is alive.

Every cell is text: an ID number keeps its zeros, "NA" and "null" stay names, and no formula is ever worked out.
"""

from __future__ import annotations

import csv
import io
import re
import unicodedata
import warnings
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any

from core.errors import Refused
from core.rules.problems import Problem

MOST_BYTES = 5_000_000
MOST_ROWS = 10_000
MOST_COLUMNS = 40
LONGEST_CELL = 500
MOST_MEMBERS = 300
MOST_UNPACKED_BYTES = 32_000_000
MOST_TAGS = 1_700_000  # each becomes an object in memory; 10,000 rows of 40 cells have about as many
MOST_LINES = 100_000  # blank ones, and rows that Excel keeps for their colour, are passed over up to here
MOST_RATIO = 200  # a sheet of one row ten thousand times packs about 60:1, a bomb 1,000:1

Value = str | int | Decimal | None


@dataclass(frozen=True)
class Row:
    """One row. line: as Excel numbers it, the heading included. cells: as many as the heading has."""

    line: int
    cells: tuple[str, ...]
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True)
class Table:
    """A sheet's heading and rows. title: of the sheet, "" for CSV. encoding: how a CSV was read, "" for XLSX."""

    header: tuple[str, ...]
    rows: tuple[Row, ...]
    title: str = ""
    encoding: str = ""


def read_table(data: bytes, *, name: str) -> Table:
    """Read a CSV file or an Excel workbook; what it is decides its content, not its name.

    Raises Refused, with one sentence, when it cannot be read as a whole. A bad cell only marks its row.
    """
    if not data.strip():
        raise Refused("The file is empty.")
    if len(data) > MOST_BYTES:
        raise Refused(
            f"The file has {len(data) / 1e6:.1f} MB; at most {MOST_BYTES // 10**6} MB are read. Split it."
        )
    if data.startswith(_PACKAGES):
        title, lines = _workbook_lines(data)
        return _table(lines, title=title)
    for start, sentence in _OTHER_FILES.items():
        if data.startswith(start):
            raise Refused(_OLE_LOCKED if _ENCRYPTED in data else sentence)
    text, encoding = _decoded(data)
    if text.lstrip().startswith("<"):
        raise Refused(
            f"{name or 'The file'} is a web page or XML, not a sheet: save it as an Excel workbook (.xlsx)."
        )
    return _table(_csv_lines(text), encoding=encoding)


# A heading may begin with PK as well; a package never without what stands behind it (PKWARE APPNOTE, 4.3).
_PACKAGES = (b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")
_ENCRYPTED = "EncryptedPackage".encode("utf-16-le")
_OLE_LOCKED = (
    "The workbook is locked with a password: save a copy without one (File, Info, Protect Workbook)."
)
_OLD = "This is a workbook of the old kind (.xls): save it as an Excel workbook (.xlsx) or as CSV."
_OTHER_FILES = {
    b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1": _OLD,
    b"\x09\x08": _OLD,
    b"%PDF": "This is a PDF, not a sheet: choose the Excel workbook or CSV that it was printed from.",
}


def _table(
    lines: Iterable[tuple[int, list[str], list[Problem]]], *, title: str = "", encoding: str = ""
) -> Table:
    """The first line with anything in it is the heading; blank lines are passed over, but counted."""
    header: tuple[str, ...] = ()
    rows: list[Row] = []
    for line, cells, problems in lines:
        while len(cells) > len(header) and not cells[-1].strip():
            cells.pop()
        if not any(cell.strip() for cell in cells) and not problems:
            continue
        if len(cells) > MOST_COLUMNS:
            raise Refused(f"Row {line} has {len(cells)} columns; at most {MOST_COLUMNS} are read.")
        if not header:
            if problems:
                raise Refused(f"The heading, row {line}, cannot be read. {problems[0].sentence}")
            header = tuple(cell.strip() for cell in cells)
            continue
        if len(rows) == MOST_ROWS:
            raise Refused(f"The file has more than {MOST_ROWS:,} rows: split it into several.")
        if len(cells) > len(header):
            problems = [
                *problems,
                Problem(
                    "row-wide",
                    f"The row has {len(cells)} cells and the heading only "
                    f"{len(header)}: name the column, or put quotation marks around a cell with separators in it.",
                ),
            ]
        for at, cell in enumerate(cells):
            if len(cell) > LONGEST_CELL:
                problems = [
                    *problems,
                    Problem(
                        "cell-long", f"Cell {_letters(at)}{line} has more than {LONGEST_CELL} characters."
                    ),
                ]
                cells[at] = cell[:LONGEST_CELL]
        cells = cells[: len(header)] + [""] * (len(header) - len(cells))
        rows.append(Row(line, tuple(cells), tuple(problems)))
    if not header:
        raise Refused("The file is empty.")
    return Table(header, tuple(rows), title, encoding)


def _letters(at: int) -> str:
    # Excel's name of a column, which is what the person looks for: A, Z, AA.
    return ("" if at < 26 else _letters(at // 26 - 1)) + chr(ord("A") + at % 26)


# --- CSV -------------------------------------------------------------------------------------------------


_ENCODINGS = {"utf-8-sig": "UTF-8", "utf-16": "UTF-16", "cp1252": "Windows-1252"}


def _decoded(data: bytes) -> tuple[str, str]:
    """What Excel writes: UTF-8 with or without its mark, UTF-16 ("Unicode text"), else Windows-1252."""
    marked = data.startswith((b"\xff\xfe", b"\xfe\xff"))
    for encoding in ("utf-16",) if marked else ("utf-8-sig", "cp1252"):
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        if "\0" in text:
            break
        return text, _ENCODINGS[encoding]
    raise Refused("This is neither an Excel workbook nor a CSV file: save the sheet as one of the two.")


def _csv_lines(text: str) -> Iterator[tuple[int, list[str], list[Problem]]]:
    # Excel's own first line "sep=;" says what parts the cells; Excel does not count it.
    if said := re.match(r"sep=([,;\t])\r?\n", text, re.IGNORECASE):
        text, delimiter = text[said.end() :], said[1]
    else:
        delimiter = max(";,\t", key=lambda d: len(_heading(text, d)))
    # strict: a lone quotation mark would otherwise swallow the rest of the file in silence.
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    line = 0
    try:
        for line, cells in enumerate(reader, start=1):
            if line > MOST_LINES:
                raise Refused(_BLANKS)
            yield line, [unshield(cell) for cell in cells], []
    except csv.Error:
        raise Refused(
            f"The file breaks off in row {line + 1}: a quotation mark is opened there and not closed as it should be."
        ) from None


def _heading(text: str, delimiter: str) -> list[str]:
    # South African Excel writes semicolons, since the comma is the decimal sign: the heading tells.
    for cells in csv.reader(io.StringIO(text[:20_000], newline=""), delimiter=delimiter):
        if any(cell.strip() for cell in cells):
            return cells
    return []


# --- XLSX ------------------------------------------------------------------------------------------------


def _workbook_lines(data: bytes) -> tuple[str, Iterator[tuple[int, list[str], list[Problem]]]]:
    """The first sheet that is shown, line by line. What needs the contents' trust is checked before openpyxl looks."""
    _check_package(data)
    import openpyxl

    # Its warnings quote the cell, and a cell may hold somebody's ID number.
    warnings.filterwarnings("ignore", module=r"openpyxl\.")
    try:
        # Formulas are asked for as formulas: what Excel once worked out and stored beside them is not trusted.
        book = openpyxl.load_workbook(
            io.BytesIO(data), read_only=True, data_only=False, keep_vba=False, keep_links=False
        )
        sheets = [sheet for sheet in book.worksheets if sheet.sheet_state == "visible"]
    # A hostile package makes openpyxl raise nearly anything; to the person it is one thing.
    except Exception:
        raise Refused(_DAMAGED) from None
    if not sheets:
        raise Refused("The workbook has no sheet that is shown.")
    return sheets[0].title, _sheet_lines(sheets[0])


_DAMAGED = "The workbook is damaged: open it in Excel, save it again, and try that file."
_BOMB = (
    f"The workbook unpacks to far more than a sheet of {MOST_ROWS:,} rows has: copy the rows to a new one."
)
_BLANKS = f"The sheet has more than {MOST_LINES:,} rows, blank ones included: delete the rows below the list."


def _check_package(data: bytes) -> None:
    """Refuse bombs, locked and foreign packages, and XML that brings definitions of its own (entity bombs, XXE).

    Every part is unpacked once, never beyond what it says it has; zipfile finds a part that lied by its checksum.
    """
    too_big = Refused(_BOMB)
    try:
        package = zipfile.ZipFile(io.BytesIO(data))
        parts = package.infolist()
        names = {part.filename for part in parts}
        if any(part.flag_bits & 0x1 for part in parts):
            raise Refused(_OLE_LOCKED)
        if len(parts) > MOST_MEMBERS or sum(part.file_size for part in parts) > MOST_UNPACKED_BYTES:
            raise too_big
        if any(part.file_size > MOST_RATIO * max(part.compress_size, 5_000) for part in parts):
            raise too_big
        if "xl/workbook.bin" in names:
            raise Refused("This is a binary workbook (.xlsb): save it as an Excel workbook (.xlsx).")
        if "[Content_Types].xml" not in names:
            raise Refused(
                "This is a package, but no Excel workbook: save the sheet as an Excel workbook (.xlsx)."
            )
        tags = lines = 0
        for part in parts:
            # Other methods may ask for gigabytes of dictionary, and Excel writes none of them.
            if part.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise Refused(_DAMAGED)
            with package.open(part) as packed:
                content = packed.read(part.file_size + 1)
            # Without the zero bytes UTF-16 reads the same; no other encoding that expat knows hides ASCII.
            content = content.replace(b"\0", b"")
            tags += content.count(b"<")
            lines += content.count(b"<row") + content.count(b":row")
            if b"<!DOCTYPE" in content:
                raise Refused("The workbook holds XML definitions, which no Excel writes: it is not opened.")
            if tags > MOST_TAGS:
                raise too_big
            if lines > MOST_LINES:
                raise Refused(_BLANKS)
    except Refused:
        raise
    except Exception:
        raise Refused(_DAMAGED) from None


def _sheet_lines(sheet: Any) -> Iterator[tuple[int, list[str], list[Problem]]]:
    # The size that the sheet claims may be a lie, or a million rows of nothing.
    sheet.reset_dimensions()
    try:
        for line, found in enumerate(sheet.iter_rows(), start=1):
            if line > 1_048_576:
                raise Refused(_DAMAGED)
            if found:
                yield _cells(line, found)
    except Refused:
        raise
    except Exception:
        raise Refused(_DAMAGED) from None


def _cells(line: int, found: Sequence[Any]) -> tuple[int, list[str], list[Problem]]:
    if len(found) > 100:
        raise Refused(f"Row {line} has {len(found):,} columns; at most {MOST_COLUMNS} are read.")
    cells, problems = [], []
    for at, cell in enumerate(found):
        value = cell.value
        if value is None:
            cells.append("")
        elif cell.data_type == "s":
            cells.append(_unescaped(value))
        elif cell.data_type == "f":
            cells.append("")
            problems.append(
                Problem("formula", f"Cell {_letters(at)}{line} holds a formula: put its value there as text.")
            )
        elif cell.data_type == "e":
            cells.append("")
            problems.append(
                Problem(
                    "cell-error",
                    f"Cell {_letters(at)}{line} holds an error of Excel: write what belongs there.",
                )
            )
        else:
            cells.append(_drawn(value, cell.number_format))
    return line, cells, problems


def _drawn(value: object, number_format: str) -> str:
    """A value that Excel keeps as a number, as its reader means it: digits in full, days as 2026-01-31."""
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        value = int(value)
    if isinstance(value, int):
        # 0000000000000 is how people make Excel show an ID number's zeros.
        width = number_format.count("0") if re.fullmatch("[0 ]+", number_format) else 0
        return f"{value:0{width}d}"
    if isinstance(value, datetime):
        return value.date().isoformat() if value.time() == time() else value.isoformat(" ", "minutes")
    return value.isoformat() if isinstance(value, date | time) else str(value)


def _unescaped(text: str) -> str:
    # _x000D_ is how the format spells what XML cannot hold (ECMA-376 part 1, 22.9.2.19).
    if "_x" not in text:
        return text
    text = re.sub(r"_x([0-9A-Fa-f]{4})_", lambda found: chr(int(found[1], 16)), text)
    return _SURROGATES.sub("\ufffd", text)


_SURROGATES = re.compile("[\ud800-\udfff]")


# --- writing ---------------------------------------------------------------------------------------------

_STARTS = frozenset("=+-@")
_PARTS = re.compile(r"([,;\t\r\n])")


def is_live(text: str) -> bool:
    """True when a spreadsheet may take the text for a formula: it begins with = + - @, however hidden.

    Blanks, quotation marks, apostrophes and unseen characters before it do not count; wide forms do.
    Source: OWASP, CSV Injection.

    >>> is_live("=1+1"), is_live(" \\t@SUM(A1)"), is_live("Zama-Dube")
    (True, True, False)
    """
    for letter in text:
        if letter.isspace() or letter in "\"'" or unicodedata.category(letter) in ("Cc", "Cf"):
            continue
        return letter in _STARTS or unicodedata.normalize("NFKC", letter)[:1] in _STARTS
    return False


def shield(text: str) -> str:
    """The text for a CSV cell, with an apostrophe before whatever a spreadsheet could work out.

    Every part between separators counts: Excel set to semicolons cuts a comma file elsewhere than we do.

    >>> shield("=1+1"), shield("Nkosi; +27 11"), shield("Nkosi")
    ("'=1+1", "Nkosi;' +27 11", 'Nkosi')
    """
    parts = _PARTS.split(text)
    shielded = "".join(f"'{part}" if is_live(part) else part for part in parts)
    return f"'{shielded}" if re.match(r"'*[\t\r\n]", text) else shielded


def unshield(text: str) -> str:
    """The text as it was before `shield`: exactly its apostrophes are taken away."""
    if "'" not in text:
        return text
    if re.match(r"'+[\t\r\n]", text):
        text = text[1:]
    return "".join(
        part[1:] if part.startswith("'") and is_live(part) else part for part in _PARTS.split(text)
    )


def write_csv(header: Sequence[str], rows: Iterable[Sequence[Value]], *, delimiter: str = ";") -> bytes:
    """A CSV file as South African Excel opens it (UTF-8 with its mark, semicolons), without a live formula."""
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=delimiter, lineterminator="\r\n")
    # A number of ours is written as it is, minus and all: only text can be somebody's formula.
    for row in (header, *rows):
        writer.writerow([shield(_clean(cell)) if isinstance(cell, str) else cell for cell in row])
    return out.getvalue().encode("utf-8-sig", "replace")


def write_xlsx(
    header: Sequence[str],
    rows: Iterable[Sequence[Value]],
    *,
    title: str = "Sheet",
    notes: Sequence[Sequence[str]] = (),
) -> bytes:
    """A workbook whose texts are text whatever they begin with. notes: rows of a second sheet, "Explanation"."""
    from openpyxl import Workbook
    from openpyxl.cell import WriteOnlyCell
    from openpyxl.styles import Font

    book = Workbook(write_only=True)
    bold = Font(bold=True)

    def text_cell(sheet: Any, value: Value, *, heading: bool = False) -> Any:
        if not isinstance(value, str):
            return value
        cell = WriteOnlyCell(sheet, value=_spelt(_clean(value)))
        # Said, not guessed: openpyxl makes a formula of "=1+1" and an error of "#N/A".
        cell.data_type = "s"
        cell.number_format = "@"  # Text: an ID number typed over it keeps its zeros
        if is_live(value):
            cell.quotePrefix = True
        if heading:
            cell.font = bold
        return cell

    for name, lines in ((title, (header, *rows)), ("Explanation", notes)):
        if name == "Explanation" and not notes:
            continue
        sheet = book.create_sheet(name)
        sheet.freeze_panes = "A2"
        widths = [0] * len(header)
        lines = [list(line) for line in lines]
        for line in lines[:200]:
            for at, value in enumerate(line[: len(widths)]):
                widths[at] = max(widths[at], len(str(value)))
        for at, width in enumerate(widths):
            column = sheet.column_dimensions[_letters(at)]
            column.width, column.number_format = min(max(width + 2, 12), 60), "@"
        for at, line in enumerate(lines):
            sheet.append([text_cell(sheet, value, heading=at == 0) for value in line])
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


def _clean(text: str) -> str:
    # What neither format can hold, so that one bad letter does not cost the whole file.
    return re.sub("[\0-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]", "\ufffd", text)


def _spelt(text: str) -> str:
    # XML readers turn a carriage return into a new line; and who writes _x000D_ means those seven letters.
    text = re.sub(r"_(?=x[0-9A-Fa-f]{4}_)", "_x005F_", text)
    return text.replace("\r", "_x000D_")
