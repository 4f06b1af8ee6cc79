"""Fitted weights follow the right signals and leave silent ones alone. Cross-validation never sees the held-out demand."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from matching_service.evaluation.compare import compare, evaluate
from matching_service.evaluation.fit import (
    EXPECTED_GRADES,
    JudgedPairs,
    cross_validate,
    fit_floors,
    fit_weights,
    pair_scorer,
)
from matching_service.ranking.calibrate import LEVEL_NAMES
from matching_service.ranking.fusion import ADJUSTING_SIGNALS, TOPIC_SIGNALS, Weights

N_DEMANDS = 40
N_PROFILES = 6
START = Weights("start", dict(zip(TOPIC_SIGNALS, (0.5, 0.5), strict=True)) | dict.fromkeys(ADJUSTING_SIGNALS, 0.05))


def judged(
    *, right: Sequence[str] = (), noise: Sequence[str] = (), n_demands: int = N_DEMANDS, copies: int = 1, seed: int = 0
) -> JudgedPairs:
    """Return pairs whose grades follow the signals in ``right``. Signals in ``noise`` are random, all others NaN.

    copies : number of consecutive demands with the same text.
    """
    generator = np.random.default_rng(seed)
    n_pairs = n_demands * N_PROFILES
    grades = generator.integers(0, 4, n_pairs)
    columns = {signal: (grades / 3 + generator.normal(0, 0.3, n_pairs)).clip(0, 1) for signal in right}
    columns |= {signal: generator.random(n_pairs) for signal in noise}
    unknown = np.full(n_pairs, np.nan)
    ids = [f"d{number:03}" for number in range(n_demands)]
    return JudgedPairs(
        [demand_id for demand_id in ids for _ in range(N_PROFILES)],
        [f"p{place}" for _ in ids for place in range(N_PROFILES)],
        grades,
        np.stack([columns.get(signal, unknown) for signal in TOPIC_SIGNALS], axis=1).astype(np.float32),
        np.stack([columns.get(signal, unknown) for signal in ADJUSTING_SIGNALS], axis=1),
        np.zeros(n_pairs),
        {demand_id: f"text {number // copies}" for number, demand_id in enumerate(ids)},
    )


def judgements(pairs: JudgedPairs) -> dict[str, dict[str, int]]:
    grades: dict[str, dict[str, int]] = {}
    for demand_id, profile_id, grade in zip(pairs.demand_ids, pairs.profile_ids, pairs.grades.tolist(), strict=True):
        grades.setdefault(demand_id, {})[profile_id] = grade
    return grades


def regraded(pairs: JudgedPairs, demand_ids: set[str]) -> JudgedPairs:
    """Return the same pairs with the grades of the given demands reversed."""
    is_theirs = np.isin(pairs.demand_ids, sorted(demand_ids))
    return replace(pairs, grades=np.where(is_theirs, 3 - pairs.grades, pairs.grades))


def rows_of(pairs: JudgedPairs, demand_ids: set[str]) -> list[int]:
    return [row for row, demand_id in enumerate(pairs.demand_ids) if demand_id in demand_ids]


class TestFitWeights:
    @pytest.mark.parametrize(("right", "noise"), [("lexical", "semantic"), ("semantic", "lexical")])
    def test_it_moves_to_the_topic_signal_that_is_right_and_wins_on_demands_not_seen(
        self, right: str, noise: str
    ) -> None:
        pairs = judged(right=[right], noise=[noise])
        fitted = fit_weights(pairs, START, version="fitted")
        assert fitted.version == "fitted"
        assert fitted.values[right] > 0.7
        assert fitted.values[noise] < 0.3
        unseen = pair_scorer(pairs, cross_validate(pairs, START, fitted=True).scores)
        present = pair_scorer(pairs, pairs.scores(START))
        a, b = (evaluate(name, scorer, judgements(pairs), k=10) for name, scorer in (("a", present), ("b", unseen)))
        assert compare(a, b).is_better

    def test_it_moves_to_the_adjusting_signal_that_is_right_and_away_from_the_one_that_is_noise(self) -> None:
        pairs = judged(right=["lexical", "nice_to_have"], noise=["recency"], n_demands=100)
        fitted = fit_weights(pairs, START, version="fitted")
        assert fitted.values["nice_to_have"] > START.values["nice_to_have"] + 0.05
        assert fitted.values["recency"] < fitted.values["nice_to_have"]

    def test_a_signal_that_is_silent_in_the_labels_keeps_its_weight(self) -> None:
        fitted = fit_weights(judged(right=["lexical"], noise=["recency"]), START, version="fitted")
        silent = [signal for signal in ADJUSTING_SIGNALS if signal != "recency"]
        assert {signal: fitted.values[signal] for signal in silent} == pytest.approx(
            {signal: START.values[signal] for signal in silent}, abs=1e-3
        )
        only_words = fit_weights(judged(right=["lexical"]), START, version="fitted")
        assert dict(only_words.values) == pytest.approx(dict(START.values), abs=1e-3)

    def test_a_silent_signal_keeps_its_weight_when_others_would_take_all_of_it(self) -> None:
        full = dict.fromkeys(ADJUSTING_SIGNALS, 0.12)
        start = replace(START, values=dict(START.values) | full)
        fitted = fit_weights(judged(right=["cluster"], noise=["lexical"]), start, version="fitted")
        silent = [signal for signal in ADJUSTING_SIGNALS if signal != "cluster"]
        assert fitted.values["cluster"] == pytest.approx(1 - 0.12 * len(silent))  # all that the silent ones leave of 1
        assert {signal: fitted.values[signal] for signal in silent} == pytest.approx(
            {signal: start.values[signal] for signal in silent}, abs=1e-3
        )

    def test_it_does_not_depend_on_chance_or_on_the_run(self) -> None:
        pairs = judged(right=["semantic"], noise=["lexical", "region"])
        assert fit_weights(pairs, START, version="v") == fit_weights(pairs, START, version="v")

    def test_demands_judged_alike_throughout_teach_no_order(self) -> None:
        pairs = judged(right=["semantic"], noise=["lexical"])
        same = replace(pairs, grades=np.repeat(np.arange(N_DEMANDS) % 4, N_PROFILES))
        assert dict(fit_weights(same, START, version="v").values) == pytest.approx(dict(START.values))

    def test_a_demand_of_very_many_pairs_has_no_more_say_than_500_of_them(self) -> None:
        """40 profiles with each of 4 grades make 9600 ordered pairs. The sample is deterministic."""
        generator = np.random.default_rng(0)
        grades = np.repeat(np.arange(4), 40)
        topic = np.stack([generator.random(160), grades / 3], axis=1).astype(np.float32)
        pairs = JudgedPairs(
            ["d"] * 160, [f"p{n}" for n in range(160)], grades, topic,
            np.full((160, len(ADJUSTING_SIGNALS)), np.nan), np.zeros(160), {"d": "text"},
        )  # fmt: skip
        fitted = fit_weights(pairs, START, version="v")
        assert fitted.values["semantic"] > 0.7
        assert fitted == fit_weights(pairs, START, version="v")


class TestFitFloors:
    @given(st.lists(st.tuples(st.integers(1, 99), st.integers(0, 3)), min_size=1, max_size=60))
    def test_they_rise_and_so_do_the_grades_of_their_levels(self, pairs: list[tuple[int, int]]) -> None:
        scores = np.array([score / 100 for score, _ in pairs])
        grades = np.array([grade for _, grade in pairs])
        floors = fit_floors(scores, grades)
        assert 0 < floors.weak <= floors.related <= floors.strong < 1
        levels = [floors.level_of(score) for score in scores.tolist()]
        means = [
            float(np.mean([grade for level, grade in zip(levels, grades, strict=True) if level == wanted]))
            for wanted in LEVEL_NAMES
            if wanted in levels
        ]
        assert means == sorted(means, reverse=True)  # LEVEL_NAMES begins with the strongest
        for level, mean in zip([wanted for wanted in LEVEL_NAMES if wanted in levels], means, strict=True):
            assert mean >= EXPECTED_GRADES.get(level, 0.0) - 1e-9

    def test_by_hand(self) -> None:
        scores = np.array([0.8, 0.2, 0.4, 0.6])
        floors = fit_floors(scores, np.array([3, 0, 1, 1]))
        assert (floors.weak, floors.related, floors.strong) == (0.4, 0.4, 0.8)

    def test_a_level_that_nothing_reaches_begins_above_every_score(self) -> None:
        floors = fit_floors(np.array([0.2, 0.6]), np.array([0, 0]))
        assert (floors.weak, floors.related, floors.strong) == (0.8, 0.8, 0.8)


class TestCrossValidate:
    @pytest.mark.parametrize("fitted", [True, False])
    @pytest.mark.parametrize("demand_id", ["d000", "d007", "d039"])
    def test_a_demands_own_grades_do_not_touch_its_scores_and_levels(self, demand_id: str, *, fitted: bool) -> None:
        pairs = judged(right=["semantic"], noise=["lexical", "region"])
        before = cross_validate(pairs, START, fitted=fitted)
        after = cross_validate(regraded(pairs, {demand_id}), START, fitted=fitted)
        own = rows_of(pairs, {demand_id})
        assert before.scores[own].tolist() == after.scores[own].tolist()
        assert [before.levels[row] for row in own] == [after.levels[row] for row in own]
        if fitted:
            assert before.scores.tolist() != after.scores.tolist()  # the other demands do see its grades

    def test_the_grades_of_a_duplicate_do_not_touch_its_scores_either(self) -> None:
        pairs = judged(right=["semantic"], noise=["lexical"], copies=2)
        before, after = (cross_validate(p, START, fitted=True) for p in (pairs, regraded(pairs, {"d004"})))
        twins = rows_of(pairs, {"d004", "d005"})
        assert before.scores[twins].tolist() == after.scores[twins].tolist()
        assert before.scores.tolist() != after.scores.tolist()

    def test_without_fitting_the_scores_are_those_of_the_start(self) -> None:
        pairs = judged(right=["semantic"], noise=["lexical"])
        validated = cross_validate(pairs, START, fitted=False)
        assert validated.scores.tolist() == pairs.scores(START).tolist()
        assert set(validated.levels) <= set(LEVEL_NAMES)

    @pytest.mark.parametrize("fitted", [True, False])
    def test_grades_rise_with_the_levels_of_demands_not_seen(self, *, fitted: bool) -> None:
        pairs = judged(right=["lexical", "semantic"], n_demands=100)
        levels = np.array(cross_validate(pairs, START, fitted=fitted).levels)
        means = [pairs.grades[levels == level].mean() for level in LEVEL_NAMES if level in levels]
        assert len(means) >= 3
        assert means == sorted(means, reverse=True)

    def test_it_is_the_same_every_time(self) -> None:
        pairs = judged(right=["semantic"], noise=["lexical"])
        first, second = (cross_validate(pairs, START, fitted=True) for _ in range(2))
        assert first.scores.tolist() == second.scores.tolist()
        assert first.levels == second.levels

    def test_fewer_demands_than_folds_are_left_out_one_at_a_time(self) -> None:
        pairs = judged(right=["semantic"], noise=["lexical"], n_demands=3)
        scores = cross_validate(pairs, START, fitted=True).scores
        for demand_id in ("d000", "d001", "d002"):
            others = pairs.of(frozenset(pairs.groups) - {demand_id})
            alone = pairs.of(frozenset({demand_id}))
            expected = alone.scores(fit_weights(others, START, version="v"))
            assert scores[rows_of(pairs, {demand_id})].tolist() == expected.tolist()


def test_pairs_of_some_demands_keep_their_rows_together() -> None:
    pairs = judged(right=["semantic"], noise=["lexical", "region"])
    some = pairs.of(frozenset({"d003", "d001"}))
    rows = rows_of(pairs, {"d001", "d003"})
    assert some.groups == {"d001": "text 1", "d003": "text 3"}
    assert some.grades.tolist() == pairs.grades[rows].tolist()
    np.testing.assert_array_equal(some.scores(START), pairs.scores(START)[rows])
    scorer = pair_scorer(pairs, pairs.scores(START))
    assert scorer("d001", ["p0"])["p0"] == pairs.scores(START)[rows[0]]
