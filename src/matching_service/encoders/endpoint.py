"""A sentence encoder behind an OpenAI-compatible endpoint, as vLLM, Xinference, Ollama and TEI serve it.

The texts are demands and profiles. The law wants them to stay, so an address outside the office's own network needs a
setting of its own, and every address is checked after the name was resolved, when the connection is opened.
"""

import logging
import socket
import threading
from collections.abc import Sequence
from time import monotonic
from typing import Any

import httpx
import numpy as np
import orjson

from matching_service import __version__
from matching_service.foundation.errors import Bilingual
from matching_service.foundation.metrics import ENCODER_AVAILABLE
from matching_service.foundation.outgoing import is_public
from matching_service.index.contract import FloatArray
from matching_service.ranking.encoder import EncoderAway

logger = logging.getLogger(__name__)
_QUERY_S = 5.0
"""Seconds for the vectors of a query, without a second attempt: somebody waits for the list."""
_DOCUMENTS_S = 60.0
_CONNECT_S = 3.0
_ATTEMPTS = 2
_PAUSES_S = (5.0, 15.0, 60.0)
"""Seconds without an attempt after the first, the second, and each later failure in a row (circuit breaker)."""
_MAX_ANSWER_BYTES = 32 << 20
_WORTH_ANOTHER = {408, 425, 429, 500, 502, 503, 504}


class EndpointModel:
    """The model named ``model`` at ``base``, such as ``http://10.0.0.8:8000/v1``. Threads may share it.

    After a failure no request is sent for some seconds; ``encode`` raises EncoderAway at once. ``is_available`` tells
    whether the last request succeeded.
    """

    def __init__(self, base: str, model: str, *, key: str | None = None, allow_public: bool = False) -> None:
        self.version = model
        self.is_available = True
        self._url = httpx.URL(base.rstrip("/") + "/embeddings")
        self._model = model
        self._allow_public = allow_public
        self._key = key
        self._state = threading.Lock()
        self._n_failures = 0
        self._closed_until = 0.0
        self._client = httpx.Client(
            trust_env=False,
            follow_redirects=False,
            limits=httpx.Limits(max_keepalive_connections=0),
            headers={"User-Agent": f"matching-service/{__version__}", "Content-Type": "application/json"}
            | ({"Authorization": f"Bearer {key}"} if key else {}),
        )

    def encode(self, texts: Sequence[str], *, is_query: bool) -> FloatArray:
        """float32, shape (n_texts, n_dimensions). Raises EncoderAway."""
        if not texts:
            return np.zeros((0, 0), dtype=np.float32)
        if monotonic() < self._closed_until:
            raise EncoderAway(_AWAY)
        try:
            vectors = self._request(texts, is_query=is_query)
        except (httpx.HTTPError, OSError, UnicodeError, _BadAnswer) as error:
            self._note(error)
            raise EncoderAway(_AWAY) from error
        self._note(None)
        return vectors

    def _request(self, texts: Sequence[str], *, is_query: bool) -> FloatArray:
        body = orjson.dumps({"model": self._model, "input": list(texts), "encoding_format": "float"})
        seconds, attempts = (_QUERY_S, 1) if is_query else (_DOCUMENTS_S, _ATTEMPTS)
        for attempt in range(1, attempts + 1):
            try:
                return self._vectors(self._post(body, seconds), len(texts))
            except (httpx.TransportError, _TryAgain):
                if attempt == attempts:
                    raise
        raise AssertionError("unreachable: the last attempt returns or raises")

    def _post(self, body: bytes, seconds: float) -> bytes:
        """Send to the first address of the host that accepts the connection, so that the checked address is used."""
        ends = monotonic() + seconds
        timeout = httpx.Timeout(seconds, connect=_CONNECT_S)
        for address in self._addresses():
            request = self._client.build_request(
                "POST",
                self._url.copy_with(host=address),
                content=body,
                headers={"Host": self._url.netloc.decode()},
                extensions={"sni_hostname": self._url.host, "timeout": timeout.as_dict()},
            )
            try:
                response = self._client.send(request, stream=True)
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                refused = error
                continue
            try:
                return self._read(response, ends=ends)
            finally:
                response.close()
        raise refused

    def _read(self, response: httpx.Response, *, ends: float) -> bytes:
        content = bytearray()
        for piece in response.iter_bytes():
            if monotonic() > ends:  # the timeout of the client is only that of each piece
                raise _BadAnswer("an answer that does not end")
            content += piece
            if len(content) > _MAX_ANSWER_BYTES:
                raise _BadAnswer(f"an answer of more than {_MAX_ANSWER_BYTES >> 20} MB")
        if response.is_success:
            return bytes(content)
        kind = _TryAgain if response.status_code in _WORTH_ANOTHER else _BadAnswer
        raise kind(f"HTTP {response.status_code}: {bytes(content[:200]).decode('utf-8', 'replace')}")

    def _addresses(self) -> list[str]:
        port = self._url.port or (443 if self._url.scheme == "https" else 80)
        found = socket.getaddrinfo(self._url.host, port, type=socket.SOCK_STREAM)
        addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
        if not self._allow_public and any(map(is_public, addresses)):
            raise _BadAnswer("an address outside the own network; MATCHING_ENCODER_ALLOW_PUBLIC is not set")
        return addresses

    def _vectors(self, content: bytes, n_texts: int) -> FloatArray:
        try:
            items: Any = orjson.loads(content)["data"]
            rows = [item["embedding"] for item in sorted(items, key=lambda item: item.get("index", 0))]
            vectors = np.array(rows, dtype=np.float32)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise _BadAnswer(f"no list of vectors ({error})") from error
        if vectors.ndim != 2 or len(vectors) != n_texts or not np.isfinite(vectors).all():
            raise _BadAnswer(f"vectors of shape {vectors.shape} for {n_texts} texts")
        return vectors

    def _note(self, error: Exception | None) -> None:
        """Open or close the circuit. Logs each change once, and never a text or the key."""
        with self._state:
            was_available, self.is_available = self.is_available, error is None
            if error is None:
                self._n_failures, self._closed_until = 0, 0.0
            else:
                self._closed_until = monotonic() + _PAUSES_S[min(self._n_failures, len(_PAUSES_S) - 1)]
                self._n_failures += 1
        ENCODER_AVAILABLE.set(self.is_available)
        if was_available and error is not None:
            logger.warning("encoder_away", extra={"url": str(self._url), "reason": f"{type(error).__name__}: {error}"})
        elif error is None and not was_available:
            logger.info("encoder_back", extra={"url": str(self._url)})


class _BadAnswer(Exception):
    """The endpoint refused, or its answer is no list of vectors."""


class _TryAgain(_BadAnswer):
    """An answer after which another attempt is worth while."""


_AWAY = Bilingual(
    "编码器服务未响应，暂按词语匹配。", "The endpoint of the encoder does not answer; ranking goes on by words alone."
)
