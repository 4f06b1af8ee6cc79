"""The queries behind the figures of a report. Each counts events of the period in the histories of all records.

Histories are append-only, so later events do not change the report of a past period. Districts, clusters and amounts
have no history; they are the current values.
"""

from collections.abc import Iterable, Sequence
from datetime import date
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Row, String, Subquery, and_, case, cast, func, or_, select, union_all
from sqlalchemy.ext.asyncio import AsyncSession

from matching_service.demands.states import LIFE, OPEN, DemandStatus
from matching_service.reports.periods import Period
from matching_service.shortlists.queries import IS_VISIBLE
from matching_service.store.claims import ClaimRow
from matching_service.store.days import sql_day_of
from matching_service.store.demands import UNDER_CONTRACT, DemandRow
from matching_service.store.demands import DemandTransitionRow as Transition
from matching_service.store.engagements import EngagementRow
from matching_service.store.organizations import OrganizationRow
from matching_service.store.profiles import HOME, NEVER_MATCHED, ProfileRow, WorkRow
from matching_service.store.programme import ProgrammeRecordRow, holds_on
from matching_service.store.projects import MilestoneRow, ProjectRow
from matching_service.store.shortlists import ListState, MatchListRow, MatchRow, MatchRunRow, RunState
from matching_service.store.suggestions import ACCEPTED, CLOSED, REFUSED, SuggestionRow, SuggestionTransitionRow

STAGES: dict[str, Iterable[str]] = {
    "intake": LIFE.at_or_beyond(DemandStatus.SUBMITTED),
    "published": LIFE.at_or_beyond(DemandStatus.PUBLISHED),
    "matched": LIFE.at_or_beyond(DemandStatus.MATCHING),
    "contracted": LIFE.at_or_beyond(DemandStatus.CONTRACTED),
    "accepted": LIFE.at_or_beyond(DemandStatus.ACCEPTED),
    "abandoned": {DemandStatus.ABANDONED},
    "expired": {DemandStatus.EXPIRED},
}
"""Stage -> the states dominated by it. A demand reaches the stage when it first enters any of them, because an import
may skip states.
"""
_ENDED = (DemandStatus.ABANDONED, DemandStatus.TERMINATED, DemandStatus.FAILED)


async def count_stages(session: AsyncSession, period: Period) -> Sequence[Row[*tuple[Any, ...]]]:
    """Count ``STAGES`` and sum the money per region and cluster. Columns are named as in ``schemas.Counts``."""
    life = _life(period)
    region = func.coalesce(DemandRow.region, OrganizationRow.region).label("region")
    cluster = func.coalesce(DemandRow.cluster, OrganizationRow.cluster).label("cluster")
    counts = [func.count(case((life.c[name] >= period.start, 1))).label(name) for name in STAGES]
    contracted = life.c.contracted >= period.start
    amount = ProjectRow.contract_amount_wan
    money = [
        func.sum(case((life.c.intake >= period.start, DemandRow.funding_wan), else_=0.0)).label("funding_wan"),
        func.sum(case((contracted, amount), else_=0.0)).label("contracted_wan"),
        func.count(case((and_(contracted, amount.is_(None)), 1))).label("contracts_without_amount"),
    ]
    statement = (
        select(region, cluster, *counts, *money)
        .join_from(life, DemandRow, life.c.demand_id == DemandRow.id)
        .outerjoin(OrganizationRow, DemandRow.organization_id == OrganizationRow.id)
        .outerjoin(ProjectRow, ProjectRow.demand_id == DemandRow.id)
        .group_by(region, cluster)
    )
    return (await session.execute(statement)).all()


class Wait(NamedTuple):
    """The days of a demand's publication and of its first contact since. None: the demand is open and still waits."""

    published_on: date
    contacted_on: date | None


async def list_waits(session: AsyncSession, period: Period) -> list[Wait]:
    """List the first contacts within the period, and the open demands that still wait at its end."""
    published = (
        select(Transition.demand_id, sql_day_of(func.min(Transition.at)).label("day"))
        .where(Transition.to_status.in_(sorted(STAGES["published"])), Transition.at < period.end)
        .group_by(Transition.demand_id)
        .subquery()
    )
    contacts = union_all(
        select(EngagementRow.demand_id, EngagementRow.held_on.label("day")).where(
            EngagementRow.demand_id.is_not(None), EngagementRow.held_on <= period.until
        ),
        select(SuggestionRow.demand_id, sql_day_of(SuggestionTransitionRow.at))
        .join(SuggestionRow, SuggestionTransitionRow.suggestion_id == SuggestionRow.id)
        .where(
            SuggestionTransitionRow.from_status.is_not(None),
            SuggestionTransitionRow.to_status != CLOSED,
            SuggestionTransitionRow.at < period.end,
        ),
        select(ClaimRow.demand_id, sql_day_of(ClaimRow.created_at)).where(ClaimRow.created_at < period.end),
    ).subquery()
    contacted_on = func.min(contacts.c.day)
    state = _state_at_the_end(period)
    statement = (
        select(published.c.day, contacted_on)
        .join_from(published, state, state.c.demand_id == published.c.demand_id)
        .outerjoin(contacts, and_(contacts.c.demand_id == published.c.demand_id, contacts.c.day >= published.c.day))
        .group_by(published.c.demand_id, published.c.day, state.c.to_status)
        .having(or_(contacted_on >= period.first, and_(contacted_on.is_(None), state.c.to_status.in_(sorted(OPEN)))))
    )
    return [Wait(*row) for row in await session.execute(statement)]


async def count_suggested(session: AsyncSession, period: Period) -> int:
    is_first = SuggestionTransitionRow.from_status.is_(None)
    statement = select(func.count()).where(is_first, _within(SuggestionTransitionRow.at, period))
    return int(await session.scalar(statement) or 0)


async def count_settled(session: AsyncSession, period: Period) -> Sequence[Row[int | None, int, int]]:
    """Per rank, count the suggestions settled within the period and those of them that were accepted.

    The rank is the profile's rank on the newest list that held it before it was suggested; None if no list did.
    """
    history = SuggestionTransitionRow
    answers = (
        select(
            history.suggestion_id,
            func.min(history.at).label("suggested_at"),
            func.min(case((history.to_status.in_(sorted(ACCEPTED)), history.at))).label("accepted_at"),
            func.max(case((history.to_status.in_(sorted(REFUSED)), history.at))).label("refused_at"),
        )
        .where(history.at < period.end)
        .group_by(history.suggestion_id)
        .subquery()
    )
    rank = (
        select(MatchRow.rank)
        .join(MatchListRow, MatchRow.list_id == MatchListRow.id)
        .join(MatchRunRow, MatchListRow.run_id == MatchRunRow.id)
        .where(
            MatchRow.profile_id == SuggestionRow.profile_id,
            MatchListRow.demand_id == SuggestionRow.demand_id,
            IS_VISIBLE,
            MatchRunRow.finished_at <= answers.c.suggested_at,
        )
        .order_by(MatchRunRow.finished_at.desc(), MatchRow.id.desc())
        .limit(1)
        .correlate(SuggestionRow, answers)
        .scalar_subquery()
    )
    settled = (
        select(rank.label("rank"), answers.c.accepted_at)
        .join_from(answers, SuggestionRow, answers.c.suggestion_id == SuggestionRow.id)
        .where(
            or_(
                answers.c.accepted_at >= period.start,
                and_(answers.c.accepted_at.is_(None), answers.c.refused_at >= period.start),
            )
        )
        .subquery()
    )
    n_accepted = func.count(settled.c.accepted_at)
    statement = select(settled.c.rank, func.count(), n_accepted).group_by(settled.c.rank)
    return (await session.execute(statement)).all()


async def count_endings(session: AsyncSession, period: Period) -> Sequence[Row[str, str | None, int]]:
    """Per state and reason, count abandoned demands, terminated contracts and failed projects."""
    statement = (
        select(Transition.to_status, Transition.reason, func.count())
        .where(Transition.to_status.in_(_ENDED), _within(Transition.at, period))
        .group_by(Transition.to_status, Transition.reason)
        .order_by(Transition.to_status, func.count().desc(), Transition.reason)
    )
    return (await session.execute(statement)).all()


class DemandKeywords(NamedTuple):
    """The keywords of one demand, with its organization and cluster."""

    organization_id: str
    keywords: list[str]
    cluster: str | None


async def list_keywords(session: AsyncSession, period: Period) -> list[DemandKeywords]:
    """List the keywords of every demand that was submitted within the period and has an organization."""
    life = _life(period)
    statement = (
        select(DemandRow.organization_id, DemandRow.keywords, DemandRow.cluster)
        .join_from(life, DemandRow, life.c.demand_id == DemandRow.id)
        .where(life.c.intake >= period.start, DemandRow.organization_id.is_not(None))
        .order_by(DemandRow.id)
    )
    rows = await session.execute(statement)
    return [
        DemandKeywords(organization_id, keywords, cluster)
        for organization_id, keywords, cluster in rows
        if organization_id is not None
    ]


async def count_engagements(session: AsyncSession, period: Period) -> dict[str, int]:
    """Count the engagements held within the period per kind."""
    statement = (
        select(EngagementRow.kind, func.count())
        .where(EngagementRow.held_on.between(period.first, period.until))
        .group_by(EngagementRow.kind)
    )
    return {kind: n for kind, n in await session.execute(statement)}  # noqa: C416  # dict() does not accept rows


async def count_supply(session: AsyncSession, period: Period) -> dict[str, dict[str, int]]:
    """Count profiles per kind. Columns are named as in ``schemas.SupplyRow``."""
    is_counted = and_(ProfileRow.created_at < period.end, ProfileRow.visibility.not_in(sorted(NEVER_MATCHED)))
    works = select(WorkRow.profile_id, func.count().label("n")).group_by(WorkRow.profile_id).subquery()
    statement = (
        select(
            ProfileRow.kind,
            func.count().label("n"),
            func.count(case((ProfileRow.created_at >= period.start, 1))).label("n_added"),
            func.count(case((cast(ProfileRow.honours, String).contains("院士"), 1))).label("n_academicians"),
            func.count(case((ProfileRow.country != HOME, 1))).label("n_overseas"),
            func.coalesce(func.sum(works.c.n), 0).label("n_works"),
        )
        .outerjoin(works, works.c.profile_id == ProfileRow.id)
        .where(is_counted)
        .group_by(ProfileRow.kind)
    )
    rows = (await session.execute(statement)).mappings()
    return {row["kind"]: {name: int(n) for name, n in row.items() if name != "kind"} for row in rows}


async def count_programme(session: AsyncSession, period: Period) -> dict[str, tuple[int, int]]:
    """Per kind of programme record, count those that began within the period and those valid on its last day."""
    record = ProgrammeRecordRow
    began = record.started_on.between(period.first, period.until)
    holds = holds_on(period.until, record.started_on, record.ended_on)
    statement = select(record.kind, func.count(case((began, 1))), func.count(case((holds, 1)))).group_by(record.kind)
    return {kind: (n_begun, n_standing) for kind, n_begun, n_standing in await session.execute(statement)}


async def count_claims(session: AsyncSession, period: Period) -> tuple[int, int]:
    """Count the claims offered within the period, and their demands."""
    statement = select(func.count(), func.count(ClaimRow.demand_id.distinct()))
    row = (await session.execute(statement.where(_within(ClaimRow.created_at, period)))).one()
    return row[0], row[1]


async def count_runs(session: AsyncSession, period: Period) -> tuple[int, int]:
    """Count the match runs finished within the period, and the demands with a list in one of them."""
    statement = (
        select(func.count(MatchRunRow.id.distinct()), func.count(MatchListRow.demand_id.distinct()))
        .outerjoin(MatchListRow, and_(MatchListRow.run_id == MatchRunRow.id, MatchListRow.state == ListState.DONE))
        .where(MatchRunRow.state == RunState.FINISHED, _within(MatchRunRow.finished_at, period))
    )
    row = (await session.execute(statement)).one()
    return row[0], row[1]


async def count_projects(session: AsyncSession, period: Period) -> dict[str, int]:
    """Count projects and milestones. Columns are named as in ``schemas.Projects``."""
    state = _state_at_the_end(period)
    is_under_way = state.c.to_status.in_(UNDER_CONTRACT)
    was_done = and_(MilestoneRow.done_on.is_not(None), MilestoneRow.done_on <= period.until)
    was_due = MilestoneRow.due_on.between(period.first, period.until)
    is_late = and_(MilestoneRow.due_on < period.until, ~was_done, is_under_way)
    statement = (
        select(
            func.count(case((is_under_way, ProjectRow.id)).distinct()).label("n_under_way"),
            func.count(case((was_due, 1))).label("milestones_due"),
            func.count(case((and_(was_due, was_done), 1))).label("milestones_done"),
            func.count(case((is_late, 1))).label("milestones_overdue"),
        )
        .join_from(ProjectRow, state, state.c.demand_id == ProjectRow.demand_id)
        .outerjoin(MilestoneRow, MilestoneRow.project_id == ProjectRow.id)
    )
    return dict((await session.execute(statement)).mappings().one())


def _life(period: Period) -> Subquery:
    """Per demand, the first moment before the period's end at which it reached each of ``STAGES``, else null."""
    firsts = [
        func.min(case((Transition.to_status.in_(sorted(states)), Transition.at))).label(name)
        for name, states in STAGES.items()
    ]
    return (
        select(Transition.demand_id, *firsts)
        .where(Transition.at < period.end)
        .group_by(Transition.demand_id)
        .subquery()
    )


def _state_at_the_end(period: Period) -> Subquery:
    """Per demand, its state at the end of the period."""
    newest = (
        func.row_number()
        .over(partition_by=Transition.demand_id, order_by=(Transition.at.desc(), Transition.id.desc()))
        .label("n")
    )
    steps = select(Transition.demand_id, Transition.to_status, newest).where(Transition.at < period.end).subquery()
    return select(steps.c.demand_id, steps.c.to_status).where(steps.c.n == 1).subquery()


def _within(moment: Any, period: Period) -> ColumnElement[bool]:
    return and_(moment >= period.start, moment < period.end)
