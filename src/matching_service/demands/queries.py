"""Queries for demands."""

from collections.abc import Sequence

from sqlalchemy import or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from matching_service.demands.states import OPEN, DemandStatus
from matching_service.foundation.errors import Bilingual, not_found
from matching_service.foundation.paging import Page, PageRequest
from matching_service.store.demands import DeadlineNoticeRow, DemandContactRow, DemandRow, DemandTransitionRow
from matching_service.store.lookup import get_page, get_row


async def get_demand(session: AsyncSession, demand_id: str, *, for_update: bool = False) -> DemandRow:
    """Return the row. ``for_update`` locks it until the end of the transaction. Raises NotFound."""
    if (row := await get_row(session, DemandRow, demand_id, for_update=for_update)) is None:
        raise not_found(Bilingual("需求", "Demand"), demand_id, code="demand_not_found")
    return row


async def list_demands(
    session: AsyncSession,
    page: PageRequest,
    *,
    status: DemandStatus | None = None,
    cluster: str | None = None,
    region: str | None = None,
    q: str | None = None,
) -> Page[DemandRow]:
    statement = select(DemandRow)
    if status:
        statement = statement.where(DemandRow.status == status.value)
    if cluster:
        statement = statement.where(DemandRow.cluster == cluster)
    if region:
        statement = statement.where(DemandRow.region.startswith(region))
    if q:
        statement = statement.where(
            or_(DemandRow.title.icontains(q, autoescape=True), DemandRow.problem.icontains(q, autoescape=True))
        )
    return await get_page(session, statement, DemandRow, page)


async def open_demand_ids(session: AsyncSession) -> Sequence[str]:
    """Return the ids of all open demands, oldest first."""
    statement = select(DemandRow.id).where(DemandRow.status.in_(sorted(OPEN))).order_by(DemandRow.id)
    return (await session.scalars(statement)).all()


async def list_transitions(session: AsyncSession, demand_id: str) -> Sequence[DemandTransitionRow]:
    """Return the history of one demand, oldest first."""
    statement = (
        select(DemandTransitionRow)
        .where(DemandTransitionRow.demand_id == demand_id)
        .order_by(DemandTransitionRow.at, DemandTransitionRow.id)
    )
    return (await session.scalars(statement)).all()


async def list_notices(session: AsyncSession, demand_id: str) -> Sequence[DeadlineNoticeRow]:
    """Return the deadline reminders of a demand, oldest first."""
    statement = select(DeadlineNoticeRow).where(DeadlineNoticeRow.demand_id == demand_id)
    return (await session.scalars(statement.order_by(DeadlineNoticeRow.at, DeadlineNoticeRow.id))).all()


async def last_transitions(session: AsyncSession, demand_ids: Sequence[str]) -> dict[str, DemandTransitionRow]:
    """Return the newest transition of each demand."""
    statement = (
        select(DemandTransitionRow)
        .where(DemandTransitionRow.demand_id.in_(demand_ids))
        .order_by(DemandTransitionRow.at, DemandTransitionRow.id)
    )
    return {row.demand_id: row for row in await session.scalars(statement)}


async def get_contact(session: AsyncSession, demand_id: str) -> DemandContactRow | None:
    return await session.get(DemandContactRow, demand_id)
