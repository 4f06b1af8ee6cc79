"""Store runs and their lists."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date
from typing import Any

from anyio import to_thread
from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncSession

from matching_service.foundation.clock import new_id, now
from matching_service.live_index.texts import ShownProfile
from matching_service.ranking.explain import Explanation
from matching_service.ranking.fusion import Weights
from matching_service.ranking.ranker import RankedProfile
from matching_service.shortlists.schemas import explanation_body
from matching_service.store.outbox import record_event
from matching_service.store.shortlists import (
    NIGHT_SCOPES,
    ListState,
    MatchListRow,
    MatchRow,
    MatchRunRow,
    RunScope,
    RunState,
)


@dataclass(frozen=True, slots=True)
class ListEntry:
    """A ranked profile with the texts that a list shows. ``explanation`` is None if none was requested."""

    ranked: RankedProfile
    profile: ShownProfile
    explanation: Explanation | None


@dataclass(frozen=True, slots=True)
class MadeWith:
    """The columns of a run that identify the index, the lexicon and the encoder of its lists."""

    index_version: str
    index_as_of: int
    index_profiles: int
    lexicon_version: str
    encoder_version: str


@dataclass(frozen=True, slots=True)
class AsOf:
    """The state of the data that a list was ranked by. The fields are those of ``MatchListRow``."""

    events_as_of: int
    index_as_of: int
    ranked_on: date


@dataclass(frozen=True, slots=True)
class NewList:
    """A list to be stored.

    outcome : the entries by rank, or the error that prevented the list; None if the previous list is kept.
    changes : changes since the previous list, as ``changes.Moves.stored`` writes them.
    """

    demand_id: str
    as_of: AsOf
    outcome: Sequence[ListEntry] | Exception | None
    previous_list_id: str | None
    changes: Mapping[str, Any] | None = None
    took_ms: float | None = None
    id: str = field(default_factory=new_id)

    @property
    def state(self) -> ListState:
        if self.outcome is None:
            return ListState.KEPT
        return ListState.FAILED if isinstance(self.outcome, Exception) else ListState.DONE


def new_run(
    made_with: MadeWith, weights: Weights, *, scope: RunScope, top_k: int, n_demands: int, events_as_of: int
) -> MatchRunRow:
    """Return a running run that records the versions of everything its lists depend on."""
    return MatchRunRow(
        scope=scope,
        state=RunState.RUNNING,
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


async def store_lists(session: AsyncSession, run: MatchRunRow, lists: Sequence[NewList]) -> dict[tuple[str, str], str]:
    """Insert lists and their matches, and add them to the counts of the run.

    Returns the id of each match by (demand id, profile id). Inserts plain values instead of ORM objects, because a
    night writes tens of thousands of rows.
    """
    states = Counter(new.state for new in lists)
    run.n_done += states[ListState.DONE]
    run.n_kept += states[ListState.KEPT]
    run.n_failed += states[ListState.FAILED]
    matches = await to_thread.run_sync(_match_values, lists)  # JSON for thousands of explanations would block the loop
    if lists:
        await session.execute(insert(MatchListRow), [_list_values(new, run.id) for new in lists])
    if matches:
        await session.execute(insert(MatchRow), matches)
    demand_ids = {new.id: new.demand_id for new in lists}
    return {(demand_ids[match["list_id"]], match["profile_id"]): match["id"] for match in matches}


async def finish_run(session: AsyncSession, run: MatchRunRow) -> None:
    """Make all lists of the run visible at once, and record one event per changed list."""
    run.state, run.finished_at = RunState.FINISHED, now()
    if run.scope in NIGHT_SCOPES:
        record_event(session, "match_run.finished", entity="match_run", entity_id=run.id)
    changed = select(MatchListRow.id, MatchListRow.demand_id).where(
        MatchListRow.run_id == run.id, MatchListRow.changes.is_not(None)
    )
    for list_id, demand_id in await session.execute(changed.order_by(MatchListRow.demand_id)):
        detail = {"demand_id": demand_id}
        record_event(session, "match_list.changed", entity="match_list", entity_id=list_id, detail=detail)


def _match_values(lists: Sequence[NewList]) -> list[dict[str, Any]]:
    return [
        {
            "id": new_id(),
            "list_id": new.id,
            "profile_id": entry.profile.id,
            "rank": rank,
            "score": entry.ranked.score,
            "level": entry.ranked.level,
            "explanation": explanation_body(entry.explanation) if entry.explanation else {},
        }
        for new in lists
        if new.outcome is not None and not isinstance(new.outcome, Exception)
        for rank, entry in enumerate(new.outcome, start=1)
    ]


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
    } | asdict(new.as_of)
