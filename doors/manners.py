"""The manners of every plain page at a door: forms, cookies, limits, and how long a refusal takes.

A form counts only with the token that lies in a cookie of its own (double submit), from our own page, and while it is
small; a script's JSON carries the same token in a header. What is refused takes at least 0.4 s, and always a whole
number of such steps, so that the time tells nobody why. The console and the gateway each say the rest of it: what their
cookies are called, who runs a verb, how a page is framed.
"""

from __future__ import annotations

import hmac
import json
import secrets
import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import anyio
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from core import sessions
from core.errors import Denied, Missing, Outside, SorgError, Stale, Unfit, WrongAnswer
from core.store.work import House

FORM_HEADER = "x-sorg-form"
FLOOR_S = 0.4
FRESH = {"Cache-Control": "no-store"}
HALF_LASTS_S = 5 * 60
_TOKEN_LENGTH = 43  # of 256 bits, URL-safe
_MOST_FIELDS = 10
# What a refusal is in HTTP, the closest first; 400 for any other.
_STATUS: tuple[tuple[type[SorgError], int], ...] = (
    (Denied, 403), (Missing, 404), (Stale, 409), (WrongAnswer, 401), (Outside, 503), (Unfit, 503), (SorgError, 400),
)  # fmt: skip


class NotTaken(Exception):
    """What was sent goes no further; `answer` says so."""

    def __init__(self, answer: Response) -> None:
        super().__init__(answer.status_code)
        self.answer = answer


class TooLarge(Exception):
    """A body above what this door reads; it was not read to its end."""


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


@dataclass(frozen=True)
class Cookies:
    """A door's cookies: what they are called, and the paths that a browser sends them to."""

    session: str
    half: str
    half_path: str
    form: str
    path: str = "/"
    form_lasts_s: int | None = None


class Manners(ABC):
    """One door's ways. Every desk of this room is given one, and so behaves as its door does."""

    form_again: str
    form_field = "token"
    largest_form: int
    largest_said: int

    # What each door says ----------------------------------------------------------------------------------------

    @property
    @abstractmethod
    def house(self) -> House:
        """The opened practice."""

    @property
    @abstractmethod
    def https(self) -> bool:
        """True when browsers reach this door by HTTPS."""

    @property
    def origins(self) -> tuple[str, ...]:
        """Where this door is, as the practice has said; keys then answer there alone. Empty: wherever a browser has it."""
        return ()

    @property
    @abstractmethod
    def cookies(self) -> Cookies:
        """What this door's cookies are called."""

    @property
    @abstractmethod
    def not_done(self) -> Callable[..., str]:
        """How this door draws a page that could not go on: `said`, and `back`, the way out."""

    @abstractmethod
    async def stranger(self, request: Request, verb: Callable[..., Any], **how: Any) -> Any:
        """Run a verb for somebody who is not signed in."""

    @abstractmethod
    async def person(self, request: Request, verb: Callable[..., Any], *what: Any, **how: Any) -> Any:
        """Run a verb for whoever is signed in: `request.scope["actor"]`."""

    @abstractmethod
    def framed(
        self, request: Request, draw: Callable[..., str], *, token: str, status: int, **what: Any
    ) -> Response:
        """The page as this door frames it, with the headers that it needs."""

    @abstractmethod
    def local_path(self, wish: Any) -> str:
        """`wish` when it is a page that this door leads on to, else where everybody begins."""

    @abstractmethod
    def why_no_keys(self, request: Request) -> str:
        """Why passkeys and security keys cannot work at this address, in this door's words; empty when they can."""

    async def knock(self, request: Request) -> None:
        """Count somebody who sends something. Raises NotTaken when they come too fast: the console's limits are the verbs' own."""
        return

    def is_our_page(self, request: Request) -> bool:
        """True when the browser says that a page of ours sent this; beside the form's token."""
        return True

    def words_of(self, error: SorgError) -> str:
        """What this door tells of a refusal."""
        return error.sentence

    def with_next(self, path: str, wish: str) -> str:
        """An address of ours that knows where to go on."""
        return with_next(path, wish)

    def calmly(self, *routes: Route, back: str = "") -> list[Route]:
        """The same addresses. What a verb refuses where its page expects nothing is told in words, with a way on.

        Between the page and its answer a session ends, a directory falls silent, a row is taken away: no page can name
        every refusal at every step. `back`: where to go on from there; empty for where everybody begins.
        """
        return [
            Route(one.path, self._calm(one.endpoint, back), methods=list(one.methods or ())) for one in routes
        ]

    def _calm(
        self, take: Callable[[Request], Awaitable[Response]], back: str
    ) -> Callable[[Request], Awaitable[Response]]:
        async def calm(request: Request) -> Response:
            begun_s = time.monotonic()
            try:
                return await take(request)
            except SorgError as error:
                answer = await self._told(request, error, back)
            # A refusal takes as long as any other (paced), which it left by the window.
            await anyio.sleep(rest_of_step(time.monotonic() - begun_s))
            return answer

        return calm

    async def _told(self, request: Request, error: SorgError, back: str) -> Response:
        status = next(status for kind, status in _STATUS if isinstance(error, kind))
        if "json" in request.headers.get("content-type", ""):
            return self.no(self.words_of(error), status=status)
        back = back or self.local_path(None)
        return await self.show(request, self.not_done, said=(self.words_of(error),), back=back, status=status)

    async def show(
        self, request: Request, draw: Callable[..., str], *, status: int = 200, **what: Any
    ) -> Response:
        """A page with a form in it; the form's token lies in its cookie from now on."""
        return self.drawn(request, draw, status=status, **what)

    # Forms ------------------------------------------------------------------------------------------------------

    async def form(self, request: Request) -> dict[str, str]:
        """The fields of a form. Raises NotTaken; whether its token is right is asked with `is_ours`."""
        await self.knock(request)
        try:
            return await read_form(request, most_bytes=self.largest_form)
        except TooLarge:
            raise NotTaken(
                PlainTextResponse("This form is too large.", 413, headers={**FRESH, "Connection": "close"})
            ) from None
        except ValueError:
            raise NotTaken(PlainTextResponse("This form cannot be read.", 400, headers=FRESH)) from None

    async def our_form(self, request: Request, draw: Callable[..., str], **what: Any) -> dict[str, str]:
        """The fields of a form of ours; of any other, its page is shown once more. Raises NotTaken."""
        form = await self.form(request)
        if not self.is_ours(request, form):
            raise NotTaken(await self.show(request, draw, status=403, said=(self.form_again,), **what))
        return form

    def is_ours(self, request: Request, form: dict[str, str]) -> bool:
        """True when the form carries the token of its cookie."""
        return self._is_kept(request, form.get(self.form_field, ""))

    async def said(self, request: Request) -> dict[str, Any]:
        """What a script of ours sent as JSON, with the form's token in its header. Raises NotTaken."""
        await self.knock(request)
        if not self._is_kept(request, request.headers.get(FORM_HEADER, "")):
            raise NotTaken(self.no(self.form_again, status=403))
        try:
            said = json.loads(await read_body(request, "application/json", most_bytes=self.largest_said))
        except TooLarge:
            raise NotTaken(self.no("This answer is too large.", status=413)) from None
        except (ValueError, RecursionError):
            said = None
        if not isinstance(said, dict):
            raise NotTaken(self.no("This answer cannot be read.", status=400))
        return said

    def _is_kept(self, request: Request, token: str) -> bool:
        kept = self.held(request, self.cookies.form)
        fits = len(kept) >= 32 and hmac.compare_digest(kept.encode(), token.encode())
        return fits and self.is_our_page(request)

    # Answers ----------------------------------------------------------------------------------------------------

    def drawn(
        self, request: Request, draw: Callable[..., str], *, status: int = 200, **what: Any
    ) -> Response:
        """As `show`, for whoever is beside the event loop already."""
        # The same token for every tab of this browser, so that an older tab's form still works.
        token = self.held(request, self.cookies.form)
        if len(token) != _TOKEN_LENGTH or not token.isascii():
            token = secrets.token_urlsafe(32)
        answer = self.framed(request, draw, token=token, status=status, **what)
        self.keep(answer, self.cookies.form, token, max_age=self.cookies.form_lasts_s)
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

    # Cookies ----------------------------------------------------------------------------------------------------

    def held(self, request: Request, name: str, *, longest: int = 100) -> str:
        """What this browser keeps under that name; empty without it."""
        return request.cookies.get(name, "")[:longest]

    def token(self, request: Request) -> str:
        """The session's token, as the browser sent it."""
        return self.held(request, self.cookies.session)

    def keep(
        self, answer: Response, name: str, value: str, *, path: str = "", max_age: int | None = None
    ) -> None:
        """A cookie that no script reads and no other site's link sends."""
        answer.set_cookie(
            name,
            value,
            path=path or self.cookies.path,
            max_age=max_age,
            httponly=True,
            samesite="strict",
            secure=self.https,
        )

    def drop(self, answer: Response, name: str, *, path: str = "") -> None:
        """Forget a cookie; named whole, since a browser under HTTPS ignores anything less."""
        answer.delete_cookie(
            name, path=path or self.cookies.path, secure=self.https, httponly=True, samesite="strict"
        )

    def keep_half(self, answer: Response, token: str) -> Response:
        """The first half is done: its token goes to the second question alone."""
        self.keep(answer, self.cookies.half, token, path=self.cookies.half_path, max_age=HALF_LASTS_S)
        return answer

    def drop_half(self, answer: Response) -> Response:
        """The first half is over."""
        self.drop(answer, self.cookies.half, path=self.cookies.half_path)
        return answer

    async def end_former(self, request: Request) -> None:
        """Whoever was signed in in this browser before is out: one browser, one session (ASVS 5.0, 7.2.4)."""
        await self.stranger(request, sessions.sign_out, token=self.token(request))

    def welcome(self, answer: Response, token: str) -> Response:
        """The session begins: its cookie, none of the first half, and a form token of its own."""
        self.keep(answer, self.cookies.session, token)
        self.drop_half(answer)
        # A form token of before the sign-in is worth nothing after it.
        self.keep(answer, self.cookies.form, secrets.token_urlsafe(32), max_age=self.cookies.form_lasts_s)
        return answer

    async def rotate(self, request: Request, answer: Response) -> Response:
        """More is proved than before: the session goes on under a new token (ASVS 5.0, 7.2.4). Raises Denied."""
        token = await self.stranger(request, sessions.rotate, token=self.token(request))
        self.keep(answer, self.cookies.session, token)
        return answer

    # What a page gives itself to take along ---------------------------------------------------------------------

    def seal(self, text: str, *, about: str) -> str:
        """Text that only we can read again, for a hidden field: bound to what it is about."""
        nonce = self.house.dice(12)
        return (nonce + self._cipher().encrypt(nonce, text.encode(), about.encode())).hex()

    def unseal(self, box: str, *, about: str) -> str | None:
        """What `seal` put in, or None for a box that is not ours or belongs elsewhere."""
        try:
            raw = bytes.fromhex(box)
            return self._cipher().decrypt(raw[:12], raw[12:], about.encode()).decode()
        except (ValueError, InvalidTag):
            return None

    def _cipher(self) -> AESGCM:
        return AESGCM(self.house.keys["secrets"])

    def origin(self, request: Request) -> str:
        """Our own origin as this browser sees it; the host is one of ours, which each door has asked before.

        Where the practice has said where this door is, that is it, port and all, whatever port the browser's header names:
        a program at another port of the same name could pass a key's answer on, with its own port in both.
        """
        asked = f"{'https' if self.https else 'http'}://{request.headers['host'].lower()}"
        return next((own for own in self.origins if is_same_host(own, asked)), asked)


def is_same_host(one: str, other: str) -> bool:
    """True for two origins of one name, whatever their ports."""
    return urlsplit(one).hostname == urlsplit(other).hostname


async def read_form(request: Request, *, most_bytes: int) -> dict[str, str]:
    """An urlencoded form, each field once. Raises TooLarge before the rest is read, or ValueError."""
    body = await read_body(request, "application/x-www-form-urlencoded", most_bytes=most_bytes)
    fields = parse_qs(body.decode("utf-8"), keep_blank_values=True, max_num_fields=_MOST_FIELDS)
    return {name: values[0] for name, values in fields.items()}


async def read_body(request: Request, kind: str, *, most_bytes: int) -> bytes:
    """The body, when it is of this kind and not longer than that. Raises TooLarge or ValueError."""
    said = request.headers.get("content-length", "")
    if said.isdigit() and int(said) > most_bytes:
        raise TooLarge
    if request.headers.get("content-type", "").split(";")[0].strip() != kind:
        raise ValueError("not of that kind")
    body = bytearray()
    try:
        async for piece in request.stream():
            body += piece
            if len(body) > most_bytes:
                raise TooLarge
    except ClientDisconnect:
        # A stranger who hangs up is nothing to write down: a page of log for each would fill the disk.
        raise ValueError("the browser hung up") from None
    return bytes(body)


def is_local(wish: Any) -> bool:
    """True for a path of this very site: no link may use our pages to lead elsewhere."""
    if not isinstance(wish, str) or not wish.startswith("/") or len(wish) > 500 or wish.startswith("//"):
        return False
    if "\\" in wish or any(ord(c) < 33 or ord(c) == 127 for c in wish):
        return False
    try:
        parts = urlsplit(wish)
    except ValueError:
        return False
    return not parts.scheme and not parts.netloc


def with_next(path: str, wish: str) -> str:
    """An address of ours that knows where to go on."""
    return f"{path}{'&' if '?' in path else '?'}next={quote(wish, safe='')}"
