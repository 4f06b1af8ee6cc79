"""Bodies of requests: bounded, parsed beside the event loop, and without what no honest program sends.

The middleware reads and parses a body before the route sees it, because FastAPI parses in the event loop and keeps the
last of two equal keys.
"""

import asyncio
import json
from collections.abc import Callable, Coroutine
from typing import Any

from anyio import to_thread
from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.datastructures import Headers
from starlette.types import Receive, Scope

from matching_service.foundation.errors import Bilingual, InvalidInput, PayloadTooLarge, RequestTooSlow

MAX_BODY_BYTES = 8 << 20
"""Of bulks and of profiles, which may have hundreds of works."""
_MAX_RECORD_BYTES = 1 << 20
_MAX_KEYS = 1_000
_MAX_BRACKETS_PER_BYTE = 0.05
_FEW_BRACKETS = 10_000
_BODY_S = 60.0
_INLINE_BYTES = 16 << 10
"""A shorter body is parsed at once, which takes less time than to hand it to a thread."""


def body_limit(path: str) -> int:
    """The most bytes that a body for this path may have."""
    is_large = path.endswith("/bulk") or path.startswith("/v1/profiles")
    return MAX_BODY_BYTES if is_large else _MAX_RECORD_BYTES


async def parsed_json(body: bytes) -> Any:
    """Parse JSON. Raises ValueError for what is none, InvalidInput for equal keys, too many keys, too much nesting."""
    if len(body) <= _INLINE_BYTES:
        return _parse(body)
    return await to_thread.run_sync(_parse, body)


def _parse(body: bytes) -> Any:
    if body.count(b"[") + body.count(b"{") > max(_FEW_BRACKETS, _MAX_BRACKETS_PER_BYTE * len(body)):
        raise InvalidInput.at("", "too_nested", _TOO_NESTED)
    try:
        return json.loads(body, object_pairs_hook=_object)
    except RecursionError as error:
        raise InvalidInput.at("", "too_nested", _TOO_NESTED) from error


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(pairs) > _MAX_KEYS:
        raise InvalidInput.at("", "too_many_keys", _TOO_MANY_KEYS)
    values = dict(pairs)
    if len(values) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise InvalidInput.at("", "key_twice", _key_twice(twice[:100]))
    return values


class _ParsedRequest(Request):
    async def json(self) -> Any:
        """The body as the middleware has parsed it; what it could not parse raises again, and FastAPI answers 400."""
        state = self.scope.get("state", {})
        return state["json"] if "json" in state else await super().json()


class ParsedRoute(APIRoute):
    """A route that takes the body as the middleware has parsed it."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def with_parsed(request: Request) -> Response:
            response: Response = await handle(_ParsedRequest(request.scope, request.receive))
            return response

        return with_parsed


async def read_body(scope: Scope, headers: Headers, receive: Receive) -> bytes:
    """Return the whole body. Raises PayloadTooLarge, and reads nothing if the declared length is over the limit.

    Raises RequestTooSlow if the body does not arrive within ``_BODY_S``.
    """
    most = body_limit(scope["path"])
    if declared_length(headers) > most:
        raise _too_large(most)
    body = bytearray()
    try:
        async with asyncio.timeout(_BODY_S):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    return bytes(body)
                body += message.get("body", b"")
                if len(body) > most:
                    raise _too_large(most)
                if not message.get("more_body", False):
                    return bytes(body)
    except TimeoutError as error:
        raise RequestTooSlow("body_too_slow", _TOO_SLOW) from error


def declared_length(headers: Headers) -> int:
    """The length that the client declares, 0 if none."""
    declared = headers.get("content-length", "0")
    return int(declared) if declared.isdigit() else 0


def _too_large(most: int) -> PayloadTooLarge:
    n = most >> 20
    message = Bilingual(f"请求体超过 {n} MB；请分批发送。", f"The body is larger than {n} MB; send it in parts.")
    return PayloadTooLarge("body_too_large", message)


def _key_twice(name: str) -> Bilingual:
    return Bilingual(f"字段 {name} 出现两次，请只保留一个。", f"The key {name} stands twice in an object.")


_TOO_SLOW = Bilingual(f"请求体未在 {_BODY_S:g} 秒内到齐。", f"The body did not arrive within {_BODY_S:g} s.")
_TOO_MANY_KEYS = Bilingual(f"一个对象的字段超过 {_MAX_KEYS} 个。", f"An object has more than {_MAX_KEYS} keys.")
_TOO_NESTED = Bilingual("数据嵌套过深或过碎，不是本接口的数据。", "Nested too deeply for any body of this API.")
