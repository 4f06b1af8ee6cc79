"""Preparation of a query, which needs no profile: terms, vector, language, topics."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace

from matching_service.index.contract import FloatArray
from matching_service.index.frequencies import Frequencies
from matching_service.ranking.encoder import Calibration, Encoder
from matching_service.ranking.lexical import query_terms, rarity_among
from matching_service.ranking.query import Query
from matching_service.ranking.semantic import query_vector
from matching_service.ranking.topics import Topic, prepare_topics
from matching_service.text.language import language_of
from matching_service.text.terms import Analyzer, default_analyzer

_LEAST_ASIDE, _MOST_ASIDE = 0.03, 0.3
"""Bounds of the weight of a word that only clauses about the company have.

Such a clause may hold part of the need after all, which matters where the rest says little. So the weight is one over
the number of the other terms.
"""


@dataclass(frozen=True, slots=True)
class PreparedQuery:
    """A query after word segmentation and encoding, which cost more than ranking and do not depend on the profiles.

    ``rarity`` holds factors of terms, 1 for a term that is not in it: their rarity among all demands. Words that only
    clauses about the company have get a small one.
    """

    query: Query
    terms: Counter[str]
    title_terms: Counter[str]
    rarity: Mapping[str, float]
    vector: FloatArray | None
    language: str
    must_have: tuple[Topic, ...]
    nice_to_have: tuple[Topic, ...]
    calibration: Calibration


def prepare(
    query: Query,
    encoder: Encoder,
    *,
    demand_frequencies: Frequencies | None = None,
    analyzer: Analyzer | None = None,
) -> PreparedQuery:
    """Without ``demand_frequencies``, all terms are taken to be equally rare among the demands."""
    analyzer = analyzer or default_analyzer()
    topical = query.topical()
    terms = query_terms(topical, analyzer)
    asides = query_terms(query, analyzer).keys() - terms.keys() if topical != query else set[str]()
    weight_aside = min(max(1 / max(len(terms), 1), _LEAST_ASIDE), _MOST_ASIDE)
    terms.update(dict.fromkeys(asides, 1))
    rarity = rarity_among(terms, demand_frequencies) if demand_frequencies is not None else {}
    rarity |= {term: weight_aside * rarity.get(term, 1.0) for term in asides}
    language = language_of(query.text)
    rest = query_terms(replace(topical, must_have=()), analyzer).keys() if query.must_have else frozenset[str]()
    return PreparedQuery(
        query=query,
        terms=terms,
        title_terms=analyzer.count_terms(query.title),
        rarity=rarity,
        vector=query_vector(topical, language, encoder),
        language=language,
        must_have=prepare_topics(query.must_have, analyzer, rest),
        nice_to_have=prepare_topics(query.nice_to_have, analyzer, frozenset()),
        calibration=encoder.calibration,
    )
