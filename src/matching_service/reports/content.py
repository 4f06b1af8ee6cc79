"""What a template may ask for: each scalar of a report by its path, each list of rows as a table, charts over tables.

Names come from the classes of ``schemas.py``, so a figure that is added there can be placed at once. Templates write
``{{totals.intake}}``, ``{{table:by_cluster}}`` and ``{{chart:funnel}}``.
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
"""Tables with a line of totals, and the column in which it is named."""
Cell = str | int | float | bool | date | datetime | None


@dataclass(frozen=True, slots=True)
class Column:
    name: str
    heading: str
    is_share: bool


@dataclass(frozen=True, slots=True)
class Chart:
    """Bars of some columns of a table over its first column of labels."""

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
    """The paths of all scalars that are in no list, in the order of the report."""
    for name, field in model.model_fields.items():
        if (inner := _model(field.annotation)) is not None:
            yield from value_names(inner, f"{prefix}{name}.")
        elif _row_model(field) is None:
            yield f"{prefix}{name}", field


def table_columns() -> dict[str, list[Column]]:
    """Per table its columns."""
    found: dict[str, list[Column]] = {}
    for name, field in Report.model_fields.items():
        if (row := _row_model(field)) is not None:
            found[name] = [
                Column(column, one.title, PERCENT in one.metadata)
                for column, one in row.model_fields.items()
                if one.title is not None
            ]
    return found


def value_at(report: Report, path: str) -> Cell:
    value: Any = report
    for name in path.split("."):
        value = getattr(value, name)
    cell: Cell = value
    return cell


def table_rows(report: Report, name: str, columns: Sequence[Column]) -> list[list[Cell]]:
    """The rows of a table; one that counts demands by place or cluster ends in the totals, which no chart shows."""
    rows = [[getattr(row, column.name) for column in columns] for row in getattr(report, name)]
    if rows and (named_by := _TOTALLED.get(name)) is not None:
        rows.append([TOTAL if one.name == named_by else getattr(report.totals, one.name) for one in columns])
    return rows


def in_words(value: Cell, *, is_share: bool = False) -> str:
    """A value as the text of a document."""
    if value is None:
        return NOTHING
    if isinstance(value, bool):
        return "是" if value else "否"
    if isinstance(value, datetime):
        return f"{in_china(value):%Y-%m-%d %H:%M}"
    if is_share:
        return f"{value:.1%}"
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


def unknown(kind: str | None, name: str) -> str | None:
    """What is wrong with a placeholder, None when there is such a thing."""
    tables, charts = table_columns().keys(), CHARTS.keys()
    known = tables if kind == "table" else charts if kind == "chart" else dict(value_names()).keys()
    return None if name in known else f"没有 {name}，见 docs/reports.md there is no such placeholder"


def _model(annotation: Any) -> type[BaseModel] | None:
    return annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None


def _row_model(field: FieldInfo) -> type[BaseModel] | None:
    arguments = get_args(field.annotation)
    return _model(arguments[0]) if arguments else None
