"""Enterprises that ask, and the institutions that suppliers belong to."""

from sqlalchemy import String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from matching_service.store.base import Identified, Table, Versioned


class OrganizationRow(Identified, Versioned, Table):
    __tablename__ = "organizations"
    __table_args__ = (UniqueConstraint("source", "external_id"), UniqueConstraint("credit_code"))

    source: Mapped[str] = mapped_column(String(100))
    external_id: Mapped[str | None] = mapped_column(String(100))
    name: Mapped[str] = mapped_column(String(200), index=True)
    credit_code: Mapped[str | None] = mapped_column(String(18))
    region: Mapped[str | None] = mapped_column(String(6))
    kind: Mapped[str] = mapped_column(String(20))
    introduction: Mapped[str | None] = mapped_column(Text)
