"""API keys: only hashes are stored; revoked, expired and unknown keys are told apart."""

from datetime import datetime, timedelta

import pytest
from sqlalchemy import inspect, select

from matching_service.access.policies import COMMAND_LINE, Role
from matching_service.access.service import (
    authenticate,
    create_key,
    hash_key,
    list_keys,
    principal_named,
    renew_key,
    revoke_key,
)
from matching_service.foundation.clock import new_id, now
from matching_service.foundation.errors import Conflict, NotFound, Unauthenticated
from matching_service.store.access import ApiKeyRow
from matching_service.store.audit import AuditRow
from matching_service.store.database import Database


async def made(
    database: Database, *, name: str = "门户", role: Role = Role.PORTAL, expires_in: timedelta | None = None
) -> tuple[ApiKeyRow, str]:
    expires_at = now() + expires_in if expires_in is not None else None
    async with database.transaction() as session:
        return await create_key(session, name=name, role=role, expires_at=expires_at, actor=COMMAND_LINE)


async def renewed(database: Database, key_id: str, *, expires_at: datetime | None = None) -> tuple[ApiKeyRow, str]:
    async with database.transaction() as session:
        return await renew_key(session, key_id, expires_at=expires_at, actor=COMMAND_LINE)


async def revoked(database: Database, key_id: str) -> None:
    async with database.transaction() as session:
        await revoke_key(session, key_id, actor=COMMAND_LINE)


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
    await revoked(database, row.id)
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
    assert (principal.id, principal.name, principal.role) == (row.principal_id, "门户", Role.PORTAL)


async def test_a_name_that_an_active_key_of_the_role_has_is_taken(database: Database) -> None:
    first, _ = await made(database)
    with pytest.raises(Conflict) as taken:
        await made(database)
    assert taken.value.code == "key_name_taken"
    assert all(first.id in words and "keys renew" in words for words in taken.value.detail)
    await made(database, name="别处")
    await made(database, role=Role.STAFF)


async def test_the_name_of_a_key_that_is_good_no_more_is_free_for_somebody_else(database: Database) -> None:
    keys = [(await made(database, expires_in=timedelta(seconds=-1)))[0]]
    keys.append((await made(database))[0])
    await revoked(database, keys[-1].id)
    keys.append((await made(database))[0])
    assert len({key.principal_id for key in keys}) == 3


async def test_a_renewed_key_has_the_same_holder_and_the_one_before_stays_good(database: Database) -> None:
    first, key = await made(database, expires_in=timedelta(days=1))
    tomorrow = now() + timedelta(days=2)
    second, new = await renewed(database, first.id, expires_at=tomorrow)
    assert new != key
    assert (second.id != first.id, second.role, second.expires_at) == (True, first.role, tomorrow)
    assert await authenticate(database, new) == await authenticate(database, key)
    await revoked(database, first.id)
    assert await refusal(database, key) == "key_revoked"
    assert (await authenticate(database, new)).id == first.principal_id
    async with database.reading() as session:
        actions = (await session.scalars(select(AuditRow.action).order_by(AuditRow.id))).all()
    assert actions == ["create_key", "renew_key", "revoke_key"]


async def test_renewing_an_unknown_id_is_not_found(database: Database) -> None:
    with pytest.raises(NotFound) as missing:
        await renewed(database, new_id())
    assert missing.value.code == "key_not_found"


async def test_a_name_refers_to_one_holder_of_active_keys_or_to_nobody(database: Database) -> None:
    async def named(name: str) -> str | None:
        async with database.reading() as session:
            return await principal_named(session, name)

    first, _ = await made(database)
    again, _ = await renewed(database, first.id)
    assert await named("门户") == first.principal_id
    assert await named("门") is None
    other, _ = await made(database, role=Role.STAFF)
    assert await named("门户") is None
    for key in (first, again):
        await revoked(database, key.id)
    assert await named("门户") == other.principal_id


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
    keys = {(await made(database, name=f"{n}"))[1] for n in range(5)}
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
