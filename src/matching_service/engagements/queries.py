"""Read engagements as a list or a calendar, and the last contact about a demand."""

from collections.abc import Sequence
from datetime import date

from sqlalchemy import ColumnElement, and_, func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from matching_service.access.policies import Principal
from matching_service.engagements.schemas import Kind
from matching_service.foundation.clock import day_of
from matching_service.foundation.errors import Bilingual, not_found
from matching_service.foundation.paging import Page, PageRequest
from matching_service.store.claims import ClaimRow
from matching_service.store.engagements import EngagementRow
from matching_service.store.lookup import get_page, get_row
from matching_service.store.suggestions import CLOSED, SuggestionRow, SuggestionTransitionRow


async def get_engagement(session: AsyncSession, engagement_id: str) -> EngagementRow:
    """Return the row. Raises NotFound."""
    if (row := await get_row(session, EngagementRow, engagement_id)) is None:
        raise not_found(Bilingual("对接记录", "Engagement"), engagement_id, code="engagement_not_found")
    return row


async def list_engagements(
    session: AsyncSession,
    page: PageRequest,
    *,
    kind: Kind | None = None,
    staff: str | None = None,
    organization_id: str | None = None,
    demand_id: str | None = None,
    profile_id: str | None = None,
    first: date | None = None,
    last: date | None = None,
) -> Page[EngagementRow]:
    """Return a page of the matching engagements held from ``first`` to ``last``, both included, newest record first."""
    statement = select(EngagementRow)
    for column, wanted in (
        (EngagementRow.kind, kind),
        (EngagementRow.staff, staff),
        (EngagementRow.organization_id, organization_id),
        (EngagementRow.demand_id, demand_id),
        (EngagementRow.profile_id, profile_id),
    ):
        if wanted:
            statement = statement.where(column == wanted)
    if first is not None:
        statement = statement.where(EngagementRow.held_on >= first)
    if last is not None:
        statement = statement.where(EngagementRow.held_on <= last)
    return await get_page(session, statement, EngagementRow, page)


def whose(staff: str | None, asking: Principal) -> ColumnElement[bool]:
    """Return the SQL condition for the calendar of a staff name, by default the calendar of ``asking``.

    The default matches rows by ``staff_id``. It also matches rows without a ``staff_id`` by name: such a name belongs
    to no single principal, so the row appears in the calendar of everybody with that name.
    """
    if staff is not None:
        return EngagementRow.staff == staff
    is_meant = and_(EngagementRow.staff_id.is_(None), EngagementRow.staff == asking.name)
    return or_(EngagementRow.staff_id == asking.id, is_meant)


async def in_calendar(
    session: AsyncSession, whose: ColumnElement[bool], first: date, last: date
) -> Sequence[EngagementRow]:
    """Return the engagements held, or with a next step due, from ``first`` to ``last``, both included."""
    is_due = EngagementRow.next_step_on.between(first, last)
    return await _all(session, whose, or_(EngagementRow.held_on.between(first, last), is_due))


async def due_until(session: AsyncSession, whose: ColumnElement[bool], last: date) -> Sequence[EngagementRow]:
    """Return the engagements with a next step that is not done and due on or before ``last``, however old."""
    return await _all(session, whose, EngagementRow.next_step_on <= last, EngagementRow.next_step_done_at.is_(None))


async def last_contacts(session: AsyncSession, demand_ids: Sequence[str], *, until: date) -> dict[str, date]:
    """Return the day of the last contact about each demand, by id. A demand without any contact has no entry.

    A contact is an engagement held by ``until``, a claim, or a step of a suggestion that staff took after its creation.
    """
    held = select(EngagementRow.demand_id, func.max(EngagementRow.held_on)).where(
        EngagementRow.demand_id.in_(demand_ids), EngagementRow.held_on <= until
    )
    rows = await session.execute(held.group_by(EngagementRow.demand_id))
    last_days = {demand_id: day for demand_id, day in rows if demand_id is not None}
    steps = (
        select(SuggestionRow.demand_id, func.max(SuggestionTransitionRow.at))
        .join(SuggestionRow, SuggestionTransitionRow.suggestion_id == SuggestionRow.id)
        .where(
            SuggestionRow.demand_id.in_(demand_ids),
            SuggestionTransitionRow.from_status.is_not(None),
            SuggestionTransitionRow.to_status != CLOSED,
        )
    )
    claims = select(ClaimRow.demand_id, func.max(ClaimRow.created_at)).where(ClaimRow.demand_id.in_(demand_ids))
    for statement in (steps.group_by(SuggestionRow.demand_id), claims.group_by(ClaimRow.demand_id)):
        for demand_id, moment in await session.execute(statement):
            last_days[demand_id] = max(day_of(moment), last_days.get(demand_id, date.min))
    return last_days


async def _all(session: AsyncSession, *conditions: ColumnElement[bool]) -> Sequence[EngagementRow]:
    return (await session.scalars(select(EngagementRow).where(*conditions).order_by(EngagementRow.id))).all()
