"""What pages draw with: banner, chips, tables, texts, empty states. No page writes HTML of its own."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from functools import cache
from html import escape
from pathlib import Path
from typing import Any, Literal, TypeVar

import pandas as pd
import streamlit as st

from console import awake, desk
from console.door import door
from console.signin.routes import FORM_COOKIE
from core.rules.money import rands
from core.rules.problems import Problem
from core.rules.report_text import Mark, sections
from core.rules.steps import LOOKS, Status
from core.rules.za_time import local_day, say_day, say_time, say_until
from core.store.work import Actor
from core.workflow import BoardRow, Move

Key = TypeVar("Key")
PER_PAGE = 50
# How one is called, of what is counted below a table, where it is more than an s less.
_ONE = {"people": "person", "studies": "study"}
# A table shows this many rows before it scrolls by itself: a laptop's screen is full then.
_ROWS, _ROW_PX = 15, 33
SEXES = {"F": "Female", "M": "Male", "O": "Other"}
# A sign beside every colour, for eyes and screens that do not tell the colours apart.
SIGNS = {"neutral": "○", "info": "◔", "busy": "◑", "warn": "▲", "good": "✓", "bad": "✕"}
TONES = {"neutral": "gray", "info": "blue", "busy": "violet", "warn": "orange", "good": "green", "bad": "red"}
MARK = str(Path(__file__).parent / "signin" / "mark.svg")
_WORDMARK = str(Path(__file__).parent / "wordmark.svg")


@cache
def _style() -> str:
    return f"<style>{(Path(__file__).parent / 'style.css').read_text()}</style>"


def style() -> None:
    """The console's style sheet and its mark; once at the start of each run."""
    st.html(_style())
    st.logo(_WORDMARK, size="large", icon_image=MARK)


def keep_awake() -> None:
    """The script that tells when somebody is at this desk; nothing of it is seen before a session is about to end."""
    with st.container(key="sorg-awake"):
        st.html(awake.TAG, unsafe_allow_javascript=True)


def who_is_here(actor: Actor) -> None:
    """Name, roles and the way out, at the foot of the menu. Signing out is a form of its own route."""
    token = escape(str(st.context.cookies.get(FORM_COOKIE) or ""))
    roles = ", ".join(sorted(actor.roles))
    leave = (
        f'<form method="post" action="/logout"><input type="hidden" name="token" value="{token}">'
        '<button type="submit">Sign out</button></form>'
    )
    st.sidebar.html(
        f'<div class="sorg-who"><strong>{escape(actor.name)}</strong><span>{escape(roles)}</span>{leave}</div>'
    )


# Words ----------------------------------------------------------------------------------------------------------


def title(text: str, lead: str = "") -> None:
    """The page's name and one line on what it is for."""
    st.title(desk.plain(text), anchor=False)
    if lead:
        st.html(f'<p class="sorg-lead">{escape(lead)}</p>')


def heading(text: str) -> None:
    st.subheader(desk.plain(text), anchor=False)


def empty(head: str, *lines: str) -> None:
    """Nothing to show, why, and what comes next."""
    body = "".join(f"<p>{escape(line)}</p>" for line in lines)
    st.html(f'<div class="sorg-empty"><h2>{escape(head)}</h2>{body}</div>')


def facts(rows: dict[str, str]) -> None:
    """A few facts, name beside value; empty ones are left out."""
    body = "".join(f"<dt>{escape(k)}</dt><dd>{escape(v)}</dd>" for k, v in rows.items() if v)
    st.html(f'<dl class="sorg-facts">{body}</dl>')


def money(cents: int) -> str:
    """R 1 234.50."""
    return rands(cents)


def when(at: datetime | None) -> str:
    """24/11/2026 14:05, in South Africa."""
    return say_time(at) or "–"


def until(at: datetime | None) -> str:
    """The end of 24/11/2026, as it was asked for; no end."""
    return say_until(at) if at else "no end"


def day(on: date | None) -> str:
    """24/11/2026."""
    return say_day(on) or "–"


def today() -> date:
    """The South African day."""
    return local_day(door().house.clock())


def waits(since: datetime) -> str:
    """How long, as people say it: 5 min, 3 h 20, 4 days."""
    minutes = int((door().house.clock() - since) / timedelta(minutes=1))
    if minutes < 60:
        return f"{max(minutes, 0)} min"
    if minutes < 48 * 60:
        return f"{minutes // 60} h {minutes % 60:02d}"
    return f"{minutes // 1440} days"


def age(born_on: date) -> str:
    """Years, or months for the very young."""
    now = today()
    months = (now.year - born_on.year) * 12 + now.month - born_on.month - (now.day < born_on.day)
    return f"{months // 12} y" if months >= 24 else f"{max(months, 0)} m"


# Status ---------------------------------------------------------------------------------------------------------


def said_status(status: Status) -> str:
    """Sign and word, for places that take only text."""
    look = LOOKS[Status(status)]
    return f"{SIGNS[look.tone]} {look.label}"


def chip(text: str, tone: str) -> str:
    """Colour, sign and word, as HTML for `patient_banner` and its like."""
    return f'<span class="sorg-chip sorg-{tone}">{SIGNS[tone]} {escape(text)}</span>'


def status_chip(status: Status) -> str:
    """A study's status as HTML."""
    look = LOOKS[Status(status)]
    return chip(look.label, look.tone)


def show_chip(text: str, tone: str) -> None:
    """A chip on the page."""
    st.html(chip(text, tone))


def status_column(label: str = "Status") -> Any:
    """A table's column of statuses: each cell is a list of one, drawn as a coloured chip with its words."""
    looks = {said_status(s): TONES[look.tone] for s, look in LOOKS.items()}
    return st.column_config.MultiselectColumn(
        label, options=list(looks), color=list(looks.values()), width=132
    )


# Patients -------------------------------------------------------------------------------------------------------


def patient_banner(row: BoardRow) -> None:
    """Whose study this is; stays in sight while the page scrolls."""
    items = {
        "Born": f"{day(row.born_on)} ({age(row.born_on)})",
        "Sex": SEXES.get(row.sex, row.sex),
        "File": row.file_number,
        "Accession": row.accession,
        "Study": row.description,
    }
    body = "".join(f'<span class="item"><i>{k}</i>{escape(v)}</span>' for k, v in items.items())
    with st.container(key="sorg-banner"):
        st.html(
            f'<div class="sorg-banner"><b class="name">{escape(row.patient)}</b>{body}{status_chip(row.status)}</div>'
        )


def history(moves: Sequence[Move]) -> None:
    """A study's way so far, oldest first."""
    lines = "".join(
        f"<li>{status_chip(Status(m.after))} <span class='sorg-soft'>{when(m.at)} · {escape(m.by)}</span></li>"
        for m in moves
    )
    st.html(f'<ol class="sorg-history">{lines}</ol>')


# Tables ---------------------------------------------------------------------------------------------------------


def pick(
    name: str,
    rows: Sequence[dict[str, Any]],
    keys: Sequence[Key],
    *,
    columns: dict[str, Any] | None = None,
    height: int | Literal["auto"] = "auto",
) -> Key | None:
    """A table to choose one row of; the chosen row's key, also while the table moves under it.

    The browser reports a choice as a row number. Each table is bound to the keys it was drawn with, so that a
    number is never read against another order: a choice can not slip to the neighbour when the list moves.
    A click on any cell chooses its row.
    """
    chosen_at, keys = f"pick-{name}", list(keys)
    chosen: Any = st.session_state.get(chosen_at)
    widget = f"pick-{name}-{hash(tuple(keys)):x}"

    def choose() -> None:
        told = st.session_state[widget]["selection"]
        rows, cells = list(told["rows"]), list(told["cells"])
        # A cell is a way to its row. Beside a row that has just been ticked, an older cell says nothing.
        at = [cells[0][0]] if cells and rows in ([], marked) else rows
        st.session_state[chosen_at] = keys[at[0]] if at else None
        if cells:
            st.session_state[widget] = {"selection": {"rows": at, "columns": [], "cells": []}}

    marked = [keys.index(chosen)] if chosen in keys else []
    start: Any = {"selection": {"rows": marked, "columns": [], "cells": []}}
    frame = pd.DataFrame(list(rows))
    st.dataframe(
        frame,
        key=widget,
        on_select=choose,
        selection_mode=["single-row", "single-cell"],
        selection_default=start,
        hide_index=True,
        column_config=columns,
        height=_tall(len(keys)) if height == "auto" else height,
        placeholder="",
    )
    return chosen


def _tall(rows: int) -> int | Literal["content"]:
    """As tall as its rows with their heading, up to a screenful."""
    return "content" if rows <= _ROWS else (_ROWS + 1) * _ROW_PX + 2


def unpick(name: str) -> None:
    """Forget which row was chosen."""
    st.session_state.pop(f"pick-{name}", None)


def table(
    rows: Sequence[dict[str, Any]],
    *,
    columns: dict[str, Any] | None = None,
    height: int | Literal["auto"] = "auto",
) -> None:
    """A table to read."""
    st.dataframe(
        pd.DataFrame(list(rows)), hide_index=True, column_config=columns, height=height, placeholder=""
    )


def page_number(name: str, *, narrowed: Any) -> int:
    """The page a list stands at; back to the first when it is narrowed differently."""
    seen = st.session_state.get(f"narrowed-{name}")
    if seen != narrowed:
        st.session_state[f"narrowed-{name}"] = narrowed
        st.session_state[f"page-{name}"] = 1
    return st.session_state.get(f"page-{name}", 1)


def pager(name: str, total: int, *, size: int = PER_PAGE, what: str = "") -> None:
    """How many there are, and the way to the next page. Pages are cut in SQL; no list is loaded whole."""
    pages = max(1, -(-total // size))
    at = min(st.session_state.get(f"page-{name}", 1), pages)
    first, last = (at - 1) * size + 1, min(at * size, total)
    left, middle, right = st.columns([6, 1, 1], vertical_alignment="center")
    shown = f"{first}–{last} of {total:,}".replace(",", " ") if total else "0"
    left.caption(
        f"{shown} {what}".strip() if total != 1 else f"1 {_ONE.get(what, what.removesuffix('s'))}".strip()
    )
    if pages > 1:
        if middle.button("Back", key=f"back-{name}", disabled=at <= 1, width="stretch"):
            st.session_state[f"page-{name}"] = at - 1
            st.rerun()
        if right.button("Next", key=f"next-{name}", disabled=at >= pages, width="stretch"):
            st.session_state[f"page-{name}"] = at + 1
            st.rerun()


# Texts of reports -----------------------------------------------------------------------------------------------


def marks(parts: Sequence[Mark]) -> None:
    """The marked-up difference: added words underlined, removed words struck through; colour only helps."""
    tags = {"same": "{}", "added": "<ins>{}</ins>", "removed": "<del>{}</del>"}
    st.html(f'<div class="sorg-text">{"".join(tags[m.kind].format(escape(m.text)) for m in parts)}</div>')


def text_block(text: str) -> None:
    """A text as it was typed."""
    st.html(f'<div class="sorg-text">{escape(text)}</div>')


def report(text: str) -> None:
    """A report as it is read: headings and paragraphs."""
    body = "".join((f"<h4>{escape(h)}</h4>" if h else "") + f"<p>{escape(b)}</p>" for h, b in sections(text))
    st.html(f'<div class="sorg-text sorg-paper">{body}</div>')


# Problems and links ---------------------------------------------------------------------------------------------


def problems(found: Sequence[Problem]) -> None:
    """Everything that has to be mended (or may be overruled), at once."""

    stops = [p for p in found if p.stop]
    warns = [p for p in found if not p.stop]
    if stops:
        st.error("\n".join(f"- {desk.plain(p.sentence)}" for p in stops), icon=":material/error:")
    if warns:
        st.warning("\n".join(f"- {desk.plain(p.sentence)}" for p in warns), icon=":material/warning:")


def problem_of(found: Sequence[Problem], field: str) -> str:
    """The first sentence about one field, to stand beside it."""
    return next((p.sentence for p in found if p.field == field), "")


def link_box(url: str) -> None:
    """An address to pass on; the corner of the box copies it."""
    st.code(url, language=None, wrap_lines=True)


def qr(content: str) -> None:
    """A QR code, drawn here: its content goes nowhere else."""
    import segno

    drawn = segno.make(content, error="m").png_data_uri(scale=5, border=2)
    st.html(f'<div class="sorg-qr"><img src="{drawn}" alt="QR code"></div>')


# Days -----------------------------------------------------------------------------------------------------------


def days_of(span: str) -> tuple[date | None, date | None]:
    """today, week (with today), all: first and last South African day."""
    now = today()
    return {"today": (now, now), "week": (now, now + timedelta(days=6))}.get(span, (None, None))


def now() -> datetime:
    """The practice's clock."""
    return door().house.clock()


def line(name: str, word: str, tone: str, more: str = "") -> None:
    """One thing, how it stands, and a little more in grey."""
    extra = f' <span class="sorg-soft">{escape(more)}</span>' if more else ""
    st.html(f'<div class="sorg-line"><span>{escape(name)}</span>{chip(word, tone)}{extra}</div>')


def viewer(study_id: Any, *, height: int) -> None:
    """The staff's image viewer in a frame of our own origin."""
    st.iframe(f"/view/staff.html?study={study_id}", height=height, alt="Image viewer")


def way(
    label: str, href: str, *, strong: bool = False, width: Literal["stretch", "content"] = "stretch"
) -> None:
    """A link to a page of ours that is no page of Streamlit: it opens in this tab."""
    look = "sorg-button sorg-strong" if strong else "sorg-button"
    st.html(f'<a class="{look}" href="{escape(href)}" target="_self">{escape(label)}</a>', width=width)


def soft(text: str) -> None:
    """A remark in grey, as it was typed."""
    st.html(f'<span class="sorg-soft">{escape(text)}</span>')


def code(text: str) -> None:
    """Something to be typed off, letter by letter."""
    st.html(f'<p class="sorg-code">{escape(text)}</p>')
