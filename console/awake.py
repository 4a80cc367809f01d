"""Whether somebody is still at the desk: their browser says so when keys or buttons are pressed.

A text field reaches Streamlit only when it is left, and images come by a way of their own. Whoever types or looks for a
quarter of an hour would be signed out otherwise. A page that draws itself anew says nothing of the kind.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from console.door import Door
from core import sessions
from core.store.work import Actor

_SCRIPT = (Path(__file__).parent / "awake.js").read_text()
_FRESH = {"Cache-Control": "no-store"}
_KEPT = {"Cache-Control": "private, max-age=3600"}  # Streamlit draws the tag anew with each page
_WARN = timedelta(minutes=2)
# Nothing is written in it but where our own script lies: the page's policy lets no other one run.
TAG = '<script src="/awake.js"></script>'


def awake_routes(door: Door) -> list[Route]:
    """The script, how long the session has left, and the word that somebody is here."""
    watch = Watch(door)
    return [
        Route("/awake.js", watch.script, methods=["GET"]),
        Route("/awake", watch.ask, methods=["GET"]),
        Route("/awake", watch.tell, methods=["POST"]),
    ]


@dataclass(frozen=True)
class Watch:
    """What the script in each page asks and says. OwnHost has refused other sites before, RequireSession strangers."""

    door: Door

    async def script(self, request: Request) -> Response:
        return Response(_SCRIPT, media_type="text/javascript", headers=_KEPT)

    async def ask(self, request: Request) -> Response:
        """How long is left, which is no sign of anybody being here."""
        return JSONResponse(await run_in_threadpool(self._left, request.scope["actor"]), headers=_FRESH)

    async def tell(self, request: Request) -> Response:
        token = request.cookies.get(self.door.cookie, "")
        await run_in_threadpool(self.door.keep_awake, request.scope["actor"], token)
        return Response(status_code=204, headers=_FRESH)

    def _left(self, actor: Actor) -> dict[str, float | bool]:
        with self.door.work(actor) as work:
            mine = next((s for s in sessions.my_sessions(work) if s.is_mine), None)
        idle: timedelta = self.door.house.rules["session_idle"]
        now = self.door.house.clock()
        rests_at = mine.seen_at + idle if mine else now
        over_at = min(rests_at, mine.ends_at) if mine else now
        return {
            "left_s": max(0.0, (over_at - now).total_seconds()),
            "is_idle": over_at == rests_at,  # otherwise the session ends whatever anybody presses
            "warn_s": min(_WARN, idle / 3).total_seconds(),
            "every_s": self.door.touch_every.total_seconds(),
        }
