"""The lexical signal: how much of a demand's weighted vocabulary a passage uses."""

from collections import Counter
from collections.abc import Iterable

import numpy as np

from matching_service.index.contract import FloatArray
from matching_service.ranking.query import Query
from matching_service.text.terms import count_terms

TITLE_WEIGHT = 4.0
MUST_HAVE_WEIGHT = 3.0
KEYWORD_WEIGHT = 2.0
_HALF = 0.2
"""Raw score that counts as 0.5: between the medians of 'related' and 'strong' pairs (docs/quality.md)."""


def query_terms(query: Query) -> Counter[str]:
    """Term counts of a query, each field counted as often as it weighs."""
    counts: Counter[str] = Counter()
    for text, weight in (
        (query.title, TITLE_WEIGHT),
        (query.problem, 1.0),
        (query.key_technology, 1.0),
        (query.expected_goal, 1.0),
        *((keyword, KEYWORD_WEIGHT) for keyword in query.keywords),
        *((topic, MUST_HAVE_WEIGHT) for topic in query.must_have),
        *((topic, 1.0) for topic in query.nice_to_have),
    ):
        for term, count in count_terms(text).items():
            counts[term] += count * weight  # type: ignore[assignment]  # typeshed: Counter counts are int
    return counts


def lexical_value(raw: FloatArray) -> FloatArray:
    """Raw : float32 in [0, 1], any shape; returns raw / (raw + 0.2), in [0, 0.84]: saturating, order kept."""
    return (raw / (raw + np.float32(_HALF))).astype(np.float32)


def passage_terms(texts: Iterable[str]) -> Counter[str]:
    """Term counts of a passage: all its fields together."""
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(count_terms(text))
    return counts
