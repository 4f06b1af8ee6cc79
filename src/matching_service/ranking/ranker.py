"""Ranking: a prepared query against a snapshot. The API, the command line and the night run all call ``rank``."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from matching_service.index.contract import BoolArray, FloatArray, IntArray
from matching_service.index.snapshot import Snapshot
from matching_service.index.sparse import TermWeights
from matching_service.ranking.calibrate import Level, level_of
from matching_service.ranking.fusion import DEFAULT_WEIGHTS, SIGNALS, Weights, contributions, known_weights
from matching_service.ranking.lexical import lexical_value
from matching_service.ranking.prepare import PreparedQuery
from matching_service.ranking.semantic import semantic_value
from matching_service.text.segment import han_runs
from matching_service.text.terms import NGRAM_MARK, count_terms, find_terms, is_ngram

_N_CANDIDATES = 500
"""Passages taken from each index; many more than are shown, so that one strong signal is enough to be seen."""
_N_EVIDENCE = 3
_EVIDENCE_SHARE = 0.6
"""A further passage is evidence when it scores at least this share of the profile's best one."""


@dataclass(frozen=True, slots=True)
class Filters:
    """Which profiles may be ranked. Empty means no restriction; ``candidates`` ranks just these, all of them."""

    kinds: frozenset[str] = frozenset()
    region_prefixes: tuple[str, ...] = ()
    clusters: frozenset[str] = frozenset()
    candidates: frozenset[str] | None = None
    exclude: frozenset[str] = frozenset()
    excluded_organization_id: str | None = None


@dataclass(frozen=True, slots=True)
class Part:
    """One signal's share of a score: contribution = value * weight, up to float rounding."""

    signal: str
    value: float
    weight: float
    contribution: float


@dataclass(frozen=True, slots=True)
class RankedProfile:
    """``parts`` sum to ``score``. ``work_ids`` are the passages that earned it, best first; None is the profile's
    own text.
    """

    profile_id: str
    score: float
    level: Level
    parts: tuple[Part, ...]
    work_ids: tuple[str | None, ...]
    missing_must_have: tuple[str, ...]


def rank(
    prepared: PreparedQuery,
    snapshot: Snapshot,
    *,
    top_k: int,
    filters: Filters = Filters(),  # frozen, so it can be shared
    weights: Weights = DEFAULT_WEIGHTS,
) -> list[RankedProfile]:
    """The best ``top_k`` profiles, by falling score, equal scores by id.

    A profile is as good as its best passage, so that one perfect work beats fifty vague ones. Profiles
    with score 0 are left out unless ``filters.candidates`` names them.
    """
    if prepared.vector is None and not prepared.terms and filters.candidates is None:
        return []
    query = snapshot.sparse.weigh(prepared.terms)
    rows = _candidate_rows(query, prepared.vector, snapshot, filters, n_candidates=max(_N_CANDIDATES, 2 * top_k))
    if not len(rows):
        return []
    signals = _signals(query, prepared, snapshot, rows)
    used_weights = known_weights(signals, weights.as_array())
    shares = contributions(signals, weights.as_array())
    scores = shares.sum(axis=1)

    profile_rows = snapshot.profile_rows[rows]
    by_profile = np.lexsort((rows, -scores, profile_rows))  # best passage first within each profile
    firsts = np.flatnonzero(np.diff(profile_rows[by_profile], prepend=-1))
    best = by_profile[firsts]
    if filters.candidates is None:
        best = best[scores[best] > 0]
    best = best[np.lexsort((profile_rows[best], -scores[best]))][:top_k]
    ends = dict(
        zip(
            profile_rows[by_profile[firsts]],
            np.append(firsts[1:], len(by_profile)),
            strict=True,
        )
    )
    starts = dict(zip(profile_rows[by_profile[firsts]], firsts, strict=True))
    missing = _missing_must_haves(prepared, snapshot, profile_rows[best])

    ranked = []
    for position, i in enumerate(best):
        profile_row = profile_rows[i]
        passages = by_profile[starts[profile_row] : ends[profile_row]][:_N_EVIDENCE]
        parts = tuple(
            Part(signal, float(signals[i, s]), float(used_weights[i, s]), float(shares[i, s]))
            for s, signal in enumerate(SIGNALS)
            if not np.isnan(signals[i, s])
        )
        score = float(scores[i])
        ranked.append(
            RankedProfile(
                profile_id=snapshot.profile_ids[profile_row],
                score=score,
                level=level_of(score),
                parts=parts,
                work_ids=tuple(
                    snapshot.work_ids[rows[p]] for p in passages if scores[p] >= _EVIDENCE_SHARE * scores[i]
                ),
                missing_must_have=missing[position],
            )
        )
    return ranked


def _candidate_rows(
    query: TermWeights, vector: FloatArray | None, snapshot: Snapshot, filters: Filters, *, n_candidates: int
) -> IntArray:
    """Rows of the passages worth scoring, rising."""
    allowed_profiles = _allowed_profiles(snapshot, filters)
    allowed = None if allowed_profiles is None else allowed_profiles[snapshot.profile_rows]
    if filters.candidates is not None and allowed is not None:
        return np.flatnonzero(allowed)
    found = [_deep_enough(lambda k: snapshot.sparse.search(query, k=k, allowed=allowed).rows, snapshot, n_candidates)]
    if vector is not None:
        found.append(
            _deep_enough(lambda k: snapshot.dense.search(vector, k=k, allowed=allowed).rows, snapshot, n_candidates)
        )
    return np.unique(np.concatenate(found))


def _deep_enough(search: Callable[[int], IntArray], snapshot: Snapshot, n_profiles: int) -> IntArray:
    """Rows of the best passages, of as many different profiles as asked for where there are so many.

    Without this, a few profiles with hundreds of works each would take all places.
    """
    k = n_profiles
    while True:
        rows = search(k)
        if len(rows) < k or len(np.unique(snapshot.profile_rows[rows])) >= n_profiles // 2:
            return rows
        k *= 4


def _allowed_profiles(snapshot: Snapshot, filters: Filters) -> BoolArray | None:
    """bool, shape (n_profiles,), or None when every profile is allowed."""
    if filters == Filters():
        return None
    columns = snapshot.columns
    allowed = np.ones(len(snapshot.profile_ids), dtype=np.bool_)
    if filters.candidates is not None:
        allowed &= _marked(snapshot, filters.candidates)
    if filters.kinds:
        allowed &= np.isin(columns.kinds, sorted(filters.kinds))
    if filters.region_prefixes:
        allowed &= np.logical_or.reduce(
            [np.char.startswith(columns.regions, prefix) for prefix in filters.region_prefixes]
        )
    if filters.clusters:
        allowed &= np.array(
            [not filters.clusters.isdisjoint(facts.clusters) for facts in snapshot.facts],
            np.bool_,
        )
    if filters.exclude:
        allowed &= ~_marked(snapshot, filters.exclude)
    if filters.excluded_organization_id is not None:
        allowed &= columns.organization_ids != filters.excluded_organization_id
    return allowed


def _marked(snapshot: Snapshot, profile_ids: frozenset[str]) -> BoolArray:
    marked = np.zeros(len(snapshot.profile_ids), dtype=np.bool_)
    marked[[row for i in profile_ids if (row := snapshot.profile_row_of.get(i)) is not None]] = True
    return marked


def _signals(query: TermWeights, prepared: PreparedQuery, snapshot: Snapshot, rows: IntArray) -> FloatArray:
    """float32, shape (n_rows, n_signals), in [0, 1], NaN = not known; columns in the order of SIGNALS."""
    lexical = lexical_value(snapshot.sparse.scores(query, rows))
    if prepared.vector is None:
        semantic = np.full(len(rows), np.nan, dtype=np.float32)
    else:
        semantic = semantic_value(snapshot.dense.scores(prepared.vector, rows))
    # Between two languages the words say little: a shared "PLC" may help, their absence must not harm.
    is_other_language = snapshot.columns.is_chinese[snapshot.profile_rows[rows]] != prepared.is_chinese
    lexical[is_other_language & (lexical <= semantic)] = np.nan  # False where semantic is not known
    return np.stack([lexical, semantic], axis=1)


def _missing_must_haves(prepared: PreparedQuery, snapshot: Snapshot, profile_rows: IntArray) -> list[tuple[str, ...]]:
    """Per profile, the must-have topics of which none of its passages has evidence.

    Evidence is every longest word of the topic, or all its character bigrams, in one passage. For a profile
    in another language the words prove nothing, so nothing is reported as missing.
    """
    tests = [(topic, _alternatives(topic)) for topic in prepared.query.must_have]
    missing: list[tuple[str, ...]] = []
    for profile_row in profile_rows:
        if not tests or snapshot.columns.is_chinese[profile_row] != prepared.is_chinese:
            missing.append(())
            continue
        passages = snapshot.passage_rows(int(profile_row))
        missing.append(
            tuple(
                topic
                for topic, alternatives in tests
                if alternatives
                and not any(snapshot.sparse.contains(passages, terms).all(axis=1).any() for terms in alternatives)
            )
        )
    return missing


def _alternatives(topic: str) -> list[Sequence[str]]:
    """Sets of terms, any one of which proves the topic; none for a topic without words."""
    occurrences = find_terms(topic)
    words = [o for o in occurrences if not is_ngram(o.term)]
    longest = [
        o.term
        for o in words
        if not any(
            other.start <= o.start and o.end <= other.end and (other.end - other.start) > (o.end - o.start)
            for other in words
        )
    ]
    ngrams = {term for term in count_terms(topic) if is_ngram(term)}
    bigrams = [term for term in sorted(ngrams) if len(term) == len(NGRAM_MARK) + 2] or sorted(ngrams)
    is_all_chinese = sum(end - start for start, end in (run.span() for run in han_runs(topic))) == len(topic)
    return [terms for terms in (longest, bigrams if is_all_chinese else []) if terms]
