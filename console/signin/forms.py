"""The manners of every plain page at the door: forms, cookies, limits, and how long a refusal takes.

A form counts only with the token that lies in a cookie of its own (double submit), from our own origin (console.gate),
and under 64 KB; a script's JSON carries the same token in a header. What is refused takes at least 0.4 s, and always a
whole number of such steps, so that the time tells nobody why.
"""

from __future__ import annotations

import hmac
import ipaddress
import json
import secrets
import time
from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import anyio
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, RedirectResponse, Response

from console.door import Door
from console.gate import address_of
from core import sessions
from core.store.work import Actor

FORM_COOKIE = "sorg-form"
CODE_COOKIE = "sorg-code"
FORM_HEADER = "x-sorg-form"
LARGEST_FORM = 64 * 1024
FLOOR_S = 0.4
CODE_STAGE_S = 300
FRESH = {"Cache-Control": "no-store"}
FORM_AGAIN = "That page was open for too long. Please try once more."
# Nobody is led from one question to another one: the way on is a page of the console.
_NO_WISH = ("//", "/\\", "/login", "/logout", "/activate")


class NotTaken(Exception):
    """What was sent is no form of ours; `answer` says so."""

    def __init__(self, answer: Response) -> None:
        super().__init__(answer.status_code)
        self.answer = answer


class TooLarge(Exception):
    """A form above LARGEST_FORM; it was not read to its end."""


def paced(take: Callable[..., Awaitable[Response]]) -> Callable[..., Awaitable[Response]]:
    """A way to answer a form whose refusals all take as long as one another."""

    @wraps(take)
    async def slow(self: Any, request: Request) -> Response:
        begun_s = time.monotonic()
        try:
            answer = await take(self, request)
        except NotTaken as no:
            answer = no.answer
        if answer.status_code >= 400:
            await anyio.sleep(rest_of_step(time.monotonic() - begun_s))
        return answer

    return slow


def rest_of_step(passed_s: float) -> float:
    """How long to wait until a whole number of steps has passed, one at least."""
    return FLOOR_S - passed_s % FLOOR_S


def why_no_keys_at(origin: str) -> str:
    """Why keys cannot work where a browser has the console; empty when they can (WebAuthn level 2, §5.1.2)."""
    parts = urlsplit(origin)
    name, port = parts.hostname or "", f":{parts.port}" if parts.port else ""
    if is_ip_address(name):
        return f"Keys need the console's host name, for example {parts.scheme}://localhost{port} or https://…"
    if parts.scheme != "https" and name != "localhost" and not name.endswith(".localhost"):
        return "Keys need a secure address (https://…). Ask whoever looks after this system."
    return ""


class Counter:
    """What the desks at the door share: this door's practice, and the manners above."""

    def __init__(self, door: Door) -> None:
        self.door = door

    # Verbs ----------------------------------------------------------------------------------------------------

    async def stranger(self, request: Request, verb: Callable[..., Any], **how: Any) -> Any:
        """Run a verb for somebody who is not signed in."""

        def run() -> Any:
            with self.door.stranger(address_of(request)) as work:
                return verb(work, **how)

        return await run_in_threadpool(run)

    async def staff(self, request: Request, verb: Callable[..., Any], *what: Any, **how: Any) -> Any:
        """Run a verb for whoever the gate let in; it counts as using the session."""
        actor: Actor = request.scope["actor"]

        def run() -> Any:
            self.door.keep_awake(actor, self.token(request))
            with self.door.work(actor) as work:
                return verb(work, *what, **how)

        return await run_in_threadpool(run)

    def token(self, request: Request) -> str:
        """The session's token, as the browser sent it."""
        return request.cookies.get(self.door.cookie, "")[:100]

    def origin(self, request: Request) -> str:
        """Our own origin as this browser sees it; the host is one of ours (console.gate.OwnHost)."""
        return f"{'https' if self.door.https else 'http'}://{request.headers['host'].lower()}"

    def why_no_keys(self, request: Request) -> str:
        """Why passkeys and security keys cannot work at this address; empty when they can."""
        return why_no_keys_at(self.origin(request))

    # Forms ----------------------------------------------------------------------------------------------------

    async def form(self, request: Request) -> dict[str, str]:
        """The fields of a form. Raises NotTaken; whether its token is right is asked with `is_ours`."""
        try:
            return await read_form(request)
        except TooLarge:
            raise NotTaken(
                PlainTextResponse("This form is too large.", 413, headers={**FRESH, "Connection": "close"})
            ) from None
        except ValueError:
            raise NotTaken(PlainTextResponse("This form cannot be read.", 400, headers=FRESH)) from None

    def is_ours(self, request: Request, form: dict[str, str]) -> bool:
        """True when the form carries the token of its cookie."""
        return self._is_kept(request, form.get("token", ""))

    async def said(self, request: Request) -> dict[str, Any]:
        """What a script of ours sent as JSON, with the form's token in its header. Raises NotTaken."""
        if not self._is_kept(request, request.headers.get(FORM_HEADER, "")):
            raise NotTaken(self.no(FORM_AGAIN, status=403))
        try:
            said = json.loads(await read_body(request, "application/json"))
        except TooLarge:
            raise NotTaken(self.no("This answer is too large.", status=413)) from None
        except (ValueError, RecursionError):
            said = None
        if not isinstance(said, dict):
            raise NotTaken(self.no("This answer cannot be read.", status=400))
        return said

    def _is_kept(self, request: Request, token: str) -> bool:
        kept = request.cookies.get(FORM_COOKIE, "")
        return len(kept) >= 32 and hmac.compare_digest(kept.encode(), token.encode())

    # Answers --------------------------------------------------------------------------------------------------

    def show(self, request: Request, draw: Callable[..., str], *, status: int = 200, **what: Any) -> Response:
        """A page with a form in it; the form's token lies in its cookie from now on."""
        token = request.cookies.get(FORM_COOKIE, "")
        if len(token) != 43 or not token.isascii():
            token = secrets.token_urlsafe(32)
        answer = HTMLResponse(draw(token=token, **what), status, headers=FRESH)
        self.keep(answer, FORM_COOKIE, token)
        return answer

    def onward(self, where: str) -> Response:
        """Go on to another page of ours."""
        return RedirectResponse(where, 303, headers=FRESH)

    def options(self, options: dict[str, Any]) -> Response:
        """What our script puts before the browser's key."""
        return JSONResponse(options, headers=FRESH)

    def go(self, where: str) -> Response:
        """Tell our script where to go on."""
        return JSONResponse({"go": where}, headers=FRESH)

    def no(self, sentence: str, *, status: int = 401, go: str = "") -> Response:
        """Tell our script why not, and, when there is one, the page where it is mended."""
        return JSONResponse({"sentence": sentence} | ({"go": go} if go else {}), status, headers=FRESH)

    def keep(
        self, answer: Response, name: str, value: str, *, path: str = "/", max_age: int | None = None
    ) -> None:
        """A cookie that no script reads and no other site's link sends."""
        answer.set_cookie(name, value, path=path, max_age=max_age, httponly=True, samesite="strict",
                          secure=self.door.https)  # fmt: skip

    def drop(self, answer: Response, name: str, *, path: str = "/") -> None:
        """Forget a cookie; named whole, since a browser under HTTPS ignores anything less."""
        answer.delete_cookie(name, path=path, secure=self.door.https, httponly=True, samesite="strict")

    async def end_former(self, request: Request) -> None:
        """Whoever was signed in in this browser before is out: one browser, one session (ASVS 5.0, 7.2.4)."""
        await self.stranger(request, sessions.sign_out, token=self.token(request))

    def welcome(self, answer: Response, token: str) -> Response:
        """The session begins: its cookie, none of the first half, and a form token of its own."""
        self.keep(answer, self.door.cookie, token)
        self.drop(answer, CODE_COOKIE, path="/login")
        # A form token of before the sign-in is worth nothing after it.
        self.keep(answer, FORM_COOKIE, secrets.token_urlsafe(32))
        return answer

    # What a page gives itself to take along --------------------------------------------------------------------

    def seal(self, text: str, *, about: str) -> str:
        """Text that only we can read again, for a hidden field: bound to what it is about."""
        house = self.door.house
        nonce = house.dice(12)
        return (nonce + AESGCM(house.keys["secrets"]).encrypt(nonce, text.encode(), about.encode())).hex()

    def unseal(self, box: str, *, about: str) -> str | None:
        """What `seal` put in, or None for a box that is not ours or belongs elsewhere."""
        try:
            raw = bytes.fromhex(box)
            return (
                AESGCM(self.door.house.keys["secrets"]).decrypt(raw[:12], raw[12:], about.encode()).decode()
            )
        except (ValueError, InvalidTag):
            return None


async def read_form(request: Request) -> dict[str, str]:
    """An urlencoded form of at most LARGEST_FORM bytes. Raises TooLarge before the rest is read, or ValueError."""
    body = await read_body(request, "application/x-www-form-urlencoded")
    fields = parse_qs(body.decode("utf-8"), keep_blank_values=True, max_num_fields=10)
    return {name: values[0] for name, values in fields.items()}


async def read_body(request: Request, kind: str) -> bytes:
    """The body, when it is of this kind and at most LARGEST_FORM long. Raises TooLarge or ValueError."""
    if request.headers.get("content-type", "").split(";")[0].strip() != kind:
        raise ValueError("not of that kind")
    said = request.headers.get("content-length", "")
    if said.isdigit() and int(said) > LARGEST_FORM:
        raise TooLarge
    body = bytearray()
    try:
        async for piece in request.stream():
            body += piece
            if len(body) > LARGEST_FORM:
                raise TooLarge
    except ClientDisconnect:
        # A stranger who hangs up is nothing to write down: a page of log for each would fill the disk.
        raise ValueError("the browser hung up") from None
    return bytes(body)


def local_path(wish: Any) -> str:
    """`wish` when it is a path of this console, else "/": no link may use our pages to lead elsewhere."""
    if not isinstance(wish, str) or not wish.startswith("/") or len(wish) > 500 or wish.startswith(_NO_WISH):
        return "/"
    if "\\" in wish or any(ord(c) < 33 or ord(c) == 127 for c in wish):
        return "/"
    try:
        parts = urlsplit(wish)
    except ValueError:
        return "/"
    return wish if not parts.scheme and not parts.netloc else "/"


def with_next(path: str, wish: str) -> str:
    """An address of ours that knows where to go on."""
    return f"{path}{'&' if '?' in path else '?'}next={quote(wish, safe='')}"


def is_ip_address(name: str) -> bool:
    """True for 127.0.0.1 and ::1, false for localhost."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
