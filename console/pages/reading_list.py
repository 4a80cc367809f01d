"""The reading list: what waits for a radiologist."""

from __future__ import annotations

import streamlit as st

from console import desk, steps, widgets
from core import workflow
from core.rules.catalogue import MODALITIES
from core.rules.steps import Status
from core.workflow import URGENCIES, Filters

_SPANS = {
    "Unread": (Status.SCANNED,),
    "Being written": (Status.REPORTING,),
    "In transcription": (Status.TO_TRANSCRIBE, Status.TRANSCRIBING),
    "To sign": (Status.PROOFREADING,),
    "All open": (
        Status.SCANNED,
        Status.REPORTING,
        Status.TO_TRANSCRIBE,
        Status.TRANSCRIBING,
        Status.PROOFREADING,
    ),
}


def render() -> None:
    widgets.title("Reading list", "Urgent first, then by appointment.")
    a, b = st.columns([4, 2])
    search = a.text_input(
        "Search",
        placeholder="Name, file or accession number",
        key="reading-search",
        label_visibility="collapsed",
        icon=":material/search:",
    )
    modality = b.selectbox(
        "Modality",
        ["", *sorted(MODALITIES)],
        format_func=lambda m: m or "Every modality",
        key="reading-modality",
        label_visibility="collapsed",
    )
    _live(search, modality)


@desk.live(3)
def _live(search: str, modality: str) -> None:
    every = desk.ask(workflow.reading_list, Filters(search, _SPANS["All open"], modality), size=1).counts
    span = st.segmented_control(
        "Which",
        list(_SPANS),
        default="Unread",
        key="reading-span",
        label_visibility="collapsed",
        required=True,
        format_func=lambda s: f"{s}  {sum(every.get(x, 0) for x in _SPANS[s])}",
    )
    filters = Filters(search, _SPANS[span or "Unread"], modality)
    at = widgets.page_number("reading", narrowed=filters)
    board = desk.ask(workflow.reading_list, filters, page=at, size=widgets.PER_PAGE)
    if not board.rows:
        widgets.empty("Nothing here", "New studies appear by themselves as soon as their images are in.")
        return
    chosen = st.session_state.get("pick-reading")
    left, right = st.columns([3, 1.15], gap="medium") if chosen else (st.container(), None)
    with left:
        widgets.pick(
            "reading",
            [
                {
                    "Urgency": "" if r.urgency == "routine" else f"▲ {URGENCIES.get(r.urgency, r.urgency)}",
                    "Status": [widgets.said_status(r.status)],
                    "Waits": widgets.waits(r.waits_since_at),
                    "Patient": r.patient,
                    "Born": r.born_on,
                    "Examination": r.description,
                    "Mod.": r.modality,
                    "Images": r.image_count,
                    "Referrer": r.referrer,
                    "Radiologist": r.radiologist,
                    "Accession": r.accession,
                }
                for r in board.rows
            ],
            [r.id for r in board.rows],
            columns={
                "Status": widgets.status_column(),
                "Born": st.column_config.DateColumn(format="DD/MM/YYYY"),
            },
        )
        widgets.pager("reading", board.total, what="studies")
    if right is None or chosen is None:
        st.caption("Choose a row to start or go on with a report.")
        return
    with right:
        steps.panel(chosen, on_close=lambda: widgets.unpick("reading"))
