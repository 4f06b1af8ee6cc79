"""Reading profiles for answers, and stored lists, runs and decisions."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import bindparam, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from matching_service.foundation.errors import NotFound, Text, not_found
from matching_service.foundation.paging import Page, PageRequest
from matching_service.store.demands import DemandRow
from matching_service.store.lookup import get_page, get_row, id_batches
from matching_service.store.matching import DecisionRow, MatchListRow, MatchRow, MatchRunRow
from matching_service.store.profiles import ProfileRow, WorkRow

NIGHT_SCOPES = ("open", "changed")
"""Scopes of runs over many demands, of which there is one at a time."""


@dataclass(frozen=True, slots=True)
class PreviousList:
    """The newest visible list of a demand: the run that made it, and ranks and scores by profile id. ``n_matches`` is
    how long it was; profiles that were deleted since have no rank.
    """

    id: str
    run: MatchRunRow
    n_matches: int
    ranks: Mapping[str, int]
    scores: Mapping[str, float]


class ShownProfile(NamedTuple):
    """What of a profile a list shows or explains."""

    id: str
    external_id: str | None
    kind: str
    name: str
    region: str | None
    summary: str | None
    keywords: list[str]
    fields: list[str]


class ShownWork(NamedTuple):
    """What of a work a list explains."""

    id: str
    kind: str
    title: str
    abstract: str | None
    year: int | None


# Plain rows: objects with a session's bookkeeping take three times as long to read, and to send to another process.
_SHOWN_PROFILES = select(*(getattr(ProfileRow, name) for name in ShownProfile._fields)).where(
    ProfileRow.id.in_(bindparam("ids", expanding=True))
)
_SHOWN_WORKS = select(*(getattr(WorkRow, name) for name in ShownWork._fields)).where(
    WorkRow.id.in_(bindparam("ids", expanding=True))
)


@dataclass(frozen=True, slots=True)
class ClusterChanges:
    """What a run changed in one industry cluster: demands whose list changed, and profiles on those lists."""

    cluster: str | None
    n_demands: int
    n_entered: int
    n_left: int
    n_moved: int


async def get_run(session: AsyncSession, run_id: str, *, for_update: bool = False) -> MatchRunRow:
    """The row, with ``for_update`` locked to the end of the transaction; raises NotFound."""
    if (row := await get_row(session, MatchRunRow, run_id, for_update=for_update)) is None:
        raise not_found(Text("匹配任务", "Match run"), run_id, code="match_run_not_found")
    return row


async def running_run(session: AsyncSession) -> MatchRunRow | None:
    """The run over many demands that has not ended, if there is one."""
    statement = select(MatchRunRow).where(MatchRunRow.scope.in_(NIGHT_SCOPES), MatchRunRow.state == "running")
    return await session.scalar(statement.order_by(MatchRunRow.id).limit(1))


async def last_finished_run(session: AsyncSession) -> MatchRunRow | None:
    """The newest run over many demands whose lists are visible, if there is one."""
    statement = select(MatchRunRow).where(MatchRunRow.scope.in_(NIGHT_SCOPES), MatchRunRow.state == "finished")
    return await session.scalar(statement.order_by(MatchRunRow.id.desc()).limit(1))


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


async def previous_lists(session: AsyncSession, demand_ids: Sequence[str]) -> dict[str, PreviousList]:
    """Per demand that has one its newest visible list. Two queries."""
    newest = (
        select(func.max(MatchListRow.id))
        .join(MatchRunRow, MatchListRow.run_id == MatchRunRow.id)
        .where(MatchListRow.demand_id.in_(demand_ids), MatchListRow.state == "done", MatchRunRow.state == "finished")
        .group_by(MatchListRow.demand_id)
    )
    joined = select(MatchListRow, MatchRunRow).join(MatchRunRow, MatchListRow.run_id == MatchRunRow.id)
    lists = (await session.execute(joined.where(MatchListRow.id.in_(newest)))).all()
    ranks: dict[str, dict[str, int]] = {row.id: {} for row, _ in lists}
    scores: dict[str, dict[str, float]] = {row.id: {} for row, _ in lists}
    places = select(MatchRow.list_id, MatchRow.profile_id, MatchRow.rank, MatchRow.score)
    for list_id, profile_id, rank, score in await session.execute(places.where(MatchRow.list_id.in_(ranks))):
        ranks[list_id][profile_id], scores[list_id][profile_id] = rank, score
    return {
        row.demand_id: PreviousList(row.id, run, row.n_matches, ranks[row.id], scores[row.id]) for row, run in lists
    }


async def shown_texts(
    session: AsyncSession, profile_ids: Iterable[str], work_ids: Iterable[str]
) -> tuple[dict[str, ShownProfile], dict[str, ShownWork]]:
    """Profiles and works by id; those that are gone are missing."""
    profiles: dict[str, ShownProfile] = {}
    works: dict[str, ShownWork] = {}
    for batch in id_batches(profile_ids):
        for row in await session.execute(_SHOWN_PROFILES, {"ids": batch}):
            profiles[row.id] = ShownProfile._make(row)
    for batch in id_batches(work_ids):
        for row in await session.execute(_SHOWN_WORKS, {"ids": batch}):
            works[row.id] = ShownWork._make(row)
    return profiles, works


async def get_matches(session: AsyncSession, list_ids: Iterable[str]) -> dict[str, list[MatchRow]]:
    """The matches of each list in order of rank."""
    wanted = list(list_ids)
    matches: dict[str, list[MatchRow]] = {list_id: [] for list_id in wanted}
    statement = select(MatchRow).where(MatchRow.list_id.in_(wanted)).order_by(MatchRow.list_id, MatchRow.rank)
    for row in await session.scalars(statement):
        matches[row.list_id].append(row)
    return matches


async def list_changed_lists(session: AsyncSession, run_id: str, page: PageRequest) -> Page[MatchListRow]:
    """The lists of a run that are not what they were before."""
    statement = select(MatchListRow).where(MatchListRow.run_id == run_id, MatchListRow.changes.is_not(None))
    return await get_page(session, statement, MatchListRow, page)


async def changed_list_ids(session: AsyncSession, run_id: str) -> Sequence[tuple[str, str]]:
    """Ids of a run's lists that are not what they were before, each with that of its demand, by demand."""
    statement = select(MatchListRow.id, MatchListRow.demand_id).where(
        MatchListRow.run_id == run_id, MatchListRow.changes.is_not(None)
    )
    return [(row.id, row.demand_id) for row in await session.execute(statement.order_by(MatchListRow.demand_id))]


async def list_failed_lists(session: AsyncSession, run_id: str, page: PageRequest) -> Page[MatchListRow]:
    """The demands of a run that could not be ranked, with their errors."""
    statement = select(MatchListRow).where(MatchListRow.run_id == run_id, MatchListRow.state == "failed")
    return await get_page(session, statement, MatchListRow, page)


async def changes_by_cluster(session: AsyncSession, run_id: str) -> list[ClusterChanges]:
    """How much a run changed, per industry cluster, by its name; demands without one come last. One query."""
    statement = (
        select(
            DemandRow.cluster,
            func.count().label("n_demands"),
            *(func.sum(getattr(MatchListRow, name)).label(name) for name in ("n_entered", "n_left", "n_moved")),
        )
        .join(MatchListRow, MatchListRow.demand_id == DemandRow.id)
        .where(MatchListRow.run_id == run_id, MatchListRow.changes.is_not(None))
        .group_by(DemandRow.cluster)
    )
    found = [ClusterChanges(*row) for row in await session.execute(statement)]
    return sorted(found, key=lambda one: (one.cluster is None, one.cluster or ""))


async def names_of_profiles(session: AsyncSession, ids: Iterable[str]) -> dict[str, str]:
    """The names of those that exist."""
    names: dict[str, str] = {}
    for batch in id_batches(ids):
        rows = await session.execute(select(ProfileRow.id, ProfileRow.name).where(ProfileRow.id.in_(batch)))
        names |= {row.id: row.name for row in rows}
    return names


async def ranked_demand_ids(session: AsyncSession, run_id: str) -> set[str]:
    """Demands that have a list in the run already."""
    return set(await session.scalars(select(MatchListRow.demand_id).where(MatchListRow.run_id == run_id)))


async def get_decisions(session: AsyncSession, demand_ids: Sequence[str]) -> Mapping[str, dict[str, DecisionRow]]:
    """Per demand its decisions by profile id."""
    decisions: dict[str, dict[str, DecisionRow]] = {demand_id: {} for demand_id in demand_ids}
    for row in await session.scalars(select(DecisionRow).where(DecisionRow.demand_id.in_(demand_ids))):
        decisions[row.demand_id][row.profile_id] = row
    return decisions


async def get_match(session: AsyncSession, match_id: str) -> tuple[MatchRow, MatchListRow]:
    """A match and its list; raises NotFound."""
    row = await get_row(session, MatchRow, match_id)
    match_list = await get_row(session, MatchListRow, row.list_id) if row is not None else None
    if row is None or match_list is None:
        raise not_found(Text("匹配", "Match"), match_id, code="match_not_found")
    return row, match_list
