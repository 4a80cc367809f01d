"""A connection that says nothing, or never ends its first line, is let go: silence must not keep patients out."""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.h11_impl import H11Protocol

WAITS_S = 10.0  # A phone on a bad line sends its request in two or three seconds.


class Impatient(H11Protocol):
    """uvicorn waits for ever for a connection's first request; this does not (OWASP: slow HTTP denial of service)."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._patience = self.loop.call_later(WAITS_S, self._let_go)

    def connection_lost(self, exc: Exception | None) -> None:
        self._patience.cancel()
        super().connection_lost(exc)

    def _let_go(self) -> None:
        # Between two requests uvicorn's own keep-alive limit counts; a request that is being answered goes on.
        if self.cycle is None and not self.transport.is_closing():
            self.transport.close()
