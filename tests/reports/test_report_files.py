"""Report files, read back, show the figures of the API; an office's templates are checked for mistakes."""

import asyncio
import io
import shutil
import zipfile
from collections.abc import Iterator
from datetime import UTC, date, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from docx import Document
from docx.enum.text import WD_ALIGN_PARAGRAPH
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from openpyxl import Workbook, load_workbook
from reports.cities import write_third_quarter

from matching_service.foundation.errors import InvalidInput
from matching_service.programme.plan import load_plan
from matching_service.reports import files
from matching_service.reports.content import CHARTS, PLACEHOLDER, as_text, table_columns, value_at, value_names
from matching_service.reports.documents import mistakes_in_document, write_document
from matching_service.reports.files import Templates, load_templates, write_report
from matching_service.reports.schemas import PERCENT, KeywordRow, Report
from matching_service.reports.service import make_report
from matching_service.reports.workbooks import mistakes_in_workbook, write_workbook
from matching_service.store.database import Database

SHIPPED = load_templates(None)
PLAN = load_plan(None)
COLUMNS = table_columns()
VALUES = dict(value_names())
_DOC = Path(__file__).parents[2] / "docs" / "reports.md"
C = "{http://schemas.openxmlformats.org/drawingml/2006/chart}"


@pytest.fixture(scope="module", params=["empty", "busy"])
def report(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, migrated_sqlite: Path) -> Report:
    path = shutil.copy(migrated_sqlite, tmp_path_factory.mktemp("report") / "city.sqlite3")

    async def make() -> Report:
        database = Database(f"sqlite+aiosqlite:///{path}")
        if request.param == "busy":
            async with database.transaction() as session:
                await write_third_quarter(session)
        async with database.snapshot() as session:
            made = await make_report(session, PLAN, "2026-Q3")
        await database.close()
        return made

    return asyncio.run(make())


def words(report: Report, name: str) -> str:
    return as_text(value_at(report, name), is_share=PERCENT in VALUES[name].metadata)


def workbook(*cells: tuple[str, Any]) -> bytes:
    book = Workbook()
    for place, value in cells:
        book.worksheets[0][place] = value
    file = io.BytesIO()
    book.save(file)
    return file.getvalue()


def document(*paragraphs: str | list[str], table: str | None = None, header: str | None = None) -> bytes:
    """Return a template. A list becomes one paragraph of several runs."""
    made = Document()
    for paragraph in paragraphs:
        added = made.add_paragraph()
        for run in [paragraph] if isinstance(paragraph, str) else paragraph:
            added.add_run(run)
    if table is not None:
        made.add_table(1, 1).cell(0, 0).text = table
    if header is not None:
        made.sections[0].header.paragraphs[0].text = header
    file = io.BytesIO()
    made.save(file)
    return file.getvalue()


def texts(file: bytes) -> list[str]:
    return [paragraph.text for paragraph in Document(io.BytesIO(file)).paragraphs]


def parts(file: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(file)) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name) for name in archive.namelist()}


def relations(members: dict[str, bytes]) -> Iterator[tuple[str, str]]:
    """Yield the owner and target of every relation to another part."""
    for name, xml in members.items():
        if name.endswith(".rels"):
            folder = Path(name).parent.parent
            for relation in ET.fromstring(xml):
                if relation.get("TargetMode") != "External":
                    target = relation.get("Target") or ""
                    joined = Path(target[1:]) if target.startswith("/") else folder / target
                    yield name, str(Path("/", joined).resolve())[1:]


@pytest.mark.parametrize("format_", ["xlsx", "docx"])
def test_a_file_is_a_package_whose_parts_have_types_and_whose_relations_lead_somewhere(
    report: Report, format_: files.Format
) -> None:
    members = parts(write_report(report, SHIPPED, format_))
    types = ET.fromstring(members["[Content_Types].xml"])
    overrides = {element.get("PartName") for element in types if element.tag.endswith("Override")}
    endings = {element.get("Extension") for element in types if element.tag.endswith("Default")}
    for name, part in members.items():
        assert f"/{name}" in overrides or name.rsplit(".", 1)[-1] in endings
        if name.endswith((".xml", ".rels")):
            ET.fromstring(part)
    assert {name[1:] for name in overrides if name} <= members.keys()
    for owner, target in relations(members):
        assert target in members, owner
    assert b"{{" not in b"".join(part for name, part in members.items() if name.endswith(".xml"))


def totals(report: Report, name: str) -> list[list[Any]]:
    """The line of totals below the rows of a table, if it has one."""
    named_by = {"by_cluster": "产业集群", "by_district": "地区"}.get(name)
    if named_by is None or not getattr(report, name):
        return []
    return [["合计" if column.heading == named_by else getattr(report.totals, column.name) for column in COLUMNS[name]]]


def test_a_workbook_shows_the_figures_of_the_report(report: Report) -> None:
    template = load_workbook(io.BytesIO(SHIPPED.xlsx))
    book = load_workbook(io.BytesIO(write_report(report, SHIPPED, "xlsx")))
    seen: set[str] = set()
    for sheet in template.worksheets:
        for row in sheet.iter_rows():
            for cell in row:
                if not isinstance(cell.value, str) or not (match := PLACEHOLDER.fullmatch(cell.value)):
                    continue
                kind, name = match.groups()
                filled = book[sheet.title]
                seen.add(f"{kind}:{name}")
                if kind is None:
                    assert filled[cell.coordinate].value == value_at(report, name)
                elif kind == "table":
                    rows = filled.iter_rows(
                        min_row=cell.row, min_col=cell.column, max_col=cell.column + len(COLUMNS[name]) - 1,
                        values_only=True,
                    )  # fmt: skip
                    expected: list[tuple[Any, ...]] = [tuple(column.heading for column in COLUMNS[name])]
                    expected += [
                        tuple(None if (value := getattr(row, column.name)) == "" else value for column in COLUMNS[name])
                        for row in getattr(report, name)
                    ]
                    expected += map(tuple, totals(report, name))
                    assert [row for row in rows if any(cell is not None for cell in row)] == expected
    assert {f"table:{name}" for name in COLUMNS} <= seen
    assert {f"None:{name}" for name in VALUES if name.split(".")[0] not in {"period", "made_at"}} <= seen
    assert book["概览"]["B25"].number_format == "0.0%"


def test_a_workbook_prints_on_landscape_pages_with_its_headings_repeated(report: Report) -> None:
    book = load_workbook(io.BytesIO(write_report(report, SHIPPED, "xlsx")))
    for sheet in book.worksheets:
        assert sheet.page_setup.orientation == "landscape"
        assert sheet.sheet_properties.pageSetUpPr is not None
        assert sheet.sheet_properties.pageSetUpPr.fitToPage
    assert [sheet.title for sheet in book.worksheets if not sheet.print_title_rows] == ["概览"]


def test_a_document_has_page_numbers_wide_names_and_numbers_to_the_right(report: Report) -> None:
    made = Document(io.BytesIO(write_report(report, SHIPPED, "docx")))
    assert any('w:instr="PAGE"' in paragraph._p.xml for paragraph in made.sections[0].footer.paragraphs)
    section = made.sections[0]
    room = int(section.page_width or 0) - int(section.left_margin or 0) - int(section.right_margin or 0)
    assert made.tables
    for table in made.tables:
        widths = [int(cell.width or 0) for cell in table.rows[0].cells]
        assert 0.99 * room < sum(widths) <= room
    assert any(cell.paragraphs[0].alignment == WD_ALIGN_PARAGRAPH.RIGHT for cell in made.tables[0].rows[0].cells)


def test_charts_of_a_workbook_refer_to_its_tables(report: Report) -> None:
    book: Any = load_workbook(io.BytesIO(write_report(report, SHIPPED, "xlsx")))
    charts = {chart.title.tx.rich.p[0].r[0].t: (sheet, chart) for sheet in book.worksheets for chart in sheet._charts}
    assert set(charts) == {chart.title for chart in CHARTS.values()}
    _, funnel = charts["需求从征集到验收"]
    (series,) = funnel.series
    sheet, area = series.val.numRef.f.split("!")
    cells = [row[0].value for row in book[sheet.strip("'")][area.replace("$", "")]]
    assert cells == [row.n for row in report.funnel]
    _, clusters = charts["各产业集群需求"]
    sheet, area = clusters.series[0].val.numRef.f.split("!")
    cells = [row[0].value for row in book[sheet.strip("'")][area.replace("$", "")]]
    assert cells == [row.intake for row in report.by_cluster]  # without the line of totals


def test_a_document_shows_the_figures_of_the_report(report: Report) -> None:
    template = Document(io.BytesIO(SHIPPED.docx))
    made = Document(io.BytesIO(write_report(report, SHIPPED, "docx")))
    expected: list[str] = []
    names: list[str] = []
    for paragraph in template.paragraphs:
        alone = PLACEHOLDER.fullmatch(paragraph.text)
        if alone is None or alone[1] is None:
            expected.append(PLACEHOLDER.sub(lambda match: words(report, match[2]), paragraph.text))
        elif alone[1] == "table":
            names.append(alone[2])
            expected.append("" if getattr(report, alone[2]) else "（本期无数据）")
    assert [paragraph.text for paragraph in made.paragraphs if paragraph.text] == [text for text in expected if text]
    assert set(names) == set(COLUMNS) - {"funnel"}
    for name, table in zip((name for name in names if getattr(report, name)), made.tables, strict=True):
        shown = [[cell.text for cell in row.cells] for row in table.rows]
        assert shown[0] == [column.heading for column in COLUMNS[name]]
        assert shown[1:] == [
            [as_text(getattr(row, column.name), is_share=column.is_share) for column in COLUMNS[name]]
            for row in getattr(report, name)
        ] + [[as_text(value) for value in row] for row in totals(report, name)]
    assert made.sections[0].footer.paragraphs[0].text == "2026年第三季度"


def test_charts_of_a_document_hold_the_figures_themselves(report: Report) -> None:
    members = parts(write_report(report, SHIPPED, "docx"))
    charts: list[Any] = [ET.fromstring(xml) for name, xml in members.items() if name.startswith("word/charts/")]
    by_title = {"".join(chart.find(f".//{C}title").itertext()).strip(): chart for chart in charts}
    assert set(by_title) == {chart.title for chart in CHARTS.values()}
    for chart in CHARTS.values():
        rows = getattr(report, chart.table)
        for series, name in zip(by_title[chart.title].iter(f"{C}ser"), chart.values, strict=True):
            labels = [point.find(f"{C}v").text for point in series.find(f"{C}cat").iter(f"{C}pt")]
            values = {int(p.get("idx")): float(p.find(f"{C}v").text) for p in series.find(f"{C}val").iter(f"{C}pt")}
            assert labels == [getattr(row, chart.labels) for row in rows]
            assert values == {i: v for i, row in enumerate(rows) if (v := getattr(row, name)) is not None}


@settings(deadline=None, max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(keyword="=1+1", wan=0.1)
@given(
    keyword=st.text(st.characters(exclude_categories=["Cc", "Cs"], exclude_characters="\ufffe\uffff"), min_size=1, max_size=20),
    wan=st.floats(0, 1e9).map(lambda value: round(value, 2)),
)  # fmt: skip
def test_any_text_and_amount_is_shown_as_it_is(blank: Report, keyword: str, wan: float) -> None:
    row = KeywordRow(keyword=keyword, n_enterprises=2, n_demands=2, clusters="")
    totals = blank.totals.model_copy(update={"contracted_wan": wan})
    report = blank.model_copy(update={"common_keywords": [row], "totals": totals})
    sheet = load_workbook(
        io.BytesIO(
            write_workbook(workbook(("A1", "{{totals.contracted_wan}}"), ("B1", "{{table:common_keywords}}")), report)
        )
    ).worksheets[0]
    assert (sheet["A1"].value, sheet["B2"].value, sheet["B2"].data_type) == (wan, keyword, "s")
    made = Document(
        io.BytesIO(write_document(document("共 {{totals.contracted_wan}} 万元", "{{table:common_keywords}}"), report))
    )
    assert float(made.paragraphs[0].text.removeprefix("共 ").removesuffix(" 万元")) == wan
    assert made.tables[0].cell(1, 0).text == keyword


@pytest.fixture(scope="module")
def blank() -> Report:
    """A report of a period without events."""
    zeros: dict[str, Any] = {}
    for name, field in Report.model_fields.items():
        model: Any = field.annotation
        if name in COLUMNS:
            zeros[name] = []
        elif name not in {"period", "made_at"}:
            zeros[name] = dict.fromkeys(model.model_fields, 0)
    day = date(2026, 9, 30)
    period = {
        "name": "2026-09",
        "label": "2026年9月",
        "first": day,
        "last": day,
        "until": day,
        "is_complete": True,
        "note": "",
    }
    return Report.model_validate({"period": period, "made_at": datetime(2026, 10, 1, 1, 30, tzinfo=UTC)} | zeros)


@given(cuts=st.lists(st.integers(0, 60), max_size=8))
@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_sentence_is_filled_however_word_has_cut_it(blank: Report, cuts: list[int]) -> None:
    sentence = "本期 {{period.label}}：征集 {{ totals.intake }} 项，{{made_at}} 编制"
    edges = [0, *sorted(min(cut, len(sentence)) for cut in cuts), len(sentence)]
    runs = [sentence[left:right] for left, right in pairwise(edges)]
    assert texts(write_document(document(runs), blank)) == ["本期 2026年9月：征集 0 项，2026-10-01 09:30 编制"]


def test_placeholders_in_tables_and_headers_are_filled(blank: Report) -> None:
    made = Document(
        io.BytesIO(write_document(document("x", table="{{period.name}}", header="{{period.label}}"), blank))
    )
    assert made.tables[0].cell(0, 0).text == "2026-09"
    assert made.sections[0].header.paragraphs[0].text == "2026年9月"


def test_the_shipped_templates_have_no_mistake() -> None:
    assert mistakes_in_workbook(SHIPPED.xlsx) == mistakes_in_document(SHIPPED.docx) == []


@pytest.mark.parametrize(
    ("cells", "named"),
    [
        ([("B3", "{{totals.intakes}}")], "Sheet!B3 {{totals.intakes}}"),
        ([("A1", "{{table:by_clusters}}")], "{{table:by_clusters}}"),
        ([("A1", "见 {{table:funnel}}")], "独占"),
        ([("A1", "{{table:funnel}}"), ("B9", "合计")], "B9"),
        ([("A1", "{{table:funnel}}"), ("B1", "合计")], "B1"),
        ([("A1", "{{chart:funnel}}")], "{{table:funnel}}"),
        ([("A1", "{{chart:pie}}")], "{{chart:pie}}"),
    ],
)
def test_a_mistake_in_a_workbook_is_named(tmp_path: Path, cells: list[tuple[str, str]], named: str) -> None:
    (tmp_path / "report.xlsx").write_bytes(workbook(*cells))
    with pytest.raises(InvalidInput) as refused:
        load_templates(tmp_path)
    assert refused.value.code == "template_invalid"
    (error,) = refused.value.errors
    assert named in error.message.zh
    assert "report.xlsx" in refused.value.detail.zh


@pytest.mark.parametrize(
    ("template", "named"),
    [
        (document("共 {{totals.intakes}} 项"), "{{totals.intakes}}"),
        (document(["共 {{to", "tals.x}}"]), "{{totals.x}}"),
        (document("见 {{table:funnel}}"), "独占"),
        (document("x", table="{{chart:funnel}}"), "独占"),
        (document("x", header="{{chart:pie}}"), "{{chart:pie}}"),
    ],
)
def test_a_mistake_in_a_document_is_named(tmp_path: Path, template: bytes, named: str) -> None:
    (tmp_path / "report.docx").write_bytes(template)
    with pytest.raises(InvalidInput) as refused:
        load_templates(tmp_path)
    assert named in refused.value.detail.zh


@pytest.mark.parametrize("name", ["report.xlsx", "report.docx"])
@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 no archive", b"plain text", workbook()[:200]])
def test_what_is_no_template_is_refused(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InvalidInput) as refused:
        load_templates(tmp_path)
    assert name in refused.value.detail.zh
    with pytest.raises(InvalidInput):
        load_templates(tmp_path / "missing")


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("report.docx", "word/document.xml"),
        ("report.docx", "[Content_Types].xml"),
        ("report.xlsx", "xl/workbook.xml"),
        ("report.xlsx", "xl/worksheets/sheet1.xml"),
    ],
)
@pytest.mark.parametrize("content", [b"", b"<broken"])
def test_a_template_with_a_damaged_part_is_refused(tmp_path: Path, name: str, part: str, content: bytes) -> None:
    shipped = SHIPPED.docx if name.endswith("docx") else SHIPPED.xlsx
    with zipfile.ZipFile(tmp_path / name, "w") as archive:
        for member, kept in parts(shipped).items():
            archive.writestr(member, content if member == part else kept)
    with pytest.raises(InvalidInput) as refused:
        load_templates(tmp_path)
    assert refused.value.code == "template_invalid"
    assert name in refused.value.detail.zh


def test_an_office_may_replace_one_template_or_both(tmp_path: Path, blank: Report) -> None:
    own = workbook(("C2", "{{period.label}}"), ("A4", "{{table:funnel}}"))
    (tmp_path / "report.xlsx").write_bytes(own)
    templates = load_templates(tmp_path)
    assert templates == Templates(xlsx=own, docx=SHIPPED.docx)
    sheet = load_workbook(io.BytesIO(write_report(blank, templates, "xlsx"))).worksheets[0]
    assert (sheet["C2"].value, sheet["A4"].value) == ("2026年9月", "环节")


def test_the_document_lists_every_placeholder() -> None:
    text = _DOC.read_text(encoding="utf-8")
    missing = [name for name in [*VALUES, *(f"table:{name}" for name in COLUMNS), *(f"chart:{name}" for name in CHARTS)]
               if f"`{name}`" not in text]  # fmt: skip
    assert missing == []
