"""``migrate``: create or upgrade the database."""

from matching_service.cli.opening import open_database, run
from matching_service.cli.output import stdout
from matching_service.store import migrate as migrations


def migrate() -> None:
    async def work() -> None:
        async with open_database(prepared=False) as database:
            before = await migrations.current_revision(database)
            await migrations.upgrade(database)
            after = await migrations.current_revision(database)
        stdout().print(f"{before or '-'} -> {after}")

    run(work())
