"""Middleware for every request: a request id, a limit on the body, a log line, metrics."""

import logging
import re
from collections.abc import Mapping
from contextlib import suppress
from http import HTTPStatus
from time import perf_counter

from fastapi.routing import iter_route_contexts
from fastapi.security.utils import get_authorization_scheme_param
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from matching_service.access.policies import Principal
from matching_service.api.authentication import WrongKeys
from matching_service.api.bodies import declared_length, parsed_json, read_body
from matching_service.api.problems import error_problem, internal_problem, is_json, language_of
from matching_service.api.refusals import Refusals
from matching_service.api.services import Services
from matching_service.foundation.clock import new_id
from matching_service.foundation.errors import Bilingual, MatchingError, PayloadTooLarge
from matching_service.foundation.logs import client_address, request_id
from matching_service.foundation.metrics import REQUEST_SECONDS
from matching_service.store.database import Database, unreachable

logger = logging.getLogger(__name__)
_SAFE_ID = re.compile(r"[A-Za-z0-9._-]{1,100}")
_WITH_BODY = {"POST", "PUT", "PATCH", "DELETE"}
_PUBLIC = "/v1/board"
_PARAMETER = re.compile(r"\{\w+\}")
_PROTECTION = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
}


class RequestMiddleware:
    """The outermost middleware, so that the answer to an internal error also has a request id and is counted."""

    def __init__(self, app: ASGIApp, *, streamed: Mapping[str, int]) -> None:
        """``streamed``: paths whose POST reads its body itself, as it comes, with the largest length to be declared."""
        self._app = app
        self._streamed = streamed
        self._refusals = Refusals()
        self._routes: list[tuple[re.Pattern[str], str]] = []

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
        client = scope.get("client")
        address_token = client_address.set(client[0][:45] if client else None)
        started = perf_counter()
        status = 0

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                answer_headers = MutableHeaders(scope=message)
                answer_headers["X-Request-ID"] = current
                _protect(scope["path"], answer_headers)
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
            route = self._route_of(scope)
            elapsed = perf_counter() - started
            REQUEST_SECONDS.labels(method, route, status).observe(elapsed)
            logger.info("request_finished", extra=_told(scope, method, route, status, elapsed))
            if status == HTTPStatus.FORBIDDEN:
                await self._note_refusal(scope, method, route)
            client_address.reset(address_token)
            request_id.reset(token)

    def _route_of(self, scope: Scope) -> str:
        """The path of the route as the code has it, also where the request was answered before it reached the route."""
        if (path := getattr(scope.get("route"), "path", None)) is not None:
            return str(path)
        if not self._routes:
            paths = {
                str(route.path) for route in iter_route_contexts(scope["app"].routes) if hasattr(route, "dependant")
            }
            by_length = sorted(paths, key=lambda path: (path.count("{"), path))  # names before parameters
            self._routes = [(re.compile(_PARAMETER.sub("[^/]+", path)), path) for path in by_length]
        known = (path for pattern, path in self._routes if pattern.fullmatch(scope["path"]))
        return next(known, "unmatched")

    async def _note_refusal(self, scope: Scope, method: str, route: str) -> None:
        principal: Principal | None = scope.get("state", {}).get("principal")
        if principal is None:
            return
        services: Services = scope["app"].state.services
        try:
            await self._refusals.note(services.get(Database), principal, method, route)
        except Exception:  # the answer was sent; the work of others goes on
            logger.exception("refusal_not_noted")

    async def _pass_on(self, scope: Scope, headers: Headers, receive: Receive, send: Send) -> None:
        try:
            receive = await self._bounded(scope, headers, receive)
        except MatchingError as error:
            answer = error_problem(error, language_of(headers.get("accept-language")))
            await answer(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _bounded(self, scope: Scope, headers: Headers, receive: Receive) -> Receive:
        """Return a ``receive`` for the application, for which the key was checked and the body read and parsed.

        Nothing is read for a caller without a valid key. Raises MatchingError.
        """
        if scope["method"] not in _WITH_BODY or not scope["path"].startswith("/v1/"):
            return receive
        if not scope["path"].startswith(_PUBLIC):
            await self._authenticate(scope, headers)
        most = self._streamed.get(scope["path"]) if scope["method"] == "POST" else None
        if most is not None:
            if declared_length(headers) > most:
                raise file_too_large(most)
            return receive
        body = await read_body(scope, headers, receive)
        if is_json(headers):
            with suppress(ValueError):  # FastAPI meets the same error, and answers 400
                scope.setdefault("state", {})["json"] = await parsed_json(body)
        return _replay(body, receive)

    async def _authenticate(self, scope: Scope, headers: Headers) -> None:
        services: Services = scope["app"].state.services
        scheme, given = get_authorization_scheme_param(headers.get("authorization"))
        key = given if scheme.lower() == "bearer" else None
        wrong_keys, address = services.get(WrongKeys), client_address.get() or ""
        principal = await wrong_keys.authenticate(services.get(Database), address, key)
        scope.setdefault("state", {})["principal"] = principal


def _told(scope: Scope, method: str, route: str, status: int, elapsed_s: float) -> dict[str, object]:
    """What the log says of a request: who from where, never what."""
    principal: Principal | None = scope.get("state", {}).get("principal")
    return {
        "method": method,
        "route": route,
        "status": status,
        "elapsed_ms": round(elapsed_s * 1e3, 1),
        "principal": principal.id if principal is not None else None,
        "address": client_address.get(),
    }


def _protect(path: str, headers: MutableHeaders) -> None:
    """Set what browsers and caches must know. Pages of the documentation alone have scripts."""
    for name, value in _PROTECTION.items():
        headers.setdefault(name, value)
    if not headers.get("content-type", "").startswith("text/html"):
        headers.setdefault("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
    if path.startswith("/v1/") and not path.startswith(_PUBLIC):
        is_secret = path.endswith("/contact") or path.startswith("/v1/webhooks")
        headers.setdefault("Cache-Control", "no-store" if is_secret else "private, no-cache")


def file_too_large(most: int) -> PayloadTooLarge:
    """Return the error for an upload. ``most``: in bytes."""
    n = most // 1_000_000
    message = Bilingual(
        f"文件超过 {n} MB；请分成几个文件，或去掉图片等与表格无关的内容。",
        f"The file is larger than {n} MB; split it, or remove pictures and other contents beside the table.",
    )
    return PayloadTooLarge("file_too_large", message)


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
