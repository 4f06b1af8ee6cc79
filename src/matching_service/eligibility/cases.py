"""The case of a demand: its organization, its exclusion list, the decisions about it, and the day."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

from sqlalchemy import and_, bindparam, or_, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from matching_service.eligibility.schemas import Decision
from matching_service.eligibility.standings import Pair, pairs_of
from matching_service.store.demands import DemandRow
from matching_service.store.organizations import ExclusionRow, OrganizationRow

_EXCLUSIONS = select(
    ExclusionRow.organization_id, ExclusionRow.profile_id, ExclusionRow.excluded_organization_id
).where(ExclusionRow.organization_id.in_(bindparam("organization_ids", expanding=True)))

_Own, _Other = aliased(OrganizationRow), aliased(OrganizationRow)
SAME_ORGANIZATIONS = select(_Own.id, _Other.id).join(
    _Other,
    and_(
        _Other.plain_name == _Own.plain_name,
        or_(_Own.credit_code.is_(None), _Other.credit_code.is_(None)),  # two codes are two legal persons
    ),
)
"""Pairs of records of one organization. A record without a twin may be missing."""
_SAME = SAME_ORGANIZATIONS.where(_Own.id.in_(bindparam("organization_ids", expanding=True)))


@dataclass(frozen=True, slots=True)
class Exclusions:
    """The exclusion list of one organization. An excluded organization excludes all its profiles."""

    profile_ids: frozenset[str] = frozenset()
    organization_ids: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Case:
    """The facts about one demand on one day that the rules need.

    demand : None for an ad hoc query, which has no organization either.
    own_organizations : ids of its organization and of all records of the same firm, by other sources too.
    pairs : decisions and suggestions for this demand, by profile id.
    """

    on: date
    demand: DemandRow | None = None
    own_organizations: frozenset[str] = frozenset()
    pairs: Mapping[str, Pair] = field(default_factory=dict)
    exclusions: Exclusions = Exclusions()

    def decision(self, profile_id: str) -> Decision | None:
        """Return the decision of staff about a profile for this demand."""
        pair = self.pairs.get(profile_id)
        return pair.decision if pair is not None else None

    def decided(self, decision: Decision) -> frozenset[str]:
        """Return the ids of the profiles with this decision."""
        return frozenset(profile_id for profile_id, pair in self.pairs.items() if pair.decision == decision)

    def is_refused(self, profile_id: str) -> bool:
        """Whether a suggestion of the profile for this demand failed: declined, no answer or not suitable."""
        pair = self.pairs.get(profile_id)
        return pair is not None and pair.is_refused

    def refused(self) -> frozenset[str]:
        """Return the ids of the profiles whose suggestion for this demand failed."""
        return frozenset(profile_id for profile_id, pair in self.pairs.items() if pair.is_refused)


async def cases_of(session: AsyncSession, demands: Sequence[DemandRow], *, on: date) -> list[Case]:
    """Return the case of each demand, in the order of the demands. Three queries."""
    pairs = await pairs_of(session, (demand.id for demand in demands))
    exclusions = await exclusions_of(session, (demand.organization_id for demand in demands))
    same = await same_organizations(session, (demand.organization_id for demand in demands))
    return [
        Case(on, demand, same[demand.organization_id], pairs[demand.id], exclusions[demand.organization_id])
        for demand in demands
    ]


async def same_organizations(
    session: AsyncSession, organization_ids: Iterable[str | None]
) -> Mapping[str | None, frozenset[str]]:
    """Return the ids of all records of each organization, those of other sources too, by plain name. One query."""
    same: dict[str | None, set[str]] = {id_: {id_} if id_ else set() for id_ in organization_ids}
    existing = sorted(id_ for id_ in same if id_)
    for own_id, other_id in await _same_as(session, existing):
        same[own_id].add(other_id)
    return {own_id: frozenset(ids) for own_id, ids in same.items()}


async def _same_as(session: AsyncSession, ids: Sequence[str]) -> Sequence[tuple[str, str]]:
    if not ids:
        return []
    return [(own, other) for own, other in await session.execute(_SAME, {"organization_ids": ids})]


async def exclusions_of(
    session: AsyncSession, organization_ids: Iterable[str | None]
) -> Mapping[str | None, Exclusions]:
    """Return the exclusion list of each organization, empty for None and for organizations without one. One query."""
    profile_ids: dict[str | None, set[str]] = {organization_id: set() for organization_id in organization_ids}
    excluded_ids: dict[str | None, set[str]] = {organization_id: set() for organization_id in profile_ids}
    existing = sorted(id_ for id_ in profile_ids if id_)
    rows = await session.execute(_EXCLUSIONS, {"organization_ids": existing}) if existing else ()
    for organization_id, profile_id, excluded_id in rows:
        if profile_id is not None:
            profile_ids[organization_id].add(profile_id)
        elif excluded_id is not None:
            excluded_ids[organization_id].add(excluded_id)
    return {
        organization_id: Exclusions(frozenset(profile_ids[organization_id]), frozenset(excluded))
        for organization_id, excluded in excluded_ids.items()
    }
