"""All that is known about a demand before any profile is looked at: its own organization, the exclusion list, the
decisions of staff, the day.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

from sqlalchemy import bindparam, select
from sqlalchemy.ext.asyncio import AsyncSession

from matching_service.eligibility.schemas import Decision
from matching_service.eligibility.standings import Pair, pairs_of
from matching_service.store.demands import DemandRow
from matching_service.store.organizations import ExclusionRow

_EXCLUSIONS = select(
    ExclusionRow.organization_id, ExclusionRow.profile_id, ExclusionRow.excluded_organization_id
).where(ExclusionRow.organization_id.in_(bindparam("organization_ids", expanding=True)))


@dataclass(frozen=True, slots=True)
class Exclusions:
    """The exclusion list of one organization: profiles, and organizations with all their profiles."""

    profile_ids: frozenset[str] = frozenset()
    organization_ids: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Case:
    """One demand on one day. ``demand`` is None for a question that is not stored, which has no organization either.

    pairs : by profile id, the profiles that anything was decided about for this demand.
    """

    on: date
    demand: DemandRow | None = None
    pairs: Mapping[str, Pair] = field(default_factory=dict)
    exclusions: Exclusions = Exclusions()

    @property
    def organization_id(self) -> str | None:
        return self.demand.organization_id if self.demand is not None else None

    def decision(self, profile_id: str) -> Decision | None:
        """What staff decided about a profile for this demand."""
        pair = self.pairs.get(profile_id)
        return pair.decision if pair is not None else None

    def decided(self, decision: Decision) -> frozenset[str]:
        """Ids of the profiles about which staff decided so."""
        return frozenset(profile_id for profile_id, pair in self.pairs.items() if pair.decision == decision)

    def is_refused(self, profile_id: str) -> bool:
        """Whether the profile's suggestion for this demand came to nothing."""
        pair = self.pairs.get(profile_id)
        return pair is not None and pair.is_refused

    def refused(self) -> frozenset[str]:
        """Ids of the profiles whose suggestion for this demand came to nothing."""
        return frozenset(profile_id for profile_id, pair in self.pairs.items() if pair.is_refused)


async def cases_of(session: AsyncSession, demands: Sequence[DemandRow], *, on: date) -> list[Case]:
    """A case per demand, in their order. Two queries."""
    pairs = await pairs_of(session, (demand.id for demand in demands))
    exclusions = await exclusions_of(session, (demand.organization_id for demand in demands))
    return [Case(on, demand, pairs[demand.id], exclusions[demand.organization_id]) for demand in demands]


async def exclusions_of(
    session: AsyncSession, organization_ids: Iterable[str | None]
) -> Mapping[str | None, Exclusions]:
    """The exclusion list of each organization; an empty one where it has none, and for None. One query."""
    profile_ids: dict[str | None, set[str]] = {organization_id: set() for organization_id in organization_ids}
    excluded_ids: dict[str | None, set[str]] = {organization_id: set() for organization_id in profile_ids}
    known = sorted(id_ for id_ in profile_ids if id_)
    rows = await session.execute(_EXCLUSIONS, {"organization_ids": known}) if known else ()
    for organization_id, profile_id, excluded_id in rows:
        if profile_id is not None:
            profile_ids[organization_id].add(profile_id)
        elif excluded_id is not None:
            excluded_ids[organization_id].add(excluded_id)
    return {
        organization_id: Exclusions(frozenset(profile_ids[organization_id]), frozenset(excluded))
        for organization_id, excluded in excluded_ids.items()
    }
