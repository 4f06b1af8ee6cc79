"""Ranking: a prepared query against a snapshot. The API, the command line and the night run all call ``rank``."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np

from matching_service.foundation.clock import today
from matching_service.foundation.errors import Text
from matching_service.index.contract import BoolArray, FloatArray, IntArray
from matching_service.index.snapshot import Snapshot
from matching_service.index.sparse import TermWeights
from matching_service.ranking.calibrate import Level
from matching_service.ranking.fusion import (
    ADJUSTING_SIGNALS,
    MUST_HAVE,
    STABILITY,
    TOPIC_SIGNALS,
    Float64Array,
    Fused,
    Weights,
    default_weights,
    fuse,
    known_weights,
    most_movement,
)
from matching_service.ranking.lexical import lexical_value, query_weights
from matching_service.ranking.prepare import PreparedQuery
from matching_service.ranking.semantic import semantic_value
from matching_service.ranking.structured import SIGNAL_FUNCTIONS, Candidate, Circumstances, Finding, Standing
from matching_service.ranking.topics import Topic, passages_with, profiles_with

_N_CANDIDATES = 500
"""Passages taken from each index; many more than are shown, so that one strong signal is enough to be seen."""
_N_EVIDENCE = 3
_EVIDENCE_SHARE = 0.6
"""A further passage is evidence when it scores at least this share of the profile's best one."""
_NO_STANDING = Standing()
_STEADIED = Text("比上次名单略低，在波动范围内，保持原得分", "lost no more than noise: keeps its former score")


@dataclass(frozen=True, slots=True)
class Filters:
    """Which profiles may be ranked; empty or None restricts nothing. ``candidates`` ranks just these, all of them."""

    kinds: frozenset[str] = frozenset()
    region_prefixes: tuple[str, ...] = ()
    clusters: frozenset[str] = frozenset()
    candidates: frozenset[str] | None = None
    exclude: frozenset[str] = frozenset()
    excluded_organizations: frozenset[str] = frozenset()
    available_on: date | None = None


@dataclass(frozen=True, slots=True)
class Part:
    """What one signal adds to a score: contribution = value * weight, and the contributions of all parts sum to it.

    value : in [0, 1]. Of a topic signal the signal itself; of an adjusting one how far it is from neutral; of the
        must-haves the share that is missing; of stability the share of the loss that would be made up.
    weight : negative where the signal speaks against the profile.
    signal_value : what ``fusion.fuse`` was given: the adjusting signal itself, the share missing.
    """

    signal: str
    value: float
    weight: float
    contribution: float
    signal_value: float
    reason: Text | None = None


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
    missing_nice_to_have: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Best:
    """The best passages of each profile that has any. ``passages`` are positions in ``rows``, best first."""

    profile_rows: IntArray
    passages: Sequence[IntArray]
    topic: Float64Array


def rank(
    prepared: PreparedQuery,
    snapshot: Snapshot,
    *,
    top_k: int,
    filters: Filters = Filters(),  # frozen, so it can be shared
    weights: Weights | None = None,
    circumstances: Circumstances | None = None,
) -> list[RankedProfile]:
    """The best ``top_k`` profiles: those with evidence for every must-have first, then by falling score, then by id.

    A profile is as good as its best passage, so that one perfect work beats fifty vague ones. Profiles
    with score 0 are left out unless ``filters.candidates`` names them.
    """
    if prepared.vector is None and not prepared.terms and filters.candidates is None:
        return []
    weights = weights or default_weights(prepared.calibration)
    circumstances = circumstances or Circumstances(today())
    query = query_weights(prepared.terms, prepared.title_terms, prepared.rarity, snapshot.sparse)
    allowed = _allowed_profiles(snapshot, filters)
    rows = _candidate_rows(query, prepared, snapshot, filters, allowed, n_candidates=max(_N_CANDIDATES, 2 * top_k))
    if not len(rows):
        return []
    signals = _signals(query, prepared, snapshot, rows)
    if weights.topic()[1] > 0:
        # Between two languages the words say little: a shared "PLC" may help, their absence must not harm.
        lexical, semantic = signals.T
        is_foreign = snapshot.languages[rows] != prepared.language
        lexical[is_foreign & (lexical <= semantic)] = np.nan  # False where semantic is not known
    topic_scores = (known_weights(signals, weights.topic()) * np.nan_to_num(signals)).sum(axis=1)
    best = _best_passages(topic_scores, snapshot.profile_rows[rows], keep_zero=filters.candidates is not None)

    has = _has_topics(prepared.must_have, prepared, snapshot, best.profile_rows)
    n_missing = np.zeros_like(best.profile_rows)
    for column in has:
        n_missing += ~column
    near = _within_reach(best, n_missing, top_k, reach=2 * most_movement(weights) + circumstances.stability)
    leaders = np.array([best.passages[i][0] for i in near], dtype=np.int64)
    signals = signals[leaders]
    findings = [
        _findings(prepared, snapshot, circumstances, int(snapshot.profile_rows[row]), int(row)) for row in rows[leaders]
    ]
    nice = _has_topics(prepared.nice_to_have, prepared, snapshot, best.profile_rows[near])
    values = _adjusting_values(findings, nice)
    share_missing = n_missing[near] / max(1, len(has))
    ids = [snapshot.profile_ids[row] for row in best.profile_rows[near]]
    listed = np.array([circumstances.listed.get(profile_id, np.nan) for profile_id in ids], dtype=np.float64)
    fused = fuse(signals, values, share_missing, weights, listed=listed, stability=circumstances.stability)

    ranked = []
    for j in np.lexsort((best.profile_rows[near], -fused.scores, n_missing[near]))[:top_k]:
        passages = best.passages[near[j]][:_N_EVIDENCE]
        enough = _EVIDENCE_SHARE * topic_scores[passages[0]]
        ranked.append(
            RankedProfile(
                profile_id=ids[j],
                score=float(fused.scores[j]),
                level=weights.floors.level_of(float(fused.scores[j])),
                parts=_parts(
                    int(j),
                    signals=signals,
                    values=values,
                    share_missing=share_missing if has else None,
                    findings=findings[j],
                    fused=fused,
                ),
                work_ids=tuple(snapshot.work_ids[rows[p]] for p in passages if topic_scores[p] >= enough),
                missing_must_have=_missing(prepared.must_have, has, int(near[j])),
                missing_nice_to_have=_missing(prepared.nice_to_have, nice, int(j)),
            )
        )
    return ranked


def _candidate_rows(
    query: TermWeights,
    prepared: PreparedQuery,
    snapshot: Snapshot,
    filters: Filters,
    allowed_profiles: BoolArray,
    *,
    n_candidates: int,
) -> IntArray:
    """Rows of the passages worth scoring, rising."""
    allowed = allowed_profiles[snapshot.profile_rows]
    if filters.candidates is not None:
        return np.flatnonzero(allowed)

    def best_by_words(mask: BoolArray) -> IntArray:
        return _deep_enough(lambda k: snapshot.sparse.search(query, k=k, allowed=mask).rows, snapshot, n_candidates)

    found = [best_by_words(allowed)]
    if prepared.vector is not None:
        vector = prepared.vector
        found.append(
            _deep_enough(lambda k: snapshot.dense.search(vector, k=k, allowed=allowed).rows, snapshot, n_candidates)
        )
    every_row = np.arange(len(allowed))
    for topic in prepared.must_have:
        # Who has a must-have comes before all who lack it, so must not be overlooked, nor judged by that passage alone.
        having = best_by_words(allowed & passages_with(topic, snapshot, every_row))
        found.append(np.flatnonzero(np.isin(snapshot.profile_rows, snapshot.profile_rows[having])))
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


def _allowed_profiles(snapshot: Snapshot, filters: Filters) -> BoolArray:
    """bool, shape (n_profiles,)."""
    columns = snapshot.columns
    allowed = np.ones(len(snapshot.profile_ids), dtype=np.bool_)
    if filters.available_on is not None:
        day = np.datetime64(filters.available_on)
        allowed &= ~((columns.available_from > day) | (columns.available_until < day))  # not a time compares as False
    if filters.candidates is not None:
        allowed &= _marked(snapshot, filters.candidates)
    if filters.kinds:
        allowed &= np.isin(columns.kinds, sorted(filters.kinds))
    if filters.region_prefixes:
        allowed &= np.logical_or.reduce(
            [np.char.startswith(columns.regions, prefix) for prefix in filters.region_prefixes]
        )
    if filters.clusters:
        allowed &= np.array([not filters.clusters.isdisjoint(facts.clusters) for facts in snapshot.facts], np.bool_)
    if filters.exclude:
        allowed &= ~_marked(snapshot, filters.exclude)
    if filters.excluded_organizations:
        allowed &= ~np.isin(columns.organization_ids, sorted(filters.excluded_organizations))
    return np.asarray(allowed, dtype=np.bool_)


def _marked(snapshot: Snapshot, profile_ids: frozenset[str]) -> BoolArray:
    marked = np.zeros(len(snapshot.profile_ids), dtype=np.bool_)
    marked[[row for i in profile_ids if (row := snapshot.profile_row_of.get(i)) is not None]] = True
    return marked


def _signals(query: TermWeights, prepared: PreparedQuery, snapshot: Snapshot, rows: IntArray) -> FloatArray:
    """float32, shape (n_rows, n_topic_signals), in [0, 1], NaN = not known; columns in the order of TOPIC_SIGNALS."""
    lexical = lexical_value(snapshot.sparse.scores(query, rows))
    return np.stack([lexical, _semantic(prepared, snapshot, rows)], axis=1)


def _semantic(prepared: PreparedQuery, snapshot: Snapshot, rows: IntArray) -> FloatArray:
    """float32, shape (n_rows,), in [0, 1], NaN = not known."""
    if prepared.vector is None:
        return np.full(len(rows), np.nan, dtype=np.float32)
    cosines = snapshot.dense.scores(prepared.vector, rows)
    return semantic_value(cosines, prepared.language, snapshot.languages[rows], prepared.calibration)


def _best_passages(scores: Float64Array, profile_rows: IntArray, *, keep_zero: bool) -> _Best:
    """Group passages by profile, best first; scores and profile_rows have shape (n_rows,)."""
    order = np.lexsort((np.arange(len(scores)), -scores, profile_rows))
    firsts = np.flatnonzero(np.diff(profile_rows[order], prepend=-1))
    groups = np.split(order, firsts[1:])
    kept = [group for group in groups if keep_zero or scores[group[0]] > 0]
    leaders = np.array([group[0] for group in kept], dtype=np.int64)
    return _Best(profile_rows[leaders], kept, scores[leaders])


def _has_topics(
    topics: Sequence[Topic], prepared: PreparedQuery, snapshot: Snapshot, profile_rows: IntArray
) -> list[BoolArray]:
    """Per topic bool, shape (len(profile_rows),): which profiles have evidence for it in any passage."""
    if not topics or not len(profile_rows):
        return [np.zeros(0, dtype=np.bool_)] * len(topics)
    rows = np.concatenate([snapshot.passage_rows(int(profile_row)) for profile_row in profile_rows])
    semantic = _semantic(prepared, snapshot, rows)
    return [
        profiles_with(topic, snapshot, rows, semantic=semantic, language=prepared.language)[profile_rows]
        for topic in topics
    ]


def _within_reach(best: _Best, n_missing: IntArray, top_k: int, *, reach: float) -> IntArray:
    """Places of the profiles that could still come among the first ``top_k``, scores being moved by up to ``reach``."""
    order = np.lexsort((best.profile_rows, -best.topic, n_missing))
    if len(order) <= top_k:
        return order
    last = order[top_k - 1]
    close = (n_missing == n_missing[last]) & (best.topic >= best.topic[last] - reach)
    return np.flatnonzero((n_missing < n_missing[last]) | close)


def _findings(
    prepared: PreparedQuery, snapshot: Snapshot, circumstances: Circumstances, profile_row: int, row: int
) -> dict[str, Finding | None]:
    year = int(snapshot.years[row])
    standing = circumstances.standings.get(snapshot.profile_ids[profile_row], _NO_STANDING)
    candidate = Candidate(snapshot.facts[profile_row], standing, year or None)
    return {
        signal: function(prepared.query, candidate, circumstances.today)
        for signal, function in SIGNAL_FUNCTIONS.items()
    }


def _adjusting_values(findings: Sequence[dict[str, Finding | None]], nice: Sequence[BoolArray]) -> Float64Array:
    """float64, shape (n_profiles, n_adjusting_signals), NaN = not known; in the order of ADJUSTING_SIGNALS."""
    values = np.full((len(findings), len(ADJUSTING_SIGNALS)), np.nan)
    for j, found in enumerate(findings):
        for s, signal in enumerate(SIGNAL_FUNCTIONS):
            if (finding := found[signal]) is not None:
                values[j, s] = finding.value
    if nice:
        values[:, -1] = np.mean(nice, axis=0)
    return values


def _parts(
    place: int,
    *,
    signals: FloatArray,
    values: Float64Array,
    share_missing: Float64Array | None,
    findings: dict[str, Finding | None],
    fused: Fused,
) -> tuple[Part, ...]:
    """The parts of the candidate at ``place`` of the arrays; what is not known is no part."""
    parts = [
        Part(
            signal,
            float(signals[place, s]),
            float(fused.topic_weights[place, s]),
            float(fused.topic_parts[place, s]),
            float(signals[place, s]),
        )
        for s, signal in enumerate(TOPIC_SIGNALS)
        if not np.isnan(signals[place, s])
    ]
    for s, signal in enumerate(ADJUSTING_SIGNALS):
        if not np.isnan(values[place, s]):
            finding = findings.get(signal)
            distance = 2.0 * float(values[place, s]) - 1.0
            weight = math.copysign(float(fused.adjusting_weights[place, s]), distance)
            contribution = float(fused.adjusting_parts[place, s])
            reason = finding.reason if finding is not None else None
            parts.append(Part(signal, abs(distance), weight, contribution, float(values[place, s]), reason))
    if share_missing is not None:
        taken, missing = float(fused.deducted[place]), float(share_missing[place])
        parts.append(Part(MUST_HAVE, missing, taken / missing if missing else 0.0, taken, missing))
    if (made_up := float(fused.steadied[place])) > 0:
        share = made_up / float(fused.allowances[place])
        parts.append(Part(STABILITY, share, float(fused.allowances[place]), made_up, share, _STEADIED))
    return tuple(parts)


def _missing(topics: Sequence[Topic], has: Sequence[BoolArray], place: int) -> tuple[str, ...]:
    return tuple(topic.name for topic, column in zip(topics, has, strict=True) if not column[place])
