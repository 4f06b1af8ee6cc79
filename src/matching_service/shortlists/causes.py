"""Find out why a profile entered a list, left it or moved.

The causes come from outbox events since the previous list. All lists of a chunk share the same few queries.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import date, timedelta
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from matching_service.demands.states import OPEN, DemandStatus
from matching_service.eligibility.cases import Case
from matching_service.eligibility.rules import codes_against
from matching_service.ranking.query import Query
from matching_service.ranking.structured import SOON
from matching_service.shortlists.changes import Cause, Moves, compare_lists
from matching_service.shortlists.lists import AsOf, ListEntry
from matching_service.shortlists.queries import PreviousList
from matching_service.store.demands import DemandRow
from matching_service.store.lookup import get_by_ids, id_batches
from matching_service.store.outbox import OutboxRow, events_about, events_about_pairs
from matching_service.store.profiles import ProfileRow
from matching_service.store.shortlists import DecisionRow, MatchRunRow, RunScope
from matching_service.store.suggestions import REFUSED, SuggestionRow

_RANKED_DEMAND_FIELDS = frozenset(field.name for field in fields(Query)) | {"organization_id"}
"""Fields of a demand that the ranking reads."""
_UNRANKED_PROFILE_FIELDS = frozenset({"source", "external_id", "organization"})
"""Fields of a profile that the ranking does not read."""
_DAY = timedelta(days=1)
_CODE_BY_RUN_COLUMN = {
    "weights_version": "weights_changed",
    "lexicon_version": "lexicon_changed",
    "encoder_version": "encoder_changed",
    "stability": "stability_changed",
}
_SAME_SCORE = 1e-9


@dataclass(frozen=True, slots=True)
class RankedDemand:
    """The new list of a demand, to be compared with the previous one.

    case : the case that the list was ranked by.
    entries : the entries by rank, or the error that prevented the list.
    previous : None for the first list of a demand.
    just_pinned : ids of profiles that the present transaction pins, together with the list.
    """

    case: Case
    as_of: AsOf
    entries: Sequence[ListEntry] | Exception
    previous: PreviousList | None
    just_pinned: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class _Comparison:
    """A new list and what changed since the previous one. ``scores`` are those of the new list by profile id."""

    demand: DemandRow
    new: RankedDemand
    scores: Mapping[str, float]
    moves: Moves


@dataclass(frozen=True, slots=True)
class _History:
    """Events since the previous lists, oldest first, by the id of their record.

    pair_events : decisions and suggestions, by profile id.
    closings : ends of other demands for which there is a decision or a suggestion, by profile id.
    """

    profile_events: Mapping[str, Sequence[OutboxRow]]
    demand_events: Mapping[str, Sequence[OutboxRow]]
    organization_events: Mapping[str, Sequence[OutboxRow]]
    pair_events: Mapping[str, Sequence[OutboxRow]]
    closings: Mapping[str, Sequence[OutboxRow]]
    profiles: Mapping[str, ProfileRow]


async def changes_of(
    session: AsyncSession, run: MatchRunRow, lists: Sequence[RankedDemand]
) -> dict[str, dict[str, Any]]:
    """Compare new lists with their previous ones; return the changes and causes by demand id, ready to be stored.

    run : the run that made the new lists.
    Unchanged and failed lists have no entry in the result. The number of queries does not grow with the number of
    lists, except for batches of ids.
    """
    compared = [
        _Comparison(new.case.demand, new, {entry.profile.id: entry.ranked.score for entry in new.entries}, moves)
        for new in lists
        if new.case.demand is not None
        and not isinstance(new.entries, Exception)
        and (moves := _moves(new.previous, new.entries))
    ]
    history = await _read_history(session, [comparison for comparison in compared if comparison.new.previous])
    changes: dict[str, dict[str, Any]] = {}
    for comparison in compared:
        causes = _Causes(run, comparison, history)
        changes[comparison.demand.id] = comparison.moves.stored(
            entered=causes.entered, left=causes.left, moved=causes.moved
        )
    return changes


def is_demand_changed(events: Iterable[OutboxRow], *, after: int) -> bool:
    """Whether an event later than ``after`` edited a field of the demand that the ranking reads."""
    return bool(_edited_fields(event for event in events if event.seq > after))


def _moves(previous: PreviousList | None, entries: Sequence[ListEntry]) -> Moves:
    ranks = {entry.profile.id: rank for rank, entry in enumerate(entries, start=1)}
    if previous is None:
        return compare_lists({}, ranks)
    return compare_lists(previous.ranks, ranks, n_before=previous.row.n_matches)


async def _read_history(session: AsyncSession, comparisons: Sequence[_Comparison]) -> _History:
    if not comparisons:
        return _History({}, {}, {}, {}, {}, {})
    previous = [comparison.new.previous.row for comparison in comparisons if comparison.new.previous is not None]
    seq = min(row.events_as_of for row in previous)
    index_seq = min(row.index_as_of for row in previous)
    moves = [comparison.moves for comparison in comparisons]
    entered = {profile_id for move in moves for _, profile_id in move.entered}
    left = {profile_id for move in moves for _, profile_id in move.left if profile_id is not None}
    ids = entered | left | {profile_id for move in moves for _, _, profile_id in move.moved}
    demands = [comparison.demand for comparison in comparisons]
    organizations = (demand.organization_id for demand in demands if demand.organization_id is not None)
    return _History(
        profile_events=await events_about(session, index_seq, entity="profile", ids=ids),
        demand_events=await events_about(session, seq, entity="demand", ids=[demand.id for demand in demands]),
        organization_events=await events_about(session, seq, entity="organization", ids=organizations),
        pair_events=await events_about_pairs(session, seq, profile_ids=ids),
        closings=await _closings(session, seq, ids),
        profiles=await get_by_ids(session, ProfileRow, ids),
    )


async def _closings(session: AsyncSession, seq: int, profile_ids: Collection[str]) -> Mapping[str, Sequence[OutboxRow]]:
    closings: dict[str, list[OutboxRow]] = defaultdict(list)
    for batch in id_batches(profile_ids):
        for pair in (DecisionRow, SuggestionRow):
            statement = (
                select(pair.profile_id, OutboxRow)
                .join(OutboxRow, OutboxRow.entity_id == pair.demand_id)
                .where(OutboxRow.entity == "demand", OutboxRow.seq > seq, pair.profile_id.in_(batch))
                .where(OutboxRow.event.in_([f"demand.{status}" for status in set(DemandStatus) - OPEN]))
            )
            for profile_id, event in await session.execute(statement):
                closings[profile_id].append(event)
    return closings


def _edited_fields(events: Iterable[OutboxRow]) -> list[str]:
    edited = {name for event in events for name in (event.detail or {}).get("fields", ())}
    return sorted(edited & _RANKED_DEMAND_FIELDS)


class _Causes:
    """The causes for each profile that entered, left or moved on one list.

    Only events count that the new list includes and the previous one does not.
    """

    def __init__(self, run: MatchRunRow, comparison: _Comparison, history: _History) -> None:
        self._new = comparison.new
        self._demand = comparison.demand
        self._scores = comparison.scores
        self._history = history
        previous = comparison.new.previous
        self._before = previous.row if previous is not None else None
        self._shared = self._of_demand() + _of_runs(previous, run, self._new.as_of) if previous is not None else []
        self._has_new_frequencies = previous is not None and _differ(previous.run, run, "frequencies_version")

    def entered(self, profile_id: str) -> list[Cause]:
        if self._before is None:
            return [Cause("first_list")]
        events = self._profile_events(profile_id)
        if any(event.event == "profile.created" for event in events):
            return [Cause("new_profile")]
        about_demand = [event for event in self._pair_events(profile_id) if _demand_id(event) == self._demand.id]
        decision = self._new.case.decision(profile_id)
        is_decided_since = any(event.event == f"match.{decision}" for event in about_demand)
        if profile_id in self._new.just_pinned or (decision == "pinned" and is_decided_since):
            return [Cause("pinned")]
        own = [Cause(decision)] if decision == "shortlisted" and is_decided_since else []
        own += self._own(profile_id, events)
        if any(event.entity == "suggestion" and (event.detail or {}).get("from") in REFUSED for event in about_demand):
            own.append(Cause("asked_again"))
        of_organization = self._since(self._history.organization_events.get(self._demand.organization_id or "", ()))
        if any(event.event == "organization.exclusions_changed" for event in of_organization):
            own.append(Cause("exclusions_changed"))
        return self._with_shared(own)

    def left(self, profile_id: str | None) -> list[Cause]:
        profile = self._history.profiles.get(profile_id or "")
        if profile_id is None or profile is None:
            return [Cause("deleted")]
        if codes := codes_against(profile, self._new.case):
            return [Cause(code) for code in codes]
        return self._with_shared(self._own(profile_id, self._profile_events(profile_id)))

    def moved(self, profile_id: str) -> list[Cause]:
        previous = self._new.previous
        if previous is not None and abs(self._scores[profile_id] - previous.scores[profile_id]) < _SAME_SCORE:
            return [Cause("others_moved")]
        causes = self._own(profile_id, self._profile_events(profile_id)) + self._shared
        if not causes and self._has_new_frequencies:
            return [Cause("frequencies_changed")]
        return causes or [Cause("others_moved")]

    def _profile_events(self, profile_id: str) -> list[OutboxRow]:
        assert self._before is not None  # noqa: S101  # on a first list every profile is an entry
        seqs = range(self._before.index_as_of + 1, self._new.as_of.index_as_of + 1)
        return [event for event in self._history.profile_events.get(profile_id, ()) if event.seq in seqs]

    def _pair_events(self, profile_id: str) -> list[OutboxRow]:
        """Decisions and suggestions about the profile, for this demand and for others."""
        return self._since(self._history.pair_events.get(profile_id, ()))

    def _since(self, events: Iterable[OutboxRow]) -> list[OutboxRow]:
        assert self._before is not None  # noqa: S101
        seqs = range(self._before.events_as_of + 1, self._new.as_of.events_as_of + 1)
        return [event for event in events if event.seq in seqs]

    def _own(self, profile_id: str, events: Sequence[OutboxRow]) -> list[Cause]:
        """Causes that apply to this profile alone."""
        assert self._before is not None  # noqa: S101
        own: list[Cause] = []
        names = {name for event in events for name in (event.detail or {}).get("fields", ())}
        if names - _UNRANKED_PROFILE_FIELDS or any(event.detail is None for event in events):
            works = [work["title"] for event in events for work in (event.detail or {}).get("works", ())]
            own.append(Cause("profile_changed", tuple(sorted(names)), tuple(dict.fromkeys(works))))
        profile, on = self._history.profiles.get(profile_id), self._new.as_of.ranked_on
        if profile is not None and _is_date_reached(profile, after=self._before.ranked_on, on=on):
            own.append(Cause("availability_changed"))
        elsewhere = [_demand_id(event) for event in self._pair_events(profile_id)]
        elsewhere += [event.entity_id for event in self._since(self._history.closings.get(profile_id, ()))]
        has_new_standing = any(demand_id != self._demand.id for demand_id in elsewhere)
        return [*own, Cause("standing_changed")] if has_new_standing else own

    def _with_shared(self, own: list[Cause]) -> list[Cause]:
        """Add the shared causes to those of a profile that entered or left.

        Such a profile has a score in only one of the two lists, so its scores cannot show whether it changed itself.
        """
        unexplained = [Cause("others_moved"), *([Cause("frequencies_changed")] if self._has_new_frequencies else [])]
        return own + self._shared or unexplained

    def _of_demand(self) -> list[Cause]:
        edited = _edited_fields(self._since(self._history.demand_events.get(self._demand.id, ())))
        return [Cause("demand_changed", tuple(edited))] if edited else []


def _demand_id(event: OutboxRow) -> str:
    return str((event.detail or {})["demand_id"])


def _of_runs(previous: PreviousList, run: MatchRunRow, as_of: AsOf) -> list[Cause]:
    """Causes that apply to the whole run: its scope, weights, lexicon, encoder and stability, or a new year."""
    before = previous.run
    by_hand = [Cause("asked_by_hand")] if RunScope.DEMAND in {before.scope, run.scope} else []
    versions = [Cause(code) for name, code in _CODE_BY_RUN_COLUMN.items() if _differ(before, run, name)]
    return by_hand + versions + ([Cause("new_year")] if previous.row.ranked_on.year != as_of.ranked_on.year else [])


def _differ(before: MatchRunRow, run: MatchRunRow, name: str) -> bool:
    """Whether both runs have a value in this column and the values differ."""
    old, new = getattr(before, name), getattr(run, name)
    return None not in {old, new} and old != new


def _is_date_reached(profile: ProfileRow, *, after: date, on: date) -> bool:
    """Whether ``available_from``, or the day from which ``available_until`` counts as soon, lies in (after, on]."""
    start, end = profile.available_from, profile.available_until
    return (start is not None and after < start <= on) or (end is not None and after < end - SOON + _DAY <= on)
