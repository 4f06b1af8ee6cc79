"""The data of records for webhooks and the feed, with one function per entity. Only this module decides who sees what.

There are three audiences. ``public`` sees public profiles, and public demands once they were published. ``office`` is
for the office's own systems: it also sees restricted records, drafts, matches, and records imported from others.
``own`` is for a portal: it sees its own demands in every state, with the opinion or reason of the last step, and
nothing else. None sees contact data, or profiles that are hidden or withdrawn.
"""

from collections.abc import Callable, Coroutine, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from matching_service.demands.queries import last_transitions
from matching_service.disclosure.schemas import Audience, FeedEntity, FeedItem
from matching_service.eligibility.cases import cases_of
from matching_service.eligibility.rules import may_be_shown
from matching_service.foundation.clock import today
from matching_service.profiles.queries import WITH_WORKS
from matching_service.shortlists.queries import get_decisions
from matching_service.shortlists.visible import visible_lists
from matching_service.store.demands import DemandRow
from matching_service.store.lookup import get_by_ids
from matching_service.store.organizations import OrganizationRow
from matching_service.store.outbox import OutboxRow
from matching_service.store.profiles import NEVER_MATCHED, ProfileRow
from matching_service.store.scope import Scope
from matching_service.store.shortlists import DecisionRow, MatchListRow, MatchRow

_ORGANIZATION = ("id", "source", "external_id", "name", "kind", "credit_code", "region", "introduction")
_DEMAND = (
    "id", "source", "external_id", "status", "title", "problem", "key_technology", "expected_goal", "keywords",
    "must_have", "nice_to_have", "region", "cluster", "industry_code", "funding_wan", "start_year", "end_year",
    "cooperation", "wanted_partners", "field", "expires_on", "visibility", "published_at", "created_at", "updated_at",
)  # fmt: skip
_PROFILE = (
    "id", "source", "external_id", "kind", "name", "summary", "keywords", "fields", "region", "country", "language",
    "title", "honours", "clusters", "capacity", "available_from", "available_until", "visibility", "created_at",
    "updated_at",
)  # fmt: skip
_WORK = ("external_id", "kind", "title", "abstract", "year")
_MATCHED = ("id", "source", "external_id", "kind", "name", "region")
# Allow lists, so that a new column is shown to nobody until somebody adds it here.

FIELDS: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "demand": frozenset({*_DEMAND, "origin", "organization", *(f"organization.{name}" for name in _ORGANIZATION)}),
        "profile": frozenset(
            {*_PROFILE, "works", "origin", "organization", *(f"organization.{name}" for name in _ORGANIZATION)}
        ),
        "match": frozenset({"id", "demand_id", "profile", "rank", "score", "level", "decision", "decided_at"}),
        "match_list": frozenset({"id", "demand_id", "run_id", "items"}),
    }
)
"""The fields of ``data`` that a mapping may name, by entity. Fields of the organization are dotted paths."""

FEED_ENTITIES: Mapping[FeedEntity, tuple[str, ...]] = MappingProxyType(
    {"demand": ("demand",), "profile": ("profile",), "match": ("match", "match_list")}
)
"""The values of the feed's ``entity`` parameter, each with the outbox entities that it selects."""

_DataById = dict[str, dict[str, Any] | None]
_Show = Callable[[AsyncSession, Sequence[str], Audience], Coroutine[Any, Any, _DataById]]
"""Returns data by id. None: the record was deleted or is no longer shown. A missing id: the audience must not know of
the record at all.
"""


async def represent(
    session: AsyncSession, events: Sequence[OutboxRow], audience: Audience, scope: Scope | None = None
) -> list[FeedItem | None]:
    """Return the item for each event, or None if this audience must not know of its record.

    scope : the portal's own records, for the audience ``own``.
    """
    if audience == "own":
        ids = sorted({event.entity_id for event in events if event.entity == "demand"})
        own = await _own_demands(session, ids, scope) if scope is not None else {}
        return [_item(event, own if event.entity == "demand" else {}, audience) for event in events]
    data_by_entity: dict[str, _DataById] = {}
    for entity, show in _SHOWN.items():
        if ids := sorted({event.entity_id for event in events if event.entity == entity}):
            data_by_entity[entity] = await show(session, ids, audience)
    return [_item(event, data_by_entity.get(event.entity), audience) for event in events]


def _item(event: OutboxRow, data_by_id: _DataById | None, audience: Audience) -> FeedItem | None:
    if data_by_id is None:  # an entity without a function here: the office gets the bare event
        if audience != "office":
            return None
        is_deleted, data = event.event.endswith(".deleted"), None
    elif event.entity_id in data_by_id:
        data = data_by_id[event.entity_id]
        is_deleted = data is None
    else:
        return None
    return FeedItem(
        seq=event.seq, event=event.event, entity=event.entity, entity_id=event.entity_id, at=event.at,
        deleted=is_deleted, data=data,
    )  # fmt: skip


async def _demands(session: AsyncSession, ids: Sequence[str], audience: Audience) -> _DataById:
    rows = await get_by_ids(session, DemandRow, ids)
    organizations = await _organizations(session, rows.values())
    data: _DataById = dict.fromkeys(ids)
    for row in rows.values():
        if audience == "public" and (row.origin is not None or row.published_at is None):
            del data[row.id]  # it was never public here
        elif audience == "office" or row.visibility == "public":
            data[row.id] = _values(row, _DEMAND) | _common(row, organizations, audience)
    return data


async def _own_demands(session: AsyncSession, ids: Sequence[str], scope: Scope) -> _DataById:
    rows = {row.id: row for row in (await get_by_ids(session, DemandRow, ids)).values() if scope.holds(row)}
    organizations = await _organizations(session, rows.values())
    steps = await last_transitions(session, list(rows))
    return {
        row.id: _values(row, _DEMAND)
        | _common(row, organizations, "public")
        | {"opinion": steps[row.id].opinion, "reason": steps[row.id].reason}
        for row in rows.values()
    }


async def _profiles(session: AsyncSession, ids: Sequence[str], audience: Audience) -> _DataById:
    rows = await get_by_ids(session, ProfileRow, ids, options=[WITH_WORKS])
    organizations = await _organizations(session, rows.values())
    data: _DataById = dict.fromkeys(ids)
    for row in rows.values():
        if audience == "public" and row.origin is not None:
            del data[row.id]
        elif row.visibility == "public" or (audience == "office" and row.visibility not in NEVER_MATCHED):
            works = [_values(work, _WORK) for work in row.works]
            data[row.id] = _values(row, _PROFILE) | _common(row, organizations, audience) | {"works": works}
    return data


async def _decisions(session: AsyncSession, ids: Sequence[str], audience: Audience) -> _DataById:
    """Return decisions by match id, or None if a list may no longer show the profile."""
    if audience == "public":
        return {}
    matches = await get_by_ids(session, MatchRow, ids)
    lists = await get_by_ids(session, MatchListRow, (match.list_id for match in matches.values()))
    profiles = await get_by_ids(session, ProfileRow, (match.profile_id for match in matches.values()))
    demands = await get_by_ids(session, DemandRow, (row.demand_id for row in lists.values()))
    decisions = await get_decisions(session, sorted(demands))
    cases = dict(zip(demands, await cases_of(session, list(demands.values()), on=today()), strict=True))
    data: _DataById = dict.fromkeys(ids)
    for match in matches.values():
        match_list, profile = lists.get(match.list_id), profiles.get(match.profile_id)  # None: deleted meanwhile
        if match_list is None or profile is None or not may_be_shown(profile, cases[match_list.demand_id]):
            continue
        decision = decisions[match_list.demand_id].get(profile.id)
        data[match.id] = {
            "id": match.id,
            "demand_id": match_list.demand_id,
            **_match_values(match, profile, decision),
            "decided_at": decision.at if decision is not None else None,
        }
    return data


async def _lists(session: AsyncSession, ids: Sequence[str], audience: Audience) -> _DataById:
    """Return, by list id, the list that is now visible for the same demand. Ids without a visible list are missing."""
    if audience == "public":
        return {}
    lists = await get_by_ids(session, MatchListRow, ids)
    demands = await get_by_ids(session, DemandRow, (row.demand_id for row in lists.values()))
    visible_by_demand = await visible_lists(session, list(demands.values()))
    data = {
        demand_id: {
            "id": visible.row.id,
            "demand_id": demand_id,
            "run_id": visible.run.id,
            "items": [_match_values(entry.match, entry.profile, entry.decision) for entry in visible.matches],
        }
        for demand_id, visible in visible_by_demand.items()
    }
    return {row.id: data[row.demand_id] for row in lists.values() if row.demand_id in data}


_SHOWN: Mapping[str, _Show] = MappingProxyType(
    {"demand": _demands, "profile": _profiles, "match": _decisions, "match_list": _lists}
)


async def _organizations(session: AsyncSession, rows: Any) -> dict[str, OrganizationRow]:
    return await get_by_ids(session, OrganizationRow, (row.organization_id for row in rows if row.organization_id))


def _common(
    row: DemandRow | ProfileRow, organizations: Mapping[str, OrganizationRow], audience: Audience
) -> dict[str, Any]:
    """Return the organization with its name, because our ids mean nothing elsewhere, and the origin for the office."""
    organization = organizations.get(row.organization_id or "")
    shown = {"organization": _values(organization, _ORGANIZATION) if organization is not None else None}
    return shown if audience == "public" else shown | {"origin": row.origin}


def _match_values(match: MatchRow, profile: ProfileRow, decision: DecisionRow | None) -> dict[str, Any]:
    return {
        "profile": _values(profile, _MATCHED),
        "rank": match.rank,
        "score": match.score,
        "level": match.level,
        "decision": decision.decision if decision is not None else None,
    }


def _values(row: Any, names: Sequence[str]) -> dict[str, Any]:
    return {name: getattr(row, name) for name in names}
