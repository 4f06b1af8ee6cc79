"""Measures by hand, by their properties, and against scikit-learn and trec_eval."""

import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, ndcg_score

from matching_service.evaluation.measures import (
    average_precision,
    dcg,
    ndcg,
    pairwise_accuracy,
    recall,
    reciprocal_rank,
)

GRADES = st.lists(st.integers(0, 3), min_size=1, max_size=15).filter(any)
WITH_RELEVANT = GRADES.filter(lambda grades: max(grades) >= 2)
WITH_DIFFERENT = GRADES.filter(lambda grades: len(set(grades)) > 1)


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
        ([0, 0, 3], 2, 0.0),  # the only good item is below k
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


@pytest.mark.parametrize("grades", [[], [0], [1, 0, 1]])
@pytest.mark.parametrize("measure", [average_precision, reciprocal_rank, lambda grades: recall(grades, k=10)])
def test_without_a_relevant_item_they_are_not_defined(measure: Callable[[list[int]], float], grades: list[int]) -> None:
    with pytest.raises(ValueError, match="no item of grade 2 or more"):
        measure(grades)


@pytest.mark.parametrize("grades", [[], [2], [0, 0, 0], [3, 3]])
def test_without_different_grades_there_is_no_pair(grades: list[int]) -> None:
    with pytest.raises(ValueError, match="no pair"):
        pairwise_accuracy(grades)


@pytest.mark.parametrize(
    ("grades", "precision", "rank", "recalled"),
    [
        ([3], 1.0, 1.0, 1.0),
        ([0, 2, 1, 3], (1 / 2 + 2 / 4) / 2, 1 / 2, 1 / 2),
        ([1, 1, 1, 2], 1 / 4, 1 / 4, 0.0),
        ([2, 3, 0, 3, 2], (1 + 1 + 3 / 4 + 4 / 5) / 4, 1.0, 2 / 4),
    ],
)
def test_hits_by_hand(grades: list[int], precision: float, rank: float, recalled: float) -> None:
    assert average_precision(grades) == pytest.approx(precision)
    assert reciprocal_rank(grades) == rank
    assert recall(grades, k=3) == recalled


def test_what_is_relevant_can_be_chosen() -> None:
    grades = [0, 1, 2, 3]
    assert [reciprocal_rank(grades, relevant_from=grade) for grade in (1, 2, 3)] == [1 / 2, 1 / 3, 1 / 4]
    assert [recall(grades, k=2, relevant_from=grade) for grade in (1, 2, 3)] == [1 / 3, 0.0, 0.0]
    assert average_precision(grades, relevant_from=3) == 1 / 4


@pytest.mark.parametrize(
    ("grades", "expected"),
    [([3, 0], 1.0), ([0, 3], 0.0), ([1, 3, 0, 0], 4 / 5), ([0, 1, 2, 3], 0.0), ([2, 2, 0, 2], 2 / 3)],
)
def test_pairs_by_hand(grades: list[int], expected: float) -> None:
    assert pairwise_accuracy(grades) == pytest.approx(expected)


@given(WITH_RELEVANT, st.integers(1, 20))
def test_hits_lie_between_0_and_1_and_the_ideal_order_has_1(grades: list[int], k: int) -> None:
    assert 0.0 < average_precision(grades) <= 1.0
    assert 0.0 < reciprocal_rank(grades) <= 1.0
    assert 0.0 <= recall(grades, k=k) <= 1.0
    best_first = sorted(grades, reverse=True)
    assert average_precision(best_first) == reciprocal_rank(best_first) == recall(best_first, k=len(grades)) == 1.0


@given(WITH_DIFFERENT)
def test_an_order_and_its_reverse_share_the_pairs(grades: list[int]) -> None:
    assert 0.0 <= pairwise_accuracy(grades) <= 1.0
    assert pairwise_accuracy(grades) + pairwise_accuracy(grades[::-1]) == pytest.approx(1.0)
    assert pairwise_accuracy(sorted(grades, reverse=True)) == 1.0


@given(WITH_DIFFERENT, st.data())
def test_swapping_two_misordered_neighbours_helps_the_pairs(grades: list[int], data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(grades) - 2))
    swapped = [*grades[:place], grades[place + 1], grades[place], *grades[place + 2 :]]
    if grades[place] < grades[place + 1]:
        assert pairwise_accuracy(swapped) > pairwise_accuracy(grades)
    elif grades[place] == grades[place + 1]:
        assert pairwise_accuracy(swapped) == pairwise_accuracy(grades)


@given(WITH_RELEVANT.filter(lambda grades: len(grades) > 1), st.integers(1, 20))  # ndcg_score refuses a single item
@example([0, 3, 1, 2, 0, 2], 3)
def test_scikit_learn_agrees(grades: list[int], k: int) -> None:
    scores = [float(-rank) for rank in range(len(grades))]
    gains = [2.0**grade - 1 for grade in grades]  # ndcg_score uses the grade itself as the gain
    assert ndcg(grades, k=k) == pytest.approx(ndcg_score([gains], [scores], k=k))
    assert average_precision(grades) == pytest.approx(average_precision_score([grade >= 2 for grade in grades], scores))


@given(st.lists(WITH_RELEVANT, min_size=1, max_size=5), st.integers(1, 20))
@example([[0, 3, 1, 2, 0, 2], [2]], 3)
def test_trec_eval_agrees(lists: list[list[int]], k: int) -> None:
    """ir_measures calls trec_eval, by which retrieval is measured since 1992; every demand is a query of its own."""
    ir = pytest.importorskip("ir_measures")
    gains = {grade: 2**grade - 1 for grade in range(4)}  # trec_eval's gain is the grade itself
    judged = [
        ir.Qrel(f"q{q}", f"d{rank}", grade) for q, grades in enumerate(lists) for rank, grade in enumerate(grades)
    ]
    run = [ir.ScoredDoc(f"q{q}", f"d{rank}", -rank) for q, grades in enumerate(lists) for rank in range(len(grades))]
    ours: dict[Any, Callable[[list[int]], float]] = {
        ir.nDCG(gains=gains) @ k: lambda grades: ndcg(grades, k=k),
        ir.AP(rel=2): average_precision,
        ir.RR(rel=2): reciprocal_rank,
        ir.R(rel=2) @ k: lambda grades: recall(grades, k=k),
    }
    theirs = {(metric.query_id, metric.measure): metric.value for metric in ir.iter_calc(list(ours), judged, run)}
    assert theirs == pytest.approx(
        {(f"q{q}", measure): our(grades) for measure, our in ours.items() for q, grades in enumerate(lists)}
    )
