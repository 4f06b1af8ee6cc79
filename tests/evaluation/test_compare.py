"""Rankers are compared on the same pairs, with ties ordered by id, and a difference has a confidence interval."""

import itertools
import math
from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from matching_service.evaluation.compare import MEASURES, Result, compare, evaluate, folds, random_scorer
from matching_service.evaluation.measures import ndcg

JUDGEMENTS = {"d1": {"a": 0, "b": 3, "c": 1}, "d2": {"a": 2, "b": 0}, "d3": {"a": 0, "b": 0}}
VALUES = st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=20)
GROUPS = st.dictionaries(st.text(max_size=3), st.sampled_from("abcdefgh"), min_size=1, max_size=30)


def perfect(demand_id: str, profile_ids: Sequence[str]) -> Mapping[str, float]:
    return {profile_id: float(JUDGEMENTS[demand_id][profile_id]) for profile_id in profile_ids}


def nothing(_demand_id: str, _profile_ids: Sequence[str]) -> Mapping[str, float]:
    return {}


def measured(name: str, values: Sequence[float], *, k: int = 10) -> Result:
    return Result(name, k, {"ndcg": {f"d{place:03}": value for place, value in enumerate(values)}})


class TestEvaluate:
    def test_a_demand_is_left_out_where_a_measure_is_not_defined(self) -> None:
        judgements = {**JUDGEMENTS, "d4": {"a": 1, "b": 0}, "d5": {"a": 3}, "d6": {}}
        result = evaluate("nothing", nothing, judgements, k=10)
        demands = {measure: set(values) for measure, values in result.per_demand.items()}
        hits = {"d1", "d2", "d5"}
        assert demands == {
            "ndcg": {"d1", "d2", "d4", "d5"},
            "map": hits,
            "mrr": hits,
            "recall": hits,
            "pairwise": {"d1", "d2", "d4"},
        }

    def test_the_perfect_order_has_1_everywhere(self) -> None:
        result = evaluate("perfect", perfect, JUDGEMENTS, k=10)
        assert (result.name, result.k) == ("perfect", 10)
        assert result.per_demand == {measure: {"d1": 1.0, "d2": 1.0} for measure in MEASURES}
        assert [result.mean(measure) for measure in MEASURES] == [1.0] * len(MEASURES)

    def test_equal_scores_are_ordered_by_id(self) -> None:
        result = evaluate("nothing", nothing, JUDGEMENTS, k=1)
        assert result.per_demand["ndcg"] == {"d1": 0.0, "d2": 1.0}
        assert result.per_demand["map"] == {"d1": 0.5, "d2": 1.0}
        assert result.per_demand["mrr"] == {"d1": 0.5, "d2": 1.0}
        assert result.per_demand["recall"] == {"d1": 0.0, "d2": 1.0}
        assert result.per_demand["pairwise"] == {"d1": pytest.approx(1 / 3), "d2": 1.0}
        assert evaluate("nothing", nothing, JUDGEMENTS, k=10).per_demand["ndcg"]["d1"] == ndcg([0, 3, 1], k=10)

    def test_the_mean_is_over_demands(self) -> None:
        assert evaluate("nothing", nothing, JUDGEMENTS, k=1).mean("map") == pytest.approx(0.75)

    def test_there_is_no_mean_over_no_demand(self) -> None:
        result = evaluate("nothing", nothing, {"d": {"a": 1}}, k=10)
        assert result.mean("ndcg") == 1.0
        with pytest.raises(ValueError, match="pairwise is not defined"):
            result.mean("pairwise")

    def test_a_scorer_gets_all_judged_profiles_in_an_order_that_does_not_reveal_grades(self) -> None:
        requested: dict[str, list[str]] = {}

        def scorer(demand_id: str, profile_ids: Sequence[str]) -> Mapping[str, float]:
            requested[demand_id] = list(profile_ids)
            return {}

        evaluate("spy", scorer, JUDGEMENTS, k=10)
        assert requested == {"d1": ["a", "b", "c"], "d2": ["a", "b"]}

    def test_a_score_that_cannot_be_ordered_is_refused(self) -> None:
        with pytest.raises(ValueError, match="bad scored NaN for demand d1"):
            evaluate("bad", lambda _demand, profiles: dict.fromkeys(profiles, math.nan), JUDGEMENTS, k=10)

    def test_the_random_floor_is_the_same_every_time(self) -> None:
        first, second = (evaluate("random", random_scorer(seed=0), JUDGEMENTS, k=10) for _ in range(2))
        assert first == second


class TestCompare:
    @pytest.mark.parametrize(
        "other", [measured("b", [0.5]), measured("b", [0.5, 0.5, 0.5]), measured("b", [0.5, 0.5], k=5)]
    )
    def test_results_of_different_demands_or_k_are_refused(self, other: Result) -> None:
        with pytest.raises(ValueError, match="a and b were not measured"):
            compare(measured("a", [0.5, 0.5]), other)

    def test_no_demand_is_refused(self) -> None:
        with pytest.raises(ValueError, match="ndcg is not defined"):
            compare(measured("a", []), measured("b", []))

    def test_by_hand(self) -> None:
        """One of two demands gains 1, so the resampled mean is 0, 1/2 or 1 with probability 1/4, 1/2 or 1/4."""
        difference = compare(measured("a", [0.0, 0.5]), measured("b", [1.0, 0.5]))
        assert (difference.measure, difference.n_demands, difference.mean) == ("ndcg", 2, 0.5)
        assert (difference.low, difference.high) == (0.0, 1.0)
        assert difference.p_not_better == pytest.approx(0.25, abs=0.02)
        assert not difference.is_better
        assert difference.worst == ()

    def test_gains_that_cancel_are_not_better(self) -> None:
        """0.1 + 0.2 - 0.3 is above 0 in floating point."""
        gains = (0.1, 0.2, -0.3)
        exact = sum(round(sum(drawn), 9) <= 0 for drawn in itertools.product(gains, repeat=3)) / 27
        difference = compare(measured("a", [0.5] * 3), measured("b", [0.5 + gain for gain in gains]))
        assert difference.p_not_better == pytest.approx(exact, abs=0.02)

    def test_the_ten_worst_losses_are_named_worst_first(self) -> None:
        a = measured("a", [0.5] * 20)
        b = measured("b", [0.5, 0.75, *(0.4 - place / 100 for place in range(17)), 0.24])
        worst = compare(a, b).worst
        assert [demand_id for demand_id, _ in worst] == [
            "d018",
            "d019",
            *(f"d{place:03}" for place in range(17, 9, -1)),
        ]
        assert [gain for _, gain in worst] == pytest.approx([-0.26, -0.26, *(-0.1 - p / 100 for p in range(15, 7, -1))])

    def test_another_measure(self) -> None:
        a, b = (evaluate(name, scorer, JUDGEMENTS, k=1) for name, scorer in (("a", nothing), ("b", perfect)))
        assert compare(a, b, measure="map").mean == 0.25
        assert compare(b, a, measure="mrr").worst == (("d1", -0.5),)

    def test_many_demands_give_the_interval_of_the_normal_distribution(self) -> None:
        gains = np.random.default_rng(1).normal(0.02, 0.1, 500)
        difference = compare(measured("a", [0.5] * 500), measured("b", (gains + 0.5).tolist()))
        error = 1.96 * gains.std() / math.sqrt(500)
        assert difference.mean == pytest.approx(gains.mean())
        assert (difference.low, difference.high) == pytest.approx(
            (gains.mean() - error, gains.mean() + error), abs=1e-3
        )

    @given(VALUES)
    def test_a_result_does_not_differ_from_itself(self, values: list[tuple[float, float]]) -> None:
        result = measured("a", [value for value, _ in values])
        difference = compare(result, result, n_resamples=50)
        assert (difference.mean, difference.low, difference.high) == (0.0, 0.0, 0.0)
        assert difference.p_not_better == 1.0
        assert not difference.is_better
        assert difference.worst == ()

    @given(VALUES, st.integers(0, 9))
    def test_it_depends_on_the_seed_and_not_on_the_order(self, values: list[tuple[float, float]], seed: int) -> None:
        a, b = (measured(name, column) for name, column in zip("ab", zip(*values, strict=True), strict=True))
        difference = compare(a, b, n_resamples=50, seed=seed)
        backwards = Result("b", 10, {"ndcg": dict(reversed(list(b.per_demand["ndcg"].items())))})
        assert compare(a, backwards, n_resamples=50, seed=seed) == difference
        assert -1 <= difference.low <= difference.high <= 1

    @given(st.lists(st.floats(0, 0.5), min_size=1, max_size=20), st.floats(0.001, 0.5))
    def test_uniformly_better_is_better(self, values: list[float], gain: float) -> None:
        a, b = measured("a", values), measured("b", [value + gain for value in values])
        difference = compare(a, b, n_resamples=50)
        assert difference.is_better
        assert difference.p_not_better == 0.0
        assert (difference.mean, difference.low, difference.high) == pytest.approx((gain, gain, gain))
        assert not compare(b, a, n_resamples=50).is_better


class TestFolds:
    @pytest.mark.parametrize("n", [0, 3])
    def test_fewer_groups_than_folds_are_refused(self, n: int) -> None:
        with pytest.raises(ValueError, match="2 groups of demands cannot make"):
            folds({"d1": "x", "d2": "x", "d3": "y"}, n=n, seed=0)

    def test_the_largest_groups_go_first(self) -> None:
        groups = {"d1": "x", "d2": "y", "d3": "x", "d4": "x", "d5": "z", "d6": "w"}
        assert set(folds(groups, n=2, seed=0)) == {frozenset({"d1", "d3", "d4"}), frozenset({"d2", "d5", "d6"})}

    @given(GROUPS, st.integers(1, 8), st.integers(0, 9))
    def test_they_partition_the_demands_and_keep_groups_together(
        self, groups: dict[str, str], n: int, seed: int
    ) -> None:
        n = min(n, len(set(groups.values())))
        split = folds(groups, n=n, seed=seed)
        assert len(split) == n
        assert sorted(demand_id for fold in split for demand_id in fold) == sorted(groups)
        keys = [{groups[demand_id] for demand_id in fold} for fold in split]
        assert sum(map(len, keys)) == len(set(groups.values()))  # no group is in two folds
        sizes = [len(fold) for fold in split]
        largest = max(list(groups.values()).count(group) for group in groups.values())
        assert min(sizes) > 0
        assert max(sizes) - min(sizes) <= largest
        assert folds(dict(reversed(groups.items())), n=n, seed=seed) == split

    def test_the_seed_shuffles(self) -> None:
        groups = {f"d{number}": f"d{number}" for number in range(20)}
        assert folds(groups, n=4, seed=0) != folds(groups, n=4, seed=1)
        assert [len(fold) for fold in folds(groups, n=3, seed=0)] == [7, 7, 6]
