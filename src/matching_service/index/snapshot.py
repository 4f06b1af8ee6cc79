"""The index of one process: segments of passages, marks for the profiles that are gone, and document frequencies.

A snapshot is immutable. A process keeps one and swaps it by reference, so a reader never sees half a change. A change
makes a new small segment and marks the profiles it replaces as gone. Small segments are merged as they gather.

Rows and profiles are numbered through all segments, including those that are gone. Profile numbers are the handles of
the contract; they decide no tie.
"""

import base64
import hashlib
import json
import logging
import zlib
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from matching_service.index import kernels
from matching_service.index.contract import (
    Alternatives,
    BoolArray,
    CandidatePassages,
    Document,
    FloatArray,
    Handles,
    IndexQuery,
    IntArray,
    ProfileFacts,
    Removal,
    SavedIndexRefused,
    TermWeights,
    Versions,
)
from matching_service.index.files import DamagedFile, checksum_of, map_arrays, write_arrays, write_whole
from matching_service.index.filters import Filters
from matching_service.index.frequencies import Frequencies
from matching_service.index.postings import TermQuery, ranges, term_keys
from matching_service.index.segment import Segment, arrays_of, columns_from, fits, id_column
from matching_service.index.vectors import VectorQuery

logger = logging.getLogger(__name__)

FORMAT_VERSION = 5
"""Another number makes every process build its index anew: other files, or other rules of what a document holds."""
_CURRENT = "CURRENT"
_KEPT_S = 3600
"""Unused files are kept this long, because another process may be about to load them."""
_GROWTH = 2
"""Frequencies are recounted when the number of passages has grown or shrunk by this factor since the last count."""
_MERGE_RATIO = 2
_MERGE_AT_ONCE = 256
"""Neighbouring segments merge where the older has at most twice the passages of the newer, or at most this many."""
_GONE_SHARE = 0.25
"""A segment is rebuilt when more than this share of its profiles is gone."""


@dataclass(frozen=True, slots=True)
class SnapshotPart:
    """A segment with marks for those that are not gone. alive : bool, shape (n_profiles,). alive_rows : bool, shape
    (n_passages,).
    """

    segment: Segment
    alive: BoolArray
    alive_rows: BoolArray

    @classmethod
    def of(cls, segment: Segment, alive: BoolArray | None = None) -> Self:
        if alive is None:
            alive = np.ones(segment.n_profiles, dtype=np.bool_)
        return cls(segment, alive, alive[segment.passages.profile_rows])

    def find(self, ids: NDArray[np.bytes_]) -> tuple[IntArray, IntArray]:
        """The ids that are alive here: their places in ``ids``, and the rows of their profiles."""
        rows = np.searchsorted(self.segment.profiles.ids, ids)
        places = np.flatnonzero(rows < self.segment.n_profiles)
        places = places[self.segment.profiles.ids[rows[places]] == ids[places]]
        places = places[self.alive[rows[places]]]
        return places, rows[places]


@dataclass(frozen=True)
class Snapshot:
    """``contract.KeptIndex`` over segments in this process; the class is the ``contract.IndexForm``."""

    versions: Versions
    as_of: int
    parts: tuple[SnapshotPart, ...]
    frequencies: Frequencies
    version: str

    @classmethod
    def empty(cls, versions: Versions) -> Self:
        """A snapshot without profiles, to grow by ``apply``."""
        return cls.of_parts((), versions, as_of=0)

    @classmethod
    def build(cls, documents: Iterable[Document], versions: Versions, *, as_of: int = 0) -> Self:
        """A snapshot of different profiles, with frequencies counted from them."""
        return cls.of_parts(_parts_of(documents, versions), versions, as_of=as_of)

    @classmethod
    def builder(cls, versions: Versions) -> "SnapshotBuilder":
        """``contract.IndexForm.builder``."""
        return SnapshotBuilder(versions)

    @classmethod
    def of_parts(cls, parts: tuple["SnapshotPart", ...], versions: Versions, *, as_of: int) -> Self:
        """A snapshot of these parts, with frequencies counted from them."""
        lists = [
            (part.segment.postings.terms, part.segment.postings.document_counts(part.alive_rows)) for part in parts
        ]
        frequencies = Frequencies.of(lists, sum(int(part.alive_rows.sum()) for part in parts))
        digest = hashlib.sha256(json.dumps([FORMAT_VERSION, asdict(versions)]).encode())
        for array in arrays_of(frequencies).values():
            digest.update(array.data)
        return cls(versions, as_of, parts, frequencies, digest.hexdigest()[:16])

    # Contents

    @cached_property
    def n_profiles(self) -> int:
        return sum(int(part.alive.sum()) for part in self.parts)

    @cached_property
    def n_passages(self) -> int:
        return sum(int(part.alive_rows.sum()) for part in self.parts)

    @cached_property
    def n_pending(self) -> int:
        """Passages whose vectors are still to come."""
        return sum(int(((part.segment.passages.awaits != 0) & part.alive_rows).sum()) for part in self.parts)

    @cached_property
    def row_offsets(self) -> Sequence[int]:
        """The first row of each segment, and after the last one the number of all rows."""
        return list(accumulate((part.segment.n_passages for part in self.parts), initial=0))

    @cached_property
    def profile_offsets(self) -> Sequence[int]:
        return list(accumulate((part.segment.n_profiles for part in self.parts), initial=0))

    @cached_property
    def alive_rows(self) -> BoolArray:
        """bool, shape (n_rows,)."""
        return _joined([part.alive_rows for part in self.parts], np.bool_)

    @cached_property
    def profile_rows(self) -> IntArray:
        """int32, shape (n_rows,): the profile of each row."""
        offsets = zip(self.parts, self.profile_offsets, strict=False)
        return _joined([part.segment.passages.profile_rows + np.int32(n) for part, n in offsets], np.int32)

    def profile_id(self, profile: int) -> str:
        number, row = self._place(profile, self.profile_offsets)
        return bytes(self.parts[number].segment.profiles.ids[row]).decode()

    def profile_ids(self, profiles: IntArray) -> NDArray[np.bytes_]:
        """Ids as bytes; shape (len(profiles),)."""
        ids = np.empty(len(profiles), dtype="S36")
        for number, inside, rows in self._split(profiles, self.profile_offsets):
            ids[inside] = self.parts[number].segment.profiles.ids[rows]
        return ids

    def facts_of(self, profiles: Handles) -> list[ProfileFacts]:
        """In the order of ``profiles``."""
        ids = self.profile_ids(profiles).tolist()
        places = [self._place(profile, self.profile_offsets) for profile in profiles.tolist()]
        return [
            ProfileFacts(profile_id.decode(), self.parts[number].segment.profiles.facts_of(row))
            for profile_id, (number, row) in zip(ids, places, strict=True)
        ]

    def work_ids(self, rows: IntArray) -> NDArray[np.bytes_]:
        """Of the passages, empty for a profile's own text; shape (len(rows),)."""
        ids = np.empty(len(rows), dtype="S36")
        for number, inside, local in self._split(rows, self.row_offsets):
            ids[inside] = self.parts[number].segment.passages.work_ids[local]
        return ids

    def languages(self, rows: IntArray) -> NDArray[np.str_]:
        """Of the passages; shape (len(rows),)."""
        languages = np.zeros(len(rows), dtype="S8")
        for number, inside, local in self._split(rows, self.row_offsets):
            languages[inside] = self.parts[number].segment.passages.languages[local]
        return languages.astype(np.str_)

    def years(self, rows: IntArray) -> NDArray[np.int16]:
        """Years of works, 0 = not known; shape (len(rows),)."""
        years = np.zeros(len(rows), dtype=np.int16)
        for number, inside, local in self._split(rows, self.row_offsets):
            years[inside] = self.parts[number].segment.passages.years[local]
        return years

    def find(self, profile_ids: Iterable[str]) -> IntArray:
        """The profiles with these ids, rising; unknown ids are left out."""
        ids = np.array([profile_id.encode("utf-8", "replace")[:37] for profile_id in profile_ids], dtype="S37")
        places = zip(self.parts, self.profile_offsets, strict=False)
        return np.sort(_joined([part.find(ids)[1] + n for part, n in places], np.int64))

    def passages_of(self, profiles: IntArray) -> IntArray:
        """The rows of all passages of these profiles, segment by segment, those of a profile together."""
        rows = [np.zeros(0, dtype=np.int64)]
        for number, _, local in self._split(profiles, self.profile_offsets):
            owners = self.parts[number].segment.passages.profile_rows
            firsts, lasts = np.searchsorted(owners, local), np.searchsorted(owners, local, side="right")
            rows.append(ranges(firsts, lasts) + self.row_offsets[number])
        return np.concatenate(rows)

    def awaited(self, n: int) -> list[int]:
        """Keys of the first ``n`` vectors that are still to come."""
        keys: list[int] = []
        for part in self.parts:
            awaits = part.segment.passages.awaits
            keys += awaits[np.flatnonzero((awaits != 0) & part.alive_rows)[: n - len(keys)]].tolist()
        return keys

    def owners_of_awaited(self, keys: Iterable[int]) -> list[str]:
        """Ids of the profiles whose passages await these vectors."""
        wanted = np.fromiter(keys, dtype=np.int64)
        ids: list[str] = []
        for part in self.parts:
            rows = np.flatnonzero(np.isin(part.segment.passages.awaits, wanted) & part.alive_rows)
            profiles = np.unique(part.segment.passages.profile_rows[rows])
            ids += [profile_id.decode() for profile_id in part.segment.profiles.ids[profiles].tolist()]
        return ids

    # Answers to a question

    def candidates(self, query: IndexQuery, filters: Filters, n: int) -> CandidatePassages:
        """``contract.Index.candidates``; profiles are in the order of their rows."""
        allowed = self.allowed(filters)
        if filters.candidates is not None:
            return self.all_passages(query, np.flatnonzero(allowed))
        return self._search(query, allowed[self.profile_rows], n)

    def all_passages(self, query: IndexQuery, profiles: Handles) -> CandidatePassages:
        """``contract.Index.all_passages``."""
        rows = self.passages_of(profiles)
        words, cosines = self.word_scores_of(query.terms, rows), self._known_cosines_of(query, rows)
        return self._candidates(rows, words, cosines, self._topics_of(query, rows))

    def allowed(self, filters: Filters) -> BoolArray:
        """bool, shape (n_profiles including those that are gone,): which profiles are there and pass the filters."""
        allowed = _joined([part.alive & part.segment.profiles.passing(filters) for part in self.parts], np.bool_)
        if filters.candidates is not None:
            wanted = np.zeros_like(allowed)
            wanted[self.find(filters.candidates)] = True
            allowed &= wanted
        if filters.exclude:
            allowed[self.find(filters.exclude)] = False
        return allowed

    def _search(self, query: IndexQuery, allowed: BoolArray, n: int) -> CandidatePassages:
        """``candidates`` among the rows that ``allowed`` marks, shape (n_rows,)."""
        words, cosines = self.word_scores(query.terms, allowed), None
        best = [self._deep_enough(words, allowed, n)]
        if query.vector is not None:
            cosines = self.cosines(query.vector, allowed)
            best.append(self._deep_enough(cosines, allowed, n))
        proving = [self._proving(topic) for topic in query.topics]
        for with_topic in proving:
            owners = self.profile_rows[self._deep_enough(words, allowed & with_topic, n)]
            best.append(self.passages_of(np.unique(owners)))
        rows = np.unique(np.concatenate(best))
        topics = np.array([column[rows] for column in proving], dtype=np.bool_).reshape(len(proving), len(rows))
        return self._candidates(rows, words[rows], _unknown(rows) if cosines is None else cosines[rows], topics)

    def _deep_enough(self, scores: FloatArray, allowed: BoolArray, n_profiles: int) -> IntArray:
        """Rows of the best passages, of ``n_profiles // 2`` different profiles where there are so many."""
        k = n_profiles
        while True:
            rows = best_rows(scores, k=k, allowed=allowed)
            if len(rows) < k or len(np.unique(self.profile_rows[rows])) >= n_profiles // 2:
                return rows
            k *= 4

    def _candidates(
        self, rows: IntArray, words: FloatArray, cosines: FloatArray, topics: BoolArray
    ) -> CandidatePassages:
        profiles, work_ids = self.profile_rows[rows], self.work_ids(rows)
        return CandidatePassages(profiles, work_ids, words, cosines, self.languages(rows), self.years(rows), topics)

    def _proving(self, topic: Alternatives) -> BoolArray:
        """bool, shape (n_rows,): which passages use the words of the topic."""
        rows = np.zeros(self.row_offsets[-1], dtype=np.bool_)
        for terms in topic:
            rows |= self.containing(terms)
        return rows

    def _topics_of(self, query: IndexQuery, rows: IntArray) -> BoolArray:
        """bool, shape (n_topics, len(rows)): ``_proving`` of each topic for some rows."""
        topics = np.zeros((len(query.topics), len(rows)), dtype=np.bool_)
        if not query.topics:
            return topics
        keys = [[np.unique(term_keys(terms)) for terms in topic] for topic in query.topics]
        for number, inside, local in self._split(rows, self.row_offsets):
            postings = self.parts[number].segment.postings
            for topic, alternatives in enumerate(keys):
                for terms in alternatives:
                    topics[topic, inside] |= postings.containing(terms)[local]
        return topics

    def _known_cosines_of(self, query: IndexQuery, rows: IntArray) -> FloatArray:
        return self.cosines_of(query.vector, rows) if query.vector is not None else _unknown(rows)

    # Scores

    def word_scores(self, weights: TermWeights, allowed: BoolArray) -> FloatArray:
        """float32, shape (n_rows,), in [0, 1]; 0 in segments without an allowed row, which are skipped."""
        return self.scores(TermQuery.of(weights), allowed)

    def scores(self, query: TermQuery, allowed: BoolArray) -> FloatArray:
        """``word_scores`` of prepared terms."""
        scores = np.empty(self.row_offsets[-1], dtype=np.float32)
        for part, (first, last) in zip(self.parts, pairwise(self.row_offsets), strict=True):
            if allowed[first:last].any():
                part.segment.postings.scores(query, scores[first:last])
            else:
                scores[first:last] = 0.0
        return scores

    def word_scores_of(self, weights: TermWeights, rows: IntArray) -> FloatArray:
        """float32, shape (len(rows),): ``word_scores`` of some rows. Gives the same bits."""
        scores = np.zeros(len(rows), dtype=np.float32)
        if not weights:
            return scores
        query = TermQuery.of(weights)
        for number, inside, local in self._split(rows, self.row_offsets):
            scores[inside] = self.parts[number].segment.postings.scores_of(query, local)
        return scores

    def cosines(self, vector: FloatArray, allowed: BoolArray) -> FloatArray:
        """float32, shape (n_rows,), in [0, 1], negative ones as 0. NaN where there is no vector, and in segments
        without an allowed row.
        """
        query = VectorQuery.of(vector)
        cosines = np.full(self.row_offsets[-1], np.nan, dtype=np.float32)
        for part, (first, last) in zip(self.parts, pairwise(self.row_offsets), strict=True):
            if allowed[first:last].any():
                part.segment.vectors.cosines(query, cosines[first:last])
        return cosines

    def cosines_of(self, vector: FloatArray, rows: IntArray) -> FloatArray:
        """float32, shape (len(rows),): ``cosines`` of some rows. Gives the same bits."""
        query = VectorQuery.of(vector)
        cosines = np.empty(len(rows), dtype=np.float32)
        for number, inside, local in self._split(rows, self.row_offsets):
            cosines[inside] = self.parts[number].segment.vectors.cosines_of(query, local)
        return cosines

    def containing(self, terms: Iterable[str]) -> BoolArray:
        """bool, shape (n_rows,): which passages use all of the terms."""
        keys = np.unique(term_keys(terms))
        return _joined([part.segment.postings.containing(keys) for part in self.parts], np.bool_)

    # Changes

    def apply(self, changes: Iterable[Document | Removal], *, as_of: int) -> Self:
        """``contract.Index.apply``. The cost grows with the changes, not with the snapshot; that of merges is spread
        over many changes.
        """
        latest = {change.profile_id: change for change in changes}
        ids = id_column(latest)
        parts = [_without(part, part.find(ids)[1]) for part in self.parts]
        parts += _parts_of((change for change in latest.values() if isinstance(change, Document)), self.versions)
        parts = _merged([part for part in parts if part.alive.any()])
        changed = type(self)(self.versions, as_of, tuple(parts), self.frequencies, self.version)
        return changed.recounted() if changed.has_outgrown_frequencies else changed

    def with_vectors(self, vectors: Mapping[int, FloatArray | None]) -> Self:
        """``contract.Index.with_vectors``."""
        parts = tuple(replace(part, segment=part.segment.with_vectors(vectors)) for part in self.parts)
        return type(self)(self.versions, self.as_of, parts, self.frequencies, self.version)

    @property
    def has_outgrown_frequencies(self) -> bool:
        """Whether there are more than twice as many passages as were counted, or fewer than half."""
        counted = len(self.frequencies)
        return self.n_passages > _GROWTH * counted or _GROWTH * self.n_passages < counted

    def recounted(self) -> Self:
        """The same passages with frequencies counted anew; another version where these differ."""
        return self.of_parts(self.parts, self.versions, as_of=self.as_of)

    # Files

    def save(self, folder: Path) -> None:
        """Write the files that are missing, then point to them. A crash before that leaves the old snapshot in force.

        Several processes may save at once: none touches a file that another may be writing or reading.
        """
        folder.mkdir(parents=True, exist_ok=True)
        segments = []
        for part in self.parts:
            checksum = _write_once(folder / f"{part.segment.name}.segment", part.segment)
            gone = None if part.alive.all() else base64.b64encode(np.packbits(~part.alive).tobytes()).decode()
            segments.append({"name": part.segment.name, "checksum": checksum, "gone": gone})
        # Always written: after a rebuild it has the same name, and this very file may be the damaged one.
        frequencies = write_arrays(folder / f"{self.version}.frequencies", arrays_of(self.frequencies))
        manifest = json.dumps(
            {
                "format": FORMAT_VERSION,
                "version": self.version,
                "as_of": self.as_of,
                "versions": asdict(self.versions),
                "segments": segments,
                "frequencies": frequencies,
            }
        ).encode()
        write_whole(folder / _CURRENT, f"{zlib.crc32(manifest):08x}\n".encode(), manifest)
        used = {f"{self.version}.frequencies", *(f"{part.segment.name}.segment" for part in self.parts)}
        _remove_old(folder, used)

    @classmethod
    def load(cls, folder: Path, versions: Versions) -> Self:
        """The snapshot that was saved last, mapped into memory. Raises SavedIndexRefused where it cannot be used."""
        try:
            manifest = _read_manifest(folder)
            _check_manifest(manifest, versions)
            parts = [_load_part(folder, entry, versions) for entry in manifest["segments"]]
            arrays = map_arrays(folder / f"{manifest['version']}.frequencies", manifest["frequencies"])
            frequencies = columns_from(Frequencies, arrays)
            as_of, version = int(manifest["as_of"]), str(manifest["version"])
        except FileNotFoundError as error:
            raise SavedIndexRefused(f"no snapshot: {error}", is_damage=False) from error
        except (OSError, DamagedFile, ValueError, KeyError, TypeError) as error:
            raise SavedIndexRefused(f"damaged: {type(error).__name__}: {error}") from error
        return cls(versions, as_of, tuple(parts), frequencies, version)

    @staticmethod
    def stamp(folder: Path) -> int | None:
        """``contract.IndexForm.stamp``."""
        try:
            return (folder / _CURRENT).stat().st_mtime_ns
        except FileNotFoundError:
            return None

    def n_unsaved(self, saved: Self) -> int:
        """``contract.KeptIndex.n_unsaved``."""
        kept = {part.segment.name for part in saved.parts}
        return sum(part.segment.n_passages for part in self.parts if part.segment.name not in kept)

    # Inside

    def _split(self, numbers: IntArray, offsets: Sequence[int]) -> Iterable[tuple[int, IntArray, IntArray]]:
        """Rows or profiles by segment: its number, their places in ``numbers``, their numbers in the segment."""
        owners = np.searchsorted(offsets, numbers, side="right") - 1
        for number in np.unique(owners):
            inside = np.flatnonzero(owners == number)
            yield int(number), inside, numbers[inside] - offsets[number]

    def _place(self, number: int, offsets: Sequence[int]) -> tuple[int, int]:
        """The segment of a row or profile, and its number in that segment."""
        segment = bisect_right(offsets, number) - 1
        return segment, number - offsets[segment]


class SnapshotBuilder:
    """Takes documents in portions of any size, and holds at most the documents of one segment."""

    def __init__(self, versions: Versions) -> None:
        self._versions = versions
        self._waiting: list[Document] = []
        self._n_waiting = 0
        self._parts: list[SnapshotPart] = []

    def add(self, documents: Iterable[Document]) -> None:
        for document in documents:
            if not fits(self._n_waiting + len(document.passages)):
                self._close_segment()
            self._waiting.append(document)
            self._n_waiting += len(document.passages)

    def finish(self, *, as_of: int) -> Snapshot:
        """``contract.IndexBuilder.finish``."""
        return Snapshot.of_parts(self.parts(), self._versions, as_of=as_of)

    def parts(self) -> tuple[SnapshotPart, ...]:
        if self._waiting:
            self._close_segment()
        return tuple(self._parts)

    def _close_segment(self) -> None:
        self._parts.append(SnapshotPart.of(Segment.build(self._waiting, n_dimensions=self._versions.n_dimensions)))
        self._waiting, self._n_waiting = [], 0


def saved_as_of(folder: Path) -> int | None:
    """Return ``as_of`` of the saved snapshot, None where there is none. Raises SavedIndexRefused if it is damaged."""
    try:
        return int(_read_manifest(folder)["as_of"])
    except FileNotFoundError:
        return None
    except (OSError, DamagedFile, ValueError, KeyError, TypeError) as error:
        raise SavedIndexRefused(f"damaged: {type(error).__name__}: {error}") from error


def best_rows(scores: FloatArray, *, k: int, allowed: BoolArray) -> IntArray:
    """Rows of the ``k`` best positive scores that are allowed, and all that tie with the last of them; rising.

    scores, allowed : shape (n_rows,).
    """
    return kernels.best(scores, allowed, k)


def _parts_of(documents: Iterable[Document], versions: Versions) -> tuple[SnapshotPart, ...]:
    builder = SnapshotBuilder(versions)
    builder.add(documents)
    return builder.parts()


def _unknown(rows: IntArray) -> FloatArray:
    return np.full(len(rows), np.nan, dtype=np.float32)


def _joined(arrays: Sequence[NDArray[Any]], dtype: Any) -> NDArray[Any]:
    return np.concatenate([np.zeros(0, dtype=dtype), *arrays]) if len(arrays) != 1 else arrays[0]


def _without(part: SnapshotPart, rows: IntArray) -> SnapshotPart:
    if not len(rows):
        return part
    alive = part.alive.copy()
    alive[rows] = False
    return SnapshotPart.of(part.segment, alive)


def _merged(parts: list[SnapshotPart]) -> list[SnapshotPart]:
    """Merge neighbours of like size, and rebuild segments in which many profiles are gone.

    All neighbours are compared, not only the newest: a large segment shrinks as its profiles change.
    """
    parts = [
        SnapshotPart.of(Segment.merge([part.segment], [part.alive])) if 1 - part.alive.mean() > _GONE_SHARE else part
        for part in parts
    ]
    for place in range(len(parts) - 2, -1, -1):
        two = parts[place : place + 2]
        older, newer = (int(part.alive_rows.sum()) for part in two)
        if older <= max(_MERGE_RATIO * newer, _MERGE_AT_ONCE) and fits(older + newer):
            merged = Segment.merge([part.segment for part in two], [part.alive for part in two])
            parts[place : place + 2] = [SnapshotPart.of(merged)]
    return parts


def _write_once(path: Path, segment: Segment) -> int:
    """Write the file of a segment, which never changes, unless it exists; returns its checksum."""
    try:
        checksum = checksum_of(path)
    except FileNotFoundError:
        return write_arrays(path, arrays_of(segment))
    path.touch()  # so that it does not count as old
    return checksum


def _remove_old(folder: Path, used: set[str]) -> None:
    """Remove old snapshot files and remains of interrupted saves. Locks stay, because they may be held for hours."""
    # Compared with what was written just now: the file system may have another clock than this machine.
    long_ago = (folder / _CURRENT).stat().st_mtime - _KEPT_S
    for path in folder.iterdir():
        is_left = path.suffix in {".segment", ".frequencies"} or path.name.startswith(".")
        if is_left and path.name not in used:
            with suppress(FileNotFoundError):  # another process may be removing it
                if path.stat().st_mtime < long_ago:
                    path.unlink()


def _read_manifest(folder: Path) -> Any:
    content = (folder / _CURRENT).read_bytes()
    checksum, _, manifest = content.partition(b"\n")
    if f"{zlib.crc32(manifest):08x}".encode() != checksum:
        raise DamagedFile(f"{_CURRENT}: its checksum is wrong")
    return json.loads(manifest)


def _check_manifest(manifest: Any, versions: Versions) -> None:
    if manifest["format"] != FORMAT_VERSION:
        raise SavedIndexRefused(f"format {manifest['format']}, expected {FORMAT_VERSION}")
    if Versions(**manifest["versions"]) != versions:
        raise SavedIndexRefused(f"made with {manifest['versions']}, expected {asdict(versions)}")


def _load_part(folder: Path, entry: Any, versions: Versions) -> SnapshotPart:
    arrays = map_arrays(folder / f"{entry['name']}.segment", entry["checksum"])
    segment: Segment = columns_from(Segment, arrays, name=entry["name"])
    if (n := segment.vectors.n_dimensions) != versions.n_dimensions:
        raise DamagedFile(f"{entry['name']}: vectors of {n} dimensions, expected {versions.n_dimensions}")
    if entry["gone"] is None:
        return SnapshotPart.of(segment)
    bits = np.frombuffer(base64.b64decode(entry["gone"]), dtype=np.uint8)
    return SnapshotPart.of(segment, ~np.unpackbits(bits, count=segment.n_profiles).astype(np.bool_))
