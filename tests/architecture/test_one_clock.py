"""The service has one clock, foundation.clock, and tests read it too; read from the source with ``ast``."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import matching_service

SOURCE = Path(matching_service.__file__).parent
TESTS = Path(__file__).parent.parent
CLOCK = SOURCE / "foundation" / "clock.py"

FOREIGN = {TESTS / "examples" / "test_examples.py", TESTS / "foundation" / "test_posting.py"}
"""Tests that sign requests for programs of others, which read the clock of the machine."""

READERS = {
    "datetime": {"now", "utcnow", "today"},
    "date": {"today"},
    "time": {"time", "time_ns", "localtime", "gmtime", "ctime", "asctime", "strftime", "clock_gettime"},
    "uuid": {"uuid1", "uuid6", "uuid7"},
    "uuid_utils": {"uuid1", "uuid6", "uuid7"},
    "func": {"now", "current_timestamp", "current_date", "current_time", "localtimestamp", "sysdate"},
}
"""By the last name before the dot: the names that give the time of the machine or of the database."""
IN_SQL = re.compile(r"\bcurrent_(timestamp|date|time)\b|(?<!\.)\bnow\(\)|'now'", re.IGNORECASE)


def readings(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(value=ast.Name(id=base) | ast.Attribute(attr=base), attr=name):
                if name in READERS.get(base, ()):
                    yield f"{base}.{name}"
            case ast.ImportFrom(module=str(base)):
                yield from (f"{base}.{alias.name}" for alias in node.names if alias.name in READERS.get(base, ()))
            case ast.Constant(value=str(words)) if found := IN_SQL.search(words):
                yield found[0]


@pytest.mark.parametrize("folder", [SOURCE, TESTS], ids=["source", "tests"])
def test_only_the_clock_reads_the_time_of_the_machine(folder: Path) -> None:
    paths = set(folder.rglob("*.py")) - FOREIGN - {CLOCK, Path(__file__)}
    assert len(paths) > 50
    read = {str(path): list(readings(ast.parse(path.read_text(encoding="utf-8")))) for path in paths}
    assert {path: found for path, found in read.items() if found} == {}


def test_the_clock_reads_it_once_for_moments_and_once_for_ids() -> None:
    assert sorted(readings(ast.parse(CLOCK.read_text(encoding="utf-8")))) == ["datetime.now", "uuid_utils.uuid7"]


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("datetime.now(UTC)", ["datetime.now"]),
        ("datetime.datetime.now()", ["datetime.now"]),
        ("from time import time, monotonic", ["time.time"]),
        ("mapped_column(default=func.now())", ["func.now"]),
        ("field(default_factory=date.today)", ["date.today"]),
        ("text('UPDATE a SET at = CURRENT_TIMESTAMP')", ["CURRENT_TIMESTAMP"]),
        ("text('SELECT now()')", ["now()"]),
        ("from matching_service.foundation.clock import now\nnow()", []),
        ("clock.now(); time.monotonic(); circumstances.today; datetime.fromtimestamp(0, UTC)", []),
        ("'use foundation.clock.now()'", []),
    ],
)
def test_every_form_of_reading_is_seen(source: str, found: list[str]) -> None:
    assert list(readings(ast.parse(source))) == found
