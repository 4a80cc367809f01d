"""Requests: what waits for a second admin, what is being done, what was decided; and the alerts."""

from __future__ import annotations

from uuid import UUID

import streamlit as st

from console import accounts, banners, desk, request_card, widgets
from core import alerts, changes, people
from core.alerts import AlertCard
from core.change_cards import RequestCard
from core.rules.roles import Permission

_VIEWS = ("open", "decided", "alerts")
_DECIDED = 200
# Of the decided ones: the reason and who asked stand in sight on a laptop's screen.
_WIDTHS = {"Decided": 122, "What": 130, "About": 215, "Became": 82, "Why": 220, "Asked by": 135, "By": 130}


def render() -> None:
    if request_id := desk.about("request"):
        request_card.draw(request_id)
        return
    widgets.title("Requests", accounts.how_approved())
    waiting = desk.ask(changes.requests)
    unseen = desk.ask(alerts.alerts) if desk.may(Permission.ALERT_SEE) else ()
    words = {"open": f"Open · {len(waiting)}", "decided": "Decided", "alerts": f"Alerts · {len(unseen)}"}
    view = st.segmented_control(
        "Show",
        _VIEWS,
        key="requests-view",
        default="open",
        format_func=words.__getitem__,
        label_visibility="collapsed",
    )
    if view == "decided":
        _decided()
    elif view == "alerts":
        _alerts(unseen)
    else:
        _open(waiting)
        accounts.explain_alone()


# Lists ----------------------------------------------------------------------------------------------------------


def _open(found: tuple[RequestCard, ...]) -> None:
    if not found:
        widgets.empty(
            "Nothing waits",
            "Changes are asked for under People, Groups and roles, and Who may see a patient.",
        )
        return
    for card in found:
        with st.container(border=True):
            left, right = st.columns([6, 1], vertical_alignment="center")
            with left:
                tone, word = accounts.STATES[card.state]
                widgets.line(request_card.title_of(card), word, tone, _more(card))
                widgets.soft(_asked(card))
            label = "Look at it" if card.why_not or card.state != "waiting" else "Decide"
            if right.button(
                label, key=f"look-{card.id}", width="stretch", type="secondary" if card.why_not else "primary"
            ):
                desk.go("requests", request=card.id)


def _asked(card: RequestCard) -> str:
    why = f" – “{card.why}”" if card.why else ""
    return f"{'You' if card.is_mine else card.asked_by}, {widgets.when(card.asked_at)}{why}"


def _more(card: RequestCard) -> str:
    if card.state == "delayed":
        return f"applied {widgets.when(card.due_at)}"
    if card.state == "waiting":
        return f"open until {widgets.when(card.ends_at)}"
    return ""


def _decided() -> None:
    found = desk.ask(changes.requests, decided=True, size=_DECIDED)
    if not found:
        widgets.empty("Nothing has been decided yet")
        return
    chosen = widgets.pick(
        "decided",
        [
            {
                "Decided": widgets.when(c.decided_at or c.ends_at),
                "What": c.label,
                "About": c.about,
                "Became": accounts.STATES[c.state][1],
                "Why": c.why,
                "Asked by": c.asked_by,
                "By": c.decided_by,
                "Remark": c.remark,
            }
            for c in found
        ],
        [c.id for c in found],
        columns={name: st.column_config.TextColumn(width=width) for name, width in _WIDTHS.items()},
    )
    if len(found) == _DECIDED:
        st.caption(f"The newest {_DECIDED}. Older ones stand in the audit trail.")
    if chosen:
        widgets.unpick("decided")
        desk.go("requests", request=chosen)


# Alerts ---------------------------------------------------------------------------------------------------------


def _alerts(unseen: tuple[AlertCard, ...]) -> None:
    all_of_them = st.toggle("Show those that were seen as well", key="alerts-all")
    found = desk.ask(alerts.alerts, unseen=False) if all_of_them else unseen
    if not found:
        widgets.empty(
            "No alerts",
            "Guessing at the door, a broken glass, or a change that one admin makes alone would stand here.",
        )
        return
    for alert in found:
        with st.container(border=True):
            left, look, seen = st.columns([6, 1, 1], vertical_alignment="center")
            with left:
                note = f"{widgets.when(alert.at)}" + (
                    f" · seen by {alert.seen_by}, {widgets.when(alert.seen_at)}" if alert.seen_at else ""
                )
                widgets.line(
                    alert.sentence,
                    "new" if alert.seen_at is None else "seen",
                    "warn" if alert.seen_at is None else "neutral",
                    note,
                )
            if alert.about and look.button("Look", key=f"look-{alert.id}", width="stretch"):
                _look(alert)
            if (
                alert.seen_at is None
                and seen.button("Seen", key=f"mark-{alert.id}", width="stretch")
                and desk.do(alerts.mark_seen, alert.id)
            ):
                banners.forget()
                desk.again("Noted, with your name.")


def _look(alert: AlertCard) -> None:
    """An alert names one id, of a person, a request or a broken glass."""
    try:
        about = UUID(alert.about)
    except ValueError:
        st.info("There is no page about this.", icon=":material/info:")
        return
    if alert.kind == "glass" and desk.has_page("glass_review"):
        desk.go("glass_review")
    if desk.glance(changes.request, about):
        desk.go("requests", request=about)
    if desk.glance(people.person, about):
        desk.go("people", person=about)
    st.info("There is no page about this.", icon=":material/info:")
