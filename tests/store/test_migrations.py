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
