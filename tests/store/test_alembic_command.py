"""The command ``alembic`` works from the checkout's root, on the database of the settings, as it does elsewhere."""

import os
import shutil
import subprocess
import sysconfig
from pathlib import Path

import pytest
from sqlalchemy import text

from matching_service.store import migrate
from matching_service.store.database import Database

ROOT = Path(__file__).parents[2]
ALEMBIC = Path(sysconfig.get_path("scripts")) / "alembic"


def alembic(*arguments: str, url: str, root: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [ALEMBIC, *arguments], cwd=root, env=os.environ | {"MATCHING_DATABASE_URL": url},
        capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.fixture
def copied_root(tmp_path: Path) -> Path:
    """The files that Alembic reads, where a new revision may be written."""
    root = tmp_path / "root"
    shutil.copytree(ROOT / "alembic", root / "alembic", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "alembic.ini", root)
    return root


def plain(url: str) -> str:
    """The URL as an operator writes it."""
    return url.replace("+asyncpg", "").replace("+aiosqlite", "")


def test_upgrade_current_check_and_downgrade(empty_database_url: str) -> None:
    url = plain(empty_database_url)
    upgraded = alembic("upgrade", "head", url=url)
    assert upgraded.returncode == 0, upgraded.stderr
    assert "first tables" in upgraded.stderr
    assert alembic("current", url=url).stdout == f"{migrate.newest_revision()} (head)\n"
    checked = alembic("check", url=url)
    assert checked.returncode == 0, checked.stdout
    assert "No new upgrade operations detected" in checked.stdout
    downgraded = alembic("downgrade", "base", url=url)
    assert downgraded.returncode == 0, downgraded.stderr
    assert alembic("current", url=url).stdout == ""


def test_a_new_revision_of_equal_tables_changes_nothing(database_url: str, copied_root: Path) -> None:
    before = set((copied_root / "alembic" / "versions").glob("*.py"))
    written = alembic("revision", "--autogenerate", "--message", "try it", url=database_url, root=copied_root)
    assert written.returncode == 0, written.stderr
    (new,) = set((copied_root / "alembic" / "versions").glob("*.py")) - before
    assert new.name.endswith("_try_it.py")
    source = new.read_text(encoding="utf-8")
    assert f"after {migrate.newest_revision()}" in source
    assert "op." not in source


async def test_a_new_revision_holds_the_difference(database: Database, copied_root: Path) -> None:
    async with database.engine.begin() as connection:
        await connection.execute(text("ALTER TABLE demands ADD COLUMN forgotten INTEGER"))
    url = database.url.render_as_string(hide_password=False)
    assert alembic("check", url=url, root=copied_root).returncode != 0
    alembic("revision", "--autogenerate", "--message", "forget it", url=url, root=copied_root)
    (new,) = (copied_root / "alembic" / "versions").glob("*_forget_it.py")
    assert 'drop_column("forgotten")' in new.read_text(encoding="utf-8").replace("'", '"')
    upgraded = alembic("upgrade", "head", url=url, root=copied_root)
    assert upgraded.returncode == 0, upgraded.stderr
    assert await migrate.differences(database) == []


def test_the_folder_does_not_hide_the_library() -> None:
    assert not (ROOT / "alembic" / "__init__.py").exists()
