"""The rules of programme records: references must exist, and every change writes an audit row and an event."""

from collections.abc import Sequence
from datetime import date
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from matching_service.access.policies import Principal
from matching_service.api.bulk import Stored, upsert_each
from matching_service.audit.service import record_audit
from matching_service.foundation.clock import new_id
from matching_service.foundation.errors import Bilingual, InvalidInput, names_nothing
from matching_service.programme.schemas import ProgrammeRecordCreate, ProgrammeRecordPatch
from matching_service.store.affiliation import Affiliations, present_organization
from matching_service.store.base import assign
from matching_service.store.batch import Batch, delete_rows, new_row, write_rows
from matching_service.store.imports import forget_records
from matching_service.store.lookup import existing_ids, in_parts, refuse_taken
from matching_service.store.outbox import record_event
from matching_service.store.profiles import ProfileRow
from matching_service.store.programme import ProgrammeRecordRow

_RECORD = Bilingual("工作记录", "Programme record")
_PROFILE = Bilingual("画像", "Profile")
_ENTITY = "programme_record"


async def create_record(session: AsyncSession, data: ProgrammeRecordCreate, actor: Principal) -> ProgrammeRecordRow:
    """Create a record.

    Raises Conflict for a taken external id, InvalidInput for a missing reference or an end before the start.
    """
    await refuse_taken(session, ProgrammeRecordRow, data.source, data.external_id, what=_RECORD)
    known = await _known_profiles(session, [data.profile_id])
    row = _new(session, _values(data, await Affiliations.load(session, [data]), known), actor)
    session.add(row)
    await session.flush()
    return row


async def update_record(
    session: AsyncSession, row: ProgrammeRecordRow, patch: ProgrammeRecordPatch, actor: Principal
) -> ProgrammeRecordRow:
    """Change the fields that were sent. Raises InvalidInput for a missing reference or an end before the start."""
    changes = patch.model_dump(exclude_unset=True)
    if (organization_id := changes.get("organization_id")) is not None:
        changes["organization_id"] = await present_organization(session, organization_id)
    _check_profile(changes.get("profile_id"), await _known_profiles(session, [changes.get("profile_id")]))
    _check_days(changes.get("started_on", row.started_on), changes.get("ended_on", row.ended_on))
    _update(session, row, changes, actor)
    await session.flush()
    return row


async def remove_record(session: AsyncSession, row: ProgrammeRecordRow, actor: Principal) -> None:
    """Delete a record that was entered by mistake. One that has ended gets ``ended_on`` instead."""
    await session.delete(row)
    await session.flush()
    record_audit(session, actor, "delete", entity=_ENTITY, entity_id=row.id, detail={"kind": row.kind})
    record_event(session, "programme_record.deleted", entity=_ENTITY, entity_id=row.id)


async def remove_records(session: AsyncSession, ids: Sequence[str], actor: Principal) -> None:
    """Delete many records that were entered by mistake. Requires the rows to be locked."""
    await delete_rows(session, ProgrammeRecordRow, ids)
    for part in in_parts(ids):
        await forget_records(session, part)
    for record_id in ids:
        record_audit(session, actor, "delete", entity=_ENTITY, entity_id=record_id)
        record_event(session, "programme_record.deleted", entity=_ENTITY, entity_id=record_id)


async def upsert_records(
    session: AsyncSession, items: Sequence[ProgrammeRecordCreate], actor: Principal
) -> list[Stored]:
    """Create or update by (source, external_id), in order. An invalid item is rejected alone."""
    batch = await Batch.load(session, ProgrammeRecordRow, items)
    affiliations = await Affiliations.load(session, items)
    known = await _known_profiles(session, [item.profile_id for item in items])

    def create(item: ProgrammeRecordCreate) -> ProgrammeRecordRow:
        return _new(session, _values(item, affiliations, known) | {"id": item.row_id or new_id()}, actor)

    def update(row: ProgrammeRecordRow, item: ProgrammeRecordCreate) -> bool:
        sent = item.sent(_values(item, affiliations, known))
        _check_days(item.started_on, sent.get("ended_on", row.ended_on))
        return _update(session, row, sent, actor)

    results = await upsert_each(items, batch, create=create, update=update)
    await write_rows(session, ProgrammeRecordRow, batch.rows)
    return results


def _new(session: AsyncSession, values: dict[str, Any], actor: Principal) -> ProgrammeRecordRow:
    row = new_row(ProgrammeRecordRow, {"id": new_id()} | values)
    record_audit(session, actor, "create", entity=_ENTITY, entity_id=row.id)
    record_event(session, "programme_record.created", entity=_ENTITY, entity_id=row.id)
    return row


def _update(session: AsyncSession, row: ProgrammeRecordRow, values: dict[str, Any], actor: Principal) -> bool:
    changed = assign(row, values)
    if changed:
        detail = {"fields": changed}
        record_audit(session, actor, "update", entity=_ENTITY, entity_id=row.id, detail=detail)
        record_event(session, "programme_record.updated", entity=_ENTITY, entity_id=row.id, detail=detail)
    return bool(changed)


def _values(data: ProgrammeRecordCreate, affiliations: Affiliations, known: set[str]) -> dict[str, Any]:
    _check_days(data.started_on, data.ended_on)
    _check_profile(data.profile_id, known)
    values = data.model_dump(exclude={"organization_external_id", "id"})
    values["organization_id"] = affiliations.organization_id(data)
    return values


async def _known_profiles(session: AsyncSession, ids: Sequence[str | None]) -> set[str]:
    return await existing_ids(session, ProfileRow, (profile_id for profile_id in ids if profile_id is not None))


def _check_profile(profile_id: str | None, known: set[str]) -> None:
    if profile_id is not None and profile_id not in known:
        raise names_nothing(_PROFILE, profile_id, code="profile_not_found", pointer="/profile_id")


def _check_days(started_on: date, ended_on: date | None) -> None:
    if ended_on is not None and ended_on < started_on:
        message = Bilingual(
            f"结束日期 {ended_on} 早于开始日期 {started_on}。", f"The end {ended_on} is before the start {started_on}."
        )
        raise InvalidInput.at("/ended_on", "end_before_start", message)
