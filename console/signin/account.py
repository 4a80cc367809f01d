"""One's own password and second factors while signed in: a new password, keys, a new app, new recovery codes.

Plain pages rather than Streamlit's, since a secret that is shown once does not belong into a page that is kept and
drawn again. Each change uses up one fresh confirmation ("factors"), which /stepup asks for and comes back from.
"""

from __future__ import annotations

import json
from uuid import UUID

import anyio
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from console.door import Door
from console.signin import page
from console.signin.forms import FORM_AGAIN, Counter, paced, with_next
from core import activation, factors, sessions
from core.errors import Away, Refused, SorgError, WrongAnswer
from core.factors import Factors, KeyCard, NewTotp
from core.rules.passwords import LONGEST, SHORTEST
from core.rules.za_time import local_day

HOME = "/my_account"
_KEYS, _NEW, _REMOVE = "/account/keys", "/account/keys/new", "/account/keys/remove"
_APP, _RECOVERY = "/account/app", "/account/recovery"
_PASSWORD, _SESSIONS = "/account/password", "/account/sessions/end"
_CONFIRM = "/stepup?for=factors"
_DONE = {
    "added": "Your key is set up. From now on it can take the place of a code.",
    "removed": "The key is taken away: it opens nothing any more.",
    "ended": "Every other window that you were signed in at is signed out.",
}
_TWO = "The two new passwords are not the same. Type both again."
_AWAY = "The practice's directory does not answer now, so nothing was changed. Try again later."
_AT_ONCE = 2  # argon2 takes a core and 19 MB for each


def account_routes(door: Door) -> list[Route]:
    """One's own factors at this door."""
    desk = Account(door)
    return [
        Route(_KEYS, desk.keys, methods=["GET"]),
        Route(_NEW, desk.new_key, methods=["GET"]),
        Route(f"{_KEYS}/options", desk.key_options, methods=["POST"]),
        Route(_KEYS, desk.take_key, methods=["POST"]),
        Route(_REMOVE, desk.ask_remove, methods=["GET"]),
        Route(_REMOVE, desk.remove, methods=["POST"]),
        Route(_APP, desk.ask_app, methods=["GET"]),
        Route(_APP, desk.take_app, methods=["POST"]),
        Route(_RECOVERY, desk.ask_recovery, methods=["GET"]),
        Route(_RECOVERY, desk.take_recovery, methods=["POST"]),
        Route(_PASSWORD, desk.ask_password, methods=["GET"]),
        Route(_PASSWORD, desk.take_password, methods=["POST"]),
        Route(_SESSIONS, desk.end_sessions, methods=["POST"]),
    ]


class Account(Counter):
    """Keys, app, recovery codes and password of whoever is signed in."""

    def __init__(self, door: Door) -> None:
        super().__init__(door)
        self._few = anyio.CapacityLimiter(_AT_ONCE)

    # Keys -----------------------------------------------------------------------------------------------------

    async def keys(self, request: Request) -> Response:
        return await self._keys_page(request, done=_DONE.get(request.query_params.get("done", ""), ""))

    async def _keys_page(
        self, request: Request, *, done: str = "", said: str = "", status: int = 200
    ) -> Response:
        mine = await self.staff(request, factors.mine)
        elsewhere = len(await self.staff(request, sessions.my_sessions)) - 1 if done or said else 0
        return self.show(request, keys_page, mine=mine, done=done, said=said, elsewhere=elsewhere, status=status,
                         why_no_keys=self.why_no_keys(request))  # fmt: skip

    async def new_key(self, request: Request) -> Response:
        if self.why_no_keys(request):
            return self.onward(_KEYS)
        if not await self._is_proved(request):
            return self.onward(with_next(_CONFIRM, _NEW))
        return self.show(request, new_key_page)

    @paced
    async def key_options(self, request: Request) -> Response:
        await self.said(request)
        return await self._of_key(request, factors.begin_key, self.options)

    @paced
    async def take_key(self, request: Request) -> Response:
        said = await self.said(request)
        answer = await self._of_key(
            request, factors.finish_key, lambda _: self.go(f"{_KEYS}?done=added"),
            answer=said.get("answer"), name=str(said.get("name", ""))[:60],
        )  # fmt: skip
        if answer.status_code < 400:
            # The key was touched in this session, and may have opened what admins do.
            token = await self.stranger(request, sessions.rotate, token=self.token(request))
            self.keep(answer, self.door.cookie, token)
        return answer

    async def _of_key(self, request: Request, verb, then, **how) -> Response:
        if sentence := self.why_no_keys(request):
            return self.no(sentence, status=400)
        try:
            return then(await self.staff(request, verb, origin=self.origin(request), **how))
        except WrongAnswer as error:
            return self.no(error.sentence, go=with_next(_CONFIRM, _NEW) if error.why == "no proof" else "")
        except SorgError as error:
            return self.no(error.sentence)

    async def ask_remove(self, request: Request) -> Response:
        key = await self._key(request, request.query_params.get("key", ""))
        if key is None:
            return self.onward(_KEYS)
        if not await self._is_proved(request):
            return self.onward(with_next(_CONFIRM, f"{_REMOVE}?key={key.id}"))
        return self.show(request, remove_page, key=key)

    @paced
    async def remove(self, request: Request) -> Response:
        form = await self.form(request)
        key = await self._key(request, form.get("key", ""))
        if key is None:
            return self.onward(_KEYS)
        if not self.is_ours(request, form):
            return self.show(request, remove_page, key=key, said=FORM_AGAIN, status=403)
        try:
            await self.staff(request, factors.remove_key, key.id)
        except WrongAnswer:
            return self.onward(with_next(_CONFIRM, f"{_REMOVE}?key={key.id}"))
        except Refused as error:
            return await self._keys_page(request, said=error.sentence, status=400)
        return self.onward(f"{_KEYS}?done=removed")

    async def _key(self, request: Request, said: str) -> KeyCard | None:
        mine = await self.staff(request, factors.mine)
        return next((key for key in mine.keys if str(key.id) == said), None)

    # The app --------------------------------------------------------------------------------------------------

    async def ask_app(self, request: Request) -> Response:
        if not await self._is_proved(request):
            return self.onward(with_next(_CONFIRM, _APP))
        return self.show(request, begin_app_page)

    @paced
    async def take_app(self, request: Request) -> Response:
        form = await self.form(request)
        fresh = self._open(request, form.get("box", ""))
        if not self.is_ours(request, form):
            return self.show(request, begin_app_page, said=FORM_AGAIN, status=403)
        try:
            if fresh is None:
                fresh = await self.staff(request, factors.begin_totp)
                return self.show(request, app_page, fresh=fresh, box=self._box(request, fresh))
            ended = await self.staff(request, factors.finish_totp, code=form.get("code", "")[:12])
        except WrongAnswer as error:
            if fresh is None:
                return self.onward(with_next(_CONFIRM, _APP))
            return self.show(request, app_page, fresh=fresh, box=form["box"], said=error.sentence, status=401)
        except Refused as error:
            return self.show(request, begin_app_page, said=error.sentence, status=400)
        return self.show(request, app_done_page, ended=ended)

    def _box(self, request: Request, fresh: NewTotp) -> str:
        return self.seal(json.dumps([fresh.login, fresh.secret, fresh.otpauth]), about=self._about(request))

    def _open(self, request: Request, box: str) -> NewTotp | None:
        inside = self.unseal(box, about=self._about(request))
        return NewTotp(*json.loads(inside)) if inside else None

    def _about(self, request: Request) -> str:
        session: UUID | None = request.scope["actor"].session
        return f"new app|{session}"

    # Recovery codes -------------------------------------------------------------------------------------------

    async def ask_recovery(self, request: Request) -> Response:
        if not await self._is_proved(request):
            return self.onward(with_next(_CONFIRM, _RECOVERY))
        mine = await self.staff(request, factors.mine)
        return self.show(request, begin_recovery_page, mine=mine)

    @paced
    async def take_recovery(self, request: Request) -> Response:
        form = await self.form(request)
        if not self.is_ours(request, form):
            mine = await self.staff(request, factors.mine)
            return self.show(request, begin_recovery_page, mine=mine, said=FORM_AGAIN, status=403)
        try:
            codes = await self.staff(request, factors.renew_recovery_codes)
        except WrongAnswer:
            return self.onward(with_next(_CONFIRM, _RECOVERY))
        return self.show(request, codes_page, codes=codes)

    # The password ---------------------------------------------------------------------------------------------

    async def ask_password(self, request: Request) -> Response:
        if sentence := await self.staff(request, activation.who_keeps_my_password):
            return self.show(request, kept_elsewhere_page, said=sentence)
        if not await self._is_proved(request):
            return self.onward(with_next(_CONFIRM, _PASSWORD))
        return self._password_page(request)

    @paced
    async def take_password(self, request: Request) -> Response:
        form = await self.form(request)
        old, new = form.get("password", ""), form.get("new", "")
        if not self.is_ours(request, form):
            return self._password_page(request, FORM_AGAIN, status=403)
        if new != form.get("again", ""):
            return self._password_page(request, _TWO, status=400)
        try:
            async with self._few:
                ended = await self.staff(request, activation.change_password, old=old, new=new)
        except WrongAnswer as error:
            if error.why == "no proof":
                return self.onward(with_next(_CONFIRM, _PASSWORD))
            return self._password_page(request, error.sentence, status=401)
        except Away:
            return self._password_page(request, _AWAY, status=503)
        except SorgError as error:
            told = tuple(p.sentence for p in error.problems) or (error.sentence,)
            if await self._is_proved(request):
                return self._password_page(request, *told, status=400)
            # The directory had the last word, and the confirmation is used up by now.
            return self.show(request, turned_page, said=told, status=400)
        return self.show(request, password_done_page, ended=ended)

    def _password_page(self, request: Request, *said: str, status: int = 200) -> Response:
        return self.show(request, password_page, said=said, status=status)

    # Other sessions -------------------------------------------------------------------------------------------

    @paced
    async def end_sessions(self, request: Request) -> Response:
        form = await self.form(request)
        if not self.is_ours(request, form):
            return await self._keys_page(request, said=FORM_AGAIN, status=403)
        await self.staff(request, sessions.end_my_other_sessions)
        return self.onward(f"{_KEYS}?done=ended")

    async def _is_proved(self, request: Request) -> bool:
        return await self.staff(request, factors.is_proved, purpose="factors")


# The pages ------------------------------------------------------------------------------------------------------

_BACK = page.link(HOME, "Back to my account")


def keys_page(
    *, token: str, mine: Factors, done: str, why_no_keys: str, elsewhere: int = 0, said: str = ""
) -> str:
    """The keys there are, and the way to one more; after a change, whether those signed in elsewhere shall stay."""
    rows = "".join(_key_row(key) for key in mine.keys)
    listed = f'<ul class="keys">{rows}</ul>' if rows else '<p class="empty">No key yet.</p>'
    add = page.notice(why_no_keys) if why_no_keys else page.link(_NEW, "Add a key", button=True, first=True)
    return page.frame(
        "Your keys",
        page.lead("A passkey on your phone or computer, or a security key on your key ring. A finger or PIN confirms that it "
                  "is you, and no false page can steal it."),
        page.message(said), page.notice(done), listed, add, _others_form(token, elsewhere), _BACK,
    )  # fmt: skip


def _others_form(token: str, elsewhere: int) -> str:
    if elsewhere < 1:
        return ""
    many = "at one other window" if elsewhere == 1 else f"at {elsewhere} other windows"
    return (f'<p class="help">You are still signed in {many}. Was a key lost, or is one of them not you?</p>'
            + page.form(_SESSIONS, button="Sign out everywhere else", token=token, quiet=True))  # fmt: skip


def _key_row(key: KeyCard) -> str:
    used = f"last used {local_day(key.used_at):%d/%m/%Y}" if key.used_at else "not used yet"
    return (
        f"<li><div><strong>{page.escape(key.name)}</strong><span>set up {local_day(key.made_at):%d/%m/%Y}, {used}</span></div>"
        f'<a href="{_REMOVE}?key={key.id}" aria-label="Take away {page.escape(key.name)}">Take away</a></li>'
    )


def new_key_page(*, token: str) -> str:
    """A name for the key; the browser does the rest."""
    field = (
        '<label for="name">What do you call it?</label>\n<input id="name" name="name" maxlength="60" autocomplete="off" '
        'placeholder="for example: blue key, my phone" autofocus>'
    )
    return page.frame(
        "Add a key", page.lead("Your browser asks you to touch the key, or to use your finger, face or PIN."),
        page.key_form(field, button="Set up this key", token=token, options=f"{_KEYS}/options", answer=_KEYS, makes=True),
        page.link(_KEYS, "Back to your keys"), script=True,
    )  # fmt: skip


def remove_page(*, token: str, key: KeyCard, said: str = "") -> str:
    """Ask once before a key is taken away."""
    return page.frame(
        f"Take away “{key.name}”?", page.lead("It will open nothing any more. You can set it up again later."),
        page.message(said), page.form(_REMOVE, button="Take it away", token=token, key=str(key.id)),
        page.link(_KEYS, "Keep it"),
    )  # fmt: skip


def begin_app_page(*, token: str, said: str = "") -> str:
    """Before the new secret is made."""
    return page.frame(
        "A new authenticator app", page.lead("For a new phone, or another app. The app you have keeps working until the new one's first "
                                             "code is right; from then on only the new one counts."),
        page.message(said), page.form(_APP, button="Show the QR code", token=token), _BACK,
    )  # fmt: skip


def app_page(*, token: str, fresh: NewTotp, box: str, said: str = "") -> str:
    """Scan, then type the app's code."""
    return page.frame(
        "A new authenticator app", page.app_steps(fresh), page.message(said),
        page.form(_APP, page.code_field(label="Code in the new app now", help="Six digits that change every half minute."),
                  button="Use this app from now on", token=token, box=box), _BACK,
    )  # fmt: skip


def app_done_page(*, token: str, ended: int = 0) -> str:
    """The new app is in use."""
    return page.frame(
        "The new app is in use", page.lead("Take the old entry out of the old phone: its codes open nothing any more."),
        page.notice(_ended(ended)), page.link(HOME, "Back to my account", button=True, first=True),
    )  # fmt: skip


def _ended(count: int) -> str:
    if not count:
        return ""
    return f"{'One other window was' if count == 1 else f'{count} other windows were'} signed out."


def password_page(*, token: str, said: tuple[str, ...] = ()) -> str:
    """The password of now, and a new one twice."""
    help = f"At least {SHORTEST} characters. A few words that only you put together are best. Nobody else ever sees it."
    return page.frame(
        "A new password", page.lead("Everywhere else that you are signed in, you are signed out by it."), page.message(*said),
        page.form(
            _PASSWORD, page.known_password("Your password now"),
            page.new_password("new", "Your new password", help=help, shortest=SHORTEST, longest=LONGEST),
            page.new_password("again", "The new one once more", shortest=SHORTEST, longest=LONGEST),
            button="Change my password", token=token,
        ), _BACK,
    )  # fmt: skip


def password_done_page(*, token: str, ended: int) -> str:
    """The new password counts."""
    return page.frame(
        "Your new password is set", page.lead("The old one opens nothing any more. You stay signed in here."),
        page.notice(_ended(ended)), page.link(HOME, "Back to my account", button=True, first=True),
    )  # fmt: skip


def kept_elsewhere_page(*, token: str, said: str) -> str:
    """Somebody else keeps this password."""
    return page.frame(
        "A new password", page.lead(said), page.link(HOME, "Back to my account", button=True, first=True)
    )


def turned_page(*, token: str, said: tuple[str, ...]) -> str:
    """The directory does not take this password; the way on begins with confirming."""
    return page.frame(
        "Not changed", page.lead("The practice's directory keeps your password, and did not take the new one."),
        page.message(*said),
        page.link(with_next(_CONFIRM, _PASSWORD), "Confirm once more, and choose another one", button=True, first=True), _BACK,
    )  # fmt: skip


def begin_recovery_page(*, token: str, mine: Factors, said: str = "") -> str:
    """Before the old codes are made void."""
    left = {0: "You have none left.", 1: "You have one left."}.get(
        mine.recovery_codes, f"You have {mine.recovery_codes} left."
    )
    return page.frame(
        "New recovery codes", page.lead(f"Ten codes on paper, for when your phone or key is not with you. {left} New ones make "
                                        "the old paper void."),
        page.message(said), page.form(_RECOVERY, button="Make ten new codes", token=token), _BACK,
    )  # fmt: skip


def codes_page(*, token: str, codes: tuple[str, ...]) -> str:
    """Ten codes, once."""
    return page.frame(
        "Keep these ten codes", page.lead(page.WRITE_DOWN), page.recovery_list(codes), page.ONLY_PAPER,
        page.link(HOME, "Done: back to my account", button=True, first=True), wide=True,
    )  # fmt: skip
