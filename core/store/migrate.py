"""Bringing a database to this version, by alembic, under the practice's own key."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Engine, inspect

from core.errors import Unfit
from core.store.db import maintenance

# Alembic and its templates take 10 MB, and every process that serves people only asks how old its database is.
if TYPE_CHECKING:
    from alembic.config import Config

_LOCK = 0x534F5248  # PostgreSQL's advisory lock: one process upgrades, the others wait and find nothing to do
_SCRIPTS = Path(__file__).parent / "migrations"


def config() -> Config:
    """Alembic's configuration: the scripts beside this file, and no address anywhere."""
    from alembic.config import Config

    settings = Config()
    settings.set_main_option("script_location", str(_SCRIPTS))
    return settings


def upgrade(engine: Engine, *, to: str = "head") -> None:
    """Run what is missing, in one transaction under the writer's lock. Raises Unfit for a newer database."""
    from alembic import command

    settings = config()
    with maintenance("migrate"), engine.execution_options(write=True).connect() as connection:
        with _tables_may_be_rebuilt(connection), connection.begin():
            if connection.dialect.name == "postgresql":
                connection.exec_driver_sql(f"select pg_advisory_xact_lock({_LOCK})")
            _refuse_newer(_version_of(connection))
            settings.attributes["connection"] = connection
            command.upgrade(settings, to)
            _refuse_loose_ends(connection)


def _refuse_loose_ends(connection: Connection) -> None:
    if connection.dialect.name == "sqlite" and connection.exec_driver_sql("PRAGMA foreign_key_check").first():
        raise Unfit("Rows of this database point at rows that are not there. Nothing was changed.")


@contextmanager
def _tables_may_be_rebuilt(connection: Connection) -> Iterator[None]:
    """SQLite changes a table by making it anew; dropping the old one must not count as taking its rows away."""
    if connection.dialect.name != "sqlite":
        yield
        return
    raw: Any = connection.connection.dbapi_connection
    raw.execute("PRAGMA foreign_keys=OFF")  # Inside a transaction SQLite would ignore it.
    try:
        yield
    finally:
        raw.execute("PRAGMA foreign_keys=ON")


def require_current(engine: Engine) -> None:
    """Raises Unfit when the database is older or newer than this program."""
    with maintenance("version"), engine.connect() as connection:
        current = _version_of(connection)
    _refuse_newer(current)
    if current != (head := versions()[-1]):
        raise Unfit(
            f"The database is at version {current or 'none'}, this program needs {head}: run 'sorg upgrade'."
        )


def versions() -> list[str]:
    """The versions that this program knows, oldest first: what the scripts' names begin with."""
    return sorted(path.name[:4] for path in (_SCRIPTS / "versions").glob("[0-9]*.py"))


def _version_of(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.exec_driver_sql("select version_num from alembic_version").scalar()


def _refuse_newer(current: str | None) -> None:
    if current is not None and current not in versions():
        raise Unfit(
            f"The database is at version {current}, which is newer than this program: update the program."
        )
