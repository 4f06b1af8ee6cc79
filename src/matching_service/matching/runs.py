"""The life of a match run over all open demands: started, worked off in chunks, cancelled, finished, compared."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from time import perf_counter

from sqlalchemy.ext.asyncio import AsyncSession

from matching_service.access.policies import Principal
from matching_service.audit.service import record_audit
from matching_service.demands.queries import open_demand_ids
from matching_service.foundation.clock import now
from matching_service.foundation.errors import Conflict, NotFound, Text
from matching_service.foundation.metrics import RUN_DEMANDS
from matching_service.foundation.paging import Page, PageRequest
from matching_service.matching import queries
from matching_service.matching.changes import compare_lists
from matching_service.matching.engine import Engine, View, rank_many
from matching_service.matching.lists import new_run, store_list
from matching_service.matching.questions import demand_requests
from matching_service.matching.schemas import DEFAULT_TOP_K, DecisionBody, DemandChanges
from matching_service.store.demands import DemandRow
from matching_service.store.lookup import get_by_ids
from matching_service.store.matching import DecisionRow, MatchRunRow
from matching_service.store.outbox import record_event

logger = logging.getLogger(__name__)
DEMANDS_PER_CHUNK = 20
_START_LOCK = 0x72756E  # any constant; the ASCII codes of "run"
_ATTEMPTS = 3

Progress = Callable[[int], None]


async def start_run(engine: Engine, session: AsyncSession, actor: Principal) -> MatchRunRow:
    """Begin a run; raises Conflict naming the one that is still running."""
    view = await engine.view()  # before the transaction begins, because it may take long
    await engine.database.lock(session, _START_LOCK)  # of two starts at once, the second sees the first
    if (running := await queries.running_run(session)) is not None:
        raise Conflict(
            "run_in_progress",
            Text(
                f"匹配任务 {running.id} 正在进行；请等它结束，或先取消（若进程已中断，可用 rerank --resume 续跑）。",
                f"Match run {running.id} is in progress; wait, or cancel it (after a crash: rerank --resume).",
            ),
        )
    n_demands = len(await open_demand_ids(session))
    run = new_run(engine, view.snapshot, view.weights, scope="open", top_k=DEFAULT_TOP_K, n_demands=n_demands)
    session.add(run)
    await session.flush()
    record_audit(session, actor, "start", entity="match_run", entity_id=run.id)
    return run


async def cancel_run(session: AsyncSession, run_id: str, actor: Principal) -> MatchRunRow:
    """Stop a run after its present chunk; its lists never become visible. Raises NotFound, Conflict."""
    run = await queries.get_run(session, run_id, for_update=True)
    if run.state != "running":
        raise Conflict(
            "run_not_running",
            Text(
                f"匹配任务 {run.id} 已是 {run.state}，不能取消。",
                f"Match run {run.id} is {run.state} and cannot be cancelled.",
            ),
        )
    run.state, run.finished_at = "cancelled", now()
    record_audit(session, actor, "cancel", entity="match_run", entity_id=run.id)
    return run


async def work_off(engine: Engine, run_id: str, on_progress: Progress = lambda _n: None) -> MatchRunRow:
    """Rank the demands of a run that have no list yet, one transaction per chunk, and finish it.

    Calling it again after a crash completes the run. Ends early, without finishing, when the run is cancelled.
    """
    database = engine.database
    view = await engine.view()
    async with database.reading() as session:
        run = await queries.get_run(session, run_id)
        done = await queries.ranked_demand_ids(session, run_id)
        remaining = [demand_id for demand_id in await open_demand_ids(session) if demand_id not in done]
    try:
        view = replace(view, weights=engine.weights.get(run.weights_version))  # also where others came into force since
    except (NotFound, Conflict):
        await fail_run(engine, run_id)  # it can never be completed, and must not bar the way of the next one
        raise
    on_progress(len(done))
    for start in range(0, len(remaining), DEMANDS_PER_CHUNK):
        chunk = remaining[start : start + DEMANDS_PER_CHUNK]
        if await _rank_chunk(engine, run_id, chunk, view, top_k=run.top_k) != "running":
            break
        on_progress(len(chunk))
    return await _finish(engine, run_id)


async def fail_run(engine: Engine, run_id: str) -> None:
    """Mark a run that cannot go on, so that another may start; its lists never become visible."""
    async with engine.database.transaction() as session:
        run = await queries.get_run(session, run_id, for_update=True)
        if run.state == "running":
            run.state, run.finished_at = "failed", now()


async def _rank_chunk(engine: Engine, run_id: str, chunk: Sequence[str], view: View, *, top_k: int) -> str:
    """Rank and store some demands; returns the state in which the run was found.

    Tried again when a profile was deleted, or another process stored the same list, between ranking and storing.
    """
    for attempt in range(1, _ATTEMPTS + 1):
        async with engine.database.reading() as session:
            done = await queries.ranked_demand_ids(session, run_id)
            demands = await get_by_ids(session, DemandRow, (demand_id for demand_id in chunk if demand_id not in done))
            requests = await demand_requests(session, list(demands.values()), top_k=top_k)
            previous = await queries.latest_list_ids(session, list(demands))
        started = perf_counter()
        outcomes = dict(zip(demands, await rank_many(engine, requests, view), strict=True))
        took_ms = (perf_counter() - started) * 1e3 / max(1, len(outcomes))
        n_failed = sum(isinstance(outcome, Exception) for outcome in outcomes.values())
        try:
            async with engine.database.transaction() as session:
                run = await queries.get_run(session, run_id, for_update=True)
                if run.state == "running":
                    for demand_id, outcome in outcomes.items():
                        await store_list(session, run, demand_id, outcome, previous.get(demand_id), took_ms=took_ms)
                    run.n_failed += n_failed
                    run.n_done += len(outcomes) - n_failed
                state = run.state
        except Conflict:
            if attempt == _ATTEMPTS:
                raise
            logger.warning("match_run_chunk_repeated", extra={"run_id": run_id, "attempt": attempt})
        else:
            RUN_DEMANDS.labels("failed").inc(n_failed)
            RUN_DEMANDS.labels("done").inc(len(outcomes) - n_failed)
            return state
    raise AssertionError("unreachable: the last attempt returns or raises")


async def changes_of_run(session: AsyncSession, run_id: str, page: PageRequest) -> Page[DemandChanges]:
    """What changed for each demand since its list before; a page is of lists, of which unchanged ones are left out."""
    await queries.get_run(session, run_id)
    lists = await queries.list_run_lists(session, run_id, page)
    with_previous = [(row, row.previous_list_id) for row in lists.items if row.state == "done"]
    ids = [row.id for row, _ in with_previous] + [previous for _, previous in with_previous if previous]
    ranks = {
        list_id: {match.profile_id: match.rank for match in matches}
        for list_id, matches in (await queries.get_matches(session, ids)).items()
    }
    found = (
        compare_lists(row.demand_id, ranks.get(previous or "", {}), ranks[row.id]) for row, previous in with_previous
    )
    return Page([changes for changes in found if changes is not None], lists.next_cursor)


async def all_changes_of_run(session: AsyncSession, run_id: str) -> Sequence[DemandChanges]:
    """Every demand's changes, for a printed report."""
    changes: list[DemandChanges] = []
    after: str | None = None
    while True:
        rows = await queries.list_run_lists(session, run_id, PageRequest(200, after))
        page = await changes_of_run(session, run_id, PageRequest(200, after))
        changes += page.items
        if rows.next_cursor is None:
            return changes
        after = rows.items[-1].id


async def decide(session: AsyncSession, match_id: str, body: DecisionBody, actor: Principal) -> DecisionRow:
    """Keep what a person decided about a profile for a demand; it holds for every later run."""
    match, match_list = await queries.get_match(session, match_id)
    decisions = await queries.get_decisions(session, [match_list.demand_id])
    row = decisions[match_list.demand_id].get(match.profile_id)
    if row is None:
        row = DecisionRow(demand_id=match_list.demand_id, profile_id=match.profile_id)
        session.add(row)
    row.decision, row.reason, row.actor_id, row.at = body.decision, body.reason, actor.id, now()
    await session.flush()
    record_audit(session, actor, body.decision, entity="match", entity_id=match_id)
    record_event(session, f"match.{body.decision}", entity="match", entity_id=match_id)
    return row


async def _finish(engine: Engine, run_id: str) -> MatchRunRow:
    """Make all lists of the run visible at once."""
    async with engine.database.transaction() as session:
        run = await queries.get_run(session, run_id, for_update=True)
        if run.state == "running":
            run.state, run.finished_at = "finished", now()
            record_event(session, "match_run.finished", entity="match_run", entity_id=run.id)
    logger.info(
        "match_run_finished",
        extra={"run_id": run.id, "state": run.state, "n_done": run.n_done, "n_failed": run.n_failed},
    )
    return run
