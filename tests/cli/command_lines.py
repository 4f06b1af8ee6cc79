"""Command lines in tests: many in one process, and what a failure looks like."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

FAST = {"MATCHING_ENCODER": "none"}

# One process imports the commands once and makes a process of each command line, which saves a second apiece.
FORK = """
import json, os, sys, tempfile
from importlib import import_module
from matching_service.cli import COMMANDS, main
results = []
command_lines = json.load(sys.stdin)
for name in {arguments[0] for arguments in command_lines if arguments} & COMMANDS.keys():
    import_module("matching_service.cli." + COMMANDS[name][0].partition(":")[0])
for arguments in command_lines:
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        pid = os.fork()
        if pid == 0:
            os.dup2(out.fileno(), 1)
            os.dup2(err.fileno(), 2)
            sys.argv = ["matching-service", *arguments]
            code = 1
            try:
                main()
            except SystemExit as exit:
                code = exit.code if isinstance(exit.code, int) else int(bool(exit.code))
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(code)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        out.seek(0)
        err.seek(0)
        results.append([code, out.read().decode(), err.read().decode()])
json.dump(results, sys.stdout)
"""


def run_all(command_lines: list[list[str]], folder: Path) -> list[tuple[int, str, str]]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MATCHING_")}
    done = subprocess.run(
        [sys.executable, "-c", FORK],
        input=json.dumps(command_lines),
        env=environment | FAST | {"MATCHING_DATA_DIR": str(folder / "data"), "PYTHONUTF8": "1"},
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    return [(code, out, err) for code, out, err in json.loads(done.stdout)]


def failed_in_both_languages(done: subprocess.CompletedProcess[str]) -> bool:
    return (
        done.returncode == 1
        and re.search("[\u4e00-\u9fff]", done.stderr) is not None
        and "Error:" in done.stderr
        and "Traceback" not in done.stderr
    )
