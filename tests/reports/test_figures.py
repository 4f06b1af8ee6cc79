"""The figures of a quarter with a known history equal those counted by hand; periods are parsed."""

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from reports.cities import History, day, write_third_quarter

from matching_service.demands.states import LIFE, DemandStatus
from matching_service.foundation.clock import day_of, start_of, today
from matching_service.foundation.errors import InvalidInput
from matching_service.programme.plan import load_plan
from matching_service.programme.targets import count_targets
from matching_service.reports.periods import parse_period
from matching_service.reports.schemas import Report
from matching_service.reports.service import make_report
from matching_service.store.database import Database

PLAN = load_plan(None)
LATER = datetime(2027, 1, 1, tzinfo=UTC)


async def report_of(database: Database, period: str) -> Report:
    async with database.snapshot() as session:
        return await make_report(session, PLAN, period)


@pytest.fixture
async def quarter(database: Database) -> Report:
    async with database.transaction() as session:
        await write_third_quarter(session)
    return await report_of(database, "2026-Q3")


async def test_a_quarter_is_counted(quarter: Report, database: Database) -> None:
    assert quarter.totals.model_dump() == {
        "intake": 3, "published": 4, "matched": 4, "contracted": 2, "accepted": 0, "abandoned": 1, "expired": 1,
        "funding_wan": 100, "contracted_wan": 55.25, "contracts_without_amount": 1,
    }  # fmt: skip
    assert [(row.stage, row.n) for row in quarter.funnel] == [
        ("征集", 3), ("发布", 4), ("对接", 4), ("签约", 2), ("验收", 0),
    ]  # fmt: skip
    clusters = {row.label: (row.intake, row.published, row.contracted) for row in quarter.by_cluster}
    assert list(clusters)[: len(PLAN.clusters)] == PLAN.clusters
    assert {label: counts for label, counts in clusters.items() if any(counts)} == {
        "新材料": (2, 2, 1), "泛家居": (0, 1, 1), "未注明": (1, 1, 0),
    }  # fmt: skip
    districts = {row.district: (row.intake, row.published, row.contracted_wan) for row in quarter.by_district}
    assert {label: counts for label, counts in districts.items() if any(counts)} == {
        "南海区": (1, 1, 0), "三水区": (0, 1, 55.25), "未注明": (2, 2, 0),
    }  # fmt: skip
    for rows in (quarter.by_cluster, quarter.by_district):
        for name, total in quarter.totals.model_dump().items():
            assert sum(getattr(row, name) for row in rows) == pytest.approx(total)


async def test_waiting_is_from_publication_to_the_first_contact_since(quarter: Report) -> None:
    # contacted after 4, 10 and 30 days; the fifth demand waits since 10 September
    assert quarter.waiting.model_dump() == {
        "n_contacted": 3, "median_days": 10, "p90_days": 26, "n_waiting": 1, "longest_waiting_days": 20,
    }  # fmt: skip


async def test_suggestions_count_once_under_the_rank_that_was_seen(quarter: Report) -> None:
    assert quarter.suggestions.model_dump() == {"n_suggested": 3, "n_settled": 3, "n_accepted": 2, "rate": 0.6667}
    assert [(row.rank, row.n_settled, row.n_accepted, row.rate) for row in quarter.acceptance_by_rank] == [
        ("1", 1, 1, 1), ("2", 1, 0, 0), ("3", 0, 0, None), ("4–5", 0, 0, None), ("6–10", 0, 0, None),
        ("11–20", 0, 0, None), ("21 以后", 0, 0, None), ("未列入名单", 1, 1, 1),
    ]  # fmt: skip


async def test_the_other_tables(quarter: Report) -> None:
    assert [(row.label, row.reason_label, row.n) for row in quarter.endings] == [("已放弃", "无合适供给方", 1)]
    assert [(row.keyword, row.n_enterprises, row.n_demands, row.clusters) for row in quarter.common_keywords] == [
        ("ＡＧＶ", 2, 2, "新材料"),
    ]  # fmt: skip
    assert {row.label: row.n for row in quarter.engagements} == {"联系": 1, "走访": 1, "会面": 0, "培训": 0, "路演": 0}
    supply = {row.kind: (row.n, row.n_added, row.n_academicians, row.n_overseas, row.n_works) for row in quarter.supply}
    assert (supply["expert"], supply["team"], supply["society"]) == ((4, 3, 1, 0, 6), (1, 0, 0, 1, 0), (0,) * 5)
    programme = {row.kind: (row.begun, row.standing) for row in quarter.programme}
    assert (programme["workstation"], programme["support"]) == ((1, 1), (0, 0))
    assert quarter.claims.model_dump() == {"n_offered": 2, "n_demands": 1}
    assert quarter.matching.model_dump() == {"n_runs": 3, "n_demands": 1}
    assert quarter.projects.model_dump() == {
        "n_under_way": 2, "milestones_due": 2, "milestones_done": 1, "milestones_overdue": 1,
    }  # fmt: skip


async def test_targets_are_those_of_the_last_day(quarter: Report, database: Database) -> None:
    async with database.snapshot() as session:
        counted = await count_targets(session, PLAN, at=day("09-30"))
    assert [row.actual for row in quarter.targets] == [item.actual for item in counted.items]
    assert {row.name: row.actual for row in quarter.targets if row.actual} == {"enterprises": 2, "workstations": 1}
    assert [(row.name, row.district, row.actual) for row in quarter.targets_by_district if row.name == "enterprises"] == [
        ("enterprises", "南海区", 1), ("enterprises", "顺德区", 1),
    ]  # fmt: skip


async def test_months_add_up_to_the_quarter_and_what_came_later_changed_nothing(
    quarter: Report, database: Database
) -> None:
    months = [await report_of(database, f"2026-0{month}") for month in (7, 8, 9)]
    for name, total in quarter.totals.model_dump().items():
        assert sum(getattr(month.totals, name) for month in months) == pytest.approx(total)
    for part in ("claims", "suggestions"):
        for name, total in getattr(quarter, part).model_dump(exclude={"rate", "n_demands"}).items():
            assert sum(getattr(getattr(month, part), name) for month in months) == total
    async with database.transaction() as session:
        city = History(session)
        later = await city.demand(("submitted", day("10-03")), ("published", day("10-04")))
        await city.engagement(day("10-05"), demand_id=later)
        await city.suggestion(later, await city.profile(day("10-05")), ("suggested", day("10-06")))
    again = await report_of(database, "2026-Q3")
    assert again.model_dump(exclude={"made_at"}) == quarter.model_dump(exclude={"made_at"})


async def test_an_empty_city_has_a_report(database: Database) -> None:
    empty = await report_of(database, "2026-01")
    assert not any(empty.totals.model_dump().values())
    assert empty.waiting.median_days is None
    assert empty.suggestions.rate is None
    assert empty.common_keywords == []
    assert empty.endings == []


async def test_a_running_period_is_so_far_and_says_so(database: Database) -> None:
    month = await report_of(database, f"{today():%Y-%m}")
    assert (month.period.until, month.period.is_complete) == (today(), False)
    assert f"数据截至 {today():%Y年%m月%d日}" in month.period.note
    past = await report_of(database, "2026-08")
    assert (past.period.is_complete, past.period.note, past.period.until) == (True, "", date(2026, 8, 31))


@pytest.mark.parametrize(
    ("name", "label", "first", "last"),
    [
        ("2026", "2026年", "2026-01-01", "2026-12-31"),
        ("2026-Q1", "2026年第一季度", "2026-01-01", "2026-03-31"),
        ("2026-Q4", "2026年第四季度", "2026-10-01", "2026-12-31"),
        ("2024-02", "2024年2月", "2024-02-01", "2024-02-29"),
    ],
)
def test_a_period_has_its_days_and_its_moments_in_china(name: str, label: str, first: str, last: str) -> None:
    period = parse_period(name, at=LATER)
    assert (period.label, period.first.isoformat(), period.last.isoformat()) == (label, first, last)
    assert period.start == datetime.combine(period.first, datetime.min.time(), UTC) - timedelta(hours=8)
    assert day_of(period.end) == period.last + timedelta(days=1)
    assert day_of(period.end - timedelta(microseconds=1)) == period.last
    assert period.is_complete


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("2026-13", "invalid_period"), ("2026-00", "invalid_period"), ("2026-Q5", "invalid_period"),
        ("26", "invalid_period"), ("2026-9", "invalid_period"), ("２０２６", "invalid_period"), ("2026\n", "invalid_period"),
        ("1999", "invalid_period"), ("2027", "future_period"), ("2027-Q1", "future_period"), ("2027-01", "future_period"),
    ],
)  # fmt: skip
def test_other_names_and_periods_to_come_are_refused(name: str, code: str) -> None:
    new_years_eve = start_of(date(2027, 1, 1)) - timedelta(microseconds=1)
    with pytest.raises(InvalidInput) as refused:
        parse_period(name, at=new_years_eve)
    assert (refused.value.code, refused.value.errors[0].pointer) == (code, "period")


@given(st.timedeltas(timedelta(0), timedelta(days=364, hours=16)))
def test_a_moment_lies_in_one_month_one_quarter_and_one_year(since: timedelta) -> None:
    moment = datetime(2026, 1, 1, tzinfo=UTC) + since
    names = (
        [f"2026-{month:02}" for month in range(1, 13)],
        [f"2026-Q{n}" for n in range(1, 5)],
        ["2025", "2026", "2027"],
    )
    for names_of_kind in names:
        periods = [parse_period(name, at=LATER + timedelta(days=400)) for name in names_of_kind]
        inside = [period for period in periods if period.start <= moment < period.end]
        assert len(inside) == 1
        assert inside[0].first <= day_of(moment) <= inside[0].last


def test_stages_beyond_a_state_are_those_that_pass_it() -> None:
    s = DemandStatus
    assert LIFE.at_or_beyond(s.SUBMITTED) == frozenset(s) - {s.DRAFT, s.WITHDRAWN}  # a draft is withdrawn too
    assert LIFE.at_or_beyond(s.MATCHING) == LIFE.at_or_beyond(s.CONTRACTED) | {s.MATCHING, s.ABANDONED}
    assert LIFE.at_or_beyond(s.CONTRACTED) == {
        s.CONTRACTED, s.TERMINATED, s.IN_PROGRESS, s.FAILED, s.ACCEPTED, s.CLOSED,
    }  # fmt: skip
    assert LIFE.at_or_beyond(s.DRAFT) == frozenset(s)
