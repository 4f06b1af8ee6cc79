"""Must-have and nice-to-have topics, and whether a profile has evidence for them."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from matching_service.index.contract import BoolArray, FloatArray, IntArray
from matching_service.index.snapshot import Snapshot
from matching_service.text.terms import NGRAM_MARK, Analyzer, is_ngram

_OTHER_LETTER = re.compile(r"[^\W_\u3007\u3400-\u4dbf\u4e00-\u9fff]")
_NEAR_IN_MEANING = 0.52
"""Semantic signal of the whole demand from which a passage in another language is taken to know its topics."""


@dataclass(frozen=True, slots=True)
class Topic:
    """``alternatives`` are sets of terms, any one of which proves the topic; none for a topic without words."""

    name: str
    alternatives: tuple[tuple[str, ...], ...]


def prepare_topics(names: Sequence[str], analyzer: Analyzer) -> tuple[Topic, ...]:
    return tuple(Topic(name, _alternatives(name, analyzer)) for name in names)


def passages_with(topic: Topic, snapshot: Snapshot) -> BoolArray:
    """bool, shape (n_rows,): which passages use the words of the topic."""
    found = np.zeros(len(snapshot.profile_rows), dtype=np.bool_)
    for terms in topic.alternatives:
        found |= snapshot.containing(terms)
    return found


def profiles_with(
    topic: Topic, snapshot: Snapshot, rows: IntArray, *, proven: BoolArray, semantic: FloatArray, language: str
) -> BoolArray:
    """bool, shape (n_profiles,): which profiles have evidence for the topic in the passages of ``rows``.

    proven : ``passages_with`` for these rows. semantic : the semantic signal of the whole demand for them. Both are of
    shape (len(rows),).
    Evidence is words. In another language than the demand's, a passage that means something near the whole demand
    has the benefit of the doubt: a word of two characters says too little for the encoder to find it in a
    foreign text (docs/quality.md). A topic without words is had by everyone.
    """
    has = np.zeros(snapshot.profile_offsets[-1], dtype=np.bool_)
    if not topic.alternatives:
        has[:] = True
        return has
    near = (snapshot.languages(rows) != language) & (semantic >= _NEAR_IN_MEANING)  # NaN compares as False
    has[snapshot.profile_rows[rows[proven | near]]] = True
    return has


def _alternatives(topic: str, analyzer: Analyzer) -> tuple[tuple[str, ...], ...]:
    """Every longest word of the topic, or all its character bigrams; the character itself for one of a character."""
    occurrences = analyzer.find_terms(topic)
    words = [o for o in occurrences if not is_ngram(o.term)]
    longest = {
        o.term
        for o in words
        if not any(
            other.start <= o.start and o.end <= other.end and (other.end - other.start) > (o.end - o.start)
            for other in words
        )
    }
    ngrams = {o.term for o in occurrences if is_ngram(o.term)}
    bigrams = {term for term in ngrams if len(term) == len(NGRAM_MARK) + 2} or ngrams
    is_all_chinese = _OTHER_LETTER.search(topic) is None
    return tuple(tuple(sorted(terms)) for terms in (longest, bigrams if is_all_chinese else ()) if terms)
