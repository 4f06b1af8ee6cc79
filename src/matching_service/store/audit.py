"""The audit log: actor, action, record, time and place. Triggers refuse to change or delete a row."""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from matching_service.store.base import Identified, Table


class AuditRow(Identified, Table):
    """seq : from 1 without a hole, in the order of the commits. digest : of this row and the one before (``chain.py``).

    address : of the caller; None for a command. detail : names of fields and states, never their contents.
    """

    __tablename__ = "audit_events"
    __table_args__ = (Index(None, "entity", "entity_id"),)

    at: Mapped[datetime]
    actor_id: Mapped[str] = mapped_column(ForeignKey("principals.id"))
    action: Mapped[str] = mapped_column(String(50))
    entity: Mapped[str] = mapped_column(String(50))
    entity_id: Mapped[str] = mapped_column(String(36))
    request_id: Mapped[str | None] = mapped_column(String(100))
    address: Mapped[str | None] = mapped_column(String(45))
    detail: Mapped[dict[str, Any]]
    seq: Mapped[int] = mapped_column(BigInteger, unique=True)
    digest: Mapped[str] = mapped_column(String(64))
