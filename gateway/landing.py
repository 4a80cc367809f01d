"""The page behind a link: who sent it, one question, and kind words for every way it can end. Works without scripts."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from html import escape
from pathlib import Path

from core.rules.za_time import say_time
from core.sharing import FrontDoor, LinkState, LinkView
from gateway.forms import LONGEST_SECRET, fields_of
from gateway.headers import landing_csp

STYLE = Path(__file__).with_name("landing.css").read_text(encoding="utf-8")
CSP = landing_csp(STYLE)

_ICONS = {
    "images": '<rect x="3" y="4" width="18" height="16" rx="3"/><circle cx="9" cy="10" r="2"/><path d="m4 18 5-4 3 2 4-4 5 5"/>',
    "clock": '<circle cx="12" cy="12" r="9"/><path d="M12 7v5l3.5 2"/>',
    "device": '<rect x="6" y="2.5" width="12" height="19" rx="3"/><path d="M11 18.5h2"/>',
    "lock": '<rect x="4.5" y="10.5" width="15" height="10" rx="2.5"/><path d="M8 10.5V7.5a4 4 0 0 1 8 0v3"/>',
    "check": '<path d="m5 12.5 4.5 4.5L19 7.5"/>',
    "phone": '<path d="M5 4h4l2 5-2.5 1.5a11 11 0 0 0 5 5L15 13l5 2v4a2 2 0 0 1-2 2A16 16 0 0 1 3 6a2 2 0 0 1 2-2"/>',
    "finger": '<path d="M6 5.6A9 9 0 0 1 21 12v1.5M3.6 15A9 9 0 0 1 3.4 9M7 20.3A16 16 0 0 1 6 14v-2a6 6 0 0 1 12 0v2c0 2-.3 4-.8 5.8'
    'M10.4 21.4A20 20 0 0 1 9 14v-2a3 3 0 0 1 6 0v2.6c0 2-.2 4-.7 6M12 12v2.5c0 2.4.1 4.5.5 6.7"/>',
    "paper": '<path d="M6 3h8l4 4v14H6zM14 3v4h4M9 12h6M9 16h6"/>',
    "alert": '<circle cx="12" cy="12" r="9"/><path d="M12 7.5v5.5M12 16.5v.1"/>',
}
MARK = (
    '<svg viewBox="0 0 32 32" aria-hidden="true"><rect width="32" height="32" rx="9" fill="#0a6f61"/>'
    '<path d="M9 17.5c0-3 2.2-5 4.6-5 1.2 0 2 .5 2.4 1.2.4-.7 1.2-1.2 2.4-1.2 2.4 0 4.6 2 4.6 5 0 3.4-4 5.6-7 7.5'
    '-3-1.9-7-4.1-7-7.5Z" fill="none" stroke="#fff" stroke-width="2"/><path d="M16 6v4" stroke="#fff" '
    'stroke-width="2" stroke-linecap="round"/></svg>'
)


@dataclass(frozen=True)
class Ending:
    """How a link that opens nothing says so: icon, tone, title, and what it means for the person who holds it."""

    icon: str
    tone: str
    title: str
    text: str


_NEW_LINK = "The practice can send you a new link: please ask."
ENDINGS = {
    LinkState.USED: Ending(
        "device", "warn", "This link is already open on another device",
        "A link opens on one phone or computer only, so that nobody else can use it. "
        "Go back to the device where it was opened first, or ask the practice for a new link. "
        "If you have not opened it yourself, please call us: we will withdraw it at once.",
    ),
    LinkState.EXPIRED: Ending(
        "clock", "warn", "This link no longer works",
        f"Links work for a limited time, to keep your images private. {_NEW_LINK}",
    ),
    LinkState.REVOKED: Ending(
        "lock", "warn", "The practice has withdrawn this link", f"It opens nothing any more. {_NEW_LINK}"
    ),
    LinkState.CLOSED: Ending(
        "lock", "bad", "This link is closed",
        "The date of birth was wrong too many times, so we closed the link to keep your images safe. "
        f"Nobody has seen them. {_NEW_LINK}",
    ),
    LinkState.LEFT: Ending(
        "check", "", "You have closed your images", f"They are no longer on this device. {_NEW_LINK}"
    ),
}  # fmt: skip
BUSY = Ending("clock", "warn", "Too many tries just now", "Please wait a minute, then open your link again.")
AWAY = Ending(
    "clock",
    "warn",
    "We cannot open your images just now",
    "The practice's computer has a fault. Nothing is lost, and your link was not used up: try again in a few minutes.",
)
TOO_LONG_OPEN = (
    "Please type it once more: the page had been open for a while, or your browser refused our cookie."
)


def question(
    view: LinkView, *, path: str, form_token: str, said: str = "", typed: tuple[str, str, str] = ("", "", "")
) -> str:
    """The fresh page, or the same page after an answer that did not fit (`said`)."""
    fields = "".join(
        f'<div><label for="{name}">{label}</label><input id="{name}" name="{name}" inputmode="numeric" '
        f'pattern="[0-9 ]*" maxlength="{length}" autocomplete="off" required value="{escape(value)}" '
        f'aria-describedby="example{" said" if said else ""}"{" aria-invalid=true" if said else ""}{" autofocus" if said and name == "day" else ""}></div>'
        for (name, label, length), value in zip(
            (("day", "Day", 2), ("month", "Month", 2), ("year", "Year", 4)), typed, strict=True
        )
    )
    wrong = f'<div class="said" id="said" role="alert">{icon("alert")}<span>{escape(said)}</span></div>'
    until = (
        f"<li>{icon('clock')}<span>It works until {say_time(view.until)}.</span></li>" if view.until else ""
    )
    # After a wrong answer the page is short, so that the reason stays in sight above a phone's keyboard.
    welcome = f"""<div class="sign">{icon("images")}</div>
<h1>Your images and report are ready</h1>
<p class="soft">To keep them private, we first ask for the date of birth of the patient.</p>"""
    body = f"""{"<h1>Please try once more</h1>" if said else welcome}
<form method="post" action="{escape(path)}" autocomplete="off">
<input type="hidden" name="form" value="{escape(form_token)}">
{wrong if said else ""}<fieldset><legend>Date of birth of the patient</legend>
<p class="soft" id="example">For example 5 3 1984, for 5 March 1984</p>
<div class="day">{fields}</div></fieldset>
<button>Open my images</button>
</form>
<ul><li>{icon("device")}<span>The link opens on one device. Use the phone or computer on which you want to look.</span></li>
{until}{call(view.practice, "Questions?")}</ul>"""
    return _page(view.practice, "Your images are ready", body)


def ending(state: LinkState | Ending, practice: FrontDoor) -> str:
    """The page of a link that opens nothing."""
    end = state if isinstance(state, Ending) else ENDINGS[state]
    body = f"""<div class="sign {end.tone}">{icon(end.icon)}</div>
<h1>{escape(end.title)}</h1>
<p class="soft">{escape(end.text)}</p>
{call_button(practice)}"""
    return _page(practice, end.title, body)


def one_moment(practice: FrontDoor) -> str:
    """Asks the browser to come again from our own page: only then does it send the cookie that says it was here.

    A link tapped in a messenger comes from another site, and a Strict cookie stays at home then.
    """
    body = f"""<div class="sign">{icon("images")}</div><h1>One moment …</h1>
<p class="soft">We are looking whether this link was opened on this device.</p>
<p><a href="?again=1">Go on</a></p>"""
    return _page(practice, "One moment", body, head='<meta http-equiv="refresh" content="0; url=?again=1">')


@dataclass(frozen=True)
class Answer:
    """What came with the form: the date if it is one, what was typed, and the form's own secret."""

    born_on: date | None
    problem: str
    typed: tuple[str, str, str]
    form_token: str


def read_answer(body: bytes, *, today: date) -> Answer:
    """The three fields as a date. What is no date is said, and counts as no answer."""
    fields = fields_of(body)
    day, month, year = (fields.get(n, "").strip()[:12] for n in ("day", "month", "year"))
    typed = (day, month, year)
    token = fields.get("form", "")[:LONGEST_SECRET]
    if not all(re.fullmatch("[0-9]{1,4}", t) for t in typed):
        return Answer(None, "Please type day, month and year as numbers.", typed, token)
    if len(year) != 4:
        return Answer(None, "Please type the year with four digits, like 1984.", typed, token)
    try:
        born_on = date(int(year), int(month), int(day))
    except ValueError:
        return Answer(None, "There is no such day: please check day and month.", typed, token)
    if born_on > today:
        return Answer(None, "That day is still to come: please check the year.", typed, token)
    return Answer(born_on, "", typed, token)


def _page(practice: FrontDoor, title: str, body: str, *, head: str = "") -> str:
    name = escape(practice.name or "Your radiology practice")
    return f"""<!doctype html>
<html lang="en-ZA"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex, nofollow"><meta name="referrer" content="no-referrer">
<meta name="format-detection" content="telephone=no"><meta name="color-scheme" content="light dark">
<meta property="og:title" content="{escape(title)}"><meta property="og:site_name" content="{name}">
<meta property="og:description" content="From {name}. Opens on one device, with the patient's date of birth.">
<link rel="icon" href="data:,"><title>{escape(title)} – {name}</title>{head}<style>{STYLE}</style></head>
<body><header>{MARK}<span>{name}</span></header>
<main>{body}</main>
<footer>Nobody from the practice will ever ask you for this link or for a password.</footer></body></html>"""


def icon(name: str) -> str:
    """A drawing that says nothing to a screen reader."""
    return f'<svg viewBox="0 0 24 24" aria-hidden="true">{_ICONS[name]}</svg>'


def dial(phone: str) -> str:
    """A number as a telephone dials it (RFC 3966)."""
    return re.sub(r"[^0-9+]", "", phone)


def call(practice: FrontDoor, words: str) -> str:
    """A line that ends in the practice's number; nothing where there is none."""
    if not practice.phone:
        return ""
    number = f'<a href="tel:{dial(practice.phone)}">{escape(practice.phone)}</a>'
    return f"<li>{icon('phone')}<span>{words} Call us on {number}.</span></li>"


def call_button(practice: FrontDoor) -> str:
    """A button that rings the practice; nothing where there is no number."""
    if not practice.phone:
        return ""
    return (
        f'<a class="button" href="tel:{dial(practice.phone)}">{icon("phone")}'
        f"<span>Call {escape(practice.phone)}</span></a>"
    )
