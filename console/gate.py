"""The gate around every route and every websocket: our own host names, a live session, and no path but ours."""

from __future__ import annotations

from urllib.parse import quote, urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from console import handed
from console.door import Door
from core.rules.addresses import plain_address

# Exact paths: a prefix would let "/loginx" in as well.
OPEN = frozenset(
    {
        "/login",
        "/login/code",
        "/login/key",
        "/login/key/options",
        "/login/keys.js",
        "/login/style.css",
        "/login/oidc",
        "/login/oidc/back",
        "/activate",
        "/activate/password",
        "/activate/app",
        "/health",
        "/favicon.png",
    }
)
_NESTED = (
    "/_stcore/", "/static/", "/media/", "/component/", "/images/", "/view/", "/login/", "/activate/", "/stepup/",
    "/account/",
)  # fmt: skip
_SHUT = (
    "/_stcore/agent",
    "/_stcore/metrics",
    "/_stcore/script-health-check",
    "/app/",
    "/auth/",
    "/oauth2callback",
)


class OwnHost:
    """Refuse requests for a host name that is not ours (DNS rebinding), and pages of another origin that write."""

    def __init__(self, app: ASGIApp, door: Door) -> None:
        self.app, self.door = app, door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in ("http", "websocket"):
            headers = HTTPConnection(scope).headers
            host = headers.get("host", "")
            if _name_of(host) not in self.door.hosts:
                return await _refuse(
                    scope, receive, send, PlainTextResponse("This is not the address of the console.", 421)
                )
            writes = scope["type"] == "websocket" or scope["method"] not in ("GET", "HEAD", "OPTIONS")
            if writes and _is_foreign(headers.get("origin"), headers.get("sec-fetch-site"), host):
                return await _refuse(
                    scope, receive, send, PlainTextResponse("This came from another site.", 403)
                )
        await self.app(scope, receive, send)


class RequireSession:
    """No live session, no page and no websocket: Streamlit never starts a run for a stranger."""

    def __init__(self, app: ASGIApp, door: Door) -> None:
        self.app, self.door = app, door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket") or scope["path"] in OPEN:
            return await self.app(scope, receive, send)
        connection = HTTPConnection(scope)
        token = connection.cookies.get(self.door.cookie)
        actor = await run_in_threadpool(self.door.who, token, address=address_of(connection))
        if actor is None:
            return await _refuse(scope, receive, send, _sign_in_first(connection))
        is_anothers = scope["path"].startswith(handed.PREFIX) and not handed.is_for(
            scope["path"], actor.session
        )
        if is_anothers or scope["path"].startswith(_SHUT):
            return await _refuse(scope, receive, send, PlainTextResponse("There is nothing here.", 404))
        if "/" in scope["path"][1:] and not scope["path"].startswith(_NESTED):
            # Streamlit would answer a nested path with a page whose own files are looked for in the wrong place. Its
            # script asks below each page's address, too, where its server may be: there it must hear a plain no.
            html = "text/html" in connection.headers.get("accept", "")
            answer = RedirectResponse("/", 303) if html else PlainTextResponse("There is nothing here.", 404)
            return await _refuse(scope, receive, send, answer)
        scope["actor"] = actor
        await self.app(scope, receive, send)


def address_of(connection: HTTPConnection) -> str:
    """Where the browser is, for the record."""
    return plain_address(connection.client.host if connection.client else "")


def _sign_in_first(connection: HTTPConnection) -> Response:
    path = connection.scope["path"]
    if path.startswith("/images/"):
        return JSONResponse({"sentence": "You are signed out. Sign in again to see the images."}, 401)
    if "json" in connection.headers.get("content-type", ""):
        # Our script at a page of keys: it shows the sentence, and leads on.
        return JSONResponse({"sentence": "You are signed out. Sign in again.", "go": "/login"}, 401)
    if "text/html" not in connection.headers.get("accept", ""):
        return PlainTextResponse("Sign in first.", 401)
    query = connection.scope.get("query_string", b"").decode("latin-1")
    wish = path + (f"?{query}" if query else "")
    return RedirectResponse("/login" if wish == "/" else f"/login?next={quote(wish, safe='')}", 303)


async def _refuse(scope: Scope, receive: Receive, send: Send, answer: Response) -> None:
    if scope["type"] == "websocket":
        await receive()
        return await send({"type": "websocket.close", "code": 4401})
    await answer(scope, receive, send)


def _is_foreign(origin: str | None, site: str | None, host: str) -> bool:
    """True when the browser says that another place sends this. Programs that are no browser say neither."""
    if site in ("cross-site", "same-site"):
        return True
    if origin is None:
        return False
    try:
        return urlsplit(origin).netloc.lower() != host.lower()
    except ValueError:
        return True


def _name_of(host: str) -> str:
    try:
        parts = urlsplit(f"//{host}")
        # "user@name" or "name/path" is no host, and would end in addresses that we make of it.
        return (parts.hostname or "").lower().rstrip(".") if parts.netloc == host and "@" not in host else ""
    except ValueError:
        return ""
