"""Admission control for CPU-bound requests: a limited number run, a limited number wait, the rest are refused with 503.

Without it a burst of requests would start all of them and finish none in time.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Annotated

from anyio import CancelScope
from fastapi import Depends, Request

from matching_service.api.services import services_of
from matching_service.foundation.errors import Bilingual, Unavailable

_N_CPUS = os.cpu_count() or 1
_RETRY_AFTER_S = 2
_OVERLOADED = Bilingual(
    "服务正忙，排队的请求已满；请稍后重试。", "The service is busy and its queue is full; try again later."
)


class Admission:
    """Lets ``n_running`` requests run at a time. Up to ``n_waiting`` more wait, first come first served."""

    def __init__(self, *, n_running: int, n_waiting: int) -> None:
        self._turns = asyncio.Semaphore(n_running)
        self._n_free = n_waiting

    @asynccontextmanager
    async def turn(self, disconnected: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
        """Wait for a turn and hold it while the block runs. ``disconnected`` returns when the client has hung up.

        Raises Unavailable at once if the queue is full, and while waiting if the client has hung up.
        """
        if self._turns.locked():
            await self._wait(disconnected)
        else:
            await self._turns.acquire()
        try:
            yield
        finally:
            self._turns.release()

    async def _wait(self, disconnected: Callable[[], Awaitable[None]]) -> None:
        async def cancel_when_disconnected(waiting: CancelScope) -> None:
            await disconnected()
            waiting.cancel()

        if not self._n_free:
            raise _overloaded()
        self._n_free -= 1
        with CancelScope() as waiting:
            watching = asyncio.create_task(cancel_when_disconnected(waiting))
            try:
                await self._turns.acquire()
            finally:
                watching.cancel()
                self._n_free += 1
        if waiting.cancelled_caught:
            raise _overloaded()  # the client is gone and will not read it


class RankingQueue(Admission):
    """Queue for rankings, which people wait for. In a full queue each core still ranks about 32 requests."""

    def __init__(self, *, n_running: int = 2 * _N_CPUS, n_waiting: int = 32 * _N_CPUS) -> None:
        super().__init__(n_running=n_running, n_waiting=n_waiting)


class BulkQueue(Admission):
    """Queue for bulk requests: one is written while the next is parsed. Each waiting body takes up to 8 MB."""

    def __init__(self, *, n_running: int = 2, n_waiting: int = 8) -> None:
        super().__init__(n_running=n_running, n_waiting=n_waiting)


class ImportQueue(Admission):
    """Queue for previews of files: one is read at a time, on one core, and may take a minute."""

    def __init__(self, *, n_running: int = 1, n_waiting: int = 8) -> None:
        super().__init__(n_running=n_running, n_waiting=n_waiting)


def _overloaded() -> Unavailable:
    return Unavailable("overloaded", _OVERLOADED, retry_after_s=_RETRY_AFTER_S)


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _ranking_turn(request: Request) -> AbstractAsyncContextManager[None]:
    return services_of(request).get(RankingQueue).turn(lambda: _disconnected(request))


async def _bulk_turn(request: Request) -> AbstractAsyncContextManager[None]:
    return services_of(request).get(BulkQueue).turn(lambda: _disconnected(request))


async def _import_turn(request: Request) -> AbstractAsyncContextManager[None]:
    return services_of(request).get(ImportQueue).turn(lambda: _disconnected(request))


RankingTurn = Annotated[AbstractAsyncContextManager[None], Depends(_ranking_turn)]
BulkTurn = Annotated[AbstractAsyncContextManager[None], Depends(_bulk_turn)]
ImportTurn = Annotated[AbstractAsyncContextManager[None], Depends(_import_turn)]
