"""Request and response bodies of webhooks."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from matching_service.api.fields import SHOWN_ONCE, Answer, Body, Clean, EntityId, Source
from matching_service.disclosure.schemas import Audience, MappingName
from matching_service.webhooks.events import known_event

DeliveryState = Literal["pending", "delivered", "dead", "skipped"]


EventPattern = Annotated[
    str,
    StringConstraints(max_length=50, pattern=r"^(\*|[a-z_]+\.(\*|[a-z_]+))$"),
    AfterValidator(known_event),
    Field(examples=["demand.*"]),
]


Url = Annotated[str, StringConstraints(min_length=1, max_length=2000), *Clean]


_MAX_REPLAYED = 1_000


class WebhookFields(Body):
    events: Annotated[list[EventPattern], Field(min_length=1, max_length=50)] = Field(
        default=["*"], description="Events to send: `*`, all events of an entity such as `demand.*`, or single events."
    )
    audience: Audience = Field(
        default="public",
        description="`public`: public records only. `office`, for the office's own systems: also restricted records, "
        "drafts, matches, and records imported from other services. `own`: a portal's own demands in every state, "
        "with the opinion or reason of the last step, and nothing else.",
    )
    source: Source | None = Field(default=None, description="来源: whose records `own` are; for no other audience.")
    mapping: MappingName | None = Field(default=None, description="Name of a mapping in the mapping file.")
    is_active: bool = Field(default=True, description="While false, events are kept but not sent.")


class WebhookCreate(WebhookFields):
    model_config = ConfigDict(
        json_schema_extra={"examples": [{"url": "https://portal.example/hooks/matching", "events": ["demand.*"]}]}
    )

    url: Url


class WebhookPatch(WebhookFields):
    """Changes only the fields that are sent."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"is_active": False}]})

    url: Url = Field(default="")


class Webhook(Answer):
    id: str
    url: str
    events: list[str]
    audience: Audience
    source: str | None
    mapping: str | None
    is_active: bool
    both_sign_until: datetime | None = Field(
        validation_alias="old_secret_until",
        description="Until then requests are signed with the previous secret as well.",
    )
    created_by: str
    created_at: datetime
    updated_at: datetime


class CreatedWebhook(Webhook):
    secret: Annotated[str | None, SHOWN_ONCE] = Field(
        description="Key for checking signatures. It is shown only once: null if the answer is repeated for the same "
        "`Idempotency-Key`. If you missed it, make another with `POST /v1/webhooks/{id}/secret`."
    )


class Delivery(Answer):
    id: str = Field(description="The `Webhook-Id` of every attempt.")
    seq: int
    event: str
    entity: str
    entity_id: str
    at: datetime
    state: DeliveryState
    order_key: str = Field(
        description="Deliveries with the same key are sent in order; a dead one holds back the later ones."
    )
    n_attempts: int
    next_attempt_at: datetime | None
    last_attempt_at: datetime | None
    last_status: int | None
    last_error: str | None


class ReplayBody(Body):
    model_config = ConfigDict(json_schema_extra={"examples": [{"delivery_ids": None}]})

    delivery_ids: Annotated[list[EntityId], Field(min_length=1, max_length=_MAX_REPLAYED)] | None = Field(
        default=None, description="Dead letters to send again; null: all dead letters of this webhook."
    )


class SkipBody(Body):
    model_config = ConfigDict(
        json_schema_extra={"examples": [{"delivery_ids": ["01937a54-9c1c-7d3a-8c0e-2b1f6d1c4e11"]}]}
    )

    delivery_ids: Annotated[list[EntityId], Field(min_length=1, max_length=_MAX_REPLAYED)] = Field(
        description="Dead letters to give up for good, so that the deliveries behind them are sent."
    )


class ChangedDeliveries(BaseModel):
    n_deliveries: int


class TrialAnswer(BaseModel):
    """The receiver's response to a signed event ``webhook.test``."""

    delivered: bool
    status: int | None
    error: str | None
    took_ms: float
