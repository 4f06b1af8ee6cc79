"""Create, renew, check and revoke API keys. The database stores only the hash of a key; the key is shown once.

Unlike passwords, keys need no slow hash: a key has 256 random bits and cannot be guessed. Plain SHA-256 also
allows an index lookup by hash.
"""

import hashlib
import secrets
from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, and_, bindparam, or_, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import joinedload

from matching_service.access.policies import Principal, PrincipalKind, Role
from matching_service.audit.service import record_audit
from matching_service.foundation.clock import new_id, now
from matching_service.foundation.errors import Bilingual, Conflict, Unauthenticated, not_found
from matching_service.store.access import ApiKeyRow, PrincipalRow
from matching_service.store.database import Database

KEY_PREFIX = "mk_"


async def create_key(
    session: AsyncSession, *, name: str, role: Role, expires_at: datetime | None, actor: Principal
) -> tuple[ApiKeyRow, str]:
    """Create a principal and its key. Return the row and the key, which cannot be recovered later.

    Raises Conflict if an active key of this role has the same name, because the two holders would look alike.
    """
    same_name = select(ApiKeyRow.id).join(ApiKeyRow.principal)
    same_name = same_name.where(PrincipalRow.name == name, ApiKeyRow.role == role, _is_active())
    if (key_id := await session.scalar(same_name.limit(1))) is not None:
        raise Conflict("key_name_taken", _name_taken(name, role, key_id))
    principal = PrincipalRow(id=new_id(), kind=PrincipalKind.KEY, name=name)
    session.add(principal)
    return await _add_key(session, principal, role, expires_at, actor=actor, action="create_key")


async def renew_key(
    session: AsyncSession, key_id: str, *, expires_at: datetime | None, actor: Principal
) -> tuple[ApiKeyRow, str]:
    """Create another key for the same principal and role, so that its holder can switch keys without an interruption.

    The previous key stays valid until it is revoked or expires. Raises NotFound.
    """
    row = await _get_key(session, key_id)
    return await _add_key(session, row.principal, Role(row.role), expires_at, actor=actor, action="renew_key")


async def list_keys(session: AsyncSession) -> Sequence[ApiKeyRow]:
    """Return all keys with their principals, oldest first."""
    statement = select(ApiKeyRow).options(joinedload(ApiKeyRow.principal)).order_by(ApiKeyRow.id)
    return (await session.scalars(statement)).all()


async def principal_named(session: AsyncSession, name: str) -> str | None:
    """Return the id of the only principal with this name and an active key; None if there are none or several."""
    statement = select(PrincipalRow.id).join(ApiKeyRow).where(PrincipalRow.name == name, _is_active()).distinct()
    ids = (await session.scalars(statement.limit(2))).all()
    return ids[0] if len(ids) == 1 else None


async def revoke_key(session: AsyncSession, key_id: str, *, actor: Principal) -> ApiKeyRow:
    """Revoke a key permanently. Revoking it again keeps the first revocation time. Raises NotFound."""
    row = await _get_key(session, key_id)
    if row.revoked_at is None:
        row.revoked_at = now()
        record_audit(session, actor, "revoke_key", entity="api_key", entity_id=row.id)
    return row


async def authenticate(database: Database, key: str | None) -> Principal:
    """Return the principal of a key. Raises Unauthenticated if the key is missing, unknown, revoked or expired."""
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


_BY_HASH = (
    select(PrincipalRow.id, PrincipalRow.name, ApiKeyRow.role, ApiKeyRow.expires_at, ApiKeyRow.revoked_at)
    .join(ApiKeyRow.principal)
    .where(ApiKeyRow.key_hash == bindparam("key_hash"))
)
"""Built once at import, because every request runs it."""


async def _add_key(
    session: AsyncSession,
    principal: PrincipalRow,
    role: Role,
    expires_at: datetime | None,
    *,
    actor: Principal,
    action: str,
) -> tuple[ApiKeyRow, str]:
    key = KEY_PREFIX + secrets.token_urlsafe(32)
    row = ApiKeyRow(principal=principal, role=role, key_hash=hash_key(key), created_at=now(), expires_at=expires_at)
    session.add(row)
    await session.flush()
    record_audit(session, actor, action, entity="api_key", entity_id=row.id, detail={"role": role})
    return row, key


async def _get_key(session: AsyncSession, key_id: str) -> ApiKeyRow:
    row = await session.get(ApiKeyRow, key_id, options=[joinedload(ApiKeyRow.principal)])
    if row is None:
        raise not_found(Bilingual("密钥", "Key"), key_id, code="key_not_found")
    return row


def _is_active() -> ColumnElement[bool]:
    return and_(ApiKeyRow.revoked_at.is_(None), or_(ApiKeyRow.expires_at.is_(None), ApiKeyRow.expires_at > now()))


def hash_key(key: str) -> str:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


def _name_taken(name: str, role: Role, key_id: str) -> Bilingual:
    return Bilingual(
        f"角色 {role} 已有名为“{name}”的有效密钥 {key_id}。换发请用 matching-service keys renew {key_id}；"
        "给其他人的请换一个名称。",
        f'Role {role} has an active key "{name}" already, {key_id}. To renew it: matching-service keys renew {key_id}; '
        "for somebody else choose another name.",
    )


_MISSING = Bilingual(
    "缺少密钥。请在请求头中写 Authorization: Bearer <密钥>；密钥由 matching-service keys create 生成。",
    "No key. Send the header Authorization: Bearer <key>; make a key with: matching-service keys create.",
)
_UNKNOWN = Bilingual("密钥无效。", "The key is not known.")
_REVOKED = Bilingual("密钥已被吊销，请向管理员申请新密钥。", "The key was revoked; ask an administrator for a new one.")
_EXPIRED = Bilingual("密钥已过期，请向管理员申请新密钥。", "The key has expired; ask an administrator for a new one.")
