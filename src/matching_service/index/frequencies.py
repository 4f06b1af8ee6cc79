"""Document frequencies: how many passages use each term. Counted now and then, so that a change of one profile moves no
other profile's score.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from matching_service.index.contract import TermCounts, TermWeights
from matching_service.index.postings import Keys, Postings, Terms, family_factors, located, term_keys

_NO_RARITY: TermWeights = {}


@dataclass(frozen=True, slots=True)
class Frequencies:
    """terms : uint64, shape (n_terms,), rising. counts : uint32, shape (n_terms,).
    size : int64, shape (1,), the number of passages that were counted.
    """

    terms: Keys
    counts: NDArray[np.uint32]
    size: NDArray[np.int64]

    @classmethod
    def of(cls, lists: Iterable[tuple[Keys, NDArray[np.int64]]], n_passages: int) -> Self:
        """From lists of terms and document counts. A term may stand in several lists, or count 0."""
        parts = list(lists)
        terms = np.concatenate([np.zeros(0, np.uint64), *(terms for terms, _ in parts)])
        counts = np.concatenate([np.zeros(0, np.int64), *(counts for _, counts in parts)])
        different, place_of = np.unique(terms, return_inverse=True)
        totals = np.bincount(place_of, weights=counts, minlength=len(different)).astype(np.uint32)
        occur = totals > 0  # a term whose passages are all gone counts as never seen
        return cls(different[occur], totals[occur], np.array([n_passages], dtype=np.int64))

    @classmethod
    def count(cls, passages: Sequence[TermCounts]) -> Self:
        """Count the terms of these passages."""
        postings = Postings.build(passages)
        return cls.of([(postings.terms, np.diff(postings.starts))], len(passages))

    def __len__(self) -> int:
        """The number of passages that were counted."""
        return int(self.size[0])

    def idf(self, term: str) -> float:
        """Inverse document frequency: ln((n + 1) / (df + 1)) + 1, positive; df is 0 for a term never seen."""
        return float(self.idfs([term])[0])

    def idfs(self, terms: Collection[str]) -> NDArray[np.float64]:
        """``idf`` of several terms, float64, shape (n_terms,)."""
        return self._idfs(term_keys(terms))

    def weigh(self, counts: TermCounts, rarity: TermWeights = _NO_RARITY) -> dict[str, float]:
        """A query's term weights, of unit Euclidean length: sqrt(family weight) * (1 + ln tf) * idf * rarity.

        ``rarity`` holds further factors, 1 for a term that is not in it. Terms that no passage uses count for the
        length as well, so a query that the corpus hardly covers scores low. Counts are at least 1.
        """
        terms = Terms.of(counts)
        factors = np.fromiter((rarity.get(name, 1.0) for name in terms.names), dtype=np.float64)
        return dict(zip(terms.names, self.weights(terms, factors).tolist(), strict=True))

    def weights(self, terms: Terms, rarity: NDArray[np.float64] | float = 1.0) -> NDArray[np.float64]:
        """``weigh`` as float64, shape (n_terms,). ``terms``, ``rarity`` and the result have one order."""
        weights = family_factors(terms.keys) * (1.0 + np.log(terms.counts)) * self._idfs(terms.keys) * rarity
        length = np.sqrt((weights * weights).sum())
        return weights / length if length else weights

    def _idfs(self, keys: Keys) -> NDArray[np.float64]:
        firsts, lasts = located(self.terms, keys)
        counts = np.zeros(len(keys), dtype=np.int64)
        known = firsts < lasts
        counts[known] = self.counts[firsts[known]]
        return np.asarray(np.log((len(self) + 1) / (counts + 1)) + 1, dtype=np.float64)
