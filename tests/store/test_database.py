"""Transactions: all or nothing, errors in our own words, times in UTC, SQLite as a server's database."""

import asyncio
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from sqlalchemy import bindparam, func, select, text
from sqlalchemy.exc import StatementError

from matching_service.foundation.clock import new_id, now
from matching_service.foundation.errors import Conflict, PreconditionFailed, Unavailable
from matching_service.store.access import ApiKeyRow
from matching_service.store.database import Database
from matching_service.store.organizations import OrganizationRow
from matching_service.store.profiles import WorkRow

ONLY_SQLITE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def organization(name: str = "某厂", **values: str) -> OrganizationRow:
    return OrganizationRow(**{"source": "s", "name": name, "kind": "enterprise"} | values)


async def names(database: Database) -> list[str]:
    async with database.reading() as session:
        return list(await session.scalars(select(OrganizationRow.name).order_by(OrganizationRow.name)))


async def test_a_transaction_is_committed_when_its_block_ends(database: Database) -> None:
    async with database.transaction() as session:
        session.add(organization("甲"))
    assert await names(database) == ["甲"]


async def test_a_transaction_that_raises_leaves_nothing(database: Database) -> None:
    async def fail() -> None:
        async with database.transaction() as session:
            session.add(organization("甲"))
            await session.flush()
            raise RuntimeError("half-way")

    with pytest.raises(RuntimeError, match="half-way"):
        await fail()
    assert await names(database) == []


async def test_a_snapshot_does_not_see_what_is_committed_meanwhile(database: Database) -> None:
    count = select(func.count()).select_from(OrganizationRow)
    async with database.snapshot() as session:
        assert await session.scalar(count) == 0
        async with database.transaction() as other:
            other.add(organization("甲"))
        assert await session.scalar(count) == 0
    async with database.snapshot() as session:
        assert await session.scalar(count) == 1


async def test_reading_stores_nothing(database: Database) -> None:
    async with database.reading() as session:
        session.add(organization("甲"))
        await session.flush()
    assert await names(database) == []


async def test_a_row_that_changed_in_between_is_not_overwritten(database: Database) -> None:
    async with database.transaction() as session:
        row = organization("甲")
        session.add(row)
    async with database.reading() as early:
        seen = await early.get(OrganizationRow, row.id)
    async with database.transaction() as session:
        changed = await session.get(OrganizationRow, row.id)
        assert changed is not None
        changed.name = "乙"

    async def overwrite() -> None:
        async with database.transaction() as session:
            session.add(seen)
            assert seen is not None
            seen.name = "丙"

    with pytest.raises(PreconditionFailed) as refused:
        await overwrite()
    assert refused.value.code == "row_changed"
    assert await names(database) == ["乙"]


async def test_a_change_raises_the_version_and_the_time(database: Database) -> None:
    async with database.transaction() as session:
        row = organization("甲")
        session.add(row)
    assert row.row_version == 1
    before = row.updated_at
    async with database.transaction() as session:
        session.add(row)
        row.name = "乙"
    assert row.row_version == 2
    assert row.updated_at > before
    assert row.created_at <= before


async def test_a_broken_unique_constraint_is_a_conflict(database: Database) -> None:
    async with database.transaction() as session:
        session.add(organization("甲", external_id="1"))

    async def repeat() -> None:
        async with database.transaction() as session:
            session.add(organization("乙", external_id="1"))

    with pytest.raises(Conflict) as refused:
        await repeat()
    assert refused.value.code == "constraint_violated"
    assert await names(database) == ["甲"]


async def test_the_same_external_id_may_occur_in_two_sources_and_none_often(database: Database) -> None:
    async with database.transaction() as session:
        session.add_all([organization("甲", external_id="1"), organization("乙", external_id="1", source="t")])
        session.add_all([organization("丙"), organization("丁")])
    assert len(await names(database)) == 4


async def test_foreign_keys_hold(database: Database) -> None:
    async def orphan() -> None:
        async with database.transaction() as session:
            session.add(WorkRow(profile_id=new_id(), position=0, kind="paper", title="t"))

    with pytest.raises(Conflict):
        await orphan()


@ONLY_SQLITE
async def test_sqlite_is_set_up_as_a_server_database(database: Database) -> None:
    async with database.reading() as session:
        assert await session.scalar(text("PRAGMA journal_mode")) == "wal"
        assert await session.scalar(text("PRAGMA foreign_keys")) == 1
        assert await session.scalar(text("PRAGMA busy_timeout")) == 10_000


async def test_concurrent_writers_all_succeed(database_url: str) -> None:
    """Also those that read before they write, as upserts do: the lock is taken at the beginning."""
    databases = [Database(database_url) for _ in range(2)]

    async def write(database: Database, name: str) -> None:
        async with database.transaction() as session:
            await session.scalar(select(func.count()).select_from(OrganizationRow))
            await asyncio.sleep(0.01)
            session.add(organization(name))

    await asyncio.gather(*(write(databases[n % 2], f"厂{n}") for n in range(10)))
    assert await names(databases[0]) == sorted(f"厂{n}" for n in range(10))
    for database in databases:
        await database.close()


@ONLY_SQLITE
async def test_a_database_that_stays_locked_is_busy(
    database: Database, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("matching_service.store.database._BUSY_TIMEOUT_MS", 1)
    impatient = Database(database_url)

    async def write_too() -> None:
        async with impatient.transaction() as session:
            session.add(organization("乙"))

    async with database.transaction() as session:
        session.add(organization("甲"))
        await session.flush()
        with pytest.raises(Unavailable) as refused:
            await write_too()
    assert refused.value.code == "database_busy"
    await write_too()
    assert await names(database) == ["乙", "甲"]
    await impatient.close()


_BY_NAME = select(OrganizationRow.kind).where(OrganizationRow.name == bindparam("name"))


async def kind_of(database: Database, name: str) -> str | None:
    row = await database.glance(_BY_NAME, {"name": name})
    return row.kind if row is not None else None


async def test_a_glance_sees_what_is_committed_and_nothing_else(database: Database) -> None:
    assert await kind_of(database, "甲") is None
    async with database.transaction() as session:
        session.add(organization("甲"))
        await session.flush()
        assert await kind_of(database, "甲") is None
    assert await kind_of(database, "甲") == "enterprise"


async def test_glances_at_the_same_time_do_not_meet(database: Database) -> None:
    async with database.transaction() as session:
        session.add_all(organization(f"厂{n}") for n in range(5))
    kinds = await asyncio.gather(*(kind_of(database, f"厂{n}") for n in range(10)))
    assert kinds == ["enterprise"] * 5 + [None] * 5


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_a_glance_survives_the_end_of_its_connection(database: Database) -> None:
    await kind_of(database, "甲")
    others = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    async with database.reading() as session:
        await session.execute(text(f"SELECT pg_terminate_backend(pid) {others}"))
    assert await kind_of(database, "甲") is None


async def test_a_glance_that_was_broken_off_does_not_spoil_the_next(database: Database) -> None:
    for _ in range(3):
        broken_off = asyncio.create_task(kind_of(database, "甲"))
        await asyncio.sleep(0)
        broken_off.cancel()
        await asyncio.gather(broken_off, return_exceptions=True)
        assert await kind_of(database, "甲") is None


async def test_a_reader_is_not_stopped_by_a_writer(database: Database) -> None:
    async with database.transaction() as session:
        session.add(organization("甲"))
        await session.flush()
        assert await names(database) == []
    assert await names(database) == ["甲"]


async def stored_time(database: Database, moment: datetime) -> datetime:
    row = ApiKeyRow(principal_id="cli", role="staff", key_hash=new_id(), created_at=moment)
    async with database.transaction() as session:
        session.add(row)
    async with database.reading() as session:
        found = await session.get(ApiKeyRow, row.id)
    assert found is not None
    assert found.expires_at is None
    return found.created_at


@pytest.mark.parametrize(
    "moment",
    [
        datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC),
        datetime(2026, 1, 1, 0, 30, tzinfo=timezone(timedelta(hours=8))),
        datetime(1999, 12, 31, 23, 59, 59, tzinfo=timezone(timedelta(hours=-5))),
    ],
    ids=["utc", "shanghai", "new-york"],
)
async def test_times_come_back_in_utc(database: Database, moment: datetime) -> None:
    found = await stored_time(database, moment)
    assert found == moment
    assert found.utcoffset() == timedelta(0)


async def test_a_naive_time_is_refused(database: Database) -> None:
    with pytest.raises(StatementError, match="naive"):
        await stored_time(database, now().replace(tzinfo=None))


async def test_the_folder_of_a_new_sqlite_file_is_made(tmp_path: Path) -> None:
    database = Database(f"sqlite+aiosqlite:///{tmp_path / 'a' / 'b' / 'new.sqlite3'}")
    async with database.reading() as session:
        assert await session.scalar(text("SELECT 1")) == 1
    await database.close()
    assert (tmp_path / "a" / "b" / "new.sqlite3").exists()
