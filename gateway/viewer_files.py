"""The viewer's built files: a fixed list read at the start, so that no path of a request ever touches the disk."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response

VIEWER = Path(__file__).parents[1] / "viewer" / "dist"
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".wasm": "application/wasm",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".woff2": "font/woff2",
}
_FOR_A_YEAR = "public, max-age=31536000, immutable"  # Their names hold a hash of what is in them.


@dataclass(frozen=True)
class _Asset:
    path: Path
    packed: Path | None
    media_type: str
    caching: str


class ViewerFiles:
    """Serves `/view/`: the patient's page and its assets. The staff's page is not handed out here."""

    def __init__(self, folder: Path = VIEWER) -> None:
        self._assets = dict(_assets(folder))

    async def serve(self, request: Request) -> Response:
        return self._serve(request, request.path_params.get("path") or "index.html")

    async def serve_page(self, request: Request) -> Response:
        """The viewer's page at another address; its assets stay where they are."""
        return self._serve(request, "index.html")

    def _serve(self, request: Request, name: str) -> Response:
        asset = self._assets.get(name)
        if asset is None:
            return JSONResponse({"sentence": "There is nothing at this address."}, 404)
        headers = {"cache-control": asset.caching}
        if asset.packed is None:
            return FileResponse(asset.path, headers=headers, media_type=asset.media_type)
        headers["vary"] = "Accept-Encoding"
        if "gzip" in request.headers.get("accept-encoding", ""):
            headers["content-encoding"] = "gzip"
            return FileResponse(asset.packed, headers=headers, media_type=asset.media_type)
        return FileResponse(asset.path, headers=headers, media_type=asset.media_type)


def _assets(folder: Path) -> Iterator[tuple[str, _Asset]]:
    for path in [folder / "index.html", *sorted((folder / "assets").glob("*"))]:
        if path.suffix not in _TYPES or not path.is_file() or path.name.startswith("staff"):
            continue
        packed = path.with_name(path.name + ".gz")
        name = path.relative_to(folder).as_posix()
        caching = "no-cache" if name == "index.html" else _FOR_A_YEAR
        yield name, _Asset(path, packed if packed.is_file() else None, _TYPES[path.suffix], caching)
