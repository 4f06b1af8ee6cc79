"""The migrations make exactly the tables of the code, in both directions, and no program runs on another schema."""

import pytest
from sqlalchemy import inspect, text

from matching_service.access.policies import COMMAND_LINE
from matching_service.demands.schemas import DemandCreate
from matching_service.demands.service import create_demand
from matching_service.foundation.errors import Unavailable
from matching_service.organizations.schemas import ExclusionBody, OrganizationCreate
from matching_service.organizations.service import create_organization, replace_exclusions
from matching_service.profiles.schemas import ProfileCreate, Work
from matching_service.profiles.service import create_profile
from matching_service.store import migrate
from matching_service.store.database import Database
from matching_service.store.tables import Table


async def tables(database: Database) -> set[str]:
    async with database.engine.connect() as connection:
        return set(await connection.run_sync(lambda sync: inspect(sync).get_table_names()))


async def seed(database: Database) -> None:
    async with database.transaction() as session:
        organization = await create_organization(session, OrganizationCreate(name="某厂"), COMMAND_LINE)
        demand = DemandCreate(title="柔轮开裂", organization_id=organization.id)
        await create_demand(session, demand, COMMAND_LINE)
        profile = ProfileCreate(kind="expert", name="卓砺川", works=[Work(title="柔轮疲劳")])
        excluded = ExclusionBody(profile_id=(await create_profile(session, profile, COMMAND_LINE)).id)
        await replace_exclusions(session, organization, [excluded], COMMAND_LINE)


async def test_the_migrated_schema_equals_the_tables(database: Database) -> None:
    assert await migrate.differences(database) == []


async def test_differences_are_noticed(database: Database) -> None:
    async with database.engine.begin() as connection:
        await connection.execute(text("ALTER TABLE demands ADD COLUMN forgotten INTEGER"))
    assert "forgotten" in str(await migrate.differences(database))


async def test_an_empty_database_is_upgraded_and_downgraded(empty_database_url: str) -> None:
    database = Database(empty_database_url)
    assert await migrate.is_empty(database)
    assert await migrate.current_revision(database) is None
    await migrate.upgrade(database)
    assert await migrate.current_revision(database) == migrate.newest_revision()
    assert await tables(database) >= set(Table.metadata.tables)
    assert not await migrate.is_empty(database)
    await migrate.downgrade(database)
    assert await tables(database) == {"alembic_version"}
    await migrate.upgrade(database)
    assert await migrate.differences(database) == []
    await database.close()


async def test_a_seeded_database_is_downgraded_and_upgraded(database: Database) -> None:
    await seed(database)
    await migrate.downgrade(database)
    assert await tables(database) == {"alembic_version"}
    await migrate.upgrade(database)
    assert await migrate.differences(database) == []
    await seed(database)


async def test_upgrading_again_changes_nothing(database: Database) -> None:
    await seed(database)
    await migrate.upgrade(database)
    async with database.reading() as session:
        assert await session.scalar(text("SELECT count(*) FROM demands")) == 1


async def test_the_newest_schema_is_accepted(database: Database) -> None:
    await migrate.check_schema(database)


@pytest.mark.parametrize(
    "change",
    ["UPDATE alembic_version SET version_num = 'ffffffffffff'", "DELETE FROM alembic_version"],
    ids=["newer", "older"],
)
async def test_another_schema_is_refused_with_what_to_run(database: Database, change: str) -> None:
    async with database.engine.begin() as connection:
        await connection.execute(text(change))
    with pytest.raises(Unavailable) as refused:
        await migrate.check_schema(database)
    assert refused.value.code == "schema_mismatch"
    assert "matching-service migrate" in refused.value.detail.zh
    assert migrate.newest_revision() in refused.value.detail.en


BEFORE_PRINCIPALS = """
INSERT INTO api_keys (id, name, role, key_hash, created_at) VALUES
  ('k1', '甲', 'staff', 'h1', '2026-11-01'), ('k2', '甲', 'staff', 'h2', '2026-11-02');
INSERT INTO feeds (id, name, url) VALUES ('f', 'city', 'https://city.example');
INSERT INTO audit_events (id, at, actor_id, action, entity, entity_id, detail) VALUES
  ('a1', '2026-11-03', 'k1', 'create', 'demand', 'd', '{}'), ('a2', '2026-11-03', 'cli', 'create', 'demand', 'd', '{}'),
  ('a3', '2026-11-03', 'feed:city', 'create', 'demand', 'd', '{}'), ('a4', '2026-11-03', 'x', 'look', 'demand', 'd', '{}');
INSERT INTO engagements (id, kind, held_on, staff, people, row_version, created_at, updated_at) VALUES
  ('e1', 'visit', '2026-11-03', '甲', '[]', 1, '2026-11-03', '2026-11-03'),
  ('e2', 'visit', '2026-11-03', '丙', '[]', 1, '2026-11-03', '2026-11-03');
INSERT INTO claims (id, demand_id, status, offer, attachments, row_version, created_at, updated_at)
  SELECT 'c', id, 'offered', '样机', '[]', 1, '2026-11-03', '2026-11-03' FROM demands;
INSERT INTO claim_scores (id, claim_id, judge, points, total, actor_id, at) VALUES
  ('s1', 'c', '甲', '{}', 82, 'k1', '2026-11-03');
INSERT INTO idempotent_answers (id, api_key_id, idempotency_key, request_hash, status, headers, body, created_at) VALUES
  ('i', 'k1', 'key', 'hash', 201, '{}', 'whsec_geheim', '2026-11-03');
"""


async def execute_all(database: Database, statements: str) -> None:
    async with database.engine.begin() as connection:
        for statement in filter(str.strip, statements.split(";\n")):
            await connection.execute(text(statement))


async def rows(database: Database, query: str) -> list[tuple[object, ...]]:
    async with database.reading() as session:
        return [tuple(row) for row in await session.execute(text(query))]


async def test_whoever_acted_before_there_were_principals_is_one(database: Database) -> None:
    await seed(database)
    await migrate.downgrade(database, "5e0d97c2b418")
    await execute_all(database, BEFORE_PRINCIPALS)
    await migrate.upgrade(database)
    assert await migrate.differences(database) == []
    assert await rows(database, "SELECT id, kind, name FROM principals ORDER BY id") == [
        ("cli", "command_line", "command line"), ("feed:city", "feed", "feed city"),
        ("k1", "key", "甲"), ("k2", "key", "甲"), ("x", "unknown", "x"),
    ]  # fmt: skip
    assert await rows(database, "SELECT id, principal_id FROM api_keys ORDER BY id") == [("k1", "k1"), ("k2", "k2")]
    assert await rows(database, "SELECT staff, staff_id FROM engagements ORDER BY id") == [("甲", "k2"), ("丙", None)]
    kept = "SELECT principal_id, idempotency_key, request_hash, status, headers, body FROM idempotent_answers"
    assert await rows(database, kept) == [("k1", "key", "", None, None, None)]  # no secret, and nothing done again
    await execute_all(
        database,
        "INSERT INTO claim_scores (id, claim_id, judge, points, total, actor_id, at)"
        " VALUES ('s2', 'c', '甲', '{}', 0, 'k2', '2026-11-03')",
    )
    await migrate.downgrade(database, "5e0d97c2b418")
    assert await rows(database, "SELECT id, name FROM api_keys ORDER BY id") == [("k1", "甲"), ("k2", "甲")]
    sheets = "SELECT judge, actor_id FROM claim_scores ORDER BY id"
    assert await rows(database, sheets) == [("甲", "k1"), ("甲 k2", "k2")]
    await migrate.upgrade(database)
    assert await migrate.differences(database) == []
