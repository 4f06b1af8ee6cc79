"""Middleware for every request: a request id, a limit on the body, a log line, metrics."""

import logging
import re
from collections.abc import Mapping
from time import perf_counter

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from matching_service.api.problems import error_problem, internal_problem, language_of
from matching_service.foundation.clock import new_id
from matching_service.foundation.errors import Bilingual, PayloadTooLarge
from matching_service.foundation.logs import request_id
from matching_service.foundation.metrics import REQUEST_SECONDS
from matching_service.foundation.settings import MAX_BODY_BYTES
from matching_service.store.database import unreachable

logger = logging.getLogger(__name__)
_SAFE_ID = re.compile(r"[A-Za-z0-9._-]{1,100}")
_TOO_LARGE = Bilingual(
    f"请求体超过 {MAX_BODY_BYTES // 1024 // 1024} MB；请分批发送。",
    f"The body is larger than {MAX_BODY_BYTES // 1024 // 1024} MB; send it in parts.",
)


class RequestMiddleware:
    """The outermost middleware, so that the answer to an internal error also has a request id and is counted."""

    def __init__(self, app: ASGIApp, *, streamed: Mapping[str, int]) -> None:
        """``streamed``: paths whose POST reads its body itself, as it comes, with the largest length to be declared."""
        self._app = app
        self._streamed = streamed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        given = headers.get("x-request-id", "")
        method = scope["method"]
        is_head = method == "HEAD"
        if is_head:  # the answer of GET without its body; what has no GET refuses both
            scope = {**scope, "method": "GET"}
        current = given if _SAFE_ID.fullmatch(given) else new_id()
        token = request_id.set(current)
        started = perf_counter()
        status = 0

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                answer_headers = MutableHeaders(scope=message)
                answer_headers["X-Request-ID"] = current
                if (as_of := scope.get("state", {}).get("as_of")) is not None:
                    answer_headers["X-As-Of"] = str(as_of)  # what a later match may ask to include
            elif is_head:
                message = {**message, "body": b""}
            await send(message)

        language = language_of(headers.get("accept-language"))
        try:
            await self._pass_on(scope, headers, receive, send_with_id)
        except Exception as error:
            logger.exception("request_failed")
            if status:  # the response has already started, so it can only be aborted
                raise
            away = unreachable(error)
            answer = internal_problem(language) if away is None else error_problem(away, language)
            await answer(scope, receive, send_with_id)
        finally:
            route = getattr(scope.get("route"), "path", "unmatched")
            elapsed = perf_counter() - started
            REQUEST_SECONDS.labels(method, route, status).observe(elapsed)
            logger.info(
                "request_finished",
                extra={
                    "method": method,
                    "route": route,
                    "status": status,
                    "elapsed_ms": round(elapsed * 1e3, 1),
                },
            )
            request_id.reset(token)

    async def _pass_on(self, scope: Scope, headers: Headers, receive: Receive, send: Send) -> None:
        try:
            receive = await self._bounded(scope, headers, receive)
        except PayloadTooLarge as error:
            answer = error_problem(error, language_of(headers.get("accept-language")))
            await answer(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _bounded(self, scope: Scope, headers: Headers, receive: Receive) -> Receive:
        """Return a ``receive`` for the application. Raises PayloadTooLarge."""
        most = self._streamed.get(scope["path"]) if scope["method"] == "POST" else None
        if most is None:
            return _replay(await _read_body(headers, receive), receive)
        if _declared(headers) > most:
            raise file_too_large(most)
        return receive


def file_too_large(most: int) -> PayloadTooLarge:
    """Return the error for an upload. ``most``: in bytes."""
    n = most // 1_000_000
    message = Bilingual(
        f"文件超过 {n} MB；请分成几个文件，或去掉图片等与表格无关的内容。",
        f"The file is larger than {n} MB; split it, or remove pictures and other contents beside the table.",
    )
    return PayloadTooLarge("file_too_large", message)


def _declared(headers: Headers) -> int:
    declared = headers.get("content-length", "0")
    return int(declared) if declared.isdigit() else 0


async def _read_body(headers: Headers, receive: Receive) -> bytes:
    """Return the whole body. Raises PayloadTooLarge, and reads nothing if the declared length is over the limit."""
    if _declared(headers) > MAX_BODY_BYTES:
        raise PayloadTooLarge("body_too_large", _TOO_LARGE)
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return bytes(body)
        body += message.get("body", b"")
        if len(body) > MAX_BODY_BYTES:
            raise PayloadTooLarge("body_too_large", _TOO_LARGE)
        if not message.get("more_body", False):
            return bytes(body)


def _replay(body: bytes, receive: Receive) -> Receive:
    """Return a ``receive`` that gives the body already read, then the further messages of the server."""
    is_given = False

    async def replay() -> Message:
        nonlocal is_given
        if is_given:
            return await receive()
        is_given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay
