"""The inner loops, compiled. Arrays in, arrays out; each releases the interpreter's lock while it runs.

Sums are taken in the order of the terms' keys, and products of vectors are integers. So a passage scores the same bits
in any segment, alone or among many, on any processor.
"""

import logging
from collections.abc import Callable
from typing import TypeVar, cast

import numpy as np
from numba import njit
from numpy.typing import NDArray

from matching_service.index.contract import BoolArray, FloatArray, IntArray
from matching_service.index.prefetch import fetch

logger = logging.getLogger(__name__)
Function = TypeVar("Function", bound=Callable[..., object])

EMPTY_SLOT = -1
_STRIPS_PER_RANK = 4
_MOST_IN_STRIP = 128
_CACHE_LINE = 64
_VECTORS_AHEAD = 16
_FETCHED_ROWS = 256
_ROWS_IN_CACHE_LINE = _CACHE_LINE // 2
_FOURS_IN_CACHE_LINE = _CACHE_LINE // 8
_FOURS_AHEAD = 96
_INFINITY = np.int32(0x7F800000)


def _kernel(function: Function) -> Function:
    """Compile at first use and cache the result beside the source, or in no cache where the folder is read-only."""
    try:
        return cast(Function, njit(cache=True, nogil=True)(function))
    except RuntimeError:  # numba has no folder for its cache
        logger.info("kernels_not_cached", extra={"kernel": function.__name__})
        return cast(Function, njit(nogil=True)(function))


@_kernel
def first_place(terms: NDArray[np.uint64], key: np.uint64) -> int:
    """The first place in rising ``terms`` whose term is not below the key.

    Terms are hashes, evenly distributed, so the size of a key predicts its place; the search widens from there.
    """
    n = len(terms)
    low = min(int(np.float64(key) * (n / 2.0**64)), max(n - 1, 0))
    high, step = low, 16
    while low > 0 and terms[low - 1] >= key:
        low = max(0, low - step)
        step *= 4
    step = 16
    while high < n and terms[high] < key:
        high = min(n, high + step)
        step *= 4
    while low < high:
        middle = (low + high) >> 1
        if terms[middle] < key:
            low = middle + 1
        else:
            high = middle
    return low


@_kernel
def locate(terms: NDArray[np.uint64], keys: NDArray[np.uint64], firsts: IntArray, lasts: IntArray) -> None:
    """Set firsts and lasts so that terms[firsts[i]:lasts[i]] equal keys[i].

    terms : rising, with repetitions. keys : shape (n_keys,).
    """
    for i in range(len(keys)):
        place = first_place(terms, keys[i])
        firsts[i] = place
        while place < len(terms) and terms[place] == keys[i]:
            place += 1
        lasts[i] = place


@_kernel
def add_lists(
    keys: NDArray[np.uint64],
    weights: FloatArray,
    terms: NDArray[np.uint64],
    counts: NDArray[np.uint8],
    starts: IntArray,
    rows: NDArray[np.uint16],
    impacts: FloatArray,
    scales: FloatArray,
    out: FloatArray,
) -> None:
    """out[row] = min(1, scales[row] * sum of weight * impact over the query's lists that hold the row).

    keys, weights : shape (n_terms,), the query's, keys rising. terms, counts : shape (n_lists,). starts : shape
    (n_lists + 1,). rows : its length is a multiple of four, because four are read at a time. impacts : shape (256,), by
    count. scales, out : shape (n_rows,).
    The lists of a query are scattered in memory. The start of each is prefetched while the two before it are added, and
    its rest while it is added itself.
    """
    out[:] = 0.0
    fours = rows.view(np.uint64)
    low = np.uint64(0xFFFF)
    n = len(keys)
    places = np.empty(n, dtype=np.int64)
    for t in range(n):
        places[t] = first_place(terms, keys[t])
    for t in range(n):
        if t + 4 < n and places[t + 4] < len(terms):
            fetch(starts, places[t + 4])
            fetch(counts, places[t + 4])
        if t + 2 < n and places[t + 2] < len(terms):
            begin = starts[places[t + 2]]
            for j in range(begin, min(begin + _FETCHED_ROWS, len(rows)), _ROWS_IN_CACHE_LINE):
                fetch(rows, j)
        place = places[t]
        while place < len(terms) and terms[place] == keys[t]:
            weight, start, end = weights[t] * impacts[counts[place]], starts[place], starts[place + 1]
            first = min((start + 3) // 4 * 4, end)
            last = max(first, end // 4 * 4)
            for j in range(start, first):
                out[rows[j]] += weight
            for i in range(first // 4, last // 4):
                if i % _FOURS_IN_CACHE_LINE == 0:
                    fetch(fours, min(i + _FOURS_AHEAD, len(fours) - 1))
                four = fours[i]
                out[four & low] += weight
                out[(four >> np.uint64(16)) & low] += weight
                out[(four >> np.uint64(32)) & low] += weight
                out[four >> np.uint64(48)] += weight
            for j in range(last, end):
                out[rows[j]] += weight
            place += 1
    for row in range(len(out)):
        out[row] = min(np.float32(1.0), out[row] * scales[row])


@_kernel
def add_lists_of(
    weights: FloatArray,
    starts: IntArray,
    ends: IntArray,
    rows: NDArray[np.uint16],
    scales: FloatArray,
    wanted: IntArray,
    out: FloatArray,
) -> None:
    """``add_lists`` for the ``wanted`` rows alone, by binary search in each list. Gives the same bits.

    weights, starts, ends : shape (n_lists,), of the query's lists; a weight is already multiplied by the impact.
    """
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
                total += weights[t]
        out[i] = min(np.float32(1.0), total * scales[row])


@_kernel
def count_rows(starts: IntArray, ends: IntArray, rows: NDArray[np.uint16], out: NDArray[np.uint16]) -> None:
    """Add 1 to out[row] for each posting list that holds the row."""
    for t in range(len(starts)):
        for j in range(starts[t], ends[t]):
            out[rows[j]] += 1


@_kernel
def cosines(
    query: NDArray[np.int16], query_scale: np.float32, vectors: NDArray[np.int8], scales: FloatArray, out: FloatArray
) -> None:
    """out[row] = query_scale * scales[row] * (query · vectors[row]), clipped to [0, 1]; NaN where the scale is NaN.

    query : shape (n_dimensions,), so small that no sum of products leaves 32 bits: ``vectors.VectorQuery`` sees to it.
    vectors : shape (n_rows, n_dimensions). The product is summed in whole numbers, so it is exact in any order.
    The width is repeated at each step: numba would take 64 bits otherwise, and three times as long.
    """
    n_rows, n_dimensions = vectors.shape
    coordinates = vectors.reshape(-1)
    for row in range(n_rows):
        if row + _VECTORS_AHEAD < n_rows:  # the processor's own prefetching stops at the end of each page
            begin = (row + _VECTORS_AHEAD) * n_dimensions
            for j in range(begin, begin + n_dimensions, _CACHE_LINE):
                fetch(coordinates, j)
        total = np.int32(0)
        for d in range(n_dimensions):
            total = np.int32(total + np.int32(np.int32(query[d]) * np.int32(vectors[row, d])))
        cosine = np.float32(total) * scales[row] * query_scale
        cosine = np.float32(0.0) if cosine < 0 else cosine
        out[row] = np.float32(1.0) if cosine > 1 else cosine


@_kernel
def best(scores: FloatArray, allowed: BoolArray, k: int) -> IntArray:
    """Rows of the k largest positive scores that are allowed, and all that tie with the last of them; rising.

    Row i belongs to strip i modulo the number of strips. The k-th largest of the strips' maxima is at most the k-th
    largest score, and few scores are above it. Read as integers, positive floats keep their order, and the processor
    compares many at a time.
    """
    n, bits = len(scores), scores.view(np.int32)
    n_strips = min(n, max(_STRIPS_PER_RANK * k, n // _MOST_IN_STRIP))
    maxima = np.zeros(n_strips, dtype=np.int32)
    for start in range(0, n, max(1, n_strips)):
        some, may = bits[start : start + n_strips], allowed[start : start + n_strips]
        for i in range(len(some)):
            value = np.int32(some[i] * np.int32(may[i]))
            value = value if value <= _INFINITY else np.int32(0)  # NaN lies above infinity
            maxima[i] = max(maxima[i], value)
    bound = np.int32(1)
    if n_strips > k:
        bound = max(bound, np.partition(maxima, n_strips - k)[n_strips - k])
    is_high = maxima >= bound
    rows = np.empty((n // max(1, n_strips) + 1) * is_high.sum(), dtype=np.int64)
    n_rows = 0
    for strip in np.flatnonzero(is_high):
        for row in range(strip, n, n_strips):
            if bound <= bits[row] <= _INFINITY and allowed[row]:
                rows[n_rows] = row
                n_rows += 1
    rows = rows[:n_rows]
    if n_rows > k:
        values = bits[rows]
        rows = rows[values >= np.partition(values, n_rows - k)[n_rows - k]]
    return np.sort(rows)


@_kernel
def number_pairs(terms: NDArray[np.uint64], counts: NDArray[np.uint8], numbers: NDArray[np.int32]) -> IntArray:
    """Number the different pairs of term and count by their first occurrence, with a hash table that grows.

    numbers : shape (n_entries,), filled with the number of each entry's pair.
    Returns the entry of each pair's first occurrence, rising, shape (n_different,).
    """
    size = 1 << 12
    slots = np.full(size, EMPTY_SLOT, dtype=np.int32)
    firsts = np.empty(size, dtype=np.int64)
    n_pairs = 0
    for i in range(len(terms)):
        slot = _slot(terms[i], counts[i], size)
        while slots[slot] != EMPTY_SLOT:
            first = firsts[slots[slot]]
            if terms[first] == terms[i] and counts[first] == counts[i]:
                break
            slot = (slot + 1) & (size - 1)
        if slots[slot] == EMPTY_SLOT:
            slots[slot] = n_pairs
            firsts[n_pairs] = i
            n_pairs += 1
        numbers[i] = slots[slot]
        if 2 * n_pairs >= size:
            size *= 4
            slots = np.full(size, EMPTY_SLOT, dtype=np.int32)
            more = np.empty(size, dtype=np.int64)
            more[:n_pairs] = firsts[:n_pairs]
            firsts = more
            for number in range(n_pairs):
                slot = _slot(terms[firsts[number]], counts[firsts[number]], size)
                while slots[slot] != EMPTY_SLOT:
                    slot = (slot + 1) & (size - 1)
                slots[slot] = number
    return firsts[:n_pairs].copy()


@_kernel
def _slot(term: np.uint64, count: np.uint8, size: int) -> np.int64:
    """The home slot of a pair; the term is a hash already."""
    return np.int64(((term >> np.uint64(3)) + np.uint64(count) * np.uint64(0x9E3779B97F4A7C15)) & np.uint64(size - 1))


@_kernel
def gather(numbers: NDArray[np.int32], rows: NDArray[np.uint16], starts: IntArray, out: NDArray[np.uint16]) -> None:
    """A stable counting sort of rows by number.

    starts : shape (n_numbers,), the first place of each number; overwritten.
    """
    for i in range(len(numbers)):
        place = starts[numbers[i]]
        starts[numbers[i]] = place + 1
        out[place] = rows[i]
