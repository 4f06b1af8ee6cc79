"""Standings: the track record of profiles in the programme, from decisions and suggestions.

A standing holds the load (demands that a profile serves now) and how often it was accepted and rejected. For a demand,
only the records of other demands count.
"""

from collections import ChainMap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import BindParameter, Select, and_, bindparam, case, exists, func, literal, null, or_, select, union_all
from sqlalchemy.ext.asyncio import AsyncSession

from matching_service.demands.states import OPEN
from matching_service.eligibility.schemas import Decision
from matching_service.ranking.structured import Standing
from matching_service.store.demands import UNDER_CONTRACT, DemandRow
from matching_service.store.lookup import id_batches
from matching_service.store.shortlists import DecisionRow
from matching_service.store.suggestions import ACCEPTED, CLOSED, REFUSED, SuggestionRow, SuggestionTransitionRow

_KEPT = ("pinned", "shortlisted")
_NO_STANDING = Standing()
STANDING_ENTITIES = ("demand", "match", "suggestion")
"""Entities whose events can change a standing."""

Pairs = Mapping[str, Mapping[str, "Pair"]]
"""Pairs by demand id and profile id."""


@dataclass(frozen=True, slots=True)
class Pair:
    """The record of one demand and one profile.

    decision : the decision of staff.
    is_refused : whether a suggestion failed.
    adds : the share of this pair in the standing of the profile.
    """

    decision: Decision | None
    is_refused: bool
    adds: Standing


class Standings:
    """A cache of the standings of all profiles, reloaded after events that may change one."""

    def __init__(self) -> None:
        self._seen: Sequence[int] | None = None
        self._overall: dict[str, Standing] = {}

    async def elsewhere(
        self, session: AsyncSession, pairs: Pairs, newest: Mapping[str, int]
    ) -> Mapping[str, Mapping[str, Standing]]:
        """Return, for each demand in ``pairs``, the standings by profile id that result from all other demands.

        newest : the result of ``last_seqs``, read before ``pairs``.
        """
        seen = [newest[entity] for entity in STANDING_ENTITIES]
        if seen != self._seen:
            self._overall = await _overall(session)
            self._seen = seen
        return _elsewhere(self._overall, pairs)


async def standings_for(session: AsyncSession, demand_ids: Iterable[str]) -> Mapping[str, Mapping[str, Standing]]:
    """Return the same as ``Standings.elsewhere``, read within this transaction and without a cache."""
    return _elsewhere(await _overall(session), await pairs_of(session, demand_ids))


async def pairs_of(session: AsyncSession, demand_ids: Iterable[str]) -> Pairs:
    """Return the pairs of each demand: profiles with a decision or a suggestion for it."""
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
    """Subtract the record of each pair from the overall standing, because it must not influence its own ranking."""
    return {
        demand_id: ChainMap(
            {id_: _minus(overall.get(id_, _NO_STANDING), pair.adds) for id_, pair in own.items()}, overall
        )
        for demand_id, own in pairs.items()
    }


def _minus(known: Standing, own: Standing) -> Standing:
    """Return ``known`` minus ``own``, never below zero, because ``own`` may have been read later."""
    return Standing(
        max(0, known.load - own.load),
        max(0, known.n_accepted - own.n_accepted),
        max(0, known.n_rejected - own.n_rejected),
    )


_WAS_ACCEPTED = and_(
    SuggestionRow.status == CLOSED,
    exists().where(
        SuggestionTransitionRow.suggestion_id == SuggestionRow.id, SuggestionTransitionRow.to_status == "accepted"
    ),
)
"""Closed with its demand after the profile had accepted: the acceptance still counts."""


def _pairs(demand_ids: BindParameter[Any] | None = None) -> Select[*tuple[Any, ...]]:
    """Select one row per pair of demand and profile, from decisions and suggestions, of some demands or of all.

    decision : the decision of staff, or NULL.
    refused : 0 or 1: a suggestion failed.
    kept : 0 or 1: the profile was pinned or shortlisted or accepted a suggestion, and no suggestion failed.
    turned_down : 0 or 1: staff rejected it or found it not suitable. A person without time does not count.
    load : 0 or 1: it is kept for an open demand, or agreed for one under contract.
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
        case((or_(SuggestionRow.status.in_(ACCEPTED), _WAS_ACCEPTED), 1), else_=0),
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


# Built once, because building these statements takes longer than running them.
_OF_DEMANDS = _pairs(bindparam("demand_ids", expanding=True))
_EACH = _pairs().subquery()
_SUMS = select(
    _EACH.c.profile_id,
    func.sum(_EACH.c.load).label("load"),
    func.sum(_EACH.c.kept).label("n_accepted"),
    func.sum(_EACH.c.turned_down).label("n_rejected"),
).group_by(_EACH.c.profile_id)
