"""Similar names, which may belong to the same organization: cosine similarity of character bigrams weighted by idf.

Legal forms (有限公司) and administrative suffixes (市, 区) are removed first, because the same firm is written with and
without them.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from matching_service.text.normalise import fold

if TYPE_CHECKING:
    from scipy.sparse import csr_array

FLOOR = 0.65
"""Minimum likeness. It is low, because people decide, and a missed pair is worse than a wrong one."""
_FORMS = re.compile("有限|责任|股份|集团|控股|(?:总|分)?公司|[省市区县镇]")
_TOO_COMMON = 100


@dataclass(frozen=True, slots=True)
class LikePair:
    """Two indices into the list of names, ``first`` < ``second``, and their likeness in (0, 1]."""

    first: int
    second: int
    likeness: float


def like_pairs(names: Sequence[str]) -> list[LikePair]:
    """Return all pairs with a likeness of at least FLOOR, highest first, ties in the order of the names."""
    vectors = _vectors(names)
    products = (vectors @ vectors.T).tocoo()
    is_pair = (products.row < products.col) & (products.data >= FLOOR)
    pairs = zip(products.row[is_pair], products.col[is_pair], products.data[is_pair], strict=True)
    return _sorted([LikePair(int(i), int(j), min(1.0, float(score))) for i, j, score in pairs])


def like_names(name: str, names: Sequence[str]) -> list[tuple[int, float]]:
    """Return index and likeness of the names with a likeness of at least FLOOR to this one, highest first."""
    vectors = _vectors([name, *names])
    scores: npt.NDArray[np.float64] = (vectors[1:] @ vectors[[0]].T).toarray()[:, 0]
    similar = np.flatnonzero(scores >= FLOOR)
    order = similar[np.lexsort((similar, -scores[similar]))]
    return [(int(i), min(1.0, float(scores[i]))) for i in order]


def _sorted(pairs: list[LikePair]) -> list[LikePair]:
    return sorted(pairs, key=lambda pair: (-pair.likeness, pair.first, pair.second))


def _vectors(names: Sequence[str]) -> "csr_array[np.float64]":
    """Return bigram vectors: float64, shape (n_names, n_bigrams), each row of unit length or zero.

    Bigrams that occur in more than _TOO_COMMON names are left out: they take most of the time and say least.
    """
    from scipy.sparse import csr_array  # noqa: PLC0415  # importing it at the top would slow each start by 70 ms

    columns: dict[str, int] = {}
    rows = [[columns.setdefault(gram, len(columns)) for gram in sorted(_grams(name))] for name in names]
    n_names, n_grams = len(names), max(1, len(columns))
    flat = np.array([column for row in rows for column in row], dtype=np.int64)
    counts = np.bincount(flat, minlength=n_grams)
    weights = np.log1p(n_names / np.maximum(counts, 1))
    weights[counts > _TOO_COMMON] = 0.0
    starts = np.concatenate(([0], np.cumsum([len(row) for row in rows], dtype=np.int64)))
    vectors = csr_array((weights[flat], flat, starts), shape=(n_names, n_grams))
    norms = np.sqrt(np.asarray((vectors * vectors).sum(axis=1)).ravel())
    per_value = np.repeat(np.where(norms > 0, norms, 1.0), np.diff(starts))
    unit = csr_array((vectors.data / per_value, flat, starts), shape=(n_names, n_grams))
    unit.eliminate_zeros()
    return unit


def _grams(name: str) -> set[str]:
    folded = "".join(character for character in fold(name) if character.isalnum())
    return {first + second for first, second in pairwise(f"^{_FORMS.sub('', folded) or folded}")}
