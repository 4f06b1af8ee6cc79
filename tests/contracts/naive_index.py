"""An index as anyone would first write it: a list of documents, read from the first to the last for every question.

It shares no array, segment or compiled loop with the real one, only how a term becomes a key and a vector whole numbers.
Its sums are taken in the order that the contract's scores have, so it answers with the same bits.
"""

import math
import pickle
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np

from matching_service.index.contract import (
    Alternatives,
    CandidatePassages,
    Document,
    FloatArray,
    Handles,
    IndexQuery,
    Passage,
    ProfileFacts,
    Removal,
    SavedIndexRefused,
    TermCounts,
    TermWeights,
    Versions,
)
from matching_service.index.files import write_whole
from matching_service.index.filters import Filters
from matching_service.index.frequencies import Frequencies
from matching_service.index.postings import MAX_COUNT, family_factors, term_key, term_keys
from matching_service.index.rounding import round_vector
from matching_service.index.vectors import VectorQuery

_FILE = "naive.index"
UNKNOWN = np.float32("nan")


class Row(NamedTuple):
    """A passage with its scores."""

    profile_id: str
    passage: Passage
    words: np.float32
    cosine: np.float32
    topics: list[bool]


@dataclass(frozen=True)
class NaiveIndex:
    versions: Versions
    documents: tuple[Document, ...]
    as_of: int
    frequencies: Frequencies

    @classmethod
    def build(cls, documents: Iterable[Document], versions: Versions, *, as_of: int = 0) -> Self:
        listed = tuple(documents)
        return cls(versions, listed, as_of, Frequencies.count([passage.terms for passage in _passages(listed)]))

    @property
    def version(self) -> str:
        counts = zip(self.frequencies.terms.tolist(), self.frequencies.counts.tolist(), strict=True)
        return f"{self.versions} {len(self.frequencies)} {list(counts)}"

    @property
    def n_profiles(self) -> int:
        return len(self.documents)

    @property
    def n_pending(self) -> int:
        return sum(passage.awaits != 0 for passage in _passages(self.documents))

    def candidates(self, query: IndexQuery, filters: Filters, n: int) -> CandidatePassages:
        rows = self._rows(query, filters)
        if filters.candidates is None:
            wordy = best(rows, n, lambda row: row.words)
            near = best(rows, n, lambda row: row.cosine)
            able: set[str] = set()
            for topic in range(len(query.topics)):
                having = [row for row in rows if row.topics[topic]]
                able |= {row.profile_id for row in best(having, n, lambda row: row.words)}
            chosen = {id(row) for row in wordy + near}
            rows = [row for row in rows if id(row) in chosen or row.profile_id in able]
        return CandidatePassages(
            profiles=_handles(row.profile_id for row in rows),
            work_ids=_handles(row.passage.work_id or "" for row in rows),
            words=np.array([row.words for row in rows], dtype=np.float32),
            cosines=np.array([row.cosine for row in rows], dtype=np.float32),
            languages=np.array([row.passage.language for row in rows], dtype=np.str_),
            years=np.array([row.passage.year or 0 for row in rows], dtype=np.int16),
            topics=_columns(rows, len(query.topics)),
        )

    def all_passages(self, query: IndexQuery, profiles: Handles) -> CandidatePassages:
        wanted = frozenset(profile_id.decode() for profile_id in profiles.tolist())
        return self.candidates(query, Filters(candidates=wanted), 1)

    def facts_of(self, profiles: Handles) -> list[ProfileFacts]:
        by_id = {document.profile_id: document.facts for document in self.documents}
        return [ProfileFacts(name, by_id[name]) for name in (handle.decode() for handle in profiles.tolist())]

    def apply(self, changes: Iterable[Document | Removal], *, as_of: int) -> Self:
        by_id = {document.profile_id: document for document in self.documents}
        for change in changes:
            by_id.pop(change.profile_id, None)
            if isinstance(change, Document):
                by_id[change.profile_id] = change
        changed = replace(self, documents=tuple(by_id.values()), as_of=as_of)
        n, counted = len(list(_passages(changed.documents))), len(self.frequencies)
        has_outgrown = n > 2 * counted or 2 * n < counted
        return type(self).build(changed.documents, self.versions, as_of=as_of) if has_outgrown else changed

    def with_vectors(self, vectors: Mapping[int, FloatArray | None]) -> Self:
        def arrived(passage: Passage) -> Passage:
            is_there = passage.awaits in vectors
            return replace(passage, vector=vectors[passage.awaits], awaits=0) if is_there else passage

        documents = (replace(each, passages=tuple(map(arrived, each.passages))) for each in self.documents)
        return replace(self, documents=tuple(documents))

    # Keeping it

    @property
    def n_passages(self) -> int:
        return len(list(_passages(self.documents)))

    def awaited(self, n: int) -> list[int]:
        return [passage.awaits for passage in _passages(self.documents) if passage.awaits][:n]

    def owners_of_awaited(self, keys: Iterable[int]) -> list[str]:
        wanted = set(keys) - {0}
        return [each.profile_id for each in self.documents if wanted & {passage.awaits for passage in each.passages}]

    def recounted(self) -> Self:
        return self.build(self.documents, self.versions, as_of=self.as_of)

    def n_unsaved(self, saved: Self) -> int:
        known = set(map(repr, saved.documents))  # documents hold arrays, which have no plain equality
        return len(list(_passages(each for each in self.documents if repr(each) not in known)))

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(folder / _FILE, pickle.dumps(self))

    @classmethod
    def load(cls, folder: Path, versions: Versions) -> Self:
        try:
            saved = pickle.loads((folder / _FILE).read_bytes())
        except FileNotFoundError as error:
            raise SavedIndexRefused("no index", is_damage=False) from error
        if saved.versions != versions:
            raise SavedIndexRefused("made with other versions")
        assert isinstance(saved, cls)
        return saved

    @staticmethod
    def stamp(folder: Path) -> int | None:
        return path.stat().st_mtime_ns if (path := folder / _FILE).exists() else None

    @classmethod
    def empty(cls, versions: Versions) -> Self:
        return cls.build((), versions)

    @classmethod
    def builder(cls, versions: Versions) -> "NaiveBuilder":
        return NaiveBuilder(versions)

    def _rows(self, query: IndexQuery, filters: Filters) -> list[Row]:
        vector = VectorQuery.of(query.vector) if query.vector is not None else None
        return [
            Row(
                document.profile_id,
                passage,
                word_score(query.terms, passage.terms),
                cosine(vector, passage.vector),
                [proves(topic, passage.terms) for topic in query.topics],
            )
            for document in self.documents
            if passes(document, filters)
            for passage in sorted(document.passages, key=lambda passage: (passage.work_id or "").encode())
        ]


class NaiveBuilder:
    def __init__(self, versions: Versions) -> None:
        self._versions = versions
        self._documents: list[Document] = []

    def add(self, documents: Iterable[Document]) -> None:
        self._documents += documents

    def finish(self, *, as_of: int) -> NaiveIndex:
        return NaiveIndex.build(self._documents, self._versions, as_of=as_of)


def passes(document: Document, filters: Filters) -> bool:
    """The filters, read as a sentence."""
    facts, day = document.facts, filters.available_on
    return (
        (not filters.kinds or facts.kind in filters.kinds)
        and (not filters.region_prefixes or (facts.region or "").startswith(filters.region_prefixes))
        and (not filters.clusters or bool(filters.clusters & set(facts.clusters)))
        and (filters.overseas is None or filters.overseas == (facts.country != "CN"))
        and (filters.candidates is None or document.profile_id in filters.candidates)
        and document.profile_id not in filters.exclude
        and facts.organization_id not in filters.excluded_organizations
        and (day is None or facts.available_from is None or facts.available_from <= day)
        and (day is None or facts.available_until is None or day <= facts.available_until)
    )


def best(rows: Sequence[Row], n: int, score_of: Callable[[Row], np.float32]) -> list[Row]:
    """The k best positive scores and all that tie with the last, k growing until n // 2 profiles are reached."""
    positive = sorted((row for row in rows if score_of(row) > 0), key=lambda row: -score_of(row))
    k = n
    while k <= len(positive):
        chosen = [row for row in positive if score_of(row) >= score_of(positive[k - 1])]
        if len({row.profile_id for row in chosen}) >= n // 2:
            return chosen
        k *= 4
    return positive


def word_score(weights: TermWeights, counts: TermCounts) -> np.float32:
    """In single precision, in the order of the terms' keys."""
    count_of = {term_key(term): min(int(count), MAX_COUNT) for term, count in counts.items()}
    total = np.float32(0)
    for term in sorted(weights, key=term_key):
        if (count := count_of.get(term_key(term))) is not None:
            total += np.float32(weights[term] * _factor(term)) * np.float32(1 + math.log(count))
    return min(np.float32(1), total * _scale(counts))


def _scale(counts: TermCounts) -> np.float32:
    """1 / Euclidean length of a passage's impacts, whose squares are whole numbers of 2^-30; 0 for an empty passage."""
    impacts = (_factor(term) * (1 + np.log(min(int(count), MAX_COUNT))) for term, count in counts.items())
    total = sum(int(np.rint(impact**2 * 2.0**30)) for impact in impacts) * 2.0**-30
    return np.float32(1 / math.sqrt(total)) if total else np.float32(0)


def _factor(term: str) -> np.float64:
    return np.float64(family_factors(term_keys([term]))[0])


def cosine(query: VectorQuery | None, vector: FloatArray | None) -> np.float32:
    """Of the rounded vectors, whose product is a whole number."""
    if query is None or vector is None:
        return UNKNOWN
    direction = round_vector(vector).tolist()
    product = sum(a * b for a, b in zip(query.direction.tolist(), direction, strict=True))
    length = math.sqrt(sum(a * a for a in direction))
    return min(np.float32(1), max(np.float32(0), np.float32(product) * np.float32(1 / length) * query.scale))


def proves(topic: Alternatives, counts: TermCounts) -> bool:
    return any(all(term in counts for term in terms) for terms in topic)


def _passages(documents: Iterable[Document]) -> Iterable[Passage]:
    return chain.from_iterable(document.passages for document in documents)


def _handles(ids: Iterable[str]) -> Handles:
    return np.array([name.encode() for name in ids], dtype="S36")


def _columns(rows: Sequence[Row], n_topics: int) -> np.ndarray:
    return np.array([row.topics for row in rows], dtype=np.bool_).reshape(len(rows), n_topics).T
