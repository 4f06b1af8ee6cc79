"""Semantic index: one unit vector per passage, compared by cosine, exactly."""

from collections.abc import Sequence
from pathlib import Path
from typing import Self

import numpy as np

from matching_service.index.contract import (
    BoolArray,
    FloatArray,
    Hits,
    IntArray,
    RowChanges,
    best_rows,
)

Vector = FloatArray


class DenseIndex:
    """Rows are passages. A passage without a vector (an empty text, no encoder) has NaN and no score."""

    def __init__(self, vectors: FloatArray) -> None:
        """Vectors : float32, shape (n_rows, n_dimensions), rows of unit length or all NaN."""
        self._vectors = vectors

    @classmethod
    def build(cls, vectors: Sequence[Vector | None], *, n_dimensions: int) -> Self:
        """An index with one row per vector, in this order."""
        return cls(_stack(vectors, n_dimensions))

    def __len__(self) -> int:
        return int(self._vectors.shape[0])

    @property
    def n_dimensions(self) -> int:
        return int(self._vectors.shape[1])

    def search(self, query: Vector, *, k: int, allowed: BoolArray | None = None) -> Hits:
        return best_rows(self._cosines(self._vectors, query), k=k, allowed=allowed)

    def scores(self, query: Vector, rows: IntArray) -> FloatArray:
        """float32, shape (len(rows),): cosines, negative ones as 0; NaN for a row without a vector."""
        return self._cosines(self._vectors[rows], query)

    def apply(self, changes: RowChanges[Vector | None]) -> Self:
        added = _stack(changes.added, self._vectors.shape[1])
        return type(self)(np.concatenate([self._vectors[changes.kept], added])[changes.order])

    def save(self, folder: Path) -> None:
        np.save(folder / "vectors.npy", self._vectors, allow_pickle=False)

    @classmethod
    def load(cls, folder: Path) -> Self:
        return cls(np.load(folder / "vectors.npy", allow_pickle=False))

    def _cosines(self, vectors: FloatArray, query: Vector) -> FloatArray:
        # einsum, not BLAS: a BLAS product of one row differs in the last bit from that row in a large product.
        return np.asarray(np.clip(np.einsum("ij,j->i", vectors, query), 0.0, 1.0), dtype=np.float32)


def _stack(vectors: Sequence[Vector | None], n_dimensions: int) -> FloatArray:
    stacked = np.full((len(vectors), n_dimensions), np.nan, dtype=np.float32)
    for row, vector in enumerate(vectors):
        if vector is not None:
            stacked[row] = vector
    return stacked
