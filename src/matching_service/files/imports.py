"""Files into the database: the good rows are stored, the bad ones named by line and column."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from matching_service.access.policies import Principal
from matching_service.api.bulk import Stored, parse_items
from matching_service.demands.schemas import DemandImport
from matching_service.demands.service import upsert_demands
from matching_service.demands.transitions import adopt_status
from matching_service.files.formats import FileRow, read_rows
from matching_service.files.headings import FORMS
from matching_service.foundation.errors import FieldError, IllegalTransition, Text
from matching_service.organizations.service import upsert_organizations
from matching_service.profiles.service import upsert_profiles
from matching_service.programme.service import upsert_records
from matching_service.store.database import Database
from matching_service.store.demands import DemandRow
from matching_service.store.lookup import get_by_ids

_ROWS_PER_TRANSACTION = 500


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that was not stored: its line in the file, and what is wrong with which column."""

    line: int
    errors: tuple[FieldError, ...]


@dataclass(slots=True)
class ImportReport:
    """Counts by outcome, and every bad row."""

    created: int = 0
    updated: int = 0
    unchanged: int = 0
    bad_rows: list[BadRow] = field(default_factory=list)


class StrictImportRefused(Exception):
    """A strict import met bad rows; nothing was stored."""

    def __init__(self, report: ImportReport) -> None:
        self.report = report


async def import_file(
    database: Database,
    what: str,
    path: Path,
    actor: Principal,
    *,
    defaults: dict[str, Any],
    strict: bool = False,
    on_progress: Callable[[int], None] = lambda _n: None,
) -> ImportReport:
    """Store the rows of a file. ``defaults`` fill columns that a row leaves out.

    Each 500 rows are one transaction, so a file of any size can be read; a strict import is one transaction
    and raises StrictImportRefused when any row is bad.
    """
    report = ImportReport()
    rows = read_rows(path, FORMS[what])
    if strict:
        async with database.transaction() as session:
            for chunk in _chunks(rows):
                await _store_chunk(session, what, chunk, defaults=defaults, actor=actor, report=report)
                on_progress(len(chunk))
            if report.bad_rows:
                raise StrictImportRefused(report)
        return report
    for chunk in _chunks(rows):
        async with database.transaction() as session:
            await _store_chunk(session, what, chunk, defaults=defaults, actor=actor, report=report)
        on_progress(len(chunk))
    return report


async def _store_chunk(
    session: AsyncSession,
    what: str,
    rows: Sequence[FileRow],
    *,
    defaults: dict[str, Any],
    actor: Principal,
    report: ImportReport,
) -> None:
    report.bad_rows += [BadRow(row.line, (FieldError("unreadable", row.error, ""),)) for row in rows if row.error]
    readable = [row for row in rows if row.values is not None]
    parsed = parse_items([defaults | dict(row.values or {}) for row in readable], FORMS[what].model)
    results = parsed.merge(await _UPSERTS[what](session, parsed.items, actor))
    for row, result in zip(readable, results, strict=True):
        if result.status == "invalid":
            report.bad_rows.append(BadRow(row.line, result.errors))
        else:
            setattr(report, result.status, getattr(report, result.status) + 1)


async def _upsert_demands(session: AsyncSession, items: Sequence[DemandImport], actor: Principal) -> list[Stored]:
    """Store demands, then give each the state that its row names."""
    results = await upsert_demands(session, items, actor)
    stated = {result.id for item, result in zip(items, results, strict=True) if item.status is not None and result.id}
    demands = await get_by_ids(session, DemandRow, stated)
    for place, (item, result) in enumerate(zip(items, results, strict=True)):
        if item.status is None or result.id is None:
            continue
        demand = demands[result.id]
        try:
            is_moved = await adopt_status(session, demand, item.status, actor=actor)
        except IllegalTransition as error:
            message = Text(f"{error.detail.zh}其余各列已保存。", f"{error.detail.en} The other columns are stored.")
            results[place] = Stored("invalid", result.id, (FieldError(error.code, message, "/status"),))
            continue
        if is_moved and result.status == "unchanged":
            results[place] = Stored("updated", result.id)
    return results


_UPSERTS: Mapping[str, Any] = {
    "demands": _upsert_demands,
    "profiles": upsert_profiles,
    "organizations": upsert_organizations,
    "programme": upsert_records,
}


def _chunks(rows: Iterator[FileRow]) -> Iterator[list[FileRow]]:
    while chunk := list(islice(rows, _ROWS_PER_TRANSACTION)):
        yield chunk
