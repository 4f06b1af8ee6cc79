"""One path through the ranker for one list and for many."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from anyio import to_thread
from sqlalchemy.ext.asyncio import AsyncSession

from matching_service.index.filters import Filters
from matching_service.index.snapshot import Snapshot
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
    """One question to the ranker. ``pinned`` profiles are listed even below ``top_k``; its own ``weights`` take
    precedence over those in force.
    """

    query: Query
    filters: Filters
    top_k: int
    circumstances: Circumstances
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
    """A list per question, in order; a question that fails gives its exception and harms no other.

    encoder : what ``recalling`` returned for these questions, where it was called before.
    Vectors of the questions and texts for all explanations are read in three queries, whatever the number of questions.
    No connection is held while the processor works, and the texts are read after the snapshot was taken, so they know
    all that it knows.
    """
    known = encoder or await _recalling(engine, [question.query for question in questions])

    def rank_all() -> list[_Ranking | Exception]:
        return [_attempt(_rank_one, question, view, known) for question in questions]

    rankings = await to_thread.run_sync(rank_all, limiter=engine.cpu)
    done = [ranking for ranking in rankings if isinstance(ranking, _Ranking)]
    profile_ids = {ranked.profile_id for ranking in done for ranked in ranking.ranked}
    explained = [ranked for ranking in done if ranking.question.explain for ranked in ranking.ranked]
    work_ids = {work_id for ranked in explained for work_id in ranked.work_ids if work_id}
    async with engine.database.reading() as session:
        profiles, works = await shown_texts(session, profile_ids, work_ids)

    def explain_all() -> list[list[ListEntry] | Exception]:
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


def _attempt(function: Any, *arguments: Any) -> Any:
    """The function's result, or the exception as a value, logged with its traceback: one bad demand stops no batch."""
    try:
        return function(*arguments)
    except Exception as error:
        logger.exception("ranking_failed")
        return error


def _rank_one(question: Question, view: View, encoder: Encoder) -> _Ranking:
    prepared = prepare(question.query, encoder, asked=view.asked)

    def ranked(top_k: int, filters: Filters) -> list[RankedProfile]:
        return rank(
            prepared,
            view.snapshot,
            top_k=top_k,
            filters=filters,
            weights=question.weights or view.weights,
            circumstances=question.circumstances,
        )

    best = ranked(question.top_k, question.filters)
    missing = question.pinned - {entry.profile_id for entry in best}
    if question.filters.candidates is not None:
        missing &= question.filters.candidates
    if missing:
        best += ranked(len(missing), replace(question.filters, candidates=missing))  # a pin overrides no rule
    return _Ranking(question, prepared, best)


def _list_one(
    ranking: _Ranking, profiles: Mapping[str, ShownProfile], works: Mapping[str, ShownWork], snapshot: Snapshot
) -> list[ListEntry]:
    """Leave out what was deleted since the snapshot; explain the rest."""
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
    for work_id in ranked.work_ids:
        if work_id is None:
            texts.append(own_passage(profile))
        elif (work := works.get(work_id)) is not None:
            texts.append(work_passage(work))
    return texts
