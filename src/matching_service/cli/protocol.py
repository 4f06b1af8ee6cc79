"""HTTP as uvicorn reads it, with what uvicorn leaves out: limits for the head of a request, and problem bodies for
requests that cannot be read.
"""

import asyncio
from http import HTTPStatus
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from matching_service.api.problems import problem
from matching_service.foundation.clock import new_id
from matching_service.foundation.errors import Bilingual
from matching_service.foundation.logs import request_id

HEAD_S = 10.0
"""Seconds from the first byte of a connection, or of a further request on it, to the end of the headers."""
MAX_HEAD_BYTES = 64 << 10
MAX_HEADERS = 200
_MALFORMED = Bilingual(
    "无法读取该请求：地址中的中文等字符须经百分号编码，如 curl -G --data-urlencode 'q=液压泵'；"
    "请求行与请求头须合乎 HTTP/1.1。",
    "The request cannot be read: characters beyond ASCII in an address are percent-encoded, as by curl -G "
    "--data-urlencode; the request line and the headers must be those of HTTP/1.1.",
)
_TOO_LARGE = Bilingual(
    f"请求头超过 {MAX_HEAD_BYTES >> 10} KB 或 {MAX_HEADERS} 项。",
    f"The headers have more than {MAX_HEAD_BYTES >> 10} KB or {MAX_HEADERS} lines.",
)
_TOO_SLOW = Bilingual(f"请求头未在 {HEAD_S:g} 秒内到齐。", f"The headers did not arrive within {HEAD_S:g} s.")


class Protocol(HttpToolsProtocol):
    """Nothing of a refused request is known, so the answer is in both languages. The connection is closed after it."""

    head_s = HEAD_S
    _waiting: asyncio.TimerHandle | None = None
    _n_head_bytes = 0
    _is_refused = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._wait_for_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._head_is_complete()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._is_refused:
            return
        is_idle = self.cycle is None or self.cycle.response_complete
        if self._waiting is None and is_idle:  # another request on a kept connection
            self._wait_for_head()
        self._n_head_bytes += len(data)
        super().data_received(data)
        if self._waiting is not None and self._n_head_bytes > MAX_HEAD_BYTES:
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "head_too_large", _TOO_LARGE)

    def on_headers_complete(self) -> None:
        self._head_is_complete()
        n_bytes = len(self.url) + sum(len(name) + len(value) for name, value in self.headers)
        if n_bytes > MAX_HEAD_BYTES or len(self.headers) > MAX_HEADERS:
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "head_too_large", _TOO_LARGE)
        if not self._is_refused:
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        if not self._is_refused:
            super().on_body(body)

    def on_message_complete(self) -> None:
        if not self._is_refused:
            super().on_message_complete()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002  # uvicorn's words
        if not self._is_refused:
            self._refuse(HTTPStatus.BAD_REQUEST, "malformed_request", _MALFORMED)

    def _wait_for_head(self) -> None:
        self._n_head_bytes = 0
        self._waiting = self.loop.call_later(self.head_s, self._give_up)

    def _head_is_complete(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None

    def _give_up(self) -> None:
        """Close an idle connection without a word; answer one that has begun a request."""
        self._waiting = None
        if self._n_head_bytes:
            self._refuse(HTTPStatus.REQUEST_TIMEOUT, "head_too_slow", _TOO_SLOW)
        elif not self.transport.is_closing():
            self.transport.close()

    def _refuse(self, status: HTTPStatus, code: str, detail: Bilingual) -> None:
        self._is_refused = True
        self._head_is_complete()
        if not self.transport.is_closing():
            self.transport.write(refusal(status, code, detail))
            self.transport.close()


_TITLES = {
    HTTPStatus.BAD_REQUEST: Bilingual("请求格式有误", "Malformed request"),
    HTTPStatus.REQUEST_TIMEOUT: Bilingual("请求超时", "Request timeout"),
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE: Bilingual("请求头过大", "Headers too large"),
}


def refusal(status: HTTPStatus, code: str, detail: Bilingual) -> bytes:
    """The whole answer as it goes over the wire."""
    current = new_id()
    token = request_id.set(current)
    both = Bilingual("\n".join(detail), detail.en)
    answer: Any = problem(status=status.value, title=_TITLES[status], code=code, detail=both, language="zh")
    request_id.reset(token)
    headers = [*answer.raw_headers, (b"x-request-id", current.encode()), (b"connection", b"close")]
    lines = [f"HTTP/1.1 {status.value} {status.phrase}".encode(), *(b": ".join(header) for header in headers)]
    return b"\r\n".join([*lines, b"", bytes(answer.body)])
