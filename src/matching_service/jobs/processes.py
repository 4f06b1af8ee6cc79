"""Worker processes for a night run, so that it uses all cores. They map the same snapshot files into memory."""

import asyncio
import logging
import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass

from matching_service.foundation.settings import Settings
from matching_service.matching.engine import Engine, View
from matching_service.matching.ranking import Question, rank_many
from matching_service.shortlists.lists import ListEntry
from matching_service.store.database import Database

logger = logging.getLogger(__name__)
MIN_DEMANDS = 200
"""Fewer demands are ranked in less time than worker processes need to start."""

MakeEngine = Callable[[Settings, Database], Engine]


class _Stale(Exception):
    """The snapshots on disk are not those of the run."""


@dataclass(frozen=True, slots=True)
class _ViewVersions:
    """The versions that two processes must share to make the same lists. Snapshots: version and sequence number."""

    profiles: tuple[str, int]
    demands: tuple[str, int]
    weights: str

    @classmethod
    def of(cls, view: View) -> "_ViewVersions":
        return cls(
            (view.snapshot.version, view.snapshot.as_of),
            (view.demands.version, view.demands.as_of),
            view.weights.version,
        )


class RankingProcesses:
    """Ranks like ``rank_many``, but in several processes. Falls back to this process if they cannot."""

    def __init__(self, pool: ProcessPoolExecutor, n_processes: int) -> None:
        self._pool = pool
        self._n_processes = n_processes

    async def rank(
        self, engine: Engine, questions: Sequence[Question], view: View
    ) -> list[list[ListEntry] | Exception]:
        """Return the list of each question, in order. A question that fails yields its exception."""
        loop, versions = asyncio.get_running_loop(), _ViewVersions.of(view)
        shares = [questions[number :: self._n_processes] for number in range(self._n_processes)]
        try:
            results = await asyncio.gather(
                *(loop.run_in_executor(self._pool, _rank_share, share, versions) for share in shares if share)
            )
        except (_Stale, BrokenProcessPool) as error:
            logger.warning("ranked_in_one_process", extra={"reason": repr(error)})
            return await rank_many(engine, questions, view)
        lists: list[list[ListEntry] | Exception] = [[] for _ in questions]
        for number, result in enumerate(results):
            lists[number :: self._n_processes] = result
        return lists


@contextmanager
def ranking_processes(settings: Settings, make_engine: MakeEngine) -> Iterator[RankingProcesses]:
    """Start one worker process per core. They end with the block, or when this process ends or is killed."""
    n_processes = os.cpu_count() or 1
    context = multiprocessing.get_context("spawn")  # fork would copy locks that threads of this process may hold
    with ProcessPoolExecutor(n_processes, context, _start_worker, (settings, make_engine)) as pool:
        yield RankingProcesses(pool, n_processes)


@dataclass(slots=True)
class _Worker:
    """The state of a worker process."""

    runner: asyncio.Runner
    engine: Engine
    view: View | None = None


_workers: list[_Worker] = []


def _start_worker(settings: Settings, make_engine: MakeEngine) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    runner = asyncio.Runner()

    async def new_engine() -> Engine:  # created inside the event loop that will use it
        return make_engine(settings, Database(settings.effective_database_url))

    _workers.append(_Worker(runner, runner.run(new_engine())))


def _end_with_parent() -> None:
    """End this process when its parent does. Otherwise it would wait forever for tasks of a killed parent."""
    if (parent := multiprocessing.parent_process()) is not None:
        parent.join()
        os._exit(1)


def _rank_share(questions: Sequence[Question], versions: _ViewVersions) -> list[list[ListEntry] | Exception]:
    worker = _workers[0]
    if worker.view is None or _ViewVersions.of(worker.view) != versions:
        worker.view = View(
            worker.engine.profiles.load_saved(),
            worker.engine.demands.load_saved(),
            worker.engine.weights.get(versions.weights),
        )
        if _ViewVersions.of(worker.view) != versions:
            raise _Stale(f"found {_ViewVersions.of(worker.view)}, expected {versions}")
    return worker.runner.run(rank_many(worker.engine, questions, worker.view))
