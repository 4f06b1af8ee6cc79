"""Measures of one ranked list of graded items.

Each takes the grades of ALL judged items of one demand, best ranked first, and raises ValueError where it is not
defined: leaving such demands in as 0 or 1 would blur a mean. Where items are only relevant or not, a grade of
``relevant_from`` or more is relevant.
"""

import math
from collections import Counter
from collections.abc import Sequence

RELEVANT_FROM = 2
"""The lowest grade that a reader of a list would call a hit: 2 related, 3 strong."""


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


def average_precision(grades: Sequence[int], *, relevant_from: int = RELEVANT_FROM) -> float:
    """Mean over the relevant items of the precision at their ranks, in (0, 1] (Manning et al. 2008, section 8.4).

    Not cut at any k. Raises ValueError when no item is relevant.
    """
    ranks = _ranks_of_relevant(grades, relevant_from)
    return math.fsum(n_found / rank for n_found, rank in enumerate(ranks, start=1)) / len(ranks)


def reciprocal_rank(grades: Sequence[int], *, relevant_from: int = RELEVANT_FROM) -> float:
    """1 / rank of the first relevant item, in (0, 1] (Voorhees 1999, TREC-8 question answering).

    Not cut at any k. Raises ValueError when no item is relevant.
    """
    return 1 / _ranks_of_relevant(grades, relevant_from)[0]


def recall(grades: Sequence[int], *, k: int, relevant_from: int = RELEVANT_FROM) -> float:
    """Share of the relevant items that stand among the first ``k``, in [0, 1] (Manning et al. 2008, section 8.3).

    Of the JUDGED relevant items: nobody knows the others. It says nothing (always 1) when at most ``k`` items were
    judged, and cannot reach 1 when more than ``k`` are relevant. Raises ValueError when no item is relevant.
    """
    ranks = _ranks_of_relevant(grades, relevant_from)
    return sum(rank <= k for rank in ranks) / len(ranks)


def pairwise_accuracy(grades: Sequence[int]) -> float:
    """Share of the pairs with different grades whose better item stands first, in [0, 1]; chance is 0.5.

    It is (gamma + 1) / 2 of Goodman and Kruskal's gamma (1954), a list having no ties. Raises ValueError when no two
    grades differ.
    """
    n_right = n_pairs = 0
    above: Counter[int] = Counter()
    for grade in grades:
        n_right += sum(n for other, n in above.items() if other > grade)
        n_pairs += sum(n for other, n in above.items() if other != grade)
        above[grade] += 1
    if n_pairs == 0:
        raise ValueError("no pair of different grades")
    return n_right / n_pairs


def _ranks_of_relevant(grades: Sequence[int], relevant_from: int) -> list[int]:
    """Ranks from 1, ascending; at least one, else ValueError."""
    ranks = [rank for rank, grade in enumerate(grades, start=1) if grade >= relevant_from]
    if not ranks:
        raise ValueError(f"no item of grade {relevant_from} or more")
    return ranks
