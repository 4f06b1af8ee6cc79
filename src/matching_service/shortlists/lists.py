"""Writing down what was shown: runs and their lists."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncSession

from matching_service.foundation.clock import new_id, now
from matching_service.live_index.texts import ShownProfile
from matching_service.ranking.fusion import Weights
from matching_service.ranking.ranker import RankedProfile
from matching_service.store.matching import MatchListRow, MatchRow, MatchRunRow
from matching_service.store.outbox import record_event


@dataclass(frozen=True, slots=True)
class Listed:
    """A ranked profile with what an answer says of it; ``explanation`` is plain JSON."""

    ranked: RankedProfile
    profile: ShownProfile
    explanation: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class MadeWith:
    """The columns of a run that name the index, the lexicon and the encoder of its lists."""

    index_version: str
    index_as_of: int
    index_profiles: int
    lexicon_version: str
    encoder_version: str


@dataclass(frozen=True, slots=True)
class NewList:
    """A list to be stored: the outcome of ranking, the list before, and the changes since it (``changes.Moves``).

    outcome : None where the list before still holds.
    """

    demand_id: str
    outcome: Sequence[Listed] | Exception | None
    previous_list_id: str | None
    changes: Mapping[str, Any] | None = None
    took_ms: float | None = None
    id: str = field(default_factory=new_id)

    @property
    def state(self) -> str:
        if self.outcome is None:
            return "kept"
        return "failed" if isinstance(self.outcome, Exception) else "done"


def new_run(
    made_with: MadeWith, weights: Weights, *, scope: str, top_k: int, n_demands: int, events_as_of: int
) -> MatchRunRow:
    """A run that names everything its lists depend on."""
    return MatchRunRow(
        scope=scope,
        state="running",
        created_at=now(),
        n_demands=n_demands,
        n_done=0,
        n_kept=0,
        n_failed=0,
        worked_s=0.0,
        top_k=top_k,
        events_as_of=events_as_of,
        weights_version=weights.version,
        **asdict(made_with),
    )


async def store_lists(session: AsyncSession, run_id: str, lists: Sequence[NewList]) -> dict[tuple[str, str], str]:
    """Write lists in two statements; returns the id of each match by demand and profile.

    No objects are made of the rows: a night writes tens of thousands.
    """
    match_ids: dict[tuple[str, str], str] = {}
    matches: list[dict[str, Any]] = [
        {
            "id": match_ids.setdefault((new.demand_id, entry.profile.id), new_id()),
            "list_id": new.id,
            "profile_id": entry.profile.id,
            "rank": rank,
            "score": entry.ranked.score,
            "level": entry.ranked.level,
            "explanation": entry.explanation or {},
        }
        for new in lists
        if new.outcome is not None and not isinstance(new.outcome, Exception)
        for rank, entry in enumerate(new.outcome, start=1)
    ]
    if lists:
        await session.execute(insert(MatchListRow), [_list_values(new, run_id) for new in lists])
    if matches:
        await session.execute(insert(MatchRow), matches)
    return match_ids


def record_list_changed(session: AsyncSession, list_id: str, demand_id: str) -> None:
    """Tell that people see another list for the demand now."""
    record_event(session, "match_list.changed", entity="match_list", entity_id=list_id, detail={"demand_id": demand_id})


def _list_values(new: NewList, run_id: str) -> dict[str, Any]:
    is_failed = isinstance(new.outcome, Exception)
    counts = {name: len(new.changes[name]) if new.changes else 0 for name in ("entered", "left", "moved")}
    return {
        "id": new.id,
        "run_id": run_id,
        "demand_id": new.demand_id,
        "state": new.state,
        "error": f"{type(new.outcome).__name__}: {new.outcome}" if is_failed else None,
        "previous_list_id": new.previous_list_id,
        "took_ms": new.took_ms,
        "n_matches": 0 if new.outcome is None or isinstance(new.outcome, Exception) else len(new.outcome),
        "n_entered": counts["entered"],
        "n_left": counts["left"],
        "n_moved": counts["moved"],
        "changes": new.changes,
    }
