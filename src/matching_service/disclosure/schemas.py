"""Audiences, and the form in which a record is told of: the body of a webhook, an item of the feed."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, StringConstraints

from matching_service.api.fields import Clean

Audience = Literal["public", "office"]
FeedEntity = Literal["demand", "profile", "match"]
MappingName = Annotated[str, StringConstraints(min_length=1, max_length=50), *Clean]


class FeedItem(BaseModel):
    """What is told of one event: the body of a webhook, and an item of the feed."""

    seq: int = Field(description="Number of the event; later events have larger ones.")
    event: str = Field(examples=["demand.published"])
    entity: str = Field(examples=["demand"])
    entity_id: str
    at: datetime = Field(description="When it happened.")
    deleted: bool = Field(description="The record is gone, or may no longer be shown: remove it.")
    data: dict[str, Any] | None = Field(
        description="The record as it is now, which may be later than the event; null when it is deleted, or of a kind "
        "that the exchange does not show."
    )
