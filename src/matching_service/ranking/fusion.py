"""Fuses the signals of a candidate into one score. This is the only module that applies weights.

score = topic + adjustments - deduction

The topic score is the weighted mean of the text signals. The other signals adjust it within the headroom
(topic - floor) * (1 - topic), where floor is that of the level "weak"; below the floor the headroom is 0. Adjustments
therefore cannot raise a profile that does not fit the topic, and the score stays in [0, 1]. Finally, a profile of the
previous list keeps its former score if the loss is within the noise tolerance.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from matching_service.index.contract import FloatArray
from matching_service.ranking.calibrate import DEFAULT_FLOORS, LevelFloors
from matching_service.ranking.encoder import Calibration
from matching_service.ranking.structured import SIGNAL_FUNCTIONS

Float64Array = NDArray[np.float64]

TOPIC_SIGNALS = ("lexical", "semantic")
ADJUSTING_SIGNALS = (*SIGNAL_FUNCTIONS, "nice_to_have")
SIGNALS = (*TOPIC_SIGNALS, *ADJUSTING_SIGNALS)
MUST_HAVE = "must_have"
STABILITY = "stability"
DEFAULT_VERSION = "default-3"
_DEDUCTION = 0.5
"""The share of its score that a profile loses if it has no evidence for any must-have."""

_ADJUSTING = {
    "cluster": 0.10,
    "field": 0.05,
    "region": 0.08,
    "honours": 0.25,
    "recency": 0.08,
    "availability": 0.10,
    "track_record": 0.08,
    "nice_to_have": 0.15,
}


@dataclass(frozen=True, slots=True)
class Weights:
    """A non-negative weight for each signal, and the score floors of the levels.

    At least one topic signal has a positive weight; only the ratio of the topic weights matters. The other weights are
    shares of the headroom, scaled down if their sum exceeds 1.

    Raises ValueError for missing or unknown signals, negative or infinite weights, and if no topic weight is positive.
    """

    version: str
    values: Mapping[str, float]
    floors: LevelFloors = DEFAULT_FLOORS

    def __post_init__(self) -> None:
        if set(self.values) != set(SIGNALS):
            raise ValueError(f"weights for {sorted(self.values)}, expected {sorted(SIGNALS)}")
        if not all(0 <= weight < math.inf for weight in self.values.values()):
            raise ValueError("weights must be finite and not negative")
        if not any(self.values[signal] for signal in TOPIC_SIGNALS):
            raise ValueError(f"one of {TOPIC_SIGNALS} must weigh something")

    def topic(self) -> Float64Array:
        """Return float64, shape (n_topic_signals,), in the order of TOPIC_SIGNALS, sum 1."""
        values = np.array([self.values[signal] for signal in TOPIC_SIGNALS], dtype=np.float64)
        return np.asarray(values / values.sum(), dtype=np.float64)

    def adjusting(self) -> Float64Array:
        """Return float64, shape (n_adjusting_signals,), in the order of ADJUSTING_SIGNALS, sum at most 1."""
        values = np.array([self.values[signal] for signal in ADJUSTING_SIGNALS], dtype=np.float64)
        return np.asarray(values / max(1.0, values.sum()), dtype=np.float64)


def default_weights(calibration: Calibration) -> Weights:
    """Return the built-in weights for the encoder of this calibration."""
    topic = {"lexical": 1 - calibration.weight, "semantic": calibration.weight}
    return Weights(f"{DEFAULT_VERSION}-{calibration.name}", MappingProxyType(topic | _ADJUSTING))


def known_weights(signals: FloatArray, weights: Float64Array) -> Float64Array:
    """Return the weights of each candidate: 0 for unknown signals, the others rescaled to sum 1.

    signals : float32, shape (n_candidates, n_signals), in [0, 1]; NaN = unknown.
    weights : float64, shape (n_signals,), non-negative, sum 1.
    Returns float64, shape (n_candidates, n_signals); a row is zero if no signal with positive weight is known.
    """
    known = np.where(np.isnan(signals), 0.0, weights)
    total = known.sum(axis=1, keepdims=True)
    return np.asarray(np.divide(known, total, out=np.zeros_like(known), where=total > 0), dtype=np.float64)


@dataclass(frozen=True, slots=True)
class Fused:
    """Scores and their parts, all float64. The parts of a candidate, with ``steadied``, sum to its score.

    topic_weights, topic_parts : shape (n_candidates, n_topic_signals).
    adjusting_weights, adjusting_parts : shape (n_candidates, n_adjusting_signals).
    deducted : shape (n_candidates,), at most 0; the deduction for must-haves without evidence.
    allowances : shape (n_candidates,), at least 0; the largest loss against the former score that counts as noise.
    steadied : shape (n_candidates,), at least 0; the loss that was made up.
    scores : shape (n_candidates,), in [0, 1].
    """

    topic_weights: Float64Array
    topic_parts: Float64Array
    adjusting_weights: Float64Array
    adjusting_parts: Float64Array
    deducted: Float64Array
    allowances: Float64Array
    steadied: Float64Array
    scores: Float64Array


def fuse(
    topic: FloatArray,
    adjusting: Float64Array,
    share_missing: Float64Array,
    weights: Weights,
    *,
    former_scores: Float64Array | None = None,
    stability: float = 0.0,
) -> Fused:
    """Fuse the signals of candidates.

    topic : float32, shape (n_candidates, n_topic_signals), in [0, 1]; NaN = unknown, ignored.
    adjusting : float64, shape (n_candidates, n_adjusting_signals), in [0, 1]; 0.5 and NaN (unknown) are neutral.
    share_missing : float64, shape (n_candidates,), in [0, 1]; the share of must-haves without evidence.
    former_scores : float64, shape (n_candidates,); scores on the previous list, NaN for profiles not on it.
    stability : the noise tolerance at the widest headroom, at least 0; it shrinks in proportion to the headroom. A
        candidate that loses no more than its tolerance keeps its former score. Fusing again with the result as
        former scores is idempotent.
    """
    topic_weights = known_weights(topic, weights.topic())
    topic_parts = topic_weights * np.nan_to_num(topic)
    topic_scores = topic_parts.sum(axis=1)
    headroom = _headroom(topic_scores, weights)
    adjusting_weights = weights.adjusting() * headroom[:, None]
    adjusting_parts = adjusting_weights * np.nan_to_num(2.0 * adjusting - 1.0)
    before = topic_scores + adjusting_parts.sum(axis=1)
    deducted = -_DEDUCTION * before * share_missing
    scores = before + deducted
    allowances = stability * headroom / _widest_headroom(weights)
    former = np.full_like(scores, np.nan) if former_scores is None else former_scores
    is_noise = (former > scores) & (former - scores <= allowances)  # NaN compares as False
    steadied = np.where(is_noise, former - scores, 0.0)
    scores = np.where(is_noise, former, scores)  # copied, not summed: bit-identical in every run
    return Fused(topic_weights, topic_parts, adjusting_weights, adjusting_parts, deducted, allowances, steadied, scores)


def extreme_scores(topic: Float64Array, values: Float64Array, weights: Weights) -> Float64Array:
    """Return the adjusted topic scores, before must-haves and stability: float64, shape (n_candidates,).

    topic : float64, shape (n_candidates,), in [0, 1].
    values : float64, in [0, 1], NaN = unknown. Shape (n_candidates, n_adjusting_signals), or (n_adjusting_signals,) for
        the lowest or highest values that any candidate can have.
    """
    moves = np.nan_to_num(2.0 * values - 1.0) @ weights.adjusting()
    return np.asarray(topic + moves * _headroom(topic, weights), dtype=np.float64)


def _headroom(topic: Float64Array, weights: Weights) -> Float64Array:
    return np.asarray(np.maximum(topic - weights.floors.weak, 0.0) * (1.0 - topic), dtype=np.float64)


def _widest_headroom(weights: Weights) -> float:
    """Return the maximum of the headroom, at the topic score (1 + floor) / 2."""
    return ((1 - weights.floors.weak) / 2) ** 2
