"""Queries for suggestions."""

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import joinedload

from matching_service.foundation.errors import Bilingual, not_found
from matching_service.foundation.paging import Page, PageRequest
from matching_service.store.lookup import get_page, get_row
from matching_service.store.suggestions import SuggestionRow, SuggestionTransitionRow
from matching_service.suggestions.states import SuggestionStatus

_NAMED = (joinedload(SuggestionRow.demand), joinedload(SuggestionRow.profile))
"""An answer names the demand and the profile."""


async def get_suggestion(session: AsyncSession, suggestion_id: str) -> SuggestionRow:
    """Return the row. Raises NotFound."""
    if (row := await get_row(session, SuggestionRow, suggestion_id, options=_NAMED)) is None:
        raise not_found(Bilingual("推荐", "Suggestion"), suggestion_id, code="suggestion_not_found")
    return row


async def list_suggestions(
    session: AsyncSession,
    page: PageRequest,
    *,
    demand_id: str | None = None,
    profile_id: str | None = None,
    status: SuggestionStatus | None = None,
) -> Page[SuggestionRow]:
    statement = select(SuggestionRow).options(*_NAMED)
    if demand_id:
        statement = statement.where(SuggestionRow.demand_id == demand_id)
    if profile_id:
        statement = statement.where(SuggestionRow.profile_id == profile_id)
    if status:
        statement = statement.where(SuggestionRow.status == status.value)
    return await get_page(session, statement, SuggestionRow, page)


async def list_transitions(session: AsyncSession, suggestion_id: str) -> Sequence[SuggestionTransitionRow]:
    """Return the history of one suggestion, oldest first."""
    statement = (
        select(SuggestionTransitionRow)
        .where(SuggestionTransitionRow.suggestion_id == suggestion_id)
        .order_by(SuggestionTransitionRow.at, SuggestionTransitionRow.id)
    )
    return (await session.scalars(statement)).all()
