"""Named locks that are released when their process ends, also when it is killed."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from time import monotonic

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from matching_service.foundation.locks import FileLock
from matching_service.store.database import Database

logger = logging.getLogger(__name__)
_RETRY_S = 0.1
_KEEPALIVE = """SELECT set_config('tcp_keepalives_idle', '30', false),
    set_config('tcp_keepalives_interval', '10', false), set_config('tcp_keepalives_count', '3', false)"""


@asynccontextmanager
async def owning(database: Database, name: str, *, patience_s: float = 0.0) -> AsyncIterator[bool]:
    """Hold the lock with this name while the block runs. Yields False if another process or task holds it.

    name : up to 7 ASCII characters.
    patience_s : how long to wait for the lock; ``math.inf``: without limit.
    """
    hold = _file_lock if database.is_sqlite else _session_lock
    give_up_at = monotonic() + patience_s
    while True:
        async with hold(database, name) as is_owner:
            if is_owner or monotonic() >= give_up_at:
                yield is_owner
                return
        await asyncio.sleep(_RETRY_S)


async def is_owned(database: Database, name: str) -> bool:
    """Whether anybody holds the lock now."""
    async with owning(database, name) as is_owner:
        return not is_owner


@asynccontextmanager
async def _session_lock(database: Database, name: str) -> AsyncIterator[bool]:
    """PostgreSQL: a session advisory lock on a connection of its own. The server releases it with the connection."""
    key = {"key": int.from_bytes(f"!{name}".encode("ascii"), "big")}  # "!" keeps it apart from transaction locks
    async with database.engine.connect() as plain:
        connection = await plain.execution_options(isolation_level="AUTOCOMMIT")
        is_owner = bool(await connection.scalar(text("SELECT pg_try_advisory_lock(:key)"), key))
        if not is_owner:
            yield False
            return
        await connection.execute(text(_KEEPALIVE))  # a vanished machine is detected in a minute instead of two hours
        try:
            yield True
        finally:
            try:
                await connection.execute(text("SELECT pg_advisory_unlock(:key)"), key)
            except DBAPIError:  # the connection is gone, and the lock with it
                logger.warning("ownership_lost", extra={"lock": name}, exc_info=True)


@asynccontextmanager
async def _file_lock(database: Database, name: str) -> AsyncIterator[bool]:
    """SQLite: a lock on a file beside the database, because a lock of the database would block all writers."""
    lock = FileLock(Path(f"{database.url.database}-{name}"))
    try:
        yield lock.acquire()
    finally:
        lock.release()
