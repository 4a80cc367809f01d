"""What both doors of the gateway stand on, links and accounts: the practice, its images, threads, and who opened what."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

import anyio.to_thread
from anyio import CapacityLimiter
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from core import sharing
from core.pacs import ImageSet
from core.sharing import FrontDoor
from core.store.work import Actor, House, nobody
from doors.presence import Sittings
from gateway.forms import address
from gateway.images import Images

THREADS = 32


class Desk:
    """Database and Orthanc are asked in threads; the loop only moves bytes."""

    def __init__(self, house: House, images: Images, *, https: bool, origins: tuple[str, ...] = ()) -> None:
        self.house, self.images, self.https, self.origins = house, images, https, origins
        self.own_host = urlsplit(house.rules["gateway_url"]).netloc
        self.sittings = Sittings()
        self._threads: CapacityLimiter | None = None

    async def in_thread(self, call: Callable[..., Any], *given: Any) -> Any:
        if self._threads is None:
            self._threads = CapacityLimiter(THREADS)
        return await anyio.to_thread.run_sync(call, *given, limiter=self._threads)

    def ask(self, verb: Callable[..., Any], *given: Any, by: Actor, **named: Any) -> Any:
        """One verb by this actor, committed."""
        with self.house.work(by, openings=self.sittings.of(by)) as work:
            return verb(work, *given, **named)

    def stranger(self, request: Request) -> Actor:
        """Whoever asks, before anything is known of them."""
        return nobody(channel="gateway", address=address(request))

    def front_door(self, request: Request) -> FrontDoor:
        """The practice as a stranger may see it."""
        return self.ask(sharing.front_door, by=self.stranger(request))

    def send_image(self, orthanc_id: str) -> Response:
        """One image on its way to the browser."""
        fetched = self.images.fetch(orthanc_id)
        if fetched.whole is not None:
            return Response(fetched.whole, media_type="application/dicom")
        size = {"content-length": str(fetched.size)} if fetched.size else {}
        return StreamingResponse(fetched.pieces, media_type="application/dicom", headers=size)


def manifest_of(
    images: ImageSet,
    practice: FrontDoor,
    *,
    signed_at: datetime,
    signed_by: str,
    text: str,
    until: datetime | None = None,
    holder: str = "link",
) -> dict[str, Any]:
    """What the viewer reads (viewer/src/api.ts). holder: link, patient or referrer."""
    return {
        "study": {
            "description": images.description,
            "date": images.taken_on.isoformat(),
            "modalities": images.modalities,
            "accession": images.accession,
        },
        "patient": {"name": images.patient_name, "birth_date": images.born_on.isoformat()},
        "practice": asdict(practice),
        "series": [
            {**vars(s), "instances": [{**vars(i), "id": str(i.id)} for i in s.instances]}
            for s in images.series
        ],
        "report": {
            "signed_at": signed_at.isoformat(),
            "signed_by": signed_by,
            "text": text,
            "url": "report.pdf",
        },
        "until": until.isoformat() if until else None,
        "holder": holder,
    }
