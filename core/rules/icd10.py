"""ICD-10 as South Africa uses it: the national table, and the rules a claim's codes must keep.

The table is the National Department of Health's Master Industry Table (MIT). The rules carry the ids of the
South African coding documents (CR..., GSN...) in `Problem.code`. Where those documents give one rule several ids, as CR0002
to CR0010 for the shape of a code, which id stands for which half of it is our choice; where they give none, ours
is a word.
Text here is our own wording of those facts.
"""

from __future__ import annotations

import csv
import gzip
import io
import re
import zipfile
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from core.rules.problems import Problem

MOST_CODES = 10
MODIFIERS_WITH_CODES = frozenset({"0017"})
PLACEHOLDER_CATEGORIES = frozenset({"M45", "T08", "T10", "T12", "V98", "V99"})
LARGEST_UNPACKED_BYTES = 128 * 1024 * 1024

AGES = {"": "", "> 19 years": ">19", "≤ 19 years": "<=19", "≤ 1 year": "<=1"}
"""The only age ranges the table holds, and our short names for them (completed years on the service date)."""

CHAPTERS = frozenset(
    ("I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X", "XI", "XII", "XIII", "XIV", "XV", "XVI")
    + ("XVII", "XVIII", "XIX", "XX", "XXI", "XXII", "M")
)


@dataclass(frozen=True)
class Code:
    """One row of the national table.

    clinical: may be used on a claim; primary: may stand first; ages: one of AGES' short names, "" for any;
    sex: "F", "M" or "" for any; valid_from, valid_until: the days of SA validity, both included, None for open.
    """

    code: str
    description: str
    chapter: str
    clinical: bool
    primary: bool
    asterisk: bool = False
    dagger: bool = False
    sequelae: bool = False
    ages: str = ""
    sex: str = ""
    status: str = ""
    valid_from: date | None = None
    valid_until: date | None = None

    @property
    def mark(self) -> str:
        """The dagger or asterisk that the books print beside the code; never part of the code on a claim."""
        return "*" if self.asterisk else "†" if self.dagger else ""

    def valid_on(self, day: date) -> bool:
        """True when the table lists the code as valid in South Africa on that day."""
        return (self.valid_from or day) <= day <= (self.valid_until or day)


@dataclass(frozen=True)
class RefusedRow:
    """A row that was not taken: line counts from 1, the heading included, as a spreadsheet shows it."""

    line: int
    code: str
    reason: str


@dataclass(frozen=True)
class Table:
    """What a file held: the good codes in its order, and every row that was refused."""

    codes: tuple[Code, ...]
    refused: tuple[RefusedRow, ...]


Lookup = Callable[[str], "Code | None"]


# --- reading the published table -------------------------------------------------------------------------

OFFICIAL_COLUMNS = {
    "code": "ICD10_Code",
    "description": "WHO_Full_Desc",
    "chapter": "Chapter_No",
    "valid_clinical": "Valid_ICD10_ClinicalUse",
    "valid_primary": "Valid_ICD10_Primary",
    "asterisk": "Valid_ICD10_Asterisk",
    "dagger": "Valid_ICD10_Dagger",
    "sequelae": "Valid_ICD10_Sequelae",
    "age_range": "Age_Range",
    "gender": "Gender",
    "status": "Status",
    "sa_start": "SA_Start_Date",
    "sa_end": "SA_End_Date",
}
"""Our short column names, and the official workbook's."""

REDUCED_COLUMNS = tuple(OFFICIAL_COLUMNS)
FLAGS = ("valid_clinical", "valid_primary", "asterisk", "dagger", "sequelae")


def parse_official(content: bytes) -> Table:
    """Read the national table: the official XLSX workbook, or the reduced CSV, plain or gzipped.

    ValueError with one sentence when the file is none of these; a bad row never stops the good ones.
    """
    if content[:2] == b"\x1f\x8b":
        content = _unpacked(content)
    if content[:4] == b"PK\x03\x04":
        return _table(_workbook_rows(content))
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError("This is neither an Excel workbook nor a UTF-8 CSV file.") from None
    return _table(_csv_rows(text))


def _unpacked(content: bytes) -> bytes:
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(content)) as packed:
            plain = packed.read(LARGEST_UNPACKED_BYTES + 1)
    except (OSError, EOFError, zlib.error):
        raise ValueError("The gzip file is damaged or cut short: fetch it again.") from None
    if len(plain) > LARGEST_UNPACKED_BYTES:
        raise ValueError("The file unpacks to more than 128 MB; the national table has about 5 MB.")
    return plain


def _csv_rows(text: str) -> Iterable[tuple[int, dict[str, object]]]:
    # strict: a lone quote would otherwise swallow thousands of good rows in silence.
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        names = [name.strip() for name in next(reader, [])]
        columns = _columns(names)
        if columns is None:
            raise ValueError(
                "The first line must name the columns: "
                + ", ".join(REDUCED_COLUMNS)
                + ", or the official ones."
            )
        line = reader.line_num + 1
        for cells in reader:
            if any(cell.strip() for cell in cells):
                yield line, _named(columns, cells)
            line = reader.line_num + 1
    except csv.Error as error:
        raise ValueError(f"The CSV breaks off near line {reader.line_num}: {error}.") from None


def _workbook_rows(content: bytes) -> Iterable[tuple[int, dict[str, object]]]:
    import openpyxl

    try:
        with zipfile.ZipFile(io.BytesIO(content)) as packed:
            if sum(part.file_size for part in packed.infolist()) > LARGEST_UNPACKED_BYTES:
                raise ValueError(
                    "The workbook unpacks to more than 128 MB; the national table has about 40 MB."
                )
        book = openpyxl.load_workbook(io.BytesIO(content), read_only=True, data_only=True)
    except (zipfile.BadZipFile, KeyError, OSError):
        raise ValueError("The Excel workbook is damaged: fetch it again.") from None
    # The official workbook opens with a sheet about its layout, so the table is found by its heading.
    for sheet in book.worksheets:
        rows = enumerate(sheet.iter_rows(values_only=True), start=1)
        for line, cells in rows:
            columns = _columns([str(cell).strip() if cell is not None else "" for cell in cells])
            if columns is not None:
                for line, cells in rows:
                    if any(cell not in (None, "") for cell in cells):
                        yield line, _named(columns, cells)
                return
            if line >= 20:
                break
    raise ValueError("No sheet of the workbook has the columns " + ", ".join(OFFICIAL_COLUMNS.values()) + ".")


def _columns(names: Sequence[str]) -> dict[str, int] | None:
    for wanted in (OFFICIAL_COLUMNS, {name: name for name in REDUCED_COLUMNS}):
        found = {ours: names.index(theirs) for ours, theirs in wanted.items() if theirs in names}
        if len(found) == len(wanted):
            return found
    return None


def _named(columns: dict[str, int], cells: Sequence[object]) -> dict[str, object]:
    return {name: cells[at] if at < len(cells) else None for name, at in columns.items()}


def _table(rows: Iterable[tuple[int, dict[str, object]]]) -> Table:
    codes: dict[str, Code] = {}
    refused: list[RefusedRow] = []
    for line, row in rows:
        name = str(row["code"] or "").strip()
        try:
            code = _code(row)
            if code.code in codes:
                raise ValueError("The code stands in the file a second time.")
            codes[code.code] = code
        except ValueError as error:
            refused.append(RefusedRow(line, name, str(error)))
    return Table(tuple(codes.values()), tuple(refused))


def _code(row: dict[str, object]) -> Code:
    code = tidy(str(row["code"] or ""))
    if shape_problem(code) is not None:
        raise ValueError(f"'{row['code'] or ''}' does not have the shape of an ICD-10 code.")
    description = " ".join(str(row["description"] or "").split())
    if not description:
        raise ValueError("The description is missing.")
    chapter = str(row["chapter"] or "").strip().upper().removeprefix("CHAPTER").strip()
    chapter = chapter if chapter in CHAPTERS else "M" if code.startswith("M") and "/" in code else chapter
    if chapter not in CHAPTERS:
        raise ValueError(f"'{row['chapter'] or ''}' is not an ICD-10 chapter.")
    clinical, primary, asterisk, dagger, sequelae = (_flag(name, row[name]) for name in FLAGS)
    if primary and not clinical:
        raise ValueError("The code is marked as fit to stand first but not as fit for clinical use.")
    sex = str(row["gender"] or "").strip().upper()
    if sex not in ("", "F", "M"):
        raise ValueError(f"Gender '{row['gender']}' is neither F, M nor blank.")
    valid_from, valid_until = _day("SA start date", row["sa_start"]), _day("SA end date", row["sa_end"])
    if valid_from and valid_until and valid_until < valid_from:
        raise ValueError("The SA end date lies before the SA start date.")
    return Code(
        code,
        description,
        chapter,
        clinical,
        primary,
        asterisk,
        dagger,
        sequelae,
        _ages(row["age_range"]),
        sex,
        str(row["status"] or "").strip().upper(),
        valid_from,
        valid_until,
    )


def _flag(name: str, cell: object) -> bool:
    # One flag of the official workbook is a lower-case n, and blanks stand for no.
    text = str(cell if cell is not None else "").strip().upper()
    if text not in ("Y", "N", "1", "0", ""):
        raise ValueError(f"{OFFICIAL_COLUMNS[name]} is '{cell}', neither Y nor N.")
    return text in ("Y", "1")


def _ages(cell: object) -> str:
    # The workbook spells one range without its space.
    bare = re.sub(r"\s+", "", str(cell or ""))
    for spelt, ages in AGES.items():
        if bare == re.sub(r"\s+", "", spelt):
            return ages
    raise ValueError(f"Age range '{cell}' is unknown.")


def _day(label: str, cell: object) -> date | None:
    if isinstance(cell, datetime):
        return cell.date()
    if isinstance(cell, date):
        return cell
    text = str(cell if cell is not None else "").strip()
    if not text:
        return None
    for form in ("%Y-%m-%d", "%Y-%m-%d %H:%M:%S", "%Y/%m/%d", "%d/%m/%Y"):
        try:
            return datetime.strptime(text, form).date()
        except ValueError:
            continue
    raise ValueError(f"{label} '{text}' is not a date.")


# --- the shape of a code -------------------------------------------------------------------------------

_SHAPE = re.compile(r"[A-Z]\d\d(\.\d\d?|\.X\d)?")
_MORPHOLOGY = re.compile(r"M\d{4}/\d")
_LOOKS_LIKE_DIGIT = str.maketrans("OQILSZB", "0011528")


def tidy(typed: str) -> str:
    """What was typed without what cannot matter: outer blanks, lower case, dagger and asterisk signs.

    >>> tidy(" m45.x9 "), tidy("e10.2+"), tidy("N08.3*")
    ('M45.X9', 'E10.2', 'N08.3')
    """
    return re.sub(r"[\s+*†]+$", "", typed.strip().upper())


def suggestion(typed: str) -> str:
    """The code that was probably meant, or "" when there is no good guess. Only ever offered, never put in.

    >>> suggestion("S5250"), suggestion("R5l"), suggestion("WI9-99"), suggestion("M45.9"), suggestion("hello")
    ('S52.50', 'R51', 'W19.99', 'M45.X9', '')
    """
    bare = re.sub(r"[\s.\-()\[\]/]", "", tidy(typed))
    if not 3 <= len(bare) <= 5:
        return ""
    letter = {"0": "O", "1": "I", "5": "S", "2": "Z", "8": "B"}.get(bare[0], bare[0])
    category, rest = letter + bare[1:3].translate(_LOOKS_LIKE_DIGIT), bare[3:]
    if category in PLACEHOLDER_CATEGORIES and rest:
        rest = "X" + rest.removeprefix("X").translate(_LOOKS_LIKE_DIGIT)[-1:]
    else:
        rest = rest.translate(_LOOKS_LIKE_DIGIT)
    guess = f"{category}.{rest}" if rest else category
    return guess if _SHAPE.fullmatch(guess) and guess != tidy(typed) else ""


def shape_problem(code: str) -> Problem | None:
    """What is wrong with the shape of a code (rules CR0002 to CR0010 and GSN0009); None if nothing."""
    if _MORPHOLOGY.fullmatch(code):
        return None
    if _SHAPE.fullmatch(code) and (".X" not in code or code[:3] in PLACEHOLDER_CATEGORIES):
        return None
    guess = suggestion(code)
    hint = f" Did you mean {guess}?" if guess else ""
    why = next((why for wrong, why in _SHAPE_FAULTS if wrong(code)), "one looks like R51 or S52.50")
    return Problem("CR0002", f"'{code}' is not an ICD-10 code: {why}.{hint}", "icd10")


_SHAPE_FAULTS: tuple[tuple[Callable[[str], object], str], ...] = (
    (lambda code: not code, "it is empty"),
    (lambda code: re.search(r"[\s\-()\[\]]", code), "it holds a space, hyphen or bracket"),
    (lambda code: not "A" <= code[0] <= "Z", "it must begin with a letter"),
    (lambda code: "O" in code[1:], "the letter O stands where the digit 0 belongs"),
    (lambda code: {"I", "L"} & set(code[1:]), "a letter stands where the digit 1 belongs"),
    (lambda code: re.fullmatch(r"[A-Z]\d\d\.", code), "a code of three characters has no dot"),
    (lambda code: re.fullmatch(r"[A-Z]\d\d[\dX]\d?", code), "the dot after the third character is missing"),
    (lambda code: ".X" in code, "X belongs only to " + ", ".join(sorted(PLACEHOLDER_CATEGORIES))),
)


# --- kinds of code -------------------------------------------------------------------------------------


def is_morphology(code: str) -> bool:
    """A tumour's histology, as in M8500/3."""
    return "/" in code


def is_injury(code: str) -> bool:
    """S00-T98: injuries, poisonings and their late effects."""
    return code[0] in "ST"


def is_late_injury(code: str) -> bool:
    """T90-T98: late effects of injuries."""
    return "T90" <= code[:3] <= "T98"


def is_external_cause(code: str) -> bool:
    """V01-Y98: how an injury came about."""
    return code[0] in "VWXY"


def is_late_cause(code: str) -> bool:
    """Y85-Y89: how a late effect came about."""
    return "Y85" <= code[:3] <= "Y89"


# --- the rules of a line -------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Coded:
    """A line's codes with what the table says about each, and whom and when they are about."""

    codes: tuple[str, ...]
    rows: tuple[Code | None, ...]
    service_on: date
    sex: str
    birth_on: date | None
    line_kind: str
    tariff: str
    starter: bool

    def known(self) -> list[tuple[int, str, Code]]:
        return [
            (at, code, row) for at, (code, row) in enumerate(zip(self.codes, self.rows, strict=True)) if row
        ]


def check_codes(
    codes: Sequence[str],
    *,
    lookup: Lookup,
    service_on: date,
    patient_sex: str = "",
    patient_birth_on: date | None = None,
    line_kind: str = "tariff",
    tariff: str = "",
    starter: bool = False,
) -> tuple[Problem, ...]:
    """Every problem with one line's ICD-10 codes at once, the primary code first in `codes`.

    lookup: the table, one code at a time. patient_sex: "M", "F", or anything else for unknown.
    line_kind: "tariff", "item" (a NAPPI line), "modifier", or "referral" (the referrer's codes at the header).
    tariff: the line's own code, which only matters on a modifier line. starter: the loaded table is only our
    starter set, so an unknown code may still be a good one. Codes are taken as they would be sent: tidy() first.
    """
    coded = _Coded(
        tuple(codes),
        tuple(lookup(code) for code in codes),
        service_on,
        patient_sex,
        patient_birth_on,
        line_kind,
        tariff,
        starter,
    )
    return tuple(problem for rule in RULES for problem in rule(coded))


def _number_of_codes(line: _Coded) -> Iterable[Problem]:
    """Rule 3."""
    if line.line_kind == "modifier" and line.codes and line.tariff not in MODIFIERS_WITH_CODES:
        yield Problem("CR0035", "A modifier line carries no diagnosis: remove its ICD-10 codes.", "icd10")
    if line.line_kind in ("tariff", "item") and not line.codes:
        yield Problem("CR0031", "Add a diagnosis: choose at least one ICD-10 code.", "icd10")
    if len(line.codes) > MOST_CODES:
        yield Problem(
            "CR0031",
            f"{len(line.codes)} ICD-10 codes are too many: keep the {MOST_CODES} that matter.",
            "icd10",
        )


def _shape(line: _Coded) -> Iterable[Problem]:
    """Rule 2."""
    for at, code in enumerate(line.codes):
        problem = shape_problem(code)
        if problem:
            yield Problem(problem.code, problem.sentence, f"icd10.{at}")


def _in_the_table(line: _Coded) -> Iterable[Problem]:
    """Rule 1."""
    for at, (code, row) in enumerate(zip(line.codes, line.rows, strict=True)):
        where = f"icd10.{at}"
        if shape_problem(code):
            continue
        if row is None and line.starter:
            yield Problem(
                "CR0001",
                f"{code} is not in the starter set of codes: import the national ICD-10 table, or choose another code.",
                where,
            )
        elif row is None:
            yield Problem(
                "CR0001", f"{code} is not in the national ICD-10 table: choose another code.", where
            )
        elif not row.clinical:
            yield Problem(
                "CR0011",
                f"{code} is not specific enough for a claim: choose one of the codes under it.",
                where,
            )
        elif not row.valid_on(line.service_on):
            yield Problem(
                "CR0026", f"{code} {_not_valid(row, line.service_on)}: choose the code in force then.", where
            )


def _not_valid(row: Code, day: date) -> str:
    if row.valid_from and day < row.valid_from:
        return f"is valid only from {row.valid_from:%d/%m/%Y}, after the service on {day:%d/%m/%Y}"
    return f"was valid only until {row.valid_until:%d/%m/%Y}, before the service on {day:%d/%m/%Y}"


def _first_code(line: _Coded) -> Iterable[Problem]:
    """Rule 4, and the first half of rules 6, 7 and 8. A modifier's own codes are rule 3's affair."""
    if line.line_kind == "modifier" or not line.codes:
        return
    code, row = line.codes[0], line.rows[0]
    if row is None or row.primary or not row.clinical:
        return
    for rule, fits, sentence in _NOT_FIRST:
        if fits(code, row):
            yield Problem(rule, sentence.format(code=code), "icd10.0")
            return


_NOT_FIRST: tuple[tuple[str, Callable[[str, Code], bool], str], ...] = (
    (
        "GSN0016",
        lambda code, row: row.asterisk,
        "{code}* says where a disease shows itself and cannot stand first: put the disease (dagger code) before it.",
    ),
    (
        "GSN0006",
        lambda code, row: is_external_cause(code),
        "{code} says how an injury came about and cannot stand first or alone: put the injury before it.",
    ),
    (
        "GSN0015",
        lambda code, row: row.sequelae,
        "{code} is a late effect and cannot stand first: put the present condition before it.",
    ),
    (
        "GSN0002",
        lambda code, row: is_morphology(code),
        "{code} is a tumour's histology and cannot stand first: put the neoplasm's code before it.",
    ),
    (
        "GSN0002",
        lambda code, row: "B95" <= code[:3] <= "B98",
        "{code} names a germ and cannot stand first: put the infection it caused before it.",
    ),
    (
        "GSN0002",
        lambda code, row: True,
        "{code} may not be the primary diagnosis: put another code before it.",
    ),
)


def _injury_needs_cause(line: _Coded) -> Iterable[Problem]:
    """Rule 5: the cause may follow anywhere after the injury, and its own specificity is rule 1's affair."""
    if line.line_kind == "modifier":
        return
    for at, code in enumerate(line.codes):
        if not code or not is_injury(code) or is_late_injury(code):
            continue
        if not any(later and is_external_cause(later) for later in line.codes[at + 1 :]):
            yield Problem(
                "GSN0006",
                f"{code} is an injury: add how it happened after it (V01 to Y98; W19.99 or X59.99 if unknown).",
                f"icd10.{at}",
            )


def _cause_without_injury(line: _Coded) -> Iterable[Problem]:
    """Rule 6: legal for adverse effects such as E24.2 with Y42.0, so a person decides."""
    if any(code and is_injury(code) for code in line.codes):
        return
    for at, code in enumerate(line.codes):
        if at > 0 and code and is_external_cause(code) and not is_late_cause(code):
            yield Problem(
                "ECC_ALONE",
                f"{code} says how an injury came about, but there is no injury code (S00 to T98). "
                "Right for an adverse effect; otherwise add the injury.",
                f"icd10.{at}",
                stop=False,
            )


def _asterisk_after_dagger(line: _Coded) -> Iterable[Problem]:
    """Rule 7. Many true daggers are not flagged as such in the table, so any disease code before it will do."""
    for at, code, row in line.known():
        if (
            row.asterisk
            and at > 0
            and not any(_may_be_dagger(*earlier) for earlier in line.known() if earlier[0] < at)
        ):
            yield Problem(
                "GSN0016", f"{code}* needs the disease that causes it (dagger code) before it.", f"icd10.{at}"
            )


def _may_be_dagger(at: int, code: str, row: Code) -> bool:
    return not (row.asterisk or row.sequelae or is_external_cause(code) or is_morphology(code))


def _late_effects(line: _Coded) -> Iterable[Problem]:
    """Rule 8: a late effect of an injury goes with a late cause, and the reverse."""
    if line.line_kind == "modifier":
        return
    for at, code in enumerate(line.codes):
        if code and is_late_injury(code):
            if not any(later and is_late_cause(later) for later in line.codes[at + 1 :]):
                yield Problem(
                    "GSN0015",
                    f"{code} is the late effect of an injury: add its cause after it (Y85 to Y89).",
                    f"icd10.{at}",
                )
        elif (
            code and is_late_cause(code) and not any(other and is_late_injury(other) for other in line.codes)
        ):
            yield Problem(
                "GSN0015",
                f"{code} is the cause of a late effect, but there is no late effect of an injury (T90 to T98).",
                f"icd10.{at}",
            )


def _sex(line: _Coded) -> Iterable[Problem]:
    """Rule 9, first half."""
    words = {"F": "women", "M": "men"}
    for at, code, row in line.known():
        if row.sex and line.sex in words and line.sex != row.sex:
            yield Problem(
                "CR0019",
                f"{code} is only for {words[row.sex]}, but the patient is recorded as {line.sex}: "
                "check the code and the patient's sex.",
                f"icd10.{at}",
            )


def completed_years(birth_on: date, day: date) -> int:
    """Age in completed years on a day.

    >>> completed_years(date(2004, 2, 29), date(2005, 2, 28)), completed_years(date(2004, 2, 29), date(2005, 3, 1))
    (0, 1)
    """
    return day.year - birth_on.year - ((day.month, day.day) < (birth_on.month, birth_on.day))


def _age(line: _Coded) -> Iterable[Problem]:
    """Rule 9, second half, in completed years: the two limits of 19 then leave no gap between them."""
    if line.birth_on is None:
        return
    years = completed_years(line.birth_on, line.service_on)
    fits = {"": True, ">19": years > 19, "<=19": years <= 19, "<=1": years <= 1}
    words = {">19": "older than 19 years", "<=19": "of 19 years or younger", "<=1": "of one year or younger"}
    for at, code, row in line.known():
        if not fits[row.ages]:
            yield Problem(
                "CR0020",
                f"{code} is only for patients {words[row.ages]}, and this patient was {years} on the day of service: "
                "check the code and the date of birth.",
                f"icd10.{at}",
            )


def _morphology(line: _Coded) -> Iterable[Problem]:
    """Rule 10: the rule that asked for histology was postponed, so this never stops a claim."""
    for at, code in enumerate(line.codes):
        if is_morphology(code):
            yield Problem(
                "MORPHOLOGY",
                f"{code} (histology) is not asked for by schemes yet; it may be left out.",
                f"icd10.{at}",
                stop=False,
            )


def _undisclosed(line: _Coded) -> Iterable[Problem]:
    """Rule 11."""
    for at, code in enumerate(line.codes):
        if code.startswith("U98"):
            yield Problem(
                "CR0023",
                f"{code} withholds the diagnosis: the scheme need not pay. Tell the patient and note the consent.",
                f"icd10.{at}",
                stop=False,
            )


def _twice(line: _Coded) -> Iterable[Problem]:
    for at, code in enumerate(line.codes):
        if code in line.codes[:at]:
            yield Problem("TWICE", f"{code} stands twice on the line: remove one.", f"icd10.{at}", stop=False)


RULES: tuple[Callable[[_Coded], Iterable[Problem]], ...] = (
    _number_of_codes,
    _shape,
    _in_the_table,
    _first_code,
    _injury_needs_cause,
    _cause_without_injury,
    _asterisk_after_dagger,
    _late_effects,
    _sex,
    _age,
    _morphology,
    _undisclosed,
    _twice,
)


# --- searching -----------------------------------------------------------------------------------------


def search(codes: Iterable[Code], text: str, *, limit: int = 20) -> tuple[Code, ...]:
    """Codes that begin with `text`, then codes whose description has every word of it; the usable ones first.

    The database does this for the whole table; this is the same order over any iterable.
    """
    start, words = tidy(text), text.lower().split()
    if not words:
        return ()
    ranked = []
    for code in codes:
        rank = _rank(code, start, words)
        if rank is not None:
            length = len(code.description) if rank > 1 else 0
            ranked.append((rank, not code.primary, not code.clinical, length, code.code, code))
    return tuple(found[-1] for found in sorted(ranked, key=lambda found: found[:-1])[:limit])


def _rank(code: Code, start: str, words: Sequence[str]) -> int | None:
    if code.code == start:
        return 0
    if code.code.startswith(start) or code.code.replace(".", "").startswith(start.replace(".", "") or "."):
        return 1
    spoken = re.findall(r"\w+", code.description.lower())
    if all(any(part.startswith(word) for part in spoken) for word in words):
        return 2 if spoken and spoken[0].startswith(words[0]) else 3
    return None
