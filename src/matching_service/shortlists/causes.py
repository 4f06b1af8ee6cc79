"""Find out why a profile entered a list, left it or moved.

The causes come from outbox events, decisions and suggestions since the previous list. All lists of a chunk share the
same few queries.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import date, timedelta
from typing import Any

from sqlalchemy import or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from matching_service.demands.states import OPEN
from matching_service.eligibility.cases import Case
from matching_service.eligibility.rules import codes_against
from matching_service.foundation.clock import day_of, today
from matching_service.ranking.query import Query
from matching_service.ranking.structured import SOON
from matching_service.shortlists.changes import Cause, Moves, compare_lists
from matching_service.shortlists.lists import ListEntry
from matching_service.shortlists.queries import PreviousList
from matching_service.store.demands import DemandRow
from matching_service.store.lookup import get_by_ids, id_batches
from matching_service.store.outbox import OutboxRow, events_about
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
class ListComparison:
    """The new list of a demand compared with the previous one.

    case : the case that the new list was ranked by.
    previous : None for the first list of a demand.
    scores : scores of the new list by profile id.
    """

    demand: DemandRow
    case: Case
    previous: PreviousList | None
    scores: Mapping[str, float]
    moves: Moves


@dataclass(frozen=True, slots=True)
class History:
    """Events, decisions and suggestions since the previous lists.

    Events are keyed by the id of their record, oldest first; decisions and suggestions by profile id.
    """

    profile_events: Mapping[str, Sequence[OutboxRow]]
    demand_events: Mapping[str, Sequence[OutboxRow]]
    organization_events: Mapping[str, Sequence[OutboxRow]]
    decisions: Mapping[str, Sequence[tuple[DecisionRow, DemandRow]]]
    suggestions: Mapping[str, Sequence[tuple[SuggestionRow, DemandRow]]]
    suggestion_events: Mapping[str, Sequence[OutboxRow]]
    profiles: Mapping[str, ProfileRow]


async def stored_changes(
    session: AsyncSession, run: MatchRunRow, comparisons: Sequence[ListComparison], *, index_as_of: int, on: date
) -> dict[str, dict[str, Any]]:
    """Return the changes of each changed list with their causes, by demand id, as ``MatchListRow.changes`` stores them.

    run : the run that made the new lists.
    index_as_of : sequence number of the last profile event in the index that ranked them.
    on : the day they were ranked for.

    The number of queries does not grow with the number of lists, except for batches of ids.
    """
    changed = [comparison for comparison in comparisons if comparison.moves]
    history = await _history(session, [comparison for comparison in changed if comparison.previous is not None])
    changes: dict[str, dict[str, Any]] = {}
    for comparison in changed:
        causes = _Causes(run, comparison, history, index_as_of, on)
        changes[comparison.demand.id] = comparison.moves.stored(
            entered=causes.entered, left=causes.left, moved=causes.moved
        )
    return changes


def is_demand_changed(events: Iterable[OutboxRow], *, after: int) -> bool:
    """Whether an event later than ``after`` edited a field of the demand that the ranking reads."""
    return bool(_edited_fields(events, after))


async def _history(session: AsyncSession, comparisons: Sequence[ListComparison]) -> History:
    if not comparisons:
        return History({}, {}, {}, {}, {}, {}, {})
    runs = [comparison.previous.run for comparison in comparisons if comparison.previous is not None]
    seq = min(run.events_as_of for run in runs)
    since = min(run.created_at for run in runs)
    moves = [comparison.moves for comparison in comparisons]
    entered = {profile_id for move in moves for _, profile_id in move.entered}
    left = {profile_id for move in moves for _, profile_id in move.left if profile_id is not None}
    ids = entered | left | {profile_id for move in moves for _, _, profile_id in move.moved}
    demands = [comparison.demand for comparison in comparisons]
    organizations = (demand.organization_id for demand in demands if demand.organization_id is not None)
    decisions: dict[str, list[tuple[DecisionRow, DemandRow]]] = defaultdict(list)
    suggestions: dict[str, list[tuple[SuggestionRow, DemandRow]]] = defaultdict(list)
    demand_ids = [demand.id for demand in demands]
    decided = select(DecisionRow, DemandRow).join(DemandRow, DecisionRow.demand_id == DemandRow.id)
    decided = decided.where(
        or_(DecisionRow.at >= since, DemandRow.updated_at >= since, DecisionRow.demand_id.in_(demand_ids))
    )
    suggested = select(SuggestionRow, DemandRow).join(DemandRow, SuggestionRow.demand_id == DemandRow.id)
    suggested = suggested.where(
        or_(SuggestionRow.updated_at >= since, DemandRow.updated_at >= since, SuggestionRow.demand_id.in_(demand_ids))
    )
    for batch in id_batches(ids):
        for decision, demand in await session.execute(decided.where(DecisionRow.profile_id.in_(batch))):
            decisions[decision.profile_id].append((decision, demand))
        for suggestion, demand in await session.execute(suggested.where(SuggestionRow.profile_id.in_(batch))):
            suggestions[suggestion.profile_id].append((suggestion, demand))
    suggestion_ids = (suggestion.id for pairs in suggestions.values() for suggestion, _ in pairs)
    return History(
        profile_events=await events_about(session, seq, entity="profile", ids=ids),
        demand_events=await events_about(session, seq, entity="demand", ids=demand_ids),
        organization_events=await events_about(session, seq, entity="organization", ids=organizations),
        decisions=decisions,
        suggestions=suggestions,
        suggestion_events=await events_about(session, seq, entity="suggestion", ids=suggestion_ids),
        profiles=await get_by_ids(session, ProfileRow, ids),
    )


def _edited_fields(events: Iterable[OutboxRow], after: int) -> list[str]:
    edited = {name for event in events if event.seq > after for name in (event.detail or {}).get("fields", ())}
    return sorted(edited & _RANKED_DEMAND_FIELDS)


class _Causes:
    """The causes for each profile that entered, left or moved on one list."""

    def __init__(
        self, run: MatchRunRow, comparison: ListComparison, history: History, index_as_of: int, on: date
    ) -> None:
        self._comparison = comparison
        self._history = history
        self._index_as_of = index_as_of
        self._on = on
        previous = comparison.previous.run if comparison.previous is not None else None
        self._previous = previous
        self._shared = self._of_demand(previous) + _of_runs(previous, run, on) if previous is not None else []
        self._has_new_frequencies = previous is not None and _differ(previous, run, "frequencies_version")

    def entered(self, profile_id: str) -> list[Cause]:
        if self._previous is None:
            return [Cause("first_list")]
        events = self._events(profile_id)
        if any(event.event == "profile.created" for event in events):
            return [Cause("new_profile")]
        decided = [
            decision.decision
            for decision, demand in self._history.decisions.get(profile_id, ())
            if demand.id == self._comparison.demand.id and decision.at >= self._previous.created_at
        ]
        if "pinned" in decided:
            return [Cause("pinned")]
        own = [Cause(decision) for decision in decided if decision == "shortlisted"] + self._own(profile_id, events)
        if self._is_asked_again(profile_id):
            own.append(Cause("asked_again"))
        of_organization = self._history.organization_events.get(self._comparison.demand.organization_id or "", ())
        names = [event.event for event in of_organization if event.seq > self._previous.events_as_of]
        if "organization.exclusions_changed" in names:
            own.append(Cause("exclusions_changed"))
        return self._with_shared(own)

    def left(self, profile_id: str | None) -> list[Cause]:
        profile = self._history.profiles.get(profile_id or "")
        if profile_id is None or profile is None:
            return [Cause("deleted")]
        if codes := codes_against(profile, self._comparison.case):
            return [Cause(code) for code in codes]
        return self._with_shared(self._own(profile_id, self._events(profile_id)))

    def moved(self, profile_id: str) -> list[Cause]:
        previous = self._comparison.previous
        if (
            previous is not None
            and abs(self._comparison.scores[profile_id] - previous.scores[profile_id]) < _SAME_SCORE
        ):
            return [Cause("others_moved")]
        causes = self._own(profile_id, self._events(profile_id)) + self._shared
        if not causes and self._has_new_frequencies:
            return [Cause("frequencies_changed")]
        return causes or [Cause("others_moved")]

    def _events(self, profile_id: str) -> list[OutboxRow]:
        """Events of the profile that the new list takes into account and the previous one did not."""
        assert self._previous is not None  # noqa: S101  # on a first list every profile is an entry
        before = max(self._previous.events_as_of, self._previous.index_as_of)
        new_seqs = range(before + 1, self._index_as_of + 1)
        return [event for event in self._history.profile_events.get(profile_id, ()) if event.seq in new_seqs]

    def _is_asked_again(self, profile_id: str) -> bool:
        """Whether staff reopened a failed suggestion of the profile for this demand."""
        assert self._previous is not None  # noqa: S101
        return any(
            event.seq > self._previous.events_as_of and (event.detail or {}).get("from") in REFUSED
            for suggestion, demand in self._history.suggestions.get(profile_id, ())
            if demand.id == self._comparison.demand.id
            for event in self._history.suggestion_events.get(suggestion.id, ())
        )

    def _own(self, profile_id: str, events: Sequence[OutboxRow]) -> list[Cause]:
        """Causes that apply to this profile alone."""
        assert self._previous is not None  # noqa: S101
        own: list[Cause] = []
        names = {name for event in events for name in (event.detail or {}).get("fields", ())}
        if names - _UNRANKED_PROFILE_FIELDS or any(event.detail is None for event in events):
            works = [work["title"] for event in events for work in (event.detail or {}).get("works", ())]
            own.append(Cause("profile_changed", tuple(sorted(names)), tuple(dict.fromkeys(works))))
        profile = self._history.profiles.get(profile_id)
        if profile is not None and _is_date_reached(profile, after=day_of(self._previous.created_at), on=self._on):
            own.append(Cause("availability_changed"))
        since = self._previous.created_at
        dated = [(decision.at, demand) for decision, demand in self._history.decisions.get(profile_id, ())]
        dated += [(row.updated_at, demand) for row, demand in self._history.suggestions.get(profile_id, ())]
        has_new_standing = any(
            at >= since or (demand.status not in OPEN and demand.updated_at >= since)
            for at, demand in dated
            if demand.id != self._comparison.demand.id
        )
        return [*own, Cause("standing_changed")] if has_new_standing else own

    def _with_shared(self, own: list[Cause]) -> list[Cause]:
        """Add the shared causes to those of a profile that entered or left.

        Such a profile has a score in only one of the two lists, so its scores cannot show whether it changed itself.
        """
        unexplained = [Cause("others_moved"), *([Cause("frequencies_changed")] if self._has_new_frequencies else [])]
        return own + self._shared or unexplained

    def _of_demand(self, previous: MatchRunRow) -> list[Cause]:
        events = self._history.demand_events.get(self._comparison.demand.id, ())
        edited = _edited_fields(events, previous.events_as_of)
        return [Cause("demand_changed", tuple(edited))] if edited else []


def _of_runs(before: MatchRunRow, run: MatchRunRow, on: date) -> list[Cause]:
    """Causes that apply to the whole run: its scope, weights, lexicon, encoder and stability, or a new year."""
    by_hand = [Cause("asked_by_hand")] if RunScope.DEMAND in {before.scope, run.scope} else []
    versions = [Cause(code) for name, code in _CODE_BY_RUN_COLUMN.items() if _differ(before, run, name)]
    return by_hand + versions + ([Cause("new_year")] if day_of(before.created_at).year != on.year else [])


def _differ(before: MatchRunRow, run: MatchRunRow, name: str) -> bool:
    """Whether both runs have a value in this column and the values differ."""
    old, new = getattr(before, name), getattr(run, name)
    return None not in {old, new} and old != new


def _is_date_reached(profile: ProfileRow, *, after: date, on: date) -> bool:
    """Whether ``available_from``, or the day from which ``available_until`` counts as soon, lies in (after, on]."""
    start, end = profile.available_from, profile.available_until
    return (start is not None and after < start <= on) or (end is not None and after < end - SOON + _DAY <= on)


async def changes_of(
    session: AsyncSession,
    run: MatchRunRow,
    outcomes: Sequence[tuple[Case, PreviousList | None, Sequence[ListEntry] | Exception]],
    *,
    index_as_of: int,
) -> dict[str, dict[str, Any]]:
    """Compare new lists with their previous ones; return the changes and causes by demand id, ready to be stored.

    outcomes : case, previous list (None: there is none), and entries of the new list or the error that prevented it.
    Unchanged and failed lists have no entry in the result.
    """
    comparisons = [
        ListComparison(
            case.demand,
            case,
            previous,
            {entry.profile.id: entry.ranked.score for entry in entries},
            _moves(previous, entries),
        )
        for case, previous, entries in outcomes
        if case.demand is not None and not isinstance(entries, Exception)
    ]
    return await stored_changes(session, run, comparisons, index_as_of=index_as_of, on=today())


def _moves(previous: PreviousList | None, entries: Sequence[ListEntry]) -> Moves:
    ranks = {entry.profile.id: rank for rank, entry in enumerate(entries, start=1)}
    if previous is None:
        return compare_lists({}, ranks)
    return compare_lists(previous.ranks, ranks, n_before=previous.n_matches)
