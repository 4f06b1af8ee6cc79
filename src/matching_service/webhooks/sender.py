"""Send due deliveries: in a loop in every server process, or in one pass by the command ``deliver``.

A lease on each webhook ensures that only one process sends for it at a time. Delivery is in order and at least once:
if a process dies between sending and recording the outcome, another one sends again with the same ``Webhook-Id``.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from time import perf_counter
from typing import NoReturn

import httpx
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import joinedload

from matching_service.disclosure.mapping import Mapped, find_mapping, translate
from matching_service.disclosure.representations import represent
from matching_service.disclosure.schemas import Audience, FeedItem
from matching_service.foundation.clock import new_id, now
from matching_service.foundation.errors import InvalidInput
from matching_service.foundation.metrics import WEBHOOK_ATTEMPTS, WEBHOOK_DELIVERIES
from matching_service.foundation.outgoing import Outcome, new_client, post
from matching_service.foundation.settings import Settings
from matching_service.store.database import Database
from matching_service.store.scope import Scope
from matching_service.store.webhooks import DeliveryRow, WebhookRow, WebhookStateRow
from matching_service.webhooks import deliveries
from matching_service.webhooks.schemas import TrialAnswer
from matching_service.webhooks.service import secrets_of
from matching_service.webhooks.signing import signed_headers

logger = logging.getLogger(__name__)
_POLL_S = 1.0
_COUNT_EVERY = timedelta(seconds=15)
_FORGET_EVERY = timedelta(days=1)
_FAILURES_BEFORE_REST = 3
_REST = timedelta(minutes=1)
"""Three failures in a row mean that the target is down. It rests for this time, whatever is queued."""


@dataclass(slots=True)
class Tally:
    """Number of attempts of one pass for one webhook, by outcome."""

    webhook_id: str
    delivered: int = 0
    failed: int = 0
    dead: int = 0
    skipped: int = 0


@dataclass(frozen=True, slots=True)
class _Message:
    """The data for one attempt, read from the database in one session."""

    url: str
    secrets: tuple[str, ...]
    item: FeedItem


class Sender:
    """Sends the webhooks of one database."""

    def __init__(self, database: Database, settings: Settings, mappings: Mapping[str, Mapped]) -> None:
        self._database = database
        self._mappings = mappings
        self._allow_private = settings.webhook_allow_private
        self._give_up_after = timedelta(days=settings.webhook_give_up_days)
        self._holder = new_id()
        self._counted_at: datetime | None = None
        self._forgotten_at: datetime | None = None

    async def run(self) -> NoReturn:
        """Deliver until cancelled. Each webhook has a task of its own, so that a slow target does not delay others."""
        busy: dict[str, asyncio.Task[None]] = {}
        async with new_client() as client, asyncio.TaskGroup() as tasks:
            while True:
                try:
                    for webhook_id in await self._begin_pass():
                        if webhook_id not in busy or busy[webhook_id].done():
                            busy[webhook_id] = tasks.create_task(self._deliver_or_log(client, webhook_id))
                except Exception:
                    logger.exception("webhooks_not_read")  # the database is unavailable; the next pass tries again
                await asyncio.sleep(_POLL_S)

    async def deliver_due(self) -> list[Tally]:
        """Queue new events and attempt due deliveries until none is due."""
        async with new_client() as client:
            webhook_ids = await self._begin_pass()
            return await asyncio.gather(*(self._deliver_with_lease(client, webhook_id) for webhook_id in webhook_ids))

    async def send_trial(self, webhook: WebhookRow) -> TrialAnswer:
        """Send the event ``webhook.test`` now, outside the queue."""
        at = now()
        item = FeedItem(
            seq=0, event="webhook.test", entity="webhook", entity_id=webhook.id, at=at, deleted=False, data={}
        )
        started = perf_counter()
        async with new_client() as client:
            outcome = await self._send(client, new_id(), _Message(webhook.url, secrets_of(webhook, at), item))
        took_ms = round((perf_counter() - started) * 1e3, 1)
        return TrialAnswer(delivered=outcome.is_delivered, status=outcome.status, error=outcome.error, took_ms=took_ms)

    async def _begin_pass(self) -> list[str]:
        """Return the ids of webhooks with work. From time to time, update metrics and delete old deliveries."""
        at = now()
        async with self._database.reading() as session:
            webhook_ids = await deliveries.webhooks_with_work(session, at)
            if self._counted_at is None or at - self._counted_at >= _COUNT_EVERY:
                for state, n in (await deliveries.count_undelivered(session)).items():
                    WEBHOOK_DELIVERIES.labels(state).set(n)
                self._counted_at = at
        if webhook_ids and (self._forgotten_at is None or at - self._forgotten_at >= _FORGET_EVERY):
            async with self._database.transaction() as session:
                await deliveries.forget_old(session, at)
            self._forgotten_at = at
        return webhook_ids

    async def _deliver_or_log(self, client: httpx.AsyncClient, webhook_id: str) -> None:
        try:
            await self._deliver_with_lease(client, webhook_id)
        except Exception:
            logger.exception("webhook_not_worked_off", extra={"webhook_id": webhook_id})

    async def _deliver_with_lease(self, client: httpx.AsyncClient, webhook_id: str) -> Tally:
        tally = Tally(webhook_id)
        async with self._database.transaction() as session:
            if not await deliveries.take_lease(session, webhook_id, self._holder, now()):
                return tally
        try:
            await self._deliver(client, tally)
        finally:
            async with self._database.transaction() as session:
                await deliveries.release_lease(session, webhook_id, self._holder)
        return tally

    async def _deliver(self, client: httpx.AsyncClient, tally: Tally) -> None:
        """Attempt due deliveries one by one, until none is due, the target is down, or the lease is lost."""
        n_failed_in_a_row = 0
        await self._queue(tally.webhook_id)
        while due := await self._due(tally.webhook_id):
            failed_keys: set[str] = set()
            for delivery in due:
                if delivery.order_key in failed_keys:
                    continue
                state = await self._attempt(client, tally.webhook_id, delivery.id)
                if state is None:
                    return
                setattr(tally, state, getattr(tally, state) + 1)
                if state not in {"failed", "dead"}:
                    n_failed_in_a_row = 0
                    continue
                failed_keys.add(delivery.order_key)
                n_failed_in_a_row += 1
                if n_failed_in_a_row == _FAILURES_BEFORE_REST:
                    await self._rest(tally.webhook_id)
                    return
            await self._queue(tally.webhook_id)

    async def _queue(self, webhook_id: str) -> None:
        """Queue deliveries for all new events."""
        has_more = True
        while has_more:
            async with self._database.transaction() as session:
                webhook = await session.get(WebhookRow, webhook_id)
                has_more = webhook is not None and await deliveries.queue_events(session, webhook, now())

    async def _due(self, webhook_id: str) -> Sequence[DeliveryRow]:
        async with self._database.reading() as session:
            limit = deliveries.DELIVERIES_PER_QUERY
            return await deliveries.due_deliveries(session, webhook_id, now(), limit=limit)

    async def _attempt(self, client: httpx.AsyncClient, webhook_id: str, delivery_id: str) -> str | None:
        """Send one delivery and record the outcome.

        Returns delivered, skipped, failed or dead, or None to stop sending for this webhook.
        """
        async with self._database.reading() as session:
            webhook = await session.get(WebhookRow, webhook_id)
            delivery = await session.get(DeliveryRow, delivery_id, options=[joinedload(DeliveryRow.event)])
            if webhook is None or not webhook.is_active or delivery is None or delivery.state != "pending":
                return None
            message = await self._message(session, webhook, delivery)
        outcome = await self._send(client, delivery_id, message) if isinstance(message, _Message) else message
        at = now()
        async with self._database.transaction() as session:
            if not await deliveries.take_lease(session, webhook_id, self._holder, at):
                return None
            delivery = await session.get(DeliveryRow, delivery_id, with_for_update=True)
            if delivery is None or delivery.state != "pending":
                return None
            deliveries.record_outcome(delivery, outcome, at, give_up_after=self._give_up_after)
            state = "failed" if delivery.state == "pending" else delivery.state
        WEBHOOK_ATTEMPTS.labels(state).inc()
        if outcome is not None and not outcome.is_delivered:
            logger.warning(
                "webhook_not_delivered",
                extra={"webhook_id": webhook_id, "delivery_id": delivery_id, "status": outcome.status, "now": state},
            )
        return state

    async def _message(
        self, session: AsyncSession, webhook: WebhookRow, delivery: DeliveryRow
    ) -> _Message | Outcome | None:
        """Return the message of a delivery as its audience may see it now.

        Returns None if the audience must not know of the record, and a failed outcome if the mapping is missing.
        """
        audience: Audience = webhook.audience if webhook.audience in {"office", "own"} else "public"  # type: ignore[assignment]
        scope = Scope(webhook.source) if webhook.source is not None else None
        item = (await represent(session, [delivery.event], audience, scope))[0]
        if item is not None and webhook.mapping is not None:
            try:
                item = translate(find_mapping(self._mappings, webhook.mapping), item)
            except InvalidInput as error:  # the mapping was removed from the file: retry like any failure
                return Outcome(None, f"{error.code}: {error.detail.en}"[:500])
        return _Message(webhook.url, secrets_of(webhook, now()), item) if item is not None else None

    async def _send(self, client: httpx.AsyncClient, message_id: str, message: _Message) -> Outcome:
        body = message.item.model_dump_json().encode()
        timestamp = int(now().timestamp())
        headers = signed_headers(*message.secrets, message_id=message_id, timestamp=timestamp, body=body)
        return await post(client, message.url, headers=headers, body=body, allow_private=self._allow_private)

    async def _rest(self, webhook_id: str) -> None:
        async with self._database.transaction() as session:
            state = await session.get(WebhookStateRow, webhook_id)
            if state is not None:
                state.rest_until = now() + _REST
