"""Rankers side by side on the same judged pairs."""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from matching_service.evaluation.judgements import Judgements
from matching_service.evaluation.measures import ndcg

Scorer = Callable[[str, Sequence[str]], Mapping[str, float]]
"""Scores of the given profile ids for a demand id; an id that is left out scores 0."""


@dataclass(frozen=True, slots=True)
class Result:
    """One ranker's nDCG@k per demand, over the demands that have a positive judgement."""

    name: str
    per_demand: Mapping[str, float]

    @property
    def mean(self) -> float:
        return sum(self.per_demand.values()) / len(self.per_demand)


def evaluate(name: str, scorer: Scorer, judgements: Judgements, *, k: int) -> Result:
    """Rank each demand's judged profiles by the scorer, equal scores by id, and measure nDCG@k."""
    per_demand: dict[str, float] = {}
    for demand_id, grades in judgements.items():
        if max(grades.values()) == 0:
            continue
        scores = scorer(demand_id, sorted(grades))
        ranked = sorted(grades, key=lambda profile_id: (-scores.get(profile_id, 0.0), profile_id))
        per_demand[demand_id] = ndcg([grades[profile_id] for profile_id in ranked], k=k)
    return Result(name, per_demand)


def random_scorer(seed: int) -> Scorer:
    """The floor: any order at all."""
    generator = random.Random(seed)  # noqa: S311  # not for secrets

    def score(_demand_id: str, profile_ids: Sequence[str]) -> Mapping[str, float]:
        return {profile_id: generator.random() for profile_id in profile_ids}

    return score
