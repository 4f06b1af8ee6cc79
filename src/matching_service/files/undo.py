"""Undo an import: delete what it created, give back what it changed, and leave what somebody has worked on since.

A record is untouched if its ``row_version`` is the one that the import left, and if no other record refers to it.
"""

import asyncio
import math
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from pydantic import ValidationError
from sqlalchemy import Column, bindparam, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from matching_service.access.policies import Principal
from matching_service.audit.service import record_audit
from matching_service.demands.service import delete_demands, upsert_demands
from matching_service.demands.states import DemandStatus
from matching_service.demands.transitions import take_back_status
from matching_service.files.exports import TABLES
from matching_service.files.imports import LOCK
from matching_service.files.ledger import CHANGED_AT, ENTITIES, PUBLISHED_AT, versions_of
from matching_service.files.queries import get_import
from matching_service.foundation.clock import now
from matching_service.foundation.errors import Bilingual, Conflict
from matching_service.organizations.service import delete_organizations, upsert_organizations
from matching_service.profiles.service import delete_profiles, upsert_profiles
from matching_service.programme.service import remove_records, upsert_records
from matching_service.store.database import Database
from matching_service.store.demands import DemandRow
from matching_service.store.imports import ImportedRecordRow, ImportRow, ImportState
from matching_service.store.lookup import in_parts, rows_by_external_id
from matching_service.store.ownership import owning
from matching_service.store.projects import MilestoneRow, ProjectPartnerRow, ProjectRow
from matching_service.store.tables import Table

_RECORDS_PER_TRANSACTION = 500
_PAUSE_S = 0.05
"""Between transactions, so that others may write: who waits for SQLite's lock asks for it ten times a second."""
_WHAT = {entity: what for what, entity in ENTITIES.items()}
_DELETE: Mapping[str, Any] = {
    "demand": delete_demands,
    "profile": delete_profiles,
    "organization": delete_organizations,
    "programme_record": remove_records,
}
_UPSERT: Mapping[str, Any] = {
    "demand": upsert_demands,
    "profile": upsert_profiles,
    "organization": upsert_organizations,
    "programme_record": upsert_records,
}
_PARTS = frozenset(
    {
        "works", "profile_contacts", "demand_contacts", "demand_transitions", "deadline_notices", "match_lists",
        "matches",
    }
)  # fmt: skip
"""Tables whose rows belong to the record itself, or are made by the service. All others are somebody's work with it."""
REASONS: Mapping[str, Bilingual] = {
    "changed_since": Bilingual("导入后已有人修改。", "Somebody changed it after the import."),
    "used_since": Bilingual("已有其他记录引用（对接、揭榜、推荐、决定等）。", "Other records refer to it."),
    "deleted_since": Bilingual("导入后已被删除。", "It was deleted after the import."),
    "id_taken": Bilingual("原编号现属于另一条记录。", "Its former external id belongs to another record now."),
    "no_longer_valid": Bilingual("原内容不符合现行规则。", "Its former values break a rule that holds now."),
}
"""Why a record is left as it is."""


async def undo_import(
    database: Database, import_id: str, actor: Principal, *, on_progress: Callable[[int], None] = lambda _n: None
) -> ImportRow:
    """Undo an import. Doing it again tries once more what was left before, and changes nothing else.

    Raises NotFound, and Conflict if the import has stored nothing yet, is at work, or is too old.
    """
    async with owning(database, LOCK, patience_s=math.inf):
        async with database.transaction() as session:
            row = await begin_undo(session, import_id, actor)
            ids = await _record_ids(session, import_id)
        for part in in_parts(ids, size=_RECORDS_PER_TRANSACTION):
            async with database.transaction() as session:
                await _undo(session, row, part, actor)
            on_progress(len(part))
            await asyncio.sleep(_PAUSE_S)
        async with database.transaction() as session:
            row = await get_import(session, import_id)
            row.state, row.undone_at = ImportState.UNDONE, now()
            record_audit(session, actor, "undo", entity="import", entity_id=import_id)
        return row


async def begin_undo(session: AsyncSession, import_id: str, actor: Principal) -> ImportRow:
    """Move the import to ``undoing`` and return it. Raises as ``undo_import``.

    A running import may be undone if its process is gone, which the caller knows.
    """
    row = await get_import(session, import_id, for_update=True)
    if row.state == ImportState.PREVIEW:
        raise Conflict("import_not_stored", _NOT_STORED)
    n_records = select(func.count()).where(ImportedRecordRow.import_id == row.id)
    if row.counts.get("created", 0) + row.counts.get("updated", 0) and not await session.scalar(n_records):
        raise Conflict("import_too_old", _TOO_OLD)
    if row.state not in {ImportState.UNDOING, ImportState.UNDONE}:
        record_audit(session, actor, "begin_undo", entity="import", entity_id=import_id)
    row.state, row.undone_at = ImportState.UNDOING, now()
    return row


async def _record_ids(session: AsyncSession, import_id: str) -> Sequence[str]:
    """Return the ids of the rows that are still to be undone: the newest first, organizations after those of them."""
    records = ImportedRecordRow
    statement = (
        select(records.id)
        .where(records.import_id == import_id, or_(records.undone.is_(None), records.undone == "left"))
        .order_by(records.entity == "organization", records.id.desc())
    )
    return (await session.scalars(statement)).all()


async def _undo(session: AsyncSession, of: ImportRow, ids: Sequence[str], actor: Principal) -> None:
    found = await session.scalars(select(ImportedRecordRow).where(ImportedRecordRow.id.in_(ids)))
    by_entity: dict[str, list[ImportedRecordRow]] = {}
    for record in found:
        by_entity.setdefault(record.entity, []).append(record)
    for entity in sorted(by_entity, key="organization".__eq__):
        await _undo_entity(session, of, entity, by_entity[entity], actor)


async def _undo_entity(
    session: AsyncSession, of: ImportRow, entity: str, records: Sequence[ImportedRecordRow], actor: Principal
) -> None:
    table = TABLES[_WHAT[entity]][0]
    moved = await _moved(session, entity, records)
    untouched = await _untouched(session, entity, records, moved)
    await session.flush()
    created = [record for record in untouched if record.version_before is None]
    await _DELETE[entity](session, [record.record_id for record in created], actor)
    for record in created:
        record.undone = "deleted"
    bodies = _bodies(entity, [record for record in untouched if record.version_before is not None])
    changed = await _with_own_ids(
        session, table, [record for record in untouched if record.record_id in bodies], bodies
    )
    results = await _UPSERT[entity](session, [bodies[record.record_id] for record in changed], actor)
    for record, result in zip(changed, results, strict=True):
        if result.status == "invalid":
            record.reason = "no_longer_valid"
            continue
        if record.record_id in moved:
            await _take_back(session, record, actor)
        record.undone = "restored"
    await session.flush()
    await _follow(session, of, table, [record for record in changed if record.undone == "restored"])


async def _untouched(
    session: AsyncSession, entity: str, records: Sequence[ImportedRecordRow], moved: set[str]
) -> list[ImportedRecordRow]:
    """Return the records, locked, that are as the import left them. Notes the reason at each of the others."""
    ids = sorted(record.record_id for record in records)
    versions = await versions_of(session, TABLES[_WHAT[entity]][0], ids)
    used = await _used(session, entity, ids)
    for record in records:
        must_be_unused = record.version_before is None or record.record_id in moved
        record.undone, record.reason = "left", None
        if record.record_id not in versions:
            record.reason = "deleted_since"
        elif versions[record.record_id] != record.version:
            record.reason = "changed_since"
        elif record.record_id in used and must_be_unused:
            record.reason = "used_since"
    return [record for record in records if record.reason is None]


def _bodies(entity: str, records: Sequence[ImportedRecordRow]) -> dict[str, Any]:
    """Return the former values by id, as rows of a file. Notes the reason where they are valid no longer."""
    model = TABLES[_WHAT[entity]][1]
    bodies: dict[str, Any] = {}
    for record in records:
        values = {k: v for k, v in (record.before or {}).items() if k not in {CHANGED_AT, PUBLISHED_AT}}
        try:
            bodies[record.record_id] = model.model_validate(values)
        except ValidationError:
            record.reason = "no_longer_valid"
    return bodies


async def _used(session: AsyncSession, entity: str, ids: Sequence[str]) -> set[str]:
    """Return the ids of the records that others refer to. A table that is new counts until it is among ``_PARTS``."""
    own = TABLES[_WHAT[entity]][0].__table__.c.id
    used: set[str] = set()
    for column in _references(own):
        if column.table.name in _PARTS:
            continue
        if column.table.name == "projects":
            statement = _worked_on_projects(ids)
        else:
            statement = select(column).where(column.in_(ids)).distinct()
        used |= {str(row_id) for row_id in await session.scalars(statement)}
    return used


def _references(own: Column[Any]) -> list[Column[Any]]:
    """Every column, of all tables, that refers to this one."""
    return [key.parent for table in Table.metadata.sorted_tables for key in table.foreign_keys if key.column is own]


def _worked_on_projects(demand_ids: Sequence[str]) -> Any:
    """Select the demands whose project is more than the row that the step to contracted has made."""
    children = [
        ProjectRow.id.in_(select(child.project_id).where(child.project_id == ProjectRow.id))
        for child in (MilestoneRow, ProjectPartnerRow)
    ]
    return select(ProjectRow.demand_id).where(
        ProjectRow.demand_id.in_(demand_ids), or_(ProjectRow.row_version > 1, *children)
    )


async def _moved(session: AsyncSession, entity: str, records: Sequence[ImportedRecordRow]) -> set[str]:
    """Return the ids of the demands that the import has moved to another state."""
    if entity != "demand":
        return set()
    ids = [record.record_id for record in records]
    statement = select(DemandRow.id, DemandRow.status).where(DemandRow.id.in_(ids))
    present = {row.id: row.status for row in await session.execute(statement)}
    return {
        record.record_id
        for record in records
        if record.before is not None and record.before.get("status") != present.get(record.record_id)
    }


async def _take_back(session: AsyncSession, record: ImportedRecordRow, actor: Principal) -> None:
    before = record.before or {}
    demand = await session.get_one(DemandRow, record.record_id, populate_existing=True)
    published_at = before.get(PUBLISHED_AT)
    await take_back_status(
        session,
        demand,
        DemandStatus(before["status"]),
        since=datetime.fromisoformat(before[CHANGED_AT]),
        published_at=datetime.fromisoformat(published_at) if published_at else None,
        actor=actor,
    )


async def _with_own_ids(
    session: AsyncSession, table: Any, records: Sequence[ImportedRecordRow], bodies: Mapping[str, Any]
) -> list[ImportedRecordRow]:
    """Leave the records whose former external id has become another record's."""
    keys = {
        (bodies[record.record_id].source, bodies[record.record_id].external_id): record.record_id for record in records
    }
    owners = await rows_by_external_id(session, table, [key for key in keys if key[1] is not None])
    taken = {keys[key] for key, row in owners.items() if row.id != keys[key]}
    for record in records:
        if record.record_id in taken:
            record.reason = "id_taken"
    return [record for record in records if record.record_id not in taken]


async def _follow(session: AsyncSession, of: ImportRow, table: Any, records: Sequence[ImportedRecordRow]) -> None:
    """Earlier imports of these records find them as they left them, so that imports can be undone one after the other."""  # noqa: E501
    if not records:
        return
    ids = [record.record_id for record in records]
    present = await versions_of(session, table, ids)
    row = Table.metadata.tables[ImportedRecordRow.__tablename__]
    earlier = update(row).where(
        row.c.record_id == bindparam("of"), row.c.version == bindparam("left_at"), row.c.import_id != of.id
    )
    await session.execute(
        earlier.values(version=bindparam("now_at")),
        [
            {"of": record.record_id, "left_at": record.version_before, "now_at": present[record.record_id]}
            for record in records
        ],
    )


_NOT_STORED = Bilingual("该导入尚未保存，直接删除即可。", "Nothing of the import is stored yet; delete it.")
_TOO_OLD = Bilingual("导入已超过可撤销的期限。", "The import is too old to be undone.")
