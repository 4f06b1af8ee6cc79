"""Connections and transactions. The only module that commits."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
from sqlalchemy import Connection, Executable, Row, event, func, insert, make_url, select, text
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm.exc import StaleDataError

from matching_service.foundation.errors import Conflict, PreconditionFailed, Text, Unavailable
from matching_service.store.journal import take
from matching_service.store.lookup import in_parts
from matching_service.store.outbox import OutboxRow

_BUSY_TIMEOUT_MS = 10_000
_OUTBOX_LOCK = 0x6F7574626F78  # any constant; the ASCII codes of "outbox"
_BEGIN = "sqlite_begin"
LAST_SEQ = "last_seq"
"""Key of ``session.info``: after the commit, the number of the newest event that it wrote."""
_DEADLOCK = "40P01"


class Database:
    """One database, by URL. ``transaction`` is for work that writes, ``reading`` for work that does not."""

    def __init__(self, url: str) -> None:
        self.url = make_url(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        if self.is_sqlite and self.url.database:
            Path(self.url.database).parent.mkdir(parents=True, exist_ok=True)
        self.engine: AsyncEngine = create_async_engine(
            self.url,
            pool_pre_ping=not self.is_sqlite,
            json_serializer=_to_json,
            json_deserializer=orjson.loads,
            hide_parameters=True,  # texts of demands and contact data must not reach a log by way of an error
        )
        if self.is_sqlite:
            event.listen(self.engine.sync_engine, "connect", _prepare_sqlite)
            event.listen(self.engine.sync_engine, "begin", _begin_sqlite)
        self._write = async_sessionmaker(
            self.engine.execution_options(**{_BEGIN: "BEGIN IMMEDIATE"}), expire_on_commit=False
        )
        self._read = async_sessionmaker(self.engine, expire_on_commit=False)
        self._autocommit = self.engine.execution_options(
            **({_BEGIN: None} if self.is_sqlite else {"isolation_level": "AUTOCOMMIT"})
        )
        self._glancing = asyncio.Lock()
        self._kept: AsyncConnection | None = None

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncSession]:
        """A session whose work is committed when the block ends, or rolled back when it raises.

        Raises Conflict when a constraint of the database refuses the work, PreconditionFailed when somebody
        else changed a row in between, Unavailable when the database stays locked or two wait for each other.
        """
        async with self._write() as session:
            try:
                yield session
                await self._write_journal(session)
                if session.in_transaction():  # a session that nobody used has nothing to commit
                    await session.commit()
            except StaleDataError as error:
                raise PreconditionFailed("row_changed", _CHANGED) from error
            except IntegrityError as error:
                raise Conflict("constraint_violated", _REFUSED) from error
            except PoolTimeoutError as error:
                raise Unavailable("database_busy", _BUSY) from error
            except DBAPIError as error:
                if "database is locked" in str(error.orig) or getattr(error.orig, "sqlstate", None) == _DEADLOCK:
                    raise Unavailable("database_busy", _BUSY) from error
                raise

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncSession]:
        """A session for queries; whatever it would have changed is dropped."""
        async with self._read() as session:
            try:
                yield session
            except PoolTimeoutError as error:
                raise Unavailable("database_busy", _BUSY) from error

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[AsyncSession]:
        """A session for queries that all see the database as the first of them does."""
        async with self.reading() as session:
            if not self.is_sqlite:  # there a transaction that reads is one anyway
                await session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
            yield session

    async def glance(self, statement: Executable, parameters: Mapping[str, Any]) -> Row[Any] | None:
        """The row that a query finds, or None. Every request begins with one, to look up its key: hence no transaction
        around it, and a connection of its own that stays open.
        """
        async with self._glancing:
            try:
                return await self._ask(statement, parameters)
            except DBAPIError:  # the server may have been started anew since the last one
                await self._hang_up()
                return await self._ask(statement, parameters)

    async def _ask(self, statement: Executable, parameters: Mapping[str, Any]) -> Row[Any] | None:
        if self._kept is None or self._kept.invalidated:
            await self._hang_up()
            try:
                self._kept = await self._autocommit.connect()
            except PoolTimeoutError as error:
                raise Unavailable("database_busy", _BUSY) from error
        return (await self._kept.execute(statement, parameters)).one_or_none()

    async def _hang_up(self) -> None:
        kept, self._kept = self._kept, None
        if kept is not None:
            await kept.close()

    async def close(self) -> None:
        await self._hang_up()
        await self.engine.dispose()

    async def lock(self, session: AsyncSession | AsyncConnection, key: int) -> None:
        """Wait until no other transaction holds this lock, and hold it to the end of this one.

        On SQLite a write transaction is alone anyway.
        """
        if not self.is_sqlite:
            await session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": key})

    async def _write_journal(self, session: AsyncSession) -> None:
        """Insert what was only added, the outbox last, so that its lock is held for as short as can be."""
        if not (journal := take(session)):
            return
        events = journal.pop(OutboxRow, [])
        await session.flush()
        for table, rows in journal.items():
            for part in in_parts(rows):
                await session.execute(insert(table), part)
        if events:
            await self.lock(session, _OUTBOX_LOCK)
        for part in in_parts(events):
            await session.execute(insert(OutboxRow), part)
        if events:
            session.info[LAST_SEQ] = await session.scalar(select(func.max(OutboxRow.seq)))


_CHANGED = Text(
    "记录已被他人修改，请重新读取后再改。", "The record was changed by somebody else; read it again, then change it."
)
_REFUSED = Text(
    "与已有记录冲突：同一来源的外部编号、信用代码等必须唯一，所引用的记录必须存在。",
    "In conflict with existing records: external ids within a source and credit codes are unique, and what is "
    "referred to must exist.",
)
_BUSY = Text("数据库正忙，请稍后重试。", "The database is busy; try again.")


def _to_json(value: Any) -> str:
    return orjson.dumps(value).decode()


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    """Per connection: no implicit transactions by the driver, and the pragmas that make SQLite a server's database."""
    connection.isolation_level = None
    cursor: sqlite3.Cursor = connection.cursor()
    for pragma in (
        "journal_mode = WAL",
        "foreign_keys = ON",
        f"busy_timeout = {_BUSY_TIMEOUT_MS}",
        "synchronous = NORMAL",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    """Writers take the lock at once: a reader that turns writer half-way could only fail."""
    if begin := connection.get_execution_options().get(_BEGIN, "BEGIN"):
        driver: Any = connection.connection.dbapi_connection
        try:
            # One trip to the driver's thread; a cursor of SQLAlchemy's would make three.
            driver.run_async(lambda sqlite: sqlite.execute_fetchall(begin))
        except sqlite3.OperationalError as error:
            raise OperationalError(begin, None, error) from error
