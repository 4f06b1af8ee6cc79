"""Must-have and nice-to-have topics, and what evidence a profile has for them."""

import re
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Literal
from unicodedata import normalize

import numpy as np
from numpy.typing import NDArray

from matching_service.index.contract import Alternatives, BoolArray, FloatArray
from matching_service.text.language import has_prose
from matching_service.text.normalise import fold
from matching_service.text.terms import NGRAM_MARK, Analyzer, is_ngram

_OTHER_LETTER = re.compile(r"[^\W_\u3007\u3400-\u4dbf\u4e00-\u9fff]")
_DESIGNATION = re.compile(r"\d{2}|[+#]")
"""A part of a name that only the name itself proves: 7075铝合金, 45#钢, IP67防护, C++编程; not 3D打印 or 5G通信."""
_NEAR_IN_MEANING = 0.52
"""From this semantic signal of the whole demand on, a passage may well hold its topics in other words."""

State = Literal["met", "not_verified", "not_met"]
STATES: tuple[State, ...] = ("not_met", "not_verified", "met")
"""By rising evidence; arrays hold the places in this tuple."""
NOT_MET, NOT_VERIFIED, MET = range(3)
StateArray = NDArray[np.int8]


@dataclass(frozen=True, slots=True)
class Topic:
    """``alternatives`` are sets of terms, any of which proves the topic; empty for a topic without words.

    may_be_meant : a text that is close in meaning to the demand may hold the topic in other words. Not so for a model,
        standard, abbreviation or number (C++, 7075铝合金, PLC), which all languages write alike; and not for a topic of
        which the rest of the demand does not speak, because closeness to the demand says nothing of it.
    """

    name: str
    alternatives: Alternatives
    may_be_meant: bool


def prepare_topics(names: Sequence[str], analyzer: Analyzer, context: AbstractSet[str]) -> tuple[Topic, ...]:
    """Analyse topics. context : the terms of the rest of the demand."""
    return tuple(
        Topic(name, _alternatives(name, analyzer), _is_prose(name) and not context.isdisjoint(_terms(name, analyzer)))
        for name in names
    )


def states_in_passages(topics: Sequence[Topic], by_words: BoolArray, semantic: FloatArray) -> StateArray:
    """int8, shape (n_topics, n_passages): what each passage shows of each topic, by one rule for all languages.

    by_words : bool, shape (n_topics, n_passages): whether a passage uses the words of a topic.
    semantic : float32, shape (n_passages,), the semantic signal of the whole demand; NaN = not known.
    Words prove a topic. A passage that means something near the whole demand may hold it in other words: nobody has
    verified it. The topic alone is too short to be compared by meaning (docs/quality.md). Every passage proves a topic
    without words.
    """
    has_no_words = np.array([not topic.alternatives for topic in topics], dtype=np.bool_)
    proven = by_words | has_no_words[:, None]
    may_be_meant = np.array([topic.may_be_meant for topic in topics], dtype=np.bool_)
    may_hold = may_be_meant[:, None] & (semantic >= _NEAR_IN_MEANING)  # NaN compares as False
    return np.where(proven, MET, np.where(may_hold, NOT_VERIFIED, NOT_MET)).astype(np.int8)


def _is_prose(topic: str) -> bool:
    """Tell whether the topic is words alone, which a text may paraphrase."""
    return has_prose(topic) and _DESIGNATION.search(normalize("NFKC", topic)) is None


def _terms(topic: str, analyzer: Analyzer) -> AbstractSet[str]:
    """The words and character bigrams of the topic; single characters only where it has nothing longer."""
    terms = analyzer.count_terms(topic).keys()
    return {term for term in terms if len(term.removeprefix(NGRAM_MARK)) > 1} or terms


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
