"""What changed between two lists of one demand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matching_service.matching.changes import MOVED_AT_LEAST, compare_lists

RANKS = st.lists(st.sampled_from("abcdefgh"), unique=True).map(lambda ids: {i: n for n, i in enumerate(ids, start=1)})


@pytest.mark.parametrize("ranks", [{}, {"a": 1, "b": 2}])
def test_nothing_changed(ranks: dict[str, int]) -> None:
    assert compare_lists("d", ranks, dict(ranks)) is None


def test_small_moves_are_noise() -> None:
    assert compare_lists("d", {"a": 1, "b": 2, "c": 3}, {"c": 1, "a": 2, "b": 3}) is None


def test_who_came_went_and_moved_far() -> None:
    changes = compare_lists("d", {"a": 1, "b": 2, "c": 3, "x": 4, "y": 5}, {"n": 1, "y": 2, "c": 3, "m": 4, "b": 5})
    assert changes is not None
    assert changes.model_dump() == {
        "demand_id": "d",
        "entered": [{"profile_id": "n", "rank": 1}, {"profile_id": "m", "rank": 4}],
        "left": [{"profile_id": "a", "rank": 1}, {"profile_id": "x", "rank": 4}],
        "moved": [
            {"profile_id": "y", "from_rank": 5, "to_rank": 2},
            {"profile_id": "b", "from_rank": 2, "to_rank": 5},
        ],
    }


@given(RANKS, RANKS)
def test_the_change_is_told_in_full_and_backwards_alike(before: dict[str, int], after: dict[str, int]) -> None:
    changes, back = compare_lists("d", before, after), compare_lists("d", after, before)
    if changes is None or back is None:
        assert changes is back is None
        assert set(before) == set(after)
        return
    assert {p.profile_id: p.rank for p in changes.entered} == {i: n for i, n in after.items() if i not in before}
    assert changes.entered == back.left
    assert changes.left == back.entered
    for moved in changes.moved:
        assert (before[moved.profile_id], after[moved.profile_id]) == (moved.from_rank, moved.to_rank)
        assert abs(moved.from_rank - moved.to_rank) >= MOVED_AT_LEAST
