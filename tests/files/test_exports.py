"""Export then import is the identity, in all three formats, for every record; and makes the same records elsewhere."""

from collections.abc import AsyncIterator, Iterable
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import inspect, select, text

from matching_service.access.policies import COMMAND_LINE
from matching_service.demands.schemas import DemandImport
from matching_service.demands.service import upsert_demands
from matching_service.engines import create_engine
from matching_service.files.exports import export_file
from matching_service.files.formats import FORMATS
from matching_service.files.headings import FORMS
from matching_service.files.imports import ImportReport, import_file
from matching_service.files.records import read_rows
from matching_service.foundation.errors import InvalidInput
from matching_service.foundation.settings import Settings
from matching_service.jobs import nightly
from matching_service.organizations.schemas import OrganizationImport
from matching_service.organizations.service import upsert_organizations
from matching_service.profiles.queries import WITH_WORKS
from matching_service.profiles.schemas import ProfileImport, Work
from matching_service.profiles.service import upsert_profiles
from matching_service.programme.schemas import ProgrammeRecordImport
from matching_service.programme.service import upsert_records
from matching_service.shortlists import queries
from matching_service.shortlists.schemas import DecisionBody
from matching_service.shortlists.service import decide
from matching_service.store.database import Database
from matching_service.store.demands import DemandRow
from matching_service.store.lookup import rows_by_external_id
from matching_service.store.organizations import OrganizationRow
from matching_service.store.profiles import NEVER_MATCHED, ProfileRow
from matching_service.store.programme import ProgrammeRecordRow

ALL = ("organizations", "profiles", "demands", "programme")
TABLES = {
    "organizations": OrganizationRow,
    "profiles": ProfileRow,
    "demands": DemandRow,
    "programme": ProgrammeRecordRow,
}
TEXTS = [
    "普通文字", '带"引号"的', "两行\n文字", "a,b，c", "=1+1", "+1", "-1", "@x", "'=1", "'", "\t缩进", "emoji 🤖𠮷",
    "007", "1e5", "2026-01-02", "TRUE", "null", "[1]", " 前后有空格 ", "<b>&amp;</b>", "_x000D_", "#N/A", "100%",
]  # fmt: skip
ITEMS = ["=1+1", "007", "a,b", '"引"', "🤖", "@x", "'=1", "-1", "[a]"]
SEPARATED = ["a;b", "甲；乙", "甲、乙"]


async def seed(database: Database) -> None:
    """Records with awkward texts in every field that is free; some have no external id, some no source of their own."""
    async with database.transaction() as session:
        organizations = [
            OrganizationImport(source="s", external_id=f"O-{n}", name=text, introduction=text, kind="other")
            for n, text in enumerate(TEXTS)
        ]
        organizations.append(OrganizationImport(name="无外部编号", credit_code="91350100M000100Y43", region="440605"))
        stored = await upsert_organizations(session, organizations, COMMAND_LINE)
        assert {result.status for result in stored} == {"created"}
        without_external_id = stored[-1].id
        profiles = [
            ProfileImport(
                source="s", external_id=f"=E-{n}" if n % 2 else None, kind="expert", name=text, summary=text, title=text,
                keywords=ITEMS, fields=ITEMS[::-1], honours=[ITEMS[n % len(ITEMS)]], clusters=[],
                organization_external_id=f"O-{n}" if n % 3 else None, region="010203", country="DE", language="de",
                capacity=n, available_from=date(2026, 1, 2), available_until=date(2026, 12, 31), visibility="restricted",
                works=[
                    Work(external_id="w", kind="paper", title=text, abstract=text * 2, year=2024),
                    Work(title="；、;"),
                ],
            )
            for n, text in enumerate(TEXTS)
        ]  # fmt: skip
        profiles.append(
            ProfileImport(kind="society", name="隐藏", visibility="hidden", organization_id=without_external_id)
        )
        stored = await upsert_profiles(session, profiles, COMMAND_LINE)
        assert {result.status for result in stored} == {"created"}
        demands = [
            DemandImport(
                source="s", external_id=f"00{n}" if n % 2 else None, title=text, problem=text, key_technology=text,
                expected_goal=text, keywords=ITEMS, must_have=ITEMS[::-1], nice_to_have=[], cluster="装备制造",
                organization_external_id=f"O-{n}", region="440605", industry_code="C3073",
                funding_wan=[80, 80.5, 0.1, 1e7, 0, 1e-7][n % 6], start_year=2026, end_year=2027,
                cooperation="joint", visibility="restricted",
            )
            for n, text in enumerate(TEXTS)
        ]  # fmt: skip
        demands.append(DemandImport(title="最少", organization_id=without_external_id))
        stored = await upsert_demands(session, demands, COMMAND_LINE)
        assert {result.status for result in stored} == {"created"}
        profile = await session.scalar(select(ProfileRow.id).limit(1))
        records = [
            ProgrammeRecordImport(
                source="s", external_id=f"00{n}" if n % 2 else None, kind="support", title=text, note=text,
                organization_external_id=f"O-{n}", profile_id=profile, region="440605", cluster="装备制造",
                started_on=date(2026, 1, 2), ended_on=date(2026, 12, 31) if n % 3 else None,
            )
            for n, text in enumerate(TEXTS)
        ]  # fmt: skip
        records.append(ProgrammeRecordImport(kind="forum", title="最少", started_on=date(2026, 1, 2)))
        stored = await upsert_records(session, records, COMMAND_LINE)
        assert {result.status for result in stored} == {"created"}


async def load(database: Database, what: str, path: Path) -> ImportReport:
    return await import_file(database, what, path, COMMAND_LINE, defaults={})


async def move(database: Database, ids: dict[str, str], folder: Path) -> None:
    """Give two demands a state by a file."""
    path = folder / "states.jsonl"
    path.write_text("".join(f'{{"id": "{i}", "external_id": null, "title": "{t}", "status": "{s}"}}\n' for i, (t, s) in
                            {ids["published"]: ("发", "published"), ids["closed"]: ("关", "closed")}.items()))  # fmt: skip
    assert not (await load(database, "demands", path)).bad_rows


def errors(report: ImportReport) -> list[str]:
    return [f"{bad.line} {error.pointer} {error.message.en}" for bad in report.bad_rows for error in bad.errors]


async def contents(database: Database) -> dict[str, dict[str, dict[str, Any]]]:
    """All rows of all tables that are exchanged, by id, without times and versions."""
    found: dict[str, dict[str, dict[str, Any]]] = {}
    left_out = {"created_at", "updated_at", "published_at", "row_version"}
    async with database.reading() as session:
        for what, table in TABLES.items():
            options = [WITH_WORKS] if what == "profiles" else []
            columns = [column.key for column in inspect(table).column_attrs if column.key not in left_out]
            rows: Iterable[Any] = await session.scalars(select(table).options(*options))
            for row in rows:
                values = {column: getattr(row, column) for column in columns}
                if what == "profiles":
                    values["works"] = [(w.external_id, w.kind, w.title, w.abstract, w.year) for w in row.works]
                found.setdefault(what, {})[row.id] = values
    return found


@pytest.fixture
async def elsewhere(migrated_sqlite: Path, tmp_path: Path) -> AsyncIterator[Database]:
    """Another migrated database."""
    path = tmp_path / "elsewhere.sqlite3"
    path.write_bytes(migrated_sqlite.read_bytes())  # noqa: ASYNC240
    opened = Database(f"sqlite+aiosqlite:///{path}")
    yield opened
    await opened.close()


@pytest.mark.parametrize("suffix", FORMATS)
async def test_export_then_import_changes_nothing(database: Database, tmp_path: Path, suffix: str) -> None:
    await seed(database)
    before = await contents(database)
    for what in ALL:
        path = tmp_path / f"{what}{suffix}"
        n_rows = await export_file(database, what, path)
        report = await load(database, what, path)
        assert errors(report) == []
        assert (report.created, report.updated, report.unchanged) == (0, 0, n_rows)
        assert n_rows == len(before[what])
    assert await contents(database) == before


@pytest.mark.parametrize("suffix", FORMATS)
async def test_import_into_another_database_makes_the_same_records(
    database: Database, elsewhere: Database, tmp_path: Path, suffix: str
) -> None:
    await seed(database)
    async with database.reading() as session:
        demands = list(await session.scalars(select(DemandRow.id).where(DemandRow.external_id.is_(None)).limit(2)))
    await move(database, {"published": demands[0], "closed": demands[1]}, tmp_path)
    for what in ALL:
        path = tmp_path / f"{what}{suffix}"
        n_rows = await export_file(database, what, path)
        report = await load(elsewhere, what, path)
        assert errors(report) == []
        assert report.created == n_rows
    assert await contents(elsewhere) == await contents(database)
    async with elsewhere.reading() as session:
        states = {row.title: row.published_at for row in await session.scalars(select(DemandRow)) if row.published_at}
    assert sorted(states) == ["发", "关"] or set(states) == {"发", "关"}


@pytest.mark.parametrize("suffix", FORMATS)
async def test_items_that_hold_a_list_separator_survive(database: Database, tmp_path: Path, suffix: str) -> None:
    async with database.transaction() as session:
        await upsert_demands(session, [DemandImport(title="t", keywords=[*SEPARATED, "a\nb"])], COMMAND_LINE)
    before = await contents(database)
    await export_file(database, "demands", tmp_path / f"a{suffix}")
    report = await load(database, "demands", tmp_path / f"a{suffix}")
    assert (report.updated, report.unchanged, errors(report)) == (0, 1, [])
    assert await contents(database) == before


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("blank", ["", "  ", "\n"], ids=["empty", "spaces", "newline"])
async def test_blank_texts_survive_or_are_stored_as_nothing(
    database: Database, tmp_path: Path, suffix: str, blank: str
) -> None:
    async with database.transaction() as session:
        await upsert_demands(session, [DemandImport(title="t", problem=blank)], COMMAND_LINE)
        await upsert_profiles(session, [ProfileImport(kind="expert", name="n", title=blank)], COMMAND_LINE)
        await upsert_organizations(session, [OrganizationImport(name="n", introduction=blank)], COMMAND_LINE)
        record = ProgrammeRecordImport(kind="forum", title="n", note=blank, started_on=date(2026, 1, 2))
        await upsert_records(session, [record], COMMAND_LINE)
    for what in ALL:
        await export_file(database, what, tmp_path / f"{what}{suffix}")
        report = await load(database, what, tmp_path / f"{what}{suffix}")
        assert (what, report.updated, report.unchanged, errors(report)) == (what, 0, 1, [])


@pytest.mark.parametrize("suffix", FORMATS)
async def test_carriage_returns_survive(database: Database, tmp_path: Path, suffix: str) -> None:
    """Browsers send texts of several lines with CR LF."""
    async with database.transaction() as session:
        await upsert_demands(session, [DemandImport(title="t", problem="第一行\r\n第二行")], COMMAND_LINE)
    await export_file(database, "demands", tmp_path / f"a{suffix}")
    report = await load(database, "demands", tmp_path / f"a{suffix}")
    assert (report.updated, report.unchanged, errors(report)) == (0, 1, [])


@pytest.mark.parametrize("suffix", FORMATS)
async def test_an_empty_database_exports_headings_only(database: Database, tmp_path: Path, suffix: str) -> None:
    for what in (*ALL, "matches"):
        assert await export_file(database, what, tmp_path / f"{what}{suffix}") == 0
    for what in ALL:
        assert list(read_rows(tmp_path / f"{what}{suffix}", FORMS[what])) == []


async def test_an_organization_of_another_source_is_named_by_our_id(database: Database, tmp_path: Path) -> None:
    """Its external id would be looked up in the wrong source."""
    async with database.transaction() as session:
        (stored,) = await upsert_organizations(
            session, [OrganizationImport(source="other", external_id="O", name="n")], COMMAND_LINE
        )
        await upsert_demands(session, [DemandImport(source="s", title="t", organization_id=stored.id)], COMMAND_LINE)
    await export_file(database, "demands", tmp_path / "a.jsonl")
    (row,) = read_rows(tmp_path / "a.jsonl", FORMS["demands"])
    assert row.values is not None
    assert (row.values["organization_id"], row.values.get("organization_external_id")) == (stored.id, None)


async def test_a_cell_that_is_too_long_names_the_way_out(database: Database, tmp_path: Path) -> None:
    async with database.transaction() as session:
        works = [Work(title=f"t{n}", abstract="长" * 10_000) for n in range(4)]
        await upsert_profiles(session, [ProfileImport(kind="expert", name="n", works=works)], COMMAND_LINE)
    with pytest.raises(InvalidInput) as refused:
        await export_file(database, "profiles", tmp_path / "a.xlsx")
    assert ".jsonl" in refused.value.detail.zh
    assert not (tmp_path / "a.xlsx").exists()


@pytest.mark.parametrize("suffix", FORMATS)
async def test_contact_data_is_never_exported(database: Database, tmp_path: Path, suffix: str) -> None:
    async with database.transaction() as session:
        (stored,) = await upsert_profiles(session, [ProfileImport(kind="expert", name="n")], COMMAND_LINE)
        await session.execute(
            text("INSERT INTO profile_contacts (profile_id, phone) VALUES (:id, '0757-0000000')"), {"id": stored.id}
        )
    await export_file(database, "profiles", tmp_path / f"a{suffix}")
    (row,) = read_rows(tmp_path / f"a{suffix}", FORMS["profiles"])
    assert "0757-0000000" not in str(row)


@pytest.mark.parametrize("visibility", sorted(NEVER_MATCHED))
async def test_a_list_is_exported_without_who_was_hidden_or_withdrew(
    database: Database, tmp_path: Path, visibility: str
) -> None:
    async with database.transaction() as session:
        profiles = [
            ProfileImport(external_id=f"E{n}", kind="expert", name="甲", summary="谐波减速器") for n in range(2)
        ]
        first, second = await upsert_profiles(session, profiles, COMMAND_LINE)
    path = tmp_path / "d.jsonl"
    path.write_text('{"external_id": "D", "title": "谐波减速器", "status": "published"}\n', encoding="utf-8")
    await load(database, "demands", path)
    engine = create_engine(Settings(encoder="none", data_dir=tmp_path / "data"), database)
    await engine.open()
    await nightly.rerank(engine, await nightly.begin(engine, resume=False), lambda _n: None)
    async with database.transaction() as session:
        gone = ProfileImport.model_validate(
            {"external_id": "E0", "kind": "expert", "name": "甲", "visibility": visibility}
        )
        await upsert_profiles(session, [gone], COMMAND_LINE)
    assert await export_file(database, "matches", tmp_path / "m.jsonl") == 1
    written = (tmp_path / "m.jsonl").read_text(encoding="utf-8")
    assert str(first.id) not in written
    assert str(second.id) in written


@pytest.mark.parametrize("suffix", FORMATS)
async def test_the_visible_lists_are_exported_with_decisions(database: Database, tmp_path: Path, suffix: str) -> None:
    async with database.transaction() as session:
        profiles = [
            ProfileImport(source="s", external_id=f"E{n}", kind="expert", name=f"=专家{n}", keywords=["谐波减速器"][:n])
            for n in range(3)
        ]
        await upsert_profiles(session, profiles, COMMAND_LINE)
    path = tmp_path / "d.jsonl"
    path.write_text(
        '{"source": "s", "external_id": "D", "title": "谐波减速器", "status": "published"}\n{"title": "草稿"}\n'
    )
    await load(database, "demands", path)
    engine = create_engine(Settings(encoder="none", data_dir=tmp_path / "data"), database)
    await engine.open()
    await nightly.rerank(engine, await nightly.begin(engine, resume=False), lambda _n: None)
    async with database.transaction() as session:
        demand = (await rows_by_external_id(session, DemandRow, [("s", "D")]))["s", "D"]
        match_list, run = (await queries.newest_lists(session, [demand.id]))[demand.id]
        matches = (await queries.get_matches(session, [match_list.id]))[match_list.id]
        await decide(session, matches[0].id, DecisionBody(decision="pinned"), COMMAND_LINE)
    assert await export_file(database, "matches", tmp_path / f"m{suffix}") == len(matches)
    if suffix == ".jsonl":
        written = (tmp_path / "m.jsonl").read_text(encoding="utf-8")
        assert written.count("\n") == len(matches)
        assert f'"run_id": "{run.id}"' in written
        assert '"decision": "pinned"' in written
        assert '"country": "CN", "overseas": false, "language": "zh"' in written
    elif suffix == ".csv":
        rows = (tmp_path / "m.csv").read_text(encoding="utf-8-sig").splitlines()
        assert rows[0].startswith("需求系统编号,需求编号,需求名称,名次")
        assert ",'=专家" in rows[1]
        assert ",pinned," in rows[1]
