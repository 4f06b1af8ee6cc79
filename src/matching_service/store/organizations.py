"""Enterprises with demands, institutions of suppliers, and their exclusion lists."""

from datetime import datetime
from unicodedata import normalize

from sqlalchemy import CheckConstraint, ForeignKey, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from matching_service.store.base import Identified, Table, Versioned


def plain_name(name: str) -> str:
    """Return the letters and digits of a name, full and half width alike. Equal ones mean the same organization."""
    folded = normalize("NFKC", name).casefold()
    return "".join(character for character in folded if character.isalnum()) or folded


class OrganizationRow(Identified, Versioned, Table):
    """An organization.

    plain_name : ``plain_name(name)``. The same firm may be registered by several sources.
    merged_into : the record that replaced this one. Nothing refers to a merged record, and its replacement is not
        merged itself.
    """

    __tablename__ = "organizations"
    __table_args__ = (UniqueConstraint("source", "external_id"), UniqueConstraint("credit_code"))

    source: Mapped[str] = mapped_column(String(100))
    external_id: Mapped[str | None] = mapped_column(String(100))
    name: Mapped[str] = mapped_column(String(200), index=True)
    plain_name: Mapped[str] = mapped_column(
        String(400), index=True, default=lambda context: plain_name(context.get_current_parameters()["name"])
    )
    credit_code: Mapped[str | None] = mapped_column(String(18))
    region: Mapped[str | None] = mapped_column(String(6))
    kind: Mapped[str] = mapped_column(String(20))
    cluster: Mapped[str | None] = mapped_column(String(50))
    introduction: Mapped[str | None] = mapped_column(Text)
    merged_into: Mapped[str | None] = mapped_column(ForeignKey("organizations.id"), index=True)


class ExclusionRow(Identified, Table):
    """A profile, or an organization with all its profiles, that must never be proposed to an organization."""

    __tablename__ = "exclusions"
    __table_args__ = (
        UniqueConstraint("organization_id", "profile_id"),
        UniqueConstraint("organization_id", "excluded_organization_id"),
        CheckConstraint("(profile_id IS NULL) <> (excluded_organization_id IS NULL)", name="one_target"),
    )

    organization_id: Mapped[str] = mapped_column(ForeignKey("organizations.id", ondelete="CASCADE"), index=True)
    profile_id: Mapped[str | None] = mapped_column(ForeignKey("profiles.id", ondelete="CASCADE"), index=True)
    excluded_organization_id: Mapped[str | None] = mapped_column(ForeignKey("organizations.id", ondelete="CASCADE"))
    reason: Mapped[str | None] = mapped_column(Text)
    actor_id: Mapped[str] = mapped_column(ForeignKey("principals.id"))
    at: Mapped[datetime]
