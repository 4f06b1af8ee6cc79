"""HTTP routes of matching: requests that are ranked at once."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query

from matching_service.access.policies import Action, Principal, authorize
from matching_service.api.admission import RankingTurn
from matching_service.api.deps import LanguageDep, Permit, WriteSession
from matching_service.api.idempotency import Idempotent, RememberingRoute
from matching_service.api.problems import problem_responses
from matching_service.api.services import provided
from matching_service.matching import service
from matching_service.matching.engine import Engine
from matching_service.matching.schemas import (
    DEFAULT_TOP_K,
    DemandMatchAnswer,
    ExplainAnswer,
    ExplainBody,
    MatchBody,
    MinAsOf,
    ReverseBody,
    SubmissionAnswer,
    TopK,
)
from matching_service.shortlists.schemas import AddedProfileBody, MatchAnswer

router = APIRouter(prefix="/v1", tags=["matches"], route_class=RememberingRoute)


EngineDep = Annotated[Engine, Depends(provided(Engine))]
CanMatch = Annotated[Principal, Depends(Permit(Action.MATCH))]
CanDecide = Annotated[Principal, Depends(Permit(Action.MATCH_DECIDE))]
CanSubmit = Annotated[Principal, Depends(Permit(Action.DEMAND_SUBMIT))]
CanReadMatches = Depends(Permit(Action.MATCH_READ))


@router.post("/matches", dependencies=[Idempotent], responses=problem_responses(404))
async def rank_now(
    body: MatchBody, write: WriteSession, engine: EngineDep, principal: CanMatch, turn: RankingTurn
) -> MatchAnswer:
    """Rank profiles for a stored demand or an ad hoc query. Nothing is stored unless `store` is true."""
    if body.store:
        authorize(principal, Action.MATCH_STORE)
    async with turn:
        return await service.match(engine, write, body)


@router.post("/matches/explain", dependencies=[Idempotent], responses=problem_responses(404))
async def explain(body: ExplainBody, engine: EngineDep, _principal: CanMatch, turn: RankingTurn) -> ExplainAnswer:
    """Explain one pair of demand and profile. If the profile is not on the list, the answer says why."""
    async with turn:
        return await service.explain(engine, body)


@router.post("/demands/{demand_id}/matches", dependencies=[Idempotent], responses=problem_responses(404, 409))
async def add_by_hand(
    demand_id: str,
    body: AddedProfileBody,
    write: WriteSession,
    engine: EngineDep,
    principal: CanDecide,
    turn: RankingTurn,
) -> MatchAnswer:
    """Put a known profile on the list of a demand: it is pinned, and the demand is ranked anew and its list stored.

    409 lists every reason why the profile may not be proposed.
    """
    async with turn:
        return await service.add_by_hand(engine, write, demand_id, body, principal)


@router.get("/demands/{demand_id}/similar", dependencies=[CanReadMatches], responses=problem_responses(404))
async def read_similar_demands(
    demand_id: str,
    engine: EngineDep,
    turn: RankingTurn,
    top_k: Annotated[TopK, Query()] = DEFAULT_TOP_K,
    min_as_of: Annotated[MinAsOf, Query()] = None,
) -> DemandMatchAnswer:
    """List the demands that are most similar to this one, in any state."""
    async with turn:
        return await service.similar_demands(engine, demand_id, top_k=top_k, min_as_of=min_as_of)


@router.get(
    "/demands/{demand_id}/submission",
    responses=problem_responses(404),
)
async def read_submission(
    demand_id: str, engine: EngineDep, principal: CanSubmit, language: LanguageDep, turn: RankingTurn
) -> SubmissionAnswer:
    """List the fields that a demand still needs before it can be submitted, and similar earlier demands."""
    async with turn:
        return await service.submission(engine, demand_id, language, principal.scope)


@router.post("/profiles/{profile_id}/matches", dependencies=[Idempotent], responses=problem_responses(404))
async def rank_demands_for_profile(
    profile_id: str, engine: EngineDep, _principal: CanMatch, turn: RankingTurn, body: ReverseBody | None = None
) -> DemandMatchAnswer:
    """Rank the open demands for a profile: the reverse match."""
    request = body or ReverseBody()
    async with turn:
        return await service.demands_for_profile(engine, profile_id, top_k=request.top_k, min_as_of=request.min_as_of)
