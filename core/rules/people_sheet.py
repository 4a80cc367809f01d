"""A sheet of staff: its columns, its template, and what taking it over would change. Nothing is changed here."""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import date
from typing import Literal

from core.errors import Refused
from core.rules import sheets, za
from core.rules.access import OVERRIDES
from core.rules.logins import fold_login, problem_of
from core.rules.person_texts import HEADINGS, LENGTHS, problems_of, quoted, seen_problems, tidy
from core.rules.problems import Problem, stops
from core.rules.roles import STAFF, Role

_LONGEST_ID = 40


@dataclass(frozen=True)
class Column:
    """One column: what it is called here, what else people call it, and what the template says about it."""

    heading: str
    also: tuple[str, ...]
    explained: str
    needed: bool = False


COLUMNS = {
    "login": Column(
        "Login", ("username", "user", "user name", "account", "account name", "sign-in name", "sAMAccountName"),
        "The name to sign in with: letters a to z, digits, dots, hyphens and underscores. It says whose row this is.",
        needed=True,
    ),
    "name": Column(HEADINGS["name"], ("full name", "display name", "staff name"), "As it stands on reports, with title: Dr Thandi Nkosi.", needed=True),
    "roles": Column(
        "Roles", ("role", "staff role", "staff roles"),
        "One or more, parted by semicolons or commas: " + ", ".join(STAFF) + ". Every change of roles waits for approval.",
        needed=True,
    ),
    "registration": Column(HEADINGS["registration"], ("registration", "registration number", "HPCSA", "HPCSA number", "HPCSA no"), "May stay empty."),
    "practice_number": Column(HEADINGS["practice_number"], ("practice no", "PCNS", "PCNS number", "BHF number"), "All 13 digits, leading zeros included; may stay empty."),
    "email": Column(HEADINGS["email"], ("mail", "e-mail address"), "May stay empty."),
    "id_number": Column("ID number", ("ID", "ID no", "SA ID", "SA ID number", "identity number"), "South African ID number, as text; may stay empty. It is checked and not kept."),
    "sites": Column("Sites", ("site", "branch", "branches"), "Two-character codes of sites, parted by semicolons or commas; empty: the practice's own."),
    "scope": Column(
        "Scope", ("patient scope", "access to patients"),
        "Which patients: " + ", ".join(OVERRIDES) + "; empty: as the roles say.",
    ),
}  # fmt: skip
"""A column that a sheet does not have leaves what is known as it is; an empty cell empties it."""

_EXAMPLE = ("example.person", "Dr Example Person", "radiologist;manager", "MP0123456", "", "example.person@practice.example",
            "", "01", "")  # fmt: skip


@dataclass(frozen=True)
class Row:
    """One row by column. line: as Excel numbers it. Columns that the sheet does not have are absent from `cells`."""

    line: int
    cells: Mapping[str, str] = field(repr=False)
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True)
class Sheet:
    """A sheet of staff as it was read. problems: of the sheet as a whole, none of which stops the rows."""

    rows: tuple[Row, ...]
    problems: tuple[Problem, ...] = ()
    title: str = ""
    encoding: str = ""


@dataclass(frozen=True)
class Known:
    """What is known, or wanted, of one account. scope "": as the roles say; sites (): the house's own."""

    login: str
    name: str
    roles: tuple[str, ...]
    registration: str = ""
    practice_number: str = ""
    email: str = ""
    sites: tuple[str, ...] = ()
    scope: str = ""


@dataclass(frozen=True)
class Change:
    """One field that would change, in words for the screen."""

    field: str
    heading: str
    before: str
    after: str


What = Literal["new", "changed", "unchanged", "refused"]


@dataclass(frozen=True)
class PlannedRow:
    """What one row would do. before: None for somebody new; wanted: None when refused; name: as a refused row has it.

    id_number: checked, thirteen digits or "". problems: every one at once; of rows not refused, only warnings.
    """

    line: int
    login: str
    what: What
    wanted: Known | None = None
    before: Known | None = None
    changes: tuple[Change, ...] = ()
    problems: tuple[Problem, ...] = ()
    id_number: str = field(default="", repr=False)
    name: str = ""

    @property
    def roles_wait(self) -> bool:
        """True when the row gives or takes roles, which another admin has to approve."""
        return self.what == "new" or any(change.field == "roles" for change in self.changes)

    @property
    def reasons(self) -> tuple[str, ...]:
        """The sentences to show beside the row."""
        return tuple(problem.sentence for problem in self.problems)


# --- reading and writing ---------------------------------------------------------------------------------


def read_sheet(data: bytes, *, name: str) -> Sheet:
    """Staff from a CSV file or an Excel workbook. Raises Refused when the sheet as a whole cannot be used."""
    table = sheets.read_table(data, name=name)
    places: dict[str, int] = {}
    problems = []
    for at, heading in enumerate(table.header):
        column = _HEADINGS.get(_heading(heading))
        if column in places:
            raise Refused(f"Two columns say '{COLUMNS[column].heading}': delete one of them.")
        if column:
            places[column] = at
        elif heading or any(row.cells[at].strip() for row in table.rows):
            called = f"'{quoted(heading)}'" if heading else f"number {at + 1}, without a heading,"
            problems.append(
                Problem("column-unknown", f"The column {called} is not known and is left out.", stop=False)
            )
    missing = [column.heading for key, column in COLUMNS.items() if column.needed and key not in places]
    if missing:
        raise Refused(
            f"The first row must name the columns, and lacks: {', '.join(missing)}. The template has them all."
        )
    if not table.rows:
        raise Refused("The sheet has a heading and no rows.")
    rows = tuple(
        Row(row.line, {column: row.cells[at] for column, at in places.items()}, row.problems)
        for row in table.rows
    )
    return Sheet(rows, tuple(problems), table.title, table.encoding)


def _heading(text: str) -> str:
    return "".join(c for c in unicodedata.normalize("NFKC", text).casefold() if c.isalnum())


_HEADINGS = {
    _heading(name): key for key, column in COLUMNS.items() for name in (key, column.heading, *column.also)
}


def template(kind: Literal["csv", "xlsx"]) -> bytes:
    """An empty sheet to fill in: heading, one example row (which is never taken over), and in XLSX the explanation."""
    return _written(kind, [_EXAMPLE])


def write_people(people: Iterable[Known], *, kind: Literal["csv", "xlsx"]) -> bytes:
    """Staff as a sheet that can be changed and read again."""
    return _written(
        kind,
        [
            (
                p.login,
                p.name,
                "; ".join(p.roles),
                p.registration,
                p.practice_number,
                p.email,
                "",
                "; ".join(p.sites),
                p.scope,
            )
            for p in people
        ],
    )


def _written(kind: Literal["csv", "xlsx"], rows: list[tuple[str, ...]]) -> bytes:
    header = tuple(column.heading for column in COLUMNS.values())
    if kind == "csv":
        return sheets.write_csv(header, rows)
    notes = [("Column", "Needed", "What to write")]
    notes += [(c.heading, "yes" if c.needed else "no", c.explained) for c in COLUMNS.values()]
    return sheets.write_xlsx(header, rows, title="Staff", notes=notes)


# --- planning --------------------------------------------------------------------------------------------


def plan(
    rows: Iterable[Row], existing: Mapping[str, Known], *, today: date, sites: Collection[str] | None = None
) -> tuple[PlannedRow, ...]:
    """What each row would do to the accounts that exist (by folded login). Every reason of a row is told at once.

    sites: the codes that exist, None when that is not known. Taking a plan over and planning again changes nothing.
    """
    planned = []
    logins: dict[str, int] = {}
    numbers: dict[str, int] = {}
    for row in rows:
        login = fold_login(row.cells.get("login", ""))
        before = existing.get(login)
        wanted, id_number, problems = _wanted(row, before, today=today, sites=sites)
        problems = [*row.problems, *problems]
        if login and (first := logins.setdefault(login, row.line)) != row.line:
            problems.append(
                Problem("login-twice", f"Row {first} has the login '{quoted(login)}' already.", "login")
            )
        if id_number and (first := numbers.setdefault(id_number, row.line)) != row.line:
            problems.append(
                Problem(
                    "id-twice",
                    f"Row {first} has the same ID number: is it one person?",
                    "id_number",
                    stop=False,
                )
            )
        planned.append(_planned(row.line, wanted, before, tuple(problems), id_number))
    return tuple(planned)


def _planned(
    line: int, wanted: Known, before: Known | None, problems: tuple[Problem, ...], id_number: str
) -> PlannedRow:
    if stops(problems):
        return PlannedRow(
            line, quoted(wanted.login), "refused", None, before, (), problems, name=wanted.name[:120]
        )
    if before is None:
        return PlannedRow(line, wanted.login, "new", wanted, None, (), problems, id_number)
    before = replace(before, roles=tuple(sorted(before.roles)), sites=tuple(sorted(before.sites)))
    changes = tuple(
        Change(
            f.name, COLUMNS[f.name].heading, _shown(getattr(before, f.name)), _shown(getattr(wanted, f.name))
        )
        for f in fields(Known)
        if f.name != "login" and getattr(before, f.name) != getattr(wanted, f.name)
    )
    what: What = "changed" if changes else "unchanged"
    return PlannedRow(line, wanted.login, what, wanted, before, changes, problems, id_number)


def _shown(value: str | tuple[str, ...]) -> str:
    return value if isinstance(value, str) else ", ".join(value)


def _wanted(
    row: Row, before: Known | None, *, today: date, sites: Collection[str] | None
) -> tuple[Known, str, list[Problem]]:
    """The account that a row asks for, the ID number, and everything that is wrong with them."""
    cells = row.cells
    login = fold_login(cells.get("login", ""))
    wanted = before or Known(login, "", ())
    wanted = replace(wanted, roles=tuple(sorted(wanted.roles)), sites=tuple(sorted(wanted.sites)))
    problems = [problem for problem in [problem_of(cells.get("login", ""))] if problem]
    if login == _EXAMPLE[0]:
        problems.append(Problem("example", "This is the template's example: delete the row.", "login"))
    if before and set(before.roles) - set(STAFF):
        problems.append(
            Problem("not-staff", "The login is that of a patient or a referring doctor.", "login")
        )
    texts = {column: tidy(column, cells[column]) for column in LENGTHS if column in cells}
    lost = _zeros_lost(texts.get("practice_number", ""), "practice_number", "practice number")
    problems += lost + problems_of({k: v for k, v in texts.items() if not (lost and k == "practice_number")})
    written = tidy("id_number", cells.get("id_number", ""))
    problems += seen_problems("id_number", written, heading=COLUMNS["id_number"].heading, longest=_LONGEST_ID)
    if id_number := re.sub(r"[\s\-]", "", written):
        problems += _zeros_lost(id_number, "id_number", "ID number") or [
            replace(problem, field="id_number") for problem in za.check_sa_id(id_number, today=today)
        ]
    wanted = replace(wanted, **texts)
    if "roles" in cells:
        wanted = replace(wanted, roles=tuple(sorted({part.casefold() for part in _parts(cells["roles"])})))
        problems += _role_problems(wanted.roles)
    if "sites" in cells:
        wanted = replace(wanted, sites=tuple(sorted({part.upper() for part in _parts(cells["sites"])})))
        problems += _site_problems(wanted.sites, sites)
    if "scope" in cells:
        wanted = replace(wanted, scope=tidy("scope", cells["scope"]).casefold())
        if wanted.scope and wanted.scope not in OVERRIDES:
            problems.append(
                Problem(
                    "scope-unknown",
                    f"There is no scope '{quoted(wanted.scope)}': {', '.join(OVERRIDES)}, or leave it empty.",
                    "scope",
                )
            )
    return wanted, id_number, problems


def _parts(text: str) -> list[str]:
    return [part for part in (tidy("", part) for part in re.split(r"[;,\n]", text)) if part]


def _zeros_lost(number: str, column: str, words: str) -> list[Problem]:
    """Excel keeps such numbers as numbers unless told otherwise: it drops zeros in front and digits behind."""
    if re.fullmatch(r"\d([.,]\d+)?[eE]\+?\d+", number):
        return [
            Problem(
                "digits-lost",
                f"Excel has shortened the {words} to {number}: format the column as Text and type it again.",
                column,
            )
        ]
    if re.fullmatch(r"[0-9]{8,12}", number):
        return [
            Problem(
                "zeros-lost",
                f"The {words} has {len(number)} of 13 digits. Excel drops leading zeros: format the column as Text and type it again.",
                column,
            )
        ]
    return []


def _role_problems(roles: Collection[str]) -> list[Problem]:
    if not roles:
        return [Problem("no-role", "Choose at least one role: " + ", ".join(STAFF) + ".", "roles")]
    problems = []
    for role in roles:
        if role in STAFF:
            continue
        if role in (Role.PATIENT, Role.REFERRER):
            sentence = (
                f"'{role}' is no staff role: patients and referring doctors get their access at the gateway, "
                "not from this sheet."
            )
        elif near := difflib.get_close_matches(role[:40], STAFF, n=1):
            sentence = f"There is no role '{quoted(role)}'. Is it {near[0]}?"
        else:
            sentence = f"There is no role '{quoted(role)}': {', '.join(STAFF)}."
        problems.append(Problem("role-unknown", sentence, "roles"))
    return problems


def _site_problems(wanted: Collection[str], sites: Collection[str] | None) -> list[Problem]:
    return [
        Problem(
            "site-unknown",
            f"There is no site '{quoted(site)}': sites have codes of two letters or digits.",
            "sites",
        )
        for site in wanted
        if not re.fullmatch(r"[0-9A-Z]{2}", site) or (sites is not None and site not in sites)
    ]
