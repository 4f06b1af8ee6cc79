"""Rank questions on the snapshots of a view, and explain the results. Single lists and batches take the same path."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

from anyio import to_thread
from sqlalchemy.ext.asyncio import AsyncSession

from matching_service.index.contract import Index
from matching_service.index.filters import Filters
from matching_service.live_index.documents import own_passage, work_passage
from matching_service.live_index.texts import ShownProfile, ShownWork, shown_texts
from matching_service.live_index.vectors import RecallingEncoder
from matching_service.matching.engine import Engine, View
from matching_service.ranking.encoder import Encoder
from matching_service.ranking.explain import Explainer, PassageText
from matching_service.ranking.fusion import Weights
from matching_service.ranking.prepare import PreparedQuery, prepare
from matching_service.ranking.query import Query
from matching_service.ranking.ranker import RankedProfile, rank
from matching_service.ranking.semantic import query_texts
from matching_service.ranking.structured import Circumstances
from matching_service.shortlists.lists import ListEntry
from matching_service.text.language import language_of

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Question:
    """One question to the ranker.

    weights : weights for this question; None: the active weights.
    per_kind : how many of each kind the list may contain, in place of ``top_k``.
    with_none : whether the list contains profiles of level none. Named candidates are listed with any level.
    pinned : ids of profiles that the list contains even if they rank below ``top_k``.
    """

    query: Query
    filters: Filters
    top_k: int
    circumstances: Circumstances
    per_kind: Mapping[str, int] | None = None
    with_none: bool = False
    weights: Weights | None = None
    explain: bool = True
    pinned: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class _Ranking:
    question: Question
    prepared: PreparedQuery
    ranked: Sequence[RankedProfile]


async def rank_many(
    engine: Engine, questions: Sequence[Question], view: View, encoder: Encoder | None = None
) -> list[list[ListEntry] | Exception]:
    """Return the list of each question, in order. A question that fails yields its exception; the others go on.

    encoder : the result of ``with_stored_vectors`` for these questions, if the caller already has it.
    Three queries read the vectors of all questions and the texts for all explanations. No database connection is held
    during computation. The texts are read after the view was taken, so they are at least as new as its snapshot.
    """
    query_encoder = encoder or await _read_stored_vectors(engine, [question.query for question in questions])

    def rank_all() -> list[_Ranking | Exception]:
        return [_attempt(_rank_one, question, view, query_encoder) for question in questions]

    rankings = await to_thread.run_sync(rank_all, limiter=engine.cpu)
    done = [ranking for ranking in rankings if isinstance(ranking, _Ranking)]
    profile_ids = {ranked.profile_id for ranking in done for ranked in ranking.ranked}
    explained = [ranked for ranking in done if ranking.question.explain for ranked in ranking.ranked]
    work_ids = {work_id for ranked in explained for work_id in ranked.quoted_work_ids if work_id}
    async with engine.database.reading() as session:
        profiles, works = await shown_texts(session, profile_ids, work_ids)

    def explain_all() -> list[list[ListEntry] | Exception]:
        return [
            ranking if isinstance(ranking, Exception) else _attempt(_entries, ranking, profiles, works, view.snapshot)
            for ranking in rankings
        ]

    return await to_thread.run_sync(explain_all, limiter=engine.cpu)


async def rank_demands(
    engine: Engine, query: Query, snapshot: Index, filters: Filters, top_k: int
) -> list[RankedProfile]:
    """Rank demands by similarity to a text. In their snapshot, demands take the place of profiles."""
    encoder = await _read_stored_vectors(engine, [query])

    def run() -> list[RankedProfile]:
        return rank(prepare(query, encoder), snapshot, top_k=top_k, filters=filters)

    return await to_thread.run_sync(run, limiter=engine.cpu)


async def _read_stored_vectors(engine: Engine, queries: Sequence[Query]) -> Encoder:
    async with engine.database.reading() as session:
        return await with_stored_vectors(engine, session, queries)


async def with_stored_vectors(engine: Engine, session: AsyncSession, queries: Sequence[Query]) -> Encoder:
    """Return an encoder that uses the stored vectors of these queries and encodes only other texts."""
    texts = [text for query in queries for text in query_texts(query.topical(), language_of(query.text))]
    return RecallingEncoder(engine.encoder, await engine.vectors.remembered(session, texts))


def _attempt(function: Any, *arguments: Any) -> Any:
    """Call the function. Log an exception and return it as a value, so that one bad demand does not stop a batch."""
    try:
        return function(*arguments)
    except Exception as error:
        logger.exception("ranking_failed")
        return error


def _rank_one(question: Question, view: View, encoder: Encoder) -> _Ranking:
    prepared = prepare(question.query, encoder, demand_frequencies=view.demand_frequencies)

    def ranked(top_k: int, filters: Filters) -> list[RankedProfile]:
        return rank(
            prepared,
            view.snapshot,
            top_k=top_k,
            filters=filters,
            weights=question.weights or view.weights,
            circumstances=question.circumstances,
            with_none=question.with_none or filters.candidates is not None,
        )

    if question.per_kind is None:
        best = ranked(question.top_k, question.filters)
    else:
        of_kinds = (
            ranked(n, replace(question.filters, kinds=frozenset({kind}))) for kind, n in question.per_kind.items()
        )
        best = sorted(chain.from_iterable(of_kinds), key=lambda entry: (entry.lacks, -entry.score, entry.profile_id))
    missing = question.pinned - {entry.profile_id for entry in best}
    if question.filters.candidates is not None:
        missing &= question.filters.candidates
    if missing:
        best += ranked(len(missing), replace(question.filters, candidates=missing))  # the rules still apply to pins
    return _Ranking(question, prepared, best)


def _entries(
    ranking: _Ranking, profiles: Mapping[str, ShownProfile], works: Mapping[str, ShownWork], snapshot: Index
) -> list[ListEntry]:
    """Make the entries of a list. Profiles that were deleted since the snapshot are left out."""
    entries: list[ListEntry] = []
    explainer = Explainer(ranking.prepared, snapshot.frequencies)
    for ranked in ranking.ranked:
        profile = profiles.get(ranked.profile_id)
        if profile is None:
            continue
        explanation = None
        if ranking.question.explain:
            texts = _passage_texts(ranked, profile, works)
            explanation = explainer.explain(ranked, texts)
        entries.append(ListEntry(ranked, profile, explanation))
    return entries


def _passage_texts(ranked: RankedProfile, profile: ShownProfile, works: Mapping[str, ShownWork]) -> list[PassageText]:
    texts: list[PassageText] = []
    for work_id in ranked.quoted_work_ids:
        if work_id is None:
            texts.append(own_passage(profile))
        elif (work := works.get(work_id)) is not None:
            texts.append(work_passage(work))
    return texts
