"""Create, change and read subscriptions; replay or skip dead letters."""

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
from matching_service.foundation.errors import Bilingual, Conflict, FieldError, InvalidInput, not_found
from matching_service.foundation.outgoing import check_url
from matching_service.foundation.paging import Page, PageRequest
from matching_service.store.lookup import get_page, get_row
from matching_service.store.outbox import OutboxRow
from matching_service.store.webhooks import DeliveryRow, WebhookRow, WebhookStateRow
from matching_service.webhooks.schemas import DeliveryState, WebhookCreate, WebhookPatch
from matching_service.webhooks.signing import new_secret

MAX_WEBHOOKS = 50
"""Limited, because each webhook has a task of its own in every server."""
BOTH_SIGN = timedelta(days=1)
"""After a change of the secret, both secrets sign for this time, so that the receiver can switch without a gap."""


async def create_webhook(
    session: AsyncSession, data: WebhookCreate, actor: Principal, *, mappings: Mapping[str, Mapped], allow_private: bool
) -> WebhookRow:
    """Create a subscription with a new secret. It receives events from now on.

    Raises InvalidInput for a forbidden URL or an unknown mapping, Conflict beyond ``MAX_WEBHOOKS``.
    """
    _check(data.model_dump(exclude_unset=True), mappings, allow_private=allow_private)
    _check_source(data.audience, data.source)
    if (await session.scalar(select(func.count()).select_from(WebhookRow)) or 0) >= MAX_WEBHOOKS:
        message = Bilingual(
            f"最多 {MAX_WEBHOOKS} 个订阅；请先删除不用的订阅。",
            f"At most {MAX_WEBHOOKS} webhooks are allowed; delete one first.",
        )
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
    """Return the subscription. Raises NotFound."""
    if (row := await get_row(session, WebhookRow, webhook_id)) is None:
        raise not_found(Bilingual("订阅", "Webhook"), webhook_id, code="webhook_not_found")
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
    """Change the fields that were sent. Queued deliveries go to the new address. Raises InvalidInput."""
    changes = patch.model_dump(exclude_unset=True)
    _check(changes, mappings, allow_private=allow_private)
    _check_source(changes.get("audience", row.audience), changes.get("source", row.source))
    for name, value in changes.items():
        setattr(row, name, value)
    await session.flush()
    record_audit(session, actor, "update", entity="webhook", entity_id=row.id, detail={"fields": sorted(changes)})
    return row


async def change_secret(session: AsyncSession, row: WebhookRow, actor: Principal) -> WebhookRow:
    """Replace the secret. Both secrets sign requests for ``BOTH_SIGN``."""
    row.old_secret, row.old_secret_until = row.secret, now() + BOTH_SIGN
    row.secret = new_secret()
    await session.flush()
    record_audit(session, actor, "change_secret", entity="webhook", entity_id=row.id)
    return row


def secrets_of(row: WebhookRow, at: datetime) -> tuple[str, ...]:
    """Return the secrets that sign a request at that time, newest first."""
    if row.old_secret is None or row.old_secret_until is None or row.old_secret_until <= at:
        return (row.secret,)
    return (row.secret, row.old_secret)


async def delete_webhook(session: AsyncSession, row: WebhookRow, actor: Principal) -> None:
    """Delete a subscription with its queue."""
    await session.delete(row)
    await session.flush()
    record_audit(session, actor, "delete", entity="webhook", entity_id=row.id)


async def list_deliveries(
    session: AsyncSession, webhook_id: str, page: PageRequest, *, state: DeliveryState | None
) -> Page[DeliveryRow]:
    """Return deliveries with their events, newest first."""
    statement = select(DeliveryRow).options(joinedload(DeliveryRow.event)).where(DeliveryRow.webhook_id == webhook_id)
    if state is not None:
        statement = statement.where(DeliveryRow.state == state)
    return await get_page(session, statement, DeliveryRow, page)


async def replay(session: AsyncSession, row: WebhookRow, delivery_ids: Sequence[str] | None, actor: Principal) -> int:
    """Make dead letters pending again, and end the rest of the webhook. Returns their number.

    delivery_ids : None for all dead letters of the webhook.
    Raises Conflict, and changes nothing, if an id is not a dead letter of this webhook.
    """
    values = {"state": "pending", "n_attempts": 0, "first_attempt_at": None, "next_attempt_at": now()}
    n_replayed = await _change_dead(session, row, delivery_ids, values)
    state = await session.get_one(WebhookStateRow, row.id)
    state.rest_until = None
    record_audit(session, actor, "replay", entity="webhook", entity_id=row.id, detail={"n_deliveries": n_replayed})
    return n_replayed


async def skip(session: AsyncSession, row: WebhookRow, delivery_ids: Sequence[str], actor: Principal) -> int:
    """Give up dead letters for good, so that the deliveries behind them are sent. Returns their number.

    Raises Conflict, and changes nothing, if an id is not a dead letter of this webhook.
    """
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
        message = Bilingual(
            f"不是本订阅的死信：{'、'.join(wrong[:10])}。",
            f"These are not dead letters of this webhook: {', '.join(wrong[:10])}.",
        )
        raise Conflict("not_dead", message, errors=[FieldError("not_dead", message, "/delivery_ids")])
    changing = update(DeliveryRow).where(DeliveryRow.webhook_id == row.id, DeliveryRow.state == "dead")
    if delivery_ids is not None:
        changing = changing.where(DeliveryRow.id.in_(dead))
    await session.execute(changing.values(**values))
    return len(dead)


def _check_source(audience: str, source: str | None) -> None:
    if (audience == "own") != (source is not None):
        raise InvalidInput.at("/source", "source_needed", _SOURCE_NEEDED)


_SOURCE_NEEDED = Bilingual(
    "audience 为 own 时须写明来源 source，其他情形不写。",
    "The audience own needs the source whose demands it is told of; other audiences have none.",
)


def _check(changes: Mapping[str, Any], mappings: Mapping[str, Mapped], *, allow_private: bool) -> None:
    if "url" in changes:
        check_url(changes["url"], allow_private=allow_private)
    if changes.get("mapping") is not None:
        find_mapping(mappings, changes["mapping"], pointer="/mapping")
