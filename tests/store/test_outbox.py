"""The outbox: with the transaction or not at all, and no reader ever passes an event that is still to come."""

import asyncio
from collections.abc import Sequence

import pytest

from matching_service.store.database import Database
from matching_service.store.organizations import OrganizationRow
from matching_service.store.outbox import events_after, last_seq, record_event


async def seen(database: Database, *, after: int = 0, entity: str = "profile", limit: int = 100) -> Sequence[str]:
    async with database.reading() as session:
        return [row.entity_id for row in await events_after(session, after, entity=entity, limit=limit)]


async def write(database: Database, *ids: str, entity: str = "profile") -> None:
    async with database.transaction() as session:
        for entity_id in ids:
            record_event(session, f"{entity}.created", entity=entity, entity_id=entity_id)


async def test_events_are_written_with_the_transaction(database: Database) -> None:
    async with database.transaction() as session:
        record_event(session, "profile.created", entity="profile", entity_id="a")
        await session.flush()
        assert await seen(database) == []
    assert await seen(database) == ["a"]


async def test_events_of_a_transaction_that_fails_are_never_seen(database: Database) -> None:
    async def fail() -> None:
        async with database.transaction() as session:
            record_event(session, "profile.created", entity="profile", entity_id="lost")
            raise RuntimeError("half-way")

    with pytest.raises(RuntimeError, match="half-way"):
        await fail()
    await write(database, "kept")
    assert await seen(database) == ["kept"]


async def test_events_have_the_order_in_which_they_were_recorded(database: Database) -> None:
    await write(database, "b", "a")
    await write(database, "d", "c", "a")
    assert await seen(database) == ["b", "a", "d", "c", "a"]
    assert await seen(database, limit=2) == ["b", "a"]


async def test_a_reader_goes_on_after_the_last_number_it_saw(database: Database) -> None:
    await write(database, "a", "b")
    async with database.reading() as session:
        last = await last_seq(session, entity="profile")
    await write(database, "c")
    assert await seen(database, after=last) == ["c"]


async def test_kinds_of_entities_are_apart(database: Database) -> None:
    await write(database, "p")
    await write(database, "d", entity="demand")
    assert await seen(database, entity="demand") == ["d"]
    async with database.reading() as session:
        assert await last_seq(session, entity="match") == 0
        assert await last_seq(session, entity="demand") > await last_seq(session, entity="profile") > 0


async def test_a_number_is_never_used_twice(database: Database) -> None:
    await write(database, "a")
    async with database.transaction() as session:
        (row,) = await events_after(session, 0, entity="profile", limit=1)
        first = row.seq
        await session.delete(row)
    await write(database, "b")
    async with database.reading() as session:
        assert await last_seq(session, entity="profile") > first


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_a_reader_misses_no_event_of_transactions_that_overlap(database: Database) -> None:
    """The slow transaction has its number and waits before its commit; the quick one must not get past it."""
    slow_has_number, slow_may_commit = asyncio.Event(), asyncio.Event()

    async def slow() -> None:
        async with database.transaction() as session:
            record_event(session, "profile.created", entity="profile", entity_id="slow")
            await database._write_journal(session)
            slow_has_number.set()
            await slow_may_commit.wait()

    writing = asyncio.create_task(slow())
    await slow_has_number.wait()
    quick = asyncio.create_task(write(database, "quick"))
    await asyncio.sleep(0.2)
    assert not quick.done()  # it waits for the lock, so that no reader can see it first
    assert await seen(database) == []
    slow_may_commit.set()
    await asyncio.gather(writing, quick)
    assert await seen(database) == ["slow", "quick"]


async def test_a_reader_that_follows_many_writers_sees_every_event_once(database: Database) -> None:
    expected = {f"{writer}-{n}" for writer in range(4) for n in range(10)}

    async def work(writer: int) -> None:
        for n in range(10):
            async with database.transaction() as session:
                record_event(session, "profile.updated", entity="profile", entity_id=f"{writer}-{n}")
                session.add(OrganizationRow(source="s", name=f"{writer}-{n}", kind="other"))
                await session.flush()
                await asyncio.sleep(0.001 * (writer + n) % 3)

    followed: list[str] = []

    async def follow() -> None:
        position = 0
        while len(followed) < len(expected):
            async with database.reading() as session:
                for row in await events_after(session, position, entity="profile", limit=7):
                    followed.append(row.entity_id)
                    position = row.seq

    async with asyncio.timeout(30):
        await asyncio.gather(follow(), *(work(writer) for writer in range(4)))
    assert sorted(followed) == sorted(expected)
