"""Queries for profiles. Works are loaded with one further query."""

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import selectinload
from sqlalchemy.orm.attributes import set_committed_value

from matching_service.api.filters import RecordFilter
from matching_service.foundation.errors import Bilingual, not_found
from matching_service.foundation.paging import Page, PageRequest
from matching_service.store.lookup import get_row, in_parts
from matching_service.store.organizations import OrganizationRow
from matching_service.store.profiles import HOME, ProfileContactRow, ProfileRow, WorkRow

WITH_WORKS = selectinload(ProfileRow.works)
_WORKS_AT_A_TIME = 1_000
_SEARCHED = (
    ProfileRow.name, ProfileRow.title, ProfileRow.summary, ProfileRow.keywords, ProfileRow.fields, ProfileRow.honours,
    ProfileRow.external_id, OrganizationRow.name,
)  # fmt: skip


async def get_profile(session: AsyncSession, profile_id: str) -> ProfileRow:
    """Return the row with its works. Raises NotFound."""
    if (row := await get_row(session, ProfileRow, profile_id, options=[WITH_WORKS])) is None:
        raise not_found(Bilingual("画像", "Profile"), profile_id, code="profile_not_found")
    return row


async def attach_works(session: AsyncSession, profiles: Sequence[ProfileRow]) -> None:
    """Load the works of detached profiles. The works are detached as well.

    Rows are created in small parts, so that a large batch does not block the event loop.
    """
    works: dict[str, list[WorkRow]] = {profile.id: [] for profile in profiles}
    for ids in in_parts(list(works)):
        statement = select(WorkRow).where(WorkRow.profile_id.in_(ids)).order_by(WorkRow.profile_id, WorkRow.position)
        stream = await session.stream_scalars(statement)
        async for part in stream.partitions(_WORKS_AT_A_TIME):
            for work in part:
                session.expunge(work)
                works[work.profile_id].append(work)
    for profile in profiles:
        set_committed_value(profile, "works", works[profile.id])


async def list_profiles(
    session: AsyncSession,
    page: PageRequest,
    asked: RecordFilter,
    *,
    kind: str | None = None,
    overseas: bool | None = None,
) -> Page[ProfileRow]:
    statement = select(ProfileRow).options(WITH_WORKS)
    if kind:
        statement = statement.where(ProfileRow.kind == kind)
    if overseas is not None:
        statement = statement.where((ProfileRow.country != HOME) == overseas)
    if asked.q is not None:
        statement = statement.outerjoin(OrganizationRow, OrganizationRow.id == ProfileRow.organization_id)
    return await asked.page(session, statement, ProfileRow, page, searched=_SEARCHED)


async def get_contact(session: AsyncSession, profile_id: str) -> ProfileContactRow | None:
    return await session.get(ProfileContactRow, profile_id)
