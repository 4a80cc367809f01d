"""The tables that a claim is coded with: ICD-10 and prices, loaded, searched, and said plainly which they are."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date
from fractions import Fraction
from typing import Any
from uuid import UUID

from sqlalchemy import func, or_, select

from core.errors import Refused
from core.rules import icd10, tariff
from core.rules.names import fold, search_words, searchable
from core.rules.roles import Permission
from core.rules.tariff import Tariff
from core.rules.za_time import local_day
from core.store.model import CodeTable, Icd10Row, TariffRow
from core.store.work import Subject, Work

WHOLE_TABLE_HAS = 30_000
"""The national table of March 2021 has 41 008 codes: what is much smaller is a part of it, and is treated as one."""


@dataclass(frozen=True)
class Tables:
    """Which tables are loaded, said plainly wherever they are used. prices_are_demo: at least one of them is."""

    icd10_name: str
    icd10_rows: int
    icd10_is_starter: bool
    prices: int
    prices_are_demo: bool
    demo_prices: int = 0


@dataclass(frozen=True)
class CodeFound:
    """One code found in the loaded table. usable: may stand on a claim; mark: the books' dagger or asterisk."""

    code: str
    description: str
    clinical: bool
    primary: bool
    mark: str = ""
    valid_until: date | None = None

    @property
    def usable(self) -> bool:
        return self.clinical


def tables(work: Work) -> Tables:
    """Which ICD-10 table and which prices are loaded."""
    with work.look(Permission.TABLES_SEE):
        return loaded(work)


def find_codes(work: Work, *, search: str, size: int = 30) -> tuple[CodeFound, ...]:
    """Diagnosis codes of the loaded table: by code, then by words of the description; usable ones first."""
    with work.look(Permission.BILLING_SEE):
        table = active_table(work)
        typed = icd10.tidy(searchable(search))
        if table is None or not typed:
            return ()
        query = select(Icd10Row).where(Icd10Row.table_id == table.id)
        starts = query.where(Icd10Row.code.startswith(typed, autoescape=True))
        found = list(work.db.scalars(starts.order_by(Icd10Row.clinical.desc(), Icd10Row.code).limit(size)))
        for word in search_words(search):
            query = query.where(Icd10Row.search_text.contains(word, autoescape=True))
        order = (Icd10Row.clinical.desc(), func.length(Icd10Row.description), Icd10Row.code)
        found += [row for row in work.db.scalars(query.order_by(*order).limit(size)) if row not in found]
        return tuple(_found(row) for row in found[:size])


def find_tariffs(
    work: Work, *, search: str = "", scheme: str = "", kind: str = "", on: date | None = None, size: int = 50
) -> tuple[Tariff, ...]:
    """Tariff codes and modifiers in force on a day, with this scheme's price where it has one. kind: "" for both."""
    with work.look(Permission.BILLING_SEE):
        on = on or local_day(work.now())
        query = select(TariffRow).where(or_(TariffRow.scheme == scheme, TariffRow.scheme == ""))
        if kind:
            query = query.where(TariffRow.kind == kind)
        for word in searchable(search).split():
            query = query.where(
                or_(
                    TariffRow.code.startswith(word, autoescape=True),
                    TariffRow.description.icontains(word, autoescape=True),
                )
            )
        rows = [_tariff(r) for r in work.db.scalars(query.order_by(TariffRow.code).limit(size * 4))]
        best = (
            tariff.price_on(rows, code, scheme=scheme, service_on=on)
            for code in dict.fromkeys(r.code for r in rows)
        )
        return tuple(row for row in best if row is not None)[:size]


def preview_icd10(work: Work, *, content: bytes) -> icd10.Table:
    """What a file holds, and every row of it that cannot be used. Nothing is changed."""
    with work.look(Permission.TABLES_IMPORT):
        return _read_icd10(content)


def import_icd10(work: Work, *, content: bytes, name: str, is_starter: bool = False) -> icd10.Table:
    """Load a table and use it from now on; earlier editions are kept. Refused rows are returned."""
    with work.act(Permission.TABLES_IMPORT, Subject("code-table")) as facts:
        table, digest = _read_icd10(content), hashlib.sha256(content).hexdigest()
        active = active_table(work)
        if active is not None and active.sha256 == digest:
            raise Refused(f"This very table is loaded already, as '{active.name}'. Nothing was changed.")
        for old in work.db.scalars(select(CodeTable).where(CodeTable.is_active)):
            old.is_active = False
        row = CodeTable(
            id=work.new_id(),
            name=name.strip()[:120] or "ICD-10",
            sha256=digest,
            is_active=True,
            rows=len(table.codes),
            is_starter=is_starter or len(table.codes) < WHOLE_TABLE_HAS,
            loaded_at=work.now(),
        )
        work.db.add(row)
        work.db.flush()
        work.db.add_all([_icd10_row(row.id, c) for c in table.codes])
        facts |= {
            "name": row.name,
            "rows": row.rows,
            "refused": len(table.refused),
            "starter": row.is_starter,
        }
        return table


def preview_tariff(work: Work, *, content: bytes) -> tariff.Preview:
    """What loading a price list would change, row by row. Nothing is changed."""
    with work.look(Permission.TABLES_IMPORT):
        return _preview(work, content)


def import_tariff(work: Work, *, content: bytes) -> tariff.Preview:
    """Load a price list: new and changed rows are taken, refused rows are returned with their line and reason."""
    with work.act(Permission.TABLES_IMPORT, Subject("tariff")) as facts:
        found = _preview(work, content)
        for row in found.new:
            work.db.add(_tariff_row(work, row))
        for _, row in found.changed:
            key = (
                TariffRow.scheme == row.scheme,
                TariffRow.code == row.code,
                TariffRow.valid_from == row.valid_from,
            )
            old = work.db.scalars(select(TariffRow).where(*key)).one()
            for name, value in _tariff_values(row).items():
                setattr(old, name, value)
        facts |= {"new": len(found.new), "changed": len(found.changed), "refused": len(found.refused)}
        return found


# For sibling verbs inside their own gate ------------------------------------------------------------------------


def active_table(work: Work) -> CodeTable | None:
    """The ICD-10 table in use."""
    return work.db.scalars(
        select(CodeTable).where(CodeTable.is_active).order_by(CodeTable.loaded_at.desc())
    ).first()


def loaded(work: Work) -> Tables:
    """Which tables are loaded."""
    table = active_table(work)
    prices = work.db.scalar(select(func.count()).select_from(TariffRow)) or 0
    demo = work.db.scalar(select(func.count()).select_from(TariffRow).where(TariffRow.is_demo)) or 0
    if table is None:
        return Tables("no ICD-10 table", 0, False, prices, bool(demo), demo)
    return Tables(table.name, table.rows, table.is_starter, prices, bool(demo), demo)


def price_finder(work: Work, scheme: str, on: date) -> Callable[[str], Tariff | None]:
    """Looks up the price in force for a code."""

    def find(wanted: str) -> Tariff | None:
        rows = work.db.scalars(select(TariffRow).where(TariffRow.code == wanted))
        return tariff.price_on([_tariff(r) for r in rows], wanted, scheme=scheme, service_on=on)

    return find


def code_finder(work: Work, table: CodeTable | None) -> icd10.Lookup:
    """Looks up a diagnosis code in that edition."""

    def find(wanted: str) -> icd10.Code | None:
        row = table and work.db.get(Icd10Row, (table.id, wanted))
        return (
            icd10.Code(
                row.code,
                row.description,
                row.chapter,
                row.clinical,
                row.primary,
                row.asterisk,
                row.dagger,
                row.sequelae,
                row.ages,
                row.sex,
                valid_from=row.valid_from,
                valid_until=row.valid_until,
            )
            if row
            else None
        )

    return find


def words_for(work: Work, codes: Iterable[str]) -> dict[str, str]:
    """The loaded table's words for these diagnosis codes; unknown ones are left out."""
    table = active_table(work)
    if table is None:
        return {}
    query = select(Icd10Row.code, Icd10Row.description)
    rows = work.db.execute(query.where(Icd10Row.table_id == table.id, Icd10Row.code.in_(set(codes))))
    return {code: words for code, words in rows}


# Inside ---------------------------------------------------------------------------------------------------------


def _found(r: Icd10Row) -> CodeFound:
    mark = "*" if r.asterisk else "†" if r.dagger else ""
    return CodeFound(r.code, r.description, r.clinical, r.primary, mark, r.valid_until)


def _read_icd10(content: bytes) -> icd10.Table:
    try:
        table = icd10.parse_official(content)
    except ValueError as error:
        raise Refused(str(error)) from None
    if not table.codes:
        raise Refused("The file holds no code that can be used. Nothing was changed.")
    return table


def _icd10_row(table_id: UUID, c: icd10.Code) -> Icd10Row:
    return Icd10Row(
        table_id=table_id,
        code=c.code,
        description=c.description[:300],
        search_text=fold(f"{c.code} {c.description}")[:320],
        chapter=c.chapter,
        clinical=c.clinical,
        primary=c.primary,
        asterisk=c.asterisk,
        dagger=c.dagger,
        sequelae=c.sequelae,
        ages=c.ages,
        sex=c.sex,
        valid_from=c.valid_from,
        valid_until=c.valid_until,
    )


def _preview(work: Work, content: bytes) -> tariff.Preview:
    try:
        return tariff.preview(content, existing=[_tariff(r) for r in work.db.scalars(select(TariffRow))])
    except ValueError as error:
        raise Refused(str(error)) from None


def _tariff(r: TariffRow) -> Tariff:
    return Tariff(
        r.code,
        r.description,
        r.kind,
        r.cents,
        Fraction(r.factor) if r.factor else None,
        r.valid_from,
        r.valid_until,
        r.scheme,
        r.source,
        r.is_demo,
    )


def _tariff_values(row: Tariff) -> dict[str, Any]:
    return {
        "description": row.description[:300],
        "kind": row.kind,
        "cents": row.cents,
        "factor": str(row.factor) if row.factor is not None else None,
        "valid_until": row.valid_until,
        "source": row.source[:200],
        "is_demo": row.demo,
    }


def _tariff_row(work: Work, row: Tariff) -> TariffRow:
    return TariffRow(
        id=work.new_id(), code=row.code, scheme=row.scheme, valid_from=row.valid_from, **_tariff_values(row)
    )
