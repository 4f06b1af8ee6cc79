"""``Idempotency-Key``: equal requests have one answer, and the work is done once.

The row of the key is the first that the transaction of the work writes, and the finished answer is written into it
before the commit. An equal request that comes meanwhile waits at the unique index. When the first has committed, the
second gives the stored answer. When the first has failed, which leaves no row, the second does the work itself.

Routes that rank begin this transaction only when they have something to store, which may be the answer alone. So a
request that waits for its turn holds neither SQLite's one write lock nor a connection. Of equal requests the first
stored answer is the answer to all.
"""

import hashlib
import re
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Annotated, Any, NoReturn

import orjson
from anyio import to_thread
from fastapi import Depends, Header, Request, Response, params
from fastapi.routing import APIRoute
from sqlalchemy import Connection, Row, Select, delete, event, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession

from matching_service.api.deps import DatabaseDep, PrincipalDep, WriteSession
from matching_service.api.fields import SHOWN_ONCE
from matching_service.api.problems import problem_responses
from matching_service.foundation.clock import new_id, now
from matching_service.foundation.errors import Gone, InvalidInput, Text
from matching_service.store.access import AnsweredProfileRow, IdempotentAnswerRow
from matching_service.store.lookup import id_batches, in_parts, is_id
from matching_service.store.outbox import OutboxRow
from matching_service.store.profiles import ProfileRow

_KEPT_HEADERS = ("content-type", "location", "etag", "content-language")
_QUOTED_ID = re.compile(rb'"([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})"')
_DESCRIPTION = (
    "Makes a repeated POST safe: the same key and body give the first answer again, with `Idempotent-Replayed: true`, "
    "for 72 hours (`MATCHING_IDEMPOTENCY_HOURS`). Equal requests at the same moment wait for that answer. An error is "
    "not kept: the same key may try again. The key with another body is 422 `idempotency_key_reused`. Deleting a "
    "profile erases the answers that told of it: their keys give 410 `answer_erased`, and nothing is done again."
)


class AnswerKnown(Exception):
    """The request was answered before; carries the stored answer past the endpoint."""

    def __init__(self, stored: Row[Any]) -> None:
        self.stored = stored


@dataclass(frozen=True, slots=True)
class _KeyedRequest:
    """A request with a key. ``session`` is that of its work; answers made before ``oldest`` have expired."""

    session: AsyncSession
    principal_id: str
    key: str
    request_hash: str
    oldest: datetime
    row_id: str = field(default_factory=new_id)

    def stored(self) -> Select[Any]:
        """The query for the answer that was given before."""
        row = IdempotentAnswerRow
        return select(row.request_hash, row.status, row.headers, row.body).where(
            row.principal_id == self.principal_id, row.idempotency_key == self.key, row.created_at > self.oldest
        )

    def answer_with(self, stored: Row[Any]) -> NoReturn:
        """Raise what the request is answered with: what is stored, or why that is not given."""
        if stored.status is None:
            raise Gone("answer_erased", _ERASED)
        if stored.request_hash != self.request_hash:
            raise InvalidInput("idempotency_key_reused", _REUSED)
        raise AnswerKnown(stored)

    def claim(self, _session: object, _transaction: object, connection: Connection) -> None:
        """Insert the row of the key. Listens to the beginning of the session's transaction.

        The insertion waits for an equal request that has inserted the row and has not ended.
        """
        row = IdempotentAnswerRow
        insert_new = (sqlite if connection.dialect.name == "sqlite" else postgresql).insert(row)
        insert_new = insert_new.values(
            id=self.row_id,
            principal_id=self.principal_id,
            idempotency_key=self.key,
            request_hash=self.request_hash,
            created_at=now(),
        )
        same_key = (row.principal_id == self.principal_id, row.idempotency_key == self.key)
        connection.execute(delete(row).where(*same_key, row.created_at <= self.oldest))
        while connection.scalar(insert_new.on_conflict_do_nothing().returning(row.id)) is None:
            # The other row may be pruned between both statements; then the next insertion succeeds.
            if (stored := connection.execute(self.stored()).one_or_none()) is not None:
                self.answer_with(stored)

    async def keep(self, request: Request, response: Response, *, shown_once: Collection[str]) -> None:
        """Write the answer into the row of the key, and which profiles it tells of.

        An answer that tells of a profile which was deleted meanwhile is not kept.
        """
        body = bytes(response.body)
        told_of = await to_thread.run_sync(_ids_in, body) | set(filter(is_id, request.path_params.values()))
        profile_ids = await self._lock_profiles(told_of)
        if await self._any_deleted(told_of.difference(profile_ids)):
            return
        if shown_once:
            body = orjson.dumps(orjson.loads(body) | dict.fromkeys(shown_once))
        headers = {name: response.headers[name] for name in _KEPT_HEADERS if name in response.headers}
        answer = update(IdempotentAnswerRow).where(IdempotentAnswerRow.id == self.row_id)
        await self.session.execute(answer.values(status=response.status_code, headers=headers, body=body))
        for part in in_parts(profile_ids):
            links = [{"answer_id": self.row_id, "profile_id": profile_id} for profile_id in part]
            await self.session.execute(insert(AnsweredProfileRow), links)

    async def _lock_profiles(self, ids: Collection[str]) -> Sequence[str]:
        """Those of the ids that are profiles. None of them can be deleted before the answer is committed."""
        found: list[str] = []
        for batch in id_batches(ids):
            present = select(ProfileRow.id).where(ProfileRow.id.in_(batch)).order_by(ProfileRow.id)
            found += await self.session.scalars(present.with_for_update(read=True, key_share=True))
        return found

    async def _any_deleted(self, ids: Collection[str]) -> bool:
        for batch in id_batches(ids):
            deleted = select(OutboxRow.seq).where(
                OutboxRow.entity == "profile", OutboxRow.entity_id.in_(batch), OutboxRow.event == "profile.deleted"
            )
            if await self.session.scalar(deleted.limit(1)) is not None:
                return True
        return False


async def _idempotent(
    request: Request,
    database: DatabaseDep,
    principal: PrincipalDep,
    session: WriteSession,
    idempotency_key: Annotated[str | None, Header(min_length=1, max_length=200, description=_DESCRIPTION)] = None,
) -> None:
    if idempotency_key is None:
        return
    digest = hashlib.sha256(f"{request.method} {request.url.path}?{request.url.query}\n".encode())
    digest.update(await request.body())
    kept = timedelta(hours=request.app.state.settings.idempotency_hours)
    keyed = _KeyedRequest(session, principal.id, idempotency_key, digest.hexdigest(), now() - kept)
    async with database.reading() as reading:
        stored = (await reading.execute(keyed.stored())).one_or_none()
    if stored is not None:
        keyed.answer_with(stored)
    event.listen(session.sync_session, "after_begin", keyed.claim, once=True)
    request.state.keyed = keyed


Idempotent = Depends(_idempotent)


class RememberingRoute(APIRoute):
    """Stores the finished answer to a keyed request before the write session commits, which it does after this handler.

    Fields of the answer that are shown once are stored as null.
    """

    def __init__(
        self,
        path: str,
        endpoint: Callable[..., Any],
        *,
        dependencies: Sequence[params.Depends] | None = None,
        responses: dict[int | str, dict[str, Any]] | None = None,
        **more: Any,
    ) -> None:
        if Idempotent in (dependencies or ()):
            responses = problem_responses(410) | (responses or {})
        super().__init__(path, endpoint, dependencies=dependencies, responses=responses, **more)

    def get_route_handler(self) -> Callable[[Request], Awaitable[Response]]:  # type: ignore[override]
        handle = super().get_route_handler()
        fields = getattr(self.response_model, "model_fields", {})
        shown_once = [name for name, info in fields.items() if SHOWN_ONCE in info.metadata]

        async def remember(request: Request) -> Response:
            response = await handle(request)
            keyed: _KeyedRequest | None = getattr(request.state, "keyed", None)
            if keyed is not None:
                await keyed.keep(request, response, shown_once=shown_once)
            return response

        return remember


async def answer_again(_request: Request, known: Any) -> Response:
    """Exception handler for AnswerKnown."""
    stored: Row[Any] = known.stored
    headers = dict(stored.headers) | {"Idempotent-Replayed": "true"}
    return Response(stored.body, status_code=stored.status, headers=headers)


async def erase_answers(session: AsyncSession, profile_id: str) -> None:
    """Erase the stored answers that tell of a profile, after it was deleted in this transaction.

    Their rows stay until they expire: to do such a request again would store the person again.
    """
    links = AnsweredProfileRow
    answers = select(links.answer_id).where(links.profile_id == profile_id)
    nothing = {"status": None, "headers": None, "body": None, "request_hash": ""}
    erased = update(IdempotentAnswerRow).where(IdempotentAnswerRow.id.in_(answers)).values(nothing)
    await session.execute(erased, execution_options={"synchronize_session": False})
    await session.execute(delete(links).where(links.profile_id == profile_id))


def _ids_in(body: bytes) -> set[str]:
    return {found.decode() for found in _QUOTED_ID.findall(body)}


_REUSED = Text(
    "该 Idempotency-Key 已用于另一个请求；新的请求请换一个新的键。",
    "This Idempotency-Key was used for another request; take a new key for a new request.",
)
_ERASED = Text(
    "该请求已处理过，但其结果已被清除（所涉及的人员已删除）；不会重复处理。新的请求请换一个新的键。",
    "The request was answered before, and the answer was erased since, with a person of whom it told. It is not done "
    "again; take a new key for a new request.",
)
