"""Files as offices really send them: each handed kind, and further spellings of it."""

import csv
import io
import json
import zipfile
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest
from openpyxl import Workbook
from sqlalchemy import select

from matching_service.access.policies import COMMAND_LINE
from matching_service.files.headings import FORMS
from matching_service.files.imports import ImportReport, import_file, preview_file
from matching_service.files.records import Contents, FileRow, Layout, open_contents, read_names
from matching_service.files.rejects import REASON, write_rejects
from matching_service.foundation.errors import InvalidInput
from matching_service.store.database import Database
from matching_service.store.demands import DemandRow
from matching_service.store.organizations import OrganizationRow

HEADINGS = ["编号", "需求名称", "主要问题"]


def opened(path: Path, what: str = "demands", layout: Layout | None = None) -> Contents:
    return open_contents(path, FORMS[what], layout)


def rows(path: Path, what: str = "demands", layout: Layout | None = None) -> list[FileRow]:
    return list(opened(path, what, layout).rows())


def values(path: Path, what: str = "demands") -> list[Any]:
    return [row.values for row in rows(path, what)]


def book(path: Path, *table: list[Any], merged: tuple[str, ...] = ()) -> Path:
    made = Workbook()
    sheet = made.worksheets[0]
    for row in table:
        sheet.append(row)
    for reference in merged:
        sheet.merge_cells(reference)
    made.save(path)
    return path


def text(path: Path, content: str, encoding: str = "utf-8") -> Path:
    path.write_bytes(content.encode(encoding))
    return path


def table(path: Path, *lines: list[str]) -> Path:
    out = io.StringIO()
    csv.writer(out).writerows(lines)
    return text(path, out.getvalue())


def column(tmp_path: Path, heading: str, *cells: Any, what: str = "demands") -> list[FileRow]:
    """The cells below one heading of a workbook, each in a row that is good otherwise."""
    title = "需求名称" if what == "demands" else "名称"
    return rows(
        book(tmp_path / "a.xlsx", ["编号", title, heading], *([f"N-{n}", "甲", c] for n, c in enumerate(cells))), what
    )


def edited(path: Path, part: str, old: str, new: str) -> Path:
    """A workbook with one of its parts changed by hand, as other programs write it."""
    with zipfile.ZipFile(path) as package:
        parts = {name: package.read(name) for name in package.namelist()}
    changed = parts[part].replace(old.encode(), new.encode())
    assert changed != parts[part]
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as package:
        for name, data in parts.items():
            package.writestr(name, changed if name == part else data)
    return path


SHEET = "xl/worksheets/sheet1.xml"


@pytest.mark.parametrize("claim", ["A1", "A1:C2", "A1:B3", "B2:C3", "A1:XFD1048576", "C3"])
def test_cells_are_read_and_not_the_claimed_range(tmp_path: Path, claim: str) -> None:
    path = book(tmp_path / "a.xlsx", HEADINGS, ["1", "甲", "a"], ["2", "乙", "b"])
    edited(path, SHEET, 'ref="A1:C3"', f'ref="{claim}"')
    assert [row["external_id"] for row in values(path)] == ["1", "2"]
    assert values(path)[1] == {"external_id": "2", "title": "乙", "problem": "b"}


@pytest.mark.parametrize(
    ("written", "meant"),
    [("第一行_x000D_\n第二行", "第一行\r\n第二行"), ("a_x0009_b", "a\tb"), ("甲_x000A_乙", "甲\n乙"), ("_x005F_x000D_", "_x000D_"), ("_x00zz_", "_x00zz_")],
)  # fmt: skip
def test_escapes_of_characters_in_a_workbook_are_read(tmp_path: Path, written: str, meant: str) -> None:
    path = book(tmp_path / "a.xlsx", HEADINGS, ["1", "甲", "PLACE"])
    edited(path, SHEET, "PLACE", written)
    assert values(path)[0]["problem"] == meant


@pytest.mark.parametrize("n_above", [1, 2, 5, 19])
def test_titles_above_the_headings_are_passed_over(tmp_path: Path, n_above: int) -> None:
    above = [[f"佛山市技术需求汇总表 {n}"] for n in range(n_above)]
    path = book(tmp_path / "a.xlsx", *above, HEADINGS, ["1", "甲", "a"], merged=("A1:C1",))
    assert values(path) == [{"external_id": "1", "title": "甲", "problem": "a"}]


def test_headings_of_two_rows_with_merged_cells(tmp_path: Path) -> None:
    path = book(
        tmp_path / "a.xlsx",
        ["技术需求征集表"],
        ["编号", "企业信息", None, "需求信息", None, "投入资金（万元）"],
        [None, "企业名称", "所在地区", "需求名称", "主要问题", None],
        ["1", "某泵厂", "南海区", "甲", "a", 80],
        merged=("A1:F1", "A2:A3", "B2:C2", "D2:E2", "F2:F3"),
    )
    assert values(path) == [
        {"external_id": "1", "organization_name": "某泵厂", "region": "440605", "title": "甲", "problem": "a", "funding_wan": "80"}
    ]  # fmt: skip


@pytest.mark.parametrize("merge", ["A2:A3", "A2:A4"])
def test_merged_cells_give_their_value_to_every_row(tmp_path: Path, merge: str) -> None:
    path = book(
        tmp_path / "a.xlsx",
        ["机构编号", "编号", "需求名称"],
        ["ORG-1", "1", "甲"],
        [None, "2", "乙"],
        ["ORG-2" if merge == "A2:A3" else None, "3", "丙"],
        merged=(merge,),
    )
    last = "ORG-2" if merge == "A2:A3" else "ORG-1"
    assert [row["organization_external_id"] for row in values(path)] == ["ORG-1", "ORG-1", last]


def test_all_visible_sheets_with_headings_are_read_and_the_others_named(tmp_path: Path) -> None:
    made = Workbook()
    made.worksheets[0].title = "填表说明"
    made.worksheets[0].append(["请逐条填写"])
    for name, title in (("南海", "甲"), ("顺德", "乙"), ("旧", "丙")):
        sheet = made.create_sheet(name)
        sheet.append(HEADINGS)
        sheet.append([name, title])
    made["旧"].sheet_state = "hidden"
    made.save(tmp_path / "a.xlsx")
    contents = opened(tmp_path / "a.xlsx")
    assert [(row.sheet, row.values and row.values["title"]) for row in contents.rows()] == [
        ("南海", "甲"),
        ("顺德", "乙"),
    ]
    assert [finding.sheet for finding in contents.findings] == ["填表说明", "旧"]
    by_hand = rows(tmp_path / "a.xlsx", layout=Layout(sheet="旧"))
    assert [row.values and row.values["title"] for row in by_hand] == ["丙"]
    with pytest.raises(InvalidInput) as refused:
        opened(tmp_path / "a.xlsx", layout=Layout(sheet="三水"))
    assert refused.value.code == "no_such_sheet"


def test_the_row_of_headings_and_names_of_columns_may_be_said_by_hand(tmp_path: Path) -> None:
    path = table(tmp_path / "a.csv", ["编号", "需求名称"], ["说明", "下表为准"], ["题目", "号码"], ["甲", "1"])
    layout = Layout(heading_row=3, names={"题目": "需求名称", "号码": "external_id"})
    assert [row.values for row in rows(path, layout=layout)] == [{"title": "甲", "external_id": "1"}]
    with pytest.raises(InvalidInput):
        opened(path, layout=Layout(names={"题目": "没有的列"}))


def test_names_of_columns_are_read_from_a_pair_or_a_file(tmp_path: Path) -> None:
    assert read_names("题目=需求名称") == {"题目": "需求名称"}
    (tmp_path / "m.json").write_text('{"题目": "需求名称"}', encoding="utf-8")
    assert read_names(str(tmp_path / "m.json")) == {"题目": "需求名称"}
    table(tmp_path / "m.csv", ["题目", "需求名称"], ["号", "编号"])
    assert read_names(str(tmp_path / "m.csv")) == {"题目": "需求名称", "号": "编号"}
    with pytest.raises(InvalidInput):
        read_names(str(tmp_path / "missing.csv"))


@pytest.mark.parametrize(
    "heading",
    ["需求名称*", "★ 需求名称", "需求名称\n（必填）", "需求 名称", "（二）需求名称", "1、需求名称：", "需求名稱", "需求名称(不超过50字)", "需求名称【必填】", "技术需求名称", "ＴＩＴＬＥ"],
)  # fmt: skip
def test_a_heading_is_known_however_it_is_decorated(heading: str) -> None:
    assert FORMS["demands"].heading(heading).field == "title"


@pytest.mark.parametrize(
    ("heading", "cell", "wan"),
    [
        ("拟投入资金总额", 80, "80"), ("投入资金（元）", 800_000, "80"), ("投入资金（亿元）", 0.5, "5000"), ("投入资金(万元)", "80万元", "80"),
        ("预算", "1,200", "1200"), ("预算", "约50", "50"), ("预算", "８０", "80"), ("预算", "0.5亿", "5000"), ("预算", "800000元", "80"),
        ("预算", "￥80万", "80"), ("预算", "100 万元左右", "100"), ("预算（万元）", " 80.50 ", "80.5"), ("投入资金（单位：元）", "1,200,000", "120"),
    ],
)  # fmt: skip
def test_amounts_are_read_in_wan(tmp_path: Path, heading: str, cell: Any, wan: str) -> None:
    (row,) = column(tmp_path, heading, cell)
    assert row.findings == ()
    assert row.values is not None
    assert row.values["funding_wan"] == wan


@pytest.mark.parametrize("cell", ["面议", "/", "—", "待定", "无"])
def test_a_cell_that_says_nothing_is_empty_and_that_is_told(tmp_path: Path, cell: str) -> None:
    (row,) = column(tmp_path, "投入资金", cell)
    assert row.values is not None
    assert "funding_wan" not in row.values
    assert [(finding.code, finding.refuses) for finding in row.findings] == [("left_empty", False)]


@pytest.mark.parametrize("cell", ["八十上下", "50-100", "80万或100万", "1e999999x", "9" * 10_000])
def test_an_amount_that_would_have_to_be_guessed_is_refused(tmp_path: Path, cell: str) -> None:
    path = table(tmp_path / "a.csv", ["编号", "需求名称", "投入资金"], ["1", "甲", cell])
    (row,) = rows(path)
    if cell == "9" * 10_000:
        assert row.values is not None  # a number, which the contract's limit refuses
    else:
        assert [finding.code for finding in row.findings] == ["not_an_amount"]


@pytest.mark.parametrize(
    "cell",
    [
        "2026/12/31", "2026年12月31日", "2026.12.31", "20261231", 46387, "46387", date(2026, 12, 31), datetime(2026, 12, 31, 8),  # noqa: DTZ001
        " 2026 年 12 月 31 日 ", "2026-12-31T00:00:00Z", "２０２６－１２－３１", "二〇二六年12月31日", "2026-12-31 （星期四）",
    ],
)  # fmt: skip
def test_days_as_people_write_them(tmp_path: Path, cell: Any) -> None:
    (row,) = column(tmp_path, "截止日期", cell)
    assert row.findings == ()
    assert row.values is not None
    assert row.values["expires_on"] == "2026-12-31"


@pytest.mark.parametrize(
    "cell", ["31/12/2026", "12/11/2026", "01-02-03", "2026-13-01", "2026-02-30", "年底", "12月31日"]
)
def test_a_day_that_may_be_another_one_is_refused(tmp_path: Path, cell: str) -> None:
    (row,) = column(tmp_path, "截止日期", cell)
    assert [(finding.field, finding.line, finding.value) for finding in row.findings] == [("expires_on", 2, cell)]


def test_serials_of_a_workbook_that_counts_from_1904(tmp_path: Path) -> None:
    path = book(tmp_path / "a.xlsx", ["编号", "需求名称", "截止日期"], ["1", "甲", 44925])
    edited(path, "xl/workbook.xml", "<workbookPr", '<workbookPr date1904="1"')
    assert values(path)[0]["expires_on"] == "2026-12-31"


@pytest.mark.parametrize(
    "cell", ["2026年", "二〇二六", "２０２６", 2026, 2026.0, "2026年度", date(2026, 1, 1), "2026-01"]
)
def test_years_as_people_write_them(tmp_path: Path, cell: Any) -> None:
    (row,) = column(tmp_path, "开始年份", cell)
    assert row.values is not None
    assert row.values["start_year"] == "2026"


@pytest.mark.parametrize(
    "cell",
    ["南海区", "佛山市南海区", "广东省佛山市南海区", "440605", 440605, "440605.0", "'440605", '="440605"', "４４０６０５", "440605000000", "南海区（440605）", "\t440605 "],
)  # fmt: skip
def test_regions_by_name_and_by_code(tmp_path: Path, cell: Any) -> None:
    made = Workbook()
    made.worksheets[0].append(["编号", "需求名称", "所在地区"])
    made.worksheets[0].append(["1", "甲", None])
    made.worksheets[0]["C2"].value = cell
    if isinstance(cell, str):
        made.worksheets[0]["C2"].data_type = "s"
    made.save(tmp_path / "a.xlsx")
    (row,) = rows(tmp_path / "a.xlsx")
    assert row.findings == ()
    assert row.values is not None
    assert row.values["region"] == "440605"


@pytest.mark.parametrize(
    ("cell", "code"), [("朝阳区", "ambiguous_region"), ("月球", "unknown_region"), ("广州市南海区", "unknown_region")]
)
def test_a_region_that_is_unknown_or_several_is_refused(tmp_path: Path, cell: str, code: str) -> None:
    (row,) = column(tmp_path, "地区", cell)
    assert [finding.code for finding in row.findings] == [code]


@pytest.mark.parametrize(
    ("cell", "meant"),
    [
        ("独立研发", "independent"), ("自主研发", "independent"), ("委托研发", "commissioned"), ("合作研发", "joint"), ("联合攻关", "joint"),
        ("产学研合作", "joint"), ("□独立 ☑委托 □联合", "commissioned"), ("联合（与高校）", "joint"), ("Joint", "joint"), (" 其他 ", "other"),
    ],
)  # fmt: skip
def test_ways_of_solving_as_people_call_them(tmp_path: Path, cell: str, meant: str) -> None:
    (row,) = column(tmp_path, "技术需求解决方式", cell)
    assert row.values is not None
    assert row.values["cooperation"] == meant


def test_a_value_that_is_not_allowed_is_refused_with_those_that_are(tmp_path: Path) -> None:
    (row,) = column(tmp_path, "合作方式", "随缘")
    (finding,) = row.findings
    assert "联合" in finding.message.zh
    assert "委托" in finding.message.zh
    assert (finding.heading, finding.value, finding.line) == ("合作方式", "随缘", 2)


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        ("甲，乙，丙", 3), ("甲,乙,丙", 3), ("甲 乙 丙", 3), ("甲/乙/丙", 3), ("甲|乙|丙", 3), ("1. 甲 2. 乙 3. 丙", 3), ("1、甲；2、乙；3、丙", 3),
        ("①甲②乙③丙", 3), ("甲；乙、丙", 3), ("甲\n乙\n丙", 3), ("（1）甲（2）乙（3）丙", 3), ("deep learning；视觉", 2), ("TCP/IP", 1), ("1,2-二氯乙烷", 1),
        ("5G 通信", 1), ("甲；甲", 1),
    ],
)  # fmt: skip
def test_lists_are_split_by_what_people_separate_by(tmp_path: Path, cell: str, words: int) -> None:
    cell = cell.replace("甲", "减速器").replace("乙", "柔轮").replace("丙", "疲劳")
    (row,) = column(tmp_path, "关键词", cell)
    assert row.values is not None
    assert len(row.values["keywords"]) == words


@pytest.mark.parametrize("cell", [4.40605e17, "4.40605E+17", "4.4e+17", 440605199001011234, "4.40605e17"])
def test_an_id_that_a_spreadsheet_spoilt_is_refused(tmp_path: Path, cell: Any) -> None:
    (row,) = rows(book(tmp_path / "a.xlsx", HEADINGS, [cell, "甲", "a"]))
    assert [finding.code for finding in row.findings] == ["spoilt_id"]


@pytest.mark.parametrize("error", ["#N/A", "#VALUE!", "#REF!", "#DIV/0!", "#NAME?", "#NUM!"])
@pytest.mark.parametrize("suffix", [".xlsx", ".csv"])
def test_the_error_of_a_formula_is_no_text(tmp_path: Path, suffix: str, error: str) -> None:
    path = tmp_path / f"a{suffix}"
    if suffix == ".csv":
        table(path, HEADINGS, ["1", error, "a"], ["2", "乙", error])
    else:
        book(path, HEADINGS, ["1", error, "a"], ["2", "乙", error])
    assert [[finding.field for finding in row.findings] for row in rows(path)] == [["title"], ["problem"]]


@pytest.mark.parametrize(
    "note",
    ["合计1项", "合  计", "总计：3", "共计 2 项", "填表人：张三", "审核：", "审核人：李四  日期：2026年1月1日", "注：以上金额单位为万元", "填表说明：请于12月31日前报送",
     "单位（盖章）：", "备注：", "制表人 王五", "示例"],
)  # fmt: skip
@pytest.mark.parametrize("place", [0, 1])
def test_notes_and_totals_below_a_table_are_no_records(tmp_path: Path, note: str, place: int) -> None:
    last = ["", "", ""]
    last[place] = note
    contents = rows(table(tmp_path / "a.csv", HEADINGS, ["1", "甲", "a"], ["", "", ""], last))
    assert [row.line for row in contents if row.values is not None] == [2]
    assert [(row.line, row.findings[0].code) for row in contents if row.is_note] == [(4, "row_passed_over")]


@pytest.mark.parametrize(
    "title", ["合计算法加速", "审核流程自动化", "注塑机合模力", "说明书自动生成", "总计量表校准", "共计算平台"]
)
def test_a_demand_whose_title_begins_like_a_note_is_a_demand(tmp_path: Path, title: str) -> None:
    assert values(table(tmp_path / "a.csv", HEADINGS, ["1", title, "a"], ["", title, "b"]))[0]["title"] == title
    assert values(table(tmp_path / "b.csv", ["需求名称", "主要问题"], [title, "a"]))[0]["title"] == title


CONTENT = "编号,需求名称,主要问题\r\n1,水泵密封,磨损快\r\n2,油泵噪声,噪声大\r\n"


@pytest.mark.parametrize(
    "data",
    [
        CONTENT.encode("gb18030"), b"\xef\xbb\xbf" + CONTENT.encode("gb18030"), b"\xef\xbb\xbf" * 2 + CONTENT.encode(),
        b"\xff\xfe" + CONTENT.encode(), CONTENT.encode("utf-16-le"), CONTENT.encode("utf-16-be"), CONTENT.encode("utf-16"),
        CONTENT.replace(",", "\t").encode(), CONTENT.replace(",", ";").encode("gb18030"), CONTENT.replace(",", "\t").encode("utf-16"),
        b"sep=,\r\n" + CONTENT.encode(), b"sep=;\n" + CONTENT.replace(",", ";").encode(), CONTENT.replace("\r\n", ",,\r\n").encode(),
        CONTENT.replace("\r\n", "\n").encode(), b"\xef\xbb\xbfsep=\t\n" + CONTENT.replace(",", "\t").encode(),
    ],
)  # fmt: skip
def test_text_in_any_encoding_and_with_any_separator(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.csv").write_bytes(data)
    assert [(row["external_id"], row["title"], row["problem"]) for row in values(tmp_path / "a.csv")] == [
        ("1", "水泵密封", "磨损快"),
        ("2", "油泵噪声", "噪声大"),
    ]


def test_big5_with_traditional_headings(tmp_path: Path) -> None:
    lines = "編號,需求名稱,主要問題\r\n1,水泵密封壽命提升,密封面磨損快，設備經常停機檢修\r\n"
    path = text(tmp_path / "a.csv", lines, "big5")
    assert values(path) == [
        {"external_id": "1", "title": "水泵密封壽命提升", "problem": "密封面磨損快，設備經常停機檢修"}
    ]


@pytest.mark.parametrize(
    "content",
    ['[{"external_id": 1, "title": "甲"},\n {"需求名称": "乙"}]', '[\n{"id": 1, "title": "甲"}, {"title": "乙"}\n]\n'],
)
@pytest.mark.parametrize("suffix", [".json", ".jsonl"])
def test_a_json_array_is_read_as_its_items(tmp_path: Path, suffix: str, content: str) -> None:
    path = text(tmp_path / f"a{suffix}", content)
    assert values(path) == [{"external_id": "1", "title": "甲"}, {"title": "乙"}]


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("&lt;5&mu;m&gt;铝箔&nbsp;表面处理", "<5μm>铝箔 表面处理"), ("<p>甲</p><p>乙</p>", "甲\n乙"), ("甲<br>乙", "甲\n乙"),
        ("<div>寿命&ge;5年</div>", "寿命≥5年"), ("a < b 且 c > d", "a < b 且 c > d"), ("<b>&amp;</b>", "<b>&amp;</b>"),
    ],
)  # fmt: skip
def test_markup_of_a_web_editor_is_taken_off(tmp_path: Path, written: str, meant: str) -> None:
    path = text(tmp_path / "a.jsonl", json.dumps({"title": "甲", "problem": written}))
    assert values(path)[0]["problem"] == meant


@pytest.mark.parametrize(
    ("heading", "cell", "field", "meant"),
    [
        ("国别", "中国", "country", "CN"), ("国别", "cn", "country", "CN"), ("国籍", "美国", "country", "US"), ("语言", "中文", "language", "zh"),
        ("语言", "zh-CN", "language", "zh"), ("语言", "英语", "language", "en"), ("承接能力", "3项", "capacity", "3"), ("承接能力", "三项", "capacity", "3"),
        ("类别", "院士", "kind", "expert"), ("类别", "企业专家", "kind", "expert"), ("可见性", "不公开", "visibility", "hidden"),
    ],
)  # fmt: skip
def test_values_of_profiles_as_people_write_them(
    tmp_path: Path, heading: str, cell: str, field: str, meant: str
) -> None:
    (row,) = column(tmp_path, heading, cell, what="profiles")
    assert row.values is not None
    assert row.values[field] == meant


@pytest.mark.parametrize(
    "code",
    [
        "91350100m000100y43",
        "91350100M000100Y43 ",
        "９１３５０１００Ｍ０００１００Ｙ４３",
        '="91350100M000100Y43"',
        "91350100 M000100 Y43",
    ],
)
def test_credit_codes_in_any_wrapping(tmp_path: Path, code: str) -> None:
    (row,) = rows(table(tmp_path / "a.csv", ["名称", "统一社会信用代码"], ["某厂", code]), "organizations")
    assert row.values == {"name": "某厂", "credit_code": "91350100M000100Y43"}


@pytest.mark.parametrize(
    ("cell", "meant"),
    [("高等院校", "university"), ("研究机构", "institute"), ("民营企业", "enterprise"), ("国有企业", "enterprise"), ("行业协会", "society"), ("事业单位", "other")],
)  # fmt: skip
def test_kinds_of_organizations_as_people_call_them(tmp_path: Path, cell: str, meant: str) -> None:
    (row,) = column(tmp_path, "单位性质", cell, what="organizations")
    assert row.values is not None
    assert row.values["kind"] == meant


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('<row r="2">', '<row r="2000000000">'), ('r="A2"', 'r="A2000000000"'), ('r="B2"', 'r="XFD2"'), ('r="A2"', 'r="A1048576"'),
        ('r="A2"', 'r="AAAAAAA2"'),
    ],
)  # fmt: skip
def test_a_cell_far_out_is_refused_and_fills_no_memory(tmp_path: Path, old: str, new: str) -> None:
    path = book(tmp_path / "a.xlsx", HEADINGS, ["1", "甲", "a"])
    edited(path, SHEET, old, new)
    with pytest.raises(InvalidInput) as refused:
        rows(path)
    assert refused.value.code == "sheet_too_big"


def test_an_empty_cell_far_out_costs_nothing(tmp_path: Path) -> None:
    path = book(tmp_path / "a.xlsx", HEADINGS, ["1", "甲", "a"])
    edited(path, SHEET, "</sheetData>", '<row r="1048576"><c r="XFD1048576" s="0"/></row></sheetData>')
    assert len(values(path)) == 1


def test_a_zip_that_unpacks_to_too_much_is_refused(tmp_path: Path) -> None:
    path = book(tmp_path / "a.xlsx", HEADINGS, ["1", "甲", "a"])
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as package, package.open("xl/media/a.png", "w") as part:
        for _ in range(720):
            part.write(bytes(1_000_000))
    with pytest.raises(InvalidInput) as refused:
        opened(path)
    assert refused.value.code == "file_too_big"


def test_one_giant_cell_costs_its_row(tmp_path: Path) -> None:
    path = book(tmp_path / "a.xlsx", HEADINGS, ["1", "甲", "PLACE"], ["2", "乙", "b"])
    edited(path, SHEET, "PLACE", "长" * 2_000_000)
    first, second = rows(path)
    assert [(finding.code, len(finding.value or "") < 100) for finding in first.findings] == [("cell_too_long", True)]
    assert second.values is not None


async def load(database: Database, path: Path, what: str = "demands", **defaults: Any) -> ImportReport:
    return await import_file(database, what, path, COMMAND_LINE, defaults=defaults)


async def test_an_id_that_stands_twice_in_a_file_is_told(database: Database, tmp_path: Path) -> None:
    report = await load(
        database, table(tmp_path / "a.csv", HEADINGS, ["1", "甲", "a"], ["2", "乙", "b"], ["1", "丙", "c"])
    )
    assert (report.created, report.updated) == (2, 1)
    assert [(finding.line, finding.value) for finding in report.told_of("repeated_id")] == [(4, "1")]


async def test_enterprises_by_name_are_found_or_made_and_alike_ones_told(database: Database, tmp_path: Path) -> None:
    await load(
        database, table(tmp_path / "o.csv", ["编号", "名称"], ["O-1", "佛山市精密传动有限公司"]), "organizations"
    )
    path = table(
        tmp_path / "a.csv",
        ["编号", "需求名称", "企业名称"],
        ["1", "甲", "佛山市精密传动有限公司"],
        ["2", "乙", "佛山精密传动股份有限公司"],
        ["3", "丙", "佛山精密传动股份有限公司"],
        ["4", "丁", "某某大学"],
    )
    report = await load(database, path)
    assert (report.created, report.organizations_created) == (4, 2)
    assert [finding.value for finding in report.told_of("like_organization")] == ["佛山精密传动股份有限公司"]
    async with database.reading() as session:
        statement = select(DemandRow.external_id, OrganizationRow.name, OrganizationRow.kind).join(
            OrganizationRow, OrganizationRow.id == DemandRow.organization_id
        )
        found = {row[0]: (row[1], row[2]) for row in await session.execute(statement)}
    assert found == {
        "1": ("佛山市精密传动有限公司", "enterprise"),
        "2": ("佛山精密传动股份有限公司", "enterprise"),
        "3": ("佛山精密传动股份有限公司", "enterprise"),
        "4": ("某某大学", "university"),
    }
    again = await load(database, path)
    assert (again.unchanged, again.organizations_created) == (4, 0)


async def test_a_preview_stores_nothing_and_counts_as_the_import_does(database: Database, tmp_path: Path) -> None:
    path = table(tmp_path / "a.csv", ["编号", "需求名称", "企业名称"], ["1", "甲", "某泵厂"], ["2", "", "某泵厂"])
    before = await preview_file(database, "demands", path, COMMAND_LINE, defaults={})
    async with database.reading() as session:
        assert (await session.scalars(select(DemandRow.id))).all() == []
        assert (await session.scalars(select(OrganizationRow.id))).all() == []
    after = await load(database, path)
    assert (before.created, len(before.bad_rows)) == (after.created, len(after.bad_rows)) == (1, 1)


async def test_refused_rows_go_back_corrected(database: Database, tmp_path: Path) -> None:
    path = book(
        tmp_path / "a.xlsx",
        ["佛山市技术需求表"],
        ["编号", "需求名称", "截止日期", "备用"],
        ["1", "甲", "2026/12/31", "x"],
        ["2", "乙", "年底", "y"],
        ["合计2项"],
    )
    report = await load(database, path)
    assert (report.created, report.passed_over) == (1, 1)
    rejects = tmp_path / "rejects.xlsx"
    assert write_rejects("demands", path, rejects, report) == 1
    contents = opened(rejects)
    assert [finding.heading for finding in contents.findings] == ["备用", "原位置", REASON]
    (row,) = contents.rows()
    assert row.raw[:4] == ["2", "乙", "年底", "y"]
    assert "截止日期" in str(row.raw[5])


@pytest.mark.parametrize(
    ("name", "what", "n_stored", "n_refused"),
    [
        ("01_dimension_A1.xlsx", "demands", 2, 0),
        ("01b_dimension_A1_C2.xlsx", "demands", 2, 0),
        ("02_x000D.xlsx", "demands", 1, 0),
        ("03_title_row.xlsx", "demands", 2, 0),
        ("04_merged_org.xlsx", "demands", 2, 0),
        ("06_instructions_first.xlsx", "demands", 2, 0),
        ("08_date_serial.xlsx", "demands", 2, 0),
        ("10_ids_scientific.csv", "demands", 0, 3),
        ("11_dates_slash.csv", "demands", 8, 0),
        ("12_guarded_codes.csv", "demands", 12, 0),
        ("13_unicode_text.csv", "demands", 1, 0),
        ("13c_sep_line.csv", "demands", 1, 0),
        ("14_keyword_separators.csv", "demands", 7, 0),
        ("15b_error_values.xlsx", "demands", 0, 2),
        ("16_heading_variants.xlsx", "demands", 1, 0),
        ("17b_gbk_bom.csv", "demands", 1, 0),
        ("18_people_values.csv", "demands", 5, 0),
        ("20_array.json", "demands", 2, 0),
        ("21_html.jsonl", "demands", 1, 0),
        ("22_profile_values.csv", "profiles", 5, 0),
        ("23_demand_form_headings.csv", "demands", 1, 0),
        ("24_org_kinds.csv", "organizations", 3, 4),  # three repeat the credit code of the first
        ("26_trailing_commas.csv", "demands", 2, 0),
        ("27_numeric_id.jsonl", "demands", 3, 0),
        ("30_notes_below.csv", "demands", 1, 0),
    ],
)
async def test_the_handed_files(  # noqa: PLR0917
    database: Database, tmp_path: Path, name: str, what: str, n_stored: int, n_refused: int
) -> None:
    await load(database, table(tmp_path / "o.csv", ["编号", "名称"], ["ORG-1", "某厂"]), "organizations")
    report = await load(database, Path(__file__).parent / "field" / name, what)
    assert (report.created, len(report.bad_rows)) == (n_stored, n_refused)
    if name == "02_x000D.xlsx":
        async with database.reading() as session:
            assert await session.scalar(select(DemandRow.problem)) == "第一行\n第二行"
    if name == "04_merged_org.xlsx":
        async with database.reading() as session:
            assert None not in (await session.scalars(select(DemandRow.organization_id))).all()
