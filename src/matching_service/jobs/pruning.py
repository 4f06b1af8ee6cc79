"""Delete rows that are no longer needed: expired idempotent answers, and superseded events of the outbox.

Three readers need old events. The feed, and an index after a long pause, need the newest event of each record, which is
never deleted. Webhooks need the events that they have not sent. The causes of changes need all events since the
visible lists of open demands were made.
"""

import logging
from datetime import datetime, timedelta

from sqlalchemy import Select, delete, exists, func, or_, select
from sqlalchemy.orm import InstrumentedAttribute, aliased

from matching_service.demands.states import OPEN
from matching_service.shortlists.queries import IS_VISIBLE
from matching_service.store.access import IdempotentAnswerRow
from matching_service.store.database import Database
from matching_service.store.demands import DemandRow
from matching_service.store.lookup import in_parts
from matching_service.store.outbox import OutboxRow
from matching_service.store.shortlists import MatchListRow, MatchRunRow
from matching_service.store.webhooks import DeliveryRow, WebhookStateRow

logger = logging.getLogger(__name__)
KEPT = timedelta(days=30)
"""Events are kept as long as ended deliveries, so that people can look up recent history."""
_EVENTS_PER_TRANSACTION = 5_000
_ANSWERS_PER_TRANSACTION = 1_000


async def prune_answers(database: Database, *, before: datetime) -> int:
    """Delete the answers of requests with an Idempotency-Key made before that time. Returns their number."""
    n_deleted = 0
    expired = select(IdempotentAnswerRow.id).where(IdempotentAnswerRow.created_at < before)
    while True:
        async with database.transaction() as session:
            ids = (await session.scalars(expired.limit(_ANSWERS_PER_TRANSACTION))).all()
            await session.execute(delete(IdempotentAnswerRow).where(IdempotentAnswerRow.id.in_(ids)))
        n_deleted += len(ids)
        if len(ids) < _ANSWERS_PER_TRANSACTION:
            break
    logger.info("answers_pruned", extra={"n_answers": n_deleted})
    return n_deleted


async def prune_outbox(database: Database, *, before: datetime) -> int:
    """Delete the events before that time that are no longer needed. Returns their number.

    Selecting and deleting are separate transactions, which is safe: an event that is not needed never becomes needed
    again.
    """
    n_deleted = after = 0
    async with database.reading() as session:
        queued = await session.scalar(_queue_watermark())
        in_lists = await session.scalar(_list_watermark(MatchListRow.events_as_of))
        in_index = await session.scalar(_list_watermark(MatchListRow.index_as_of))
    bounds = [OutboxRow.seq <= seq for seq in (queued, in_lists) if seq is not None]
    if in_index is not None:
        bounds.append(or_(OutboxRow.entity != "profile", OutboxRow.seq <= in_index))
    while True:
        statement = _superseded(before).where(OutboxRow.seq > after, *bounds)
        async with database.reading() as session:
            seqs = (await session.scalars(statement.order_by(OutboxRow.seq).limit(_EVENTS_PER_TRANSACTION))).all()
        if not seqs:
            break
        async with database.transaction() as session:
            for part in in_parts(seqs):
                await session.execute(delete(OutboxRow).where(OutboxRow.seq.in_(part)))
        n_deleted, after = n_deleted + len(seqs), seqs[-1]
    logger.info("outbox_pruned", extra={"n_events": n_deleted})
    return n_deleted


def _superseded(before: datetime) -> Select[int]:
    """Select the events before a time that are not the newest of their record and that no delivery refers to."""
    newer = aliased(OutboxRow)
    return select(OutboxRow.seq).where(
        OutboxRow.at < before,
        exists().where(
            newer.entity == OutboxRow.entity, newer.entity_id == OutboxRow.entity_id, newer.seq > OutboxRow.seq
        ),
        OutboxRow.seq.not_in(select(DeliveryRow.seq)),
    )


def _queue_watermark() -> Select[int]:
    """Select the last event that all webhooks, active or not, have queued; NULL without webhooks."""
    return select(func.min(WebhookStateRow.queued_seq))


def _list_watermark(column: InstrumentedAttribute[int]) -> Select[int]:
    """Select the last event that all visible lists of open demands include by this column; NULL without lists."""
    newest = (
        select(func.max(MatchListRow.id))
        .join(MatchRunRow, MatchListRow.run_id == MatchRunRow.id)
        .join(DemandRow, MatchListRow.demand_id == DemandRow.id)
        .where(DemandRow.status.in_(OPEN), IS_VISIBLE)
        .group_by(MatchListRow.demand_id)
    )
    return select(func.min(column)).where(MatchListRow.id.in_(newest))
