"""``python -m benchmarks [name ...] [--quick]``, or ``make bench``: our numbers beside the targets.

Each benchmark is a module with ``run``, which returns rows. They go to ``results/full/NAME.json`` (``results/quick``
with --quick), and all that lie there into one table, ``results.md``. One that fails is reported and stops no other; the
exit status is 1 then. A missed target is a figure, not a failure.
"""

import argparse
import sys
import traceback
from importlib import import_module
from importlib.util import find_spec
from inspect import signature
from pathlib import Path
from time import perf_counter

from benchmarks import report
from benchmarks.measure import RESULTS, Row

NAMES = (
    "lexical_query",
    "whole_match",
    "http_match",
    "batch",
    "night_run",
    "start",
    "commands",
    "segmentation",
    "memory",
    "bulk_upsert",
    "imports",
    "growth",
)


def main() -> int:
    """The exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Our speed beside that of others.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"some of: {', '.join(NAMES)}")
    parser.add_argument("--quick", action="store_true", help="smaller sizes, in a few minutes")
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - set(NAMES):
        parser.error(f"no such benchmark: {', '.join(sorted(unknown))}")
    folder = RESULTS / ("quick" if arguments.quick else "full")
    chosen = arguments.names or [name for name in NAMES if find_spec(f"benchmarks.{name}")]
    failed = [name for name in chosen if not measure(name, folder, quick=arguments.quick)]
    table = report.table(folder, NAMES)
    (folder / "results.md").write_text(f"{table}\n", encoding="utf-8")
    print(f"{table}\n\n{folder / 'results.md'}")
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def measure(name: str, folder: Path, *, quick: bool) -> bool:
    """Run one benchmark and write what came of it; False when it failed."""
    print(f"{name} ...", file=sys.stderr, flush=True)
    started = perf_counter()
    outcome: list[Row] | Exception
    try:
        run = import_module(f"benchmarks.{name}").run
        found = run(quick=quick) if "quick" in signature(run).parameters else run()
        outcome = [row if isinstance(row, Row) else Row.of(row) for row in found]
    except Exception as error:  # noqa: BLE001  # reported with its traceback, in the table, and by the exit status
        traceback.print_exc()
        outcome = error
    seconds = perf_counter() - started
    report.write(folder, name, outcome, seconds)
    print(f"{name}: {seconds:.0f} s", file=sys.stderr, flush=True)
    return not isinstance(outcome, Exception)


if __name__ == "__main__":
    sys.exit(main())
