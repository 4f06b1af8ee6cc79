"""An import that is undone leaves the database as it was; what somebody has worked on since stays, with the reason."""

import json
import random
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from matching_service.access.policies import COMMAND_LINE
from matching_service.demands.schemas import DemandPatch
from matching_service.demands.service import update_demand
from matching_service.demands.states import DemandStatus
from matching_service.demands.transitions import transition_demand
from matching_service.files import imports
from matching_service.files.exports import export_file
from matching_service.files.imports import StrictImportRefused, examine_file, import_file
from matching_service.files.queries import list_imports, list_records, undone_counts
from matching_service.files.records import Layout
from matching_service.files.undo import REASONS, undo_import
from matching_service.foundation.errors import Conflict, InvalidInput, NotFound
from matching_service.foundation.paging import PageRequest
from matching_service.organizations.schemas import ExclusionBody
from matching_service.organizations.service import replace_exclusions
from matching_service.profiles.schemas import Contact
from matching_service.profiles.service import delete_profile, write_contact
from matching_service.programme.schemas import ProgrammeRecordPatch
from matching_service.programme.service import update_record
from matching_service.store.audit import AuditRow
from matching_service.store.claims import ClaimRow
from matching_service.store.database import Database
from matching_service.store.demands import DemandRow, DemandTransitionRow
from matching_service.store.imports import ImportedRecordRow, ImportRow, ImportState
from matching_service.store.organizations import OrganizationRow
from matching_service.store.outbox import OutboxRow
from matching_service.store.profiles import ProfileRow
from matching_service.store.programme import ProgrammeRecordRow
from matching_service.store.projects import ProjectRow

ALL = ("organizations", "profiles", "demands", "programme")


def lines(path: Path, *rows: dict[str, Any]) -> Path:
    texts = [json.dumps({"source": "s"} | row, ensure_ascii=False) for row in rows]
    path.write_text("\n".join(texts) + "\n", encoding="utf-8")
    return path


async def load(database: Database, what: str, path: Path, *rows: dict[str, Any], strict: bool = False) -> str:
    """Import the rows. Returns the id of the import."""
    lines(path, *rows)
    await import_file(database, what, path, COMMAND_LINE, defaults={}, strict=strict)
    return await newest(database)


async def newest(database: Database) -> str:
    async with database.reading() as session:
        return (await list_imports(session, PageRequest(1))).items[0].id


async def exported(database: Database, folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for what in ALL:
        await export_file(database, what, folder / "export.jsonl")
        found[what] = [json.loads(line) for line in (folder / "export.jsonl").read_text("utf-8").splitlines()]
    return found


async def undo(database: Database, import_id: str) -> tuple[int, int, dict[str, int]]:
    """How many records were deleted and restored, and how many were left by reason."""
    await undo_import(database, import_id, COMMAND_LINE)
    async with database.reading() as session:
        counts = (await undone_counts(session, [import_id])).get(import_id, {})
        left = await list_records(session, import_id, PageRequest(200), undone="left")
    reasons: dict[str, int] = {}
    for row in left.items:
        assert row.reason is not None
        assert row.reason in REASONS
        reasons[row.reason] = reasons.get(row.reason, 0) + 1
    assert sum(reasons.values()) == counts.get("left", 0)
    return counts.get("deleted", 0), counts.get("restored", 0), reasons


def rows_of(what: str, seed: int, numbers: range) -> list[dict[str, Any]]:
    """Random records of one kind; those of the same number are the same record."""
    chance = random.Random(f"{what} {seed}")
    text = lambda: "".join(chance.choices("柔轮齿根裂纹轴承钢=+@a1 ", k=chance.randint(1, 30))).strip() or "空"  # noqa: E731
    rows = []
    for number in numbers:
        row: dict[str, Any] = {"external_id": f"{what[0]}{number}"}
        if what == "organizations":
            row |= {"name": f"机构{text()}", "introduction": chance.choice([text(), None]), "region": "440605"}
        elif what == "profiles":
            works = [{"external_id": f"w{n}", "title": text()} for n in range(chance.randint(0, 3))]
            row |= {"kind": "expert", "name": text(), "summary": chance.choice([text(), None]), "works": works}
            row |= {
                "organization_external_id": f"o{chance.randint(0, 5)}",
                "visibility": chance.choice(["public", "hidden"]),
            }
        elif what == "demands":
            row |= {"title": text(), "keywords": [text() for _ in range(chance.randint(0, 3))]}
            row |= {"status": chance.choice(["draft", "submitted", "published"]) if seed == 1 else "closed"}
            row |= {"expires_on": chance.choice([None, "2099-01-01"]), "funding_wan": chance.choice([None, 8.5])}
        else:
            row |= {
                "title": text(),
                "kind": "support",
                "started_on": "2026-01-02",
                "note": chance.choice([text(), None]),
            }
        rows.append(row)
    return rows


@pytest.mark.parametrize("what", ALL)
@pytest.mark.parametrize("strict", [False, True], ids=["by chunks", "strict"])
async def test_an_import_and_its_undoing_leave_the_database_as_it_was(
    database: Database, tmp_path: Path, what: str, *, strict: bool
) -> None:
    path = tmp_path / "a.jsonl"
    await load(database, "organizations", path, *rows_of("organizations", 1, range(6)))
    if what != "organizations":
        await load(database, what, path, *rows_of(what, 1, range(20)))
    before = await exported(database, tmp_path)
    async with database.reading() as session:
        times = {row.id: row.published_at for row in await session.scalars(select(DemandRow))}
        history = (await session.scalars(select(DemandTransitionRow.id).order_by(DemandTransitionRow.id))).all()
    mistake = await load(database, what, path, *rows_of(what, 2, range(3, 30)), strict=strict)
    after = await exported(database, tmp_path)
    assert after != before
    deleted, restored, left = await undo(database, mistake)
    assert left == {}
    assert (deleted, restored) == (24, 3) if what == "organizations" else (10, 17)
    assert await exported(database, tmp_path) == before
    async with database.reading() as session:
        assert {row.id: row.published_at for row in await session.scalars(select(DemandRow))} == times
        assert (await session.scalars(select(DemandTransitionRow.id).order_by(DemandTransitionRow.id))).all() == history
        assert not await session.scalar(select(func.count()).select_from(ProjectRow))
    assert await undo(database, mistake) == (deleted, restored, {})  # again: nothing more
    assert await exported(database, tmp_path) == before


async def test_imports_are_undone_one_after_the_other_the_newest_first(database: Database, tmp_path: Path) -> None:
    path, states, ids = tmp_path / "a.jsonl", [], []
    for seed in range(1, 5):
        states.append(await exported(database, tmp_path))
        ids.append(await load(database, "profiles", path, *(
            row | {"organization_external_id": None} for row in rows_of("profiles", seed, range(seed, seed + 6))
        )))  # fmt: skip
    for import_id, state in zip(reversed(ids), reversed(states), strict=True):
        assert (await undo(database, import_id))[2] == {}
        assert await exported(database, tmp_path) == state


async def test_organizations_that_a_file_made_by_name_go_with_its_rows(database: Database, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("编号,需求名称,企业名称\n1,甲,南海某厂\n2,乙,南海某厂\n3,丙,顺德某厂\n", encoding="utf-8")
    before = await exported(database, tmp_path)
    await import_file(database, "demands", path, COMMAND_LINE, defaults={})
    assert await undo(database, await newest(database)) == (5, 0, {})
    assert await exported(database, tmp_path) == before


Work = Callable[[Any, Any], Awaitable[Any]]


async def edit(session: Any, row: Any) -> None:
    await update_demand(session, row, DemandPatch(title="别人改过"), COMMAND_LINE)


async def step(session: Any, row: Any) -> None:
    row.status = "reviewed"
    await transition_demand(session, row, DemandStatus.PUBLISHED, actor=COMMAND_LINE, opinion="同意")


async def claim(session: Any, row: Any) -> None:
    session.add(ClaimRow(demand_id=row.id, offer="我们能做", status="offered", attachments=[]))


@pytest.mark.parametrize(("work", "reason"), [(edit, "changed_since"), (step, "changed_since"), (claim, "used_since")])
async def test_a_demand_that_somebody_worked_on_is_left(
    database: Database, tmp_path: Path, work: Work, reason: str
) -> None:
    mistake = await load(
        database, "demands", tmp_path / "a.jsonl", {"external_id": "1", "title": "甲"}, {"title": "乙"}
    )
    async with database.transaction() as session:
        row = (await session.scalars(select(DemandRow).where(DemandRow.title == "甲"))).one()
        await work(session, row)
    assert await undo(database, mistake) == (1, 0, {reason: 1})
    async with database.reading() as session:
        assert await session.scalar(select(DemandRow.external_id)) == "1"


async def test_profiles_organizations_and_records_that_are_used_are_left(database: Database, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    organizations = await load(database, "organizations", path, *({"external_id": n, "name": f"厂{n}"} for n in "abc"))
    profiles = await load(
        database, "profiles", path, *({"external_id": n, "kind": "expert", "name": n} for n in "defg")
    )
    await load(database, "demands", path, {"external_id": "1", "title": "甲", "organization_external_id": "a"})
    records = await load(
        database, "programme", path,
        *({"external_id": n, "title": n, "kind": "support", "started_on": "2026-01-02"} for n in "hi"),
    )  # fmt: skip
    async with database.transaction() as session:
        found = {row.external_id: row for row in await session.scalars(select(OrganizationRow))}
        people = {row.external_id: row for row in await session.scalars(select(ProfileRow))}
        await write_contact(session, people["e"], Contact(phone="0757-83338888"), COMMAND_LINE)
        await delete_profile(session, people["f"], COMMAND_LINE)
        excluded = ExclusionBody(profile_id=people["d"].id)
        await replace_exclusions(session, found["b"], [excluded], COMMAND_LINE)
        record = (await session.scalars(select(ProgrammeRecordRow).where(ProgrammeRecordRow.external_id == "h"))).one()
        await update_record(session, record, ProgrammeRecordPatch(note="核实"), COMMAND_LINE)
    assert await undo(database, organizations) == (1, 0, {"used_since": 2})
    assert await undo(database, profiles) == (1, 0, {"used_since": 1, "changed_since": 1, "deleted_since": 1})
    assert await undo(database, records) == (1, 0, {"changed_since": 1})
    async with database.transaction() as session:
        await replace_exclusions(session, found["b"], [], COMMAND_LINE)
    assert await undo(database, profiles) == (2, 0, {"changed_since": 1, "deleted_since": 1})  # d is free now
    assert await undo(database, organizations) == (2, 0, {"used_since": 1})


async def test_an_update_is_left_if_somebody_changed_the_record_or_took_its_id(
    database: Database, tmp_path: Path
) -> None:
    path = tmp_path / "a.jsonl"
    await load(database, "demands", path, {"external_id": "1", "title": "甲"}, {"external_id": "2", "title": "乙"})
    async with database.reading() as session:
        ids = {row.title: row.id for row in await session.scalars(select(DemandRow))}
    mistake = await load(
        database, "demands", path, {"external_id": "1", "title": "错"}, {"id": ids["乙"], "external_id": "3", "title": "错"}
    )  # fmt: skip
    async with database.transaction() as session:
        await edit(session, await session.get_one(DemandRow, ids["甲"]))
    await load(database, "demands", path, {"external_id": "2", "title": "后来者"})
    assert await undo(database, mistake) == (0, 0, {"changed_since": 1, "id_taken": 1})
    async with database.reading() as session:
        titles = set(await session.scalars(select(DemandRow.title)))
    assert titles == {"别人改过", "错", "后来者"}


async def test_an_undoing_is_audited_and_told_by_events(database: Database, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    await load(database, "profiles", path, {"external_id": "1", "kind": "expert", "name": "甲"})
    mistake = await load(
        database, "profiles", path, *({"external_id": n, "kind": "expert", "name": "错"} for n in "12")
    )
    async with database.reading() as session:
        seq = await session.scalar(select(func.max(OutboxRow.seq)))
    await undo(database, mistake)
    async with database.reading() as session:
        events = await session.scalars(select(OutboxRow.event).where(OutboxRow.seq > seq))
        assert sorted(events) == ["profile.deleted", "profile.updated"]
        statement = select(AuditRow.action).where(AuditRow.entity == "import", AuditRow.entity_id == mistake)
        assert set(await session.scalars(statement)) == {"import", "begin_undo", "undo"}


async def test_a_person_who_is_deleted_leaves_nothing_in_the_former_values(database: Database, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    for name in ("卓砺川", "另名"):
        await load(database, "profiles", path, {"external_id": "1", "kind": "expert", "name": name})
    async with database.transaction() as session:
        assert "卓砺川" in str((await session.scalars(select(ImportedRecordRow.before))).all())
        await delete_profile(session, (await session.scalars(select(ProfileRow))).one(), COMMAND_LINE)
    async with database.reading() as session:
        assert set(await session.scalars(select(ImportedRecordRow.before))) == {None}


async def test_imports_are_kept_with_what_they_did(database: Database, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    good = await load(database, "demands", path, {"external_id": "1", "title": "甲"}, {"problem": "无标题"})
    with pytest.raises(StrictImportRefused):
        await load(database, "demands", path, {"title": "乙"}, {"problem": "无标题"}, strict=True)
    async with database.reading() as session:
        failed, done = (await list_imports(session, PageRequest())).items
    assert (done.id, done.state, done.file_name, done.n_done) == (good, ImportState.DONE, "a.jsonl", 2)
    assert (done.counts["created"], done.counts["bad"], done.told["n_findings"]) == (1, 1, 1)
    assert failed.state == ImportState.FAILED
    assert failed.error is not None
    assert failed.error["code"] == "bad_rows"
    assert await undo(database, failed.id) == (0, 0, {})


async def test_what_cannot_be_undone_is_told(database: Database, tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        await undo_import(database, "01937a54-9c1c-7d3a-8c0e-2b1f6d1c4e11", COMMAND_LINE)
    mistake = await load(database, "demands", tmp_path / "a.jsonl", {"title": "甲"})
    async with database.transaction() as session:
        row = await session.get_one(ImportRow, mistake)
        row.state = ImportState.PREVIEW
    with pytest.raises(Conflict, match="stored"):
        await undo_import(database, mistake, COMMAND_LINE)


async def test_a_preview_by_chunks_tells_what_the_import_will_tell(database: Database, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    rows = [f"{n},{'需求' if n % 9 else ''},某厂{n % 3},{'2026-13-01' if n % 100 == 1 else ''}" for n in range(1_200)]
    path.write_text("编号,需求名称,企业名称,截止日期\n" + "\n".join([*rows, "合计"]), encoding="utf-8")
    seen = await examine_file(database, "demands", path, COMMAND_LINE, defaults={}, layout=Layout())
    assert await exported(database, tmp_path) == {what: [] for what in ALL}
    stored = await import_file(database, "demands", path, COMMAND_LINE, defaults={})
    assert (seen.created, seen.bad_rows, seen.passed_over) == (stored.created, stored.bad_rows, stored.passed_over)
    assert seen.created == await count_of(database, DemandRow)
    assert seen.sheets == stored.sheets
    assert seen.columns == stored.columns


async def count_of(database: Database, table: Any) -> int:
    async with database.reading() as session:
        return int(await session.scalar(select(func.count()).select_from(table)) or 0)


async def test_a_file_with_too_many_rows_is_refused_before_anything_is_done(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(imports, "MAX_ROWS", 700)
    path = lines(tmp_path / "a.jsonl", *({"title": "甲"} for _ in range(701)))
    with pytest.raises(InvalidInput, match="rows; split it"):
        await examine_file(database, "demands", path, COMMAND_LINE, defaults={}, layout=Layout())
    assert await count_of(database, DemandRow) == 0
    with pytest.raises(InvalidInput, match="those before are done"):
        await import_file(database, "demands", path, COMMAND_LINE, defaults={})
    assert await undo(database, await newest(database)) == (500, 0, {})
