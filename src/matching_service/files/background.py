"""Imports that the server stores or undoes in the background."""

import asyncio
import logging
import math
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from matching_service.access.policies import Principal
from matching_service.files.imports import LOCK
from matching_service.files.service import store_confirmed
from matching_service.files.undo import undo_import
from matching_service.foundation.errors import MatchingError
from matching_service.store.database import Database
from matching_service.store.ownership import owning

logger = logging.getLogger(__name__)


class BackgroundImports:
    """Holds the tasks of imports until they end or the server stops. They work one after the other."""

    def __init__(self, database: Database, folder: Path) -> None:
        self.folder = folder
        self._database = database
        self._tasks: dict[asyncio.Task[None], str] = {}

    @property
    def at_work(self) -> frozenset[str]:
        """The imports that this process works on, or will."""
        return frozenset(self._tasks.values())

    async def store(self, import_id: str, actor: Principal) -> None:
        """Begin to store a confirmed import.

        A coroutine, because Starlette would call a plain function in a thread, outside the event loop.
        """

        async def work() -> None:
            async with owning(self._database, LOCK, patience_s=math.inf):
                await store_confirmed(self._database, self.folder, import_id, actor)

        self._begin(import_id, work)

    async def undo(self, import_id: str, actor: Principal) -> None:
        """Begin to undo an import."""

        async def work() -> None:
            await undo_import(self._database, import_id, actor)

        self._begin(import_id, work)

    async def close(self) -> None:
        """Stop all imports. Each can be confirmed, or undone, again."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _begin(self, import_id: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        if import_id in self.at_work:
            return
        task = asyncio.create_task(self._logged(import_id, work))
        self._tasks[task] = import_id
        task.add_done_callback(self._tasks.pop)

    async def _logged(self, import_id: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        try:
            await work()
        except MatchingError as error:  # the import says so itself
            logger.warning("import_failed", extra={"import_id": import_id, "code": error.code})
        except Exception:
            logger.exception("import_failed", extra={"import_id": import_id})
