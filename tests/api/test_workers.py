"""A server of several workers is ready when every worker can match."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from conftest import Cli

from matching_service.api.workers import Workers, folder_of_workers

ONLY_SQLITE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
ANNOUNCE = """
import asyncio, sys
from matching_service.api.workers import Workers
workers = Workers.of_this_server()
asyncio.run(workers.announce())
print("ready", flush=True)
sys.stdin.read()
"""


def announcing() -> subprocess.Popen[str]:
    worker = subprocess.Popen(
        [sys.executable, "-c", ANNOUNCE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert worker.stdout is not None
    assert worker.stdout.readline() == "ready\n"
    return worker


def end(worker: subprocess.Popen[str]) -> None:
    worker.kill()
    worker.communicate()


def test_a_worker_that_was_killed_does_not_count(tmp_path: Path) -> None:
    with folder_of_workers(tmp_path, 2):
        workers = Workers.of_this_server()
        assert (workers.n, workers.n_ready()) == (2, 0)
        first, second = announcing(), announcing()
        assert workers.n_ready() == 2
        end(first)
        assert workers.n_ready() == 1
        with folder_of_workers(tmp_path, 3):  # another server with the same data folder
            assert Workers.of_this_server().n_ready() == 0
        assert workers.n_ready() == 1
        end(second)
    assert list((tmp_path / "servers").iterdir()) == []
    alone = Workers.of_this_server()
    assert (alone.n, alone.n_ready()) == (1, 0)
    asyncio.run(alone.announce())
    assert alone.n_ready() == 1


def test_what_killed_servers_left_is_removed(tmp_path: Path) -> None:
    left = tmp_path / "servers" / "left"
    left.mkdir(parents=True)
    (left / "a.ready").touch()
    with folder_of_workers(tmp_path, 2):
        assert not left.exists()
        assert Workers.of_this_server().n_ready() == 0


def children(pid: int) -> list[int]:
    """The spawned workers of a server; multiprocessing's own process for resources is none."""
    try:
        pids = map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
        return [child for child in pids if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()]
    except FileNotFoundError:
        return []


@contextmanager
def server_of_two(cli: Cli, port: int, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("w") as stderr:
        server = subprocess.Popen(
            [sys.executable, "-m", "matching_service", "serve", "--port", str(port), "--workers", "2"],
            env=cli.environment | {"MATCHING_ENCODER": "none"}, stderr=stderr, stdout=subprocess.DEVNULL,
        )  # fmt: skip
    try:
        yield server
    finally:
        go_on(children(server.pid))
        server.terminate()
        server.wait(timeout=60)


def go_on(workers: Iterable[int]) -> None:
    for worker in workers:
        os.kill(worker, signal.SIGCONT)


def readiness(base_url: str) -> httpx.Response | None:
    time.sleep(0.05)
    try:
        return httpx.get(f"{base_url}/health/ready", timeout=5, trust_env=False)
    except httpx.TransportError:
        return None


@ONLY_SQLITE
@pytest.mark.apart
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs /proc to find the workers")
def test_a_server_of_two_workers_is_ready_when_both_are(cli: Cli, tmp_path: Path) -> None:
    key = cli.run("keys", "create", "--role", "admin", "--name", "n").stdout.strip()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    base_url, log = f"http://127.0.0.1:{port}", tmp_path / "log"
    with server_of_two(cli, port, log) as server:
        while len(workers := children(server.pid)) < 2:
            assert server.poll() is None, log.read_text()
            time.sleep(0.01)
        first, held = min(workers), set[int]()
        answer = None
        while answer is None or answer.json()["workers"]["detail"] != "1 of 2 ready":
            assert server.poll() is None, log.read_text()
            assert answer is None or answer.status_code == 503
            # The server replaces a worker that does not answer it; then that one is held up.
            for worker in set(children(server.pid)) - held - {first}:
                os.kill(worker, signal.SIGSTOP)
                held.add(worker)
            answer = readiness(base_url)
        assert answer.status_code == 503
        assert answer.json()["index"]["ok"]
        assert "Retry-After" in answer.headers
        go_on(children(server.pid))
        while (answer := readiness(base_url)) is None or answer.status_code != 200:
            assert server.poll() is None, log.read_text()
        assert answer.json()["workers"] == {"ok": True, "detail": "2 of 2 ready"}
        for _ in range(20):  # each over a connection of its own, so that both workers answer
            matched = httpx.post(
                f"{base_url}/v1/matches", json={"query": {"title": "泵"}}, headers={"Authorization": f"Bearer {key}"},
                trust_env=False, timeout=60,
            )  # fmt: skip
            assert matched.status_code == 200, matched.text
    assert list((tmp_path / "data" / "servers").iterdir()) == []
