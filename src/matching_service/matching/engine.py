"""The engine: what ranking needs in a process, and one path through it for one list and for many."""

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from anyio import CapacityLimiter, to_thread

from matching_service.index.snapshot import Snapshot
from matching_service.index.sparse import SparseIndex
from matching_service.matching.documents import own_passage, work_passage
from matching_service.matching.indexing import LiveIndex, demand_index, profile_index
from matching_service.matching.schemas import explanation_body
from matching_service.matching.weights import WeightsStore
from matching_service.ranking.encoder import Encoder
from matching_service.ranking.explain import Explainer, PassageText
from matching_service.ranking.fusion import Weights
from matching_service.ranking.prepare import PreparedQuery, prepare
from matching_service.ranking.query import Query
from matching_service.ranking.ranker import Filters, RankedProfile, rank
from matching_service.ranking.structured import Circumstances
from matching_service.store.database import Database
from matching_service.store.lookup import get_by_ids
from matching_service.store.profiles import ProfileRow, WorkRow

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Engine:
    """What ranking needs in this process; made once, by the app or the command line."""

    database: Database
    encoder: Encoder
    profiles: LiveIndex
    demands: LiveIndex
    weights: WeightsStore
    stability: float
    cpu: CapacityLimiter

    @classmethod
    def create(
        cls, database: Database, encoder: Encoder, *, snapshots: Path, weights: Path, stability: float
    ) -> "Engine":
        """An engine whose indexes still have to be opened; ``snapshots`` and ``weights`` are their folders."""
        return cls(
            database,
            encoder,
            profile_index(database, encoder, snapshots),
            demand_index(database, encoder, snapshots),
            WeightsStore(weights, encoder),
            stability,
            CapacityLimiter(os.cpu_count() or 1),
        )

    async def open(self) -> None:
        """Load or build both indexes."""
        await self.profiles.open()
        await self.demands.open()

    async def view(self) -> "View":
        """What every list of one answer is ranked with, up to the last commit; raises Unavailable while it loads."""
        return View(await self.profiles.catch_up(), (await self.demands.catch_up()).sparse, self.weights.active())


@dataclass(frozen=True, slots=True)
class View:
    """A snapshot of the profiles, the words of all demands, and the weights in force: they stay as they are."""

    snapshot: Snapshot
    asked: SparseIndex
    weights: Weights


@dataclass(frozen=True, slots=True)
class RankRequest:
    """One question to the ranker. ``pinned`` profiles are listed even below ``top_k``; ``weights`` of its own come
    before those in force.
    """

    query: Query
    filters: Filters
    top_k: int
    circumstances: Circumstances
    weights: Weights | None = None
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


async def rank_many(engine: Engine, requests: Sequence[RankRequest], view: View) -> list[list[Listed] | Exception]:
    """A list per request, in order; a request that fails gives its exception and harms no other.

    Texts for all explanations are read in two queries, whatever the number of requests. No connection is held while
    the processor works, and the texts are read after the snapshot was taken, so they know all that it knows.
    """

    def rank_all() -> list[_Ranking | Exception]:
        return [_attempt(_rank_one, request, view, engine.encoder) for request in requests]

    rankings = await to_thread.run_sync(rank_all, limiter=engine.cpu)
    shown = [ranked for ranking in rankings if isinstance(ranking, _Ranking) for ranked in ranking.ranked]
    async with engine.database.reading() as session:
        profiles = await get_by_ids(session, ProfileRow, (ranked.profile_id for ranked in shown))
        works = await get_by_ids(session, WorkRow, (w for ranked in shown for w in ranked.work_ids if w))

    def explain_all() -> list[list[Listed] | Exception]:
        return [
            ranking if isinstance(ranking, Exception) else _attempt(_list_one, ranking, profiles, works, view.snapshot)
            for ranking in rankings
        ]

    return await to_thread.run_sync(explain_all, limiter=engine.cpu)


async def rank_demands(
    engine: Engine, query: Query, snapshot: Snapshot, filters: Filters, top_k: int
) -> list[RankedProfile]:
    """Demands that are like a text; their index holds them in the place of profiles."""

    def run() -> list[RankedProfile]:
        return rank(prepare(query, engine.encoder), snapshot, top_k=top_k, filters=filters)

    return await to_thread.run_sync(run, limiter=engine.cpu)


def _attempt(function: Any, *arguments: Any) -> Any:
    """The function's result, or the exception as a value, logged with its traceback: one bad demand stops no batch."""
    try:
        return function(*arguments)
    except Exception as error:
        logger.exception("ranking_failed")
        return error


def _rank_one(request: RankRequest, view: View, encoder: Encoder) -> _Ranking:
    prepared = prepare(request.query, encoder, asked=view.asked)

    def ranked(top_k: int, filters: Filters) -> list[RankedProfile]:
        return rank(
            prepared,
            view.snapshot,
            top_k=top_k,
            filters=filters,
            weights=request.weights or view.weights,
            circumstances=request.circumstances,
        )

    found = ranked(request.top_k, request.filters)
    missing = request.pinned - {entry.profile_id for entry in found}
    if request.filters.candidates is not None:
        missing &= request.filters.candidates
    if missing:
        found += ranked(len(missing), replace(request.filters, candidates=missing))  # a pin overrides no exclusion
    return _Ranking(request, prepared, found)


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
                    "missing_nice_to_have": list(ranked.missing_nice_to_have),
                    "reason": found.reason,
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
