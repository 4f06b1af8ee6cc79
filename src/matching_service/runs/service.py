"""The life of a match run over many demands: started, worked off in chunks, cancelled, resumed, finished, reported.

While a process works a run off it holds a lock that dies with it. So a run that is ``running`` without an owner was
broken off, and whoever gets the lock may complete it.
"""

import logging
import math
from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import timedelta

from sqlalchemy import delete
from sqlalchemy.ext.asyncio import AsyncSession

from matching_service.access.policies import Principal
from matching_service.audit.service import record_audit
from matching_service.demands.queries import open_demand_ids
from matching_service.foundation.clock import now, today
from matching_service.foundation.errors import Conflict, Text
from matching_service.foundation.paging import Page, PageRequest
from matching_service.matching.engine import Engine
from matching_service.matching.ranking import rank_many
from matching_service.matching.schemas import DEFAULT_TOP_K
from matching_service.runs import queries
from matching_service.runs.affected import changed_since_last_run
from matching_service.runs.chunks import Progress, RankMany, Work, rank_chunks
from matching_service.runs.schemas import Run
from matching_service.shortlists import queries as shortlist_queries
from matching_service.shortlists.changes import profile_ids_of, read_changes
from matching_service.shortlists.lists import finish_run, new_run
from matching_service.shortlists.schemas import DemandChanges
from matching_service.store.database import Database
from matching_service.store.lookup import in_parts
from matching_service.store.outbox import last_seq
from matching_service.store.ownership import is_owned, owning
from matching_service.store.shortlists import MatchListRow, MatchRunRow, RunScope, RunState

logger = logging.getLogger(__name__)
DEMANDS_PER_CHUNK = 50
_LOCK = "run"
_START_LOCK = 0x7374617274  # any constant; the ASCII codes of "start"
START_PATIENCE_S = math.inf
"""A new run waits for the process of an earlier one that was cancelled and ends its last chunk."""
RESUME_PATIENCE_S = 1.0
"""Who resumes a run does not wait for its owner. But who only looks whether it has one holds the lock for a moment."""
_UNOWNED = timedelta(seconds=10)
"""A run that is being started has no owner yet for a moment."""

_FIXED = ("lexicon_version", "encoder_version", "frequencies_version")


async def start_run(
    engine: Engine, session: AsyncSession, actor: Principal, *, scope: RunScope = RunScope.OPEN
) -> MatchRunRow:
    """Begin a run over all open demands, or those that changed; raises Conflict naming the one that has not ended."""
    async with engine.database.reading() as reading:
        events_as_of = await last_seq(reading)  # before all else: what comes later may or may not be seen by the run
    view = await engine.view()
    await engine.database.lock(session, _START_LOCK)  # of two starts at once, the second sees the first
    if (running := await queries.running_run(session)) is not None:
        raise _in_progress(running.id, is_alive=await is_owned(engine.database, _LOCK))
    n_demands = len(await open_demand_ids(session))
    run = new_run(
        view.made_with(engine.encoder),
        view.weights,
        scope=scope,
        top_k=DEFAULT_TOP_K,
        n_demands=n_demands,
        events_as_of=events_as_of,
    )
    run.stability = engine.stability
    session.add(run)
    await session.flush()
    record_audit(session, actor, "start", entity="match_run", entity_id=run.id, detail={"scope": scope})
    return run


async def cancel_run(session: AsyncSession, run_id: str, actor: Principal) -> MatchRunRow:
    """Stop a run after its present chunk; its lists never become visible. Raises NotFound, Conflict."""
    run = await queries.get_run(session, run_id, for_update=True)
    _check_running(run)
    run.state, run.finished_at = RunState.CANCELLED, now()
    record_audit(session, actor, "cancel", entity="match_run", entity_id=run.id)
    return run


async def resume_run(database: Database, session: AsyncSession, run_id: str, actor: Principal) -> MatchRunRow:
    """Check that a run was broken off, before ``work_off`` completes it. Raises NotFound, Conflict."""
    run = await queries.get_run(session, run_id, for_update=True)
    _check_running(run)
    if await is_owned(database, _LOCK):
        raise _in_progress(run.id, is_alive=True)
    record_audit(session, actor, "resume", entity="match_run", entity_id=run.id)
    return run


async def describe_run(database: Database, run: MatchRunRow) -> Run:
    """The run with what is not stored: whether anybody works on it, and how long it will take at its pace so far."""
    answer = Run.model_validate(run)
    if run.state != RunState.RUNNING:
        return answer
    if await _is_interrupted(database, run):
        return answer.model_copy(update={"is_interrupted": True})
    n_ended = run.n_done + run.n_kept + run.n_failed
    if not n_ended or run.heartbeat_at is None:
        return answer
    remaining_s = max(0, run.n_demands - n_ended) * run.worked_s / n_ended
    finish_at = run.heartbeat_at + timedelta(seconds=remaining_s)
    return answer.model_copy(update={"remaining_s": round(remaining_s, 1), "estimated_finish_at": finish_at})


async def work_off(
    engine: Engine,
    run_id: str,
    on_progress: Progress = lambda _n: None,
    *,
    patience_s: float,
    rank: RankMany = rank_many,
) -> MatchRunRow:
    """Rank the demands of a run that have no list in it yet, one transaction per chunk, and finish it.

    Calling it again after a crash completes the run. Ends early, without finishing, when the run is cancelled. A run
    that meets an error is failed, so that it does not bar the way of the next one.
    patience_s : how long to wait while another process holds the lock; then raises Conflict.
    """
    async with owning(engine.database, _LOCK, patience_s=patience_s) as is_mine:
        if not is_mine:
            raise _in_progress(run_id, is_alive=True)
        try:
            work, n_done, remaining = await _take_up(engine, run_id)
            work = replace(work, rank=rank)
            on_progress(n_done)
            await rank_chunks(work, list(in_parts(remaining, size=DEMANDS_PER_CHUNK)), on_progress)
            return await _finish(engine, run_id)
        except Exception:
            await _fail(engine, run_id)
            raise


async def changes_of_run(session: AsyncSession, run_id: str, page: PageRequest) -> Page[DemandChanges]:
    """What changed for each demand since its list before, and why; demands whose list is the same are left out."""
    await queries.get_run(session, run_id)
    lists = await queries.list_changed_lists(session, run_id, page)
    stored = [(row.demand_id, row.changes or {}) for row in lists.items]
    names = await shortlist_queries.names_of_profiles(
        session, (id_ for _, changes in stored for id_ in profile_ids_of(changes))
    )
    return Page([read_changes(demand_id, changes, names) for demand_id, changes in stored], lists.next_cursor)


async def _take_up(engine: Engine, run_id: str) -> tuple[Work, int, Sequence[str]]:
    """What is left to do of a run: how many demands are done, and the others.

    It keeps the weights that it was started with; raises NotFound or Conflict when they are gone. It is ranked with one
    lexicon, encoder and count of words: where one of them is another since it was broken off, it begins anew.
    """
    async with engine.database.reading() as session:
        run = await queries.get_run(session, run_id)
    # Words are counted anew for a run over all demands alone: a new count changes every list a little.
    is_new = run.frequencies_version is None
    await (engine.refresh() if is_new and run.scope == RunScope.OPEN else engine.complete())
    view = await engine.view()
    async with engine.database.transaction() as session:
        run = await queries.get_run(session, run_id, for_update=True)
        if run.state != RunState.RUNNING:  # cancelled, or completed by another process, while this one waited
            return Work(engine, run, view, None), 0, []
        view = replace(view, weights=engine.weights.get(run.weights_version))
        made = asdict(view.made_with(engine.encoder)) | {"frequencies_version": view.frequencies_version}
        if any(getattr(run, name) != made[name] for name in _FIXED):
            if not is_new:
                logger.warning("match_run_begun_anew", extra={"run_id": run_id})
            await session.execute(delete(MatchListRow).where(MatchListRow.run_id == run_id))
            run.n_done, run.n_kept, run.n_failed, run.worked_s = 0, 0, 0, 0.0
            for name, value in made.items():
                setattr(run, name, value)
        done = await queries.ranked_demand_ids(session, run_id)
        remaining = [demand_id for demand_id in await open_demand_ids(session) if demand_id not in done]
        run.n_demands = len(done) + len(remaining)
        run.heartbeat_at = now()
        changed = await changed_since_last_run(session, run, on=today()) if run.scope == RunScope.CHANGED else None
    return Work(engine, run, view, changed), len(done), remaining


async def _fail(engine: Engine, run_id: str) -> None:
    async with engine.database.transaction() as session:
        run = await queries.get_run(session, run_id, for_update=True)
        if run.state == RunState.RUNNING:
            run.state, run.finished_at = RunState.FAILED, now()


async def _finish(engine: Engine, run_id: str) -> MatchRunRow:
    """Make all lists of the run visible at once."""
    async with engine.database.transaction() as session:
        run = await queries.get_run(session, run_id, for_update=True)
        if run.state == RunState.RUNNING:
            await finish_run(session, run)
    logger.info(
        "match_run_finished",
        extra={
            "run_id": run.id,
            "state": run.state,
            "n_done": run.n_done,
            "n_kept": run.n_kept,
            "n_failed": run.n_failed,
        },
    )
    return run


async def _is_interrupted(database: Database, run: MatchRunRow) -> bool:
    is_young = now() - (run.heartbeat_at or run.created_at) < _UNOWNED
    return not is_young and not await is_owned(database, _LOCK)


def _check_running(run: MatchRunRow) -> None:
    if run.state != RunState.RUNNING:
        raise Conflict(
            "run_not_running",
            Text(f"匹配任务 {run.id} 已是 {run.state}。", f"Match run {run.id} is {run.state}."),
        )


def _in_progress(run_id: str, *, is_alive: bool) -> Conflict:
    if is_alive:
        message = Text(
            f"匹配任务 {run_id} 正在进行；请等它结束，或先取消。",
            f"Match run {run_id} is in progress; wait for it or cancel it.",
        )
    else:
        message = Text(
            f"匹配任务 {run_id} 已中断；请续跑（matching-service rerank --resume，"
            f"或 POST /v1/match-runs/{run_id}/resume），或取消（POST /v1/match-runs/{run_id}/cancel）。",
            f"Match run {run_id} was broken off; resume it (matching-service rerank --resume, or POST "
            f"/v1/match-runs/{run_id}/resume), or cancel it (POST /v1/match-runs/{run_id}/cancel).",
        )
    return Conflict("run_in_progress", message)
