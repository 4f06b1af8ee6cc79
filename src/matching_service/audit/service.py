"""Write audit rows inside the transaction of the action."""

from collections.abc import Mapping
from typing import Any, Protocol

from sqlalchemy.ext.asyncio import AsyncSession

from matching_service.foundation.clock import new_id, now
from matching_service.foundation.logs import client_address, request_id
from matching_service.store.audit import AuditRow
from matching_service.store.journal import append


class Actor(Protocol):
    @property
    def id(self) -> str: ...


def record_audit(
    session: AsyncSession,
    actor: Actor,
    action: str,
    *,
    entity: str,
    entity_id: str,
    detail: Mapping[str, Any] | None = None,
) -> None:
    """Add one row. ``detail`` holds field names and states, never field contents: the log must not copy the data."""
    append(
        session,
        AuditRow,
        id=new_id(),
        at=now(),
        actor_id=actor.id,
        action=action,
        entity=entity,
        entity_id=entity_id,
        request_id=request_id.get(),
        address=client_address.get(),
        detail=dict(detail or {}),
    )
