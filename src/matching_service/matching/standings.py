"""What the programme itself knows of profiles: how many demands each serves, and how it fared with others before."""

from collections import defaultdict
from collections.abc import Iterable, Mapping

from sqlalchemy import Select, and_, case, func, literal, or_, select, union_all
from sqlalchemy.ext.asyncio import AsyncSession

from matching_service.demands.states import OPEN, DemandStatus
from matching_service.ranking.structured import Standing
from matching_service.store.demands import DemandRow
from matching_service.store.matching import DecisionRow
from matching_service.store.suggestions import ACCEPTED, REFUSED, SuggestionRow

_KEPT = ("pinned", "shortlisted")
_UNDER_CONTRACT = (DemandStatus.CONTRACTED, DemandStatus.IN_PROGRESS)


async def standings_for(session: AsyncSession, demand_ids: Iterable[str]) -> Mapping[str, Mapping[str, Standing]]:
    """Per demand the standing of each profile that has any, by all other demands. Two queries.

    What became of the pair itself is left out: it must not change its own ranking.
    """
    pairs = _pairs().subquery()
    sums = select(
        pairs.c.profile_id,
        func.sum(pairs.c.load).label("load"),
        func.sum(pairs.c.kept).label("n_accepted"),
        func.sum(pairs.c.turned_down).label("n_rejected"),
    ).group_by(pairs.c.profile_id)
    overall = {
        row.profile_id: Standing(int(row.load), int(row.n_accepted), int(row.n_rejected))
        for row in await session.execute(sums)
    }
    wanted = list(demand_ids)
    own: dict[str, dict[str, Standing]] = defaultdict(dict)
    for row in await session.execute(select(pairs).where(pairs.c.demand_id.in_(wanted))):
        known = overall[row.profile_id]
        own[row.demand_id][row.profile_id] = Standing(
            known.load - row.load, known.n_accepted - row.kept, known.n_rejected - row.turned_down
        )
    return {demand_id: overall | own[demand_id] for demand_id in wanted}


def _pairs() -> Select[str, str, int, int, int]:
    """Per pair of demand and profile, from decisions and suggestions together, three numbers that are 0 or 1.

    kept : it was shortlisted or said yes, and did not drop out later.
    turned_down : staff or the enterprise found it wrong; a person who has no time is not worse for it.
    load : it is kept for an open demand, or works on one under contract.
    """
    flag, zero = func.max, literal(0)
    known = union_all(
        select(
            DecisionRow.demand_id,
            DecisionRow.profile_id,
            case((DecisionRow.decision.in_(_KEPT), 1), else_=0).label("kept"),
            case((DecisionRow.decision == "rejected", 1), else_=0).label("turned_down"),
            zero.label("dropped_out"),
            zero.label("agreed"),
        ),
        select(
            SuggestionRow.demand_id,
            SuggestionRow.profile_id,
            case((SuggestionRow.status.in_(ACCEPTED), 1), else_=0),
            case((SuggestionRow.status == "not_suitable", 1), else_=0),
            case((SuggestionRow.status.in_(REFUSED), 1), else_=0),
            case((SuggestionRow.status == "agreed", 1), else_=0),
        ),
    ).subquery()
    kept = flag(known.c.kept) * (1 - flag(known.c.dropped_out))
    serves = or_(DemandRow.status.in_(OPEN), and_(DemandRow.status.in_(_UNDER_CONTRACT), flag(known.c.agreed) == 1))
    return (
        select(
            known.c.demand_id,
            known.c.profile_id,
            kept.label("kept"),
            flag(known.c.turned_down).label("turned_down"),
            (kept * case((serves, 1), else_=0)).label("load"),
        )
        .join(DemandRow, known.c.demand_id == DemandRow.id)
        .group_by(known.c.demand_id, known.c.profile_id, DemandRow.status)
    )
