"""Opening the database: an encrypted SQLite file (SQLCipher), or PostgreSQL by URL.

Statements run only while the gate holds the pen (core.store.work) or inside `maintenance`; anything else raises.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from importlib import import_module
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine, event
from sqlalchemy.pool import QueuePool

from core.errors import Unfit

# The driver's own module names nothing that a type checker could find.
sqlcipher: Any = import_module("sqlcipher3.dbapi2")

_PRAGMAS = (
    "foreign_keys=ON",
    "recursive_triggers=ON",  # else INSERT OR REPLACE would delete rows past the triggers that keep them
    "journal_mode=WAL",
    "synchronous=FULL",
    "temp_store=MEMORY",
    "busy_timeout=15000",
    "cache_size=-16000",
)
_pen: ContextVar[str | None] = ContextVar("pen", default=None)


class SqlOutsideTheGate(RuntimeError):
    """A statement was sent to the database outside Work.act, look, reading or tend: a mistake in the code."""


@contextmanager
def pen(holder: str) -> Iterator[None]:
    """While held, statements may run in this context. Only the gate and maintenance take it."""
    token = _pen.set(holder)
    try:
        yield
    finally:
        _pen.reset(token)


maintenance = pen  # Migrations, backups and benchmarks say who they are: `with maintenance("migrate"):`


def open_sqlcipher(path: Path, key: bytes) -> Engine:
    """Engine on an encrypted file; `key` is 32 raw bytes. Raises Unfit when the key is not the file's."""

    def connect() -> Any:
        connection = sqlcipher.connect(str(path), timeout=15, check_same_thread=False, isolation_level=None)
        try:
            connection.execute(f"PRAGMA key=\"x'{key.hex()}'\"")
            connection.execute("select count(*) from sqlite_master").fetchone()
            for pragma in _PRAGMAS:
                connection.execute("PRAGMA " + pragma)
        except sqlcipher.DatabaseError as error:
            connection.close()
            if "locked" in str(error):
                raise
            raise Unfit(f"The key does not open {path}. Nothing was read or written.") from None
        return connection

    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.touch(mode=0o600)
    engine = create_engine(
        "sqlite://",
        module=sqlcipher,
        creator=connect,
        poolclass=QueuePool,
        pool_size=8,
        max_overflow=24,
        hide_parameters=True,
    )
    return _gated(engine)


def open_postgresql(url: str) -> Engine:
    """Engine on PostgreSQL; encryption at rest is then the database host's task (docs/settings.md says so)."""
    # hide_parameters: an error's text may reach a log, and the parameters hold what patients are called.
    engine = create_engine(url, pool_size=8, max_overflow=24, pool_pre_ping=True, hide_parameters=True)
    return _gated(engine)


def _gated(engine: Engine) -> Engine:
    sqlite = engine.dialect.name == "sqlite"

    @event.listens_for(engine, "begin")
    def _begin(connection) -> None:
        writing = connection.get_execution_options().get("write")
        with pen("begin"):
            if sqlite:
                connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")
            elif not writing:
                connection.exec_driver_sql("SET TRANSACTION READ ONLY")

    @event.listens_for(engine, "before_cursor_execute")
    def _refuse_outside(connection, cursor, statement, parameters, context, executemany) -> None:
        if _pen.get() is None:
            raise SqlOutsideTheGate("SQL outside Work.act, look, reading or tend.")

    return engine
