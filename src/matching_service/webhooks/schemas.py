"""Bodies and answers of webhooks."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from matching_service.api.fields import SHOWN_ONCE, Answer, Body, Clean, EntityId
from matching_service.disclosure.schemas import Audience, MappingName

DeliveryState = Literal["pending", "delivered", "dead", "skipped"]


EventPattern = Annotated[
    str, StringConstraints(max_length=50, pattern=r"^(\*|[a-z_]+\.(\*|[a-z_]+))$"), Field(examples=["demand.*"])
]


Url = Annotated[str, StringConstraints(min_length=1, max_length=2000), *Clean]


_MAX_REPLAYED = 1_000


class WebhookFields(Body):
    events: Annotated[list[EventPattern], Field(min_length=1, max_length=50)] = Field(
        default=["*"], description="Events to tell of: `*`, all of an entity such as `demand.*`, or single ones."
    )
    audience: Audience = Field(
        default="public",
        description="`public`: what anybody may see. `office`: also restricted records, drafts, matches, and what was "
        "imported from other services; for the office's own systems.",
    )
    mapping: MappingName | None = Field(default=None, description="Name of a mapping in the mapping file.")
    is_active: bool = Field(default=True, description="While false nothing is sent, and nothing is forgotten.")


class WebhookCreate(WebhookFields):
    model_config = ConfigDict(
        json_schema_extra={"examples": [{"url": "https://portal.example/hooks/matching", "events": ["demand.*"]}]}
    )

    url: Url


class WebhookPatch(WebhookFields):
    """Only the fields that are sent are changed."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"is_active": False}]})

    url: Url = Field(default="")


class Webhook(Answer):
    id: str
    url: str
    events: list[str]
    audience: Audience
    mapping: str | None
    is_active: bool
    both_sign_until: datetime | None = Field(
        validation_alias="old_secret_until",
        description="Until then requests carry a signature with the secret before the last change, too.",
    )
    created_by: str
    created_at: datetime
    updated_at: datetime


class CreatedWebhook(Webhook):
    secret: Annotated[str | None, SHOWN_ONCE] = Field(
        description="For checking signatures. It is shown this once and kept with no answer: null when the answer is "
        "repeated by its `Idempotency-Key`. Whoever missed it makes another: `POST /v1/webhooks/{id}/secret`."
    )


class Delivery(Answer):
    id: str = Field(description="The `Webhook-Id` of every attempt.")
    seq: int
    event: str
    entity: str
    entity_id: str
    at: datetime
    state: DeliveryState
    order_key: str = Field(description="Deliveries of one key are sent one after the other; a dead one holds back.")
    n_attempts: int
    next_attempt_at: datetime | None
    last_attempt_at: datetime | None
    last_status: int | None
    last_error: str | None


class ReplayBody(Body):
    model_config = ConfigDict(json_schema_extra={"examples": [{"delivery_ids": None}]})

    delivery_ids: Annotated[list[EntityId], Field(min_length=1, max_length=_MAX_REPLAYED)] | None = Field(
        default=None, description="Dead letters to send again; null: all of this webhook."
    )


class SkipBody(Body):
    model_config = ConfigDict(
        json_schema_extra={"examples": [{"delivery_ids": ["01937a54-9c1c-7d3a-8c0e-2b1f6d1c4e11"]}]}
    )

    delivery_ids: Annotated[list[EntityId], Field(min_length=1, max_length=_MAX_REPLAYED)] = Field(
        description="Dead letters to give up for good, so that what waits behind them is sent."
    )


class ChangedDeliveries(BaseModel):
    n_deliveries: int


class TrialAnswer(BaseModel):
    """What the receiver said to a signed event ``webhook.test``."""

    delivered: bool
    status: int | None
    error: str | None
    took_ms: float
