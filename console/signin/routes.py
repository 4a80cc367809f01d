"""Signing in and out: plain forms, checked before anything is believed.

A form counts only with the token that lies in a cookie of its own (double submit), from our own origin, and under
64 KB. The password gives a token that opens nothing but the second question; the code gives the session.
"""

from __future__ import annotations

import hmac
import secrets
from urllib.parse import parse_qs, quote, urlsplit

import anyio
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from console.door import Door
from console.gate import address_of
from console.signin import page
from core import signin
from core.errors import SorgError, WrongAnswer

FORM_COOKIE = "sorg-form"
CODE_COOKIE = "sorg-code"
LARGEST_FORM = 64 * 1024
_CODE_STAGE_S = 300
_AT_ONCE = 4  # passwords checked at the same time: argon2 takes 64 MB and a core for each
_FRESH = {"Cache-Control": "no-store"}
_FORM_AGAIN = "That page was open for too long. Please try once more."


class TooLarge(Exception):
    """A form above LARGEST_FORM; it was not read to its end."""


def routes(door: Door) -> list[Route]:
    """The sign-in routes of this door."""
    desk = SignIn(door)
    return [
        Route("/login", desk.ask_password, methods=["GET"]),
        Route("/login", desk.take_password, methods=["POST"]),
        Route("/login/code", desk.ask_code, methods=["GET"]),
        Route("/login/code", desk.take_code, methods=["POST"]),
        Route("/login/style.css", desk.style, methods=["GET"]),
        Route("/favicon.png", desk.mark, methods=["GET"]),
        Route("/logout", desk.leave, methods=["POST"]),
    ]


class SignIn:
    """The two questions and the way out."""

    def __init__(self, door: Door) -> None:
        self.door = door
        self._few = anyio.CapacityLimiter(_AT_ONCE)

    async def ask_password(self, request: Request) -> Response:
        wish = local_path(request.query_params.get("next"))
        token = request.cookies.get(self.door.cookie)
        if await run_in_threadpool(self.door.who, token, address=address_of(request)):
            return RedirectResponse(wish, 303, headers=_FRESH)
        return self._show(request, page.password_page, next=wish)

    async def take_password(self, request: Request) -> Response:
        form = await self._form(request)
        if isinstance(form, Response):
            return form
        wish, login = local_path(form.get("next")), form.get("login", "")[:64]
        if not self._token_is_right(request, form):
            return self._show(
                request, page.password_page, next=wish, login=login, message=_FORM_AGAIN, status=403
            )
        try:
            async with self._few:
                token = await run_in_threadpool(
                    self._verb, request, signin.check_password, login=login, password=form.get("password", "")
                )
        except SorgError as error:
            return self._show(
                request, page.password_page, next=wish, login=login, message=error.sentence, status=401
            )
        answer = RedirectResponse(f"/login/code?next={quote(wish, safe='')}", 303, headers=_FRESH)
        self._keep(answer, CODE_COOKIE, token, path="/login", max_age=_CODE_STAGE_S)
        return answer

    async def ask_code(self, request: Request) -> Response:
        wish = local_path(request.query_params.get("next"))
        if not request.cookies.get(CODE_COOKIE):
            return RedirectResponse(f"/login?next={quote(wish, safe='')}", 303, headers=_FRESH)
        return self._show(request, page.code_page, next=wish)

    async def take_code(self, request: Request) -> Response:
        form = await self._form(request)
        if isinstance(form, Response):
            return form
        wish = local_path(form.get("next"))
        if not self._token_is_right(request, form):
            return self._show(request, page.code_page, next=wish, message=_FORM_AGAIN, status=403)
        first = request.cookies.get(CODE_COOKIE, "")[:100]
        try:
            token = await run_in_threadpool(
                self._verb, request, signin.check_code, token=first, code=form.get("code", "")[:12]
            )
        except WrongAnswer as error:
            return self._show(request, page.code_page, next=wish, message=error.sentence, status=401)
        except SorgError as error:
            answer = self._show(request, page.password_page, next=wish, message=error.sentence, status=401)
            answer.delete_cookie(CODE_COOKIE, path="/login")
            return answer
        answer = RedirectResponse(wish, 303, headers=_FRESH)
        self._keep(answer, self.door.cookie, token, path="/")
        answer.delete_cookie(CODE_COOKIE, path="/login")
        # A form token of before the sign-in is worth nothing after it; signing out will ask for this one.
        self._keep(answer, FORM_COOKIE, secrets.token_urlsafe(32), path="/")
        return answer

    async def leave(self, request: Request) -> Response:
        form = await self._form(request)
        if isinstance(form, Response):
            return form
        if not self._token_is_right(request, form):
            return PlainTextResponse("Open the console again and sign out there.", 403, headers=_FRESH)
        await run_in_threadpool(
            self._verb, request, signin.sign_out, token=request.cookies.get(self.door.cookie, "")
        )
        answer = RedirectResponse("/login", 303, headers=_FRESH)
        answer.delete_cookie(
            self.door.cookie, path="/", secure=self.door.https, httponly=True, samesite="strict"
        )
        answer.delete_cookie(FORM_COOKIE, path="/")
        return answer

    async def style(self, request: Request) -> Response:
        return Response(page.STYLE, media_type="text/css", headers={"Cache-Control": "max-age=3600"})

    async def mark(self, request: Request) -> Response:
        return Response(page.MARK, media_type="image/svg+xml", headers={"Cache-Control": "max-age=3600"})

    # How ------------------------------------------------------------------------------------------------------

    def _verb(self, request: Request, verb, **how: str):
        with self.door.stranger(address_of(request)) as work:
            return verb(work, **how)

    async def _form(self, request: Request) -> dict[str, str] | Response:
        try:
            return await read_form(request)
        except TooLarge:
            return PlainTextResponse(
                "This form is too large.", 413, headers={**_FRESH, "Connection": "close"}
            )
        except ValueError:
            return PlainTextResponse("This form cannot be read.", 400, headers=_FRESH)

    def _token_is_right(self, request: Request, form: dict[str, str]) -> bool:
        kept = request.cookies.get(FORM_COOKIE, "")
        return len(kept) >= 32 and hmac.compare_digest(kept.encode(), form.get("token", "").encode())

    def _show(self, request: Request, draw, *, status: int = 200, **what: str) -> Response:
        token = request.cookies.get(FORM_COOKIE, "")
        if len(token) != 43:
            token = secrets.token_urlsafe(32)
        answer = HTMLResponse(draw(token=token, **what), status, headers=_FRESH)
        self._keep(answer, FORM_COOKIE, token, path="/")
        return answer

    def _keep(
        self, answer: Response, name: str, value: str, *, path: str, max_age: int | None = None
    ) -> None:
        answer.set_cookie(name, value, path=path, max_age=max_age, httponly=True, samesite="strict",
                          secure=self.door.https)  # fmt: skip


async def read_form(request: Request) -> dict[str, str]:
    """An urlencoded form of at most LARGEST_FORM bytes. Raises TooLarge before the rest is read, or ValueError."""
    if request.headers.get("content-type", "").split(";")[0].strip() != "application/x-www-form-urlencoded":
        raise ValueError("not a form")
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
    fields = parse_qs(body.decode("utf-8"), keep_blank_values=True, max_num_fields=10)
    return {name: values[0] for name, values in fields.items()}


def local_path(wish: str | None) -> str:
    """`wish` when it is a path of this console, else "/": no link may use the sign-in page to lead elsewhere."""
    if (
        not wish
        or len(wish) > 500
        or not wish.startswith("/")
        or wish.startswith(("//", "/\\", "/login", "/logout"))
    ):
        return "/"
    if "\\" in wish or any(ord(c) < 33 or ord(c) == 127 for c in wish):
        return "/"
    parts = urlsplit(wish)
    return wish if not parts.scheme and not parts.netloc else "/"
