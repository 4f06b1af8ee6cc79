"""``import``, ``export`` and ``load-societies``: exchange records with files."""

from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from matching_service.access.policies import COMMAND_LINE
from matching_service.audit.service import record_audit
from matching_service.cli.opening import open_database, run
from matching_service.cli.output import AsJson, fail, print_json, print_line, print_rows, progress, stderr, stdout
from matching_service.demands.states import DemandStatus
from matching_service.files.exports import export_file
from matching_service.files.headings import FORMS
from matching_service.files.imports import ImportReport, StrictImportRefused, import_file, preview_file
from matching_service.files.records import Layout, read_names
from matching_service.files.rejects import write_rejects
from matching_service.foundation.clock import new_id
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
    file: Annotated[
        Path,
        typer.Argument(help=".xlsx、.xls、.et、.ods、.csv、.json、.jsonl；需求征集表还可为 .docx、.zip 或文件夹。"),
    ],
    source: Annotated[str | None, typer.Option(help="未写来源的行用此来源。Source of rows that name none.")] = None,
    kind: Annotated[str | None, typer.Option(help="未写类别的行用此类别。Kind of rows that name none.")] = None,
    status: Annotated[
        DemandStatus | None, typer.Option(help="未写状态的需求用此状态。State of demands that name none.")
    ] = None,
    strict: Annotated[
        bool, typer.Option(help="有坏行或不认识的列则一行也不存。Store nothing when a row is bad or a column unknown.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="只检查，不保存。Check only; store nothing.")] = False,
    rejects: Annotated[
        Path | None, typer.Option(help="把坏行及原因写成表格，退回修改。Write the bad rows with the reasons.")
    ] = None,
    sheet: Annotated[str | None, typer.Option(help="只读这个工作表。Read only this sheet.")] = None,
    header_row: Annotated[int | None, typer.Option(min=1, help="表头在第几行。The row of the headings.")] = None,
    names: Annotated[
        list[str] | None,
        typer.Option("--map", help="列名对照：旧=新，或对照文件（.json、.csv）。Names of columns: OLD=NEW, or a file."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    fields = {"source": source, "kind": kind, "status": status}
    defaults = {name: value for name, value in fields.items() if value is not None}
    kinds: Iterable[str] = RECORD_KINDS if what is Imported.PROGRAMME else KIND_NAMES
    if kind is not None and kind not in kinds:
        raise typer.BadParameter(f"--kind: {', '.join(kinds)}")
    if wrong := defaults.keys() - FORMS[what].columns:
        raise typer.BadParameter(f"{what} 没有这些列 has no column {', '.join(sorted(wrong))}")
    mapping: dict[str, str] = {}
    for given in names or ():
        mapping |= read_names(given)
    layout = Layout(sheet=sheet, heading_row=header_row, names=mapping)

    async def work() -> ImportReport:
        async with open_database(created=False) as database:
            with progress(f"import {what}", total=None) as advance:
                read = preview_file if dry_run else import_file
                return await read(
                    database, what.value, file, COMMAND_LINE, defaults=defaults, strict=strict, layout=layout,
                    on_progress=advance,
                )  # fmt: skip

    try:
        report = run(work())
    except StrictImportRefused as refused:
        _write_rejects(what, file, rejects, refused.report, layout)
        _print_findings(refused.report)
        fail("有坏行，按 --strict 未保存任何行。", "There are bad rows; because of --strict nothing was stored.")
    _write_rejects(what, file, rejects, report, layout)
    _print_findings(report)
    counts = {
        "created": report.created,
        "updated": report.updated,
        "unchanged": report.unchanged,
        "bad": len(report.bad_rows),
    }
    if as_json:
        print_json(counts | {"passed_over": report.passed_over, "organizations_created": report.organizations_created,
                             "findings": [finding.as_json() for finding in report.findings]})  # fmt: skip
    else:
        print_rows(list(counts), [list(counts.values())])
        print_line(_sentence(report, is_stored=not dry_run))
    if report.bad_rows:
        raise typer.Exit(1)


def export(
    what: Annotated[Exported, typer.Argument(help="导出什么。What to export.")],
    file: Annotated[Path, typer.Argument(help="目标文件：.jsonl、.csv 或 .xlsx；labels 为 .tsv 或 .csv。")],
) -> None:
    async def work() -> int:
        async with open_database(created=False) as database:
            with progress(f"export {what}", total=None) as advance:
                n_rows = await export_file(database, what.value, file, on_progress=advance)
            async with database.transaction() as session:
                detail = {"rows": n_rows}
                record_audit(session, COMMAND_LINE, "export", entity=what.value, entity_id=new_id(), detail=detail)
            return n_rows

    stdout().print(f"{run(work())} {what} -> {file}")


def load_societies(as_json: AsJson = False) -> None:
    async def work() -> None:
        async with open_database(created=False) as database, database.transaction() as session:
            stored = await upsert_profiles(session, list(builtin_societies()), COMMAND_LINE)
        statuses = [result.status for result in stored]
        counts = [statuses.count(status) for status in ("created", "updated", "unchanged")]
        print_rows(("created", "updated", "unchanged"), [counts], as_json=as_json)

    run(work())


def _write_rejects(what: Imported, source: Path, target: Path | None, report: ImportReport, layout: Layout) -> None:
    if target is not None and report.bad_rows:
        n_rows = write_rejects(what.value, source, target, report, layout=layout)
        stderr().print(escape(f"{n_rows} 行坏行已写入 {target}。The bad rows are in {target}."))


def _print_findings(report: ImportReport) -> None:
    err = stderr()
    for bad in report.bad_rows[:_MAX_BAD_ROWS_SHOWN]:
        for finding in bad.findings:
            err.print(escape(finding.sentence()))
    if (more := len(report.bad_rows) - _MAX_BAD_ROWS_SHOWN) > 0:
        err.print(f"……另有 {more} 行，见 --json 或 --rejects。and {more} more rows; see --json or --rejects.")
    for finding in report.told[:_MAX_BAD_ROWS_SHOWN]:
        err.print(escape(f"提示 note: {finding.sentence()}"))
    if (more := len(report.told) - _MAX_BAD_ROWS_SHOWN) > 0:
        err.print(f"……另有 {more} 条提示，见 --json。and {more} more notes; see --json.")


def _sentence(report: ImportReport, *, is_stored: bool) -> str:
    """Return the summary of an import, in Chinese and then in English."""
    columns = [str(finding.heading) for finding in report.told_of("column_not_read")]
    sheets = [str(finding.sheet) for finding in report.told_of("sheet_not_read")]
    n_bad, n_notes = len(report.bad_rows), report.passed_over
    zh = f"新增 {report.created} 条，更改 {report.updated} 条，未变 {report.unchanged} 条，拒收 {n_bad} 行，略过 {n_notes} 行"  # noqa: E501
    zh += f"，新建机构 {report.organizations_created} 个" if report.organizations_created else ""
    zh += f"；未读取的列：{'、'.join(columns)}" if columns else ""
    zh += f"；未读取的工作表：{'、'.join(sheets)}" if sheets else ""
    en = f"{report.created} created, {report.updated} changed, {report.unchanged} unchanged, {n_bad} refused, {n_notes} passed over"  # noqa: E501
    en += f"; columns not read: {', '.join(columns)}" if columns else ""
    en += f"; sheets not read: {', '.join(sheets)}" if sheets else ""
    return f"{zh}。{en}." if is_stored else f"试运行，未保存：{zh}。Dry run, nothing stored: {en}."
