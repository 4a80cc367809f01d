"""One's own password, second factors and sessions while signed in.

Plain pages, since a secret that is shown once does not belong into a page that is kept and drawn again. Each change uses
up one fresh confirmation ("factors"), which the confirming page asks for and comes back from.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

import anyio
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from core import activation, factors, sessions
from core.errors import Away, Denied, Missing, Refused, SorgError, WrongAnswer
from core.factors import KeyCard
from doors.boxes import box_of, opened
from doors.manners import Manners, paced

_AT_ONCE = 2  # argon2 takes a core and 19 MB for each
_NO_PROOF = "no proof"


@dataclass(frozen=True)
class AccountAt:
    """The addresses of these pages. confirm: where a fresh proof for "factors" is asked for."""

    keys: str
    app: str
    recovery: str
    password: str
    sessions: str
    confirm: str

    @property
    def new_key(self) -> str:
        return f"{self.keys}/new"

    @property
    def remove_key(self) -> str:
        return f"{self.keys}/remove"


@dataclass(frozen=True)
class AccountPages:
    """How a door draws these pages, and what it says. done: what was just done, by a word that stands in the address."""

    keys: Callable[..., str]
    new_key: Callable[..., str]
    remove_key: Callable[..., str]
    begin_app: Callable[..., str]
    app: Callable[..., str]
    app_done: Callable[..., str]
    begin_recovery: Callable[..., str]
    codes: Callable[..., str]
    password: Callable[..., str]
    password_done: Callable[..., str]
    kept_elsewhere: Callable[..., str]
    turned: Callable[..., str]
    done: dict[str, str]
    two: str
    away: str
    gone: str


class AccountDesk:
    """Keys, app, recovery codes, password and sessions of whoever is signed in."""

    def __init__(self, manners: Manners, pages: AccountPages, *, at: AccountAt) -> None:
        self.manners, self.pages, self.at = manners, pages, at
        self._few = anyio.CapacityLimiter(_AT_ONCE)

    def routes(self) -> list[Route]:
        at = self.at
        return [
            Route(at.keys, self.keys, methods=["GET"]),
            Route(at.new_key, self.new_key, methods=["GET"]),
            Route(f"{at.keys}/options", self.key_options, methods=["POST"]),
            Route(at.keys, self.take_key, methods=["POST"]),
            Route(at.remove_key, self.ask_remove, methods=["GET"]),
            Route(at.remove_key, self.remove, methods=["POST"]),
            Route(at.app, self.ask_app, methods=["GET"]),
            Route(at.app, self.take_app, methods=["POST"]),
            Route(at.recovery, self.ask_recovery, methods=["GET"]),
            Route(at.recovery, self.take_recovery, methods=["POST"]),
            Route(at.password, self.ask_password, methods=["GET"]),
            Route(at.password, self.take_password, methods=["POST"]),
            Route(at.sessions, self.to_sessions, methods=["GET"]),
            Route(at.sessions, self.end_sessions, methods=["POST"]),
        ]

    # Keys -------------------------------------------------------------------------------------------------------

    async def keys(self, request: Request) -> Response:
        return await self._keys_page(request, done=self._done(request))

    async def _keys_page(self, request: Request, *said: str, done: str = "", status: int = 200) -> Response:
        mine = await self.manners.person(request, factors.mine)
        elsewhere = len(await self.manners.person(request, sessions.my_sessions)) - 1 if done or said else 0
        return await self.manners.show(
            request,
            self.pages.keys,
            mine=mine,
            done=done,
            said=said,
            elsewhere=elsewhere,
            status=status,
            why_no_keys=self.manners.why_no_keys(request),
        )

    async def new_key(self, request: Request) -> Response:
        if self.manners.why_no_keys(request):
            return self.manners.onward(self.at.keys)
        # Who has nothing else yet may have a first key right after a single sign-on that asked for a second factor.
        is_vouched = await self.manners.person(request, factors.is_proved, purpose=factors.FIRST_KEY)
        asked = None if is_vouched else await self._confirmed(request, self.at.new_key)
        return asked or await self.manners.show(request, self.pages.new_key)

    @paced
    async def key_options(self, request: Request) -> Response:
        await self.manners.said(request)
        return await self._of_key(request, factors.begin_key, self.manners.options)

    @paced
    async def take_key(self, request: Request) -> Response:
        said = await self.manners.said(request)
        answer = await self._of_key(
            request,
            factors.finish_key,
            lambda _: self.manners.go(f"{self.at.keys}?done=added"),
            answer=said.get("answer"),
            name=str(said.get("name", ""))[:60],
        )
        # The key was touched in this session, and may have opened more than was open before.
        if answer.status_code >= 400:
            return answer
        try:
            return await self.manners.rotate(request, answer)
        except Denied as error:  # Another window made the token anew at this very moment.
            return self.manners.no(error.sentence, status=403)

    async def _of_key(self, request: Request, verb, then, **how) -> Response:
        if sentence := self.manners.why_no_keys(request):
            return self.manners.no(sentence, status=400)
        try:
            return then(await self.manners.person(request, verb, origin=self.manners.origin(request), **how))
        except WrongAnswer as error:
            go = self._to_confirm(self.at.new_key) if error.why == _NO_PROOF else ""
            return self.manners.no(error.sentence, go=go)
        except SorgError as error:
            return self.manners.no(error.sentence)

    async def ask_remove(self, request: Request) -> Response:
        key = await self._key(request, request.query_params.get("key", ""))
        if key is None:
            return self.manners.onward(self.at.keys)
        return await self._confirmed(request, self._of(key)) or await self.manners.show(
            request, self.pages.remove_key, key=key, said=()
        )

    @paced
    async def remove(self, request: Request) -> Response:
        form = await self.manners.form(request)
        key = await self._key(request, form.get("key", ""))
        if key is None:
            return self.manners.onward(self.at.keys)
        if not self.manners.is_ours(request, form):
            return await self.manners.show(
                request, self.pages.remove_key, key=key, said=(self.manners.form_again,), status=403
            )
        try:
            await self.manners.person(request, factors.remove_key, key.id)
        except WrongAnswer:
            return self.manners.onward(self._to_confirm(self._of(key)))
        except Refused as error:
            return await self._keys_page(request, error.sentence, status=400)
        return self.manners.onward(f"{self.at.keys}?done=removed")

    async def _key(self, request: Request, said: str) -> KeyCard | None:
        mine = await self.manners.person(request, factors.mine)
        return next((key for key in mine.keys if str(key.id) == said), None)

    def _of(self, key: KeyCard) -> str:
        return f"{self.at.remove_key}?key={key.id}"

    # The app ----------------------------------------------------------------------------------------------------

    async def ask_app(self, request: Request) -> Response:
        return await self._confirmed(request, self.at.app) or await self.manners.show(
            request, self.pages.begin_app
        )

    @paced
    async def take_app(self, request: Request) -> Response:
        form = await self.manners.our_form(request, self.pages.begin_app)
        about = f"new app|{request.scope['actor'].session}"
        fresh = opened(self.manners, form.get("box", ""), about=about)
        try:
            if fresh is None:
                fresh = await self.manners.person(request, factors.begin_totp)
                box = box_of(self.manners, fresh, about=about)
                return await self.manners.show(request, self.pages.app, fresh=fresh, box=box, said=())
            ended = await self.manners.person(request, factors.finish_totp, code=form.get("code", "")[:12])
        except WrongAnswer as error:
            if fresh is None:
                return self.manners.onward(self._to_confirm(self.at.app))
            return await self.manners.show(
                request, self.pages.app, fresh=fresh, box=form["box"], said=(error.sentence,), status=401
            )
        except Refused as error:
            return await self.manners.show(request, self.pages.begin_app, said=(error.sentence,), status=400)
        return await self.manners.show(request, self.pages.app_done, ended=ended)

    # Recovery codes ---------------------------------------------------------------------------------------------

    async def ask_recovery(self, request: Request) -> Response:
        if away := await self._confirmed(request, self.at.recovery):
            return away
        mine = await self.manners.person(request, factors.mine)
        return await self.manners.show(request, self.pages.begin_recovery, mine=mine)

    @paced
    async def take_recovery(self, request: Request) -> Response:
        mine = await self.manners.person(request, factors.mine)
        await self.manners.our_form(request, self.pages.begin_recovery, mine=mine)
        try:
            codes = await self.manners.person(request, factors.renew_recovery_codes)
        except WrongAnswer:
            return self.manners.onward(self._to_confirm(self.at.recovery))
        except Refused as error:
            return await self.manners.show(
                request, self.pages.begin_recovery, mine=mine, said=(error.sentence,), status=400
            )
        return await self.manners.show(request, self.pages.codes, codes=codes)

    # The password -----------------------------------------------------------------------------------------------

    async def ask_password(self, request: Request) -> Response:
        if sentence := await self.manners.person(request, activation.who_keeps_my_password):
            return await self.manners.show(request, self.pages.kept_elsewhere, said=(sentence,))
        return await self._confirmed(request, self.at.password) or await self._password_page(request)

    @paced
    async def take_password(self, request: Request) -> Response:
        form = await self.manners.our_form(request, self.pages.password)
        old, new = form.get("password", ""), form.get("new", "")
        if new != form.get("again", ""):
            return await self._password_page(request, self.pages.two, status=400)
        try:
            async with self._few:
                ended = await self.manners.person(request, activation.change_password, old=old, new=new)
        except WrongAnswer as error:
            if error.why == _NO_PROOF:
                return self.manners.onward(self._to_confirm(self.at.password))
            return await self._password_page(request, error.sentence, status=401)
        except Away:
            return await self._password_page(request, self.pages.away, status=503)
        except SorgError as error:
            told = tuple(p.sentence for p in error.problems) or (error.sentence,)
            if await self._is_proved(request):
                return await self._password_page(request, *told, status=400)
            # The directory had the last word, and the confirmation is used up by now.
            return await self.manners.show(request, self.pages.turned, said=told, status=400)
        return await self.manners.show(request, self.pages.password_done, ended=ended)

    async def _password_page(self, request: Request, *said: str, status: int = 200) -> Response:
        return await self.manners.show(request, self.pages.password, said=said, status=status)

    # Other sessions ---------------------------------------------------------------------------------------------

    @paced
    async def end_sessions(self, request: Request) -> Response:
        """All the others, or the one that is named."""
        form = await self.manners.form(request)
        if not self.manners.is_ours(request, form):
            return await self.sessions_page(request, self.manners.form_again, status=403)
        named = form.get("session", "")
        try:
            if named:
                await self.manners.person(request, sessions.end_my_session, UUID(named))
            else:
                await self.manners.person(request, sessions.end_my_other_sessions)
        except (ValueError, Missing):
            return await self.sessions_page(request, self.pages.gone, status=404)
        return self.ended(named)

    async def to_sessions(self, request: Request) -> Response:
        """Whoever was signed out before they pressed the button comes back here from signing in."""
        return self.manners.onward(self.at.keys)

    async def sessions_page(self, request: Request, *said: str, status: int = 200) -> Response:
        """Where one sees whether somebody is signed in elsewhere."""
        return await self._keys_page(request, *said, status=status)

    def ended(self, named: str) -> Response:
        """On to the page that says so."""
        return self.manners.onward(f"{self.at.keys}?done=ended")

    # How --------------------------------------------------------------------------------------------------------

    async def _confirmed(self, request: Request, where: str) -> Response | None:
        """The way to the confirming page, unless a fresh proof waits."""
        return None if await self._is_proved(request) else self.manners.onward(self._to_confirm(where))

    def _to_confirm(self, where: str) -> str:
        return self.manners.with_next(self.at.confirm, where)

    async def _is_proved(self, request: Request) -> bool:
        return await self.manners.person(request, factors.is_proved, purpose="factors")

    def _done(self, request: Request) -> str:
        return self.pages.done.get(request.query_params.get("done", ""), "")
