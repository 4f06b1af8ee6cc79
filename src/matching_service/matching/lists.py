"""Writing down what was shown: runs and their lists."""

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncSession

from matching_service.foundation.clock import now
from matching_service.index.snapshot import Snapshot
from matching_service.matching.engine import Engine, Listed
from matching_service.ranking.fusion import Weights
from matching_service.store.matching import MatchListRow, MatchRow, MatchRunRow
from matching_service.text.lexicon import default_lexicon


def new_run(
    engine: Engine, snapshot: Snapshot, weights: Weights, *, scope: str, top_k: int, n_demands: int
) -> MatchRunRow:
    """A run that names everything its lists depend on."""
    return MatchRunRow(
        scope=scope,
        state="running",
        created_at=now(),
        n_demands=n_demands,
        n_done=0,
        n_failed=0,
        top_k=top_k,
        index_version=snapshot.version,
        index_as_of=snapshot.as_of,
        index_profiles=snapshot.n_profiles,
        lexicon_version=default_lexicon().version,
        encoder_version=engine.encoder.version,
        weights_version=weights.version,
    )


async def store_list(
    session: AsyncSession,
    run: MatchRunRow,
    demand_id: str,
    outcome: Sequence[Listed] | Exception,
    previous_list_id: str | None,
    *,
    took_ms: float | None = None,
) -> dict[str, str]:
    """Write one demand's list, or the error that prevented it; returns the match ids by profile id."""
    failed = isinstance(outcome, Exception)
    match_list = MatchListRow(
        run_id=run.id,
        demand_id=demand_id,
        state="failed" if failed else "done",
        error=f"{type(outcome).__name__}: {outcome}" if failed else None,
        previous_list_id=previous_list_id,
        took_ms=took_ms,
    )
    session.add(match_list)
    await session.flush()
    if isinstance(outcome, Exception):
        return {}
    matches = [
        MatchRow(
            list_id=match_list.id,
            profile_id=entry.profile.id,
            rank=rank_,
            score=entry.ranked.score,
            level=entry.ranked.level,
            explanation=entry.explanation or {},
        )
        for rank_, entry in enumerate(outcome, start=1)
    ]
    session.add_all(matches)
    await session.flush()
    return {match.profile_id: match.id for match in matches}
