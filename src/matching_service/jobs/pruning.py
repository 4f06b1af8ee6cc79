"""Deleting rows that nobody needs any more: expired answers to keyed requests, and superseded events of the outbox.

The feed, and an index that was long away, need the newest event of each record, which stays for ever; webhooks need
what they have not sent; and the causes of changes need every event since the lists that open demands have.
"""

import logging
from datetime import datetime, timedelta

from sqlalchemy import Select, delete, exists, func, select
from sqlalchemy.orm import aliased

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
"""As long as what became of deliveries, so that what happened lately can be looked up."""
_EVENTS_PER_TRANSACTION = 5_000
_ANSWERS_PER_TRANSACTION = 1_000


async def prune_answers(database: Database, *, before: datetime) -> int:
    """Delete the answers to keyed requests that were made before that moment; returns how many."""
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
    """Delete what happened before that moment and is needed no more; returns how many events.

    What is found may be deleted later: nothing that has happened since makes an old event needed again.
    """
    n_deleted = after = 0
    async with database.reading() as session:
        queued, listed = await session.scalar(_queued()), await session.scalar(_listed())
    known = [seq for seq in (queued, listed) if seq is not None]
    while True:
        statement = _superseded(before).where(OutboxRow.seq > after)
        if known:
            statement = statement.where(OutboxRow.seq <= min(known))
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
    """Events before a moment that are not the newest of their record, and that no delivery names."""
    newer = aliased(OutboxRow)
    return select(OutboxRow.seq).where(
        OutboxRow.at < before,
        exists().where(
            newer.entity == OutboxRow.entity, newer.entity_id == OutboxRow.entity_id, newer.seq > OutboxRow.seq
        ),
        OutboxRow.seq.not_in(select(DeliveryRow.seq)),
    )


def _queued() -> Select[int]:
    """The last event that every webhook, also one that is not active, has looked at; None without any."""
    return select(func.min(WebhookStateRow.queued_seq))


def _listed() -> Select[int]:
    """The last event that was known to the oldest list which an open demand still has; None without any."""
    newest = (
        select(func.max(MatchListRow.id))
        .join(MatchRunRow, MatchListRow.run_id == MatchRunRow.id)
        .join(DemandRow, MatchListRow.demand_id == DemandRow.id)
        .where(DemandRow.status.in_(OPEN), IS_VISIBLE)
        .group_by(MatchListRow.demand_id)
    )
    runs = select(MatchListRow.run_id).where(MatchListRow.id.in_(newest))
    return select(func.min(MatchRunRow.events_as_of)).where(MatchRunRow.id.in_(runs))
