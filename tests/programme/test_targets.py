"""Each target figure equals the number of items behind it on any day; corrections change past figures."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncSession

from matching_service.access.policies import COMMAND_LINE
from matching_service.foundation.clock import today
from matching_service.foundation.errors import InvalidInput
from matching_service.foundation.paging import PageRequest, decode_cursor
from matching_service.programme.plan import Plan, load_plan
from matching_service.programme.schemas import Evidence, ProgrammeRecordCreate, ProgrammeRecordPatch, Targets
from matching_service.programme.service import create_record, remove_record, update_record
from matching_service.programme.targets import check_day, count_targets, list_evidence
from matching_service.store.database import Database
from matching_service.store.days import sql_day_of
from matching_service.store.demands import DemandRow
from matching_service.store.engagements import EngagementRow
from matching_service.store.organizations import OrganizationRow
from matching_service.store.profiles import ProfileRow
from matching_service.store.programme import ProgrammeRecordRow
from matching_service.store.suggestions import SuggestionRow, SuggestionTransitionRow

PLAN = load_plan(None)
FIRST, LAST = PLAN.first_day, date(2026, 11, 1)
KINDS = ["cooperation", "support", "alliance", "workstation", "technology_spread", "forum"]


async def figures(database: Database, at: date, plan: Plan = PLAN, **within: str) -> dict[str, int]:
    async with database.snapshot() as session:
        return {item.name: item.actual for item in (await count_targets(session, plan, at=at, **within)).items}


async def evidence(session: AsyncSession, name: str, at: date, *, limit: int = 2, **within: str) -> list[Evidence]:
    """Read all items that a target counts, page by page."""
    items: list[Evidence] = []
    cursor: str | None = None
    while True:
        page = PageRequest(limit, decode_cursor(cursor) if cursor else None)
        answer = await list_evidence(session, PLAN, PLAN.targets[name], page, at=at, **within)
        items += answer.items
        if (cursor := answer.next_cursor) is None:
            return items


async def write(database: Database, work: Callable[[AsyncSession], Awaitable[Any]]) -> Any:
    async with database.transaction() as session:
        return await work(session)


async def record(database: Database, kind: Any, title: str, started_on: date, **fields: Any) -> str:
    body = ProgrammeRecordCreate(kind=kind, title=title, started_on=started_on, **fields)
    made: ProgrammeRecordRow = await write(database, lambda session: create_record(session, body, COMMAND_LINE))
    return made.id


def demand_row(**fields: Any) -> DemandRow:
    lists: Any = {"keywords": [], "must_have": [], "nice_to_have": [], "wanted_partners": []}
    return DemandRow(source="t", status="matching", title="t", visibility="public", **lists, **fields)


def profile_row(**fields: Any) -> ProfileRow:
    lists: Any = {"keywords": [], "fields": [], "honours": [], "clusters": []}
    least = {
        "source": "t",
        "kind": "expert",
        "name": "卓砺川",
        "country": "CN",
        "language": "zh",
        "visibility": "public",
    }
    return ProfileRow(**least | lists | fields)


async def test_a_standing_record_counts_on_its_days_and_a_begun_one_from_its_start_on(database: Database) -> None:
    day = date(2026, 3, 10)
    await record(database, "support", "甲镇技术服务站", day, ended_on=date(2026, 6, 30))
    await record(database, "workstation", "乙厂院士工作站", day, ended_on=date(2026, 6, 30))
    await record(database, "workstation", "丙厂院士工作站", FIRST - timedelta(days=1))  # began before the plan
    seen = {at: await figures(database, at) for at in (date(2026, 3, 9), day, date(2026, 6, 30), date(2026, 7, 1))}
    assert [counted["support"] for counted in seen.values()] == [0, 1, 1, 0]
    assert [counted["workstations"] for counted in seen.values()] == [0, 1, 1, 1]


async def test_a_correction_changes_the_past_and_a_deleted_record_counts_at_no_date(database: Database) -> None:
    record_id = await record(database, "alliance", "机器人联盟", date(2026, 5, 1))

    async def change(session: AsyncSession, **fields: Any) -> None:
        row = (await session.scalars(select(ProgrammeRecordRow).where(ProgrammeRecordRow.id == record_id))).one()
        await update_record(session, row, ProgrammeRecordPatch(**fields), COMMAND_LINE)

    assert (await figures(database, date(2026, 4, 1)))["alliances"] == 0
    await write(database, lambda session: change(session, started_on=date(2026, 4, 1)))
    assert (await figures(database, date(2026, 4, 1)))["alliances"] == 1
    await write(database, lambda session: change(session, ended_on=date(2026, 8, 31)))
    assert [(await figures(database, date(2026, month, 1)))["alliances"] for month in (4, 8, 9)] == [1, 1, 0]
    with pytest.raises(InvalidInput):
        await write(database, lambda session: change(session, ended_on=date(2026, 3, 31)))

    async def remove(session: AsyncSession) -> None:
        row = (await session.scalars(select(ProgrammeRecordRow).where(ProgrammeRecordRow.id == record_id))).one()
        await remove_record(session, row, COMMAND_LINE)

    await write(database, remove)
    assert [(await figures(database, date(2026, month, 1)))["alliances"] for month in (4, 8, 9)] == [0, 0, 0]


async def test_one_thing_counts_once_however_often_it_is_written_down(database: Database) -> None:
    async def society(session: AsyncSession) -> str:
        row = profile_row(kind="society", name="中国机械工程学会")
        session.add(row)
        await session.flush()
        return row.id

    profile = await write(database, society)
    for year_day in (date(2026, 1, 5), date(2026, 9, 9)):
        await record(database, "cooperation", f"战略合作 {year_day}", year_day, profile_id=profile)
        await record(database, "forum", "佛山国际陶瓷论坛", year_day)
        await record(database, "workstation", "同名工作站", year_day)
    counted = await figures(database, LAST)
    assert (counted["cooperation"], counted["forums"], counted["workstations"]) == (1, 1, 2)
    async with database.reading() as session:
        (only,) = await evidence(session, "cooperation", LAST)
    assert (only.since, only.profile_id, only.title) == (date(2026, 1, 5), profile, "战略合作 2026-01-05")


async def serve(session: AsyncSession) -> dict[str, str]:
    """Add four enterprises and a university, served in different ways; one enterprise was served only before the plan."""
    organizations = {
        "visited": OrganizationRow(source="t", name="甲厂", kind="enterprise", region="440605", cluster="泛家居"),
        "met": OrganizationRow(source="t", name="乙厂", kind="enterprise"),
        "stationed": OrganizationRow(source="t", name="丙厂", kind="enterprise", region="440606"),
        "untouched": OrganizationRow(source="t", name="丁厂", kind="enterprise", region="440605"),
        "university": OrganizationRow(source="t", name="某大学", kind="university", region="440605"),
    }
    session.add_all(organizations.values())
    profile = profile_row()
    session.add(profile)
    await session.flush()
    ids = {name: row.id for name, row in organizations.items()}
    demand = demand_row(organization_id=ids["met"], region="440607", cluster="新材料")
    session.add(demand)
    await session.flush()
    suggestion = SuggestionRow(demand_id=demand.id, profile_id=profile.id, status="met")
    session.add(suggestion)
    await session.flush()
    session.add_all(
        [
            EngagementRow(kind="visit", held_on=date(2026, 3, 2), staff="李", people=[], organization_id=ids["visited"]),
            EngagementRow(kind="visit", held_on=date(2026, 2, 2), staff="李", people=[], organization_id=ids["visited"]),
            EngagementRow(kind="visit", held_on=date(2026, 2, 2), staff="李", people=[], organization_id=ids["university"]),
            EngagementRow(kind="visit", held_on=date(2025, 2, 2), staff="李", people=[], organization_id=ids["untouched"]),
            SuggestionTransitionRow(
                suggestion_id=suggestion.id, from_status="accepted", to_status="met", actor_id="cli",
                at=datetime(2026, 4, 30, 16, 30, tzinfo=UTC),  # 00:30 on 1 May in China
            ),
            ProgrammeRecordRow(
                source="t", kind="support", title="x", organization_id=ids["stationed"], started_on=date(2026, 6, 1)
            ),
        ]
    )  # fmt: skip
    return ids


async def test_an_enterprise_is_served_by_a_visit_a_meeting_or_a_record_and_counts_once(database: Database) -> None:
    ids = await write(database, serve)
    days = [date(2026, 2, 1), date(2026, 2, 2), date(2026, 4, 30), date(2026, 5, 1), date(2026, 6, 1)]
    assert [(await figures(database, at))["enterprises"] for at in days] == [0, 1, 1, 2, 3]
    assert (await figures(database, LAST, region="440605"))["enterprises"] == 1
    assert (await figures(database, LAST, region="4406", cluster="新材料"))["enterprises"] == 1
    async with database.reading() as session:
        served = {item.organization_id: item for item in await evidence(session, "enterprises", LAST)}
    assert {name for name, row_id in ids.items() if row_id in served} == {"visited", "met", "stationed"}
    met = served[ids["met"]]
    assert (met.entity, met.title, met.since, met.region, met.cluster) == (
        "suggestion", "乙厂", date(2026, 5, 1), "440607", "新材料",
    )  # fmt: skip
    assert served[ids["visited"]].since == date(2026, 2, 2)
    assert served[ids["stationed"]].region == "440606"


async def test_districts_and_clusters_add_up_to_the_figure(database: Database) -> None:
    await record(database, "support", "甲", FIRST, region="440605", cluster="新材料")
    await record(database, "support", "乙", FIRST, region="440699", cluster="别的")
    await record(database, "support", "丙", FIRST)
    async with database.snapshot() as session:
        support = (await count_targets(session, PLAN, at=LAST)).items[1]
    assert support.model_dump(include={"name", "plan", "actual", "share"}) == {
        "name": "support", "plan": 500, "actual": 3, "share": 0.006,
    }  # fmt: skip
    assert [(part.district, part.actual) for part in support.by_district] == [
        ("禅城区", 0), ("南海区", 1), ("顺德区", 0), ("高明区", 0), ("三水区", 0), ("440699", 1), ("未注明", 1),
    ]  # fmt: skip
    assert [(part.label, part.actual) for part in support.by_cluster if part.actual] == [
        ("新材料", 1), ("别的", 1), ("未注明", 1),
    ]  # fmt: skip
    assert [part.label for part in support.by_cluster][:8] == PLAN.clusters


async def test_plans_of_districts_and_clusters_are_compared(database: Database) -> None:
    support = PLAN.targets["support"].model_copy(
        update={"districts": {"440605": 40, "440606": 10}, "clusters": {"新材料": 4}}
    )
    plan = PLAN.model_copy(update={"targets": {"support": support}})
    await record(database, "support", "甲", FIRST, region="440605", cluster="新材料")

    async def planned(**within: str) -> tuple[int | None, float | None]:
        async with database.snapshot() as session:
            targets: Targets = await count_targets(session, plan, at=LAST, **within)
        return targets.items[0].plan, targets.items[0].share

    assert [await planned(), await planned(region="4406"), await planned(region="440605")] == [
        (500, 0.002), (50, 0.02), (40, 0.025),
    ]  # fmt: skip
    assert [await planned(cluster="新材料"), await planned(cluster="泛家居"), await planned(region="440604")] == [
        (4, 0.25), (None, None), (None, None),
    ]  # fmt: skip


RECORDS = st.lists(
    st.fixed_dictionaries(
        {
            "kind": st.sampled_from(KINDS),
            "title": st.sampled_from("甲乙丙"),
            "organization": st.sampled_from([None, 0, 1]),
            "region": st.sampled_from([None, "440605", "440606"]),
            "cluster": st.sampled_from([None, "新材料", "泛家居"]),
            "start": st.integers(-30, 120),
            "days": st.sampled_from([None, 0, 10, 60]),
        }
    ),
    max_size=30,
)


@settings(deadline=None, max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(records=RECORDS, day=st.integers(0, 130), region=st.sampled_from(["", "440605"]))
def test_a_figure_is_the_number_of_records_behind_it(
    database_url: str, records: list[dict[str, Any]], day: int, region: str
) -> None:
    within = {"region": region} if region else {}
    at = FIRST + timedelta(days=day)

    async def run() -> None:
        database = Database(database_url)
        async with database.transaction() as session:
            await session.execute(delete(ProgrammeRecordRow))
            organizations = [OrganizationRow(source="t", name="厂", kind="enterprise", region="440606") for _ in "ab"]
            session.add_all(organizations)
            await session.flush()
            for drawn in records:
                start, n, days = FIRST + timedelta(days=drawn["start"]), drawn["organization"], drawn["days"]
                body = ProgrammeRecordCreate(
                    kind=drawn["kind"], title=drawn["title"], region=drawn["region"], cluster=drawn["cluster"],
                    organization_id=None if n is None else organizations[n].id,
                    started_on=start, ended_on=None if days is None else start + timedelta(days=days),
                )  # fmt: skip
                await create_record(session, body, COMMAND_LINE)
        async with database.snapshot() as session:
            for target in (await count_targets(session, PLAN, at=at, **within)).items:
                behind = await evidence(session, target.name, at, limit=3, **within)
                assert target.actual == len(behind) == len({item.id for item in behind})
                assert target.actual == sum(one.actual for one in target.by_district)
                assert target.actual == sum(one.actual for one in target.by_cluster)
                for district in target.by_district:
                    assert district.actual == sum(item.region == district.region for item in behind)
        await database.close()

    asyncio.run(run())


@pytest.mark.parametrize("hour", [15, 16])
async def test_sql_knows_the_day_in_china(database: Database, hour: int) -> None:
    async def write_transition(session: AsyncSession) -> None:
        demand, profile = demand_row(), profile_row()
        session.add_all([demand, profile])
        await session.flush()
        suggestion = SuggestionRow(demand_id=demand.id, profile_id=profile.id, status="met")
        session.add(suggestion)
        await session.flush()
        at = datetime(2026, 12, 31, hour, 59, 59, 999999, tzinfo=UTC)
        session.add(SuggestionTransitionRow(suggestion_id=suggestion.id, to_status="met", actor_id="cli", at=at))

    await write(database, write_transition)
    async with database.reading() as session:
        assert await session.scalar(select(sql_day_of(SuggestionTransitionRow.at))) == (
            date(2026, 12, 31) if hour == 15 else date(2027, 1, 1)
        )


def test_a_day_to_come_has_no_figures() -> None:
    assert check_day(None) == check_day(today()) == today()
    with pytest.raises(InvalidInput) as refused:
        check_day(today() + timedelta(days=1))
    assert refused.value.code == "future_date"


def test_the_shipped_plan_has_the_seven_targets() -> None:
    assert [target.plan for target in PLAN.targets.values()] == [100, 500, 10, 1000, 10, 100, 10]
    assert {target.counts for target in PLAN.targets.values()} == {*KINDS, "enterprises_served"}


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (("plan = 100\n", "plan = 0\n"), "targets.cooperation.plan"),
        (('how = "standing"', 'how = "sometimes"'), "targets.cooperation.how"),
        (('counts = "forum"', 'counts = "enterprises_served"'), "targets.forums"),
        (("last_day = 2030-12-31", "last_day = 2020-12-31"), "last_day"),
        (("label =", "lable ="), "lable"),
        (("first_day", "first day"), "line"),
    ],
)
def test_a_mistake_in_the_plan_is_named(tmp_path: Path, change: tuple[str, str], named: str) -> None:
    shipped = Path(load_plan.__code__.co_filename).with_name("targets.toml").read_text(encoding="utf-8")
    path = tmp_path / "targets.toml"
    path.write_text(shipped.replace(*change), encoding="utf-8")
    with pytest.raises(InvalidInput) as refused:
        load_plan(path)
    assert refused.value.code == "plan_invalid"
    assert named in refused.value.detail.zh
    with pytest.raises(InvalidInput):
        load_plan(tmp_path / "missing.toml")
