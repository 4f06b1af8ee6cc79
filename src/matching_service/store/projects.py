"""Projects: what a signed match becomes."""

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from matching_service.store.base import Identified, Table, Versioned


class ProjectRow(Identified, Versioned, Table):
    """The project of one demand. It has no state of its own: the demand's tells how far it is."""

    __tablename__ = "projects"

    demand_id: Mapped[str] = mapped_column(ForeignKey("demands.id", ondelete="CASCADE"), unique=True)
    contract_number: Mapped[str | None] = mapped_column(String(100))
