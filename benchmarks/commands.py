"""How much processor time does a light command take, beside a Python that does nothing?

Each command is a process of its own, in turn with the others; the database is there and up to date.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.city import City
from benchmarks.measure import Row

N_RUNS = 5
AT_MOST_S = {
    ("--help",): 0.5,
    ("--version",): 0.5,
    ("keys", "list"): 1.5,
    ("migrate",): 1.5,
    ("weights", "list"): 1.5,
}
"""The commands, and what each may take."""


def run() -> list[Row]:
    """One row a command; its peer is ``python -c pass``."""
    command_lines = {command: ["-m", "matching_service", *command] for command in AT_MOST_S}
    with tempfile.TemporaryDirectory() as folder:
        fresh = City(Path(folder))
        fresh.cli("migrate")
        turns = [
            [_processor_seconds(arguments, fresh) for arguments in (["-c", "pass"], *command_lines.values())]
            for _ in range(1 + N_RUNS)
        ][1:]  # the first one reads the files from the disk
    nothing, *middles = np.median(turns, axis=0).tolist()
    return [
        Row(
            question=f"processor time of `{' '.join(command)}`",
            size=f"{N_RUNS} runs",
            unit="s",
            ours_p50=middle,
            peer="python -c pass",
            peer_p50=nothing,
            target=f"under {at_most:g} s",
            reached=middle < at_most,
        )
        for (command, at_most), middle in zip(AT_MOST_S.items(), middles, strict=True)
    ]


def _processor_seconds(arguments: list[str], city: City) -> float:
    """Of a Python with these arguments; raises CalledProcessError when it fails."""
    process = subprocess.Popen([sys.executable, *arguments], env=city.environment, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    if code := os.waitstatus_to_exitcode(status):
        raise subprocess.CalledProcessError(code, arguments)
    process.returncode = code  # so that subprocess does not wait for it once more
    return used.ru_utime + used.ru_stime
