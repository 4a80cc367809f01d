"""The billing queue: signed reports without a claim, and claims that came back."""

from __future__ import annotations

import streamlit as st

from console import bills, desk, widgets
from core import billing
from core.billing import PAYERS, QueueRow


def render() -> None:
    bills.style()
    widgets.title(
        "Billing queue", "Signed reports that wait for a claim, and claims that came back. Oldest first."
    )
    bills.tables_line(desk.ask(billing.tables))
    a, b, c = st.columns([4, 2, 2], vertical_alignment="center")
    search = a.text_input(
        "Search",
        placeholder="Name, file or accession number",
        key="queue-search",
        label_visibility="collapsed",
        icon=":material/search:",
    )
    payer = b.selectbox(
        "Payer", list(PAYERS), format_func=PAYERS.__getitem__, key="queue-payer", label_visibility="collapsed"
    )
    which = c.segmented_control(
        "Which",
        ["All", "Came back"],
        default="All",
        required=True,
        key="queue-which",
        label_visibility="collapsed",
    )
    _list(search, payer, which == "Came back")


@desk.live(10)
def _list(search: str, payer: str, rejected_only: bool) -> None:
    at = widgets.page_number("billing-queue", narrowed=(search, payer, rejected_only))
    rows, total = desk.ask(
        billing.queue, search=search, payer=payer, rejected_only=rejected_only, page=at, size=widgets.PER_PAGE
    )
    if not rows:
        _nothing(bool(search or payer or rejected_only))
        return
    chosen = widgets.pick(
        "billing-queue",
        [_cells(r) for r in rows],
        [r.study.id for r in rows],
        columns={
            "Status": widgets.status_column(),
            "Why it came back": st.column_config.TextColumn(width="medium"),
            "Scanned": st.column_config.DateColumn(format="DD/MM/YYYY"),
        },
    )
    widgets.pager("billing-queue", total, what="studies")
    st.caption(
        "Choose a row to code it. ▲ goes stale within two weeks, ✕ is stale: the scheme need not pay it any more."
    )
    if chosen:
        widgets.unpick("billing-queue")
        desk.go("claim", study=chosen)


def _cells(row: QueueRow) -> dict[str, object]:
    return {
        "Status": [widgets.said_status(row.study.status)],
        "Goes stale in": bills.days_left(row.stale_on),
        "Patient": row.study.patient,
        "Examination": row.study.description,
        "Payer": row.scheme_name,
        "Total": bills.cents_cell(row.total_cents, is_demo=row.is_demo) if row.number else "not coded",
        "Scanned": row.service_on,
        "Why it came back": row.why,
        "Radiologist": row.study.radiologist,
        "Accession": row.study.accession,
    }


def _nothing(is_narrowed: bool) -> None:
    if is_narrowed:
        widgets.empty("Nothing matches", "No study in the queue fits the search and the filters above.")
        return
    widgets.empty(
        "The queue is empty",
        "A study appears here as soon as its report is signed, and a claim when the scheme sends it back.",
        "Claims that were sent stand under Claims.",
    )
