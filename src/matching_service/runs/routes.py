"""HTTP doors of match runs."""

from typing import Annotated

from fastapi import APIRouter, BackgroundTasks, Depends, Response

from matching_service.access.policies import Action, Principal
from matching_service.api.deps import DatabaseDep, PageDep, Permit, ReadSession, WriteSession
from matching_service.api.idempotency import Idempotent, RememberingRoute
from matching_service.api.pages import ListAnswer
from matching_service.api.problems import problem_responses
from matching_service.api.services import provided
from matching_service.matching.engine import Engine
from matching_service.runs import queries
from matching_service.runs import service as runs
from matching_service.runs.background import BackgroundRuns
from matching_service.runs.schemas import FailedDemand, Run, RunBody
from matching_service.shortlists.schemas import DemandChanges
from matching_service.store.shortlists import RunScope

router = APIRouter(prefix="/v1", tags=["matches"], route_class=RememberingRoute)


EngineDep = Annotated[Engine, Depends(provided(Engine))]
BackgroundRunsDep = Annotated[BackgroundRuns, Depends(provided(BackgroundRuns))]
CanStart = Annotated[Principal, Depends(Permit(Action.RUN_START))]
CanReadRuns = Depends(Permit(Action.RUN_READ))


@router.post("/match-runs", status_code=202, dependencies=[Idempotent], responses=problem_responses(409))
async def start_run(
    body: RunBody,
    session: WriteSession,
    engine: EngineDep,
    principal: CanStart,
    response: Response,
    tasks: BackgroundTasks,
    background: BackgroundRunsDep,
) -> Run:
    """Re-rank open demands in the background, all or those that something changed for.

    `Location` tells where to read progress. Its lists become visible together, when it is finished.
    """
    run = await runs.start_run(engine, session, principal, scope=RunScope(body.scope))
    tasks.add_task(
        background.work_off, run.id, patience_s=runs.START_PATIENCE_S
    )  # after the response, so after the commit
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
    background: BackgroundRunsDep,
) -> Run:
    """Complete a run whose process is gone (`is_interrupted`), in the background."""
    run = await runs.resume_run(database, session, run_id, principal)
    tasks.add_task(background.work_off, run.id, patience_s=runs.RESUME_PATIENCE_S)
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
