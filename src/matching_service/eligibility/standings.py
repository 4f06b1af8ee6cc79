"""What the programme itself knows of profiles: what became of each pair with a demand, how many demands a profile
serves, and how it fared with others before.
"""

from collections import ChainMap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import BindParameter, Select, and_, bindparam, case, func, literal, null, or_, select, union_all
from sqlalchemy.ext.asyncio import AsyncSession

from matching_service.demands.states import OPEN
from matching_service.eligibility.schemas import Decision
from matching_service.ranking.structured import Standing
from matching_service.store.demands import UNDER_CONTRACT, DemandRow
from matching_service.store.lookup import id_batches
from matching_service.store.shortlists import DecisionRow
from matching_service.store.suggestions import ACCEPTED, REFUSED, SuggestionRow

_KEPT = ("pinned", "shortlisted")
_NONE = Standing()
JUDGING = ("demand", "match", "suggestion")
"""Entities whose events can change a standing."""

Pairs = Mapping[str, Mapping[str, "Pair"]]
"""By demand id and profile id."""


@dataclass(frozen=True, slots=True)
class Pair:
    """What staff decided about a profile for a demand, whether it was asked in vain, and what the pair adds to the
    profile's standing.
    """

    decision: Decision | None
    is_refused: bool
    adds: Standing


class Standings:
    """The standing of every profile by all demands, read again when anything happened that may change one."""

    def __init__(self) -> None:
        self._seen: Sequence[int] | None = None
        self._overall: dict[str, Standing] = {}

    async def elsewhere(
        self, session: AsyncSession, pairs: Pairs, newest: Mapping[str, int]
    ) -> Mapping[str, Mapping[str, Standing]]:
        """Per demand of ``pairs`` the standing of each profile that has any, by all other demands.

        newest : what ``last_seqs`` said before ``pairs`` was read.
        """
        seen = [newest[entity] for entity in JUDGING]
        if seen != self._seen:
            self._overall = await _overall(session)
            self._seen = seen
        return _elsewhere(self._overall, pairs)


async def standings_for(session: AsyncSession, demand_ids: Iterable[str]) -> Mapping[str, Mapping[str, Standing]]:
    """The same from the database alone, with what this transaction has changed."""
    return _elsewhere(await _overall(session), await pairs_of(session, demand_ids))


async def pairs_of(session: AsyncSession, demand_ids: Iterable[str]) -> Pairs:
    """Per demand what is known of each profile that anything was decided about."""
    pairs: dict[str, dict[str, Pair]] = {demand_id: {} for demand_id in demand_ids}
    for batch in id_batches(pairs):
        for row in await session.execute(_OF_DEMANDS, {"demand_ids": batch}):
            adds = Standing(int(row.load), int(row.kept), int(row.turned_down))
            pairs[row.demand_id][row.profile_id] = Pair(row.decision, bool(row.refused), adds)
    return pairs


async def _overall(session: AsyncSession) -> dict[str, Standing]:
    return {
        row.profile_id: Standing(int(row.load), int(row.n_accepted), int(row.n_rejected))
        for row in await session.execute(_SUMS)
    }


def _elsewhere(overall: dict[str, Standing], pairs: Pairs) -> Mapping[str, Mapping[str, Standing]]:
    """What became of the pair itself is left out: it must not change its own ranking."""
    return {
        demand_id: ChainMap({id_: _less(overall.get(id_, _NONE), pair.adds) for id_, pair in own.items()}, overall)
        for demand_id, own in pairs.items()
    }


def _less(known: Standing, own: Standing) -> Standing:
    """What is left; a pair may be newer than what is known."""
    return Standing(
        max(0, known.load - own.load),
        max(0, known.n_accepted - own.n_accepted),
        max(0, known.n_rejected - own.n_rejected),
    )


def _pairs(demand_ids: BindParameter[Any] | None = None) -> Select[*tuple[Any, ...]]:
    """Per pair of demand and profile, of some demands or of all, from decisions and suggestions together, the decision
    and numbers of 0 or 1.

    kept : it was shortlisted or said yes, and did not drop out later.
    turned_down : staff or the enterprise found it wrong; a person who has no time is not worse for it.
    load : it is kept for an open demand, or works on one under contract.
    """
    flag, zero = func.max, literal(0)
    decided = select(
        DecisionRow.demand_id,
        DecisionRow.profile_id,
        DecisionRow.decision,
        case((DecisionRow.decision.in_(_KEPT), 1), else_=0).label("kept"),
        case((DecisionRow.decision == "rejected", 1), else_=0).label("turned_down"),
        zero.label("refused"),
        zero.label("agreed"),
    )
    suggested = select(
        SuggestionRow.demand_id,
        SuggestionRow.profile_id,
        null().label("decision"),
        case((SuggestionRow.status.in_(ACCEPTED), 1), else_=0),
        case((SuggestionRow.status == "not_suitable", 1), else_=0),
        case((SuggestionRow.status.in_(REFUSED), 1), else_=0),
        case((SuggestionRow.status == "agreed", 1), else_=0),
    )
    if demand_ids is not None:
        decided = decided.where(DecisionRow.demand_id.in_(demand_ids))
        suggested = suggested.where(SuggestionRow.demand_id.in_(demand_ids))
    known = union_all(decided, suggested).subquery()
    kept = flag(known.c.kept) * (1 - flag(known.c.refused))
    serves = or_(DemandRow.status.in_(OPEN), and_(DemandRow.status.in_(UNDER_CONTRACT), flag(known.c.agreed) == 1))
    return (
        select(
            known.c.demand_id,
            known.c.profile_id,
            flag(known.c.decision).label("decision"),
            flag(known.c.refused).label("refused"),
            kept.label("kept"),
            flag(known.c.turned_down).label("turned_down"),
            (kept * case((serves, 1), else_=0)).label("load"),
        )
        .join(DemandRow, known.c.demand_id == DemandRow.id)
        .group_by(known.c.demand_id, known.c.profile_id, DemandRow.status)
    )


# Built once: building them takes longer than the database does to answer.
_OF_DEMANDS = _pairs(bindparam("demand_ids", expanding=True))
_EACH = _pairs().subquery()
_SUMS = select(
    _EACH.c.profile_id,
    func.sum(_EACH.c.load).label("load"),
    func.sum(_EACH.c.kept).label("n_accepted"),
    func.sum(_EACH.c.turned_down).label("n_rejected"),
).group_by(_EACH.c.profile_id)
