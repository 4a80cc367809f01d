"""A new token after a code that was typed inside a page and opened something that lasts (ASVS 5.0, 7.2.4).

Streamlit sets no cookie. So the page leads over an address of ours that does, and awake.js follows the link by itself.
"""

from __future__ import annotations

from typing import NoReturn
from urllib.parse import quote

import streamlit as st
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from console import widgets
from console.door import Door
from console.signin.forms import Counter, local_path
from core import sessions
from core.errors import Denied

_PATH = "/anew"


def anew_routes(door: Door) -> list[Route]:
    """The address on the way."""
    desk = Renewal(door)
    return desk.calmly(Route(_PATH, desk.renew, methods=["GET"]))


class Renewal(Counter):
    """The session goes on under another token; whoever had the old one is out."""

    async def renew(self, request: Request) -> Response:
        try:
            token = await self.stranger(request, sessions.rotate, token=self.token(request))
        except Denied:
            return self.onward("/login")
        answer = self.onward(local_path(request.query_params.get("next")))
        self.keep(answer, self.door.cookie, token)
        return answer


def lead(label: str, next: str) -> NoReturn:
    """Go on to a page of the console under a new token."""
    with st.container(key="sorg-anew"):
        widgets.way(label, f"{_PATH}?next={quote(next, safe='')}", strong=True, width="content")
    st.stop()
