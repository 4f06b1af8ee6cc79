"""A command imports what it needs and no more: what it does not import, nobody waits for."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from cli.command_lines import run_all

from matching_service import __version__
from matching_service.cli import COMMANDS

RANKING = {"numba", "llvmlite", "scipy", "sklearn", "rjieba", "jieba", "bm25s"}
SERVING = {"fastapi", "starlette", "uvicorn", "httpx"}
FILES = {"openpyxl", "lxml", "docx"}
DATABASE = {"sqlalchemy", "alembic", "aiosqlite", "asyncpg"}
ARRAYS = {"numpy"}
SETTINGS = {"pydantic_settings"}

# What a command line must not import beside RANKING, SERVING and FILES.
LIGHT = {
    "--help": DATABASE | ARRAYS | SETTINGS,
    "--version": DATABASE | ARRAYS | SETTINGS,
    "fly": DATABASE | ARRAYS | SETTINGS,
    "migrate": ARRAYS,
    "keys list": ARRAYS,
    "keys create --role admin --name n": ARRAYS,
    "weights list": DATABASE,
    "weights show": DATABASE,
}
TELLING = """
import atexit, sys
atexit.register(lambda: print("imported:", *{name.partition(".")[0] for name in sys.modules}, file=sys.stderr))
from matching_service.cli import main
main()
"""


@pytest.mark.parametrize("command_line", LIGHT)
def test_a_light_command_imports_nothing_heavy(command_line: str, tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MATCHING_")}
    done = subprocess.run(
        [sys.executable, "-c", TELLING, *command_line.split()],
        env=environment | {"MATCHING_DATA_DIR": str(tmp_path / "data"), "PYTHONUTF8": "1"},
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    if command_line.startswith("keys"):
        assert "matching-service migrate" in done.stderr  # there is no database yet, but it looked for one
    else:
        assert done.returncode == (2 if command_line == "fly" else 0), done.stderr
    _, imported = done.stderr.rsplit("imported: ", 1)
    heavy = RANKING | SERVING | FILES | LIGHT[command_line]
    assert sorted(heavy & set(imported.split())) == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_the_list_of_commands_and_each_command_show_the_same_line(tmp_path: Path) -> None:
    (_, listed, _), *shown = run_all([["--help"], *([name, "--help"] for name in COMMANDS)], tmp_path)
    for (name, (_, line)), (code, out, err) in zip(COMMANDS.items(), shown, strict=True):
        assert (name, code, err) == (name, 0, "")
        beginning = line[:10]
        assert any(name in row and beginning in row for row in listed.splitlines()), name
        assert beginning in out


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_the_version_is_told(tmp_path: Path) -> None:
    assert run_all([["--version"]], tmp_path) == [(0, f"matching-service {__version__}\n", "")]
