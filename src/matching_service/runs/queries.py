"""Queries for match runs."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import and_, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from matching_service.foundation.errors import Bilingual, not_found
from matching_service.foundation.paging import Page, PageRequest
from matching_service.store.demands import DemandRow
from matching_service.store.lookup import get_page, get_row
from matching_service.store.shortlists import NIGHT_SCOPES, ListState, MatchListRow, MatchRunRow, RunScope, RunState


@dataclass(frozen=True, slots=True)
class ClusterChanges:
    """Changes in one industry cluster: the number of demands with a changed list, and of entries that changed."""

    cluster: str | None
    n_demands: int
    n_entered: int
    n_left: int
    n_moved: int


async def get_run(session: AsyncSession, run_id: str, *, for_update: bool = False) -> MatchRunRow:
    """Return the run. ``for_update`` locks the row until the transaction ends. Raises NotFound."""
    if (row := await get_row(session, MatchRunRow, run_id, for_update=for_update)) is None:
        raise not_found(Bilingual("匹配任务", "Match run"), run_id, code="match_run_not_found")
    return row


async def running_run(session: AsyncSession) -> MatchRunRow | None:
    """Return the run over many demands that is still running, if any."""
    statement = select(MatchRunRow).where(MatchRunRow.scope.in_(NIGHT_SCOPES), MatchRunRow.state == RunState.RUNNING)
    return await session.scalar(statement.order_by(MatchRunRow.id).limit(1))


async def last_finished_run(session: AsyncSession) -> MatchRunRow | None:
    """Return the newest finished run over many demands, if any."""
    statement = select(MatchRunRow).where(MatchRunRow.scope.in_(NIGHT_SCOPES), MatchRunRow.state == RunState.FINISHED)
    return await session.scalar(statement.order_by(MatchRunRow.id.desc()).limit(1))


async def list_runs(
    session: AsyncSession, page: PageRequest, *, scope: RunScope | None, state: RunState | None
) -> Page[MatchRunRow]:
    """Return runs, newest first."""
    statement = select(MatchRunRow)
    if scope:
        statement = statement.where(MatchRunRow.scope == scope)
    if state:
        statement = statement.where(MatchRunRow.state == state)
    return await get_page(session, statement, MatchRunRow, page)


async def list_changed_lists(
    session: AsyncSession, page: PageRequest, *, run_id: str | None = None, since: datetime | None = None
) -> Page[MatchListRow]:
    """Return the lists that differ from the previous ones: of a run, or of all runs that finished since a moment."""
    statement = select(MatchListRow).where(MatchListRow.changes.is_not(None))
    if run_id is not None:
        statement = statement.where(MatchListRow.run_id == run_id)
    if since is not None:
        is_new = and_(MatchRunRow.state == RunState.FINISHED, MatchRunRow.finished_at >= since)
        statement = statement.join(MatchRunRow, MatchListRow.run_id == MatchRunRow.id).where(is_new)
    return await get_page(session, statement, MatchListRow, page)


async def list_failed_lists(session: AsyncSession, run_id: str, page: PageRequest) -> Page[MatchListRow]:
    """Return the failed lists of a run, with their errors."""
    statement = select(MatchListRow).where(MatchListRow.run_id == run_id, MatchListRow.state == ListState.FAILED)
    return await get_page(session, statement, MatchListRow, page)


async def changes_by_cluster(session: AsyncSession, run_id: str) -> list[ClusterChanges]:
    """Return the changes of a run per industry cluster, ordered by name, demands without one last. One query."""
    statement = (
        select(
            DemandRow.cluster,
            func.count().label("n_demands"),
            *(func.sum(getattr(MatchListRow, name)).label(name) for name in ("n_entered", "n_left", "n_moved")),
        )
        .join(MatchListRow, MatchListRow.demand_id == DemandRow.id)
        .where(MatchListRow.run_id == run_id, MatchListRow.changes.is_not(None))
        .group_by(DemandRow.cluster)
    )
    clusters = [ClusterChanges(*row) for row in await session.execute(statement)]
    return sorted(clusters, key=lambda changes: (changes.cluster is None, changes.cluster or ""))


async def ranked_demand_ids(session: AsyncSession, run_id: str) -> set[str]:
    """Return the ids of the demands that already have a list in the run."""
    return set(await session.scalars(select(MatchListRow.demand_id).where(MatchListRow.run_id == run_id)))
