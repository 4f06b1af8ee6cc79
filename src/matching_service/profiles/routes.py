"""HTTP routes of profiles."""

from dataclasses import replace
from typing import Annotated

from anyio import to_thread
from fastapi import APIRouter, Depends, Query, Response

from matching_service.access.policies import Action, Principal
from matching_service.api.admission import BulkTurn
from matching_service.api.bulk import BulkAnswer, BulkBody, bulk_answer, parse_items
from matching_service.api.deps import (
    IfMatch,
    LanguageDep,
    PageDep,
    Permit,
    Purpose,
    ReadSession,
    WriteSession,
    check_if_match,
    set_etag,
)
from matching_service.api.fields import Blank
from matching_service.api.filters import OfOrganization, RecordFilterDep
from matching_service.api.idempotency import Idempotent, RememberingRoute
from matching_service.api.pages import ListAnswer, answer_page, answer_row
from matching_service.api.problems import problem_responses
from matching_service.profiles import queries, service
from matching_service.profiles.schemas import Contact, Kind, Profile, ProfileCreate, ProfilePatch

router = APIRouter(prefix="/v1/profiles", tags=["profiles"], route_class=RememberingRoute)

CanRead = Annotated[Principal, Depends(Permit(Action.PROFILE_READ))]
CanWrite = Annotated[Principal, Depends(Permit(Action.PROFILE_WRITE))]
CanDelete = Annotated[Principal, Depends(Permit(Action.PROFILE_DELETE))]
CanReadContact = Annotated[Principal, Depends(Permit(Action.CONTACT_READ))]
CanWriteContact = Annotated[Principal, Depends(Permit(Action.CONTACT_WRITE))]


@router.post("", status_code=201, dependencies=[Idempotent], responses=problem_responses(409))
async def create_profile(
    body: ProfileCreate, session: WriteSession, principal: CanWrite, response: Response
) -> Profile:
    """Create a profile. The next match can find it."""
    row = await service.create_profile(session, body, principal)
    response.headers["Location"] = f"/v1/profiles/{row.id}"
    return answer_row(response, row, Profile)


@router.get("")
async def list_profiles(
    session: ReadSession,
    principal: CanRead,
    page: PageDep,
    asked: RecordFilterDep,
    organization_id: OfOrganization = None,
    kind: Annotated[Kind | None, Blank] = None,
    overseas: Annotated[
        bool | None, Blank, Query(description="海智: true for profiles with a country other than CN.")
    ] = None,
) -> ListAnswer[Profile]:
    """List profiles, newest first."""
    asked = replace(asked, organization_id=organization_id)
    found = await queries.list_profiles(session, page, asked, scope=principal.scope, kind=kind, overseas=overseas)
    return answer_page(found, Profile)


@router.post("/bulk", dependencies=[Idempotent], response_model=BulkAnswer)
async def upsert_profiles(
    body: BulkBody, session: WriteSession, principal: CanWrite, language: LanguageDep, turn: BulkTurn
) -> Response:
    """Create or update up to 1,000 profiles by (`source`, `external_id`). An invalid item does not stop the others."""
    async with turn:
        parsed = await to_thread.run_sync(parse_items, body.items, ProfileCreate)
        stored = await service.upsert_profiles(session, parsed.items, principal)
        return await to_thread.run_sync(bulk_answer, parsed.merge(stored), language)


@router.get("/{profile_id}", responses=problem_responses(404))
async def read_profile(profile_id: str, session: ReadSession, principal: CanRead, response: Response) -> Profile:
    """Read one profile with its works, without contact data."""
    row = await queries.read_profile(session, profile_id, scope=principal.scope)
    return answer_row(response, row, Profile)


@router.patch("/{profile_id}", responses=problem_responses(404, 412))
async def update_profile(
    profile_id: str,
    body: ProfilePatch,
    session: WriteSession,
    principal: CanWrite,
    response: Response,
    if_match: IfMatch = None,
) -> Profile:
    """Change the fields that are sent. `works` replaces the whole list."""
    row = await queries.get_profile(session, profile_id, scope=principal.scope)
    check_if_match(if_match, row.row_version)
    row = await service.update_profile(session, row, body, principal)
    return answer_row(response, row, Profile)


@router.delete("/{profile_id}", status_code=204, responses=problem_responses(404, 412))
async def delete_profile(
    profile_id: str, session: WriteSession, principal: CanDelete, if_match: IfMatch = None
) -> None:
    """Delete a profile with its works, contact data, places in stored lists, and answers kept for repeated requests."""
    row = await queries.get_profile(session, profile_id, scope=principal.scope)
    check_if_match(if_match, row.row_version)
    await service.delete_profile(session, row, principal)


@router.get("/{profile_id}/contact", responses=problem_responses(404))
async def read_profile_contact(
    profile_id: str, session: WriteSession, principal: CanReadContact, response: Response, purpose: Purpose = None
) -> Contact:
    """Read the contact data. Every read writes an audit row, with the purpose if one is given."""
    row = await queries.get_profile(session, profile_id, scope=principal.scope)
    set_etag(response, row.row_version)
    return await service.read_contact(session, row, principal, purpose=purpose)


@router.put("/{profile_id}/contact", responses=problem_responses(404, 412))
async def write_profile_contact(
    profile_id: str,
    body: Contact,
    session: WriteSession,
    principal: CanWriteContact,
    response: Response,
    if_match: IfMatch = None,
) -> Contact:
    """Replace the contact data completely."""
    row = await queries.get_profile(session, profile_id, scope=principal.scope)
    check_if_match(if_match, row.row_version)
    await service.write_contact(session, row, body, principal)
    set_etag(response, row.row_version)
    return body
