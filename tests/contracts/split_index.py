"""An index whose profiles are spread over several, which answers by merging their answers.

It is here to show that the contract can be kept that way: it asks its parts nothing that is not in the contract. Handles
are those of a part, with the part's number beside them.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from zlib import crc32

import numpy as np

from matching_service.index.contract import (
    BoolArray,
    CandidatePassages,
    Document,
    FloatArray,
    Handles,
    Index,
    IndexQuery,
    ProfileFacts,
    Versions,
)
from matching_service.index.filters import Filters


@dataclass(frozen=True)
class SplitIndex:
    """``whole`` lends its frequencies and version, and answers nothing."""

    parts: Sequence[Index]
    whole: Index

    @classmethod
    def build(
        cls, make: Callable[..., Index], documents: Sequence[Document], versions: Versions, *, n_parts: int
    ) -> "SplitIndex":
        shares = [
            [each for each in documents if crc32(each.profile_id.encode()) % n_parts == n] for n in range(n_parts)
        ]
        return cls([make(share, versions) for share in shares], make(documents, versions))

    @property
    def version(self):
        return self.whole.version

    @property
    def as_of(self):
        return min(part.as_of for part in self.parts)

    @property
    def frequencies(self):
        return self.whole.frequencies

    @property
    def n_profiles(self):
        return sum(part.n_profiles for part in self.parts)

    @property
    def n_pending(self):
        return sum(part.n_pending for part in self.parts)

    def candidates(self, query: IndexQuery, filters: Filters, n: int) -> CandidatePassages:
        """The best of all are among the best of each part, where those are asked for as many."""
        if filters.candidates is not None:
            return self._merged(query, filters, n)
        k = n
        while True:
            merged = self._merged(query, filters, k)
            searches = [merged.words, merged.cosines, *(np.where(column, merged.words, 0) for column in merged.topics)]
            best = [_best(scores, merged.profiles, n, deepest=k) for scores in searches]
            if all(rows is not None for rows in best):
                break
            k *= 4
        words, cosines, *by_topic = [rows for rows in best if rows is not None]
        able = [np.isin(merged.profiles, merged.profiles[rows]) for rows in by_topic]
        rows = np.logical_or.reduce([words, cosines, *able])
        return CandidatePassages(**{f.name: getattr(merged, f.name)[..., rows] for f in fields(CandidatePassages)})

    def all_passages(self, query: IndexQuery, profiles: Handles) -> CandidatePassages:
        return self._joined(
            part.all_passages(query, handles) for part, handles in zip(self.parts, self._of(profiles), strict=True)
        )

    def facts_of(self, profiles: Handles) -> list[ProfileFacts]:
        facts = [iter(part.facts_of(handles)) for part, handles in zip(self.parts, self._of(profiles), strict=True)]
        return [next(facts[number]) for number in profiles["part"].tolist()]

    def _merged(self, query: IndexQuery, filters: Filters, n: int) -> CandidatePassages:
        return self._joined(part.candidates(query, filters, n) for part in self.parts)

    def _joined(self, answers: Iterable[CandidatePassages]) -> CandidatePassages:
        each = list(answers)
        columns = {f.name: [getattr(answer, f.name) for answer in each] for f in fields(CandidatePassages)}
        columns["profiles"] = [_numbered(handles, number) for number, handles in enumerate(columns["profiles"])]
        return CandidatePassages(**{name: np.concatenate(arrays, axis=-1) for name, arrays in columns.items()})

    def _of(self, profiles: Handles) -> list[Handles]:
        """Each part's own handles among these, in their order."""
        return [profiles["handle"][profiles["part"] == number] for number in range(len(self.parts))]


def _numbered(handles: Handles, number: int) -> Handles:
    named = np.empty(len(handles), dtype=[("part", np.int64), ("handle", handles.dtype)])
    named["part"], named["handle"] = number, handles
    return named


def _best(scores: FloatArray, profiles: Handles, n: int, *, deepest: int) -> BoolArray | None:
    """bool, shape (n_rows,): the rule of the contract; None where it needs more than the ``deepest`` best of each part."""
    positive = np.sort(scores[scores > 0])[::-1]
    k = n
    while k <= len(positive):
        rows = scores >= positive[k - 1]
        if len(np.unique(profiles[rows])) >= n // 2:
            return rows if k <= deepest else None
        k *= 4
    return scores > 0 if len(positive) < deepest else None
