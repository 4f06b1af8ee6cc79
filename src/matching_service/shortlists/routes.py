"""HTTP routes of stored lists and of decisions about their profiles."""

from typing import Annotated

from anyio import to_thread
from fastapi import APIRouter, Depends, Response

from matching_service.access.policies import Action, Principal
from matching_service.api.bulk import BulkAnswer, BulkBody, bulk_answer, parse_items
from matching_service.api.deps import LanguageDep, Permit, ReadSession, WriteSession
from matching_service.api.idempotency import Idempotent, RememberingRoute
from matching_service.api.pages import ListAnswer
from matching_service.api.problems import problem_responses
from matching_service.shortlists import service
from matching_service.shortlists.schemas import (
    DecisionAnswer,
    DecisionBody,
    MatchAnswer,
    NamedDecision,
    PairDecisionBody,
)

router = APIRouter(prefix="/v1", tags=["matches"], route_class=RememberingRoute)


CanReadMatches = Depends(Permit(Action.MATCH_READ))
CanDecide = Annotated[Principal, Depends(Permit(Action.MATCH_DECIDE))]


@router.put("/matches/{match_id}/decision", responses=problem_responses(404))
async def decide(match_id: str, body: DecisionBody, session: WriteSession, principal: CanDecide) -> DecisionAnswer:
    """Pin, shortlist or reject a profile for a demand, or undo it with `null`. It applies to every later run."""
    return await service.decide(session, match_id, body, principal)


@router.post("/decisions/bulk", dependencies=[Idempotent], response_model=BulkAnswer)
async def decide_pairs(body: BulkBody, session: WriteSession, principal: CanDecide, language: LanguageDep) -> Response:
    """Decide on up to 1,000 pairs of `demand_id` and `profile_id`, on a list or not; `null` undoes.

    An invalid item does not stop the others.
    """
    parsed = await to_thread.run_sync(parse_items, body.items, PairDecisionBody)
    stored = await service.decide_pairs(session, parsed.items, principal)
    return await to_thread.run_sync(bulk_answer, parsed.merge(stored), language)


@router.get("/demands/{demand_id}/decisions", dependencies=[CanReadMatches], responses=problem_responses(404))
async def read_decisions(demand_id: str, session: ReadSession) -> ListAnswer[NamedDecision]:
    """List all decisions about a demand, newest first, also of profiles that are on no list any more."""
    return ListAnswer(items=await service.decisions_of(session, demand_id), next_cursor=None)


@router.get("/demands/{demand_id}/matches", dependencies=[CanReadMatches], responses=problem_responses(404))
async def read_latest_matches(demand_id: str, session: ReadSession) -> MatchAnswer:
    """Read the latest stored list of a demand. Gives 404 with code `no_match_run` if there is none."""
    return await service.latest_matches(session, demand_id)
