"""Answers of the feed."""

from pydantic import BaseModel, Field

from matching_service.disclosure.schemas import FeedItem

MAX_FEED_ITEMS = 200


class FeedAnswer(BaseModel):
    items: list[FeedItem]
    next_cursor: str = Field(description="Pass as `cursor` to read on, now or at any later time.")
    has_more: bool = Field(description="There is more to read at once; a page may be empty and have more behind it.")
