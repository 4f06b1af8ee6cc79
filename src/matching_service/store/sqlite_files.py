"""SQLite databases as files: copy one that is in use, and put one in the place of another."""

import fcntl
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from matching_service.foundation.errors import Bilingual, Conflict, InvalidInput

_SHARED_LOCK = (510, 0x40000002)
"""Length and start of the bytes on which SQLite's readers hold their locks: https://www.sqlite.org/src/file/src/os.h"""
_BESIDE = ("-wal", "-shm", "-journal")


def connect(path: Path) -> sqlite3.Connection:
    """Open an existing database file. Nothing waits for locks, and transactions are explicit."""
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, timeout=0, isolation_level=None)


def copy_database(source: Path, target: Path) -> None:
    """Copy a database that may be in use to a new file.

    The copy holds the committed transactions and no part of another one. Raises InvalidInput if it is damaged.
    """
    with closing(connect(source)) as used, closing(sqlite3.connect(target, isolation_level=None)) as made:
        try:
            used.backup(made)
            made.execute("PRAGMA journal_mode = DELETE")  # a single file, without a -wal beside it
        except sqlite3.DatabaseError as error:
            raise _damaged(source, error) from error
    check_file(target)


def check_file(path: Path) -> None:
    """Raise InvalidInput if the file is not a database or is damaged."""
    with closing(connect(path)) as connection:
        try:
            _check(connection)
        except sqlite3.DatabaseError as error:
            raise _damaged(path, error) from error


@contextmanager
def taken_alone(path: Path, *, kept: Path) -> Iterator[sqlite3.Connection]:
    """Open a database whose content will be replaced, and keep all other processes out until the block ends.

    The present content, with the transactions in its ``-wal``, is kept in the new file ``kept``. A damaged file
    is moved there. Raises Conflict if another process has the database open.
    """
    connection = _open_alone(path)
    if connection is None:
        for suffix in ("", *_BESIDE):
            if (present := path.with_name(path.name + suffix)).exists():
                present.rename(kept.with_name(kept.name + suffix))
        connection = _open_alone(path)
    elif connection.execute("SELECT count(*) FROM sqlite_master").fetchone() != (0,):
        with closing(sqlite3.connect(kept)) as made:
            connection.backup(made)
    assert connection is not None  # noqa: S101  # an empty file is a database
    with closing(connection):
        yield connection


def _open_alone(path: Path) -> sqlite3.Connection | None:
    """Open a database with an exclusive lock, without a ``-wal``. None if it is damaged."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    connection = connect(path)
    try:
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        # Writes the -wal of a killed process into the database and removes it, so that nothing comes back later.
        # Possible only if no other connection is open, in this process or another.
        connection.execute("PRAGMA journal_mode = DELETE").fetchone()
        connection.execute("BEGIN EXCLUSIVE")
        connection.execute("COMMIT")  # in this locking mode the lock stays
        _check(connection)
        path.with_name(f"{path.name}-shm").unlink(missing_ok=True)  # the killed process left it
    except sqlite3.DatabaseError as error:
        connection.close()
        if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_BUSY or _is_held(path):
            raise Conflict("database_in_use", _in_use(path)) from error
        return None
    return connection


def _check(connection: sqlite3.Connection) -> None:
    """Raise DatabaseError if SQLite finds damage."""
    (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if found != "ok":
        raise sqlite3.DatabaseError(found)


def _is_held(path: Path) -> bool:
    """Whether another process has the file open as a database, also one that is damaged by now."""
    with path.open("rb+") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, *_SHARED_LOCK)
        except BlockingIOError:
            return True
    return False


def _damaged(path: Path, error: sqlite3.DatabaseError) -> InvalidInput:
    return InvalidInput(
        "database_damaged",
        Bilingual(
            f"数据库文件 {path} 无法读取或已损坏（{error}）；请用备份恢复。",
            f"The database file {path} cannot be read or is damaged ({error}); restore a backup.",
        ),
    )


def _in_use(path: Path) -> Bilingual:
    return Bilingual(
        f"数据库 {path} 正被其他进程使用。请先停止服务和正在运行的命令（systemctl stop 'matching-*'），再恢复。",
        f"Another process has the database {path} open. Stop the service and all commands that run "
        "(systemctl stop 'matching-*'), then restore.",
    )
