"""The visible list of a demand. The API, the feed, webhooks, exports and reports all read it from here."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from sqlalchemy.ext.asyncio import AsyncSession

from matching_service.eligibility.cases import cases_of
from matching_service.eligibility.rules import may_be_shown
from matching_service.foundation.clock import today
from matching_service.shortlists.queries import get_decisions, get_matches, newest_lists
from matching_service.store.demands import DemandRow
from matching_service.store.lookup import get_by_ids
from matching_service.store.organizations import OrganizationRow
from matching_service.store.profiles import ProfileRow
from matching_service.store.shortlists import DecisionRow, MatchListRow, MatchRow, MatchRunRow

Entry = TypeVar("Entry")


@dataclass(frozen=True, slots=True)
class VisibleMatch:
    match: MatchRow
    profile: ProfileRow
    organization_name: str | None
    decision: DecisionRow | None

    @property
    def decided(self) -> str | None:
        return self.decision.decision if self.decision is not None else None


@dataclass(frozen=True, slots=True)
class VisibleList:
    """A stored list as it may be shown today.

    matches : in the order of ``pinned_first``. Ranks have gaps where a profile was deleted or must no longer be shown.
    """

    row: MatchListRow
    run: MatchRunRow
    matches: Sequence[VisibleMatch]


def pinned_first(entries: Iterable[Entry], is_pinned: Callable[[Entry], bool]) -> list[Entry]:
    """Return the entries of a list, which are ordered by rank, in the order that people see: pinned ones first."""
    return sorted(entries, key=lambda entry: not is_pinned(entry))  # a stable sort


async def visible_lists(session: AsyncSession, demands: Sequence[DemandRow]) -> Mapping[str, VisibleList]:
    """Return the list that people see today, by demand id. Demands without a list are left out. Seven queries.

    Leaves out profiles that a lasting rule forbids today. A profile that staff rejected stays, with the decision.
    """
    lists = await newest_lists(session, [demand.id for demand in demands])
    ranked_demands = [demand for demand in demands if demand.id in lists]
    matches = await get_matches(session, (row.id for row, _ in lists.values()))
    profiles = await get_by_ids(session, ProfileRow, (match.profile_id for rows in matches.values() for match in rows))
    organizations = await get_by_ids(
        session, OrganizationRow, (row.organization_id for row in profiles.values() if row.organization_id)
    )
    decisions = await get_decisions(session, list(lists))
    visible: dict[str, VisibleList] = {}
    for demand, case in zip(ranked_demands, await cases_of(session, ranked_demands, on=today()), strict=True):
        row, run = lists[demand.id]
        shown = [
            VisibleMatch(match, profile, _name(organizations, profile), decisions[demand.id].get(profile.id))
            for match in matches[row.id]
            if (profile := profiles.get(match.profile_id)) is not None and may_be_shown(profile, case)
        ]
        visible[demand.id] = VisibleList(row, run, pinned_first(shown, lambda entry: entry.decided == "pinned"))
    return visible


def _name(organizations: Mapping[str, OrganizationRow], profile: ProfileRow) -> str | None:
    organization = organizations.get(profile.organization_id or "")
    return organization.name if organization is not None else None
