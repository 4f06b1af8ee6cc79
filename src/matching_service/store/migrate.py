"""Create and upgrade the database with Alembic, and check its revision."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, inspect

from matching_service.foundation.errors import Bilingual, Unavailable
from matching_service.store.database import Database
from matching_service.store.tables import Table

_PACKAGED = Path(__file__).parent / "alembic"
_MIGRATIONS = _PACKAGED if _PACKAGED.is_dir() else Path(__file__).parents[3] / "alembic"
"""A wheel and the image have the folder beside this file; a checkout has it at its root."""
_MIGRATION_LOCK = 0x6D696772617465  # any constant; the ASCII codes of "migrate"


@cache
def newest_revision() -> str:
    """Return the revision that this program needs."""
    head = ScriptDirectory.from_config(_config()).get_current_head()
    assert head is not None  # noqa: S101  # the package always ships at least one revision
    return head


def steps_known() -> set[str]:
    """Return all revisions that this program knows. It can upgrade a database at each of them."""
    return {step.revision for step in ScriptDirectory.from_config(_config()).walk_revisions()}


async def current_revision(database: Database) -> str | None:
    """Return the revision of the database, None if it was never migrated."""
    async with database.engine.connect() as connection:
        return await connection.run_sync(lambda sync: MigrationContext.configure(sync).get_current_revision())


async def is_empty(database: Database) -> bool:
    """Whether the database has no tables."""
    async with database.engine.connect() as connection:
        return not await connection.run_sync(lambda sync: inspect(sync).get_table_names())


async def upgrade(database: Database, revision: str = "head") -> None:
    """Upgrade the database. Raises Unavailable if its revision is unknown to this program."""
    try:
        await _run(database, lambda config: command.upgrade(config, revision))
    except CommandError as error:
        raise schema_mismatch(await current_revision(database)) from error


def schema_mismatch(current: str | None) -> Unavailable:
    """Return the error for a database at another revision, with the command that helps."""
    needed = newest_revision()
    return Unavailable(
        "schema_mismatch",
        Bilingual(
            f"数据库结构版本为 {current or '空'}，本程序需要 {needed}。较旧时请运行：matching-service migrate；"
            "较新时请使用与数据库相同版本的程序。",
            f"The database is at revision {current or 'none'}; this program needs {needed}. If the database is older, "
            "run: matching-service migrate. If it is newer, use the program version that upgraded it.",
        ),
    )


async def check_schema(database: Database) -> None:
    """Raise Unavailable, with the command that helps, unless the database is at this program's revision."""
    if (current := await current_revision(database)) != newest_revision():
        raise schema_mismatch(current)


async def downgrade(database: Database, revision: str = "base") -> None:
    await _run(database, lambda config: command.downgrade(config, revision))


async def differences(database: Database) -> list[Any]:
    """Return the changes that Alembic would make to match the tables; empty if the database agrees with them."""

    def compare(connection: Connection) -> list[Any]:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        return list(compare_metadata(context, Table.metadata))

    async with database.engine.connect() as connection:
        return await connection.run_sync(compare)


async def migrating(database: Database, work: Callable[[Connection], object]) -> None:
    """Run a migration in one transaction, with a lock against other migrations."""
    async with database.engine.connect() as connection:
        # Rebuilding a table on SQLite drops the old one. With foreign keys on, that deletes the rows of child tables.
        # SQLite ignores the pragma inside a transaction, so it goes to the driver before one begins.
        driver: Any = (await connection.get_raw_connection()).driver_connection if database.is_sqlite else None
        if driver is not None:
            await driver.execute("PRAGMA foreign_keys = OFF")
        try:
            async with connection.begin():
                await database.lock(connection, _MIGRATION_LOCK)
                await connection.run_sync(work)
                if driver is not None and (
                    broken := (await connection.exec_driver_sql("PRAGMA foreign_key_check")).all()
                ):
                    raise RuntimeError(f"the migration broke foreign keys: {broken[:5]}")
        finally:
            if driver is not None:
                await driver.execute("PRAGMA foreign_keys = ON")


async def _run(database: Database, action: Callable[[Config], object]) -> None:
    def on(connection: Connection) -> None:
        config = _config()
        config.attributes["connection"] = connection
        action(config)

    await migrating(database, on)


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    return config
