"""Response bodies of the feed."""

from pydantic import BaseModel, Field

from matching_service.disclosure.schemas import FeedItem

MAX_FEED_ITEMS = 200


class FeedAnswer(BaseModel):
    items: list[FeedItem]
    next_cursor: str = Field(description="Pass it as `cursor` to continue, now or at any later time.")
    has_more: bool = Field(description="Whether more can be read at once, which is possible even if a page is empty.")
