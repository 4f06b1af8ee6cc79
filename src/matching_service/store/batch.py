"""Batches of rows: read with a few queries, change as plain objects, write with a few statements.

The objects are detached from the session, because its unit of work would write them one by one.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Generic, Protocol, TypeVar

from sqlalchemy import Column, bindparam, delete, insert, inspect, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstanceState

from matching_service.foundation.clock import now
from matching_service.store.base import Identified, Table, Versioned
from matching_service.store.lookup import external_id_conditions, in_parts

Row = TypeVar("Row", bound=Identified)
AnyRow = TypeVar("AnyRow", bound=Table)


class Upsertable(Protocol):
    """A body that may refer to an existing row by (source, external_id), or, in files, by our own id."""

    @property
    def source(self) -> str: ...

    @property
    def external_id(self) -> str | None: ...

    @property
    def row_id(self) -> str | None: ...


class Batch(Generic[Row]):
    """The rows of one table that a batch of bodies refers to, including rows created meanwhile."""

    def __init__(self) -> None:
        self._by_id: dict[str, Row] = {}
        self._by_external_id: dict[tuple[str, str], Row] = {}

    @classmethod
    async def load(cls, session: AsyncSession, table: type[Row], items: Sequence[Upsertable]) -> "Batch[Row]":
        """Load the existing rows and lock them until the end of the transaction, so that nobody else changes them."""
        batch = cls()
        keys = ((item.source, item.external_id) for item in items if item.external_id is not None)
        ids = sorted({item.row_id for item in items if item.row_id is not None})
        for condition in (*external_id_conditions(table, keys), *(table.id.in_(part) for part in in_parts(ids))):
            # In the order of ids, so that two batches that lock the same rows cannot deadlock.
            statement = select(table).where(condition).order_by(table.id)
            # Rows already in the session are read again, because they may have changed before they were locked.
            locked = statement.with_for_update(key_share=True).execution_options(populate_existing=True)
            for row in (await session.scalars(locked)).all():
                session.expunge(row)
                if row.id not in batch._by_id:
                    batch.add(row)
        return batch

    @property
    def rows(self) -> Sequence[Row]:
        return list(self._by_id.values())

    def find(self, item: Upsertable) -> Row | None:
        if item.external_id is not None and (row := self._by_external_id.get((item.source, item.external_id))):
            return row
        return self._by_id.get(item.row_id) if item.row_id is not None else None

    def add(self, row: Row) -> None:
        """Add a new row, or register a row under its new external id."""
        self._by_id[row.id] = row
        if row.external_id is not None:  # type: ignore[attr-defined]
            self._by_external_id[row.source, row.external_id] = row  # type: ignore[attr-defined]


def new_row(table: type[AnyRow], values: Mapping[str, Any]) -> AnyRow:
    """Return a new row. Bypasses SQLAlchemy's change tracking, which takes most of the time of creating a row."""
    row = table()
    vars(row).update(values)
    return row


async def write_rows(session: AsyncSession, table: type[Table], rows: Iterable[Table]) -> None:
    """Insert the new rows and update the changed ones, in bulk statements.

    The rows must be detached from the session, and existing rows must be locked by this transaction.
    """
    sql = Table.metadata.tables[table.__tablename__]
    states: list[InstanceState[Any]] = [inspect(row) for row in rows]
    defaults = {column.key: _default(column) for column in sql.columns}
    for new in in_parts([state.dict for state in states if state.transient]):
        values = [{name: row[name] if name in row else default() for name, default in defaults.items()} for row in new]
        await session.execute(insert(sql).inline(), values)
    for changed in in_parts([state for state in states if state.detached and state.modified]):
        for state in changed:
            if isinstance(row := state.object, Versioned):
                row.row_version, row.updated_at = row.row_version + 1, now()
        names = {name for state in changed for name in state.committed_state} & set(sql.c.keys())
        values = [{"row_id": state.dict["id"]} | {name: state.dict[name] for name in names} for state in changed]
        await session.execute(update(sql).where(sql.c.id == bindparam("row_id")), values)


async def delete_rows(session: AsyncSession, table: type[Identified], ids: Iterable[str]) -> None:
    """Delete rows by id, in bulk statements."""
    for part in in_parts(sorted(ids)):
        await session.execute(delete(table).where(table.id.in_(part)))


def _default(column: Column[Any]) -> Callable[[], Any]:
    """Return a function that makes the default of a column, as a flush would."""
    default: Any = column.default
    if default is None:
        return lambda: None
    return (lambda: default.arg(None)) if default.is_callable else (lambda: default.arg)
