import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from ranking.worlds import CALIBRATION, weights_of

from matching_service.ranking.calibrate import DEFAULT_FLOORS
from matching_service.ranking.fusion import (
    ADJUSTING_SIGNALS,
    SIGNALS,
    TOPIC_SIGNALS,
    Weights,
    default_weights,
    extreme_scores,
    fuse,
    known_weights,
)

UNIT = st.floats(0, 1, width=32)
OFF_TOPIC = UNIT.map(lambda value: float(np.float32(value * 0.159999)))
VALUES = st.one_of(st.just(math.nan), UNIT)
ADJUSTING = st.one_of(st.just(math.nan), st.sampled_from([0.0, 0.5, 1.0]), st.floats(0, 1))
N_ADJUSTING = len(ADJUSTING_SIGNALS)
WEIGHT = st.one_of(st.just(0.0), st.floats(1e-3, 10))
TOPIC_WEIGHTS = st.tuples(WEIGHT, WEIGHT).filter(any)
ADJUSTING_ROWS = st.lists(ADJUSTING, min_size=N_ADJUSTING, max_size=N_ADJUSTING)


@st.composite
def any_weights(draw):
    topic = dict(zip(TOPIC_SIGNALS, draw(TOPIC_WEIGHTS), strict=True))
    return Weights("drawn", topic | {signal: draw(WEIGHT) for signal in ADJUSTING_SIGNALS})


WEIGHTS = any_weights()
CANDIDATES = st.lists(st.tuples(VALUES, VALUES, ADJUSTING_ROWS, st.sampled_from([0.0, 0.5, 1.0])), max_size=6)


def fused(candidates, weights):
    """``candidates``: rows of lexical, semantic, adjusting values, share of must-haves missing."""
    topic = np.array([row[:2] for row in candidates], np.float32).reshape(-1, len(TOPIC_SIGNALS))
    adjusting = np.array([row[2] for row in candidates], np.float64).reshape(-1, N_ADJUSTING)
    return fuse(topic, adjusting, np.array([row[3] for row in candidates], np.float64), weights)


def score(topic, adjusting, weights, *, missing=0.0):
    """The score of one candidate with both topic signals at ``topic``."""
    return float(fused([(topic, topic, adjusting, missing)], weights).scores[0])


UNKNOWN = [math.nan] * N_ADJUSTING
BEST, WORST = [1.0] * N_ADJUSTING, [0.0] * N_ADJUSTING


class TestTopic:
    @settings(deadline=None)
    @given(WEIGHTS)
    def test_weights_sum_to_one_in_the_order_of_the_signals(self, weights):
        topic = weights.topic()
        total = sum(weights.values[signal] for signal in TOPIC_SIGNALS)
        assert topic.tolist() == pytest.approx([weights.values[signal] / total for signal in TOPIC_SIGNALS])

    @settings(deadline=None)
    @given(CANDIDATES, WEIGHTS, st.sampled_from([0.01, 2.0, 1000.0]))
    def test_only_the_ratio_of_topic_weights_matters(self, candidates, weights, factor):
        scaled = {
            signal: value * (factor if signal in TOPIC_SIGNALS else 1) for signal, value in weights.values.items()
        }
        expected = fused(candidates, weights).scores
        np.testing.assert_allclose(fused(candidates, Weights("scaled", scaled)).scores, expected, atol=1e-9)

    @settings(deadline=None)
    @given(CANDIDATES, WEIGHTS)
    def test_the_topic_is_the_mean_of_what_is_known(self, candidates, weights):
        expected = []
        for row in candidates:
            known = [(v, weights.values[s]) for v, s in zip(row[:2], TOPIC_SIGNALS, strict=True) if not math.isnan(v)]
            total = sum(weight for _, weight in known)
            expected.append(sum(value * weight for value, weight in known) / total if total else 0.0)
        assert fused(candidates, weights).topic_parts.sum(axis=1).tolist() == pytest.approx(expected, abs=1e-9)

    @settings(deadline=None)
    @given(st.lists(st.tuples(VALUES, VALUES), max_size=8), WEIGHTS)
    def test_known_weights_sum_to_one_or_all_are_zero(self, rows, weights):
        signals = np.array(rows, np.float32).reshape(-1, 2)
        known = known_weights(signals, weights.topic())
        assert known.shape == signals.shape
        assert (known[np.isnan(signals)] == 0).all()
        for row in known:
            assert row.sum() == pytest.approx(1) or not row.any()

    @settings(deadline=None)
    @given(UNIT, WEIGHTS, ADJUSTING_ROWS)
    def test_silence_neither_helps_nor_harms(self, value, weights, adjusting):
        assume(all(weights.values[signal] for signal in TOPIC_SIGNALS))
        rows = [(value, math.nan, adjusting, 0.0), (math.nan, value, adjusting, 0.0), (value, value, adjusting, 0.0)]
        scores = fused(rows, weights).scores
        assert scores.tolist() == pytest.approx([scores[0]] * 3, abs=1e-9)

    @settings(deadline=None)
    @given(st.tuples(UNIT, UNIT).map(sorted), VALUES, ADJUSTING_ROWS, st.sampled_from([0.0, 0.5, 1.0]), WEIGHTS)
    def test_a_better_topic_never_lowers_the_score(self, rising, second, adjusting, missing, weights):
        low, high = rising
        worse, better = fused([(low, second, adjusting, missing), (high, second, adjusting, missing)], weights).scores
        assert better >= worse - 1e-12

    def test_all_unknown_is_zero(self):
        nothing = (math.nan, math.nan, BEST, 0.0)
        assert fused([nothing] * 2, default_weights(CALIBRATION)).scores.tolist() == [0, 0]
        assert fused([], default_weights(CALIBRATION)).scores.tolist() == []

    def test_a_known_signal_without_weight_gives_zero(self):
        assert fused([(math.nan, 0.9, BEST, 0.0)], weights_of(1, 0, region=1)).scores.tolist() == [0]


class TestAdjustments:
    @settings(deadline=None)
    @given(CANDIDATES, WEIGHTS)
    def test_the_parts_sum_to_a_score_between_0_and_1(self, candidates, weights):
        result = fused(candidates, weights)
        total = result.topic_parts.sum(axis=1) + result.adjusting_parts.sum(axis=1) + result.deducted
        np.testing.assert_allclose(total, result.scores, atol=1e-9)
        assert ((result.scores >= 0) & (result.scores <= 1 + 1e-12)).all()
        assert (result.adjusting_weights >= 0).all()
        assert (result.deducted <= 0).all()

    @settings(deadline=None)
    @given(
        VALUES, VALUES, WEIGHTS, st.lists(st.sampled_from([0.5, math.nan]), min_size=N_ADJUSTING, max_size=N_ADJUSTING)
    )
    def test_the_neutral_and_the_unknown_move_nothing(self, lexical, semantic, weights, neutral):
        result = fused([(lexical, semantic, neutral, 0.0)], weights)
        assert not result.adjusting_parts.any()
        assert result.scores[0] == result.topic_parts.sum()

    @settings(deadline=None)
    @given(
        OFF_TOPIC,
        UNIT,
        ADJUSTING_ROWS,
        ADJUSTING_ROWS,
        WEIGHTS,
    )
    def test_nothing_brings_a_profile_off_the_topic_before_one_on_it(self, off, on, helping, harming, weights):
        assume(on > DEFAULT_FLOORS.weak + 1e-6)
        assert score(off, helping, weights) <= score(on, harming, weights)
        assert score(off, helping, weights) == pytest.approx(off, abs=1e-9)
        assert DEFAULT_FLOORS.level_of(score(on, harming, weights)) != "none"

    @settings(deadline=None)
    @given(UNIT, ADJUSTING_ROWS, WEIGHTS, st.lists(st.booleans(), min_size=N_ADJUSTING, max_size=N_ADJUSTING))
    def test_a_score_stays_within_the_bounds_of_what_its_signals_can_say(self, topic, adjusting, weights, silent):
        least, greatest = np.array([(0.5, 0.5) if quiet else (0.0, 1.0) for quiet in silent]).T
        said = [math.nan if quiet else value for value, quiet in zip(adjusting, silent, strict=True)]
        alone = np.array([score(topic, UNKNOWN, weights)])
        (lowest,), (highest,) = (extreme_scores(alone, values, weights) for values in (least, greatest))
        assert lowest - 1e-9 <= score(topic, said, weights) <= highest + 1e-9
        (truth,) = extreme_scores(alone, np.array([said]), weights)
        assert truth == pytest.approx(score(topic, said, weights), abs=1e-9)

    def test_the_bounds_are_reached(self):
        weights = default_weights(CALIBRATION)
        (lowest,), (highest,) = (
            extreme_scores(np.array([0.5]), np.full(N_ADJUSTING, value), weights) for value in (0.0, 1.0)
        )
        assert lowest == pytest.approx(score(0.5, WORST, weights), abs=1e-6)
        assert highest == pytest.approx(score(0.5, BEST, weights), abs=1e-6)

    @settings(deadline=None)
    @given(
        UNIT.filter(lambda v: v < 1),
        st.sampled_from(range(N_ADJUSTING)),
        ADJUSTING_ROWS,
        st.floats(0, 1),
        st.floats(0, 1),
    )
    def test_a_better_value_never_lowers_the_score(self, topic, place, adjusting, one, other):
        low, high = sorted((one, other))
        weights = default_weights(CALIBRATION)
        worse, better = ([*adjusting[:place], value, *adjusting[place + 1 :]] for value in (low, high))
        assert score(topic, worse, weights) <= score(topic, better, weights) + 1e-12

    def test_every_signal_moves_by_its_own_weight(self):
        for place, signal in enumerate(ADJUSTING_SIGNALS):
            weights = weights_of(1, 1, **{signal: 0.3})
            for other in range(N_ADJUSTING):
                values = [1.0 if i == other else math.nan for i in range(N_ADJUSTING)]
                gain = 0.3 * (0.5 - DEFAULT_FLOORS.weak) * 0.5 if other == place else 0.0
                assert score(0.5, values, weights) == pytest.approx(0.5 + gain, abs=1e-9)

    def test_weights_above_1_are_scaled_and_others_are_shares(self):
        heavy = weights_of(1, 1, cluster=3.0, region=1.0).adjusting()
        assert heavy.sum() == pytest.approx(1)
        assert heavy[ADJUSTING_SIGNALS.index("cluster")] == pytest.approx(0.75)
        light = weights_of(1, 1, cluster=0.3, region=0.1).adjusting()
        assert light[ADJUSTING_SIGNALS.index("cluster")] == 0.3
        assert light.sum() == pytest.approx(0.4)


class TestDeduction:
    @settings(deadline=None)
    @given(VALUES, VALUES, ADJUSTING_ROWS, WEIGHTS)
    def test_it_takes_half_of_a_score_when_every_must_have_is_missing(self, lexical, semantic, adjusting, weights):
        full, half, most = fused(
            [(lexical, semantic, adjusting, missing) for missing in (0.0, 1.0, 0.5)], weights
        ).scores
        assert half == pytest.approx(full / 2)
        assert most == pytest.approx(full * 0.75)

    def test_nothing_is_taken_where_nothing_is_missing(self):
        assert fused([(0.5, 0.5, BEST, 0.0)], default_weights(CALIBRATION)).deducted.tolist() == [0]


class TestStability:
    """``listed`` is the score on the list before."""

    @staticmethod
    def steadied(topic, listed, *, stability=0.02, missing=0.0):
        weights = weights_of(1, 1)
        row = np.array([[topic, topic]], np.float32)
        shares = np.array([missing])
        return fuse(
            row, np.array([UNKNOWN]), shares, weights, former_scores=np.array([listed], np.float64), stability=stability
        )

    @settings(deadline=None)
    @given(CANDIDATES, WEIGHTS, st.floats(0, 0.05), st.data())
    def test_a_score_moves_up_to_the_former_one_or_not_at_all(self, candidates, weights, stability, data):
        plain = fused(candidates, weights)
        topic = np.array([row[:2] for row in candidates], np.float32).reshape(-1, len(TOPIC_SIGNALS))
        adjusting = np.array([row[2] for row in candidates], np.float64).reshape(-1, N_ADJUSTING)
        missing = np.array([row[3] for row in candidates], np.float64)
        near = [data.draw(st.sampled_from([math.nan, 0.0, 1.0, s, s + 0.001, s + 0.04])) for s in plain.scores]
        listed = np.minimum(np.array(near, np.float64), 1.0)
        result = fuse(topic, adjusting, missing, weights, former_scores=listed, stability=stability)
        for score_, before, now, allowance in zip(plain.scores, listed, result.scores, result.allowances, strict=True):
            is_noise = before > score_ and before - score_ <= allowance
            assert now == (before if is_noise else score_)
            assert 0 <= now - score_ <= stability + 1e-12
            assert now <= 1
        total = result.topic_parts.sum(axis=1) + result.adjusting_parts.sum(axis=1) + result.deducted + result.steadied
        np.testing.assert_allclose(total, result.scores, atol=1e-9)
        again = fuse(topic, adjusting, missing, weights, former_scores=result.scores, stability=stability)
        assert again.scores.tolist() == result.scores.tolist()

    def test_a_loss_within_noise_is_made_up_and_a_larger_one_stands(self):
        middle = (1 + DEFAULT_FLOORS.weak) / 2
        assert self.steadied(middle, middle + 0.019).scores[0] == middle + 0.019
        assert self.steadied(middle, middle + 0.021).scores[0] == pytest.approx(middle)
        assert self.steadied(middle, middle - 0.019).scores[0] == pytest.approx(middle)
        assert self.steadied(middle, math.nan).scores[0] == pytest.approx(middle)
        assert self.steadied(middle, middle + 0.001, stability=0.0).steadied[0] == 0

    def test_the_noise_is_smaller_where_the_room_is_and_none_off_the_topic(self):
        allowed = [self.steadied(topic, 0.5).allowances[0] for topic in (0.1, DEFAULT_FLOORS.weak, 0.3, 0.58, 0.9, 1.0)]
        assert allowed[:2] == [0, pytest.approx(0, abs=1e-8)]
        assert allowed[3] == pytest.approx(0.02)
        assert 0 < allowed[2] < allowed[3] > allowed[4] > allowed[5] == 0

    def test_it_comes_after_the_deduction(self):
        halved = self.steadied(0.58, 0.30, missing=1.0)
        assert halved.scores[0] == 0.30
        assert halved.deducted[0] == pytest.approx(-0.29)


class TestWeights:
    @pytest.mark.parametrize(
        ("values", "message"),
        [
            (dict.fromkeys(TOPIC_SIGNALS, 1.0), "expected"),
            (dict.fromkeys([*SIGNALS, "other"], 1.0), "expected"),
            ({}, "expected"),
            (dict.fromkeys(SIGNALS, 1.0) | {"lexical": 0.0, "semantic": 0.0}, "must weigh something"),
            (dict.fromkeys(SIGNALS, 1.0) | {"lexical": -0.1}, "not negative"),
            (dict.fromkeys(SIGNALS, 1.0) | {"region": -0.1}, "not negative"),
            (dict.fromkeys(SIGNALS, 1.0) | {"region": math.inf}, "finite"),
            (dict.fromkeys(SIGNALS, 1.0) | {"semantic": math.nan}, "finite"),
        ],
        ids=["too few", "too many", "none", "no topic", "negative topic", "negative", "infinite", "not a number"],
    )
    def test_impossible_ones_are_refused(self, values, message):
        with pytest.raises(ValueError, match=message):
            Weights("bad", values)

    def test_the_default_ones_are_the_encoder_s_and_cannot_be_changed(self):
        weights = default_weights(CALIBRATION)
        assert weights.topic().tolist() == pytest.approx([1 - CALIBRATION.weight, CALIBRATION.weight])
        assert weights.version.endswith(CALIBRATION.name)
        assert sum(weights.values[signal] for signal in ADJUSTING_SIGNALS) <= 1
        with pytest.raises(TypeError):
            weights.values["lexical"] = 1  # type: ignore[index]
