"""What every form of an index promises: documents go in, candidates with their scores come out.

Ranking uses nothing else of an index than ``Index``, and the process that keeps it up to date nothing else than
``KeptIndex`` and ``IndexForm``, so that one process, several shards or a plain list may stand behind it. Requests and
answers are small values about some profiles, never arrays over all of them: an index that is spread over several
processes asks each of them the same question and merges their answers. Values and a protocol; no behaviour.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from matching_service.index.filters import Filters

if TYPE_CHECKING:  # it is counted with compiled loops, which a module that only names a value need not load
    from matching_service.index.frequencies import Frequencies

FloatArray = NDArray[np.float32]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]
Handles = NDArray[Any]
"""How an index names profiles in its answers: numbers or bytes of its own choice, which can be sorted and compared.
They hold for the index that gave them, not for the one after a change."""

HOME = "CN"
"""``Facts.country`` of profiles that are not overseas."""

TermCounts = Mapping[str, float]
TermWeights = Mapping[str, float]
Alternatives = tuple[tuple[str, ...], ...]
"""Sets of terms, any one of which proves a topic in a passage that uses all its terms. Without a set, nothing does."""


# Input


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
    """The facts of a profile that filters and signals read; unknown is None or empty."""

    kind: str
    region: str | None = None
    country: str = HOME
    clusters: tuple[str, ...] = ()
    fields: tuple[str, ...] = ()
    organization_id: str | None = None
    title: str | None = None
    honours: tuple[str, ...] = ()
    capacity: int | None = None
    available_from: date | None = None
    available_until: date | None = None

    @property
    def is_overseas(self) -> bool:
        return self.country != HOME


@dataclass(frozen=True, slots=True)
class Document:
    """A profile as the index sees it."""

    profile_id: str
    facts: Facts
    passages: tuple[Passage, ...]


@dataclass(frozen=True, slots=True)
class Removal:
    """The profile was deleted, or must not be proposed any more."""

    profile_id: str


@dataclass(frozen=True, slots=True)
class Versions:
    """The lexicon and the encoder an index was made with. Others make other terms and vectors."""

    lexicon: str
    encoder: str
    n_dimensions: int


# Questions and answers


@dataclass(frozen=True, slots=True)
class IndexQuery:
    """What an index reads of a question. Without terms all word scores are 0, without a vector all cosines are NaN.

    terms : weights by this index's frequencies, of unit Euclidean length together.
    vector : float32, shape (n_dimensions,).
    topics : must-haves or nice-to-haves, in the order of the question.
    """

    terms: TermWeights = field(default_factory=dict)
    vector: FloatArray | None = None
    topics: tuple[Alternatives, ...] = ()


@dataclass(frozen=True, slots=True)
class CandidatePassages:
    """Passages with their scores, as columns of shape (n_passages,). A profile's passages stand together, in the order
    of their works' ids, its own text first; profiles stand in any order.

    profiles : whose passage it is. work_ids : bytes, empty for the profile's own text.
    words : float32, in [0, 1]: the product of two vectors of term weights, both of unit length.
    cosines : float32, in [0, 1], negative ones as 0; NaN where there is no vector.
    languages : str. years : int16, of the work, 0 where it is not known.
    topics : bool, shape (n_topics, n_passages): whether the passage proves each of the query's topics by its words.
    """

    profiles: Handles
    work_ids: NDArray[np.bytes_]
    words: FloatArray
    cosines: FloatArray
    languages: NDArray[np.str_]
    years: NDArray[np.int16]
    topics: BoolArray

    def __len__(self) -> int:
        """The number of passages."""
        return len(self.profiles)


@dataclass(frozen=True, slots=True)
class ProfileFacts:
    """A profile with its id, by which ties are broken."""

    profile_id: str
    facts: Facts


class Index(Protocol):
    """Profiles at one point in time; immutable. Equal documents and equal frequencies give equal bits, whatever changes
    led there and however the profiles are spread.
    """

    @property
    def version(self) -> str:
        """A digest of all that scores depend on beside the passages themselves: equal versions, equal scores."""
        ...

    @property
    def as_of(self) -> int:
        """The sequence number of the last change that is included."""
        ...

    @property
    def frequencies(self) -> "Frequencies":
        """How many passages use each term. They stay as they were counted, until there are twice or half as many."""
        ...

    @property
    def n_profiles(self) -> int: ...

    @property
    def n_pending(self) -> int:
        """Passages whose vectors are still to come."""
        ...

    def candidates(self, query: IndexQuery, filters: Filters, n: int) -> CandidatePassages:
        """The passages worth a closer look, of profiles that pass the filters.

        With ``filters.candidates``: all passages of these profiles. Otherwise the union of

        - the passages with the best word scores,
        - the passages with the best cosines,
        - for each topic, all passages of the profiles with the best word scores among passages that prove the topic: a
          profile with a must-have comes before all that lack it, and is not judged by that passage alone.

        "The best" are the ``k`` best positive scores and all that tie with the last of them, where ``k`` is the least
        of n, 4n, 16n, ... that reaches n // 2 different profiles, or all there are. Otherwise a few profiles with
        hundreds of works each would take all places.
        """
        ...

    def all_passages(self, query: IndexQuery, profiles: Handles) -> CandidatePassages:
        """All passages of these different profiles, with the same bits as in ``candidates``."""
        ...

    def facts_of(self, profiles: Handles) -> list[ProfileFacts]:
        """In the order of ``profiles``."""
        ...

    def apply(self, changes: Iterable[Document | Removal], *, as_of: int) -> Self:
        """The index after the changes, the last one per profile counting; this one stays as it is."""
        ...

    def with_vectors(self, vectors: Mapping[int, FloatArray | None]) -> Self:
        """The index after awaited vectors came, by key; None for a text that has none. This one stays as it is."""
        ...


# Keeping an index


class SavedIndexRefused(Exception):
    """The files are of no use to this process: missing, damaged, or made with another format, lexicon or encoder."""

    def __init__(self, reason: str, *, is_damage: bool = True) -> None:
        super().__init__(reason)
        self.is_damage = is_damage


class KeptIndex(Index, Protocol):
    """An index that a process keeps up to date, and saves for the next start and for other processes."""

    @property
    def n_passages(self) -> int: ...

    def awaited(self, n: int) -> list[int]:
        """Keys of the first ``n`` vectors that are still to come."""
        ...

    def owners_of_awaited(self, keys: Iterable[int]) -> list[str]:
        """Ids of the profiles whose passages await these vectors."""
        ...

    def recounted(self) -> Self:
        """The same passages with frequencies counted anew; another version where these differ."""
        ...

    def n_unsaved(self, saved: Self) -> int:
        """The number of passages that are not in the saved files of ``saved``, an earlier index."""
        ...

    def save(self, folder: Path) -> None:
        """Write the index. A crash leaves the index that was saved before. Several processes may save at once."""
        ...


KeptIndexT = TypeVar("KeptIndexT", bound=KeptIndex)
_MadeIndex = TypeVar("_MadeIndex", bound=KeptIndex, covariant=True)


class IndexBuilder(Protocol[_MadeIndex]):
    """Takes documents of different profiles in portions of any size."""

    def add(self, documents: Iterable[Document]) -> None: ...

    def finish(self, *, as_of: int) -> _MadeIndex:
        """The index of all documents, with frequencies counted from them."""
        ...


class IndexForm(Protocol[_MadeIndex]):
    """One way to make, save and load an index."""

    def empty(self, versions: Versions) -> _MadeIndex: ...

    def builder(self, versions: Versions) -> IndexBuilder[_MadeIndex]: ...

    def load(self, folder: Path, versions: Versions) -> _MadeIndex:
        """The index that was saved last. Raises SavedIndexRefused."""
        ...

    def stamp(self, folder: Path) -> int | None:
        """A number that changes whenever an index is saved; None where there is none."""
        ...
