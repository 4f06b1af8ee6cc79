"""Workbooks to fill in and import: headings, notes, lists of allowed values and an example of each column."""

from collections.abc import Mapping
from io import BytesIO
from typing import Any

from openpyxl import Workbook
from openpyxl.comments import Comment
from openpyxl.styles import Alignment, Font, PatternFill
from openpyxl.utils import get_column_letter
from openpyxl.worksheet.datavalidation import DataValidation
from openpyxl.worksheet.properties import PageSetupProperties
from openpyxl.worksheet.worksheet import Worksheet

from matching_service.files.headings import FORMS, ORGANIZATION_NAME, Form
from matching_service.files.values import DATES, LISTS

_LAST_ROW = 2_000
_OURS = frozenset({"id", "organization_id", "profile_id", "works"})
"""Columns of an exchange between programs; nobody fills them in by hand."""
_EXAMPLES: Mapping[str, Mapping[str, Any]] = {
    "demands": {
        "title": "机器人用谐波减速器疲劳寿命提升", "problem": "柔轮在额定负载下运行约5000小时后齿根出现裂纹。",
        "expected_goal": "额定寿命≥10000小时", "keywords": "谐波减速器；柔轮", "funding_wan": 80, "cooperation": "联合",
        "cluster": "智能制造装备及机器人",
    },
    "profiles": {
        "name": "张某某", "kind": "专家", "title": "教授", "summary": "长期从事精密传动研究。",
        "keywords": "精密传动；谐波减速器", "country": "中国", "language": "中文", "capacity": 3,
    },
    "organizations": {"name": "佛山市某精密传动有限公司", "kind": "企业"},
    "programme": {"title": "机器人产业对接会", "kind": "", "started_on": "2026-03-01"},
}  # fmt: skip
_SHARED_EXAMPLES = {"external_id": "示例-1", ORGANIZATION_NAME: "佛山市某精密传动有限公司", "region": "440605"}


def import_template(what: str) -> bytes:
    """Return the workbook for one kind of record. The example stands on a second sheet, so that nobody imports it."""
    form = FORMS[what]
    names = [name for name in form.labels if name not in _OURS]
    book = Workbook()
    sheet: Worksheet = book.worksheets[0]
    sheet.title = "填写"
    sheet.freeze_panes = "A2"
    sheet.page_setup.orientation, sheet.page_setup.fitToHeight = "landscape", 0
    sheet.sheet_properties.pageSetUpPr = PageSetupProperties(fitToPage=True)
    sheet.print_title_rows = "1:1"
    for column, name in enumerate(names, start=1):
        _column(sheet, column, name, form)
    examples: dict[str, Any] = {**_SHARED_EXAMPLES, **_EXAMPLES[what]}
    if what == "programme":
        examples["kind"] = _choices("kind", form)[0]
    notes = book.create_sheet("填写说明")
    notes.column_dimensions["A"].width = 110
    for name in names:
        # In one cell, so that no label reads like the heading of a table.
        example = f"样例：{examples[name]}" if examples.get(name) else ""
        notes.append([f"【{form.labels[name]}】{_note(name, form)}{example}"])
    for row in notes.iter_rows():
        for cell in row:
            cell.alignment = Alignment(wrap_text=True, vertical="top")
    file = BytesIO()
    book.save(file)
    return file.getvalue()


def _column(sheet: Worksheet, column: int, name: str, form: Form) -> None:
    letter = get_column_letter(column)
    heading = sheet.cell(1, column, f"{form.labels[name]}{'*' if name in form.required else ''}")
    heading.font, heading.fill = Font(bold=True), PatternFill("solid", fgColor="DDEBF7")
    heading.alignment = Alignment(wrap_text=True, vertical="center")
    heading.comment = Comment(_note(name, form), "matching_service", height=120, width=280)
    sheet.column_dimensions[letter].width = max(14, 2 * len(form.labels[name]) + 4)
    is_number = name in {"funding_wan", "capacity", "start_year", "end_year"}
    # The format of whole columns: an id stays text, and a spreadsheet does not round it.
    sheet.column_dimensions[letter].number_format = "yyyy-mm-dd" if name in DATES else "General" if is_number else "@"
    if choices := _choices(name, form):
        allowed = DataValidation("list", formula1=f'"{",".join(choices)}"', allow_blank=True, showErrorMessage=True)
        allowed.error = f"请从列表中选择：{'、'.join(choices)}"
        allowed.add(f"{letter}2:{letter}{_LAST_ROW}")
        sheet.add_data_validation(allowed)


def _choices(name: str, form: Form) -> list[str]:
    """The first name of each allowed value: the one that an export writes."""
    first: dict[str, str] = {}
    for label, code in form.values.get(name, {}).items():
        first.setdefault(code, label)
    return list(first.values())


def _note(name: str, form: Form) -> str:
    parts = ["必填。"] if name in form.required else []
    if choices := _choices(name, form):
        parts.append(f"可填：{'、'.join(choices)}。")
    if name in LISTS:
        parts.append("多项用“；”分隔。")
    if name in DATES:
        parts.append("日期，年在前，如 2026-12-31。")
    parts.append(_HINTS.get(name, ""))
    return "".join(parts) or "可不填。"


_HINTS = {
    "external_id": "本单位的编号；再次导入同一编号即为更新。",
    "organization_external_id": "机构在本来源中的编号；填写企业（单位）名称时可不填。",
    ORGANIZATION_NAME: "营业执照上的全称；系统中没有时自动新建。",
    "region": "六位地区代码或规范名称，如 440605 或 佛山市南海区。",
    "funding_wan": "单位为万元，只填数字。",
    "start_year": "四位年份。",
    "end_year": "四位年份，不早于开始年份。",
    "industry_code": "《国民经济行业分类》（GB/T 4754-2017）代码，如 C3453。",
    "credit_code": "18 位统一社会信用代码。",
    "source": "数据来源；可由导入时统一指定。",
    "cluster": "佛山市重点产业集群名称。",
    "title": "200 字以内。",
    "name": "200 字以内。",
}
