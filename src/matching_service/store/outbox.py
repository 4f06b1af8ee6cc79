"""The outbox: what changed, in the order in which it was committed. The index, and later the webhooks, read it.

Events are written at the end of their transaction (``journal.py``), on PostgreSQL under a lock: otherwise a
transaction with a lower number could commit after a reader has passed it.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, Index, Integer, String, func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from matching_service.foundation.clock import now
from matching_service.store.base import Table
from matching_service.store.journal import append
from matching_service.store.lookup import id_batches

_INDEXED = ("profile", "demand")


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
        change is added, changed or removed; ``{"from": ..., "to": ...}`` of a demand's step to another state;
        ``{"demand_id": ..., "profile_id": ...}`` of a decision about a match. Whatever belongs to a demand names it as
        ``demand_id``: webhooks tell of it in the order of the demand.
    """
    append(
        session,
        OutboxRow,
        at=now(),
        event=event,
        entity=entity,
        entity_id=entity_id,
        detail=dict(detail) if detail is not None else None,
    )


async def last_seq(session: AsyncSession, *, entity: str | None = None) -> int:
    """The number of the newest event, of one kind of entity or of all, 0 when there is none."""
    statement = select(func.max(OutboxRow.seq))
    if entity is not None:
        statement = statement.where(OutboxRow.entity == entity)
    return int(await session.scalar(statement) or 0)


async def last_seqs(session: AsyncSession) -> dict[str, int]:
    """The numbers of the newest events of profiles, of demands and ("") of all, in one query."""
    newest = {entity: select(func.max(OutboxRow.seq)).where(OutboxRow.entity == entity) for entity in _INDEXED}
    newest[""] = select(func.max(OutboxRow.seq))
    row = (await session.execute(select(*(statement.scalar_subquery() for statement in newest.values())))).one()
    return {entity: int(seq or 0) for entity, seq in zip(newest, row, strict=True)}


async def events_after(session: AsyncSession, seq: int, *, entity: str, limit: int) -> Sequence[OutboxRow]:
    """The next events of one kind of entity, oldest first."""
    statement = (
        select(OutboxRow).where(OutboxRow.seq > seq, OutboxRow.entity == entity).order_by(OutboxRow.seq).limit(limit)
    )
    return (await session.scalars(statement)).all()


async def events_about(
    session: AsyncSession, seq: int, *, entity: str, ids: Iterable[str]
) -> Mapping[str, Sequence[OutboxRow]]:
    """Per entity the events after a number, oldest first, in as few queries as the databases allow."""
    found: dict[str, list[OutboxRow]] = defaultdict(list)
    statement = select(OutboxRow).where(OutboxRow.seq > seq, OutboxRow.entity == entity).order_by(OutboxRow.seq)
    for batch in id_batches(ids):
        for event in await session.scalars(statement.where(OutboxRow.entity_id.in_(batch))):
            found[event.entity_id].append(event)
    return found
