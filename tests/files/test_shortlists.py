"""The list of one demand as a sheet and as a letter."""

import io
from datetime import date
from pathlib import Path

import pytest
from conftest import Server
from docx import Document
from openpyxl import load_workbook

from matching_service.access.policies import COMMAND_LINE
from matching_service.engines import create_engine
from matching_service.files.imports import import_file
from matching_service.files.shortlists import Shortlist, read_shortlist, shortlist_docx, shortlist_xlsx
from matching_service.foundation.errors import NotFound
from matching_service.foundation.settings import Settings
from matching_service.jobs import nightly
from matching_service.profiles.schemas import ProfileImport
from matching_service.profiles.service import upsert_profiles
from matching_service.store.database import Database
from matching_service.store.demands import DemandRow
from matching_service.store.lookup import rows_by_external_id

WRITTEN = Shortlist(
    "谐波减速器",
    "佛山某公司",
    date(2026, 3, 1),
    (
        (1, "=专家甲", "专家", "某大学", "高度匹配", "研究方向相同", "入选"),
        (2, "专家乙", "专家", "", "相关", "关键词相同", "不采用"),
    ),
)


def test_the_sheet_is_ready_to_print() -> None:
    sheet = load_workbook(io.BytesIO(shortlist_xlsx(WRITTEN))).worksheets[0]
    assert [cell.value for cell in sheet[4]] == list(WRITTEN.rows[0])
    assert sheet["B4"].data_type == "s"
    assert (sheet.page_setup.orientation, sheet.print_title_rows, sheet.freeze_panes) == ("landscape", "$3:$3", "A4")
    assert sheet.sheet_properties.pageSetUpPr is not None
    assert sheet.sheet_properties.pageSetUpPr.fitToPage


def test_the_letter_leaves_out_who_was_rejected_and_what_staff_decided() -> None:
    document = Document(io.BytesIO(shortlist_docx(WRITTEN)))
    texts = [cell.text for row in document.tables[0].rows for cell in row.cells]
    assert "=专家甲" in texts
    assert not {"专家乙", "入选", "处理意见"} & set(texts)
    assert [paragraph.text for paragraph in document.paragraphs][1] == "佛山某公司："
    assert document.paragraphs[-1].text == "2026年3月1日"
    assert 'w:instr="PAGE"' in document.sections[0].footer.paragraphs[0]._p.xml


def test_a_letter_without_anybody_says_so() -> None:
    document = Document(io.BytesIO(shortlist_docx(Shortlist("水泵", None, date(2026, 3, 1), ()))))
    assert not document.tables
    assert "暂无合适的对接对象" in document.paragraphs[2].text


async def test_a_stored_list_is_read(database: Database, tmp_path: Path) -> None:
    async with database.transaction() as session:
        profiles = [ProfileImport(source="s", external_id="E", kind="expert", name="专家", keywords=["谐波减速器"])]
        await upsert_profiles(session, profiles, COMMAND_LINE)
    path = tmp_path / "d.jsonl"
    path.write_text(
        '{"source": "s", "external_id": "D", "title": "谐波减速器", "status": "published"}\n'
        '{"source": "s", "external_id": "N", "title": "草稿"}\n'
    )
    await import_file(database, "demands", path, COMMAND_LINE, defaults={})
    engine = create_engine(Settings(encoder="none", data_dir=tmp_path / "data"), database)
    await engine.open()
    await nightly.rerank(engine, await nightly.begin(engine, resume=False), lambda _n: None)
    async with database.reading() as session:
        found = await rows_by_external_id(session, DemandRow, [("s", "D"), ("s", "N")])
        shortlist = await read_shortlist(session, found["s", "D"].id)
        with pytest.raises(NotFound):
            await read_shortlist(session, found["s", "N"].id)
    assert [row[1:3] for row in shortlist.rows] == [("专家", "专家")]
    assert shortlist.rows[0][5]


def test_a_demand_without_a_list_has_no_file(server: Server) -> None:
    with server.client("staff") as client:
        demand = client.post("/v1/demands", json={"source": "shortlists", "title": "水泵"}).json()
        for end in ("xlsx", "docx"):
            answer = client.get(f"/v1/demands/{demand['id']}/matches.{end}")
            assert (answer.status_code, answer.json()["code"]) == (404, "no_match_run")
