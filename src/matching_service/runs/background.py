"""Runs that the server completes in the background."""

import asyncio
import logging

from matching_service.matching.engine import Engine
from matching_service.runs import service

logger = logging.getLogger(__name__)


class BackgroundRuns:
    """Holds the tasks of runs started over HTTP until they end or the server stops."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self, run_id: str, *, patience_s: float) -> None:
        """Start working on a run in the background.

        A coroutine, because Starlette would call a plain function in a thread, outside the event loop.
        """
        task = asyncio.create_task(self._complete(run_id, patience_s=patience_s))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Stop all runs. Each can be resumed later."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _complete(self, run_id: str, *, patience_s: float) -> None:
        try:
            await service.complete_run(self._engine, run_id, patience_s=patience_s)
        except Exception:
            logger.exception("match_run_not_completed", extra={"run_id": run_id})
