"""HTTP routes of suggestions."""

from typing import Annotated

from fastapi import APIRouter, Depends, Response

from matching_service.access.policies import Action, Principal
from matching_service.api.deps import IfMatch, PageDep, Permit, ReadSession, WriteSession, check_if_match
from matching_service.api.fields import Blank, EntityId
from matching_service.api.idempotency import Idempotent, RememberingRoute
from matching_service.api.pages import ListAnswer, answer_all, answer_page, answer_row
from matching_service.api.problems import problem_responses
from matching_service.suggestions import queries, service
from matching_service.suggestions.schemas import Suggestion, SuggestionCreate, SuggestionStep, SuggestionTransition
from matching_service.suggestions.states import SuggestionStatus

router = APIRouter(prefix="/v1/suggestions", tags=["suggestions"], route_class=RememberingRoute)

CanRead = Depends(Permit(Action.SUGGESTION_READ))
CanWrite = Annotated[Principal, Depends(Permit(Action.SUGGESTION_WRITE))]


@router.post("", status_code=201, dependencies=[Idempotent], responses=problem_responses(404, 409))
async def create_suggestion(
    body: SuggestionCreate, session: WriteSession, principal: CanWrite, response: Response
) -> Suggestion:
    """Propose a profile for an open demand. 409 lists every reason why the profile may not be proposed."""
    row = await service.create_suggestion(session, body, principal)
    response.headers["Location"] = f"/v1/suggestions/{row.id}"
    return answer_row(response, row, Suggestion)


@router.get("", dependencies=[CanRead])
async def list_suggestions(
    session: ReadSession,
    page: PageDep,
    demand_id: Annotated[EntityId | None, Blank] = None,
    profile_id: Annotated[EntityId | None, Blank] = None,
    status: Annotated[SuggestionStatus | None, Blank] = None,
) -> ListAnswer[Suggestion]:
    """List suggestions, newest first."""
    found = await queries.list_suggestions(session, page, demand_id=demand_id, profile_id=profile_id, status=status)
    return answer_page(found, Suggestion)


@router.get("/{suggestion_id}", dependencies=[CanRead], responses=problem_responses(404))
async def read_suggestion(suggestion_id: str, session: ReadSession, response: Response) -> Suggestion:
    """Read one suggestion."""
    row = await queries.get_suggestion(session, suggestion_id)
    return answer_row(response, row, Suggestion)


@router.post("/{suggestion_id}/transitions", dependencies=[Idempotent], responses=problem_responses(404, 409, 412))
async def transition_suggestion(
    suggestion_id: str,
    body: SuggestionStep,
    session: WriteSession,
    principal: CanWrite,
    response: Response,
    if_match: IfMatch = None,
) -> Suggestion:
    """Move a suggestion to another state. 409 lists the legal states."""
    row = await queries.get_suggestion(session, suggestion_id)
    check_if_match(if_match, row.row_version)
    row = await service.transition_suggestion(session, row, body, principal)
    return answer_row(response, row, Suggestion)


@router.get("/{suggestion_id}/history", dependencies=[CanRead], responses=problem_responses(404))
async def read_suggestion_history(suggestion_id: str, session: ReadSession) -> ListAnswer[SuggestionTransition]:
    """List every transition of a suggestion, oldest first."""
    await queries.get_suggestion(session, suggestion_id)
    rows = await queries.list_transitions(session, suggestion_id)
    return answer_all(rows, SuggestionTransition)
