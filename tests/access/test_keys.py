"""API keys: only hashes are stored; revoked, expired and unknown keys are told apart."""

from datetime import timedelta

import pytest
from sqlalchemy import inspect, select

from matching_service.access.policies import COMMAND_LINE, Role
from matching_service.access.service import authenticate, create_key, hash_key, list_keys, revoke_key
from matching_service.foundation.clock import new_id, now
from matching_service.foundation.errors import NotFound, Unauthenticated
from matching_service.store.access import ApiKeyRow
from matching_service.store.audit import AuditRow
from matching_service.store.database import Database


async def made(database: Database, *, expires_in: timedelta | None = None) -> tuple[ApiKeyRow, str]:
    expires_at = now() + expires_in if expires_in is not None else None
    async with database.transaction() as session:
        return await create_key(session, name="门户", role=Role.PORTAL, expires_at=expires_at, actor=COMMAND_LINE)


async def refusal(database: Database, key: str | None) -> str:
    with pytest.raises(Unauthenticated) as refused:
        await authenticate(database, key)
    assert refused.value.detail.zh
    assert not key or key not in str(refused.value)
    return refused.value.code


@pytest.mark.parametrize("key", [None, ""])
async def test_a_missing_key_is_refused(database: Database, key: str | None) -> None:
    assert await refusal(database, key) == "key_missing"


@pytest.mark.parametrize("key", ["mk_unknown", "' OR 1=1 --", "密钥", "\ud800", "k" * 10_000])
async def test_an_unknown_key_is_refused(database: Database, key: str) -> None:
    await made(database)
    assert await refusal(database, key) == "key_unknown"


async def test_the_hash_is_no_key(database: Database) -> None:
    row, _ = await made(database)
    assert await refusal(database, row.key_hash) == "key_unknown"


async def test_a_revoked_key_is_refused(database: Database) -> None:
    row, key = await made(database)
    async with database.transaction() as session:
        await revoke_key(session, row.id, actor=COMMAND_LINE)
    assert await refusal(database, key) == "key_revoked"


async def test_an_expired_key_is_refused(database: Database) -> None:
    _, key = await made(database, expires_in=timedelta(seconds=-1))
    assert await refusal(database, key) == "key_expired"


async def test_revoking_an_unknown_id_is_not_found(database: Database) -> None:
    async with database.transaction() as session:
        with pytest.raises(NotFound) as missing:
            await revoke_key(session, new_id(), actor=COMMAND_LINE)
    assert missing.value.code == "key_not_found"


async def test_a_key_names_its_principal(database: Database) -> None:
    row, key = await made(database, expires_in=timedelta(days=1))
    principal = await authenticate(database, key)
    assert (principal.id, principal.name, principal.role) == (row.id, "门户", Role.PORTAL)


async def test_only_the_hash_is_in_the_table(database: Database) -> None:
    _, key = await made(database)
    async with database.reading() as session:
        (row,) = await list_keys(session)
        audit = (await session.scalars(select(AuditRow))).all()
    columns = {column.key: getattr(row, column.key) for column in inspect(ApiKeyRow).column_attrs}
    assert columns["key_hash"] == hash_key(key)
    secret = key.removeprefix("mk_")
    assert secret not in str(columns)
    assert not any(secret in str(vars(entry)) for entry in audit)


async def test_keys_are_long_and_never_the_same(database: Database) -> None:
    keys = {(await made(database))[1] for _ in range(5)}
    assert len(keys) == 5
    assert all(key.startswith("mk_") and len(key) >= 46 for key in keys)


async def test_revoking_twice_keeps_the_first_time(database: Database) -> None:
    row, _ = await made(database)
    times = set()
    for _ in range(2):
        async with database.transaction() as session:
            times.add((await revoke_key(session, row.id, actor=COMMAND_LINE)).revoked_at)
    assert len(times) == 1
    async with database.reading() as session:
        actions = (await session.scalars(select(AuditRow.action).order_by(AuditRow.id))).all()
    assert actions == ["create_key", "revoke_key"]
