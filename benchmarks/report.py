"""Results as JSON and as one Markdown table, with the machine they were measured on."""

import json
import os
import platform
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from benchmarks.corpus import PAPERS
from benchmarks.measure import Row

_PACKAGES = (
    "numpy", "scipy", "numba", "scikit-learn", "bm25s", "tantivy", "sparse-dot-topn", "jieba", "rjieba", "fastapi",
    "uvicorn", "sqlalchemy",
)  # fmt: skip
_COLUMNS = ("question", "size", "ours p50", "ours p99", "against", "its p50", "ratio", "target", "reached", "notes")


def machine() -> dict[str, str]:
    """What the figures depend on besides the code."""
    versions = {name: found for name in _PACKAGES if (found := _version(name))}
    return {
        "cpu": _first("/proc/cpuinfo", "model name") or platform.processor(),
        "cores": str(os.cpu_count()),
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB",
        "system": platform.platform(),
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        **versions,
        "corpus": "abstracts of ../shared/data" if PAPERS.exists() else "the sample city (../shared/data is absent)",
    }


def write(folder: Path, name: str, outcome: Sequence[Row] | Exception, seconds: float) -> None:
    """The outcome of one benchmark as ``folder/name.json``."""
    report: dict[str, Any] = {"at": datetime.now(UTC).isoformat(timespec="seconds"), "seconds": round(seconds)}
    if isinstance(outcome, Exception):
        report["failed"] = f"{type(outcome).__name__}: {outcome}"
        report["rows"] = []
    else:
        report["rows"] = [asdict(row) for row in outcome]
    report["machine"] = machine()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps(report, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def table(folder: Path, names: Sequence[str]) -> str:
    """All outcomes of the folder in this order, also those of earlier runs, as Markdown."""
    lines = [_line(_COLUMNS), _line(["---"] * len(_COLUMNS))]
    sources, machines = [], []
    for name in names:
        if not (path := folder / f"{name}.json").exists():
            continue
        report = json.loads(path.read_text(encoding="utf-8"))
        lines += [_line(_cells(Row(**row))) for row in report["rows"]]
        if "failed" in report:
            lines.append(_line([name, "", "", "", "", "", "", "", "**failed**", report["failed"]]))
        sources.append(f"{name}: {report['at']}, {report['seconds']} s")
        if report["machine"] not in machines:
            machines.append(report["machine"])
    facts = ["; ".join(f"{key} {value}" for key, value in found.items()) for found in machines]
    return "\n\n".join(["\n".join(lines), *(f"Machine: {fact}." for fact in facts), f"Measured: {'; '.join(sources)}."])


def _cells(row: Row) -> list[str]:
    return [
        row.question,
        row.size,
        _number(row.ours_p50, row.unit),
        _number(row.ours_p99, row.unit),
        row.peer,
        _number(row.peer_p50, row.unit),
        _number(row.ratio),
        row.target,
        {True: "yes", False: "**no**", None: ""}[row.reached],
        row.notes,
    ]


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "/").replace("\n", " ") for cell in cells) + " |"


def _number(value: float | None, unit: str = "") -> str:
    return "" if value is None else f"{_rounded(value)} {unit}".strip()


def _rounded(value: float) -> str:
    """Three digits that count."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _first(path: str, key: str) -> str:
    text = Path(path).read_text(encoding="utf-8") if Path(path).exists() else ""
    values: Mapping[str, str] = {
        k.strip(): v.strip() for k, _, v in (line.partition(":") for line in text.splitlines())
    }
    return values.get(key, "")


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""
