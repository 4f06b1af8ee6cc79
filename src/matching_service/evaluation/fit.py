"""Fit weights and level floors to judged pairs. Every reported figure is cross-validated by demand."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from matching_service.evaluation.compare import Scorer, folds
from matching_service.index.contract import BoolArray, FloatArray, IntArray
from matching_service.ranking.calibrate import Level, LevelFloors
from matching_service.ranking.fusion import ADJUSTING_SIGNALS, TOPIC_SIGNALS, Float64Array, Weights, fuse

N_FOLDS = 8
EXPECTED_GRADES = {"weak": 0.5, "related": 1.0, "strong": 1.4}
"""The calibration target of each level: the mean grade (0 none to 3 strong) of pairs at the level's floor."""

_TEMPERATURE = 0.05
"""Scale of the loss: a score difference of this size makes an order likely (73 %), not certain."""
_PENALTY = 0.02
"""Penalty per squared distance from the initial weights. Keeps weights in place that the labels do not determine."""
_MAX_PAIRS_PER_DEMAND = 500


@dataclass(frozen=True, slots=True)
class JudgedPairs:
    """Judged pairs of demand and profile with their signals, each array with one row per pair.

    grades : int64, 0 to 3. topic, adjusting, share_missing : see ``fusion.fuse``.
    groups : demand id -> key of its group. Duplicates of a demand share a group.
    """

    demand_ids: Sequence[str]
    profile_ids: Sequence[str]
    grades: IntArray
    topic: FloatArray
    adjusting: Float64Array
    share_missing: Float64Array
    groups: Mapping[str, str]

    def scores(self, weights: Weights) -> Float64Array:
        """Return the fused scores: float64, shape (n_pairs,), in [0, 1]."""
        return fuse(self.topic, self.adjusting, self.share_missing, weights).scores

    def of(self, demand_ids: frozenset[str]) -> "JudgedPairs":
        """Return the pairs of the given demands."""
        rows = [row for row, demand_id in enumerate(self.demand_ids) if demand_id in demand_ids]
        return JudgedPairs(
            [self.demand_ids[row] for row in rows],
            [self.profile_ids[row] for row in rows],
            self.grades[rows],
            self.topic[rows],
            self.adjusting[rows],
            self.share_missing[rows],
            {demand_id: group for demand_id, group in self.groups.items() if demand_id in demand_ids},
        )


@dataclass(frozen=True, slots=True)
class CrossValidated:
    """Per pair the score and the level, from weights and floors that were fitted without the pair's demand."""

    scores: Float64Array
    levels: Sequence[Level]


def fit_weights(pairs: JudgedPairs, start: Weights, *, version: str) -> Weights:
    """Return the weights near ``start`` that order the judged pairs best, with floors calibrated for them.

    Minimises the weighted mean of log(1 + exp(-difference / 0.05)) over pairs of profiles that have different grades
    for the same demand, with the weight 2^better - 2^worse (RankNet, Burges et al. 2005, weighted by gain), plus a
    penalty for the distance from ``start``. A silent signal (one that is NaN in all pairs) keeps its weight; the other
    adjusting weights share the rest of 1.
    """
    better, worse = _ordered_pairs(pairs)
    gain = np.exp2(pairs.grades[better]) - np.exp2(pairs.grades[worse])
    gain /= gain.sum()
    first = np.concatenate([start.topic()[:1], start.adjusting()])
    is_silent = np.concatenate([[np.isnan(pairs.topic).any(axis=1).all()], np.isnan(pairs.adjusting).all(axis=0)])

    def loss(parameters: Float64Array) -> float:
        scores = pairs.scores(_weights(_capped(parameters, is_silent), version))
        margin = (scores[better] - scores[worse]) / _TEMPERATURE
        return float(gain @ np.logaddexp(0.0, -margin) + _PENALTY * np.sum((parameters - first) ** 2))

    free = [(0.01, 0.99), *((0.0, 1.0) for _ in ADJUSTING_SIGNALS)]
    bounds = [(w, w) if silent else bound for w, silent, bound in zip(first, is_silent, free, strict=True)]
    from scipy.optimize import minimize  # noqa: PLC0415  # takes 0.25 s; only fitting needs it

    minimum = minimize(loss, first, method="L-BFGS-B", bounds=bounds)
    weights = _weights(_capped(np.clip(minimum.x, *np.transpose(bounds)), is_silent), version)
    return replace(weights, floors=fit_floors(pairs.scores(weights), pairs.grades))


def fit_floors(scores: Float64Array, grades: IntArray) -> LevelFloors:
    """Calibrate the floors: the lowest scores whose expected grade reaches EXPECTED_GRADES.

    The expected grade is the isotonic regression of the grades on the scores. The floor of a level that no score
    reaches is half way between the highest score and 1.
    """
    from sklearn.isotonic import IsotonicRegression  # noqa: PLC0415  # takes over a second; only fitting needs it

    order = np.argsort(scores, kind="stable")
    expected = IsotonicRegression().fit_transform(scores[order], grades[order])
    floors = {}
    for level, wanted in EXPECTED_GRADES.items():
        first = int(np.searchsorted(expected, wanted))
        floor = float(scores[order][first]) if first < len(order) else (1.0 + float(scores.max())) / 2
        floors[level] = min(max(floor, 1e-3), 1 - 1e-3)
    return LevelFloors(**floors)


def cross_validate(pairs: JudgedPairs, start: Weights, *, fitted: bool, seed: int = 0) -> CrossValidated:
    """Score every pair with weights and floors that were fitted on the other folds. Demands are never split.

    ``fitted=False`` keeps the weights of ``start`` and fits only the floors.
    """
    scores = np.zeros(len(pairs.grades))
    levels: list[Level] = ["none"] * len(pairs.grades)
    for fold in folds(pairs.groups, n=min(N_FOLDS, len(set(pairs.groups.values()))), seed=seed):
        train = pairs.of(frozenset(pairs.groups) - fold)
        if fitted:
            weights = fit_weights(train, start, version=start.version)
        else:
            weights = replace(start, floors=fit_floors(train.scores(start), train.grades))
        rows = [row for row, demand_id in enumerate(pairs.demand_ids) if demand_id in fold]
        scores[rows] = pairs.of(fold).scores(weights)
        for row in rows:
            levels[row] = weights.floors.level_of(float(scores[row]))
    return CrossValidated(scores, levels)


def pair_scorer(pairs: JudgedPairs, scores: Float64Array) -> Scorer:
    """Return a scorer that looks up the given scores."""
    known: dict[str, dict[str, float]] = {}
    for demand_id, profile_id, score in zip(pairs.demand_ids, pairs.profile_ids, scores.tolist(), strict=True):
        known.setdefault(demand_id, {})[profile_id] = score
    return lambda demand_id, _profile_ids: known[demand_id]


def _capped(parameters: Float64Array, is_silent: BoolArray) -> Float64Array:
    """Scale down the adjusting weights that are not silent, so that all adjusting weights sum to at most 1."""
    fitted = ~is_silent
    fitted[0] = False
    available = 1.0 - parameters[1:][is_silent[1:]].sum()
    total = parameters[fitted].sum()
    return np.where(fitted, parameters * (available / total), parameters) if total > available else parameters


def _weights(parameters: Float64Array, version: str) -> Weights:
    lexical, adjusting = float(parameters[0]), parameters[1:].tolist()
    topic = dict(zip(TOPIC_SIGNALS, (lexical, 1.0 - lexical), strict=True))
    return Weights(version, topic | dict(zip(ADJUSTING_SIGNALS, adjusting, strict=True)))


def _ordered_pairs(pairs: JudgedPairs) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """For two pairs of one demand with different grades, the rows of the better and the worse; at most 500 a demand."""
    generator = np.random.default_rng(0)
    demand_ids = np.array(pairs.demand_ids)
    better: list[NDArray[np.int64]] = []
    worse: list[NDArray[np.int64]] = []
    for demand_id in pairs.groups:
        rows = np.flatnonzero(demand_ids == demand_id)
        grades = pairs.grades[rows]
        high, low = np.nonzero(grades[:, None] > grades[None, :])
        if len(high) > _MAX_PAIRS_PER_DEMAND:
            chosen = generator.choice(len(high), _MAX_PAIRS_PER_DEMAND, replace=False)
            high, low = high[chosen], low[chosen]
        better.append(rows[high])
        worse.append(rows[low])
    return np.concatenate(better), np.concatenate(worse)
