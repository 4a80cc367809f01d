"""The pages of one's own account: how somebody signs in, and where they are signed in, in words for a patient on a phone."""

from __future__ import annotations

from html import escape

from core import factors
from core.factors import Factors, KeyCard, NewTotp
from core.rules.passwords import LONGEST, SHORTEST
from core.rules.za_time import local_day, say_time
from core.sessions import SessionCard, SignIn
from core.sharing import FrontDoor
from gateway import account_frame as frame
from gateway.landing import call, icon

ME = "/account/me"
KEYS, APP, RECOVERY, PASSWORD = f"{ME}/keys", f"{ME}/app", f"{ME}/recovery", f"{ME}/password"
CONFIRM, SESSIONS = f"{ME}/confirm", f"{ME}/sessions/end"
PURPOSES = {"factors": "Is it you?"}
DONE = {
    "added": "This is set up. Next time, sign in with it: you need no code then.",
    "removed": "Taken away. It opens nothing any more.",
    "ended": "Signed out everywhere else.",
    "one": "Signed out there.",
}
TWO = "The two new passwords are not the same. Please type both again."
AWAY = "We cannot change your password just now. Nothing was changed: please try later."
GONE = "That one was signed out already."
UNKNOWN = "There is nothing to confirm here."
NO_KEYS = {
    "elsewhere": "Fingerprint and face work only at the practice's own web address: {there}",
    "number": "Fingerprint and face work only at the practice's own web address, not at an address of numbers.",
    "unsafe": "Fingerprint and face work only at a safe web address, one that begins with https://.",
}
# What verbs say in the words of staff, in those of a patient.
IN_PLAIN_WORDS = {
    factors.WRONG_KEY: "That was not accepted. Try again, or use a code.",
    factors.RESTS: "Too many wrong codes. Wait fifteen minutes, or use your fingerprint or face.",
    factors.NO_PROOF: "First show once more that it is you.",
}
_METHODS = {
    "code": "with a code",
    "key": "with fingerprint, face or key",
    "recovery": "with a code from paper",
}
_BACK = frame.again(ME, "Back to my account")


# The overview ---------------------------------------------------------------------------------------------------


def me(
    practice: FrontDoor,
    *,
    form: str,
    name: str,
    mine: Factors,
    open_now: tuple[SessionCard, ...],
    lately: tuple[SignIn, ...],
    kept: str,
    why_no_keys: str,
    done: str = "",
    said: tuple[str, ...] = (),
) -> str:
    """How I sign in, and where I am signed in."""
    few = mine.recovery_codes <= 3
    rows = (
        _row(
            "finger",
            "Fingerprint or face",
            _keys_in_words(mine, why_no_keys),
            KEYS,
            "" if why_no_keys and not mine.keys else "Look" if mine.keys else "Set up",
        ),
        _row("device", "App with six digits", "in use" if mine.code else "not set up", APP, "New phone"),
        _row(
            "paper",
            "Codes on paper",
            f"{mine.recovery_codes} left" if mine.recovery_codes else "none left",
            RECOVERY,
            "New codes",
            warns=few,
        ),
        _row("lock", "Password", kept or "only you know it", PASSWORD, "" if kept else "Change it"),
    )
    body = f"""<h1>My account</h1><p class="soft">{escape(name)}</p>{frame.done(done)}{frame.said(*said)}
<h2>How you sign in</h2><ul class="rows">{"".join(rows)}</ul>
<h2>Where you are signed in</h2><ul class="rows">{"".join(_session(one, form) for one in open_now)}</ul>
{_others(form, len(open_now) - 1)}
<details><summary>The last times you signed in</summary><ul class="times">{
        "".join(_sign_in(one) for one in lately)
    }</ul></details>
<ul>{
        call(practice, "Was one of them not you? Change your password, then tell us.")
        or f"<li>{icon('alert')}<span>Was one of them not you? Change your password, then tell the practice.</span></li>"
    }</ul>
{frame.again("/account/studies", "Back to the list")}"""
    return frame.page(practice, "My account", body, out=form)


def _keys_in_words(mine: Factors, why_no_keys: str) -> str:
    if mine.keys:
        return "set up" if len(mine.keys) == 1 else f"{len(mine.keys)} set up"
    return why_no_keys or "Sign in without typing a code."


def _row(sign: str, name: str, now: str, where: str, way: str, *, warns: bool = False) -> str:
    link = f'<a class="plain" href="{where}" aria-label="{escape(f"{name}: {way}")}">{way}</a>' if way else ""
    tone = ' class="warns"' if warns else ""
    return f"<li>{icon(sign)}<div><strong>{name}</strong><span{tone}>{escape(now)}</span></div>{link}</li>"


def _session(one: SessionCard, form: str) -> str:
    if one.is_mine:
        return f"<li>{icon('check')}<div><strong>Here</strong><span>since {say_time(one.begun_at)}</span></div></li>"
    out = frame.form(SESSIONS, form, "", button="Sign out", look="plain", session=str(one.id))
    return (
        f"<li>{icon('device')}<div><strong>Another phone or computer</strong>"
        f"<span>since {say_time(one.begun_at)},<br>last used {say_time(one.seen_at)}</span></div>{out}</li>"
    )


def _others(form: str, count: int) -> str:
    """For whom there is more than one other."""
    return (
        frame.form(SESSIONS, form, "", button="Sign out everywhere else", look="quiet") if count > 1 else ""
    )


def _sign_in(one: SignIn) -> str:
    return f"<li>{say_time(one.at)}, {_METHODS.get(one.method, one.method)}</li>"


# Confirming -----------------------------------------------------------------------------------------------------


def confirm(
    practice: FrontDoor,
    *,
    form: str,
    purpose: str,
    next: str,
    mine: Factors,
    no_code: str,
    why_no_keys: str,
    said: tuple[str, ...] = (),
) -> str:
    """Once more, before something changes."""
    by_key = bool(mine.keys) and not why_no_keys
    key = (
        frame.key_form(
            form,
            button="Use fingerprint or face",
            options=f"{CONFIRM}/key/options",
            answer=f"{CONFIRM}/key",
            either=mine.code,
            purpose=purpose,
            next=next,
        )
        if by_key
        else ""
    )
    asked = frame.six_digits("The app on your phone shows it. Each code works once.", focus=not by_key)
    typed = frame.form(
        CONFIRM, form, asked, button="Confirm", look="quiet" if by_key else "", purpose=purpose, next=next
    )
    lost = f"""<ul><li>{icon("paper")}<span>Phone gone? Sign out, and sign in with a code from paper: for fifteen minutes this is then
not asked.</span></li>{call(practice, "No paper either?")}</ul>"""
    body = f"""<div class="sign">{icon("lock")}</div><h1>Is it you?</h1>
<p class="soft">You are about to change how you sign in. Please show once more that it is you.</p>{frame.said(*said)}
{key}{typed if mine.code else ""}{frame.again(ME, "Not now: back to my account")}{lost}"""
    return frame.page(practice, "Is it you?", body, out=form, script=by_key)


def nothing(practice: FrontDoor, *, form: str, next: str) -> str:
    """A purpose that is none of ours."""
    body = f"""<h1>Nothing to confirm</h1><p class="soft">{UNKNOWN}</p><a class="button" href="{ME}">Back to my account</a>"""
    return frame.page(practice, "Nothing to confirm", body, out=form)


# Fingerprint or face --------------------------------------------------------------------------------------------


def keys(
    practice: FrontDoor,
    *,
    form: str,
    mine: Factors,
    done: str,
    why_no_keys: str,
    elsewhere: int = 0,
    said: tuple[str, ...] = (),
) -> str:
    """What is set up, and the way to one more."""
    rows = "".join(_key(key) for key in mine.keys)
    listed = f'<ul class="rows">{rows}</ul>' if rows else ""
    add = (
        f'<p class="done">{icon("alert")}<span>{escape(why_no_keys)}</span></p>'
        if why_no_keys
        else f'<a class="button" href="{KEYS}/new">{icon("finger")}<span>Add this phone or computer</span></a>'
    )
    others = (
        '<p class="soft wide">You are still signed in on another phone or computer. Was this one lost or stolen?</p>'
        + frame.form(SESSIONS, form, "", button="Sign out everywhere else", look="quiet")
        if elsewhere > 0
        else ""
    )
    body = f"""<div class="sign">{icon("finger")}</div><h1>Fingerprint or face</h1>
<p class="soft">Sign in with your fingerprint, your face or the PIN of your phone in place of the six digits. It is quick, and a
false page cannot steal it.</p>{frame.done(done)}{frame.said(*said)}{listed}{add}{others}
<ul><li>{icon("lock")}<span>Your fingerprint and face never leave your phone: we do not get them.</span></li>
<li>{icon("device")}<span>Add each phone or computer that you use. Keep the app with the six digits as well.</span></li></ul>{_BACK}"""
    return frame.page(practice, "Fingerprint or face", body, out=form)


def _key(key: KeyCard) -> str:
    used = f"last used {local_day(key.used_at):%d/%m/%Y}" if key.used_at else "not used yet"
    return (
        f"<li>{icon('finger')}<div><strong>{escape(key.name)}</strong><span>added {local_day(key.made_at):%d/%m/%Y}, {used}</span>"
        f'</div><a class="plain" href="{KEYS}/remove?key={key.id}" aria-label="Take away {escape(key.name)}">Take away</a></li>'
    )


def new_key(practice: FrontDoor, *, form: str) -> str:
    """A name; the phone does the rest."""
    field = """<label for="name">What do you call it?</label>
<input id="name" name="name" class="text" maxlength="60" autocomplete="off" value="My phone">"""
    button = frame.key_form(
        form,
        button="Use fingerprint or face",
        options=f"{KEYS}/options",
        answer=KEYS,
        fields=field,
        makes=True,
    )
    body = f"""<div class="sign">{icon("finger")}</div><h1>Add this phone or computer</h1>
<p class="soft">It asks for your finger, your face or its PIN, as when you unlock it.</p>
<noscript><p class="said">Your browser has scripts switched off. Fingerprint and face need them; codes do not.</p></noscript>
{button}{frame.again(KEYS, "Back")}"""
    return frame.page(practice, "Add this phone or computer", body, out=form, script=True)


def remove_key(practice: FrontDoor, *, form: str, key: KeyCard, said: tuple[str, ...] = ()) -> str:
    """Asked once before it is taken away."""
    title = f"Take away “{key.name}”?"
    body = f"""<div class="sign warn">{icon("finger")}</div><h1>{escape(title)}</h1>
<p class="soft">You then sign in with the six digits of the app there. You can add it again later.</p>{frame.said(*said)}
{frame.form(f"{KEYS}/remove", form, "", button="Take it away", key=str(key.id))}{frame.again(KEYS, "Keep it")}"""
    return frame.page(practice, title, body, out=form)


# The app --------------------------------------------------------------------------------------------------------


def begin_app(practice: FrontDoor, *, form: str, said: tuple[str, ...] = ()) -> str:
    """Before the new secret is made."""
    body = f"""<div class="sign">{icon("device")}</div><h1>A new phone</h1>
<p class="soft">Here the app on a new phone learns your six digits. The old phone keeps working until the first code of the new
one is right; from then on only the new one counts.</p>{frame.said(*said)}
{frame.form(APP, form, "", button="Show the picture to scan")}{_BACK}"""
    return frame.page(practice, "A new phone", body, out=form)


def app(practice: FrontDoor, *, form: str, fresh: NewTotp, box: str, said: tuple[str, ...] = ()) -> str:
    """Scan, then type the app's code. After a mistyped one the field stands first."""
    steps = frame.new_app(fresh)
    asked = frame.six_digits("Six digits that change every half minute.", label="Code in the new app now")
    body = f"""<h1>A new phone</h1>{"" if said else steps}{frame.said(*said)}
{frame.form(APP, form, asked, button="Use this phone from now on", box=box)}{steps if said else ""}{_BACK}"""
    return frame.page(practice, "A new phone", body, out=form)


def app_done(practice: FrontDoor, *, form: str, ended: int = 0) -> str:
    """The new app counts."""
    body = f"""<div class="sign">{icon("check")}</div><h1>The new phone is set up</h1>
<p class="soft">The codes on the old phone open nothing any more: take the entry out there. {_ended(ended)}</p>
<a class="button" href="{ME}">Back to my account</a>"""
    return frame.page(practice, "The new phone is set up", body, out=form)


def _ended(count: int) -> str:
    if not count:
        return ""
    return f"You were signed in {'in one other place' if count == 1 else f'in {count} other places'}, and are signed out there."


# Codes on paper -------------------------------------------------------------------------------------------------


def begin_recovery(practice: FrontDoor, *, form: str, mine: Factors, said: tuple[str, ...] = ()) -> str:
    """Before the old ones are made void."""
    left = {0: "You have none left.", 1: "You have one left."}.get(
        mine.recovery_codes, f"You have {mine.recovery_codes} left."
    )
    body = f"""<div class="sign">{icon("paper")}</div><h1>New codes on paper</h1>
<p class="soft">Ten codes for the day your phone is lost or broken. {left} New ones make the old paper worthless, so have a pen
ready.</p>{frame.said(*said)}{frame.form(RECOVERY, form, "", button="Make ten new codes")}{_BACK}"""
    return frame.page(practice, "New codes on paper", body, out=form)


def codes(practice: FrontDoor, *, form: str, codes: tuple[str, ...]) -> str:
    """Ten codes, once."""
    body = f"""<div class="sign">{icon("check")}</div><h1>Write these ten codes down</h1>
<p class="soft">If your phone is lost, each of them lets you in once. They are not shown again. Keep the paper where you keep
your bank card, and throw the old one away.</p>{frame.ten_codes(codes)}<a class="button" href="{ME}">I have written them down</a>"""
    return frame.page(practice, "Write these codes down", body, out=form)


# The password ---------------------------------------------------------------------------------------------------


def password(practice: FrontDoor, *, form: str, said: tuple[str, ...] = ()) -> str:
    """The password of now, and a new one twice."""
    help = f"At least {SHORTEST} characters. A few words that only you put together are best. Nobody at the practice ever sees it."
    fields = (
        f"""<label for="password">Your password now</label>
<input id="password" name="password" class="text" type="password" autocomplete="current-password" required
 maxlength="{LONGEST}" autofocus>"""
        + frame.new_password("new", "Your new password", shortest=SHORTEST, longest=LONGEST, help=help)
        + frame.new_password("again", "The new one once more", shortest=SHORTEST, longest=LONGEST)
    )
    body = f"""<div class="sign">{icon("lock")}</div><h1>A new password</h1>
<p class="soft">Everywhere else where you are signed in, you are signed out by it.</p>{frame.said(*said)}
{frame.form(PASSWORD, form, fields, button="Change my password")}{_BACK}"""
    return frame.page(practice, "A new password", body, out=form)


def password_done(practice: FrontDoor, *, form: str, ended: int) -> str:
    """The new one counts."""
    body = f"""<div class="sign">{icon("check")}</div><h1>Your new password is set</h1>
<p class="soft">The old one opens nothing any more. {_ended(ended)}</p><a class="button" href="{ME}">Back to my account</a>"""
    return frame.page(practice, "Your new password is set", body, out=form)


def kept_elsewhere(practice: FrontDoor, *, form: str, said: tuple[str, ...]) -> str:
    """Somebody else keeps this password."""
    body = f"""<div class="sign">{icon("lock")}</div><h1>A new password</h1><p class="soft">{escape(" ".join(said))}</p>
<a class="button" href="{ME}">Back to my account</a>"""
    return frame.page(practice, "A new password", body, out=form)


def turned(practice: FrontDoor, *, form: str, said: tuple[str, ...]) -> str:
    """The directory does not take this password; the way on begins with confirming."""
    body = f"""<div class="sign warn">{icon("lock")}</div><h1>Not changed</h1>
<p class="soft">The practice's directory keeps your password, and did not take the new one.</p>{frame.said(*said)}
<a class="button" href="{CONFIRM}?for=factors&amp;next={PASSWORD}">Confirm once more, and choose another one</a>{_BACK}"""
    return frame.page(practice, "Not changed", body, out=form)
