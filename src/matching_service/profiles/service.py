"""The rules of profiles. Every change writes an audit row and the outbox event that updates the index."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm.attributes import set_committed_value

from matching_service.access.policies import Principal
from matching_service.api.bulk import Stored, upsert_each
from matching_service.api.idempotency import erase_answers
from matching_service.api.ownership import check_own, owned
from matching_service.audit.service import record_audit
from matching_service.foundation.clock import new_id, now
from matching_service.foundation.errors import Bilingual, InvalidInput
from matching_service.profiles.queries import attach_works, get_contact
from matching_service.profiles.schemas import Contact, ProfileCreate, ProfilePatch, Work
from matching_service.store.affiliation import Affiliations, check_organization, present_organization
from matching_service.store.base import assign
from matching_service.store.batch import Batch, delete_rows, new_row, write_rows
from matching_service.store.imports import forget_records
from matching_service.store.lookup import in_parts, refuse_taken
from matching_service.store.outbox import record_event
from matching_service.store.profiles import NEVER_MATCHED, ProfileContactRow, ProfileRow, WorkRow

_PROFILE = Bilingual("画像", "Profile")
_NOT_COLUMNS = {"organization_external_id", "works", "id"}
_WORK_FIELDS = ("external_id", "kind", "title", "abstract", "year")


async def create_profile(session: AsyncSession, data: ProfileCreate, actor: Principal) -> ProfileRow:
    """Create a profile. Raises Conflict for a taken external id, InvalidInput for works that share one."""
    data = owned(data, actor)
    await refuse_taken(session, ProfileRow, data.source, data.external_id, what=_PROFILE)
    row = _new(session, data, _values(data, await Affiliations.load(session, [data], actor.scope)), actor)
    session.add(row)
    await session.flush()
    return row


async def update_profile(session: AsyncSession, row: ProfileRow, patch: ProfilePatch, actor: Principal) -> ProfileRow:
    """Change the fields that were sent. Requires ``row`` with its works loaded."""
    changes = patch.model_dump(exclude_unset=True, exclude=_NOT_COLUMNS)
    if (organization_id := changes.get("organization_id")) is not None:
        changes["organization_id"] = await present_organization(session, organization_id, actor.scope)
    check_organization(changes.get("organization_id", row.organization_id), actor.scope)
    _check_availability(
        changes.get("available_from", row.available_from), changes.get("available_until", row.available_until)
    )
    works = patch.works if "works" in patch.model_fields_set else None
    if works is not None:
        _check_works(works)
    was_shown = row.visibility not in NEVER_MATCHED
    _update(session, row, changes, works, actor)
    await session.flush()
    if was_shown and row.visibility in NEVER_MATCHED:
        await erase_answers(session, [row.id])
    return row


async def upsert_profiles(session: AsyncSession, items: Sequence[ProfileCreate], actor: Principal) -> list[Stored]:
    """Create or update by (source, external_id), in order. An invalid item is rejected alone."""
    items = [owned(item, actor) for item in items]
    batch = await Batch.load(session, ProfileRow, items)
    await attach_works(session, batch.rows)
    affiliations = await Affiliations.load(session, items, actor.scope)
    present_works = {work.id for row in batch.rows for work in row.works}
    shown = {row.id for row in batch.rows if row.visibility not in NEVER_MATCHED}

    def create(item: ProfileCreate) -> ProfileRow:
        return _new(session, item, _values(item, affiliations), actor)

    def update(row: ProfileRow, item: ProfileCreate) -> bool:
        check_own(row, item.external_id, actor)
        works = item.works if "works" in item.model_fields_set else None
        return _update(session, row, item.sent(_values(item, affiliations)), works, actor)

    results = await upsert_each(items, batch, create=create, update=update)
    wanted_works = [work for row in batch.rows for work in row.works]
    await write_rows(session, ProfileRow, batch.rows)
    await delete_rows(session, WorkRow, present_works - {work.id for work in wanted_works})
    await write_rows(session, WorkRow, wanted_works)
    if hidden := [row.id for row in batch.rows if row.id in shown and row.visibility in NEVER_MATCHED]:
        await erase_answers(session, hidden)
    return results


async def delete_profile(session: AsyncSession, row: ProfileRow, actor: Principal) -> None:
    """Delete the profile with its works, its contact data and its entries in stored lists."""
    await session.delete(row)
    await session.flush()
    await _record_deletions(session, [row.id], actor)


async def delete_profiles(session: AsyncSession, ids: Sequence[str], actor: Principal) -> None:
    """Delete many profiles as ``delete_profile`` does. Requires the rows to be locked."""
    await delete_rows(session, ProfileRow, ids)
    await _record_deletions(session, ids, actor)


async def read_contact(
    session: AsyncSession, row: ProfileRow, actor: Principal, *, purpose: str | None = None
) -> Contact:
    """Return the contact data, all null if none is stored, and write an audit row with the purpose."""
    detail = {"purpose": purpose} if purpose is not None else None
    record_audit(session, actor, "read_contact", entity="profile", entity_id=row.id, detail=detail)
    stored = await get_contact(session, row.id)
    return Contact() if stored is None else Contact.model_validate(stored)


async def write_contact(session: AsyncSession, row: ProfileRow, contact: Contact, actor: Principal) -> None:
    """Replace the contact data completely."""
    await session.merge(ProfileContactRow(profile_id=row.id, **contact.model_dump()))
    row.updated_at = now()  # the profile's version covers its contact data too
    await session.flush()
    record_audit(session, actor, "write_contact", entity="profile", entity_id=row.id)


async def _record_deletions(session: AsyncSession, ids: Sequence[str], actor: Principal) -> None:
    """Record deletions of profiles, and erase what else is stored of them."""
    for part in in_parts(ids):
        await erase_answers(session, part)
        await forget_records(session, part)
    for profile_id in ids:
        record_audit(session, actor, "delete", entity="profile", entity_id=profile_id)
        record_event(session, "profile.deleted", entity="profile", entity_id=profile_id)


def _new(session: AsyncSession, data: ProfileCreate, values: dict[str, Any], actor: Principal) -> ProfileRow:
    row_id = data.row_id or new_id()
    row = new_row(ProfileRow, values | {"id": row_id})
    set_committed_value(row, "works", _matched_works(row_id, [], data.works))
    record_audit(session, actor, "create", entity="profile", entity_id=row.id)
    record_event(session, "profile.created", entity="profile", entity_id=row.id)
    return row


def _update(
    session: AsyncSession, row: ProfileRow, values: dict[str, Any], works: Sequence[Work] | None, actor: Principal
) -> bool:
    changed = assign(row, values)
    detail: dict[str, Any] = {"fields": changed}
    if works is not None and _work_values(row.works) != _work_values(works):
        before = {work.id: (work.title, _work_value(work)) for work in row.works}
        row.works = _matched_works(row.id, row.works, works)
        changed.append("works")
        detail["works"] = _work_changes(before, row.works)
    if not changed:
        return False
    row.updated_at = now()  # also when only works changed: the profile's version covers them
    record_audit(session, actor, "update", entity="profile", entity_id=row.id, detail={"fields": changed})
    record_event(session, "profile.updated", entity="profile", entity_id=row.id, detail=detail)
    return True


def _work_values(works: Sequence[Work] | Sequence[WorkRow]) -> list[tuple[object, ...]]:
    return [_work_value(work) for work in works]


def _work_value(work: Work | WorkRow) -> tuple[object, ...]:
    return tuple(getattr(work, name) for name in _WORK_FIELDS)


def _work_changes(
    before: Mapping[str, tuple[str, tuple[object, ...]]], works: Sequence[WorkRow]
) -> list[dict[str, str]]:
    """Return the works added, changed or removed, but not those that only moved. ``before``: id -> (title, values)."""
    kept = {work.id for work in works}
    changes = [
        {"id": work.id, "title": work.title, "change": "changed" if work.id in before else "added"}
        for work in works
        if work.id not in before or before[work.id][1] != _work_value(work)
    ]
    return changes + [
        {"id": work_id, "title": title, "change": "removed"}
        for work_id, (title, _) in before.items()
        if work_id not in kept
    ]


def _matched_works(profile_id: str, present: Sequence[WorkRow], wanted: Sequence[Work]) -> list[WorkRow]:
    """Return a row per wanted work. Reuses the row with the same external id, or without one, kind and title."""
    by_external_id = {row.external_id: row for row in present if row.external_id is not None}
    by_title = {(row.kind, row.title): row for row in present if row.external_id is None}
    rows: list[WorkRow] = []
    for position, work in enumerate(wanted):
        if work.external_id is not None:
            row = by_external_id.pop(work.external_id, None)
        else:
            row = by_title.pop((work.kind, work.title), None)
        values = {name: getattr(work, name) for name in _WORK_FIELDS} | {"position": position}
        if row is None:
            row = new_row(WorkRow, values | {"id": new_id(), "profile_id": profile_id})
        assign(row, values)
        rows.append(row)
    return rows


def _values(data: ProfileCreate, affiliations: Affiliations) -> dict[str, Any]:
    _check_availability(data.available_from, data.available_until)
    _check_works(data.works)
    values = data.model_dump(exclude=_NOT_COLUMNS)
    values["organization_id"] = affiliations.organization_id(data)
    return values


def _check_works(works: Sequence[Work]) -> None:
    seen: set[str] = set()
    for position, work in enumerate(works):
        if work.external_id is None:
            continue
        if work.external_id in seen:
            message = Bilingual(
                f"外部编号 {work.external_id} 在本画像中出现两次。",
                f"External id {work.external_id} occurs twice in this profile.",
            )
            pointer = f"/works/{position}/external_id"
            raise InvalidInput.at(pointer, "duplicate_work", message)
        seen.add(work.external_id)


def _check_availability(start: Any, end: Any) -> None:
    if start is not None and end is not None and end < start:
        message = Bilingual("available_until 早于 available_from。", "available_until is before available_from.")
        raise InvalidInput.at("/available_until", "end_before_start", message)
