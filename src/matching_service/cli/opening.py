"""Opens the database for a command, and runs its coroutine."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError as SettingsError
from sqlalchemy import make_url

from matching_service.cli.settings import read_settings
from matching_service.foundation.errors import Bilingual, NotFound
from matching_service.foundation.settings import Settings
from matching_service.store import migrate as migrations
from matching_service.store.database import Database

Result = TypeVar("Result")

_NO_DATABASE = Bilingual(
    "没有数据库。请检查 MATCHING_DATABASE_URL 与 MATCHING_DATA_DIR，或先运行 matching-service migrate。",
    "There is no database. Check MATCHING_DATABASE_URL and MATCHING_DATA_DIR, or run matching-service migrate first.",
)


def run(work: Coroutine[Any, Any, Result]) -> Result:
    """Run the coroutine of a command. Logs are configured first; invalid settings raise a ValidationError."""
    try:
        read_settings()
    except SettingsError:
        work.close()
        raise
    return asyncio.run(work)


@asynccontextmanager
async def open_database(
    settings: Settings | None = None, *, prepared: bool = True, created: bool = True
) -> AsyncIterator[Database]:
    """Open the database of the settings.

    prepared : raise an error if the schema has another revision than the code. Only ``migrate`` passes False.
    created : create the schema in an empty database; if False, raise NotFound and make no file. Only ``serve`` and
        ``demo`` create: with a mistyped path another command would succeed on an empty database. No effect unless
        ``prepared``.
    """
    url = (settings or Settings()).effective_database_url
    if prepared and not created and _is_missing_file(url):
        raise NotFound("no_database", _NO_DATABASE)
    database = Database(url)
    try:
        if prepared and await migrations.is_empty(database):
            if not created:
                raise NotFound("no_database", _NO_DATABASE)
            await migrations.upgrade(database)
        if prepared:
            await migrations.check_schema(database)
        yield database
    finally:
        await database.close()


def _is_missing_file(url: str) -> bool:
    """Whether it is the URL of a SQLite file that does not exist. Opening it would make it."""
    path = make_url(url)
    return path.get_backend_name() == "sqlite" and not Path(path.database or "").is_file()
