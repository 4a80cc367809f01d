"""Confirming that it is still them, for one purpose, and back.

The proof is bound to this session and purpose (core.factors). The session's token is made anew, so that one that was
copied before is worth nothing after it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from core import factors
from core.errors import Denied, SorgError
from doors.manners import Manners, paced

LONGEST_PURPOSE = 160


def words_for(purpose: object, purposes: dict[str, str]) -> str:
    """The purpose in words; empty for none of these. One that ends with a colon goes on with what it is about."""
    if not isinstance(purpose, str) or len(purpose) > LONGEST_PURPOSE or not purpose.isprintable():
        return ""
    head, colon, rest = purpose.partition(":")
    return purposes.get(head + colon, "") if bool(colon) == bool(rest) else ""


class ConfirmDesk:
    """A code or a key, and back. confirm, nothing: the two pages; unknown: the sentence for a purpose that is none."""

    def __init__(
        self,
        manners: Manners,
        *,
        at: str,
        sign_in: str,
        purposes: dict[str, str],
        unknown: str,
        confirm: Callable[..., str],
        nothing: Callable[..., str],
    ) -> None:
        self.manners, self.at, self._sign_in = manners, at, sign_in
        self._purposes, self._unknown = purposes, unknown
        self._confirm, self._nothing = confirm, nothing

    def routes(self) -> list[Route]:
        return [
            Route(self.at, self.ask, methods=["GET"]),
            Route(self.at, self.take_code, methods=["POST"]),
            Route(f"{self.at}/key/options", self.ask_key, methods=["POST"]),
            Route(f"{self.at}/key", self.take_key, methods=["POST"]),
        ]

    async def ask(self, request: Request) -> Response:
        wish = self.manners.local_path(request.query_params.get("next"))
        return await self._page(request, purpose=request.query_params.get("for", ""), next=wish)

    @paced
    async def take_code(self, request: Request) -> Response:
        form = await self.manners.form(request)
        purpose, wish = form.get("purpose", ""), self.manners.local_path(form.get("next"))
        if not self.manners.is_ours(request, form):
            return await self._page(request, self.manners.form_again, purpose=purpose, next=wish, status=403)
        if not self._words(purpose):
            return await self._page(request, purpose=purpose, next=wish)
        try:
            await self.manners.person(
                request, factors.prove_by_code, purpose=purpose, code=form.get("code", "")[:12]
            )
            return await self.manners.rotate(request, self.manners.onward(wish))
        except SorgError as error:
            return await self._page(request, error.sentence, purpose=purpose, next=wish, status=401)

    @paced
    async def ask_key(self, request: Request) -> Response:
        said = await self.manners.said(request)
        if no := self._why_not(request, said.get("purpose")):
            return self.manners.no(no, status=400)
        try:
            options = await self.manners.person(
                request, factors.ask_key, purpose=said["purpose"], origin=self.manners.origin(request)
            )
        except SorgError as error:
            return self.manners.no(error.sentence)
        return self.manners.options(options)

    @paced
    async def take_key(self, request: Request) -> Response:
        said = await self.manners.said(request)
        if no := self._why_not(request, said.get("purpose")):
            return self.manners.no(no, status=400)
        wish = self.manners.local_path(said.get("next"))
        try:
            await self.manners.person(
                request,
                factors.prove_by_key,
                purpose=said["purpose"],
                answer=said.get("answer"),
                origin=self.manners.origin(request),
            )
            return await self.manners.rotate(request, self.manners.go(wish))
        except Denied as error:
            return self.manners.no(error.sentence, status=403, go=self.manners.with_next(self._sign_in, wish))
        except SorgError as error:
            return self.manners.no(error.sentence)

    def _words(self, purpose: object) -> str:
        return words_for(purpose, self._purposes)

    def _why_not(self, request: Request, purpose: object) -> str:
        return self.manners.why_no_keys(request) or ("" if self._words(purpose) else self._unknown)

    async def _page(
        self, request: Request, *said: str, purpose: str, next: str, status: int = 200
    ) -> Response:
        if not self._words(purpose):
            return await self.manners.show(request, self._nothing, next=next, status=max(status, 400))
        what: dict[str, Any] = {
            "mine": await self.manners.person(request, factors.mine),
            "no_code": await self.manners.person(request, factors.why_no_code, purpose=purpose),
            "why_no_keys": self.manners.why_no_keys(request),
        }
        return await self.manners.show(
            request, self._confirm, status=status, purpose=purpose, next=next, said=said, **what
        )
