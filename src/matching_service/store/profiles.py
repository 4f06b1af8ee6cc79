"""Capability profiles of the supply side, their works, and, in a table of its own, their contact data."""

from datetime import date
from typing import Any

from sqlalchemy import JSON, ForeignKey, Index, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from matching_service.store.base import Identified, Table, Versioned

HOME = "CN"
"""``country`` of profiles that are not overseas (海智)."""
NEVER_MATCHED = frozenset({"hidden", "withdrawn"})
"""Values of ``visibility`` that keep a profile out of the index and out of all lists."""


class ProfileRow(Identified, Versioned, Table):
    __tablename__ = "profiles"
    __table_args__ = (UniqueConstraint("source", "external_id"), Index(None, "kind", "id"))

    source: Mapped[str] = mapped_column(String(100))
    external_id: Mapped[str | None] = mapped_column(String(100))
    kind: Mapped[str] = mapped_column(String(20))
    name: Mapped[str] = mapped_column(String(200))
    summary: Mapped[str | None] = mapped_column(Text)
    keywords: Mapped[list[str]]
    fields: Mapped[list[str]]
    organization_id: Mapped[str | None] = mapped_column(ForeignKey("organizations.id"), index=True)
    region: Mapped[str | None] = mapped_column(String(6))
    country: Mapped[str] = mapped_column(String(2))
    language: Mapped[str] = mapped_column(String(8))
    title: Mapped[str | None] = mapped_column(String(200))
    honours: Mapped[list[str]]
    clusters: Mapped[list[str]]
    capacity: Mapped[int | None]
    available_from: Mapped[date | None]
    available_until: Mapped[date | None]
    visibility: Mapped[str] = mapped_column(String(20))
    origin: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    # lazy="raise": a missing eager load fails in tests instead of causing one query per row in production
    works: Mapped[list["WorkRow"]] = relationship(
        lazy="raise", order_by="WorkRow.position", cascade="all, delete-orphan", passive_deletes=True
    )

    @property
    def is_overseas(self) -> bool:
        return self.country != HOME


class WorkRow(Identified, Table):
    __tablename__ = "works"
    __table_args__ = (UniqueConstraint("profile_id", "external_id"),)

    profile_id: Mapped[str] = mapped_column(ForeignKey("profiles.id", ondelete="CASCADE"), index=True)
    position: Mapped[int]
    external_id: Mapped[str | None] = mapped_column(String(100))
    kind: Mapped[str] = mapped_column(String(20))
    title: Mapped[str] = mapped_column(String(500))
    abstract: Mapped[str | None] = mapped_column(Text)
    year: Mapped[int | None]


class ProfileContactRow(Table):
    __tablename__ = "profile_contacts"

    profile_id: Mapped[str] = mapped_column(ForeignKey("profiles.id", ondelete="CASCADE"), primary_key=True)
    phone: Mapped[str | None] = mapped_column(String(50))
    email: Mapped[str | None] = mapped_column(String(200))
    address: Mapped[str | None] = mapped_column(String(500))
