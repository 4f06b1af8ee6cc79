"""Imported feeds of other services, and their rejected items."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, ForeignKey, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from matching_service.store.base import Identified, Table


class FeedRow(Identified, Table):
    """Another service whose feed is imported, with the cursor that was reached."""

    __tablename__ = "feeds"

    name: Mapped[str] = mapped_column(String(30), unique=True)
    url: Mapped[str] = mapped_column(String(2000))
    cursor: Mapped[str | None] = mapped_column(String(500))
    imported_at: Mapped[datetime | None]


class FeedRejectionRow(Identified, Table):
    """An item of a feed that could not be stored. Each import tries it again."""

    __tablename__ = "feed_rejections"
    __table_args__ = (UniqueConstraint("feed_id", "entity", "entity_id"),)

    feed_id: Mapped[str] = mapped_column(ForeignKey("feeds.id", ondelete="CASCADE"))
    entity: Mapped[str] = mapped_column(String(50))
    entity_id: Mapped[str] = mapped_column(String(100))
    item: Mapped[Any] = mapped_column(JSON)
    errors: Mapped[Any] = mapped_column(JSON)
    at: Mapped[datetime]
