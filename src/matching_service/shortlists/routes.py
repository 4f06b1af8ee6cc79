"""HTTP routes of stored lists."""

from typing import Annotated

from fastapi import APIRouter, Depends

from matching_service.access.policies import Action, Principal
from matching_service.api.deps import Permit, ReadSession, WriteSession
from matching_service.api.idempotency import RememberingRoute
from matching_service.api.problems import problem_responses
from matching_service.shortlists import service
from matching_service.shortlists.schemas import DecisionAnswer, DecisionBody, MatchAnswer

router = APIRouter(prefix="/v1", tags=["matches"], route_class=RememberingRoute)


CanReadMatches = Depends(Permit(Action.MATCH_READ))
CanDecide = Annotated[Principal, Depends(Permit(Action.MATCH_DECIDE))]


@router.put("/matches/{match_id}/decision", responses=problem_responses(404))
async def decide(match_id: str, body: DecisionBody, session: WriteSession, principal: CanDecide) -> DecisionAnswer:
    """Pin, shortlist or reject a profile for a demand. The decision applies to every later run."""
    return DecisionAnswer.model_validate(await service.decide(session, match_id, body, principal))


@router.get("/demands/{demand_id}/matches", dependencies=[CanReadMatches], responses=problem_responses(404))
async def read_latest_matches(demand_id: str, session: ReadSession) -> MatchAnswer:
    """Read the latest stored list of a demand. Gives 404 with code `no_match_run` if there is none."""
    return await service.latest_matches(session, demand_id)
