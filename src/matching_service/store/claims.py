"""Claims (揭榜): offers to solve a demand, and the sheets on which they are judged."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, CheckConstraint, ForeignKey, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from matching_service.store.base import Identified, Table, Versioned

OFFERED, NOT_CHOSEN = "offered", "not_chosen"
"""Values of ``status``: an undecided claim, and one that was not chosen."""


class ClaimRow(Identified, Versioned, Table):
    """A claim by a profile or an organization. It has neither if the profile was deleted."""

    __tablename__ = "claims"
    __table_args__ = (CheckConstraint("profile_id IS NULL OR organization_id IS NULL", name="one_claimant"),)

    demand_id: Mapped[str] = mapped_column(ForeignKey("demands.id", ondelete="CASCADE"), index=True)
    profile_id: Mapped[str | None] = mapped_column(ForeignKey("profiles.id", ondelete="SET NULL"), index=True)
    organization_id: Mapped[str | None] = mapped_column(ForeignKey("organizations.id"), index=True)
    status: Mapped[str] = mapped_column(String(20))
    offer: Mapped[str] = mapped_column(Text)
    price_wan: Mapped[float | None]
    attachments: Mapped[list[dict[str, Any]]] = mapped_column(JSON)
    opinion: Mapped[str | None] = mapped_column(Text)


class ClaimScoreRow(Identified, Table):
    """One score sheet, entered by ``actor_id`` for itself, or for a guest judge without a key."""

    __tablename__ = "claim_scores"
    __table_args__ = (UniqueConstraint("claim_id", "actor_id", "judge"),)

    claim_id: Mapped[str] = mapped_column(ForeignKey("claims.id", ondelete="CASCADE"))
    judge: Mapped[str] = mapped_column(String(100))
    points: Mapped[dict[str, Any]]
    total: Mapped[float]
    comment: Mapped[str | None] = mapped_column(Text)
    actor_id: Mapped[str] = mapped_column(ForeignKey("principals.id"))
    at: Mapped[datetime]
