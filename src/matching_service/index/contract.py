"""What goes into an index and what its arrays are made of. Values only; no behaviour, no input or output."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

TermCounts = Mapping[str, float]
TermWeights = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Passage:
    """One text of a profile. ``work_id`` is None for the profile's own text.

    ``vector`` is float32 of unit length, shape (n_dimensions,), or None; ``awaits`` is the key of the vector that is
    still to come, 0 for none. ``year`` is that of the work; None where it is not known.
    """

    work_id: str | None
    terms: TermCounts
    vector: FloatArray | None
    language: str = "zh"
    year: int | None = None
    awaits: int = 0


@dataclass(frozen=True, slots=True)
class Facts:
    """What filters and signals ask about a profile; unknown is None or empty."""

    kind: str
    region: str | None = None
    country: str = "CN"
    clusters: tuple[str, ...] = ()
    fields: tuple[str, ...] = ()
    organization_id: str | None = None
    title: str | None = None
    honours: tuple[str, ...] = ()
    capacity: int | None = None
    available_from: date | None = None
    available_until: date | None = None


@dataclass(frozen=True, slots=True)
class Document:
    """A profile as the index sees it."""

    profile_id: str
    facts: Facts
    passages: tuple[Passage, ...]


@dataclass(frozen=True, slots=True)
class Removal:
    """The profile is gone, or must not be found any more."""

    profile_id: str


@dataclass(frozen=True, slots=True)
class Versions:
    """What a snapshot was made with. Another lexicon or encoder makes other terms and vectors."""

    lexicon: str
    encoder: str
    n_dimensions: int
