"""One benchmark that fails is reported and stops no other."""

import json
import sys
from types import ModuleType

import numpy as np
import pytest

from benchmarks import __main__ as harness
from benchmarks.measure import Memory, Row, p99, take_turns


def benchmark(name, run):
    module = ModuleType(f"benchmarks.{name}")
    module.run = run  # type: ignore[attr-defined]
    return module


def fail():
    raise RuntimeError("no such luck")


@pytest.fixture
def benches(monkeypatch, tmp_path):
    """Two benchmarks, of which the first fails, and where results go."""
    row = {"question": "how fast", "size": "3", "unit": "ms", "ours_p50": 1.2345, "per_bulk": 7}
    modules = (benchmark("bad", fail), benchmark("good", lambda *, quick: [row | {"notes": f"quick {quick}"}]))
    for module in modules:
        monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(harness, "NAMES", ("bad", "good"))
    monkeypatch.setattr(harness, "RESULTS", tmp_path)
    return tmp_path


def test_a_failure_is_reported_and_stops_no_other(benches, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["benchmarks", "bad", "good", "--quick"])
    assert harness.main() == 1
    table = capsys.readouterr().out
    assert "RuntimeError: no such luck" in table
    assert "| how fast | 3 | 1.23 ms |" in table
    assert "quick True; per_bulk 7" in table
    assert (benches / "quick" / "results.md").read_text(encoding="utf-8").splitlines()[0] in table
    assert json.loads((benches / "quick" / "good.json").read_text(encoding="utf-8"))["machine"]["cores"]


def test_the_table_keeps_earlier_results(benches, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["benchmarks", "bad"])
    assert harness.main() == 1
    monkeypatch.setattr(sys, "argv", ["benchmarks", "good"])
    assert harness.main() == 0
    table = capsys.readouterr().out
    assert "no such luck" in table
    assert "how fast" in table


def test_rivals_take_turns_and_each_second_time_in_reverse():
    seen = []
    took = take_turns(
        (lambda item: seen.append(("a", item)), lambda item: seen.append(("b", item))), [1, 2], warm_up=[0]
    )
    assert seen == [("a", 0), ("b", 0), ("a", 1), ("b", 1), ("b", 2), ("a", 2)]
    assert took.shape == (2, 2)


def test_there_is_no_p99_of_a_few():
    assert p99(np.arange(99.0)) is None
    assert p99(np.arange(100.0)) == pytest.approx(98.01)


def test_a_row_of_a_mapping_tells_all():
    row = Row.of({"question": "q", "ours_p50": 2.0, "clients": 8})
    assert (row.question, row.ours_p50, row.notes) == ("q", 2.0, "clients 8")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc is Linux'")
def test_memory_is_that_of_the_process():
    memory = Memory.of()
    assert 0 < memory.uss <= memory.pss <= memory.rss
