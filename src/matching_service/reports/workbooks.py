"""Fill an Excel template with figures, tables and charts.

A cell that holds only a placeholder becomes a number. A table grows down from its cell; its headings take the style of
that cell, its rows the style of the cell below. A chart is anchored at its cell and refers to its table in the same
workbook.
"""

from collections.abc import Iterator
from copy import copy
from dataclasses import dataclass
from datetime import datetime
from io import BytesIO
from typing import Any

from openpyxl import Workbook, load_workbook
from openpyxl.cell import Cell as SheetCell
from openpyxl.chart import Reference
from openpyxl.worksheet.properties import PageSetupProperties
from openpyxl.worksheet.worksheet import Worksheet

from matching_service.foundation.clock import in_china
from matching_service.reports.charts import bar_chart, finish
from matching_service.reports.content import (
    CHARTS,
    NO_DATA,
    PLACEHOLDER,
    Cell,
    Column,
    as_text,
    placeholder_error,
    table_columns,
    table_rows,
    value_at,
    value_names,
)
from matching_service.reports.schemas import PERCENT, Report


@dataclass(frozen=True, slots=True)
class _Place:
    """A cell with placeholders. ``kind`` is table or chart if the cell holds only that, else None: values in a text."""

    sheet: Worksheet
    cell: SheetCell
    kind: str | None
    name: str


def mistakes_in_workbook(template: bytes) -> list[str]:
    """Return a message for every placeholder that cannot be filled, with its cell."""
    places = list(_places(load_workbook(BytesIO(template))))
    tables = {place.name for place in places if place.kind == "table"}
    mistakes: list[str] = []
    for place in places:
        for kind, name in PLACEHOLDER.findall(str(place.cell.value)):
            where = f"{place.sheet.title}!{place.cell.coordinate} {{{{{kind}{':' if kind else ''}{name}}}}}"
            if (error_message := placeholder_error(kind or None, name)) is not None:
                mistakes.append(f"{where}: {error_message}")
            elif kind and place.kind is None:
                mistakes.append(f"{where}: 须独占一个单元格 must be alone in its cell")
            elif kind == "table" and (occupied := _occupied_cell(place)) is not None:
                mistakes.append(f"{where}: 单元格 {occupied} 须为空 cell {occupied} must be empty")
            elif kind == "chart" and CHARTS[name].table not in tables:
                mistakes.append(f"{where}: 缺少 needs {{{{table:{CHARTS[name].table}}}}}")
    return mistakes


def write_workbook(template: bytes, report: Report) -> bytes:
    """Fill the template with the report. CPU work. Requires a template without mistakes."""
    book = load_workbook(BytesIO(template))
    columns = table_columns()
    places = list(_places(book))
    tables: dict[str, tuple[_Place, int]] = {}
    for place in places:
        if place.kind == "table":
            rows = table_rows(report, place.name, columns[place.name])
            _write_table(place, columns[place.name], rows)
            tables.setdefault(place.name, (place, len(getattr(report, place.name))))
        elif place.kind is None:
            _write_values(place.cell, report)
    for place in places:
        if place.kind == "chart":
            _draw(place, *tables[CHARTS[place.name].table], columns[CHARTS[place.name].table])
    for sheet in book.worksheets:
        first = min((place.cell.row for place, _ in tables.values() if place.sheet is sheet), default=None)
        _ready_to_print(sheet, first)
    file = BytesIO()
    book.save(file)
    return file.getvalue()


def _ready_to_print(sheet: Worksheet, heading_row: int | None) -> None:
    """Landscape, one page wide, headings on every page: where the template says nothing of it."""
    if sheet.page_setup.orientation is None:
        sheet.page_setup.orientation = "landscape"
    properties = sheet.sheet_properties
    if properties.pageSetUpPr is None or properties.pageSetUpPr.fitToPage is None:
        properties.pageSetUpPr = PageSetupProperties(fitToPage=True)
        sheet.page_setup.fitToHeight = 0
    if heading_row is not None and not sheet.print_title_rows:
        sheet.print_title_rows = f"{heading_row}:{heading_row}"


def _places(book: Workbook) -> Iterator[_Place]:
    for sheet in book.worksheets:
        for row in sheet.iter_rows():
            for cell in row:
                if isinstance(cell, SheetCell) and isinstance(cell.value, str) and PLACEHOLDER.search(cell.value):
                    alone = PLACEHOLDER.fullmatch(cell.value.strip())
                    kind, name = alone.groups() if alone else (None, "")
                    yield _Place(sheet, cell, kind, name)


def _occupied_cell(place: _Place) -> str | None:
    """Return the first cell with a value in the columns of the table, from its row down."""
    width = len(table_columns()[place.name])
    area = place.sheet.iter_rows(
        min_row=place.cell.row, min_col=place.cell.column, max_col=place.cell.column + width - 1
    )
    return next(
        (cell.coordinate for row in area for cell in row if cell.value is not None and cell is not place.cell), None
    )


def _write_values(cell: SheetCell, report: Report) -> None:
    fields = dict(value_names())
    text = str(cell.value)
    if (alone := PLACEHOLDER.fullmatch(text.strip())) is not None:
        name = alone[2]
        _set(cell, value_at(report, name), is_share=PERCENT in fields[name].metadata)
        return

    def words(match: Any) -> str:
        return as_text(value_at(report, match[2]), is_share=PERCENT in fields[match[2]].metadata)

    _set(cell, PLACEHOLDER.sub(words, text), is_share=False)


def _write_table(place: _Place, columns: list[Column], rows: list[list[Cell]]) -> None:
    sheet, first = place.sheet, place.cell
    models: tuple[Any, Any] = (first, sheet.cell(first.row + 1, first.column))
    heading_style, row_style = (copy(model._style) for model in models)  # noqa: SLF001
    for i, column in enumerate(columns):
        for j, value in enumerate([column.heading, *(row[i] for row in rows)]):
            cell: Any = sheet.cell(first.row + j, first.column + i)
            cell._style = copy(row_style if j else heading_style)  # noqa: SLF001
            _set(cell, value, is_share=column.is_share and j > 0)


def _set(cell: SheetCell, value: Cell, *, is_share: bool) -> None:
    """Write a value. A number stays a number; a text never becomes a formula, whatever it begins with."""
    if isinstance(value, datetime):
        value = in_china(value).replace(tzinfo=None)
    elif isinstance(value, bool):
        value = as_text(value)
    cell.value = value
    if isinstance(value, str):
        cell.data_type = "s"
    elif is_share and cell.number_format == "General":
        cell.number_format = "0.0%"


def _draw(place: _Place, table: _Place, n_rows: int, columns: list[Column]) -> None:
    chart = CHARTS[place.name]
    places = {column.name: table.cell.column + i for i, column in enumerate(columns)}
    shares = {column.name for column in columns if column.is_share}
    place.cell.value = None
    if n_rows == 0:
        _set(place.cell, NO_DATA, is_share=False)
        return
    drawn = bar_chart(chart.title, is_share=bool(shares & set(chart.values)))
    first, last = table.cell.row, table.cell.row + n_rows
    for name in chart.values:
        data = Reference(table.sheet, min_col=places[name], min_row=first, max_row=last)
        drawn.add_data(data, titles_from_data=True)
    drawn.set_categories(Reference(table.sheet, min_col=places[chart.labels], min_row=first + 1, max_row=last))
    place.sheet.add_chart(finish(drawn), place.cell.coordinate)
