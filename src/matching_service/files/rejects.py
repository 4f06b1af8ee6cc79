"""The refused rows of an import as a workbook to send back: as they came, with the reasons in the last column."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matching_service.files.formats import open_writer
from matching_service.files.headings import FORMS
from matching_service.files.imports import ImportReport, refused_rows
from matching_service.files.records import Layout, open_contents
from matching_service.files.sheets import is_filled

REASON = "不能导入的原因"
_PLACE = "原位置"
_UNWRITABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
"""What no XML may contain."""
_LONGEST_CELL = 32_000
"""A cell of a workbook holds 32,767 characters."""


def write_rejects(what: str, source: Path, target: Path, report: ImportReport, *, layout: Layout | None = None) -> int:
    """Write the rows; returns how many. Their columns have the file's own headings, so that it can be read again."""
    contents = open_contents(source, FORMS[what], layout)
    columns: dict[str, None] = {}
    for table in contents.tables:
        columns |= dict.fromkeys(heading.text for heading in table.headings.values())
    rows: list[dict[str, Any]] = []
    headings = {table.sheet.name: {c: h.text for c, h in table.headings.items()} for table in contents.tables}
    for row, bad in refused_rows(contents, report):
        if contents.objects is not None:
            only = row.raw[0] if row.raw else None
            cells: Mapping[str, Any] = only if isinstance(only, dict) else {"内容": only}
        else:
            named = headings[row.sheet]
            cells = {named.get(c, f"第{c + 1}列"): cell for c, cell in enumerate(row.raw) if is_filled(cell)}
        columns |= dict.fromkeys(cells)
        place = f"{row.sheet} 第 {row.line} 行" if row.sheet else f"第 {row.line} 行"
        reason = "；".join(
            f"{finding.heading or finding.field or ''}：{finding.message.zh}".lstrip("：")
            for finding in bad.findings
            if finding.refuses
        )
        values = {_written(name): _plain(cell) for name, cell in cells.items()}
        rows.append(values | {_PLACE: _written(place), REASON: _written(reason)})
    with open_writer(target, [*dict.fromkeys(map(_written, columns)), _PLACE, REASON]) as writer:
        for cells in rows:
            writer.write(cells)
    return len(rows)


def _plain(cell: Any) -> Any:
    if isinstance(cell, str | bool | dict) or hasattr(cell, "isoformat"):
        return _written(str(cell))
    return [_written(str(item)) for item in cell] if isinstance(cell, list) else cell


def _written(text: str) -> str:
    """As much of the text as a cell holds, without the characters that it cannot hold."""
    shown = _UNWRITABLE.sub("\ufffd", text[:_LONGEST_CELL])
    return shown if len(text) <= _LONGEST_CELL else f"{shown}……（过长，未全部列出）"
