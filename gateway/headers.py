"""What every answer says to the browser, and what every request must say to us."""

from __future__ import annotations

import base64
import hashlib
import logging
import traceback
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

log = logging.getLogger("gateway")

# Measured with Cornerstone 5: a worker and its WebAssembly obey the header of their own response.
VIEWER_CSP = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; connect-src 'self'; "
    "img-src 'self' blob: data:; style-src 'self' 'unsafe-inline'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
SAFE = {
    "content-security-policy": VIEWER_CSP,
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "x-robots-tag": "noindex, nofollow, noarchive",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=(), browsing-topics=()",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}
UNREACHABLE = "The practice's computer has a fault just now. Nothing is lost: try again in a few minutes."


def landing_csp(style: str, *, script: bool = False) -> str:
    """For a page that asks something: exactly this style sheet, and a form that comes back to us. script: ours runs, where a key is touched."""
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    runs = "script-src 'self'; connect-src 'self'; " if script else ""
    return (
        f"default-src 'none'; {runs}style-src 'sha256-{digest}'; img-src data:; form-action 'self'; base-uri 'none'; "
        "frame-ancestors 'none'"
    )


def from_our_own_page(headers: Headers, host: str) -> bool:
    """Was this form sent by a page of ours? Our pages send no referrer, so browsers write `Origin: null` then.

    A foreign page is told apart by Sec-Fetch-Site, and in older browsers by the form's own cookie, which is Strict.
    """
    origin, site = headers.get("origin", "null"), headers.get("sec-fetch-site", "same-origin")
    try:
        return site == "same-origin" and (origin == "null" or urlsplit(origin).netloc == host)
    except ValueError:  # An origin that is no address.
        return False


class FrontGuard:
    """Around everything: only our own names as Host, safe headers on every answer, and no traceback, ever."""

    def __init__(self, app: ASGIApp, *, hosts: frozenset[str], https: bool) -> None:
        self.app, self.hosts = app, hosts
        self.extra = dict(SAFE)
        if https:
            self.extra["strict-transport-security"] = "max-age=31536000"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self.app(scope, receive, send)
            return  # A websocket is not ours: uvicorn refuses it when nobody accepts.
        started = False

        async def send_safely(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                headers = MutableHeaders(scope=message)
                for name, value in self.extra.items():
                    headers.setdefault(name, value)
            await send(message)

        if Headers(scope=scope).get("host", "") not in self.hosts:
            answer = JSONResponse({"sentence": "This is not the address of the practice's links."}, 421)
            await answer(scope, receive, send_safely)
            return
        try:
            await self.app(scope, receive, send_safely)
        except Exception as error:
            # The path may hold a secret and the message somebody's data: only where it happened is written down.
            places = [f"{f.filename}:{f.lineno}" for f in traceback.extract_tb(error.__traceback__)[-4:]]
            log.error("%s at %s", type(error).__name__, " < ".join(reversed(places)))
            if not started:
                await JSONResponse({"sentence": UNREACHABLE}, 500)(scope, receive, send_safely)
