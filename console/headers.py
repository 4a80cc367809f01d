"""What every answer of the console tells the browser it may do with it."""

from __future__ import annotations

import base64
import hashlib
import re
from functools import cache
from pathlib import Path

import streamlit
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from console import trouble

_SHARED = {
    "x-content-type-options": "nosniff",
    # Not no-referrer: Chromium then sends `Origin: null` with our own forms, which look like another site's.
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(self)",
}
# The staff viewer lies in a frame of the study page, so the console itself may frame it, and nobody else.
_VIEWER = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; connect-src 'self'; "
    "img-src 'self' blob: data:; style-src 'self' 'unsafe-inline'; font-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'self'"
)
# Kept by the browser, a page came back after signing out as grey boxes that never filled: Back asks for it again.
_FRESH = (b"cache-control", b"no-store")
# The plain pages at the door run no script; a few of them hold a picture of a secret, or the script of a key.
_DOOR = ("/login", "/activate", "/stepup", "/account", "/logout")
_WITH_KEYS = {"/login/code", "/stepup", "/account/keys/new"}
_WITH_QR = {"/activate/password", "/activate/app", "/account/app"}


@cache
def _inline_scripts() -> str:
    """Hashes of the inline scripts of Streamlit's page: read from it, since they change with its version."""
    page = (Path(streamlit.__file__).parent / "static" / "index.html").read_text()
    found = re.findall(r"<script(?![^>]*\bsrc=)[^>]*>(.*?)</script>", page, re.DOTALL)
    return " ".join(
        f"'sha256-{base64.b64encode(hashlib.sha256(s.encode()).digest()).decode()}'" for s in found
    )


@cache
def _console() -> str:
    # 'self' holds for the page's own websocket too: in Chromium, in Firefox, and in Safari since 15.4.
    return (
        f"default-src 'self'; script-src 'self' 'wasm-unsafe-eval' {_inline_scripts()}; "
        "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; "
        "connect-src 'self'; media-src 'self' blob:; worker-src 'self' blob:; "
        "frame-src 'self'; frame-ancestors 'none'; base-uri 'self'; form-action 'self'; object-src 'none'"
    )


def _door(path: str) -> str:
    script = "script-src 'self'; connect-src 'self'; " if path in _WITH_KEYS else ""
    return (
        f"default-src 'none'; {script}style-src 'self'; img-src 'self'{' data:' if path in _WITH_QR else ''}; "
        "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    )


def headers_for(path: str) -> dict[str, str]:
    """The headers of one path: the viewer may be framed by us, and the plain pages run no script that they do not need."""
    if path.startswith("/view/"):
        return {**_SHARED, "content-security-policy": _VIEWER, "x-frame-options": "SAMEORIGIN"}
    is_plain = any(path == root or path.startswith(f"{root}/") for root in _DOOR)
    policy = _door(path) if is_plain else _console()
    return {**_SHARED, "content-security-policy": policy, "x-frame-options": "DENY"}


def _is_page(headers: list[tuple[bytes, bytes]]) -> bool:
    return any(name.lower() == b"content-type" and value.startswith(b"text/html") for name, value in headers)


class SecurityHeaders:
    """Pure ASGI, around everything; a header that the answer carries already is replaced.

    A surprise is answered here, with the same headers and a number that the log knows; the framework's own answer would
    carry none, and its log the message, which may hold what somebody typed.
    """

    def __init__(self, app: ASGIApp, *, https: bool = False) -> None:
        self.app = app
        self.always = {"strict-transport-security": "max-age=31536000"} if https else {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        ours = [(k.encode(), v.encode()) for k, v in {**headers_for(scope["path"]), **self.always}.items()]
        names = {k for k, _ in ours}
        begun = False

        async def out(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                kept = [h for h in message["headers"] if h[0].lower() not in names]
                if not scope["path"].startswith("/view/") and _is_page(kept):
                    kept = [*(h for h in kept if h[0].lower() != _FRESH[0]), _FRESH]
                message["headers"] = [*kept, *ours]
            await send(message)

        try:
            await self.app(scope, receive, out)
        except Exception as error:
            reference = trouble.note(error)
            if begun:
                return  # Half an answer is gone already: the connection ends, and the browser sees that it does.
            said = (
                f"Something went wrong on our side. Try again; if it stays, tell whoever looks after this system the number "
                f"{reference}."
            )
            await PlainTextResponse(said, 500, headers={"Cache-Control": "no-store"})(scope, receive, out)
