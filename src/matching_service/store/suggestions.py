"""Suggestions: profiles proposed for demands, and the history of their states."""

from datetime import datetime

from sqlalchemy import ForeignKey, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from matching_service.store.base import Identified, Table, Versioned
from matching_service.store.demands import DemandRow
from matching_service.store.profiles import ProfileRow

REFUSED = frozenset({"declined", "no_answer", "not_suitable"})
"""Values of ``status`` of a failed suggestion. The profile is not ranked for that demand again."""

ACCEPTED = frozenset({"accepted", "met", "agreed"})
"""Values of ``status`` after the profile has accepted."""

UNSETTLED = frozenset({"suggested", "contacted", "accepted", "met"})
"""Values of ``status`` of a suggestion that waits for its next step. It is closed when its demand ends."""

CLOSED = "closed"


class SuggestionRow(Identified, Versioned, Table):
    __tablename__ = "suggestions"
    __table_args__ = (UniqueConstraint("demand_id", "profile_id"),)

    demand_id: Mapped[str] = mapped_column(ForeignKey("demands.id", ondelete="CASCADE"))
    demand: Mapped[DemandRow] = relationship(lazy="raise")
    profile_id: Mapped[str] = mapped_column(ForeignKey("profiles.id", ondelete="CASCADE"), index=True)
    profile: Mapped[ProfileRow] = relationship(lazy="raise")
    status: Mapped[str] = mapped_column(String(20))
    reason: Mapped[str | None] = mapped_column(String(30))
    note: Mapped[str | None] = mapped_column(Text)


class SuggestionTransitionRow(Identified, Table):
    __tablename__ = "suggestion_transitions"

    suggestion_id: Mapped[str] = mapped_column(ForeignKey("suggestions.id", ondelete="CASCADE"), index=True)
    suggestion: Mapped[SuggestionRow] = relationship(lazy="raise")  # makes a flush insert the suggestion first
    from_status: Mapped[str | None] = mapped_column(String(20))
    to_status: Mapped[str] = mapped_column(String(20))
    reason: Mapped[str | None] = mapped_column(String(30))
    note: Mapped[str | None] = mapped_column(Text)
    actor_id: Mapped[str] = mapped_column(ForeignKey("principals.id"))
    at: Mapped[datetime]
