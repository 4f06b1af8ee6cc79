"""Files into the database: good rows are stored, bad ones named by line and column, a strict import is all or nothing."""

import json
from pathlib import Path
from typing import Any

import pytest
from openpyxl import Workbook
from sqlalchemy import func, select

from matching_service.access.policies import COMMAND_LINE
from matching_service.files.imports import ImportReport, StrictImportRefused, import_file
from matching_service.foundation.errors import InvalidInput
from matching_service.store.database import Database
from matching_service.store.demands import DemandRow, DemandTransitionRow
from matching_service.store.organizations import OrganizationRow
from matching_service.store.profiles import ProfileRow, WorkRow
from matching_service.store.projects import ProjectRow


def lines(path: Path, *rows: dict[str, Any] | str) -> Path:
    texts = [row if isinstance(row, str) else json.dumps(row, ensure_ascii=False) for row in rows]
    path.write_text("\n".join(texts) + "\n", encoding="utf-8")
    return path


async def load(database: Database, what: str, path: Path, *, strict: bool = False, **defaults: Any) -> ImportReport:
    return await import_file(database, what, path, COMMAND_LINE, defaults=defaults, strict=strict)


def counts(report: ImportReport) -> tuple[int, int, int, int]:
    return report.created, report.updated, report.unchanged, len(report.bad_rows)


async def count(database: Database, table: Any) -> int:
    async with database.reading() as session:
        return int(await session.scalar(select(func.count()).select_from(table)) or 0)


async def demands(database: Database) -> dict[str, DemandRow]:
    async with database.reading() as session:
        return {row.title: row for row in await session.scalars(select(DemandRow))}


async def test_an_unknown_column_is_passed_over_and_named_and_strictly_refused(
    database: Database, tmp_path: Path
) -> None:
    path = tmp_path / "a.csv"
    path.write_text("名称,手机\n甲,1\n", encoding="utf-8")
    with pytest.raises(InvalidInput, match="手机"):
        await load(database, "demands", path, strict=True)
    assert await count(database, DemandRow) == 0
    report = await load(database, "demands", path)
    assert counts(report) == (1, 0, 0, 0)
    assert [finding.heading for finding in report.told_of("column_not_read")] == ["手机"]


async def test_bad_rows_are_named_by_line_and_column_and_good_ones_stored(database: Database, tmp_path: Path) -> None:
    path = lines(
        tmp_path / "a.jsonl",
        {"title": "甲"},
        {"title": "乙", "region": "Foshan", "funding_wan": -1},
        "{broken",
        {"problem": "无标题"},
        {"title": "丙", "tittle": "x"},
        {"title": "丁", "keywords": ["a", "", "b"]},
        {"title": "戊"},
    )
    report = await load(database, "demands", path)
    assert counts(report) == (2, 0, 0, 5)
    assert sorted(await demands(database)) == ["戊", "甲"]
    found = {bad.line: [error.pointer for error in bad.errors] for bad in report.bad_rows}
    assert found == {2: ["/region", "/funding_wan"], 3: [""], 4: ["/title"], 5: ["/tittle"], 6: ["/keywords/1"]}
    assert all(error.message.zh and error.message.en for bad in report.bad_rows for error in bad.errors)


async def test_bad_rows_of_a_table_are_named_by_line_and_column(database: Database, tmp_path: Path) -> None:
    book = Workbook()
    for row in (["名称", "投入资金（万元）"], ["甲", "八十"], [None, None], ["乙", 80], [None, 1]):
        book.worksheets[0].append(row)
    book.save(tmp_path / "a.xlsx")
    report = await load(database, "demands", tmp_path / "a.xlsx")
    assert {bad.line: bad.errors[0].pointer for bad in report.bad_rows} == {2: "/funding_wan", 5: "/title"}
    assert (await demands(database))["乙"].funding_wan == 80


@pytest.mark.parametrize("bad", [{"title": ""}, "{", {"title": "乙", "start_year": 2027, "end_year": 2026}])
async def test_a_strict_import_stores_nothing_when_a_row_is_bad(
    database: Database, tmp_path: Path, bad: dict[str, Any] | str
) -> None:
    path = lines(tmp_path / "a.jsonl", {"title": "甲", "status": "published"}, bad, {"title": "丙"})
    with pytest.raises(StrictImportRefused) as refused:
        await load(database, "demands", path, strict=True)
    assert [row.line for row in refused.value.report.bad_rows] == [2]
    assert await count(database, DemandRow) == 0


async def test_a_strict_import_of_good_rows_stores_all(database: Database, tmp_path: Path) -> None:
    path = lines(tmp_path / "a.jsonl", {"title": "甲"}, {"title": "乙"})
    assert counts(await load(database, "demands", path, strict=True)) == (2, 0, 0, 0)


async def test_a_row_that_breaks_a_rule_is_refused_alone(database: Database, tmp_path: Path) -> None:
    path = lines(
        tmp_path / "a.jsonl",
        {"title": "甲", "start_year": 2027, "end_year": 2026},
        {"title": "乙", "organization_external_id": "unknown"},
        {"title": "丙"},
    )
    report = await load(database, "demands", path)
    assert {bad.line: bad.errors[0].pointer for bad in report.bad_rows} == {
        1: "/end_year",
        2: "/organization_external_id",
    }
    assert report.created == 1


async def test_importing_again_changes_nothing_and_a_change_is_an_update(database: Database, tmp_path: Path) -> None:
    first = {"external_id": "1", "title": "甲", "keywords": ["a"]}
    path = lines(tmp_path / "a.jsonl", first, {"external_id": "2", "title": "乙"})
    assert counts(await load(database, "demands", path)) == (2, 0, 0, 0)
    assert counts(await load(database, "demands", path)) == (0, 0, 2, 0)
    lines(path, first | {"keywords": ["b"]}, {"external_id": "2", "title": "乙"})
    assert counts(await load(database, "demands", path)) == (0, 1, 1, 0)


async def test_the_last_of_two_rows_with_one_external_id_counts(database: Database, tmp_path: Path) -> None:
    path = lines(tmp_path / "a.jsonl", {"external_id": "1", "title": "旧"}, {"external_id": "1", "title": "新"})
    assert counts(await load(database, "demands", path)) == (1, 1, 0, 0)
    assert list(await demands(database)) == ["新"]


async def test_two_rows_that_come_to_have_one_external_id_are_one_record(database: Database, tmp_path: Path) -> None:
    """The first gives an old record a new external id by our own id; the second speaks of the same record."""
    await load(database, "demands", lines(tmp_path / "a.jsonl", {"external_id": "1", "title": "甲"}))
    row_id = (await demands(database))["甲"].id
    path = lines(
        tmp_path / "b.jsonl",
        {"id": row_id, "external_id": "2", "title": "甲"},
        {"external_id": "2", "title": "乙"},
        {"external_id": "3", "title": "丙"},
    )
    assert counts(await load(database, "demands", path)) == (1, 2, 0, 0)
    assert sorted(await demands(database)) == ["丙", "乙"]


async def test_defaults_fill_what_a_row_leaves_out(database: Database, tmp_path: Path) -> None:
    path = lines(tmp_path / "a.jsonl", {"title": "甲"}, {"title": "乙", "source": "own", "status": "draft"})
    await load(database, "demands", path, source="portal", status="published")
    found = await demands(database)
    assert (found["甲"].source, found["甲"].status) == ("portal", "published")
    assert (found["乙"].source, found["乙"].status) == ("own", "draft")
    await load(database, "profiles", lines(tmp_path / "b.jsonl", {"name": "丙"}), kind="team")
    async with database.reading() as session:
        assert await session.scalar(select(ProfileRow.kind)) == "team"


async def test_a_state_that_a_file_names_is_taken_over_and_never_taken_back(database: Database, tmp_path: Path) -> None:
    path = lines(tmp_path / "a.jsonl", {"external_id": "1", "title": "甲", "status": "closed"})
    assert counts(await load(database, "demands", path)) == (1, 0, 0, 0)
    async with database.reading() as session:
        statement = select(DemandTransitionRow.to_status).order_by(DemandTransitionRow.id)
        assert (await session.scalars(statement)).all() == ["draft", "closed"]
        assert (await session.scalars(select(ProjectRow.demand_id))).one()  # it had a contract, so it has a project
    demand = (await demands(database))["甲"]
    assert demand.published_at is not None
    report = await load(database, "demands", lines(path, {"external_id": "1", "title": "新", "status": "published"}))
    assert [(bad.line, bad.errors[0].pointer) for bad in report.bad_rows] == [(1, "/status")]
    assert list(await demands(database)) == ["新"]  # as the message says: the other columns are stored


async def test_more_rows_than_one_transaction_holds(database: Database, tmp_path: Path) -> None:
    told: list[int] = []
    path = lines(tmp_path / "a.jsonl", *({"external_id": str(n), "name": f"机构{n}"} for n in range(1_203)), "{")
    report = await import_file(database, "organizations", path, COMMAND_LINE, defaults={}, on_progress=told.append)
    assert counts(report) == (1_203, 0, 0, 1)
    assert sum(told) == 1_204
    assert len(told) > 1
    assert report.bad_rows[0].line == 1_204


async def test_profiles_with_works_belong_to_their_organization(database: Database, tmp_path: Path) -> None:
    organization = lines(
        tmp_path / "o.jsonl", {"source": "s", "external_id": "O", "name": "某大学", "kind": "university"}
    )
    await load(database, "organizations", organization)
    profile: dict[str, Any] = {
        "source": "s", "external_id": "E", "kind": "expert", "name": "卓砺川", "organization_external_id": "O",
        "works": [{"external_id": "w1", "title": "柔轮"}, {"title": "齿根", "kind": "patent", "year": 2020}],
    }  # fmt: skip
    path = lines(tmp_path / "p.jsonl", profile)
    assert counts(await load(database, "profiles", path)) == (1, 0, 0, 0)
    assert counts(await load(database, "profiles", path)) == (0, 0, 1, 0)
    async with database.reading() as session:
        ids = set(await session.scalars(select(WorkRow.id)))
        row = await session.scalar(select(ProfileRow))
        assert row is not None
        assert row.organization_id == await session.scalar(select(OrganizationRow.id))
    works = [profile["works"][1], profile["works"][0] | {"title": "柔轮疲劳"}]
    assert counts(await load(database, "profiles", lines(path, profile | {"works": works}))) == (0, 1, 0, 0)
    async with database.reading() as session:
        assert set(await session.scalars(select(WorkRow.id))) == ids  # the same works, in another order
    lines(path, profile | {"works": [{"external_id": "w", "title": "a"}, {"external_id": "w", "title": "b"}]})
    report = await load(database, "profiles", path)
    assert report.bad_rows[0].errors[0].pointer == "/works/1/external_id"


async def test_a_credit_code_belongs_to_one_organization(database: Database, tmp_path: Path) -> None:
    code = "91350100M000100Y43"
    path = lines(
        tmp_path / "a.jsonl",
        {"external_id": "1", "name": "甲", "credit_code": code.lower()},
        {"external_id": "2", "name": "乙", "credit_code": code},
        {"external_id": "3", "name": "丙", "credit_code": code[:-1] + "4"},
    )
    report = await load(database, "organizations", path)
    assert {bad.line: bad.errors[0].pointer for bad in report.bad_rows} == {2: "/credit_code", 3: "/credit_code"}
    assert report.created == 1


async def test_a_file_with_fewer_columns_leaves_the_others_alone(database: Database, tmp_path: Path) -> None:
    full = tmp_path / "full.jsonl"
    full.write_text('{"external_id": "1", "source": "s", "title": "泵", "problem": "汽蚀", "keywords": ["叶轮"]}\n')
    part = tmp_path / "part.csv"
    part.write_text("编号,来源,需求名称\n1,s,水泵\n", encoding="utf-8")
    for path in (full, part):
        report = await import_file(database, "demands", path, COMMAND_LINE, defaults={})
        assert not report.bad_rows
    async with database.reading() as session:
        row = (await session.scalars(select(DemandRow))).one()
    assert (row.title, row.problem, row.keywords) == ("水泵", "汽蚀", ["叶轮"])


async def test_consent_that_was_withdrawn_is_read_from_a_table(database: Database, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("编号,姓名,类别,可见性\n1,甲,专家,已撤回\n2,乙,专家,公开\n3,丙,专家,隐藏\n", encoding="utf-8")
    assert counts(await load(database, "profiles", path)) == (3, 0, 0, 0)
    async with database.reading() as session:
        stored = await session.scalars(select(ProfileRow.visibility).order_by(ProfileRow.external_id))
        assert stored.all() == ["withdrawn", "public", "hidden"]
