import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from matching_service.ranking.fusion import DEFAULT_WEIGHTS, SIGNALS, Weights, contributions, fuse, known_weights
from matching_service.ranking.lexical import lexical_value
from matching_service.ranking.semantic import semantic_value

VALUES = st.one_of(st.just(math.nan), st.floats(0, 1, width=32))
TABLES = st.lists(st.tuples(VALUES, VALUES), max_size=8).map(lambda rows: np.array(rows, np.float32).reshape(-1, 2))
WEIGHT = st.one_of(st.just(0.0), st.floats(1e-3, 10))
WEIGHTS = (
    st.tuples(WEIGHT, WEIGHT).filter(any).map(lambda pair: Weights("drawn", dict(zip(SIGNALS, pair, strict=True))))
)
UNIT = st.floats(0, 1, width=32)


@settings(deadline=None)
@given(WEIGHTS)
def test_weights_sum_to_one_in_the_order_of_the_signals(weights):
    array = weights.as_array()
    assert array.shape == (len(SIGNALS),)
    assert array.sum() == pytest.approx(1)
    total = sum(weights.values.values())
    assert array.tolist() == pytest.approx([weights.values[signal] / total for signal in SIGNALS])


@settings(deadline=None)
@given(TABLES, WEIGHTS, st.sampled_from([0.01, 2.0, 1000.0]))
def test_only_the_ratio_of_weights_matters(signals, weights, factor):
    scaled = Weights("scaled", {signal: value * factor for signal, value in weights.values.items()})
    np.testing.assert_allclose(fuse(signals, scaled.as_array()), fuse(signals, weights.as_array()), atol=1e-6)


@settings(deadline=None)
@given(TABLES, WEIGHTS)
def test_a_score_is_the_mean_of_what_is_known(signals, weights):
    expected = []
    for row in signals.tolist():
        known = [(v, weights.values[s]) for v, s in zip(row, SIGNALS, strict=True) if not math.isnan(v)]
        total = sum(weight for _, weight in known)
        expected.append(sum(value * weight for value, weight in known) / total if total else 0.0)
    scores = fuse(signals, weights.as_array())
    assert scores.shape == (len(signals),)
    assert scores.tolist() == pytest.approx(expected, abs=1e-6)
    assert ((scores >= 0) & (scores <= 1 + 1e-9)).all()


@settings(deadline=None)
@given(TABLES, WEIGHTS)
def test_contributions_sum_to_the_score_and_the_unknown_adds_nothing(signals, weights):
    parts = contributions(signals, weights.as_array())
    np.testing.assert_allclose(parts.sum(axis=1), fuse(signals, weights.as_array()), atol=1e-9)
    assert (parts[np.isnan(signals)] == 0).all()
    assert (parts >= 0).all()


@settings(deadline=None)
@given(TABLES, WEIGHTS)
def test_known_weights_sum_to_one_or_all_are_zero(signals, weights):
    known = known_weights(signals, weights.as_array())
    assert (known[np.isnan(signals)] == 0).all()
    for row in known:
        assert row.sum() == pytest.approx(1) or not row.any()


@settings(deadline=None)
@given(UNIT, WEIGHTS)
def test_silence_neither_helps_nor_harms(value, weights):
    signals = np.array([[value, math.nan], [math.nan, value], [value, value]], np.float32)
    assume(all(weights.values.values()))
    assert fuse(signals, weights.as_array()).tolist() == pytest.approx([value] * 3, abs=1e-6)


@settings(deadline=None)
@given(UNIT, UNIT, VALUES, WEIGHTS)
def test_a_better_signal_never_lowers_the_score(one, other, second, weights):
    low, high = sorted((one, other))
    worse, better = fuse(np.array([[low, second], [high, second]], np.float32), weights.as_array())
    assert better >= worse


def test_all_unknown_is_zero():
    nothing = np.full((2, len(SIGNALS)), np.nan, np.float32)
    assert fuse(nothing, DEFAULT_WEIGHTS.as_array()).tolist() == [0, 0]
    assert fuse(np.empty((0, len(SIGNALS)), np.float32), DEFAULT_WEIGHTS.as_array()).tolist() == []


def test_a_known_signal_without_weight_gives_zero():
    weights = Weights("lexical", {"lexical": 1, "semantic": 0})
    assert fuse(np.array([[math.nan, 0.9]], np.float32), weights.as_array()).tolist() == [0]


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"lexical": 1},
        {"lexical": 1, "semantic": 1, "other": 1},
        {"lexical": 0, "semantic": 0},
        {"lexical": -0.1, "semantic": 1},
    ],
    ids=str,
)
def test_impossible_weights_are_refused(values):
    with pytest.raises(ValueError, match="weights"):
        Weights("bad", values)


def test_the_default_weights_cannot_be_changed():
    with pytest.raises(TypeError):
        DEFAULT_WEIGHTS.values["lexical"] = 1


@settings(deadline=None)
@given(st.lists(UNIT, min_size=1, max_size=20), st.sampled_from([lexical_value, semantic_value]))
def test_a_signal_keeps_the_order_of_what_was_measured(raw, curve):
    values = curve(np.array(sorted(raw), np.float32))
    assert values.dtype == np.float32
    assert ((values >= 0) & (values <= 1)).all()
    assert (np.diff(values) >= -1e-6).all()


def test_a_signal_starts_at_zero_and_leaves_the_unknown_unknown():
    raw = np.array([0, math.nan], np.float32)
    assert lexical_value(raw).tolist()[0] == 0
    assert semantic_value(raw).tolist()[0] == 0
    assert np.isnan(semantic_value(raw)[1])
