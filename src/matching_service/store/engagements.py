"""Engagements: contacts, visits, meetings, trainings and roadshows, with their outcomes and next steps."""

from datetime import date, datetime

from sqlalchemy import ForeignKey, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from matching_service.store.base import Identified, Table, Versioned


class EngagementRow(Identified, Versioned, Table):
    """An engagement.

    staff : name of the person whose calendar has it.
    staff_id : the principal with this name; None if no holder of an active key has it, or several have.
    """

    __tablename__ = "engagements"
    __table_args__ = (
        Index(None, "staff", "held_on"),
        Index(None, "staff", "next_step_on"),
        Index(None, "staff_id", "held_on"),
        Index(None, "staff_id", "next_step_on"),
    )

    kind: Mapped[str] = mapped_column(String(20))
    held_on: Mapped[date]
    staff: Mapped[str] = mapped_column(String(100))
    staff_id: Mapped[str | None] = mapped_column(ForeignKey("principals.id"))
    people: Mapped[list[str]]
    organization_id: Mapped[str | None] = mapped_column(ForeignKey("organizations.id"), index=True)
    demand_id: Mapped[str | None] = mapped_column(ForeignKey("demands.id", ondelete="SET NULL"), index=True)
    profile_id: Mapped[str | None] = mapped_column(ForeignKey("profiles.id", ondelete="SET NULL"), index=True)
    place: Mapped[str | None] = mapped_column(String(200))
    note: Mapped[str | None] = mapped_column(Text)
    outcome: Mapped[str | None] = mapped_column(Text)
    next_step: Mapped[str | None] = mapped_column(Text)
    next_step_on: Mapped[date | None]
    next_step_done_at: Mapped[datetime | None]
