"""Images for the staff's viewer: one manifest, and each instance as Orthanc has it, after the gate has said yes.

Whoever looks at images is at the desk: fetching them keeps the session awake, as a step on a page does.

The browser names our own ids; Orthanc's stay here. Which file belongs to which study is asked of the database for
every request, and the bytes are passed on as they come, so that no image is ever held whole.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import ExitStack
from uuid import UUID

from starlette.concurrency import iterate_in_threadpool, run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from console.door import Door
from core import pacs
from core.errors import Denied, Missing, Outside, SorgError
from core.pacs import ImageSet

_FRESH = {"Cache-Control": "no-store"}
_STATUS = ((Denied, 403), (Missing, 404), (Outside, 503))


def image_routes(door: Door) -> list[Route]:
    """Manifest and files of one study."""
    shelf = Shelf(door)
    return [
        Route("/images/{study:uuid}/manifest", shelf.manifest, methods=["GET"]),
        Route("/images/{study:uuid}/instances/{instance:uuid}/file", shelf.file, methods=["GET"]),
    ]


class Shelf:
    """Where the images of the studies are fetched from."""

    def __init__(self, door: Door) -> None:
        self.door = door

    async def manifest(self, request: Request) -> Response:
        try:
            found = await run_in_threadpool(self._open, request, request.path_params["study"])
        except SorgError as error:
            return _told(error)
        return JSONResponse(manifest_of(found), headers=_FRESH)

    async def file(self, request: Request) -> Response:
        study, instance = request.path_params["study"], request.path_params["instance"]
        stack = ExitStack()
        try:
            pieces = await run_in_threadpool(self._fetch, request, study, instance, stack)
        except SorgError as error:
            stack.close()
            return _told(error)

        async def body() -> AsyncIterator[bytes]:
            try:
                async for piece in iterate_in_threadpool(pieces):
                    yield piece
            finally:
                await run_in_threadpool(stack.close)

        return StreamingResponse(body(), media_type="application/dicom", headers=_FRESH)

    def _open(self, request: Request, study_id: UUID) -> ImageSet:
        with self.door.work(request.scope["actor"]) as work:
            found = pacs.open_images(work, study_id)
        self._keep_awake(request)
        return found

    def _fetch(self, request: Request, study_id: UUID, instance_id: UUID, stack: ExitStack):
        with self.door.work(request.scope["actor"]) as work:
            source = pacs.image_source(work, study_id, instance_id)
        self._keep_awake(request)
        # After the gate, outside its transaction: Orthanc may take its time.
        return stack.enter_context(self.door.house.ports.orthanc.instance_stream(source.orthanc_id))

    def _keep_awake(self, request: Request) -> None:
        self.door.keep_awake(request.scope["actor"], request.cookies.get(self.door.cookie, ""))


def manifest_of(found: ImageSet) -> dict:
    """What the viewer reads. The report stands beside the viewer on the staff's page, so that it is not in here."""
    return {
        "study": {"description": found.description, "date": found.taken_on.isoformat(),
                  "modalities": list(found.modalities), "accession": found.accession},
        "patient": {"name": found.patient_name, "birth_date": found.born_on.isoformat(), "id": found.file_number},
        "practice": {"name": found.practice_name, "phone": found.practice_phone},
        "series": [
            {"id": s.id, "number": s.number, "description": s.description, "modality": s.modality,
             "instances": [{"id": str(i.id), "number": i.number, "frames": i.frames, "rows": i.rows, "columns": i.columns,
                            "syntax": i.syntax} for i in s.instances]}
            for s in found.series
        ],
        "report": None,
        "until": None,
    }  # fmt: skip


def _told(error: SorgError) -> Response:
    status = next((s for kind, s in _STATUS if isinstance(error, kind)), 409)
    return JSONResponse({"sentence": error.sentence}, status, headers=_FRESH)
