"""A snapshot is all that ranking reads: passages, whose they are, and both indexes over them.

It is immutable. A process keeps one and swaps it by reference, so a reader never sees half a change.
"""

import json
import shutil
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from matching_service.foundation.clock import new_id
from matching_service.index.contract import FloatArray, IntArray, RowChanges
from matching_service.index.dense import DenseIndex
from matching_service.index.sparse import SparseIndex, TermCounts

FORMAT_VERSION = 2
_CURRENT = "CURRENT"
_ARRAYS = ("profile_rows", "languages", "years")
_DATES = ("available_from", "available_until")
_LANGUAGE = "<U8"
_KEPT_S = 3600
"""Older snapshots are kept this long: another process may be about to load one."""


class SnapshotMismatch(Exception):
    """The files cannot be used by this program: missing, damaged, or made by another version of something."""

    def __init__(self, reason: str, *, is_damage: bool = True) -> None:
        super().__init__(reason)
        self.is_damage = is_damage


@dataclass(frozen=True, slots=True)
class Passage:
    """One text of a profile. ``work_id`` is None for the profile's own text.
    ``vector`` is float32 of unit length, shape (n_dimensions,), or None for a text without one. ``year`` is that of the
    work; None where it is not known.
    """

    work_id: str | None
    terms: TermCounts
    vector: FloatArray | None
    language: str = "zh"
    year: int | None = None


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


@dataclass(frozen=True, slots=True)
class FactColumns:
    """Facts as arrays of shape (n_profiles,), for filters; an unknown value is an empty string or not a time."""

    kinds: NDArray[np.str_]
    regions: NDArray[np.str_]
    organization_ids: NDArray[np.str_]
    available_from: NDArray[np.datetime64]
    available_until: NDArray[np.datetime64]


@dataclass(frozen=True)
class Snapshot:
    """Passages in the order of (profile id, work id); ``profile_rows[i]`` is the profile of passage i.

    ``languages`` and ``years`` are of shape (n_passages,); year 0 is not known.

    ``as_of`` is the sequence number of the last change that is included.
    """

    versions: Versions
    as_of: int
    profile_ids: Sequence[str]
    facts: Sequence[Facts]
    profile_rows: IntArray
    work_ids: Sequence[str | None]
    languages: NDArray[np.str_]
    years: NDArray[np.int16]
    sparse: SparseIndex
    dense: DenseIndex
    version: str = field(default_factory=new_id)

    @classmethod
    def empty(cls, versions: Versions) -> Self:
        """A snapshot without profiles, from which every other one grows by ``apply``."""
        return cls(
            versions=versions,
            as_of=0,
            profile_ids=(),
            facts=(),
            profile_rows=np.zeros(0, dtype=np.int64),
            work_ids=(),
            languages=np.zeros(0, dtype=_LANGUAGE),
            years=np.zeros(0, dtype=np.int16),
            sparse=SparseIndex.build([]),
            dense=DenseIndex.build([], n_dimensions=versions.n_dimensions),
        )

    @cached_property
    def profile_row_of(self) -> Mapping[str, int]:
        """The row of each profile by its id."""
        return {profile_id: row for row, profile_id in enumerate(self.profile_ids)}

    @cached_property
    def columns(self) -> FactColumns:
        """The facts of all profiles, by column."""
        return FactColumns(
            kinds=np.array([facts.kind for facts in self.facts], dtype=np.str_),
            regions=np.array([facts.region or "" for facts in self.facts], dtype=np.str_),
            organization_ids=np.array([facts.organization_id or "" for facts in self.facts], dtype=np.str_),
            available_from=np.array([facts.available_from for facts in self.facts], dtype="datetime64[D]"),
            available_until=np.array([facts.available_until for facts in self.facts], dtype="datetime64[D]"),
        )

    def passage_rows(self, profile_row: int) -> IntArray:
        """Rows of one profile's passages, which stand together."""
        first, last = np.searchsorted(self.profile_rows, [profile_row, profile_row + 1])
        return np.arange(first, last, dtype=np.int64)

    def apply(self, changes: Iterable[Document | Removal], *, as_of: int) -> Self:
        """The snapshot after the changes, the last one per profile counting; this one stays as it is."""
        latest = {change.profile_id: change for change in changes}
        replaced = np.array([profile_id in latest for profile_id in self.profile_ids], dtype=np.bool_)
        documents = [change for change in latest.values() if isinstance(change, Document)]
        kept = np.flatnonzero(~replaced[self.profile_rows]) if len(self.profile_rows) else self.profile_rows

        facts = {
            profile_id: facts
            for profile_id, facts, gone in zip(self.profile_ids, self.facts, replaced, strict=True)
            if not gone
        } | {document.profile_id: document.facts for document in documents}
        profile_ids = sorted(facts)
        added = [(document.profile_id, passage) for document in documents for passage in document.passages]
        keys = [(self.profile_ids[self.profile_rows[row]], self.work_ids[row]) for row in kept]
        keys += [(profile_id, passage.work_id) for profile_id, passage in added]
        order = np.array(
            sorted(range(len(keys)), key=lambda i: (keys[i][0], keys[i][1] or "")),
            dtype=np.int64,
        )
        row_of = {profile_id: row for row, profile_id in enumerate(profile_ids)}
        return type(self)(
            versions=self.versions,
            as_of=as_of,
            profile_ids=profile_ids,
            facts=[facts[profile_id] for profile_id in profile_ids],
            profile_rows=np.array([row_of[keys[i][0]] for i in order], dtype=np.int64),
            work_ids=[keys[i][1] for i in order],
            languages=np.append(
                self.languages[kept], np.array([passage.language for _, passage in added], dtype=_LANGUAGE)
            )[order],
            years=np.append(self.years[kept], np.array([passage.year or 0 for _, passage in added], dtype=np.int16))[
                order
            ],
            sparse=self.sparse.apply(RowChanges(kept, [passage.terms for _, passage in added], order)),
            dense=self.dense.apply(RowChanges(kept, [passage.vector for _, passage in added], order)),
        )

    def save(self, folder: Path) -> None:
        """Write to a folder of its own inside ``folder``, then point to it: a crash leaves the old one.

        Several processes may save at once: none touches what another may be writing or reading.
        """
        target = folder / self.version
        if not target.exists():
            part = folder / f".part-{new_id()}"
            part.mkdir(parents=True)
            self._write(part)
            try:
                part.rename(target)
            except OSError:  # another thread saved the very same snapshot in between
                if not target.is_dir():
                    raise
                shutil.rmtree(part)
        pointer = folder / f".{_CURRENT}-{new_id()}"
        pointer.write_text(self.version, encoding="utf-8")
        pointer.replace(folder / _CURRENT)
        long_ago = time.time() - _KEPT_S
        for other in folder.iterdir():
            if other.is_dir() and other != target and other.stat().st_mtime < long_ago:
                shutil.rmtree(other, ignore_errors=True)

    def _write(self, target: Path) -> None:
        self.sparse.save(target)
        self.dense.save(target)
        for name in _ARRAYS:
            np.save(target / f"{name}.npy", getattr(self, name), allow_pickle=False)
        manifest = {
            "format": FORMAT_VERSION,
            "version": self.version,
            "as_of": self.as_of,
            "versions": asdict(self.versions),
            "profile_ids": list(self.profile_ids),
            "facts": [_facts_to_json(facts) for facts in self.facts],
            "work_ids": list(self.work_ids),
        }
        (target / "manifest.json").write_text(json.dumps(manifest, ensure_ascii=False), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path, versions: Versions) -> Self:
        """The snapshot that was saved last; raises SnapshotMismatch when it is not usable."""
        try:
            source = folder / (folder / _CURRENT).read_text(encoding="utf-8")
            manifest = json.loads((source / "manifest.json").read_text(encoding="utf-8"))
            _check_versions(manifest, versions)
            snapshot = cls(
                versions=versions,
                as_of=manifest["as_of"],
                profile_ids=manifest["profile_ids"],
                facts=[_facts_from_json(facts) for facts in manifest["facts"]],
                work_ids=manifest["work_ids"],
                **{name: np.load(source / f"{name}.npy", allow_pickle=False) for name in _ARRAYS},
                sparse=SparseIndex.load(source),
                dense=DenseIndex.load(source),
                version=manifest["version"],
            )
        except FileNotFoundError as error:
            raise SnapshotMismatch("no snapshot", is_damage=False) from error
        except SnapshotMismatch:
            raise
        except Exception as error:  # what a damaged file makes numpy, zipfile and json raise has no common base
            raise SnapshotMismatch(f"damaged: {error!r}") from error
        n_passages, n_profiles = len(snapshot.work_ids), len(snapshot.profile_ids)
        lengths = {len(part) for part in (snapshot.sparse, snapshot.dense, *(getattr(snapshot, a) for a in _ARRAYS))}
        if lengths != {n_passages}:
            raise SnapshotMismatch("damaged: its parts differ in length")
        if n_passages and not 0 <= snapshot.profile_rows.min() <= snapshot.profile_rows.max() < n_profiles:
            raise SnapshotMismatch("damaged: a passage belongs to no profile")
        if snapshot.dense.n_dimensions != versions.n_dimensions or len(snapshot.facts) != n_profiles:
            raise SnapshotMismatch("damaged: a part has the wrong shape")
        return snapshot


def _check_versions(manifest: Mapping[str, Any], versions: Versions) -> None:
    if manifest["format"] != FORMAT_VERSION:
        raise SnapshotMismatch(f"format {manifest['format']}, expected {FORMAT_VERSION}")
    if Versions(**manifest["versions"]) != versions:
        raise SnapshotMismatch(f"made with {manifest['versions']}, expected {asdict(versions)}")


def _facts_to_json(facts: Facts) -> dict[str, Any]:
    values = asdict(facts)
    return values | {name: values[name] and values[name].isoformat() for name in _DATES}


def _facts_from_json(values: Mapping[str, Any]) -> Facts:
    lists = {name: tuple(values[name]) for name in ("clusters", "fields", "honours")}
    dates = {name: values[name] and date.fromisoformat(values[name]) for name in _DATES}
    return Facts(**{**values, **lists, **dates})
