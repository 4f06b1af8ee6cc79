"""The pull feed: all records that changed after a cursor, for systems that cannot receive webhooks.

Each record appears once, at its newest event, in the order of events. So a reader without a cursor reads all records,
and a reader that comes back after a year reads each changed record once. A reader that stops half-way misses nothing,
because a record that changes meanwhile moves to a later place.
"""

import base64
import binascii
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import exists, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from matching_service.disclosure.mapping import Mapped, translate
from matching_service.disclosure.representations import FEED_ENTITIES, represent
from matching_service.disclosure.schemas import Audience, FeedEntity
from matching_service.feeds.schemas import FeedAnswer
from matching_service.foundation.errors import Bilingual, Conflict, FieldError, InvalidInput
from matching_service.store.outbox import OutboxRow
from matching_service.store.scope import Scope

_CURSOR = re.compile(r"f1:(\d{1,18}):(\d{1,18}):([a-z]+(?:,[a-z]+)*)")
_EPOCH = datetime.fromtimestamp(0, UTC)


@dataclass(frozen=True, slots=True)
class Position:
    """The position of a reader, which the cursor encodes.

    seq : sequence number of the last event read.
    at_us : time of that event in microseconds since 1970. It detects a database restored from a backup, which gives
        the same numbers to other events.
    """

    seq: int
    at_us: int
    entities: tuple[FeedEntity, ...]

    def encode(self) -> str:
        text = f"f1:{self.seq}:{self.at_us}:{','.join(self.entities)}"
        return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def decode_position(cursor: str) -> Position:
    """Decode a cursor. Raises InvalidInput for text that is not a cursor of the feed."""
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        text = base64.b64decode(padded.encode("ascii"), altchars=b"-_", validate=True).decode("ascii")
    except (binascii.Error, ValueError):
        text = ""
    match = _CURSOR.fullmatch(text)
    entities = tuple(match.group(3).split(",")) if match else ()
    if match is None or not set(entities) <= FEED_ENTITIES.keys():
        raise InvalidInput("invalid_cursor", _INVALID, errors=[_field("invalid_cursor", _INVALID)])
    return Position(int(match.group(1)), int(match.group(2)), entities)


async def read_feed(
    session: AsyncSession,
    entities: Sequence[FeedEntity],
    *,
    after: Position | None,
    limit: int,
    audience: Audience,
    scope: Scope | None = None,
    mapping: Mapped | None = None,
) -> FeedAnswer:
    """Return one page.

    after : the position where the previous page ended; None to start from the beginning.
    Raises Conflict if the event of the cursor is not in this database, which was restored from a backup.
    """
    newest = (
        await session.execute(select(OutboxRow.seq, OutboxRow.at).order_by(OutboxRow.seq.desc()).limit(1))
    ).first()
    position = after or Position(0, 0, tuple(entities))
    await _check_position(session, position, last_seq=newest.seq if newest is not None else 0)
    if newest is None:
        return FeedAnswer(items=[], next_cursor=position.encode(), has_more=False)
    newer = aliased(OutboxRow)
    statement = select(OutboxRow).where(
        OutboxRow.seq > position.seq,
        OutboxRow.seq <= newest.seq,  # events committed meanwhile belong to the next page
        OutboxRow.entity.in_([name for entity in position.entities for name in FEED_ENTITIES[entity]]),
        ~exists().where(
            newer.entity == OutboxRow.entity, newer.entity_id == OutboxRow.entity_id, newer.seq > OutboxRow.seq
        ),
    )
    events = (await session.scalars(statement.order_by(OutboxRow.seq).limit(limit))).all()
    has_more = len(events) == limit
    reached = events[-1] if has_more else newest
    items = [item for item in await represent(session, events, audience, scope) if item is not None]
    if mapping is not None:
        items = [translated for item in items if (translated := translate(mapping, item)) is not None]
    cursor = Position(reached.seq, _microseconds(reached.at), position.entities).encode()
    return FeedAnswer(items=items, next_cursor=cursor, has_more=has_more)


async def _check_position(session: AsyncSession, position: Position, *, last_seq: int) -> None:
    at = await session.scalar(select(OutboxRow.at).where(OutboxRow.seq == position.seq))
    is_ahead = at is None and position.seq > last_seq
    is_other = at is not None and _microseconds(at) != position.at_us
    if is_ahead or is_other:
        raise Conflict("cursor_not_of_this_database", _OTHER, errors=[_field("cursor_not_of_this_database", _OTHER)])


def _microseconds(at: datetime) -> int:
    since = at - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def _field(code: str, message: Bilingual) -> FieldError:
    return FieldError(code, message, "cursor")


_INVALID = Bilingual("游标无效；请不带 cursor 从头读取。", "The cursor is not valid; start over without one.")
_OTHER = Bilingual(
    "游标所指的事件不在本数据库中（数据库可能由备份恢复）；请不带 cursor 从头读取。",
    "The event of the cursor is not in this database, which may have been restored from a backup; start over without "
    "a cursor.",
)
