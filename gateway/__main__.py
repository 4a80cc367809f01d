"""`python -m gateway`: open the practice, serve its links."""

from __future__ import annotations

import sys

import uvicorn

from core.errors import SorgError
from gateway.app import SERVER, create
from gateway.images import OrthancImages
from ops import opening, settings
from ops.descriptors import open_as_many_as_allowed
from ops.memory import give_back_large_blocks


def main() -> None:
    """Run until told to stop."""
    open_as_many_as_allowed()
    give_back_large_blocks()
    chosen = settings.read()
    house = opening.open_house(chosen)
    images = OrthancImages(opening.orthanc_address(chosen), opening.orthanc_auth(chosen))
    for sentence in settings.unencrypted(chosen):
        print(sentence, file=sys.stderr)
    app = create(
        house,
        images,
        https=chosen.https,
        listens=(chosen.gateway_host, chosen.gateway_port),
        origins=settings.gateway_origins(chosen),
    )
    uvicorn.run(
        app,
        host=chosen.gateway_host,
        port=chosen.gateway_port,
        forwarded_allow_ips=settings.proxies(chosen),
        **SERVER,
    )


if __name__ == "__main__":
    try:
        main()
    except SorgError as error:
        sys.exit(error.sentence)
