"""Opens the ranking engine for a command."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from matching_service.cli.opening import open_database
from matching_service.engines import create_engine
from matching_service.foundation.settings import Settings
from matching_service.matching.engine import Engine


@asynccontextmanager
async def open_engine(
    settings: Settings | None = None, *, indexed: bool = True, created: bool = True
) -> AsyncIterator[Engine]:
    """Open the engine on the database of the settings.

    indexed : load or build the indexes and compute all missing vectors.
    created : see ``open_database``.
    """
    chosen = settings or Settings()
    async with open_database(chosen, created=created) as database:
        engine = create_engine(chosen, database)
        if indexed:
            await engine.open()
            await engine.complete()
        yield engine
