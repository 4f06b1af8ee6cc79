"""Alembic's entry. ``matching-service migrate`` hands over its connection; the command ``alembic`` has none, and gets
one to the database of the settings, opened in the same way.
"""

import asyncio
import logging
from typing import Any, Literal

from alembic import context
from sqlalchemy import Connection

from matching_service.foundation.settings import Settings
from matching_service.store.base import UtcDateTime
from matching_service.store.database import Database
from matching_service.store.migrate import migrating
from matching_service.store.tables import Table


def render_item(kind: str, item: Any, _: Any) -> str | Literal[False]:
    """Migrations outlive our classes, so they name SQLAlchemy's types only."""
    return "sa.DateTime(timezone=True)" if kind == "type" and isinstance(item, UtcDateTime) else False


def run(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=Table.metadata,
        render_as_batch=True,  # SQLite cannot alter most things in place
        render_item=render_item,
        compare_type=True,
    )
    with context.begin_transaction():
        context.run_migrations()


async def run_on_the_database_of_the_settings() -> None:
    database = Database(Settings().effective_database_url)
    try:
        await migrating(database, run)
    finally:
        await database.close()


if (given := context.config.attributes.get("connection")) is not None:
    run(given)
else:
    logging.basicConfig(level=logging.INFO, format="%(levelname)s [%(name)s] %(message)s")
    asyncio.run(run_on_the_database_of_the_settings())
