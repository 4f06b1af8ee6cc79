"""Match runs, their stored lists, and the decisions of people about single matches."""

from datetime import date, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import JSON, ForeignKey, Index, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from matching_service.store.base import Identified, Table


class RunScope(StrEnum):
    """The demands that a run ranks: one demand by hand, all open demands, or the open demands affected by changes."""

    DEMAND = "demand"
    OPEN = "open"
    CHANGED = "changed"


NIGHT_SCOPES = (RunScope.OPEN, RunScope.CHANGED)
"""Scopes of runs over many demands. At most one such run is running at a time."""


class RunState(StrEnum):
    """Only the lists of a finished run are visible."""

    RUNNING = "running"
    FINISHED = "finished"
    CANCELLED = "cancelled"
    FAILED = "failed"


class ListState(StrEnum):
    """The list was made (it may be empty), could not be made, or the previous list is kept."""

    DONE = "done"
    FAILED = "failed"
    KEPT = "kept"


class MatchRunRow(Identified, Table):
    """A ranking run with the versions of everything that its lists depend on.

    events_as_of : sequence number of the last event, of any entity, when the run began. Its lists may include more.
    worked_s : seconds spent on the demands that are done.
    frequencies_version, stability : only for runs over many demands; the former once the run has begun to rank.
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
    """The list of one demand in one run, see ``ListState``.

    error : why the list could not be made.
    n_matches : length of the list when it was stored. It does not change when profiles, and so matches, are deleted.
    n_entered, n_left, n_moved : numbers of entries in ``changes``.
    changes : changes since the previous list, as ``shortlists.changes`` writes them; None if there are none.
    events_as_of : sequence number of the last event, of any entity, that its demand, decisions and exclusions include.
    index_as_of : sequence number of the last event of a profile that its index includes.
    ranked_on : the day for which it was ranked.
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
    events_as_of: Mapped[int]
    index_as_of: Mapped[int]
    ranked_on: Mapped[date]


class MatchRow(Identified, Table):
    """A profile on a list. Deleting the profile deletes its matches, because the person's right to erasure prevails."""

    __tablename__ = "matches"
    __table_args__ = (UniqueConstraint("list_id", "profile_id"),)

    list_id: Mapped[str] = mapped_column(ForeignKey("match_lists.id", ondelete="CASCADE"))
    profile_id: Mapped[str] = mapped_column(ForeignKey("profiles.id", ondelete="CASCADE"), index=True)
    rank: Mapped[int]
    score: Mapped[float]
    level: Mapped[str] = mapped_column(String(10))
    explanation: Mapped[dict[str, Any]]


class DecisionRow(Identified, Table):
    """A decision about a profile for a demand. It outlives the list on which it was made."""

    __tablename__ = "decisions"
    __table_args__ = (UniqueConstraint("demand_id", "profile_id"),)

    demand_id: Mapped[str] = mapped_column(ForeignKey("demands.id", ondelete="CASCADE"))
    profile_id: Mapped[str] = mapped_column(ForeignKey("profiles.id", ondelete="CASCADE"), index=True)
    decision: Mapped[str] = mapped_column(String(20))
    reason: Mapped[str | None] = mapped_column(Text)
    actor_id: Mapped[str] = mapped_column(ForeignKey("principals.id"))
    at: Mapped[datetime]
