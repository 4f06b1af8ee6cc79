import os
import signal
import subprocess
import sys
from pathlib import Path

from matching_service.foundation.locks import FileLock

HOLD = """
import multiprocessing, sys, time
from pathlib import Path
from matching_service.foundation.locks import FileLock
lock = FileLock(Path(sys.argv[1]))
print(lock.acquire(), flush=True)
if "with a child" in sys.argv:
    child = multiprocessing.get_context("spawn").Process(target=time.sleep, args=(600,))
    child.start()
    print(child.pid, flush=True)
sys.stdin.read()
"""


def test_one_holds_it_until_it_is_given_back(tmp_path: Path) -> None:
    one, other = (FileLock(tmp_path / "not" / "yet" / "there" / "LOCK") for _ in range(2))
    assert not one.is_held
    assert one.acquire()
    assert one.acquire(), "it is ours already"
    assert one.is_held
    assert not other.acquire()
    assert not other.is_held
    one.release()
    one.release()
    assert not one.is_held
    assert other.acquire()
    other.release()


def test_it_ends_with_its_process_however_that_ends(tmp_path: Path) -> None:
    lock = FileLock(tmp_path / "LOCK")
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / "LOCK")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "True\n"
        assert not lock.acquire()
        process.kill()
    assert lock.acquire()
    lock.release()


def test_a_process_that_its_holder_started_does_not_keep_it(tmp_path: Path) -> None:
    lock = FileLock(tmp_path / "LOCK")
    command = [sys.executable, "-c", HOLD, str(tmp_path / "LOCK"), "with a child"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "True\n"
        child = int(process.stdout.readline())
        process.kill()
        process.wait()
        try:
            assert lock.acquire()
        finally:
            os.kill(child, signal.SIGKILL)
    lock.release()
