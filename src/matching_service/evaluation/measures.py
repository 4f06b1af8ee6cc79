"""Measures of one ranked list of graded items."""

import math
from collections.abc import Sequence


def ndcg(grades: Sequence[int], *, k: int) -> float:
    """Normalised discounted cumulative gain (Järvelin and Kekäläinen 2002) with gain 2^grade - 1, in [0, 1].

    grades : the grades of ALL judged items of one demand, best ranked first.
    The ideal list is made of the same grades. Raises ValueError when no grade is positive: the measure
    is not defined there, and leaving such demands in as 0 or 1 would blur the mean.
    """
    ideal = dcg(sorted(grades, reverse=True), k=k)
    if ideal <= 0:
        raise ValueError("no positive grade")
    return dcg(grades, k=k) / ideal


def dcg(grades: Sequence[int], *, k: int) -> float:
    """Sum of (2^grade - 1) / log2(rank + 1) over the first ``k`` items."""
    return sum((2.0**grade - 1) / math.log2(rank + 1) for rank, grade in enumerate(grades[:k], start=1))
