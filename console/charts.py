"""Figures that pages draw: the tones' colours in both lights, and each chart's numbers as a table beside it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from core.rules.catalogue import MODALITIES
from core.rules.steps import LOOKS, Status

# The tones of style.css, for a canvas that reads no style sheet.
TONES = {
    "light": {"neutral": "#586469", "info": "#1d5d93", "busy": "#6a4592", "warn": "#8a5300", "good": "#1c6b3a",
              "bad": "#9b2a1c", "main": "#0b6b63", "ground": "#fcfbf8", "soft": "#56646a", "line": "#dcd8cc"},
    "dark": {"neutral": "#a9b5b9", "info": "#85bdec", "busy": "#c9a8ec", "warn": "#efb45a", "good": "#7fcf9b",
             "bad": "#ff9f90", "main": "#2a9186", "ground": "#11171a", "soft": "#a6b3b7", "line": "#2e3a3f"},
}  # fmt: skip

# The theme's chartCategoricalColors and a few more; a modality keeps its colour whatever else is drawn.
_FAMILY = (
    "#0b6b63",
    "#c77d1a",
    "#3d6fb4",
    "#8b5a9f",
    "#b4483c",
    "#6b7a3a",
    "#4fa39b",
    "#8a6d5a",
    "#7f93ad",
    "#b58ab8",
)
MODALITY = dict(
    zip(("CT", "DX", "MR", "US", *sorted(MODALITIES - {"CT", "DX", "MR", "US"})), _FAMILY, strict=False)
)


def tone(name: str) -> str:
    """A tone's colour in this browser's light."""
    return TONES["dark" if st.context.theme.type == "dark" else "light"][name]


def status_looks(statuses: Sequence[Status]) -> dict[Status, tuple[str, str]]:
    """A colour and a pattern for each: the colour is the status's tone, the pattern tells those of one tone apart."""
    patterns, used, looks = ("", "/", "."), {}, {}
    for status in statuses:
        name = LOOKS[status].tone
        looks[status] = (tone(name), patterns[used.get(name, 0) % len(patterns)])
        used[name] = used.get(name, 0) + 1
    return looks


def span(hours: float) -> str:
    """How long, as people say it: 23 min, 3.4 h, 6.0 days."""
    if hours < 1:
        return f"{round(hours * 60)} min"
    return f"{hours:.1f} h" if hours < 48 else f"{hours / 24:.1f} days"


def figure(*traces: Any, height_px: int = 320, **layout: Any) -> go.Figure:
    """A figure in the console's look; the theme gives fonts and grid."""
    drawn = go.Figure(traces)
    drawn.update_layout(
        height=height_px,
        margin={"l": 8, "r": 8, "t": 8, "b": 8},
        dragmode=False,
        bargap=0.25,
        legend={
            "orientation": "h",
            "y": 1.02,
            "yanchor": "bottom",
            "x": 0,
            "title": None,
            "traceorder": "normal",
        },
        hovermode="closest",
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
    )
    drawn.update_layout(**layout)
    drawn.update_xaxes(automargin=True, fixedrange=True, title_font_size=13)
    drawn.update_yaxes(automargin=True, fixedrange=True, title_font_size=13)
    return drawn


def show(name: str, drawn: go.Figure, rows: Sequence[dict[str, Any]], *, said: str) -> None:
    """The chart, what it says in words for those who do not see it, and its numbers as a table."""
    st.plotly_chart(drawn, key=f"chart-{name}", alt=said, config={"displayModeBar": False})
    with st.expander("The same as a table", icon=":material/table_rows:"):
        st.dataframe(pd.DataFrame(list(rows)), hide_index=True, placeholder="")
