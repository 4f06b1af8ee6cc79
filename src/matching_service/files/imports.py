"""Import files: store the valid rows and report why the others were refused.

``preview_file`` and ``examine_file`` read and store nothing; ``import_file`` stores. All make the same report. An
import is a row in the database with a record of all that it did (``ledger``), so that it can be undone (``undo``).
"""

import math
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

from anyio import to_thread
from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncSession

from matching_service.access.policies import Principal
from matching_service.api.bulk import Stored, parse_items
from matching_service.audit.service import record_audit
from matching_service.demands.schemas import DemandContactBody, DemandImport
from matching_service.demands.service import complete_contacts, upsert_demands
from matching_service.demands.transitions import adopt_status
from matching_service.files.affiliations import NamedOrganizations
from matching_service.files.findings import Finding, shown
from matching_service.files.forms import CONTACT
from matching_service.files.headings import FORMS, ORGANIZATION_NAME
from matching_service.files.ledger import Ledger
from matching_service.files.records import Contents, FileRow, Layout, open_contents
from matching_service.files.workbooks import MAX_ROWS
from matching_service.foundation.clock import now
from matching_service.foundation.errors import Bilingual, FieldError, IllegalTransition, InvalidInput, MatchingError
from matching_service.organizations.service import upsert_organizations
from matching_service.profiles.service import upsert_profiles
from matching_service.programme.service import upsert_records
from matching_service.store.database import Database
from matching_service.store.demands import DemandRow
from matching_service.store.imports import ImportRow, ImportState
from matching_service.store.lookup import get_by_ids
from matching_service.store.ownership import owning

LOCK = "import"
"""Held while an import stores or is undone: one at a time per database."""
_ROWS_PER_TRANSACTION = 500
_MAX_FINDINGS = 1_000


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that was not stored: its line in the file, and what is wrong with which column."""

    line: int
    findings: tuple[Finding, ...]
    sheet: str | None = None

    @property
    def errors(self) -> tuple[FieldError, ...]:
        return tuple(finding.error for finding in self.findings if finding.refuses)


@dataclass(slots=True)
class ImportReport:
    """Counts by outcome, the refused rows, and notes on skipped, unread or repeated rows.

    sheets : those that are read, with the row of their headings. columns : per heading its field, None: not read.
    """

    created: int = 0
    updated: int = 0
    unchanged: int = 0
    passed_over: int = 0
    organizations_created: int = 0
    bad_rows: list[BadRow] = field(default_factory=list)
    told: list[Finding] = field(default_factory=list)
    sheets: Mapping[str, int] = field(default_factory=dict)
    columns: Mapping[str, str | None] = field(default_factory=dict)

    @property
    def counts(self) -> dict[str, int]:
        """The outcomes by name, as they are kept with the import."""
        return {
            "created": self.created,
            "updated": self.updated,
            "unchanged": self.unchanged,
            "bad": len(self.bad_rows),
            "passed_over": self.passed_over,
            "organizations_created": self.organizations_created,
        }

    def as_json(self) -> dict[str, Any]:
        """What is kept with the import: sheets with the row of their headings, columns, the first findings."""
        findings = sorted(self.findings, key=lambda finding: not finding.refuses)
        unread = [finding.sheet for finding in self.told_of("sheet_not_read")]
        sheets: list[dict[str, Any]] = [{"name": name, "header_row": row} for name, row in self.sheets.items()]
        sheets += [{"name": name, "header_row": None} for name in unread]
        return {
            "sheets": [_storable(sheet) for sheet in sheets],
            "columns": [_storable({"heading": heading, "field": name}) for heading, name in self.columns.items()],
            "findings": [_storable(finding.as_json()) for finding in findings[:_MAX_FINDINGS]],
            "n_findings": len(findings),
        }

    @property
    def findings(self) -> list[Finding]:
        return [*self.told, *(finding for bad in self.bad_rows for finding in bad.findings)]

    def told_of(self, code: str) -> list[Finding]:
        return [finding for finding in self.told if finding.code == code]


def _storable(told: Mapping[str, Any]) -> dict[str, Any]:
    """Replace halves of surrogate pairs, which a file may quote and no database stores."""
    return {
        name: value.encode("utf-8", "replace").decode() if isinstance(value, str) else value
        for name, value in told.items()
    }


class StrictImportRefused(Exception):
    """A strict import met bad rows; nothing was stored."""

    def __init__(self, report: ImportReport) -> None:
        self.report = report


class _OnlyPreviewed(Exception):
    """Rolls back the transaction of a preview."""


async def preview_file(
    database: Database,
    what: str,
    path: Path,
    actor: Principal,
    *,
    defaults: dict[str, Any],
    strict: bool = False,
    layout: Layout | None = None,
    on_progress: Callable[[int], None] = lambda _n: None,
) -> ImportReport:
    """What ``import_file`` would do; one transaction that is taken back, so that the counts are those of the database."""  # noqa: E501
    run = await _Run.open(what, path, actor, defaults, layout)
    if strict:
        run.refuse_unknown_columns()
    try:
        async with database.transaction() as session:
            await run.store(session, on_progress)
            if strict and run.report.bad_rows:
                raise StrictImportRefused(run.report)
            raise _OnlyPreviewed  # noqa: TRY301  # leaves the transaction as a failure does
    except _OnlyPreviewed:
        return run.report


async def import_file(
    database: Database,
    what: str,
    path: Path,
    actor: Principal,
    *,
    defaults: dict[str, Any],
    strict: bool = False,
    layout: Layout | None = None,
    on_progress: Callable[[int], None] = lambda _n: None,
) -> ImportReport:
    """Store the rows of a file. ``defaults`` fill columns that a row leaves out.

    Each 500 rows are one transaction, so a file of any size can be read; a strict import is one transaction, refuses
    columns that are not known, and raises StrictImportRefused when any row is bad.
    """
    run = await _Run.open(what, path, actor, defaults, layout)
    if strict:
        run.refuse_unknown_columns()
    async with owning(database, LOCK, patience_s=math.inf):
        moment = now()
        async with database.transaction() as session:
            row = ImportRow(
                what=what, state=ImportState.RUNNING, options={}, counts={}, told={}, actor_id=actor.id,
                created_at=moment, confirmed_at=moment, **_storable({"file_name": path.name[-200:]}),
            )  # fmt: skip
            session.add(row)
            await session.flush()
            record_audit(session, actor, "import", entity="import", entity_id=row.id, detail={"what": what})
        run.ledger = Ledger(row.id, what)
        async with _ending(database, row.id, run):
            if strict:
                async with database.transaction() as session:
                    await run.store(session, on_progress)
                    if run.report.bad_rows:
                        raise StrictImportRefused(run.report)
            else:
                await run.store_by_chunks(database, on_progress)
    return run.report


async def examine_file(
    database: Database, what: str, path: Path, actor: Principal, *, defaults: dict[str, Any], layout: Layout
) -> ImportReport:
    """As ``preview_file``, a chunk at a time, so that nobody waits for a large file while it is looked at.

    Rows of one record in different chunks do not see one another.
    """
    run = await _Run.open(what, path, actor, defaults, layout)
    while chunk := await run.next_chunk():
        await run.examine_chunk(database, chunk)
    return run.report


async def complete_import(
    database: Database,
    row: ImportRow,
    path: Path,
    actor: Principal,
    *,
    defaults: dict[str, Any],
    layout: Layout,
    finish: Callable[[ImportReport], Awaitable[None]],
) -> None:
    """Store the file of an import that was confirmed, behind what an interrupted attempt has stored of it.

    finish : what is done with the report before the import has ended.
    """
    async with _ending(database, row.id):
        run = await _Run.open(row.what, path, actor, defaults, layout)
    run.ledger = Ledger(row.id, row.what)
    async with _ending(database, row.id, run):
        while run.n_rows < row.n_done and (chunk := await run.next_chunk()):
            await run.examine_chunk(database, chunk)
        for name in ("created", "updated", "unchanged", "organizations_created"):
            setattr(run.report, name, row.counts.get(name, 0))
        await run.store_by_chunks(database)
        await finish(run.report)


@asynccontextmanager
async def _ending(database: Database, import_id: str, run: "_Run | None" = None) -> AsyncIterator[None]:
    """Write how an import ended: well behind the last block, or with an error. One that is killed stays running."""
    values: dict[str, Any] = {}
    try:
        yield
        if run is None:
            return
        values = {"state": ImportState.DONE, "n_done": run.n_rows, "n_rows": run.n_rows, "counts": run.report.counts}
    except Exception as error:
        is_refused = isinstance(error, StrictImportRefused)
        known = error.detail if isinstance(error, MatchingError) else _REFUSED if is_refused else _UNEXPECTED
        code = error.code if isinstance(error, MatchingError) else "bad_rows" if is_refused else "internal_error"
        values = {"state": ImportState.FAILED, "error": {"code": code, "zh": known.zh, "en": known.en}}
        raise
    finally:
        if values:
            if run is not None:
                values["told"] = await to_thread.run_sync(run.report.as_json)
            async with database.transaction() as session:
                statement = update(ImportRow).where(ImportRow.id == import_id)
                await session.execute(statement.values(values | {"ended_at": now()}))


_REFUSED = Bilingual("有坏行，未保存任何行。", "There are bad rows; nothing was stored.")
_UNEXPECTED = Bilingual("服务内部错误，已记入日志。", "An internal error occurred and was logged.")


class _Run:
    """The import of one file, with its report so far."""

    def __init__(self, what: str, contents: Contents, actor: Principal, defaults: dict[str, Any]) -> None:
        self.report = ImportReport(
            told=list(contents.findings),
            sheets={table.sheet.name: table.first_row for table in contents.tables if table.sheet.name is not None},
            columns={h.text: h.field for table in contents.tables for h in table.headings.values()},
        )
        self.ledger: Ledger | None = None
        self.n_rows = 0
        self._what = what
        self._contents = contents
        self._actor = actor
        self._defaults = defaults
        self._rows = contents.rows()
        self._organizations = NamedOrganizations()
        self._seen: dict[tuple[Any, Any], tuple[str | None, int]] = {}

    @classmethod
    async def open(
        cls, what: str, path: Path, actor: Principal, defaults: dict[str, Any], layout: Layout | None
    ) -> "_Run":
        contents = await to_thread.run_sync(open_contents, path, FORMS[what], layout)
        return cls(what, contents, actor, defaults)

    def refuse_unknown_columns(self) -> None:
        if unknown := self.report.told_of("column_not_read"):
            names = "、".join(str(finding.heading) for finding in unknown)
            message = Bilingual(
                f"不认识的列：{names}。可用 --map 旧=新 对照列名。", f"Unknown columns: {names}. Use --map OLD=NEW."
            )
            raise InvalidInput("unknown_column", message)

    async def next_chunk(self) -> list[FileRow]:
        chunk = await to_thread.run_sync(lambda: list(islice(self._rows, _ROWS_PER_TRANSACTION)))
        self.n_rows += len(chunk)
        if self.n_rows > MAX_ROWS:
            raise InvalidInput(
                "too_many_rows",
                Bilingual(
                    f"文件超过 {MAX_ROWS:,} 行；{'' if self.ledger is None else '前面的行已处理，'}请分成几个文件。",
                    f"The file has more than {MAX_ROWS:,} rows; "
                    f"{'' if self.ledger is None else 'those before are done; '}split it.",
                ),
            )
        return chunk

    async def store(self, session: AsyncSession, on_progress: Callable[[int], None]) -> None:
        while chunk := await self.next_chunk():
            await self.store_chunk(session, chunk)
            on_progress(len(chunk))

    async def store_by_chunks(self, database: Database, on_progress: Callable[[int], None] = lambda _n: None) -> None:
        while chunk := await self.next_chunk():
            async with database.transaction() as session:
                await self.store_chunk(session, chunk)
            on_progress(len(chunk))

    async def examine_chunk(self, database: Database, chunk: Sequence[FileRow]) -> None:
        """Store the chunk and take it back, the organizations that were made for it included."""
        ledger, self.ledger, known = self.ledger, None, dict(self._organizations.ids)
        try:
            async with database.transaction() as session:
                await self.store_chunk(session, chunk)
                raise _OnlyPreviewed  # noqa: TRY301  # leaves the transaction as a failure does
        except _OnlyPreviewed:
            self.ledger, self._organizations.ids = ledger, known

    async def store_chunk(self, session: AsyncSession, chunk: Sequence[FileRow]) -> None:
        refused = {place: findings for place, row in enumerate(chunk) if (findings := self._refusing(row))}
        places = [place for place, row in enumerate(chunk) if place not in refused and not row.is_note]
        bodies = {place: self._defaults | dict(chunk[place].values or {}) for place in places}
        contacts = {place: _take_contact(body) for place, body in bodies.items()}
        refusals, told = await self._organizations.resolve(session, list(bodies.values()), self._actor)
        self.report.told += told
        made = self._organizations.take_made()
        self.report.organizations_created += len(made)
        for place, refusal in zip(places, refusals, strict=True):
            if refusal is not None:
                refused[place] = (_placed(refusal, chunk[place]),)
        kept = [place for place in places if place not in refused]
        model = FORMS[self._what].model
        parsed = await to_thread.run_sync(parse_items, [bodies[place] for place in kept], model)
        if self.ledger is not None:
            await self.ledger.note(session, parsed.items)
        stored = await _UPSERTS[self._what](session, parsed.items, self._actor)
        results = parsed.merge(stored)
        for place, result in zip(kept, results, strict=True):
            if result.status == "invalid":
                refused[place] = tuple(_of_error(error, chunk[place]) for error in result.errors)
            else:
                setattr(self.report, result.status, getattr(self.report, result.status) + 1)
        kept_contacts = [
            (result.id, contacts[place], chunk[place])
            for place, result in zip(kept, results, strict=True)
            if result.id is not None and contacts[place]
        ]
        self.report.told += await _write_contacts(session, kept_contacts, self._actor)
        if self.ledger is not None:  # last, because contact data raises the version of its demand
            await self.ledger.write(session, stored, made)
        for place in sorted(refused):
            self.report.bad_rows.append(BadRow(chunk[place].line, refused[place], chunk[place].sheet))
        for row in chunk:
            self._tell(row)
        if self.ledger is not None:
            await self.ledger.keep_count(session, n_done=self.n_rows, counts=self.report.counts)

    def _refusing(self, row: FileRow) -> tuple[Finding, ...]:
        """Return the errors that refuse a row before the database is read, with the other errors of the row."""
        if row.error is not None:
            return (Finding("unreadable", row.error, sheet=row.sheet, line=row.line),)
        if not any(finding.refuses for finding in row.findings):
            return ()
        body = self._defaults | dict(row.values or {})
        body.pop(ORGANIZATION_NAME, None)
        _take_contact(body)
        named = {finding.field for finding in row.findings}
        parsed = parse_items([body], FORMS[self._what].model)
        others = [error for stored in parsed.invalid.values() for error in stored.errors]
        return (
            *row.findings,
            *(_of_error(error, row) for error in others if error.pointer.partition("/")[2].split("/")[0] not in named),
        )

    def _tell(self, row: FileRow) -> None:
        if row.is_note:
            self.report.passed_over += 1
        if not any(finding.refuses for finding in row.findings):
            self.report.told += row.findings
            if row.error is None and not row.is_note:
                self._note_repeated_id(row)

    def _note_repeated_id(self, row: FileRow) -> None:
        values = self._defaults | dict(row.values or {})
        if (external_id := values.get("external_id")) is None:
            return
        key = (str(values.get("source")), str(external_id))
        first = self._seen.setdefault(key, (row.sheet, row.line))
        if first != (row.sheet, row.line):
            place = f"工作表“{first[0]}”第 {first[1]} 行" if first[0] != row.sheet else f"第 {first[1]} 行"
            message = Bilingual(
                f"与{place}编号相同，是同一条记录，以后一行为准。", f"The same id as line {first[1]}: one record, and the later row counts."  # noqa: E501
            )  # fmt: skip
            self.report.told.append(
                Finding(
                    "repeated_id", message, refuses=False, sheet=row.sheet, line=row.line,
                    heading=row.headings.get("external_id"), field="external_id", value=shown(external_id),
                )
            )  # fmt: skip


def _placed(finding: Finding, row: FileRow) -> Finding:
    heading = row.headings.get(finding.field or "")
    return replace(finding, sheet=row.sheet, line=row.line, heading=shown(heading))


def _of_error(error: FieldError, row: FileRow) -> Finding:
    """A rule of the contract in the words of the file."""
    name = error.pointer.split("/")[1] if error.pointer.startswith("/") else None
    value = (row.values or {}).get(name or "")
    heading = row.headings.get(name or "")
    if heading is None and name == "organization_id":
        name, heading = ORGANIZATION_NAME, row.headings.get(ORGANIZATION_NAME)
    return Finding(
        error.code, error.message, sheet=row.sheet, line=row.line, heading=shown(heading), field=error.pointer[1:] or None,  # noqa: E501
        value=shown("；".join(map(str, value)) if isinstance(value, list) else value),
    )  # fmt: skip


def _take_contact(body: dict[str, Any]) -> dict[str, Any]:
    """Take the contact data of a form out of its demand: it is kept apart."""
    return {name: body.pop(field) for field, name in CONTACT.items() if field in body}


async def _write_contacts(
    session: AsyncSession, contacts: Sequence[tuple[str, Mapping[str, Any], FileRow]], actor: Principal
) -> list[Finding]:
    """Store contact data that differs; a value that is none, such as half a number, is told and left out."""
    good: dict[str, dict[str, str]] = {}
    told: list[Finding] = []
    for demand_id, contact, row in contacts:
        parsed = parse_items([{name: value} for name, value in contact.items()], DemandContactBody)
        for place, bad in parsed.invalid.items():
            name = list(contact)[place]
            field = next(field for field, own in CONTACT.items() if own == name)
            message = Bilingual(
                f"联系信息未保存：{bad.errors[0].message.zh}", f"Not stored: {bad.errors[0].message.en}"
            )
            told.append(
                Finding(
                    "contact_not_stored", message, refuses=False, sheet=row.sheet, line=row.line,
                    heading=shown(row.headings.get(field)),
                )
            )  # fmt: skip
        sent = {name: value for item in parsed.items for name, value in item.model_dump(exclude_unset=True).items()}
        good[demand_id] = sent
    await complete_contacts(session, good, actor)
    return told


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
            message = Bilingual(
                f"{error.detail.zh}其余各列已保存。", f"{error.detail.en} The other columns are stored."
            )
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


def refused_rows(contents: Contents, report: ImportReport) -> Iterator[tuple[FileRow, BadRow]]:
    """The refused rows as the file has them, in its order."""
    bad = {(row.sheet, row.line): row for row in report.bad_rows}
    for row in contents.rows():
        if (found := bad.get((row.sheet, row.line))) is not None:
            yield row, found
