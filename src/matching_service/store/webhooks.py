"""Webhook subscriptions, the state of the sender for each, and the deliveries of events."""

from datetime import datetime

from sqlalchemy import BigInteger, ForeignKey, Index, Integer, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from matching_service.store.base import Identified, Table, Versioned
from matching_service.store.outbox import OutboxRow

_Seq = BigInteger().with_variant(Integer, "sqlite")


class WebhookRow(Identified, Versioned, Table):
    """A subscription.

    secret : stored in plain text, because signing needs it. It is shown only once, when it is created.
    old_secret : the previous secret, which also signs until ``old_secret_until``, so that the receiver can switch.
    """

    __tablename__ = "webhooks"

    url: Mapped[str] = mapped_column(String(2000))
    secret: Mapped[str] = mapped_column(String(100))
    old_secret: Mapped[str | None] = mapped_column(String(100))
    old_secret_until: Mapped[datetime | None]
    events: Mapped[list[str]]
    audience: Mapped[str] = mapped_column(String(10))
    source: Mapped[str | None] = mapped_column(String(100))
    mapping: Mapped[str | None] = mapped_column(String(50))
    is_active: Mapped[bool]
    created_by: Mapped[str] = mapped_column(ForeignKey("principals.id"))


class WebhookStateRow(Table):
    """The state of the sender for a subscription, in a table of its own because it changes with every event.

    queued_seq : sequence number of the last event that was considered for the queue.
    lease_holder : the only process that may send until ``lease_until``.
    """

    __tablename__ = "webhook_states"

    webhook_id: Mapped[str] = mapped_column(ForeignKey("webhooks.id", ondelete="CASCADE"), primary_key=True)
    queued_seq: Mapped[int] = mapped_column(_Seq)
    rest_until: Mapped[datetime | None]
    lease_holder: Mapped[str | None] = mapped_column(String(36))
    lease_until: Mapped[datetime | None]


class DeliveryRow(Identified, Table):
    """One event for one subscription. Its id is the ``Webhook-Id``, the same for every attempt.

    state : pending; delivered; dead (given up, holds back later deliveries of its order key); or skipped (by a person,
        or because the audience must not know of the record).
    """

    __tablename__ = "webhook_deliveries"
    __table_args__ = (
        UniqueConstraint("webhook_id", "seq"),
        Index(None, "webhook_id", "state", "seq"),  # finds pending deliveries in order
        Index(None, "webhook_id", "order_key", "seq"),  # finds earlier deliveries of a key
        Index(None, "seq"),  # tells whether an event may be deleted
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
