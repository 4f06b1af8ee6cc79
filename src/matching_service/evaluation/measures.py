"""Quality measures of one ranked list of graded items.

Each function takes the grades of ALL judged items of one demand in ranked order, best first. It raises ValueError
where the measure is not defined: counting such demands as 0 or 1 would distort the mean. Measures of binary relevance
treat a grade of ``relevant_from`` or more as relevant.
"""

import math
from collections import Counter
from collections.abc import Sequence

RELEVANT_FROM = 2
"""The lowest grade that counts as relevant: 2 related, 3 strong."""


def ndcg(grades: Sequence[int], *, k: int) -> float:
    """Normalised discounted cumulative gain (Järvelin and Kekäläinen 2002) with gain 2^grade - 1, in [0, 1].

    The ideal list is the same grades in descending order. Raises ValueError if no grade is positive.
    """
    ideal = dcg(sorted(grades, reverse=True), k=k)
    if ideal <= 0:
        raise ValueError("no positive grade")
    return dcg(grades, k=k) / ideal


def dcg(grades: Sequence[int], *, k: int) -> float:
    """Discounted cumulative gain: the sum of (2^grade - 1) / log2(rank + 1) over the first ``k`` items."""
    return sum((2.0**grade - 1) / math.log2(rank + 1) for rank, grade in enumerate(grades[:k], start=1))


def average_precision(grades: Sequence[int], *, relevant_from: int = RELEVANT_FROM) -> float:
    """Mean of the precision at the rank of each relevant item, in (0, 1] (Manning et al. 2008, section 8.4).

    Over the whole list. Raises ValueError if no item is relevant.
    """
    ranks = _ranks_of_relevant(grades, relevant_from)
    return math.fsum(n_relevant / rank for n_relevant, rank in enumerate(ranks, start=1)) / len(ranks)


def reciprocal_rank(grades: Sequence[int], *, relevant_from: int = RELEVANT_FROM) -> float:
    """1 / rank of the first relevant item, in (0, 1] (Voorhees 1999, TREC-8 question answering).

    Over the whole list. Raises ValueError if no item is relevant.
    """
    return 1 / _ranks_of_relevant(grades, relevant_from)[0]


def recall(grades: Sequence[int], *, k: int, relevant_from: int = RELEVANT_FROM) -> float:
    """Share of the relevant items among the first ``k``, in [0, 1] (Manning et al. 2008, section 8.3).

    Counts only JUDGED items; other relevant items are unknown. Always 1 if at most ``k`` items were judged. Cannot
    reach 1 if more than ``k`` items are relevant. Raises ValueError if no item is relevant.
    """
    ranks = _ranks_of_relevant(grades, relevant_from)
    return sum(rank <= k for rank in ranks) / len(ranks)


def pairwise_accuracy(grades: Sequence[int]) -> float:
    """Share of the pairs with different grades whose better item is ranked first, in [0, 1]. Chance is 0.5.

    Equals (gamma + 1) / 2 for Goodman and Kruskal's gamma (1954), because a list has no ties. Raises ValueError if no
    two grades differ.
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
    """Return the ranks (from 1, ascending) of the relevant items. Raises ValueError if there are none."""
    ranks = [rank for rank, grade in enumerate(grades, start=1) if grade >= relevant_from]
    if not ranks:
        raise ValueError(f"no item of grade {relevant_from} or more")
    return ranks
