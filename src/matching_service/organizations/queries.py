"""Queries for organizations and their exclusion lists."""

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from matching_service.api.filters import RecordFilter
from matching_service.foundation.errors import Bilingual, Conflict, not_found
from matching_service.foundation.paging import Page, PageRequest
from matching_service.store.lookup import get_row
from matching_service.store.organizations import ExclusionRow, OrganizationRow
from matching_service.store.scope import Scope, within

_SEARCHED = (
    OrganizationRow.name, OrganizationRow.external_id, OrganizationRow.credit_code, OrganizationRow.introduction,
)  # fmt: skip


async def get_organization(
    session: AsyncSession, organization_id: str, *, for_update: bool = False, scope: Scope | None = None
) -> OrganizationRow:
    """The row, with ``for_update`` locked to the end of the transaction; raises NotFound, also outside the scope."""
    where = within(scope, OrganizationRow)
    row = await get_row(session, OrganizationRow, organization_id, for_update=for_update, where=where)
    if row is None:
        raise not_found(Bilingual("机构", "Organization"), organization_id, code="organization_not_found")
    return row


def refuse_merged(row: OrganizationRow) -> None:
    """Raise Conflict if the organization was merged. The message names the record that replaced it."""
    if row.merged_into is None:
        return
    message = Bilingual(
        f"机构 {row.id} 已并入 {row.merged_into}；请修改后者。",
        f"Organization {row.id} was merged into {row.merged_into}; change the latter.",
    )
    raise Conflict("organization_merged", message)


async def all_names(session: AsyncSession, scope: Scope | None = None) -> Sequence[tuple[str, str]]:
    """Id and name of every organization of the scope that was not merged, oldest first."""
    statement = select(OrganizationRow.id, OrganizationRow.name).where(
        OrganizationRow.merged_into.is_(None), within(scope, OrganizationRow)
    )
    return [(row.id, row.name) for row in await session.execute(statement.order_by(OrganizationRow.id))]


async def list_organizations(
    session: AsyncSession,
    page: PageRequest,
    asked: RecordFilter,
    *,
    scope: Scope | None,
    kind: str | None = None,
    cluster: str | None = None,
) -> Page[OrganizationRow]:
    statement = select(OrganizationRow).where(OrganizationRow.merged_into.is_(None), within(scope, OrganizationRow))
    if kind:
        statement = statement.where(OrganizationRow.kind == kind)
    if cluster:
        statement = statement.where(OrganizationRow.cluster == cluster)
    return await asked.page(session, statement, OrganizationRow, page, searched=_SEARCHED)


async def list_exclusions(session: AsyncSession, organization_id: str) -> Sequence[ExclusionRow]:
    """Return the exclusion list of the organization, oldest entry first."""
    statement = select(ExclusionRow).where(ExclusionRow.organization_id == organization_id).order_by(ExclusionRow.id)
    return (await session.scalars(statement)).all()
