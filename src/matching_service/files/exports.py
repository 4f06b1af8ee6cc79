"""Export records to files. Importing such a file again (``imports``) changes nothing."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from matching_service.demands.schemas import DemandImport
from matching_service.files.formats import open_writer
from matching_service.files.headings import FORMS, Form
from matching_service.files.labels import export_labels
from matching_service.organizations.schemas import OrganizationImport
from matching_service.profiles.queries import WITH_WORKS
from matching_service.profiles.schemas import ProfileImport, Work
from matching_service.programme.schemas import ProgrammeRecordImport
from matching_service.shortlists.visible import visible_lists
from matching_service.store.database import Database
from matching_service.store.demands import DemandRow
from matching_service.store.lookup import get_by_ids
from matching_service.store.organizations import OrganizationRow
from matching_service.store.profiles import ProfileRow
from matching_service.store.programme import ProgrammeRecordRow

_ROWS_PER_QUERY = 500
_MATCH_COLUMNS = (
    "demand_id", "demand_external_id", "demand_title", "rank", "profile_id", "profile_external_id", "name", "kind",
    "country", "overseas", "language", "organization", "score", "level", "reason", "decision", "run_id",
)  # fmt: skip
_MATCH_LABELS = {
    "demand_id": "需求系统编号", "demand_external_id": "需求编号", "demand_title": "需求名称", "rank": "名次",
    "profile_id": "画像系统编号", "profile_external_id": "画像编号", "name": "名称", "kind": "类别",
    "country": "国家", "overseas": "是否境外", "language": "语言", "organization": "所属机构", "score": "得分",
    "level": "等级", "reason": "推荐理由", "decision": "处理意见", "run_id": "匹配批次",
}  # fmt: skip
TABLES: dict[str, tuple[Any, Any, tuple[Any, ...]]] = {
    "demands": (DemandRow, DemandImport, ()),
    "profiles": (ProfileRow, ProfileImport, (WITH_WORKS,)),
    "organizations": (OrganizationRow, OrganizationImport, ()),
    "programme": (ProgrammeRecordRow, ProgrammeRecordImport, ()),
}


async def export_file(
    database: Database, what: str, path: Path, *, on_progress: Callable[[int], None] = lambda _n: None
) -> int:
    """Write all records of one kind to a file. Returns the number of rows.

    what : demands, profiles, organizations, programme, matches or labels.
    """
    if what == "labels":
        return await export_labels(database, path)
    if what == "matches":
        form: Form | None = None
        labels: Mapping[str, str] = _MATCH_LABELS
        columns, rows = list(_MATCH_COLUMNS), _match_rows(database)
    else:
        table, model, options = TABLES[what]
        form, labels = FORMS[what], FORMS[what].labels
        columns = _in_order(list(model.model_fields), labels)
        rows = _table_rows(database, table, columns, options)
    n_rows = 0
    async with aclosing(rows):  # closes the session even if a row cannot be written
        with open_writer(path, columns, form=form, labels=labels) as writer:
            async for row in rows:
                writer.write(row)
                n_rows += 1
                on_progress(1)
    return n_rows


def _in_order(columns: list[str], labels: Mapping[str, str]) -> list[str]:
    """The columns in the order of an office's form, those that it has no name for last."""
    order = list(labels)
    return sorted(columns, key=lambda column: order.index(column) if column in order else len(order))


async def _chunks(session: AsyncSession, table: Any, options: tuple[Any, ...] = ()) -> AsyncIterator[list[Any]]:
    last_id = ""
    while True:
        statement = select(table).options(*options).where(table.id > last_id).order_by(table.id).limit(_ROWS_PER_QUERY)
        rows = list((await session.scalars(statement)).all())
        if not rows:
            return
        yield rows
        last_id = rows[-1].id
        session.expunge_all()


async def _table_rows(
    database: Database, table: Any, columns: list[str], options: tuple[Any, ...]
) -> AsyncGenerator[dict[str, Any], None]:
    async with database.reading() as session:
        async for rows in _chunks(session, table, options):
            organization_ids = {row.organization_id for row in rows if getattr(row, "organization_id", None)}
            organizations = await get_by_ids(session, OrganizationRow, organization_ids) if organization_ids else {}
            for row in rows:
                if getattr(row, "merged_into", None) is None:
                    yield exported_values(row, columns, organizations)


def exported_values(row: Any, columns: Sequence[str], organizations: Mapping[str, OrganizationRow]) -> dict[str, Any]:
    """Return a row as its import body.

    Refers to the organization by its external id if it has one, because our ids mean nothing in another database.
    """
    values: dict[str, Any] = {}
    for column in columns:
        if column == "works":
            values[column] = [Work.model_validate(work).model_dump(exclude_none=True) for work in row.works]
        elif column != "organization_external_id":
            value = getattr(row, column)
            values[column] = value.isoformat() if hasattr(value, "isoformat") else value
    organization = organizations.get(values.get("organization_id") or "")
    if organization is not None and organization.external_id is not None and organization.source == row.source:
        values["organization_id"], values["organization_external_id"] = None, organization.external_id
    return values


async def _match_rows(database: Database) -> AsyncGenerator[dict[str, Any], None]:
    """Yield the visible lists of all demands, with decisions."""
    async with database.reading() as session:
        async for demands in _chunks(session, DemandRow):
            lists = await visible_lists(session, demands)
            for demand in demands:
                if demand.id not in lists:
                    continue
                visible = lists[demand.id]
                for entry in visible.matches:
                    yield {
                        "demand_id": demand.id,
                        "demand_external_id": demand.external_id,
                        "demand_title": demand.title,
                        "rank": entry.match.rank,
                        "profile_id": entry.profile.id,
                        "profile_external_id": entry.profile.external_id,
                        "name": entry.profile.name,
                        "kind": entry.profile.kind,
                        "country": entry.profile.country,
                        "overseas": entry.profile.is_overseas,
                        "language": entry.profile.language,
                        "organization": entry.organization_name,
                        "score": round(entry.match.score, 4),
                        "level": entry.match.level,
                        "reason": entry.match.explanation.get("reason", {}).get("zh"),
                        "decision": entry.decided,
                        "run_id": visible.run.id,
                    }
