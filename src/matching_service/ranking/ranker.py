"""Ranking: a prepared query against a snapshot. The API, the command line and the night run all call ``rank``."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from matching_service.foundation.clock import today
from matching_service.foundation.errors import Text
from matching_service.index.contract import BoolArray, FloatArray, IntArray, TermWeights
from matching_service.index.filters import NO_FILTERS, Filters, allowed_profiles
from matching_service.index.snapshot import Snapshot, best_rows
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
    extreme_scores,
    fuse,
    known_weights,
)
from matching_service.ranking.lexical import lexical_value, query_weights
from matching_service.ranking.prepare import PreparedQuery
from matching_service.ranking.semantic import semantic_value
from matching_service.ranking.structured import (
    SIGNAL_FUNCTIONS,
    Candidate,
    Circumstances,
    Finding,
    Standing,
    value_ranges,
)
from matching_service.ranking.topics import Topic, passages_with, profiles_with

_N_CANDIDATES = 500
"""Passages taken from each index; many more than are shown, so that one strong signal is enough to be seen."""
_N_EVIDENCE = 3
_ROUNDING = 1e-9
"""Much more than a score can differ by the order of its sums."""
_EVIDENCE_SHARE = 0.6
"""A further passage is evidence when it scores at least this share of the profile's best one."""
_NO_STANDING = Standing()
_STEADIED = Text("比上次名单略低，在波动范围内，保持原得分", "lost no more than noise: keeps its former score")


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
    """The best passages of each profile that has any, as positions in ``rows``.

    profile_rows, leaders, topic : shape (n_profiles,): the profile, its best passage and what that scores.
    order, firsts, ends : a profile's passages, best first, are ``order[firsts[i]:ends[i]]``.
    """

    profile_rows: IntArray
    leaders: IntArray
    order: IntArray
    firsts: IntArray
    ends: IntArray
    topic: Float64Array

    def passages(self, place: int) -> IntArray:
        return self.order[self.firsts[place] : self.ends[place]]


class _Seen(NamedTuple):
    """Profiles whose facts were looked at. places : shape (n_seen,), of the profiles among the best passages'.
    findings : per profile, of each structured signal. nice : per nice-to-have, who has it.
    values : shape (n_seen, n_adjusting_signals), NaN = not known.
    """

    places: IntArray
    findings: list[dict[str, Finding | None]]
    nice: list[BoolArray]
    values: Float64Array

    def and_(self, other: "_Seen") -> "_Seen":
        return _Seen(
            np.concatenate([self.places, other.places]),
            self.findings + other.findings,
            [np.concatenate(both) for both in zip(self.nice, other.nice, strict=True)],
            np.concatenate([self.values, other.values]),
        )


def rank(
    prepared: PreparedQuery,
    snapshot: Snapshot,
    *,
    top_k: int,
    filters: Filters = NO_FILTERS,
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
    query = query_weights(prepared.terms, prepared.title_terms, prepared.rarity, snapshot.frequencies)
    allowed = allowed_profiles(snapshot, filters)
    with_must_have = [passages_with(topic, snapshot) for topic in prepared.must_have]
    if filters.candidates is not None:
        rows = snapshot.passages_of(np.flatnonzero(allowed))
        words, cosines = snapshot.word_scores_of(query, rows), _cosines_of(prepared, snapshot, rows)
    else:
        n_candidates = max(_N_CANDIDATES, 2 * top_k)
        rows, words, cosines = _candidates(
            query, prepared, snapshot, allowed, with_must_have, n_candidates=n_candidates
        )
    if not len(rows):
        return []
    signals = np.stack([lexical_value(words), _semantic(prepared, snapshot, rows, cosines)], axis=1)
    if weights.topic()[1] > 0:
        # Between two languages the words say little: a shared "PLC" may help, their absence must not harm.
        lexical, semantic = signals.T
        is_foreign = snapshot.languages(rows) != prepared.language
        lexical[is_foreign & (lexical <= semantic)] = np.nan  # False where semantic is not known
    topic_scores = (known_weights(signals, weights.topic()) * np.nan_to_num(signals)).sum(axis=1)
    best = _best_passages(topic_scores, snapshot.profile_rows[rows], keep_zero=filters.candidates is not None)

    has = _has_topics(prepared.must_have, with_must_have, prepared, snapshot, best.profile_rows)
    n_missing = np.zeros_like(best.profile_rows)
    for column in has:
        n_missing += ~column
    ranges: dict[str, tuple[float, float]] = {"nice_to_have": (0.0, 1.0), **value_ranges(prepared.query, circumstances)}
    least, greatest = np.array([ranges[signal] for signal in ADJUSTING_SIGNALS]).T
    lowest, highest = (extreme_scores(best.topic, values, weights) for values in (least, greatest))
    with_nice = [passages_with(topic, snapshot) for topic in prepared.nice_to_have]

    def look_closer(places: IntArray) -> _Seen:
        nice = _has_topics(prepared.nice_to_have, with_nice, prepared, snapshot, best.profile_rows[places])
        findings = _findings(prepared, snapshot, circumstances, rows[best.leaders[places]])
        return _Seen(places, findings, nice, _adjusting_values(findings, nice))

    # What the likeliest ones score in truth rules out most of those that might come before them.
    likely = look_closer(np.lexsort((-highest, n_missing))[: 2 * top_k])
    lowest[likely.places] = extreme_scores(best.topic[likely.places], likely.values, weights)
    others = _within_reach(lowest, highest, n_missing, top_k, stability=circumstances.stability)
    near, findings, nice, values = likely.and_(look_closer(np.setdiff1d(others, likely.places)))
    leaders = best.leaders[near]
    signals = signals[leaders]
    share_missing = n_missing[near] / max(1, len(has))
    ids = [profile_id.decode() for profile_id in snapshot.profile_ids(best.profile_rows[near]).tolist()]
    listed = np.array([circumstances.listed.get(profile_id, np.nan) for profile_id in ids], dtype=np.float64)
    fused = fuse(signals, values, share_missing, weights, listed=listed, stability=circumstances.stability)

    ranked = []
    for j in np.lexsort((ids, -fused.scores, n_missing[near]))[:top_k]:
        passages = best.passages(int(near[j]))[:_N_EVIDENCE]
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
                work_ids=tuple(snapshot.work_id(int(rows[p])) for p in passages if topic_scores[p] >= enough),
                missing_must_have=_missing(prepared.must_have, has, int(near[j])),
                missing_nice_to_have=_missing(prepared.nice_to_have, nice, int(j)),
            )
        )
    return ranked


def _candidates(
    query: TermWeights,
    prepared: PreparedQuery,
    snapshot: Snapshot,
    allowed_profiles_: BoolArray,
    with_must_have: Sequence[BoolArray],
    *,
    n_candidates: int,
) -> tuple[IntArray, FloatArray, FloatArray]:
    """The passages worth a closer look: their rows, rising, their word scores and their cosines."""
    allowed = allowed_profiles_[snapshot.profile_rows]
    words = snapshot.word_scores(query, allowed)
    found = [_deep_enough(words, allowed, snapshot, n_candidates)]
    cosines = None
    if prepared.vector is not None:
        cosines = snapshot.cosines(prepared.vector, allowed)
        found.append(_deep_enough(cosines, allowed, snapshot, n_candidates))
    for having in with_must_have:
        # Who has a must-have comes before all who lack it, so must not be overlooked, nor judged by that passage alone.
        best = _deep_enough(words, allowed & having, snapshot, n_candidates)
        found.append(snapshot.passages_of(np.unique(snapshot.profile_rows[best])))
    rows = np.unique(np.concatenate(found))
    return rows, words[rows], cosines[rows] if cosines is not None else _unknown(rows)


def _deep_enough(scores: FloatArray, allowed: BoolArray, snapshot: Snapshot, n_profiles: int) -> IntArray:
    """Rows of the best passages, of as many different profiles as asked for where there are so many.

    Without this, a few profiles with hundreds of works each would take all places.
    """
    k = n_profiles
    while True:
        rows = best_rows(scores, k=k, allowed=allowed)
        if len(rows) < k or len(np.unique(snapshot.profile_rows[rows])) >= n_profiles // 2:
            return rows
        k *= 4


def _cosines_of(prepared: PreparedQuery, snapshot: Snapshot, rows: IntArray) -> FloatArray:
    """float32, shape (n_rows,), in [0, 1], NaN = not known."""
    return snapshot.cosines_of(prepared.vector, rows) if prepared.vector is not None else _unknown(rows)


def _semantic(prepared: PreparedQuery, snapshot: Snapshot, rows: IntArray, cosines: FloatArray) -> FloatArray:
    """float32, shape (n_rows,), in [0, 1], NaN = not known."""
    return semantic_value(cosines, prepared.language, snapshot.languages(rows), prepared.calibration)


def _unknown(rows: IntArray) -> FloatArray:
    return np.full(len(rows), np.nan, dtype=np.float32)


def _best_passages(scores: Float64Array, profile_rows: IntArray, *, keep_zero: bool) -> _Best:
    """Group passages by profile, best first; scores and profile_rows have shape (n_rows,)."""
    order = np.lexsort((np.arange(len(scores)), -scores, profile_rows))
    firsts = np.flatnonzero(np.diff(profile_rows[order], prepend=-1))
    ends = np.append(firsts[1:], len(order))
    leaders = order[firsts]
    kept = np.full(len(leaders), keep_zero) | (scores[leaders] > 0)
    leaders = leaders[kept]
    return _Best(profile_rows[leaders], leaders, order, firsts[kept], ends[kept], scores[leaders])


def _has_topics(
    topics: Sequence[Topic],
    passages_with_topic: Sequence[BoolArray],
    prepared: PreparedQuery,
    snapshot: Snapshot,
    profile_rows: IntArray,
) -> list[BoolArray]:
    """Per topic bool, shape (len(profile_rows),): which profiles have evidence for it in any passage."""
    if not topics or not len(profile_rows):
        return [np.zeros(0, dtype=np.bool_)] * len(topics)
    rows = snapshot.passages_of(profile_rows)
    semantic = _semantic(prepared, snapshot, rows, _cosines_of(prepared, snapshot, rows))
    return [
        profiles_with(topic, snapshot, rows, proven=having[rows], semantic=semantic, language=prepared.language)[
            profile_rows
        ]
        for topic, having in zip(topics, passages_with_topic, strict=True)
    ]


def _within_reach(
    lowest: Float64Array, highest: Float64Array, n_missing: IntArray, top_k: int, *, stability: float
) -> IntArray:
    """Places of the profiles that could still come among the first ``top_k``, by their lowest and highest scores."""
    order = np.lexsort((-lowest, n_missing))
    if len(order) <= top_k:
        return order
    last = order[top_k - 1]
    # What is deducted for must-haves, at most a half, is the same share where the same number is missing.
    close = (n_missing == n_missing[last]) & (highest + 2 * stability >= lowest[last] - _ROUNDING)
    return np.flatnonzero((n_missing < n_missing[last]) | close)


def _findings(
    prepared: PreparedQuery, snapshot: Snapshot, circumstances: Circumstances, rows: IntArray
) -> list[dict[str, Finding | None]]:
    """What each structured signal finds for the profiles of these passages."""
    profiles = snapshot.profile_rows[rows]
    ids = snapshot.profile_ids(profiles)
    found = []
    for profile, profile_id, year in zip(profiles, ids, snapshot.years(rows), strict=True):
        standing = circumstances.standings.get(profile_id.decode(), _NO_STANDING)
        candidate = Candidate(snapshot.facts(int(profile)), standing, int(year) or None)
        found.append(
            {
                signal: function(prepared.query, candidate, circumstances.today)
                for signal, function in SIGNAL_FUNCTIONS.items()
            }
        )
    return found


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
