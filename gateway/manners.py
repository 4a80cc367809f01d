"""The manners of the accounts' door: its cookies, who runs a verb, how often somebody may knock; the rest is doors.manners."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from core.errors import Refused, SorgError
from core.rules.addresses import counted_address
from core.store.work import Actor, House
from doors.keys import no_keys_at
from doors.manners import Cookies, Manners, NotTaken, is_local, with_next
from gateway import account_page, me_page
from gateway.account_frame import CSP, CSP_WITH_KEYS
from gateway.desk import Desk
from gateway.forms import address, page
from gateway.headers import UNREACHABLE, from_our_own_page
from gateway.limits import Buckets

HERE, STUDIES = "/account", "/account/studies"
SESSION, HALF, FORM = "sorg_account", "sorg_account_half", "sorg_account_form"
FORM_LASTS_S = 12 * 3600
# The pages where a key is touched. A policy of theirs lets our script run, and nobody else's.
WITH_KEYS = frozenset({f"{HERE}/code", me_page.CONFIRM, f"{me_page.KEYS}/new"})
TOO_FAST = "Too many tries just now. Please wait a minute, then try again."


class AccountManners(Manners):
    """What the desks of accounts share."""

    form_again = account_page.OPEN_TOO_LONG
    form_field = "form"
    largest_form = 4 * 1024
    largest_said = 16 * 1024

    def __init__(self, desk: Desk, *, clock: Callable[[], float]) -> None:
        self.desk = desk
        self.by_address = Buckets(size=20, seconds_each=6, clock=clock)
        self.by_all = Buckets(size=60, seconds_each=1, clock=clock)
        self.by_session = Buckets(size=30, seconds_each=2, clock=clock)

    @property
    def house(self) -> House:
        return self.desk.house

    @property
    def https(self) -> bool:
        return self.desk.https

    @property
    def prefix(self) -> str:
        """A browser sends such a cookie only over HTTPS and takes it from nobody else. __Host- would want the path /."""
        return "__Secure-" if self.https else ""

    @property
    def cookies(self) -> Cookies:
        return Cookies(
            self.prefix + SESSION,
            self.prefix + HALF,
            f"{HERE}/code",
            self.prefix + FORM,
            path=HERE,
            form_lasts_s=FORM_LASTS_S,
        )

    @property
    def not_done(self) -> Callable[..., str]:
        return account_page.not_done

    def words_of(self, error: SorgError) -> str:
        # What stands in the way inside the practice is nobody's business on the internet.
        return error.sentence if isinstance(error, Refused) else UNREACHABLE

    async def stranger(self, request: Request, verb: Callable[..., Any], **how: Any) -> Any:
        by = self.desk.stranger(request)
        return await self.desk.in_thread(lambda: self.desk.ask(verb, by=by, **how))

    async def person(self, request: Request, verb: Callable[..., Any], *what: Any, **how: Any) -> Any:
        by: Actor = request.scope["actor"]
        return await self.desk.in_thread(lambda: self.desk.ask(verb, *what, by=by, **how))

    async def show(
        self, request: Request, draw: Callable[..., str], *, status: int = 200, **what: Any
    ) -> Response:
        # Every page tells whose it is, which is asked of the database.
        return await self.desk.in_thread(lambda: self.drawn(request, draw, status=status, **what))

    def framed(
        self, request: Request, draw: Callable[..., str], *, token: str, status: int, **what: Any
    ) -> Response:
        if "said" in what:
            what["said"] = tuple(me_page.IN_PLAIN_WORDS.get(one, one) for one in what["said"])
        html = draw(self.desk.front_door(request), form=token, **what)
        return page(html, CSP_WITH_KEYS if request.url.path in WITH_KEYS else CSP, status)

    def local_path(self, wish: Any) -> str:
        mine = is_local(wish) and (wish == me_page.ME or wish.startswith(f"{me_page.ME}/"))
        return wish if mine else STUDIES

    def with_next(self, path: str, wish: str) -> str:
        return path if wish == STUDIES else with_next(path, wish)

    @property
    def origins(self) -> tuple[str, ...]:
        return self.desk.origins

    def why_no_keys(self, request: Request) -> str:
        why = no_keys_at(self.origin(request), only_at=self.origins)
        return me_page.NO_KEYS[why].format(there="".join(self.origins)) if why else ""

    def is_our_page(self, request: Request) -> bool:
        # By whichever of our names it was asked; that the name is ours was seen before (FrontGuard).
        return from_our_own_page(request.headers, request.headers.get("host", ""))

    def no(self, sentence: str, *, status: int = 401, go: str = "") -> Response:
        return super().no(me_page.IN_PLAIN_WORDS.get(sentence, sentence), status=status, go=go)

    async def knock(self, request: Request) -> None:
        actor: Actor | None = request.scope.get("actor")
        if actor is not None:
            let_in = self.by_session.take(str(actor.session))
        else:
            let_in = self.by_address.take(counted_address(address(request))) and self.by_all.take("all")
        if let_in:
            return
        if "json" in request.headers.get("content-type", ""):
            raise NotTaken(self.no(TOO_FAST, status=429))
        front = await self.desk.in_thread(self.desk.front_door, request)
        raise NotTaken(account_page.answer(account_page.busy(front), 429, {"retry-after": "60"}))
