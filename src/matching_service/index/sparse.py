"""Lexical index: term impacts per passage, with document frequencies outside of them.

An impact is sqrt(family weight) * (1 + ln tf), divided by the passage's Euclidean norm. It holds no idf, so
a new passage changes no stored number; rarity enters through the query's weights (see ``weigh``).
This is the exact and simple form: one sparse matrix, one product per query.
"""

import json
from collections.abc import Mapping, Sequence
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
from matching_service.text.terms import is_ngram

TermCounts = Mapping[str, float]
TermWeights = Mapping[str, float]

WORD_WEIGHT = 0.5
"""Share of words beside character n-grams (1.0), chosen on labelled demands: docs/quality.md."""
IDF_POWER = 1.5
"""Between BM25's 1 and the 2 of a cosine with idf on both sides: docs/quality.md."""


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

    def idf(self, term: str) -> float:
        """ln((n + 1) / (df + 1)) + 1, positive; a term never seen has df 0."""
        column = self._vocabulary.get(term)
        frequency = 0 if column is None else int(self._frequencies[column])
        return float(np.log((len(self) + 1) / (frequency + 1)) + 1)

    def weigh(self, counts: TermCounts) -> dict[str, float]:
        """A query's term weights, of unit Euclidean length: sqrt(family weight) * (1 + ln tf) * idf ** 1.5.

        Terms that no passage has count for the length as well, so a query that the corpus hardly
        covers scores low. Counts below 1 (a field of little weight) enter as they are.
        """
        weights = {term: _tf_weight(term, count) * self.idf(term) ** IDF_POWER for term, count in counts.items()}
        norm = float(np.sqrt(sum(weight * weight for weight in weights.values())))
        return {term: weight / norm for term, weight in weights.items()} if norm else {}

    def search(self, query: TermWeights, *, k: int, allowed: BoolArray | None = None) -> Hits:
        return best_rows(self._product(self._matrix, query), k=k, allowed=allowed)

    def scores(self, query: TermWeights, rows: IntArray) -> FloatArray:
        """float32, shape (len(rows),), in [0, 1]: the product of two vectors of unit length."""
        return self._product(self._matrix[rows], query)

    def contains(self, rows: IntArray, terms: Sequence[str]) -> BoolArray:
        """bool, shape (len(rows), len(terms)): which of the passages use which of the terms."""
        present = np.zeros((len(rows), len(terms)), dtype=np.bool_)
        matrix = self._matrix[rows]
        row_of_entry = np.repeat(np.arange(len(rows)), np.diff(matrix.indptr))
        for i, term in enumerate(terms):
            if (column := self._vocabulary.get(term)) is not None:
                present[row_of_entry[matrix.indices == column], i] = True
        return present

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
    weights = {term: _tf_weight(term, count) for term, count in counts.items()}
    norm = float(np.sqrt(sum(weight * weight for weight in weights.values())))
    return {term: weight / norm for term, weight in weights.items()} if norm else {}


def _tf_weight(term: str, count: float) -> float:
    family = 1.0 if is_ngram(term) else WORD_WEIGHT**0.5
    return family * (1.0 + float(np.log(count)) if count >= 1 else count)


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
