"""The second question of signing in: the code of the app, a recovery code, or a key; then the session begins."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from core import signin
from core.errors import Denied, SorgError
from core.signin import SecondHalf
from doors.manners import Manners, paced

BeginAgain = Callable[..., Awaitable[Response]]


class SecondHalfDesk:
    """Where a right password waits for its second half.

    begin: where signing in begins; begin_again shows that page with what went wrong. code, recovery: the two pages.
    """

    def __init__(
        self,
        manners: Manners,
        *,
        at: str,
        key_at: str,
        begin: str,
        begin_again: BeginAgain,
        code: Callable[..., str],
        recovery: Callable[..., str],
    ) -> None:
        self.manners, self.at, self.key_at, self.begin = manners, at, key_at, begin
        self._begin_page, self._code, self._recovery = begin_again, code, recovery

    def routes(self) -> list[Route]:
        return [
            Route(self.at, self.ask_code, methods=["GET"]),
            Route(self.at, self.take_code, methods=["POST"]),
            Route(f"{self.key_at}/options", self.ask_key, methods=["POST"]),
            Route(self.key_at, self.take_key, methods=["POST"]),
        ]

    async def ask_code(self, request: Request) -> Response:
        wish = self.manners.local_path(request.query_params.get("next"))
        if not self._first(request):
            return self.manners.onward(self.manners.with_next(self.begin, wish))
        try:
            half = await self._half(request)
        except SorgError as error:
            return await self._begin_again(request, error, next=wish)
        return await self._page(request, half, next=wish, use=request.query_params.get("use", ""))

    @paced
    async def take_code(self, request: Request) -> Response:
        form = await self.manners.form(request)
        wish, use = self.manners.local_path(form.get("next")), form.get("use", "")
        reason = form.get("reason", "")[:300]
        ours = self.manners.is_ours(request, form)
        try:
            half = await self._half(request)
        except SorgError as error:
            return await self._begin_again(request, error, next=wish, status=401 if ours else 403)
        if not ours:
            return await self._page(request, half, self.manners.form_again, next=wish, use=use, status=403)
        by_paper = use == "recovery"
        verb, typed = (
            (signin.check_recovery, form.get("recovery", ""))
            if by_paper
            else (signin.check_code, form.get("code", ""))
        )
        try:
            token = await self.manners.stranger(
                request, verb, token=self._first(request), code=typed[:60], reason=reason
            )
        except Denied as error:
            return await self._begin_again(request, error, next=wish)
        except SorgError as error:
            return await self._page(
                request, half, error.sentence, next=wish, use=use, reason=reason, status=401
            )
        await self.manners.end_former(request)
        return self.manners.welcome(self.manners.onward(wish), token)

    # A key in place of the code ---------------------------------------------------------------------------------

    @paced
    async def ask_key(self, request: Request) -> Response:
        await self.manners.said(request)

        async def put(options: dict[str, Any]) -> Response:
            return self.manners.options(options)

        return await self._of_key(request, signin.ask_key, put)

    @paced
    async def take_key(self, request: Request) -> Response:
        said = await self.manners.said(request)
        wish = self.manners.local_path(said.get("next"))

        async def enter(token: str) -> Response:
            await self.manners.end_former(request)
            return self.manners.welcome(self.manners.go(wish), token)

        return await self._of_key(
            request,
            signin.check_key,
            enter,
            answer=said.get("answer"),
            reason=str(said.get("reason", ""))[:300],
        )

    async def _of_key(
        self,
        request: Request,
        verb: Callable[..., Any],
        then: Callable[[Any], Awaitable[Response]],
        **how: Any,
    ) -> Response:
        if sentence := self.manners.why_no_keys(request):
            return self.manners.no(sentence, status=400)
        try:
            said = await self.manners.stranger(
                request, verb, token=self._first(request), origin=self.manners.origin(request), **how
            )
        except Denied as error:
            return self.manners.no(error.sentence, status=403, go=self.begin)
        except SorgError as error:
            return self.manners.no(error.sentence)
        return await then(said)

    # How --------------------------------------------------------------------------------------------------------

    def _first(self, request: Request) -> str:
        return self.manners.held(request, self.manners.cookies.half)

    async def _half(self, request: Request) -> SecondHalf:
        return await self.manners.stranger(request, signin.second_half, token=self._first(request))

    async def _page(
        self,
        request: Request,
        half: SecondHalf,
        *said: str,
        next: str,
        use: str,
        reason: str = "",
        status: int = 200,
    ) -> Response:
        draw = self._recovery if use == "recovery" and half.recovery else self._code
        return await self.manners.show(
            request,
            draw,
            status=status,
            half=half,
            said=said,
            next=next,
            reason=reason,
            why_no_keys=self.manners.why_no_keys(request),
        )

    async def _begin_again(
        self, request: Request, error: SorgError, *, next: str, status: int = 401
    ) -> Response:
        answer = await self._begin_page(request, next=next, said=(error.sentence,), status=status)
        return self.manners.drop_half(answer)
