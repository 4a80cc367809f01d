"""Insight: how long, how many, what waits, what is paid, who works when. Nobody's name is in a figure."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from typing import Any

import plotly.graph_objects as go
import streamlit as st

from console import charts, desk, widgets
from console.charts import span, tone
from core import analytics, billing
from core.analytics import Insight, Period, StageTime
from core.rules.catalogue import MODALITIES
from core.rules.steps import LOOKS, UNREAD, Status

SPANS = {7: "Last 7 days", 30: "Last 30 days", 90: "Last 90 days", 365: "Last 12 months", 0: "Choose days"}
READING = ("scan", "reading", "reporting", "transcription", "signing")
OFFICE = ("arrival", "coding", "scheme", "correction")
BILLING = (Status.SIGNED, Status.CLAIMED, Status.REJECTED)
CLAIM_TONES = {"coding": "neutral", "queued": "info", "sent": "busy", "answered": "warn", "rejected": "bad",
               "settled": "good"}  # fmt: skip
DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_SAID_DAY = "%d/%m/%Y"


def render() -> None:
    widgets.title("Insight", "How long, how many, what waits, what is paid. No figure here holds a name.")
    period = _choose()
    figures = _fresh(analytics.insight, period)
    _cards(figures)
    topics = {
        "Turnaround": _turnaround,
        "Volumes": _volumes,
        "Backlog": _backlog,
        "Claims": _claims,
        "Who works when": _activity,
    }
    topic = st.segmented_control(
        "Topic",
        list(topics),
        default="Turnaround",
        key="insight-topic",
        required=True,
        label_visibility="collapsed",
    )
    topics[topic or "Turnaround"](figures)


# What is asked ----------------------------------------------------------------------------------------------------


def _choose() -> Period:
    left, middle, right = st.columns([2, 2, 4])
    span_days = left.selectbox(
        "Period",
        list(SPANS),
        index=1,
        format_func=SPANS.__getitem__,
        key="insight-span",
        label_visibility="collapsed",
    )
    modality = middle.selectbox(
        "Modality",
        ["", *sorted(MODALITIES)],
        key="insight-modality",
        format_func=lambda m: m or "Every modality",
        label_visibility="collapsed",
    )
    today = widgets.today()
    if span_days:
        return Period(today - timedelta(days=span_days - 1), today, modality)
    days = right.date_input(
        "Days",
        (today - timedelta(days=29), today),
        max_value=today,
        format="DD/MM/YYYY",
        key="insight-days",
        label_visibility="collapsed",
    )
    chosen = days if isinstance(days, tuple) else (days,)
    if len(chosen) < 2:
        st.caption("Choose the last day as well.")
        st.stop()
    return Period(chosen[0], chosen[1], modality)


def _fresh(question: Callable[..., Any], period: Period) -> Any:
    """The answer, at most a minute old, shared by people of the same roles: it holds figures and no people."""
    roles = tuple(sorted(desk.actor().roles))
    return _kept(question.__name__, roles, period, lambda: desk.ask(question, period))


@st.cache_data(ttl=60, max_entries=64, show_spinner="Counting …")
def _kept(question: str, roles: tuple[str, ...], period: Period, _ask: Callable[[], Any]) -> Any:
    return _ask()


# What is drawn ----------------------------------------------------------------------------------------------------


def _cards(figures: Insight) -> None:
    report, a = figures.report, st.columns(5)
    unread = sum(s.n for s in figures.backlog if s.day == figures.period.to_on and s.status in UNREAD)
    asked, paid = sum(c.total_cents for c in figures.claims), sum(c.paid_cents for c in figures.claims)
    a[0].metric("Reports signed", report.n if report else 0, border=True)
    a[1].metric(
        "Scanned → signed, median",
        span(report.median_h) if report else "–",
        border=True,
        help="Half of the reports were signed within this time after the scan.",
    )
    a[2].metric(
        "Nine in ten within",
        span(report.p90_h) if report else "–",
        border=True,
        help="The ninetieth percentile of the time from scan to signature.",
    )
    a[3].metric(
        "Waiting for a report",
        unread,
        border=True,
        help="Scanned and not yet signed when the period's last day ended, or now.",
    )
    a[4].metric(
        "Paid",
        widgets.money(paid),
        border=True,
        help=f"Of {widgets.money(asked)} claimed for services of the period.",
    )


def _turnaround(figures: Insight) -> None:
    if not figures.stages:
        _nothing("No study was signed in this period", "Durations appear when a study leaves a stage.")
        return
    left, right = st.columns(2, gap="large")
    with left:
        widgets.heading("From the scan to the signature")
        _stage_bars("reading", figures, READING, unit_h=1, unit="hours")
    with right:
        widgets.heading("Before and after")
        _stage_bars("office", figures, OFFICE, unit_h=24, unit="days")
    if figures.report_by_week:
        left, right = st.columns(2, gap="large")
        with left:
            widgets.heading("Scanned → signed, by week")
            _weeks(figures.report_by_week)
        with right:
            widgets.heading("Scanned → signed, by modality")
            _bars("modality", [(t.group, t) for t in figures.report_by_modality], unit_h=1, unit="hours")


def _stage_bars(name: str, figures: Insight, keys: tuple[str, ...], *, unit_h: float, unit: str) -> None:
    found = {t.stage: t for t in figures.stages}
    rows = [(found[k].label, found[k]) for k in keys if k in found]
    if rows:
        _bars(name, rows, unit_h=unit_h, unit=unit)
    else:
        st.caption("No study finished one of these stages in the period.")


def _bars(name: str, rows: list[tuple[str, StageTime]], *, unit_h: float, unit: str) -> None:
    labels = [label for label, _ in rows]
    medians, p90s = [t.median_h / unit_h for _, t in rows], [t.p90_h / unit_h for _, t in rows]
    hover = "%{y}<br>%{customdata}<extra></extra>"
    said = [f"median {span(t.median_h)}, nine in ten within {span(t.p90_h)}, n = {t.n}" for _, t in rows]
    drawn = charts.figure(
        go.Bar(name="Nine in ten within", y=labels, x=p90s, orientation="h", marker={"color": tone("line")},
               width=0.62, customdata=said, hovertemplate=hover),
        go.Bar(name="Median", y=labels, x=medians, orientation="h", marker={"color": tone("main")}, width=0.34,
               customdata=said, hovertemplate=hover, text=[span(t.median_h) for _, t in rows],
               textposition="outside", textfont={"color": tone("soft"), "size": 12}, cliponaxis=False),
        barmode="overlay", height_px=90 + 44 * len(rows), xaxis_title=unit,
        yaxis={"autorange": "reversed", "showgrid": False}, xaxis={"rangemode": "tozero"},
    )  # fmt: skip
    table = [
        {"": label, "Median": span(t.median_h), "Nine in ten within": span(t.p90_h), "Studies": t.n}
        for label, t in rows
    ]
    charts.show(name, drawn, table, said="; ".join(f"{x}: {y}" for x, y in zip(labels, said, strict=True)))


def _weeks(weeks: tuple[StageTime, ...]) -> None:
    mondays = [date.fromisoformat(w.group) for w in weeks]
    said = [
        f"week of {m:{_SAID_DAY}}: median {span(w.median_h)}, nine in ten within {span(w.p90_h)}, n = {w.n}"
        for m, w in zip(mondays, weeks, strict=True)
    ]
    lines = (
        ("Median", "main", "solid", [w.median_h for w in weeks]),
        ("Nine in ten within", "soft", "dot", [w.p90_h for w in weeks]),
    )
    drawn = charts.figure(
        *(
            go.Scatter(
                name=name,
                x=mondays,
                y=hours,
                mode="lines+markers",
                customdata=said,
                line={"color": tone(colour), "dash": dash, "width": 2.5},
                marker={"size": 8},
                hovertemplate="%{customdata}<extra></extra>",
            )
            for name, colour, dash, hours in lines
        ),
        yaxis={"title": "hours", "rangemode": "tozero"},
        height_px=270,
        xaxis={"tickformat": "%d/%m", "tickvals": mondays if len(mondays) <= 14 else None, "showgrid": False},
    )
    table = [
        {
            "Week of": f"{m:{_SAID_DAY}}",
            "Median": span(w.median_h),
            "Nine in ten within": span(w.p90_h),
            "Studies": w.n,
        }
        for m, w in zip(mondays, weeks, strict=True)
    ]
    charts.show("weeks", drawn, table, said="; ".join(said))


def _volumes(figures: Insight) -> None:
    if not figures.volumes:
        _nothing("Nothing was booked, scanned or signed in this period")
        return
    for kind, head in (("scanned", "Scanned, by day"), ("signed", "Signed, by day")):
        widgets.heading(head)
        names = sorted({v.modality for v in figures.volumes if getattr(v, kind)})
        if not names:
            st.caption(f"Nothing was {kind} in this period.")
            continue
        rows = [v for v in figures.volumes if getattr(v, kind)]
        bars = [
            go.Bar(
                name=m,
                x=[v.day for v in rows if v.modality == m],
                y=[getattr(v, kind) for v in rows if v.modality == m],
                marker={"color": charts.MODALITY.get(m, tone("neutral"))},
                hovertemplate=f"%{{x|{_SAID_DAY}}}<br>{m}: %{{y}}<extra></extra>",
            )
            for m in names
        ]
        drawn = charts.figure(
            *bars,
            barmode="stack",
            height_px=250,
            yaxis={"title": "studies", "rangemode": "tozero"},
            xaxis=_day_axis(figures.period),
            showlegend=True,
        )
        total = sum(getattr(v, kind) for v in rows)
        charts.show(
            kind,
            drawn,
            [{"Day": widgets.day(v.day), "Modality": v.modality, "Studies": getattr(v, kind)} for v in rows],
            said=f"{total} studies {kind} in the period",
        )


def _backlog(figures: Insight) -> None:
    for name, head, statuses in (
        ("unread", "To be reported, when each day ended", UNREAD),
        ("unpaid", "To be claimed and paid, when each day ended", BILLING),
    ):
        widgets.heading(head)
        looks = charts.status_looks(statuses)
        rows = [s for s in figures.backlog if s.status in statuses]
        if not any(s.n for s in rows):
            st.caption("Nothing waited in this period.")
            continue
        drawn = charts.figure(
            *(
                go.Bar(
                    name=LOOKS[status].label,
                    x=[s.day for s in rows if s.status == status],
                    y=[s.n for s in rows if s.status == status],
                    marker={"color": colour, "pattern": {"shape": shape, "fillmode": "overlay", "size": 5}},
                    hovertemplate=f"%{{x|{_SAID_DAY}}}<br>{LOOKS[status].label}: %{{y}}<extra></extra>",
                )
                for status, (colour, shape) in looks.items()
                if any(s.n for s in rows if s.status == status)
            ),
            barmode="stack",
            bargap=0.12,
            height_px=250,
            yaxis={"title": "studies", "rangemode": "tozero"},
            xaxis=_day_axis(figures.period),
            showlegend=True,
        )
        days = sorted({s.day for s in rows}, reverse=True)
        standing = {(s.day, s.status): s.n for s in rows}
        table = [{"Day": widgets.day(d)} | {LOOKS[s].label: standing[d, s] for s in statuses} for d in days]
        said = ", ".join(f"{LOOKS[s].label} {standing[days[0], s]}" for s in statuses)
        charts.show(name, drawn, table, said=f"On the last day: {said}")


def _claims(figures: Insight) -> None:
    if not figures.claims:
        _nothing("No claim for a service in this period", "Claims appear here when billing begins to code.")
        return
    found = {c.state: c for c in figures.claims}
    rows = [
        (label, CLAIM_TONES.get(state, "neutral"), found[state])
        for state, label in billing.STATES.items()
        if state in found
    ]
    left, right = st.columns(2, gap="large")
    table = [
        {
            "State": label,
            "Claims": c.n,
            "Claimed": widgets.money(c.total_cents),
            "Paid": widgets.money(c.paid_cents),
        }
        for label, _, c in rows
    ]
    labels = [label for label, _, _ in rows]
    colours = [tone(name) for _, name, _ in rows]
    with left:
        widgets.heading("Claims, by where they stand")
        charts.show(
            "claims",
            charts.figure(
                go.Bar(
                    y=labels,
                    x=[c.n for _, _, c in rows],
                    orientation="h",
                    marker={"color": colours},
                    text=[c.n for _, _, c in rows],
                    textposition="outside",
                    cliponaxis=False,
                    hovertemplate="%{y}: %{x}<extra></extra>",
                ),
                height_px=80 + 44 * len(rows),
                yaxis={"autorange": "reversed", "showgrid": False},
                xaxis=_room(max(c.n for _, _, c in rows), "claims"),
            ),
            table,
            said="; ".join(f"{label}: {c.n}" for label, _, c in rows),
        )
    with right:
        widgets.heading("Rand, by where they stand")
        charts.show("rand", charts.figure(
            go.Bar(y=labels, x=[c.total_cents / 100 for _, _, c in rows], orientation="h", marker={"color": colours},
                   customdata=[(widgets.money(c.total_cents), widgets.money(c.paid_cents)) for _, _, c in rows],
                   text=[widgets.money(c.total_cents) for _, _, c in rows], textposition="outside", cliponaxis=False,
                   hovertemplate="%{y}: %{customdata[0]} claimed, %{customdata[1]} paid<extra></extra>"),
            height_px=80 + 44 * len(rows), yaxis={"autorange": "reversed", "showgrid": False}, xaxis=_room(max(c.total_cents for _, _, c in rows) / 100, "R"),
            separators=". ",
        ), table, said="; ".join(f"{label}: {widgets.money(c.total_cents)}" for label, _, c in rows))  # fmt: skip


def _activity(figures: Insight) -> None:
    found = _fresh(analytics.activity, figures.period)
    if not found:
        _nothing("Nobody worked in this period")
        return
    roles = sorted({a.role for a in found})
    busiest = max(roles, key=lambda role: sum(a.acts for a in found if a.role == role))
    role = (
        st.pills(
            "Role", roles, default=busiest, key="insight-role", required=True, label_visibility="collapsed"
        )
        or busiest
    )
    acts = {(a.weekday, a.hour): a.acts for a in found if a.role == role}
    grid = [[acts.get((weekday, hour), 0) for hour in range(24)] for weekday in range(7)]
    drawn = charts.figure(
        go.Heatmap(
            z=grid,
            x=[f"{h:02d}:00" for h in range(24)],
            y=DAYS,
            xgap=2,
            ygap=2,
            showscale=False,
            colorscale=[[0, tone("line")], [0.001, tone("line")], [1, tone("main")]],
            hovertemplate="%{y} %{x}: %{z} acts on record<extra></extra>",
        ),
        height_px=300,
        yaxis={"autorange": "reversed", "showgrid": False},
        xaxis={"showgrid": False, "side": "top"},
    )
    table = [{"Day": DAYS[w], "Hour": f"{h:02d}:00", "Acts": n} for (w, h), n in sorted(acts.items())]
    most = max(acts, key=lambda at: acts[at])
    charts.show("activity", drawn, table, said=f"{role}: most acts on {DAYS[most[0]]} at {most[1]:02d}:00")
    st.caption(
        "Acts on record by hour of the South African week. Every modality; the modality filter does not apply."
    )


def _room(largest: float, title: str) -> dict[str, Any]:
    """An axis with room for the label behind the longest bar."""
    return {"title": title, "range": [0, max(largest, 1) * 1.25]}


def _day_axis(period: Period) -> dict[str, Any]:
    noon, days = datetime.combine(period.from_on, time(12)), (period.to_on - period.from_on).days
    return {
        "tickformat": "%d/%m",
        "range": [noon - timedelta(days=1), noon + timedelta(days=days)],
        "showgrid": False,
    }


def _nothing(head: str, *lines: str) -> None:
    widgets.empty(head, *(lines or ()), "Choose a longer period or every modality.")
