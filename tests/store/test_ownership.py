"""A lock that is held by one process at a time and ends with it, on both databases."""

import asyncio
import math
import signal
import subprocess
import sys

from matching_service.store.database import Database
from matching_service.store.ownership import is_owned, owning

_HOLDER = """
import asyncio, sys
from matching_service.store.database import Database
from matching_service.store.ownership import owning

async def main():
    async with owning(Database(sys.argv[1]), "run") as is_mine:
        print(is_mine, flush=True)
        sys.stdin.readline()

asyncio.run(main())
"""


def holder(database_url: str) -> subprocess.Popen[str]:
    """A process that holds the lock until it is told, or killed."""
    process = subprocess.Popen(
        [sys.executable, "-c", _HOLDER, database_url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "True\n"
    return process


async def test_it_is_held_once_and_free_again_afterwards(database: Database) -> None:
    assert not await is_owned(database, "run")
    async with owning(database, "run") as first, owning(database, "run") as second, owning(database, "other") as third:
        assert (first, second, third) == (True, False, True)
        assert await is_owned(database, "run")
    assert not await is_owned(database, "run")


async def test_it_is_free_after_an_error_inside(database: Database) -> None:
    try:
        async with owning(database, "run"):
            raise LookupError  # noqa: TRY301
    except LookupError:
        pass
    async with owning(database, "run") as is_mine:
        assert is_mine


async def test_who_waits_gets_it_when_it_is_free(database: Database) -> None:
    order = []

    async def wait() -> None:
        async with owning(database, "run", patience_s=math.inf) as is_mine:
            order.append(f"waited {is_mine}")

    async with owning(database, "run"):
        waiting = asyncio.create_task(wait())
        async with owning(database, "run", patience_s=0.3) as is_mine:  # longer than the other's first attempts
            assert not is_mine
        order.append("released")
    await waiting
    assert order == ["released", "waited True"]


async def test_a_process_that_is_killed_leaves_it_free(database: Database, database_url: str) -> None:
    process = holder(database_url)
    try:
        assert await is_owned(database, "run")
        process.send_signal(signal.SIGKILL)
        process.wait(timeout=30)
        async with owning(database, "run", patience_s=30) as is_mine:  # a server may need a moment to notice
            assert is_mine
    finally:
        process.kill()
        process.communicate()
