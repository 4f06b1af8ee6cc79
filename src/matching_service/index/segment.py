"""A segment of the index: up to 65,536 passages of whole profiles, in immutable arrays that may be mapped from a file.

Profiles are sorted by their ids. A profile's passages are adjacent and sorted by their works' ids. A segment holds no
texts and no names, only ids, keys and the facts that filters and signals read.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from datetime import date
from itertools import accumulate
from typing import Any, Self, cast, get_type_hints

import numpy as np
import orjson
from numpy.typing import NDArray

from matching_service.foundation.clock import new_id
from matching_service.index.contract import BoolArray, Document, Facts, FloatArray, IntArray, Passage
from matching_service.index.filters import Filters
from matching_service.index.postings import MAX_ROWS, Keys, Postings, ranges, term_key
from matching_service.index.vectors import Vectors

_NO_KEY = 0
_NO_REGION = -1
_REGION_DIGITS = 6
_ID_BYTES = 36
_ID = f"S{_ID_BYTES}"
_LANGUAGE = "S8"
_DATES = ("available_from", "available_until")
_LISTS = ("clusters", "fields", "honours")


def text_key(text: str | None) -> int:
    """The 64-bit key of a kind, cluster or organization, for comparing whole columns; 0 for None."""
    return _NO_KEY if text is None else term_key(text)


def id_column(ids: Iterable[str]) -> NDArray[np.bytes_]:
    """Ids as bytes, which is their order. Raises ValueError for an id of more than 36 bytes, which would be cut."""
    column = np.array([name.encode() for name in ids], dtype=np.bytes_)
    if column.itemsize > _ID_BYTES:
        raise ValueError(f"an id has {column.itemsize} bytes, at most {_ID_BYTES} are kept")
    return column.astype(_ID)


@dataclass(frozen=True, slots=True)
class Ragged:
    """Rows of different lengths. values : shape (n_values,). starts : int64, shape (n_rows + 1,)."""

    values: NDArray[Any]
    starts: IntArray

    @classmethod
    def build(cls, rows: Sequence[Sequence[int] | bytes], dtype: type[np.generic]) -> Self:
        starts = np.fromiter(accumulate((len(row) for row in rows), initial=0), dtype=np.int64, count=len(rows) + 1)
        values = np.fromiter((value for row in rows for value in row), dtype=dtype, count=int(starts[-1]))
        return cls(values, starts)

    def __getitem__(self, row: int) -> NDArray[Any]:
        return self.values[self.starts[row] : self.starts[row + 1]]

    def any_in_row(self, marked: BoolArray) -> BoolArray:
        """bool, shape (n_rows,): which rows hold a value that ``marked`` marks, shape (n_values,)."""
        counts = np.concatenate([[0], np.cumsum(marked)])
        return np.asarray(counts[self.starts[1:]] > counts[self.starts[:-1]], dtype=np.bool_)

    def take(self, rows: IntArray) -> Self:
        firsts, lasts = self.starts[rows], self.starts[rows + 1]
        starts = np.concatenate([[0], np.cumsum(lasts - firsts)]).astype(np.int64)
        return type(self)(self.values[ranges(firsts, lasts)], starts)


@dataclass(frozen=True, slots=True)
class ProfileColumns:
    """Columns of shape (n_profiles,). ids : bytes, rising. kinds, organizations, clusters : ``text_key``.
    regions : int32, the code as a number, -1 = not known. overseas : bool. available_from, available_until : days, or
    NaT. facts : JSON of ``Facts``.
    """

    ids: NDArray[np.bytes_]
    kinds: Keys
    regions: NDArray[np.int32]
    overseas: BoolArray
    organizations: Keys
    clusters: Ragged
    available_from: NDArray[np.datetime64]
    available_until: NDArray[np.datetime64]
    facts: Ragged

    @classmethod
    def build(cls, documents: Sequence[Document]) -> Self:
        facts = [document.facts for document in documents]
        return cls(
            ids=id_column(document.profile_id for document in documents),
            kinds=np.array([text_key(f.kind) for f in facts], dtype=np.uint64),
            regions=np.array([int(f.region) if f.region else _NO_REGION for f in facts], dtype=np.int32),
            overseas=np.array([f.is_overseas for f in facts], dtype=np.bool_),
            organizations=np.array([text_key(f.organization_id) for f in facts], dtype=np.uint64),
            clusters=Ragged.build([[text_key(name) for name in f.clusters] for f in facts], np.uint64),
            available_from=np.array([f.available_from for f in facts], dtype="datetime64[D]"),
            available_until=np.array([f.available_until for f in facts], dtype="datetime64[D]"),
            facts=Ragged.build([orjson.dumps(f) for f in facts], np.uint8),
        )

    def facts_of(self, row: int) -> Facts:
        values = orjson.loads(self.facts[row].tobytes())
        lists = {name: tuple(values[name]) for name in _LISTS}
        dates = {name: values[name] and date.fromisoformat(values[name]) for name in _DATES}
        return Facts(**{**values, **lists, **dates})

    def passing(self, filters: Filters) -> BoolArray:
        """bool, shape (n_profiles,): which profiles pass the filters on facts. The snapshot applies ``candidates`` and
        ``exclude``, because it finds ids faster than a column comparison.
        """
        passing = np.ones(len(self.ids), dtype=np.bool_)
        if filters.available_on is not None:
            day = np.datetime64(filters.available_on)
            passing &= ~((self.available_from > day) | (self.available_until < day))  # NaT compares as False
        if filters.kinds:
            passing &= np.isin(self.kinds, [text_key(kind) for kind in filters.kinds])
        if filters.region_prefixes:
            passing &= np.logical_or.reduce([self._in_region(prefix) for prefix in filters.region_prefixes])
        if filters.clusters:
            wanted = np.array([text_key(cluster) for cluster in filters.clusters], dtype=np.uint64)
            passing &= self.clusters.any_in_row(np.isin(self.clusters.values, wanted))
        if filters.overseas is not None:
            passing &= self.overseas == filters.overseas
        for organization_id in filters.excluded_organizations:
            passing &= self.organizations != text_key(organization_id)
        return passing

    def _in_region(self, prefix: str) -> BoolArray:
        """Return the range of codes that begin with this prefix."""
        width = 10 ** (_REGION_DIGITS - len(prefix))
        first = int(prefix) * width
        return np.asarray((self.regions >= first) & (self.regions < first + width), dtype=np.bool_)


@dataclass(frozen=True, slots=True)
class PassageColumns:
    """Columns of shape (n_passages,). profile_rows : int32, rising, the row of the profile in this segment.
    work_ids : bytes, empty for the profile's own text. years : int16, 0 = not known.
    awaits : int64, key of the vector that is still to come, 0 for none.
    """

    profile_rows: NDArray[np.int32]
    work_ids: NDArray[np.bytes_]
    languages: NDArray[np.bytes_]
    years: NDArray[np.int16]
    awaits: IntArray

    @classmethod
    def build(cls, passages: Sequence[tuple[int, Passage]]) -> Self:
        """From pairs of a profile's row and a passage."""
        return cls(
            profile_rows=np.array([row for row, _ in passages], dtype=np.int32),
            work_ids=id_column(passage.work_id or "" for _, passage in passages),
            languages=np.array([passage.language.encode() for _, passage in passages], dtype=_LANGUAGE),
            years=np.array([passage.year or 0 for _, passage in passages], dtype=np.int16),
            awaits=np.array([passage.awaits for _, passage in passages], dtype=np.int64),
        )


@dataclass(frozen=True, slots=True)
class Segment:
    """``name`` is unique: a segment with other contents has another name."""

    profiles: ProfileColumns
    passages: PassageColumns
    postings: Postings
    vectors: Vectors
    name: str = field(default_factory=new_id)

    def __post_init__(self) -> None:
        for array in arrays_of(self).values():
            array.flags.writeable = False

    @property
    def n_profiles(self) -> int:
        return len(self.profiles.ids)

    @property
    def n_passages(self) -> int:
        return len(self.passages.profile_rows)

    @classmethod
    def build(cls, documents: Iterable[Document], *, n_dimensions: int) -> Self:
        """From documents of different profiles with at most 65,536 passages together."""
        in_order = sorted(documents, key=lambda document: document.profile_id.encode())
        passages = [
            (row, passage)
            for row, document in enumerate(in_order)
            for passage in sorted(document.passages, key=lambda passage: (passage.work_id or "").encode())
        ]
        return cls(
            ProfileColumns.build(in_order),
            PassageColumns.build(passages),
            Postings.build([passage.terms for _, passage in passages]),
            Vectors.build([passage.vector for _, passage in passages], n_dimensions=n_dimensions),
        )

    @classmethod
    def merge(cls, segments: Sequence["Segment"], alive: Sequence[BoolArray]) -> Self:
        """One segment of the profiles that ``alive`` marks in each, shape (n_profiles,). No id is alive twice."""
        kept = [np.flatnonzero(mask) for mask in alive]
        ids = np.concatenate([segment.profiles.ids[rows] for segment, rows in zip(segments, kept, strict=True)])
        order = np.argsort(ids, kind="stable")
        profile_offsets = list(accumulate((segment.n_profiles for segment in segments), initial=0))
        old_profiles = np.concatenate([rows + n for rows, n in zip(kept, profile_offsets, strict=False)])[order]

        owners = np.concatenate([s.passages.profile_rows + n for s, n in zip(segments, profile_offsets, strict=False)])
        new_profile = np.full(profile_offsets[-1], -1, dtype=np.int64)
        new_profile[old_profiles] = np.arange(len(old_profiles))
        old_rows = np.flatnonzero(new_profile[owners] >= 0)
        old_rows = old_rows[np.argsort(new_profile[owners[old_rows]], kind="stable")]
        new_row = np.full(len(owners), -1, dtype=np.int64)
        new_row[old_rows] = np.arange(len(old_rows))

        entries = [segment.postings.entries() for segment in segments]
        offsets = accumulate((segment.n_passages for segment in segments), initial=0)
        rows = np.concatenate([new_row[r.astype(np.int64) + n] for (_, r, _), n in zip(entries, offsets, strict=False)])
        stays = rows >= 0
        passages = _taken([segment.passages for segment in segments], old_rows)
        return cls(
            _taken([segment.profiles for segment in segments], old_profiles),
            replace(passages, profile_rows=new_profile[owners[old_rows]].astype(np.int32)),
            Postings.from_entries(
                np.concatenate([terms for terms, _, _ in entries])[stays],
                rows[stays].astype(np.uint16),
                np.concatenate([counts for _, _, counts in entries])[stays],
                len(old_rows),
            ),
            _taken([segment.vectors for segment in segments], old_rows),
        )

    def with_vectors(self, vectors: Mapping[int, FloatArray | None]) -> Self:
        """The segment with awaited vectors filled in, by key; None for a text that has no vector. Returns itself where
        it awaits none of them.
        """
        awaits = self.passages.awaits
        rows = np.flatnonzero(np.isin(awaits, np.fromiter(vectors, dtype=np.int64, count=len(vectors))) & (awaits != 0))
        if not len(rows):
            return self
        arrived = {int(row): vector for row in rows if (vector := vectors[int(awaits[row])]) is not None}
        still = awaits.copy()
        still[rows] = 0
        passages = replace(self.passages, awaits=still)
        return replace(self, passages=passages, vectors=self.vectors.with_rows(arrived), name=new_id())


def fits(n_passages: int) -> bool:
    """Whether a segment may hold this many passages."""
    return n_passages <= MAX_ROWS


def arrays_of(columns: Any, prefix: str = "") -> dict[str, NDArray[Any]]:
    """All arrays of a segment or a group of columns, by their path."""
    arrays: dict[str, NDArray[Any]] = {}
    for column in fields(columns):
        value = getattr(columns, column.name)
        if is_dataclass(value):
            arrays |= arrays_of(value, f"{prefix}{column.name}.")
        elif isinstance(value, np.ndarray):
            arrays[prefix + column.name] = value
    return arrays


def columns_from(kind: type[Any], arrays: dict[str, NDArray[Any]], prefix: str = "", **more: Any) -> Any:
    """The inverse of ``arrays_of``; raises KeyError for a missing array. ``more`` holds all other fields."""
    hints = get_type_hints(kind)
    values = {
        column.name: columns_from(hints[column.name], arrays, f"{prefix}{column.name}.")
        if is_dataclass(hints[column.name])
        else arrays[prefix + column.name]
        for column in fields(kind)
        if column.name not in more
    }
    return kind(**values, **more)


Columns = Any


def _taken(groups: Sequence[Columns], rows: IntArray) -> Columns:
    """Some rows of several groups of the same columns, as one group. Rows are numbered through all groups."""
    kind = type(groups[0])
    taken: dict[str, Any] = {}
    for column in fields(kind):
        parts = [getattr(group, column.name) for group in groups]
        if isinstance(parts[0], Ragged):
            ends = accumulate((len(part.values) for part in parts), initial=0)
            starts = [part.starts[:-1] + n for part, n in zip(parts, ends, strict=False)]
            total = sum(len(part.values) for part in parts)
            joined = Ragged(np.concatenate([part.values for part in parts]), np.concatenate([*starts, [total]]))
            taken[column.name] = joined.take(rows)
        else:
            taken[column.name] = np.concatenate(parts)[rows]
    return cast(Columns, kind(**taken))
