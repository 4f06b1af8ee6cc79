"""Signals become one score. This is the only place where weights are applied.

score = topic + adjustments - deduction. The topic is the weighted mean of what the texts say. Everything else moves it
only within the room between "weak" and certain, (topic - floor) * (1 - topic): nothing can lift a profile
that does not fit the topic, and no score leaves [0, 1]. Last, a profile that was listed before keeps its former score
where it has lost no more than noise.
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
"""Share of its score that a profile loses when it has evidence for none of the must-haves."""

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
    """A non-negative weight per signal, and the scores from which the levels begin.

    Of the topic signals, one at least is positive and only their ratio matters; the others are shares of the room in
    which they may move a score, scaled down where they exceed 1 together.
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
    """The weights that come with the service, for the encoder of this calibration."""
    topic = {"lexical": 1 - calibration.weight, "semantic": calibration.weight}
    return Weights(f"{DEFAULT_VERSION}-{calibration.name}", MappingProxyType(topic | _ADJUSTING))


def known_weights(signals: FloatArray, weights: Float64Array) -> Float64Array:
    """Each candidate's weights after what is not known is left out and the rest rescaled to sum 1.

    signals : float32, shape (n_candidates, n_signals), in [0, 1]; NaN = not known.
    weights : float64, shape (n_signals,), non-negative, sum 1.
    Returns float64, shape (n_candidates, n_signals); rows of zeros where nothing weighty is known.
    """
    known = np.where(np.isnan(signals), 0.0, weights)
    total = known.sum(axis=1, keepdims=True)
    return np.asarray(np.divide(known, total, out=np.zeros_like(known), where=total > 0), dtype=np.float64)


@dataclass(frozen=True, slots=True)
class Fused:
    """Scores and all that they are made of, float64; the parts of a candidate sum to its score.

    topic_weights, topic_parts : shape (n_candidates, n_topic_signals).
    adjusting_weights, adjusting_parts : shape (n_candidates, n_adjusting_signals).
    deducted : shape (n_candidates,), negative or 0. allowances, steadied : shape (n_candidates,): up to which loss a
        score would be kept for stability, and the loss that is made up, 0 at least.
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
    """Scores of candidates.

    topic : float32, shape (n_candidates, n_topic_signals), in [0, 1]; NaN = not known, neither helps nor harms.
    adjusting : float64, shape (n_candidates, n_adjusting_signals), in [0, 1]; 0.5 and NaN move nothing.
    share_missing : float64, shape (n_candidates,), in [0, 1]: share of the must-haves without evidence.
    former_scores : float64, shape (n_candidates,): the score on the list before, NaN for a profile that was not on it.
    stability : a smaller loss against that score is noise and made up, a larger one stands; for the widest room, in
        proportion for others. Ranking again from the result changes nothing.
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
    scores = np.where(is_noise, former, scores)  # not a sum: the same bits night after night
    return Fused(topic_weights, topic_parts, adjusting_weights, adjusting_parts, deducted, allowances, steadied, scores)


def extreme_scores(topic: Float64Array, values: Float64Array, weights: Weights) -> Float64Array:
    """float64, shape (n_candidates,): what adjustments make of topic scores, before must-haves and stability.

    topic : float64, shape (n_candidates,), in [0, 1]. values : float64, in [0, 1], NaN = not known, shape
    (n_adjusting_signals,) for the least or the greatest that any candidate can have, or (n_candidates,
    n_adjusting_signals) for their own.
    """
    moves = np.nan_to_num(2.0 * values - 1.0) @ weights.adjusting()
    return np.asarray(topic + moves * _room(topic, weights), dtype=np.float64)


def _room(topic: Float64Array, weights: Weights) -> Float64Array:
    return np.asarray(np.maximum(topic - weights.floors.weak, 0.0) * (1.0 - topic), dtype=np.float64)


def _widest_room(weights: Weights) -> float:
    return ((1 - weights.floors.weak) / 2) ** 2
