"""Quarantine: images that do not agree with their order, beside the orders they may be for. A person decides."""

from __future__ import annotations

from uuid import UUID

import streamlit as st

from console import desk, widgets
from core import pacs
from core.pacs import HELD, STATES, ArrivalView, Candidate
from core.rules.roles import Permission

_TONES = {"quarantined": "warn", "unreadable": "bad", "gone": "bad", "released": "good", "matched": "good",
          "rejected": "neutral", "seen": "busy"}  # fmt: skip
_SPANS = {"Held back": HELD, "Arriving": ("seen",), "Decided": ("released", "rejected")}


def render() -> None:
    if arrival_id := desk.about("arrival"):
        _one(arrival_id)
    else:
        widgets.title(
            "Quarantine", "Images wait here until it is certain whose they are. Nobody sees them before that."
        )
        _list()


@desk.live(5)
def _list() -> None:
    span = st.segmented_control(
        "Which",
        list(_SPANS),
        default="Held back",
        required=True,
        key="quarantine-span",
        label_visibility="collapsed",
    )
    states = _SPANS[span or "Held back"]
    at = widgets.page_number("quarantine", narrowed=states)
    found = desk.ask(pacs.quarantine, states=states, page=at, size=widgets.PER_PAGE)
    if not found.rows:
        widgets.empty(
            "Nothing is held back" if states == HELD else "Nothing here",
            "Images that agree with their order go straight to the board.",
        )
        return
    chosen = widgets.pick(
        "quarantine",
        [
            {
                "State": f"{widgets.SIGNS[_TONES.get(c.state, 'neutral')]} {STATES.get(c.state, c.state)}",
                "Why": "; ".join(p.sentence for p in c.reasons) or c.resolution,
                "Name on the images": _name(c.patient_name),
                "Number on the images": c.patient_number,
                "Accession": c.accession,
                "Mod.": c.modality,
                "Images": c.image_count,
                "Last image": widgets.when(c.last_change_at),
            }
            for c in found.rows
        ],
        [c.id for c in found.rows],
        columns={"Why": st.column_config.TextColumn(width="large")},
    )
    widgets.pager("quarantine", found.total, what="arrivals")
    st.caption("Choose a row to see the images' words beside the orders they may be for.")
    if chosen:
        widgets.unpick("quarantine")
        desk.go("quarantine", arrival=chosen)


def _one(arrival_id: UUID) -> None:
    view = desk.ask(pacs.open_arrival, arrival_id)
    card = view.card
    widgets.title(
        "Whose images are these?",
        f"{card.image_count} images, {card.modality or 'unknown kind'}, last one "
        f"{widgets.when(card.last_change_at)}.",
    )
    if st.button("Back to the list", icon=":material/arrow_back:", type="tertiary"):
        desk.go("quarantine")
    widgets.show_chip(STATES.get(card.state, card.state), _TONES.get(card.state, "neutral"))
    widgets.problems(card.reasons)
    if card.resolution:
        st.caption(
            f"{desk.plain(card.resolved_by)}, {widgets.when(card.resolved_at)}: {desk.plain(card.resolution)}"
        )
    left, right = st.columns(2, gap="large")
    with left:
        widgets.heading("What the images say")
        for said in view.says:
            with st.container(border=True):
                widgets.facts(
                    {
                        "Name": _name(said.patient_name),
                        "Number": said.patient_number or "none",
                        "Born": _birth(said.birth_date),
                        "Sex": said.sex,
                        "Accession": said.accession or "none",
                        "Images": str(said.count),
                    }
                )
        if not view.says:
            widgets.empty("Nothing readable", "The file is kept as it came, with the reason above.")
    with right:
        widgets.heading("Orders they may be for")
        if not view.candidates:
            widgets.empty("No order fits", "Book the examination, or correct the patient; then check again.")
        for candidate in view.candidates:
            _candidate(view, candidate)
    if desk.may(Permission.QUARANTINE_RESOLVE):
        _decide(view)


def _candidate(view: ArrivalView, c: Candidate) -> None:
    with st.container(border=True):
        widgets.facts(
            {
                "Name": _name(c.patient_name),
                "File": c.file_number,
                "Born": widgets.day(c.born_on),
                "Sex": c.sex,
                "Accession": c.accession,
                "Examination": c.description,
                "Status": widgets.said_status(c.status),
                "Fits by": ", ".join(c.why),
            }
        )
        widgets.problems(c.problems)
        if not c.problems:
            widgets.line("Agrees with the images", "yes", "good")
        if view.card.state == "quarantined" and desk.may(Permission.QUARANTINE_RESOLVE):
            with st.popover("These images belong here", width="stretch"):
                st.write("The images become this order's. What disagrees, and your reason, stay on record.")
                reason = st.text_input("How do you know?", key=f"reason-{c.study_id}", max_chars=300)
                if st.button(
                    "Release them to this order", key=f"release-{c.study_id}", type="primary"
                ) and desk.do(pacs.release, view.card.id, c.study_id, reason):
                    desk.say("Released to the order.")
                    desk.go("quarantine")


def _decide(view: ArrivalView) -> None:
    widgets.heading("None of these")
    a, b, _ = st.columns([1, 1, 2])
    if a.button(
        "Check again",
        width="stretch",
        icon=":material/refresh:",
        help="After the patient or the order was corrected.",
    ) and desk.do(pacs.recheck, view.card.id):
        desk.again("It is being checked again; look back in a moment.")
    if view.card.state in ("quarantined", "unreadable"):
        with b.popover("Turn them away", width="stretch"):
            st.write(
                "They stay in the image store, marked, and are never shown. 'Check again' takes it back."
            )
            reason = st.text_input("Why?", key="reject-reason", max_chars=300)
            if st.button("Turn them away", key="reject", type="primary") and desk.do(
                pacs.reject, view.card.id, reason
            ):
                desk.say("Turned away.")
                desk.go("quarantine")


def _name(text: str) -> str:
    """DICOM's Family^Given^^Title as people write it."""
    family, *rest = text.split("^")
    given = " ".join(part for part in rest if part)
    return f"{family}, {given}" if given else family


def _birth(text: str) -> str:
    """DICOM's YYYYMMDD as it is read here; anything else as it came."""
    return f"{text[6:8]}/{text[4:6]}/{text[:4]}" if len(text) == 8 and text.isdigit() else text or "none"
