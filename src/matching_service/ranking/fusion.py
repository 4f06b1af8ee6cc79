"""Signals become one score. This is the only place where weights are applied.

score = topic + adjustments - deduction. The topic score is the weighted mean of the text signals. All other signals
move it only within the room (topic - floor) * (1 - topic), which is 0 below "weak" and at 1: nothing lifts a profile
off the topic, and no score leaves [0, 1]. At the end, a profile of the former list keeps its former score where it lost
no more than noise.
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
DEFAULT_VERSION = "default-2"
_DEDUCTION = 0.5
"""The share of its score that a profile without evidence for any must-have loses."""

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
    """A non-negative weight per signal, and the floors of the levels.

    At least one topic signal has a positive weight, and only their ratio matters. The other weights are shares of the
    room in which a score may move, scaled down where their sum exceeds 1.
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
        """float64, shape (n_topic_signals,), in the order of TOPIC_SIGNALS, sum 1."""
        values = np.array([self.values[signal] for signal in TOPIC_SIGNALS], dtype=np.float64)
        return np.asarray(values / values.sum(), dtype=np.float64)

    def adjusting(self) -> Float64Array:
        """float64, shape (n_adjusting_signals,), in the order of ADJUSTING_SIGNALS, sum at most 1."""
        values = np.array([self.values[signal] for signal in ADJUSTING_SIGNALS], dtype=np.float64)
        return np.asarray(values / max(1.0, values.sum()), dtype=np.float64)


def default_weights(calibration: Calibration) -> Weights:
    """The built-in weights for the encoder of this calibration."""
    topic = {"lexical": 1 - calibration.weight, "semantic": calibration.weight}
    return Weights(f"{DEFAULT_VERSION}-{calibration.name}", MappingProxyType(topic | _ADJUSTING))


def known_weights(signals: FloatArray, weights: Float64Array) -> Float64Array:
    """Each candidate's weights without those of unknown signals, rescaled to sum 1.

    signals : float32, shape (n_candidates, n_signals), in [0, 1]; NaN = not known.
    weights : float64, shape (n_signals,), non-negative, sum 1.
    Returns float64, shape (n_candidates, n_signals); a row of zeros where no signal with a weight is known.
    """
    known = np.where(np.isnan(signals), 0.0, weights)
    total = known.sum(axis=1, keepdims=True)
    return np.asarray(np.divide(known, total, out=np.zeros_like(known), where=total > 0), dtype=np.float64)


@dataclass(frozen=True, slots=True)
class Fused:
    """Scores and their parts, float64; the parts of a candidate sum to its score.

    topic_weights, topic_parts : shape (n_candidates, n_topic_signals).
    adjusting_weights, adjusting_parts : shape (n_candidates, n_adjusting_signals).
    deducted : shape (n_candidates,), at most 0. allowances : shape (n_candidates,), the largest loss that stability
        makes up. steadied : shape (n_candidates,), the loss that it did make up, at least 0.
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

    topic : float32, shape (n_candidates, n_topic_signals), in [0, 1]; NaN = not known, neither helps nor harms.
    adjusting : float64, shape (n_candidates, n_adjusting_signals), in [0, 1]; 0.5 and NaN move nothing.
    share_missing : float64, shape (n_candidates,), in [0, 1]: share of the must-haves without evidence.
    former_scores : float64, shape (n_candidates,): the score on the list before, NaN for a profile that was not on it.
    stability : the largest loss against the former score that counts as noise and is made up, where the room is
        widest; elsewhere less, in proportion to the room. Ranking again from the result changes nothing.
    """
    topic_weights = known_weights(topic, weights.topic())
    topic_parts = topic_weights * np.nan_to_num(topic)
    topic_scores = topic_parts.sum(axis=1)
    room = _room(topic_scores, weights)
    adjusting_weights = weights.adjusting() * room[:, None]
    adjusting_parts = adjusting_weights * np.nan_to_num(2.0 * adjusting - 1.0)
    before = topic_scores + adjusting_parts.sum(axis=1)
    deducted = -_DEDUCTION * before * share_missing
    scores = before + deducted
    allowances = stability * room / _widest_room(weights)
    former = np.full_like(scores, np.nan) if former_scores is None else former_scores
    is_noise = (former > scores) & (former - scores <= allowances)  # NaN compares as False
    steadied = np.where(is_noise, former - scores, 0.0)
    scores = np.where(is_noise, former, scores)  # a copy, not a sum: the same bits night after night
    return Fused(topic_weights, topic_parts, adjusting_weights, adjusting_parts, deducted, allowances, steadied, scores)


def extreme_scores(topic: Float64Array, values: Float64Array, weights: Weights) -> Float64Array:
    """float64, shape (n_candidates,): topic scores with adjustments, before must-haves and stability.

    topic : float64, shape (n_candidates,), in [0, 1].
    values : float64, in [0, 1], NaN = not known. Shape (n_candidates, n_adjusting_signals), or (n_adjusting_signals,)
        for the least or the greatest values that any candidate can have.
    """
    moves = np.nan_to_num(2.0 * values - 1.0) @ weights.adjusting()
    return np.asarray(topic + moves * _room(topic, weights), dtype=np.float64)


def _room(topic: Float64Array, weights: Weights) -> Float64Array:
    return np.asarray(np.maximum(topic - weights.floors.weak, 0.0) * (1.0 - topic), dtype=np.float64)


def _widest_room(weights: Weights) -> float:
    return ((1 - weights.floors.weak) / 2) ** 2
