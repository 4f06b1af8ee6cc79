"""Imports over HTTP: an upload is previewed, its reading corrected, and then stored in the background."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from anyio import to_thread
from pydantic import ValidationError
from sqlalchemy import delete, update
from sqlalchemy.ext.asyncio import AsyncSession

from matching_service.access.policies import Principal
from matching_service.api.problems import count_of_errors, field_errors
from matching_service.audit.service import record_audit
from matching_service.files.findings import Finding
from matching_service.files.headings import FORMS
from matching_service.files.imports import LOCK, ImportReport, complete_import, examine_file
from matching_service.files.queries import get_import, undone_counts
from matching_service.files.records import Layout
from matching_service.files.rejects import write_rejects
from matching_service.files.schemas import (
    Import,
    ImportColumn,
    ImportCounts,
    ImportFailure,
    ImportFinding,
    ImportOptions,
    ImportRows,
    ImportSheet,
    ImportSummary,
    UndoneCounts,
)
from matching_service.files.uploads import Upload, remove
from matching_service.foundation.clock import now
from matching_service.foundation.errors import Bilingual, Conflict, FieldError, Gone, InvalidInput, Language, NotFound
from matching_service.profiles.schemas import KIND_NAMES
from matching_service.programme.schemas import KIND_NAMES as RECORD_KINDS
from matching_service.store.database import Database
from matching_service.store.imports import ImportRow, ImportState
from matching_service.store.ownership import is_owned

_CORRECTABLE = {"no_headings", "repeated_column"}
"""A file that cannot be read for such a reason is kept: its owner says where the headings are, or what they mean."""
_FRESH = timedelta(seconds=2)
"""The time that a process may take to begin its work after it was asked."""
_DEFAULTS = ("source", "kind", "status")
_KINDS: Mapping[str, Sequence[str]] = {"profiles": tuple(KIND_NAMES), "programme": tuple(RECORD_KINDS)}


def read_options(what: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options as they are kept. Raises InvalidInput, which names every wrong one."""
    try:
        options = ImportOptions.model_validate(given).model_dump(mode="json", exclude_none=True)
    except ValidationError as error:
        errors = field_errors(error.errors(include_url=False))
        raise InvalidInput("invalid_body", count_of_errors(len(errors)), errors=errors) from error
    errors = [
        FieldError("no_such_column", Bilingual(f"{what} 没有这一列。", f"{what} has no such column."), f"/{name}")
        for name in _DEFAULTS
        if name in options and name not in FORMS[what].columns
    ]
    kinds = _KINDS.get(what, ())
    if kinds and options.get("kind", kinds[0]) not in kinds:
        message = Bilingual(f"应为 {'、'.join(kinds)}。", f"Must be one of {', '.join(kinds)}.")
        errors.append(FieldError("enum", message, "/kind"))
    if errors:
        raise InvalidInput("invalid_body", count_of_errors(len(errors)), errors=errors)
    return options


async def preview_import(
    database: Database, import_id: str, what: str, upload: Upload, *, options: dict[str, Any], actor: Principal
) -> ImportRow:
    """Read an uploaded file and keep it. Raises InvalidInput for a file that is none of those that can be read."""
    values = await _examined(database, what, upload.path, options, actor)
    row = ImportRow(
        id=import_id, what=what, state=ImportState.PREVIEW, file_name=upload.path.name,
        file_path=f"{import_id}/{upload.path.name}", actor_id=actor.id, created_at=now(), **values,
    )  # fmt: skip
    async with database.transaction() as session:
        session.add(row)
        await session.flush()
        record_audit(session, actor, "upload", entity="import", entity_id=row.id, detail={"what": what})
    return row


async def change_preview(
    database: Database, folder: Path, import_id: str, changes: Mapping[str, Any], actor: Principal
) -> None:
    """Read the file of a preview again, in another way. Raises NotFound, Conflict, Gone, InvalidInput."""
    async with database.reading() as session:
        row = await get_import(session, import_id)
    _check_preview(row)
    options = read_options(row.what, {**row.options, **changes})
    values = await _examined(database, row.what, path_of(folder, row), options, actor)
    async with database.transaction() as session:
        _check_preview(await get_import(session, import_id, for_update=True))
        await session.execute(update(ImportRow).where(ImportRow.id == import_id).values(values))
        detail = {"options": sorted(changes)}
        record_audit(session, actor, "update", entity="import", entity_id=import_id, detail=detail)


async def confirm_import(session: AsyncSession, row: ImportRow, *, is_interrupted: bool, actor: Principal) -> bool:
    """Let the import begin, or go on. Returns False if it is at work already. ``row``: locked by the caller.

    Raises Conflict if it has ended, or has no good row.
    """
    if row.state == ImportState.RUNNING and not is_interrupted:
        return False
    if row.state not in {ImportState.PREVIEW, ImportState.FAILED, ImportState.RUNNING}:
        raise Conflict("import_ended", _ENDED)
    if row.file_path is None:
        raise Gone("file_deleted", _DELETED)
    if row.state == ImportState.PREVIEW and not _n_good(row.counts):
        raise Conflict("no_good_rows", _NO_GOOD_ROWS)
    if not row.n_done:
        row.counts = {}
    row.state, row.confirmed_at, row.ended_at, row.error = ImportState.RUNNING, now(), None, None
    record_audit(session, actor, "import", entity="import", entity_id=row.id, detail={"what": row.what})
    return True


async def store_confirmed(database: Database, folder: Path, import_id: str, actor: Principal) -> None:
    """Store the file of a confirmed import. Requires the lock; does nothing if another process was there before."""
    async with database.reading() as session:
        row = await get_import(session, import_id)
    if row.state != ImportState.RUNNING or row.file_path is None:
        return
    path = folder / row.file_path
    defaults, layout = _reading(row.options)

    async def finish(report: ImportReport) -> None:
        await _write_rejects(row.what, path, report, layout)

    await complete_import(database, row, path, actor, defaults=defaults, layout=layout, finish=finish)


async def delete_preview(session: AsyncSession, folder: Path, import_id: str, actor: Principal) -> None:
    """Delete an import that has stored nothing, with its file. Raises NotFound, and Conflict if it has stored rows."""
    row = await get_import(session, import_id, for_update=True)
    _check_preview(row)
    await session.execute(delete(ImportRow).where(ImportRow.id == row.id))
    record_audit(session, actor, "delete", entity="import", entity_id=row.id)
    await to_thread.run_sync(remove, folder / row.id)


def path_of(folder: Path, row: ImportRow) -> Path:
    """Return the path of the uploaded file. Raises Gone if it was deleted."""
    if row.file_path is None:
        raise Gone("file_deleted", _DELETED)
    return folder / row.file_path


def rejects_of(folder: Path, row: ImportRow) -> Path:
    """Return the path of the workbook of bad rows. Raises NotFound if there are none, Gone if it was deleted."""
    path = _rejects_path(path_of(folder, row))
    if not path.is_file():
        raise NotFound("no_rejects", _NO_REJECTS)
    return path


async def is_interrupted(database: Database, row: ImportRow, *, at_work: frozenset[str]) -> bool:
    """Whether the process that worked on the import is gone. ``at_work``: what this process works on."""
    if row.state not in {ImportState.RUNNING, ImportState.UNDOING} or row.id in at_work:
        return False
    asked: datetime = (row.undone_at if row.state == ImportState.UNDOING else row.confirmed_at) or row.created_at
    return now() - asked > _FRESH and not await is_owned(database, LOCK)


async def summaries(
    database: Database, rows: Sequence[ImportRow], *, at_work: frozenset[str], language: Language
) -> list[ImportSummary]:
    async with database.reading() as session:
        undone = await undone_counts(session, [row.id for row in rows])
    return [
        ImportSummary(**_shown(row, undone.get(row.id), language, await is_interrupted(database, row, at_work=at_work)))
        for row in rows
    ]


async def describe_import(
    database: Database, folder: Path, row: ImportRow, *, at_work: frozenset[str], language: Language
) -> Import:
    async with database.reading() as session:
        undone = (await undone_counts(session, [row.id])).get(row.id)
    shown = _shown(row, undone, language, await is_interrupted(database, row, at_work=at_work))
    rejects = _rejects_path(folder / row.file_path) if row.file_path is not None else None
    return Import(
        **shown,
        options=ImportOptions(**row.options),
        sheets=[ImportSheet(**sheet) for sheet in row.told.get("sheets", ())],
        columns=[ImportColumn(**column) for column in row.told.get("columns", ())],
        findings=[_finding(finding, language) for finding in row.told.get("findings", ())],
        n_findings=row.told.get("n_findings", 0),
        has_rejects=rejects is not None and await to_thread.run_sync(rejects.is_file),
    )


async def _examined(
    database: Database, what: str, path: Path, options: dict[str, Any], actor: Principal
) -> dict[str, Any]:
    """Return the columns of a preview."""
    defaults, layout = _reading(options)
    try:
        report = await examine_file(database, what, path, actor, defaults=defaults, layout=layout)
    except InvalidInput as error:
        if error.code not in _CORRECTABLE:
            raise
        report = ImportReport(told=[Finding(error.code, error.detail)])
    await _write_rejects(what, path, report, layout)
    told = await to_thread.run_sync(report.as_json)
    n_rows = report.created + report.updated + report.unchanged + len(report.bad_rows) + report.passed_over
    return {"options": options, "counts": report.counts, "told": told, "n_rows": n_rows}


async def _write_rejects(what: str, path: Path, report: ImportReport, layout: Layout) -> None:
    target = _rejects_path(path)
    if report.bad_rows:
        await to_thread.run_sync(lambda: write_rejects(what, path, target, report, layout=layout))
    else:
        await to_thread.run_sync(remove, target)


def _rejects_path(path: Path) -> Path:
    return path.parent / "rejects" / "rejects.xlsx"


def _reading(options: Mapping[str, Any]) -> tuple[dict[str, Any], Layout]:
    """Return the values that fill what rows leave out, and the layout."""
    defaults = {name: options[name] for name in _DEFAULTS if name in options}
    return defaults, Layout(options.get("sheet"), options.get("header_row"), options.get("map") or {})


def _check_preview(row: ImportRow) -> None:
    if row.state != ImportState.PREVIEW:
        raise Conflict("import_not_preview", _CONFIRMED)


def _n_good(counts: Mapping[str, int]) -> int:
    return sum(counts.get(name, 0) for name in ("created", "updated", "unchanged"))


def _shown(
    row: ImportRow,
    undone: Mapping[str, int] | None,
    language: Language,
    interrupted: bool,  # noqa: FBT001
) -> dict[str, Any]:
    counts = row.counts
    error = row.error
    return {
        "id": row.id,
        "what": row.what,
        "state": "interrupted" if interrupted and row.state == ImportState.RUNNING else row.state,
        "file_name": row.file_name,
        "rows": ImportRows(good=_n_good(counts), bad=counts.get("bad", 0), passed_over=counts.get("passed_over", 0)),
        "counts": ImportCounts(**{name: counts.get(name, 0) for name in ImportCounts.model_fields}),
        "n_rows": row.n_rows,
        "n_done": row.n_done,
        "is_interrupted": interrupted,
        "error": ImportFailure(code=error["code"], detail=error[language]) if error is not None else None,
        "undone": UndoneCounts(**undone) if undone is not None else None,
        "actor_id": row.actor_id,
        "created_at": row.created_at,
        "confirmed_at": row.confirmed_at,
        "ended_at": row.ended_at,
        "undone_at": row.undone_at,
    }


def _finding(finding: Mapping[str, Any], language: Language) -> ImportFinding:
    shared = {name: finding[name] for name in ("sheet", "heading", "field", "value", "code", "refuses")}
    return ImportFinding(**shared, row=finding["line"], detail=finding[language])


_ENDED = Bilingual("该导入已结束；要再次导入请重新上传。", "The import has ended; upload the file again.")
_CONFIRMED = Bilingual(
    "该导入已确认，不能再更改或删除；可以撤销（undo）。", "The import was confirmed; it can be undone, not changed."
)
_NO_GOOD_ROWS = Bilingual(
    "没有可以保存的行；请按 findings 修改列名对照或文件。", "No row can be stored; correct the mapping or the file."
)
_DELETED = Bilingual("上传的文件已按期删除，请重新上传。", "The uploaded file was deleted in time; upload it again.")
_NO_REJECTS = Bilingual("没有坏行。", "There are no bad rows.")
