"""Making, checking and revoking API keys. Only a key's hash is stored; the key is shown once.

A plain SHA-256 is right here, unlike for passwords: a key is 256 random bits, so guessing is hopeless
without any slowing down, and the hash can be looked up by an index.
"""

import hashlib
import secrets
from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import bindparam, select
from sqlalchemy.ext.asyncio import AsyncSession

from matching_service.access.policies import Principal, Role
from matching_service.audit.service import record_audit
from matching_service.foundation.clock import now
from matching_service.foundation.errors import Text, Unauthenticated, not_found
from matching_service.store.access import ApiKeyRow
from matching_service.store.database import Database

KEY_PREFIX = "mk_"


async def create_key(
    session: AsyncSession, *, name: str, role: Role, expires_at: datetime | None, actor: Principal
) -> tuple[ApiKeyRow, str]:
    """Store a new key's hash; returns the row and the key itself, which cannot be had again."""
    key = KEY_PREFIX + secrets.token_urlsafe(32)
    row = ApiKeyRow(name=name, role=role.value, key_hash=hash_key(key), created_at=now(), expires_at=expires_at)
    session.add(row)
    await session.flush()
    record_audit(session, actor, "create_key", entity="api_key", entity_id=row.id, detail={"role": role.value})
    return row, key


async def list_keys(session: AsyncSession) -> Sequence[ApiKeyRow]:
    return (await session.scalars(select(ApiKeyRow).order_by(ApiKeyRow.id))).all()


async def revoke_key(session: AsyncSession, key_id: str, *, actor: Principal) -> ApiKeyRow:
    """Revoke for good; revoking twice keeps the first time. Raises NotFound."""
    row = await session.get(ApiKeyRow, key_id)
    if row is None:
        raise not_found(Text("密钥", "Key"), key_id, code="key_not_found")
    if row.revoked_at is None:
        row.revoked_at = now()
        record_audit(session, actor, "revoke_key", entity="api_key", entity_id=row.id)
    return row


async def authenticate(database: Database, key: str | None) -> Principal:
    """The principal of a key; raises Unauthenticated saying whether it is missing, unknown, revoked or expired."""
    if not key:
        raise Unauthenticated("key_missing", _MISSING)
    row = await database.glance(_BY_HASH, {"key_hash": hash_key(key)})
    if row is None:
        raise Unauthenticated("key_unknown", _UNKNOWN)
    if row.revoked_at is not None:
        raise Unauthenticated("key_revoked", _REVOKED)
    if row.expires_at is not None and row.expires_at <= now():
        raise Unauthenticated("key_expired", _EXPIRED)
    return Principal(id=row.id, name=row.name, role=Role(row.role))


_BY_HASH = select(ApiKeyRow.id, ApiKeyRow.name, ApiKeyRow.role, ApiKeyRow.expires_at, ApiKeyRow.revoked_at).where(
    ApiKeyRow.key_hash == bindparam("key_hash")
)
"""Made once: every request asks it."""


def hash_key(key: str) -> str:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


_MISSING = Text(
    "缺少密钥。请在请求头中写 Authorization: Bearer <密钥>；密钥由 matching-service keys create 生成。",
    "No key. Send the header Authorization: Bearer <key>; make a key with: matching-service keys create.",
)
_UNKNOWN = Text("密钥无效。", "The key is not known.")
_REVOKED = Text("密钥已被吊销，请向管理员申请新密钥。", "The key was revoked; ask an administrator for a new one.")
_EXPIRED = Text("密钥已过期，请向管理员申请新密钥。", "The key has expired; ask an administrator for a new one.")
