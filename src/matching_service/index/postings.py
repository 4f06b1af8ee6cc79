"""Which passages of a segment use which terms, how often, and what a query scores with them. Exact.

A passage's impact of a term is sqrt(family weight) * (1 + ln count), divided by the Euclidean length of all its
impacts. It holds no document frequency, so a new passage changes no stored number; frequencies enter through the
query's weights. A count is kept as it is, in one byte, and a row in two: three bytes a posting, and nothing is rounded.
"""

import hashlib
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Self

import numpy as np
from numpy.typing import NDArray

from matching_service.index import kernels
from matching_service.index.contract import BoolArray, FloatArray, IntArray, TermCounts, TermWeights
from matching_service.text.terms import NGRAM_MARK, SYNONYM_MARK, is_ngram

MAX_ROWS = 1 << 16
"""Rows of a segment, so that a row takes two bytes and a query's scores of a segment stay in the processor's cache."""
MAX_COUNT = 255
"""More occurrences of a term in one passage count as this many."""

CHARACTER_WEIGHT = 1.0
BIGRAM_WEIGHT = 0.5
WORD_WEIGHT = 0.3
"""Shares of the families of terms in a product, chosen on labelled demands: docs/quality.md."""
LATIN_WEIGHT = 2.0
"""A word without Chinese characters (PLC, HPLC) has no n-grams; it weighs what a Chinese word has with its own."""
SYNONYM_WEIGHT = 1.0
"""Synonyms share no characters; their one common term stands for those, too."""

_FAMILIES = (CHARACTER_WEIGHT, BIGRAM_WEIGHT, WORD_WEIGHT, LATIN_WEIGHT, SYNONYM_WEIGHT, 0.0, 0.0, 0.0)
_CHARACTER, _BIGRAM, _WORD, _LATIN, _SYNONYM = range(5)
_FAMILY_BITS = np.uint64(7)
_FAMILY_FACTORS = np.sqrt(np.array(_FAMILIES, dtype=np.float64))
_COUNT_FACTORS = 1.0 + np.log(np.maximum(np.arange(MAX_COUNT + 1), 1))
_IMPACTS = _COUNT_FACTORS.astype(np.float32)
_SQUARES = np.rint((_FAMILY_FACTORS[:, None] * _COUNT_FACTORS) ** 2 * 2.0**30)
_HAN = re.compile("[\u3400-\u9fff]")
_LETTER = re.compile(r"[^\W\d_]")
_SEARCH_COST = 32
"""Looking up one row in a posting list costs as much as walking over so many postings."""

Keys = NDArray[np.uint64]


@lru_cache(maxsize=1 << 18)  # some 50 MB
def term_key(term: str) -> int:
    """A term as 64 bits: 61 of its BLAKE2b digest, and its family in the lowest three.

    Among two million terms, two share a key with a probability of one in a million; they would count as one.
    """
    digest = hashlib.blake2b(term.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "little") & ~7 | _family(term)


def term_keys(terms: Iterable[str]) -> Keys:
    """uint64, one key per term, in this order."""
    return np.fromiter(map(term_key, terms), dtype=np.uint64)


def _family(term: str) -> int:
    if is_ngram(term):
        return _CHARACTER if len(term) == len(NGRAM_MARK) + 1 else _BIGRAM
    if term.startswith(SYNONYM_MARK):
        return _SYNONYM
    is_quantity = term.startswith("=")
    is_latin = not is_quantity and _HAN.search(term) is None and _LETTER.search(term) is not None
    return _LATIN if is_latin else _WORD


def impacts(counts: TermCounts) -> dict[str, float]:
    """One passage's impacts per term, of unit Euclidean length; empty for an empty passage."""
    return unit({term: tf_weight(term, min(count, MAX_COUNT)) for term, count in counts.items()})


def tf_weight(term: str, count: float) -> float:
    """sqrt(family weight) * (1 + ln count); count is 1 at least."""
    return float(_FAMILY_FACTORS[term_key(term) & 7]) * (1.0 + math.log(count))


def unit(weights: TermWeights) -> dict[str, float]:
    """The weights divided by their Euclidean length; empty when that is 0."""
    norm = math.sqrt(math.fsum(weight * weight for weight in weights.values()))
    return {term: weight / norm for term, weight in weights.items()} if norm else {}


@dataclass(frozen=True, slots=True)
class TermQuery:
    """A query's terms by rising key, with all that does not depend on a passage: weight * sqrt(family weight).

    keys : uint64, shape (n_terms,). weights : float32, shape (n_terms,).
    """

    keys: Keys
    weights: FloatArray

    @classmethod
    def of(cls, weights: TermWeights) -> Self:
        keys = term_keys(weights)
        values = np.fromiter(weights.values(), dtype=np.float64, count=len(weights))
        order = np.argsort(keys)
        keys = keys[order]
        return cls(keys, (values[order] * _FAMILY_FACTORS[(keys & _FAMILY_BITS).astype(np.intp)]).astype(np.float32))


@dataclass(frozen=True, slots=True)
class Postings:
    """The inverted lists of one segment.

    terms : uint64, shape (n_terms,), rising. starts : int64, shape (n_terms + 1,); the list of term t is
    ``rows[starts[t]:starts[t + 1]]``. rows : uint16, rising within a term. counts : uint8, 1 at least.
    scales : float32, shape (n_rows,): 1 / Euclidean length of a passage's impacts, 0 for an empty passage.
    """

    terms: Keys
    starts: IntArray
    rows: NDArray[np.uint16]
    counts: NDArray[np.uint8]
    scales: FloatArray

    @classmethod
    def build(cls, passages: Sequence[TermCounts]) -> Self:
        """One row per passage, in this order."""
        sizes = [len(counts) for counts in passages]
        terms = term_keys(term for counts in passages for term in counts)
        numbers = np.fromiter(
            (min(count, MAX_COUNT) for counts in passages for count in counts.values()),
            dtype=np.uint8,
            count=sum(sizes),
        )
        return cls.from_entries(
            terms, np.repeat(np.arange(len(passages)), sizes).astype(np.uint16), numbers, len(passages)
        )

    @classmethod
    def from_entries(cls, terms: Keys, rows: NDArray[np.uint16], counts: NDArray[np.uint8], n_rows: int) -> Self:
        """From entries in any order, each a term, a row and a count, shape (n_entries,); no pair occurs twice."""
        if n_rows > MAX_ROWS:
            raise ValueError(f"{n_rows} rows in a segment of at most {MAX_ROWS}")
        if len(rows) and np.any(np.diff(rows.astype(np.int32)) < 0):
            order = np.argsort(rows, kind="stable")  # a radix sort for two bytes
            terms, rows, counts = terms[order], rows[order], counts[order]
        numbers = np.empty(len(terms), dtype=np.int32)
        firsts = kernels.number_terms(terms, numbers)
        n_terms = len(firsts)
        vocabulary = terms[firsts]  # by number: terms are numbered in the order of their first entries
        order = np.argsort(vocabulary)
        place_of = np.empty(n_terms, dtype=np.int32)
        place_of[order] = np.arange(n_terms, dtype=np.int32)
        numbers = place_of[numbers]
        starts = np.zeros(n_terms + 1, dtype=np.int64)
        np.cumsum(np.bincount(numbers, minlength=n_terms), out=starts[1:])
        sorted_rows, sorted_counts = np.empty_like(rows), np.empty_like(counts)
        kernels.gather(numbers, rows, counts, starts[:-1].copy(), sorted_rows, sorted_counts)
        return cls(vocabulary[order], starts, sorted_rows, sorted_counts, _scales(terms, rows, counts, n_rows))

    def entries(self) -> tuple[Keys, NDArray[np.uint16], NDArray[np.uint8]]:
        """Terms, rows and counts, shape (n_postings,), by term and row."""
        return np.repeat(self.terms, np.diff(self.starts)), self.rows, self.counts

    def document_counts(self, alive: BoolArray) -> IntArray:
        """int64, shape (n_terms,): how many of the rows that ``alive`` marks, shape (n_rows,), use each term."""
        if alive.all():
            return np.diff(self.starts)
        ends = np.concatenate([[0], np.cumsum(alive[self.rows])])
        return np.asarray(ends[self.starts[1:]] - ends[self.starts[:-1]], dtype=np.int64)

    def scores(self, query: TermQuery, out: FloatArray) -> None:
        """Fill ``out``, shape (n_rows,), with scores in [0, 1]: the product of two vectors of unit length."""
        kernels.add_terms(*self._lists(query), self.rows, self.counts, _IMPACTS, self.scales, out)

    def scores_of(self, query: TermQuery, wanted: IntArray) -> FloatArray:
        """float32, shape (len(wanted),): the same scores of some rows, in the cheaper of two ways."""
        starts, ends, weights = self._lists(query)
        if len(wanted) * len(weights) * _SEARCH_COST < int((ends - starts).sum()):
            out = np.empty(len(wanted), dtype=np.float32)
            kernels.add_terms_of(starts, ends, weights, self.rows, self.counts, _IMPACTS, self.scales, wanted, out)
            return out
        every = np.empty(len(self.scales), dtype=np.float32)
        self.scores(query, every)
        return every[wanted]

    def containing(self, keys: Keys) -> BoolArray:
        """bool, shape (n_rows,): which passages use every one of the different terms."""
        places, found = self._places(keys)
        if not found.all():
            return np.zeros(len(self.scales), dtype=np.bool_)
        n_present = np.zeros(len(self.scales), dtype=np.uint16)
        kernels.count_rows(self.starts[places], self.starts[places + 1], self.rows, n_present)
        return np.asarray(n_present == len(keys), dtype=np.bool_)

    def _lists(self, query: TermQuery) -> tuple[IntArray, IntArray, FloatArray]:
        places, found = self._places(query.keys)
        places = places[found]
        return self.starts[places], self.starts[places + 1], query.weights[found]

    def _places(self, keys: Keys) -> tuple[IntArray, BoolArray]:
        places = np.searchsorted(self.terms, keys)
        found = np.zeros(len(keys), dtype=np.bool_)
        inside = places < len(self.terms)
        found[inside] = self.terms[places[inside]] == keys[inside]
        return places, found


def _scales(terms: Keys, rows: NDArray[np.uint16], counts: NDArray[np.uint8], n_rows: int) -> FloatArray:
    """1 / length per row. Squares are whole numbers of 2^-30, so that equal passages have equal bits in any order."""
    squares = _SQUARES[(terms & _FAMILY_BITS).astype(np.intp), counts]
    sums = np.bincount(rows, weights=squares, minlength=n_rows) * 2.0**-30
    return np.asarray(np.divide(1.0, np.sqrt(sums), out=np.zeros(n_rows), where=sums > 0), dtype=np.float32)
