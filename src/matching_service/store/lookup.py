"""Queries that several rooms share."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

from anyio import to_thread
from sqlalchemy import ColumnElement, Select, and_, or_, select, true
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstrumentedAttribute
from sqlalchemy.orm.interfaces import ORMOption

from matching_service.foundation.clock import is_id
from matching_service.foundation.errors import Bilingual, external_id_taken
from matching_service.foundation.paging import Page, PageRequest, page_of
from matching_service.store.base import Identified

_PER_STATEMENT = 1_000
"""Both databases limit a statement to about 32,000 parameters. The widest table has about 30 columns."""
_SOURCES_PER_STATEMENT = 100
_SEARCHED_AT_A_TIME = 500

Row = TypeVar("Row", bound=Identified)
Item = TypeVar("Item")


def in_parts(items: Sequence[Item], *, size: int = _PER_STATEMENT) -> Iterator[Sequence[Item]]:
    """Split the items, in order, into parts for one statement each."""
    return (items[start : start + size] for start in range(0, len(items), size))


def id_batches(ids: Iterable[str]) -> Iterator[Sequence[str]]:
    """Split the distinct ids, in ascending order, into batches for one query each."""
    return in_parts(sorted(set(ids)))


async def get_row(
    session: AsyncSession,
    table: type[Row],
    row_id: str,
    *,
    options: Iterable[ORMOption] = (),
    for_update: bool = False,
    where: ColumnElement[bool] | None = None,
) -> Row | None:
    """The row, or None, also when it does not fulfil ``where``; a string that cannot be an id is not even asked for."""
    if not is_id(row_id):
        return None
    if where is not None and where is not true():
        statement = select(table).where(table.id == row_id, where).options(*options)
        if for_update:  # what was read before may have changed until the row was locked
            statement = statement.with_for_update().execution_options(populate_existing=True)
        return (await session.scalars(statement)).one_or_none()
    return await session.get(table, row_id, options=tuple(options), with_for_update=for_update or None)


async def get_by_ids(
    session: AsyncSession, table: type[Row], ids: Iterable[str], *, options: Iterable[ORMOption] = ()
) -> dict[str, Row]:
    """Return rows by id, in batched queries. Missing rows are left out."""
    rows: dict[str, Row] = {}
    for part in in_parts(list(dict.fromkeys(ids))):
        statement = select(table).where(table.id.in_(part)).options(*options)
        rows |= {row.id: row for row in await session.scalars(statement)}
    return rows


async def existing_ids(session: AsyncSession, table: type[Row], ids: Iterable[str]) -> set[str]:
    """Return the ids that exist, in batched queries."""
    existing: set[str] = set()
    for batch in id_batches(ids):
        existing |= set(await session.scalars(select(table.id).where(table.id.in_(batch))))
    return existing


async def get_page(session: AsyncSession, statement: Select[Row], table: type[Row], page: PageRequest) -> Page[Row]:
    """Return one page of a filtered select, newest first."""
    if page.after is not None:
        statement = statement.where(table.id < page.after)
    rows = (await session.scalars(statement.order_by(table.id.desc()).limit(page.limit + 1))).all()
    return page_of(rows, page.limit, lambda row: row.id)


async def find_page(
    session: AsyncSession,
    statement: Select[Row],
    table: type[Row],
    page: PageRequest,
    *,
    columns: Sequence[ColumnElement[Any] | InstrumentedAttribute[Any]],
    is_found: Callable[[Sequence[Any]], bool],
) -> Page[Row]:
    """One page of those rows of a filtered select that a search finds by some columns, newest first.

    The columns are read in parts from the newest row on, as far as the page needs, and searched beside the requests.
    """
    if page.after is not None:
        statement = statement.where(table.id < page.after)
    searched = statement.with_only_columns(table.id, *columns).order_by(table.id.desc())

    def find(part: Sequence[Any]) -> list[str]:
        return [row[0] for row in part if is_found(row[1:])]

    found: list[str] = []
    stream = await session.stream(searched)
    try:
        async for part in stream.partitions(_SEARCHED_AT_A_TIME):
            found += await to_thread.run_sync(find, part)
            if len(found) > page.limit:
                break
    finally:
        await stream.close()
    return await get_page(session, statement.where(table.id.in_(found[: page.limit + 1])), table, page)


async def rows_by_external_id(
    session: AsyncSession, table: type[Row], keys: Iterable[tuple[str, str]], *, options: Iterable[ORMOption] = ()
) -> dict[tuple[str, str], Row]:
    """Return rows by (source, external_id), in batched queries. Missing rows are left out."""
    rows: dict[tuple[str, str], Row] = {}
    for condition in external_id_conditions(table, keys):
        for row in await session.scalars(select(table).where(condition).options(*options)):
            rows[row.source, row.external_id] = row  # type: ignore[attr-defined]
    return rows


async def refuse_taken(
    session: AsyncSession, table: type[Row], source: str, external_id: str | None, *, what: Bilingual
) -> None:
    """Raise Conflict if the external id already belongs to a row."""
    if external_id is not None:
        for row in (await rows_by_external_id(session, table, [(source, external_id)])).values():
            raise external_id_taken(what, external_id, row.id)


def external_id_conditions(table: type[Row], keys: Iterable[tuple[str, str]]) -> Iterator[ColumnElement[bool]]:
    """Yield conditions, each for one statement, that together match the rows of all (source, external_id) pairs.

    They group by source, because SQLite uses no index for a list of pairs and limits the depth of expressions.
    """
    source_, external_id_ = table.source, table.external_id  # type: ignore[attr-defined]
    for part in in_parts(sorted(set(keys))):
        by_source: dict[str, list[str]] = defaultdict(list)
        for source, external_id in part:
            by_source[source].append(external_id)
        for sources in in_parts(list(by_source.items()), size=_SOURCES_PER_STATEMENT):
            yield or_(*(and_(source_ == source, external_id_.in_(ids)) for source, ids in sources))
