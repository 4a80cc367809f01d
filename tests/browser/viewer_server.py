"""A small server for the viewer's tests: the built pages, and studies made of pydicom's sample files.

It keeps the same contract as the gateway and the console (manifest, instance files, close, errors as a sentence),
sends the same strict Content-Security-Policy with every response, and can be told to fail.
Run by hand it serves everything for looking at: `python tests/browser/viewer_server.py 8700`.
"""

from __future__ import annotations

import io
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import anyio
import pydicom
import uvicorn
from pydicom.data import get_testdata_file
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

DIST = Path(__file__).resolve().parents[2] / "viewer" / "dist"

CSP = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; connect-src 'self'; "
    "img-src 'self' blob: data:; style-src 'self' 'unsafe-inline'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'self'"
)
SAFE = {"Content-Security-Policy": CSP, "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"}
FRESH = {**SAFE, "Cache-Control": "no-store"}
TYPES = {
    ".js": "text/javascript",
    ".css": "text/css",
    ".html": "text/html; charset=utf-8",
    ".wasm": "application/wasm",
}

SENTENCES = {
    401: "Please open the link in your message again.",
    403: "This link does not open that image.",
    404: "That image is not part of this study.",
    410: "The practice has ended this link.",
    503: "The image server is not answering just now.",
}
PDF = b"%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n2 0 obj<</Type/Pages/Kids[]/Count 0>>endobj\ntrailer<</Root 1 0 R>>\n"

REPORT = """CLINICAL HISTORY
Cough for three weeks. Query pulmonary infection.

TECHNIQUE
Helical CT of the chest after intravenous contrast.

FINDINGS
The lungs are clear. There is no consolidation, mass or pleural effusion.
The heart is of normal size. No enlarged mediastinal lymph nodes.

The visible upper abdomen is unremarkable.

IMPRESSION
Normal CT of the chest. No sign of infection.
"""


@dataclass
class Study:
    """What one test serves; change `fails` while the page is open to break it."""

    series: list[dict]
    files: dict[str, bytes]
    report: dict | None = None
    until: str | None = "2031-11-30T12:00:00Z"
    description: str = "CT chest with contrast"
    practice_name: str = "Jacaranda Radiology"
    modalities: tuple[str, ...] = ("CT",)
    fails: dict[str, int] = field(default_factory=dict)  # instance id, "manifest" or "*" -> HTTP status
    held: set[str] = field(default_factory=set)  # instance ids that wait until they are taken out of it
    asked: list[str] = field(default_factory=list)
    closed_by: list[str] = field(default_factory=list)

    def manifest(self) -> dict:
        return {
            "study": {
                "description": self.description,
                "date": "2026-11-24",
                "modalities": list(self.modalities),
                "accession": "UPS-000042",
            },
            "patient": {"name": "MOKOENA^THANDIWE", "birth_date": "1958-03-14"},
            "practice": {"name": self.practice_name, "phone": "012 555 0142"},
            "series": self.series,
            "report": self.report,
            "until": self.until,
        }


SIGNED = {
    "signed_at": "2026-11-24T12:05:00Z",
    "signed_by": "Dr N. Dlamini",
    "text": REPORT,
    "url": "report.pdf",
}


def sample(name: str) -> bytes:
    path = get_testdata_file(name, download=False)
    if path is None:
        raise LookupError(f"pydicom does not bundle {name}")
    return Path(path).read_bytes()


def _row(instance_id: str, data: bytes, number: int) -> dict:
    header = pydicom.dcmread(io.BytesIO(data), stop_before_pixels=True, force=True)
    return {
        "id": instance_id,
        "number": number,
        "frames": int(header.get("NumberOfFrames") or 1),
        "rows": int(header.Rows),
        "columns": int(header.Columns),
        "syntax": str(header.file_meta.TransferSyntaxUID),
    }


def study_of(*groups: tuple[str, str, list[bytes]], **options) -> Study:
    """A study from `(description, modality, files)` groups, one series each."""
    series, files = [], {}
    for s, (description, modality, datas) in enumerate(groups, start=1):
        rows = []
        for i, data in enumerate(datas, start=1):
            instance_id = f"s{s}-i{i}"
            files[instance_id] = data
            rows.append(_row(instance_id, data, i))
        series.append(
            {
                "id": f"s{s}",
                "number": s,
                "description": description,
                "modality": modality,
                "instances": rows,
            }
        )
    return Study(series=series, files=files, **options)


def slices_of(name: str, count: int, *, size: int | None = None) -> list[bytes]:
    """`count` different slices made from one sample: each is shifted and a little brighter than the one before."""
    import numpy

    whole = pydicom.dcmread(io.BytesIO(sample(name)))
    pixels = whole.pixel_array
    if size:
        pixels = numpy.kron(pixels, numpy.ones((size // pixels.shape[0],) * 2, dtype=pixels.dtype))
        whole.Rows = whole.Columns = size
    made = []
    for n in range(count):
        one = numpy.roll(pixels, n * 3, axis=0)
        whole.PixelData = one.astype(pixels.dtype).tobytes()
        whole.InstanceNumber = n + 1
        whole.SOPInstanceUID = f"1.2.826.0.1.3680043.10.1470.9.{n + 1}"
        whole.file_meta.MediaStorageSOPInstanceUID = whole.SOPInstanceUID
        buffer = io.BytesIO()
        whole.save_as(buffer)
        made.append(buffer.getvalue())
    return made


class ViewerServer:
    """Serves one Study at /share and the same at /images/<any>; `study` may be replaced between tests."""

    def __init__(self, study: Study) -> None:
        self.study = study
        self.port = 0
        self._server: uvicorn.Server | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def app(self) -> Starlette:
        routes = [Route("/view/{path:path}", self._asset)]
        for base in ("/share", "/images/{study}"):
            routes += [
                Route(f"{base}/manifest", self._manifest),
                Route(f"{base}/instances/{{id}}/file", self._file),
                Route(f"{base}/report.pdf", self._report),
                Route(f"{base}/close", self._close, methods=["POST"]),
            ]
        return Starlette(routes=routes)

    async def _asset(self, request: Request) -> Response:
        path = (DIST / (request.path_params["path"] or "index.html")).resolve()
        if not path.is_relative_to(DIST) or not path.is_file():
            return Response("not found", 404, headers=SAFE)
        headers = {**SAFE, "Cache-Control": "public, max-age=31536000, immutable"}
        if path.suffix == ".html":
            headers["Cache-Control"] = "no-cache"
        packed = path.with_name(path.name + ".gz")
        if packed.is_file() and "gzip" in request.headers.get("accept-encoding", ""):
            headers |= {"Content-Encoding": "gzip", "Vary": "Accept-Encoding"}
            return FileResponse(packed, headers=headers, media_type=TYPES.get(path.suffix))
        return FileResponse(path, headers=headers, media_type=TYPES.get(path.suffix))

    def _failure(self, *names: str) -> Response | None:
        status = next((self.study.fails[name] for name in (*names, "*") if name in self.study.fails), None)
        return status and JSONResponse({"sentence": SENTENCES[status]}, status, headers=FRESH)

    async def _manifest(self, request: Request) -> Response:
        return self._failure("manifest") or JSONResponse(self.study.manifest(), headers=FRESH)

    async def _file(self, request: Request) -> Response:
        instance_id = request.path_params["id"]
        self.study.asked.append(instance_id)
        while instance_id in self.study.held:
            await anyio.sleep(0.02)
        if failure := self._failure(instance_id):
            return failure
        if instance_id not in self.study.files:
            return JSONResponse({"sentence": SENTENCES[404]}, 404, headers=FRESH)
        return Response(self.study.files[instance_id], headers=FRESH, media_type="application/dicom")

    async def _report(self, request: Request) -> Response:
        return Response(PDF, headers=FRESH, media_type="application/pdf")

    async def _close(self, request: Request) -> Response:
        self.study.closed_by.append(request.headers.get("x-requested-with", ""))
        return Response(status_code=204, headers=FRESH)

    def start(self) -> None:
        listener = socket.socket()
        listener.bind(("127.0.0.1", self.port))
        self.port = listener.getsockname()[1]
        self._server = uvicorn.Server(uvicorn.Config(self.app(), log_level="warning"))
        threading.Thread(target=self._server.run, kwargs={"sockets": [listener]}, daemon=True).start()
        while not self._server.started:
            time.sleep(0.01)

    def stop(self) -> None:
        if self._server:
            self._server.should_exit = True


@contextmanager
def serving(study: Study) -> Iterator[ViewerServer]:
    server = ViewerServer(study)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def showcase() -> Study:
    """Every kind of picture at once, for looking at and for the tests that walk through formats."""
    return study_of(
        ("Chest, soft tissue", "CT", slices_of("CT_small.dcm", 120, size=512)),
        ("Knee, sagittal", "MR", slices_of("MR_small.dcm", 8)),
        ("RLE", "MR", [sample("MR_small_RLE.dcm")]),
        ("Ultrasound loop", "US", [sample("examples_ybr_color.dcm")]),
        ("JPEG 2000 head", "CT", [sample("693_J2KI.dcm")]),
        ("JPEG 2000 colour", "US", [sample("examples_jpeg2k.dcm")]),
        ("Deflated", "OT", [sample("image_dfl.dcm")]),
        report=dict(SIGNED),
    )


if __name__ == "__main__":
    by_hand = ViewerServer(showcase())
    by_hand.port = int(sys.argv[1]) if len(sys.argv) > 1 else 0
    by_hand.start()
    print(by_hand.url + "/view/index.html", flush=True)
    threading.Event().wait()
