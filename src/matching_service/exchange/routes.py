"""HTTP doors of the exchange: webhooks, and the feed."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response

from matching_service.access.policies import POLICIES, Action, Principal, authorize
from matching_service.api.deps import (
    DatabaseDep,
    IfMatch,
    PageDep,
    Permit,
    ReadSession,
    WriteSession,
    check_if_match,
    set_etag,
)
from matching_service.api.fields import Blank
from matching_service.api.idempotency import Idempotent, RememberingRoute
from matching_service.api.pages import ListAnswer
from matching_service.api.problems import problem_responses
from matching_service.exchange import feed, webhooks
from matching_service.exchange.mapping import find_mapping
from matching_service.exchange.representations import FEED_ENTITIES
from matching_service.exchange.schemas import (
    MAX_FEED_ITEMS,
    Audience,
    ChangedDeliveries,
    CreatedWebhook,
    Delivery,
    DeliveryState,
    FeedAnswer,
    FeedEntity,
    MappingName,
    ReplayBody,
    SkipBody,
    TrialAnswer,
    Webhook,
    WebhookCreate,
    WebhookPatch,
)
from matching_service.exchange.sender import Sender
from matching_service.foundation.errors import FieldError, InvalidInput, Text
from matching_service.store.exchange import DeliveryRow

router = APIRouter(prefix="/v1", tags=["exchange"], route_class=RememberingRoute)

CanManage = Annotated[Principal, Depends(Permit(Action.WEBHOOK_MANAGE))]
CanRead = Annotated[Principal, Depends(Permit(Action.FEED_READ))]


async def _checks(request: Request) -> dict[str, Any]:
    """What a subscription is checked against."""
    state = request.app.state
    return {"mappings": state.mappings, "allow_private": state.settings.webhook_allow_private}


async def _sender(request: Request) -> Sender:
    sender: Sender = request.app.state.sender
    return sender


Checks = Annotated[dict[str, Any], Depends(_checks)]


@router.post("/webhooks", status_code=201, dependencies=[Idempotent], responses=problem_responses(409))
async def create_webhook(
    body: WebhookCreate, session: WriteSession, principal: CanManage, checks: Checks, response: Response
) -> CreatedWebhook:
    """Tell a receiver of events from now on. The answer holds the secret, which is shown this once: a repeated answer
    to the same `Idempotency-Key` has null there.
    """
    row = await webhooks.create_webhook(session, body, principal, **checks)
    set_etag(response, row.row_version)
    response.headers["Location"] = f"/v1/webhooks/{row.id}"
    return CreatedWebhook.model_validate(row)


@router.get("/webhooks")
async def list_webhooks(session: ReadSession, page: PageDep, _principal: CanManage) -> ListAnswer[Webhook]:
    """List subscriptions, newest first."""
    found = await webhooks.list_webhooks(session, page)
    return ListAnswer(items=[Webhook.model_validate(row) for row in found.items], next_cursor=found.next_cursor)


@router.get("/webhooks/{webhook_id}", responses=problem_responses(404))
async def read_webhook(webhook_id: str, session: ReadSession, _principal: CanManage, response: Response) -> Webhook:
    """Read one subscription."""
    row = await webhooks.get_webhook(session, webhook_id)
    set_etag(response, row.row_version)
    return Webhook.model_validate(row)


@router.patch("/webhooks/{webhook_id}", responses=problem_responses(404, 412))
async def update_webhook(
    webhook_id: str,
    body: WebhookPatch,
    session: WriteSession,
    principal: CanManage,
    checks: Checks,
    response: Response,
    if_match: IfMatch = None,
) -> Webhook:
    """Change the fields that are sent."""
    row = await webhooks.get_webhook(session, webhook_id)
    check_if_match(if_match, row.row_version)
    row = await webhooks.update_webhook(session, row, body, principal, **checks)
    set_etag(response, row.row_version)
    return Webhook.model_validate(row)


@router.post("/webhooks/{webhook_id}/secret", dependencies=[Idempotent], responses=problem_responses(404))
async def change_secret(
    webhook_id: str, session: WriteSession, principal: CanManage, response: Response
) -> CreatedWebhook:
    """Make a new secret, which is shown this once: a repeated answer to the same `Idempotency-Key` has null there.

    For a day requests are signed with the one before as well.
    """
    row = await webhooks.change_secret(session, await webhooks.get_webhook(session, webhook_id), principal)
    set_etag(response, row.row_version)
    return CreatedWebhook.model_validate(row)


@router.delete("/webhooks/{webhook_id}", status_code=204, responses=problem_responses(404, 412))
async def delete_webhook(
    webhook_id: str, session: WriteSession, principal: CanManage, if_match: IfMatch = None
) -> None:
    """Delete a subscription with everything that is queued for it."""
    row = await webhooks.get_webhook(session, webhook_id)
    check_if_match(if_match, row.row_version)
    await webhooks.delete_webhook(session, row, principal)


@router.get("/webhooks/{webhook_id}/deliveries", responses=problem_responses(404))
async def list_deliveries(
    webhook_id: str,
    session: ReadSession,
    page: PageDep,
    _principal: CanManage,
    state: Annotated[DeliveryState | None, Blank] = None,
) -> ListAnswer[Delivery]:
    """What was sent, is waiting, or was given up, newest first; ended ones are kept for 30 days."""
    await webhooks.get_webhook(session, webhook_id)
    found = await webhooks.list_deliveries(session, webhook_id, page, state=state)
    return ListAnswer(items=[_delivery(row) for row in found.items], next_cursor=found.next_cursor)


@router.post("/webhooks/{webhook_id}/replay", dependencies=[Idempotent], responses=problem_responses(404, 409))
async def replay(
    webhook_id: str, session: WriteSession, principal: CanManage, body: ReplayBody | None = None
) -> ChangedDeliveries:
    """Send dead letters again, and then what waits behind them, in order."""
    row = await webhooks.get_webhook(session, webhook_id)
    n = await webhooks.replay(session, row, body.delivery_ids if body is not None else None, principal)
    return ChangedDeliveries(n_deliveries=n)


@router.post("/webhooks/{webhook_id}/skip", dependencies=[Idempotent], responses=problem_responses(404, 409))
async def skip(webhook_id: str, body: SkipBody, session: WriteSession, principal: CanManage) -> ChangedDeliveries:
    """Give dead letters up for good; what waits behind them is sent."""
    row = await webhooks.get_webhook(session, webhook_id)
    return ChangedDeliveries(n_deliveries=await webhooks.skip(session, row, body.delivery_ids, principal))


@router.post("/webhooks/{webhook_id}/test", responses=problem_responses(404))
async def send_trial(
    webhook_id: str, database: DatabaseDep, _principal: CanManage, sender: Annotated[Sender, Depends(_sender)]
) -> TrialAnswer:
    """Send a signed event `webhook.test` at once, and say what came back."""
    async with database.reading() as session:  # given back before the receiver is waited for
        row = await webhooks.get_webhook(session, webhook_id)
    return await sender.send_trial(row)


@router.get("/feed", responses=problem_responses(409))
async def read_feed(
    request: Request,
    session: ReadSession,
    principal: CanRead,
    entity: Annotated[
        str | None, Blank, Query(max_length=100, description="`demand`, `profile`, `match`, with commas between them.")
    ] = None,
    cursor: Annotated[str | None, Blank, Query(max_length=500, description="`next_cursor` of the page before.")] = None,
    limit: Annotated[int, Query(ge=1, le=MAX_FEED_ITEMS)] = MAX_FEED_ITEMS,
    mapping: Annotated[MappingName | None, Blank, Query(description="Name of a mapping in the mapping file.")] = None,
) -> FeedAnswer:
    """What changed after a cursor, each record once, as it is now; without a cursor every record.

    A portal's key sees what is public; keys of the office also restricted records, drafts, matches and imports.
    """
    audience: Audience = "office" if principal.role in POLICIES[Action.FEED_READ_OFFICE] else "public"
    position = feed.decode_position(cursor) if cursor is not None else None
    asked = _entities(entity)
    if position is not None and asked is not None and set(asked) != set(position.entities):
        message = Text(
            f"游标属于 entity={','.join(position.entities)}；请用同样的 entity，或不带 cursor 从头读取。",
            f"The cursor belongs to entity={','.join(position.entities)}; ask for the same, or start without a cursor.",
        )
        raise InvalidInput("cursor_of_other_entities", message, errors=[_at("cursor_of_other_entities", message)])
    default: tuple[FeedEntity, ...] = ("demand", "profile") if audience == "public" else tuple(FEED_ENTITIES)
    entities = position.entities if position is not None else asked or default
    if "match" in entities:
        authorize(principal, Action.FEED_READ_OFFICE)
    chosen = find_mapping(request.app.state.mappings, mapping) if mapping is not None else None
    return await feed.read_feed(session, entities, after=position, limit=limit, audience=audience, mapping=chosen)


def _entities(text: str | None) -> tuple[FeedEntity, ...] | None:
    if text is None:
        return None
    names = [name.strip() for name in text.split(",")]
    if unknown := [name for name in names if name not in FEED_ENTITIES]:
        known = ", ".join(FEED_ENTITIES)
        message = Text(f"没有 {unknown[0]}；可用：{known}。", f"There is no {unknown[0]}; there are: {known}.")
        raise InvalidInput("unknown_entity", message, errors=[FieldError("unknown_entity", message, "entity")])
    return tuple(entity for entity in FEED_ENTITIES if entity in names)


def _at(code: str, message: Text) -> FieldError:
    return FieldError(code, message, "cursor")


def _delivery(row: DeliveryRow) -> Delivery:
    event = row.event
    return Delivery(
        id=row.id, seq=row.seq, event=event.event, entity=event.entity, entity_id=event.entity_id, at=event.at,
        state=row.state, order_key=row.order_key, n_attempts=row.n_attempts,  # type: ignore[arg-type]  # as stored
        next_attempt_at=row.next_attempt_at if row.state == "pending" else None, last_attempt_at=row.last_attempt_at,
        last_status=row.last_status, last_error=row.last_error,
    )  # fmt: skip
