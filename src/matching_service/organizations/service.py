"""Registering and changing organizations."""

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from matching_service.access.policies import Principal
from matching_service.api.bulk import Stored, rejected
from matching_service.audit.service import record_audit
from matching_service.foundation.clock import new_id
from matching_service.foundation.errors import Conflict, FieldError, InvalidInput, Text
from matching_service.organizations.schemas import OrganizationCreate, OrganizationPatch
from matching_service.store.lookup import ExistingRows, rows_by_external_id
from matching_service.store.organizations import OrganizationRow


async def create_organization(session: AsyncSession, data: OrganizationCreate, actor: Principal) -> OrganizationRow:
    """Raises Conflict when the external id or the credit code is taken."""
    if data.external_id is not None:
        taken = await rows_by_external_id(session, OrganizationRow, [(data.source, data.external_id)])
        for row in taken.values():
            raise _taken("external_id", data.external_id, row.id)
    await _refuse_taken_codes(session, data.credit_code)
    row = OrganizationRow(**data.model_dump())
    session.add(row)
    await session.flush()
    record_audit(session, actor, "create", entity="organization", entity_id=row.id)
    return row


async def update_organization(
    session: AsyncSession, row: OrganizationRow, patch: OrganizationPatch, actor: Principal
) -> OrganizationRow:
    changes = patch.model_dump(exclude_unset=True)
    if (code := changes.get("credit_code")) and code != row.credit_code:
        await _refuse_taken_codes(session, code)
    for name, value in changes.items():
        setattr(row, name, value)
    await session.flush()
    record_audit(session, actor, "update", entity="organization", entity_id=row.id, detail={"fields": sorted(changes)})
    return row


async def upsert_organizations(
    session: AsyncSession, items: Sequence[OrganizationCreate], actor: Principal
) -> list[Stored]:
    """Create or update by (source, external_id); an item whose credit code belongs to another is refused alone."""
    existing = await ExistingRows.load(session, OrganizationRow, items)
    codes = [item.credit_code for item in items if item.credit_code]
    owners: dict[str, OrganizationRow] = {
        row.credit_code: row
        for start in range(0, len(codes), 500)
        for row in await session.scalars(
            select(OrganizationRow).where(OrganizationRow.credit_code.in_(codes[start : start + 500]))
        )
        if row.credit_code
    }
    results: list[Stored] = []
    for item in items:
        row = existing.find(item)
        owner = owners.get(item.credit_code) if item.credit_code else None
        if owner is not None and owner is not row:
            results.append(rejected(_as_input(_taken("credit_code", item.credit_code or "", owner.id))))
            continue
        values = item.model_dump(exclude={"id"})
        if row is None:
            row = OrganizationRow(id=item.row_id or new_id(), **values)
            session.add(row)
            status = Stored("created", row.id)
        elif changed := {name: value for name, value in item.sent(values).items() if getattr(row, name) != value}:
            for name, value in changed.items():
                setattr(row, name, value)
            status = Stored("updated", row.id)
        else:
            status = Stored("unchanged", row.id)
        existing.add(item, row)
        if item.credit_code:
            owners[item.credit_code] = row
        if status.status != "unchanged":
            record_audit(session, actor, status.status, entity="organization", entity_id=row.id)
        results.append(status)
    await session.flush()
    return results


async def _refuse_taken_codes(session: AsyncSession, code: str | None) -> None:
    if code is None:
        return
    owner = await session.scalar(select(OrganizationRow.id).where(OrganizationRow.credit_code == code))
    if owner is not None:
        raise _taken("credit_code", code, owner)


def _taken(field: str, value: str, owner_id: str) -> Conflict:
    message = Text(
        f"{field} {value} 已属于机构 {owner_id}。", f"{field} {value} belongs to organization {owner_id} already."
    )
    return Conflict(f"{field}_taken", message, errors=[FieldError(f"{field}_taken", message, f"/{field}")])


def _as_input(error: Conflict) -> InvalidInput:
    return InvalidInput(error.code, error.detail, errors=error.errors)
