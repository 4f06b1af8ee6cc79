"""One chunk of a run: its demands chosen, ranked, compared with their lists before, and stored in one transaction."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from matching_service.foundation.clock import now, today
from matching_service.foundation.errors import Conflict
from matching_service.foundation.metrics import RUN_DEMANDS
from matching_service.matching import queries
from matching_service.matching.affected import Asked, Changed, affected_demands
from matching_service.matching.causes import Compared, is_demand_changed, stored_changes
from matching_service.matching.changes import Moves, compare_lists
from matching_service.matching.conflicts import exclusions_of
from matching_service.matching.engine import Engine, Listed, RankRequest, View, rank_many
from matching_service.matching.lists import NewList, store_lists
from matching_service.matching.queries import PreviousList
from matching_service.matching.questions import demand_requests
from matching_service.store.demands import DemandRow
from matching_service.store.lookup import get_by_ids
from matching_service.store.matching import MatchRunRow
from matching_service.store.outbox import events_about

logger = logging.getLogger(__name__)
_ATTEMPTS = 3
Progress = Callable[[int], None]
RankMany = Callable[[Engine, Sequence[RankRequest], View], Awaitable[list[list[Listed] | Exception]]]
_MADE_WITH = ("weights_version", "lexicon_version", "encoder_version")


@dataclass(frozen=True, slots=True)
class Work:
    """What all chunks of a run share. ``changed``: None where every demand is ranked.
    ``rank``: ``rank_many`` or what does the same in other processes.
    """

    engine: Engine
    run: MatchRunRow
    view: View
    changed: Changed | None
    rank: RankMany = rank_many


async def rank_chunks(work: Work, chunks: Sequence[Sequence[str]], on_progress: Progress) -> None:
    """Rank and store demands chunk by chunk, for as long as the run is running; each is ranked while the one before it
    is stored.
    """
    started, ranking = perf_counter(), _begin(work, chunks[:1])
    try:
        for place, chunk in enumerate(chunks, start=1):
            assert ranking is not None  # noqa: S101  # begun for every chunk
            lists = await ranking
            ranking = _begin(work, chunks[place : place + 1])
            state = await _store_chunk(work, chunk, lists, started)
            if state != "running":
                return
            on_progress(len(chunk))
            started = perf_counter()
    finally:
        if ranking is not None:
            ranking.cancel()
            await asyncio.gather(ranking, return_exceptions=True)  # nobody wants its outcome any more


def _begin(work: Work, chunks: Sequence[Sequence[str]]) -> "asyncio.Task[list[NewList]] | None":
    return asyncio.create_task(_new_lists(work, chunks[0])) if chunks else None


async def _store_chunk(work: Work, demand_ids: Sequence[str], lists: Sequence[NewList], started: float) -> str:
    """Store lists; returns the state in which the run was found.

    Ranked and tried again when a profile was deleted, or another process stored the same list, since they were ranked.
    """
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            async with work.engine.database.transaction() as session:
                run = await queries.get_run(session, work.run.id, for_update=True)
                if run.state == "running":
                    await store_lists(session, run.id, lists)
                    n_by_state = _count(lists)
                    run.n_done += n_by_state["done"]
                    run.n_kept += n_by_state["kept"]
                    run.n_failed += n_by_state["failed"]
                    run.worked_s += perf_counter() - started
                    run.heartbeat_at = now()
                state = run.state
        except Conflict:
            if attempt == _ATTEMPTS:
                raise
            logger.warning("match_run_chunk_repeated", extra={"run_id": work.run.id, "attempt": attempt})
            lists = await _new_lists(work, demand_ids)
        else:
            for outcome, n in _count(lists).items():
                RUN_DEMANDS.labels(outcome).inc(n)
            return state
    raise AssertionError("unreachable: the last attempt returns or raises")


def _count(lists: Sequence[NewList]) -> dict[str, int]:
    return {state: sum(new.state == state for new in lists) for state in ("done", "kept", "failed")}


async def _new_lists(work: Work, demand_ids: Sequence[str]) -> list[NewList]:
    """The lists of those demands that have none in the run yet. Some twenty queries, whatever their number."""
    engine, run = work.engine, work.run
    async with engine.database.reading() as session:
        done = await queries.ranked_demand_ids(session, run.id)
        demands = list((await get_by_ids(session, DemandRow, (i for i in demand_ids if i not in done))).values())
        requests = await demand_requests(session, demands, engine.standings, top_k=run.top_k)
        previous = await queries.previous_lists(session, [demand.id for demand in demands])
        asked = [
            Asked(demand, request, previous.get(demand.id)) for demand, request in zip(demands, requests, strict=True)
        ]
        steadied = await _steadied(session, run, asked)
    if work.changed is not None:
        affected = await affected_demands(engine, asked, work.changed, work.view, top_k=run.top_k)
        steadied = [one for one in steadied if one.demand.id in affected]
    started = perf_counter()
    outcomes = await work.rank(engine, [one.request for one in steadied], work.view)
    took_ms = (perf_counter() - started) * 1e3 / max(1, len(steadied))
    ranked = dict(zip((one.demand.id for one in steadied), outcomes, strict=True))
    async with engine.database.reading() as session:
        compared = [(one.demand, one.previous, ranked[one.demand.id]) for one in steadied]
        changes = await changes_of(session, run, compared, index_as_of=work.view.snapshot.as_of)
    return [
        NewList(
            one.demand.id,
            ranked.get(one.demand.id),
            one.previous.id if one.previous is not None else None,
            changes.get(one.demand.id),
            took_ms if one.demand.id in ranked else None,
        )
        for one in asked
    ]


async def changes_of(
    session: AsyncSession,
    run: MatchRunRow,
    outcomes: Sequence[tuple[DemandRow, PreviousList | None, Sequence[Listed] | Exception]],
    *,
    index_as_of: int,
) -> dict[str, dict[str, Any]]:
    """Per demand whose new list differs from the one before what changed and why, to be stored with the list."""
    exclusions = await exclusions_of(session, (demand.organization_id for demand, _, _ in outcomes))
    compared = [
        Compared(
            demand,
            exclusions[demand.organization_id],
            before,
            {entry.profile.id: entry.ranked.score for entry in listed},
            _moves(before, listed),
        )
        for demand, before, listed in outcomes
        if not isinstance(listed, Exception)
    ]
    return await stored_changes(session, run, compared, index_as_of=index_as_of, on=today())


def _moves(before: PreviousList | None, listed: Sequence[Listed]) -> Moves:
    ranks = {entry.profile.id: rank for rank, entry in enumerate(listed, start=1)}
    return compare_lists({}, ranks) if before is None else compare_lists(before.ranks, ranks, n_before=before.n_matches)


async def _steadied(session: AsyncSession, run: MatchRunRow, asked: Sequence[Asked]) -> list[Asked]:
    """With the scores of the lists before, where these measured the same thing in the same way."""
    comparable = {
        one.demand.id: one.previous
        for one in asked
        if one.previous is not None
        and one.previous.run.scope != "demand"
        and all(getattr(one.previous.run, name) == getattr(run, name) for name in _MADE_WITH)
    }
    if not run.stability or not comparable:
        return list(asked)
    since = min(before.run.events_as_of for before in comparable.values())
    events = await events_about(session, since, entity="demand", ids=comparable)

    def steadied(one: Asked) -> Asked:
        before = comparable.get(one.demand.id)
        if before is None or is_demand_changed(events.get(one.demand.id, ()), after=before.run.events_as_of):
            return one
        steady = replace(one.request.circumstances, former_scores=before.scores, stability=run.stability or 0.0)
        return replace(one, request=replace(one.request, circumstances=steady))

    return [steadied(one) for one in asked]
