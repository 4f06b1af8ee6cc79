"""Programme records on both databases: every change writes an audit row and an event; files are checked per row."""

from datetime import date
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from matching_service.access.policies import COMMAND_LINE
from matching_service.files.imports import import_file
from matching_service.foundation.errors import Conflict, InvalidInput
from matching_service.organizations.merging import merge_organization
from matching_service.organizations.schemas import OrganizationCreate
from matching_service.organizations.service import create_organization
from matching_service.profiles.queries import get_profile
from matching_service.profiles.schemas import ProfileCreate
from matching_service.profiles.service import create_profile, delete_profile
from matching_service.programme.queries import get_record
from matching_service.programme.schemas import ProgrammeRecordCreate, ProgrammeRecordPatch
from matching_service.programme.service import create_record, remove_record, update_record
from matching_service.store.audit import AuditRow
from matching_service.store.database import Database
from matching_service.store.outbox import OutboxRow
from matching_service.store.programme import ProgrammeRecordRow

BODY: dict[str, Any] = {
    "source": "s", "external_id": "1", "kind": "workstation", "title": "院士工作站", "started_on": "2026-02-01",
}  # fmt: skip


async def test_every_change_is_written_down_once(database: Database) -> None:
    async with database.transaction() as session:
        record = (await create_record(session, ProgrammeRecordCreate(**BODY), COMMAND_LINE)).id
    for patch in (ProgrammeRecordPatch(note="x", ended_on=date(2026, 5, 1)), ProgrammeRecordPatch(note="x")):
        async with database.transaction() as session:
            await update_record(session, await get_record(session, record), patch, COMMAND_LINE)
    async with database.transaction() as session:
        await remove_record(session, await get_record(session, record), COMMAND_LINE)
    async with database.reading() as session:
        audited = [(row.action, row.detail) for row in await session.scalars(select(AuditRow).order_by(AuditRow.id))]
        events = [(row.event, row.detail) for row in await session.scalars(select(OutboxRow).order_by(OutboxRow.seq))]
        assert (await session.scalars(select(ProgrammeRecordRow))).all() == []
    fields = {"fields": ["ended_on", "note"]}
    assert audited == [("create", {}), ("update", fields), ("delete", {"kind": "workstation"})]
    assert events == [
        ("programme_record.created", None), ("programme_record.updated", fields), ("programme_record.deleted", None),
    ]  # fmt: skip


async def test_a_taken_external_id_and_days_in_the_wrong_order_are_refused(database: Database) -> None:
    async with database.transaction() as session:
        row = await create_record(session, ProgrammeRecordCreate(**BODY), COMMAND_LINE)
        with pytest.raises(Conflict):
            await create_record(session, ProgrammeRecordCreate(**BODY), COMMAND_LINE)
        row = await update_record(session, row, ProgrammeRecordPatch(ended_on=date(2026, 2, 1)), COMMAND_LINE)
        with pytest.raises(InvalidInput) as refused:
            await update_record(session, row, ProgrammeRecordPatch(started_on=date(2026, 2, 2)), COMMAND_LINE)
    assert refused.value.code == "end_before_start"


async def test_a_record_follows_its_merged_organization_and_outlives_its_profile(database: Database) -> None:
    async with database.transaction() as session:
        old, new = [
            (await create_organization(session, OrganizationCreate(name=name), COMMAND_LINE)).id for name in "甲乙"
        ]
        profile = (await create_profile(session, ProfileCreate(kind="expert", name="卓砺川"), COMMAND_LINE)).id
        body = ProgrammeRecordCreate(**BODY, organization_id=old, profile_id=profile)
        record = (await create_record(session, body, COMMAND_LINE)).id
    async with database.transaction() as session:
        await merge_organization(session, old, new, actor=COMMAND_LINE)
    async with database.transaction() as session:
        await delete_profile(session, await get_profile(session, profile), COMMAND_LINE)
    async with database.reading() as session:
        row = await get_record(session, record)
        assert (row.organization_id, row.profile_id, row.title) == (new, None, "院士工作站")


async def test_a_spreadsheet_of_an_office_is_read_row_by_row(database: Database, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(
        "编号,类别,名称,开始日期,结束日期,地区代码\n"
        "1,院士专家工作站,甲厂工作站,2026-02-01,,440605\n"
        "2,学术会展平台,陶瓷论坛,2026-03-01,2026-02-01,440604\n"
        "3,晚会,联欢,2026-03-01,,\n"
        "1,院士专家工作站,甲厂院士工作站,2026-02-01,2026-12-31,440605\n",
        encoding="utf-8",
    )
    report = await import_file(database, "programme", path, COMMAND_LINE, defaults={"source": "kexie"})
    assert (report.created, report.updated, report.unchanged) == (1, 1, 0)
    assert sorted((bad.line, bad.errors[0].pointer) for bad in report.bad_rows) == [(3, "/ended_on"), (4, "/kind")]
    async with database.reading() as session:
        (row,) = (await session.scalars(select(ProgrammeRecordRow))).all()
    assert (row.kind, row.title, str(row.ended_on)) == ("workstation", "甲厂院士工作站", "2026-12-31")
