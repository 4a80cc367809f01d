"""The console's manners at the door: its cookies, who runs a verb, where it leads on to; the rest is doors.manners."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from console.door import Door
from console.gate import address_of
from console.signin import page
from core.store.work import Actor, House
from doors.keys import no_keys_at
from doors.manners import FRESH, Cookies, Manners, is_local, with_next

__all__ = ["Counter", "local_path", "why_no_keys_at", "with_next"]
FORM_COOKIE = "sorg-form"
CODE_COOKIE = "sorg-code"
LARGEST_FORM = 64 * 1024
FORM_AGAIN = "That page was open for too long. Please try once more."
# Nobody is led from one question to another one: the way on is a page of the console.
_NO_WISH = ("/login", "/logout", "/activate")


class Counter(Manners):
    """What the desks at the console's door share."""

    form_again = FORM_AGAIN
    largest_form = largest_said = LARGEST_FORM

    def __init__(self, door: Door) -> None:
        self.door = door

    @property
    def house(self) -> House:
        return self.door.house

    @property
    def https(self) -> bool:
        return self.door.https

    @property
    def cookies(self) -> Cookies:
        return Cookies(self.door.cookie, CODE_COOKIE, "/login", FORM_COOKIE)

    @property
    def not_done(self) -> Callable[..., str]:
        return page.not_done_page

    async def stranger(self, request: Request, verb: Callable[..., Any], **how: Any) -> Any:
        """Run a verb for somebody who is not signed in."""

        def run() -> Any:
            with self.door.stranger(address_of(request)) as work:
                return verb(work, **how)

        return await run_in_threadpool(run)

    async def person(self, request: Request, verb: Callable[..., Any], *what: Any, **how: Any) -> Any:
        """Run a verb for whoever the gate let in; it counts as using the session."""
        actor: Actor = request.scope["actor"]

        def run() -> Any:
            self.door.keep_awake(actor, self.token(request))
            with self.door.work(actor) as work:
                return verb(work, *what, **how)

        return await run_in_threadpool(run)

    def framed(
        self, request: Request, draw: Callable[..., str], *, token: str, status: int, **what: Any
    ) -> Response:
        return HTMLResponse(draw(token=token, **what), status, headers=FRESH)

    def local_path(self, wish: Any) -> str:
        return local_path(wish)

    @property
    def origins(self) -> tuple[str, ...]:
        return self.door.origins

    def why_no_keys(self, request: Request) -> str:
        return why_no_keys_at(self.origin(request), only_at=self.door.origins)


def local_path(wish: Any) -> str:
    """`wish` when it is a path of this console, else "/"."""
    return wish if is_local(wish) and not wish.startswith(_NO_WISH) else "/"


def why_no_keys_at(origin: str, *, only_at: tuple[str, ...] = ()) -> str:
    """Why keys cannot work where a browser has the console; empty when they can. only_at: where it is."""
    parts = urlsplit(origin)
    port = f":{parts.port}" if parts.port else ""
    return {
        "": "",
        "elsewhere": f"Keys work only where the console is at home: {' or '.join(only_at)}.",
        "number": f"Keys need the console's host name, for example {parts.scheme}://localhost{port} or https://…",
        "unsafe": "Keys need a secure address (https://…). Ask whoever looks after this system.",
    }[no_keys_at(origin, only_at=only_at)]
