"""The outbox: what changed, in the order in which it was committed. The index, and later the webhooks, read it.

Events are collected during a transaction and written just before its commit (``database.py``), on PostgreSQL
under a lock: otherwise a transaction with a lower number could commit after a reader has passed it.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, Index, Integer, String, func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from matching_service.foundation.clock import now
from matching_service.store.base import Table

_PENDING = "outbox_events"


class OutboxRow(Table):
    __tablename__ = "outbox_events"

    seq: Mapped[int] = mapped_column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True)
    at: Mapped[datetime]
    event: Mapped[str] = mapped_column(String(50))
    entity: Mapped[str] = mapped_column(String(50))
    entity_id: Mapped[str] = mapped_column(String(36))
    detail: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))

    __table_args__ = (
        Index(None, "entity", "seq"),
        Index("ix_outbox_events_newest", "entity", "entity_id", "seq"),  # is there a newer event of the same record?
        {"sqlite_autoincrement": True},  # a number is never used twice
    )


def record_event(
    session: AsyncSession, event: str, *, entity: str, entity_id: str, detail: Mapping[str, Any] | None = None
) -> None:
    """Say that something happened; it is written and seen together with the transaction, or not at all.

    detail : plain JSON, what changed where the event's name does not say it:
        ``{"fields": [...]}`` of ``*.updated``, of a profile with ``"works": [{"id", "title", "change"}]``, where
        change is added, changed or removed; ``{"from": ..., "to": ...}`` of a demand's step to another state.
    """
    session.info.setdefault(_PENDING, []).append(
        OutboxRow(
            at=now(),
            event=event,
            entity=entity,
            entity_id=entity_id,
            detail=dict(detail) if detail is not None else None,
        )
    )


def take_pending(session: AsyncSession) -> Sequence[OutboxRow]:
    """The events of this transaction that are not written yet."""
    pending: list[OutboxRow] = session.info.pop(_PENDING, [])
    return pending


async def last_seq(session: AsyncSession, *, entity: str) -> int:
    """The number of the newest event of one kind of entity, 0 when there is none."""
    return int(await session.scalar(select(func.max(OutboxRow.seq)).where(OutboxRow.entity == entity)) or 0)


async def events_after(session: AsyncSession, seq: int, *, entity: str, limit: int) -> Sequence[OutboxRow]:
    """The next events of one kind of entity, oldest first."""
    statement = (
        select(OutboxRow).where(OutboxRow.seq > seq, OutboxRow.entity == entity).order_by(OutboxRow.seq).limit(limit)
    )
    return (await session.scalars(statement)).all()
