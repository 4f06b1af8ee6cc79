"""Count targets from records, in SQL. A figure and the list of items behind it come from the same query.

A figure for a past day counts the records valid on it, or begun by its end, as the database states them today
(decision 0025).
"""

from collections import Counter
from datetime import date
from typing import Any

from sqlalchemy import ColumnElement, Select, Subquery, func, literal, null, select, union_all
from sqlalchemy.ext.asyncio import AsyncSession

from matching_service.foundation.clock import today
from matching_service.foundation.errors import Bilingual, InvalidInput
from matching_service.foundation.paging import Page, PageRequest, page_of
from matching_service.programme.plan import UNKNOWN, Plan, PlannedTarget, in_plan_order
from matching_service.programme.schemas import (
    ClusterComparison,
    DistrictComparison,
    Evidence,
    Kind,
    Target,
    Targets,
)
from matching_service.store.days import sql_day_of
from matching_service.store.demands import DemandRow
from matching_service.store.engagements import EngagementRow
from matching_service.store.organizations import OrganizationRow
from matching_service.store.programme import ProgrammeRecordRow as Record
from matching_service.store.programme import holds_on
from matching_service.store.suggestions import SuggestionRow, SuggestionTransitionRow

_SUBJECTS: dict[Kind, Any] = {
    "cooperation": func.coalesce(Record.profile_id, Record.organization_id, Record.title),
    "support": func.coalesce(Record.organization_id, Record.title),
    "alliance": Record.title,
    "workstation": Record.id,
    "technology_spread": func.coalesce(Record.profile_id, Record.title),
    "forum": Record.title,
}
"""The key that makes two records count once."""
_SERVING = ("support", "workstation", "technology_spread")
"""Kinds of records that make an enterprise a served one."""


def check_day(at: date | None) -> date:
    """Return the day, by default today. Raises InvalidInput for a future day."""
    now = today()
    if at is not None and at > now:
        message = Bilingual(f"{at} 尚未到来，只能查询今天（{now}）及以前。", f"{at} is in the future; today is {now}.")
        raise InvalidInput.at("at", "future_date", message)
    return at or now


async def count_targets(
    session: AsyncSession, plan: Plan, *, at: date, region: str | None = None, cluster: str | None = None
) -> Targets:
    """Compare plan and actual of every target at the end of that day. ``region``: leading digits of the code.

    ``session`` must read from one database snapshot.
    """
    items = [
        await _count(session, plan, name, target, at=at, region=region, cluster=cluster)
        for name, target in plan.targets.items()
    ]
    return Targets(at=at, first_day=plan.first_day, last_day=plan.last_day, items=items)


async def list_evidence(
    session: AsyncSession,
    plan: Plan,
    target: PlannedTarget,
    page: PageRequest,
    *,
    at: date,
    region: str | None = None,
    cluster: str | None = None,
) -> Page[Evidence]:
    """Return one page of the items behind the target's figure, newest record first."""
    counted = _counted(plan, target, at=at)
    statement = _within(select(counted), counted, region=region, cluster=cluster)
    if page.after is not None:
        statement = statement.where(counted.c.id < page.after)
    rows = (await session.execute(statement.order_by(counted.c.id.desc()).limit(page.limit + 1))).all()
    return page_of([Evidence.model_validate(row) for row in rows], page.limit, lambda item: item.id)


async def _count(
    session: AsyncSession,
    plan: Plan,
    name: str,
    target: PlannedTarget,
    *,
    at: date,
    region: str | None,
    cluster: str | None,
) -> Target:
    counted = _counted(plan, target, at=at)
    statement = select(counted.c.region, counted.c.cluster, func.count()).group_by(counted.c.region, counted.c.cluster)
    districts: Counter[str | None] = Counter()
    clusters: Counter[str | None] = Counter()
    for place, cluster_name, n in await session.execute(_within(statement, counted, region=region, cluster=cluster)):
        districts[place] += n
        clusters[cluster_name] += n
    known = [code for code in {**plan.districts, **target.districts} if code.startswith(region or "")]
    cluster_names = [cluster] if cluster else dict.fromkeys([*plan.clusters, *target.clusters])
    of_districts = [number for code, number in target.districts.items() if code.startswith(region or "")]
    if region and cluster:
        planned = None
    elif region:
        planned = sum(of_districts) or None
    else:
        planned = target.clusters.get(cluster) if cluster else target.plan
    return Target(
        name=name,
        label=target.label,
        **_compare(planned, districts.total()),
        by_district=[
            DistrictComparison(
                region=code,
                district=plan.district(code),
                **_compare(target.districts.get(code or "") if not cluster else None, districts[code]),
            )
            for code in in_plan_order(districts, known)
        ],
        by_cluster=[
            ClusterComparison(
                cluster=cluster_name,
                label=cluster_name or UNKNOWN,
                **_compare(target.clusters.get(cluster_name or "") if not region else None, clusters[cluster_name]),
            )
            for cluster_name in in_plan_order(clusters, cluster_names)
        ],
    )


def _compare(plan: int | None, actual: int) -> dict[str, Any]:
    share = round(actual / plan, 4) if plan else None
    return {"plan": plan, "actual": actual, "share": share}


def _within(statement: Select[Any], counted: Subquery, *, region: str | None, cluster: str | None) -> Select[Any]:
    if region:
        statement = statement.where(counted.c.region.startswith(region))
    return statement.where(counted.c.cluster == cluster) if cluster else statement


def _counted(plan: Plan, target: PlannedTarget, *, at: date) -> Subquery:
    """Select the items that the target counts at that day, once each, with the earliest record of each."""
    facts = _served() if target.counts == "enterprises_served" else _recorded(target.counts)
    if target.how == "begun":
        counts: ColumnElement[bool] = facts.c.since.between(plan.first_day, at)
    else:
        counts = holds_on(at, facts.c.since, facts.c.ended_on)
    held = select(facts).where(counts).subquery()
    order = func.row_number().over(partition_by=held.c.subject, order_by=(held.c.since, held.c.id)).label("n")
    ranked = select(held, order).subquery()
    return select(*(column for column in ranked.c if column.key != "n")).where(ranked.c.n == 1).subquery()


def _recorded(kind: Kind) -> Subquery:
    statement = (
        select(
            _SUBJECTS[kind].label("subject"),
            literal("programme_record").label("entity"),
            Record.id,
            Record.title,
            Record.organization_id,
            Record.profile_id,
            Record.started_on.label("since"),
            Record.ended_on,
            func.coalesce(Record.region, OrganizationRow.region).label("region"),
            func.coalesce(Record.cluster, OrganizationRow.cluster).label("cluster"),
        )
        .outerjoin(OrganizationRow, Record.organization_id == OrganizationRow.id)
        .where(Record.kind == kind)
    )
    return statement.subquery()


def _served() -> Subquery:
    """Select the reasons why an enterprise counts as served: an engagement, a supplier met, a programme record."""
    engagements = select(
        func.coalesce(EngagementRow.organization_id, DemandRow.organization_id).label("organization_id"),
        literal("engagement").label("entity"),
        EngagementRow.id,
        EngagementRow.profile_id,
        EngagementRow.held_on.label("since"),
        DemandRow.region,
        DemandRow.cluster,
    ).outerjoin(DemandRow, EngagementRow.demand_id == DemandRow.id)
    meetings = (
        select(
            DemandRow.organization_id,
            literal("suggestion"),
            SuggestionRow.id,
            SuggestionRow.profile_id,
            sql_day_of(SuggestionTransitionRow.at),
            DemandRow.region,
            DemandRow.cluster,
        )
        .join(SuggestionRow, SuggestionTransitionRow.suggestion_id == SuggestionRow.id)
        .join(DemandRow, SuggestionRow.demand_id == DemandRow.id)
        .where(SuggestionTransitionRow.to_status == "met")
    )
    records = select(
        Record.organization_id,
        literal("programme_record"),
        Record.id,
        Record.profile_id,
        Record.started_on,
        Record.region,
        Record.cluster,
    ).where(Record.kind.in_(_SERVING))
    service = union_all(engagements, meetings, records).subquery()
    statement = (
        select(
            OrganizationRow.id.label("subject"),
            service.c.entity,
            service.c.id,
            OrganizationRow.name.label("title"),
            service.c.organization_id,
            service.c.profile_id,
            service.c.since,
            null().label("ended_on"),
            func.coalesce(OrganizationRow.region, service.c.region).label("region"),
            func.coalesce(OrganizationRow.cluster, service.c.cluster).label("cluster"),
        )
        .join(OrganizationRow, service.c.organization_id == OrganizationRow.id)
        .where(OrganizationRow.kind == "enterprise")
    )
    return statement.subquery()
