"""Other processes that rank for a night run, so that it uses every core: each maps the same snapshots into memory."""

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
"""Fewer are ranked before other processes have started."""

MakeEngine = Callable[[Settings, Database], Engine]


class _Stale(Exception):
    """The snapshots on disk are not those that the run is ranked with."""


@dataclass(frozen=True, slots=True)
class _Mark:
    """What two processes must agree on to make the same lists."""

    profiles: tuple[str, int]
    demands: tuple[str, int]
    weights: str

    @classmethod
    def of(cls, view: View) -> "_Mark":
        return cls(
            (view.snapshot.version, view.snapshot.as_of),
            (view.demands.version, view.demands.as_of),
            view.weights.version,
        )


class RankingProcesses:
    """Ranks like ``rank_many``, in several processes; here where they cannot."""

    def __init__(self, pool: ProcessPoolExecutor, n_processes: int) -> None:
        self._pool = pool
        self._n_processes = n_processes

    async def rank(
        self, engine: Engine, questions: Sequence[Question], view: View
    ) -> list[list[ListEntry] | Exception]:
        """A list per question, in order; a question that fails gives its exception."""
        loop, mark = asyncio.get_running_loop(), _Mark.of(view)
        shares = [questions[number :: self._n_processes] for number in range(self._n_processes)]
        try:
            done = await asyncio.gather(
                *(loop.run_in_executor(self._pool, _rank_share, share, mark) for share in shares if share)
            )
        except (_Stale, BrokenProcessPool) as error:
            logger.warning("ranked_in_one_process", extra={"reason": repr(error)})
            return await rank_many(engine, questions, view)
        lists: list[list[ListEntry] | Exception] = [[] for _ in questions]
        for number, share in enumerate(done):
            lists[number :: self._n_processes] = share
        return lists


@contextmanager
def ranking_processes(settings: Settings, make_engine: MakeEngine) -> Iterator[RankingProcesses]:
    """As many processes as there are cores; they end with the block, or with this process, however that ends."""
    n_processes = os.cpu_count() or 1
    context = multiprocessing.get_context("spawn")  # a fork would copy locks that threads of this process may hold
    with ProcessPoolExecutor(n_processes, context, _begin, (settings, make_engine)) as pool:
        yield RankingProcesses(pool, n_processes)


@dataclass(slots=True)
class _Worker:
    """The state of a ranking process."""

    runner: asyncio.Runner
    engine: Engine
    view: View | None = None


_workers: list[_Worker] = []


def _begin(settings: Settings, make_engine: MakeEngine) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    runner = asyncio.Runner()

    async def made() -> Engine:  # in the loop that it will live in
        return make_engine(settings, Database(settings.effective_database_url))

    _workers.append(_Worker(runner, runner.run(made())))


def _end_with_parent() -> None:
    """A pool's processes would wait for ever for the next task of a parent that was killed."""
    if (parent := multiprocessing.parent_process()) is not None:
        parent.join()
        os._exit(1)


def _rank_share(questions: Sequence[Question], mark: _Mark) -> list[list[ListEntry] | Exception]:
    worker = _workers[0]
    if worker.view is None or _Mark.of(worker.view) != mark:
        worker.view = View(
            worker.engine.profiles.load_saved(),
            worker.engine.demands.load_saved(),
            worker.engine.weights.get(mark.weights),
        )
        if _Mark.of(worker.view) != mark:
            raise _Stale(f"found {_Mark.of(worker.view)}, expected {mark}")
    return worker.runner.run(rank_many(worker.engine, questions, worker.view))
