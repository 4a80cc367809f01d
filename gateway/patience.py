"""A connection that says nothing, never ends what it began to say, or never reads its answer, is let go.

Silence must not keep patients out: uvicorn waits for ever for a first request, for the rest of any form, and for somebody
to read on (OWASP: slow HTTP denial of service).
"""

from __future__ import annotations

import asyncio

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

WAITS_S = 10.0  # A phone on a bad line sends its request, and a form of a few lines, in two or three seconds.
# Of an answer, a whole image may wait to be read, and megabytes more in the machine's and a proxy's own buffers before
# any of it is seen to move: so long for a line that is bad, and is not gone.
READS_S = 300.0


class Impatient(H11Protocol):
    """Between two requests uvicorn's own keep-alive limit counts; a request that is whole is answered in its own time."""

    _patience: asyncio.TimerHandle | None = None
    _unread: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._patience = self.loop.call_later(WAITS_S, self.transport.close)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop(self._patience)
        self._stop(self._unread)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._is_whole():
            self._stop(self._patience)
            self._patience = None
        elif self._patience is None:
            # Not begun anew with each letter: the whole of it has to be there in time.
            self._patience = self.loop.call_later(WAITS_S, self.transport.close)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._watch(self.transport.get_write_buffer_size() + 1)

    def resume_writing(self) -> None:
        self._stop(self._unread)
        super().resume_writing()

    def _watch(self, unread: int) -> None:
        """Look again and again whether some of it was read since."""
        left = self.transport.get_write_buffer_size()
        if left >= unread:
            self.transport.abort()
        else:
            self._unread = self.loop.call_later(READS_S, self._watch, left)

    def _is_whole(self) -> bool:
        """True when nothing of a request is missing."""
        if self.conn.their_state is h11.IDLE:
            return not self.conn.trailing_data[0]
        return self.conn.their_state is not h11.SEND_BODY

    def _stop(self, timer: asyncio.TimerHandle | None) -> None:
        if timer is not None:
            timer.cancel()
