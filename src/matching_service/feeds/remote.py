"""Import another service's feed over HTTP, page by page, from the stored cursor.

The records of a page and the cursor after it are stored in one transaction. So an interrupted import continues where
it stopped, and reading a page twice changes nothing.
"""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
from pydantic import BaseModel, Field, ValidationError
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from matching_service.access.policies import PrincipalKind
from matching_service.disclosure.mapping import Mapped
from matching_service.feeds.adoption import FeedReport, actor_of, adopt_items
from matching_service.feeds.schemas import MAX_FEED_ITEMS
from matching_service.foundation.clock import now
from matching_service.foundation.errors import Bilingual, Conflict, Unavailable
from matching_service.foundation.outgoing import new_client
from matching_service.store.access import PrincipalRow
from matching_service.store.database import Database
from matching_service.store.feeds import FeedRejectionRow, FeedRow

_TIMEOUT_S = 60.0
_MAX_PAGE_BYTES = 64 * 1024 * 1024
_ENTITIES = "demand,profile"
_STALE_CODES = frozenset({"cursor_not_of_this_database", "invalid_cursor", "cursor_of_other_entities"})


class _Page(BaseModel):
    items: list[Any]
    next_cursor: str = Field(max_length=500)
    has_more: bool


class _TooLarge(Exception):
    pass


async def import_feed(
    database: Database,
    name: str,
    url: str,
    *,
    key: str | None,
    mapping: Mapped | None = None,
    restart: bool = False,
    on_progress: Callable[[int], None] = lambda _n: None,
) -> FeedReport:
    """Store all records of the other service that changed since the last import under this name.

    Items that were rejected before are tried again first. ``restart`` reads the feed from its beginning.
    Raises Unavailable if the feed cannot be read, Conflict if another import of it is running. The pages stored before
    the error remain.
    """
    report = FeedReport()
    async with database.transaction() as session:
        feed = await _feed(session, name)
        feed.url = url
        if restart:
            feed.cursor = None
        cursor = feed.cursor
        rejected = select(FeedRejectionRow.id).where(FeedRejectionRow.feed_id == feed.id).order_by(FeedRejectionRow.id)
        rejected_ids = list(await session.scalars(rejected))
    for start in range(0, len(rejected_ids), MAX_FEED_ITEMS):
        async with database.transaction() as session:
            feed = await _feed(session, name)
            is_in_batch = FeedRejectionRow.id.in_(rejected_ids[start : start + MAX_FEED_ITEMS])
            batch = await session.scalars(select(FeedRejectionRow).where(is_in_batch).order_by(FeedRejectionRow.id))
            await adopt_items(session, feed, [row.item for row in batch], mapping=mapping, report=report)
    has_more = True
    async with _reader(url, key) as read:
        while has_more:
            page = await read(cursor)
            has_more = page.has_more
            if has_more and page.next_cursor == cursor:
                raise _unreadable("has_more 为 true，但游标没有前进", "has_more is true but the cursor does not move")
            async with database.transaction() as session:
                feed = await _feed(session, name)
                if feed.cursor != cursor:
                    raise Conflict("feed_import_running", _RUNNING)
                await adopt_items(session, feed, page.items, mapping=mapping, report=report)
                feed.cursor, feed.imported_at = page.next_cursor, now()
            cursor = page.next_cursor
            on_progress(len(page.items))
    return report


async def _feed(session: AsyncSession, name: str) -> FeedRow:
    """Return the row of the feed, created if missing, and locked, so that racing imports see each other's cursor."""
    row = await session.scalar(select(FeedRow).where(FeedRow.name == name).with_for_update())
    if row is None:
        row, actor = FeedRow(name=name, url=""), actor_of(name)
        session.add_all([row, PrincipalRow(id=actor.id, kind=PrincipalKind.FEED, name=actor.name)])
        await session.flush()
    return row


@asynccontextmanager
async def _reader(url: str, key: str | None) -> AsyncIterator[Callable[[str | None], Awaitable[_Page]]]:
    """Return a function that reads the page after a cursor. If a page is too large, it halves the page size."""
    headers = {"Accept": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
    try:
        address = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise _unreadable(f"网址无效 {error}", f"not a valid URL: {error}") from error
    async with new_client() as client:
        client.timeout = httpx.Timeout(_TIMEOUT_S)
        limit = MAX_FEED_ITEMS

        async def read(cursor: str | None) -> _Page:
            nonlocal limit
            while True:
                parameters = {"entity": _ENTITIES, "limit": str(limit)} | ({"cursor": cursor} if cursor else {})
                try:
                    return await _get_page(client, address.copy_merge_params(parameters), headers)
                except _TooLarge:
                    if limit == 1:
                        raise _unreadable("单条记录过大", "a single item is too large") from None
                    limit //= 2

        yield read


async def _get_page(client: httpx.AsyncClient, url: httpx.URL, headers: dict[str, str]) -> _Page:
    body = bytearray()
    try:
        async with client.stream("GET", url, headers=headers) as response:
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) > _MAX_PAGE_BYTES:
                    raise _TooLarge
    except (httpx.HTTPError, OSError, UnicodeError) as error:  # UnicodeError: host names that DNS cannot encode
        reason = f"{type(error).__name__} {error}".strip()
        raise _unreadable(reason, reason) from error
    if response.status_code != 200:
        raise _refused(response.status_code, bytes(body))
    try:
        return _Page.model_validate_json(bytes(body))
    except ValidationError as error:
        mistakes = "; ".join(f"/{'/'.join(map(str, detail['loc']))} {detail['msg']}" for detail in error.errors()[:3])
        raise _unreadable(
            f"回应不是本服务的数据流：{mistakes}", f"the response is not a feed of this service: {mistakes}"
        ) from error


def _refused(status: int, body: bytes) -> Unavailable:
    """Turn an error response into an error, with its own detail if it is a problem document."""
    try:
        problem = json.loads(body)
    except ValueError:
        problem = None
    code, detail = (problem.get("code"), problem.get("detail")) if isinstance(problem, dict) else (None, None)
    if code in _STALE_CODES:
        return Unavailable(
            "feed_cursor_stale",
            Bilingual(
                f"对方不认识上次的游标（{detail}）。请加 --restart 从头读取；已导入的记录不会重复。",
                f"The other service does not know the cursor ({detail}). Use --restart to read from the beginning; "
                "imported records are not duplicated.",
            ),
        )
    reason = f"HTTP {status} {str(detail or '').rstrip('。.')}".strip()
    return _unreadable(reason, reason)


def _unreadable(zh: str, en: str) -> Unavailable:
    return Unavailable(
        "feed_not_readable",
        Bilingual(
            f"无法读取对方数据流：{zh}。已保存的部分有效，下次从中断处继续。",
            f"The feed of the other service cannot be read: {en}. The stored part remains; the next import continues "
            "from there.",
        ),
    )


_RUNNING = Bilingual(
    "同一数据流的另一个导入正在进行；请等它结束。", "Another import of this feed is running; wait until it ends."
)
