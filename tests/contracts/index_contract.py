"""The contract of ``index.contract.Index`` as tests. A test module subclasses ``IndexContract``, sets its ``kind``, and
gets every test below.
"""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from matching_service.index.contract import RowChanges

# One test runs for several indexes; each has examples of its own kind.
contract = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.differing_executors])


@dataclass(frozen=True)
class IndexKind:
    """What the contract needs to know of an index.

    build : from a list of entries to an index with one row per entry, in this order.
    entries, queries : what they may look like; best few, so that equal ones are common.
    nothing : an entry that no query finds.
    found_by : an entry, and a query that finds it.
    """

    build: Callable[[Sequence[Any]], Any]
    entries: SearchStrategy[Any]
    queries: SearchStrategy[Any]
    nothing: Any
    found_by: tuple[Any, Any]


class IndexContract:
    kind: IndexKind

    def test_an_empty_index_has_no_rows_and_no_hits(self):
        index = self.kind.build([])
        assert len(index) == 0
        assert_hits(index.search(self.kind.found_by[1], k=5), [], [])
        assert index.scores(self.kind.found_by[1], rows([])).shape == (0,)

    @contract
    @given(data=st.data())
    def test_there_is_a_row_per_entry_with_a_score_between_0_and_1_or_unknown(self, data):
        drawn = data.draw(st.lists(self.kind.entries, max_size=12))
        index = self.kind.build(drawn)
        scores = all_scores(index, data.draw(self.kind.queries))
        assert len(index) == len(drawn) == len(scores)
        assert scores.dtype == np.float32
        assert (np.isnan(scores) | ((scores >= 0) & (scores <= 1))).all()

    @contract
    @given(data=st.data())
    def test_search_gives_the_best_positive_scores_and_equal_ones_by_row(self, data):
        index, query = (
            self.kind.build(data.draw(st.lists(self.kind.entries, max_size=12))),
            data.draw(self.kind.queries),
        )
        k = data.draw(st.integers(1, 14))
        scores = all_scores(index, query)
        expected = sorted((row for row in range(len(index)) if scores[row] > 0), key=lambda row: (-scores[row], row))[
            :k
        ]
        assert_hits(index.search(query, k=k), expected, scores[expected])

    @contract
    @given(data=st.data())
    def test_search_sees_only_what_is_allowed(self, data):
        drawn = data.draw(st.lists(self.kind.entries, max_size=12))
        index, query = self.kind.build(drawn), data.draw(self.kind.queries)
        allowed = np.array(data.draw(st.lists(st.booleans(), min_size=len(drawn), max_size=len(drawn))), dtype=np.bool_)
        everything = index.search(query, k=len(drawn) + 1)
        kept = allowed[everything.rows]
        k = data.draw(st.integers(1, 14))
        found = index.search(query, k=k, allowed=allowed)
        assert_hits(found, everything.rows[kept][:k], everything.scores[kept][:k])

    @contract
    @given(data=st.data())
    def test_scores_of_some_rows_are_the_same_bits_as_scores_of_all(self, data):
        index, query = (
            self.kind.build(data.draw(st.lists(self.kind.entries, min_size=1, max_size=12))),
            data.draw(self.kind.queries),
        )
        some = rows(data.draw(st.lists(st.integers(0, len(index) - 1), max_size=12)))
        np.testing.assert_array_equal(index.scores(query, some), all_scores(index, query)[some])

    def test_an_entry_is_found_and_the_empty_one_is_not(self):
        entry, query = self.kind.found_by
        index = self.kind.build([self.kind.nothing, entry, self.kind.nothing])
        assert index.search(query, k=10).rows.tolist() == [1]

    @contract
    @given(k=st.integers(1, 9))
    def test_of_equal_entries_the_first_rows_are_given(self, k):
        entry, query = self.kind.found_by
        assert (
            self.kind.build([self.kind.nothing, *[entry] * 8]).search(query, k=k).rows.tolist() == list(range(1, 9))[:k]
        )

    @contract
    @given(data=st.data())
    def test_changes_give_the_very_index_that_is_built_at_once(self, data):
        model = data.draw(st.lists(self.kind.entries, max_size=8))
        index = self.kind.build(model)
        for _ in range(data.draw(st.integers(1, 4))):
            kept = sorted(data.draw(st.sets(st.sampled_from(range(len(model)))))) if model else []
            added = data.draw(st.lists(self.kind.entries, max_size=4))
            order = data.draw(st.permutations(range(len(kept) + len(added))))
            together = [*(model[row] for row in kept), *added]
            model = [together[i] for i in order]
            index = index.apply(RowChanges(rows(kept), added, rows(order)))
        assert_same(index, self.kind.build(model), data.draw(st.lists(self.kind.queries, min_size=1, max_size=3)))

    @contract
    @given(data=st.data())
    def test_changes_leave_the_index_they_start_from_as_it_was(self, data):
        drawn = data.draw(st.lists(self.kind.entries, min_size=1, max_size=8))
        query, index = data.draw(self.kind.queries), self.kind.build(drawn)
        before = all_scores(index, query)
        index.apply(RowChanges(rows([0]), data.draw(st.lists(self.kind.entries, min_size=1, max_size=1)), rows([1, 0])))
        assert len(index) == len(drawn)
        np.testing.assert_array_equal(all_scores(index, query), before)

    @contract
    @given(data=st.data())
    def test_a_saved_index_is_loaded_as_it_was(self, data):
        index = self.kind.build(data.draw(st.lists(self.kind.entries, max_size=8)))
        with tempfile.TemporaryDirectory() as folder:
            index.save(Path(folder))
            loaded = type(index).load(Path(folder))
        assert_same(loaded, index, data.draw(st.lists(self.kind.queries, min_size=1, max_size=3)))

    @contract
    @given(data=st.data())
    def test_a_loaded_index_can_be_changed(self, data):
        drawn = data.draw(st.lists(self.kind.entries, max_size=6))
        added = data.draw(st.lists(self.kind.entries, max_size=4))
        with tempfile.TemporaryDirectory() as folder:
            self.kind.build(drawn).save(Path(folder))
            loaded = type(self.kind.build([])).load(Path(folder))
        n_rows = len(drawn) + len(added)
        changed = loaded.apply(RowChanges(rows(range(len(drawn))), added, rows(range(n_rows))))
        assert_same(changed, self.kind.build([*drawn, *added]), [data.draw(self.kind.queries)])


def rows(numbers):
    return np.array(list(numbers), dtype=np.int64)


def all_scores(index, query):
    return index.scores(query, rows(range(len(index))))


def assert_hits(hits, expected_rows, expected_scores):
    assert (hits.rows.dtype, hits.scores.dtype) == (np.int64, np.float32)
    assert hits.rows.tolist() == list(expected_rows)
    assert hits.scores.tolist() == list(expected_scores)


def assert_same(index, other, queries):
    """The two give the same bits, whatever is asked."""
    assert len(index) == len(other)
    for query in queries:
        np.testing.assert_array_equal(all_scores(index, query), all_scores(other, query))
        hits, expected = index.search(query, k=5), other.search(query, k=5)
        assert_hits(hits, expected.rows, expected.scores)
