"""A vector in one byte a dimension. Apart from the kernels, so that an encoder rounds without compiling anything."""

import numpy as np
from numpy.typing import NDArray

from matching_service.index.contract import FloatArray

STEPS = 127
"""Of the largest coordinate."""


def round_vector(vector: FloatArray) -> NDArray[np.int8]:
    """int8, shape (n_dimensions,): the direction of a vector. Raises ValueError for one without a direction."""
    return np.asarray(np.rint(vector * (STEPS / largest_size(vector))), dtype=np.int8)


def largest_size(vector: FloatArray) -> np.float32:
    """The size of the largest coordinate. Raises ValueError unless it is positive and finite."""
    largest: np.float32 = np.abs(vector).max(initial=np.float32(0.0))
    if not 0 < largest < np.inf:
        raise ValueError(f"a vector of {len(vector)} dimensions has no direction")
    return largest
