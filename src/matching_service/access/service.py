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
from matching_service.store.lookup import get_row
from matching_service.store.organizations import OrganizationRow
from matching_service.store.scope import NOTHING, Scope

KEY_PREFIX = "mk_"


async def create_key(
    session: AsyncSession,
    *,
    name: str,
    role: Role,
    expires_at: datetime | None,
    actor: Principal,
    source: str | None = None,
    organization_ids: Sequence[str] = (),
) -> tuple[ApiKeyRow, str]:
    """Create a principal and its key. Return the row and the key, which cannot be recovered later.

    With a source the key is bound to its records, with organizations to those of them. Raises NotFound for an
    organization that does not exist, and Conflict if an active key of this role has the same name, because the two
    holders would look alike.
    """
    same_name = select(ApiKeyRow.id).join(ApiKeyRow.principal)
    same_name = same_name.where(PrincipalRow.name == name, ApiKeyRow.role == role, _is_active())
    if (key_id := await session.scalar(same_name.limit(1))) is not None:
        raise Conflict("key_name_taken", _name_taken(name, role, key_id))
    known = {row_id: await _present_organization(session, row_id) for row_id in organization_ids}
    principal = PrincipalRow(id=new_id(), kind=PrincipalKind.KEY, name=name)
    session.add(principal)
    row = ApiKeyRow(
        principal=principal, role=role, expires_at=expires_at, source=source,
        organization_ids=sorted(set(known.values())) or None,
    )  # fmt: skip
    return await _add_key(session, row, actor=actor, action="create_key")


async def renew_key(
    session: AsyncSession, key_id: str, *, expires_at: datetime | None, actor: Principal
) -> tuple[ApiKeyRow, str]:
    """Create another key for the same principal, role and records, so that its holder can switch without interruption.

    The previous key stays valid until it is revoked or expires. Raises NotFound.
    """
    old = await _get_key(session, key_id)
    row = ApiKeyRow(
        principal=old.principal, role=old.role, expires_at=expires_at, source=old.source,
        organization_ids=old.organization_ids,
    )  # fmt: skip
    return await _add_key(session, row, actor=actor, action="renew_key")


async def _present_organization(session: AsyncSession, organization_id: str) -> str:
    row = await get_row(session, OrganizationRow, organization_id)
    if row is None:
        raise not_found(Bilingual("机构", "Organization"), organization_id, code="organization_not_found")
    return row.merged_into or row.id


async def follow_merge(session: AsyncSession, old: str, new: str) -> None:
    """Bind the keys of an organization to the one into which it was merged, as its records are."""
    for row in await session.scalars(select(ApiKeyRow).where(ApiKeyRow.organization_ids.is_not(None))):
        if row.organization_ids is not None and old in row.organization_ids:
            row.organization_ids = sorted({*row.organization_ids, new} - {old})


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
    role = Role(row.role)
    scope = Scope(row.source, frozenset(row.organization_ids or ())) if row.source is not None else None
    if role is Role.BATCH:
        scope = NOTHING  # ranking needs no drafts and no hidden people
    return Principal(id=row.id, name=row.name, role=role, scope=scope)


_BY_HASH = (
    select(
        PrincipalRow.id,
        PrincipalRow.name,
        ApiKeyRow.role,
        ApiKeyRow.expires_at,
        ApiKeyRow.revoked_at,
        ApiKeyRow.source,
        ApiKeyRow.organization_ids,
    )
    .join(ApiKeyRow.principal)
    .where(ApiKeyRow.key_hash == bindparam("key_hash"))
)
"""Built once at import, because every request runs it."""


async def _add_key(session: AsyncSession, row: ApiKeyRow, *, actor: Principal, action: str) -> tuple[ApiKeyRow, str]:
    """Give the row a key and store it."""
    key = KEY_PREFIX + secrets.token_urlsafe(32)
    row.key_hash = hash_key(key)
    row.created_at = now()
    session.add(row)
    await session.flush()
    record_audit(session, actor, action, entity="api_key", entity_id=row.id, detail={"role": row.role})
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
