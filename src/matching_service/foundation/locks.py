"""A lock between the processes of one machine, based on flock(2). The kernel releases it when the process ends.

A forked child would inherit the lock and keep it. The service therefore spawns its processes: files that Python opens
are not inherited across exec.
"""

import fcntl
from pathlib import Path
from typing import IO


class FileLock:
    """An exclusive lock on a file. It never blocks."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: IO[bytes] | None = None

    @property
    def is_held(self) -> bool:
        """True if this object holds the lock."""
        return self._file is not None

    def acquire(self) -> bool:
        """Try to take the lock. Return True if this object holds it now, False if another process does."""
        if self._file is not None:
            return True
        self._path.parent.mkdir(parents=True, exist_ok=True)
        file = self._path.open("wb")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            return False
        self._file = file
        return True

    def release(self) -> None:
        """Release the lock. Does nothing if this object does not hold it."""
        if self._file is not None:
            self._file.close()
            self._file = None


def is_locked(path: Path) -> bool:
    """Whether a process holds the lock on this file. Several processes may ask at once."""
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False
