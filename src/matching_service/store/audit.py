"""The audit log: actor, action, record and time. Rows are never changed or deleted."""

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from matching_service.store.base import Identified, Table


class AuditRow(Identified, Table):
    __tablename__ = "audit_events"
    __table_args__ = (Index(None, "entity", "entity_id"),)

    at: Mapped[datetime]
    actor_id: Mapped[str] = mapped_column(ForeignKey("principals.id"))
    action: Mapped[str] = mapped_column(String(50))
    entity: Mapped[str] = mapped_column(String(50))
    entity_id: Mapped[str] = mapped_column(String(36))
    request_id: Mapped[str | None] = mapped_column(String(100))
    detail: Mapped[dict[str, Any]]
