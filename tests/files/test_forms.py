"""Forms with one demand each: as Word tables and sheets, alone, in folders and in archives."""

import zipfile
from pathlib import Path
from typing import Any

import pytest
from docx import Document
from openpyxl import Workbook, load_workbook
from sqlalchemy import select

from matching_service.access.policies import COMMAND_LINE
from matching_service.files.blank_forms import demand_form_docx, demand_form_xlsx
from matching_service.files.headings import FORMS
from matching_service.files.imports import import_file
from matching_service.files.records import FileRow, open_contents
from matching_service.foundation.errors import InvalidInput
from matching_service.store.database import Database
from matching_service.store.demands import DemandContactRow, DemandRow
from matching_service.store.organizations import OrganizationRow

FILLED: dict[str, Any] = {
    "external_id": "D-9", "title": "谐波减速器寿命提升", "organization_name": "佛山市某传动有限公司", "region": "440605",
    "contact_person": "陈工", "contact_mobile": "13800138000", "contact_email": "chen@example.org",
    "cluster": "智能制造装备及机器人", "field": "机械", "industry_code": "C3453", "keywords": ["谐波减速器", "柔轮"],
    "funding_wan": 80, "start_year": 2026, "end_year": 2027, "cooperation": "joint", "wanted_partners": ["高校"],
    "expires_on": "2026-12-31", "problem": "柔轮在额定负载下\n出现裂纹：需要改进", "key_technology": "热处理",
    "expected_goal": "寿命≥10000 h", "must_have": ["谐波减速器"], "nice_to_have": ["中试条件"],
}  # fmt: skip


def rows_of(path: Path) -> list[FileRow]:
    return list(open_contents(path, FORMS["demands"]).rows())


def word(path: Path, *rows: list[str], above: tuple[str, ...] = (), below: tuple[str, ...] = ()) -> Path:
    document = Document()
    for text in above:
        document.add_paragraph(text)
    width = max(map(len, rows))
    table = document.add_table(rows=len(rows), cols=width)
    for line, texts in zip(table.rows, rows, strict=True):
        for cell, text in zip(line.cells, texts, strict=False):
            cell.text = text
        if len(texts) < width:
            line.cells[len(texts) - 1].merge(line.cells[width - 1])
    for text in below:
        document.add_paragraph(text)
    document.save(str(path))
    return path


def test_a_filled_form_is_read_as_what_was_written(tmp_path: Path) -> None:
    expected = FILLED | {"funding_wan": "80", "start_year": "2026", "end_year": "2027"}
    for name, content in (("f.docx", demand_form_docx(FILLED)), ("f.xlsx", demand_form_xlsx(FILLED))):
        path = tmp_path / name
        path.write_bytes(content)
        (row,) = rows_of(path)
        assert row.error is None
        assert row.findings == ()
        assert row.values == expected, name


@pytest.mark.parametrize("name", ["empty.docx", "empty.xlsx"])
def test_an_empty_form_is_refused_for_its_title_only(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(demand_form_docx() if name.endswith("docx") else demand_form_xlsx())
    (row,) = rows_of(path)
    assert row.error is not None
    assert "技术需求名称" in row.error.zh


def test_a_form_as_offices_make_them(tmp_path: Path) -> None:
    path = word(
        tmp_path / "甲.docx",
        ["企业名称", "佛山某公司", "所在地区", "佛山市南海区"],
        ["联系人*", "李工", "联系电话", "１３８００１３８０００"],
        ["技术需求名称", "注塑机节能"],
        ["技术需求概述", "1.主要问题（500字以内）：\n能耗高\n噪声大\n2、关键技术：伺服控制\n3.预期目标\n节能20%"],
        ["关键字", "注塑；伺服", "拟投入资金总额", "120万元"],
        ["技术需求解决方式", "□独立研发 ☑委托研发 □联合攻关 □其他____"],
        ["需求技术所属领域", "√先进制造  □新材料", "研发周期", "2026年3月至2028年2月"],
        above=("附件1", "企业技术需求征集表", "填报单位（盖章）："),
        below=("企业（盖章）：", "2026年3月1日"),
    )
    (row,) = rows_of(path)
    assert row.error is None
    assert row.values == {
        "organization_name": "佛山某公司", "region": "440605", "contact_person": "李工",
        "contact_mobile": "１３８００１３８０００", "title": "注塑机节能", "problem": "能耗高\n噪声大",
        "key_technology": "伺服控制", "expected_goal": "节能20%", "keywords": ["注塑", "伺服"], "funding_wan": "120",
        "cooperation": "commissioned", "field": "先进制造", "start_year": "2026", "end_year": "2028",
    }  # fmt: skip


def test_values_below_their_labels_in_a_sheet(tmp_path: Path) -> None:
    book = Workbook()
    sheet = book.worksheets[0]
    for texts in (
        ["技术需求征集表"], ["需求名称", "企业名称", "所属地区"], ["水泵密封", "某泵业公司", "440606"],
        ["主要问题", None, None], ["泄漏", None, None], ["关键技术", None, None], ["密封材料", None, None],
        ["解决方式", "独立研发（ ） 合作研发（√）", None], ["单位盖章：", None, "年 月 日"],
    ):  # fmt: skip
        sheet.append(texts)
    for area in ("A1:C1", "A4:C4", "A5:C5", "A6:C6", "A7:C7", "B8:C8"):
        sheet.merge_cells(area)
    book.save(tmp_path / "f.xlsx")
    (row,) = rows_of(tmp_path / "f.xlsx")
    assert row.values == {
        "title": "水泵密封", "organization_name": "某泵业公司", "region": "440606", "problem": "泄漏",
        "key_technology": "密封材料", "cooperation": "joint",
    }  # fmt: skip


def archive(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target:
        for name, content in members.items():
            target.writestr(name, content)
    return path


async def test_an_archive_of_forms_is_stored_with_organization_and_contact(database: Database, tmp_path: Path) -> None:
    good = {f"区/{n}.docx": demand_form_docx(FILLED | {"external_id": f"D-{n}"}) for n in range(3)}
    bad = {
        "../../逃.docx": demand_form_docx(FILLED), "旧.doc": b"\xd0\xcf\x11\xe0", "扫描.pdf": b"%PDF-1.4", "坏.docx": b"PK\x03\x04",
        "空.xlsx": demand_form_xlsx(), "__MACOSX/._x.docx": b"",
    }  # fmt: skip
    path = archive(tmp_path / "forms.zip", good | bad)
    report = await import_file(database, "demands", path, COMMAND_LINE, defaults={})
    assert report.created == 3
    told = {row.sheet: row.errors[0].message.zh for row in report.bad_rows}
    assert told.keys() == {"../../逃.docx", "旧.doc", "扫描.pdf", "坏.docx", "空.xlsx"}
    assert ".docx" in told["旧.doc"]
    assert "原件" in told["扫描.pdf"]
    async with database.reading() as session:
        demands = list(await session.scalars(select(DemandRow)))
        (organization,) = await session.scalars(select(OrganizationRow))
        contacts = list(await session.scalars(select(DemandContactRow)))
    assert {demand.organization_id for demand in demands} == {organization.id}
    assert organization.name == "佛山市某传动有限公司"
    assert {(one.person, one.mobile, one.email) for one in contacts} == {("陈工", "13800138000", "chen@example.org")}
    again = await import_file(database, "demands", path, COMMAND_LINE, defaults={})
    assert (again.created, again.updated, again.unchanged) == (0, 0, 3)


async def test_contact_data_that_is_none_is_told_and_the_demand_stored(database: Database, tmp_path: Path) -> None:
    path = tmp_path / "f.docx"
    path.write_bytes(demand_form_docx(FILLED | {"contact_email": "陈工邮箱"}))
    report = await import_file(database, "demands", path, COMMAND_LINE, defaults={})
    assert (report.created, [finding.code for finding in report.told]) == (1, ["contact_not_stored"])
    assert "文件“f.docx”" in report.told[0].sentence()


def test_a_folder_of_forms(tmp_path: Path) -> None:
    folder = tmp_path / "forms"
    folder.mkdir()
    (folder / "a.docx").write_bytes(demand_form_docx(FILLED))
    (folder / "b.xlsx").write_bytes(demand_form_xlsx(FILLED))
    (folder / "~$a.docx").write_bytes(b"lock")
    assert [(row.sheet, row.error) for row in rows_of(folder)] == [("a.docx", None), ("b.xlsx", None)]


def test_a_bomb_and_a_document_that_is_none_are_refused(tmp_path: Path) -> None:
    bomb = archive(tmp_path / "bomb.docx", {"word/document.xml": b" " * 30_000_000})
    with pytest.raises(InvalidInput):
        rows_of(bomb)
    entities = b'<!DOCTYPE a [<!ENTITY x "yyyy">]><w:document xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"/>'
    with pytest.raises(InvalidInput):
        rows_of(archive(tmp_path / "entities.docx", {"word/document.xml": entities}))
    big = archive(tmp_path / "big.zip", {f"{n}.docx": b" " * 15_000_000 for n in range(30)})
    with pytest.raises(InvalidInput, match="unpacks"):
        rows_of(big)
    letter = word(tmp_path / "letter.docx", ["您好", "再见"])
    with pytest.raises(InvalidInput, match="form"):
        rows_of(letter)


def test_two_demands_in_one_form_are_refused(tmp_path: Path) -> None:
    rows = [["需求名称", "甲"], ["企业名称", "某公司"], ["主要问题", "坏"], ["关键技术", "好"], ["需求名称", "乙"]]
    (row,) = rows_of(word(tmp_path / "two.docx", *rows))
    assert row.error is not None


def test_a_sheet_of_explanations_beside_a_table_takes_nothing_from_it(tmp_path: Path) -> None:
    book = Workbook()
    sheet = book.worksheets[0]
    for texts in (["需求名称", "企业名称", "主要问题"], ["水泵", "某公司", "漏"], ["电机", "某公司", "热"]):
        sheet.append(texts)
    notes = book.create_sheet("填写说明")
    for text in ("需求名称：必填", "企业名称：全称", "主要问题：500字", "关键技术：500字", "预期目标：500字"):
        notes.append([text])
    book.save(tmp_path / "t.xlsx")
    titles = [row.values["title"] for row in rows_of(tmp_path / "t.xlsx") if row.values is not None]
    assert titles[:2] == ["水泵", "电机"]
    assert len(titles) == 2


def test_a_sheet_beside_a_form_is_named(tmp_path: Path) -> None:
    path = tmp_path / "f.xlsx"
    path.write_bytes(demand_form_xlsx(FILLED))
    book = load_workbook(path)
    book.create_sheet("附件").append(["照片另附"])
    book.save(path)
    contents = open_contents(path, FORMS["demands"])
    assert [(finding.code, finding.sheet) for finding in contents.findings] == [("sheet_not_read", "附件")]
    assert len(list(contents.rows())) == 1
