"""The list of one demand for an office: as a sheet, and as a letter to the enterprise."""

from dataclasses import dataclass
from datetime import date
from io import BytesIO
from types import MappingProxyType

from docx import Document
from docx.document import Document as WordDocument
from docx.enum.text import WD_ALIGN_PARAGRAPH
from docx.oxml import OxmlElement, parse_xml
from docx.oxml.ns import nsdecls, qn
from docx.shared import Cm, Pt
from openpyxl import Workbook
from openpyxl.styles import Alignment, Border, Font, PatternFill, Side
from openpyxl.worksheet.properties import PageSetupProperties
from openpyxl.worksheet.worksheet import Worksheet
from sqlalchemy.ext.asyncio import AsyncSession

from matching_service.demands.queries import get_demand
from matching_service.files.texts import guard_formula
from matching_service.foundation.clock import today
from matching_service.foundation.errors import Bilingual, NotFound
from matching_service.profiles.schemas import KIND_NAMES
from matching_service.shortlists.visible import visible_lists
from matching_service.store.organizations import OrganizationRow

_LEVELS = MappingProxyType({"strong": "高度匹配", "related": "相关", "weak": "弱相关", "none": "不相关"})
_DECISIONS = MappingProxyType({"pinned": "置顶", "shortlisted": "入选", "rejected": "不采用"})
_HEADINGS = ("序号", "名称", "类别", "所属单位", "匹配程度", "推荐理由", "处理意见")
_WIDTHS_CM = (1.1, 2.6, 1.6, 3.2, 1.8, 5.0, 1.5)
_WIDTHS = (6, 24, 12, 30, 12, 60, 12)
_NO_LIST = Bilingual("该需求还没有推荐名单，请先匹配。", "The demand has no list yet; match it first.")


@dataclass(frozen=True, slots=True)
class Shortlist:
    """A visible list in words. ``rows`` have a cell per heading."""

    title: str
    organization: str | None
    day: date
    rows: tuple[tuple[int | str, ...], ...]


async def read_shortlist(session: AsyncSession, demand_id: str) -> Shortlist:
    """Read the list that people see today; raises NotFound where the demand or its list is missing."""
    demand = await get_demand(session, demand_id)
    visible = (await visible_lists(session, [demand])).get(demand_id)
    if visible is None:
        raise NotFound("no_match_run", _NO_LIST)
    owner = await session.get(OrganizationRow, demand.organization_id) if demand.organization_id else None
    rows = tuple(
        (
            place,
            entry.profile.name,
            KIND_NAMES[entry.profile.kind].zh,
            entry.organization_name or "",
            _LEVELS.get(entry.match.level, entry.match.level),
            (entry.match.explanation or {}).get("reason", {}).get("zh") or "",
            _DECISIONS.get(entry.decided or "", ""),
        )
        for place, entry in enumerate(visible.matches, start=1)
    )
    return Shortlist(demand.title, owner.name if owner is not None else None, today(), rows)


def shortlist_xlsx(shortlist: Shortlist) -> bytes:
    """Return the list as a sheet that prints on landscape pages with its headings repeated."""
    book = Workbook()
    sheet: Worksheet = book.worksheets[0]
    sheet.title = "推荐名单"
    sheet.append([f"“{shortlist.title}”推荐名单"])
    sheet.append([f"需求单位：{shortlist.organization or '—'}    日期：{_in_words(shortlist.day)}"])
    sheet.append(_HEADINGS)
    line = Side(style="thin", color="999999")
    for values in shortlist.rows:
        sheet.append(values)
    for row in sheet.iter_rows(min_row=3, max_col=len(_HEADINGS)):
        for cell in row:
            cell.border = Border(line, line, line, line)
            cell.alignment = Alignment(wrap_text=True, vertical="top")
            if cell.row == 3:  # the headings
                cell.font, cell.fill = Font(bold=True), PatternFill("solid", fgColor="DDEBF7")
    for row in sheet.iter_rows():
        for cell in row:
            if isinstance(cell.value, str):
                cell.data_type = "s"  # never a formula
                cell.quotePrefix = guard_formula(cell.value) != cell.value
    sheet["A1"].font = Font(bold=True, size=14)
    for letter, width in zip("ABCDEFG", _WIDTHS, strict=True):
        sheet.column_dimensions[letter].width = width
    sheet.freeze_panes, sheet.print_title_rows = "A4", "3:3"
    sheet.page_setup.paperSize, sheet.page_setup.orientation, sheet.page_setup.fitToHeight = 9, "landscape", 0
    sheet.sheet_properties.pageSetUpPr = PageSetupProperties(fitToPage=True)
    file = BytesIO()
    book.save(file)
    return file.getvalue()


def shortlist_docx(shortlist: Shortlist) -> bytes:
    """Return the list as a letter to the enterprise, with page numbers. What staff rejected is left out."""
    document = Document()
    section = document.sections[0]
    section.page_width, section.page_height = Cm(21), Cm(29.7)
    section.left_margin = section.right_margin = Cm(2.1)
    style = document.styles["Normal"]
    style.font.name, style.font.size = "宋体", Pt(12)
    style.element.get_or_add_rPr().get_or_add_rFonts().set(qn("w:eastAsia"), "宋体")
    heading = document.add_paragraph()
    heading.alignment = WD_ALIGN_PARAGRAPH.CENTER
    run = heading.add_run("关于技术需求推荐对接名单的函")
    run.bold, run.font.size = True, Pt(18)
    document.add_paragraph(f"{shortlist.organization or '需求单位'}：")
    rows = [row for row in shortlist.rows if row[-1] != _DECISIONS["rejected"]]
    opening = (
        f"贵单位提出的技术需求“{shortlist.title}”收悉。经匹配，现推荐下列 {len(rows)} 个对接对象，供贵单位选择。"
        if rows
        else f"贵单位提出的技术需求“{shortlist.title}”收悉。目前暂无合适的对接对象，有新的匹配结果将及时告知。"
    )
    document.add_paragraph(opening).paragraph_format.first_line_indent = Pt(24)
    if rows:
        _add_table(document, rows)
        document.add_paragraph()
        closing = document.add_paragraph("请贵单位研究后反馈对接意向，我们将协助联系。")
        closing.paragraph_format.first_line_indent = Pt(24)
    for text in ("（发函单位盖章）", _in_words(shortlist.day)):
        document.add_paragraph(text).alignment = WD_ALIGN_PARAGRAPH.RIGHT
    footer = section.footer.paragraphs[0]
    footer.alignment = WD_ALIGN_PARAGRAPH.CENTER
    footer.add_run("第 ")
    field = OxmlElement("w:fldSimple")
    field.set(qn("w:instr"), "PAGE")
    footer._p.append(field)  # noqa: SLF001
    footer.add_run(" 页")
    file = BytesIO()
    document.save(file)
    return file.getvalue()


def _add_table(document: WordDocument, rows: list[tuple[int | str, ...]]) -> None:
    """Add the rows without the opinion of staff, which is not for the enterprise."""
    columns = len(_HEADINGS) - 1
    table = document.add_table(rows=len(rows) + 1, cols=columns, style="Table Grid")
    table.autofit = False
    table.rows[0]._tr.get_or_add_trPr().append(parse_xml(f"<w:tblHeader {nsdecls('w')}/>"))  # noqa: SLF001
    for line, values in zip(table.rows, [_HEADINGS, *rows], strict=True):
        line._tr.get_or_add_trPr().append(parse_xml(f"<w:cantSplit {nsdecls('w')}/>"))  # noqa: SLF001
        for cell, value, width in zip(line.cells, values[:columns], _WIDTHS_CM[:columns], strict=True):
            cell.width = Cm(width)
            run = cell.paragraphs[0].add_run(str(value))
            run.font.size, run.bold = Pt(10.5), values is _HEADINGS


def _in_words(day: date) -> str:
    return f"{day.year}年{day.month}月{day.day}日"
