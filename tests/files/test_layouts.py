"""A random table, written in any of the layouts that offices use, is read as the same records."""

from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openpyxl import Workbook

from matching_service.files.headings import FORMS
from matching_service.files.records import open_contents
from matching_service.files.values import cell_of

WORDS = st.text(alphabet=st.sampled_from("水泵密封谐波减速器柔轮寿命噪声磨损abc"), min_size=1, max_size=8)
RECORDS = st.lists(
    st.fixed_dictionaries(
        {"title": WORDS, "problem": WORDS},
        optional={
            "keywords": st.lists(WORDS, min_size=1, max_size=4, unique=True),
            "region": st.sampled_from(["440605", "440606", "110105", "310000"]),
            "funding_wan": st.integers(1, 9_999).map(str),
            "expires_on": st.integers(0, 2_000).map(lambda n: (date(2026, 1, 1) + timedelta(days=n)).isoformat()),
            "start_year": st.integers(2020, 2030).map(str),
            "cooperation": st.sampled_from(["independent", "commissioned", "joint", "other"]),
        },
    ),
    min_size=1,
    max_size=6,
)
DEMANDS = FORMS["demands"]
COLUMNS = (
    "external_id",
    "title",
    "problem",
    "keywords",
    "region",
    "funding_wan",
    "expires_on",
    "start_year",
    "cooperation",
)
Table = list[list[Any]]


def plain(records: Sequence[dict[str, Any]]) -> Table:
    headings = [DEMANDS.labels[column] for column in COLUMNS]
    return [headings, *([cell_of(column, record.get(column), DEMANDS) for column in COLUMNS] for record in records)]


def titled(table: Table) -> Table:
    return [["佛山市技术需求征集汇总表"], ["填报单位：某局", None, "2026年1月"], *table]


def noted(table: Table) -> Table:
    return [*table, [], ["合计", None, f"{len(table) - 1}项"], ["填表人：张三", None, "审核："]]


def starred(table: Table) -> Table:
    return [[f"★{heading}\n（必填）" for heading in table[0]], *table[1:]]


def in_words(table: Table) -> Table:
    """Days, years and amounts as people write them."""
    rows: Table = [table[0]]
    for row in table[1:]:
        cells = list(row)
        for place, column in enumerate(COLUMNS):
            if cells[place] is None:
                continue
            if column == "expires_on":
                day = date.fromisoformat(cells[place])
                cells[place] = f"{day.year}年{day.month}月{day.day}日"
            elif column == "funding_wan":
                cells[place] = f"{int(cells[place]):,}万元"
            elif column == "start_year":
                cells[place] = f"{cells[place]}年"
            elif column == "region":
                cells[place] = f"{cells[place]}000000"
            elif column == "keywords":
                cells[place] = cells[place].replace("；", "，")
        rows.append(cells)
    return rows


def turned(table: Table) -> Table:
    return [row[::-1] for row in table]


def grouped(table: Table) -> Table:
    return [["需求信息", *([None] * (len(table[0]) - 1))], *table]


@pytest.mark.parametrize("suffix", [".xlsx", ".csv"])
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(records=RECORDS, data=st.data())
def test_a_table_in_any_layout_is_the_same_records(
    tmp_path: Path, suffix: str, records: list[dict[str, Any]], data: st.DataObject
) -> None:
    for number, record in enumerate(records):
        record["external_id"] = f"N-{number}"
    table = plain(records)
    # from the cells outwards: titles and notes stand around what the others have changed
    for layout in (in_words, turned, starred, grouped, titled, noted):
        if data.draw(st.booleans(), label=layout.__name__):
            table = layout(table)
    path = tmp_path / f"a{suffix}"
    if suffix == ".xlsx":
        book = Workbook()
        for row in table:
            book.worksheets[0].append(row)
        book.save(path)
    else:
        separator = data.draw(st.sampled_from([",", "\t", ";"]))
        encoding = data.draw(st.sampled_from(["utf-8", "utf-8-sig", "gb18030", "utf-16"]))
        lines = [separator.join(f'"{"" if cell is None else cell}"' for cell in row) for row in table]
        path.write_bytes("\r\n".join(lines).encode(encoding))
    found = [row for row in open_contents(path, DEMANDS).rows() if not row.is_note]
    assert [finding.message.zh for row in found for finding in row.findings] == []
    assert [row.values for row in found] == records
