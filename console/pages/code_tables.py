"""Codes and prices: which tables are loaded, searching them, and loading others."""

from __future__ import annotations

import hashlib

import streamlit as st

from console import bills, desk, widgets
from core import code_tables
from core.rules.roles import Permission
from core.rules.tariff import Preview, Tariff

_MOST = 200  # rows shown of a long list


def render() -> None:
    bills.style()
    widgets.title("Codes and prices", "What claims are coded and priced with.")
    tables = desk.ask(code_tables.tables)
    left, right = st.columns(2, gap="large")
    with left:
        widgets.heading("Diagnoses: ICD-10")
        if not tables.icd10_rows:
            bills.note(
                "✕ No ICD-10 table is loaded",
                "No claim can be coded before one is. An admin or billing clerk loads it here.",
                "stop",
            )
        elif tables.icd10_is_starter:
            bills.note(
                f"▲ STARTER SET: {tables.icd10_name}",
                f"{tables.icd10_rows} codes common in radiology, in our own words. "
                "This is not the national table: a code that is missing here may still be right, and claims can only be "
                "checked in part. Load the Master Industry Table of the Department of Health.",
                "warn",
            )
        else:
            bills.note(f"✓ {tables.icd10_name}", f"{bills.count(tables.icd10_rows)} codes.", "good")
        _find_codes()
        if desk.may(Permission.TABLES_IMPORT):
            _load_icd10()
    with right:
        widgets.heading("Prices")
        if not tables.prices:
            bills.note("✕ No prices are loaded", "Nothing can be priced before a list is loaded.", "stop")
        elif tables.prices_are_demo:
            bills.note(
                f"▲ DEMO PRICES: {tables.demo_prices} of {tables.prices}",
                "Invented amounts, not a tariff. They are "
                "marked wherever they show. Load each scheme's price list before you claim for real patients.",
                "warn",
            )
        else:
            bills.note(f"✓ {tables.prices} prices", "None of them is a demo price.", "good")
        _find_prices()
        if desk.may(Permission.TABLES_IMPORT):
            _load_prices()
    if not desk.may(Permission.TABLES_IMPORT):
        st.caption("Admins and billing clerks load tables.")


def _find_codes() -> None:
    if not desk.may(Permission.BILLING_SEE):
        return
    search = st.text_input(
        "Find a diagnosis", placeholder="Code or words: S52.5, headache", key="tables-codes"
    )
    if not search.strip():
        return
    found = desk.ask(code_tables.find_codes, search=search)
    if not found:
        widgets.empty(
            "Nothing found",
            "No code of the loaded table begins so, and no description holds all of these words.",
        )
        return
    widgets.table(
        [
            {
                "Code": f.code + f.mark,
                "Description": f.description,
                "On a claim": "yes" if f.clinical else "no",
                "First": "yes" if f.primary else "no",
            }
            for f in found
        ],
        height=280,
    )


def _find_prices() -> None:
    if not desk.may(Permission.BILLING_SEE):
        return
    search = st.text_input("Find a price", placeholder="Code or words: 65130, wrist", key="tables-prices")
    found = desk.ask(code_tables.find_tariffs, search=search)
    if not found:
        widgets.empty("Nothing found", "No price in force today has this code or these words.")
        return
    widgets.table([_price_cells(row) for row in found], height=280)


def _price_cells(row: Tariff) -> dict[str, object]:
    price = (
        widgets.money(row.cents)
        if row.cents is not None
        else f"× {row.factor}"
        if row.factor is not None
        else "no price"
    )
    return {
        "Code": row.code,
        "Description": row.description,
        "Price": f"{price} ▲ DEMO PRICE" if row.demo else price,
        "Scheme": row.scheme or "every scheme",
        "From": widgets.day(row.valid_from),
    }


# Loading ----------------------------------------------------------------------------------------------------------


def _load_icd10() -> None:
    with st.expander("Load an ICD-10 table", icon=":material/upload_file:"):
        st.caption(
            "The official workbook (XLSX, 24 columns), or a CSV, plain or gzipped, as docs/billing.md describes."
        )
        file = st.file_uploader(
            "ICD-10 file", type=["xlsx", "csv", "gz"], key="icd10-file", label_visibility="collapsed"
        )
        if file is None:
            return
        content = file.getvalue()
        table = _once("icd10", content, code_tables.preview_icd10)
        usable = sum(code.clinical for code in table.codes)
        bills.sums(
            {
                "Codes": bills.count(len(table.codes)),
                "For claims": bills.count(usable),
                "Refused rows": bills.count(len(table.refused)),
            }
        )
        _refused([(r.line, r.code, r.reason) for r in table.refused])
        name = st.text_input(
            "Name it as it should be called on claims",
            value=file.name.rsplit(".", 1)[0][:120],
            max_chars=120,
            key="icd10-name",
        )
        if len(table.codes) < code_tables.WHOLE_TABLE_HAS:
            st.caption("This is far from the whole national table, so it will be marked as a starter set.")
        if st.button("Use this table from now on", type="primary", key="icd10-load") and (
            done := desk.do(code_tables.import_icd10, content=content, name=name)
        ):
            desk.again(f"{len(done.value.codes)} codes are loaded.")


def _load_prices() -> None:
    with st.expander("Load a price list", icon=":material/upload_file:"):
        st.caption(
            "A CSV with code, description, kind, price, factor, valid_from, valid_until, scheme, source, demo."
        )
        file = st.file_uploader("Price list", type=["csv"], key="tariff-file", label_visibility="collapsed")
        if file is None:
            return
        content = file.getvalue()
        found: Preview = desk.ask(code_tables.preview_tariff, content=content)
        bills.sums(
            {
                "New": str(len(found.new)),
                "Changed": str(len(found.changed)),
                "Unchanged": str(len(found.unchanged)),
                "Refused": str(len(found.refused)),
            }
        )
        if found.demo:
            bills.note(
                "▲ Demo prices",
                "Some prices of this file are invented; they will be marked wherever they show.",
                "warn",
            )
        if found.changed:
            st.caption("Changed prices")
            widgets.table(
                [
                    {
                        "Code": old.code,
                        "Was": _price_cells(old)["Price"],
                        "Becomes": _price_cells(new)["Price"],
                        "Description": new.description,
                        "From": widgets.day(new.valid_from),
                    }
                    for old, new in found.changed[:_MOST]
                ]
            )
        _refused([(r.line, r.code, r.reason) for r in found.refused])
        if not found.new and not found.changed:
            st.info("Nothing in this file is new.", icon=":material/info:")
            return
        takes = f"Take {len(found.new)} new and {len(found.changed)} changed prices"
        if st.button(takes, type="primary", key="tariff-load") and desk.do(
            code_tables.import_tariff, content=content
        ):
            desk.again("The price list is loaded.")


def _once(name: str, content: bytes, question):
    """Reading 41 008 rows takes a while, so a file is read once, not at each drawing of the page."""
    digest, kept = hashlib.sha256(content).hexdigest(), f"read-{name}"
    if st.session_state.get(kept, ("",))[0] != digest:
        with st.spinner("Reading the file…"):
            st.session_state[kept] = (digest, desk.ask(question, content=content))
    return st.session_state[kept][1]


def _refused(rows: list[tuple[int, str, str]]) -> None:
    if not rows:
        return
    st.caption(
        f"{len(rows)} rows of the file cannot be used; the others can."
        + (f" The first {_MOST} are shown." if len(rows) > _MOST else "")
    )
    widgets.table(
        [{"Line": line, "Code": code, "Why": why} for line, code, why in rows[:_MOST]],
        columns={"Why": st.column_config.TextColumn(width="large")},
    )
