"""HTTP routes of demands."""

from dataclasses import replace
from typing import Annotated

from anyio import to_thread
from fastapi import APIRouter, Depends, Query, Response

from matching_service.access.policies import Action, Principal, Role, authorize
from matching_service.api.admission import BulkTurn
from matching_service.api.bulk import BulkAnswer, BulkBody, bulk_answer, parse_items
from matching_service.api.deps import (
    IfMatch,
    LanguageDep,
    PageDep,
    Permit,
    PrincipalDep,
    Purpose,
    ReadSession,
    WriteSession,
    check_if_match,
    set_etag,
)
from matching_service.api.fields import Blank, Topic
from matching_service.api.filters import OfOrganization, RecordFilterDep
from matching_service.api.idempotency import Idempotent, RememberingRoute
from matching_service.api.pages import ListAnswer, answer_all, answer_page, answer_row
from matching_service.api.problems import problem_responses
from matching_service.api.services import provided
from matching_service.demands import queries, service, transitions
from matching_service.demands.clusters import Clusters
from matching_service.demands.schemas import (
    DeadlineNotice,
    Demand,
    DemandContact,
    DemandContactBody,
    DemandCreate,
    DemandPatch,
    Transition,
    TransitionBody,
)
from matching_service.demands.states import LIFE, OPEN, DemandStatus

router = APIRouter(prefix="/v1/demands", tags=["demands"], route_class=RememberingRoute)

CanRead = Annotated[Principal, Depends(Permit(Action.DEMAND_READ))]
CanWrite = Annotated[Principal, Depends(Permit(Action.DEMAND_WRITE))]
CanWithdraw = Annotated[Principal, Depends(Permit(Action.DEMAND_WITHDRAW))]
CanReadContact = Annotated[Principal, Depends(Permit(Action.DEMAND_CONTACT_READ))]
CanWriteContact = Annotated[Principal, Depends(Permit(Action.DEMAND_CONTACT_WRITE))]


@router.post("", status_code=201, dependencies=[Idempotent], responses=problem_responses(409))
async def create_demand(body: DemandCreate, session: WriteSession, principal: CanWrite, response: Response) -> Demand:
    """Create a draft. Only `title` is required."""
    row = await service.create_demand(session, body, principal)
    response.headers["Location"] = f"/v1/demands/{row.id}"
    return answer_row(response, row, Demand)


@router.get("")
async def list_demands(
    session: ReadSession,
    principal: CanRead,
    page: PageDep,
    asked: RecordFilterDep,
    organization_id: OfOrganization = None,
    status: Annotated[
        list[Annotated[DemandStatus | None, Blank]],
        Query(description="状态; repeated for several: `status=draft&status=returned`."),
    ] = [],  # noqa: B006  # FastAPI copies it
    is_open: Annotated[
        bool | None, Blank, Query(alias="open", description="true: 已发布 and 对接中 only; false: all others.")
    ] = None,
    cluster: Annotated[Topic | None, Blank, Query(description="Exact name of the cluster.")] = None,
) -> ListAnswer[Demand]:
    """List demands, newest first."""
    statuses = set(filter(None, status)) or set(DemandStatus)
    if is_open is not None:
        statuses &= OPEN if is_open else set(DemandStatus) - OPEN
    asked = replace(asked, organization_id=organization_id)
    found = await queries.list_demands(session, page, asked, scope=principal.scope, statuses=statuses, cluster=cluster)
    return answer_page(found, Demand)


@router.post("/bulk", dependencies=[Idempotent], response_model=BulkAnswer)
async def upsert_demands(
    body: BulkBody, session: WriteSession, principal: CanWrite, language: LanguageDep, turn: BulkTurn
) -> Response:
    """Create or update up to 1,000 demands by (`source`, `external_id`). An invalid item does not stop the others."""
    async with turn:
        parsed = await to_thread.run_sync(parse_items, body.items, DemandCreate)
        stored = await service.upsert_demands(session, parsed.items, principal)
        return await to_thread.run_sync(bulk_answer, parsed.merge(stored), language)


@router.get("/{demand_id}", responses=problem_responses(404))
async def read_demand(demand_id: str, session: ReadSession, principal: CanRead, response: Response) -> Demand:
    """Read one demand."""
    row = await queries.get_demand(session, demand_id, scope=principal.scope)
    return answer_row(response, row, Demand)


@router.patch("/{demand_id}", responses=problem_responses(404, 412))
async def update_demand(
    demand_id: str,
    body: DemandPatch,
    session: WriteSession,
    principal: CanWrite,
    response: Response,
    if_match: IfMatch = None,
) -> Demand:
    """Change the fields that are sent."""
    row = await queries.get_demand(session, demand_id, scope=principal.scope)
    check_if_match(if_match, row.row_version)
    row = await service.update_demand(session, row, body, principal)
    return answer_row(response, row, Demand)


@router.delete("/{demand_id}", status_code=204, responses=problem_responses(404, 409, 412))
async def delete_demand(
    demand_id: str, session: WriteSession, principal: CanWithdraw, if_match: IfMatch = None
) -> None:
    """Delete a draft. A demand that was submitted is withdrawn instead, so that its history stays."""
    row = await queries.get_demand(session, demand_id, for_update=True, scope=principal.scope)
    check_if_match(if_match, row.row_version)
    await service.delete_demand(session, row, principal)


@router.post("/{demand_id}/transitions", dependencies=[Idempotent], responses=problem_responses(404, 409, 412))
async def transition_demand(
    demand_id: str,
    body: TransitionBody,
    session: WriteSession,
    principal: PrincipalDep,
    clusters: Annotated[Clusters, Depends(provided(Clusters))],
    response: Response,
    if_match: IfMatch = None,
) -> Demand:
    """Move a demand to another state. 409 lists the legal states; 422 lists everything that the step needs."""
    authorize(principal, LIFE.action(body.to) or Action.DEMAND_TRANSITION)
    is_batch = principal.role is Role.BATCH  # which lets all demands expire, those too that it may not read
    row = await queries.get_demand(session, demand_id, scope=None if is_batch else principal.scope)
    check_if_match(if_match, row.row_version)
    if principal.role is Role.PORTAL and body.to is DemandStatus.SUBMITTED:
        clusters.check(row.cluster)
    row = await transitions.transition_demand(
        session,
        row,
        body.to,
        opinion=body.opinion,
        reason=body.reason,
        contract_number=body.contract_number,
        actor=principal,
    )
    return answer_row(response, row, Demand)


@router.get("/{demand_id}/history", responses=problem_responses(404))
async def read_demand_history(demand_id: str, session: ReadSession, principal: CanRead) -> ListAnswer[Transition]:
    """List every transition of a demand, oldest first, with actor, time and reason."""
    await queries.get_demand(session, demand_id, scope=principal.scope)
    rows = await queries.list_transitions(session, demand_id)
    return answer_all(rows, Transition)


@router.get("/{demand_id}/notices", responses=problem_responses(404))
async def read_notices(demand_id: str, session: ReadSession, principal: CanRead) -> ListAnswer[DeadlineNotice]:
    """List the reminders that this demand has had no contact for too long, oldest first."""
    await queries.get_demand(session, demand_id, scope=principal.scope)
    rows = await queries.list_notices(session, demand_id)
    return answer_all(rows, DeadlineNotice)


@router.get("/{demand_id}/contact", responses=problem_responses(404))
async def read_demand_contact(
    demand_id: str, session: WriteSession, principal: CanReadContact, response: Response, purpose: Purpose = None
) -> DemandContact:
    """Read the contact data. Every read writes an audit row, with the purpose if one is given."""
    row = await queries.get_demand(session, demand_id, scope=principal.scope)
    set_etag(response, row.row_version)
    return await service.read_contact(session, row, principal, purpose=purpose)


@router.put("/{demand_id}/contact", responses=problem_responses(404, 412))
async def write_demand_contact(
    demand_id: str,
    body: DemandContactBody,
    session: WriteSession,
    principal: CanWriteContact,
    response: Response,
    if_match: IfMatch = None,
) -> DemandContact:
    """Replace the contact data completely."""
    row = await queries.get_demand(session, demand_id, scope=principal.scope)
    check_if_match(if_match, row.row_version)
    contact = await service.write_contact(session, row, body, principal)
    set_etag(response, row.row_version)
    return contact
