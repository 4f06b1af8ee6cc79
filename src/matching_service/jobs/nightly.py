"""The night run: re-rank all open demands, or those affected by changes, and report the changes of their lists."""

from collections.abc import Sequence
from dataclasses import dataclass

from matching_service.access.policies import COMMAND_LINE
from matching_service.foundation.clock import now
from matching_service.foundation.errors import Bilingual, NotFound
from matching_service.foundation.paging import MAX_LIMIT, PageRequest, decode_cursor
from matching_service.jobs.pruning import KEPT, prune_outbox
from matching_service.matching.engine import Engine
from matching_service.matching.ranking import rank_many
from matching_service.runs import queries as run_queries
from matching_service.runs import service as runs
from matching_service.runs.chunks import Progress, RankMany
from matching_service.runs.queries import ClusterChanges
from matching_service.shortlists.schemas import DemandChanges
from matching_service.store.shortlists import MatchListRow, MatchRunRow, RunScope, RunState

_MAX_FAILURES = 20


@dataclass(frozen=True, slots=True)
class NightReport:
    """A run that has ended, its changes per cluster, and the first demands that could not be ranked."""

    run: MatchRunRow
    clusters: Sequence[ClusterChanges]
    failures: Sequence[MatchListRow]


async def begin(engine: Engine, *, resume: bool, scope: RunScope = RunScope.OPEN) -> MatchRunRow:
    """Start a run, or return the interrupted one with ``resume``. Raises Conflict or NotFound."""
    if not resume:
        async with engine.database.transaction() as session:
            return await runs.start_run(engine, session, COMMAND_LINE, scope=scope)
    async with engine.database.reading() as session:
        run = await run_queries.running_run(session)
    if run is None:
        message = Bilingual("没有中断的匹配任务可续跑。", "There is no interrupted match run to resume.")
        raise NotFound("no_interrupted_run", message)
    return run


async def rerank(
    engine: Engine,
    run: MatchRunRow,
    on_progress: Progress,
    *,
    patience_s: float = runs.START_PATIENCE_S,
    rank: RankMany = rank_many,
) -> NightReport:
    """Complete the run, report its changes, and delete events that are no longer needed.

    Raises Conflict if another process works on the run.
    """
    ended = await runs.complete_run(engine, run.id, on_progress, patience_s=patience_s, rank=rank)
    if ended.state == RunState.FINISHED:
        await prune_outbox(engine.database, before=now() - KEPT)
    async with engine.database.reading() as session:
        failures = await run_queries.list_failed_lists(session, ended.id, PageRequest(_MAX_FAILURES))
        clusters = await run_queries.changes_by_cluster(session, ended.id) if ended.state == RunState.FINISHED else []
    return NightReport(ended, clusters, failures.items)


async def all_changes(engine: Engine, run_id: str) -> Sequence[DemandChanges]:
    """Return the changes of all demands of a run."""
    changes: list[DemandChanges] = []
    after: str | None = None
    async with engine.database.reading() as session:
        while True:
            page = await runs.changes_of_run(session, run_id, PageRequest(MAX_LIMIT, after))
            changes += page.items
            if page.next_cursor is None:
                return changes
            after = decode_cursor(page.next_cursor)
            session.expunge_all()
