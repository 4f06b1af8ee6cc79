"""Audit rows name actor and action, commit with the action, and hold no texts."""

from collections.abc import Sequence

import pytest
from sqlalchemy import select

from matching_service.access.policies import COMMAND_LINE
from matching_service.audit.service import record_audit
from matching_service.demands.schemas import DemandCreate, DemandPatch
from matching_service.demands.service import create_demand, update_demand
from matching_service.foundation.logs import request_id
from matching_service.store.audit import AuditRow
from matching_service.store.database import Database


async def rows(database: Database) -> Sequence[AuditRow]:
    async with database.reading() as session:
        return (await session.scalars(select(AuditRow).order_by(AuditRow.id))).all()


async def test_a_row_names_actor_action_record_and_request(database: Database) -> None:
    token = request_id.set("r-1")
    try:
        async with database.transaction() as session:
            record_audit(session, COMMAND_LINE, "look", entity="demand", entity_id="d", detail={"fields": ["title"]})
    finally:
        request_id.reset(token)
    (row,) = await rows(database)
    assert (row.actor_id, row.action, row.entity, row.entity_id) == ("cli", "look", "demand", "d")
    assert (row.request_id, row.detail) == ("r-1", {"fields": ["title"]})
    assert row.at.tzinfo is not None


async def test_work_that_is_rolled_back_leaves_no_audit_row(database: Database) -> None:
    async def fail() -> None:
        async with database.transaction() as session:
            record_audit(session, COMMAND_LINE, "look", entity="demand", entity_id="d")
            raise RuntimeError("half-way")

    with pytest.raises(RuntimeError, match="half-way"):
        await fail()
    assert await rows(database) == []


async def test_the_audit_log_is_no_second_copy_of_the_texts(database: Database) -> None:
    async with database.transaction() as session:
        demand = await create_demand(session, DemandCreate(title="柔轮开裂"), COMMAND_LINE)
        await update_demand(session, demand, DemandPatch(problem="机密内容", funding_wan=80), COMMAND_LINE)
    created, updated = await rows(database)
    assert (created.action, updated.action) == ("create", "update")
    assert updated.detail == {"fields": ["funding_wan", "problem"]}
    assert not any(word in str(row.detail) for row in (created, updated) for word in ("柔轮", "机密"))
