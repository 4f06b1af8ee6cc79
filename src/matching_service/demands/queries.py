"""Queries for demands."""

from collections.abc import Collection, Sequence

from sqlalchemy import ColumnElement, select
from sqlalchemy.ext.asyncio import AsyncSession

from matching_service.api.filters import RecordFilter
from matching_service.demands.states import OPEN, DemandStatus
from matching_service.foundation.errors import Bilingual, not_found
from matching_service.foundation.paging import Page, PageRequest
from matching_service.store.demands import DeadlineNoticeRow, DemandContactRow, DemandRow, DemandTransitionRow
from matching_service.store.lookup import get_row
from matching_service.store.organizations import OrganizationRow
from matching_service.store.scope import NOTHING, Scope, within

_SEARCHED = (
    DemandRow.title, DemandRow.problem, DemandRow.key_technology, DemandRow.expected_goal, DemandRow.field,
    DemandRow.keywords, DemandRow.must_have, DemandRow.nice_to_have, DemandRow.industry_code,
    DemandRow.external_id, OrganizationRow.name,
)  # fmt: skip


async def get_demand(
    session: AsyncSession, demand_id: str, *, for_update: bool = False, scope: Scope | None = None
) -> DemandRow:
    """Return the row. ``for_update`` locks it until the end of the transaction.

    Raises NotFound, also for a demand outside the scope.
    """
    return await _get(session, demand_id, _readable(scope), for_update=for_update)


async def get_claimable_demand(session: AsyncSession, demand_id: str, *, scope: Scope | None) -> DemandRow:
    """The row, locked: one of the scope, or one that everybody sees on the board. Raises NotFound."""
    return await _get(session, demand_id, within(scope, DemandRow, beside=_ON_THE_BOARD), for_update=True)


_ON_THE_BOARD = DemandRow.status.in_(sorted(OPEN)) & (DemandRow.visibility == "public")


def _readable(scope: Scope | None) -> ColumnElement[bool]:
    """The demands of the scope; for a program that owns none, those on the board."""
    return _ON_THE_BOARD if scope == NOTHING else within(scope, DemandRow)


async def _get(
    session: AsyncSession, demand_id: str, where: ColumnElement[bool], *, for_update: bool = False
) -> DemandRow:
    row = await get_row(session, DemandRow, demand_id, for_update=for_update, where=where)
    if row is None:
        raise not_found(Bilingual("需求", "Demand"), demand_id, code="demand_not_found")
    return row


async def list_demands(
    session: AsyncSession,
    page: PageRequest,
    asked: RecordFilter,
    *,
    scope: Scope | None,
    statuses: Collection[DemandStatus] = frozenset(DemandStatus),
    cluster: str | None = None,
) -> Page[DemandRow]:
    """One page, newest first. ``statuses``: only demands in one of these states."""
    statement = select(DemandRow).where(_readable(scope))
    if len(statuses) < len(DemandStatus):
        statement = statement.where(DemandRow.status.in_(sorted(statuses)))
    if cluster:
        statement = statement.where(DemandRow.cluster == cluster)
    if asked.q is not None:
        statement = statement.outerjoin(OrganizationRow, OrganizationRow.id == DemandRow.organization_id)
    return await asked.page(session, statement, DemandRow, page, searched=_SEARCHED)


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
