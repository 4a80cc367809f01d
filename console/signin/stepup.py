"""Confirming that it is still them, for one purpose: /stepup?for=<purpose>&next=<page of the console>.

The proof is bound to this session and purpose (core.factors). The session's token is made anew, so the browser loads
its page afresh: Streamlit reads cookies only when a page is opened.
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from console.door import Door
from console.signin import page
from console.signin.forms import FORM_AGAIN, Counter, local_path, paced, with_next
from core import factors, sessions
from core.errors import Denied, SorgError
from core.factors import Factors

# What a purpose is called; one that ends with a colon goes on with what it is about.
PURPOSES = {
    "sign:": "Signing a report",
    "change:": "Approving a change",
    "glass:": "Opening a closed record",
    "export:": "Taking patient data out",
    "factors": "Changing your second factor",
    factors.ADMIN: "What admins do",
}
_LONGEST = 160
_ONCE = "Confirm that it is you, once more. It counts for this alone, and for five minutes."
_OPENS = "Touch your key: it opens what admins do, here and until you sign out."
_UNKNOWN = "Nothing on this page needs confirming. Go back to where you came from, and try again there."
_NOTHING = (
    "There is nothing yet to confirm it with: no authenticator app and no key. "
    "Ask your practice's admin for a sign-in slip."
)


def stepup_routes(door: Door) -> list[Route]:
    """The confirming of this door."""
    desk = StepUp(door)
    return [
        Route("/stepup", desk.ask, methods=["GET"]),
        Route("/stepup", desk.take_code, methods=["POST"]),
        Route("/stepup/key/options", desk.ask_key, methods=["POST"]),
        Route("/stepup/key", desk.take_key, methods=["POST"]),
    ]


def what_for(purpose: object) -> str:
    """The purpose in words; empty for none of ours."""
    if not isinstance(purpose, str) or len(purpose) > _LONGEST or not purpose.isprintable():
        return ""
    head, colon, rest = purpose.partition(":")
    return PURPOSES.get(head + colon, "") if bool(colon) == bool(rest) else ""


class StepUp(Counter):
    """A code or a key, and back."""

    async def ask(self, request: Request) -> Response:
        purpose, wish = request.query_params.get("for", ""), local_path(request.query_params.get("next"))
        return await self._page(request, purpose=purpose, next=wish)

    @paced
    async def take_code(self, request: Request) -> Response:
        form = await self.form(request)
        purpose, wish = form.get("purpose", ""), local_path(form.get("next"))
        if not self.is_ours(request, form):
            return await self._page(request, purpose=purpose, next=wish, said=FORM_AGAIN, status=403)
        if not what_for(purpose):
            return await self._page(request, purpose=purpose, next=wish)
        try:
            await self.staff(request, factors.prove_by_code, purpose=purpose, code=form.get("code", "")[:12])
            token = await self.stranger(request, sessions.rotate, token=self.token(request))
        except SorgError as error:
            return await self._page(request, purpose=purpose, next=wish, said=error.sentence, status=401)
        answer = self.onward(wish)
        self.keep(answer, self.door.cookie, token)
        return answer

    @paced
    async def ask_key(self, request: Request) -> Response:
        said = await self.said(request)
        if no := self._why_not(request, said.get("purpose")):
            return self.no(no, status=400)
        try:
            options = await self.staff(
                request, factors.ask_key, purpose=said["purpose"], origin=self.origin(request)
            )
        except SorgError as error:
            return self.no(error.sentence)
        return self.options(options)

    @paced
    async def take_key(self, request: Request) -> Response:
        said = await self.said(request)
        if no := self._why_not(request, said.get("purpose")):
            return self.no(no, status=400)
        try:
            await self.staff(
                request, factors.prove_by_key, purpose=said["purpose"], answer=said.get("answer"), origin=self.origin(request)
            )  # fmt: skip
            token = await self.stranger(request, sessions.rotate, token=self.token(request))
        except Denied as error:
            return self.no(error.sentence, status=403, go=with_next("/login", local_path(said.get("next"))))
        except SorgError as error:
            return self.no(error.sentence)
        answer = self.go(local_path(said.get("next")))
        self.keep(answer, self.door.cookie, token)
        return answer

    def _why_not(self, request: Request, purpose: object) -> str:
        return self.why_no_keys(request) or ("" if what_for(purpose) else _UNKNOWN)

    async def _page(
        self, request: Request, *, purpose: str, next: str, said: str = "", status: int = 200
    ) -> Response:
        if not what_for(purpose):
            return self.show(request, nothing_page, next=next, status=max(status, 400))
        mine = await self.staff(request, factors.mine)
        no_code = await self.staff(request, factors.why_no_code, purpose=purpose)
        return self.show(request, stepup_page, status=status, purpose=purpose, next=next, mine=mine, said=said,
                         no_code=no_code, why_no_keys=self.why_no_keys(request))  # fmt: skip


def stepup_page(
    *, token: str, purpose: str, next: str, mine: Factors, said: str, no_code: str, why_no_keys: str
) -> str:
    """What is being confirmed, and with what. no_code: why a code is not enough for it."""
    # A page that needs the proof would only lead here again.
    back = page.link("/my_account" if purpose == "factors" else next, "Not now: go back")
    intro = page.lead(_OPENS if purpose == factors.ADMIN else _ONCE)
    if not (mine.code or mine.keys):
        return page.frame(what_for(purpose), intro, page.notice(_NOTHING), back)
    if no_code and not mine.keys:
        add = (
            ""
            if purpose == "factors"
            else page.link("/account/keys/new", "Add a key", button=True, first=True)
        )
        return page.frame(what_for(purpose), intro, page.notice(no_code), add, back)
    parts = [f'<p class="help">{page.escape(no_code)}</p>'] if no_code else []
    takes_code = mine.code and not no_code
    if takes_code:
        parts.append(
            page.form("/stepup", page.code_field(), button="Confirm", token=token, next=next, purpose=purpose)
        )
    if mine.keys and not why_no_keys:
        parts += [page.OR] if takes_code else []
        parts.append(page.key_form(button="Confirm with your key", token=token, quiet=takes_code, options="/stepup/key/options",
                                   answer="/stepup/key", next=next, purpose=purpose))  # fmt: skip
    elif mine.keys:
        parts.append(page.notice(why_no_keys))
    return page.frame(what_for(purpose), intro, page.message(said), *parts, back,
                      script=bool(mine.keys) and not why_no_keys)  # fmt: skip


def nothing_page(*, token: str, next: str) -> str:
    """A purpose that is none of ours."""
    return page.frame("Nothing to confirm", page.lead(_UNKNOWN), page.link(next, "Go back", button=True))
