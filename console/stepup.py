"""The ways of confirming that it is still you: a fresh code beside the button, or the key on a page of its own.

A key is touched on /stepup, which runs no Streamlit: the page is left, and what was typed on it would be gone. So it is
kept here for ten minutes, by this process and for this session only. It never stands in an address, which browsers and
proxies write down.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote
from uuid import UUID

import streamlit as st

from console import desk, widgets
from core import factors

_KEPT, _LASTS = 1_000, timedelta(minutes=10)
_drafts: OrderedDict[tuple[UUID | None, str], tuple[datetime, Any]] = OrderedDict()
_lock = threading.Lock()


def has_key() -> bool:
    """True when this person has a passkey or security key."""
    return bool(desk.ask(factors.mine).keys)


def is_proved(purpose: str) -> bool:
    """True while a fresh, unused proof for this purpose waits: the button needs no code then."""
    return desk.ask(factors.is_proved, purpose=purpose)


def code_field(key: str, *, label: str = "Code from your authenticator") -> str:
    """Where the code of the telephone is typed."""
    return st.text_input(label, max_chars=7, placeholder="123 456", key=key, autocomplete="one-time-code")


def key_link(purpose: str, *, next: str, label: str = "Touch my key") -> None:
    """The way to the page where the key is touched, and back to `next`."""
    widgets.way(label, f"/stepup?for={quote(purpose, safe='')}&next={quote(next, safe='')}", strong=True)


def keep(name: str, draft: Any) -> None:
    """Keep what was typed while its page is left."""
    with _lock:
        _drafts[(desk.actor().session, name)] = (widgets.now() + _LASTS, draft)
        while len(_drafts) > _KEPT:
            _drafts.popitem(last=False)


def kept(name: str) -> Any:
    """What was typed before the page was left; None when that was too long ago."""
    with _lock:
        until, draft = _drafts.get((desk.actor().session, name), (widgets.now(), None))
    return draft if until > widgets.now() else None


def drop(name: str) -> None:
    """It was used, or is not wanted any more."""
    with _lock:
        _drafts.pop((desk.actor().session, name), None)
