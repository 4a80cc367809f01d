"""Whether the practice's directory answers, for the banner at the door; asked beside the page, never before it."""

from __future__ import annotations

import asyncio
import time

from starlette.concurrency import run_in_threadpool

from console.door import Door

_ASK_EVERY_S = 10.0
_WAIT_S = 0.3  # only a page that is drawn before anything is known waits at all


class Watch:
    """The last known word of the directory, at most ten seconds old where somebody keeps asking."""

    def __init__(self, door: Door) -> None:
        self.door = door
        self._is_away: bool | None = None
        self._asked_s = 0.0
        self._asking: asyncio.Task[None] | None = None

    async def is_away(self) -> bool:
        """True when the directory did not answer lately; False without one, and while nothing is known yet."""
        if self.door.house.ports.directory is None:
            return False
        if self._asking is None and time.monotonic() - self._asked_s >= _ASK_EVERY_S:
            self._asked_s = time.monotonic()
            self._asking = asyncio.create_task(self._ask())
        if self._is_away is None and self._asking is not None:
            await asyncio.wait({self._asking}, timeout=_WAIT_S)
        return bool(self._is_away)

    async def _ask(self) -> None:
        try:
            self._is_away = not await run_in_threadpool(self.door.house.ports.directory.answers)
        finally:
            self._asking = None
