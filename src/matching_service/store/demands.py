"""Demands, the history of their states, and, in a table of its own, their contact data."""

from datetime import date, datetime
from typing import Any

from sqlalchemy import JSON, ForeignKey, Index, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from matching_service.store.base import Identified, Table, Versioned

UNDER_CONTRACT = ("contracted", "in_progress")
"""States of a demand with a running project."""


class DemandRow(Identified, Versioned, Table):
    __tablename__ = "demands"
    __table_args__ = (UniqueConstraint("source", "external_id"), Index(None, "status", "id"))

    source: Mapped[str] = mapped_column(String(100))
    external_id: Mapped[str | None] = mapped_column(String(100))
    status: Mapped[str] = mapped_column(String(20), default="draft")
    published_at: Mapped[datetime | None]
    expires_on: Mapped[date | None]
    title: Mapped[str] = mapped_column(String(200))
    problem: Mapped[str | None] = mapped_column(Text)
    key_technology: Mapped[str | None] = mapped_column(Text)
    expected_goal: Mapped[str | None] = mapped_column(Text)
    keywords: Mapped[list[str]]
    must_have: Mapped[list[str]]
    nice_to_have: Mapped[list[str]]
    organization_id: Mapped[str | None] = mapped_column(ForeignKey("organizations.id"), index=True)
    region: Mapped[str | None] = mapped_column(String(6))
    cluster: Mapped[str | None] = mapped_column(String(50))
    industry_code: Mapped[str | None] = mapped_column(String(5))
    funding_wan: Mapped[float | None]
    start_year: Mapped[int | None]
    end_year: Mapped[int | None]
    cooperation: Mapped[str | None] = mapped_column(String(20))
    wanted_partners: Mapped[list[str]]
    field: Mapped[str | None] = mapped_column(String(50))
    visibility: Mapped[str] = mapped_column(String(20))
    origin: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))


class DemandTransitionRow(Identified, Table):
    __tablename__ = "demand_transitions"

    demand_id: Mapped[str] = mapped_column(ForeignKey("demands.id", ondelete="CASCADE"), index=True)
    demand: Mapped[DemandRow] = relationship(lazy="raise")  # makes a flush insert the demand first
    from_status: Mapped[str | None] = mapped_column(String(20))
    to_status: Mapped[str] = mapped_column(String(20))
    opinion: Mapped[str | None] = mapped_column(Text)
    reason: Mapped[str | None] = mapped_column(String(30))
    actor_id: Mapped[str] = mapped_column(ForeignKey("principals.id"))
    at: Mapped[datetime]


class DeadlineNoticeRow(Identified, Table):
    """A reminder ("nudge" or "last_chance") about a demand without contacts. One of each kind per time of silence."""

    __tablename__ = "deadline_notices"
    __table_args__ = (UniqueConstraint("demand_id", "kind", "silent_since"),)

    demand_id: Mapped[str] = mapped_column(ForeignKey("demands.id", ondelete="CASCADE"))
    kind: Mapped[str] = mapped_column(String(20))
    silent_since: Mapped[date]
    at: Mapped[datetime]


class DemandContactRow(Table):
    __tablename__ = "demand_contacts"

    demand_id: Mapped[str] = mapped_column(ForeignKey("demands.id", ondelete="CASCADE"), primary_key=True)
    person: Mapped[str | None] = mapped_column(String(50))
    mobile: Mapped[str | None] = mapped_column(String(50))
    email: Mapped[str | None] = mapped_column(String(200))
