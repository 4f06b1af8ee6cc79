"""Register and change organizations, find duplicates, replace exclusion lists."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from anyio import to_thread
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from matching_service.access.policies import Principal
from matching_service.api.bulk import Stored, upsert_each
from matching_service.api.ownership import owned
from matching_service.api.problems import count_of_errors
from matching_service.audit.service import record_audit
from matching_service.foundation.clock import new_id, now
from matching_service.foundation.errors import Bilingual, Conflict, FieldError, InvalidInput
from matching_service.organizations.duplicates import like_names, like_pairs
from matching_service.organizations.queries import all_names, list_exclusions, refuse_merged
from matching_service.organizations.schemas import (
    ExclusionBody,
    LikeOrganization,
    LikeOrganizations,
    NamedOrganization,
    OrganizationCreate,
    OrganizationPatch,
)
from matching_service.store.base import assign
from matching_service.store.batch import Batch, delete_rows, new_row, write_rows
from matching_service.store.demands import DemandRow
from matching_service.store.imports import forget_records
from matching_service.store.lookup import existing_ids, get_by_ids, id_batches, in_parts, rows_by_external_id
from matching_service.store.organizations import ExclusionRow, OrganizationRow, plain_name
from matching_service.store.outbox import record_event
from matching_service.store.profiles import ProfileRow
from matching_service.store.scope import Scope


async def create_organization(session: AsyncSession, data: OrganizationCreate, actor: Principal) -> OrganizationRow:
    """Register an organization. Raises Conflict if the external id or the credit code is taken."""
    data = owned(data, actor)
    if data.external_id is not None:
        taken = await rows_by_external_id(session, OrganizationRow, [(data.source, data.external_id)])
        for row in taken.values():
            raise _taken("external_id", data.external_id, row.id)
    await _refuse_taken_codes(session, data.credit_code)
    row = OrganizationRow(**_with_plain_name(data.model_dump()))
    session.add(row)
    await session.flush()
    record_audit(session, actor, "create", entity="organization", entity_id=row.id)
    return row


async def update_organization(
    session: AsyncSession, row: OrganizationRow, patch: OrganizationPatch, actor: Principal
) -> OrganizationRow:
    refuse_merged(row)
    changes = patch.model_dump(exclude_unset=True)
    if (code := changes.get("credit_code")) and code != row.credit_code:
        await _refuse_taken_codes(session, code)
    changed = _assign(row, changes)
    await session.flush()
    record_audit(session, actor, "update", entity="organization", entity_id=row.id, detail={"fields": sorted(changes)})
    if changed:
        await _record_updates(session, {row.id: changed})
    return row


async def upsert_organizations(
    session: AsyncSession, items: Sequence[OrganizationCreate], actor: Principal
) -> list[Stored]:
    """Create or update by (source, external_id). An item whose credit code is taken is rejected alone."""
    items = [owned(item, actor) for item in items]
    batch = await Batch.load(session, OrganizationRow, items)
    owners = await _owners_of_codes(session, (item.credit_code for item in items if item.credit_code))
    changes: dict[str, list[str]] = {}

    def check_code(code: str | None, row_id: str) -> None:
        if code is not None and (owner_id := owners.setdefault(code, row_id)) != row_id:
            raise _taken("credit_code", code, owner_id)

    def create(item: OrganizationCreate) -> OrganizationRow:
        values = _with_plain_name(item.model_dump(exclude={"id"}))
        row = new_row(OrganizationRow, values | {"id": item.row_id or new_id()})
        check_code(item.credit_code, row.id)
        record_audit(session, actor, "created", entity="organization", entity_id=row.id)
        return row

    def update(row: OrganizationRow, item: OrganizationCreate) -> bool:
        if row.merged_into is not None:
            raise _merged(row.merged_into)
        check_code(item.credit_code, row.id)
        changed = _assign(row, item.sent(item.model_dump(exclude={"id"})))
        if changed:
            changes[row.id] = sorted({*changes.get(row.id, ()), *changed})
            record_audit(session, actor, "updated", entity="organization", entity_id=row.id)
        return bool(changed)

    results = await upsert_each(items, batch, create=create, update=update)
    await write_rows(session, OrganizationRow, batch.rows)
    await _record_updates(session, changes)
    return results


async def delete_organizations(session: AsyncSession, ids: Sequence[str], actor: Principal) -> None:
    """Delete organizations. Requires the rows to be locked, and that nothing refers to them."""
    await delete_rows(session, OrganizationRow, ids)
    for part in in_parts(ids):
        await forget_records(session, part)
    for organization_id in ids:
        record_audit(session, actor, "delete", entity="organization", entity_id=organization_id)
        record_event(session, "organization.deleted", entity="organization", entity_id=organization_id)


def _with_plain_name(values: Mapping[str, Any]) -> dict[str, Any]:
    return dict(values) | ({"plain_name": plain_name(values["name"])} if "name" in values else {})


def _assign(row: OrganizationRow, values: Mapping[str, Any]) -> list[str]:
    """Assign the values to the row. Returns the sorted names of the fields that changed."""
    return [name for name in assign(row, _with_plain_name(values)) if name != "plain_name"]


async def find_duplicates(session: AsyncSession, scope: Scope | None, *, limit: int) -> list[LikeOrganizations]:
    """Return the ``limit`` most similar pairs of organizations by name, most similar first."""
    named = await all_names(session, scope)
    pairs = (await to_thread.run_sync(like_pairs, [name for _, name in named]))[:limit]
    rows = await get_by_ids(
        session, OrganizationRow, (named[i][0] for pair in pairs for i in (pair.first, pair.second))
    )
    return [
        LikeOrganizations(
            organizations=(
                NamedOrganization.model_validate(rows[named[pair.first][0]]),
                NamedOrganization.model_validate(rows[named[pair.second][0]]),
            ),
            likeness=round(pair.likeness, 3),
        )
        for pair in pairs
    ]


async def find_similar(
    session: AsyncSession, name: str, scope: Scope | None, *, limit: int, besides: str | None = None
) -> list[LikeOrganization]:
    """Return the ``limit`` organizations with the most similar names, most similar first, ``besides`` left out."""
    named = [pair for pair in await all_names(session, scope) if pair[0] != besides]
    similar = (await to_thread.run_sync(like_names, name, [other for _, other in named]))[:limit]
    rows = await get_by_ids(session, OrganizationRow, (named[i][0] for i, _ in similar))
    return [
        LikeOrganization(organization=NamedOrganization.model_validate(rows[named[i][0]]), likeness=round(likeness, 3))
        for i, likeness in similar
    ]


async def replace_exclusions(
    session: AsyncSession, organization: OrganizationRow, items: Sequence[ExclusionBody], actor: Principal
) -> Sequence[ExclusionRow]:
    """Replace the exclusion list. Raises InvalidInput, which names every invalid item.

    organization : locked by the caller, so that two lists sent at once cannot mix.
    Unchanged entries keep their rows. If the whole list is unchanged, no audit row and no event is written.
    """
    await _check_exclusions(session, organization.id, items)
    obsolete = {
        (row.profile_id, row.excluded_organization_id): row for row in await list_exclusions(session, organization.id)
    }
    n_added = n_changed = 0
    moment = now()
    for item in items:
        row = obsolete.pop(item.target, None)
        if row is None:
            row = ExclusionRow(
                organization_id=organization.id,
                profile_id=item.profile_id,
                excluded_organization_id=item.organization_id,
            )
            session.add(row)
            n_added += 1
        elif row.reason != item.reason:
            n_changed += 1
        else:
            continue
        row.reason, row.actor_id, row.at = item.reason, actor.id, moment
    for row in obsolete.values():
        await session.delete(row)
    if n_added or n_changed or obsolete:
        await session.flush()
        detail = {"added": n_added, "changed": n_changed, "removed": len(obsolete)}
        record_audit(
            session, actor, "replace_exclusions", entity="organization", entity_id=organization.id, detail=detail
        )
        record_event(session, "organization.exclusions_changed", entity="organization", entity_id=organization.id)
    return await list_exclusions(session, organization.id)


async def _record_updates(session: AsyncSession, changes: Mapping[str, Sequence[str]]) -> None:
    """Record events of changed organizations, and of the demands and profiles that refer to them.

    changes : changed fields by organization id.
    Webhooks and the feed show demands and profiles together with their organization, so these change as well.
    """
    for organization_id, names in changes.items():
        detail = {"fields": list(names)}
        record_event(session, "organization.updated", entity="organization", entity_id=organization_id, detail=detail)
    for entity, table in (("demand", DemandRow), ("profile", ProfileRow)):
        for batch in id_batches(changes):
            for row_id in await session.scalars(select(table.id).where(table.organization_id.in_(batch))):
                detail = {"fields": ["organization"]}
                record_event(session, f"{entity}.updated", entity=entity, entity_id=row_id, detail=detail)


async def _check_exclusions(session: AsyncSession, own_id: str, items: Sequence[ExclusionBody]) -> None:
    profiles = await existing_ids(session, ProfileRow, (i.profile_id for i in items if i.profile_id is not None))
    organizations = await get_by_ids(
        session, OrganizationRow, (i.organization_id for i in items if i.organization_id is not None)
    )
    errors: list[FieldError] = []
    seen: set[tuple[str | None, str | None]] = set()
    for position, item in enumerate(items):
        profile_id, organization_id = item.target
        error: tuple[str, Bilingual] | None = None
        if item.target in seen:
            error = "duplicate_exclusion", _TWICE
        elif organization_id == own_id:
            error = "own_organization", _OWN
        elif profile_id is not None and profile_id not in profiles:
            message = Bilingual(f"画像 {profile_id} 不存在。", f"Profile {profile_id} does not exist.")
            error = "profile_not_found", message
        elif organization_id is not None and organization_id not in organizations:
            message = Bilingual(f"机构 {organization_id} 不存在。", f"Organization {organization_id} does not exist.")
            error = "organization_not_found", message
        elif organization_id is not None and (successor := organizations[organization_id].merged_into) is not None:
            message = Bilingual(f"机构已并入 {successor}。", f"The organization was merged into {successor}.")
            error = "organization_merged", message
        if error is not None:
            field = "profile_id" if profile_id is not None else "organization_id"
            errors.append(FieldError(*error, f"/items/{position}/{field}"))
        seen.add(item.target)
    if errors:
        raise InvalidInput("invalid_exclusions", count_of_errors(len(errors)), errors=errors)


_TWICE = Bilingual("该对象在名单中重复出现。", "It occurs twice in the list.")
_OWN = Bilingual("机构不能排除自己。", "An organization cannot exclude itself.")


async def _owners_of_codes(session: AsyncSession, codes: Iterable[str]) -> dict[str, str]:
    """Return organization ids by credit code."""
    owners: dict[str, str] = {}
    for part in in_parts(sorted(set(codes))):
        statement = select(OrganizationRow.credit_code, OrganizationRow.id).where(OrganizationRow.credit_code.in_(part))
        owners |= {code: row_id for code, row_id in await session.execute(statement) if code is not None}
    return owners


async def _refuse_taken_codes(session: AsyncSession, code: str | None) -> None:
    if code is None:
        return
    owner = await session.scalar(select(OrganizationRow.id).where(OrganizationRow.credit_code == code))
    if owner is not None:
        raise _taken("credit_code", code, owner)


def _taken(field: str, value: str, owner_id: str) -> Conflict:
    message = Bilingual(
        f"{field} {value} 已属于机构 {owner_id}。", f"{field} {value} already belongs to organization {owner_id}."
    )
    return Conflict.at(f"/{field}", f"{field}_taken", message)


def _merged(successor: str) -> Conflict:
    message = Bilingual(
        f"该机构已并入 {successor}；请更新后者。", f"The organization was merged into {successor}; update the latter."
    )
    return Conflict.at("/external_id", "organization_merged", message)
