"""The inner loops, compiled. Arrays in, arrays out; each releases the interpreter's lock while it runs.

Every sum is taken in the order of its terms, and products of vectors are integers, so that a passage has the same
bits whichever segment holds it, alone or among many, on any processor.
"""

import heapq
import logging
from collections.abc import Callable
from typing import TypeVar, cast

import numpy as np
from numba import njit
from numpy.typing import NDArray

from matching_service.index.contract import BoolArray, FloatArray, IntArray

logger = logging.getLogger(__name__)
Function = TypeVar("Function", bound=Callable[..., object])

EMPTY_SLOT = -1


def _kernel(function: Function) -> Function:
    """Compiled at first use and kept beside the source; compiled anew by each process where nothing can be written."""
    try:
        return cast(Function, njit(cache=True, nogil=True)(function))
    except RuntimeError:  # numba found no folder for its cache
        logger.info("kernels_not_cached", extra={"kernel": function.__name__})
        return cast(Function, njit(nogil=True)(function))


@_kernel
def add_terms(
    starts: IntArray,
    ends: IntArray,
    weights: FloatArray,
    rows: NDArray[np.uint16],
    counts: NDArray[np.uint8],
    impacts: FloatArray,
    scales: FloatArray,
    out: FloatArray,
) -> None:
    """out[row] = min(1, scales[row] * sum of weights[t] * impacts[count]) over a segment, term by term.

    starts, ends, weights : shape (n_terms,), the postings and the weight of each term of the query.
    rows, counts : shape (n_postings,). impacts : shape (256,), by count. scales, out : shape (n_rows,).
    """
    out[:] = 0.0
    for t in range(len(weights)):
        weight = weights[t]
        for j in range(starts[t], ends[t]):
            out[rows[j]] += weight * impacts[counts[j]]
    for row in range(len(out)):
        out[row] = min(np.float32(1.0), out[row] * scales[row])


@_kernel
def add_terms_of(
    starts: IntArray,
    ends: IntArray,
    weights: FloatArray,
    rows: NDArray[np.uint16],
    counts: NDArray[np.uint8],
    impacts: FloatArray,
    scales: FloatArray,
    wanted: IntArray,
    out: FloatArray,
) -> None:
    """``add_terms`` for the ``wanted`` rows alone, by binary search in each posting list; the same bits."""
    for i in range(len(wanted)):
        row = wanted[i]
        total = np.float32(0.0)
        for t in range(len(weights)):
            low, high = starts[t], ends[t]
            while low < high:
                middle = (low + high) >> 1
                if rows[middle] < row:
                    low = middle + 1
                else:
                    high = middle
            if low < ends[t] and rows[low] == row:
                total += weights[t] * impacts[counts[low]]
        out[i] = min(np.float32(1.0), total * scales[row])


@_kernel
def count_rows(starts: IntArray, ends: IntArray, rows: NDArray[np.uint16], out: NDArray[np.uint16]) -> None:
    """out[row] += 1 for each of the posting lists that holds the row."""
    for t in range(len(starts)):
        for j in range(starts[t], ends[t]):
            out[rows[j]] += 1


@_kernel
def multiply(query: NDArray[np.int16], vectors: NDArray[np.int8], scales: FloatArray, out: FloatArray) -> None:
    """out[row] = scales[row] * (query · vectors[row]), the product in whole numbers, so exact in any order.

    query : shape (n_dimensions,). vectors : shape (n_rows, n_dimensions).
    512 products of 15 and 7 bits stay below 2^31.
    """
    n_rows, n_dimensions = vectors.shape
    for row in range(n_rows):
        total = np.int32(0)
        for d in range(n_dimensions):
            total += np.int32(query[d]) * np.int32(vectors[row, d])
        out[row] = np.float32(total) * scales[row]


@_kernel
def kth_best(scores: FloatArray, allowed: BoolArray, k: int) -> np.float32:
    """The k-th largest of the positive scores that are allowed; 0 where there are fewer. Keeps a heap of k values."""
    heap = [np.float32(0.0) for _ in range(0)]
    for i in range(len(scores)):
        score = scores[i]
        if score > 0.0 and allowed[i]:  # NaN > 0 is False
            if len(heap) < k:
                heapq.heappush(heap, score)
            elif score > heap[0]:
                heapq.heapreplace(heap, score)
    return heap[0] if len(heap) == k else np.float32(0.0)


@_kernel
def rows_from(scores: FloatArray, allowed: BoolArray, threshold: np.float32) -> IntArray:
    """Rows that are allowed, positive and at least ``threshold``, rising."""
    n = 0
    for i in range(len(scores)):
        if scores[i] > 0.0 and scores[i] >= threshold and allowed[i]:
            n += 1
    found = np.empty(n, dtype=np.int64)
    n = 0
    for i in range(len(scores)):
        if scores[i] > 0.0 and scores[i] >= threshold and allowed[i]:
            found[n] = i
            n += 1
    return found


@_kernel
def number_terms(terms: NDArray[np.uint64], numbers: NDArray[np.int32]) -> IntArray:
    """Number the different terms in the order in which they are first seen, by a hash table that grows.

    numbers : shape (len(terms),), filled with the number of each entry's term.
    Returns the position in ``terms`` where each was first seen, rising, shape (n_different,).
    """
    size = 1 << 12
    slots = np.full(size, EMPTY_SLOT, dtype=np.int32)
    firsts = np.empty(size, dtype=np.int64)
    n_terms = 0
    for i in range(len(terms)):
        slot = np.int64((terms[i] >> np.uint64(3)) & np.uint64(size - 1))
        while slots[slot] != EMPTY_SLOT and terms[firsts[slots[slot]]] != terms[i]:
            slot = (slot + 1) & (size - 1)
        if slots[slot] == EMPTY_SLOT:
            slots[slot] = n_terms
            firsts[n_terms] = i
            n_terms += 1
        numbers[i] = slots[slot]
        if 2 * n_terms >= size:
            size *= 4
            slots = np.full(size, EMPTY_SLOT, dtype=np.int32)
            more = np.empty(size, dtype=np.int64)
            more[:n_terms] = firsts[:n_terms]
            firsts = more
            for number in range(n_terms):
                slot = np.int64((terms[firsts[number]] >> np.uint64(3)) & np.uint64(size - 1))
                while slots[slot] != EMPTY_SLOT:
                    slot = (slot + 1) & (size - 1)
                slots[slot] = number
    return firsts[:n_terms].copy()


@_kernel
def gather(
    keys: NDArray[np.int32],
    rows: NDArray[np.uint16],
    counts: NDArray[np.uint8],
    starts: IntArray,
    out_rows: NDArray[np.uint16],
    out_counts: NDArray[np.uint8],
) -> None:
    """A stable counting sort of entries by key. starts : shape (n_keys,), where each key begins; it is used up."""
    for i in range(len(keys)):
        place = starts[keys[i]]
        starts[keys[i]] = place + 1
        out_rows[place] = rows[i]
        out_counts[place] = counts[i]
