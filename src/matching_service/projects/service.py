"""The rules of projects. A contract on a demand opens the project; it can be edited until the demand is closed."""

from collections.abc import Sequence
from datetime import date
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from matching_service.access.policies import Principal
from matching_service.audit.service import record_audit
from matching_service.foundation.clock import new_id, now, today
from matching_service.foundation.errors import Bilingual, Conflict, InvalidInput, names_nothing
from matching_service.projects.queries import get_milestone
from matching_service.projects.schemas import MAX_MILESTONES, MilestoneCreate, MilestonePatch, Partner, ProjectPatch
from matching_service.store.affiliation import present_organization
from matching_service.store.base import assign
from matching_service.store.demands import DemandRow
from matching_service.store.lookup import get_row
from matching_service.store.outbox import record_event
from matching_service.store.profiles import ProfileRow
from matching_service.store.projects import MilestoneRow, ProjectPartnerRow, ProjectRow


async def record_terms(
    session: AsyncSession, demand_id: str, *, amount_wan: float | None, partner: Partner, actor: Principal
) -> None:
    """Store the agreed terms in the project that the demand's contract has just opened."""
    row = (await session.scalars(select(ProjectRow).where(ProjectRow.demand_id == demand_id))).one()
    row.contract_amount_wan = amount_wan
    session.add(ProjectPartnerRow(id=new_id(), project_id=row.id, position=0, **partner.model_dump()))
    await _record_change(session, row, ["contract_amount_wan", "partners"], actor)


async def update_project(session: AsyncSession, row: ProjectRow, patch: ProjectPatch, actor: Principal) -> ProjectRow:
    """Change the fields that were sent. Raises Conflict if the demand is closed, InvalidInput for unknown partners."""
    await _check_not_closed(session, row)
    changes = patch.model_dump(exclude_unset=True, exclude={"partners"})
    changed = assign(row, changes)
    if "partners" in patch.model_fields_set:
        before = [Partner.model_validate(partner) for partner in row.partners]
        after = [
            await _with_present_references(session, partner, place) for place, partner in enumerate(patch.partners)
        ]
        if before != after:
            row.partners = [
                ProjectPartnerRow(id=new_id(), position=place, **partner.model_dump())
                for place, partner in enumerate(after)
            ]
            changed.append("partners")
    await _record_change(session, row, changed, actor)
    return row


async def add_milestone(
    session: AsyncSession, row: ProjectRow, body: MilestoneCreate, actor: Principal
) -> MilestoneRow:
    """Add a milestone.

    Raises Conflict if the demand is closed or the project has MAX_MILESTONES, InvalidInput for a future ``done_on``.
    """
    await _check_not_closed(session, row)
    if len(row.milestones) >= MAX_MILESTONES:
        message = Bilingual(
            f"一个项目最多 {MAX_MILESTONES} 个里程碑。", f"A project has at most {MAX_MILESTONES} milestones."
        )
        raise Conflict("too_many_milestones", message)
    _check_done(body.done_on)
    milestone = MilestoneRow(id=new_id(), **body.model_dump())
    row.milestones.append(milestone)
    await _record_change(session, row, ["milestones"], actor)
    return milestone


async def update_milestone(
    session: AsyncSession, row: ProjectRow, milestone_id: str, patch: MilestonePatch, actor: Principal
) -> MilestoneRow:
    """Change the fields that were sent. Setting ``done_on`` makes the milestone done.

    Raises NotFound, Conflict if the demand is closed, InvalidInput for a future ``done_on``.
    """
    await _check_not_closed(session, row)
    _check_done(patch.done_on)
    milestone = get_milestone(row, milestone_id)
    changed = assign(milestone, patch.model_dump(exclude_unset=True))
    await _record_change(session, row, ["milestones"] if changed else [], actor)
    return milestone


async def remove_milestone(session: AsyncSession, row: ProjectRow, milestone_id: str, actor: Principal) -> None:
    await _check_not_closed(session, row)
    row.milestones.remove(get_milestone(row, milestone_id))
    await _record_change(session, row, ["milestones"], actor)


def _check_done(done_on: date | None) -> None:
    if done_on is not None and done_on > today():
        raise InvalidInput.at("/done_on", "done_in_the_future", _DONE_IN_FUTURE)


async def _with_present_references(session: AsyncSession, partner: Partner, place: int) -> Partner:
    """Replace a merged organization by its successor. Raises InvalidInput for a missing profile or organization."""
    if partner.profile_id is not None and await get_row(session, ProfileRow, partner.profile_id) is None:
        pointer = f"/partners/{place}/profile_id"
        raise names_nothing(_PROFILE, partner.profile_id, code="profile_not_found", pointer=pointer)
    if partner.organization_id is None:
        return partner
    try:
        present = await present_organization(session, partner.organization_id)
    except InvalidInput as error:
        pointer = f"/partners/{place}/organization_id"
        raise InvalidInput.at(pointer, error.code, error.detail) from error
    return partner.model_copy(update={"organization_id": present})


async def _record_change(session: AsyncSession, row: ProjectRow, changed: Sequence[str], actor: Principal) -> None:
    """Write the audit row and the event. The project's version covers its partners and milestones."""
    if not changed:
        return
    row.updated_at = now()
    await session.flush()
    detail: dict[str, Any] = {"fields": list(changed)}
    record_audit(session, actor, "update", entity="project", entity_id=row.id, detail=detail)
    detail |= {"demand_id": row.demand_id}
    record_event(session, "project.updated", entity="project", entity_id=row.id, detail=detail)


async def _check_not_closed(session: AsyncSession, row: ProjectRow) -> None:
    demand = await session.get(DemandRow, row.demand_id)
    if demand is not None and demand.status == "closed":
        message = Bilingual(
            f"项目 {row.id} 的需求已关闭，不能再修改。",
            f"The demand of project {row.id} is closed; the project cannot be changed.",
        )
        raise Conflict("project_closed", message)


_PROFILE = Bilingual("画像", "Profile")
_DONE_IN_FUTURE = Bilingual(
    "完成日期不能晚于今天；计划日期请填 due_on。", "done_on cannot be in the future; due_on is the planned day."
)
