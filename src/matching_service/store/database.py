"""Connections and transactions. The only module that commits."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from socket import gaierror
from typing import Any

import orjson
from sqlalchemy import Connection, Executable, Row, event, func, insert, make_url, select, text
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm.exc import StaleDataError

from matching_service.foundation.errors import Bilingual, Conflict, PreconditionFailed, Unavailable
from matching_service.store.audit import AuditRow
from matching_service.store.chain import START, chained
from matching_service.store.journal import take
from matching_service.store.lookup import in_parts
from matching_service.store.outbox import OutboxRow

_BUSY_TIMEOUT_MS = 10_000
_JOURNAL_LOCK = 0x6F7574626F78  # any constant; the ASCII codes of "outbox"
_BEGIN = "sqlite_begin"
LAST_SEQ = "last_seq"
"""Key of ``session.info``: after the commit, the sequence number of the newest event that it wrote."""
_DEADLOCK = "40P01"
_AWAY_RETRY_S = 5


class Database:
    """One database, by URL. Use ``transaction`` to write and ``reading`` to read only."""

    def __init__(self, url: str, *, patience_s: float | None = None) -> None:
        """``patience_s``: seconds that a statement on PostgreSQL may take, and the wait for a connection; None: no end.

        A server has an end, so that requests do not wait for a database that hangs. Commands have none.
        """
        self.url = make_url(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        if self.is_sqlite and self.url.database and not (path := Path(self.url.database)).exists():
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._new_file: Path | None = path
        else:
            self._new_file = None
        self.engine: AsyncEngine = create_async_engine(
            self.url,
            pool_pre_ping=not self.is_sqlite,
            **({"connect_args": _patience(patience_s), "pool_timeout": patience_s or 30} if not self.is_sqlite else {}),
            json_serializer=_to_json,
            json_deserializer=orjson.loads,
            hide_parameters=True,  # error messages in logs must not contain texts of demands or contact data
        )
        if self.is_sqlite:
            event.listen(self.engine.sync_engine, "connect", _prepare_sqlite)
            event.listen(self.engine.sync_engine, "connect", self._keep_private)
            event.listen(self.engine.sync_engine, "begin", _begin_sqlite)
        self._write = async_sessionmaker(
            self.engine.execution_options(**{_BEGIN: "BEGIN IMMEDIATE"}), expire_on_commit=False
        )
        self._read = async_sessionmaker(self.engine, expire_on_commit=False)
        self._autocommit = self.engine.execution_options(
            **({_BEGIN: None} if self.is_sqlite else {"isolation_level": "AUTOCOMMIT"})
        )
        self._glance_lock = asyncio.Lock()
        self._glance_connection: AsyncConnection | None = None

    def _keep_private(self, _connection: Any, _record: Any) -> None:
        """Keep a new file for its user alone: it holds contact data. Its log gets that mode too."""
        if self._new_file is not None and self._new_file.exists():
            self._new_file.chmod(0o600)
            self._new_file = None

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncSession]:
        """Open a session that commits when the block ends, or rolls back when it raises.

        Raises Conflict if a database constraint is violated, PreconditionFailed if somebody else changed a row in
        between, Unavailable if the database stays locked or detects a deadlock.
        """
        async with self._write() as session:
            try:
                yield session
                await self._write_journal(session)
                if session.in_transaction():  # an unused session has nothing to commit
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
        """Open a session for queries. Changes are rolled back."""
        async with self._read() as session:
            try:
                yield session
            except PoolTimeoutError as error:
                raise Unavailable("database_busy", _BUSY) from error

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[AsyncSession]:
        """Open a session whose queries all see the same state of the database: that of the first query."""
        async with self.reading() as session:
            if not self.is_sqlite:  # a read transaction of SQLite is a snapshot anyway
                await session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
            yield session

    async def glance(self, statement: Executable, parameters: Mapping[str, Any]) -> Row[Any] | None:
        """Return the only row of a query, or None, without a transaction and over a connection that stays open.

        Every request looks up its key this way, so that it does not pay for a transaction.
        """
        async with self._glance_lock:
            try:
                return await self._execute_glance(statement, parameters)
            except DBAPIError:  # the database server may have been restarted since the last call
                await self._close_glance_connection()
                return await self._execute_glance(statement, parameters)

    async def _execute_glance(self, statement: Executable, parameters: Mapping[str, Any]) -> Row[Any] | None:
        if self._glance_connection is None or self._glance_connection.invalidated:
            await self._close_glance_connection()
            try:
                self._glance_connection = await self._autocommit.connect()
            except PoolTimeoutError as error:
                raise Unavailable("database_busy", _BUSY) from error
        return (await self._glance_connection.execute(statement, parameters)).one_or_none()

    async def _close_glance_connection(self) -> None:
        connection, self._glance_connection = self._glance_connection, None
        if connection is not None:
            await connection.close()

    async def close(self) -> None:
        await self._close_glance_connection()
        await self.engine.dispose()

    async def lock(self, session: AsyncSession | AsyncConnection, key: int) -> None:
        """Take this lock, waiting for other transactions, and hold it until the end of this one.

        SQLite needs no lock, because it allows only one write transaction at a time.
        """
        if not self.is_sqlite:
            await session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": key})

    async def _write_journal(self, session: AsyncSession) -> None:
        """Insert the journal's rows.

        The audit log and the outbox come last, so that their lock is held briefly. Their numbers rise in the order of
        the commits.
        """
        if not (journal := take(session)):
            return
        events, audit = journal.pop(OutboxRow, []), journal.pop(AuditRow, [])
        await session.flush()
        for table, rows in journal.items():
            for part in in_parts(rows):
                await session.execute(insert(table), part)
        await self.lock(session, _JOURNAL_LOCK)
        if audit:
            newest = select(AuditRow.seq, AuditRow.digest).order_by(AuditRow.seq.desc()).limit(1)
            last = (await session.execute(newest)).first()
            seq, digest = (last.seq, last.digest) if last is not None else (0, START)
            for part in in_parts(chained(audit, seq, digest)):
                await session.execute(insert(AuditRow), part)
        for part in in_parts(events):
            await session.execute(insert(OutboxRow), part)
        if events:
            session.info[LAST_SEQ] = await session.scalar(select(func.max(OutboxRow.seq)))


def unreachable(error: BaseException) -> Unavailable | None:
    """The error to tell when this one says that the database is away: it refuses connections, or breaks them off."""
    away = _is_broken(error) or (
        isinstance(error, DBAPIError) and (error.connection_invalidated or _is_broken(error.orig) or _says_away(error))
    )
    return Unavailable("database_away", _AWAY, retry_after_s=_AWAY_RETRY_S) if away else None


def _is_broken(error: BaseException | None) -> bool:
    """Whether a connection was refused or broke off; a file that is missing is an OSError too, and a fault of ours."""
    return isinstance(error, ConnectionError | TimeoutError | gaierror) or type(error) is OSError  # several addresses


def _says_away(error: DBAPIError) -> bool:
    """PostgreSQL's classes 08 (connection) and 57P (shut down), or SQLite that cannot open its file."""
    state = getattr(error.orig, "sqlstate", None) or ""
    return state.startswith(("08", "57P", "53300")) or "unable to open database file" in str(error.orig)


_AWAY = Bilingual("数据库暂时连接不上，请稍后重试。", "The database cannot be reached at the moment; try again later.")
_CHANGED = Bilingual(
    "记录已被他人修改，请重新读取后再改。", "The record was changed by somebody else; read it again, then change it."
)
_REFUSED = Bilingual(
    "与已有记录冲突：同一来源的外部编号、信用代码等必须唯一，所引用的记录必须存在。",
    "Conflict with existing records: external ids within a source and credit codes must be unique, and referenced "
    "records must exist.",
)
_BUSY = Bilingual("数据库正忙，请稍后重试。", "The database is busy; try again in a moment.")


def _patience(seconds: float | None) -> dict[str, float]:
    """The time limits of asyncpg."""
    return {} if seconds is None else {"timeout": seconds, "command_timeout": seconds}


def _to_json(value: Any) -> str:
    return orjson.dumps(value).decode()


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    """Prepare a connection: no implicit transactions by the driver, and pragmas for use by a server."""
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
    """Begin a transaction. A writer takes the lock at once, because upgrading a read lock may fail."""
    if begin := connection.get_execution_options().get(_BEGIN, "BEGIN"):
        driver: Any = connection.connection.dbapi_connection
        try:
            # One call to the driver's thread; a cursor of SQLAlchemy would make three.
            driver.run_async(lambda sqlite: sqlite.execute_fetchall(begin))
        except sqlite3.OperationalError as error:
            raise OperationalError(begin, None, error) from error
