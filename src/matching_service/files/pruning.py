"""Delete uploaded files, and the former values of records, when they are no longer needed: they hold personal data."""

import logging
from datetime import UTC, datetime, timedelta
from pathlib import Path

from anyio import to_thread
from sqlalchemy import delete, func, select

from matching_service.files.imports import LOCK
from matching_service.files.uploads import remove
from matching_service.foundation.clock import is_id
from matching_service.store.database import Database
from matching_service.store.imports import ImportedRecordRow, ImportRow, ImportState
from matching_service.store.ownership import owning

logger = logging.getLogger(__name__)
PREVIEW_KEPT = timedelta(hours=24)
FILE_KEPT = timedelta(days=7)
UNDO_KEPT = timedelta(days=90)
_RECORDS_PER_TRANSACTION = 5_000


async def prune_imports(database: Database, folder: Path, *, at: datetime, patience_s: float = 60) -> int:
    """Delete previews after a day, files a week after they were confirmed, former values after 90 days.

    Returns the number of files that were deleted. Waits for an import that is at work, and does nothing if it lasts.
    """
    async with owning(database, LOCK, patience_s=patience_s) as is_owner:
        if not is_owner:
            return 0
        n_files = await _prune_files(database, folder, at)
        await _prune_records(database, at)
    logger.info("imports_pruned", extra={"n_files": n_files})
    return n_files


async def _prune_files(database: Database, folder: Path, at: datetime) -> int:
    async with database.transaction() as session:
        expired = delete(ImportRow).where(
            ImportRow.state == ImportState.PREVIEW, ImportRow.created_at < at - PREVIEW_KEPT
        )
        await session.execute(expired)
        stored = select(ImportRow).where(
            ImportRow.state != ImportState.PREVIEW,
            ImportRow.file_path.is_not(None),
            ImportRow.confirmed_at < at - FILE_KEPT,
        )
        for row in await session.scalars(stored.with_for_update()):
            row.file_path = None
            row.told = row.told | {"findings": [finding | {"value": None} for finding in row.told.get("findings", ())]}
            if row.state == ImportState.RUNNING:  # its process is gone, and nobody confirmed it again
                row.state, row.ended_at = ImportState.FAILED, at
    async with database.reading() as session:
        kept = set(await session.scalars(select(ImportRow.id).where(ImportRow.file_path.is_not(None))))
    names = await to_thread.run_sync(_names, folder)
    # An upload that is still coming has no row yet, so a new folder without one is left.
    unknown = [name for name in names if name not in kept and _made_at(name) < at - PREVIEW_KEPT]
    for name in unknown:
        await to_thread.run_sync(remove, folder / name)
    return len(unknown)


async def _prune_records(database: Database, at: datetime) -> None:
    old = (
        select(ImportedRecordRow.id)
        .join(ImportRow, ImportedRecordRow.import_id == ImportRow.id)
        .where(func.coalesce(ImportRow.ended_at, ImportRow.confirmed_at) < at - UNDO_KEPT)
    )
    while True:
        async with database.transaction() as session:
            ids = (await session.scalars(old.limit(_RECORDS_PER_TRANSACTION))).all()
            await session.execute(delete(ImportedRecordRow).where(ImportedRecordRow.id.in_(ids)))
        if len(ids) < _RECORDS_PER_TRANSACTION:
            return


def _names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if is_id(path.name)] if folder.is_dir() else []


def _made_at(import_id: str) -> datetime:
    """The time in an id, which is a UUIDv7: its first 48 bits are milliseconds since 1970."""
    return datetime.fromtimestamp(int(import_id.replace("-", "")[:12], 16) / 1_000, UTC)
