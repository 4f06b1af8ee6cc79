"""From the scores of passages to that of a profile: the best passage, and the better part of all, half each.

The best one alone prefers whoever has one lucky word to whoever has ten good works, and whoever has more works. A mean
of all punishes specialists for their other works. Half and half loses next to nothing where one work is perfect among
fifty, and gains elsewhere; benchmarks/works.py and docs/quality.md compare it with others.
"""

import numpy as np

from matching_service.index.contract import FloatArray, IntArray
from matching_service.ranking.fusion import Float64Array

LEAST_SHARE = 0.5
"""A profile scores at least this share of its best passage's score, and never more than that."""
_BETTER_PART = (2, 3)
"""The share of the passages, rounded up, whose mean counts: two thirds."""


def of_profiles(values: FloatArray, scores: Float64Array, owners: IntArray, n_profiles: int) -> FloatArray:
    """Return float32, shape (n_profiles, n_columns): half the best passage, half the mean of the better part.

    values : float32, shape (n_passages, n_columns), NaN = not known; a mean is over what is known.
    scores : float64, shape (n_passages,), by which passages are better. Of equal ones the first is the better.
    owners : int64, shape (n_passages,): the profile of each passage. Each profile has one at least.
    """
    order = np.lexsort((-scores, owners))
    counts = np.bincount(owners, minlength=n_profiles)
    firsts = np.cumsum(counts) - counts
    owners = owners[order]
    part, whole = _BETTER_PART
    is_better = (np.arange(len(order)) - firsts[owners]) * whole < counts[owners] * part
    rows, owners = order[is_better], owners[is_better]
    means = np.full((n_profiles, values.shape[1]), np.nan)
    for column, of_passages in enumerate(values[rows].T):
        is_known = ~np.isnan(of_passages)
        n_known = np.bincount(owners, weights=is_known, minlength=n_profiles)
        sums = np.bincount(owners, weights=np.where(is_known, of_passages, 0.0), minlength=n_profiles)
        np.divide(sums, n_known, out=means[:, column], where=n_known > 0)
    best = values[order[firsts]].astype(np.float64)
    halves = LEAST_SHARE * best + (1 - LEAST_SHARE) * means
    return np.where(np.isnan(best), means, halves).astype(np.float32)
