"""Ranking: a prepared query against an index. The API, the command line and the night run all call ``rank``."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from matching_service.foundation.clock import today
from matching_service.foundation.errors import Bilingual
from matching_service.index.contract import (
    Alternatives,
    BoolArray,
    CandidatePassages,
    FloatArray,
    Handles,
    Index,
    IndexQuery,
    IntArray,
    TermWeights,
)
from matching_service.index.filters import NO_FILTERS, Filters
from matching_service.ranking.calibrate import Level
from matching_service.ranking.fusion import (
    ADJUSTING_SIGNALS,
    MUST_HAVE,
    STABILITY,
    Float64Array,
    Fused,
    Weights,
    default_weights,
    extreme_scores,
    fuse,
    known_weights,
)
from matching_service.ranking.lexical import lexical_value, query_weights
from matching_service.ranking.oeuvres import LEAST_SHARE, of_profiles
from matching_service.ranking.prepare import PreparedQuery
from matching_service.ranking.semantic import semantic_value
from matching_service.ranking.structured import (
    SIGNAL_FUNCTIONS,
    CandidateFacts,
    Circumstances,
    SignalValue,
    Standing,
    value_ranges,
)
from matching_service.ranking.topics import (
    MET,
    NOT_MET,
    NOT_VERIFIED,
    STATES,
    State,
    StateArray,
    Topic,
    states_in_passages,
)

_N_CANDIDATES = 500
"""How many passages each search of the index brings: many more than are shown, so that one strong signal is enough."""
_N_EVIDENCE = 3
_ROUNDING = 1e-9
"""Tolerance for scores whose sums were taken in another order; far above their differences."""
_EVIDENCE_SHARE = 0.6
"""A further passage is shown where it scores at least this share of the profile's best one."""
_NO_STANDING = Standing()
_STEADIED = Bilingual("比上次名单略低，在波动范围内，保持原得分", "lost no more than noise: keeps its former score")


@dataclass(frozen=True, slots=True)
class ScorePart:
    """The contribution of one signal, value * weight. The contributions of all parts sum to the score.

    value : in [0, 1]. A topic signal itself; the distance of an adjusting signal from neutral; the share of must-haves
        that is missing; the share of the allowance that stability used.
    weight : negative where the signal speaks against the profile.
    signal_value : the input of ``fusion.fuse``: the signal itself, or the share of must-haves that is missing.
    """

    signal: str
    value: float
    weight: float
    contribution: float
    signal_value: float
    reason: Bilingual | None = None


@dataclass(frozen=True, slots=True)
class TopicFinding:
    """What a profile shows of a must-have, and in which passage: that of the work, or its own text for None."""

    topic: Topic
    state: State
    work_id: str | None


@dataclass(frozen=True, slots=True)
class RankedProfile:
    """``parts`` sum to ``score``. ``work_ids`` name the best passages, best first; None is the profile's own text.

    topic_signals : the topic signals as ``fusion.fuse`` had them, None = not known, in the order of TOPIC_SIGNALS.
    must_have : in the order of the demand.
    """

    profile_id: str
    score: float
    level: Level
    parts: tuple[ScorePart, ...]
    topic_signals: tuple[float | None, ...]
    work_ids: tuple[str | None, ...]
    must_have: tuple[TopicFinding, ...]
    missing_nice_to_have: tuple[str, ...]

    @property
    def missing_must_have(self) -> tuple[str, ...]:
        """The must-haves that are not met, in the order of the demand."""
        return tuple(finding.topic.name for finding in self.must_have if finding.state == "not_met")

    @property
    def lacks(self) -> tuple[int, int]:
        """How many must-haves are not met, and how many are not verified. Fewer come first, whatever the scores."""
        states = [finding.state for finding in self.must_have]
        return states.count("not_met"), states.count("not_verified")

    @property
    def quoted_work_ids(self) -> tuple[str | None, ...]:
        """The passages that an explanation quotes, each once: the best ones, then those that show must-haves."""
        showing = (finding.work_id for finding in self.must_have if finding.state != "not_met")
        return tuple(dict.fromkeys((*self.work_ids, *showing)))


@dataclass(frozen=True, slots=True)
class _Question:
    """The input of every step."""

    prepared: PreparedQuery
    index: Index
    weights: Weights
    circumstances: Circumstances
    terms: TermWeights

    def semantic(self, cosines: FloatArray, languages: NDArray[np.str_]) -> FloatArray:
        """float32, shape (n_passages,), in [0, 1]; NaN = not known."""
        return semantic_value(cosines, self.prepared.language, languages, self.prepared.calibration)


@dataclass(frozen=True, slots=True)
class _Topical:
    """The candidates by profile, with their topic scores.

    passage_scores : float64, shape (n_passages,).
    profiles, leaders : shape (n_profiles,): the profile and its best passage.
    scores : float64, shape (n_profiles,): of the best passage; after ``_of_whole_profiles`` of the profile.
    order, firsts, ends : a profile's passages, best first, are ``order[firsts[i]:ends[i]]``.
    must_have : int8, shape (n_must_have, n_profiles): the best state of each must-have in any passage.
    tiers : int64, shape (n_profiles,): what a profile lacks of the must-haves; those that lack less come first.
    """

    candidates: CandidatePassages
    passage_scores: Float64Array
    profiles: Handles
    leaders: IntArray
    scores: Float64Array
    order: IntArray
    firsts: IntArray
    ends: IntArray
    must_have: StateArray
    tiers: IntArray

    def share_missing(self, places: IntArray | int) -> Float64Array:
        """float64, one per place: the share of the must-haves that a profile does not meet."""
        n_missing = (self.must_have[:, places] == NOT_MET).sum(axis=0)
        return np.asarray(n_missing / max(1, len(self.must_have)), dtype=np.float64)

    def passages(self, place: int) -> IntArray:
        return self.order[self.firsts[place] : self.ends[place]]

    def narrowed(self, places: IntArray, scores: Float64Array) -> Self:
        """The profiles at these places, with other scores."""
        return replace(
            self,
            profiles=self.profiles[places],
            leaders=self.leaders[places],
            scores=scores,
            firsts=self.firsts[places],
            ends=self.ends[places],
            must_have=self.must_have[:, places],
            tiers=self.tiers[places],
        )


@dataclass(frozen=True, slots=True)
class _Whole:
    """Topic signals of whole profiles. scores : float64, shape (n_profiles,).

    signals : float32, shape (n_profiles, n_topic_signals); NaN = not known.
    words : float32, shape (n_profiles,): the lexical signal by its own words, without those credited for meaning.
    has_nice : bool, shape (n_nice_to_have, n_profiles): whose words prove which nice-to-have.
    """

    scores: Float64Array
    signals: FloatArray
    words: FloatArray
    has_nice: BoolArray

    def at(self, places: IntArray) -> Self:
        return type(self)(self.scores[places], self.signals[places], self.words[places], self.has_nice[:, places])

    def extended_by(self, other: Self) -> Self:
        return type(self)(
            np.concatenate([self.scores, other.scores]),
            np.concatenate([self.signals, other.signals]),
            np.concatenate([self.words, other.words]),
            np.concatenate([self.has_nice, other.has_nice], axis=1),
        )


@dataclass(frozen=True, slots=True)
class _Shortlist:
    """Profiles whose facts were read. places : int64, shape (n_profiles,), in the arrays of ``_Topical``.

    whole : their topic signals. findings : per profile, of each structured signal.
    values : float64, shape (n_profiles, n_adjusting_signals), NaN = not known.
    """

    places: IntArray
    profile_ids: list[str]
    whole: _Whole
    findings: list[dict[str, SignalValue | None]]
    values: Float64Array

    def extended_by(self, other: Self) -> Self:
        return type(self)(
            np.concatenate([self.places, other.places]),
            self.profile_ids + other.profile_ids,
            self.whole.extended_by(other.whole),
            self.findings + other.findings,
            np.concatenate([self.values, other.values]),
        )


def rank(
    prepared: PreparedQuery,
    index: Index,
    *,
    top_k: int,
    filters: Filters = NO_FILTERS,
    weights: Weights | None = None,
    circumstances: Circumstances | None = None,
    with_none: bool = True,
) -> list[RankedProfile]:
    """The best ``top_k`` profiles: by what they lack of the must-haves, then by falling score, then by id.

    A profile is as good as its best passage and the better part of all its passages, half each (``oeuvres``). Profiles
    with score 0 are left out unless ``filters.candidates`` names them. Without ``with_none``, so are those of level
    none.
    """
    if prepared.vector is None and not prepared.terms and filters.candidates is None:
        return []
    weights, circumstances = weights or default_weights(prepared.calibration), circumstances or Circumstances(today())
    terms = query_weights(prepared.terms, prepared.title_terms, prepared.rarity, index.frequencies)
    question = _Question(prepared, index, weights, circumstances, terms)
    query = IndexQuery(terms, prepared.vector, _words_of(prepared.must_have))
    candidates = index.candidates(query, filters, max(_N_CANDIDATES, 2 * top_k))
    if not len(candidates):
        return []
    passages = _topical(question, candidates, are_named=filters.candidates is not None)
    topical, whole = _of_whole_profiles(question, passages, top_k)
    shortlist = _shortlist(question, topical, whole, top_k)
    fused = _fused(question, topical, shortlist)
    ids = np.array(shortlist.profile_ids, dtype=np.str_)
    order = np.lexsort((ids, -fused.scores, topical.tiers[shortlist.places]))
    if not with_none:
        order = order[np.minimum(fused.scores[order], 1.0) >= weights.floors.weak]
    order = order[:top_k]
    must_have = _must_have(question, topical, shortlist.places[order])
    return [
        _ranked(question, topical, shortlist, fused, int(place), must_have=findings)
        for place, findings in zip(order, must_have, strict=True)
    ]


# The topic: scores of texts


def _topical(question: _Question, candidates: CandidatePassages, *, are_named: bool) -> _Topical:
    """The candidates by profile. Of named ones, those that score 0 are kept, and all passages are there."""
    signals = _topic_signals(question, candidates)
    scores = _passage_scores(question, signals)
    is_first = np.append(True, candidates.profiles[1:] != candidates.profiles[:-1])
    owners = np.cumsum(is_first) - 1
    order = np.lexsort((-scores, owners))  # stable: equal passages of a profile stay in the order of their works' ids
    firsts = np.flatnonzero(is_first)
    leaders, ends = order[firsts], np.append(firsts[1:], len(order))
    kept = np.flatnonzero(np.full(len(leaders), are_named) | (scores[leaders] > 0))
    leaders = leaders[kept]
    profiles = candidates.profiles[leaders]
    must_have = question.prepared.must_have
    in_passages = states_in_passages(must_have, candidates.topics, signals[:, 1])
    states = _best_of_profile(in_passages, owners, len(firsts))[:, kept]
    unproven = np.flatnonzero((states < MET).any(axis=0))
    if len(unproven) and not are_named:  # a passage that is no candidate may be evidence
        states[:, unproven] = _states_of(question, must_have, profiles[unproven])
    n_missing, n_unverified = (states == NOT_MET).sum(axis=0), (states == NOT_VERIFIED).sum(axis=0)
    return _Topical(
        candidates=candidates,
        passage_scores=scores,
        profiles=profiles,
        leaders=leaders,
        scores=scores[leaders],
        order=order,
        firsts=firsts[kept],
        ends=ends[kept],
        must_have=states,
        tiers=np.asarray(n_missing * (len(must_have) + 1) + n_unverified, dtype=np.int64),
    )


def _topic_signals(question: _Question, candidates: CandidatePassages) -> FloatArray:
    """float32, shape (n_passages, n_topic_signals), in [0, 1]; NaN = not known."""
    semantic = question.semantic(candidates.cosines, candidates.languages)
    signals = np.stack([lexical_value(candidates.words), semantic], axis=1)
    if question.weights.topic()[1] > 0:
        # Between two languages a shared "PLC" may help, but missing words must not harm.
        is_foreign = candidates.languages != question.prepared.language
        credited = question.prepared.calibration.expected_words(signals[:, 1])
        signals[:, 0] = np.where(is_foreign, np.fmax(signals[:, 0], credited), signals[:, 0])
    return signals


def _passage_scores(question: _Question, signals: FloatArray) -> Float64Array:
    """float64, shape (n_passages,), in [0, 1], from signals of shape (n_passages, n_topic_signals)."""
    return np.asarray((known_weights(signals, question.weights.topic()) * np.nan_to_num(signals)).sum(axis=1))


def _states_of(question: _Question, topics: Sequence[Topic], profiles: Handles) -> StateArray:
    """int8, shape (n_topics, n_profiles): the best state of each topic in any passage of these different profiles."""
    if not topics:
        return np.zeros((0, len(profiles)), dtype=np.int8)
    evidence, states, _ = _evidence_for(question, topics, profiles)
    return _best_of_profile(states, _owners(evidence, profiles), len(profiles))


def _evidence_for(
    question: _Question, topics: Sequence[Topic], profiles: Handles
) -> tuple[CandidatePassages, StateArray, FloatArray]:
    """All passages of these profiles, what each shows of the topics, and the semantic signal of each."""
    evidence = question.index.all_passages(
        IndexQuery(vector=question.prepared.vector, topics=_words_of(topics)), profiles
    )
    semantic = question.semantic(evidence.cosines, evidence.languages)
    return evidence, states_in_passages(topics, evidence.topics, semantic), semantic


def _owners(evidence: CandidatePassages, profiles: Handles) -> IntArray:
    """int64, shape (n_passages,): the place in ``profiles`` of each passage's profile."""
    order = np.argsort(profiles)
    return np.asarray(order[np.searchsorted(profiles, evidence.profiles, sorter=order)], dtype=np.int64)


def _best_of_profile(states: StateArray, owners: IntArray, n_profiles: int) -> StateArray:
    """int8, shape (n_topics, n_profiles): the best state of each topic in the passages of each profile.

    states : shape (n_topics, n_passages). owners : int64, shape (n_passages,), the profile of each passage.
    """
    best = np.full((len(states), n_profiles), NOT_MET, dtype=np.int8)
    for topic, of_passages in enumerate(states):
        np.maximum.at(best[topic], owners, of_passages)
    return best


def _must_have(question: _Question, topical: _Topical, places: IntArray) -> list[tuple[TopicFinding, ...]]:
    """What the profiles at these places show of each must-have.

    Of several passages that show as much, the one named means what is nearest to the demand.
    """
    topics, profiles = question.prepared.must_have, topical.profiles[places]
    if not topics or not len(places):
        return [()] * len(places)
    evidence, states, semantic = _evidence_for(question, topics, profiles)
    owners = _owners(evidence, profiles)
    works = np.empty((len(topics), len(profiles)), dtype=evidence.work_ids.dtype)
    for topic, of_passages in enumerate(states):
        order = np.lexsort((evidence.work_ids, -np.nan_to_num(semantic), -of_passages, owners))
        firsts = order[np.append(True, owners[order][1:] != owners[order][:-1])]
        works[topic, owners[firsts]] = evidence.work_ids[firsts]
    return [
        tuple(
            TopicFinding(topic, STATES[state], work_id.decode() or None)
            for topic, state, work_id in zip(topics, *columns, strict=True)
        )
        for columns in zip(topical.must_have.T[places].tolist(), works.T.tolist(), strict=True)
    ]


def _words_of(topics: Sequence[Topic]) -> tuple[Alternatives, ...]:
    return tuple(topic.alternatives for topic in topics)


# Whole profiles: the scores of all their passages


def _of_whole_profiles(question: _Question, topical: _Topical, top_k: int) -> tuple[_Topical, _Whole]:
    """The profiles that could come among the first ``top_k``, and few others, with the scores of whole profiles."""
    least, greatest = _extreme_values(question)
    lowest = extreme_scores(LEAST_SHARE * topical.scores, least, question.weights)
    highest = extreme_scores(topical.scores, greatest, question.weights)
    # The true scores of the likeliest profiles rule out most of the others.
    likely = np.lexsort((-highest, topical.tiers))[: 2 * top_k]
    whole = _read_passages(question, topical.profiles[likely])
    lowest[likely] = extreme_scores(whole.scores, least, question.weights)
    highest[likely] = extreme_scores(whole.scores, greatest, question.weights)
    within = _within_reach(lowest, highest, topical.tiers, top_k, stability=question.circumstances.stability)
    others = np.setdiff1d(within, likely)
    if len(others):
        whole = whole.extended_by(_read_passages(question, topical.profiles[others]))
    return topical.narrowed(np.concatenate([likely, others]), whole.scores), whole


def _read_passages(question: _Question, profiles: Handles) -> _Whole:
    """All passages of these different profiles, as one score each."""
    nice = question.prepared.nice_to_have
    query = IndexQuery(question.terms, question.prepared.vector, _words_of(nice))
    passages = question.index.all_passages(query, profiles)
    owners, signals = _owners(passages, profiles), _topic_signals(question, passages)
    columns = np.column_stack([signals, lexical_value(passages.words)])
    whole = of_profiles(columns, _passage_scores(question, signals), owners, len(profiles))
    states = _best_of_profile(states_in_passages(nice, passages.topics, signals[:, 1]), owners, len(profiles))
    return _Whole(_passage_scores(question, whole[:, :-1]), whole[:, :-1], whole[:, -1], states == MET)


def _extreme_values(question: _Question) -> tuple[Float64Array, Float64Array]:
    """The least and the greatest value of each adjusting signal that any profile can have."""
    ranges = {"nice_to_have": (0.0, 1.0), **value_ranges(question.prepared.query, question.circumstances)}
    least, greatest = np.array([ranges[signal] for signal in ADJUSTING_SIGNALS]).T
    return least, greatest


# The shortlist: profiles whose facts are read


def _shortlist(question: _Question, topical: _Topical, whole: _Whole, top_k: int) -> _Shortlist:
    """All profiles whose facts could bring them among the first ``top_k``, and few others."""
    least, greatest = _extreme_values(question)
    lowest, highest = (extreme_scores(topical.scores, values, question.weights) for values in (least, greatest))
    # The true scores of the likeliest profiles rule out most of the others.
    likely = _read_facts(question, topical, whole, np.lexsort((-highest, topical.tiers))[: 2 * top_k])
    lowest[likely.places] = extreme_scores(topical.scores[likely.places], likely.values, question.weights)
    within = _within_reach(lowest, highest, topical.tiers, top_k, stability=question.circumstances.stability)
    others = np.setdiff1d(within, likely.places)
    return likely.extended_by(_read_facts(question, topical, whole, others)) if len(others) else likely


def _within_reach(
    lowest: Float64Array, highest: Float64Array, tiers: IntArray, top_k: int, *, stability: float
) -> IntArray:
    """Places of the profiles that could still come among the first ``top_k``, by their lowest and highest scores."""
    order = np.lexsort((-lowest, tiers))
    if len(order) <= top_k:
        return order
    last = order[top_k - 1]
    # Profiles of one tier lose the same share of their scores, at most a half.
    close = (tiers == tiers[last]) & (highest + 2 * stability >= lowest[last] - _ROUNDING)
    return np.flatnonzero((tiers < tiers[last]) | close)


def _read_facts(question: _Question, topical: _Topical, whole: _Whole, places: IntArray) -> _Shortlist:
    """The profiles at these places, with their structured signals."""
    query, circumstances = question.prepared.query, question.circumstances
    known = question.index.facts_of(topical.profiles[places])
    years = topical.candidates.years[topical.leaders[places]].tolist()
    findings = []
    for profile, year in zip(known, years, strict=True):
        standing = circumstances.standings.get(profile.profile_id, _NO_STANDING)
        candidate = CandidateFacts(profile.facts, standing, year or None)
        findings.append(
            {signal: function(query, candidate, circumstances.today) for signal, function in SIGNAL_FUNCTIONS.items()}
        )
    of_places = whole.at(places)
    values = _adjusting_values(findings, of_places.has_nice)
    return _Shortlist(places, [profile.profile_id for profile in known], of_places, findings, values)


def _adjusting_values(findings: Sequence[dict[str, SignalValue | None]], has_nice: BoolArray) -> Float64Array:
    """float64, shape (n_profiles, n_adjusting_signals), NaN = not known; in the order of ADJUSTING_SIGNALS."""
    values = np.full((len(findings), len(ADJUSTING_SIGNALS)), np.nan)
    for j, of_profile in enumerate(findings):
        for s, signal in enumerate(SIGNAL_FUNCTIONS):
            if (finding := of_profile[signal]) is not None:
                values[j, s] = finding.value
    if len(has_nice):
        values[:, -1] = np.mean(has_nice, axis=0)
    return values


# The answer


def _fused(question: _Question, topical: _Topical, shortlist: _Shortlist) -> Fused:
    former = question.circumstances.former_scores
    former_scores = np.array([former.get(profile_id, np.nan) for profile_id in shortlist.profile_ids], dtype=np.float64)
    return fuse(
        shortlist.whole.signals,
        shortlist.values,
        topical.share_missing(shortlist.places),
        question.weights,
        former_scores=former_scores,
        stability=question.circumstances.stability,
    )


def _ranked(
    question: _Question,
    topical: _Topical,
    shortlist: _Shortlist,
    fused: Fused,
    j: int,
    *,
    must_have: tuple[TopicFinding, ...],
) -> RankedProfile:
    """The shortlisted profile at place ``j``, with what it shows of the must-haves."""
    prepared, place = question.prepared, int(shortlist.places[j])
    score = float(fused.scores[j])
    passages = topical.passages(place)[:_N_EVIDENCE]
    enough = _EVIDENCE_SHARE * topical.passage_scores[passages[0]]
    shown = passages[topical.passage_scores[passages] >= enough]
    return RankedProfile(
        profile_id=shortlist.profile_ids[j],
        score=score,
        level=question.weights.floors.level_of(score),
        parts=_parts(question, topical, shortlist, fused, j),
        topic_signals=tuple(None if math.isnan(signal) else signal for signal in shortlist.whole.signals[j].tolist()),
        work_ids=tuple(work_id.decode() or None for work_id in topical.candidates.work_ids[shown].tolist()),
        must_have=must_have,
        missing_nice_to_have=tuple(
            topic.name
            for topic, is_there in zip(prepared.nice_to_have, shortlist.whole.has_nice[:, j].tolist(), strict=True)
            if not is_there
        ),
    )


def _topic_parts(whole: _Whole, fused: Fused, j: int, *, is_foreign: bool) -> list[ScorePart]:
    """The parts of the topic signals of the shortlisted profile at place ``j``.

    The words with which passages in another language are credited are a part of their meaning, which earned them.
    is_foreign : whether the best passage is in another language than the question.
    """
    lexical, semantic = (float(signal) for signal in whole.signals[j])
    by_words, by_meaning = fused.topic_parts[j].tolist()
    word_weight, meaning_weight = fused.topic_weights[j].tolist()
    if math.isnan(semantic):
        return [ScorePart("lexical", lexical, word_weight, by_words, lexical)]
    words = lexical
    if meaning_weight > 0 and (own := float(whole.words[j])) < lexical:
        credited = word_weight * (lexical - own)
        words, by_words, by_meaning = own, by_words - credited, by_meaning + credited
        meaning_weight = by_meaning / semantic if semantic > 0 else meaning_weight
    parts = [
        ScorePart("lexical", words, word_weight, by_words, lexical),
        ScorePart("semantic", semantic, meaning_weight, by_meaning, semantic),
    ]
    return parts[1:] if is_foreign and words == 0 and meaning_weight > 0 else parts


def _parts(
    question: _Question, topical: _Topical, shortlist: _Shortlist, fused: Fused, j: int
) -> tuple[ScorePart, ...]:
    """The parts of the shortlisted profile at place ``j``; what is not known is no part."""
    place = int(shortlist.places[j])
    values, findings = shortlist.values[j], shortlist.findings[j]
    is_foreign = bool(topical.candidates.languages[topical.leaders[place]] != question.prepared.language)
    parts = _topic_parts(shortlist.whole, fused, j, is_foreign=is_foreign)
    for s, signal in enumerate(ADJUSTING_SIGNALS):
        if not np.isnan(values[s]):
            finding = findings.get(signal)
            distance = 2.0 * float(values[s]) - 1.0
            weight = math.copysign(float(fused.adjusting_weights[j, s]), distance)
            contribution = float(fused.adjusting_parts[j, s])
            reason = finding.reason if finding is not None else None
            parts.append(ScorePart(signal, abs(distance), weight, contribution, float(values[s]), reason))
    if len(topical.must_have):
        taken, missing = float(fused.deducted[j]), float(topical.share_missing(place))
        parts.append(ScorePart(MUST_HAVE, missing, taken / missing if missing else 0.0, taken, missing))
    if (made_up := float(fused.steadied[j])) > 0:
        share = made_up / float(fused.allowances[j])
        parts.append(ScorePart(STABILITY, share, float(fused.allowances[j]), made_up, share, _STEADIED))
    return tuple(parts)
