"""What the billing pages draw: lines with their prices, problems beside their field, a claim's way, its money."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date
from functools import cache
from html import escape
from pathlib import Path
from typing import Any

import streamlit as st

from console import widgets
from core.billing import STATES, Entry, Happening, LineCard, Tables
from core.ledger import ACCOUNTS
from core.rules.claim_states import Clock
from core.rules.problems import Problem

TONES = {
    "coding": "neutral",
    "queued": "info",
    "sent": "busy",
    "answered": "warn",
    "rejected": "bad",
    "settled": "good",
}
LINE_TONES = {"Received": "info", "Valid": "info", "Invalid": "bad", "Rejected": "bad", "Adjusted": "warn", "Pended": "busy",
              "Referred": "busy", "Approved": "good", "Paid": "good"}  # fmt: skip
DEMO = '<span class="sorg-demo">DEMO PRICE</span>'
STARTER = '<span class="sorg-demo">STARTER SET</span>'
SOON_DAYS = 14


@cache
def _style() -> str:
    return f"<style>{(Path(__file__).parent / 'bills.css').read_text()}</style>"


def style() -> None:
    """The billing pages' own look; once at the start of each of them."""
    st.html(_style())


# Words ----------------------------------------------------------------------------------------------------------


def said_state(state: str) -> str:
    """Sign and word, for places that take only text."""
    return f"{widgets.SIGNS[TONES[state]]} {STATES[state]}"


def state_column(label: str = "State") -> Any:
    """A table's column of claim states: each cell is a list of one."""
    colours = [widgets.TONES[TONES[state]] for state in STATES]
    return st.column_config.MultiselectColumn(
        label, options=[said_state(s) for s in STATES], color=colours, width=160
    )


def days_left(last: date) -> str:
    """How long until a last day, as people say it; a sign when it is soon or over."""
    left = (last - widgets.today()).days
    if left < 0:
        return f"✕ over by {-left} days"
    return f"▲ {left} days" if left <= SOON_DAYS else f"{left} days"


def tables_line(tables: Tables) -> None:
    """Which code table and which prices are in use, in one line that is always there."""
    prices = (
        f"{tables.demo_prices} of {tables.prices} prices"
        if tables.demo_prices < tables.prices
        else "All prices"
    )
    starter = f" {STARTER}" if tables.icd10_is_starter else ""
    demo = f" · {prices}: {DEMO} not a tariff" if tables.prices_are_demo else f" · {tables.prices} prices"
    name = escape(tables.icd10_name)
    st.html(f'<p class="sorg-tables">ICD-10: {name}, {count(tables.icd10_rows)} codes{starter}{demo}</p>')


def count(number: int) -> str:
    return f"{number:,}".replace(",", "\u00a0")


def total(cents: int, *, is_demo: bool, label: str = "Total") -> None:
    """One sum, large, and marked when an invented price is in it."""
    st.html(
        f'<p class="sorg-sum"><span>{escape(label)}<b>{widgets.money(cents)}</b></span>{DEMO if is_demo else ""}</p>'
    )


def cents_cell(cents: int, *, is_demo: bool) -> str:
    """A sum for a table's cell, marked when an invented price is in it."""
    return f"{widgets.money(cents)} DEMO" if is_demo else widgets.money(cents)


def sums(rows: dict[str, str], *, is_demo: bool = False) -> None:
    """A few sums beside one another."""
    body = "".join(f"<span>{escape(name)}<b>{escape(value)}</b></span>" for name, value in rows.items())
    st.html(f'<p class="sorg-sum">{body}{DEMO if is_demo else ""}</p>')


# Lines ----------------------------------------------------------------------------------------------------------


def lines(rows: Sequence[LineCard], *, total_cents: int, answered: bool = False) -> None:
    """A claim's lines with their prices; with what the payer said about each, once it has said something."""
    head = ["", "Code", "Examination", "Qty", "Amount"]
    if answered:
        head += ["Status", "Approved", "Paid"]
    body = "".join(_line(row, answered=answered) for row in rows)
    blank = "<td></td>" * 3 if answered else ""
    foot = f'<tr><td colspan="4">Total</td><td class="n">{widgets.money(total_cents)}</td>{blank}</tr>'
    heads = "".join(f"<th{' class=n' if h in _NUMBERS else ''}>{h}</th>" for h in head)
    st.html(
        f'<table class="sorg-bill"><thead><tr>{heads}</tr></thead><tbody>{body}</tbody><tfoot>{foot}</tfoot></table>'
    )


_NUMBERS = ("Qty", "Amount", "Approved", "Paid")


def _line(row: LineCard, *, answered: bool) -> str:
    amount = '<span class="nil">no price</span>' if row.cents is None else widgets.money(row.cents)
    words = escape(row.description) or '<span class="nil">not in the price list</span>'
    codes = f'<span class="why">{escape(", ".join(row.icd10))}</span>' if row.icd10 else ""
    demo = f"<br>{DEMO}" if row.is_demo and row.cents else ""
    cells = [
        f"<td>{row.number}</td><td>{escape(row.code)}</td><td>{words}{codes}</td>",
        f'<td class="n">{_quantity(row)}</td><td class="n">{amount}{demo}</td>',
    ]
    if answered:
        why = "".join(f'<span class="why">{escape(r.text or r.code)}</span>' for r in row.reasons)
        approved = "" if row.approved_cents is None else widgets.money(row.approved_cents)
        paid = widgets.money(row.paid_cents) if row.paid_cents or row.status == "Paid" else ""
        status = widgets.chip(row.status, LINE_TONES.get(row.status, "neutral")) if row.status else "waiting"
        cells.append(f'<td>{status}{why}</td><td class="n">{approved}</td><td class="n">{paid}</td>')
    return f"<tr{' class=mod' if row.kind == 'modifier' else ''}>{''.join(cells)}</tr>"


def _quantity(row: LineCard) -> str:
    return "" if row.kind == "modifier" else f"{row.quantity.normalize():f}"


def diagnosis(code: str, words: str, *, is_first: bool) -> None:
    """One diagnosis of a line, the first marked as primary."""
    mark = "<i>primary</i>" if is_first else ""
    said = escape(words) if words else "<i>not in the loaded table</i>"
    st.html(f'<div class="sorg-dx"><b>{escape(code)}</b>{said}{mark}</div>')


# Problems -------------------------------------------------------------------------------------------------------


def part(place: str, words: str) -> None:
    """The name of a part of the form; a problem's sentence leads to it."""
    st.html(f'<h4 class="sorg-part" id="at-{escape(place)}">{escape(words)}</h4>')


def to_mend(found: Sequence[Problem], place_of: Any) -> None:
    """Everything at once, stops and warnings apart; each sentence leads to its field. place_of: field -> anchor or ""."""
    stops, warns = [p for p in found if p.stop], [p for p in found if not p.stop]
    if stops:
        head = "1 thing stops this claim" if len(stops) == 1 else f"{len(stops)} things stop this claim"
        st.html(f'<div class="sorg-mend stop" role="alert"><h4>{head}</h4>{_list(stops, place_of)}</div>')
    else:
        st.html('<div class="sorg-mend good"><h4>✓ Nothing stops this claim</h4></div>')
    if warns:
        with st.expander(f"{len(warns)} to know before sending", expanded=not stops and len(warns) <= 4):
            st.html(_list(warns, place_of))


def beside(found: Iterable[Problem]) -> None:
    """What is wrong with the one field above."""
    if body := _list(found, lambda field: ""):
        st.html(body)


def _list(found: Iterable[Problem], place_of: Any) -> str:
    items = []
    for problem in found:
        said, place = escape(problem.sentence), place_of(problem.field)
        said = f'<a href="#at-{escape(place)}">{said}</a>' if place else said
        items.append(f'<li class="{"stop" if problem.stop else "warn"}">{said}</li>')
    return f'<ul class="sorg-wrong">{"".join(items)}</ul>' if items else ""


def note(head: str, body: str, tone: str = "info") -> None:
    """One thing to know, with its heading."""
    st.html(f'<div class="sorg-mend {tone}"><h4>{escape(head)}</h4><p>{escape(body)}</p></div>')


# A claim's way, its clocks, its money ---------------------------------------------------------------------------

_HAPPENED = {
    "submitted": ("Submitted", "info"), "received": ("Received by the switch", "busy"), "answer": ("The scheme answered", "busy"),
    "late": ("An answer that changes nothing", "neutral"), "unread": ("An answer nobody could read", "warn"),
    "read": ("Dealt with", "neutral"), "turned": ("The switch refused the message", "bad"), "recalled": ("Taken back", "warn"),
    "charged": ("Charged to the patient", "warn"), "paid": ("Payment posted", "good"),
}  # fmt: skip


def way(happenings: Sequence[Happening]) -> None:
    """What happened to a claim, oldest first, in the payer's words."""
    items = "".join(
        f"<li>{widgets.chip(*_HAPPENED.get(h.what, (h.what, 'neutral')))} <span>{widgets.when(h.at)}</span>"
        f"<br>{'<br>'.join(map(escape, _said(h)))}</li>"
        for h in happenings
    )
    st.html(f'<ol class="sorg-history">{items}</ol>')


def _said(h: Happening) -> list[str]:
    facts = h.facts
    if h.what == "submitted":
        kind = {"RSV": ", as a resubmission", "ADJ": ", as an amendment"}.get(facts.get("correction", ""), "")
        return [f"{widgets.money(facts['cents'])}, batch {facts['batch']}, attempt {facts['attempt']}{kind}."]
    if h.what == "received":
        return [f"Reference {facts['reference']}."]
    if h.what == "paid":
        owed = facts["owed_cents"]
        return [
            f"{widgets.money(facts['paid_cents'])} paid so far"
            + (
                f", {widgets.money(owed)} owed by the scheme."
                if owed
                else ", nothing more owed by the scheme."
            )
        ]
    if h.what == "charged":
        return [f"{widgets.money(facts['cents'])}."]
    if h.what in ("answer", "late", "unread"):
        said = [facts.get("tracking", "")] if facts.get("tracking") else []
        said += [r["text"] or r["code"] for r in facts.get("reasons", ())]
        said += [_said_line(line) for line in facts.get("lines", ())]
        said += [f"Not applied: {_said_line(line)}" for line in facts.get("unmatched", ())]
        return said
    return [facts.get("why") or facts.get("note") or ""] + ([f"By {facts['by']}."] if facts.get("by") else [])


def _said_line(line: dict[str, Any]) -> str:
    why = f": {line['why']}" if line.get("why") else ""
    return f"Line {line['line']}: {line['status']}, {widgets.money(line['cents'])}{why}"


def clocks(running: Sequence[Clock]) -> None:
    """The last days that count, each with how long it is."""
    rows: dict[str, list[str]] = {}
    for clock in running:
        rows.setdefault(f"{widgets.day(clock.ends_on)} ({days_left(clock.ends_on)})", []).append(clock.label)
    widgets.facts({" and ".join(labels).capitalize(): when for when, labels in rows.items()})


def postings(entries: Sequence[Entry]) -> None:
    """A claim's money, oldest first."""
    if not entries:
        st.caption("Nothing is posted yet: submitting the claim makes the first entry.")
        return
    body = "".join(
        f"<tr><td>{widgets.when(e.at)}</td><td>{escape(ACCOUNTS[e.account])}</td><td>{escape(e.memo)}</td>"
        f'<td class="n">{widgets.money(e.cents)}</td></tr>'
        for e in entries
    )
    head = "<th>When</th><th>Account</th><th>Entry</th><th class=n>Amount</th>"
    st.html(f'<table class="sorg-bill"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>')


def examination(place: str, code: str, words: str, cents: int | None, *, is_demo: bool) -> None:
    """One examination of a claim: its code, words and price."""
    price = widgets.money(cents) if cents is not None else '<span class="nil">no price</span>'
    said = escape(words) if words else "<i>not in the price list</i>"
    st.html(
        f'<div class="sorg-exam"><b>{escape(code)}</b> {said}<span>{price} {DEMO if is_demo else ""}</span></div>'
    )


def due(running: Sequence[Clock]) -> None:
    """The first of the days that count, in one line; said louder when it is near."""
    clock = min(running, key=lambda one: one.ends_on, default=None)
    if clock is not None:
        said = f"{clock.label.capitalize()}: {widgets.day(clock.ends_on)}, {days_left(clock.ends_on)}"
        st.html(f'<p class="sorg-tables">{escape(said)}</p>')


def standing(name: str, state: str, tone: str, tracking: str) -> None:
    """A claim's number, where it stands here, and the payer's own word for it."""
    said = f" {widgets.chip(tracking, 'neutral')}" if tracking else ""
    st.html(f'<h3 class="sorg-standing">{escape(name)} {widgets.chip(state, tone)}{said}</h3>')
