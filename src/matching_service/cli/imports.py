"""``import list`` and ``import undo``."""

from typing import Annotated

import typer

from matching_service.access.policies import COMMAND_LINE
from matching_service.cli.opening import open_database, run
from matching_service.cli.output import AsJson, print_json, print_line, print_rows, progress
from matching_service.files.queries import list_imports, list_records, undone_counts
from matching_service.files.undo import REASONS, undo_import
from matching_service.foundation.paging import MAX_LIMIT, PageRequest
from matching_service.store.imports import ImportedRecordRow

_MAX_LEFT_SHOWN = MAX_LIMIT


def list_(
    limit: Annotated[int, typer.Option(min=1, max=MAX_LIMIT, help="最多列出几次。How many at most.")] = 20,
    as_json: AsJson = False,
) -> None:
    async def work() -> None:
        async with open_database(created=False) as database, database.reading() as session:
            rows = (await list_imports(session, PageRequest(limit))).items
        columns = ("id", "what", "state", "file_name", "created", "updated", "bad", "created_at")
        table = [
            [row.id, row.what, row.state, row.file_name, *(row.counts.get(n, 0) for n in columns[4:7]), row.created_at]
            for row in rows
        ]
        print_rows(columns, table, as_json=as_json)

    run(work())


def undo(
    import_id: Annotated[str, typer.Argument(help="import list 显示的 id。The id that import list shows.")],
    as_json: AsJson = False,
) -> None:
    async def work() -> tuple[dict[str, int], list[ImportedRecordRow]]:
        async with open_database(created=False) as database:
            with progress("import undo", total=None) as advance:
                await undo_import(database, import_id, COMMAND_LINE, on_progress=advance)
            async with database.reading() as session:
                counts = (await undone_counts(session, [import_id])).get(import_id)
                left = await list_records(session, import_id, PageRequest(_MAX_LEFT_SHOWN), undone="left")
        return counts or {"deleted": 0, "restored": 0, "left": 0}, list(left.items)

    counts, left = run(work())
    if as_json:
        records = [{"entity": row.entity, "id": row.record_id, "reason": row.reason} for row in left]
        print_json(counts | {"records_left": records})
        return
    print_rows(list(counts), [list(counts.values())])
    for row in left:
        reason = REASONS[row.reason or "changed_since"]
        print_line(f"{row.entity} {row.record_id}：{reason.zh} {reason.en}")
    if (more := counts["left"] - len(left)) > 0:
        print_line(f"……另有 {more} 条保留。and {more} more are left.")
