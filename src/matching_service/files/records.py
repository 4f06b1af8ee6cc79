"""Files of all kinds that offices send, as records under the contract's names, each with what was found in it."""

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from matching_service.demands.schemas import DemandImport
from matching_service.files.findings import Finding, shown
from matching_service.files.forms import is_collection, table_of_sheet_form, table_of_word_form, tables_of_forms
from matching_service.files.headings import Form
from matching_service.files.sheets import Sheet, is_filled
from matching_service.files.tables import SEARCHED_ROWS, DataTable, TableRow, find_table, first_filled_row
from matching_service.files.texts import decoded_lines, objects_of_text, table_of_text
from matching_service.files.values import LISTS, Reading, Unreadable, clean_markup, value_of
from matching_service.files.workbooks import OLE, ZIP, read_workbook
from matching_service.foundation.clock import is_id
from matching_service.foundation.errors import Bilingual, InvalidInput

READABLE = (".xlsx", ".xlsm", ".xls", ".et", ".ods", ".csv", ".tsv", ".txt", ".json", ".jsonl", ".docx", ".zip")
MAX_FILE_BYTES = 50_000_000
_OBJECTS = {".json", ".jsonl"}
_LONGEST_CELL = 100_000
_ADVISED = {
    ".doc": ("旧版 Word 文档，请另存为 .docx", "an old Word document; save it as .docx"),
    ".pdf": ("PDF 文件，扫描件无法可靠读取，请改发 Word 或 Excel 原件", "a PDF; send the Word or Excel original"),
    ".xlsb": ("二进制工作簿，请另存为 .xlsx", "a binary workbook; save it as .xlsx"),
}


@dataclass(frozen=True, slots=True)
class Layout:
    """Layout options that a user gives for a file: the sheet, the row of headings, and other names of columns."""

    sheet: str | None = None
    heading_row: int | None = None
    names: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FileRow:
    """One row: its line, and its values by the contract's names, or what makes it unreadable.

    values : None also for a note beside the table, which is passed over. headings : per field as the file writes it.
    """

    line: int
    values: Mapping[str, Any] | None
    error: Bilingual | None = None
    sheet: str | None = field(default=None, compare=False)
    findings: tuple[Finding, ...] = field(default=(), compare=False)
    headings: Mapping[str, str] = field(default_factory=dict, compare=False)
    raw: Sequence[Any] = field(default=(), compare=False)

    @property
    def is_note(self) -> bool:
        return self.values is None and self.error is None and not any(finding.refuses for finding in self.findings)


@dataclass(frozen=True, slots=True)
class Contents:
    """A file that was opened: its tables or its objects. ``findings`` tell what of it is not read.

    ``rows`` starts over at each call: a file is read row by row, and never held as a whole.
    """

    path: Path
    form: Form
    tables: Sequence[DataTable] = ()
    objects: bytes | None = None
    findings: tuple[Finding, ...] = ()

    def rows(self) -> Iterator[FileRow]:
        if self.objects is not None:
            for number, value, error in objects_of_text(self.objects):
                yield _row_of_object(self.form, number, value, error)
        for table in self.tables:
            for row in table.rows():
                yield _row_of_table(table, row)


def open_contents(path: Path, form: Form, layout: Layout | None = None) -> Contents:
    """Look at a file and find its tables; raises InvalidInput when the file as a whole cannot be read."""
    layout = layout or Layout()
    kind = _kind_of(path)
    form = replace(form, by_hand=layout.names)
    _check_names(form, layout.names)
    if kind == "forms":
        _check_has_forms(path, form)
        return _of_forms(path, form, tables_of_forms(path, form))
    if kind == "word":
        _check_has_forms(path, form)
        return _of_forms(path, form, [table_of_word_form(path, form)])
    if kind in _OBJECTS:
        return Contents(path, form, objects=path.read_bytes())
    if kind == "text":
        score = _score(form)
        sheets = [table_of_text(path.read_bytes(), score=score)]
    else:
        sheets = read_workbook(path)
        if form.model is DemandImport and layout.heading_row is None:
            chosen = [sheet for sheet in sheets if sheet.is_visible and layout.sheet in {None, sheet.name}]
            found = [(sheet, table_of_sheet_form(sheet, form, sheet.name or path.name)) for sheet in chosen]
            forms = [table for _, table in found if table is not None]
            others = [sheet for sheet, table in found if table is None and first_filled_row(sheet)]
            # A sheet of explanations may look like a form; beside a table it is none.
            if forms and not any(find_table(sheet, form) for sheet in others):
                message = Bilingual("不是征集表，未读取。", "The sheet is no form and was not read.")
                contents = _of_forms(path, form, forms)
                return replace(contents, findings=(*contents.findings, *(_unread(sheet, message) for sheet in others)))
    return _find_tables(path, form, sheets, layout)


def read_rows(path: Path, form: Form) -> Iterator[FileRow]:
    """The records of a file, without its notes; raises InvalidInput when the file as a whole cannot be read."""
    contents = open_contents(path, form)
    return (_with_error(row) for row in contents.rows() if not row.is_note)


def _with_error(row: FileRow) -> FileRow:
    refusing = next((finding for finding in row.findings if finding.refuses), None)
    return row if refusing is None or row.error is not None else replace(row, values=None, error=refusing.message)


def _of_forms(path: Path, form: Form, tables: Sequence[DataTable]) -> Contents:
    findings = tuple(finding for table in tables for finding in _unread_columns(table))
    return Contents(path, form, tables=tables, findings=findings)


def _check_has_forms(path: Path, form: Form) -> None:
    if form.model is not DemandImport:
        raise InvalidInput(
            "unknown_format",
            Bilingual(
                f"{path.name} 只能作为需求征集表导入；其他数据请用表格。",
                f"{path.name} can only be imported as forms of demands; use a table for other records.",
            ),
        )


def _kind_of(path: Path) -> str:
    """By the first bytes rather than by the name: an .xls is often text, and an .et may be either kind of workbook."""
    if path.is_dir():
        return "forms"
    suffix = path.suffix.lower()
    if suffix not in READABLE:
        zh, en = _ADVISED.get(suffix, ("不认识的文件格式", "of an unknown format"))
        raise InvalidInput(
            "unknown_format",
            Bilingual(
                f"{path.name} 是{zh}；可导入：{' '.join(READABLE)}。",
                f"{path.name} is {en}; these can be imported: {' '.join(READABLE)}.",
            ),
        )
    if not path.is_file():
        raise InvalidInput("no_such_file", Bilingual(f"文件 {path} 不存在。", f"File {path} does not exist."))
    if path.stat().st_size > MAX_FILE_BYTES:
        n = MAX_FILE_BYTES // 1_000_000
        raise InvalidInput(
            "file_too_big",
            Bilingual(f"{path.name} 超过 {n} MB，请分成几个文件。", f"{path.name} is larger than {n} MB; split it."),
        )
    with path.open("rb") as file:
        start = file.read(64)
    if suffix == ".docx":
        return "word"
    if is_collection(path):
        return "forms"
    if start.startswith((ZIP, OLE)):
        return "workbook"
    if (
        suffix in {".xls", ".et"}
        and not start.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<")
        and start[:2] != b"\x09\x08"
    ):
        return "text"
    return suffix if suffix in _OBJECTS else "text" if suffix in {".csv", ".tsv", ".txt"} else "workbook"


def _score(form: Form) -> Any:
    def score(cells: Sequence[Any]) -> int:
        fields = {form.heading(str(cell)).field for cell in cells[:400] if is_filled(cell)} - {None}
        return len(fields)

    return score


def _check_names(form: Form, names: Mapping[str, str]) -> None:
    wrong = [new for new in names.values() if replace(form, by_hand={}).heading(new).field is None]
    if wrong:
        known = "、".join(form.labels.values())
        raise InvalidInput(
            "unknown_column",
            Bilingual(
                f"对照中的这些列不存在：{'、'.join(wrong)}；可用：{known}。", f"No such columns: {', '.join(wrong)}."
            ),
        )


def _find_tables(path: Path, form: Form, sheets: Sequence[Sheet], layout: Layout) -> Contents:
    findings: list[Finding] = []
    tables: list[DataTable] = []
    if layout.sheet is not None and layout.sheet not in {sheet.name for sheet in sheets}:
        names = "、".join(str(sheet.name) for sheet in sheets)
        raise InvalidInput(
            "no_such_sheet",
            Bilingual(f"{path.name} 没有工作表“{layout.sheet}”；有：{names}。", f"{path.name} has no sheet {layout.sheet}, but {names}."),  # noqa: E501
        )  # fmt: skip
    seen: list[str] = []
    for sheet in sheets:
        if layout.sheet is not None and sheet.name != layout.sheet:
            continue
        if not sheet.is_visible and layout.sheet is None:
            findings.append(
                _unread(sheet, Bilingual("隐藏的工作表，未读取。", "The sheet is hidden and was not read."))
            )
            continue
        table = find_table(sheet, form, heading_row=layout.heading_row)
        if table is not None:
            tables.append(table)
            findings += _unread_columns(table)
        elif texts := first_filled_row(sheet):
            seen += [shown(text) or "" for text in texts[:12]]
            message = Bilingual(
                f"前 {SEARCHED_ROWS} 行内没有认识的表头，未读取。", f"No headings in its first {SEARCHED_ROWS} rows; it was not read."  # noqa: E501
            )  # fmt: skip
            findings.append(_unread(sheet, message))
    if not tables and seen:
        known = "、".join(form.labels.values())
        raise InvalidInput(
            "no_headings",
            Bilingual(
                f"{path.name} 前 {SEARCHED_ROWS} 行内没有找到表头；开头是：{'、'.join(seen)}。可用的列：{known}。"
                "可用 --header-row、--sheet 指明位置，用 --map 旧=新 对照列名。",
                f"No headings in the first {SEARCHED_ROWS} rows of {path.name}, which begins with {', '.join(seen)}. Known: "  # noqa: E501
                f"{', '.join(sorted(form.columns))}. Use --header-row, --sheet or --map OLD=NEW.",
            ),
        )
    for table in tables:
        if table.repeated:
            names = "、".join(heading.text for heading in table.repeated)
            raise InvalidInput(
                "repeated_column",
                Bilingual(f"这些列含义相同，请只保留一列：{names}。", f"Columns of one meaning: {names}; keep one."),
            )
    return Contents(path, form, tables=tables, findings=tuple(findings))


def _unread(sheet: Sheet, message: Bilingual) -> Finding:
    return Finding("sheet_not_read", message, refuses=False, sheet=sheet.name)


def _unread_columns(table: DataTable) -> Iterator[Finding]:
    for heading in table.unknown:
        yield Finding(
            "column_not_read",
            Bilingual("不认识的列，未读取。", "The column is not known and was not read."),
            refuses=False,
            sheet=table.sheet.name,
            line=table.first_row,
            heading=shown(heading.text),
        )


def _row_of_table(table: DataTable, row: TableRow) -> FileRow:
    sheet = table.sheet.name
    headings = {h.field: h.text for h in table.headings.values() if h.field is not None}

    def result(values: Mapping[str, Any] | None, error: Bilingual | None, *findings: Finding) -> FileRow:
        return FileRow(row.number, values, error, sheet, findings, headings, row.raw.cells)

    if row.raw.error is not None:
        return result(None, row.raw.error)
    if row.is_note:
        text = shown(" ".join(str(cell) for cell in row.raw.cells if is_filled(cell)))
        message = Bilingual(
            "不是数据（合计、说明、签名或示例），已略过。",
            "Not data but a total, note, signature or example; passed over.",
        )
        return result(
            None, None, Finding("row_passed_over", message, refuses=False, sheet=sheet, line=row.number, value=text)
        )
    if row.surplus:
        n_cells, n_headings = len(row.cells) + len(row.surplus), len(table.headings)
        return result(
            None,
            Bilingual(
                f"有 {n_cells} 列，表头只有 {n_headings} 列：多出“{shown(row.surplus[0])}”。",
                f"{n_cells} cells under {n_headings} headings.",
            ),
        )
    values: dict[str, Any] = {}
    findings: list[Finding] = []
    has_external_id = any(heading.field == "external_id" for heading in table.headings.values())
    for column, cell in row.cells.items():
        heading = table.headings[column]
        if heading.field is None or not is_filled(cell):
            continue
        if heading.field == "id" and not has_external_id and heading.text.casefold() == "id":
            heading = replace(heading, field="external_id")
        _put(values, findings, cell, Reading(table.form, heading, table.sheet.starts_in_1904), sheet, row.number)
    return result(values, None, *findings)


def _put(  # noqa: PLR0917
    values: dict[str, Any], findings: list[Finding], cell: Any, reading: Reading, sheet: str | None, line: int
) -> None:
    name = reading.heading.field
    assert name is not None  # noqa: S101  # of known headings only
    try:
        if isinstance(cell, str) and len(cell) > _LONGEST_CELL:
            raise Unreadable("cell_too_long", Bilingual("单元格内容过长。", "The cell holds too much text."))  # noqa: TRY301
        values[name] = value_of(cell, reading)
    except Unreadable as error:
        findings.append(
            Finding(
                error.code,
                error.message,
                refuses=error.refuses,
                sheet=sheet,
                line=line,
                heading=shown(reading.heading.text),
                field=name,
                value=shown(cell),
            )
        )


def _row_of_object(form: Form, number: int, value: Any, error: Bilingual | None) -> FileRow:
    if error is not None:
        return FileRow(number, None, error)
    if not isinstance(value, dict):
        return FileRow(number, None, Bilingual("应为 JSON 对象。", "must be a JSON object."), raw=[value])
    values: dict[str, Any] = {}
    findings: list[Finding] = []
    is_ours = is_id(str(value.get("id") or "")) and "external_id" in value
    headings: dict[str, str] = {}
    for key, item in value.items():
        heading = form.heading(key.encode("utf-8", "replace").decode())  # half a surrogate pair is no heading
        name = heading.field or key
        if key == "id" and "external_id" not in value:
            name = "external_id"
        if key == "title_words" and isinstance(item, list):
            item = "".join(str(word) for word in item)  # noqa: PLW2901
            values.setdefault("kind", "achievement")
        headings[name] = key
        if is_ours:
            values[name] = item
        else:
            _put_json(values, findings, item, Reading(form, replace(heading, field=name)), number)
    return FileRow(number, values, None, None, tuple(findings), headings, [value])


def _put_json(values: dict[str, Any], findings: list[Finding], item: Any, reading: Reading, line: int) -> None:
    """A value that is typed already: a number for a text becomes a text, a text for a list is split."""
    name = reading.heading.field or ""
    if isinstance(item, str):
        item = clean_markup(item)
    if name in LISTS and isinstance(item, list):
        values[name] = [clean_markup(one) if isinstance(one, str) else one for one in item]
    elif (
        name in reading.form.columns
        and isinstance(item, str | int | float)
        and is_filled(item)
        and not isinstance(item, bool)
    ):
        _put(values, findings, item, reading, None, line)
    else:
        values[name] = item


def read_names(text: str) -> dict[str, str]:
    """Other names of columns: 旧=新, or the path of a .json object or of a .csv with two columns."""
    old, is_pair, new = text.partition("=")
    if is_pair:
        return {old.strip(): new.strip()}
    path = Path(text)
    if not path.is_file():
        raise InvalidInput(
            "no_such_file", Bilingual(f"--map 应为 旧=新，或对照文件：{text} 不存在。", f"--map is OLD=NEW or a file; {text} does not exist.")  # noqa: E501
        )  # fmt: skip
    content = "\n".join(line for line, _ in decoded_lines(path.read_bytes()))
    if path.suffix.lower() == ".json":
        found = json.loads(content)
        return {str(key): str(value) for key, value in found.items()} if isinstance(found, dict) else {}
    rows = (row for row in csv.reader(io.StringIO(content)) if len(row) >= 2)
    return {row[0].strip(): row[1].strip() for row in rows if row[0].strip() and row[1].strip()}
