"""The board: who is where, now."""

from __future__ import annotations

from uuid import UUID

import streamlit as st

from console import desk, steps, takeout, widgets
from core import workflow
from core.rules.catalogue import MODALITIES
from core.rules.steps import Status
from core.workflow import URGENCIES, BoardRow, Filters

DAYS = {"today": "Today", "week": "Next 7 days", "all": "All days"}
_NO_WAIT = (Status.BOOKED, Status.PAID, Status.CANCELLED)  # nobody waits for anything here
_URGENT = {"stat": "▲ Now", "urgent": "▲ Today", "routine": ""}


def render() -> None:
    widgets.title("Board", "Every patient and where they are. It keeps itself up to date.")
    a, b, c, d = st.columns([4, 2, 2, 2])
    search = a.text_input(
        "Search",
        placeholder="Name, file or accession number",
        key="board-search",
        label_visibility="collapsed",
        icon=":material/search:",
    )
    modality = b.selectbox(
        "Modality",
        ["", *sorted(MODALITIES)],
        format_func=lambda m: m or "Every modality",
        key="board-modality",
        label_visibility="collapsed",
    )
    urgency = c.selectbox(
        "Urgency",
        ["", *URGENCIES],
        format_func=lambda u: URGENCIES.get(u, "Every urgency"),
        key="board-urgency",
        label_visibility="collapsed",
    )
    days = d.selectbox(
        "Days",
        list(DAYS),
        format_func=DAYS.__getitem__,
        index=2,
        key="board-days",
        label_visibility="collapsed",
    )
    _live(search, modality, urgency, days)
    asked = Filters(
        search, tuple(st.session_state.get("board-statuses") or ()), modality, urgency, *widgets.days_of(days)
    )
    takeout.offer(
        "Take this list out",
        workflow.take_out,
        asked,
        purpose=workflow.TAKE_OUT,
        file_name="board.xlsx",
        next="/board",
        most=workflow.MOST_TAKEN,
    )


@desk.live(2)
def _live(search: str, modality: str, urgency: str, days: str) -> None:
    from_on, to_on = widgets.days_of(days)
    statuses = st.session_state.get("board-statuses") or []
    filters = Filters(search, tuple(statuses), modality, urgency, from_on, to_on)
    at = widgets.page_number("board", narrowed=filters)
    board = desk.ask(workflow.board, filters, page=at, size=widgets.PER_PAGE)
    counts = board.counts
    st.pills(
        "Statuses",
        [s for s in Status if counts.get(s) or s in statuses],
        selection_mode="multi",
        key="board-statuses",
        format_func=lambda s: f"{widgets.said_status(s)}  {counts.get(s, 0)}",
        label_visibility="collapsed",
    )
    if not board.rows:
        _nothing(filters)
        return
    chosen: UUID | None = st.session_state.get("pick-board")
    if chosen is None:
        _list(board.rows)
        widgets.pager("board", board.total, what="studies")
        st.caption("Choose a row to see what can be done next.")
        return
    left, right = st.columns([3, 1.15], gap="medium")
    with left:
        _list(board.rows)
        widgets.pager("board", board.total, what="studies")
    with right:
        steps.panel(chosen, on_close=lambda: widgets.unpick("board"))


def _list(rows: tuple[BoardRow, ...]) -> None:
    widgets.pick(
        "board",
        [
            {
                "Status": [widgets.said_status(r.status)],
                "Waits": "" if r.status in _NO_WAIT else widgets.waits(r.waits_since_at),
                "Urgent": _URGENT.get(r.urgency, r.urgency),
                "Patient": r.patient,
                "Born": r.born_on,
                "Examination": r.description,
                "Mod.": r.modality,
                "Booked for": widgets.when(r.booked_for_at),
                "Accession": r.accession,
                "Radiologist": r.radiologist,
            }
            for r in rows
        ],
        [r.id for r in rows],
        columns={"Status": widgets.status_column(), "Born": st.column_config.DateColumn(format="DD/MM/YYYY")},
    )


def _nothing(filters: Filters) -> None:
    if filters == Filters():
        widgets.empty("Nothing is booked yet", "Bookings appear here as soon as reception makes them.")
        return
    widgets.empty(
        "Nothing matches", "No study fits the search and the filters above.", "Widen them to see more."
    )
