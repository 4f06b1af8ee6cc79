"""Reading imports and what they did."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from matching_service.foundation.errors import Bilingual, not_found
from matching_service.foundation.paging import Page, PageRequest
from matching_service.store.imports import ImportedRecordRow, ImportRow
from matching_service.store.lookup import get_page, get_row

_UNDONE = ("deleted", "restored", "left")


async def get_import(session: AsyncSession, import_id: str, *, for_update: bool = False) -> ImportRow:
    """Return the import. ``for_update`` locks the row until the transaction ends. Raises NotFound."""
    if (row := await get_row(session, ImportRow, import_id, for_update=for_update)) is None:
        raise not_found(Bilingual("导入", "Import"), import_id, code="import_not_found")
    return row


async def list_imports(session: AsyncSession, page: PageRequest) -> Page[ImportRow]:
    """Return one page of imports, newest first."""
    return await get_page(session, select(ImportRow), ImportRow, page)


async def list_records(
    session: AsyncSession, import_id: str, page: PageRequest, *, undone: str | None = None
) -> Page[ImportedRecordRow]:
    """Return one page of the records of an import. ``undone``: deleted, restored or left."""
    statement = select(ImportedRecordRow).where(ImportedRecordRow.import_id == import_id)
    if undone:
        statement = statement.where(ImportedRecordRow.undone == undone)
    return await get_page(session, statement, ImportedRecordRow, page)


async def undone_counts(session: AsyncSession, import_ids: Sequence[str]) -> Mapping[str, dict[str, int]]:
    """Return, by import, how many of its records were deleted, restored and left by an undo."""
    rows = ImportedRecordRow
    statement = (
        select(rows.import_id, rows.undone, func.count())
        .where(rows.import_id.in_(import_ids), rows.undone.is_not(None))
        .group_by(rows.import_id, rows.undone)
    )
    counts: dict[str, dict[str, int]] = {}
    for import_id, undone, n in await session.execute(statement):
        counts.setdefault(import_id, dict.fromkeys(_UNDONE, 0))[str(undone)] = n
    return counts


async def names_of(
    session: AsyncSession, rows: Sequence[ImportedRecordRow], labels: Mapping[str, tuple[Any, Any]]
) -> dict[str, str]:
    """Return the present name of each record that exists, by id. ``labels``: by entity the columns of id and name."""
    names: dict[str, str] = {}
    for entity, (own_id, label) in labels.items():
        if ids := [row.record_id for row in rows if row.entity == entity]:
            found = await session.execute(select(own_id, label).where(own_id.in_(ids)))
            names |= {row[0]: row[1] for row in found}
    return names
