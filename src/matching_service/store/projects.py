"""Projects, which start with a signed contract, with their partners and milestones."""

from datetime import date

from sqlalchemy import ForeignKey, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from matching_service.store.base import Identified, Table, Versioned


class ProjectRow(Identified, Versioned, Table):
    """The project of one demand. Its state is that of the demand."""

    __tablename__ = "projects"

    demand_id: Mapped[str] = mapped_column(ForeignKey("demands.id", ondelete="CASCADE"), unique=True)
    contract_number: Mapped[str | None] = mapped_column(String(100))
    contract_amount_wan: Mapped[float | None]
    results: Mapped[str | None] = mapped_column(Text)
    partners: Mapped[list["ProjectPartnerRow"]] = relationship(
        lazy="raise", order_by="ProjectPartnerRow.position", cascade="all, delete-orphan", passive_deletes=True
    )
    milestones: Mapped[list["MilestoneRow"]] = relationship(
        lazy="raise",
        order_by="MilestoneRow.due_on, MilestoneRow.id",
        cascade="all, delete-orphan",
        passive_deletes=True,
    )


class ProjectPartnerRow(Identified, Table):
    """A partner of a project. ``name`` also serves partners without a profile, and stays if the profile is deleted."""

    __tablename__ = "project_partners"

    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id", ondelete="CASCADE"), index=True)
    position: Mapped[int]
    name: Mapped[str] = mapped_column(String(200))
    role: Mapped[str | None] = mapped_column(String(50))
    profile_id: Mapped[str | None] = mapped_column(ForeignKey("profiles.id", ondelete="SET NULL"), index=True)
    organization_id: Mapped[str | None] = mapped_column(ForeignKey("organizations.id"), index=True)


class MilestoneRow(Identified, Table):
    __tablename__ = "project_milestones"
    __table_args__ = (Index(None, "done_on", "due_on"),)

    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id", ondelete="CASCADE"), index=True)
    title: Mapped[str] = mapped_column(String(200))
    due_on: Mapped[date]
    done_on: Mapped[date | None]
    note: Mapped[str | None] = mapped_column(Text)
