"""HTTP routes of organizations."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response

from matching_service.access.policies import Action, Principal
from matching_service.api.deps import IfMatch, PageDep, Permit, ReadSession, WriteSession, check_if_match
from matching_service.api.fields import Blank, Search, Topic
from matching_service.api.filters import RecordFilterDep
from matching_service.api.idempotency import Idempotent, RememberingRoute
from matching_service.api.pages import ListAnswer, answer_all, answer_page, answer_row
from matching_service.api.problems import problem_responses
from matching_service.foundation.paging import DEFAULT_LIMIT, MAX_LIMIT
from matching_service.organizations import merging, queries, service
from matching_service.organizations.schemas import (
    Exclusion,
    ExclusionsBody,
    Kind,
    LikeOrganization,
    LikeOrganizations,
    MergeBody,
    Organization,
    OrganizationCreate,
    OrganizationPatch,
    RegisteredOrganization,
)

router = APIRouter(prefix="/v1/organizations", tags=["organizations"], route_class=RememberingRoute)

_N_SIMILAR = 5

CanRead = Annotated[Principal, Depends(Permit(Action.ORGANIZATION_READ))]
CanMerge = Annotated[Principal, Depends(Permit(Action.ORGANIZATION_MERGE))]
CanWrite = Annotated[Principal, Depends(Permit(Action.ORGANIZATION_WRITE))]


@router.post("", status_code=201, dependencies=[Idempotent], responses=problem_responses(409))
async def create_organization(
    body: OrganizationCreate, session: WriteSession, principal: CanWrite, response: Response
) -> RegisteredOrganization:
    """Register an organization. The answer names those that may be the same one under another id or source."""
    row = await service.create_organization(session, body, principal)
    response.headers["Location"] = f"/v1/organizations/{row.id}"
    similar = await service.find_similar(session, row.name, principal.scope, limit=_N_SIMILAR, besides=row.id)
    made = answer_row(response, row, Organization)
    return RegisteredOrganization(**made.model_dump(), similar=similar)


@router.get("")
async def list_organizations(
    session: ReadSession,
    principal: CanRead,
    page: PageDep,
    asked: RecordFilterDep,
    kind: Annotated[Kind | None, Blank] = None,
    cluster: Annotated[Topic | None, Blank, Query(description="Exact name of the cluster.")] = None,
) -> ListAnswer[Organization]:
    """List organizations, newest first. Merged organizations are left out."""
    found = await queries.list_organizations(session, page, asked, scope=principal.scope, kind=kind, cluster=cluster)
    return answer_page(found, Organization)


@router.get("/duplicates")
async def list_duplicates(
    session: ReadSession, principal: CanRead, limit: Annotated[int, Query(ge=1, le=MAX_LIMIT)] = DEFAULT_LIMIT
) -> ListAnswer[LikeOrganizations]:
    """List pairs of organizations with similar names, most similar first. They may be the same organization.

    There are no further pages: merge duplicates, and other pairs move up.
    """
    return ListAnswer(items=await service.find_duplicates(session, principal.scope, limit=limit), next_cursor=None)


@router.get("/similar")
async def list_similar(
    session: ReadSession,
    principal: CanRead,
    name: Annotated[Search, Query(description="Name to be registered.")],
    limit: Annotated[int, Query(ge=1, le=MAX_LIMIT)] = DEFAULT_LIMIT,
) -> ListAnswer[LikeOrganization]:
    """List organizations with a similar name, most similar first. Check this before registering a new one."""
    return ListAnswer(items=await service.find_similar(session, name, principal.scope, limit=limit), next_cursor=None)


@router.get("/{organization_id}", responses=problem_responses(404))
async def read_organization(
    organization_id: str, session: ReadSession, principal: CanRead, response: Response
) -> Organization:
    """Read one organization. For a merged one, returns the record that replaced it, with its `Content-Location`."""
    row = await queries.get_organization(session, organization_id, scope=principal.scope)
    if row.merged_into is not None:
        row = await queries.get_organization(session, row.merged_into)
        response.headers["Content-Location"] = f"/v1/organizations/{row.id}"
    return answer_row(response, row, Organization)


@router.patch("/{organization_id}", responses=problem_responses(404, 409, 412))
async def update_organization(
    organization_id: str,
    body: OrganizationPatch,
    session: WriteSession,
    principal: CanWrite,
    response: Response,
    if_match: IfMatch = None,
) -> Organization:
    """Change the fields that are sent."""
    row = await queries.get_organization(session, organization_id, scope=principal.scope)
    check_if_match(if_match, row.row_version)
    row = await service.update_organization(session, row, body, principal)
    return answer_row(response, row, Organization)


@router.post("/{organization_id}/merge", dependencies=[Idempotent], responses=problem_responses(404, 409, 412))
async def merge_organization(
    organization_id: str,
    body: MergeBody,
    session: WriteSession,
    principal: CanMerge,
    response: Response,
    if_match: IfMatch = None,
) -> Organization:
    """Merge an organization into another: demands, profiles and all else move there. Returns the remaining record."""
    check_if_match(
        if_match, (await queries.get_organization(session, organization_id, scope=principal.scope)).row_version
    )
    _, row = await merging.merge_organization(session, organization_id, body.into, actor=principal)
    return answer_row(response, row, Organization)


@router.get("/{organization_id}/exclusions", responses=problem_responses(404))
async def read_exclusions(organization_id: str, session: ReadSession, principal: CanRead) -> ListAnswer[Exclusion]:
    """Read the whole exclusion list of an organization, oldest entry first."""
    await queries.get_organization(session, organization_id, scope=principal.scope)
    rows = await queries.list_exclusions(session, organization_id)
    return answer_all(rows, Exclusion)


@router.put("/{organization_id}/exclusions", responses=problem_responses(404, 409))
async def replace_exclusions(
    organization_id: str, body: ExclusionsBody, session: WriteSession, principal: CanWrite
) -> ListAnswer[Exclusion]:
    """Replace the whole exclusion list. An empty list excludes nobody."""
    organization = await queries.get_organization(session, organization_id, for_update=True, scope=principal.scope)
    queries.refuse_merged(organization)
    rows = await service.replace_exclusions(session, organization, body.items, principal)
    return answer_all(rows, Exclusion)
