"""Queries for profiles. Works are loaded with one further query."""

from collections.abc import Sequence

from sqlalchemy import ColumnElement, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import selectinload
from sqlalchemy.orm.attributes import set_committed_value

from matching_service.api.filters import RecordFilter
from matching_service.foundation.errors import Bilingual, not_found
from matching_service.foundation.paging import Page, PageRequest
from matching_service.store.lookup import get_row, in_parts
from matching_service.store.organizations import OrganizationRow
from matching_service.store.profiles import HOME, ProfileContactRow, ProfileRow, WorkRow
from matching_service.store.scope import Scope, within

WITH_WORKS = selectinload(ProfileRow.works)
_WORKS_AT_A_TIME = 1_000
_SEARCHED = (
    ProfileRow.name, ProfileRow.title, ProfileRow.summary, ProfileRow.keywords, ProfileRow.fields, ProfileRow.honours,
    ProfileRow.external_id, OrganizationRow.name,
)  # fmt: skip


def readable(scope: Scope | None) -> ColumnElement[bool]:
    """The profiles that a key may read: its own, and those that are public."""
    return within(scope, ProfileRow, beside=ProfileRow.visibility == "public")


async def read_profile(session: AsyncSession, profile_id: str, *, scope: Scope | None) -> ProfileRow:
    """Return the row of a profile that the key may read, with its works. Raises NotFound."""
    return await _get(session, profile_id, readable(scope))


async def get_profile(session: AsyncSession, profile_id: str, *, scope: Scope | None = None) -> ProfileRow:
    """Return the row with its works. Raises NotFound, also outside the scope."""
    return await _get(session, profile_id, within(scope, ProfileRow))


async def _get(session: AsyncSession, profile_id: str, where: ColumnElement[bool]) -> ProfileRow:
    if (row := await get_row(session, ProfileRow, profile_id, options=[WITH_WORKS], where=where)) is None:
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
    scope: Scope | None,
    kind: str | None = None,
    overseas: bool | None = None,
) -> Page[ProfileRow]:
    statement = select(ProfileRow).options(WITH_WORKS).where(readable(scope))
    if kind:
        statement = statement.where(ProfileRow.kind == kind)
    if overseas is not None:
        statement = statement.where((ProfileRow.country != HOME) == overseas)
    if asked.q is not None:
        statement = statement.outerjoin(OrganizationRow, OrganizationRow.id == ProfileRow.organization_id)
    return await asked.page(session, statement, ProfileRow, page, searched=_SEARCHED)


async def get_contact(session: AsyncSession, profile_id: str) -> ProfileContactRow | None:
    return await session.get(ProfileContactRow, profile_id)
