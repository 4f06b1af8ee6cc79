"""The engine: what ranking needs in a process, and one path through it for one list and for many."""

import asyncio
import gc
import logging
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import monotonic
from typing import Any

from anyio import CapacityLimiter, to_thread
from sqlalchemy.ext.asyncio import AsyncSession

from matching_service.foundation.errors import Text, Unavailable
from matching_service.index.contract import Document, Facts, Passage, Versions
from matching_service.index.filters import Filters
from matching_service.index.frequencies import Frequencies
from matching_service.index.snapshot import Snapshot
from matching_service.matching.documents import own_passage, work_passage
from matching_service.matching.indexing import DEMANDS, PROFILES, LiveIndex
from matching_service.matching.queries import ShownProfile, ShownWork, shown_texts
from matching_service.matching.schemas import explanation_body
from matching_service.matching.standings import Standings
from matching_service.matching.vectors import RecallingEncoder, VectorStore
from matching_service.matching.weights import WeightsStore
from matching_service.ranking.encoder import Encoder
from matching_service.ranking.explain import Explainer, PassageText
from matching_service.ranking.fusion import Weights
from matching_service.ranking.lexical import passage_terms
from matching_service.ranking.prepare import PreparedQuery, prepare
from matching_service.ranking.query import Query
from matching_service.ranking.ranker import RankedProfile, rank
from matching_service.ranking.semantic import query_texts
from matching_service.ranking.structured import Circumstances
from matching_service.store.database import Database
from matching_service.store.outbox import last_seqs
from matching_service.text.language import language_of
from matching_service.text.terms import default_analyzer

logger = logging.getLogger(__name__)
_POLL_S = 0.25
_RETRY_S = 5.0
_MIN_AS_OF_S = 5.0
"""How long an answer waits for the change that a client has asked to see."""
_WAIT_STEP_S = 0.02


@dataclass(frozen=True, slots=True)
class Engine:
    """What ranking needs in this process; made once, by the app or the command line."""

    database: Database
    encoder: Encoder
    vectors: VectorStore
    profiles: LiveIndex
    demands: LiveIndex
    weights: WeightsStore
    standings: Standings
    stability: float
    cpu: CapacityLimiter
    _wanted: asyncio.Event = field(default_factory=asyncio.Event)

    @classmethod
    def create(
        cls, database: Database, encoder: Encoder, *, snapshots: Path, weights: Path, stability: float
    ) -> "Engine":
        """An engine whose indexes still have to be opened; ``snapshots`` and ``weights`` are their folders."""
        vectors = VectorStore(database, encoder)
        return cls(
            database,
            encoder,
            vectors,
            LiveIndex(PROFILES, database, encoder, vectors, folder=snapshots / "profiles"),
            LiveIndex(DEMANDS, database, encoder, vectors, folder=snapshots / "demands"),
            WeightsStore(weights, encoder),
            Standings(),
            stability,
            CapacityLimiter(os.cpu_count() or 1),
        )

    async def open(self) -> None:
        """Load or build both indexes."""
        await self.profiles.open()
        await self.demands.open()

    async def complete(self) -> None:
        """Wait until both indexes know all changes and all vectors, making these here."""
        await self.profiles.complete()
        await self.demands.complete()

    async def save(self) -> None:
        """Write both snapshots as they are."""
        await self.profiles.save()
        await self.demands.save()

    async def refresh(self) -> None:
        """``complete``, with the frequencies of all terms counted anew."""
        await self.profiles.refresh()
        await self.demands.refresh()

    async def forget_unused_vectors(self) -> int:
        """Delete the stored vectors of texts that nobody has any more, and of other encoders; returns how many."""
        used = await self.profiles.vector_keys() | await self.demands.vector_keys()
        async with self.database.transaction() as session:
            return await self.vectors.forget_others(session, used)

    async def follow(self) -> None:
        """Keep both indexes in step beside the requests, for as long as the task lives; opens them first."""
        for index in (self.profiles, self.demands):
            while not index.is_open:
                try:
                    await index.open()
                except Exception:
                    logger.exception("index_not_opened")
                    await asyncio.sleep(_RETRY_S)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._settle())
                while True:
                    await self._follow_once()
        finally:
            self.profiles.stop_encoding()
            self.demands.stop_encoding()

    async def _settle(self) -> None:
        """Rank once, then leave what is here now alone: a full collection of garbage, which stops everything, need not
        look at it each time.
        """
        await to_thread.run_sync(_attempt, _warm_up, self.encoder)
        gc.collect()
        gc.freeze()

    async def _follow_once(self) -> None:
        try:
            has_more = [await index.follow() for index in (self.demands, self.profiles)]
        except Exception:
            logger.exception("index_not_followed")
            await asyncio.sleep(_RETRY_S)
            return
        self._wanted.clear()
        if not any(has_more):
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wanted.wait(), _POLL_S)

    async def view(self, *, newest: Mapping[str, int] | None = None, min_as_of: int | None = None) -> "View":
        """What every list of one answer is ranked with, up to the last commit; raises Unavailable while it loads.

        ``newest`` is what ``last_seqs`` has just said, where that is known. ``min_as_of`` waits, up to a limit, for
        that change, and for the vectors of what was changed; raises Unavailable when the change does not come.
        """
        if newest is None:
            async with self.database.reading() as session:
                newest = await last_seqs(session)
        if min_as_of is not None:
            newest = await self._wait_for(min_as_of, newest)
        profiles, demands = await self._caught_up(newest)
        return View(profiles, demands, self.weights.active())

    async def _wait_for(self, seq: int, newest: Mapping[str, int]) -> Mapping[str, int]:
        deadline = monotonic() + _MIN_AS_OF_S
        while True:
            is_there = max(newest.values(), default=0) >= seq
            if is_there:
                profiles, demands = await self._caught_up(newest)
                if not profiles.n_pending and not demands.n_pending:
                    return newest
            if monotonic() > deadline:
                if is_there:
                    return newest  # the answer says how many vectors are still to come
                message = Text(f"索引尚未包含第 {seq} 号变更。", f"The index does not include change {seq} yet.")
                raise Unavailable("index_behind", message)
            self._wanted.set()
            await asyncio.sleep(_WAIT_STEP_S)
            async with self.database.reading() as session:
                newest = await last_seqs(session)

    async def _caught_up(self, newest: Mapping[str, int]) -> tuple[Snapshot, Snapshot]:
        return (
            await self.profiles.catch_up_to(newest.get("profile", 0)),
            await self.demands.catch_up_to(newest.get("demand", 0)),
        )


@dataclass(frozen=True, slots=True)
class View:
    """Snapshots of the profiles and of the demands, and the weights in force: they stay as they are."""

    snapshot: Snapshot
    demands: Snapshot
    weights: Weights

    @property
    def frequencies_version(self) -> str:
        """Names the document frequencies of profiles and of demands, on which the rarity of every word rests."""
        return f"{self.snapshot.version}-{self.demands.version}"

    @property
    def asked(self) -> Frequencies:
        """How often terms occur in demands."""
        return self.demands.frequencies


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
    profile: ShownProfile
    explanation: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class _Ranking:
    request: RankRequest
    prepared: PreparedQuery
    ranked: Sequence[RankedProfile]


async def rank_many(
    engine: Engine, requests: Sequence[RankRequest], view: View, encoder: Encoder | None = None
) -> list[list[Listed] | Exception]:
    """A list per request, in order; a request that fails gives its exception and harms no other.

    encoder : what ``recalling`` said of the questions, where it was asked before.
    Vectors of the questions and texts for all explanations are read in three queries, whatever the number of requests.
    No connection is held while the processor works, and the texts are read after the snapshot was taken, so they know
    all that it knows.
    """
    known = encoder or await _recalling(engine, [request.query for request in requests])

    def rank_all() -> list[_Ranking | Exception]:
        return [_attempt(_rank_one, request, view, known) for request in requests]

    rankings = await to_thread.run_sync(rank_all, limiter=engine.cpu)
    done = [ranking for ranking in rankings if isinstance(ranking, _Ranking)]
    profile_ids = {ranked.profile_id for ranking in done for ranked in ranking.ranked}
    explained = [ranked for ranking in done if ranking.request.explain for ranked in ranking.ranked]
    work_ids = {work_id for ranked in explained for work_id in ranked.work_ids if work_id}
    async with engine.database.reading() as session:
        profiles, works = await shown_texts(session, profile_ids, work_ids)

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
    encoder = await _recalling(engine, [query])

    def run() -> list[RankedProfile]:
        return rank(prepare(query, encoder), snapshot, top_k=top_k, filters=filters)

    return await to_thread.run_sync(run, limiter=engine.cpu)


async def _recalling(engine: Engine, queries: Sequence[Query]) -> Encoder:
    async with engine.database.reading() as session:
        return await recalling(engine, session, queries)


async def recalling(engine: Engine, session: AsyncSession, queries: Sequence[Query]) -> Encoder:
    """The encoder, with what is known of these questions."""
    texts = [text for query in queries for text in query_texts(query.topical(), language_of(query.text))]
    return RecallingEncoder(engine.encoder, await engine.vectors.remembered(session, texts))


def _warm_up(encoder: Encoder) -> None:
    """Rank once, for which dictionaries and model are read and inner loops compiled: the first answer would wait."""
    text = "预热 warm-up"
    (vector,) = encoder.encode([text], ["zh"])
    document = Document("", Facts(""), (Passage(None, passage_terms([text], default_analyzer()), vector),))
    snapshot = Snapshot.build([document], Versions("", encoder.version, encoder.n_dimensions))
    rank(prepare(Query(text, must_have=(text,)), encoder), snapshot, top_k=1)


def _attempt(function: Any, *arguments: Any) -> Any:
    """The function's result, or the exception as a value, logged with its traceback: one bad demand stops no batch."""
    try:
        return function(*arguments)
    except Exception as error:
        logger.exception("ranking_failed")
        return error


def _rank_one(request: RankRequest, view: View, encoder: Encoder) -> _Ranking:
    prepared = prepare(request.query, encoder, demand_frequencies=view.asked)

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
    ranking: _Ranking, profiles: Mapping[str, ShownProfile], works: Mapping[str, ShownWork], snapshot: Snapshot
) -> list[Listed]:
    """Leave out what was deleted since the snapshot; explain the rest."""
    listed: list[Listed] = []
    explainer = Explainer(ranking.prepared, snapshot.frequencies)
    for ranked in ranking.ranked:
        profile = profiles.get(ranked.profile_id)
        if profile is None:
            continue
        explanation = None
        if ranking.request.explain:
            texts = _passage_texts(ranked, profile, works)
            found = explainer.explain(ranked, texts)
            explanation = explanation_body(ranked, found)
        listed.append(Listed(ranked, profile, explanation))
    return listed


def _passage_texts(ranked: RankedProfile, profile: ShownProfile, works: Mapping[str, ShownWork]) -> list[PassageText]:
    texts: list[PassageText] = []
    for work_id in ranked.work_ids:
        if work_id is None:
            texts.append(own_passage(profile))
        elif (work := works.get(work_id)) is not None:
            texts.append(work_passage(work))
    return texts
