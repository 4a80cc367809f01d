"""Claims that were sent: where each stands, and answers that nobody could read."""

from __future__ import annotations

import base64

import streamlit as st

from console import bills, desk, widgets
from core import billing
from core.billing import STATES, Happening, QueueRow
from core.rules.roles import Permission

_SENT = [state for state in STATES if state != "coding"]


def render() -> None:
    bills.style()
    widgets.title("Claims", "Every claim that was sent, and where it stands. It keeps itself up to date.")
    _unread()
    search = st.text_input(
        "Search",
        placeholder="Name, file number or claim number",
        key="claims-search",
        label_visibility="collapsed",
        icon=":material/search:",
    )
    _list(search)


@desk.live(5)
def _list(search: str) -> None:
    states = tuple(st.session_state.get("claims-states") or ())
    at = widgets.page_number("claims", narrowed=(search, states))
    rows, total, counts = desk.ask(
        billing.claims, states=states, search=search, page=at, size=widgets.PER_PAGE
    )
    st.pills(
        "States",
        [s for s in _SENT if counts.get(s) or s in states],
        selection_mode="multi",
        key="claims-states",
        format_func=lambda s: f"{bills.said_state(s)}  {counts.get(s, 0)}",
        label_visibility="collapsed",
    )
    if not rows:
        if search or states:
            widgets.empty("Nothing matches", "No claim fits the search and the states above.")
        else:
            widgets.empty(
                "No claim was sent yet",
                "Code one from the billing queue; it appears here when it is submitted.",
            )
        return
    chosen = widgets.pick(
        "claims",
        [_cells(r) for r in rows],
        [r.study.id for r in rows],
        columns={
            "State": bills.state_column(),
            "The payer said": st.column_config.TextColumn(width="medium"),
        },
    )
    widgets.pager("claims", total, what="claims")
    st.caption("Choose a row to open the claim.")
    if chosen:
        widgets.unpick("claims")
        desk.go("claim", study=chosen)


def _cells(row: QueueRow) -> dict[str, object]:
    said = " · ".join(x for x in (row.why, row.tracking) if x)
    return {
        "State": [bills.said_state(row.state)],
        "Claim": row.number,
        "Patient": row.study.patient,
        "Examination": row.study.description,
        "Payer": row.scheme_name,
        "Claimed": bills.cents_cell(row.total_cents, is_demo=row.is_demo),
        "Paid": widgets.money(row.paid_cents),
        "The payer said": said,
        "Sent": widgets.when(row.submitted_at),
    }


# Answers nobody could read ----------------------------------------------------------------------------------------


def _unread() -> None:
    waiting = desk.ask(billing.unread_answers)
    if not waiting:
        return
    many = "1 answer" if len(waiting) == 1 else f"{len(waiting)} answers"
    bills.note(
        f"▲ {many} could not be read",
        "Kept exactly as received. Read it, do what it asks for (take the claim back to "
        "send it again, or call the payer), then say here what you did.",
        "warn",
    )
    for event in waiting:
        _one(event)


def _one(event: Happening) -> None:
    about = event.facts.get("claim") or "no claim is named"
    with st.expander(f"Received {widgets.when(event.at)}: {about}"):
        for reason in event.facts.get("reasons", ()):
            st.write(desk.plain(reason["text"] or reason["code"]))
        raw = base64.b64decode(event.facts.get("raw", "")).decode("utf-8", "replace")
        st.code(raw[:20_000] or "(empty)", language=None, wrap_lines=True)
        if not desk.may(Permission.CLAIM_SUBMIT):
            return
        with st.form(f"read-{event.id}", border=False):
            a, b = st.columns([4, 1], vertical_alignment="bottom")
            said = a.text_input("What did you do about it?", max_chars=300, key=f"note-{event.id}")
            if b.form_submit_button("Dealt with", width="stretch") and desk.do(
                billing.mark_read, event.id, note=said
            ):
                desk.again("Noted. The answer stays on record.")
