"""nDCG by hand and by its properties."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matching_service.evaluation.measures import dcg, ndcg

GRADES = st.lists(st.integers(0, 3), min_size=1, max_size=15).filter(any)


@pytest.mark.parametrize("grades", [[], [0], [0, 0, 0]])
def test_without_a_positive_grade_it_is_not_defined(grades: list[int]) -> None:
    with pytest.raises(ValueError, match="no positive grade"):
        ndcg(grades, k=10)


@pytest.mark.parametrize(
    ("grades", "k", "expected"),
    [
        ([3], 10, 7.0),
        ([0, 3], 10, 7 / math.log2(3)),
        ([3, 2, 0, 1], 10, 7 + 3 / math.log2(3) + 1 / math.log2(5)),
        ([3, 2, 0, 1], 2, 7 + 3 / math.log2(3)),
        ([], 10, 0.0),
    ],
)
def test_dcg_by_hand(grades: list[int], k: int, expected: float) -> None:
    assert dcg(grades, k=k) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("grades", "k", "expected"),
    [
        ([3, 2, 1, 0], 10, 1.0),
        ([0, 1], 10, 0.6309297535714575),  # 1 / log2(3)
        ([1, 3], 10, 0.7098097),  # (1 + 7 / log2(3)) / (7 + 1 / log2(3))
        ([0, 0, 3], 2, 0.0),  # what is good stands below k
        ([2, 3], 1, 3 / 7),  # the ideal takes the best of ALL judged items
    ],
)
def test_ndcg_by_hand(grades: list[int], k: int, expected: float) -> None:
    assert ndcg(grades, k=k) == pytest.approx(expected, abs=1e-6)


@given(GRADES, st.integers(1, 20))
def test_it_lies_between_0_and_1_and_the_ideal_order_has_1(grades: list[int], k: int) -> None:
    assert 0.0 <= ndcg(grades, k=k) <= 1.0 + 1e-12
    assert ndcg(sorted(grades, reverse=True), k=k) == pytest.approx(1.0)


@given(GRADES, st.data())
def test_putting_a_better_item_before_a_worse_one_never_harms(grades: list[int], data: st.DataObject) -> None:
    first = data.draw(st.integers(0, len(grades) - 1))
    second = data.draw(st.integers(first, len(grades) - 1))
    better = list(grades)
    if better[second] > better[first]:
        better[first], better[second] = better[second], better[first]
    assert ndcg(better, k=10) >= ndcg(grades, k=10) - 1e-12


@given(GRADES)
def test_items_of_no_worth_at_the_end_change_nothing(grades: list[int]) -> None:
    assert ndcg([*grades, 0, 0], k=10) == pytest.approx(ndcg(grades, k=10))
