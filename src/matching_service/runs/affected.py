"""Select the demands that a run of scope ``changed`` has to rank again.

Ranking any other demand would give the list that it already has. In doubt a demand counts as affected.
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
from matching_service.shortlists.schemas import lacks_of
from matching_service.store.demands import DemandRow
from matching_service.store.lookup import id_batches
from matching_service.store.outbox import PAIR_ENTITIES, OutboxRow
from matching_service.store.profiles import ProfileRow
from matching_service.store.shortlists import DecisionRow, ListState, MatchListRow, MatchRow, MatchRunRow, RunScope
from matching_service.store.suggestions import SuggestionRow

_TOLERANCE = 1e-6
"""Tolerance for comparing the score of one pair ranked alone and ranked in a batch."""
FOLLOWED = frozenset({"profile", "demand", "organization", *PAIR_ENTITIES})
"""Entities whose events make a run over what changed rank demands again."""
_RUN_VERSIONS = ("weights_version", "lexicon_version", "encoder_version", "frequencies_version", "stability", "top_k")


@dataclass(frozen=True, slots=True)
class Changed:
    """Ids of the records that changed since the last run.

    A run ranks these demands again, all demands of these organizations, and the demands whose list contains a changed
    profile or would contain it now.
    """

    profile_ids: frozenset[str]
    demand_ids: frozenset[str]
    organization_ids: frozenset[str]


@dataclass(frozen=True, slots=True)
class DemandToRank:
    """A demand with the case and the question to rank it by, and its present list."""

    demand: DemandRow
    case: Case
    question: Question
    previous: PreviousList | None


async def changed_since_last_run(session: AsyncSession, run: MatchRunRow, *, on: date) -> Changed | None:
    """Return the records that changed since the last finished run, or None if every demand has to be ranked.

    Every demand is ranked if there is no such run, if weights, lexicon, encoder, frequencies, stability or length of
    the lists differ, in a new year, and after changes to more than ``MAX_IDS`` profiles.
    """
    last = await last_finished_run(session)
    if last is None or any(getattr(last, name) != getattr(run, name) for name in _RUN_VERSIONS):
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
    is_about_pair = OutboxRow.entity.in_(PAIR_ENTITIES)
    details = select(OutboxRow.detail).where(OutboxRow.seq > last.events_as_of, is_about_pair)
    for detail in await session.scalars(details):
        if detail is None:  # an event written by an earlier version
            return None
        demands.add(detail["demand_id"])
    # A decision, a suggestion or the end of a demand changes the track record of its profiles for all other demands.
    for batch in id_batches(demands):
        for table in (DecisionRow, SuggestionRow):
            related = select(table.profile_id).where(table.demand_id.in_(batch))
            profiles |= set(await session.scalars(related))
    if since != on:
        profiles |= set(await session.scalars(_date_reached(since, on)))
    if len(profiles) > MAX_IDS:
        return None
    return Changed(frozenset(profiles), frozenset(demands), frozenset(organizations))


async def affected_demands(
    engine: Engine, demands: Sequence[DemandToRank], changed: Changed, view: View, *, top_k: int
) -> set[str]:
    """Return the ids of the demands whose list may differ now.

    Demands that are not affected by themselves are ranked against the changed profiles alone, to see whether the best
    of these would enter the list.
    """
    affected = {to_rank.demand.id for to_rank in demands if _is_affected_itself(to_rank, changed)}
    others = [
        (to_rank, to_rank.previous)
        for to_rank in demands
        if to_rank.previous is not None and to_rank.demand.id not in affected
    ]
    if not others or not changed.profile_ids:
        return affected
    questions = [_best_of(changed.profile_ids, to_rank.question) for to_rank, _ in others]
    outcomes = await rank_many(engine, questions, view)
    async with engine.database.reading() as session:
        last = await _last_matches(session, [previous.row.id for _, previous in others], top_k)
    return affected | {
        to_rank.demand.id
        for (to_rank, previous), entries in zip(others, outcomes, strict=True)
        if isinstance(entries, Exception) or _would_enter(entries, last.get(previous.row.id))
    }


def _is_affected_itself(to_rank: DemandToRank, changed: Changed) -> bool:
    previous = to_rank.previous
    return (
        previous is None
        or previous.run.scope == RunScope.DEMAND  # requested by hand, with conditions of its own
        or to_rank.demand.id in changed.demand_ids
        or to_rank.demand.organization_id in changed.organization_ids
        or len(previous.ranks) < previous.row.n_matches  # a profile on the list was deleted
        or not changed.profile_ids.isdisjoint(previous.ranks)
        or not changed.profile_ids.isdisjoint(to_rank.question.pinned)  # pinned profiles enter with any score
    )


def _best_of(profile_ids: frozenset[str], question: Question) -> Question:
    return replace(question, filters=replace(question.filters, candidates=profile_ids), top_k=1, explain=False)


def _would_enter(entries: Sequence[ListEntry], last: MatchRow | None) -> bool:
    """Whether the best changed profile would rank before the last match of the list.

    entries : the best changed profile, if any. None of the changed profiles is on the list yet.
    last : None if the list is not full.
    """
    if not entries or entries[0].ranked.score <= 0:
        return False
    if last is None:
        return True
    best, lacks = entries[0].ranked, lacks_of(last.explanation)
    if best.lacks != lacks:
        return lacks is None or best.lacks < lacks
    return best.score >= last.score - _TOLERANCE


async def _last_matches(session: AsyncSession, list_ids: Sequence[str], top_k: int) -> dict[str, MatchRow]:
    """Return, by list id, the match at rank ``top_k`` of each full list: a new entry has to beat it.

    Pinned profiles may stand below that rank; they do not matter here.
    """
    statement = select(MatchRow).where(MatchRow.list_id.in_(list_ids), MatchRow.rank == top_k)
    return {match.list_id: match for match in await session.scalars(statement)}


def _date_reached(since: date, on: date) -> Select[str]:
    """Select the profiles whose availability counts differently on ``on`` than on ``since``."""
    return select(ProfileRow.id).where(
        or_(
            and_(ProfileRow.available_from > since, ProfileRow.available_from <= on),
            and_(ProfileRow.available_until >= since, ProfileRow.available_until < on),
            and_(ProfileRow.available_until >= since + SOON, ProfileRow.available_until < on + SOON),
        )
    )
