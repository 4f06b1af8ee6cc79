"""Ranking in other processes: the same lists, nothing stale, and no process left behind."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from matching_service.access.policies import COMMAND_LINE
from matching_service.engines import create_engine
from matching_service.foundation.clock import today
from matching_service.foundation.settings import Settings
from matching_service.index.filters import Filters
from matching_service.jobs.processes import ranking_processes
from matching_service.matching.engine import Engine
from matching_service.matching.ranking import Question, rank_many
from matching_service.profiles.schemas import ProfileImport
from matching_service.profiles.service import upsert_profiles
from matching_service.ranking.query import Query
from matching_service.ranking.structured import Circumstances
from matching_service.store.database import Database

pytestmark = pytest.mark.apart
WORDS = ["谐波减速器", "陶瓷窑炉", "心肌标志物", "注塑机液压", "铝型材挤压", "光伏逆变器"]


def settings_for(url: str, folder: Path) -> Settings:
    return Settings(database_url=url, encoder="none", data_dir=folder)


async def add(database: Database, numbers: range) -> None:
    profiles = [
        ProfileImport(external_id=f"E{n}", kind="expert", name=f"专家{n}", summary=f"{WORDS[n % 6]}{WORDS[n // 6 % 6]}")
        for n in numbers
    ]
    async with database.transaction() as session:
        await upsert_profiles(session, profiles, COMMAND_LINE)


def requests() -> list[Question]:
    return [
        Question(Query(title=f"{word}难题"), Filters(), 10, Circumstances(today())) for word in [*WORDS, "无人能及"]
    ]


def plain(lists: list[Any]) -> list[Any]:
    return [[(entry.profile.id, entry.ranked, entry.explanation) for entry in listed] for listed in lists]


@pytest.fixture
async def engine(database: Database, database_url: str, tmp_path: Path) -> Engine:
    await add(database, range(40))
    made = create_engine(settings_for(database_url, tmp_path), database)
    await made.open()
    await made.save()
    return made


async def test_other_processes_make_the_very_same_lists(engine: Engine, database_url: str, tmp_path: Path) -> None:
    view = await engine.view()
    here = await rank_many(engine, requests(), view)
    with ranking_processes(settings_for(database_url, tmp_path), create_engine) as processes:
        there = await processes.rank(engine, requests(), view)
    assert plain(there) == plain(here)
    assert len(plain(here)[0]) == 10


async def test_what_is_not_on_disk_yet_is_ranked_here(
    engine: Engine, database_url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    await add(engine.database, range(40, 42))
    view = await engine.view()
    with ranking_processes(settings_for(database_url, tmp_path), create_engine) as processes:
        there = await processes.rank(engine, requests(), view)
    assert plain(there) == plain(await rank_many(engine, requests(), view))
    assert "ranked_in_one_process" in caplog.text


async def test_a_request_that_fails_harms_no_other(engine: Engine, database_url: str, tmp_path: Path) -> None:
    bad = replace(requests()[0], filters=Filters(region_prefixes=("x",)))
    with ranking_processes(settings_for(database_url, tmp_path), create_engine) as processes:
        lists = await processes.rank(engine, [bad, *requests()], await engine.view())
    assert isinstance(lists[0], ValueError)
    assert not any(isinstance(listed, Exception) for listed in lists[1:])


_PARENT = """
import sys, time
from pathlib import Path
from matching_service.engines import create_engine
from matching_service.foundation.settings import Settings
from matching_service.jobs.processes import ranking_processes

if __name__ == "__main__":
    with ranking_processes(Settings(encoder="none", data_dir=Path(sys.argv[1])), create_engine) as processes:
        for _ in range(processes._n_processes):
            processes._pool.submit(time.sleep, 0.01).result()
        print(*processes._pool._processes, flush=True)
        time.sleep(600)
"""


def test_processes_end_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(_PARENT)
    parent = subprocess.Popen([sys.executable, str(script), str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    children = [int(pid) for pid in parent.stdout.readline().split()]
    assert children
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    deadline = time.monotonic() + 60
    while any(Path(f"/proc/{pid}/stat").exists() and _is_running(pid) for pid in children):
        assert time.monotonic() < deadline, "a process was left behind"
        time.sleep(0.05)


def _is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False
