"""The pull feed: what changed after a cursor, for systems that cannot receive webhooks.

A record appears once, at its newest event, in the order of these events. A reader without a cursor so reads every
record there is; one that comes back after a year reads each record that changed once; and one that stops half-way
misses nothing, because a record that changes meanwhile moves ahead of it.
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
from matching_service.foundation.errors import Conflict, FieldError, InvalidInput, Text
from matching_service.store.outbox import OutboxRow

_CURSOR = re.compile(r"f1:(\d{1,18}):(\d{1,18}):([a-z]+(?:,[a-z]+)*)")
_EPOCH = datetime.fromtimestamp(0, UTC)


@dataclass(frozen=True, slots=True)
class Position:
    """How far a reader is: the number of the last event, and when it happened, in microseconds since 1970.

    The moment tells whether the event is the one that was read: a database that was restored from a backup gives the
    same numbers to other events.
    """

    seq: int
    at_us: int
    entities: tuple[FeedEntity, ...]

    def encode(self) -> str:
        text = f"f1:{self.seq}:{self.at_us}:{','.join(self.entities)}"
        return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def decode_position(cursor: str) -> Position:
    """Raises InvalidInput for anything that the feed did not give."""
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        text = base64.b64decode(padded.encode("ascii"), altchars=b"-_", validate=True).decode("ascii")
    except (binascii.Error, ValueError):
        text = ""
    found = _CURSOR.fullmatch(text)
    entities = tuple(found.group(3).split(",")) if found else ()
    if found is None or not set(entities) <= FEED_ENTITIES.keys():
        raise _unusable("invalid_cursor", _INVALID)
    return Position(int(found.group(1)), int(found.group(2)), entities)


async def read_feed(
    session: AsyncSession,
    entities: Sequence[FeedEntity],
    *,
    after: Position | None,
    limit: int,
    audience: Audience,
    mapping: Mapped | None = None,
) -> FeedAnswer:
    """One page; ``after`` is where the page before ended, None to begin.

    Raises Conflict when the cursor's event is not in this database, which was restored since.
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
        OutboxRow.seq <= newest.seq,  # what is committed meanwhile belongs to the next page
        OutboxRow.entity.in_([name for entity in position.entities for name in FEED_ENTITIES[entity]]),
        ~exists().where(
            newer.entity == OutboxRow.entity, newer.entity_id == OutboxRow.entity_id, newer.seq > OutboxRow.seq
        ),
    )
    events = (await session.scalars(statement.order_by(OutboxRow.seq).limit(limit))).all()
    has_more = len(events) == limit
    reached = events[-1] if has_more else newest
    items = [item for item in await represent(session, events, audience) if item is not None]
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


def _field(code: str, message: Text) -> FieldError:
    return FieldError(code, message, "cursor")


def _unusable(code: str, message: Text) -> InvalidInput:
    return InvalidInput(code, message, errors=[_field(code, message)])


_INVALID = Text("游标无效，请不带 cursor 从头读取。", "The cursor is not valid; start over without one.")
_OTHER = Text(
    "游标所指的事件不在本数据库中（可能已由备份恢复）；请不带 cursor 从头读取。",
    "The cursor's event is not in this database, which was perhaps restored from a backup; start over without a "
    "cursor.",
)
