"""A sign-in slip, step by step: its code, one's own password, one's own app, and recovery codes that are shown once.

The slip's code travels in a cookie of its own and in no address, so that neither a log nor a browser's history holds
it. The secret of the new app is shown again after a mistyped code, sealed in the form: making another one each time
would leave the phone with codes that are never right.
"""

from __future__ import annotations

import json

import anyio
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from console.door import Door
from console.signin import page
from console.signin.forms import FORM_AGAIN, Counter, paced, with_next
from core import activation
from core.activation import Chosen, SlipView
from core.errors import Away, Denied, SorgError, WrongAnswer
from core.factors import NewTotp
from core.rules.passwords import LONGEST, SHORTEST

SLIP_COOKIE, CHOSEN_COOKIE = "sorg-slip", "sorg-slip-chosen"  # the second holds a sealed new password
_PATH, _PASSWORD, _APP = "/activate", "/activate/password", "/activate/app"
_LASTS_S = 15 * 60
_AT_ONCE = 4
_OVER = "That took longer than fifteen minutes. Type the code of your slip once more: it is still good."
_TWO = "The two passwords are not the same. Type both again."
DIRECTORY_AWAY = "The practice's directory does not answer now, so your password cannot be set or checked. Your slip stays good: try again later."


def activation_routes(door: Door) -> list[Route]:
    """The slip's pages of this door."""
    desk = Activate(door)
    return [
        Route(_PATH, desk.ask_slip, methods=["GET"]),
        Route(_PATH, desk.take_slip, methods=["POST"]),
        Route(_PASSWORD, desk.ask_password, methods=["GET"]),
        Route(_PASSWORD, desk.take_password, methods=["POST"]),
        Route(_APP, desk.ask_app, methods=["GET"]),
        Route(_APP, desk.take_code, methods=["POST"]),
    ]


class Activate(Counter):
    """Three steps: slip, password, app."""

    def __init__(self, door: Door) -> None:
        super().__init__(door)
        self._few = anyio.CapacityLimiter(_AT_ONCE)

    async def ask_slip(self, request: Request) -> Response:
        return self.show(request, slip_page)

    @paced
    async def take_slip(self, request: Request) -> Response:
        form = await self.form(request)
        if not self.is_ours(request, form):
            return self.show(request, slip_page, said=FORM_AGAIN, status=403)
        slip = form.get("slip", "")[:60]
        try:
            await self.stranger(request, activation.look_at, slip=slip)
        except SorgError as error:
            return self._no_slip(request, error)
        answer = self.onward(_PASSWORD)
        self.keep(answer, SLIP_COOKIE, slip.encode().hex(), path=_PATH, max_age=_LASTS_S)
        return answer

    async def ask_password(self, request: Request) -> Response:
        try:
            view = await self._view(request)
        except SorgError as error:
            return self._no_slip(request, error)
        return self.show(request, password_page, view=view)

    @paced
    async def take_password(self, request: Request) -> Response:
        form = await self.form(request)
        ours = self.is_ours(request, form)
        try:
            view = await self._view(request)
        except SorgError as error:
            return self._no_slip(request, error, status=401 if ours else 403)
        if not ours:
            return self.show(request, password_page, view=view, said=(FORM_AGAIN,), status=403)
        password = form.get("password", "")
        if view.asks == "set" and password != form.get("again", ""):
            return self.show(request, password_page, view=view, said=(_TWO,), status=400)
        try:
            async with self._few:
                fresh = await self.stranger(
                    request, activation.begin, slip=self._slip(request), password=password
                )
        except Away:
            return self.show(request, password_page, view=view, said=(DIRECTORY_AWAY,), status=503)
        except Denied as error:
            return self._no_slip(request, error)
        except SorgError as error:
            told = tuple(p.sentence for p in error.problems) or (error.sentence,)
            return self.show(request, password_page, view=view, said=told,
                             status=401 if isinstance(error, WrongAnswer) else 400)  # fmt: skip
        if isinstance(fresh, Chosen):
            answer = self.onward(_APP)
            self.keep(answer, CHOSEN_COOKIE, fresh.box, path=_PATH, max_age=_LASTS_S)
            return answer
        return self.show(request, app_page, fresh=fresh, box=self._box(request, fresh))

    async def ask_app(self, request: Request) -> Response:
        """The app that is there already is asked for its code; a new one begins with the password."""
        try:
            view = await self._view(request)
        except SorgError as error:
            return self._no_slip(request, error)
        if not view.has_factor:
            return self.onward(_PASSWORD)
        return self.show(request, known_app_page, view=view)

    @paced
    async def take_code(self, request: Request) -> Response:
        form = await self.form(request)
        ours = self.is_ours(request, form)
        try:
            view = await self._view(request)
        except SorgError as error:
            return self._no_slip(request, error, status=401 if ours else 403)
        fresh = self._open(request, form.get("box", ""))
        if fresh is None and not view.has_factor:
            return self.onward(_PASSWORD)
        what = {"view": view} if fresh is None else {"fresh": fresh, "box": form.get("box", "")}
        draw = known_app_page if fresh is None else app_page
        if not ours:
            return self.show(request, draw, said=FORM_AGAIN, status=403, **what)
        try:
            codes = await self.stranger(
                request, activation.finish, slip=self._slip(request), code=form.get("code", "")[:12],
                box=request.cookies.get(CHOSEN_COOKIE, "")[:1000],
            )  # fmt: skip
        except Away:
            return self.show(request, draw, said=DIRECTORY_AWAY, status=503, **what)
        except WrongAnswer as error:
            if error.sentence == activation.NO_SLIP:
                return self._no_slip(request, error)
            return self.show(request, draw, said=error.sentence, status=401, **what)
        except SorgError as error:
            return self._no_slip(request, error)
        offers_key = view.is_admin and not self.why_no_keys(request)
        answer = self.show(request, done_page, codes=codes, view=view, offers_key=offers_key)
        self.drop(answer, SLIP_COOKIE, path=_PATH)
        self.drop(answer, CHOSEN_COOKIE, path=_PATH)
        return answer

    # How ------------------------------------------------------------------------------------------------------

    def _slip(self, request: Request) -> str:
        try:
            return bytes.fromhex(request.cookies.get(SLIP_COOKIE, "")[:500]).decode()
        except ValueError:
            return ""

    async def _view(self, request: Request) -> SlipView:
        """Whose slip the browser holds. Raises Denied when it holds none any more."""
        slip = self._slip(request)
        if not slip:
            raise Denied(_OVER)
        return await self.stranger(request, activation.look_at, slip=slip)

    def _no_slip(self, request: Request, error: SorgError, *, status: int = 401) -> Response:
        answer = self.show(request, slip_page, said=error.sentence, status=status)
        self.drop(answer, SLIP_COOKIE, path=_PATH)
        return answer

    def _box(self, request: Request, fresh: NewTotp) -> str:
        return self.seal(json.dumps([fresh.login, fresh.secret, fresh.otpauth]), about=self._about(request))

    def _open(self, request: Request, box: str) -> NewTotp | None:
        inside = self.unseal(box, about=self._about(request))
        return NewTotp(*json.loads(inside)) if inside else None

    def _about(self, request: Request) -> str:
        return f"new app by slip|{self._slip(request)}"


# The pages ------------------------------------------------------------------------------------------------------


def slip_page(*, token: str, said: str = "") -> str:
    """The code of the slip."""
    field = page.slip_field(name="slip", label="Code of your slip",
                            help="As it is printed. Capitals, blanks and hyphens do not matter.")  # fmt: skip
    return page.frame(
        "Use your sign-in slip",
        page.lead("With it you choose your own password and set up your phone. Have the phone at hand; it takes three minutes."),
        page.message(said), page.form("/activate", field, button="Continue", token=token),
        page.link("/login", "I have no slip: sign in"),
    )  # fmt: skip


def password_page(*, token: str, view: SlipView, said: tuple[str, ...] = ()) -> str:
    """Choose a password, or prove the one there is."""
    name = page.known_name(view.login)
    if view.asks == "set":
        intro = f"Welcome, {view.name}. You will sign in as {view.login}."
        help = f"At least {SHORTEST} characters. A few words that only you put together are best. Nobody else ever sees it."
        fields = (page.new_password("password", "Your new password", help=help, focus=True, shortest=SHORTEST, longest=LONGEST),
                  page.new_password("again", "The same once more", shortest=SHORTEST, longest=LONGEST))  # fmt: skip
        title = "Step 1 of 2: your password"
    elif view.asks == "nothing":
        intro = f"{view.name}, this slip sets up your phone. Your password stays the one of the practice's single sign-on."
        fields, title = (), "Step 1 of 2: your account"
    else:
        intro = f"{view.name}, this slip sets up your phone. First show that it is you: with the password you use in the practice."
        fields = (page.known_password(),)
        title = "Step 1 of 2: your password"
    return page.frame(
        title, page.lead(intro), page.message(*said), page.form(_PASSWORD, name, *fields, button="Continue", token=token),
        page.link("/activate", "This is not me, or I have another slip"),
    )  # fmt: skip


def app_page(*, token: str, fresh: NewTotp, box: str, said: str = "") -> str:
    """A new authenticator app: scan, then type its code."""
    return page.frame(
        "Step 2 of 2: your phone", page.app_steps(fresh), page.message(said),
        page.form(_APP, page.code_field(label="Code in the app now", help="Six digits that change every half minute."),
                  button="Finish", token=token, box=box),
        page.link("/activate/password", "Begin this step again"),
    )  # fmt: skip


def known_app_page(*, token: str, view: SlipView, said: str = "") -> str:
    """The app that is there already proves that the slip is in the right hands."""
    return page.frame(
        "Step 2 of 2: your phone", page.lead("Show that it is you, with the authenticator app you have."), page.message(said),
        page.form(_APP, page.code_field(), button="Finish", token=token),
        '<p class="help">Phone gone? Ask your practice\'s admin for a reset of your second factor.</p>',
    )  # fmt: skip


def done_page(*, token: str, codes: tuple[str, ...], view: SlipView, offers_key: bool = False) -> str:
    """The end: recovery codes once, and the way in; for an admin, first of all to a key."""
    way = page.link("/login", "Sign in", button=True, first=True)
    if offers_key:
        way = (
            '<p class="help">You approve changes here. With a key that is one touch, and nobody can talk you out of a code.</p>'
            + page.link(with_next("/login", "/account/keys/new"), "Sign in and add a key now", button=True, first=True)
            + page.link("/login", "Later: only sign in")
        )  # fmt: skip
    if not codes:
        return page.frame("Your new password is set", page.lead(f"Sign in as {view.login}."), way)
    return page.frame(
        "Keep these ten codes", page.lead(page.WRITE_DOWN), page.recovery_list(codes), page.ONLY_PAPER,
        f'<p class="help">Then sign in as <strong>{page.escape(view.login)}</strong>. Wait until your app shows its next code.</p>',
        way, wide=True,
    )  # fmt: skip
