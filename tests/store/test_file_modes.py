"""The embedded database holds contact data: the files that the service makes are for its user alone."""

import stat
from pathlib import Path

from sqlalchemy import text

from matching_service.store.database import Database


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


async def _write(path: Path) -> Database:
    database = Database(f"sqlite+aiosqlite:///{path}")
    async with database.transaction() as session:
        await session.execute(text("CREATE TABLE IF NOT EXISTS t (a)"))
    return database


async def test_a_new_database_is_for_its_user_alone(tmp_path: Path) -> None:
    path = tmp_path / "data" / "matching.sqlite3"
    database = await _write(path)
    assert mode(path.parent) == 0o700
    assert {file.name: mode(file) for file in path.parent.iterdir()} == {
        "matching.sqlite3": 0o600, "matching.sqlite3-wal": 0o600, "matching.sqlite3-shm": 0o600,
    }  # fmt: skip
    await database.close()


async def test_what_an_operator_has_set_stays(tmp_path: Path) -> None:
    path = tmp_path / "matching.sqlite3"
    await (await _write(path)).close()
    path.chmod(0o640)
    await (await _write(path)).close()
    assert mode(path) == 0o640
