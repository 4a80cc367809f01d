"""The pages at the door as plain HTML: one question at a time, and a script only where a key is touched."""

from __future__ import annotations

import hashlib
from html import escape
from pathlib import Path

from core.factors import NewTotp
from core.sessions import Over
from core.signin import SecondHalf
from doors import keys
from doors.manners import with_next
from doors.qr import in_groups, picture_of

_HERE = Path(__file__).parent
STYLE = (_HERE / "signin.css").read_text()
MARK = (_HERE / "mark.svg").read_text()


def _version(text: str) -> str:
    """Browsers keep these files for an hour; a new version of ours has a new address."""
    return hashlib.sha256(text.encode()).hexdigest()[:8]


_STYLE_AT = f"/login/style.css?v={_version(STYLE)}"
_SCRIPT_AT = "/login/keys.js"
_KEY_SAYS = {
    "NotAllowedError": "The key was not used: that was stopped, or took too long. Try again.",
    "InvalidStateError": "This key is set up here already.",
    "SecurityError": "Keys do not work at this address of the console.",
    "NotSupportedError": "This key cannot be used here: it does not check who is holding it.",
    "TypeError": "The console does not answer. Is the network there? Try again.",
    "unknown": "This browser does not know passkeys or security keys.",
    "lost": "That did not work. Load this page again; you may have been signed out.",
}
_FRAME = """<!doctype html>
<html lang="en-ZA">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<title>{title} · Sorg</title>
<link rel="icon" href="/favicon.png">
<link rel="stylesheet" href="{style}">
{script}</head>
<body>
<main{wide}>
<header><img src="/favicon.png" alt="" width="44" height="44"><div><strong>Sorg</strong><span>Ubuntu Patient Sorg</span></div></header>
<h1>{title}</h1>
{body}
</main>
<footer>Patient information. For staff of the practice only; every opening is recorded.</footer>
</body>
</html>
"""


# Parts of a page; everything that a person typed or the practice named is escaped here ------------------------------


def frame(title: str, *parts: str, script: bool = False, wide: bool = False) -> str:
    """A whole page from its parts."""
    tag = keys.script_tag(_SCRIPT_AT) + "\n" if script else ""
    return _FRAME.format(
        title=escape(title),
        style=_STYLE_AT,
        script=tag,
        wide=' class="wide"' if wide else "",
        body="\n".join(part for part in parts if part),
    )


def lead(text: str) -> str:
    """The sentence under the title."""
    return f'<p class="lead">{escape(text)}</p>'


def message(*sentences: str) -> str:
    """What went wrong; nothing when there is nothing to say."""
    told = "<br>".join(escape(s) for s in sentences if s)
    return f'<p class="message" role="alert">{told}</p>' if told else ""


def notice(text: str) -> str:
    """Something to know that is nobody's mistake."""
    return f'<p class="notice" role="status">{escape(text)}</p>' if text else ""


def form(action: str, *fields: str, button: str, token: str, quiet: bool = False, **hidden: str) -> str:
    """A form that carries its token. quiet: something else on the page is the first thing to do."""
    look = ' class="quiet"' if quiet else ""
    return (
        f'<form method="post" action="{action}" autocomplete="on">\n'
        + _kept(token, hidden)
        + "\n".join(fields)
        + f'\n<button type="submit"{look}>{escape(button)}</button>\n</form>'
    )


def key_form(
    *fields: str,
    button: str,
    token: str,
    options: str,
    answer: str,
    makes: bool = False,
    is_second: bool = False,
    **hidden: str,
) -> str:
    """The button that a key answers. is_second: after a form; the "or" comes and goes with the button."""
    inside = [
        OR if is_second else "",
        _kept(token, hidden),
        *fields,
        f'<button type="submit"{" class=quiet" if is_second else ""}>{escape(button)}</button>',
    ]
    return (
        '<noscript><p class="notice">Keys need JavaScript in this browser.</p></noscript>\n'
        + keys.key_form(
            "\n".join(part for part in inside if part),
            options=options,
            answer=answer,
            says=_KEY_SAYS,
            makes=makes,
        )
        + '\n<p id="key-says" class="message" role="alert" hidden></p>'
    )


def _kept(token: str, hidden: dict[str, str]) -> str:
    return "".join(
        f'<input type="hidden" name="{name}" value="{escape(value)}">\n'
        for name, value in {"token": token, **hidden}.items()
    )


def link(where: str, text: str, *, button: bool = False, first: bool = False) -> str:
    """A way on, as a line or in the shape of a button."""
    if not button:
        return f'<p class="help"><a href="{escape(where)}">{escape(text)}</a></p>'
    return f'<a class="other{" first" if first else ""}" href="{escape(where)}">{escape(text)}</a>'


SINGLE_SIGN_ON = "/login/oidc"
OR = '<p class="or">or</p>'


def code_field(
    *,
    label: str = "Six-digit code",
    help: str = "From the authenticator app on your phone. Each code works once.",
    focus: bool = True,
) -> str:
    """Where six digits are typed or pasted."""
    return (
        f'<label for="code">{escape(label)}</label>\n<input id="code" name="code" class="code" inputmode="numeric" '
        'pattern="[0-9 ]{6,7}" title="Six digits" autocomplete="one-time-code" required maxlength="7"'
        f'{" autofocus" if focus else ""} aria-describedby="code-help">\n<p id="code-help" class="help">{escape(help)}</p>'
    )


def slip_field(*, name: str, label: str, help: str) -> str:
    """Where a code from paper is typed: case, blanks and hyphens do not count."""
    return (
        f'<label for="{name}">{escape(label)}</label>\n<input id="{name}" name="{name}" class="slip" autocomplete="off" '
        f'autocapitalize="characters" spellcheck="false" required maxlength="60" autofocus aria-describedby="{name}-help">\n'
        f'<p id="{name}-help" class="help">{escape(help)}</p>'
    )


def reason_field(reason: str) -> str:
    """Why the sealed account is used."""
    return (
        '<label for="reason">Why is the sealed account used?</label>\n<textarea id="reason" name="reason" required '
        f'minlength="10" maxlength="300" rows="3" aria-describedby="reason-help">{escape(reason)}</textarea>\n'
        '<p id="reason-help" class="help">It stays on record, and every admin is told now.</p>'
    )


def qr(fresh: NewTotp) -> str:
    """The secret of a new authenticator app: to scan, and to type in groups of four."""
    return (
        f'<img class="qr" src="{escape(picture_of(fresh))}" alt="QR code for the authenticator app" width="220" height="220">\n'
        "<details><summary>No camera? Type the secret in</summary>\n"
        f'<p class="help">Choose "enter a setup key", time-based, and type:</p>\n<p class="secret">{in_groups(fresh)}</p></details>'
    )


def recovery_list(codes: tuple[str, ...]) -> str:
    """Recovery codes, to print or write down."""
    rows = "".join(f"<li><code>{escape(code)}</code></li>" for code in codes)
    return f'<ol class="codes">{rows}</ol>'


# Signing in -----------------------------------------------------------------------------------------------------

_NAME_AND_PASSWORD = """<label for="login">Name</label>
<input id="login" name="login" value="{login}" autocomplete="username" autocapitalize="none" spellcheck="false"
 required maxlength="64"{focus_name}>
<label for="password">Password</label>
<input id="password" name="password" type="password" autocomplete="current-password" required maxlength="256"{focus_password}>"""
AWAY = (
    "The practice's directory does not answer now. Whoever signed in here during the last days still can, with fewer "
    "rights, until it is back."
)
_OVER = {
    Over.TIME: "Its time was over: however much it is used, a session ends after some hours.",
    Over.SELF: "You ended it yourself, here or in another window.",
    Over.PRACTICE: "An admin ended it. If you do not know why, ask them.",
    Over.PASSWORD: "Your password was set anew. If that was not you, tell your practice's admin now.",
    Over.FACTOR: "Your second factor was set up anew. If that was not you, tell your practice's admin now.",
    Over.RIGHTS: "What you may do here has changed. Sign in again, and you have it.",
    Over.LOGIN: "An admin corrected the name that you sign in with. Ask them which it is now; your password stays.",
}
NO_FACTOR = (
    "Your password is right, but there is nothing yet to confirm it with: no authenticator app and no key. "
    "Ask your practice's admin for a sign-in slip; with it you set up your phone in three minutes."
)


LEFT = "You are signed out."


def why_over(over: Over | None, *, minutes: int) -> str:
    """What is said above the form to the browser whose session is over."""
    if over is None:
        return ""
    if over is Over.IDLE:
        return f"You are signed out: after {minutes} minutes without use a session ends."
    return " ".join(t for t in ("You are signed out: this session was ended.", _OVER.get(over, "")) if t)


def password_page(
    *,
    token: str,
    next: str,
    login: str = "",
    said: tuple[str, ...] = (),
    other: str = "",
    is_away: bool = False,
    over: str = "",
) -> str:
    """First question: who, and the password; or single sign-on, when it has a name (`other`). over: why the last session is."""
    focus = ("", " autofocus") if login else (" autofocus", "")
    fields = _NAME_AND_PASSWORD.format(login=escape(login), focus_name=focus[0], focus_password=focus[1])
    return frame(
        "Sign in",
        lead("Use the name and password you use in the practice."),
        notice(over),
        notice(AWAY if is_away else ""),
        message(*said),
        form("/login", fields, button="Continue", token=token, next=next),
        single_sign_on(other, next=next),
        '<p class="help">First time here, or a new phone? <a href="/activate">Use your sign-in slip</a>. '
        "Forgotten your password? Your practice's admin can help.</p>",
    )


def single_sign_on(name: str, *, next: str) -> str:
    """The way by the practice's provider. A link and no form: the page's policy lets forms go to ourselves alone."""
    if not name:
        return ""
    return f"{OR}<p>{link(with_next(SINGLE_SIGN_ON, next), f'Continue with {name}', button=True)}</p>"


def code_page(
    *,
    token: str,
    next: str,
    half: SecondHalf,
    said: tuple[str, ...] = (),
    reason: str = "",
    why_no_keys: str = "",
) -> str:
    """Second question: a code, a key, or a recovery code; whatever this account has."""
    again = link("/login", "Start again")
    if not (half.code or half.key or half.recovery):
        return frame(
            "One more step",
            notice(NO_FACTOR),
            link("/activate", "I have a slip", button=True, first=True),
            again,
        )
    why = [reason_field(reason)] if half.needs_reason else []
    parts = [lead("Confirm that it is you."), message(*said)]
    offers_key = half.key and not why_no_keys
    if half.code:
        parts.append(
            form("/login/code", *why, code_field(focus=not why), button="Sign in", token=token, next=next)
        )
    if offers_key:
        # One reason is asked for, in the first form; the script takes it along.
        parts.append(
            key_form(
                *([] if half.code else why),
                button="Use your key",
                token=token,
                is_second=half.code,
                options="/login/key/options",
                answer="/login/key",
                next=next,
            )
        )
    elif half.key:
        parts.append(notice(why_no_keys))
    if half.recovery:
        parts.append(
            link(with_next("/login/code?use=recovery", next), "Phone or key not here? Use a recovery code")
        )
    return frame("One more step", *parts, again, script=offers_key)


def recovery_page(
    *, token: str, next: str, half: SecondHalf, said: tuple[str, ...] = (), reason: str = "", **_: str
) -> str:
    """Second question, answered from paper."""
    why = [reason_field(reason)] if half.needs_reason else []
    field = slip_field(
        name="recovery",
        label="Recovery code",
        help="One of the ten that you wrote down. It works once; cross it out afterwards.",
    )
    return frame(
        "Use a recovery code",
        lead(
            "For when your phone or key is not with you. Is it gone for good? After signing in you have "
            "fifteen minutes to set up another one, under My account."
        ),
        message(*said),
        form("/login/code", *why, field, button="Sign in", token=token, next=next, use="recovery"),
        link(with_next("/login/code", next), "Use a code or key instead"),
        link("/login", "Start again"),
    )


def not_done_page(*, token: str, said: tuple[str, ...], back: str) -> str:
    """A step that could not be taken, and nothing was changed by it."""
    return frame(
        "That was not done",
        message(*said),
        link(back, "Go back and try again", button=True, first=True),
        '<p class="help">If it stays, tell whoever looks after this system.</p>',
    )


# Setting up -----------------------------------------------------------------------------------------------------

WRITE_DOWN = "Print this page or write the codes down. Each works once, in place of your phone or key. They are not shown again."
ONLY_PAPER = (
    '<p class="help">Keep the paper where you keep your bank card, not beside the computer. '
    '<span class="screen">To print: Ctrl and P together.</span></p>'
)


def known_name(login: str) -> str:
    """For password managers: whose password is being set. Nobody sees it."""
    return f'<input type="text" name="login" value="{escape(login)}" autocomplete="username" readonly hidden>'


def new_password(
    name: str, label: str, *, shortest: int, longest: int, help: str = "", focus: bool = False
) -> str:
    """Where a new password is typed, pasted, or made by the browser."""
    told = f'\n<p id="{name}-help" class="help">{escape(help)}</p>' if help else ""
    return (
        f'<label for="{name}">{escape(label)}</label>\n<input id="{name}" name="{name}" type="password" '
        f'autocomplete="new-password" required minlength="{shortest}" maxlength="{longest}"{" autofocus" if focus else ""}'
        f"{f' aria-describedby={name}-help' if help else ''}>{told}"
    )


def known_password(label: str = "Password") -> str:
    """Where the password that is in use is typed."""
    return (
        f'<label for="password">{escape(label)}</label>\n<input id="password" name="password" type="password" '
        'autocomplete="current-password" required maxlength="256" autofocus>'
    )


def app_steps(fresh: NewTotp) -> str:
    """How a phone learns the secret."""
    return (
        '<ol class="steps"><li>Open an authenticator app on your phone: Google or Microsoft Authenticator, Aegis, or another. '
        "None there yet? Install one; it needs no network afterwards.</li>"
        "<li>Choose <strong>add</strong>, then <strong>scan a QR code</strong>, and scan this one:</li></ol>\n"
        + qr(fresh)
    )
