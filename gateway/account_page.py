"""The pages of signing in, of the slip and of the list: plain words, one question at a time. What a person typed is escaped here."""

from __future__ import annotations

from html import escape

from starlette.responses import Response

from core.activation import SlipView
from core.factors import NewTotp
from core.own_studies import OwnStudies, OwnStudy
from core.rules.passwords import LONGEST, SHORTEST
from core.rules.za_time import say_day, say_time
from core.sessions import Over
from core.sharing import FrontDoor
from core.signin import SecondHalf
from doors.manners import with_next
from gateway import account_frame as frame
from gateway.forms import page as _answer
from gateway.landing import call, call_button, icon

FEW = 20  # A list that is longer can be searched.

OPEN_TOO_LONG = (
    "Please type it once more: the page had been open for a while, or your browser refused our cookie."
)
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
    """A page of an account that runs no script, under its own policy."""
    return _answer(html, frame.CSP, status, headers)


# Signing in -----------------------------------------------------------------------------------------------------


def sign_in(practice: FrontDoor, *, form: str, login: str = "", said: tuple[str, ...] = ()) -> str:
    """Name and password."""
    welcome = f"""<div class="sign">{icon("images")}</div>
<h1>Sign in</h1>
<p class="soft">To see your examinations: the images, and the report once it is signed.</p>"""
    focus_name, focus_password = ("", " autofocus") if login else (" autofocus", "")
    described = ' aria-describedby="said"' if said else ""
    about_name = f' aria-describedby="login-help{" said" if said else ""}"'
    body = f"""{"<h1>Please try once more</h1>" if said else welcome}{frame.said(*said)}
{
        frame.form(
            "/account",
            form,
            f'''<label for="login">Name</label>
<input id="login" name="login" class="text" value="{escape(login)}" autocomplete="username" autocapitalize="none"
 spellcheck="false" required maxlength="64"{focus_name}{about_name}>
<p id="login-help" class="help">The short name that you were given for signing in, in one word.</p>
<label for="password">Password</label>
<input id="password" name="password" class="text" type="password" autocomplete="current-password" required
 maxlength="{LONGEST}"{focus_password}{described}>''',
            button="Continue",
        )
    }
<ul><li>{
        icon("lock")
    }<span>First time here? <a href="/account/activate">Use the slip</a> that the practice gave you.</span></li>
<li>{
        icon("device")
    }<span>Did we send you a link? Then you need no account: tap the link in the message.</span></li>
{call(practice, "Forgotten your password, or phone and paper are gone?")}</ul>"""
    return frame.page(practice, "Sign in", body)


def code(
    practice: FrontDoor,
    *,
    form: str,
    half: SecondHalf,
    said: tuple[str, ...] = (),
    why_no_keys: str = "",
    next: str = "",
    reason: str = "",
) -> str:
    """The second question: a finger or face where there is a key, the code of the app, or paper."""
    if not (half.code or half.recovery or half.key):
        return _not_set_up(practice)
    by_key, wish = half.key and not why_no_keys, next if next.startswith("/account/me") else ""
    key = (
        frame.key_form(
            form,
            button="Use fingerprint or face",
            options="/account/code/key/options",
            answer="/account/code/key",
            either=half.code,
            next=wish,
        )
        if by_key
        else ""
    )
    fields = frame.six_digits(
        "The app on your phone shows it beside the word Sorg. It changes every half minute.", focus=not by_key
    )
    typed = frame.form(
        "/account/code", form, fields, button="Sign in", look="quiet" if by_key else "", next=wish
    )
    paper = frame.again(
        _with(wish, "/account/code?use=recovery"), "My phone is not here: use a code from paper"
    )
    body = f"""<div class="sign">{icon("lock")}</div><h1>One more step</h1>
<p class="soft">This keeps your images private, even if somebody learns your password.</p>{frame.said(*said)}
{key}{typed if half.code else ""}
{paper if half.recovery else ""}{frame.again("/account", "Start again with another name")}"""
    return frame.page(practice, "One more step", body, script=by_key)


def recovery(
    practice: FrontDoor,
    *,
    form: str,
    half: SecondHalf,
    said: tuple[str, ...] = (),
    why_no_keys: str = "",
    next: str = "",
    reason: str = "",
) -> str:
    """The second question, answered from paper."""
    wish = next if next.startswith("/account/me") else ""
    fields = frame.code_from_paper(
        "recovery", "Code from paper", "One of the ten that you wrote down. Cross it out afterwards."
    )
    body = f"""<div class="sign">{icon("paper")}</div><h1>Use a code from paper</h1>
<p class="soft">Is your phone gone? After signing in you have fifteen minutes to set up another one, under <strong>My
account</strong>.</p>{frame.said(*said)}
{frame.form("/account/code", form, fields, button="Sign in", use="recovery", next=wish)}
{frame.again(_with(wish, "/account/code"), "Use my phone instead")}{frame.again("/account", "Start again with another name")}"""
    return frame.page(practice, "Use a code from paper", body)


def _with(wish: str, path: str) -> str:
    return with_next(path, wish) if wish else path


def _not_set_up(practice: FrontDoor) -> str:
    body = f"""<div class="sign warn">{icon("device")}</div><h1>Your phone is not set up yet</h1>
<p class="soft">Your password is right. Before you can sign in, set up the app on your phone with the slip that the
practice gave you. It takes three minutes.</p>
<a class="button" href="/account/activate">I have a slip</a>
<ul>{call(practice, "No slip?")}</ul>{frame.again("/account", "Start again with another name")}"""
    return frame.page(practice, "Your phone is not set up yet", body)


# Said to the browser that held the session, and true of it: a pause is blamed for nothing else.
_OVER = {
    Over.TIME: "Its time was over: however much it is used, a session ends after some hours.",
    Over.SELF: "You ended it yourself, here or at another device.",
    Over.PRACTICE: "The practice ended it. If you do not know why, please ask the practice.",
    Over.PASSWORD: "Your password was set anew. If that was not you, please call the practice.",
    Over.FACTOR: "What confirms that it is you was set up anew. If that was not you, please call the practice.",
    Over.RIGHTS: "The practice changed what your account opens.",
    Over.LOGIN: "The practice corrected the name that you sign in with. Please ask which it is now; your password stays.",
}


def signed_out(practice: FrontDoor, *, form: str = "", minutes: int = 0, over: Over | None = None) -> str:
    """The end of a visit: asked for (`over` is None), after a pause of so many minutes, or ended in another way."""
    why = "Your images and reports are closed on this device."
    if over is Over.IDLE:
        why = f"After {minutes} minutes without use we sign you out, so that nobody else sees your images."
    elif over is not None:
        why = " ".join(t for t in ("This session was ended.", _OVER.get(over, "")) if t)
    icons = {None: "check", Over.IDLE: "clock", Over.TIME: "clock"}
    body = f"""<div class="sign{" warn" if over else ""}">{icon(icons.get(over, "lock"))}</div>
<h1>You are signed out</h1><p class="soft">{why}</p>
<a class="button" href="/account">Sign in again</a>"""
    return frame.page(practice, "You are signed out", body)


def busy(practice: FrontDoor) -> str:
    """Too many answers in a short time."""
    body = f"""<div class="sign warn">{icon("clock")}</div><h1>Too many tries just now</h1>
<p class="soft">Please wait a minute, then try again.</p><a class="button" href="/account">Try again</a>"""
    return frame.page(practice, "Too many tries just now", body)


def away() -> str:
    """The practice's computer, or the database on it, does not answer."""
    body = f"""<div class="sign warn">{icon("clock")}</div><h1>We cannot open this just now</h1>
<p class="soft">The practice's computer has a fault. Nothing is lost: please try again in a few minutes.</p>
<a class="button" href="/account">Try again</a>"""
    return frame.page(FrontDoor("", ""), "We cannot open this just now", body)


def not_here(said: str, practice: FrontDoor = FrontDoor("", "")) -> str:
    """An examination that is not there, or not theirs: the two look the same."""
    body = f"""<div class="sign warn">{icon("alert")}</div><h1>We cannot show this</h1>
<p class="soft">{escape(said)}</p>
<a class="button" href="/account/studies">Back to the list</a><ul>{call(practice, "Questions?")}</ul>"""
    return frame.page(practice, "We cannot show this", body)


def not_done(practice: FrontDoor, *, form: str, said: tuple[str, ...], back: str) -> str:
    """A step that could not be taken, and nothing was changed by it."""
    told = "<br>".join(escape(one) for one in said)
    body = f"""<div class="sign warn">{icon("alert")}</div><h1>That did not work</h1>
<p class="soft" role="alert">{told}</p>
<a class="button" href="{escape(back)}">Go back and try again</a><ul>{call(practice, "Does it stay like this?")}</ul>"""
    return frame.page(practice, "That did not work", body)


# The slip -------------------------------------------------------------------------------------------------------


def slip(practice: FrontDoor, *, form: str, said: tuple[str, ...] = ()) -> str:
    """The code on the paper from the practice."""
    fields = frame.code_from_paper(
        "slip", "Code of your slip", "As it is printed. Capitals, blanks and hyphens do not matter."
    )
    welcome = f"""<div class="sign">{icon("lock")}</div><h1>Use your slip</h1>
<p class="soft">With it you choose your own password and set up your phone. Have the phone at hand; it takes three minutes.</p>"""
    body = f"""{"<h1>Please try once more</h1>" if said else welcome}{frame.said(*said)}
{frame.form("/account/activate", form, fields, button="Continue")}
<p class="again"><a href="/account">I have no slip: sign in</a></p><ul>{call(practice, "Slip lost or too old?")}</ul>"""
    return frame.page(practice, "Use your slip", body)


def password(practice: FrontDoor, *, form: str, view: SlipView, said: tuple[str, ...] = ()) -> str:
    """Choose a password, or prove the one there is."""
    known = f'<input type="text" name="login" value="{escape(view.login)}" autocomplete="username" readonly hidden>'
    if view.asks == "set":
        intro = f"Good day, {escape(view.name)}. Your name for signing in is <strong>{escape(view.login)}</strong>."
        help = f"""At least {SHORTEST} characters. A few words that only you put together are best. Nobody at the practice
ever sees it."""
        fields = (
            known
            + frame.new_password(
                "password", "Your new password", help=help, focus=True, shortest=SHORTEST, longest=LONGEST
            )
            + frame.new_password("again", "The same once more", shortest=SHORTEST, longest=LONGEST)
        )
    else:
        intro = f"Good day, {escape(view.name)}. Show that it is you: with the password that you have."
        fields = f"""{known}<label for="password">Password</label>
<input id="password" name="password" class="text" type="password" autocomplete="current-password" required
 maxlength="{LONGEST}" autofocus>"""
    body = f"""<p class="step">Step 1 of 2</p><h1>Your password</h1><p class="soft">{intro}</p>{frame.said(*said)}
{frame.form("/account/activate/password", form, fields, button="Continue")}
{frame.again("/account/activate", "This is not me, or I have another slip")}"""
    return frame.page(practice, "Your password", body)


def app(practice: FrontDoor, *, form: str, fresh: NewTotp, box: str, said: tuple[str, ...] = ()) -> str:
    """A new authenticator app: scan, then type its code. After a mistyped one the field stands first."""
    steps, asked = frame.new_app(fresh), frame.six_digits("Six digits that change every half minute.")
    body = f"""<p class="step">Step 2 of 2</p><h1>Your phone</h1>{"" if said else steps}{frame.said(*said)}
{frame.form("/account/activate/app", form, asked, button="Finish", box=box)}
{steps if said else ""}{frame.again("/account/activate/password", "Begin this step again")}"""
    return frame.page(practice, "Your phone", body)


def known_app(practice: FrontDoor, *, form: str, view: SlipView, said: tuple[str, ...] = ()) -> str:
    """The app that is there already proves itself."""
    asked = frame.six_digits("Six digits that change every half minute.")
    body = f"""<p class="step">Step 2 of 2</p><h1>Your phone</h1>
<p class="soft">Show that it is you, with the app that you have on your phone.</p>{frame.said(*said)}
{frame.form("/account/activate/app", form, asked, button="Finish")}<ul>{call(practice, "Phone gone?")}</ul>"""
    return frame.page(practice, "Your phone", body)


def ready(
    practice: FrontDoor, *, form: str, view: SlipView, codes: tuple[str, ...], why_no_keys: str = ""
) -> str:
    """The end of the slip: recovery codes once, and the way in."""
    way = '<a class="button" href="/account">Sign in</a>'
    if not codes:
        body = f"""<div class="sign">{icon("check")}</div><h1>All is set</h1>
<p class="soft">Sign in as <strong>{escape(view.login)}</strong>. Wait until your app shows its next code.</p>{way}"""
        return frame.page(practice, "All is set", body)
    tip = (
        ""
        if why_no_keys
        else f"""<ul><li>{icon("finger")}<span>Later you can sign in with your fingerprint or face and type
no code: choose <strong>My account</strong> once you are in.</span></li></ul>"""
    )
    body = f"""<div class="sign">{icon("check")}</div><h1>Write these ten codes down</h1>
<p class="soft">If your phone is lost, each of them lets you in once. They are not shown again. Keep the paper where you
keep your bank card.</p>
{frame.ten_codes(codes)}
<p class="soft">Then sign in as <strong>{escape(view.login)}</strong>. Wait until your app shows its next code.</p>{way}{tip}"""
    return frame.page(practice, "Write these codes down", body)


# The list -------------------------------------------------------------------------------------------------------


def studies(
    practice: FrontDoor,
    *,
    form: str,
    mine: OwnStudies,
    name: str,
    search: str = "",
    is_referrer: bool = False,
) -> str:
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
    body = f"""<h1>{title}</h1><p class="soft">{escape(name)}{_dot if mine.all else ""}<span class="one">{_count(mine, search)}</span>{_dot}<a class="one" href="/account/me">My account</a></p>
{f'<p class="soft">{lead}</p>' if mine.all and not search else ""}{searched}{listed}{notes}"""
    return frame.page(practice, title, body, out=form)


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
    return f"""<form method="post" action="/account/studies" class="search" role="search">{frame.hidden(form=form)}
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
        hidden = frame.hidden(form=form, search=search, page=str(page))
        return f'<form method="post" action="/account/studies">{hidden}<button class="plain">{words}</button></form>'

    return f"""<nav class="pager" aria-label="Pages">{way(mine.page - 1, "Newer")}
<span>Page {mine.page} of {mine.pages}</span>{way(mine.page + 1, "Older")}</nav>"""
