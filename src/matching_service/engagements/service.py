"""Create and change engagements: check their references and record each change as an audit row and an event."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from matching_service.access.policies import Principal
from matching_service.access.service import principal_named
from matching_service.audit.service import record_audit
from matching_service.engagements.schemas import EngagementCreate, EngagementPatch
from matching_service.foundation.clock import new_id, now
from matching_service.foundation.errors import Bilingual, InvalidInput, names_nothing
from matching_service.store.affiliation import present_organization
from matching_service.store.base import Identified, assign
from matching_service.store.demands import DemandRow
from matching_service.store.engagements import EngagementRow
from matching_service.store.lookup import get_row
from matching_service.store.outbox import record_event
from matching_service.store.profiles import ProfileRow


async def create_engagement(session: AsyncSession, body: EngagementCreate, actor: Principal) -> EngagementRow:
    """Create an engagement.

    Raises InvalidInput if a referenced demand, profile or organization does not exist, or if a next step has a date
    but no text.
    """
    values = await _checked(session, body.model_dump())
    values |= await _staff(session, body.staff, actor)
    row = EngagementRow(id=new_id(), **values)
    _check_next_step(row)
    session.add(row)
    await session.flush()
    record_audit(session, actor, "create", entity="engagement", entity_id=row.id)
    record_event(
        session, "engagement.created", entity="engagement", entity_id=row.id, detail={"demand_id": row.demand_id}
    )
    return row


async def update_engagement(
    session: AsyncSession, row: EngagementRow, patch: EngagementPatch, actor: Principal
) -> EngagementRow:
    """Change the fields that were sent.

    Marking a next step as done again keeps the first time. A new text or date reopens it. Raises InvalidInput as for
    a new engagement.
    """
    changes = await _checked(session, patch.model_dump(exclude_unset=True, exclude={"next_step_done"}))
    if "staff" in changes:
        changes |= await _staff(session, changes["staff"], actor)
    if {"next_step", "next_step_on"} & changes.keys():
        changes["next_step_done_at"] = None
    if "next_step_done" in patch.model_fields_set:
        changes["next_step_done_at"] = (row.next_step_done_at or now()) if patch.next_step_done else None
    changed = assign(row, changes)
    if changed:
        _check_next_step(row)
        await session.flush()
        detail: dict[str, Any] = {"fields": changed}
        record_audit(session, actor, "update", entity="engagement", entity_id=row.id, detail=detail)
        detail |= {"demand_id": row.demand_id}
        record_event(session, "engagement.updated", entity="engagement", entity_id=row.id, detail=detail)
    return row


async def _staff(session: AsyncSession, name: str | None, actor: Principal) -> dict[str, str | None]:
    """Return the ``staff`` and ``staff_id`` columns for a name, by default those of the actor.

    ``staff_id`` is None if the name belongs to no active principal, or to several.
    """
    if name is None or name == actor.name:
        return {"staff": actor.name, "staff_id": actor.id}
    return {"staff": name, "staff_id": await principal_named(session, name)}


async def _checked(session: AsyncSession, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values, with a merged organization replaced by the one it was merged into.

    Raises InvalidInput if a referenced row does not exist.
    """
    checked = dict(values)
    if (organization_id := checked.get("organization_id")) is not None:
        checked["organization_id"] = await present_organization(session, organization_id)
    named: tuple[tuple[str, type[Identified], Bilingual], ...] = (
        ("demand_id", DemandRow, Bilingual("需求", "Demand")),
        ("profile_id", ProfileRow, Bilingual("画像", "Profile")),
    )
    for field, table, what in named:
        if (row_id := checked.get(field)) is not None and await get_row(session, table, row_id) is None:
            raise names_nothing(what, row_id, code=f"{field.removesuffix('_id')}_not_found", pointer=f"/{field}")
    return checked


def _check_next_step(row: EngagementRow) -> None:
    if row.next_step_on is not None and row.next_step is None:
        message = Bilingual("有日期的下一步须写明做什么。", "A next step with a date needs words.")
        raise InvalidInput.at("/next_step", "next_step_missing", message)
