"""Servers in processes of their own, and clients with kept connections that cost as little as Python allows."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path

import numpy as np
from fastapi import FastAPI, Response

from benchmarks.city import City
from benchmarks.measure import FloatArray

ANSWER = "BENCHMARK_ANSWER"
_N_READY = 20
_READY_WITHIN_S = 600.0
_MATCHES = "/v1/matches"


class Client:
    """One kept connection that posts to ``/v1/matches``."""

    def __init__(self, port: int, key: str) -> None:
        self._connection = HTTPConnection("127.0.0.1", port, timeout=120)
        self._headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}

    def match(self, body: bytes) -> bytes:
        """The body of the answer; raises when it is not 200."""
        self._connection.request("POST", _MATCHES, body, self._headers)
        answer = self._connection.getresponse()
        content = answer.read()
        if answer.status != 200:
            raise RuntimeError(f"{answer.status}: {content.decode('utf-8', 'replace')[:500]}")
        return content

    def close(self) -> None:
        self._connection.close()


def match_body(demand_id: str, **options: object) -> bytes:
    """The question for a stored demand, 20 explained profiles."""
    return json.dumps({"demand_id": demand_id, "top_k": 20} | options).encode()


@dataclass(frozen=True, slots=True)
class Load:
    """What clients saw: latencies in milliseconds, shape (n_requests,), and requests per second of all together."""

    latencies: FloatArray
    per_second: float


def load(port: int, key: str, bodies: Sequence[bytes], *, n_clients: int, seconds: float) -> Load:
    """Each client posts the next body as soon as it has its answer, until the time is over."""
    ends_at = time.perf_counter() + seconds

    def post(client_number: int) -> list[float]:
        client, took, place = Client(port, key), [], client_number
        while (started := time.perf_counter()) < ends_at:
            client.match(bodies[place % len(bodies)])
            took.append((time.perf_counter() - started) * 1e3)
            place += n_clients
        client.close()
        return took

    started = time.perf_counter()
    with ThreadPoolExecutor(n_clients) as pool:
        latencies = np.array([one for each in pool.map(post, range(n_clients)) for one in each])
    return Load(latencies, len(latencies) / (time.perf_counter() - started))


@contextmanager
def serving(city: City, *, n_workers: int = 1) -> Iterator[int]:
    """The port of the real server over a city, once every worker is ready."""
    with _started(city, n_workers) as (process, port):
        _wait(process, port, "/health/ready")
        yield port


def seconds_to_ready(city: City) -> float:
    """From the start of the command to its first answer that it is ready."""
    started = time.perf_counter()
    with _started(city, n_workers=1) as (process, port):
        while not _is_ok(port, "/health/ready"):
            if process.poll() is not None:
                raise RuntimeError(f"the server on port {port} did not become ready")
            time.sleep(0.01)
        return time.perf_counter() - started


@contextmanager
def _started(city: City, n_workers: int) -> Iterator[tuple["subprocess.Popen[bytes]", int]]:
    port = _free_port()
    options = ["serve", "--port", str(port), "--workers", str(n_workers)]
    command = [sys.executable, "-m", "matching_service", *options]
    with _running(command, city.environment, city.folder / f"server-{port}.log") as process:
        yield process, port


@contextmanager
def bare_route(answer: bytes, folder: Path) -> Iterator[int]:
    """The port of a FastAPI server that has one route, which returns these bytes; run as the real one is."""
    port = _free_port()
    file = folder / "answer.json"
    file.write_bytes(answer)
    serve = (
        f"import uvicorn; uvicorn.run('benchmarks.server:bare_app', factory=True, host='127.0.0.1', port={port}, "
        "log_config=None, server_header=False)"
    )
    environment = os.environ | {ANSWER: str(file)}
    with _running([sys.executable, "-c", serve], environment, folder / f"bare-{port}.log") as process:
        _wait(process, port, "/health")
        yield port


def bare_app() -> FastAPI:
    """The floor under every FastAPI service: a route without work."""
    content = Path(os.environ[ANSWER]).read_bytes()
    app = FastAPI(openapi_url=None)

    @app.post(_MATCHES)
    async def answer() -> Response:
        return Response(content, media_type="application/json")

    @app.get("/health")
    async def health() -> None:
        return None

    return app


@contextmanager
def _running(command: Sequence[str], environment: Mapping[str, str], log: Path) -> Iterator["subprocess.Popen[bytes]"]:
    with log.open("wb") as out:
        process = subprocess.Popen(command, env=dict(environment), stdout=out, stderr=out)
        try:
            yield process
        except RuntimeError as error:
            error.add_note(log.read_text(encoding="utf-8", errors="replace")[-2000:])
            raise
        finally:
            process.terminate()
            process.wait(timeout=60)


def _wait(process: "subprocess.Popen[bytes]", port: int, path: str) -> None:
    """Until the server has answered often enough, on connections of their own, that each worker has."""
    ends_at, n_ready = time.perf_counter() + _READY_WITHIN_S, 0
    while n_ready < _N_READY:
        if process.poll() is not None or time.perf_counter() > ends_at:
            raise RuntimeError(f"the server on port {port} did not become ready")
        n_ready = n_ready + 1 if _is_ok(port, path) else 0
        time.sleep(0.01 if n_ready else 0.2)


def _is_ok(port: int, path: str) -> bool:
    connection = HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
