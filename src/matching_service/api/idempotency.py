"""``Idempotency-Key``: equal requests get the same answer, and the work is done once.

The row of the key is the first row that the transaction of a request writes. The finished answer is stored in it before
the commit. When two equal requests race, the second waits at the unique index. If the first commits, the second returns
the stored answer. If the first fails, which leaves no row, the second does the work itself.

Routes that rank begin their transaction only when they have something to store, which may be the answer alone. So a
request that waits for its turn holds neither a connection nor SQLite's write lock. If equal requests rank at the same
time, all of them return the answer that was stored first.
"""

import hashlib
import re
from collections.abc import Callable, Collection, Coroutine, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Annotated, Any, NoReturn

import orjson
from anyio import to_thread
from fastapi import Depends, Header, Request, Response, params
from sqlalchemy import Connection, Row, Select, delete, event, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession

from matching_service.api.bodies import ParsedRoute
from matching_service.api.deps import DatabaseDep, PrincipalDep, WriteSession
from matching_service.api.fields import SHOWN_ONCE
from matching_service.api.problems import problem_responses
from matching_service.api.services import services_of
from matching_service.foundation.clock import is_id, new_id, now
from matching_service.foundation.errors import Bilingual, Gone, InvalidInput
from matching_service.foundation.settings import Settings
from matching_service.store.access import AnsweredProfileRow, IdempotentAnswerRow
from matching_service.store.lookup import id_batches, in_parts
from matching_service.store.outbox import OutboxRow
from matching_service.store.profiles import ProfileRow

_KEPT_HEADERS = ("content-type", "location", "etag", "content-language")
_QUOTED_ID = re.compile(rb'"([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})"')
_DESCRIPTION = (
    "Makes it safe to repeat a POST: for 72 hours (`MATCHING_IDEMPOTENCY_HOURS`) the same key and body return the "
    "first answer again, with `Idempotent-Replayed: true`. Equal requests at the same time wait for that answer. "
    "Errors are not stored, so the same key may be tried again. The same key with another body gives 422 "
    "`idempotency_key_reused`. Deleting a profile erases the stored answers that contain it: their keys give 410 "
    "`answer_erased`, and the work is not repeated."
)


class AnswerKnown(Exception):
    """Raised if the request was answered before. Carries the stored answer past the endpoint."""

    def __init__(self, stored: Row[Any]) -> None:
        self.stored = stored


@dataclass(frozen=True, slots=True)
class _KeyedRequest:
    """A request with a key.

    session : the session of the endpoint.
    oldest : answers made before this time have expired.
    """

    session: AsyncSession
    principal_id: str
    key: str
    request_hash: str
    oldest: datetime
    row_id: str = field(default_factory=new_id)

    def stored(self) -> Select[Any]:
        """Return the query for the stored answer."""
        row = IdempotentAnswerRow
        return select(row.request_hash, row.status, row.headers, row.body).where(
            row.principal_id == self.principal_id, row.idempotency_key == self.key, row.created_at > self.oldest
        )

    def answer_with(self, stored: Row[Any]) -> NoReturn:
        """Raise AnswerKnown, or Gone if the answer was erased, or InvalidInput if the request differs."""
        if stored.status is None:
            raise Gone("answer_erased", _ERASED)
        if stored.request_hash != self.request_hash:
            raise InvalidInput("idempotency_key_reused", _REUSED)
        raise AnswerKnown(stored)

    def claim(self, _session: object, _transaction: object, connection: Connection) -> None:
        """Insert the row of the key. Called when the transaction of the session begins.

        The insertion waits for the transaction of an equal request that has already inserted the row.
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
            # If the other row is pruned between the two statements, the next insertion succeeds.
            if (stored := connection.execute(self.stored()).one_or_none()) is not None:
                self.answer_with(stored)

    async def keep(self, request: Request, response: Response, *, shown_once: Collection[str]) -> None:
        """Store the answer in the row of the key, with links to the profiles that it contains.

        An answer with a profile that was deleted meanwhile is not stored.
        """
        body = bytes(response.body)
        ids = await to_thread.run_sync(_ids_in, body) | set(filter(is_id, request.path_params.values()))
        profile_ids = await self._lock_profiles(ids)
        if await self._any_deleted(ids.difference(profile_ids)):
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
        """Return the ids that belong to profiles, and lock them, so that none is deleted before the commit."""
        profile_ids: list[str] = []
        for batch in id_batches(ids):
            existing = select(ProfileRow.id).where(ProfileRow.id.in_(batch)).order_by(ProfileRow.id)
            profile_ids += await self.session.scalars(existing.with_for_update(read=True, key_share=True))
        return profile_ids

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
    kept = timedelta(hours=services_of(request).get(Settings).idempotency_hours)
    keyed = _KeyedRequest(session, principal.id, idempotency_key, digest.hexdigest(), now() - kept)
    async with database.reading() as reading:
        stored = (await reading.execute(keyed.stored())).one_or_none()
    if stored is not None:
        keyed.answer_with(stored)
    event.listen(session.sync_session, "after_begin", keyed.claim, once=True)
    request.state.keyed = keyed


Idempotent = Depends(_idempotent)


class RememberingRoute(ParsedRoute):
    """Stores the finished answer of a keyed request. The write session commits after this handler.

    Fields marked ``SHOWN_ONCE`` are stored as null.
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

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
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
    """Return the stored answer. Exception handler for AnswerKnown."""
    stored: Row[Any] = known.stored
    headers = dict(stored.headers) | {"Idempotent-Replayed": "true"}
    return Response(stored.body, status_code=stored.status, headers=headers)


async def erase_answers(session: AsyncSession, profile_ids: Sequence[str]) -> None:
    """Erase the stored answers that contain a profile, after this transaction has deleted, hidden or withdrawn it.

    Their rows stay until they expire, because repeating such a request would store the person again.
    """
    links = AnsweredProfileRow
    answers = select(links.answer_id).where(links.profile_id.in_(profile_ids))
    empty = {"status": None, "headers": None, "body": None, "request_hash": ""}
    erase = update(IdempotentAnswerRow).where(IdempotentAnswerRow.id.in_(answers)).values(empty)
    await session.execute(erase, execution_options={"synchronize_session": False})
    await session.execute(delete(links).where(links.profile_id.in_(profile_ids)))


def _ids_in(body: bytes) -> set[str]:
    return {id_.decode() for id_ in _QUOTED_ID.findall(body)}


_REUSED = Bilingual(
    "该 Idempotency-Key 已用于另一个请求；新的请求请换一个新的键。",
    "This Idempotency-Key was used for another request; take a new key for a new request.",
)
_ERASED = Bilingual(
    "该请求已处理过，但其结果已随所涉及人员的删除而清除；不会重复处理。新的请求请换一个新的键。",
    "The request was processed before, but its answer was erased together with a person whom it contained. It is not "
    "processed again; take a new key for a new request.",
)
