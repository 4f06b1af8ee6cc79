"""A bounded line in front of work that keeps the processor busy: so many work, so many wait, others come back later.

Without it a rush would begin everything and finish nothing in time.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Annotated

from anyio import CancelScope
from fastapi import Depends, Request

from matching_service.api.services import services_of
from matching_service.foundation.errors import Text, Unavailable

_N_CPUS = os.cpu_count() or 1
_RETRY_AFTER_S = 2
_OVERLOADED = Text(
    "服务正忙，排队的请求已满，请稍后重试。", "The service is busy and its waiting line is full; try again later."
)


class Admission:
    """``n_running`` have their turn, up to ``n_waiting`` wait for theirs in the order in which they came."""

    def __init__(self, *, n_running: int, n_waiting: int) -> None:
        self._turns = asyncio.Semaphore(n_running)
        self._n_free = n_waiting

    @asynccontextmanager
    async def turn(self, gone: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
        """Wait for a turn, and have it while the block runs; ``gone`` returns when whoever waits has hung up.

        Raises Unavailable at once when the line is full, and in the line when whoever waits has gone.
        """
        if self._turns.locked():
            await self._wait(gone)
        else:
            await self._turns.acquire()
        try:
            yield
        finally:
            self._turns.release()

    async def _wait(self, gone: Callable[[], Awaitable[None]]) -> None:
        async def leave(line: CancelScope) -> None:
            await gone()
            line.cancel()

        if not self._n_free:
            raise _overloaded()
        self._n_free -= 1
        with CancelScope() as line:
            watching = asyncio.create_task(leave(line))
            try:
                await self._turns.acquire()
            finally:
                watching.cancel()
                self._n_free += 1
        if line.cancelled_caught:
            raise _overloaded()  # nobody reads it


class RankingLine(Admission):
    """For answers that people wait for: with a full line each has its turn after some 32 rankings."""

    def __init__(self, *, n_running: int = 2 * _N_CPUS, n_waiting: int = 32 * _N_CPUS) -> None:
        super().__init__(n_running=n_running, n_waiting=n_waiting)


class BulkLine(Admission):
    """For bulks, of which one is written while the next is read; those that wait hold up to 8 MB each."""

    def __init__(self, *, n_running: int = 2, n_waiting: int = 8) -> None:
        super().__init__(n_running=n_running, n_waiting=n_waiting)


def _overloaded() -> Unavailable:
    return Unavailable("overloaded", _OVERLOADED, retry_after_s=_RETRY_AFTER_S)


async def _hung_up(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _ranking_turn(request: Request) -> AbstractAsyncContextManager[None]:
    return services_of(request).get(RankingLine).turn(lambda: _hung_up(request))


async def _bulk_turn(request: Request) -> AbstractAsyncContextManager[None]:
    return services_of(request).get(BulkLine).turn(lambda: _hung_up(request))


RankingTurn = Annotated[AbstractAsyncContextManager[None], Depends(_ranking_turn)]
BulkTurn = Annotated[AbstractAsyncContextManager[None], Depends(_bulk_turn)]
