"""The audit log over HTTP, for auditors."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from pydantic import Field

from matching_service.access.policies import Action
from matching_service.api.deps import PageDep, Permit, ReadSession
from matching_service.api.fields import Answer, Blank, EntityId, Moment
from matching_service.api.pages import ListAnswer, answer_page
from matching_service.audit.queries import list_rows, names_of

router = APIRouter(prefix="/v1", tags=["audit"])


class AuditEntry(Answer):
    """Who did what, when and from where 审计记录."""

    seq: int = Field(description="From 1 without a hole, in the order in which the work was committed.")
    at: datetime
    actor_id: str
    actor_name: str = ""
    action: str = Field(description="Such as create, update, transition, read_contact, refused.")
    entity: str
    entity_id: str
    request_id: str | None
    address: str | None = Field(description="Address of the caller; null for a command of the operator.")
    detail: dict[str, Any] = Field(description="Names of fields and states, never their contents.")
    digest: str = Field(description="SHA-256 of this row and the digest before it; `audit verify` checks the chain.")


async def _filter(
    actor_id: Annotated[EntityId | None, Blank] = None,
    action: Annotated[EntityId | None, Blank] = None,
    entity: Annotated[EntityId | None, Blank] = None,
    entity_id: Annotated[EntityId | None, Blank] = None,
) -> dict[str, str]:
    """Columns with the value that they must have."""
    wanted = {"actor_id": actor_id, "action": action, "entity": entity, "entity_id": entity_id}
    return {name: value for name, value in wanted.items() if value is not None}


@router.get("/audit", dependencies=[Depends(Permit(Action.AUDIT_READ))])
async def list_audit(
    session: ReadSession,
    page: PageDep,
    equal: Annotated[dict[str, str], Depends(_filter)],
    since: Annotated[Moment | None, Blank, Query(description="From this moment on.")] = None,
    until: Annotated[Moment | None, Blank, Query(description="Before this moment.")] = None,
) -> ListAnswer[AuditEntry]:
    """List entries of the audit log, newest first."""
    answer = answer_page(await list_rows(session, page, equal=equal, since=since, until=until), AuditEntry)
    names = await names_of(session, {entry.actor_id for entry in answer.items})
    for entry in answer.items:
        entry.actor_name = names[entry.actor_id]
    return answer
