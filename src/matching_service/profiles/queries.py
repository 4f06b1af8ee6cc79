"""Reading profiles, always with their works in one further query."""

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import selectinload

from matching_service.foundation.errors import Text, not_found
from matching_service.foundation.paging import Page, PageRequest
from matching_service.store.lookup import get_page, get_row
from matching_service.store.profiles import ProfileContactRow, ProfileRow

WITH_WORKS = selectinload(ProfileRow.works)


async def get_profile(session: AsyncSession, profile_id: str) -> ProfileRow:
    """The row with its works; raises NotFound."""
    if (row := await get_row(session, ProfileRow, profile_id, options=[WITH_WORKS])) is None:
        raise not_found(Text("画像", "Profile"), profile_id, code="profile_not_found")
    return row


async def list_profiles(
    session: AsyncSession,
    page: PageRequest,
    *,
    kind: str | None = None,
    region: str | None = None,
    q: str | None = None,
) -> Page[ProfileRow]:
    statement = select(ProfileRow).options(WITH_WORKS)
    if kind:
        statement = statement.where(ProfileRow.kind == kind)
    if region:
        statement = statement.where(ProfileRow.region.startswith(region))
    if q:
        statement = statement.where(ProfileRow.name.icontains(q, autoescape=True))
    return await get_page(session, statement, ProfileRow, page)


async def get_contact(session: AsyncSession, profile_id: str) -> ProfileContactRow | None:
    return await session.get(ProfileContactRow, profile_id)
