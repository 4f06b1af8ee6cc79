"""Rank the demands of a run chunk by chunk, and store the lists of each chunk in one transaction."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from time import perf_counter

from sqlalchemy.ext.asyncio import AsyncSession

from matching_service.foundation.clock import now
from matching_service.foundation.errors import Conflict
from matching_service.foundation.metrics import RUN_DEMANDS
from matching_service.matching.engine import Engine, View
from matching_service.matching.questions import demand_questions
from matching_service.matching.ranking import Question, rank_many
from matching_service.runs import queries
from matching_service.runs.affected import Changed, DemandToRank, affected_demands
from matching_service.shortlists import queries as shortlist_queries
from matching_service.shortlists.causes import RankedDemand, changes_of, is_demand_changed
from matching_service.shortlists.lists import AsOf, ListEntry, NewList, store_lists
from matching_service.store.demands import DemandRow
from matching_service.store.lookup import get_by_ids
from matching_service.store.outbox import events_about, last_seq
from matching_service.store.shortlists import MatchRunRow, RunScope, RunState

logger = logging.getLogger(__name__)
_ATTEMPTS = 3
Progress = Callable[[int], None]
RankMany = Callable[[Engine, Sequence[Question], View], Awaitable[list[list[ListEntry] | Exception]]]
_SCORE_VERSIONS = ("weights_version", "lexicon_version", "encoder_version")
"""Columns of a run that must be equal for its scores to be comparable with those of another run."""


@dataclass(frozen=True, slots=True)
class RunContext:
    """Everything that the chunks of a run share.

    changed : None if every demand is ranked.
    rank : ``rank_many``, or an equivalent that ranks in other processes.
    """

    engine: Engine
    run: MatchRunRow
    view: View
    changed: Changed | None
    rank: RankMany = rank_many


async def rank_chunks(context: RunContext, chunks: Sequence[Sequence[str]], on_progress: Progress) -> None:
    """Rank and store demands chunk by chunk. Stops early if the run is no longer in state ``running``.

    Each chunk is ranked while the previous one is being stored.
    """
    started, ranking = perf_counter(), _start_ranking(context, chunks[:1])
    try:
        for n_started, chunk in enumerate(chunks, start=1):
            assert ranking is not None  # noqa: S101  # started for every chunk
            lists = await ranking
            ranking = _start_ranking(context, chunks[n_started : n_started + 1])
            state = await _store_chunk(context, chunk, lists, started)
            if state != RunState.RUNNING:
                return
            on_progress(len(chunk))
            started = perf_counter()
    finally:
        if ranking is not None:
            ranking.cancel()
            await asyncio.gather(ranking, return_exceptions=True)  # the outcome is not needed any more


def _start_ranking(context: RunContext, chunks: Sequence[Sequence[str]]) -> "asyncio.Task[list[NewList]] | None":
    return asyncio.create_task(_new_lists(context, chunks[0])) if chunks else None


async def _store_chunk(context: RunContext, demand_ids: Sequence[str], lists: Sequence[NewList], started: float) -> str:
    """Store the lists of a chunk if the run is still running. Returns the state of the run.

    Ranks again and retries on Conflict: since the ranking, a profile was deleted or another process stored a list.
    """
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            async with context.engine.database.transaction() as session:
                run = await queries.get_run(session, context.run.id, for_update=True)
                if run.state == RunState.RUNNING:
                    await store_lists(session, run, lists)
                    run.worked_s += perf_counter() - started
                    run.heartbeat_at = now()
                state = run.state
        except Conflict:
            if attempt == _ATTEMPTS:
                raise
            logger.warning("match_run_chunk_repeated", extra={"run_id": context.run.id, "attempt": attempt})
            lists = await _new_lists(context, demand_ids)
        else:
            for new in lists:
                RUN_DEMANDS.labels(new.state).inc()
            return state
    raise AssertionError("unreachable: the last attempt returns or raises")


async def _new_lists(context: RunContext, demand_ids: Sequence[str]) -> list[NewList]:
    """Make the lists of the demands that have none in this run yet. About twenty queries per chunk of any size."""
    engine, run = context.engine, context.run
    async with engine.database.snapshot() as session:  # the events that the cases include, and no others
        events_as_of = await last_seq(session)
        done = await queries.ranked_demand_ids(session, run.id)
        demands = list((await get_by_ids(session, DemandRow, (i for i in demand_ids if i not in done))).values())
        questions = await demand_questions(session, demands, engine.standings, top_k=run.top_k)
        previous = await shortlist_queries.previous_lists(session, [demand.id for demand in demands])
        all_demands = [
            DemandToRank(demand, case, question, previous.get(demand.id))
            for demand, (case, question) in zip(demands, questions, strict=True)
        ]
        to_rank = await _with_stability(session, run, all_demands)
    if context.changed is not None:
        affected = await affected_demands(engine, all_demands, context.changed, context.view, top_k=run.top_k)
        to_rank = [each for each in to_rank if each.demand.id in affected]

    def as_of(each: DemandToRank) -> AsOf:
        return AsOf(events_as_of, context.view.snapshot.as_of, each.case.on)

    started = perf_counter()
    outcomes = await context.rank(engine, [each.question for each in to_rank], context.view)
    took_ms = (perf_counter() - started) * 1e3 / max(1, len(to_rank))
    ranked = dict(zip((each.demand.id for each in to_rank), outcomes, strict=True))
    async with engine.database.reading() as session:
        new = [RankedDemand(each.case, as_of(each), ranked[each.demand.id], each.previous) for each in to_rank]
        changes = await changes_of(session, run, new)
    return [
        NewList(
            each.demand.id,
            as_of(each),
            ranked.get(each.demand.id),
            each.previous.row.id if each.previous is not None else None,
            changes.get(each.demand.id),
            took_ms if each.demand.id in ranked else None,
        )
        for each in all_demands
    ]


async def _with_stability(
    session: AsyncSession, run: MatchRunRow, demands: Sequence[DemandToRank]
) -> list[DemandToRank]:
    """Add the previous scores to the questions of demands whose old and new scores are comparable.

    They are comparable if the previous list came from a run over many demands with the same weights, lexicon and
    encoder, and the demand has not changed since.
    """
    comparable = {
        each.demand.id: each.previous
        for each in demands
        if each.previous is not None
        and each.previous.run.scope != RunScope.DEMAND
        and all(getattr(each.previous.run, name) == getattr(run, name) for name in _SCORE_VERSIONS)
    }
    if not run.stability or not comparable:
        return list(demands)
    since = min(previous.row.events_as_of for previous in comparable.values())
    events = await events_about(session, since, entity="demand", ids=comparable)

    def with_stability(each: DemandToRank) -> DemandToRank:
        previous = comparable.get(each.demand.id)
        if previous is None or is_demand_changed(events.get(each.demand.id, ()), after=previous.row.events_as_of):
            return each
        steady = replace(each.question.circumstances, former_scores=previous.scores, stability=run.stability or 0.0)
        return replace(each, question=replace(each.question, circumstances=steady))

    return [with_stability(each) for each in demands]
