"""Output of the commands: tables and JSON on stdout, progress and errors on stderr."""

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Annotated, NoReturn

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

AsJson = Annotated[bool, typer.Option("--json", help="以 JSON 输出。Print JSON instead of a table.")]

_WIDTH_OF_A_PIPE = 132


def stdout() -> Console:
    """Return the console of stdout, with a fixed width if it is not a terminal."""
    return Console(highlight=False, width=None if sys.stdout.isatty() else _WIDTH_OF_A_PIPE)


def stderr() -> Console:
    """Return the console of stderr. It does not wrap lines, so that programs can parse them."""
    return Console(stderr=True, highlight=False, soft_wrap=True)


def print_rows(columns: Sequence[str], rows: Sequence[Sequence[object]], *, as_json: bool = False) -> None:
    """Print rows as a table, or as a JSON list with one object per row."""
    if as_json:
        print_json([dict(zip(columns, row, strict=True)) for row in rows])
        return
    table = Table()
    for column in columns:
        table.add_column(column)
    for row in rows:
        table.add_row(*("" if cell is None else escape(str(cell)) for cell in row))
    stdout().print(table)


def print_json(value: object) -> None:
    """Print a value as one line of JSON, so that a script logs one line per result."""
    print_line(json.dumps(value, ensure_ascii=False, default=_json_value))


def print_line(text: str) -> None:
    """Print text without markup and without wrapping."""
    print(text)  # noqa: T201


@contextmanager
def progress(what: str, *, total: int | None) -> Iterator[Callable[[int], None]]:
    """Show a progress bar if stderr is a terminal. Yields a function that advances it by n."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as bar:
        task = bar.add_task(what, total=total)
        yield lambda n: bar.advance(task, n)


def fail(zh: str, en: str) -> NoReturn:
    """Print the error in both languages and exit with code 1."""
    stderr().print(escape(f"错误：{zh}\nError: {en}"))
    sys.exit(1)


def _json_value(value: object) -> str:
    return value.isoformat().replace("+00:00", "Z") if isinstance(value, datetime) else str(value)
