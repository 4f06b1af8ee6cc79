"""Projects: what a signed match becomes, with its partners and milestones."""

from datetime import date

from sqlalchemy import ForeignKey, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from matching_service.store.base import Identified, Table, Versioned


class ProjectRow(Identified, Versioned, Table):
    """The project of one demand. It has no state of its own: the demand's tells how far it is."""

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
    """Who works on a project; the name stays when the profile is deleted or was never known."""

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
