"""How many passages use each term, counted once and then kept, so that scores do not creep from change to change."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from matching_service.index.contract import TermCounts, TermWeights
from matching_service.index.postings import Keys, Postings, term_keys, tf_weight, unit

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
        """From terms and in how many passages each occurs; a term may stand in several lists."""
        parts = list(lists)
        terms = np.concatenate([np.zeros(0, np.uint64), *(terms for terms, _ in parts)])
        counts = np.concatenate([np.zeros(0, np.int64), *(counts for _, counts in parts)])
        different, place_of = np.unique(terms, return_inverse=True)
        totals = np.bincount(place_of, weights=counts, minlength=len(different)).astype(np.uint32)
        return cls(different, totals, np.array([n_passages], dtype=np.int64))

    @classmethod
    def count(cls, passages: Sequence[TermCounts]) -> Self:
        """From the passages themselves."""
        postings = Postings.build(passages)
        return cls.of([(postings.terms, np.diff(postings.starts))], len(passages))

    def __len__(self) -> int:
        """The number of passages that were counted."""
        return int(self.size[0])

    def idf(self, term: str) -> float:
        """ln((n + 1) / (df + 1)) + 1, positive; a term never seen has df 0."""
        return self.idfs([term])[term]

    def idfs(self, terms: Iterable[str]) -> dict[str, float]:
        """The same for several terms."""
        named = list(terms)
        keys = term_keys(named)
        places = np.searchsorted(self.terms, keys)
        found = np.zeros(len(keys), dtype=np.int64)
        inside = np.flatnonzero(places < len(self.terms))
        known = inside[self.terms[places[inside]] == keys[inside]]
        found[known] = self.counts[places[known]]
        return dict(zip(named, (np.log((len(self) + 1) / (found + 1)) + 1).tolist(), strict=True))

    def weigh(self, counts: TermCounts, rarity: TermWeights = _NO_RARITY) -> dict[str, float]:
        """A query's term weights, of unit Euclidean length: sqrt(family weight) * (1 + ln tf) * idf * rarity.

        ``rarity`` holds further factors, 1 where a term is not there. Terms that no passage has count for the length
        as well, so a query that the corpus hardly covers scores low. Counts are 1 at least.
        """
        idfs = self.idfs(counts)
        return unit({term: tf_weight(term, n) * idfs[term] * rarity.get(term, 1.0) for term, n in counts.items()})
