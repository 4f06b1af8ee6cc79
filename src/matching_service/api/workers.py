"""The worker processes of one ``serve --workers N``. Each tells the others when it is ready.

A ready worker holds a lock on a file in the folder of its server. The kernel releases it when the process ends, so a
worker that was killed no longer counts.
"""

import asyncio
import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from matching_service.foundation.clock import new_id
from matching_service.foundation.locks import FileLock, is_locked

logger = logging.getLogger(__name__)
_SERVER = "MATCHING_SERVER"
"""Environment variable from ``serve`` to its workers: their number, and the folder. Operators do not set it."""
_PARENT = "SERVER"
_SUFFIX = ".ready"
_RETRY_S = 0.2


class Workers:
    """The workers of the server that this process belongs to. A process without siblings has no folder."""

    def __init__(self, n: int = 1, folder: Path | None = None) -> None:
        self.n = n
        self._folder = folder
        self._lock: FileLock | None = None
        self._is_ready = False

    @classmethod
    def of_this_server(cls) -> "Workers":
        n, _, folder = os.environ.get(_SERVER, "").partition(":")
        return cls(int(n), Path(folder)) if folder else cls()

    async def announce(self) -> None:
        """Tell the others that this worker is ready, until it ends."""
        if self._folder is not None:
            self._lock = FileLock(self._folder / f"{new_id()}{_SUFFIX}")
            while True:
                try:
                    if self._lock.acquire():  # False while another worker looks at the new file
                        break
                except OSError:
                    logger.exception("worker_not_announced")
                await asyncio.sleep(_RETRY_S)
        self._is_ready = True

    def n_ready(self) -> int:
        if self._folder is None:
            return int(self._is_ready)
        return sum(is_locked(path) for path in self._folder.glob(f"*{_SUFFIX}"))


@contextmanager
def folder_of_workers(data_dir: Path, n: int) -> Iterator[None]:
    """Make a folder for the workers that the block starts, and name it in their environment."""
    servers = data_dir / "servers"
    for other in servers.glob("*"):  # left by servers that were killed
        lock = FileLock(other / _PARENT)
        if lock.acquire():
            shutil.rmtree(other, ignore_errors=True)
            lock.release()
    folder = servers.absolute() / new_id()
    lock = FileLock(folder / _PARENT)
    lock.acquire()
    os.environ[_SERVER] = f"{n}:{folder}"
    try:
        yield
    finally:
        os.environ.pop(_SERVER, None)
        shutil.rmtree(folder, ignore_errors=True)
        lock.release()
