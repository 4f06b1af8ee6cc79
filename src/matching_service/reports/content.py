"""The placeholders of templates: a path for each scalar of a report, a table for each list of rows, charts over tables.

The names come from the classes in ``schemas.py``, so a new figure there has a placeholder at once. Templates contain
``{{totals.intake}}``, ``{{table:by_cluster}}`` or ``{{chart:funnel}}``.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from types import MappingProxyType
from typing import Any, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from matching_service.foundation.clock import in_china
from matching_service.reports.schemas import PERCENT, Report

PLACEHOLDER = re.compile(r"\{\{\s*(?:(table|chart):)?\s*([a-z0-9_.]+)\s*\}\}")
NOTHING = "—"
NO_DATA = "（本期无数据）"
TOTAL = "合计"
_TOTALLED = {"by_cluster": "label", "by_district": "district"}
"""Table with a line of totals -> the column that holds its label."""
Cell = str | int | float | bool | date | datetime | None


@dataclass(frozen=True, slots=True)
class Column:
    name: str
    heading: str
    is_share: bool


@dataclass(frozen=True, slots=True)
class Chart:
    """A bar chart of the ``values`` columns of a table over its ``labels`` column."""

    title: str
    table: str
    labels: str
    values: tuple[str, ...]


CHARTS: Mapping[str, Chart] = MappingProxyType(
    {
        "funnel": Chart("需求从征集到验收", "funnel", "stage", ("n",)),
        "by_cluster": Chart("各产业集群需求", "by_cluster", "label", ("intake", "published", "contracted")),
        "by_district": Chart("各区需求", "by_district", "district", ("intake", "published", "contracted")),
        "acceptance_by_rank": Chart("推荐名次与接受率", "acceptance_by_rank", "rank", ("rate",)),
        "targets": Chart("目标完成率", "targets", "label", ("share",)),
    }
)


def value_names(model: type[BaseModel] = Report, prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """Yield the path and field of every scalar outside lists, in the order of the report."""
    for name, field in model.model_fields.items():
        if (inner := _model(field.annotation)) is not None:
            yield from value_names(inner, f"{prefix}{name}.")
        elif _row_model(field) is None:
            yield f"{prefix}{name}", field


def table_columns() -> dict[str, list[Column]]:
    """Return the columns of each table. A field without a title is no column."""
    tables: dict[str, list[Column]] = {}
    for name, field in Report.model_fields.items():
        if (row := _row_model(field)) is not None:
            tables[name] = [
                Column(column, cell.title, PERCENT in cell.metadata)
                for column, cell in row.model_fields.items()
                if cell.title is not None
            ]
    return tables


def value_at(report: Report, path: str) -> Cell:
    value: Any = report
    for name in path.split("."):
        value = getattr(value, name)
    cell: Cell = value
    return cell


def table_rows(report: Report, name: str, columns: Sequence[Column]) -> list[list[Cell]]:
    """Return the rows of a table. Counts by district or cluster end with a line of totals; charts leave it out."""
    rows = [[getattr(row, column.name) for column in columns] for row in getattr(report, name)]
    if rows and (named_by := _TOTALLED.get(name)) is not None:
        rows.append([TOTAL if column.name == named_by else getattr(report.totals, column.name) for column in columns])
    return rows


def as_text(value: Cell, *, is_share: bool = False) -> str:
    """Format a value for a document."""
    if value is None:
        return NOTHING
    if isinstance(value, bool):
        return "是" if value else "否"
    if isinstance(value, datetime):
        return f"{in_china(value):%Y-%m-%d %H:%M}"
    if is_share:
        return f"{value:.1%}"
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


def placeholder_error(kind: str | None, name: str) -> str | None:
    """Return the message for a placeholder that does not exist, None for one that does."""
    tables, charts = table_columns().keys(), CHARTS.keys()
    known = tables if kind == "table" else charts if kind == "chart" else dict(value_names()).keys()
    return None if name in known else f"没有占位符 {name}，见 docs/reports.md unknown placeholder"


def _model(annotation: Any) -> type[BaseModel] | None:
    return annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None


def _row_model(field: FieldInfo) -> type[BaseModel] | None:
    arguments = get_args(field.annotation)
    return _model(arguments[0]) if arguments else None
