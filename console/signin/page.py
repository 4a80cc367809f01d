"""The sign-in pages as plain HTML: no script, one form, one question at a time."""

from __future__ import annotations

from html import escape
from pathlib import Path

STYLE = (Path(__file__).parent / "signin.css").read_text()
MARK = (Path(__file__).parent / "mark.svg").read_text()

_FRAME = """<!doctype html>
<html lang="en-ZA">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<title>{title} · Sorg</title>
<link rel="icon" href="/favicon.png">
<link rel="stylesheet" href="/login/style.css">
</head>
<body>
<main>
<header><img src="/favicon.png" alt="" width="44" height="44"><div><strong>Sorg</strong><span>Ubuntu Patient Sorg</span></div></header>
<h1>{title}</h1>
<p class="lead">{lead}</p>
{message}
<form method="post" action="{action}" autocomplete="on">
<input type="hidden" name="token" value="{token}">
<input type="hidden" name="next" value="{next}">
{fields}
<button type="submit">{button}</button>
</form>
{after}
</main>
<footer>Patient information. For staff of the practice only; every opening is recorded.</footer>
</body>
</html>
"""

_NAME_AND_PASSWORD = """<label for="login">Name</label>
<input id="login" name="login" value="{login}" autocomplete="username" autocapitalize="none" spellcheck="false"
 required maxlength="64"{focus_name}>
<label for="password">Password</label>
<input id="password" name="password" type="password" autocomplete="current-password" required maxlength="256"{focus_password}>"""

_CODE = """<label for="code">Six-digit code</label>
<input id="code" name="code" class="code" inputmode="numeric" pattern="[0-9 ]{6,7}" autocomplete="one-time-code"
 required maxlength="7" autofocus aria-describedby="code-help">
<p id="code-help" class="help">From the authenticator app on your phone. Each code works once.</p>"""


def password_page(*, token: str, next: str, login: str = "", message: str = "") -> str:
    """First question: who, and the password."""
    focus = ("", " autofocus") if login else (" autofocus", "")
    return _page(
        title="Sign in", lead="Use the name and password you use in the practice.", action="/login", token=token,
        next=next, button="Continue", message=message,
        fields=_NAME_AND_PASSWORD.format(login=escape(login), focus_name=focus[0], focus_password=focus[1]),
        after='<p class="help">Forgotten it? Your practice\'s admin can help.</p>',
    )  # fmt: skip


def code_page(*, token: str, next: str, message: str = "") -> str:
    """Second question: the code."""
    return _page(
        title="One more step", lead="Confirm that it is you.", action="/login/code", token=token, next=next,
        button="Sign in", message=message, fields=_CODE,
        after='<p class="help"><a href="/login">Start again</a></p>',
    )  # fmt: skip


def _page(*, title: str, lead: str, action: str, token: str, next: str, button: str, message: str, fields: str,
          after: str) -> str:  # fmt: skip
    told = f'<p class="message" role="alert">{escape(message)}</p>' if message else ""
    return _FRAME.format(title=title, lead=lead, action=action, token=escape(token), next=escape(next),
                         button=button, message=told, fields=fields, after=after)  # fmt: skip
