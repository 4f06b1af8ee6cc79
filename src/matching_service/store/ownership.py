"""Who works on something at this moment: a lock that ends with the process that holds it, however that ends."""

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
    """Hold the lock of this name as long as the block runs; False where another process, or task, holds it.

    name : up to 7 ASCII characters. patience_s : how long to wait for it, ``math.inf`` for ever.
    """
    hold = _holding_file if database.is_sqlite else _holding_session
    give_up_at = monotonic() + patience_s
    while True:
        async with hold(database, name) as is_mine:
            if is_mine or monotonic() >= give_up_at:
                yield is_mine
                return
        await asyncio.sleep(_RETRY_S)


async def is_owned(database: Database, name: str) -> bool:
    """Whether somebody holds the lock at this moment."""
    async with owning(database, name) as is_mine:
        return not is_mine


@asynccontextmanager
async def _holding_session(database: Database, name: str) -> AsyncIterator[bool]:
    """PostgreSQL: an advisory lock of a session of its own, which ends with the connection."""
    key = {"key": int.from_bytes(f"!{name}".encode("ascii"), "big")}  # apart from the locks of transactions
    async with database.engine.connect() as plain:
        connection = await plain.execution_options(isolation_level="AUTOCOMMIT")
        is_mine = bool(await connection.scalar(text("SELECT pg_try_advisory_lock(:key)"), key))
        if not is_mine:
            yield False
            return
        await connection.execute(text(_KEEPALIVE))  # a machine that vanished is noticed in a minute, not in two hours
        try:
            yield True
        finally:
            try:
                await connection.execute(text("SELECT pg_advisory_unlock(:key)"), key)
            except DBAPIError:  # the connection is gone, and the lock with it
                logger.warning("ownership_lost", extra={"lock": name}, exc_info=True)


@asynccontextmanager
async def _holding_file(database: Database, name: str) -> AsyncIterator[bool]:
    """SQLite: a lock on a file beside the database; the database's own lock cannot be held for so long."""
    lock = FileLock(Path(f"{database.url.database}-{name}"))
    try:
        yield lock.acquire()
    finally:
        lock.release()
