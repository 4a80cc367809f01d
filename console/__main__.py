"""`python -m console`: open the practice and serve its desk until SIGTERM or Ctrl-C."""

from __future__ import annotations

import signal
import sys

import uvicorn

from console.asgi import create_app
from core.errors import SorgError
from ops import opening, settings
from ops.descriptors import open_as_many_as_allowed
from ops.memory import give_back_large_blocks

LARGEST_MESSAGE = 41_000_000  # bytes; just above what .streamlit/config.toml lets through, which then says no


def main() -> int:
    """0 after a clean stop, 1 with a sentence when the practice cannot be opened."""
    open_as_many_as_allowed()
    give_back_large_blocks()
    try:
        chosen = settings.read()
        house = opening.open_house(chosen)
    except SorgError as error:
        print(error.sentence, file=sys.stderr)
        return 1
    for sentence in settings.unencrypted(chosen):
        print(sentence, file=sys.stderr)
    # uvicorn stops at these signals in good order and then raises them again, for a handler of ours.
    for wish in (signal.SIGTERM, signal.SIGINT):
        signal.signal(wish, lambda *_: None)
    # Access logs would hold the ids of patients in query strings.
    uvicorn.run(
        create_app(house, chosen),
        host=chosen.console_host,
        port=chosen.console_port,
        access_log=False,
        log_level="warning",
        server_header=False,
        forwarded_allow_ips=settings.proxies(chosen),
        timeout_graceful_shutdown=3,
        ws="websockets-sansio",
        ws_max_size=LARGEST_MESSAGE,
    )
    house.engine.dispose()
    return 0


if __name__ == "__main__":
    sys.exit(main())
