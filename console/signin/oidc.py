"""Single sign-on at the console's door: to the provider and back, ending in a session of our own.

The browser carries what this attempt needs in a sealed cookie. That cookie is Lax, because the provider's redirect
comes from another site; the session's is Strict and would stay at home in such a redirect. So the way back ends on a
page that at once goes on, from our own site (docs/decisions/081-single-sign-on.md).
"""

from __future__ import annotations

import hmac
import json
import threading
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

import anyio
from anyio.to_thread import run_sync
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from console.door import Door
from console.signin import page
from console.signin.forms import Counter, local_path, with_next
from core import signin
from core.errors import Away, SorgError, WrongAnswer
from core.ports.oidc import SHOWN, Begun, IdentityProvider, NotProven, declined
from doors.manners import FRESH

PATH, BACK = page.SINGLE_SIGN_ON, "/login/oidc/back"
LASTS = timedelta(minutes=10)
_AT_ONCE = 4  # calls to the provider at the same time: a silent one must not hold every thread of the console
_KEPT_STATES = 5_000
# What stands in an address as it is; a header holds no other letters. As Starlette does for its own redirects.
_SAFE = ":/%#?=@[]!$&'()*+,;"
_ABOUT = "single sign-on"
STALE = "That took too long, or was begun in another window. Please try once more."


@dataclass(frozen=True)
class Attempt:
    """What a browser brings back: its own attempt, and where it wished to go."""

    begun: Begun
    next: str


def routes(door: Door) -> list[Route]:
    """Single sign-on of this door; without a provider both ways lead to the usual sign-in."""
    desk = SingleSignOn(door)
    return desk.calmly(
        Route(PATH, desk.set_out, methods=["GET"]),
        Route(BACK, desk.come_back, methods=["GET"]),
        back="/login",
    )


class SingleSignOn(Counter):
    """The way to the provider, and the way back."""

    def __init__(self, door: Door) -> None:
        super().__init__(door)
        self._few = anyio.CapacityLimiter(_AT_ONCE)
        self._spent: OrderedDict[str, None] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def cookie(self) -> str:
        """Its name; under HTTPS the prefix makes browsers refuse it from an unsafe place."""
        return "__Secure-sorg-oidc" if self.door.https else "sorg-oidc"

    async def set_out(self, request: Request) -> Response:
        wish = local_path(request.query_params.get("next"))
        provider = self._provider()
        if provider is None:
            return self.onward(with_next("/login", wish))
        # The host is one of ours (OwnHost), and the provider sends nobody to an address it was not told beforehand.
        back = self.origin(request) + BACK
        try:
            anew = request.query_params.get("anew") == "yes"
            begun = await run_sync(lambda: provider.begin(redirect_uri=back, anew=anew), limiter=self._few)
        except SorgError as error:
            return self._refuse(error, next=wish)
        answer = RedirectResponse(begun.url, 303, headers=FRESH)
        answer.set_cookie(
            self.cookie,
            self._put(Attempt(begun, wish)),
            path=PATH,
            max_age=int(LASTS.total_seconds()),
            httponly=True,
            samesite="lax",
            secure=self.door.https,
        )
        return answer

    async def come_back(self, request: Request) -> Response:
        provider, said = self._provider(), request.query_params
        if provider is None:
            return self.onward("/login")
        attempt = self._take(request.cookies.get(self.cookie, ""))
        # Nothing of the address is believed, and nothing is recorded or counted, before the state fits: anybody can
        # send anybody's browser here.
        if attempt is None or not hmac.compare_digest(
            said.get("state", "").encode(), attempt.begun.state.encode()
        ):
            return self._done(self._told(STALE, status=403))
        if not self._spend(attempt.begun.state):
            return self._done(self._told(STALE, status=403, next=attempt.next))
        back = self.origin(request) + BACK
        try:
            if "code" not in said:
                raise declined(said.get("error", ""))
            claims = await run_sync(
                lambda: provider.finish(
                    begun=attempt.begun, code=said["code"], redirect_uri=back, issuer=said.get("iss")
                ),
                limiter=self._few,
            )
            token, is_session = await self.stranger(request, signin.check_identity, claims=claims)
        except NotProven as refused:
            with suppress(WrongAnswer):
                await self.stranger(
                    request, signin.note_unproven, reason=str(refused.reason), detail=refused.detail
                )
            return self._done(self._refuse(refused, next=attempt.next))
        except SorgError as error:
            return self._done(self._refuse(error, next=attempt.next))
        if is_session:
            await self.end_former(request)
        return self._done(self._recognise(token, is_session=is_session, next=attempt.next))

    # How ------------------------------------------------------------------------------------------------------

    def _provider(self) -> IdentityProvider | None:
        return self.door.house.ports.identity

    def _spend(self, state: str) -> bool:
        """True the first time. The provider takes a code once anyway; this spares it the second question."""
        with self._lock:
            if state in self._spent:
                return False
            self._spent[state] = None
            while len(self._spent) > _KEPT_STATES:
                self._spent.popitem(last=False)
            return True

    def _put(self, attempt: Attempt) -> str:
        begun, ends = attempt.begun, self.door.house.clock() + LASTS
        text = json.dumps([begun.state, begun.nonce, begun.verifier, attempt.next, ends.timestamp()])
        return self.seal(text, about=_ABOUT)

    def _take(self, box: str) -> Attempt | None:
        """The attempt, or None for a cookie that is not ours, was changed, or is older than LASTS."""
        text = self.unseal(box, about=_ABOUT)
        if text is None:
            return None
        state, nonce, verifier, wish, ends = json.loads(text)
        if datetime.fromtimestamp(ends, UTC) <= self.door.house.clock():
            return None
        return Attempt(Begun("", state, nonce, verifier), wish)

    # Answers --------------------------------------------------------------------------------------------------

    def _recognise(self, token: str, *, is_session: bool, next: str) -> Response:
        where = next if is_session else with_next("/login/code", next)
        text = page.frame("One moment", page.lead("You are recognised."), page.link(where, "Continue"))
        answer = HTMLResponse(text, headers={**FRESH, "Refresh": f"0;url={quote(where, safe=_SAFE)}"})
        if is_session:
            return self.welcome(answer, token)
        return self.keep_half(answer, token)

    def _refuse(self, error: SorgError, *, next: str) -> Response:
        shown = error.problems if isinstance(error, NotProven) and error.reason in SHOWN else ()
        for_the_admin = (f"For your practice's admin: {problem.sentence}" for problem in shown)
        status = 503 if isinstance(error, Away) else 401
        return self._told(error.sentence, *for_the_admin, status=status, next=next)

    def _told(self, *sentences: str, status: int, next: str = "/") -> Response:
        text = page.frame(
            "Not signed in",
            page.message(*sentences),
            page.link(with_next(PATH, next), "Try again", button=True, first=True),
            page.link(with_next("/login", next), "Sign in with name and password", button=True),
        )
        return HTMLResponse(text, status, headers=FRESH)

    def _done(self, answer: Response) -> Response:
        answer.delete_cookie(self.cookie, path=PATH, httponly=True, samesite="lax", secure=self.door.https)
        return answer
