"""A sign-in slip, step by step: its code, one's own password, one's own app, and recovery codes that are shown once.

The slip's code travels in a cookie of its own and in no address, so that neither a log nor a browser's history holds it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import anyio
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from core import activation
from core.activation import Chosen, SlipView
from core.errors import Away, Denied, Refused, SorgError, WrongAnswer
from doors.boxes import box_of, opened
from doors.manners import Manners, NotTaken, paced

LASTS_S = 15 * 60
_AT_ONCE = 4  # argon2 takes a core and 19 MB for each
_LONGEST_BOX = 1000
ANOTHERS = (
    "Another slip was opened in this browser meanwhile. Nothing was changed, and this page is that slip's now: if the name "
    "is not yours, type your own slip once more."
)


@dataclass(frozen=True)
class SlipPages:
    """How a door draws the steps, and what it says. known_app: the app that is there already proves itself."""

    slip: Callable[..., str]
    password: Callable[..., str]
    app: Callable[..., str]
    known_app: Callable[..., str]
    done: Callable[..., str]
    over: str
    two: str
    away: str


class SlipDesk:
    """Three steps: slip, password, app. slip_cookie, chosen_cookie: the second holds a new password, sealed."""

    def __init__(
        self, manners: Manners, pages: SlipPages, *, at: str, slip_cookie: str, chosen_cookie: str
    ) -> None:
        self.manners, self.pages, self.at = manners, pages, at
        self._slip_cookie, self._chosen_cookie = slip_cookie, chosen_cookie
        self._few = anyio.CapacityLimiter(_AT_ONCE)

    def routes(self) -> list[Route]:
        return [
            Route(self.at, self.ask_slip, methods=["GET"]),
            Route(self.at, self.take_slip, methods=["POST"]),
            Route(f"{self.at}/password", self.ask_password, methods=["GET"]),
            Route(f"{self.at}/password", self.take_password, methods=["POST"]),
            Route(f"{self.at}/app", self.ask_app, methods=["GET"]),
            Route(f"{self.at}/app", self.take_code, methods=["POST"]),
        ]

    # The slip ---------------------------------------------------------------------------------------------------

    async def ask_slip(self, request: Request) -> Response:
        return await self.manners.show(request, self.pages.slip)

    @paced
    async def take_slip(self, request: Request) -> Response:
        slip = (await self.manners.our_form(request, self.pages.slip)).get("slip", "")[:60]
        try:
            await self.manners.stranger(request, activation.look_at, slip=slip)
        except Refused as error:
            return await self._no_slip(request, error)
        answer = self.manners.onward(f"{self.at}/password")
        self._keep(answer, self._slip_cookie, slip.encode().hex())
        return answer

    # The password -----------------------------------------------------------------------------------------------

    async def ask_password(self, request: Request) -> Response:
        try:
            return await self._password_page(request, {}, await self._view(request))
        except Refused as error:
            return await self._no_slip(request, error)

    @paced
    async def take_password(self, request: Request) -> Response:
        form, view = await self._opened(request, self._password_page)
        if form.get("login", view.login) != view.login:
            # The browser holds one slip: without this, what one of two chose would be the other's password, and their app.
            return await self._password_page(request, form, view, ANOTHERS, status=409)
        password = form.get("password", "")
        if view.asks == "set" and password != form.get("again", ""):
            return await self._password_page(request, form, view, self.pages.two, status=400)
        try:
            async with self._few:
                fresh = await self.manners.stranger(
                    request, activation.begin, slip=self._slip(request), password=password
                )
        except Away:
            return await self._password_page(request, form, view, self.pages.away, status=503)
        except Denied as error:
            return await self._no_slip(request, error)
        except SorgError as error:
            told = [p.sentence for p in error.problems] or [error.sentence]
            status = 401 if isinstance(error, WrongAnswer) else 400
            return await self._password_page(request, form, view, *told, status=status)
        if isinstance(fresh, Chosen):
            answer = self.manners.onward(f"{self.at}/app")
            self._keep(answer, self._chosen_cookie, fresh.box)
            return answer
        box = box_of(self.manners, fresh, about=self._about(request))
        return await self.manners.show(request, self.pages.app, fresh=fresh, box=box, said=())

    async def _password_page(
        self, request: Request, form: dict[str, str], view: SlipView, *said: str, status: int = 200
    ) -> Response:
        return await self.manners.show(request, self.pages.password, view=view, said=said, status=status)

    # The app ----------------------------------------------------------------------------------------------------

    async def ask_app(self, request: Request) -> Response:
        """The app that is there already is asked for its code; a new one begins with the password."""
        try:
            return await self._app_page(request, {}, await self._view(request))
        except Refused as error:
            return await self._no_slip(request, error)

    @paced
    async def take_code(self, request: Request) -> Response:
        form, view = await self._opened(request, self._app_page)
        if (
            not view.has_factor
            and opened(self.manners, form.get("box", ""), about=self._about(request)) is None
        ):
            return self.manners.onward(f"{self.at}/password")
        try:
            codes = await self.manners.stranger(
                request,
                activation.finish,
                slip=self._slip(request),
                code=form.get("code", "")[:12],
                box=self.manners.held(request, self._chosen_cookie, longest=_LONGEST_BOX),
            )
        except Away:
            return await self._app_page(request, form, view, self.pages.away, status=503)
        except WrongAnswer as error:
            if error.sentence == activation.NO_SLIP:
                return await self._no_slip(request, error)
            return await self._app_page(request, form, view, error.sentence, status=401)
        except Refused as error:
            return await self._no_slip(request, error)
        answer = await self.manners.show(
            request, self.pages.done, codes=codes, view=view, why_no_keys=self.manners.why_no_keys(request)
        )
        for name in (self._slip_cookie, self._chosen_cookie):
            self.manners.drop(answer, name, path=self.at)
        return answer

    async def _app_page(
        self, request: Request, form: dict[str, str], view: SlipView, *said: str, status: int = 200
    ) -> Response:
        """The same secret again, while its box is right; else the code of the app there is, or the step before."""
        box = form.get("box", "")
        what: dict[str, Any] = {"said": said, "status": status}
        if (fresh := opened(self.manners, box, about=self._about(request))) is not None:
            return await self.manners.show(request, self.pages.app, fresh=fresh, box=box, **what)
        if not view.has_factor:
            return self.manners.onward(f"{self.at}/password")
        return await self.manners.show(request, self.pages.known_app, view=view, **what)

    # How --------------------------------------------------------------------------------------------------------

    async def _opened(self, request: Request, again: Callable[..., Any]) -> tuple[dict[str, str], SlipView]:
        """A form of ours from a browser that holds a slip, and whose it is. Raises NotTaken."""
        form = await self.manners.form(request)
        ours = self.manners.is_ours(request, form)
        try:
            view = await self._view(request)
        except Refused as error:
            raise NotTaken(await self._no_slip(request, error, status=401 if ours else 403)) from None
        if not ours:
            raise NotTaken(await again(request, form, view, self.manners.form_again, status=403))
        return form, view

    async def _view(self, request: Request) -> SlipView:
        """Whose slip the browser holds. Raises Denied when it holds none any more."""
        slip = self._slip(request)
        if not slip:
            raise Denied(self.pages.over)
        return await self.manners.stranger(request, activation.look_at, slip=slip)

    async def _no_slip(self, request: Request, error: Refused, *, status: int = 401) -> Response:
        answer = await self.manners.show(request, self.pages.slip, said=(error.sentence,), status=status)
        self.manners.drop(answer, self._slip_cookie, path=self.at)
        return answer

    def _slip(self, request: Request) -> str:
        try:
            return bytes.fromhex(self.manners.held(request, self._slip_cookie, longest=500)).decode()
        except ValueError:
            return ""

    def _about(self, request: Request) -> str:
        return f"new app by slip|{self._slip(request)}"

    def _keep(self, answer: Response, name: str, value: str) -> None:
        self.manners.keep(answer, name, value, path=self.at, max_age=LASTS_S)
