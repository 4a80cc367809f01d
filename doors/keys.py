"""What a page needs for a passkey or security key: our one script, the form that it listens to, and where keys work."""

from __future__ import annotations

import hashlib
import ipaddress
import json
from html import escape
from pathlib import Path
from urllib.parse import urlsplit

SCRIPT = Path(__file__).with_name("keys.js").read_text(encoding="utf-8")
# Browsers keep the file for an hour; a new version of ours has a new address.
VERSION = hashlib.sha256(SCRIPT.encode()).hexdigest()[:8]


def no_keys_at(origin: str, *, only_at: tuple[str, ...] = ()) -> str:
    """Why keys cannot work where a browser has this door: elsewhere, number or unsafe; empty when they can.

    only_at: where the practice says that the door is. WebAuthn level 2, §5.1.2.
    """
    if only_at and origin not in only_at:
        return "elsewhere"
    parts = urlsplit(origin)
    name = parts.hostname or ""
    if is_ip_address(name):
        return "number"
    if parts.scheme != "https" and name != "localhost" and not name.endswith(".localhost"):
        return "unsafe"
    return ""


def is_ip_address(name: str) -> bool:
    """True for 127.0.0.1 and ::1, false for localhost."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def script_tag(at: str) -> str:
    """Our script, from this address."""
    return f'<script src="{at}?v={VERSION}" defer></script>'


def key_form(
    inside: str, *, options: str, answer: str, says: dict[str, str], makes: bool = False, look: str = ""
) -> str:
    """The form that a key answers, and where the script says what went wrong. It shows the form where keys are known.

    inside: fields, the form's token among them, the button, and all that would make no sense without it. says: this
    door's words, by the name of the browser's error; `unknown` for a browser that knows no keys.
    """
    does, words = "make" if makes else "touch", escape(json.dumps(says, ensure_ascii=False))
    return (
        f'<form id="key-form"{look} hidden data-does="{does}" data-options="{options}" data-answer="{answer}" '
        f'data-says="{words}">\n{inside}\n</form>'
    )
