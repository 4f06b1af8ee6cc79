"""``import``, ``export`` and ``load-societies``: records in and out."""

from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from matching_service.access.policies import COMMAND_LINE
from matching_service.cli.opening import open_database, run
from matching_service.cli.output import AsJson, fail, print_json, print_rows, progress, stderr, stdout
from matching_service.demands.states import DemandStatus
from matching_service.files.exports import export_file
from matching_service.files.headings import FORMS
from matching_service.files.imports import ImportReport, StrictImportRefused, import_file
from matching_service.profiles.schemas import KIND_NAMES
from matching_service.profiles.service import upsert_profiles
from matching_service.profiles.societies import builtin_societies
from matching_service.programme.schemas import KIND_NAMES as RECORD_KINDS

_MAX_BAD_ROWS_SHOWN = 100


class Imported(StrEnum):
    DEMANDS = "demands"
    PROFILES = "profiles"
    ORGANIZATIONS = "organizations"
    PROGRAMME = "programme"


class Exported(StrEnum):
    DEMANDS = "demands"
    PROFILES = "profiles"
    ORGANIZATIONS = "organizations"
    PROGRAMME = "programme"
    MATCHES = "matches"
    LABELS = "labels"


def import_(
    what: Annotated[Imported, typer.Argument(help="导入什么。What to import.")],
    file: Annotated[Path, typer.Argument(help=".jsonl、.csv 或 .xlsx，UTF-8 或 GB18030。")],
    source: Annotated[str | None, typer.Option(help="未写来源的行用此来源。Source of rows that name none.")] = None,
    kind: Annotated[str | None, typer.Option(help="未写类别的行用此类别。Kind of rows that name none.")] = None,
    status: Annotated[
        DemandStatus | None, typer.Option(help="未写状态的需求用此状态。State of demands that name none.")
    ] = None,
    strict: Annotated[bool, typer.Option(help="有坏行则一行也不存。Store nothing when any row is bad.")] = False,
    as_json: AsJson = False,
) -> None:
    fields = {"source": source, "kind": kind, "status": status}
    defaults = {name: value for name, value in fields.items() if value is not None}
    kinds: Iterable[str] = RECORD_KINDS if what is Imported.PROGRAMME else KIND_NAMES
    if kind is not None and kind not in kinds:
        raise typer.BadParameter(f"--kind: {', '.join(kinds)}")
    if wrong := defaults.keys() - FORMS[what].columns:
        raise typer.BadParameter(f"{what} 没有这些列 has no column {', '.join(sorted(wrong))}")

    async def work() -> ImportReport:
        async with open_database() as database:
            with progress(f"import {what}", total=None) as advance:
                return await import_file(
                    database, what.value, file, COMMAND_LINE, defaults=defaults, strict=strict, on_progress=advance
                )

    try:
        report = run(work())
    except StrictImportRefused as refused:
        _print_bad_rows(refused.report)
        fail("有坏行，按 --strict 未保存任何行。", "There are bad rows; because of --strict nothing was stored.")
    _print_bad_rows(report)
    counts = (report.created, report.updated, report.unchanged, len(report.bad_rows))
    columns = ("created", "updated", "unchanged", "bad")
    if as_json:
        print_json(dict(zip(columns, counts, strict=True)))
    else:
        print_rows(columns, [counts])
    if report.bad_rows:
        raise typer.Exit(1)


def export(
    what: Annotated[Exported, typer.Argument(help="导出什么。What to export.")],
    file: Annotated[Path, typer.Argument(help="目标文件：.jsonl、.csv 或 .xlsx；labels 为 .tsv 或 .csv。")],
) -> None:
    async def work() -> int:
        async with open_database(created=False) as database:
            with progress(f"export {what}", total=None) as advance:
                return await export_file(database, what.value, file, on_progress=advance)

    stdout().print(f"{run(work())} {what} -> {file}")


def load_societies(as_json: AsJson = False) -> None:
    async def work() -> None:
        async with open_database() as database, database.transaction() as session:
            stored = await upsert_profiles(session, list(builtin_societies()), COMMAND_LINE)
        statuses = [result.status for result in stored]
        counts = [statuses.count(status) for status in ("created", "updated", "unchanged")]
        print_rows(("created", "updated", "unchanged"), [counts], as_json=as_json)

    run(work())


def _print_bad_rows(report: ImportReport) -> None:
    err = stderr()
    for bad in report.bad_rows[:_MAX_BAD_ROWS_SHOWN]:
        for error in bad.errors:
            column = error.pointer.removeprefix("/") or "-"
            err.print(
                escape(f"第 {bad.line} 行 line {bad.line}, 列 column {column}: {error.message.zh} {error.message.en}")
            )
    if (more := len(report.bad_rows) - _MAX_BAD_ROWS_SHOWN) > 0:
        err.print(f"……另有 {more} 行。and {more} more rows.")
