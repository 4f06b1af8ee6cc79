"""Queries for projects. Answers include partners, milestones, the demand's state and the acceptance."""

from collections.abc import Sequence
from datetime import date

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import selectinload

from matching_service.foundation.errors import Bilingual, not_found
from matching_service.foundation.paging import Page, PageRequest
from matching_service.projects.schemas import Acceptance, Milestone, MilestoneState, OverdueMilestone, Partner, Project
from matching_service.store.demands import UNDER_CONTRACT, DemandRow, DemandTransitionRow
from matching_service.store.lookup import get_by_ids, get_page, get_row
from matching_service.store.projects import MilestoneRow, ProjectRow

_WHOLE = (selectinload(ProjectRow.partners), selectinload(ProjectRow.milestones))


async def get_project(session: AsyncSession, project_id: str) -> ProjectRow:
    """Return the row with its partners and milestones. Raises NotFound."""
    if (row := await get_row(session, ProjectRow, project_id, options=_WHOLE)) is None:
        raise not_found(Bilingual("项目", "Project"), project_id, code="project_not_found")
    return row


def get_milestone(project: ProjectRow, milestone_id: str) -> MilestoneRow:
    """Return one of the project's milestones. Raises NotFound."""
    milestone = next((row for row in project.milestones if row.id == milestone_id), None)
    if milestone is None:
        raise not_found(Bilingual("里程碑", "Milestone"), milestone_id, code="milestone_not_found")
    return milestone


async def list_projects(
    session: AsyncSession, page: PageRequest, *, demand_id: str | None = None, status: str | None = None
) -> Page[ProjectRow]:
    statement = select(ProjectRow).options(*_WHOLE)
    if demand_id:
        statement = statement.where(ProjectRow.demand_id == demand_id)
    if status:
        statement = statement.join(DemandRow, ProjectRow.demand_id == DemandRow.id).where(DemandRow.status == status)
    return await get_page(session, statement, ProjectRow, page)


async def project_answers(session: AsyncSession, rows: Sequence[ProjectRow], *, on: date) -> list[Project]:
    """Turn rows into answers as of the day ``on``. Makes two further queries, whatever the number of rows."""
    ids = [row.demand_id for row in rows]
    demands = await get_by_ids(session, DemandRow, ids)
    accepted = (
        select(DemandTransitionRow)
        .where(DemandTransitionRow.demand_id.in_(ids), DemandTransitionRow.to_status == "accepted")
        .order_by(DemandTransitionRow.at)
    )
    acceptances = {row.demand_id: Acceptance.model_validate(row) for row in await session.scalars(accepted)}
    return [
        Project(
            id=row.id,
            demand_id=row.demand_id,
            status=demands[row.demand_id].status,
            contract_number=row.contract_number,
            contract_amount_wan=row.contract_amount_wan,
            partners=[Partner.model_validate(partner) for partner in row.partners],
            milestones=[milestone_answer(milestone, on=on) for milestone in row.milestones],
            results=row.results,
            acceptance=acceptances.get(row.demand_id),
            created_at=row.created_at,
            updated_at=row.updated_at,
        )
        for row in rows
    ]


def milestone_answer(row: MilestoneRow, *, on: date) -> Milestone:
    return Milestone(
        id=row.id, title=row.title, due_on=row.due_on, done_on=row.done_on, note=row.note, state=_state(row, on)
    )


async def overdue_milestones(session: AsyncSession, *, on: date, limit: int) -> list[OverdueMilestone]:
    """Return the milestones overdue on that day in projects under way, longest overdue first."""
    statement = (
        select(MilestoneRow, ProjectRow.demand_id, DemandRow.title)
        .join(ProjectRow, MilestoneRow.project_id == ProjectRow.id)
        .join(DemandRow, ProjectRow.demand_id == DemandRow.id)
        .where(MilestoneRow.done_on.is_(None), MilestoneRow.due_on < on, DemandRow.status.in_(UNDER_CONTRACT))
        .order_by(MilestoneRow.due_on, MilestoneRow.id)
        .limit(limit)
    )
    return [
        OverdueMilestone(
            **milestone_answer(row, on=on).model_dump(),
            project_id=row.project_id,
            demand_id=demand_id,
            demand_title=title,
            days=(on - row.due_on).days,
        )
        for row, demand_id, title in await session.execute(statement)
    ]


def _state(row: MilestoneRow, on: date) -> MilestoneState:
    if row.done_on is not None:
        return "done"
    return "overdue" if row.due_on < on else "planned"
