"""Batches of rows: found by either name, written once, and two at a time without loss."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import pytest
from sqlalchemy import select, text
from sqlalchemy.orm import object_session

from matching_service.foundation.clock import new_id, now
from matching_service.foundation.errors import Unavailable
from matching_service.store.batch import Batch, delete_rows, new_row, write_rows
from matching_service.store.database import Database
from matching_service.store.lookup import external_id_conditions, rows_by_external_id
from matching_service.store.organizations import OrganizationRow

N_SOURCES = 1_200


@dataclass(frozen=True, slots=True)
class Item:
    external_id: str | None
    source: str = "s"
    row_id: str | None = None


def organization(name: str, external_id: str | None = None, source: str = "s") -> OrganizationRow:
    values = {"id": new_id(), "source": source, "external_id": external_id, "name": name, "kind": "other"}
    return new_row(OrganizationRow, values | {"plain_name": name})


async def store(database: Database, *rows: OrganizationRow) -> None:
    async with database.transaction() as session:
        await write_rows(session, OrganizationRow, rows)


async def stored(database: Database) -> Sequence[OrganizationRow]:
    async with database.reading() as session:
        return (await session.scalars(select(OrganizationRow).order_by(OrganizationRow.id))).all()


async def load(database: Database, *items: Item) -> Batch[OrganizationRow]:
    async with database.reading() as session:
        return await Batch.load(session, OrganizationRow, items)


async def test_new_rows_have_the_defaults_of_their_table(database: Database) -> None:
    before = now()
    await store(database, organization("甲", "1"), organization("乙"))
    first, second = await stored(database)
    assert (first.name, first.external_id, second.name, second.external_id) == ("甲", "1", "乙", None)
    assert first.row_version == second.row_version == 1
    assert before <= first.created_at <= first.updated_at <= now()
    assert first.credit_code is None


async def test_rows_are_found_by_external_id_and_by_id_and_belong_to_no_session(database: Database) -> None:
    await store(database, organization("甲", "1"), organization("乙", "2", source="t"), organization("丙"))
    one, two, three = await stored(database)
    batch = await load(database, Item("1"), Item("2"), Item("2", "t"), Item(None, row_id=three.id), Item("9"))
    found = [batch.find(item) for item in (Item("1"), Item("2", "t"), Item(None, row_id=three.id))]
    assert [row.id for row in found if row is not None] == [one.id, two.id, three.id]
    assert batch.find(Item("2")) is batch.find(Item("9")) is batch.find(Item(None)) is None
    assert all(object_session(row) is None for row in batch.rows)


async def test_a_row_that_is_named_in_two_ways_is_one_object(database: Database) -> None:
    await store(database, organization("甲", "1"))
    (row,) = await stored(database)
    batch = await load(database, Item("1"), Item(None, row_id=row.id))
    assert batch.find(Item("1")) is batch.find(Item(None, row_id=row.id))
    assert len(batch.rows) == 1


async def test_only_what_changed_is_written_and_gets_a_version(database: Database) -> None:
    await store(database, organization("甲", "1"), organization("乙", "2"))
    async with database.transaction() as session:
        batch = await Batch.load(session, OrganizationRow, [Item("1"), Item("2")])
        changed = batch.find(Item("1"))
        assert changed is not None
        changed.name = "丙"
        await write_rows(session, OrganizationRow, [*batch.rows, organization("丁")])
    first, second, third = await stored(database)
    assert [(row.name, row.row_version) for row in (first, second, third)] == [("丙", 2), ("乙", 1), ("丁", 1)]
    assert first.updated_at > first.created_at


async def test_rows_are_deleted_by_id(database: Database) -> None:
    await store(database, organization("甲"), organization("乙"))
    first, _ = await stored(database)
    async with database.transaction() as session:
        await delete_rows(session, OrganizationRow, {first.id, new_id()})
    assert [row.name for row in await stored(database)] == ["乙"]


async def test_every_item_may_have_a_source_of_its_own(database: Database) -> None:
    await store(database, *(organization("甲", "1", source=f"s{n}") for n in range(N_SOURCES)))
    items = [Item("1", f"s{n}") for n in range(N_SOURCES)]
    batch = await load(database, *items)
    assert all(batch.find(item) is not None for item in items)
    async with database.reading() as session:
        found = await rows_by_external_id(session, OrganizationRow, [(item.source, "1") for item in items])
    assert len(found) == N_SOURCES


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_external_ids_are_found_by_the_index(database: Database) -> None:
    keys = [(source, external_id) for source in "ab" for external_id in "12"]
    (condition,) = external_id_conditions(OrganizationRow, keys)
    compiled = (
        select(OrganizationRow)
        .where(condition)
        .compile(database.engine.sync_engine, compile_kwargs={"literal_binds": True})
    )
    async with database.reading() as session:
        plan = [row.detail for row in await session.execute(text(f"EXPLAIN QUERY PLAN {compiled}"))]
    assert any("USING INDEX" in step for step in plan)
    assert not any(step.startswith("SCAN organizations") for step in plan)


async def test_batches_that_change_the_same_row_at_once_lose_nothing(database: Database) -> None:
    await store(database, organization("甲", "1"))

    async def lengthen() -> None:
        async with database.transaction() as session:
            (row,) = (await Batch.load(session, OrganizationRow, [Item("1")])).rows
            await asyncio.sleep(0)
            row.name += "厂"
            await write_rows(session, OrganizationRow, [row])

    await asyncio.gather(*(lengthen() for _ in range(4)))
    (row,) = await stored(database)
    assert (row.name, row.row_version) == ("甲厂厂厂厂", 5)


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_of_two_that_wait_for_each_other_one_is_told_to_try_again(database: Database) -> None:
    await store(database, organization("甲", "1"), organization("乙", "2"))
    both_hold_one = asyncio.Barrier(2)

    async def lock(*external_ids: str) -> None:
        async with database.transaction() as session:
            await session.execute(text("SET LOCAL deadlock_timeout = '10ms'"))
            await Batch.load(session, OrganizationRow, [Item(external_ids[0])])
            await both_hold_one.wait()
            await Batch.load(session, OrganizationRow, [Item(external_ids[1])])

    outcomes = await asyncio.gather(lock("1", "2"), lock("2", "1"), return_exceptions=True)
    (refused,) = [outcome for outcome in outcomes if outcome is not None]
    assert isinstance(refused, Unavailable)
    assert refused.code == "database_busy"
