"""The board in memory, because anyone may read it without a key and without a limit.

One small query tells whether a demand has changed since; only then the listing is rebuilt. Searches need no database.
"""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from anyio import to_thread
from sqlalchemy import select

from matching_service.board.schemas import BoardDemand
from matching_service.demands.states import OPEN
from matching_service.foundation.errors import Bilingual, not_found
from matching_service.store.database import Database
from matching_service.store.demands import DemandRow
from matching_service.store.outbox import last_seq, moment_of
from matching_service.text.search import Search, SearchedText


@dataclass(frozen=True, slots=True)
class Entry:
    """A demand on the board with the text by which it is found."""

    demand: BoardDemand
    row_version: int
    text: SearchedText

    @property
    def sort_key(self) -> tuple[datetime, str]:
        """Larger for later publications, which come first."""
        return self.demand.published_at, self.demand.id


@dataclass(frozen=True, slots=True)
class Listing:
    """All entries, newest publication first. ``as_of``: number of the last demand event that they include.

    changed_at : when that was; None before the first one.
    """

    as_of: int = -1
    entries: tuple[Entry, ...] = ()
    changed_at: datetime | None = None

    def etag(self, on: date) -> str:
        """Return the ETag on a day. It changes with the date, because demands expire overnight."""
        return f'"{self.as_of}-{on:%Y%m%d}"'

    def find(
        self, *, on: date, q: str | None, cluster: str | None, region: str | None, industry_code: str | None
    ) -> Iterator[Entry]:
        """Yield the entries that can be claimed on that day and pass the filters. Every word of ``q`` must match."""
        search = Search.of(q)
        for entry in self.entries:
            demand = entry.demand
            if (
                (demand.expires_on is None or demand.expires_on >= on)
                and (cluster is None or demand.cluster == cluster)
                and (region is None or (demand.region or "").startswith(region))
                and (industry_code is None or (demand.industry_code or "").startswith(industry_code))
                and search.finds(entry.text)
            ):
                yield entry

    def get(self, demand_id: str, *, on: date) -> BoardDemand:
        """Return the demand. Raises NotFound if it is not on the board on that day, even if it exists."""
        for entry in self.entries:
            demand = entry.demand
            if demand.id == demand_id and (demand.expires_on is None or demand.expires_on >= on):
                return demand
        raise not_found(Bilingual("榜单上的需求", "On the list, demand"), demand_id, code="not_on_the_board")


class Board:
    """Holds the current listing of this process."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = asyncio.Lock()
        self._listing = Listing()

    async def listing(self) -> Listing:
        """Return a listing that includes every change committed before this call."""
        if self._listing.as_of >= await self._last_change():
            return self._listing
        async with self._lock:
            as_of = await self._last_change()  # read before the rows, so that a later change causes another rebuild
            if self._listing.as_of < as_of:
                known = {entry.demand.id: entry for entry in self._listing.entries}
                statement = select(DemandRow).where(DemandRow.status.in_(OPEN), DemandRow.visibility == "public")
                async with self._database.reading() as session:
                    rows = (await session.scalars(statement)).all()
                    changed_at = await moment_of(session, as_of)
                entries = await to_thread.run_sync(_entries, rows, known)
                self._listing = Listing(as_of, entries, changed_at)
        return self._listing

    async def _last_change(self) -> int:
        async with self._database.reading() as session:
            return await last_seq(session, entity="demand")


def _entries(rows: Sequence[DemandRow], known: Mapping[str, Entry]) -> tuple[Entry, ...]:
    """Turn rows into entries in the order of the board. Entries of unchanged rows are reused."""
    entries: list[Entry] = []
    for row in rows:
        entry = known.get(row.id)
        if entry is None or entry.row_version != row.row_version:
            demand = BoardDemand.model_validate(row)
            parts = (row.title, row.problem, row.key_technology, row.expected_goal, row.field)
            lists = (*row.keywords, *row.must_have, *row.nice_to_have)
            entry = Entry(demand, row.row_version, SearchedText((*parts, *lists)))
        entries.append(entry)
    return tuple(sorted(entries, key=lambda entry: entry.sort_key, reverse=True))
