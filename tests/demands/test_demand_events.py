"""Outbox events of a demand name the changed fields, or the states before and after."""

from typing import Any

from sqlalchemy import select, text

from matching_service.access.policies import COMMAND_LINE
from matching_service.demands.queries import get_demand
from matching_service.demands.schemas import DemandCreate, DemandPatch
from matching_service.demands.service import create_demand, update_demand, upsert_demands
from matching_service.demands.states import DemandStatus
from matching_service.demands.transitions import adopt_status, transition_demand
from matching_service.store.database import Database
from matching_service.store.outbox import OutboxRow

DEMAND = DemandCreate(source="s", external_id="1", title="柔轮开裂")


async def create(database: Database) -> str:
    async with database.transaction() as session:
        return (await create_demand(session, DEMAND, COMMAND_LINE)).id


async def events(database: Database) -> list[tuple[str, dict[str, Any] | None]]:
    async with database.reading() as session:
        rows = await session.scalars(select(OutboxRow).where(OutboxRow.entity == "demand").order_by(OutboxRow.seq))
        return [(row.event, row.detail) for row in rows]


async def test_a_new_demand_needs_no_detail(database: Database) -> None:
    await create(database)
    assert await events(database) == [("demand.created", None)]
    async with database.reading() as session:  # SQL NULL, not the JSON value null
        assert await session.scalar(text("SELECT count(*) FROM outbox_events WHERE detail IS NULL")) == 1


async def test_a_change_names_its_fields_and_no_change_is_no_event(database: Database) -> None:
    demand_id = await create(database)
    for change in (DemandPatch(), DemandPatch(title="柔轮开裂"), DemandPatch(title="柔轮断裂", funding_wan=80)):
        async with database.transaction() as session:
            await update_demand(session, await get_demand(session, demand_id), change, COMMAND_LINE)
    assert (await events(database))[1:] == [("demand.updated", {"fields": ["funding_wan", "title"]})]


async def test_a_batch_writes_the_same_events(database: Database) -> None:
    async with database.transaction() as session:
        items = [DEMAND, DEMAND, DEMAND.model_copy(update={"region": "440600"})]
        items[2].model_fields_set.add("region")
        stored = await upsert_demands(session, items, COMMAND_LINE)
    assert [result.status for result in stored] == ["created", "unchanged", "updated"]
    assert await events(database) == [("demand.created", None), ("demand.updated", {"fields": ["region"]})]


async def test_a_step_to_another_state_says_from_where(database: Database) -> None:
    demand_id = await create(database)
    for to, take in ((DemandStatus.PUBLISHED, adopt_status), (DemandStatus.EXPIRED, transition_demand)):
        async with database.transaction() as session:
            await take(session, await get_demand(session, demand_id), to, actor=COMMAND_LINE)
    assert (await events(database))[1:] == [
        ("demand.published", {"from": "draft", "to": "published"}),
        ("demand.expired", {"from": "published", "to": "expired"}),
    ]
