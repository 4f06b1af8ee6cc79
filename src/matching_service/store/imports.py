"""Imports of files, and what each did to which record, so that it can be undone."""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import JSON, ForeignKey, Index, String, UniqueConstraint, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from matching_service.foundation.clock import now
from matching_service.store.base import Identified, Table


class ImportState(StrEnum):
    PREVIEW = "preview"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    UNDOING = "undoing"
    UNDONE = "undone"


class ImportRow(Identified, Table):
    """One file that was, or will be, stored.

    file_path : of an upload, relative to the folder of uploads; null for files of the command line, and once deleted.
    options : sheet, header_row, map, source, kind and status, as far as they were given.
    n_rows : rows of the file as the preview counted them. n_done : those that are dealt with. An import that was
        interrupted goes on behind them.
    counts : the outcomes of the rows that are dealt with.
    told : sheets, columns, the first findings and their number, as ``files.service`` writes them.
    error : why the import failed, in both languages.
    """

    __tablename__ = "imports"
    __table_args__ = (Index(None, "state", "id"),)

    what: Mapped[str] = mapped_column(String(20))
    state: Mapped[str] = mapped_column(String(20))
    file_name: Mapped[str] = mapped_column(String(200))
    file_path: Mapped[str | None] = mapped_column(String(400))
    options: Mapped[dict[str, Any]]
    n_rows: Mapped[int] = mapped_column(default=0)
    n_done: Mapped[int] = mapped_column(default=0)
    counts: Mapped[dict[str, Any]]
    told: Mapped[dict[str, Any]]
    error: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    actor_id: Mapped[str] = mapped_column(ForeignKey("principals.id"))
    created_at: Mapped[datetime] = mapped_column(default=now)
    confirmed_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    undone_at: Mapped[datetime | None]


class ImportedRecordRow(Identified, Table):
    """A record that an import created or changed.

    before : its values before the import, in the form of an export; null if it was created.
    version_before, version : ``row_version`` before and after. Another version later means that somebody changed it.
    undone : deleted, restored or left; null while the import has not been undone. reason : why it was left.
    """

    __tablename__ = "imported_records"
    __table_args__ = (UniqueConstraint("import_id", "record_id"),)

    import_id: Mapped[str] = mapped_column(ForeignKey("imports.id", ondelete="CASCADE"))
    entity: Mapped[str] = mapped_column(String(20))
    record_id: Mapped[str] = mapped_column(String(36), index=True)
    before: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    version_before: Mapped[int | None]
    version: Mapped[int]
    undone: Mapped[str | None] = mapped_column(String(10))
    reason: Mapped[str | None] = mapped_column(String(50))


async def forget_records(session: AsyncSession, record_ids: Sequence[str]) -> None:
    """Erase the former values of these records, which are being deleted themselves."""
    former = update(ImportedRecordRow).where(ImportedRecordRow.record_id.in_(record_ids)).values(before=None)
    await session.execute(former, execution_options={"synchronize_session": False})
