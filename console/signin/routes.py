"""Signing in and out: plain forms, checked before anything is believed.

The password gives a token that opens nothing but the second question; a code or a key gives the session. What every
form keeps to is in forms.py; the other pages at the door are in activation.py, stepup.py and account.py.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import anyio
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from console.door import Door
from console.gate import address_of
from console.signin import page
from console.signin.account import account_routes
from console.signin.activation import activation_routes
from console.signin.away import Watch
from console.signin.forms import (
    CODE_COOKIE,
    CODE_STAGE_S,
    FORM_AGAIN,
    FORM_COOKIE,
    FRESH,
    LARGEST_FORM,
    Counter,
    local_path,
    paced,
    with_next,
)
from console.signin.stepup import stepup_routes
from core import sessions, signin
from core.errors import Denied, SorgError
from core.signin import SecondHalf

__all__ = ["CODE_COOKIE", "FORM_COOKIE", "LARGEST_FORM", "local_path", "routes"]
_AT_ONCE = 4  # passwords checked at the same time: argon2 takes 19 MB and a core for each
_KEPT = {"Cache-Control": "max-age=3600"}


def routes(door: Door) -> list[Route]:
    """Every plain page of this door: signing in, the slip, confirming, and one's own second factors."""
    desk = SignIn(door)
    return [
        Route("/login", desk.ask_password, methods=["GET"]),
        Route("/login", desk.take_password, methods=["POST"]),
        Route("/login/code", desk.ask_code, methods=["GET"]),
        Route("/login/code", desk.take_code, methods=["POST"]),
        Route("/login/key/options", desk.ask_key, methods=["POST"]),
        Route("/login/key", desk.take_key, methods=["POST"]),
        Route("/login/style.css", desk.style, methods=["GET"]),
        Route("/login/keys.js", desk.script, methods=["GET"]),
        Route("/favicon.png", desk.mark, methods=["GET"]),
        Route("/logout", desk.leave, methods=["POST"]),
        *activation_routes(door),
        *stepup_routes(door),
        *account_routes(door),
    ]


class SignIn(Counter):
    """The two questions and the way out."""

    def __init__(self, door: Door) -> None:
        super().__init__(door)
        self._few = anyio.CapacityLimiter(_AT_ONCE)
        self._watch = Watch(door)

    # The password ---------------------------------------------------------------------------------------------

    async def ask_password(self, request: Request) -> Response:
        wish = local_path(request.query_params.get("next"))
        token = request.cookies.get(self.door.cookie)
        if await run_in_threadpool(self.door.who, token, address=address_of(request)):
            return self.onward(wish)
        return await self._password_page(request, next=wish)

    @paced
    async def take_password(self, request: Request) -> Response:
        form = await self.form(request)
        wish, login = local_path(form.get("next")), form.get("login", "")[:64]
        if not self.is_ours(request, form):
            return await self._password_page(request, next=wish, login=login, said=FORM_AGAIN, status=403)
        try:
            async with self._few:
                token = await self.stranger(
                    request, signin.check_password, login=login, password=form.get("password", "")
                )
        except SorgError as error:
            return await self._password_page(request, next=wish, login=login, said=error.sentence, status=401)
        answer = self.onward(with_next("/login/code", wish))
        self.keep(answer, CODE_COOKIE, token, path="/login", max_age=CODE_STAGE_S)
        return answer

    async def _password_page(self, request: Request, *, status: int = 200, **what: str) -> Response:
        return self.show(request, page.password_page, status=status, other=self.door.single_sign_on,
                         is_away=await self._watch.is_away(), **what)  # fmt: skip

    # The second question --------------------------------------------------------------------------------------

    async def ask_code(self, request: Request) -> Response:
        wish = local_path(request.query_params.get("next"))
        if not request.cookies.get(CODE_COOKIE):
            return self.onward(with_next("/login", wish))
        try:
            half = await self._half(request)
        except SorgError as error:
            return await self._begin_again(request, error, next=wish)
        return self._code_page(request, half, next=wish, use=request.query_params.get("use", ""))

    @paced
    async def take_code(self, request: Request) -> Response:
        form = await self.form(request)
        wish, use, reason = local_path(form.get("next")), form.get("use", ""), form.get("reason", "")[:300]
        ours = self.is_ours(request, form)
        try:
            half = await self._half(request)
        except SorgError as error:
            return await self._begin_again(request, error, next=wish, status=401 if ours else 403)
        if not ours:
            return self._code_page(request, half, next=wish, use=use, said=FORM_AGAIN, status=403)
        verb, field = (
            (signin.check_recovery, "recovery") if use == "recovery" else (signin.check_code, "code")
        )
        try:
            token = await self.stranger(
                request, verb, token=self._first(request), code=form.get(field, "")[:60], reason=reason
            )
        except Denied as error:
            return await self._begin_again(request, error, next=wish)
        except SorgError as error:
            return self._code_page(
                request, half, next=wish, use=use, said=error.sentence, reason=reason, status=401
            )
        await self.end_former(request)
        return self.welcome(self.onward(wish), token)

    def _first(self, request: Request) -> str:
        return request.cookies.get(CODE_COOKIE, "")[:100]

    async def _half(self, request: Request) -> SecondHalf:
        return await self.stranger(request, signin.second_half, token=self._first(request))

    def _code_page(
        self, request: Request, half: SecondHalf, *, use: str, status: int = 200, **what: str
    ) -> Response:
        draw = page.recovery_page if use == "recovery" and half.recovery else page.code_page
        return self.show(
            request, draw, status=status, half=half, why_no_keys=self.why_no_keys(request), **what
        )

    async def _begin_again(
        self, request: Request, error: SorgError, *, next: str, status: int = 401
    ) -> Response:
        answer = await self._password_page(request, next=next, said=error.sentence, status=status)
        self.drop(answer, CODE_COOKIE, path="/login")
        return answer

    # A key in place of the code -------------------------------------------------------------------------------

    @paced
    async def ask_key(self, request: Request) -> Response:
        await self.said(request)

        async def put(options: dict[str, Any]) -> Response:
            return self.options(options)

        return await self._of_key(request, signin.ask_key, put)

    @paced
    async def take_key(self, request: Request) -> Response:
        said = await self.said(request)
        wish = local_path(said.get("next"))

        async def enter(token: str) -> Response:
            await self.end_former(request)
            return self.welcome(self.go(wish), token)

        return await self._of_key(
            request, signin.check_key, enter,
            answer=said.get("answer"), reason=str(said.get("reason", ""))[:300],
        )  # fmt: skip

    async def _of_key(self, request: Request, verb: Callable[..., Any], then: Callable[[Any], Awaitable[Response]],
                      **how: Any) -> Response:  # fmt: skip
        if sentence := self.why_no_keys(request):
            return self.no(sentence, status=400)
        try:
            said = await self.stranger(
                request, verb, token=self._first(request), origin=self.origin(request), **how
            )
        except Denied as error:
            return self.no(error.sentence, status=403, go="/login")
        except SorgError as error:
            return self.no(error.sentence)
        return await then(said)

    # The way out, and the files ---------------------------------------------------------------------------------

    @paced
    async def leave(self, request: Request) -> Response:
        form = await self.form(request)
        if not self.is_ours(request, form):
            return PlainTextResponse("Open the console again and sign out there.", 403, headers=FRESH)
        await self.stranger(request, sessions.sign_out, token=self.token(request))
        answer = self.onward("/login")
        self.drop(answer, self.door.cookie)
        self.drop(answer, FORM_COOKIE)
        return answer

    async def style(self, request: Request) -> Response:
        return Response(page.STYLE, media_type="text/css", headers=_KEPT)

    async def script(self, request: Request) -> Response:
        return Response(page.SCRIPT, media_type="text/javascript", headers=_KEPT)

    async def mark(self, request: Request) -> Response:
        return Response(page.MARK, media_type="image/svg+xml", headers=_KEPT)
