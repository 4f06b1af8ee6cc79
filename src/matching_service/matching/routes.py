"""HTTP doors of matching."""

from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import APIRouter, BackgroundTasks, Depends, Query, Request, Response

from matching_service.access.policies import Action, Principal, authorize
from matching_service.api.admission import RankingTurn
from matching_service.api.deps import DatabaseDep, LanguageDep, PageDep, Permit, ReadSession, WriteSession
from matching_service.api.idempotency import Idempotent, RememberingRoute
from matching_service.api.pages import ListAnswer
from matching_service.api.problems import problem_responses
from matching_service.eligibility.conflicts import ConflictBody, ConflictItem, find_conflicts
from matching_service.foundation.clock import today
from matching_service.matching import service
from matching_service.matching.engine import Engine
from matching_service.matching.schemas import (
    DEFAULT_TOP_K,
    DecisionAnswer,
    DecisionBody,
    DemandChanges,
    DemandMatchAnswer,
    ExplainAnswer,
    ExplainBody,
    FailedDemand,
    MatchAnswer,
    MatchBody,
    MinAsOf,
    ReverseBody,
    Run,
    RunBody,
    SubmissionAnswer,
    TopK,
)
from matching_service.runs import service as runs
from matching_service.shortlists import queries

router = APIRouter(prefix="/v1", tags=["matches"], route_class=RememberingRoute)


async def _engine(request: Request) -> Engine:
    engine: Engine = request.app.state.engine
    return engine


async def _work_off(request: Request) -> Callable[..., Awaitable[None]]:
    work_off: Callable[..., Awaitable[None]] = request.app.state.work_off
    return work_off


EngineDep = Annotated[Engine, Depends(_engine)]
WorkOff = Annotated[Callable[..., Awaitable[None]], Depends(_work_off)]
CanMatch = Annotated[Principal, Depends(Permit(Action.MATCH))]
CanReadMatches = Depends(Permit(Action.MATCH_READ))
CanDecide = Annotated[Principal, Depends(Permit(Action.MATCH_DECIDE))]
CanStart = Annotated[Principal, Depends(Permit(Action.RUN_START))]
CanReadRuns = Depends(Permit(Action.RUN_READ))


@router.post("/matches", dependencies=[Idempotent], responses=problem_responses(404))
async def rank_now(
    body: MatchBody, write: WriteSession, engine: EngineDep, principal: CanMatch, turn: RankingTurn
) -> MatchAnswer:
    """Rank profiles for a stored demand or an ad hoc question. Nothing is stored unless `store` is true."""
    if body.store:
        authorize(principal, Action.MATCH_STORE)
    async with turn:
        return await service.match(engine, write, body)


@router.post("/matches/explain", dependencies=[Idempotent], responses=problem_responses(404))
async def explain(body: ExplainBody, engine: EngineDep, _principal: CanMatch, turn: RankingTurn) -> ExplainAnswer:
    """Explain one pair of demand and profile, also one that is not on the list, and why it is not."""
    async with turn:
        return await service.explain(engine, body)


@router.put("/matches/{match_id}/decision", responses=problem_responses(404))
async def decide(match_id: str, body: DecisionBody, session: WriteSession, principal: CanDecide) -> DecisionAnswer:
    """Pin, shortlist or reject a profile for a demand; the decision holds for every later run."""
    return DecisionAnswer.model_validate(await runs.decide(session, match_id, body, principal))


@router.get("/demands/{demand_id}/matches", dependencies=[CanReadMatches], responses=problem_responses(404))
async def read_latest_matches(demand_id: str, session: ReadSession) -> MatchAnswer:
    """The latest stored list of a demand; 404 with code `no_match_run` when there is none."""
    return await service.latest_matches(session, demand_id)


@router.get("/demands/{demand_id}/similar", dependencies=[CanReadMatches], responses=problem_responses(404))
async def read_similar_demands(
    demand_id: str,
    engine: EngineDep,
    turn: RankingTurn,
    top_k: Annotated[TopK, Query()] = DEFAULT_TOP_K,
    min_as_of: Annotated[MinAsOf, Query()] = None,
) -> DemandMatchAnswer:
    """Other demands like this one."""
    async with turn:
        return await service.similar_demands(engine, demand_id, top_k=top_k, min_as_of=min_as_of)


@router.get(
    "/demands/{demand_id}/submission",
    dependencies=[Depends(Permit(Action.DEMAND_SUBMIT))],
    responses=problem_responses(404),
)
async def read_submission(
    demand_id: str, engine: EngineDep, language: LanguageDep, turn: RankingTurn
) -> SubmissionAnswer:
    """What a demand lacks before it may be submitted, and the same problem asked before, with its outcome."""
    async with turn:
        return await service.submission(engine, demand_id, language)


@router.post(
    "/demands/{demand_id}/conflicts", dependencies=[CanReadMatches, Idempotent], responses=problem_responses(404)
)
async def check_conflicts(
    demand_id: str, session: ReadSession, page: PageDep, body: ConflictBody | None = None
) -> ListAnswer[ConflictItem]:
    """Profiles that may never be proposed for a demand, with every reason, in the order of their ids.

    Without candidates over all profiles. It ranks nothing, and asks for no contact data.
    """
    candidates = body.candidates if body is not None else None
    found = await find_conflicts(session, demand_id, candidates, page, on=today())
    return ListAnswer(items=list(found.items), next_cursor=found.next_cursor)


@router.post("/profiles/{profile_id}/matches", dependencies=[Idempotent], responses=problem_responses(404))
async def rank_demands_for_profile(
    profile_id: str, engine: EngineDep, _principal: CanMatch, turn: RankingTurn, body: ReverseBody | None = None
) -> DemandMatchAnswer:
    """The reverse: open demands that this profile might answer."""
    asked = body or ReverseBody()
    async with turn:
        return await service.demands_for_profile(engine, profile_id, top_k=asked.top_k, min_as_of=asked.min_as_of)


@router.post("/match-runs", status_code=202, dependencies=[Idempotent], responses=problem_responses(409))
async def start_run(
    body: RunBody,
    session: WriteSession,
    engine: EngineDep,
    principal: CanStart,
    response: Response,
    tasks: BackgroundTasks,
    work_off: WorkOff,
) -> Run:
    """Re-rank open demands in the background, all or those that something changed for.

    `Location` tells where to read progress. Its lists become visible together, when it is finished.
    """
    run = await runs.start_run(engine, session, principal, scope=body.scope)
    tasks.add_task(work_off, run.id, patience_s=runs.START_PATIENCE_S)  # after the response, so after the commit
    response.headers["Location"] = f"/v1/match-runs/{run.id}"
    return await runs.describe_run(engine.database, run)


@router.get("/match-runs/{run_id}", dependencies=[CanReadRuns], responses=problem_responses(404))
async def read_run(run_id: str, session: ReadSession, database: DatabaseDep) -> Run:
    """State and progress of a run, and how long it will still take at its pace so far."""
    return await runs.describe_run(database, await queries.get_run(session, run_id))


@router.post("/match-runs/{run_id}/cancel", dependencies=[Idempotent], responses=problem_responses(404, 409))
async def cancel_run(run_id: str, session: WriteSession, principal: CanStart) -> Run:
    """Stop a run; its lists never become visible."""
    return Run.model_validate(await runs.cancel_run(session, run_id, principal))


@router.post(
    "/match-runs/{run_id}/resume", status_code=202, dependencies=[Idempotent], responses=problem_responses(404, 409)
)
async def resume_run(
    run_id: str,
    session: WriteSession,
    database: DatabaseDep,
    principal: CanStart,
    tasks: BackgroundTasks,
    work_off: WorkOff,
) -> Run:
    """Complete a run whose process is gone (`is_interrupted`), in the background."""
    run = await runs.resume_run(database, session, run_id, principal)
    tasks.add_task(work_off, run.id, patience_s=runs.RESUME_PATIENCE_S)
    return Run.model_validate(run)


@router.get("/match-runs/{run_id}/changes", dependencies=[CanReadRuns], responses=problem_responses(404))
async def read_changes(run_id: str, session: ReadSession, page: PageDep) -> ListAnswer[DemandChanges]:
    """What came in, went out, or moved by at least three places, and why, per demand whose list changed."""
    found = await runs.changes_of_run(session, run_id, page)
    return ListAnswer(items=list(found.items), next_cursor=found.next_cursor)


@router.get("/match-runs/{run_id}/failures", dependencies=[CanReadRuns], responses=problem_responses(404))
async def read_failures(run_id: str, session: ReadSession, page: PageDep) -> ListAnswer[FailedDemand]:
    """The demands that could not be ranked, each with its error; they keep the list that they had."""
    await queries.get_run(session, run_id)
    found = await queries.list_failed_lists(session, run_id, page)
    return ListAnswer(items=[FailedDemand.model_validate(row) for row in found.items], next_cursor=found.next_cursor)
