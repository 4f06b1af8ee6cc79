"""Signals become one score. This is the only place where weights are applied."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from matching_service.index.contract import FloatArray

Float64Array = NDArray[np.float64]

SIGNALS = ("lexical", "semantic")


@dataclass(frozen=True, slots=True)
class Weights:
    """Non-negative weight per signal, not all zero; only their ratios matter."""

    version: str
    values: Mapping[str, float]

    def __post_init__(self) -> None:
        if set(self.values) != set(SIGNALS):
            raise ValueError(f"weights for {sorted(self.values)}, expected {sorted(SIGNALS)}")
        if not (min(self.values.values()) >= 0 and 0 < sum(self.values.values()) < math.inf):
            raise ValueError("weights must be finite, not negative, and not all zero")

    def as_array(self) -> Float64Array:
        """float64, shape (n_signals,), in the order of SIGNALS, sum 1."""
        values = np.array([self.values[signal] for signal in SIGNALS], dtype=np.float64)
        return np.asarray(values / values.sum(), dtype=np.float64)


DEFAULT_WEIGHTS = Weights("default-1", MappingProxyType({"lexical": 0.8, "semantic": 0.2}))


def known_weights(signals: FloatArray, weights: Float64Array) -> Float64Array:
    """Each candidate's weights after what is not known is left out and the rest rescaled to sum 1.

    signals : float32, shape (n_candidates, n_signals), in [0, 1]; NaN = not known.
    weights : float64, shape (n_signals,), non-negative, sum 1.
    Returns float64, shape (n_candidates, n_signals); rows of zeros where nothing weighty is known.
    """
    known = np.where(np.isnan(signals), 0.0, weights)
    total = known.sum(axis=1, keepdims=True)
    return np.asarray(np.divide(known, total, out=np.zeros_like(known), where=total > 0), dtype=np.float64)


def contributions(signals: FloatArray, weights: Float64Array) -> Float64Array:
    """What each signal adds to each score, float64, shape (n_candidates, n_signals); rows sum to the score.

    Silence neither helps nor harms; all unknown gives 0. Shapes as in ``known_weights``.
    """
    return np.asarray(known_weights(signals, weights) * np.nan_to_num(signals), dtype=np.float64)


def fuse(signals: FloatArray, weights: Float64Array) -> Float64Array:
    """One score per candidate, float64, shape (n_candidates,), in [0, 1]."""
    return np.asarray(contributions(signals, weights).sum(axis=1), dtype=np.float64)
