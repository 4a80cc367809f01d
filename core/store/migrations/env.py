"""Alembic's entry: migrations run on the connection that core.store.migrate opened."""

from alembic import context

import core.store.append_only  # noqa: F401  the triggers belong to the tables
from core.store.model import Base

connection = context.config.attributes["connection"]
context.configure(
    connection=connection, target_metadata=Base.metadata, render_as_batch=True, compare_type=True
)
with context.begin_transaction():
    context.run_migrations()
