"""Projects on both databases: editable until the demand is closed, overdue after a milestone's day, changed atomically."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select

from matching_service.access.policies import COMMAND_LINE
from matching_service.demands.queries import get_demand
from matching_service.demands.schemas import DemandCreate
from matching_service.demands.service import create_demand
from matching_service.demands.states import DemandStatus, EndReason
from matching_service.demands.transitions import adopt_status, transition_demand
from matching_service.foundation.clock import today
from matching_service.foundation.errors import Conflict, InvalidInput, NotFound, PreconditionFailed
from matching_service.organizations.merging import merge_organization
from matching_service.organizations.schemas import OrganizationCreate
from matching_service.organizations.service import create_organization
from matching_service.profiles.queries import get_profile
from matching_service.profiles.schemas import ProfileCreate
from matching_service.profiles.service import create_profile, delete_profile
from matching_service.projects.queries import get_project, overdue_milestones, project_answers
from matching_service.projects.schemas import (
    MAX_MILESTONES,
    MilestoneCreate,
    MilestonePatch,
    Partner,
    Project,
    ProjectPatch,
)
from matching_service.projects.service import add_milestone, remove_milestone, update_milestone, update_project
from matching_service.store.audit import AuditRow
from matching_service.store.database import Database
from matching_service.store.projects import ProjectRow

DAY = timedelta(days=1)
UNKNOWN_ID = "01937a54-9c1c-7d3a-8c0e-2b1f6d1c4e11"


async def opened(database: Database, title: str = "柔轮开裂") -> tuple[str, str]:
    """Create a demand under contract; return its id and the id of its project."""
    async with database.transaction() as session:
        demand = await create_demand(session, DemandCreate(title=title), COMMAND_LINE)
        await adopt_status(session, demand, DemandStatus.MATCHING, actor=COMMAND_LINE)
        await transition_demand(session, demand, DemandStatus.CONTRACTED, contract_number="FS-1", actor=COMMAND_LINE)
        project_id = await session.scalar(select(ProjectRow.id).where(ProjectRow.demand_id == demand.id))
        return demand.id, project_id or ""


async def change(database: Database, project_id: str, **fields: Any) -> None:
    async with database.transaction() as session:
        row = await get_project(session, project_id)
        await update_project(session, row, ProjectPatch(**fields), COMMAND_LINE)


async def milestone(database: Database, project_id: str, title: str, **fields: Any) -> str:
    async with database.transaction() as session:
        row = await get_project(session, project_id)
        return (await add_milestone(session, row, MilestoneCreate(title=title, **fields), COMMAND_LINE)).id


async def read(database: Database, project_id: str) -> Project:
    async with database.reading() as session:
        return (await project_answers(session, [await get_project(session, project_id)], on=today()))[0]


async def move(database: Database, demand_id: str, to: DemandStatus, **given: Any) -> None:
    async with database.transaction() as session:
        await transition_demand(session, await get_demand(session, demand_id), to, actor=COMMAND_LINE, **given)


async def test_a_project_is_filled_accepted_and_then_closed_for_good(database: Database) -> None:
    demand_id, project_id = await opened(database)
    await change(
        database, project_id, contract_amount_wan=60, partners=[{"name": "某大学"}, {"name": "某厂", "role": "需求方"}]
    )
    await move(database, demand_id, DemandStatus.IN_PROGRESS)
    first = await milestone(database, project_id, "样机", due_on=today() - DAY)
    second = await milestone(database, project_id, "设计", due_on=today() - 2 * DAY, done_on=today() - 3 * DAY)
    third = await milestone(database, project_id, "定型", due_on=today())
    project = await read(database, project_id)
    assert (project.status, project.contract_number, project.contract_amount_wan) == ("in_progress", "FS-1", 60)
    assert [(entry.id, entry.state) for entry in project.milestones] == [
        (second, "done"), (first, "overdue"), (third, "planned"),
    ]  # fmt: skip
    assert [(partner.name, partner.role) for partner in project.partners] == [("某大学", None), ("某厂", "需求方")]
    assert project.acceptance is None
    await change(database, project_id, results="样机两台")
    await move(database, demand_id, DemandStatus.ACCEPTED, opinion="达到指标")
    accepted = await read(database, project_id)
    assert accepted.acceptance is not None
    assert (accepted.status, accepted.acceptance.opinion, accepted.results) == ("accepted", "达到指标", "样机两台")
    await move(database, demand_id, DemandStatus.CLOSED)
    for work in (change(database, project_id, results="x"), milestone(database, project_id, "迟到", due_on=today())):
        with pytest.raises(Conflict) as closed:
            await work
        assert closed.value.code == "project_closed"


async def test_overdue_is_listed_while_the_project_is_under_way(database: Database) -> None:
    (demand, project), (_, other) = await opened(database, "甲"), await opened(database, "乙")
    late = await milestone(database, project, "样机", due_on=today() - 3 * DAY)
    later = await milestone(database, other, "设计", due_on=today() - 5 * DAY)
    await milestone(database, other, "今日", due_on=today())
    done = await milestone(database, other, "已完成", due_on=today() - 9 * DAY)
    async with database.transaction() as session:
        row = await get_project(session, other)
        await update_milestone(session, row, done, MilestonePatch(done_on=today()), COMMAND_LINE)
    async with database.reading() as session:
        overdue = await overdue_milestones(session, on=today(), limit=10)
        assert len(await overdue_milestones(session, on=today(), limit=1)) == 1
    assert [(entry.id, entry.days, entry.demand_title) for entry in overdue] == [(later, 5, "乙"), (late, 3, "甲")]
    await move(database, demand, DemandStatus.TERMINATED, reason=EndReason.FUNDING)
    async with database.reading() as session:
        assert [entry.id for entry in await overdue_milestones(session, on=today(), limit=10)] == [later]


async def test_partners_outlive_a_profile_and_follow_a_merged_organization(database: Database) -> None:
    _, project_id = await opened(database)
    async with database.transaction() as session:
        profile = await create_profile(session, ProfileCreate(kind="expert", name="卓砺川"), COMMAND_LINE)
        old, new = [
            (await create_organization(session, OrganizationCreate(name=name), COMMAND_LINE)).id
            for name in ("甲", "乙")
        ]
    partners = [{"name": "卓砺川", "profile_id": profile.id}, {"name": "甲", "organization_id": old}]
    await change(database, project_id, partners=partners)
    async with database.transaction() as session:
        await delete_profile(session, await get_profile(session, profile.id), COMMAND_LINE)
        await merge_organization(session, old, new, actor=COMMAND_LINE)
    kept = (await read(database, project_id)).partners
    assert kept == [Partner(name="卓砺川"), Partner(name="甲", organization_id=new)]
    # the id of the merged organization still resolves
    await change(database, project_id, partners=[{"name": "甲", "organization_id": old}])
    assert (await read(database, project_id)).partners == [Partner(name="甲", organization_id=new)]


@pytest.mark.parametrize("field", ["profile_id", "organization_id"])
async def test_partners_that_are_not_there_are_named_and_nothing_is_changed(database: Database, field: str) -> None:
    _, project_id = await opened(database)
    with pytest.raises(InvalidInput) as refused:
        await change(database, project_id, results="x", partners=[{"name": "甲"}, {"name": "乙", field: UNKNOWN_ID}])
    assert [error.pointer for error in refused.value.errors] == [f"/partners/1/{field}"]
    project = await read(database, project_id)
    assert (project.results, project.partners) == (None, [])


async def test_a_change_without_effect_writes_no_audit_row(database: Database) -> None:
    _, project_id = await opened(database)
    for _ in range(2):
        await change(database, project_id, contract_amount_wan=60, partners=[{"name": "甲"}])
    await change(database, project_id)
    async with database.reading() as session:
        statement = select(AuditRow).where(AuditRow.entity == "project", AuditRow.action == "update")
        (row,) = (await session.scalars(statement)).all()
    assert row.detail == {"fields": ["contract_amount_wan", "partners"]}


async def test_milestones_are_few_and_can_be_taken_out(database: Database) -> None:
    _, project_id = await opened(database)
    async with database.transaction() as session:
        row = await get_project(session, project_id)
        made = [
            await add_milestone(session, row, MilestoneCreate(title=str(n), due_on=today()), COMMAND_LINE)
            for n in range(MAX_MILESTONES)
        ]
        with pytest.raises(Conflict) as many:
            await add_milestone(session, row, MilestoneCreate(title="x", due_on=today()), COMMAND_LINE)
    assert many.value.code == "too_many_milestones"
    async with database.transaction() as session:
        row = await get_project(session, project_id)
        await remove_milestone(session, row, made[0].id, COMMAND_LINE)
        with pytest.raises(NotFound):
            await remove_milestone(session, row, made[0].id, COMMAND_LINE)
    assert len((await read(database, project_id)).milestones) == MAX_MILESTONES - 1


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_one_of_two_concurrent_changes_is_refused(database: Database) -> None:
    _, project_id = await opened(database)
    have_read = asyncio.Barrier(2)

    async def write(results: str) -> None:
        async with database.transaction() as session:
            row = await get_project(session, project_id)
            await have_read.wait()
            await update_project(session, row, ProjectPatch(results=results), COMMAND_LINE)

    results = await asyncio.gather(write("甲"), write("乙"), return_exceptions=True)
    assert [type(result) for result in results if result is not None] == [PreconditionFailed]


async def test_a_milestone_cannot_be_done_in_the_future(database: Database) -> None:
    _, project_id = await opened(database)
    made = await milestone(database, project_id, "样机", due_on=today() + DAY)
    async with database.transaction() as session:
        row = await get_project(session, project_id)
        early = today() + DAY
        with pytest.raises(InvalidInput) as refused:
            await update_milestone(session, row, made, MilestonePatch(done_on=early), COMMAND_LINE)
        with pytest.raises(InvalidInput):
            await add_milestone(session, row, MilestoneCreate(title="x", due_on=today(), done_on=early), COMMAND_LINE)
    assert (refused.value.code, [error.pointer for error in refused.value.errors]) == (
        "done_in_the_future",
        ["/done_on"],
    )
    assert [entry.state for entry in (await read(database, project_id)).milestones] == ["planned"]
