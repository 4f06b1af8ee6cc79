"""Where in a sheet the table is: its row of headings, the rows of data below it, and the notes around them."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from matching_service.files.headings import Form, Heading
from matching_service.files.sheets import Merge, RawRow, Sheet, is_filled

SEARCHED_ROWS = 20
_NOTE = re.compile(
    r"^[\s（(*※【\[]*(?:"
    r"[合总共小]\s*计(?:[\s:：]|$|[\d共]+|[（(])"
    r"|(?:填\s*表|填\s*报|制\s*表|审\s*核|审\s*批|复\s*核|经\s*办|负\s*责|联\s*系)\s*(?:人|单位|部门|意见|日期|时间|电话|方式)"
    r"|(?:审\s*核|审\s*批|制\s*表|复\s*核)\s*(?:[:：]|$)"
    r"|(?:单位|部门|主管部门|推荐单位)\s*(?:[（(]\s*(?:盖章|公章|签章)\s*[)）]|负责人|意见|盖章)"
    r"|(?:备\s*注|注|说\s*明|填表说明|填报说明|填写说明|注意事项|附注|提示|备注说明)\s*(?:\d{0,2}\s*[:：.、]|$)"
    r"|(?:日\s*期|联系电话|电\s*话|盖\s*章)\s*[:：]"
    r"|(?:以上|以下)(?:信息|内容|数据|需求)"
    r"|(?:示\s*例|样\s*例|填写示例|例\s*如)\s*(?:[:：]|$)"
    r")"
)


@dataclass(frozen=True, slots=True)
class TableRow:
    """``cells``: per heading of the table what stands below it. ``surplus``: filled cells below no heading."""

    number: int
    cells: Mapping[int, Any]
    raw: RawRow
    is_note: bool
    surplus: Sequence[Any] = ()


@dataclass(frozen=True, slots=True)
class DataTable:
    """``headings``: per column, from 0; those that no field is known for are among them."""

    sheet: Sheet
    form: Form
    first_row: int
    last_heading_row: int
    headings: Mapping[int, Heading]

    @property
    def unknown(self) -> Sequence[Heading]:
        return [heading for heading in self.headings.values() if heading.field is None]

    @property
    def repeated(self) -> Sequence[Heading]:
        """Headings of one meaning, of which but one could be read."""
        fields = [heading.field for heading in self.headings.values() if heading.field is not None]
        return [heading for heading in self.headings.values() if heading.field and fields.count(heading.field) > 1]

    def rows(self) -> Iterator[TableRow]:
        """The rows below the headings that have anything in them, merged cells filled downwards."""
        merges = _Downwards(self.sheet.merges, self.last_heading_row)
        ids = [c for c, heading in self.headings.items() if heading.field in {"id", "external_id"}]
        names = [c for c, heading in self.headings.items() if heading.field in {"title", "name"}]
        for row in self.sheet.read():
            if row.number <= self.last_heading_row:
                continue
            cells = merges.filled(row)
            if row.error is None and not any(map(is_filled, row.cells)):
                continue
            known = {column: cells[column] for column in self.headings if column < len(cells)}
            surplus = [cell for column, cell in enumerate(cells) if column not in self.headings and is_filled(cell)]
            is_note = self._repeats_headings(known) or (
                self._reads_like_a_note(row.cells) and not (_any(known, ids) and _any(known, names))
            )
            yield TableRow(row.number, known, row, is_note, surplus)

    def _repeats_headings(self, cells: Mapping[int, Any]) -> bool:
        filled = [(column, str(cell)) for column, cell in cells.items() if is_filled(cell)]
        n_same = sum(text.split() == self.headings[column].text.split() for column, text in filled)
        return n_same >= 2 and n_same == len(filled)

    def _reads_like_a_note(self, cells: Sequence[Any]) -> bool:
        texts = [str(cell) for cell in cells if is_filled(cell)]
        return bool(_NOTE.match(texts[0])) and 2 * len(texts) <= max(len(self.headings), 3) + 1


def find_table(sheet: Sheet, form: Form, *, heading_row: int | None = None) -> DataTable | None:
    """The table of a sheet, found by the words of its headings; None where no row has any.

    heading_row : says by hand which row has the headings. Of rows with as many known headings the first counts. A
    heading may take two rows, a group above and its columns below, in merged cells.
    """
    last = heading_row + 1 if heading_row is not None else SEARCHED_ROWS + 1
    top: list[RawRow] = []
    for row in sheet.read():
        if row.number > last:
            break
        if heading_row is None or row.number >= heading_row:
            top.append(row)
    best: tuple[int, int, dict[int, Heading], int] | None = None
    for place, row in enumerate(top if heading_row is None else top[:1]):
        if row.number > SEARCHED_ROWS and heading_row is None:
            break
        below = top[place + 1] if place + 1 < len(top) and top[place + 1].number == row.number + 1 else None
        for headings, n_rows in _readings(row, below, sheet.merges, form):
            n_known = len({heading.field for heading in headings.values()} - {None})
            is_enough = n_known >= 2 or (n_known == 1 and _is_alone(headings, form))
            if (heading_row is not None or is_enough) and (best is None or n_known > best[0]):
                best = n_known, row.number, headings, row.number + n_rows - 1
    if best is None:
        return None
    _, first, headings, last_heading_row = best
    return DataTable(sheet, form, first, last_heading_row, headings)


def first_filled_row(sheet: Sheet) -> Sequence[str]:
    """For a message: what stands in the first row that has anything."""
    for row in islice(sheet.read(), 100):
        if texts := [str(cell).strip() for cell in row.cells if is_filled(cell)]:
            return texts
    return ()


def _is_alone(headings: Mapping[int, Heading], form: Form) -> bool:
    """One known heading is a table when it is the one that every row needs."""
    fields = {heading.field for heading in headings.values()} - {None}
    return fields <= form.required or len(headings) == 1


def _readings(
    row: RawRow, below: RawRow | None, merges: Sequence[Merge], form: Form
) -> Iterator[tuple[dict[int, Heading], int]]:
    texts = {column: str(cell).strip() for column, cell in enumerate(row.cells) if is_filled(cell)}
    yield {column: form.heading(text) for column, text in texts.items()}, 1
    if below is None:
        return
    across = [m for m in merges if m.top == row.number == m.bottom and m.right > m.left]
    groups = {c: texts.get(m.left, "") for m in across for c in range(m.left, m.right + 1)}
    lower = {column: str(cell).strip() for column, cell in enumerate(below.cells) if is_filled(cell)}
    both: dict[int, Heading] = {}
    for column in sorted(texts.keys() | lower.keys()):
        under, over = lower.get(column, ""), groups.get(column) or texts.get(column, "")
        is_group = column in groups or column not in texts
        if under and is_group:
            candidates = [form.heading(under), form.heading(f"{over}{under}")]
            both[column] = next((h for h in candidates if h.field is not None), candidates[0])
        elif over:
            both[column] = form.heading(over)
    yield both, 2


class _Downwards:
    """Fills merged cells downwards with the value of their first cell, while rows go by in order."""

    def __init__(self, merges: Sequence[Merge], after: int) -> None:
        self._merges = sorted((m for m in merges if m.bottom > m.top and m.bottom > after), key=lambda m: m.top)
        self._open: list[tuple[Merge, Any]] = []
        self._next = 0

    def filled(self, row: RawRow) -> Sequence[Any]:
        if not self._merges:
            return row.cells
        self._open = [(merge, value) for merge, value in self._open if merge.bottom >= row.number]
        while self._next < len(self._merges) and self._merges[self._next].top <= row.number:
            merge = self._merges[self._next]
            self._next += 1
            value = row.cells[merge.left] if merge.top == row.number and merge.left < len(row.cells) else None
            self._open.append((merge, value))
        cells = list(row.cells)
        for merge, value in self._open:
            if merge.top < row.number:
                cells += [None] * (merge.left + 1 - len(cells))
                cells[merge.left] = value
        return cells


def _any(cells: Mapping[int, Any], columns: Sequence[int]) -> bool:
    return any(is_filled(cells.get(column)) for column in columns)
