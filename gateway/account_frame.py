"""What the pages of an account are made of: their frame, their forms, and what stands in them. Everything typed is escaped here."""

from __future__ import annotations

from html import escape
from pathlib import Path

from core.factors import NewTotp
from core.sharing import FrontDoor
from doors import keys
from doors.qr import in_groups, picture_of
from gateway import landing
from gateway.headers import landing_csp
from gateway.landing import MARK, icon

STYLE = landing.STYLE + Path(__file__).with_name("account.css").read_text(encoding="utf-8")
CSP, CSP_WITH_KEYS = landing_csp(STYLE), landing_csp(STYLE, script=True)
SCRIPT_AT = "/account/keys.js"
_KEY_SAYS = {
    "NotAllowedError": "That was stopped, or took too long. Try again, or use a code.",
    "InvalidStateError": "This phone or computer is set up already.",
    "SecurityError": "Fingerprint and face do not work at this address.",
    "NotSupportedError": "This phone or computer cannot do that. Use a code instead.",
    "TypeError": "We cannot reach the practice. Is there a network? Try again.",
    "unknown": "This browser cannot use a fingerprint or face.",
    "lost": "That did not work. Load this page again; you may have been signed out.",
}


def form(action: str, token: str, fields: str, *, button: str, look: str = "", **kept: str) -> str:
    """A form that carries its token. look: quiet, where something else is the first thing to do."""
    style = f' class="{look}"' if look else ""
    return (
        f'<form method="post" action="{action}" class="fields">{hidden(form=token, **kept)}{fields}'
        f"<button{style}>{escape(button)}</button></form>"
    )


def hidden(**values: str) -> str:
    return "".join(f'<input type="hidden" name="{n}" value="{escape(v)}">' for n, v in values.items() if v)


def key_form(
    token: str,
    *,
    button: str,
    options: str,
    answer: str,
    fields: str = "",
    makes: bool = False,
    either: bool = False,
    **kept: str,
) -> str:
    """The button that a finger or a face answers; the script shows it where the browser can. either: a code follows."""
    inside = (
        f"{hidden(token=token, **kept)}{fields}<button>{icon('finger')}<span>{escape(button)}</span></button>"
        + ('<p class="or">or</p>' if either else "")
    )
    shown = keys.key_form(
        inside, options=options, answer=answer, says=_KEY_SAYS, makes=makes, look=' class="fields"'
    )
    return f'{shown}<p id="key-says" class="said" role="alert" hidden></p>'


def said(*sentences: str) -> str:
    """What went wrong; nothing when there is nothing to say."""
    told = "<br>".join(escape(one) for one in sentences if one)
    return (
        f'<div class="said" id="said" role="alert">{icon("alert")}<span>{told}</span></div>' if told else ""
    )


def done(sentence: str) -> str:
    """What was just done; nothing when there is nothing to say."""
    told = f"{icon('check')}<span>{escape(sentence)}</span>"
    return f'<div class="done" role="status">{told}</div>' if sentence else ""


def six_digits(help: str, *, label: str = "Six-digit code", focus: bool = True) -> str:
    return f"""<label for="code">{escape(label)}</label>
<input id="code" name="code" class="code" inputmode="numeric" pattern="[0-9 ]{{6,7}}" title="Six digits" maxlength="7"
 autocomplete="one-time-code" required{" autofocus" if focus else ""} aria-describedby="code-help"><p class="help" id="code-help">{escape(help)}</p>"""


def code_from_paper(name: str, label: str, help: str) -> str:
    return f"""<label for="{name}">{label}</label>
<input id="{name}" name="{name}" class="text paper" autocomplete="off" autocapitalize="characters" spellcheck="false" required
 maxlength="60" autofocus aria-describedby="{name}-help"><p class="help" id="{name}-help">{help}</p>"""


def new_password(
    name: str, label: str, *, shortest: int, longest: int, help: str = "", focus: bool = False
) -> str:
    told = f'<p class="help" id="{name}-help">{help}</p>' if help else ""
    return f"""<label for="{name}">{label}</label>
<input id="{name}" name="{name}" class="text" type="password" autocomplete="new-password" required minlength="{shortest}"
 maxlength="{longest}"{" autofocus" if focus else ""}{f' aria-describedby="{name}-help"' if help else ""}>{told}"""


def new_app(fresh: NewTotp) -> str:
    """How a phone learns the secret."""
    return f"""<ol class="steps">
<li>On your phone, install an authenticator app, for example Google Authenticator or Microsoft Authenticator. They cost
nothing.</li>
<li>In the app choose <strong>add</strong>, then <strong>scan a QR code</strong>, and point the phone at this picture:
<img class="qr" src="{escape(picture_of(fresh))}" alt="QR code for the authenticator app" width="220" height="220">
<details><summary>You read this on that phone? Copy the key instead</summary>
<p class="help">Choose "enter a setup key", type any name, choose "time based", and copy:</p>
<p class="secret">{in_groups(fresh)}</p></details></li>
<li>Type the six digits that the app shows now.</li></ol>"""


def ten_codes(codes: tuple[str, ...]) -> str:
    """Recovery codes, to write down."""
    return f'<ol class="codes">{"".join(f"<li><code>{escape(one)}</code></li>" for one in codes)}</ol>'


def again(where: str, words: str) -> str:
    """A quiet way on under a form."""
    return f'<p class="again"><a href="{escape(where)}">{escape(words)}</a></p>'


def page(practice: FrontDoor, title: str, body: str, *, out: str = "", script: bool = False) -> str:
    """A whole page. out: the form's token, where somebody is signed in."""
    name = escape(practice.name or "Your radiology practice")
    leave = (
        f'<form method="post" action="/account/out" class="out">{hidden(form=out)}'
        '<button class="plain">Sign out</button></form>'
        if out
        else ""
    )
    tag = keys.script_tag(SCRIPT_AT) if script else ""
    return f"""<!doctype html>
<html lang="en-ZA"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex, nofollow"><meta name="referrer" content="no-referrer">
<meta name="format-detection" content="telephone=no"><meta name="color-scheme" content="light dark">
<link rel="icon" href="data:,"><title>{escape(title)} – {name}</title><style>{STYLE}</style>{tag}</head>
<body><header>{MARK}<span>{name}</span>{leave}</header>
<main>{body}</main>
<footer>Nobody from the practice will ever ask you for your password or for a code.</footer></body></html>"""
