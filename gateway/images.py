"""Images from Orthanc to the browser: a fixed address with one id of the link's own list in it, nothing else.

urllib3 in worker threads, because it was measured beside httpx and requests (docs/decisions/060-links.md).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import urllib3
from urllib3.util import Retry, Timeout

from core.errors import Away, Missing

WHOLE_BYTES = 4 * 1024 * 1024  # Larger objects (cine loops) go through in pieces.
_PIECE_BYTES = 256 * 1024
_AWAY = "The practice's image store does not answer just now. Nothing is lost: try again in a minute."


@dataclass(frozen=True)
class Fetched:
    """An image on its way: `pieces` is read to its end or closed."""

    size: int | None
    pieces: Iterator[bytes]
    whole: bytes | None


class Images(Protocol):
    """Where images come from."""

    def fetch(self, instance_id: str) -> Fetched: ...


class OrthancImages:
    """Orthanc over a pool of connections that are kept open. auth: user and password at Orthanc."""

    def __init__(self, url: str, auth: tuple[str, str] | None, *, connections: int = 32) -> None:
        headers = {"accept-encoding": "identity"}
        if auth:
            headers |= urllib3.make_headers(basic_auth=":".join(auth))
        self._pool = urllib3.connection_from_url(
            url,
            maxsize=connections,
            block=False,
            headers=headers,
            timeout=Timeout(connect=3, read=30),
            retries=Retry(total=1, connect=0, read=1, status=0, other=1, redirect=0, backoff_factor=0),
        )

    def fetch(self, instance_id: str) -> Fetched:
        """Begin to fetch one image. Raises Away or Missing in words for the patient."""
        try:
            answer = self._pool.request(
                "GET", f"/instances/{instance_id}/file", preload_content=False, redirect=False
            )
        except urllib3.exceptions.HTTPError as error:
            raise Away(_AWAY) from error
        if answer.status == 404:
            answer.drain_conn()
            answer.release_conn()
            raise Missing("This image is no longer at the practice.")
        if answer.status != 200:
            answer.close()
            raise Away(_AWAY)
        size = int(answer.headers.get("content-length") or 0) or None
        if size is None or size > WHOLE_BYTES:
            return Fetched(size, self._pieces(answer), None)
        try:
            return Fetched(size, iter(()), answer.read())
        except urllib3.exceptions.HTTPError as error:
            raise Away(_AWAY) from error
        finally:
            answer.release_conn()

    def _pieces(self, answer: urllib3.BaseHTTPResponse) -> Iterator[bytes]:
        try:
            yield from answer.stream(_PIECE_BYTES)
        except urllib3.exceptions.HTTPError as error:
            raise Away(_AWAY) from error
        finally:
            # Read to its end, the connection goes back by itself; a patient who left closes it.
            answer.close()
