"""Single sign-on at the console's door: to the provider and back, ending in a session of our own.

The browser carries what this attempt needs in a sealed cookie. That cookie is Lax, because the provider's redirect
comes from another site; the session's is Strict and would stay at home in such a redirect. So the way back ends on a
page that at once goes on, from our own site (docs/decisions/081-single-sign-on.md).
"""

from __future__ import annotations

import hmac
import json
import secrets
import threading
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from html import escape
from urllib.parse import quote

import anyio
from anyio.to_thread import run_sync
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from console.door import Door
from console.gate import address_of
from console.signin.routes import CODE_COOKIE, FORM_COOKIE, local_path
from core import signin
from core.errors import Away, SorgError, WrongAnswer
from core.ports.oidc import SHOWN, Begun, IdentityProvider, NotProven, declined

PATH, BACK = "/login/oidc", "/login/oidc/back"
LASTS = timedelta(minutes=10)
_CODE_STAGE_S = 300
_AT_ONCE = 4  # calls to the provider at the same time: a silent one must not hold every thread of the console
_KEPT_STATES = 5_000
_AAD = b"sorg single sign-on 1"
_FRESH = {"Cache-Control": "no-store"}
STALE = "That took too long, or was begun in another window. Please try once more."

_PAGE = """<!doctype html>
<html lang="en-ZA">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
{onward}
<title>{title} · Sorg</title>
<link rel="icon" href="/favicon.png">
<link rel="stylesheet" href="/login/style.css">
</head>
<body>
<main>
<header><img src="/favicon.png" alt="" width="44" height="44"><div><strong>Sorg</strong><span>Ubuntu Patient Sorg</span></div></header>
<h1>{title}</h1>
{body}
</main>
<footer>Patient information. For staff of the practice only; every opening is recorded.</footer>
</body>
</html>
"""


@dataclass(frozen=True)
class Attempt:
    """What a browser brings back: its own attempt, and where it wished to go."""

    begun: Begun
    next: str


def routes(door: Door) -> list[Route]:
    """Single sign-on of this door; without a provider both ways lead to the usual sign-in."""
    desk = SingleSignOn(door)
    return [Route(PATH, desk.go, methods=["GET"]), Route(BACK, desk.come_back, methods=["GET"])]


class SingleSignOn:
    """The way to the provider, and the way back."""

    def __init__(self, door: Door) -> None:
        self.door = door
        self._few = anyio.CapacityLimiter(_AT_ONCE)
        self._spent: OrderedDict[str, None] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def cookie(self) -> str:
        """Its name; under HTTPS the prefix makes browsers refuse it from an unsafe place."""
        return "__Secure-sorg-oidc" if self.door.https else "sorg-oidc"

    async def go(self, request: Request) -> Response:
        wish = local_path(request.query_params.get("next"))
        provider = self._provider()
        if provider is None:
            return RedirectResponse(f"/login?next={quote(wish, safe='')}", 303, headers=_FRESH)
        address = self._address_back(request)
        try:
            begun = await run_sync(lambda: provider.begin(redirect_uri=address), limiter=self._few)
        except SorgError as error:
            return self._no(error, next=wish)
        answer = RedirectResponse(begun.url, 303, headers=_FRESH)
        answer.set_cookie(
            self.cookie, self._seal(Attempt(begun, wish)), path=PATH, max_age=int(LASTS.total_seconds()),
            httponly=True, samesite="lax", secure=self.door.https,
        )  # fmt: skip
        return answer

    async def come_back(self, request: Request) -> Response:
        provider, said = self._provider(), request.query_params
        if provider is None:
            return RedirectResponse("/login", 303, headers=_FRESH)
        attempt = self._unseal(request.cookies.get(self.cookie, ""))
        # Nothing of the address is believed, and nothing is recorded or counted, before the state fits: anybody can
        # send anybody's browser here.
        if attempt is None or not hmac.compare_digest(
            said.get("state", "").encode(), attempt.begun.state.encode()
        ):
            return self._done(self._page_of(STALE, status=403))
        if not self._spend(attempt.begun.state):
            return self._done(self._page_of(STALE, status=403, next=attempt.next))
        address = self._address_back(request)
        try:
            if "code" not in said:
                raise declined(said.get("error", ""))
            claims = await run_sync(
                lambda: provider.finish(
                    begun=attempt.begun, code=said["code"], redirect_uri=address, issuer=said.get("iss")
                ),
                limiter=self._few,
            )
            token, is_session = await run_sync(self._verb, request, signin.check_identity, claims)
        except NotProven as refused:
            await run_sync(self._record, request, refused)
            return self._done(self._no(refused, next=attempt.next))
        except SorgError as error:
            return self._done(self._no(error, next=attempt.next))
        return self._done(self._welcome(token, is_session=is_session, next=attempt.next))

    # How ------------------------------------------------------------------------------------------------------

    def _provider(self) -> IdentityProvider | None:
        return self.door.house.ports.identity

    def _address_back(self, request: Request) -> str:
        # The host is one of ours (OwnHost), and the provider sends nobody to an address it was not told beforehand.
        return f"{'https' if self.door.https else 'http'}://{request.headers['host']}{BACK}"

    def _verb(self, request: Request, verb, *what, **how):
        with self.door.stranger(address_of(request)) as work:
            return verb(work, *what, **how)

    def _record(self, request: Request, refused: NotProven) -> None:
        with suppress(WrongAnswer):
            self._verb(request, signin.note_unproven, reason=str(refused.reason), detail=refused.detail)

    def _spend(self, state: str) -> bool:
        """True the first time. The provider takes a code once anyway; this spares it the second question."""
        with self._lock:
            if state in self._spent:
                return False
            self._spent[state] = None
            while len(self._spent) > _KEPT_STATES:
                self._spent.popitem(last=False)
            return True

    def _seal(self, attempt: Attempt) -> str:
        begun = attempt.begun
        ends = self.door.house.clock() + LASTS
        text = json.dumps([begun.state, begun.nonce, begun.verifier, attempt.next, ends.timestamp()]).encode()
        nonce = self.door.house.dice(12)
        return (nonce + AESGCM(self.door.house.keys["secrets"]).encrypt(nonce, text, _AAD)).hex()

    def _unseal(self, box: str) -> Attempt | None:
        """The attempt, or None for a cookie that is not ours, was changed, or is older than LASTS."""
        try:
            raw = bytes.fromhex(box)
            text = AESGCM(self.door.house.keys["secrets"]).decrypt(raw[:12], raw[12:], _AAD)
        except (ValueError, InvalidTag):
            return None
        state, nonce, verifier, wish, ends = json.loads(text)
        if datetime.fromtimestamp(ends, UTC) <= self.door.house.clock():
            return None
        return Attempt(Begun("", state, nonce, verifier), wish)

    def _welcome(self, token: str, *, is_session: bool, next: str) -> Response:
        onward = next if is_session else f"/login/code?next={quote(next, safe='')}"
        answer = HTMLResponse(
            _PAGE.format(
                title="One moment", onward=f'<meta http-equiv="refresh" content="0;url={escape(onward)}">',
                body='<p class="lead">You are recognised.</p>'
                f'<p class="help"><a href="{escape(onward)}">Continue</a></p>',
            ), headers=_FRESH,
        )  # fmt: skip
        if is_session:
            self._keep(answer, self.door.cookie, token, path="/")
            answer.delete_cookie(CODE_COOKIE, path="/login")
            # A form token of before the sign-in is worth nothing after it.
            self._keep(answer, FORM_COOKIE, secrets.token_urlsafe(32), path="/")
        else:
            self._keep(answer, CODE_COOKIE, token, path="/login", max_age=_CODE_STAGE_S)
        return answer

    def _no(self, error: SorgError, *, next: str) -> Response:
        told = error.problems if isinstance(error, NotProven) and error.reason in SHOWN else ()
        status = 503 if isinstance(error, Away) else 401
        return self._page_of(
            error.sentence,
            *(f"For your practice's admin: {p.sentence}" for p in told),
            status=status,
            next=next,
        )

    def _page_of(self, *sentences: str, status: int, next: str = "/") -> Response:
        said = "<br><br>".join(escape(sentence) for sentence in sentences)
        wish = quote(next, safe="")
        body = (
            f'<p class="message" role="alert">{said}</p>'
            f'<a class="other first" href="{PATH}?next={wish}">Try again</a>'
            f'<a class="other" href="/login?next={wish}">Sign in with name and password</a>'
        )
        return HTMLResponse(_PAGE.format(title="Not signed in", onward="", body=body), status, headers=_FRESH)

    def _done(self, answer: Response) -> Response:
        answer.delete_cookie(self.cookie, path=PATH, httponly=True, samesite="lax", secure=self.door.https)
        return answer

    def _keep(
        self, answer: Response, name: str, value: str, *, path: str, max_age: int | None = None
    ) -> None:
        answer.set_cookie(name, value, path=path, max_age=max_age, httponly=True, samesite="strict",
                          secure=self.door.https)  # fmt: skip
