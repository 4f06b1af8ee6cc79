"""Merge two records of the same organization. All records that refer to either one are kept."""

from typing import Any, cast

from sqlalchemy import Column, CursorResult, delete, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from matching_service.access.policies import Principal
from matching_service.access.service import follow_merge
from matching_service.audit.service import record_audit
from matching_service.foundation.errors import Bilingual, Conflict, InvalidInput, names_nothing
from matching_service.organizations.queries import get_organization, list_exclusions, refuse_merged
from matching_service.store.lookup import get_row
from matching_service.store.organizations import ExclusionRow, OrganizationRow
from matching_service.store.outbox import record_event
from matching_service.store.tables import Table

_FILLED = ("region", "cluster", "introduction")
_INDEXED = {"demands": "demand", "profiles": "profile"}


def references() -> list[Column[Any]]:
    """Return every column, of all tables, that refers to an organization."""
    own = OrganizationRow.__table__.c.id
    columns = (key.parent for table in Table.metadata.sorted_tables for key in table.foreign_keys if key.column is own)
    return sorted(columns, key=str)


async def merge_organization(
    session: AsyncSession, merged_id: str, into_id: str, *, actor: Principal
) -> tuple[OrganizationRow, OrganizationRow]:
    """Move all references from one organization to the other. The first record stays and points to the second.

    Returns both rows. Raises NotFound, InvalidInput if the target is unknown or the same record, and Conflict if one of
    them is merged already or if their credit codes differ, because these are two legal persons.
    """
    if merged_id == into_id:
        raise InvalidInput.at(
            "/into",
            "same_organization",
            Bilingual("机构不能并入自己。", "An organization cannot be merged into itself."),
        )
    for row_id in sorted((merged_id, into_id)):  # always in this order, so that two merges cannot deadlock
        await get_row(session, OrganizationRow, row_id, for_update=True)
    merged = await get_organization(session, merged_id)
    into = await get_row(session, OrganizationRow, into_id)
    if into is None:
        raise names_nothing(Bilingual("机构", "Organization"), into_id, code="organization_not_found", pointer="/into")
    refuse_merged(merged)
    refuse_merged(into)
    if merged.credit_code and into.credit_code and merged.credit_code != into.credit_code:
        raise Conflict("credit_codes_differ", _TWO_CODES)
    detail: dict[str, Any] = {"into": into.id, "credit_code": merged.credit_code}
    await _merge_exclusions(session, merged.id, into.id)
    detail["moved"] = {
        str(column): n_moved
        for column in references()
        if (n_moved := await _move(session, column, merged.id, into.id)) > 0
    }
    await follow_merge(session, merged.id, into.id)
    for name in _FILLED:
        if getattr(into, name) is None:
            setattr(into, name, getattr(merged, name))
    merged.merged_into = into.id
    if merged.credit_code is not None:
        code, merged.credit_code = merged.credit_code, None
        await session.flush()  # the code is unique, so the first record must lose it before the second gets it
        into.credit_code = code
    await session.flush()
    record_audit(session, actor, "merge", entity="organization", entity_id=merged.id, detail=detail)
    record_audit(session, actor, "receive", entity="organization", entity_id=into.id, detail={"merged": merged.id})
    record_event(session, "organization.merged", entity="organization", entity_id=merged.id, detail={"into": into.id})
    detail = {"merged": merged.id}
    record_event(session, "organization.received", entity="organization", entity_id=into.id, detail=detail)
    return merged, into


async def _move(session: AsyncSession, column: Column[Any], old: str, new: str) -> int:
    """Point the rows of one column to the new organization. Record events for demands and profiles, for the index."""
    table = column.table
    values: dict[str, Any] = {column.name: new}
    if "row_version" in table.c:
        values["row_version"] = table.c.row_version + 1
    entity = _INDEXED.get(table.name) if column.name == "organization_id" else None
    if entity is not None:
        for row_id in await session.scalars(select(table.c.id).where(column == old)):
            detail = {"fields": ["organization_id"]}
            record_event(session, f"{entity}.updated", entity=entity, entity_id=row_id, detail=detail)
    result = cast(CursorResult[Any], await session.execute(update(table).where(column == old).values(values)))
    return result.rowcount


async def _merge_exclusions(session: AsyncSession, old: str, new: str) -> None:
    """Delete exclusions that would become duplicates, or that would make an organization exclude itself.

    Record an event for each organization whose list changes by the merge, so that its demands are ranked again.
    """
    listing = select(ExclusionRow.organization_id).where(ExclusionRow.excluded_organization_id == old).distinct()
    affected = set(await session.scalars(listing)) - {old, new}
    if await list_exclusions(session, old):
        affected.add(new)
    for organization_id in sorted(affected):
        record_event(session, "organization.exclusions_changed", entity="organization", entity_id=organization_id)
    existing = {(row.profile_id, row.excluded_organization_id) for row in await list_exclusions(session, new)}
    obsolete = [
        row.id
        for row in await list_exclusions(session, old)
        if (row.profile_id, row.excluded_organization_id) in existing or row.excluded_organization_id == new
    ]
    excluding_both = select(ExclusionRow.organization_id).where(ExclusionRow.excluded_organization_id == new)
    await session.execute(
        delete(ExclusionRow).where(
            ExclusionRow.id.in_(obsolete)
            | (
                (ExclusionRow.excluded_organization_id == old)
                & (
                    ExclusionRow.organization_id.in_(excluding_both.scalar_subquery())
                    | (ExclusionRow.organization_id == new)
                )
            )
        )
    )


_TWO_CODES = Bilingual(
    "两个机构的统一社会信用代码不同，是两个法人；若其中一个有误，请先更正。",
    "The credit codes differ, so these are two legal persons; if one code is wrong, correct it first.",
)
