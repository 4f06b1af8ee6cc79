"""The outbox: change events in the order of their commits. The index, the webhooks and the feed read it.

Events are inserted at the end of their transaction (``journal.py``), on PostgreSQL under a lock. Without the lock an
event with a lower sequence number could become visible after a reader has passed that number.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, Index, Integer, Select, String, func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from matching_service.foundation.clock import now
from matching_service.store.base import Table
from matching_service.store.journal import append
from matching_service.store.lookup import id_batches


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
        Index("ix_outbox_events_newest", "entity", "entity_id", "seq"),  # finds newer events of a record
        {"sqlite_autoincrement": True},  # never reuse a sequence number
    )


def _newest(*entities: str) -> Select[*tuple[Any, ...]]:
    newest = [select(func.max(OutboxRow.seq)).where(OutboxRow.entity == entity) for entity in entities]
    return select(*(query.scalar_subquery() for query in (*newest, select(func.max(OutboxRow.seq)))))


PAIR_ENTITIES = ("match", "suggestion")
"""Entities of the events about one demand and one profile: decisions and suggestions."""
_RANKED_BY = ("profile", "demand", *PAIR_ENTITIES)
"""Entities whose events can change a list."""
_NEWEST = _newest(*_RANKED_BY)


def record_event(
    session: AsyncSession, event: str, *, entity: str, entity_id: str, detail: Mapping[str, Any] | None = None
) -> None:
    """Record an event. It becomes visible when the transaction commits.

    detail : plain JSON with details that the name of the event does not give:
        ``*.updated`` has ``{"fields": [...]}``; for a profile also ``"works": [{"id", "title", "change"}]``, where
        change is added, changed or removed. A transition of a demand has ``{"from": ..., "to": ...}``. A decision
        about a match has ``{"demand_id": ..., "profile_id": ...}``. Events of records that belong to a demand must
        have ``demand_id``, because webhooks keep them in order with the demand's own events.
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
    """Return the sequence number of the newest event, of one entity or of all; 0 if there is none."""
    statement = select(func.max(OutboxRow.seq))
    if entity is not None:
        statement = statement.where(OutboxRow.entity == entity)
    return int(await session.scalar(statement) or 0)


async def moment_of(session: AsyncSession, seq: int) -> datetime | None:
    """When the event of this number happened; None when there is no such event."""
    return await session.scalar(select(OutboxRow.at).where(OutboxRow.seq == seq))


async def last_seqs(session: AsyncSession) -> dict[str, int]:
    """Return the newest sequence number of each entity in ``_RANKED_BY``, and of all events under "". One query."""
    row = (await session.execute(_NEWEST)).one()
    return {entity: int(seq or 0) for entity, seq in zip((*_RANKED_BY, ""), row, strict=True)}


async def events_after(session: AsyncSession, seq: int, *, entity: str, limit: int) -> Sequence[OutboxRow]:
    """Return the next events of one entity, oldest first."""
    statement = (
        select(OutboxRow).where(OutboxRow.seq > seq, OutboxRow.entity == entity).order_by(OutboxRow.seq).limit(limit)
    )
    return (await session.scalars(statement)).all()


async def events_about(
    session: AsyncSession, seq: int, *, entity: str, ids: Iterable[str]
) -> Mapping[str, Sequence[OutboxRow]]:
    """Return the events of each record after a sequence number, oldest first, in batched queries."""
    events: dict[str, list[OutboxRow]] = defaultdict(list)
    statement = select(OutboxRow).where(OutboxRow.seq > seq, OutboxRow.entity == entity).order_by(OutboxRow.seq)
    for batch in id_batches(ids):
        for event in await session.scalars(statement.where(OutboxRow.entity_id.in_(batch))):
            events[event.entity_id].append(event)
    return events


async def events_about_pairs(
    session: AsyncSession, seq: int, *, profile_ids: Iterable[str]
) -> Mapping[str, Sequence[OutboxRow]]:
    """Return the events of decisions and suggestions after a sequence number by profile id, oldest first.

    Their ``detail`` names the demand and the profile.
    """
    events: dict[str, list[OutboxRow]] = defaultdict(list)
    profile_id = OutboxRow.detail["profile_id"].as_string()
    statement = select(OutboxRow).where(OutboxRow.seq > seq, OutboxRow.entity.in_(PAIR_ENTITIES))
    for batch in id_batches(profile_ids):
        for event in await session.scalars(statement.where(profile_id.in_(batch)).order_by(OutboxRow.seq)):
            events[(event.detail or {})["profile_id"]].append(event)
    return events
