"""The life of a match run over many demands: start, rank in chunks, cancel, resume, finish, report.

A process that works on a run owns a lock, which is released when the process dies. So a run in state ``running`` whose
lock is free was interrupted, and the next process that gets the lock may complete it.
"""

import logging
import math
from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import datetime, timedelta

from sqlalchemy import delete
from sqlalchemy.ext.asyncio import AsyncSession

from matching_service.access.policies import Principal
from matching_service.audit.service import record_audit
from matching_service.demands.queries import open_demand_ids
from matching_service.foundation.clock import now, today
from matching_service.foundation.errors import Bilingual, Conflict
from matching_service.foundation.paging import Page, PageRequest
from matching_service.matching.engine import Engine
from matching_service.matching.ranking import rank_many
from matching_service.matching.schemas import DEFAULT_TOP_K
from matching_service.runs import queries
from matching_service.runs.affected import changed_since_last_run
from matching_service.runs.chunks import Progress, RankMany, RunContext, rank_chunks
from matching_service.runs.schemas import Run
from matching_service.shortlists import queries as shortlist_queries
from matching_service.shortlists.changes import ChangedList, profile_ids_of, read_changes
from matching_service.shortlists.lists import finish_run, new_run
from matching_service.shortlists.schemas import DemandChanges
from matching_service.store.database import Database
from matching_service.store.demands import DemandRow
from matching_service.store.lookup import get_by_ids, in_parts
from matching_service.store.outbox import last_seq
from matching_service.store.ownership import is_owned, owning
from matching_service.store.shortlists import MatchListRow, MatchRunRow, RunScope, RunState

logger = logging.getLogger(__name__)
DEMANDS_PER_CHUNK = 50
_LOCK = "run"
_START_LOCK = 0x7374617274  # any constant; the ASCII codes of "start"
START_PATIENCE_S = math.inf
"""A new run waits until the process of a cancelled run has finished its last chunk."""
RESUME_PATIENCE_S = 1.0
"""A resumed run does not wait for another owner, only for ``is_owned`` calls, which hold the lock for a moment."""
_GRACE = timedelta(seconds=10)
"""A run that was started just now may not have its lock yet; for this time it does not count as interrupted."""

_FIXED_COLUMNS = ("lexicon_version", "encoder_version", "frequencies_version")
"""Columns that must be equal for all lists of a run."""


async def start_run(
    engine: Engine, session: AsyncSession, actor: Principal, *, scope: RunScope = RunScope.OPEN
) -> MatchRunRow:
    """Start a run over all open demands, or over those affected by changes.

    Raises Conflict, naming the other run, if one is still running.
    """
    async with engine.database.reading() as reading:
        events_as_of = await last_seq(reading)  # read first, so that the run has seen at least these events
    view = await engine.view()
    await engine.database.lock(session, _START_LOCK)  # when two starts race, the second one sees the first run
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
    """Cancel a run; its process stops after the present chunk. Its lists never become visible.

    Raises NotFound, or Conflict if the run is not running.
    """
    run = await queries.get_run(session, run_id, for_update=True)
    _check_running(run)
    run.state, run.finished_at = RunState.CANCELLED, now()
    record_audit(session, actor, "cancel", entity="match_run", entity_id=run.id)
    return run


async def resume_run(database: Database, session: AsyncSession, run_id: str, actor: Principal) -> MatchRunRow:
    """Check that a run was interrupted; ``complete_run`` then completes it.

    Raises NotFound, or Conflict if the run is not running or a process still works on it.
    """
    run = await queries.get_run(session, run_id, for_update=True)
    _check_running(run)
    if await is_owned(database, _LOCK):
        raise _in_progress(run.id, is_alive=True)
    record_audit(session, actor, "resume", entity="match_run", entity_id=run.id)
    return run


async def describe_run(database: Database, run: MatchRunRow) -> Run:
    """Return the run with computed fields: whether it was interrupted, and estimates from its pace so far."""
    return (await describe_runs(database, [run]))[0]


async def describe_runs(database: Database, runs: Sequence[MatchRunRow]) -> list[Run]:
    """Return the runs as ``describe_run`` does. At most one run over many demands is running."""
    return [
        await _describe_running(database, run) if run.state == RunState.RUNNING else Run.model_validate(run)
        for run in runs
    ]


async def _describe_running(database: Database, run: MatchRunRow) -> Run:
    answer = Run.model_validate(run)
    if await _is_interrupted(database, run):
        return answer.model_copy(update={"is_interrupted": True})
    n_ended = run.n_done + run.n_kept + run.n_failed
    if not n_ended or run.heartbeat_at is None:
        return answer
    remaining_s = max(0, run.n_demands - n_ended) * run.worked_s / n_ended
    finish_at = run.heartbeat_at + timedelta(seconds=remaining_s)
    return answer.model_copy(update={"remaining_s": round(remaining_s, 1), "estimated_finish_at": finish_at})


async def complete_run(
    engine: Engine,
    run_id: str,
    on_progress: Progress = lambda _n: None,
    *,
    patience_s: float,
    rank: RankMany = rank_many,
) -> MatchRunRow:
    """Rank the demands that have no list in the run yet, one transaction per chunk, and finish the run.

    Calling it again after a crash completes the run. If the run is cancelled meanwhile, it stops without finishing.
    On an error the run becomes ``failed``, because a run left ``running`` would block the next one.
    patience_s : how long to wait for the lock while another process holds it. Raises Conflict after that.
    """
    async with owning(engine.database, _LOCK, patience_s=patience_s) as is_owner:
        if not is_owner:
            raise _in_progress(run_id, is_alive=True)
        try:
            context, n_done, remaining = await _prepare(engine, run_id)
            context = replace(context, rank=rank)
            on_progress(n_done)
            await rank_chunks(context, list(in_parts(remaining, size=DEMANDS_PER_CHUNK)), on_progress)
            return await _finish(engine, run_id)
        except Exception:
            await _fail(engine, run_id)
            raise


async def changes_of_run(session: AsyncSession, run_id: str, page: PageRequest) -> Page[DemandChanges]:
    """Return the changes and causes of each changed list of a run. Unchanged lists are left out. Raises NotFound."""
    await queries.get_run(session, run_id)
    return await _read_changes(session, await queries.list_changed_lists(session, page, run_id=run_id))


async def changes_since(session: AsyncSession, since: datetime, page: PageRequest) -> Page[DemandChanges]:
    """Return the changes of every list, of any demand, that became visible at ``since`` or later, newest first."""
    return await _read_changes(session, await queries.list_changed_lists(session, page, since=since))


async def _read_changes(session: AsyncSession, lists: Page[MatchListRow]) -> Page[DemandChanges]:
    demands = await get_by_ids(session, DemandRow, (row.demand_id for row in lists.items))
    ended = await get_by_ids(session, MatchRunRow, (row.run_id for row in lists.items))
    names = await shortlist_queries.names_of_profiles(
        session, (id_ for row in lists.items for id_ in profile_ids_of(row.changes or {}))
    )
    items: list[DemandChanges] = []
    for row in lists.items:
        run, title = ended[row.run_id], demands[row.demand_id].title
        changed = ChangedList(row.demand_id, title, row.run_id, run.finished_at or run.created_at)
        items.append(read_changes(changed, row.changes or {}, names))
    return Page(items, lists.next_cursor)


async def _prepare(engine: Engine, run_id: str) -> tuple[RunContext, int, Sequence[str]]:
    """Return the context of a run, the number of demands already done, and the ids of the remaining demands.

    The run keeps the weights that it was started with. Raises NotFound or Conflict if these no longer exist. If the
    lexicon, the encoder or the document frequencies changed since an interruption, the stored lists are deleted and
    the run starts from the beginning: all its lists must use the same versions.
    """
    async with engine.database.reading() as session:
        run = await queries.get_run(session, run_id)
    # Only a run over all demands recomputes the document frequencies, because that changes every list a little.
    is_new = run.frequencies_version is None
    await (engine.refresh() if is_new and run.scope == RunScope.OPEN else engine.complete())
    view = await engine.view()
    async with engine.database.transaction() as session:
        run = await queries.get_run(session, run_id, for_update=True)
        if run.state != RunState.RUNNING:  # cancelled or completed while this process waited for the lock
            return RunContext(engine, run, view, None), 0, []
        view = replace(view, weights=engine.weights.get(run.weights_version))
        versions = asdict(view.made_with(engine.encoder)) | {"frequencies_version": view.frequencies_version}
        if any(getattr(run, name) != versions[name] for name in _FIXED_COLUMNS):
            if not is_new:
                logger.warning("match_run_begun_anew", extra={"run_id": run_id})
            await session.execute(delete(MatchListRow).where(MatchListRow.run_id == run_id))
            run.n_done, run.n_kept, run.n_failed, run.worked_s = 0, 0, 0, 0.0
            for name, value in versions.items():
                setattr(run, name, value)
        done = await queries.ranked_demand_ids(session, run_id)
        remaining = [demand_id for demand_id in await open_demand_ids(session) if demand_id not in done]
        run.n_demands = len(done) + len(remaining)
        run.heartbeat_at = now()
        changed = await changed_since_last_run(session, run, on=today()) if run.scope == RunScope.CHANGED else None
    return RunContext(engine, run, view, changed), len(done), remaining


async def _fail(engine: Engine, run_id: str) -> None:
    async with engine.database.transaction() as session:
        run = await queries.get_run(session, run_id, for_update=True)
        if run.state == RunState.RUNNING:
            run.state, run.finished_at = RunState.FAILED, now()


async def _finish(engine: Engine, run_id: str) -> MatchRunRow:
    """Finish the run, which makes all its lists visible at once, unless it was cancelled."""
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
    is_fresh = now() - (run.heartbeat_at or run.created_at) < _GRACE
    return not is_fresh and not await is_owned(database, _LOCK)


def _check_running(run: MatchRunRow) -> None:
    if run.state != RunState.RUNNING:
        raise Conflict(
            "run_not_running",
            Bilingual(f"匹配任务 {run.id} 已是 {run.state}。", f"Match run {run.id} is {run.state}."),
        )


def _in_progress(run_id: str, *, is_alive: bool) -> Conflict:
    if is_alive:
        message = Bilingual(
            f"匹配任务 {run_id} 正在进行；请等它结束，或先取消。",
            f"Match run {run_id} is in progress; wait for it or cancel it.",
        )
    else:
        message = Bilingual(
            f"匹配任务 {run_id} 已中断；请续跑（matching-service rerank --resume，"
            f"或 POST /v1/match-runs/{run_id}/resume），或取消（POST /v1/match-runs/{run_id}/cancel）。",
            f"Match run {run_id} was interrupted; resume it (matching-service rerank --resume, or POST "
            f"/v1/match-runs/{run_id}/resume), or cancel it (POST /v1/match-runs/{run_id}/cancel).",
        )
    return Conflict("run_in_progress", message)
