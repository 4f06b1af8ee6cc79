"""Must-have and nice-to-have topics, and whether a profile has evidence for them."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from matching_service.index.contract import Alternatives, BoolArray, FloatArray
from matching_service.text.normalise import fold
from matching_service.text.terms import NGRAM_MARK, Analyzer, is_ngram

_OTHER_LETTER = re.compile(r"[^\W_\u3007\u3400-\u4dbf\u4e00-\u9fff]")
_NEAR_IN_MEANING = 0.52
"""From this semantic signal of the whole demand on, a passage in another language is evidence for its topics."""


@dataclass(frozen=True, slots=True)
class Topic:
    """``alternatives`` are sets of terms, any of which proves the topic; empty for a topic without words."""

    name: str
    alternatives: Alternatives


def prepare_topics(names: Sequence[str], analyzer: Analyzer) -> tuple[Topic, ...]:
    return tuple(Topic(name, _alternatives(name, analyzer)) for name in names)


def proving_passages(
    topics: Sequence[Topic], by_words: BoolArray, semantic: FloatArray, languages: NDArray[np.str_], *, language: str
) -> BoolArray:
    """bool, shape (n_topics, n_passages): which passages are evidence for each topic.

    by_words : bool, shape (n_topics, n_passages): whether a passage uses the words of a topic.
    semantic : float32, shape (n_passages,), the semantic signal of the whole demand; NaN = not known.
    languages : str, shape (n_passages,). language : of the demand.
    In another language than the demand's, a passage that means something near the whole demand has the benefit of the
    doubt: a word of two characters says too little for the encoder to find it in a foreign text (docs/quality.md).
    Every passage is evidence for a topic without words.
    """
    is_near = (languages != language) & (semantic >= _NEAR_IN_MEANING)  # NaN compares as False
    has_no_words = np.array([not topic.alternatives for topic in topics], dtype=np.bool_)
    return np.asarray(by_words | is_near | has_no_words[:, None], dtype=np.bool_)


def _alternatives(topic: str, analyzer: Analyzer) -> Alternatives:
    """The longest words of the topic; where it is all Chinese, also its character bigrams, or its single character."""
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
    is_all_chinese = _OTHER_LETTER.search(fold(topic)) is None
    return tuple(tuple(sorted(terms)) for terms in (longest, bigrams if is_all_chinese else ()) if terms)
