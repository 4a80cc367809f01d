"""The door for accounts of patients and referring doctors: a password, a second factor, their own signed studies.

GET, POST /account                          name and password
GET, POST /account/code                     a key, the code of the app, or a recovery code (doors.second_half)
GET, POST /account/activate[/password|/app] a slip: one's own password, one's own app, ten recovery codes (doors.slip)
GET, POST /account/studies                  the list (POST: a search, so that no name stands in an address)
GET  /account/studies/{id}/view/            the viewer's page; it asks the three below
GET  /account/studies/{id}/manifest
GET  /account/studies/{id}/instances/{id}/file
GET  /account/studies/{id}/report.pdf
GET, POST /account/me[/...]                 one's own account: me.py
POST /account/out                           sign out, on to /account/signed-out

Nothing here is shared with links but the house: other cookies, other limits, and verbs that refuse a link
(docs/decisions/087-accounts-at-the-gateway.md).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from uuid import UUID

import anyio
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from core import own_studies, sessions, signin
from core.errors import Missing, Refused
from core.own_studies import OpenedStudy, OwnStudies
from core.rules.roles import Role
from core.sessions import GATEWAY
from core.store.work import Actor
from doors import keys
from doors.manners import paced
from doors.presence import Presence
from doors.second_half import SecondHalfDesk
from doors.slip import SlipDesk, SlipPages
from gateway import account_page as pages
from gateway.account_frame import SCRIPT_AT
from gateway.desk import Desk, manifest_of
from gateway.forms import address, sentence
from gateway.manners import HERE, STUDIES, AccountManners
from gateway.me import OwnAccount
from gateway.me_page import ME
from gateway.viewer_files import ViewerFiles

SLIP, CHOSEN = "sorg_account_slip", "sorg_account_chosen"  # the second holds a new password, sealed
AT_ONCE = 4  # passwords checked at the same time: argon2 takes 19 MB and a core for each
SIGNED_OUT = "You are signed out. Sign in again to go on looking."
_FILES = ("/manifest", "/file", "/report.pdf", ".js")
_SLIP_PAGES = SlipPages(
    pages.slip, pages.password, pages.app, pages.known_app, pages.ready, over=pages.SLIP_OVER, two=pages.TWO_PASSWORDS,
    away=pages.DIRECTORY_AWAY,
)  # fmt: skip


def is_account_page(path: str) -> bool:
    """True for what a person reads, false for what the viewer fetches."""
    return (path == HERE or path.startswith(f"{HERE}/")) and not path.endswith(_FILES)


class Accounts:
    """The routes of accounts. desk: what both doors stand on."""

    def __init__(self, desk: Desk, *, clock: Callable[[], float]) -> None:
        self.desk, self.house = desk, desk.house
        self.manners = AccountManners(desk, clock=clock)
        self._viewer = ViewerFiles()
        self._presence = Presence(desk.house, channel=GATEWAY)
        self._few = anyio.CapacityLimiter(AT_ONCE)

    def routes(self) -> list[Route]:
        prefix = self.manners.prefix
        slip = SlipDesk(
            self.manners,
            _SLIP_PAGES,
            at=f"{HERE}/activate",
            slip_cookie=prefix + SLIP,
            chosen_cookie=prefix + CHOSEN,
        )
        second = SecondHalfDesk(
            self.manners,
            at=f"{HERE}/code",
            key_at=f"{HERE}/code/key",
            begin=HERE,
            begin_again=self._sign_in_page,
            code=pages.code,
            recovery=pages.recovery,
        )
        calmly = self.manners.calmly
        return [
            *calmly(
                Route(HERE, self.ask_password, methods=["GET"]),
                Route(HERE, self.take_password, methods=["POST"]),
                *second.routes(),
                Route(f"{HERE}/out", self.leave, methods=["POST"]),
                back=HERE,
            ),
            Route(f"{HERE}/", lambda request: RedirectResponse(HERE, 308)),
            *calmly(*slip.routes(), back=f"{HERE}/activate"),
            Route(STUDIES, self.studies, methods=["GET"]),
            Route(STUDIES, self.search, methods=["POST"]),
            Route(f"{STUDIES}/{{id:uuid}}", self.to_view),
            Route(f"{STUDIES}/{{id:uuid}}/view", self.to_view),
            Route(f"{STUDIES}/{{id:uuid}}/view/", self.view),
            Route(f"{STUDIES}/{{id:uuid}}/manifest", self.manifest),
            Route(f"{STUDIES}/{{id:uuid}}/instances/{{image:uuid}}/file", self.image),
            Route(f"{STUDIES}/{{id:uuid}}/report.pdf", self.report),
            *(
                Route(one.path, self._inside(one.endpoint), methods=list(one.methods or ()))
                for one in calmly(*OwnAccount(self.manners).routes(), back=ME)
            ),
            Route(SCRIPT_AT, self.script),
            Route(f"{HERE}/signed-out", self.signed_out),
        ]

    # The password ---------------------------------------------------------------------------------------------

    async def ask_password(self, request: Request) -> Response:
        if await self.desk.in_thread(self._who, request):
            return self.manners.onward(STUDIES)
        return await self.manners.show(request, pages.sign_in)

    @paced
    async def take_password(self, request: Request) -> Response:
        form = await self.manners.form(request)
        login = form.get("login", "")[:64]
        if not self.manners.is_ours(request, form):
            return await self._sign_in_page(request, said=(pages.OPEN_TOO_LONG,), status=403, login=login)
        try:
            async with self._few:
                token = await self.manners.stranger(
                    request, signin.check_password, login=login, password=form.get("password", "")
                )
        except Refused as error:
            return await self._sign_in_page(request, said=(error.sentence,), login=login)
        return self.manners.keep_half(self.manners.onward(f"{HERE}/code"), token)

    async def _sign_in_page(
        self, request: Request, *, said: tuple[str, ...], next: str = "", login: str = "", status: int = 401
    ) -> Response:
        return await self.manners.show(request, pages.sign_in, status=status, login=login, said=said)

    async def script(self, request: Request) -> Response:
        return Response(keys.SCRIPT, media_type="text/javascript", headers={"cache-control": "max-age=3600"})

    # One's own studies. Every request asks the database again: nothing about a permission is remembered here ------

    async def studies(self, request: Request) -> Response:
        page = request.query_params.get("page", "1")
        return await self.desk.in_thread(self._studies, request, "", page)

    @paced
    async def search(self, request: Request) -> Response:
        form = await self.manners.form(request)
        if not self.manners.is_ours(request, form):
            return self.manners.onward(STUDIES)
        return await self.desk.in_thread(
            self._studies, request, form.get("search", ""), form.get("page", "1")
        )

    def _studies(self, request: Request, search: str, page: str) -> Response:
        actor = self._who(request)
        if actor is None:
            return self._out(request)
        number = int(page[:6]) if page.isascii() and page.isdigit() else 1
        mine: OwnStudies = self.desk.ask(own_studies.my_studies, search=search, page=number, by=actor)
        return self.manners.drawn(
            request,
            pages.studies,
            mine=mine,
            name=actor.name,
            search=search,
            is_referrer=Role.REFERRER in actor.roles,
        )

    async def to_view(self, request: Request) -> Response:
        return self.manners.onward(f"{STUDIES}/{request.path_params['id']}/view/")

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
        return JSONResponse(
            manifest_of(
                study.images,
                self.desk.front_door(request),
                signed_at=study.signed_at,
                signed_by=study.signed_by,
                text=study.text,
                holder=holder,
            )
        )

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

    @paced
    async def leave(self, request: Request) -> Response:
        form = await self.manners.form(request)
        if not self.manners.is_ours(request, form):
            return self.manners.onward(STUDIES)
        await self.manners.end_former(request)
        answer = self.manners.onward(f"{HERE}/signed-out")
        self.manners.drop(answer, self.manners.cookies.session)
        self.manners.drop(answer, self.manners.cookies.form)
        return answer

    async def signed_out(self, request: Request) -> Response:
        return await self.manners.show(request, pages.signed_out)

    def _out(self, request: Request) -> Response:
        """A session that is over says so, and why; whoever never had one is asked to sign in."""
        token = self.manners.token(request)
        if not token:
            return self.manners.onward(HERE)
        minutes = int(self.house.rules["session_idle"].total_seconds() // 60)
        over = self.desk.ask(sessions.why_over, token=token, by=self.desk.stranger(request))
        answer = self.manners.drawn(request, pages.signed_out, status=401, minutes=minutes, over=over)
        self.manners.drop(answer, self.manners.cookies.session)
        return answer

    # How ------------------------------------------------------------------------------------------------------

    def _inside(
        self, endpoint: Callable[[Request], Awaitable[Response]]
    ) -> Callable[[Request], Awaitable[Response]]:
        """The page, for whoever is signed in; everybody else hears that they are not."""

        async def only_inside(request: Request) -> Response:
            actor = await self.desk.in_thread(self._who, request)
            if actor is not None:
                request.scope["actor"] = actor
                return await endpoint(request)
            if "json" in request.headers.get("content-type", ""):
                return self.manners.no(SIGNED_OUT, go=HERE)
            return await self.desk.in_thread(self._out, request)

        return only_inside

    def _who(self, request: Request) -> Actor | None:
        """Whose session this is, asked of the database each time, and of the directory now and then."""
        token = self.manners.token(request)
        actor = self._presence.who(token, address=address(request))
        if actor is not None:
            self._presence.keep_awake(actor, token)
        return actor


def _id(request: Request) -> UUID:
    return request.path_params["id"]


def _is_read(request: Request) -> bool:
    """True when a person's browser opens this address itself, rather than the viewer in it."""
    return request.headers.get("sec-fetch-dest", "") == "document"
