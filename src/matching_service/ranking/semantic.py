"""The semantic signal: similarity in meaning, also across languages."""

import numpy as np
from numpy.typing import NDArray

from matching_service.index.contract import FloatArray
from matching_service.ranking.encoder import Calibration, EncodableText, Encoder, unit_vector
from matching_service.ranking.query import Query


def query_texts(query: Query, language: str) -> tuple[EncodableText, EncodableText]:
    """The texts of a query that are encoded: the title, and the title with problem and key technology."""
    whole = "。".join(part for part in (query.title, query.problem, query.key_technology) if part)
    return EncodableText(query.title, language, is_query=True), EncodableText(whole, language, is_query=True)


def query_vector(query: Query, language: str, encoder: Encoder) -> FloatArray | None:
    """The mean of the title's vector and the whole text's, of unit length; None where there is no text.

    A title is clear but short, a body is complete but digresses; the mean beats both (docs/quality.md).
    """
    texts = query_texts(query, language)
    encoded = encoder.encode([text.text for text in texts], [language] * len(texts), is_query=True)
    vectors = [vector for vector in encoded if vector is not None]
    return unit_vector(np.asarray(np.sum(vectors, axis=0), dtype=np.float32)) if vectors else None


def semantic_value(
    cosines: FloatArray, query_language: str, languages: NDArray[np.str_], calibration: Calibration
) -> FloatArray:
    """A signal in [0, 1], float32, NaN where the cosine is. Equally similar texts have equal signals in any language.

    cosines : float32 in [0, 1] or NaN, shape (n,). languages : of the passages, shape (n,).
    The line of the foreign language maps a cosine to the scale of Chinese with Chinese, and a logistic curve maps that
    to the signal. The curve is shifted so that 0 gives 0.
    """
    codes, code_of = np.unique(languages, return_inverse=True)
    lines = [_line(query_language, str(code), calibration) for code in codes]
    slopes, offsets = np.array(lines, dtype=np.float32).reshape(-1, 2)[code_of].T
    on_one_scale = np.where(cosines > 0, np.maximum(slopes * cosines + offsets, 0), cosines)
    floor = _logistic(np.zeros(1, dtype=np.float32), calibration)  # in the same precision, so that 0 gives exactly 0
    return np.asarray((_logistic(on_one_scale, calibration) - floor) / (1.0 - floor), dtype=np.float32)


def _line(query_language: str, language: str, calibration: Calibration) -> tuple[float, float]:
    if language == query_language:
        return 1.0, 0.0
    return calibration.line_of(query_language if language == "zh" else language)


def _logistic(cosines: FloatArray, calibration: Calibration) -> FloatArray:
    exponent = -calibration.steepness * (cosines - calibration.middle)
    return np.asarray(1.0 / (1.0 + np.exp(exponent)), dtype=np.float32)
