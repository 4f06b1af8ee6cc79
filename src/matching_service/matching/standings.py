"""What the programme itself knows of profiles: how many open demands each serves, and how staff judged it before."""

from collections import defaultdict
from collections.abc import Iterable, Mapping

from sqlalchemy import case, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from matching_service.demands.states import OPEN
from matching_service.ranking.structured import Standing
from matching_service.store.demands import DemandRow
from matching_service.store.matching import DecisionRow

_KEPT = ("pinned", "shortlisted")


async def standings_for(session: AsyncSession, demand_ids: Iterable[str]) -> Mapping[str, Mapping[str, Standing]]:
    """Per demand the standing of each profile that has any, by all other demands. Two queries.

    A decision about the very demand is left out: it must not change its own ranking.
    """
    kept = case((DecisionRow.decision.in_(_KEPT), 1), else_=0)
    is_open = case((DemandRow.status.in_(OPEN), 1), else_=0)
    joined = select(DecisionRow).join(DemandRow, DecisionRow.demand_id == DemandRow.id)
    totals = joined.with_only_columns(
        DecisionRow.profile_id,
        func.sum(kept * is_open).label("load"),
        func.sum(kept).label("n_accepted"),
        func.sum(1 - kept).label("n_rejected"),
    ).group_by(DecisionRow.profile_id)
    overall = {
        row.profile_id: Standing(int(row.load), int(row.n_accepted), int(row.n_rejected))
        for row in await session.execute(totals)
    }
    wanted = list(demand_ids)
    own: dict[str, dict[str, Standing]] = defaultdict(dict)
    statement = joined.with_only_columns(
        DecisionRow.demand_id, DecisionRow.profile_id, kept.label("kept"), (kept * is_open).label("load")
    ).where(DecisionRow.demand_id.in_(wanted))
    for row in await session.execute(statement):
        known = overall[row.profile_id]
        own[row.demand_id][row.profile_id] = Standing(
            known.load - row.load, known.n_accepted - row.kept, known.n_rejected - (1 - row.kept)
        )
    return {demand_id: overall | own[demand_id] for demand_id in wanted}
