"""Reading programme records."""

from datetime import date

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from matching_service.foundation.errors import Bilingual, not_found
from matching_service.foundation.paging import Page, PageRequest
from matching_service.store.lookup import get_page, get_row
from matching_service.store.programme import ProgrammeRecordRow, holds_on


async def get_record(session: AsyncSession, record_id: str) -> ProgrammeRecordRow:
    """Return the row. Raises NotFound."""
    if (row := await get_row(session, ProgrammeRecordRow, record_id)) is None:
        raise not_found(Bilingual("工作记录", "Programme record"), record_id, code="programme_record_not_found")
    return row


async def list_records(
    session: AsyncSession,
    page: PageRequest,
    *,
    kind: str | None = None,
    region: str | None = None,
    cluster: str | None = None,
    organization_id: str | None = None,
    profile_id: str | None = None,
    at: date | None = None,
) -> Page[ProgrammeRecordRow]:
    """Return one page of records. ``region``: leading digits of the code. ``at``: only records valid on that day."""
    statement = select(ProgrammeRecordRow)
    for column, value in (
        (ProgrammeRecordRow.kind, kind),
        (ProgrammeRecordRow.cluster, cluster),
        (ProgrammeRecordRow.organization_id, organization_id),
        (ProgrammeRecordRow.profile_id, profile_id),
    ):
        if value:
            statement = statement.where(column == value)
    if region:
        statement = statement.where(ProgrammeRecordRow.region.startswith(region))
    if at is not None:
        statement = statement.where(holds_on(at, ProgrammeRecordRow.started_on, ProgrammeRecordRow.ended_on))
    return await get_page(session, statement, ProgrammeRecordRow, page)
