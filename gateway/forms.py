"""What the forms of links keep to: small bodies and short cookies. Those of accounts have manners.py."""

from __future__ import annotations

from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse

from core.rules.addresses import plain_address

MOST_BYTES = 4096
LONGEST_SECRET = 100


async def small_body(request: Request) -> bytes | None:
    """The form, or None when it is larger than a form of ours can be. Never more than that is read."""
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > MOST_BYTES:
            return None
    return body


def fields_of(body: bytes) -> dict[str, str]:
    """The fields of a form, each once; none when there are more than any form of ours has."""
    try:
        return {k: v[0] for k, v in parse_qs(body.decode("utf-8", "replace"), max_num_fields=8).items()}
    except ValueError:
        return {}


def cookie(request: Request, name: str) -> str:
    """A secret that this browser holds; empty without one."""
    return request.cookies.get(name, "")[:LONGEST_SECRET]


def address(request: Request) -> str:
    """From where somebody asks."""
    return plain_address(request.client.host if request.client else "")


def page(html: str, csp: str, status: int = 200, headers: dict[str, str] | None = None) -> HTMLResponse:
    """A page without scripts, under its own policy."""
    return HTMLResponse(html, status, headers={"content-security-policy": csp, **(headers or {})})


def sentence(said: str, status: int, headers: dict[str, str] | None = None) -> JSONResponse:
    """What the viewer reads and shows."""
    return JSONResponse({"sentence": said}, status, headers=headers)
