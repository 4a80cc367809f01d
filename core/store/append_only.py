"""Tables whose rows are never changed or deleted, held so by the database itself."""

from __future__ import annotations

from sqlalchemy import Table, event
from sqlalchemy.engine import Connection

from core.store.model.base import Base

APPEND_ONLY: tuple[str, ...] = (
    "audit_entry", "study_event", "report_version", "posting", "claim_event", "consent",
)  # fmt: skip


def triggers(table: str, dialect: str) -> list[str]:
    """The statements that make `table` append-only, for SQLite or PostgreSQL."""
    if dialect == "sqlite":
        return [
            f"create trigger {table}_no_{verb} before {verb} on {table} "
            f"begin select raise(abort, '{table} is append-only'); end"
            for verb in ("update", "delete")
        ]
    return [
        "create or replace function append_only() returns trigger language plpgsql as "
        "$$ begin raise exception using message = tg_table_name || ' is append-only'; end $$",
        f"create trigger {table}_append_only before update or delete or truncate on {table} "
        "for each statement execute function append_only()",
    ]


@event.listens_for(Base.metadata, "after_create")
def _seal(metadata: object, connection: Connection, tables: list[Table] | None = None, **_: object) -> None:
    for table in tables or []:
        if table.name in APPEND_ONLY:
            for statement in triggers(table.name, connection.dialect.name):
                connection.exec_driver_sql(statement)
