"""Queries for the audit log."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from matching_service.foundation.paging import Page, PageRequest
from matching_service.store.access import PrincipalRow
from matching_service.store.audit import AuditRow
from matching_service.store.lookup import get_page

ROWS_PER_STEP = 2_000
_COLUMNS = tuple(AuditRow.__table__.columns)


async def list_rows(
    session: AsyncSession,
    page: PageRequest,
    *,
    equal: Mapping[str, str],
    since: datetime | None = None,
    until: datetime | None = None,
) -> Page[AuditRow]:
    """One page, newest first. ``equal``: columns with the value that they must have."""
    statement = select(AuditRow).filter_by(**equal)
    if since is not None:
        statement = statement.where(AuditRow.at >= since)
    if until is not None:
        statement = statement.where(AuditRow.at < until)
    return await get_page(session, statement, AuditRow, page)


async def names_of(session: AsyncSession, actor_ids: Collection[str]) -> dict[str, str]:
    """Return the names of these principals, by id."""
    found = await session.execute(select(PrincipalRow.id, PrincipalRow.name).where(PrincipalRow.id.in_(actor_ids)))
    return {row.id: row.name for row in found}


async def head(session: AsyncSession) -> tuple[int, str] | None:
    """Return the number and the digest of the last row, for a note elsewhere; None for an empty log."""
    newest = select(AuditRow.seq, AuditRow.digest).order_by(AuditRow.seq.desc()).limit(1)
    row = (await session.execute(newest)).first()
    return (row.seq, row.digest) if row is not None else None


async def rows_after(session: AsyncSession, seq: int) -> Sequence[Mapping[str, Any]]:
    """Return the next ``ROWS_PER_STEP`` rows behind this number, in order, as plain values."""
    statement = select(*_COLUMNS).where(AuditRow.seq > seq).order_by(AuditRow.seq).limit(ROWS_PER_STEP)
    return [row._asdict() for row in await session.execute(statement)]
