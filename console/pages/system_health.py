"""System health: what waits to be done outside, what is stuck, and whether the parts answer."""

from __future__ import annotations

from datetime import timedelta

import streamlit as st

from console import desk, widgets
from core import errands, practice
from core.errands import ErrandCard
from core.rules.roles import Permission

KINDS = {"attach_report": "Report into the PACS", "submit_claim": "Claim to the scheme"}
_PATIENCE = timedelta(minutes=2)  # an errand that is due for longer says that nobody runs errands
_STATES = {"stuck": ("bad", "Stuck"), "waiting": ("busy", "Waiting")}


def render() -> None:
    widgets.title("System health", "What still has to happen outside, and whether every part answers.")
    _live()


@desk.live(5)
def _live() -> None:
    left, right = st.columns([1, 2], gap="large")
    with left:
        widgets.heading("Parts")
        us = desk.ask(practice.particulars)
        widgets.line("Practice", us.name, "warn" if us.is_demo else "good", "demo data" if us.is_demo else "")
        widgets.line("Database", "answers", "good")
        for part in desk.parts():
            widgets.line(part.name, part.word, part.tone, part.more)
    waiting = desk.ask(errands.open_errands)
    with left:
        late = any(e.state == "waiting" and e.due_at < widgets.now() - _PATIENCE for e in waiting)
        widgets.line("Worker", "behind" if late else "keeps up", "bad" if late else "good",
                     "Errands are overdue: is it running?" if late else "")  # fmt: skip
    with right:
        counts = desk.ask(errands.counts)
        widgets.heading("Errands")
        a, b, c = st.columns(3)
        a.metric("Stuck", counts.get("stuck", 0))
        b.metric("Waiting", counts.get("waiting", 0))
        c.metric("Done", counts.get("done", 0))
    _open(waiting)


def _open(found: tuple[ErrandCard, ...]) -> None:
    if not found:
        widgets.empty("Nothing waits", "Reports are in the PACS and claims are on their way.")
        return
    chosen = widgets.pick(
        "errands",
        [
            {"State": f"{widgets.SIGNS[_STATES[e.state][0]]} {_STATES[e.state][1]}", "Errand": KINDS.get(e.kind, e.kind),
             "Tries": e.tries, "Next try": widgets.when(e.due_at), "Since": widgets.when(e.made_at), "Trouble": e.trouble}
            for e in found
        ],
        [e.id for e in found], columns={"Trouble": st.column_config.TextColumn(width="large")},
    )  # fmt: skip
    if not desk.may(Permission.SYSTEM_MANAGE):
        st.caption("An admin can have a stuck errand tried again.")
        return
    if (
        st.button(
            "Try again now", disabled=chosen is None, icon=":material/refresh:", help="Choose a row first."
        )
        and chosen
        and desk.do(errands.try_again, chosen)
    ):
        widgets.unpick("errands")
        desk.again("The worker tries it again within a few seconds.")
