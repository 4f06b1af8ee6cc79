"""Compare rankers on the same judged pairs: their measures, and whether a difference is more than chance."""

import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from matching_service.evaluation.judgements import Judgements
from matching_service.evaluation.measures import (
    RELEVANT_FROM,
    average_precision,
    ndcg,
    pairwise_accuracy,
    recall,
    reciprocal_rank,
)

Scorer = Callable[[str, Sequence[str]], Mapping[str, float]]
"""Returns the scores of the given profile ids for a demand id. A missing id scores 0."""

MEASURES = ("ndcg", "map", "mrr", "recall", "pairwise")
"""The first measure decides which ranker is better."""
CUT_MEASURES = ("ndcg", "recall")
"""The measures over the first k items only. The others use the whole list."""

N_WORST = 10

_DIGITS = 12
"""Differences are rounded to this many digits, so that gains that cancel give 0 and not floating-point noise."""

_CHUNK_SIZE = 1 << 21
"""Number of bootstrap draws in memory at once: 16 MB of indices, independent of the number of demands."""


@dataclass(frozen=True, slots=True)
class Result:
    """One ranker's measures: measure -> demand id -> value in [0, 1].

    Every measure of MEASURES is a key. A demand is absent from a measure that is not defined for it: ndcg needs a
    positive grade; map, mrr and recall need a grade of RELEVANT_FROM or more; pairwise needs two different grades.
    """

    name: str
    k: int
    per_demand: Mapping[str, Mapping[str, float]]

    def mean(self, measure: str) -> float:
        """Return the mean over the demands for which the measure is defined. Raises ValueError if there are none."""
        values = self.per_demand[measure].values()
        if not values:
            raise ValueError(f"{measure} is not defined for any demand")
        return math.fsum(values) / len(values)


@dataclass(frozen=True, slots=True)
class Difference:
    """The gain of ranker b over ranker a in one measure, on the same demands.

    mean : mean of b - a, in [-1, 1]. low, high : its 95 % confidence interval.
    p_not_better : share of the resampled means that are 0 or less. 0 means less than 1 / n_resamples.
    worst : (demand id, gain below 0) of the demands where b loses most, worst first, at most N_WORST.
    """

    measure: str
    n_demands: int
    mean: float
    low: float
    high: float
    p_not_better: float
    worst: Sequence[tuple[str, float]]

    @property
    def is_better(self) -> bool:
        """Tell whether the whole interval is above 0."""
        return self.low > 0


def evaluate(name: str, scorer: Scorer, judgements: Judgements, *, k: int) -> Result:
    """Rank each demand's judged profiles by score, ties by id, and measure the lists.

    Demands without a positive grade are skipped, because no measure is defined for them. Raises ValueError for a NaN
    score, which cannot be ordered.
    """
    per_demand: dict[str, dict[str, float]] = {measure: {} for measure in MEASURES}
    for demand_id, grades in judgements.items():
        best = max(grades.values(), default=0)
        if best <= 0:
            continue
        scores = scorer(demand_id, sorted(grades))
        if any(math.isnan(score) for score in scores.values()):
            raise ValueError(f"{name} scored NaN for demand {demand_id}")
        ranked = sorted(grades, key=lambda profile_id: (-scores.get(profile_id, 0.0), profile_id))
        ranked_grades = [grades[profile_id] for profile_id in ranked]
        per_demand["ndcg"][demand_id] = ndcg(ranked_grades, k=k)
        if best >= RELEVANT_FROM:
            per_demand["map"][demand_id] = average_precision(ranked_grades)
            per_demand["mrr"][demand_id] = reciprocal_rank(ranked_grades)
            per_demand["recall"][demand_id] = recall(ranked_grades, k=k)
        if min(ranked_grades) < best:
            per_demand["pairwise"][demand_id] = pairwise_accuracy(ranked_grades)
    return Result(name, k, per_demand)


def compare(a: Result, b: Result, *, measure: str = "ndcg", n_resamples: int = 10_000, seed: int = 0) -> Difference:
    """Estimate b - a by a paired bootstrap over demands (percentile interval; Efron and Tibshirani 1993, chapter 13).

    Demands are resampled as if they were independent. Duplicate demands therefore make the interval too narrow, and so
    do very few demands: for one demand it is a point. The order of demands does not matter. Raises ValueError if the
    results have a different k or different demands, or no demand.
    """
    of_a, of_b = a.per_demand[measure], b.per_demand[measure]
    if a.k != b.k or of_a.keys() != of_b.keys():
        raise ValueError(f"{a.name} and {b.name} were not measured on the same demands at the same k")
    if not of_a:
        raise ValueError(f"{measure} is not defined for any demand")
    demand_ids = sorted(of_a)
    gains = np.array([round(of_b[demand_id] - of_a[demand_id], _DIGITS) for demand_id in demand_ids])
    means = _resampled_means(gains, n_resamples, seed)
    low, high = np.quantile(means, (0.025, 0.975)).tolist()
    losses = sorted((gain, demand_id) for gain, demand_id in zip(gains.tolist(), demand_ids, strict=True) if gain < 0)
    return Difference(
        measure=measure,
        n_demands=len(demand_ids),
        mean=math.fsum(gains) / len(demand_ids),
        low=low,
        high=high,
        p_not_better=float(np.mean(means <= 0)),
        worst=tuple((demand_id, gain) for gain, demand_id in losses[:N_WORST]),
    )


def _resampled_means(values: NDArray[np.float64], n_resamples: int, seed: int) -> NDArray[np.float64]:
    """Return float64, shape (n_resamples,): the mean of each sample of len(values), drawn with replacement."""
    generator = np.random.default_rng(seed)
    means = np.empty(n_resamples)
    step = max(1, _CHUNK_SIZE // len(values))
    for start in range(0, n_resamples, step):
        part = means[start : start + step]
        part[:] = values[generator.integers(len(values), size=(len(part), len(values)))].mean(axis=1)
    return means.round(_DIGITS)


def folds(groups: Mapping[str, str], *, n: int, seed: int) -> list[frozenset[str]]:
    """Split demand ids into ``n`` folds for cross-validation. A group is never split.

    groups : demand id -> key of its group, such as its normalised text. The same demand is often posted twice, and a
        copy in the training folds would leak the answer.
    Groups are shuffled with the seed, then assigned largest first to the smallest fold so far. The sizes of two folds
    differ by at most the largest group. The order of ``groups`` does not matter. Raises ValueError if there are fewer
    groups than folds.
    """
    members: dict[str, list[str]] = {}
    for demand_id, group in sorted(groups.items()):
        members.setdefault(group, []).append(demand_id)
    if not 1 <= n <= len(members):
        raise ValueError(f"{len(members)} groups of demands cannot make {n} folds")
    shuffled = list(members.values())
    random.Random(seed).shuffle(shuffled)  # noqa: S311  # not for secrets
    split: list[list[str]] = [[] for _ in range(n)]
    for demand_ids in sorted(shuffled, key=len, reverse=True):
        min(split, key=len).extend(demand_ids)
    return [frozenset(fold) for fold in split]


def random_scorer(seed: int) -> Scorer:
    """Score at random: the floor for every comparison."""
    generator = random.Random(seed)  # noqa: S311  # not for secrets

    def score(_demand_id: str, profile_ids: Sequence[str]) -> Mapping[str, float]:
        return {profile_id: generator.random() for profile_id in profile_ids}

    return score
