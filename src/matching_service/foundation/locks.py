"""A lock between processes of one machine, by flock(2). It ends with its process, however that ends.

A forked child would inherit the lock and keep it. The service starts all its processes anew, and a new program inherits
no open file of Python's.
"""

import fcntl
from pathlib import Path
from typing import IO


class FileLock:
    """Held by one process at a time. Nobody waits for it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: IO[bytes] | None = None

    @property
    def is_held(self) -> bool:
        """Whether this object holds it."""
        return self._file is not None

    def acquire(self) -> bool:
        """True when it is ours now, or was already; False when another process has it."""
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
        """Give it back; nothing happens when it is not held."""
        if self._file is not None:
            self._file.close()
            self._file = None
