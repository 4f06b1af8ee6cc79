"""HTTP routes of match runs."""

from typing import Annotated

from fastapi import APIRouter, BackgroundTasks, Depends, Query, Response

from matching_service.access.policies import Action, Principal
from matching_service.api.deps import DatabaseDep, PageDep, Permit, ReadSession, WriteSession
from matching_service.api.fields import Blank, Moment
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
from matching_service.store.shortlists import RunScope, RunState

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
    """Start a run in the background that re-ranks all open demands, or only those affected by changes.

    `Location` is the address of its progress. All its lists become visible together when the run finishes.
    """
    run = await runs.start_run(engine, session, principal, scope=RunScope(body.scope))
    # A background task starts after the response, and so after the commit.
    tasks.add_task(background.start, run.id, patience_s=runs.START_PATIENCE_S)
    response.headers["Location"] = f"/v1/match-runs/{run.id}"
    return await runs.describe_run(engine.database, run)


@router.get("/match-runs", dependencies=[CanReadRuns])
async def list_runs(
    session: ReadSession,
    database: DatabaseDep,
    page: PageDep,
    scope: Annotated[RunScope | None, Blank, Query(description="open, changed or demand (one list by hand).")] = None,
    state: Annotated[RunState | None, Blank] = None,
) -> ListAnswer[Run]:
    """List runs, newest first."""
    found = await queries.list_runs(session, page, scope=scope, state=state)
    return ListAnswer(items=await runs.describe_runs(database, found.items), next_cursor=found.next_cursor)


@router.get("/changes", dependencies=[CanReadRuns])
async def read_changes_since(
    session: ReadSession,
    page: PageDep,
    since: Annotated[
        Moment,
        Query(description="A moment with its offset (2026-11-30T08:00:00+08:00), or a day, which begins in China."),
    ],
) -> ListAnswer[DemandChanges]:
    """List the changed lists of all demands since a moment, newest first: what changed since yesterday."""
    changes = await runs.changes_since(session, since, page)
    return ListAnswer(items=list(changes.items), next_cursor=changes.next_cursor)


@router.get("/match-runs/{run_id}", dependencies=[CanReadRuns], responses=problem_responses(404))
async def read_run(run_id: str, session: ReadSession, database: DatabaseDep) -> Run:
    """Read the state and progress of a run, with an estimate of the remaining time."""
    return await runs.describe_run(database, await queries.get_run(session, run_id))


@router.post("/match-runs/{run_id}/cancel", dependencies=[Idempotent], responses=problem_responses(404, 409))
async def cancel_run(run_id: str, session: WriteSession, principal: CanStart) -> Run:
    """Cancel a run. Its lists never become visible."""
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
    """Complete an interrupted run in the background. `is_interrupted` shows that its process is gone."""
    run = await runs.resume_run(database, session, run_id, principal)
    tasks.add_task(background.start, run.id, patience_s=runs.RESUME_PATIENCE_S)
    return Run.model_validate(run)


@router.get("/match-runs/{run_id}/changes", dependencies=[CanReadRuns], responses=problem_responses(404))
async def read_changes(run_id: str, session: ReadSession, page: PageDep) -> ListAnswer[DemandChanges]:
    """List the changed demands of a run: which profiles entered, left, or moved by at least three ranks, and why."""
    changes = await runs.changes_of_run(session, run_id, page)
    return ListAnswer(items=list(changes.items), next_cursor=changes.next_cursor)


@router.get("/match-runs/{run_id}/failures", dependencies=[CanReadRuns], responses=problem_responses(404))
async def read_failures(run_id: str, session: ReadSession, page: PageDep) -> ListAnswer[FailedDemand]:
    """List the demands that could not be ranked, each with its error. They keep their previous list."""
    await queries.get_run(session, run_id)
    lists = await queries.list_failed_lists(session, run_id, page)
    return ListAnswer(items=[FailedDemand.model_validate(row) for row in lists.items], next_cursor=lists.next_cursor)
