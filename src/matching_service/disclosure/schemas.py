"""Audiences, and the item that webhooks and the feed send for an event."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, StringConstraints

from matching_service.api.fields import Clean

Audience = Literal["public", "office", "own"]
FeedEntity = Literal["demand", "profile", "match"]
MappingName = Annotated[str, StringConstraints(min_length=1, max_length=50), *Clean]


class FeedItem(BaseModel):
    """One event with its record: the body of a webhook, and an item of the feed."""

    seq: int = Field(description="Sequence number of the event; later events have larger numbers.")
    event: str = Field(examples=["demand.published"])
    entity: str = Field(examples=["demand"])
    entity_id: str
    at: datetime = Field(description="Time of the event.")
    deleted: bool = Field(description="The record was deleted or must no longer be shown: remove it.")
    data: dict[str, Any] | None = Field(
        description="The record as it is now, possibly newer than the event; null if it is deleted, or if its entity "
        "is not part of the exchange."
    )
