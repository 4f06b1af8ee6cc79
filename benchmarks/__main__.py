"""``make bench``: every benchmark, as JSON and as a table, with the machine it ran on."""

import json
import os
import platform
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import lexical_query

RESULTS = Path(__file__).parent / "results"


def main() -> None:
    rows = [row for module in (lexical_query,) for row in module.run()]
    machine = {"cpus": os.cpu_count(), "python": platform.python_version(), "machine": platform.machine()}
    RESULTS.mkdir(exist_ok=True)
    report = {"at": datetime.now(UTC).isoformat(), "machine": machine, "rows": rows}
    (RESULTS / "results.json").write_text(json.dumps(report, indent=1), encoding="utf-8")
    columns = list(rows[0])
    table = [columns, ["---"] * len(columns), *([str(row[column]) for column in columns] for row in rows)]
    text = "\n".join("| " + " | ".join(line) + " |" for line in table)
    (RESULTS / "results.md").write_text(text + "\n", encoding="utf-8")
    print(text)
    print(f"\n{RESULTS / 'results.json'}")


main()
