"""`python -m gateway`: open the practice, serve its links."""

from __future__ import annotations

import sys

import uvicorn

from core.errors import SorgError
from gateway.app import create
from gateway.images import OrthancImages
from ops import opening, settings


def main() -> None:
    """Run until told to stop. No access log: an address here is a secret."""
    chosen = settings.read()
    house = opening.open_house(chosen)
    images = OrthancImages(opening.orthanc_address(chosen), opening.orthanc_auth(chosen))
    app = create(house, images, https=chosen.https)
    uvicorn.run(app, host=chosen.gateway_host, port=chosen.gateway_port, access_log=False, log_level="warning",
                server_header=False, proxy_headers=True, forwarded_allow_ips="127.0.0.1", timeout_keep_alive=30,
                h11_max_incomplete_event_size=16 * 1024, limit_concurrency=500, lifespan="off")  # fmt: skip


if __name__ == "__main__":
    try:
        main()
    except SorgError as error:
        sys.exit(error.sentence)
