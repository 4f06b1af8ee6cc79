"""A vector in one byte a dimension. Apart from the kernels, so that an encoder rounds without compiling anything."""

import numpy as np
from numpy.typing import NDArray

from matching_service.index.contract import FloatArray

STEPS = 127
"""Of the largest coordinate."""


def round_vector(vector: FloatArray) -> NDArray[np.int8]:
    """int8, shape (n_dimensions,): the direction of a vector that is not 0."""
    return np.asarray(np.rint(vector * (STEPS / np.abs(vector).max())), dtype=np.int8)
