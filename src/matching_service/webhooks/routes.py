"""HTTP routes of webhooks."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response

from matching_service.access.policies import Action, Principal
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
from matching_service.api.services import provided, services_of
from matching_service.disclosure.mapping import Mappings
from matching_service.foundation.settings import Settings
from matching_service.store.webhooks import DeliveryRow
from matching_service.webhooks import service as webhooks
from matching_service.webhooks.schemas import (
    ChangedDeliveries,
    CreatedWebhook,
    Delivery,
    DeliveryState,
    ReplayBody,
    SkipBody,
    TrialAnswer,
    Webhook,
    WebhookCreate,
    WebhookPatch,
)
from matching_service.webhooks.sender import Sender

router = APIRouter(prefix="/v1", tags=["exchange"], route_class=RememberingRoute)

CanManage = Annotated[Principal, Depends(Permit(Action.WEBHOOK_MANAGE))]


async def _checks(request: Request) -> dict[str, Any]:
    """Return the settings that a subscription is checked against."""
    services = services_of(request)
    return {
        "mappings": services.get(Mappings),
        "allow_private": services.get(Settings).webhook_allow_private,
    }


Checks = Annotated[dict[str, Any], Depends(_checks)]


@router.post("/webhooks", status_code=201, dependencies=[Idempotent], responses=problem_responses(409))
async def create_webhook(
    body: WebhookCreate, session: WriteSession, principal: CanManage, checks: Checks, response: Response
) -> CreatedWebhook:
    """Create a subscription, which receives events from now on.

    The answer contains the secret, which is shown only once. A repeated answer to the same `Idempotency-Key` has null
    instead.
    """
    row = await webhooks.create_webhook(session, body, principal, **checks)
    set_etag(response, row.row_version)
    response.headers["Location"] = f"/v1/webhooks/{row.id}"
    return CreatedWebhook.model_validate(row)


@router.get("/webhooks")
async def list_webhooks(session: ReadSession, page: PageDep, _principal: CanManage) -> ListAnswer[Webhook]:
    """List subscriptions, newest first."""
    rows = await webhooks.list_webhooks(session, page)
    return ListAnswer(items=[Webhook.model_validate(row) for row in rows.items], next_cursor=rows.next_cursor)


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
    """Replace the secret. The new one is shown only once: a repeated answer to the same `Idempotency-Key` has null.

    For one day requests are signed with both the new and the previous secret.
    """
    row = await webhooks.change_secret(session, await webhooks.get_webhook(session, webhook_id), principal)
    set_etag(response, row.row_version)
    return CreatedWebhook.model_validate(row)


@router.delete("/webhooks/{webhook_id}", status_code=204, responses=problem_responses(404, 412))
async def delete_webhook(
    webhook_id: str, session: WriteSession, principal: CanManage, if_match: IfMatch = None
) -> None:
    """Delete a subscription with its queue."""
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
    """List deliveries, newest first. Delivered and skipped ones are kept for 30 days."""
    await webhooks.get_webhook(session, webhook_id)
    rows = await webhooks.list_deliveries(session, webhook_id, page, state=state)
    return ListAnswer(items=[_delivery(row) for row in rows.items], next_cursor=rows.next_cursor)


@router.post("/webhooks/{webhook_id}/replay", dependencies=[Idempotent], responses=problem_responses(404, 409))
async def replay(
    webhook_id: str, session: WriteSession, principal: CanManage, body: ReplayBody | None = None
) -> ChangedDeliveries:
    """Send dead letters again, followed by the deliveries that they held back, in order."""
    row = await webhooks.get_webhook(session, webhook_id)
    n = await webhooks.replay(session, row, body.delivery_ids if body is not None else None, principal)
    return ChangedDeliveries(n_deliveries=n)


@router.post("/webhooks/{webhook_id}/skip", dependencies=[Idempotent], responses=problem_responses(404, 409))
async def skip(webhook_id: str, body: SkipBody, session: WriteSession, principal: CanManage) -> ChangedDeliveries:
    """Give up dead letters for good. The deliveries that they held back are sent."""
    row = await webhooks.get_webhook(session, webhook_id)
    return ChangedDeliveries(n_deliveries=await webhooks.skip(session, row, body.delivery_ids, principal))


@router.post("/webhooks/{webhook_id}/test", responses=problem_responses(404))
async def send_trial(
    webhook_id: str, database: DatabaseDep, _principal: CanManage, sender: Annotated[Sender, Depends(provided(Sender))]
) -> TrialAnswer:
    """Send a signed event `webhook.test` at once and return the outcome."""
    async with database.reading() as session:  # released before the wait for the receiver
        row = await webhooks.get_webhook(session, webhook_id)
    return await sender.send_trial(row)


def _delivery(row: DeliveryRow) -> Delivery:
    event = row.event
    return Delivery(
        id=row.id, seq=row.seq, event=event.event, entity=event.entity, entity_id=event.entity_id, at=event.at,
        state=row.state, order_key=row.order_key, n_attempts=row.n_attempts,  # type: ignore[arg-type]  # as stored
        next_attempt_at=row.next_attempt_at if row.state == "pending" else None, last_attempt_at=row.last_attempt_at,
        last_status=row.last_status, last_error=row.last_error,
    )  # fmt: skip
