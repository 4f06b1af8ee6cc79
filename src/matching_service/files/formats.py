"""Writing the three formats: JSON Lines for programs; CSV and XLSX for people, with Chinese headings and values."""

import csv
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import date, datetime, time
from pathlib import Path
from typing import Any, Protocol, TextIO
from unicodedata import east_asian_width

from openpyxl import Workbook
from openpyxl.cell import WriteOnlyCell
from openpyxl.styles import Alignment, Font, PatternFill
from openpyxl.utils import get_column_letter

from matching_service.files.headings import Form
from matching_service.files.texts import guard_formula
from matching_service.files.values import DATES, cell_of
from matching_service.foundation.errors import Bilingual, InvalidInput

FORMATS = (".jsonl", ".csv", ".xlsx")
_MAX_CELL = 32_767
_ESCAPED = re.compile(r"_(?=x[0-9A-Fa-f]{4}_)")
_WIDE_COLUMNS = frozenset(
    {"problem", "key_technology", "expected_goal", "summary", "introduction", "note", "works", "reason"}
)
_WIDTHS = {
    "title": 32,
    "name": 28,
    "keywords": 28,
    "organization_name": 28,
    "id": 14,
    "organization_id": 14,
    "run_id": 14,
}


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


def open_writer(
    path: Path, columns: Sequence[str], *, form: Form | None = None, labels: Mapping[str, str] | None = None
) -> AbstractContextManager[RowWriter]:
    """A writer for the format that the name's end tells; raises InvalidInput for another one.

    form : gives the headings and values of a table their Chinese names. labels : headings where there is no form.
    """
    return _writing(path, _format_of(path), columns, form, labels or (form.labels if form else {}))


@contextmanager
def _writing(
    path: Path, suffix: str, columns: Sequence[str], form: Form | None, labels: Mapping[str, str]
) -> Iterator[RowWriter]:
    headings = [labels.get(column, column) for column in columns]
    with replacing(path) as part:
        if suffix == ".xlsx":
            writer = _XlsxWriter(columns, headings, form)
            try:
                yield writer
            except BaseException:
                writer.close()
                raise
            writer.save(part)
        else:
            # Without a byte order mark Excel reads the UTF-8 of a .csv as something else.
            with part.open("w", encoding="utf-8-sig" if suffix == ".csv" else "utf-8", newline="") as file:
                yield _CsvWriter(file, columns, headings, form) if suffix == ".csv" else _JsonLinesWriter(file)


def _format_of(path: Path) -> str:
    suffix = path.suffix.lower()
    if suffix == ".json":
        suffix = ".jsonl"
    if suffix not in FORMATS:
        raise InvalidInput(
            "unknown_format",
            Bilingual(
                f"不认识的文件格式 {path.name}；可用：{' '.join(FORMATS)}。",
                f"Unknown format {path.name}; use {' '.join(FORMATS)}.",
            ),
        )
    return suffix


class _JsonLinesWriter:
    def __init__(self, file: TextIO) -> None:
        self._file = file

    def write(self, row: Mapping[str, Any]) -> None:
        self._file.write(json.dumps(row, ensure_ascii=False) + "\n")


class _CsvWriter:
    def __init__(self, file: TextIO, columns: Sequence[str], headings: Sequence[str], form: Form | None) -> None:
        self._writer = csv.writer(file)
        self._columns = columns
        self._form = form
        self._writer.writerow(headings)

    def write(self, row: Mapping[str, Any]) -> None:
        values = (cell_of(column, row.get(column), self._form) for column in self._columns)
        self._writer.writerow(["" if value is None else guard_formula(_text(value)) for value in values])


class _XlsxWriter:
    """Numbers as numbers, days as days, everything else as text, so that no cell is ever a formula."""

    def __init__(self, columns: Sequence[str], headings: Sequence[str], form: Form | None) -> None:
        self._columns = columns
        self._form = form
        self._book = Workbook(write_only=True)
        self._sheet = self._book.create_sheet()
        self._sheet.freeze_panes = "A2"
        self._sheet.print_title_rows = "1:1"
        self._sheet.page_setup.orientation = "landscape"
        self._sheet.page_setup.fitToHeight = 0
        self._sheet.sheet_properties.pageSetUpPr.fitToPage = True
        for place, (column, heading) in enumerate(zip(columns, headings, strict=True), start=1):
            width = 48 if column in _WIDE_COLUMNS else _WIDTHS.get(column, max(10, _width(heading) + 2))
            self._sheet.column_dimensions[get_column_letter(place)].width = width
        self._sheet.append([self._heading_cell(heading) for heading in headings])

    def write(self, row: Mapping[str, Any]) -> None:
        self._sheet.append([self._cell(column, row.get(column)) for column in self._columns])

    def _heading_cell(self, heading: str) -> Any:
        cell = WriteOnlyCell(self._sheet, value=heading)
        cell.font = Font(bold=True)
        cell.fill = PatternFill("solid", fgColor="DDEBF7")
        cell.alignment = Alignment(wrap_text=True, vertical="center")
        return cell

    def _cell(self, column: str, stored: Any) -> Any:
        value = cell_of(column, stored, self._form)
        if self._form is not None and column in DATES and isinstance(value, str):
            cell = WriteOnlyCell(self._sheet, value=datetime.combine(date.fromisoformat(value), time()))
            cell.number_format = "yyyy-mm-dd"
            return cell
        if isinstance(value, int | float) and not isinstance(value, bool):
            return WriteOnlyCell(self._sheet, value=value)
        return self._text_cell(column, "" if value is None else _text(value))

    def _text_cell(self, column: str, text: str) -> Any:
        if len(text) > _MAX_CELL:
            raise InvalidInput(
                "cell_too_long",
                Bilingual(
                    f"列 {column} 的内容超过 Excel 单元格上限，请导出为 .jsonl。",
                    f"{column} is too long for a cell; use .jsonl.",
                ),
            )
        cell = WriteOnlyCell(self._sheet, value=_ESCAPED.sub("_x005F_", text) or None)
        if text:
            cell.data_type = "s"  # never a formula
            cell.quotePrefix = guard_formula(text) != text  # nor when somebody edits it
            if column in _WIDE_COLUMNS:
                cell.alignment = Alignment(wrap_text=True, vertical="top")
        return cell

    def save(self, path: Path) -> None:
        self._book.save(path)

    def close(self) -> None:
        self._sheet.close()


def _text(value: Any) -> str:
    if isinstance(value, float) and value.is_integer() and abs(value) < 10**15:
        return str(int(value))
    return str(value)


def _width(text: str) -> int:
    return sum(2 if east_asian_width(character) in "WF" else 1 for character in text)
