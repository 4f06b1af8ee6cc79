"""Lexical index: term impacts per passage, with document frequencies outside of them.

An impact is sqrt(family weight) * (1 + ln tf), divided by the passage's Euclidean norm. It holds no idf, so
a new passage changes no stored number; idf enters through the query's weights (see ``weigh``).
This is the exact and simple form: one sparse matrix, one product per query.
"""

import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Self

import numpy as np
from scipy import sparse

from matching_service.index.contract import (
    BoolArray,
    FloatArray,
    Hits,
    IntArray,
    RowChanges,
    best_rows,
)
from matching_service.text.terms import NGRAM_MARK, SYNONYM_MARK, is_ngram

TermCounts = Mapping[str, float]
TermWeights = Mapping[str, float]
_NO_RARITY: TermWeights = {}

WORD_WEIGHT = 0.3
CHARACTER_WEIGHT = 1.0
BIGRAM_WEIGHT = 0.5
"""Shares of the families of terms in a product, chosen on labelled demands: docs/quality.md."""
LATIN_WEIGHT = 2.0
"""A word without Chinese characters (PLC, HPLC) has no n-grams; it weighs what a Chinese word has with its own."""
SYNONYM_WEIGHT = 1.0
"""Synonyms share no characters; their one common term stands for those, too."""
_HAN = re.compile("[\u3400-\u9fff]")
_LETTER = re.compile(r"[^\W\d_]")


class SparseIndex:
    """Rows are passages, columns are terms in the order in which they were first seen."""

    def __init__(self, matrix: sparse.csr_array, vocabulary: Mapping[str, int]) -> None:
        """Matrix : float32, shape (n_rows, n_terms), rows of unit length (or empty)."""
        self._matrix = matrix
        self._vocabulary = vocabulary
        self._frequencies = np.bincount(matrix.indices, minlength=matrix.shape[1])

    @classmethod
    def build(cls, passages: Sequence[TermCounts]) -> Self:
        """An index of the given passages, one row each, in this order."""
        vocabulary: dict[str, int] = {}
        return cls(_impacts(passages, vocabulary), vocabulary)

    def __len__(self) -> int:
        return int(self._matrix.shape[0])

    @cached_property
    def frequencies_version(self) -> str:
        """Names all that ``idf`` rests on: equal for indexes in which every term is equally rare."""
        digest = hashlib.sha256(str(len(self)).encode())
        for term, column in sorted(self._vocabulary.items()):
            if frequency := int(self._frequencies[column]):
                digest.update(f"\n{term} {frequency}".encode())
        return digest.hexdigest()[:16]

    def idf(self, term: str) -> float:
        """ln((n + 1) / (df + 1)) + 1, positive; a term never seen has df 0."""
        column = self._vocabulary.get(term)
        frequency = 0 if column is None else int(self._frequencies[column])
        return float(np.log((len(self) + 1) / (frequency + 1)) + 1)

    def weigh(self, counts: TermCounts, rarity: TermCounts = _NO_RARITY) -> dict[str, float]:
        """A query's term weights, of unit Euclidean length: sqrt(family weight) * (1 + ln tf) * idf * rarity.

        ``rarity`` holds further factors, 1 where a term is not there. Terms that no passage has count for the length
        as well, so a query that the corpus hardly covers scores low. Counts are 1 at least.
        """
        return unit(
            {term: _tf_weight(term, count) * self.idf(term) * rarity.get(term, 1.0) for term, count in counts.items()}
        )

    def search(self, query: TermWeights, *, k: int, allowed: BoolArray | None = None) -> Hits:
        return best_rows(self._product(self._matrix, query), k=k, allowed=allowed)

    def scores(self, query: TermWeights, rows: IntArray) -> FloatArray:
        """float32, shape (len(rows),), in [0, 1]: the product of two vectors of unit length."""
        return self._product(self._matrix[rows], query)

    def contains(self, rows: IntArray, terms: Sequence[str]) -> BoolArray:
        """bool, shape (len(rows),): which of the passages use every one of the terms."""
        columns = [column for term in set(terms) if (column := self._vocabulary.get(term)) is not None]
        if len(columns) < len(set(terms)):
            return np.zeros(len(rows), dtype=np.bool_)
        matrix = self._matrix[rows]
        hits = np.isin(matrix.indices, columns)
        row_of_entry = np.repeat(np.arange(len(rows)), np.diff(matrix.indptr))
        n_present = np.bincount(row_of_entry[hits], minlength=len(rows))
        return np.asarray(n_present == len(columns), dtype=np.bool_)

    def apply(self, changes: RowChanges[TermCounts]) -> Self:
        vocabulary = dict(self._vocabulary)
        added = _impacts(changes.added, vocabulary)
        kept = self._matrix[changes.kept]
        kept = sparse.csr_array((kept.data, kept.indices, kept.indptr), shape=(len(changes.kept), len(vocabulary)))
        stacked = sparse.vstack([kept, added], format="csr", dtype=np.float32)
        return type(self)(sparse.csr_array(stacked[changes.order]), vocabulary)

    def save(self, folder: Path) -> None:
        sparse.save_npz(folder / "impacts.npz", self._matrix, compressed=False)
        (folder / "terms.json").write_text(json.dumps(list(self._vocabulary), ensure_ascii=False), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Self:
        terms = json.loads((folder / "terms.json").read_text(encoding="utf-8"))
        with (folder / "impacts.npz").open("rb") as file:  # ours to close, also when it is damaged
            matrix = sparse.csr_array(sparse.load_npz(file))
        if not isinstance(terms, list) or len(terms) != matrix.shape[1]:
            raise ValueError("the terms are not those of the matrix")
        return cls(matrix, {term: column for column, term in enumerate(terms)})

    def _product(self, matrix: sparse.csr_array, query: TermWeights) -> FloatArray:
        weights = np.zeros(matrix.shape[1], dtype=np.float32)
        for term, weight in query.items():
            if (column := self._vocabulary.get(term)) is not None:
                weights[column] = weight
        product = np.asarray(matrix @ weights, dtype=np.float32)
        return np.clip(product, 0.0, 1.0)


def impacts(counts: TermCounts) -> dict[str, float]:
    """One passage's impacts per term, of unit Euclidean length; empty for an empty passage."""
    return unit({term: _tf_weight(term, count) for term, count in counts.items()})


def unit(weights: TermWeights) -> dict[str, float]:
    """The weights divided by their Euclidean length; empty when that is 0."""
    norm = math.sqrt(math.fsum(weight * weight for weight in weights.values()))
    return {term: weight / norm for term, weight in weights.items()} if norm else {}


def _tf_weight(term: str, count: float) -> float:
    return math.sqrt(_family_weight(term)) * (1.0 + math.log(count))


@lru_cache(maxsize=1 << 16)
def _family_weight(term: str) -> float:
    if is_ngram(term):
        return CHARACTER_WEIGHT if len(term) == len(NGRAM_MARK) + 1 else BIGRAM_WEIGHT
    if term.startswith(SYNONYM_MARK):
        return SYNONYM_WEIGHT
    is_quantity = term.startswith("=")
    is_latin = not is_quantity and _HAN.search(term) is None and _LETTER.search(term) is not None
    return LATIN_WEIGHT if is_latin else WORD_WEIGHT


def _impacts(passages: Sequence[TermCounts], vocabulary: dict[str, int]) -> sparse.csr_array:
    """Rows of impacts; new terms are given the next columns of ``vocabulary``, which is changed.

    A row lists its terms in alphabetical order, whatever their columns: a float sum depends on its order,
    and an index that grew must give the very same scores as one built at once.
    """
    columns: list[int] = []
    values: list[float] = []
    row_ends = [0]
    for counts in passages:
        for term, impact in sorted(impacts(counts).items()):
            columns.append(vocabulary.setdefault(term, len(vocabulary)))
            values.append(impact)
        row_ends.append(len(columns))
    arrays = (
        np.array(values, np.float32),
        np.array(columns, np.int32),
        np.array(row_ends, np.int64),
    )
    return sparse.csr_array(arrays, shape=(len(passages), len(vocabulary)))
