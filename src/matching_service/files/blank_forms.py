"""The form of a demand as Word or Excel, empty or filled in, from the same table of labels that reads it."""

from collections.abc import Mapping
from io import BytesIO
from typing import Any

from docx import Document
from docx.enum.text import WD_ALIGN_PARAGRAPH
from docx.oxml import parse_xml
from docx.oxml.ns import nsdecls, qn
from docx.shared import Cm, Pt
from openpyxl import Workbook
from openpyxl.styles import Alignment, Border, Font, Side
from openpyxl.worksheet.properties import PageSetupProperties
from openpyxl.worksheet.worksheet import Worksheet

from matching_service.files.forms import FORM_LABELS, PARTS
from matching_service.files.headings import FORMS
from matching_service.files.values import cell_of

TITLE = "技术需求征集表"
_WIDE = {*PARTS, "title", "keywords", "wanted_partners", "must_have", "nice_to_have", "cooperation"}
_COOPERATION = {"joint": "联合攻关", "independent": "独立研发", "commissioned": "委托研发", "other": "其他"}
_HINTS = {"problem": "500字以内", "key_technology": "500字以内", "expected_goal": "500字以内", "keywords": "用“；”分隔"}
_STAMP = "企业（盖章）：                         填报日期：        年    月    日"
_GRID = ("top", "left", "bottom", "right", "insideH", "insideV")


def demand_form_docx(values: Mapping[str, Any] | None = None) -> bytes:
    """Return the form as a Word document. ``values``: by the names of ``FORM_LABELS``, as the contract has them."""
    document = Document()
    section = document.sections[0]
    section.page_width, section.page_height = Cm(21), Cm(29.7)
    section.left_margin = section.right_margin = Cm(2.5)
    style = document.styles["Normal"]
    style.font.name, style.font.size = "宋体", Pt(11)
    style.element.get_or_add_rPr().get_or_add_rFonts().set(qn("w:eastAsia"), "宋体")
    heading = document.add_paragraph()
    heading.alignment = WD_ALIGN_PARAGRAPH.CENTER
    run = heading.add_run(TITLE)
    run.bold, run.font.size = True, Pt(18)
    lines = _lines(values or {})
    table = document.add_table(rows=len(lines), cols=4)
    borders = "".join(f'<w:{side} w:val="single" w:sz="4" w:color="000000"/>' for side in _GRID)
    table._tbl.tblPr.append(parse_xml(f"<w:tblBorders {nsdecls('w')}>{borders}</w:tblBorders>"))  # noqa: SLF001
    table.autofit = False
    for row, pairs in zip(table.rows, lines, strict=True):
        cells = row.cells
        for cell, width in zip(cells, (Cm(3.2), Cm(4.8), Cm(3.2), Cm(4.8)), strict=True):
            cell.width = width
        if len(pairs) == 1:
            cells[1].merge(cells[3])
        for place, (label, text) in enumerate(pairs):
            cells[2 * place].paragraphs[0].add_run(label).bold = True
            cells[2 * place + 1].text = text
        row.height = Cm(2.6) if pairs[0][0].endswith("500字以内）") else Cm(0.9)
        row._tr.get_or_add_trPr().append(parse_xml(f"<w:cantSplit {nsdecls('w')}/>"))  # noqa: SLF001
    document.add_paragraph()
    document.add_paragraph(_STAMP)
    file = BytesIO()
    document.save(file)
    return file.getvalue()


def demand_form_xlsx(values: Mapping[str, Any] | None = None) -> bytes:
    """Return the form as a workbook, laid out like the Word document."""
    book = Workbook()
    sheet: Worksheet = book.worksheets[0]
    sheet.title = TITLE
    for letter, width in zip("ABCD", (20, 28, 20, 28), strict=True):
        sheet.column_dimensions[letter].width = width
    sheet.page_setup.paperSize, sheet.page_setup.orientation = 9, "portrait"
    sheet.page_setup.fitToHeight = 0
    sheet.sheet_properties.pageSetUpPr = PageSetupProperties(fitToPage=True)
    sheet.merge_cells("A1:D1")
    sheet["A1"].value = TITLE
    sheet["A1"].font, sheet["A1"].alignment = Font(bold=True, size=16), Alignment(horizontal="center")
    line = Side(style="thin")
    number = 2
    for pairs in _lines(values or {}):
        for column in range(1, 5):
            sheet.cell(number, column).border = Border(line, line, line, line)
            sheet.cell(number, column).alignment = Alignment(wrap_text=True, vertical="center")
            sheet.cell(number, column).number_format = "@"
        for place, (label, text) in enumerate(pairs):
            sheet.cell(number, 2 * place + 1, label).font = Font(bold=True)
            cell = sheet.cell(number, 2 * place + 2, text or None)
            if text:
                cell.data_type = "s"  # never a formula
        if len(pairs) == 1:
            sheet.merge_cells(start_row=number, start_column=2, end_row=number, end_column=4)
        sheet.row_dimensions[number].height = 90 if pairs[0][0].endswith("500字以内）") else 26
        number += 1
    sheet.merge_cells(start_row=number + 1, start_column=1, end_row=number + 1, end_column=4)
    sheet.cell(number + 1, 1, _STAMP)
    file = BytesIO()
    book.save(file)
    return file.getvalue()


def _lines(values: Mapping[str, Any]) -> list[list[tuple[str, str]]]:
    """The rows of the form: one pair of label and value where the value needs the width, else two."""
    lines: list[list[tuple[str, str]]] = []
    is_open = False
    for name, label in FORM_LABELS.items():
        pair = (f"{label}（{_HINTS[name]}）" if name in _HINTS else label, _value(name, values))
        if name in _WIDE:
            lines.append([pair])
            is_open = False
        elif is_open:
            lines[-1].append(pair)
            is_open = False
        else:
            lines.append([pair])
            is_open = True
    return lines


def _value(name: str, values: Mapping[str, Any]) -> str:
    if name == "cooperation":
        chosen = values.get(name)
        return "  ".join(f"{'☑' if code == chosen else '□'}{text}" for code, text in _COOPERATION.items())
    if name == "years":
        start, end = values.get("start_year"), values.get("end_year")
        return f"{start or end}年—{end or start}年" if start or end else ""
    value = cell_of(name, values.get(name), FORMS["demands"])
    return "" if value is None else str(value)
