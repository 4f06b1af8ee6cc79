"""The queue of a webhook in the database. Events become deliveries, which end as delivered, dead or skipped.

Deliveries with the same order key are sent strictly in order. All events of a demand, of its matches, and of records
that name the demand share one key. A failed delivery holds back only the later deliveries of its key, until a retry
succeeds. A dead letter holds them back until a person replays or skips it.
"""

import random
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import CursorResult, and_, delete, exists, func, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from matching_service.foundation.outgoing import Outcome
from matching_service.store.lookup import get_by_ids
from matching_service.store.outbox import OutboxRow
from matching_service.store.shortlists import MatchListRow, MatchRow
from matching_service.store.webhooks import DeliveryRow, WebhookRow, WebhookStateRow

LEASE = timedelta(seconds=60)
"""Longer than one attempt, which renews it. When a process is killed, another one takes over after this time."""
DELIVERIES_PER_QUERY = 50
_EVENTS_PER_TRANSACTION = 500
_FIRST_DELAY = timedelta(seconds=5)
_LONGEST_DELAY = timedelta(hours=1)
_KEPT = timedelta(days=30)
HOLDS_BACK = ("pending", "dead")
"""States of a delivery that hold back later deliveries of the same order key."""


async def webhooks_with_work(session: AsyncSession, at: datetime) -> list[str]:
    """Return the ids of active webhooks that have events to queue or due deliveries, except those at rest."""
    last_seq = select(func.coalesce(func.max(OutboxRow.seq), 0)).scalar_subquery()
    statement = (
        select(WebhookRow.id, WebhookStateRow.queued_seq < last_seq)
        .join(WebhookStateRow, WebhookStateRow.webhook_id == WebhookRow.id)
        .where(WebhookRow.is_active, or_(WebhookStateRow.rest_until.is_(None), WebhookStateRow.rest_until <= at))
    )
    awake = (await session.execute(statement.order_by(WebhookRow.id))).all()
    return [id_ for id_, has_events in awake if has_events or await due_deliveries(session, id_, at, limit=1)]


async def take_lease(session: AsyncSession, webhook_id: str, holder: str, at: datetime) -> bool:
    """Take or renew the lease on a webhook. Returns False if another holder has it."""
    is_free = or_(
        WebhookStateRow.lease_holder.is_(None), WebhookStateRow.lease_holder == holder, WebhookStateRow.lease_until < at
    )
    statement = update(WebhookStateRow).where(WebhookStateRow.webhook_id == webhook_id, is_free)
    taken: CursorResult[Any] = await session.execute(statement.values(lease_holder=holder, lease_until=at + LEASE))  # type: ignore[assignment]  # of an UPDATE
    return taken.rowcount == 1


async def release_lease(session: AsyncSession, webhook_id: str, holder: str) -> None:
    statement = update(WebhookStateRow).where(
        WebhookStateRow.webhook_id == webhook_id, WebhookStateRow.lease_holder == holder
    )
    await session.execute(statement.values(lease_holder=None, lease_until=None))


async def queue_events(session: AsyncSession, webhook: WebhookRow, at: datetime) -> bool:
    """Queue a delivery for each of the next events that the webhook subscribes to. Returns whether there were any."""
    state = await session.get_one(WebhookStateRow, webhook.id, with_for_update=True)
    statement = select(OutboxRow).where(OutboxRow.seq > state.queued_seq).order_by(OutboxRow.seq)
    events = (await session.scalars(statement.limit(_EVENTS_PER_TRANSACTION))).all()
    if not events:
        return False
    subscribed = [event for event in events if _is_subscribed(event.event, webhook.events)]
    demands = await _demands_of(session, subscribed)
    queued = [
        {
            "webhook_id": webhook.id,
            "seq": event.seq,
            "order_key": f"demand:{demands[event.seq]}"
            if event.seq in demands
            else f"{event.entity}:{event.entity_id}",
            "state": "pending",
            "next_attempt_at": at,
        }
        for event in subscribed
    ]
    if queued:
        await session.execute(insert(DeliveryRow), queued)
    state.queued_seq = events[-1].seq
    return True


async def due_deliveries(session: AsyncSession, webhook_id: str, at: datetime, *, limit: int) -> Sequence[DeliveryRow]:
    """Return the deliveries to attempt now, oldest event first.

    These are pending, their time has come, and no earlier delivery of their order key is dead or waits for a retry.
    When one of them fails, the later ones of its key are no longer due.
    """
    earlier = aliased(DeliveryRow)
    is_held_back = exists().where(
        earlier.webhook_id == DeliveryRow.webhook_id,
        earlier.order_key == DeliveryRow.order_key,
        earlier.seq < DeliveryRow.seq,
        or_(earlier.state == "dead", and_(earlier.state == "pending", earlier.next_attempt_at > at)),
    )
    statement = select(DeliveryRow).where(
        DeliveryRow.webhook_id == webhook_id,
        DeliveryRow.state == "pending",
        DeliveryRow.next_attempt_at <= at,
        ~is_held_back,
    )
    return (await session.scalars(statement.order_by(DeliveryRow.seq).limit(limit))).all()


def record_outcome(delivery: DeliveryRow, outcome: Outcome | None, at: datetime, *, give_up_after: timedelta) -> None:
    """Record an attempt and schedule the next one, or end the delivery.

    outcome : None if the audience must not know of the record; the delivery is skipped.
    """
    if outcome is None:
        delivery.state = "skipped"
        return
    delivery.n_attempts += 1
    delivery.first_attempt_at = first = delivery.first_attempt_at or at
    delivery.last_attempt_at = at
    delivery.last_status, delivery.last_error = outcome.status, outcome.error
    if outcome.is_delivered:
        delivery.state = "delivered"
    elif at - first >= give_up_after:
        delivery.state = "dead"
    else:
        delivery.next_attempt_at = at + delay_after(delivery.n_attempts)


def delay_after(n_attempts: int) -> timedelta:
    """Exponential back-off: 5 s, 10 s, 20 s, ... up to an hour.

    A random factor in [0.5, 1] spreads the retries of deliveries that failed together.
    """
    whole = min(_LONGEST_DELAY, _FIRST_DELAY * (1 << min(n_attempts - 1, 20)))
    return whole * random.uniform(0.5, 1)  # noqa: S311  # no secret


async def forget_old(session: AsyncSession, at: datetime) -> None:
    """Delete the deliveries that ended more than 30 days ago."""
    ended = delete(DeliveryRow).where(DeliveryRow.state.not_in(HOLDS_BACK), DeliveryRow.next_attempt_at < at - _KEPT)
    await session.execute(ended)


async def count_undelivered(session: AsyncSession) -> Mapping[str, int]:
    """Count the pending and the dead deliveries of all webhooks, by state."""
    statement = select(DeliveryRow.state, func.count()).where(
        DeliveryRow.webhook_id.in_(select(WebhookRow.id)),  # makes the database use an index
        DeliveryRow.state.in_(HOLDS_BACK),
    )
    counts = {row[0]: row[1] for row in await session.execute(statement.group_by(DeliveryRow.state))}
    return {state: counts.get(state, 0) for state in HOLDS_BACK}


def _is_subscribed(event: str, patterns: Sequence[str]) -> bool:
    return not {"*", event, f"{event.partition('.')[0]}.*"}.isdisjoint(patterns)


async def _demands_of(session: AsyncSession, events: Sequence[OutboxRow]) -> Mapping[int, str]:
    """Return demand ids by sequence number of the event. Events that belong to no demand are missing."""
    matches = await get_by_ids(session, MatchRow, (e.entity_id for e in events if e.entity == "match"))
    list_ids = {match.list_id for match in matches.values()}
    list_ids |= {event.entity_id for event in events if event.entity == "match_list"}
    lists = await get_by_ids(session, MatchListRow, list_ids)
    demands: dict[int, str] = {}
    for event in events:
        match_list = lists.get(event.entity_id)
        if event.entity == "match" and event.entity_id in matches:
            match_list = lists.get(matches[event.entity_id].list_id)
        if event.entity == "demand":
            demands[event.seq] = event.entity_id
        elif event.detail is not None and isinstance(demand_id := event.detail.get("demand_id"), str):
            demands[event.seq] = demand_id
        elif match_list is not None:
            demands[event.seq] = match_list.demand_id
    return demands
