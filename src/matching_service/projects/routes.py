"""HTTP routes of projects."""

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query, Response

from matching_service.access.policies import Action, Principal
from matching_service.api.deps import IfMatch, PageDep, Permit, ReadSession, WriteSession, check_if_match, set_etag
from matching_service.api.fields import Blank, EntityId
from matching_service.api.idempotency import Idempotent, RememberingRoute
from matching_service.api.pages import ListAnswer
from matching_service.api.problems import problem_responses
from matching_service.foundation.clock import today
from matching_service.foundation.paging import DEFAULT_LIMIT, MAX_LIMIT
from matching_service.projects import queries, service
from matching_service.projects.schemas import (
    Milestone,
    MilestoneCreate,
    MilestonePatch,
    OverdueMilestone,
    Project,
    ProjectPatch,
)

router = APIRouter(prefix="/v1/projects", tags=["projects"], route_class=RememberingRoute)

CanRead = Depends(Permit(Action.PROJECT_READ))
CanWrite = Annotated[Principal, Depends(Permit(Action.PROJECT_WRITE))]
Status = Literal["contracted", "terminated", "in_progress", "failed", "accepted", "closed"]


@router.get("", dependencies=[CanRead])
async def list_projects(
    session: ReadSession,
    page: PageDep,
    demand_id: Annotated[EntityId | None, Blank] = None,
    status: Annotated[Status | None, Blank] = None,
) -> ListAnswer[Project]:
    """List projects, newest first."""
    projects = await queries.list_projects(session, page, demand_id=demand_id, status=status)
    items = await queries.project_answers(session, projects.items, on=today())
    return ListAnswer(items=items, next_cursor=projects.next_cursor)


@router.get("/overdue", dependencies=[CanRead])
async def list_overdue(
    session: ReadSession, limit: Annotated[int, Query(ge=1, le=MAX_LIMIT)] = DEFAULT_LIMIT
) -> ListAnswer[OverdueMilestone]:
    """List the overdue milestones of projects under way, longest overdue first. One page only."""
    return ListAnswer(items=await queries.overdue_milestones(session, on=today(), limit=limit), next_cursor=None)


@router.get("/{project_id}", dependencies=[CanRead], responses=problem_responses(404))
async def read_project(project_id: str, session: ReadSession, response: Response) -> Project:
    """Read one project with its partners, milestones, results and acceptance."""
    row = await queries.get_project(session, project_id)
    set_etag(response, row.row_version)
    return (await queries.project_answers(session, [row], on=today()))[0]


@router.patch("/{project_id}", responses=problem_responses(404, 409, 412))
async def update_project(
    project_id: str,
    body: ProjectPatch,
    session: WriteSession,
    principal: CanWrite,
    response: Response,
    if_match: IfMatch = None,
) -> Project:
    """Change the fields that are sent. `partners` replaces the whole list."""
    row = await queries.get_project(session, project_id)
    check_if_match(if_match, row.row_version)
    row = await service.update_project(session, row, body, principal)
    set_etag(response, row.row_version)
    return (await queries.project_answers(session, [row], on=today()))[0]


@router.post(
    "/{project_id}/milestones", status_code=201, dependencies=[Idempotent], responses=problem_responses(404, 409, 412)
)
async def add_milestone(
    project_id: str,
    body: MilestoneCreate,
    session: WriteSession,
    principal: CanWrite,
    response: Response,
    if_match: IfMatch = None,
) -> Milestone:
    """Add a milestone. `ETag` and `If-Match` refer to the project."""
    row = await queries.get_project(session, project_id)
    check_if_match(if_match, row.row_version)
    milestone = await service.add_milestone(session, row, body, principal)
    set_etag(response, row.row_version)
    response.headers["Location"] = f"/v1/projects/{row.id}/milestones/{milestone.id}"
    return queries.milestone_answer(milestone, on=today())


@router.patch("/{project_id}/milestones/{milestone_id}", responses=problem_responses(404, 409, 412))
async def update_milestone(
    project_id: str,
    milestone_id: str,
    body: MilestonePatch,
    session: WriteSession,
    principal: CanWrite,
    response: Response,
    if_match: IfMatch = None,
) -> Milestone:
    """Change a milestone or record the day it was done. `ETag` and `If-Match` refer to the project."""
    row = await queries.get_project(session, project_id)
    check_if_match(if_match, row.row_version)
    milestone = await service.update_milestone(session, row, milestone_id, body, principal)
    set_etag(response, row.row_version)
    return queries.milestone_answer(milestone, on=today())


@router.delete("/{project_id}/milestones/{milestone_id}", status_code=204, responses=problem_responses(404, 409, 412))
async def remove_milestone(
    project_id: str, milestone_id: str, session: WriteSession, principal: CanWrite, if_match: IfMatch = None
) -> None:
    """Remove a milestone. `If-Match` refers to the project."""
    row = await queries.get_project(session, project_id)
    check_if_match(if_match, row.row_version)
    await service.remove_milestone(session, row, milestone_id, principal)
