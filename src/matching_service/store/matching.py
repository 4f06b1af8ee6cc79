"""What was shown to people: match runs, their lists, and what people decided about single matches."""

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from matching_service.store.base import Identified, Table


class MatchRunRow(Identified, Table):
    """One ranking of one demand (scope ``demand``) or of all open ones (``open``), with all that made it."""

    __tablename__ = "match_runs"

    scope: Mapped[str] = mapped_column(String(20))
    state: Mapped[str] = mapped_column(String(20), index=True)
    created_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]
    n_demands: Mapped[int] = mapped_column(default=0)
    n_done: Mapped[int] = mapped_column(default=0)
    n_failed: Mapped[int] = mapped_column(default=0)
    top_k: Mapped[int]
    index_version: Mapped[str] = mapped_column(String(36))
    index_as_of: Mapped[int]
    index_profiles: Mapped[int]
    lexicon_version: Mapped[str] = mapped_column(String(50))
    encoder_version: Mapped[str] = mapped_column(String(100))
    weights_version: Mapped[str] = mapped_column(String(100))


class MatchListRow(Identified, Table):
    """The list of one demand in one run; it may be empty, or hold the error that prevented it."""

    __tablename__ = "match_lists"
    __table_args__ = (UniqueConstraint("run_id", "demand_id"), Index(None, "demand_id", "id"))

    run_id: Mapped[str] = mapped_column(ForeignKey("match_runs.id", ondelete="CASCADE"))
    demand_id: Mapped[str] = mapped_column(ForeignKey("demands.id", ondelete="CASCADE"))
    state: Mapped[str] = mapped_column(String(20))
    error: Mapped[str | None] = mapped_column(Text)
    previous_list_id: Mapped[str | None] = mapped_column(String(36))
    took_ms: Mapped[float | None]


class MatchRow(Identified, Table):
    """A profile's place in a list. Deleting the profile deletes it here too: the person's right comes first."""

    __tablename__ = "matches"
    __table_args__ = (UniqueConstraint("list_id", "profile_id"),)

    list_id: Mapped[str] = mapped_column(ForeignKey("match_lists.id", ondelete="CASCADE"))
    profile_id: Mapped[str] = mapped_column(ForeignKey("profiles.id", ondelete="CASCADE"), index=True)
    rank: Mapped[int]
    score: Mapped[float]
    level: Mapped[str] = mapped_column(String(10))
    explanation: Mapped[dict[str, Any]]


class DecisionRow(Identified, Table):
    """What a person decided about a profile for a demand; it outlives the list in which it was decided."""

    __tablename__ = "decisions"
    __table_args__ = (UniqueConstraint("demand_id", "profile_id"),)

    demand_id: Mapped[str] = mapped_column(ForeignKey("demands.id", ondelete="CASCADE"))
    profile_id: Mapped[str] = mapped_column(ForeignKey("profiles.id", ondelete="CASCADE"), index=True)
    decision: Mapped[str] = mapped_column(String(20))
    reason: Mapped[str | None] = mapped_column(Text)
    actor_id: Mapped[str] = mapped_column(String(36))
    at: Mapped[datetime]
