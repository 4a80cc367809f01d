"""Broken glass: each one is read and judged by somebody else, on the day it was broken."""

from __future__ import annotations

from datetime import timedelta

import streamlit as st

from console import banners, desk, widgets
from core import access, privacy
from core.access import VERDICTS, GlassToReview
from core.rules.reasons import LONGEST_REASON, SHORTEST_REASON


def render() -> None:
    widgets.title(
        "Broken glass",
        "Records that were opened in an emergency. Each is reviewed by somebody else, the same day.",
    )
    waiting = desk.ask(access.glass_to_review)
    if not waiting:
        widgets.empty(
            "Nothing to review",
            "Nobody has broken the glass since the last review.",
            "When somebody does, the admins are told at once and it appears here.",
        )
        return
    late = sum(g.is_late for g in waiting)
    if late:
        st.error(
            f"{late} of {len(waiting)} should have been reviewed on an earlier day.", icon=":material/alarm:"
        )
    for glass in waiting:
        _one(glass)


def _one(glass: GlassToReview) -> None:
    with st.container(border=True):
        tone, word = ("bad", "overdue") if glass.is_late else ("warn", "to review today")
        widgets.line(
            f"{glass.person}, file {glass.file_number}",
            word,
            tone,
            f"{widgets.when(glass.at)}, open until {widgets.when(glass.until_at)}",
        )
        widgets.text_block(glass.reason)
        _acts(glass)
        if glass.is_mine:
            st.caption("You broke this glass, so somebody else reviews it.")
        else:
            _verdict(glass)


def _acts(glass: GlassToReview) -> None:
    """What was opened meanwhile. Asked for only when somebody wants to see it: reading the trail is an act itself."""
    said = (
        f"What they did with this record: {glass.acts} {'entry' if glass.acts == 1 else 'entries'} on record"
    )
    if st.toggle(said, key=f"acts-{glass.id}"):
        found = desk.ask(
            privacy.who_looked,
            glass.patient_id,
            by=glass.person_id,
            from_at=glass.at - timedelta(seconds=1),
            to_at=glass.until_at,
        )
        widgets.table(
            [
                {
                    "When": widgets.when(e.at),
                    "What was done": e.done if e.outcome == "done" else f"✕ {e.outcome}: {e.done}",
                    "About": e.about,
                    "From": f"{e.channel} {e.address}".strip(),
                }
                for e in found
            ]
        )
    if desk.has_page("audit"):
        st.page_link(
            desk.page("audit"),
            label="Everybody who looked at this patient",
            icon=":material/policy:",
            query_params={"patient": str(glass.patient_id)},
        )


def _verdict(glass: GlassToReview) -> None:
    with st.form(f"review-{glass.id}", border=False):
        left, right = st.columns([1.3, 3], vertical_alignment="bottom")
        verdict = left.segmented_control("Your judgement", list(VERDICTS), format_func=VERDICTS.__getitem__)
        note = right.text_input(
            "Note",
            max_chars=LONGEST_REASON,
            placeholder=f"Needed for misuse, at least {SHORTEST_REASON} characters",
        )
        st.caption("Misuse shuts the record to them at once, and every admin hears of it.")
        if st.form_submit_button("Record the review", type="primary") and desk.do(
            access.review_glass, glass.id, verdict=verdict or "", note=note
        ):
            banners.forget()
            desk.again("Reviewed. It stays on record with your name.")
