"""Queries that more than one room asks for."""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Generic, Protocol, TypeVar

from sqlalchemy import Select, select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm.interfaces import ORMOption

from matching_service.foundation.paging import Page, PageRequest, encode_cursor
from matching_service.store.base import Identified

_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_KEYS_PER_QUERY = 500
"""Both databases limit the number of parameters of one statement."""

Row = TypeVar("Row", bound=Identified)


def is_id(text: str) -> bool:
    """True for what can be an id of ours, whether it belongs to a row or not."""
    return _ID.fullmatch(text) is not None


def id_batches(ids: Iterable[str]) -> Iterator[list[str]]:
    """The different ids, rising, in lists that one query can take."""
    wanted = sorted(set(ids))
    for start in range(0, len(wanted), _KEYS_PER_QUERY):
        yield wanted[start : start + _KEYS_PER_QUERY]


async def get_row(
    session: AsyncSession,
    table: type[Row],
    row_id: str,
    *,
    options: Iterable[ORMOption] = (),
    for_update: bool = False,
) -> Row | None:
    """The row, or None; a string that cannot be an id is not even asked for."""
    if not is_id(row_id):
        return None
    return await session.get(table, row_id, options=tuple(options), with_for_update=for_update or None)


async def get_by_ids(
    session: AsyncSession, table: type[Row], ids: Iterable[str], *, options: Iterable[ORMOption] = ()
) -> dict[str, Row]:
    """Rows by id, in as few queries as the databases allow."""
    wanted = list(dict.fromkeys(ids))
    rows: dict[str, Row] = {}
    for start in range(0, len(wanted), _KEYS_PER_QUERY):
        statement = select(table).where(table.id.in_(wanted[start : start + _KEYS_PER_QUERY])).options(*options)
        rows |= {row.id: row for row in await session.scalars(statement)}
    return rows


async def existing_ids(session: AsyncSession, table: type[Row], ids: Iterable[str]) -> set[str]:
    """Those of the ids that belong to a row, in as few queries as the databases allow."""
    found: set[str] = set()
    for batch in id_batches(ids):
        found |= set(await session.scalars(select(table.id).where(table.id.in_(batch))))
    return found


async def get_page(session: AsyncSession, statement: Select[Row], table: type[Row], page: PageRequest) -> Page[Row]:
    """One page of a filtered select, newest first."""
    if page.after is not None:
        statement = statement.where(table.id < page.after)
    rows = (await session.scalars(statement.order_by(table.id.desc()).limit(page.limit + 1))).all()
    items = rows[: page.limit]
    return Page(items, encode_cursor(items[-1].id) if len(rows) > page.limit else None)


async def rows_by_external_id(
    session: AsyncSession, table: type[Row], keys: Iterable[tuple[str, str]], *, options: Iterable[ORMOption] = ()
) -> dict[tuple[str, str], Row]:
    """The rows of the given (source, external_id) pairs, in as few queries as the databases allow."""
    wanted = sorted(set(keys))
    found: dict[tuple[str, str], Row] = {}
    source, external_id = table.source, table.external_id  # type: ignore[attr-defined]
    for start in range(0, len(wanted), _KEYS_PER_QUERY):
        chunk = wanted[start : start + _KEYS_PER_QUERY]
        statement = select(table).where(tuple_(source, external_id).in_(chunk)).options(*options)
        for row in await session.scalars(statement):
            found[row.source, row.external_id] = row  # type: ignore[attr-defined]
    return found


class Upsertable(Protocol):
    """A body that may name an existing row by (source, external_id), or in a file by our own id."""

    source: str
    external_id: str | None

    @property
    def row_id(self) -> str | None: ...


class ExistingRows(Generic[Row]):
    """The rows that a batch of bodies speaks of, loaded in a few queries; rows made on the way are added."""

    def __init__(self, by_id: dict[str, Row], by_external_id: dict[tuple[str, str], Row]) -> None:
        self._by_id = by_id
        self._by_external_id = by_external_id

    @classmethod
    async def load(
        cls, session: AsyncSession, table: type[Row], items: Sequence[Upsertable], *, options: Sequence[ORMOption] = ()
    ) -> "ExistingRows[Row]":
        keys = [(item.source, item.external_id) for item in items if item.external_id is not None]
        ids = sorted({item.row_id for item in items if item.row_id is not None})
        by_id = await get_by_ids(session, table, ids, options=options)
        return cls(by_id, await rows_by_external_id(session, table, keys, options=options))

    def find(self, item: Upsertable) -> Row | None:
        if item.external_id is not None and (row := self._by_external_id.get((item.source, item.external_id))):
            return row
        return self._by_id.get(item.row_id) if item.row_id is not None else None

    def add(self, item: Upsertable, row: Row) -> None:
        self._by_id[row.id] = row
        if item.external_id is not None:
            self._by_external_id[item.source, item.external_id] = row
