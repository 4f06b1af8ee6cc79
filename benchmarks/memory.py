"""How much memory do profiles with character n-grams and vectors take, in one process and in a second one?

A process imports what the server imports, loads the encoder and a snapshot from disk, and ranks some real demands, so
that every page that serving needs is there; then a second one does the same. What the second adds is the sum of both
proportional sizes (pages that two processes share count half in each), less that of the first alone. The same first
process tells the times for ``growth``.
"""

import tempfile
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from benchmarks import ours
from benchmarks.corpus import Corpus, real_demands
from benchmarks.measure import RESULTS, Memory, Row, apart, milliseconds
from matching_service import app
from matching_service.index.snapshot import Snapshot
from matching_service.ranking.encoder import load_encoder
from matching_service.ranking.prepare import prepare
from matching_service.ranking.query import Query
from matching_service.ranking.ranker import rank

N_PROFILES, QUICK_PROFILES = 1_000_000, 100_000
AT_MOST_GB = 5.0
AT_MOST_ADDED = 0.2
N_DEMANDS, N_WARM_UP = 100, 5
TOP_K, SEARCHED = 20, 50


@dataclass(frozen=True, slots=True)
class Serving:
    """A process that has a snapshot in memory and has answered. Bytes and milliseconds."""

    before: Memory
    after: Memory
    search_ms: float
    rank_ms: float


@dataclass(frozen=True, slots=True)
class Footprint:
    """The first process, and what the second adds, in bytes."""

    first: Serving
    added: int


def run(*, quick: bool = False) -> list[Row]:
    """Two rows."""
    n_profiles = QUICK_PROFILES if quick else N_PROFILES
    found = footprint(n_profiles)
    resident = found.first.after.rss / 1e9
    share = found.added / found.first.after.pss
    size = f"{n_profiles:,} profiles; character n-grams, vectors, facts"
    return [
        Row(
            question="memory of one serving process",
            size=size,
            unit="GB",
            ours_p50=resident,
            target="" if quick else f"at most {AT_MOST_GB:g} GB resident",
            reached=None if quick else resident <= AT_MOST_GB,
            notes=f"{found.first.before.rss / 1e9:.2f} GB of it before loading; after {N_DEMANDS} demands",
        ),
        Row(
            question="memory that a second process adds",
            size=size,
            unit="GB",
            ours_p50=found.added / 1e9,
            peer="the first",
            peer_p50=found.first.after.pss / 1e9,
            ratio=share,
            target="" if quick else f"at most {AT_MOST_ADDED:.0%}",
            reached=None if quick else share <= AT_MOST_ADDED,
            notes="proportional set sizes",
        ),
    ]


@cache
def footprint(n_profiles: int) -> Footprint:
    """Measured once per run of the benchmarks."""
    RESULTS.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=RESULTS, prefix="snapshot-") as name:
        apart(_write, n_profiles, Path(name))
        context = get_context("spawn")
        with ProcessPoolExecutor(1, mp_context=context) as one, ProcessPoolExecutor(1, mp_context=context) as two:
            first = one.submit(_serve, Path(name)).result()
            second = two.submit(_serve, Path(name)).result()
            together = one.submit(Memory.of).result().pss + second.after.pss
        return Footprint(first, together - first.after.pss)


def _write(n_profiles: int, folder: Path) -> None:
    ours.write_snapshot(Corpus(n_profiles), folder)


_held: list[Snapshot] = []
"""The snapshot of this process, which stays in memory until the process ends."""


def _serve(folder: Path) -> Serving:
    assert callable(app.create_app)  # what the server imports is part of its memory
    encoder = load_encoder("universal")
    prepared = [prepare(Query(demand.title, demand.problem), encoder) for demand in real_demands()[:N_DEMANDS]]
    before = Memory.of()
    snapshot = ours.load_snapshot(folder)
    _held.append(snapshot)
    search = [milliseconds(ours.search_snapshot, snapshot, query, SEARCHED) for query in prepared]
    ranked = [milliseconds(rank, query, snapshot, top_k=TOP_K) for query in prepared]
    return Serving(before, Memory.of(), *(float(np.median(took[N_WARM_UP:])) for took in (search, ranked)))
