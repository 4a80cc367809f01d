"""The door for accounts of patients and referring doctors: a password, a second factor, their own signed studies.

GET, POST /account                          name and password
GET, POST /account/code                     the code of the app, or a recovery code
GET, POST /account/activate[/password|/app] a slip: one's own password, one's own app, ten recovery codes
GET, POST /account/studies                  the list (POST: a search, so that no name stands in an address)
GET  /account/studies/{id}/view/            the viewer's page; it asks the three below
GET  /account/studies/{id}/manifest
GET  /account/studies/{id}/instances/{id}/file
GET  /account/studies/{id}/report.pdf
POST /account/out                           sign out, on to /account/signed-out

Nothing here is shared with links but the house: other cookies, other limits, and verbs that refuse a link
(docs/decisions/087-accounts-at-the-gateway.md).
"""

from __future__ import annotations

import hmac
import json
import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import anyio
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from core import activation, own_studies, sessions, signin
from core.activation import SlipView
from core.errors import Away, Denied, Missing, Refused, SorgError, WrongAnswer
from core.factors import NewTotp
from core.own_studies import OpenedStudy, OwnStudies
from core.rules.roles import Role
from core.sessions import GATEWAY
from core.signin import SecondHalf
from core.store.work import Actor
from gateway import account_page as pages
from gateway.desk import Desk, manifest_of
from gateway.forms import address, cookie, fields_of, paced, sentence, small_body
from gateway.headers import from_our_own_page
from gateway.limits import Buckets
from gateway.viewer_files import ViewerFiles

HERE = "/account"
SESSION, HALF, FORM, SLIP = "sorg_account", "sorg_account_half", "sorg_account_form", "sorg_account_slip"
CHOSEN = "sorg_account_chosen"  # a new password, sealed, until the second factor is proved
AT_ONCE = 4  # passwords checked at the same time: argon2 takes 19 MB and a core for each
HALF_LASTS_S, SLIP_LASTS_S, FORM_LASTS_S = 5 * 60, 15 * 60, 12 * 3600
SIGNED_OUT = "You are signed out. Sign in again to go on looking."
_TOUCH_EVERY, _ASK_EVERY = timedelta(minutes=1), timedelta(seconds=30)
_FILES = ("/manifest", "/file", "/report.pdf")


def is_account_page(path: str) -> bool:
    """True for what a person reads, false for what the viewer fetches."""
    return (path == HERE or path.startswith(f"{HERE}/")) and not path.endswith(_FILES)


class AccountDesk:
    """The routes of accounts. desk: what both doors stand on."""

    def __init__(self, desk: Desk, *, clock: Callable[[], float]) -> None:
        self.desk, self.house = desk, desk.house
        self.by_address = Buckets(size=20, seconds_each=6, clock=clock)
        self.by_all = Buckets(size=60, seconds_each=1, clock=clock)
        self._viewer = ViewerFiles()
        self._touched, self._rechecked = Rounds(_TOUCH_EVERY), Rounds(_ASK_EVERY)
        self._few: anyio.CapacityLimiter | None = None
        # A browser sends such a cookie only over HTTPS and takes it from nobody else. __Host- would want the path /.
        self.prefix = "__Secure-" if desk.https else ""

    def routes(self) -> list[Route]:
        return [
            Route(HERE, self.ask_password, methods=["GET"]),
            Route(HERE, self.take_password, methods=["POST"]),
            Route(f"{HERE}/", lambda request: RedirectResponse(HERE, 308)),
            Route(f"{HERE}/code", self.ask_code, methods=["GET"]),
            Route(f"{HERE}/code", self.take_code, methods=["POST"]),
            Route(f"{HERE}/activate", self.ask_slip, methods=["GET"]),
            Route(f"{HERE}/activate", self.take_slip, methods=["POST"]),
            Route(f"{HERE}/activate/password", self.ask_new_password, methods=["GET"]),
            Route(f"{HERE}/activate/password", self.take_new_password, methods=["POST"]),
            Route(f"{HERE}/activate/app", self.ask_app, methods=["GET"]),
            Route(f"{HERE}/activate/app", self.take_app, methods=["POST"]),
            Route(f"{HERE}/studies", self.studies, methods=["GET"]),
            Route(f"{HERE}/studies", self.search, methods=["POST"]),
            Route(f"{HERE}/studies/{{id:uuid}}", self.to_view),
            Route(f"{HERE}/studies/{{id:uuid}}/view", self.to_view),
            Route(f"{HERE}/studies/{{id:uuid}}/view/", self.view),
            Route(f"{HERE}/studies/{{id:uuid}}/manifest", self.manifest),
            Route(f"{HERE}/studies/{{id:uuid}}/instances/{{image:uuid}}/file", self.image),
            Route(f"{HERE}/studies/{{id:uuid}}/report.pdf", self.report),
            Route(f"{HERE}/out", self.leave, methods=["POST"]),
            Route(f"{HERE}/signed-out", self.signed_out),
        ]

    # The password ---------------------------------------------------------------------------------------------

    async def ask_password(self, request: Request) -> Response:
        if await self.desk.in_thread(self._who, request):
            return _onward(f"{HERE}/studies")
        return await self._show(request, pages.sign_in)

    @paced
    async def take_password(self, request: Request) -> Response:
        form = await self._form(request)
        if form is None:
            return await self._show(request, pages.sign_in, status=413, said=pages.TOO_LARGE)
        login = form.get("login", "")[:64]
        if no := await self._not_now(request):
            return no
        if not self._is_ours(request, form):
            return await self._show(request, pages.sign_in, status=403, login=login, said=pages.OPEN_TOO_LONG)
        try:
            token = await self._slowly(
                request, signin.check_password, login=login, password=form.get("password", "")
            )
        except Refused as error:
            return await self._show(request, pages.sign_in, status=401, login=login, said=error.sentence)
        answer = _onward(f"{HERE}/code")
        self._keep(answer, HALF, token, path=f"{HERE}/code", seconds=HALF_LASTS_S)
        return answer

    # The second factor ----------------------------------------------------------------------------------------

    async def ask_code(self, request: Request) -> Response:
        try:
            half = await self._half(request)
        except Denied:
            return _onward(HERE)
        return await self._show(request, pages.code, half=half, use=request.query_params.get("use", ""))

    @paced
    async def take_code(self, request: Request) -> Response:
        form = await self._form(request) or {}
        use = form.get("use", "")
        if no := await self._not_now(request):
            return no
        try:
            half = await self._half(request)
        except Denied as error:
            return await self._begin_again(request, error)
        if not self._is_ours(request, form):
            return await self._show(
                request, pages.code, status=403, half=half, use=use, said=pages.OPEN_TOO_LONG
            )
        verb = signin.check_recovery if use == "recovery" else signin.check_code
        try:
            token = await self._by_stranger(
                request, verb, token=self._held(request, HALF), code=form.get("code", "")[:60]
            )
        except Denied as error:
            return await self._begin_again(request, error)
        except Refused as error:
            return await self._show(request, pages.code, status=401, half=half, use=use, said=error.sentence)
        # Whoever signed in here before is out: one browser, one person.
        await self._by_stranger(request, sessions.sign_out, token=self._held(request, SESSION))
        answer = _onward(f"{HERE}/studies")
        self._keep(answer, SESSION, token)
        self._drop(answer, HALF, path=f"{HERE}/code")
        # A form's secret of before the sign-in is worth nothing after it.
        self._keep(answer, FORM, secrets.token_urlsafe(24), seconds=FORM_LASTS_S)
        return answer

    async def _half(self, request: Request) -> SecondHalf:
        return await self._by_stranger(request, signin.second_half, token=self._held(request, HALF))

    async def _begin_again(self, request: Request, error: SorgError) -> Response:
        answer = await self._show(request, pages.sign_in, status=401, said=error.sentence)
        self._drop(answer, HALF, path=f"{HERE}/code")
        return answer

    # The slip -------------------------------------------------------------------------------------------------

    async def ask_slip(self, request: Request) -> Response:
        return await self._show(request, pages.slip)

    @paced
    async def take_slip(self, request: Request) -> Response:
        form = await self._form(request) or {}
        if no := await self._not_now(request):
            return no
        if not self._is_ours(request, form):
            return await self._show(request, pages.slip, status=403, said=pages.OPEN_TOO_LONG)
        typed = form.get("slip", "")[:60]
        try:
            await self._by_stranger(request, activation.look_at, slip=typed)
        except Refused as error:
            return await self._no_slip(request, error)
        answer = _onward(f"{HERE}/activate/password")
        self._keep(answer, SLIP, typed.encode().hex(), path=f"{HERE}/activate", seconds=SLIP_LASTS_S)
        return answer

    async def ask_new_password(self, request: Request) -> Response:
        try:
            return await self._show(request, pages.password, view=await self._slip_view(request))
        except Refused as error:
            return await self._no_slip(request, error)

    @paced
    async def take_new_password(self, request: Request) -> Response:
        form = await self._form(request) or {}
        if no := await self._not_now(request):
            return no
        try:
            view = await self._slip_view(request)
        except Refused as error:
            return await self._no_slip(request, error)
        said, status = "", 400
        if not self._is_ours(request, form):
            said, status = pages.OPEN_TOO_LONG, 403
        elif view.asks == "set" and form.get("password", "") != form.get("again", ""):
            said = pages.TWO_PASSWORDS
        if said:
            return await self._show(request, pages.password, status=status, view=view, said=said)
        try:
            fresh = await self._slowly(
                request, activation.begin, slip=self._slip(request), password=form.get("password", "")
            )
        except Away:
            return await self._show(request, pages.password, status=503, view=view, said=pages.DIRECTORY_AWAY)
        except Denied as error:
            return await self._no_slip(request, error)
        except Refused as error:
            said = " ".join(p.sentence for p in error.problems) or error.sentence
            status = 401 if isinstance(error, WrongAnswer) else 400
            return await self._show(request, pages.password, status=status, view=view, said=said)
        if isinstance(fresh, activation.Chosen):
            answer = _onward(f"{HERE}/activate/app")
            self._keep(answer, CHOSEN, fresh.box, path=f"{HERE}/activate", seconds=SLIP_LASTS_S)
            return answer
        return await self._show(request, pages.app, fresh=fresh, box=self._seal(request, fresh))

    async def ask_app(self, request: Request) -> Response:
        """The app that is there already is asked for its code; a new one begins with the password."""
        try:
            view = await self._slip_view(request)
        except Refused as error:
            return await self._no_slip(request, error)
        if not view.has_factor:
            return _onward(f"{HERE}/activate/password")
        return await self._show(request, pages.app, fresh=None)

    @paced
    async def take_app(self, request: Request) -> Response:
        form = await self._form(request) or {}
        if no := await self._not_now(request):
            return no
        try:
            view = await self._slip_view(request)
        except Refused as error:
            return await self._no_slip(request, error)
        box = form.get("box", "")
        fresh = self._unseal(request, box)
        if fresh is None and not view.has_factor:
            return _onward(f"{HERE}/activate/password")
        if not self._is_ours(request, form):
            return await self._show(
                request, pages.app, status=403, fresh=fresh, box=box, said=pages.OPEN_TOO_LONG
            )
        try:
            codes = await self._by_stranger(
                request, activation.finish, slip=self._slip(request), code=form.get("code", "")[:12],
                box=request.cookies.get(self.prefix + CHOSEN, "")[:1000],
            )  # fmt: skip
        except Away:
            return await self._show(
                request, pages.app, status=503, fresh=fresh, box=box, said=pages.DIRECTORY_AWAY
            )
        except WrongAnswer as error:
            return await self._show(request, pages.app, status=401, fresh=fresh, box=box, said=error.sentence)
        except Refused as error:
            return await self._no_slip(request, error)
        answer = await self._show(request, pages.ready, view=view, codes=codes)
        self._drop(answer, SLIP, path=f"{HERE}/activate")
        self._drop(answer, CHOSEN, path=f"{HERE}/activate")
        return answer

    def _slip(self, request: Request) -> str:
        # In a cookie of its own and in no address, so that neither a log nor a browser's history holds it.
        try:
            return bytes.fromhex(request.cookies.get(self.prefix + SLIP, "")[:500]).decode()
        except ValueError:
            return ""

    async def _slip_view(self, request: Request) -> SlipView:
        if not self._slip(request):
            raise Denied(pages.SLIP_OVER)
        return await self._by_stranger(request, activation.look_at, slip=self._slip(request))

    async def _no_slip(self, request: Request, error: SorgError) -> Response:
        answer = await self._show(request, pages.slip, status=401, said=error.sentence)
        self._drop(answer, SLIP, path=f"{HERE}/activate")
        return answer

    def _seal(self, request: Request, fresh: NewTotp) -> str:
        """The new secret for the form's hidden field: after a mistyped code the phone keeps the one it has."""
        nonce = self.house.dice(12)
        text = json.dumps([fresh.login, fresh.secret, fresh.otpauth]).encode()
        return (nonce + AESGCM(self.house.keys["secrets"]).encrypt(nonce, text, self._about(request))).hex()

    def _unseal(self, request: Request, box: str) -> NewTotp | None:
        try:
            raw = bytes.fromhex(box)
            text = AESGCM(self.house.keys["secrets"]).decrypt(raw[:12], raw[12:], self._about(request))
        except (ValueError, InvalidTag):
            return None
        return NewTotp(*json.loads(text))

    def _about(self, request: Request) -> bytes:
        return f"new app at the gateway|{self._slip(request)}".encode()

    # One's own studies. Every request asks the database again: nothing about a permission is remembered here ------

    async def studies(self, request: Request) -> Response:
        page = request.query_params.get("page", "1")
        return await self.desk.in_thread(self._studies, request, "", page)

    async def search(self, request: Request) -> Response:
        form = await self._form(request) or {}
        if not self._is_ours(request, form):
            return _onward(f"{HERE}/studies")
        return await self.desk.in_thread(
            self._studies, request, form.get("search", ""), form.get("page", "1")
        )

    def _studies(self, request: Request, search: str, page: str) -> Response:
        actor = self._who(request)
        if actor is None:
            return self._out(request)
        number = int(page[:6]) if page.isascii() and page.isdigit() else 1
        mine: OwnStudies = self.desk.ask(own_studies.my_studies, search=search, page=number, by=actor)
        return self._draw(request, pages.studies, mine=mine, name=actor.name, search=search,
                          is_referrer=Role.REFERRER in actor.roles)  # fmt: skip

    async def to_view(self, request: Request) -> Response:
        return _onward(f"{HERE}/studies/{request.path_params['id']}/view/")

    async def view(self, request: Request) -> Response:
        """The viewer's page, which holds nothing of anybody: what it asks for is checked where it asks."""
        if await self.desk.in_thread(self._who, request) is None:
            return await self.desk.in_thread(self._out, request)
        return await self._viewer.serve_page(request)

    async def manifest(self, request: Request) -> Response:
        return await self.desk.in_thread(self._with_account, request, self._manifest)

    def _manifest(self, request: Request, actor: Actor) -> Response:
        study: OpenedStudy = self.desk.ask(own_studies.open_own_study, _id(request), by=actor)
        holder = "referrer" if study.is_referrer else "patient"
        return JSONResponse(manifest_of(study.images, self.desk.front_door(request), signed_at=study.signed_at,
                                        signed_by=study.signed_by, text=study.text, holder=holder))  # fmt: skip

    async def image(self, request: Request) -> Response:
        return await self.desk.in_thread(self._with_account, request, self._image)

    def _image(self, request: Request, actor: Actor) -> Response:
        image: UUID = request.path_params["image"]
        return self.desk.send_image(self.desk.ask(own_studies.own_image, _id(request), image, by=actor))

    async def report(self, request: Request) -> Response:
        return await self.desk.in_thread(self._with_account, request, self._report)

    def _report(self, request: Request, actor: Actor) -> Response:
        pdf: bytes | None = self.desk.ask(own_studies.own_report_pdf, _id(request), by=actor)
        if pdf is None:
            return self._say(request, pages.NOT_PRINTED_YET, 503, {"retry-after": "30"})
        named = {"content-disposition": 'inline; filename="report.pdf"'}
        return Response(pdf, media_type="application/pdf", headers=named)

    def _with_account(self, request: Request, go_on: Callable[[Request, Actor], Response]) -> Response:
        actor = self._who(request)
        if actor is None:
            return self._out(request) if _is_read(request) else sentence(SIGNED_OUT, 401)
        try:
            return go_on(request, actor)
        except Missing:
            return self._say(request, pages.NOT_HERE, 404)
        except Refused as refused:
            return self._say(request, refused.sentence, 403)

    def _say(
        self, request: Request, said: str, status: int, headers: dict[str, str] | None = None
    ) -> Response:
        """To the viewer in JSON; on a page where a person stands before it."""
        if not _is_read(request):
            return sentence(said, status, headers)
        return pages.answer(pages.not_here(said, self.desk.front_door(request)), status, headers)

    # The way out ----------------------------------------------------------------------------------------------

    async def leave(self, request: Request) -> Response:
        form = await self._form(request) or {}
        if not self._is_ours(request, form):
            return _onward(f"{HERE}/studies")
        await self._by_stranger(request, sessions.sign_out, token=self._held(request, SESSION))
        answer = _onward(f"{HERE}/signed-out")
        self._drop(answer, SESSION)
        self._drop(answer, FORM)
        return answer

    async def signed_out(self, request: Request) -> Response:
        return await self._show(request, pages.signed_out)

    def _out(self, request: Request) -> Response:
        """A session that is over says so; whoever never had one is asked to sign in."""
        if not self._held(request, SESSION):
            return _onward(HERE)
        minutes = int(self.house.rules["session_idle"].total_seconds() // 60)
        answer = self._draw(request, pages.signed_out, status=401, minutes=minutes)
        self._drop(answer, SESSION)
        return answer

    # How ------------------------------------------------------------------------------------------------------

    def _who(self, request: Request) -> Actor | None:
        """Whose session this is, asked of the database each time, and of the directory now and then."""
        token = self._held(request, SESSION)
        if not token:
            return None
        actor = self._actor(request, token)
        if actor is None or actor.session is None:
            return None
        now, by = self.house.clock(), self.desk.stranger(request)
        if self.house.ports.directory is not None and (
            actor.bounds.reduced or self._rechecked.is_due(actor.session, now)
        ):
            self.desk.ask(sessions.recheck, token=token, by=by)
            actor = self._actor(request, token)
        if actor is not None and actor.session is not None and self._touched.is_due(actor.session, now):
            self.desk.ask(sessions.keep_awake, token=token, by=by)
        return actor

    def _actor(self, request: Request, token: str) -> Actor | None:
        by = self.desk.stranger(request)
        return self.desk.ask(sessions.actor_of, token=token, channel=GATEWAY, address=by.address, by=by)

    async def _by_stranger(self, request: Request, verb: Callable[..., Any], **how: Any) -> Any:
        by = self.desk.stranger(request)
        return await self.desk.in_thread(lambda: self.desk.ask(verb, by=by, **how))

    async def _slowly(self, request: Request, verb: Callable[..., Any], **how: Any) -> Any:
        if self._few is None:
            self._few = anyio.CapacityLimiter(AT_ONCE)
        async with self._few:
            return await self._by_stranger(request, verb, **how)

    async def _not_now(self, request: Request) -> Response | None:
        """The page of a door that is knocked at too fast."""
        if self.by_address.take(address(request)) and self.by_all.take("all"):
            return None
        front = await self.desk.in_thread(self.desk.front_door, request)
        return pages.answer(pages.busy(front), 429, {"retry-after": "60"})

    async def _form(self, request: Request) -> dict[str, str] | None:
        body = await small_body(request)
        return None if body is None else fields_of(body)

    def _is_ours(self, request: Request, form: dict[str, str]) -> bool:
        kept, sent = self._held(request, FORM), form.get("form", "")
        fits = len(kept) >= 32 and hmac.compare_digest(kept.encode(), sent.encode())
        return fits and from_our_own_page(request.headers, self.desk.own_host)

    async def _show(self, request: Request, draw: Callable[..., str], **what: Any) -> Response:
        return await self.desk.in_thread(lambda: self._draw(request, draw, **what))

    def _draw(
        self, request: Request, draw: Callable[..., str], *, status: int = 200, **what: Any
    ) -> Response:
        # The same secret for every tab of this browser, so that an older tab's form still works.
        form = self._held(request, FORM)
        if len(form) != 32 or not form.isascii():
            form = secrets.token_urlsafe(24)
        answer = pages.answer(draw(self.desk.front_door(request), form=form, **what), status)
        self._keep(answer, FORM, form, seconds=FORM_LASTS_S)
        return answer

    def _held(self, request: Request, name: str) -> str:
        return cookie(request, self.prefix + name)

    def _keep(
        self, answer: Response, name: str, value: str, *, path: str = HERE, seconds: int | None = None
    ) -> None:
        answer.set_cookie(self.prefix + name, value, max_age=seconds, path=path, httponly=True, samesite="strict",
                          secure=self.desk.https)  # fmt: skip

    def _drop(self, answer: Response, name: str, *, path: str = HERE) -> None:
        answer.delete_cookie(self.prefix + name, path=path, httponly=True, samesite="strict",
                             secure=self.desk.https)  # fmt: skip


class Rounds:
    """What is to be done once in a while for each session, the first time at once. The oldest are forgotten."""

    def __init__(self, every: timedelta, *, most: int = 5000) -> None:
        self._every, self._most = every, most
        self._last: OrderedDict[UUID, datetime] = OrderedDict()
        self._lock = threading.Lock()

    def is_due(self, session: UUID, now: datetime) -> bool:
        with self._lock:
            if now - self._last.get(session, now - self._every) < self._every:
                return False
            self._last[session] = now
            self._last.move_to_end(session)
            while len(self._last) > self._most:
                self._last.popitem(last=False)
            return True


def _onward(where: str) -> Response:
    return RedirectResponse(where, 303)


def _id(request: Request) -> UUID:
    return request.path_params["id"]


def _is_read(request: Request) -> bool:
    """True when a person's browser opens this address itself, rather than the viewer in it."""
    return request.headers.get("sec-fetch-dest", "") == "document"
