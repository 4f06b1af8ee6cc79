"""Subscriptions: made, changed, looked at; dead letters replayed or skipped."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import joinedload

from matching_service.access.policies import Principal
from matching_service.audit.service import record_audit
from matching_service.disclosure.mapping import Mapped, find_mapping
from matching_service.foundation.clock import now
from matching_service.foundation.errors import Conflict, FieldError, Text, not_found
from matching_service.foundation.outgoing import check_url
from matching_service.foundation.paging import Page, PageRequest
from matching_service.store.lookup import get_page, get_row
from matching_service.store.outbox import OutboxRow
from matching_service.store.webhooks import DeliveryRow, WebhookRow, WebhookStateRow
from matching_service.webhooks.schemas import DeliveryState, WebhookCreate, WebhookPatch
from matching_service.webhooks.signing import new_secret

MAX_WEBHOOKS = 50
"""Each has a task of its own in a server."""
BOTH_SIGN = timedelta(days=1)
"""How long after a change of the secret the one before is good, for the receiver to be set to the new one."""


async def create_webhook(
    session: AsyncSession, data: WebhookCreate, actor: Principal, *, mappings: Mapping[str, Mapped], allow_private: bool
) -> WebhookRow:
    """Store a subscription with a new secret; it is told of what happens from now on.

    Raises InvalidInput for a URL that would never be sent to or an unknown mapping, Conflict when there are too many.
    """
    _check(data.model_dump(exclude_unset=True), mappings, allow_private=allow_private)
    if (await session.scalar(select(func.count()).select_from(WebhookRow)) or 0) >= MAX_WEBHOOKS:
        message = Text(f"最多 {MAX_WEBHOOKS} 个订阅，请先删除不用的。", f"At most {MAX_WEBHOOKS}; delete one first.")
        raise Conflict("too_many_webhooks", message)
    row = WebhookRow(**data.model_dump(), secret=new_secret(), created_by=actor.id)
    session.add(row)
    await session.flush()
    last_seq = await session.scalar(select(func.max(OutboxRow.seq)))
    session.add(WebhookStateRow(webhook_id=row.id, queued_seq=last_seq or 0))
    await session.flush()
    record_audit(session, actor, "create", entity="webhook", entity_id=row.id)
    return row


async def get_webhook(session: AsyncSession, webhook_id: str) -> WebhookRow:
    """The row; raises NotFound."""
    if (row := await get_row(session, WebhookRow, webhook_id)) is None:
        raise not_found(Text("订阅", "Webhook"), webhook_id, code="webhook_not_found")
    return row


async def list_webhooks(session: AsyncSession, page: PageRequest) -> Page[WebhookRow]:
    return await get_page(session, select(WebhookRow), WebhookRow, page)


async def update_webhook(
    session: AsyncSession,
    row: WebhookRow,
    patch: WebhookPatch,
    actor: Principal,
    *,
    mappings: Mapping[str, Mapped],
    allow_private: bool,
) -> WebhookRow:
    """Change the fields that were sent; deliveries that are queued go to the new address."""
    changes = patch.model_dump(exclude_unset=True)
    _check(changes, mappings, allow_private=allow_private)
    for name, value in changes.items():
        setattr(row, name, value)
    await session.flush()
    record_audit(session, actor, "update", entity="webhook", entity_id=row.id, detail={"fields": sorted(changes)})
    return row


async def change_secret(session: AsyncSession, row: WebhookRow, actor: Principal) -> WebhookRow:
    """Give the subscription a new secret; for a day requests are signed with the one before as well."""
    row.old_secret, row.old_secret_until = row.secret, now() + BOTH_SIGN
    row.secret = new_secret()
    await session.flush()
    record_audit(session, actor, "change_secret", entity="webhook", entity_id=row.id)
    return row


def secrets_of(row: WebhookRow, at: datetime) -> tuple[str, ...]:
    """What signs a request at that moment, the newest first."""
    if row.old_secret is None or row.old_secret_until is None or row.old_secret_until <= at:
        return (row.secret,)
    return (row.secret, row.old_secret)


async def delete_webhook(session: AsyncSession, row: WebhookRow, actor: Principal) -> None:
    """Delete a subscription with all that is queued for it."""
    await session.delete(row)
    await session.flush()
    record_audit(session, actor, "delete", entity="webhook", entity_id=row.id)


async def list_deliveries(
    session: AsyncSession, webhook_id: str, page: PageRequest, *, state: DeliveryState | None
) -> Page[DeliveryRow]:
    """Deliveries with their events, newest first."""
    statement = select(DeliveryRow).options(joinedload(DeliveryRow.event)).where(DeliveryRow.webhook_id == webhook_id)
    if state is not None:
        statement = statement.where(DeliveryRow.state == state)
    return await get_page(session, statement, DeliveryRow, page)


async def replay(session: AsyncSession, row: WebhookRow, delivery_ids: Sequence[str] | None, actor: Principal) -> int:
    """Make dead letters pending again, all of the webhook or the named ones, and wake a webhook that rests.

    Returns how many; raises Conflict naming ids that are no dead letters of this webhook, and changes none.
    """
    values = {"state": "pending", "n_attempts": 0, "first_attempt_at": None, "next_attempt_at": now()}
    n_replayed = await _change_dead(session, row, delivery_ids, values)
    state = await session.get_one(WebhookStateRow, row.id)
    state.rest_until = None
    record_audit(session, actor, "replay", entity="webhook", entity_id=row.id, detail={"n_deliveries": n_replayed})
    return n_replayed


async def skip(session: AsyncSession, row: WebhookRow, delivery_ids: Sequence[str], actor: Principal) -> int:
    """Give dead letters up for good; what waits behind them is sent. As ``replay``."""
    n_skipped = await _change_dead(session, row, delivery_ids, {"state": "skipped"})
    detail = {"delivery_ids": list(dict.fromkeys(delivery_ids))}
    record_audit(session, actor, "skip", entity="webhook", entity_id=row.id, detail=detail)
    return n_skipped


async def _change_dead(
    session: AsyncSession, row: WebhookRow, delivery_ids: Sequence[str] | None, values: Mapping[str, Any]
) -> int:
    statement = select(DeliveryRow.id).where(DeliveryRow.webhook_id == row.id, DeliveryRow.state == "dead")
    if delivery_ids is not None:
        statement = statement.where(DeliveryRow.id.in_(delivery_ids))
    dead = set(await session.scalars(statement))
    if wrong := [id_ for id_ in delivery_ids or () if id_ not in dead]:
        message = Text(
            f"不是本订阅的死信：{'、'.join(wrong[:10])}。", f"No dead letters of this webhook: {', '.join(wrong[:10])}."
        )
        raise Conflict("not_dead", message, errors=[FieldError("not_dead", message, "/delivery_ids")])
    changing = update(DeliveryRow).where(DeliveryRow.webhook_id == row.id, DeliveryRow.state == "dead")
    if delivery_ids is not None:
        changing = changing.where(DeliveryRow.id.in_(dead))
    await session.execute(changing.values(**values))
    return len(dead)


def _check(changes: Mapping[str, Any], mappings: Mapping[str, Mapped], *, allow_private: bool) -> None:
    if "url" in changes:
        check_url(changes["url"], allow_private=allow_private)
    if changes.get("mapping") is not None:
        find_mapping(mappings, changes["mapping"], pointer="/mapping")
