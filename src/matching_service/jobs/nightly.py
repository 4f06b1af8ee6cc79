"""The nightly re-rank: all open demands, resumable, with a report of what changed."""

from collections.abc import Sequence
from dataclasses import dataclass

from matching_service.access.policies import COMMAND_LINE
from matching_service.foundation.errors import NotFound, Text
from matching_service.matching import queries, runs
from matching_service.matching.engine import Engine
from matching_service.matching.runs import Progress
from matching_service.matching.schemas import DemandChanges
from matching_service.store.matching import MatchRunRow


@dataclass(frozen=True, slots=True)
class NightReport:
    """A run that has ended, and what it changed."""

    run: MatchRunRow
    changes: Sequence[DemandChanges]


async def begin(engine: Engine, *, resume: bool) -> MatchRunRow:
    """A new run, or with ``resume`` the one that was broken off; raises Conflict or NotFound."""
    if not resume:
        async with engine.database.transaction() as session:
            return await runs.start_run(engine, session, COMMAND_LINE)
    async with engine.database.reading() as session:
        run = await queries.running_run(session)
    if run is None:
        message = Text("没有中断的匹配任务可续跑。", "There is no interrupted match run to resume.")
        raise NotFound("no_interrupted_run", message)
    return run


async def rerank(engine: Engine, run: MatchRunRow, on_progress: Progress) -> NightReport:
    """Work the run off and compare its lists with those before."""
    ended = await runs.work_off(engine, run.id, on_progress)
    async with engine.database.reading() as session:
        changes = await runs.all_changes_of_run(session, run.id) if ended.state == "finished" else []
    return NightReport(ended, changes)
