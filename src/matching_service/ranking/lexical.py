"""The lexical signal: the share of a demand's weighted vocabulary that a passage uses."""

from collections import Counter
from collections.abc import Collection, Iterable

import numpy as np

from matching_service.index.contract import FloatArray, TermCounts, TermWeights
from matching_service.index.frequencies import Frequencies
from matching_service.index.postings import unit
from matching_service.ranking.query import Query
from matching_service.text.terms import Analyzer

_TITLE_COUNTS = 4
_MUST_HAVE_COUNTS = 3
_KEYWORD_COUNTS = 2
_TITLE_SHARE = 0.5
"""A demand's title names its topic. Its words count more often, and once more by themselves, so that a long body does
not drown them: docs/quality.md."""
_ENOUGH_DEMANDS = 50
_HALF = 0.2
"""The word score that becomes 0.5: between the medians of 'related' and 'strong' pairs (docs/quality.md)."""


def query_terms(query: Query, analyzer: Analyzer) -> Counter[str]:
    """Term counts of a query; each field counts several times, according to its weight. Nice-to-haves do not count."""
    counts: Counter[str] = Counter()
    for text, times in (
        (query.title, _TITLE_COUNTS),
        (query.problem, 1),
        (query.key_technology, 1),
        (query.expected_goal, 1),
        *((keyword, _KEYWORD_COUNTS) for keyword in query.keywords),
        *((topic, _MUST_HAVE_COUNTS) for topic in query.must_have),
    ):
        for term, count in analyzer.count_terms(text).items():
            counts[term] += count * times
    return counts


def query_weights(
    terms: TermCounts, title_terms: TermCounts, rarity: TermCounts, frequencies: Frequencies
) -> TermWeights:
    """The weights of a query's terms by these frequencies, of unit length: the whole text plus half of the title."""
    weights = Counter(frequencies.weigh(terms, rarity))
    for term, weight in frequencies.weigh(title_terms, rarity).items():
        weights[term] += _TITLE_SHARE * weight  # type: ignore[assignment]  # typeshed: Counter counts are int
    return unit(weights)


def rarity_among(terms: Collection[str], demand_frequencies: Frequencies) -> dict[str, float]:
    """How rare terms are among the demands, each at least 1: their idf ** (n / (n + 50)), where n is the number of
    demands.

    A phrase that every demand uses (降低成本, 提高效率) says little about this one. A few demands are a poor
    sample, so the power grows from 0 to 1 with their number.
    """
    n = len(demand_frequencies)
    power = n / (n + _ENOUGH_DEMANDS)
    return dict(zip(terms, (demand_frequencies.idfs(terms) ** power).tolist(), strict=True))


def lexical_value(raw: FloatArray) -> FloatArray:
    """``raw / (raw + 0.2)``, in [0, 0.84]: saturates and keeps the order. raw : float32 in [0, 1], any shape."""
    return (raw / (raw + np.float32(_HALF))).astype(np.float32)


def passage_terms(texts: Iterable[str], analyzer: Analyzer) -> Counter[str]:
    """Term counts of all fields of a passage together."""
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(analyzer.count_terms(text))
    return counts
