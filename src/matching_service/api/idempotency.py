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
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from matching_service.api.deps import DatabaseDep, PrincipalDep, WriteSession
from matching_service.foundation.clock import now
from matching_service.foundation.errors import Conflict, InvalidInput, Text
from matching_service.store.access import IdempotentAnswerRow
from matching_service.store.database import Database

_KEPT_HEADERS = ("content-type", "location", "etag", "content-language")


@dataclass(frozen=True, slots=True)
class _Pending:
    """A request whose answer is to be kept."""

    database: Database
    session: AsyncSession
    api_key_id: str
    key: str
    request_hash: str

    async def known_answer(self) -> IdempotentAnswerRow | None:
        """What was answered before; raises InvalidInput when that was another request."""
        statement = select(IdempotentAnswerRow).where(
            IdempotentAnswerRow.api_key_id == self.api_key_id, IdempotentAnswerRow.idempotency_key == self.key
        )
        async with self.database.reading() as session:
            row = await session.scalar(statement)
        if row is not None and row.request_hash != self.request_hash:
            raise InvalidInput("idempotency_key_reused", _REUSED)
        return row

    async def keep(self, response: Response) -> None:
        """Write the answer, in the transaction of the work."""
        self.session.add(
            IdempotentAnswerRow(
                api_key_id=self.api_key_id,
                idempotency_key=self.key,
                request_hash=self.request_hash,
                status=response.status_code,
                headers={name: response.headers[name] for name in _KEPT_HEADERS if name in response.headers},
                body=bytes(response.body),
                created_at=now(),
            )
        )
        await self.session.flush()


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
    pending = _Pending(database, session, principal.id, idempotency_key, digest.hexdigest())
    if (row := await pending.known_answer()) is not None:
        raise AnswerKnown(row)
    request.state.idempotent = pending


Idempotent = Depends(_idempotent)


class RememberingRoute(APIRoute):
    """Stores the finished answer before the write session commits, which it does after this handler.

    Of the same request twice at once, the second meets what the first has just written, and gives its answer.
    """

    def get_route_handler(self) -> Callable[[Request], Awaitable[Response]]:  # type: ignore[override]
        handle = super().get_route_handler()

        async def remember(request: Request) -> Response:
            try:
                response = await handle(request)
                if (pending := _pending(request)) is not None:
                    await pending.keep(response)
            except (Conflict, IntegrityError) as error:
                if (pending := _pending(request)) is None or (row := await pending.known_answer()) is None:
                    raise
                raise AnswerKnown(row) from error
            return response

        return remember


def _pending(request: Request) -> _Pending | None:
    pending: _Pending | None = getattr(request.state, "idempotent", None)
    return pending


async def answer_again(_request: Request, known: Any) -> Response:
    """Exception handler for AnswerKnown."""
    row: IdempotentAnswerRow = known.row
    return Response(row.body, status_code=row.status, headers=dict(row.headers) | {"Idempotent-Replayed": "true"})


_REUSED = Text(
    "该 Idempotency-Key 已用于另一个请求；新的请求请换一个新的键。",
    "This Idempotency-Key was used for another request; take a new key for a new request.",
)
