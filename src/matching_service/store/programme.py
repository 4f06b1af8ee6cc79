"""Records of the programme: cooperations, workstations and events, from which the targets of the plan are counted."""

from datetime import date

from sqlalchemy import (
    CheckConstraint,
    ColumnElement,
    ForeignKey,
    Index,
    SQLColumnExpression,
    String,
    Text,
    UniqueConstraint,
    and_,
    or_,
)
from sqlalchemy.orm import Mapped, mapped_column

from matching_service.store.base import Identified, Table, Versioned


def holds_on(
    day: date, started_on: SQLColumnExpression[date], ended_on: SQLColumnExpression[date | None]
) -> ColumnElement[bool]:
    """SQL condition: the period, including both its days, contains that day. No end: it still lasts."""
    return and_(started_on <= day, or_(ended_on.is_(None), ended_on >= day))


class ProgrammeRecordRow(Identified, Versioned, Table):
    """A fact with its first and last day.

    ended_on : null while it lasts, and for facts without an end.
    title : stays when the profile is deleted.
    region, cluster : of the record itself; null: those of its organization count.
    """

    __tablename__ = "programme_records"
    __table_args__ = (
        UniqueConstraint("source", "external_id"),
        Index(None, "kind", "started_on"),
        CheckConstraint("ended_on >= started_on", name="days"),
    )

    source: Mapped[str] = mapped_column(String(100))
    external_id: Mapped[str | None] = mapped_column(String(100))
    kind: Mapped[str] = mapped_column(String(20))
    title: Mapped[str] = mapped_column(String(200))
    organization_id: Mapped[str | None] = mapped_column(ForeignKey("organizations.id"), index=True)
    profile_id: Mapped[str | None] = mapped_column(ForeignKey("profiles.id", ondelete="SET NULL"), index=True)
    region: Mapped[str | None] = mapped_column(String(6))
    cluster: Mapped[str | None] = mapped_column(String(50))
    started_on: Mapped[date]
    ended_on: Mapped[date | None]
    note: Mapped[str | None] = mapped_column(Text)
