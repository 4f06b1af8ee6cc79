"""Reading profiles for answers, and stored lists, runs and decisions."""

from collections.abc import Iterable, Mapping, Sequence

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from matching_service.foundation.errors import NotFound, Text, not_found
from matching_service.foundation.paging import Page, PageRequest
from matching_service.store.lookup import get_page, get_row
from matching_service.store.matching import DecisionRow, MatchListRow, MatchRow, MatchRunRow
from matching_service.store.suggestions import REFUSED, SuggestionRow


async def get_run(session: AsyncSession, run_id: str, *, for_update: bool = False) -> MatchRunRow:
    """The row, with ``for_update`` locked to the end of the transaction; raises NotFound."""
    if (row := await get_row(session, MatchRunRow, run_id, for_update=for_update)) is None:
        raise not_found(Text("匹配任务", "Match run"), run_id, code="match_run_not_found")
    return row


async def running_run(session: AsyncSession) -> MatchRunRow | None:
    """The run over all open demands that has not ended, if there is one."""
    statement = select(MatchRunRow).where(MatchRunRow.scope == "open", MatchRunRow.state == "running")
    return await session.scalar(statement.order_by(MatchRunRow.id).limit(1))


async def get_latest_list(session: AsyncSession, demand_id: str) -> tuple[MatchListRow, MatchRunRow]:
    """The newest list of a finished run; raises NotFound with code ``no_match_run``."""
    statement = (
        select(MatchListRow, MatchRunRow)
        .join(MatchRunRow, MatchListRow.run_id == MatchRunRow.id)
        .where(MatchListRow.demand_id == demand_id, MatchListRow.state == "done", MatchRunRow.state == "finished")
        .order_by(MatchListRow.id.desc())
        .limit(1)
    )
    found = (await session.execute(statement)).first()
    if found is None:
        raise NotFound(
            "no_match_run",
            Text(
                "该需求还没有匹配结果；请先运行匹配（POST /v1/matches 且 store 为 true，或 POST /v1/match-runs）。",
                "This demand has no stored list yet; rank it: POST /v1/matches with store, or POST /v1/match-runs.",
            ),
        )
    return found[0], found[1]


async def latest_list_ids(session: AsyncSession, demand_ids: Sequence[str]) -> dict[str, str]:
    """Per demand the id of its newest visible list."""
    statement = (
        select(MatchListRow.demand_id, MatchListRow.id)
        .join(MatchRunRow, MatchListRow.run_id == MatchRunRow.id)
        .where(MatchListRow.demand_id.in_(demand_ids), MatchListRow.state == "done", MatchRunRow.state == "finished")
        .order_by(MatchListRow.id)
    )
    return {row.demand_id: row.id for row in await session.execute(statement)}


async def get_matches(session: AsyncSession, list_ids: Iterable[str]) -> dict[str, list[MatchRow]]:
    """The matches of each list in order of rank."""
    wanted = list(list_ids)
    matches: dict[str, list[MatchRow]] = {list_id: [] for list_id in wanted}
    statement = select(MatchRow).where(MatchRow.list_id.in_(wanted)).order_by(MatchRow.list_id, MatchRow.rank)
    for row in await session.scalars(statement):
        matches[row.list_id].append(row)
    return matches


async def list_run_lists(session: AsyncSession, run_id: str, page: PageRequest) -> Page[MatchListRow]:
    return await get_page(session, select(MatchListRow).where(MatchListRow.run_id == run_id), MatchListRow, page)


async def ranked_demand_ids(session: AsyncSession, run_id: str) -> set[str]:
    """Demands that have a list in the run already."""
    return set(await session.scalars(select(MatchListRow.demand_id).where(MatchListRow.run_id == run_id)))


async def get_decisions(session: AsyncSession, demand_ids: Sequence[str]) -> Mapping[str, dict[str, DecisionRow]]:
    """Per demand its decisions by profile id."""
    decisions: dict[str, dict[str, DecisionRow]] = {demand_id: {} for demand_id in demand_ids}
    for row in await session.scalars(select(DecisionRow).where(DecisionRow.demand_id.in_(demand_ids))):
        decisions[row.demand_id][row.profile_id] = row
    return decisions


async def refused_profiles(session: AsyncSession, demand_ids: Sequence[str]) -> Mapping[str, frozenset[str]]:
    """Per demand the profiles whose suggestion came to nothing."""
    refused: dict[str, set[str]] = {demand_id: set() for demand_id in demand_ids}
    statement = select(SuggestionRow.demand_id, SuggestionRow.profile_id).where(
        SuggestionRow.demand_id.in_(demand_ids), SuggestionRow.status.in_(REFUSED)
    )
    for row in await session.execute(statement):
        refused[row.demand_id].add(row.profile_id)
    return {demand_id: frozenset(ids) for demand_id, ids in refused.items()}


async def get_match(session: AsyncSession, match_id: str) -> tuple[MatchRow, MatchListRow]:
    """A match and its list; raises NotFound."""
    row = await get_row(session, MatchRow, match_id)
    match_list = await get_row(session, MatchListRow, row.list_id) if row is not None else None
    if row is None or match_list is None:
        raise not_found(Text("匹配", "Match"), match_id, code="match_not_found")
    return row, match_list
