"""``Idempotency-Key``: the same key and body give the same answer again, and the work is done once.

The answer is stored in the transaction of the work itself, so neither can exist without the other.
"""

import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Header, Request, Response
from fastapi.routing import APIRoute
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from matching_service.api.deps import DatabaseDep, PrincipalDep, WriteSession
from matching_service.foundation.clock import now
from matching_service.foundation.errors import InvalidInput, Text
from matching_service.store.access import IdempotentAnswerRow

_KEPT_HEADERS = ("content-type", "location", "etag", "content-language")


@dataclass(frozen=True, slots=True)
class _Pending:
    session: AsyncSession
    api_key_id: str
    key: str
    request_hash: str


class AnswerKnown(Exception):
    """The request was answered before; carries the stored answer past the endpoint."""

    def __init__(self, row: IdempotentAnswerRow) -> None:
        self.row = row


async def _idempotent(
    request: Request,
    database: DatabaseDep,
    principal: PrincipalDep,
    session: WriteSession,
    idempotency_key: Annotated[
        str | None, Header(min_length=1, max_length=200, description="Makes a repeated POST safe.")
    ] = None,
) -> None:
    if idempotency_key is None:
        return
    digest = hashlib.sha256(f"{request.method} {request.url.path}?{request.url.query}\n".encode())
    digest.update(await request.body())
    async with database.reading() as reading:
        statement = select(IdempotentAnswerRow).where(
            IdempotentAnswerRow.api_key_id == principal.id, IdempotentAnswerRow.idempotency_key == idempotency_key
        )
        row = await reading.scalar(statement)
    if row is None:
        request.state.idempotent = _Pending(session, principal.id, idempotency_key, digest.hexdigest())
    elif row.request_hash == digest.hexdigest():
        raise AnswerKnown(row)
    else:
        raise InvalidInput("idempotency_key_reused", _REUSED)


Idempotent = Depends(_idempotent)


class RememberingRoute(APIRoute):
    """Stores the finished answer before the write session commits, which it does after this handler."""

    def get_route_handler(self) -> Callable[[Request], Awaitable[Response]]:  # type: ignore[override]
        handle = super().get_route_handler()

        async def remember(request: Request) -> Response:
            response = await handle(request)
            pending: _Pending | None = getattr(request.state, "idempotent", None)
            if pending is not None:
                pending.session.add(
                    IdempotentAnswerRow(
                        api_key_id=pending.api_key_id,
                        idempotency_key=pending.key,
                        request_hash=pending.request_hash,
                        status=response.status_code,
                        headers={name: response.headers[name] for name in _KEPT_HEADERS if name in response.headers},
                        body=bytes(response.body),
                        created_at=now(),
                    )
                )
            return response

        return remember


async def answer_again(_request: Request, known: Any) -> Response:
    """Exception handler for AnswerKnown."""
    row: IdempotentAnswerRow = known.row
    return Response(row.body, status_code=row.status, headers=dict(row.headers) | {"Idempotent-Replayed": "true"})


_REUSED = Text(
    "该 Idempotency-Key 已用于另一个请求；新的请求请换一个新的键。",
    "This Idempotency-Key was used for another request; take a new key for a new request.",
)
