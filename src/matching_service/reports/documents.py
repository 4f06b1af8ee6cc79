"""Fill a Word template: values inside sentences, tables and charts in place of paragraphs.

Word splits a sentence into runs arbitrarily, so a placeholder may span several runs. The first of them receives the
value and decides its format.
"""

from collections.abc import Iterator, Sequence
from copy import deepcopy
from io import BytesIO
from typing import Any
from unicodedata import east_asian_width

from docx import Document
from docx.document import Document as WordDocument
from docx.enum.text import WD_ALIGN_PARAGRAPH
from docx.opc.constants import RELATIONSHIP_TYPE
from docx.opc.exceptions import PackageNotFoundError
from docx.opc.packuri import PackURI
from docx.opc.part import Part
from docx.oxml import parse_xml
from docx.oxml.ns import nsdecls, qn
from docx.shared import Cm, Twips

from matching_service.reports.charts import HEIGHT_CM, WIDTH_CM, bar_chart, chart_part
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

_CHART_TYPE = "application/vnd.openxmlformats-officedocument.drawingml.chart+xml"
_TABLE_STYLE = "Table Grid"


def mistakes_in_document(template: bytes) -> list[str]:
    """Return a message for every placeholder that cannot be filled, with its sentence.

    Raises ValueError if the file is not a Word document.
    """
    try:
        document = Document(BytesIO(template))
    except PackageNotFoundError as error:
        raise ValueError(str(error)) from error
    mistakes: list[str] = []
    for paragraph, is_body in _paragraphs(document):
        text = _text(paragraph)
        for kind, name in PLACEHOLDER.findall(text):
            where = f"“{text.strip()[:80]}”"
            if (error_message := placeholder_error(kind or None, name)) is not None:
                mistakes.append(f"{where}: {error_message}")
            elif kind and not (is_body and PLACEHOLDER.fullmatch(text.strip())):
                mistakes.append(f"{where}: 须在正文中独占一段 must be a paragraph of its own in the body")
    return mistakes


def write_document(template: bytes, report: Report) -> bytes:
    """Fill the template with the report. CPU work. Requires a template without mistakes."""
    document = Document(BytesIO(template))
    columns = table_columns()
    n_charts = 0
    for paragraph, _ in list(_paragraphs(document)):
        alone = PLACEHOLDER.fullmatch(_text(paragraph).strip())
        kind, name = alone.groups() if alone else (None, "")
        if kind == "table":
            if rows := table_rows(report, name, columns[name]):
                paragraph.addprevious(_add_table(document, paragraph, columns[name], rows)._tbl)  # noqa: SLF001
            words = "" if rows else NO_DATA  # the empty paragraph keeps two adjacent tables apart
            _fill(paragraph, [((0, len(_text(paragraph))), words)])
        elif kind == "chart":
            n_charts += 1
            _fill(paragraph, [((0, len(_text(paragraph))), "")])
            _draw(document, paragraph, name, columns[CHARTS[name].table], report, number=n_charts)
        else:
            _fill(paragraph, list(_values(_text(paragraph), report)))
    file = BytesIO()
    document.save(file)
    return file.getvalue()


def _paragraphs(document: WordDocument) -> Iterator[tuple[Any, bool]]:
    """Yield every paragraph with a placeholder, and whether it is directly in the body.

    Includes paragraphs in tables, text boxes, headers and footers.
    """
    body = document.element.body
    margins = [
        part
        for section in document.sections
        for part in (section.header, section.footer, section.first_page_header, section.first_page_footer)
        if not part.is_linked_to_previous
    ]
    for root in (body, *(part._element for part in margins)):  # noqa: SLF001
        for paragraph in root.iter(qn("w:p")):
            if PLACEHOLDER.search(_text(paragraph)):
                yield paragraph, paragraph.getparent() is body


def _runs(paragraph: Any) -> list[Any]:
    """Return the text elements of a paragraph, without those of nested paragraphs (text boxes)."""
    own = qn("w:p")
    return [text for text in paragraph.iter(qn("w:t")) if next(text.iterancestors(own)) is paragraph]


def _text(paragraph: Any) -> str:
    return "".join(text.text or "" for text in _runs(paragraph))


def _values(text: str, report: Report) -> Iterator[tuple[tuple[int, int], str]]:
    fields = dict(value_names())
    for match in PLACEHOLDER.finditer(text):
        name = match[2]
        yield match.span(), as_text(value_at(report, name), is_share=PERCENT in fields[name].metadata)


def _fill(paragraph: Any, replacements: Sequence[tuple[tuple[int, int], str]]) -> None:
    """Replace spans of the paragraph's text, last span first, so that the earlier spans stay valid."""
    runs = _runs(paragraph)
    for (start, end), words in reversed(replacements):
        position = 0
        for run in runs:
            text = run.text or ""
            left, right = max(start - position, 0), min(end - position, len(text))
            if left < right:
                is_first = start >= position
                run.text = text[:left] + (words if is_first else "") + text[right:]
                run.set(qn("xml:space"), "preserve")
            position += len(text)


def _add_table(
    document: WordDocument, paragraph: Any, columns: Sequence[Column], rows: Sequence[Sequence[Cell]]
) -> Any:
    """Add a table. Its text has the format of the placeholder."""
    has_style = any(style.name == _TABLE_STYLE for style in document.styles)
    table = document.add_table(rows=len(rows) + 1, cols=len(columns), style=_TABLE_STYLE if has_style else None)
    table.rows[0]._tr.get_or_add_trPr().append(parse_xml(f"<w:tblHeader {nsdecls('w')}/>"))  # noqa: SLF001
    texts = [[column.heading for column in columns]]
    texts += [[as_text(v, is_share=c.is_share) for c, v in zip(columns, row, strict=True)] for row in rows]
    text_format = paragraph.find(f"{qn('w:r')}/{qn('w:rPr')}")
    section = document.sections[0]
    room = (section.page_width or Cm(21)) - (section.left_margin or 0) - (section.right_margin or 0)
    widths = _widths(texts, room)
    are_numbers = [all(isinstance(row[i], int | float | None) for row in rows) for i in range(len(columns))]
    table.autofit = False
    for row, words in zip(table.rows, texts, strict=True):
        row._tr.get_or_add_trPr().append(parse_xml(f"<w:cantSplit {nsdecls('w')}/>"))  # noqa: SLF001
        for cell, word, width, is_number in zip(row.cells, words, widths, are_numbers, strict=True):
            cell.width = width
            if is_number:
                cell.paragraphs[0].alignment = WD_ALIGN_PARAGRAPH.RIGHT
            run = cell.paragraphs[0].add_run(word)
            if text_format is not None:
                run._r.insert(0, deepcopy(text_format))  # noqa: SLF001
            run.bold = words is texts[0] or None
    return table


def _widths(texts: Sequence[Sequence[str]], room: int) -> list[int]:
    """Share the width among the columns by their longest texts, so that a name is not broken into many lines."""
    longest = [min(max(_columns_of(row[i]) for row in texts), 30) + 2 for i in range(len(texts[0]))]
    return [Twips(room // Twips(1) * one // sum(longest)) for one in longest]


def _columns_of(text: str) -> int:
    return sum(2 if east_asian_width(character) in "WF" else 1 for character in text)


def _draw(
    document: WordDocument, paragraph: Any, name: str, columns: Sequence[Column], report: Report, *, number: int
) -> None:
    spec = CHARTS[name]
    by_name = {column.name: column for column in columns}
    rows = getattr(report, spec.table)
    labels = [as_text(getattr(row, spec.labels)) for row in rows]
    series = [(by_name[value].heading, [getattr(row, value) for row in rows]) for value in spec.values]
    chart = bar_chart(spec.title, is_share=by_name[spec.values[0]].is_share)
    uri = PackURI(f"/word/charts/report{number}.xml")
    part = Part(uri, _CHART_TYPE, chart_part(chart, labels, series), document.part.package)
    reference = document.part.relate_to(part, RELATIONSHIP_TYPE.CHART)
    drawing = f"""<w:r {nsdecls("w", "wp", "a", "r")} xmlns:c="http://schemas.openxmlformats.org/drawingml/2006/chart">
        <w:drawing><wp:inline><wp:extent cx="{Cm(WIDTH_CM)}" cy="{Cm(HEIGHT_CM)}"/>
        <wp:docPr id="{9000 + number}" name="{name}" descr="{spec.title}"/><wp:cNvGraphicFramePr/>
        <a:graphic><a:graphicData uri="http://schemas.openxmlformats.org/drawingml/2006/chart">
        <c:chart r:id="{reference}"/></a:graphicData></a:graphic></wp:inline></w:drawing></w:r>"""
    paragraph.append(parse_xml(drawing))
