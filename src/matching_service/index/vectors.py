"""The vectors of a segment's passages, one byte per dimension, compared by cosine in whole numbers.

A vector is stored as its rounded direction: the largest coordinate has 127 steps. The scale of a row brings the rounded
vector back to unit length. docs/quality.md says what the rounding costs; after it, nothing is approximate.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from matching_service.index import kernels
from matching_service.index.contract import FloatArray, IntArray
from matching_service.index.rounding import STEPS, largest_size, round_vector

_QUERY_STEPS = 32767
_MOST_IN_32_BITS = 2**31 - 1


@dataclass(frozen=True, slots=True)
class VectorQuery:
    """direction : int16, shape (n_dimensions,). scale : 1 / its length."""

    direction: NDArray[np.int16]
    scale: np.float32

    @classmethod
    def of(cls, vector: FloatArray) -> Self:
        """Raises ValueError for a vector without a direction.

        The largest coordinate has as many steps as 16 bits hold, or fewer where the sum of ``n_dimensions`` products
        could leave 32 bits otherwise, which begins at 517 dimensions.
        """
        steps = min(_QUERY_STEPS, _MOST_IN_32_BITS // (STEPS * max(1, len(vector))))
        direction = np.rint(vector * (steps / largest_size(vector))).astype(np.int16)
        return cls(direction, _scale(direction))


@dataclass(frozen=True, slots=True)
class Vectors:
    """directions : int8, shape (n_rows, n_dimensions).
    scales : float32, shape (n_rows,), 1 / length; NaN where there is no vector.
    """

    directions: NDArray[np.int8]
    scales: FloatArray

    @classmethod
    def build(cls, vectors: Sequence[FloatArray | None], *, n_dimensions: int) -> Self:
        """One row per vector, in this order."""
        made = cls(
            np.zeros((len(vectors), n_dimensions), dtype=np.int8), np.full(len(vectors), np.nan, dtype=np.float32)
        )
        return made.with_rows({row: vector for row, vector in enumerate(vectors) if vector is not None})

    @classmethod
    def of(cls, vectors: FloatArray) -> Self:
        """From vectors that are not 0, shape (n_rows, n_dimensions)."""
        directions = np.rint(vectors * (STEPS / np.abs(vectors).max(axis=1, keepdims=True))).astype(np.int8)
        wide = directions.astype(np.int32)
        squares = np.einsum("rd,rd->r", wide, wide).astype(np.float64)
        return cls(directions, (1.0 / np.sqrt(squares)).astype(np.float32))

    @property
    def n_dimensions(self) -> int:
        return int(self.directions.shape[1])

    def with_rows(self, vectors: dict[int, FloatArray]) -> Self:
        """A copy with new vectors of some rows. Raises ValueError for one of another length or without a direction."""
        directions, scales = self.directions.copy(), self.scales.copy()
        for row, vector in vectors.items():
            self._check_length(len(vector))
            directions[row] = round_vector(vector)
            scales[row] = _scale(directions[row])
        return type(self)(directions, scales)

    def cosines(self, query: VectorQuery, out: FloatArray) -> None:
        """Fill ``out``, shape (n_rows,), with cosines, negative ones as 0; NaN for a row without a vector.

        Raises ValueError for a query of another length, beyond whose end the compiled loop would read.
        """
        self._check_length(len(query.direction))
        kernels.cosines(query.direction, query.scale, self.directions, self.scales, out)

    def cosines_of(self, query: VectorQuery, rows: IntArray) -> FloatArray:
        """float32, shape (len(rows),): the cosines of some rows. Gives the same bits."""
        out = np.empty(len(rows), dtype=np.float32)
        type(self)(np.ascontiguousarray(self.directions[rows]), self.scales[rows]).cosines(query, out)
        return out

    def _check_length(self, n_dimensions: int) -> None:
        if n_dimensions != self.n_dimensions:
            raise ValueError(f"a vector has {n_dimensions} dimensions, the index has {self.n_dimensions}")


def _scale(direction: NDArray[np.int8] | NDArray[np.int16]) -> np.float32:
    return np.float32(1.0 / np.linalg.norm(direction.astype(np.float64)))
