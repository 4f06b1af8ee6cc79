"""The audit log cannot be changed, and whoever changes it all the same is found out."""

import asyncio
from typing import Any

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError

from matching_service.access.policies import COMMAND_LINE
from matching_service.audit.chain import Verdict, verify
from matching_service.audit.service import record_audit
from matching_service.demands.schemas import DemandCreate
from matching_service.demands.service import create_demand
from matching_service.store.audit import AuditRow
from matching_service.store.chain import START
from matching_service.store.database import Database


async def filled(database: Database, n: int = 5) -> None:
    for number in range(n):
        async with database.transaction() as session:
            record_audit(
                session, COMMAND_LINE, "look", entity="demand", entity_id=f"d{number}",
                detail={"字段": ["题目"], "n": number, "share": 0.1, "at": None},
            )  # fmt: skip


async def verdict_of(database: Database, noted: tuple[int, str] | None = None) -> Verdict:
    async with database.reading() as session:
        return await verify(session, noted=noted)


async def tamper(database: Database, *statements: str) -> None:
    """Change rows as somebody with all rights could: without the triggers."""
    trigger = "audit_events_no_{verb}"
    async with database.engine.begin() as connection:
        if database.is_sqlite:
            for verb in ("update", "delete"):
                await connection.execute(text(f"DROP TRIGGER {trigger.format(verb=verb)}"))
        else:
            await connection.execute(text("ALTER TABLE audit_events DISABLE TRIGGER ALL"))
        for statement in statements:
            await connection.execute(text(statement))


async def test_rows_are_numbered_without_holes_and_linked(database: Database) -> None:
    await filled(database)
    async with database.reading() as session:
        rows = (await session.scalars(select(AuditRow).order_by(AuditRow.seq))).all()
    assert [row.seq for row in rows] == [1, 2, 3, 4, 5]
    assert len({row.digest for row in rows}) == 5
    verdict = await verdict_of(database)
    assert (verdict.n_rows, verdict.faults, verdict.head) == (5, [], (5, rows[-1].digest))


async def test_an_empty_log_is_whole(database: Database) -> None:
    verdict = await verdict_of(database)
    assert (verdict.n_rows, verdict.n_faults, verdict.head) == (0, 0, (0, START))


@pytest.mark.parametrize(
    "statement", ["UPDATE audit_events SET action = 'x'", "DELETE FROM audit_events", "DELETE FROM audit_events WHERE seq = 2"]
)  # fmt: skip
async def test_the_database_itself_refuses_changes(database: Database, statement: str) -> None:
    await filled(database)
    with pytest.raises(DBAPIError, match="append-only"):
        async with database.engine.begin() as connection:
            await connection.execute(text(statement))
    assert (await verdict_of(database)).n_faults == 0


@pytest.mark.parametrize(
    ("statement", "faults"),
    [
        ("UPDATE audit_events SET action = 'x' WHERE seq = 3", ["3 被更改 changed"]),
        ("UPDATE audit_events SET detail = '{}' WHERE seq = 3", ["3 被更改 changed"]),
        ("UPDATE audit_events SET entity_id = 'd9' WHERE seq = 5", ["5 被更改 changed"]),
        ("UPDATE audit_events SET address = '10.0.0.1' WHERE seq = 1", ["1 被更改 changed"]),
        ("UPDATE audit_events SET digest = seq WHERE seq = 3", ["3 被更改 changed", "4 被更改 changed"]),
        ("DELETE FROM audit_events WHERE seq = 2", ["2–2 缺失 missing"]),
        ("DELETE FROM audit_events WHERE seq IN (1, 3, 4)", ["1–1 缺失 missing", "3–4 缺失 missing"]),
    ],
)
async def test_every_change_and_hole_is_found(database: Database, statement: str, faults: list[str]) -> None:
    await filled(database)
    await tamper(database, statement)
    assert (await verdict_of(database)).faults == faults


async def test_a_cut_end_is_found_by_a_head_that_was_noted(database: Database) -> None:
    await filled(database)
    noted = (await verdict_of(database)).head
    await filled(database, 2)
    assert (await verdict_of(database, noted)).n_faults == 0
    await tamper(database, "DELETE FROM audit_events WHERE seq >= 5")
    assert (await verdict_of(database)).n_faults == 0
    assert (await verdict_of(database, noted)).faults == ["5 与记下的摘要不符 is not as it was noted"]


async def test_many_writers_at_once_make_one_chain(database: Database) -> None:
    async def write(number: int) -> None:
        async with database.transaction() as session:
            await create_demand(session, DemandCreate(title=f"需求{number}"), COMMAND_LINE)
            record_audit(session, COMMAND_LINE, "look", entity="demand", entity_id=str(number))

    await asyncio.gather(*(write(number) for number in range(20)))
    verdict = await verdict_of(database)
    assert (verdict.n_rows, verdict.n_faults) == (40, 0)


async def test_what_is_rolled_back_leaves_no_hole(database: Database) -> None:
    async def fail() -> Any:
        async with database.transaction() as session:
            record_audit(session, COMMAND_LINE, "look", entity="demand", entity_id="d")
            await session.execute(text("SELECT nothing"))

    await filled(database, 1)
    with pytest.raises(DBAPIError):
        await fail()
    await filled(database, 1)
    verdict = await verdict_of(database)
    assert (verdict.n_rows, verdict.n_faults) == (2, 0)
