"""Webhook subscriptions, where the sender stands with each, and the deliveries of events."""

from datetime import datetime

from sqlalchemy import BigInteger, ForeignKey, Index, Integer, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from matching_service.store.base import Identified, Table, Versioned
from matching_service.store.outbox import OutboxRow

_Seq = BigInteger().with_variant(Integer, "sqlite")


class WebhookRow(Identified, Versioned, Table):
    """A subscription. The secret is stored as it is, because signing needs it; it is shown when it is made, and never
    again. After a change the one before signs too until a moment, so that the receiver can change over.
    """

    __tablename__ = "webhooks"

    url: Mapped[str] = mapped_column(String(2000))
    secret: Mapped[str] = mapped_column(String(100))
    old_secret: Mapped[str | None] = mapped_column(String(100))
    old_secret_until: Mapped[datetime | None]
    events: Mapped[list[str]]
    audience: Mapped[str] = mapped_column(String(10))
    mapping: Mapped[str | None] = mapped_column(String(50))
    is_active: Mapped[bool]
    created_by: Mapped[str] = mapped_column(ForeignKey("principals.id"))


class WebhookStateRow(Table):
    """Where the sender stands with a subscription; apart from it, because this changes with every event.

    ``queued_seq`` is the last event that was looked at. Whoever holds the lease sends, and nobody else.
    """

    __tablename__ = "webhook_states"

    webhook_id: Mapped[str] = mapped_column(ForeignKey("webhooks.id", ondelete="CASCADE"), primary_key=True)
    queued_seq: Mapped[int] = mapped_column(_Seq)
    rest_until: Mapped[datetime | None]
    lease_holder: Mapped[str | None] = mapped_column(String(36))
    lease_until: Mapped[datetime | None]


class DeliveryRow(Identified, Table):
    """One event for one subscription; its id is the ``Webhook-Id``, the same at each attempt.

    state : pending, delivered, dead (given up, holds back what follows it), or skipped (nothing to tell, or a person
        said so).
    """

    __tablename__ = "webhook_deliveries"
    __table_args__ = (
        UniqueConstraint("webhook_id", "seq"),
        Index(None, "webhook_id", "state", "seq"),  # what is pending, in order
        Index(None, "webhook_id", "order_key", "seq"),  # what comes before it
        Index(None, "seq"),  # may the event be deleted?
    )

    webhook_id: Mapped[str] = mapped_column(ForeignKey("webhooks.id", ondelete="CASCADE"))
    seq: Mapped[int] = mapped_column(_Seq, ForeignKey("outbox_events.seq"))
    event: Mapped[OutboxRow] = relationship(lazy="raise")
    order_key: Mapped[str] = mapped_column(String(100))
    state: Mapped[str] = mapped_column(String(10))
    n_attempts: Mapped[int] = mapped_column(default=0)
    first_attempt_at: Mapped[datetime | None]
    last_attempt_at: Mapped[datetime | None]
    next_attempt_at: Mapped[datetime]
    last_status: Mapped[int | None]
    last_error: Mapped[str | None] = mapped_column(String(500))
