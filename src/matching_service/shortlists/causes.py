"""Why a profile came onto a list, left it or moved: what happened to it, to the demand and to the ranking meanwhile.

Read from the outbox, the decisions and the suggestions between the list before and this one, for all lists of a chunk
at once.
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
"""What of a demand its list depends on."""
_UNRANKED_PROFILE_FIELDS = frozenset({"source", "external_id", "organization"})
_DAY = timedelta(days=1)
_MADE_WITH = {
    "weights_version": "weights_changed",
    "lexicon_version": "lexicon_changed",
    "encoder_version": "encoder_changed",
    "stability": "stability_changed",
}
_SAME_SCORE = 1e-9


@dataclass(frozen=True, slots=True)
class Compared:
    """A demand's new list, by its scores, beside the one before. ``case``: what it was ranked by."""

    demand: DemandRow
    case: Case
    previous: PreviousList | None
    scores: Mapping[str, float]
    moves: Moves


@dataclass(frozen=True, slots=True)
class History:
    """What happened to some demands and profiles, by their ids; events oldest first."""

    profile_events: Mapping[str, Sequence[OutboxRow]]
    demand_events: Mapping[str, Sequence[OutboxRow]]
    organization_events: Mapping[str, Sequence[OutboxRow]]
    decisions: Mapping[str, Sequence[tuple[DecisionRow, DemandRow]]]
    suggestions: Mapping[str, Sequence[tuple[SuggestionRow, DemandRow]]]
    suggestion_events: Mapping[str, Sequence[OutboxRow]]
    profiles: Mapping[str, ProfileRow]


async def stored_changes(
    session: AsyncSession, run: MatchRunRow, compared: Sequence[Compared], *, index_as_of: int, on: date
) -> dict[str, dict[str, Any]]:
    """Per demand whose list changed its changes with their causes, as ``MatchListRow.changes`` holds them.

    run : that of the new lists, which were ranked on a day with an index of that number. Eight kinds of queries,
    whatever the number of lists.
    """
    changed = [one for one in compared if one.moves]
    history = await _history(session, [one for one in changed if one.previous is not None])
    found: dict[str, dict[str, Any]] = {}
    for one in changed:
        why = _Why(run, one, history, index_as_of, on)
        found[one.demand.id] = one.moves.stored(entered=why.entered, left=why.left, moved=why.moved)
    return found


def is_demand_changed(events: Iterable[OutboxRow], *, after: int) -> bool:
    """Whether something of the demand that ranking reads was edited after that event."""
    return bool(_edited(events, after))


async def _history(session: AsyncSession, compared: Sequence[Compared]) -> History:
    if not compared:
        return History({}, {}, {}, {}, {}, {}, {})
    runs = [one.previous.run for one in compared if one.previous is not None]
    seq = min(run.events_as_of for run in runs)
    since = min(run.created_at for run in runs)
    entered = {key for one in compared for _, key in one.moves.entered}
    left = {key for one in compared for _, key in one.moves.left if key is not None}
    ids = entered | left | {key for one in compared for _, _, key in one.moves.moved}
    organizations = (one.demand.organization_id for one in compared if one.demand.organization_id is not None)
    decisions: dict[str, list[tuple[DecisionRow, DemandRow]]] = defaultdict(list)
    suggestions: dict[str, list[tuple[SuggestionRow, DemandRow]]] = defaultdict(list)
    own = [one.demand.id for one in compared]
    decided = select(DecisionRow, DemandRow).join(DemandRow, DecisionRow.demand_id == DemandRow.id)
    decided = decided.where(or_(DecisionRow.at >= since, DemandRow.updated_at >= since, DecisionRow.demand_id.in_(own)))
    suggested = select(SuggestionRow, DemandRow).join(DemandRow, SuggestionRow.demand_id == DemandRow.id)
    suggested = suggested.where(
        or_(SuggestionRow.updated_at >= since, DemandRow.updated_at >= since, SuggestionRow.demand_id.in_(own))
    )
    for batch in id_batches(ids):
        for decision, demand in await session.execute(decided.where(DecisionRow.profile_id.in_(batch))):
            decisions[decision.profile_id].append((decision, demand))
        for suggestion, demand in await session.execute(suggested.where(SuggestionRow.profile_id.in_(batch))):
            suggestions[suggestion.profile_id].append((suggestion, demand))
    suggestion_ids = (suggestion.id for pairs in suggestions.values() for suggestion, _ in pairs)
    return History(
        profile_events=await events_about(session, seq, entity="profile", ids=ids),
        demand_events=await events_about(session, seq, entity="demand", ids=own),
        organization_events=await events_about(session, seq, entity="organization", ids=organizations),
        decisions=decisions,
        suggestions=suggestions,
        suggestion_events=await events_about(session, seq, entity="suggestion", ids=suggestion_ids),
        profiles=await get_by_ids(session, ProfileRow, ids),
    )


def _edited(events: Iterable[OutboxRow], after: int) -> list[str]:
    named = {name for event in events if event.seq > after for name in (event.detail or {}).get("fields", ())}
    return sorted(named & _RANKED_DEMAND_FIELDS)


class _Why:
    """The causes for each profile of one list that changed."""

    def __init__(self, run: MatchRunRow, compared: Compared, history: History, index_as_of: int, on: date) -> None:
        self._compared = compared
        self._history = history
        self._index_as_of = index_as_of
        self._on = on
        previous = compared.previous.run if compared.previous is not None else None
        self._previous = previous
        self._shared = self._of_demand(previous) + _of_runs(previous, run, on) if previous is not None else []
        self._is_recounted = previous is not None and _differ(previous, run, "frequencies_version")

    def entered(self, profile_id: str) -> list[Cause]:
        if self._previous is None:
            return [Cause("first_list")]
        events = self._events(profile_id)
        if any(event.event == "profile.created" for event in events):
            return [Cause("new_profile")]
        decided = [
            decision.decision
            for decision, demand in self._history.decisions.get(profile_id, ())
            if demand.id == self._compared.demand.id and decision.at >= self._previous.created_at
        ]
        if "pinned" in decided:
            return [Cause("pinned")]
        own = [Cause(decision) for decision in decided if decision == "shortlisted"] + self._own(profile_id, events)
        if self._is_asked_again(profile_id):
            own.append(Cause("asked_again"))
        listed_by = self._history.organization_events.get(self._compared.demand.organization_id or "", ())
        named = [event.event for event in listed_by if event.seq > self._previous.events_as_of]
        if "organization.exclusions_changed" in named:
            own.append(Cause("exclusions_changed"))
        return self._with_shared(own)

    def left(self, profile_id: str | None) -> list[Cause]:
        profile = self._history.profiles.get(profile_id or "")
        if profile_id is None or profile is None:
            return [Cause("deleted")]
        if codes := codes_against(profile, self._compared.case):
            return [Cause(code) for code in codes]
        return self._with_shared(self._own(profile_id, self._events(profile_id)))

    def moved(self, profile_id: str) -> list[Cause]:
        previous = self._compared.previous
        if previous is not None and abs(self._compared.scores[profile_id] - previous.scores[profile_id]) < _SAME_SCORE:
            return [Cause("others_moved")]
        found = self._own(profile_id, self._events(profile_id)) + self._shared
        if not found and self._is_recounted:
            return [Cause("frequencies_changed")]
        return found or [Cause("others_moved")]

    def _events(self, profile_id: str) -> list[OutboxRow]:
        """Those that this list knows and the one before did not."""
        assert self._previous is not None  # noqa: S101  # a first list has nobody who left or moved
        before = max(self._previous.events_as_of, self._previous.index_as_of)
        known = range(before + 1, self._index_as_of + 1)
        return [event for event in self._history.profile_events.get(profile_id, ()) if event.seq in known]

    def _is_asked_again(self, profile_id: str) -> bool:
        """Whether its suggestion for this very demand had come to nothing, and was taken up again."""
        assert self._previous is not None  # noqa: S101
        return any(
            event.seq > self._previous.events_as_of and (event.detail or {}).get("from") in REFUSED
            for suggestion, demand in self._history.suggestions.get(profile_id, ())
            if demand.id == self._compared.demand.id
            for event in self._history.suggestion_events.get(suggestion.id, ())
        )

    def _own(self, profile_id: str, events: Sequence[OutboxRow]) -> list[Cause]:
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
        judged = [(decision.at, demand) for decision, demand in self._history.decisions.get(profile_id, ())]
        judged += [(row.updated_at, demand) for row, demand in self._history.suggestions.get(profile_id, ())]
        others = [
            at >= since or (demand.status not in OPEN and demand.updated_at >= since)
            for at, demand in judged
            if demand.id != self._compared.demand.id
        ]
        return [*own, Cause("standing_changed")] if any(others) else own

    def _with_shared(self, own: list[Cause]) -> list[Cause]:
        """Of who came or went one of the two scores is not known; without a cause it may be anything left."""
        unexplained = [Cause("others_moved"), *([Cause("frequencies_changed")] if self._is_recounted else [])]
        return own + self._shared or unexplained

    def _of_demand(self, previous: MatchRunRow) -> list[Cause]:
        events = self._history.demand_events.get(self._compared.demand.id, ())
        edited = _edited(events, previous.events_as_of)
        return [Cause("demand_changed", tuple(edited))] if edited else []


def _of_runs(before: MatchRunRow, run: MatchRunRow, on: date) -> list[Cause]:
    """What is another for every profile."""
    by_hand = [Cause("asked_by_hand")] if RunScope.DEMAND in {before.scope, run.scope} else []
    made_with = [Cause(code) for name, code in _MADE_WITH.items() if _differ(before, run, name)]
    return by_hand + made_with + ([Cause("new_year")] if day_of(before.created_at).year != on.year else [])


def _differ(before: MatchRunRow, run: MatchRunRow, name: str) -> bool:
    """Whether two runs were made with another value; some have none."""
    old, new = getattr(before, name), getattr(run, name)
    return None not in {old, new} and old != new


def _is_date_reached(profile: ProfileRow, *, after: date, on: date) -> bool:
    """Whether a day on which a date of the profile begins to count otherwise lies after one day and up to another."""
    start, end = profile.available_from, profile.available_until
    return (start is not None and after < start <= on) or (end is not None and after < end - SOON + _DAY <= on)


async def changes_of(
    session: AsyncSession,
    run: MatchRunRow,
    outcomes: Sequence[tuple[Case, PreviousList | None, Sequence[ListEntry] | Exception]],
    *,
    index_as_of: int,
) -> dict[str, dict[str, Any]]:
    """Per demand whose new list differs from the one before what changed and why, to be stored with the list."""
    compared = [
        Compared(
            case.demand,
            case,
            before,
            {entry.profile.id: entry.ranked.score for entry in entries},
            _moves(before, entries),
        )
        for case, before, entries in outcomes
        if case.demand is not None and not isinstance(entries, Exception)
    ]
    return await stored_changes(session, run, compared, index_as_of=index_as_of, on=today())


def _moves(before: PreviousList | None, entries: Sequence[ListEntry]) -> Moves:
    ranks = {entry.profile.id: rank for rank, entry in enumerate(entries, start=1)}
    return compare_lists({}, ranks) if before is None else compare_lists(before.ranks, ranks, n_before=before.n_matches)
