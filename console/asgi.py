"""The console as one ASGI app: sign-in, image routes and the viewer's files beside Streamlit, the gate around all.

    app = create_app(house, settings)          # uvicorn serves it; `python -m console` does both

Everything that a page needs is imported before the first request and then frozen, and Streamlit's whole garbage
collection after every run is off: both cost most of a run's time (docs/decisions/040-console.md).
"""

from __future__ import annotations

import gc
import importlib
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import streamlit as st
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from streamlit import config as streamlit_config

from console import desk, handed, nav, trouble
from console import door as doors
from console.anew import anew_routes
from console.awake import awake_routes
from console.gate import OwnHost, RequireSession
from console.headers import SecurityHeaders
from console.images import image_routes
from console.signin import oidc
from console.signin import routes as signin
from console.viewer_files import viewer_routes
from core.store.work import House
from ops.settings import Settings, console_origins, unencrypted

_ENTRY = Path(__file__).parent / "shell" / "main.py"
_HEAVY = ("pandas", "pyarrow", "sqlalchemy", "segno")
_ON_DEMAND = ("insight",)  # DuckDB and Parquet: 20 MB that only who opens this page needs


def create_app(house: House, settings: Settings, *, freeze: bool = True) -> st.App:
    """The whole console. Without `freeze` garbage is collected as Streamlit does it by itself; the benchmark asks for that."""
    hosts = doors.hosts_of(
        "127.0.0.1", "localhost", settings.console_host, more=settings.console_names.split(",")
    )
    door = doors.Door(
        house,
        https=settings.https,
        hosts=hosts,
        origins=console_origins(settings),
        single_sign_on=settings.oidc_name if house.ports.identity else "",
        unencrypted=unencrypted(settings),
    )
    doors.hang(door)
    handed.watch(desk.owner)
    _quieten_streamlit()

    @asynccontextmanager
    async def lifespan(app: st.App) -> AsyncIterator[dict]:
        for name in (*_HEAVY, *(page.module for page in nav.PAGES if page.key not in _ON_DEMAND)):
            importlib.import_module(name)
        if freeze:
            gc.collect()
            gc.freeze()
        yield {}

    app = st.App(
        _ENTRY,
        lifespan=lifespan,
        routes=[
            Route("/health", _health),
            *signin.routes(door),
            *oidc.routes(door),
            *image_routes(door),
            *awake_routes(door),
            *anew_routes(door),
            *viewer_routes(),
        ],
        middleware=[
            Middleware(SecurityHeaders, https=settings.https),
            Middleware(OwnHost, door=door),
            Middleware(RequireSession, door=door),
        ],
        on_script_error=trouble.show,
    )
    # Whoever imported Streamlit first has read its settings without the file beside our entry script.
    streamlit_config.get_config_options(force_reparse=True)
    streamlit_config.set_option("server.allowedHosts", list(hosts))
    streamlit_config.set_option("runner.postScriptGC", not freeze)
    return app


async def _health(request: Request) -> Response:
    return JSONResponse({"ok": True}, headers={"Cache-Control": "no-store"})


def _quieten_streamlit() -> None:
    """Streamlit logs an exception with its message, which may hold patient data; `trouble` logs where it happened."""
    logging.getLogger("streamlit.error_util").disabled = True
