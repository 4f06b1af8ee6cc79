"""Assemble the figures of a period into one report."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from anyio import to_thread
from sqlalchemy.ext.asyncio import AsyncSession

from matching_service.demands.states import REASON_NAMES, STATUS_NAMES, DemandStatus, EndReason
from matching_service.engagements.schemas import KIND_NAMES as ENGAGEMENT_NAMES
from matching_service.foundation.clock import now
from matching_service.profiles.schemas import KIND_NAMES as PROFILE_NAMES
from matching_service.programme.plan import UNKNOWN, Plan, in_plan_order
from matching_service.programme.schemas import KIND_NAMES as RECORD_NAMES
from matching_service.programme.schemas import Targets
from matching_service.programme.targets import count_targets
from matching_service.reports import figures
from matching_service.reports.figures import DemandKeywords, Wait
from matching_service.reports.periods import Period, parse_period
from matching_service.reports.schemas import (
    Claims,
    ClusterCounts,
    Counts,
    DistrictCounts,
    EndingRow,
    KeywordRow,
    KindRow,
    Matching,
    ProgrammeRow,
    Projects,
    RankRow,
    Report,
    ReportPeriod,
    StageRow,
    Suggestions,
    SupplyRow,
    TargetClusterRow,
    TargetDistrictRow,
    TargetRow,
    Waiting,
)
from matching_service.text.normalise import fold

MAX_KEYWORDS = 20
_FUNNEL = ("intake", "published", "matched", "contracted", "accepted")
_RANKS = ((1, "1"), (2, "2"), (3, "3"), (5, "4–5"), (10, "6–10"), (20, "11–20"), (1_000_000, "21 以后"))
_UNLISTED = "未列入名单"


async def make_report(session: AsyncSession, plan: Plan, name: str) -> Report:
    """Make the report of a period, up to now if it is still running.

    ``session`` must read from one database snapshot, so that all figures agree. Raises InvalidInput for an invalid
    name and for a period that has not begun.
    """
    made_at = now()
    period = parse_period(name, at=made_at)
    cells = await figures.count_stages(session, period)
    totals = _sum(cells)
    by_cluster = _grouped(cells, "cluster")
    by_region = _grouped(cells, "region")
    settled = await figures.count_settled(session, period)
    n_settled, n_accepted = sum(row[1] for row in settled), sum(row[2] for row in settled)
    n_claims, n_claimed = await figures.count_claims(session, period)
    n_runs, n_ranked = await figures.count_runs(session, period)
    engagements = await figures.count_engagements(session, period)
    supply = await figures.count_supply(session, period)
    programme = await figures.count_programme(session, period)
    targets = await count_targets(session, plan, at=period.until)
    keywords = await figures.list_keywords(session, period)
    return Report(
        period=_period_schema(period),
        made_at=made_at,
        totals=totals,
        waiting=_waiting(await figures.list_waits(session, period), period),
        suggestions=Suggestions(
            n_suggested=await figures.count_suggested(session, period),
            n_settled=n_settled,
            n_accepted=n_accepted,
            rate=_rate(n_accepted, n_settled),
        ),
        claims=Claims(n_offered=n_claims, n_demands=n_claimed),
        matching=Matching(n_runs=n_runs, n_demands=n_ranked),
        projects=Projects(**await figures.count_projects(session, period)),
        funnel=[StageRow(stage=_title(stage), n=getattr(totals, stage)) for stage in _FUNNEL],
        by_cluster=[
            ClusterCounts(cluster=cluster, label=cluster or UNKNOWN, **_sum(by_cluster[cluster]).model_dump())
            for cluster in in_plan_order(by_cluster, plan.clusters)
        ],
        by_district=[
            DistrictCounts(region=region, district=plan.district(region), **_sum(by_region[region]).model_dump())
            for region in in_plan_order(by_region, plan.districts)
        ],
        acceptance_by_rank=_by_rank(settled),
        endings=[
            EndingRow(
                status=status,
                label=STATUS_NAMES[DemandStatus(status)],
                reason=reason,
                reason_label=REASON_NAMES[EndReason(reason)] if reason else UNKNOWN,
                n=n,
            )
            for status, reason, n in await figures.count_endings(session, period)
        ],
        common_keywords=await to_thread.run_sync(_common_keywords, keywords),
        engagements=[
            KindRow(kind=kind, label=label, n=engagements.get(kind, 0)) for kind, label in ENGAGEMENT_NAMES.items()
        ],
        supply=[
            SupplyRow(kind=kind, label=label.zh, **(supply.get(kind) or _NO_SUPPLY))
            for kind, label in PROFILE_NAMES.items()
        ],
        programme=[
            ProgrammeRow(kind=kind, label=label, begun=begun, standing=standing)
            for kind, label in RECORD_NAMES.items()
            for begun, standing in [programme.get(kind, (0, 0))]
        ],
        **_target_rows(targets),
    )


_NO_SUPPLY = {"n": 0, "n_added": 0, "n_academicians": 0, "n_overseas": 0, "n_works": 0}


def _period_schema(period: Period) -> ReportPeriod:
    note = "" if period.is_complete else f"本期尚未结束，数据截至 {period.until:%Y年%m月%d日}。"
    names = ("name", "label", "first", "last", "until", "is_complete")
    return ReportPeriod(note=note, **{name: getattr(period, name) for name in names})


def _title(name: str) -> str:
    return Counts.model_fields[name].title or name


def _sum(cells: Iterable[Any]) -> Counts:
    """Sum rows of counts per region and cluster. Amounts are rounded to 0.01 万元."""
    counts: dict[str, float] = dict.fromkeys(Counts.model_fields, 0)
    for cell in cells:
        for name in counts:
            counts[name] += getattr(cell, name) or 0
    return Counts.model_validate(
        {name: round(value, 2) if name.endswith("_wan") else value for name, value in counts.items()}
    )


def _grouped(cells: Iterable[Any], name: str) -> defaultdict[str | None, list[Any]]:
    groups: defaultdict[str | None, list[Any]] = defaultdict(list)
    for cell in cells:
        groups[getattr(cell, name)].append(cell)
    return groups


def _waiting(waits: Sequence[Wait], period: Period) -> Waiting:
    days = [(wait.contacted_on - wait.published_on).days for wait in waits if wait.contacted_on is not None]
    median, p90 = np.percentile(days, [50, 90]).round(1).tolist() if days else (None, None)
    still_waiting = [(period.until - wait.published_on).days for wait in waits if wait.contacted_on is None]
    return Waiting(
        n_contacted=len(days),
        median_days=median,
        p90_days=p90,
        n_waiting=len(still_waiting),
        longest_waiting_days=max(still_waiting, default=None),
    )


def _by_rank(settled: Iterable[Any]) -> list[RankRow]:
    counts: dict[str, tuple[int, int]] = {label: (0, 0) for _, label in _RANKS} | {_UNLISTED: (0, 0)}
    for rank, n_settled, n_accepted in settled:
        label = _UNLISTED if rank is None else next(label for highest, label in _RANKS if rank <= highest)
        counts[label] = (counts[label][0] + n_settled, counts[label][1] + n_accepted)
    return [
        RankRow(rank=label, n_settled=n_settled, n_accepted=n_accepted, rate=_rate(n_accepted, n_settled))
        for label, (n_settled, n_accepted) in counts.items()
    ]


def _common_keywords(demands: Iterable[DemandKeywords]) -> list[KeywordRow]:
    """Return the folded keywords that demands of several organizations share, most organizations first."""
    names: dict[str, str] = {}
    demands_with: defaultdict[str, list[DemandKeywords]] = defaultdict(list)
    for demand in demands:
        for keyword, written in {fold(word): word for word in demand.keywords}.items():
            names.setdefault(keyword, written)
            demands_with[keyword].append(demand)
    rows = [
        KeywordRow(
            keyword=names[keyword],
            n_enterprises=len({demand.organization_id for demand in sharing}),
            n_demands=len(sharing),
            clusters="、".join(sorted({demand.cluster for demand in sharing if demand.cluster})),
        )
        for keyword, sharing in demands_with.items()
    ]
    common = [row for row in rows if row.n_enterprises > 1]
    return sorted(common, key=lambda row: (-row.n_enterprises, -row.n_demands, row.keyword))[:MAX_KEYWORDS]


def _target_rows(targets: Targets) -> dict[str, Any]:
    """Return the three tables of targets. Districts and clusters without a plan and without a count are left out."""
    compared = ("plan", "actual", "share")
    return {
        "targets": [TargetRow(**target.model_dump(include={"name", "label", *compared})) for target in targets.items],
        "targets_by_district": [
            TargetDistrictRow(name=target.name, target=target.label, **part.model_dump())
            for target in targets.items
            for part in target.by_district
            if part.plan or part.actual
        ],
        "targets_by_cluster": [
            TargetClusterRow(name=target.name, target=target.label, **part.model_dump())
            for target in targets.items
            for part in target.by_cluster
            if part.plan or part.actual
        ],
    }


def _rate(n: int, of: int) -> float | None:
    return round(n / of, 4) if of else None
