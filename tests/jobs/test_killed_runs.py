"""Runs in processes of their own: killed at some moment, resumed, two at once; the result is an undisturbed run's."""

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from conftest import Cli
from http_checks import assert_problem
from nights import copied, opened_engine
from sqlalchemy import func, select

from matching_service.access.policies import COMMAND_LINE, Role
from matching_service.access.service import create_key
from matching_service.app import create_app
from matching_service.demands.schemas import DemandImport
from matching_service.exchange.imports import import_file
from matching_service.foundation.settings import Settings
from matching_service.jobs import nightly
from matching_service.matching.runs import DEMANDS_PER_CHUNK
from matching_service.profiles.schemas import ProfileImport
from matching_service.profiles.service import upsert_profiles
from matching_service.store.database import Database
from matching_service.store.demands import DemandRow
from matching_service.store.matching import MatchListRow, MatchRow, MatchRunRow
from matching_service.store.ownership import owning

WORDS = ["谐波减速器", "陶瓷窑炉", "心肌标志物", "注塑机液压", "铝型材挤压", "光伏逆变器", "柔轮疲劳", "机器视觉"]
N_DEMANDS = 3 * DEMANDS_PER_CHUNK + 7
FAST = {"MATCHING_ENCODER": "none"}


@pytest.fixture
async def city(database: Database, tmp_path: Path) -> Database:
    """Forty profiles, and demands for a run that takes a second or two."""
    profiles = [
        ProfileImport(
            external_id=f"E{n}", kind="expert", name=f"专家{n}", keywords=[WORDS[(n + 1) % 8]],
            summary=f"{WORDS[n % 8]}研究，{WORDS[(n // 8) % 8]}应用与{WORDS[(3 * n) % 8]}第{n}号方案",
        )
        for n in range(40)
    ]  # fmt: skip
    async with database.transaction() as session:
        await upsert_profiles(session, profiles, COMMAND_LINE)
    path = tmp_path / "demands.jsonl"
    demands = [
        DemandImport(external_id=f"D{n}", title=f"{WORDS[n % 8]}{WORDS[(n // 8) % 8]}难题{n}", problem=WORDS[n % 5])
        for n in range(N_DEMANDS)
    ]
    rows = [demand.model_dump(include={"external_id", "title", "problem"}) for demand in demands]
    path.write_text("\n".join(json.dumps(row | {"status": "published"}) for row in rows))
    await import_file(database, "demands", path, COMMAND_LINE, defaults={}, strict=True)
    return database


@contextmanager
def started(cli: Cli, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A command in a process that is gone when the block ends."""
    process = subprocess.Popen(
        [sys.executable, "-m", "matching_service", *arguments],
        env=cli.environment | FAST, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


async def wait_for(database: Database, process: subprocess.Popen[str], *, n_lists: int) -> None:
    """Until the process has begun a run and committed so many lists."""
    statement = select(select(func.count()).select_from(MatchListRow).scalar_subquery())
    statement = statement.where(select(MatchRunRow.id).exists())
    while True:
        async with database.reading() as session:
            found = await session.scalar(statement)
        if found is not None and found >= n_lists:
            return
        assert process.poll() is None, process.communicate()
        await asyncio.sleep(0.005)


async def killed_run(database: Database, cli: Cli, *, n_lists: int) -> MatchRunRow:
    """The run as ``kill -9`` leaves it when so many lists are stored."""
    with started(cli, "rerank") as process:
        await wait_for(database, process, n_lists=n_lists)
        process.kill()
        process.wait(timeout=60)
    async with database.reading() as session:
        run = (await session.scalars(select(MatchRunRow))).one()
    assert run.state == "running"
    assert n_lists <= run.n_done < N_DEMANDS
    return run


async def results(database: Database, run_id: str) -> dict[str | None, Any]:
    """All that a run has stored, by demand, but for ids and times."""
    async with database.reading() as session:
        joined = select(DemandRow.external_id, MatchListRow).join(MatchListRow, MatchListRow.demand_id == DemandRow.id)
        lists = list((await session.execute(joined.where(MatchListRow.run_id == run_id))).all())
        wanted = select(MatchListRow.id).where(MatchListRow.run_id == run_id)
        matches: dict[str, list[Any]] = {row.id: [] for _, row in lists}
        for match in await session.scalars(
            select(MatchRow).where(MatchRow.list_id.in_(wanted)).order_by(MatchRow.rank)
        ):
            told = (match.profile_id, match.rank, match.score, match.level, match.explanation)
            matches[match.list_id].append(told)
    assert len(lists) == N_DEMANDS
    return {
        external_id: (row.state, row.error, row.n_matches, row.changes, matches[row.id]) for external_id, row in lists
    }


async def undisturbed(database: Database, folder: Path) -> dict[str | None, Any]:
    engine = await opened_engine(database, folder)
    report = await nightly.rerank(engine, await nightly.begin(engine, resume=False), lambda _n: None)
    assert (report.run.state, report.run.n_done) == ("finished", N_DEMANDS)
    return await results(database, report.run.id)


async def test_a_killed_run_is_completed_by_one_of_two_who_resume_it(
    city: Database, cli: Cli, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    async with copied(city, request, tmp_path) as copy:
        expected = await undisturbed(copy, tmp_path / "other")
    run = await killed_run(city, cli, n_lists=DEMANDS_PER_CHUNK)
    with started(cli, "rerank", "--resume") as one, started(cli, "rerank", "--resume") as other:
        ended = [(*process.communicate(timeout=300), process.returncode) for process in (one, other)]
    (out, err, code), (later, why, second) = sorted(ended, key=lambda each: each[2])
    completed = f"任务 {run.id}：finished，重排 {N_DEMANDS}，沿用 0，失败 0"
    assert code == 0, err
    assert completed in out
    if second:  # refused while the other worked, or it came when the other had finished
        assert run.id in why or "There is no interrupted match run" in why
    else:  # it was let in when the other had just finished: nothing was left to do
        assert completed in later
    assert await results(city, run.id) == expected


@asynccontextmanager
async def server(database: Database, database_url: str, folder: Path) -> AsyncIterator[httpx.AsyncClient]:
    """The application in this process, and a client that may run batches."""
    async with database.transaction() as session:
        _, key = await create_key(session, name="batch", role=Role.BATCH, expires_at=None, actor=COMMAND_LINE)
    app = create_app(Settings(database_url=database_url, data_dir=folder, encoder="none"))
    headers = {"Authorization": f"Bearer {key}"}
    transport = httpx.ASGITransport(app=app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://test", headers=headers) as client,
    ):
        while (await client.get("/health/ready")).status_code != 200:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        yield client


async def seen(http: httpx.AsyncClient, address: str, condition: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """The run, at the first moment at which the condition is true of it."""
    while True:
        run: dict[str, Any] = (await http.get(address)).json()
        if condition(run):
            return run
        await asyncio.sleep(0.005)


async def test_a_server_that_starts_later_leaves_a_killed_run_as_it_is_until_it_is_asked(
    city: Database, cli: Cli, database_url: str, tmp_path: Path
) -> None:
    run = await killed_run(city, cli, n_lists=0)
    async with server(city, database_url, tmp_path / "served") as http:
        address = f"/v1/match-runs/{run.id}"
        assert (await http.get(address)).json()["state"] == "running"
        problem = assert_problem(await http.post("/v1/match-runs", json={}), 409, "run_in_progress")
        assert f"{address}/resume" in problem["detail"]
        assert (await http.post(f"{address}/resume")).status_code == 202
        ended = await seen(http, address, lambda run: run["state"] != "running")
    assert (ended["state"], ended["n_done"], ended["n_failed"]) == ("finished", N_DEMANDS, 0)
    assert all(state == "done" for state, *_ in (await results(city, run.id)).values())


async def test_a_run_tells_its_progress_and_is_cancelled_while_it_works(
    city: Database, database_url: str, tmp_path: Path
) -> None:
    async with server(city, database_url, tmp_path / "served") as http:
        address = (await http.post("/v1/match-runs", json={})).headers["location"]
        run = await seen(http, address, lambda run: run["n_done"] > 0)
        assert (run["state"], run["is_interrupted"]) == ("running", False)
        assert run["n_done"] % DEMANDS_PER_CHUNK == 0
        assert run["remaining_s"] > 0
        assert run["estimated_finish_at"] > run["heartbeat_at"] > run["created_at"]
        assert_problem(await http.post(f"{address}/resume"), 409, "run_in_progress")
        cancelled = (await http.post(f"{address}/cancel")).json()
        assert cancelled["state"] == "cancelled"
        assert cancelled["n_done"] < N_DEMANDS
        again = (await http.post("/v1/match-runs", json={})).headers["location"]  # waits for the other's last chunk
        await seen(http, again, lambda run: run["n_done"] > 0)
        assert (await http.get(address)).json() == cancelled


async def test_beside_a_living_run_another_process_is_refused(city: Database, cli: Cli, tmp_path: Path) -> None:
    engine = await opened_engine(city, tmp_path / "own")
    first = await nightly.begin(engine, resume=False)
    async with owning(city, "run") as is_mine:
        assert is_mine
        done = await asyncio.to_thread(cli.run, "rerank", **FAST)
    assert done.returncode == 1
    assert f"匹配任务 {first.id} 正在进行" in done.stderr
    assert "Traceback" not in done.stderr
    async with city.reading() as session:
        assert [row.id for row in await session.scalars(select(MatchRunRow))] == [first.id]
        assert await session.scalar(select(func.count()).select_from(MatchListRow)) == 0
