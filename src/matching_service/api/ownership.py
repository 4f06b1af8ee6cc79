"""What a portal's key sends belongs to its source, whatever the body says."""

from typing import Any, TypeVar

from matching_service.access.policies import Principal
from matching_service.api.fields import UpsertBody
from matching_service.foundation.errors import Bilingual, Conflict

Sent = TypeVar("Sent", bound=UpsertBody)


def owned(body: Sent, actor: Principal) -> Sent:
    """The body with the source of the key, and with its organization where the key has one alone."""
    scope = actor.scope
    if scope is None:
        return body
    values: dict[str, str] = {"source": scope.source}
    names_none = all(getattr(body, f"organization_{name}", "") is None for name in ("id", "external_id"))
    if names_none and len(scope.organization_ids) == 1:
        (values["organization_id"],) = scope.organization_ids
    return body.model_copy(update=values)


def check_own(row: Any, external_id: str | None, actor: Principal) -> None:
    """Raise Conflict for a row of the key's source that belongs to another organization than the key does."""
    if actor.scope is not None and not actor.scope.holds(row):
        message = Bilingual(
            f"外部编号 {external_id} 已被本来源的其他机构使用。",
            f"External id {external_id} is used by another organization of this source.",
        )
        raise Conflict.at("/external_id", "external_id_taken", message)
