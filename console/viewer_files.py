"""The built viewer's files under /view/, compressed where the build has done it already."""

from __future__ import annotations

from pathlib import Path

from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.routing import Route

DIST = Path(__file__).resolve().parents[1] / "viewer" / "dist"
_TYPES = {
    ".js": "text/javascript",
    ".css": "text/css",
    ".html": "text/html; charset=utf-8",
    ".wasm": "application/wasm",
}


def viewer_routes() -> list[Route]:
    """One route; only files that the build has made are there."""
    return [Route("/view/{path:path}", _file, methods=["GET", "HEAD"])]


async def _file(request: Request) -> Response:
    path = (DIST / request.path_params["path"]).resolve()
    if not path.is_relative_to(DIST) or not path.is_file() or path.suffix not in _TYPES:
        return PlainTextResponse("There is no such file.", 404)
    # Names of the build's assets carry a hash of their content; the pages themselves keep their names.
    fresh = "no-cache" if path.suffix == ".html" else "private, max-age=31536000, immutable"
    headers = {"Cache-Control": fresh, "Vary": "Accept-Encoding"}
    packed = path.with_name(path.name + ".gz")
    if packed.is_file() and "gzip" in request.headers.get("accept-encoding", ""):
        return FileResponse(
            packed, headers={**headers, "Content-Encoding": "gzip"}, media_type=_TYPES[path.suffix]
        )
    return FileResponse(path, headers=headers, media_type=_TYPES[path.suffix])
