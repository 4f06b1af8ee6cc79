"""What an import does to each record, written down in the transaction that does it, so that it can be undone."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import bindparam, insert, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from matching_service.api.bulk import Stored
from matching_service.files.exports import TABLES, exported_values
from matching_service.foundation.clock import new_id, now
from matching_service.profiles.queries import attach_works
from matching_service.store.base import Table
from matching_service.store.batch import Batch
from matching_service.store.imports import ImportedRecordRow, ImportRow
from matching_service.store.lookup import in_parts

ENTITIES: Mapping[str, str] = {
    "demands": "demand",
    "profiles": "profile",
    "organizations": "organization",
    "programme": "programme_record",
}
CHANGED_AT, PUBLISHED_AT = "changed_at", "published_at"
"""Beside the values of an export: when the import changed the record, and what no export holds."""


class Ledger:
    """The records of one import. Per chunk: ``note`` before it is stored, ``write`` behind it."""

    def __init__(self, import_id: str, what: str) -> None:
        self.import_id = import_id
        self._what = what
        self._table, self._model, _ = TABLES[what]
        self._before: dict[str, tuple[int, dict[str, Any]]] = {}

    async def note(self, session: AsyncSession, items: Sequence[Any]) -> None:
        """Remember the records that the items may change, and lock them."""
        rows = (await Batch.load(session, self._table, items)).rows
        if self._what == "profiles":
            await attach_works(session, rows)
        columns = list(self._model.model_fields)
        moment = now().isoformat()
        self._before = {}
        for row in rows:
            values = exported_values(row, columns, {}) | {CHANGED_AT: moment}
            if self._what == "demands":
                values[PUBLISHED_AT] = row.published_at.isoformat() if row.published_at else None
            self._before[row.id] = row.row_version, values

    async def write(self, session: AsyncSession, stored: Sequence[Stored], organizations: Sequence[str]) -> None:
        """Write down what became of the items, and which organizations were made for them."""
        await session.flush()
        ids = list(dict.fromkeys(result.id for result in stored if result.id is not None))
        await self._write(session, ENTITIES[self._what], self._table, ids)
        await self._write(session, "organization", TABLES["organizations"][0], organizations)

    async def _write(self, session: AsyncSession, entity: str, table: Any, ids: Sequence[str]) -> None:
        for part in in_parts(ids):
            versions = await versions_of(session, table, part)
            changed = {i: v for i, v in versions.items() if i not in self._before or self._before[i][0] != v}
            known = await session.scalars(
                select(ImportedRecordRow.record_id).where(
                    ImportedRecordRow.import_id == self.import_id, ImportedRecordRow.record_id.in_(changed)
                )
            )
            again = set(known)
            if again:
                row = Table.metadata.tables[ImportedRecordRow.__tablename__]
                statement = update(row).where(row.c.import_id == self.import_id, row.c.record_id == bindparam("of"))
                await session.execute(
                    statement.values(version=bindparam("to")),
                    [{"of": row_id, "to": changed[row_id]} for row_id in sorted(again)],
                )
            new = [self._new(entity, row_id, version) for row_id, version in changed.items() if row_id not in again]
            if new:
                await session.execute(insert(ImportedRecordRow), new)

    def _new(self, entity: str, row_id: str, version: int) -> dict[str, Any]:
        version_before, values = self._before.get(row_id, (None, None))
        return {
            "id": new_id(),
            "import_id": self.import_id,
            "entity": entity,
            "record_id": row_id,
            "before": values,
            "version_before": version_before,
            "version": version,
        }

    async def keep_count(self, session: AsyncSession, *, n_done: int, counts: Mapping[str, int]) -> None:
        """Write how far the import is, so that it can go on from here."""
        statement = update(ImportRow).where(ImportRow.id == self.import_id)
        await session.execute(statement.values(n_done=n_done, counts=dict(counts)))


async def versions_of(session: AsyncSession, table: Any, ids: Sequence[str]) -> dict[str, int]:
    """Return the versions of the rows that exist, by id, and lock them."""
    locked = select(table.id, table.row_version).where(table.id.in_(ids)).order_by(table.id).with_for_update()
    return {row.id: row.row_version for row in await session.execute(locked)}
