"""Ranking for people: from a request to explained, stored or returned lists. The same path for one and for many."""

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from time import perf_counter
from types import MappingProxyType
from typing import Any

from anyio import CapacityLimiter, to_thread
from sqlalchemy.ext.asyncio import AsyncSession

from matching_service.demands.queries import get_demand
from matching_service.foundation.clock import now
from matching_service.foundation.errors import FieldError, InvalidInput, Text
from matching_service.foundation.metrics import MATCH_SECONDS
from matching_service.index.snapshot import Snapshot
from matching_service.matching import queries
from matching_service.matching.documents import demand_query, own_passage, profile_query, work_passage
from matching_service.matching.indexing import LiveIndex
from matching_service.matching.schemas import (
    DemandMatchAnswer,
    DemandMatchItem,
    ExplanationAnswer,
    IndexAnswer,
    MatchAnswer,
    MatchBody,
    MatchedDemand,
    MatchedProfile,
    MatchItem,
    explanation_body,
)
from matching_service.profiles.queries import get_profile
from matching_service.ranking.encoder import Encoder
from matching_service.ranking.explain import Explainer, PassageText
from matching_service.ranking.fusion import DEFAULT_WEIGHTS, Weights
from matching_service.ranking.prepare import PreparedQuery, prepare
from matching_service.ranking.query import Query
from matching_service.ranking.ranker import Filters, RankedProfile, rank
from matching_service.store.database import Database
from matching_service.store.demands import DemandRow
from matching_service.store.lookup import get_by_ids
from matching_service.store.matching import DecisionRow, MatchListRow, MatchRow, MatchRunRow
from matching_service.store.profiles import ProfileRow, WorkRow
from matching_service.text.lexicon import default_lexicon

logger = logging.getLogger(__name__)
_N_REVERSE_CANDIDATES = 100
"""Demands that are scored exactly for a profile, after a first pass that only looks for likely ones."""


@dataclass(frozen=True, slots=True)
class Engine:
    """What ranking needs in this process; made once, by app.py or cli.py."""

    database: Database
    encoder: Encoder
    profiles: LiveIndex
    demands: LiveIndex
    cpu: CapacityLimiter

    @classmethod
    def create(cls, database: Database, encoder: Encoder, profiles: LiveIndex, demands: LiveIndex) -> "Engine":
        return cls(database, encoder, profiles, demands, CapacityLimiter(os.cpu_count() or 1))


@dataclass(frozen=True, slots=True)
class RankRequest:
    """One question to the ranker. ``pinned`` profiles are listed even below ``top_k``."""

    query: Query
    filters: Filters
    top_k: int
    weights: Weights = DEFAULT_WEIGHTS
    explain: bool = True
    pinned: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Listed:
    """A ranked profile with what an answer says of it; ``explanation`` is plain JSON."""

    ranked: RankedProfile
    profile: ProfileRow
    explanation: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class _Ranking:
    request: RankRequest
    prepared: PreparedQuery
    ranked: Sequence[RankedProfile]


async def rank_many(
    engine: Engine, requests: Sequence[RankRequest], snapshot: Snapshot
) -> list[list[Listed] | Exception]:
    """A list per request, in order; a request that fails gives its exception and harms no other.

    Texts for all explanations are read in two queries, whatever the number of requests. No connection is held while
    the processor works, and the texts are read after the snapshot was taken, so they know all that it knows.
    """

    def rank_all() -> list[_Ranking | Exception]:
        return [_attempt(_rank_one, request, snapshot, engine.encoder) for request in requests]

    rankings = await to_thread.run_sync(rank_all, limiter=engine.cpu)
    shown = [ranked for ranking in rankings if isinstance(ranking, _Ranking) for ranked in ranking.ranked]
    async with engine.database.reading() as session:
        profiles = await get_by_ids(session, ProfileRow, (ranked.profile_id for ranked in shown))
        works = await get_by_ids(session, WorkRow, (w for ranked in shown for w in ranked.work_ids if w))

    def explain_all() -> list[list[Listed] | Exception]:
        return [
            ranking if isinstance(ranking, Exception) else _attempt(_list_one, ranking, profiles, works, snapshot)
            for ranking in rankings
        ]

    return await to_thread.run_sync(explain_all, limiter=engine.cpu)


async def match(engine: Engine, write: AsyncSession, body: MatchBody) -> MatchAnswer:
    """Answer one request; ``write`` is touched only when the list is to be stored."""
    started = perf_counter()
    demand: DemandRow | None = None
    decisions: Mapping[str, DecisionRow] = {}
    if body.demand_id is not None:
        async with engine.database.reading() as session:
            demand = await get_demand(session, body.demand_id)
            decisions = (await queries.get_decisions(session, [demand.id]))[demand.id]
    if body.store and demand is None:
        message = Text(
            "只有针对已存需求的匹配才能保存；请改用 demand_id。",
            "Only a stored demand's list can be kept; use demand_id.",
        )
        raise InvalidInput("store_needs_demand", message, errors=[FieldError("store_needs_demand", message, "/store")])
    question = demand if demand is not None else body.query
    assert question is not None  # noqa: S101  # MatchBody allows exactly one of the two
    rejected = frozenset(i for i, d in decisions.items() if d.decision == "rejected") if body.store else frozenset()
    request = RankRequest(
        query=demand_query(question),
        filters=Filters(
            kinds=frozenset(body.kinds),
            region_prefixes=tuple(body.regions),
            clusters=frozenset(body.clusters),
            candidates=frozenset(body.candidates) if body.candidates is not None else None,
            exclude=frozenset(body.exclude) | rejected,
            excluded_organization_id=demand.organization_id if demand is not None else None,
        ),
        top_k=len(body.candidates) if body.candidates else body.top_k,
        weights=_weights(body),
        explain=body.explain,
        pinned=frozenset(i for i, d in decisions.items() if d.decision == "pinned") if body.store else frozenset(),
    )
    snapshot = await engine.profiles.catch_up()
    listed = (await rank_many(engine, [request], snapshot))[0]
    if isinstance(listed, Exception):
        raise listed
    took_ms = (perf_counter() - started) * 1e3
    MATCH_SECONDS.observe(took_ms / 1e3)
    run_id, match_ids = None, dict[str, str]()
    if body.store and demand is not None:
        run = new_run(engine, snapshot, scope="demand", top_k=body.top_k, n_demands=1, weights=request.weights)
        run.state, run.n_done, run.finished_at = "finished", 1, now()
        write.add(run)
        await write.flush()
        previous = await queries.latest_list_ids(write, [demand.id])
        match_ids = await store_list(write, run, demand.id, listed, previous.get(demand.id), took_ms=took_ms)
        run_id = run.id
    return MatchAnswer(
        run_id=run_id,
        index=_index_answer(snapshot),
        weights_version=request.weights.version,
        took_ms=round(took_ms, 1),
        items=[
            MatchItem(
                rank=rank_,
                profile=MatchedProfile.model_validate(entry.profile),
                score=entry.ranked.score,
                level=entry.ranked.level,
                explanation=_explanation(entry.explanation),
                match_id=match_ids.get(entry.profile.id),
                decision=_decision(decisions.get(entry.profile.id)),
            )
            for rank_, entry in enumerate(listed, start=1)
        ],
    )


async def latest_matches(session: AsyncSession, demand_id: str) -> MatchAnswer:
    """The list that people see for a demand; raises NotFound."""
    await get_demand(session, demand_id)
    match_list, run = await queries.get_latest_list(session, demand_id)
    matches = (await queries.get_matches(session, [match_list.id]))[match_list.id]
    profiles = await get_by_ids(session, ProfileRow, (match.profile_id for match in matches))
    decisions = (await queries.get_decisions(session, [demand_id]))[demand_id]
    return MatchAnswer(
        run_id=run.id,
        index=IndexAnswer(version=run.index_version, as_of=run.index_as_of, profiles=run.index_profiles),
        weights_version=run.weights_version,
        took_ms=match_list.took_ms,
        items=[
            MatchItem(
                rank=match.rank,
                profile=MatchedProfile.model_validate(profile),
                score=match.score,
                level=match.level,  # type: ignore[arg-type]  # written by store_list
                explanation=_explanation(match.explanation),
                match_id=match.id,
                decision=_decision(decisions.get(match.profile_id)),
            )
            for match in matches
            if (profile := profiles.get(match.profile_id)) is not None  # deleted since the list was read
            and profile.visibility != "hidden"  # hidden since the list was stored
        ],
    )


async def similar_demands(engine: Engine, demand_id: str, *, top_k: int) -> DemandMatchAnswer:
    """Other demands like this one, in any state."""
    started = perf_counter()
    async with engine.database.reading() as session:
        demand = await get_demand(session, demand_id)
    snapshot = await engine.demands.catch_up()
    filters = Filters(exclude=frozenset({demand.id}))
    ranked = await _rank_only(engine, demand_query(demand), snapshot, filters, top_k)
    async with engine.database.reading() as session:
        rows = await get_by_ids(session, DemandRow, (entry.profile_id for entry in ranked))
    items = [(rows[entry.profile_id], entry, None) for entry in ranked if entry.profile_id in rows]
    return _demand_answer(snapshot, items, started)


async def demands_for_profile(engine: Engine, profile_id: str, *, top_k: int) -> DemandMatchAnswer:
    """Open demands that the profile might answer, with the very score that the demand's own list would show.

    Likely demands are found by the profile's text; each is then ranked against this one profile.
    """
    started = perf_counter()
    async with engine.database.reading() as session:
        profile = await get_profile(session, profile_id)
    demand_snapshot = await engine.demands.catch_up()
    own = profile.organization_id
    filters = Filters(kinds=frozenset({"published"}), excluded_organization_id=own)
    likely = await _rank_only(
        engine, profile_query(profile), demand_snapshot, filters, max(_N_REVERSE_CANDIDATES, top_k)
    )
    async with engine.database.reading() as session:
        demands = await get_by_ids(session, DemandRow, (entry.profile_id for entry in likely))
    snapshot = await engine.profiles.catch_up()
    only_this = Filters(candidates=frozenset({profile.id}))
    requests = [RankRequest(demand_query(demand), only_this, top_k=1) for demand in demands.values()]
    lists = await rank_many(engine, requests, snapshot)
    scored: list[tuple[DemandRow, RankedProfile, dict[str, Any] | None]] = []
    for demand, listed in zip(demands.values(), lists, strict=True):
        if isinstance(listed, Exception):
            raise listed
        scored += [(demand, entry.ranked, entry.explanation) for entry in listed if entry.ranked.score > 0]
    scored.sort(key=lambda found: (-found[1].score, found[0].id))
    return _demand_answer(snapshot, scored[:top_k], started)


def new_run(
    engine: Engine, snapshot: Snapshot, *, scope: str, top_k: int, n_demands: int, weights: Weights = DEFAULT_WEIGHTS
) -> MatchRunRow:
    """A run that names everything its lists depend on."""
    return MatchRunRow(
        scope=scope,
        state="running",
        created_at=now(),
        n_demands=n_demands,
        n_done=0,
        n_failed=0,
        top_k=top_k,
        index_version=snapshot.version,
        index_as_of=snapshot.as_of,
        index_profiles=len(snapshot.profile_ids),
        lexicon_version=default_lexicon().version,
        encoder_version=engine.encoder.version,
        weights_version=weights.version,
    )


async def store_list(
    session: AsyncSession,
    run: MatchRunRow,
    demand_id: str,
    outcome: Sequence[Listed] | Exception,
    previous_list_id: str | None,
    *,
    took_ms: float | None = None,
) -> dict[str, str]:
    """Write one demand's list, or the error that prevented it; returns the match ids by profile id."""
    failed = isinstance(outcome, Exception)
    match_list = MatchListRow(
        run_id=run.id,
        demand_id=demand_id,
        state="failed" if failed else "done",
        error=f"{type(outcome).__name__}: {outcome}" if failed else None,
        previous_list_id=previous_list_id,
        took_ms=took_ms,
    )
    session.add(match_list)
    await session.flush()
    if isinstance(outcome, Exception):
        return {}
    matches = [
        MatchRow(
            list_id=match_list.id,
            profile_id=entry.profile.id,
            rank=rank_,
            score=entry.ranked.score,
            level=entry.ranked.level,
            explanation=entry.explanation or {},
        )
        for rank_, entry in enumerate(outcome, start=1)
    ]
    session.add_all(matches)
    await session.flush()
    return {match.profile_id: match.id for match in matches}


def demand_request(demand: DemandRow, decisions: Mapping[str, DecisionRow], *, top_k: int) -> RankRequest:
    """How a demand is ranked when its list is stored: what people decided before holds."""
    return RankRequest(
        query=demand_query(demand),
        filters=Filters(
            exclude=frozenset(i for i, d in decisions.items() if d.decision == "rejected"),
            excluded_organization_id=demand.organization_id,
        ),
        top_k=top_k,
        pinned=frozenset(i for i, d in decisions.items() if d.decision == "pinned"),
    )


def _attempt(function: Any, *arguments: Any) -> Any:
    """The function's result, or the exception as a value, logged with its traceback: one bad demand stops no batch."""
    try:
        return function(*arguments)
    except Exception as error:
        logger.exception("ranking_failed")
        return error


def _rank_one(request: RankRequest, snapshot: Snapshot, encoder: Encoder) -> _Ranking:
    prepared = prepare(request.query, encoder)
    ranked = rank(prepared, snapshot, top_k=request.top_k, filters=request.filters, weights=request.weights)
    missing = request.pinned - {entry.profile_id for entry in ranked}
    if request.filters.candidates is not None:
        missing &= request.filters.candidates
    if missing:
        only_pinned = replace(request.filters, candidates=missing)  # a pin overrides no exclusion
        ranked += rank(prepared, snapshot, top_k=len(missing), filters=only_pinned, weights=request.weights)
    return _Ranking(request, prepared, ranked)


def _list_one(
    ranking: _Ranking, profiles: Mapping[str, ProfileRow], works: Mapping[str, WorkRow], snapshot: Snapshot
) -> list[Listed]:
    """Leave out what was deleted since the snapshot; explain the rest."""
    listed: list[Listed] = []
    explainer = Explainer(ranking.prepared, snapshot.sparse)
    for ranked in ranking.ranked:
        profile = profiles.get(ranked.profile_id)
        if profile is None:
            continue
        explanation = None
        if ranking.request.explain:
            texts = _passage_texts(ranked, profile, works)
            found = explainer.explain(ranked, texts)
            explanation = explanation_body(
                {
                    "parts": ranked.parts,
                    "terms": found.terms,
                    "evidence": found.evidence,
                    "missing_must_have": list(ranked.missing_must_have),
                    "reason": found.reason._asdict(),
                }
            )
        listed.append(Listed(ranked, profile, explanation))
    return listed


def _passage_texts(ranked: RankedProfile, profile: ProfileRow, works: Mapping[str, WorkRow]) -> list[PassageText]:
    texts: list[PassageText] = []
    for work_id in ranked.work_ids:
        if work_id is None:
            texts.append(own_passage(profile))
        elif (work := works.get(work_id)) is not None:
            texts.append(work_passage(work))
    return texts


async def _rank_only(
    engine: Engine, query: Query, snapshot: Snapshot, filters: Filters, top_k: int
) -> list[RankedProfile]:
    def run() -> list[RankedProfile]:
        return rank(prepare(query, engine.encoder), snapshot, top_k=top_k, filters=filters)

    return await to_thread.run_sync(run, limiter=engine.cpu)


def _weights(body: MatchBody) -> Weights:
    if body.weights is None:
        return DEFAULT_WEIGHTS
    values = dict(DEFAULT_WEIGHTS.values) | {str(signal): weight for signal, weight in body.weights.items()}
    if not any(values.values()):
        message = Text("weights 不能全为 0。", "weights must not all be 0.")
        raise InvalidInput("weights_all_zero", message, errors=[FieldError("weights_all_zero", message, "/weights")])
    return Weights("custom", MappingProxyType(values))


def _index_answer(snapshot: Snapshot) -> IndexAnswer:
    return IndexAnswer(version=snapshot.version, as_of=snapshot.as_of, profiles=len(snapshot.profile_ids))


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


def _explanation(stored: dict[str, Any] | None) -> ExplanationAnswer | None:
    return ExplanationAnswer.model_validate(stored) if stored else None


def _decision(row: DecisionRow | None) -> Any:
    return row.decision if row is not None else None
