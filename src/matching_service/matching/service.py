"""Answers for people: ranked, explained, stored or returned lists."""

from collections.abc import Sequence
from dataclasses import replace
from time import perf_counter
from typing import Any

from anyio import to_thread
from sqlalchemy.ext.asyncio import AsyncSession

from matching_service.api.problems import problem_errors
from matching_service.demands.queries import get_demand, last_transitions
from matching_service.demands.states import EDITABLE, OPEN, DemandStatus
from matching_service.demands.transitions import form_errors
from matching_service.eligibility.conflicts import reasons_against
from matching_service.eligibility.schemas import MatchedProfile
from matching_service.foundation.clock import now
from matching_service.foundation.errors import FieldError, InvalidInput, Language, Text
from matching_service.foundation.metrics import MATCH_SECONDS
from matching_service.index.filters import Filters
from matching_service.index.snapshot import Snapshot
from matching_service.live_index.documents import demand_query, profile_query
from matching_service.matching.engine import Engine
from matching_service.matching.questions import demand_requests, filters_of, own_weights, read_question
from matching_service.matching.ranking import RankRequest, rank_demands, rank_many, recalling
from matching_service.matching.reasons import why_not
from matching_service.matching.schemas import (
    MAX_TOP_K,
    DemandMatchAnswer,
    DemandMatchItem,
    EarlierDemand,
    EarlierItem,
    ExplainAnswer,
    ExplainBody,
    MatchBody,
    MatchedDemand,
    SubmissionAnswer,
)
from matching_service.profiles.queries import get_profile
from matching_service.ranking.ranker import RankedProfile
from matching_service.shortlists import queries
from matching_service.shortlists.causes import changes_of
from matching_service.shortlists.lists import NewList, new_run, record_list_changed, store_lists
from matching_service.shortlists.schemas import IndexAnswer, MatchAnswer, MatchItem
from matching_service.shortlists.service import _explanation
from matching_service.store.demands import DemandRow, DemandTransitionRow
from matching_service.store.lookup import get_by_ids
from matching_service.store.outbox import last_seqs

_N_EARLIER = 5
_N_REVERSE_CANDIDATES = 100
"""Demands that are scored exactly for a profile, after a first pass that only looks for likely ones."""


async def match(engine: Engine, write: AsyncSession, body: MatchBody) -> MatchAnswer:
    """Answer one request; ``write`` is touched only when the list is to be stored."""
    started = perf_counter()
    if body.store and body.demand_id is None:
        message = Text(
            "只有针对已存需求的匹配才能保存；请改用 demand_id。",
            "Only a stored demand's list can be kept; use demand_id.",
        )
        raise InvalidInput("store_needs_demand", message, errors=[FieldError("store_needs_demand", message, "/store")])
    async with engine.database.reading() as session:
        newest = await last_seqs(session)
        asked = await read_question(session, body, engine.standings, newest)
        encoder = await recalling(engine, session, [asked.query])
    view = await engine.view(newest=newest, min_as_of=body.min_as_of)
    request = RankRequest(
        query=asked.query,
        filters=filters_of(body, asked, candidates=body.candidates, keep_rejected=not body.store),
        top_k=len(body.candidates) if body.candidates else body.top_k,
        circumstances=asked.circumstances,
        weights=own_weights(body, view.weights),
        explain=body.explain,
        pinned=asked.decided("pinned") if body.store else frozenset(),
    )
    listed = (await rank_many(engine, [request], view, encoder))[0]
    if isinstance(listed, Exception):
        raise listed
    took_ms = (perf_counter() - started) * 1e3
    MATCH_SECONDS.observe(took_ms / 1e3)
    weights = request.weights or view.weights
    run_id, match_ids = None, dict[str, str]()
    if body.store and asked.demand is not None:
        as_of = view.snapshot.as_of
        run = new_run(
            view.made_with(engine.encoder), weights, scope="demand", top_k=body.top_k, n_demands=1, events_as_of=as_of
        )
        run.state, run.n_done, run.finished_at = "finished", 1, now()
        write.add(run)
        await write.flush()
        demand_id, run_id = asked.demand.id, run.id
        before = (await queries.previous_lists(write, [demand_id])).get(demand_id)
        changes = await changes_of(write, run, [(asked.demand, before, listed)], index_as_of=as_of)
        stored = NewList(demand_id, listed, before.id if before else None, changes.get(demand_id), took_ms)
        match_ids = {profile_id: id_ for (_, profile_id), id_ in (await store_lists(write, run_id, [stored])).items()}
        if stored.changes is not None:
            record_list_changed(write, stored.id, demand_id)

    def answer() -> MatchAnswer:
        return MatchAnswer(
            run_id=run_id,
            index=_index_answer(view.snapshot),
            weights_version=weights.version,
            took_ms=round(took_ms, 1),
            items=[
                MatchItem(
                    rank=rank_,
                    profile=MatchedProfile.model_validate(entry.profile),
                    score=entry.ranked.score,
                    level=entry.ranked.level,
                    explanation=_explanation(entry.explanation),
                    match_id=match_ids.get(entry.profile.id),
                    decision=asked.decision(entry.profile.id),
                )
                for rank_, entry in enumerate(listed, start=1)
            ],
        )

    return await to_thread.run_sync(answer)  # a thousand explanations take longer than others may wait


async def explain(engine: Engine, body: ExplainBody) -> ExplainAnswer:
    """Explain one pair, also one that is not ranked, and say why it is not; raises NotFound."""
    started = perf_counter()
    async with engine.database.reading() as session:
        newest = await last_seqs(session)
        asked = await read_question(session, body, engine.standings, newest)
        profile = await get_profile(session, body.profile_id)
        against = await reasons_against(session, asked.demand, profile, on=asked.circumstances.today)
    view = await engine.view(newest=newest, min_as_of=body.min_as_of)
    request = RankRequest(
        query=asked.query,
        filters=filters_of(body, asked, candidates=None, keep_rejected=False),
        top_k=MAX_TOP_K,
        circumstances=asked.circumstances,
        weights=own_weights(body, view.weights),
        explain=False,
    )
    pair = replace(request, filters=Filters(candidates=frozenset({profile.id})), top_k=1, explain=True)
    ranked, alone = await rank_many(engine, [request, pair], view)
    if isinstance(ranked, Exception):
        raise ranked
    if isinstance(alone, Exception):
        raise alone
    place = next((n for n, entry in enumerate(ranked, start=1) if entry.profile.id == profile.id), None)
    found = alone[0] if alone else None
    return ExplainAnswer(
        index=_index_answer(view.snapshot),
        weights_version=(request.weights or view.weights).version,
        took_ms=round((perf_counter() - started) * 1e3, 1),
        profile=MatchedProfile.model_validate(profile),
        rank=place,
        is_listed=place is not None and place <= body.top_k,
        score=found.ranked.score if found is not None else None,
        level=found.ranked.level if found is not None else None,
        explanation=_explanation(found.explanation) if found is not None else None,
        decision=asked.decision(profile.id),
        why_not=why_not(body, profile, against, rank=place, score=found.ranked.score if found is not None else None),
    )


async def similar_demands(engine: Engine, demand_id: str, *, top_k: int, min_as_of: int | None) -> DemandMatchAnswer:
    """Other demands like this one, in any state."""
    started = perf_counter()
    async with engine.database.reading() as session:
        demand = await get_demand(session, demand_id)
    snapshot = (await engine.view(min_as_of=min_as_of)).demands
    filters = Filters(exclude=frozenset({demand.id}))
    ranked = await rank_demands(engine, demand_query(demand).topic_alone(), snapshot, filters, top_k)
    async with engine.database.reading() as session:
        rows = await get_by_ids(session, DemandRow, (entry.profile_id for entry in ranked))
    items = [(rows[entry.profile_id], entry, None) for entry in ranked if entry.profile_id in rows]
    return _demand_answer(snapshot, items, started)


async def submission(engine: Engine, demand_id: str, language: Language) -> SubmissionAnswer:
    """What the form lacks, and earlier demands that are like this one, with what became of them."""
    async with engine.database.reading() as session:
        demand = await get_demand(session, demand_id)
        errors = await form_errors(session, demand)
    filters = Filters(kinds=frozenset(DemandStatus) - EDITABLE, exclude=frozenset({demand.id}))
    query = demand_query(demand).topic_alone()
    ranked = await rank_demands(engine, query, await engine.demands.catch_up(), filters, _N_REVERSE_CANDIDATES)
    alike = [entry for entry in ranked if entry.level != "none" and entry.profile_id < demand.id]  # ids sort by time
    async with engine.database.reading() as session:
        rows = await get_by_ids(session, DemandRow, (entry.profile_id for entry in alike[:_N_EARLIER]))
        steps = await last_transitions(session, list(rows))
    return SubmissionAnswer(
        missing=problem_errors(errors, language),
        similar=[
            EarlierItem(
                demand=_earlier(rows[entry.profile_id], steps[entry.profile_id]), score=entry.score, level=entry.level
            )
            for entry in alike[:_N_EARLIER]
            if entry.profile_id in rows
        ],
    )


def _earlier(row: DemandRow, last: DemandTransitionRow) -> EarlierDemand:
    known = MatchedDemand.model_validate(row).model_dump()
    return EarlierDemand(**known, status_since=last.at, reason=last.reason, opinion=last.opinion)


async def demands_for_profile(
    engine: Engine, profile_id: str, *, top_k: int, min_as_of: int | None
) -> DemandMatchAnswer:
    """Open demands that the profile might answer, with the very score that the demand's own list would show.

    Likely demands are found by the profile's text; each is then ranked against this one profile.
    """
    started = perf_counter()
    async with engine.database.reading() as session:
        profile = await get_profile(session, profile_id)
    view = await engine.view(min_as_of=min_as_of)
    filters = Filters(kinds=frozenset(OPEN))
    likely = await rank_demands(
        engine, profile_query(profile), view.demands, filters, max(_N_REVERSE_CANDIDATES, top_k)
    )
    async with engine.database.reading() as session:
        demands = await get_by_ids(session, DemandRow, (entry.profile_id for entry in likely))
        requests = await demand_requests(session, list(demands.values()), engine.standings, top_k=1)
    only_this = frozenset({profile.id})
    lists = await rank_many(
        engine, [replace(r, filters=replace(r.filters, candidates=only_this)) for r in requests], view
    )
    scored: list[tuple[DemandRow, RankedProfile, dict[str, Any] | None]] = []
    for demand, listed in zip(demands.values(), lists, strict=True):
        if isinstance(listed, Exception):
            raise listed
        scored += [(demand, entry.ranked, entry.explanation) for entry in listed if entry.ranked.score > 0]
    scored.sort(key=lambda found: (-found[1].score, found[0].id))
    return _demand_answer(view.snapshot, scored[:top_k], started)


def _index_answer(snapshot: Snapshot) -> IndexAnswer:
    return IndexAnswer(
        version=snapshot.version, as_of=snapshot.as_of, profiles=snapshot.n_profiles, pending_vectors=snapshot.n_pending
    )


def _demand_answer(
    snapshot: Snapshot, found: Sequence[tuple[DemandRow, RankedProfile, dict[str, Any] | None]], started: float
) -> DemandMatchAnswer:
    return DemandMatchAnswer(
        index=_index_answer(snapshot),
        took_ms=round((perf_counter() - started) * 1e3, 1),
        items=[
            DemandMatchItem(
                rank=rank_,
                demand=MatchedDemand.model_validate(demand),
                score=ranked.score,
                level=ranked.level,
                explanation=_explanation(explanation),
            )
            for rank_, (demand, ranked, explanation) in enumerate(found, start=1)
        ],
    )
