"""What was shown to people: match runs, their lists, and what people decided about single matches."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import JSON, ForeignKey, Index, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from matching_service.store.base import Identified, Table


class RunScope(StrEnum):
    """What a run ranks: one demand that was asked for by hand, all open demands, or the open ones that something has
    changed for.
    """

    DEMAND = "demand"
    OPEN = "open"
    CHANGED = "changed"


NIGHT_SCOPES = (RunScope.OPEN, RunScope.CHANGED)
"""Scopes of runs over many demands, of which one at most is running."""


class RunState(StrEnum):
    """Only the lists of a finished run are visible."""

    RUNNING = "running"
    FINISHED = "finished"
    CANCELLED = "cancelled"
    FAILED = "failed"


class ListState(StrEnum):
    """A list that was made, though it may be empty; one that could not be made; or the list before still holds."""

    DONE = "done"
    FAILED = "failed"
    KEPT = "kept"


class MatchRunRow(Identified, Table):
    """One ranking of one demand (scope ``demand``), of all open ones (``open``), or of those of them that something
    has changed for (``changed``), with all that made it.

    ``events_as_of``: every event up to this number, of any kind, was known when the run began. ``worked_s``: seconds
    spent on the demands that are done. ``frequencies_version`` and ``stability``: only of runs over many demands, and
    the first only once such a run has counted the words.
    """

    __tablename__ = "match_runs"

    scope: Mapped[str] = mapped_column(String(20))
    state: Mapped[str] = mapped_column(String(20), index=True)
    created_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]
    heartbeat_at: Mapped[datetime | None]
    worked_s: Mapped[float] = mapped_column(default=0.0)
    n_demands: Mapped[int] = mapped_column(default=0)
    n_done: Mapped[int] = mapped_column(default=0)
    n_kept: Mapped[int] = mapped_column(default=0)
    n_failed: Mapped[int] = mapped_column(default=0)
    top_k: Mapped[int]
    events_as_of: Mapped[int]
    index_version: Mapped[str] = mapped_column(String(36))
    index_as_of: Mapped[int]
    index_profiles: Mapped[int]
    lexicon_version: Mapped[str] = mapped_column(String(50))
    encoder_version: Mapped[str] = mapped_column(String(100))
    weights_version: Mapped[str] = mapped_column(String(100))
    frequencies_version: Mapped[str | None] = mapped_column(String(64))
    stability: Mapped[float | None]


class MatchListRow(Identified, Table):
    """The list of one demand in one run (state ``done``, it may be empty), the error that prevented it (``failed``),
    or that the list before still holds (``kept``).

    ``n_matches`` stays when a profile is deleted and its match with it. ``changes`` since the list before, as
    ``matching.changes`` writes them, None where there are none; the counts are theirs.
    """

    __tablename__ = "match_lists"
    __table_args__ = (UniqueConstraint("run_id", "demand_id"), Index(None, "demand_id", "id"))

    run_id: Mapped[str] = mapped_column(ForeignKey("match_runs.id", ondelete="CASCADE"))
    demand_id: Mapped[str] = mapped_column(ForeignKey("demands.id", ondelete="CASCADE"))
    state: Mapped[str] = mapped_column(String(20))
    error: Mapped[str | None] = mapped_column(Text)
    previous_list_id: Mapped[str | None] = mapped_column(String(36))
    took_ms: Mapped[float | None]
    n_matches: Mapped[int] = mapped_column(default=0)
    n_entered: Mapped[int] = mapped_column(default=0)
    n_left: Mapped[int] = mapped_column(default=0)
    n_moved: Mapped[int] = mapped_column(default=0)
    changes: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))


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
    actor_id: Mapped[str] = mapped_column(ForeignKey("principals.id"))
    at: Mapped[datetime]
