"""HTTP routes of programme records and targets."""

from datetime import date
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response

from matching_service.access.policies import Action, Principal
from matching_service.api.deps import (
    DatabaseDep,
    IfMatch,
    PageDep,
    Permit,
    ReadSession,
    WriteSession,
    check_if_match,
)
from matching_service.api.fields import IN_REGION, Blank, EntityId, RegionPrefix, Topic
from matching_service.api.idempotency import Idempotent, RememberingRoute
from matching_service.api.pages import ListAnswer, answer_page, answer_row
from matching_service.api.problems import problem_responses
from matching_service.api.services import provided
from matching_service.programme import queries, service
from matching_service.programme.plan import Plan, find_target
from matching_service.programme.schemas import (
    Evidence,
    Kind,
    ProgrammeRecord,
    ProgrammeRecordCreate,
    ProgrammeRecordPatch,
    Targets,
)
from matching_service.programme.targets import check_day, count_targets, list_evidence

router = APIRouter(prefix="/v1", tags=["programme"], route_class=RememberingRoute)

CanRead = Depends(Permit(Action.PROGRAMME_READ))
CanWrite = Annotated[Principal, Depends(Permit(Action.PROGRAMME_WRITE))]
OfRegion = Annotated[RegionPrefix | None, Blank, Query(description=IN_REGION)]
OfCluster = Annotated[Topic | None, Blank, Query(description="Exact name of the cluster.")]
At = Annotated[
    date | None, Blank, Query(description="Count at the end of this day, from the data of today. Default: today.")
]


PlanDep = Annotated[Plan, Depends(provided(Plan))]


@router.post("/programme-records", status_code=201, dependencies=[Idempotent], responses=problem_responses(409))
async def create_record(
    body: ProgrammeRecordCreate, session: WriteSession, principal: CanWrite, response: Response
) -> ProgrammeRecord:
    """Create a record of a cooperation, standing support, alliance, workstation, technology spread or forum."""
    row = await service.create_record(session, body, principal)
    response.headers["Location"] = f"/v1/programme-records/{row.id}"
    return answer_row(response, row, ProgrammeRecord)


@router.get("/programme-records", dependencies=[CanRead])
async def list_records(
    session: ReadSession,
    page: PageDep,
    kind: Annotated[Kind | None, Blank] = None,
    region: OfRegion = None,
    cluster: OfCluster = None,
    organization_id: Annotated[EntityId | None, Blank] = None,
    profile_id: Annotated[EntityId | None, Blank] = None,
    at: Annotated[date | None, Blank, Query(description="Only records valid on this day.")] = None,
) -> ListAnswer[ProgrammeRecord]:
    """List programme records, newest first. The region and cluster filters use the record's own values only."""
    records = await queries.list_records(
        session,
        page,
        kind=kind,
        region=region,
        cluster=cluster,
        organization_id=organization_id,
        profile_id=profile_id,
        at=at,
    )
    return answer_page(records, ProgrammeRecord)


@router.get("/programme-records/{record_id}", dependencies=[CanRead], responses=problem_responses(404))
async def read_record(record_id: str, session: ReadSession, response: Response) -> ProgrammeRecord:
    """Read one programme record."""
    row = await queries.get_record(session, record_id)
    return answer_row(response, row, ProgrammeRecord)


@router.patch("/programme-records/{record_id}", responses=problem_responses(404, 412))
async def update_record(
    record_id: str,
    body: ProgrammeRecordPatch,
    session: WriteSession,
    principal: CanWrite,
    response: Response,
    if_match: IfMatch = None,
) -> ProgrammeRecord:
    """Change the fields that are sent. `ended_on` ends the record and leaves past figures unchanged."""
    row = await queries.get_record(session, record_id)
    check_if_match(if_match, row.row_version)
    row = await service.update_record(session, row, body, principal)
    return answer_row(response, row, ProgrammeRecord)


@router.delete("/programme-records/{record_id}", status_code=204, responses=problem_responses(404, 412))
async def remove_record(record_id: str, session: WriteSession, principal: CanWrite, if_match: IfMatch = None) -> None:
    """Delete a record that was entered by mistake; it then counts at no date. Set `ended_on` for one that has ended."""
    row = await queries.get_record(session, record_id)
    check_if_match(if_match, row.row_version)
    await service.remove_record(session, row, principal)


@router.get("/targets", dependencies=[CanRead])
async def read_targets(
    database: DatabaseDep, plan: PlanDep, at: At = None, region: OfRegion = None, cluster: OfCluster = None
) -> Targets:
    """Compare plan and actual of every target, per district and cluster, at the end of today or a past day."""
    async with database.snapshot() as session:
        return await count_targets(session, plan, at=check_day(at), region=region, cluster=cluster)


@router.get("/targets/{name}/records", dependencies=[CanRead], responses=problem_responses(404))
async def list_target_records(
    name: str,
    session: ReadSession,
    page: PageDep,
    plan: PlanDep,
    at: At = None,
    region: OfRegion = None,
    cluster: OfCluster = None,
) -> ListAnswer[Evidence]:
    """List the items behind a target's figure, newest first; their number equals the figure."""
    target = find_target(plan, name)
    evidence = await list_evidence(session, plan, target, page, at=check_day(at), region=region, cluster=cluster)
    return ListAnswer(items=list(evidence.items), next_cursor=evidence.next_cursor)
