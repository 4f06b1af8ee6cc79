"""Queries for stored lists, their runs and decisions, and for names of profiles."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import and_, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from matching_service.foundation.errors import Bilingual, not_found
from matching_service.store.lookup import get_row, id_batches
from matching_service.store.profiles import ProfileRow
from matching_service.store.shortlists import DecisionRow, ListState, MatchListRow, MatchRow, MatchRunRow, RunState

IS_VISIBLE = and_(MatchListRow.state == ListState.DONE, MatchRunRow.state == RunState.FINISHED)
"""SQL condition on lists joined with their runs: the list succeeded and its run has finished."""


@dataclass(frozen=True, slots=True)
class PreviousList:
    """The newest visible list of a demand, with its run, and ranks and scores by profile id.

    Profiles that were deleted since have no rank.
    """

    row: MatchListRow
    run: MatchRunRow
    ranks: Mapping[str, int]
    scores: Mapping[str, float]


async def newest_lists(
    session: AsyncSession, demand_ids: Sequence[str]
) -> Mapping[str, tuple[MatchListRow, MatchRunRow]]:
    """Return the newest visible list and its run by demand id. Demands without a list are left out. One query."""
    newest = (
        select(func.max(MatchListRow.id))
        .join(MatchRunRow, MatchListRow.run_id == MatchRunRow.id)
        .where(MatchListRow.demand_id.in_(demand_ids), IS_VISIBLE)
        .group_by(MatchListRow.demand_id)
    )
    joined = select(MatchListRow, MatchRunRow).join(MatchRunRow, MatchListRow.run_id == MatchRunRow.id)
    rows = await session.execute(joined.where(MatchListRow.id.in_(newest)))
    return {row.demand_id: (row, run) for row, run in rows}


async def previous_lists(session: AsyncSession, demand_ids: Sequence[str]) -> dict[str, PreviousList]:
    """Return the newest visible list by demand id, as it was stored. Demands without one are left out. Two queries."""
    lists = await newest_lists(session, demand_ids)
    ranks: dict[str, dict[str, int]] = {row.id: {} for row, _ in lists.values()}
    scores: dict[str, dict[str, float]] = {row.id: {} for row, _ in lists.values()}
    matches = select(MatchRow.list_id, MatchRow.profile_id, MatchRow.rank, MatchRow.score)
    for list_id, profile_id, rank, score in await session.execute(matches.where(MatchRow.list_id.in_(ranks))):
        ranks[list_id][profile_id], scores[list_id][profile_id] = rank, score
    return {demand_id: PreviousList(row, run, ranks[row.id], scores[row.id]) for demand_id, (row, run) in lists.items()}


async def get_matches(session: AsyncSession, list_ids: Iterable[str]) -> dict[str, list[MatchRow]]:
    """Return the matches of each list, ordered by rank."""
    matches: dict[str, list[MatchRow]] = {list_id: [] for list_id in list_ids}
    statement = select(MatchRow).where(MatchRow.list_id.in_(matches)).order_by(MatchRow.list_id, MatchRow.rank)
    for row in await session.scalars(statement):
        matches[row.list_id].append(row)
    return matches


async def names_of_profiles(session: AsyncSession, ids: Iterable[str]) -> dict[str, str]:
    """Return names by profile id. Profiles that do not exist are left out."""
    names: dict[str, str] = {}
    for batch in id_batches(ids):
        rows = await session.execute(select(ProfileRow.id, ProfileRow.name).where(ProfileRow.id.in_(batch)))
        names |= {row.id: row.name for row in rows}
    return names


async def get_decisions(session: AsyncSession, demand_ids: Sequence[str]) -> Mapping[str, dict[str, DecisionRow]]:
    """Return the decisions of each demand by profile id."""
    decisions: dict[str, dict[str, DecisionRow]] = {demand_id: {} for demand_id in demand_ids}
    for row in await session.scalars(select(DecisionRow).where(DecisionRow.demand_id.in_(demand_ids))):
        decisions[row.demand_id][row.profile_id] = row
    return decisions


async def newest_match_ids(session: AsyncSession, pairs: Collection[tuple[str, str]]) -> Mapping[tuple[str, str], str]:
    """Return the id of the newest match by (demand id, profile id). Pairs that no list names are left out."""
    demand_ids = sorted({demand_id for demand_id, _ in pairs})
    newest: dict[tuple[str, str], str] = {}
    for batch in id_batches(profile_id for _, profile_id in pairs):
        statement = (
            select(MatchListRow.demand_id, MatchRow.profile_id, func.max(MatchRow.id))
            .join(MatchListRow, MatchRow.list_id == MatchListRow.id)
            .where(MatchRow.profile_id.in_(batch), MatchListRow.demand_id.in_(demand_ids))
            .group_by(MatchListRow.demand_id, MatchRow.profile_id)
        )
        rows = await session.execute(statement)
        newest |= {(demand_id, profile_id): match_id for demand_id, profile_id, match_id in rows}
    return newest


async def get_match(session: AsyncSession, match_id: str) -> tuple[MatchRow, MatchListRow]:
    """Return a match and its list. Raises NotFound."""
    row = await get_row(session, MatchRow, match_id)
    match_list = await get_row(session, MatchListRow, row.list_id) if row is not None else None
    if row is None or match_list is None:
        raise not_found(Bilingual("匹配", "Match"), match_id, code="match_not_found")
    return row, match_list
