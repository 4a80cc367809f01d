"""The patients' door. It asks core.sharing and decides nothing itself; accounts have rooms of their own (account.py).

GET  /s/{token}                    the question (a preview, HEAD or a second look burns nothing)
POST /s/{token}                    the answer: on the right one a cookie, and on to /view/
GET  /share/manifest               what there is to see
GET  /share/instances/{id}/file    one image of the link's list
GET  /share/report.pdf             the signed report
POST /share/close                  "I am done"
/account...                        signing in, one's own studies: see account.py
GET  /view/...                     the viewer's built files
GET  /health                       200 while the practice's database answers
"""

from __future__ import annotations

import hmac
import secrets
import time
from collections.abc import Callable
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from core import sharing
from core.errors import Missing, Outside, Refused, SorgError, Unfit, WrongAnswer
from core.rules.addresses import counted_address
from core.rules.za_time import local_day
from core.sharing import SENTENCES, FrontDoor, LinkState, LinkView
from core.store.work import Actor, House, nobody
from core.tokens import hash_token
from gateway import account_page, landing
from gateway.account import Accounts, is_account_page
from gateway.desk import Desk, manifest_of
from gateway.forms import cookie as cookie_of
from gateway.forms import page, small_body
from gateway.forms import sentence as sentence_of
from gateway.headers import UNREACHABLE, FrontGuard, from_our_own_page
from gateway.images import Images
from gateway.limits import Buckets
from gateway.patience import Impatient
from gateway.viewer_files import ViewerFiles

VISIT = "sorg_visit"  # The secret of the link that is open now; sent to /share only.
FORM = "sorg_form"  # The question's own secret; sent to /s only.
NO_VISIT = "Please open the link in your message once more."
# How uvicorn is to run it. No access log: an address here is a secret.
SERVER = {
    "access_log": False, "log_level": "warning", "lifespan": "off", "server_header": False, "proxy_headers": True,
    "timeout_keep_alive": 30, "limit_concurrency": 4000,
    "h11_max_incomplete_event_size": 16 * 1024, "http": Impatient, "ws": "none",
}  # fmt: skip


class Gateway(Desk):
    """The routes of a link, and what is around both doors."""

    def __init__(
        self,
        house: House,
        images: Images,
        *,
        https: bool = False,
        origins: tuple[str, ...] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(house, images, https=https, origins=origins)
        self.by_address = Buckets(size=10, seconds_each=6, clock=clock)
        self.by_all = Buckets(size=60, seconds_each=1, clock=clock)

    # The link itself.

    async def link(self, request: Request) -> Response:
        return await self.in_thread(self._link, request)

    def _link(self, request: Request) -> Response:
        token = request.path_params["token"]
        held = cookie_of(request, _seat(token))
        view: LinkView = self.ask(sharing.look_at, token, held=held, by=self.stranger(request))
        if view.state is LinkState.WAITING:
            return self._question(request, view)
        if view.state is LinkState.HERE:
            return self._let_in(request, token, held, view)
        stayed_home = not held and request.headers.get("sec-fetch-site", "cross-site") == "cross-site"
        if view.state is LinkState.USED and stayed_home and "again" not in request.query_params:
            return _page(landing.one_moment(view.practice))
        return _page(landing.ending(view.state, view.practice), 410)

    async def answer(self, request: Request) -> Response:
        body = await small_body(request)
        if body is None:
            return JSONResponse({"sentence": "That was more than a date of birth."}, 413)
        return await self.in_thread(self._answer, request, body)

    def _answer(self, request: Request, body: bytes) -> Response:
        token, stranger = request.path_params["token"], self.stranger(request)
        view: LinkView = self.ask(sharing.look_at, token, held=cookie_of(request, _seat(token)), by=stranger)
        if not (self.by_address.take(counted_address(stranger.address)) and self.by_all.take("all")):
            return _page(landing.ending(landing.BUSY, view.practice), 429, {"retry-after": "60"})
        if view.state is LinkState.HERE:
            return self._let_in(request, token, cookie_of(request, _seat(token)), view)
        said = landing.read_answer(body, today=local_day(self.house.clock()))
        cookie = cookie_of(request, FORM)
        ours = from_our_own_page(request.headers, self.own_host)
        if not ours or not cookie or not hmac.compare_digest(cookie.encode(), said.form_token.encode()):
            if view.state is not LinkState.WAITING:
                return _page(landing.ending(view.state, view.practice), 410)
            return self._question(request, view, 403, said=landing.TOO_LONG_OPEN)
        if said.born_on is None and view.state is LinkState.WAITING:
            return self._question(request, view, 422, said=said.problem, typed=said.typed)
        return self._redeem(request, token, said, view)

    def _redeem(self, request: Request, token: str, said: landing.Answer, view: LinkView) -> Response:
        agent = request.headers.get("user-agent", "")
        try:
            opened = self.ask(
                sharing.redeem,
                token,
                born_on=said.born_on or local_day(self.house.clock()),
                agent=agent,
                by=self.stranger(request),
            )
        except WrongAnswer as wrong:
            view = self.ask(sharing.look_at, token, by=self.stranger(request))
            if view.state is LinkState.WAITING:
                return self._question(request, view, 403, said=wrong.sentence)
            return _page(landing.ending(view.state, view.practice), 410)
        except Refused as refused:
            view = self.ask(sharing.look_at, token, by=self.stranger(request))
            if view.state is LinkState.WAITING:
                return self._question(request, view, 409, said=refused.sentence)
            return _page(landing.ending(view.state, view.practice), 410)
        return self._let_in(request, token, opened.session, view)

    def _question(self, request: Request, view: LinkView, status: int = 200, **how: Any) -> Response:
        # The same secret for every tab of this browser, so that an older tab's form still works.
        form = cookie_of(request, FORM) or secrets.token_urlsafe(24)
        page = _page(landing.question(view, path=request.url.path, form_token=form, **how), status)
        self._set_cookie(page, FORM, form, path="/s", seconds=12 * 3600)
        return page

    def _let_in(self, request: Request, token: str, session: str, view: LinkView) -> Response:
        onward = RedirectResponse("/view/", 303)
        left = int((view.until - self.house.clock()).total_seconds()) if view.until else 0
        self._set_cookie(onward, VISIT, session, path="/share", seconds=left)
        # A phone may hold several links: each keeps its seat under a name that only its own address leads to.
        self._set_cookie(onward, _seat(token), session, path="/s", seconds=left)
        return onward

    def _set_cookie(self, answer: Response, name: str, value: str, *, path: str, seconds: int) -> None:
        answer.set_cookie(
            name,
            value,
            max_age=max(0, seconds),
            path=path,
            httponly=True,
            samesite="strict",
            secure=self.https,
        )

    # What the link opens. Every request asks the database again: nothing about a permission is remembered here.

    async def manifest(self, request: Request) -> Response:
        return await self.in_thread(self._with_visit, request, self._manifest)

    def _manifest(self, actor: Actor) -> Response:
        study = self.ask(sharing.open_shared, by=actor)
        practice = self.ask(sharing.front_door, by=nobody(channel="gateway", address=actor.address))
        return JSONResponse(
            manifest_of(
                study.images,
                practice,
                signed_at=study.signed_at,
                signed_by=study.signed_by,
                text=study.text,
                until=study.until,
            )
        )

    async def report(self, request: Request) -> Response:
        return await self.in_thread(self._with_visit, request, self._report)

    def _report(self, actor: Actor) -> Response:
        try:
            pdf = self.ask(sharing.shared_report_pdf, by=actor)
        except Missing as missing:
            return sentence_of(missing.sentence, 503, {"retry-after": "30"})
        named = {"content-disposition": 'inline; filename="report.pdf"'}
        return Response(pdf, media_type="application/pdf", headers=named)

    async def close(self, request: Request) -> Response:
        # A foreign page cannot send this header without asking us first, and we never answer such a question.
        if request.headers.get("x-requested-with") != "sorg" or not from_our_own_page(
            request.headers, self.own_host
        ):
            return sentence_of("This was not sent by our own page.", 403)
        answer = await self.in_thread(self._with_visit, request, self._close)
        answer.delete_cookie(VISIT, path="/share", httponly=True, samesite="strict", secure=self.https)
        return answer

    def _close(self, actor: Actor) -> Response:
        self.ask(sharing.leave, by=actor)
        return Response(status_code=204)

    def _with_visit(self, request: Request, go_on: Callable[[Actor], Response]) -> Response:
        session, stranger = cookie_of(request, VISIT), self.stranger(request)
        actor = (
            self.ask(sharing.actor_of, session, by=stranger, address=stranger.address) if session else None
        )
        try:
            return self._shut(session, stranger) if actor is None else go_on(actor)
        except Missing as missing:
            return sentence_of(missing.sentence, 404)
        except Refused as refused:
            return sentence_of(refused.sentence, 403)

    def _shut(self, session: str, stranger: Actor) -> Response:
        state = self.ask(sharing.why_shut, session, by=stranger) if session else None
        return sentence_of(NO_VISIT, 401) if state is None else sentence_of(SENTENCES[state], 410)

    async def image(self, request: Request) -> Response:
        return await self.in_thread(self._image, request)

    def _image(self, request: Request) -> Response:
        session, stranger = cookie_of(request, VISIT), self.stranger(request)
        with self.house.work(stranger) as work:
            image = sharing.image_behind(work, session, request.path_params["id"]) if session else None
        if image is None:
            return self._shut(session, stranger)
        if not image:
            return sentence_of("This image is not part of your link.", 404)
        return self.send_image(image)

    # Around it.

    async def health(self, request: Request) -> Response:
        await self.in_thread(lambda: self.ask(sharing.front_door, by=self.stranger(request)))
        return JSONResponse({"state": "ok"})

    async def away(self, request: Request, error: Exception) -> Response:
        """Another system, or the practice itself, stands in the way: said in words, on a page where a person reads one."""
        sentence = error.sentence if isinstance(error, SorgError) else UNREACHABLE
        if request.url.path.startswith("/s/"):
            return _page(landing.ending(landing.AWAY, FrontDoor("", "")), 503, {"retry-after": "60"})
        if is_account_page(request.url.path):
            return account_page.answer(account_page.away(), 503, {"retry-after": "60"})
        return sentence_of(sentence, 503, {"retry-after": "30"})

    async def refused(self, request: Request, error: Exception) -> Response:
        """A verb said no where the route did not expect it."""
        assert isinstance(error, Refused)
        if request.url.path.startswith("/s/"):
            return await self.away(request, error)
        if is_account_page(request.url.path):
            return account_page.answer(
                account_page.not_here(error.sentence), 404 if isinstance(error, Missing) else 403
            )
        return sentence_of(error.sentence, 404 if isinstance(error, Missing) else 403)

    async def nothing_here(self, request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        sentences = {404: "There is nothing at this address.", 405: "This address does not take that."}
        return sentence_of(
            sentences.get(error.status_code, "This cannot be done here."),
            error.status_code,
            dict(error.headers or {}),
        )

    async def nobody_there(self, request: Request, error: Exception) -> Response:
        """They left in the middle of their form; nobody reads this."""
        return Response(status_code=400)


def create(
    house: House,
    images: Images,
    *,
    https: bool = False,
    listens: tuple[str, int] | None = None,
    origins: tuple[str, ...] = (),
    clock: Callable[[], float] = time.monotonic,
) -> Starlette:
    """The gateway of one practice. `listens`: its own address and port, when a proxy stands before it.

    origins: where the practice says that it is, for passkeys.
    """
    gateway = Gateway(house, images, https=https, origins=origins, clock=clock)
    accounts = Accounts(gateway, clock=clock)
    own = gateway.own_host
    port = own.rpartition(":")[2] if ":" in own else ""
    hosts = {own, *(f"{h}:{port}" if port else h for h in ("127.0.0.1", "localhost"))}
    if listens is not None:  # Whoever looks after us asks there whether we are well.
        hosts |= {f"{h}:{listens[1]}" for h in (listens[0], "127.0.0.1", "localhost")}
    return Starlette(
        routes=[
            Route("/s/{token}", gateway.link, methods=["GET"]),
            Route("/s/{token}", gateway.answer, methods=["POST"]),
            Route("/share/manifest", gateway.manifest),
            Route("/share/instances/{id:uuid}/file", gateway.image),
            Route("/share/report.pdf", gateway.report),
            Route("/share/close", gateway.close, methods=["POST"]),
            Route("/view", lambda request: RedirectResponse("/view/", 308)),
            Route("/view/{path:path}", ViewerFiles().serve),
            *accounts.routes(),
            Route("/health", gateway.health),
            Route(
                "/robots.txt",
                lambda request: Response("User-agent: *\nDisallow: /\n", media_type="text/plain"),
            ),
        ],
        exception_handlers={
            Refused: gateway.refused,
            Outside: gateway.away,
            Unfit: gateway.away,
            HTTPException: gateway.nothing_here,
            ClientDisconnect: gateway.nobody_there,
        },
        middleware=[Middleware(FrontGuard, hosts=frozenset(hosts), https=https)],
    )


def _seat(token: str) -> str:
    return f"sorg_seat_{hash_token(token)[:16]}"


def _page(html: str, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return page(html, landing.CSP, status, headers)
