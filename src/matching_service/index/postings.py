"""The inverted lists of a segment and the word scores of a query. Exact.

The impact of a term in a passage is sqrt(family weight) * (1 + ln count), divided by the Euclidean length of all the
passage's impacts. It contains no document frequency, so a new passage changes no stored number; frequencies enter
through the query's weights. Nothing is rounded.
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
"""The most rows of a segment: a row number takes two bytes, and a segment's scores fit in the processor's cache."""
MAX_COUNT = 255
"""A term that occurs more often in one passage counts as this often."""

CHARACTER_WEIGHT = 1.0
BIGRAM_WEIGHT = 0.5
WORD_WEIGHT = 0.3
"""Weights of the families of terms in a score, chosen on labelled demands: docs/quality.md."""
LATIN_WEIGHT = 2.0
"""A word without Chinese characters (PLC, HPLC) has no n-grams, so it weighs as much as a Chinese word with its own."""
SYNONYM_WEIGHT = 1.0
"""Synonyms share no characters, so their common term also stands for the n-grams that they do not share."""

_FAMILIES = (CHARACTER_WEIGHT, BIGRAM_WEIGHT, WORD_WEIGHT, LATIN_WEIGHT, SYNONYM_WEIGHT, 0.0, 0.0, 0.0)
_CHARACTER, _BIGRAM, _WORD, _LATIN, _SYNONYM = range(5)
_FAMILY_BITS = np.uint64(7)
_FAMILY_FACTORS = np.sqrt(np.array(_FAMILIES, dtype=np.float64))
_COUNT_FACTORS = 1.0 + np.log(np.maximum(np.arange(MAX_COUNT + 1), 1))
_COUNT_FACTOR_OF: list[float] = _COUNT_FACTORS.tolist()
_IMPACTS = _COUNT_FACTORS.astype(np.float32)
_SQUARES = np.rint((_FAMILY_FACTORS[:, None] * _COUNT_FACTORS) ** 2 * 2.0**30)
_HAN = re.compile("[\u3400-\u9fff]")
_LETTER = re.compile(r"[^\W\d_]")
_ROWS_AT_ONCE = 4
_SEARCH_COST = 32
"""The cost of one binary search in a posting list, in postings read one after the other."""

Keys = NDArray[np.uint64]


@lru_cache(maxsize=1 << 18)  # some 50 MB
def term_key(term: str) -> int:
    """A term as 64 bits: 61 bits of its BLAKE2b digest, and its family in the lowest three.

    Two terms with one key count as one. The probability of such a pair among two million terms is one in a million.
    """
    digest = hashlib.blake2b(term.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "little") & ~7 | _family(term)


def term_keys(terms: Iterable[str]) -> Keys:
    """uint64, one key per term, in this order."""
    return np.fromiter(map(term_key, terms), dtype=np.uint64)


def family_factors(keys: Keys) -> NDArray[np.float64]:
    """sqrt(family weight) of each term, shape (len(keys),)."""
    return _FAMILY_FACTORS[(keys & _FAMILY_BITS).astype(np.intp)]


def count_factor(count: int) -> float:
    """1 + ln count; the count is at least 1."""
    return _COUNT_FACTOR_OF[min(count, MAX_COUNT)]


def _family(term: str) -> int:
    if is_ngram(term):
        return _CHARACTER if len(term) == len(NGRAM_MARK) + 1 else _BIGRAM
    if term.startswith(SYNONYM_MARK):
        return _SYNONYM
    is_quantity = term.startswith("=")
    is_latin = not is_quantity and _HAN.search(term) is None and _LETTER.search(term) is not None
    return _LATIN if is_latin else _WORD


def located(terms: Keys, keys: Keys) -> tuple[IntArray, IntArray]:
    """The first place of each key in rising terms and the place after its last; both int64, shape (len(keys),)."""
    firsts, lasts = np.empty(len(keys), dtype=np.int64), np.empty(len(keys), dtype=np.int64)
    kernels.locate(terms, keys, firsts, lasts)
    return firsts, lasts


def ranges(firsts: IntArray, lasts: IntArray) -> IntArray:
    """The concatenated ranges from ``firsts[i]`` to ``lasts[i] - 1``."""
    sizes = lasts - firsts
    return np.asarray(np.arange(sizes.sum()) + np.repeat(firsts - (np.cumsum(sizes) - sizes), sizes), dtype=np.int64)


def impacts(counts: TermCounts) -> dict[str, float]:
    """One passage's impacts per term, of unit Euclidean length; empty for an empty passage."""
    factors = family_factors(term_keys(counts)).tolist()
    logarithms = (1.0 + math.log(min(count, MAX_COUNT)) for count in counts.values())
    return unit({term: f * log for term, f, log in zip(counts, factors, logarithms, strict=True)})


def unit(weights: TermWeights) -> dict[str, float]:
    """The weights divided by their Euclidean length; empty when that is 0."""
    norm = math.sqrt(math.fsum(weight * weight for weight in weights.values()))
    return {term: weight / norm for term, weight in weights.items()} if norm else {}


@dataclass(frozen=True, slots=True)
class Terms:
    """The terms of a text in the order of their keys, in which all sums are taken.

    keys : uint64, shape (n_terms,), rising. counts : float64, at least 1.
    """

    names: tuple[str, ...]
    keys: Keys
    counts: NDArray[np.float64]

    @classmethod
    def of(cls, counts: TermCounts) -> Self:
        keys = term_keys(counts)
        order = np.argsort(keys)
        names = list(counts)
        values = np.fromiter(counts.values(), dtype=np.float64, count=len(counts))
        return cls(tuple(names[i] for i in order), keys[order], values[order])


@dataclass(frozen=True, slots=True)
class TermQuery:
    """A query's terms, each weighing weight * sqrt(family weight).

    keys : uint64, shape (n_terms,), rising. weights : float32, shape (n_terms,).
    """

    keys: Keys
    weights: FloatArray

    @classmethod
    def of(cls, weights: TermWeights) -> Self:
        terms = Terms.of(weights)
        return cls.weighted(terms, terms.counts)

    @classmethod
    def weighted(cls, terms: Terms, weights: NDArray[np.float64]) -> Self:
        """From weights in the order of ``terms``."""
        return cls(terms.keys, (weights * family_factors(terms.keys)).astype(np.float32))


@dataclass(frozen=True, slots=True)
class Postings:
    """The inverted lists of one segment. There is a list for each term and each count of it in a passage, so that a
    posting is a bare row and a whole list has one impact.

    terms : uint64, shape (n_lists,), rising. counts : uint8, shape (n_lists,), rising within a term.
    starts : int64, shape (n_lists + 1,); list l is ``rows[starts[l]:starts[l + 1]]``.
    rows : uint16, rising within a list, padded with zeros to a multiple of four.
    scales : float32, shape (n_rows,): 1 / Euclidean length of a passage's impacts, 0 for an empty passage.
    """

    terms: Keys
    counts: NDArray[np.uint8]
    starts: IntArray
    rows: NDArray[np.uint16]
    scales: FloatArray

    @classmethod
    def build(cls, passages: Sequence[TermCounts]) -> Self:
        """One row per passage, in this order."""
        sizes = [len(counts) for counts in passages]
        terms = term_keys(term for counts in passages for term in counts)
        numbers = np.fromiter(
            (min(count, MAX_COUNT) for counts in passages for count in counts.values()), np.uint8, sum(sizes)
        )
        rows = np.repeat(np.arange(len(passages)), sizes).astype(np.uint16)
        return cls.from_entries(terms, rows, numbers, len(passages))

    @classmethod
    def from_entries(cls, terms: Keys, rows: NDArray[np.uint16], counts: NDArray[np.uint8], n_rows: int) -> Self:
        """From entries in any order, each a term, a row and a count, shape (n_entries,). No row has a term twice."""
        if n_rows > MAX_ROWS:
            raise ValueError(f"{n_rows} rows in a segment of at most {MAX_ROWS}")
        if np.any(rows[1:] < rows[:-1]):
            order = np.argsort(rows, kind="stable")  # a radix sort for two bytes
            terms, rows, counts = terms[order], rows[order], counts[order]
        numbers = np.empty(len(terms), dtype=np.int32)
        firsts = kernels.number_pairs(terms, counts, numbers)
        order = np.lexsort((counts[firsts], terms[firsts]))
        place_of = np.empty(len(order), dtype=np.int32)
        place_of[order] = np.arange(len(order), dtype=np.int32)
        numbers = place_of[numbers]
        starts = np.zeros(len(order) + 1, dtype=np.int64)
        np.cumsum(np.bincount(numbers, minlength=len(order)), out=starts[1:])
        gathered = np.zeros(-(-len(rows) // _ROWS_AT_ONCE) * _ROWS_AT_ONCE, dtype=np.uint16)
        kernels.gather(numbers, rows, starts[:-1].copy(), gathered)
        scales = _scales(terms, rows, counts, n_rows)
        return cls(terms[firsts][order], counts[firsts][order], starts, gathered, scales)

    def entries(self) -> tuple[Keys, NDArray[np.uint16], NDArray[np.uint8]]:
        """Terms, rows and counts, shape (n_postings,), list by list."""
        sizes = np.diff(self.starts)
        return np.repeat(self.terms, sizes), self.rows[: self.starts[-1]], np.repeat(self.counts, sizes)

    def document_counts(self, alive: BoolArray) -> IntArray:
        """int64, shape (n_lists,): the number of rows in each list that ``alive``, shape (n_rows,), marks."""
        if alive.all():
            return np.diff(self.starts)
        sums = np.concatenate([[0], np.cumsum(alive[self.rows[: self.starts[-1]]])])
        return np.asarray(np.diff(sums[self.starts]), dtype=np.int64)

    def scores(self, query: TermQuery, out: FloatArray) -> None:
        """Fill ``out``, shape (n_rows,), with scores in [0, 1]: the dot products of the query with each passage."""
        lists = self.terms, self.counts, self.starts, self.rows
        kernels.add_lists(query.keys, query.weights, *lists, _IMPACTS, self.scales, out)

    def scores_of(self, query: TermQuery, wanted: IntArray) -> FloatArray:
        """float32, shape (len(wanted),): the scores of some rows, in the cheaper of two ways. Gives the same bits."""
        weights, starts, ends = self._lists(query)
        if len(wanted) * len(weights) * _SEARCH_COST < int((ends - starts).sum()):
            out = np.empty(len(wanted), dtype=np.float32)
            kernels.add_lists_of(weights, starts, ends, self.rows, self.scales, wanted, out)
            return out
        every = np.empty(len(self.scales), dtype=np.float32)
        self.scores(query, every)
        return every[wanted]

    def containing(self, keys: Keys) -> BoolArray:
        """bool, shape (n_rows,): which passages use all of these different terms."""
        lists, owners = self._places(keys)
        if len(np.unique(owners)) < len(keys):
            return np.zeros(len(self.scales), dtype=np.bool_)
        n_present = np.zeros(len(self.scales), dtype=np.uint16)
        kernels.count_rows(self.starts[lists], self.starts[lists + 1], self.rows, n_present)
        return np.asarray(n_present == len(keys), dtype=np.bool_)

    def _lists(self, query: TermQuery) -> tuple[FloatArray, IntArray, IntArray]:
        """Weights, starts and ends of the lists of a query's terms."""
        lists, owners = self._places(query.keys)
        return query.weights[owners] * _IMPACTS[self.counts[lists]], self.starts[lists], self.starts[lists + 1]

    def _places(self, keys: Keys) -> tuple[IntArray, IntArray]:
        """The lists of these terms, term by term, and for each list the place of its term in ``keys``."""
        firsts, lasts = located(self.terms, keys)
        return ranges(firsts, lasts), np.repeat(np.arange(len(keys)), lasts - firsts)


def _scales(terms: Keys, rows: NDArray[np.uint16], counts: NDArray[np.uint8], n_rows: int) -> FloatArray:
    """1 / length per row. Squares are whole multiples of 2^-30, so their sum is exact in any order."""
    squares = _SQUARES[(terms & _FAMILY_BITS).astype(np.intp), counts]
    sums = np.bincount(rows, weights=squares, minlength=n_rows) * 2.0**-30
    return np.asarray(np.divide(1.0, np.sqrt(sums), out=np.zeros(n_rows), where=sums > 0), dtype=np.float32)
