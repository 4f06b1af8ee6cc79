"""What a query becomes before any profile is looked at: terms, a vector, its language."""

import re
from collections import Counter
from dataclasses import dataclass

from matching_service.index.contract import FloatArray
from matching_service.ranking.encoder import Encoder
from matching_service.ranking.lexical import query_terms
from matching_service.ranking.query import Query
from matching_service.ranking.semantic import query_vector

_HAN = re.compile("[\u3400-\u9fff]")
_KANA = re.compile("[\u3040-\u30ff]")


@dataclass(frozen=True, slots=True)
class PreparedQuery:
    """A query after segmentation and encoding, which cost more than ranking and do not depend on the corpus."""

    query: Query
    terms: Counter[str]
    vector: FloatArray | None
    is_chinese: bool


def prepare(query: Query, encoder: Encoder) -> PreparedQuery:
    return PreparedQuery(
        query=query,
        terms=query_terms(query),
        vector=query_vector(query, encoder),
        is_chinese=is_chinese(query.text),
    )


def is_chinese(text: str) -> bool:
    """True for a text with Chinese characters that is not Japanese."""
    return _HAN.search(text) is not None and _KANA.search(text) is None
