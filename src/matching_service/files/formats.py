"""Reading and writing the three formats. A reader gives one row at a time, with the line where it stands."""

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TextIO

from openpyxl import Workbook, load_workbook
from openpyxl.cell import WriteOnlyCell

from matching_service.files.headings import Form, from_cells, from_object, guard_formula, to_cells, unguard_formula
from matching_service.foundation.errors import InvalidInput, Text

FORMATS = (".jsonl", ".csv", ".xlsx")
_MAX_CELL = 32_767
_UTF8_MARK = b"\xef\xbb\xbf"
csv.field_size_limit(16 * 1024 * 1024)


@dataclass(frozen=True, slots=True)
class FileRow:
    """One row: its line in the file, and its values by the contract's names, or what makes it unreadable."""

    line: int
    values: Mapping[str, Any] | None
    error: Text | None = None


def read_rows(path: Path, form: Form) -> Iterator[FileRow]:
    """The rows of a file; raises InvalidInput when the file as a whole cannot be read."""
    suffix = _format_of(path)
    if not path.is_file():
        raise InvalidInput("no_such_file", Text(f"文件 {path} 不存在。", f"File {path} does not exist."))
    if suffix == ".jsonl":
        return _read_json_lines(path, form)
    if suffix == ".csv":
        return _read_csv(path, form)
    return _read_xlsx(path, form)


class RowWriter(Protocol):
    """Writes rows of plain values."""

    def write(self, row: Mapping[str, Any]) -> None: ...


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A file beside the target, which takes its place when all is written: a failure harms no earlier file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    try:
        yield part
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def open_writer(path: Path, columns: Sequence[str]) -> AbstractContextManager[RowWriter]:
    """A writer for the format that the name's end tells; raises InvalidInput for another one."""
    return _writing(path, _format_of(path), columns)


@contextmanager
def _writing(path: Path, suffix: str, columns: Sequence[str]) -> Iterator[RowWriter]:
    with replacing(path) as part:
        if suffix == ".xlsx":
            writer = _XlsxWriter(columns)
            try:
                yield writer
            except BaseException:
                writer.close()
                raise
            writer.save(part)
        else:
            # Without a byte order mark Excel reads the UTF-8 of a .csv as something else.
            with part.open("w", encoding="utf-8-sig" if suffix == ".csv" else "utf-8", newline="") as file:
                yield _CsvWriter(file, columns) if suffix == ".csv" else _JsonLinesWriter(file)


def _format_of(path: Path) -> str:
    suffix = path.suffix.lower()
    if suffix == ".json":
        suffix = ".jsonl"
    if suffix not in FORMATS:
        raise InvalidInput(
            "unknown_format",
            Text(
                f"不认识的文件格式 {path.name}；可用：{' '.join(FORMATS)}。",
                f"Unknown format {path.name}; use {' '.join(FORMATS)}.",
            ),
        )
    return suffix


def _read_json_lines(path: Path, form: Form) -> Iterator[FileRow]:
    for number, (line, error) in enumerate(_decoded_lines(path.read_bytes()), start=1):
        if error is not None:
            yield FileRow(number, None, error)
            continue
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as failure:  # a number of 5,000 digits is a plain ValueError
            yield FileRow(number, None, Text(f"不是有效的 JSON：{failure}", f"not valid JSON: {failure}"))
            continue
        if isinstance(row, dict):
            yield FileRow(number, from_object(form, row))
        else:
            yield FileRow(number, None, Text("应为 JSON 对象。", "must be a JSON object."))


def _read_csv(path: Path, form: Form) -> Iterator[FileRow]:
    lines = list(_decoded_lines(path.read_bytes()))
    broken = {number: error for number, (_, error) in enumerate(lines, start=1) if error is not None}
    reader = csv.reader(io.StringIO("\n".join(line for line, _ in lines), newline=""))
    headings: list[str] | None = None
    first_line = 1
    for cells in reader:
        start, first_line = first_line, reader.line_num + 1
        error = next((broken[number] for number in range(start, first_line) if number in broken), None)
        if error is None and not any(cell.strip() for cell in cells):
            continue
        if headings is None:
            headings = _checked_headings(cells, form)
        elif error is not None:
            yield FileRow(start, None, error)
        elif len(cells) > len(headings):
            yield FileRow(start, None, _surplus(len(cells), len(headings)))
        else:
            row = {heading: unguard_formula(cell) for heading, cell in zip(headings, cells, strict=False)}
            yield FileRow(start, from_cells(form, row))


def _read_xlsx(path: Path, form: Form) -> Iterator[FileRow]:
    headings: list[str] | None = None
    for number, cells in enumerate(_sheet_rows(path), start=1):
        if not any(_is_filled(cell) for cell in cells):
            continue
        if headings is None:
            headings = _checked_headings(["" if cell is None else str(cell) for cell in cells], form)
        elif any(_is_filled(cell) for cell in cells[len(headings) :]):
            yield FileRow(number, None, _surplus(len(cells), len(headings)))
        else:
            row = {heading: cell for heading, cell in zip(headings, cells, strict=False) if heading}
            yield FileRow(number, from_cells(form, row))


def _sheet_rows(path: Path) -> Iterator[Sequence[Any]]:
    """The rows of the first sheet; raises InvalidInput for a file that is no workbook."""
    with path.open("rb") as file:  # ours to close, also when it is no workbook or the reading is broken off
        try:
            yield from load_workbook(file, read_only=True, data_only=True).worksheets[0].iter_rows(values_only=True)
        except Exception as error:  # openpyxl raises many kinds
            message = Text(f"{path.name} 不是有效的 XLSX 文件。", f"{path.name} is not a valid XLSX file.")
            raise InvalidInput("not_a_workbook", message) from error


def _is_filled(cell: Any) -> bool:
    return cell is not None and str(cell).strip() != ""


def _surplus(n_cells: int, n_headings: int) -> Text:
    return Text(f"有 {n_cells} 列，表头只有 {n_headings} 列。", f"{n_cells} cells under {n_headings} headings.")


def _checked_headings(cells: Sequence[str], form: Form) -> list[str]:
    """The heading row; raises InvalidInput naming the columns that are not known, so that none is lost silently."""
    headings = [cell.strip() for cell in cells]
    while headings and not headings[-1]:
        headings.pop()
    unknown = [heading for heading in headings if form.column(heading) not in form.columns]
    if unknown:
        known = ", ".join(sorted(form.columns))
        raise InvalidInput(
            "unknown_column",
            Text(
                f"不认识的列：{'、'.join(unknown)}。可用的列：{known}；也可用中文列名，见 docs/import.md。",
                f"Unknown columns: {', '.join(unknown)}. Known: {known}.",
            ),
        )
    columns = [form.column(heading) for heading in headings]
    repeated = [heading for heading in headings if columns.count(form.column(heading)) > 1]
    if repeated:
        raise InvalidInput(
            "repeated_column",
            Text(
                f"这些列含义相同，请只保留一列：{'、'.join(repeated)}。",
                f"Columns of one meaning: {', '.join(repeated)}.",
            ),
        )
    return headings


def _decoded_lines(data: bytes) -> Iterator[tuple[str, Text | None]]:
    """The lines of a file in UTF-8 or GB18030, each with the error that kept it from being decoded.

    One broken byte must not turn a whole UTF-8 file into GB18030 nonsense, so the lines vote.
    """
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        yield from ((line, None) for line in data.decode("utf-16", "replace").split("\n"))
        return
    has_mark = data.startswith(_UTF8_MARK)
    lines = data.removeprefix(_UTF8_MARK).split(b"\n")
    not_ascii = [line for line in lines if not line.isascii()]
    n_utf8 = sum(_decodes(line, "utf-8") for line in not_ascii)
    encoding = "utf-8" if has_mark or 2 * n_utf8 >= len(not_ascii) else "gb18030"
    for line in lines:
        try:
            yield line.decode(encoding).removesuffix("\r"), None
        except UnicodeDecodeError:
            text = line.decode(encoding, "replace").removesuffix("\r")  # so that quotes still close where they should
            yield text, Text(f"无法按 {encoding} 解码。", f"cannot be decoded as {encoding}.")


def _decodes(line: bytes, encoding: str) -> bool:
    try:
        line.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True


class _JsonLinesWriter:
    def __init__(self, file: TextIO) -> None:
        self._file = file

    def write(self, row: Mapping[str, Any]) -> None:
        self._file.write(json.dumps(row, ensure_ascii=False) + "\n")


class _CsvWriter:
    def __init__(self, file: TextIO, columns: Sequence[str]) -> None:
        self._writer = csv.writer(file)
        self._columns = columns
        self._writer.writerow(columns)

    def write(self, row: Mapping[str, Any]) -> None:
        cells = to_cells(row)
        self._writer.writerow([guard_formula(cells.get(column, "")) for column in self._columns])


class _XlsxWriter:
    def __init__(self, columns: Sequence[str]) -> None:
        self._columns = columns
        self._book = Workbook(write_only=True)
        self._sheet = self._book.create_sheet()
        self._sheet.freeze_panes = "A2"
        self._sheet.append(list(columns))

    def write(self, row: Mapping[str, Any]) -> None:
        cells = to_cells(row)
        self._sheet.append([self._text_cell(column, cells.get(column, "")) for column in self._columns])

    def _text_cell(self, column: str, text: str) -> Any:
        if len(text) > _MAX_CELL:
            raise InvalidInput(
                "cell_too_long",
                Text(
                    f"列 {column} 的内容超过 Excel 单元格上限，请导出为 .jsonl。",
                    f"{column} is too long for a cell; use .jsonl.",
                ),
            )
        cell = WriteOnlyCell(self._sheet, value=text or None)
        if text:
            cell.data_type = "s"  # never a formula
        return cell

    def save(self, path: Path) -> None:
        self._book.save(path)

    def close(self) -> None:
        self._sheet.close()
