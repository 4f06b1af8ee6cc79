"""What every index of passages promises, whatever it stores. ``tests/contracts`` runs it against each one.

Rows stand in the order of their passages' keys, which the snapshot keeps. So "ties by row" is "ties by
id", and an index that was changed step by step equals one that was built in one go, row for row.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Protocol, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

Query = TypeVar("Query", contravariant=True)
Entry = TypeVar("Entry", contravariant=True)
Added = TypeVar("Added", covariant=True)


@dataclass(frozen=True, slots=True)
class Hits:
    """rows : int64, shape (n_hits,); scores : float32, shape (n_hits,), falling; equal scores by row."""

    rows: IntArray
    scores: FloatArray


@dataclass(frozen=True, slots=True)
class RowChanges(Generic[Added]):
    """How the rows of the next index come from those of this one.

    kept : int64, rows of this index that stay, rising.
    added : entries of the new rows.
    order : int64, shape (len(kept) + len(added),); the next index's row i is entry order[i] of kept + added.
    """

    kept: IntArray
    added: Sequence[Added]
    order: IntArray


class Index(Protocol[Query, Entry]):
    """Scores passages against a query. Never mutated: ``apply`` returns the next index."""

    def __len__(self) -> int:
        """Number of rows."""
        ...

    def search(self, query: Query, *, k: int, allowed: BoolArray | None = None) -> Hits:
        """The best ``k`` rows with a positive score, among those that ``allowed`` (shape (n_rows,)) marks."""
        ...

    def scores(self, query: Query, rows: IntArray) -> FloatArray:
        """float32, shape (len(rows),), in [0, 1]; NaN where the index knows nothing of a row."""
        ...

    def apply(self, changes: RowChanges[Entry]) -> Self: ...

    def save(self, folder: Path) -> None:
        """Write files into an existing, empty folder."""
        ...

    @classmethod
    def load(cls, folder: Path) -> Self: ...


def best_rows(scores: FloatArray, *, k: int, allowed: BoolArray | None) -> Hits:
    """The ``k`` best positive scores of a full score column, shape (n_rows,); equal scores by row."""
    eligible = scores > 0 if allowed is None else (scores > 0) & allowed  # NaN > 0 is False
    rows = np.flatnonzero(eligible)
    if len(rows) > k:
        threshold = -np.partition(-scores[rows], k - 1)[k - 1]
        rows = rows[scores[rows] >= threshold]  # all that tie with the k-th, so that the cut is by row
    rows = rows[np.lexsort((rows, -scores[rows]))][:k]
    return Hits(rows.astype(np.int64), scores[rows])
