"""Transitions of a demand on both databases: preconditions, effects, and concurrent changes."""

import asyncio
from datetime import date, timedelta
from typing import Any

import pytest
from conftest import Clock
from sqlalchemy import select

from matching_service.access.policies import COMMAND_LINE
from matching_service.demands.queries import get_demand, open_demand_ids
from matching_service.demands.schemas import DemandCreate
from matching_service.demands.service import create_demand
from matching_service.demands.states import DemandStatus, EndReason
from matching_service.demands.transitions import adopt_status, transition_demand
from matching_service.foundation.clock import start_of, today
from matching_service.foundation.errors import IllegalTransition, InvalidInput, MatchingError, PreconditionFailed
from matching_service.store.audit import AuditRow
from matching_service.store.database import Database
from matching_service.store.demands import DemandTransitionRow
from matching_service.store.outbox import OutboxRow
from matching_service.store.projects import ProjectRow

S = DemandStatus


async def demand_in(database: Database, status: DemandStatus, **fields: Any) -> str:
    async with database.transaction() as session:
        row = await create_demand(session, DemandCreate(title="柔轮开裂", **fields), COMMAND_LINE)
        await adopt_status(session, row, status, actor=COMMAND_LINE)
        return row.id


async def move(database: Database, demand_id: str, to: DemandStatus, **given: Any) -> None:
    async with database.transaction() as session:
        await transition_demand(session, await get_demand(session, demand_id), to, actor=COMMAND_LINE, **given)


async def refused(database: Database, demand_id: str, to: DemandStatus, **given: Any) -> MatchingError:
    """Return the error of a step, after checking that the step wrote nothing."""
    with pytest.raises(MatchingError) as error:
        await move(database, demand_id, to, **given)
    async with database.reading() as session:
        rows = await session.scalars(select(DemandTransitionRow).where(DemandTransitionRow.to_status == to))
        assert rows.all() == []
        assert (await session.scalars(select(OutboxRow.event).where(OutboxRow.event == f"demand.{to}"))).all() == []
    return error.value


async def test_a_contract_opens_one_project(database: Database) -> None:
    demand_id = await demand_in(database, S.MATCHING)
    error = await refused(database, demand_id, S.CONTRACTED)
    assert [field.pointer for field in error.errors] == ["/contract_number"]
    await move(database, demand_id, S.CONTRACTED, contract_number="FS-17")
    async with database.reading() as session:
        project = (await session.scalars(select(ProjectRow))).one()
        audit = (await session.scalars(select(AuditRow).where(AuditRow.entity == "project"))).one()
        events = (await session.scalars(select(OutboxRow.event).order_by(OutboxRow.seq))).all()
        assert await open_demand_ids(session) == []
    assert (project.demand_id, project.contract_number, audit.entity_id) == (demand_id, "FS-17", project.id)
    assert events[-2:] == ["demand.contracted", "project.opened"]


async def test_the_reason_other_needs_words(database: Database) -> None:
    demand_id = await demand_in(database, S.MATCHING)
    error = await refused(database, demand_id, S.ABANDONED, reason=EndReason.OTHER)
    assert [field.pointer for field in error.errors] == ["/opinion"]
    await move(database, demand_id, S.ABANDONED, reason=EndReason.OTHER, opinion="企业搬迁")
    async with database.reading() as session:
        last = (await session.scalars(select(DemandTransitionRow).order_by(DemandTransitionRow.id.desc()))).first()
    assert last is not None
    assert (last.reason, last.opinion) == ("other", "企业搬迁")


async def test_a_contract_number_is_not_lost_with_another_step(database: Database) -> None:
    demand_id = await demand_in(database, S.PUBLISHED)
    error = await refused(database, demand_id, S.MATCHING, contract_number="FS-17")
    assert [(field.code, field.pointer) for field in error.errors] == [("not_for_this_step", "/contract_number")]


async def test_what_has_expired_already_is_not_published(database: Database) -> None:
    demand_id = await demand_in(database, S.REVIEWED, expires_on=today() - timedelta(days=1))
    assert (await refused(database, demand_id, S.PUBLISHED)).code == "expires_in_the_past"
    await move(database, await demand_in(database, S.REVIEWED, expires_on=today()), S.PUBLISHED)


async def test_a_year_ends_at_midnight_in_china(database: Database, clock: Clock) -> None:
    """Half an hour later the old year is past, although UTC is still in it."""
    new_year = date(today().year + 1, 1, 1)
    fields = {
        "problem": "—", "key_technology": "—", "keywords": ["—"], "cooperation": "other", "region": "440605",
        "start_year": new_year.year - 1, "expires_on": new_year - timedelta(days=1),
    }  # fmt: skip
    clock.set(start_of(new_year) - timedelta(minutes=30))
    draft, reviewed = [await demand_in(database, status, **fields) for status in (S.DRAFT, S.REVIEWED)]
    before = await refused(database, draft, S.SUBMITTED)
    clock.advance(hours=1)
    after = await refused(database, draft, S.SUBMITTED)
    assert {error.code for error in after.errors} - {error.code for error in before.errors} == {"start_in_the_past"}
    assert (await refused(database, reviewed, S.PUBLISHED)).code == "expires_in_the_past"


async def test_demands_are_open_while_published_and_matching(database: Database) -> None:
    ids = {status: await demand_in(database, status) for status in S}
    async with database.reading() as session:
        assert set(await open_demand_ids(session)) == {ids[S.PUBLISHED], ids[S.MATCHING]}


async def test_a_state_is_adopted_once_and_never_reverted(database: Database) -> None:
    demand_id = await demand_in(database, S.IN_PROGRESS)
    async with database.transaction() as session:
        demand = await get_demand(session, demand_id)
        assert not await adopt_status(session, demand, S.IN_PROGRESS, actor=COMMAND_LINE)
        assert await adopt_status(session, demand, S.CLOSED, actor=COMMAND_LINE)
        with pytest.raises(IllegalTransition):
            await adopt_status(session, demand, S.DRAFT, actor=COMMAND_LINE)
    async with database.reading() as session:
        assert len((await session.scalars(select(ProjectRow))).all()) == 1


async def test_one_of_two_concurrent_transitions_is_refused(database: Database) -> None:
    """Both read the demand before either writes. On SQLite the second read waits until the first has written."""
    demand_id = await demand_in(database, S.SUBMITTED)
    have_read = asyncio.Barrier(2)

    async def take(to: DemandStatus, opinion: str | None) -> None:
        async with database.transaction() as session:
            demand = await get_demand(session, demand_id)
            if not database.is_sqlite:
                await have_read.wait()
            await transition_demand(session, demand, to, opinion=opinion, actor=COMMAND_LINE)

    results = await asyncio.gather(take(S.REVIEWED, None), take(S.RETURNED, "请补充"), return_exceptions=True)
    errors = [result for result in results if result is not None]
    assert len(errors) == 1
    assert isinstance(errors[0], IllegalTransition if database.is_sqlite else PreconditionFailed)
    async with database.reading() as session:
        steps = (await session.scalars(select(DemandTransitionRow).order_by(DemandTransitionRow.id))).all()
        assert [step.from_status for step in steps] == [None, "draft", "submitted"]
        assert (await get_demand(session, demand_id)).status == steps[-1].to_status


async def test_a_form_that_lacks_something_is_not_submitted(database: Database) -> None:
    demand_id = await demand_in(database, S.DRAFT)
    error = await refused(database, demand_id, S.SUBMITTED)
    assert isinstance(error, InvalidInput)
    assert error.code == "form_incomplete"
