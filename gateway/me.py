"""One's own account at the gateway: GET /account/me, and below it the pages of doors.own_account and doors.confirm."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from core import activation, factors, sessions
from doors.confirm import ConfirmDesk
from doors.own_account import AccountAt, AccountDesk, AccountPages
from gateway import me_page as pages
from gateway.manners import HERE, AccountManners

_LATELY = 8
_AT = AccountAt(
    keys=pages.KEYS, app=pages.APP, recovery=pages.RECOVERY, password=pages.PASSWORD, sessions=pages.SESSIONS,
    confirm=f"{pages.CONFIRM}?for=factors",
)  # fmt: skip
_PAGES = AccountPages(
    pages.keys, pages.new_key, pages.remove_key, pages.begin_app, pages.app, pages.app_done, pages.begin_recovery,
    pages.codes, pages.password, pages.password_done, pages.kept_elsewhere, pages.turned, done=pages.DONE, two=pages.TWO,
    away=pages.AWAY, gone=pages.GONE,
)  # fmt: skip


class OwnAccount(AccountDesk):
    """How I sign in, and where I am signed in."""

    def __init__(self, manners: AccountManners) -> None:
        super().__init__(manners, _PAGES, at=_AT)

    def routes(self) -> list[Route]:
        confirm = ConfirmDesk(
            self.manners,
            at=pages.CONFIRM,
            sign_in=HERE,
            purposes=pages.PURPOSES,
            unknown=pages.UNKNOWN,
            confirm=pages.confirm,
            nothing=pages.nothing,
        )
        return [Route(pages.ME, self.me, methods=["GET"]), *super().routes(), *confirm.routes()]

    async def me(self, request: Request) -> Response:
        return await self.sessions_page(request)

    async def sessions_page(self, request: Request, *said: str, status: int = 200) -> Response:
        ask = self.manners.person
        return await self.manners.show(
            request,
            pages.me,
            status=status,
            said=said,
            done=self._done(request),
            name=request.scope["actor"].name,
            mine=await ask(request, factors.mine),
            open_now=await ask(request, sessions.my_sessions),
            lately=await ask(request, sessions.my_sign_ins, size=_LATELY),
            kept=await ask(request, activation.who_keeps_my_password),
            why_no_keys=self.manners.why_no_keys(request),
        )

    def ended(self, named: str) -> Response:
        return self.manners.onward(f"{pages.ME}?done={'one' if named else 'ended'}")
