"""Which demands a run of scope ``changed`` has to rank again; the list of any other would be the one that it has.

Whatever cannot be told cheaply counts as a change.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date

from sqlalchemy import Select, and_, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from matching_service.eligibility.cases import Case
from matching_service.eligibility.schemas import MAX_IDS
from matching_service.foundation.clock import day_of
from matching_service.matching.engine import Engine, View
from matching_service.matching.ranking import Question, rank_many
from matching_service.ranking.structured import SOON
from matching_service.runs.queries import last_finished_run
from matching_service.shortlists.lists import ListEntry
from matching_service.shortlists.queries import PreviousList
from matching_service.store.demands import DemandRow
from matching_service.store.lookup import id_batches
from matching_service.store.outbox import OutboxRow
from matching_service.store.profiles import ProfileRow
from matching_service.store.shortlists import DecisionRow, ListState, MatchListRow, MatchRow, MatchRunRow, RunScope
from matching_service.store.suggestions import SuggestionRow

_ROUNDING = 1e-6
"""Scores of a pair that are nearer than this may be equal, the pair being ranked alone or among others."""
_MADE_WITH = ("weights_version", "lexicon_version", "encoder_version", "frequencies_version", "stability", "top_k")


@dataclass(frozen=True, slots=True)
class Changed:
    """What changed since the last run: these demands are ranked again, all demands of these organizations, and
    those whose list a changed profile is on, or would come onto.
    """

    profile_ids: frozenset[str]
    demand_ids: frozenset[str]
    organization_ids: frozenset[str]


@dataclass(frozen=True, slots=True)
class Asked:
    """A demand, how it would be ranked, and the list that it has."""

    demand: DemandRow
    case: Case
    question: Question
    previous: PreviousList | None


async def changed_since_last_run(session: AsyncSession, run: MatchRunRow, *, on: date) -> Changed | None:
    """None where every demand has to be ranked: without a run before, after a change of what ranks, in a new year,
    or where more profiles changed than can be looked at one by one.
    """
    last = await last_finished_run(session)
    if last is None or any(getattr(last, name) != getattr(run, name) for name in _MADE_WITH):
        return None
    since = day_of(last.created_at)
    if since.year != on.year:  # the age of every work is counted in years
        return None
    events = select(OutboxRow.entity_id).where(OutboxRow.seq > last.events_as_of).distinct()
    profiles = set(await session.scalars(events.where(OutboxRow.entity == "profile").limit(MAX_IDS + 1)))
    if len(profiles) > MAX_IDS:
        return None
    demands = set(await session.scalars(events.where(OutboxRow.entity == "demand")))
    organizations = set(await session.scalars(events.where(OutboxRow.entity == "organization")))
    failed = select(MatchListRow.demand_id).where(
        MatchListRow.run_id == last.id, MatchListRow.state == ListState.FAILED
    )
    demands |= set(await session.scalars(failed))
    pairs = OutboxRow.entity.in_(("match", "suggestion"))
    decided = select(OutboxRow.detail).where(OutboxRow.seq > last.events_as_of, pairs)
    for detail in await session.scalars(decided):
        if detail is None:  # written by an earlier version
            return None
        demands.add(detail["demand_id"])
    for batch in id_batches(demands):  # a decision, and the end of a demand, are another record for all other demands
        for table in (DecisionRow, SuggestionRow):
            served = select(table.profile_id).where(table.demand_id.in_(batch))
            profiles |= set(await session.scalars(served))
    if since != on:
        profiles |= set(await session.scalars(_date_reached(since, on)))
    if len(profiles) > MAX_IDS:
        return None
    return Changed(frozenset(profiles), frozenset(demands), frozenset(organizations))


async def affected_demands(
    engine: Engine, asked: Sequence[Asked], changed: Changed, view: View, *, top_k: int
) -> set[str]:
    """Ids of those demands whose list might be another now."""
    affected = {one.demand.id for one in asked if _is_affected_itself(one, changed)}
    others = [(one, one.previous) for one in asked if one.previous is not None and one.demand.id not in affected]
    if not others or not changed.profile_ids:
        return affected
    found = await rank_many(engine, [_best_of(changed.profile_ids, one.question) for one, _ in others], view)
    async with engine.database.reading() as session:
        last = await _last_places(session, [previous.id for _, previous in others], top_k)
    return affected | {
        one.demand.id
        for (one, previous), listed in zip(others, found, strict=True)
        if isinstance(listed, Exception) or _would_come_in(listed, last.get(previous.id))
    }


def _is_affected_itself(one: Asked, changed: Changed) -> bool:
    return (
        one.previous is None
        or one.previous.run.scope == RunScope.DEMAND  # asked for with conditions of its own
        or one.demand.id in changed.demand_ids
        or one.demand.organization_id in changed.organization_ids
        or len(one.previous.ranks) < one.previous.n_matches  # somebody was deleted
        or not changed.profile_ids.isdisjoint(one.previous.ranks)
        or not changed.profile_ids.isdisjoint(one.question.pinned)  # listed whatever its score, when it may be
    )


def _best_of(profile_ids: frozenset[str], question: Question) -> Question:
    return replace(question, filters=replace(question.filters, candidates=profile_ids), top_k=1, explain=False)


def _would_come_in(listed: Sequence[ListEntry], last: MatchRow | None) -> bool:
    """Whether the best of the changed profiles, none of whom is on the list, comes before its last place.

    last : None where the list is not full.
    """
    if not listed or listed[0].ranked.score <= 0:
        return False
    if last is None:
        return True
    best, n_missing = listed[0].ranked, len(last.explanation["missing_must_have"])
    if len(best.missing_must_have) != n_missing:
        return len(best.missing_must_have) < n_missing
    return best.score >= last.score - _ROUNDING


async def _last_places(session: AsyncSession, list_ids: Sequence[str], top_k: int) -> dict[str, MatchRow]:
    """The match that a newcomer would have to beat, of each full list; whoever is pinned below does not count."""
    statement = select(MatchRow).where(MatchRow.list_id.in_(list_ids), MatchRow.rank == top_k)
    return {match.list_id: match for match in await session.scalars(statement)}


def _date_reached(since: date, on: date) -> Select[str]:
    """Profiles for whom a day came, after the one and up to the other, from which their dates count otherwise."""
    return select(ProfileRow.id).where(
        or_(
            and_(ProfileRow.available_from > since, ProfileRow.available_from <= on),
            and_(ProfileRow.available_until >= since, ProfileRow.available_until < on),
            and_(ProfileRow.available_until >= since + SOON, ProfileRow.available_until < on + SOON),
        )
    )
