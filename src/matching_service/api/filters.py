"""What every list of records can be asked for: one set of filters, and one search."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, TypeVar

from fastapi import Depends, Query
from pydantic import AwareDatetime
from sqlalchemy import ColumnElement, Select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstrumentedAttribute

from matching_service.api.fields import IN_REGION, Blank, EntityId, ExternalId, RegionPrefix, Search, Source
from matching_service.foundation.paging import Page, PageRequest
from matching_service.store.base import Identified
from matching_service.store.lookup import find_page, get_page
from matching_service.text import search

Row = TypeVar("Row", bound=Identified)
Columns = Sequence[InstrumentedAttribute[Any] | ColumnElement[Any]]


@dataclass(frozen=True, slots=True)
class RecordFilter:
    """None restricts nothing."""

    external_id: str | None = None
    source: str | None = None
    updated_since: datetime | None = None
    region: str | None = None
    q: str | None = None
    organization_id: str | None = None

    async def page(
        self, session: AsyncSession, statement: Select[Row], table: type[Row], page: PageRequest, *, searched: Columns
    ) -> Page[Row]:
        """One page of the select's rows, newest first. ``searched``: the columns in which ``q`` is looked for."""
        columns: Any = table
        for name in ("external_id", "source", "organization_id"):
            if (value := getattr(self, name)) is not None:
                statement = statement.where(getattr(columns, name) == value)
        if self.region is not None:
            statement = statement.where(columns.region.startswith(self.region))
        if self.updated_since is not None:
            statement = statement.where(columns.updated_at >= self.updated_since)
        query = search.Search.of(self.q)
        if not query.words:
            return await get_page(session, statement, table, page)
        return await find_page(
            session, statement, table, page, columns=searched,
            is_found=lambda values: query.finds(search.SearchedText(_texts(values))),
        )  # fmt: skip


def _texts(values: Iterable[str | list[str] | None]) -> list[str | None]:
    """The texts of a row's columns, of which some are lists."""
    return [text for value in values for text in (value if isinstance(value, list) else [value])]


async def _record_filter(
    external_id: Annotated[ExternalId | None, Blank, Query(description="外部编号: your system's own id.")] = None,
    source: Annotated[Source | None, Blank, Query(description="来源: the system that sent it.")] = None,
    updated_since: Annotated[
        AwareDatetime | None, Blank, Query(description="Changed at this moment or later (RFC 3339 with a zone).")
    ] = None,
    region: Annotated[
        RegionPrefix | None,
        Blank,
        Query(description=IN_REGION),
    ] = None,
    q: Annotated[
        Search | None,
        Blank,
        Query(
            description="All words must be found, in names, titles, texts or codes; synonyms count, as on the board."
        ),
    ] = None,
) -> RecordFilter:
    return RecordFilter(external_id, source, updated_since, region, q)


RecordFilterDep = Annotated[RecordFilter, Depends(_record_filter)]
OfOrganization = Annotated[EntityId | None, Blank, Query(description="机构: id of the organization it belongs to.")]
