"""HTTP routes of imports."""

import json
from collections.abc import Mapping
from typing import Annotated, Any
from urllib.parse import quote

from anyio import to_thread
from fastapi import APIRouter, BackgroundTasks, Depends, Query, Request, Response
from fastapi.responses import FileResponse

from matching_service.access.policies import Action, Principal
from matching_service.api.admission import ImportTurn
from matching_service.api.deps import DatabaseDep, LanguageDep, PageDep, Permit, ReadSession, WriteSession
from matching_service.api.fields import Blank
from matching_service.api.idempotency import Idempotent, RememberingRoute
from matching_service.api.pages import ListAnswer
from matching_service.api.problems import problem_responses
from matching_service.api.services import provided
from matching_service.files import queries, service
from matching_service.files.background import BackgroundImports
from matching_service.files.schemas import Import, ImportedRecord, ImportOptions, ImportSummary, Undone, What
from matching_service.files.undo import REASONS, begin_undo
from matching_service.files.uploads import receive_upload, remove
from matching_service.foundation.clock import new_id
from matching_service.foundation.errors import Bilingual, Conflict, InvalidInput
from matching_service.store.demands import DemandRow
from matching_service.store.imports import ImportRow, ImportState
from matching_service.store.organizations import OrganizationRow
from matching_service.store.profiles import ProfileRow
from matching_service.store.programme import ProgrammeRecordRow

router = APIRouter(prefix="/v1", tags=["imports"], route_class=RememberingRoute)

CanImport = Annotated[Principal, Depends(Permit(Action.IMPORT))]
MayImport = Depends(Permit(Action.IMPORT))
BackgroundDep = Annotated[BackgroundImports, Depends(provided(BackgroundImports))]
_XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
_LABELS = {
    "demand": (DemandRow.id, DemandRow.title),
    "profile": (ProfileRow.id, ProfileRow.name),
    "organization": (OrganizationRow.id, OrganizationRow.name),
    "programme_record": (ProgrammeRecordRow.id, ProgrammeRecordRow.title),
}
_FORM = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "required": ["file"],
                "properties": {
                    "file": {
                        "type": "string",
                        "format": "binary",
                        "description": "xlsx, xls, et, ods, csv, json, jsonl …; up to 50 MB and 200,000 rows.",
                    },
                    "sheet": {"type": "string", "description": "Read only this sheet 工作表."},
                    "header_row": {"type": "integer", "description": "The row of the headings 表头所在行."},
                    "map": {"type": "string", "description": 'A JSON object 列名对照: `{"难题": "title"}`.'},
                    "source": {"type": "string", "description": "Source of rows that name none 来源."},
                    "kind": {"type": "string", "description": "Kind of rows that name none 类别."},
                    "status": {"type": "string", "description": "State of demands that name none 状态."},
                },
            },
            "example": {"file": "（文件内容）", "map": '{"难题": "title"}', "source": "portal"},
        }
    },
}


@router.post(
    "/imports",
    status_code=201,
    responses=problem_responses(413),
    openapi_extra={"requestBody": _FORM},
)
async def upload_file(
    request: Request,
    database: DatabaseDep,
    principal: CanImport,
    background: BackgroundDep,
    language: LanguageDep,
    turn: ImportTurn,
    response: Response,
    what: Annotated[What, Query(description="What the rows of the file are.")],
) -> Import:
    """Upload a file and see what would be stored. Nothing is stored before it is confirmed.

    A file whose headings are not found is kept as well: PATCH says where they are, or what they mean. An unconfirmed
    file is deleted after 24 hours.
    """
    import_id = new_id()
    folder = background.folder / import_id
    upload = await receive_upload(request, folder)
    try:
        options = service.read_options(what, _given(upload.fields))
        async with turn:
            row = await service.preview_import(database, import_id, what, upload, options=options, actor=principal)
    except BaseException:
        await to_thread.run_sync(remove, folder)
        raise
    response.headers["Location"] = f"/v1/imports/{row.id}"
    return await _described(database, background, row, language)


@router.get("/imports", dependencies=[MayImport])
async def list_imports(
    session: ReadSession, database: DatabaseDep, page: PageDep, background: BackgroundDep, language: LanguageDep
) -> ListAnswer[ImportSummary]:
    """List imports, newest first, also those of the command line."""
    found = await queries.list_imports(session, page)
    items = await service.summaries(database, found.items, at_work=background.at_work, language=language)
    return ListAnswer(items=items, next_cursor=found.next_cursor)


@router.get("/imports/{import_id}", dependencies=[MayImport], responses=problem_responses(404))
async def read_import(
    import_id: str, session: ReadSession, database: DatabaseDep, background: BackgroundDep, language: LanguageDep
) -> Import:
    """Read the state and progress of an import, and what was found in its file."""
    return await _described(database, background, await queries.get_import(session, import_id), language)


@router.patch("/imports/{import_id}", responses=problem_responses(404, 409, 410))
async def change_import(
    import_id: str,
    body: ImportOptions,
    database: DatabaseDep,
    principal: CanImport,
    background: BackgroundDep,
    language: LanguageDep,
    turn: ImportTurn,
) -> Import:
    """Read the file of a preview again with another sheet, row of headings, mapping or default."""
    async with turn:
        changes = body.model_dump(mode="json", exclude_unset=True)
        await service.change_preview(database, background.folder, import_id, changes, principal)
    async with database.reading() as session:
        row = await queries.get_import(session, import_id)
    return await _described(database, background, row, language)


@router.delete("/imports/{import_id}", status_code=204, responses=problem_responses(404, 409))
async def delete_import(import_id: str, session: WriteSession, principal: CanImport, background: BackgroundDep) -> None:
    """Delete a preview with its file."""
    await service.delete_preview(session, background.folder, import_id, principal)


@router.post(
    "/imports/{import_id}/confirm", status_code=202, dependencies=[Idempotent], responses=problem_responses(404, 409)
)
async def confirm_import(
    import_id: str,
    session: WriteSession,
    database: DatabaseDep,
    principal: CanImport,
    background: BackgroundDep,
    language: LanguageDep,
    tasks: BackgroundTasks,
    response: Response,
) -> ImportSummary:
    """Store the good rows in the background. `Location` is the address of its progress.

    An import that failed or was interrupted goes on behind the rows that it has stored. Confirming a running one
    changes nothing.
    """
    row = await queries.get_import(session, import_id, for_update=True)
    interrupted = await service.is_interrupted(database, row, at_work=background.at_work)
    if await service.confirm_import(session, row, is_interrupted=interrupted, actor=principal):
        # A background task starts after the response, and so after the commit.
        tasks.add_task(background.store, row.id, principal)
    response.headers["Location"] = f"/v1/imports/{row.id}"
    return await _summary(database, background, row, language)


@router.post(
    "/imports/{import_id}/undo", status_code=202, dependencies=[Idempotent], responses=problem_responses(404, 409)
)
async def undo_import(
    import_id: str,
    session: WriteSession,
    database: DatabaseDep,
    principal: CanImport,
    background: BackgroundDep,
    language: LanguageDep,
    tasks: BackgroundTasks,
    response: Response,
) -> ImportSummary:
    """Undo an import in the background: delete what it created, and give back what it changed.

    Records that somebody has changed or used since are left; `…/records?undone=left` names them with the reason.
    Undoing again changes nothing more, and tries once more what was left.
    """
    row = await queries.get_import(session, import_id, for_update=True)
    if row.state == ImportState.RUNNING and not await service.is_interrupted(database, row, at_work=background.at_work):
        raise Conflict("import_running", _RUNNING)
    row = await begin_undo(session, import_id, principal)
    tasks.add_task(background.undo, row.id, principal)
    response.headers["Location"] = f"/v1/imports/{row.id}"
    return await _summary(database, background, row, language)


@router.get("/imports/{import_id}/records", dependencies=[MayImport], responses=problem_responses(404))
async def list_imported_records(
    import_id: str,
    session: ReadSession,
    page: PageDep,
    language: LanguageDep,
    undone: Annotated[Undone | None, Blank, Query(description="Only records with this outcome of an undo.")] = None,
) -> ListAnswer[ImportedRecord]:
    """List what an import did to each record, newest first. Kept for 90 days."""
    await queries.get_import(session, import_id)
    found = await queries.list_records(session, import_id, page, undone=undone)
    names = await queries.names_of(session, found.items, _LABELS)
    items = [
        ImportedRecord(
            entity=row.entity,  # type: ignore[arg-type]  # one of these words
            record_id=row.record_id,
            name=names.get(row.record_id),
            outcome="created" if row.version_before is None else "updated",
            undone=row.undone,  # type: ignore[arg-type]  # one of these words
            reason=row.reason,
            detail=REASONS[row.reason].in_language(language) if row.reason is not None else None,
        )
        for row in found.items
    ]
    return ListAnswer(items=items, next_cursor=found.next_cursor)


@router.get(
    "/imports/{import_id}/rejects.xlsx",
    dependencies=[MayImport],
    response_class=FileResponse,
    responses={
        200: {"content": {_XLSX: {"schema": {"type": "string", "format": "binary"}}}},
        **problem_responses(404, 410),
    },
)
async def read_rejects(import_id: str, session: ReadSession, background: BackgroundDep) -> FileResponse:
    """Return the bad rows as they came, with the reason in the last column: correct it and upload it again."""
    row = await queries.get_import(session, import_id)
    path = await to_thread.run_sync(service.rejects_of, background.folder, row)
    name = quote(f"退回-{row.file_name.rpartition('.')[0]}.xlsx")
    headers = {"Content-Disposition": f"attachment; filename=\"rejects.xlsx\"; filename*=UTF-8''{name}"}
    return FileResponse(path, media_type=_XLSX, headers=headers)


async def _summary(
    database: DatabaseDep, background: BackgroundImports, row: ImportRow, language: LanguageDep
) -> ImportSummary:
    """Without findings, which hold what cells say: the answer to a request with a key is stored."""
    (summary,) = await service.summaries(database, [row], at_work=background.at_work, language=language)
    return summary


async def _described(
    database: DatabaseDep, background: BackgroundImports, row: ImportRow, language: LanguageDep
) -> Import:
    return await service.describe_import(
        database, background.folder, row, at_work=background.at_work, language=language
    )


def _given(fields: Mapping[str, str]) -> dict[str, Any]:
    """Return the fields of the form as options. A blank field counts as not sent."""
    given: dict[str, Any] = {name: value for name, value in fields.items() if value.strip()}
    if "map" in given:
        try:
            given["map"] = json.loads(given["map"])
        except ValueError as error:
            raise InvalidInput.at("/map", "json_invalid", _NO_MAP) from error
    return given


_NO_MAP = Bilingual('map 应为 JSON 对象，如 {"难题": "title"}。', 'map must be a JSON object: {"难题": "title"}.')
_RUNNING = Bilingual("正在导入，请待其结束后再撤销。", "The import is at work; undo it when it has ended.")
