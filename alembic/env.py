"""Alembic's entry: runs the steps on the connection that ``migrate.py`` hands over."""

from typing import Any, Literal

from alembic import context

from matching_service.store.base import UtcDateTime
from matching_service.store.tables import Table


def render_item(kind: str, item: Any, _: Any) -> str | Literal[False]:
    """Steps outlive our classes, so they name SQLAlchemy's types only."""
    return "sa.DateTime(timezone=True)" if kind == "type" and isinstance(item, UtcDateTime) else False


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Table.metadata,
    render_as_batch=True,  # SQLite cannot alter most things in place
    render_item=render_item,
    compare_type=True,
)
with context.begin_transaction():
    context.run_migrations()
