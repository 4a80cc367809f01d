"""Signing in and out: plain forms, checked before anything is believed.

The password gives a token that opens nothing but the second question; a code or a key gives the session. What every
form keeps to, and the desks that the gateway has as well, are in the room doors/; how the other pages look here is in
activation.py, stepup.py and account.py.
"""

from __future__ import annotations

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
    FORM_AGAIN,
    FORM_COOKIE,
    LARGEST_FORM,
    Counter,
    local_path,
    with_next,
)
from console.signin.stepup import stepup_routes
from core import sessions, signin
from core.errors import SorgError
from doors import keys
from doors.manners import FRESH, paced
from doors.second_half import SecondHalfDesk

__all__ = ["CODE_COOKIE", "FORM_COOKIE", "LARGEST_FORM", "local_path", "routes"]
_AT_ONCE = 4  # passwords checked at the same time: argon2 takes 19 MB and a core for each
_KEPT = {"Cache-Control": "max-age=3600"}


def routes(door: Door) -> list[Route]:
    """Every plain page of this door: signing in, the slip, confirming, and one's own second factors."""
    desk = SignIn(door)
    second = SecondHalfDesk(
        desk,
        at="/login/code",
        key_at="/login/key",
        begin="/login",
        begin_again=desk.password_page,
        code=page.code_page,
        recovery=page.recovery_page,
    )
    return [
        *desk.calmly(
            Route("/login", desk.ask_password, methods=["GET"]),
            Route("/login", desk.take_password, methods=["POST"]),
            *second.routes(),
            Route("/logout", desk.leave, methods=["POST"]),
            back="/login",
        ),
        Route("/login/style.css", desk.style, methods=["GET"]),
        Route("/login/keys.js", desk.script, methods=["GET"]),
        Route("/favicon.png", desk.mark, methods=["GET"]),
        *activation_routes(door),
        *stepup_routes(door),
        *account_routes(door),
    ]


class SignIn(Counter):
    """The first question and the way out."""

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
        over = page.LEFT if "left" in request.query_params else await self._why_over(request, token)
        return await self.password_page(request, next=wish, over=over)

    async def _why_over(self, request: Request, token: str | None) -> str:
        """Why the session that this browser still carries is over, in a sentence; nothing where it carries none."""
        if not token:
            return ""
        minutes = int(self.door.house.rules["session_idle"].total_seconds() // 60)
        return page.why_over(await self.stranger(request, sessions.why_over, token=token), minutes=minutes)

    @paced
    async def take_password(self, request: Request) -> Response:
        form = await self.form(request)
        wish, login = local_path(form.get("next")), form.get("login", "")[:64]
        if not self.is_ours(request, form):
            return await self.password_page(request, next=wish, login=login, said=(FORM_AGAIN,), status=403)
        try:
            async with self._few:
                token = await self.stranger(
                    request, signin.check_password, login=login, password=form.get("password", "")
                )
        except SorgError as error:
            return await self.password_page(
                request, next=wish, login=login, said=(error.sentence,), status=401
            )
        return self.keep_half(self.onward(with_next("/login/code", wish)), token)

    async def password_page(self, request: Request, *, status: int = 200, **what: Any) -> Response:
        """Name and password, with what went wrong."""
        return await self.show(
            request,
            page.password_page,
            status=status,
            other=self.door.single_sign_on,
            is_away=await self._watch.is_away(),
            **what,
        )

    # The way out, and the files ---------------------------------------------------------------------------------

    @paced
    async def leave(self, request: Request) -> Response:
        form = await self.form(request)
        if not self.is_ours(request, form):
            return PlainTextResponse("Open the console again and sign out there.", 403, headers=FRESH)
        await self.stranger(request, sessions.sign_out, token=self.token(request))
        answer = self.onward("/login?left=1")
        self.drop(answer, self.door.cookie)
        self.drop(answer, FORM_COOKIE)
        return answer

    async def style(self, request: Request) -> Response:
        return Response(page.STYLE, media_type="text/css", headers=_KEPT)

    async def script(self, request: Request) -> Response:
        return Response(keys.SCRIPT, media_type="text/javascript", headers=_KEPT)

    async def mark(self, request: Request) -> Response:
        return Response(page.MARK, media_type="image/svg+xml", headers=_KEPT)
