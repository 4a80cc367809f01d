"""Bringing a database to this version, by alembic, under the practice's own key."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine

from core.errors import Unfit
from core.store.db import maintenance

_SCRIPTS = Path(__file__).parent / "migrations"


def config() -> Config:
    """Alembic's configuration: the scripts beside this file, and no address anywhere."""
    settings = Config()
    settings.set_main_option("script_location", str(_SCRIPTS))
    return settings


def upgrade(engine: Engine) -> None:
    """Run what is missing, in one transaction under the writer's lock."""
    settings = config()
    with maintenance("migrate"), engine.execution_options(write=True).begin() as connection:
        settings.attributes["connection"] = connection
        command.upgrade(settings, "head")


def require_current(engine: Engine) -> None:
    """Raises Unfit when the database is older or newer than this program."""
    head = ScriptDirectory.from_config(config()).get_current_head()
    with maintenance("version"), engine.connect() as connection:
        current = MigrationContext.configure(connection).get_current_revision()
    if current != head:
        raise Unfit(
            f"The database is at version {current or 'none'}, this program needs {head}: run 'sorg upgrade'."
        )
