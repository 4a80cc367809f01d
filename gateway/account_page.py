"""The pages of an account: plain words, one question at a time, no script. What a person typed is escaped here."""

from __future__ import annotations

from html import escape
from pathlib import Path

import segno
from starlette.responses import Response

from core.activation import SlipView
from core.factors import NewTotp
from core.own_studies import OwnStudies, OwnStudy
from core.rules.passwords import LONGEST, SHORTEST
from core.rules.za_time import say_day, say_time
from core.sharing import FrontDoor
from core.signin import SecondHalf
from gateway import landing
from gateway.forms import page as _answer
from gateway.headers import landing_csp
from gateway.landing import MARK, call, call_button, icon

STYLE = landing.STYLE + Path(__file__).with_name("account.css").read_text(encoding="utf-8")
CSP = landing_csp(STYLE)
FEW = 20  # A list that is longer can be searched.

OPEN_TOO_LONG = (
    "Please type it once more: the page had been open for a while, or your browser refused our cookie."
)
TOO_LARGE = "That was longer than a name and a password can be."
TWO_PASSWORDS = "The two passwords are not the same. Please type both again."
SLIP_OVER = "That took longer than fifteen minutes. Type the code of your slip once more: it is still good."
DIRECTORY_AWAY = (
    "We cannot set your password just now. Nothing is lost, and your slip stays good: please try later."
)
NOT_HERE = "This is not here, or not yours to see. If you expected it, please call the practice."
NOT_PRINTED_YET = "The report is being prepared for printing. Please try again in a minute."
KINDS = {
    "CT": "CT scan", "MR": "MRI scan", "US": "Ultrasound", "CR": "X-ray", "DX": "X-ray", "MG": "Mammogram", "PT": "PET scan",
    "NM": "Nuclear medicine scan", "XA": "X-ray examination", "RF": "X-ray examination", "PX": "Dental X-ray",
    "BD": "Bone density scan",
}  # fmt: skip


def answer(html: str, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """A page of an account, under its own policy."""
    return _answer(html, CSP, status, headers)


# Signing in -----------------------------------------------------------------------------------------------------


def sign_in(practice: FrontDoor, *, form: str, login: str = "", said: str = "") -> str:
    """Name and password."""
    welcome = f"""<div class="sign">{icon("images")}</div>
<h1>Sign in</h1>
<p class="soft">To see your examinations: the images, and the report once it is signed.</p>"""
    focus_name, focus_password = ("", " autofocus") if login else (" autofocus", "")
    described = ' aria-describedby="said"' if said else ""
    body = f"""{"<h1>Please try once more</h1>" if said else welcome}{_said(said)}
{
        _form(
            "/account",
            form,
            f'''<label for="login">Name</label>
<input id="login" name="login" class="text" value="{escape(login)}" autocomplete="username" autocapitalize="none"
 spellcheck="false" required maxlength="64"{focus_name}{described}>
<label for="password">Password</label>
<input id="password" name="password" class="text" type="password" autocomplete="current-password" required
 maxlength="{LONGEST}"{focus_password}{described}>''',
            button="Continue",
        )
    }
<ul><li>{
        icon("lock")
    }<span>First time here, or a new phone? <a href="/account/activate">Use the slip</a> that the practice
gave you.</span></li>
<li>{
        icon("device")
    }<span>Did we send you a link? Then you need no account: tap the link in the message.</span></li>
{call(practice, "Forgotten your password?")}</ul>"""
    return _page(practice, "Sign in", body)


def code(practice: FrontDoor, *, form: str, half: SecondHalf, use: str = "", said: str = "") -> str:
    """The code of the app, or a recovery code from paper."""
    again = '<p class="again"><a href="/account">Start again with another name</a></p>'
    if not half.code and not half.recovery:
        body = f"""<div class="sign warn">{icon("device")}</div><h1>Your phone is not set up yet</h1>
<p class="soft">Your password is right. Before you can sign in, set up the app on your phone with the slip that the
practice gave you. It takes three minutes.</p>
<a class="button" href="/account/activate">I have a slip</a>
<ul>{call(practice, "No slip?")}</ul>{again}"""
        return _page(practice, "Your phone is not set up yet", body)
    if use == "recovery" and half.recovery:
        fields = _code_from_paper(
            "code", "Recovery code", "One of the ten that you wrote down. Cross it out afterwards."
        )
        other = '<p class="again"><a href="/account/code">Use the code in the app instead</a></p>'
        title = "Use a recovery code"
    else:
        fields = _six_digits(
            "The app on your phone shows it beside the word Sorg. It changes every half minute."
        )
        other = '<p class="again"><a href="/account/code?use=recovery">My phone is not here: use a recovery code</a></p>'
        title, use = "One more step", ""
    body = f"""<div class="sign">{icon("lock")}</div><h1>{title}</h1>
<p class="soft">This keeps your images private, even if somebody learns your password.</p>{_said(said)}
{_form("/account/code", form, fields, button="Sign in", use=use)}
{other if half.recovery else ""}{again}"""
    return _page(practice, title, body)


def signed_out(practice: FrontDoor, *, form: str = "", minutes: int = 0) -> str:
    """The end of a visit, asked for or after a pause."""
    why = (
        f"After {minutes} minutes without use we sign you out, so that nobody else sees your images."
        if minutes
        else "Your images and reports are closed on this device."
    )
    body = f"""<div class="sign{" warn" if minutes else ""}">{icon("clock" if minutes else "check")}</div>
<h1>You are signed out</h1><p class="soft">{why}</p>
<a class="button" href="/account">Sign in again</a>"""
    return _page(practice, "You are signed out", body)


def busy(practice: FrontDoor) -> str:
    """Too many answers in a short time."""
    body = f"""<div class="sign warn">{icon("clock")}</div><h1>Too many tries just now</h1>
<p class="soft">Please wait a minute, then try again.</p><a class="button" href="/account">Try again</a>"""
    return _page(practice, "Too many tries just now", body)


def away() -> str:
    """The practice's computer, or the database on it, does not answer."""
    body = f"""<div class="sign warn">{icon("clock")}</div><h1>We cannot open this just now</h1>
<p class="soft">The practice's computer has a fault. Nothing is lost: please try again in a few minutes.</p>
<a class="button" href="/account">Try again</a>"""
    return _page(FrontDoor("", ""), "We cannot open this just now", body)


def not_here(said: str, practice: FrontDoor = FrontDoor("", "")) -> str:
    """An examination that is not there, or not theirs: the two look the same."""
    body = f"""<div class="sign warn">{icon("alert")}</div><h1>We cannot show this</h1>
<p class="soft">{escape(said)}</p>
<a class="button" href="/account/studies">Back to the list</a><ul>{call(practice, "Questions?")}</ul>"""
    return _page(practice, "We cannot show this", body)


# The slip -------------------------------------------------------------------------------------------------------


def slip(practice: FrontDoor, *, form: str, said: str = "") -> str:
    """The code on the paper from the practice."""
    fields = _code_from_paper(
        "slip", "Code of your slip", "As it is printed. Capitals, blanks and hyphens do not matter."
    )
    welcome = f"""<div class="sign">{icon("lock")}</div><h1>Use your slip</h1>
<p class="soft">With it you choose your own password and set up your phone. Have the phone at hand; it takes three minutes.</p>"""
    body = f"""{"<h1>Please try once more</h1>" if said else welcome}{_said(said)}
{_form("/account/activate", form, fields, button="Continue")}
<p class="again"><a href="/account">I have no slip: sign in</a></p><ul>{call(practice, "Slip lost or too old?")}</ul>"""
    return _page(practice, "Use your slip", body)


def password(practice: FrontDoor, *, form: str, view: SlipView, said: str = "") -> str:
    """Choose a password, or prove the one there is."""
    known = f'<input type="text" name="login" value="{escape(view.login)}" autocomplete="username" readonly hidden>'
    if view.asks == "set":
        intro = f"Good day, {escape(view.name)}. Your name for signing in is <strong>{escape(view.login)}</strong>."
        fields = f"""{known}<label for="password">Your new password</label>
<input id="password" name="password" class="text" type="password" autocomplete="new-password" required minlength="{SHORTEST}"
 maxlength="{LONGEST}" autofocus aria-describedby="password-help">
<p class="help" id="password-help">At least {SHORTEST} characters. A few words that only you put together are best.
Nobody at the practice ever sees it.</p>
<label for="again">The same once more</label>
<input id="again" name="again" class="text" type="password" autocomplete="new-password" required minlength="{SHORTEST}"
 maxlength="{LONGEST}">"""
    else:
        intro = f"Good day, {escape(view.name)}. Show that it is you: with the password that you have."
        fields = f"""{known}<label for="password">Password</label>
<input id="password" name="password" class="text" type="password" autocomplete="current-password" required
 maxlength="{LONGEST}" autofocus>"""
    body = f"""<p class="step">Step 1 of 2</p><h1>Your password</h1><p class="soft">{intro}</p>{_said(said)}
{_form("/account/activate/password", form, fields, button="Continue")}
<p class="again"><a href="/account/activate">This is not me, or I have another slip</a></p>"""
    return _page(practice, "Your password", body)


def app(practice: FrontDoor, *, form: str, fresh: NewTotp | None, box: str = "", said: str = "") -> str:
    """A new authenticator app: scan, then type its code. fresh None: the app that is there already proves itself."""
    if fresh is None:
        steps = '<p class="soft">Show that it is you, with the app that you have on your phone.</p>'
        foot = f"<ul>{call(practice, 'Phone gone?')}</ul>"
    else:
        steps, foot = (
            _new_app(fresh),
            '<p class="again"><a href="/account/activate/password">Begin this step again</a></p>',
        )
    body = f"""<p class="step">Step 2 of 2</p><h1>Your phone</h1>{"" if said else steps}{_said(said)}
{_form("/account/activate/app", form, _six_digits("Six digits that change every half minute."), button="Finish", box=box)}
{steps if said else ""}{foot}"""
    return _page(practice, "Your phone", body)


def _new_app(fresh: NewTotp) -> str:
    picture = segno.make(fresh.otpauth, error="m").svg_data_uri(scale=4, border=3, dark="#000", light="#fff")
    groups = " ".join(fresh.secret[i : i + 4] for i in range(0, len(fresh.secret), 4))
    return f"""<ol class="steps">
<li>On your phone, install an authenticator app, for example Google Authenticator or Microsoft Authenticator. They cost
nothing.</li>
<li>In the app choose <strong>add</strong>, then <strong>scan a QR code</strong>, and point the phone at this picture:
<img class="qr" src="{escape(picture)}" alt="QR code for the authenticator app" width="220" height="220">
<details><summary>You read this on that phone? Copy the key instead</summary>
<p class="help">Choose "enter a setup key", type any name, choose "time based", and copy:</p>
<p class="secret">{groups}</p></details></li>
<li>Type the six digits that the app shows now.</li></ol>"""


def ready(practice: FrontDoor, *, form: str, view: SlipView, codes: tuple[str, ...]) -> str:
    """The end of the slip: recovery codes once, and the way in."""
    way = '<a class="button" href="/account">Sign in</a>'
    if not codes:
        body = f"""<div class="sign">{icon("check")}</div><h1>All is set</h1>
<p class="soft">Sign in as <strong>{escape(view.login)}</strong>. Wait until your app shows its next code.</p>{way}"""
        return _page(practice, "All is set", body)
    rows = "".join(f"<li><code>{escape(one)}</code></li>" for one in codes)
    body = f"""<div class="sign">{icon("check")}</div><h1>Write these ten codes down</h1>
<p class="soft">If your phone is lost, each of them lets you in once. They are not shown again. Keep the paper where you
keep your bank card.</p>
<ol class="codes">{rows}</ol>
<p class="soft">Then sign in as <strong>{escape(view.login)}</strong>. Wait until your app shows its next code.</p>{way}"""
    return _page(practice, "Write these codes down", body)


# The list -------------------------------------------------------------------------------------------------------


def studies(practice: FrontDoor, *, form: str, mine: OwnStudies, name: str, search: str = "",
            is_referrer: bool = False) -> str:  # fmt: skip
    """A patient's own signed studies, or a doctor's referrals; newest first."""
    title = "Your referrals" if is_referrer else "Your examinations"
    if not mine.all:
        listed = _nothing_yet(practice, is_referrer)
    elif not mine.rows:
        listed = f'<p class="soft none">No patient fits “{escape(search)}”.</p>{_all_again()}'
    else:
        cards = "".join(_card(one, is_referrer) for one in mine.rows)
        listed = f'<ol class="studies">{cards}</ol>{_pager(form, mine, search)}'
    searched = _search(form, mine, search) if is_referrer and mine.all > FEW else ""
    lead = (
        "Examinations that you asked for, once their report is signed."
        if is_referrer
        else "Here are your images, with the report of the doctor who looked at them."
    )
    notes = "" if not mine.all else _notes(practice, is_referrer)
    body = f"""<h1>{title}</h1><p class="soft">{escape(name)}{_dot if mine.all else ""}{_count(mine, search)}</p>
{f'<p class="soft">{lead}</p>' if mine.all and not search else ""}{searched}{listed}{notes}"""
    return _page(practice, title, body, out=form)


_dot = '<span class="dot" aria-hidden="true">·</span>'


def _count(mine: OwnStudies, search: str) -> str:
    if search and mine.total != mine.all:
        return f"{mine.total} of {mine.all} examinations"
    if not mine.all:
        return ""
    return "1 examination" if mine.all == 1 else f"{mine.all} examinations"


def _card(one: OwnStudy, is_referrer: bool) -> str:
    kind = KINDS.get(one.modality, "")
    images = "1 image" if one.images == 1 else f"{one.images} images"
    facts = f"{_dot}".join(part for part in (kind, say_day(one.taken_on), images) if part)
    whose = (
        f'<p class="whose">{escape(one.patient)} <span>File {escape(one.file_number)}</span></p>'
        if is_referrer
        else ""
    )
    named = f"{one.description}, {say_day(one.taken_on)}" + (f", {one.patient}" if is_referrer else "")
    base = f"/account/studies/{one.id}"
    return f"""<li class="study">{whose}<h2>{escape(one.description)}</h2><p class="facts">{facts}</p>
<p class="signed">{icon("check")}<span>Report signed by {escape(one.signed_by)} on {say_time(one.signed_at)}</span></p>
<div class="ways"><a class="button" href="{base}/view/" aria-label="Images and report: {escape(named)}">Images and report</a>
<a class="button quiet" href="{base}/report.pdf" aria-label="Report as PDF: {escape(named)}">Report (PDF)</a></div></li>"""


def _nothing_yet(practice: FrontDoor, is_referrer: bool) -> str:
    if is_referrer:
        what = (
            "An examination that you asked for appears here as soon as a radiologist has signed its report."
        )
    else:
        what = (
            "An examination appears here as soon as a radiologist has looked at the images and signed the report. "
            "Until then there is nothing that you need to do. If you are worried, or expected a result here, please call us."
        )
    return f"""<div class="empty"><div class="sign">{icon("clock")}</div><h2>Nothing here yet</h2>
<p class="soft">{what}</p>{call_button(practice)}</div>"""


def _notes(practice: FrontDoor, is_referrer: bool) -> str:
    if is_referrer:
        return f"""<ul><li>{icon("images")}<span>The images are for looking at, not a display for diagnosis.</span></li>
{call(practice, "Something missing?")}</ul>"""
    return f"""<ul><li>{icon("alert")}<span>A report is written for your doctor, in medical words. Please talk it over with
them: they know you, and what it means for you.</span></li>
<li>{icon("clock")}<span>An examination that is not here yet is still being looked at.</span></li>
{call(practice, "Questions, or something wrong?")}</ul>"""


def _search(form: str, mine: OwnStudies, search: str) -> str:
    return f"""<form method="post" action="/account/studies" class="search" role="search">{_hidden(form=form)}
<label for="search">Find a patient</label><div class="row"><input id="search" name="search" class="text" type="search"
 value="{escape(search)}" maxlength="120" autocomplete="off" placeholder="Name or file number"><button>Find</button></div>
</form>{_all_again() if search and mine.rows else ""}"""


def _all_again() -> str:
    return '<p class="again"><a href="/account/studies">Show all</a></p>'


def _pager(form: str, mine: OwnStudies, search: str) -> str:
    """Newer and older; by a form while somebody searches, so that no name stands in an address."""
    if mine.pages == 1:
        return ""

    def way(page: int, words: str) -> str:
        if not 1 <= page <= mine.pages:
            return "<span></span>"
        if not search:
            return f'<a href="/account/studies?page={page}">{words}</a>'
        hidden = _hidden(form=form, search=search, page=str(page))
        return f'<form method="post" action="/account/studies">{hidden}<button class="plain">{words}</button></form>'

    return f"""<nav class="pager" aria-label="Pages">{way(mine.page - 1, "Newer")}
<span>Page {mine.page} of {mine.pages}</span>{way(mine.page + 1, "Older")}</nav>"""


# Parts ----------------------------------------------------------------------------------------------------------


def _form(action: str, token: str, fields: str, *, button: str, **hidden: str) -> str:
    return (
        f'<form method="post" action="{action}" class="fields">{_hidden(form=token, **hidden)}{fields}'
        f"<button>{button}</button></form>"
    )


def _hidden(**values: str) -> str:
    return "".join(f'<input type="hidden" name="{n}" value="{escape(v)}">' for n, v in values.items() if v)


def _said(said: str) -> str:
    return (
        f'<div class="said" id="said" role="alert">{icon("alert")}<span>{escape(said)}</span></div>'
        if said
        else ""
    )


def _six_digits(help: str) -> str:
    return f"""<label for="code">Six-digit code</label>
<input id="code" name="code" class="code" inputmode="numeric" pattern="[0-9 ]{{6,7}}" title="Six digits" maxlength="7"
 autocomplete="one-time-code" required autofocus aria-describedby="code-help"><p class="help" id="code-help">{help}</p>"""


def _code_from_paper(name: str, label: str, help: str) -> str:
    return f"""<label for="{name}">{label}</label>
<input id="{name}" name="{name}" class="text paper" autocomplete="off" autocapitalize="characters" spellcheck="false" required
 maxlength="60" autofocus aria-describedby="{name}-help"><p class="help" id="{name}-help">{help}</p>"""


def _page(practice: FrontDoor, title: str, body: str, *, out: str = "") -> str:
    name = escape(practice.name or "Your radiology practice")
    leave = (
        f'<form method="post" action="/account/out" class="out">{_hidden(form=out)}<button class="plain">Sign out</button></form>'
        if out
        else ""
    )
    return f"""<!doctype html>
<html lang="en-ZA"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex, nofollow"><meta name="referrer" content="no-referrer">
<meta name="format-detection" content="telephone=no"><meta name="color-scheme" content="light dark">
<link rel="icon" href="data:,"><title>{escape(title)} – {name}</title><style>{STYLE}</style></head>
<body><header>{MARK}<span>{name}</span>{leave}</header>
<main>{body}</main>
<footer>Nobody from the practice will ever ask you for your password or for a code.</footer></body></html>"""
