"""Reading organizations."""

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from matching_service.foundation.errors import Text, not_found
from matching_service.foundation.paging import Page, PageRequest
from matching_service.store.lookup import get_page, get_row
from matching_service.store.organizations import OrganizationRow


async def get_organization(session: AsyncSession, organization_id: str) -> OrganizationRow:
    """The row; raises NotFound."""
    if (row := await get_row(session, OrganizationRow, organization_id)) is None:
        raise not_found(Text("机构", "Organization"), organization_id, code="organization_not_found")
    return row


async def list_organizations(
    session: AsyncSession, page: PageRequest, *, region: str | None, q: str | None
) -> Page[OrganizationRow]:
    statement = select(OrganizationRow)
    if region:
        statement = statement.where(OrganizationRow.region.startswith(region))
    if q:
        statement = statement.where(OrganizationRow.name.icontains(q, autoescape=True))
    return await get_page(session, statement, OrganizationRow, page)
