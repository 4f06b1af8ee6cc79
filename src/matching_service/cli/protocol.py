"""HTTP as uvicorn reads it, but for requests that it cannot read: these get a problem body as all errors do."""

from http import HTTPStatus
from typing import Any

from uvicorn.protocols.http.auto import AutoHTTPProtocol

from matching_service.api.problems import problem
from matching_service.foundation.clock import new_id
from matching_service.foundation.errors import Bilingual
from matching_service.foundation.logs import request_id

_Base: Any = AutoHTTPProtocol  # whichever parser is installed
_TITLE = Bilingual("请求格式有误", "Malformed request")
_MALFORMED = Bilingual(
    "无法读取该请求：地址中的中文等字符须经百分号编码，如 curl -G --data-urlencode 'q=液压泵'；"
    "请求行与请求头须合乎 HTTP/1.1。",
    "The request cannot be read: characters beyond ASCII in an address are percent-encoded, as by curl -G "
    "--data-urlencode; the request line and the headers must be those of HTTP/1.1.",
)


class Protocol(_Base):  # type: ignore[misc]  # chosen when uvicorn is imported
    """Nothing of the request is known, so the answer is in both languages."""

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002  # uvicorn's words
        self.transport.write(malformed_answer())
        self.transport.close()


def malformed_answer() -> bytes:
    """The whole answer as it goes over the wire."""
    current = new_id()
    token = request_id.set(current)
    both = Bilingual("\n".join(_MALFORMED), _MALFORMED.en)
    answer = problem(status=400, title=_TITLE, code="malformed_request", detail=both, language="zh")
    request_id.reset(token)
    status = HTTPStatus(answer.status_code)
    headers = [*answer.raw_headers, (b"x-request-id", current.encode()), (b"connection", b"close")]
    lines = [f"HTTP/1.1 {status.value} {status.phrase}".encode(), *(b": ".join(header) for header in headers)]
    return b"\r\n".join([*lines, b"", bytes(answer.body)])
